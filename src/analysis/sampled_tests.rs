//! Estimates against the figures of all bits, and how often their intervals cover them.

use proptest::prelude::*;

use super::*;
use crate::analysis::{RECALL_SHARES, Truth};

fn plan(protected: &[usize]) -> SampledPlan<'_> {
    let figures = QualityPlan { recalls: &RECALL_SHARES, protected };
    SampledPlan { figures, confidence: Confidence::new(0.95).unwrap(), seed: 5 }
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn a_sample_of_all_bits_is_exact(
        rises in prop::collection::vec((-4..8_i32).prop_map(f64::from), 1..60),
        seed in any::<u64>(),
    ) {
        let ranking = BitRanking::random(rises.len(), seed);
        let strata: Vec<Vec<usize>> = (0..3).map(|s| (0..rises.len()).filter(|bit| bit % 3 == s).collect()).collect();
        let sample = BitSample::draw(&strata, usize::MAX, seed).unwrap();
        prop_assert!(sample.is_complete());
        let known: Vec<f64> = sample.positions().iter().map(|position| rises[*position]).collect();
        let protected = [rises.len() / 2];
        let found = sampled_quality(&ranking, &sample, &known, &plan(&protected)).unwrap();
        let exact = Truth::new(&rises).unwrap().quality(&ranking, &plan(&protected).figures).unwrap();
        for (estimate, exact) in [
            (found.area, exact.area),
            (found.gain, exact.gain),
            (found.spearman, exact.spearman),
            (found.kendall, exact.kendall),
            (found.removed[0].estimate, exact.removals[0].share),
        ] {
            prop_assert!(close(estimate.value, exact), "{:?} {:?}", estimate, exact);
            prop_assert_eq!(estimate.interval.map(|interval| interval.low), estimate.value);
        }
        for (estimate, exact) in found.recalls.iter().zip(&exact.recalls) {
            prop_assert_eq!(estimate.bits, exact.bits);
            prop_assert!(close(estimate.estimate.value, Some(exact.recall)));
        }
    }

    #[test]
    fn samples_are_proportional(sizes in prop::collection::vec(0..40_usize, 1..6), extra in 0..100_usize, seed in any::<u64>()) {
        let mut first = 0;
        let strata: Vec<Vec<usize>> = sizes.iter().map(|size| { first += size; (first - size..first).collect() }).collect();
        let needed: usize = sizes.iter().map(|size| (*size).min(2)).sum();
        let count = (needed + extra).min(first);
        let sample = BitSample::draw(&strata, needed + extra, seed).unwrap();
        prop_assert_eq!(sample.len(), count);
        let mut positions = sample.positions();
        positions.sort_unstable();
        positions.dedup();
        prop_assert_eq!(positions.len(), count);
        for (stratum, sampled) in strata.iter().zip(&sample.strata) {
            prop_assert!(sampled.drawn.len() >= stratum.len().min(2));
            prop_assert!(sampled.drawn.iter().all(|position| stratum.contains(position)));
        }
        let weights: f64 = sample.weights().iter().sum();
        prop_assert!((weights - cast::f64_from_count(first)).abs() < 1e-9);
        let resampled: f64 = sample.resampled(&mut Draws::new(seed, 0)).iter().sum();
        prop_assert!((resampled - cast::f64_from_count(first)).abs() < 1e-6);
    }
}

/// Rises of six bit positions in which each matters a quarter of the one before, some without effect, some below 0.
fn synthetic(draws: &mut Draws, bits: usize) -> Vec<f64> {
    let rise = |bit: usize| {
        let normal: f64 = (0..12).map(|_| draws.unit()).sum::<f64>() - 6.0;
        let unit = draws.unit();
        let base = 4.0_f64.powi(-i32::try_from(bit % 6).unwrap());
        if unit < 0.15 { 0.0 } else { base * normal.exp() * if unit < 0.25 { -0.1 } else { 1.0 } }
    };
    (0..bits).map(rise).collect()
}

