//! Convolutional networks: archives in every form, graphs, folded and separate batch normalization, pools, rectifiers.
//!
//! Changes the fixture's architecture, one attribute or layer at a time.

use std::io::{Cursor, Read, Write};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use super::tests::{CNN, read, source};
use super::{Imported, KerasOptions, read_keras};
use crate::net::{Node, Op, TensorKind};

fn options() -> KerasOptions<'static> {
    KerasOptions { accelerator: Some("cnn"), ..KerasOptions::default() }
}

/// Architecture and weights of the fixture.
fn parts() -> (Value, Vec<u8>) {
    let mut archive = zip::ZipArchive::new(Cursor::new(CNN)).unwrap();
    let mut part = |name: &str| {
        let mut content = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut content).unwrap();
        content
    };
    (serde_json::from_slice(&part("config.json")).unwrap(), part("model.weights.h5"))
}

fn zipped(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn layer<'v>(architecture: &'v mut Value, name: &str) -> &'v mut Value {
    let layers = architecture.pointer_mut("/config/layers").unwrap().as_array_mut().unwrap();
    layers.iter_mut().find(|layer| layer["name"] == name).unwrap()
}

/// The fixture with attributes of one layer (`class_name` stands for its class) changed.
fn changed(name: &str, changes: &[(&str, Value)]) -> Result<Imported, String> {
    changed_with(name, changes, &options())
}

fn changed_with(name: &str, changes: &[(&str, Value)], options: &KerasOptions<'_>) -> Result<Imported, String> {
    let (mut architecture, weights) = parts();
    let layer = layer(&mut architecture, name);
    for (key, value) in changes {
        let place = if *key == "class_name" { &mut layer[*key] } else { &mut layer["config"][*key] };
        *place = value.clone();
    }
    let text = architecture.to_string();
    read_keras(source("m", text.as_bytes()), Some(source("w", &weights)), options).map_err(|error| error.to_string())
}

fn node<'n>(imported: &'n Imported, name: &str) -> &'n Node {
    imported.accelerator.nodes().iter().find(|node| node.name == name).unwrap()
}

#[test]
fn archives_and_their_parts_are_read_alike() {
    let whole = read("m.keras", CNN, &options());
    let (architecture, weights) = parts();
    let text = architecture.to_string().into_bytes();
    for weights in [&weights[..], CNN] {
        let two = read_keras(source("m", &text), Some(source("w", weights)), &options()).unwrap();
        assert_eq!(two, whole);
    }
    let error =
        |parts: &[(&str, &[u8])]| read_keras(source("m", &zipped(parts)), None, &options()).unwrap_err().to_string();
    assert!(error(&[("metadata.json", b"{}")]).starts_with("m: model.weights.h5: "));
    assert!(error(&[("model.weights.h5", &weights)]).starts_with("m: config.json: "));
    assert!(error(&[("model.weights.h5", &weights), ("config.json", b"[")]).contains("not valid JSON"));
    assert!(error(&[("model.weights.h5", b"x"), ("config.json", &text)]).starts_with("m: the file: "));
}

#[test]
fn the_form_of_keras_3_is_read_alike() {
    let (mut architecture, weights) = parts();
    for layer in architecture.pointer_mut("/config/layers").unwrap().as_array_mut().unwrap() {
        let nodes = layer["inbound_nodes"].as_array().unwrap().iter().map(|node| {
            let tensor = |read: &Value| {
                let history = json!([read[0], read[1], read[2]]);
                json!({"class_name": "__keras_tensor__", "config": {"shape": [null], "keras_history": history}})
            };
            let tensors: Vec<Value> = node.as_array().unwrap().iter().map(tensor).collect();
            let several = tensors.len() > 1;
            let arguments = if several { json!([tensors]) } else { json!(tensors) };
            json!({"args": arguments, "kwargs": {"mask": null}})
        });
        layer["inbound_nodes"] = nodes.collect();
        if layer["class_name"] == "InputLayer" {
            let shape = layer["config"].as_object_mut().unwrap().remove("batch_input_shape").unwrap();
            layer["config"]["batch_shape"] = shape;
        }
    }
    architecture["config"]["output_layers"] = json!(["softmax", 0, 0]);
    layer(&mut architecture, "block")["config"]["layers"][2]["config"]["negative_slope"] = json!(0.5);
    let text = architecture.to_string().into_bytes();
    let archive = zipped(&[("config.json", &text), ("model.weights.h5", &weights)]);
    assert_eq!(read("m.keras", &archive, &options()), read("m.keras", CNN, &options()));
}

