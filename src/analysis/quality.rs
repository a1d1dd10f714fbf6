//! How good a ranking is, where the true error rise of every bit is known.
//!
//! Compares orders; makes none and flips nothing. Sums are exact, so the figures depend on rises and order alone.

use super::BitRanking;
use crate::campaign::ExactSum;
use crate::num::cast;

/// Parts of the bits for which recall is told unless others are asked for.
pub const RECALL_SHARES: [f64; 4] = [0.01, 0.05, 0.1, 0.2];

/// Rises must be smaller than 2^60 in magnitude, so that their sums can be added up once more.
const LARGEST_EXPONENT: f64 = 60.0;

/// Why the quality of a ranking cannot be told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QualityError {
    /// A ranking of other bits.
    #[error(
        "ranking `{ranking}` orders {ranked} bits, but the error rises of {rises} are known; both must be of the same sites"
    )]
    OtherBits {
        /// Name of the ranking.
        ranking: String,
        /// Bits it orders.
        ranked: usize,
        /// Rises given.
        rises: usize,
    },
    /// A rise that cannot be added up.
    #[error("error rise of bit {position} (counted from 0) is {rise}; rises must be numbers below 2^60")]
    Rise {
        /// Position of the bit.
        position: usize,
        /// Its rise.
        rise: f64,
    },
    /// More bits than can be counted.
    #[error("{bits} bits are too many; fewer than 2^32 can be ranked")]
    TooManyBits {
        /// Number of bits.
        bits: usize,
    },
    /// More protected bits than there are.
    #[error("{protected} protected bits are asked for, but there are {bits}")]
    TooManyProtected {
        /// Bits asked for.
        protected: usize,
        /// Bits there are.
        bits: usize,
    },
}

/// What is asked about a ranking besides its area and its correlations.
#[derive(Debug, Clone, Copy)]
pub struct QualityPlan<'a> {
    /// Parts of the bits for which recall is told, above 0 and up to 1.
    pub recalls: &'a [f64],
    /// Numbers of protected bits for which the share of the summed rise that is gone is told.
    pub protected: &'a [usize],
}

/// Recall of the worst bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recall {
    /// Part of all bits looked at.
    pub share: f64,
    /// That many bits.
    pub bits: usize,
    /// Share of the oracle's first `bits` that are among the ranking's first.
    ///
    /// Where bits that rise alike stand on both sides of the oracle's cut, any choice among them is as good as the
    /// oracle's: as many of them count as the oracle takes, whichever they are.
    pub recall: f64,
}

/// What protecting the first bits of a ranking gains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Removal {
    /// Bits protected.
    pub bits: usize,
    /// Sum of their rises.
    pub rise: f64,
    /// The same as a share of the summed rise of all bits, as in a sweep: above 1 where the others lower the error.
    /// `None` where that is not above 0.
    pub share: Option<f64>,
    /// The same as a share of what the oracle gains with as many bits; `None` where that is not above 0.
    pub of_oracle: Option<f64>,
}

/// How near a ranking comes to the oracle's.
///
/// Of `N` bits let `C(k)` be the sum of the rises of the first `k` in the order of the ranking, for `k` from 1 to `N`
/// (the curve of Fig. 3 of the FKeras paper), and `A` its mean over all `k`.
#[derive(Debug, Clone, PartialEq)]
pub struct RankingQuality {
    /// Name of the ranking.
    pub ranking: String,
    /// Number of bits.
    pub bits: usize,
    /// `A`, in units of the error.
    pub mean_cumulative: f64,
    /// `A` divided by the oracle's: 1 for the oracle, and for no other order more. `None` where the oracle's is not
    /// above 0, so that a share would say nothing: where no bit raises the error, or those that lower it prevail.
    pub area: Option<f64>,
    /// `(A - R) / (oracle's A - R)` with `R` the mean of `A` over all orders: 1 for the oracle, 0 for chance, -1 for the
    /// oracle's order reversed, whatever the signs of the rises. `None` where all rises are alike.
    pub gain: Option<f64>,
    /// Spearman's rank correlation between place and rise, 1 for the oracle's order; bits that rise alike share the mean
    /// of their ranks. `None` where all do.
    pub spearman: Option<f64>,
    /// Kendall's tau-b between place and rise. `None` where all rises are alike.
    pub kendall: Option<f64>,
    /// Recall of the worst bits.
    pub recalls: Vec<Recall>,
    /// What protecting the first bits gains.
    pub removals: Vec<Removal>,
}

