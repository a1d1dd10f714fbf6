//! `Evaluator`: from the output of the accelerator to the error of an event.
//!
//! It pairs a decoder, a metric and a kind of event once, refusing what does not fit together, so that evaluating an
//! output cannot fail. It runs no accelerator and averages over no events.

mod judge;
#[cfg(test)]
mod tests;

pub use judge::Judge;

use super::classes::{class_of, cross_entropy};
use super::decoder::{Decoder, DecoderScratch};
use super::emd::{Emd, EmdError, EmdScratch};
use super::geometry::{self, CELLS, Charges, PIXELS};
use super::loss;
use super::metric::{EMPTY_OUTPUT, ErrorMetric};
use crate::net::{Activation, Fingerprint, FingerprintBuilder, FloatNetwork, FloatOp, Network, Signal};
use crate::num::cast;

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
    /// A tensor as the network takes it, and the class it is of.
    Labeled {
        /// Shape of the tensor without the batch.
        shape: Vec<usize>,
    },
}

impl EventKind {
    /// Number of values the accelerator takes per event.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Module => PIXELS,
            Self::Tensor { shape } | Self::Labeled { shape } => shape.iter().product(),
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
    /// A tensor, in C order, and its class.
    Labeled {
        /// The values of the tensor.
        values: Vec<f32>,
        /// Its class, from 0.
        label: u32,
    },
}

impl EventInput {
    /// What the accelerator is given, in C order: a module's image, a tensor as it is.
    pub fn network_input(&self) -> Vec<f32> {
        match self {
            Self::Module(charges) => charges.image().to_vec(),
            Self::Tensor(values) | Self::Labeled { values, .. } => values.clone(),
        }
    }

    /// The class it is of, if that is known.
    pub const fn label(&self) -> Option<u32> {
        match self {
            Self::Labeled { label, .. } => Some(*label),
            Self::Module(_) | Self::Tensor(_) => None,
        }
    }
}

/// The words in which an accelerator gives its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputWords {
    /// How many there are.
    pub len: usize,
    /// What the integers in them stand for.
    pub signal: Signal,
}

impl OutputWords {
    /// Those of `network`.
    pub fn of(network: &Network) -> Self {
        let output = network.output();
        Self { len: output.len(), signal: output.signal }
    }

