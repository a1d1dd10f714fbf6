//! `Requantizer`: one [`Quantizer`] prepared for one input signal, in words.
//!
//! It gives what [`Quantizer::quantize`] gives, for every value of the signal it was prepared for; that method says
//! what rounding and overflow mean.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use super::word::Word;
use crate::net::Signal;
use crate::num::{Overflow, Quantizer, Rounding};

/// Moves values from one binary point to another, rounds and clips them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requantizer<W> {
    scale: Scale<W>,
    clip: Clip<W>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale<W> {
    /// Fewer fractional bits: `floor((v + carry) / 2^by)`, where the carry is `base`, plus `negative` below zero, plus
    /// the lowest bit of `floor(v / 2^by)` under the mask `odd`.
    Right { by: u32, base: W, negative: W, odd: W },
    /// At least as many fractional bits: `v * 2^by` for `v` clamped to `low ..= high`, which lie one beyond the range.
    Left { by: u32, low: W, high: W },
    /// Everything is nearer to zero than to any other value.
    Zero,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clip<W> {
    /// To the nearest end.
    Saturate { low: W, high: W },
    /// To zero.
    Zero { low: W, high: W },
    /// The low bits, `spare` bits less than a word, with a sign.
    WrapSigned { spare: u32 },
    /// The low bits.
    WrapUnsigned { mask: W },
}

impl<W: Word> Requantizer<W> {
    /// Prepares `quantizer` for values of `input`.
    ///
    /// Both the input and the quantizer's range must lie strictly between `-2^(BITS-2)` and `2^(BITS-2)`.
    pub(crate) fn new(quantizer: Quantizer, input: &Signal) -> Self {
        let format = quantizer.format;
        let (low, high) = quantizer.range();
        let shift = input.frac_bits.saturating_sub(format.frac_bits());
        let scale = if shift > 0 {
            Self::right(quantizer.rounding, shift.unsigned_abs(), input)
        } else {
            // Moved by as many places as the register has (or by BITS - 2, which no range reaches), everything but zero
            // lies beyond the range, and the low bits that wrapping keeps are zeros: no need to go farther.
            let by = shift.unsigned_abs().min(u32::from(format.width())).min(W::BITS - 2);
            match quantizer.overflow {
                Overflow::Wrap => Scale::Left { by, low: W::wrap(input.low), high: W::wrap(input.high) },
                // One beyond the last value that stays in range: still beyond it when moved, and at most
                // 2^by <= 2^(BITS-2) away from it, so within the word.
                _ => Scale::Left { by, low: W::wrap(-(-low >> by) - 1), high: W::wrap((high >> by) + 1) },
            }
        };
        let clip = match quantizer.overflow {
            Overflow::Saturate | Overflow::SaturateSymmetric => {
                Clip::Saturate { low: W::wrap(low), high: W::wrap(high) }
            }
            Overflow::SaturateZero => Clip::Zero { low: W::wrap(low), high: W::wrap(high) },
            Overflow::Wrap if format.is_signed() => Clip::WrapSigned { spare: W::BITS - u32::from(format.width()) },
            Overflow::Wrap => Clip::WrapUnsigned { mask: W::wrap(high) },
        };
        Self { scale, clip }
    }

    /// Rounding `by` places away.
    ///
    /// Nearest is the floor of `v + half`, where a tie that shall go down gets one unit less: then it stays below the
    /// next integer, and everything above it still reaches that. With `|v| < 2^(BITS-2)` and a carry of at most
    /// `2^by <= 2^(BITS-2)` the sum stays within the word.
    fn right(rounding: Rounding, by: u32, input: &Signal) -> Scale<W> {
        let largest = input.low.unsigned_abs().max(input.high.unsigned_abs());
        let plain = |by| Scale::Right { by, base: W::wrap(0), negative: W::wrap(0), odd: W::wrap(0) };
        if by > 62 || 1 << (by - 1) > largest {
            // Everything is less than half a step away from zero.
            return if rounding == Rounding::Truncate { plain(by.min(W::BITS - 1)) } else { Scale::Zero };
        }
        // Here 2^(by - 1) is at most the largest value, so `by` is at most BITS - 2.
        let half = 1_i64 << (by - 1);
        let right = |base, negative, odd| Scale::Right {
            by,
            base: W::wrap(base),
            negative: W::wrap(negative),
            odd: W::wrap(odd),
        };
        match rounding {
            Rounding::Truncate => plain(by),
            Rounding::TruncateZero => right(0, 2 * half - 1, 0),
            Rounding::NearestUp => right(half, 0, 0),
            Rounding::NearestDown => right(half - 1, 0, 0),
            Rounding::NearestZero => right(half - 1, 1, 0),
            Rounding::NearestAway => right(half, -1, 0),
            Rounding::NearestEven => right(half - 1, 0, 1),
        }
    }

    /// Quantizes every value.
    #[inline(always)]
    pub(crate) fn apply(&self, values: &mut [W]) {
        match self.scale {
            Scale::Right { by, base, negative, odd } => {
                for v in values.iter_mut() {
                    let below_zero = v.right(W::BITS - 1).both(negative);
                    let carry = base.plus(below_zero).plus(v.right(by).both(odd));
                    *v = v.plus(carry).right(by);
                }
            }
            Scale::Left { by, low, high } => {
                for v in values.iter_mut() {
                    *v = (*v).max(low).min(high).left(by);
                }
            }
            Scale::Zero => values.fill(W::default()),
        }
        match self.clip {
            Clip::Saturate { low, high } => {
                for v in values.iter_mut() {
                    *v = (*v).max(low).min(high);
                }
            }
            Clip::Zero { low, high } => {
                for v in values.iter_mut() {
                    *v = if *v < low || *v > high { W::default() } else { *v };
                }
            }
            Clip::WrapSigned { spare } => {
                for v in values.iter_mut() {
                    *v = v.left(spare).right(spare);
                }
            }
            Clip::WrapUnsigned { mask } => {
                for v in values.iter_mut() {
                    *v = v.both(mask);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hw::datapath::word::{Block, LANES, fits};
    use crate::num::QFormat;

    fn check<W: Word>(quantizer: Quantizer, signal: &Signal, values: impl Iterator<Item = i64>) {
        let prepared = Requantizer::<W>::new(quantizer, signal);
        let values: Vec<i64> = values.collect();
        for chunk in values.chunks(LANES) {
            let mut block = Block::<W>::default();
            for (lane, v) in block.iter_mut().zip(chunk) {
                *lane = W::wrap(*v);
            }
            prepared.apply(&mut block);
            for (lane, v) in block.iter().zip(chunk) {
                let expected = quantizer.quantize(*v, signal.frac_bits);
                assert_eq!(lane.wide(), expected, "{quantizer} of {v} * 2^-{}", signal.frac_bits);
            }
        }
    }

    fn all_modes(format: QFormat) -> impl Iterator<Item = Quantizer> {
        Rounding::ALL.into_iter().flat_map(move |rounding| {
            Overflow::ALL.into_iter().map(move |overflow| Quantizer { format, rounding, overflow })
        })
    }

    #[test]
    fn small_formats_exhaustively() {
        for (format, fracs) in [
            ("ap_fixed<1,1>", -3..=9),
            ("ap_ufixed<3,2>", -5..=10),
            ("ap_fixed<4,-1>", -2..=12),
            ("ap_fixed<5,9>", -9..=5),
        ] {
            for frac_bits in fracs {
                let signal = Signal { frac_bits, low: -200, high: 200 };
                for quantizer in all_modes(format.parse().unwrap()) {
                    check::<i32>(quantizer, &signal, signal.low..=signal.high);
                    check::<i64>(quantizer, &signal, signal.low..=signal.high);
                }
            }
        }
    }

    /// Values of a range where something may go wrong: its ends, zero, ties and their neighbors.
    fn telling(signal: &Signal, seeds: &[i64]) -> Vec<i64> {
        let mut values = vec![signal.low, signal.low + 1, -1, 0, 1, signal.high - 1, signal.high];
        for (position, seed) in seeds.iter().enumerate() {
            let step = 1_i64 << (position % 61);
            for v in [*seed, seed.wrapping_mul(step), seed % 8 * step + step / 2, (seed % 1024) >> (position % 9)] {
                values.extend([v.saturating_sub(1), v, v.saturating_add(1)]);
            }
        }
        values.retain(|v| (signal.low..=signal.high).contains(v));
        values
    }

    proptest! {
        #[test]
        fn any_format_and_signal(
            width in 1..=32_u8, int_bits in -128..=128_i16, signed: bool, distance in -70..=140_i32,
            low_bits in 0..62_u32, high_bits in 0..62_u32, seeds: [i64; 24]
        ) {
            let format = if signed { QFormat::signed(width, int_bits) } else { QFormat::unsigned(width, int_bits) }.unwrap();
            let signal = Signal {
                frac_bits: format.frac_bits() + distance,
                low: 1 - (1 << low_bits),
                high: (1 << high_bits) - 1,
            };
            for quantizer in all_modes(format) {
                let values = telling(&signal, &seeds);
                check::<i64>(quantizer, &signal, values.iter().copied());
                let (low, high) = quantizer.range();
                if fits::<i32>(&signal) && fits::<i32>(&Signal { low, high, ..signal }) {
                    check::<i32>(quantizer, &signal, values.into_iter());
                }
            }
        }
    }
}
