//! Addresses of registers and bits as users write them: `layer.kernel[17].bit[0].copy[2]`.
//!
//! Only the text; whether a design has such a register is the [`Inventory`](super::Inventory)'s to say.

use std::fmt;
use std::str::FromStr;

use super::registers::RegisterError;
use crate::net::TensorKind;
use crate::num::BitIdx;

/// One of the copies of a triplicated bit, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyIdx(pub u8);

impl fmt::Display for CopyIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A weight or bias register by name: `layer.kernel[17]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterAddress {
    /// The layer's name; it may itself contain dots and brackets.
    pub layer: String,
    /// Which of the layer's tensors.
    pub tensor: TensorKind,
    /// C-order index of the register in the tensor.
    pub index: usize,
}

/// A bit of a register by name, `layer.kernel[17].bit[0]`, or one copy of it, `layer.kernel[17].bit[0].copy[2]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitAddress {
    /// The register.
    pub register: RegisterAddress,
    /// The bit; 0 is the most significant.
    pub bit: BitIdx,
    /// One copy of a triplicated bit; the bit itself when absent.
    pub copy: Option<CopyIdx>,
}

impl fmt::Display for RegisterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}[{}]", self.layer, self.tensor, self.index)
    }
}

impl fmt::Display for BitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.bit[{}]", self.register, self.bit)?;
        self.copy.map_or(Ok(()), |copy| write!(f, ".copy[{copy}]"))
    }
}

/// Splits `rest.word[number]`, reading from the right so that anything may stand in `rest`.
pub(super) fn split_index<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (rest, last) = text.rsplit_once('.')?;
    let number = last.strip_prefix(word)?.strip_prefix('[')?.strip_suffix(']')?;
    // `parse` would also take a sign.
    number.bytes().all(|digit| digit.is_ascii_digit()).then_some((rest, number))
}

impl FromStr for RegisterAddress {
    type Err = RegisterError;

    fn from_str(text: &str) -> Result<Self, RegisterError> {
        let syntax = || RegisterError::RegisterSyntax { text: text.to_owned() };
        [TensorKind::Kernel, TensorKind::Bias]
            .into_iter()
            .find_map(|tensor| {
                let (layer, index) = split_index(text.trim(), &tensor.to_string())?;
                Some(Self { layer: layer.to_owned(), tensor, index: index.parse().ok()? })
            })
            .filter(|address| !address.layer.is_empty())
            .ok_or_else(syntax)
    }
}

impl FromStr for BitAddress {
    type Err = RegisterError;

    fn from_str(text: &str) -> Result<Self, RegisterError> {
        let syntax = || RegisterError::BitSyntax { text: text.to_owned() };
        let (rest, copy) = match split_index(text.trim(), "copy") {
            Some((rest, copy)) => (rest, Some(CopyIdx(copy.parse().map_err(|_| syntax())?))),
            None => (text.trim(), None),
        };
        let (register, bit) = split_index(rest, "bit").ok_or_else(syntax)?;
        Ok(Self {
            register: register.parse().map_err(|_| syntax())?,
            bit: BitIdx(bit.parse().map_err(|_| syntax())?),
            copy,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_as_text() {
        let register = RegisterAddress { layer: "encoded_vector".to_owned(), tensor: TensorKind::Kernel, index: 17 };
        assert_eq!(register.to_string(), "encoded_vector.kernel[17]");
        let bit = BitAddress { register: register.clone(), bit: BitIdx(0), copy: None };
        assert_eq!(bit.to_string(), "encoded_vector.kernel[17].bit[0]");
        let copy = BitAddress { copy: Some(CopyIdx(2)), ..bit.clone() };
        assert_eq!(copy.to_string(), "encoded_vector.kernel[17].bit[0].copy[2]");
        assert_eq!("encoded_vector.kernel[17]".parse(), Ok(register));
        assert_eq!(" encoded_vector.kernel[17].bit[0] ".parse(), Ok(bit));
        assert_eq!("encoded_vector.kernel[17].bit[0].copy[2]".parse(), Ok(copy));
    }

    #[test]
    fn texts_that_are_no_addresses() {
        let registers = ["", "kernel[1]", ".kernel[1]", "a.kernel", "a.kernel[]", "a.kernel[+1]", "a.weight[1]"];
        for text in registers.into_iter().chain(["a.kernel[1].bit[0]", "a.kernel[99999999999999999999999]"]) {
            let text = text.to_owned();
            assert_eq!(text.parse::<RegisterAddress>(), Err(RegisterError::RegisterSyntax { text }));
        }
        for text in ["a.kernel[1]", "a.bit[1]", "a.kernel[1].bit[-1]", "a.kernel[1].bit[256]", "a.kernel[1].copy[0]"] {
            let text = text.to_owned();
            assert_eq!(text.parse::<BitAddress>(), Err(RegisterError::BitSyntax { text }));
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(
            layer in r"[a-z][a-z0-9_./\[\]]{0,12}|q\.kernel\[1\]\.bit\[2\]",
            kernel: bool,
            index: usize,
            bit: u8,
            copy in prop::option::of(any::<u8>().prop_map(CopyIdx)),
        ) {
            let tensor = if kernel { TensorKind::Kernel } else { TensorKind::Bias };
            let register = RegisterAddress { layer, tensor, index };
            prop_assert_eq!(register.to_string().parse(), Ok(register.clone()));
            let bit = BitAddress { register, bit: BitIdx(bit), copy };
            prop_assert_eq!(bit.to_string().parse(), Ok(bit));
        }
    }
}
