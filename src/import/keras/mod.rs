//! Keras and QKeras models to a hardware [`Network`] and an off-chip [`FloatNetwork`].
//!
//! Reads a whole-model file (`model.save("m.h5")`, `model.save("m.keras")`), or the architecture (`model.to_json()`) with a
//! weights file (`model.save_weights("w.h5")`). One sub-model, or the whole model, is the accelerator; its weights are
//! quantized as QKeras 0.9.0 quantizes them and become registers. Nothing is trained: what fixed-point hardware cannot
//! follow is refused by name, and the two things that it follows in a stated precision, means over numbers that are no
//! powers of two and batch normalizations that are not folded, are noted with what they are off by.

mod accelerator;
mod archive;
mod attributes;
#[cfg(test)]
mod cnns;
mod config;
mod decoder;
mod error;
mod graph;
mod h5;
mod normalization;
mod pooling;
mod positions;
mod quantizer;
#[cfg(test)]
mod refusals;
mod registers;
mod shape;
#[cfg(test)]
mod tests;
mod weights;

use serde_json::Value;

pub use error::KerasError;
pub use weights::Variable;

use crate::net::{FloatNetwork, Network};
use crate::num::Quantizer;
use accelerator::{Built, Formats};
use archive::Archive;
use graph::{Located, Model};
use h5::H5;
use weights::Weights;

/// Sub-model taken for the accelerator when none is named.
const DEFAULT_ACCELERATOR: &str = "encoder";

/// A file held in memory.
#[derive(Debug, Clone, Copy)]
pub struct ModelSource<'a> {
    /// Name for messages.
    pub name: &'a str,
    /// Content.
    pub bytes: &'a [u8],
}

/// What the model file does not say.
#[derive(Debug, Clone, Copy, Default)]
pub struct KerasOptions<'a> {
    /// Sub-model that stands in hardware; without it the one named `encoder`, or a model without sub-models itself.
    pub accelerator: Option<&'a str>,
    /// Sub-model that takes the accelerator's output; without it the only one that does.
    pub decoder: Option<&'a str>,
    /// Format of the input register; without it that of the `QActivation` after the input.
    pub input_format: Option<Quantizer>,
    /// Format of the scales and shifts of batch normalizations that are not folded; without it `ap_fixed<16,6>`, as hls4ml
    /// has it, or as many more integer bits as the values take.
    pub batchnorm_format: Option<Quantizer>,
}

/// What a model file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The part in hardware.
    pub accelerator: Network,
    /// The weights as trained, which its registers are roundings of (batch normalizations folded in where they are), in
    /// the order of the registers: kernel before bias, layer by layer, in C order.
    pub trained: Vec<f64>,
    /// Whether the part in hardware is a sub-model, to be named when the file is read again.
    pub is_sub_model: bool,
    /// Whether the accelerator ended in a softmax, which is left out: its output is the logits of a classifier.
    pub is_classifier: bool,
    /// The part that takes its output.
    pub off_chip: Option<FloatNetwork>,
    /// Choices made and oddities met, one sentence each, for the user.
    pub notes: Vec<String>,
}

/// Reads a Keras model.
///
/// `model` is a whole-model HDF5 file, or the architecture's JSON together with `weights`, an HDF5 file of weights (or
/// of a whole model, whose weights are taken). Which of them is told by content. Weights in `weights` win over those in
/// `model`.
///
/// # Errors
/// When a file cannot be read, when it is not clear what the accelerator is, and when a layer cannot be built exactly;
/// the message names file, layer, attribute and value.
pub fn read_keras(
    model: ModelSource<'_>,
    weights: Option<ModelSource<'_>>,
    options: &KerasOptions<'_>,
) -> Result<Imported, KerasError> {
    let (root, tensors) = open_model(model, weights)?;
    let weights = Weights::open(&tensors, &root)?;
    let mut notes = Vec::new();
    let models = root.located();
    let chosen = choose_accelerator(&root, &models, options.accelerator, &mut notes)?;
    let steps = chosen.model.steps(&chosen.path)?;
    let formats = Formats { input: options.input_format, normalization: options.batchnorm_format };
    let Built { network: accelerator, trained, is_classifier } =
        accelerator::build(&chosen.model.name, &steps, &weights, formats, &mut notes)?;
    let off_chip = match choose_decoder(chosen, &models, options.decoder, &mut notes)? {
        None => None,
        Some(decoder) if is_classifier => {
            return Err(KerasError::SoftmaxInside { decoder: decoder.model.name.clone() });
        }
        Some(decoder) => {
            let steps = decoder.model.steps(&decoder.path)?;
            let shape = &accelerator.output().shape;
            Some(decoder::build(&decoder.model.name, &steps, &weights, shape, &mut notes)?)
        }
    };
    Ok(Imported { accelerator, trained, is_sub_model: chosen.parent.is_some(), is_classifier, off_chip, notes })
}

/// Reads the off-chip part alone, from a model file of its own.
///
/// `name` picks a sub-model; without it the whole model is taken. `accelerator` is the network whose output it takes.
/// The notes are for the user, as in [`Imported`].
///
/// # Errors
/// As [`read_keras`]; also when its input is not the accelerator's output.
pub fn read_off_chip(
    model: ModelSource<'_>,
    weights: Option<ModelSource<'_>>,
    name: Option<&str>,
    accelerator: &Network,
) -> Result<(FloatNetwork, Vec<String>), KerasError> {
    let (root, tensors) = open_model(model, weights)?;
    let weights = Weights::open(&tensors, &root)?;
    let mut notes = Vec::new();
    let models = root.located();
    let chosen = match name {
        None => &models[0],
        Some(_) => choose_accelerator(&root, &models, name, &mut notes)?,
    };
    let steps = chosen.model.steps(&chosen.path)?;
    let network = decoder::build(&chosen.model.name, &steps, &weights, &accelerator.output().shape, &mut notes)?;
    Ok((network, notes))
}

