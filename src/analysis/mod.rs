//! Orders in which register bits deserve protection. Scores what a bit matters; injects nothing.

mod ranking;

pub use ranking::BitRanking;
