//! `StageUnit`: one stage of a machine that works packet by packet and cycle by cycle: its counters, its window and line
//! buffer, its accumulators, and the pipeline behind its arithmetic.
//!
//! In a cycle [`StageUnit::decide`] settles from the state alone what will happen, [`StageUnit::tick`] lets it happen.

use super::Element;
use super::fifo::counter_bits;
use super::plain::{self, Registers, Share};
use super::window::Window;
use crate::hw::schedule::{self, Stage, Work};
use crate::net::{Network, Node, Op, Signal};

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
    /// In a stream, by packet: does it complete a window, or (zeros around a map) does it come from the map?
    marks: Vec<bool>,
    input: Signal,
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
    /// Values in front of the multipliers, in a stream.
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
    /// Work space for the window of a whole frame.
    seen: Vec<i64>,
}

impl StageUnit {
    /// A stage at rest; `is_stream` tells whether packets are pixels.
    pub(super) fn new(network: &Network, stage: &Stage, is_stream: bool) -> Self {
        let count = |packets: u64| usize::try_from(packets).expect("packets are values of a network");
        let (packets_in, packets_out) = (count(stage.packets_in), count(stage.packets_out));
        let from = network.node(stage.input);
        let last = stage.nodes.last().map(|id| network.node(*id));
        let (input, output) = (from.signal, last.unwrap_or(from).signal);
        let map = &from.shape;
        let out_len = match stage.work {
            Work::Repack { to, .. } => to,
            Work::Pad(_) if is_stream => map[2],
            _ => last.map_or(0, Node::len) / packets_out,
        };
        let node = stage.nodes.first().map(|id| network.node(*id));
        let mut marks = Vec::new();
        let mut window = Window::default();
        let mut accumulators = 0;
        let mut seen = 0;
        match (stage.work, node) {
            (Work::Conv2d, Some(node)) if is_stream => {
                let Op::Conv2d(conv) = &node.op else { unreachable!("the schedule says so") };
                marks = vec![false; packets_in];
                for pixel in schedule::window_pixels(network, stage.nodes[0]) {
                    marks[pixel] = true;
                }
                let padding = conv.window.padding;
                let columns = map[1] + padding.left + padding.right;
                window = Window::sliding(conv.window.kernel, columns, map[2]);
                accumulators = out_len;
            }
            (Work::Conv2d, Some(node)) => (accumulators, seen) = (node.len(), node.fan_in()),
            (Work::Dense, Some(node)) => {
                accumulators = node.len();
                if is_stream {
                    window = Window::gathering(map.iter().product());
                }
            }
            (Work::Pad(padding), _) if is_stream => marks = schedule::padded_pixels(map, padding),
            (Work::Repack { from, to }, _) => window = Window::gathering(from + to),
            _ => {}
        }
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
                marks,
                input,
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

    /// What the values that come in mean.
    pub(super) const fn input_signal(&self) -> &Signal {
        &self.logic.input
    }

    /// What the values that go out mean.
    pub(super) const fn output_signal(&self) -> &Signal {
        &self.logic.output
    }

    /// Whether nothing of a frame is inside, and nothing is left to wait for.
    pub(super) fn is_idle(&self) -> bool {
        let state = &self.state;
        state.beat == 0 && state.packet == 0 && state.drain == 0 && !state.is_valid.contains(&true)
    }

    /// Results on the way out.
    pub(super) fn in_pipeline(&self) -> usize {
        self.state.is_valid.iter().filter(|valid| **valid).count()
    }

    /// What leaves at this edge, when [`Decision::leaves`].
    pub(super) fn leaving(&self) -> &[i64] {
        &self.leaving
    }

    /// Beats of the packet that it works on.
    fn beats(&self) -> usize {
        match self.logic.stage.work {
            Work::Dense if self.state.packet + 1 != self.logic.packets_in => 1,
            Work::Dense | Work::Conv2d => self.logic.reuse * self.logic.partitions,
            _ => 1,
        }
    }

    /// Settles what happens in this cycle; `waiting` tells whether a packet stands in front of the stage, `room` whether
    /// what leaves finds room.
    pub(super) fn decide(&self, waiting: bool, room: bool) -> Decision {
        let (logic, state) = (&self.logic, &self.state);
        let is_last_beat = state.beat + 1 == self.beats();
        let (takes, finishes) = match logic.stage.work {
            Work::Repack { from, to } => {
                let takes = state.beat < to;
                (takes, state.beat + if takes { from } else { 0 } >= to)
            }
            Work::Pad(_) if logic.is_stream => (logic.marks.get(state.packet).copied().unwrap_or(true), true),
            Work::Conv2d if logic.is_stream => {
                let completes = logic.marks.get(state.packet).copied().unwrap_or(false);
                (state.beat == 0, is_last_beat && completes)
            }
            Work::Dense if logic.is_stream => (state.beat == 0, is_last_beat && state.packet + 1 == logic.packets_in),
            // The frame stays in the register in front of the stage until the last beat.
            _ => (is_last_beat, is_last_beat),
        };
        // Zeros around a map come with the map: not before its first pixel is there.
        let begins = matches!(logic.stage.work, Work::Pad(_)) && state.packet == 0;
        let needs_packet = takes || !logic.is_stream || begins;
        let can_work = state.drain == 0 && (waiting || !needs_packet);
        let exits = match logic.slots.checked_sub(1) {
            Some(exit) => state.is_valid[exit],
            None => can_work && finishes,
        };
        let is_stalled = exits && !room;
        let works = can_work && !is_stalled;
        Decision { works, is_stalled, pops: works && takes, finishes: works && finishes, leaves: exits && !is_stalled }
    }

    /// The clock edge; `front` is the packet in front of the stage.
    pub(super) fn tick(&mut self, network: &Network, registers: &Registers, decision: Decision, front: &[i64]) {
        self.state.drain = self.state.drain.saturating_sub(1);
        if decision.is_stalled {
            return;
        }
        self.shift();
        if decision.works {
            self.work(network, registers, decision, front);
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
    fn work(&mut self, network: &Network, registers: &Registers, decision: Decision, front: &[i64]) {
        let (logic, state) = (&self.logic, &mut self.state);
        let entry = if logic.slots == 0 { &mut self.leaving[..] } else { &mut state.pipeline[..logic.out_len] };
        let node = logic.stage.nodes.first().map(|id| (*id, network.node(*id)));
        match (logic.stage.work, node) {
            (Work::Conv2d | Work::Dense, Some((id, node))) => {
                let share = Share { first: state.beat % logic.reuse, apart: logic.reuse };
                let position = state.beat / logic.reuse;
                let inputs = match (&node.op, logic.is_stream) {
                    (Op::Conv2d(_), true) => {
                        if decision.pops {
                            state.window.slide(state.packet, front);
                        }
                        state.window.values()
                    }
                    (_, true) => {
                        if decision.pops {
                            state.window.gather(state.packet * front.len(), front);
                        }
                        state.window.values()
                    }
                    (Op::Conv2d(conv), false) => {
                        plain::see(node, network.node(node.inputs[0]), conv, position, front, &mut self.seen);
                        &self.seen
                    }
                    (_, false) => front,
                };
                let computes = match logic.stage.work {
                    Work::Conv2d => !logic.is_stream || logic.marks.get(state.packet).copied().unwrap_or(false),
                    _ => state.packet + 1 == logic.packets_in,
                };
                if computes {
                    let channels = node.align.len();
                    let from = position * channels;
                    if let Some(sums) = state.accumulators.get_mut(from..from + channels) {
                        if share.first == 0 {
                            sums.fill(0);
                        }
                        plain::add_share(node, registers.of(id), share, inputs, sums);
                    }
                }
                if decision.finishes {
                    entry.copy_from_slice(&state.accumulators);
                }
            }
            (Work::Repack { from, to }, _) => {
                if decision.pops {
                    state.window.gather(state.beat, front);
                    state.beat += from;
                }
                if decision.finishes {
                    entry.copy_from_slice(&state.window.values()[..to]);
                    state.window.advance(to);
                    state.beat -= to;
                }
            }
            (Work::Pad(_), _) if logic.is_stream => {
                if decision.pops {
                    entry.copy_from_slice(front);
                } else {
                    entry.fill(0);
                }
            }
            (Work::Elementwise, Some((_, node))) => {
                let from = network.node(node.inputs[0]);
                for (value, raw) in entry.iter_mut().zip(front) {
                    *value = plain::held(&node.signal, plain::elementwise(node, from, *raw));
                }
            }
            _ => entry.copy_from_slice(&plain::frame(network, &logic.stage.nodes, registers, front.to_vec())),
        }
        if decision.finishes && logic.slots > 0 {
            state.is_valid[0] = true;
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
            Element::Accumulator if self.logic.reuse * self.logic.partitions > 1 => &self.state.accumulators,
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
