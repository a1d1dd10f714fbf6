//! `AreaModel`: the area of a whole accelerator, part by part and layer by layer.
//!
//! Counts parts of the unrolled or partly unrolled datapath and multiplies by the technology's figures;
//! `docs/area_model.md` has the formulas. Clock tree, wiring, pads, control and scan are not counted.

use std::num::NonZeroU64;
use std::ops::Add;

use serde::Serialize;

use super::area::{Area, AreaUnit};
use super::technology::{Operand, Technology};
use super::tmr::Protection;
use crate::net::{Conv2d, Network, Node, NodeId, Op, Signal, TensorKind, WeightTensor};
use crate::num::{QFormat, cast};

/// Why an area cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// More bits are to be protected than the layer has.
    #[error("layer `{layer}`: {bits} bits are to be protected, but it has {available} register bits")]
    TooManyBits {
        /// The layer.
        layer: String,
        /// Bits to be protected.
        bits: u64,
        /// Register bits it has.
        available: u64,
    },
}

/// That many register bits of a layer, all protected alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtectedBits {
    /// The layer.
    pub node: NodeId,
    /// What protects each bit.
    pub protection: Protection,
    /// How many bits.
    pub bits: u64,
}

/// Area by kind of part.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct AreaBreakdown {
    /// Weight and bias registers, one flip-flop and load multiplexer per bit.
    pub registers: Area,
    /// What protecting them adds: further copies, voters, error flags.
    pub protection: Area,
    /// Multipliers.
    pub multipliers: Area,
    /// Adder trees, or the adders of the accumulators.
    pub adders: Area,
    /// What brings operands to multipliers that serve several products; nothing when fully unrolled.
    pub multiplexers: Area,
    /// Rounding, clipping and `ReLU`.
    pub quantizers: Area,
    /// Registers between layers, of the input, and of accumulators.
    pub pipeline: Area,
}

impl AreaBreakdown {
    /// Everything together.
    pub fn total(&self) -> Area {
        self.unprotected() + self.protection
    }

    /// Everything but the protection.
    pub fn unprotected(&self) -> Area {
        self.registers + self.multipliers + self.adders + self.multiplexers + self.quantizers + self.pipeline
    }
}

impl Add for AreaBreakdown {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            registers: self.registers + other.registers,
            protection: self.protection + other.protection,
            multipliers: self.multipliers + other.multipliers,
            adders: self.adders + other.adders,
            multiplexers: self.multiplexers + other.multiplexers,
            quantizers: self.quantizers + other.quantizers,
            pipeline: self.pipeline + other.pipeline,
        }
    }
}

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
        }
    }
}

/// Parts and area of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerArea {
    /// The layer's name.
    pub layer: String,
    /// Its parts.
    pub parts: PartCounts,
    /// What they cost.
    pub area: AreaBreakdown,
}

/// Area of an accelerator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AreaReport {
    /// Name of the technology.
    pub technology: String,
    /// What it counts in.
    pub unit: AreaUnit,
    /// One entry per node of the network, in its order.
    pub layers: Vec<LayerArea>,
    /// All layers together.
    pub parts: PartCounts,
    /// All layers together.
    pub area: AreaBreakdown,
}

impl AreaReport {
    /// Cost of the protection over the cost of the plain registers.
    pub fn overhead_on_registers(&self) -> f64 {
        self.area.protection.cost() / self.area.registers.cost()
    }

    /// Cost of the protection over the cost of the accelerator without it.
    pub fn overhead_on_accelerator(&self) -> f64 {
        self.area.protection.cost() / self.area.unprotected().cost()
    }
}

/// Area of a network in a technology, for any protection of its registers.
#[derive(Debug, Clone)]
pub struct AreaModel {
    technology: Technology,
    /// By node; `protection` is zero.
    layers: Vec<LayerArea>,
}

