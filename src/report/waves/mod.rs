//! A machine cycle by cycle as waveforms: a value change dump (IEEE 1364), which waveform viewers show.
//!
//! `docs/waves.md` says what the variables mean. In each cycle three times are written: the rising edge, with all registers and
//! wires; a quarter of a period later what strikes, and what that changes; the falling edge. So just before a rising edge
//! everything is as the machine has it in the cycle that ends there, and just after it registers are as the edge leaves them.

mod layout;
mod signals;

use std::collections::BTreeSet;
use std::io::{self, Write};

use layout::Layout;
use signals::{Bits, SignalIdx, Signals};

use super::edge_times::EdgeTimes;
use crate::campaign::{Observed, Observer};
use crate::fault::Upset;
use crate::hw::{Cycle, Element, Load, Machine, RegisterId};
use crate::num::cast;

/// Words of stages that are shown unless another limit is given.
pub const DEFAULT_WORDS_LIMIT: usize = 20_000;

/// Writes waveforms of the cycles observed.
///
/// Equal recordings give equal bytes.
pub struct Waves<W: Write> {
    signals: Signals<W>,
    layout: Layout,
    times: EdgeTimes,
    /// Registers that may have looked otherwise than configured in the last cycle.
    disturbed: BTreeSet<RegisterId>,
    /// Registers that are hit in this cycle, with what their copies then hold.
    struck: Vec<(RegisterId, [u64; 3])>,
    /// Where other state is hit in this cycle: all of it as it then is.
    struck_state: Vec<(SignalIdx, Bits)>,
    /// Markers that are up.
    pulses: Vec<SignalIdx>,
    injections: u64,
    /// The cycle that follows the last one observed.
    end: Cycle,
}

impl<W: Write> Waves<W> {
    /// Writes the header for a machine. Words of stages are shown kind by kind, in the order control, accumulator, pipeline,
    /// FIFO, window, line buffer; a kind with which there were more than `words_limit` words is left out in all stages.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn new(writer: W, machine: &Machine<'_>, times: EdgeTimes, words_limit: usize) -> io::Result<Self> {
        let mut signals = Signals::new(writer)?;
        let layout = Layout::declare(&mut signals, machine, words_limit)?;
        Ok(Self {
            signals,
            layout,
            times,
            disturbed: BTreeSet::new(),
            struck: Vec::new(),
            struck_state: Vec::new(),
            pulses: Vec::new(),
            injections: 0,
            end: machine.cycle(),
        })
    }

    /// Number of variables.
    pub fn variables(&self) -> usize {
        self.signals.len()
    }

    /// Kinds of words for which there was no room.
    pub fn left_out(&self) -> &[Element] {
        &self.layout.left_out
    }

    /// Writes the edge that ends the last cycle, with what the registers then hold, and ends the file.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> io::Result<()> {
        self.lower_pulses();
        self.signals.set(self.layout.top.clock, true.into());
        self.signals.write(self.times.edge_ps(self.end))?;
        self.signals.finish()
    }

    fn lower_pulses(&mut self) {
        for pulse in self.pulses.drain(..) {
            self.signals.set(pulse, false.into());
        }
    }

    fn show_copies(&mut self, machine: &Machine<'_>, register: RegisterId, copies: [u64; 3]) {
        let triplicated = machine.bank().triplicated_bits(register);
        for (signal, bits) in self.layout.registers[register.index()].copies(copies, triplicated) {
            self.signals.set(signal, bits);
        }
    }

    fn show_voted(&mut self, machine: &Machine<'_>, register: RegisterId) {
        let voted = self.layout.registers[register.index()].voted();
        self.signals.set(voted, Bits::of_signed(machine.bank().value(register)));
    }

    /// What changes at clock edges only, weights aside.
    fn state(&self, machine: &Machine<'_>) -> Vec<(SignalIdx, Bits)> {
        let mut state = Vec::new();
        for (at, stage) in self.layout.stages.iter().enumerate() {
            let activity = machine.activity(at);
            state.push((stage.waiting, Bits::of(activity.waiting)));
            state.push((stage.in_pipeline, Bits::of(activity.in_pipeline)));
            state.extend(stage.words.iter().map(|(word, signal)| (*signal, Bits::of_signed(machine.word(*word)))));
        }
        for (array, counter) in self.layout.arrays.iter().zip(machine.bank().error_counters()) {
            state.push((array.error_counter, Bits::of(u64::from(*counter))));
        }
        let output = machine.output();
        state.push((self.layout.top.output_valid, output.is_some().into()));
        for (word, signal) in self.layout.top.output.iter().enumerate() {
            state.push((*signal, output.map_or(Bits::UNKNOWN, |output| Bits::of_signed(output[word]))));
        }
        state
    }

    fn show_state(&mut self, state: Vec<(SignalIdx, Bits)>) {
        for (signal, bits) in state {
            self.signals.set(signal, bits);
        }
    }

    /// Wires that no strike of this cycle can have moved.
    fn show_wires(&mut self, now: &Observed<'_>) {
        let top = &self.layout.top;
        self.signals.set(top.load, (now.load == Load::Reload).into());
        self.signals.set(top.frame_valid, now.offered.is_some().into());
        self.signals.set(top.frame_ready, now.is_ready.into());
        self.signals.set(top.frame, now.offered.map_or(Bits::UNKNOWN, Bits::of));
        for (at, stage) in self.layout.stages.iter().enumerate() {
            let activity = now.machine.activity(at);
            self.signals.set(stage.working, activity.is_working.into());
            self.signals.set(stage.stalled, activity.is_stalled.into());
        }
    }

    /// The markers, and all that the strikes of this cycle have moved.
    fn show_strikes(&mut self, now: &Observed<'_>) {
        let struck = std::mem::take(&mut self.struck);
        for (register, copies) in &struck {
            self.show_copies(now.machine, *register, *copies);
            self.show_voted(now.machine, *register);
            let own = self.layout.registers[register.index()];
            let array = self.layout.arrays[own.array];
            let flag = now.machine.bank().error_flags()[own.array];
            self.signals.set(array.error_flag, flag.into());
            for pulse in [own.injected(), array.injected, array.stage_injected] {
                self.signals.set(pulse, true.into());
                self.pulses.push(pulse);
            }
        }
        self.struck = struck;
        let state = std::mem::take(&mut self.struck_state);
        self.show_state(state);
        for fault in now.faults {
            if let Upset::State(bit) = fault.upset {
                let injected = self.layout.stages[bit.stage].injected;
                self.signals.set(injected, true.into());
                self.pulses.push(injected);
            }
        }
        self.injections += cast::u64_from_len(now.faults.len());
        self.signals.set(self.layout.top.injections, Bits::of(self.injections));
    }
}

