//! Integration tests: laws that span layers, and every command as a user runs it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod analyze;
mod bench;
mod classify;
mod cli;
mod compare;
mod derivatives;
mod digits;
mod engine;
mod fixed_crate;
mod inject;
mod keras;
mod layers;
mod long_work;
mod machine;
mod missions;
mod networks;
mod oracle;
mod planned;
mod proof;
mod read_times;
#[path = "../../benches/rn07/mod.rs"]
mod rn07;
mod schedule;
mod scores;
mod simulate;
mod surrogate;
mod upsets;
mod verify;
mod waves;
