//! The exhaustive oracle: the exact effect of every single-bit flip on every event, as work that can be cut into
//! pieces.
//!
//! The work is a list of *tiles*, each an event times some of the sites. A run does the tiles of its shard in order and
//! keeps a [`Tally`]; tallies add up exactly, so where a run stops, how it is sharded and on how many threads it runs
//! cannot be seen in the result. It reads no clock and writes no file: when to stop and what to keep is `cli`'s
//! business.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};

use super::Oracle;
use super::event::{DistinctEvent, Event, distinct_events};
use super::tally::{Shard, SiteOutcome, Tally};
use super::workspace::Workspace;
use crate::engine::{Engine, FlipPlan, WeightChange};
use crate::host::evaluator::Evaluator;
use crate::hw::{BitId, Inventory};
use crate::net::{Fingerprint, FingerprintBuilder, Network, Signal, TensorKind};
use crate::num::cast;

/// Most sites of a tile: a large network then has work for many threads even with few events.
const MOST_SITES: usize = 65_536;

/// Fewest sites of a tile where there are more: the fault-free values of the event are found once for all of them.
const FEWEST_SITES: usize = 4_096;

/// Products that all flips of a tile would take if each ran the whole network: some tenths of a second at most, so that
/// threads that wait for each other do not wait long.
const PRODUCTS_PER_TILE: usize = 1 << 34;

/// Why a campaign cannot be completed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// An event whose fault-free error cannot be added up.
    #[error(
        "event {event} (counted from 0): its error is {error} without any fault; errors must be numbers below 2^76"
    )]
    Golden {
        /// Position of the event, from 0.
        event: usize,
        /// The error.
        error: f64,
    },
    /// A flip whose error cannot be added up.
    #[error(
        "event {event} (counted from 0): its error is {error} when `{site}` is flipped; errors must be numbers below 2^76"
    )]
    Faulty {
        /// Position of the event, from 0.
        event: usize,
        /// The bit.
        site: String,
        /// The error.
        error: f64,
    },
    /// Frames that cannot come as often as a mission has them come.
    #[error(
        "with FIFOs of this depth stages wait for one another, and frame {frame} (counted from 0) is late or refused; \
         missions have a frame every {interval} cycles, so make the FIFOs deeper (--fifo-depth, hardware.fifo_depth)"
    )]
    Waits {
        /// The first frame that is, from 0.
        frame: u64,
        /// Cycles from one frame to the next.
        interval: u64,
    },
}

/// What an oracle is asked.
#[derive(Debug, Clone, Copy)]
pub struct OracleInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// Judge of its output.
    pub evaluator: &'a Evaluator,
    /// The events.
    pub events: &'a [Event],
    /// The bits to flip, one at a time.
    pub sites: &'a [BitId],
}

impl OracleInput<'_> {
    /// Number of (bit, event) pairs.
    pub const fn pairs(&self) -> u64 {
        cast::u64_from_len(self.sites.len()) * cast::u64_from_len(self.events.len())
    }

    /// What decides the oracle, for telling whether pieces of work belong together: version, accelerator, decoder,
    /// metric, events and sites, whatever files they came from.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = FingerprintBuilder::new("trivote oracle 1");
        hash.text(env!("CARGO_PKG_VERSION"));
        hash.part(self.network.fingerprint());
        hash.part(self.evaluator.fingerprint());
        hash.numbers([cast::i64_from_len(self.events.len())].into_iter());
        for event in self.events {
            event.add_to(&mut hash);
        }
        hash.numbers(self.sites.iter().map(|site| i64::from(site.0)));
        hash.finish()
    }
}

/// Flips every site in every event. `progress` is told the number of (site, event) pairs done since it was last told.
///
/// Exact and deterministic: integers in the accelerator, outputs judged by the values they have and not by the way that
/// led there, sums that do not depend on order. The result is the same with any number of threads.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
pub fn run_oracle(input: &OracleInput<'_>, progress: &(impl Fn(u64) + Sync)) -> Result<Oracle, CampaignError> {
    let mut run = OracleRun::new(*input, Shard::WHOLE);
    run.advance(run.tiles(), progress)?;
    Ok(Oracle::new(input.events.len(), run.into_tally()))
}

/// An oracle at work.
#[derive(Debug)]
pub struct OracleRun<'a> {
    input: OracleInput<'a>,
    engine: Engine<'a>,
    sites_per_tile: usize,
    /// A plan for each run of so many sites.
    plans: Vec<FlipPlan>,
    events: Vec<DistinctEvent>,
    shard: Shard,
    tally: Tally,
    workers: Vec<Worker>,
}

impl<'a> OracleRun<'a> {
    /// Work of `shard`, none of it done.
    pub fn new(input: OracleInput<'a>, shard: Shard) -> Self {
        let engine = Engine::new(input.network);
        let changes: Vec<WeightChange> =
            input.sites.iter().map(|bit| WeightChange::of_flip(input.network, input.inventory, *bit)).collect();
        let workers = (0..rayon::current_num_threads()).map(|_| Worker {
            tally: Tally::new(input.sites.len()),
            workspace: Workspace::new(&engine),
            event: None,
            failure: None,
        });
        let workers = workers.collect();
        let sites_per_tile = sites_per_tile(input.network);
        Self {
            sites_per_tile,
            plans: changes.chunks(sites_per_tile).map(|changes| engine.flips(changes)).collect(),
            engine,
            events: distinct_events(input.events),
            tally: Tally::new(input.sites.len()),
            input,
            shard,
            workers,
        }
    }

