//! Orders in which register bits deserve protection. Scores what a bit matters; injects nothing.

mod quality;
mod ranking;

pub use quality::{CurvePoint, QualityError, QualityPlan, RECALL_SHARES, RankingQuality, Recall, Removal, Truth};
pub use ranking::BitRanking;
