//! `Offer`: a way to protect bits, what it costs and what it leaves.

use std::fmt;

use super::codes::{CheckBits, WordCode};
use crate::hw::{Protection, Technology};

/// A way to protect bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Every bit is triplicated.
    Tmr(Protection),
    /// Bits share a word with check bits.
    Code(WordCode),
}

impl Measure {
    /// Register cells that protecting a word of `bits` bits, at least 1, adds: copies or check bits.
    pub fn cells_added(self, bits: usize) -> usize {
        match self {
            Self::Tmr(protection) => bits * usize::from(protection.copies() - 1),
            Self::Code(code) => code.parts(bits).check_bits,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tmr(protection) => protection.fmt(f),
            Self::Code(code) => code.fmt(f),
        }
    }
}

/// A measure with its price and effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What is done.
    pub measure: Measure,
    /// Area added by protecting a word of 1, 2, ... bits, in the unit of budgets. A group of bits is cut into words as
    /// long as the list, in the order of the candidates, and one shorter word of the rest.
    pub word_areas: Vec<f64>,
    /// Share of the harm of a single-cell upset that the measure leaves, 0 to 1.
    pub residual: f64,
}

impl Offer {
    /// Triplication of each bit, which masks every upset of a single cell.
    pub fn tmr(protection: Protection, technology: &Technology) -> Self {
        let area = technology.protection_bit(protection).cost();
        Self { measure: Measure::Tmr(protection), word_areas: vec![area], residual: 0.0 }
    }

    /// A code over words of up to `word_bits` bits.
    ///
    /// SEC and SEC-DED correct every upset of a single cell. Parity only sees it: what is left until the reload is the
    /// caller's to say in `residual`, and is all of it unless said otherwise.
    pub fn code(code: WordCode, word_bits: usize, check_bits: CheckBits, technology: &Technology) -> Self {
        let word_areas = (1..=word_bits).map(|bits| code.area(bits, check_bits, technology).cost()).collect();
        Self { measure: Measure::Code(code), word_areas, residual: if code.corrects() { 0.0 } else { 1.0 } }
    }

    /// Register cells that protecting a group of `bits` bits adds, cut into words as its price is.
    pub fn cells_added(&self, bits: usize) -> usize {
        let word = self.word_areas.len().max(1);
        let rest = match bits % word {
            0 => 0,
            rest => self.measure.cells_added(rest),
        };
        bits / word * self.measure.cells_added(word) + rest
    }

    /// The same offer with another share of the harm left.
    #[must_use]
    pub fn leaving(self, residual: f64) -> Self {
        Self { residual, ..self }
    }
}
