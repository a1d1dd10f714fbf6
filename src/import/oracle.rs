//! Oracles read back: the rows and totals that `trivote oracle -o FILE` wrote, as CSV or Parquet, or `trivote sweep` in its folder.
//!
//! Only reads: whether a design has such bits is `hw`'s knowledge, and whether the events were the same is for the
//! reader of the totals to ask.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::sites::{ScoreColumn, SiteError, SiteRow, read_sites};
use crate::net::Fingerprint;

/// The column of the error rises.
const RISE: &str = "error_rise";

/// Digits of a fingerprint that are shown to people.
const SHOWN_DIGITS: usize = 12;

/// By how much of the sum of magnitudes a sum over the rows may miss the one written: orders of adding differ by less.
pub(crate) const SUM_TOLERANCE: f64 = 1e-9;

/// Why an oracle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OracleFileError {
    /// What is wrong with a row.
    #[error(transparent)]
    Rows(#[from] SiteError),
    /// The totals are not what an oracle writes.
    #[error(
        "{file}: holds no totals of an oracle as this version writes them; write it again with `trivote oracle -o`"
    )]
    Totals {
        /// The file.
        file: String,
        /// What is missing or wrong.
        source: serde_json::Error,
    },
    /// Written by another version.
    #[error("{file}: was written by trivote {found}, this is {}; write it again with `trivote oracle -o`", env!("CARGO_PKG_VERSION"))]
    Version {
        /// The file of the totals.
        file: String,
        /// The version that wrote it.
        found: String,
    },
    /// Rows are missing, or there are more than were written.
    #[error("{file}: has {rows} rows, but {totals} says {bits} bits; both must be of one run, and whole")]
    Incomplete {
        /// The file of the rows.
        file: String,
        /// Its rows.
        rows: usize,
        /// The file of the totals.
        totals: String,
        /// Bits flipped.
        bits: usize,
    },
    /// Rows of another run.
    #[error(
        "{file}: its error rises add up to {found}, but {totals} says {written}; both must be of one run, unchanged"
    )]
    OtherRun {
        /// The file of the rows.
        file: String,
        /// Sum over its rows.
        found: f64,
        /// The file of the totals.
        totals: String,
        /// Sum as written.
        written: f64,
    },
    /// An oracle of another design.
    #[error(
        "{file}: is an oracle of another design (fingerprint {}..., this design has {}...); run `trivote oracle` on this \
         design", short(found), short(&expected.to_string())
    )]
    OtherDesign {
        /// The file of the rows.
        file: String,
        /// Fingerprint of the design it is of.
        found: String,
        /// Fingerprint of the design at hand.
        expected: Fingerprint,
    },
}

/// An oracle as its files have it.
#[derive(Debug, Clone, PartialEq)]
pub struct OracleFile {
    /// The bits flipped, in the order of the rows.
    pub rows: Vec<SiteRow>,
    /// Mean error with each flipped minus mean error without.
    pub error_rises: Vec<f64>,
    /// Mean error without a fault.
    pub golden_mean: f64,
    /// Number of events.
    pub events: usize,
    /// Name of the error measured.
    pub metric: String,
    /// Fingerprint of the design, as text.
    pub design: String,
    /// The command that made it.
    pub command: Vec<String>,
    /// Name of the file of the rows.
    file: String,
}

/// The part of the totals that is read back.
#[derive(Deserialize)]
struct TotalsFile {
    provenance: Origin,
    metric: String,
    events: usize,
    golden_mean_error: f64,
    total: Total,
}

#[derive(Deserialize)]
struct Origin {
    trivote: String,
    command: Vec<String>,
    design: String,
}

#[derive(Deserialize)]
struct Total {
    bits: usize,
    rise: f64,
}

/// Where the totals of an oracle may stand: `FILE.json` for `FILE`, or `oracle.json` beside the `oracle.csv` of a
/// sweep.
pub fn totals_files(rows: &Path) -> [PathBuf; 2] {
    let mut appended = rows.as_os_str().to_owned();
    appended.push(".json");
    [PathBuf::from(appended), rows.with_extension("json")]
}

/// Reads an oracle from its rows and its totals, each with the file's name for messages.
///
/// # Errors
/// Names file, line and column of the first cell that cannot be understood, and what of the totals does not fit the rows.
pub fn read_oracle(rows: (&str, &[u8]), totals: (&str, &[u8])) -> Result<OracleFile, OracleFileError> {
    let (file, bytes) = rows;
    let sites = read_sites(file, bytes, ScoreColumn::Named(RISE))?;
    let error_rises: Vec<f64> = sites.iter().filter_map(|row| row.score).collect();
    let (totals_file, totals) = totals;
    let read: TotalsFile = serde_json::from_slice(totals)
        .map_err(|source| OracleFileError::Totals { file: totals_file.to_owned(), source })?;
    if read.provenance.trivote != env!("CARGO_PKG_VERSION") {
        return Err(OracleFileError::Version { file: totals_file.to_owned(), found: read.provenance.trivote });
    }
    if read.total.bits != sites.len() {
        return Err(OracleFileError::Incomplete {
            file: file.to_owned(),
            rows: sites.len(),
            totals: totals_file.to_owned(),
            bits: read.total.bits,
        });
    }
    let found: f64 = error_rises.iter().sum();
    let magnitude: f64 = error_rises.iter().map(|rise| rise.abs()).sum();
    if (found - read.total.rise).abs() > SUM_TOLERANCE * magnitude {
        return Err(OracleFileError::OtherRun {
            file: file.to_owned(),
            found,
            totals: totals_file.to_owned(),
            written: read.total.rise,
        });
    }
    Ok(OracleFile {
        rows: sites,
        error_rises,
        golden_mean: read.golden_mean_error,
        events: read.events,
        metric: read.metric,
        design: read.provenance.design,
        command: read.provenance.command,
        file: file.to_owned(),
    })
}

