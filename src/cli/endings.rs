//! What the name of an output may end in: an ending that says another format than the one written is refused.
//!
//! A name without an ending, or with one that says nothing of a format (`results.v2`, `/dev/stdout`), is taken as it is.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

/// Endings that say a format, ours or others'.
const KNOWN: [&str; 30] = [
    "csv", "tsv", "parquet", "pq", "npz", "npy", "json", "jsonl", "html", "htm", "vcd", "fst", "svg", "png", "pdf",
    "txt", "md", "xlsx", "toml", "yaml", "yml", "h5", "hdf5", "keras", "onnx", "pkl", "zip", "gz", "zst", "xz",
];

/// What an option writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CSV alone.
    Csv,
    /// CSV, or Parquet where the name says so.
    Rows,
    /// Arrays.
    Npz,
    /// Waveforms.
    Vcd,
    /// A folder of several files.
    Folder,
}

impl Format {
    const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &["csv"],
            Self::Rows => &["csv", "parquet"],
            Self::Npz => &["npz"],
            Self::Vcd => &["vcd"],
            Self::Folder => &[],
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Csv => "what is written is CSV: let the name end in .csv",
            Self::Rows => "what is written is CSV or Parquet: let the name end in .csv or .parquet",
            Self::Npz => "what is written is an archive of arrays: let the name end in .npz",
            Self::Vcd => "what is written is a value change dump: let the name end in .vcd",
            Self::Folder => "what is written is a folder of several files: name it without an ending",
        }
    }

    /// `path`, where its ending says no other format.
    ///
    /// # Errors
    /// What it should end in.
    pub fn check(self, path: PathBuf) -> Result<PathBuf, String> {
        let ending = ending(&path);
        let says_other = |ending: &str| KNOWN.contains(&ending) && !self.endings().contains(&ending);
        match ending.filter(|ending| says_other(ending)) {
            Some(ending) => Err(format!("its ending says .{ending}, but {}", self.advice())),
            None => Ok(path),
        }
    }

    /// Reads a path as an argument, and checks it.
    pub fn parser(self) -> impl TypedValueParser<Value = PathBuf> {
        PathBufValueParser::new().try_map(move |path| self.check(path))
    }
}

fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_that_say_another_format_are_refused() {
        let accepted = [
            (Format::Csv, "a.csv"),
            (Format::Csv, "a.CSV"),
            (Format::Csv, "a"),
            (Format::Csv, "/dev/stdout"),
            (Format::Csv, "a.npz/b"),
            (Format::Csv, "run.2"),
            (Format::Csv, ".csv"),
            (Format::Rows, "a.parquet"),
            (Format::Rows, "a.b.Parquet"),
            (Format::Npz, "a.npz"),
            (Format::Vcd, "a.vcd"),
            (Format::Folder, "sweep"),
            (Format::Folder, "net.v2"),
            (Format::Folder, "."),
        ];
        for (format, name) in accepted {
            assert_eq!(format.check(PathBuf::from(name)), Ok(PathBuf::from(name)), "{format:?}");
        }
        let refused = [
            (Format::Csv, "a.parquet", ".parquet", "end in .csv"),
            (Format::Csv, "a.csv.gz", ".gz", "end in .csv"),
            (Format::Rows, "x.npz", ".npz", "end in .csv or .parquet"),
            (Format::Npz, "out.CSV", ".csv", "end in .npz"),
            (Format::Npz, "out.npy", ".npy", "end in .npz"),
            (Format::Vcd, "w.fst", ".fst", "end in .vcd"),
            (Format::Folder, "out.csv", ".csv", "without an ending"),
        ];
        for (format, name, found, advice) in refused {
            let reason = format.check(PathBuf::from(name)).unwrap_err();
            assert!(reason.contains(found) && reason.contains(advice), "{name}: {reason}");
        }
    }

    #[test]
    fn own_endings_are_known() {
        for format in [Format::Csv, Format::Rows, Format::Npz, Format::Vcd] {
            assert!(format.endings().iter().all(|ending| KNOWN.contains(ending)), "{format:?}");
        }
    }
}
