//! Fault-free inference of many events in parallel.

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

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
            let error = evaluator.error(event.input(), &latent, &latent, scratch);
            Inference { codes, latent, decoded, error }
        })
        .collect();
    match outcomes.iter().position(|outcome| ExactSum::of(outcome.error).is_none()) {
        Some(event) => Err(CampaignError::Golden { event, error: outcomes[event].error }),
        None => Ok(outcomes),
    }
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
        let event = |error, code| Inference { codes: vec![code, 0], latent: Vec::new(), decoded: Vec::new(), error };
        assert_eq!(ErrorSummary::of(&[]), None);
        let two = ErrorSummary::of(&[event(3.0, 0), event(1.0, 5)]).unwrap();
        assert_eq!(two, ErrorSummary { mean: 2.0, median: 2.0, max: 3.0, unused_outputs: 1 });
        let three = ErrorSummary::of(&[event(3.0, 0), event(1.0, 0), event(1.5, 0)]).unwrap();
        assert_eq!((three.median, three.unused_outputs), (1.5, 2));
    }
}
