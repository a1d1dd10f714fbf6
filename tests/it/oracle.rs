//! The oracle against the straightforward evaluation: every flip written into a copy of the network, every event of every
//! copy evaluated from the beginning, nothing shared and nothing skipped.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use trivote::campaign::{
    CampaignError, Confidence, Event, ExactSum, GuidedOrder, GuidedPlan, KnownFlips, MissingShare, Oracle, OracleInput,
    OracleRun, Shard, SiteOutcome, Tally, run_guided, run_oracle, with_threads,
};
use trivote::engine::reference;
use trivote::fault::{Biases, all_sites};
use trivote::host::evaluator::{Evaluator, EvaluatorScratch, EventInput, EventKind, OutputWords};
use trivote::host::generator::{Generator, Population};
use trivote::host::metric::ErrorMetric;
use trivote::hw::{BitId, Inventory};
use trivote::import::design::Design;
use trivote::net::{Dense, Network, NetworkBuilder, Op, WeightTensor};
use trivote::num::{QFormat, qkeras};
use trivote::report::partial::{PartialFlips, WorkManifest};

use super::networks::{NetworkSpec, specs};

/// Outcome of every site and the fault-free sum, straight from their definition.
fn straightforward(input: &OracleInput<'_>) -> (Vec<SiteOutcome>, ExactSum) {
    let mut scratch = EvaluatorScratch::default();
    let golden: Vec<(Vec<i64>, f64)> = input
        .events
        .iter()
        .map(|event| {
            let words = reference::output(input.network, event.codes());
            let error = input.evaluator.error(event.input(), &words, &words, &mut scratch);
            (words, error)
        })
        .collect();
    let outcome = |bit: &BitId| {
        let (register, place) = input.inventory.locate_bit(*bit);
        let (array, index) = input.inventory.locate(register);
        let tensor = input.network.node(array.node).op.tensor(array.tensor).unwrap();
        let faulty = tensor.format().flip(tensor.raw()[index], place);
        let network = input.network.with_weight(array.node, array.tensor, index, faulty).unwrap();
        let mut outcome = SiteOutcome::default();
        for (event, (golden_words, golden_error)) in input.events.iter().zip(&golden) {
            let words = reference::output(&network, event.codes());
            if words != *golden_words {
                let error =
                    input.evaluator.error(event.input(), &words, golden_words, &mut EvaluatorScratch::default());
                outcome.changed_events += 1;
                outcome.rise_sum += ExactSum::of(error - golden_error).unwrap();
            }
        }
        outcome
    };
    let outcomes = input.sites.iter().map(outcome).collect();
    (outcomes, golden.iter().map(|(.., error)| ExactSum::of(*error).unwrap()).sum())
}

fn assert_straightforward(input: &OracleInput<'_>) {
    let oracle = run_oracle(input, &|_| {}).unwrap();
    let (outcomes, golden_sum) = straightforward(input);
    for (position, (found, expected)) in oracle.outcomes().iter().zip(&outcomes).enumerate() {
        assert_eq!(found, expected, "{}", input.inventory.bit_address(input.sites[position]));
    }
    assert_eq!(oracle, Oracle::new(input.events.len(), Tally::of_parts(oracle_tiles(input), golden_sum, outcomes)));
}

fn oracle_tiles(input: &OracleInput<'_>) -> u64 {
    OracleRun::new(*input, Shard::WHOLE).tiles()
}

/// A network by itself, all its bits, and tensors as events.
struct Case {
    network: Network,
    inventory: Inventory,
    evaluator: Evaluator,
    events: Vec<Event>,
    sites: Vec<BitId>,
}

