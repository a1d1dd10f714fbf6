//! `ByteSums`: all sums of a dense layer or a convolution from scratch, by dot products of bytes.
//!
//! For layers whose inputs and weights are bytes, on processors that have instructions for them; everything else goes
//! through the loops of `hw::datapath`. Equal to those, bit for bit: dot products and corrections are exact modulo 2^32,
//! and sums fit 32-bit words.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use super::vnni::{LANES as BYTE_LANES, Quad, TILE, Vnni, WeightBlock};
use crate::hw::datapath::layer::{Core, Layer};
use crate::hw::datapath::word::{Block, LANES, Word};
use crate::net::{Network, Signal, TensorKind, WeightTensor};
use crate::num::cast;

/// Inputs of a dot product.
const QUAD: usize = 4;

/// A layer in bytes.
#[derive(Debug, Clone)]
pub(super) struct ByteSums<W> {
    vnni: Vnni,
    /// By block of output channels, then input.
    weights: Vec<Vec<WeightBlock>>,
    /// What is added to an input to make it an unsigned byte.
    offset: u8,
    /// What a sum starts from: bias, less what the offsets add.
    start: Vec<Block<W>>,
    /// Left shift of each lane.
    align: Option<Vec<[u32; LANES]>>,
    /// Products of a sum, in whole quads.
    quads: usize,
}

/// Memory for the inputs of a tile.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteScratch {
    input: Vec<u8>,
    rows: Vec<Quad>,
}

impl<W: Word> ByteSums<W> {
    /// `None` when values or weights are no bytes, or the processor cannot multiply them.
    pub(super) fn new(network: &Network, layer: &Layer<W>, input: &Signal) -> Option<Self> {
        let vnni = Vnni::detect()?;
        // A block of words is a block of dot products.
        const { assert!(LANES == BYTE_LANES) };
        let tensor = network.node(layer.node).op.tensor(TensorKind::Kernel)?;
        let is_sums = matches!(layer.core, Core::Sums) && W::BITS == i32::BITS;
        let offset = offset(input)?;
        if !is_sums || tensor.raw().iter().any(|raw| i8::try_from(*raw).is_err()) {
            return None;
        }
        let products = tensor.len() / layer.channels;
        let quads = products.div_ceil(QUAD);
        let weights = (0..layer.blocks).map(|block| weight_blocks(tensor, block, quads)).collect();
        let mut start = layer.bias.clone();
        for (lane, start) in start.as_flattened_mut().iter_mut().enumerate().take(layer.channels) {
            let sum: i64 = tensor.raw().iter().skip(lane).step_by(layer.channels).sum();
            *start = start.minus(layer.aligned(TensorKind::Kernel, lane, i64::from(offset) * sum));
        }
        let shifts = &layer.product_align;
        let align = shifts.iter().any(|by| *by > 0).then(|| {
            let mut align = vec![[0; LANES]; layer.blocks];
            for (align, by) in align.as_flattened_mut().iter_mut().zip(shifts) {
                // Farther than the word is wide everything wraps to 0, which only happens where it is 0.
                *align = (*by).min(W::BITS - 1);
            }
            align
        });
        Some(Self { vnni, weights, offset, start, align, quads })
    }

    /// What it costs: dot products of four inputs with a block of weights.
    pub(super) fn operations(&self, layer: &Layer<W>) -> usize {
        layer.positions * layer.blocks * self.quads
    }

    /// Calls `each(position, block, sums)` for every block of sums of `input`, position by position within a tile.
    #[inline(always)]
    pub(super) fn for_each(
        &self,
        layer: &Layer<W>,
        input: &[W],
        scratch: &mut ByteScratch,
        mut each: impl FnMut(usize, usize, Block<W>),
    ) {
        let ByteScratch { input: bytes, rows } = scratch;
        bytes.clear();
        bytes.extend(input.iter().map(|value| value.low_byte().wrapping_add(self.offset)));
        if layer.positions == 1 {
            rows.resize(self.quads, Quad::default());
            self.gather(layer, bytes, 0, rows);
            for (block, weights) in self.weights.iter().enumerate() {
                each(0, block, self.words(block, self.vnni.row(rows, weights)));
            }
            return;
        }
        rows.resize(self.quads * TILE, Quad::default());
        let mut sums = [[0; LANES]; TILE];
        for first in (0..layer.positions).step_by(TILE) {
            let tile = TILE.min(layer.positions - first);
            for (number, row) in rows.chunks_exact_mut(self.quads).take(tile).enumerate() {
                self.gather(layer, bytes, first + number, row);
            }
            for (block, weights) in self.weights.iter().enumerate() {
                let row = |number: usize| &rows[number * self.quads..][..self.quads];
                self.vnni.tile(std::array::from_fn(row), weights, &mut sums);
                for (number, sums) in sums.iter().enumerate().take(tile) {
                    each(first + number, block, self.words(block, *sums));
                }
            }
        }
    }

    /// What an output position sees, in the order of the weights; padding is a zero with its offset.
    fn gather(&self, layer: &Layer<W>, bytes: &[u8], position: usize, row: &mut [Quad]) {
        let (row, channels) = (row.as_flattened_mut(), layer.in_channels);
        if layer.is_dense {
            row[..bytes.len()].copy_from_slice(bytes);
            return;
        }
        let sees = layer.sees.get(position);
        if sees.len() * channels < row.len() {
            row.fill(self.offset);
        }
        // Taps side by side often see pixels side by side.
        for run in sees.chunk_by(|a, b| b.pixel == a.pixel + 1 && b.tap == a.tap + 1) {
            let (pixel, tap) = (cast::index(run[0].pixel) * channels, cast::index(run[0].tap) * channels);
            let len = run.len() * channels;
            row[tap..tap + len].copy_from_slice(&bytes[pixel..pixel + len]);
        }
    }

    /// Dot products as sums.
    #[inline(always)]
    fn words(&self, block: usize, sums: [i32; LANES]) -> Block<W> {
        let mut words = sums.map(|sum| W::wrap(i64::from(sum)));
        if let Some(align) = &self.align {
            for (word, by) in words.iter_mut().zip(align[block]) {
                *word = word.left(by);
            }
        }
        for (word, start) in words.iter_mut().zip(self.start[block]) {
            *word = word.plus(start);
        }
        words
    }
}

/// What makes unsigned bytes of a signal's values; `None` when nothing does.
fn offset(signal: &Signal) -> Option<u8> {
    match (signal.low, signal.high) {
        (0.., ..=255) => Some(0),
        (-128.., ..=127) => Some(128),
        _ => None,
    }
}

/// The weights of a block of output channels, four inputs side by side; zeros fill it up.
fn weight_blocks(tensor: &WeightTensor, block: usize, quads: usize) -> Vec<WeightBlock> {
    let channels = tensor.channels();
    let mut blocks = vec![[0; QUAD * LANES]; quads];
    for (input, row) in tensor.raw().chunks_exact(channels).enumerate() {
        for (lane, raw) in row.iter().skip(block * LANES).take(LANES).enumerate() {
            blocks[input / QUAD][QUAD * lane + input % QUAD] = i8::try_from(*raw).expect("the caller has checked");
        }
    }
    blocks
}
