//! Fault lists times events, in parallel; the only user of threads. It does not know what a fault does: `engine` does.

mod event;
mod infer;
mod oracle;
mod sum;
mod tally;
mod threads;

pub use event::{DistinctEvent, Event, InputError, distinct_events};
pub use infer::{ErrorSummary, Inference, infer};
pub use oracle::{CampaignError, OracleInput, OracleRun, output_values, run_oracle};
pub use sum::ExactSum;
pub use tally::{Oracle, Shard, ShardError, SiteOutcome, Tally};
pub use threads::{ThreadError, with_threads};
