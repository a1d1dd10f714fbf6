//! The vectorized loops: changed sums, changed outputs of a row of flips.
//!
//! All arithmetic wraps, which is exact because every final value fits its word (see `word::fits`); no loop depends on
//! the vector unit it is compiled for. What the loops are run for is decided by their callers.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use multiversion::multiversion;

use super::bytes::{ByteScratch, ByteSums, TILE};
use super::trace::Golden;
use crate::hw::datapath::layer::Layer;
use crate::hw::datapath::program::Program;
use crate::hw::datapath::sums::Wires;
use crate::hw::datapath::word::{Block, LANES, Word, differing};
use crate::num::cast;

/// A layer and fault-free values around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a, W> {
    /// The layer.
    pub(super) layer: &'a Layer<W>,
    /// Its input: what its first source gives.
    pub(super) input: &'a [W],
    /// Its sums and what becomes of them.
    pub(super) wires: &'a Wires<W>,
}

impl<'a, W> At<'a, W> {
    /// Layer `at` of `program`.
    pub(super) fn new(program: &'a Program<W>, golden: &'a Golden<W>, at: usize) -> Self {
        let layer = &program.layers[at];
        Self { layer, input: &golden.buffers[layer.sources[0]], wires: &golden.wires[at] }
    }
}

/// A value that is not what it is without faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed<W> {
    pub(super) index: u32,
    pub(super) value: W,
}

/// A value that one flip changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit<W> {
    /// Which flip: its lane among those of all slots.
    pub(super) lane: u32,
    pub(super) changed: Changed<W>,
}

/// What is added to one sum: `flat` counts lanes over all positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addend<W> {
    pub(super) flat: usize,
    pub(super) value: W,
}

/// An output position where a tap sees a value other than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen<W> {
    pub(super) position: u32,
    pub(super) x: W,
}

/// Sums under a change; a position holds them only while it is touched.
#[derive(Debug, Clone)]
pub(super) struct Sums<W> {
    blocks: Vec<Block<W>>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
}

impl<W: Word> Sums<W> {
    pub(super) fn new(layer: &Layer<W>) -> Self {
        Self {
            blocks: vec![Block::default(); layer.positions * layer.blocks],
            is_touched: vec![false; layer.positions],
            touched: Vec::new(),
        }
    }

    /// The sums of a position, fault-free when it is touched for the first time.
    #[inline(always)]
    fn touch(&mut self, position: u32, blocks: usize, golden: &[Block<W>]) -> &mut [Block<W>] {
        let start = cast::index(position) * blocks;
        let sums = &mut self.blocks[start..start + blocks];
        let is_touched = &mut self.is_touched[cast::index(position)];
        if !*is_touched {
            *is_touched = true;
            self.touched.push(position);
            sums.copy_from_slice(&golden[start..start + blocks]);
        }
        sums
    }
}

/// Adds `x` times a row of weights to the sums of one position.
#[inline(always)]
fn add_row<W: Word>(sums: &mut [Block<W>], row: &[Block<W>], x: W) {
    for (sums, weights) in sums.iter_mut().zip(row) {
        // Blocks by value: nothing else can lie in the same memory, so this becomes vector instructions.
        let (mut block, weights) = (*sums, *weights);
        for lane in 0..LANES {
            block[lane] = block[lane].plus(weights[lane].times(x));
        }
        *sums = block;
    }
}

/// Calls `visit(position, row of weights)` for every sum that input value `index` enters.
#[inline(always)]
fn for_each_reach<W: Word>(layer: &Layer<W>, index: usize, mut visit: impl FnMut(u32, &[Block<W>])) {
    // A division costs more than the rest in a dense layer, where there is only one pixel.
    let (pixel, channel) =
        if layer.is_dense { (0, index) } else { (index / layer.in_channels, index % layer.in_channels) };
    for reach in layer.reach.get(pixel) {
        let start = (cast::index(reach.tap) * layer.in_channels + channel) * layer.blocks;
        visit(reach.position, &layer.kernel[start..start + layer.blocks]);
    }
}

