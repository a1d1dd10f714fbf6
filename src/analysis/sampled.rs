//! How good a ranking is, where the error rise is known of a random sample of the bits only.
//!
//! The figures are those of [`RankingQuality`](super::RankingQuality), each estimated with an interval. Draws the bits
//! and reckons with what is told of them; flips nothing.

use std::collections::BTreeMap;

use super::quality::{QualityError, QualityPlan, part_of};
use super::{BitRanking, weighted::Weighted};
use crate::campaign::{Confidence, Interval};
use crate::fault::Draws;
use crate::hw::{BitId, Inventory};
use crate::num::{BitIdx, cast};

/// Resamples of the bootstrap: so many that the usual percentiles fall on one of them.
const RESAMPLES: usize = 399;

/// Fewest sampled bits among the first of a ranking for an interval of recall: resamples of fewer are too much alike.
const LEAST_FIRST: usize = 20;

/// First stream of the seed that strata use: far from those of a random ranking, which a sample must not depend on.
const SAMPLE_STREAM: u64 = 1 << 40;

/// Stream of the seed that the bootstrap uses.
const BOOTSTRAP_STREAM: u64 = u64::MAX - 3;

/// Why bits cannot be sampled, or a sample says nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampledError {
    /// Too few bits to tell anything of every stratum.
    #[error(
        "a sample of {count} bits is too small: each of the {strata} strata (layer, tensor and bit position) needs two, \
         {needed} in all"
    )]
    TooFewBits {
        /// Bits asked for.
        count: usize,
        /// Number of strata.
        strata: usize,
        /// Bits needed.
        needed: usize,
    },
    /// A sample of other bits than the rises.
    #[error("{rises} error rises are given for {sampled} sampled bits; one for each is needed")]
    OtherRises {
        /// Rises given.
        rises: usize,
        /// Bits sampled.
        sampled: usize,
    },
    /// What is wrong with ranking, rises or plan.
    #[error(transparent)]
    Quality(#[from] QualityError),
}

/// Positions of sites in strata, one for each tensor of each layer and each bit position, as sampled campaigns have them.
///
/// # Panics
/// When a site is of another design.
pub fn bit_strata(inventory: &Inventory, sites: &[BitId]) -> Vec<Vec<usize>> {
    let mut strata: BTreeMap<(usize, BitIdx), Vec<usize>> = BTreeMap::new();
    for (position, site) in sites.iter().enumerate() {
        let (register, bit) = inventory.locate_bit(*site);
        let array = inventory.arrays().partition_point(|array| array.first <= register) - 1;
        strata.entry((array, bit)).or_default().push(position);
    }
    strata.into_values().collect()
}

/// Bits drawn without replacement from strata, in proportion to their sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitSample {
    /// Bits in all strata.
    bits: usize,
    strata: Vec<SampledStratum>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SampledStratum {
    size: usize,
    /// Positions of the bits drawn.
    drawn: Vec<usize>,
}

impl BitSample {
    /// Draws `count` bits, or all there are: of each stratum in proportion to its size, but two at least, or all it has.
    /// Every stratum has one shuffle, which depends on seed and stratum alone.
    ///
    /// # Errors
    /// When `count` is less than two for each stratum.
    pub fn draw(strata: &[Vec<usize>], count: usize, seed: u64) -> Result<Self, SampledError> {
        let bits: usize = strata.iter().map(Vec::len).sum();
        let needed = strata.iter().map(|stratum| stratum.len().min(2)).sum();
        if count < needed {
            return Err(SampledError::TooFewBits { count, strata: strata.len(), needed });
        }
        let drawn = allocate(strata, count.min(bits));
        let draw = |(number, stratum): (usize, &Vec<usize>)| {
            let mut shuffled = stratum.clone();
            Draws::new(seed, SAMPLE_STREAM + cast::u64_from_len(number)).shuffle(&mut shuffled);
            shuffled.truncate(drawn[number]);
            SampledStratum { size: stratum.len(), drawn: shuffled }
        };
        Ok(Self { bits, strata: strata.iter().enumerate().map(draw).collect() })
    }

    /// Positions of the bits drawn, stratum after stratum.
    pub fn positions(&self) -> Vec<usize> {
        self.strata.iter().flat_map(|stratum| stratum.drawn.iter().copied()).collect()
    }

