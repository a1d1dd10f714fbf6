//! Why figures cannot be made.

use crate::report::ReportError;

/// Why figures cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FigureError {
    /// There is nothing to draw.
    #[error("design `{design}`: no bit was flipped, so there is nothing to draw")]
    NoBits {
        /// Name of the design.
        design: String,
    },
    /// Rises and bits do not belong together.
    #[error("design `{design}`: {rises} error rises for {bits} bits; give the rises of these bits")]
    Count {
        /// Name of the design.
        design: String,
        /// Error rises given.
        rises: usize,
        /// Bits given.
        bits: usize,
    },
    /// A rise is no number.
    #[error("design `{design}`: the error rise of bit {position} is {rise}; only finite rises can be drawn")]
    NotFinite {
        /// Name of the design.
        design: String,
        /// Position of the bit, from 0.
        position: usize,
        /// What it is.
        rise: f64,
    },
    /// A mean or sum is no number.
    #[error("design `{design}`: the {what} is {value}; only finite ones can be drawn")]
    NoNumber {
        /// Name of the design.
        design: String,
        /// Which figure of the design.
        what: &'static str,
        /// What it is.
        value: f64,
    },
    /// A ranking is one of other bits.
    #[error("ranking `{ranking}`: orders {ranked} bits, not the {bits} that were flipped")]
    Ranking {
        /// Name of the ranking.
        ranking: String,
        /// Bits it orders.
        ranked: usize,
        /// Bits flipped.
        bits: usize,
    },
    /// More curves than can be told apart.
    #[error("{rankings} rankings: a figure holds up to {most} curves; leave some out")]
    TooManyRankings {
        /// Rankings given.
        rankings: usize,
        /// Rankings that can be drawn.
        most: usize,
    },
    /// The collected table is not one that figures are drawn from.
    #[error("{file}: is not a table of sensitive shares ({reason}); move it away, or name another folder")]
    Foreign {
        /// Name of the file.
        file: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// The collected table is of an earlier version.
    #[error(
        "{file}: is of an earlier version, which did not say which bits and kinds of events its shares are of; delete it, and \
         draw these designs again: {}; or name another folder", designs.join(", ")
    )]
    Earlier {
        /// Name of the file.
        file: String,
        /// The designs in it.
        designs: Vec<String>,
    },
    /// The folder's files cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
}
