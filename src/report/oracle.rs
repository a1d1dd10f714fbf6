//! The oracle's outcome: a row per bit as CSV or Parquet, totals per array and per bit position as tables and JSON.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use super::bit_table::{BitColumn, BitTable, BitValues};
use super::{Provenance, ReportError, Side, SiteTable, TextTable, grouped, percent, significant};
use crate::campaign::Oracle;
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
}

impl Totals {
    fn add(&mut self, changed_events: u32, rise: f64) {
        self.bits += 1;
        self.effective += usize::from(changed_events > 0);
        self.sensitive += usize::from(rise > 0.0);
        self.rise += rise;
    }

    fn row(&self, name: Vec<String>, all: f64) -> Vec<String> {
        let share = |count: usize| percent(cast::f64_from_count(count) / cast::f64_from_count(self.bits), 1);
        let mut row = name;
        row.extend([
            grouped(self.bits),
            share(self.effective),
            share(self.sensitive),
            significant(self.rise),
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
    /// exactly zero where nothing changes). Numbers have as many digits as it takes to read back the same number.
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

    fn table(&self) -> BitTable<'_> {
        let sites = &self.sites.sites;
        let reals = |name, values: Vec<f64>| BitColumn {
            name: Cow::Borrowed(name),
            values: BitValues::Reals(Cow::Owned(values)),
        };
        let changed = self.oracle.outcomes().iter().map(|outcome| outcome.changed_events).collect();
        let columns = vec![
            reals("golden", sites.iter().map(|site| site.golden).collect()),
            reals("faulty", sites.iter().map(|site| site.faulty).collect()),
            BitColumn { name: Cow::Borrowed("changed_events"), values: BitValues::Counts(changed) },
            reals("mean_error", (0..sites.len()).map(|position| self.oracle.mean_error(position)).collect()),
            reals("error_rise", self.oracle.error_rises()),
        ];
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
        let numbers = ["bits", "effective", "sensitive", "summed rise", "of all"];
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
            "{} events, fault-free mean error ({}) {}\n\n{by_array}\n{by_position}\
             effective: changes the output of at least one event; sensitive: raises the mean error.\n",
            grouped(self.oracle.events()),
            self.metric,
            significant(self.oracle.golden_mean()),
        )
    }

    #[expect(clippy::type_complexity, reason = "three small lists, taken apart at once")]
    fn totals(&self) -> (Totals, Vec<(String, TensorKind, Totals)>, Vec<(u8, Totals)>) {
        let mut all = Totals::default();
        let mut arrays: Vec<(String, TensorKind, Totals)> =
            self.sites.arrays.iter().map(|(layer, tensor)| (layer.clone(), *tensor, Totals::default())).collect();
        let mut positions: Vec<(u8, Totals)> = (0..=u8::MAX).map(|bit| (bit, Totals::default())).collect();
        for (position, site) in self.sites.sites.iter().enumerate() {
            let (changed, rise) = (self.oracle.outcomes()[position].changed_events, self.oracle.error_rise(position));
            all.add(changed, rise);
            arrays[site.array].2.add(changed, rise);
            positions[usize::from(site.bit)].1.add(changed, rise);
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
