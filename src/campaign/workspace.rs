//! `Workspace`: faults of one event, from the changed registers to the rises of the error.
//!
//! Whatever the faults are, many lead an event to the same output; each distinct output is judged once.

use super::event::Event;
use super::{CampaignError, ExactSum};
use crate::engine::{Engine, FlipPlan, OutputId, OutputSet, Scratch, Trace, WeightChange};
use crate::host::evaluator::{Evaluator, EvaluatorScratch};
use crate::num::cast;

/// Outputs handed to the judge at once: many enough that it can share work between neighbors, few enough for the cache.
const JUDGED_TOGETHER: usize = 64;

/// What one thread works with, event after event; after the first ones nothing is allocated.
#[derive(Debug)]
pub(super) struct Workspace {
    trace: Trace,
    scratch: Scratch,
    /// The distinct faulty outputs of the event.
    outputs: OutputSet,
    /// These in the order in which they are judged.
    ordered: Vec<OutputId>,
    /// Which fault leads to which.
    changed: Vec<(usize, OutputId)>,
    /// What each costs, or the error that cannot be added up.
    rises: Vec<Result<ExactSum, f64>>,
    /// Faulty outputs, one behind the other.
    faulty: Vec<i64>,
    evaluator: EvaluatorScratch,
}

/// An error that cannot be added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unusable {
    /// Without a fault.
    Golden(f64),
    /// With the fault at this position.
    Faulty(usize, f64),
}

impl Unusable {
    /// The error of a campaign at event `event`; `name` tells what is flipped by the fault at a position.
    pub(super) fn error(self, event: usize, name: impl FnOnce(usize) -> String) -> CampaignError {
        match self {
            Self::Golden(error) => CampaignError::Golden { event, error },
            Self::Faulty(position, error) => CampaignError::Faulty { event, site: name(position), error },
        }
    }
}

impl Workspace {
    pub(super) fn new(engine: &Engine<'_>) -> Self {
        Self {
            trace: engine.empty_trace(),
            scratch: engine.scratch(),
            outputs: OutputSet::default(),
            ordered: Vec::new(),
            changed: Vec::new(),
            rises: Vec::new(),
            faulty: Vec::new(),
            evaluator: EvaluatorScratch::default(),
        }
    }

    /// Starts an event, without faults yet.
    pub(super) fn begin(&mut self, engine: &Engine<'_>, event: &Event) {
        engine.trace_into(event.codes(), &mut self.trace);
        self.begin_again();
    }

    /// Starts the same event again, without faults.
    pub(super) fn begin_again(&mut self) {
        self.outputs.clear();
        self.changed.clear();
    }

    /// Every single change of `plan` is a fault; faults are numbered as its changes.
    pub(super) fn sweep(&mut self, engine: &Engine<'_>, plan: &FlipPlan) {
        let Self { trace, scratch, outputs, changed, .. } = self;
        engine.sweep(plan, trace, scratch, |position, output| changed.push((position, outputs.intern(output))));
    }

    /// Every list of changes that hold together is a fault; faults are numbered as the lists.
    pub(super) fn evaluate(&mut self, engine: &Engine<'_>, faults: &[Vec<WeightChange>]) {
        for (position, changes) in faults.iter().enumerate() {
            self.evaluate_one(engine, position, changes);
        }
    }

    /// A list of changes that hold together is the fault of that number.
    pub(super) fn evaluate_one(&mut self, engine: &Engine<'_>, number: usize, changes: &[WeightChange]) {
        if let Some(output) = engine.evaluate(&self.trace, &mut self.scratch, changes) {
            self.changed.push((number, self.outputs.intern(&output)));
        }
    }

    /// Numbers of the faults that change the output.
    pub(super) fn effective(&self) -> impl Iterator<Item = usize> {
        self.changed.iter().map(|(number, _)| *number)
    }

    /// Judges the fault-free output and every distinct faulty one; gives the fault-free error.
    ///
    /// # Errors
    /// When an error cannot be added up; of several faults the first one.
    pub(super) fn judge(&mut self, evaluator: &Evaluator, event: &Event) -> Result<ExactSum, Unusable> {
        let Self { trace, outputs, ordered, changed, rises, faulty, .. } = self;
        let mut judge = evaluator.judge(event.input(), trace.output(), &mut self.evaluator);
        let golden = judge.golden();
        let golden_sum = ExactSum::of(golden).ok_or(Unusable::Golden(golden))?;

        rises.clear();
        rises.resize(outputs.len(), Ok(ExactSum::default()));
        if judge.is_settled() {
            return Ok(golden_sum);
        }
        // Each after one that is like it: the judge starts from the one before, and shares work between several.
        ordered.clear();
        if judge.reads_words() {
            ordered.extend(outputs.ids());
        } else {
            outputs.sort_by_likeness(trace.output());
            ordered.extend_from_slice(outputs.by_likeness());
        }
        for ids in ordered.chunks(JUDGED_TOGETHER) {
            faulty.clear();
            for id in ids {
                let start = faulty.len();
                faulty.extend_from_slice(trace.output());
                let (indices, values) = outputs.differences(*id);
                for (index, raw) in indices.iter().zip(values) {
                    faulty[start + cast::index(*index)] = *raw;
                }
            }
            judge.errors(faulty, |position, error| {
                rises[ids[position].index()] = ExactSum::of(error - golden).ok_or(error);
            });
        }
        if rises.iter().any(Result::is_err) {
            let unusable = changed.iter().filter_map(|(position, id)| Some((*position, rises[id.index()].err()?)));
            let (position, error) = unusable.min_by_key(|(position, _)| *position).expect("every output has a fault");
            return Err(Unusable::Faulty(position, error));
        }
        Ok(golden_sum)
    }

    /// The faults that change the output, with what that adds to the error.
    pub(super) fn rises(&self) -> impl Iterator<Item = (usize, ExactSum)> {
        self.changed.iter().map(|(position, id)| (*position, self.rises[id.index()].expect("judged without errors")))
    }
}