impl Case {
    fn new(network: Network, shape: &[usize], tensors: impl Iterator<Item = Vec<f32>>) -> Self {
        let kind = EventKind::Tensor { shape: shape.to_vec() };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, OutputWords::of(&network)).unwrap();
        let inventory = Inventory::new(&network).unwrap();
        let event = |values| Event::new(&network, EventInput::Tensor(values)).unwrap();
        let (events, sites) = (tensors.map(event).collect(), all_sites(&inventory, Biases::Include));
        Self { network, inventory, evaluator, events, sites }
    }

    /// A random network; events of the same stream are the same.
    fn random(spec: &NetworkSpec, streams: &[u64]) -> Self {
        let step = (-f64::from(spec.input.format.frac_bits())).exp2();
        let tensor = |stream: &u64| spec.event(*stream).iter().map(|raw| (*raw as f64 * step) as f32).collect();
        Self::new(spec.build(), &spec.shape, streams.iter().map(tensor))
    }

    fn input(&self) -> OracleInput<'_> {
        OracleInput {
            network: &self.network,
            inventory: &self.inventory,
            evaluator: &self.evaluator,
            events: &self.events,
            sites: &self.sites,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn random_networks(spec in specs(), streams in prop::collection::vec(0..4_u64, 1..5)) {
        assert_straightforward(&Case::random(&spec, &streams).input());
    }

    #[test]
    fn any_way_to_cut_the_work_gives_the_same(
        spec in specs(),
        streams in prop::collection::vec(0..9_u64, 1..9),
        count in 1..4_u32,
        pieces in prop::collection::vec(0..4_u64, 40),
    ) {
        let case = Case::random(&spec, &streams);
        let input = case.input();
        let whole = run_oracle(&input, &|_| {}).unwrap();
        let mut total = Tally::new(case.sites.len());
        let mut pieces = pieces.iter().copied().cycle();
        let mut pairs = 0;
        for number in 1..=count {
            let shard = format!("{number}/{count}").parse().unwrap();
            let mut tally = Tally::new(case.sites.len());
            // Stopped and started again after every piece.
            loop {
                let mut run = OracleRun::new(input, shard).resume(tally);
                if run.is_done() {
                    pairs += run.pairs().1;
                    prop_assert_eq!(run.pairs().0, run.pairs().1);
                    total.add_tally(&run.into_tally());
                    break;
                }
                run.advance(pieces.next().unwrap().max(1), &|_| {}).unwrap();
                tally = run.into_tally();
            }
        }
        prop_assert_eq!(pairs, input.pairs());
        prop_assert_eq!(Oracle::new(case.events.len(), total), whole);
    }

    #[test]
    fn a_guided_campaign_that_is_replayed_is_the_same(
        spec in specs(),
        streams in prop::collection::vec(0..9_u64, 1..9),
        pieces in prop::collection::vec(1..20_u64, 40),
    ) {
        let case = Case::random(&spec, &streams);
        let input = case.input();
        let order: Vec<usize> = (0..case.sites.len()).rev().collect();
        let order = GuidedOrder { order: &order, estimates: None };
        let plan = GuidedPlan {
            missing: MissingShare::new(0.3).unwrap(),
            confidence: Confidence::new(0.5).unwrap(),
            seed: spec.seed,
        };
        let whole = run_guided(&input, &order, &plan, &mut |sites| {
            let mut run = OracleRun::new(OracleInput { sites, ..input }, Shard::WHOLE);
            run.advance(run.tiles(), &|_| {}).map(|()| run.into_tally())
        });
        // Stopped after every few tiles; all that goes on is what the file says.
        let manifest = WorkManifest::of_flips(&input, vec!["command".to_owned()]);
        let mut bytes = PartialFlips::to_bytes(&manifest, &KnownFlips::default()).unwrap();
        let pairs = AtomicU64::new(0);
        let mut pieces = pieces.iter().copied().cycle();
        let replayed = loop {
            let PartialFlips { manifest: found, mut known } = PartialFlips::read("file", &bytes).unwrap();
            prop_assert_eq!(&found, &manifest);
            let mut tiles = pieces.next().unwrap();
            let replayed = run_guided(&input, &order, &plan, &mut |sites| {
                while let Some(batch) = known.begin(sites) {
                    let before = batch.tally.tiles_done();
                    let piece = OracleInput { sites: &batch.sites, ..input };
                    let mut run = OracleRun::new(piece, Shard::WHOLE).resume(batch.tally);
                    run.advance(tiles, &|done| { pairs.fetch_add(done, Ordering::Relaxed); }).unwrap();
                    tiles -= run.tally().tiles_done() - before;
                    if !run.is_done() {
                        known.keep(run.tally());
                        return Err(());
                    }
                    known.complete(run.tally());
                }
                Ok(known.tally(sites))
            });
            match replayed {
                Ok(replayed) => break replayed,
                Err(()) => bytes = PartialFlips::to_bytes(&manifest, &known).unwrap(),
            }
        };
        let flips = replayed.guided.flips.len() as u64;
        prop_assert_eq!(Ok(replayed), whole);
        // Nothing was done twice.
        prop_assert_eq!(pairs.into_inner(), flips * case.events.len() as u64);
    }
}

