//! Orders in which register bits deserve protection. Scores what a bit matters; injects nothing.

mod operator;
mod ranking;

pub use operator::SymmetricOperator;
pub use ranking::BitRanking;
