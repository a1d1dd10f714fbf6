//! `Head`: the loss of an event as a function of the accelerator's output, with its gradient and its whole Hessian.
//!
//! The off-chip decoder and the loss are the same for all weights, and an accelerator has few outputs. So their
//! curvature is found once per event, as a matrix of outputs by outputs, and every derivative with respect to weights
//! starts from it. The decoder is evaluated in `f64`; `host::decoder` says what it gives in `f32`.
//!
//! With `p` what is compared, `P` its Jacobian and `v` the adjoint, the Hessian is `P^T (d2 loss / dp2) P` (the
//! Gauss-Newton part) plus, for every nonlinear function `s` on the way, `sum_k s''(u_k) v_k u'_k u'_k^T`: exact, from
//! tangents carried forward and one adjoint carried back. A `ReLU` has no second derivative.

use multiversion::multiversion;

use super::linear::{Block, LANES, Linear};
use super::objective::{Loss, Objective, add_scaled};
use crate::host::activation::exp_f64;
use crate::host::classes::softmax;
use crate::host::evaluator::{EventInput, EventKind};
use crate::host::geometry::PIXEL_OF_CELL;
use crate::net::{Activation, FloatNetwork, FloatNode, FloatOp};
use crate::num::Quantizer;

/// Most outputs of an accelerator: two matrices of 32 MB per event then.
const MOST_OUTPUTS: usize = 2048;

/// Why a loss cannot be taken of a design.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// The loss compares charges of a module, but events are tensors.
    #[error(
        "loss `{loss}` needs HGCal modules as events, but events are tensors; choose mse, cross-entropy or deviation"
    )]
    NeedsModules {
        /// The loss.
        loss: Loss,
    },
    /// What comes out has another length than what it is compared with.
    #[error(
        "loss `{loss}` compares {expected} values with each event, but {found} come out; choose deviation{}",
        if *is_classes { " or cross-entropy" } else { "" }
    )]
    OutputLength {
        /// The loss.
        loss: Loss,
        /// Values it compares.
        expected: usize,
        /// Values there are.
        found: usize,
        /// Whether what comes out may be one value per class.
        is_classes: bool,
    },
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
    /// A Hessian with respect to the outputs that would not fit the memory.
    #[error(
        "the accelerator has {outputs} outputs; derivatives take the square of that in memory, so at most {MOST_OUTPUTS} are supported"
    )]
    TooManyOutputs {
        /// Number of outputs.
        outputs: usize,
    },
    /// Outputs that are no classes.
    #[error("loss `cross-entropy` needs one output per class; {reason}; choose telescope, mse, energy or deviation")]
    NoClasses {
        /// Why there are none.
        reason: String,
    },
}

/// A step from the accelerator's output to what is compared.
#[derive(Debug, Clone)]
enum Stage {
    Linear {
        linear: Linear,
        weights: Vec<f64>,
        bias: Vec<f64>,
    },
    Relu,
    Sigmoid,
    /// Over runs of this length.
    Softmax(usize),
    /// Rounds; straight-through for tangents, see [`passes`].
    Quantize(Quantizer),
    /// The values at these places; zero where there is none.
    Gather(Vec<Option<usize>>),
    /// Negative values become zero, then all are divided by their sum.
    Shares,
}

/// Whether tangents pass a quantizer at `value`: QKeras' straight-through estimators.
///
/// `quantized_bits` passes everywhere, outside its range too. An unsigned register is taken for a `quantized_relu`,
/// which passes above 0 up to its largest value.
pub(super) fn passes(quantizer: Quantizer, value: f64) -> bool {
    let (low, high) = quantizer.range();
    low < 0 || (value > 0.0 && value <= quantizer.format.value(high))
}

/// What decoder and loss make of an output of the accelerator, near a given one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curvature {
    /// The loss.
    pub loss: f64,
    /// Its gradient with respect to the `m` outputs.
    pub gradient: Vec<f64>,
    /// Its Hessian, `[m, m]`.
    pub hessian: Vec<f64>,
    /// The Gauss-Newton part of the Hessian, `[m, m]`: without the curvature of the decoder. Positive semidefinite.
    pub gauss_newton: Vec<f64>,
}

/// Decoder and loss made ready.
#[derive(Debug, Clone)]
pub(super) struct Head {
    loss: Loss,
    objective: Objective,
    stages: Vec<Stage>,
    outputs: usize,
}

