//! Cumulative curves: how much of the summed error rise the first bits of a ranking have.

use super::BitRanking;
use crate::campaign::ExactSum;
use crate::num::cast;

/// Numbers of bits from 0 to `bits`, at most `most` of them (but at least 3), at which a curve is worth telling: half of
/// them in even steps, half in even ratios, so that the beginning is told bit by bit.
pub fn telling_counts(bits: usize, most: usize) -> Vec<usize> {
    let half = (most.max(4) - 2) / 2;
    if bits < 2 * half {
        return (0..=bits).collect();
    }
    let (all, steps) = (cast::f64_from_count(bits), cast::f64_from_count(half));
    let whole = |value: f64| usize::try_from(cast::floor_i64(value + 0.5)).unwrap_or(0).min(bits);
    let even = (0..=half).map(|step| whole(all * cast::f64_from_count(step) / steps));
    // By repeated products, as powers of the library of the system may differ in their last place.
    let ratio = nth_root(all, half);
    let mut value = 1.0;
    let ratios = (0..half).map(|_| {
        let count = whole(value);
        value *= ratio;
        count
    });
    let mut counts: Vec<usize> = even.chain(ratios).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// The largest number of 40 binary digits after the point whose `n`th power, by products, is at most `value`.
fn nth_root(value: f64, n: usize) -> f64 {
    let power = |base: f64| (0..n).fold(1.0, |product, _| product * base);
    let (mut low, mut high) = (1.0, value);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if power(middle) <= value {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The share of the summed rise that the first bits of `ranking` have, at these ascending numbers of bits; `None` where
/// the sum is not above 0, so that shares say nothing.
///
/// Sums are exact, so a share depends on which bits come first, not on their order.
///
/// # Panics
/// When the ranking is of other bits, a count is beyond them, or a rise cannot be added up.
pub fn cumulative_shares(rises: &[f64], ranking: &BitRanking, counts: &[usize]) -> Option<Vec<f64>> {
    assert_eq!(ranking.order().len(), rises.len(), "a ranking orders the bits whose rises are known");
    let exact = |position: &usize| ExactSum::of(rises[*position]).expect("an oracle's rises can be added up");
    let total = ranking.order().iter().map(exact).sum::<ExactSum>().value();
    if total <= 0.0 {
        return None;
    }
    let (mut sum, mut done) = (ExactSum::default(), 0);
    let share = |count: &usize| {
        sum += ranking.order()[done..*count].iter().map(exact).sum::<ExactSum>();
        done = *count;
        sum.value() / total
    };
    Some(counts.iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_dense_at_the_beginning_and_end_with_all() {
        assert_eq!(telling_counts(5, 200), [0, 1, 2, 3, 4, 5]);
        assert_eq!(telling_counts(0, 200), [0]);
        for bits in [198, 1000, 61_344, 459_520, 16_777_216] {
            let counts = telling_counts(bits, 200);
            assert!(counts.len() <= 200 && counts.len() > 100, "{bits}: {}", counts.len());
            assert_eq!((counts[0], counts[1], counts[counts.len() - 1]), (0, 1, bits));
            assert!(counts.is_sorted_by(|a, b| a < b));
        }
        let counts = telling_counts(61_344, 200);
        assert!(counts[..15].windows(2).all(|pair| pair[1] - pair[0] <= 2), "{counts:?}");
    }

    #[test]
    fn shares_are_those_of_plain_sums() {
        let rises = [1.0, 4.0, -1.0, 0.0];
        let shares = |ranking: &BitRanking| cumulative_shares(&rises, ranking, &[0, 1, 2, 3, 4]);
        assert_eq!(shares(&BitRanking::by_score("oracle", &rises)), Some(vec![0.0, 1.0, 1.25, 1.25, 1.0]));
        assert_eq!(shares(&BitRanking::by_score("sites", &[0.0; 4])), Some(vec![0.0, 0.25, 1.25, 1.0, 1.0]));
        let counts = cumulative_shares(&rises, &BitRanking::by_score("sites", &[0.0; 4]), &[0, 2, 4]);
        assert_eq!(counts, Some(vec![0.0, 1.25, 1.0]), "what is left out changes nothing");
        assert_eq!(cumulative_shares(&[-1.0, 1.0], &BitRanking::random(2, 1), &[0, 2]), None);
    }

    #[test]
    fn a_root_is_one() {
        for (value, n) in [(1024.0, 10), (61_344.0, 99), (2.0, 1), (459_520.0, 99)] {
            let root = nth_root(value, n);
            let power = (0..n).fold(1.0, |product, _| product * root);
            assert!(power <= value && power > value * (1.0 - 1e-9), "{value} {n}: {root}");
        }
    }
}
