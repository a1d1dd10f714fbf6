//! Tests of technology tables: the shipped ones, lookups by hand, and every way a table can be wrong.

use super::*;

const MINI: &str = r#"
    description = "made up"
    unit = "ge"
    [register]
    plain = { value = 6, source = "s" }
    unvoted = { value = 20, source = "s" }
    unvoted_flag = { value = 24, source = "s" }
    feedback = { value = 16, source = "s" }
    feedback_flag = { value = 20, source = "s" }
    feedback3 = { value = 28, source = "s" }
    feedback3_flag = { value = 40, source = "s" }
    [logic]
    flip_flop = { value = 4, source = "s" }
    mux2_bit = { value = 2, source = "s" }
    relu_bit = { value = 1, source = "s" }
    adder_bit = { value = 7, source = "s" }
    [quantizer]
    increment = { value = 1000, source = "s" }
    sticky = { value = 100, source = "s" }
    detect = { value = 10, source = "s" }
    clamp = { value = 1, source = "s" }
    symmetric = { value = 0.1, source = "s" }
    [multiplier]
    source = "s"
    widths = [1, 3]
    signed_signed = [[10, 20], [30, 60]]
    signed_unsigned = [[1, 2], [3, 6]]
    unsigned_unsigned = [[4, 8], [8, 16]]
"#;

fn mini() -> Technology {
    Technology::from_toml("mini", MINI).unwrap()
}

#[test]
fn shipped_tables_have_a_source_for_every_number() {
    for name in Technology::SHIPPED {
        let technology = Technology::shipped(name).unwrap();
        assert_eq!((technology.name(), technology.sources().len()), (name, 17), "{name}");
        assert_eq!(technology.unit() == AreaUnit::LutFf, name == "xc7");
    }
    let error = Technology::shipped("n7").unwrap_err().to_string();
    assert_eq!(error, "no technology `n7`; osu018, sky130hd, xc7 come with this program");
}

#[test]
fn register_bits_as_measured() {
    let costs = |name| {
        let technology = Technology::shipped(name).unwrap();
        TmrStyle::ALL
            .map(|style| [false, true].map(|error_flag| technology.register_bit(Protection { style, error_flag })))
    };
    // Yosys 0.23 on osu018, a bank of 16 bits; without flags within 0.1 of a bank of 6 bits.
    let ge = |plain, flag| [Area::from_ge(plain), Area::from_ge(flag)];
    assert_eq!(costs("osu018"), [ge(6.625, 6.625), ge(22.833, 27.479), ge(17.583, 22.469), ge(28.75, 42.719)]);
    // One LUT per voter and per multiplexer that closes the loop.
    let fpga = costs("xc7").map(|[plain, _]| (plain.luts, plain.flip_flops));
    assert_eq!(fpga, [(0.0, 1.0), (1.0, 3.0), (2.0, 3.0), (6.0, 3.0)]);
}

#[test]
fn multipliers_as_measured() {
    let technology = Technology::shipped("osu018").unwrap();
    let signed = |width_bits| Operand { width_bits, signed: true };
    for (a, b, ge) in [(6, 6, 283.0), (6, 8, 366.8), (8, 6, 366.8), (8, 8, 552.0), (6, 16, 722.5)] {
        assert_eq!(technology.multiplier(signed(a), signed(b)), Area::from_ge(ge), "{a}x{b}");
    }
}

#[test]
fn multipliers_between_and_beyond_the_table() {
    let technology = mini();
    let ge = |a, b| {
        let operand = |(width_bits, signed)| Operand { width_bits, signed };
        technology.multiplier(operand(a), operand(b)).cost()
    };
    assert_eq!(ge((1, true), (3, true)), 20.0);
    assert_eq!(ge((2, true), (2, true)), 30.0);
    assert_eq!(ge((5, true), (1, true)), 30.0 * 5.0 / 3.0);
    assert_eq!(ge((6, true), (9, true)), 60.0 * 2.0 * 3.0);
    assert_eq!((ge((1, true), (3, false)), ge((3, false), (1, true))), (2.0, 2.0));
    assert_eq!(ge((3, true), (1, false)), 3.0);
    assert_eq!(ge((3, false), (1, false)), 8.0);
    for name in Technology::SHIPPED {
        let technology = Technology::shipped(name).unwrap();
        for (a, b) in (1..=40).flat_map(|a| (1..=40).map(move |b| (a, b))) {
            for (sign_a, sign_b) in [(true, true), (true, false), (false, true), (false, false)] {
                let at = |a, b| {
                    let operand = |width_bits, signed| Operand { width_bits, signed };
                    technology.multiplier(operand(a, sign_a), operand(b, sign_b)).cost()
                };
                assert!(at(a, b) > 0.0, "{name}: {a}x{b}");
                assert!(at(a + 4, b + 4) > at(a, b), "{name}: {a}x{b}");
            }
        }
    }
}

