//! `KnownFlips`: which bits were flipped so far and what that did, so that work can stop anywhere and go on.
//!
//! Exact campaigns that decide by what they have found (guided ones, samples) are replayed: they ask for the same flips
//! again, and what is known of these is not measured a second time. Knows neither order nor promise; flipping is left to
//! `OracleRun`.

use std::collections::{BTreeMap, HashSet};

use super::{ExactSum, SiteOutcome, Tally};
use crate::hw::BitId;

/// Flips of one accelerator on its events, each bit alone: those done, and batches that were begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownFlips {
    golden_sum: ExactSum,
    outcomes: BTreeMap<BitId, SiteOutcome>,
    begun: Vec<FlipBatch>,
}

/// Bits that are flipped together in one oracle, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipBatch {
    /// The bits, in their order.
    pub sites: Vec<BitId>,
    /// The sums over the tiles done.
    pub tally: Tally,
}

impl FlipBatch {
    fn new(sites: Vec<BitId>) -> Self {
        let tally = Tally::new(sites.len());
        Self { sites, tally }
    }
}

impl KnownFlips {
    /// The flips with these outcomes, the sum over events of the error without a fault, and batches begun.
    pub const fn of_parts(golden_sum: ExactSum, outcomes: BTreeMap<BitId, SiteOutcome>, begun: Vec<FlipBatch>) -> Self {
        Self { golden_sum, outcomes, begun }
    }

    /// Sum over events of the error without a fault; 0 as long as nothing is known.
    pub const fn golden_sum(&self) -> ExactSum {
        self.golden_sum
    }

    /// Effect of every bit that is known.
    pub const fn outcomes(&self) -> &BTreeMap<BitId, SiteOutcome> {
        &self.outcomes
    }

    /// Batches begun and not completed.
    pub fn begun(&self) -> &[FlipBatch] {
        &self.begun
    }

    /// How many of `sites` are known.
    pub fn count(&self, sites: &[BitId]) -> usize {
        sites.iter().filter(|site| self.outcomes.contains_key(site)).count()
    }

    /// The batch to flip next until all of `sites` are known: one that was begun with bits that are all needed, otherwise
    /// all that are missing. `None` when nothing is. A batch begun for other bits waits for its turn.
    pub fn begin(&mut self, sites: &[BitId]) -> Option<FlipBatch> {
        let missing: Vec<BitId> = sites.iter().copied().filter(|site| !self.outcomes.contains_key(site)).collect();
        if missing.is_empty() {
            return None;
        }
        let needed: HashSet<BitId> = missing.iter().copied().collect();
        let fits = |batch: &FlipBatch| batch.sites.iter().all(|site| needed.contains(site));
        let batch = match self.begun.iter().position(fits) {
            Some(place) => self.begun.remove(place),
            None => FlipBatch::new(missing),
        };
        self.begun.push(batch.clone());
        Some(batch)
    }

    /// Notes how far the batch is that was begun last.
    ///
    /// # Panics
    /// When none was, or the tally is of other bits.
    pub fn keep(&mut self, tally: &Tally) {
        let batch = self.begun.last_mut().expect("a batch was begun");
        assert_eq!(batch.sites.len(), tally.outcomes().len(), "a tally of the batch");
        batch.tally.clone_from(tally);
    }

    /// Takes what the batch that was begun last has found, all its tiles being done.
    ///
    /// # Panics
    /// When none was begun, or the tally is of other bits.
    pub fn complete(&mut self, tally: &Tally) {
        let batch = self.begun.pop().expect("a batch was begun");
        assert_eq!(batch.sites.len(), tally.outcomes().len(), "a tally of the batch");
        self.golden_sum = tally.golden_sum();
        self.outcomes.extend(batch.sites.into_iter().zip(tally.outcomes().iter().copied()));
    }

    /// What is known of `sites`, in their order, as an oracle of them would have it.
    ///
    /// # Panics
    /// When one of them is not known: [`KnownFlips::begin`] says so first.
    pub fn tally(&self, sites: &[BitId]) -> Tally {
        let outcome = |site: &BitId| *self.outcomes.get(site).expect("all sites are known");
        Tally::of_parts(0, self.golden_sum, sites.iter().map(outcome).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(changed: &[u32], tiles: u64) -> Tally {
        let rise = |changed| ExactSum::of(f64::from(changed)).unwrap();
        let outcomes = changed.iter().map(|changed| SiteOutcome { changed_events: *changed, rise_sum: rise(*changed) });
        Tally::of_parts(tiles, rise(9), outcomes.collect())
    }

    #[test]
    fn only_what_is_missing_is_flipped() {
        let bits = |numbers: &[u32]| numbers.iter().map(|number| BitId(*number)).collect::<Vec<_>>();
        let mut known = KnownFlips::default();
        assert_eq!(known.begin(&[]), None);
        assert_eq!(known.begin(&bits(&[5, 2])).unwrap(), FlipBatch::new(bits(&[5, 2])));
        known.complete(&tally(&[50, 20], 3));
        assert_eq!((known.golden_sum(), known.count(&bits(&[1, 2, 3, 5]))), (ExactSum::of(9.0).unwrap(), 2));
        assert_eq!(known.begin(&bits(&[2, 5])), None);

        // Interrupted, and asked for other bits: the batch begun waits until all of it is needed.
        assert_eq!(known.begin(&bits(&[2, 7, 1])).unwrap().sites, bits(&[7, 1]));
        known.keep(&tally(&[0, 10], 2));
        assert_eq!(known.begin(&bits(&[1, 2])).unwrap(), FlipBatch::new(bits(&[1])));
        known.keep(&tally(&[3], 1));
        assert_eq!(known.begun().len(), 2);
        let batch = known.begin(&bits(&[8, 1, 7])).unwrap();
        assert_eq!((batch.sites, batch.tally), (bits(&[7, 1]), tally(&[0, 10], 2)));
        known.complete(&tally(&[70, 10], 3));
        assert_eq!(known.begin(&bits(&[8, 1, 7])).unwrap(), FlipBatch::new(bits(&[8])));
        known.complete(&tally(&[80], 3));
        assert_eq!(known.begin(&bits(&[8, 1, 7])), None);
        assert_eq!(known.tally(&bits(&[8, 2, 7, 1])), tally(&[80, 20, 70, 10], 0));
    }
}
