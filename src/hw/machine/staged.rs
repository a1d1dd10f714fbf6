//! `Staged`: stages with FIFOs between them, packet by packet; what takes several cycles does so here, and any part may wait
//! for the next.
//!
//! In a cycle everything settles first, from the last stage to the first since room behind a stage decides whether it
//! works; then the clock ticks.

use super::fifo::Fifo;
use super::plain::{self, Registers};
use super::stage::{Decision, StageUnit};
use super::{Element, ElementArray, StageActivity};
use crate::hw::schedule::{Io, Schedule};
use crate::net::{Network, Signal};
use crate::num::{BitIdx, cast};

/// What the host sends: a frame, packet by packet.
#[derive(Debug, Clone)]
struct Source {
    frame: Vec<i64>,
    /// Words sent; all of them when there is nothing to send.
    sent: usize,
    /// Cycles until the next frame may come.
    gate: u64,
}

/// The output register, filled packet by packet.
#[derive(Debug, Clone)]
struct Output {
    values: Vec<i64>,
    /// Words received of the frame.
    received: usize,
    /// Whether a result came in whole at the last edge.
    is_whole: bool,
}

/// Stages with what stands in front of each.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    source: Source,
    fifos: Vec<Fifo>,
    stages: Vec<StageUnit>,
    output: Output,
    /// What the last cycle settled to, by stage.
    decisions: Vec<Decision>,
    /// Cycles from frame to frame that the host keeps; 1 in a stream, where the stages themselves make it wait.
    interval: u64,
    is_stream: bool,
}

/// What a stage does that has nothing to do.
const IDLE: Decision = Decision { works: false, is_stalled: false, pops: false, finishes: false, leaves: false };

impl Staged {
    pub(super) fn new(network: &Network, schedule: &Schedule) -> Self {
        let is_stream = schedule.io == Io::Stream;
        let stages: Vec<StageUnit> =
            schedule.stages.iter().map(|stage| StageUnit::new(network, stage, is_stream)).collect();
        let input = network.input();
        let mut len = if is_stream { input.shape.last().copied().unwrap_or(1) } else { input.len() };
        let mut capacity = 1;
        let mut fifos = Vec::with_capacity(stages.len());
        for (stage, unit) in schedule.stages.iter().zip(&stages) {
            fifos.push(Fifo::new(len, capacity));
            len = unit.out_len();
            capacity = usize::try_from(stage.fifo_depth).expect("at most a frame of packets");
        }
        let decisions = vec![IDLE; stages.len()];
        Self {
            source: Source { frame: vec![0; input.len()], sent: input.len(), gate: 0 },
            fifos,
            stages,
            output: Output { values: vec![0; network.output().len()], received: 0, is_whole: false },
            decisions,
            interval: if is_stream { 1 } else { schedule.interval_cycles },
            is_stream,
        }
    }

    /// What every stage will do in the next cycle, from the last one to the first; gives whether the first FIFO then has
    /// room.
    fn settle(&self, mut visit: impl FnMut(usize, Decision)) -> bool {
        // The output register always takes what comes.
        let mut room = true;
        for (at, stage) in self.stages.iter().enumerate().rev() {
            let decision = stage.decide(self.fifos[at].level() > 0, room);
            room = self.fifos[at].has_room(decision.pops);
            visit(at, decision);
        }
        room
    }

    /// Whether a frame offered in the next cycle is taken.
    pub(super) fn is_ready(&self) -> bool {
        let source = &self.source;
        source.gate == 0 && source.sent == source.frame.len() && (self.is_stream || self.settle(|_, _| ()))
    }

    pub(super) fn is_empty(&self) -> bool {
        let (source, output) = (&self.source, &self.output);
        source.gate == 0
            && source.sent == source.frame.len()
            && output.received == 0
            && self.fifos.iter().all(|fifo| fifo.level() == 0)
            && self.stages.iter().all(StageUnit::is_idle)
    }

    pub(super) fn output(&self) -> Option<&[i64]> {
        self.output.is_whole.then_some(&self.output.values)
    }

    pub(super) fn activity(&self, stage: usize) -> StageActivity {
        StageActivity {
            is_working: self.decisions[stage].works,
            is_stalled: self.decisions[stage].is_stalled,
            waiting: cast::u64_from_len(self.fifos[stage].level()),
            in_pipeline: cast::u64_from_len(self.stages[stage].in_pipeline()),
        }
    }