#[test]
fn intervals_cover_as_often_as_they_say() {
    const REPEATS: u64 = 200;
    let mut draws = Draws::new(12, 0);
    let rises = synthetic(&mut draws, 1500);
    // A score that knows something: the rise, times or over a factor of up to some seven.
    let scores: Vec<f64> =
        rises.iter().map(|rise| rise * (4.0 * draws.unit() - 2.0).exp() + 0.02 * draws.unit()).collect();
    let ranking = BitRanking::by_score("score", &scores);
    let strata: Vec<Vec<usize>> = (0..6).map(|place| (0..1500).filter(|bit| bit % 6 == place).collect()).collect();
    let protected = [150, 500];
    let figures = QualityPlan { recalls: &[0.1, 0.2], protected: &protected };
    let truth = Truth::new(&rises).unwrap();
    let exact = truth.quality(&ranking, &figures).unwrap();
    let mut outcomes = [(0_u32, 0_u32); 9];
    for seed in 0..REPEATS {
        let sample = BitSample::draw(&strata, 300, seed).unwrap();
        let known: Vec<f64> = sample.positions().iter().map(|position| rises[*position]).collect();
        let found = sampled_quality(&ranking, &sample, &known, &SampledPlan { figures, seed, ..plan(&[]) }).unwrap();
        let pairs = [
            (found.rise, Some(truth.total())),
            (found.area, exact.area),
            (found.gain, exact.gain),
            (found.spearman, exact.spearman),
            (found.kendall, exact.kendall),
        ];
        let recalls =
            found.recalls.iter().zip(&exact.recalls).map(|(found, exact)| (found.estimate, Some(exact.recall)));
        let removed = found.removed.iter().zip(&exact.removals).map(|(found, exact)| (found.estimate, exact.share));
        for (figure, (estimate, exact)) in pairs.into_iter().chain(recalls).chain(removed).enumerate() {
            // By chance a few samples know too little of the first bits for an interval of recall.
            let interval = estimate.interval;
            outcomes[figure].0 += u32::from(interval.is_some());
            outcomes[figure].1 += u32::from(interval.is_some_and(|interval| !interval.contains(exact.unwrap())));
        }
    }
    // Of 200 intervals at 95 % ten may miss; 22 or more would once in a thousand times.
    assert!(outcomes.iter().all(|(told, missed)| *told >= 180 && *missed <= 21), "{outcomes:?}");
}

#[test]
fn what_says_nothing_has_no_interval() {
    let strata = vec![(0..50).collect(), (50..100).collect()];
    let sample = BitSample::draw(&strata, 20, 1).unwrap();
    let found = sampled_quality(&BitRanking::random(100, 1), &sample, &[0.0; 20], &plan(&[10])).unwrap();
    assert_eq!((found.area.value, found.gain.value, found.kendall.value), (None, None, None));
    assert_eq!((found.rise.value, found.rise.interval), (Some(0.0), None));
    assert_eq!(found.removed[0].estimate, Estimated { value: None, interval: None });
    assert_eq!(found.recalls[3].estimate.value, Some(1.0), "any order is as good as any other");
}

#[test]
fn what_does_not_fit_is_named() {
    let strata = vec![(0..50).collect(), (50..100).collect()];
    let message = BitSample::draw(&strata, 3, 1).unwrap_err().to_string();
    assert!(message.contains("3 bits is too small: each of the 2 strata") && message.contains("4 in all"), "{message}");
    let sample = BitSample::draw(&strata, 4, 1).unwrap();
    let message = |ranking: &BitRanking, rises: &[f64], protected: &[usize]| {
        sampled_quality(ranking, &sample, rises, &plan(protected)).unwrap_err().to_string()
    };
    let ranking = BitRanking::random(100, 1);
    assert!(message(&ranking, &[0.0; 3], &[]).contains("3 error rises are given for 4 sampled bits"));
    assert!(message(&BitRanking::random(99, 1), &[0.0; 4], &[]).contains("orders 99 bits"));
    assert!(message(&ranking, &[0.0, 1.0, f64::NAN, 0.0], &[]).contains("is NaN"));
    assert!(message(&ranking, &[0.0; 4], &[101]).contains("101 protected bits"));
}
