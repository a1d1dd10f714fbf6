//! `StageUnit`: one stage of a machine that works packet by packet and cycle by cycle: its counters, its window and line
//! buffer, its accumulators, and the pipeline behind its arithmetic.
//!
//! In a cycle [`StageUnit::decide`] settles from the state alone what will happen, [`StageUnit::tick`] lets it happen.

use super::Element;
use super::fifo::{Fifo, counter_bits};
use super::plain::{self, NodeRegisters, Registers, Share};
use super::pool::Pooling;
use super::window::Window;
use crate::hw::schedule::timing::Strategy;
use crate::hw::schedule::{self, Stage, Work};
use crate::net::{Network, Node, Signal, Tap};
use crate::num::cast;

/// A packet that completes no window.
const NO_POSITION: u32 = u32::MAX;

/// What is built: the same for ever.
#[derive(Debug, Clone)]
struct Logic {
    stage: Stage,
    /// Whether packets are pixels.
    is_stream: bool,
    reuse: usize,
    partitions: usize,
    packets_in: usize,
    packets_out: usize,
    /// Words of a packet that goes out.
    out_len: usize,
    /// Registers in a row behind the arithmetic.
    slots: usize,
    /// Cycles without work after a frame: a streaming stage hands on its last result before it begins anew.
    drain: usize,
    /// In a stream, by packet: the output position whose window it completes, or [`NO_POSITION`].
    positions: Vec<u32>,
    /// For zeros around a map of a stream, by packet: does it come from the map?
    is_inside: Vec<bool>,
    pooling: Option<Pooling>,
    /// Words of a packet that comes in, by source.
    inputs: Vec<Signal>,
    accumulator: Signal,
    output: Signal,
}

/// What changes at clock edges only.
#[derive(Debug, Clone)]
struct State {
    /// Cycle within a packet.
    beat: usize,
    /// Packet within the frame: of those that come in, or of those that go out where there are more of them.
    packet: usize,
    /// Cycles left without work.
    drain: usize,
    /// Values in front of the multipliers or comparators, in a stream.
    window: Window,
    accumulators: Vec<i64>,
    /// Slot by slot, the one behind the arithmetic first.
    pipeline: Vec<i64>,
    is_valid: Vec<bool>,
}

/// What happens to a stage in a cycle.
#[expect(clippy::struct_excessive_bools, reason = "wires of the control logic, each by itself")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// It computes.
    pub(super) works: bool,
    /// It would, or would hand on a result, but there is no room behind it.
    pub(super) is_stalled: bool,
    /// It takes a packet out of its FIFO.
    pub(super) pops: bool,
    /// A result is computed.
    pub(super) finishes: bool,
    /// A result leaves.
    pub(super) leaves: bool,
}

/// One stage.
#[derive(Debug, Clone)]
pub(super) struct StageUnit {
    logic: Logic,
    state: State,
    /// What leaves at the edge.
    leaving: Vec<i64>,
    /// Work space: the window of a whole frame, or what is kept of a window.
    seen: Vec<i64>,
}

/// What a stage needs besides counters and pipeline.
#[derive(Debug, Default)]
struct Parts {
    positions: Vec<u32>,
    is_inside: Vec<bool>,
    window: Window,
    accumulators: usize,
    seen: usize,
}

