//! Foreign formats to [`crate::net`]: the only readers of them.
//!
//! Each reader takes bytes and a file name for its messages; opening files is left to the caller. What a reader cannot
//! turn into hardware exactly it refuses by name, rather than approximate.

pub mod events;
pub mod keras;
pub mod npy;
