//! Orders in which register bits deserve protection, and the spectrum of the operators that scores are made of. Scores
//! what a bit matters; injects nothing.

mod operator;
mod ranking;
mod spectrum;
mod trace;

pub use operator::SymmetricOperator;
pub use ranking::BitRanking;
pub use spectrum::{Copies, Eigenpairs, SpectrumError, SpectrumOptions, eigenpairs};
pub use trace::{Estimate, TraceError, TraceEstimate, hutchinson, stochastic_diagonal};
