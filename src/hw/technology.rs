//! `Technology`: what each part of an accelerator costs in one cell library or FPGA family.
//!
//! Tables are TOML texts with the source of every number next to it; reading the file is the caller's. How many of each
//! part a design has is the area model's to say.

use serde::Deserialize;

use super::area::{Area, AreaUnit};
use super::tmr::{Protection, TmrStyle};
use crate::net::Signal;
use crate::num::{Overflow, QFormat, Quantizer, Rounding};

/// Why a technology table cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TechnologyError {
    /// Not TOML, or a key that is missing, unknown or of another type.
    #[error("technology `{technology}`: {source}")]
    Syntax {
        /// The technology.
        technology: String,
        /// Key and place.
        source: toml::de::Error,
    },
    /// A number that is no area.
    #[error("technology `{technology}`: `{key}` = {value}; an area is positive and finite")]
    Value {
        /// The technology.
        technology: String,
        /// The key.
        key: String,
        /// The number.
        value: f64,
    },
    /// An area given in the other unit.
    #[error("technology `{technology}`: `{key}` must give {expected}")]
    Unit {
        /// The technology.
        technology: String,
        /// The key.
        key: String,
        /// The keys that belong to the unit of the table.
        expected: &'static str,
    },
    /// A number without a source.
    #[error("technology `{technology}`: `{key}` has an empty source")]
    Source {
        /// The technology.
        technology: String,
        /// The key.
        key: String,
    },
    /// A protected bit that costs less than a weaker one.
    #[error(
        "technology `{technology}`: `{key}` costs {cost}, less than `{cheaper}` with {cheaper_cost}, which has fewer parts"
    )]
    Order {
        /// The technology.
        technology: String,
        /// The key.
        key: String,
        /// Its cost.
        cost: f64,
        /// The key of the bit with fewer parts.
        cheaper: String,
        /// That bit's cost.
        cheaper_cost: f64,
    },
    /// Widths that do not ascend.
    #[error("technology `{technology}`: `multiplier.widths` = {widths:?}; at least two ascending widths are needed")]
    Widths {
        /// The technology.
        technology: String,
        /// The widths.
        widths: Vec<u32>,
    },
    /// A table that is not as long and wide as its widths.
    #[error("technology `{technology}`: `{key}` must have {expected} rows of {expected} numbers")]
    Shape {
        /// The technology.
        technology: String,
        /// The key.
        key: String,
        /// Number of widths.
        expected: usize,
    },
    /// No table of that name comes with the program.
    #[error("no technology `{name}`; {} come with this program", Technology::SHIPPED.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
}

/// One input of a multiplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Number of bits, at least 1.
    pub width_bits: u32,
    /// Whether the most significant bit is a sign.
    pub signed: bool,
}

impl From<QFormat> for Operand {
    fn from(format: QFormat) -> Self {
        Self { width_bits: u32::from(format.width()), signed: format.is_signed() }
    }
}

/// The narrowest operand that holds every value of the signal.
impl From<&Signal> for Operand {
    fn from(signal: &Signal) -> Self {
        Self { width_bits: signal.width_bits(), signed: signal.low < 0 }
    }
}

/// Areas of the parts of an accelerator in one technology.
#[derive(Debug, Clone, PartialEq)]
pub struct Technology {
    name: String,
    description: String,
    unit: AreaUnit,
    register: Register<Area>,
    logic: Logic<Area>,
    quantizer: QuantizerBits<Area>,
    multiplier: MultiplierTable,
    sources: Vec<(String, String)>,
}

/// One register bit with load enable, per style.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Register<T> {
    plain: T,
    unvoted: T,
    unvoted_flag: T,
    feedback: T,
    feedback_flag: T,
    feedback3: T,
    feedback3_flag: T,
}

/// Datapath parts per bit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logic<T> {
    flip_flop: T,
    mux2_bit: T,
    relu_bit: T,
    adder_bit: T,
}

/// Rounding and clipping per bit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuantizerBits<T> {
    increment: T,
    sticky: T,
    detect: T,
    clamp: T,
    symmetric: T,
}

/// Gate equivalents or look-up tables of an exact product; row and column by operand width.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct MultiplierTable {
    source: String,
    widths: Vec<u32>,
    signed_signed: Vec<Vec<f64>>,
    signed_unsigned: Vec<Vec<f64>>,
    unsigned_unsigned: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    description: String,
    unit: AreaUnit,
    register: Register<Cell>,
    logic: Logic<Cell>,
    quantizer: QuantizerBits<Cell>,
    multiplier: MultiplierTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell {
    value: Option<f64>,
    luts: Option<f64>,
    flip_flops: Option<f64>,
    source: String,
}

