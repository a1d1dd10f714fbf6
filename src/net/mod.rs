//! The quantized network: layers, shapes, integer parameters, and the proof that no accumulator overflows.
//!
//! A [`Network`] is what stands in hardware: a graph of integer operations whose every value has a known format. A
//! [`FloatNetwork`] is what runs off-chip in `f32`, such as the decoder of an autoencoder. Neither runs anything here:
//! `engine` evaluates the first, `host` the second.

mod digest;
mod float;
mod graph;
mod tensor;

pub use digest::{Fingerprint, FingerprintBuilder};
pub use float::{Activation, FloatError, FloatNetwork, FloatNode, FloatOp};
pub use graph::{
    Align, Conv2d, Dense, NetError, Network, NetworkBuilder, Node, NodeId, Op, Padding2d, Signal, Window2d,
};
pub use tensor::{TensorError, TensorKind, WeightTensor};
