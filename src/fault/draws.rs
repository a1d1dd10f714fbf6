//! `Draws`: random numbers that stay the same for ever, on every machine.
//!
//! The generator is `ChaCha8`; what is made of its words is our own, so that no library update can change a result.
//! Only additions, multiplications and comparisons are used, whose results IEEE 754 fixes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::num::cast;

/// A stream of random numbers that depends on a seed and the number of the stream alone.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Stream `stream` of `seed`; streams are independent of one another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut words = ChaCha8Rng::seed_from_u64(seed);
        words.set_stream(stream);
        Self(words)
    }

    /// A uniform integer below `bound`, by rejection (Lemire 2019).
    ///
    /// # Panics
    /// When `bound` is 0: there is no such integer.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a draw needs something to draw from");
        let bound = cast::u64_from_len(bound);
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.0.next_u64()) * u128::from(bound);
            let (high, low) = (wide >> 64, wide & u128::from(u64::MAX));
            if low >= u128::from(threshold) {
                return usize::try_from(high).expect("less than a length");
            }
        }
    }

    /// A uniform number in `[0, 1)`, a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
        cast::f64_from_u64(self.0.next_u64() >> 11) * STEP
    }

    /// An exponential number of mean 1, by comparing uniform numbers only (von Neumann 1951): no logarithm, so the same
    /// on every machine.
    pub fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            // A falling run of uniform numbers has an odd length with the probability that the first is kept.
            let first = self.unit();
            let (mut last, mut is_odd) = (first, true);
            loop {
                let next = self.unit();
                if next >= last {
                    break;
                }
                (last, is_odd) = (next, !is_odd);
            }
            if is_odd {
                return whole + first;
            }
            whole += 1.0;
        }
    }

    /// Shuffles `items`; its first `n` items are a uniform sample of `n` without replacement, in random order, and do
    /// not depend on how many more are looked at (Fisher and Yates, from the front).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in 0..items.len().saturating_sub(1) {
            let other = place + self.below(items.len() - place);
            items.swap(place, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_what_they_always_were() {
        let mut draws = Draws::new(1, 0);
        let first: Vec<usize> = (0..8).map(|_| draws.below(1000)).collect();
        let mut draws = Draws::new(1, 1);
        let second: Vec<usize> = (0..8).map(|_| draws.below(1000)).collect();
        let units: Vec<f64> = (0..3).map(|_| draws.unit()).collect();
        assert_eq!(first, [402, 80, 596, 219, 283, 710, 461, 152]);
        assert_eq!(second, [851, 50, 558, 100, 964, 344, 890, 682]);
        assert_eq!(units, [0.8542583903558595, 0.15851763551948173, 0.3769578965306346]);
        let mut items: Vec<usize> = (0..10).collect();
        Draws::new(7, 3).shuffle(&mut items);
        assert_eq!(items, [1, 0, 9, 5, 6, 4, 2, 7, 8, 3]);
    }

    #[test]
    fn exponential_numbers_have_their_distribution() {
        let mut draws = Draws::new(11, 0);
        let mut counts = [0_u32; 20];
        for _ in 0..100_000 {
            // The probability of more is uniform: twenty classes of 5,000.
            let more = (-draws.exponential()).exp();
            let class = (0..20).find(|class| more * 20.0 <= f64::from(class + 1)).unwrap();
            counts[usize::try_from(class).unwrap()] += 1;
        }
        // Chi-square with 19 degrees of freedom: 43.8 is exceeded once in a thousand seeds.
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - 5000.0).powi(2) / 5000.0).sum();
        assert!(chi_square < 43.8, "{chi_square} {counts:?}");
    }

    #[test]
    fn draws_are_uniform() {
        let mut draws = Draws::new(7, 0);
        let mut counts = [0_u32; 7];
        let mut mean = 0.0;
        for _ in 0..70_000 {
            counts[draws.below(7)] += 1;
            let unit = draws.unit();
            assert!((0.0..1.0).contains(&unit));
            mean += unit / 70_000.0;
        }
        // Chi-square with 6 degrees of freedom: 22.5 is exceeded once in a thousand seeds.
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi_square < 22.5, "{chi_square} {counts:?}");
        // Standard deviation of a uniform number 0.289, of the mean 0.0011.
        assert!((mean - 0.5).abs() < 0.004, "{mean}");
    }

    #[test]
    fn shuffles_are_permutations_and_every_item_leads_as_often() {
        let mut leads = [0_u32; 5];
        for stream in 0..10_000 {
            let mut items = [0_usize, 1, 2, 3, 4];
            Draws::new(3, stream).shuffle(&mut items);
            leads[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        // Chi-square with 4 degrees of freedom: 18.5 is exceeded once in a thousand seeds.
        let chi_square: f64 = leads.iter().map(|count| (f64::from(*count) - 2000.0).powi(2) / 2000.0).sum();
        assert!(chi_square < 18.5, "{chi_square} {leads:?}");
    }
}
