//! `Tally` and `Oracle`: what is known of every site, while an oracle is at work and when it is done.
//!
//! Tallies of parts of the work add up to the tally of the whole, bit for bit. Files are `report`'s work.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use super::ExactSum;
use crate::num::cast;

/// What flipping one bit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteOutcome {
    /// Events whose accelerator output differs from the fault-free one.
    pub changed_events: u32,
    /// Sum over events of error with the flip minus error without.
    pub rise_sum: ExactSum,
}

impl SiteOutcome {
    /// The rise as a whole number of events: where the error of an event is whether it is classified wrongly, those that
    /// are right without the flip and wrong with it.
    pub fn mispredictions(&self) -> u32 {
        u32::try_from(cast::floor_i64(self.rise_sum.value())).unwrap_or(0)
    }
}

impl AddAssign for SiteOutcome {
    fn add_assign(&mut self, other: Self) {
        self.changed_events += other.changed_events;
        self.rise_sum += other.rise_sum;
    }
}

/// Sums over the tiles done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    tiles_done: u64,
    golden_sum: ExactSum,
    outcomes: Vec<SiteOutcome>,
}

impl Tally {
    /// Nothing done for `sites` sites.
    pub fn new(sites: usize) -> Self {
        Self::of_parts(0, ExactSum::default(), vec![SiteOutcome::default(); sites])
    }

    /// The tally with these sums, after the first `tiles_done` tiles of its shard.
    pub const fn of_parts(tiles_done: u64, golden_sum: ExactSum, outcomes: Vec<SiteOutcome>) -> Self {
        Self { tiles_done, golden_sum, outcomes }
    }

    /// How many tiles of the shard are done; they are the first ones.
    pub const fn tiles_done(&self) -> u64 {
        self.tiles_done
    }

    /// Sum of the fault-free errors.
    pub const fn golden_sum(&self) -> ExactSum {
        self.golden_sum
    }

    /// Effect of every site.
    pub fn outcomes(&self) -> &[SiteOutcome] {
        &self.outcomes
    }

    /// The sums of both; the tiles done are added up too.
    ///
    /// # Panics
    /// When the other is of another number of sites: whoever adds tallies compares fingerprints.
    pub fn add_tally(&mut self, other: &Self) {
        assert_eq!(self.outcomes.len(), other.outcomes.len(), "tallies of the same sites");
        self.tiles_done += other.tiles_done;
        self.golden_sum += other.golden_sum;
        for (mine, theirs) in self.outcomes.iter_mut().zip(&other.outcomes) {
            *mine += *theirs;
        }
    }

    pub(super) fn add_golden(&mut self, sum: ExactSum) {
        self.golden_sum += sum;
    }

    pub(super) fn add(&mut self, site: usize, outcome: SiteOutcome) {
        self.outcomes[site] += outcome;
    }

    /// Forgets what was added.
    pub(super) fn clear(&mut self) {
        self.tiles_done = 0;
        self.golden_sum = ExactSum::default();
        self.outcomes.fill(SiteOutcome::default());
    }

    pub(super) fn set_tiles_done(&mut self, tiles: u64) {
        self.tiles_done = tiles;
    }
}

/// Which part of the tiles a run does: every `count`-th, from number `index` on. Written `i/n`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// No such shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no shard; write i/n with i from 1 to n, such as 2/4")]
pub struct ShardError {
    /// As written.
    text: String,
}

impl Shard {
    /// All the work.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// From 1 to [`Shard::count`].
    pub const fn number(self) -> u32 {
        self.index + 1
    }

    /// How many shards the work is cut into.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// How many of `tiles` are this shard's.
    pub(super) fn share_of(self, tiles: u64) -> u64 {
        tiles.saturating_sub(u64::from(self.index)).div_ceil(u64::from(self.count))
    }

    /// Number, among all tiles, of tile `tile` of this shard.
    pub(super) fn tile(self, tile: u64) -> u64 {
        u64::from(self.index) + tile * u64::from(self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number(), self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parsed = text.split_once('/').and_then(|(number, count)| {
            let (number, count): (u32, u32) = (number.parse().ok()?, count.parse().ok()?);
            (1..=count).contains(&number).then(|| Self { index: number - 1, count })
        });
        parsed.ok_or_else(|| ShardError { text: text.to_owned() })
    }
}

/// Outcome of every site, in their order, and of no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oracle {
    events: usize,
    tally: Tally,
}

impl Oracle {
    /// The oracle over `events` events, all tiles done.
    pub const fn new(events: usize, tally: Tally) -> Self {
        Self { events, tally }
    }

    /// Number of events.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Effect of every site.
    pub fn outcomes(&self) -> &[SiteOutcome] {
        self.tally.outcomes()
    }

    /// Mean error without a fault.
    pub fn golden_mean(&self) -> f64 {
        self.mean(self.tally.golden_sum())
    }

    /// Mean error with site `position` flipped, minus mean error without: what the bit costs.
    pub fn error_rise(&self, position: usize) -> f64 {
        self.mean(self.outcomes()[position].rise_sum)
    }

    /// The error rise of every site.
    pub fn error_rises(&self) -> Vec<f64> {
        (0..self.outcomes().len()).map(|position| self.error_rise(position)).collect()
    }

    /// Mean error with site `position` flipped.
    pub fn mean_error(&self, position: usize) -> f64 {
        self.mean(self.tally.golden_sum() + self.outcomes()[position].rise_sum)
    }

    fn mean(&self, sum: ExactSum) -> f64 {
        sum.value() / cast::f64_from_count(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_all_tiles() {
        for count in 1..5_u32 {
            for tiles in 0..12_u64 {
                let mut seen = Vec::new();
                for number in 1..=count {
                    let shard: Shard = format!("{number}/{count}").parse().unwrap();
                    assert_eq!(shard.to_string(), format!("{number}/{count}"));
                    seen.extend((0..shard.share_of(tiles)).map(|tile| shard.tile(tile)));
                }
                seen.sort_unstable();
                assert_eq!(seen, (0..tiles).collect::<Vec<_>>());
            }
        }
        for text in ["0/2", "3/2", "1", "1/0", "a/2", "", "1/2/3", "-1/2"] {
            assert!(text.parse::<Shard>().unwrap_err().to_string().contains(&format!("`{text}`")));
        }
    }
}
