//! Missions against the plain simulation, in which every frame runs on the machine, cycle after cycle; and the laws of
//! redundancy on missions of hours.

use std::collections::VecDeque;
use std::num::{NonZeroU64, NonZeroUsize};

use proptest::prelude::*;
use trivote::campaign::{
    BINS, Confidence, FaultFree, FrameEvents, MeanMethod, Mission, MissionOutcome, MissionRun, MissionSummary,
    Quantity, SummaryPlan, UpsetCounts, with_threads,
};
use trivote::engine::reference;
use trivote::fault::{ClusterSizes, FaultSources, LineSource, LineTable, StateSource, StrikeSource, Upset};
use trivote::host::evaluator::EvaluatorScratch;
use trivote::hw::schedule::{Io, ScheduleOptions, not_unrolled};
use trivote::hw::{BitId, Cycle, Element, ElementArray, ElementBit, Load, Machine, Placement, Protection, TmrStyle};

use super::bench::Bench;
use super::networks::{cnn_specs, specs};

/// Enough for all states on all events.
const EXACT: u64 = 1 << 40;

/// The small bench, with outputs that weights with small inputs hardly move.
fn small(events: u64) -> Bench {
    small_as(events, Io::EconT, 1)
}

/// The same with each multiplier used `reuse` times.
fn small_as(events: u64, io: Io, reuse: u64) -> Bench {
    let reuse_factor = NonZeroU64::new(reuse).unwrap();
    Bench::small(events, 32.0, &ScheduleOptions { io, reuse_factor, ..ScheduleOptions::econ_t() })
}

/// How a mission is set up.
#[derive(Debug, Clone)]
struct Setup {
    protection: Vec<Protection>,
    distance: usize,
    sizes: &'static str,
    /// Mean cycles between strikes, between transients, and between strikes on values in flight.
    mean_cycles: f64,
    line_cycles: Option<f64>,
    state_cycles: Option<f64>,
    scrub: Option<u64>,
    cycles: u64,
    seed: u64,
}

impl Setup {
    fn uniform(bench: &Bench, protection: Protection, mean_cycles: f64, cycles: u64) -> Self {
        Self {
            protection: vec![protection; bench.inventory.bits()],
            distance: 16,
            sizes: "1:1",
            mean_cycles,
            line_cycles: None,
            state_cycles: None,
            scrub: None,
            cycles,
            seed: 7,
        }
    }

