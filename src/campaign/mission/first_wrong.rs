//! When the first wrong output of each flight comes.
//!
//! Frames that ran on the machine are known one by one. In a steady piece each frame is wrong with a probability that all
//! events together give exactly, so the first one is drawn: a geometric number of frames. When that takes too long, because
//! most states change nothing, the events that judged a state have to do.

use super::super::quantiles::ln;
use super::super::{CampaignError, SiteOutcome};
use super::Flight;
use super::states::{EventSample, Question, StateBook};
use crate::fault::{Draws, MissionStream};
use crate::num::cast;

/// Looks through a flight from its begin.
struct Search<'f> {
    flight: &'f Flight,
    numbers: &'f [Option<u32>],
    draws: Draws,
    /// The next piece to look at.
    piece: usize,
    /// The first frame that is known to be wrong.
    found: Option<u64>,
    is_over: bool,
}

/// What is known of a state: it changes the output of so many of so many events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Changes {
    changed: u32,
    events: usize,
}

/// States as they were judged, on so many events each.
#[derive(Debug, Clone, Copy)]
pub(super) struct JudgedStates<'a> {
    pub outcomes: &'a [SiteOutcome],
    pub events_per_state: usize,
    /// Evaluations that may be spent to know states on all events.
    pub evaluations: u64,
}

/// The first wrong frame of each flight, and whether shares of all events led to them.
pub(super) fn find(
    book: &StateBook<'_>,
    judged: &JudgedStates<'_>,
    seed: u64,
) -> Result<(Vec<Option<u64>>, bool), CampaignError> {
    let events = book.input.events.len();
    let as_judged =
        |number: usize| Changes { changed: judged.outcomes[number].changed_events, events: judged.events_per_state };
    let mut is_exact = true;
    let mut left = judged.evaluations;
    let mut known: Vec<Option<Changes>> =
        (0..book.len()).map(|number| (judged.events_per_state == events).then(|| as_judged(number))).collect();
    let mut searches: Vec<Search<'_>> = book
        .flights
        .iter()
        .enumerate()
        .map(|(number, flight)| Search {
            flight,
            numbers: book.of_flight(number),
            draws: MissionStream::FirstWrong.draws(seed, flight.replica),
            piece: 0,
            found: flight.machine.first_wrong,
            is_over: false,
        })
        .collect();
    // Most flights end their search in one of the first states; who is still at it gets ever more at once.
    let mut at_once = 2;
    while searches.iter().any(|search| !search.is_over) {
        let mut wanted = vec![None; book.len()];
        for number in searches.iter().flat_map(|search| search.states(at_once)) {
            if known[number].is_none() {
                wanted[number] = Some(EventSample::all(events));
            }
        }
        let asked = wanted.iter().flatten().count();
        let price = cast::u64_from_len(asked) * cast::u64_from_len(events);
        if price > left {
            for (number, known) in known.iter_mut().enumerate() {
                known.get_or_insert_with(|| as_judged(number));
            }
            is_exact = false;
        } else if asked > 0 {
            left -= price;
            let outcomes = book.evaluate(&wanted, Question::Changes, &|_| {})?;
            for (known, (outcome, wanted)) in known.iter_mut().zip(outcomes.iter().zip(&wanted)) {
                if wanted.is_some() {
                    *known = Some(Changes { changed: outcome.changed_events, events });
                }
            }
        }
        for search in &mut searches {
            search.advance(&known);
        }
        at_once *= 2;
    }
    Ok((searches.into_iter().map(|search| search.found).collect(), is_exact))
}

impl Search<'_> {
    /// Numbers of the next states to look at.
    fn states(&self, at_once: usize) -> impl Iterator<Item = usize> {
        let pieces = if self.is_over { &[][..] } else { &self.flight.pieces[self.piece..] };
        let found = self.found;
        pieces
            .iter()
            .take_while(move |piece| found.is_none_or(|frame| piece.first < frame))
            .filter_map(|piece| self.numbers[cast::index(piece.state)].map(cast::index))
            .take(at_once)
    }

    /// Goes on as far as states are known.
    fn advance(&mut self, known: &[Option<Changes>]) {
        while !self.is_over {
            let piece = self.flight.pieces.get(self.piece);
            let Some(piece) = piece.filter(|piece| self.found.is_none_or(|frame| piece.first < frame)) else {
                self.is_over = true;
                break;
            };
            if let Some(number) = self.numbers[cast::index(piece.state)] {
                let Some(changes) = known[cast::index(number)] else { break };
                if let Some(before) = changes.right_frames(&mut self.draws)
                    && before < piece.frames
                {
                    self.found = Some(piece.first + before);
                    self.is_over = true;
                }
            }
            self.piece += 1;
        }
    }
}

impl Changes {
    /// Frames before the first wrong one, when each is wrong with this share as its probability.
    fn right_frames(self, draws: &mut Draws) -> Option<u64> {
        if self.changed == 0 {
            return None;
        }
        let events = cast::f64_from_count(self.events);
        if f64::from(self.changed) >= events {
            return Some(0);
        }
        // An exponential number, rounded down, in units in which it is geometric.
        let rate = -ln(1.0 - f64::from(self.changed) / events);
        Some(cast::floor_i64(draws.exponential() / rate).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_frames_are_geometric() {
        let mut draws = Draws::new(1, 1);
        assert_eq!(Changes { changed: 0, events: 7 }.right_frames(&mut draws), None);
        assert_eq!(Changes { changed: 7, events: 7 }.right_frames(&mut draws), Some(0));
        // A quarter of the frames is wrong: k right ones come first with probability 0.25 x 0.75^k.
        let mut counts = [0_u32; 8];
        let quarter = Changes { changed: 5, events: 20 };
        for _ in 0..40_000 {
            let right = usize::try_from(quarter.right_frames(&mut draws).unwrap()).unwrap();
            counts[right.min(7)] += 1;
        }
        let chi_square: f64 = (0_i32..)
            .zip(counts)
            .map(|(right, count)| {
                let share = if right == 7 { 0.75_f64.powi(7) } else { 0.25 * 0.75_f64.powi(right) };
                (f64::from(count) - 40_000.0 * share).powi(2) / (40_000.0 * share)
            })
            .sum();
        // Chi-square with 7 degrees of freedom: 24.3 is exceeded once in a thousand seeds.
        assert!(chi_square < 24.3, "{chi_square} {counts:?}");
    }
}
