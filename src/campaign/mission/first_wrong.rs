//! When the first wrong output of each flight comes.
//!
//! Frames that ran on the machine are known one by one. In a steady piece each frame is wrong with a probability that all
//! events together give exactly, so the first one is drawn: a geometric number of frames.

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

/// The first wrong frame of each flight; `judged` are outcomes of all states on all events, where there are any.
pub(super) fn find(
    book: &StateBook<'_>,
    judged: Option<&[SiteOutcome]>,
    seed: u64,
) -> Result<Vec<Option<u64>>, CampaignError> {
    let mut known: Vec<Option<u32>> = match judged {
        Some(outcomes) => outcomes.iter().map(|outcome| Some(outcome.changed_events)).collect(),
        None => vec![None; book.len()],
    };
    let events = book.input.events.len();
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
        let mut asks = false;
        for number in searches.iter().flat_map(|search| search.states(at_once)) {
            if known[number].is_none() {
                wanted[number] = Some(EventSample::all(events));
                asks = true;
            }
        }
        if asks {
            let outcomes = book.evaluate(&wanted, Question::Changes, &|_| {})?;
            for (known, (outcome, wanted)) in known.iter_mut().zip(outcomes.iter().zip(&wanted)) {
                if wanted.is_some() {
                    *known = Some(outcome.changed_events);
                }
            }
        }
        for search in &mut searches {
            search.advance(&known, events);
        }
        at_once *= 2;
    }
    Ok(searches.into_iter().map(|search| search.found).collect())
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
    fn advance(&mut self, known: &[Option<u32>], events: usize) {
        while !self.is_over {
            let piece = self.flight.pieces.get(self.piece);
            let Some(piece) = piece.filter(|piece| self.found.is_none_or(|frame| piece.first < frame)) else {
                self.is_over = true;
                break;
            };
            if let Some(number) = self.numbers[cast::index(piece.state)] {
                let Some(changed) = known[cast::index(number)] else { break };
                if let Some(before) = self.right_frames(changed, events)
                    && before < piece.frames
                {
                    self.found = Some(piece.first + before);
                    self.is_over = true;
                }
            }
            self.piece += 1;
        }
    }

    /// Frames before the first wrong one, when each is wrong with probability `changed / events`.
    fn right_frames(&mut self, changed: u32, events: usize) -> Option<u64> {
        if changed == 0 {
            return None;
        }
        let events = cast::f64_from_count(events);
        if f64::from(changed) >= events {
            return Some(0);
        }
        // An exponential number, rounded down, in units in which it is geometric.
        let rate = -ln(1.0 - f64::from(changed) / events);
        Some(cast::floor_i64(self.draws.exponential() / rate).unsigned_abs())
    }
}
