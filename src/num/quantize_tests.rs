//! Tests of `Quantizer`: tables from the definition of `ap_fixed`, and a slow twin in exact rational arithmetic.

use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;
use crate::num::{MAX_POINT, MAX_WIDTH};

fn quantizer(format: &str, rounding: Rounding, overflow: Overflow) -> Quantizer {
    Quantizer { format: format.parse().unwrap(), rounding, overflow }
}

#[test]
fn every_rounding_mode_by_table() {
    let quarters = [-10, -9, -7, -6, -5, -2, -1, 0, 1, 2, 3, 5, 6, 10];
    let table = [
        (Rounding::Truncate, [-3, -3, -2, -2, -2, -1, -1, 0, 0, 0, 0, 1, 1, 2]),
        (Rounding::TruncateZero, [-2, -2, -1, -1, -1, 0, 0, 0, 0, 0, 0, 1, 1, 2]),
        (Rounding::NearestUp, [-2, -2, -2, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2, 3]),
        (Rounding::NearestZero, [-2, -2, -2, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2]),
        (Rounding::NearestAway, [-3, -2, -2, -2, -1, -1, 0, 0, 0, 1, 1, 1, 2, 3]),
        (Rounding::NearestDown, [-3, -2, -2, -2, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2]),
        (Rounding::NearestEven, [-2, -2, -2, -2, -1, 0, 0, 0, 0, 0, 1, 1, 2, 2]),
    ];
    assert_eq!(table.map(|(mode, _)| mode), Rounding::ALL);
    for (rounding, expected) in table {
        let q = quantizer("ap_fixed<8,8>", rounding, Overflow::Wrap);
        assert_eq!(quarters.map(|acc| q.quantize(acc, 2)), expected, "{}", rounding.ap_name());
        // The same values held with many more fractional bits, beyond 64 positions too.
        assert_eq!(quarters.map(|acc| q.quantize(acc << 40, 42)), expected, "{}", rounding.ap_name());
        let far = QFormat::signed(8, 128).unwrap();
        let far = Quantizer { format: far, ..q };
        assert_eq!(quarters.map(|acc| far.quantize(acc, 2 - 120)), expected, "{}", rounding.ap_name());
    }
}

#[test]
fn every_overflow_mode_by_table() {
    let values = [i64::MIN, -17, -16, -9, -8, -7, 0, 7, 8, 15, 16, 17, i64::MAX];
    let table = [
        ("ap_fixed<4,4>", Overflow::Wrap, [0, -1, 0, 7, -8, -7, 0, 7, -8, -1, 0, 1, -1]),
        ("ap_fixed<4,4>", Overflow::Saturate, [-8, -8, -8, -8, -8, -7, 0, 7, 7, 7, 7, 7, 7]),
        ("ap_fixed<4,4>", Overflow::SaturateZero, [0, 0, 0, 0, -8, -7, 0, 7, 0, 0, 0, 0, 0]),
        ("ap_fixed<4,4>", Overflow::SaturateSymmetric, [-7, -7, -7, -7, -7, -7, 0, 7, 7, 7, 7, 7, 7]),
        ("ap_ufixed<4,4>", Overflow::Wrap, [0, 15, 0, 7, 8, 9, 0, 7, 8, 15, 0, 1, 15]),
        ("ap_ufixed<4,4>", Overflow::Saturate, [0, 0, 0, 0, 0, 0, 0, 7, 8, 15, 15, 15, 15]),
        ("ap_ufixed<4,4>", Overflow::SaturateZero, [0, 0, 0, 0, 0, 0, 0, 7, 8, 15, 0, 0, 0]),
        ("ap_ufixed<4,4>", Overflow::SaturateSymmetric, [0, 0, 0, 0, 0, 0, 0, 7, 8, 15, 15, 15, 15]),
    ];
    for (format, overflow, expected) in table {
        for rounding in Rounding::ALL {
            let q = quantizer(format, rounding, overflow);
            assert_eq!(values.map(|acc| q.quantize(acc, 0)), expected, "{q}");
        }
    }
}

#[test]
fn rounding_comes_before_overflow() {
    let table = [
        // 7.5 rounds up to 8, which does not fit; -8.5 rounds down to -9.
        (Rounding::NearestUp, 15, [-8, 7, 0, 7]),
        (Rounding::NearestAway, -17, [7, -8, 0, -7]),
        // 7.5 and -8.5 truncated: 7 fits, -9 does not.
        (Rounding::Truncate, 15, [7, 7, 7, 7]),
        (Rounding::Truncate, -17, [7, -8, 0, -7]),
        (Rounding::TruncateZero, -17, [-8, -8, -8, -7]),
    ];
    for (rounding, halves, expected) in table {
        let outcomes = Overflow::ALL.map(|overflow| quantizer("ap_fixed<4,4>", rounding, overflow).quantize(halves, 1));
        assert_eq!(outcomes, expected, "{} of {halves}/2", rounding.ap_name());
    }
}

