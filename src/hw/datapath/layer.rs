//! `Layer`: one step of a [`Program`](super::program::Program): what is computed at every output position, and the
//! elementwise operations behind it.
//!
//! Dense layers and convolutions become one thing: a dense layer is a convolution with one tap over a map of one pixel.
//! So do the others: pools and depthwise convolutions are windows over every channel by itself, and a sum of maps has
//! one tap per map.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use super::tail::{Elementwise, Tail, elementwise};
use super::word::{Block, LANES, Word, shifted};
use crate::net::{Network, Node, NodeId, Op, TensorKind, WeightTensor, Window2d};
use crate::num::cast;

/// What a layer computes of what it sees.
#[derive(Debug, Clone)]
pub(crate) enum Core<W> {
    /// Sums of products: all channels of a pixel enter all channels of a position.
    Sums,
    /// Sums of products, channel by channel: lane `c` sees input channel `c / multiplier`.
    Channelwise {
        /// Output channels per input channel.
        multiplier: usize,
    },
    /// Sums of values, channel by channel, times a factor.
    Average {
        /// By output position.
        factors: Vec<W>,
    },
    /// Largest values, channel by channel.
    Max,
    /// Sums of the same place in all sources.
    Add {
        /// Left shift of each source.
        shifts: Vec<u32>,
    },
}

/// What is computed at every output position, called sums whatever it is, and the elementwise operations on the sums.
#[derive(Debug, Clone)]
pub(crate) struct Layer<W> {
    /// The node that computes; the one whose values are passed on where there is none.
    pub(crate) node: NodeId,
    /// Where its inputs come from: 0 is what the head gives, `i` what layer `i - 1` gives.
    pub(crate) sources: Vec<usize>,
    /// What it computes.
    pub(crate) core: Core<W>,
    /// Whether row `i` of the kernel stands for input value `i`, and there is one output position.
    pub(crate) is_dense: bool,
    /// Number of input pixels.
    pub(crate) pixels: usize,
    /// Number of input values per pixel.
    pub(crate) in_channels: usize,
    /// Number of output positions.
    pub(crate) positions: usize,
    /// Number of output channels.
    pub(crate) channels: usize,
    /// Blocks that hold the output channels of one position.
    pub(crate) blocks: usize,
    /// Rows of weights `[tap, in_channel]` (channel by channel: `[tap]`) of `blocks` blocks, aligned to the accumulator's
    /// binary point; empty where there are no weights.
    pub(crate) kernel: Vec<Block<W>>,
    /// One row of biases, aligned.
    pub(crate) bias: Vec<Block<W>>,
    /// Left shift of each channel's products and bias that aligns them.
    pub(crate) product_align: Vec<u32>,
    pub(crate) bias_align: Vec<u32>,
    /// Where each tap is used.
    pub(crate) uses: Lists<Use>,
    /// What each output position sees.
    pub(crate) sees: Lists<Sees>,
    /// Where each input pixel goes.
    pub(crate) reach: Lists<Reach>,
    /// What happens to the sums.
    pub(crate) tail: Tail<W>,
    /// Number of values behind the tail.
    pub(crate) target_len: usize,
    /// Place behind the tail, by output position and lane; `u32::MAX` where a lane only fills up a block.
    pub(crate) target: Vec<u32>,
}

/// A tap at one output position sees one input pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) position: u32,
    pub(crate) pixel: u32,
}

/// An output position sees one input pixel through one tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sees {
    pub(crate) pixel: u32,
    pub(crate) tap: u32,
}

/// An input pixel enters one output position through one tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) position: u32,
    pub(crate) tap: u32,
}

/// Lists of unequal length in one piece of memory.
#[derive(Debug, Clone)]
pub(crate) struct Lists<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy> Lists<T> {
    /// `count` lists out of `(list, item)` pairs; within a list the order is kept.
    pub(crate) fn new(count: usize, pairs: &[(usize, T)]) -> Self {
        let mut lists = Self { starts: vec![0], items: Vec::with_capacity(pairs.len()) };
        let mut sorted: Vec<&(usize, T)> = pairs.iter().collect();
        sorted.sort_by_key(|(list, _)| *list);
        let mut rest = sorted.into_iter().peekable();
        for list in 0..count {
            while let Some((_, item)) = rest.next_if(|(of, _)| *of == list) {
                lists.items.push(*item);
            }
            lists.starts.push(cast::id(lists.items.len()));
        }
        lists
    }

