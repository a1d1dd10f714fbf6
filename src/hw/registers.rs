//! `Inventory`: every weight and bias register of an accelerator, with stable numbers for registers and bits.
//!
//! Numbers only: what the registers hold is the network's, what a fault does to them is not known here.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::address::{BitAddress, RegisterAddress};
use super::state_address::Element;
use crate::net::{Network, NodeId, TensorKind};
use crate::num::{BitIdx, QFormat, cast};

/// Number of a register: dense over the design, layer by layer in network order, kernel before bias, C order within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegisterId(pub u32);

impl RegisterId {
    /// Position among all registers.
    pub const fn index(self) -> usize {
        cast::index(self.0)
    }
}

/// Number of a register bit: the bits of register 0 from the most significant down, then those of register 1, and so
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitId(pub u32);

impl BitId {
    /// Position among all bits.
    pub const fn index(self) -> usize {
        cast::index(self.0)
    }
}

/// Why a register or bit cannot be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Not the address of a register.
    #[error("`{text}` is no register; write layer.kernel[17] or layer.bias[3]")]
    RegisterSyntax {
        /// The text as given.
        text: String,
    },
    /// Not the address of a bit.
    #[error(
        "`{text}` is no bit; write layer.kernel[17].bit[0] (0 is the most significant), .copy[2] for one copy of it"
    )]
    BitSyntax {
        /// The text as given.
        text: String,
    },
    /// Not the address of a state bit or line.
    #[error(
        "`{text}` is no state; write layer.kernel[17].bit[0] with .copy[2], .voter[1], .load[0], .clock[0] or .data, or \
         stage.fifo[5].bit[3] (accumulator, pipeline, line_buffer, window, fifo, control, error_counter)"
    )]
    StateSyntax {
        /// The text as given.
        text: String,
    },
    /// No layer of this name has registers.
    #[error("layer `{layer}` has no registers; these layers have: {}", layers.join(", "))]
    NoLayer {
        /// The layer asked for.
        layer: String,
        /// The layers with registers.
        layers: Vec<String>,
    },
    /// The layer has no such tensor.
    #[error("layer `{layer}` has no {tensor} registers")]
    NoTensor {
        /// The layer.
        layer: String,
        /// The tensor asked for.
        tensor: TensorKind,
    },
    /// The tensor has fewer registers.
    #[error("layer `{layer}`, {tensor}: no register {index}; 0 to {} exist", len - 1)]
    NoRegister {
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: TensorKind,
        /// The index asked for.
        index: usize,
        /// Number of registers, at least 1.
        len: usize,
    },
    /// The register has fewer bits.
    #[error("`{register}` has no bit {bit}; 0 (most significant) to {} exist", width - 1)]
    NoBit {
        /// The register.
        register: RegisterAddress,
        /// The bit asked for.
        bit: BitIdx,
        /// Width of the register, at least 1.
        width: u8,
    },
    /// A number beyond the registers of the design.
    #[error("register number {number} does not exist; 0 to {} do", len - 1)]
    NoRegisterNumber {
        /// The number asked for.
        number: u32,
        /// Number of registers, at least 1.
        len: usize,
    },
    /// A number beyond the bits of the design.
    #[error("bit number {number} does not exist; 0 to {} do", bits - 1)]
    NoBitNumber {
        /// The number asked for.
        number: u32,
        /// Number of bits, at least 1.
        bits: usize,
    },
    /// No stage of this name.
    #[error("`{stage}` is no stage of the machine; these are: {}", stages.join(", "))]
    NoStage {
        /// The stage asked for.
        stage: String,
        /// The stages there are.
        stages: Vec<String>,
    },
    /// The stage has no such state.
    #[error("stage `{stage}` has no {element}; it has: {}", has.join(", "))]
    NoElement {
        /// The stage.
        stage: String,
        /// The kind asked for.
        element: Element,
        /// The kinds it has.
        has: Vec<&'static str>,
    },
    /// The stage has fewer words of a kind.
    #[error("stage `{stage}`: no {element}[{index}]; 0 to {} exist", len - 1)]
    NoWord {
        /// The stage.
        stage: String,
        /// The kind.
        element: Element,
        /// The word asked for.
        index: usize,
        /// Number of words, at least 1.
        len: usize,
    },
    /// The word has fewer bits.
    #[error("`{stage}.{element}[{index}]` has no bit {bit}; 0 (most significant) to {} exist", width - 1)]
    NoElementBit {
        /// The stage.
        stage: String,
        /// The kind.
        element: Element,
        /// The word.
        index: usize,
        /// The bit asked for.
        bit: BitIdx,
        /// Width of the word, at least 1.
        width: u32,
    },
    /// More bits than can be numbered.
    #[error("layer `{layer}`: the design has more than 2^32 - 1 register bits")]
    TooManyBits {
        /// The layer at which the count passes the limit.
        layer: String,
    },
}

