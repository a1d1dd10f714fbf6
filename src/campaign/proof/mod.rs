//! Proof by injection: what a protected design does when its flip-flops are upset, beside what is claimed of it.
//!
//! [`prove`] upsets every cell of the candidate bits alone, reads what the registers of the protected design then give
//! ([`WeightBank`](crate::hw::WeightBank)), and evaluates every wrong word afresh. [`fly_plans`] exposes the same designs to
//! strikes in time, also on neighboring cells together, and sets what single rises predict beside it. Which bits are
//! protected, and what is claimed, is decided elsewhere.

mod cells;
mod effects;
mod missions;
mod prediction;
mod ratio;

pub use cells::{Lapse, LapseAt};
pub use missions::{FlownPlan, FlownPlans, MissionPlan, Observed, PlanProgress, fly_plans};
pub use prediction::mean_lasting_cycles;

use cells::CellReads;
use effects::EffectBook;

use super::trials::TrialInput;
use super::{CampaignError, ExactSum, share_of};
use crate::hw::{BitId, Protection};
use crate::num::cast;

/// What is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct ProofInput<'a> {
    /// The accelerator, its events and their judge.
    pub trial: TrialInput<'a>,
    /// The bits whose cells are upset.
    pub candidates: &'a [BitId],
    /// What is claimed of each of them: mean error with the bit flipped minus mean error without.
    pub rises: &'a [f64],
    /// Protection of every bit, in the order of their numbers; the first plan is what the others are compared with.
    pub plans: &'a [Vec<Protection>],
}

/// What is claimed of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Sum of the error rises of the bits left unprotected.
    pub rise_remaining: f64,
    /// Share of the first plan's rise that is gone.
    pub share_removed: f64,
    /// Bits left unprotected whose flip raises the mean error.
    pub sensitive_remaining: usize,
    /// Mean error rise of one upset in a cell.
    pub mean_rise_per_upset: f64,
}

/// What single upsets of all cells of a plan came to.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanProof {
    /// Cells upset, each alone: every copy of every candidate bit.
    pub cells: usize,
    /// Of these, the ones after which a register is read wrong.
    pub read_wrong: usize,
    /// Of these, the ones whose rise is not what is claimed of their bit.
    pub differing: usize,
    /// Sum over all cells of the rise of the mean error.
    pub rise_remaining: f64,
    /// Share of the first plan's rise that is gone; not a number where that is not above 0.
    pub share_removed: f64,
    /// Cells whose upset raises the mean error.
    pub sensitive_cells: usize,
    /// Mean over all cells of the rise.
    pub mean_rise_per_upset: f64,
    /// Largest rise of a single cell; 0 where none raises the error.
    pub max_rise: f64,
    /// Cells that did not do as their style says.
    pub lapses: usize,
    /// The first of them.
    pub first_lapse: Option<LapseAt>,
}

impl PlanProof {
    /// Whether all is as claimed, to the last bit of every figure, and every cell did as its style says.
    pub fn confirms(&self, claim: &Claim) -> bool {
        let same = |mine: f64, claimed: f64| mine.to_bits() == claimed.to_bits() || (mine.is_nan() && claimed.is_nan());
        self.lapses == 0
            && self.differing == 0
            && same(self.rise_remaining, claim.rise_remaining)
            && same(self.share_removed, claim.share_removed)
            && same(self.mean_rise_per_upset, claim.mean_rise_per_upset)
            && self.sensitive_cells == claim.sensitive_remaining
    }
}

/// Upsets every cell of the candidates alone, plan by plan, and evaluates each distinct set of wrong registers once on all
/// events. `progress` is told the number of evaluations, done since it was last told and in all.
///
/// Takes nothing from an oracle: what is read comes from the registers, effects from the engine's evaluation of changes
/// that hold together, on every event, identical ones too. Exact; the same with any number of threads.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
///
/// # Panics
/// Without a plan, or when there is not a rise for every candidate.
pub fn prove(input: &ProofInput<'_>, progress: &(impl Fn(u64, u64) + Sync)) -> Result<Vec<PlanProof>, CampaignError> {
    assert!(!input.plans.is_empty(), "there is a plan to compare with");
    assert_eq!(input.rises.len(), input.candidates.len(), "a rise for every candidate");
    let TrialInput { network, inventory, .. } = input.trial;
    let mut book = EffectBook::default();
    let reads: Vec<CellReads> =
        input.plans.iter().map(|plan| CellReads::new(network, inventory, input.candidates, plan, &mut book)).collect();
    book.evaluate(&input.trial, progress)?;
    let total = proof(&reads[0], input.rises, &book, 0.0).rise_remaining;
    Ok(reads.iter().map(|reads| proof(reads, input.rises, &book, total)).collect())
}

fn proof(reads: &CellReads, claimed: &[f64], book: &EffectBook, total: f64) -> PlanProof {
    let rises: Vec<f64> = reads.wrong.iter().map(|read| book.rise(read.effect)).collect();
    let sum: ExactSum = rises.iter().map(|rise| ExactSum::of(*rise).expect("means of what was added up")).sum();
    let rise_remaining = sum.value();
    let differs = |(read, rise): (&cells::WrongRead, &f64)| claimed[read.candidate].to_bits() != rise.to_bits();
    PlanProof {
        cells: reads.cells,
        read_wrong: reads.wrong.len(),
        differing: reads.wrong.iter().zip(&rises).filter(|pair| differs(*pair)).count(),
        rise_remaining,
        share_removed: share_of(total - rise_remaining, total),
        sensitive_cells: rises.iter().filter(|rise| **rise > 0.0).count(),
        mean_rise_per_upset: rise_remaining / cast::f64_from_count(reads.cells),
        max_rise: rises.iter().copied().fold(0.0, f64::max),
        lapses: reads.lapses,
        first_lapse: reads.first_lapse,
    }
}

#[cfg(test)]
mod tests;
