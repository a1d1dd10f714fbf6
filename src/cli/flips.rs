//! `Flips`: the exact flips of a command, each bit once, batch after batch, with a checkpoint to go on from.

use std::path::Path;

use anyhow::bail;

use super::Global;
use super::checkpoint::{BitBar, Checkpoint, Ending, Kept, complete};
use super::inputs::{Opened, Prepared};
use super::oracle::oracle_input;
use crate::campaign::{GuidedOrder, GuidedPlan, GuidedRun, KnownFlips, Oracle, OracleRun, Shard, Tally, run_guided};
use crate::hw::BitId;
use crate::num::cast;
use crate::report::grouped;
use crate::report::partial::{PartialFlips, WorkManifest};

/// Bits flipped on the events of a command. What is flipped for one purpose is known to the next.
pub struct Flips<'a> {
    opened: &'a Opened,
    prepared: &'a Prepared,
    global: &'a Global,
    known: KnownFlips,
    kept: Option<Kept>,
}

impl<'a> Flips<'a> {
    /// Nothing flipped, and nothing kept.
    pub fn new(opened: &'a Opened, prepared: &'a Prepared, global: &'a Global) -> Self {
        Self { opened, prepared, global, known: KnownFlips::default(), kept: None }
    }

    /// Keeps the flips that `command` makes in `checkpoint`, and goes on from there where it is to `resume`.
    ///
    /// # Errors
    /// When there is a checkpoint that is not to be resumed, or of other work.
    pub fn keep(mut self, checkpoint: Checkpoint, resume: bool, command: Vec<String>) -> anyhow::Result<Self> {
        let manifest = WorkManifest::of_flips(&oracle_input(self.opened, self.prepared, &[]), command);
        let kept = Kept { checkpoint, manifest };
        if let Some(bytes) = kept.checkpoint.load(resume, self.global)? {
            let left = PartialFlips::read(&kept.checkpoint.name(), &bytes)?;
            kept.check(&left.manifest)?;
            self.known = left.known;
        }
        self.kept = Some(kept);
        Ok(self)
    }

    /// The events and the judge.
    pub const fn prepared(&self) -> &'a Prepared {
        self.prepared
    }

    /// Flips all of `sites`, with a progress bar.
    ///
    /// # Errors
    /// When an error is not finite, a checkpoint cannot be written, or the work is interrupted.
    pub fn oracle(&mut self, sites: &[BitId]) -> anyhow::Result<Oracle> {
        let bar = self.bar(sites);
        let tally = self.flip(sites, &bar);
        bar.finish();
        Ok(Oracle::new(self.prepared.events.len(), tally?))
    }

    /// Flips `sites` in an order until enough is known, with a progress bar over all of them.
    ///
    /// # Errors
    /// As [`Flips::oracle`].
    ///
    /// # Panics
    /// When the order is not one of these sites.
    pub fn guided(&mut self, sites: &[BitId], order: &GuidedOrder<'_>, plan: &GuidedPlan) -> anyhow::Result<GuidedRun> {
        let bar = self.bar(sites);
        let input = oracle_input(self.opened, self.prepared, sites);
        let run = run_guided(&input, order, plan, &mut |batch| self.flip(batch, &bar));
        bar.finish();
        run
    }

    /// Writes all that is known to the checkpoint, where there is one: other long work follows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self) -> anyhow::Result<()> {
        match &mut self.kept {
            Some(Kept { checkpoint, manifest }) => checkpoint.save(&PartialFlips::to_bytes(manifest, &self.known)?),
            None => Ok(()),
        }
    }

    /// Removes the checkpoint: the results are written.
    pub fn finish(self) {
        self.kept.iter().for_each(|kept| kept.checkpoint.remove());
    }

    fn bar(&self, sites: &[BitId]) -> BitBar {
        let input = oracle_input(self.opened, self.prepared, sites);
        BitBar::new(&input, (0, input.pairs()), self.global)
    }

    /// Flips those of `sites` that are not known, and says what is known of all of them.
    fn flip(&mut self, sites: &[BitId], bar: &BitBar) -> anyhow::Result<Tally> {
        let events = cast::u64_from_len(self.prepared.events.len());
        bar.skip(cast::u64_from_len(self.known.count(sites)) * events);
        while let Some(batch) = self.known.begin(sites) {
            let mut run = OracleRun::new(oracle_input(self.opened, self.prepared, &batch.sites), Shard::WHOLE);
            if let Some(kept) = self.kept.as_ref().filter(|_| batch.tally.tiles_done() > run.tiles()) {
                return Err(kept.damaged());
            }
            run = run.resume(batch.tally);
            bar.skip(run.pairs().0);
            self.complete(&mut run, bar)?;
            self.known.complete(run.tally());
        }
        Ok(self.known.tally(sites))
    }

    fn complete(&mut self, run: &mut OracleRun<'_>, bar: &BitBar) -> anyhow::Result<()> {
        let Some(Kept { checkpoint, manifest }) = &mut self.kept else {
            return Ok(run.advance(run.tiles(), &|pairs| bar.add(pairs))?);
        };
        let known = &mut self.known;
        let mut bytes = |tally: &Tally| {
            known.keep(tally);
            Ok(PartialFlips::to_bytes(manifest, known)?)
        };
        if complete(run, checkpoint, &mut bytes, bar)? == Ending::Interrupted {
            let (done, all) = run.pairs();
            bail!(
                "interrupted with {} bits flipped and {} % done of the next {}; the same command with --resume goes on \
                 from {}",
                grouped(known.outcomes().len()),
                done * 100 / all.max(1),
                grouped(run.tally().outcomes().len()),
                checkpoint.name()
            );
        }
        Ok(())
    }
}

/// The checkpoint of a command with these outputs: at `named`, otherwise beside the first of the outputs.
pub fn checkpoint_of<'p>(named: Option<&Path>, outputs: impl IntoIterator<Item = &'p Path>) -> Option<Checkpoint> {
    let named = named.map(|path| Checkpoint::new(path.to_owned()));
    named.or_else(|| outputs.into_iter().next().map(Checkpoint::of))
}
