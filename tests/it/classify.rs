//! Classification: labels, accuracy and mispredictions, against plain evaluation and through every command.

use std::collections::BTreeMap;
use std::io::Cursor;

use proptest::prelude::*;
use serde_json::Value;
use trivote::campaign::{Event, OracleInput, correct_events, run_oracle};
use trivote::engine::reference;
use trivote::fault::{Biases, all_sites};
use trivote::host::evaluator::{Evaluator, EventInput, EventKind, OutputWords};
use trivote::host::metric::ErrorMetric;
use trivote::hw::Inventory;
use trivote::import::npy::read_npz;
use trivote::net::Network;
use trivote::report::grouped;
use trivote::report::npz::{NpzWriter, Packing};

use crate::cli::{Folder, csv, fail, run};
use crate::keras::data;
use crate::networks::{NetworkSpec, cnn_specs, specs};

/// The class of an output, written down once more: the first of the largest.
fn class(words: &[i64]) -> u32 {
    let largest = words.iter().max().unwrap();
    words.iter().position(|word| word == largest).unwrap().try_into().unwrap()
}

/// Events of a random network, most with the class it decides for as their label; `None` where `f32` does not hold them.
fn labeled_events(spec: &NetworkSpec, network: &Network) -> Option<Vec<Event>> {
    let signal = network.input().signal;
    let classes = network.output().len() as u64;
    let event = |stream: u64| {
        let codes = spec.event(stream);
        let values: Vec<f32> = codes.iter().map(|raw| signal.value(*raw) as f32).collect();
        let decided = class(&reference::output(network, &codes));
        let label = if stream % 3 == 2 { ((spec.seed ^ stream) % classes) as u32 } else { decided };
        let is_exact = values.iter().zip(&codes).all(|(value, raw)| f64::from(*value) == signal.value(*raw));
        is_exact.then(|| Event::new(network, EventInput::Labeled { values, label }).unwrap())
    };
    (0..6).map(event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn mispredictions_are_those_of_plain_evaluation(spec in prop_oneof![specs(), cnn_specs()]) {
        let network = spec.build();
        prop_assume!(network.output().len() > 1);
        let events = labeled_events(&spec, &network);
        prop_assume!(events.is_some());
        let events = events.unwrap();
        let inventory = Inventory::new(&network).unwrap();
        let kind = EventKind::Labeled { shape: spec.shape.clone() };
        let evaluator =
            Evaluator::new(None, ErrorMetric::Misprediction, kind, OutputWords::of(&network)).unwrap();
        let every = (inventory.bits() / 60).max(1);
        let sites: Vec<_> = all_sites(&inventory, Biases::Include).into_iter().step_by(every).collect();
        let input = OracleInput {
            network: &network, inventory: &inventory, evaluator: &evaluator, events: &events, sites: &sites,
        };
        let oracle = run_oracle(&input, &|_| {}).unwrap();

        let golden: Vec<Vec<i64>> = events.iter().map(|event| reference::output(&network, event.codes())).collect();
        let label = |event: &Event| event.input().label().unwrap();
        let correct: Vec<bool> = events.iter().zip(&golden).map(|(event, words)| class(words) == label(event)).collect();
        prop_assert_eq!(correct_events(&network, &evaluator, &events), Some(correct.clone()));
        let wrong = correct.iter().filter(|correct| !**correct).count();
        prop_assert_eq!(oracle.golden_mean(), wrong as f64 / events.len() as f64);
        for (site, outcome) in sites.iter().zip(oracle.outcomes()) {
            let (register, place) = inventory.locate_bit(*site);
            let (array, index) = inventory.locate(register);
            let tensor = network.node(array.node).op.tensor(array.tensor).unwrap();
            let faulty = tensor.format().flip(tensor.raw()[index], place);
            let faulty = network.with_weight(array.node, array.tensor, index, faulty).unwrap();
            let (mut changed, mut mispredicted) = (0, 0);
            for ((event, golden), correct) in events.iter().zip(&golden).zip(&correct) {
                let words = reference::output(&faulty, event.codes());
                changed += u32::from(words != *golden);
                mispredicted += u32::from(*correct && class(&words) != label(event));
            }
            prop_assert_eq!((outcome.changed_events, outcome.mispredictions()), (changed, mispredicted));
        }
    }
}

/// A design of two classes with images of bytes, the labels of all but every fifth event as it decides.
struct Classifier {
    folder: Folder,
    design: String,
    images: Vec<u8>,
    labels: Vec<i64>,
    classes: Vec<i64>,
}

const EVENTS: usize = 40;

/// Values of an event.
const LEN: usize = 48;

fn npz(arrays: &[(&str, &[usize], &[u8])], labels: Option<&[i64]>) -> Vec<u8> {
    let mut archive = NpzWriter::new(Cursor::new(Vec::new()), Packing::Stored);
    for (name, shape, values) in arrays {
        archive.add(name, shape, *values).unwrap();
    }
    if let Some(labels) = labels {
        archive.add("labels", &[labels.len()], labels).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn ints(file: &str, name: &str) -> Vec<i64> {
    let bytes = std::fs::read(file).unwrap();
    let array = read_npz(file, &bytes, name).unwrap();
    array.data().integers().map(|value| i64::try_from(value).unwrap()).collect()
}

impl Classifier {
    fn new() -> Self {
        let folder = Folder::new();
        let design = folder.path("design");
        let model = data("keras_blocks.h5").to_str().unwrap().to_owned();
        let format = "ap_ufixed<8,0,RND_CONV,SAT>";
        let options = ["--accelerator", "blocks", "--input-format", format, "--metric", "misprediction"];
        let text = run(&[&["import", &model, "-o", &design], &options[..]].concat());
        assert!(text.contains("compared with the label"), "{text}");
        let pixel = |(event, at): (usize, usize)| ((at * at * 31 + event * at * 7 + event * event * 53) % 256) as u8;
        let images: Vec<u8> = (0..EVENTS * LEN).map(|at| pixel((at / LEN, at % LEN))).collect();
        let events = folder.write("x.npz", npz(&[("x", &[EVENTS, LEN], &images)], None));
        let out = folder.path("out.npz");
        run(&["infer", &design, "--events", &events, "--scale", "0.00390625", "--metric", "deviation", "-o", &out]);
        let codes = ints(&out, "codes");
        let classes: Vec<i64> = codes.chunks_exact(2).map(|words| i64::from(class(words))).collect();
        let labels = classes.iter().enumerate().map(|(at, class)| if at % 5 == 4 { 1 - class } else { *class });
        let labels = labels.collect();
        Self { folder, design, images, labels, classes }
    }

    /// Makes images and labels those of the design.
    fn own_events(&self) {
        let design = std::path::Path::new(&self.design);
        let shape: &[usize] = &[EVENTS, LEN];
        std::fs::write(design.join("images.npz"), npz(&[("images", shape, &self.images)], None)).unwrap();
        std::fs::write(design.join("labels.npz"), npz(&[], Some(&self.labels))).unwrap();
        let path = design.join("design.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let keys = "[events]\nfile = \"images.npz\"\nscale = 0.00390625\nlabels = \"labels.npz\"\n";
        std::fs::write(path, text.replace("[events]\n", keys)).unwrap();
    }
}

#[test]
fn a_classifier_through_infer_and_oracle() {
    let case = Classifier::new();
    assert!(case.classes.iter().any(|class| *class != case.classes[0]), "events that tell classes apart");
    case.own_events();
    let (design, folder) = (case.design.as_str(), &case.folder);
    let out = folder.path("out.npz");
    let text = run(&["infer", design, "-o", &out]);
    assert!(text.contains("correctly classified: 32 of 40 (80.00 %)"), "{text}");
    assert_eq!(ints(&out, "class"), case.classes);
    assert_eq!(ints(&out, "label"), case.labels);
    assert_eq!(ints(&out, "correct").iter().sum::<i64>(), 32);
    let json: Value = serde_json::from_str(&run(&["infer", design, "--json"])).unwrap();
    assert_eq!((&json["classification"]["correct_events"], &json["mean_error"]), (&32.into(), &0.2.into()));

    let [all, correct] = ["all.csv", "correct.csv"].map(|name| folder.path(name));
    let text = run(&["oracle", design, "-o", &all]);
    assert!(text.contains("40 events, 32 classified correctly without faults (80.00 %)"), "{text}");
    run(&["oracle", design, "--correct-only", "-o", &correct]);
    let [all, correct] = [all, correct].map(|file| csv(&std::fs::read_to_string(file).unwrap()));
    let number = |text: &str| text.parse::<f64>().unwrap();
    let mut mispredictions = 0.0;
    for (all, correct) in all.iter().zip(&correct) {
        // An event that is wrong without a fault is never one more that is wrong.
        assert_eq!(all["mispredictions"], correct["mispredictions"]);
        assert!(number(&correct["changed_events"]) <= number(&all["changed_events"]));
        assert!(number(&all["mispredictions"]) <= number(&correct["changed_events"]));
        assert_eq!(number(&all["error_rise"]), number(&all["mispredictions"]) / 40.0);
        assert_eq!(number(&correct["error_rise"]), number(&correct["mispredictions"]) / 32.0);
        mispredictions += number(&all["mispredictions"]);
    }
    assert!(mispredictions > 0.0);
    let totals: Value = serde_json::from_str(&std::fs::read_to_string(folder.path("all.csv.json")).unwrap()).unwrap();
    assert_eq!((&totals["correct_events"], &totals["accuracy"]), (&32.into(), &0.8.into()));
    assert_eq!(totals["total"]["mispredictions"].as_f64(), Some(mispredictions));
    let deviation = run(&["oracle", design, "--metric", "deviation", "--json"]);
    assert!(!deviation.contains("mispredictions"));
}

#[test]
fn a_classifier_through_the_other_commands() {
    let case = Classifier::new();
    case.own_events();
    let (design, folder) = (case.design.as_str(), &case.folder);
    let text = run(&["inject", design, "--model", "bits:2", "--trials", "50", "-o", &folder.path("i.csv")]);
    assert!(text.contains("mean mispredictions"), "{text}");
    let trials = csv(&std::fs::read_to_string(folder.path("i.csv")).unwrap());
    assert!(trials.iter().any(|trial| trial["mispredictions"] != "0"));
    let scores = folder.path("scores.csv");
    let text = run(&["analyze", design, "--scores", &scores]);
    assert!(text.contains("cross-entropy"), "{text}");
    guided_campaigns_count_mispredictions(&case);
    let (sweep, missions) = (folder.path("sweep"), folder.path("missions"));
    let rankings = "oracle,bit-curve,hessian,msb";
    let text = run(&["sweep", design, "--rankings", rankings, "--verify", "-o", &sweep]);
    assert!(text.contains("wrong left") && text.contains("exactly") && !text.contains("NO "), "{text}");
    // Missions speak of mispredictions, too.
    let text = run(&["simulate", design, "--hours", "1", "-o", &missions]);
    assert!(text.contains("outputs of the wrong class") && !text.contains("mean error"), "{text}");
    let text = run(&["simulate", design, "--hours", "1", "--styles", "none,feedback", "--replicas", "20"]);
    assert!(text.contains("made wrong: share of outputs of the wrong class"), "{text}");
    let text = run(&["compare", &missions, "-o", &folder.path("missions.html")]);
    assert!(text.contains("made wrong") && !text.contains("error rise"), "{text}");
    let text = run(&["compare", &sweep, &missions, "-o", &folder.path("page.html")]);
    assert!(text.contains("accuracy 80.00 %"), "{text}");
    let page = std::fs::read_to_string(folder.path("page.html")).unwrap();
    assert!(page.contains("80.00 % (32 events)"));
}

/// Every bit flipped has the mispredictions that the oracle has of it; other metrics have none.
fn guided_campaigns_count_mispredictions(case: &Classifier) {
    let (design, folder) = (case.design.as_str(), &case.folder);
    let [oracle, flips] = ["oracle.csv", "flips.csv"].map(|name| folder.path(name));
    run(&["oracle", design, "-o", &oracle]);
    let text = run(&["analyze", design, "--guided", "msb", "--missing", "20%", "--flips", &flips]);
    assert!(text.contains("mispredictions found") && !text.contains("rise"), "{text}");
    let address = |row: &BTreeMap<String, String>| ["layer", "tensor", "index", "bit"].map(|name| row[name].clone());
    let known = csv(&std::fs::read_to_string(&oracle).unwrap());
    let known: BTreeMap<_, _> = known.iter().map(|row| (address(row), row)).collect();
    let found = csv(&std::fs::read_to_string(&flips).unwrap());
    for row in &found {
        for column in ["changed_events", "mispredictions", "mean_error", "error_rise"] {
            assert_eq!(row[column], known[&address(row)][column], "{column}");
        }
    }
    let all: u64 = found.iter().map(|row| row["mispredictions"].parse::<u64>().unwrap()).sum();
    let totals: Value = serde_json::from_str(&std::fs::read_to_string(folder.path("flips.csv.json")).unwrap()).unwrap();
    assert_eq!((&totals["mispredictions_found"], &totals["correct_events"]), (&all.into(), &32.into()));
    assert!(all > 0 && text.contains(&grouped(usize::try_from(all).unwrap())), "{text}");
    let header = std::fs::read_to_string(&flips).unwrap().lines().next().unwrap().to_owned();
    assert!(header.contains(",changed_events,mispredictions,mean_error,"), "{header}");
    let entropy = ["analyze", design, "--guided", "msb", "--metric", "cross-entropy", "--flips", &flips, "--json"];
    assert!(!run(&entropy).contains("mispredictions"));
    assert!(!std::fs::read_to_string(&flips).unwrap().contains("mispredictions"));
}

#[test]
fn labels_from_anywhere_are_the_same_labels() {
    let case = Classifier::new();
    let (design, folder) = (case.design.as_str(), &case.folder);
    let shape: &[usize] = &[EVENTS, LEN];
    let together = folder.write("both.npz", npz(&[("images", shape, &case.images)], Some(&case.labels)));
    let alone = folder.write("images.npz", npz(&[("images", shape, &case.images)], None));
    let labels = folder.write("labels.npz", npz(&[], Some(&case.labels)));
    let one_hot: Vec<u8> = case.labels.iter().flat_map(|label| (0..2).map(|class| u8::from(class == *label))).collect();
    let one_hot = folder.write("one_hot.npz", npz(&[("y", &[EVENTS, 2], &one_hot)], None));
    let rise = |options: &[&str]| -> Value {
        let arguments = [&["oracle", design, "--scale", "0.00390625", "--json"], options].concat();
        let json: Value = serde_json::from_str(&run(&arguments)).unwrap();
        Value::Array(["total", "correct_events"].map(|key| json[key].clone()).to_vec())
    };
    let expected = rise(&["--events", &together]);
    assert_eq!(expected[1], 32);
    assert_eq!(rise(&["--events", &alone, "--labels", &labels]), expected);
    assert_eq!(rise(&["--events", &alone, "--labels", &one_hot]), expected);
    let json: Value = serde_json::from_str(&run(&[
        "infer",
        design,
        "--scale",
        "0.00390625",
        "--events",
        &alone,
        "--labels",
        &labels,
        "--limit",
        "9",
        "--json",
    ]))
    .unwrap();
    assert_eq!((&json["events"], &json["classification"]["correct_events"]), (&9.into(), &8.into()));
    let command = json["provenance"]["command"].as_array().unwrap();
    assert!(["--scale", "--labels", "--limit"].iter().all(|option| command.contains(&(*option).into())));
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let case = Classifier::new();
    let (design, folder) = (case.design.as_str(), &case.folder);
    let shape: &[usize] = &[EVENTS, LEN];
    let images = folder.write("images.npz", npz(&[("images", shape, &case.images)], None));
    let file = |name: &str, labels: &[i64]| folder.write(name, npz(&[], Some(labels)));
    let (few, beyond) = (file("few.npz", &case.labels[1..]), file("beyond.npz", &[2; EVENTS]));
    let labels = file("labels.npz", &case.labels);
    let wrong: Vec<i64> = case.classes.iter().map(|class| 1 - class).collect();
    let wrong = file("wrong.npz", &wrong);
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["oracle", design, "--events", &images],
            &["metric `misprediction` needs the class of every event", "--labels"],
        ),
        (&["oracle", design, "--events", &images, "--labels", &few], &["few.npz: 39 labels for 40 events"]),
        (
            &["oracle", design, "--events", &images, "--labels", &beyond],
            &["beyond.npz, event 0: label 2, but the network has 2 outputs, for classes 0 to 1"],
        ),
        (&["infer", design, "--events", &images, "--metric", "deviation", "--correct-only"], &["have no labels"]),
        (
            &["infer", design, "--scale", "0.00390625", "--events", &images, "--labels", &wrong, "--correct-only"],
            &["none of the events correctly"],
        ),
        (&["infer", "econ_t_small", "--labels", &labels], &["is fed with HGCal modules"]),
        (&["infer", design, "--labels", &labels], &["has no events of its own"]),
    ];
    for (arguments, expected) in cases {
        let error = fail(1, arguments);
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }
    let error = fail(2, &["infer", design, "--scale", "0"]);
    assert!(error.contains("a number other than 0"), "{error}");
}
