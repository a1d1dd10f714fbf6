//! `TimedFault`: what happens to which state in which cycle; replayable lists of them.

use crate::hw::{
    BitAddress, BitId, BitLine, CopyIdx, Cycle, ElementArray, ElementBit, FlipFlop, Inventory, Level, Machine,
    Protection, RegisterError, StateAddress, WeightBank, element_address, resolve_element,
};
use crate::import::fault_list::{FaultKind, FaultRow};

/// What happens to one bit or line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upset {
    /// A flip-flop is inverted; see [`WeightBank::flip`].
    Flip(FlipFlop),
    /// A flip-flop can hold one level only from now on; see [`WeightBank::stick`].
    Stick(FlipFlop, Level),
    /// A line is wrong for this cycle; see [`WeightBank::glitch`].
    Glitch(BitId, BitLine),
    /// A bit of other state is inverted; see [`Machine::flip`](crate::hw::Machine::flip).
    State(ElementBit),
}

impl Upset {
    /// The weight or bias register bit that it happens to, if it is one.
    pub const fn register_bit(&self) -> Option<BitId> {
        match self {
            Self::Flip(flip_flop) | Self::Stick(flip_flop, _) => Some(flip_flop.bit),
            Self::Glitch(bit, _) => Some(*bit),
            Self::State(_) => None,
        }
    }

    /// The flip-flop or line, as a list of faults names it; the copy is always written.
    ///
    /// # Panics
    /// When the bit is of another design.
    pub fn address(&self, inventory: &Inventory, elements: &[ElementArray]) -> StateAddress {
        match self {
            Self::Flip(flip_flop) | Self::Stick(flip_flop, _) => StateAddress::Register(BitAddress {
                copy: Some(flip_flop.copy),
                ..inventory.bit_address(flip_flop.bit)
            }),
            Self::Glitch(bit, line) => StateAddress::Line { bit: inventory.bit_address(*bit), line: *line },
            Self::State(bit) => element_address(elements, *bit),
        }
    }

    /// What happens to it, as a list of faults names it.
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Flip(_) | Self::State(_) => FaultKind::Flip,
            Self::Stick(_, Level::Low) => FaultKind::Stuck0,
            Self::Stick(_, Level::High) => FaultKind::Stuck1,
            Self::Glitch(..) => FaultKind::Transient,
        }
    }

    /// Lets it happen to a machine, before the cycle's voters settle.
    ///
    /// # Panics
    /// When the machine has no such state: lists are checked by [`timed_faults`].
    pub fn strike(&self, machine: &mut Machine<'_>) {
        let inventory = machine.inventory();
        match *self {
            Self::Flip(FlipFlop { bit, copy }) => {
                let (register, bit) = inventory.locate_bit(bit);
                machine.bank_mut().flip(register, bit, copy);
            }
            Self::Stick(FlipFlop { bit, copy }, level) => {
                let (register, bit) = inventory.locate_bit(bit);
                machine.bank_mut().stick(register, bit, copy, level);
            }
            Self::Glitch(bit, line) => {
                let (register, bit) = inventory.locate_bit(bit);
                machine.bank_mut().glitch(register, bit, line);
            }
            Self::State(bit) => machine.flip(bit),
        }
    }
}

/// An upset and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedFault {
    /// The cycle in which it happens.
    pub at: Cycle,
    /// What happens.
    pub upset: Upset,
}

/// Why a list of faults does not belong to a design and its protection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: line {line}: {reason}")]
pub struct TimedFaultError {
    /// The file.
    pub file: String,
    /// Line, counted from 1.
    pub line: u64,
    /// What is wrong there.
    pub reason: TimedFaultReason,
}

/// What is wrong in a line of a list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimedFaultReason {
    /// No address, or state that the design does not have.
    #[error(transparent)]
    Address(#[from] RegisterError),
    /// A copy that the style does not keep.
    #[error("`{bit}` is protected by `{protection}` and has {copies} flip-flop(s), copy[0] to copy[{}]", copies - 1)]
    Copy {
        /// The bit, as written.
        bit: BitAddress,
        /// Its protection.
        protection: Protection,
        /// Copies it has.
        copies: u8,
    },
    /// Three copies, and none of them named.
    #[error("`{bit}` has three copies; say which, such as `{bit}.copy[0]`")]
    WhichCopy {
        /// The bit.
        bit: BitAddress,
    },
    /// A line that the style does not have.
    #[error(
        "`{address}`: a bit protected by `{protection}` has no such line (it has {voters} voter, {loads} load and {clocks} clock line(s))"
    )]
    Line {
        /// The line, as written.
        address: StateAddress,
        /// Its protection.
        protection: Protection,
        /// Voters it has.
        voters: u8,
        /// Load lines it has.
        loads: u8,
        /// Clock lines it has.
        clocks: u8,
    },
    /// A kind that does not happen to such state.
    #[error(
        "`{address}`: kind `{kind}` does not happen to it; a line takes transient, a flip-flop of a weight or bias flip, \
         stuck0 or stuck1, other state flip"
    )]
    Kind {
        /// The state, as written.
        address: StateAddress,
        /// The kind.
        kind: &'static str,
    },
}

