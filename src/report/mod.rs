//! Results as terminal tables, CSV, Parquet, JSON, NPZ, waveforms and figures. Computes nothing but totals of what it
//! prints.

pub mod analysis;
pub mod area;
mod bit_table;
pub mod compare;
mod design_facts;
mod edge_times;
mod error;
mod error_unit;
mod fault_list;
pub mod figures;
pub mod files;
pub mod guided;
pub mod infer;
pub mod inject;
pub mod network;
pub mod npz;
pub mod oracle;
pub mod partial;
pub mod plan;
pub mod quality;
pub mod schedule;
pub mod scores;
pub mod simulate;
mod sites;
pub mod sweep;
mod table;
pub mod text_plot;
pub mod trace;
pub mod verify;
pub mod waves;

pub use edge_times::{EdgeTimes, TimesError};
pub use error::ReportError;
pub use fault_list::fault_list_csv;
pub use sites::{SiteRow, SiteTable};
pub use table::{Side, TextTable, fixed, grouped, percent, significant, whole};
use table::{line_width, wrapped};

pub use crate::import::results::{DesignFacts, Provenance};
