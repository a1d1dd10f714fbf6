//! `Schedule`: which stages an accelerator is built of, and how many cycles each takes.
//!
//! Made from a network and how it is to be built; no weights, no values. [`timing`] has the rules of single layers,
//! `docs/schedule.md` where they come from. [`Machine`](super::Machine) runs by it, cycle by cycle.

pub mod timing;

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use timing::{Clock, LayerShape, Strategy, StreamLayer};

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
    /// Zeros around a map, in a stream also those that a convolution brings along.
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

/// One stage and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Name of its layer; the zeros of a convolution are `layer.pad`.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// The nodes it computes, in order; empty for the zeros of a convolution.
    pub nodes: Vec<NodeId>,
    /// The node whose values come in.
    pub input: NodeId,
    /// How products are built; as asked for the design where there are none.
    pub strategy: Strategy,
    /// Reuse factor asked for.
    pub asked_reuse: NonZeroU64,
    /// The legal reuse factor it has; 1 without weights.
    pub reuse_factor: NonZeroU64,
    /// Packets it takes per frame.
    pub packets_in: u64,
    /// Packets it gives per frame.
    pub packets_out: u64,
    /// Output positions that are computed one after another per frame; 1 without weights and when unrolled.
    pub partitions: u64,
    /// Cycles from the last one in which it works on a packet to the first in which the next stage can read the result.
    pub delay_cycles: u64,
    /// From its first packet of a frame to its last result.
    pub latency_cycles: u64,
    /// Packets that the FIFO or register behind it holds.
    pub fifo_depth: u64,
}

/// The stages of an accelerator in the order of the data, with its times.
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
    /// From one frame to the next, in cycles.
    pub interval_cycles: u64,
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
        match options.io {
            Io::EconT => econ_t(network, options),
            Io::Parallel => Ok(parallel(network, options)),
            Io::Stream => stream(network, options),
        }
    }

    /// Cycles from the one in which a frame stands at the first stage to the first in which its whole result can be
    /// read, when stages hand on packets as soon as they have them and nothing blocks.
    ///
    /// In a stream this is more than [`Schedule::latency_cycles`]: the report counts one cycle for the pipeline of every
    /// layer behind the slowest.
    pub fn machine_latency_cycles(&self, network: &Network) -> u64 {
        if self.io != Io::Stream {
            // A frame is with one stage at a time.
            return self.stages.iter().map(|stage| stage.latency_cycles).sum();
        }
        let mut ready: Vec<u64> = (0..self.stages.first().map_or(1, |first| first.packets_in)).collect();
        for stage in &self.stages {
            ready = stage.results_ready(network, &ready);
        }
        ready.last().copied().unwrap_or(0)
    }
}

impl Stage {
    /// When its results can be read, given when its packets can: of one frame, in a machine in which nothing blocks.
    fn results_ready(&self, network: &Network, packets: &[u64]) -> Vec<u64> {
        let reuse = self.reuse_factor.get();
        // Cycles in which packets are taken, so many cycles apart.
        let taken = |apart: u64| {
            let mut next = 0;
            packets
                .iter()
                .map(|ready| {
                    let at = next.max(*ready);
                    next = at + apart;
                    at
                })
                .collect::<Vec<u64>>()
        };
        match self.work {
            Work::Dense => taken(1).last().map(|at| at + reuse - 1 + self.delay_cycles).into_iter().collect(),
            Work::Conv2d => {
                let taken = taken(reuse);
                let completes = window_pixels(network, self.nodes[0]);
                completes.into_iter().map(|pixel| taken[pixel] + reuse - 1 + self.delay_cycles).collect()
            }
            Work::Unrolled | Work::Elementwise => taken(1).into_iter().map(|at| at + self.delay_cycles).collect(),
            Work::Pad(padding) => {
                // Not before the first pixel is there.
                let mut next = packets.first().copied().unwrap_or(0);
                let inside = padded_pixels(&network.node(self.input).shape, padding);
                let mut given = packets.iter();
                let ready = |is_inside: bool| {
                    let ready = if is_inside { given.next().copied().unwrap_or(0) } else { 0 };
                    let at = ready.max(next);
                    next = at + 1;
                    at + self.delay_cycles
                };
                inside.into_iter().map(ready).collect()
            }
            Work::Repack { from, to } => {
                let (mut now, mut held, mut given, mut ready) = (0, 0, packets.iter(), Vec::new());
                while cast::u64_from_len(ready.len()) < self.packets_out {
                    if held < to {
                        let Some(at) = given.next() else { break };
                        now = now.max(*at);
                        held += from;
                    }
                    if held >= to {
                        held -= to;
                        ready.push(now + self.delay_cycles);
                    }
                    now += 1;
                }
                ready
            }
        }
    }

    /// Whether the reuse factor is not the one asked for.
    pub fn is_legalized(&self) -> bool {
        self.asked_reuse != self.reuse_factor
    }
}

