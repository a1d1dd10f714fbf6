//! `Program`: a network prepared for evaluation in words of one width; as the unrolled accelerator computes it, and the
//! engine with it.
//!
//! The nodes between input and output are gathered into layers: sums of products, followed by a tail that treats every
//! value by itself (quantizers, `ReLU`) or moves it (reshape, padding). Dense layers and convolutions become one thing:
//! a dense layer is a convolution with one tap over a map of one pixel. Nodes that do not lead to the output are left
//! out. Preparing is done once per network; nothing here depends on an event or a fault.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use super::requantize::Requantizer;
use super::word::{Block, LANES, Word, fits, shifted};
use crate::net::{Conv2d, Network, Node, NodeId, Op, Padding2d, TensorKind};
use crate::num::cast;

/// A network in words of `W`.
#[derive(Debug, Clone)]
pub(crate) struct Program<W> {
    /// What happens to the input before the first layer.
    pub(crate) head: Head<W>,
    /// Sums of products with what follows each, from input to output.
    pub(crate) layers: Vec<Layer<W>>,
    /// Number of values the network gives.
    pub(crate) output_len: usize,
}

/// Elementwise operations on the input, and where its values go.
#[derive(Debug, Clone)]
pub(crate) struct Head<W> {
    pub(crate) tail: Tail<W>,
    /// Place behind it, by place in the input.
    pub(crate) target: Vec<u32>,
    /// Whether every value keeps its place.
    pub(crate) is_straight: bool,
}

