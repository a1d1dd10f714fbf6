//! `StateBook`: the states that registers were in between changes, each once, and what they do to outputs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};

use super::super::workspace::{Unusable, Workspace};
use super::super::{CampaignError, SiteOutcome};
use super::{Flight, MissionInput};
use crate::engine::{Engine, WeightChange};
use crate::fault::MissionStream;
use crate::hw::RegisterId;
use crate::num::cast;

/// States with so many wrong registers are looked for again; larger ones hardly occur twice.
const SHARED_REGISTERS: usize = 4;

/// The events that a state is judged on: `count` of them from `start` on, in a circle, as evenly apart as they can be.
///
/// With a random start every event is as likely as any other to be among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSample {
    /// The first event.
    pub start: usize,
    /// How many.
    pub count: usize,
}

/// Whose states are one when they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Those of all flights: for states that are judged on all events.
    AllFlights,
    /// Those of one flight: a sample that several flights shared would leave them an error in common, which no interval
    /// over flights shows.
    OwnFlight,
}

impl EventSample {
    /// All events.
    pub(super) const fn all(events: usize) -> Self {
        Self { start: 0, count: events }
    }

    /// Whether one of `events` events is among them.
    pub fn contains(self, event: usize, events: usize) -> bool {
        let distance = (event + events - self.start) % events;
        // The k-th stands floor(k * events / count) behind the first: one of them is here if a multiple of `events` lies in
        // a stretch of `count` numbers.
        (distance * self.count).div_ceil(events) * events < (distance + 1) * self.count
    }
}

/// What is asked of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// How many outputs change, and what that adds to the error.
    Errors,
    /// How many outputs change.
    Changes,
}

/// Where a state stands in the flight in which it first occurs.
#[derive(Debug, Clone, Copy)]
struct Owner {
    flight: usize,
    state: usize,
}

/// All states but the one as configured.
#[derive(Debug)]
pub(super) struct StateBook<'a> {
    pub(super) input: &'a MissionInput<'a>,
    pub(super) flights: &'a [Flight],
    /// By flight and state: its number in the book; none as configured.
    numbers: Vec<Vec<Option<u32>>>,
    owners: Vec<Owner>,
    /// By register: its place, with the value it should have in place of a difference.
    places: Vec<WeightChange>,
}

/// The wrong registers of a flight, state after state.
#[derive(Debug)]
struct Walk {
    changes: Vec<WeightChange>,
    registers: Vec<RegisterId>,
    /// By register: where it stands in both lists.
    position: Vec<Option<u32>>,
}

impl Walk {
    fn new(registers: usize) -> Self {
        Self { changes: Vec::new(), registers: Vec::new(), position: vec![None; registers] }
    }

    fn restart(&mut self) {
        for register in self.registers.drain(..) {
            self.position[register.index()] = None;
        }
        self.changes.clear();
    }

    fn step(&mut self, steps: &[(RegisterId, i64)], places: &[WeightChange]) {
        for (register, value) in steps {
            let place = places[register.index()];
            let delta = value - place.delta;
            match self.position[register.index()] {
                Some(position) if delta == 0 => {
                    let position = cast::index(position);
                    self.changes.swap_remove(position);
                    self.registers.swap_remove(position);
                    self.position[register.index()] = None;
                    if let Some(moved) = self.registers.get(position) {
                        self.position[moved.index()] = Some(cast::id(position));
                    }
                }
                Some(position) => self.changes[cast::index(position)].delta = delta,
                None if delta == 0 => {}
                None => {
                    self.position[register.index()] = Some(cast::id(self.changes.len()));
                    self.changes.push(WeightChange { delta, ..place });
                    self.registers.push(*register);
                }
            }
        }
    }

    /// What the state is, for finding it again.
    fn content(&self) -> Vec<(RegisterId, i64)> {
        let deltas = self.changes.iter().map(|change| change.delta);
        let mut content: Vec<_> = self.registers.iter().copied().zip(deltas).collect();
        content.sort_unstable();
        content
    }
}

/// An event and what is asked of it.
#[derive(Debug)]
struct Encounter<'a> {
    event: usize,
    /// By flight: the last state to look at.
    follow: &'a [usize],
    /// By number: the events on which it is to be judged.
    wanted: &'a [Option<EventSample>],
}

/// What one thread works with, event after event.
struct Worker {
    workspace: Workspace,
    walk: Walk,
    outcomes: Vec<SiteOutcome>,
    failure: Option<(usize, CampaignError)>,
}

impl<'a> StateBook<'a> {
    /// The states of all flights, in the order of flights and times.
    pub(super) fn new(input: &'a MissionInput<'a>, flights: &'a [Flight], sharing: Sharing) -> Self {
        let mut places = Vec::with_capacity(input.inventory.len());
        for array in input.inventory.arrays() {
            let tensor = input.network.node(array.node).op.tensor(array.tensor);
            let raw = tensor.expect("the inventory lists the network's tensors").raw();
            places.extend(raw.iter().enumerate().map(|(index, raw)| WeightChange {
                node: array.node,
                tensor: array.tensor,
                index,
                delta: *raw,
            }));
        }
        let mut book = Self { input, flights, numbers: Vec::with_capacity(flights.len()), owners: Vec::new(), places };
        let mut shared: HashMap<Vec<(RegisterId, i64)>, u32> = HashMap::new();
        let mut walk = Walk::new(input.inventory.len());
        for (flight, states) in flights.iter().enumerate() {
            walk.restart();
            if sharing == Sharing::OwnFlight {
                shared.clear();
            }
            let mut numbers = Vec::with_capacity(states.states());
            for state in 0..states.states() {
                walk.step(states.step(state), &book.places);
                let next = cast::id(book.owners.len());
                let number = match walk.changes.len() {
                    0 => None,
                    1..=SHARED_REGISTERS => Some(*shared.entry(walk.content()).or_insert(next)),
                    _ => Some(next),
                };
                if number == Some(next) {
                    book.owners.push(Owner { flight, state });
                }
                numbers.push(number);
            }
            book.numbers.push(numbers);
        }
        book
    }

