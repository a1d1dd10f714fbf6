//! The arithmetic between registers: a network prepared once, then evaluated in vector words.
//!
//! [`program`] gathers its nodes into [`layer`]s with their [`tail`]s, [`sums`] has the loops over them, [`requantize`]
//! rounding and clipping, [`word`] the integers. The unrolled [`Machine`](super::Machine) computes with it, and so does the layer above that
//! evaluates faults.

pub(crate) mod layer;
pub(crate) mod program;
pub(crate) mod requantize;
pub(crate) mod sums;
pub(crate) mod tail;
pub(crate) mod width;
pub(crate) mod word;
