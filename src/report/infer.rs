//! Inference: arrays as NPZ, a summary as table and JSON.

use std::io::Cursor;

use serde::Serialize;

use super::npz::{NpzError, NpzWriter, Packing};
use super::{Provenance, Side, TextTable, grouped, significant};
use crate::campaign::{ErrorSummary, Inference};
use crate::net::Network;

/// Inference of some events.
#[derive(Debug, Clone, Copy)]
pub struct InferReport<'a> {
    /// By event.
    pub inference: &'a [Inference],
    /// Their errors.
    pub errors: ErrorSummary,
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
    /// The summary as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let summary = Summary {
            provenance,
            metric: self.metric,
            events: self.inference.len(),
            mean_error: self.errors.mean,
            median_error: self.errors.median,
            max_error: self.errors.max,
            outputs: self.network.output().len(),
            outputs_never_used: self.errors.unused_outputs,
        };
        let mut text = serde_json::to_string_pretty(&summary).expect("strings and finite numbers have a JSON form");
        text.push('\n');
        text
    }

    /// The summary for people.
    pub fn table(&self) -> String {
        let mut table = TextTable::new(&[
            ("error", Side::Left),
            ("mean", Side::Right),
            ("median", Side::Right),
            ("max", Side::Right),
        ]);
        table.row([
            self.metric.to_owned(),
            significant(self.errors.mean),
            significant(self.errors.median),
            significant(self.errors.max),
        ]);
        let unused = match self.errors.unused_outputs {
            0 => String::new(),
            unused => format!(", {unused} of them zero in every event"),
        };
        format!("{} events, {} outputs{unused}\n\n{table}", grouped(self.inference.len()), self.network.output().len())
    }

    /// Arrays `latent` (f32 values), `codes` (i64 integers), `decoded` (f32) with a row per event, `error` (f64) per
    /// event, and `provenance` (its JSON as bytes).
    ///
    /// # Errors
    /// When the archive cannot be made.
    pub fn npz(&self, provenance: &Provenance) -> Result<Vec<u8>, NpzError> {
        let events = self.inference.len();
        let latent: Vec<f32> = self.inference.iter().flat_map(|event| event.latent.iter().copied()).collect();
        let codes: Vec<i64> = self.inference.iter().flat_map(|event| event.codes.iter().copied()).collect();
        let decoded: Vec<f32> = self.inference.iter().flat_map(|event| event.decoded.iter().copied()).collect();
        let error: Vec<f64> = self.inference.iter().map(|event| event.error).collect();
        let provenance = serde_json::to_vec(provenance).expect("strings and numbers have a JSON form");
        let mut archive = NpzWriter::new(Cursor::new(Vec::new()), Packing::Deflated);
        archive.add("latent", &[events, latent.len() / events.max(1)], latent.as_slice())?;
        archive.add("codes", &[events, codes.len() / events.max(1)], codes.as_slice())?;
        archive.add("decoded", &[events, decoded.len() / events.max(1)], decoded.as_slice())?;
        archive.add("error", &[events], error.as_slice())?;
        archive.add("provenance", &[provenance.len()], provenance.as_slice())?;
        Ok(archive.finish()?.into_inner())
    }
}