/// Carries changed input values and changed sums through a layer: appends what then differs behind it, in order.
///
/// # Panics
/// When an index is beyond the layer.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn carry<W: Word>(
    around: At<'_, W>,
    incoming: &[Changed<W>],
    own: &[Addend<W>],
    sums: &mut Sums<W>,
    outgoing: &mut Vec<Changed<W>>,
) {
    let layer = around.layer;
    if layer.is_dense && own.is_empty() {
        for block in 0..layer.blocks {
            let mut values = around.wires.sums[block];
            for changed in incoming {
                let index = cast::index(changed.index);
                let dx = changed.value.minus(around.input[index]);
                for (value, weight) in values.iter_mut().zip(&layer.kernel[index * layer.blocks + block]) {
                    *value = value.plus(weight.times(dx));
                }
            }
            settle(around, block, values, outgoing);
        }
        return;
    }
    for changed in incoming {
        let index = cast::index(changed.index);
        let dx = changed.value.minus(around.input[index]);
        for_each_reach(layer, index, |position, row| {
            add_row(sums.touch(position, layer.blocks, &around.wires.sums), row, dx);
        });
    }
    for addend in own {
        let (block, lane) = (addend.flat / LANES, addend.flat % LANES);
        let position = sums.touch(cast::id(block / layer.blocks), layer.blocks, &around.wires.sums);
        let sum = &mut position[block % layer.blocks][lane];
        *sum = sum.plus(addend.value);
    }
    sums.touched.sort_unstable();
    for position in sums.touched.drain(..) {
        sums.is_touched[cast::index(position)] = false;
        for block in cast::index(position) * layer.blocks..(cast::index(position) + 1) * layer.blocks {
            settle(around, block, sums.blocks[block], outgoing);
        }
    }
}

/// Appends what the tail makes of a block of sums, where it differs.
#[inline(always)]
fn settle<W: Word>(around: At<'_, W>, block: usize, mut values: Block<W>, outgoing: &mut Vec<Changed<W>>) {
    let layer = around.layer;
    layer.tail.apply(&mut values);
    for_each_lane(differing(&values, &around.wires.settled[block]), |lane| {
        outgoing.push(Changed { index: layer.target[block * LANES + lane], value: values[lane] });
    });
}

/// Carries changed input values through a layer in which they reach most sums: fills `sums` and `settled`, and tells how
/// many values then differ behind it.
///
/// # Panics
/// When an index is beyond the layer.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn carry_all<W: Word>(
    around: At<'_, W>,
    incoming: &[Changed<W>],
    own: &[Addend<W>],
    now: &mut Wires<W>,
) -> usize {
    let At { layer, input, wires } = around;
    let blocks = layer.blocks;
    now.sums.copy_from_slice(&wires.sums);
    for changed in incoming {
        let index = cast::index(changed.index);
        let dx = changed.value.minus(input[index]);
        for_each_reach(layer, index, |position, row| {
            let start = cast::index(position) * blocks;
            add_row(&mut now.sums[start..start + blocks], row, dx);
        });
    }
    add_own(own, &mut now.sums);
    finish_all(around, now)
}

/// Adds what changed registers of the layer add to its sums.
#[inline(always)]
fn add_own<W: Word>(own: &[Addend<W>], sums: &mut [Block<W>]) {
    for addend in own {
        let sum = &mut sums[addend.flat / LANES][addend.flat % LANES];
        *sum = sum.plus(addend.value);
    }
}

/// What the tail makes of all sums, and how many values then differ.
#[inline(always)]
fn finish_all<W: Word>(around: At<'_, W>, now: &mut Wires<W>) -> usize {
    let step = STRETCH;
    let mut count = 0;
    let pieces = now.sums.chunks(step).zip(now.settled.chunks_mut(step)).zip(around.wires.settled.chunks(step));
    for ((sums, settled), golden) in pieces {
        settled.copy_from_slice(sums);
        around.layer.tail.apply(settled.as_flattened_mut());
        count += count_differing(settled.as_flattened(), golden.as_flattened());
    }
    count
}

/// Blocks that are finished together: long loops, and all in the nearest cache.
const STRETCH: usize = 16;

