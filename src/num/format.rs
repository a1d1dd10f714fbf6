//! `QFormat`: what the bits of a fixed-point register mean.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Widest register supported, in bits.
pub const MAX_WIDTH: u8 = 32;

/// Largest distance of the binary point from the word: `int_bits` lies in `-MAX_POINT..=MAX_POINT`.
pub const MAX_POINT: i16 = 128;

/// Why a format cannot exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Width outside `1..=32`.
    #[error("a register of {width} bits is not supported; 1 to {MAX_WIDTH} bits are")]
    Width {
        /// The width asked for, in bits.
        width: i64,
    },
    /// Binary point too far from the word.
    #[error("{int_bits} integer bits are not supported; -{MAX_POINT} to {MAX_POINT} are")]
    IntBits {
        /// The number of integer bits asked for.
        int_bits: i64,
    },
    /// A text that is not `ap_fixed<W,I>` or `ap_ufixed<W,I>`.
    #[error("`{text}` is not a format; write ap_fixed<W,I> or ap_ufixed<W,I>, for example ap_ufixed<8,0>")]
    Syntax {
        /// The text as given.
        text: String,
    },
}

/// Position of a bit in a register as users see it: 0 is the most significant bit (the sign of a signed register).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitIdx(pub u8);

impl fmt::Display for BitIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fixed-point format: `width` bits of which `int_bits` lie left of the binary point.
///
/// Follows `ap_fixed<W, I>`: a signed format counts its sign bit in `int_bits`, so a signed register holds
/// `-2^(I-1) ..= 2^(I-1) - 2^(I-W)` and an unsigned one `0 ..= 2^I - 2^(I-W)`. `int_bits` may be negative or exceed
/// `width`: the point then lies outside the word. A *raw* value is the register's integer: real value = raw * 2^-frac.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QFormat {
    width: u8,
    int_bits: i16,
    signed: bool,
}

impl QFormat {
    /// A signed (two's complement) format, `ap_fixed<width, int_bits>`.
    ///
    /// # Errors
    /// When `width` is not in `1..=32` or `int_bits` not in `-128..=128`.
    pub fn signed(width: u8, int_bits: i16) -> Result<Self, FormatError> {
        Self::new(width, int_bits, true)
    }

    /// An unsigned format, `ap_ufixed<width, int_bits>`.
    ///
    /// # Errors
    /// As [`QFormat::signed`].
    pub fn unsigned(width: u8, int_bits: i16) -> Result<Self, FormatError> {
        Self::new(width, int_bits, false)
    }

    fn new(width: u8, int_bits: i16, signed: bool) -> Result<Self, FormatError> {
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(FormatError::Width { width: i64::from(width) });
        }
        if !(-MAX_POINT..=MAX_POINT).contains(&int_bits) {
            return Err(FormatError::IntBits { int_bits: i64::from(int_bits) });
        }
        Ok(Self { width, int_bits, signed })
    }

    /// Number of bits in the register.
    pub const fn width(self) -> u8 {
        self.width
    }

    /// Bits left of the binary point, the sign bit included.
    pub const fn int_bits(self) -> i16 {
        self.int_bits
    }

    /// Whether the most significant bit is a sign.
    pub const fn is_signed(self) -> bool {
        self.signed
    }

    /// Bits right of the binary point: one step of the format is `2^-frac_bits`. May be negative.
    pub fn frac_bits(self) -> i32 {
        i32::from(self.width) - i32::from(self.int_bits)
    }

    /// Smallest raw value.
    pub const fn min_raw(self) -> i64 {
        if self.signed { -(1_i64 << (self.width - 1)) } else { 0 }
    }

    /// Largest raw value.
    pub const fn max_raw(self) -> i64 {
        if self.signed { (1_i64 << (self.width - 1)) - 1 } else { (1_i64 << self.width) - 1 }
    }

    /// Whether `raw` can be held by the register.
    pub const fn contains(self, raw: i64) -> bool {
        raw >= self.min_raw() && raw <= self.max_raw()
    }

    /// Real value of `raw`: `raw * 2^-frac_bits`, exact in `f64`.
    pub fn value(self, raw: i64) -> f64 {
        super::cast::f64_from_i64(raw) * exp2(-self.frac_bits())
    }

    /// The register's bits as an unsigned word (two's complement), bit `width - 1` being the most significant.
    pub const fn to_bits(self, raw: i64) -> u64 {
        raw.cast_unsigned() & self.mask()
    }

    /// The raw value of a word of bits; bits above `width` are ignored.
    pub const fn from_bits(self, bits: u64) -> i64 {
        let word = (bits & self.mask()).cast_signed();
        if self.signed && word > self.max_raw() { word - (1_i64 << self.width) } else { word }
    }

    /// `raw` with one bit flipped; bit 0 is the most significant.
    ///
    /// Flipping the same bit twice gives `raw` back, and the result always is in range.
    ///
    /// # Panics
    /// When `bit` is not below `width`; sites are validated against the register inventory before they get here.
    pub fn flip(self, raw: i64, bit: BitIdx) -> i64 {
        assert!(bit.0 < self.width, "bit {bit} of a {}-bit register", self.width);
        self.from_bits(self.to_bits(raw) ^ (1_u64 << (self.width - 1 - bit.0)))
    }

    const fn mask(self) -> u64 {
        (1_u64 << self.width) - 1
    }
}

