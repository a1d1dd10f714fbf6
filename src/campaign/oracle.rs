//! The exhaustive oracle: the exact effect of every single-bit flip on every event.

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::ExactSum;
use crate::engine::{Engine, FlipPlan, OutputId, OutputSet, Scratch, Trace, WeightChange};
use crate::host::evaluator::{Evaluator, EvaluatorScratch, EventInput};
use crate::hw::{BitId, Inventory};
use crate::net::{Network, Signal};
use crate::num::{NotFinite, cast};

/// Why a campaign cannot be completed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// An event whose fault-free error cannot be added up.
    #[error(
        "event {event} (counted from 0): its error is {error} without any fault; errors must be numbers below 2^76"
    )]
    Golden {
        /// Position of the event, from 0.
        event: usize,
        /// The error.
        error: f64,
    },
    /// A flip whose error cannot be added up.
    #[error(
        "event {event} (counted from 0): its error is {error} when `{site}` is flipped; errors must be numbers below 2^76"
    )]
    Faulty {
        /// Position of the event, from 0.
        event: usize,
        /// The bit.
        site: String,
        /// The error.
        error: f64,
    },
}

/// One event as the campaigns need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    input: EventInput,
    codes: Vec<i64>,
}

/// An input value that is infinite or not a number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("value {index} of the network input: {source}")]
pub struct InputError {
    /// C-order index in the input.
    index: usize,
    /// What is wrong.
    source: NotFinite,
}

impl Event {
    /// Quantizes an event into the input register of `network`.
    ///
    /// # Errors
    /// When a value is infinite or not a number.
    ///
    /// # Panics
    /// When the event has another number of values than the input: shapes are checked when a design meets its events.
    pub fn new(network: &Network, input: EventInput) -> Result<Self, InputError> {
        let quantizer = network.input_quantizer();
        let values = input.network_input();
        assert_eq!(values.len(), network.input().len(), "input length");
        let codes = values.into_iter().enumerate().map(|(index, value)| {
            quantizer.quantize_f64(f64::from(value)).map_err(|source| InputError { index, source })
        });
        Ok(Self { codes: codes.collect::<Result<_, _>>()?, input })
    }

    /// What the host compares the output with.
    pub const fn input(&self) -> &EventInput {
        &self.input
    }

    /// Raw values of the accelerator's input register.
    pub fn codes(&self) -> &[i64] {
        &self.codes
    }
}

/// What an oracle is asked.
#[derive(Debug, Clone, Copy)]
pub struct OracleInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// Judge of its output.
    pub evaluator: &'a Evaluator,
    /// The events.
    pub events: &'a [Event],
    /// The bits to flip, one at a time.
    pub sites: &'a [BitId],
}

/// What flipping one bit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteOutcome {
    /// Events whose accelerator output differs from the fault-free one.
    pub changed_events: u32,
    /// Sum over events of error with the flip minus error without.
    pub rise_sum: ExactSum,
}

/// Outcome of every site, in their order, and of no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oracle {
    events: usize,
    golden_sum: ExactSum,
    outcomes: Vec<SiteOutcome>,
}

impl Oracle {
    /// Number of events.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Effect of every site.
    pub fn outcomes(&self) -> &[SiteOutcome] {
        &self.outcomes
    }

    /// Mean error without a fault.
    pub fn golden_mean(&self) -> f64 {
        self.golden_sum.value() / cast::f64_from_count(self.events)
    }

    /// Mean error with site `position` flipped, minus mean error without: what the bit costs.
    pub fn error_rise(&self, position: usize) -> f64 {
        self.outcomes[position].rise_sum.value() / cast::f64_from_count(self.events)
    }

    /// The error rise of every site.
    pub fn error_rises(&self) -> Vec<f64> {
        (0..self.outcomes.len()).map(|position| self.error_rise(position)).collect()
    }

    /// Mean error with site `position` flipped.
    pub fn mean_error(&self, position: usize) -> f64 {
        (self.golden_sum + self.outcomes[position].rise_sum).value() / cast::f64_from_count(self.events)
    }
}