#[test]
fn points_far_outside_the_word() {
    let all = |format: &str, acc, frac| {
        Rounding::ALL.map(|rounding| quantizer(format, rounding, Overflow::Saturate).quantize(acc, frac))
    };
    // The step is 2^120: everything in an i64 lies between two neighbors, next to zero.
    assert_eq!(all("ap_fixed<8,128>", 1, 0), [0; 7]);
    assert_eq!(all("ap_fixed<8,128>", -1, 0), [-1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(all("ap_fixed<8,128>", i64::MIN, 0), [-1, 0, 0, 0, 0, 0, 0]);
    // -2^63 * 2^-64 is a tie between -1 and 0.
    assert_eq!(all("ap_fixed<8,8>", i64::MIN, 64), [-1, 0, 0, 0, -1, -1, 0]);
    // The step is 2^-136: everything but zero is beyond the range.
    assert_eq!(all("ap_fixed<8,-128>", 1, 0), [127; 7]);
    assert_eq!(all("ap_fixed<8,-128>", -1, 0), [-128; 7]);
    assert_eq!(all("ap_fixed<8,-128>", 0, 0), [0; 7]);
    // No distance between the points is too large.
    assert_eq!(all("ap_fixed<8,-128>", 1, i32::MIN), [127; 7]);
    assert_eq!(all("ap_fixed<8,128>", -1, i32::MAX), [-1, 0, 0, 0, 0, 0, 0]);
}

/// `acc * 2^-acc_frac` in steps of `q.format`, rounded and clipped as the modes are defined, in exact arithmetic.
fn by_definition(q: Quantizer, acc: i64, acc_frac: i32) -> BigInt {
    let up = q.format.frac_bits() - acc_frac;
    let numerator = BigInt::from(acc) << up.max(0).unsigned_abs();
    let denominator = BigInt::from(1) << (-up).max(0).unsigned_abs();
    let zero = BigInt::from(0);
    let mut floor = &numerator / &denominator;
    if &floor * &denominator > numerator {
        floor -= 1;
    }
    let below = &numerator - &floor * &denominator;
    let ceiling = if below == zero { floor.clone() } else { &floor + 1 };
    let above = &ceiling * &denominator - &numerator;
    let toward_zero = if numerator < zero { &ceiling } else { &floor };
    let away = if numerator < zero { &floor } else { &ceiling };
    let even = if &floor % 2 == zero { &floor } else { &ceiling };
    let nearest = |tie: &BigInt| match below.cmp(&above) {
        std::cmp::Ordering::Less => floor.clone(),
        std::cmp::Ordering::Greater => ceiling.clone(),
        std::cmp::Ordering::Equal => tie.clone(),
    };
    let rounded = match q.rounding {
        Rounding::Truncate => floor.clone(),
        Rounding::TruncateZero => toward_zero.clone(),
        Rounding::NearestUp => nearest(&ceiling),
        Rounding::NearestZero => nearest(toward_zero),
        Rounding::NearestAway => nearest(away),
        Rounding::NearestDown => nearest(&floor),
        Rounding::NearestEven => nearest(even),
    };
    let width = u32::from(q.format.width());
    let max = (BigInt::from(1) << (width - u32::from(q.format.is_signed()))) - 1;
    let min = if q.format.is_signed() { -&max - 1 } else { zero.clone() };
    let inside = min <= rounded && rounded <= max;
    match q.overflow {
        Overflow::SaturateSymmetric if rounded < -&max => (-max).max(min),
        _ if inside => rounded,
        Overflow::Saturate | Overflow::SaturateSymmetric => rounded.clamp(min, max),
        Overflow::SaturateZero => zero,
        Overflow::Wrap => {
            let modulus = BigInt::from(1) << width;
            // Remainders of big integers follow the sign of the dividend.
            let word = ((rounded % &modulus) + &modulus) % &modulus;
            if word > max { word - modulus } else { word }
        }
    }
}

prop_compose! {
    fn any_quantizer()(
        width in 1..=MAX_WIDTH,
        int_bits in prop_oneof![-MAX_POINT..=MAX_POINT, -4_i16..=36],
        signed: bool,
        rounding in prop::sample::select(Rounding::ALL.to_vec()),
        overflow in prop::sample::select(Overflow::ALL.to_vec()),
    ) -> Quantizer {
        let format = if signed { QFormat::signed(width, int_bits) } else { QFormat::unsigned(width, int_bits) };
        Quantizer { format: format.unwrap(), rounding, overflow }
    }
}

/// All of `i64`, with the ends, small numbers and numbers around a power of two (where ties are) made likely.
fn any_acc() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -300_i64..300,
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
        (0_u32..63, -3_i64..=3, -5_i64..=5).prop_map(|(power, odd, near)| (odd << power).wrapping_add(near)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn equals_exact_rational_arithmetic(q in any_quantizer(), acc in any_acc(), acc_frac in -200_i32..=200) {
        prop_assert_eq!(BigInt::from(q.quantize(acc, acc_frac)), by_definition(q, acc, acc_frac), "{}", q);
    }

    #[test]
    fn equals_exact_rational_arithmetic_near_the_point(q in any_quantizer(), acc in any_acc(), shift in -40_i32..=70) {
        let acc_frac = q.format.frac_bits() + shift;
        prop_assert_eq!(BigInt::from(q.quantize(acc, acc_frac)), by_definition(q, acc, acc_frac), "{}", q);
    }

    #[test]
    fn stays_in_range_and_keeps_what_fits(q in any_quantizer(), acc in any_acc(), acc_frac in -200_i32..=200) {
        let (low, high) = q.range();
        let raw = q.quantize(acc, acc_frac);
        prop_assert!((low..=high).contains(&raw) && q.format.contains(raw));
        prop_assert_eq!(q.quantize(raw, q.format.frac_bits()), raw, "what is in range is left alone");
    }

    #[test]
    fn a_float_is_its_mantissa_and_exponent(q in any_quantizer(), acc: i64, exponent in -300_i32..=300, tiny: u64) {
        // 53 bits at most, so the product is exact.
        let mantissa = acc >> 11;
        let value = super::super::cast::f64_from_i64(mantissa) * f64::from(exponent).exp2();
        prop_assert_eq!(q.quantize_f64(value), Ok(q.quantize(mantissa, -exponent)));
        // Subnormal numbers: a multiple of 2^-1074.
        let subnormal = f64::from_bits(tiny >> 12);
        prop_assert_eq!(q.quantize_f64(subnormal), Ok(q.quantize((tiny >> 12).cast_signed(), 1074)));
        prop_assert_eq!(q.quantize_f64(-subnormal), Ok(q.quantize(-(tiny >> 12).cast_signed(), 1074)));
    }

    #[test]
    fn text_round_trip(q in any_quantizer()) {
        prop_assert_eq!(q.to_string().parse::<Quantizer>(), Ok(q));
        prop_assert_eq!(q.to_string().replace("AP_", "").parse::<Quantizer>(), Ok(q));
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let q = quantizer("ap_fixed<8,4>", Rounding::NearestEven, Overflow::Saturate);
    for value in [f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(q.quantize_f64(value), Err(NotFinite { value }));
    }
    assert!(q.quantize_f64(f64::NAN).is_err_and(|error| error.value.is_nan()));
    assert_eq!((q.quantize_f64(f64::MAX), q.quantize_f64(-f64::MAX)), (Ok(127), Ok(-128)));
    assert_eq!((q.quantize_f64(0.0), q.quantize_f64(-0.0)), (Ok(0), Ok(0)));
}

#[test]
fn texts_of_other_tools() {
    let q = quantizer("ap_fixed<16,6>", Rounding::Truncate, Overflow::Wrap);
    for text in
        ["ap_fixed<16,6>", " ap_fixed< 16 , 6 , TRN > ", "ap_fixed<16,6,AP_TRN,AP_WRAP>", "ap_fixed<16,6,TRN,WRAP,0>"]
    {
        assert_eq!(text.parse(), Ok(q), "{text}");
    }
    for text in
        ["ap_fixed<16>", "ap_fixed<16,6,TRN,WRAP,1>", "ap_fixed<16,6,UP>", "ap_fixed<16,6,SAT>", "ap_fixed<16,6"]
    {
        assert_eq!(text.parse::<Quantizer>(), Err(FormatError::Syntax { text: text.to_owned() }), "{text}");
    }
    assert_eq!("ap_fixed<40,6,TRN>".parse::<Quantizer>(), Err(FormatError::Width { width: 40 }));
}
