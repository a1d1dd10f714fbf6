//! `trivote import`: a Keras/QKeras model file becomes a design folder.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::Global;
use super::endings::Format;
use crate::host::evaluator::{self, Evaluator, OutputWords};
use crate::host::metric::ErrorMetric;
use crate::hw::Inventory;
use crate::hw::schedule::{Io, not_unrolled};
use crate::import::design::{
    DESIGN_FILE, DESIGN_VERSION, DesignConfig, EventKind, EventsConfig, GeneratorConfig, HardwareConfig, MetricConfig,
    ModelConfig, read_model,
};
use crate::import::keras::{Imported, KerasOptions, ModelSource};
use crate::net::{Network, Node, Op};
use crate::num::Quantizer;
use crate::report::files::ResultFolder;
use crate::report::network::{network_json, off_chip_table, stage_table};

/// Most outputs of a convolution that is built unrolled unless the user says otherwise.
const MAX_UNROLLED: usize = 4096;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Model file: .keras, or .h5/.hdf5 with its architecture, or the architecture as .json
    model: PathBuf,
    /// Weights file (.h5, .weights.h5), when MODEL is an architecture
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Sub-model that stands in hardware [default: encoder, or the whole model if it has no sub-models]
    #[arg(long, value_name = "NAME")]
    accelerator: Option<String>,
    /// Sub-model that runs off-chip behind it [default: the one that takes its output]
    #[arg(long, value_name = "NAME")]
    decoder: Option<String>,
    /// Model file (.h5) of the part that runs off-chip, if it is not in MODEL
    #[arg(long, value_name = "FILE")]
    decoder_model: Option<PathBuf>,
    /// Format of the input register, ap_ufixed<8,0> for example, if the model does not quantize its input
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<Quantizer>,
    /// Format of the scale and shift of a batch normalization that is not folded [default: ap_fixed<16,6> as hls4ml has it,
    /// with as many more integer bits as the values take]
    #[arg(long, value_name = "FORMAT")]
    batchnorm_format: Option<Quantizer>,
    /// What an event is [default: hgcal for an 8x8x1 input that is not classified, otherwise tensor]
    #[arg(long, value_name = "KIND")]
    event_kind: Option<EventKindArgument>,
    /// Error of an event: emd, telescope, mse, deviation, misprediction or cross-entropy [default: emd for hgcal and
    /// mse for tensor events if a decoder gives as many values as went in, misprediction where the output was a softmax,
    /// otherwise deviation]
    #[arg(long, value_name = "NAME")]
    metric: Option<ErrorMetric>,
    /// Name of the design [default: name of the folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Design folder to write
    #[arg(long, short, value_name = "DIR", value_parser = Format::Folder.parser())]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EventKindArgument {
    /// 48 trigger-cell charges of an HGCal module
    Hgcal,
    /// The network's input itself
    Tensor,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("{}: cannot be read", path.display()));
    let model = read(&arguments.model)?;
    let weights = arguments.weights.as_deref().map(read).transpose()?;
    let decoder = arguments.decoder_model.as_deref().map(read).transpose()?;
    let name = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let names = (arguments.model.display().to_string(), name(&arguments.weights), name(&arguments.decoder_model));
    let imported = read_model(
        ModelSource { name: &names.0, bytes: &model },
        source(names.1.as_deref(), weights.as_deref()),
        source(names.2.as_deref(), decoder.as_deref()),
        &KerasOptions {
            accelerator: arguments.accelerator.as_deref(),
            decoder: arguments.decoder.as_deref(),
            input_format: arguments.input_format,
            batchnorm_format: arguments.batchnorm_format,
        },
    )?;
    let network = &imported.accelerator;
    let (kind, metric) = judged_by(arguments, &imported)?;
    let model_file = match arguments.model.extension().and_then(|ending| ending.to_str()) {
        Some("json") => "model.json",
        Some("keras") => "model.keras",
        _ => "model.h5",
    };
    let parts = Parts { model_file, has_weights: weights.is_some(), has_decoder: decoder.is_some() };
    let config = config(arguments, &imported, (kind, metric), &parts);
    let inventory = Inventory::new(network)?;
    let shape = network.input().shape.clone();
    let judged = match kind {
        EventKind::Hgcal => evaluator::EventKind::Module,
        EventKind::Tensor if metric.needs_labels() => evaluator::EventKind::Labeled { shape },
        EventKind::Tensor => evaluator::EventKind::Tensor { shape },
    };
    Evaluator::new(imported.off_chip.as_ref(), metric, judged, OutputWords::of(network))?;
    if !global.quiet {
        for note in &imported.notes {
            eprintln!("note: {note}");
        }
    }
    let json = network_json(network, imported.off_chip.as_ref(), &inventory);

    // A design is edited by hand, so an existing one is never replaced.
    let mut folder = ResultFolder::new(&arguments.output, |_| false)?;
    folder.add(model_file, model);
    if let Some(weights) = &weights {
        folder.add("weights.h5", weights.as_slice());
    }
    if let Some(decoder) = &decoder {
        folder.add("decoder.h5", decoder.as_slice());
    }
    folder.add("network.json", json.as_bytes());
    folder.add(DESIGN_FILE, toml::to_string(&config)?);
    folder.finish()?;

    if global.json {
        return Ok(json);
    }
    let mut text = String::new();
    writeln!(text, "in hardware: {}\n\n{}", network.name(), stage_table(network))?;
    match &imported.off_chip {
        Some(decoder) => writeln!(text, "off-chip: {}\n\n{}", decoder.name(), off_chip_table(decoder))?,
        None if metric.needs_labels() => {
            writeln!(text, "off-chip: nothing; the outputs are logits, compared with the label of an event\n")?;
        }
        None => writeln!(text, "off-chip: nothing; the error is how far the output moves from the fault-free one\n")?,
    }
    writeln!(text, "written: {} (try: trivote info {0})", arguments.output.display())?;
    Ok(text)
}