impl<W: Write> Observer for Waves<W> {
    type Error = io::Error;

    fn begin(&mut self, machine: &Machine<'_>) -> io::Result<()> {
        self.end = machine.cycle();
        self.signals.set(self.layout.top.injections, Bits::of(0));
        for at in 0..self.layout.stages.len() {
            self.signals.set(self.layout.stages[at].injected, false.into());
        }
        for (array, flag) in self.layout.arrays.iter().zip(machine.bank().error_flags()) {
            self.signals.set(array.injected, false.into());
            self.signals.set(array.error_flag, (*flag).into());
        }
        for register in machine.inventory().registers() {
            self.show_copies(machine, register, machine.bank().copy_bits(register));
            self.show_voted(machine, register);
            self.signals.set(self.layout.registers[register.index()].injected(), false.into());
        }
        self.disturbed = machine.bank().disturbed().collect();
        let state = self.state(machine);
        self.show_state(state);
        Ok(())
    }

    fn before_edge(&mut self, now: &Observed<'_>) -> io::Result<()> {
        let inventory = now.machine.inventory();
        let struck: BTreeSet<RegisterId> =
            now.faults.iter().filter_map(|fault| Some(inventory.locate_bit(fault.upset.register_bit()?).0)).collect();
        if now.faults.iter().any(|fault| matches!(fault.upset, Upset::State(_))) {
            self.struck_state = self.state(now.machine);
        }
        let bank = now.machine.bank();
        self.struck = struck.into_iter().map(|register| (register, bank.copy_bits(register))).collect();
        Ok(())
    }

    fn after_edge(&mut self, now: &Observed<'_>) -> io::Result<()> {
        let (machine, bank) = (now.machine, now.machine.bank());
        let edge = self.times.edge_ps(now.cycle);
        let period = self.times.period_ps();
        self.lower_pulses();
        self.signals.set(self.layout.top.clock, true.into());
        self.show_wires(now);
        let disturbed: BTreeSet<RegisterId> = bank.disturbed().collect();
        let struck: BTreeSet<RegisterId> = self.struck.iter().map(|(register, _)| *register).collect();
        let earlier = std::mem::take(&mut self.disturbed);
        let moved: BTreeSet<RegisterId> = earlier.union(&disturbed).copied().collect();
        for register in moved.difference(&struck) {
            self.show_voted(machine, *register);
        }
        let struck_arrays: BTreeSet<usize> = struck.iter().map(|register| self.layout.array_of(*register)).collect();
        for (number, flag) in bank.error_flags().iter().enumerate() {
            if !struck_arrays.contains(&number) {
                self.signals.set(self.layout.arrays[number].error_flag, (*flag).into());
            }
        }
        self.signals.write(edge)?;
        if !now.faults.is_empty() {
            self.show_strikes(now);
            self.signals.write(edge + period / 4)?;
            self.signals.happen(self.layout.top.injection)?;
        }
        self.signals.set(self.layout.top.clock, false.into());
        self.signals.write(edge + period / 2)?;
        // From the next edge on.
        for register in moved.union(&struck) {
            self.show_copies(machine, *register, bank.copy_bits(*register));
        }
        let state = self.state(machine);
        self.show_state(state);
        self.disturbed = disturbed;
        self.end = machine.cycle();
        Ok(())
    }
}
