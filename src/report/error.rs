//! Why a result cannot be written.

/// Why a result cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The system refused.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// File or folder.
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
    /// Something else stands where a result folder should.
    #[error("{path}: exists and is no earlier result (it has no {marker}); name another folder or remove it first")]
    Occupied {
        /// The path.
        path: String,
        /// File that a result of this kind contains.
        marker: &'static str,
    },
}