fn source<'a>(name: Option<&'a str>, bytes: Option<&'a [u8]>) -> Option<ModelSource<'a>> {
    name.zip(bytes).map(|(name, bytes)| ModelSource { name, bytes })
}

/// The last part of a path, also of `.` and `..`.
fn folder_name(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.file_name().map_or_else(|| "design".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What an event is, and how an output is judged: as asked, or what fits.
fn judged_by(arguments: &Arguments, imported: &Imported) -> anyhow::Result<(EventKind, ErrorMetric)> {
    let is_module = imported.accelerator.input().shape == [8, 8, 1];
    let kind = match arguments.event_kind {
        Some(EventKindArgument::Hgcal) if imported.accelerator.input().len() != 64 => {
            bail!(
                "--event-kind hgcal: events are 8x8x1 images, but the network takes {:?}",
                imported.accelerator.input().shape
            )
        }
        Some(EventKindArgument::Hgcal) => EventKind::Hgcal,
        None if is_module && !imported.is_classifier => EventKind::Hgcal,
        Some(EventKindArgument::Tensor) | None => EventKind::Tensor,
    };
    let reconstructs = imported
        .off_chip
        .as_ref()
        .is_some_and(|decoder| decoder.output().shape.iter().product::<usize>() == imported.accelerator.input().len());
    let metric = arguments.metric.unwrap_or(match kind {
        EventKind::Hgcal if reconstructs => ErrorMetric::Emd,
        EventKind::Tensor if reconstructs => ErrorMetric::Mse,
        EventKind::Tensor if imported.is_classifier => ErrorMetric::Misprediction,
        _ => ErrorMetric::Deviation,
    });
    Ok((kind, metric))
}

/// Files that become parts of the design folder.
struct Parts {
    model_file: &'static str,
    has_weights: bool,
    has_decoder: bool,
}

fn config(
    arguments: &Arguments,
    imported: &Imported,
    (kind, metric): (EventKind, ErrorMetric),
    parts: &Parts,
) -> DesignConfig {
    DesignConfig {
        format: DESIGN_VERSION,
        name: arguments.name.clone().unwrap_or_else(|| folder_name(&arguments.output)),
        description: String::new(),
        model: ModelConfig {
            file: parts.model_file.to_owned(),
            weights: parts.has_weights.then(|| "weights.h5".to_owned()),
            accelerator: arguments
                .accelerator
                .clone()
                .or_else(|| imported.is_sub_model.then(|| imported.accelerator.name().to_owned())),
            decoder: arguments.decoder.clone().or_else(|| {
                // A decoder file of its own needs no name within it.
                imported.off_chip.as_ref().filter(|_| !parts.has_decoder).map(|decoder| decoder.name().to_owned())
            }),
            decoder_file: parts.has_decoder.then(|| "decoder.h5".to_owned()),
            input_format: arguments.input_format.map(|format| format.to_string()),
            batchnorm_format: arguments.batchnorm_format.map(|format| format.to_string()),
        },
        events: EventsConfig {
            kind,
            file: None,
            scale: None,
            labels: None,
            generator: (kind == EventKind::Hgcal).then(|| GeneratorConfig {
                population: "mixture".to_owned(),
                seed: 1,
                count: 2000,
            }),
        },
        metric: MetricConfig { error: metric.to_string() },
        hardware: HardwareConfig {
            io: Some(if is_stream(&imported.accelerator) { Io::Stream } else { Io::EconT }.to_string()),
            ..HardwareConfig::default()
        },
    }
}

/// Whether a network is to pass pixel by pixel: one that cannot be unrolled, or has a convolution of many outputs.
fn is_stream(network: &Network) -> bool {
    let is_large = |node: &Node| matches!(node.op, Op::Conv2d(_)) && node.len() > MAX_UNROLLED;
    not_unrolled(network).is_some() || network.nodes().iter().any(is_large)
}
