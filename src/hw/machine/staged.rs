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
use crate::net::Network;
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
    /// In front of each stage, by source.
    fifos: Vec<Vec<Fifo>>,
    stages: Vec<StageUnit>,
    /// FIFOs behind each stage: the numbers of their stages and sources. Behind the last, the output register.
    readers: Vec<Vec<(usize, usize)>>,
    /// FIFOs that the host fills.
    entries: Vec<(usize, usize)>,
    output: Output,
    /// What the last cycle settled to, by stage.
    decisions: Vec<Decision>,
    /// Cycles to come in which every stage does what it did in the last one: some go on with a packet, all others have
    /// nothing to do.
    quiet: usize,
    /// Those that go on meanwhile.
    busy: Vec<usize>,
    /// Cycles from frame to frame that the host keeps; 1 in a stream, where the stages themselves make it wait.
    interval: u64,
    is_stream: bool,
}

/// What a stage does that has nothing to do.
const IDLE: Decision = Decision { works: false, is_stalled: false, pops: false, finishes: false, leaves: false };

/// What a stage does in the midst of a packet.
const GOES_ON: Decision = Decision { works: true, ..IDLE };

impl Staged {
    pub(super) fn new(network: &Network, schedule: &Schedule) -> Self {
        let is_stream = schedule.io == Io::Stream;
        let input = network.input();
        let packet = if is_stream { input.shape.last().copied().unwrap_or(1) } else { input.len() };
        let mut stages: Vec<StageUnit> = Vec::with_capacity(schedule.stages.len());
        let mut fifos = Vec::with_capacity(schedule.stages.len());
        for stage in &schedule.stages {
            let len = |from: Option<usize>| from.map_or(packet, |from| stages[from].out_len());
            let depth = |depth: u64| usize::try_from(depth).expect("FIFOs hold values of a few frames");
            let in_front = stage.sources.iter().map(|from| Fifo::new(len(from.stage), depth(from.fifo_depth)));
            fifos.push(in_front.collect());
            let len = stage.sources.first().map_or(packet, |from| len(from.stage));
            stages.push(StageUnit::new(network, stage, is_stream, len));
        }
        let decisions = vec![IDLE; stages.len()];
        Self {
            source: Source { frame: vec![0; input.len()], sent: input.len(), gate: 0 },
            fifos,
            readers: (0..stages.len()).map(|stage| schedule.readers(Some(stage)).collect()).collect(),
            entries: schedule.readers(None).collect(),
            stages,
            output: Output { values: vec![0; network.output().len()], received: 0, is_whole: false },
            decisions,
            quiet: 0,
            busy: Vec::new(),
            interval: if is_stream { 1 } else { schedule.interval_cycles },
            is_stream,
        }
    }

    /// Settles what every stage will do in the next cycle, from the last one to the first.
    fn settle(&self, decisions: &mut [Decision]) {
        for (at, stage) in self.stages.iter().enumerate().rev() {
            let waiting = self.fifos[at].iter().all(|fifo| fifo.level() > 0);
            // A packet leaves when all who read it have room; the output register always has.
            decisions[at] = stage.decide(waiting, self.have_room(&self.readers[at], decisions));
        }
    }

    fn have_room(&self, readers: &[(usize, usize)], decisions: &[Decision]) -> bool {
        readers.iter().all(|(stage, source)| self.fifos[*stage][*source].has_room(decisions[*stage].pops))
    }

    /// Whether a frame offered in the next cycle is taken.
    pub(super) fn is_ready(&self) -> bool {
        let source = &self.source;
        let is_sent = source.gate == 0 && source.sent == source.frame.len();
        if !is_sent || self.is_stream {
            return is_sent;
        }
        let mut decisions = self.decisions.clone();
        self.settle(&mut decisions);
        self.have_room(&self.entries, &decisions)
    }

    pub(super) fn is_empty(&self) -> bool {
        let (source, output) = (&self.source, &self.output);
        source.gate == 0
            && source.sent == source.frame.len()
            && output.received == 0
            && self.fifos.iter().flatten().all(|fifo| fifo.level() == 0)
            && self.stages.iter().all(StageUnit::is_idle)
    }

