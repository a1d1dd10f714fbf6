//! `PartCounts`: how many multipliers, adders, multiplexers and registers a schedule builds, layer by layer.
//!
//! Counts only; what a part costs is the technology's. `docs/area_model.md` has the formulas.

use std::ops::Add;

use serde::Serialize;

use super::buffers::{count_buffers, count_registers};
use super::schedule::{Io, Schedule, Stage, Work};
use super::value_parts::{Copies, value_parts};
use crate::net::{Network, Node, NodeId, Op, Signal, TensorKind, WeightTensor, Window2d};
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
            match (node.inputs.first(), stage) {
                (Some(input), Some(stage)) if node.fan_in() > 0 => {
                    let source = &network.node(*input).signal;
                    let products = Products::of(network, node, &live[input.index()]);
                    layer.counts = Datapath { node, source, products }.parts(schedule.io, stage);
                }
                (Some(_), Some(stage)) => {
                    let copies = match schedule.io {
                        // One packet at a time.
                        Io::Stream => Copies::Packet { packets: stage.packets_out.max(1), work: stage.work },
                        Io::EconT | Io::Parallel => Copies::Frame { live: count(&live[id.index()]) },
                    };
                    layer = value_parts(network, node, copies);
                }
                _ => {}
            }
            layer
        })
        .collect();
    match schedule.io {
        Io::Stream => count_buffers(network, schedule, &mut parts),
        Io::Parallel => count_registers(network, schedule, &live, &mut parts),
        Io::EconT => {
            let held = latched_nodes(network);
            for (((_, node), part), (held, live)) in network.iter().zip(&mut parts).zip(held.iter().zip(&live)) {
                if *held {
                    part.counts.pipeline_bits += count(live) * u64::from(node.signal.width_bits());
                }
            }
        }
    }
    parts
}

pub(super) fn count(live: &[bool]) -> u64 {
    cast::u64_from_len(live.iter().filter(|value| **value).count())
}

