//! `Flight`: one replica of a mission on the machine, cycle by cycle around what happens, in pieces between.
//!
//! Every frame of the mission is either in a *piece*, a row of frames that all meet the same registers from their entry to
//! their result, or has run on the machine. Frames of pieces are not evaluated here.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::super::{CampaignError, ExactSum};
use super::ledger::{Ledger, UpsetCounts};
use super::outcome::{BINS, BinSums, bin_of};
use super::{FaultFree, Mission, MissionInput, MissionRun};
use crate::fault::{Draws, MissionStream, Timeline, Upset};
use crate::host::evaluator::EvaluatorScratch;
use crate::hw::{BitId, Cycle, Load, Machine, RegisterId, Visibility};
use crate::num::cast;

/// Frames in a row that meet the same registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Number of the state among those of the flight.
    pub state: u32,
    /// The first frame.
    pub first: u64,
    /// How many.
    pub frames: u64,
    /// Whether an error flag is up while they are inside.
    pub flagged: bool,
}

/// Frames that ran on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct MachineFrames {
    pub frames: u64,
    /// Those that came out wrong with no error flag up while they were inside.
    pub silent: u64,
    /// The first that came out wrong.
    pub first_wrong: Option<u64>,
    /// Those that came out wrong, and how much the error rose in them, by part of the mission.
    pub bins: [BinSums; BINS],
}

/// One replica of a mission.
#[derive(Debug, Clone, PartialEq)]
pub struct Flight {
    pub(super) replica: u32,
    pub(super) counts: UpsetCounts,
    pub(super) frames: u64,
    pub(super) machine: MachineFrames,
    pub(super) pieces: Vec<Piece>,
    /// Registers that changed from one state to the next, with what is then read of them.
    steps: Vec<(RegisterId, i64)>,
    /// Where the steps to each state end; state 0 is as configured.
    ends: Vec<u32>,
}

impl Flight {
    /// Number of states it went through.
    pub(super) fn states(&self) -> usize {
        self.ends.len()
    }

    /// What changes from the state before to this one.
    pub(super) fn step(&self, state: usize) -> &[(RegisterId, i64)] {
        let start = if state == 0 { 0 } else { cast::index(self.ends[state - 1]) };
        &self.steps[start..cast::index(self.ends[state])]
    }

    /// Number of the replica.
    pub const fn replica(&self) -> u32 {
        self.replica
    }

    /// What became of its upsets.
    pub const fn counts(&self) -> &UpsetCounts {
        &self.counts
    }
}

/// Which event is in a frame of one replica: a draw of its own for each frame, all events alike likely.
#[derive(Debug, Clone, Copy)]
pub struct FrameEvents {
    key: u64,
    events: usize,
}

impl FrameEvents {
    /// Of one replica of a seed, among so many events.
    pub fn new(seed: u64, replica: u32, events: usize) -> Self {
        let mut draws = MissionStream::Frames.draws(seed, replica);
        let mut half = || cast::u64_from_len(draws.below(1 << 31));
        Self { key: half() << 31 | half(), events }
    }

    /// Number of the event in a frame.
    ///
    /// # Panics
    /// When there is no event.
    pub fn at(self, frame: u64) -> usize {
        Draws::new(self.key, frame).below(self.events)
    }
}

/// Flies one replica.
pub(super) fn fly(run: &MissionRun<'_>, replica: u32) -> Result<Flight, CampaignError> {
    let MissionRun { input, fault_free, mission } = run;
    let protection = |bit: BitId| mission.protection[bit.index()];
    let frames = mission.frames(input, fault_free);
    let mut pilot = Pilot {
        input,
        fault_free,
        mission,
        interval: input.schedule.interval_cycles.max(1),
        inside: fault_free.inside_cycles,
        machine: Machine::new(input.network, input.inventory, input.schedule, protection),
        timeline: mission.sources.timeline(mission.seed, replica, Cycle(mission.cycles)),
        ledger: Ledger::new(input.inventory, mission.protection),
        events: FrameEvents::new(mission.seed, replica, input.events.len()),
        next_frame: 0,
        seen: 0,
        flagged: false,
        needs_scrub: false,
        wrong: BTreeMap::new(),
        upsets: Vec::new(),
        scratch: EvaluatorScratch::default(),
        flight: Flight {
            replica,
            counts: UpsetCounts::default(),
            frames,
            machine: MachineFrames::default(),
            pieces: Vec::new(),
            steps: Vec::new(),
            ends: vec![0],
        },
    };
    pilot.fly()?;
    let Pilot { mut flight, ledger, machine, .. } = pilot;
    flight.counts = ledger.end(machine.bank());
    Ok(flight)
}