/// Working memory of a [`Head`]. One per thread.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadScratch {
    /// Before every stage, and after the last one.
    levels: Vec<Level>,
    adjoints: Vec<f64>,
    spare: Vec<f64>,
    curved: Vec<Block>,
    hessian: Vec<Block>,
    gauss_newton: Vec<Block>,
}

/// The values at a level, and their tangents for every output of the accelerator: `[value, block]`.
#[derive(Debug, Clone, Default)]
struct Level {
    values: Vec<f64>,
    tangents: Vec<Block>,
    /// Whether the value moves at all.
    live: Vec<bool>,
}

impl Head {
    /// Joins an accelerator with `outputs` outputs, its decoder, a loss and a kind of events.
    ///
    /// # Errors
    /// When they do not fit together.
    pub(super) fn new(
        decoder: Option<&FloatNetwork>,
        loss: Loss,
        kind: &EventKind,
        outputs: usize,
    ) -> Result<Self, LossError> {
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        if let Some(network) = decoder
            && len(&network.input().shape) != outputs
        {
            let expected = len(&network.input().shape);
            return Err(LossError::DecoderInput { decoder: network.name().to_owned(), expected, found: outputs });
        }
        if outputs > MOST_OUTPUTS {
            return Err(LossError::TooManyOutputs { outputs });
        }
        let is_module = *kind == EventKind::Module;
        if matches!(loss, Loss::Telescope | Loss::Energy) && !is_module {
            return Err(LossError::NeedsModules { loss });
        }
        let used = decoder.filter(|_| loss != Loss::Deviation);
        let mut stages = used.map_or_else(Vec::new, stages);
        let found = used.map_or(outputs, |network| len(&network.output().shape));
        match loss {
            Loss::Deviation => {}
            Loss::CrossEntropy => {
                let reason = if found < 2 {
                    Some(format!("there is {found}"))
                } else if used.is_some() && found == kind.input_len() {
                    Some("the decoder reconstructs the event".to_owned())
                } else {
                    None
                };
                if let Some(reason) = reason {
                    return Err(LossError::NoClasses { reason });
                }
                // Softmax and logarithm cancel; what is left are logits.
                if let Some(Stage::Softmax(axis)) = stages.last() {
                    if *axis != found {
                        let reason = format!("its softmax runs over {axis} of {found} outputs");
                        return Err(LossError::NoClasses { reason });
                    }
                    stages.pop();
                }
            }
            Loss::Telescope | Loss::Mse | Loss::Energy => {
                let expected = kind.input_len();
                if found != expected {
                    let is_classes = decoder.is_none() && found >= 2;
                    return Err(LossError::OutputLength { loss, expected, found, is_classes });
                }
                if is_module {
                    let places = PIXEL_OF_CELL.iter().map(|pixel| Some(*pixel)).collect();
                    stages.push(Stage::Gather(places));
                }
                if loss == Loss::Energy {
                    stages.push(Stage::Shares);
                }
            }
        }
        Ok(Self { loss, objective: Objective::new(loss), stages, outputs })
    }

    /// Loss, gradient and Hessian at `output`.
    pub(super) fn curvature(&self, event: &EventInput, output: &[f64], scratch: &mut HeadScratch) -> Curvature {
        let outputs = self.outputs;
        assert_eq!(output.len(), outputs, "outputs come from the accelerator of this head");
        let blocks = outputs.div_ceil(LANES);
        let HeadScratch { levels, adjoints, spare, curved, hessian, gauss_newton } = scratch;
        levels.resize_with(self.stages.len() + 1, Level::default);
        levels[0].start(output, blocks);
        for (at, stage) in self.stages.iter().enumerate() {
            let (before, after) = levels.split_at_mut(at + 1);
            stage.forward(&before[at], blocks, &mut after[0]);
        }

        let end = &levels[self.stages.len()];
        let target = self.objective.target(self.loss, event, &end.values);
        let (loss, slope) = self.objective.gradient(&target, &end.values);
        curved.clear();
        curved.resize(end.tangents.len(), [0.0; LANES]);
        self.objective.hessian_times(&target, &end.values, &end.tangents, curved);
        for matrix in [&mut *hessian, &mut *gauss_newton] {
            matrix.clear();
            matrix.resize(outputs * blocks, [0.0; LANES]);
        }
        for (tangents, curved) in end.tangents.chunks_exact(blocks).zip(curved.chunks_exact(blocks)) {
            add_product(tangents, curved, 1.0, gauss_newton);
        }

        *adjoints = slope;
        for (at, stage) in self.stages.iter().enumerate().rev() {
            stage.add_curvature(&levels[at], adjoints, blocks, hessian);
            stage.backward(&levels[at], adjoints, spare);
            std::mem::swap(adjoints, spare);
        }
        let packed = |matrix: &[Block]| -> Vec<f64> {
            matrix.chunks_exact(blocks).flat_map(|row| row.as_flattened()[..outputs].to_vec()).collect()
        };
        let gauss_newton = packed(gauss_newton);
        let mut hessian = packed(hessian);
        hessian.iter_mut().zip(&gauss_newton).for_each(|(total, part)| *total += part);
        Curvature { loss, gradient: adjoints.clone(), hessian, gauss_newton }
    }
}