/// Per node and value: whether it can differ from zero. Padding cannot, nor what is computed from padding alone.
fn live_values(network: &Network) -> Vec<Vec<bool>> {
    let mut live: Vec<Vec<bool>> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let source = node.inputs.first().map(|input| (network.node(*input), &live[input.index()]));
        let values = match (&node.op, source) {
            (Op::Quantize(_) | Op::Relu | Op::LeakyRelu { .. } | Op::Reshape, Some((_, source))) => source.clone(),
            (Op::Clip { low, high }, Some((_, source))) if (*low..=*high).contains(&0) => source.clone(),
            (Op::Add, Some((_, first))) => {
                let mut any = first.clone();
                for other in &node.inputs[1..] {
                    for (any, other) in any.iter_mut().zip(&live[other.index()]) {
                        *any |= *other;
                    }
                }
                any
            }
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
    for node in network.nodes().iter().filter(|node| node.fan_in() > 0) {
        for input in &node.inputs {
            latched[origin(*input).index()] = true;
        }
    }
    let last = NodeId(cast::id(network.nodes().len() - 1));
    latched[origin(last).index()] = true;
    latched
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

/// The products of a weighted layer.
struct Products {
    /// For each input of an output position, in how many positions it can differ from zero.
    uses: Vec<u64>,
    /// Outputs of a position that each of these inputs goes to.
    fan_out: u64,
    /// Which of them go to the same outputs: every so many-th.
    groups: usize,
    /// The sums of all positions.
    sums: Vec<Taps>,
}

impl Products {
    fn of(network: &Network, node: &Node, live: &[bool]) -> Self {
        let from = network.node(node.inputs[0]);
        let outputs = node.shape.last().copied().unwrap_or(1);
        let Some(window) = node.op.window() else {
            let uses = live.iter().map(|live| u64::from(*live)).collect();
            let fan_out = cast::u64_from_len(outputs);
            return Self { uses, fan_out, groups: 1, sums: vec![Taps { products: count(live), outputs: fan_out }] };
        };
        let input = map_shape(from);
        let [rows, columns, _] = map_shape(node);
        let groups = if matches!(node.op, Op::DepthwiseConv2d(_)) { input[2] } else { 1 };
        let fan_out = cast::u64_from_len(outputs / groups);
        let mut uses = vec![0; window.kernel[0] * window.kernel[1] * input[2]];
        let mut sums = Vec::with_capacity(rows * columns * groups);
        for index in 0..rows * columns {
            let mut taps = vec![Taps { products: 0, outputs: fan_out }; groups];
            for input in live_inputs(window, input, [index / columns, index % columns], live) {
                uses[input] += 1;
                taps[input % groups].products += 1;
            }
            sums.extend(taps);
        }
        Self { uses, fan_out, groups, sums }
    }

    /// The sums of one position that has all inputs which differ from zero in any.
    fn of_a_position(&self) -> Vec<Taps> {
        let mut taps = vec![Taps { products: 0, outputs: self.fan_out }; self.groups];
        for (tap, _) in self.uses.iter().enumerate().filter(|(_, uses)| **uses > 0) {
            taps[tap % self.groups].products += 1;
        }
        taps
    }
}

/// Inputs of one output position, counted as the window is, that can differ from zero.
fn live_inputs(window: &Window2d, input: [usize; 3], at: [usize; 2], live: &[bool]) -> impl Iterator<Item = usize> {
    let [rows, columns, channels] = input;
    let values = window.taps(at, [rows, columns]).flat_map(move |tap| {
        (0..channels).map(move |channel| (tap.place * channels + channel, tap.pixel * channels + channel))
    });
    values.filter(|(_, value)| live[*value]).map(|(input, _)| input)
}

/// What multiplies and adds in a weighted layer.
struct Datapath<'a> {
    node: &'a Node,
    source: &'a Signal,
    products: Products,
}

impl Datapath<'_> {
    fn parts(&self, io: Io, stage: &Stage) -> PartCounts {
        let bits = |tensor: &WeightTensor| cast::u64_from_len(tensor.len()) * u64::from(tensor.format().width());
        let parts = PartCounts {
            register_bits: self.node.op.tensors().map(|(_, tensor)| bits(tensor)).sum(),
            macs: self.products.sums.iter().map(|taps| taps.products * taps.outputs).sum(),
            ..PartCounts::default()
        };
        match io {
            Io::EconT => self.unrolled(parts),
            Io::Parallel | Io::Stream => self.in_partitions(parts, io, stage),
        }
    }

    /// A multiplier for every product of a frame, and a tree for every output value.
    fn unrolled(&self, mut parts: PartCounts) -> PartCounts {
        parts.multipliers = parts.macs;
        for taps in &self.products.sums {
            self.add_trees(&mut parts, *taps);
        }
        parts
    }

    /// Multipliers for one output position, each used for so many of its products as the reuse factor says; a scale and
    /// shift of whole frames has them for all positions.
    fn in_partitions(&self, mut parts: PartCounts, io: Io, stage: &Stage) -> PartCounts {
        let reuse_factor = stage.reuse_factor.get();
        let accumulator = u64::from(self.node.signal.width_bits());
        let is_whole = io == Io::Parallel && stage.work == Work::Scale;
        let taps = if is_whole { self.products.sums.clone() } else { self.products.of_a_position() };
        let products: u64 = taps.iter().map(|taps| taps.products * taps.outputs).sum();
        let outputs: u64 = taps.iter().map(|taps| taps.outputs).sum();
        parts.multipliers = products.div_ceil(reuse_factor);
        if stage.work != Work::Scale || reuse_factor > 1 {
            // What a step ends with, before it is handed on.
            parts.pipeline_bits = outputs * accumulator;
        }
        let x_bits = u64::from(self.source.width_bits());
        if reuse_factor == 1 {
            for taps in taps {
                self.add_trees(&mut parts, taps);
            }
        } else {
            // Every product is added to an accumulator, which starts at the bias.
            parts.adders = parts.multipliers;
            parts.adder_bits = parts.adders * accumulator;
            // Bringing k operands to one place takes k - 1 two-way choices.
            let operand_bits = u64::from(self.kernel().width()) + x_bits;
            let start_bits = if self.has_bias() { parts.pipeline_bits } else { 0 };
            parts.multiplexer_bits = (products - parts.multipliers) * operand_bits + start_bits;
        }
        if io == Io::Parallel && !is_whole {
            // The frame stands still, so each tap chooses among what it sees from position to position: one zero, if it
            // sees padding, is a choice too.
            let choices = |uses: &u64| (uses + u64::from(*uses < stage.partitions)).saturating_sub(1);
            let live = self.products.uses.iter().filter(|uses| **uses > 0);
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
pub(super) struct AdderTree {
    pub(super) adders: u64,
    pub(super) bits: u64,
}

impl AdderTree {
    pub(super) fn new(operands: u64, operand_bits: u32, accumulator_bits: u32) -> Self {
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
