//! `Decoder`: the off-chip network.
//!
//! Its numbers are defined so that they can be found in more than one way. A [`FloatNetwork`] is a chain of layers;
//! every run of affine layers (dense, both convolutions, zero padding) and the `ReLU`s between them is piecewise
//! linear. It is evaluated in `f64`, and each value behind its last affine layer is **rounded once to `f32`**. All else
//! (other functions, quantizers, `ReLU`s with no affine layer behind) takes and gives `f32`, in the order of the
//! values.
//!
//! [`Decoder::run`] defines the results: `affine` says in which order it sums. [`Decoder::at`] gives the same bits
//! faster for inputs that differ little from a given one (`vicinity`). Results depend on the input alone, not on the
//! machine, its vector units, threads or earlier calls. Reading networks from files is `import`'s work, their errors
//! are measured in `evaluator`.

use multiversion::multiversion;

use super::activation;
use super::affine::{Affine, Map, Term, list_terms, rectified};
use super::rounding::Bounds;
use super::vicinity::{Vicinity, VicinityMemory};
use crate::net::{Activation, FloatNetwork, FloatNode, FloatOp, Window2d};
use crate::num::{Quantizer, cast};

/// A [`FloatNetwork`] made ready to run.
#[derive(Debug, Clone)]
pub struct Decoder {
    input_len: usize,
    output_shape: Vec<usize>,
    output_len: usize,
    segments: Vec<Segment>,
    /// What is known of rounding errors in the first segment, when there is a faster way around an input.
    bounds: Option<Bounds>,
}

/// Working memory of [`Decoder::run`] and [`Decoder::at`]; grows on first use, then no call allocates. One per thread.
#[derive(Debug, Clone, Default)]
pub struct DecoderScratch {
    /// Values between segments.
    pub(super) values: Vec<f32>,
    pub(super) chain: ChainMemory,
    pub(super) vicinity: VicinityMemory,
}

/// Working memory of a piecewise linear chain.
#[derive(Debug, Clone, Default)]
pub(super) struct ChainMemory {
    /// The input, then what each affine layer gives.
    pub levels: Vec<Vec<f64>>,
    pub terms: Vec<Term>,
}

/// An affine layer.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Whether a `ReLU` comes before it.
    pub rectifies: bool,
    pub affine: Affine,
}

/// A piecewise linear chain, perhaps empty, and the functions that follow it.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    pub layers: Vec<Layer>,
    functions: Vec<Function>,
}

/// A function of `f32` values, in place.
#[derive(Debug, Clone, Copy)]
enum Function {
    Activation { function: Activation, last_axis: usize },
    Quantize(Quantizer),
}

impl Decoder {
    /// Arranges the parameters of `network` for speed. Nodes that do not lead to the output are left out.
    #[must_use]
    pub fn new(network: &FloatNetwork) -> Self {
        // Every node has one input, so the way from output to input is a chain.
        let nodes = network.nodes();
        let mut chain = Vec::new();
        let mut at = nodes.len() - 1;
        while at > 0 {
            chain.push(at);
            at = nodes[at].input;
        }
        let mut segments = vec![Segment::default()];
        for index in chain.iter().rev() {
            let node = &nodes[*index];
            if let Some(affine) = affine(node, &nodes[node.input].shape) {
                push_affine(&mut segments, affine);
            } else if let Some(function) = function(node) {
                segments.last_mut().expect("there is always a segment").functions.push(function);
            }
        }
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        Self {
            input_len: len(&network.input().shape),
            output_shape: network.output().shape.clone(),
            output_len: len(&network.output().shape),
            bounds: Bounds::new(&segments[0].layers),
            segments,
        }
    }

    /// Number of values it takes.
    pub const fn input_len(&self) -> usize {
        self.input_len
    }

    /// Number of values it gives.
    pub const fn output_len(&self) -> usize {
        self.output_len
    }

    /// Shape of its output, without the batch.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// The network's output for `input` (both in C order).
    ///
    /// # Panics
    /// When `input` has not [`Decoder::input_len`] values: whoever pairs decoder and accelerator checks that.
    pub fn run<'s>(&self, input: &[f32], scratch: &'s mut DecoderScratch) -> &'s [f32] {
        assert_eq!(input.len(), self.input_len, "the decoder's input is checked against the accelerator's output");
        scratch.values.clear();
        scratch.values.extend_from_slice(input);
        run_segments(&self.segments, false, scratch);
        &scratch.values
    }

    /// Prepares to run inputs that differ little from `center`: the results are those of [`Decoder::run`], bit for bit.
    ///
    /// Fastest are consecutive inputs that differ from `center` in one and the same value, ever farther in one
    /// direction.
    ///
    /// # Panics
    /// As [`Decoder::run`].
    pub fn at<'a>(&'a self, center: &[f32], scratch: &'a mut DecoderScratch) -> Vicinity<'a> {
        assert_eq!(center.len(), self.input_len, "the decoder's input is checked against the accelerator's output");
        Vicinity::new(self, center, scratch)
    }

    /// The piecewise linear chain that the input enters.
    pub(super) fn prefix(&self) -> &[Layer] {
        &self.segments[0].layers
    }

    /// What is known of rounding errors in [`Decoder::prefix`].
    pub(super) const fn bounds(&self) -> Option<&Bounds> {
        self.bounds.as_ref()
    }

    /// Finishes `scratch.values`, what the prefix gives.
    pub(super) fn finish<'s>(&self, scratch: &'s mut DecoderScratch) -> &'s [f32] {
        run_segments(&self.segments, true, scratch);
        &scratch.values
    }
}