impl AreaModel {
    /// Counts the parts of `network`, every weighted layer with `reuse_factor` products per multiplier: 1 is fully
    /// unrolled (one multiplier per output position and tap), larger factors share multipliers over as many cycles.
    pub fn new(network: &Network, technology: &Technology, reuse_factor: NonZeroU64) -> Self {
        Self::with_reuse(network, technology, |_| reuse_factor)
    }

    /// As [`AreaModel::new`] with a reuse factor for each weighted layer.
    pub fn with_reuse(network: &Network, technology: &Technology, reuse_factor: impl Fn(NodeId) -> NonZeroU64) -> Self {
        let live = live_values(network);
        let latched = latched_nodes(network);
        let mut layers = Vec::with_capacity(network.nodes().len());
        for (id, node) in network.iter() {
            let mut layer =
                LayerArea { layer: node.name.clone(), parts: PartCounts::default(), area: AreaBreakdown::default() };
            if let Some(input) = node.inputs.first() {
                let source = &network.node(*input).signal;
                match &node.op {
                    Op::Dense(_) | Op::Conv2d(_) => {
                        let taps = taps_per_output(network, node, &live[input.index()]);
                        let datapath = Datapath { node, source, taps, reuse_factor: reuse_factor(id).get() };
                        layer.parts = datapath.parts();
                        layer.area = datapath.area(&layer.parts, technology);
                    }
                    op => {
                        let values = cast::f64_from_u64(count(&live[id.index()]));
                        layer.area.quantizers = elementwise(op, node, source, technology) * values;
                    }
                }
            }
            if latched[id.index()] {
                layer.parts.pipeline_bits += count(&live[id.index()]) * u64::from(node.signal.width_bits());
            }
            layer.area.pipeline = technology.flip_flop() * cast::f64_from_u64(layer.parts.pipeline_bits);
            layers.push(layer);
        }
        Self { technology: technology.clone(), layers }
    }

    /// The technology.
    pub const fn technology(&self) -> &Technology {
        &self.technology
    }

    /// Every register bit of the network protected alike.
    pub fn uniform(&self, protection: Protection) -> Vec<ProtectedBits> {
        let bits = |(index, layer): (usize, &LayerArea)| {
            let node = NodeId(cast::id(index));
            (layer.parts.register_bits > 0).then_some(ProtectedBits {
                node,
                protection,
                bits: layer.parts.register_bits,
            })
        };
        self.layers.iter().enumerate().filter_map(bits).collect()
    }

    /// The area with the given bits protected and all others plain.
    ///
    /// # Errors
    /// When a layer has fewer register bits than are to be protected.
    ///
    /// # Panics
    /// When a node is not one of the network's.
    pub fn report(&self, protected: &[ProtectedBits]) -> Result<AreaReport, AreaError> {
        let mut layers = self.layers.clone();
        let mut bits = vec![0_u64; layers.len()];
        for ProtectedBits { node, protection, bits: count } in protected {
            let layer = &mut layers[node.index()];
            bits[node.index()] += count;
            let (bits, available) = (bits[node.index()], layer.parts.register_bits);
            if bits > available {
                return Err(AreaError::TooManyBits { layer: layer.layer.clone(), bits, available });
            }
            layer.area.protection += self.technology.protection_bit(*protection) * cast::f64_from_u64(*count);
        }
        Ok(AreaReport {
            technology: self.technology.name().to_owned(),
            unit: self.technology.unit(),
            parts: layers.iter().fold(PartCounts::default(), |sum, layer| sum + layer.parts),
            area: layers.iter().fold(AreaBreakdown::default(), |sum, layer| sum + layer.area),
            layers,
        })
    }
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

/// Whether each node's values are held in a pipeline register: the input, and what weighted layers or the host read.
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
            let products = |index: usize| live_taps(conv, input, [index / columns, index % columns], live);
            (0..rows * columns).map(|index| Taps { products: products(index), outputs }).collect()
        }
        _ => vec![Taps { products: count(live), outputs: cast::u64_from_len(node.len()) }],
    }
}

