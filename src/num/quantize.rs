//! `Quantizer`: how a wide value is rounded and clipped into a register.

use std::fmt;
use std::str::FromStr;

use super::format::{FormatError, QFormat};

/// What happens to the bits right of the last one kept; the seven modes of `ap_fixed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// `AP_TRN`: towards minus infinity.
    Truncate,
    /// `AP_TRN_ZERO`: towards zero.
    TruncateZero,
    /// `AP_RND`: to nearest, ties towards plus infinity.
    NearestUp,
    /// `AP_RND_ZERO`: to nearest, ties towards zero.
    NearestZero,
    /// `AP_RND_INF`: to nearest, ties away from zero.
    NearestAway,
    /// `AP_RND_MIN_INF`: to nearest, ties towards minus infinity.
    NearestDown,
    /// `AP_RND_CONV`: to nearest, ties to the even neighbor.
    NearestEven,
}

impl Rounding {
    /// All modes, in the order of this enum.
    pub const ALL: [Self; 7] = [
        Self::Truncate,
        Self::TruncateZero,
        Self::NearestUp,
        Self::NearestZero,
        Self::NearestAway,
        Self::NearestDown,
        Self::NearestEven,
    ];

    /// The name in `ap_fixed`.
    pub const fn ap_name(self) -> &'static str {
        match self {
            Self::Truncate => "AP_TRN",
            Self::TruncateZero => "AP_TRN_ZERO",
            Self::NearestUp => "AP_RND",
            Self::NearestZero => "AP_RND_ZERO",
            Self::NearestAway => "AP_RND_INF",
            Self::NearestDown => "AP_RND_MIN_INF",
            Self::NearestEven => "AP_RND_CONV",
        }
    }
}

/// What happens to a value beyond the range of the register; four modes of `ap_fixed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// `AP_WRAP`: the low bits are kept (no extra saturated bits).
    Wrap,
    /// `AP_SAT`: the nearest end of the range.
    Saturate,
    /// `AP_SAT_ZERO`: zero.
    SaturateZero,
    /// `AP_SAT_SYM`: as `AP_SAT`, but a signed range is `-max ..= max`.
    ///
    /// A one-bit signed register then holds 0 alone; the vendor's C++ model leaves such a register at -1.
    SaturateSymmetric,
}

impl Overflow {
    /// All modes, in the order of this enum.
    pub const ALL: [Self; 4] = [Self::Wrap, Self::Saturate, Self::SaturateZero, Self::SaturateSymmetric];

    /// The name in `ap_fixed`.
    pub const fn ap_name(self) -> &'static str {
        match self {
            Self::Wrap => "AP_WRAP",
            Self::Saturate => "AP_SAT",
            Self::SaturateZero => "AP_SAT_ZERO",
            Self::SaturateSymmetric => "AP_SAT_SYM",
        }
    }
}

/// A value that is infinite or not a number cannot be quantized.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} cannot be quantized; a finite number is needed")]
pub struct NotFinite {
    /// The value as given.
    pub value: f64,
}

/// A register format with its rounding and overflow, `ap_fixed<W, I, Q, O>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quantizer {
    /// The register.
    pub format: QFormat,
    /// What happens to the bits that do not fit on the right.
    pub rounding: Rounding,
    /// What happens to the bits that do not fit on the left.
    pub overflow: Overflow,
}

impl Quantizer {
    /// Largest and smallest raw value that [`Quantizer::quantize`] can give, smallest first.
    pub fn range(self) -> (i64, i64) {
        let (low, high) = (self.format.min_raw(), self.format.max_raw());
        if self.overflow == Overflow::SaturateSymmetric { (low.max(-high), high) } else { (low, high) }
    }

    /// Rounds and clips `acc` (two's complement, `acc_frac` fractional bits) into a raw value of `self.format`.
    ///
    /// Exact for every `acc` and any distance between the two binary points: integers only. Ties follow
    /// `self.rounding`, range follows `self.overflow`; rounding comes first, as in `ap_fixed`.
    #[inline]
    pub fn quantize(self, acc: i64, acc_frac: i32) -> i64 {
        let shift = acc_frac.saturating_sub(self.format.frac_bits());
        if shift <= 0 && shift.unsigned_abs() < acc.unsigned_abs().leading_zeros() {
            // No bit is lost on the way: the common case of an accumulator at or above the step of the register.
            return self.clip(i128::from(acc << shift.unsigned_abs()));
        }
        if (1..=62).contains(&shift) {
            let floor = acc >> shift;
            let rest = acc & ((1_i64 << shift) - 1);
            return self.clip(i128::from(floor + self.carry(acc < 0, floor, rest, 1_i64 << (shift - 1))));
        }
        // Beyond 64 positions the value is far above the range or far below the step, whatever the distance.
        if shift <= 0 {
            return self.clip(i128::from(acc) << shift.unsigned_abs().min(64));
        }
        let shift = shift.min(100);
        let floor = -i64::from(acc < 0);
        let rest = i128::from(acc) - (i128::from(floor) << shift);
        self.clip(i128::from(floor + self.carry(acc < 0, floor, rest, 1_i128 << (shift - 1))))
    }

