//! Fault lists times events, in parallel; the only user of threads. It does not know what a fault does: `engine` does.

mod event;
mod guided;
mod guided_run;
mod infer;
mod intervals;
mod known;
mod known_trials;
mod mission;
mod oracle;
mod parts;
pub mod proof;
mod quantiles;
mod record;
mod sample;
mod size_draws;
mod strata;
mod sum;
mod tally;
mod threads;
mod trials;
mod wager;
mod workspace;

pub use event::{DistinctEvent, Event, InputError, distinct_events, events_fingerprint};
pub use guided::{
    CAP_FACTOR, Guided, GuidedBits, GuidedCampaign, GuidedFlip, GuidedPlan, LEAST_CAP, LEAST_DRAWS, Look, MeasureRises,
    MissingShare, MissingShareError, PILOT_BITS, Reason, guided,
};
pub use guided_run::{FlipSites, FlipSizes, GuidedOrder, GuidedRun, LEAST_SIZE, run_guided};
pub use infer::{ClassCount, Decision, ErrorSummary, Inference, class_counts, correct_events, infer};
pub use intervals::{Confidence, ConfidenceError, Interval, MeanMethod, ProportionMethod};
pub use known::{FlipBatch, KnownFlips};
pub use known_trials::{BegunTrials, KnownTrials};
pub use mission::{
    BINS, BinSums, Bound, Estimate, EventSample, FaultFree, FirstWrong, Flight, FrameEvents, Judged, Mission,
    MissionInput, MissionOutcome, MissionRun, MissionSummary, Quantity, SummaryPlan, UpsetCounts,
};
pub use oracle::{CampaignError, OracleInput, OracleRun, output_values, run_oracle};
pub use parts::map_parts;
pub use record::{Observed, Observer, Recording, record};
pub use sample::{
    BATCH_TRIALS, DEFAULT_LIMIT, DEFAULT_TRIALS, Ending, Estimates, MeanEstimate, Measure, PILOT_TRIALS,
    ProportionEstimate, Sample, SampleError, SamplePlan, StratumSummary, Trial, sample,
};
pub use strata::{Allocation, Observation};
pub use sum::{ExactSum, share_of};
pub use tally::{Oracle, Shard, ShardError, SiteOutcome, Tally};
pub use threads::{ThreadError, with_threads};
pub use trials::{TrialInput, TrialOutcomes, TrialRun, addresses, run_trials};
