//! Inference: arrays as NPZ, a summary as table and JSON.

use std::io::Cursor;

use serde::Serialize;

use super::npz::{NpzError, NpzWriter, Packing};
use super::{Provenance, Side, TextTable, grouped, percent, significant};
use crate::campaign::{ClassCount, Decision, ErrorSummary, Inference};
use crate::net::Network;
use crate::num::cast;

/// Most classes that are shown one by one.
const MOST_CLASS_ROWS: usize = 20;

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
    /// How the events are classified, by class, where they have labels.
    pub classes: Option<&'a [ClassCount]>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<Classification<'a>>,
}

#[derive(Serialize)]
struct Classification<'a> {
    correct_events: usize,
    accuracy: f64,
    classes: &'a [ClassCount],
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
            classification: self.classes.map(|classes| Classification {
                correct_events: correct(classes),
                accuracy: share(correct(classes), self.inference.len()),
                classes,
            }),
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
        let mut text = format!(
            "{} events, {} outputs{unused}\n\n{table}",
            grouped(self.inference.len()),
            self.network.output().len()
        );
        if let Some(classes) = self.classes {
            text += &self.class_table(classes);
        }
        text
    }

    /// Accuracy, in all and by class.
    fn class_table(&self, classes: &[ClassCount]) -> String {
        let (correct, events) = (correct(classes), self.inference.len());
        let accuracy = percent(share(correct, events), 2);
        let mut text = format!("\ncorrectly classified: {} of {} ({accuracy})\n", grouped(correct), grouped(events));
        if classes.len() <= MOST_CLASS_ROWS {
            let right = |name| (name, Side::Right);
            let columns = ["class", "events", "correct", "accuracy", "predicted"].map(right);
            let mut table = TextTable::new(&columns);
            for (class, count) in classes.iter().enumerate() {
                let accuracy = percent(share(count.correct, count.events), 1);
                table.row([
                    class.to_string(),
                    grouped(count.events),
                    grouped(count.correct),
                    if count.events == 0 { String::new() } else { accuracy },
                    grouped(count.predicted),
                ]);
            }
            text += &format!("\n{table}");
        }
        text
    }

    /// Arrays `latent` (f32 values), `codes` (i64 integers), `decoded` (f32) with a row per event, `error` (f64) per
    /// event, and `provenance` (its JSON as bytes). Where events have labels, also `class` and `label` (i64, from 0) and
    /// `correct` (0 or 1) per event; without a decoder, `latent` are the logits.
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
        let decisions: Option<Vec<_>> = self.inference.iter().map(|event| event.decision).collect();
        if let Some(decisions) = decisions {
            let numbers = |of: fn(&Decision) -> usize| -> Vec<i64> {
                decisions.iter().map(|decision| cast::i64_from_len(of(decision))).collect()
            };
            let correct: Vec<u8> = decisions.iter().map(|decision| u8::from(decision.is_correct())).collect();
            archive.add("class", &[events], numbers(|decision| decision.class).as_slice())?;
            archive.add("label", &[events], numbers(|decision| decision.label).as_slice())?;
            archive.add("correct", &[events], correct.as_slice())?;
        }
        archive.add("provenance", &[provenance.len()], provenance.as_slice())?;
        Ok(archive.finish()?.into_inner())
    }
}

fn correct(classes: &[ClassCount]) -> usize {
    classes.iter().map(|count| count.correct).sum()
}

fn share(part: usize, whole: usize) -> f64 {
    cast::f64_from_count(part) / cast::f64_from_count(whole)
}
