//! What stages a network becomes in each way of building it.
//!
//! Node by node in the order of the data; the rules of time are in [`timing`], how a frame passes in [`flow`].

use std::num::NonZeroU64;

use super::flow::{self, Passage};
use super::timing::{self, LayerShape, Strategy, StreamLayer};
use super::{Io, Schedule, ScheduleError, ScheduleOptions, Source, Stage, Work, not_unrolled, padded_pixels};
use crate::net::{Network, Node, NodeId, Op, Padding2d, Window2d};
use crate::num::cast;

/// The node that makes the values of a node: reshapes are wires.
fn origin(network: &Network, mut id: NodeId) -> NodeId {
    while let (Op::Reshape, Some(input)) = (&network.node(id).op, network.node(id).inputs.first()) {
        id = *input;
    }
    id
}

/// The stage of a node; its sources have no stage in front yet, and no times.
fn stage(network: &Network, id: NodeId, work: Work, options: &ScheduleOptions) -> Stage {
    let node = network.node(id);
    let wish = options.wish(node);
    Stage {
        name: node.name.clone(),
        work,
        nodes: vec![id],
        sources: node.inputs.iter().map(|input| Source { stage: None, node: *input, fifo_depth: 1 }).collect(),
        strategy: wish.strategy,
        asked_reuse: wish.asked,
        reuse_factor: wish.legal,
        packets_in: 1,
        packets_out: 1,
        partitions: 1,
        delay_cycles: 1,
        latency_cycles: 1,
    }
}

fn work_of(network: &Network, node: &Node) -> Work {
    let from = network.node(node.inputs[0]);
    match &node.op {
        Op::Dense(_) => Work::Dense,
        Op::Conv2d(_) => Work::Conv2d,
        Op::DepthwiseConv2d(conv) if conv.is_pointwise() && node.shape == from.shape => Work::Scale,
        Op::DepthwiseConv2d(_) => Work::DepthwiseConv2d,
        Op::MaxPool2d(_) | Op::AveragePool2d(_) => Work::Pool,
        Op::Add => Work::Add,
        Op::ZeroPad2d(padding) => Work::Pad(*padding),
        Op::Input(_) | Op::Quantize(_) | Op::Relu | Op::LeakyRelu { .. } | Op::Clip { .. } | Op::Reshape => {
            Work::Elementwise
        }
    }
}

pub(super) fn econ_t(network: &Network, options: &ScheduleOptions) -> Result<Schedule, ScheduleError> {
    if let Some(error) = not_unrolled(network) {
        return Err(error);
    }
    let mut stages: Vec<Stage> = Vec::new();
    let mut layers_in_front = 0;
    for (id, node) in network.iter().skip(1) {
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
                next.sources[0].stage = stages.len().checked_sub(1);
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
        reported_interval_cycles: 1,
        output_depth: 1,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "as the other ways to build a network")]