/// How many values differ.
#[inline(always)]
fn count_differing<W: Word>(values: &[W], golden: &[W]) -> usize {
    let mut count = 0;
    for (value, golden) in values.iter().zip(golden) {
        count += u32::from(value != golden);
    }
    cast::index(count)
}

/// Adds changed registers' addends to sums that are there, then does as [`carry_all`].
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn complete<W: Word>(around: At<'_, W>, own: &[Addend<W>], now: &mut Wires<W>) -> usize {
    add_own(own, &mut now.sums);
    finish_all(around, now)
}

/// Computes a layer from all values of its input, in bytes: fills `settled`, and tells how many values then differ behind
/// the layer.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn run_bytes<W: Word>(
    around: At<'_, W>,
    bytes: &ByteSums<W>,
    input: &[W],
    scratch: &mut ByteScratch,
    now: &mut Wires<W>,
) -> usize {
    let At { layer, wires, .. } = around;
    bytes.load(input, scratch);
    let step = TILE * layer.blocks;
    let mut count = 0;
    for (tile, (settled, golden)) in now.settled.chunks_mut(step).zip(wires.settled.chunks(step)).enumerate() {
        bytes.sum_up(layer, tile * TILE, scratch, settled);
        layer.tail.apply(settled.as_flattened_mut());
        count += count_differing(settled.as_flattened(), golden.as_flattened());
    }
    count
}

/// All sums of a layer from all values of its input, in bytes.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn sum_bytes<W: Word>(
    layer: &Layer<W>,
    bytes: &ByteSums<W>,
    input: &[W],
    scratch: &mut ByteScratch,
    sums: &mut [Block<W>],
) {
    bytes.load(input, scratch);
    for (tile, sums) in sums.chunks_mut(TILE * layer.blocks).enumerate() {
        bytes.sum_up(layer, tile * TILE, scratch, sums);
    }
}

/// Appends the values behind the layer that differ, in order.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn list_differences<W: Word>(around: At<'_, W>, settled: &[Block<W>], outgoing: &mut Vec<Changed<W>>) {
    for (block, (values, golden)) in settled.iter().zip(&around.wires.settled).enumerate() {
        for_each_lane(differing(values, golden), |lane| {
            outgoing.push(Changed { index: around.layer.target[block * LANES + lane], value: values[lane] });
        });
    }
}

/// What a row of flips changes behind the layer, where the taps of the row see `seen`.
///
/// `deltas` holds `layer.blocks` blocks per slot: what one flip per lane adds per unit of `x`. Hits are appended slot
/// by slot, then position by position, then lane by lane.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
pub(super) fn row_hits<W: Word>(around: At<'_, W>, deltas: &[Block<W>], seen: &[Seen<W>], hits: &mut Vec<Hit<W>>) {
    let layer = around.layer;
    let blocks = layer.blocks;
    for (slot, deltas) in deltas.chunks_exact(blocks).enumerate() {
        for Seen { position, x } in seen {
            let start = cast::index(*position) * blocks;
            let golden =
                around.wires.sums[start..start + blocks].iter().zip(&around.wires.settled[start..start + blocks]);
            for (block, (deltas, (sums, settled))) in deltas.iter().zip(golden).enumerate() {
                let mut values = *sums;
                for (value, delta) in values.iter_mut().zip(deltas) {
                    *value = value.plus(delta.times(*x));
                }
                layer.tail.apply(&mut values);
                let targets = &layer.target[(start + block) * LANES..(start + block + 1) * LANES];
                let first_lane = (slot * blocks + block) * LANES;
                for_each_lane(differing(&values, settled), |lane| {
                    let changed = Changed { index: targets[lane], value: values[lane] };
                    hits.push(Hit { lane: cast::id(first_lane + lane), changed });
                });
            }
        }
    }
}

/// Calls `visit` for every lane whose bit is set, lowest first.
#[inline(always)]
fn for_each_lane(mut lanes: u32, mut visit: impl FnMut(usize)) {
    while lanes != 0 {
        visit(cast::index(lanes.trailing_zeros()));
        lanes &= lanes - 1;
    }
}