    /// Calls `with` with the mission.
    fn mission<T>(&self, bench: &Bench, with: impl FnOnce(&Mission<'_>) -> T) -> T {
        let protection = |bit: BitId| self.protection[bit.index()];
        let placement = Placement::new(&bench.inventory, protection, NonZeroUsize::new(self.distance).unwrap());
        let table = LineTable::new(&bench.inventory, protection);
        let (sizes, single): (ClusterSizes, ClusterSizes) = (self.sizes.parse().unwrap(), "1:1".parse().unwrap());
        let elements = Machine::new(&bench.network, &bench.inventory, &bench.schedule, protection).elements();
        let values =
            elements.iter().filter(|array| ![Element::Control, Element::ErrorCounter].contains(&array.element));
        let bits: Vec<ElementBit> = values.flat_map(ElementArray::bit_list).collect();
        let state = |mean_cycles| StateSource { bits: &bits, sizes: &single, mean_cycles };
        let lines = |mean_cycles| LineSource { table: &table, sizes: &single, mean_cycles };
        let mission = Mission {
            protection: &self.protection,
            sources: FaultSources {
                strikes: Some(StrikeSource { placement: &placement, sizes: &sizes, mean_cycles: self.mean_cycles }),
                lines: self.line_cycles.map(lines),
                state: self.state_cycles.map(state),
                listed: &[],
            },
            scrub_cycles: self.scrub.and_then(NonZeroU64::new),
            cycles: self.cycles,
            seed: self.seed,
        };
        with(&mission)
    }

    fn fly(&self, bench: &Bench, replicas: u32, evaluations: u64) -> Vec<MissionOutcome> {
        self.mission(bench, |mission| {
            let input = bench.input();
            let run = MissionRun { input, fault_free: &FaultFree::new(&input).unwrap(), mission: *mission };
            let flights = run.fly(0..replicas, &|| {}).unwrap();
            run.judge(&flights, evaluations, &|_, _| {}).unwrap().outcomes
        })
    }
}

/// What comes of running every frame.
#[derive(Debug, Default, PartialEq)]
struct Plain {
    frames: u64,
    wrong: Vec<(u64, f64)>,
    silent: u64,
    wrong_registers: usize,
    wrong_copies: u32,
    upsets: u64,
}

/// Every frame on the machine, one cycle after another.
fn plainly(bench: &Bench, setup: &Setup, replica: u32) -> Plain {
    setup.mission(bench, |mission| {
        let faults = mission.sources.timeline(mission.seed, replica, Cycle(setup.cycles)).into_list();
        let events = FrameEvents::new(mission.seed, replica, bench.events.len());
        let golden: Vec<Vec<i64>> =
            bench.events.iter().map(|event| reference::output(&bench.network, event.codes())).collect();
        let protection = |bit: BitId| setup.protection[bit.index()];
        let mut machine = Machine::new(&bench.network, &bench.inventory, &bench.schedule, protection);
        let interval = bench.schedule.interval_cycles;
        let (mut offered, mut entries) = (0, VecDeque::new());
        let mut plain = Plain::default();
        let mut flags = Vec::new();
        let mut scratch = EvaluatorScratch::default();
        // The host reads a result in the cycle in which it stands in the output register, as strikes leave it.
        let mut read =
            |machine: &Machine<'_>, entries: &mut VecDeque<(u64, u64)>, flags: &[bool], plain: &mut Plain| {
                if let Some(output) = machine.output() {
                    let (frame, entry) = entries.pop_front().unwrap();
                    let event = events.at(frame);
                    plain.frames += 1;
                    if output != golden[event] {
                        let golden = &golden[event];
                        let input = bench.events[event].input();
                        let error = bench.evaluator.error(input, output, golden, &mut scratch);
                        let without = bench.evaluator.error(input, golden, golden, &mut scratch);
                        plain.wrong.push((frame, error - without));
                        let was_flagged = flags[entry as usize..].contains(&true);
                        plain.silent += u64::from(!was_flagged);
                    }
                }
            };
        let mut faults = faults.iter().peekable();
        for cycle in 0..setup.cycles {
            while let Some(fault) = faults.next_if(|fault| fault.at.0 == cycle) {
                plain.upsets += u64::from(matches!(fault.upset, Upset::Flip(_)));
                fault.upset.strike(&mut machine);
            }
            read(&machine, &mut entries, &flags, &mut plain);
            let is_scrub = cycle > 0 && setup.scrub.is_some_and(|period| cycle.is_multiple_of(period));
            let is_due = cycle >= offered * interval;
            let codes = is_due.then(|| bench.events[events.at(offered)].codes());
            if machine.step(codes, if is_scrub { Load::Reload } else { Load::Hold }) {
                entries.push_back((offered, cycle));
                offered += 1;
            }
            flags.push(machine.bank().error_flags().contains(&true));
        }
        read(&machine, &mut entries, &flags, &mut plain);
        machine.bank_mut().settle();
        plain.wrong_registers = machine.bank().wrong_values().len();
        plain.wrong_copies = machine.bank().wrong_copies();
        plain
    })
}

fn all_accounted_for(counts: &UpsetCounts) {
    let fates = counts.by_feedback + counts.by_reload + counts.undone + counts.latent + counts.wrong;
    assert_eq!(counts.upsets, fates, "{counts:?}");
    assert!(counts.masked <= counts.upsets && counts.detected <= counts.upsets, "{counts:?}");
}

