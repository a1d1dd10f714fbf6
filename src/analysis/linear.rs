//! `Linear`: what dense layers and convolutions of both kinds have in common, in `f64`, for values, adjoints and many
//! tangents at a time.
//!
//! It knows which weight joins which input to which output, not what the weights are: the same layer is run with its
//! weights, and with the direction in which they move. Products and sums are rounded separately (no fused
//! multiply-add) and added in an order that depends on the layer alone, so vector units make no difference.

use multiversion::multiversion;

use crate::net::{Node, Op, Window2d};
use crate::num::cast;

/// Tangents that are carried together.
pub(super) const LANES: usize = 8;

/// Tangents of one value.
pub(super) type Block = [f64; LANES];

/// Output channels whose tangents are summed together: enough independent sums to hide the latency of an addition.
const TILE: usize = 4;

/// The channels of an input pixel reach the channels of an output position through the weights of a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    position: u32,
    tap: u32,
    pixel: u32,
}

/// Where the weights of a layer stand: `[row, column of the row]`, inputs `[pixel, in_channel]`, outputs
/// `[position, out_channel]`.
///
/// A row is of one tap and one input channel, `[tap, in_channel]`. Its weights lead to all output channels or, where every
/// channel is convolved by itself, to the few that the input channel has of its own.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    taps: usize,
    in_channels: usize,
    out_channels: usize,
    /// Weights of a row.
    row_len: usize,
    inputs: usize,
    outputs: usize,
    /// By position, then tap.
    uses: Vec<Use>,
}

/// Weight row and input of a sum.
#[derive(Debug, Clone, Copy)]
struct Term {
    row: usize,
    input: usize,
}

impl Linear {
    /// A fully connected layer.
    pub(super) fn dense(inputs: usize, outputs: usize) -> Self {
        let uses = vec![Use { position: 0, tap: 0, pixel: 0 }];
        Self { taps: 1, in_channels: inputs, out_channels: outputs, row_len: outputs, inputs, outputs, uses }
    }

    /// A convolution between maps `[rows, columns, channels]`.
    pub(super) fn conv2d(input: [usize; 3], output: [usize; 3], window: &Window2d) -> Self {
        let uses = uses(input, output, window, |position, tap, pixel| Use { position, tap, pixel });
        Self::windowed(input, output, window, uses)
    }

    /// A convolution of every channel by itself.
    pub(super) fn depthwise_conv2d(input: [usize; 3], output: [usize; 3], window: &Window2d) -> Self {
        let full = Self::conv2d(input, output, window);
        Self { row_len: full.out_channels / full.in_channels, ..full }
    }

    /// A transposed convolution: `window` slides over the output.
    pub(super) fn conv2d_transpose(input: [usize; 3], output: [usize; 3], window: &Window2d) -> Self {
        let uses = uses(output, input, window, |pixel, tap, position| Use { position, tap, pixel });
        Self::windowed(input, output, window, uses)
    }

    fn windowed(input: [usize; 3], output: [usize; 3], window: &Window2d, mut uses: Vec<Use>) -> Self {
        uses.sort_unstable();
        Self {
            taps: window.kernel[0] * window.kernel[1],
            in_channels: input[2],
            out_channels: output[2],
            row_len: output[2],
            inputs: input.iter().product(),
            outputs: output.iter().product(),
            uses,
        }
    }

    /// The weighted layer of a network; `None` for other operations. `input` is the shape of what it takes.
    pub(super) fn of_node(node: &Node, input: &[usize]) -> Option<Self> {
        let three = |shape: &[usize]| shape.try_into().expect("NetworkBuilder checks the ranks of its layers");
        match &node.op {
            Op::Dense(_) => Some(Self::dense(input.iter().product(), node.len())),
            Op::Conv2d(conv) => Some(Self::conv2d(three(input), three(&node.shape), &conv.window)),
            Op::DepthwiseConv2d(conv) => Some(Self::depthwise_conv2d(three(input), three(&node.shape), &conv.window)),
            _ => None,
        }
    }

