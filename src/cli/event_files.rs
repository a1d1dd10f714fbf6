//! Event files and label files: which ones a verb reads, and what is in them.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::inputs::{EventArguments, Opened};
use crate::host::evaluator::{EventInput, EventKind};
use crate::host::geometry::Charges;
use crate::import::design;
use crate::import::events::{read_events_csv, read_events_npy, read_tensors_npy};
use crate::import::labels::Labels;
use crate::import::npy::{NpyArray, NpyError, npz_names, read_npz};
use crate::net::Fingerprint;

/// Names that the array of events may have in an archive of several.
const EVENT_MEMBERS: [&str; 3] = ["events", "images", "x"];

/// Names that the array of labels may have in an archive of several.
const LABEL_MEMBERS: [&str; 2] = ["labels", "y"];

/// A file read.
struct Source {
    name: String,
    bytes: Vec<u8>,
}

/// The events of a file, as they are there.
pub struct EventFiles {
    events: Source,
    labels: Option<(Source, Labels)>,
    scale: f64,
}

impl EventFiles {
    /// Reads the files that `arguments` name or, where they name none, those of the design; `None` when events are
    /// generated. Of an archive of events, labels are taken where `wants_labels` and no file of labels is named.
    ///
    /// # Errors
    /// When a file cannot be read, or options ask for what its events do not have.
    pub fn read(opened: &Opened, arguments: &EventArguments, wants_labels: bool) -> anyhow::Result<Option<Self>> {
        let design = &opened.design;
        let config = &design.config.events;
        let own = config.file.as_ref().filter(|_| arguments.events.is_none() && !arguments.generates());
        let is_module = config.kind == design::EventKind::Hgcal;
        let describes = || design.files.path(design::DESIGN_FILE);
        if is_module && (config.labels.is_some() || config.scale.is_some()) {
            bail!("{}: events.labels and events.scale are for tensors, but events.kind is `hgcal`", describes());
        }
        if is_module && (arguments.labels.is_some() || arguments.scale.is_some()) {
            bail!("--labels and --scale are for tensors, but design `{}` is fed with HGCal modules", opened.name());
        }
        let events = match (&arguments.events, own) {
            (Some(path), _) => read_source(path)?,
            (None, Some(name)) => Source { name: design.files.path(name), bytes: design.files.read(name)? },
            (None, None) if arguments.labels.is_some() || arguments.scale.is_some() => {
                bail!("design `{}` has no events of its own; name some with --events FILE", opened.name())
            }
            (None, None) => return Ok(None),
        };
        let of_design = own.and(config.labels.as_ref());
        let labels = match (&arguments.labels, of_design) {
            (Some(path), _) => Some(read_source(path)?),
            (None, Some(name)) => Some(Source { name: design.files.path(name), bytes: design.files.read(name)? }),
            (None, None) => None,
        };
        let labels = match labels {
            Some(source) => {
                let Some(array) = array(&source, &LABEL_MEMBERS)? else {
                    bail!("{}: labels are read from .npy or .npz", source.name);
                };
                let labels = Labels::read(&source.name, &array)?;
                Some((source, labels))
            }
            None => None,
        };
        let scale = arguments.scale.or_else(|| own.and(config.scale)).unwrap_or(1.0);
        if !scale.is_finite() || scale == 0.0 {
            bail!("{}: events.scale is {scale}; a number other than 0 is needed", describes());
        }
        let mut files = Self { events, labels, scale };
        if wants_labels && !is_module && files.labels.is_none() {
            files.labels = files.labels_beside_events()?;
        }
        Ok(Some(files))
    }

    /// Labels in the archive of the events.
    fn labels_beside_events(&self) -> anyhow::Result<Option<(Source, Labels)>> {
        let Source { name, bytes } = &self.events;
        if ending(name).as_deref() != Some("npz") {
            return Ok(None);
        }
        let names = npz_names(name, bytes)?;
        let Some(member) = LABEL_MEMBERS.iter().find(|member| names.iter().any(|name| name == *member)) else {
            return Ok(None);
        };
        let labels = Labels::read(&format!("{name}: {member}"), &read_npz(name, bytes, member)?)?;
        Ok(Some((Source { name: name.clone(), bytes: Vec::new() }, labels)))
    }

    /// Whether there are labels.
    pub const fn is_labeled(&self) -> bool {
        self.labels.is_some()
    }

    /// The files read, with the SHA-256 of each.
    pub fn sources(&self) -> Vec<(String, Fingerprint)> {
        let labels = self.labels.iter().map(|(source, _)| source).filter(|source| source.name != self.events.name);
        let sources = std::iter::once(&self.events).chain(labels);
        sources.map(|source| (source.name.clone(), Fingerprint::of_bytes(&source.bytes))).collect()
    }

    /// The first `limit` events (all without a limit), as `kind` says; `classes` is the number of outputs that labels tell
    /// apart.
    ///
    /// # Errors
    /// When a file holds other things, or labels do not fit the events or the network.
    pub fn inputs(
        self,
        kind: &EventKind,
        classes: Option<usize>,
        limit: Option<usize>,
    ) -> anyhow::Result<Vec<EventInput>> {
        let Self { events, labels, scale } = self;
        let (name, array) = (&events.name, array(&events, &EVENT_MEMBERS)?);
        let module = |(event, charges)| {
            let charges = Charges::new(charges).with_context(|| format!("{name}: event {event}"))?;
            Ok(EventInput::Module(charges))
        };
        let (EventKind::Tensor { shape } | EventKind::Labeled { shape }) = kind else {
            let events = match array {
                None => read_events_csv(name, &events.bytes, limit)?,
                Some(array) => read_events_npy(name, &array, limit)?,
            };
            return events.into_iter().enumerate().map(module).collect();
        };
        let Some(array) = array else { bail!("{name}: events of this design are tensors; give them as .npy or .npz") };
        let tensors = read_tensors_npy(name, &array, shape, scale, limit)?;
        let (Some((_, labels)), Some(classes)) = (labels, classes) else {
            return Ok(tensors.into_iter().map(EventInput::Tensor).collect());
        };
        let count = array.shape().first().copied().unwrap_or(0);
        let labels = labels.fitting(count, classes)?;
        let labeled = tensors.into_iter().zip(labels);
        Ok(labeled.map(|(values, label)| EventInput::Labeled { values, label }).collect())
    }
}

fn read_source(path: &Path) -> anyhow::Result<Source> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
    Ok(Source { name, bytes })
}

fn ending(name: &str) -> Option<String> {
    Path::new(name).extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase())
}

/// The array in a `.npy` file, or of a `.npz` archive the only one or the first there is of `members`; `None` for other
/// files.
fn array(source: &Source, members: &[&str]) -> anyhow::Result<Option<NpyArray>> {
    let Source { name, bytes } = source;
    match ending(name).as_deref() {
        Some("npy") => Ok(Some(NpyArray::read(name, bytes)?)),
        Some("npz") => {
            let names = npz_names(name, bytes)?;
            let member = match names.as_slice() {
                [only] => only.as_str(),
                _ => members.iter().find(|member| names.iter().any(|name| name == *member)).copied().ok_or_else(
                    || {
                        let (file, member) = (name.clone(), members.join("`, `"));
                        NpyError::NoMember { file, member, available: names.clone() }
                    },
                )?,
            };
            Ok(Some(read_npz(name, bytes, member)?))
        }
        _ => Ok(None),
    }
}
