//! `Workspace`: faults of one event, from the changed registers to the rises of the error.
//!
//! Whatever the faults are, many lead an event to the same output; each distinct output is judged once.

use super::event::Event;
use super::{CampaignError, ExactSum};
use crate::engine::{Engine, FlipPlan, OutputId, OutputSet, Scratch, Trace, WeightChange};
use crate::host::evaluator::{Evaluator, EvaluatorScratch};
use crate::net::Signal;
use crate::num::cast;

/// Outputs handed to the judge at once: many enough that it can share work between neighbors, few enough for the cache.
const JUDGED_TOGETHER: usize = 64;

/// What one thread works with, event after event; after the first ones nothing is allocated.
#[derive(Debug)]
pub(super) struct Workspace {
    signal: Signal,
    trace: Trace,
    scratch: Scratch,
    /// The distinct faulty outputs of the event.
    outputs: OutputSet,
    /// Which fault leads to which.
    changed: Vec<(usize, OutputId)>,
    /// What each costs, or the error that cannot be added up.
    rises: Vec<Result<ExactSum, f64>>,
    golden_output: Vec<f32>,
    /// Faulty outputs, one behind the other.
    real_outputs: Vec<f32>,
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
            signal: engine.network().output().signal,
            trace: engine.empty_trace(),
            scratch: engine.scratch(),
            outputs: OutputSet::default(),
            changed: Vec::new(),
            rises: Vec::new(),
            golden_output: Vec::new(),
            real_outputs: Vec::new(),
            evaluator: EvaluatorScratch::default(),
        }
    }

    /// Starts an event, without faults yet.
    pub(super) fn begin(&mut self, engine: &Engine<'_>, event: &Event) {
        engine.trace_into(event.codes(), &mut self.trace);
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
        let Self { signal, trace, outputs, changed, rises, golden_output, real_outputs, .. } = self;
        let real = |raw: i64| cast::nearest_f32(signal.value(raw));
        golden_output.clear();
        golden_output.extend(trace.output().iter().map(|raw| real(*raw)));
        let mut judge = evaluator.judge(event.input(), golden_output, &mut self.evaluator);
        let golden = judge.golden();
        let golden_sum = ExactSum::of(golden).ok_or(Unusable::Golden(golden))?;

        rises.clear();
        rises.resize(outputs.len(), Ok(ExactSum::default()));
        // Each after one that is like it: the judge starts from the one before, and shares work between several.
        outputs.sort_by_likeness(trace.output());
        for ids in outputs.by_likeness().chunks(JUDGED_TOGETHER) {
            real_outputs.clear();
            for id in ids {
                let start = real_outputs.len();
                real_outputs.extend_from_slice(golden_output);
                let (indices, values) = outputs.differences(*id);
                for (index, raw) in indices.iter().zip(values) {
                    real_outputs[start + cast::index(*index)] = real(*raw);
                }
            }
            judge.errors(real_outputs, |position, error| {
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
