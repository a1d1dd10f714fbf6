//! Trials of any number of flips: the exact effect of each on every event. Which bits a trial flips is chosen
//! elsewhere.

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::workspace::Workspace;
use super::{CampaignError, Event, ExactSum, Observation, SiteOutcome, distinct_events};
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
    let changes: Vec<Vec<WeightChange>> =
        trials.iter().map(|bits| WeightChange::of_flips(input.network, input.inventory, bits)).collect();
    let engine = Engine::new(input.network);
    let none =
        || Ok(TrialOutcomes { golden_sum: ExactSum::default(), outcomes: vec![SiteOutcome::default(); trials.len()] });
    distinct_events(input.events)
        .into_par_iter()
        .fold(
            || (none(), Workspace::new(&engine)),
            |(partial, mut workspace): (Result<TrialOutcomes, CampaignError>, _), event| {
                let partial = partial.and_then(|mut partial| {
                    let data = &input.events[event.first];
                    workspace.begin(&engine, data);
                    workspace.evaluate(&engine, &changes);
                    let golden = workspace.judge(input.evaluator, data).map_err(|unusable| {
                        unusable.error(event.first, |position| addresses(input.inventory, &trials[position]))
                    })?;
                    partial.golden_sum += golden.times(event.count);
                    for (position, rise) in workspace.rises() {
                        partial.outcomes[position] +=
                            SiteOutcome { changed_events: event.count, rise_sum: rise.times(event.count) };
                    }
                    progress(cast::u64_from_len(trials.len()) * u64::from(event.count));
                    Ok(partial)
                });
                (partial, workspace)
            },
        )
        .map(|(partial, _)| partial)
        .reduce(none, |a, b| Ok(a?.merge(&b?)))
}

impl TrialOutcomes {
    fn merge(mut self, other: &Self) -> Self {
        self.golden_sum += other.golden_sum;
        for (mine, theirs) in self.outcomes.iter_mut().zip(&other.outcomes) {
            *mine += *theirs;
        }
        self
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
