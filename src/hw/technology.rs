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
    /// Widths that do not ascend from 1.
    #[error(
        "technology `{technology}`: `multiplier.widths` = {widths:?}; at least two ascending widths, from 1, are needed"
    )]
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
    /// Names the key that is missing, unknown, of another unit, without a source, or not a positive finite number; and
    /// a protected bit that is cheaper than a bit with fewer parts.
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

    /// An exact multiplier. Bilinear in the two widths between tabulated ones; beyond the last one, proportional to the
    /// width.
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
        // Index of the tabulated width below, how far on the way to the next one, and by how much the width exceeds
        // all.
        let place = |width: u32| {
            let last = *self.widths.last().expect("checked: at least two widths");
            let inside = width.min(last);
            let below = self.widths.partition_point(|known| *known <= inside).clamp(1, self.widths.len() - 1) - 1;
            let (from, to) = (f64::from(self.widths[below]), f64::from(self.widths[below + 1]));
            (below, (f64::from(inside) - from) / (to - from), f64::from(width) / f64::from(inside))
        };
        let ((row, down, taller), (column, right, wider)) = (place(row_width), place(column_width));
        let along = |row: usize| table[row][column] * (1.0 - right) + table[row][column + 1] * right;
        (along(row) * (1.0 - down) + along(row + 1) * down) * taller * wider
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
        if widths.len() < 2 || widths[0] != 1 || widths.windows(2).any(|pair| pair[0] >= pair[1]) {
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
#[path = "technology_tests.rs"]
mod tests;
