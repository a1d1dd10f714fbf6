//! Results as terminal tables, CSV, JSON and NPZ. Computes nothing but totals of what it prints.

mod error;
pub mod files;
pub mod oracle;
mod provenance;
pub mod sweep;
mod table;

pub use error::ReportError;
pub use provenance::Provenance;
pub use table::{Side, TextTable, fixed, grouped, percent, significant};
