//! Why a list of bits cannot be read.

use std::fmt;

use parquet::errors::ParquetError;

/// Where in a file a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPlace {
    /// Line of a text file, counted from 1 as an editor does.
    Line(u64),
    /// Row of a table without a header, counted from 1.
    Row(u64),
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why a list of bits cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// A file that is not CSV.
    #[error("{file}: {source}")]
    Csv {
        /// The file.
        file: String,
        /// Line and reason.
        source: csv::Error,
    },
    /// A file that is not Parquet, or a broken one.
    #[error("{file}: cannot be read as Parquet: {source}")]
    Parquet {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: ParquetError,
    },
    /// A file so broken that its reader gave up.
    #[error("{file}: is damaged, the Parquet reader broke off within it; write the file again")]
    Damaged {
        /// The file.
        file: String,
    },
    /// Columns packed in a way that cannot be unpacked.
    #[error("{file}: column `{column}` is packed by {compression}; write the file with Snappy or without compression")]
    Compression {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// How it is packed.
        compression: String,
    },
    /// A table that says it has more rows than any design has bits.
    #[error("{file}: has {rows} rows; at most {most} are read")]
    TooManyRows {
        /// The file.
        file: String,
        /// Rows it says it has.
        rows: i64,
        /// Rows that are read.
        most: i64,
    },
    /// A column that is not there.
    #[error("{file}: there is no column `{column}`; needed are {needed}")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
        /// All columns needed.
        needed: String,
    },
    /// A score that is not there.
    #[error("{file}: there is no score column `{column}`; {}", listed(.file, .found))]
    MissingScore {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Columns that could be scores.
        found: Vec<String>,
    },
    /// A column whose type does not fit.
    #[error("{file}: column `{column}` is of type {found}; it must hold {expected}")]
    ColumnType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// A cell that cannot be understood.
    #[error("{file}: {place}, column `{column}`: `{text}` is not {expected}")]
    Cell {
        /// The file.
        file: String,
        /// Where.
        place: RowPlace,
        /// The column.
        column: String,
        /// What stands there.
        text: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A column that stands there twice.
    #[error("{file}: column `{column}` stands there twice")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// No row below the header.
    #[error("{file}: there is no row below the header")]
    Empty {
        /// The file.
        file: String,
    },
}

/// What a user can name instead.
fn listed(file: &str, found: &[String]) -> String {
    if found.is_empty() {
        return "it has no column besides layer, tensor, index, bit".to_owned();
    }
    format!("it has {}; name one as {file}:COLUMN", found.join(", "))
}
