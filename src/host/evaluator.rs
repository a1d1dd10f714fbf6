//! `Evaluator`: from the output of the accelerator to the error of an event.
//!
//! It pairs a decoder, a metric and a kind of event once, refusing what does not fit together, so that evaluating an
//! output cannot fail. It runs no accelerator and averages over no events.

use super::decoder::{Decoder, DecoderScratch};
use super::emd::{Emd, EmdError, EmdFrom, EmdScratch};
use super::geometry::{self, CELLS, Charges, PIXELS};
use super::loss;
use super::metric::{EMPTY_OUTPUT, ErrorMetric};
use super::vicinity::Vicinity;
use crate::net::{Fingerprint, FingerprintBuilder, FloatNetwork};

/// What an event is, as far as shapes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The charges of an HGCal module; the network sees an 8x8x1 image.
    Module,
    /// A tensor as the network takes it.
    Tensor {
        /// Its shape without the batch.
        shape: Vec<usize>,
    },
}

impl EventKind {
    /// Number of values the accelerator takes per event.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Module => PIXELS,
            Self::Tensor { shape } => shape.iter().product(),
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
// The events of a list are of one kind, so the larger variant wastes nothing, and a box would cost a detour.
#[allow(clippy::large_enum_variant)]
pub enum EventInput {
    /// The charges of an HGCal module.
    Module(Charges),
    /// A tensor, in C order.
    Tensor(Vec<f32>),
}

impl EventInput {
    /// What the accelerator is given, in C order: a module's image, a tensor as it is.
    pub fn network_input(&self) -> Vec<f32> {
        match self {
            Self::Module(charges) => charges.image().to_vec(),
            Self::Tensor(values) => values.clone(),
        }
    }
}

/// Why decoder, metric and events do not fit together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluatorError {
    /// The decoder takes another number of values than the accelerator gives.
    #[error("decoder `{decoder}` takes {expected} values, but the accelerator gives {found}")]
    DecoderInput {
        /// The decoder.
        decoder: String,
        /// Values it takes.
        expected: usize,
        /// Values it is given.
        found: usize,
    },
    /// The metric compares charges of a module, but events are tensors.
    #[error("metric `{metric}` needs HGCal modules as events, but events are tensors; choose mse or deviation")]
    NeedsModules {
        /// The metric.
        metric: ErrorMetric,
    },
    /// What comes out has another length than what is compared with it.
    #[error(
        "metric `{metric}` compares {expected} values with each event, but {} gives {found}; {}",
        decoder.as_ref().map_or_else(|| "the accelerator".to_owned(), |name| format!("decoder `{name}`")),
        if decoder.is_some() { "choose deviation" } else { "add a decoder or choose deviation" }
    )]
    OutputLength {
        /// The metric.
        metric: ErrorMetric,
        /// Values it compares.
        expected: usize,
        /// Values there are.
        found: usize,
        /// The decoder, if there is one.
        decoder: Option<String>,
    },
}

/// Judges many outputs of one event, faster than [`Evaluator::error`] and with equal results, bit for bit.
///
/// What outputs of one event have in common is computed once. Fastest are consecutive outputs that differ from the
/// fault-free one in one and the same value, ever farther in one direction.
#[derive(Debug)]
pub struct Judge<'a> {
    evaluator: &'a Evaluator,
    event: &'a EventInput,
    golden_output: &'a [f32],
    golden: f64,
    /// The decoder around the fault-free output, when it is needed.
    vicinity: Option<Vicinity<'a>>,
    /// For [`ErrorMetric::Emd`].
    from: Option<EmdFrom<'a>>,
}

