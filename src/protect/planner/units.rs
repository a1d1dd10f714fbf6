//! Areas and gains as integers, so that plans are compared exactly.

use crate::num::cast;

/// Areas count in millionths of the unit.
const PER_UNIT: f64 = 1e6;

/// Areas and budgets end here, in units: sums of very many then stay far below the integers' end.
const LARGEST_AREA: f64 = 1e12;

/// A product of the sums of gains and costs has at most this many bits, and a sum of two such products fits `i128`.
const PRODUCT_BITS: u32 = 123;

/// An area in millionths, rounded up but for the noise of binary fractions; `None` when it is none.
pub(super) fn millionths(area: f64) -> Option<i128> {
    let scaled = valid(area)? * PER_UNIT;
    let nearest = scaled.round_ties_even();
    Some(cast::i128_from_whole(if (scaled - nearest).abs() < 1e-3 { nearest } else { scaled.ceil() }))
}

/// A budget to the nearest millionth; `None` when it is none.
pub(super) fn nearest_millionths(budget: f64) -> Option<i128> {
    valid(budget).map(|budget| cast::i128_from_whole((budget * PER_UNIT).round_ties_even()))
}

/// Millionths as an area.
pub(super) fn area(millionths: i128) -> f64 {
    cast::f64_from_i128(millionths) / PER_UNIT
}

fn valid(area: f64) -> Option<f64> {
    (0.0..=LARGEST_AREA).contains(&area).then_some(area)
}

/// Greatest common divisor; of 0 and a number the number.
pub(super) fn common_divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Gains as multiples of a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GainScale {
    /// A gain of 1 is 2 to this power.
    exponent: i32,
}

impl GainScale {
    /// The finest scale on which gains of this summed magnitude, times costs that add up to `costs`, can be compared.
    pub(super) fn new(magnitude: f64, costs: i128) -> Self {
        let room = PRODUCT_BITS.saturating_sub(i128::BITS - costs.leading_zeros());
        // The sum is below 2 to the power of `bits`; one more bit for what rounding adds.
        let biased = i32::try_from(magnitude.to_bits() >> 52 & 0x7ff).expect("eleven bits");
        let bits = biased - 1022 + 1;
        let room = i32::try_from(room).expect("at most 123");
        // Beyond 2^1000 the factor itself would overflow; gains that small are nothing.
        Self { exponent: (room - bits).min(1000) }
    }

    /// The multiple next to a gain.
    pub(super) fn integer(self, gain: f64) -> i128 {
        cast::i128_from_whole((gain * f64::from(self.exponent).exp2()).round_ties_even())
    }

    /// A multiple as a gain.
    pub(super) fn gain(self, integer: i128) -> f64 {
        cast::f64_from_i128(integer) * f64::from(-self.exponent).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_lose_the_noise_of_binary_fractions_and_no_more() {
        assert_eq!(millionths(17.583 - 6.625), Some(10_958_000));
        assert_eq!(millionths(0.0), Some(0));
        assert_eq!(millionths(1.0 / 3.0), Some(333_334), "never less than it is");
        for bad in [-1e-9, f64::NAN, f64::INFINITY, 2e12] {
            assert_eq!((millionths(bad), nearest_millionths(bad)), (None, None));
        }
        assert_eq!(nearest_millionths(10.958 * 61_344.0), Some(672_207_552_000));
        assert_eq!(area(10_958_000), 10.958);
        assert_eq!([common_divisor(12, 18), common_divisor(0, 5), common_divisor(5, 0)], [6, 5, 5]);
    }

    #[test]
    fn gains_are_exact_far_below_their_sum() {
        for (magnitude, costs) in [(546.9, 1 << 30), (1.0, 1), (1e-200, 1 << 40), (0.0, 0), (7e22, 1 << 50)] {
            let scale = GainScale::new(magnitude, costs);
            for share in [1.0, 0.3, -1e-3] {
                let gain = magnitude * share;
                assert_eq!(scale.gain(scale.integer(gain)), gain, "{magnitude} {costs} {share}");
            }
            let bits = 128 - scale.integer(magnitude).leading_zeros() + 128 - costs.leading_zeros();
            assert!(bits <= PRODUCT_BITS + 1, "{magnitude} {costs}: {bits}");
        }
    }
}