/// Sums of products over the taps of a window, and the elementwise operations on the sums.
#[derive(Debug, Clone)]
pub(crate) struct Layer<W> {
    /// The weighted node.
    pub(crate) node: NodeId,
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
    /// Rows of weights `[tap, in_channel]` of `blocks` blocks, aligned to the accumulator's binary point.
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

/// Elementwise operations one after another.
#[derive(Debug, Clone)]
pub(crate) struct Tail<W> {
    steps: Vec<Step<W>>,
}

#[derive(Debug, Clone)]
enum Step<W> {
    Requantize(Requantizer<W>),
    Relu,
}

impl<W: Word> Tail<W> {
    /// What becomes of values; many at once are a loop for vector instructions.
    #[inline(always)]
    pub(crate) fn apply(&self, values: &mut [W]) {
        for step in &self.steps {
            match step {
                Step::Requantize(requantizer) => requantizer.apply(values),
                Step::Relu => {
                    for v in values.iter_mut() {
                        *v = (*v).max(W::default());
                    }
                }
            }
        }
    }
}

impl<W: Word> Layer<W> {
    /// Lanes in the sums of one position, those that only fill up included.
    pub(crate) const fn lanes(&self) -> usize {
        self.blocks * LANES
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

impl<W: Word> Program<W> {
    /// Prepares `network`; `None` when its values do not all fit these words (see [`fits`]).
    pub(crate) fn new(network: &Network) -> Option<Self> {
        let path = path_to_output(network);
        if !path.iter().all(|id| fits::<W>(&network.node(*id).signal)) {
            return None;
        }
        let weighted: Vec<usize> =
            (0..path.len()).filter(|at| network.node(path[*at]).op.tensor(TensorKind::Kernel).is_some()).collect();
        let (tail, len, target) = elementwise(network, &path[..weighted.first().copied().unwrap_or(path.len())]);
        let is_straight = target.iter().copied().eq(0..cast::id(target.len()));
        let mut program = Self { head: Head { tail, target, is_straight }, layers: Vec::new(), output_len: len };
        for (start, end) in weighted.iter().zip(weighted.iter().skip(1).chain([&path.len()])) {
            let layer = Layer::new(network, &path[*start..*end]);
            program.output_len = layer.target_len;
            program.layers.push(layer);
        }
        Some(program)
    }

    /// The layer a node's registers belong to; `None` when the output does not depend on the node.
    pub(crate) fn layer_of(&self, node: NodeId) -> Option<usize> {
        self.layers.iter().position(|layer| layer.node == node)
    }
}

/// The nodes from the input to the output.
fn path_to_output(network: &Network) -> Vec<NodeId> {
    let last = NodeId(cast::id(network.nodes().len() - 1));
    let before = |id: &NodeId| network.node(*id).inputs.first().copied();
    let mut path: Vec<NodeId> = std::iter::successors(Some(last), before).collect();
    path.reverse();
    path
}

/// The operations after the first node of a stretch, how many values there are behind them, and where each of the first
/// node's values is then.
fn elementwise<W: Word>(network: &Network, stretch: &[NodeId]) -> (Tail<W>, usize, Vec<u32>) {
    let mut from = network.node(stretch[0]);
    let mut target: Vec<u32> = (0..cast::id(from.len())).collect();
    let mut steps = Vec::new();
    for id in &stretch[1..] {
        let node = network.node(*id);
        match &node.op {
            Op::Quantize(quantizer) => steps.push(Step::Requantize(Requantizer::new(*quantizer, &from.signal))),
            Op::Relu => steps.push(Step::Relu),
            Op::Reshape => {}
            // Zeros stay zeros in every operation, so they may be put in at the end, wherever they come from.
            Op::ZeroPad2d(padding) => {
                for index in &mut target {
                    *index = padded_index(from, node, padding, *index);
                }
            }
            Op::Input(_) | Op::Dense(_) | Op::Conv2d(_) => unreachable!("stretches begin with these"),
            Op::DepthwiseConv2d(_)
            | Op::MaxPool2d(_)
            | Op::AveragePool2d(_)
            | Op::Add
            | Op::LeakyRelu { .. }
            | Op::Clip { .. } => unreachable!("no importer makes it yet"),
        }
        from = node;
    }
    (Tail { steps }, from.len(), target)
}

fn padded_index(from: &Node, node: &Node, padding: &Padding2d, index: u32) -> u32 {
    let row_len = from.shape[1] * from.shape[2];
    let (row, rest) = (cast::index(index) / row_len, cast::index(index) % row_len);
    cast::id(((row + padding.top) * node.shape[1] + padding.left) * node.shape[2] + rest)
}

impl<W: Word> Layer<W> {
    /// The layer of a weighted node and the elementwise nodes after it.
    fn new(network: &Network, stretch: &[NodeId]) -> Self {
        let node = network.node(stretch[0]);
        let from = network.node(node.inputs[0]);
        let (kernel, bias, in_channels, uses) = match &node.op {
            Op::Dense(layer) => {
                (&layer.kernel, layer.bias.as_ref(), from.len(), vec![(0, Use { position: 0, pixel: 0 })])
            }
            Op::Conv2d(layer) => (&layer.kernel, layer.bias.as_ref(), from.shape[2], uses(node, from, layer)),
            _ => unreachable!("a layer begins with a weighted node"),
        };
        let channels = kernel.channels();
        let (pixels, taps) = (from.len() / in_channels, kernel.len() / (in_channels * channels));
        let blocks = channels.div_ceil(LANES);
        let product_align: Vec<u32> = node.align.iter().map(|align| align.product).collect();
        let bias_align: Vec<u32> = node.align.iter().map(|align| align.bias).collect();
        let reach: Vec<(usize, Reach)> = uses
            .iter()
            .map(|(tap, at)| (cast::index(at.pixel), Reach { position: at.position, tap: cast::id(*tap) }))
            .collect();
        let sees: Vec<(usize, Sees)> = uses
            .iter()
            .map(|(tap, at)| (cast::index(at.position), Sees { pixel: at.pixel, tap: cast::id(*tap) }))
            .collect();
        let (tail, target_len, plain_target) = elementwise(network, stretch);
        let mut target = Vec::with_capacity(plain_target.len() / channels * blocks * LANES);
        for position in plain_target.chunks_exact(channels) {
            debug_assert!(position.windows(2).all(|pair| pair[1] == pair[0] + 1), "channels stay side by side");
            target.extend(position);
            target.resize(target.len().next_multiple_of(LANES), u32::MAX);
        }
        Self {
            node: stretch[0],
            is_dense: matches!(node.op, Op::Dense(_)),
            pixels,
            in_channels,
            positions: node.len() / channels,
            channels,
            blocks,
            kernel: rows(kernel.raw(), &product_align),
            bias: bias.map_or_else(|| vec![Block::default(); blocks], |bias| rows(bias.raw(), &bias_align)),
            product_align,
            bias_align,
            uses: Lists::new(taps, &uses),
            sees: Lists::new(node.len() / channels, &sees),
            reach: Lists::new(pixels, &reach),
            tail,
            target_len,
            target,
        }
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

/// Where the taps of a convolution are used: `(tap, use)`, output positions in order.
fn uses(node: &Node, from: &Node, layer: &Conv2d) -> Vec<(usize, Use)> {
    let [rows, columns] = [from.shape[0], from.shape[1]];
    let [out_rows, out_columns] = [node.shape[0], node.shape[1]];
    let [kernel_rows, kernel_columns] = layer.window.kernel;
    let mut uses = Vec::new();
    for out_row in 0..out_rows {
        for out_column in 0..out_columns {
            let position = cast::id(out_row * out_columns + out_column);
            for kernel_row in 0..kernel_rows {
                let Some(row) = layer.window.input_row(out_row, kernel_row, rows) else { continue };
                for kernel_column in 0..kernel_columns {
                    if let Some(column) = layer.window.input_column(out_column, kernel_column, columns) {
                        let pixel = cast::id(row * columns + column);
                        uses.push((kernel_row * kernel_columns + kernel_column, Use { position, pixel }));
                    }
                }
            }
        }
    }
    uses
}
