//! The reader against what QKeras computed: the fixtures of `tests/data/make_keras_fixtures.py`.
//!
//! Evaluates the networks read with plain loops of its own, so that it depends on no later layer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::attributes::Attributes;
use super::graph::Config;
use super::quantizer::QuantizerConfig;
use super::{Imported, KerasOptions, ModelSource, read_keras};
use crate::net::{Activation, FloatNetwork, FloatOp, Network, Op, TensorKind};

pub(super) const NESTED: &[u8] = include_bytes!("../../../tests/data/keras_nested.h5");
pub(super) const FLAT: &[u8] = include_bytes!("../../../tests/data/keras_flat.h5");
pub(super) const FLAT_JSON: &[u8] = include_bytes!("../../../tests/data/keras_flat.json");
pub(super) const FLAT_WEIGHTS: &[u8] = include_bytes!("../../../tests/data/keras_flat_weights.h5");
pub(super) const BLOCKS: &[u8] = include_bytes!("../../../tests/data/keras_blocks.h5");
pub(super) const CNN: &[u8] = include_bytes!("../../../tests/data/keras_cnn.keras");
const GOLDEN: &str = include_str!("../../../tests/data/keras_golden.json");

/// QKeras' decoder runs in `f32`; sums of at most 36 products of magnitude below 4.
const FLOAT_TOLERANCE: f64 = 1e-5;

pub(super) fn source<'a>(name: &'a str, bytes: &'a [u8]) -> ModelSource<'a> {
    ModelSource { name, bytes }
}

pub(super) fn options() -> KerasOptions<'static> {
    KerasOptions::default()
}

fn blocks_options() -> KerasOptions<'static> {
    KerasOptions { input_format: Some("ap_ufixed<5,0,AP_RND_CONV,AP_SAT>".parse().unwrap()), ..options() }
}

pub(super) fn read(name: &str, bytes: &[u8], options: &KerasOptions<'_>) -> Imported {
    read_keras(source(name, bytes), None, options).unwrap()
}

