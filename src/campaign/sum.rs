//! `ExactSum`: a sum that does not depend on the order of its terms.

use std::ops::{Add, AddAssign};

use crate::num::cast;

/// The coarse part of a term is a multiple of 2^-16.
const COARSE_BITS: i32 = 16;

/// The fine part is a multiple of 2^-110.
const FINE_BITS: i32 = 110;

/// Terms must be smaller than 2^76, so that 2^34 of them can be added.
const LARGEST_EXPONENT: f64 = 76.0;

/// A sum of real numbers in fixed point.
///
/// A term is split into a multiple of 2^-16 and a rest, which is rounded to a multiple of 2^-110; integers are added.
/// So a term of magnitude 2^-58 or more is exact, and any order, any split over threads, shards or runs gives the same
/// bits. Up to 2^34 terms below 2^76 in magnitude can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExactSum {
    coarse: i128,
    fine: i128,
}

/// A part of a whole; not a number where the whole is not above 0, since then a larger part is not better.
pub fn share_of(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}

impl ExactSum {
    /// The sum of one term; `None` when it is 2^76 or more in magnitude, or no number.
    pub fn of(term: f64) -> Option<Self> {
        // Scaling by a power of two and splitting at 2^-16 are exact; only the last rounding is not.
        (term.abs() < LARGEST_EXPONENT.exp2()).then(|| {
            let coarse = (term * f64::from(COARSE_BITS).exp2()).round_ties_even();
            let rest = term - coarse * f64::from(-COARSE_BITS).exp2();
            let fine = (rest * f64::from(FINE_BITS).exp2()).round_ties_even();
            Self { coarse: cast::i128_from_whole(coarse), fine: cast::i128_from_whole(fine) }
        })
    }

    /// The sum of `count` terms like this one.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self { coarse: self.coarse * i128::from(count), fine: self.fine * i128::from(count) }
    }

    /// The sum as four words for files: coarse part, fine part, each low word first.
    pub fn to_words(self) -> [i64; 4] {
        let [a, b] = words(self.coarse);
        let [c, d] = words(self.fine);
        [a, b, c, d]
    }

    /// The sum that [`ExactSum::to_words`] gave; `None` when so many terms cannot have it.
    pub fn from_words([a, b, c, d]: [i64; 4], terms: u32) -> Option<Self> {
        let sum = Self { coarse: integer([a, b]), fine: integer([c, d]) };
        // A term is at most 2^92 coarse units, its rest at most half a coarse unit: 2^93 fine ones.
        let limit = u128::from(terms) << 92;
        (sum.coarse.unsigned_abs() <= limit && sum.fine.unsigned_abs() <= 2 * limit).then_some(sum)
    }

    /// The sum as the nearest `f64` (within one unit of its last place from 2^16 up).
    pub fn value(self) -> f64 {
        const APART: i32 = FINE_BITS - COARSE_BITS;
        // After the carry the fine part is less than one coarse unit; small sums then fit one integer, which is rounded
        // once, and in large ones nothing cancels.
        let carry = self.fine >> APART;
        let (coarse, fine) = (self.coarse + carry, self.fine - (carry << APART));
        if coarse.unsigned_abs() < 1 << 32 {
            return cast::f64_from_i128((coarse << APART) + fine) * f64::from(-FINE_BITS).exp2();
        }
        let scaled = |part: i128, bits: i32| cast::f64_from_i128(part) * f64::from(-bits).exp2();
        scaled(coarse, COARSE_BITS) + scaled(fine, FINE_BITS)
    }
}

/// Low and high half of an integer in two's complement.
fn words(integer: i128) -> [i64; 2] {
    let mut words = [0; 2];
    for (word, bytes) in words.iter_mut().zip(integer.to_le_bytes().as_chunks::<8>().0) {
        *word = i64::from_le_bytes(*bytes);
    }
    words
}

fn integer([low, high]: [i64; 2]) -> i128 {
    (i128::from(high) << 64) | i128::from(low.cast_unsigned())
}

impl Add for ExactSum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { coarse: self.coarse + other.coarse, fine: self.fine + other.fine }
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

    fn sum(terms: &[f64]) -> ExactSum {
        terms.iter().map(|term| ExactSum::of(*term).unwrap()).sum()
    }

    #[test]
    fn terms_are_exact() {
        for term in [0.0, 1.0, -1.5, 0.1, 1e-8, -1e-17, -2.5e9, 3.0_f64.sqrt() * 1e3, 7e22, -(2.0_f64.powi(-58))] {
            assert_eq!(sum(&[term]).value(), term);
        }
        assert_eq!(sum(&[0.1; 1000]).value(), 100.0, "1000 times the double next to 0.1, rounded once");
        assert_eq!(sum(&[1e20, 1e-12, -1e20]).value(), 1e-12);
        assert!(sum(&[]).value().is_sign_positive() && sum(&[-0.0]).value().is_sign_positive());
    }

    #[test]
    fn what_cannot_be_added_is_refused() {
        for term in [f64::NAN, f64::INFINITY, -1e23] {
            assert_eq!(ExactSum::of(term), None);
        }
        let largest = ExactSum::of(-7.5e22).unwrap().times(u32::MAX);
        assert_eq!(ExactSum::from_words(largest.to_words(), u32::MAX), Some(largest));
        assert_eq!(ExactSum::from_words(largest.to_words(), u32::MAX / 2), None);
        for words in [[0, 0, 0, i64::MAX], [0, i64::MIN, 0, 0]] {
            assert_eq!(ExactSum::from_words(words, u32::MAX), None);
        }
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut terms in prop::collection::vec(-1e6..1e6_f64, 0..50), by in 0..50_usize) {
            let forward = sum(&terms);
            let by = by % terms.len().max(1);
            terms.rotate_left(by);
            terms.reverse();
            prop_assert_eq!(forward, sum(&terms));
            let count = u32::try_from(terms.len()).unwrap();
            prop_assert_eq!(ExactSum::from_words(forward.to_words(), count), Some(forward));
            prop_assert_eq!(forward + forward + forward, forward.times(3));
            let plain: f64 = terms.iter().sum();
            prop_assert!((forward.value() - plain).abs() <= 1e-6);
        }
    }
}
