//! `Word`: the integers a network is evaluated in, 32 bits wide where that is proven to suffice, otherwise 64.
//!
//! Blocks of `LANES` words stand side by side so that loops over them become vector instructions. Nothing here knows
//! what the words mean.

use std::fmt::Debug;

use crate::net::Signal;
use crate::num::cast;

/// Words in a [`Block`]: one 512-bit register of 32-bit words.
pub(crate) const LANES: usize = 16;

/// Consecutive output channels; the last block of a row is filled up with zeros.
pub(crate) type Block<W> = [W; LANES];

/// A two's-complement word whose arithmetic wraps.
pub(crate) trait Word: Copy + Default + Ord + Debug + Send + Sync + 'static {
    /// Width, in bits.
    const BITS: u32;

    /// The low bits of `value`.
    fn wrap(value: i64) -> Self;
    /// The same number.
    fn wide(self) -> i64;
    /// Sum, modulo 2^BITS.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// Difference, modulo 2^BITS.
    #[must_use]
    fn minus(self, other: Self) -> Self;
    /// Product, modulo 2^BITS.
    #[must_use]
    fn times(self, other: Self) -> Self;
    /// `self * 2^by`, modulo 2^BITS; `by` is below BITS.
    #[must_use]
    fn left(self, by: u32) -> Self;
    /// `floor(self / 2^by)`; `by` is below BITS.
    #[must_use]
    fn right(self, by: u32) -> Self;
    /// The lowest eight bits.
    #[must_use]
    fn low_byte(self) -> u8;
    /// The bits set in both.
    #[must_use]
    fn both(self, other: Self) -> Self;
}

macro_rules! word {
    ($word:ty, $wrap:path) => {
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;

            #[inline(always)]
            fn wrap(value: i64) -> Self {
                $wrap(value)
            }

            #[inline(always)]
            fn wide(self) -> i64 {
                i64::from(self)
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            #[inline(always)]
            fn left(self, by: u32) -> Self {
                self.wrapping_shl(by)
            }

            #[inline(always)]
            fn right(self, by: u32) -> Self {
                self.wrapping_shr(by)
            }

            #[inline(always)]
            fn low_byte(self) -> u8 {
                self.to_le_bytes()[0]
            }

            #[inline(always)]
            fn both(self, other: Self) -> Self {
                self & other
            }
        }
    };
}

word!(i32, cast::low_i32);
word!(i64, std::convert::identity);

/// Whether every value of a signal lies strictly between `-2^(BITS-2)` and `2^(BITS-2)`.
///
/// When that holds for every signal between the input and the output of a network, evaluating it in words of that width
/// is exact. A signal's range holds for every input and every content of the weight registers, faulty ones included,
/// so:
/// - each value of a node fits a word. What leads to it (products, partial sums in any order, differences of values
///   that are multiplied and added on later) may leave the word, but sums, differences, products and left shifts are
///   exact modulo 2^BITS, and the final value is the only one in its range with that remainder;
/// - operations that are not (rounding, comparing, clipping) see final values only, and have one bit to spare for what
///   they add to them: see `Requantizer`.
pub(crate) fn fits<W: Word>(signal: &Signal) -> bool {
    let limit = 1_i64 << (W::BITS - 2);
    -limit < signal.low && signal.high < limit
}

/// `raw * 2^by` modulo 2^BITS, whatever the distance.
pub(crate) fn shifted<W: Word>(raw: i64, by: u32) -> W {
    W::wrap(raw.checked_shl(by).unwrap_or(0))
}

/// Which lanes differ, lane 0 in the lowest bit.
#[inline(always)]
pub(crate) fn differing<W: Word>(a: &Block<W>, b: &Block<W>) -> u32 {
    // A byte per lane is a loop that becomes vector instructions; products gather their lowest bits.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (a, b, mut flags) = (*a, *b, [0_u8; LANES]);
    for lane in 0..LANES {
        flags[lane] = u8::from(a[lane] != b[lane]);
    }
    let (bytes, _) = flags.as_chunks::<8>();
    let gathered =
        bytes.iter().rev().fold(0, |lanes, bytes| lanes << 8 | u64::from_le_bytes(*bytes).wrapping_mul(GATHER) >> 56);
    u32::try_from(gathered).expect("as many bits as lanes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_spared() {
        let signal = |low, high| Signal { frac_bits: 0, low, high };
        let limit = 1 << 30;
        assert!(fits::<i32>(&signal(-limit + 1, limit - 1)));
        assert!(!fits::<i32>(&signal(-limit, 0)) && !fits::<i32>(&signal(0, limit)));
        assert!(fits::<i64>(&signal(-limit, limit)));
        assert!(!fits::<i64>(&signal(0, limit << 32)));
    }

    #[test]
    fn shifts_leave_the_low_bits() {
        assert_eq!(shifted::<i32>(-3, 4), -48);
        assert_eq!(shifted::<i32>(3, 31), i32::MIN);
        assert_eq!(shifted::<i32>(3, 32), 0);
        assert_eq!(shifted::<i64>(3, 32), 3 << 32);
        assert_eq!(shifted::<i64>(3, 64), 0);
    }

    #[test]
    fn lanes_that_differ() {
        let mut a = [7_i32; LANES];
        assert_eq!(differing(&a, &[7; LANES]), 0);
        a[0] = 1;
        a[15] = -1;
        assert_eq!(differing(&a, &[7; LANES]), 0x8001);
    }
}
