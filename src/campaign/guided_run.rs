//! Guided campaigns with the engine: every bit flipped is flipped exactly, on all events.

use super::guided::{Guided, GuidedBits, GuidedPlan, guided};
use super::{CampaignError, ExactSum, OracleInput, OracleRun, Shard, SiteOutcome};
use crate::hw::{BitId, Inventory};
use crate::num::cast;

/// A finished guided campaign with all that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct GuidedRun {
    /// What was flipped, and what is known of the rest.
    pub guided: Guided,
    /// Effect of every bit flipped, in the order of flipping; the same as an oracle's.
    pub outcomes: Vec<SiteOutcome>,
    /// Sum over events of the error without a fault.
    pub golden_sum: ExactSum,
}

/// Groups and sizes of sites, as [`GuidedBits`] has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipSizes {
    /// Array of each site, counted in the order of the inventory.
    pub groups: Vec<usize>,
    /// Change of its register's word, in units of the last place: `2^(width - 1 - bit)`.
    pub sizes: Vec<u32>,
}

impl FlipSizes {
    /// Of these sites.
    ///
    /// # Panics
    /// When a site is of another design.
    pub fn new(inventory: &Inventory, sites: &[BitId]) -> Self {
        let size_of = |site: &BitId| {
            let (register, bit) = inventory.locate_bit(*site);
            let group = inventory.arrays().partition_point(|array| array.first <= register) - 1;
            let width = inventory.arrays()[group].format.width();
            (group, 1_u32 << (width - 1 - bit.0))
        };
        let (groups, words) = sites.iter().map(size_of).unzip();
        Self { groups, sizes: words }
    }
}

/// Flips the sites of `input` in `order` as `plan` says, until enough is known. `progress` is told the number of (site,
/// event) pairs done since it was last told.
///
/// Exact and deterministic, as [`run_oracle`](super::run_oracle) is: which sites are flipped depends on order, plan and
/// outcomes, not on threads.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
///
/// # Panics
/// When `order` is no permutation of the positions of the sites.
pub fn run_guided(
    input: &OracleInput<'_>,
    order: &[usize],
    plan: &GuidedPlan,
    progress: &(impl Fn(u64) + Sync),
) -> Result<GuidedRun, CampaignError> {
    let FlipSizes { groups, sizes } = FlipSizes::new(input.inventory, input.sites);
    let mut outcomes = Vec::new();
    let mut golden_sum = ExactSum::default();
    let events = cast::f64_from_count(input.events.len());
    let guided = guided(&GuidedBits { order, groups: &groups, sizes: &sizes }, plan, &mut |batch| {
        let sites: Vec<BitId> = batch.iter().map(|position| input.sites[*position]).collect();
        let mut run = OracleRun::new(OracleInput { sites: &sites, ..*input }, Shard::WHOLE);
        run.advance(run.tiles(), progress)?;
        let tally = run.into_tally();
        golden_sum = tally.golden_sum();
        let first = outcomes.len();
        outcomes.extend_from_slice(tally.outcomes());
        Ok(outcomes[first..].iter().map(|outcome: &SiteOutcome| outcome.rise_sum.value() / events).collect())
    })?;
    Ok(GuidedRun { guided, outcomes, golden_sum })
}