impl Parts {
    fn of(network: &Network, stage: &Stage, is_stream: bool, out_len: usize) -> Self {
        let map = &network.node(stage.input()).shape;
        let node = stage.nodes.first().map(|id| network.node(*id));
        let mut parts = Self::default();
        match (stage.work, node) {
            (Work::Conv2d | Work::DepthwiseConv2d | Work::Pool, Some(node)) if is_stream => {
                let packets = usize::try_from(stage.packets_in).expect("packets are values of a network");
                parts.positions = vec![NO_POSITION; packets];
                for (position, pixel) in schedule::window_pixels(network, stage.nodes[0]).into_iter().enumerate() {
                    parts.positions[pixel] = cast::id(position);
                }
                let window = node.op.window().expect("the schedule says so");
                let columns = map[1] + window.padding.left + window.padding.right;
                parts.window = Window::sliding(window.kernel, columns, map[2]);
                if stage.work == Work::Pool {
                    parts.seen = out_len;
                } else {
                    parts.accumulators = out_len;
                }
            }
            (Work::Conv2d | Work::DepthwiseConv2d, Some(node)) => {
                let window = node.op.window().expect("the schedule says so");
                (parts.accumulators, parts.seen) = (node.len(), window.kernel[0] * window.kernel[1] * map[2]);
            }
            (Work::Dense, Some(node)) => {
                parts.accumulators = node.len();
                if is_stream {
                    parts.window = Window::gathering(map.iter().product());
                }
            }
            (Work::Scale | Work::GlobalPool, _) => parts.accumulators = out_len,
            (Work::Pool, Some(node)) => parts.seen = node.shape[2],
            (Work::Pad(padding), _) if is_stream => parts.is_inside = schedule::padded_pixels(map, padding),
            (Work::Repack { from, to }, _) => parts.window = Window::gathering(from + to),
            _ => {}
        }
        parts
    }
}

impl StageUnit {
    /// A stage at rest; `is_stream` tells whether packets are pixels, `in_len` how many words those of the first source
    /// have.
    pub(super) fn new(network: &Network, stage: &Stage, is_stream: bool, in_len: usize) -> Self {
        let count = |packets: u64| usize::try_from(packets).expect("packets are values of a network");
        let (packets_in, packets_out) = (count(stage.packets_in), count(stage.packets_out));
        let from = network.node(stage.input());
        let node = stage.nodes.last().map(|id| network.node(*id));
        let output = node.unwrap_or(from).signal;
        let out_len = match stage.work {
            Work::Repack { to, .. } => to,
            Work::Clone => in_len,
            Work::Pad(_) if is_stream => in_len,
            _ => node.map_or(0, Node::len) / packets_out,
        };
        let Parts { positions, is_inside, window, accumulators, seen } = Parts::of(network, stage, is_stream, out_len);
        let pooling = node.and_then(|node| Pooling::of(node, from));
        let slots = count(stage.delay_cycles) - 1;
        Self {
            logic: Logic {
                stage: stage.clone(),
                is_stream,
                reuse: count(stage.reuse_factor.get()),
                partitions: if is_stream { 1 } else { count(stage.partitions) },
                packets_in,
                packets_out,
                out_len,
                slots,
                drain: if is_stream { slots + 1 } else { 0 },
                positions,
                is_inside,
                inputs: stage.sources.iter().map(|source| network.node(source.node).signal).collect(),
                accumulator: pooling.as_ref().map_or(output, |pooling| *pooling.kept()),
                pooling,
                output,
            },
            state: State {
                beat: 0,
                packet: 0,
                drain: 0,
                window,
                accumulators: vec![0; accumulators],
                pipeline: vec![0; slots * out_len],
                is_valid: vec![false; slots],
            },
            leaving: vec![0; out_len],
            seen: vec![0; seen],
        }
    }

    /// Words of a packet that goes out.
    pub(super) const fn out_len(&self) -> usize {
        self.logic.out_len
    }

    /// What the values that come in mean, by source.
    pub(super) fn input_signals(&self) -> &[Signal] {
        &self.logic.inputs
    }

    /// What the words of a kind mean, the FIFOs in front left aside; control words mean nothing.
    pub(super) fn signal(&self, element: Element) -> &Signal {
        match element {
            Element::Accumulator => &self.logic.accumulator,
            Element::Pipeline => &self.logic.output,
            _ => &self.logic.inputs[0],
        }
    }

    /// Whether nothing of a frame is inside, and nothing is left to wait for.
    pub(super) fn is_idle(&self) -> bool {
        let state = &self.state;
        state.beat == 0 && state.packet == 0 && state.drain == 0 && !state.is_valid.contains(&true)
    }

    /// Whether nothing in it moves by itself.
    pub(super) fn is_still(&self) -> bool {
        self.state.drain == 0 && !self.state.is_valid.contains(&true)
    }

    /// Cycles of work on the packet at hand before the last one, when nothing else moves.
    pub(super) fn beats_before_last(&self) -> usize {
        if self.state.beat == 0 || !self.is_still() { 0 } else { self.beats().saturating_sub(self.state.beat + 1) }
    }

