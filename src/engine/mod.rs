//! Exact evaluation of the accelerator, and of what a changed weight register does to its output.
//!
//! [`mod@reference`] computes a whole network the plain way and serves as the truth for everything faster. [`Engine`] computes
//! the fault-free values once per event ([`Trace`]) and then, for every fault, only what the fault reaches. Both are
//! integer and exact; neither approximates, samples or runs in parallel (that is `campaign`'s work).

mod delta;
mod flips;
pub mod reference;
mod trace;

pub use delta::{DeltaScratch, Engine, WeightChange};
pub use trace::Trace;
