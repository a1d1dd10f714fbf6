//! Long oracles: progress, checkpoints, and what Ctrl-C does. Time and signals end here; results know neither.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::ProgressBar;

use super::{Global, progress};
use crate::campaign::{OracleInput, OracleRun, Tally};
use crate::num::cast;
use crate::report::files;
use crate::report::partial::PartialOracle;

/// Work between two looks at clock and signals.
const ROUND: Duration = Duration::from_millis(500);

/// Time between two checkpoints.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whether Ctrl-C was pressed (or the system asked the program to end).
static STOP: AtomicBool = AtomicBool::new(false);

/// The checkpoint of a result file.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
}

impl Checkpoint {
    /// Of the result that is to stand at `output`: `FILE.checkpoint`.
    pub fn of(output: &Path) -> Self {
        let mut name = output.as_os_str().to_owned();
        name.push(".checkpoint");
        Self { path: PathBuf::from(name) }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What an earlier run of the same work left, when it is to be resumed; nothing when there is none.
    ///
    /// # Errors
    /// When there is one and it is not to be resumed, or it belongs to other work than `empty`.
    pub fn load(&self, resume: bool, empty: &PartialOracle) -> anyhow::Result<Option<Tally>> {
        let name = self.path.display().to_string();
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("{name}: cannot be read")),
        };
        if !resume {
            bail!("{name}: an interrupted run left this; go on with it by --resume, or delete it to start anew");
        }
        let found = PartialOracle::read(&name, &bytes)?;
        let (asked, left) = (&empty.manifest, &found.manifest);
        if asked.work == left.work && asked.shard != left.shard {
            bail!(
                "{name}: was left by shard {}, this is shard {}; repeat the command it was left by, or delete it",
                left.shard,
                asked.shard
            );
        }
        if asked.work != left.work || found.sites != empty.sites || asked.tiles != left.tiles {
            bail!(
                "{name}: was left by other work (design, decoder, events, bits, metric or version of trivote differ); \
                 repeat the command it was left by, or delete it"
            );
        }
        Ok(Some(found.tally))
    }

    fn save(&self, empty: &PartialOracle, tally: &Tally) -> anyhow::Result<()> {
        let mut part = empty.clone();
        part.manifest.tiles_done = tally.tiles_done();
        part.tally = tally.clone();
        files::write_file(&self.path, &part.to_bytes()?)?;
        Ok(())
    }

    /// Removes it: the result is written.
    pub fn remove(&self) {
        // Left behind it costs nothing but a question the next time.
        let _ = fs::remove_file(&self.path);
    }
}

/// A bar that counts bits done, a bit being done when all its events are.
#[derive(Debug)]
pub struct BitBar {
    bar: ProgressBar,
    events: u64,
    pairs: AtomicU64,
}

impl BitBar {
    /// For the work of `input`, `done` of its `all` (bit, event) pairs being done already.
    pub fn new(input: &OracleInput<'_>, (done, all): (u64, u64), global: &Global) -> Self {
        let events = cast::u64_from_len(input.events.len()).max(1);
        let bar = progress::bar(all / events, "bits", global.quiet);
        bar.set_message("oracle");
        bar.set_position(done / events);
        bar.reset_eta();
        Self { bar, events, pairs: AtomicU64::new(done) }
    }

    /// Counts pairs.
    pub fn add(&self, pairs: u64) {
        let done = self.pairs.fetch_add(pairs, Ordering::Relaxed) + pairs;
        self.bar.set_position(done / self.events);
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Completes `run`, leaving a checkpoint every few seconds and when interrupted.
///
/// # Errors
/// When an error is no number, a checkpoint cannot be written, or the work is interrupted.
pub fn complete(
    run: &mut OracleRun<'_>,
    checkpoint: &Checkpoint,
    empty: &PartialOracle,
    bar: &BitBar,
) -> anyhow::Result<()> {
    // A second Ctrl-C ends the program at once; the checkpoint before it stays.
    let handler = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).context("signals cannot be handled")?;
    let mut round = cast::u64_from_len(rayon::current_num_threads());
    let mut saved = Instant::now();
    while !run.is_done() {
        let start = Instant::now();
        run.advance(round, &|pairs| bar.add(pairs))?;
        let stop = STOP.load(Ordering::Relaxed);
        if !run.is_done() && (stop || saved.elapsed() >= INTERVAL) {
            checkpoint.save(empty, run.tally())?;
            saved = Instant::now();
        }
        if stop && !run.is_done() {
            let (done, all) = run.pairs();
            bail!(
                "interrupted with {} % done; the same command with --resume goes on from {}",
                done * 100 / all.max(1),
                checkpoint.path().display()
            );
        }
        round = next_round(round, start.elapsed());
    }
    Ok(())
}

/// Tiles for about [`ROUND`], from how long the last ones took; it changes by a factor of four at most.
fn next_round(tiles: u64, took: Duration) -> u64 {
    let took = took.max(ROUND / 4).as_millis();
    let wanted = u128::from(tiles) * ROUND.as_millis() / took;
    u64::try_from(wanted).unwrap_or(u64::MAX).clamp(tiles.div_ceil(4), tiles.saturating_mul(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_tend_to_their_length() {
        assert_eq!(next_round(8, ROUND), 8);
        assert_eq!(next_round(8, ROUND * 2), 4);
        assert_eq!(next_round(8, Duration::ZERO), 32);
        assert_eq!(next_round(1, ROUND * 100), 1);
    }
}