impl Level {
    /// The accelerator's output, each value of which moves by itself.
    fn start(&mut self, output: &[f64], blocks: usize) {
        self.reset(output.len(), blocks);
        self.values.copy_from_slice(output);
        self.live.fill(true);
        for index in 0..output.len() {
            self.tangents[index * blocks + index / LANES][index % LANES] = 1.0;
        }
    }

    fn reset(&mut self, len: usize, blocks: usize) {
        self.values.clear();
        self.values.resize(len, 0.0);
        self.tangents.clear();
        self.tangents.resize(len * blocks, [0.0; LANES]);
        self.live.clear();
        self.live.resize(len, false);
    }
}

impl Stage {
    /// Values and tangents behind the stage.
    fn forward(&self, from: &Level, blocks: usize, to: &mut Level) {
        match self {
            Self::Linear { linear, weights, bias } => {
                to.reset(linear.outputs(), blocks);
                to.values.copy_from_slice(bias);
                linear.add_forward(weights, &from.values, &mut to.values);
                linear.add_forward_blocks(weights, &from.tangents, &from.live, &mut to.tangents);
                to.live.fill(true);
            }
            Self::Relu | Self::Sigmoid | Self::Quantize(_) => {
                to.reset(from.values.len(), blocks);
                for index in 0..from.values.len() {
                    let value = from.values[index];
                    let (result, slope) = self.elementwise(value);
                    to.values[index] = result;
                    to.live[index] = from.live[index] && slope != 0.0;
                    if to.live[index] {
                        let row = index * blocks..(index + 1) * blocks;
                        scale(&from.tangents[row.clone()], slope, &mut to.tangents[row]);
                    }
                }
            }
            Self::Softmax(axis) => {
                to.reset(from.values.len(), blocks);
                to.live.fill(true);
                for start in (0..from.values.len()).step_by((*axis).max(1)) {
                    let (_, shares) = softmax(&from.values[start..start + axis]);
                    to.values[start..start + axis].copy_from_slice(&shares);
                    let rows = start * blocks..(start + axis) * blocks;
                    let centered = centered(&from.tangents[rows.clone()], &shares, blocks);
                    for ((to, centered), share) in
                        to.tangents[rows].chunks_exact_mut(blocks).zip(centered.chunks_exact(blocks)).zip(&shares)
                    {
                        scale(centered, *share, to);
                    }
                }
            }
            Self::Gather(places) => {
                to.reset(places.len(), blocks);
                for (index, place) in places.iter().enumerate() {
                    if let Some(place) = *place {
                        to.values[index] = from.values[place];
                        to.live[index] = from.live[place];
                        to.tangents[index * blocks..(index + 1) * blocks]
                            .copy_from_slice(&from.tangents[place * blocks..(place + 1) * blocks]);
                    }
                }
            }
            Self::Shares => {
                to.reset(from.values.len(), blocks);
                let Some(sum) = positive_sum(&from.values) else { return };
                let mut moved = vec![[0.0; LANES]; blocks];
                for (value, tangents) in from.values.iter().zip(from.tangents.chunks_exact(blocks)) {
                    if *value > 0.0 {
                        add_scaled(&mut moved, 1.0, tangents);
                    }
                }
                for index in 0..from.values.len() {
                    if from.values[index] > 0.0 {
                        let share = from.values[index] / sum;
                        let row = index * blocks..(index + 1) * blocks;
                        (to.values[index], to.live[index]) = (share, true);
                        scale(&from.tangents[row.clone()], 1.0 / sum, &mut to.tangents[row.clone()]);
                        add_scaled(&mut to.tangents[row], -share / sum, &moved);
                    }
                }
            }
        }
    }

