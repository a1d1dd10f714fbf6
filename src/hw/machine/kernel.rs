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
    /// Weights of one output, input by input, for layers of few outputs: `[group of outputs][block of inputs][output]`.
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
            (Layout::Inputs, outputs.next_multiple_of(OUTPUTS) * inputs.div_ceil(LANES))
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
        let (block, lane) = match self.layout {
            Layout::Outputs => (input * self.outputs.div_ceil(LANES) + output / LANES, output % LANES),
            Layout::Inputs => {
                let row = output / OUTPUTS * self.inputs.div_ceil(LANES) + input / LANES;
                (row * OUTPUTS + output % OUTPUTS, input % LANES)
            }
        };
        self.blocks[block][lane] = cast::low_i32(value);
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
    let (whole, rest) = inputs.as_chunks::<LANES>();
    let mut last = [0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    let (rows, _) = blocks.as_chunks::<OUTPUTS>();
    for (rows, sums) in rows.chunks_exact(inputs.len().div_ceil(LANES)).zip(sums.chunks_mut(OUTPUTS)) {
        let mut partial = [[0; LANES]; OUTPUTS];
        for (inputs, weights) in whole.iter().zip(rows) {
            add_block(&mut partial, inputs, weights);
        }
        if let (false, Some(weights)) = (rest.is_empty(), rows.last()) {
            add_block(&mut partial, &last, weights);
        }
        for (sum, partial) in sums.iter_mut().zip(partial) {
            *sum = i64::from(partial.into_iter().fold(0, i32::wrapping_add));
        }
    }
}

/// Adds the products of a block of inputs with the weights of some outputs; the loop over lanes is the outer one so that it
/// becomes vector instructions, with the sums in registers meanwhile.
#[inline(always)]
fn add_block(partial: &mut [Block; OUTPUTS], inputs: &[i64; LANES], weights: &[Block; OUTPUTS]) {
    let [mut first, mut second, mut third, mut fourth] = *partial;
    for lane in 0..LANES {
        let x = cast::low_i32(inputs[lane]);
        first[lane] = first[lane].wrapping_add(weights[0][lane].wrapping_mul(x));
        second[lane] = second[lane].wrapping_add(weights[1][lane].wrapping_mul(x));
        third[lane] = third[lane].wrapping_add(weights[2][lane].wrapping_mul(x));
        fourth[lane] = fourth[lane].wrapping_add(weights[3][lane].wrapping_mul(x));
    }
    *partial = [first, second, third, fourth];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hw::test_networks::quantizer;
    use crate::net::{Dense, NetworkBuilder, WeightTensor};
    use crate::num::QFormat;

    proptest! {
        /// Both layouts, blocks that are full and not, and values far beyond those that the layer can meet.
        #[test]
        fn sums_are_the_low_bits_of_plain_sums(
            inputs in 1..70_usize, outputs in 1..40_usize, seed in any::<i64>(), changed: prop::sample::Index,
        ) {
            let format = QFormat::signed(8, 1).unwrap();
            let value = |at: usize| seed.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(u32::try_from(at % 64).unwrap());
            let mut kernel: Vec<i64> = (0..inputs * outputs).map(|at| format.from_bits(value(at).cast_unsigned())).collect();
            let mut net = NetworkBuilder::new("dense", "input", &[inputs], quantizer("ap_fixed<8,2>")).unwrap();
            let tensor = WeightTensor::new(vec![inputs, outputs], kernel.clone(), format).unwrap();
            let dense = net.push("dense", Op::Dense(Dense { kernel: tensor, bias: None }), &[net.input()]).unwrap();
            let network = net.finish().unwrap();
            let mut narrow = NarrowKernel::of(network.node(dense), &kernel).unwrap();
            let changed = changed.index(kernel.len());
            kernel[changed] = -77;
            narrow.set(changed, -77);
            let values: Vec<i64> = (0..inputs).map(|at| value(at + 5)).collect();
            let mut sums = vec![1; outputs];
            narrow.multiply(&values, &mut sums);
            for (output, sum) in sums.iter().enumerate() {
                let terms = values.iter().enumerate().map(|(at, value)| kernel[at * outputs + output].wrapping_mul(*value));
                prop_assert_eq!(cast::low_i32(*sum), cast::low_i32(terms.fold(0, i64::wrapping_add)));
            }
        }
    }

    #[test]
    fn wide_accumulators_have_no_narrow_kernel() {
        let format = QFormat::signed(20, 1).unwrap();
        let tensor = WeightTensor::new(vec![2, 2], vec![1; 4], format).unwrap();
        let mut net = NetworkBuilder::new("dense", "input", &[2], quantizer("ap_fixed<12,2>")).unwrap();
        let dense = Op::Dense(Dense { kernel: tensor, bias: None });
        let dense = net.push("dense", dense, &[net.input()]).unwrap();
        let network = net.finish().unwrap();
        // 20 and 12 bits make products of 32, two of them 33.
        assert!(NarrowKernel::of(network.node(dense), &[1; 4]).is_none());
    }
}
