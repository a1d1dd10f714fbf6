//! `Schedule`: which stages an accelerator is built of, and how many cycles each takes.
//!
//! Made from a network and how it is to be built; no weights, no values. [`timing`] has the rules of single layers,
//! `docs/schedule.md` where they come from. [`Machine`](super::Machine) runs by it, cycle by cycle.

mod build;
mod flow;
pub mod timing;

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

pub(super) use flow::{padded_pixels, window_pixels};
use serde::{Deserialize, Serialize};
use timing::{Clock, Strategy};

use crate::net::{Network, Node, NodeId, Op, Padding2d};
use crate::num::cast;

/// Why a schedule cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A clock that does not tick.
    #[error("a clock of {mhz} MHz does not tick; give a positive, finite frequency")]
    Clock {
        /// The frequency given.
        mhz: f64,
    },
    /// Nothing to schedule.
    #[error("there is no layer to schedule")]
    NoLayers,
    /// Not a way to build a design.
    #[error("`{text}` is no io; write econ_t, parallel or stream")]
    UnknownIo {
        /// The text as given.
        text: String,
    },
    /// Not a strategy.
    #[error("`{text}` is no strategy; write latency or resource")]
    UnknownStrategy {
        /// The text as given.
        text: String,
    },
    /// Options for a layer without weights, or for none.
    #[error("layer `{layer}` has no weights to schedule; these layers have: {}", layers.join(", "))]
    UnknownLayer {
        /// The layer named.
        layer: String,
        /// Layers with weights.
        layers: Vec<String>,
    },
    /// Multipliers cannot be shared when everything happens in one cycle.
    #[error(
        "layer `{layer}`: io econ_t builds every multiplier, so reuse factor {reuse_factor} needs io parallel or stream"
    )]
    UnrolledReuse {
        /// The layer.
        layer: String,
        /// Its reuse factor.
        reuse_factor: NonZeroU64,
    },
    /// What cannot be unrolled.
    #[error(
        "layer `{layer}`: io econ_t builds layers in a row, not branches that meet; choose io stream or parallel (--io)"
    )]
    NotUnrolled {
        /// The layer in which branches meet.
        layer: String,
    },
}

/// How values come in and pass from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Io {
    /// As the ECON-T: everything unrolled, a whole frame in each cycle, a register behind each layer with weights.
    #[default]
    EconT,
    /// hls4ml `io_parallel`: a whole frame at once, layers iterate over output positions and shares of the products.
    Parallel,
    /// hls4ml `io_stream`: one pixel with all its channels after another, through FIFOs.
    Stream,
}

impl Io {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EconT, Self::Parallel, Self::Stream];

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EconT => "econ_t",
            Self::Parallel => "parallel",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Io {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let found = Self::ALL.into_iter().find(|io| io.name() == text.trim());
        found.ok_or_else(|| ScheduleError::UnknownIo { text: text.to_owned() })
    }
}

/// What is asked for one layer instead of what holds for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerOptions {
    /// Times each multiplier is used: per frame of a dense layer, per output position of a convolution.
    pub reuse_factor: Option<NonZeroU64>,
    /// How the products are built.
    pub strategy: Option<Strategy>,
}

/// How a network is to be built.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleOptions {
    /// How values come in.
    pub io: Io,
    /// The clock.
    pub clock: Clock,
    /// Reuse factor of all layers with weights.
    pub reuse_factor: NonZeroU64,
    /// Strategy of all layers with weights.
    pub strategy: Strategy,
    /// Other wishes, by layer name.
    pub layers: Vec<(String, LayerOptions)>,
    /// Most packets that a FIFO holds; a frame of them when absent.
    pub fifo_depth: Option<NonZeroU64>,
}

impl ScheduleOptions {
    /// Everything unrolled at 40 MHz.
    ///
    /// # Panics
    /// Never.
    pub fn econ_t() -> Self {
        Self {
            io: Io::EconT,
            clock: Clock::new(40.0).expect("40 MHz ticks"),
            reuse_factor: NonZeroU64::MIN,
            strategy: Strategy::Latency,
            layers: Vec::new(),
            fifo_depth: None,
        }
    }
}

