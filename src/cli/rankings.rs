//! Orders of bits as users name them: the oracle's, a score by name, or a column of a file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::inputs::Opened;
use super::planned::PlannedLine;
use crate::analysis::Score;
use crate::fault::{Repeats, named_sites};
use crate::hw::BitId;
use crate::import::oracle::totals_files;
use crate::import::sites::{ScoreColumn, design_of, read_sites};
use crate::net::Fingerprint;

/// Column of a file that is named alone.
const DEFAULT_COLUMN: &str = "score";

/// A ranking as asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum RankingName {
    /// By the true rises.
    Oracle,
    /// By a score of ours.
    Score(Score),
    /// By a column of a file.
    File(ScoreFile),
    /// What a planner chooses.
    Planned(PlannedLine),
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreFile {
    /// As the user wrote it.
    text: String,
    path: PathBuf,
    column: String,
}

/// Reads `oracle`, the name of a score, `planned` with its choices, `FILE` or `FILE:COLUMN`.
///
/// # Errors
/// When it is none of these.
pub fn parse(text: &str) -> Result<RankingName, String> {
    let text = text.trim();
    if text == "oracle" {
        return Ok(RankingName::Oracle);
    }
    if let Ok(score) = text.parse() {
        return Ok(RankingName::Score(score));
    }
    if let Some(planned) = PlannedLine::parse(text) {
        return planned.map(RankingName::Planned);
    }
    ScoreFile::parse(text).map(RankingName::File).ok_or_else(|| {
        let names = Score::ALL.map(Score::name).join(", ");
        format!("is neither oracle, a score ({names}), planned nor a file that exists, FILE or FILE:COLUMN")
    })
}

/// The names of rankings in results; columns of one name in different files are called `FILE.COLUMN`.
pub fn labels(rankings: &[RankingName]) -> Vec<String> {
    let names: Vec<String> = rankings.iter().map(RankingName::name).collect();
    let is_alone = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
    let label = |(ranking, name): (&RankingName, &String)| match ranking {
        RankingName::File(file) if !is_alone(name) => file.long_name(),
        _ => name.clone(),
    };
    rankings.iter().zip(&names).map(label).collect()
}

impl RankingName {
    /// As the user wrote it.
    pub fn text(&self) -> &str {
        match self {
            Self::Oracle => "oracle",
            Self::Score(score) => score.name(),
            Self::File(file) => &file.text,
            Self::Planned(planned) => planned.text(),
        }
    }

    /// The ranking's name in results.
    pub fn name(&self) -> String {
        match self {
            Self::File(file) => file.ranking_name(),
            _ => self.text().to_owned(),
        }
    }

    /// The file, if it goes by a column of one.
    pub fn file(&self) -> Option<&ScoreFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Planned(planned) => planned.by.file(),
            Self::Oracle | Self::Score(_) => None,
        }
    }

    /// The score of ours that it goes by, if it does.
    pub fn score(&self) -> Option<Score> {
        match self {
            Self::Score(score) => Some(*score),
            Self::Planned(planned) => planned.by.score(),
            Self::Oracle | Self::File(_) => None,
        }
    }
}

impl ScoreFile {
    /// `FILE` or `FILE:COLUMN`; paths may hold colons, and a file of the whole name wins. `None` when there is no such
    /// file.
    fn parse(text: &str) -> Option<Self> {
        let colons = text.rmatch_indices(':').map(|(colon, _)| (&text[..colon], &text[colon + 1..]));
        let (path, column) =
            [(text, DEFAULT_COLUMN)].into_iter().chain(colons).find(|(path, _)| Path::new(path).is_file())?;
        Some(Self { text: text.to_owned(), path: PathBuf::from(path), column: column.to_owned() })
    }

    /// A score has a name of its own; the column `score` says nothing, so there it is that of the file.
    fn ranking_name(&self) -> String {
        match self.path.file_stem() {
            Some(stem) if self.column == DEFAULT_COLUMN => stem.to_string_lossy().into_owned(),
            _ => self.column.clone(),
        }
    }

    fn long_name(&self) -> String {
        let stem = self.path.file_stem().map_or_else(|| self.text.clone(), |stem| stem.to_string_lossy().into_owned());
        format!("{stem}.{}", self.column)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The score of every site, in their order, and the file it was read from.
    ///
    /// # Errors
    /// When the file cannot be read, is of another design, or lacks a site.
    pub fn read(&self, opened: &Opened, sites: &[BitId]) -> anyhow::Result<(Vec<f64>, (String, Fingerprint))> {
        let file = self.path.display().to_string();
        let bytes = fs::read(&self.path).with_context(|| format!("{file}: cannot be read"))?;
        let design = opened.design.accelerator.fingerprint().to_string();
        let check = |made_for: Option<String>, says: &str| match made_for.filter(|made_for| *made_for != design) {
            Some(other) => Err(anyhow!(
                "{file}: its scores are of another design (fingerprint {other}; `{}` has {design}), as {says} says; score \
                 this design",
                opened.name(),
            )),
            None => Ok(()),
        };
        check(design_of(&file, &bytes, None), "it")?;
        for beside in totals_files(&self.path) {
            let name = beside.display().to_string();
            match fs::read(&beside) {
                Ok(text) => {
                    serde_json::from_slice::<serde_json::Value>(&text).with_context(|| {
                        format!("{name}: should say what {file} was made for, but is no JSON; delete it if it is not of {file}")
                    })?;
                    check(design_of("", b"", Some(&text)), &name)?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("{name}: cannot be read")),
            }
        }
        let rows = read_sites(&file, &bytes, ScoreColumn::Named(&self.column))?;
        let bits = named_sites(&opened.inventory, &file, &rows, Repeats::Refuse)?;
        let by_bit: HashMap<BitId, f64> = bits.into_iter().zip(rows.iter().filter_map(|row| row.score)).collect();
        let score = |bit: &BitId| {
            let missing = || format!("{file}: has no score for `{}`", opened.inventory.bit_address(*bit));
            by_bit.get(bit).copied().with_context(missing)
        };
        let scores = sites.iter().map(score).collect::<anyhow::Result<_>>()?;
        Ok((scores, (file, Fingerprint::of_bytes(&bytes))))
    }
}
