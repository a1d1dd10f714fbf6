//! How many threads a campaign may use.

/// The system refused to start worker threads.
#[derive(Debug, thiserror::Error)]
#[error("worker threads cannot be started: {source}; ask for fewer with --threads")]
pub struct ThreadError {
    /// What the system says.
    #[from]
    source: rayon::ThreadPoolBuildError,
}

/// Runs `work` with `threads` worker threads for its campaigns; one per core when `None`. Results do not depend on it.
///
/// # Errors
/// When the threads cannot be started.
pub fn with_threads<T: Send>(threads: Option<u16>, work: impl FnOnce() -> T + Send) -> Result<T, ThreadError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads.unwrap_or(0))).build()?;
    Ok(pool.install(work))
}