    #[inline(always)]
    pub(crate) fn get(&self, list: usize) -> &[T] {
        &self.items[cast::index(self.starts[list])..cast::index(self.starts[list + 1])]
    }
}

impl<W: Word> Layer<W> {
    /// Lanes in the sums of one position, those that only fill up included.
    pub(crate) const fn lanes(&self) -> usize {
        self.blocks * LANES
    }

    /// Whether it has weights.
    pub(crate) const fn has_registers(&self) -> bool {
        matches!(self.core, Core::Sums | Core::Channelwise { .. })
    }

    /// Puts `raw` into the place of a weight or bias register.
    ///
    /// # Panics
    /// When the layer has no such register.
    pub(crate) fn set(&mut self, tensor: TensorKind, index: usize, raw: i64) {
        let (row, lane) = (index / self.channels, index % self.channels);
        let value = self.aligned(tensor, lane, raw);
        let rows = match tensor {
            TensorKind::Kernel => &mut self.kernel,
            TensorKind::Bias => &mut self.bias,
        };
        rows[row * self.blocks + lane / LANES][lane % LANES] = value;
    }

    /// What `delta` more in a register of output channel `lane` adds per unit of its input (a bias: adds).
    pub(crate) fn aligned(&self, tensor: TensorKind, lane: usize, delta: i64) -> W {
        let by = match tensor {
            TensorKind::Kernel => self.product_align[lane],
            TensorKind::Bias => self.bias_align[lane],
        };
        shifted(delta, by)
    }
}

/// Aligned registers in rows of whole blocks.
fn rows<W: Word>(raw: &[i64], align: &[u32]) -> Vec<Block<W>> {
    let mut blocks = Vec::new();
    for row in raw.chunks_exact(align.len()) {
        for (values, align) in row.chunks(LANES).zip(align.chunks(LANES)) {
            let mut block = Block::default();
            for ((lane, raw), by) in block.iter_mut().zip(values).zip(align) {
                *lane = shifted(*raw, *by);
            }
            blocks.push(block);
        }
    }
    blocks
}

/// A node that computes, the nodes it reads, and the elementwise nodes behind it.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// The node that computes; where values are only passed on, the node they come from.
    pub(crate) core: NodeId,
    /// Whether they are.
    pub(crate) passes_on: bool,
    /// See [`Layer::sources`].
    pub(crate) sources: Vec<usize>,
    /// The elementwise nodes, in their order.
    pub(crate) after: Vec<NodeId>,
}

/// What a layer is made of before its tail is known.
struct Parts<'n, W> {
    core: Core<W>,
    kernel: Option<&'n WeightTensor>,
    bias: Option<&'n WeightTensor>,
    in_channels: usize,
    uses: Vec<(usize, Use)>,
}

impl<W: Word> Layer<W> {
    /// The layer of a stretch.
    pub(crate) fn new(network: &Network, stretch: &Stretch) -> Self {
        let node = network.node(stretch.core);
        let Parts { core, kernel, bias, in_channels, uses } =
            if stretch.passes_on { passed_on(node) } else { parts(network, node) };
        let from = if stretch.passes_on { node } else { network.node(node.inputs[0]) };
        let channels = node.shape.last().copied().expect("a node has a shape");
        let (pixels, positions) = (from.len() / in_channels, node.len() / channels);
        let taps = uses.iter().map(|(tap, _)| tap + 1).max().unwrap_or(0);
        let taps = kernel.map_or(taps, |kernel| match core {
            Core::Channelwise { .. } => kernel.len() / channels,
            _ => kernel.len() / (in_channels * channels),
        });
        let blocks = channels.div_ceil(LANES);
        let align = |of: fn(&crate::net::Align) -> u32| match node.align.len() {
            0 => vec![0; channels],
            _ => node.align.iter().map(of).collect::<Vec<u32>>(),
        };
        let (product_align, bias_align) = (align(|align| align.product), align(|align| align.bias));
        let reach =
            uses.iter().map(|(tap, at)| (cast::index(at.pixel), Reach { position: at.position, tap: cast::id(*tap) }));
        let sees =
            uses.iter().map(|(tap, at)| (cast::index(at.position), Sees { pixel: at.pixel, tap: cast::id(*tap) }));
        let Elementwise { tail, len, target: plain_target } = elementwise(network, stretch.core, &stretch.after);
        let mut target = Vec::with_capacity(plain_target.len() / channels * blocks * LANES);
        for position in plain_target.chunks_exact(channels) {
            debug_assert!(position.windows(2).all(|pair| pair[1] == pair[0] + 1), "channels stay side by side");
            target.extend(position);
            target.resize(target.len().next_multiple_of(LANES), u32::MAX);
        }
        Self {
            node: stretch.core,
            sources: stretch.sources.clone(),
            is_dense: matches!(core, Core::Sums) && (taps, positions, pixels) == (1, 1, 1),
            core,
            pixels,
            in_channels,
            positions,
            channels,
            blocks,
            kernel: kernel.map_or_else(Vec::new, |kernel| rows(kernel.raw(), &product_align)),
            bias: bias.map_or_else(|| vec![Block::default(); blocks], |bias| rows(bias.raw(), &bias_align)),
            product_align,
            bias_align,
            uses: Lists::new(taps, &uses),
            sees: Lists::new(positions, &sees.collect::<Vec<_>>()),
            reach: Lists::new(pixels, &reach.collect::<Vec<_>>()),
            tail,
            target_len: len,
            target,
        }
    }
}