    /// Number of bits drawn.
    pub fn len(&self) -> usize {
        self.strata.iter().map(|stratum| stratum.drawn.len()).sum()
    }

    /// Whether no bit is drawn: there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of bits drawn from.
    pub const fn bits(&self) -> usize {
        self.bits
    }

    /// Whether all bits are drawn, so that nothing is estimated.
    pub fn is_complete(&self) -> bool {
        self.len() == self.bits
    }

    /// How many bits every bit drawn stands for.
    fn weights(&self) -> Vec<f64> {
        let of_stratum = |stratum: &SampledStratum| {
            let weight = cast::f64_from_count(stratum.size) / cast::f64_from_count(stratum.drawn.len());
            std::iter::repeat_n(weight, stratum.drawn.len())
        };
        self.strata.iter().flat_map(of_stratum).collect()
    }

    /// The weights of a resample by the rescaling bootstrap (Rao and Wu 1988, as weights by Rao, Wu and Yue 1992): of the
    /// `n` bits of a stratum `n - 1` are drawn again, and the weights differ from the true ones by the square root of the
    /// part of the stratum that was not drawn.
    fn resampled(&self, draws: &mut Draws) -> Vec<f64> {
        let mut weights = Vec::with_capacity(self.len());
        for stratum in &self.strata {
            let (size, count) = (cast::f64_from_count(stratum.size), stratum.drawn.len());
            let mut times = vec![0_u32; count];
            for _ in 1..count {
                times[draws.below(count)] += 1;
            }
            let counted = cast::f64_from_count(count);
            let moved = (1.0 - counted / size).sqrt();
            let scale = if count > 1 { counted / (counted - 1.0) } else { 1.0 };
            weights.extend(times.iter().map(|times| {
                let factor = if moved > 0.0 { 1.0 - moved + moved * scale * f64::from(*times) } else { 1.0 };
                size / counted * factor
            }));
        }
        weights
    }
}

/// How many of `count` are of which stratum: the largest remainders of exact proportions, above two of each.
fn allocate(strata: &[Vec<usize>], count: usize) -> Vec<usize> {
    let least: Vec<usize> = strata.iter().map(|stratum| stratum.len().min(2)).collect();
    let (rest, open) = (
        count - least.iter().sum::<usize>(),
        strata.iter().zip(&least).map(|(stratum, least)| stratum.len() - least).sum::<usize>(),
    );
    let share = |stratum: usize| {
        let product = u128::from(cast::u64_from_len(rest))
            * u128::from(cast::u64_from_len(strata[stratum].len() - least[stratum]));
        let open = u128::from(cast::u64_from_len(open.max(1)));
        (usize::try_from(product / open).expect("a part of a stratum"), product % open)
    };
    let mut counts: Vec<usize> = (0..strata.len()).map(|stratum| least[stratum] + share(stratum).0).collect();
    let mut by_remainder: Vec<usize> = (0..strata.len()).collect();
    by_remainder.sort_by_key(|stratum| std::cmp::Reverse(share(*stratum).1));
    let missing = count - counts.iter().sum::<usize>();
    for stratum in by_remainder.into_iter().take(missing) {
        counts[stratum] += 1;
    }
    counts
}

/// A figure estimated from a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimated {
    /// The estimate; `None` where the figure has no meaning, as in [`RankingQuality`](super::RankingQuality).
    pub value: Option<f64>,
    /// Where the figure of all bits lies; the estimate itself where all were drawn, `None` where nothing can be said.
    pub interval: Option<Interval>,
}

/// A figure at a number of bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EstimatedAt {
    /// That many bits.
    pub bits: usize,
    /// The figure.
    pub estimate: Estimated,
}

/// What a sample says of a ranking; the figures are those of [`RankingQuality`](super::RankingQuality).
#[derive(Debug, Clone, PartialEq)]
pub struct SampledQuality {
    /// Name of the ranking.
    pub ranking: String,
    /// Number of bits.
    pub bits: usize,
    /// Bits drawn.
    pub sampled: usize,
    /// Sum of all rises.
    pub rise: Estimated,
    /// Area relative to the oracle's.
    pub area: Estimated,
    /// Gain over chance relative to the oracle's.
    pub gain: Estimated,
    /// Spearman's rank correlation.
    pub spearman: Estimated,
    /// Kendall's tau-b.
    pub kendall: Estimated,
    /// Recall of the worst bits; without an interval where fewer than 20 of the first are known.
    pub recalls: Vec<EstimatedAt>,
    /// Share of the summed rise that protecting the first bits removes.
    pub removed: Vec<EstimatedAt>,
}