/// The architecture, and the file that holds its weights.
fn open_model<'a>(model: ModelSource<'a>, weights: Option<ModelSource<'a>>) -> Result<(Model, H5<'a>), KerasError> {
    let (text, own) = if H5::is_hdf5(model.bytes) {
        let h5 = H5::open(model)?;
        let text = h5.text("", "model_config")?;
        (text.ok_or_else(|| KerasError::NoArchitecture { file: model.name.to_owned() })?.into_bytes(), Some(h5))
    } else if Archive::is_zip(model.bytes) {
        let mut archive = Archive::open(model)?;
        let own = if weights.is_none() { Some(H5::of(model.name, archive.weights()?)?) } else { None };
        (archive.architecture()?, own)
    } else {
        let start = model.bytes.iter().position(|byte| !byte.is_ascii_whitespace()).map(|start| &model.bytes[start..]);
        match start {
            Some([b'{' | b'"', ..]) => (model.bytes.to_vec(), None),
            _ => return Err(KerasError::NotAModel { file: model.name.to_owned() }),
        }
    };
    let root = Model::parse(model.name, architecture(model.name, &text)?)?;
    let tensors = match weights {
        Some(weights) => open_weights(weights)?,
        None => own.ok_or_else(|| KerasError::NoWeights { file: model.name.to_owned() })?,
    };
    Ok((root, tensors))
}

/// The architecture's JSON.
fn architecture(file: &str, text: &[u8]) -> Result<Value, KerasError> {
    let json =
        |text: &[u8]| serde_json::from_slice(text).map_err(|source| KerasError::Json { file: file.to_owned(), source });
    match json(text)? {
        // `json.dump(model.to_json(), file)` wraps the text once more.
        Value::String(text) => json(text.as_bytes()),
        other => Ok(other),
    }
}

fn open_weights(source: ModelSource<'_>) -> Result<H5<'_>, KerasError> {
    if H5::is_hdf5(source.bytes) {
        H5::open(source)
    } else if Archive::is_zip(source.bytes) {
        H5::of(source.name, Archive::open(source)?.weights()?)
    } else {
        Err(KerasError::NotAModel { file: source.name.to_owned() })
    }
}

fn names(models: &[Located<'_>]) -> Vec<String> {
    models.iter().map(|found| found.model.name.clone()).collect()
}

fn choose_accelerator<'a, 'm>(
    root: &Model,
    models: &'a [Located<'m>],
    name: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<&'a Located<'m>, KerasError> {
    let named = |name: &str| models.iter().filter(|found| found.model.name == name).collect::<Vec<_>>();
    match name {
        None if models.len() == 1 => Ok(&models[0]),
        None => match named(DEFAULT_ACCELERATOR)[..] {
            [one] if one.parent.is_some() => {
                notes.push(format!(
                    "sub-model `{DEFAULT_ACCELERATOR}` of `{}` is taken for the accelerator",
                    one.parent.map_or(&root.name, |parent| &parent.name)
                ));
                Ok(one)
            }
            _ => Err(KerasError::WhichAccelerator { found: names(models) }),
        },
        Some(name) => match named(name)[..] {
            [one] => Ok(one),
            [] => Err(KerasError::NoSuchModel { name: name.to_owned(), found: names(models) }),
            _ => Err(KerasError::AmbiguousModel { name: name.to_owned(), count: named(name).len() }),
        },
    }
}

/// The sub-model that takes the accelerator's output, with notes on what stands around the two.
fn choose_decoder<'a, 'm>(
    accelerator: &Located<'m>,
    models: &'a [Located<'m>],
    name: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Option<&'a Located<'m>>, KerasError> {
    let own = accelerator.model.name.as_str();
    let not_fed = |decoder: &str, fed| {
        Err(KerasError::NotTheDecoder { decoder: decoder.to_owned(), accelerator: own.to_owned(), fed })
    };
    let Some(parent) = accelerator.parent else {
        return name.map_or(Ok(None), |name| not_fed(name, Vec::new()));
    };
    let layer = accelerator.path.last().copied().unwrap_or(own);
    let readers: Vec<_> = parent.readers(layer).collect();
    let fed: Vec<&'a Located<'m>> = models
        .iter()
        .filter(|found| {
            readers.iter().any(|reader| reader.model.as_ref().is_some_and(|m| std::ptr::eq(m, found.model)))
        })
        .collect();
    let fed_names = || fed.iter().map(|found| found.model.name.clone()).collect::<Vec<_>>();
    let decoder = match name {
        Some(name) => match fed.iter().find(|found| found.model.name == name) {
            Some(found) => Some(*found),
            None => return not_fed(name, fed_names()),
        },
        None => match fed[..] {
            [] => None,
            [one] => Some(one),
            _ => return Err(KerasError::WhichDecoder { accelerator: own.to_owned(), fed: fed_names() }),
        },
    };
    if let Some(found) = decoder {
        let layer = readers.iter().find(|reader| reader.model.as_ref().is_some_and(|m| std::ptr::eq(m, found.model)));
        parent.inputs_of(layer.expect("the decoder is one of the readers"))?;
    }
    let used = |name: &str| name == layer || decoder.is_some_and(|found| found.path.last() == Some(&name));
    let others: Vec<_> =
        parent.layers.iter().filter(|other| other.class != "InputLayer" && !used(&other.name)).collect();
    if !others.is_empty() {
        notes.push(format!("layers of `{}` outside of accelerator and decoder are left out: {}", parent.name, {
            others.iter().map(|other| other.name.as_str()).collect::<Vec<_>>().join(", ")
        }));
    }
    Ok(decoder)
}