    /// Rounds and clips a real number into a raw value of `self.format`, exactly.
    ///
    /// # Errors
    /// When `value` is infinite or not a number.
    pub fn quantize_f64(self, value: f64) -> Result<i64, NotFinite> {
        if !value.is_finite() {
            return Err(NotFinite { value });
        }
        // value = (-1)^sign * mantissa * 2^exponent (IEEE 754 binary64).
        let bits = value.to_bits();
        let field = i32::try_from((bits >> 52) & 0x7ff).expect("11 bits fit");
        let fraction = (bits & ((1 << 52) - 1)).cast_signed();
        let (mantissa, exponent) = if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
        Ok(self.quantize(if value.is_sign_negative() { -mantissa } else { mantissa }, -exponent))
    }

    /// 1 when `floor` must move up by one step, `rest` being what was cut off and `half` half a step.
    #[inline]
    fn carry<T: Copy + PartialOrd + Default>(self, negative: bool, floor: i64, rest: T, half: T) -> i64 {
        let tie = rest == half;
        let up = match self.rounding {
            Rounding::Truncate => false,
            Rounding::TruncateZero => negative && rest != T::default(),
            Rounding::NearestUp => rest >= half,
            Rounding::NearestDown => rest > half,
            Rounding::NearestZero => rest > half || (tie && negative),
            Rounding::NearestAway => rest > half || (tie && !negative),
            Rounding::NearestEven => rest > half || (tie && floor & 1 == 1),
        };
        i64::from(up)
    }

    #[inline]
    fn clip(self, wide: i128) -> i64 {
        let (low, high) = self.range();
        match self.overflow {
            Overflow::Wrap => {
                // The mask keeps at most 32 bits, so the low 64 hold all that matters.
                let word = u64::try_from(wide & i128::from(u64::MAX)).expect("masked to 64 bits");
                self.format.from_bits(word)
            }
            Overflow::Saturate | Overflow::SaturateSymmetric => {
                i64::try_from(wide.clamp(i128::from(low), i128::from(high))).expect("clamped to 33 bits")
            }
            Overflow::SaturateZero => i64::try_from(wide).ok().filter(|raw| self.format.contains(*raw)).unwrap_or(0),
        }
    }
}

impl fmt::Display for Quantizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format.to_string();
        let head = format.trim_end_matches('>');
        write!(f, "{head},{},{}>", self.rounding.ap_name(), self.overflow.ap_name())
    }
}

/// Reads `ap_fixed<W,I>`, `ap_fixed<W,I,Q>`, `ap_fixed<W,I,Q,O>` or `ap_fixed<W,I,Q,O,0>`; defaults are `AP_TRN` and
/// `AP_WRAP`, as in `ap_fixed`; the modes may stand without their `AP_`.
impl FromStr for Quantizer {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let syntax = || FormatError::Syntax { text: text.to_owned() };
        let inner = text.trim().strip_suffix('>').ok_or_else(syntax)?;
        let mut parts = inner.split(',').map(str::trim);
        let (width, int_bits) = (parts.next().ok_or_else(syntax)?, parts.next().ok_or_else(syntax)?);
        let mode = |name: Option<&str>, default: &str| {
            let name = name.unwrap_or(default);
            if name.starts_with("AP_") { name.to_owned() } else { format!("AP_{name}") }
        };
        let rounding = mode(parts.next(), "AP_TRN");
        let overflow = mode(parts.next(), "AP_WRAP");
        // The fifth argument counts the bits that stay saturated when the rest wraps; only none is supported.
        if parts.next().is_some_and(|saturated| saturated != "0") || parts.next().is_some() {
            return Err(syntax());
        }
        Ok(Self {
            format: format!("{width},{int_bits}>").parse().map_err(|error| match error {
                FormatError::Syntax { .. } => syntax(),
                other => other,
            })?,
            rounding: Rounding::ALL.into_iter().find(|mode| mode.ap_name() == rounding).ok_or_else(syntax)?,
            overflow: Overflow::ALL.into_iter().find(|mode| mode.ap_name() == overflow).ok_or_else(syntax)?,
        })
    }
}

#[cfg(test)]
#[path = "quantize_tests.rs"]
mod tests;
