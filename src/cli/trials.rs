//! `TrialCampaign`: the exact trials of a command in their order, with a checkpoint to go on from.

use anyhow::bail;

use super::Global;
use super::checkpoint::{BitBar, Checkpoint, Ending, Kept, complete};
use crate::campaign::{ExactSum, KnownTrials, SiteOutcome, Tally, TrialInput, TrialRun};
use crate::hw::BitId;
use crate::num::cast;
use crate::report::grouped;
use crate::report::partial::{PartialTrials, WorkManifest};

/// Trials run one batch after another.
pub struct TrialCampaign<'a> {
    input: TrialInput<'a>,
    known: KnownTrials,
    /// Trials asked for so far.
    asked: usize,
    kept: Option<Kept>,
    /// What left the checkpoint that was resumed.
    left_by: Option<String>,
}

impl<'a> TrialCampaign<'a> {
    /// Nothing run, and nothing kept.
    pub fn new(input: TrialInput<'a>) -> Self {
        Self { input, known: KnownTrials::default(), asked: 0, kept: None, left_by: None }
    }

    /// Keeps the trials that the command of `manifest` runs in `checkpoint`, and goes on from there where it is to `resume`.
    ///
    /// # Errors
    /// When there is a checkpoint that is not to be resumed, or of other work.
    pub fn keep(
        mut self,
        checkpoint: Checkpoint,
        resume: bool,
        command: Vec<String>,
        global: &Global,
    ) -> anyhow::Result<Self> {
        let kept = Kept { checkpoint, manifest: WorkManifest::of_trials(&self.input, command) };
        if let Some(bytes) = kept.checkpoint.load(resume, global)? {
            let left = PartialTrials::read(&kept.checkpoint.name(), &bytes)?;
            kept.check(&left.manifest)?;
            self.known = left.known;
            self.left_by = Some(left.manifest.command());
        }
        self.kept = Some(kept);
        Ok(self)
    }

    /// Sum over events of the error without a fault; 0 before any trial.
    pub const fn golden_sum(&self) -> ExactSum {
        self.known.golden_sum()
    }

    /// Runs the next trials, those that are not known, and says what they all do.
    ///
    /// # Errors
    /// When an error is not finite, a checkpoint cannot be written or has other trials, or the work is interrupted.
    pub fn run(&mut self, trials: &[Vec<BitId>], bar: &BitBar) -> anyhow::Result<Vec<SiteOutcome>> {
        let first = self.asked;
        self.asked += trials.len();
        let Some(known) = self.known.count(first, trials) else {
            bail!(
                "{}: was left by a campaign of other trials, `{}`; repeat that command, or delete it",
                self.kept.as_ref().map_or_else(String::new, |kept| kept.checkpoint.name()),
                self.left_by.as_deref().unwrap_or_default()
            );
        };
        bar.skip(cast::u64_from_len(known) * cast::u64_from_len(self.input.events.len()));
        let missing = &trials[known..];
        if !missing.is_empty() {
            let tally = self.known.begin(missing);
            let mut run = TrialRun::new(self.input, missing);
            if let Some(kept) = self.kept.as_ref().filter(|_| tally.tiles_done() > run.tiles()) {
                return Err(kept.damaged());
            }
            run = run.resume(tally);
            bar.skip(run.pairs().0);
            self.complete(&mut run, bar)?;
            self.known.complete(run.tally());
        }
        Ok(self.known.done()[first..self.asked].iter().map(|(_, outcome)| *outcome).collect())
    }

    /// Removes the checkpoint: the results are written.
    pub fn finish(self) {
        self.kept.iter().for_each(|kept| kept.checkpoint.remove());
    }

    fn complete(&mut self, run: &mut TrialRun<'_>, bar: &BitBar) -> anyhow::Result<()> {
        let Some(Kept { checkpoint, manifest }) = &mut self.kept else {
            return Ok(run.advance(run.tiles(), &|pairs| bar.add(pairs))?);
        };
        let known = &mut self.known;
        let mut bytes = |tally: &Tally| {
            known.keep(tally);
            Ok(PartialTrials::to_bytes(manifest, known)?)
        };
        if complete(run, checkpoint, &mut bytes, bar)? == Ending::Interrupted {
            let (done, all) = run.pairs();
            bail!(
                "interrupted with {} trials run and {} % done of the next {}; the same command with --resume goes on from {}",
                grouped(known.done().len()),
                done * 100 / all.max(1),
                grouped(run.tally().outcomes().len()),
                checkpoint.name()
            );
        }
        Ok(())
    }
}
