//! Trials: the sets of bits that a fault model flips together, drawn at random or listed completely.
//!
//! What can be listed (single bits, pairs within a register) is a [`Population`] in strata, to be sampled without
//! replacement or gone through to the end. What cannot is drawn by a [`Sampler`], each trial by itself. Neither flips.

use std::collections::BTreeMap;

use super::Draws;
use super::models::{ClusterSizes, FaultModel, ModelError, Probability};
use crate::hw::{BitId, Inventory, RegisterId};
use crate::num::{BitIdx, cast};

/// The trials of a fault model on a design.
#[derive(Debug, Clone, PartialEq)]
pub enum Trials {
    /// Every possibility, each as likely as any other.
    Listed(Population),
    /// Too many to list: drawn independently of each other.
    Drawn(Sampler),
}

impl Trials {
    /// The trials that flip some of the `candidates`, whose order does not matter.
    ///
    /// # Errors
    /// When there are not enough candidates for the model.
    ///
    /// # Panics
    /// When a candidate is named twice: lists of sites are checked for that.
    pub fn new(model: &FaultModel, inventory: &Inventory, candidates: &[BitId]) -> Result<Self, ModelError> {
        let mut candidates = candidates.to_vec();
        candidates.sort_unstable();
        assert!(candidates.windows(2).all(|pair| pair[0] < pair[1]), "candidate bits are distinct");
        if candidates.is_empty() {
            return Err(ModelError::NoCandidates);
        }
        let law = match model {
            FaultModel::Bits(1) => return Ok(Self::Listed(Population::singles(inventory, &candidates))),
            FaultModel::Pairs => {
                let population = Population::pairs(inventory, &candidates);
                return if population.is_empty() { Err(ModelError::NoPairs) } else { Ok(Self::Listed(population)) };
            }
            FaultModel::Bits(count) if *count > candidates.len() => {
                return Err(ModelError::TooManyBits { bits: *count, candidates: candidates.len() });
            }
            FaultModel::Bits(count) => Law::Distinct(*count),
            FaultModel::Cluster(sizes) => Law::Cluster(sizes.clone()),
            FaultModel::BitErrorRate(probability) => Law::Each(Gaps::new(*probability)),
        };
        Ok(Self::Drawn(Sampler { candidates, law }))
    }
}

/// What the trials of a stratum have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StratumKey {
    /// Position of the registers' array in the inventory: one tensor of one layer.
    pub array: usize,
    /// The most significant bit flipped.
    pub bit: BitIdx,
}

/// Every possible trial of a fault model, in strata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// In the order of their bits.
    units: Vec<Unit>,
    /// Positions of the units of each stratum.
    strata: Vec<(StratumKey, Vec<usize>)>,
}

/// One bit, or two.
type Unit = (BitId, Option<BitId>);

impl Population {
    fn singles(inventory: &Inventory, candidates: &[BitId]) -> Self {
        Self::new(inventory, candidates.iter().map(|bit| (*bit, None)).collect())
    }

    fn pairs(inventory: &Inventory, candidates: &[BitId]) -> Self {
        let register = |bit: BitId| inventory.locate_bit(bit).0;
        let of_register = candidates.chunk_by(|a, b| register(*a) == register(*b));
        let pairs = of_register.flat_map(|bits| {
            let seconds = move |first: usize| bits[first + 1..].iter().map(move |second| (bits[first], Some(*second)));
            (0..bits.len()).flat_map(seconds)
        });
        Self::new(inventory, pairs.collect())
    }

    fn new(inventory: &Inventory, units: Vec<Unit>) -> Self {
        let array_of = |register: RegisterId| inventory.arrays().partition_point(|array| array.first <= register) - 1;
        let mut strata: BTreeMap<StratumKey, Vec<usize>> = BTreeMap::new();
        for (position, (first, _)) in units.iter().enumerate() {
            // The bits of a unit are in order, the most significant first.
            let (register, bit) = inventory.locate_bit(*first);
            strata.entry(StratumKey { array: array_of(register), bit }).or_default().push(position);
        }
        Self { units, strata: strata.into_iter().collect() }
    }

