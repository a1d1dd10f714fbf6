//! Results as terminal tables, CSV, JSON and NPZ. Computes nothing but totals of what it prints.

pub mod area;
mod error;
pub mod files;
pub mod infer;
pub mod inject;
pub mod network;
pub mod npz;
pub mod oracle;
mod provenance;
pub mod sweep;
mod table;

pub use error::ReportError;
pub use provenance::Provenance;
pub use table::{Side, TextTable, fixed, grouped, percent, significant, whole};