/// The values of `node` as they are.
fn passed_on<'n, W>(node: &Node) -> Parts<'n, W> {
    let in_channels = node.shape.last().copied().expect("a node has a shape");
    Parts { core: Core::Add { shifts: vec![0] }, kernel: None, bias: None, in_channels, uses: Vec::new() }
}

fn parts<'n, W: Word>(network: &Network, node: &'n Node) -> Parts<'n, W> {
    let from = network.node(node.inputs[0]);
    let channels = from.shape.last().copied().expect("a node has a shape");
    let slid = |window: &Window2d| uses(node, from, window);
    match &node.op {
        Op::Dense(layer) => Parts {
            core: Core::Sums,
            kernel: Some(&layer.kernel),
            bias: layer.bias.as_ref(),
            in_channels: from.len(),
            uses: vec![(0, Use { position: 0, pixel: 0 })],
        },
        Op::Conv2d(layer) => Parts {
            core: Core::Sums,
            kernel: Some(&layer.kernel),
            bias: layer.bias.as_ref(),
            in_channels: channels,
            uses: slid(&layer.window),
        },
        Op::DepthwiseConv2d(layer) => Parts {
            core: Core::Channelwise { multiplier: layer.kernel.channels() / channels },
            kernel: Some(&layer.kernel),
            bias: layer.bias.as_ref(),
            in_channels: channels,
            uses: slid(&layer.window),
        },
        Op::MaxPool2d(window) => {
            Parts { core: Core::Max, kernel: None, bias: None, in_channels: channels, uses: slid(window) }
        }
        Op::AveragePool2d(pool) => {
            let map = [from.shape[0], from.shape[1]];
            let at = |position: usize| [position / node.shape[1], position % node.shape[1]];
            let factor = |position| W::wrap(pool.reciprocal(pool.window.count(at(position), map)));
            let factors = (0..node.shape[0] * node.shape[1]).map(factor).collect();
            let core = Core::Average { factors };
            Parts { core, kernel: None, bias: None, in_channels: channels, uses: slid(&pool.window) }
        }
        Op::Add => {
            let shift = |id: &NodeId| node.signal.frac_bits - network.node(*id).signal.frac_bits;
            let shifts = node.inputs.iter().map(|id| u32::try_from(shift(id)).expect("the sum has the finest step"));
            let core = Core::Add { shifts: shifts.collect() };
            Parts { core, kernel: None, bias: None, in_channels: channels, uses: Vec::new() }
        }
        Op::Input(_)
        | Op::Quantize(_)
        | Op::Relu
        | Op::LeakyRelu { .. }
        | Op::Clip { .. }
        | Op::Reshape
        | Op::ZeroPad2d(_) => unreachable!("{} computes nothing by itself", node.name),
    }
}

/// Where the taps of a window are used: `(tap, use)`, output positions in order.
fn uses(node: &Node, from: &Node, window: &Window2d) -> Vec<(usize, Use)> {
    let mut uses = Vec::new();
    for position in 0..node.shape[0] * node.shape[1] {
        let at = [position / node.shape[1], position % node.shape[1]];
        let taps = window.taps(at, [from.shape[0], from.shape[1]]);
        uses.extend(taps.map(|tap| {
            let at = Use { position: cast::id(position), pixel: cast::id(tap.pixel) };
            (tap.place, at)
        }));
    }
    uses
}
