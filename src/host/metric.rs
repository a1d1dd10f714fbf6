//! `ErrorMetric`: the ways to put a number on how wrong an output is.
//!
//! Names and meaning only; `evaluator` computes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the error of an output is. Larger is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorMetric {
    /// Earth mover's distance between the charges of a module and the decoded cells, both normalized to sum 1, over the
    /// Euclidean distance of cell centers; unit: half the pitch of a trigger cell. A decoder output that sums up to 0
    /// counts as [`EMPTY_OUTPUT`].
    Emd,
    /// Telescope loss between the normalized charges of a module and the decoded cells ([`super::loss::telescope`]).
    Telescope,
    /// Mean squared error between what went in and what was decoded: over the 48 cells of a module (normalized
    /// charges), over all values of a tensor.
    Mse,
    /// Mean squared difference between the accelerator's output and its fault-free output, for designs without decoder.
    Deviation,
    /// Whether an event is classified wrongly: 0 where the class of the output ([`super::classes::class_of`]) is the
    /// event's label, with the fault and without, otherwise 1. So what rises are mispredictions among the events that are
    /// classified correctly without faults; an event that is wrong without them stays wrong.
    Misprediction,
    /// Cross entropy between the softmax of the outputs and the label of an event ([`super::classes::cross_entropy`]).
    CrossEntropy,
}

/// Earth mover's distance of a module whose decoder output sums up to 0, as the original ECON-T evaluation counts it
/// (`fastmachinelearning/fastml-science`, `sensor-data-compression/utils/metrics.py`). Negative, so it cannot be taken
/// for a distance; and so an all-zero output looks better than any other.
pub const EMPTY_OUTPUT: f64 = -0.5;

/// No metric has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no metric `{name}`; choose emd, telescope, mse, deviation, misprediction or cross-entropy")]
pub struct UnknownMetric {
    /// The name as given.
    pub name: String,
}

impl ErrorMetric {
    /// All metrics, in the order of this enum.
    pub const ALL: [Self; 6] =
        [Self::Emd, Self::Telescope, Self::Mse, Self::Deviation, Self::Misprediction, Self::CrossEntropy];

    /// The name in command lines and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emd => "emd",
            Self::Telescope => "telescope",
            Self::Mse => "mse",
            Self::Deviation => "deviation",
            Self::Misprediction => "misprediction",
            Self::CrossEntropy => "cross-entropy",
        }
    }

    /// Whether it compares outputs with the label of an event.
    pub const fn needs_labels(self) -> bool {
        matches!(self, Self::Misprediction | Self::CrossEntropy)
    }
}

impl fmt::Display for ErrorMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ErrorMetric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        let known = Self::ALL.into_iter().find(|metric| metric.name() == name);
        known.ok_or_else(|| UnknownMetric { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for metric in ErrorMetric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("\"{metric}\""));
            assert_eq!(serde_json::from_str::<ErrorMetric>(&format!("\"{metric}\"")).unwrap(), metric);
        }
        let error = "EMD".parse::<ErrorMetric>().unwrap_err();
        let expected =
            "there is no metric `EMD`; choose emd, telescope, mse, deviation, misprediction or cross-entropy";
        assert_eq!(error.to_string(), expected);
    }
}
