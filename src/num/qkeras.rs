//! What QKeras quantizers mean in hardware (qkeras 0.9.0, `qkeras/quantizers.py`).
//!
//! Only the arithmetic: reading a quantizer from a model file is `import`'s work.

use super::format::{FormatError, QFormat};
use super::quantize::{Overflow, Quantizer, Rounding};

/// `quantized_bits(bits, integer, symmetric, keep_negative, alpha = 1)`.
///
/// Step `2^-(bits - integer - keep_negative)`, ties to even, clipped to `[-2^integer, 2^integer - step]` (`symmetric`:
/// `-2^integer + step`; without `keep_negative`: 0 below). In `ap_fixed` terms
/// `ap_fixed<bits, integer + 1, AP_RND_CONV, AP_SAT>`, `AP_SAT_SYM` when symmetric.
///
/// # Errors
/// When no register of that width exists.
pub fn quantized_bits(bits: u8, integer: i16, symmetric: Symmetry, sign: Sign) -> Result<Quantizer, FormatError> {
    let format = match sign {
        Sign::Keep => QFormat::signed(bits, integer.saturating_add(1))?,
        Sign::Drop => QFormat::unsigned(bits, integer)?,
    };
    let overflow = match symmetric {
        Symmetry::Full => Overflow::Saturate,
        Symmetry::Symmetric => Overflow::SaturateSymmetric,
    };
    Ok(Quantizer { format, rounding: Rounding::NearestEven, overflow })
}

/// `quantized_relu(bits, integer)` with its defaults: unsigned, step `2^-(bits - integer)`, ties to even, clipped to
/// `[0, 2^integer - step]`; `ap_ufixed<bits, integer, AP_RND_CONV, AP_SAT>`.
///
/// # Errors
/// When no register of that width exists.
pub fn quantized_relu(bits: u8, integer: i16) -> Result<Quantizer, FormatError> {
    quantized_bits(bits, integer, Symmetry::Full, Sign::Drop)
}

/// QKeras' `keep_negative`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `keep_negative = 1`: a sign bit.
    Keep,
    /// `keep_negative = 0`: unsigned.
    Drop,
}

/// QKeras' `symmetric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symmetry {
    /// `symmetric = 0`: the whole two's-complement range.
    Full,
    /// `symmetric = 1`: the most negative value is left out.
    Symmetric,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizers_as_apfixed() {
        let text = |q: Result<Quantizer, FormatError>| q.unwrap().to_string();
        assert_eq!(text(quantized_bits(6, 1, Symmetry::Full, Sign::Keep)), "ap_fixed<6,2,AP_RND_CONV,AP_SAT>");
        assert_eq!(text(quantized_bits(6, 1, Symmetry::Symmetric, Sign::Keep)), "ap_fixed<6,2,AP_RND_CONV,AP_SAT_SYM>");
        assert_eq!(text(quantized_bits(6, 1, Symmetry::Full, Sign::Drop)), "ap_ufixed<6,1,AP_RND_CONV,AP_SAT>");
        assert_eq!(text(quantized_relu(9, 1)), "ap_ufixed<9,1,AP_RND_CONV,AP_SAT>");
    }

    #[test]
    fn values_as_qkeras_gives_them() {
        // (bits, integer) of quantized_bits -> [(input, output)], ties included.
        let q = quantized_bits(6, 1, Symmetry::Full, Sign::Keep).unwrap();
        for (input, output) in
            [(0.031_25, 0.0), (0.093_75, 0.125), (-0.031_25, 0.0), (-0.093_75, -0.125), (5.0, 1.9375), (-5.0, -2.0)]
        {
            assert_eq!(q.format.value(q.quantize_f64(input).unwrap()), output, "{input}");
        }
        let q = quantized_bits(6, 1, Symmetry::Symmetric, Sign::Keep).unwrap();
        assert_eq!(q.format.value(q.quantize_f64(-2.0).unwrap()), -1.9375);
        let q = quantized_relu(9, 1).unwrap();
        for (input, output) in [(-0.4, 0.0), (9.0, 511.0 / 256.0), (0.5 / 256.0, 0.0), (1.5 / 256.0, 2.0 / 256.0)] {
            assert_eq!(q.format.value(q.quantize_f64(input).unwrap()), output, "{input}");
        }
    }
}
