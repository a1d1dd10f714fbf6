//! The whole way from a Keras file to outputs, against what QKeras itself computed (`tests/data/make_keras_fixtures.py`).

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use trivote::campaign::{Event, infer};
use trivote::engine::reference;
use trivote::host::evaluator::{Evaluator, EventInput, EventKind, OutputWords};
use trivote::host::metric::ErrorMetric;
use trivote::import::keras::{Imported, KerasOptions, ModelSource, read_keras};

pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(model: &str, weights: Option<&str>, options: KerasOptions<'_>) -> Imported {
    let bytes = fs::read(data(model)).unwrap();
    let weight_bytes = weights.map(|name| fs::read(data(name)).unwrap());
    let weights = weights.zip(weight_bytes.as_deref()).map(|(name, bytes)| ModelSource { name, bytes });
    read_keras(ModelSource { name: model, bytes: &bytes }, weights, &options).unwrap()
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// Accelerator outputs are equal; float32 decoders add up in another order than TensorFlow.
fn compare(imported: &Imported, golden: &Value) {
    const DECODER_TOLERANCE: f32 = 1e-5;
    let network = &imported.accelerator;
    let kind = EventKind::Tensor { shape: network.input().shape.clone() };
    let evaluator =
        Evaluator::new(imported.off_chip.as_ref(), ErrorMetric::Deviation, kind, OutputWords::of(network)).unwrap();
    let inputs = rows(&golden["events"]);
    let events: Vec<Event> =
        inputs.into_iter().map(|values| Event::new(network, EventInput::Tensor(values)).unwrap()).collect();
    let outcomes = infer(network, &evaluator, &events).unwrap();
    let expected = rows(&golden["accelerator"]);
    assert!(!expected.is_empty() && expected.len() == outcomes.len());
    for (outcome, expected) in outcomes.iter().zip(&expected) {
        assert_eq!(outcome.latent, *expected);
    }
    if let Some(decoded) = golden.get("decoder") {
        for (outcome, expected) in outcomes.iter().zip(rows(decoded)) {
            assert_eq!(outcome.decoded.len(), expected.len());
            for (found, expected) in outcome.decoded.iter().zip(expected) {
                assert!((found - expected).abs() < DECODER_TOLERANCE, "{found} {expected}");
            }
        }
    }
}

#[test]
fn outputs_equal_those_of_qkeras() {
    let golden: Value = serde_json::from_slice(&fs::read(data("keras_golden.json")).unwrap()).unwrap();
    compare(&read("keras_nested.h5", None, KerasOptions::default()), &golden["nested"]);
    compare(&read("keras_flat.h5", None, KerasOptions::default()), &golden["flat"]);
    compare(&read("keras_flat.json", Some("keras_flat_weights.h5"), KerasOptions::default()), &golden["flat"]);
    let input_format = Some("ap_fixed<12,6,RND_CONV,SAT>".parse().unwrap());
    let options = KerasOptions { accelerator: Some("blocks"), input_format, ..KerasOptions::default() };
    compare(&read("keras_blocks.h5", None, options), &golden["blocks"]);
}

#[test]
fn a_convolutional_network_equals_qkeras() {
    let golden: Value = serde_json::from_slice(&fs::read(data("keras_golden.json")).unwrap()).unwrap();
    let options = KerasOptions { accelerator: Some("cnn"), ..KerasOptions::default() };
    let imported = read("keras_cnn.keras", None, options);
    assert!(imported.is_classifier);
    let network = &imported.accelerator;
    let (events, expected) = (rows(&golden["cnn"]["events"]), rows(&golden["cnn"]["accelerator"]));
    assert!(!events.is_empty());
    for (event, expected) in events.iter().zip(&expected) {
        let input: Vec<i64> =
            event.iter().map(|value| network.input_quantizer().quantize_f64(f64::from(*value)).unwrap()).collect();
        let output = reference::output(network, &input);
        let found: Vec<f32> = output.iter().map(|raw| network.output().signal.value(*raw) as f32).collect();
        assert_eq!(found, *expected);
    }
}
