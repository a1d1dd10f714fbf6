//! `Decoder`: the off-chip network, evaluated in `f32`.
//!
//! Every weighted layer comes down to one kernel: a sum of matrix rows, weighted by the layer's inputs, added to its bias.
//! Each output value is summed in the order of its inputs whatever the machine, so results do not depend on threads,
//! vector width or earlier calls; products and sums are rounded separately (no fused multiply-add). Reading networks from
//! files is `import`'s work, their errors are measured in `evaluator`.

use super::activation;
use super::combination::{Combination, Work, positive_zero};
use crate::net::{Activation, FloatNetwork, FloatNode, FloatOp, Window2d};
use crate::num::{Quantizer, cast};

/// A [`FloatNetwork`] made ready to run.
#[derive(Debug, Clone)]
pub struct Decoder {
    input_len: usize,
    output_shape: Vec<usize>,
    output_len: usize,
    steps: Vec<Step>,
    /// Longest vector between two steps.
    widest: usize,
}

/// Working memory of [`Decoder::run`]; grows on first use, then no call allocates. One per thread.
#[derive(Debug, Clone, Default)]
pub struct DecoderScratch {
    front: Vec<f32>,
    back: Vec<f32>,
    work: Work,
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
        let mut steps = Vec::with_capacity(chain.len());
        for index in chain.iter().rev() {
            let node = &nodes[*index];
            steps.extend(step(node, &nodes[node.input].shape));
        }
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        Self {
            input_len: len(&network.input().shape),
            output_shape: network.output().shape.clone(),
            output_len: len(&network.output().shape),
            steps,
            widest: nodes.iter().map(|node| len(&node.shape)).max().unwrap_or(0),
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
        let DecoderScratch { front, back, work } = scratch;
        if front.len() < self.widest {
            front.resize(self.widest, 0.0);
            back.resize(self.widest, 0.0);
        }
        let mut len = input.len();
        front[..len].copy_from_slice(input);
        for step in &self.steps {
            match step {
                Step::Activation { function, last_axis } => {
                    activation::apply(*function, &mut front[..len], *last_axis);
                    continue;
                }
                Step::Quantize(quantizer) => {
                    front[..len].iter_mut().for_each(|value| *value = quantized(*quantizer, *value));
                    continue;
                }
                Step::Dense { combination } => dense(combination, &front[..len], back, work),
                Step::Conv2d { combination, map } => conv2d(combination, map, front, back, work),
                Step::Conv2dTranspose { combination, map, bias, windows } => {
                    conv2d_transpose(combination, map, bias, windows, front, back, work);
                }
                Step::ZeroPad2d(map) => zero_pad(map, front, back),
            }
            len = step.output_len();
            std::mem::swap(front, back);
        }
        &front[..len]
    }
}

/// An operation on vectors in C order.
#[derive(Debug, Clone)]
enum Step {
    Dense { combination: Combination },
    Conv2d { combination: Combination, map: Map },
    Conv2dTranspose { combination: Combination, map: Map, bias: Vec<f32>, windows: Windows },
    ZeroPad2d(Map),
    Activation { function: Activation, last_axis: usize },
    Quantize(Quantizer),
}

impl Step {
    /// Length of the result of a step that does not work in place.
    fn output_len(&self) -> usize {
        match self {
            Self::Dense { combination } => combination.columns,
            Self::Conv2d { map, .. } | Self::Conv2dTranspose { map, .. } | Self::ZeroPad2d(map) => {
                map.output.iter().product()
            }
            Self::Activation { .. } | Self::Quantize(_) => unreachable!("steps in place keep the length"),
        }
    }
}

/// Input and output `[rows, columns, channels]` of a two-dimensional step, and its window.
#[derive(Debug, Clone)]
struct Map {
    input: [usize; 3],
    output: [usize; 3],
    window: Window2d,
}

impl Map {
    fn new(input: &[usize], output: &[usize], window: Window2d) -> Self {
        let three = |shape: &[usize]| shape.try_into().expect("FloatNetwork checks the ranks of its layers");
        Self { input: three(input), output: three(output), window }
    }
}

