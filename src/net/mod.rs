//! The quantized network: layers, shapes, integer parameters, and the proof that no accumulator overflows.
//!
//! A [`Network`] is what stands in hardware: a graph of integer operations whose every value has a known format. A
//! [`FloatNetwork`] is what runs off-chip in `f32`, such as the decoder of an autoencoder. Neither runs anything here:
//! `engine` evaluates the first, `host` the second.

mod builder;
mod digest;
mod float;
mod graph;
mod op;
mod tensor;

pub use builder::NetworkBuilder;
pub use digest::{Fingerprint, FingerprintBuilder};
pub use float::{Activation, FloatError, FloatNetwork, FloatNode, FloatOp};
pub use graph::{Align, NetError, Network, Node, NodeId, Signal};
pub use op::{AveragePool2d, Conv2d, Dense, DepthwiseConv2d, Op, Padding2d, Tap, Window2d};
pub use tensor::{TensorError, TensorKind, WeightTensor};