/// The registers of one tensor, all of one format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterArray {
    /// The layer they belong to.
    pub node: NodeId,
    /// Name of that layer.
    pub layer: String,
    /// Which of the layer's tensors.
    pub tensor: TensorKind,
    /// Number of the first register; the others follow in C order.
    pub first: RegisterId,
    /// Number of the first register's most significant bit.
    pub first_bit: BitId,
    /// Number of registers, at least 1.
    pub len: usize,
    /// What a register's bits mean.
    pub format: QFormat,
}

impl RegisterArray {
    /// Number of bits in all its registers.
    pub fn bits(&self) -> usize {
        self.len * usize::from(self.format.width())
    }

    /// Numbers of its registers.
    pub fn registers(&self) -> impl ExactSizeIterator<Item = RegisterId> + use<> {
        let first = self.first.0;
        (first..first + cast::id(self.len)).map(RegisterId)
    }

    /// Numbers of its bits.
    pub fn bit_ids(&self) -> impl ExactSizeIterator<Item = BitId> + use<> {
        let first = self.first_bit.0;
        (first..first + cast::id(self.bits())).map(BitId)
    }
}

impl fmt::Display for RegisterArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}[0..{}]: {}", self.layer, self.tensor, self.len, self.format)
    }
}

/// All weight and bias registers of an accelerator; finds them by number, by position and by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    arrays: Vec<RegisterArray>,
    len: usize,
    bits: usize,
}

impl Inventory {
    /// Numbers the registers of `network`.
    ///
    /// # Errors
    /// When the network has 2^32 or more register bits.
    pub fn new(network: &Network) -> Result<Self, RegisterError> {
        let mut inventory = Self { arrays: Vec::new(), len: 0, bits: 0 };
        for (node, layer) in network.iter() {
            for (tensor, registers) in layer.op.tensors() {
                let array = RegisterArray {
                    node,
                    layer: layer.name.clone(),
                    tensor,
                    first: RegisterId(cast::id(inventory.len)),
                    first_bit: BitId(cast::id(inventory.bits)),
                    len: registers.len(),
                    format: registers.format(),
                };
                // A register has at least one bit, so this bounds the register numbers too.
                inventory.bits = registers
                    .len()
                    .checked_mul(usize::from(array.format.width()))
                    .and_then(|bits| bits.checked_add(inventory.bits))
                    .filter(|bits| u32::try_from(*bits).is_ok())
                    .ok_or_else(|| RegisterError::TooManyBits { layer: layer.name.clone() })?;
                inventory.len += registers.len();
                inventory.arrays.push(array);
            }
        }
        Ok(inventory)
    }

    /// The arrays in the order of their numbers.
    pub fn arrays(&self) -> &[RegisterArray] {
        &self.arrays
    }

    /// Number of registers.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no register; never true for a valid network.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of register bits.
    pub const fn bits(&self) -> usize {
        self.bits
    }

    /// Number of register bits in kernels, or in biases.
    pub fn tensor_bits(&self, tensor: TensorKind) -> usize {
        self.arrays.iter().filter(|array| array.tensor == tensor).map(RegisterArray::bits).sum()
    }

    /// Numbers of all registers.
    pub fn registers(&self) -> impl ExactSizeIterator<Item = RegisterId> + use<> {
        (0..cast::id(self.len)).map(RegisterId)
    }

    /// Numbers of all bits.
    pub fn bit_ids(&self) -> impl ExactSizeIterator<Item = BitId> + use<> {
        (0..cast::id(self.bits)).map(BitId)
    }

    /// The register of that number.
    ///
    /// # Errors
    /// When the design has fewer registers.
    pub fn register(&self, number: u32) -> Result<RegisterId, RegisterError> {
        let known = cast::index(number) < self.len;
        known.then_some(RegisterId(number)).ok_or(RegisterError::NoRegisterNumber { number, len: self.len })
    }

    /// The bit of that number.
    ///
    /// # Errors
    /// When the design has fewer bits.
    pub fn bit(&self, number: u32) -> Result<BitId, RegisterError> {
        let known = cast::index(number) < self.bits;
        known.then_some(BitId(number)).ok_or(RegisterError::NoBitNumber { number, bits: self.bits })
    }

    /// The array of a register, and the register's C-order index in it.
    ///
    /// # Panics
    /// When the number belongs to another design; numbers from outside go through [`Inventory::register`].
    pub fn locate(&self, register: RegisterId) -> (&RegisterArray, usize) {
        assert!(register.index() < self.len, "register {} of a design with {}", register.0, self.len);
        let array = &self.arrays[self.arrays.partition_point(|array| array.first <= register) - 1];
        (array, register.index() - array.first.index())
    }

