//! `Affine`: one weighted layer of the decoder as sums of matrix columns, the kernel of all of them.
//!
//! Dense layers, convolutions of both kinds and zero padding differ only in where the columns lie. Sums are in `f64`
//! over exact `f32` weights, in an order that depends on the inputs alone; products and sums are rounded separately (no
//! fused multiply-add). Nonlinear functions, and which layers follow each other, are `decoder`'s.
// The kernels take the vector units of the function that they are inlined into.
#![allow(clippy::inline_always)]

use std::ops::Range;

use crate::net::Window2d;
use crate::num::cast;

/// Inputs of a position whose sum joins the total at once: rounding errors grow with the longest chain of additions.
const BLOCK: usize = 32;

/// Outputs summed at a time: enough independent sums to hide the latency of an addition, few enough for registers.
const TILE: usize = 32;

/// Outputs summed at a time where fewer than a tile are left.
const LANES: usize = 8;

/// A layer with at most this many outputs is stored as a full matrix, whose short columns stay in registers.
const FEW_OUTPUTS: usize = 64;

/// Largest full matrix worth the memory, in weights.
const FULL_MATRIX: usize = 1 << 18;

/// -0 as +0: a sum that starts at +0 and rounds to nearest is never -0, so that adding a product with zero changes
/// nothing and zero inputs can be skipped.
fn positive_zero(value: f32) -> f32 {
    value + 0.0
}

/// One column and its factor.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Term {
    /// The input, whose column it is.
    pub unit: u32,
    /// What the column is multiplied by.
    pub factor: f64,
}

/// Consecutive outputs and their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    output: usize,
    len: usize,
    /// Position of the first weight among those of the input's channel.
    weight: usize,
}

/// Input and output `[rows, columns, channels]` of a two-dimensional layer, and its window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub window: Window2d,
}

/// `out[o] = bias[o] + sum_i weight[i, o] * in[i]`.
///
/// Inputs are `[position, channel]`. All channels of a position reach the same outputs (their layout), and a channel
/// has the same weights wherever it is.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    inputs: usize,
    bias: Vec<f64>,
    channels: usize,
    /// Weights per channel.
    stride: usize,
    /// `[channel, stride]`.
    weights: Vec<f32>,
    runs: Vec<Run>,
    /// Where the runs of each position end.
    ends: Vec<usize>,
    /// Most blocks with a weight that is not zero for one output.
    blocks: usize,
}

impl Affine {
    /// From a kernel `[in, out]`.
    pub(super) fn dense(inputs: usize, kernel: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        Self {
            inputs,
            bias: bias.iter().map(|b| f64::from(positive_zero(*b))).collect(),
            channels: inputs,
            stride: outputs,
            weights: kernel.to_vec(),
            runs: vec![Run { output: 0, len: outputs, weight: 0 }],
            ends: vec![1],
            blocks: 0,
        }
        .with_blocks_counted()
    }

    /// A convolution, from a kernel `[kernel_row, kernel_column, in, out]`.
    pub(super) fn conv2d(kernel: &[f32], bias: &[f32], map: &Map) -> Self {
        let Map { input: [rows, columns, inputs], output: [out_rows, out_columns, outputs], window } = *map;
        let [kernel_rows, kernel_columns] = window.kernel;
        // An input meets every stride-th kernel column, the last one first: in that order its outputs are adjacent.
        let mut order: Vec<usize> = (0..kernel_columns).collect();
        order.sort_by_key(|column| (column % window.stride[1], std::cmp::Reverse(*column)));
        let mut row_taps = vec![Vec::new(); rows];
        for tap in 0..kernel_rows {
            for out in 0..out_rows {
                if let Some(row) = window.input_row(out, tap, rows) {
                    row_taps[row].push((tap, out));
                }
            }
        }
        let mut column_taps = vec![Vec::new(); columns];
        for (place, tap) in order.iter().enumerate() {
            for out in 0..out_columns {
                if let Some(column) = window.input_column(out, *tap, columns) {
                    column_taps[column].push((place, out));
                }
            }
        }
        let mut weights = Vec::with_capacity(kernel.len());
        for i in 0..inputs {
            for row in 0..kernel_rows {
                for column in &order {
                    let from = ((row * kernel_columns + column) * inputs + i) * outputs;
                    weights.extend_from_slice(&kernel[from..from + outputs]);
                }
            }
        }
        Self::windowed(weights, bias, map, &row_taps, &column_taps)
    }

    /// A transposed convolution, from a kernel `[kernel_row, kernel_column, out, in]`.
    pub(super) fn conv2d_transpose(kernel: &[f32], bias: &[f32], map: &Map) -> Self {
        let Map { input: [rows, columns, inputs], output: [out_rows, out_columns, _], window } = *map;
        let [kernel_rows, kernel_columns] = window.kernel;
        let row_taps: Vec<Vec<(usize, usize)>> = (0..rows)
            .map(|row| (0..kernel_rows).filter_map(|tap| Some((tap, window.input_row(row, tap, out_rows)?))).collect())
            .collect();
        let column_taps: Vec<Vec<(usize, usize)>> = (0..columns)
            .map(|column| {
                (0..kernel_columns)
                    .filter_map(|tap| Some((tap, window.input_column(column, tap, out_columns)?)))
                    .collect()
            })
            .collect();
        let stride = kernel.len().checked_div(inputs).unwrap_or(0);
        let weights = (0..inputs).flat_map(|i| (0..stride).map(move |place| kernel[place * inputs + i])).collect();
        Self::windowed(weights, bias, map, &row_taps, &column_taps)
    }