/// A design as far as lists of faults name its parts.
#[derive(Clone, Copy)]
pub struct Nameable<'d> {
    /// Weight and bias registers.
    pub inventory: &'d Inventory,
    /// Other state; see [`Machine::elements`](crate::hw::Machine::elements).
    pub elements: &'d [ElementArray],
    /// What protects each register bit.
    pub protection: &'d dyn Fn(BitId) -> Protection,
}

/// The faults named by the rows of a file, in the order of their cycles; those of one cycle in the order of the file.
///
/// # Errors
/// Names file and line of state that the design, protected in this way, does not have, and of kinds that do not happen
/// to it.
pub fn timed_faults(design: Nameable<'_>, file: &str, rows: &[FaultRow]) -> Result<Vec<TimedFault>, TimedFaultError> {
    let mut faults = rows
        .iter()
        .map(|row| match upset(design, row) {
            Ok(upset) => Ok(TimedFault { at: Cycle(row.cycle), upset }),
            Err(reason) => Err(TimedFaultError { file: file.to_owned(), line: row.line, reason }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    faults.sort_by_key(|fault| fault.at);
    Ok(faults)
}

fn upset(design: Nameable<'_>, row: &FaultRow) -> Result<Upset, TimedFaultReason> {
    let Nameable { inventory, elements, protection } = design;
    let address: StateAddress = row.address.parse()?;
    match &address {
        StateAddress::Register(named) => {
            let bit = inventory.resolve_bit(named)?;
            let protection = protection(bit);
            let copies = protection.copies();
            let copy = match named.copy {
                Some(copy) if copy.0 < copies => copy,
                Some(_) => return Err(TimedFaultReason::Copy { bit: named.clone(), protection, copies }),
                None if copies == 1 => CopyIdx(0),
                None => return Err(TimedFaultReason::WhichCopy { bit: named.clone() }),
            };
            let flip_flop = FlipFlop { bit, copy };
            match row.kind {
                FaultKind::Flip => Ok(Upset::Flip(flip_flop)),
                FaultKind::Stuck0 => Ok(Upset::Stick(flip_flop, Level::Low)),
                FaultKind::Stuck1 => Ok(Upset::Stick(flip_flop, Level::High)),
                FaultKind::Transient => Err(TimedFaultReason::Kind { kind: row.kind.name(), address }),
            }
        }
        StateAddress::Line { bit: named, line } => {
            let (bit, line) = (inventory.resolve_bit(named)?, *line);
            let protection = protection(bit);
            let [_, voters, loads, clocks] = WeightBank::lines(protection.style);
            let (index, lines) = match line {
                BitLine::Voter(index) => (index, voters),
                BitLine::Load(index) => (index, loads),
                BitLine::Clock(index) => (index, clocks),
                BitLine::Data => (0, 1),
            };
            if index >= lines {
                return Err(TimedFaultReason::Line { address, protection, voters, loads, clocks });
            }
            match row.kind {
                FaultKind::Transient => Ok(Upset::Glitch(bit, line)),
                _ => Err(TimedFaultReason::Kind { kind: row.kind.name(), address }),
            }
        }
        StateAddress::Element { stage, element, index, bit } => {
            let bit = resolve_element(elements, stage, *element, *index, *bit)?;
            match row.kind {
                FaultKind::Flip => Ok(Upset::State(bit)),
                _ => Err(TimedFaultReason::Kind { kind: row.kind.name(), address }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::schedule::{Schedule, ScheduleOptions};
    use crate::hw::test_networks::one_dense;
    use crate::hw::{Element, TmrStyle};
    use crate::import::fault_list::read_fault_list;
    use crate::net::Network;
    use crate::num::BitIdx;

    /// Bit 0 is plain, bit 1 `unvoted`, all others `feedback`.
    fn protection(bit: BitId) -> Protection {
        Protection::from(match bit.0 {
            0 => TmrStyle::None,
            1 => TmrStyle::Unvoted,
            _ => TmrStyle::Feedback,
        })
    }

    fn elements(network: &Network, inventory: &Inventory) -> Vec<ElementArray> {
        let schedule = Schedule::new(network, &ScheduleOptions::econ_t()).unwrap();
        Machine::new(network, inventory, &schedule, protection).elements()
    }

    fn faults(rows: &str) -> Result<Vec<TimedFault>, TimedFaultError> {
        let text = format!("cycle,address,kind\n{rows}");
        let network = one_dense(2, 4);
        let inventory = Inventory::new(&network).unwrap();
        let elements = elements(&network, &inventory);
        let design = Nameable { inventory: &inventory, elements: &elements, protection: &protection };
        timed_faults(design, "f.csv", &read_fault_list("f.csv", text.as_bytes()).unwrap())
    }

    #[test]
    fn lists_are_ordered_by_cycle() {
        let list = "9,d.kernel[0].bit[1].copy[2],stuck1\n3,d.kernel[0].bit[0],flip\n3,d.kernel[3].bit[3].voter[0],transient\n\
                    4,d.fifo[1].bit[3],flip\n";
        let flip_flop = |bit, copy| FlipFlop { bit: BitId(bit), copy: CopyIdx(copy) };
        let fault = |at, upset| TimedFault { at: Cycle(at), upset };
        let expected = [
            fault(3, Upset::Flip(flip_flop(0, 0))),
            fault(3, Upset::Glitch(BitId(15), BitLine::Voter(0))),
            fault(4, Upset::State(ElementBit { stage: 0, element: Element::Fifo, index: 1, bit: BitIdx(3) })),
            fault(9, Upset::Stick(flip_flop(1, 2), Level::High)),
        ];
        assert_eq!(faults(list).unwrap(), expected);
        assert_eq!(faults("").unwrap(), []);
    }

    #[test]
    fn a_fault_is_named_as_it_is_read() {
        let list = [
            "3,d.kernel[0].bit[0].copy[0],flip",
            "3,d.kernel[3].bit[3].voter[0],transient",
            "4,d.kernel[3].bit[3].data,transient",
            "4,d.pipeline[1].bit[2],flip",
            "9,d.kernel[0].bit[1].copy[2],stuck1",
            "9,d.kernel[0].bit[1].copy[0],stuck0",
        ];
        let network = one_dense(2, 4);
        let inventory = Inventory::new(&network).unwrap();
        let elements = elements(&network, &inventory);
        let row = |fault: TimedFault| {
            let (cycle, upset) = (fault.at.0, fault.upset);
            format!("{cycle},{},{}", upset.address(&inventory, &elements), upset.kind().name())
        };
        let rows: Vec<String> = faults(&list.join("\n")).unwrap().into_iter().map(row).collect();
        assert_eq!(rows, list);
    }

    #[test]
    fn rows_that_the_design_does_not_have() {
        for (row, expected) in [
            ("1,nonsense,flip", "nonsense"),
            ("1,e.kernel[0].bit[0],flip", "`e`"),
            ("1,d.kernel[4].bit[0],flip", "4"),
            ("1,d.kernel[0].bit[0].copy[1],flip", "has 1 flip-flop(s)"),
            ("1,d.kernel[0].bit[1],flip", "has three copies; say which"),
            ("1,d.kernel[0].bit[0].voter[0],transient", "has no such line (it has 0 voter"),
            ("1,d.kernel[0].bit[2].load[1],transient", "has no such line (it has 1 voter, 1 load"),
            ("1,d.kernel[0].bit[0],transient", "kind `transient` does not happen to it"),
            ("1,d.kernel[0].bit[0].data,flip", "kind `flip` does not happen to it"),
            ("1,d.fifo[0].bit[0],stuck1", "kind `stuck1` does not happen to it"),
            ("1,e.fifo[0].bit[0],flip", "`e` is no stage of the machine; these are: d"),
            ("1,d.line_buffer[0].bit[0],flip", "stage `d` has no line_buffer; it has: fifo, pipeline"),
            ("1,d.fifo[2].bit[0],flip", "no fifo[2]; 0 to 1 exist"),
            ("1,d.fifo[0].bit[4],flip", "`d.fifo[0]` has no bit 4; 0 (most significant) to 3 exist"),
        ] {
            let error = faults(&format!("0,d.kernel[0].bit[0],flip\n{row}\n")).unwrap_err().to_string();
            assert!(error.starts_with("f.csv: line 3: ") && error.contains(expected), "{row}: {error}");
        }
    }
}
