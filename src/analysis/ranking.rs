//! `BitRanking`: candidate bits in the order in which they deserve protection.

use crate::fault::Draws;

/// Positions of candidate bits (in the list of sites they were made for), the most deserving first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitRanking {
    name: String,
    order: Vec<usize>,
}

impl BitRanking {
    /// Highest score first; equal scores keep the order of the sites. A NaN ranks last.
    pub fn by_score(name: &str, scores: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // -0.0 and 0.0 are the same score.
        let key =
            |position: &usize| if scores[*position].is_nan() { f64::NEG_INFINITY } else { scores[*position] + 0.0 };
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        Self { name: name.to_owned(), order }
    }

    /// A random order; the same seed always gives the same one.
    pub fn random(count: usize, seed: u64) -> Self {
        let mut draws = Draws::new(seed, 0);
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, draws.below(last + 1));
        }
        Self { name: "random".to_owned(), order }
    }

    /// Name of the ranking, as in result files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Positions of the candidates, best first; a permutation of `0..len`.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_rank_high_to_low_and_ties_keep_their_order() {
        let ranking = BitRanking::by_score("x", &[1.0, f64::NAN, 2.0, -0.0, 1.0, 0.0, -3.0]);
        assert_eq!(ranking.order(), [2, 0, 4, 3, 5, 6, 1]);
    }

    #[test]
    fn a_seed_is_a_permutation_for_ever() {
        let ranking = BitRanking::random(10, 1);
        let mut sorted = ranking.order().to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        assert_eq!(ranking, BitRanking::random(10, 1));
        assert_ne!(ranking, BitRanking::random(10, 2));
        assert_eq!(ranking.order(), [2, 7, 8, 5, 3, 6, 1, 9, 0, 4]);
    }
}