impl Judge<'_> {
    /// Error of the fault-free output.
    pub const fn golden(&self) -> f64 {
        self.golden
    }

    /// Error of `output`: what [`Evaluator::error`] says of it.
    ///
    /// # Panics
    /// As [`Evaluator::error`].
    pub fn error(&mut self, output: &[f32]) -> f64 {
        let Self { evaluator, event, golden_output, vicinity, from, .. } = self;
        evaluator.assert_fits(output);
        let decoded = match vicinity {
            Some(vicinity) => vicinity.run(output),
            None => output,
        };
        evaluator.error_of(event, decoded, [output, golden_output], |_, cells| fixed_distance(from, cells))
    }

    /// Calls `each` with the position of every one of `outputs` and its error, in their order: what [`Evaluator::error`]
    /// says of it. The outputs follow each other without gaps.
    ///
    /// # Panics
    /// When `outputs` are not whole outputs of the accelerator, or those have no values; as [`Evaluator::error`].
    pub fn errors(&mut self, outputs: &[f32], mut each: impl FnMut(usize, f64)) {
        let Self { evaluator, event, golden_output, vicinity, from, .. } = self;
        let len = evaluator.output_len;
        assert!(len > 0 && outputs.len().is_multiple_of(len), "outputs come from the accelerator of this evaluator");
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

/// The host's view of a design: what an output of the accelerator means, and how wrong it is.
#[derive(Debug, Clone)]
pub struct Evaluator {
    decoder: Option<Decoder>,
    metric: ErrorMetric,
    kind: EventKind,
    output_len: usize,
    emd: Emd,
    fingerprint: Fingerprint,
}

/// Working memory of an [`Evaluator`]; after the first call none allocates. One per thread.
#[derive(Debug, Clone, Default)]
pub struct EvaluatorScratch {
    decoder: DecoderScratch,
    emd: EmdScratch,
}

impl Evaluator {
    /// Pairs an accelerator with `output_len` outputs, its decoder, a metric and a kind of events.
    ///
    /// Without a decoder the accelerator's own output is compared with the event. A decoder that
    /// [`ErrorMetric::Deviation`] does not need must fit all the same.
    ///
    /// # Errors
    /// When the decoder does not take the accelerator's output, or its output cannot be compared with such events.
    pub fn new(
        decoder: Option<&FloatNetwork>,
        metric: ErrorMetric,
        kind: EventKind,
        output_len: usize,
    ) -> Result<Self, EvaluatorError> {
        let mut fingerprint = FingerprintBuilder::new("trivote evaluator 1");
        fingerprint.text(metric.name());
        fingerprint.text(&format!("{kind:?}"));
        if let Some(network) = decoder {
            fingerprint.part(network.fingerprint());
        }
        let name = decoder.map(|network| network.name().to_owned());
        let decoder = decoder.map(Decoder::new);
        if let (Some(decoder), Some(name)) = (&decoder, &name)
            && decoder.input_len() != output_len
        {
            let (decoder, expected) = (name.clone(), decoder.input_len());
            return Err(EvaluatorError::DecoderInput { decoder, expected, found: output_len });
        }
        if matches!(metric, ErrorMetric::Emd | ErrorMetric::Telescope) && kind != EventKind::Module {
            return Err(EvaluatorError::NeedsModules { metric });
        }
        let found = decoder.as_ref().map_or(output_len, Decoder::output_len);
        let expected = kind.input_len();
        if metric != ErrorMetric::Deviation && found != expected {
            return Err(EvaluatorError::OutputLength { metric, expected, found, decoder: name });
        }
        let emd = Emd::new(geometry::distances().as_flattened(), CELLS);
        let emd = emd.expect("the distances of the module's cells are finite and enough");
        Ok(Self { decoder, metric, kind, output_len, emd, fingerprint: fingerprint.finish() })
    }

    /// Fingerprint of what decides its judgment: metric, kind of events, parameters of the decoder.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The metric of [`Evaluator::error`].
    pub const fn metric(&self) -> ErrorMetric {
        self.metric
    }

    /// Whether the error of an event is a sum over the outputs of the accelerator, each by itself.
    pub fn is_additive(&self) -> bool {
        self.metric == ErrorMetric::Deviation || (self.metric == ErrorMetric::Mse && self.decoder.is_none())
    }

    /// The kind of events it takes.
    pub const fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// Number of values the accelerator gives per event.
    pub const fn output_len(&self) -> usize {
        self.output_len
    }

    /// What the host reconstructs from an output of the accelerator; the output itself without a decoder.
    ///
    /// # Panics
    /// When `output` has not [`Evaluator::output_len`] values.
    pub fn decoded<'a>(&self, output: &'a [f32], scratch: &'a mut EvaluatorScratch) -> &'a [f32] {
        self.assert_fits(output);
        self.decoder.as_ref().map_or(output, |decoder| decoder.run(output, &mut scratch.decoder))
    }

    /// What the host reconstructs, in the order of the event: the 48 cells of a module when a decoder gives its image,
    /// otherwise as [`Evaluator::decoded`].
    ///
    /// # Panics
    /// As [`Evaluator::decoded`].
    pub fn reconstruction(&self, output: &[f32], scratch: &mut EvaluatorScratch) -> Vec<f32> {
        let decoded = self.decoded(output, scratch);
        match (&self.kind, &self.decoder, <&[f32; PIXELS]>::try_from(decoded)) {
            (EventKind::Module, Some(_), Ok(image)) => geometry::cells_of_image(image).to_vec(),
            _ => decoded.to_vec(),
        }
    }

    /// The error of `output` (what the accelerator sends for `event`), by [`Evaluator::metric`].
    ///
    /// Depends on its arguments alone. For [`ErrorMetric::Emd`] a decoded charge below 0 counts as 0. NaN when decoding
    /// overflows `f32`, which parameters and outputs of ordinary size never do.
    ///
    /// # Panics
    /// When `event` is of another kind or length, or an output has not [`Evaluator::output_len`] values.
    pub fn error(
        &self,
        event: &EventInput,
        output: &[f32],
        golden_output: &[f32],
        scratch: &mut EvaluatorScratch,
    ) -> f64 {
        self.assert_fits(output);
        let EvaluatorScratch { decoder: decoder_scratch, emd } = scratch;
        let decoded = match self.needed_decoder() {
            Some(decoder) => decoder.run(output, decoder_scratch),
            None => output,
        };
        self.error_of(event, decoded, [output, golden_output], |charges, cells| {
            or_empty(&self.emd.distance(charges.charges(), cells, emd))
        })
    }

    fn assert_fits(&self, output: &[f32]) {
        assert_eq!(output.len(), self.output_len, "outputs come from the accelerator this evaluator was made for");
    }

    /// The decoder, if the metric looks at what it gives.
    fn needed_decoder(&self) -> Option<&Decoder> {
        self.decoder.as_ref().filter(|_| self.metric != ErrorMetric::Deviation)
    }

    /// The error of `output`, of which `decoded` is what [`Evaluator::needed_decoder`] gives.
    fn error_of(
        &self,
        event: &EventInput,
        decoded: &[f32],
        [output, golden_output]: [&[f32]; 2],
        distance: impl FnOnce(&Charges, &[f64; CELLS]) -> f64,
    ) -> f64 {
        if self.metric == ErrorMetric::Deviation {
            return loss::mean_squared_error(output, golden_output);
        }
        let charges = match event {
            EventInput::Module(charges) => charges,
            EventInput::Tensor(values) => return loss::mean_squared_error(decoded, values),
        };
        let image = decoded.try_into().expect("the output's length is checked on construction");
        let cells = geometry::cells_of_image(image).map(f64::from);
        match self.metric {
            ErrorMetric::Emd => distance(charges, &cells.map(|cell| if cell < 0.0 { 0.0 } else { cell })),
            ErrorMetric::Telescope => loss::telescope(&charges.normalized(), &cells),
            ErrorMetric::Mse => loss::mean_squared_error_of_cells(&charges.normalized(), &cells),
            ErrorMetric::Deviation => unreachable!("answered before decoding"),
        }
    }

    /// Prepares to judge many outputs of one event.
    ///
    /// # Panics
    /// As [`Evaluator::error`].
    pub fn judge<'a>(
        &'a self,
        event: &'a EventInput,
        golden_output: &'a [f32],
        scratch: &'a mut EvaluatorScratch,
    ) -> Judge<'a> {
        self.assert_fits(golden_output);
        let EvaluatorScratch { decoder: decoder_scratch, emd } = scratch;
        let vicinity = self.needed_decoder().map(|decoder| decoder.at(golden_output, decoder_scratch));
        let from = match event {
            EventInput::Module(charges) if self.metric == ErrorMetric::Emd => {
                let from = self.emd.fix_supply(charges.charges(), emd);
                Some(from.expect("charges are checked on construction"))
            }
            _ => None,
        };
        let mut judge = Judge { evaluator: self, event, golden_output, golden: 0.0, vicinity, from };
        judge.golden = judge.error(golden_output);
        judge
    }
}

