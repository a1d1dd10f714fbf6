//! The oracle's outcome: a row per bit as CSV or Parquet, totals per array and per bit position as tables and JSON.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use super::bit_table::{BitColumn, BitTable, BitValues};
use super::error_unit::{Accuracy, ErrorUnit};
use super::{Provenance, ReportError, Side, SiteTable, TextTable, grouped, percent, significant};
use crate::campaign::{Oracle, SiteOutcome};
use crate::net::TensorKind;
use crate::num::cast;

/// An oracle with what its sites are called.
#[derive(Debug, Clone, Copy)]
pub struct OracleReport<'a> {
    /// The bits flipped.
    pub sites: &'a SiteTable,
    /// What that did.
    pub oracle: &'a Oracle,
    /// Name of the error measured.
    pub metric: &'a str,
}

/// Totals over some of the bits.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Totals {
    /// Bits flipped.
    pub bits: usize,
    /// Bits whose flip changed the output of at least one event.
    pub effective: usize,
    /// Bits whose flip raised the mean error.
    pub sensitive: usize,
    /// Sum of the error rises.
    pub rise: f64,
    /// Sum of the mispredictions, where that is what the metric counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mispredictions: Option<u64>,
}

impl Totals {
    fn add(&mut self, changed_events: u32, rise: f64, mispredictions: Option<u32>) {
        self.bits += 1;
        self.effective += usize::from(changed_events > 0);
        self.sensitive += usize::from(rise > 0.0);
        self.rise += rise;
        if let Some(more) = mispredictions {
            self.mispredictions = Some(self.mispredictions.unwrap_or(0) + u64::from(more));
        }
    }

    fn row(&self, name: Vec<String>, all: f64) -> Vec<String> {
        let share = |count: usize| percent(cast::f64_from_count(count) / cast::f64_from_count(self.bits), 1);
        let mut row = name;
        row.extend([
            grouped(self.bits),
            share(self.effective),
            share(self.sensitive),
            self.mispredictions.map_or_else(|| significant(self.rise), |count| grouped(cast::index_of_word(count))),
            percent(self.rise / all, 1),
        ]);
        row
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    provenance: &'a Provenance,
    metric: &'a str,
    events: usize,
    golden_mean_error: f64,
    #[serde(flatten)]
    accuracy: Option<Accuracy>,
    total: Totals,
    arrays: Vec<ArrayTotals>,
    bit_positions: Vec<PositionTotals>,
}

#[derive(Serialize)]
struct ArrayTotals {
    layer: String,
    tensor: TensorKind,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Serialize)]
struct PositionTotals {
    bit: u8,
    #[serde(flatten)]
    totals: Totals,
}