    /// Turns the empty FIFOs on, as so many frames do that go through.
    pub(super) fn pass(&mut self, schedule: &Schedule, frames: u64) {
        for (stage, fifos) in schedule.stages.iter().zip(&mut self.fifos) {
            for fifo in fifos {
                let slots = fifo.slots();
                fifo.pass((frames % slots) * (stage.packets_in % slots));
            }
        }
    }

    pub(super) fn output(&self) -> Option<&[i64]> {
        self.output.is_whole.then_some(&self.output.values)
    }

    pub(super) fn activity(&self, stage: usize) -> StageActivity {
        StageActivity {
            is_working: self.decisions[stage].works,
            is_stalled: self.decisions[stage].is_stalled,
            waiting: self.fifos[stage].iter().map(|fifo| cast::u64_from_len(fifo.level())).sum(),
            in_pipeline: cast::u64_from_len(self.stages[stage].in_pipeline()),
        }
    }

    /// One cycle; gives whether the frame was taken.
    pub(super) fn step(&mut self, network: &Network, registers: &Registers, frame: Option<&[i64]>) -> bool {
        let is_taken = frame.is_some() && self.is_ready();
        if self.quiet > 0 && !is_taken {
            self.quiet -= 1;
            self.output.is_whole = false;
            for at in &self.busy {
                self.stages[*at].tick(network, registers, GOES_ON, &self.fifos[*at]);
            }
            self.source.gate = self.source.gate.saturating_sub(1);
            return false;
        }
        let mut decisions = std::mem::take(&mut self.decisions);
        self.settle(&mut decisions);
        self.decisions = decisions;

        self.output.is_whole = false;
        for at in (0..self.stages.len()).rev() {
            let decision = self.decisions[at];
            self.stages[at].tick(network, registers, decision, &self.fifos[at]);
            if decision.pops {
                for fifo in &mut self.fifos[at] {
                    fifo.pop();
                }
            }
            if decision.leaves {
                let packet = self.stages[at].leaving();
                for (stage, source) in &self.readers[at] {
                    self.fifos[*stage][*source].push(packet);
                }
                if self.readers[at].is_empty() {
                    self.output.receive(packet);
                }
            }
        }
        self.source.gate = self.source.gate.saturating_sub(1);
        if let (Some(frame), true) = (frame, is_taken) {
            self.source.frame.copy_from_slice(frame);
            self.source.sent = 0;
            self.source.gate = self.interval - 1;
        }
        let has_sent = self.send();
        self.look_ahead(has_sent);
        is_taken
    }

    /// Finds out for how long nothing will change but sums that some stages are in the midst of.
    fn look_ahead(&mut self, has_sent: bool) {
        self.quiet = 0;
        let is_steady = |decision: &Decision| *decision == IDLE || *decision == GOES_ON;
        if has_sent || self.can_send() || !self.decisions.iter().all(is_steady) {
            return;
        }
        self.busy.clear();
        let mut quiet = usize::MAX;
        for (at, stage) in self.stages.iter().enumerate() {
            if self.decisions[at].works {
                quiet = quiet.min(stage.beats_before_last());
                self.busy.push(at);
            } else if !stage.is_still() {
                return;
            }
        }
        self.quiet = if self.busy.is_empty() { 0 } else { quiet };
    }

    /// Whether the host has a packet to send, and there is room.
    fn can_send(&self) -> bool {
        self.source.sent < self.source.frame.len()
            && self.entries.iter().all(|(stage, input)| self.fifos[*stage][*input].has_room(false))
    }

    /// The host sends a packet if it can; gives whether it did.
    fn send(&mut self) -> bool {
        if !self.can_send() {
            return false;
        }
        let source = &mut self.source;
        let mut sent = source.sent;
        for (stage, input) in &self.entries {
            let fifo = &mut self.fifos[*stage][*input];
            sent = source.sent + fifo.front().len();
            fifo.push(&source.frame[source.sent..sent]);
        }
        source.sent = sent;
        true
    }