fn step(node: &FloatNode, input: &[usize]) -> Option<Step> {
    Some(match &node.op {
        FloatOp::Input | FloatOp::Reshape => return None,
        FloatOp::Dense { kernel, bias } => Step::Dense { combination: Combination::new(kernel, bias) },
        FloatOp::Conv2d { kernel, bias, window } => {
            Step::Conv2d { combination: Combination::new(kernel, bias), map: Map::new(input, &node.shape, *window) }
        }
        FloatOp::Conv2dTranspose { kernel, bias, window } => {
            let map = Map::new(input, &node.shape, *window);
            // From Keras' [tap, out, in] to [in, tap, out]: one input value then weights one row.
            let (inputs, columns) = (map.input[2], window.kernel[0] * window.kernel[1] * map.output[2]);
            let rows: Vec<f32> =
                (0..inputs).flat_map(|i| (0..columns).map(move |column| kernel[column * inputs + i])).collect();
            let combination = Combination::new(&rows, &vec![0.0; columns]);
            Step::Conv2dTranspose {
                windows: Windows::new(&map, combination.padded()),
                combination,
                map,
                bias: bias.iter().copied().map(positive_zero).collect(),
            }
        }
        FloatOp::ZeroPad2d(padding) => {
            let window = Window2d { kernel: [1, 1], stride: [1, 1], padding: *padding };
            Step::ZeroPad2d(Map::new(input, &node.shape, window))
        }
        FloatOp::Activation(function) => {
            Step::Activation { function: *function, last_axis: node.shape.last().copied().unwrap_or(1) }
        }
        FloatOp::Quantize(quantizer) => Step::Quantize(*quantizer),
    })
}

/// The value of the register that holds `value`; what is not finite fits no register and passes unchanged.
fn quantized(quantizer: Quantizer, value: f32) -> f32 {
    quantizer.quantize_f64(f64::from(value)).map_or(value, |raw| cast::nearest_f32(quantizer.format.value(raw)))
}

/// Which sums of a transposed convolution fall onto each output position.
#[derive(Debug, Clone)]
struct Windows {
    /// Where in the sums the contributions begin, output position after output position.
    sources: Vec<usize>,
    /// Where the sources of each output position end.
    ends: Vec<usize>,
}

impl Windows {
    /// `stride` is the distance between the sums of two input positions.
    fn new(map: &Map, stride: usize) -> Self {
        let Map { input: [rows, columns, _], output: [out_rows, out_columns, out_channels], window } = map;
        let mut sources = vec![Vec::new(); out_rows * out_columns];
        for row in 0..*rows {
            for column in 0..*columns {
                for kernel_row in 0..window.kernel[0] {
                    let Some(out_row) = window.input_row(row, kernel_row, *out_rows) else { continue };
                    for kernel_column in 0..window.kernel[1] {
                        if let Some(out_column) = window.input_column(column, kernel_column, *out_columns) {
                            let tap = kernel_row * window.kernel[1] + kernel_column;
                            sources[out_row * out_columns + out_column]
                                .push((row * columns + column) * stride + tap * out_channels);
                        }
                    }
                }
            }
        }
        let ends = sources.iter().scan(0, |end, sources| {
            *end += sources.len();
            Some(*end)
        });
        Self { ends: ends.collect(), sources: sources.concat() }
    }
}

fn dense(combination: &Combination, front: &[f32], back: &mut [f32], work: &mut Work) {
    work.clear();
    work.append(0, front);
    work.end_position();
    combination.run(work);
    back[..combination.columns].copy_from_slice(&work.sums[..combination.columns]);
}

fn conv2d(combination: &Combination, map: &Map, front: &[f32], back: &mut [f32], work: &mut Work) {
    let Map { input: [rows, columns, channels], output: [out_rows, out_columns, out_channels], window } = map;
    work.clear();
    for out_row in 0..*out_rows {
        for out_column in 0..*out_columns {
            for kernel_row in 0..window.kernel[0] {
                let Some(row) = window.input_row(out_row, kernel_row, *rows) else { continue };
                for kernel_column in 0..window.kernel[1] {
                    let Some(column) = window.input_column(out_column, kernel_column, *columns) else { continue };
                    let from = (row * columns + column) * channels;
                    let tap = kernel_row * window.kernel[1] + kernel_column;
                    work.append(tap * channels, &front[from..from + channels]);
                }
            }
            work.end_position();
        }
    }
    combination.run(work);
    for position in 0..out_rows * out_columns {
        let (to, from) = (position * out_channels, position * combination.padded());
        back[to..to + out_channels].copy_from_slice(&work.sums[from..from + out_channels]);
    }
}

