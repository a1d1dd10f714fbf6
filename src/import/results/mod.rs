//! Results read back: what `sweep`, `simulate`, `oracle` and `analyze` wrote, by file or by folder.
//!
//! A result is known by what its JSON holds, not by its name. Refuses what another version wrote, and what does not fit
//! together; whether results of several runs do is not asked here.

mod check;
mod error;
mod forms;
mod provenance;
mod rows;
#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::ResultError;
pub use forms::{
    DerivativesForm, DesignFacts, EstimateForm, MissionsForm, PlanningForm, PointForm, ScenarioForm, ScoresForm,
    SweepForm, TargetForm, TotalsForm,
};
pub use provenance::Provenance;
pub use rows::{ArrayRows, BitRow, BitRows, OracleResult, ScoresResult};

use crate::import::oracle::{SUM_TOLERANCE, totals_files};
use crate::net::Fingerprint;

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResult {
    /// Its first file, as named.
    pub path: String,
    /// All files read.
    pub files: Vec<String>,
    /// Of its JSON: equal results have equal ones.
    pub digest: Fingerprint,
    /// What it holds.
    pub content: ResultContent,
}

/// What a result holds.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultContent {
    /// A sweep, with its oracle where that stands beside it.
    Sweep(Box<SweepForm>, Option<Box<OracleResult>>),
    /// An oracle.
    Oracle(Box<OracleResult>),
    /// Missions.
    Missions(Box<MissionsForm>),
    /// Scores of bits.
    Scores(Box<ScoresResult>),
    /// Derivatives of a loss.
    Derivatives(Box<DerivativesForm>),
}

impl StoredResult {
    /// How it was made.
    pub fn provenance(&self) -> &Provenance {
        match &self.content {
            ResultContent::Sweep(sweep, _) => &sweep.provenance,
            ResultContent::Oracle(oracle) => &oracle.form.provenance,
            ResultContent::Missions(missions) => &missions.provenance,
            ResultContent::Scores(scores) => &scores.form.provenance,
            ResultContent::Derivatives(derivatives) => &derivatives.provenance,
        }
    }

    /// The verb that writes such results.
    pub fn verb(&self) -> &'static str {
        match &self.content {
            ResultContent::Sweep(..) => "sweep",
            ResultContent::Oracle(_) => "oracle",
            ResultContent::Missions(_) => "simulate",
            ResultContent::Scores(_) | ResultContent::Derivatives(_) => "analyze",
        }
    }

    /// Its oracle, if it has one.
    pub fn oracle(&self) -> Option<&OracleResult> {
        match &self.content {
            ResultContent::Sweep(_, oracle) => oracle.as_deref(),
            ResultContent::Oracle(oracle) => Some(oracle),
            _ => None,
        }
    }
}

/// What was found under a name.
#[derive(Debug, Default)]
pub struct FoundResults {
    /// The results, by name of their files.
    pub results: Vec<StoredResult>,
    /// What was passed over, and why.
    pub notes: Vec<String>,
}

/// Reads the result in a file, or all in a folder (not in folders below it).
///
/// A file may be any of a result's: rows of an oracle or of scores are found by their totals, and the other way round.
///
/// # Errors
/// When there is none, or one that cannot be read whole.
pub fn read_results(path: &Path) -> Result<FoundResults, ResultError> {
    let name = || path.display().to_string();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => read_folder(path),
        Ok(_) => Ok(FoundResults { results: vec![read_file(path)?], notes: Vec::new() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(ResultError::Missing { path: name() }),
        Err(source) => Err(ResultError::Read { path: name(), source }),
    }
}

/// What a JSON file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sweep,
    Totals,
    Missions,
    Scores,
    Derivatives,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Totals => "oracle",
            Self::Missions => "result of simulate",
            Self::Scores => "summary of scores",
            Self::Derivatives => "result of analyze",
        }
    }

    /// By the fields that no other result has; otherwise why it is none that is compared.
    fn of(value: &Value) -> Result<Self, String> {
        let has = |names: &[&str]| names.iter().all(|name| value.get(name).is_some());
        if value["format"] == "trivote-plan" {
            return Err("it is a protection plan; name the folder of its sweep".to_owned());
        }
        if has(&["systems", "sources"]) {
            return Err("it is a comparison; name the results that it was made of".to_owned());
        }
        if !has(&["provenance"]) {
            return Err("it does not say by which command it was made; results of trivote do".to_owned());
        }
        let kinds = [
            (Self::Sweep, &["points", "unprotected"][..]),
            (Self::Totals, &["total", "bit_positions"]),
            (Self::Missions, &["mission", "scenarios"]),
            (Self::Derivatives, &["eigenvalues", "gradient_norm"]),
            (Self::Scores, &["scores", "bits"]),
        ];
        let known = kinds.into_iter().find(|(_, names)| has(names));
        known.map(|(kind, _)| kind).ok_or_else(|| {
            if has(&["rankings", "golden_mean_error"]) {
                return "it compares rankings; name the scores (`analyze --scores`) and the oracle instead".to_owned();
            }
            if has(&["looks", "flips"]) {
                return "it is a guided campaign, which leaves bits out; name an oracle instead".to_owned();
            }
            let verb = value["provenance"]["command"][1].as_str().unwrap_or("another command");
            format!("it was written by `{verb}`; results of sweep, simulate, oracle and analyze are compared")
        })
    }
}