impl OracleReport<'_> {
    /// A row per bit, in the order of the sites:
    /// `layer,tensor,index,bit,golden,faulty,changed_events,mean_error,error_rise`.
    ///
    /// `golden` and `faulty` are the real values of the register without and with the flip; `mean_error` is the mean
    /// over all events with the flip, `error_rise` that minus the fault-free mean (summed event by event, so that it is
    /// exactly zero where nothing changes). Numbers have as many digits as it takes to read back the same number. Where the
    /// error is whether an event is classified wrongly, `mispredictions` stands behind `changed_events`: the events that
    /// are classified correctly without the flip and wrongly with it.
    pub fn csv(&self) -> String {
        self.table().csv()
    }

    /// The rows of [`OracleReport::csv`], in the form that the name of the file asks for: Parquet for `.parquet`, otherwise
    /// CSV.
    ///
    /// # Errors
    /// When Parquet cannot hold them.
    pub fn to_bytes(&self, file: &Path, provenance: &Provenance) -> Result<Vec<u8>, ReportError> {
        self.table().to_bytes(file, provenance)
    }

    const fn unit(&self) -> ErrorUnit<'_> {
        ErrorUnit::new(self.metric, self.oracle.events())
    }

    fn table(&self) -> BitTable<'_> {
        let sites = &self.sites.sites;
        let reals = |name, values: Vec<f64>| BitColumn {
            name: Cow::Borrowed(name),
            values: BitValues::Reals(Cow::Owned(values)),
        };
        let changed = self.oracle.outcomes().iter().map(|outcome| outcome.changed_events).collect();
        let mut columns = vec![
            reals("golden", sites.iter().map(|site| site.golden).collect()),
            reals("faulty", sites.iter().map(|site| site.faulty).collect()),
            BitColumn { name: Cow::Borrowed("changed_events"), values: BitValues::Counts(changed) },
            reals("mean_error", (0..sites.len()).map(|position| self.oracle.mean_error(position)).collect()),
            reals("error_rise", self.oracle.error_rises()),
        ];
        if self.unit().counts_mispredictions() {
            let counts = self.oracle.outcomes().iter().map(SiteOutcome::mispredictions).collect();
            let column = BitColumn { name: Cow::Borrowed("mispredictions"), values: BitValues::Counts(counts) };
            columns.insert(3, column);
        }
        BitTable { sites: self.sites, columns }
    }

    /// Totals as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let (total, arrays, positions) = self.totals();
        let summary = Summary {
            provenance,
            metric: self.metric,
            events: self.oracle.events(),
            golden_mean_error: self.oracle.golden_mean(),
            accuracy: self.unit().accuracy(self.oracle.golden_mean()),
            total,
            arrays: arrays.into_iter().map(|(layer, tensor, totals)| ArrayTotals { layer, tensor, totals }).collect(),
            bit_positions: positions.into_iter().map(|(bit, totals)| PositionTotals { bit, totals }).collect(),
        };
        let mut text = serde_json::to_string_pretty(&summary).expect("strings and numbers have a JSON form");
        text.push('\n');
        text
    }

    /// Totals as tables for people.
    pub fn tables(&self) -> String {
        let (total, arrays, positions) = self.totals();
        let unit = self.unit();
        let numbers = ["bits", "effective", "sensitive", unit.name("summed rise", "mispredictions"), "of all"];
        let columns = |names: &[&'static str]| -> Vec<(&str, Side)> {
            let left = names.iter().map(|name| (*name, Side::Left));
            left.chain(numbers.map(|name| (name, Side::Right))).collect()
        };
        let mut by_array = TextTable::new(&columns(&["layer", "tensor"]));
        for (layer, tensor, totals) in &arrays {
            by_array.row(totals.row(vec![layer.clone(), tensor.to_string()], total.rise));
        }
        if arrays.len() > 1 {
            by_array.row(total.row(vec!["all".to_owned(), String::new()], total.rise));
        }
        let mut by_position = TextTable::new(&columns(&["bit (0 = MSB)"]));
        for (bit, totals) in &positions {
            by_position.row(totals.row(vec![bit.to_string()], total.rise));
        }
        format!(
            "{} events, {}\n\n{by_array}\n{by_position}\
             effective: changes the output of at least one event; sensitive: {}.\n{}",
            grouped(self.oracle.events()),
            unit.fault_free(self.oracle.golden_mean()),
            unit.sensitive(),
            unit.name("", "mispredictions: over all flips, of events that are classified correctly without them.\n"),
        )
    }

    #[expect(clippy::type_complexity, reason = "three small lists, taken apart at once")]
    fn totals(&self) -> (Totals, Vec<(String, TensorKind, Totals)>, Vec<(u8, Totals)>) {
        let mut all = Totals::default();
        let mut arrays: Vec<(String, TensorKind, Totals)> =
            self.sites.arrays.iter().map(|(layer, tensor)| (layer.clone(), *tensor, Totals::default())).collect();
        let mut positions: Vec<(u8, Totals)> = (0..=u8::MAX).map(|bit| (bit, Totals::default())).collect();
        for (position, site) in self.sites.sites.iter().enumerate() {
            let (outcome, rise) = (&self.oracle.outcomes()[position], self.oracle.error_rise(position));
            let mispredictions = self.unit().counts_mispredictions().then(|| outcome.mispredictions());
            for totals in [&mut all, &mut arrays[site.array].2, &mut positions[usize::from(site.bit)].1] {
                totals.add(outcome.changed_events, rise, mispredictions);
            }
        }
        arrays.retain(|(_, _, totals)| totals.bits > 0);
        positions.retain(|(_, totals)| totals.bits > 0);
        (all, arrays, positions)
    }
}

/// A CSV cell; quoted where a comma, quote or line break would end it early.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
