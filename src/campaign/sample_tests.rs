//! Sampling: laws, and how often the intervals cover the truth, by simulation at fixed seeds.

use super::*;
use crate::fault::{ClusterSizes, FaultModel};
use crate::hw::Inventory;
use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
use crate::num::{QFormat, qkeras};

/// A design with `inputs` kernel registers of 6 bits and a bias register of 4.
fn inventory(inputs: usize) -> Inventory {
    let mut net = NetworkBuilder::new("n", "x", &[inputs], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
    let source = net.input();
    let tensor = |shape: Vec<usize>, width| {
        let count = shape.iter().product();
        WeightTensor::new(shape, vec![0; count], QFormat::signed(width, 1).unwrap()).unwrap()
    };
    let op = Op::Dense(Dense { kernel: tensor(vec![inputs, 1], 6), bias: Some(tensor(vec![1], 4)) });
    net.push("dense", op, &[source]).unwrap();
    Inventory::new(&net.finish().unwrap()).unwrap()
}

/// A made-up effect of a bit, as uneven as real ones: some do nothing, some help, high bits do most.
fn effect(bit: BitId) -> Observation {
    // A fixed scramble of the number (Steele, Lea and Flood 2014), as a fraction.
    let mut word = u64::from(bit.0).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let unit = f64::from(u32::try_from((word ^ (word >> 31)) >> 32).unwrap()) / 4_294_967_296.0;
    let size = f64::from(-i32::try_from(bit.0 % 6).unwrap()).exp2();
    if unit < 0.25 {
        Observation { changed_events: 0, rise: 0.0 }
    } else {
        Observation { changed_events: 1, rise: size * (unit * unit - 0.15) }
    }
}

/// A trial does what its bits do, added up.
fn measure(trials: &[Vec<BitId>]) -> Vec<Observation> {
    let of_trial = |bits: &Vec<BitId>| {
        bits.iter().map(|bit| effect(*bit)).fold(Observation { changed_events: 0, rise: 0.0 }, |sum, bit| Observation {
            changed_events: sum.changed_events + bit.changed_events,
            rise: sum.rise + bit.rise,
        })
    };
    trials.iter().map(of_trial).collect()
}

fn plan(seed: u64) -> SamplePlan {
    SamplePlan {
        seed,
        trials: None,
        mean_half_width: None,
        proportion_half_width: None,
        confidence: Confidence::new(0.95).unwrap(),
        proportion_method: ProportionMethod::Wilson,
        mean_method: MeanMethod::StudentT,
        allocation: Allocation::Neyman,
    }
}

fn trials(model: &FaultModel, inventory: &Inventory) -> Trials {
    Trials::new(model, inventory, &inventory.bit_ids().collect::<Vec<_>>()).unwrap()
}

fn run(trials: &Trials, plan: &SamplePlan) -> Sample {
    sample(trials, plan, &mut |trials| Ok::<_, SampleError>(measure(trials))).unwrap()
}

/// Shares of effective and sensitive trials and mean rise over all trials.
fn truth(all: &[Vec<BitId>]) -> [f64; 3] {
    let observations = measure(all);
    let count = cast::f64_from_count(all.len());
    let share = |hit: fn(&Observation) -> bool| {
        cast::f64_from_count(observations.iter().filter(|observation| hit(observation)).count()) / count
    };
    let mean = observations.iter().map(|observation| observation.rise).sum::<f64>() / count;
    [share(Observation::is_effective), share(Observation::is_sensitive), mean]
}

/// How many of `repetitions` samples cover the truth in effective share, sensitive share and mean.
fn coverage(trials: &Trials, plan: impl Fn(u64) -> SamplePlan, truth: [f64; 3], repetitions: u64) -> [u64; 3] {
    let mut covered = [0; 3];
    for seed in 0..repetitions {
        let estimates = run(trials, &plan(seed)).estimates;
        let intervals = [estimates.effective.interval, estimates.sensitive.interval, estimates.rise.interval.unwrap()];
        for ((count, interval), truth) in covered.iter_mut().zip(intervals).zip(truth) {
            *count += u64::from(interval.contains(truth));
        }
    }
    covered
}

/// Fewest of `repetitions` that a true coverage of 95 % leaves, but for three standard deviations.
fn fewest(repetitions: u64) -> u64 {
    let count = cast::f64_from_u64(repetitions);
    let fewest = count * 0.95 - 3.0 * (count * 0.95 * 0.05).sqrt();
    u64::try_from(cast::floor_i64(fewest)).unwrap()
}

#[test]
fn everything_run_is_exact() {
    let inventory = inventory(50);
    for model in [FaultModel::Bits(1), FaultModel::Pairs] {
        let trials = trials(&model, &inventory);
        let Trials::Listed(population) = &trials else { panic!("listed") };
        let all: Vec<Vec<BitId>> = (0..population.len()).map(|unit| population.bits(unit)).collect();
        let whole = run(&trials, &plan(1));
        assert_eq!((whole.ending, whole.population), (Ending::Complete, Some(all.len())));
        assert_eq!(whole.trials.iter().map(|trial| trial.bits.clone()).collect::<Vec<_>>(), all);
        let [effective, sensitive, mean] = truth(&all);
        let Estimates { effective: e, sensitive: s, rise } = whole.estimates;
        assert_eq!((e.share, e.interval.low, e.interval.high), (effective, effective, effective));
        assert_eq!((s.share, s.interval.low, s.interval.high), (sensitive, sensitive, sensitive));
        assert!((rise.mean - mean).abs() < 1e-15);
        assert_eq!(rise.interval, Some(Interval { low: rise.mean, high: rise.mean }));
        assert_eq!(rise.standard_error, Some(0.0));
        assert_eq!(whole.strata.iter().map(|stratum| stratum.population).sum::<usize>(), all.len());

        // A promise that only certainty keeps ends in the same numbers, the trials in another order.
        let promised = run(&trials, &SamplePlan { mean_half_width: Some(1e-12), ..plan(1) });
        assert_eq!((promised.ending, promised.estimates), (Ending::Complete, whole.estimates));
        // So does a number of trials that is larger than there are.
        assert_eq!(run(&trials, &SamplePlan { trials: Some(999_999), ..plan(1) }), whole);
    }
}

#[test]
fn numbers_of_trials_are_kept_and_larger_samples_begin_like_smaller_ones() {
    let inventory = inventory(100);
    let sizes: ClusterSizes = "1:2,3:1".parse().unwrap();
    for model in ["bits:1", "pairs", "bits:3", "cluster", "ber:0.01"] {
        let trials = trials(&FaultModel::parse(model, Some(&sizes)).unwrap(), &inventory);
        let few = run(&trials, &SamplePlan { trials: Some(333), allocation: Allocation::Proportional, ..plan(4) });
        let more = run(&trials, &SamplePlan { trials: Some(500), allocation: Allocation::Proportional, ..plan(4) });
        assert_eq!((few.trials.len(), more.trials.len()), (333, 500), "{model}");
        assert_eq!((few.ending, more.ending), (Ending::Fixed, Ending::Fixed));
        if few.population.is_some() {
            let distinct: std::collections::BTreeSet<_> = more.trials.iter().map(|trial| &trial.bits).collect();
            assert_eq!(distinct.len(), 500, "{model}: without replacement");
            assert!(few.trials.iter().all(|trial| distinct.contains(&trial.bits)), "{model}");
            assert_eq!(more.strata.iter().map(|stratum| stratum.trials).sum::<usize>(), 500);
        } else {
            assert_eq!(few.trials[..], more.trials[..333], "{model}");
        }
        let other = run(&trials, &SamplePlan { trials: Some(333), ..plan(5) });
        assert_ne!(other.trials, few.trials);
    }
}

#[test]
fn a_promise_is_kept_or_its_failure_said() {
    let inventory = inventory(300);
    let single = trials(&FaultModel::Bits(1), &inventory);
    let double = trials(&FaultModel::Bits(2), &inventory);
    for (trials, mean, share) in [
        (&single, Some(0.01), None),
        (&double, Some(0.02), None),
        (&single, None, Some(0.04)),
        (&double, Some(0.05), Some(0.03)),
    ] {
        for method in [MeanMethod::StudentT, MeanMethod::Bootstrap] {
            let promise =
                SamplePlan { mean_half_width: mean, proportion_half_width: share, mean_method: method, ..plan(2) };
            let kept = run(trials, &promise);
            assert_eq!(kept.ending, Ending::PromiseKept);
            let estimates = kept.estimates;
            assert!(mean.is_none_or(|asked| estimates.rise.interval.unwrap().half_width() <= asked));
            for proportion in [estimates.effective, estimates.sensitive] {
                assert!(share.is_none_or(|asked| proportion.interval.half_width() <= asked));
            }
            // One look earlier it was not yet kept.
            let earlier = kept.trials.len() - BATCH_TRIALS;
            let short = run(trials, &SamplePlan { trials: Some(earlier), ..promise });
            assert_eq!((short.ending, short.trials.len()), (Ending::TrialsSpent, earlier));
        }
    }
    // The larger variance of the high bits is where the trials go.
    let kept = run(&single, &SamplePlan { mean_half_width: Some(0.005), ..plan(2) });
    assert!(kept.strata[0].trials > 3 * kept.strata[4].trials, "{:?}", kept.strata);
    let plain = SamplePlan { mean_half_width: Some(0.005), allocation: Allocation::Proportional, ..plan(2) };
    assert!(run(&single, &plain).trials.len() > kept.trials.len());
}

#[test]
fn what_tells_nothing_is_not_called_certain() {
    let inventory = inventory(300);
    let none = Observation { changed_events: 0, rise: 0.0 };
    let mut silent = |trials: &[Vec<BitId>]| Ok::<_, SampleError>(vec![none; trials.len()]);
    for model in [FaultModel::Bits(1), FaultModel::Bits(2)] {
        let trials = trials(&model, &inventory);
        for mean_method in [MeanMethod::StudentT, MeanMethod::Bootstrap] {
            let promise = SamplePlan { trials: Some(400), mean_half_width: Some(0.1), mean_method, ..plan(2) };
            let found = sample(&trials, &promise, &mut silent).unwrap();
            assert_eq!((found.ending, found.estimates.rise.interval), (Ending::TrialsSpent, None));
            let effective = found.estimates.effective;
            assert!(effective.share == 0.0 && effective.interval.low == 0.0 && effective.interval.high > 0.005);
        }
    }
    let one = run(&trials(&FaultModel::Bits(2), &inventory), &SamplePlan { trials: Some(1), ..plan(2) });
    assert_eq!((one.estimates.rise.standard_error, one.estimates.rise.interval), (None, None));
}

#[test]
fn too_few_trials_for_the_strata_are_refused_before_any_is_run() {
    let trials = trials(&FaultModel::Bits(1), &inventory(300));
    let mut never = |_: &[Vec<BitId>]| panic!("nothing is measured");
    // Six kernel strata, and four of one bit each.
    let refused = sample(&trials, &SamplePlan { trials: Some(15), ..plan(2) }, &mut never);
    assert_eq!(refused, Err(SampleError::TooFewTrials { trials: 15, strata: 10, needed: 16 }));
    assert_eq!(run(&trials, &SamplePlan { trials: Some(16), ..plan(2) }).trials.len(), 16);
}

#[test]
fn a_failing_trial_ends_the_campaign() {
    let trials = trials(&FaultModel::Bits(2), &inventory(300));
    let error = CampaignError::Golden { event: 3, error: f64::NAN };
    let mut failing = |_: &[Vec<BitId>]| Err(SampleError::from(error.clone()));
    assert!(matches!(sample(&trials, &plan(1), &mut failing), Err(SampleError::Campaign(_))));
}

#[test]
fn independent_trials_cover_the_truth() {
    let inventory = inventory(40);
    let double = trials(&FaultModel::Bits(2), &inventory);
    let bits: Vec<BitId> = inventory.bit_ids().collect();
    let all: Vec<Vec<BitId>> =
        bits.iter().flat_map(|a| bits.iter().filter(move |b| *b > a).map(move |b| vec![*a, *b])).collect();
    let truth = truth(&all);
    let fixed = |proportion_method| move |seed| SamplePlan { trials: Some(300), proportion_method, ..plan(seed) };
    let promised = |seed| SamplePlan { mean_half_width: Some(0.025), proportion_half_width: Some(0.03), ..plan(seed) };
    let wilson = coverage(&double, fixed(ProportionMethod::Wilson), truth, 400);
    let exact = coverage(&double, fixed(ProportionMethod::ClopperPearson), truth, 400);
    let sequential = coverage(&double, promised, truth, 400);
    for covered in [wilson, exact, sequential] {
        assert!(covered.iter().all(|count| *count >= fewest(400)), "{wilson:?} {exact:?} {sequential:?}");
    }
    let bootstrap = |seed| SamplePlan { trials: Some(200), mean_method: MeanMethod::Bootstrap, ..plan(seed) };
    let bootstrap = coverage(&double, bootstrap, truth, 100);
    assert!(bootstrap[2] >= fewest(100), "{bootstrap:?}");
}

#[test]
fn stratified_samples_cover_the_truth() {
    let inventory = inventory(200);
    let single = trials(&FaultModel::Bits(1), &inventory);
    let truth = truth(&inventory.bit_ids().map(|bit| vec![bit]).collect::<Vec<_>>());
    let fixed = |allocation, proportion_method| {
        move |seed| SamplePlan { trials: Some(300), allocation, proportion_method, ..plan(seed) }
    };
    let promised = |seed| SamplePlan { mean_half_width: Some(0.008), ..plan(seed) };
    let narrow = |seed| SamplePlan { proportion_half_width: Some(0.03), ..plan(seed) };
    let all = [
        coverage(&single, fixed(Allocation::Neyman, ProportionMethod::Wilson), truth, 400),
        coverage(&single, fixed(Allocation::Proportional, ProportionMethod::Wilson), truth, 400),
        coverage(&single, fixed(Allocation::Proportional, ProportionMethod::ClopperPearson), truth, 400),
        coverage(&single, promised, truth, 400),
        coverage(&single, narrow, truth, 400),
    ];
    for covered in all {
        assert!(covered.iter().all(|count| *count >= fewest(400)), "{all:?}");
    }
    let bootstrap = |seed| SamplePlan { trials: Some(200), mean_method: MeanMethod::Bootstrap, ..plan(seed) };
    let bootstrap = coverage(&single, bootstrap, truth, 100);
    assert!(bootstrap[2] >= fewest(100), "{bootstrap:?}");
}