/// A register whose lowest bit is worth 2^41: squares of that cannot be added up.
#[test]
fn errors_too_large_to_add_up_are_named() {
    let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 4).unwrap()).unwrap();
    let kernel = WeightTensor::new(vec![2, 1], vec![1, 1], QFormat::signed(4, 45).unwrap()).unwrap();
    let source = net.input();
    net.push("dense", Op::Dense(Dense { kernel, bias: None }), &[source]).unwrap();
    let tensors = [[0.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 2.0]].map(|tensor| tensor.to_vec());
    let case = Case::new(net.finish().unwrap(), &[2], tensors.into_iter());
    let expected = CampaignError::Faulty {
        event: 1,
        site: "dense.kernel[1].bit[0]".to_owned(),
        error: (44.0_f64.exp2() * 3.0).powi(2),
    };
    for threads in [1, 3] {
        let found = with_threads(Some(threads), || run_oracle(&case.input(), &|_| {})).unwrap();
        assert_eq!(found, Err(expected.clone()));
    }
    // What was done before the failure is kept, and asking again gives the same answer.
    let mut run = OracleRun::new(case.input(), Shard::WHOLE);
    run.advance(1, &|_| {}).unwrap();
    let before = run.tally().clone();
    for _ in 0..2 {
        assert_eq!(run.advance(9, &|_| {}), Err(expected.clone()));
        assert_eq!((run.tally(), run.is_done()), (&before, false));
    }
}

fn shipped(name: &str, count: usize, sites: impl Fn(&Inventory) -> Vec<BitId>) {
    let design = Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models").join(name)).unwrap();
    let network = &design.accelerator;
    let inventory = Inventory::new(network).unwrap();
    let evaluator =
        Evaluator::new(design.off_chip.as_ref(), ErrorMetric::Emd, EventKind::Module, OutputWords::of(network))
            .unwrap();
    let modules = Generator::new(Population::Mixture, 7).events(0, count);
    let events: Vec<Event> =
        modules.into_iter().map(|charges| Event::new(network, EventInput::Module(charges)).unwrap()).collect();
    let sites = sites(&inventory);
    assert_straightforward(&OracleInput {
        network,
        inventory: &inventory,
        evaluator: &evaluator,
        events: &events,
        sites: &sites,
    });
}

#[test]
fn every_bit_of_small_on_50_events() {
    shipped("econ_t_small", 50, |inventory| all_sites(inventory, Biases::Exclude));
}

#[test]
fn some_bits_of_medium_and_large() {
    shipped("econ_t_medium", 6, |inventory| all_sites(inventory, Biases::Include).into_iter().step_by(7).collect());
    shipped("econ_t_large", 3, |inventory| all_sites(inventory, Biases::Include).into_iter().step_by(61).collect());
}
