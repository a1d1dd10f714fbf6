//! `Budget`: how much protection a design may have, in the unit the user thinks in.

use std::fmt;
use std::str::FromStr;

use crate::hw::AreaUnit;
use crate::num::{cast, parse_percentage};

/// A limit on the area that protection adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Share of what protecting every candidate bit costs, 0 to 1; written `25%` or `25%tmr`.
    FullTmrShare(f64),
    /// Share of the unprotected accelerator's area, 0 to 1; written `5%area`.
    AcceleratorShare(f64),
    /// Area in the technology's unit: gate equivalents, or LUT equivalents on an FPGA; written `500ge` or `500lut`.
    Cost(f64, AreaUnit),
    /// Number of bits; written `1000bits`.
    Bits(usize),
}

/// How a budget names the unit of a technology.
const fn suffix(unit: AreaUnit) -> &'static str {
    match unit {
        AreaUnit::Ge => "ge",
        AreaUnit::LutFf => "lut",
    }
}

/// Why a budget makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// Not a budget.
    #[error("`{text}` is no budget; write 25% (of full TMR), 5%area (of the accelerator), 500ge, 500lut or 1000bits")]
    Syntax {
        /// The text as given.
        text: String,
    },
    /// More than everything, or less than nothing.
    #[error("a budget of {text} is not between 0 % and 100 %")]
    Share {
        /// The text as given.
        text: String,
    },
    /// Less than nothing.
    #[error("a budget of {text} is negative or not finite")]
    Negative {
        /// The text as given.
        text: String,
    },
    /// More bits than there are.
    #[error("a budget of {bits} bits is more than the {candidates} candidate bits")]
    TooManyBits {
        /// Bits asked for.
        bits: usize,
        /// Candidate bits.
        candidates: usize,
    },
    /// A unit of another technology.
    #[error("a budget in `{}` does not fit technology `{technology}`, whose budgets are in `{}`", suffix(*asked), suffix(*unit))]
    Unit {
        /// Unit asked for.
        asked: AreaUnit,
        /// The technology.
        technology: String,
        /// Its unit.
        unit: AreaUnit,
    },
}

/// What a budget is measured against. All areas in the technology's unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// Name of the technology.
    pub technology: String,
    /// Its unit.
    pub unit: AreaUnit,
    /// Area of one register bit without protection.
    pub plain_bit: f64,
    /// Area added by protecting one bit.
    pub bit: f64,
    /// Area of all weight and bias registers without protection.
    pub registers: f64,
    /// Area of the whole accelerator without protection.
    pub accelerator: f64,
}

impl Budget {
    /// The largest number of the `candidates` bits whose protection the budget pays.
    ///
    /// # Errors
    /// When the budget is in another technology's unit, or in bits that are not there.
    pub fn affordable_bits(self, prices: &Prices, candidates: usize) -> Result<usize, BudgetError> {
        let full = prices.bit * cast::f64_from_count(candidates);
        let area = match self {
            Self::FullTmrShare(share) => full * share,
            Self::AcceleratorShare(share) => prices.accelerator * share,
            Self::Cost(area, unit) if unit == prices.unit => area,
            Self::Cost(_, asked) => {
                return Err(BudgetError::Unit { asked, technology: prices.technology.clone(), unit: prices.unit });
            }
            Self::Bits(bits) if bits <= candidates => return Ok(bits),
            Self::Bits(bits) => return Err(BudgetError::TooManyBits { bits, candidates }),
        };
        // Half a millionth of a bit of slack: a share such as 1/3 of full TMR must not lose a bit to rounding.
        let bits = cast::floor_i64(area / prices.bit + 5e-7);
        Ok(usize::try_from(bits).unwrap_or(0).min(candidates))
    }
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let syntax = || BudgetError::Syntax { text: text.to_owned() };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| c == '%' || c.is_ascii_alphabetic()).ok_or_else(syntax)?;
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim().to_ascii_lowercase();
        if unit == "bits" || unit == "bit" {
            return number.trim().parse().map(Self::Bits).map_err(|_| syntax());
        }
        let number = number.trim();
        let value: f64 = number.parse().map_err(|_| syntax())?;
        let share = || {
            let share = parse_percentage(number).ok_or_else(syntax)?;
            if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(BudgetError::Share { text: trimmed.to_owned() }) }
        };
        match unit.as_str() {
            "%" | "%tmr" => share().map(Self::FullTmrShare),
            "%area" => share().map(Self::AcceleratorShare),
            "ge" | "lut" => {
                if !value.is_finite() || value < 0.0 {
                    return Err(BudgetError::Negative { text: trimmed.to_owned() });
                }
                let unit = if unit == "ge" { AreaUnit::Ge } else { AreaUnit::LutFf };
                Ok(Self::Cost(value, unit))
            }
            _ => Err(syntax()),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounding to nine digits hides that 0.07 * 100 is not quite 7.
        let percent = |share: f64| (share * 1e11).round() / 1e9;
        match self {
            Self::FullTmrShare(share) => write!(f, "{}%", percent(*share)),
            Self::AcceleratorShare(share) => write!(f, "{}%area", percent(*share)),
            Self::Cost(area, unit) => write!(f, "{area}{}", suffix(*unit)),
            Self::Bits(bits) => write!(f, "{bits}bits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices {
            technology: "t".to_owned(),
            unit: AreaUnit::Ge,
            plain_bit: 6.0,
            bit: 11.0,
            registers: 660.0,
            accelerator: 10_000.0,
        }
    }

    #[test]
    fn budgets_read_and_print() {
        for text in ["25%", "0%", "100%", "7%", "12.5%", "5%area", "500ge", "1.5lut", "1000bits"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
        assert_eq!("30 %tmr".parse::<Budget>(), Ok(Budget::FullTmrShare(0.3)));
        for (text, part) in [
            ("", "no budget"),
            ("25", "no budget"),
            ("x%", "no budget"),
            ("10%foo", "no budget"),
            ("1.5bits", "no budget"),
            ("101%", "not between 0 % and 100 %"),
            ("-1%", "not between 0 % and 100 %"),
            ("-5ge", "negative"),
        ] {
            let message = text.parse::<Budget>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn budgets_buy_whole_bits() {
        let bits = |text: &str| text.parse::<Budget>().unwrap().affordable_bits(&prices(), 99);
        assert_eq!(bits("0%"), Ok(0));
        assert_eq!(bits("50%"), Ok(49));
        assert_eq!(bits("100%"), Ok(99));
        assert_eq!(bits("1%area"), Ok(9));
        assert_eq!(bits("100%area"), Ok(99), "never more than there are");
        assert_eq!(bits("21.9ge"), Ok(1));
        assert_eq!(bits("22ge"), Ok(2));
        assert_eq!(bits("99bits"), Ok(99));
        assert!(bits("100bits").unwrap_err().to_string().contains("more than the 99"));
        assert!(bits("1lut").unwrap_err().to_string().contains("does not fit technology"));
        for candidates in 1..2000 {
            let third = Budget::FullTmrShare(1.0 / 3.0).affordable_bits(&prices(), candidates * 3).unwrap();
            assert_eq!(third, candidates);
        }
    }
}
