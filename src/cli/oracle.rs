//! `trivote oracle`: every single-bit flip, exactly.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::checkpoint::{BitBar, Checkpoint, Ending, complete};
use super::endings::Format;
use super::inputs::{DesignArgument, EventArguments, Opened, Prepared, open, prepare};
use super::{Global, wrong_usage};
use crate::campaign::{Oracle, OracleInput, OracleRun, Shard, Tally};
use crate::fault::{Biases, Repeats, all_sites, named_sites};
use crate::hw::BitId;
use crate::import::sites::{ScoreColumn, read_sites};
use crate::net::Fingerprint;
use crate::report::oracle::OracleReport;
use crate::report::partial::{Manifest, PartialOracle};
use crate::report::{SiteTable, files};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// File to write, a row per bit: CSV, or Parquet if it ends in .parquet; totals and provenance go beside it, to
    /// FILE.json
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
    /// Do part i of n only, and write it to FILE (.npz) for `trivote merge`: part i of n is written i/n
    #[arg(long, value_name = "i/n", requires = "output", help_heading = "Long work")]
    shard: Option<Shard>,
    /// Go on where an interrupted run of the same command stopped; it left FILE.checkpoint
    #[arg(long, requires = "output", help_heading = "Long work")]
    resume: bool,
}

impl Arguments {
    /// A shard is an archive, the whole is a table.
    fn check_ending(&self) -> Result<(), clap::Error> {
        let format = if self.shard.is_some() { Format::Npz } else { Format::Rows };
        let checked = self.output.clone().map(|path| format.check(path)).transpose();
        checked.map(drop).map_err(|reason| wrong_usage(&format!("--output: {reason}")))
    }
}

/// The bits a verb works on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Bits")]
pub struct SiteArguments {
    /// Only these bits, in this order: CSV or Parquet with columns layer,tensor,index,bit [default: all kernel bits]
    #[arg(long, value_name = "FILE", conflicts_with = "include_bias")]
    sites: Option<PathBuf>,
    /// Bias registers too
    #[arg(long)]
    include_bias: bool,
}

/// The bits asked for, and the options and file that chose them.
pub struct Sites {
    pub bits: Vec<BitId>,
    pub options: Vec<String>,
    pub source: Option<(String, Fingerprint)>,
}

impl SiteArguments {
    /// Whether other bits than all kernel bits are asked for.
    pub fn is_chosen(&self) -> bool {
        self.sites.is_some() || self.include_bias
    }

    /// Lists the bits.
    ///
    /// # Errors
    /// When the file cannot be read or names a bit that the design does not have.
    pub fn list(&self, opened: &Opened, repeats: Repeats) -> anyhow::Result<Sites> {
        if let Some(path) = &self.sites {
            let name = path.display().to_string();
            let text = fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
            let rows = read_sites(&name, &text, ScoreColumn::Ignored)?;
            return Ok(Sites {
                bits: named_sites(&opened.inventory, &name, &rows, repeats)?,
                options: vec!["--sites".to_owned(), name.clone()],
                source: Some((name, Fingerprint::of_bytes(&text))),
            });
        }
        let (biases, options) = if self.include_bias {
            (Biases::Include, vec!["--include-bias".to_owned()])
        } else {
            (Biases::Exclude, Vec::new())
        };
        Ok(Sites { bits: all_sites(&opened.inventory, biases), options, source: None })
    }
}

