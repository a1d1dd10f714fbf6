//! The reader against what QKeras computed: the fixtures of `tests/data/make_keras_fixtures.py`.
//!
//! Evaluates the networks read with plain loops of its own, so that it depends on no later layer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::config::Attributes;
use super::graph::Config;
use super::quantizer::QuantizerConfig;
use super::{Imported, KerasError, KerasOptions, ModelSource, read_keras};
use crate::net::{Activation, FloatNetwork, FloatOp, Network, Op, TensorKind};

const NESTED: &[u8] = include_bytes!("../../../tests/data/keras_nested.h5");
const FLAT: &[u8] = include_bytes!("../../../tests/data/keras_flat.h5");
const FLAT_JSON: &[u8] = include_bytes!("../../../tests/data/keras_flat.json");
const FLAT_WEIGHTS: &[u8] = include_bytes!("../../../tests/data/keras_flat_weights.h5");
const BLOCKS: &[u8] = include_bytes!("../../../tests/data/keras_blocks.h5");
const GOLDEN: &str = include_str!("../../../tests/data/keras_golden.json");

/// QKeras' decoder runs in `f32`; sums of at most 36 products of magnitude below 4.
const FLOAT_TOLERANCE: f64 = 1e-5;

fn source<'a>(name: &'a str, bytes: &'a [u8]) -> ModelSource<'a> {
    ModelSource { name, bytes }
}

fn options() -> KerasOptions<'static> {
    KerasOptions::default()
}

fn blocks_options() -> KerasOptions<'static> {
    KerasOptions { input_format: Some("ap_ufixed<5,0,AP_RND_CONV,AP_SAT>".parse().unwrap()), ..options() }
}

fn read(name: &str, bytes: &[u8], options: &KerasOptions<'_>) -> Imported {
    read_keras(source(name, bytes), None, options).unwrap()
}

fn golden(model: &str) -> Value {
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
            FloatOp::Reshape => x.unwrap().clone(),
            FloatOp::Quantize(q) => x.unwrap().iter().map(|x| q.format.value(q.quantize_f64(*x).unwrap())).collect(),
            FloatOp::Activation(Activation::Linear) => x.unwrap().clone(),
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
                        // Keras: [row, column, in, out], transposed [row, column, out, in]: the wide map's channel first.
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

fn error(model: &[u8], weights: Option<&[u8]>, options: &KerasOptions<'_>) -> String {
    read_keras(source("m", model), weights.map(|bytes| source("w", bytes)), options).unwrap_err().to_string()
}

#[test]
fn files_of_other_kinds_are_refused() {
    let with = |weights| error(FLAT_JSON, Some(weights), &options());
    assert!(
        error(b"PK\x03\x04", None, &options()).contains("m: neither an HDF5 file nor the JSON of a Keras architecture")
    );
    assert!(error(b"PK\x03\x04", None, &options()).contains("Save it as .h5"));
    assert!(error(b"", None, &options()).contains("neither"));
    assert!(error(b"{", None, &options()).contains("not valid JSON"));
    assert!(error(b"{}", None, &options()).contains("`config` is null"));
    assert!(error(FLAT_JSON, None, &options()).contains("give the HDF5 file of its weights too"));
    assert!(error(FLAT_WEIGHTS, None, &options()).contains("m: has no `model_config` attribute"));
    assert!(with(FLAT_JSON).starts_with("w: neither"));
    assert!(with(&FLAT_WEIGHTS[..9000]).starts_with("w: "));
    let foreign = with(NESTED);
    assert_eq!(foreign, "w: layer `conv`: its kernel has shape [3, 3, 1, 4]; the architecture says [2, 3, 2, 3]");
    assert_eq!(with(BLOCKS), "w: layer `conv`: its kernel has shape [2, 2, 3, 4]; the architecture says [2, 3, 2, 3]");
}

#[test]
fn the_choice_of_sub_models() {
    let choose = |accelerator, decoder| {
        read_keras(source("m", NESTED), None, &KerasOptions { accelerator, decoder, ..options() })
            .map(|imported| {
                (imported.accelerator.name().to_owned(), imported.off_chip.map(|net| net.name().to_owned()))
            })
            .map_err(|error| error.to_string())
    };
    let both = Ok(("encoder".to_owned(), Some("decoder".to_owned())));
    assert_eq!(choose(Some("encoder"), None), both);
    assert_eq!(choose(None, Some("decoder")), both);
    let found = "the file has `autoencoder`, `encoder`, `decoder`";
    assert_eq!(choose(Some("x"), None), Err(format!("there is no sub-model `x`; {found}")));
    let fed = "sub-model `x` does not take the output of `encoder`; it feeds `decoder`";
    assert_eq!(choose(None, Some("x")), Err(fed.to_owned()));
    let blocks = error(BLOCKS, None, &options());
    assert!(blocks.contains("The file has `blocks`, `block`; name one (--accelerator)"), "{blocks}");
    let whole = error(FLAT, None, &KerasOptions { decoder: Some("x"), ..options() });
    assert!(whole.contains("it feeds no sub-model"), "{whole}");
    let float = error(NESTED, None, &KerasOptions { accelerator: Some("decoder"), ..options() });
    assert!(float.starts_with("layer `de_dense`: Dense is not supported in the accelerator; supported: "), "{float}");
    let input = error(BLOCKS, None, &KerasOptions { accelerator: Some("blocks"), ..options() });
    assert!(input.contains("layer `image`: no QActivation follows the input") && input.contains("--input-format"));
}

/// The flat architecture with the value at a JSON pointer below `/config/layers` replaced.
fn changed(changes: &[(&str, Value)]) -> Vec<u8> {
    let mut architecture: Value = serde_json::from_slice(FLAT_JSON).unwrap();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = architecture.pointer_mut(&format!("/config/layers{parent}")).unwrap();
        match parent {
            Value::Object(object) => {
                object.insert(key.to_owned(), value.clone());
            }
            other => other[key.parse::<usize>().unwrap()] = value.clone(),
        }
    }
    architecture.to_string().into_bytes()
}

