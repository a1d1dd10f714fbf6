//! `ElementArray` and `ElementBit`: state of a machine other than its weight registers, by stage, kind and number.

use super::registers::RegisterError;
use super::schedule::Stage;
use super::state_address::{Element, StateAddress};
use crate::num::{BitIdx, cast};

/// The words of one kind at one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementArray {
    /// Number of the stage in the schedule.
    pub stage: usize,
    /// Its name.
    pub name: String,
    /// What kind of state.
    pub element: Element,
    /// Width of each word, in bits.
    pub widths: Vec<u32>,
}

/// One bit of such state; the machine that it belongs to has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementBit {
    /// Number of the stage in the schedule.
    pub stage: usize,
    /// What kind of state.
    pub element: Element,
    /// Which word of this kind.
    pub index: usize,
    /// The bit; 0 is the most significant.
    pub bit: BitIdx,
}

impl ElementArray {
    pub(super) fn new(stage: &Stage, number: usize, element: Element, widths: Vec<u32>) -> Self {
        Self { stage: number, name: stage.name.clone(), element, widths }
    }

    /// Number of bits in all its words.
    pub fn bits(&self) -> usize {
        self.widths.iter().map(|width| cast::index(*width)).sum()
    }

    /// All its bits.
    pub fn bit_list(&self) -> impl Iterator<Item = ElementBit> + '_ {
        let (stage, element) = (self.stage, self.element);
        self.widths.iter().enumerate().flat_map(move |(index, width)| {
            let bits = 0..u8::try_from(*width).expect("words have at most 64 bits");
            bits.map(move |bit| ElementBit { stage, element, index, bit: BitIdx(bit) })
        })
    }
}

/// The address of a bit.
///
/// # Panics
/// When the bit is of another machine.
pub fn element_address(arrays: &[ElementArray], bit: ElementBit) -> StateAddress {
    let of = |array: &&ElementArray| array.stage == bit.stage && array.element == bit.element;
    let array = arrays.iter().find(of).expect("a bit of this machine");
    StateAddress::Element { stage: array.name.clone(), element: bit.element, index: bit.index, bit: bit.bit }
}

/// The bit at an address.
///
/// # Errors
/// Names the stage, kind, word or bit that the machine does not have.
pub fn resolve_element(
    arrays: &[ElementArray],
    stage: &str,
    element: Element,
    index: usize,
    bit: BitIdx,
) -> Result<ElementBit, RegisterError> {
    let mut of_stage = arrays.iter().filter(|array| array.name == stage).peekable();
    if of_stage.peek().is_none() {
        let mut stages: Vec<String> = arrays.iter().map(|array| array.name.clone()).collect();
        stages.sort();
        stages.dedup();
        return Err(RegisterError::NoStage { stage: stage.to_owned(), stages });
    }
    let elements: Vec<&ElementArray> = of_stage.collect();
    let Some(array) = elements.iter().find(|array| array.element == element) else {
        let has = elements.iter().map(|array| array.element.name()).collect();
        return Err(RegisterError::NoElement { stage: stage.to_owned(), element, has });
    };
    let name = || stage.to_owned();
    let width = *array.widths.get(index).ok_or_else(|| RegisterError::NoWord {
        stage: name(),
        element,
        index,
        len: array.widths.len(),
    })?;
    if u32::from(bit.0) >= width {
        return Err(RegisterError::NoElementBit { stage: name(), element, index, bit, width });
    }
    Ok(ElementBit { stage: array.stage, element, index, bit })
}
