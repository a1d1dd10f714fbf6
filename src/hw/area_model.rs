//! `AreaModel`: the area of a whole accelerator, part by part and layer by layer.
//!
//! Multiplies the parts that a schedule builds by the technology's figures; `docs/area_model.md` has the formulas. Clock
//! tree, wiring, pads, control and scan are not counted.

use std::ops::Add;

use serde::Serialize;

use super::area::{Area, AreaUnit};
use super::parts::{LayerParts, PartCounts, count_parts};
use super::schedule::Schedule;
use super::technology::{Operand, Technology};
use super::tmr::Protection;
use crate::net::{Network, Node, NodeId, Op, Signal, TensorKind};
use crate::num::cast;

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
    /// FIFOs, line buffers and windows of a streaming design; none otherwise.
    pub buffers: Area,
}

impl AreaBreakdown {
    /// Everything together.
    pub fn total(&self) -> Area {
        self.unprotected() + self.protection
    }

    /// Everything but the protection.
    pub fn unprotected(&self) -> Area {
        let logic = self.multipliers + self.adders + self.multiplexers + self.quantizers;
        self.registers + logic + self.pipeline + self.buffers
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
            buffers: self.buffers + other.buffers,
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
    /// Counts the parts of `network` as `schedule` builds it, and prices them.
    ///
    /// # Panics
    /// When `schedule` is not one of `network`.
    pub fn new(network: &Network, technology: &Technology, schedule: &Schedule) -> Self {
        let counts = count_parts(network, schedule);
        let price = |(parts, node): (LayerParts, &Node)| {
            let source = node.inputs.first().map(|input| &network.node(*input).signal);
            LayerArea { layer: node.name.clone(), area: area(&parts, node, source, technology), parts: parts.counts }
        };
        Self { technology: technology.clone(), layers: counts.into_iter().zip(network.nodes()).map(price).collect() }
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

/// What the parts of a layer cost; `source` is what it computes from.
fn area(parts: &LayerParts, node: &Node, source: Option<&Signal>, technology: &Technology) -> AreaBreakdown {
    let LayerParts { counts, elementwise_values } = parts;
    let of = |area: Area, count: u64| area * cast::f64_from_u64(count);
    let with_enable = technology.register_bit(Protection::NONE);
    let mut area = AreaBreakdown {
        registers: of(with_enable, counts.register_bits),
        adders: of(technology.adder_bit(), counts.adder_bits),
        multiplexers: of(technology.mux2_bit(), counts.multiplexer_bits),
        pipeline: of(technology.flip_flop(), counts.pipeline_bits),
        buffers: of(with_enable, counts.buffer_bits),
        ..AreaBreakdown::default()
    };
    if let Some(source) = source {
        if let Some(kernel) = node.op.tensor(TensorKind::Kernel) {
            let multiplier = technology.multiplier(Operand::from(kernel.format()), Operand::from(source));
            area.multipliers = of(multiplier, counts.multipliers);
        }
        area.quantizers = of(elementwise(&node.op, node, source, technology), *elementwise_values);
    }
    area
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
