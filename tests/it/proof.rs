//! Proof by injection against the plain ways: each cell flipped on the machine, frame by frame; predictions of missions from
//! their definition, and as often in the intervals as these say.

use std::num::{NonZeroU64, NonZeroUsize};

use proptest::prelude::*;
use trivote::campaign::proof::{
    Claim, FlownPlan, FlownPlans, MissionPlan, PlanProgress, ProofInput, fly_plans, mean_lasting_cycles, prove,
};
use trivote::campaign::{
    Confidence, Event, ExactSum, FaultFree, OracleInput, TrialInput, run_oracle, run_trials, with_threads,
};
use trivote::engine::reference;
use trivote::fault::{Environment, Preset, Rate};
use trivote::host::evaluator::EvaluatorScratch;
use trivote::hw::schedule::{Io, ScheduleOptions};
use trivote::hw::{BitId, CopyIdx, Load, Machine, Protection, TmrStyle};

use super::bench::Bench;
use super::networks::specs;

/// The small bench with five events.
fn small() -> Bench {
    Bench::small(5, 16.0, &ScheduleOptions::econ_t())
}

impl Bench {
    fn trial(&self) -> TrialInput<'_> {
        let Self { network, inventory, evaluator, events, .. } = self;
        TrialInput { network, inventory, evaluator, events }
    }

    fn rises(&self, sites: &[BitId]) -> Vec<f64> {
        let Self { network, inventory, evaluator, events, .. } = self;
        run_oracle(&OracleInput { network, inventory, evaluator, events, sites }, &|_| {}).unwrap().error_rises()
    }
}

/// What every copy of some bits does on the machine, each flipped alone before the first frame.
#[derive(Debug, PartialEq)]
struct Plain {
    cells: usize,
    read_wrong: usize,
    rise: f64,
    sensitive: usize,
    largest: f64,
}

fn plainly(bench: &Bench, sites: &[BitId], plan: &[Protection]) -> Plain {
    let mut scratch = EvaluatorScratch::default();
    let mut sums = Plain { cells: 0, read_wrong: 0, rise: 0.0, sensitive: 0, largest: 0.0 };
    let mut sum = ExactSum::default();
    for bit in sites {
        for copy in 0..plan[bit.index()].copies() {
            let mut machine = Machine::new(&bench.network, &bench.inventory, &bench.schedule, |bit| plan[bit.index()]);
            let (register, place) = bench.inventory.locate_bit(*bit);
            machine.bank_mut().flip(register, place, CopyIdx(copy));
            let mut outputs = Vec::new();
            let mut offered = 0;
            while outputs.len() < bench.events.len() {
                let frame = bench.events.get(offered).map(Event::codes);
                if machine.step(frame, Load::Hold) {
                    offered += 1;
                }
                if machine.cycle().0 == 1 {
                    sums.read_wrong += usize::from(!machine.bank().wrong_values().is_empty());
                }
                outputs.extend(machine.output().map(<[i64]>::to_vec));
                assert!(machine.cycle().0 < 2_000_000, "a machine that does not answer");
            }
            let rise: ExactSum = bench
                .events
                .iter()
                .zip(&outputs)
                .map(|(event, output)| {
                    let golden = reference::output(&bench.network, event.codes());
                    let error = bench.evaluator.error(event.input(), output, &golden, &mut scratch);
                    let without = bench.evaluator.error(event.input(), &golden, &golden, &mut scratch);
                    ExactSum::of(error - without).unwrap()
                })
                .sum();
            let rise = rise.value() / bench.events.len() as f64;
            sums.cells += 1;
            sums.sensitive += usize::from(rise > 0.0);
            sums.largest = sums.largest.max(rise);
            sum += ExactSum::of(rise).unwrap();
        }
    }
    sums.rise = sum.value();
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_cell_does_on_the_machine_what_the_proof_says(
        spec in specs(),
        io in prop::sample::select(Io::ALL.to_vec()),
        reuse in 1..7_u64,
        styles in prop::collection::vec((0..4_usize, any::<bool>()), 7),
        drawn in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let reuse_factor = NonZeroU64::new(if io == Io::EconT { 1 } else { reuse }).unwrap();
        let bench = Bench::random(&spec, 3, &ScheduleOptions { io, reuse_factor, ..ScheduleOptions::econ_t() });
        let bits = bench.inventory.bits();
        let mut sites: Vec<BitId> = drawn.iter().map(|bit| BitId(bit.index(bits) as u32)).collect();
        sites.sort_unstable();
        sites.dedup();
        let mixed = (0..bits).map(|bit| {
            let (style, error_flag) = styles[bit % styles.len()];
            Protection { style: TmrStyle::ALL[style], error_flag }
        });
        let uniform = TmrStyle::ALL.map(|style| vec![Protection::from(style); bits]);
        let plans: Vec<Vec<Protection>> = uniform.into_iter().chain([mixed.collect()]).collect();
        let rises = bench.rises(&sites);
        let input = ProofInput { trial: bench.trial(), candidates: &sites, rises: &rises, plans: &plans };
        let proofs = prove(&input, &|_, _| {}).unwrap();
        for (plan, proof) in plans.iter().zip(&proofs) {
            let found = Plain {
                cells: proof.cells,
                read_wrong: proof.read_wrong,
                rise: proof.rise_remaining,
                sensitive: proof.sensitive_cells,
                largest: proof.max_rise,
            };
            prop_assert_eq!(found, plainly(&bench, &sites, plan));
            let left: Vec<f64> = sites
                .iter()
                .zip(&rises)
                .filter(|(bit, _)| plan[bit.index()].style == TmrStyle::None)
                .map(|(_, rise)| *rise)
                .collect();
            let sum = |rises: &[f64]| rises.iter().map(|rise| ExactSum::of(*rise).unwrap()).sum::<ExactSum>().value();
            let claim = Claim {
                rise_remaining: sum(&left),
                share_removed: (sum(&rises) - sum(&left)) / sum(&rises),
                sensitive_remaining: left.iter().filter(|rise| **rise > 0.0).count(),
                mean_rise_per_upset: sum(&left) / proof.cells as f64,
            };
            prop_assert!(proof.confirms(&claim), "{:?} {:?}", proof, claim);
        }
    }
}