    /// Results on the way out.
    pub(super) fn in_pipeline(&self) -> usize {
        self.state.is_valid.iter().filter(|valid| **valid).count()
    }

    /// What leaves at this edge, when [`Decision::leaves`].
    pub(super) fn leaving(&self) -> &[i64] {
        &self.leaving
    }

    /// The output position whose window the packet at hand completes.
    fn position(&self) -> Option<usize> {
        let position = self.logic.positions.get(self.state.packet).copied().filter(|found| *found != NO_POSITION);
        position.map(cast::index)
    }

    /// Beats of the packet that it works on.
    fn beats(&self) -> usize {
        let logic = &self.logic;
        match logic.stage.work {
            Work::Dense if self.state.packet + 1 != logic.packets_in => 1,
            // Where products are iterated over, only windows are worked on; a pipeline has one pace for all pixels.
            Work::Conv2d | Work::DepthwiseConv2d
                if logic.is_stream && logic.stage.strategy == Strategy::Resource && self.position().is_none() =>
            {
                1
            }
            Work::Dense | Work::Conv2d | Work::DepthwiseConv2d | Work::Scale => logic.reuse * logic.partitions,
            _ => 1,
        }
    }

    /// Settles what happens in this cycle; `waiting` tells whether a packet of every source stands in front of the stage,
    /// `room` whether what leaves finds room.
    pub(super) fn decide(&self, waiting: bool, room: bool) -> Decision {
        let (logic, state) = (&self.logic, &self.state);
        let is_last_beat = state.beat + 1 == self.beats();
        let (takes, finishes) = match logic.stage.work {
            Work::Repack { from, to } => {
                let takes = state.beat < to;
                (takes, state.beat + if takes { from } else { 0 } >= to)
            }
            Work::Pad(_) if logic.is_stream => (logic.is_inside.get(state.packet).copied().unwrap_or(true), true),
            Work::Conv2d | Work::DepthwiseConv2d | Work::Pool if logic.is_stream => {
                (state.beat == 0, is_last_beat && self.position().is_some())
            }
            Work::Dense | Work::GlobalPool if logic.is_stream => {
                (state.beat == 0, is_last_beat && state.packet + 1 == logic.packets_in)
            }
            // What comes in stays in front of the stage until the last beat.
            _ => (is_last_beat, is_last_beat),
        };
        // Zeros around a map come with the map: not before its first pixel is there.
        let begins = matches!(logic.stage.work, Work::Pad(_)) && state.packet == 0;
        let needs_packet = takes || !logic.is_stream || begins || logic.stage.work == Work::Scale;
        let can_work = state.drain == 0 && (waiting || !needs_packet);
        let exits = match logic.slots.checked_sub(1) {
            Some(exit) => state.is_valid[exit],
            None => can_work && finishes,
        };
        let is_stalled = exits && !room;
        let works = can_work && !is_stalled;
        Decision { works, is_stalled, pops: works && takes, finishes: works && finishes, leaves: exits && !is_stalled }
    }

    /// The clock edge; `fifos` are those in front of the stage.
    pub(super) fn tick(&mut self, network: &Network, registers: &Registers, decision: Decision, fifos: &[Fifo]) {
        self.state.drain = self.state.drain.saturating_sub(1);
        if decision.is_stalled {
            return;
        }
        self.shift();
        if decision.works {
            self.work(network, registers, decision, fifos);
            self.count(decision);
        }
    }

    /// Results move on by one register.
    fn shift(&mut self) {
        let (state, len) = (&mut self.state, self.logic.out_len);
        let Some(exit) = self.logic.slots.checked_sub(1) else { return };
        if state.is_valid.contains(&true) {
            self.leaving.copy_from_slice(&state.pipeline[exit * len..]);
            state.pipeline.copy_within(..exit * len, len);
            state.is_valid.rotate_right(1);
        }
        state.is_valid[0] = false;
    }