    /// Value and slope of an element-wise function.
    fn elementwise(&self, value: f64) -> (f64, f64) {
        match self {
            Self::Relu if value < 0.0 => (0.0, 0.0),
            Self::Relu => (value, if value > 0.0 { 1.0 } else { 0.0 }),
            Self::Sigmoid => {
                let s = 1.0 / (1.0 + exp_f64(-value));
                (s, s * (1.0 - s))
            }
            Self::Quantize(quantizer) => {
                // What is not finite fits no register and passes unchanged, as in the decoder.
                let result = quantizer.quantize_f64(value).map_or(value, |raw| quantizer.format.value(raw));
                (result, if passes(*quantizer, value) { 1.0 } else { 0.0 })
            }
            _ => unreachable!("only element-wise stages come here"),
        }
    }

    /// Adds what the stage itself is curved, as seen by the `adjoints` of what it gives.
    fn add_curvature(&self, from: &Level, adjoints: &[f64], blocks: usize, hessian: &mut [Block]) {
        match self {
            Self::Sigmoid => {
                for (index, adjoint) in adjoints.iter().enumerate() {
                    let s = 1.0 / (1.0 + exp_f64(-from.values[index]));
                    let tangents = &from.tangents[index * blocks..(index + 1) * blocks];
                    add_product(tangents, tangents, adjoint * s * (1.0 - s) * (1.0 - 2.0 * s), hessian);
                }
            }
            Self::Softmax(axis) => {
                for start in (0..adjoints.len()).step_by((*axis).max(1)) {
                    let (_, shares) = softmax(&from.values[start..start + axis]);
                    let adjoints = &adjoints[start..start + axis];
                    let mean: f64 = shares.iter().zip(adjoints).map(|(share, adjoint)| share * adjoint).sum();
                    let centered = centered(&from.tangents[start * blocks..(start + axis) * blocks], &shares, blocks);
                    for ((tangents, share), adjoint) in centered.chunks_exact(blocks).zip(&shares).zip(adjoints) {
                        add_product(tangents, tangents, share * (adjoint - mean), hessian);
                    }
                }
            }
            Self::Shares => {
                let Some(sum) = positive_sum(&from.values) else { return };
                // q = p / S, so that d2(v q) = -2 (v dp) dS / S^2 + 2 (v q) dS^2 / S^2.
                let (mut moved, mut seen) = (vec![[0.0; LANES]; blocks], vec![[0.0; LANES]; blocks]);
                let mut adjoint_of_shares = 0.0;
                for (index, adjoint) in adjoints.iter().enumerate() {
                    if from.values[index] > 0.0 {
                        let tangents = &from.tangents[index * blocks..(index + 1) * blocks];
                        add_scaled(&mut moved, 1.0, tangents);
                        add_scaled(&mut seen, *adjoint, tangents);
                        adjoint_of_shares += adjoint * from.values[index] / sum;
                    }
                }
                let squared = sum * sum;
                add_product(&seen, &moved, -1.0 / squared, hessian);
                add_product(&moved, &seen, -1.0 / squared, hessian);
                add_product(&moved, &moved, 2.0 * adjoint_of_shares / squared, hessian);
            }
            Self::Linear { .. } | Self::Relu | Self::Quantize(_) | Self::Gather(_) => {}
        }
    }

    /// The adjoints of what the stage takes, from those of what it gives.
    fn backward(&self, from: &Level, adjoints: &[f64], result: &mut Vec<f64>) {
        result.clear();
        result.resize(from.values.len(), 0.0);
        match self {
            Self::Linear { linear, weights, .. } => linear.add_backward(weights, adjoints, result),
            Self::Relu | Self::Sigmoid | Self::Quantize(_) => {
                for ((result, value), adjoint) in result.iter_mut().zip(&from.values).zip(adjoints) {
                    *result = self.elementwise(*value).1 * adjoint;
                }
            }
            Self::Softmax(axis) => {
                for start in (0..adjoints.len()).step_by((*axis).max(1)) {
                    let (_, shares) = softmax(&from.values[start..start + axis]);
                    let adjoints = &adjoints[start..start + axis];
                    let mean: f64 = shares.iter().zip(adjoints).map(|(share, adjoint)| share * adjoint).sum();
                    for ((result, share), adjoint) in result[start..].iter_mut().zip(&shares).zip(adjoints) {
                        *result = share * (adjoint - mean);
                    }
                }
            }
            Self::Gather(places) => {
                for (place, adjoint) in places.iter().zip(adjoints) {
                    if let Some(place) = place {
                        result[*place] += adjoint;
                    }
                }
            }
            Self::Shares => {
                let Some(sum) = positive_sum(&from.values) else { return };
                let positive = || from.values.iter().zip(adjoints).filter(|(value, _)| **value > 0.0);
                let mean: f64 = positive().map(|(value, adjoint)| value / sum * adjoint).sum();
                for ((result, value), adjoint) in result.iter_mut().zip(&from.values).zip(adjoints) {
                    if *value > 0.0 {
                        *result = (adjoint - mean) / sum;
                    }
                }
            }
        }
    }
}

