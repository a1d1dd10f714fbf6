//! The accelerator as hardware: its registers, how they are triplicated, and what that costs in area.
//!
//! Every state bit has a stable address here. The layer knows nothing of faults, evaluates nothing and reads no file.

mod address;
mod registers;
mod tmr;

#[cfg(test)]
mod test_networks;

pub use address::{BitAddress, CopyIdx, RegisterAddress};
pub use registers::{BitId, Inventory, RegisterArray, RegisterError, RegisterId};
pub use tmr::{Protection, TmrError, TmrStyle};