/// How a sample is to be reckoned with.
#[derive(Debug, Clone, Copy)]
pub struct SampledPlan<'a> {
    /// The figures asked for.
    pub figures: QualityPlan<'a>,
    /// Confidence of each interval by itself.
    pub confidence: Confidence,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// Estimates how good `ranking` is from the rises of the bits of `sample`, in the order of [`BitSample::positions`].
///
/// A bit drawn stands for as many as its stratum has for each drawn (Horvitz and Thompson 1952); its place in the ranking
/// is known, its place in the oracle's order is estimated by the weights of the bits that rise more. Intervals are
/// percentiles of the rescaling bootstrap, each by itself.
///
/// # Errors
/// When rises or ranking are of other bits, a rise is no number, or more protected bits are asked for than there are.
pub fn sampled_quality(
    ranking: &BitRanking,
    sample: &BitSample,
    rises: &[f64],
    plan: &SampledPlan<'_>,
) -> Result<SampledQuality, SampledError> {
    let positions = sample.positions();
    if rises.len() != positions.len() {
        return Err(SampledError::OtherRises { rises: rises.len(), sampled: positions.len() });
    }
    if ranking.order().len() != sample.bits {
        let (ranked, ranking) = (ranking.order().len(), ranking.name().to_owned());
        return Err(QualityError::OtherBits { ranking, ranked, rises: sample.bits }.into());
    }
    if let Some(bad) = rises.iter().position(|rise| !rise.is_finite()) {
        return Err(QualityError::Rise { position: positions[bad], rise: rises[bad] }.into());
    }
    if let Some(protected) = plan.figures.protected.iter().copied().find(|bits| *bits > sample.bits) {
        return Err(QualityError::TooManyProtected { protected, bits: sample.bits }.into());
    }
    let mut places = vec![0; sample.bits];
    for (place, position) in ranking.order().iter().enumerate() {
        places[*position] = place;
    }
    let places: Vec<usize> = positions.iter().map(|position| places[*position]).collect();
    let recalls: Vec<usize> =
        plan.figures.recalls.iter().filter(|_| sample.bits > 0).map(|share| part_of(sample.bits, *share)).collect();
    let weighted = Weighted::new(sample.bits, &places, rises);
    let figures = |weights: &[f64]| weighted.figures(weights, &recalls, plan.figures.protected);

    let values = figures(&sample.weights());
    let mut resamples: Vec<Vec<f64>> = vec![Vec::new(); values.len()];
    if !sample.is_complete() {
        let mut draws = Draws::new(plan.seed, BOOTSTRAP_STREAM);
        for _ in 0..RESAMPLES {
            for (all, value) in resamples.iter_mut().zip(figures(&sample.resampled(&mut draws))) {
                all.extend(value);
            }
        }
    }
    let mut estimates = values.into_iter().zip(resamples).map(|(value, mut resamples)| {
        let interval = value.and_then(|value| {
            if sample.is_complete() {
                return Some(Interval { low: value, high: value });
            }
            // Resamples that are all alike say nothing of the bits that were not drawn.
            let interval = Interval::of_percentiles(&mut resamples, plan.confidence);
            interval.filter(|interval| interval.low < interval.high)
        });
        Estimated { value, interval }
    });
    let mut next = || estimates.next().expect("as many figures as were asked for");
    let [rise, area, gain, spearman, kendall] = std::array::from_fn(|_| next());
    let recall = |found: EstimatedAt| {
        let first = places.iter().filter(|place| **place < found.bits).count();
        let interval = found.estimate.interval.filter(|_| sample.is_complete() || first >= LEAST_FIRST);
        EstimatedAt { estimate: Estimated { interval, ..found.estimate }, ..found }
    };
    let mut at = |bits: &usize| EstimatedAt { bits: *bits, estimate: next() };
    Ok(SampledQuality {
        ranking: ranking.name().to_owned(),
        bits: sample.bits,
        sampled: rises.len(),
        rise,
        area,
        gain,
        spearman,
        kendall,
        recalls: recalls.iter().map(|bits| recall(at(bits))).collect(),
        removed: plan.figures.protected.iter().map(&mut at).collect(),
    })
}

#[cfg(test)]
#[path = "sampled_tests.rs"]
mod tests;