#[test]
fn branches_stand_in_the_order_of_the_file() {
    let imported = read("m.keras", CNN, &options());
    let names: Vec<_> = imported.accelerator.nodes().iter().map(|node| node.name.as_str()).collect();
    let expected = [
        "input_qa",
        "first",
        "first_qa.leaky",
        "first_qa",
        "first_qa.clip",
        "second",
        "norm",
        "sum",
        "sum_qa",
        "largest",
        "depthwise",
        "depthwise_qa",
        "inner",
        "leaky",
        "pointwise",
        "bounded",
        "bounded.clip",
        "mean",
        "global_mean",
        "global_mean.flat",
        "dense",
        "flat_norm.map",
        "flat_norm",
        "flat_norm.flat",
    ];
    assert_eq!(names, expected);
    let sum = node(&imported, "sum");
    let read: Vec<_> = sum.inputs.iter().map(|id| imported.accelerator.node(*id).name.as_str()).collect();
    assert_eq!((read, &sum.op), (vec!["first_qa.clip", "norm"], &Op::Add));
    let exact = |name: &str| match &node(&imported, name).op {
        Op::AveragePool2d(pool) => pool.reciprocal_bits,
        other => unreachable!("{other:?}"),
    };
    assert_eq!((exact("mean"), exact("global_mean")), (2, 2));
}

#[test]
fn a_softmax_is_left_to_the_host_at_the_end_alone() {
    let imported = read("m.keras", CNN, &options());
    assert!(imported.is_classifier);
    assert!(imported.notes.iter().any(|note| note.contains("layer `softmax`: the output is the logits")));
    let attribute = changed("dense", &[("activation", json!("softmax"))]).unwrap_err();
    assert!(attribute.contains("activation = \"softmax\" is not supported") && attribute.contains("at its end alone"));
    let relu = changed("softmax", &[("class_name", json!("ReLU"))]).unwrap();
    assert!(!relu.is_classifier);
    assert!(
        changed("softmax", &[("axis", json!(1))]).unwrap_err().contains("axis = 1 is not supported; supported: -1")
    );
}

#[test]
fn means_that_are_not_exact_are_noted() {
    let three = [("pool_size", json!([3, 3])), ("strides", json!([1, 1]))];
    let imported = changed("mean", &three).unwrap();
    let note = imported.notes.iter().find(|note| note.contains("`mean`")).unwrap();
    assert!(
        note.contains("the mean of 9 values is their exact sum times a reciprocal of 14 fractional bits"),
        "{note}"
    );
    let same = changed("mean", &[three[0].clone(), three[1].clone(), ("padding", json!("same"))]).unwrap();
    assert!(same.notes.iter().any(|note| note.contains("the mean of 4, 6, 9 values")), "{:?}", same.notes);

    let quantized = |format: &str, more: &[(&str, Value)]| {
        let class = ("class_name", json!("QAveragePooling2D"));
        changed("mean", &[&[class, ("average_quantizer", json!(format))], more].concat())
    };
    let bits = |imported: &Imported| match &node(imported, "mean").op {
        Op::AveragePool2d(pool) => (pool.reciprocal_bits, pool.reciprocal(9)),
        other => unreachable!("{other:?}"),
    };
    assert_eq!(bits(&quantized("quantized_bits(8,0,1)", &three).unwrap()), (7, 14));
    let border = quantized("quantized_bits(3,0)", &three).unwrap();
    assert_eq!(bits(&border), (2, 0));
    let tie = quantized("quantized_bits(2,0)", &[]).unwrap_err();
    assert!(tie.contains("supported: a format that holds 1/4, rounded to its step"), "{tie}");
    let over = quantized("quantized_bits(8,0)", &[three[0].clone(), ("padding", json!("same"))]).unwrap_err();
    assert!(over.contains("null where windows reach over the edge"), "{over}");
}

#[test]
fn normalizations_in_a_given_format() {
    let scale =
        |imported: &Imported| node(imported, "norm").op.tensor(TensorKind::Kernel).unwrap().format().to_string();
    let batchnorm_format = Some("ap_fixed<20,8,RND_CONV>".parse().unwrap());
    assert_eq!(scale(&read("m", CNN, &KerasOptions { batchnorm_format, ..options() })), "ap_fixed<20,8>");
    assert_eq!(scale(&read("m", CNN, &options())), "ap_fixed<16,6>");
    let batchnorm_format = Some("ap_ufixed<4,0>".parse().unwrap());
    let refused = changed_with("norm", &[], &KerasOptions { batchnorm_format, ..options() }).unwrap_err();
    assert!(refused.starts_with("layer `norm`: the ") && refused.contains("does not fit ap_ufixed<4,0"), "{refused}");
}

#[test]
fn a_bound_without_effect_is_noted() {
    let activation = json!("quantized_relu(6,3,relu_upper_bound=6.0)");
    let imported = changed("sum_qa", &[("activation", activation)]).unwrap();
    let note = "layer `sum_qa`: relu_upper_bound = 6 has no effect: the file does not say is_quantized_clip = false, so \
                QKeras clips at 7.875";
    assert!(imported.notes.iter().any(|found| found == note), "{:?}", imported.notes);
}

