//! Guided campaigns: an order, a promise, a progress bar. Not a verb of its own.

use clap::Args;

use super::Global;
use super::checkpoint::BitBar;
use super::inputs::{Opened, Prepared};
use crate::campaign::{Confidence, GuidedOrder, GuidedPlan, GuidedRun, MissingShare, OracleInput, run_guided};
use crate::hw::BitId;

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

/// Flips `sites` in an order until enough is known, with a progress bar over all of them.
///
/// # Errors
/// When an error is not finite.
///
/// # Panics
/// When the order is not one of these sites.
pub fn guided(
    (opened, prepared): (&Opened, &Prepared),
    sites: &[BitId],
    order: &GuidedOrder<'_>,
    plan: &GuidedPlan,
    global: &Global,
) -> anyhow::Result<GuidedRun> {
    let input = OracleInput {
        network: &opened.design.accelerator,
        inventory: &opened.inventory,
        evaluator: &prepared.evaluator,
        events: &prepared.events,
        sites,
    };
    let bar = BitBar::new(&input, (0, input.pairs()), global);
    let run = run_guided(&input, order, plan, &|pairs| bar.add(pairs));
    bar.finish();
    Ok(run?)
}

#[cfg(test)]
#[path = "guided_tests.rs"]
mod tests;
