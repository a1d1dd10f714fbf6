//! `Quantizer` against the `fixed` crate, an independent implementation of fixed-point numbers.
//!
//! Not a unit test, because the crate's many comparison operators blur type inference wherever they are in scope.

use fixed::traits::{Fixed, ToFixed};
use fixed::types::extra::{U0, U4, U6, U8, U12, U16, U20, U31};
use fixed::{FixedI8, FixedI16, FixedI32, FixedI64, FixedU8, FixedU16, FixedU32};
use proptest::prelude::*;
use trivote::num::{Overflow, Quantizer, Rounding};

fn quantizer(format: &str, rounding: Rounding, overflow: Overflow) -> Quantizer {
    Quantizer { format: format.parse().unwrap(), rounding, overflow }
}

/// Raw value of a number of the `fixed` crate, all of whose types here have at most 32 bits.
fn raw<F: Fixed>(value: F) -> i64
where
    i64: TryFrom<F::Bits>,
{
    i64::try_from(value.to_bits()).ok().expect("at most 32 bits")
}

/// Compares every conversion into `$type` with the quantizers that mean the same.
macro_rules! against_fixed {
    ($($name:ident: $type:ty = $format:literal;)*) => { $(
        proptest! {
            #[test]
            fn $name(value in -1.0e6_f64..1.0e6, scale in -40_i32..=12, wide: i64) {
                // From a float: to nearest, ties to even. Floats near the step make ties likely.
                let ties = (value * 8.0).round() / 16.0;
                for value in [value * f64::from(scale).exp2(), ties * f64::from(scale).exp2()] {
                    let even = |overflow| quantizer($format, Rounding::NearestEven, overflow).quantize_f64(value);
                    prop_assert_eq!(even(Overflow::Saturate), Ok(raw(value.saturating_to_fixed::<$type>())));
                    prop_assert_eq!(even(Overflow::Wrap), Ok(raw(value.wrapping_to_fixed::<$type>())));
                }
                // From a wider fixed-point number: truncates towards minus infinity.
                let source = FixedI64::<U20>::from_bits(wide >> (scale + 40));
                let truncate = |overflow| {
                    quantizer($format, Rounding::Truncate, overflow).quantize(source.to_bits(), 20)
                };
                prop_assert_eq!(truncate(Overflow::Saturate), raw(source.saturating_to_fixed::<$type>()));
                prop_assert_eq!(truncate(Overflow::Wrap), raw(source.wrapping_to_fixed::<$type>()));
                if let Some(fits) = source.checked_to_fixed::<$type>() {
                    prop_assert_eq!(truncate(Overflow::SaturateZero), raw(fits));
                } else {
                    prop_assert_eq!(truncate(Overflow::SaturateZero), 0);
                }
            }
        }
    )* };
}

against_fixed! {
    fixed_i8_integer: FixedI8<U0> = "ap_fixed<8,8>";
    fixed_i8_fraction: FixedI8<U8> = "ap_fixed<8,0>";
    fixed_i8: FixedI8<U6> = "ap_fixed<8,2>";
    fixed_u8: FixedU8<U4> = "ap_ufixed<8,4>";
    fixed_u8_fraction: FixedU8<U8> = "ap_ufixed<8,0>";
    fixed_i16: FixedI16<U12> = "ap_fixed<16,4>";
    fixed_i16_fraction: FixedI16<U16> = "ap_fixed<16,0>";
    fixed_u16: FixedU16<U6> = "ap_ufixed<16,10>";
    fixed_i32: FixedI32<U20> = "ap_fixed<32,12>";
    fixed_i32_fraction: FixedI32<U31> = "ap_fixed<32,1>";
    fixed_u32: FixedU32<U16> = "ap_ufixed<32,16>";
    fixed_u32_integer: FixedU32<U0> = "ap_ufixed<32,32>";
}
