//! What runs off-chip in floating point: the detector module that feeds the accelerator and its synthetic events, the
//! decoder behind it, and the measures of how wrong an output is.
//!
//! It reads no files and draws from no global random generator; a seed gives the same events, in any order and on any
//! number of threads.

pub mod activation;
mod affine;
pub mod classes;
pub mod decoder;
mod dual_tree;
pub mod emd;
pub mod evaluator;
pub mod event_statistics;
pub mod generator;
pub mod geometry;
mod grid;
pub mod loss;
mod margins;
pub mod metric;
mod rounding;
mod transport;
pub mod vicinity;
