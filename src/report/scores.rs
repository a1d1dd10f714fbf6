//! Scores per bit as files: a row per bit, a column per score, as CSV or Parquet, with their provenance beside them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;

use super::bit_table::{BitColumn, BitTable, BitValues};
use super::{Provenance, ReportError, SiteTable};

/// Why scores cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A name that could not be asked for again.
    #[error("score `{name}`: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A score that is not one number per bit.
    #[error("score `{name}` has {found} values for {expected} bits")]
    Length {
        /// The score.
        name: String,
        /// Values there are.
        found: usize,
        /// Bits there are.
        expected: usize,
    },
    /// A value that could not be read back.
    #[error("score `{name}` of `{bit}` is {value}, which is not finite")]
    NotFinite {
        /// The score.
        name: String,
        /// The bit.
        bit: String,
        /// The value.
        value: f64,
    },
}

/// Scores of bits, ready to be written.
#[derive(Debug, Clone)]
pub struct ScoreTable<'a> {
    sites: &'a SiteTable,
    scores: &'a [(String, Vec<f64>)],
}

#[derive(Serialize)]
struct Summary<'a> {
    provenance: &'a Provenance,
    bits: usize,
    scores: Vec<&'a str>,
}

impl<'a> ScoreTable<'a> {
    /// Takes named scores, each with a value per site, in the order of the sites.
    ///
    /// # Errors
    /// When a name is empty, stands there twice, is a column that names the bit, or holds what a list of names or a path
    /// would end at; when the values of a score are too few, too many, or not finite.
    pub fn new(sites: &'a SiteTable, scores: &'a [(String, Vec<f64>)]) -> Result<Self, ScoreError> {
        let mut names = HashSet::from(["layer", "tensor", "index", "bit"]);
        for (name, values) in scores {
            let wrong = |reason| ScoreError::Name { name: name.clone(), reason };
            if name.is_empty() || name.trim() != name || name.contains([',', ':']) || name.contains(char::is_control) {
                return Err(wrong("a name is some text without comma, colon, line break or blanks around it"));
            }
            if !names.insert(name) {
                return Err(wrong("another column has that name"));
            }
            if values.len() != sites.sites.len() {
                let (found, expected) = (values.len(), sites.sites.len());
                return Err(ScoreError::Length { name: name.clone(), found, expected });
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let site = &sites.sites[at];
                let (layer, tensor) = &sites.arrays[site.array];
                let bit = format!("{layer}.{tensor}[{}].bit[{}]", site.index, site.bit);
                return Err(ScoreError::NotFinite { name: name.clone(), bit, value: values[at] });
            }
        }
        Ok(Self { sites, scores })
    }

    /// The rows, in the form that the name of the file asks for: Parquet for `.parquet`, otherwise CSV. Values read back
    /// as the same bits from either.
    ///
    /// # Errors
    /// When Parquet cannot hold them.
    pub fn to_bytes(&self, file: &Path, provenance: &Provenance) -> Result<Vec<u8>, ReportError> {
        let column = |(name, values): &'a (String, Vec<f64>)| BitColumn {
            name: Cow::Borrowed(name),
            values: BitValues::Reals(Cow::Borrowed(values)),
        };
        BitTable { sites: self.sites, columns: self.scores.iter().map(column).collect() }.to_bytes(file, provenance)
    }

    /// What stands beside the rows, in `FILE.json`: provenance, number of bits, names of the scores.
    pub fn json(&self, provenance: &Provenance) -> String {
        let scores = self.scores.iter().map(|(name, _)| name.as_str()).collect();
        let summary = Summary { provenance, bits: self.sites.sites.len(), scores };
        let mut text = serde_json::to_string_pretty(&summary).expect("strings and numbers have a JSON form");
        text.push('\n');
        text
    }
}