/// A flight under way.
struct Pilot<'a> {
    input: &'a MissionInput<'a>,
    fault_free: &'a FaultFree,
    mission: &'a Mission<'a>,
    /// Cycles from one frame to the next.
    interval: u64,
    /// Cycles that a frame is inside.
    inside: u64,
    machine: Machine<'a>,
    timeline: Timeline<'a>,
    ledger: Ledger<'a>,
    events: FrameEvents,
    /// The first frame that is neither in a piece nor has run on the machine.
    next_frame: u64,
    /// Frames that the machine took or passed.
    seen: u64,
    /// Whether an error flag is up between changes.
    flagged: bool,
    /// Whether the next scrub can change anything.
    needs_scrub: bool,
    /// Registers that are read wrong between changes.
    wrong: BTreeMap<RegisterId, i64>,
    /// What happens in the cycle at hand.
    upsets: Vec<Upset>,
    scratch: EvaluatorScratch,
    flight: Flight,
}

/// A frame on the machine.
struct Inside {
    frame: u64,
    /// The cycle in which it was offered.
    entry: u64,
    event: usize,
    flagged: bool,
}

impl Pilot<'_> {
    fn fly(&mut self) -> Result<(), CampaignError> {
        loop {
            let fault = self.timeline.next_cycle().map(|cycle| cycle.0);
            let scrub = self.next_scrub(self.machine.cycle().0).filter(|_| self.needs_scrub);
            let Some(at) = [fault, scrub].into_iter().flatten().min() else { break };
            self.upsets.clear();
            if fault == Some(at) {
                self.ledger.counts.strikes += self.timeline.advance(&mut self.upsets);
                // A strike on empty cells.
                if self.upsets.is_empty() && scrub != Some(at) {
                    continue;
                }
            }
            if !self.quietly(at) {
                self.around(at)?;
            }
        }
        self.steady_until(self.flight.frames);
        Ok(())
    }

    /// The first scrub edge of the mission from `cycle` on, if there is any.
    fn next_scrub(&self, cycle: u64) -> Option<u64> {
        let period = self.mission.scrub_cycles?.get();
        let edge = cycle.div_ceil(period).max(1).checked_mul(period)?;
        (edge < self.mission.cycles).then_some(edge)
    }

    fn is_scrub(&self, cycle: u64) -> bool {
        self.next_scrub(cycle) == Some(cycle)
    }

    /// The first frame that may be inside in a cycle, or whose result stands in the output register then.
    fn first_inside(&self, cycle: u64) -> u64 {
        cycle.saturating_sub(self.inside).div_ceil(self.interval)
    }

    /// The first frame that may be inside in a cycle.
    fn first_before_result(&self, cycle: u64) -> u64 {
        cycle.saturating_sub(self.inside - 1).div_ceil(self.interval)
    }

    /// So many cycles after a change nothing of it is left in flight, with time to spare.
    fn margin(&self) -> u64 {
        4 * (self.inside + self.interval)
    }

    /// All frames before `frame` that have no place yet meet the registers as they are.
    fn steady_until(&mut self, frame: u64) {
        let end = frame.min(self.flight.frames);
        let state = cast::id(self.flight.states() - 1);
        let flagged = self.flagged;
        self.piece(self.next_frame..end, state, flagged);
    }

    fn piece(&mut self, frames: Range<u64>, state: u32, flagged: bool) {
        if frames.is_empty() {
            return;
        }
        let count = frames.end - frames.start;
        match self.flight.pieces.last_mut() {
            Some(last)
                if last.state == state && last.flagged == flagged && last.first + last.frames == frames.start =>
            {
                last.frames += count;
            }
            _ => self.flight.pieces.push(Piece { state, first: frames.start, frames: count, flagged }),
        }
        self.next_frame = frames.end;
    }

    /// Does what happens in cycle `at` without running frames, if neither the datapath nor, for longer than the cycle, an
    /// error flag sees it, and nothing else happens soon.
    fn quietly(&mut self, at: u64) -> bool {
        let soon = at + self.margin();
        let fault_is_near = self.timeline.next_cycle().is_some_and(|next| next.0 < soon);
        if fault_is_near {
            return false;
        }
        if self.upsets.is_empty() {
            // A scrub that only puts copies right.
            if !self.wrong.is_empty() || self.flagged {
                return false;
            }
            self.rest_until(at);
            self.machine.step(None, Load::Reload);
            self.machine.rest(1);
            self.ledger.loaded(self.machine.bank(), Load::Reload);
            self.needs_scrub = false;
            return true;
        }
        if self.next_scrub(at).is_some_and(|scrub| scrub < soon) {
            return false;
        }
        let mut flips = Vec::with_capacity(self.upsets.len());
        for upset in &self.upsets {
            let Upset::Flip(flip_flop) = upset else { return false };
            let (register, bit) = self.input.inventory.locate_bit(flip_flop.bit);
            flips.push((register, bit, flip_flop.copy));
        }
        let visibility = self.machine.bank().visibility(&flips);
        match visibility {
            Visibility::Datapath => return false,
            Visibility::Nothing => {}
            Visibility::FlagOnce | Visibility::FlagStays if self.flagged => {}
            Visibility::FlagOnce => {
                self.steady_until(self.first_before_result(at));
                let state = cast::id(self.flight.states() - 1);
                let end = (at / self.interval + 1).min(self.flight.frames);
                self.piece(self.next_frame..end, state, true);
            }
            Visibility::FlagStays => {
                self.steady_until(self.first_before_result(at));
                self.flagged = true;
            }
        }
        self.rest_until(at);
        for (register, bit, copy) in flips {
            self.machine.bank_mut().flip(register, bit, copy);
        }
        self.machine.rest(1);
        self.ledger.masked(&self.upsets);
        self.needs_scrub = true;
        true
    }

    fn rest_until(&mut self, cycle: u64) {
        let now = self.machine.cycle().0;
        assert!(now <= cycle, "cycle {cycle} is over, it is {now}: a margin is too small");
        self.machine.rest(cycle - now);
    }

    /// Runs all frames that are inside when something happens in cycle `at`, and goes on until nothing moves any more.
    fn around(&mut self, at: u64) -> Result<(), CampaignError> {
        let first = self.first_inside(at);
        self.steady_until(first);
        let mut offered = self.next_frame;
        let start = at.min(first.saturating_mul(self.interval));
        self.rest_until(start);
        self.machine.pass(offered - self.seen);
        let mut inside: VecDeque<Inside> = VecDeque::new();
        let mut touched: Vec<RegisterId> = Vec::new();
        loop {
            let now = self.machine.cycle().0;
            if now > at && self.machine.bank().is_at_rest() {
                let soon = now.max(offered.saturating_mul(self.interval)) + self.margin();
                let fault = self.timeline.next_cycle().map(|cycle| cycle.0);
                let scrub = self.next_scrub(now).filter(|_| self.needs_scrub);
                if [fault, scrub].into_iter().flatten().all(|next| next >= soon) {
                    break;
                }
            }
            if now > at {
                self.upsets.clear();
                if self.timeline.next_cycle() == Some(Cycle(now)) {
                    self.ledger.counts.strikes += self.timeline.advance(&mut self.upsets);
                }
            }
            let load = if self.is_scrub(now) { Load::Reload } else { Load::Hold };
            if load == Load::Reload {
                self.ledger.at_rest(self.machine.bank());
                touched.extend(self.wrong.keys());
                self.needs_scrub = false;
            }
            if now >= at && !self.upsets.is_empty() {
                self.upset(&mut touched);
                self.needs_scrub = true;
            }
            let is_due = offered < self.flight.frames && offered.saturating_mul(self.interval) <= now;
            self.step(&mut offered, &mut inside, is_due, load)?;
            self.ledger.loaded(self.machine.bank(), load);
        }
        while !inside.is_empty() {
            self.step(&mut offered, &mut inside, false, Load::Hold)?;
        }
        self.ledger.at_rest(self.machine.bank());
        self.next_frame = offered;
        self.seen = offered;
        self.new_state(touched);
        Ok(())
    }

    /// Applies what happens in this cycle.
    fn upset(&mut self, touched: &mut Vec<RegisterId>) {
        self.ledger.before(&self.upsets, self.machine.bank());
        for upset in &self.upsets {
            touched.extend(upset.register_bit().map(|bit| self.input.inventory.locate_bit(bit).0));
            upset.strike(&mut self.machine);
        }
        self.ledger.after(self.machine.bank());
    }

    /// One cycle of the machine: the host reads the result that stands in the output register, as strikes of this cycle
    /// leave it, and offers the frame that is due.
    fn step(
        &mut self,
        offered: &mut u64,
        inside: &mut VecDeque<Inside>,
        is_due: bool,
        load: Load,
    ) -> Result<(), CampaignError> {
        if let Some(output) = self.machine.output()
            && let Some(done) = inside.pop_front()
        {
            let cycles = self.machine.cycle().0 - done.entry;
            assert!(cycles <= self.inside, "a frame was inside for {cycles} cycles, not {}", self.inside);
            let golden = &self.fault_free.inference[done.event];
            if output != golden.codes {
                let event = self.input.events[done.event].input();
                let error = self.input.evaluator.error(event, output, &golden.codes, &mut self.scratch);
                let rise = error - golden.error;
                if ExactSum::of(rise).is_none() {
                    let site = format!("the registers of frame {} of replica {}", done.frame, self.flight.replica);
                    return Err(CampaignError::Faulty { event: done.event, site, error });
                }
                let machine = &mut self.flight.machine;
                let bin = &mut machine.bins[bin_of(self.flight.frames, done.frame)];
                bin.wrong += 1.0;
                bin.rise += rise;
                machine.silent += u64::from(!done.flagged);
                machine.first_wrong.get_or_insert(done.frame);
            }
        }
        let mut frame = None;
        if is_due && self.machine.is_ready() {
            let event = self.events.at(*offered);
            inside.push_back(Inside { frame: *offered, entry: self.machine.cycle().0, event, flagged: false });
            frame = Some(self.input.events[event].codes());
            *offered += 1;
            self.flight.machine.frames += 1;
        }
        self.machine.step(frame, load);
        if self.machine.bank().error_flags().contains(&true) {
            for frame in inside.iter_mut() {
                frame.flagged = true;
            }
        }
        Ok(())
    }

    /// Books what is read of the registers `touched` from now on.
    fn new_state(&mut self, mut touched: Vec<RegisterId>) {
        let bank = self.machine.bank_mut();
        bank.settle();
        self.flagged = bank.error_flags().contains(&true);
        touched.sort_unstable();
        touched.dedup();
        let before = self.flight.steps.len();
        for register in touched {
            let (value, intended) = (bank.value(register), bank.intended(register));
            let known = self.wrong.get(&register).copied().unwrap_or(intended);
            if value == known {
                continue;
            }
            if value == intended {
                self.wrong.remove(&register);
            } else {
                self.wrong.insert(register, value);
            }
            self.flight.steps.push((register, value));
        }
        if self.flight.steps.len() > before {
            self.flight.ends.push(cast::id(self.flight.steps.len()));
        }
    }
}
