//! Guided campaigns with the engine: every bit flipped is flipped exactly, on all events.

use super::guided::{Guided, GuidedBits, GuidedPlan, guided};
use super::{ExactSum, OracleInput, SiteOutcome, Tally};
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

/// The order in which sites are to be flipped.
#[derive(Debug, Clone, Copy)]
pub struct GuidedOrder<'a> {
    /// Positions of the sites, the most suspect first.
    pub order: &'a [usize],
    /// Estimated rise of every site, in any unit, where the order comes from such estimates.
    pub estimates: Option<&'a [f64]>,
}

/// A size is at least this part of what is typical for a change as large, so that a bit of which no rise is expected
/// keeps a cap. Larger parts take more flips to prove anything, smaller ones make caps fail more often.
pub const LEAST_SIZE: f64 = 0.125;

/// Groups and sizes of sites, as [`GuidedBits`] has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipSizes {
    /// Array of each site, counted in the order of the inventory.
    pub groups: Vec<usize>,
    /// Change of its register's word, in units of the last place: `2^(width - 1 - bit)`. Or in proportion to its
    /// estimated rise.
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

    /// Sizes in proportion to estimated rises, from changes of registers.
    ///
    /// In every array, `t(c)` is the mean estimate of the sites with the change `c`, and `t` the largest `t(c) / c`. The
    /// size of a site is its estimate, but no less than [`LEAST_SIZE`] times `t` times its change. Estimates below 0, and
    /// those that are no finite numbers, count as 0. An array without an estimate above 0 keeps the changes.
    ///
    /// # Panics
    /// When there are not as many estimates as sites.
    #[must_use]
    pub fn by_estimates(self, estimates: &[f64]) -> Self {
        /// Size of the largest flip of an array: fine steps, and sums of as many as there are stay exact.
        const LARGEST: f64 = 2_147_483_648.0;
        assert_eq!(estimates.len(), self.sizes.len(), "an estimate for every site");
        let mut arrays = vec![ArrayEstimates::default(); self.groups.iter().max().map_or(0, |last| last + 1)];
        for (site, estimate) in estimates.iter().enumerate() {
            arrays[self.groups[site]].add(self.sizes[site], usable(*estimate));
        }
        let blend = |site: usize| {
            let (array, change) = (&arrays[self.groups[site]], self.sizes[site]);
            let least = LEAST_SIZE * array.typical() * f64::from(change);
            let of_largest = usable(estimates[site]).max(least) / array.largest.max(least);
            if array.largest > 0.0 {
                u32::try_from(cast::floor_i64(LARGEST * of_largest)).unwrap_or(u32::MAX).max(1)
            } else {
                change
            }
        };
        let sizes = (0..self.sizes.len()).map(blend).collect();
        Self { groups: self.groups, sizes }
    }
}

/// What a size is made of: no estimate is below 0, and one that is no finite number tells nothing.
fn usable(estimate: f64) -> f64 {
    if estimate.is_finite() { estimate.max(0.0) } else { 0.0 }
}

/// The estimates of an array.
#[derive(Debug, Clone, Default)]
struct ArrayEstimates {
    /// Sum and number of those whose change is this power of two.
    by_change: [(f64, u32); 32],
    largest: f64,
}

impl ArrayEstimates {
    fn add(&mut self, change: u32, estimate: f64) {
        let (sum, count) = &mut self.by_change[cast::index(change.ilog2())];
        *sum += estimate;
        *count += 1;
        self.largest = self.largest.max(estimate);
    }

    /// Largest mean estimate per change.
    fn typical(&self) -> f64 {
        let means = self.by_change.iter().zip(0_u32..).filter(|((_, count), _)| *count > 0);
        means.map(|((sum, count), place)| sum / f64::from(*count) / f64::from(1_u32 << place)).fold(0.0, f64::max)
    }
}

/// Flips sites, each alone on all events, and says what that did: outcomes in their order, and the fault-free sum.
pub type FlipSites<'a, E> = dyn FnMut(&[BitId]) -> Result<Tally, E> + 'a;

/// Flips the sites of `input` in an order as `plan` says, until enough is known. `flip` flips those it is given; as long as
/// it does so exactly, as an oracle does, whether it measures them or knows them already cannot be seen in the result.
///
/// Deterministic: which sites are flipped depends on order, plan and outcomes.
///
/// # Errors
/// When `flip` fails.
///
/// # Panics
/// When the order is no permutation of the positions of the sites, or there are not as many estimates as sites.
pub fn run_guided<E>(
    input: &OracleInput<'_>,
    order: &GuidedOrder<'_>,
    plan: &GuidedPlan,
    flip: &mut FlipSites<'_, E>,
) -> Result<GuidedRun, E> {
    let changes = FlipSizes::new(input.inventory, input.sites);
    let FlipSizes { groups, sizes } = match order.estimates {
        Some(estimates) => changes.by_estimates(estimates),
        None => changes,
    };
    let bits = GuidedBits { order: order.order, groups: &groups, sizes: &sizes, expected: order.estimates };
    let mut outcomes = Vec::new();
    let mut golden_sum = ExactSum::default();
    let events = cast::f64_from_count(input.events.len());
    let guided = guided(&bits, plan, &mut |batch| {
        let sites: Vec<BitId> = batch.iter().map(|position| input.sites[*position]).collect();
        let tally = flip(&sites)?;
        golden_sum = tally.golden_sum();
        let first = outcomes.len();
        outcomes.extend_from_slice(tally.outcomes());
        Ok(outcomes[first..].iter().map(|outcome: &SiteOutcome| outcome.rise_sum.value() / events).collect())
    })?;
    Ok(GuidedRun { guided, outcomes, golden_sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_estimates_with_a_floor() {
        // Array 0: changes 4 and 1; the mean estimates are 8 and 1, so 2 and 1 per change; t is 2 and the floor 0.25 c.
        let changes = FlipSizes { groups: vec![0, 0, 0, 0, 2, 2], sizes: vec![4, 4, 1, 1, 2, 1] };
        let sizes = changes.clone().by_estimates(&[16.0, 0.0, 2.0, -9.0, -1.0, f64::NAN]).sizes;
        let sixteenths = [16, 1, 2, 0].map(|parts| parts << 27);
        assert_eq!(sizes[..3], sixteenths[..3]);
        assert_eq!(sizes[3], 1 << 25, "a quarter of a sixteenth");
        assert_eq!(sizes[4..], [2, 1], "without an estimate above 0 it is the change");
        assert_eq!(changes.clone().by_estimates(&[f64::INFINITY; 6]), changes);
        // A unit does not matter, however small, and no flip has no size.
        let tiny = [16.0, 0.0, 2.0, -9.0, -1.0, f64::NAN].map(|estimate| estimate * 2.0_f64.powi(-900));
        assert_eq!(changes.clone().by_estimates(&tiny).sizes, sizes);
        let steep = FlipSizes { groups: vec![0; 40_000], sizes: [1 << 20, 1].repeat(20_000) };
        let mut estimates = vec![0.0; 40_000];
        estimates[0] = 1.0;
        assert_eq!(steep.by_estimates(&estimates).sizes[..4], [1 << 31, 1, 13421, 1]);
    }
}