    /// What the stage computes in this cycle, and where it goes.
    fn work(&mut self, network: &Network, registers: &Registers, decision: Decision, fifos: &[Fifo]) {
        let front = fifos[0].front();
        match (self.logic.stage.work, self.logic.stage.nodes.first()) {
            (Work::Conv2d | Work::DepthwiseConv2d | Work::Dense | Work::Scale, Some(id)) => {
                let (node, from) = (network.node(*id), network.node(network.node(*id).inputs[0]));
                self.multiply([node, from], registers.of(*id), decision, front);
            }
            (Work::Pool | Work::GlobalPool, _) => self.pool(decision, front),
            (Work::Repack { from, to }, _) => self.repack([from, to], decision, front),
            (Work::Add, Some(id)) => {
                let packets = fifos.iter().map(Fifo::front);
                plain::add(network, network.node(*id), packets, self.entry());
            }
            (Work::Pad(_), _) if self.logic.is_stream && !decision.pops => self.entry().fill(0),
            (Work::Clone, _) => self.entry().copy_from_slice(front),
            (Work::Pad(_), _) if self.logic.is_stream => self.entry().copy_from_slice(front),
            (Work::Elementwise, Some(id)) => {
                let (node, from) = (network.node(*id), network.node(network.node(*id).inputs[0]));
                for (value, raw) in self.entry().iter_mut().zip(front) {
                    *value = plain::held(&node.signal, plain::elementwise(node, from, *raw));
                }
            }
            _ => {
                let values = plain::frame(network, &self.logic.stage.nodes, registers, front.to_vec());
                self.entry().copy_from_slice(&values);
            }
        }
        if decision.finishes && self.logic.slots > 0 {
            self.state.is_valid[0] = true;
        }
    }

    /// Where a result goes: the register behind the arithmetic, or straight on.
    fn entry(&mut self) -> &mut [i64] {
        let logic = &self.logic;
        if logic.slots == 0 { &mut self.leaving } else { &mut self.state.pipeline[..logic.out_len] }
    }

    /// A share of the products of a layer with weights; `nodes` are the layer and what it reads.
    fn multiply(&mut self, nodes: [&Node; 2], registers: &NodeRegisters, decision: Decision, front: &[i64]) {
        let [node, from] = nodes;
        let completes = self.position().is_some();
        let (logic, state) = (&self.logic, &mut self.state);
        let share = Share { first: state.beat % logic.reuse, apart: logic.reuse };
        let work = logic.stage.work;
        if work == Work::Scale {
            plain::scale_share(node, registers, share, front, &mut state.accumulators);
        } else {
            let position = if logic.is_stream { 0 } else { state.beat / logic.reuse };
            let inputs = match (node.op.window(), logic.is_stream) {
                (Some(_), true) => {
                    if decision.pops {
                        state.window.slide(state.packet, front);
                    }
                    state.window.values()
                }
                (None, true) => {
                    if decision.pops {
                        state.window.gather(state.packet * front.len(), front);
                    }
                    state.window.values()
                }
                (Some(window), false) => {
                    plain::see(node, from, window, position, front, &mut self.seen);
                    &self.seen
                }
                (None, false) => front,
            };
            let computes =
                if work == Work::Dense { state.packet + 1 == logic.packets_in } else { !logic.is_stream || completes };
            let channels = node.align.len();
            let from = position * channels;
            if computes && let Some(sums) = state.accumulators.get_mut(from..from + channels) {
                plain::add_share(node, registers, share, inputs, sums);
            }
        }
        if decision.finishes {
            let entry = if logic.slots == 0 { &mut self.leaving[..] } else { &mut state.pipeline[..logic.out_len] };
            entry.copy_from_slice(&state.accumulators);
        }
    }

    fn pool(&mut self, decision: Decision, front: &[i64]) {
        let position = self.position();
        let (logic, state) = (&self.logic, &mut self.state);
        let Some(pooling) = &logic.pooling else { return };
        let entry = if logic.slots == 0 { &mut self.leaving[..] } else { &mut state.pipeline[..logic.out_len] };
        if logic.stage.work == Work::GlobalPool {
            pooling.take(state.packet == 0, front, &mut state.accumulators);
            if decision.finishes {
                pooling.result(logic.packets_in, &state.accumulators, entry);
            }
        } else if logic.is_stream {
            state.window.slide(state.packet, front);
            if let Some(position) = position {
                let channels = front.len();
                let window = state.window.values();
                let pixel = |tap: Tap| &window[tap.place * channels..][..channels];
                pooling.position(position, pixel, &mut self.seen, entry);
            }
        } else {
            pooling.frame(front, &mut self.seen, entry);
        }
    }