    /// Number of output values.
    pub(super) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of output channels.
    pub(super) const fn channels(&self) -> usize {
        self.out_channels
    }

    /// Number of weights in a row.
    pub(super) const fn row_len(&self) -> usize {
        self.row_len
    }

    /// Number of weights.
    pub(super) const fn weights(&self) -> usize {
        self.taps * self.in_channels * self.row_len
    }

    /// Whether every weight acts once.
    pub(super) fn acts_once(&self) -> bool {
        self.outputs == self.out_channels && self.taps == 1
    }

    /// Whether a row leads to all output channels.
    const fn is_full(&self) -> bool {
        self.row_len == self.out_channels
    }

    /// Calls `each(row of weights, input, first output)` for all that belongs together: weight `row * row_len + c` joins
    /// the input to output `first + c`.
    #[inline]
    pub(super) fn for_each_row(&self, mut each: impl FnMut(usize, usize, usize)) {
        let apart = if self.is_full() { 0 } else { self.row_len };
        for at in &self.uses {
            let (tap, pixel) = (cast::index(at.tap), cast::index(at.pixel));
            for channel in 0..self.in_channels {
                let (row, input) = (tap * self.in_channels + channel, pixel * self.in_channels + channel);
                each(row, input, cast::index(at.position) * self.out_channels + channel * apart);
            }
        }
    }

    /// `out += weights x`; inputs that are zero cost nothing.
    pub(super) fn add_forward(&self, weights: &[f64], x: &[f64], out: &mut [f64]) {
        add_forward(self, weights, x, out);
    }

    /// `dx += weights^T d`.
    pub(super) fn add_backward(&self, weights: &[f64], d: &[f64], dx: &mut [f64]) {
        add_backward(self, weights, d, dx);
    }

    /// `gradient += x d^T`, weight by weight; inputs that are zero cost nothing.
    pub(super) fn add_outer(&self, x: &[f64], d: &[f64], gradient: &mut [f64]) {
        add_outer(self, x, d, gradient);
    }

    /// `out += weights x` for the tangents of `blocks` blocks: `x` is `[input, block]`, `out` `[output, block]`.
    /// Inputs that are not `live` have none.
    pub(super) fn add_forward_blocks(&self, weights: &[f64], x: &[Block], live: &[bool], out: &mut [Block]) {
        add_forward_blocks(self, weights, x, live, out);
    }

    /// `dx += weights^T d` for the adjoints of several outputs: `d` is `[output, block]`, `dx` `[input, block]`.
    /// Outputs that are not `live` have none.
    pub(super) fn add_backward_blocks(&self, weights: &[f64], d: &[Block], live: &[bool], dx: &mut [Block]) {
        add_backward_blocks(self, weights, d, live, dx);
    }
}