    /// Number of states.
    pub(super) const fn len(&self) -> usize {
        self.owners.len()
    }

    /// Numbers of the states of a flight; none as configured.
    pub(super) fn of_flight(&self, flight: usize) -> &[Option<u32>] {
        &self.numbers[flight]
    }

    /// The events each state is judged on: so many, from a random start.
    pub(super) fn samples(&self, seed: u64, count: usize) -> Vec<EventSample> {
        let events = self.input.events.len();
        if count >= events {
            return vec![EventSample::all(events); self.len()];
        }
        let mut samples = Vec::with_capacity(self.len());
        for owned in self.owners.chunk_by(|a, b| a.flight == b.flight) {
            let flight = &self.flights[owned[0].flight];
            let mut draws = MissionStream::Samples.draws(seed, flight.replica);
            samples.extend(owned.iter().map(|_| EventSample { start: draws.below(events), count }));
        }
        samples
    }

    /// Evaluates each state that is wanted on its events; the others get no outcome. `progress` is told the number of
    /// evaluations done since it was last told.
    ///
    /// # Errors
    /// When an error cannot be added up; of several that of the first event.
    pub(super) fn evaluate(
        &self,
        wanted: &[Option<EventSample>],
        question: Question,
        progress: &(impl Fn(u64) + Sync),
    ) -> Result<Vec<SiteOutcome>, CampaignError> {
        let input = self.input;
        let engine = Engine::new(input.network);
        // A flight is followed up to the last of its own states that is wanted.
        let mut follow = vec![0; self.flights.len()];
        for (owner, _) in self.owners.iter().zip(wanted).filter(|(_, wanted)| wanted.is_some()) {
            follow[owner.flight] = owner.state;
        }
        let question_of = |event| Encounter { event, follow: &follow, wanted };
        let mut workers: Vec<Worker> = (0..rayon::current_num_threads())
            .map(|_| Worker {
                workspace: Workspace::new(&engine),
                walk: Walk::new(input.inventory.len()),
                outcomes: vec![SiteOutcome::default(); self.len()],
                failure: None,
            })
            .collect();
        // Events are handed out in order, and whoever has one finishes it: the first failure is always the same.
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        workers.par_iter_mut().with_max_len(1).for_each(|worker| {
            while !failed.load(Ordering::Relaxed) {
                let event = next.fetch_add(1, Ordering::Relaxed);
                if event >= input.events.len() {
                    break;
                }
                let data = &input.events[event];
                worker.workspace.begin(&engine, data);
                progress(self.meet(&question_of(event), worker, &engine));
                let Worker { workspace, outcomes, .. } = worker;
                if question == Question::Changes {
                    for number in workspace.effective() {
                        outcomes[number].changed_events += 1;
                    }
                    continue;
                }
                match workspace.judge(input.evaluator, data) {
                    Ok(_) => {
                        for (number, rise) in workspace.rises() {
                            outcomes[number] += SiteOutcome { changed_events: 1, rise_sum: rise };
                        }
                    }
                    Err(unusable) => {
                        worker.failure = Some((event, self.error(unusable, event)));
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
        let failures = workers.iter_mut().filter_map(|worker| worker.failure.take());
        if let Some((_, error)) = failures.min_by_key(|(event, _)| *event) {
            return Err(error);
        }
        let mut outcomes = vec![SiteOutcome::default(); self.len()];
        for worker in &workers {
            for (sum, outcome) in outcomes.iter_mut().zip(&worker.outcomes) {
                *sum += *outcome;
            }
        }
        Ok(outcomes)
    }

    /// Lets one event meet all states that are to be judged on it; how many those are.
    fn meet(&self, encounter: &Encounter<'_>, worker: &mut Worker, engine: &Engine<'_>) -> u64 {
        let Worker { workspace, walk, .. } = worker;
        let mut met = 0;
        for (flight, (states, numbers)) in self.flights.iter().zip(&self.numbers).enumerate() {
            walk.restart();
            for (state, number) in numbers.iter().enumerate().take(encounter.follow[flight] + 1) {
                walk.step(states.step(state), &self.places);
                let Some(number) = number.map(cast::index) else { continue };
                let owner = self.owners[number];
                let is_own = owner.flight == flight && owner.state == state;
                let sample = encounter.wanted[number].filter(|_| is_own);
                if sample.is_some_and(|sample| sample.contains(encounter.event, self.input.events.len())) {
                    workspace.evaluate_one(engine, number, &walk.changes);
                    met += 1;
                }
            }
        }
        met
    }

    fn error(&self, unusable: Unusable, event: usize) -> CampaignError {
        unusable.error(event, |number| {
            let Owner { flight, state } = self.owners[number];
            format!("the registers in state {state} of replica {}", self.flights[flight].replica)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_size_and_every_event_its_share() {
        let (events, count) = (13, 4);
        let mut shares = vec![0; events];
        for start in 0..events {
            let sample = EventSample { start, count };
            let members: Vec<usize> = (0..events).filter(|event| sample.contains(*event, events)).collect();
            assert_eq!(members.len(), count);
            for event in members {
                shares[event] += 1;
            }
        }
        assert_eq!(shares, vec![count; events]);
        assert!((0..events).all(|event| EventSample::all(events).contains(event, events)));
    }
}