/// A JSON file as read.
struct Document {
    path: PathBuf,
    name: String,
    bytes: Vec<u8>,
    kind: Kind,
    command: Vec<String>,
}

impl Document {
    /// Reads a file that should be a result.
    fn read(path: &Path) -> Result<Self, ResultError> {
        let name = path.display().to_string();
        let bytes = read(path)?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ResultError::Json { path: name.clone(), reason: error.to_string() })?;
        let kind = Kind::of(&value).map_err(|reason| ResultError::NotAResult { path: name.clone(), reason })?;
        let words = value["provenance"]["command"].as_array().into_iter().flatten();
        let command: Vec<String> = words.filter_map(|word| word.as_str().map(str::to_owned)).collect();
        if let Some(found) = value["provenance"]["trivote"].as_str().filter(|found| *found != env!("CARGO_PKG_VERSION"))
        {
            return Err(ResultError::Version { path: name, found: found.to_owned(), command });
        }
        Ok(Self { path: path.to_owned(), name, bytes, kind, command })
    }

    fn form<T: DeserializeOwned>(&self) -> Result<T, ResultError> {
        serde_json::from_slice(&self.bytes).map_err(|error| ResultError::Field {
            path: self.name.clone(),
            kind: self.kind.name(),
            reason: error.to_string(),
            command: self.command.clone(),
        })
    }

    /// What is compared must say of which events it is.
    fn check_events(&self, provenance: &Provenance) -> Result<(), ResultError> {
        if provenance.events.is_some() {
            return Ok(());
        }
        Err(ResultError::NoEvents { path: self.name.clone(), command: self.command.clone() })
    }

    /// The result that this is part of; `rows` where they were named.
    fn result(&self, rows: Option<&Path>) -> Result<StoredResult, ResultError> {
        let mut files = vec![self.name.clone()];
        let mut path = self.name.clone();
        let content = match self.kind {
            Kind::Sweep => {
                let form: SweepForm = self.form()?;
                self.check_events(&form.provenance)?;
                check::sweep(&self.name, &form)?;
                let oracle = oracle_of_sweep(&self.path)?;
                if let Some(oracle) = &oracle {
                    check_one_run((&self.name, &form), oracle)?;
                    files.push(oracle.path.clone());
                }
                ResultContent::Sweep(Box::new(form), oracle.map(Box::new))
            }
            Kind::Totals => {
                let oracle = self.oracle(rows)?;
                path.clone_from(&oracle.path);
                files.push(path.clone());
                ResultContent::Oracle(Box::new(oracle))
            }
            Kind::Missions => ResultContent::Missions(Box::new(self.form()?)),
            Kind::Scores => {
                let rows = self.rows(rows)?;
                let (name, bytes) = (rows.display().to_string(), read(&rows)?);
                let scores = rows::scores((&name, &bytes), &self.name, self.form()?)?;
                files.push(name.clone());
                path = name;
                ResultContent::Scores(Box::new(scores))
            }
            Kind::Derivatives => ResultContent::Derivatives(Box::new(self.form()?)),
        };
        Ok(StoredResult { path, files, digest: Fingerprint::of_bytes(&self.bytes), content })
    }

    fn oracle(&self, rows: Option<&Path>) -> Result<OracleResult, ResultError> {
        let form: TotalsForm = self.form()?;
        self.check_events(&form.provenance)?;
        let rows = self.rows(rows)?;
        let (name, bytes) = (rows.display().to_string(), read(&rows)?);
        rows::oracle((&name, &bytes), (&self.name, &self.bytes), form)
    }

    /// The rows that this stands beside: `FILE` for `FILE.json`, or the CSV or Parquet file of the same stem.
    fn rows(&self, named: Option<&Path>) -> Result<PathBuf, ResultError> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let stem = self.path.with_extension("");
        let candidates = [stem.clone(), stem.with_extension("csv"), stem.with_extension("parquet")];
        candidates.iter().find(|rows| is_rows(rows) && rows.is_file()).cloned().ok_or_else(|| {
            let missing = if is_rows(&stem) { &candidates[0] } else { &candidates[1] };
            ResultError::Part { path: self.name.clone(), missing: missing.display().to_string() }
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ResultError> {
    fs::read(path).map_err(|source| ResultError::Read { path: path.display().to_string(), source })
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

fn is_rows(path: &Path) -> bool {
    has_ending(path, &["csv", "parquet"])
}

/// Reads the result that a file is part of.
fn read_file(path: &Path) -> Result<StoredResult, ResultError> {
    if !has_ending(path, &["csv", "parquet", "npz"]) {
        return Document::read(path)?.result(None);
    }
    let beside = totals_files(path);
    let Some(found) = beside.iter().find(|beside| beside.is_file()) else {
        let [own, other] = beside.map(|beside| beside.display().to_string());
        return Err(ResultError::NotAResult {
            path: path.display().to_string(),
            reason: format!(
                "there is no {own} or {other} beside it to say what it is; name the folder of its result, or write it again"
            ),
        });
    };
    Document::read(found)?.result(is_rows(path).then_some(path))
}

/// The oracle that a sweep wrote beside its JSON; none where neither its rows nor its totals are there.
fn oracle_of_sweep(sweep: &Path) -> Result<Option<OracleResult>, ResultError> {
    let [rows, totals] = ["oracle.csv", "oracle.json"].map(|name| sweep.with_file_name(name));
    if sweep.file_name().is_none_or(|name| name != "sweep.json") || !(rows.is_file() || totals.is_file()) {
        return Ok(None);
    }
    if let Some(missing) = [&rows, &totals].into_iter().find(|file| !file.is_file()) {
        let (path, missing) = (sweep.display().to_string(), missing.display().to_string());
        return Err(ResultError::Part { path, missing });
    }
    let document = Document::read(&totals)?;
    if document.kind != Kind::Totals {
        let (sweep, oracle) = (sweep.display().to_string(), document.name);
        return Err(ResultError::Mixed { sweep, oracle, what: "kinds" });
    }
    document.oracle(Some(&rows)).map(Some)
}

/// Checks that a sweep and an oracle are of one run.
fn check_one_run((sweep, form): (&str, &SweepForm), oracle: &OracleResult) -> Result<(), ResultError> {
    let totals = &oracle.form;
    let start = &form.unprotected;
    let off = (start.rise - totals.total.rise).abs();
    let checks = [
        ("designs", form.provenance.design == totals.provenance.design),
        ("events", form.provenance.events == totals.provenance.events && form.events == totals.events),
        ("commands and inputs", form.provenance == totals.provenance),
        ("metrics", form.metric == totals.metric),
        ("fault-free mean errors", form.golden_mean_error == totals.golden_mean_error),
        ("numbers of bits", start.candidate_bits == totals.total.bits),
        ("numbers of sensitive bits", start.sensitive_bits == totals.total.sensitive),
        ("summed error rises", off <= SUM_TOLERANCE * oracle.magnitude()),
    ];
    match checks.into_iter().find(|(_, is_same)| !is_same) {
        Some((what, _)) => Err(ResultError::Mixed { sweep: sweep.to_owned(), oracle: oracle.path.clone(), what }),
        None => Ok(()),
    }
}

/// Files that stand beside the JSON of a result, and that JSON.
const PAIRS: [(&str, &[&str]); 3] = [
    ("sweep.csv", &["sweep.json"]),
    ("simulate.csv", &["simulate.json"]),
    ("oracle.csv", &["oracle.json", "oracle.csv.json"]),
];

/// Reads all results of a folder.
fn read_folder(folder: &Path) -> Result<FoundResults, ResultError> {
    let failed = |source| ResultError::Read { path: folder.display().to_string(), source };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            folders.push(path.display().to_string());
        } else if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    folders.sort();
    let stands = |name: &str| files.contains(&folder.join(name));
    for (part, whole) in PAIRS {
        if stands(part) && !whole.iter().any(|name| stands(name)) {
            let (path, missing) =
                (folder.join(part).display().to_string(), folder.join(whole[0]).display().to_string());
            return Err(ResultError::Part { path, missing });
        }
    }
    let mut found = FoundResults::default();
    let of_sweep = folder.join("oracle.json");
    let has_sweep = stands("sweep.json");
    for path in files.iter().filter(|path| has_ending(path, &["json"])) {
        // It is read with its sweep.
        if has_sweep && *path == of_sweep {
            continue;
        }
        match Document::read(path) {
            Ok(document) => found.results.push(document.result(None)?),
            Err(ResultError::NotAResult { path, reason }) => found.notes.push(format!("{path}: passed over; {reason}")),
            Err(error) => return Err(error),
        }
    }
    if found.results.is_empty() {
        return Err(ResultError::NoResult { path: folder.display().to_string(), folders });
    }
    Ok(found)
}
