//! The oracle against the straightforward evaluation: every flip written into a copy of the network, every event of every
//! copy evaluated from the beginning, nothing shared and nothing skipped.

use std::path::Path;

use proptest::prelude::*;
use trivote::campaign::{
    Event, ExactSum, Oracle, OracleInput, OracleRun, Shard, SiteOutcome, Tally, output_values, run_oracle,
};
use trivote::engine::reference;
use trivote::fault::{Biases, all_sites};
use trivote::host::evaluator::{Evaluator, EvaluatorScratch, EventInput, EventKind};
use trivote::host::generator::{Generator, Population};
use trivote::host::metric::ErrorMetric;
use trivote::hw::{BitId, Inventory};
use trivote::import::design::Design;
use trivote::net::Network;

use super::networks::{NetworkSpec, specs};

/// Outcome of every site and the fault-free sum, straight from their definition.
fn straightforward(input: &OracleInput<'_>) -> (Vec<SiteOutcome>, ExactSum) {
    let signal = input.network.output().signal;
    let mut scratch = EvaluatorScratch::default();
    let golden: Vec<(Vec<i64>, Vec<f32>, f64)> = input
        .events
        .iter()
        .map(|event| {
            let raw = reference::output(input.network, event.codes());
            let output = output_values(signal, &raw);
            let error = input.evaluator.error(event.input(), &output, &output, &mut scratch);
            (raw, output, error)
        })
        .collect();
    let outcome = |bit: &BitId| {
        let (register, place) = input.inventory.locate_bit(*bit);
        let (array, index) = input.inventory.locate(register);
        let tensor = input.network.node(array.node).op.tensor(array.tensor).unwrap();
        let faulty = tensor.format().flip(tensor.raw()[index], place);
        let network = input.network.with_weight(array.node, array.tensor, index, faulty).unwrap();
        let mut outcome = SiteOutcome::default();
        for (event, (golden_raw, golden_output, golden_error)) in input.events.iter().zip(&golden) {
            let raw = reference::output(&network, event.codes());
            if raw != *golden_raw {
                let output = output_values(signal, &raw);
                let error =
                    input.evaluator.error(event.input(), &output, golden_output, &mut EvaluatorScratch::default());
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

/// Events for a random network, some of them more than once.
fn events(spec: &NetworkSpec, network: &Network, streams: &[u64]) -> Vec<Event> {
    let step = (-f64::from(spec.input.format.frac_bits())).exp2();
    let event = |stream: &u64| {
        let values = spec.event(*stream).iter().map(|raw| (*raw as f64 * step) as f32).collect();
        Event::new(network, EventInput::Tensor(values)).unwrap()
    };
    streams.iter().map(event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn random_networks(spec in specs(), streams in prop::collection::vec(0..4_u64, 1..5)) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let kind = EventKind::Tensor { shape: spec.shape.clone() };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, network.output().len()).unwrap();
        let (events, sites) = (events(&spec, &network, &streams), all_sites(&inventory, Biases::Include));
        let input = OracleInput {
            network: &network,
            inventory: &inventory,
            evaluator: &evaluator,
            events: &events,
            sites: &sites,
        };
        assert_straightforward(&input);
    }

    #[test]
    fn any_way_to_cut_the_work_gives_the_same(
        spec in specs(),
        streams in prop::collection::vec(0..9_u64, 1..9),
        count in 1..4_u32,
        pieces in prop::collection::vec(0..4_u64, 40),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let kind = EventKind::Tensor { shape: spec.shape.clone() };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, network.output().len()).unwrap();
        let (events, sites) = (events(&spec, &network, &streams), all_sites(&inventory, Biases::Include));
        let input = OracleInput {
            network: &network,
            inventory: &inventory,
            evaluator: &evaluator,
            events: &events,
            sites: &sites,
        };
        let whole = run_oracle(&input, &|_| {}).unwrap();
        let mut total = Tally::new(sites.len());
        let mut pieces = pieces.iter().copied().cycle();
        let mut pairs = 0;
        for number in 1..=count {
            let shard = format!("{number}/{count}").parse().unwrap();
            let mut tally = Tally::new(sites.len());
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
        prop_assert_eq!(Oracle::new(events.len(), total), whole);
    }
}

fn shipped(name: &str, count: usize, sites: impl Fn(&Inventory) -> Vec<BitId>) {
    let design = Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models").join(name)).unwrap();
    let network = &design.accelerator;
    let inventory = Inventory::new(network).unwrap();
    let evaluator =
        Evaluator::new(design.off_chip.as_ref(), ErrorMetric::Emd, EventKind::Module, network.output().len()).unwrap();
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
