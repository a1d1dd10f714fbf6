//! Why a result cannot be read back.

use std::io;
use std::path::Path;

use crate::import::oracle::OracleFileError;
use crate::import::sites::SiteError;

/// The version that reads.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Why a result cannot be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// Nothing is there.
    #[error("{path}: there is no such file or folder; name a result of sweep, simulate, oracle or analyze")]
    Missing {
        /// As named.
        path: String,
    },
    /// The system refused.
    #[error("{path}: cannot be read")]
    Read {
        /// File or folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A folder without a result.
    #[error("{path}: holds no result of sweep, simulate, oracle or analyze{}", look_in(.folders))]
    NoResult {
        /// The folder.
        path: String,
        /// Folders in it.
        folders: Vec<String>,
    },
    /// Part of a result is missing.
    #[error("{path}: {missing} is missing beside it; keep the files of a result together, or write it again")]
    Part {
        /// The part there is.
        path: String,
        /// The part there is not.
        missing: String,
    },
    /// A file that does not say what it is.
    #[error("{path}: is no result: {reason}")]
    NotAResult {
        /// The file.
        path: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Broken JSON.
    #[error("{path}: is no whole JSON ({reason}); write it again, or take it away")]
    Json {
        /// The file.
        path: String,
        /// What the parser says.
        reason: String,
    },
    /// Written by another version.
    #[error("{path}: was written by trivote {found}, {} version; this is {OWN}: write it again{}", age(.found), by(.command, .path))]
    Version {
        /// The file.
        path: String,
        /// The version that wrote it.
        found: String,
        /// The command that made it.
        command: Vec<String>,
    },
    /// A field that is missing or of another kind.
    #[error("{path}: is no {kind} as this version writes it ({reason}); write it again{}", by(.command, .path))]
    Field {
        /// The file.
        path: String,
        /// What it seems to be.
        kind: &'static str,
        /// Field and line.
        reason: String,
        /// The command that made it.
        command: Vec<String>,
    },
    /// The last line of a file has no end.
    #[error("{path}: is cut off within its last line; write it again{}", by(.command, .path))]
    CutOff {
        /// The file.
        path: String,
        /// The command that made it.
        command: Vec<String>,
    },
    /// An oracle that does not fit together.
    #[error(transparent)]
    Oracle(#[from] OracleFileError),
    /// Rows that cannot be understood.
    #[error(transparent)]
    Rows(#[from] SiteError),
    /// A number that its rows contradict.
    #[error("{path}: has {found} {what}, but {totals} says {written}; both must be of one run, and whole")]
    OtherRun {
        /// The file of the rows.
        path: String,
        /// What is counted.
        what: String,
        /// In the rows.
        found: usize,
        /// The file of the totals.
        totals: String,
        /// As written.
        written: usize,
    },
    /// Scores of another design than the file beside them says.
    #[error("{path}: is of another design than {beside} says; write both again")]
    OtherDesign {
        /// The file of the scores.
        path: String,
        /// What stands beside it.
        beside: String,
    },
    /// A bit that stands there twice.
    #[error("{path}: `{bit}` stands there twice; a comparison needs every bit once")]
    Repeated {
        /// The file.
        path: String,
        /// The bit.
        bit: String,
    },
    /// A register beyond any design.
    #[error("{path}: `{bit}` is beyond all designs; registers are counted from 0, bits from 0 to 31")]
    Beyond {
        /// The file.
        path: String,
        /// The bit.
        bit: String,
    },
    /// A sweep and the oracle beside it are of different runs.
    #[error("{sweep} and {oracle} are not of one run: their {what} differ; run the sweep again")]
    Mixed {
        /// The sweep.
        sweep: String,
        /// The oracle.
        oracle: String,
        /// What differs.
        what: &'static str,
    },
    /// Two rows of a sweep for the same.
    #[error("{path}: has two {what} of `{ranking}` for {of}, so it is not clear which holds; write it again")]
    Doubled {
        /// The sweep.
        path: String,
        /// Points or targets.
        what: &'static str,
        /// The ranking.
        ranking: String,
        /// The budget or share.
        of: String,
    },
    /// An area or share that none can be.
    #[error("{path}: field `{field}`{} is {value}, which is no {what}; write it again", of(.place.as_deref()))]
    Absurd {
        /// The sweep.
        path: String,
        /// The field.
        field: &'static str,
        /// Ranking and budget or share; none where it is the sweep's.
        place: Option<String>,
        /// What stands there.
        value: f64,
        /// Area or share.
        what: &'static str,
    },
    /// A share that the rises beside it contradict.
    #[error(
        "{path}: `{ranking}` at {budget} has a `share_removed` of {}, but {left} left of a rise of {rise}; write it again",
        .found.map_or("null".to_owned(), |share| share.to_string())
    )]
    Disagrees {
        /// The sweep.
        path: String,
        /// The ranking.
        ranking: String,
        /// The budget.
        budget: String,
        /// The share that stands there.
        found: Option<f64>,
        /// Rise left.
        left: f64,
        /// Rise without protection.
        rise: f64,
    },
    /// Nothing says which events a result is of.
    #[error("{path}: does not say which events it is of; write it again{}", by(.command, .path))]
    NoEvents {
        /// The file.
        path: String,
        /// The command that made it.
        command: Vec<String>,
    },
}

/// Where results may be instead.
fn look_in(folders: &[String]) -> String {
    match folders {
        [] => String::new(),
        folders => format!("; name the folders in it that do: {}", folders.join(", ")),
    }
}

/// Where in a sweep.
fn of(place: Option<&str>) -> String {
    place.map_or_else(String::new, |place| format!(" of {place}"))
}

/// How a result can be made again where it stands: its command, as a shell takes it, with the output that `path` is of.
fn by(command: &[String], path: &str) -> String {
    let output = command.get(1).and_then(|verb| output_of(verb, path));
    let words: Vec<String> = command.iter().chain(output.iter().flatten()).map(|word| quoted(word)).collect();
    match (words.is_empty(), output) {
        (true, _) => String::new(),
        (false, Some(_)) => format!(" by `{}`", words.join(" ")),
        (false, None) => format!(" by `{}`, with the output it had", words.join(" ")),
    }
}

/// The option that wrote a file of a result, and what it named: a folder, or the file that its JSON stands beside. `None`
/// where that cannot be told.
fn output_of(verb: &str, path: &str) -> Option<[String; 2]> {
    let path = Path::new(path);
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let beside = if is_json { path.with_extension("") } else { path.to_owned() };
    let (option, named) = match verb {
        "sweep" | "simulate" => {
            // Under another name it has been moved out of its folder.
            let is_of_folder =
                beside.file_name().is_some_and(|stem| stem == verb || stem == "oracle" || stem == "oracle.csv");
            ("-o", path.parent().filter(|_| is_of_folder)?.to_owned())
        }
        "analyze" if beside.extension().is_some_and(|ending| ending == "npz") => ("-o", beside),
        "analyze" => ("--scores", beside),
        _ => ("-o", beside),
    };
    // A result in the working folder does not say what its folder is called.
    (!named.as_os_str().is_empty()).then(|| [option.to_owned(), named.display().to_string()])
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// How a version stands to this one.
fn age(found: &str) -> &'static str {
    let numbers = |version: &str| -> Option<Vec<u64>> { version.split('.').map(|part| part.parse().ok()).collect() };
    match (numbers(found), numbers(OWN)) {
        (Some(found), Some(own)) if found < own => "an older",
        (Some(found), Some(own)) if found > own => "a newer",
        _ => "another",
    }
}
