//! `PartCounts`: how many multipliers, adders, multiplexers and registers a schedule builds, layer by layer.
//!
//! Counts only; what a part costs is the technology's. `docs/area_model.md` has the formulas.

use std::ops::Add;

use serde::Serialize;

use super::schedule::{Io, Schedule, Stage, Work};
use crate::net::{Conv2d, Network, Node, NodeId, Op, Signal, TensorKind, WeightTensor};
use crate::num::{QFormat, cast};

/// How many parts a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PartCounts {
    /// Weight and bias register bits.
    pub register_bits: u64,
    /// Products per inference that can differ from zero.
    pub macs: u64,
    /// Multipliers that form them.
    pub multipliers: u64,
    /// Two-operand adders.
    pub adders: u64,
    /// Bits of all those adders.
    pub adder_bits: u64,
    /// Bits of two-way multiplexers.
    pub multiplexer_bits: u64,
    /// Bits of pipeline and accumulator registers.
    pub pipeline_bits: u64,
    /// Bits of FIFOs, line buffers and windows.
    pub buffer_bits: u64,
}

impl Add for PartCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            register_bits: self.register_bits + other.register_bits,
            macs: self.macs + other.macs,
            multipliers: self.multipliers + other.multipliers,
            adders: self.adders + other.adders,
            adder_bits: self.adder_bits + other.adder_bits,
            multiplexer_bits: self.multiplexer_bits + other.multiplexer_bits,
            pipeline_bits: self.pipeline_bits + other.pipeline_bits,
            buffer_bits: self.buffer_bits + other.buffer_bits,
        }
    }
}

/// Parts of one node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LayerParts {
    /// What can be counted without knowing the technology.
    pub counts: PartCounts,
    /// How often the node's value-by-value operation is built; 0 for a layer with weights.
    pub elementwise_values: u64,
}

/// Parts of every node of `network`, in its order, built by `schedule`.
///
/// # Panics
/// When `schedule` is not one of `network`.
pub(super) fn count_parts(network: &Network, schedule: &Schedule) -> Vec<LayerParts> {
    let live = live_values(network);
    let mut parts: Vec<LayerParts> = network
        .iter()
        .map(|(id, node)| {
            let stage = schedule.stages.iter().find(|stage| stage.nodes.contains(&id));
            let mut layer = LayerParts::default();
            match (&node.op, node.inputs.first()) {
                (Op::Dense(_) | Op::Conv2d(_), Some(input)) => {
                    let stage = stage.expect("every layer with weights has its stage");
                    let source = &network.node(*input).signal;
                    let uses = uses_of_taps(network, node, &live[input.index()]);
                    let taps = taps_per_output(network, node, &live[input.index()]);
                    layer.counts = Datapath { node, source, uses, taps }.parts(schedule.io, stage);
                }
                (_, Some(_)) if schedule.io == Io::Stream => {
                    // One packet at a time.
                    let packets = stage.map_or(1, |stage| stage.packets_in.max(1));
                    layer.elementwise_values = cast::u64_from_len(node.len()).div_ceil(packets);
                }
                _ => layer.elementwise_values = count(&live[id.index()]),
            }
            layer
        })
        .collect();
    match schedule.io {
        Io::Stream => count_buffers(network, schedule, &mut parts),
        io => {
            let held = if io == Io::EconT { latched_nodes(network) } else { stage_nodes(network, schedule) };
            for (((_, node), part), (held, live)) in network.iter().zip(&mut parts).zip(held.iter().zip(&live)) {
                if *held {
                    part.counts.pipeline_bits += count(live) * u64::from(node.signal.width_bits());
                }
            }
        }
    }
    parts
}

fn count(live: &[bool]) -> u64 {
    cast::u64_from_len(live.iter().filter(|value| **value).count())
}

