//! Faults in time as the CSV list that `import::fault_list` reads.

use std::fmt::Write;

use super::oracle::quoted;
use crate::fault::{Nameable, TimedFault, Upset};
use crate::hw::{BitAddress, FlipFlop, Level, StateAddress, element_address};

/// A row per fault, in the order given: `cycle,address,kind`.
pub fn fault_list_csv(design: Nameable<'_>, faults: &[TimedFault]) -> String {
    let Nameable { inventory, elements, protection } = design;
    let flip_flop = |FlipFlop { bit, copy }| {
        let copy = (protection(bit).copies() > 1).then_some(copy);
        StateAddress::Register(BitAddress { copy, ..inventory.bit_address(bit) })
    };
    let mut text = String::from("cycle,address,kind\n");
    for TimedFault { at, upset } in faults {
        let (address, kind) = match *upset {
            Upset::Flip(hit) => (flip_flop(hit), "flip"),
            Upset::Stick(hit, Level::Low) => (flip_flop(hit), "stuck0"),
            Upset::Stick(hit, Level::High) => (flip_flop(hit), "stuck1"),
            Upset::State(bit) => (element_address(elements, bit), "flip"),
            Upset::Glitch(bit, line) => (StateAddress::Line { bit: inventory.bit_address(bit), line }, "transient"),
        };
        writeln!(text, "{},{},{kind}", at.0, quoted(&address.to_string())).expect("a string takes any text");
    }
    text
}