pub(super) fn parallel(network: &Network, options: &ScheduleOptions) -> Result<Schedule, ScheduleError> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut made_by: Vec<Option<usize>> = vec![None; network.nodes().len()];
    for (id, node) in network.iter().skip(1) {
        if node.op == Op::Reshape {
            continue;
        }
        let mut next = stage(network, id, work_of(network, node), options);
        for source in &mut next.sources {
            source.stage = made_by[origin(network, source.node).index()];
        }
        if next.has_weights() {
            if matches!(next.work, Work::Conv2d | Work::DepthwiseConv2d) {
                next.partitions = cast::u64_from_len(node.shape[0] * node.shape[1]);
            }
            let depth = match next.strategy {
                Strategy::Latency => options.clock.tree_cycles(cast::u64_from_len(node.fan_in())),
                Strategy::Resource => 1,
            };
            next.delay_cycles = depth + 1;
            next.latency_cycles = next.partitions * next.reuse_factor.get() + depth;
        }
        made_by[id.index()] = Some(stages.len());
        stages.push(next);
    }
    let is_resource = |stage: &Stage| stage.has_weights() && stage.strategy == Strategy::Resource;
    let latency_cycles = longest_way(&stages, |stage| stage.latency_cycles);
    let worst_latency_cycles = longest_way(&stages, |stage| stage.latency_cycles + u64::from(is_resource(stage)));
    let with_weights = || stages.iter().filter(|stage| stage.has_weights());
    let iterations = with_weights().map(|stage| stage.partitions * stage.reuse_factor.get()).max().unwrap_or(1);
    // Convolutions in partitions make a dataflow of layers, `Latency` a pipeline; `Resource` alone works on a single frame.
    let is_overlapped = !stages.iter().any(is_resource)
        || with_weights().any(|stage| matches!(stage.work, Work::Conv2d | Work::DepthwiseConv2d));
    let passages = flow::passages(network, Io::Parallel, &stages);
    let reported_interval_cycles = if is_overlapped { iterations } else { latency_cycles };
    let interval_cycles = reported_interval_cycles.max(flow::least_interval(Io::Parallel, &stages, &passages));
    size_fifos(&mut stages, &passages, interval_cycles, None);
    Ok(Schedule {
        io: Io::Parallel,
        clock: options.clock,
        stages,
        latency_cycles,
        worst_latency_cycles,
        interval_cycles,
        reported_interval_cycles,
        output_depth: 1,
    })
}

/// The most that stages cost together on a way to the last one.
fn longest_way(stages: &[Stage], cost: impl Fn(&Stage) -> u64) -> u64 {
    let mut ways: Vec<u64> = Vec::with_capacity(stages.len());
    for stage in stages {
        let before = stage.sources.iter().filter_map(|source| source.stage).map(|source| ways[source]).max();
        ways.push(before.unwrap_or(0) + cost(stage));
    }
    ways.pop().unwrap_or(0)
}

/// Gives every FIFO what it has to hold so that nothing blocks, a frame at least; `most` where it is asked for, but not
/// in front of a sum: what comes the short way must wait there for what comes the long way, which may need more packets
/// to give its first.
fn size_fifos(stages: &mut [Stage], passages: &[Passage], interval: u64, most: Option<NonZeroU64>) {
    for (stage, passage) in stages.iter_mut().zip(passages) {
        let is_sum = stage.sources.len() > 1;
        for source in &mut stage.sources {
            // The host sends a frame as one packet, or a packet when there is room for it.
            let ready = match source.stage {
                Some(from) => &passages[from].ready,
                None if stage.packets_in == 1 => &vec![0],
                None => continue,
            };
            let depth = flow::most_waiting(ready, &passage.taken, interval).max(stage.packets_in);
            source.fifo_depth = if is_sum { depth } else { most.map_or(depth, |most| depth.min(most.get())) };
        }
    }
}

/// Packets on their way from a stage, or from the host.
#[derive(Debug, Clone, Copy)]
struct Stream {
    stage: Option<usize>,
    /// Values of a packet.
    len: usize,
}

/// A streaming design in the making.
struct Streaming<'a> {
    network: &'a Network,
    options: &'a ScheduleOptions,
    stages: Vec<Stage>,
    shapes: Vec<StreamLayer>,
    /// By node that makes values.
    streams: Vec<Option<Stream>>,
    /// By node that makes values: how many inputs of nodes they are.
    reads: Vec<usize>,
}

