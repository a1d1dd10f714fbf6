//! Inference: arrays as NPZ, a summary as table and JSON.

use std::io::Cursor;

use serde::Serialize;

use super::npz::{NpzError, NpzWriter, Packing};
use super::{Provenance, Side, TextTable, grouped, significant};
use crate::campaign::{ExactSum, Inference};
use crate::net::Network;
use crate::num::cast;

/// Inference of some events.
#[derive(Debug, Clone, Copy)]
pub struct InferReport<'a> {
    /// By event.
    pub inference: &'a [Inference],
    /// The accelerator.
    pub network: &'a Network,
    /// Name of the error measured.
    pub metric: &'a str,
}

#[derive(Serialize)]
struct Summary<'a> {
    provenance: &'a Provenance,
    metric: &'a str,
    events: usize,
    mean_error: f64,
    median_error: f64,
    max_error: f64,
    outputs: usize,
    outputs_never_used: usize,
}

impl InferReport<'_> {
    fn summary<'s>(&'s self, provenance: &'s Provenance) -> Summary<'s> {
        let mut errors: Vec<f64> = self.inference.iter().map(|event| event.error).collect();
        errors.sort_by(f64::total_cmp);
        let sum: ExactSum = errors.iter().copied().map(ExactSum::of).sum();
        let outputs = self.network.output().len();
        let used = |output: &usize| self.inference.iter().any(|event| event.codes[*output] != 0);
        Summary {
            provenance,
            metric: self.metric,
            events: errors.len(),
            mean_error: sum.value() / cast::f64_from_count(errors.len()),
            median_error: errors[errors.len() / 2],
            max_error: errors[errors.len() - 1],
            outputs,
            outputs_never_used: outputs - (0..outputs).filter(used).count(),
        }
    }

    /// The summary as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let summary = self.summary(provenance);
        let mut text = serde_json::to_string_pretty(&summary).expect("strings and finite numbers have a JSON form");
        text.push('\n');
        text
    }

    /// The summary for people.
    pub fn table(&self) -> String {
        let provenance = Provenance::new(Vec::new(), String::new());
        let summary = self.summary(&provenance);
        let mut table = TextTable::new(&[
            ("error", Side::Left),
            ("mean", Side::Right),
            ("median", Side::Right),
            ("max", Side::Right),
        ]);
        table.row([
            self.metric.to_owned(),
            significant(summary.mean_error),
            significant(summary.median_error),
            significant(summary.max_error),
        ]);
        let unused = match summary.outputs_never_used {
            0 => String::new(),
            unused => format!(", {unused} of them zero in every event"),
        };
        format!("{} events, {} outputs{unused}\n\n{table}", grouped(summary.events), summary.outputs)
    }

    /// Arrays `latent` (f32 values), `codes` (i64 integers), `decoded` (f32) with a row per event, `error` (f64) per event,
    /// and `provenance` (its JSON as bytes).
    ///
    /// # Errors
    /// When the archive cannot be made.
    pub fn npz(&self, provenance: &Provenance) -> Result<Vec<u8>, NpzError> {
        let events = self.inference.len();
        let first = &self.inference[0];
        let latent: Vec<f32> = self.inference.iter().flat_map(|event| event.latent.iter().copied()).collect();
        let codes: Vec<i64> = self.inference.iter().flat_map(|event| event.codes.iter().copied()).collect();
        let decoded: Vec<f32> = self.inference.iter().flat_map(|event| event.decoded.iter().copied()).collect();
        let error: Vec<f64> = self.inference.iter().map(|event| event.error).collect();
        let provenance = serde_json::to_vec(provenance).expect("strings and numbers have a JSON form");
        let mut archive = NpzWriter::new(Cursor::new(Vec::new()), Packing::Deflated);
        archive.add("latent", &[events, first.latent.len()], latent.as_slice())?;
        archive.add("codes", &[events, first.codes.len()], codes.as_slice())?;
        archive.add("decoded", &[events, first.decoded.len()], decoded.as_slice())?;
        archive.add("error", &[events], error.as_slice())?;
        archive.add("provenance", &[provenance.len()], provenance.as_slice())?;
        Ok(archive.finish()?.into_inner())
    }
}
