//! Guided campaigns: what they are to promise. Not a verb of its own; `Flips` flips.

use clap::Args;

use crate::campaign::{Confidence, GuidedPlan, MissingShare};

/// What a guided campaign is to promise.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Guided campaign")]
pub struct GuidedArguments {
    /// Stop when no more than this share of the summed error rise of the bits that raise it can be missing, such as 1%
    /// or 0.01
    /// [default: 1%]
    #[arg(long, value_name = "SHARE")]
    pub missing: Option<MissingShare>,
    /// Confidence with which that is to hold, and of the intervals of a sample, such as 95% or 0.95
    /// [default: 95%]
    #[arg(long, value_name = "C")]
    pub confidence: Option<Confidence>,
}

/// Share that may be missing unless told.
const MISSING: f64 = 0.01;

/// Confidence unless told.
const CONFIDENCE: f64 = 0.95;

impl GuidedArguments {
    /// The plan asked for, with a seed of the bits drawn at random.
    pub fn plan(&self, seed: u64) -> GuidedPlan {
        let missing = self.missing.unwrap_or_else(|| MissingShare::new(MISSING).expect("a share"));
        GuidedPlan { missing, confidence: self.confidence(), seed }
    }

    /// The confidence asked for.
    pub fn confidence(&self) -> Confidence {
        self.confidence.unwrap_or_else(|| Confidence::new(CONFIDENCE).expect("a confidence"))
    }

    /// The options in canonical form.
    pub fn canonical(&self) -> Vec<String> {
        let plan = self.plan(0);
        let options = [("--missing", plan.missing.to_string()), ("--confidence", plan.confidence.to_string())];
        options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

#[cfg(test)]
#[path = "guided_tests.rs"]
mod tests;
