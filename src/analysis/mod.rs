//! Orders in which register bits deserve protection, and what they are derived from: derivatives of a loss, the spectrum
//! of its Hessian, how the error changes along the outputs. Scores what a bit matters; injects nothing.

mod accelerator;
mod cumulative;
mod curves;
mod derivatives;
mod head;
mod linear;
mod objective;
mod operator;
mod places;
mod quality;
mod ranking;
mod sampled;
mod scores;
mod spectrum;
mod tail;
mod trace;
mod weighted;

pub use cumulative::{cumulative_shares, telling_counts};
pub use curves::{CurveInput, curve_scores, value_changes};
pub use derivatives::{DerivativeError, DerivativeInput, Derivatives, Diagonals};
pub use head::LossError;
pub use objective::{Loss, UnknownLoss};
pub use operator::SymmetricOperator;
pub use quality::{QualityError, QualityPlan, RECALL_SHARES, RankingQuality, Recall, Removal, Truth};
pub use ranking::BitRanking;
pub use sampled::{
    BitSample, Estimated, EstimatedAt, SampledError, SampledPlan, SampledQuality, bit_strata, sampled_quality,
};
pub use scores::{Score, ScoreInput, UnknownScore};
pub use spectrum::{Copies, Eigenpairs, SpectrumError, SpectrumOptions, eigenpairs};
pub use trace::{Estimate, TraceError, TraceEstimate, hutchinson, stochastic_diagonal};