/// Per node and value: whether it can differ from zero. Padding cannot, nor what is computed from padding alone.
fn live_values(network: &Network) -> Vec<Vec<bool>> {
    let mut live: Vec<Vec<bool>> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let source = node.inputs.first().map(|input| (network.node(*input), &live[input.index()]));
        let values = match (&node.op, source) {
            (Op::Quantize(_) | Op::Relu | Op::Reshape, Some((_, source))) => source.clone(),
            (Op::ZeroPad2d(padding), Some((input, source))) => {
                let [rows, columns, channels] = map_shape(input);
                let [_, padded_columns, _] = map_shape(node);
                let mut values = vec![false; node.len()];
                for row in 0..rows {
                    let from = row * columns * channels;
                    let to = ((row + padding.top) * padded_columns + padding.left) * channels;
                    values[to..to + columns * channels].copy_from_slice(&source[from..from + columns * channels]);
                }
                values
            }
            _ => vec![true; node.len()],
        };
        live.push(values);
    }
    live
}

/// Whether each node's values are held in a register of an unrolled design: the input, and what weighted layers or the
/// host read.
fn latched_nodes(network: &Network) -> Vec<bool> {
    let mut latched = vec![false; network.nodes().len()];
    latched[0] = true;
    // Wires and constants need no register of their own: go back to the node that makes the values.
    let origin = |mut id: NodeId| {
        while let (Op::Reshape | Op::ZeroPad2d(_), Some(input)) =
            (&network.node(id).op, network.node(id).inputs.first())
        {
            id = *input;
        }
        id
    };
    for (_, node) in network.iter().filter(|(_, node)| matches!(node.op, Op::Dense(_) | Op::Conv2d(_))) {
        for input in &node.inputs {
            latched[origin(*input).index()] = true;
        }
    }
    let last = NodeId(cast::id(network.nodes().len() - 1));
    latched[origin(last).index()] = true;
    latched
}

/// Whether each node's values stand in a register behind its stage; the input's in one in front of the first.
fn stage_nodes(network: &Network, schedule: &Schedule) -> Vec<bool> {
    let mut held = vec![false; network.nodes().len()];
    held[0] = true;
    for last in schedule.stages.iter().filter_map(|stage| stage.nodes.last()) {
        held[last.index()] = true;
    }
    held
}

/// Adds what a streaming design holds: a register for a packet of the input, the FIFO behind each stage, and what a
/// layer collects in front of its multipliers.
fn count_buffers(network: &Network, schedule: &Schedule, parts: &mut [LayerParts]) {
    let input = network.input();
    let packets = |count: u64| count.max(1);
    let first = packets(schedule.stages.first().map_or(1, |stage| stage.packets_in));
    parts[0].counts.pipeline_bits += (values(input) / first) * u64::from(input.signal.width_bits());
    let mut signal = &input.signal;
    // FIFOs behind zeros and repacking belong to the layer they are made for.
    let mut pending = 0;
    for stage in &schedule.stages {
        let values_in = values(network.node(stage.input));
        let in_front = values_in * u64::from(signal.width_bits());
        let values_out = match (stage.nodes.last(), stage.work) {
            (Some(id), _) => values(network.node(*id)),
            // Zeros lengthen a frame by whole pixels.
            (None, Work::Pad(_)) => values_in / packets(stage.packets_in) * stage.packets_out,
            (None, _) => values_in,
        };
        let Some(id) = stage.nodes.last() else {
            pending += values_out / packets(stage.packets_out) * stage.fifo_depth * u64::from(signal.width_bits());
            continue;
        };
        let node = network.node(*id);
        let collected = match &node.op {
            // A packet that is the whole frame stays where it is.
            Op::Dense(_) if stage.packets_in > 1 => in_front,
            Op::Conv2d(conv) => window_values(conv, &network.node(stage.input).shape) * u64::from(signal.width_bits()),
            _ => 0,
        };
        signal = &node.signal;
        let behind = values_out / packets(stage.packets_out) * stage.fifo_depth * u64::from(signal.width_bits());
        parts[id.index()].counts.buffer_bits += pending + collected + behind;
        pending = 0;
    }
}