    /// The register of a bit, and the bit's place in it.
    ///
    /// # Panics
    /// When the number belongs to another design; numbers from outside go through [`Inventory::bit`].
    pub fn locate_bit(&self, bit: BitId) -> (RegisterId, BitIdx) {
        assert!(bit.index() < self.bits, "bit {} of a design with {}", bit.0, self.bits);
        let array = &self.arrays[self.arrays.partition_point(|array| array.first_bit <= bit) - 1];
        let width = u32::from(array.format.width());
        let offset = bit.0 - array.first_bit.0;
        let place = u8::try_from(offset % width).expect("below the width of a register");
        (RegisterId(array.first.0 + offset / width), BitIdx(place))
    }

    /// Numbers of a register's bits, most significant first.
    ///
    /// # Panics
    /// As [`Inventory::locate`].
    pub fn bits_of(&self, register: RegisterId) -> impl ExactSizeIterator<Item = BitId> + use<> {
        let Range { start, end } = self.bit_range(register);
        (start..end).map(BitId)
    }

    /// Number of bit `bit` of a register.
    ///
    /// # Errors
    /// When the register is narrower.
    ///
    /// # Panics
    /// As [`Inventory::locate`].
    pub fn bit_of(&self, register: RegisterId, bit: BitIdx) -> Result<BitId, RegisterError> {
        let Range { start, end } = self.bit_range(register);
        let number = start + u32::from(bit.0);
        if number >= end {
            let width = self.locate(register).0.format.width();
            return Err(RegisterError::NoBit { register: self.register_address(register), bit, width });
        }
        Ok(BitId(number))
    }

    /// The registers of a layer's tensor.
    ///
    /// # Errors
    /// When no layer of that name has registers, or it has no such tensor.
    pub fn find_array(&self, layer: &str, tensor: TensorKind) -> Result<&RegisterArray, RegisterError> {
        let mut of_layer = self.arrays.iter().filter(|array| array.layer == layer).peekable();
        if of_layer.peek().is_none() {
            let mut layers: Vec<String> = self.arrays.iter().map(|array| array.layer.clone()).collect();
            layers.dedup();
            return Err(RegisterError::NoLayer { layer: layer.to_owned(), layers });
        }
        of_layer
            .find(|array| array.tensor == tensor)
            .ok_or_else(|| RegisterError::NoTensor { layer: layer.to_owned(), tensor })
    }

    /// Register `index` (C order) of a layer's tensor.
    ///
    /// # Errors
    /// As [`Inventory::find_array`], and when the tensor has fewer registers.
    pub fn find(&self, layer: &str, tensor: TensorKind, index: usize) -> Result<RegisterId, RegisterError> {
        let array = self.find_array(layer, tensor)?;
        if index >= array.len {
            return Err(RegisterError::NoRegister { layer: layer.to_owned(), tensor, index, len: array.len });
        }
        Ok(RegisterId(array.first.0 + cast::id(index)))
    }

    /// The register at an address.
    ///
    /// # Errors
    /// As [`Inventory::find`].
    pub fn resolve_register(&self, address: &RegisterAddress) -> Result<RegisterId, RegisterError> {
        self.find(&address.layer, address.tensor, address.index)
    }

    /// The bit at an address; which copy of it is left to the protection of the design.
    ///
    /// # Errors
    /// As [`Inventory::find`], and when the register is narrower.
    pub fn resolve_bit(&self, address: &BitAddress) -> Result<BitId, RegisterError> {
        self.bit_of(self.resolve_register(&address.register)?, address.bit)
    }

    /// The address of a register.
    ///
    /// # Panics
    /// As [`Inventory::locate`].
    pub fn register_address(&self, register: RegisterId) -> RegisterAddress {
        let (array, index) = self.locate(register);
        RegisterAddress { layer: array.layer.clone(), tensor: array.tensor, index }
    }

    /// The address of a bit.
    ///
    /// # Panics
    /// As [`Inventory::locate_bit`].
    pub fn bit_address(&self, bit: BitId) -> BitAddress {
        let (register, bit) = self.locate_bit(bit);
        BitAddress { register: self.register_address(register), bit, copy: None }
    }

