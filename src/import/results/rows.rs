//! Rows per bit beside what says of which run they are: oracles and scores.

use super::ResultError;
use super::forms::{ScoresForm, TotalsForm};
use crate::import::oracle::read_oracle;
use crate::import::sites::{ScoreColumn, SiteRow, design_of, read_sites};
use crate::net::TensorKind;

/// Most cells of the tables of all registers, so that one odd row cannot ask for all memory.
const MOST_CELLS: usize = 1 << 24;

/// Bits of a register at most.
const MOST_BITS: u8 = 32;

/// Registers of a tensor, as far as rows name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayRows {
    /// The layer.
    pub layer: String,
    /// The tensor.
    pub tensor: TensorKind,
    /// Registers up to the last one named.
    pub registers: usize,
    /// Bits up to the last one named.
    pub width: usize,
}

/// A bit that a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRow {
    /// Position of its array.
    pub array: usize,
    /// Register in the array, in C order.
    pub index: usize,
    /// Bit, 0 is the MSB.
    pub bit: u8,
}

/// The bits that rows name, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BitRows {
    /// Their arrays.
    pub arrays: Vec<ArrayRows>,
    /// The bits, in the order of the rows.
    pub bits: Vec<BitRow>,
}

impl BitRows {
    /// Takes the names of rows; `known` arrays come first.
    fn new(
        path: &str,
        rows: &[SiteRow],
        known: impl IntoIterator<Item = (String, TensorKind)>,
    ) -> Result<Self, ResultError> {
        let array = |(layer, tensor)| ArrayRows { layer, tensor, registers: 0, width: 0 };
        let mut arrays: Vec<ArrayRows> = known.into_iter().map(array).collect();
        let mut bits = Vec::with_capacity(rows.len());
        let name = |row: &SiteRow| address(&row.layer, row.tensor, row.index, row.bit.0);
        let beyond = |row: &SiteRow| ResultError::Beyond { path: path.to_owned(), bit: name(row) };
        let mut last = 0;
        for row in rows {
            let is_of = |array: &ArrayRows| array.layer == row.layer && array.tensor == row.tensor;
            // Rows of an array stand together.
            if !arrays.get(last).is_some_and(is_of) {
                last = arrays.iter().position(is_of).unwrap_or(arrays.len());
            }
            if last == arrays.len() {
                arrays.push(array((row.layer.clone(), row.tensor)));
            }
            if row.bit.0 >= MOST_BITS || row.index >= MOST_CELLS {
                return Err(beyond(row));
            }
            let array = &mut arrays[last];
            array.registers = array.registers.max(row.index + 1);
            array.width = array.width.max(usize::from(row.bit.0) + 1);
            bits.push(BitRow { array: last, index: row.index, bit: row.bit.0 });
        }
        let found = Self { arrays, bits };
        if found.cells() > MOST_CELLS {
            return Err(rows
                .iter()
                .max_by_key(|row| row.index)
                .map_or_else(|| ResultError::Beyond { path: path.to_owned(), bit: String::new() }, beyond));
        }
        let starts = found.starts();
        let mut seen = vec![false; found.cells()];
        for (row, bit) in rows.iter().zip(&found.bits) {
            if std::mem::replace(&mut seen[found.cell(&starts, *bit)], true) {
                return Err(ResultError::Repeated { path: path.to_owned(), bit: name(row) });
            }
        }
        Ok(found)
    }

    /// Number of cells of a table by array, register and bit.
    pub fn cells(&self) -> usize {
        self.arrays.iter().map(|array| array.registers.saturating_mul(array.width)).fold(0, usize::saturating_add)
    }

    /// Where each array begins in such a table.
    pub fn starts(&self) -> Vec<usize> {
        let mut end = 0;
        let start = |array: &ArrayRows| {
            let start = end;
            end += array.registers * array.width;
            start
        };
        self.arrays.iter().map(start).collect()
    }

    /// Cell of a bit in such a table.
    pub fn cell(&self, starts: &[usize], bit: BitRow) -> usize {
        starts[bit.array] + bit.index * self.arrays[bit.array].width + usize::from(bit.bit)
    }

