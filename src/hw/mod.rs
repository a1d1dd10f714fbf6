//! The accelerator as hardware: its registers, how they are triplicated, and what that costs in area.
//!
//! Every state bit has a stable address here. The layer knows nothing of faults, judges nothing and reads no file.

mod address;
mod area;
mod area_model;
mod bank;
mod buffers;
mod cycle;
pub(crate) mod datapath;
mod elements;
mod machine;
mod parts;
mod placement;
mod registers;
pub mod schedule;
mod state_address;
mod technology;
mod tmr;
mod value_parts;

#[cfg(test)]
pub(crate) mod test_networks;

pub use address::{BitAddress, CopyIdx, RegisterAddress};
pub use area::{Area, AreaUnit};
pub use area_model::{AreaBreakdown, AreaError, AreaModel, AreaReport, LayerArea, ProtectedBits};
pub use bank::{BitLine, Level, Load, Visibility, WeightBank};
pub use cycle::Cycle;
pub use elements::{ElementArray, ElementBit, element_address, resolve_element};
pub use machine::{Machine, StageActivity};
pub use parts::PartCounts;
pub use placement::{CellIdx, FlipFlop, Placement};
pub use registers::{BitId, Inventory, RegisterArray, RegisterError, RegisterId};
pub use state_address::{Element, StateAddress};
pub use technology::{Operand, Technology, TechnologyError};
pub use tmr::{Protection, TmrError, TmrStyle};