    fn bit_range(&self, register: RegisterId) -> Range<u32> {
        let (array, index) = self.locate(register);
        let width = u32::from(array.format.width());
        let start = array.first_bit.0 + cast::id(index) * width;
        start..start + width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::test_networks::{econ_t_large, econ_t_medium, econ_t_small};

    #[test]
    fn bits_of_the_reference_systems() {
        let totals = |network: &Network| {
            let inventory = Inventory::new(network).unwrap();
            assert_eq!(inventory.arrays().iter().map(RegisterArray::bits).sum::<usize>(), inventory.bits());
            assert_eq!(inventory.arrays().iter().map(|array| array.len).sum::<usize>(), inventory.len());
            let (kernel, bias) = (inventory.tensor_bits(TensorKind::Kernel), inventory.tensor_bits(TensorKind::Bias));
            assert_eq!(kernel + bias, inventory.bits());
            (kernel, inventory.bits(), inventory.len())
        };
        assert_eq!(totals(&econ_t_small()), (10_240, 10_496, 1_312));
        assert_eq!(totals(&econ_t_medium()), (12_720, 12_864, 2_144));
        assert_eq!(totals(&econ_t_large()), (61_344, 61_616, 9_040));
    }

    #[test]
    fn numbers_go_layer_by_layer_kernel_first_sign_first() {
        let inventory = Inventory::new(&econ_t_large()).unwrap();
        let text: Vec<String> = inventory.arrays().iter().map(RegisterArray::to_string).collect();
        assert_eq!(
            text,
            [
                "conv.kernel[0..800]: ap_fixed<5,1>",
                "conv.bias[0..32]: ap_fixed<5,1>",
                "dense.kernel[0..8192]: ap_fixed<7,1>",
                "dense.bias[0..16]: ap_fixed<7,1>",
            ]
        );
        let address = |number| inventory.bit_address(inventory.bit(number).unwrap()).to_string();
        assert_eq!(address(0), "conv.kernel[0].bit[0]");
        assert_eq!(address(4), "conv.kernel[0].bit[4]");
        assert_eq!(address(5), "conv.kernel[1].bit[0]");
        assert_eq!(address(3_999), "conv.kernel[799].bit[4]");
        assert_eq!(address(4_000), "conv.bias[0].bit[0]");
        assert_eq!(address(4_160), "dense.kernel[0].bit[0]");
        assert_eq!(address(4_160 + 7 * 8_192 + 7 * 15 + 6), "dense.bias[15].bit[6]");
        assert_eq!(inventory.bit(61_616), Err(RegisterError::NoBitNumber { number: 61_616, bits: 61_616 }));
        assert_eq!(inventory.register(9_040), Err(RegisterError::NoRegisterNumber { number: 9_040, len: 9_040 }));
        assert_eq!(inventory.register(9_039), Ok(RegisterId(9_039)));
    }

    #[test]
    fn every_bit_is_found_by_its_number_and_its_address() {
        let inventory = Inventory::new(&econ_t_medium()).unwrap();
        let mut expected = inventory.bit_ids();
        for register in inventory.registers() {
            let (array, index) = inventory.locate(register);
            assert_eq!(inventory.find(&array.layer, array.tensor, index), Ok(register));
            assert_eq!(inventory.resolve_register(&inventory.register_address(register)), Ok(register));
            for (place, bit) in (0..).zip(inventory.bits_of(register)) {
                assert_eq!(expected.next(), Some(bit));
                assert_eq!(inventory.locate_bit(bit), (register, BitIdx(place)));
                assert_eq!(inventory.bit_of(register, BitIdx(place)), Ok(bit));
                let text = inventory.bit_address(bit).to_string();
                assert_eq!(inventory.resolve_bit(&text.parse().unwrap()), Ok(bit), "{text}");
            }
        }
        assert_eq!(expected.next(), None);
        let by_array: Vec<RegisterId> = inventory.arrays().iter().flat_map(RegisterArray::registers).collect();
        assert_eq!(by_array, inventory.registers().collect::<Vec<_>>());
        let by_array: Vec<BitId> = inventory.arrays().iter().flat_map(RegisterArray::bit_ids).collect();
        assert_eq!(by_array, inventory.bit_ids().collect::<Vec<_>>());
    }

    #[test]
    fn what_does_not_exist_is_named_with_what_does() {
        let inventory = Inventory::new(&econ_t_medium()).unwrap();
        let error = |text: &str| inventory.resolve_bit(&text.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(
            error("encoder.kernel[0].bit[0]"),
            "layer `encoder` has no registers; these layers have: conv, dense"
        );
        assert_eq!(error("relu.kernel[0].bit[0]"), "layer `relu` has no registers; these layers have: conv, dense");
        assert_eq!(error("conv.kernel[72].bit[0]"), "layer `conv`, kernel: no register 72; 0 to 71 exist");
        assert_eq!(error("conv.kernel[71].bit[6]"), "`conv.kernel[71]` has no bit 6; 0 (most significant) to 5 exist");
        let no_bias = Inventory::new(&crate::hw::test_networks::without_bias()).unwrap();
        assert_eq!(
            no_bias.find("dense", TensorKind::Bias, 0).unwrap_err().to_string(),
            "layer `dense` has no bias registers"
        );
    }
}
