//! Faults in time as the CSV list that `import::fault_list` reads.

use std::fmt::Write;

use super::oracle::quoted;
use crate::fault::TimedFault;
use crate::hw::{ElementArray, Inventory};

/// A row per fault, in the order given: `cycle,address,kind`. `elements` are the machine's, for faults of other state.
///
/// # Panics
/// When a fault is of another design.
pub fn fault_list_csv(inventory: &Inventory, elements: &[ElementArray], faults: &[TimedFault]) -> String {
    let mut text = String::from("cycle,address,kind\n");
    for TimedFault { at, upset } in faults {
        let address = quoted(&upset.address(inventory, elements).to_string());
        writeln!(text, "{},{address},{}", at.0, upset.kind().name()).expect("a string takes any text");
    }
    text
}
