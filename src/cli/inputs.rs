//! What most verbs begin with: opening the design, its events and the judge of its output.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::event_files::EventFiles;
use super::{Global, shipped};
use crate::campaign::{Event, correct_events, events_fingerprint};
use crate::host::evaluator::{Evaluator, EventInput, EventKind, OutputWords};
use crate::host::generator::{Generator, Population};
use crate::host::metric::ErrorMetric;
use crate::hw::Inventory;
use crate::import::design::{self, Design, DesignFiles};
use crate::net::Fingerprint;
use crate::protect::ProtectionPlan;
use crate::report::Provenance;

/// The design a verb works on.
#[derive(Debug, Clone, Args)]
pub struct DesignArgument {
    /// Design folder, its design.toml, or a shipped design: econ_t_small, econ_t_medium, econ_t_large, digits_cnn
    design: String,
}

/// The events a verb works on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Events")]
pub struct EventArguments {
    /// Events: CSV with columns CALQ_0 to CALQ_47, or an array in .npy or .npz [default: those of the design]
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Factor of every value of the events, such as 0.00390625 for images of bytes [default: 1; the design's for its own]
    #[arg(long, value_name = "FACTOR", value_parser = factor, conflicts_with_all = ["generate", "event_seed"])]
    pub scale: Option<f64>,
    /// Class of each event: integers [events] or one-hot rows, in .npy or .npz [default: those of the design, for its own
    /// events]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generate", "event_seed"])]
    pub labels: Option<PathBuf>,
    /// Use the first N events only
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// Of these, use only events that are classified correctly without faults
    #[arg(long)]
    correct_only: bool,
    /// Generate N events with the design's generator, instead of as many as it says
    #[arg(long, value_name = "N", conflicts_with = "events", value_parser = positive)]
    generate: Option<usize>,
    /// Seed of generated events [default: the design's]
    #[arg(long, value_name = "SEED", conflicts_with = "events")]
    event_seed: Option<u64>,
    /// Error of an event: emd, telescope, mse, deviation, misprediction or cross-entropy [default: the design's]
    #[arg(long, value_name = "NAME")]
    metric: Option<ErrorMetric>,
}

impl EventArguments {
    /// Whether events are generated, whatever files the design has.
    pub const fn generates(&self) -> bool {
        self.generate.is_some() || self.event_seed.is_some()
    }

    /// Adds the options that name files of events, in canonical form.
    fn add_files(&self, options: &mut Vec<String>) {
        let path = |path: &PathBuf| path.display().to_string();
        if let Some(events) = &self.events {
            options.extend(["--events".to_owned(), path(events)]);
        }
        if let Some(scale) = self.scale {
            options.extend(["--scale".to_owned(), scale.to_string()]);
        }
        if let Some(labels) = &self.labels {
            options.extend(["--labels".to_owned(), path(labels)]);
        }
    }
}

/// A number other than 0.
fn factor(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number != 0.0);
    number.ok_or_else(|| "a number other than 0 is needed".to_owned())
}

/// A whole number from 1.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("a whole number is needed".to_owned()),
    }
}

/// An opened design.
pub struct Opened {
    /// The design.
    pub design: Design,
    /// Its registers.
    pub inventory: Inventory,
    /// As the user named it.
    named: String,
}

/// Opens a design by path or by the name of a shipped one; a path wins.
///
/// # Errors
/// When there is no such design, or it cannot be read.
pub fn open(argument: &DesignArgument, global: &Global) -> anyhow::Result<Opened> {
    let named = &argument.design;
    let path = Path::new(named);
    let is_design = path.join(design::DESIGN_FILE).is_file()
        || (path.is_file() && path.file_name().is_some_and(|name| name == design::DESIGN_FILE));
    let design = if is_design {
        Design::open(path)?
    } else if let Some(files) = shipped::design(named) {
        Design::read(files).with_context(|| format!("shipped design `{named}`"))?
    } else if path.is_file() {
        bail!("`{named}` is no design; make one of a model with `trivote import {named} -o DIR`");
    } else if path.exists() {
        bail!("design `{named}`: there is no {} in it; `trivote import` makes one", design::DESIGN_FILE);
    } else {
        bail!(
            "design `{named}`: there is no such folder, and no shipped design of that name (shipped: {})",
            shipped::design_names()
        );
    };
    if !global.quiet {
        for note in &design.notes {
            eprintln!("note: {note}");
        }
    }
    let inventory = Inventory::new(&design.accelerator).with_context(|| format!("design `{named}`"))?;
    Ok(Opened { design, inventory, named: named.clone() })
}

