//! Campaigns of many flips: against the plain evaluation, against the oracle, and as a user runs them.

use std::fs;

use proptest::prelude::*;
use serde_json::Value;
use trivote::campaign::{
    CampaignError, Event, ExactSum, OracleInput, TrialInput, TrialOutcomes, output_values, run_oracle, run_trials,
    with_threads,
};
use trivote::engine::{Engine, WeightChange, reference};
use trivote::fault::{FaultModel, Trials};
use trivote::host::evaluator::{Evaluator, EvaluatorScratch, EventInput, EventKind, OutputWords};
use trivote::host::metric::ErrorMetric;
use trivote::hw::{BitId, Inventory};
use trivote::net::Network;
use trivote::num::cast;

use super::cli::{Folder, csv, fail, run};
use super::networks::{NetworkSpec, specs};

/// The network with all these bits flipped, one after the other.
fn flipped(network: &Network, inventory: &Inventory, bits: &[BitId]) -> Network {
    bits.iter().fold(network.clone(), |network, bit| {
        let (register, place) = inventory.locate_bit(*bit);
        let (array, index) = inventory.locate(register);
        let tensor = network.node(array.node).op.tensor(array.tensor).unwrap();
        let faulty = tensor.format().flip(tensor.raw()[index], place);
        network.with_weight(array.node, array.tensor, index, faulty).unwrap()
    })
}

/// A random design with its judge and some events.
struct Bench {
    network: Network,
    inventory: Inventory,
    evaluator: Evaluator,
    events: Vec<Event>,
}

impl Bench {
    fn new(spec: &NetworkSpec, events: u64) -> Self {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let kind = EventKind::Tensor { shape: network.input().shape.clone() };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, OutputWords::of(&network)).unwrap();
        let event = |stream| {
            // Rounded to f32, where codes have many bits: another event then.
            let values = output_values(network.input().signal, &spec.event(stream));
            Event::new(&network, EventInput::Tensor(values)).unwrap()
        };
        let events = (0..events).map(event).collect();
        Self { network, inventory, evaluator, events }
    }

    fn run(&self, trials: &[Vec<BitId>]) -> Result<TrialOutcomes, CampaignError> {
        let Self { network, inventory, evaluator, events } = self;
        run_trials(&TrialInput { network, inventory, evaluator, events }, trials, &|_| {})
    }

    /// `count` trials of a model.
    fn draw(&self, model: &FaultModel, seed: u64, count: usize) -> Option<Vec<Vec<BitId>>> {
        let candidates: Vec<BitId> = self.inventory.bit_ids().collect();
        match Trials::new(model, &self.inventory, &candidates).ok()? {
            Trials::Drawn(sampler) => Some((0..cast::u64_from_len(count)).map(|t| sampler.trial(seed, t)).collect()),
            Trials::Listed(all) => Some((0..all.len().min(count)).map(|unit| all.bits(unit)).collect()),
        }
    }
}