/// Missions of plans in which the bits whose number a divisor divides are protected, after the plan without protection.
struct Sky {
    sizes: &'static str,
    style: TmrStyle,
    divisors: std::ops::Range<usize>,
    distance: usize,
    /// Mean cycles between strikes without protection.
    mean_cycles: f64,
    scrub: Option<u64>,
    cycles: u64,
    missions: u32,
    seed: u64,
}

impl Sky {
    fn environment(&self, bench: &Bench) -> Environment {
        let per_s = 1.0 / (self.mean_cycles * bench.schedule.clock.period_s() * bench.inventory.bits() as f64);
        let (rate, sizes) = (Rate::of_flux(per_s, 1.0).unwrap(), self.sizes.parse().unwrap());
        Environment { rate, sizes, ..Preset::Hgcal.environment() }
    }

    fn plans(&self, bits: usize) -> Vec<Vec<Protection>> {
        let plan = |divisor: usize| {
            let of = |bit: usize| if bit.is_multiple_of(divisor) { self.style.into() } else { Protection::NONE };
            (0..bits).map(of).collect()
        };
        [vec![Protection::NONE; bits]].into_iter().chain(self.divisors.clone().map(plan)).collect()
    }

    fn fly(&self, bench: &Bench, evaluations: u64) -> FlownPlans {
        let sites: Vec<BitId> = bench.inventory.bit_ids().collect();
        let input = bench.input();
        let setup = MissionPlan {
            environment: &self.environment(bench),
            distance: NonZeroUsize::new(self.distance).unwrap(),
            scrub_cycles: self.scrub.and_then(NonZeroU64::new),
            cycles: self.cycles,
            missions: self.missions,
            seed: self.seed,
            confidence: Confidence::new(0.95).unwrap(),
            evaluations,
        };
        let progress = PlanProgress { flown: &|| {}, judged: &|_, _| {}, clusters: &|_, _| {} };
        let plans = self.plans(bench.inventory.bits());
        let fault_free = FaultFree::new(&input).unwrap();
        fly_plans(&input, &fault_free, (&sites, &bench.rises(&sites)), &plans, &setup, &progress).unwrap()
    }
}