pub(super) fn golden(model: &str) -> Value {
    serde_json::from_str::<Value>(GOLDEN).unwrap()[model].take()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Multiplies out a graph of integer operations in the most direct way; returns real values.
fn evaluate(network: &Network, event: &[f64]) -> Vec<f64> {
    let mut values: Vec<Vec<i64>> = Vec::new();
    for node in network.nodes() {
        let x = node.inputs.first().map(|id| (&values[id.index()], network.node(*id)));
        let quantize = |q: crate::num::Quantizer| {
            let (x, from) = x.unwrap();
            x.iter().map(|raw| q.quantize(*raw, from.signal.frac_bits)).collect::<Vec<_>>()
        };
        let bias = |c: usize| match node.op.tensor(TensorKind::Bias) {
            Some(bias) => bias.raw()[c] << node.align[c].bias,
            None => 0,
        };
        let out = match &node.op {
            Op::Input(quantizer) => event.iter().map(|value| quantizer.quantize_f64(*value).unwrap()).collect(),
            Op::Quantize(quantizer) => quantize(*quantizer),
            Op::Relu => x.unwrap().0.iter().map(|raw| *raw.max(&0)).collect(),
            Op::Reshape => x.unwrap().0.clone(),
            Op::ZeroPad2d(padding) => {
                let (x, from) = x.unwrap();
                let [rows, columns, channels] = from.shape[..] else { unreachable!() };
                let mut out = vec![0; node.len()];
                for row in 0..rows {
                    for column in 0..columns {
                        let to = ((row + padding.top) * node.shape[1] + column + padding.left) * channels;
                        let at = (row * columns + column) * channels;
                        out[to..to + channels].copy_from_slice(&x[at..at + channels]);
                    }
                }
                out
            }
            Op::Dense(dense) => {
                let (x, outputs) = (x.unwrap().0, node.shape[0]);
                let sum =
                    |c: usize| x.iter().enumerate().map(|(i, x)| x * dense.kernel.raw()[i * outputs + c]).sum::<i64>();
                (0..outputs).map(|c| (sum(c) << node.align[c].product) + bias(c)).collect()
            }
            Op::Conv2d(conv) => {
                let (x, from) = x.unwrap();
                let [rows, columns, inputs] = from.shape[..] else { unreachable!() };
                let (window, filters) = (&conv.window, node.shape[2]);
                let mut out = Vec::new();
                for index in 0..node.len() {
                    let (pixel, c) = (index / filters, index % filters);
                    let (row, column) = (pixel / node.shape[1], pixel % node.shape[1]);
                    let mut sum = 0;
                    for (w, weight) in conv.kernel.raw().iter().enumerate().skip(c).step_by(filters) {
                        let (tap, channel) = (w / filters / inputs, w / filters % inputs);
                        let at_row = window.input_row(row, tap / window.kernel[1], rows);
                        let at_column = window.input_column(column, tap % window.kernel[1], columns);
                        if let (Some(r), Some(k)) = (at_row, at_column) {
                            sum += weight * x[(r * columns + k) * inputs + channel];
                        }
                    }
                    out.push((sum << node.align[c].product) + bias(c));
                }
                out
            }
            other => unreachable!("no model here has {other:?}"),
        };
        assert_eq!(out.len(), node.len(), "{}", node.name);
        assert!(out.iter().all(|raw| (node.signal.low..=node.signal.high).contains(raw)), "{}", node.name);
        values.push(out);
    }
    values.last().unwrap().iter().map(|raw| network.output().signal.value(*raw)).collect()
}

/// The same for the off-chip part, in `f64`.
fn evaluate_float(network: &FloatNetwork, code: &[f64]) -> Vec<f64> {
    let mut values: Vec<Vec<f64>> = Vec::new();
    for node in network.nodes() {
        let (x, shape) = (values.get(node.input), &network.nodes()[node.input].shape);
        let out = match &node.op {
            FloatOp::Input => code.to_vec(),
            FloatOp::Reshape | FloatOp::Activation(Activation::Linear) => x.unwrap().clone(),
            FloatOp::Quantize(q) => x.unwrap().iter().map(|x| q.format.value(q.quantize_f64(*x).unwrap())).collect(),
            FloatOp::Activation(Activation::Relu) => x.unwrap().iter().map(|x| x.max(0.0)).collect(),
            FloatOp::Activation(Activation::Sigmoid) => x.unwrap().iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
            FloatOp::Activation(Activation::Softmax) => {
                let total: f64 = x.unwrap().iter().map(|x| x.exp()).sum();
                x.unwrap().iter().map(|x| x.exp() / total).collect()
            }
            FloatOp::Dense { kernel, bias } => {
                let mut out: Vec<f64> = bias.iter().map(|b| f64::from(*b)).collect();
                for (index, weight) in kernel.iter().enumerate() {
                    out[index % bias.len()] += f64::from(*weight) * x.unwrap()[index / bias.len()];
                }
                out
            }
            FloatOp::ZeroPad2d(padding) => {
                let mut out = vec![0.0; node.shape.iter().product()];
                for (index, value) in x.unwrap().iter().enumerate() {
                    let (pixel, channel) = (index / shape[2], index % shape[2]);
                    let (row, column) = (pixel / shape[1] + padding.top, pixel % shape[1] + padding.left);
                    out[(row * node.shape[1] + column) * shape[2] + channel] = *value;
                }
                out
            }
            // Both convolutions visit every (window position, tap); the transposed one reads where the other writes.
            FloatOp::Conv2d { kernel, bias, window } | FloatOp::Conv2dTranspose { kernel, bias, window } => {
                let forward = matches!(node.op, FloatOp::Conv2d { .. });
                let (wide, narrow) = if forward { (shape, &node.shape) } else { (&node.shape, shape) };
                let mut out: Vec<f64> =
                    (0..node.shape.iter().product()).map(|i| f64::from(bias[i % bias.len()])).collect();
                for position in 0..narrow[0] * narrow[1] {
                    for (index, weight) in kernel.iter().enumerate() {
                        // Keras: [row, column, in, out], transposed [row, column, out, in]: the wide map's channel
                        // first.
                        let (tap, of_wide, of_narrow) =
                            (index / narrow[2] / wide[2], index / narrow[2] % wide[2], index % narrow[2]);
                        let row = window.input_row(position / narrow[1], tap / window.kernel[1], wide[0]);
                        let column = window.input_column(position % narrow[1], tap % window.kernel[1], wide[1]);
                        let (Some(row), Some(column)) = (row, column) else { continue };
                        let at_wide = (row * wide[1] + column) * wide[2] + of_wide;
                        let at_narrow = position * narrow[2] + of_narrow;
                        let (from, to) = if forward { (at_wide, at_narrow) } else { (at_narrow, at_wide) };
                        out[to] += f64::from(*weight) * x.unwrap()[from];
                    }
                }
                out
            }
        };
        values.push(out);
    }
    values.pop().unwrap()
}

fn check_weights(network: &Network, golden: &Value) {
    let mut tensors = 0;
    for (_, node) in network.iter() {
        for (kind, tensor) in node.op.tensors() {
            let layer = node.name.rsplit('/').next().unwrap();
            let expected = numbers(&golden["weights"][layer][kind.to_string()]);
            let found: Vec<f64> = (0..tensor.len()).map(|index| tensor.value(index)).collect();
            assert_eq!(found, expected, "{layer} {kind}");
            tensors += 1;
        }
    }
    assert!(tensors > 2);
}

fn check_outputs(network: &Network, golden: &Value) {
    for (event, expected) in golden["events"].as_array().unwrap().iter().zip(golden["accelerator"].as_array().unwrap())
    {
        assert_eq!(evaluate(network, &numbers(event)), numbers(expected), "{}", network.name());
    }
}

#[test]
fn a_nested_model_equals_qkeras() {
    let imported = read("nested.h5", NESTED, &options());
    let golden = golden("nested");
    check_weights(&imported.accelerator, &golden);
    check_outputs(&imported.accelerator, &golden);
    let names: Vec<_> = imported.accelerator.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["input_qa", "conv", "conv_qa", "flatten", "latent", "latent_qa"]);
    assert_eq!(imported.accelerator.name(), "encoder");

    let decoder = imported.off_chip.unwrap();
    assert_eq!((decoder.name(), decoder.input().name.as_str()), ("decoder", "code"));
    for (code, expected) in golden["accelerator"].as_array().unwrap().iter().zip(golden["decoder"].as_array().unwrap())
    {
        for (found, expected) in evaluate_float(&decoder, &numbers(code)).iter().zip(numbers(expected)) {
            assert!((found - expected).abs() < FLOAT_TOLERANCE, "{found} {expected}");
        }
    }
    let notes = imported.notes.join("\n");
    assert!(notes.contains("sub-model `encoder` of `autoencoder`"), "{notes}");
    assert!(notes.contains("layer `latent`: kernel: alpha = auto_po2, channels [3]: all weights are 0"), "{notes}");
}

