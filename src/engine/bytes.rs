//! `ByteSums`: all sums of a dense layer or a convolution from scratch, by dot products of bytes.
//!
//! For layers whose inputs and weights are bytes, on processors that have instructions for them; everything else goes
//! through the loops of `hw::datapath`. Equal to those, bit for bit: dot products and corrections are exact modulo 2^32,
//! and sums fit 32-bit words.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

pub(super) use super::vnni::TILE;
use super::vnni::{LANES as BYTE_LANES, Quad, Vnni, WeightBlock, Window};
use crate::hw::datapath::layer::{Core, Layer};
use crate::hw::datapath::word::{Block, LANES, Word};
use crate::net::{Network, Node, Signal, TensorKind, WeightTensor};
use crate::num::cast;

/// Inputs of a dot product.
const QUAD: usize = 4;

/// A layer in bytes.
#[derive(Debug, Clone)]
pub(super) struct ByteSums<W> {
    vnni: Vnni,
    map: Map,
    /// By block of output channels, then input.
    weights: Vec<Vec<WeightBlock>>,
    /// What is added to an input to make it an unsigned byte.
    offset: u8,
    /// What dot products start from: biases, less what the offsets add, where no lane is shifted.
    start: Vec<[i32; LANES]>,
    /// Otherwise, for each lane, its left shift and what is added then.
    align: Option<Vec<([u32; LANES], Block<W>)>>,
}

/// How inputs lie in memory: a map with its padding, the channels of a pixel filled up to whole quads. A vector is a map of
/// one pixel.
#[derive(Debug, Clone, Copy)]
struct Map {
    /// Rows and columns, without padding.
    inside: [usize; 2],
    /// Rows and columns of padding in front.
    before: [usize; 2],
    /// Rows and columns with padding.
    padded: [usize; 2],
    channels: usize,
    /// Quads of a pixel.
    quads: usize,
    /// What an output position sees.
    window: Window,
    stride: [usize; 2],
    out_columns: usize,
}

/// Memory for the inputs of a layer.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteScratch {
    inputs: Vec<Quad>,
}

impl<W: Word> ByteSums<W> {
    /// `None` when values or weights are no bytes, or the processor cannot multiply them.
    pub(super) fn new(network: &Network, layer: &Layer<W>, input: &Signal) -> Option<Self> {
        let vnni = Vnni::detect()?;
        // A block of words is a block of dot products.
        const { assert!(LANES == BYTE_LANES) };
        let node = network.node(layer.node);
        let tensor = node.op.tensor(TensorKind::Kernel)?;
        let is_sums = matches!(layer.core, Core::Sums) && W::BITS == i32::BITS;
        let offset = offset(input)?;
        if !is_sums || tensor.raw().iter().any(|raw| i8::try_from(*raw).is_err()) {
            return None;
        }
        let map = Map::new(network, node, layer.in_channels);
        let weights = (0..layer.blocks).map(|block| weight_blocks(tensor, block, &map)).collect();
        let mut start = layer.bias.clone();
        for (lane, start) in start.as_flattened_mut().iter_mut().enumerate().take(layer.channels) {
            let sum: i64 = tensor.raw().iter().skip(lane).step_by(layer.channels).sum();
            *start = start.minus(layer.aligned(TensorKind::Kernel, lane, i64::from(offset) * sum));
        }
        let shifts = &layer.product_align;
        let (start, align) = if shifts.iter().any(|by| *by > 0) {
            let mut align: Vec<([u32; LANES], Block<W>)> = start.into_iter().map(|start| ([0; LANES], start)).collect();
            for (lane, by) in shifts.iter().enumerate() {
                // Farther than the word is wide everything wraps to 0, which only happens where it is 0.
                align[lane / LANES].0[lane % LANES] = (*by).min(W::BITS - 1);
            }
            (vec![[0; LANES]; layer.blocks], Some(align))
        } else {
            (start.iter().map(|block| block.map(|word| cast::low_i32(word.wide()))).collect(), None)
        };
        Some(Self { vnni, map, weights, start, offset, align })
    }

    /// What it costs: dot products of four inputs with a block of weights.
    pub(super) fn operations(&self, layer: &Layer<W>) -> usize {
        layer.positions * layer.blocks * self.map.window.runs * self.map.window.len
    }

