//! How a frame passes through the stages: when each packet can be read, when it is taken, how long a stage is busy, and
//! what FIFOs hold meanwhile.
//!
//! Of one frame, in a machine in which nothing blocks. Frames that follow one another at [`least_interval`] with FIFOs of
//! [`most_waiting`] packets pass as if each were alone.

use super::{Io, Stage, Work};
use crate::hw::schedule::timing::Strategy;
use crate::net::{Network, NodeId, Padding2d};
use crate::num::cast;

/// One frame at one stage, in cycles from the one in which its first packet stands at the first stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    /// By packet that comes in: the last cycle in which it stands in front of the stage.
    pub taken: Vec<u64>,
    /// The first cycle of work.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// By packet that goes out: the first cycle in which it can be read.
    pub ready: Vec<u64>,
}

/// A frame alone at every stage.
pub(super) fn passages(network: &Network, io: Io, stages: &[Stage]) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::with_capacity(stages.len());
    for stage in stages {
        // A sum takes packets when all have come.
        let mut packets: Vec<u64> = (0..stage.packets_in).collect();
        for source in stage.sources.iter().filter_map(|source| source.stage) {
            for (packet, ready) in packets.iter_mut().zip(&passages[source].ready) {
                *packet = (*packet).max(*ready);
            }
        }
        passages.push(match io {
            Io::Stream => stage.packet_by_packet(network, &packets),
            Io::EconT | Io::Parallel => stage.frame_by_frame(packets.first().copied().unwrap_or(0)),
        });
    }
    passages
}

/// Cycles from frame to frame below which some stage would still be busy with the one before.
pub(super) fn least_interval(io: Io, stages: &[Stage], passages: &[Passage]) -> u64 {
    let busy = |(stage, passage): (&Stage, &Passage)| {
        // In a stream a stage hands on its last result, and lets a cycle pass, before it begins anew.
        let rest = if io == Io::Stream { stage.delay_cycles } else { 0 };
        passage.last - passage.first + 1 + rest
    };
    stages.iter().zip(passages).map(busy).max().unwrap_or(1)
}

/// Most packets that wait at once, given when each can be read and when it is taken, frames following one another.
pub(super) fn most_waiting(ready: &[u64], taken: &[u64], interval: u64) -> u64 {
    // Every packet waits in all whole intervals, and in one more from its arrival on, round in a circle.
    let mut whole = 0;
    let mut changes: Vec<(u64, bool)> = Vec::new();
    let mut waiting = 0_u64;
    for (ready, taken) in ready.iter().zip(taken) {
        let cycles = taken + 1 - ready;
        whole += cycles / interval;
        let (from, left) = (ready % interval, cycles % interval);
        if left == 0 {
            continue;
        }
        let to = (from + left) % interval;
        waiting += u64::from(to <= from);
        changes.push((from, true));
        changes.push((to, false));
    }
    // Who leaves makes room for who comes.
    changes.sort_unstable();
    let mut most = waiting;
    for (_, comes) in changes {
        waiting = if comes { waiting + 1 } else { waiting.saturating_sub(1) };
        most = most.max(waiting);
    }
    whole + most
}

impl Stage {
    /// Cycles that a streaming stage works on a packet; `completes` tells whether it completes a window.
    fn beats(&self, completes: bool) -> u64 {
        // Where products are iterated over, only windows are worked on; a pipeline has one pace for all pixels.
        if self.strategy == Strategy::Resource && !completes { 1 } else { self.reuse_factor.get() }
    }

    /// A frame that comes and goes as one packet.
    fn frame_by_frame(&self, ready: u64) -> Passage {
        let last = ready + self.partitions * self.reuse_factor.get() - 1;
        Passage { taken: vec![last], first: ready, last, ready: vec![last + self.delay_cycles] }
    }

    fn packet_by_packet(&self, network: &Network, packets: &[u64]) -> Passage {
        let delay = self.delay_cycles;
        let taken = in_turn(packets, |_| 1);
        match self.work {
            Work::Dense => {
                let last = taken.last().copied().unwrap_or(0) + self.reuse_factor.get() - 1;
                Passage { first: taken[0], last, ready: vec![last + delay], taken }
            }
            Work::GlobalPool => {
                let last = taken.last().copied().unwrap_or(0);
                Passage { first: taken[0], last, ready: vec![last + delay], taken }
            }
            Work::Conv2d | Work::DepthwiseConv2d | Work::Pool => {
                let completing = window_pixels(network, self.nodes[0]);
                let mut completes = vec![false; packets.len()];
                for pixel in &completing {
                    completes[*pixel] = true;
                }
                let beats: Vec<u64> = completes.into_iter().map(|completes| self.beats(completes)).collect();
                let taken = in_turn(packets, |packet| beats[packet]);
                let done = |pixel: usize| taken[pixel] + beats[pixel] - 1;
                let ready = completing.into_iter().map(|pixel| done(pixel) + delay).collect();
                Passage { first: taken[0], last: done(packets.len() - 1), ready, taken }
            }
            // The packet stays in front of the multipliers until its last cycle.
            Work::Scale => {
                let reuse = self.reuse_factor.get();
                let first = packets.first().copied().unwrap_or(0);
                let taken: Vec<u64> = in_turn(packets, |_| reuse).into_iter().map(|at| at + reuse - 1).collect();
                let ready = taken.iter().map(|at| at + delay).collect();
                Passage { first, last: taken.last().copied().unwrap_or(0), ready, taken }
            }
            Work::Unrolled | Work::Elementwise | Work::Add | Work::Clone => {
                let ready = taken.iter().map(|at| at + delay).collect();
                Passage { first: taken[0], last: taken.last().copied().unwrap_or(0), ready, taken }
            }
            Work::Pad(padding) => self.zeros(&padded_pixels(&network.node(self.input()).shape, padding), packets),
            Work::Repack { from, to } => self.repacked(from, to, packets),
        }
    }