const EVERYTHING: u64 = 1 << 40;

/// How many predictions lie in the intervals of rise and share removed: from single rises, and with clusters.
fn inside(flown: &FlownPlans) -> [usize; 4] {
    let count =
        |of: &dyn Fn(&FlownPlan) -> Option<bool>| flown.plans[1..].iter().filter(|plan| of(plan) == Some(true)).count();
    [
        count(&|plan| plan.rise.is_inside(plan.rise.predicted)),
        count(&|plan| plan.rise.is_inside(plan.rise.predicted_with_clusters?)),
        count(&|plan| plan.removed?.is_inside(plan.removed?.predicted)),
        count(&|plan| plan.removed?.is_inside(plan.removed?.predicted_with_clusters?)),
    ]
}

fn single_cells() -> Sky {
    Sky {
        sizes: "1:1",
        style: TmrStyle::Feedback,
        divisors: 2..62,
        distance: 4,
        mean_cycles: 20_000.0,
        scrub: Some(1_000),
        cycles: 1_000_000,
        missions: 20,
        seed: 11,
    }
}

#[test]
fn single_strikes_are_predicted_as_often_as_intervals_say() {
    let bench = small();
    let flown = single_cells().fly(&bench, EVERYTHING);
    // 60 plans: 57 expected, with a standard deviation of 1.7.
    let [rise, rise_with_clusters, removed, removed_with_clusters] = inside(&flown);
    assert!((52..=60).contains(&rise) && (52..=60).contains(&removed), "{rise} {removed}");
    assert_eq!((rise_with_clusters, removed_with_clusters), (rise, removed), "every cluster is a single cell");
    for plan in &flown.plans {
        let clusters = plan.rise.predicted_with_clusters.unwrap();
        assert!((clusters / plan.rise.predicted - 1.0).abs() < 1e-12, "{plan:?}");
    }
    // The intervals say something: predictions off by half are seen to be wrong.
    let off = |times: f64| {
        let holds = |plan: &&FlownPlan| plan.rise.interval.unwrap().contains(times * plan.rise.predicted);
        flown.plans.iter().filter(holds).count()
    };
    assert!(off(0.5) <= 15 && off(1.5) <= 15, "{} {}", off(0.5), off(1.5));
}

#[test]
fn clusters_are_predicted_by_evaluating_their_cells_together() {
    let bench = small();
    let sky = Sky { sizes: "1:0.3,4:0.7", seed: 12, ..single_cells() };
    let [single, rise, _, removed] = inside(&sky.fly(&bench, EVERYTHING));
    assert!((52..=60).contains(&rise) && (52..=60).contains(&removed), "{rise} {removed}");
    // The flips of a cluster do not add up, and that is seen.
    assert!(single + 10 <= rise, "{single} {rise}");
}

