//! The vectorized loops over the sums of one event.
//!
//! All arithmetic wraps, which is exact because every final value fits its word (see `word::fits`); no loop depends on
//! the vector unit it is compiled for.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use multiversion::multiversion;

use super::program::{Head, Layer};
use super::word::{Block, LANES, Word};
use crate::num::cast;

/// What one layer computes of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wires<W> {
    /// Its sums, `blocks` blocks per position.
    pub(crate) sums: Vec<Block<W>>,
    /// What the tail makes of them.
    pub(crate) settled: Vec<Block<W>>,
}

impl<W: Word> Wires<W> {
    /// Memory for one layer.
    pub(crate) fn new(layer: &Layer<W>) -> Self {
        let blocks = vec![Block::default(); layer.positions * layer.blocks];
        Self { sums: blocks.clone(), settled: blocks }
    }
}

/// What comes before the first layer, in the order of that layer's input; `word` makes words of the input's values.
///
/// # Panics
/// When `input` has another length than the network's input.
pub(crate) fn enter<W: Word, V: Copy>(head: &Head<W>, input: &[V], word: impl Fn(V) -> W, first: &mut [W]) {
    assert_eq!(input.len(), head.target.len(), "input length");
    let mut block = Block::default();
    for (values, targets) in input.chunks(LANES).zip(head.target.chunks(LANES)) {
        for (lane, value) in block.iter_mut().zip(values) {
            *lane = word(*value);
        }
        head.tail.apply(&mut block);
        for (value, target) in block.iter().zip(targets) {
            first[cast::index(*target)] = *value;
        }
    }
}

/// Adds `x` times a row of weights to the sums of one position.
#[inline(always)]
pub(crate) fn add_row<W: Word>(sums: &mut [Block<W>], row: &[Block<W>], x: W) {
    for (sums, weights) in sums.iter_mut().zip(row) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum = sum.plus(weight.times(x));
        }
    }
}

/// Calls `visit(position, row of weights)` for every sum that input value `index` enters.
#[inline(always)]
pub(crate) fn for_each_reach<W: Word>(layer: &Layer<W>, index: usize, mut visit: impl FnMut(u32, &[Block<W>])) {
    // A division costs more than the rest in a dense layer, where there is only one pixel.
    let (pixel, channel) =
        if layer.is_dense { (0, index) } else { (index / layer.in_channels, index % layer.in_channels) };
    for reach in layer.reach.get(pixel) {
        let start = (cast::index(reach.tap) * layer.in_channels + channel) * layer.blocks;
        visit(reach.position, &layer.kernel[start..start + layer.blocks]);
    }
}

/// Sums of `input`, what the tail makes of them, and these values in the order of the next layer's input.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(crate) fn settle<W: Word>(layer: &Layer<W>, input: &[W], wires: &mut Wires<W>, next: &mut [W]) {
    let Wires { sums, settled } = wires;
    for position in sums.chunks_exact_mut(layer.blocks) {
        position.copy_from_slice(&layer.bias);
    }
    for (index, x) in input.iter().enumerate() {
        if *x != W::default() {
            for_each_reach(layer, index, |position, row| {
                add_row(&mut sums[cast::index(position) * layer.blocks..][..layer.blocks], row, *x);
            });
        }
    }
    settled.copy_from_slice(sums);
    let (targets, _) = layer.target.as_chunks::<LANES>();
    for (values, targets) in settled.iter_mut().zip(targets) {
        layer.tail.apply(values);
        for (value, target) in values.iter().zip(targets) {
            if let Some(next) = next.get_mut(cast::index(*target)) {
                *next = *value;
            }
        }
    }
}
