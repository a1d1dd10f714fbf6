//! Trivote ("triplicate and vote") tells the designer of a radiation-tolerant neural-network chip which weight
//! registers deserve triple modular redundancy (TMR).
//!
//! The crate is built in layers; a layer uses the ones after it in this list, never the ones before:
//! [`cli`], [`report`], [`protect`], [`analysis`], [`campaign`], [`engine`], [`fault`], [`hw`], [`host`], [`import`],
//! [`net`], [`num`]. `docs/architecture.md` says what each owns.

pub mod analysis;
pub mod campaign;
pub mod cli;
pub mod engine;
pub mod fault;
pub mod host;
pub mod hw;
pub mod import;
pub mod net;
pub mod num;
pub mod protect;
pub mod report;
