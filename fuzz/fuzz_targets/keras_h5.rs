//! The Keras reader on arbitrary bytes: whatever they are, it returns, soon and without a panic.
//!
//! An input is a whole-model file, unless it holds the separator: then what stands before it is the architecture's JSON and
//! what follows is the weights file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trivote::import::keras::{KerasOptions, ModelSource, read_keras};

/// Between architecture and weights. JSON has no zero bytes.
const SEPARATOR: &[u8] = b"\0weights\0";

fuzz_target!(|data: &[u8]| {
    let split = data.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
    let (model, weights) = match split {
        Some(at) => (&data[..at], Some(&data[at + SEPARATOR.len()..])),
        None => (data, None),
    };
    let weights = weights.map(|bytes| ModelSource { name: "weights", bytes });
    let input_format = "ap_ufixed<8,0>".parse().ok();
    for options in [KerasOptions::default(), KerasOptions { input_format, ..KerasOptions::default() }] {
        // The result is of no interest, but a message must not panic either.
        if let Err(error) = read_keras(ModelSource { name: "model", bytes: model }, weights, &options) {
            let _ = error.to_string();
        }
    }
});