fn affine(node: &FloatNode, input: &[usize]) -> Option<Affine> {
    let map = |window: Window2d| {
        let three = |shape: &[usize]| shape.try_into().expect("FloatNetwork checks the ranks of its layers");
        Map { input: three(input), output: three(&node.shape), window }
    };
    Some(match &node.op {
        FloatOp::Dense { kernel, bias } => Affine::dense(input.iter().product(), kernel, bias),
        FloatOp::Conv2d { kernel, bias, window } => Affine::conv2d(kernel, bias, &map(*window)),
        FloatOp::Conv2dTranspose { kernel, bias, window } => Affine::conv2d_transpose(kernel, bias, &map(*window)),
        FloatOp::ZeroPad2d(padding) => {
            Affine::zero_pad(&map(Window2d { kernel: [1, 1], stride: [1, 1], padding: *padding }))
        }
        FloatOp::Input | FloatOp::Reshape | FloatOp::Activation(_) | FloatOp::Quantize(_) => return None,
    })
}

fn function(node: &FloatNode) -> Option<Function> {
    Some(match &node.op {
        FloatOp::Activation(Activation::Linear) => return None,
        FloatOp::Activation(function) => {
            Function::Activation { function: *function, last_axis: node.shape.last().copied().unwrap_or(1) }
        }
        FloatOp::Quantize(quantizer) => Function::Quantize(*quantizer),
        _ => return None,
    })
}

/// Adds a layer to the last chain if only `ReLU`s come between, otherwise to a new one.
fn push_affine(segments: &mut Vec<Segment>, affine: Affine) {
    let last = segments.last_mut().expect("there is always a segment");
    let is_relu = |function: &Function| matches!(function, Function::Activation { function: Activation::Relu, .. });
    if last.functions.iter().all(is_relu) {
        let rectifies = !last.functions.is_empty();
        last.functions.clear();
        last.layers.push(Layer { rectifies, affine });
    } else {
        segments.push(Segment { layers: vec![Layer { rectifies: false, affine }], functions: Vec::new() });
    }
}

/// Runs all segments on `scratch.values`; with `prefix_done` without the first chain.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn run_segments(segments: &[Segment], prefix_done: bool, scratch: &mut DecoderScratch) {
    let DecoderScratch { values, chain, .. } = scratch;
    for (index, segment) in segments.iter().enumerate() {
        let is_done = segment.layers.is_empty() || (prefix_done && index == 0);
        if !is_done {
            run_chain(&segment.layers, values, chain);
            round(chain, segment.layers.len(), values);
        }
        for function in &segment.functions {
            match function {
                Function::Activation { function, last_axis } => activation::apply(*function, values, *last_axis),
                Function::Quantize(quantizer) => {
                    for value in values.iter_mut() {
                        *value = quantized(*quantizer, *value);
                    }
                }
            }
        }
    }
}

/// The plain evaluation of a chain: `memory.levels[0]` becomes `input`, `memory.levels[n]` what the `n`-th layer gives.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(super) fn run_chain(layers: &[Layer], input: &[f32], memory: &mut ChainMemory) {
    let ChainMemory { levels, terms } = memory;
    if levels.len() <= layers.len() {
        levels.resize_with(layers.len() + 1, Vec::new);
    }
    levels[0].clear();
    levels[0].extend(input.iter().map(|value| f64::from(*value)));
    for (level, layer) in layers.iter().enumerate() {
        let (before, after) = levels.split_at_mut(level + 1);
        let (input, output) = (&before[level], &mut after[0]);
        if layer.rectifies {
            list_terms(input.iter().map(|value| rectified(*value)), terms);
        } else {
            list_terms(input.iter().copied(), terms);
        }
        output.clear();
        output.extend_from_slice(layer.affine.bias());
        layer.affine.add_sums::<false>(terms, output);
    }
}

/// Rounds what `layers` layers give.
#[allow(clippy::inline_always)]
#[inline(always)]
fn round(memory: &ChainMemory, layers: usize, values: &mut Vec<f32>) {
    let exact = &memory.levels[layers];
    values.clear();
    values.resize(exact.len(), 0.0);
    for (rounded, exact) in values.iter_mut().zip(exact) {
        *rounded = cast::nearest_f32(*exact);
    }
}

/// The value of the register that holds `value`; what is not finite fits no register and passes unchanged.
fn quantized(quantizer: Quantizer, value: f32) -> f32 {
    quantizer.quantize_f64(f64::from(value)).map_or(value, |raw| cast::nearest_f32(quantizer.format.value(raw)))
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
