//! Long work: progress, checkpoints, and what Ctrl-C does. Time and signals end here; results know neither.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;

use super::{Global, progress};
use crate::campaign::{CampaignError, OracleInput, OracleRun, Tally, TrialRun};
use crate::num::cast;
use crate::report::files;
use crate::report::partial::WorkManifest;

/// Work between two looks at clock and signals.
const ROUND: Duration = Duration::from_millis(500);

/// Time between two checkpoints.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whether Ctrl-C was pressed (or the system asked the program to end).
static STOP: AtomicBool = AtomicBool::new(false);

/// Whether work is being done that looks at it.
static HEEDED: AtomicBool = AtomicBool::new(false);

/// The file that long work leaves when it is interrupted.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    saved: Instant,
}

impl Checkpoint {
    /// At `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, saved: Instant::now() }
    }

    /// Of the result that is to stand at `output`: `FILE.checkpoint`, beside it.
    pub fn of(output: &Path) -> Self {
        // A folder may be named with a slash at its end.
        let mut name = output.components().as_path().as_os_str().to_owned();
        name.push(".checkpoint");
        Self::new(PathBuf::from(name))
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its file, for messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What an earlier run left, when it is to be resumed; nothing when there is none, which is noted then.
    ///
    /// # Errors
    /// When there is one and it is not to be resumed, or it cannot be read.
    pub fn load(&self, resume: bool, global: &Global) -> anyhow::Result<Option<Vec<u8>>> {
        let name = self.name();
        match fs::read(&self.path) {
            Ok(_) if !resume => {
                bail!("{name}: an interrupted run left this; go on with it by --resume, or delete it to start anew")
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if resume && !global.quiet {
                    eprintln!("note: there is no {name}; starting from the beginning");
                }
                Ok(None)
            }
            Err(error) => Err(error).context(format!("{name}: cannot be read")),
        }
    }

    /// Whether the last one was written long enough ago.
    fn is_due(&self) -> bool {
        self.saved.elapsed() >= INTERVAL
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn save(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        // Results that are folders may stand in folders that are made with them.
        if let Some(parent) = self.path.parent().filter(|parent| !parent.exists()) {
            fs::create_dir_all(parent).with_context(|| format!("{}: cannot be written", self.name()))?;
        }
        files::write_file(&self.path, bytes)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Removes it: the result is written.
    pub fn remove(&self) {
        // Left behind it costs nothing but a question the next time.
        let _ = fs::remove_file(&self.path);
    }
}

/// A checkpoint, and what the flips or trials in it belong to.
pub struct Kept {
    pub checkpoint: Checkpoint,
    pub manifest: WorkManifest,
}

impl Kept {
    /// Checks that what is `left` in the checkpoint belongs to the work at hand.
    ///
    /// # Errors
    /// Says what is not the same, and what left it.
    pub fn check(&self, left: &WorkManifest) -> anyhow::Result<()> {
        let differences = left.differences(&self.manifest);
        if !differences.is_empty() {
            bail!(
                "{}: was left by other work, `{}`: not the same are {}; repeat that command, or delete it",
                self.checkpoint.name(),
                left.command(),
                differences.join(" and ")
            );
        }
        Ok(())
    }

    /// What to say when more is done in it than there is to do.
    pub fn damaged(&self) -> anyhow::Error {
        anyhow!("{}: is damaged, more is done in it than there is to do; delete it", self.checkpoint.name())
    }
}

/// A bar that counts bits or trials done, one being done when all its events are.
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
        let this = Self { bar, events, pairs: AtomicU64::new(0) };
        this.skip(done);
        this
    }

    /// For `trials` trials on so many events.
    pub fn of_trials(trials: usize, events: usize, global: &Global) -> Self {
        let bar = progress::bar(cast::u64_from_len(trials), "trials", global.quiet);
        bar.set_message("inject");
        Self { bar, events: cast::u64_from_len(events).max(1), pairs: AtomicU64::new(0) }
    }

    /// Counts pairs.
    pub fn add(&self, pairs: u64) {
        let done = self.pairs.fetch_add(pairs, Ordering::Relaxed) + pairs;
        self.bar.set_position(done / self.events);
    }

    /// Counts pairs that need not be done, since they are known.
    pub fn skip(&self, pairs: u64) {
        if pairs > 0 {
            self.add(pairs);
            self.bar.reset_eta();
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of it is done.
    Done,
    /// By Ctrl-C, or by the system; the checkpoint has what was done.
    Interrupted,
}

/// Work that can stop between any two tiles.
pub trait LongRun {
    /// What is known so far.
    fn tally(&self) -> &Tally;

    /// Whether all tiles are done.
    fn is_done(&self) -> bool;

    /// Does the next tiles.
    fn advance(&mut self, tiles: u64, progress: &(impl Fn(u64) + Sync)) -> Result<(), CampaignError>;
}

impl LongRun for OracleRun<'_> {
    fn tally(&self) -> &Tally {
        OracleRun::tally(self)
    }

    fn is_done(&self) -> bool {
        OracleRun::is_done(self)
    }

    fn advance(&mut self, tiles: u64, progress: &(impl Fn(u64) + Sync)) -> Result<(), CampaignError> {
        OracleRun::advance(self, tiles, progress)
    }
}

impl LongRun for TrialRun<'_> {
    fn tally(&self) -> &Tally {
        TrialRun::tally(self)
    }

    fn is_done(&self) -> bool {
        TrialRun::is_done(self)
    }

    fn advance(&mut self, tiles: u64, progress: &(impl Fn(u64) + Sync)) -> Result<(), CampaignError> {
        TrialRun::advance(self, tiles, progress)
    }
}

/// Completes `run`, leaving a checkpoint every few seconds and when interrupted. `bytes` makes the checkpoint's from what
/// is known of the run. Work that is interrupted before it begins does not begin.
///
/// # Errors
/// When an error is no number, or a checkpoint cannot be written.
pub fn complete(
    run: &mut impl LongRun,
    checkpoint: &mut Checkpoint,
    bytes: &mut dyn FnMut(&Tally) -> anyhow::Result<Vec<u8>>,
    bar: &BitBar,
) -> anyhow::Result<Ending> {
    heed_signals()?;
    HEEDED.store(true, Ordering::Relaxed);
    let ending = work_on(run, checkpoint, bytes, bar);
    HEEDED.store(false, Ordering::Relaxed);
    ending
}

fn work_on(
    run: &mut impl LongRun,
    checkpoint: &mut Checkpoint,
    bytes: &mut dyn FnMut(&Tally) -> anyhow::Result<Vec<u8>>,
    bar: &BitBar,
) -> anyhow::Result<Ending> {
    let mut round = cast::u64_from_len(rayon::current_num_threads());
    while !run.is_done() {
        let stop = STOP.load(Ordering::Relaxed);
        if stop || checkpoint.is_due() {
            checkpoint.save(&bytes(run.tally())?)?;
        }
        if stop {
            return Ok(Ending::Interrupted);
        }
        let start = Instant::now();
        run.advance(round, &|pairs| bar.add(pairs))?;
        round = next_round(round, start.elapsed());
    }
    Ok(Ending::Done)
}

/// Lets Ctrl-C ask for the end from now on. A second one, or one while nothing looks at it, ends the program at once; the
/// last checkpoint stays.
fn heed_signals() -> anyhow::Result<()> {
    static HANDLER: Once = Once::new();
    let mut result = Ok(());
    HANDLER.call_once(|| {
        result = ctrlc::set_handler(|| {
            if STOP.swap(true, Ordering::Relaxed) || !HEEDED.load(Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
    });
    result.context("signals cannot be handled")
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