impl Opened {
    /// Name of the design.
    pub fn name(&self) -> &str {
        &self.design.config.name
    }

    /// Files of the design on disk: no output may replace them.
    pub fn own_files(&self) -> Vec<String> {
        match &self.design.files {
            DesignFiles::Shipped(_) => Vec::new(),
            files @ DesignFiles::Folder(_) => {
                let listed = self.design.sources.iter().map(|(name, _)| files.path(name));
                listed.chain([files.path("network.json")]).collect()
            }
        }
    }

    /// Provenance of verb with its options, naming the design and the files read.
    pub fn provenance(&self, verb: &str, options: Vec<String>) -> Provenance {
        let mut command = vec!["trivote".to_owned(), verb.to_owned(), self.named.clone()];
        command.extend(options);
        let mut provenance = Provenance::new(command, self.name(), self.design.accelerator.fingerprint().to_string());
        provenance.inputs.extend(self.design.sources.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
        provenance
    }
}

/// Reads a protection plan of the design, and says what file it was.
///
/// # Errors
/// When it cannot be read, or is of another design.
pub fn read_plan(path: &Path, opened: &Opened) -> anyhow::Result<(ProtectionPlan, (String, Fingerprint))> {
    let file = path.display().to_string();
    if path.is_dir() {
        bail!("{file}: is a folder; name a protection plan, such as one of the plans that `trivote sweep -o` writes");
    }
    let text = fs::read_to_string(path).with_context(|| format!("{file}: cannot be read"))?;
    let plan = ProtectionPlan::from_json(&file, &text, &opened.inventory, opened.design.accelerator.fingerprint())?;
    Ok((plan, (file, Fingerprint::of_bytes(text.as_bytes()))))
}

/// Which events of a file are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Correct,
}

/// Events and the judge of what comes out.
pub struct Prepared {
    /// The events.
    pub events: Vec<Event>,
    /// The judge.
    pub evaluator: Evaluator,
    /// Which of them were kept.
    kept: Kept,
    /// The options that chose them, in canonical form.
    pub options: Vec<String>,
    /// Seeds used.
    pub seeds: Vec<(String, u64)>,
    /// Files read.
    pub sources: Vec<(String, Fingerprint)>,
}

impl Prepared {
    /// Adds what the events contribute to a result's provenance.
    pub fn record(&self, provenance: &mut Provenance) {
        provenance.command.extend(self.options.iter().cloned());
        provenance.seeds.extend(self.seeds.iter().cloned());
        provenance.inputs.extend(self.sources.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
        provenance.events = Some(events_fingerprint(&self.events).to_string());
    }

    /// What the events are, in few words.
    pub const fn event_kind(&self) -> &'static str {
        match (self.evaluator.kind(), self.kept) {
            (EventKind::Module, _) => "hgcal",
            (EventKind::Tensor { .. }, Kept::All) => "tensor",
            (EventKind::Tensor { .. }, Kept::Correct) => "tensor, correct only",
            (EventKind::Labeled { .. }, Kept::All) => "labeled",
            (EventKind::Labeled { .. }, Kept::Correct) => "labeled, correct only",
        }
    }

    /// Drops the events that the design gets wrong without faults.
    fn keep_correct(&mut self, opened: &Opened) -> anyhow::Result<()> {
        let Some(correct) = correct_events(&opened.design.accelerator, &self.evaluator, &self.events) else {
            bail!("--correct-only: the events have no labels; give some with --labels FILE");
        };
        let mut correct = correct.into_iter();
        self.events.retain(|_| correct.next().unwrap_or(false));
        self.kept = Kept::Correct;
        if self.events.is_empty() {
            bail!("--correct-only: design `{}` classifies none of the events correctly", opened.name());
        }
        Ok(())
    }
}

