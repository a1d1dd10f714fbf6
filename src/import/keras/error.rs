//! `KerasError`: every reason a Keras model is refused, naming file, layer, attribute and value.

use super::weights::Variable;
use crate::net::{FloatError, NetError};
use crate::num::{FormatError, Quantizer};

/// Why a Keras model cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KerasError {
    /// Neither HDF5, ZIP nor JSON.
    #[error("{file}: neither an HDF5 file, a .keras archive nor the JSON of a Keras architecture")]
    NotAModel {
        /// The file.
        file: String,
    },
    /// An archive that cannot be read, or lacks a part.
    #[error("{file}: {entry}: {problem}")]
    Archive {
        /// The archive.
        file: String,
        /// The part.
        entry: String,
        /// What is wrong.
        problem: String,
    },
    /// The HDF5 container cannot be read.
    #[error("{file}: {object}: {problem}")]
    Hdf5 {
        /// The file.
        file: String,
        /// Group, dataset or attribute.
        object: String,
        /// What the HDF5 reader says.
        problem: String,
    },
    /// The architecture is no JSON.
    #[error("{file}: the architecture is not valid JSON: {source}")]
    Json {
        /// The file.
        file: String,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// An HDF5 file of weights alone was given as the model.
    #[error(
        "{file}: has no `model_config` attribute, so it holds weights alone; give the architecture (model.to_json()) as \
         the model and this file as its weights"
    )]
    NoArchitecture {
        /// The file.
        file: String,
    },
    /// The file ends early.
    #[error("{file}: is truncated: it says it has {expected} bytes, but {found} are there")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes stated in the file.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// JSON was given without weights.
    #[error("{file}: holds the architecture alone; give the HDF5 file of its weights too")]
    NoWeights {
        /// The file.
        file: String,
    },
    /// A part of the architecture is missing or of the wrong kind.
    #[error("{file}: model `{model}`: `{field}` is {found}; {expected} is needed")]
    Malformed {
        /// The file.
        file: String,
        /// The model or sub-model.
        model: String,
        /// The part.
        field: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// The graph of layers is not a chain from one input to one output.
    #[error("model `{model}`, layer `{layer}`: {problem}")]
    Topology {
        /// The model or sub-model.
        model: String,
        /// The layer.
        layer: String,
        /// What is wrong.
        problem: String,
    },
    /// No model or sub-model of the name asked for.
    #[error("there is no sub-model `{name}`; the file has {}", list(.found))]
    NoSuchModel {
        /// The name asked for.
        name: String,
        /// The names there are.
        found: Vec<String>,
    },
    /// Several sub-models of the name asked for.
    #[error("there are {count} sub-models named `{name}`; rename them so that one is meant")]
    AmbiguousModel {
        /// The name asked for.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// The model has sub-models and nothing says which one is the hardware.
    #[error("which sub-model is the accelerator? The file has {}; name one (--accelerator)", list(.found))]
    WhichAccelerator {
        /// The names there are.
        found: Vec<String>,
    },
    /// The decoder asked for is not fed by the accelerator.
    #[error("sub-model `{decoder}` does not take the output of `{accelerator}`; {}", fed_by(.fed))]
    NotTheDecoder {
        /// The decoder asked for.
        decoder: String,
        /// The accelerator.
        accelerator: String,
        /// The sub-models that the accelerator feeds.
        fed: Vec<String>,
    },
    /// Several sub-models take the accelerator's output.
    #[error("which sub-model is the decoder? `{accelerator}` feeds {}; name one (--decoder)", list(.fed))]
    WhichDecoder {
        /// The accelerator.
        accelerator: String,
        /// The sub-models it feeds.
        fed: Vec<String>,
    },
    /// A kind of layer that cannot be imported.
    #[error("layer `{layer}`: {class} is not supported {place}; supported: {supported}")]
    UnsupportedLayer {
        /// The layer.
        layer: String,
        /// Its class.
        class: String,
        /// Where it stands.
        place: &'static str,
        /// The classes that can be imported there.
        supported: &'static str,
    },
    /// An attribute of a layer whose value cannot be imported.
    #[error("layer `{layer}` ({class}): {attribute} = {value} is not supported; supported: {supported}")]
    Unsupported {
        /// The layer.
        layer: String,
        /// Its class.
        class: String,
        /// The attribute; those of a quantizer are written `kernel_quantizer.bits`.
        attribute: String,
        /// Its value, as JSON.
        value: String,
        /// The values that can be imported.
        supported: String,
    },
    /// An attribute of a layer that must be there.
    #[error("layer `{layer}` ({class}): {attribute} is missing; {expected} is needed")]
    MissingAttribute {
        /// The layer.
        layer: String,
        /// Its class.
        class: String,
        /// The attribute.
        attribute: String,
        /// What it should hold.
        expected: String,
    },
    /// A quantizer that no register can follow.
    #[error("layer `{layer}` ({class}): {attribute}: {source}")]
    Format {
        /// The layer.
        layer: String,
        /// Its class.
        class: String,
        /// The quantizer.
        attribute: String,
        /// What is wrong.
        source: FormatError,
    },
    /// A shape that a layer cannot take.
    #[error("layer `{layer}` ({class}): cannot take an input of shape {shape:?}; {expected}")]
    Shape {
        /// The layer.
        layer: String,
        /// Its class.
        class: String,
        /// Shape of its input without the batch.
        shape: Vec<usize>,
        /// What it can take.
        expected: String,
    },
    /// Nothing says how the accelerator's input is quantized.
    #[error(
        "layer `{layer}`: no QActivation follows the input, so the format of the input register is unknown; give it, for \
         example --input-format ap_ufixed<8,0>"
    )]
    InputFormat {
        /// The input layer.
        layer: String,
    },
    /// The weights file lacks a tensor.
    #[error("{file}: no {tensor} of layer `{layer}` in group `{group}`")]
    MissingWeights {
        /// The weights file.
        file: String,
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: Variable,
        /// The group searched.
        group: String,
    },
    /// The weights file has several candidates for a tensor.
    #[error("{file}: which is the {tensor} of layer `{layer}`? Found {}", list(.found))]
    AmbiguousWeights {
        /// The weights file.
        file: String,
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: Variable,
        /// The datasets found.
        found: Vec<String>,
    },
    /// A tensor of another shape than its layer says.
    #[error("{file}: layer `{layer}`: its {tensor} has shape {found:?}; the architecture says {expected:?}")]
    WeightShape {
        /// The weights file.
        file: String,
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: Variable,
        /// Shape in the weights file.
        found: Vec<u64>,
        /// Shape by the architecture.
        expected: Vec<usize>,
    },
    /// A weight that is infinite, not a number, or beyond what can be computed.
    #[error("{file}: layer `{layer}`: {tensor} {index} is {value}")]
    WeightValue {
        /// The weights file.
        file: String,
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: Variable,
        /// C-order index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The scale or shift of a batch normalization is beyond its register.
    #[error(
        "layer `{layer}`: the {what} of channel {channel} of the batch normalization is {value}, which does not fit {format}; \
         give another format (--batchnorm-format, model.batchnorm_format in design.toml), or none to have one chosen"
    )]
    NormalizationFormat {
        /// The layer.
        layer: String,
        /// Scale or shift.
        what: &'static str,
        /// The channel.
        channel: usize,
        /// Its value.
        value: f64,
        /// The register.
        format: Quantizer,
    },
    /// A softmax ahead of the part that runs off-chip.
    #[error(
        "the accelerator ends in a softmax, which hardware cannot compute exactly, and `{decoder}` takes its output; move \
         the softmax into `{decoder}`"
    )]
    SoftmaxInside {
        /// The part that runs off-chip.
        decoder: String,
    },
    /// The layers read do not make a network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The off-chip layers read do not make a network.
    #[error(transparent)]
    Float(#[from] FloatError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

fn fed_by(fed: &[String]) -> String {
    if fed.is_empty() { "it feeds no sub-model".to_owned() } else { format!("it feeds {}", list(fed)) }
}
