//! What runs off-chip in floating point: the detector module that feeds the accelerator, and its synthetic events.
//!
//! It reads no files and draws from no global random generator; a seed gives the same events on every machine.

pub mod activation;
mod combination;
pub mod decoder;
pub mod emd;
pub mod evaluator;
pub mod geometry;
pub mod loss;
pub mod metric;
mod transport;