/// Flips every site in every event. `progress` is told the number of (site, event) pairs done since it was last told.
///
/// Exact and deterministic: integers in the accelerator, one fixed-order evaluation per distinct output, sums that do not
/// depend on order. The result is the same with any number of threads.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
pub fn run_oracle(input: &OracleInput<'_>, progress: &(impl Fn(u64) + Sync)) -> Result<Oracle, CampaignError> {
    let changes: Vec<WeightChange> =
        input.sites.iter().map(|bit| WeightChange::of_flip(input.network, input.inventory, *bit)).collect();
    let engine = Engine::new(input.network);
    let plan = engine.flips(&changes);
    let none =
        || Ok(Partial { golden_sum: ExactSum::default(), outcomes: vec![SiteOutcome::default(); changes.len()] });
    let total = (0..input.events.len())
        .into_par_iter()
        .fold(
            || (none(), Workspace::new(&engine)),
            |(partial, mut workspace): (Result<Partial, CampaignError>, _), event| {
                let partial = partial.and_then(|mut partial| {
                    run_event(input, &engine, &plan, event, &mut workspace, &mut partial)?;
                    progress(cast::u64_from_len(changes.len()));
                    Ok(partial)
                });
                (partial, workspace)
            },
        )
        .map(|(partial, _)| partial)
        .reduce(none, |a, b| Ok(a?.merge(&b?)))?;
    Ok(Oracle { events: input.events.len(), golden_sum: total.golden_sum, outcomes: total.outcomes })
}

/// Outcomes of some of the events.
struct Partial {
    golden_sum: ExactSum,
    outcomes: Vec<SiteOutcome>,
}

impl Partial {
    fn merge(mut self, other: &Self) -> Self {
        self.golden_sum += other.golden_sum;
        for (mine, theirs) in self.outcomes.iter_mut().zip(&other.outcomes) {
            mine.changed_events += theirs.changed_events;
            mine.rise_sum += theirs.rise_sum;
        }
        self
    }
}

/// What one thread works with, event after event; after the first events nothing is allocated.
struct Workspace {
    trace: Trace,
    scratch: Scratch,
    /// The distinct faulty outputs of the event.
    outputs: OutputSet,
    /// Which site leads to which.
    changed: Vec<(usize, OutputId)>,
    /// What each costs, or the error that cannot be added up.
    rises: Vec<Result<ExactSum, f64>>,
    golden_output: Vec<f32>,
    output: Vec<f32>,
    memory: EvaluatorScratch,
}

impl Workspace {
    fn new(engine: &Engine<'_>) -> Self {
        Self {
            trace: engine.empty_trace(),
            scratch: engine.scratch(),
            outputs: OutputSet::default(),
            changed: Vec::new(),
            rises: Vec::new(),
            golden_output: Vec::new(),
            output: Vec::new(),
            memory: EvaluatorScratch::default(),
        }
    }
}

fn run_event(
    input: &OracleInput<'_>,
    engine: &Engine<'_>,
    plan: &FlipPlan,
    event: usize,
    workspace: &mut Workspace,
    partial: &mut Partial,
) -> Result<(), CampaignError> {
    let Workspace { trace, scratch, outputs, changed, rises, golden_output, output, memory } = workspace;
    let data = &input.events[event];
    engine.trace_into(data.codes(), trace);
    let signal = input.network.output().signal;
    let real = |raw: i64| cast::nearest_f32(signal.value(raw));
    golden_output.clear();
    golden_output.extend(trace.output().iter().map(|raw| real(*raw)));
    let mut judge = input.evaluator.judge(data.input(), golden_output, memory);
    let golden = judge.golden();
    partial.golden_sum += ExactSum::of(golden).ok_or(CampaignError::Golden { event, error: golden })?;

    outputs.clear();
    changed.clear();
    engine.sweep(plan, trace, scratch, |position, faulty| changed.push((position, outputs.intern(faulty))));

    // Many flips lead an event to the same output; each distinct one is judged once, after one that is like it.
    output.clone_from(golden_output);
    rises.clear();
    rises.resize(outputs.len(), Ok(ExactSum::default()));
    outputs.sort_by_likeness();
    for id in outputs.by_likeness() {
        let (indices, values) = outputs.differences(*id);
        for (index, raw) in indices.iter().zip(values) {
            output[cast::index(*index)] = real(*raw);
        }
        let error = judge.error(output);
        rises[id.index()] = ExactSum::of(error - golden).ok_or(error);
        for index in indices {
            output[cast::index(*index)] = golden_output[cast::index(*index)];
        }
    }
    if rises.iter().any(Result::is_err) {
        let faulty = changed.iter().filter_map(|(position, id)| Some((*position, rises[id.index()].err()?)));
        let (position, error) = faulty.min_by_key(|(position, _)| *position).expect("every output has a site");
        let site = input.inventory.bit_address(input.sites[position]).to_string();
        return Err(CampaignError::Faulty { event, site, error });
    }
    for (position, id) in changed {
        let outcome = &mut partial.outcomes[*position];
        outcome.changed_events += 1;
        outcome.rise_sum += rises[id.index()].expect("errors have been returned");
    }
    Ok(())
}

/// What the host receives: the real values of the output words.
pub fn output_values(signal: Signal, raw: &[i64]) -> Vec<f32> {
    raw.iter().map(|raw| cast::nearest_f32(signal.value(*raw))).collect()
}
