//! The vectorized loops over the sums of one event.
//!
//! All arithmetic wraps, which is exact because every final value fits its word (see `word::fits`); no loop depends on
//! the vector unit it is compiled for.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use multiversion::multiversion;

use super::program::{Head, Layer};
use super::word::{Block, LANES, Word};
use crate::num::cast;

/// Inputs that are worked on at once.
const GROUP: usize = 8;

/// What one layer computes of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wires<W> {
    /// What the taps of a convolution see at one position.
    window: Vec<W>,
    /// Its sums, `blocks` blocks per position.
    pub(crate) sums: Vec<Block<W>>,
    /// What the tail makes of them.
    pub(crate) settled: Vec<Block<W>>,
}

impl<W: Word> Wires<W> {
    /// Memory for one layer.
    pub(crate) fn new(layer: &Layer<W>) -> Self {
        let blocks = vec![Block::default(); layer.positions * layer.blocks];
        let window = vec![W::default(); if layer.is_dense { 0 } else { layer.kernel.len() / layer.blocks }];
        Self { window, sums: blocks.clone(), settled: blocks }
    }
}

/// What comes before the first layer, in the order of that layer's input; `word` makes words of the input's values.
///
/// # Panics
/// When `input` has another length than the network's input.
pub(crate) fn enter<W: Word, V: Copy>(head: &Head<W>, input: &[V], word: impl Fn(V) -> W, first: &mut [W]) {
    assert_eq!(input.len(), head.target.len(), "input length");
    let mut block = Block::default();
    if head.is_straight {
        for (values, first) in input.chunks(LANES).zip(first.chunks_mut(LANES)) {
            for (lane, value) in block.iter_mut().zip(values) {
                *lane = word(*value);
            }
            head.tail.apply(&mut block);
            // Zeros below a map may follow.
            first[..values.len()].copy_from_slice(&block[..values.len()]);
        }
        return;
    }
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

/// Sums of `input`, what the tail makes of them, and these values in the order of the next layer's input.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(crate) fn settle<W: Word>(layer: &Layer<W>, input: &[W], wires: &mut Wires<W>, next: &mut [W]) {
    let Wires { window, sums, settled } = wires;
    let blocks = layer.blocks;
    for position in 0..layer.positions {
        let seen = if layer.is_dense { input } else { see(layer, input, position, window) };
        let at = position * blocks;
        let own = &mut sums[at..at + blocks];
        for (sums, bias) in own.iter_mut().zip(&layer.bias) {
            *sums = *bias;
        }
        // Zeros are not skipped: guessing which inputs are zero costs more than multiplying by them.
        let (groups, rest) = seen.as_chunks::<GROUP>();
        let (rows, rest_rows) = layer.kernel.split_at(groups.len() * GROUP * blocks);
        for (inputs, rows) in groups.iter().zip(rows.chunks_exact(GROUP * blocks)) {
            for (block, sums) in own.iter_mut().enumerate() {
                add_group(sums, inputs, std::array::from_fn(|number| &rows[number * blocks + block]));
            }
        }
        for (x, row) in rest.iter().zip(rest_rows.chunks_exact(blocks)) {
            // One loop over all blocks: of an unknown length it becomes vector instructions.
            for (sum, weight) in own.as_flattened_mut().iter_mut().zip(row.as_flattened()) {
                *sum = sum.plus(weight.times(*x));
            }
        }
    }
    settled.copy_from_slice(sums);
    layer.tail.apply(settled.as_flattened_mut());
    let (targets, _) = layer.target.as_chunks::<LANES>();
    for (at, (values, targets)) in settled.iter().zip(targets).enumerate() {
        // Channels of a position stay side by side wherever they go.
        let lanes = LANES.min(layer.channels - at % blocks * LANES);
        let target = cast::index(targets[0]);
        let next = &mut next[target..target + lanes];
        // Copies of a known length are no calls.
        match lanes {
            LANES => next.copy_from_slice(values),
            8 => next.copy_from_slice(&values[..8]),
            _ => next.copy_from_slice(&values[..lanes]),
        }
    }
}

/// What the taps of a convolution see at an output position, in the order of the kernel's rows.
#[inline(always)]
fn see<'w, W: Word>(layer: &Layer<W>, input: &[W], position: usize, window: &'w mut [W]) -> &'w [W] {
    let (sees, channels) = (layer.sees.get(position), layer.in_channels);
    if sees.len() * channels < window.len() {
        // Some taps see nothing but padding.
        window.fill(W::default());
    }
    if channels == 1 {
        // A copy of a single word should not be a call.
        for seen in sees {
            window[cast::index(seen.tap)] = input[cast::index(seen.pixel)];
        }
        return window;
    }
    for seen in sees {
        let (pixel, tap) = (cast::index(seen.pixel) * channels, cast::index(seen.tap) * channels);
        window[tap..tap + channels].copy_from_slice(&input[pixel..pixel + channels]);
    }
    window
}

/// Adds the products of some inputs with their rows of weights to one block of sums.
///
/// The loop over lanes is the outer one so that it becomes vector instructions, with the sums in a register meanwhile.
#[inline(always)]
fn add_group<W: Word>(sums: &mut Block<W>, inputs: &[W; GROUP], rows: [&Block<W>; GROUP]) {
    for lane in 0..LANES {
        let mut sum = sums[lane];
        for (x, row) in inputs.iter().zip(rows) {
            sum = sum.plus(row[lane].times(*x));
        }
        sums[lane] = sum;
    }
}