/// Products of one output position and channel whose input can differ from zero.
fn live_taps(conv: &Conv2d, input: [usize; 3], at: [usize; 2], live: &[bool]) -> u64 {
    let [rows, columns, channels] = input;
    let mut taps = 0;
    for kernel_row in 0..conv.window.kernel[0] {
        let Some(row) = conv.window.input_row(at[0], kernel_row, rows) else { continue };
        for kernel_column in 0..conv.window.kernel[1] {
            let Some(column) = conv.window.input_column(at[1], kernel_column, columns) else { continue };
            let first = (row * columns + column) * channels;
            taps += count(&live[first..first + channels]);
        }
    }
    taps
}

/// What multiplies and adds in a weighted layer.
struct Datapath<'a> {
    node: &'a Node,
    source: &'a Signal,
    taps: Vec<Taps>,
    reuse_factor: u64,
}

impl Datapath<'_> {
    fn parts(&self) -> PartCounts {
        let accumulator = self.node.signal.width_bits();
        let has_bias = self.node.op.tensor(TensorKind::Bias).is_some();
        let macs: u64 = self.taps.iter().map(|taps| taps.products * taps.outputs).sum();
        let outputs: u64 = self.taps.iter().map(|taps| taps.outputs).sum();
        let bits = |tensor: &WeightTensor| cast::u64_from_len(tensor.len()) * u64::from(tensor.format().width());
        let mut parts = PartCounts {
            register_bits: self.node.op.tensors().map(|(_, tensor)| bits(tensor)).sum(),
            macs,
            multipliers: macs.div_ceil(self.reuse_factor),
            ..PartCounts::default()
        };
        if self.reuse_factor == 1 {
            let product = product_bits(self.kernel(), self.source);
            for taps in &self.taps {
                let tree = AdderTree::new(taps.products + u64::from(has_bias), product, accumulator);
                parts.adders += tree.adders * taps.outputs;
                parts.adder_bits += tree.bits * taps.outputs;
            }
        } else {
            // Every product is added to an accumulator, which starts at the bias.
            parts.adders = parts.multipliers;
            parts.adder_bits = parts.adders * u64::from(accumulator);
            parts.pipeline_bits = outputs * u64::from(accumulator);
            // Bringing k operands to one place takes k - 1 two-way choices.
            let operand_bits = u64::from(self.kernel().width()) + u64::from(self.source.width_bits());
            let start_bits = if has_bias { parts.pipeline_bits } else { 0 };
            parts.multiplexer_bits = (macs - parts.multipliers) * operand_bits + start_bits;
        }
        parts
    }

    /// Everything but the pipeline registers, which not only weighted layers have.
    fn area(&self, parts: &PartCounts, technology: &Technology) -> AreaBreakdown {
        let multiplier = technology.multiplier(Operand::from(self.kernel()), Operand::from(self.source));
        AreaBreakdown {
            registers: technology.register_bit(Protection::NONE) * cast::f64_from_u64(parts.register_bits),
            multipliers: multiplier * cast::f64_from_u64(parts.multipliers),
            adders: technology.adder_bit() * cast::f64_from_u64(parts.adder_bits),
            multiplexers: technology.mux2_bit() * cast::f64_from_u64(parts.multiplexer_bits),
            ..AreaBreakdown::default()
        }
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

/// One output value of a node that computes value by value.
fn elementwise(op: &Op, node: &Node, source: &Signal, technology: &Technology) -> Area {
    match op {
        Op::Quantize(quantizer) => technology.quantizer(source, quantizer),
        Op::Relu if source.low < 0 => technology.relu_bit() * f64::from(node.signal.width_bits()),
        _ => Area::ZERO,
    }
}

#[cfg(test)]
#[path = "area_model_tests.rs"]
mod tests;