fn values(node: &Node) -> u64 {
    cast::u64_from_len(node.len())
}

/// Values in the line buffer of a convolution, all rows of the window but one, and in its window.
fn window_values(conv: &Conv2d, map: &[usize]) -> u64 {
    let [rows, columns] = conv.window.kernel;
    let padded_columns = map[1] + conv.window.padding.left + conv.window.padding.right;
    cast::u64_from_len(((rows - 1) * padded_columns + rows * columns) * map[2])
}

fn map_shape(node: &Node) -> [usize; 3] {
    node.shape[..].try_into().expect("NetworkBuilder gives windows and padding feature maps only")
}

/// `outputs` sums of `products` live products each.
#[derive(Debug, Clone, Copy)]
struct Taps {
    products: u64,
    outputs: u64,
}

/// The sums of a weighted layer, one entry per position of a convolution.
fn taps_per_output(network: &Network, node: &Node, live: &[bool]) -> Vec<Taps> {
    match &node.op {
        Op::Conv2d(conv) => {
            let input = map_shape(network.node(node.inputs[0]));
            let [rows, columns, channels] = map_shape(node);
            let outputs = cast::u64_from_len(channels);
            let products = |index: usize| {
                let at = [index / columns, index % columns];
                cast::u64_from_len(live_taps(conv, input, at, live).count())
            };
            (0..rows * columns).map(|index| Taps { products: products(index), outputs }).collect()
        }
        _ => vec![Taps { products: count(live), outputs: cast::u64_from_len(node.len()) }],
    }
}

/// For each product of an output value, in how many positions its input can differ from zero.
fn uses_of_taps(network: &Network, node: &Node, live: &[bool]) -> Vec<u64> {
    let Op::Conv2d(conv) = &node.op else { return live.iter().map(|live| u64::from(*live)).collect() };
    let input = map_shape(network.node(node.inputs[0]));
    let [rows, columns, _] = map_shape(node);
    let mut uses = vec![0; node.fan_in()];
    for index in 0..rows * columns {
        for tap in live_taps(conv, input, [index / columns, index % columns], live) {
            uses[tap] += 1;
        }
    }
    uses
}

/// Products of one output position and channel, counted as the kernel is, whose input can differ from zero.
fn live_taps(conv: &Conv2d, input: [usize; 3], at: [usize; 2], live: &[bool]) -> impl Iterator<Item = usize> {
    let [rows, columns, channels] = input;
    let [kernel_rows, kernel_columns] = conv.window.kernel;
    (0..kernel_rows * kernel_columns * channels).filter(move |tap| {
        let (pixel, channel) = (tap / channels, tap % channels);
        let row = conv.window.input_row(at[0], pixel / kernel_columns, rows);
        let column = conv.window.input_column(at[1], pixel % kernel_columns, columns);
        row.zip(column).is_some_and(|(row, column)| live[(row * columns + column) * channels + channel])
    })
}

/// What multiplies and adds in a weighted layer.
struct Datapath<'a> {
    node: &'a Node,
    source: &'a Signal,
    uses: Vec<u64>,
    taps: Vec<Taps>,
}