    /// From weights `[in, kernel_row, kernel column's place, out]` and, for every input row and column, which kernel
    /// rows and places lead to which output rows and columns.
    fn windowed(
        weights: Vec<f32>,
        bias: &[f32],
        map: &Map,
        row_taps: &[Vec<(usize, usize)>],
        column_taps: &[Vec<(usize, usize)>],
    ) -> Self {
        let Map { input: [_, _, channels], output: [out_rows, out_columns, outputs], window } = *map;
        let (mut runs, mut ends): (Vec<Run>, Vec<usize>) = (Vec::new(), Vec::new());
        for rows in row_taps {
            for columns in column_taps {
                let first = runs.len();
                for (kernel_row, out_row) in rows {
                    for (place, out_column) in columns {
                        let output = (out_row * out_columns + out_column) * outputs;
                        let weight = (kernel_row * window.kernel[1] + place) * outputs;
                        match runs[first..].last_mut() {
                            Some(run) if run.output + run.len == output && run.weight + run.len == weight => {
                                run.len += outputs;
                            }
                            _ => runs.push(Run { output, len: outputs, weight }),
                        }
                    }
                }
                runs[first..].sort_by_key(|run| run.output);
                ends.push(runs.len());
            }
        }
        let bias: Vec<f64> = bias.iter().map(|b| f64::from(positive_zero(*b))).collect();
        Self {
            inputs: map.input.iter().product(),
            bias: bias.repeat(out_rows * out_columns),
            channels,
            stride: weights.len().checked_div(channels).unwrap_or(0),
            weights,
            runs,
            ends,
            blocks: 0,
        }
        .full_if_small()
        .with_blocks_counted()
    }

    /// Zeros around a feature map: every weight is 1, `map.window` has a kernel of one value.
    pub(super) fn zero_pad(map: &Map) -> Self {
        let Map { input: [rows, columns, channels], output, window } = *map;
        let place = |unit: usize| {
            let (row, column, channel) = (unit / (columns * channels), unit / channels % columns, unit % channels);
            ((row + window.padding.top) * output[1] + column + window.padding.left) * channels + channel
        };
        let inputs = rows * columns * channels;
        Self {
            inputs,
            bias: vec![0.0; output.iter().product()],
            channels: 1,
            stride: 1,
            weights: vec![1.0],
            runs: (0..inputs).map(|unit| Run { output: place(unit), len: 1, weight: 0 }).collect(),
            ends: (1..=inputs).collect(),
            blocks: 1,
        }
    }

    /// The same layer as a full matrix, when that is small.
    fn full_if_small(self) -> Self {
        let outputs = self.outputs();
        if outputs > FEW_OUTPUTS || self.inputs * outputs > FULL_MATRIX {
            return self;
        }
        let mut weights = vec![0.0; self.inputs * outputs];
        for (unit, row) in weights.chunks_exact_mut(outputs.max(1)).enumerate() {
            for (range, column) in self.column(unit) {
                row[range].copy_from_slice(column);
            }
        }
        let runs = vec![Run { output: 0, len: outputs, weight: 0 }];
        Self { channels: self.inputs, stride: outputs, weights, runs, ends: vec![1], ..self }
    }

    /// Number of values it takes.
    pub(super) const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of values it gives.
    pub(super) const fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// What each output is without inputs.
    pub(super) fn bias(&self) -> &[f64] {
        &self.bias
    }

    fn with_blocks_counted(self) -> Self {
        // Per output, the blocks seen and one more than the last of them.
        let mut seen = vec![(0, 0); self.outputs()];
        for unit in 0..self.inputs {
            let (position, channel) = (unit / self.channels, unit % self.channels);
            let block = position * self.channels.div_ceil(BLOCK) + channel / BLOCK + 1;
            for (range, weights) in self.column(unit) {
                for ((count, last), weight) in seen[range].iter_mut().zip(weights) {
                    if *weight != 0.0 && *last != block {
                        (*count, *last) = (*count + 1, block);
                    }
                }
            }
        }
        Self { blocks: seen.iter().map(|(count, _)| *count).max().unwrap_or(0), ..self }
    }

    /// Upper bound of the roundings that a term goes through until it is part of an output of [`Affine::add_sums`]: its
    /// product, the additions within a block, those of the blocks.
    pub(super) fn depth(&self) -> f64 {
        cast::f64_from_count(1 + self.channels.min(BLOCK) + self.blocks)
    }

    /// Number of products for all inputs.
    pub(super) fn products(&self) -> usize {
        self.channels * self.runs.iter().map(|run| run.len).sum::<usize>()
    }

