//! `NarrowKernel`: the weights of a layer whose sums have at most 32 bits, laid out for vector units.
//!
//! What an accumulator of so few bits holds depends on the low 32 bits of every product and partial sum alone. So all of
//! it may wrap, whatever stands in the registers: no range is relied on.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use multiversion::multiversion;

use crate::net::{Node, Op};
use crate::num::cast;

/// Words that are worked on side by side: one 512-bit register.
const LANES: usize = 16;

type Block = [i32; LANES];

/// A kernel in words of 32 bits.
#[derive(Debug, Clone)]
pub(super) struct NarrowKernel {
    blocks: Vec<Block>,
    layout: Layout,
    /// Inputs of a sum.
    inputs: usize,
    outputs: usize,
}

/// What stands side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Weights of one input, output by output: `[input][block of outputs]`.
    Outputs,
    /// Weights of one output, input by input, for layers of few outputs: `[output][block of inputs]`.
    Inputs,
}

impl NarrowKernel {
    /// The kernel of a dense layer or convolution, if its accumulators are narrow enough; `kernel` is `[input, output]`.
    pub(super) fn of(node: &Node, kernel: &[i64]) -> Option<Self> {
        if !matches!(node.op, Op::Dense(_) | Op::Conv2d(_)) || node.signal.width_bits() > i32::BITS {
            return None;
        }
        let inputs = node.fan_in();
        let outputs = kernel.len() / inputs;
        // Half a block of outputs costs as much as a whole one.
        let is_few = outputs <= LANES / 2 && inputs >= LANES;
        let (layout, blocks) = if is_few {
            (Layout::Inputs, outputs * inputs.div_ceil(LANES))
        } else {
            (Layout::Outputs, inputs * outputs.div_ceil(LANES))
        };
        let mut narrow = Self { blocks: vec![[0; LANES]; blocks], layout, inputs, outputs };
        for (index, value) in kernel.iter().enumerate() {
            narrow.set(index, *value);
        }
        Some(narrow)
    }

    /// Another value in the register at `index` of the kernel.
    pub(super) fn set(&mut self, index: usize, value: i64) {
        let (input, output) = (index / self.outputs, index % self.outputs);
        let (row, at, len) = match self.layout {
            Layout::Outputs => (input, output, self.outputs),
            Layout::Inputs => (output, input, self.inputs),
        };
        self.blocks[row * len.div_ceil(LANES) + at / LANES][at % LANES] = cast::low_i32(value);
    }

    /// Sums of all products, modulo 2^32; `inputs` holds the values that come in, `sums` gets one per output.
    pub(super) fn multiply(&self, inputs: &[i64], sums: &mut [i64]) {
        match self.layout {
            Layout::Outputs => by_outputs(&self.blocks, inputs, sums),
            Layout::Inputs => by_inputs(&self.blocks, inputs, sums),
        }
    }
}

/// Inputs that are worked on at once.
const GROUP: usize = 8;

/// Outputs that are worked on at once where inputs stand side by side.
const OUTPUTS: usize = 4;

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn by_outputs(blocks: &[Block], inputs: &[i64], sums: &mut [i64]) {
    let in_row = sums.len().div_ceil(LANES);
    let (groups, rest) = inputs.as_chunks::<GROUP>();
    for (number, sums) in sums.chunks_mut(LANES).enumerate() {
        let mut block = [0_i32; LANES];
        for (group, rows) in groups.iter().zip(blocks.chunks_exact(GROUP * in_row)) {
            add_group(&mut block, group, std::array::from_fn(|row| &rows[row * in_row + number]));
        }
        let rows = blocks[groups.len() * GROUP * in_row..].chunks_exact(in_row);
        for (x, row) in rest.iter().zip(rows) {
            add_group(&mut block, &[*x], [&row[number]]);
        }
        for (sum, narrow) in sums.iter_mut().zip(block) {
            *sum = i64::from(narrow);
        }
    }
}

/// Adds the products of some inputs with their rows of weights to one block of sums; the loop over lanes is the outer one
/// so that it becomes vector instructions, with the sums in a register meanwhile.
#[inline(always)]
fn add_group<const ROWS: usize>(sums: &mut Block, inputs: &[i64; ROWS], rows: [&Block; ROWS]) {
    let inputs = inputs.map(cast::low_i32);
    for lane in 0..LANES {
        let mut sum = sums[lane];
        for (x, row) in inputs.iter().zip(rows) {
            sum = sum.wrapping_add(row[lane].wrapping_mul(*x));
        }
        sums[lane] = sum;
    }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn by_inputs(blocks: &[Block], inputs: &[i64], sums: &mut [i64]) {
    sums.fill(0);
    let in_row = inputs.len().div_ceil(LANES);
    for (rows, sums) in blocks.chunks(in_row * OUTPUTS).zip(sums.chunks_mut(OUTPUTS)) {
        let mut partial = [[0_i32; LANES]; OUTPUTS];
        for (at, inputs) in inputs.chunks(LANES).enumerate() {
            let mut block = [0_i32; LANES];
            for (lane, value) in block.iter_mut().zip(inputs) {
                *lane = cast::low_i32(*value);
            }
            for (partial, row) in partial.iter_mut().zip(rows.chunks_exact(in_row)) {
                let weights = &row[at];
                for lane in 0..LANES {
                    partial[lane] = partial[lane].wrapping_add(weights[lane].wrapping_mul(block[lane]));
                }
            }
        }
        for (sum, partial) in sums.iter_mut().zip(partial) {
            *sum = i64::from(partial.into_iter().fold(0, i32::wrapping_add));
        }
    }
}