#[test]
fn a_flat_model_equals_qkeras_from_one_file_or_two() {
    let golden = golden("flat");
    let one = read("flat.h5", FLAT, &options());
    check_weights(&one.accelerator, &golden);
    check_outputs(&one.accelerator, &golden);
    assert_eq!(one.off_chip, None);
    let names: Vec<_> = one.accelerator.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["input_qa", "pad", "conv", "conv.activation", "flatten", "dense", "relu", "out", "out_qa"]);

    let wrapped = serde_json::to_vec(&String::from_utf8(FLAT_JSON.to_vec()).unwrap()).unwrap();
    for architecture in [FLAT_JSON, FLAT, &wrapped] {
        for weights in [FLAT_WEIGHTS, FLAT] {
            let two = read_keras(source("flat", architecture), Some(source("w.h5", weights)), &options()).unwrap();
            assert_eq!(two, one);
        }
    }
}

#[test]
fn a_block_inside_and_a_given_input_format() {
    let imported = read("blocks.h5", BLOCKS, &KerasOptions { accelerator: Some("blocks"), ..blocks_options() });
    let golden = golden("blocks");
    check_weights(&imported.accelerator, &golden);
    check_outputs(&imported.accelerator, &golden);
    let names: Vec<_> = imported.accelerator.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["image", "conv", "conv.activation", "qa", "reshape", "dense"]);
}

#[test]
fn a_given_input_format_keeps_the_activation() {
    let input_format = "ap_fixed<12,4>".parse().unwrap();
    let imported = read("flat.h5", FLAT, &KerasOptions { input_format: Some(input_format), ..options() });
    let names: Vec<_> = imported.accelerator.nodes().iter().map(|node| node.name.as_str()).take(3).collect();
    assert_eq!(names, ["input_qa_input", "input_qa", "pad"]);
    assert_eq!(imported.accelerator.input_quantizer(), input_format);
}

