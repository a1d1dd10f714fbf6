//! `MissionOutcome`: what one replica of a mission came to, once its states are judged.

use std::ops::Range;

use super::super::SiteOutcome;
use super::{Flight, UpsetCounts};
use crate::num::cast;

/// Parts of equal length that a mission's frames are cut into, to see how things go with time.
pub const BINS: usize = 24;

/// Frames of one part of a mission.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BinSums {
    /// How many there are.
    pub frames: u64,
    /// How many of them are expected to be wrong, given the states.
    pub wrong: f64,
    /// Sum over them of the error minus that of the same event without a fault.
    pub rise: f64,
}

/// What one replica came to.
///
/// Frames that ran on the machine count as they came out; those of steady pieces as the mean over the events that their
/// state was judged on.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionOutcome {
    /// Number of the replica.
    pub replica: u32,
    /// What became of its upsets.
    pub counts: UpsetCounts,
    /// Frames of the mission.
    pub frames: u64,
    /// Of these, the ones that ran on the machine.
    pub machine_frames: u64,
    /// Wrong outputs: different from the fault-free output of the same event.
    pub wrong: f64,
    /// Of these, the ones with no error flag up while the frame was inside.
    pub silent: f64,
    /// Frames in states that change the output of an event they were judged on, and wrong frames on the machine.
    pub degraded_frames: u64,
    /// Mean error of the outputs.
    pub mean_error: f64,
    /// The same minus the fault-free mean error.
    pub error_rise: f64,
    /// Time until the first wrong output comes out, in seconds.
    pub first_wrong_s: Option<f64>,
    /// The mission in parts of equal length.
    pub bins: [BinSums; BINS],
}

/// What frames are worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    pub interval_cycles: u64,
    pub inside_cycles: u64,
    pub period_s: f64,
    pub events_per_state: usize,
    pub mean_error: f64,
}

impl MissionOutcome {
    /// The outcome of a flight; `numbers` are those of its states in `judged`, `first` its first wrong frame.
    pub(super) fn new(
        flight: &Flight,
        numbers: &[Option<u32>],
        judged: &[SiteOutcome],
        weights: &Weights,
        first: Option<u64>,
    ) -> Self {
        let mut outcome = Self {
            replica: flight.replica,
            counts: flight.counts,
            frames: flight.frames,
            machine_frames: flight.machine.frames,
            wrong: 0.0,
            silent: 0.0,
            degraded_frames: 0,
            mean_error: weights.mean_error,
            error_rise: 0.0,
            first_wrong_s: first.map(|frame| {
                // Its result stands in the output register after the last cycle inside.
                let cycles = frame * weights.interval_cycles + weights.inside_cycles;
                cast::f64_from_u64(cycles) * weights.period_s
            }),
            bins: [BinSums::default(); BINS],
        };
        for (bin, sums) in outcome.bins.iter_mut().enumerate() {
            let Range { start, end } = bin_frames(flight.frames, bin);
            sums.frames = end - start;
        }
        let events = cast::f64_from_count(weights.events_per_state);
        for piece in &flight.pieces {
            let Some(number) = numbers[cast::index(piece.state)] else { continue };
            let SiteOutcome { changed_events, rise_sum } = judged[cast::index(number)];
            if changed_events == 0 {
                continue;
            }
            let (share, rise) = (f64::from(changed_events) / events, rise_sum.value() / events);
            outcome.degraded_frames += piece.frames;
            outcome.add(piece.first..piece.first + piece.frames, piece.flagged, share, rise);
        }
        outcome.silent += cast::f64_from_u64(flight.machine.silent);
        for (sums, machine) in outcome.bins.iter_mut().zip(&flight.machine.bins) {
            outcome.wrong += machine.wrong;
            outcome.degraded_frames += cast::floor_i64(machine.wrong).unsigned_abs();
            sums.wrong += machine.wrong;
            sums.rise += machine.rise;
        }
        if outcome.frames > 0 {
            let rise: f64 = outcome.bins.iter().map(|bin| bin.rise).sum();
            outcome.error_rise = rise / cast::f64_from_u64(outcome.frames);
            outcome.mean_error += outcome.error_rise;
        }
        outcome
    }

    /// Frames that are each wrong with a probability, and add so much to the error on average.
    fn add(&mut self, frames: Range<u64>, flagged: bool, share: f64, rise: f64) {
        let count = cast::f64_from_u64(frames.end - frames.start);
        self.wrong += count * share;
        if !flagged {
            self.silent += count * share;
        }
        for (bin, sums) in self.bins.iter_mut().enumerate() {
            let Range { start, end } = bin_frames(self.frames, bin);
            let (start, end) = (start.max(frames.start), end.min(frames.end));
            if start < end {
                let count = cast::f64_from_u64(end - start);
                sums.wrong += count * share;
                sums.rise += count * rise;
            }
        }
    }
}

/// The part of a mission that a frame is in.
pub(super) fn bin_of(frames: u64, frame: u64) -> usize {
    let bins = u128::from(cast::u64_from_len(BINS));
    let bin = ((u128::from(frame) + 1) * bins - 1) / u128::from(frames);
    usize::try_from(bin).expect("a frame of the mission")
}

/// The frames of one part of a mission.
fn bin_frames(frames: u64, bin: usize) -> Range<u64> {
    let edge = |bin: usize| {
        let edge = u128::from(frames) * u128::from(cast::u64_from_len(bin)) / u128::from(cast::u64_from_len(BINS));
        u64::try_from(edge).expect("no edge lies beyond the last frame")
    };
    edge(bin)..edge(bin + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_all_frames() {
        for frames in [0, 1, 23, 24, 25, 3_456_000_000_000, u64::MAX] {
            let bins: Vec<Range<u64>> = (0..BINS).map(|bin| bin_frames(frames, bin)).collect();
            assert_eq!((bins[0].start, bins[BINS - 1].end), (0, frames));
            assert!(bins.windows(2).all(|pair| pair[0].end == pair[1].start));
            for (number, bin) in bins.into_iter().enumerate().filter(|(_, bin)| !bin.is_empty()) {
                assert_eq!((bin_of(frames, bin.start), bin_of(frames, bin.end - 1)), (number, number));
            }
        }
    }
}