pub(super) fn stream(network: &Network, options: &ScheduleOptions) -> Result<Schedule, ScheduleError> {
    let mut reads = vec![0; network.nodes().len()];
    for node in network.nodes().iter().filter(|node| node.op != Op::Reshape) {
        for input in &node.inputs {
            reads[origin(network, *input).index()] += 1;
        }
    }
    let streams = vec![None; network.nodes().len()];
    let mut streaming = Streaming { network, options, stages: Vec::new(), shapes: Vec::new(), streams, reads };
    let input = Stream { stage: None, len: network.input().shape.last().copied().unwrap_or(1) };
    streaming.deliver(NodeId(0), input);
    for (id, node) in network.iter().skip(1) {
        if node.op != Op::Reshape {
            streaming.node(id);
        }
    }
    let Streaming { mut stages, shapes, .. } = streaming;
    let numbers = |stage: usize| stages.iter().enumerate().filter(move |(_, reader)| reads_of(reader, stage));
    let readers: Vec<Vec<usize>> =
        (0..stages.len()).map(|stage| numbers(stage).map(|(reader, _)| reader).collect()).collect();
    let timing = timing::stream_timing(&shapes, &readers, options.clock)?;
    for ((stage, shape), time) in stages.iter_mut().zip(&shapes).zip(&timing.layers) {
        stage.latency_cycles = time.latency_cycles;
        stage.delay_cycles = shape.depth_cycles(options.clock) + 1;
    }
    let passages = flow::passages(network, Io::Stream, &stages);
    let interval_cycles = timing.interval_cycles.max(flow::least_interval(Io::Stream, &stages, &passages));
    size_fifos(&mut stages, &passages, interval_cycles, options.fifo_depth);
    let output = stages.last().map_or(1, |last| last.packets_out);
    Ok(Schedule {
        io: Io::Stream,
        clock: options.clock,
        stages,
        latency_cycles: timing.latency_cycles,
        worst_latency_cycles: timing.latency_cycles,
        interval_cycles,
        reported_interval_cycles: timing.interval_cycles,
        output_depth: options.fifo_depth.map_or(output, |most| output.min(most.get())),
    })
}

fn reads_of(reader: &Stage, stage: usize) -> bool {
    reader.sources.iter().any(|source| source.stage == Some(stage))
}

fn pixels(shape: &[usize]) -> u64 {
    cast::u64_from_len(shape[..shape.len() - 1].iter().product())
}