/// The error rise of every bit, and the oracle's order of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth<'a> {
    rises: &'a [f64],
    /// Positions, the largest rise first; equal ones in the order of the sites.
    oracle: Vec<usize>,
    /// Of every position: how many different rises are smaller.
    class: Vec<u32>,
    /// Of every class: where it begins in the oracle's order, and how many bits it has.
    classes: Vec<(usize, usize)>,
    total: ExactSum,
    oracle_area: f64,
}

impl<'a> Truth<'a> {
    /// Of these rises, one for each site.
    ///
    /// # Errors
    /// When a rise cannot be added up.
    pub fn new(rises: &'a [f64]) -> Result<Self, QualityError> {
        if u32::try_from(rises.len()).is_err() {
            return Err(QualityError::TooManyBits { bits: rises.len() });
        }
        let unusable = |rise: &f64| rise.is_nan() || rise.abs() >= LARGEST_EXPONENT.exp2();
        if let Some(position) = rises.iter().position(unusable) {
            return Err(QualityError::Rise { position, rise: rises[position] });
        }
        let oracle = BitRanking::by_score("oracle", rises).order().to_vec();
        let mut class = vec![0; rises.len()];
        let mut classes = Vec::new();
        let runs = oracle.chunk_by(|a, b| rises[*a] == rises[*b]);
        let count = runs.clone().count();
        let mut begin = 0;
        for (number, run) in runs.enumerate() {
            for position in run {
                class[*position] = cast::id(count - 1 - number);
            }
            classes.push((begin, run.len()));
            begin += run.len();
        }
        classes.reverse();
        let total = rises.iter().map(|rise| exact(*rise)).sum();
        let oracle_area = mean_cumulative(rises, &oracle);
        Ok(Self { rises, oracle, class, classes, total, oracle_area })
    }

    /// Positions of the bits, the largest rise first.
    pub fn oracle(&self) -> &[usize] {
        &self.oracle
    }

    /// Sum of all rises.
    pub fn total(&self) -> f64 {
        self.total.value()
    }

    /// How good `ranking` is.
    ///
    /// # Errors
    /// When it is of other bits, or more protected bits are asked for than there are.
    pub fn quality(&self, ranking: &BitRanking, plan: &QualityPlan<'_>) -> Result<RankingQuality, QualityError> {
        let order = self.checked(ranking)?;
        let bits = order.len();
        let area = mean_cumulative(self.rises, order);
        // The mean over all orders of C(k) is k / N of the total.
        let chance = self.total() * cast::f64_from_count(bits + 1) / (2.0 * cast::f64_from_count(bits));
        let is_mixed = self.classes.len() > 1;
        Ok(RankingQuality {
            ranking: ranking.name().to_owned(),
            bits,
            mean_cumulative: area,
            area: (self.oracle_area > 0.0).then(|| area / self.oracle_area),
            gain: is_mixed.then(|| (area - chance) / (self.oracle_area - chance)),
            spearman: is_mixed.then(|| self.spearman(order)),
            kendall: is_mixed.then(|| self.kendall(order)),
            recalls: plan.recalls.iter().filter(|_| bits > 0).map(|share| self.recall(order, *share)).collect(),
            removals: self.removals(order, plan.protected)?,
        })
    }