fn models() -> impl Strategy<Value = FaultModel> {
    prop_oneof!["bits:[1-9]", Just("pairs".to_owned()), Just("cluster".to_owned()), Just("ber:0.1".to_owned())]
        .prop_map(|name| FaultModel::parse(&name, Some(&"1:1,3:1,8:1".parse().unwrap())).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn many_flips_equal_the_plain_evaluation(spec in specs(), model in models(), seed: u64) {
        let bench = Bench::new(&spec, 3);
        let Some(trials) = bench.draw(&model, seed, 12) else { return Ok(()) };
        let found = bench.run(&trials).unwrap();
        let Bench { network, inventory, evaluator, events } = &bench;
        let mut scratch = EvaluatorScratch::default();
        for (bits, outcome) in trials.iter().zip(&found.outcomes) {
            let faulty = flipped(network, inventory, bits);
            let (mut changed, mut rise, mut golden_sum) = (0, ExactSum::default(), ExactSum::default());
            for event in events {
                let words = [network, &faulty].map(|network| reference::output(network, event.codes()));
                let [golden, output] = &words;
                let mut error = |output: &[i64]| evaluator.error(event.input(), output, golden, &mut scratch);
                changed += u32::from(words[0] != words[1]);
                rise += ExactSum::of(error(output) - error(golden)).unwrap();
                golden_sum += ExactSum::of(error(golden)).unwrap();
            }
            prop_assert_eq!(outcome.rise_sum, rise);
            prop_assert_eq!(outcome.changed_events, changed);
            prop_assert_eq!(found.golden_sum, golden_sum);
        }
        let one = with_threads(Some(1), || bench.run(&trials)).unwrap().unwrap();
        let two = with_threads(Some(2), || bench.run(&trials)).unwrap().unwrap();
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(&one, &found);
        // A trial's outcome is its own.
        let alone = bench.run(&trials[trials.len() / 2..][..1]).unwrap();
        prop_assert_eq!(&alone.outcomes[..], &found.outcomes[trials.len() / 2..][..1]);
    }

    #[test]
    fn all_single_bits_are_the_oracle(spec in specs()) {
        let bench = Bench::new(&spec, 3);
        let trials = bench.draw(&FaultModel::Bits(1), 1, usize::MAX).unwrap();
        let found = bench.run(&trials).unwrap();
        let Bench { network, inventory, evaluator, events } = &bench;
        let sites: Vec<BitId> = inventory.bit_ids().collect();
        prop_assert_eq!(&trials, &sites.iter().map(|bit| vec![*bit]).collect::<Vec<_>>());
        let input = OracleInput { network, inventory, evaluator, events, sites: &sites };
        let oracle = run_oracle(&input, &|_| {}).unwrap();
        prop_assert_eq!(&found.outcomes[..], oracle.outcomes());
        let golden = found.golden_sum.value() / cast::f64_from_count(events.len());
        prop_assert_eq!(golden, oracle.golden_mean());
    }

    #[test]
    fn changes_of_many_bits_are_the_registers_that_differ(spec in specs(), seed: u64) {
        let bench = Bench::new(&spec, 1);
        let Bench { network, inventory, events, .. } = &bench;
        let rate = FaultModel::parse("ber:0.3", None).unwrap();
        for bits in bench.draw(&rate, seed, 4).unwrap() {
            let changes = WeightChange::of_flips(network, inventory, &bits);
            let faulty = flipped(network, inventory, &bits);
            let mut expected = Vec::new();
            for register in inventory.registers() {
                let (array, index) = inventory.locate(register);
                let raw = |network: &Network| network.node(array.node).op.tensor(array.tensor).unwrap().raw()[index];
                let delta = raw(&faulty) - raw(network);
                if delta != 0 {
                    expected.push(WeightChange { node: array.node, tensor: array.tensor, index, delta });
                }
            }
            prop_assert_eq!(&changes, &expected);
            let engine = Engine::new(network);
            let trace = engine.trace(events[0].codes());
            let mut scratch = engine.scratch();
            let output = engine.evaluate(&trace, &mut scratch, &changes);
            let output = output.map_or_else(|| trace.output().to_vec(), |output| output.to_vec());
            prop_assert_eq!(output, reference::output(&faulty, events[0].codes()));
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn single_bits_print_what_the_oracle_prints() {
    let folder = Folder::new();
    let sites = folder.write(
        "sites.csv",
        "layer,tensor,index,bit\nencoded_vector,kernel,7,3\nen_dense_0,bias,3,7\nencoded_vector,kernel,9,0\n",
    );
    let [single, oracle] = ["single.csv", "oracle.csv"].map(|name| folder.path(name));
    for (verb, out) in [("inject", &single), ("oracle", &oracle)] {
        run(&[verb, "econ_t_small", "--limit", "5", "--sites", &sites, "-o", out]);
    }
    let read = |path: &str| csv(&fs::read_to_string(path).unwrap());
    let (trials, mut rows) = (read(&single), read(&oracle));
    // Trials are in the order of the registers, whatever that of the file.
    rows.rotate_left(1);
    rows.swap(1, 2);
    assert_eq!(trials.len(), 3);
    for (number, (trial, row)) in trials.iter().zip(&rows).enumerate() {
        assert_eq!(trial["trial"], number.to_string());
        assert_eq!(trial["flips"], "1");
        let site = format!("{}.{}[{}].bit[{}]", row["layer"], row["tensor"], row["index"], row["bit"]);
        assert_eq!(trial["sites"], site);
        for column in ["changed_events", "mean_error", "error_rise"] {
            assert_eq!(trial[column], row[column], "{site}");
        }
    }
    let estimates = json(&fs::read_to_string(folder.path("single.csv.json")).unwrap());
    assert_eq!((&estimates["ending"], &estimates["population"]), (&"complete".into(), &3.into()));
    assert_eq!(estimates["error_rise"]["low"], estimates["error_rise"]["high"]);
}

#[test]
fn campaigns_are_reproducible_and_say_how_sure_they_are() {
    let folder = Folder::new();
    for (name, model) in [
        ("bits", &["--model", "bits:2", "--trials", "250"][..]),
        ("ber", &["--model", "ber:0.0002", "--trials", "210", "--include-bias", "--mean-interval", "bootstrap"]),
        (
            "cluster",
            &["--model", "cluster", "--cluster-sizes", "2:7,1:90,3:3", "--trials", "90", "--interval", "exact"],
        ),
        ("pairs", &["--model", "pairs", "--proportion-half-width", "0.06", "--confidence", "0.9"]),
    ] {
        let inject = |out: &str, extra: &[&str]| {
            let mut all = vec!["inject", "econ_t_small", "--limit", "8", "-o", out];
            all.extend(model.iter().chain(extra));
            run(&all)
        };
        let [one, two, other] = ["one", "two", "other"].map(|run| folder.path(&format!("{name}.{run}.csv")));
        let printed = inject(&one, &["--threads", "1"]);
        inject(&two, &["--threads", "2"]);
        inject(&other, &["--seed", "2"]);
        let read = |path: &str| fs::read_to_string(path).unwrap();
        let beside = |path: &str| read(&format!("{path}.json"));
        assert_eq!((read(&one), beside(&one)), (read(&two), beside(&two)), "{name}: threads do not matter");
        assert_ne!(read(&one), read(&other), "{name}: the seed does");
        assert!(printed.lines().all(|line| line.chars().count() <= 130), "{printed}");

        let (rows, estimates) = (csv(&read(&one)), json(&beside(&one)));
        assert_eq!(estimates["trials"], rows.len());
        let number = |value: &Value| value.as_f64().unwrap();
        let rises: Vec<f64> = rows.iter().map(|row| row["error_rise"].parse().unwrap()).collect();
        for row in &rows {
            let sites = row["sites"].split(';').filter(|site| !site.is_empty()).count();
            assert_eq!(row["flips"], sites.to_string());
            let difference: f64 = row["mean_error"].parse::<f64>().unwrap() - number(&estimates["golden_mean_error"]);
            assert!((difference - row["error_rise"].parse::<f64>().unwrap()).abs() < 1e-12);
        }
        for estimate in ["effective", "sensitive", "error_rise"] {
            let estimate = &estimates[estimate];
            let value = number(if estimate["share"].is_null() { &estimate["mean"] } else { &estimate["share"] });
            assert!(number(&estimate["low"]) < value && value < number(&estimate["high"]), "{estimate}");
        }
        assert_eq!(estimates["sensitive"]["trials"], rises.iter().filter(|rise| **rise > 0.0).count());
        let by_flips = estimates["by_flips"].as_array().unwrap();
        assert_eq!(by_flips.iter().map(|row| row["trials"].as_u64().unwrap()).sum::<u64>(), rows.len() as u64);
        assert_eq!(estimates["provenance"]["seeds"][1], serde_json::json!(["trials", 1]));
        match name {
            "pairs" => {
                assert_eq!(estimates["ending"], "promise kept");
                assert_eq!(estimates["population"], 1280 * 28);
                let strata = estimates["strata"].as_array().unwrap();
                assert_eq!(strata.len(), 14, "the least significant bit is no upper bit of a pair");
                let width = |name: &str| number(&estimates[name]["high"]) - number(&estimates[name]["low"]);
                assert!(width("effective") <= 0.12 && width("sensitive") <= 0.12);
                assert!(printed.contains("promise kept") && printed.contains("90 % interval"), "{printed}");
            }
            "ber" => {
                let empty = rows.iter().filter(|row| row["flips"] == "0").count();
                assert!(empty > 0 && estimates["trials_without_flips"] == empty);
                assert!(printed.contains("trials without any flip"), "{printed}");
            }
            "cluster" => assert_eq!(estimates["cluster_sizes"][1], serde_json::json!({"size": 2, "probability": 0.07})),
            _ => assert!(rows.iter().all(|row| row["flips"] == "2")),
        }
        let mean = rises.iter().sum::<f64>() / rises.len() as f64;
        assert!(name == "pairs" || (number(&estimates["error_rise"]["mean"]) - mean).abs() < 1e-12);
    }
}

#[test]
fn a_broken_promise_is_said() {
    let arguments = ["inject", "econ_t_small", "--limit", "4", "--half-width", "1e-9", "--trials", "50"];
    let printed = run(&arguments);
    assert!(printed.contains("PROMISE NOT KEPT"), "{printed}");
    let mut all = arguments.to_vec();
    all.extend(["--json", "--model", "bits:3"]);
    assert_eq!(json(&run(&all))["ending"], "trials spent");
}

#[test]
fn wrong_campaigns_are_named_and_nothing_is_written() {
    let folder = Folder::new();
    let out = folder.path("out.csv");
    let lone = folder.write("lone.csv", "layer,tensor,index,bit\nencoded_vector,kernel,7,3\nen_dense_0,bias,3,7\n");
    let twice =
        folder.write("twice.csv", "layer,tensor,index,bit\nencoded_vector,kernel,7,3\nencoded_vector,kernel,7,3\n");
    let before = folder.names();
    let cases: [(&[&str], i32, &[&str]); 22] = [
        (&["--model", "bits:10241"], 1, &["bits:10241", "10240 candidate bits"]),
        (&["--model", "bits:0"], 2, &["bits:0", "no fault model"]),
        (&["--model", "double"], 2, &["double", "bits:2, pairs, cluster or ber:0.001"]),
        (&["--model", "ber:1.5"], 2, &["1.5", "from 0 to 1"]),
        (&["--model", "ber:-0.5"], 2, &["-0.5", "from 0 to 1"]),
        (&["--model", "cluster"], 2, &["--cluster-sizes"]),
        (&["--cluster-sizes", "1:1"], 2, &["--cluster-sizes", "--model cluster"]),
        (&["--model", "cluster", "--cluster-sizes", "1:0.9,0:0.1"], 2, &["0:0.1", "SIZE:WEIGHT"]),
        (&["--model", "cluster", "--cluster-sizes", "1:-0.9"], 2, &["1:-0.9"]),
        (&["--model", "cluster", "--cluster-sizes", "1:0"], 2, &["add up to 0"]),
        (&["--model", "cluster", "--cluster-sizes", "2:1,2:3"], 2, &["size 2", "twice"]),
        (&["--model", "pairs", "--sites", &lone], 1, &["pairs", "at least two candidate bits"]),
        (&["--sites", &twice], 1, &["twice.csv", "line 3"]),
        (&["--half-width", "0"], 2, &["--half-width", "above 0"]),
        (&["--proportion-half-width", "-1"], 2, &["--proportion-half-width", "above 0"]),
        (&["--confidence", "1"], 2, &["--confidence", "between 0 and 1"]),
        (&["--confidence", "95"], 2, &["--confidence", "between 0 and 1"]),
        (&["--trials", "0"], 2, &["--trials", "at least 1"]),
        (&["--trials", "20"], 1, &["20 trials", "16 strata", "32"]),
        (&["--interval", "wald"], 2, &["wald", "wilson or exact"]),
        (&["--mean-interval", "z"], 2, &["t or bootstrap"]),
        (&["--allocation", "best"], 2, &["neyman or proportional"]),
    ];
    for (arguments, code, parts) in cases {
        let mut all = vec!["inject", "econ_t_small", "--limit", "2", "-o", &out];
        all.extend(arguments);
        let error = fail(code, &all);
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: `{part}` in: {error}");
        }
        assert_eq!(folder.names(), before, "{arguments:?} left something behind");
    }
}