impl Streaming<'_> {
    fn add(&mut self, stage: Stage, shape: LayerShape) -> usize {
        let Stage { packets_in, reuse_factor, strategy, .. } = stage;
        self.shapes.push(StreamLayer { shape, packets_in, reuse_factor, strategy });
        self.stages.push(stage);
        self.stages.len() - 1
    }

    /// A stage that computes nothing.
    fn wire(&self, name: String, work: Work, source: Source) -> Stage {
        Stage {
            name,
            work,
            nodes: Vec::new(),
            sources: vec![source],
            strategy: self.options.strategy,
            asked_reuse: NonZeroU64::MIN,
            reuse_factor: NonZeroU64::MIN,
            packets_in: 1,
            packets_out: 1,
            partitions: 1,
            delay_cycles: 1,
            latency_cycles: 1,
        }
    }

    /// The values of a node are there; several readers get copies.
    fn deliver(&mut self, id: NodeId, mut stream: Stream) {
        if self.reads[id.index()] > 1 {
            let node = self.network.node(id);
            let source = Source { stage: stream.stage, node: id, fifo_depth: 1 };
            let mut copies = self.wire(format!("{}.clone", node.name), Work::Clone, source);
            copies.packets_in = cast::u64_from_len(node.len() / stream.len);
            copies.packets_out = copies.packets_in;
            let pixels = copies.packets_in;
            stream.stage = Some(self.add(copies, LayerShape::Elementwise { pixels }));
        }
        self.streams[id.index()] = Some(stream);
    }

    /// The packets that a node reads, made `len` values long under this name.
    fn repacked(&mut self, name: String, input: NodeId, stream: Stream, len: usize) -> Stream {
        if stream.len == len {
            return stream;
        }
        let source = Source { stage: stream.stage, node: input, fifo_depth: 1 };
        let mut repack = self.wire(name, Work::Repack { from: stream.len, to: len }, source);
        let values = self.network.node(input).len();
        repack.packets_in = cast::u64_from_len(values / stream.len);
        repack.packets_out = cast::u64_from_len(values / len);
        let pixels = repack.packets_in.max(repack.packets_out);
        Stream { stage: Some(self.add(repack, LayerShape::Elementwise { pixels })), len }
    }

    fn node(&mut self, id: NodeId) {
        let network = self.network;
        let node = network.node(id);
        let from = network.node(node.inputs[0]);
        let mut inputs: Vec<Stream> = node
            .inputs
            .iter()
            .map(|input| self.streams[origin(network, *input).index()].expect("nodes come behind what they read"))
            .collect();
        // Only what knows of pixels, and what takes packets in pairs, cares how many values come at a time.
        let is_uneven = inputs.iter().any(|stream| stream.len != inputs[0].len);
        let wanted = match node.op {
            Op::ZeroPad2d(_) => from.shape[2],
            _ if node.op.window().is_some() => from.shape[2],
            _ if is_uneven => from.shape.last().copied().unwrap_or(1),
            _ => inputs[0].len,
        };
        for (number, (stream, input)) in inputs.iter_mut().zip(&node.inputs).enumerate() {
            let number = if node.inputs.len() > 1 { format!("_{number}") } else { String::new() };
            *stream = self.repacked(format!("{}.repack{number}", node.name), *input, *stream, wanted);
        }
        let mut next = stage(network, id, work_of(network, node), self.options);
        for (source, stream) in next.sources.iter_mut().zip(&inputs) {
            source.stage = stream.stage;
        }
        next.packets_in = cast::u64_from_len(from.len() / wanted);
        next.packets_out = next.packets_in;
        let mut len = wanted;
        let shape = match (&node.op, node.op.window()) {
            (Op::Dense(_), _) => {
                next.packets_out = 1;
                len = node.len();
                LayerShape::Dense { n_in: cast::u64_from_len(from.len()), n_out: cast::u64_from_len(node.len()) }
            }
            (_, Some(_)) if next.work == Work::Scale => {
                next.partitions = next.packets_in;
                LayerShape::Scale { pixels: next.packets_in }
            }
            (_, Some(window)) => {
                len = node.shape[2];
                self.windowed(&mut next, node, from, window)
            }
            (Op::ZeroPad2d(_), _) => {
                next.packets_out = pixels(&node.shape);
                LayerShape::Elementwise { pixels: next.packets_out }
            }
            _ => LayerShape::Elementwise { pixels: next.packets_in },
        };
        let stage = Some(self.add(next, shape));
        self.deliver(id, Stream { stage, len });
    }

    /// A stage with a window, with the zeros around its map as a stage of their own in front.
    fn windowed(&mut self, next: &mut Stage, node: &Node, from: &Node, window: &Window2d) -> LayerShape {
        let is_whole = window.kernel == from.shape[..2] && window.padding == Padding2d::default();
        next.packets_out = pixels(&node.shape);
        if next.work == Work::Pool && is_whole {
            next.work = Work::GlobalPool;
            return LayerShape::Pool { pixels_in: next.packets_in, pixels_out: next.packets_out };
        }
        if window.padding != Padding2d::default() {
            let mut zeros = self.wire(format!("{}.pad", node.name), Work::Pad(window.padding), next.sources[0]);
            zeros.packets_in = next.packets_in;
            zeros.packets_out = cast::u64_from_len(padded_pixels(&from.shape, window.padding).len());
            next.packets_in = zeros.packets_out;
            let pixels = zeros.packets_out;
            next.sources[0].stage = Some(self.add(zeros, LayerShape::Elementwise { pixels }));
        }
        let (pixels_in, pixels_out) = (next.packets_in, next.packets_out);
        if next.work == Work::Pool {
            return LayerShape::Pool { pixels_in, pixels_out };
        }
        next.partitions = pixels_out;
        let [n_in, n_out] = [node.fan_in(), node.shape[2]].map(cast::u64_from_len);
        LayerShape::Conv2d { pixels_in, pixels_out, n_in, n_out }
    }
}
