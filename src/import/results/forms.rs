//! What result files hold, as far as designs are compared by it. Further fields are not looked at.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Provenance;
use crate::net::TensorKind;

/// Size and times of a design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesignFacts {
    /// Its name.
    pub name: String,
    /// Weight and bias registers.
    pub registers: usize,
    /// Their bits.
    pub register_bits: usize,
    /// Way the accelerator is built: `econ_t`, parallel or stream.
    pub io: String,
    /// Its clock.
    pub clock_mhz: f64,
    /// From a frame to its result, in cycles.
    pub latency_cycles: u64,
    /// The same in seconds.
    pub latency_s: f64,
    /// From one frame to the next, in cycles.
    pub interval_cycles: u64,
}

/// A sweep: `sweep.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SweepForm {
    /// How it was made.
    pub provenance: Provenance,
    /// The design.
    pub design: DesignFacts,
    /// Name of the error measured.
    pub metric: String,
    /// Number of events.
    pub events: usize,
    /// Mean error without a fault.
    pub golden_mean_error: f64,
    /// Style of rankings: how a bit that one chooses is protected.
    pub protection: String,
    /// Name of the technology.
    pub technology: String,
    /// Unit of areas: `ge` or `lut_ff`.
    pub area_unit: String,
    /// What protecting a bit in the style of rankings adds.
    pub area_per_bit: Option<f64>,
    /// Area of all weight and bias registers.
    pub register_area: f64,
    /// Area of the accelerator.
    pub accelerator_area: f64,
    /// The candidates without protection.
    pub unprotected: UnprotectedForm,
    /// By ranking, then by budget.
    pub points: Vec<PointForm>,
    /// By ranking, then by share.
    pub targets: Vec<TargetForm>,
}

/// What it takes to remove a share of the summed error rise; nothing where a ranking never does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetForm {
    /// The ranking.
    pub ranking: String,
    /// The share, 0 to 1.
    pub share: f64,
    /// Bits protected.
    pub bits_protected: Option<usize>,
    /// Area added.
    pub area_added: Option<f64>,
    /// The same, as a share of the accelerator.
    pub share_of_accelerator: Option<f64>,
}

/// The candidates of a sweep without protection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UnprotectedForm {
    /// Bits flipped.
    pub candidate_bits: usize,
    /// Sum of their error rises.
    pub rise: f64,
    /// Bits whose flip raises the mean error.
    pub sensitive_bits: usize,
}

/// A ranking, or what a planner chose, at a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointForm {
    /// The ranking.
    pub ranking: String,
    /// The budget as asked for.
    pub budget: String,
    /// The measures used: one or more, or `none`.
    pub protection: String,
    /// Bits protected.
    pub bits_protected: usize,
    /// Area added.
    pub area_added: f64,
    /// The same, as a share of all registers.
    pub share_of_registers: f64,
    /// The same, as a share of the accelerator.
    pub share_of_accelerator: f64,
    /// Summed error rise of the bits left unprotected, and of what a measure is said to leave.
    pub rise_remaining: f64,
    /// Share of the summed error rise removed.
    pub share_removed: Option<f64>,
    /// Share of the summed error rise that the best choice of bits in the style of rankings removes for the budget, minus
    /// that removed: the price of choosing this way.
    #[serde(default)]
    pub price: Option<f64>,
    /// Bits left whose flip raises the mean error.
    pub sensitive_remaining: usize,
    /// Mean error rise of an upset of a cell.
    pub mean_rise_per_upset: f64,
    /// File of the plan in the result's folder, where a plan can say what was chosen.
    pub plan: Option<String>,
    /// How it came about, where it was planned.
    #[serde(default)]
    pub planning: Option<PlanningForm>,
    /// What injection found, where the sweep was verified.
    #[serde(default)]
    pub verified: Option<Value>,
}

/// How a planned point came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanningForm {
    /// How the plan was found.
    pub method: String,
    /// How much more another plan for this budget could take away at most, as a share of all that can be; 0 where this one
    /// is the best.
    pub gap: f64,
    /// What the budget was good for.
    pub verdict: String,
}