fn refusal(pointer: &str, value: Value) -> String {
    error(&changed(&[(pointer, value)]), Some(FLAT_WEIGHTS), &options())
}

/// The same architecture with a change that does not matter, or whose effect is told by the result.
fn accepted(changes: &[(&str, Value)]) -> Imported {
    read_keras(source("m", &changed(changes)), Some(source("w", FLAT_WEIGHTS)), &options()).unwrap()
}

#[test]
fn what_hardware_cannot_follow_is_refused_by_name() {
    let q = "/3/config/kernel_quantizer/config";
    let cases = [
        ("/3/config/dilation_rate", json!([2, 2]), "dilation_rate = [2, 2] is not supported; supported: [1, 1]"),
        ("/3/config/groups", json!(2), "groups = 2 is not supported; supported: 1"),
        ("/3/config/data_format", json!("channels_first"), "data_format = \"channels_first\" is not supported"),
        ("/3/config/padding", json!("causal"), "padding = \"causal\" is not supported; supported: \"same\", \"valid\""),
        ("/3/config/strides", json!([0, 1]), "strides = [0, 1] is not supported"),
        ("/3/config/strides", json!(-1), "strides = -1 is not supported"),
        ("/3/config/kernel_size", json!([1e30, 1]), "kernel_size = [1e+30, 1] is not supported"),
        ("/3/config/kernel_size", json!([8, 1]), "cannot take an input of shape [7, 8, 2]; its window of 8x1"),
        ("/3/config/filters", json!(0), "filters = 0 is not supported"),
        ("/3/config/filters", json!(i64::MAX), "filters = 9223372036854775807 is not supported"),
        ("/3/config/filters", json!(1_000_000), "it would make [3, 6, 1000000]"),
        ("/3/config/use_bias", json!("yes"), "use_bias = \"yes\" is not supported"),
        (
            "/3/config/activation",
            json!("sigmoid"),
            "activation = \"sigmoid\" is not supported; supported: linear, relu, ",
        ),
        ("/3/config/activation", json!("hard_tanh(1)"), "activation = \"hard_tanh(1)\" is not supported"),
        ("/3/config/kernel_quantizer", Value::Null, "kernel_quantizer is missing; quantized_bits or quantized_relu"),
        ("/3/config/bias_quantizer", Value::Null, "bias_quantizer is missing"),
        ("/3/config/kernel_quantizer/class_name", json!("binary"), "supported: quantized_bits, quantized_relu"),
        ("bits", json!(0), "kernel_quantizer.bits: a register of 0 bits is not supported"),
        ("bits", json!(33), "kernel_quantizer.bits: a register of 33 bits is not supported"),
        ("bits", json!(-4), "a register of -4 bits"),
        ("bits", json!(1), "kernel_quantizer.bits = 1 is not supported; supported: 2 to 32 with keep_negative"),
        ("bits", json!(2.5), "kernel_quantizer.bits = 2.5 is not supported"),
        ("integer", json!(31), "kernel_quantizer.integer = 31 is not supported; supported: at most 30"),
        ("integer", json!(-1000), "-999 integer bits are not supported"),
        ("use_stochastic_rounding", json!(true), "use_stochastic_rounding = true is not supported; supported: 0"),
        ("qnoise_factor", json!(0.5), "qnoise_factor = 0.5 is not supported; supported: 1"),
        ("scale_axis", json!(0), "scale_axis = 0 is not supported"),
        ("alpha", json!("auto"), "alpha = \"auto\" is not supported"),
        ("alpha", json!(3), "alpha = 3 is not supported; supported: null, \"auto_po2\", a power of two"),
        ("alpha", json!(-1), "alpha = -1 is not supported"),
        ("alpha", json!([1, 2]), "2 channel scales for 3 output channels"),
        ("alpha", json!([]), "alpha = [] is not supported"),
        ("alpha", json!([1e-300, 1, 1]), "alpha = [1e-300, 1, 1] is not supported"),
        ("post_training_scale", json!(0.3), "post_training_scale = 0.3 is not supported"),
        ("/9/config/activation", json!("quantized_relu(6,2,1)"), "activation.use_sigmoid = 1 is not supported"),
        ("/9/config/activation", json!("quantized_relu(6,2,negative_slope=0.25)"), "negative_slope = 0.25"),
        ("/9/config/activation", json!("quantized_relu(6,2,relu_upper_bound=4)"), "relu_upper_bound = 4"),
        ("/9/config/activation", json!("quantized_bits(6,2,alpha='auto_po2')"), "1 or null for an activation"),
        ("/9/config/activation", json!("quantized_bits(6"), "activation = \"quantized_bits(6\" is not supported"),
        ("/9/config/activation", json!("quantized_bits(bits=6,2)"), "is not supported"),
        ("/9/config/activation", json!("softmax"), "activation = \"softmax\" is not supported"),
        ("/9/config/activation", Value::Null, "activation is missing"),
        ("/2/config/padding", json!([[1, -1], [0, 0]]), "padding = [[1, -1], [0, 0]] is not supported"),
        ("/2/config/padding", json!(1_000_000), "values are supported"),
        ("/5/config/data_format", json!("channels_first"), "data_format"),
        ("/0/config/batch_input_shape", json!([null, null, 5, 2]), "batch_input_shape = [null, null, 5, 2]"),
        ("/0/config/batch_input_shape", json!([null, 1_000_000, 1_000_000, 2]), "it would make [1000000, 1000000, 2]"),
        ("/4/class_name", json!("BatchNormalization"), "BatchNormalization is not supported in the accelerator"),
        ("/8/config/units", json!(4), "w: layer `out`: its kernel has shape [4, 3]; the architecture says [4, 4]"),
        ("/8/config/name", json!("elsewhere"), "w: no kernel of layer `elsewhere` in group `/`"),
        ("/8/config/name", json!("dense"), "there are two layers of this name"),
        ("/8", json!(3), "m: model `flat`: `layers` is 3; a list of objects is needed"),
        ("/8/class_name", json!(3), "`class_name` is"),
    ];
    for (pointer, value, expected) in cases {
        let pointer = if pointer.starts_with('/') { pointer.to_owned() } else { format!("{q}/{pointer}") };
        let message = refusal(&pointer, value);
        assert!(message.contains(expected), "{pointer}: {message}");
    }
    let whole = refusal("/3/config/dilation_rate", json!([2, 2]));
    assert_eq!(whole, "layer `conv` (QConv2D): dilation_rate = [2, 2] is not supported; supported: [1, 1]");
}

