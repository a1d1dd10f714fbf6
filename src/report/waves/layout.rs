//! `Layout`: which variables a machine has in a value change dump, and in which scopes.

use std::io::{self, Write};

use super::signals::{Bits, SignalIdx, Signals, own_names};
use crate::hw::{Element, ElementArray, ElementBit, Machine, RegisterArray, RegisterId, WeightBank};
use crate::num::BitIdx;

/// Kinds of words of stages in the order in which they find room, those that tell most for their number first. Error counters
/// stand with their registers.
const WORDS: [Element; 6] =
    [Element::Control, Element::Accumulator, Element::Pipeline, Element::Fifo, Element::Window, Element::LineBuffer];

/// Variables outside of stages.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) clock: SignalIdx,
    pub(super) load: SignalIdx,
    pub(super) injection: SignalIdx,
    pub(super) injections: SignalIdx,
    pub(super) frame_valid: SignalIdx,
    pub(super) frame_ready: SignalIdx,
    pub(super) frame: SignalIdx,
    pub(super) output_valid: SignalIdx,
    /// Word by word.
    pub(super) output: Vec<SignalIdx>,
}

/// Variables of a stage.
#[derive(Debug)]
pub(super) struct StageSignals {
    pub(super) working: SignalIdx,
    pub(super) stalled: SignalIdx,
    pub(super) waiting: SignalIdx,
    pub(super) in_pipeline: SignalIdx,
    pub(super) injected: SignalIdx,
    /// Its words; where bit 0 is the one named.
    pub(super) words: Vec<(ElementBit, SignalIdx)>,
}

/// Variables of an array of registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArraySignals {
    /// Of the stage that it belongs to.
    pub(super) stage_injected: SignalIdx,
    pub(super) injected: SignalIdx,
    pub(super) error_flag: SignalIdx,
    pub(super) error_counter: SignalIdx,
}

/// Variables of a register: its copies, the voted value, and whether it is hit.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegisterSignals {
    first: SignalIdx,
    copies: usize,
    pub(super) array: usize,
}

/// All variables of a machine.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) top: Top,
    pub(super) stages: Vec<StageSignals>,
    /// By number in the inventory.
    pub(super) arrays: Vec<ArraySignals>,
    /// By number.
    pub(super) registers: Vec<RegisterSignals>,
    pub(super) left_out: Vec<Element>,
}

impl RegisterSignals {
    pub(super) fn voted(self) -> SignalIdx {
        self.first.later(self.copies)
    }

    pub(super) fn injected(self) -> SignalIdx {
        self.first.later(self.copies + 1)
    }

    /// Each copy with its bits; `x` where a bit has no such copy.
    pub(super) fn copies(self, copies: [u64; 3], triplicated: u64) -> impl Iterator<Item = (SignalIdx, Bits)> {
        copies.into_iter().take(self.copies).enumerate().map(move |(copy, value)| {
            let known = if copy == 0 { u64::MAX } else { triplicated };
            (self.first.later(copy), Bits { value, known })
        })
    }
}

impl Layout {
    /// Writes the header.
    pub(super) fn declare<W: Write>(
        signals: &mut Signals<W>,
        machine: &Machine<'_>,
        words_limit: usize,
    ) -> io::Result<Self> {
        let (words, left_out) = words_within(&machine.elements(), words_limit);
        signals.open("trivote")?;
        let top = top(signals, machine)?;
        let inventory = machine.inventory();
        let mut arrays = vec![None; inventory.arrays().len()];
        let mut registers = vec![None; inventory.len()];
        let mut stages = Vec::new();
        signals.open("stages")?;
        let built = &machine.schedule().stages;
        for (at, (stage, name)) in
            built.iter().zip(own_names(built.iter().map(|stage| stage.name.as_str()))).enumerate()
        {
            signals.open(&name)?;
            let mut own = StageSignals {
                working: signals.wire(1, "working")?,
                stalled: signals.wire(1, "stalled")?,
                waiting: signals.number("waiting")?,
                in_pipeline: signals.number("in_pipeline")?,
                injected: signals.wire(1, "injected")?,
                words: Vec::new(),
            };
            for array in words.iter().filter(|array| array.stage == at) {
                signals.open(array.element.name())?;
                for (index, width) in array.widths.iter().enumerate() {
                    let word = ElementBit { stage: at, element: array.element, index, bit: BitIdx(0) };
                    own.words.push((word, signals.wire(*width, &format!("{}_{index}", array.element))?));
                }
                signals.close()?;
            }
            for (number, array) in inventory.arrays().iter().enumerate() {
                if stage.nodes.contains(&array.node) {
                    let stage_injected = own.injected;
                    arrays[number] = Some(self::array(signals, array, stage_injected)?);
                    for (index, register) in array.registers().enumerate() {
                        let name = format!("{}_{index}", array.tensor);
                        registers[register.index()] =
                            Some(self::register(signals, array, &name, number, machine.bank(), register)?);
                    }
                    signals.close()?;
                }
            }
            signals.close()?;
            stages.push(own);
        }
        signals.close()?;
        signals.close()?;
        signals.end_header()?;
        let (arrays, registers) = (all(arrays), all(registers));
        debug_assert_eq!(inventory.len(), registers.len(), "every register belongs to a stage");
        Ok(Self { top, stages, arrays, registers, left_out })
    }

