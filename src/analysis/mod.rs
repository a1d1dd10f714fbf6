//! Orders in which register bits deserve protection. Scores what a bit matters; injects nothing.

mod quality;
mod ranking;
mod sampled;
mod weighted;

pub use quality::{CurvePoint, QualityError, QualityPlan, RECALL_SHARES, RankingQuality, Recall, Removal, Truth};
pub use ranking::BitRanking;
pub use sampled::{
    BitSample, Estimated, EstimatedAt, SampledError, SampledPlan, SampledQuality, bit_strata, sampled_quality,
};