/// Each input position contributes one window of sums; an output position adds its bias and what falls onto it, in C order
/// of the input positions.
fn conv2d_transpose(
    combination: &Combination,
    map: &Map,
    bias: &[f32],
    windows: &Windows,
    front: &[f32],
    back: &mut [f32],
    work: &mut Work,
) {
    let [rows, columns, channels] = map.input;
    work.clear();
    for position in 0..rows * columns {
        work.append(0, &front[position * channels..(position + 1) * channels]);
        work.end_position();
    }
    combination.run(work);
    let mut start = 0;
    for (out, end) in back.chunks_exact_mut(bias.len().max(1)).zip(&windows.ends) {
        let sources = &windows.sources[start..*end];
        if let ([out], [bias]) = (&mut *out, bias) {
            // One channel: the sum stays in a register.
            *out = sources.iter().fold(*bias, |sum, source| sum + work.sums[*source]);
        } else {
            out.copy_from_slice(bias);
            for source in sources {
                out.iter_mut().zip(&work.sums[*source..]).for_each(|(out, sum)| *out += sum);
            }
        }
        start = *end;
    }
}

fn zero_pad(map: &Map, front: &[f32], back: &mut [f32]) {
    let Map { input: [rows, columns, channels], output: [out_rows, out_columns, _], window } = map;
    back[..out_rows * out_columns * channels].fill(0.0);
    let run = columns * channels;
    for row in 0..*rows {
        let to = ((row + window.padding.top) * out_columns + window.padding.left) * channels;
        back[to..to + run].copy_from_slice(&front[row * run..(row + 1) * run]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::Padding2d;
    use crate::num::{Overflow, QFormat, Rounding};

    /// A sum of a few dozen `f32` products of numbers of order one, against the same sum in `f64`.
    const SUM_TOLERANCE: f64 = 1e-5;

    fn node(op: FloatOp, input: usize, shape: &[usize]) -> FloatNode {
        FloatNode { name: format!("n{input}"), op, input, shape: shape.to_vec() }
    }

    fn decoder(shape: &[usize], nodes: Vec<FloatNode>) -> Decoder {
        let input = FloatNode { name: "input".to_owned(), op: FloatOp::Input, input: 0, shape: shape.to_vec() };
        let nodes = std::iter::once(input).chain(nodes).collect();
        Decoder::new(&FloatNetwork::new("decoder", nodes).unwrap())
    }

    fn run(decoder: &Decoder, input: &[f32]) -> Vec<f32> {
        decoder.run(input, &mut DecoderScratch::default()).to_vec()
    }

    /// Numbers of order one, a third of them zero, that depend on `seed` alone.
    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u16::try_from(state >> 48).unwrap()
        };
        (0..count).map(|_| if next() % 3 == 0 { 0.0 } else { f32::from(next()) / 32_768.0 - 1.0 }).collect()
    }

    /// Both convolutions straight from their definition, in `f64`: the window slides over `wide` and meets `narrow`.
    fn windows(
        window: &Window2d,
        wide: [usize; 2],
        narrow: [usize; 2],
        mut visit: impl FnMut([usize; 2], usize, [usize; 2]),
    ) {
        for r in 0..narrow[0] {
            for c in 0..narrow[1] {
                for kr in 0..window.kernel[0] {
                    for kc in 0..window.kernel[1] {
                        if let (Some(row), Some(column)) =
                            (window.input_row(r, kr, wide[0]), window.input_column(c, kc, wide[1]))
                        {
                            visit([r, c], kr * window.kernel[1] + kc, [row, column]);
                        }
                    }
                }
            }
        }
    }

    fn assert_close(found: &[f32], exact: &[f64]) {
        assert_eq!(found.len(), exact.len());
        for (index, (found, exact)) in found.iter().zip(exact).enumerate() {
            assert!((f64::from(*found) - exact).abs() < SUM_TOLERANCE, "value {index}: {found} instead of {exact}");
        }
    }

    proptest! {
        #[test]
        fn convolutions_equal_their_definition(
            size in [1..7_usize, 1..7_usize],
            kernel in [1..4_usize, 1..4_usize],
            stride in [1..4_usize, 1..4_usize],
            padding in [0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize],
            channels in [1..20_usize, 1..20_usize],
            seed: u64,
        ) {
            let [top, bottom, left, right] = padding;
            let window = Window2d { kernel, stride, padding: Padding2d { top, bottom, left, right } };
            let Some(narrow) = window.output(size) else { return Ok(()) };
            let [inputs, outputs] = channels;
            let weights = numbers(seed, kernel[0] * kernel[1] * inputs * outputs);
            let bias = numbers(!seed, outputs);

            let x = numbers(seed ^ 1, size[0] * size[1] * inputs);
            let mut exact: Vec<f64> = (0..narrow[0] * narrow[1]).flat_map(|_| bias.iter().copied().map(f64::from)).collect();
            windows(&window, size, narrow, |[r, c], tap, [row, column]| {
                for i in 0..inputs {
                    for o in 0..outputs {
                        exact[(r * narrow[1] + c) * outputs + o] += f64::from(x[(row * size[1] + column) * inputs + i])
                            * f64::from(weights[(tap * inputs + i) * outputs + o]);
                    }
                }
            });
            let op = FloatOp::Conv2d { kernel: weights.clone(), bias: bias.clone(), window };
            let conv = decoder(&[size[0], size[1], inputs], vec![node(op, 0, &[narrow[0], narrow[1], outputs])]);
            assert_close(&run(&conv, &x), &exact);

            let x = numbers(seed ^ 2, narrow[0] * narrow[1] * inputs);
            let mut exact: Vec<f64> = (0..size[0] * size[1]).flat_map(|_| bias.iter().copied().map(f64::from)).collect();
            windows(&window, size, narrow, |[r, c], tap, [row, column]| {
                for i in 0..inputs {
                    for o in 0..outputs {
                        exact[(row * size[1] + column) * outputs + o] += f64::from(x[(r * narrow[1] + c) * inputs + i])
                            * f64::from(weights[(tap * outputs + o) * inputs + i]);
                    }
                }
            });
            let op = FloatOp::Conv2dTranspose { kernel: weights, bias, window };
            let conv = decoder(&[narrow[0], narrow[1], inputs], vec![node(op, 0, &[size[0], size[1], outputs])]);
            assert_close(&run(&conv, &x), &exact);
        }

        #[test]
        fn sums_run_in_input_order_and_zeros_change_nothing(inputs in 1..40_usize, outputs in 1..40_usize, seed: u64) {
            let kernel = numbers(seed, inputs * outputs);
            let bias: Vec<f32> = numbers(!seed, outputs).into_iter().map(|b| if b == 0.0 { -0.0 } else { b }).collect();
            let x = numbers(seed ^ 1, inputs);
            let expected: Vec<f32> = (0..outputs)
                .map(|o| (0..inputs).fold(bias[o] + 0.0, |sum, i| sum + x[i] * kernel[i * outputs + o]))
                .collect();
            let dense = decoder(&[inputs], vec![node(FloatOp::Dense { kernel, bias }, 0, &[outputs])]);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&run(&dense, &x)), bits(&expected));
        }
    }

    #[test]
    fn chains_leave_side_branches_out_and_scratch_has_no_memory() {
        let quantizer = Quantizer {
            format: QFormat::signed(4, 2).unwrap(),
            rounding: Rounding::NearestEven,
            overflow: Overflow::Saturate,
        };
        let padding = Padding2d { top: 1, bottom: 0, left: 0, right: 1 };
        let nodes = vec![
            node(FloatOp::Reshape, 0, &[1, 2, 1]),
            node(FloatOp::Activation(Activation::Relu), 1, &[1, 2, 1]),
            node(FloatOp::ZeroPad2d(padding), 1, &[2, 3, 1]),
            node(FloatOp::Quantize(quantizer), 3, &[2, 3, 1]),
        ];
        let decoder = decoder(&[2], nodes);
        assert_eq!((decoder.input_len(), decoder.output_len(), decoder.output_shape()), (2, 6, &[2, 3, 1][..]));
        let mut scratch = DecoderScratch::default();
        assert_eq!(decoder.run(&[9.0, f32::INFINITY], &mut scratch), [0.0, 0.0, 0.0, 1.75, f32::INFINITY, 0.0]);
        assert_eq!(decoder.run(&[-0.3, 0.125], &mut scratch), [0.0, 0.0, 0.0, -0.25, 0.0, 0.0]);
    }
}