#[test]
fn quantizer_parts() {
    let technology = mini();
    let cost = |low, high, text: &str| {
        let signal = Signal { frac_bits: 8, low, high };
        technology.quantizer(&signal, &text.parse().unwrap()).cost()
    };
    // 16 bits with 8 fractional ones into 8 with 4: 4 are cut off, 4 lie above.
    let (low, high) = (-32768, 32767);
    assert_eq!(cost(low, high, "ap_fixed<8,4,TRN,WRAP>"), 0.0);
    assert_eq!(cost(low, high, "ap_fixed<8,4,RND,WRAP>"), 8000.0);
    assert_eq!(cost(low, high, "ap_fixed<8,4,RND_CONV,WRAP>"), 8400.0);
    assert_eq!(cost(low, high, "ap_fixed<8,4,TRN,SAT>"), 48.0);
    // The highest value rounds up into one more bit.
    assert_eq!(cost(low, high, "ap_fixed<8,4,RND_CONV,SAT>"), 8458.0);
    assert_eq!(cost(low, high, "ap_fixed<8,4,TRN,SAT_SYM>"), 48.8);
    assert_eq!(cost(low, high, "ap_ufixed<8,4,TRN,SAT>"), 48.0);
    // What fits needs no clipping, what has no bits to lose no rounding.
    assert_eq!(cost(-2000, 2000, "ap_fixed<8,4,RND_CONV,SAT>"), 8400.0);
    assert_eq!(cost(low, high, "ap_fixed<20,12,RND_CONV,SAT>"), 0.0);
    assert_eq!(cost(0, 255, "ap_ufixed<8,0,RND_CONV,SAT>"), 0.0);
    // A point far away, either side.
    assert_eq!(cost(low, high, "ap_fixed<8,120,TRN,SAT>"), 0.0);
    assert!(cost(low, high, "ap_fixed<8,-120,TRN,SAT>") > 48.0);
}

#[test]
fn faulty_tables_are_refused_by_key() {
    let error = |from: &str, to: &str| {
        assert!(MINI.contains(from), "{from}");
        Technology::from_toml("mini", &MINI.replace(from, to)).unwrap_err().to_string()
    };
    let plain = "plain = { value = 6, source = \"s\" }";
    for (to, expected) in [
        ("plain = { value = -6, source = \"s\" }", "`register.plain` = -6; an area is positive and finite"),
        ("plain = { value = 0, source = \"s\" }", "`register.plain` = 0; an area is positive and finite"),
        ("plain = { value = nan, source = \"s\" }", "`register.plain` = NaN; an area is positive and finite"),
        ("plain = { value = inf, source = \"s\" }", "`register.plain` = inf; an area is positive and finite"),
        ("plain = { value = 6, source = \" \" }", "`register.plain` has an empty source"),
        ("plain = { luts = 6, flip_flops = 1, source = \"s\" }", "`register.plain` must give `value`"),
        (
            "plain = { value = 21, source = \"s\" }",
            "`register.unvoted` costs 20, less than `register.plain` with 21, which has fewer parts",
        ),
    ] {
        assert_eq!(error(plain, to), format!("technology `mini`: {expected}"));
    }
    assert_eq!(
        error("feedback3_flag = { value = 40", "feedback3_flag = { value = 27"),
        "technology `mini`: `register.feedback3_flag` costs 27, less than `register.feedback3` with 28, which has fewer parts"
    );
    for (from, to, expected) in [
        (plain, "", "missing field `plain`"),
        (plain, "plain = { value = 6 }", "missing field `source`"),
        ("mux2_bit", "mux3_bit", "unknown field `mux3_bit`"),
        ("unit = \"ge\"", "unit = \"mm2\"", "unknown variant `mm2`"),
    ] {
        let text = error(from, to);
        assert!(text.starts_with("technology `mini`: ") && text.contains(expected), "{text}");
    }
    assert_eq!(
        error("widths = [1, 3]", "widths = [1, 1]"),
        "technology `mini`: `multiplier.widths` = [1, 1]; at least two ascending widths, from 1, are needed"
    );
    assert_eq!(
        error("[[1, 2], [3, 6]]", "[[1, 2], [3]]"),
        "technology `mini`: `multiplier.signed_unsigned` must have 2 rows of 2 numbers"
    );
    assert_eq!(
        error("[[1, 2], [3, 6]]", "[[1, 2], [3, -6]]"),
        "technology `mini`: `multiplier.signed_unsigned[1][1]` = -6; an area is positive and finite"
    );
    assert_eq!(
        error("unit = \"ge\"", "unit = \"lut_ff\""),
        "technology `mini`: `register.plain` must give `luts` and `flip_flops`"
    );
}