    fn repack(&mut self, [from, to]: [usize; 2], decision: Decision, front: &[i64]) {
        let (logic, state) = (&self.logic, &mut self.state);
        if decision.pops {
            state.window.gather(state.beat, front);
            state.beat += from;
        }
        if decision.finishes {
            let entry = if logic.slots == 0 { &mut self.leaving[..] } else { &mut state.pipeline[..logic.out_len] };
            entry.copy_from_slice(&state.window.values()[..to]);
            state.window.advance(to);
            state.beat -= to;
        }
    }

    /// Counters after a cycle of work. A counter beyond its end, after a disturbance, runs on until it overflows.
    fn count(&mut self, decision: Decision) {
        let beats = self.beats();
        let (logic, state) = (&self.logic, &mut self.state);
        if let Work::Repack { .. } = logic.stage.work {
            if !decision.finishes {
                return;
            }
        } else if state.beat + 1 != beats {
            state.beat = wrapped(state.beat + 1, logic.beat_bits());
            return;
        } else {
            state.beat = 0;
        }
        if state.packet + 1 == logic.packets() {
            state.packet = 0;
            state.drain = logic.drain;
        } else {
            state.packet = wrapped(state.packet + 1, logic.packet_bits());
        }
    }

    /// The counters: width in bits and value of each, the valid bits of the pipeline last.
    pub(super) fn controls(&self) -> Vec<(u32, usize)> {
        let (logic, state) = (&self.logic, &self.state);
        let counters = [
            (logic.beat_bits(), state.beat),
            (logic.packet_bits(), state.packet),
            (counter_bits(logic.drain), state.drain),
        ];
        counters.into_iter().chain(state.is_valid.iter().map(|valid| (1, usize::from(*valid)))).collect()
    }

    /// Sets the counter at that place in [`StageUnit::controls`].
    pub(super) fn set_control(&mut self, index: usize, value: usize) {
        let state = &mut self.state;
        match index {
            0 => state.beat = value,
            1 => state.packet = value,
            2 => state.drain = value,
            _ => state.is_valid[index - 3] = value != 0,
        }
    }

    /// The words of a kind that are registers of this stage: the FIFO in front and control left aside.
    pub(super) fn words(&self, element: Element) -> &[i64] {
        match element {
            Element::Window => self.state.window.values(),
            Element::LineBuffer => self.state.window.line_buffer(),
            // Where everything is summed up within a cycle the sums are wires.
            Element::Accumulator if self.logic.sums_over_cycles() => &self.state.accumulators,
            Element::Pipeline => &self.state.pipeline,
            Element::Accumulator | Element::Fifo | Element::Control | Element::ErrorCounter => &[],
        }
    }

    /// The same, for whoever disturbs them.
    pub(super) fn words_mut(&mut self, element: Element) -> &mut [i64] {
        match element {
            Element::Window => self.state.window.values_mut(),
            Element::LineBuffer => self.state.window.line_buffer_mut(),
            Element::Accumulator => &mut self.state.accumulators,
            Element::Pipeline => &mut self.state.pipeline,
            Element::Fifo | Element::Control | Element::ErrorCounter => &mut [],
        }
    }
}

impl Logic {
    fn sums_over_cycles(&self) -> bool {
        self.reuse * self.partitions > 1 || (self.stage.work == Work::GlobalPool && self.packets_in > 1)
    }

    /// Packets that the stage counts in a frame.
    fn packets(&self) -> usize {
        match self.stage.work {
            Work::Pad(_) | Work::Repack { .. } => self.packets_out,
            _ => self.packets_in,
        }
    }

    fn packet_bits(&self) -> u32 {
        counter_bits(self.packets() - 1)
    }

    fn beat_bits(&self) -> u32 {
        match self.stage.work {
            Work::Repack { from, to } => counter_bits(from + to - 1),
            _ => counter_bits(self.reuse * self.partitions - 1),
        }
    }
}

/// A counter of so many bits.
fn wrapped(value: usize, bits: u32) -> usize {
    value & ((1 << bits) - 1)
}