/// Totals of an oracle: what stands beside its rows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TotalsForm {
    /// How it was made.
    pub provenance: Provenance,
    /// Name of the error measured.
    pub metric: String,
    /// Number of events.
    pub events: usize,
    /// Mean error without a fault.
    pub golden_mean_error: f64,
    /// Over all bits.
    pub total: TotalForm,
    /// By array, in the order of the registers.
    pub arrays: Vec<ArrayForm>,
}

/// Totals over all bits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TotalForm {
    /// Bits flipped.
    pub bits: usize,
    /// Bits whose flip changes an output.
    pub effective: usize,
    /// Bits whose flip raises the mean error.
    pub sensitive: usize,
    /// Sum of the error rises.
    pub rise: f64,
}

/// Flipped bits of an array.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ArrayForm {
    /// The layer.
    pub layer: String,
    /// The tensor.
    pub tensor: TensorKind,
    /// Bits flipped.
    pub bits: usize,
}

/// What stands beside a file of scores.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScoresForm {
    /// How they were made.
    pub provenance: Provenance,
    /// Bits scored.
    pub bits: usize,
    /// Names of the scores: columns of the file.
    pub scores: Vec<String>,
}

/// Missions: `simulate.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MissionsForm {
    /// How they were made.
    pub provenance: Provenance,
    /// The design.
    pub design: DesignFacts,
    /// What scenarios have in common.
    pub mission: MissionForm,
    /// The scenarios.
    pub scenarios: Vec<ScenarioForm>,
}

/// What scenarios have in common.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MissionForm {
    /// Name of the environment.
    pub environment: String,
    /// Rate of strikes in words.
    pub rate: Option<String>,
    /// Cluster sizes.
    pub cluster_sizes: Option<String>,
    /// File of the plan.
    pub plan: Option<String>,
    /// Length, in seconds.
    pub mission_s: f64,
    /// Number of missions.
    pub replicas: usize,
    /// Confidence of each interval.
    pub confidence: f64,
    /// Name of the error.
    pub metric: String,
    /// Number of events.
    pub events: usize,
}

/// One way to protect the registers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ScenarioForm {
    /// Style of protected bits.
    pub style: String,
    /// Scrub period.
    pub scrub: String,
    /// Bits with more than one copy.
    pub protected_bits: usize,
    /// Figures over missions.
    pub per_mission: PerMissionForm,
    /// Time to the first wrong output.
    pub first_wrong_output: FirstWrongForm,
    /// Part by part.
    pub timeline: Vec<TimeForm>,
}

/// Figures over missions.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct PerMissionForm {
    /// Strikes.
    pub strikes: EstimateForm,
    /// Share of wrong outputs.
    pub wrong_share: EstimateForm,
    /// Rise of the mean error.
    pub error_rise: EstimateForm,
}

/// Time to the first wrong output.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct FirstWrongForm {
    /// Its mean, missions that saw none counted with their length.
    pub restricted_mean_s: EstimateForm,
    /// What the mean time is longer than, where no mission saw one.
    pub at_least_s: Option<f64>,
}

/// A part of a mission.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct TimeForm {
    /// Its end, in seconds.
    pub to_s: f64,
    /// Share of wrong outputs.
    pub wrong_share: EstimateForm,
    /// Rise of the mean error.
    pub error_rise: EstimateForm,
}

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct EstimateForm {
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// Derivatives: what stands beside their arrays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DerivativesForm {
    /// How they were made.
    pub provenance: Provenance,
    /// The loss.
    pub loss: String,
    /// Number of events.
    pub events: usize,
    /// Its mean.
    pub mean_loss: f64,
    /// Length of the gradient.
    pub gradient_norm: f64,
    /// Eigenvalues of largest magnitude.
    pub eigenvalues: Vec<f64>,
    /// By layer.
    pub layers: Vec<LayerForm>,
}

/// Derivatives of a layer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LayerForm {
    /// Its name.
    pub name: String,
    /// Trace of the Hessian from random probes.
    pub trace_estimate: f64,
    /// The exact one, where it is known.
    #[serde(default)]
    pub trace: Option<f64>,
}
