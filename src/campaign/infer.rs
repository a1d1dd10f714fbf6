//! Fault-free inference of many events in parallel.

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use super::ExactSum;
use super::event::Event;
use super::oracle::{CampaignError, output_values};
use crate::engine::Engine;
use crate::host::evaluator::{Evaluator, EvaluatorScratch};
use crate::net::Network;
use crate::num::cast;

/// What a design makes of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// Raw values of the accelerator's output words.
    pub codes: Vec<i64>,
    /// Their real values.
    pub latent: Vec<f32>,
    /// What the host reconstructs: the 48 cells of a module, otherwise the decoder's output; the latent without a
    /// decoder.
    pub decoded: Vec<f32>,
    /// Error of the event.
    pub error: f64,
    /// How the event is classified, where it has a label.
    pub decision: Option<Decision>,
}

/// How an event is classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The class that the output decides for.
    pub class: usize,
    /// The class of the event.
    pub label: usize,
}

impl Decision {
    /// What is decided of an event with this output; `None` without a label.
    fn of(evaluator: &Evaluator, event: &Event, codes: &[i64], scratch: &mut EvaluatorScratch) -> Option<Self> {
        let label = cast::index(event.input().label()?);
        Some(Self { class: evaluator.class(codes, scratch), label })
    }

    /// Whether the class is right.
    pub const fn is_correct(self) -> bool {
        self.class == self.label
    }
}

/// Runs every event through accelerator, decoder and metric, in their order.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
pub fn infer(network: &Network, evaluator: &Evaluator, events: &[Event]) -> Result<Vec<Inference>, CampaignError> {
    let engine = Engine::new(network);
    let signal = network.output().signal;
    let outcomes: Vec<Inference> = events
        .par_iter()
        .map_init(EvaluatorScratch::default, |scratch, event| {
            let codes = engine.trace(event.codes()).output().to_vec();
            let latent = output_values(signal, &codes);
            let decoded = evaluator.reconstruction(&latent, scratch);
            let error = evaluator.error(event.input(), &codes, &codes, scratch);
            let decision = Decision::of(evaluator, event, &codes, scratch);
            Inference { codes, latent, decoded, error, decision }
        })
        .collect();
    match outcomes.iter().position(|outcome| ExactSum::of(outcome.error).is_none()) {
        Some(event) => Err(CampaignError::Golden { event, error: outcomes[event].error }),
        None => Ok(outcomes),
    }
}

/// Which of `events` are classified correctly without faults; `None` when one of them has no label.
pub fn correct_events(network: &Network, evaluator: &Evaluator, events: &[Event]) -> Option<Vec<bool>> {
    let engine = Engine::new(network);
    let correct = events.par_iter().map_init(EvaluatorScratch::default, |scratch, event| {
        let trace = engine.trace(event.codes());
        Decision::of(evaluator, event, trace.output(), scratch).map(Decision::is_correct)
    });
    correct.collect()
}

/// How many events of a class there are, and how many are classified correctly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClassCount {
    /// Events whose label it is.
    pub events: usize,
    /// Those among them whose output decides for it.
    pub correct: usize,
    /// Events whose output decides for it, whatever their label.
    pub predicted: usize,
}

/// The counts of every one of `classes` classes; `None` when an event has no label.
pub fn class_counts(inference: &[Inference], classes: usize) -> Option<Vec<ClassCount>> {
    let mut counts = vec![ClassCount::default(); classes];
    for event in inference {
        let decision = event.decision?;
        counts[decision.label].events += 1;
        counts[decision.label].correct += usize::from(decision.is_correct());
        counts[decision.class].predicted += 1;
    }
    Some(counts)
}

/// The errors of some events in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorSummary {
    /// Mean.
    pub mean: f64,
    /// Median; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
    /// Outputs of the accelerator that are 0 in every event.
    pub unused_outputs: usize,
}

impl ErrorSummary {
    /// Of events that went through [`infer`]; `None` without any.
    pub fn of(inference: &[Inference]) -> Option<Self> {
        let mut errors: Vec<f64> = inference.iter().map(|event| event.error).collect();
        errors.sort_by(f64::total_cmp);
        let max = *errors.last()?;
        let sum: ExactSum = errors.iter().filter_map(|error| ExactSum::of(*error)).sum();
        let middle = errors.len() / 2;
        let median =
            if errors.len() % 2 == 1 { errors[middle] } else { f64::midpoint(errors[middle - 1], errors[middle]) };
        let unused = |output: &usize| inference.iter().all(|event| event.codes[*output] == 0);
        let unused_outputs = (0..inference[0].codes.len()).filter(unused).count();
        Some(Self { mean: sum.value() / cast::f64_from_count(errors.len()), median, max, unused_outputs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_few_events() {
        let event = |error, code| Inference {
            codes: vec![code, 0],
            latent: Vec::new(),
            decoded: Vec::new(),
            error,
            decision: None,
        };
        assert_eq!(ErrorSummary::of(&[]), None);
        let two = ErrorSummary::of(&[event(3.0, 0), event(1.0, 5)]).unwrap();
        assert_eq!(two, ErrorSummary { mean: 2.0, median: 2.0, max: 3.0, unused_outputs: 1 });
        let three = ErrorSummary::of(&[event(3.0, 0), event(1.0, 0), event(1.5, 0)]).unwrap();
        assert_eq!((three.median, three.unused_outputs), (1.5, 2));
        assert_eq!(class_counts(&[event(3.0, 0)], 2), None, "no labels");
    }
}
