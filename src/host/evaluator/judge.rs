//! `Judge`: the errors of many outputs of one event, faster than one by one.

use super::{Evaluator, EvaluatorScratch, EventInput, or_empty};
use crate::host::emd::EmdFrom;
use crate::host::geometry::{CELLS, Charges};
use crate::host::metric::ErrorMetric;
use crate::host::vicinity::Vicinity;

/// Judges many outputs of one event, faster than [`Evaluator::error`] and with equal results, bit for bit.
///
/// What outputs of one event have in common is computed once. Fastest are consecutive outputs that differ from the
/// fault-free one in one and the same value, ever farther in one direction.
#[derive(Debug)]
pub struct Judge<'a> {
    evaluator: &'a Evaluator,
    event: &'a EventInput,
    golden_output: &'a [f32],
    pub(super) golden: f64,
    /// The decoder around the fault-free output, when it is needed.
    vicinity: Option<Vicinity<'a>>,
    /// For [`ErrorMetric::Emd`].
    from: Option<EmdFrom<'a>>,
    /// Real values of outputs.
    values: &'a mut Vec<f32>,
}

impl Evaluator {
    /// Prepares to judge many outputs of one event, whose fault-free output has the integers `golden_output`.
    ///
    /// # Panics
    /// As [`Evaluator::error`].
    pub fn judge<'a>(
        &'a self,
        event: &'a EventInput,
        golden_output: &[i64],
        scratch: &'a mut EvaluatorScratch,
    ) -> Judge<'a> {
        self.assert_fits(golden_output);
        self.output.receive(golden_output, &mut scratch.golden_values);
        let mut judge = self.judge_near(event, scratch);
        judge.golden = judge.error(golden_output);
        judge
    }

    /// A judge around the fault-free values in `scratch`, whose error is still to be found.
    pub(super) fn judge_near<'a>(&'a self, event: &'a EventInput, scratch: &'a mut EvaluatorScratch) -> Judge<'a> {
        let EvaluatorScratch { decoder: decoder_scratch, emd, golden_values, values } = scratch;
        let golden_output: &[f32] = golden_values;
        let vicinity = self.needed_decoder().map(|decoder| decoder.at(golden_output, decoder_scratch));
        let from = match event {
            EventInput::Module(charges) if self.metric == ErrorMetric::Emd => {
                let from = self.emd.fix_supply(charges.charges(), emd);
                Some(from.expect("charges are checked on construction"))
            }
            _ => None,
        };
        Judge { evaluator: self, event, golden_output, golden: 0.0, vicinity, from, values }
    }
}

impl Judge<'_> {
    /// Error of the fault-free output.
    pub const fn golden(&self) -> f64 {
        self.golden
    }

    /// Whether every output of the event has the error of the fault-free one: what is classified wrongly without a fault
    /// stays wrong.
    pub fn is_settled(&self) -> bool {
        self.evaluator.metric == ErrorMetric::Misprediction && self.golden > 0.0
    }

    /// Whether errors follow from the integers of the words alone, so that it does not matter which outputs follow each
    /// other.
    pub fn reads_words(&self) -> bool {
        self.evaluator.metric.needs_labels() && self.evaluator.decoder.is_none()
    }

    /// Error of `output`, the integers of its words: what [`Evaluator::error`] says of it.
    ///
    /// # Panics
    /// As [`Evaluator::error`].
    pub fn error(&mut self, output: &[i64]) -> f64 {
        self.evaluator.assert_fits(output);
        if let Some(error) = self.known(output) {
            return error;
        }
        let mut values = std::mem::take(self.values);
        self.evaluator.output.receive(output, &mut values);
        let error = self.error_of_values(&values);
        *self.values = values;
        error
    }

    /// Calls `each` with the position of every one of `outputs` and its error, in their order: what [`Evaluator::error`]
    /// says of it. The outputs follow each other without gaps.
    ///
    /// # Panics
    /// When `outputs` are not whole outputs of the accelerator, or those have no values; as [`Evaluator::error`].
    pub fn errors(&mut self, outputs: &[i64], mut each: impl FnMut(usize, f64)) {
        let len = self.evaluator.output.len;
        assert!(len > 0 && outputs.len().is_multiple_of(len), "outputs come from the accelerator of this evaluator");
        let outputs_known = outputs.chunks_exact(len).map_while(|output| self.known(output)).enumerate();
        let known = outputs_known.map(|(index, error)| each(index, error)).count();
        // Of one output, then of all.
        if known > 0 {
            return;
        }
        let mut values = std::mem::take(self.values);
        self.evaluator.output.receive(outputs, &mut values);
        self.errors_of_values(&values, each);
        *self.values = values;
    }

    /// The error of an output where its real values need not be found for it.
    fn known(&self, output: &[i64]) -> Option<f64> {
        let evaluator = self.evaluator;
        if self.is_settled() { Some(1.0) } else { evaluator.error_of_words(self.event, output) }
    }

    /// [`Judge::error`] of the values that the host receives.
    pub(super) fn error_of_values(&mut self, output: &[f32]) -> f64 {
        let Self { evaluator, event, golden_output, vicinity, from, .. } = self;
        let decoded = match vicinity {
            Some(vicinity) => vicinity.run(output),
            None => output,
        };
        evaluator.error_of(event, decoded, [output, golden_output], |_, cells| fixed_distance(from, cells))
    }

    /// [`Judge::errors`] of the values that the host receives.
    pub(super) fn errors_of_values(&mut self, outputs: &[f32], mut each: impl FnMut(usize, f64)) {
        let Self { evaluator, event, golden_output, vicinity, from, .. } = self;
        let len = evaluator.output.len;
        let mut judge = |index: usize, decoded: &[f32]| {
            let output = &outputs[index * len..][..len];
            let distance = |_: &Charges, cells: &[f64; CELLS]| fixed_distance(from, cells);
            each(index, evaluator.error_of(event, decoded, [output, golden_output], distance));
        };
        match vicinity {
            Some(vicinity) => vicinity.run_many(outputs, judge),
            None => outputs.chunks_exact(len).enumerate().for_each(|(index, output)| judge(index, output)),
        }
    }
}

/// The distance from the event of a judge to decoded cells.
fn fixed_distance(from: &mut Option<EmdFrom<'_>>, cells: &[f64; CELLS]) -> f64 {
    or_empty(&from.as_mut().expect("a judge by this metric knows its supply").distance(cells))
}