/// Reads or generates the events of a verb and pairs them with decoder and metric.
///
/// # Errors
/// When a file cannot be read, its shape does not fit the network, or metric and design do not fit.
pub fn prepare(opened: &Opened, arguments: &EventArguments) -> anyhow::Result<Prepared> {
    let design = &opened.design;
    let network = &design.accelerator;
    let metric = match arguments.metric {
        Some(metric) => metric,
        None => design
            .config
            .metric
            .error
            .parse()
            .with_context(|| format!("{}: metric.error", design.files.path(design::DESIGN_FILE)))?,
    };
    let wants_labels = metric.needs_labels() || arguments.correct_only;
    let files = EventFiles::read(opened, arguments, wants_labels)?;
    let shape = || network.input().shape.clone();
    let kind = match design.config.events.kind {
        design::EventKind::Hgcal => EventKind::Module,
        design::EventKind::Tensor if files.as_ref().is_some_and(EventFiles::is_labeled) => {
            EventKind::Labeled { shape: shape() }
        }
        design::EventKind::Tensor => EventKind::Tensor { shape: shape() },
    };
    if kind.input_len() != network.input().len() {
        bail!(
            "design `{}`: events of kind `hgcal` are 8x8x1 images, but the network takes {:?}; say kind = \"tensor\" in \
             {}",
            opened.name(),
            network.input().shape,
            design.files.path(design::DESIGN_FILE)
        );
    }
    let evaluator = Evaluator::new(design.off_chip.as_ref(), metric, kind.clone(), OutputWords::of(network))
        .with_context(|| format!("design `{}`", opened.name()))?;

    let mut options = Vec::new();
    let mut seeds = Vec::new();
    let mut sources = Vec::new();
    if arguments.metric.is_some() {
        options.extend(["--metric".to_owned(), metric.to_string()]);
    }
    arguments.add_files(&mut options);
    let inputs = match files {
        Some(files) => {
            sources.extend(files.sources());
            files.inputs(&kind, evaluator.classes(), arguments.limit)?
        }
        None => generate(opened, arguments, &mut options, &mut seeds)?,
    };
    if let Some(limit) = arguments.limit {
        options.extend(["--limit".to_owned(), limit.to_string()]);
    }
    let events = inputs
        .into_iter()
        .enumerate()
        .map(|(position, input)| Event::new(network, input).with_context(|| format!("event {position}")))
        .collect::<Result<_, _>>()?;
    let mut prepared = Prepared { events, evaluator, kept: Kept::All, options, seeds, sources };
    if arguments.correct_only {
        prepared.options.push("--correct-only".to_owned());
        prepared.keep_correct(opened)?;
    }
    Ok(prepared)
}

fn generate(
    opened: &Opened,
    arguments: &EventArguments,
    options: &mut Vec<String>,
    seeds: &mut Vec<(String, u64)>,
) -> anyhow::Result<Vec<EventInput>> {
    let design = &opened.design;
    let path = || design.files.path(design::DESIGN_FILE);
    let Some(config) = &design.config.events.generator else {
        bail!("design `{}` has no events of its own; name some with --events FILE", opened.name());
    };
    if design.config.events.kind != design::EventKind::Hgcal {
        bail!("{}: events.generator makes HGCal modules, but events.kind is `tensor`", path());
    }
    let population: Population =
        config.population.parse().with_context(|| format!("{}: events.generator.population", path()))?;
    let (seed, count) = (arguments.event_seed.unwrap_or(config.seed), arguments.generate.unwrap_or(config.count));
    if count == 0 {
        bail!("{}: events.generator.count is 0; at least one event is needed", path());
    }
    if arguments.event_seed.is_some() {
        options.extend(["--event-seed".to_owned(), seed.to_string()]);
    }
    if arguments.generate.is_some() {
        options.extend(["--generate".to_owned(), count.to_string()]);
    }
    seeds.push(("events".to_owned(), seed));
    let count = arguments.limit.map_or(count, |limit| limit.min(count));
    Ok(Generator::new(population, seed).events(0, count).into_iter().map(EventInput::Module).collect())
}
