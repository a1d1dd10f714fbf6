//! `Scrub`: the period after which all registers are loaded again, as written on the command line.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use anyhow::Context;

use crate::num::cast;
use crate::report::simulate::duration;

/// A scrub period as asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Scrub {
    /// Only the load at power-up.
    Never,
    /// In clock cycles.
    Cycles(NonZeroU64),
    /// Text and seconds.
    Time(String, f64),
}

impl FromStr for Scrub {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, f64); 8] = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("ms", 1e-3),
            ("min", 60.0),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
            ("d", 86_400.0),
        ];
        let text = text.trim();
        if text == "none" {
            return Ok(Self::Never);
        }
        let syntax = || format!("`{text}` is no scrub period; write none, 1h, 60s, 1ms or 400cycles");
        if let Some(cycles) = text.strip_suffix("cycles") {
            let cycles: u64 = cycles.trim().parse().map_err(|_| syntax())?;
            return NonZeroU64::new(cycles)
                .map(Self::Cycles)
                .ok_or_else(|| "a scrub period of 0 is no period; write none for no scrubbing".to_owned());
        }
        let (number, unit) =
            UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).ok_or_else(syntax)?;
        let number: f64 = number.trim().parse().map_err(|_| syntax())?;
        if number.is_nan() || number < 0.0 || number.is_infinite() {
            return Err(syntax());
        }
        if number == 0.0 {
            return Err("a scrub period of 0 is no period; write none for no scrubbing".to_owned());
        }
        Ok(Self::Time(text.to_owned(), number * unit))
    }
}

impl fmt::Display for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("none"),
            Self::Cycles(cycles) => write!(f, "{cycles}cycles"),
            Self::Time(text, _) => f.write_str(text),
        }
    }
}

impl Scrub {
    /// The period in clock cycles, rounded.
    ///
    /// # Errors
    /// When that is none.
    pub fn cycles(&self, period_s: f64) -> anyhow::Result<Option<NonZeroU64>> {
        match self {
            Self::Never => Ok(None),
            Self::Cycles(cycles) => Ok(Some(*cycles)),
            Self::Time(text, seconds) => {
                let cycles = cast::floor_i64(seconds / period_s + 0.5).unsigned_abs();
                let cycles = NonZeroU64::new(cycles);
                cycles.map(Some).with_context(|| {
                    format!("scrub period {text} is shorter than half a clock cycle of {}", duration(period_s))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrub_periods_as_text() {
        let period_s = 25e-9;
        for (text, cycles) in [
            ("none", None),
            ("60s", Some(2_400_000_000)),
            ("1h", Some(144_000_000_000)),
            ("2min", Some(4_800_000_000)),
            ("2m", Some(4_800_000_000)),
            ("1ms", Some(40_000)),
            ("30ns", Some(1)),
            ("400cycles", Some(400)),
        ] {
            let scrub: Scrub = text.parse().unwrap();
            assert_eq!(
                (scrub.to_string().as_str(), scrub.cycles(period_s).unwrap().map(NonZeroU64::get)),
                (text, cycles)
            );
        }
        for (text, expected) in [
            ("0s", "is no period"),
            ("0cycles", "is no period"),
            ("-1s", "no scrub period"),
            ("5", "no scrub period"),
            ("x s", "no scrub period"),
        ] {
            let error = text.parse::<Scrub>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = "1ns".parse::<Scrub>().unwrap().cycles(period_s).unwrap_err().to_string();
        assert!(error.contains("shorter than half a clock cycle of 25.00 ns"), "{error}");
    }
}
