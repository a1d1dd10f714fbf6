//! `Arrivals`: when particles strike, where, and how many neighboring cells they upset.
//!
//! A Poisson process: exponential times between strikes, never a draw per cycle. What lies in the cells is
//! [`Placement`](crate::hw::Placement)'s to say.

use super::{ClusterSizes, Draws};
use crate::hw::{CellIdx, Cycle};
use crate::num::cast;

/// A particle upsets neighboring cells at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// The cycle in which they are upset.
    pub at: Cycle,
    /// The first of the cells.
    pub first: CellIdx,
    /// How many cells, at least 1.
    pub size: usize,
}

/// The strikes on a row of cells in the order of their times, up to the end of a mission.
///
/// Depends on seed and replica alone; a longer mission begins with the strikes of a shorter one.
#[derive(Debug, Clone)]
pub struct Arrivals<'s> {
    draws: Draws,
    sizes: &'s ClusterSizes,
    cells: usize,
    /// Mean number of cycles between strikes; infinite when nothing ever strikes.
    mean_cycles: f64,
    /// Time of the last strike, in cycles.
    now: f64,
    end: Cycle,
}

impl<'s> Arrivals<'s> {
    /// Strikes on `cells` cells, `mean_cycles` cycles apart on average, before cycle `end`; `draws` is used up by them.
    ///
    /// Times are exact to a cycle below 2^53 cycles, seven years at 40 MHz.
    ///
    /// # Panics
    /// When there is no cell, or `mean_cycles` is not positive: rates are checked where they are read.
    pub fn new(draws: Draws, sizes: &'s ClusterSizes, cells: usize, mean_cycles: f64, end: Cycle) -> Self {
        assert!(cells > 0 && mean_cycles > 0.0, "{cells} cells struck every {mean_cycles} cycles");
        Self { draws, sizes, cells, mean_cycles, now: 0.0, end }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Strike;

    fn next(&mut self) -> Option<Strike> {
        self.now += self.draws.exponential() * self.mean_cycles;
        // Also false when the time is no number: 0 times infinity.
        if self.now.is_nan() || self.now >= cast::f64_from_u64(self.end.0) {
            return None;
        }
        let at = Cycle(cast::floor_i64(self.now).unsigned_abs());
        let first = CellIdx(cast::id(self.draws.below(self.cells)));
        let size = self.sizes.size_at(self.draws.unit());
        Some(Strike { at, first, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(replica: u64, mean: f64, end: u64) -> Vec<Strike> {
        let sizes = "1:0.9,2:0.07,5:0.03".parse().unwrap();
        Arrivals::new(Draws::new(5, replica), &sizes, 40, mean, Cycle(end)).collect()
    }

    fn chi_square(found: &[u32], expected: &[f64]) -> f64 {
        found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn the_same_strikes_for_ever() {
        let short = strikes(3, 1e9, 10_000_000_000);
        let strike = |at, first, size| Strike { at: Cycle(at), first: CellIdx(first), size };
        assert_eq!(short[..2], [strike(2_231_819_046, 31, 1), strike(2_586_765_939, 26, 1)]);
        let long = strikes(3, 1e9, 20_000_000_000);
        assert_eq!(long[..short.len()], short);
        assert!(long.is_sorted_by_key(|strike| strike.at) && long.len() > short.len());
        assert!(long.iter().all(|strike| strike.at < Cycle(20_000_000_000)));
        assert_ne!(strikes(4, 1e9, 20_000_000_000), long);
        assert_eq!((strikes(3, f64::INFINITY, u64::MAX), strikes(3, 1.0, 0)), (vec![], vec![]));
    }

    #[test]
    fn counts_are_poisson() {
        // 4 strikes expected in each of 20,000 missions.
        let mut counts = [0_u32; 11];
        for replica in 0..20_000 {
            counts[strikes(replica, 25.0, 100).len().min(10)] += 1;
        }
        let mut expected = [0.0; 11];
        let mut probability = (-4.0_f64).exp();
        for (count, expected) in (1_u32..).zip(&mut expected[..10]) {
            *expected = 20_000.0 * probability;
            probability *= 4.0 / f64::from(count);
        }
        expected[10] = 20_000.0 - expected[..10].iter().sum::<f64>();
        // Chi-square with 10 degrees of freedom: 29.6 is exceeded once in a thousand seeds.
        let chi_square = chi_square(&counts, &expected);
        assert!(chi_square < 29.6, "{chi_square} {counts:?} {expected:?}");
    }

    #[test]
    fn times_places_and_sizes_are_as_asked() {
        let strikes = strikes(9, 10.0, 1_000_000);
        let count = cast::f64_from_count(strikes.len());
        let (mut times, mut places, mut sizes) = ([0_u32; 10], [0_u32; 40], [0_u32; 3]);
        for Strike { at, first, size } in &strikes {
            times[usize::try_from(at.0 / 100_000).unwrap()] += 1;
            places[cast::index(first.0)] += 1;
            sizes[[1, 2, 5].iter().position(|known| known == size).unwrap()] += 1;
        }
        // Exceeded once in a thousand seeds with 9, 39 and 2 degrees of freedom.
        assert!(chi_square(&times, &[count / 10.0; 10]) < 27.9, "{times:?}");
        assert!(chi_square(&places, &[count / 40.0; 40]) < 72.1, "{places:?}");
        assert!(chi_square(&sizes, &[0.9, 0.07, 0.03].map(|share| share * count)) < 13.8, "{sizes:?}");
    }
}
