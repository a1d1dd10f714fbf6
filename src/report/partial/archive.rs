//! `Archive`: the arrays of partial work, read back and checked one by one; and the ones that all kinds write alike.

use std::io::Cursor;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PartialError;
use crate::campaign::{ExactSum, SiteOutcome};
use crate::import::npy::{NpyData, read_npz};
use crate::report::npz::NpzWriter;

/// A kind of partial work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Name and version of its format.
    pub format: &'static str,
    /// What a file of it is, in messages.
    pub needed: &'static str,
}

/// The bytes of a file of some kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Archive<'a> {
    /// Name of the file, for messages.
    pub file: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
    /// What it should be.
    pub kind: Kind,
}

impl Archive<'_> {
    /// The file is not what it should be.
    pub fn content(&self, what: String) -> PartialError {
        PartialError::Content { file: self.file.to_owned(), what, needed: self.kind.needed }
    }

    /// An array is not what it should be.
    pub fn misfit(&self, name: &str) -> PartialError {
        self.content(format!("array `{name}` has not the type, length or values it should have"))
    }

    /// The manifest, whose `format` must be that of the kind.
    pub fn manifest<M: DeserializeOwned>(&self) -> Result<M, PartialError> {
        let manifest = match read_npz(self.file, self.bytes, "manifest")?.data() {
            NpyData::U8(text) => serde_json::from_slice::<serde_json::Value>(text).map_err(|error| error.to_string()),
            _ => Err("it holds no bytes".to_owned()),
        };
        let manifest = manifest.map_err(|error| self.content(format!("manifest: {error}")))?;
        let format = manifest.get("format").and_then(serde_json::Value::as_str).unwrap_or_default();
        if format != self.kind.format {
            let (file, found) = (self.file.to_owned(), format.to_owned());
            return Err(PartialError::Format { file, found, wanted: self.kind.format });
        }
        serde_json::from_value(manifest).map_err(|error| self.content(format!("manifest: {error}")))
    }

    /// An array of integers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, PartialError> {
        match read_npz(self.file, self.bytes, name)?.data() {
            NpyData::I64(values) => Ok(values.clone()),
            _ => Err(self.misfit(name)),
        }
    }

    /// An array of real numbers.
    pub fn reals(&self, name: &str) -> Result<Vec<f64>, PartialError> {
        match read_npz(self.file, self.bytes, name)?.data() {
            NpyData::F64(values) => Ok(values.clone()),
            _ => Err(self.misfit(name)),
        }
    }

    /// An array of exact sums of four words each, of at most `terms` terms.
    pub fn sums(&self, name: &str, terms: u32) -> Result<Vec<ExactSum>, PartialError> {
        let words = self.integers(name)?;
        let (sums, []) = words.as_chunks::<4>() else { return Err(self.misfit(name)) };
        sums.iter().map(|words| ExactSum::from_words(*words, terms).ok_or_else(|| self.misfit(name))).collect()
    }

    /// The outcomes that [`add_outcomes`] wrote, over at most `events` events each.
    pub fn outcomes(&self, prefix: &str, events: u32) -> Result<Vec<SiteOutcome>, PartialError> {
        let [changed_name, sum_name] = outcome_names(prefix);
        let (changed, words) = (self.integers(&changed_name)?, self.integers(&sum_name)?);
        let (sums, rest) = words.as_chunks::<4>();
        if sums.len() != changed.len() || !rest.is_empty() {
            return Err(self.misfit(&sum_name));
        }
        let outcomes = changed.iter().zip(sums).map(|(changed, sum)| {
            let changed_events = u32::try_from(*changed).ok().filter(|changed| *changed <= events);
            let changed_events = changed_events.ok_or_else(|| self.misfit(&changed_name))?;
            let rise_sum = ExactSum::from_words(*sum, changed_events).ok_or_else(|| self.misfit(&sum_name))?;
            Ok(SiteOutcome { changed_events, rise_sum })
        });
        outcomes.collect()
    }
}

/// `changed_events` and `rise_sum` behind the prefix.
fn outcome_names(prefix: &str) -> [String; 2] {
    ["changed_events", "rise_sum"].map(|name| format!("{prefix}{name}"))
}

/// Writes a manifest as JSON.
pub(super) fn add_manifest(
    npz: &mut NpzWriter<Cursor<Vec<u8>>>,
    manifest: &impl Serialize,
) -> Result<(), PartialError> {
    let manifest = serde_json::to_vec_pretty(manifest).expect("strings and numbers have a JSON form");
    Ok(npz.add("manifest", &[manifest.len()], &manifest[..])?)
}

/// Writes outcomes as two arrays, `changed_events` `[outcomes]` and `rise_sum` `[outcomes, 4]`, behind a prefix.
pub(super) fn add_outcomes<'a>(
    npz: &mut NpzWriter<Cursor<Vec<u8>>>,
    prefix: &str,
    outcomes: impl Iterator<Item = &'a SiteOutcome> + Clone,
) -> Result<(), PartialError> {
    let changed: Vec<i64> = outcomes.clone().map(|outcome| i64::from(outcome.changed_events)).collect();
    let sums: Vec<i64> = outcomes.flat_map(|outcome| outcome.rise_sum.to_words()).collect();
    let [changed_name, sum_name] = outcome_names(prefix);
    npz.add(&changed_name, &[changed.len()], &changed[..])?;
    npz.add(&sum_name, &[changed.len(), 4], &sums[..])?;
    Ok(())
}