#[test]
fn forms_that_mean_the_same() {
    let as_saved = read("flat.h5", FLAT, &options());
    let object = |class: &str, config: Value| json!({"class_name": class, "config": config});
    for change in [
        ("/3/class_name", json!("FQConv2D")),
        ("/6/class_name", json!("FQDense")),
        ("/3/config/kernel_quantizer/config/alpha", json!([[[[1, 2, 0.25]]]])),
        ("/3/config/kernel_quantizer/class_name", json!("qkeras>quantized_bits")),
        ("/3/config/kernel_quantizer", json!("quantized_bits(4,0,1,alpha=1)")),
        ("/6/config/kernel_quantizer", json!("quantized_bits(5, 1, alpha=0.5)")),
        ("/6/config/kernel_quantizer/config/keep_negative", json!(1.0)),
        ("/9/config/activation", object("quantized_bits", json!({"bits": 9, "integer": 4.0, "symmetric": true}))),
        ("/9/config/activation", json!("quantized_bits(bits=9, integer=4, symmetric=True, alpha=1.0, var_name='x')")),
        ("/7/config/activation", object("function", json!("relu"))),
        ("/7/config/activation", json!("relu")),
        ("/0/class_name", json!("InputLayer")),
    ] {
        let scales = change.1.as_str() == Some("quantized_bits(4,0,1,alpha=1)");
        let changes = [change];
        let same = accepted(&changes);
        // An argument list has no room for an array of scales: all but the binary points are the same.
        if scales {
            let shifts = |imported: &Imported| imported.accelerator.nodes()[2].op.tensor(TensorKind::Kernel).cloned();
            assert_eq!(shifts(&same).unwrap().raw(), shifts(&as_saved).unwrap().raw());
            continue;
        }
        assert_eq!(same, as_saved, "{changes:?}");
    }
    let pad = |value: Value| match accepted(&[("/2/config/padding", value)]).accelerator.nodes()[1].op {
        Op::ZeroPad2d(p) => [p.top, p.bottom, p.left, p.right],
        _ => unreachable!(),
    };
    assert_eq!(pad(json!([[1, 0], [2, 1]])), [1, 0, 2, 1]);
}

