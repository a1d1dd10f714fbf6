//! Why a result cannot be written.

/// Why a result cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The system refused.
    #[error("{path}: cannot be written")]
    Write {
        /// File or folder.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A table that Parquet cannot hold.
    #[error("{path}: cannot be written as Parquet")]
    Parquet {
        /// The file.
        path: String,
        /// Why not.
        source: parquet::errors::ParquetError,
    },
    /// A file of an earlier result cannot be read.
    #[error("{path}: cannot be read")]
    Read {
        /// File.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A folder stands where a file should.
    #[error("{path}: is a folder; name a file in it")]
    IsFolder {
        /// The path.
        path: String,
    },
    /// A file stands where a folder should.
    #[error("{path}: is a file; name a folder")]
    IsFile {
        /// The path.
        path: String,
    },
    /// The output would replace an input.
    #[error("{path}: is one of the files read; name another")]
    IsInput {
        /// The path.
        path: String,
    },
    /// The result folder would replace the folder worked in.
    #[error("{path}: is the working folder or one above it; name a folder of its own")]
    WorkingFolder {
        /// The path.
        path: String,
    },
    /// Something else stands where a result folder should.
    #[error("{path}: exists and holds `{foreign}`, which would be lost; name another folder, or remove it first")]
    Occupied {
        /// The path.
        path: String,
        /// A file that would be lost.
        foreign: String,
    },
}