    /// Where a register stands among the arrays of the inventory.
    pub(super) fn array_of(&self, register: RegisterId) -> usize {
        self.registers[register.index()].array
    }
}

/// Everything found; all stages together have all registers.
fn all<T>(found: Vec<Option<T>>) -> Vec<T> {
    found.into_iter().map(|one| one.expect("every layer with weights belongs to a stage")).collect()
}

/// The arrays of words that find room: kind by kind, a kind whole or not at all. And the kinds that do not.
fn words_within(arrays: &[ElementArray], limit: usize) -> (Vec<ElementArray>, Vec<Element>) {
    let (mut taken, mut left_out, mut room) = (Vec::new(), Vec::new(), limit);
    for element in WORDS {
        let of_kind: Vec<&ElementArray> = arrays.iter().filter(|array| array.element == element).collect();
        let words: usize = of_kind.iter().map(|array| array.widths.len()).sum();
        if words <= room {
            room -= words;
            taken.extend(of_kind.into_iter().cloned());
        } else {
            left_out.push(element);
        }
    }
    (taken, left_out)
}

fn top<W: Write>(signals: &mut Signals<W>, machine: &Machine<'_>) -> io::Result<Top> {
    let clock = signals.wire(1, "clock")?;
    let load = signals.wire(1, "load")?;
    let injection = signals.event("injection")?;
    let injections = signals.number("injections")?;
    signals.open("host")?;
    let frame_valid = signals.wire(1, "frame_valid")?;
    let frame_ready = signals.wire(1, "frame_ready")?;
    let frame = signals.number("frame")?;
    signals.close()?;
    signals.open("output")?;
    let output_valid = signals.wire(1, "output_valid")?;
    let node = machine.network().output();
    let width = node.signal.width_bits();
    let output =
        (0..node.len()).map(|word| signals.wire(width, &format!("word_{word}"))).collect::<io::Result<Vec<_>>>()?;
    signals.close()?;
    Ok(Top { clock, load, injection, injections, frame_valid, frame_ready, frame, output_valid, output })
}

/// Opens the scope of an array.
fn array<W: Write>(
    signals: &mut Signals<W>,
    array: &RegisterArray,
    stage_injected: SignalIdx,
) -> io::Result<ArraySignals> {
    signals.open(&array.tensor.to_string())?;
    Ok(ArraySignals {
        stage_injected,
        injected: signals.wire(1, "injected")?,
        error_flag: signals.wire(1, "error_flag")?,
        error_counter: signals.wire(u8::BITS, "error_counter")?,
    })
}

fn register<W: Write>(
    signals: &mut Signals<W>,
    array: &RegisterArray,
    name: &str,
    number: usize,
    bank: &WeightBank,
    register: RegisterId,
) -> io::Result<RegisterSignals> {
    let width = u32::from(array.format.width());
    let copies = if bank.triplicated_bits(register) == 0 { 1 } else { 3 };
    signals.open(name)?;
    let first = signals.wire(width, "copy_0")?;
    for copy in 1..copies {
        signals.wire(width, &format!("copy_{copy}"))?;
    }
    signals.wire(width, "voted")?;
    signals.wire(1, "injected")?;
    signals.close()?;
    Ok(RegisterSignals { first, copies, array: number })
}