    /// Goes on where another run of the same work stopped.
    ///
    /// # Panics
    /// When `tally` is of other work: whoever keeps tallies compares fingerprints.
    #[must_use]
    pub fn resume(mut self, tally: Tally) -> Self {
        assert_eq!(tally.outcomes().len(), self.input.sites.len(), "a tally of the same sites");
        assert!(tally.tiles_done() <= self.tiles(), "a tally of the same events and shard");
        self.tally = tally;
        self
    }

    /// Number of tiles of this shard.
    pub fn tiles(&self) -> u64 {
        let all = cast::u64_from_len(self.events.len()) * cast::u64_from_len(self.plans.len());
        self.shard.share_of(all)
    }

    /// Number of (site, event) pairs in the tiles done so far, and in all tiles of this shard.
    pub fn pairs(&self) -> (u64, u64) {
        let sum = |tiles: Range<u64>| tiles.map(|tile| self.pairs_of(tile)).sum();
        (sum(0..self.tally.tiles_done()), sum(0..self.tiles()))
    }

    /// Whether all tiles are done.
    pub fn is_done(&self) -> bool {
        self.tally.tiles_done() == self.tiles()
    }

    /// What is known so far.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What is known at the end.
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    /// Does the next `tiles` tiles, or all that are left. `progress` is told the pairs done since it was last told.
    ///
    /// # Errors
    /// As [`run_oracle`]; of several errors that of the first tile. Nothing is added to the tally then.
    pub fn advance(&mut self, tiles: u64, progress: &(impl Fn(u64) + Sync)) -> Result<(), CampaignError> {
        let start = self.tally.tiles_done();
        let end = start.saturating_add(tiles).min(self.tiles());
        let mut workers = std::mem::take(&mut self.workers);
        // Tiles are handed out in order, and whoever has one finishes it. So all before a failed one get done, and the
        // first failure is the same however the threads take turns.
        let (next, failed) = (AtomicU64::new(start), AtomicBool::new(false));
        let this = &*self;
        workers.par_iter_mut().with_max_len(1).for_each(|worker| {
            while worker.failure.is_none() && !failed.load(Ordering::Relaxed) {
                let tile = next.fetch_add(1, Ordering::Relaxed);
                if tile >= end {
                    break;
                }
                if let Err(error) = this.run_tile(tile, worker) {
                    worker.failure = Some((tile, error));
                    failed.store(true, Ordering::Relaxed);
                } else {
                    progress(this.pairs_of(tile));
                }
            }
        });
        self.workers = workers;
        let failures = self.workers.iter_mut().filter_map(|worker| worker.failure.take());
        if let Some((_, error)) = failures.min_by_key(|(tile, _)| *tile) {
            self.workers.iter_mut().for_each(|worker| worker.tally.clear());
            return Err(error);
        }
        for worker in &mut self.workers {
            self.tally.add_tally(&worker.tally);
            worker.tally.clear();
        }
        self.tally.set_tiles_done(end);
        Ok(())
    }

    /// A tile of this shard: which event, and which of [`OracleRun::plans`].
    fn tile(&self, tile: u64) -> (DistinctEvent, usize) {
        let (number, plans) = (self.shard.tile(tile), cast::u64_from_len(self.plans.len()));
        (self.events[cast::index_of_word(number / plans)], cast::index_of_word(number % plans))
    }

    fn pairs_of(&self, tile: u64) -> u64 {
        let (event, plan) = self.tile(tile);
        let first = plan * self.sites_per_tile;
        let sites = self.input.sites.len().min(first + self.sites_per_tile) - first;
        cast::u64_from_len(sites) * u64::from(event.count)
    }

    fn run_tile(&self, tile: u64, worker: &mut Worker) -> Result<(), CampaignError> {
        let (DistinctEvent { first: event, count }, plan) = self.tile(tile);
        let first_site = plan * self.sites_per_tile;
        let data = &self.input.events[event];
        let Worker { tally, workspace, event: current, .. } = worker;
        if *current == Some(event) {
            workspace.begin_again();
        } else {
            workspace.begin(&self.engine, data);
            *current = Some(event);
        }
        workspace.sweep(&self.engine, &self.plans[plan]);
        let golden = workspace.judge(self.input.evaluator, data).map_err(|unusable| {
            unusable.error(event, |position| {
                self.input.inventory.bit_address(self.input.sites[first_site + position]).to_string()
            })
        })?;
        if plan == 0 {
            tally.add_golden(golden.times(count));
        }
        for (position, rise) in workspace.rises() {
            tally.add(first_site + position, SiteOutcome { changed_events: count, rise_sum: rise.times(count) });
        }
        Ok(())
    }
}

/// Sites of a tile: the fewer, the larger the network.
fn sites_per_tile(network: &Network) -> usize {
    let weighted = network.nodes().iter().filter_map(|node| Some((node, node.op.tensor(TensorKind::Kernel)?)));
    let products: usize = weighted.map(|(node, kernel)| node.len() / kernel.channels() * kernel.len()).sum();
    (PRODUCTS_PER_TILE / products.max(1)).clamp(FEWEST_SITES, MOST_SITES)
}

/// What one thread works with, tile after tile.
#[derive(Debug)]
struct Worker {
    tally: Tally,
    workspace: Workspace,
    /// The event whose fault-free values the workspace has.
    event: Option<usize>,
    failure: Option<(u64, CampaignError)>,
}

/// What the host receives: the real values of the output words.
pub fn output_values(signal: Signal, raw: &[i64]) -> Vec<f32> {
    raw.iter().map(|raw| cast::nearest_f32(signal.value(*raw))).collect()
}
