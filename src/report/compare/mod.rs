//! Designs side by side: what results of several runs say together, as one HTML page, CSV, JSON and a table.
//!
//! Flips and missions were run by other verbs. This orders bits by their scores and adds up their rises (curves), counts by bit
//! position, tells which points nothing beats (fronts), and shows the rest as it was written.

mod error;
mod gather;
mod groups;
mod labels;
pub mod page;
mod tables;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use error::CompareError;
pub use gather::gather;

use super::oracle::quoted;
use super::{DesignFacts, Provenance};
use crate::import::results::{PointForm, StoredResult, TargetForm};

/// A result with the label it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedResult {
    /// Its label; none for the name of its design.
    pub label: Option<String>,
    /// The result.
    pub result: StoredResult,
}

/// Results of any number of designs and plans.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// By label, in the order in which they were first named.
    pub systems: Vec<System>,
    /// Every result read, in the order given.
    pub sources: Vec<Source>,
}

/// A result as read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// Its file or folder, as named.
    pub path: String,
    /// Verb that wrote it: sweep, simulate, oracle or analyze.
    pub verb: String,
    /// Label of its system.
    pub system: String,
    /// How it was made.
    pub provenance: Provenance,
}

/// A design on its events: everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct System {
    /// What it is called on the page.
    pub label: String,
    /// Fingerprint of its registers and arithmetic.
    pub fingerprint: String,
    /// Size and times, where a sweep or missions say so.
    pub facts: Option<DesignFacts>,
    /// Error of the design without faults, where a sweep or an oracle says so.
    pub error: Option<ErrorFacts>,
    /// Area, where a sweep says so.
    pub area: Option<AreaFacts>,
    /// What single flips do, where a sweep or an oracle says so.
    pub bits: Option<BitFacts>,
    /// Trade-offs of area against risk.
    pub sweeps: Vec<SweepEntry>,
    /// Error rise of every bit, where there is an oracle.
    pub map: Option<BitMap>,
    /// By bit position, from the MSB on.
    pub positions: Vec<PositionEntry>,
    /// Cumulative error of rankings, best first.
    pub curves: Vec<Curve>,
    /// Missions.
    pub missions: Vec<MissionEntry>,
    /// Derivatives.
    pub analyses: Vec<AnalysisEntry>,
}

/// How errors were measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorFacts {
    /// Name of the error.
    pub metric: String,
    /// Number of events.
    pub events: usize,
    /// Mean error without a fault.
    pub golden_mean: f64,
}

/// Area without protection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AreaFacts {
    /// Name of the technology.
    pub technology: String,
    /// Unit of all areas, as costs are written: GE or LUT equivalents.
    pub unit: String,
    /// Of all weight and bias registers.
    pub registers: f64,
    /// Of the whole accelerator.
    pub accelerator: f64,
}

/// What single flips do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BitFacts {
    /// Bits flipped.
    pub candidates: usize,
    /// Bits whose flip changes an output, where that was counted.
    pub effective: Option<usize>,
    /// Bits whose flip raises the mean error.
    pub sensitive: usize,
    /// Sum of the error rises.
    pub rise: f64,
    /// The file that lists these bits, where they were chosen by one: of others of the design nothing is known.
    pub listed_in: Option<String>,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepEntry {
    /// Number of its source.
    pub source: usize,
    /// Style of rankings: how a bit that one chooses is protected.
    pub protection: String,
    /// Its technology.
    pub technology: String,
    /// Unit of its areas, as costs are written.
    pub unit: String,
    /// By ranking, then by budget.
    pub points: Vec<SweepRow>,
    /// By ranking, then by share.
    pub targets: Vec<TargetForm>,
}

/// A point of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepRow {
    /// As the sweep has it.
    #[serde(flatten)]
    pub point: PointForm,
    /// Whether nothing is better in the system's sweeps of this technology: less risk for as much area or less, or as much
    /// risk for less area. To protect nothing counts, too.
    pub is_on_front: bool,
}

/// Error rise of every bit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BitMap {
    /// In the order of the registers, up to the last register and bit flipped.
    pub arrays: Vec<MapArray>,
    /// By array, register and bit, MSB first; none where a bit was not flipped. Not part of the JSON.
    #[serde(skip)]
    pub rises: Vec<Option<f32>>,
}

/// Registers of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapArray {
    /// Layer.
    pub layer: String,
    /// kernel or bias.
    pub tensor: String,
    /// Registers, up to the last one flipped.
    pub registers: usize,
    /// Bits of each, up to the last one flipped.
    pub width: usize,
}

