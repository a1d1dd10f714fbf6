//! `Area`: an amount of hardware, in gate equivalents or in look-up tables and flip-flops.
//!
//! Only the quantity and its arithmetic; what a part costs is the technology's, how many there are the area model's.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

use serde::{Deserialize, Serialize};

/// What a technology counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AreaUnit {
    /// Cell area in multiples of the technology's two-input NAND gate (GE); for an ASIC.
    Ge,
    /// Look-up tables and flip-flops; for an FPGA.
    LutFf,
}

impl AreaUnit {
    /// Name of the unit of [`Area::cost`].
    pub const fn cost_name(self) -> &'static str {
        match self {
            Self::Ge => "GE",
            Self::LutFf => "LUT eq.",
        }
    }
}

/// An amount of hardware. Adds up exactly as its parts do; areas of different units can be added but are not
/// comparable.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Area {
    /// Cell area in gate equivalents; 0 on an FPGA.
    pub ge: f64,
    /// Look-up tables; 0 on an ASIC.
    pub luts: f64,
    /// Flip-flops; 0 on an ASIC, where their cells are part of `ge`.
    pub flip_flops: f64,
}

impl Area {
    /// Nothing.
    pub const ZERO: Self = Self { ge: 0.0, luts: 0.0, flip_flops: 0.0 };

    /// Flip-flops per look-up table: a 7-series slice has 4 LUTs and 8 flip-flops (Xilinx UG474, table 1-1).
    pub const FLIP_FLOPS_PER_LUT: f64 = 2.0;

    /// That many gate equivalents.
    pub const fn from_ge(ge: f64) -> Self {
        Self { ge, ..Self::ZERO }
    }

    /// That many look-up tables and flip-flops.
    pub const fn from_luts(luts: f64, flip_flops: f64) -> Self {
        Self { luts, flip_flops, ..Self::ZERO }
    }

    /// One number to spend a budget on: gate equivalents, or look-up tables plus half the flip-flops.
    pub fn cost(self) -> f64 {
        self.ge + self.luts + self.flip_flops / Self::FLIP_FLOPS_PER_LUT
    }
}

impl Add for Area {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { ge: self.ge + other.ge, luts: self.luts + other.luts, flip_flops: self.flip_flops + other.flip_flops }
    }
}

impl AddAssign for Area {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Area {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + other * -1.0
    }
}

impl Mul<f64> for Area {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self { ge: self.ge * factor, luts: self.luts * factor, flip_flops: self.flip_flops * factor }
    }
}

impl Sum for Area {
    fn sum<I: Iterator<Item = Self>>(areas: I) -> Self {
        areas.fold(Self::ZERO, Add::add)
    }
}

/// `12.5 GE`, or `12.0 LUT + 3.0 FF`; a precision sets the number of decimals (1 unless given).
impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(1);
        let fpga = self.luts != 0.0 || self.flip_flops != 0.0;
        if self.ge != 0.0 || !fpga {
            write!(f, "{:.decimals$} GE", self.ge)?;
            if fpga {
                f.write_str(" + ")?;
            }
        }
        if fpga { write!(f, "{:.decimals$} LUT + {:.decimals$} FF", self.luts, self.flip_flops) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_add_scale_and_print() {
        let asic = Area::from_ge(6.5) + Area::from_ge(2.0) * 3.0;
        assert_eq!((asic, asic.cost()), (Area::from_ge(12.5), 12.5));
        assert_eq!(asic.to_string(), "12.5 GE");
        assert_eq!(format!("{asic:.0} {:.2}", asic * 0.5), "12 GE 6.25 GE");
        let fpga = Area::from_luts(6.0, 3.0);
        assert_eq!((fpga.cost(), fpga.to_string()), (7.5, "6.0 LUT + 3.0 FF".to_owned()));
        assert_eq!(fpga - fpga, Area::ZERO);
        assert_eq!([asic, fpga].into_iter().sum::<Area>().to_string(), "12.5 GE + 6.0 LUT + 3.0 FF");
        assert_eq!(Area::ZERO.to_string(), "0.0 GE");
    }
}