    fn checked<'r>(&self, ranking: &'r BitRanking) -> Result<&'r [usize], QualityError> {
        let (order, rises) = (ranking.order(), self.rises.len());
        if order.len() == rises {
            Ok(order)
        } else {
            Err(QualityError::OtherBits { ranking: ranking.name().to_owned(), ranked: order.len(), rises })
        }
    }

    /// Pearson's correlation of ranks, by exact integers: ranks and their means are halves.
    fn spearman(&self, order: &[usize]) -> f64 {
        let bits = cast::i64_from_len(order.len());
        let (mut product, mut square_of_places, mut square_of_rises) = (0_i128, 0_i128, 0_i128);
        for (place, position) in order.iter().enumerate() {
            // Twice the rank minus its mean, from the least.
            let of_place = bits - 1 - 2 * cast::i64_from_len(place);
            let (begin, len) = self.classes[cast::index(self.class[*position])];
            let of_rise = bits - 2 * cast::i64_from_len(begin) - cast::i64_from_len(len);
            let (of_place, of_rise) = (i128::from(of_place), i128::from(of_rise));
            product += of_place * of_rise;
            square_of_places += of_place * of_place;
            square_of_rises += of_rise * of_rise;
        }
        correlation(product, square_of_places, square_of_rises)
    }

    /// Tau-b: pairs in the oracle's order less pairs in the other, over the geometric mean of the pairs that differ in
    /// place (all) and in rise (Kendall 1945). Pairs are counted while sorting by merging (Knight 1966).
    fn kendall(&self, order: &[usize]) -> f64 {
        let pairs = |count: usize| {
            let count = i128::from(cast::i64_from_len(count));
            count * (count - 1) / 2
        };
        let all = pairs(order.len());
        let unlike = all - self.classes.iter().map(|(_, len)| pairs(*len)).sum::<i128>();
        let classes: Vec<u32> = order.iter().map(|position| self.class[*position]).collect();
        let discordant = i128::from(rising_pairs(classes));
        correlation(unlike - 2 * discordant, all, unlike)
    }

    fn recall(&self, order: &[usize], share: f64) -> Recall {
        let bits = part_of(order.len(), share);
        // The class at the oracle's cut, and how many of it the oracle takes.
        let cut = self.class[self.oracle[bits - 1]];
        let taken = bits - self.classes[cast::index(cut)].0;
        let above = order[..bits].iter().filter(|position| self.class[**position] > cut).count();
        let at_cut = order[..bits].iter().filter(|position| self.class[**position] == cut).count();
        let recall = cast::f64_from_count(above + at_cut.min(taken)) / cast::f64_from_count(bits);
        Recall { share, bits, recall }
    }

    fn removals(&self, order: &[usize], protected: &[usize]) -> Result<Vec<Removal>, QualityError> {
        let sum = |order: &[usize]| order.iter().map(|position| exact(self.rises[*position])).sum::<ExactSum>().value();
        let removal = |bits: &usize| {
            let bits = *bits;
            let too_many = QualityError::TooManyProtected { protected: bits, bits: order.len() };
            let first = order.get(..bits).ok_or(too_many)?;
            let (rise, oracle) = (sum(first), sum(&self.oracle[..bits]));
            let part = |all: f64| (all > 0.0).then(|| rise / all);
            Ok(Removal { bits, rise, share: part(self.total()), of_oracle: part(oracle) })
        };
        protected.iter().map(removal).collect()
    }
}

/// The number of bits that are `share` of all, at least one.
pub(super) fn part_of(bits: usize, share: f64) -> usize {
    let rounded = cast::floor_i64(share * cast::f64_from_count(bits) + 0.5);
    usize::try_from(rounded).unwrap_or(0).clamp(1, bits)
}

/// Mean of the cumulative sums after 1, 2, ... and all bits: a bit at place `p` from 0 is in `N - p` of them.
fn mean_cumulative(rises: &[f64], order: &[usize]) -> f64 {
    let bits = order.len();
    let terms = order.iter().enumerate().map(|(place, position)| exact(rises[*position]).times(cast::id(bits - place)));
    terms.sum::<ExactSum>().value() / cast::f64_from_count(bits)
}

fn correlation(product: i128, square_a: i128, square_b: i128) -> f64 {
    // Exactly 1 and -1 where the squares are alike, which a product of square roots would not give.
    if square_a == square_b {
        return cast::f64_from_i128(product) / cast::f64_from_i128(square_a);
    }
    cast::f64_from_i128(product) / (cast::f64_from_i128(square_a).sqrt() * cast::f64_from_i128(square_b).sqrt())
}

/// Pairs of which the second is larger.
fn rising_pairs(mut values: Vec<u32>) -> i64 {
    let mut merged = vec![0; values.len()];
    let mut pairs = 0;
    let mut width = 1;
    while width < values.len() {
        for (runs, merged) in values.chunks(2 * width).zip(merged.chunks_mut(2 * width)) {
            let (first, second) = runs.split_at(width.min(runs.len()));
            // Both fall; whatever of the first is not yet merged is not larger than what was.
            let (mut a, mut b) = (0, 0);
            for place in merged {
                if b == second.len() || (a < first.len() && first[a] >= second[b]) {
                    *place = first[a];
                    a += 1;
                } else {
                    *place = second[b];
                    pairs += cast::i64_from_len(first.len() - a);
                    b += 1;
                }
            }
        }
        std::mem::swap(&mut values, &mut merged);
        width *= 2;
    }
    pairs
}

fn exact(rise: f64) -> ExactSum {
    ExactSum::of(rise).expect("rises are checked to be numbers below 2^60")
}

#[cfg(test)]
#[path = "quality_tests.rs"]
mod tests;
