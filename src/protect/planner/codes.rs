//! `WordCode`: codes over words of register bits as alternatives to triplication, and what they cost.
//!
//! Counts parts from the definition of the codes; what such logic needs after synthesis may be less, for no exclusive or
//! is shared between the trees. Not counted: the control that reloads a word or writes a corrected one back.

use std::fmt;

use crate::hw::{Area, Protection, Technology};
use crate::num::cast;

/// A code over a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordCode {
    /// One parity bit; an odd number of flips is seen and asks for a reload.
    Parity,
    /// Hamming code (Hamming 1950): one flip is corrected at the output.
    Sec,
    /// Hamming code with one parity over the whole word: one flip is corrected, two are seen.
    SecDed,
}

/// Where check bits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckBits {
    /// They are loaded with the weights, worked out beforehand: no encoder on the chip.
    Loaded,
    /// Every word has an encoder.
    Encoded,
}

/// Parts of a protected word beyond its data bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeParts {
    /// Register bits with load enable.
    pub check_bits: usize,
    /// Two-input exclusive ors of the encoder, if there is one.
    pub encoder_xors: usize,
    /// Two-input exclusive ors of checks and correction.
    pub decoder_xors: usize,
    /// Two-input ands and ors of the decoder; inverters are not counted.
    pub decoder_gates: usize,
}

impl WordCode {
    /// Whether a single flip is corrected, and not only seen.
    pub const fn corrects(self) -> bool {
        !matches!(self, Self::Parity)
    }

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parity => "parity",
            Self::Sec => "sec",
            Self::SecDed => "sec-ded",
        }
    }

    /// The parts for a word of `bits` data bits, at least 1.
    pub fn parts(self, bits: usize) -> CodeParts {
        let parity = CodeParts { check_bits: 1, encoder_xors: bits - 1, decoder_xors: bits, decoder_gates: 1 };
        if self == Self::Parity {
            // The check is the exclusive or of all bits and the parity; one gate collects it with other words' checks.
            return parity;
        }
        let places = data_places(bits);
        let checks = places.iter().max().map_or(0, |place| (usize::BITS - place.leading_zeros()).max(2));
        // Data bits that each check covers; places are in binary, and check i covers those with bit i set.
        let covered = (0..checks).map(|check| places.iter().filter(|place| *place >> check & 1 == 1).count());
        let (mut encoder_xors, mut decoder_xors) = (0, 0);
        for data in covered {
            encoder_xors += data.saturating_sub(1);
            decoder_xors += data;
        }
        let check_bits = usize::try_from(checks).unwrap_or(usize::MAX);
        // The syndrome is compared with the place of each data bit: by ands of all its bits, or by one and of two halves
        // that are decoded for all places together, whichever takes less. A bit is turned round where it matches.
        let half = |bits: usize| bits.saturating_sub(1) << bits.min(16);
        let shared = half(check_bits / 2) + half(check_bits.div_ceil(2)) + bits;
        let decoder_gates = shared.min(bits * (check_bits - 1));
        let mut sec = CodeParts { check_bits, encoder_xors, decoder_xors: decoder_xors + bits, decoder_gates };
        if self == Self::SecDed {
            // Parity over data and checks; a flip is single when that parity is wrong, double when it is right though
            // the syndrome is not zero.
            sec.encoder_xors += bits + check_bits - 1;
            sec.decoder_xors += bits + check_bits;
            sec.decoder_gates += bits + check_bits;
            sec.check_bits += 1;
        }
        sec
    }

    /// Area that the code adds to a word of `bits` data bits.
    ///
    /// Check bits are register bits with load enable. An exclusive or is counted as a two-way multiplexer and another
    /// gate as a bit of a `ReLU`, the nearest parts that the tables have; on an FPGA each is a whole look-up table, though
    /// one could hold several.
    pub fn area(self, bits: usize, check_bits: CheckBits, technology: &Technology) -> Area {
        let parts = self.parts(bits);
        let encoder = match check_bits {
            CheckBits::Loaded => 0,
            CheckBits::Encoded => parts.encoder_xors,
        };
        let times = |area: Area, count: usize| area * cast::f64_from_count(count);
        times(technology.register_bit(Protection::NONE), parts.check_bits)
            + times(technology.mux2_bit(), encoder + parts.decoder_xors)
            + times(technology.relu_bit(), parts.decoder_gates)
    }
}

impl fmt::Display for WordCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Places of the data bits in a Hamming code word: from 3 up, powers of two left out, which are the checks'.
fn data_places(bits: usize) -> Vec<usize> {
    (3..).filter(|place: &usize| !place.is_power_of_two()).take(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_bits_are_those_of_the_textbook() {
        let checks = |code: WordCode, bits| code.parts(bits).check_bits;
        for (bits, sec) in [(1, 2), (2, 3), (4, 3), (5, 4), (11, 4), (12, 5), (26, 5), (27, 6), (57, 6), (64, 7)] {
            assert_eq!((checks(WordCode::Sec, bits), checks(WordCode::SecDed, bits)), (sec, sec + 1), "{bits}");
            assert_eq!(checks(WordCode::Parity, bits), 1);
        }
    }

    #[test]
    fn every_single_flip_has_a_syndrome_of_its_own() {
        for bits in 1..70 {
            let checks = WordCode::Sec.parts(bits).check_bits;
            let mut syndromes = data_places(bits);
            syndromes.extend((0..checks).map(|check| 1 << check));
            syndromes.sort_unstable();
            syndromes.dedup();
            assert_eq!(syndromes.len(), bits + checks);
            assert!(syndromes.iter().all(|syndrome| (1..1 << checks).contains(syndrome)));
        }
    }

    #[test]
    fn parts_of_the_seven_four_code() {
        // Three checks over three data bits each.
        let sec = CodeParts { check_bits: 3, encoder_xors: 6, decoder_xors: 13, decoder_gates: 8 };
        assert_eq!(WordCode::Sec.parts(4), sec);
        let sec_ded = CodeParts { check_bits: 4, encoder_xors: 12, decoder_xors: 20, decoder_gates: 15 };
        assert_eq!(WordCode::SecDed.parts(4), sec_ded);
        let parity = CodeParts { check_bits: 1, encoder_xors: 3, decoder_xors: 4, decoder_gates: 1 };
        assert_eq!(WordCode::Parity.parts(4), parity);
        // Seven checks: 16 places of four bits by three ands each, 8 of three by two, and one for each data bit.
        assert_eq!(WordCode::Sec.parts(64).decoder_gates, 48 + 16 + 64);
        let technology = Technology::shipped("osu018").unwrap();
        let area = |check_bits| WordCode::Sec.area(4, check_bits, &technology).cost();
        let by_hand = 3.0 * 6.625 + 13.0 * 2.625 + 8.0 * 1.667;
        assert!((area(CheckBits::Loaded) - by_hand).abs() < 1e-9);
        assert!((area(CheckBits::Encoded) - by_hand - 6.0 * 2.625).abs() < 1e-9);
    }
}
