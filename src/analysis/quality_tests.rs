//! Quality of a ranking against its definitions, and its laws.

use proptest::prelude::*;

use super::*;

const PLAN: QualityPlan<'_> = QualityPlan { recalls: &RECALL_SHARES, protected: &[] };

/// A ranking with this order.
fn ranking(order: &[usize]) -> BitRanking {
    let mut scores = vec![0.0; order.len()];
    for (place, position) in order.iter().enumerate() {
        scores[*position] = -cast::f64_from_count(place);
    }
    BitRanking::by_score("given", &scores)
}

fn reversed(order: &[usize]) -> BitRanking {
    ranking(&order.iter().rev().copied().collect::<Vec<_>>())
}

/// Small whole numbers, so that many rises are alike and sums are exact.
fn rises() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-4..8_i32).prop_map(f64::from), 1..60)
}

fn naive_kendall(rises: &[f64], order: &[usize]) -> f64 {
    let (mut difference, mut all, mut unlike) = (0.0, 0.0_f64, 0.0_f64);
    for second in 0..order.len() {
        for first in 0..second {
            let (a, b) = (rises[order[first]], rises[order[second]]);
            difference += f64::from(a > b) - f64::from(a < b);
            all += 1.0;
            unlike += f64::from(a != b);
        }
    }
    difference / (all.sqrt() * unlike.sqrt())
}

fn naive_spearman(rises: &[f64], order: &[usize]) -> f64 {
    let ranks: Vec<(f64, f64)> = order
        .iter()
        .enumerate()
        .map(|(place, position)| {
            let count = |test: &dyn Fn(f64) -> bool| cast::f64_from_count(rises.iter().filter(|r| test(**r)).count());
            let rise = rises[*position];
            (-cast::f64_from_count(place), count(&|other| other < rise) + count(&|other| other == rise) / 2.0)
        })
        .collect();
    let count = cast::f64_from_count(order.len());
    let mean = ranks.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / count, sum.1 + pair.1 / count));
    let moment = |f: &dyn Fn(f64, f64) -> f64| ranks.iter().map(|(a, b)| f(a - mean.0, b - mean.1)).sum::<f64>();
    moment(&|a, b| a * b) / (moment(&|a, _| a * a) * moment(&|_, b| b * b)).sqrt()
}

proptest! {
    #[test]
    fn the_oracle_has_the_best_of_everything(rises in rises()) {
        let truth = Truth::new(&rises).unwrap();
        let protected = [rises.len() / 2];
        let quality = truth
            .quality(&BitRanking::by_score("oracle", &rises), &QualityPlan { protected: &protected, ..PLAN })
            .unwrap();
        let is_mixed = rises.iter().any(|rise| *rise != rises[0]);
        prop_assert_eq!(quality.gain, is_mixed.then_some(1.0));
        prop_assert!(quality.area.is_none_or(|area| area == 1.0));
        prop_assert!(quality.recalls.iter().all(|recall| recall.recall == 1.0));
        prop_assert!(quality.removals[0].of_oracle.is_none_or(|share| share == 1.0));
        // Ranks that are shared cannot be met by an order without ties.
        let distinct = (1..rises.len()).all(|second| !rises[..second].contains(&rises[second]));
        if distinct && is_mixed {
            prop_assert_eq!((quality.spearman, quality.kendall), (Some(1.0), Some(1.0)));
        }
    }

    #[test]
    fn reversal_negates(rises in rises(), seed in any::<u64>()) {
        let truth = Truth::new(&rises).unwrap();
        let forth = BitRanking::random(rises.len(), seed);
        let back = reversed(forth.order());
        let (forth, back) = (truth.quality(&forth, &PLAN).unwrap(), truth.quality(&back, &PLAN).unwrap());
        let negated = |value: Option<f64>| value.map(|value| -value);
        prop_assert_eq!(forth.spearman, negated(back.spearman));
        prop_assert_eq!(forth.kendall, negated(back.kendall));
        match (forth.gain, back.gain) {
            (Some(forth), Some(back)) => prop_assert!((forth + back).abs() < 1e-9),
            gains => prop_assert_eq!(gains, (None, None)),
        }
        let worst = truth.quality(&reversed(truth.oracle()), &PLAN).unwrap();
        prop_assert!(worst.gain.is_none_or(|gain| (gain + 1.0).abs() < 1e-12));
    }

    #[test]
    fn figures_are_what_their_definitions_say(rises in rises(), seed in any::<u64>()) {
        let truth = Truth::new(&rises).unwrap();
        let ranking = BitRanking::random(rises.len(), seed);
        let order = ranking.order();
        let all: Vec<usize> = (0..=rises.len()).collect();
        let quality = truth.quality(&ranking, &QualityPlan { recalls: &[0.3, 1.0], protected: &all }).unwrap();
        if let (Some(spearman), Some(kendall)) = (quality.spearman, quality.kendall) {
            prop_assert!((spearman - naive_spearman(&rises, order)).abs() < 1e-12);
            prop_assert!((kendall - naive_kendall(&rises, order)).abs() < 1e-12);
        }
        let cumulative = |order: &[usize]| -> Vec<f64> {
            (0..=order.len()).map(|bits| order[..bits].iter().map(|position| rises[*position]).sum()).collect()
        };
        let (found, best) = (cumulative(order), cumulative(truth.oracle()));
        let mean = |curve: &[f64]| curve[1..].iter().sum::<f64>() / cast::f64_from_count(rises.len());
        prop_assert!((quality.mean_cumulative - mean(&found)).abs() < 1e-9);
        if mean(&best) > 0.0 {
            prop_assert!((quality.area.unwrap() - mean(&found) / mean(&best)).abs() < 1e-12);
        } else {
            prop_assert_eq!(quality.area, None);
        }
        let total = found[rises.len()];
        for removal in &quality.removals {
            prop_assert_eq!(removal.rise, found[removal.bits]);
            prop_assert_eq!(removal.share, (total > 0.0).then(|| removal.rise / total));
            prop_assert!(removal.rise <= best[removal.bits]);
        }
        prop_assert_eq!(quality.recalls[1].recall, 1.0);
        // Every choice among bits that rise alike makes an oracle; the ranking is measured by the one nearest to it.
        let top = quality.recalls[0].bits;
        let mut nearest = order.to_vec();
        let place: Vec<usize> = (0..rises.len()).map(|bit| order.iter().position(|p| *p == bit).unwrap()).collect();
        nearest.sort_by(|a, b| rises[*b].total_cmp(&rises[*a]).then(place[*a].cmp(&place[*b])));
        let hits = nearest[..top].iter().filter(|bit| order[..top].contains(bit)).count();
        prop_assert_eq!(quality.recalls[0].recall, cast::f64_from_count(hits) / cast::f64_from_count(top));
    }
}

