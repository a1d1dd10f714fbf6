//! Foreign formats to [`crate::net`], events and lists: the only readers of them.
//!
//! Each reader takes bytes and a file name for its messages; opening files is left to the caller, except in [`design`]
//! and [`results`], which know where the files of a design or a result lie. What a reader cannot turn into hardware exactly
//! it refuses by name, rather than approximate.

pub mod design;
pub mod events;
pub mod fault_list;
pub mod keras;
pub mod labels;
mod lines;
pub mod npy;
pub mod oracle;
pub mod results;
pub mod sites;
