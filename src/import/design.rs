//! The design folder: `design.toml`, the model file it names, and what they say together.
//!
//! Reads and checks the description of a design; what stands behind names such as a metric, a technology or an io belongs
//! to other layers, so those stay text here.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keras::{self, Imported, KerasError, KerasOptions, ModelSource};
use crate::net::{Fingerprint, FloatNetwork, Network};
use crate::num::{FormatError, Quantizer};

/// Name of the description in a design folder.
pub const DESIGN_FILE: &str = "design.toml";

/// Version of `design.toml` that this crate reads and writes.
pub const DESIGN_VERSION: u32 = 1;

/// Why a design cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesignError {
    /// A file that cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A description that is not the TOML expected.
    #[error("{path}: {source}")]
    Toml {
        /// The file.
        path: String,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// Text that is not UTF-8.
    #[error("{path}: is not UTF-8 text")]
    Text {
        /// The file.
        path: String,
    },
    /// A version this crate does not know.
    #[error("{path}: version {found} is not supported; this trivote reads version {DESIGN_VERSION}")]
    Version {
        /// The file.
        path: String,
        /// The version it states.
        found: u32,
    },
    /// A register format that does not exist.
    #[error("{path}: model.{key}: {source}")]
    RegisterFormat {
        /// The file.
        path: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        source: FormatError,
    },
    /// A model that cannot be read.
    #[error(transparent)]
    Keras(#[from] KerasError),
}

/// What one event of a design is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// 48 trigger-cell charges of an HGCal module, arranged on 8x8 for the network.
    Hgcal,
    /// The network's input itself.
    Tensor,
}

/// `design.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesignConfig {
    /// Version of this description.
    pub format: u32,
    /// Name of the design.
    pub name: String,
    /// What it is, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The model file.
    pub model: ModelConfig,
    /// What it is fed with.
    pub events: EventsConfig,
    /// How its output is judged.
    pub metric: MetricConfig,
    /// How it is built.
    #[serde(default)]
    pub hardware: HardwareConfig,
}

/// `[model]`: files are relative to the design folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Model file: HDF5, or the architecture as JSON.
    pub file: String,
    /// Weights file, when `file` is an architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Sub-model that stands in hardware; the whole model when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// Sub-model that runs off-chip behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<String>,
    /// Model file of the decoder, when it is not a sub-model of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_file: Option<String>,
    /// Format of the input register, `ap_ufixed<8,0>` for example, when the model does not quantize its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_format: Option<String>,
    /// Format of the scale and shift of batch normalizations that are not folded; `ap_fixed<16,6>`, with as many more
    /// integer bits as the values take, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batchnorm_format: Option<String>,
}

/// `[events]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// What one event is.
    pub kind: EventKind,
    /// Events used when the command line names none, relative to the design folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Factor of every value of `file`: 0.00390625 for bytes that stand for fractions; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Classes of the events of `file`, relative to the design folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Generator used when there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorConfig>,
}

/// `[events.generator]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Name of the population of events.
    pub population: String,
    /// Seed of the generator.
    pub seed: u64,
    /// Number of events.
    pub count: usize,
}

/// `[metric]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricConfig {
    /// Name of the error of one event.
    pub error: String,
}

/// `[hardware]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardwareConfig {
    /// Technology table for areas.
    pub technology: String,
    /// How values come in and pass from layer to layer; when absent, what the reuse factors need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<String>,
    /// Frequency of the clock, in MHz.
    pub clock_mhz: f64,
    /// How the products of layers are built.
    pub strategy: String,
    /// Times each multiplier is used: per frame of a dense layer, per output position of a convolution.
    pub reuse_factor: NonZeroU64,
    /// Most packets that a FIFO of a streaming design holds; a frame of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fifo_depth: Option<NonZeroU64>,
    /// What holds for one layer instead, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, LayerConfig>,
}

/// `[hardware.layers.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Its reuse factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_factor: Option<NonZeroU64>,
    /// Its strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
}

impl Default for HardwareConfig {
    fn default() -> Self {
        Self {
            technology: "osu018".to_owned(),
            io: Some("econ_t".to_owned()),
            clock_mhz: 40.0,
            strategy: "latency".to_owned(),
            reuse_factor: NonZeroU64::MIN,
            fifo_depth: None,
            layers: BTreeMap::new(),
        }
    }
}

/// Where the files of a design are.
#[derive(Debug, Clone)]
pub enum DesignFiles {
    /// A folder on disk.
    Folder(PathBuf),
    /// Files that are part of the program: name and bytes.
    Shipped(&'static [(&'static str, &'static [u8])]),
}

impl DesignFiles {
    /// Reads one file of the design.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, DesignError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                fs::read(&path).map_err(|source| DesignError::Read { path: path.display().to_string(), source })
            }
            Self::Shipped(files) => {
                files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| {
                    DesignError::Read { path: name.to_owned(), source: std::io::ErrorKind::NotFound.into() }
                })
            }
        }
    }

    /// How messages name one file of the design.
    pub fn path(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Shipped(_) => name.to_owned(),
        }
    }
}

