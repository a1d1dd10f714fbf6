//! Partial work as files: what an interrupted run or a shard leaves, to go on from or to be merged.
//!
//! NPZ archives of plain arrays, each with a `manifest` that names the work it belongs to. Whether that is the work at hand
//! is for whoever reads it to ask.

mod archive;
mod flips;
mod oracle;
mod trials;
mod work;

pub use flips::PartialFlips;
pub use oracle::{Manifest, PartialOracle, merge};
pub use trials::PartialTrials;
pub use work::WorkManifest;

use super::npz::NpzError;
use crate::import::npy::NpyError;

/// Why a file is no usable partial work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartialError {
    /// It cannot be read as an archive of arrays.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// It is something else, or was damaged.
    #[error("{file}: {what}; {needed} is needed")]
    Content {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
        /// What the file should be.
        needed: &'static str,
    },
    /// It has another format: that of another version, or of other work.
    #[error("{file}: its format is `{found}`, `{wanted}` is needed; make it again, or delete it")]
    Format {
        /// The file.
        file: String,
        /// The format it names.
        found: String,
        /// The format that is read.
        wanted: &'static str,
    },
    /// Parts of different work.
    #[error(
        "{file}: belongs to other work than {first} (its design, decoder, events, bits, metric or version of trivote differ)"
    )]
    OtherWork {
        /// The file.
        file: String,
        /// The file it was compared with.
        first: String,
    },
    /// A shard that has not done all its work.
    #[error("{file}: shard {shard} has done {done} of its {tiles} tiles; complete it with --resume before merging")]
    Unfinished {
        /// The file.
        file: String,
        /// The shard.
        shard: String,
        /// Tiles done.
        done: u64,
        /// Tiles to do.
        tiles: u64,
    },
    /// Shards of different divisions, or one twice, or one missing.
    #[error("{what}; all of 1/n to n/n are needed, each once")]
    Incomplete {
        /// What is wrong.
        what: String,
    },
    /// It cannot be packed.
    #[error(transparent)]
    Npz(#[from] NpzError),
}