/// A distance to decoded cells, none of which is below 0: empty when they sum up to 0, NaN when not to a number.
fn or_empty(distance: &Result<f64, EmdError>) -> f64 {
    match distance {
        Ok(distance) => *distance,
        Err(EmdError::Sum { sum, .. }) if *sum == 0.0 => EMPTY_OUTPUT,
        Err(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Activation, FloatNode, FloatOp};

    /// A decoder that shows its two inputs at the pixels 0 (cell 28) and 4 (cell 0).
    fn decoder(pixels: usize) -> FloatNetwork {
        let mut kernel = vec![0.0; 2 * pixels];
        kernel[0] = 1.0;
        kernel[pixels + 4] = 1.0;
        let nodes = vec![
            FloatNode { name: "latent".to_owned(), op: FloatOp::Input, input: 0, shape: vec![2] },
            FloatNode {
                name: "dense".to_owned(),
                op: FloatOp::Dense { kernel, bias: vec![0.0; pixels] },
                input: 0,
                shape: vec![pixels],
            },
            FloatNode {
                name: "linear".to_owned(),
                op: FloatOp::Activation(Activation::Linear),
                input: 1,
                shape: vec![pixels],
            },
        ];
        FloatNetwork::new("decoder", nodes).unwrap()
    }

    fn module() -> EventInput {
        let mut charges = [0.0; CELLS];
        charges[0] = 12.0;
        EventInput::Module(Charges::new(charges).unwrap())
    }

    fn error(metric: ErrorMetric, output: [f32; 2]) -> f64 {
        let evaluator = Evaluator::new(Some(&decoder(PIXELS)), metric, EventKind::Module, 2).unwrap();
        evaluator.error(&module(), &output, &[0.0, 1.0], &mut EvaluatorScratch::default())
    }

    #[test]
    fn errors_of_a_module() {
        let far = geometry::distances()[0][28];
        assert_eq!(error(ErrorMetric::Emd, [0.0, 0.7]), 0.0);
        assert!((error(ErrorMetric::Emd, [0.25, 0.75]) - far / 4.0).abs() < 1e-10);
        assert_eq!(error(ErrorMetric::Emd, [-1.0, 0.7]), 0.0, "negative charges count as none");
        assert_eq!(error(ErrorMetric::Emd, [0.0, 0.0]), EMPTY_OUTPUT);
        assert_eq!(error(ErrorMetric::Emd, [-1.0, 0.0]), EMPTY_OUTPUT);
        assert!(error(ErrorMetric::Emd, [f32::INFINITY, 0.0]).is_nan());
        // 12 / 2^3 = 1.5 in cell 0.
        assert_eq!(error(ErrorMetric::Mse, [0.5, 1.0]), 0.5 / 48.0);
        assert_eq!(error(ErrorMetric::Telescope, [0.0, 1.5]), 0.0);
        assert!(error(ErrorMetric::Telescope, [0.0, 1.0]) > 0.0);
        assert_eq!(error(ErrorMetric::Deviation, [1.0, 3.0]), 2.5);
    }

    #[test]
    fn a_judge_says_what_the_evaluator_says() {
        for metric in ErrorMetric::ALL {
            let evaluator = Evaluator::new(Some(&decoder(PIXELS)), metric, EventKind::Module, 2).unwrap();
            let (mut scratch, mut judges) = (EvaluatorScratch::default(), EvaluatorScratch::default());
            let golden = [0.25, 0.5];
            for occupied in 1..CELLS {
                let mut charges = [0.0; CELLS];
                charges[..occupied].fill(2.0);
                let event = EventInput::Module(Charges::new(charges).unwrap());
                let mut judge = evaluator.judge(&event, &golden, &mut judges);
                assert_eq!(judge.golden(), evaluator.error(&event, &golden, &golden, &mut scratch));
                for output in [golden, [1.0, 0.1], [0.0, 0.0], [f32::NAN, 1.0], [-1.0, 3.0], [f32::INFINITY, 1.0]] {
                    let expected = evaluator.error(&event, &output, &golden, &mut scratch);
                    let found = judge.error(&output);
                    assert_eq!(found.to_bits(), expected.to_bits(), "{metric}: {found} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn errors_of_a_tensor() {
        let kind = EventKind::Tensor { shape: vec![2, 1, 3] };
        let evaluator = Evaluator::new(Some(&decoder(6)), ErrorMetric::Mse, kind, 2).unwrap();
        let mut scratch = EvaluatorScratch::default();
        assert_eq!(evaluator.decoded(&[1.0, 2.0], &mut scratch), [1.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        let event = EventInput::Tensor(vec![1.0, 0.0, 3.0, 0.0, 2.0, 0.0]);
        assert_eq!(evaluator.error(&event, &[1.0, 2.0], &[0.0; 2], &mut scratch), 1.5);
        assert_eq!(event.network_input().len(), evaluator.kind().input_len());
        // An accelerator that reconstructs by itself needs no decoder.
        let kind = EventKind::Tensor { shape: vec![6] };
        let evaluator = Evaluator::new(None, ErrorMetric::Mse, kind, 6).unwrap();
        assert_eq!(evaluator.error(&event, &[1.0, 0.0, 0.0, 0.0, 2.0, 0.0], &[0.0; 6], &mut scratch), 1.5);
    }

    #[test]
    fn a_judge_says_the_same_of_one_and_of_many() {
        let outputs = [
            [0.0, 0.7],
            [0.25, 0.75],
            [0.25, 0.7],
            [-1.0, 0.0],
            [0.1, 0.2],
            [0.2, 0.1],
            [0.3, 0.7],
            [f32::INFINITY, 0.0],
            [0.3, 0.3],
        ];
        let metrics = [ErrorMetric::Emd, ErrorMetric::Telescope, ErrorMetric::Mse, ErrorMetric::Deviation];
        for metric in metrics {
            let evaluator = Evaluator::new(Some(&decoder(PIXELS)), metric, EventKind::Module, 2).unwrap();
            let event = module();
            let (mut plain, mut fast) = (EvaluatorScratch::default(), EvaluatorScratch::default());
            let mut judge = evaluator.judge(&event, &outputs[0], &mut fast);
            assert_eq!(judge.golden(), evaluator.error(&event, &outputs[0], &outputs[0], &mut plain));
            let expected = outputs.map(|output| evaluator.error(&event, &output, &outputs[0], &mut plain).to_bits());
            assert_eq!(outputs.map(|output| judge.error(&output).to_bits()), expected, "{metric}");
            let mut found = Vec::new();
            judge.errors(outputs.as_flattened(), |index, error| {
                assert_eq!(index, found.len());
                found.push(error.to_bits());
            });
            assert_eq!(found, expected, "{metric}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refusal = |decoder: Option<&FloatNetwork>, metric, kind, len| {
            Evaluator::new(decoder, metric, kind, len).unwrap_err().to_string()
        };
        let tensor = || EventKind::Tensor { shape: vec![3] };
        let small = decoder(6);
        assert_eq!(
            refusal(Some(&small), ErrorMetric::Deviation, tensor(), 16),
            "decoder `decoder` takes 2 values, but the accelerator gives 16"
        );
        assert_eq!(
            refusal(Some(&small), ErrorMetric::Emd, tensor(), 2),
            "metric `emd` needs HGCal modules as events, but events are tensors; choose mse or deviation"
        );
        assert_eq!(
            refusal(Some(&small), ErrorMetric::Mse, tensor(), 2),
            "metric `mse` compares 3 values with each event, but decoder `decoder` gives 6; choose deviation"
        );
        assert_eq!(
            refusal(None, ErrorMetric::Telescope, EventKind::Module, 16),
            "metric `telescope` compares 64 values with each event, but the accelerator gives 16; add a decoder or \
             choose deviation"
        );
        assert!(Evaluator::new(None, ErrorMetric::Deviation, tensor(), 16).is_ok());
    }
}
