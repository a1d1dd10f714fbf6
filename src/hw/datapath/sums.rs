//! The vectorized loops over the sums of one event.
//!
//! All arithmetic wraps, which is exact because every final value fits its word (see `word::fits`); no loop depends on
//! the vector unit it is compiled for.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use multiversion::multiversion;

use super::layer::{Core, Layer};
use super::program::Head;
use super::word::{Block, LANES, Word};
use crate::num::cast;

/// Inputs that are worked on at once.
const GROUP: usize = 8;

/// What one layer computes of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wires<W> {
    /// What the taps of a convolution see at one position.
    pub(crate) window: Vec<W>,
    /// Its sums, `blocks` blocks per position.
    pub(crate) sums: Vec<Block<W>>,
    /// What the tail makes of them.
    pub(crate) settled: Vec<Block<W>>,
}

impl<W: Word> Wires<W> {
    /// Memory for one layer.
    pub(crate) fn new(layer: &Layer<W>) -> Self {
        let blocks = vec![Block::default(); layer.positions * layer.blocks];
        let is_gathered = matches!(layer.core, Core::Sums) && !layer.is_dense;
        let window = vec![W::default(); if is_gathered { layer.kernel.len() / layer.blocks } else { 0 }];
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

/// What a layer computes of its sources, what the tail makes of that, and these values in the order in which other layers
/// read them. `input` gives the values of a source: see [`Layer::sources`].
pub(crate) fn settle<'b, W: Word>(
    layer: &Layer<W>,
    input: impl Fn(usize) -> &'b [W],
    wires: &mut Wires<W>,
    next: &mut [W],
) {
    let Wires { window, sums, settled } = wires;
    sum_up(layer, input, window, sums);
    settled.copy_from_slice(sums);
    finish(layer, settled, next);
}

/// The sums alone.
pub(crate) fn sum_up<'b, W: Word>(
    layer: &Layer<W>,
    input: impl Fn(usize) -> &'b [W],
    window: &mut [W],
    sums: &mut [Block<W>],
) {
    match &layer.core {
        Core::Sums => add_products(layer, input(layer.sources[0]), window, sums),
        Core::Channelwise { multiplier } => add_channelwise(layer, input(layer.sources[0]), *multiplier, sums),
        Core::Average { factors } => average(layer, input(layer.sources[0]), factors, sums),
        Core::Max => largest(layer, input(layer.sources[0]), sums),
        Core::Add { shifts } => {
            sums.fill(Block::default());
            for (source, shift) in layer.sources.iter().zip(shifts) {
                add_source(layer, input(*source), *shift, sums);
            }
        }
    }
}

/// Sums of products and biases.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_products<W: Word>(layer: &Layer<W>, input: &[W], window: &mut [W], sums: &mut [Block<W>]) {
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
}

/// Sums of products and biases, channel by channel.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_channelwise<W: Word>(layer: &Layer<W>, input: &[W], multiplier: usize, sums: &mut [Block<W>]) {
    let (blocks, channels) = (layer.blocks, layer.in_channels);
    for (position, own) in sums.chunks_exact_mut(blocks).enumerate() {
        own.copy_from_slice(&layer.bias);
        for seen in layer.sees.get(position) {
            let values = &input[cast::index(seen.pixel) * channels..][..channels];
            let row = layer.kernel[cast::index(seen.tap) * blocks..][..blocks].as_flattened();
            let lanes = own.as_flattened_mut().iter_mut().zip(row);
            if multiplier == 1 {
                for ((sum, weight), x) in lanes.zip(values) {
                    *sum = sum.plus(weight.times(*x));
                }
            } else {
                for ((sum, weight), x) in lanes.zip(values.iter().flat_map(|x| std::iter::repeat_n(x, multiplier))) {
                    *sum = sum.plus(weight.times(*x));
                }
            }
        }
    }
}

/// Sums over windows times the factor of each position, channel by channel.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn average<W: Word>(layer: &Layer<W>, input: &[W], factors: &[W], sums: &mut [Block<W>]) {
    let channels = layer.in_channels;
    for ((position, own), factor) in sums.chunks_exact_mut(layer.blocks).enumerate().zip(factors) {
        let own = own.as_flattened_mut();
        own.fill(W::default());
        for seen in layer.sees.get(position) {
            let values = &input[cast::index(seen.pixel) * channels..][..channels];
            for (sum, x) in own.iter_mut().zip(values) {
                *sum = sum.plus(*x);
            }
        }
        for sum in own {
            *sum = sum.times(*factor);
        }
    }
}

/// Largest values of windows, channel by channel.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn largest<W: Word>(layer: &Layer<W>, input: &[W], sums: &mut [Block<W>]) {
    let channels = layer.in_channels;
    for (position, own) in sums.chunks_exact_mut(layer.blocks).enumerate() {
        let (first, rest) = layer.sees.get(position).split_first().expect("no window sees padding alone");
        let own = own.as_flattened_mut();
        let at = |pixel: u32| &input[cast::index(pixel) * channels..][..channels];
        own[..channels].copy_from_slice(at(first.pixel));
        for seen in rest {
            for (largest, x) in own.iter_mut().zip(at(seen.pixel)) {
                *largest = (*largest).max(*x);
            }
        }
    }
}

/// Adds a source's values, shifted.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn add_source<W: Word>(layer: &Layer<W>, input: &[W], shift: u32, sums: &mut [Block<W>]) {
    for (own, values) in sums.chunks_exact_mut(layer.blocks).zip(input.chunks_exact(layer.channels)) {
        for (sum, x) in own.as_flattened_mut().iter_mut().zip(values) {
            *sum = sum.plus(x.left(shift));
        }
    }
}

/// What the tail makes of sums, in their place, and these values in the order in which other layers read them.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn finish<W: Word>(layer: &Layer<W>, sums: &mut [Block<W>], next: &mut [W]) {
    layer.tail.apply(sums.as_flattened_mut());
    spread(layer, sums, next);
}

/// Puts settled values into the order in which other layers read them.
#[inline]
pub(crate) fn spread<W: Word>(layer: &Layer<W>, settled: &[Block<W>], next: &mut [W]) {
    let blocks = layer.blocks;
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