/// `2^exponent`, exact for every exponent the formats of this crate can produce.
pub(crate) fn exp2(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}

impl fmt::Display for QFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsigned = if self.signed { "" } else { "u" };
        write!(f, "ap_{unsigned}fixed<{},{}>", self.width, self.int_bits)
    }
}

impl FromStr for QFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let syntax = || FormatError::Syntax { text: text.to_owned() };
        let (kind, rest) = text.trim().split_once('<').ok_or_else(syntax)?;
        let signed = match kind.trim() {
            "ap_fixed" => true,
            "ap_ufixed" => false,
            _ => return Err(syntax()),
        };
        let (width, int_bits) = rest.strip_suffix('>').and_then(|inner| inner.split_once(',')).ok_or_else(syntax)?;
        let width: i64 = width.trim().parse().map_err(|_| syntax())?;
        let int_bits: i64 = int_bits.trim().parse().map_err(|_| syntax())?;
        Self::new(
            u8::try_from(width).map_err(|_| FormatError::Width { width })?,
            i16::try_from(int_bits).map_err(|_| FormatError::IntBits { int_bits })?,
            signed,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_and_steps() {
        let cases = [
            ("ap_fixed<6,2>", -32, 31, 4, -2.0, 1.9375),
            ("ap_ufixed<9,1>", 0, 511, 8, 0.0, 1.99609375),
            ("ap_fixed<1,1>", -1, 0, 0, -1.0, 0.0),
            ("ap_ufixed<32,32>", 0, 4_294_967_295, 0, 0.0, 4_294_967_295.0),
            ("ap_fixed<4,-2>", -8, 7, 6, -0.125, 0.109375),
            ("ap_fixed<4,7>", -8, 7, -3, -64.0, 56.0),
        ];
        for (text, min, max, frac, low, high) in cases {
            let format: QFormat = text.parse().unwrap();
            assert_eq!(format.to_string(), text);
            assert_eq!((format.min_raw(), format.max_raw(), format.frac_bits()), (min, max, frac), "{text}");
            assert_eq!((format.value(min), format.value(max)), (low, high), "{text}");
        }
    }

    #[test]
    fn the_sign_bit_is_bit_zero() {
        let format = QFormat::signed(6, 2).unwrap();
        assert_eq!(format.flip(-1, BitIdx(0)), 31);
        assert_eq!(format.flip(-1, BitIdx(5)), -2);
        assert_eq!(format.flip(0, BitIdx(0)), -32);
        assert_eq!(QFormat::unsigned(6, 2).unwrap().flip(0, BitIdx(0)), 32);
    }

    #[test]
    fn impossible_formats_are_refused() {
        assert_eq!(QFormat::signed(0, 0), Err(FormatError::Width { width: 0 }));
        assert_eq!(QFormat::signed(33, 0), Err(FormatError::Width { width: 33 }));
        assert_eq!(QFormat::unsigned(8, 129), Err(FormatError::IntBits { int_bits: 129 }));
        for text in ["", "ap_fixed", "ap_fixed<8>", "fixed<8,2>", "ap_fixed<8,2", "ap_fixed<a,2>", "ap_fixed<99,2>"] {
            assert!(text.parse::<QFormat>().is_err(), "{text}");
        }
    }

    prop_compose! {
        fn any_format()(width in 1..=MAX_WIDTH, int_bits in -MAX_POINT..=MAX_POINT, signed: bool) -> QFormat {
            QFormat::new(width, int_bits, signed).unwrap()
        }
    }

    proptest! {
        #[test]
        fn a_flip_twice_is_the_identity(format in any_format(), word: u64, bit in 0..MAX_WIDTH) {
            let raw = format.from_bits(word);
            let bit = BitIdx(bit % format.width());
            let flipped = format.flip(raw, bit);
            prop_assert!(format.contains(raw) && format.contains(flipped) && flipped != raw);
            prop_assert_eq!(format.flip(flipped, bit), raw);
            prop_assert_eq!((raw - flipped).unsigned_abs(), 1 << (format.width() - 1 - bit.0));
        }

        #[test]
        fn bits_round_trip(format in any_format(), word: u64) {
            let raw = format.from_bits(word);
            prop_assert_eq!(format.from_bits(format.to_bits(raw)), raw);
            prop_assert_eq!(format.to_string().parse::<QFormat>(), Ok(format));
        }
    }
}