impl Datapath<'_> {
    fn parts(&self, io: Io, stage: &Stage) -> PartCounts {
        let bits = |tensor: &WeightTensor| cast::u64_from_len(tensor.len()) * u64::from(tensor.format().width());
        let parts = PartCounts {
            register_bits: self.node.op.tensors().map(|(_, tensor)| bits(tensor)).sum(),
            macs: self.taps.iter().map(|taps| taps.products * taps.outputs).sum(),
            ..PartCounts::default()
        };
        if io == Io::EconT { self.unrolled(parts) } else { self.in_partitions(parts, io, stage) }
    }

    /// A multiplier for every product of a frame, and a tree for every output value.
    fn unrolled(&self, mut parts: PartCounts) -> PartCounts {
        parts.multipliers = parts.macs;
        for taps in &self.taps {
            self.add_trees(&mut parts, *taps);
        }
        parts
    }

    /// Multipliers for one output position, each used for so many of its products as the reuse factor says.
    fn in_partitions(&self, mut parts: PartCounts, io: Io, stage: &Stage) -> PartCounts {
        let reuse_factor = stage.reuse_factor.get();
        let accumulator = u64::from(self.node.signal.width_bits());
        let outputs = cast::u64_from_len(self.node.shape.last().copied().unwrap_or(1));
        let live_taps = cast::u64_from_len(self.uses.iter().filter(|uses| **uses > 0).count());
        let products = live_taps * outputs;
        parts.multipliers = products.div_ceil(reuse_factor);
        // What a step ends with, before it is handed on.
        parts.pipeline_bits = outputs * accumulator;
        let x_bits = u64::from(self.source.width_bits());
        if reuse_factor == 1 {
            self.add_trees(&mut parts, Taps { products: live_taps, outputs });
        } else {
            // Every product is added to an accumulator, which starts at the bias.
            parts.adders = parts.multipliers;
            parts.adder_bits = parts.adders * accumulator;
            // Bringing k operands to one place takes k - 1 two-way choices.
            let operand_bits = u64::from(self.kernel().width()) + x_bits;
            let start_bits = if self.has_bias() { parts.pipeline_bits } else { 0 };
            parts.multiplexer_bits = (products - parts.multipliers) * operand_bits + start_bits;
        }
        if io == Io::Parallel {
            // The frame stands still, so each tap chooses among what it sees from position to position: one zero, if it
            // sees padding, is a choice too.
            let choices = |uses: &u64| (uses + u64::from(*uses < stage.partitions)).saturating_sub(1);
            let live = self.uses.iter().filter(|uses| **uses > 0);
            parts.multiplexer_bits += live.map(choices).sum::<u64>() * x_bits;
        }
        parts
    }

    /// A balanced tree for every one of these sums, bias included.
    fn add_trees(&self, parts: &mut PartCounts, taps: Taps) {
        let product = product_bits(self.kernel(), self.source);
        let operands = taps.products + u64::from(self.has_bias());
        let tree = AdderTree::new(operands, product, self.node.signal.width_bits());
        parts.adders += tree.adders * taps.outputs;
        parts.adder_bits += tree.bits * taps.outputs;
    }

    fn has_bias(&self) -> bool {
        self.node.op.tensor(TensorKind::Bias).is_some()
    }

    fn kernel(&self) -> QFormat {
        self.node.op.tensor(TensorKind::Kernel).expect("a weighted layer has a kernel").format()
    }
}

/// Width of the narrowest register that holds every product of a weight and an input.
fn product_bits(weight: QFormat, x: &Signal) -> u32 {
    // In range: the network proved that the sum of all products needs at most 63 bits.
    let corners = [weight.min_raw(), weight.max_raw()].into_iter().flat_map(|w| [w * x.low, w * x.high]);
    let (low, high) = corners.fold((0, 0), |(low, high), value| (low.min(value), high.max(value)));
    Signal { frac_bits: 0, low, high }.width_bits()
}

/// A balanced tree of two-operand adders. Each level is one bit wider than the one before, up to the proven
/// accumulator.
struct AdderTree {
    adders: u64,
    bits: u64,
}

impl AdderTree {
    fn new(operands: u64, operand_bits: u32, accumulator_bits: u32) -> Self {
        let mut tree = Self { adders: 0, bits: 0 };
        let (mut left, mut width) = (operands, operand_bits);
        while left > 1 {
            width = (width + 1).min(accumulator_bits);
            tree.adders += left / 2;
            tree.bits += left / 2 * u64::from(width);
            left = left.div_ceil(2);
        }
        tree
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