    /// Address of a bit.
    pub fn address(&self, bit: BitRow) -> String {
        let ArrayRows { layer, tensor, .. } = &self.arrays[bit.array];
        address(layer, *tensor, bit.index, bit.bit)
    }
}

fn address(layer: &str, tensor: TensorKind, index: usize, bit: u8) -> String {
    format!("{layer}.{tensor}[{index}].bit[{bit}]")
}

/// An oracle.
#[derive(Debug, Clone, PartialEq)]
pub struct OracleResult {
    /// The file of its rows, as named.
    pub path: String,
    /// Its totals.
    pub form: TotalsForm,
    /// The bits flipped.
    pub bits: BitRows,
    /// Their error rises.
    pub rises: Vec<f64>,
}

impl OracleResult {
    /// Sum of the magnitudes of the rises: sums over them in another order differ by a small part of it.
    pub fn magnitude(&self) -> f64 {
        self.rises.iter().map(|rise| rise.abs()).sum()
    }
}

/// Scores of bits.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoresResult {
    /// The file of its rows, as named.
    pub path: String,
    /// What stands beside them.
    pub form: ScoresForm,
    /// The bits scored.
    pub bits: BitRows,
    /// Values of the bits, score by score, in the order of the form.
    pub values: Vec<Vec<f64>>,
}

/// A file by name and content.
pub(super) type Content<'a> = (&'a str, &'a [u8]);

/// Refuses text that ends within a line: the writers end every line.
fn check_end((path, bytes): Content<'_>, command: &[String]) -> Result<(), ResultError> {
    let is_text = !bytes.starts_with(b"PAR1");
    if is_text && !bytes.ends_with(b"\n") {
        return Err(ResultError::CutOff { path: path.to_owned(), command: command.to_vec() });
    }
    Ok(())
}

/// The oracle of these rows and totals.
pub(super) fn oracle(rows: Content<'_>, totals: Content<'_>, form: TotalsForm) -> Result<OracleResult, ResultError> {
    let path = rows.0.to_owned();
    check_end(rows, &form.provenance.command)?;
    let read = read_oracle(rows, totals)?;
    let known = form.arrays.iter().map(|array| (array.layer.clone(), array.tensor));
    let bits = BitRows::new(&path, &read.rows, known)?;
    let differ = |what: String, found, written| {
        if found == written {
            return Ok(());
        }
        Err(ResultError::OtherRun { path: path.clone(), what, found, totals: totals.0.to_owned(), written })
    };
    let mut by_array = vec![0; bits.arrays.len()];
    bits.bits.iter().for_each(|bit| by_array[bit.array] += 1);
    for (number, array) in bits.arrays.iter().enumerate() {
        let what = format!("bits of {}.{}", array.layer, array.tensor);
        differ(what, by_array[number], form.arrays.get(number).map_or(0, |written| written.bits))?;
    }
    let sensitive = read.error_rises.iter().filter(|rise| **rise > 0.0).count();
    differ("bits whose flip raises the error".to_owned(), sensitive, form.total.sensitive)?;
    Ok(OracleResult { path, form, bits, rises: read.error_rises })
}

/// The scores of these rows and what stands beside them.
pub(super) fn scores(rows: Content<'_>, beside: &str, form: ScoresForm) -> Result<ScoresResult, ResultError> {
    let (path, bytes) = rows;
    check_end(rows, &form.provenance.command)?;
    if design_of(path, bytes, None).is_some_and(|design| design != form.provenance.design) {
        return Err(ResultError::OtherDesign { path: path.to_owned(), beside: beside.to_owned() });
    }
    let mut bits = BitRows::default();
    let mut values = Vec::with_capacity(form.scores.len());
    for name in &form.scores {
        let read = read_sites(path, bytes, ScoreColumn::Named(name))?;
        if values.is_empty() {
            bits = BitRows::new(path, &read, [])?;
        }
        values.push(read.iter().filter_map(|row| row.score).collect());
    }
    if bits.bits.len() != form.bits {
        let (found, written) = (bits.bits.len(), form.bits);
        let (path, totals) = (path.to_owned(), beside.to_owned());
        return Err(ResultError::OtherRun { path, what: "bits".to_owned(), found, totals, written });
    }
    Ok(ScoresResult { path: path.to_owned(), form, bits, values })
}