    /// One cycle; gives whether the frame was taken.
    pub(super) fn step(&mut self, network: &Network, registers: &Registers, frame: Option<&[i64]>) -> bool {
        let is_taken = frame.is_some() && self.is_ready();
        let mut decisions = std::mem::take(&mut self.decisions);
        self.settle(|at, decision| decisions[at] = decision);
        self.decisions = decisions;

        self.output.is_whole = false;
        for at in (0..self.stages.len()).rev() {
            let decision = self.decisions[at];
            self.stages[at].tick(network, registers, decision, self.fifos[at].front());
            if decision.pops {
                self.fifos[at].pop();
            }
            if decision.leaves {
                let packet = self.stages[at].leaving();
                match self.fifos.get_mut(at + 1) {
                    Some(next) => next.push(packet),
                    None => self.output.receive(packet),
                }
            }
        }
        self.source.gate = self.source.gate.saturating_sub(1);
        if let (Some(frame), true) = (frame, is_taken) {
            self.source.frame.copy_from_slice(frame);
            self.source.sent = 0;
            self.source.gate = self.interval - 1;
        }
        self.send();
        is_taken
    }

    /// The host sends a packet, if it has one and there is room.
    fn send(&mut self) {
        let (source, Some(first)) = (&mut self.source, self.fifos.first_mut()) else { return };
        if source.sent < source.frame.len() && first.has_room(false) {
            let len = first.front().len();
            first.push(&source.frame[source.sent..source.sent + len]);
            source.sent += len;
        }
    }

    /// What the words of a kind mean; control words mean nothing.
    fn signal(&self, stage: usize, element: Element) -> &Signal {
        match element {
            Element::Accumulator | Element::Pipeline => self.stages[stage].output_signal(),
            _ => self.stages[stage].input_signal(),
        }
    }

    /// Number of words of a kind at a stage.
    fn len(&self, stage: usize, element: Element) -> usize {
        match element {
            Element::Fifo => self.fifos[stage].words(),
            Element::Control => self.controls(stage).len(),
            Element::Pipeline if stage + 1 == self.stages.len() => {
                self.stages[stage].words(element).len() + self.output.values.len()
            }
            _ => self.stages[stage].words(element).len(),
        }
    }

    /// Counters of the stage, then read pointer and level of the FIFO in front of it.
    fn controls(&self, stage: usize) -> Vec<(u32, usize)> {
        let fifo = &self.fifos[stage];
        let own = self.stages[stage].controls();
        fifo.control_bits().into_iter().zip(fifo.control()).chain(own).collect()
    }

    pub(super) fn elements(&self, schedule: &Schedule) -> Vec<ElementArray> {
        let mut arrays = Vec::new();
        for stage in 0..self.stages.len() {
            for element in Element::ALL {
                let widths: Vec<u32> = match element {
                    Element::Control => self.controls(stage).into_iter().map(|(bits, _)| bits).collect(),
                    _ => vec![self.signal(stage, element).width_bits(); self.len(stage, element)],
                };
                if !widths.is_empty() {
                    arrays.push(ElementArray::new(&schedule.stages[stage], stage, element, widths));
                }
            }
        }
        arrays
    }

    pub(super) fn word(&self, stage: usize, element: Element, index: usize) -> i64 {
        match element {
            Element::Fifo => self.fifos[stage].word(index),
            Element::Control => cast::u64_from_len(self.controls(stage)[index].1).cast_signed(),
            _ => {
                let words = self.stages[stage].words(element);
                words.get(index).copied().unwrap_or_else(|| self.output.values[index - words.len()])
            }
        }
    }

    pub(super) fn flip(&mut self, stage: usize, element: Element, index: usize, bit: BitIdx) {
        if element == Element::Control {
            let (bits, value) = self.controls(stage)[index];
            let flipped = value ^ (1 << (bits - 1 - u32::from(bit.0)));
            let mut pointers = self.fifos[stage].control();
            match pointers.get_mut(index) {
                Some(pointer) => {
                    *pointer = flipped;
                    self.fifos[stage].set_control(pointers);
                }
                None => self.stages[stage].set_control(index - pointers.len(), flipped),
            }
            return;
        }
        let signal = *self.signal(stage, element);
        let own = self.stages[stage].words(element).len();
        let word = match element {
            Element::Fifo => self.fifos[stage].word_mut(index),
            _ if index < own => &mut self.stages[stage].words_mut(element)[index],
            _ => &mut self.output.values[index - own],
        };
        *word = plain::held(&signal, *word ^ (1 << (signal.width_bits() - 1 - u32::from(bit.0))));
    }
}

impl Output {
    fn receive(&mut self, packet: &[i64]) {
        let len = self.values.len();
        for (place, value) in self.values[self.received..].iter_mut().zip(packet) {
            *place = *value;
        }
        self.received = (self.received + packet.len()).min(len);
        if self.received == len {
            self.received = 0;
            self.is_whole = true;
        }
    }
}
