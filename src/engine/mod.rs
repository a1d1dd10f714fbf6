//! Exact evaluation of the accelerator, and of what changed weight registers do to its output.
//!
//! [`mod@reference`] computes a whole network the plain way and serves as the truth for everything faster. [`Engine`]
//! prepares a network once, computes the fault-free values once per event ([`Trace`]), and then, for every fault, only
//! what the fault reaches: [`Engine::evaluate`] for any changes that hold together, [`Engine::sweep`] for many single
//! changes one by one ([`FlipPlan`]). [`OutputSet`] finds the distinct outputs among them. All of it is integer and
//! exact; nothing here approximates, samples or runs in parallel (that is `campaign`'s work).

mod bytes;
mod channelwise;
mod delta;
mod flips;
mod kernels;
mod multiple;
mod outputs;
mod prepared;
pub mod reference;
mod scratch;
mod trace;
mod vnni;

pub use delta::{Engine, WeightChange};
pub use flips::FlipPlan;
pub use outputs::{FaultyOutput, OutputId, OutputSet};
pub use prepared::Way;
pub use scratch::Scratch;
pub use trace::Trace;

/// What engine and memory being of different widths means.
pub(crate) const MIXED: &str = "traces, plans and scratch memory come from the engine they are used with";
