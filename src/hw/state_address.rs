//! `StateAddress`: any state bit or line of the machine as users write it, `layer.kernel[17].bit[0].voter[1]`.
//!
//! Only the text; whether a machine has such state is not asked here.

use std::fmt;
use std::str::FromStr;

use super::address::{BitAddress, split_index};
use super::bank::BitLine;
use super::registers::RegisterError;
use crate::num::BitIdx;

/// Kind of state that is no weight or bias register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// Sum that takes several cycles.
    Accumulator,
    /// Result on its way out of a stage; behind the last stage also the output register.
    Pipeline,
    /// Word of a line buffer of a streaming convolution.
    LineBuffer,
    /// Word in front of the multipliers of a streaming stage.
    Window,
    /// Word in front of a stage: of its FIFO, or of its only input register.
    Fifo,
    /// Counter, pointer or valid bit.
    Control,
    /// Error counter of voters with flags.
    ErrorCounter,
}

/// A state bit or line by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateAddress {
    /// Bit of a weight or bias register, or one copy of it: `layer.kernel[17].bit[0].copy[2]`.
    Register(BitAddress),
    /// Line at such a bit: `layer.kernel[17].bit[0].voter[1]`, also `load` and `clock`, and `.data` without a number.
    Line {
        /// The bit, without a copy.
        bit: BitAddress,
        /// The line.
        line: BitLine,
    },
    /// Bit of other state: `stage.line_buffer[5].bit[3]`.
    Element {
        /// The stage's name; it may itself contain dots and brackets.
        stage: String,
        /// What kind of state.
        element: Element,
        /// Which of the stage's words of this kind, from 0.
        index: usize,
        /// The bit; 0 is the most significant.
        bit: BitIdx,
    },
}

impl Element {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Accumulator,
        Self::Pipeline,
        Self::LineBuffer,
        Self::Window,
        Self::Fifo,
        Self::Control,
        Self::ErrorCounter,
    ];

    /// The name in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accumulator => "accumulator",
            Self::Pipeline => "pipeline",
            Self::LineBuffer => "line_buffer",
            Self::Window => "window",
            Self::Fifo => "fifo",
            Self::Control => "control",
            Self::ErrorCounter => "error_counter",
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for StateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(bit) => bit.fmt(f),
            Self::Line { bit, line } => match line {
                BitLine::Voter(index) => write!(f, "{bit}.voter[{index}]"),
                BitLine::Load(index) => write!(f, "{bit}.load[{index}]"),
                BitLine::Clock(index) => write!(f, "{bit}.clock[{index}]"),
                BitLine::Data => write!(f, "{bit}.data"),
            },
            Self::Element { stage, element, index, bit } => write!(f, "{stage}.{element}[{index}].bit[{bit}]"),
        }
    }
}

/// Splits a line off its bit.
fn split_line(text: &str) -> Option<(&str, BitLine)> {
    if let Some(rest) = text.strip_suffix(".data") {
        return Some((rest, BitLine::Data));
    }
    ["voter", "load", "clock"].into_iter().find_map(|word| {
        let (rest, index) = split_index(text, word)?;
        let index = index.parse().ok()?;
        let line = match word {
            "voter" => BitLine::Voter(index),
            "load" => BitLine::Load(index),
            _ => BitLine::Clock(index),
        };
        Some((rest, line))
    })
}

fn element(text: &str) -> Option<StateAddress> {
    let (word, bit) = split_index(text, "bit")?;
    let bit = BitIdx(bit.parse().ok()?);
    Element::ALL.into_iter().find_map(|element| {
        let (stage, index) = split_index(word, element.name())?;
        let index = index.parse().ok()?;
        (!stage.is_empty()).then(|| StateAddress::Element { stage: stage.to_owned(), element, index, bit })
    })
}

impl FromStr for StateAddress {
    type Err = RegisterError;

    fn from_str(text: &str) -> Result<Self, RegisterError> {
        let syntax = || RegisterError::StateSyntax { text: text.to_owned() };
        let trimmed = text.trim();
        if let Some((bit, line)) = split_line(trimmed) {
            let bit: BitAddress = bit.parse().map_err(|_| syntax())?;
            return if bit.copy.is_none() { Ok(Self::Line { bit, line }) } else { Err(syntax()) };
        }
        element(trimmed).or_else(|| trimmed.parse().ok().map(Self::Register)).ok_or_else(syntax)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hw::{CopyIdx, RegisterAddress};
    use crate::net::TensorKind;

    #[test]
    fn texts_that_are_no_addresses() {
        let bit = "a.kernel[1].bit[0]";
        let bad = ["", ".data", "a.data", "a.fifo[1]", ".fifo[1].bit[0]", "a.fifo[+1].bit[0]", "a.fifo[1].bit[256]"];
        let lines = [".voter", ".voter[256]", ".voter[-1]", ".copy[1].voter[0]", ".data[0]", ".copy[1].data"];
        for text in bad.into_iter().map(str::to_owned).chain(lines.map(|line| format!("{bit}{line}"))) {
            assert_eq!(text.parse::<StateAddress>(), Err(RegisterError::StateSyntax { text }));
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(
            name in r"[a-z][a-z0-9_./\[\]]{0,12}|q\.kernel\[1\]\.bit\[2\]\.data|q\.fifo\[1\]\.bit\[2\]",
            index: usize,
            bit in any::<u8>().prop_map(BitIdx),
            number: u8,
            copied: bool,
        ) {
            let register = RegisterAddress { layer: name.clone(), tensor: TensorKind::Bias, index };
            let address = BitAddress { register, bit, copy: None };
            let copy = copied.then_some(CopyIdx(number));
            let mut states = vec![StateAddress::Register(BitAddress { copy, ..address.clone() })];
            let lines = [BitLine::Voter(number), BitLine::Load(number), BitLine::Clock(number), BitLine::Data];
            states.extend(lines.map(|line| StateAddress::Line { bit: address.clone(), line }));
            states.extend(Element::ALL.map(|element| StateAddress::Element { stage: name.clone(), element, index, bit }));
            for state in states {
                prop_assert_eq!(format!(" {state} ").parse(), Ok(state));
            }
        }

        #[test]
        fn no_text_panics(text in r"([a-z.\[\]0-9]|\.bit\[0\]|\.kernel\[1\]|\.voter\[2\]|\.fifo\[3\]|\PC){0,6}") {
            if let Ok(state) = text.parse::<StateAddress>() {
                prop_assert_eq!(state.to_string().parse(), Ok(state));
            }
        }
    }
}