/// Compares a mission on a single event, in which nothing is sampled, with the plain simulation, part by part.
fn assert_plain(bench: &Bench, setup: &Setup, replica: u32) {
    let found = setup.fly(bench, replica + 1, EXACT).pop().unwrap();
    let plain = plainly(bench, setup, replica);
    assert_eq!(found.frames, plain.frames);
    assert_eq!(found.wrong, plain.wrong.len() as f64, "wrong outputs");
    assert_eq!(found.silent, plain.silent as f64, "silent outputs");
    let latency = bench.schedule.machine_latency_cycles(&bench.network);
    let cycle = |frame: u64| frame * bench.schedule.interval_cycles + latency + 1;
    let first = plain.wrong.first().map(|(frame, _)| cycle(*frame) as f64 * bench.schedule.clock.period_s());
    assert_eq!(found.first_wrong_s, first);
    let mut start = 0;
    for (number, bin) in found.bins.iter().enumerate() {
        let frames = start..start + bin.frames;
        let wrong: Vec<&(u64, f64)> = plain.wrong.iter().filter(|(frame, _)| frames.contains(frame)).collect();
        assert_eq!(bin.wrong, wrong.len() as f64, "wrong outputs in part {number}");
        let rise: f64 = wrong.iter().map(|(_, rise)| rise).sum();
        // Sums of the same terms in another order.
        assert!((bin.rise - rise).abs() <= 1e-9 * rise.abs().max(1e-9), "{} {rise}", bin.rise);
        start = frames.end;
    }
    assert_eq!(found.counts.upsets, plain.upsets);
    all_accounted_for(&found.counts);
    if setup.line_cycles.is_none() {
        assert_eq!(found.counts.wrong > 0, plain.wrong_registers > 0);
        assert_eq!(found.counts.latent + found.counts.wrong > 0, plain.wrong_copies > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_mission_is_its_frames(
        spec in prop_oneof![specs(), cnn_specs()],
        io in prop::sample::select(Io::ALL.to_vec()),
        reuse in 1..7_u64,
        styles in prop::collection::vec((0..4_usize, prop::bool::weighted(0.3)), 7),
        distance in 1..4_usize,
        sizes in prop::sample::select(vec!["1:1", "1:0.6,2:0.2,4:0.2"]),
        rates in (1.0..300.0_f64, prop::option::of(20.0..500.0_f64), prop::option::of(5.0..300.0_f64)),
        scrub in prop::option::of(1..400_u64),
        frames in prop_oneof![1..30_u64, 200..2000_u64],
        seed: u64,
    ) {
        let io = if not_unrolled(&spec.build()).is_some() && io == Io::EconT { Io::Stream } else { io };
        let reuse_factor = NonZeroU64::new(if io == Io::EconT { 1 } else { reuse }).unwrap();
        let bench = Bench::random(&spec, 1, &ScheduleOptions { io, reuse_factor, ..ScheduleOptions::econ_t() });
        // Up to 24 frames, each has a part of the mission of its own.
        let cycles = (frames * bench.schedule.interval_cycles + bench.schedule.latency_cycles).min(6_000);
        let protection = (0..bench.inventory.bits()).map(|bit| {
            let (style, error_flag) = styles[bit % styles.len()];
            Protection { style: TmrStyle::ALL[style], error_flag }
        });
        let (mean_cycles, line_cycles, state_cycles) = rates;
        let setup = Setup {
            protection: protection.collect(), distance, sizes, mean_cycles, line_cycles, state_cycles, scrub, cycles, seed,
        };
        assert_plain(&bench, &setup, 2);
    }
}

#[test]
fn rare_strikes_leave_long_pieces_and_the_same_frames() {
    for (io, reuse) in [(Io::EconT, 1), (Io::Parallel, 4), (Io::Stream, 2)] {
        assert_rare_strikes(&small_as(1, io, reuse));
    }
}

fn assert_rare_strikes(bench: &Bench) {
    let flagged = |style| Protection { style, error_flag: true };
    for (protection, sizes) in [
        (Protection::NONE, "1:1"),
        (TmrStyle::Unvoted.into(), "1:1"),
        (flagged(TmrStyle::Unvoted), "1:1"),
        (flagged(TmrStyle::Feedback), "1:0.5,3:0.5"),
        (TmrStyle::Feedback3.into(), "3:1"),
    ] {
        for scrub in [None, Some(3_000)] {
            let state_cycles = scrub.map(|_| 3_000.0);
            let setup = Setup {
                distance: 2,
                sizes,
                scrub,
                state_cycles,
                ..Setup::uniform(bench, protection, 2_000.0, 120_000)
            };
            assert_plain(bench, &setup, 1);
            let outcome = &setup.fly(bench, 2, EXACT)[1];
            assert!(outcome.counts.strikes > 30 && outcome.machine_frames < outcome.frames / 5, "{outcome:?}");
        }
    }
}

#[test]
fn steady_states_weigh_as_their_frames_do() {
    // Each frame draws its event: what a mission expects of its steady pieces, the plain simulation finds on average.
    let bench = small(40);
    let setup = Setup { scrub: Some(2_000), ..Setup::uniform(&bench, Protection::NONE, 400.0, 20_000) };
    for evaluations in [EXACT, 3_000] {
        let replicas = 30;
        let outcomes = setup.fly(&bench, replicas, evaluations);
        let differences: Vec<[f64; 2]> = outcomes
            .iter()
            .map(|outcome| {
                let plain = plainly(&bench, &setup, outcome.replica);
                assert!(plain.wrong.len() > 500, "upsets matter");
                let rise: f64 = plain.wrong.iter().map(|(_, rise)| rise).sum();
                [outcome.wrong - plain.wrong.len() as f64, outcome.error_rise - rise / plain.frames as f64]
            })
            .collect();
        for figure in 0..2 {
            let values: Vec<f64> = differences.iter().map(|pair| pair[figure]).collect();
            let mean = values.iter().sum::<f64>() / f64::from(replicas);
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let error = (squares / f64::from(replicas - 1) / f64::from(replicas)).sqrt();
            // Student's t with 29 degrees of freedom: 3.66 is exceeded once in a thousand seeds.
            assert!(mean.abs() < 3.66 * error, "{figure}: {mean} {error}");
        }
    }
}

#[test]
fn first_wrong_outputs_come_when_frames_say() {
    // Strikes on small weights change few of the events, so most first wrong outputs come long after them.
    let bench = small(200);
    let setup = Setup::uniform(&bench, Protection::NONE, 2_000.0, 12_000);
    for evaluations in [EXACT, 20_000] {
        let (mut differences, mut drawn) = (Vec::new(), 0);
        for outcome in setup.fly(&bench, 60, evaluations) {
            let plain = plainly(&bench, &setup, outcome.replica);
            let frame = |seconds: f64| (seconds / bench.schedule.clock.period_s()).round() - 3.0;
            let found = outcome.first_wrong_s.map_or(12_000.0, frame);
            let first = plain.wrong.first().map_or(12_000.0, |(frame, _)| *frame as f64);
            drawn += usize::from(found.to_bits() != first.to_bits());
            differences.push(found - first);
        }
        let mean = differences.iter().sum::<f64>() / 60.0;
        let squares: f64 = differences.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / 59.0 / 60.0).sqrt();
        // Student's t with 59 degrees of freedom: 3.46 is exceeded once in a thousand seeds.
        assert!(drawn > 10 && mean.abs() < 3.46 * error, "{drawn} drawn, {mean} {error}");
    }
}

#[test]
fn protection_of_every_bit_stops_single_cells_and_not_clusters() {
    let bench = small(20);
    // 24 hours at 40 MHz, a strike every ten minutes.
    let cycles = 24 * 3600 * 40_000_000;
    for style in [TmrStyle::Feedback, TmrStyle::Feedback3] {
        let single = Setup { distance: 4, ..Setup::uniform(&bench, style.into(), 2.4e10, cycles) };
        for outcome in single.fly(&bench, 20, EXACT) {
            assert!(outcome.counts.strikes > 80);
            assert_eq!((outcome.wrong, outcome.counts.masked), (0.0, outcome.counts.upsets));
            assert_eq!((outcome.counts.by_feedback, outcome.first_wrong_s), (outcome.counts.upsets, None));
        }
        let narrow = Setup { sizes: "1:0.5,4:0.5", ..single.clone() };
        assert!(narrow.fly(&bench, 20, EXACT).iter().all(|outcome| outcome.wrong == 0.0));
        let wide = Setup { sizes: "1:0.5,5:0.5", ..single };
        let wrong = wide.fly(&bench, 20, EXACT).iter().filter(|outcome| outcome.wrong > 0.0).count();
        assert!(wrong > 10, "{wrong} of 20");
    }
}

#[test]
fn unvoted_copies_lose_the_vote_between_scrubs_as_theory_says() {
    let bench = small(1);
    let bits = bench.inventory.bits() as f64;
    // 400 scrub periods with lambda T = 0.02 for each copy.
    let (period, periods) = (1_000_000_u64, 400);
    let setup = Setup {
        scrub: Some(period),
        ..Setup::uniform(&bench, TmrStyle::Unvoted.into(), period as f64 / (0.02 * 3.0 * bits), period * periods)
    };
    // A lost vote is an upset that was not masked, unless it turns the vote back.
    let outcomes = setup.fly(&bench, 20, EXACT);
    let seen: u64 = outcomes.iter().map(|outcome| outcome.counts.upsets - outcome.counts.masked).sum();
    // A strike turns the vote when the two other copies differ: with p = (1 - exp(-2 lambda t)) / 2 for a wrong copy at the
    // rate 3 lambda 2 p (1 - p), which is 3 (lambda T)^2 times in a period when lambda T is small.
    let x = 0.02_f64;
    let exact = 1.5 * (x - (1.0 - (-4.0 * x).exp()) / 4.0);
    assert!((exact / (3.0 * x * x) - 1.0).abs() < 0.03);
    let expected = exact * bits * periods as f64 * 20.0;
    // Bits and periods are independent, so the count is close to Poisson: three standard deviations.
    assert!((seen as f64 - expected).abs() < 3.0 * expected.sqrt(), "{seen}, expected {expected}");
    for outcome in &outcomes {
        all_accounted_for(&outcome.counts);
        assert_eq!((outcome.counts.by_feedback, outcome.counts.detected), (0, 0));
    }
}

#[test]
fn threads_change_nothing() {
    let bench = small(30);
    let setup = Setup { scrub: Some(40_000), ..Setup::uniform(&bench, Protection::NONE, 3_000.0, 400_000) };
    for evaluations in [EXACT, 2_000] {
        let fly = |threads| with_threads(Some(threads), || setup.fly(&bench, 12, evaluations)).unwrap();
        assert_eq!(fly(1), fly(2));
        // A replica is the same whatever flies beside it, when all events judge it.
        if evaluations == EXACT {
            assert_eq!(fly(1)[..5], setup.fly(&bench, 5, evaluations));
        }
    }
}

#[test]
fn a_summary_is_about_its_replicas() {
    let bench = small(30);
    let setup = Setup::uniform(&bench, Protection::NONE, 30_000.0, 400_000);
    let outcomes = setup.fly(&bench, 40, EXACT);
    let confidence = Confidence::new(0.95).unwrap();
    let plan = SummaryPlan {
        confidence,
        mean_method: MeanMethod::StudentT,
        seed: 1,
        mission_s: 0.01,
        is_drawn: true,
        impossible: &[],
    };
    let summary = MissionSummary::of(&outcomes, &plan);
    let strikes = summary.of_quantity(Quantity::Strikes);
    // 13.3 expected in each, a standard deviation of 0.58 of the mean.
    assert!((strikes.mean - 40.0 / 3.0).abs() < 3.0 * 0.58, "{strikes:?}");
    let wrong: f64 = outcomes.iter().map(|outcome| outcome.wrong).sum();
    assert_eq!(summary.of_quantity(Quantity::WrongOutputs).mean, wrong / 40.0);
    assert_eq!(summary.wrong_share_by_time.len(), BINS);
    let [first, .., last] = summary.wrong_share_by_time[..] else { unreachable!() };
    assert!(first.mean < last.mean, "without repair things get worse");
}