    /// What the host receives for the integers `codes`: their real values, each rounded once to `f32`.
    fn receive(&self, codes: &[i64], values: &mut Vec<f32>) {
        values.clear();
        values.extend(codes.iter().map(|code| cast::nearest_f32(self.signal.value(*code))));
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
    /// The metric compares outputs with labels, but events have none.
    #[error(
        "metric `{metric}` needs the class of every event; give labels with --labels FILE, or events.labels in \
         design.toml, or choose deviation"
    )]
    NeedsLabels {
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

/// The host's view of a design: what an output of the accelerator means, and how wrong it is.
#[derive(Debug, Clone)]
pub struct Evaluator {
    decoder: Option<Decoder>,
    metric: ErrorMetric,
    kind: EventKind,
    output: OutputWords,
    emd: Emd,
    fingerprint: Fingerprint,
}

/// Working memory of an [`Evaluator`]; after the first call none allocates. One per thread.
#[derive(Debug, Clone, Default)]
pub struct EvaluatorScratch {
    decoder: DecoderScratch,
    emd: EmdScratch,
    golden_values: Vec<f32>,
    values: Vec<f32>,
}

impl Evaluator {
    /// Pairs an accelerator that gives its output in the words `output`, its decoder, a metric and a kind of events.
    ///
    /// Without a decoder the accelerator's own output is compared with the event. A decoder that
    /// [`ErrorMetric::Deviation`] does not need must fit all the same. A metric that compares with labels takes what comes
    /// out as logits, one per class: a softmax over all of a decoder's output is left out.
    ///
    /// # Errors
    /// When the decoder does not take the accelerator's output, or its output cannot be compared with such events.
    pub fn new(
        decoder: Option<&FloatNetwork>,
        metric: ErrorMetric,
        kind: EventKind,
        output: OutputWords,
    ) -> Result<Self, EvaluatorError> {
        let mut fingerprint = FingerprintBuilder::new("trivote evaluator 1");
        fingerprint.text(metric.name());
        fingerprint.text(&format!("{kind:?}"));
        if let Some(network) = decoder {
            fingerprint.part(network.fingerprint());
        }
        let name = decoder.map(|network| network.name().to_owned());
        if let Some(network) = decoder {
            let expected = network.input().shape.iter().product();
            if expected != output.len {
                let decoder = network.name().to_owned();
                return Err(EvaluatorError::DecoderInput { decoder, expected, found: output.len });
            }
        }
        let decoder = match decoder {
            Some(network) if metric.needs_labels() => decoder_of_logits(network),
            _ => decoder.map(Decoder::new),
        };
        if matches!(metric, ErrorMetric::Emd | ErrorMetric::Telescope) && kind != EventKind::Module {
            return Err(EvaluatorError::NeedsModules { metric });
        }
        if metric.needs_labels() && !matches!(kind, EventKind::Labeled { .. }) {
            return Err(EvaluatorError::NeedsLabels { metric });
        }
        let found = decoder.as_ref().map_or(output.len, Decoder::output_len);
        let expected = kind.input_len();
        if metric != ErrorMetric::Deviation && !metric.needs_labels() && found != expected {
            return Err(EvaluatorError::OutputLength { metric, expected, found, decoder: name });
        }
        let emd = Emd::new(geometry::distances().as_flattened(), CELLS);
        let emd = emd.expect("the distances of the module's cells are finite and enough");
        Ok(Self { decoder, metric, kind, output, emd, fingerprint: fingerprint.finish() })
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
        self.output.len
    }

    /// Number of classes, where events have labels: values that decoder or accelerator gives.
    pub fn classes(&self) -> Option<usize> {
        let is_labeled = matches!(self.kind, EventKind::Labeled { .. });
        is_labeled.then(|| self.decoder.as_ref().map_or(self.output.len, Decoder::output_len))
    }

    /// The class that `output`, the integers of its words, decides for.
    ///
    /// Without a decoder the integers are compared: two of them may be one `f32`.
    ///
    /// # Panics
    /// When `output` has not [`Evaluator::output_len`] values, or there are none.
    pub fn class(&self, output: &[i64], scratch: &mut EvaluatorScratch) -> usize {
        self.assert_fits(output);
        let EvaluatorScratch { decoder: decoder_scratch, values, .. } = scratch;
        match &self.decoder {
            None => class_of(output),
            Some(decoder) => {
                self.output.receive(output, values);
                class_of(decoder.run(values, decoder_scratch))
            }
        }
    }

    /// What the host reconstructs from an output of the accelerator; the output itself without a decoder.
    ///
    /// # Panics
    /// When `output` has not [`Evaluator::output_len`] values.
    pub fn decoded<'a>(&self, output: &'a [f32], scratch: &'a mut EvaluatorScratch) -> &'a [f32] {
        assert_eq!(output.len(), self.output.len, "outputs come from the accelerator this evaluator was made for");
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

    /// The error of `output` (the integers of the words that the accelerator sends for `event`), by
    /// [`Evaluator::metric`]; `golden_output` is what it sends without a fault.
    ///
    /// Depends on its arguments alone. For [`ErrorMetric::Emd`] a decoded charge below 0 counts as 0. NaN when decoding
    /// overflows `f32`, which parameters and outputs of ordinary size never do.
    ///
    /// # Panics
    /// When `event` is of another kind or length, or an output has not [`Evaluator::output_len`] values.
    pub fn error(
        &self,
        event: &EventInput,
        output: &[i64],
        golden_output: &[i64],
        scratch: &mut EvaluatorScratch,
    ) -> f64 {
        self.assert_fits(output);
        if self.metric == ErrorMetric::Misprediction && self.class(golden_output, scratch) != label_of(event) {
            return 1.0;
        }
        if let Some(error) = self.error_of_words(event, output) {
            return error;
        }
        let [mut values, mut golden] = [&mut scratch.values, &mut scratch.golden_values].map(std::mem::take);
        self.output.receive(output, &mut values);
        self.output.receive(golden_output, &mut golden);
        let error = self.error_of_values(event, [&values, &golden], scratch);
        (scratch.values, scratch.golden_values) = (values, golden);
        error
    }

    /// [`Evaluator::error`] of the values that the host receives.
    fn error_of_values(&self, event: &EventInput, values: [&[f32]; 2], scratch: &mut EvaluatorScratch) -> f64 {
        let EvaluatorScratch { decoder: decoder_scratch, emd, .. } = scratch;
        let decoded = match self.needed_decoder() {
            Some(decoder) => decoder.run(values[0], decoder_scratch),
            None => values[0],
        };
        self.error_of(event, decoded, values, |charges, cells| {
            or_empty(&self.emd.distance(charges.charges(), cells, emd))
        })
    }

    /// The error of `output` where it follows from the integers of its words: of logits that go through no decoder. For
    /// [`ErrorMetric::Misprediction`] the fault-free class must be right.
    fn error_of_words(&self, event: &EventInput, output: &[i64]) -> Option<f64> {
        if self.decoder.is_some() {
            return None;
        }
        match self.metric {
            ErrorMetric::Misprediction => Some(if class_of(output) == label_of(event) { 0.0 } else { 1.0 }),
            ErrorMetric::CrossEntropy => {
                let logits = output.iter().map(|code| self.output.signal.value(*code));
                Some(cross_entropy(logits, label_of(event)))
            }
            _ => None,
        }
    }

    /// The error of an event whose outputs have these real values, taken for logits as they are; `None` where they go
    /// through a decoder or the metric looks at something else. For [`ErrorMetric::Misprediction`] the fault-free class must
    /// be right.
    ///
    /// # Panics
    /// As [`Evaluator::error`].
    pub fn error_of_logits(&self, event: &EventInput, logits: &[f64]) -> Option<f64> {
        if self.decoder.is_some() || !self.metric.needs_labels() {
            return None;
        }
        assert_eq!(logits.len(), self.output.len, "outputs come from the accelerator this evaluator was made for");
        let label = label_of(event);
        Some(match self.metric {
            ErrorMetric::CrossEntropy => cross_entropy(logits.iter().copied(), label),
            _ if class_of(logits) == label => 0.0,
            _ => 1.0,
        })
    }

    fn assert_fits(&self, output: &[i64]) {
        assert_eq!(output.len(), self.output.len, "outputs come from the accelerator this evaluator was made for");
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
        match self.metric {
            ErrorMetric::Deviation => return loss::mean_squared_error(output, golden_output),
            ErrorMetric::Misprediction => return if class_of(decoded) == label_of(event) { 0.0 } else { 1.0 },
            ErrorMetric::CrossEntropy => {
                return cross_entropy(decoded.iter().copied().map(f64::from), label_of(event));
            }
            ErrorMetric::Emd | ErrorMetric::Telescope | ErrorMetric::Mse => {}
        }
        let charges = match event {
            EventInput::Module(charges) => charges,
            EventInput::Tensor(values) | EventInput::Labeled { values, .. } => {
                return loss::mean_squared_error(decoded, values);
            }
        };
        let image = decoded.try_into().expect("the output's length is checked on construction");
        let cells = geometry::cells_of_image(image).map(f64::from);
        match self.metric {
            ErrorMetric::Emd => distance(charges, &cells.map(|cell| if cell < 0.0 { 0.0 } else { cell })),
            ErrorMetric::Telescope => loss::telescope(&charges.normalized(), &cells),
            ErrorMetric::Mse => loss::mean_squared_error_of_cells(&charges.normalized(), &cells),
            _ => unreachable!("answered before"),
        }
    }
}

/// The label of an event whose kind has one.
fn label_of(event: &EventInput) -> usize {
    cast::index(event.label().expect("an event of another kind"))
}

/// The decoder without the softmax over all its output, if it ends in one: logits decide alike, and say more. `None` when
/// there is nothing else in it.
fn decoder_of_logits(network: &FloatNetwork) -> Option<Decoder> {
    let (last, before) = network.nodes().split_last().expect("a network has nodes");
    let is_softmax = matches!(last.op, FloatOp::Activation(Activation::Softmax)) && last.shape.len() == 1;
    if !is_softmax {
        return Some(Decoder::new(network));
    }
    let way = &before[..=last.input];
    let logits = FloatNetwork::new(network.name(), way.to_vec()).expect("the start of a network is one");
    (way.len() > 1).then(|| Decoder::new(&logits))
}

/// A distance to decoded cells, none of which is below 0: empty when they sum up to 0, NaN when not to a number.
fn or_empty(distance: &Result<f64, EmdError>) -> f64 {
    match distance {
        Ok(distance) => *distance,
        Err(EmdError::Sum { sum, .. }) if *sum == 0.0 => EMPTY_OUTPUT,
        Err(_) => f64::NAN,
    }
}