/// For each output position of a convolution, the pixel of its padded input that completes the window.
pub(super) fn window_pixels(network: &Network, id: NodeId) -> Vec<usize> {
    let node = network.node(id);
    let Op::Conv2d(conv) = &node.op else { unreachable!("only convolutions have windows") };
    let padding = conv.window.padding;
    let columns = network.node(node.inputs[0]).shape[1] + padding.left + padding.right;
    let last = |out: usize, axis: usize| out * conv.window.stride[axis] + conv.window.kernel[axis] - 1;
    (0..node.shape[0])
        .flat_map(|row| (0..node.shape[1]).map(move |column| (row, column)))
        .map(|(row, column)| last(row, 0) * columns + last(column, 1))
        .collect()
}

/// For each pixel of a padded map of `[rows, columns, ..]`, in order, whether it comes from the map.
pub(super) fn padded_pixels(map: &[usize], padding: Padding2d) -> Vec<bool> {
    let (rows, columns) = (map[0], map[1]);
    let inside = |at: usize, before: usize, len: usize| (before..before + len).contains(&at);
    (0..rows + padding.top + padding.bottom)
        .flat_map(|row| (0..columns + padding.left + padding.right).map(move |column| (row, column)))
        .map(|(row, column)| inside(row, padding.top, rows) && inside(column, padding.left, columns))
        .collect()
}

/// The nodes from the input to the output, the input left out.
fn path(network: &Network) -> Vec<NodeId> {
    let last = network.iter().next_back().map(|(id, _)| id);
    let mut path: Vec<NodeId> = std::iter::successors(last, |id| network.node(*id).inputs.first().copied()).collect();
    path.reverse();
    path.split_off(1)
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
        let channels = node.shape.last().copied().unwrap_or(1);
        let legal = timing::legal_reuse(cast::u64_from_len(node.fan_in()), cast::u64_from_len(channels), asked);
        Wish { strategy, asked, legal }
    }
}

/// A stage that has no time yet.
fn stage(network: &Network, id: NodeId, work: Work, options: &ScheduleOptions) -> Stage {
    let node = network.node(id);
    let wish = options.wish(node);
    Stage {
        name: node.name.clone(),
        work,
        nodes: vec![id],
        input: node.inputs[0],
        strategy: wish.strategy,
        asked_reuse: wish.asked,
        reuse_factor: wish.legal,
        packets_in: 1,
        packets_out: 1,
        partitions: 1,
        delay_cycles: 1,
        latency_cycles: 1,
        fifo_depth: 1,
    }
}

fn work_of(node: &Node) -> Work {
    match &node.op {
        Op::Dense(_) => Work::Dense,
        Op::Conv2d(_) => Work::Conv2d,
        Op::ZeroPad2d(padding) => Work::Pad(*padding),
        Op::Input(_) | Op::Quantize(_) | Op::Relu | Op::Reshape => Work::Elementwise,
        Op::DepthwiseConv2d(_)
        | Op::MaxPool2d(_)
        | Op::AveragePool2d(_)
        | Op::Add
        | Op::LeakyRelu { .. }
        | Op::Clip { .. } => unreachable!("no importer makes it yet"),
    }
}

fn econ_t(network: &Network, options: &ScheduleOptions) -> Result<Schedule, ScheduleError> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut layers_in_front = 0;
    for id in path(network) {
        let node = network.node(id);
        let has_weights = node.fan_in() > 0;
        let mut next = stage(network, id, Work::Unrolled, options);
        if has_weights && next.asked_reuse.get() > 1 {
            return Err(ScheduleError::UnrolledReuse { layer: next.name, reuse_factor: next.asked_reuse });
        }
        match stages.last_mut() {
            // What comes before the first layer with weights is part of its stage.
            Some(stage) if !has_weights || layers_in_front == 0 => {
                stage.nodes.push(id);
                if has_weights {
                    stage.name = next.name;
                }
            }
            _ => {
                next.reuse_factor = NonZeroU64::MIN;
                stages.push(next);
            }
        }
        layers_in_front += usize::from(has_weights);
    }
    let latency_cycles = cast::u64_from_len(stages.len());
    Ok(Schedule {
        io: Io::EconT,
        clock: options.clock,
        stages,
        latency_cycles,
        worst_latency_cycles: latency_cycles,
        interval_cycles: 1,
    })
}

fn parallel(network: &Network, options: &ScheduleOptions) -> Schedule {
    let mut stages: Vec<Stage> = Vec::new();
    for id in path(network) {
        let node = network.node(id);
        if node.op == Op::Reshape {
            // Wires only.
            continue;
        }
        let mut next = stage(network, id, work_of(node), options);
        if node.fan_in() > 0 {
            if next.work == Work::Conv2d {
                next.partitions = cast::u64_from_len(node.shape[0] * node.shape[1]);
            }
            let depth = match next.strategy {
                Strategy::Latency => options.clock.tree_cycles(cast::u64_from_len(node.fan_in())),
                Strategy::Resource => 1,
            };
            next.delay_cycles = depth + 1;
            next.latency_cycles = next.partitions * next.reuse_factor.get() + depth;
        }
        stages.push(next);
    }
    let latency_cycles = stages.iter().map(|stage| stage.latency_cycles).sum();
    let with_weights = || stages.iter().filter(|stage| matches!(stage.work, Work::Dense | Work::Conv2d));
    let resource = with_weights().filter(|stage| stage.strategy == Strategy::Resource).count();
    let iterations = with_weights().map(|stage| stage.partitions * stage.reuse_factor.get()).max().unwrap_or(1);
    // Convolutions in partitions make a dataflow of layers, `Latency` a pipeline; `Resource` alone works on a single frame.
    let is_overlapped = resource == 0 || with_weights().any(|stage| stage.work == Work::Conv2d);
    Schedule {
        io: Io::Parallel,
        clock: options.clock,
        latency_cycles,
        worst_latency_cycles: latency_cycles + cast::u64_from_len(resource),
        interval_cycles: if is_overlapped { iterations } else { latency_cycles },
        stages,
    }
}

