//! Trials of any number of flips: the exact effect of each on every event. Which bits a trial flips is chosen
//! elsewhere.

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use super::workspace::Workspace;
use super::{CampaignError, DistinctEvent, Event, ExactSum, Observation, SiteOutcome, Tally, distinct_events};
use crate::engine::{Engine, WeightChange};
use crate::host::evaluator::Evaluator;
use crate::hw::{BitId, Inventory};
use crate::net::Network;
use crate::num::cast;

/// What trials are run on.
#[derive(Debug, Clone, Copy)]
pub struct TrialInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// Judge of its output.
    pub evaluator: &'a Evaluator,
    /// The events; every trial meets all of them.
    pub events: &'a [Event],
}

/// Outcome of some trials, in their order, and of no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialOutcomes {
    /// Sum over events of the error without a fault.
    pub golden_sum: ExactSum,
    /// Effect of every trial; the same as an oracle's, when a trial flips one bit.
    pub outcomes: Vec<SiteOutcome>,
}

/// Flips all bits of a trial together, in every event, for every trial. `progress` is told the number of (trial, event)
/// pairs done since it was last told.
///
/// Exact and deterministic, as [`run_oracle`](super::run_oracle) is: the result is the same with any number of threads,
/// and a trial's outcome does not depend on the other trials. Bits of a trial are distinct; a trial may be empty.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
pub fn run_trials(
    input: &TrialInput<'_>,
    trials: &[Vec<BitId>],
    progress: &(impl Fn(u64) + Sync),
) -> Result<TrialOutcomes, CampaignError> {
    let mut run = TrialRun::new(*input, trials);
    run.advance(run.tiles(), progress)?;
    Ok(TrialOutcomes { golden_sum: run.tally.golden_sum(), outcomes: run.tally.outcomes().to_vec() })
}

/// Trials at work. A tile is an event that differs from those before it, with all trials.
#[derive(Debug)]
pub struct TrialRun<'a> {
    input: TrialInput<'a>,
    trials: &'a [Vec<BitId>],
    changes: Vec<Vec<WeightChange>>,
    engine: Engine<'a>,
    events: Vec<DistinctEvent>,
    tally: Tally,
}

impl<'a> TrialRun<'a> {
    /// None of the work done.
    pub fn new(input: TrialInput<'a>, trials: &'a [Vec<BitId>]) -> Self {
        let changes = trials.iter().map(|bits| WeightChange::of_flips(input.network, input.inventory, bits));
        Self {
            changes: changes.collect(),
            engine: Engine::new(input.network),
            events: distinct_events(input.events),
            tally: Tally::new(trials.len()),
            input,
            trials,
        }
    }

    /// Goes on where another run of the same work stopped.
    ///
    /// # Panics
    /// When `tally` is of other work: whoever keeps tallies compares fingerprints.
    #[must_use]
    pub fn resume(mut self, tally: Tally) -> Self {
        assert_eq!(tally.outcomes().len(), self.trials.len(), "a tally of the same trials");
        assert!(tally.tiles_done() <= self.tiles(), "a tally of the same events");
        self.tally = tally;
        self
    }

    /// Number of tiles.
    pub fn tiles(&self) -> u64 {
        cast::u64_from_len(self.events.len())
    }

    /// Number of (trial, event) pairs in the tiles done so far, and in all.
    pub fn pairs(&self) -> (u64, u64) {
        let pairs = |events: &[DistinctEvent]| {
            events.iter().map(|event| u64::from(event.count)).sum::<u64>() * cast::u64_from_len(self.trials.len())
        };
        (pairs(&self.events[..cast::index_of_word(self.tally.tiles_done())]), pairs(&self.events))
    }

    /// Whether all tiles are done.
    pub fn is_done(&self) -> bool {
        self.tally.tiles_done() == self.tiles()
    }

    /// What is known so far.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Does the next `tiles` tiles, or all that are left. `progress` is told the pairs done since it was last told.
    ///
    /// # Errors
    /// As [`run_trials`]. Nothing is added to the tally then.
    pub fn advance(&mut self, tiles: u64, progress: &(impl Fn(u64) + Sync)) -> Result<(), CampaignError> {
        let start = self.tally.tiles_done();
        let end = start.saturating_add(tiles).min(self.tiles());
        let this = &*self;
        let none = || Ok(Tally::new(this.trials.len()));
        let done = this.events[cast::index_of_word(start)..cast::index_of_word(end)]
            .par_iter()
            .fold(
                || (none(), Workspace::new(&this.engine)),
                |(partial, mut workspace): (Result<Tally, CampaignError>, _), event| {
                    let partial = partial.and_then(|mut tally| {
                        this.run_event(*event, &mut workspace, &mut tally)?;
                        progress(cast::u64_from_len(this.trials.len()) * u64::from(event.count));
                        Ok(tally)
                    });
                    (partial, workspace)
                },
            )
            .map(|(partial, _)| partial)
            .reduce(none, |a, b| {
                let mut sum = a?;
                sum.add_tally(&b?);
                Ok(sum)
            })?;
        self.tally.add_tally(&done);
        self.tally.set_tiles_done(end);
        Ok(())
    }

    fn run_event(
        &self,
        DistinctEvent { first, count }: DistinctEvent,
        workspace: &mut Workspace,
        tally: &mut Tally,
    ) -> Result<(), CampaignError> {
        let data = &self.input.events[first];
        workspace.begin(&self.engine, data);
        workspace.evaluate(&self.engine, &self.changes);
        let golden = workspace.judge(self.input.evaluator, data).map_err(|unusable| {
            unusable.error(first, |position| addresses(self.input.inventory, &self.trials[position]))
        })?;
        tally.add_golden(golden.times(count));
        for (position, rise) in workspace.rises() {
            tally.add(position, SiteOutcome { changed_events: count, rise_sum: rise.times(count) });
        }
        Ok(())
    }
}

impl Observation {
    /// Of the outcome of a trial over so many events.
    pub fn of(outcome: &SiteOutcome, events: usize) -> Self {
        let rise = outcome.rise_sum.value() / cast::f64_from_count(events);
        Self { changed_events: outcome.changed_events, rise }
    }
}

/// The bits of a trial by address, joined by semicolons.
pub fn addresses(inventory: &Inventory, bits: &[BitId]) -> String {
    let addresses: Vec<String> = bits.iter().map(|bit| inventory.bit_address(*bit).to_string()).collect();
    addresses.join(";")
}