/// The uses of a convolution from `input` to `output`, each made by `make(output position, tap, input pixel)`.
fn uses(input: [usize; 3], output: [usize; 3], window: &Window2d, make: impl Fn(u32, u32, u32) -> Use) -> Vec<Use> {
    let mut uses = Vec::new();
    for position in 0..output[0] * output[1] {
        let taps = window.taps([position / output[1], position % output[1]], [input[0], input[1]]);
        uses.extend(taps.map(|tap| make(cast::id(position), cast::id(tap.place), cast::id(tap.pixel))));
    }
    uses
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_forward(layer: &Linear, weights: &[f64], x: &[f64], out: &mut [f64]) {
    let channels = layer.row_len;
    layer.for_each_row(|row, input, output| {
        let factor = x[input];
        if factor != 0.0 {
            let weights = &weights[row * channels..][..channels];
            for (out, weight) in out[output..][..channels].iter_mut().zip(weights) {
                *out += factor * weight;
            }
        }
    });
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_backward(layer: &Linear, weights: &[f64], d: &[f64], dx: &mut [f64]) {
    let channels = layer.row_len;
    layer.for_each_row(|row, input, output| {
        let (weights, d) = (&weights[row * channels..][..channels], &d[output..][..channels]);
        // Eight sums side by side: one would wait for each addition.
        let (weight_blocks, weight_rest) = weights.as_chunks::<LANES>();
        let (d_blocks, d_rest) = d.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (weights, d) in weight_blocks.iter().zip(d_blocks) {
            for ((sum, weight), d) in sums.iter_mut().zip(weights).zip(d) {
                *sum += weight * d;
            }
        }
        let rest: f64 = weight_rest.iter().zip(d_rest).map(|(weight, d)| weight * d).sum();
        dx[input] += rest + sums.iter().sum::<f64>();
    });
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_outer(layer: &Linear, x: &[f64], d: &[f64], gradient: &mut [f64]) {
    let channels = layer.row_len;
    layer.for_each_row(|row, input, output| {
        let factor = x[input];
        if factor != 0.0 {
            let sums = &mut gradient[row * channels..][..channels];
            for (sum, d) in sums.iter_mut().zip(&d[output..][..channels]) {
                *sum += factor * d;
            }
        }
    });
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_forward_blocks(layer: &Linear, weights: &[f64], x: &[Block], live: &[bool], out: &mut [Block]) {
    assert!(layer.is_full(), "tangents are carried forward through decoders, which convolve all channels together");
    let (channels, blocks) = (layer.out_channels, x.len() / layer.inputs);
    let mut terms = Vec::new();
    for same in layer.uses.chunk_by(|a, b| a.position == b.position) {
        terms.clear();
        for at in same {
            let (row, input) = (cast::index(at.tap) * layer.in_channels, cast::index(at.pixel) * layer.in_channels);
            let reached = (0..layer.in_channels).filter(|channel| live[input + channel]);
            terms.extend(reached.map(|channel| Term { row: (row + channel) * channels, input: input + channel }));
        }
        let first = cast::index(same[0].position) * channels;
        for block in 0..blocks {
            let whole = channels / TILE * TILE;
            for channel in (0..whole).step_by(TILE) {
                let mut sums = [[0.0; LANES]; TILE];
                for term in &terms {
                    let weights = weights[term.row + channel..].first_chunk::<TILE>().expect("a tile of weights");
                    let x = &x[term.input * blocks + block];
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum += weight * x;
                        }
                    }
                }
                for (tile, sums) in sums.iter().enumerate() {
                    for (out, sum) in out[(first + channel + tile) * blocks + block].iter_mut().zip(sums) {
                        *out += sum;
                    }
                }
            }
            for channel in whole..channels {
                let mut sums = [0.0; LANES];
                for term in &terms {
                    let weight = weights[term.row + channel];
                    for (sum, x) in sums.iter_mut().zip(&x[term.input * blocks + block]) {
                        *sum += weight * x;
                    }
                }
                for (out, sum) in out[(first + channel) * blocks + block].iter_mut().zip(sums) {
                    *out += sum;
                }
            }
        }
    }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_backward_blocks(layer: &Linear, weights: &[f64], d: &[Block], live: &[bool], dx: &mut [Block]) {
    let (channels, blocks) = (layer.row_len, d.len() / layer.outputs);
    layer.for_each_row(|row, input, output| {
        let weights = &weights[row * channels..][..channels];
        for block in 0..blocks {
            let mut sums = [0.0; LANES];
            for (channel, weight) in weights.iter().enumerate().filter(|(channel, _)| live[output + channel]) {
                for (sum, d) in sums.iter_mut().zip(&d[(output + channel) * blocks + block]) {
                    *sum += weight * d;
                }
            }
            for (dx, sum) in dx[input * blocks + block].iter_mut().zip(sums) {
                *dx += sum;
            }
        }
    });
}
