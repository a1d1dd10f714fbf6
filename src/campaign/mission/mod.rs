//! Missions: an accelerator exposed to upsets for hours, at the price of the upsets.
//!
//! [`MissionRun::fly`] runs replicas of a mission on the [`Machine`](crate::hw::Machine), cycle by cycle around every change
//! that something outside the registers can see, and leaves the frames between as steady pieces. [`MissionRun::judge`]
//! evaluates the states of those pieces with the engine and weighs them by the frames they last. What strikes, and when,
//! is `fault`'s to say; statistics over replicas are [`MissionSummary`]'s.

mod first_wrong;
mod flight;
mod ledger;
mod outcome;
mod states;
mod summary;

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroU64;
use std::ops::Range;

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

pub use flight::{Flight, FrameEvents};
pub use ledger::UpsetCounts;
pub use outcome::{BINS, BinSums, MissionOutcome};
pub use states::EventSample;
pub use summary::{Bound, Estimate, FirstWrong, MissionSummary, Quantity, SummaryPlan};

use first_wrong::JudgedStates;
use outcome::Weights;
use states::{Question, Sharing, StateBook};

use super::{CampaignError, Event, ExactSum, Inference, infer};
use crate::fault::FaultSources;
use crate::host::evaluator::Evaluator;
use crate::hw::schedule::Schedule;
use crate::hw::{Inventory, Load, Machine, Protection};
use crate::net::Network;
use crate::num::cast;

/// The accelerator and what it works on.
#[derive(Debug, Clone, Copy)]
pub struct MissionInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// Its times.
    pub schedule: &'a Schedule,
    /// Judge of its output.
    pub evaluator: &'a Evaluator,
    /// The events; each frame holds one of them, all alike likely.
    pub events: &'a [Event],
}

/// The events without a fault.
#[derive(Debug, Clone)]
pub struct FaultFree {
    /// What comes out, event by event.
    inference: Vec<Inference>,
    /// Sum over events of the error.
    pub error_sum: ExactSum,
    /// Cycles that a frame is inside: from the one in which it is offered to the one before its result stands in the output
    /// register.
    inside_cycles: u64,
}

impl FaultFree {
    /// Runs the events, and times some frames on the machine.
    ///
    /// # Errors
    /// When an error is no number, or too large to be added up exactly, or FIFOs are so small that stages wait for them.
    pub fn new(input: &MissionInput<'_>) -> Result<Self, CampaignError> {
        let inference = infer(input.network, input.evaluator, input.events)?;
        let error_sum = inference.iter().filter_map(|event| ExactSum::of(event.error)).sum();
        Ok(Self { inference, error_sum, inside_cycles: inside_cycles(input)? })
    }

    /// Frames whose result comes out within so many cycles.
    pub fn frames_within(&self, cycles: u64, schedule: &Schedule) -> u64 {
        let inside = self.inside_cycles;
        if cycles < inside { 0 } else { (cycles - inside) / schedule.interval_cycles.max(1) + 1 }
    }

    /// Mean error.
    pub fn mean_error(&self) -> f64 {
        self.error_sum.value() / cast::f64_from_count(self.inference.len())
    }
}

/// One mission: how the registers are protected, what happens to them, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Mission<'a> {
    /// Protection of every bit, in the order of their numbers.
    pub protection: &'a [Protection],
    /// What happens.
    pub sources: FaultSources<'a>,
    /// Cycles from one load of all registers to the next; only the one at power-up when absent.
    pub scrub_cycles: Option<NonZeroU64>,
    /// Length.
    pub cycles: u64,
    /// Seed of all draws.
    pub seed: u64,
}

impl Mission<'_> {
    /// Frames whose result comes out within the mission.
    pub fn frames(&self, input: &MissionInput<'_>, fault_free: &FaultFree) -> u64 {
        fault_free.frames_within(self.cycles, input.schedule)
    }
}

/// Cycles that a frame is inside, with frames coming as often as the schedule says: its latency and one more.
///
/// Frames are run until the counters and FIFO levels that one of them finds were there before: from then on everything
/// repeats.
fn inside_cycles(input: &MissionInput<'_>) -> Result<u64, CampaignError> {
    let (schedule, codes) = (input.schedule, input.events[0].codes());
    let inside = schedule.machine_latency_cycles(input.network) + 1;
    let interval = schedule.interval_cycles.max(1);
    let waits = |frame| CampaignError::Waits { frame, interval };
    let mut machine = Machine::new(input.network, input.inventory, schedule, |_| Protection::NONE);
    let (mut offered, mut entries, mut known, mut repeats) = (0, VecDeque::new(), HashSet::new(), false);
    while !repeats || !entries.is_empty() {
        let now = machine.cycle().0;
        let is_due = !repeats && offered * interval == now;
        if is_due && !machine.is_ready() {
            return Err(waits(offered));
        }
        if is_due {
            repeats = !known.insert(machine.progress());
            entries.push_back((offered, now));
            offered += 1;
        }
        machine.step(is_due.then_some(codes), Load::Hold);
        if machine.output().is_some()
            && let Some((frame, entry)) = entries.pop_front()
            && machine.cycle().0 - entry != inside
        {
            return Err(waits(frame));
        }
    }
    Ok(inside)
}

