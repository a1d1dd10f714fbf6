//! Orders in which register bits deserve protection, and what they are derived from. Scores what a bit matters; injects
//! nothing.

mod accelerator;
mod curves;
mod derivatives;
mod head;
mod linear;
mod objective;
mod operator;
mod ranking;

pub use curves::{CurveInput, curve_scores, value_changes};
pub use derivatives::{DerivativeError, DerivativeInput, Derivatives, Diagonals};
pub use head::LossError;
pub use objective::{Loss, UnknownLoss};
pub use operator::SymmetricOperator;
pub use ranking::BitRanking;