#[test]
fn chance_gains_nothing_on_average() {
    // Over all orders of four bits, exactly.
    let rises = [3.0, 1.0, -0.5, 0.0];
    let truth = Truth::new(&rises).unwrap();
    let mut gains = Vec::new();
    let mut areas = Vec::new();
    for code in 0..256_usize {
        let order = [code % 4, code / 4 % 4, code / 16 % 4, code / 64];
        if (0..4).all(|bit| order.contains(&bit)) {
            let quality = truth.quality(&ranking(&order), &PLAN).unwrap();
            gains.push(quality.gain.unwrap());
            areas.push(quality.area.unwrap());
        }
    }
    assert_eq!(gains.len(), 24);
    assert!(gains.iter().sum::<f64>().abs() < 1e-12);
    // C(k) is k / 4 of 3.5 on average; the oracle has 3, 4, 4 and 3.5.
    let mean = areas.iter().sum::<f64>() / 24.0;
    assert!((mean - (3.5 * 2.5 / 4.0) / (14.5 / 4.0)).abs() < 1e-12, "{mean}");
}

#[test]
fn rises_that_say_nothing_give_no_figures() {
    for rises in [vec![], vec![0.0; 5], vec![-2.0; 5], vec![0.0, -0.0]] {
        let truth = Truth::new(&rises).unwrap();
        let quality = truth.quality(&BitRanking::random(rises.len(), 1), &PLAN).unwrap();
        assert_eq!((quality.area, quality.gain, quality.spearman, quality.kendall), (None, None, None, None));
        assert!(quality.recalls.iter().all(|recall| recall.recall == 1.0), "any order is as good as any other");
    }
    let losses = [-1.0, -3.0];
    let truth = Truth::new(&losses).unwrap();
    let plan = QualityPlan { recalls: &[], protected: &[0, 1, 2] };
    let quality = truth.quality(&BitRanking::by_score("oracle", &losses), &plan).unwrap();
    assert_eq!((quality.area, quality.gain, quality.spearman), (None, Some(1.0), Some(1.0)));
    assert!(quality.removals.iter().all(|removal| removal.share.is_none() && removal.of_oracle.is_none()));
}

#[test]
fn what_does_not_fit_is_named() {
    let truth = Truth::new(&[1.0, 2.0]).unwrap();
    let message = truth.quality(&BitRanking::random(3, 1), &PLAN).unwrap_err().to_string();
    assert!(message.contains("ranking `random` orders 3 bits, but the error rises of 2"), "{message}");
    let plan = QualityPlan { recalls: &[], protected: &[3] };
    let message = truth.quality(&BitRanking::random(2, 1), &plan).unwrap_err().to_string();
    assert!(message.contains("3 protected bits are asked for, but there are 2"), "{message}");
    for bad in [f64::NAN, f64::INFINITY, -1e19] {
        let message = Truth::new(&[0.0, bad]).unwrap_err().to_string();
        assert!(message.contains("error rise of bit 1"), "{message}");
    }
}

#[test]
fn large_rankings_are_exact_too() {
    // 459,520 bits whose rises are all different: every pair counts, and the sums of products go beyond 64 bits.
    let count = 459_520;
    let rises: Vec<f64> = (0..count).map(|bit: u32| f64::from(bit) - 1000.0).collect();
    let truth = Truth::new(&rises).unwrap();
    let oracle = truth.quality(&BitRanking::by_score("oracle", &rises), &PLAN).unwrap();
    assert_eq!((oracle.area, oracle.spearman, oracle.kendall), (Some(1.0), Some(1.0), Some(1.0)));
    let chance = truth.quality(&BitRanking::random(rises.len(), 3), &PLAN).unwrap();
    // Standard deviations 1 / sqrt(N) and 2 / (3 sqrt(N)): 0.0015 and 0.001.
    assert!(chance.spearman.unwrap().abs() < 0.007 && chance.kendall.unwrap().abs() < 0.005, "{chance:?}");
    assert!((chance.recalls[3].recall - 0.2).abs() < 0.01);
}
