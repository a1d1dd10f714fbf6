//! Element-wise functions of float layers, in `f32`, the same on every machine.
//!
//! `exp` is computed here rather than by the platform's mathematical library, whose last bit differs between platforms:
//! only additions, multiplications and divisions are used, and IEEE 754 fixes the result of each. It also vectorizes.
//! No layer logic here: `decoder` says what is applied where.

use crate::net::Activation;
use crate::num::cast;

/// Largest magnitude of an exponent: beyond, `exp` stays at `exp(±87)`, which keeps every result a normal `f32`.
const MAX_EXPONENT: f32 = 87.0;

/// 1.5 * 2^23: adding it to a number of magnitude below 2^22 rounds that number to an integer (ties to even) and leaves
/// the integer, in two's complement, in the low bits of the sum.
const ROUNDER: f32 = 12_582_912.0;

/// High part of ln 2: nine bits, so that its product with any exponent in range is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;

/// ln 2 - `LN_2_HIGH`.
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` for `x` in `-87 ..= 87`, and the value at the nearer end beyond; NaN gives NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` is its Taylor sum up to `r^7`, whose remainder (`r^8 / 8!`, 5e-9) is
/// below half a unit in the last place. Relative error at most 2e-7 (`exponential_is_close_everywhere`).
#[inline]
#[must_use]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-MAX_EXPONENT, MAX_EXPONENT);
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let power = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * tail)));
    // |n| <= 126, so that 127 + n is the exponent field of the normal number 2^n.
    let field = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127);
    power * f32::from_bits(field << 23)
}

/// Largest magnitude of an exponent of [`exp_f64`].
const MAX_EXPONENT_F64: f64 = 700.0;

/// High part of ln 2 in 32 bits, so that its product with any exponent in range is exact.
const LN_2_HIGH_F64: f64 = 0.693_147_180_369_123_8;

/// ln 2 - `LN_2_HIGH_F64`.
const LN_2_LOW_F64: f64 = 1.908_214_929_270_587_7e-10;

/// `e^x` in `f64` for `x` in `-700 ..= 700`, and the value at the nearer end beyond; NaN gives NaN.
///
/// As [`exp`], with the Taylor sum up to `r^14`, whose remainder (`r^15 / 15!`, 1e-19) is far below a unit in the last
/// place. Relative error at most 5e-16 (`exponential_is_close_everywhere`).
#[must_use]
pub fn exp_f64(x: f64) -> f64 {
    let x = x.clamp(-MAX_EXPONENT_F64, MAX_EXPONENT_F64);
    if x.is_nan() {
        return x;
    }
    let n = (x * std::f64::consts::LOG2_E).round_ties_even();
    let r = (x - n * LN_2_HIGH_F64) - n * LN_2_LOW_F64;
    let mut sum = 1.0;
    for divisor in (1..=14_u8).rev() {
        sum = 1.0 + r / f64::from(divisor) * sum;
    }
    // |n| <= 1010, so that 1023 + n is the exponent field of the normal number 2^n.
    let field = u64::try_from(1023 + cast::floor_i64(n)).expect("an exponent in range");
    sum * f64::from_bits(field << 52)
}

/// Applies `activation` to `values` in place; `last_axis` is the length of the axis a softmax runs over.
///
/// A softmax subtracts the largest value first and sums in index order.
#[inline]
pub fn apply(activation: Activation, values: &mut [f32], last_axis: usize) {
    match activation {
        Activation::Linear => {}
        // Written so that NaN stays NaN: a silent zero would hide that a network overflowed.
        Activation::Relu => {
            for value in values {
                *value = if *value < 0.0 { 0.0 } else { *value };
            }
        }
        Activation::Sigmoid => {
            for value in values {
                *value = 1.0 / (1.0 + exp(-*value));
            }
        }
        Activation::Softmax => values.chunks_exact_mut(last_axis.max(1)).for_each(softmax),
    }
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = exp(*value - largest);
        sum += *value;
    }
    for value in values {
        *value /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two units in the last place of an `f32`, relative.
    const EXP_TOLERANCE: f64 = 2e-7;

    /// A little more than two units in the last place of an `f64`, relative; the platform's own may be off by one.
    const EXP_F64_TOLERANCE: f64 = 5e-16;

    #[test]
    fn exponential_is_close_everywhere() {
        let steps = 200_000_i64;
        for step in -steps..=steps {
            let x = cast::nearest_f32(87.0 * cast::f64_from_i64(step) / cast::f64_from_i64(steps));
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < EXP_TOLERANCE, "exp({x}) is off by {error:e}");
        }
        for step in -steps..=steps {
            let x = 700.0 * cast::f64_from_i64(step) / cast::f64_from_i64(steps);
            let error = (exp_f64(x) - x.exp()).abs() / x.exp();
            assert!(error < EXP_F64_TOLERANCE, "exp_f64({x}) is off by {error:e}");
        }
        assert_eq!(exp_f64(0.0), 1.0);
        assert_eq!(exp_f64(f64::INFINITY), exp_f64(700.0));
        assert!(exp_f64(f64::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), exp(87.0));
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn activations_of_extremes() {
        let mut values = [-200.0, -0.0, 0.0, 200.0];
        apply(Activation::Sigmoid, &mut values, 4);
        assert!(values[0] > 0.0 && values[0] < 1e-37);
        assert_eq!(values[1..], [0.5, 0.5, 1.0]);
        let mut values = [-1.0, 0.0, 3.0, f32::NAN];
        apply(Activation::Relu, &mut values, 4);
        assert_eq!(values[..3], [0.0, 0.0, 3.0]);
        assert!(values[3].is_nan());
        let mut values = [1000.0, 1000.0, -1000.0, 0.0, 0.0, 0.0];
        apply(Activation::Softmax, &mut values, 3);
        assert_eq!(values[..2], [0.5, 0.5]);
        assert!(values[2] < 1e-37);
        assert_eq!(values[3..], [1.0 / 3.0; 3]);
        let mut values = [-4.0, 4.0];
        apply(Activation::Linear, &mut values, 2);
        assert_eq!(values, [-4.0, 4.0]);
    }
}