/// What a stage does with the packets it takes. In `econ_t` and `parallel` a packet is a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// All its nodes on the whole frame within a cycle.
    Unrolled,
    /// Sums over all inputs; in a stream it gathers them first.
    Dense,
    /// Sums over windows, one output position after another.
    Conv2d,
    /// The same, each channel by itself.
    DepthwiseConv2d,
    /// Every value by itself times a weight of its channel, and a bias.
    Scale,
    /// Largest values or means of windows, in a stream with a line buffer.
    Pool,
    /// The same of a whole map of a stream, from pixel to pixel.
    GlobalPool,
    /// Packets of two or more inputs, value by value.
    Add,
    /// One packet in, the same to several stages, in a stream.
    Clone,
    /// Zeros around a map, in a stream also those that a convolution or pooling brings along.
    Pad(Padding2d),
    /// Every value by itself.
    Elementwise,
    /// Packets of another length, in a stream.
    Repack {
        /// Values in those that come in.
        from: usize,
        /// Values in those that go out.
        to: usize,
    },
}

/// Where packets of a stage come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Number of the stage in front; none where the host sends them.
    pub stage: Option<usize>,
    /// The node whose values come in.
    pub node: NodeId,
    /// Packets that the FIFO or register between them holds.
    pub fifo_depth: u64,
}

/// One stage and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Name of its layer; the zeros of a window are `layer.pad`, packets of another length `layer.repack`, and the copies
    /// of a layer's packets `layer.clone`.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// The nodes it computes, in order; empty for zeros, repacking and copies.
    pub nodes: Vec<NodeId>,
    /// Where its packets come from, in the order of the node's inputs; several of a sum only.
    pub sources: Vec<Source>,
    /// How products are built; as asked for the design where there are none.
    pub strategy: Strategy,
    /// Reuse factor asked for.
    pub asked_reuse: NonZeroU64,
    /// The legal reuse factor it has; 1 without weights.
    pub reuse_factor: NonZeroU64,
    /// Packets it takes per frame, of each source.
    pub packets_in: u64,
    /// Packets it gives per frame.
    pub packets_out: u64,
    /// Output positions that are computed one after another per frame; 1 without weights and when unrolled.
    pub partitions: u64,
    /// Cycles from the last one in which it works on a packet to the first in which the next stage can read the result.
    pub delay_cycles: u64,
    /// From its first packet of a frame to its last result.
    pub latency_cycles: u64,
}

/// The stages of an accelerator, each behind those that it reads and the output last, with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// How values come in.
    pub io: Io,
    /// The clock.
    pub clock: Clock,
    /// The stages.
    pub stages: Vec<Stage>,
    /// From a frame to its result, in cycles, as an hls4ml report has it.
    pub latency_cycles: u64,
    /// The same at worst.
    pub worst_latency_cycles: u64,
    /// From one frame to the next, in cycles, such that every frame passes as if it were alone.
    pub interval_cycles: u64,
    /// The same as an hls4ml report has it: in a stream, where packets may wait for a frame before, perhaps less.
    pub reported_interval_cycles: u64,
    /// Packets that the FIFO or register behind the last stage holds.
    pub output_depth: u64,
}

impl Schedule {
    /// The schedule of `network`; illegal reuse factors become the nearest legal ones (see [`Stage::asked_reuse`]).
    ///
    /// # Errors
    /// When options name a layer without weights, or factors and `io` contradict each other.
    pub fn new(network: &Network, options: &ScheduleOptions) -> Result<Self, ScheduleError> {
        let weighted = |node: &Node| node.fan_in() > 0;
        for (layer, _) in &options.layers {
            if !network.nodes().iter().any(|node| weighted(node) && node.name == *layer) {
                let layers = network.nodes().iter().filter(|node| weighted(node)).map(|node| node.name.clone());
                return Err(ScheduleError::UnknownLayer { layer: layer.clone(), layers: layers.collect() });
            }
        }
        let schedule = match options.io {
            Io::EconT => build::econ_t(network, options),
            Io::Parallel => build::parallel(network, options),
            Io::Stream => build::stream(network, options),
        }?;
        if schedule.stages.is_empty() { Err(ScheduleError::NoLayers) } else { Ok(schedule) }
    }