#[test]
fn scales_found_from_the_weights_equal_qkeras() {
    for case in golden("quantizers").as_array().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
        let values: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
        let config = json!({"class_name": "quantized_bits", "config": {
            "bits": case["bits"], "integer": case["integer"], "alpha": "auto_po2"}});
        let at = Attributes { layer: "l", class: "QDense", config: &Config::new() };
        let quantizer = QuantizerConfig::parse(&at, "kernel_quantizer", &config).unwrap().unwrap();
        let held = quantizer.registers(&shape, &values).unwrap().tensor;
        let found: Vec<f64> = (0..held.len()).map(|index| held.value(index)).collect();
        assert_eq!(found, numbers(&case["quantized"]), "{config} {shape:?}");
    }
}

/// Every register is the rounding of its trained weight: kernel before bias, layer by layer, also where batch
/// normalizations are folded in or stand alone, and where depthwise kernels are laid out anew.
#[test]
fn registers_are_roundings_of_the_trained_weights() {
    let blocks = KerasOptions { accelerator: Some("blocks"), ..blocks_options() };
    let cnn = KerasOptions { accelerator: Some("cnn"), ..options() };
    for (file, options) in [(NESTED, options()), (FLAT, options()), (BLOCKS, blocks), (CNN, cnn)] {
        let Imported { accelerator, trained, .. } = read("m", file, &options);
        let mut rest = trained.as_slice();
        for node in accelerator.nodes() {
            for tensor in [TensorKind::Kernel, TensorKind::Bias].iter().filter_map(|kind| node.op.tensor(*kind)) {
                let trained = rest.split_off(..tensor.len()).unwrap();
                // A symmetric quantizer leaves the smallest integer out. A batch normalization that stands alone is
                // truncated, so within a step.
                let (high, is_signed) = (tensor.format().max_raw(), tensor.format().is_signed());
                let low = if is_signed { -high } else { 0 };
                let near = |value: &dyn Fn(usize, i64) -> f64| {
                    trained.iter().enumerate().all(|(index, weight)| {
                        let at = |raw| value(index, raw);
                        (at(tensor.raw()[index]) - weight.clamp(at(low), at(high))).abs() <= at(1) - at(0)
                    })
                };
                // What a fixed `alpha` multiplies is the rounded weight.
                let is_near = near(&|index, raw| tensor.value_of(index, raw));
                assert!(is_near || near(&|_, raw| tensor.format().value(raw)), "{}: {trained:?}", node.name);
            }
        }
        assert!(rest.is_empty() && !trained.is_empty());
    }
}

#[test]
fn activations_with_slopes_and_bounds_equal_qkeras() {
    let frac_bits = 5;
    for case in golden("activations").as_array().unwrap() {
        let at = Attributes { layer: "l", class: "QActivation", config: &Config::new() };
        let quantizer = QuantizerConfig::parse(&at, "activation", &case["activation"]).unwrap().unwrap();
        let activated = quantizer.activation(&at, "activation").unwrap();
        let found = (-160..=160_i64).map(|x| {
            let leak = activated.leak.unwrap_or(0);
            let leaky = if x > 0 || activated.leak.is_none() { x << leak } else { x };
            let raw = activated.quantizer.quantize(leaky, frac_bits + i32::try_from(leak).unwrap());
            let (low, high) = activated.clip.unwrap_or((i64::MIN, i64::MAX));
            activated.quantizer.format.value(raw.clamp(low, high))
        });
        assert_eq!(found.collect::<Vec<_>>(), numbers(&case["result"]), "{}", case["activation"]);
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(cut in 0..NESTED.len(), flips in prop::collection::vec((0..NESTED.len(), 0_u8..8), 0..6)) {
        for file in [NESTED, FLAT_WEIGHTS, CNN] {
            let mut bytes = file.to_vec();
            for (at, bit) in &flips {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            let _ = read_keras(source("m", &bytes), None, &options()).map_err(|error| error.to_string());
            let _ = read_keras(source("m", FLAT_JSON), Some(source("w", &bytes)), &options()).map_err(|e| e.to_string());
            bytes.truncate(cut);
            let _ = read_keras(source("m", &bytes), None, &options()).map_err(|error| error.to_string());
        }
    }
}
