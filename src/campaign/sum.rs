//! `ExactSum`: a sum that does not depend on the order of its terms.

use std::ops::{Add, AddAssign};

use crate::num::cast;

/// Binary digits right of the point that a term keeps: a term is rounded once, to a multiple of 2^-80.
const FRACTION_BITS: i32 = 80;

/// A sum of real numbers in fixed point.
///
/// Every term is rounded to a multiple of 2^-80 (a term of magnitude 2^-28 or more is exact), then integers are added: any
/// order, any split over threads, shards or sessions gives the same bits. Terms and sums may reach 2^46 in magnitude;
/// beyond that the sum saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ExactSum(i128);

impl ExactSum {
    /// The sum of one term. Terms beyond 2^46 in magnitude count as 2^46; `term` must not be NaN.
    pub fn of(term: f64) -> Self {
        debug_assert!(!term.is_nan(), "a metric gives numbers");
        let clipped = term.clamp(-(46_f64.exp2()), 46_f64.exp2());
        // Scaling by a power of two is exact; the parts on both sides of 2^-28 (relative to the scale) convert exactly.
        let scaled = (clipped * f64::from(FRACTION_BITS).exp2()).round_ties_even();
        Self(cast::i128_from_whole(scaled))
    }

    /// The sum as the nearest `f64`, or within one unit of its last place.
    pub fn value(self) -> f64 {
        cast::f64_from_i128(self.0) * f64::from(-FRACTION_BITS).exp2()
    }
}

impl Add for ExactSum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for ExactSum {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for ExactSum {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terms_are_exact_down_to_their_last_bit() {
        for term in [0.0, 1.0, -1.5, 0.1, 1e-8, -2.5e9, 3.0_f64.sqrt() * 1e3] {
            assert_eq!(ExactSum::of(term).value(), term);
        }
        let total: ExactSum = std::iter::repeat_n(ExactSum::of(0.1), 1000).sum();
        assert_eq!(total.value(), 0.1 * 1000.0, "rounded once, at the end");
    }

    #[test]
    fn huge_terms_saturate() {
        assert_eq!(ExactSum::of(f64::INFINITY).value(), 46_f64.exp2());
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut terms in prop::collection::vec(-1e6..1e6_f64, 0..50), seed: u64) {
            let forward: ExactSum = terms.iter().copied().map(ExactSum::of).sum();
            let by = usize::try_from(seed % 50).unwrap() % terms.len().max(1);
            terms.rotate_left(by);
            terms.reverse();
            let backward: ExactSum = terms.iter().copied().map(ExactSum::of).sum();
            prop_assert_eq!(forward, backward);
            let plain: f64 = terms.iter().sum();
            prop_assert!((forward.value() - plain).abs() <= 1e-6);
        }
    }
}