    /// Cycles from the one in which a frame stands at the first stage to the first in which its whole result can be
    /// read, when stages hand on packets as soon as they have them and nothing blocks.
    ///
    /// In a stream this is more than [`Schedule::latency_cycles`]: the report counts one cycle for the pipeline of every
    /// layer behind the slowest.
    pub fn machine_latency_cycles(&self, network: &Network) -> u64 {
        let passages = flow::passages(network, self.io, &self.stages);
        passages.last().and_then(|last| last.ready.last().copied()).unwrap_or(0)
    }

    /// Who reads the packets of a stage, of the host's when `stage` is none: numbers of stages and of their sources.
    pub fn readers(&self, stage: Option<usize>) -> impl Iterator<Item = (usize, usize)> + '_ {
        let sources = move |(reader, of): (usize, &Stage)| {
            let numbers = of.sources.iter().enumerate().filter(|(_, source)| source.stage == stage);
            numbers.map(|(number, _)| (reader, number)).collect::<Vec<_>>()
        };
        self.stages.iter().enumerate().flat_map(sources)
    }

    /// Packets that each FIFO or register behind a stage holds, in the order of its readers.
    pub fn depths_behind(&self, stage: usize) -> Vec<u64> {
        let depths: Vec<u64> =
            self.readers(Some(stage)).map(|(reader, source)| self.stages[reader].sources[source].fifo_depth).collect();
        if depths.is_empty() { vec![self.output_depth] } else { depths }
    }
}

impl Stage {
    /// The node whose values come in; of a sum the first.
    ///
    /// # Panics
    /// When it has no source: no schedule has such a stage.
    pub fn input(&self) -> NodeId {
        self.sources.first().expect("every stage reads something").node
    }

    /// Whether it has multipliers that its reuse factor is about.
    pub const fn has_weights(&self) -> bool {
        matches!(self.work, Work::Dense | Work::Conv2d | Work::DepthwiseConv2d | Work::Scale)
    }

    /// Whether the reuse factor is not the one asked for.
    pub fn is_legalized(&self) -> bool {
        self.asked_reuse != self.reuse_factor
    }
}

/// Why `io econ_t` cannot build a network, if it cannot: values that go past a layer would need registers to wait in.
pub fn not_unrolled(network: &Network) -> Option<ScheduleError> {
    let sum = network.nodes().iter().find(|node| node.op == Op::Add)?;
    Some(ScheduleError::NotUnrolled { layer: sum.name.clone() })
}

/// What is asked of a node, and the legal reuse factor for it.
struct Wish {
    strategy: Strategy,
    asked: NonZeroU64,
    legal: NonZeroU64,
}

impl ScheduleOptions {
    fn wish(&self, node: &Node) -> Wish {
        let own = self.layers.iter().rfind(|(layer, _)| *layer == node.name).map(|(_, own)| *own).unwrap_or_default();
        let strategy = own.strategy.unwrap_or(self.strategy);
        if node.fan_in() == 0 {
            return Wish { strategy, asked: NonZeroU64::MIN, legal: NonZeroU64::MIN };
        }
        let asked = own.reuse_factor.unwrap_or(self.reuse_factor);
        let [n_in, n_out] = [node.fan_in(), node.shape.last().copied().unwrap_or(1)].map(cast::u64_from_len);
        let legal = match node.op {
            // Products are dealt out in the order of the kernel, whatever channel they belong to.
            Op::DepthwiseConv2d(_) => timing::legal_reuse(n_in * n_out, 1, asked),
            _ => timing::legal_reuse(n_in, n_out, asked),
        };
        Wish { strategy, asked, legal }
    }
}

#[cfg(test)]
mod tests;