#[test]
fn predictions_are_what_they_are_defined_to_be() {
    let bench = small();
    let sites: Vec<BitId> = bench.inventory.bit_ids().collect();
    let (singles, bits) = (bench.rises(&sites), sites.len());
    let rises = |trials: &[Vec<BitId>]| -> Vec<f64> {
        let outcomes = run_trials(&bench.trial(), trials, &|_| {}).unwrap().outcomes;
        outcomes.iter().map(|outcome| outcome.rise_sum.value() / bench.events.len() as f64).collect()
    };
    for (scrub, cycles) in [(Some(1_000), 10_500), (None, 4_000)] {
        let sky = Sky { sizes: "3:1", divisors: 1..3, distance: 3, scrub, cycles, missions: 2, ..single_cells() };
        let flown = sky.fly(&bench, EVERYTHING);
        let lasting = mean_lasting_cycles(cycles, scrub.and_then(NonZeroU64::new));
        assert_eq!(flown.lasting_cycles, lasting);
        let at_a_time = |per_strike: f64| per_strike * lasting / sky.mean_cycles;
        let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        // Without protection bits lie in the order of their numbers; the first is in one cluster of three, the second in two.
        let sum: f64 = singles.iter().enumerate().map(|(at, rise)| rise * (at + 1).min(3) as f64).sum();
        close(flown.plans[0].rise.predicted, at_a_time(sum / bits as f64));
        let clusters: Vec<Vec<BitId>> = (0..bits).map(|at| sites[at..bits.min(at + 3)].to_vec()).collect();
        let sum: f64 = rises(&clusters).iter().sum();
        close(flown.plans[0].rise.predicted_with_clusters.unwrap(), at_a_time(sum / bits as f64));
        // All protected, copies as far apart as a cluster is wide: nothing is read wrong, ever.
        let full = &flown.plans[1];
        assert_eq!((full.rise.predicted, full.rise.predicted_with_clusters, full.rise.observed), (0.0, Some(0.0), 0.0));
        assert_eq!((full.rise.interval, full.rise.is_inside(0.0), full.rise.is_inside(1e-9)), (None, Some(true), None));
        let removed = full.removed.unwrap();
        assert_eq!((removed.predicted, removed.observed, removed.is_inside(1.0)), (1.0, 1.0, Some(true)));
        // Half protected: behind the copies of the even bits and their gaps lie the odd ones.
        let odd: Vec<BitId> = sites.iter().copied().filter(|bit| bit.0 % 2 == 1).collect();
        // The clusters that reach into them from the last copies hit one or two.
        let clusters: Vec<Vec<BitId>> = (1..3)
            .map(|hit| odd[..hit].to_vec())
            .chain((0..odd.len()).map(|at| odd[at..odd.len().min(at + 3)].to_vec()))
            .collect();
        let sum: f64 = rises(&clusters).iter().sum();
        let expected = at_a_time(sum / bits as f64);
        close(flown.plans[2].rise.predicted_with_clusters.unwrap(), expected);
        let sum: f64 = sites.iter().zip(&singles).filter(|(bit, _)| bit.0 % 2 == 1).map(|(_, rise)| 3.0 * rise).sum();
        close(flown.plans[2].rise.predicted, at_a_time(sum / bits as f64));
    }
}

#[test]
fn copies_that_lie_too_near_are_seen_by_clusters_alone() {
    let bench = small();
    let sky = Sky { sizes: "4:1", divisors: 1..2, distance: 1, missions: 10, ..single_cells() };
    for style in [TmrStyle::Unvoted, TmrStyle::Feedback, TmrStyle::Feedback3] {
        let full = sky_with(&sky, style).fly(&bench, EVERYTHING).plans[1].clone();
        assert_eq!(full.rise.predicted, 0.0);
        let clusters = full.rise.predicted_with_clusters.unwrap();
        assert!(clusters > 0.0 && full.rise.observed > 0.0);
        assert_eq!((full.rise.is_inside(0.0), full.rise.is_inside(clusters)), (Some(false), Some(true)), "{full:?}");
    }
}

fn sky_with(sky: &Sky, style: TmrStyle) -> Sky {
    Sky { style, divisors: sky.divisors.clone(), ..*sky }
}

#[test]
fn missions_do_not_depend_on_threads_nor_much_on_samples() {
    let bench = small();
    let sky = Sky { sizes: "1:0.5,2:0.5", divisors: 2..6, missions: 10, ..single_cells() };
    let fly = |threads| with_threads(Some(threads), || sky.fly(&bench, EVERYTHING)).unwrap();
    let exact = fly(1);
    assert_eq!(exact, fly(3));
    assert_eq!(exact.events_per_state, bench.events.len());
    // Too few evaluations for clusters, and for all events.
    let sampled = sky.fly(&bench, 300);
    assert!(sampled.events_per_state < bench.events.len());
    for (sampled, exact) in sampled.plans.iter().zip(&exact.plans) {
        assert_eq!((sampled.rise.predicted, sampled.strikes), (exact.rise.predicted, exact.strikes));
        assert_eq!(sampled.rise.predicted_with_clusters, None);
        let (mine, theirs) = (sampled.rise.interval.unwrap(), exact.rise.interval.unwrap());
        assert!(mine.low < theirs.high && theirs.low < mine.high, "{mine:?} {theirs:?}");
    }
}