    /// Number of trials.
    pub const fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The bits of trial `position`, in the order of the registers' bits.
    ///
    /// # Panics
    /// When there are not so many trials.
    pub fn bits(&self, position: usize) -> Vec<BitId> {
        let (first, second) = self.units[position];
        std::iter::once(first).chain(second).collect()
    }

    /// Key and trials of every stratum, by array and bit.
    pub fn strata(&self) -> impl ExactSizeIterator<Item = (StratumKey, &[usize])> {
        self.strata.iter().map(|(key, units)| (*key, units.as_slice()))
    }

    /// The trials of stratum `stratum` in the random order in which they are sampled; it depends on `seed` and the
    /// stratum alone, so a larger sample begins with the smaller one.
    ///
    /// # Panics
    /// When there are not so many strata.
    pub fn shuffled(&self, stratum: usize, seed: u64) -> Vec<usize> {
        let mut units = self.strata[stratum].1.clone();
        Draws::new(seed, cast::u64_from_len(stratum)).shuffle(&mut units);
        units
    }
}

/// Draws trials that are independent of one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    /// In the order of their numbers.
    candidates: Vec<BitId>,
    law: Law,
}

#[derive(Debug, Clone, PartialEq)]
enum Law {
    Distinct(usize),
    Cluster(ClusterSizes),
    Each(Gaps),
}

impl Sampler {
    /// The bits of trial `number`, in the order of their numbers; depends on `seed` and `number` alone.
    ///
    /// The cells of a cluster are neighbors in the order of [`BitId`]: register after register in address order, each
    /// from its most significant bit. A cluster begins at a random candidate; what of it lies beyond the last register
    /// bit, or is no candidate, is not flipped.
    pub fn trial(&self, seed: u64, number: u64) -> Vec<BitId> {
        let mut draws = Draws::new(seed, number);
        let candidates = &self.candidates;
        match &self.law {
            Law::Distinct(count) => {
                distinct(&mut draws, candidates.len(), *count).into_iter().map(|place| candidates[place]).collect()
            }
            Law::Cluster(sizes) => {
                let start = draws.below(candidates.len());
                let end = candidates[start].index().saturating_add(sizes.size_at(draws.unit()));
                candidates[start..].iter().copied().take_while(|bit| bit.index() < end).collect()
            }
            Law::Each(gaps) => {
                let mut bits = Vec::new();
                let mut place = gaps.draw(&mut draws);
                while let Some(bit) = candidates.get(place) {
                    bits.push(*bit);
                    place = place.saturating_add(gaps.draw(&mut draws)).saturating_add(1);
                }
                bits
            }
        }
    }
}

/// `count` distinct places below `among`, increasing, every set of them as likely as any other (Floyd's method: Bentley
/// and Floyd 1987).
fn distinct(draws: &mut Draws, among: usize, count: usize) -> Vec<usize> {
    let mut chosen = std::collections::BTreeSet::new();
    for last in among - count..among {
        let place = draws.below(last + 1);
        if !chosen.insert(place) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

/// Lengths of runs of bits that are not flipped, where each is flipped with probability `p`: a run is `k` long or
/// longer with probability `(1 - p)^k`.
#[derive(Debug, Clone, PartialEq)]
struct Gaps {
    /// `(1 - p)^(2^j)`, by squaring: multiplication is exact to the same bit on every machine, a logarithm is not.
    powers: Vec<f64>,
}

impl Gaps {
    /// Bits are numbered with 32 bits; no run is longer.
    const POWERS: usize = 32;

    fn new(probability: Probability) -> Self {
        let squares = std::iter::successors(Some(1.0 - probability.get()), |power| Some(power * power));
        Self { powers: squares.take(Self::POWERS).collect() }
    }

    /// The largest `k` with `unit < (1 - p)^k`, for a uniform `unit`, found digit by digit.
    fn draw(&self, draws: &mut Draws) -> usize {
        let unit = draws.unit();
        let (mut gap, mut survival) = (0_usize, 1.0);
        for (digit, power) in self.powers.iter().enumerate().rev() {
            let longer = survival * power;
            if unit < longer {
                survival = longer;
                gap += 1 << digit;
            }
        }
        gap
    }
}

#[cfg(test)]
#[path = "trials_tests.rs"]
mod tests;
