//! Lists of register bits, with scores where they are asked for: columns `layer,tensor,index,bit` and any others, as CSV
//! or Parquet.
//!
//! Only reads: whether a design has such bits is `hw`'s knowledge, so every row keeps its place in the file.

mod columnar;
mod error;
mod text;

use std::path::Path;

pub use error::{RowPlace, SiteError};

use crate::net::TensorKind;
use crate::num::BitIdx;

/// Columns that name a bit.
const BIT_COLUMNS: [&str; 4] = ["layer", "tensor", "index", "bit"];

const WHOLE: &str = "a whole number from 0";
const BIT: &str = "a bit number from 0 (the MSB) to 31";
const TENSOR: &str = "`kernel` or `bias`";
const NUMBER: &str = "a number";
const FINITE: &str = "a finite number";

/// One row: a register bit as a user names it.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteRow {
    /// Where it stands in the file.
    pub place: RowPlace,
    /// Name of the layer in the model file.
    pub layer: String,
    /// Which of its tensors.
    pub tensor: TensorKind,
    /// C-order index in the tensor.
    pub index: usize,
    /// Bit, 0 being the most significant.
    pub bit: BitIdx,
    /// The score, where asked for.
    pub score: Option<f64>,
}

/// Which column, besides those that name the bit, a list must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreColumn<'a> {
    /// Bits alone; further columns are ignored.
    Ignored,
    /// Every bit has a finite number in the column of this name.
    Named(&'a str),
}

/// Reads a list of bits; `file` names it in messages. Columns may stand in any order, others are ignored.
///
/// A file that begins as Parquet does, or whose name ends in `.parquet`, is read as Parquet; any other as CSV.
///
/// # Errors
/// Names file, row and column of the first cell that cannot be understood, and the columns there are when the one asked
/// for is not among them.
pub fn read_sites(file: &str, bytes: &[u8], score: ScoreColumn<'_>) -> Result<Vec<SiteRow>, SiteError> {
    let rows =
        if is_parquet(file, bytes) { columnar::read(file, bytes, score)? } else { text::read(file, bytes, score)? };
    if rows.is_empty() {
        return Err(SiteError::Empty { file: file.to_owned() });
    }
    Ok(rows)
}

/// The fingerprint of the design that a list was made for, where the list itself says so (Parquet of trivote does), or
/// `beside`, the JSON file beside it. `None` where neither does: lists may come from anywhere.
pub fn design_of(file: &str, bytes: &[u8], beside: Option<&[u8]>) -> Option<String> {
    let design = |provenance: &serde_json::Value| provenance.get("design")?.as_str().map(str::to_owned);
    let own = || {
        let text = if is_parquet(file, bytes) { columnar::metadata(bytes, PROVENANCE_KEY) } else { None }?;
        design(&serde_json::from_str(&text).ok()?)
    };
    let said = || design(serde_json::from_slice::<serde_json::Value>(beside?).ok()?.get("provenance")?);
    own().or_else(said)
}

/// Whether this thread is reading a file whose panics are caught and reported as [`SiteError::Damaged`]; the program then
/// need not tell of them itself.
pub fn catches_panics() -> bool {
    columnar::is_guarded()
}

/// Key of the provenance among the metadata of a Parquet file.
pub const PROVENANCE_KEY: &str = "trivote.provenance";

/// Whether a file is to be read, or written, as Parquet by its name.
pub fn is_parquet_name(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

fn is_parquet(file: &str, bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1") || is_parquet_name(Path::new(file))
}

fn tensor_kind(text: &str) -> Option<TensorKind> {
    match text {
        "kernel" => Some(TensorKind::Kernel),
        "bias" => Some(TensorKind::Bias),
        _ => None,
    }
}

/// Where the columns stand among `header`, those that name a bit first.
fn find_columns(file: &str, header: &[&str], score: ScoreColumn<'_>) -> Result<([usize; 4], Option<usize>), SiteError> {
    let place = |name: &str| {
        let mut places = (0..header.len()).filter(|at| header[*at] == name);
        match (places.next(), places.next()) {
            (_, Some(_)) => Err(SiteError::DuplicateColumn { file: file.to_owned(), column: name.to_owned() }),
            (first, None) => Ok(first),
        }
    };
    let mut bits = [0; 4];
    for (found, column) in bits.iter_mut().zip(BIT_COLUMNS) {
        *found = place(column)?.ok_or_else(|| {
            let name = match score {
                ScoreColumn::Ignored => None,
                ScoreColumn::Named(name) => Some(name),
            };
            let needed: Vec<&str> = BIT_COLUMNS.into_iter().chain(name).collect();
            SiteError::MissingColumn { file: file.to_owned(), column, needed: needed.join(", ") }
        })?;
    }
    let score = match score {
        ScoreColumn::Ignored => None,
        ScoreColumn::Named(name) => {
            Some(
                place(name)?.ok_or_else(|| SiteError::MissingScore {
                    file: file.to_owned(),
                    column: name.to_owned(),
                    found: header
                        .iter()
                        .filter(|other| !BIT_COLUMNS.contains(*other))
                        .map(|&other| other.to_owned())
                        .collect(),
                })?,
            )
        }
    };
    Ok((bits, score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_design_a_list_was_made_for() {
        let beside = br#"{"provenance": {"design": "abc"}}"#;
        assert_eq!(design_of("s.csv", b"layer", Some(beside)).as_deref(), Some("abc"));
        for other in [&b"{}"[..], b"no JSON", b"{\"provenance\": {\"design\": 3}}", b"[1]"] {
            assert_eq!(design_of("s.csv", b"layer", Some(other)), None);
        }
        assert_eq!(design_of("s.parquet", b"layer", None), None);
    }
}