    fn zeros(&self, inside: &[bool], packets: &[u64]) -> Passage {
        // Not before the first pixel is there.
        let first = packets.first().copied().unwrap_or(0);
        let (mut next, mut given) = (first, packets.iter());
        let (mut taken, mut ready) = (Vec::with_capacity(packets.len()), Vec::with_capacity(inside.len()));
        for is_inside in inside {
            let mut at = next;
            if *is_inside {
                at = at.max(given.next().copied().unwrap_or(0));
                taken.push(at);
            }
            ready.push(at + self.delay_cycles);
            next = at + 1;
        }
        Passage { taken, first, last: next - 1, ready }
    }

    fn repacked(&self, from: usize, to: usize, packets: &[u64]) -> Passage {
        let first = packets.first().copied().unwrap_or(0);
        let (mut now, mut held, mut given) = (first, 0, packets.iter());
        let (mut taken, mut ready) = (Vec::with_capacity(packets.len()), Vec::new());
        while cast::u64_from_len(ready.len()) < self.packets_out {
            if held < to {
                let Some(at) = given.next() else { break };
                now = now.max(*at);
                held += from;
                taken.push(now);
            }
            if held >= to {
                held -= to;
                ready.push(now + self.delay_cycles);
            }
            now += 1;
        }
        Passage { taken, first, last: now - 1, ready }
    }
}

/// Cycles in which packets are taken one after another, `beats` of the packet's number apart.
fn in_turn(packets: &[u64], beats: impl Fn(usize) -> u64) -> Vec<u64> {
    let mut next = 0;
    let at = |(number, ready): (usize, &u64)| {
        let at = next.max(*ready);
        next = at + beats(number);
        at
    };
    packets.iter().enumerate().map(at).collect()
}

/// For each output position of a node with a window, the pixel of its padded input that completes the window.
pub(in crate::hw) fn window_pixels(network: &Network, id: NodeId) -> Vec<usize> {
    let node = network.node(id);
    let window = node.op.window().expect("only nodes with a window are asked for it");
    let columns = network.node(node.inputs[0]).shape[1] + window.padding.left + window.padding.right;
    let last = |out: usize, axis: usize| out * window.stride[axis] + window.kernel[axis] - 1;
    (0..node.shape[0])
        .flat_map(|row| (0..node.shape[1]).map(move |column| (row, column)))
        .map(|(row, column)| last(row, 0) * columns + last(column, 1))
        .collect()
}

/// For each pixel of a padded map of `[rows, columns, ..]`, in order, whether it comes from the map.
pub(in crate::hw) fn padded_pixels(map: &[usize], padding: Padding2d) -> Vec<bool> {
    let (rows, columns) = (map[0], map[1]);
    let inside = |at: usize, before: usize, len: usize| (before..before + len).contains(&at);
    (0..rows + padding.top + padding.bottom)
        .flat_map(|row| (0..columns + padding.left + padding.right).map(move |column| (row, column)))
        .map(|(row, column)| inside(row, padding.top, rows) && inside(column, padding.left, columns))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_that_wait_are_counted_cycle_by_cycle(
            stays in prop::collection::vec((0..40_u64, 0..90_u64), 1..12), interval in 1..50_u64,
        ) {
            let (ready, taken): (Vec<u64>, Vec<u64>) = stays.iter().map(|(at, cycles)| (*at, at + cycles)).unzip();
            // Frames enough that the last ones meet all that came before.
            let in_cycle = |cycle: u64| {
                let frames = (0..200_u64).map(|frame| frame * interval);
                let waits = |start: u64| stays.iter().filter(|(at, cycles)| (start + at..=start + at + cycles).contains(&cycle)).count();
                frames.map(waits).sum::<usize>()
            };
            let most = (150..150 + interval).map(in_cycle).max().unwrap();
            prop_assert_eq!(most_waiting(&ready, &taken, interval), cast::u64_from_len(most));
        }
    }
}