#[test]
fn zero_padding_in_every_form() {
    // Another padding means another flat length, which the first dense layer's weights do not fit: read up to there.
    let shape = |value: Value| refusal("/2/config/padding", value);
    let expected = |rows: usize, columns: usize| {
        let flat = (((rows - 2) / 2) + 1) * (columns - 2) * 3;
        format!("the architecture says [{flat}, 4]")
    };
    assert!(shape(json!(2)).ends_with(&expected(10, 9)));
    assert!(shape(json!([1, 3])).ends_with(&expected(8, 11)));
    assert!(shape(json!([[2, 1], 1])).ends_with(&expected(9, 7)));
}

#[test]
fn without_bias_and_with_sparse_configuration() {
    let imported =
        accepted(&[("/3/config/use_bias", json!(false)), ("/8/config/bias_quantizer", json!("quantized_bits"))]);
    let nodes = imported.accelerator.nodes();
    assert_eq!(nodes[2].op.tensor(TensorKind::Bias), None);
    assert_eq!(nodes[7].op.tensor(TensorKind::Bias).unwrap().format().to_string(), "ap_fixed<8,1>");
}

fn functional(layers: Value, outputs: Value) -> Vec<u8> {
    let config = json!({"name": "net", "layers": layers, "input_layers": [["in", 0, 0]], "output_layers": outputs});
    json!({"class_name": "Functional", "config": config}).to_string().into_bytes()
}

#[test]
fn graphs_that_are_no_chain_are_refused() {
    let input = json!({"class_name": "InputLayer", "name": "in", "config": {"batch_input_shape": [null, 4]}});
    let layer = |name: &str, inbound: Value| {
        let config = json!({"name": name, "activation": "quantized_relu(4,2)"});
        json!({"class_name": "QActivation", "name": name, "config": config, "inbound_nodes": inbound})
    };
    let from = |name: &str| json!([[[name, 0, 0, {}]]]);
    let cases = [
        (
            json!([input, layer("a", from("in")), layer("b", from("in"))]),
            json!([["a", 0, 0], ["b", 0, 0]]),
            "2 outputs (a, b)",
        ),
        (json!([input]), json!([]), "0 outputs"),
        (json!([input, layer("a", from("gone"))]), json!([["a", 0, 0]]), "there is no layer `gone`"),
        (json!([input, layer("a", from("b")), layer("b", from("a"))]), json!(["a", 0, 0]), "form a cycle"),
        (
            json!([input, layer("a", json!([[["in", 0, 0, {}], ["in", 0, 0, {}]]]))]),
            json!([["a", 0, 0]]),
            "reads 2 layers",
        ),
        (
            json!([input, layer("a", json!([[["in", 0, 0]], [["a", 0, 0]]]))]),
            json!([["a", 0, 0]]),
            "it is used 2 times",
        ),
        (json!([input, layer("a", json!([]))]), json!([["a", 0, 0]]), "it reads no layer"),
        (json!([input, layer("a", json!([{"args": []}]))]), json!([["a", 0, 0]]), "Keras 2's [[[layer"),
        (json!([input, layer("a", from("in"))]), json!([["a", 0, 0]]), "the network has no layer with weights"),
        (
            json!([input, layer("a", from("in")), layer("a", from("in"))]),
            json!([["a", 0, 0]]),
            "two layers of this name",
        ),
        (json!([input, layer("a", from("in"))]), json!(7), "`output_layers` is 7"),
    ];
    for (layers, outputs, expected) in cases {
        let message = error(&functional(layers, outputs), Some(FLAT_WEIGHTS), &options());
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn deeply_nested_json_is_an_error() {
    let mut text = "{\"config\":".repeat(5000);
    text.push_str(&"}".repeat(5000));
    assert!(matches!(read_keras(source("m", text.as_bytes()), None, &options()), Err(KerasError::Json { .. })));
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

proptest! {
    #[test]
    fn damaged_files_never_panic(cut in 0..NESTED.len(), flips in prop::collection::vec((0..NESTED.len(), 0_u8..8), 0..6)) {
        for file in [NESTED, FLAT_WEIGHTS] {
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
