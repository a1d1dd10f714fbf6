//! Fault lists times events, in parallel; the only user of threads. It does not know what a fault does: `engine` does.

mod infer;
mod oracle;
mod quantiles;
mod sum;
mod threads;

pub use infer::{ErrorSummary, Inference, infer};
pub use oracle::{CampaignError, Event, InputError, Oracle, OracleInput, SiteOutcome, output_values, run_oracle};
pub use sum::ExactSum;
pub use threads::{ThreadError, with_threads};
