//! `trivote oracle`: every single-bit flip, exactly.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::inputs::{DesignArgument, EventArguments, Opened, Prepared, open, prepare};
use super::{Global, progress};
use crate::campaign::{Oracle, OracleInput, run_oracle};
use crate::fault::{Biases, Repeats, all_sites, named_sites};
use crate::hw::BitId;
use crate::import::sites::{ScoreColumn, read_sites};
use crate::net::Fingerprint;
use crate::report::files;
use crate::report::oracle::OracleReport;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// CSV file to write, a row per bit; totals and provenance go beside it, to FILE.json
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
}

/// The bits a verb works on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Bits")]
pub struct SiteArguments {
    /// Only these bits, in this order: CSV with columns layer,tensor,index,bit [default: all kernel bits]
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

/// Runs the oracle over `sites` with a progress bar.
///
/// # Errors
/// When an error is not finite.
pub fn flip_all(opened: &Opened, prepared: &Prepared, sites: &[BitId], global: &Global) -> anyhow::Result<Oracle> {
    let pairs = u64::try_from(sites.len())? * u64::try_from(prepared.events.len())?;
    let bar = progress::bar(pairs, "(bit, event) pairs", global.quiet);
    bar.set_message("oracle");
    let oracle = run_oracle(
        &OracleInput {
            network: &opened.design.accelerator,
            inventory: &opened.inventory,
            evaluator: &prepared.evaluator,
            events: &prepared.events,
            sites,
        },
        &|done| bar.inc(done),
    );
    bar.finish_and_clear();
    Ok(oracle?)
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let opened = open(&arguments.design, global)?;
    let sites = arguments.sites.list(&opened, Repeats::Allow)?;
    let prepared = prepare(&opened, &arguments.events)?;
    let totals_file = arguments.output.as_deref().map(totals_file);
    let own_files = opened.own_files();
    for path in arguments.output.iter().chain(&totals_file) {
        let inputs = prepared.sources.iter().chain(&sites.source).map(|(name, _)| name.as_str());
        files::check_writable(path, inputs.chain(own_files.iter().map(String::as_str)))?;
    }
    let oracle = flip_all(&opened, &prepared, &sites.bits, global)?;

    let mut provenance = opened.provenance("oracle", sites.options);
    prepared.record(&mut provenance);
    provenance.inputs.extend(sites.source.map(|(name, hash)| (name, hash.to_string())));
    let report = OracleReport {
        network: &opened.design.accelerator,
        inventory: &opened.inventory,
        sites: &sites.bits,
        oracle: &oracle,
        metric: prepared.evaluator.metric().name(),
    };
    let json = report.json(&provenance);
    if let (Some(path), Some(totals)) = (&arguments.output, &totals_file) {
        files::write_file(totals, json.as_bytes())?;
        files::write_file(path, report.csv().as_bytes())?;
    }
    if global.json {
        return Ok(json);
    }
    let mut text = report.tables();
    if let (Some(path), Some(totals)) = (&arguments.output, &totals_file) {
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