/// A design, read and checked.
#[derive(Debug, Clone)]
pub struct Design {
    /// Its description.
    pub config: DesignConfig,
    /// Its files.
    pub files: DesignFiles,
    /// What stands in hardware.
    pub accelerator: Network,
    /// The weights as trained, in the order of its registers ([`Imported::trained`]).
    pub trained: Vec<f64>,
    /// What runs off-chip behind it.
    pub off_chip: Option<FloatNetwork>,
    /// What the reader had to decide.
    pub notes: Vec<String>,
    /// Every file read, with its SHA-256.
    pub sources: Vec<(String, Fingerprint)>,
}

impl Design {
    /// Opens the design in `folder`, or the one whose `design.toml` is given.
    ///
    /// # Errors
    /// When a file cannot be read or does not make sense; the message names the file and the place.
    pub fn open(path: &Path) -> Result<Self, DesignError> {
        let folder = if path.file_name().is_some_and(|name| name == DESIGN_FILE) && path.is_file() {
            path.parent().unwrap_or(Path::new(""))
        } else {
            path
        };
        Self::read(DesignFiles::Folder(folder.to_owned()))
    }

    /// Reads a design from its files.
    ///
    /// # Errors
    /// As [`Design::open`].
    pub fn read(files: DesignFiles) -> Result<Self, DesignError> {
        let bytes = files.read(DESIGN_FILE)?;
        let path = files.path(DESIGN_FILE);
        let text = std::str::from_utf8(&bytes).map_err(|_| DesignError::Text { path: path.clone() })?;
        let config: DesignConfig = toml::from_str(text)
            .map_err(|source| DesignError::Toml { path: path.clone(), source: Box::new(source) })?;
        if config.format != DESIGN_VERSION {
            return Err(DesignError::Version { path, found: config.format });
        }
        let format = |key, text: &Option<String>| {
            text.as_deref().map(str::parse::<Quantizer>).transpose().map_err(|source| DesignError::RegisterFormat {
                path: path.clone(),
                key,
                source,
            })
        };
        let input_format = format("input_format", &config.model.input_format)?;
        let batchnorm_format = format("batchnorm_format", &config.model.batchnorm_format)?;

        let parts = &config.model;
        let mut sources = vec![(DESIGN_FILE.to_owned(), Fingerprint::of_bytes(&bytes))];
        let mut part = |name: &String| -> Result<(String, Vec<u8>), DesignError> {
            let bytes = files.read(name)?;
            sources.push((name.clone(), Fingerprint::of_bytes(&bytes)));
            Ok((files.path(name), bytes))
        };
        let model = part(&parts.file)?;
        let weights = parts.weights.as_ref().map(&mut part).transpose()?;
        let decoder = parts.decoder_file.as_ref().map(&mut part).transpose()?;
        let imported = read_model(
            source(&model),
            weights.as_ref().map(source),
            decoder.as_ref().map(source),
            &KerasOptions {
                accelerator: parts.accelerator.as_deref(),
                decoder: parts.decoder.as_deref(),
                input_format,
                batchnorm_format,
            },
        )?;
        Ok(Self {
            config,
            files,
            accelerator: imported.accelerator,
            trained: imported.trained,
            off_chip: imported.off_chip,
            notes: imported.notes,
            sources,
        })
    }
}

fn source((name, bytes): &(String, Vec<u8>)) -> ModelSource<'_> {
    ModelSource { name, bytes }
}

/// Reads a model whose decoder may lie in a file of its own; `options.decoder` then names a sub-model of that file.
///
/// # Errors
/// As [`keras::read_keras`].
pub fn read_model(
    model: ModelSource<'_>,
    weights: Option<ModelSource<'_>>,
    decoder: Option<ModelSource<'_>>,
    options: &KerasOptions<'_>,
) -> Result<Imported, KerasError> {
    let Some(decoder) = decoder else {
        return keras::read_keras(model, weights, options);
    };
    let mut imported = keras::read_keras(model, weights, &KerasOptions { decoder: None, ..*options })?;
    if imported.is_classifier {
        return Err(KerasError::SoftmaxInside { decoder: decoder.name.to_owned() });
    }
    let (network, notes) = keras::read_off_chip(decoder, None, options.decoder, &imported.accelerator)?;
    imported.off_chip = Some(network);
    imported.notes.extend(notes);
    Ok(imported)
}
