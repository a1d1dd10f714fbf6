//! What the reader refuses, in which words, and which forms it takes for the same.
//!
//! Changes one attribute at a time of the flat fixture's architecture.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::h5::H5;
use super::tests::{BLOCKS, FLAT, FLAT_JSON, FLAT_WEIGHTS, NESTED, options, read, source};
use super::{Imported, KerasError, KerasOptions, read_keras};
use crate::net::{Op, TensorKind};

fn error(model: &[u8], weights: Option<&[u8]>, options: &KerasOptions<'_>) -> String {
    read_keras(source("m", model), weights.map(|bytes| source("w", bytes)), options).unwrap_err().to_string()
}

#[test]
fn files_of_other_kinds_are_refused() {
    let with = |weights| error(FLAT_JSON, Some(weights), &options());
    assert!(error(b"PK\x03\x04", None, &options()).starts_with("m: the archive: "));
    let neither = "m: neither an HDF5 file, a .keras archive nor the JSON of a Keras architecture";
    assert_eq!(error(b"", None, &options()), neither);
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
        ("/9/config/activation", json!("quantized_relu(31,2)"), "supported: 1 to 30 for quantized_relu"),
        (
            "/9/config/activation",
            json!("quantized_relu(6,2,negative_slope=0.3)"),
            "negative_slope = 0.3 is not supported; supported: 0, or a power of two from 2^-30 to 1",
        ),
        ("/9/config/activation", json!("quantized_relu(6,2,negative_slope=2)"), "negative_slope = 2 is not supported"),
        (
            "/9/config/activation",
            json!("quantized_relu(3,2,negative_slope=0.125)"),
            "negative_slope = 0.125 is not supported; supported: 0, or a power of two from 2^-2 to 1 with 3 bits",
        ),
        (
            "/9/config/activation",
            json!("quantized_relu(6,2,relu_upper_bound=1.3,is_quantized_clip=False)"),
            "relu_upper_bound = 1.3 is not supported; supported: a multiple of the quantizer's step, 0.0625",
        ),
        ("/9/config/activation", json!("quantized_relu(6,2,relu_upper_bound=-1)"), "relu_upper_bound = -1"),
        (
            "/3/config/kernel_quantizer",
            json!("quantized_relu(6,2,negative_slope=0.25)"),
            "a quantizer without negative_slope and relu_upper_bound here",
        ),
        ("/9/config/activation", json!("quantized_bits(6,2,alpha='auto_po2')"), "1 or null for an activation"),
        ("/9/config/activation", json!("quantized_bits(6"), "activation = \"quantized_bits(6\" is not supported"),
        ("/9/config/activation", json!("quantized_bits(bits=6,2)"), "is not supported"),
        ("/7/config/activation", json!("softmax"), "activation = \"softmax\" is not supported"),
        ("/9/config/activation", Value::Null, "activation is missing"),
        ("/2/config/padding", json!([[1, -1], [0, 0]]), "padding = [[1, -1], [0, 0]] is not supported"),
        ("/2/config/padding", json!(1_000_000), "values are supported"),
        ("/5/config/data_format", json!("channels_first"), "data_format"),
        ("/0/config/batch_input_shape", json!([null, null, 5, 2]), "batch_input_shape = [null, null, 5, 2]"),
        ("/0/config/batch_input_shape", json!([null, 1_000_000, 1_000_000, 2]), "it would make [1000000, 1000000, 2]"),
        ("/4/class_name", json!("UpSampling2D"), "UpSampling2D is not supported in the accelerator"),
        ("/4/class_name", json!("BatchNormalization"), "w: no moving_variance of layer `dropout` in group `/`"),
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

fn functional(layers: &Value, outputs: &Value) -> Vec<u8> {
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
        let message = error(&functional(&layers, &outputs), Some(FLAT_WEIGHTS), &options());
        assert!(message.contains(expected), "{message}");
    }
    let neither = json!({"class_name": "Encoder", "config": {"name": "net", "layers": []}}).to_string();
    assert!(error(neither.as_bytes(), None, &options()).contains("`output_layers` is null"));
}

#[test]
fn deeply_nested_json_is_an_error() {
    let mut text = "{\"config\":".repeat(5000);
    text.push_str(&"}".repeat(5000));
    assert!(matches!(read_keras(source("m", text.as_bytes()), None, &options()), Err(KerasError::Json { .. })));
}

/// JSON pointers of all values in `value`, the root excluded.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<_> = match value {
        Value::Object(object) => object.iter().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let pointer = format!("{at}/{key}");
        pointers(child, &pointer, found);
        found.push(pointer);
    }
}

proptest! {
    /// Each change puts an odd value, or a value from elsewhere in the architecture, at a place of the architecture.
    #[test]
    fn odd_architectures_never_panic(nested: bool, changes in prop::collection::vec(any::<[u16; 2]>(), 1..5)) {
        let odd = [
            json!(null), json!(true), json!(-1), json!(0), json!(1 << 20), json!(i64::MAX), json!(1e308), json!(0.5),
            json!(""), json!("same"), json!("relu"), json!("quantized_bits(32,30)"), json!("quantized_relu(30,-97)"),
            json!([]), json!({}), json!([[]]), json!([null]), json!([null, 1 << 20, 1 << 4]), json!([1 << 20, 1 << 20]),
            json!([-1]), json!("auto_po2"), json!("conv"),
        ];
        let weights = if nested { NESTED } else { FLAT_WEIGHTS };
        let mut architecture: Value = if nested {
            let h5 = H5::open(source("m", NESTED)).unwrap();
            serde_json::from_str(&h5.text("", "model_config").unwrap().unwrap()).unwrap()
        } else {
            serde_json::from_slice(FLAT_JSON).unwrap()
        };
        for [place, with] in changes {
            let mut found = Vec::new();
            pointers(&architecture, "", &mut found);
            let with = usize::from(with);
            let value = match odd.get(with % (2 * odd.len())) {
                Some(value) => value.clone(),
                None => architecture.pointer(&found[with % found.len()]).unwrap().clone(),
            };
            *architecture.pointer_mut(&found[usize::from(place) % found.len()]).unwrap() = value;
        }
        let text = architecture.to_string();
        for input_format in [None, "ap_fixed<16,6>".parse().ok()] {
            let options = KerasOptions { input_format, ..options() };
            let result = read_keras(source("m", text.as_bytes()), Some(source("w", weights)), &options);
            let _ = result.map_err(|error| error.to_string());
        }
    }
}