#[test]
fn what_cannot_be_built_is_refused_by_name() {
    let cases: [(&str, &[(&str, Value)], &str); 22] = [
        (
            "norm",
            &[("axis", json!([1]))],
            "layer `norm` (BatchNormalization): axis = 1 is not supported; supported: -1 or 3",
        ),
        ("norm", &[("axis", json!("x"))], "axis = \"x\" is not supported"),
        ("norm", &[("epsilon", json!(-1))], "epsilon = -1 is not supported; supported: a number of 0 or more"),
        ("norm", &[("scale", json!(false))], "w: layer `norm`: moving_variance 0 is"),
        ("first", &[("folding_mode", json!("none"))], "folding_mode = \"none\" is not supported"),
        ("first", &[("bias_quantizer", Value::Null)], "layer `first` (QConv2DBatchnorm): bias_quantizer is missing"),
        ("first", &[("kernel_quantizer", Value::Null)], "kernel_quantizer is missing"),
        ("depthwise", &[("depthwise_quantizer", Value::Null)], "depthwise_quantizer is missing"),
        (
            "depthwise",
            &[("depth_multiplier", json!(3))],
            "its moving_variance has shape [8]; the architecture says [12]",
        ),
        ("depthwise", &[("depth_multiplier", json!(0))], "depth_multiplier = 0 is not supported"),
        (
            "depthwise",
            &[("class_name", json!("DepthwiseConv2D"))],
            "DepthwiseConv2D is not supported in the accelerator",
        ),
        ("largest", &[("data_format", json!("channels_first"))], "data_format = \"channels_first\" is not supported"),
        ("largest", &[("pool_size", json!([0, 1]))], "pool_size = [0, 1] is not supported"),
        ("largest", &[("padding", json!("causal"))], "padding = \"causal\" is not supported"),
        ("largest", &[("pool_size", json!(9)), ("padding", json!("valid"))], "its window of 9x9 does not fit"),
        (
            "bounded",
            &[("max_value", json!(6.000_001))],
            "max_value = 6.000001 is not supported; supported: a multiple of the",
        ),
        ("bounded", &[("max_value", json!(-1))], "max_value = -1 is not supported"),
        ("bounded", &[("threshold", json!(0.5))], "threshold = 0.5 is not supported; supported: 0"),
        (
            "bounded",
            &[("negative_slope", json!(0.3))],
            "negative_slope = 0.3 is not supported; supported: 0, or a power",
        ),
        ("bounded", &[("class_name", json!("LeakyReLU")), ("negative_slope", json!(2))], "is not supported"),
        (
            "sum",
            &[("class_name", json!("Concatenate"))],
            "Concatenate: it reads 2 layers (first_qa, norm); one is supported",
        ),
        ("sum_qa", &[("class_name", json!("Add"))], "layer `sum_qa`: takes 2 input(s), has 1"),
    ];
    for (layer, changes, expected) in cases {
        let message = changed(layer, changes).err().unwrap_or_else(|| panic!("{layer}: {changes:?}"));
        assert!(message.contains(expected), "{layer} {changes:?}: {message}");
    }
}

#[test]
fn sums_of_other_shapes_and_second_inputs_are_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        let (mut architecture, weights) = parts();
        change(&mut architecture);
        let text = architecture.to_string();
        read_keras(source("m", text.as_bytes()), Some(source("w", &weights)), &options()).unwrap_err().to_string()
    };
    let sum = with(&|all| layer(all, "sum")["inbound_nodes"] = json!([[["image", 0, 0, {}], ["norm", 0, 0, {}]]]));
    assert!(sum.contains("layer `image`: no QActivation follows the input"), "{sum}");
    let sum = with(&|all| layer(all, "sum")["inbound_nodes"] = json!([[["input_qa", 0, 0, {}], ["norm", 0, 0, {}]]]));
    assert!(sum.contains("layer `sum`: cannot take an input of shape [8, 8, 2]; it adds it to one of shape"), "{sum}");
    let two = with(&|all| {
        let mut second = layer(all, "image").clone();
        second["name"] = json!("other");
        all["config"]["layers"].as_array_mut().unwrap().push(second);
        layer(all, "sum")["inbound_nodes"] = json!([[["other", 0, 0, {}], ["norm", 0, 0, {}]]]);
    });
    assert!(two.contains("the model has 2 inputs (image, other); one is supported"), "{two}");
    let cycle = with(&|all| layer(all, "first")["inbound_nodes"] = json!([[["sum", 0, 0, {}]]]));
    assert!(cycle.contains("the layers form a cycle"), "{cycle}");
}
