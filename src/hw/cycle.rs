//! `Cycle`: a moment, counted in clock cycles.

/// Number of a clock cycle, from 0. At 40 MHz 64 bits last for 14,600 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cycle(pub u64);
