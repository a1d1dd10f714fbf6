//! Fault-free inference of many events in parallel.

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use super::oracle::{CampaignError, Event, output_values};
use crate::engine::Engine;
use crate::host::evaluator::{Evaluator, EvaluatorScratch};
use crate::net::Network;

/// What a design makes of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// Raw values of the accelerator's output words.
    pub codes: Vec<i64>,
    /// Their real values.
    pub latent: Vec<f32>,
    /// What the host reconstructs: the 48 cells of a module, otherwise the decoder's output; the latent without a decoder.
    pub decoded: Vec<f32>,
    /// Error of the event.
    pub error: f64,
}

/// Runs every event through accelerator, decoder and metric, in their order.
///
/// # Errors
/// When an error is not finite.
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
    match outcomes.iter().position(|outcome| !outcome.error.is_finite()) {
        Some(event) => Err(CampaignError::GoldenNotFinite { event, error: outcomes[event].error }),
        None => Ok(outcomes),
    }
}