    /// Counters and FIFO levels: all that decides what happens when. Where in its ring a FIFO is read makes no difference.
    pub(super) fn progress(&self) -> Vec<usize> {
        let levels = self.fifos.iter().flatten().map(Fifo::level);
        let counters = self.stages.iter().flat_map(|stage| stage.controls().into_iter().map(|(_, value)| value));
        levels.chain(counters).collect()
    }

    /// The FIFO and the place in it of a word in front of a stage.
    fn place(&self, stage: usize, mut index: usize) -> (usize, usize) {
        let fifos = &self.fifos[stage];
        let mut source = 0;
        while source + 1 < fifos.len() && index >= fifos[source].words() {
            index -= fifos[source].words();
            source += 1;
        }
        (source, index)
    }

    /// Widths of the words of a kind at a stage.
    fn widths(&self, stage: usize, element: Element) -> Vec<u32> {
        let unit = &self.stages[stage];
        let own = unit.words(element).len();
        match element {
            Element::Control => self.controls(stage).into_iter().map(|(bits, _)| bits).collect(),
            Element::Fifo => {
                let fifos = self.fifos[stage].iter().zip(unit.input_signals());
                fifos.flat_map(|(fifo, signal)| vec![signal.width_bits(); fifo.words()]).collect()
            }
            Element::Pipeline if stage + 1 == self.stages.len() => {
                vec![unit.signal(element).width_bits(); own + self.output.values.len()]
            }
            _ => vec![unit.signal(element).width_bits(); own],
        }
    }

    /// Read pointer and level of each FIFO in front of the stage, then its counters.
    fn controls(&self, stage: usize) -> Vec<(u32, usize)> {
        let pointers = self.fifos[stage].iter().flat_map(|fifo| fifo.control_bits().into_iter().zip(fifo.control()));
        pointers.chain(self.stages[stage].controls()).collect()
    }

    pub(super) fn elements(&self, schedule: &Schedule) -> Vec<ElementArray> {
        let mut arrays = Vec::new();
        for stage in 0..self.stages.len() {
            for element in Element::ALL {
                let widths = self.widths(stage, element);
                if !widths.is_empty() {
                    arrays.push(ElementArray::new(&schedule.stages[stage], stage, element, widths));
                }
            }
        }
        arrays
    }

    pub(super) fn word(&self, stage: usize, element: Element, index: usize) -> i64 {
        match element {
            Element::Fifo => {
                let (source, at) = self.place(stage, index);
                self.fifos[stage][source].word(at)
            }
            Element::Control => cast::u64_from_len(self.controls(stage)[index].1).cast_signed(),
            _ => {
                let words = self.stages[stage].words(element);
                words.get(index).copied().unwrap_or_else(|| self.output.values[index - words.len()])
            }
        }
    }

    pub(super) fn flip(&mut self, stage: usize, element: Element, index: usize, bit: BitIdx) {
        self.quiet = 0;
        if element == Element::Control {
            let (bits, value) = self.controls(stage)[index];
            let flipped = value ^ (1 << (bits - 1 - u32::from(bit.0)));
            let fifos = &mut self.fifos[stage];
            match fifos.get_mut(index / 2) {
                Some(fifo) => {
                    let mut pointers = fifo.control();
                    pointers[index % 2] = flipped;
                    fifo.set_control(pointers);
                }
                None => self.stages[stage].set_control(index - 2 * fifos.len(), flipped),
            }
            return;
        }
        let (source, at) = self.place(stage, index);
        let own = self.stages[stage].words(element).len();
        let unit = &mut self.stages[stage];
        let (signal, word) = match element {
            Element::Fifo => (unit.input_signals()[source], self.fifos[stage][source].word_mut(at)),
            _ if index < own => (*unit.signal(element), &mut unit.words_mut(element)[index]),
            _ => (*unit.signal(element), &mut self.output.values[index - own]),
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
