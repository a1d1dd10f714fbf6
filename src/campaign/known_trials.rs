//! `KnownTrials`: the trials that were run so far and what they did, so that a sampling campaign can stop anywhere and go on.
//!
//! A campaign that goes on is replayed from its first trial: as long as it asks for the same trials in the same order, what
//! is known of these is not measured a second time. Running them is left to `TrialRun`.

use super::{ExactSum, SiteOutcome, Tally};
use crate::hw::BitId;

/// Trials of one accelerator on its events, in the order in which they were asked for: those done, and those begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownTrials {
    golden_sum: ExactSum,
    done: Vec<(Vec<BitId>, SiteOutcome)>,
    begun: Option<BegunTrials>,
}

/// The trials that are run together after those that are done, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunTrials {
    /// Bits of each, in their order.
    pub trials: Vec<Vec<BitId>>,
    /// The sums over the tiles done.
    pub tally: Tally,
}

impl KnownTrials {
    /// These trials, the sum over events of the error without a fault, and what was begun.
    pub const fn of_parts(
        golden_sum: ExactSum,
        done: Vec<(Vec<BitId>, SiteOutcome)>,
        begun: Option<BegunTrials>,
    ) -> Self {
        Self { golden_sum, done, begun }
    }

    /// Sum over events of the error without a fault; 0 as long as nothing is known.
    pub const fn golden_sum(&self) -> ExactSum {
        self.golden_sum
    }

    /// Bits and effect of every trial that is done.
    pub fn done(&self) -> &[(Vec<BitId>, SiteOutcome)] {
        &self.done
    }

    /// The trials that were begun and not completed.
    pub const fn begun(&self) -> Option<&BegunTrials> {
        self.begun.as_ref()
    }

    /// How many of `trials`, which are asked for after `before` others, are done; `None` where other trials were done or
    /// begun in their place.
    pub fn count(&self, before: usize, trials: &[Vec<BitId>]) -> Option<usize> {
        let done = self.done.get(before..).unwrap_or_default();
        let begun = self.begun.iter().flat_map(|begun| &begun.trials);
        let mut known = done.iter().map(|(bits, _)| bits).chain(begun);
        trials.iter().all(|asked| known.next().is_none_or(|bits| bits == asked)).then_some(done.len().min(trials.len()))
    }

    /// Begins the next trials, or goes on with them where they were begun before; says how far they are.
    pub fn begin(&mut self, trials: &[Vec<BitId>]) -> Tally {
        match &self.begun {
            Some(begun) if begun.trials == trials => begun.tally.clone(),
            _ => {
                let tally = Tally::new(trials.len());
                self.begun = Some(BegunTrials { trials: trials.to_vec(), tally: tally.clone() });
                tally
            }
        }
    }

    /// Notes how far the trials are that were begun.
    ///
    /// # Panics
    /// When none were, or the tally is of other trials.
    pub fn keep(&mut self, tally: &Tally) {
        let begun = self.begun.as_mut().expect("trials were begun");
        assert_eq!(begun.trials.len(), tally.outcomes().len(), "a tally of these trials");
        begun.tally.clone_from(tally);
    }

    /// Takes what the trials that were begun have done, all their tiles being done.
    ///
    /// # Panics
    /// When none were begun, or the tally is of other trials.
    pub fn complete(&mut self, tally: &Tally) {
        let begun = self.begun.take().expect("trials were begun");
        assert_eq!(begun.trials.len(), tally.outcomes().len(), "a tally of these trials");
        self.golden_sum = tally.golden_sum();
        self.done.extend(begun.trials.into_iter().zip(tally.outcomes().iter().copied()));
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    #[test]
    fn trials_are_known_in_their_order() {
        let trial = |bits: &[u32]| bits.iter().map(|bit| BitId(*bit)).collect::<Vec<_>>();
        let [a, b, c] = [trial(&[1, 2]), trial(&[]), trial(&[3])];
        let outcome = |changed_events| SiteOutcome { changed_events, rise_sum: ExactSum::default() };
        let tally = |tiles, changed: &[u32]| {
            Tally::of_parts(tiles, ExactSum::of(5.0).unwrap(), changed.iter().copied().map(outcome).collect())
        };
        let mut known = KnownTrials::default();
        assert_eq!(known.begin(&[a.clone(), b.clone()]), Tally::new(2));
        known.keep(&tally(1, &[1, 0]));
        assert_eq!(known.begin(&[a.clone(), b.clone()]), tally(1, &[1, 0]));
        assert_eq!(known.count(0, from_ref(&a)), Some(0), "begun is not done");
        known.complete(&tally(2, &[4, 0]));
        assert_eq!(known.golden_sum(), ExactSum::of(5.0).unwrap());
        assert_eq!(known.done(), [(a.clone(), outcome(4)), (b.clone(), outcome(0))]);
        assert_eq!(known.count(0, &[a.clone(), b.clone(), c.clone()]), Some(2));
        assert_eq!(known.count(1, from_ref(&b)), Some(1));
        assert_eq!(known.count(1, from_ref(&c)), None);
        assert_eq!(known.count(2, from_ref(&c)), Some(0));
        known.begin(from_ref(&a));
        assert_eq!((known.count(2, from_ref(&c)), known.count(2, &[a.clone(), c.clone()])), (None, Some(0)));
        assert_eq!(known.begin(&[a, c]), Tally::new(2), "fewer were begun");
    }
}