/// What came of some missions, and how it was judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// By flight.
    pub outcomes: Vec<MissionOutcome>,
    /// Different states that were judged; states of few wrong registers count once, however often they occur.
    pub states: usize,
    /// Events that each was judged on.
    pub events_per_state: usize,
    /// Whether those are all events, so that nothing is sampled but the strikes.
    pub is_exact: bool,
    /// Whether first wrong outputs were drawn from shares of all events; otherwise some come from the samples.
    pub is_first_wrong_exact: bool,
}

/// A mission of an accelerator, ready to be flown.
#[derive(Debug, Clone, Copy)]
pub struct MissionRun<'a> {
    /// The accelerator and what it works on.
    pub input: MissionInput<'a>,
    /// Its events without a fault.
    pub fault_free: &'a FaultFree,
    /// The mission.
    pub mission: Mission<'a>,
}

impl MissionRun<'_> {
    /// Flies some replicas; `progress` is told after each.
    ///
    /// A flight depends on the mission and the number of its replica alone.
    ///
    /// # Errors
    /// When an error of a frame is no number, or too large to be added up; of several, that of the first replica.
    pub fn fly(&self, replicas: Range<u32>, progress: &(impl Fn() + Sync)) -> Result<Vec<Flight>, CampaignError> {
        let flights: Vec<Result<Flight, CampaignError>> = replicas
            .into_par_iter()
            .map(|replica| {
                let flight = flight::fly(self, replica);
                progress();
                flight
            })
            .collect();
        flights.into_iter().collect()
    }

    /// Judges the states of all flights: each on all events where that takes `evaluations` at most, otherwise each, flight by
    /// flight, on a systematic sample of them (of at least one event, also where that takes more). `progress` is told the
    /// number of evaluations, done since it was last told and in all.
    ///
    /// # Errors
    /// When an error is no number, or too large to be added up; of several, that of the first event.
    pub fn judge(
        &self,
        flights: &[Flight],
        evaluations: u64,
        progress: &(impl Fn(u64, u64) + Sync),
    ) -> Result<Judged, CampaignError> {
        let Self { input, mission, .. } = self;
        let events = input.events.len();
        let affordable = |book: &StateBook<'_>| {
            let each = evaluations / cast::u64_from_len(book.len()).max(1);
            usize::try_from(each).unwrap_or(events).clamp(1, events)
        };
        let mut book = StateBook::new(input, flights, Sharing::AllFlights);
        let is_exact = affordable(&book) == events;
        if !is_exact {
            book = StateBook::new(input, flights, Sharing::OwnFlight);
        }
        let (states, events_per_state) = (book.len(), affordable(&book));
        let wanted: Vec<Option<EventSample>> =
            book.samples(mission.seed, events_per_state).into_iter().map(Some).collect();
        let total = cast::u64_from_len(states) * cast::u64_from_len(events_per_state);
        let judged = book.evaluate(&wanted, Question::Errors, &|done| progress(done, total))?;
        let states_judged = JudgedStates {
            outcomes: &judged,
            events_per_state,
            // Without a judge an evaluation costs about a quarter.
            evaluations: evaluations.saturating_mul(4),
        };
        let (first_wrong, is_first_wrong_exact) = first_wrong::find(&book, &states_judged, mission.seed)?;
        let weights = Weights {
            interval_cycles: input.schedule.interval_cycles,
            inside_cycles: self.fault_free.inside_cycles,
            period_s: input.schedule.clock.period_s(),
            events_per_state,
            mean_error: self.fault_free.mean_error(),
        };
        let outcomes = flights
            .iter()
            .zip(first_wrong)
            .enumerate()
            .map(|(number, (flight, first))| {
                MissionOutcome::new(flight, book.of_flight(number), &judged, &weights, first)
            })
            .collect();
        Ok(Judged { outcomes, states, events_per_state, is_exact, is_first_wrong_exact })
    }
}