/// Sum of the values above 0; `None` when there is none.
fn positive_sum(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().filter(|value| **value > 0.0).sum();
    (sum > 0.0).then_some(sum)
}

/// `tangents` minus their mean over the rows, weighted with `shares`.
fn centered(tangents: &[Block], shares: &[f64], blocks: usize) -> Vec<Block> {
    let mut mean = vec![[0.0; LANES]; blocks];
    for (row, share) in tangents.chunks_exact(blocks).zip(shares) {
        add_scaled(&mut mean, *share, row);
    }
    let mut result = tangents.to_vec();
    result.chunks_exact_mut(blocks).for_each(|row| add_scaled(row, -1.0, &mean));
    result
}

fn scale(x: &[Block], factor: f64, out: &mut [Block]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = x.map(|x| factor * x);
    }
}

/// `matrix += factor left right^T`; the matrix is `[value, block]` and has no row for padding lanes.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_product(left: &[Block], right: &[Block], factor: f64, matrix: &mut [Block]) {
    if factor == 0.0 {
        return;
    }
    for (row, left) in matrix.chunks_exact_mut(right.len()).zip(left.as_flattened()) {
        let factor = factor * left;
        for (out, right) in row.iter_mut().zip(right) {
            for (out, right) in out.iter_mut().zip(right) {
                *out += factor * right;
            }
        }
    }
}

/// The stages of a decoder, from input to output; nodes that do not lead to the output are left out.
fn stages(network: &FloatNetwork) -> Vec<Stage> {
    let nodes = network.nodes();
    let mut chain = Vec::new();
    let mut at = nodes.len() - 1;
    while at > 0 {
        chain.push(at);
        at = nodes[at].input;
    }
    chain.iter().rev().filter_map(|index| stage(&nodes[*index], &nodes[nodes[*index].input].shape)).collect()
}

fn stage(node: &FloatNode, input: &[usize]) -> Option<Stage> {
    let three =
        |shape: &[usize]| -> [usize; 3] { shape.try_into().expect("FloatNetwork checks the ranks of its layers") };
    let doubles = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let layer = |linear: Linear, weights: Vec<f64>, bias: &[f32]| {
        let bias = doubles(bias).repeat(linear.outputs() / linear.channels());
        Some(Stage::Linear { linear, weights, bias })
    };
    match &node.op {
        FloatOp::Input | FloatOp::Reshape | FloatOp::Activation(Activation::Linear) => None,
        FloatOp::Dense { kernel, bias } => layer(Linear::dense(input[0], bias.len()), doubles(kernel), bias),
        FloatOp::Conv2d { kernel, bias, window } => {
            layer(Linear::conv2d(three(input), three(&node.shape), window), doubles(kernel), bias)
        }
        FloatOp::Conv2dTranspose { kernel, bias, window } => {
            let linear = Linear::conv2d_transpose(three(input), three(&node.shape), window);
            // Stored [tap, out, in], wanted [tap, in, out].
            let (from, to) = (input[2], bias.len());
            let weights = kernel
                .chunks_exact(from * to)
                .flat_map(|tap| (0..from * to).map(move |place| f64::from(tap[place % to * from + place / to])));
            layer(linear, weights.collect(), bias)
        }
        FloatOp::ZeroPad2d(padding) => {
            let ([rows, columns, channels], [out_rows, out_columns, _]) = (three(input), three(&node.shape));
            let place = |index: usize| {
                let row = (index / (out_columns * channels)).checked_sub(padding.top).filter(|row| *row < rows)?;
                let column = index / channels % out_columns;
                let column = column.checked_sub(padding.left).filter(|column| *column < columns)?;
                Some((row * columns + column) * channels + index % channels)
            };
            let places = (0..out_rows * out_columns * channels).map(place).collect();
            Some(Stage::Gather(places))
        }
        FloatOp::Activation(Activation::Relu) => Some(Stage::Relu),
        FloatOp::Activation(Activation::Sigmoid) => Some(Stage::Sigmoid),
        FloatOp::Activation(Activation::Softmax) => {
            Some(Stage::Softmax(node.shape.last().copied().unwrap_or(1).max(1)))
        }
        FloatOp::Quantize(quantizer) => Some(Stage::Quantize(*quantizer)),
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
