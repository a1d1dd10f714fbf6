//! Registers, FIFOs, line buffers and windows between the stages of a schedule, by node.

use super::parts::{LayerParts, count};
use super::schedule::{Io, Schedule, Source, Stage, Work};
use crate::net::{Network, Node, NodeId, Window2d};
use crate::num::cast;

/// Adds what a streaming design holds: a register for a packet of the input, the FIFOs between stages, and what a layer
/// collects in front of its multipliers or comparators.
pub(super) fn count_buffers(network: &Network, schedule: &Schedule, parts: &mut [LayerParts]) {
    for (number, stage) in schedule.stages.iter().enumerate() {
        for source in &stage.sources {
            let node = network.node(source.node);
            let bits = packet_values(network, schedule, source) * u64::from(node.signal.width_bits());
            match source.stage {
                Some(from) => parts[owner(schedule, from).index()].counts.buffer_bits += bits * source.fifo_depth,
                None => parts[0].counts.pipeline_bits += bits,
            }
        }
        let Some(id) = stage.nodes.last() else { continue };
        let (node, from) = (network.node(*id), network.node(stage.input()));
        let counts = &mut parts[id.index()].counts;
        let x_bits = u64::from(from.signal.width_bits());
        counts.buffer_bits += match (stage.work, node.op.window()) {
            // A packet that is the whole frame stays where it is.
            (Work::Dense, _) if stage.packets_in > 1 => values(from) * x_bits,
            (Work::Conv2d | Work::DepthwiseConv2d | Work::Pool, Some(window)) => {
                window_values(window, &from.shape) * x_bits
            }
            _ => 0,
        };
        if number + 1 == schedule.stages.len() {
            let packet = values(node) / stage.packets_out.max(1);
            counts.buffer_bits += packet * schedule.output_depth * u64::from(node.signal.width_bits());
        }
    }
}

/// Adds the registers for whole frames: the input's, and behind each stage one for every frame that a reader may have
/// waiting.
pub(super) fn count_registers(network: &Network, schedule: &Schedule, live: &[Vec<bool>], parts: &mut [LayerParts]) {
    debug_assert_eq!(schedule.io, Io::Parallel);
    let mut add = |id: NodeId, frames: u64| {
        let bits = u64::from(network.node(id).signal.width_bits());
        parts[id.index()].counts.pipeline_bits += frames * count(&live[id.index()]) * bits;
    };
    let depths = schedule.readers(None).map(|(stage, source)| schedule.stages[stage].sources[source].fifo_depth);
    add(NodeId(0), depths.sum::<u64>().max(1));
    for (number, stage) in schedule.stages.iter().enumerate() {
        if let Some(id) = stage.nodes.last() {
            add(*id, schedule.depths_behind(number).into_iter().sum());
        }
    }
}

/// The node that a stage is built for: zeros and repacking for who reads them, copies for what is copied.
fn owner(schedule: &Schedule, stage: usize) -> NodeId {
    let Stage { nodes, work, .. } = &schedule.stages[stage];
    match (nodes.last(), work, schedule.readers(Some(stage)).next()) {
        (Some(id), ..) => *id,
        (None, Work::Pad(_) | Work::Repack { .. }, Some((reader, _))) => owner(schedule, reader),
        _ => schedule.stages[stage].input(),
    }
}

/// Values of a packet that comes from a source.
fn packet_values(network: &Network, schedule: &Schedule, source: &Source) -> u64 {
    let Some(from) = source.stage else {
        let input = network.input();
        return cast::u64_from_len(input.shape.last().copied().unwrap_or(1));
    };
    let stage = &schedule.stages[from];
    match (stage.nodes.last(), stage.work) {
        (Some(id), _) => values(network.node(*id)) / stage.packets_out.max(1),
        (None, Work::Repack { to, .. }) => cast::u64_from_len(to),
        // Zeros lengthen a frame by whole pixels.
        (None, _) => values(network.node(stage.input())) / stage.packets_in.max(1),
    }
}

fn values(node: &Node) -> u64 {
    cast::u64_from_len(node.len())
}

/// Values in the line buffer of a window, all its rows but one, and in the window itself.
fn window_values(window: &Window2d, map: &[usize]) -> u64 {
    let [rows, columns] = window.kernel;
    let padded_columns = map[1] + window.padding.left + window.padding.right;
    cast::u64_from_len(((rows - 1) * padded_columns + rows * columns) * map[2])
}
