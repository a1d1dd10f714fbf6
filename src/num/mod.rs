//! Fixed-point formats, rounding, overflow and bit views.
//!
//! Everything here is integer and exact. The module knows nothing of layers, files or faults; it defines what a
//! register of so many bits means and how a wide accumulator is narrowed into it.

pub mod cast;
mod format;
pub mod qkeras;
mod quantize;
mod share;

pub use format::{BitIdx, FormatError, MAX_POINT, MAX_WIDTH, QFormat};
pub use quantize::{NotFinite, Overflow, Quantizer, Rounding};
pub use share::{parse_percentage, parse_share};