impl OracleFile {
    /// Checks that it is of the design with this fingerprint.
    ///
    /// # Errors
    /// When it is of another.
    pub fn check_design(&self, expected: Fingerprint) -> Result<(), OracleFileError> {
        if self.design == expected.to_string() {
            return Ok(());
        }
        Err(OracleFileError::OtherDesign { file: self.file.clone(), found: self.design.clone(), expected })
    }
}

/// The first digits, by which people tell fingerprints apart.
pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHOWN_DIGITS).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TensorKind;

    const ROWS: &str = "layer,tensor,index,bit,golden,faulty,changed_events,mean_error,error_rise\n\
                        a,kernel,0,0,0.5,-0.5,3,1.25,0.25\na,kernel,0,1,0.5,0,2,0.75,-0.25\n\
                        a,bias,3,0,0,-1,0,1,0\n";

    fn totals(version: &str, bits: usize, rise: f64) -> String {
        format!(
            r#"{{"provenance": {{"trivote": "{version}", "command": ["trivote", "oracle", "d"], "design": "{}",
                "seeds": [], "inputs": []}},
                "metric": "emd", "events": 4, "golden_mean_error": 1.0,
                "total": {{"bits": {bits}, "effective": 2, "sensitive": 1, "rise": {rise}}}, "arrays": []}}"#,
            Fingerprint::of_bytes(b"d"),
        )
    }

    fn read(rows: &str, totals: &str) -> Result<OracleFile, OracleFileError> {
        read_oracle(("o.csv", rows.as_bytes()), ("o.csv.json", totals.as_bytes()))
    }

    #[test]
    fn an_oracle_is_what_was_written() {
        let oracle = read(ROWS, &totals(env!("CARGO_PKG_VERSION"), 3, 0.0)).unwrap();
        assert_eq!(oracle.error_rises, [0.25, -0.25, 0.0]);
        assert_eq!((oracle.events, oracle.golden_mean, oracle.metric.as_str()), (4, 1.0, "emd"));
        assert_eq!((oracle.rows[2].tensor, oracle.rows[2].index), (TensorKind::Bias, 3));
        assert_eq!(oracle.command, ["trivote", "oracle", "d"]);
        oracle.check_design(Fingerprint::of_bytes(b"d")).unwrap();
        let other = oracle.check_design(Fingerprint::of_bytes(b"e")).unwrap_err().to_string();
        assert!(other.contains("o.csv: is an oracle of another design (fingerprint 18ac3e7343f0..., this"), "{other}");
        assert!(other.contains("has 3f79bb7b435b...); run `trivote oracle`"), "{other}");
    }

    #[test]
    fn messages_name_what_does_not_fit() {
        let version = env!("CARGO_PKG_VERSION");
        let good = totals(version, 3, 0.0);
        let without = |column: &str| ROWS.replacen(column, "other", 1);
        let cases = [
            (without("error_rise"), good.clone(), "o.csv: there is no score column `error_rise`"),
            (without("layer"), good.clone(), "there is no column `layer`"),
            (ROWS.replace(",-0.25", ","), good.clone(), "o.csv: line 3, column `error_rise`: `` is not a number"),
            (ROWS.replace(",0.25", ",inf"), good.clone(), "line 2, column `error_rise`: `inf` is not"),
            (ROWS.to_owned(), totals("0.0.1", 3, 0.0), "o.csv.json: was written by trivote 0.0.1, this is "),
            (ROWS.to_owned(), totals(version, 4, 0.0), "o.csv: has 3 rows, but o.csv.json says 4 bits"),
            (ROWS.to_owned(), totals(version, 3, 1.0), "o.csv: its error rises add up to 0, but o.csv.json says 1"),
            (ROWS.to_owned(), good.replace("golden_mean_error", "mean"), "o.csv.json: holds no totals of an oracle"),
            (ROWS.to_owned(), "{".to_owned(), "o.csv.json: holds no totals"),
        ];
        for (rows, totals, expected) in cases {
            let found = read(&rows, &totals).unwrap_err().to_string();
            assert!(found.contains(expected), "{found} has no {expected}");
        }
    }

    #[test]
    fn totals_stand_beside_their_rows() {
        let [own, of_sweep] = totals_files(Path::new("out/oracle.csv"));
        assert_eq!((own, of_sweep), (PathBuf::from("out/oracle.csv.json"), PathBuf::from("out/oracle.json")));
    }
}