impl Technology {
    /// The tables that come with the program.
    pub const SHIPPED: [&str; 3] = ["osu018", "sky130hd", "xc7"];

    /// A table that comes with the program, by name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn shipped(name: &str) -> Result<Self, TechnologyError> {
        let texts = [
            include_str!("../../hw_models/technologies/osu018.toml"),
            include_str!("../../hw_models/technologies/sky130hd.toml"),
            include_str!("../../hw_models/technologies/xc7.toml"),
        ];
        let table = Self::SHIPPED.into_iter().zip(texts).find(|(shipped, _)| *shipped == name);
        let (_, text) = table.ok_or_else(|| TechnologyError::Unknown { name: name.to_owned() })?;
        Self::from_toml(name, text)
    }

    /// Reads a table from the text of a TOML file; `name` is how errors and reports call it.
    ///
    /// # Errors
    /// Names the key that is missing, unknown, of another unit, without a source, or not a positive finite number; and a
    /// protected bit that is cheaper than a bit with fewer parts.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, TechnologyError> {
        let document: Document =
            toml::from_str(text).map_err(|source| TechnologyError::Syntax { technology: name.to_owned(), source })?;
        let mut reader = Reader { technology: name, unit: document.unit, sources: Vec::new() };
        let Document { register, logic, quantizer, multiplier, .. } = document;
        let register = Register {
            plain: reader.area("register.plain", register.plain)?,
            unvoted: reader.area("register.unvoted", register.unvoted)?,
            unvoted_flag: reader.area("register.unvoted_flag", register.unvoted_flag)?,
            feedback: reader.area("register.feedback", register.feedback)?,
            feedback_flag: reader.area("register.feedback_flag", register.feedback_flag)?,
            feedback3: reader.area("register.feedback3", register.feedback3)?,
            feedback3_flag: reader.area("register.feedback3_flag", register.feedback3_flag)?,
        };
        let logic = Logic {
            flip_flop: reader.area("logic.flip_flop", logic.flip_flop)?,
            mux2_bit: reader.area("logic.mux2_bit", logic.mux2_bit)?,
            relu_bit: reader.area("logic.relu_bit", logic.relu_bit)?,
            adder_bit: reader.area("logic.adder_bit", logic.adder_bit)?,
        };
        let quantizer = QuantizerBits {
            increment: reader.area("quantizer.increment", quantizer.increment)?,
            sticky: reader.area("quantizer.sticky", quantizer.sticky)?,
            detect: reader.area("quantizer.detect", quantizer.detect)?,
            clamp: reader.area("quantizer.clamp", quantizer.clamp)?,
            symmetric: reader.area("quantizer.symmetric", quantizer.symmetric)?,
        };
        reader.check_multiplier(&multiplier)?;
        let technology = Self {
            name: name.to_owned(),
            description: document.description,
            unit: document.unit,
            register,
            logic,
            quantizer,
            multiplier,
            sources: reader.sources,
        };
        technology.check_order()?;
        Ok(technology)
    }

    /// How errors and reports call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What it counts in.
    pub const fn unit(&self) -> AreaUnit {
        self.unit
    }

    /// Where every number comes from: key and source, in the order of the table.
    pub fn sources(&self) -> &[(String, String)] {
        &self.sources
    }

    /// One register bit with load enable, its copies and voters included.
    pub const fn register_bit(&self, protection: Protection) -> Area {
        match (protection.style, protection.error_flag) {
            (TmrStyle::None, _) => self.register.plain,
            (TmrStyle::Unvoted, false) => self.register.unvoted,
            (TmrStyle::Unvoted, true) => self.register.unvoted_flag,
            (TmrStyle::Feedback, false) => self.register.feedback,
            (TmrStyle::Feedback, true) => self.register.feedback_flag,
            (TmrStyle::Feedback3, false) => self.register.feedback3,
            (TmrStyle::Feedback3, true) => self.register.feedback3_flag,
        }
    }

    /// What protecting one register bit adds to the plain bit; never negative.
    pub fn protection_bit(&self, protection: Protection) -> Area {
        self.register_bit(protection) - self.register.plain
    }

    /// One bit of a pipeline register, which loads at every clock.
    pub const fn flip_flop(&self) -> Area {
        self.logic.flip_flop
    }

    /// One bit of a choice between two words.
    pub const fn mux2_bit(&self) -> Area {
        self.logic.mux2_bit
    }

    /// One output bit of `max(x, 0)`.
    pub const fn relu_bit(&self) -> Area {
        self.logic.relu_bit
    }

    /// One bit of a two-operand adder.
    pub const fn adder_bit(&self) -> Area {
        self.logic.adder_bit
    }

    /// An exact multiplier. Bilinear in the two widths between tabulated ones, and on with the last ones beyond.
    pub fn multiplier(&self, a: Operand, b: Operand) -> Area {
        let table = &self.multiplier;
        let logic = match (a.signed, b.signed) {
            (true, true) => table.at(&table.signed_signed, a.width_bits, b.width_bits),
            (true, false) => table.at(&table.signed_unsigned, a.width_bits, b.width_bits),
            (false, true) => table.at(&table.signed_unsigned, b.width_bits, a.width_bits),
            (false, false) => table.at(&table.unsigned_unsigned, a.width_bits, b.width_bits),
        };
        match self.unit {
            AreaUnit::Ge => Area::from_ge(logic),
            AreaUnit::LutFf => Area::from_luts(logic, 0.0),
        }
    }

    /// Rounding and clipping of one value of `signal`.
    ///
    /// With `W` output bits, `c` bits cut off on the right and `t` bits of the rounded range above the output: rounding
    /// costs an increment per output bit and, but for `AP_RND`, a sticky bit per bit cut off; clipping, if the range
    /// does not fit, costs detection per bit above and a clamp per output bit, `AP_SAT_SYM` a further comparison.
    /// Truncation and wrapping are wires.
    pub fn quantizer(&self, signal: &Signal, quantizer: &Quantizer) -> Area {
        let cells = &self.quantizer;
        let width = f64::from(quantizer.format.width());
        let cut = signal.frac_bits.saturating_sub(quantizer.format.frac_bits());
        let mut area = Area::ZERO;
        let rounds = cut > 0 && quantizer.rounding != Rounding::Truncate;
        if rounds {
            area += cells.increment * width;
            if quantizer.rounding != Rounding::NearestUp {
                area += cells.sticky * f64::from(cut.unsigned_abs().min(signal.width_bits()));
            }
        }
        // In steps of the output; a shift of 64 leaves every range, whatever the distance between the points.
        let scaled = |value: i64| {
            let wide = i128::from(value);
            if cut > 0 { wide >> cut.unsigned_abs().min(127) } else { wide << cut.unsigned_abs().min(64) }
        };
        let (low, high) = (scaled(signal.low), scaled(signal.high) + i128::from(rounds));
        let (least, most) = quantizer.range();
        let fits = low >= i128::from(least) && high <= i128::from(most);
        if !fits && quantizer.overflow != Overflow::Wrap {
            let bits = |value: i128| 128 - if value < 0 { !value } else { value }.leading_zeros();
            let needed = bits(low).max(bits(high)) + u32::from(low < 0);
            let above = needed.saturating_sub(u32::from(quantizer.format.width()));
            area += cells.detect * f64::from(above) + cells.clamp * width;
            if quantizer.overflow == Overflow::SaturateSymmetric && quantizer.format.is_signed() {
                area += cells.symmetric * width;
            }
        }
        area
    }

    /// A bit with more parts costs no less, so that more protection never makes a design smaller.
    fn check_order(&self) -> Result<(), TechnologyError> {
        let bit = |style, error_flag| self.register_bit(Protection { style, error_flag }).cost();
        let key = |style: TmrStyle, error_flag: bool| match style {
            TmrStyle::None => "register.plain".to_owned(),
            _ => format!("register.{style}{}", if error_flag { "_flag" } else { "" }),
        };
        for style in [TmrStyle::Unvoted, TmrStyle::Feedback, TmrStyle::Feedback3] {
            for (fewer, error_flag) in [(TmrStyle::None, false), (style, true)] {
                let (cheap, dear) = ((fewer, false), (style, error_flag));
                let (cheaper_cost, cost) = (bit(cheap.0, cheap.1), bit(dear.0, dear.1));
                if cost < cheaper_cost {
                    return Err(TechnologyError::Order {
                        technology: self.name.clone(),
                        key: key(dear.0, dear.1),
                        cost,
                        cheaper: key(cheap.0, cheap.1),
                        cheaper_cost,
                    });
                }
            }
        }
        Ok(())
    }
}