fn stream(network: &Network, options: &ScheduleOptions) -> Result<Schedule, ScheduleError> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut shapes: Vec<StreamLayer> = Vec::new();
    let one = NonZeroU64::MIN;
    let mut add = |stage: Stage, shape: LayerShape| {
        shapes.push(StreamLayer { shape, packets_in: stage.packets_in, reuse_factor: stage.reuse_factor });
        stages.push(stage);
    };
    let pixels = |shape: &[usize]| cast::u64_from_len(shape[..shape.len() - 1].iter().product());
    // Values in the packets that come along.
    let mut packet = network.input().shape.last().copied().unwrap_or(1);
    for id in path(network) {
        let node = network.node(id);
        let from = network.node(node.inputs[0]);
        // Only what knows of pixels cares how many values come at a time.
        let wanted = match node.op {
            Op::Conv2d(_) | Op::ZeroPad2d(_) => from.shape.last().copied().unwrap_or(1),
            _ => packet,
        };
        if node.op == Op::Reshape {
            continue;
        }
        if wanted != packet {
            let mut repack = stage(network, id, Work::Repack { from: packet, to: wanted }, options);
            repack.name = format!("{}.repack", node.name);
            repack.nodes.clear();
            repack.reuse_factor = one;
            repack.asked_reuse = one;
            repack.packets_in = cast::u64_from_len(from.len() / packet);
            repack.packets_out = cast::u64_from_len(from.len() / wanted);
            let pixels = repack.packets_in.max(repack.packets_out);
            add(repack, LayerShape::Elementwise { pixels });
            packet = wanted;
        }
        let mut next = stage(network, id, work_of(node), options);
        next.packets_in = cast::u64_from_len(from.len() / packet);
        next.packets_out = next.packets_in;
        let shape = match &node.op {
            Op::Dense(_) => {
                next.packets_out = 1;
                packet = node.len();
                LayerShape::Dense { n_in: cast::u64_from_len(from.len()), n_out: cast::u64_from_len(node.len()) }
            }
            Op::Conv2d(conv) => {
                let padding = conv.window.padding;
                if padding != Padding2d::default() {
                    let mut pad = next.clone();
                    pad.name = format!("{}.pad", node.name);
                    pad.work = Work::Pad(padding);
                    pad.nodes.clear();
                    pad.reuse_factor = one;
                    pad.asked_reuse = one;
                    pad.packets_out = cast::u64_from_len(padded_pixels(&from.shape, padding).len());
                    next.packets_in = pad.packets_out;
                    add(pad, LayerShape::Elementwise { pixels: next.packets_in });
                }
                next.packets_out = pixels(&node.shape);
                next.partitions = next.packets_out;
                packet = node.shape[2];
                LayerShape::Conv2d {
                    pixels_in: next.packets_in,
                    pixels_out: next.packets_out,
                    n_in: cast::u64_from_len(node.fan_in()),
                    n_out: cast::u64_from_len(node.shape[2]),
                }
            }
            Op::ZeroPad2d(_) => {
                next.packets_out = pixels(&node.shape);
                LayerShape::Elementwise { pixels: next.packets_out }
            }
            Op::Input(_) | Op::Quantize(_) | Op::Relu | Op::Reshape => {
                LayerShape::Elementwise { pixels: next.packets_in }
            }
            Op::DepthwiseConv2d(_)
            | Op::MaxPool2d(_)
            | Op::AveragePool2d(_)
            | Op::Add
            | Op::LeakyRelu { .. }
            | Op::Clip { .. } => unreachable!("no importer makes it yet"),
        };
        add(next, shape);
    }
    let timing = timing::stream_timing(&shapes, options.clock)?;
    for ((stage, shape), time) in stages.iter_mut().zip(&shapes).zip(&timing.layers) {
        stage.latency_cycles = time.latency_cycles;
        stage.delay_cycles = shape.depth_cycles(options.clock) + 1;
        stage.fifo_depth = options.fifo_depth.map_or(time.fifo_depth, |most| time.fifo_depth.min(most.get()));
    }
    Ok(Schedule {
        io: Io::Stream,
        clock: options.clock,
        stages,
        latency_cycles: timing.latency_cycles,
        worst_latency_cycles: timing.latency_cycles,
        interval_cycles: timing.interval_cycles,
    })
}

#[cfg(test)]
mod tests;