    /// The weights of input `unit`: which outputs they lead to, in their order, and what they are.
    #[inline(always)]
    pub(super) fn column(&self, unit: usize) -> impl Iterator<Item = (Range<usize>, &[f32])> {
        let (position, base) = (unit / self.channels, unit % self.channels * self.stride);
        self.layout(position).iter().map(move |run| {
            let from = base + run.weight;
            (run.output..run.output + run.len, &self.weights[from..from + run.len])
        })
    }

    #[inline(always)]
    fn layout(&self, position: usize) -> &[Run] {
        let first = if position == 0 { 0 } else { self.ends[position - 1] };
        &self.runs[first..self.ends[position]]
    }

    /// Adds the sums of `terms` (in the order of the inputs) to `out`: each block of [`BLOCK`] consecutive channels of
    /// a position is summed from zero, in order, then added. With `ABSOLUTE` the weights count by their magnitude.
    #[inline(always)]
    pub(super) fn add_sums<const ABSOLUTE: bool>(&self, mut terms: &[Term], out: &mut [f64]) {
        while let Some(first) = terms.first() {
            let unit = cast::index(first.unit);
            let (position, channel) = (unit / self.channels, unit % self.channels);
            let origin = position * self.channels;
            let end = origin + self.channels.min((channel / BLOCK + 1) * BLOCK);
            let count = terms.iter().take_while(|term| cast::index(term.unit) < end).count();
            let (block, rest) = terms.split_at(count);
            for run in self.layout(position) {
                let out = &mut out[run.output..run.output + run.len];
                // Where the weights of input 0 would be; wraps below zero and back.
                self.add_run::<ABSOLUTE>(block, run.weight.wrapping_sub(origin * self.stride), out);
            }
            terms = rest;
        }
    }

    #[inline(always)]
    fn add_run<const ABSOLUTE: bool>(&self, terms: &[Term], origin: usize, out: &mut [f64]) {
        let mut from = origin;
        let (tiles, rest) = out.as_chunks_mut::<TILE>();
        for tile in tiles {
            self.add_tile::<ABSOLUTE, TILE>(terms, from, tile);
            from = from.wrapping_add(TILE);
        }
        let (tiles, rest) = rest.as_chunks_mut::<LANES>();
        for tile in tiles {
            self.add_tile::<ABSOLUTE, LANES>(terms, from, tile);
            from = from.wrapping_add(LANES);
        }
        for out in rest {
            self.add_tile::<ABSOLUTE, 1>(terms, from, std::array::from_mut(out));
            from = from.wrapping_add(1);
        }
    }

    #[inline(always)]
    fn add_tile<const ABSOLUTE: bool, const N: usize>(&self, terms: &[Term], origin: usize, tile: &mut [f64; N]) {
        let mut sums = [0.0; N];
        for term in terms {
            let from = origin.wrapping_add(cast::index(term.unit) * self.stride);
            let weights = self.weights[from..].first_chunk::<N>().expect("runs lie within the weights");
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += term.factor * f64::from(if ABSOLUTE { weight.abs() } else { *weight });
            }
        }
        for (out, sum) in tile.iter_mut().zip(sums) {
            *out += sum;
        }
    }

    /// Adds `factor` times a column to `out`, output by output multiplied by `signs` (+1 or -1).
    #[inline(always)]
    pub(super) fn add_signed_column(&self, term: Term, signs: &[f64], out: &mut [f64]) {
        for (range, weights) in self.column(cast::index(term.unit)) {
            let signs = &signs[range.clone()];
            for ((out, weight), sign) in out[range].iter_mut().zip(weights).zip(signs) {
                *out += (term.factor * sign) * f64::from(*weight);
            }
        }
    }

    /// [`Affine::add_signed_column`] of the column of `unit` with one factor for each of two outputs.
    #[inline(always)]
    pub(super) fn add_signed_columns(&self, unit: usize, factors: [f64; 2], signs: &[f64], outs: [&mut [f64]; 2]) {
        let [first, second] = outs;
        for (range, weights) in self.column(unit) {
            let signs = &signs[range.clone()];
            let outs = first[range.clone()].iter_mut().zip(&mut second[range]);
            for (((first, second), weight), sign) in outs.zip(weights).zip(signs) {
                let weight = f64::from(*weight) * sign;
                *first += factors[0] * weight;
                *second += factors[1] * weight;
            }
        }
    }
}

/// Lists the values that are not zero.
#[inline(always)]
pub(super) fn list_terms(values: impl ExactSizeIterator<Item = f64>, terms: &mut Vec<Term>) {
    // Half of the values behind a ReLU are zero in no order, so the test must not become a branch.
    terms.clear();
    terms.resize(values.len(), Term::default());
    let mut kept = 0;
    for (unit, factor) in (0..).zip(values) {
        terms[kept] = Term { unit, factor };
        kept += usize::from(factor != 0.0);
    }
    terms.truncate(kept);
}

/// A `ReLU`; written so that NaN stays NaN: a silent zero would hide that a network overflowed.
#[inline(always)]
pub(super) fn rectified(value: f64) -> f64 {
    if value < 0.0 { 0.0 } else { value }
}