impl MultiplierTable {
    fn at(&self, table: &[Vec<f64>], row_width: u32, column_width: u32) -> f64 {
        // Index of the tabulated width below, and how far on the way to the next one (beyond 1 when past the last).
        let place = |width: u32| {
            let below = self.widths.partition_point(|known| *known <= width).clamp(1, self.widths.len() - 1) - 1;
            let (from, to) = (f64::from(self.widths[below]), f64::from(self.widths[below + 1]));
            (below, (f64::from(width) - from) / (to - from))
        };
        let ((row, down), (column, right)) = (place(row_width), place(column_width));
        let along = |row: usize| table[row][column] * (1.0 - right) + table[row][column + 1] * right;
        (along(row) * (1.0 - down) + along(row + 1) * down).max(0.0)
    }
}

/// Checks numbers and collects their sources.
struct Reader<'a> {
    technology: &'a str,
    unit: AreaUnit,
    sources: Vec<(String, String)>,
}

impl Reader<'_> {
    fn area(&mut self, key: &str, cell: Cell) -> Result<Area, TechnologyError> {
        let technology = || self.technology.to_owned();
        let unit = |expected| TechnologyError::Unit { technology: technology(), key: key.to_owned(), expected };
        let value = |value| TechnologyError::Value { technology: technology(), key: key.to_owned(), value };
        let area = match (self.unit, cell.value, cell.luts, cell.flip_flops) {
            (AreaUnit::Ge, Some(ge), None, None) => Area::from_ge(ge),
            (AreaUnit::LutFf, None, Some(luts), Some(flip_flops)) => Area::from_luts(luts, flip_flops),
            (AreaUnit::Ge, ..) => return Err(unit("`value`")),
            (AreaUnit::LutFf, ..) => return Err(unit("`luts` and `flip_flops`")),
        };
        for part in [area.ge, area.luts, area.flip_flops] {
            if !part.is_finite() || part < 0.0 {
                return Err(value(part));
            }
        }
        if area.cost() == 0.0 {
            return Err(value(0.0));
        }
        self.source(key, cell.source)?;
        Ok(area)
    }

    fn source(&mut self, key: &str, source: String) -> Result<(), TechnologyError> {
        if source.trim().is_empty() {
            return Err(TechnologyError::Source { technology: self.technology.to_owned(), key: key.to_owned() });
        }
        self.sources.push((key.to_owned(), source));
        Ok(())
    }

    fn check_multiplier(&mut self, table: &MultiplierTable) -> Result<(), TechnologyError> {
        let technology = || self.technology.to_owned();
        let widths = &table.widths;
        if widths.len() < 2 || widths[0] == 0 || widths.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(TechnologyError::Widths { technology: technology(), widths: widths.clone() });
        }
        for (key, rows) in [
            ("signed_signed", &table.signed_signed),
            ("signed_unsigned", &table.signed_unsigned),
            ("unsigned_unsigned", &table.unsigned_unsigned),
        ] {
            if rows.len() != widths.len() || rows.iter().any(|row| row.len() != widths.len()) {
                let key = format!("multiplier.{key}");
                return Err(TechnologyError::Shape { technology: technology(), key, expected: widths.len() });
            }
            for (row, values) in rows.iter().enumerate() {
                if let Some((column, value)) = values.iter().enumerate().find(|(_, v)| !(v.is_finite() && **v > 0.0)) {
                    let key = format!("multiplier.{key}[{row}][{column}]");
                    return Err(TechnologyError::Value { technology: technology(), key, value: *value });
                }
            }
        }
        self.source("multiplier", table.source.clone())
    }
}

#[cfg(test)]
mod tests {
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
        widths = [2, 4]
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
        assert_eq!(ge((2, true), (4, true)), 20.0);
        assert_eq!(ge((3, true), (3, true)), 30.0);
        assert_eq!(ge((6, true), (2, true)), 50.0);
        assert_eq!(ge((1, true), (1, true)), 2.5);
        assert_eq!((ge((2, true), (4, false)), ge((4, false), (2, true))), (2.0, 2.0));
        assert_eq!(ge((4, true), (2, false)), 3.0);
        assert_eq!(ge((4, false), (2, false)), 8.0);
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
            error("widths = [2, 4]", "widths = [4, 4]"),
            "technology `mini`: `multiplier.widths` = [4, 4]; at least two ascending widths are needed"
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
}