    /// Takes the values that the sums are made of.
    #[inline(always)]
    pub(super) fn load(&self, input: &[W], scratch: &mut ByteScratch) {
        let Map { inside: [rows, columns], before: [top, left], padded, channels, quads, .. } = self.map;
        let inputs = &mut scratch.inputs;
        inputs.clear();
        // Padding is zero, so the offset alone.
        inputs.resize(padded[0] * padded[1] * quads, [self.offset; QUAD]);
        let byte = |value: &W| value.low_byte().wrapping_add(self.offset);
        for row in 0..rows {
            let to = &mut inputs[((row + top) * padded[1] + left) * quads..][..columns * quads];
            let from = &input[row * columns * channels..][..columns * channels];
            if channels == quads * QUAD {
                for (to, from) in to.as_flattened_mut().iter_mut().zip(from) {
                    *to = byte(from);
                }
            } else {
                for (to, from) in to.chunks_exact_mut(quads).zip(from.chunks_exact(channels)) {
                    for (to, from) in to.as_flattened_mut().iter_mut().zip(from) {
                        *to = byte(from);
                    }
                }
            }
        }
    }

    /// The sums of some output positions, at most [`TILE`], from `first` on.
    #[inline(always)]
    pub(super) fn sum_up(&self, layer: &Layer<W>, first: usize, scratch: &ByteScratch, sums: &mut [Block<W>]) {
        let Map { padded, quads, window, stride, out_columns, .. } = self.map;
        if layer.positions == 1 && window.runs == 1 {
            for (block, (weights, sums)) in self.weights.iter().zip(sums).enumerate() {
                let mut products = self.vnni.row(&scratch.inputs, weights);
                for lane in 0..LANES {
                    products[lane] = products[lane].wrapping_add(self.start[block][lane]);
                }
                self.words(block, &products, sums);
            }
            return;
        }
        let bases = std::array::from_fn(|number| {
            // Positions beyond the last one are computed like it and not looked at.
            let position = (first + number).min(layer.positions - 1);
            let (row, column) = (position / out_columns, position % out_columns);
            (row * stride[0] * padded[1] + column * stride[1]) * quads
        });
        for (block, weights) in self.weights.iter().enumerate() {
            let mut products = [self.start[block]; TILE];
            self.vnni.tile(&window, &scratch.inputs, &bases, weights, &mut products);
            for number in 0..sums.len() / layer.blocks {
                self.words(block, &products[number], &mut sums[number * layer.blocks + block]);
            }
        }
    }

    /// Dot products as sums.
    #[inline(always)]
    fn words(&self, block: usize, products: &[i32; LANES], sums: &mut Block<W>) {
        // Blocks by value: nothing else can lie in the same memory, so this becomes vector instructions.
        let (products, mut words) = (*products, Block::default());
        for lane in 0..LANES {
            words[lane] = W::wrap(i64::from(products[lane]));
        }
        if let Some(align) = &self.align {
            let (by, start) = align[block];
            for lane in 0..LANES {
                words[lane] = words[lane].left(by[lane]).plus(start[lane]);
            }
        }
        *sums = words;
    }
}

impl Map {
    fn new(network: &Network, node: &Node, channels: usize) -> Self {
        let quads = channels.div_ceil(QUAD);
        let from = &network.node(node.inputs[0]).shape[..];
        let (Some(slid), [rows, columns, _]) = (node.op.window(), from) else {
            let window = Window { runs: 1, len: quads, apart: 0 };
            let one = [1, 1];
            let (inside, before, padded, stride) = (one, [0, 0], one, one);
            return Self { inside, before, padded, channels, quads, window, stride, out_columns: 1 };
        };
        let padding = slid.padding;
        let (rows, columns) = (*rows, *columns);
        let padded = [rows + padding.top + padding.bottom, columns + padding.left + padding.right];
        let window = Window { runs: slid.kernel[0], len: slid.kernel[1] * quads, apart: padded[1] * quads };
        Self {
            inside: [rows, columns],
            before: [padding.top, padding.left],
            padded,
            channels,
            quads,
            window,
            stride: slid.stride,
            out_columns: node.shape[1],
        }
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
fn weight_blocks(tensor: &WeightTensor, block: usize, map: &Map) -> Vec<WeightBlock> {
    let mut blocks = vec![[0; QUAD * LANES]; map.window.runs * map.window.len];
    for (input, row) in tensor.raw().chunks_exact(tensor.channels()).enumerate() {
        let (tap, channel) = (input / map.channels, input % map.channels);
        let quad = tap * map.quads + channel / QUAD;
        for (lane, raw) in row.iter().skip(block * LANES).take(LANES).enumerate() {
            blocks[quad][QUAD * lane + channel % QUAD] = i8::try_from(*raw).expect("the caller has checked");
        }
    }
    blocks
}