/// Bits at one position.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PositionEntry {
    /// Position, 0 is the MSB.
    pub bit: usize,
    /// Bits flipped.
    pub bits: usize,
    /// Of these, sensitive.
    pub sensitive: usize,
    /// Sum of their error rises.
    pub rise: f64,
}

/// Summed error rise of the first bits of a ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The ranking; with its seed or file where a sweep has another of that name.
    pub ranking: String,
    /// Number of the source of its scores.
    pub source: usize,
    /// Its lines in sweeps, by source and name: those that have the same share removed at every budget.
    pub lines: Vec<(usize, String)>,
    /// Area under the curve relative to the oracle's, where that is above 0.
    pub area: Option<f64>,
    /// Shares of the bits, rising, from 0 to 1.
    pub bits: Vec<f64>,
    /// Share of the summed error rise among so many.
    pub rise: Vec<f64>,
}

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanEntry {
    /// The mean.
    pub mean: f64,
    /// Ends of its interval, where it has one.
    pub interval: Option<[f64; 2]>,
}

/// A scenario of missions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissionEntry {
    /// Number of its source.
    pub source: usize,
    /// Environment, with its rate of strikes.
    pub environment: String,
    /// Cluster sizes.
    pub cluster_sizes: Option<String>,
    /// Style of protected bits.
    pub style: String,
    /// File of the plan, where there is one.
    pub plan: Option<String>,
    /// Scrub period.
    pub scrub: String,
    /// Length of a mission.
    pub mission_s: f64,
    /// Number of missions.
    pub replicas: usize,
    /// Confidence of each interval.
    pub confidence: f64,
    /// Name of the error.
    pub metric: String,
    /// Events that errors were judged on.
    pub events: usize,
    /// Bits with more than one copy.
    pub protected_bits: usize,
    /// Strikes in a mission.
    pub strikes: MeanEntry,
    /// Share of wrong outputs.
    pub wrong_share: MeanEntry,
    /// Rise of the mean error.
    pub error_rise: MeanEntry,
    /// Mean time to the first wrong output, censored ones counted with the mission's length, in seconds.
    pub first_wrong_s: MeanEntry,
    /// What that time is longer than, in seconds, where no mission saw one.
    pub first_wrong_at_least_s: Option<f64>,
    /// Ends of the parts of a mission, in seconds.
    pub times_s: Vec<f64>,
    /// Rise of the mean error, part by part.
    pub error_rise_by_time: Vec<MeanEntry>,
    /// Share of wrong outputs, part by part.
    pub wrong_share_by_time: Vec<MeanEntry>,
}

/// Derivatives of a loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnalysisEntry {
    /// Number of its source.
    pub source: usize,
    /// The loss.
    pub loss: String,
    /// Number of events.
    pub events: usize,
    /// Its mean.
    pub mean_loss: f64,
    /// Length of its gradient.
    pub gradient_norm: f64,
    /// Eigenvalues of its Hessian of largest magnitude.
    pub eigenvalues: Vec<f64>,
    /// By layer: name and trace (exact where known, otherwise estimated).
    pub traces: Vec<(String, f64)>,
}

impl Comparison {
    /// Everything but the rises of single bits as JSON.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and finite numbers have a JSON form");
        text.push('\n');
        text
    }

    /// A row per system, sweep, ranking and budget.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "system,result,technology,protection,ranking,budget,bits_protected,area_added,area_unit,share_of_registers,\
             share_of_accelerator,rise_remaining,share_removed,price,sensitive_remaining,mean_rise_per_upset,on_front,plan,method,gap\n",
        );
        let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for system in &self.systems {
            for sweep in &system.sweeps {
                for SweepRow { point, is_on_front } in &sweep.points {
                    let planning = point.planning.as_ref();
                    let row = [
                        quoted(&system.label),
                        quoted(&self.sources[sweep.source].path),
                        quoted(&sweep.technology),
                        quoted(&point.protection),
                        quoted(&point.ranking),
                        quoted(&point.budget),
                        point.bits_protected.to_string(),
                        point.area_added.to_string(),
                        sweep.unit.clone(),
                        point.share_of_registers.to_string(),
                        point.share_of_accelerator.to_string(),
                        point.rise_remaining.to_string(),
                        optional(point.share_removed),
                        optional(point.price),
                        point.sensitive_remaining.to_string(),
                        point.mean_rise_per_upset.to_string(),
                        is_on_front.to_string(),
                        quoted(point.plan.as_deref().unwrap_or_default()),
                        quoted(planning.map_or("", |planning| planning.method.as_str())),
                        optional(planning.map(|planning| planning.gap)),
                    ];
                    text.push_str(&row.join(","));
                    text.push('\n');
                }
            }
        }
        text
    }
}