/// What an oracle of `sites` is asked.
pub fn oracle_input<'a>(opened: &'a Opened, prepared: &'a Prepared, sites: &'a [BitId]) -> OracleInput<'a> {
    OracleInput {
        network: &opened.design.accelerator,
        inventory: &opened.inventory,
        evaluator: &prepared.evaluator,
        events: &prepared.events,
        sites,
    }
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    arguments.check_ending()?;
    let opened = open(&arguments.design, global)?;
    let sites = arguments.sites.list(&opened, Repeats::Allow)?;
    let prepared = prepare(&opened, &arguments.events)?;
    let mut checkpoint = arguments.output.as_deref().map(Checkpoint::of);
    let totals_file = arguments.output.as_deref().filter(|_| arguments.shard.is_none()).map(totals_file);
    let own_files = opened.own_files();
    let checkpoint_file = checkpoint.as_ref().map(Checkpoint::path);
    for path in arguments.output.as_deref().into_iter().chain(totals_file.as_deref()).chain(checkpoint_file) {
        let inputs = prepared.sources.iter().chain(&sites.source).map(|(name, _)| name.as_str());
        files::check_writable(path, inputs.chain(own_files.iter().map(String::as_str)))?;
    }

    let mut provenance = opened.provenance("oracle", sites.options);
    prepared.record(&mut provenance);
    provenance.inputs.extend(sites.source.map(|(name, hash)| (name, hash.to_string())));
    let input = oracle_input(&opened, &prepared, &sites.bits);
    let shard = arguments.shard.unwrap_or(Shard::WHOLE);
    let mut run = OracleRun::new(input, shard);
    let table = SiteTable::new(input.network, input.inventory, input.sites);
    let mut part = PartialOracle {
        manifest: Manifest {
            format: Manifest::current_format(),
            work: input.fingerprint().to_string(),
            shard: shard.to_string(),
            tiles_done: 0,
            tiles: run.tiles(),
            metric: prepared.evaluator.metric().name().to_owned(),
            events: input.events.len(),
            arrays: table.arrays.clone(),
            provenance,
        },
        sites: table,
        tally: run.tally().clone(),
    };
    if let Some(checkpoint) = &checkpoint
        && let Some(bytes) = checkpoint.load(arguments.resume, global)?
    {
        run = run.resume(left_by_same_work(&checkpoint.name(), &bytes, &part)?);
    }
    let bar = BitBar::new(&input, run.pairs(), global);
    let completed = match &mut checkpoint {
        Some(checkpoint) => complete(&mut run, checkpoint, &mut |tally| Ok(part.with(tally).to_bytes()?), &bar),
        None => run.advance(run.tiles(), &|pairs| bar.add(pairs)).map(|()| Ending::Done).map_err(Into::into),
    };
    bar.finish();
    if let (Ending::Interrupted, Some(checkpoint)) = (completed?, &checkpoint) {
        let (done, all) = run.pairs();
        bail!(
            "interrupted with {} % done; the same command with --resume goes on from {}",
            done * 100 / all.max(1),
            checkpoint.name()
        );
    }
    part.manifest.tiles_done = part.manifest.tiles;
    part.tally = run.into_tally();
    let text = match (&arguments.output, arguments.shard) {
        (Some(path), Some(shard)) => {
            files::write_file(path, &part.to_bytes()?)?;
            let manifest = serde_json::to_string_pretty(&part.manifest)?;
            if global.json {
                format!("{manifest}\n")
            } else {
                format!("written: {} (shard {shard}; `trivote merge` makes the result of all shards)\n", path.display())
            }
        }
        (output, _) => finish(&part, output.as_deref(), global)?,
    };
    checkpoint.iter().for_each(Checkpoint::remove);
    Ok(text)
}

/// The sums that an earlier run of the same work left in its checkpoint, which is called `name`.
///
/// # Errors
/// When it was left by other work than `empty`.
fn left_by_same_work(name: &str, bytes: &[u8], empty: &PartialOracle) -> anyhow::Result<Tally> {
    let found = PartialOracle::read(name, bytes)?;
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
    Ok(found.tally)
}

/// Writes and shows the result of a completed oracle.
///
/// # Errors
/// When a file cannot be written.
pub fn finish(part: &PartialOracle, output: Option<&Path>, global: &Global) -> anyhow::Result<String> {
    let manifest = &part.manifest;
    let oracle = Oracle::new(manifest.events, part.tally.clone());
    let report = OracleReport { sites: &part.sites, oracle: &oracle, metric: &manifest.metric };
    let json = report.json(&manifest.provenance);
    let totals = output.map(totals_file);
    if let (Some(path), Some(totals)) = (output, &totals) {
        let rows = report.to_bytes(path, &manifest.provenance)?;
        files::write_file(totals, json.as_bytes())?;
        files::write_file(path, &rows)?;
    }
    if global.json {
        return Ok(json);
    }
    let mut text = report.tables();
    if let (Some(path), Some(totals)) = (output, &totals) {
        writeln!(text, "\nwritten: {} (a row per bit), {} (totals)", path.display(), totals.display())?;
    }
    Ok(text)
}

/// `FILE.json` for `FILE`.
pub fn totals_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}
