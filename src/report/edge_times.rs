//! `EdgeTimes`: when clock edges happen, in whole picoseconds.

use std::fmt;

use crate::hw::Cycle;
use crate::hw::schedule::timing::Clock;
use crate::num::cast;

/// Shortest period whose quarters are whole picoseconds apart.
const SHORTEST_PS: f64 = 4.0;

/// Longest period, of a clock of 1 Hz.
const LONGEST_PS: f64 = 1e12;

/// Why there are no times.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TimesError {
    /// A period that does not suit picoseconds.
    #[error(
        "a clock period of {period_s} s cannot be written in whole picoseconds; give a clock between 1e-6 and 250000 MHz"
    )]
    Period {
        /// The period.
        period_s: f64,
    },
    /// A time that the readers of waveforms cannot count to.
    #[error(
        "cycle {}: is later than 2^63 ps, which is as far as waveforms go; with this clock cycle {} is the last",
        cycle.0, last.0
    )]
    TooLate {
        /// The cycle.
        cycle: Cycle,
        /// The last one that has a time.
        last: Cycle,
    },
}

/// Times of the edges of a clock: cycle `c` begins `c` periods after cycle 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeTimes {
    period_ps: u64,
}

/// A time in nanoseconds, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nanoseconds {
    ps: u64,
}

impl EdgeTimes {
    /// The edges of a clock, its period rounded to whole picoseconds, up to the one that begins cycle `end`.
    ///
    /// # Errors
    /// When the period is below 4 ps or above 1 s, or `end` is later than 2^63 ps.
    pub fn new(clock: Clock, end: Cycle) -> Result<Self, TimesError> {
        let seconds = clock.period_s();
        let rounded = (seconds * 1e12).round();
        if !(SHORTEST_PS..=LONGEST_PS).contains(&rounded) {
            return Err(TimesError::Period { period_s: seconds });
        }
        let period_ps = cast::floor_i64(rounded).unsigned_abs();
        let last = Cycle(i64::MAX.unsigned_abs() / period_ps);
        if end > last {
            return Err(TimesError::TooLate { cycle: end, last });
        }
        Ok(Self { period_ps })
    }

    /// The period, in picoseconds.
    pub const fn period_ps(self) -> u64 {
        self.period_ps
    }

    /// The edge with which a cycle begins, in picoseconds; cycles later than the end given are all at the end of time.
    pub const fn edge_ps(self, cycle: Cycle) -> u64 {
        cycle.0.saturating_mul(self.period_ps)
    }

    /// The same in nanoseconds.
    pub(super) const fn edge(self, cycle: Cycle) -> Nanoseconds {
        Nanoseconds { ps: self.edge_ps(cycle) }
    }
}

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.ps / 1000, self.ps % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_times() {
        for (mhz, period_ps, text) in [
            (40.0, 25_000, "75"),
            (320.0, 3125, "9.375"),
            (333.0, 3003, "9.009"),
            (2000.0, 500, "1.5"),
            (1e-6, 1_000_000_000_000, "3000000000"),
        ] {
            let times = EdgeTimes::new(Clock::new(mhz).unwrap(), Cycle(3)).unwrap();
            assert_eq!((times.period_ps(), times.edge_ps(Cycle(3))), (period_ps, 3 * period_ps));
            assert_eq!(times.edge(Cycle(3)).to_string(), text);
        }
        for mhz in [1e6, 1e-7] {
            let error = EdgeTimes::new(Clock::new(mhz).unwrap(), Cycle(0)).unwrap_err();
            assert!(error.to_string().contains("between 1e-6 and 250000 MHz"), "{error}");
        }
        let last = Cycle(i64::MAX.unsigned_abs() / 25_000);
        assert!(EdgeTimes::new(Clock::new(40.0).unwrap(), last).is_ok());
        let cycle = Cycle(last.0 + 1);
        assert_eq!(EdgeTimes::new(Clock::new(40.0).unwrap(), cycle), Err(TimesError::TooLate { cycle, last }));
    }
}
