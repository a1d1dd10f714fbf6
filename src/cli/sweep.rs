//! `trivote sweep`: area budgets times rankings, and what risk is left.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::Global;
use super::area::{AreaArguments, areas};
use super::inputs::{DesignArgument, EventArguments, Opened, open, prepare};
use super::oracle::{SiteArguments, flip_all};
use crate::analysis::BitRanking;
use crate::fault::{Repeats, named_sites};
use crate::hw::{BitId, Protection};
use crate::import::sites::{ScoreColumn, read_sites};
use crate::net::Fingerprint;
use crate::protect::{Budget, Candidates, ProtectionPlan, SweepInput, sweep};
use crate::report::files::ResultFolder;
use crate::report::oracle::OracleReport;
use crate::report::sweep::{SweepReport, plan_file};

/// File that every result folder of a sweep contains.
const MARKER: &str = "sweep.json";

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Orders in which bits are protected: oracle, msb, random, or a CSV file with columns
    /// layer,tensor,index,bit,score (highest score first)
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "oracle,msb,random")]
    rankings: Vec<String>,
    /// Seed of the random ranking
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Budgets: 25% of the cost of full TMR, 5%area of the accelerator, 500ge, 500lut, or 1000bits
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "5%,10%,20%,30%,50%,75%,100%")]
    budgets: Vec<Budget>,
    /// How a chosen bit is protected: unvoted, feedback or feedback3, with +flag for error flags
    #[arg(long, value_name = "STYLE", default_value = "feedback")]
    style: Protection,
    /// Folder to write: sweep.csv, sweep.json, oracle.csv, oracle.json, and the protection plan of every point
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    area: AreaArguments,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    if arguments.style.copies() == 1 {
        bail!("--style {}: protects nothing; choose unvoted, feedback or feedback3", arguments.style);
    }
    let opened = open(&arguments.design, global)?;
    let sites = arguments.sites.list(&opened, Repeats::Refuse)?;
    let prepared = prepare(&opened, &arguments.events)?;
    let areas = areas(&opened, &arguments.area)?;
    let prices = areas.prices(arguments.style)?;
    // Everything that can be wrong is found before the long work.
    for budget in &arguments.budgets {
        budget.affordable_bits(&prices, sites.bits.len())?;
    }
    let mut sources = Vec::new();
    let chosen = rankings(arguments, &opened, &sites.bits, &mut sources)?;
    let folder = arguments.output.as_deref().map(|path| ResultFolder::new(path, MARKER)).transpose()?;

    let oracle = flip_all(&opened, &prepared, &sites.bits, global)?;
    let rises = oracle.error_rises();
    let places: Vec<_> = sites.bits.iter().map(|bit| opened.inventory.locate_bit(*bit).1).collect();
    let rankings: Vec<BitRanking> = chosen
        .into_iter()
        .map(|ranking| match ranking {
            // Every bit costs the same, so the largest rise per area is the largest rise.
            Ranking::Oracle => BitRanking::by_score("oracle", &rises),
            Ranking::Msb => BitRanking::msb_first(&places),
            Ranking::Random => BitRanking::random(rises.len(), arguments.seed),
            Ranking::Scores(name, scores) => BitRanking::by_score(&name, &scores),
        })
        .collect();
    let result = sweep(&SweepInput {
        candidates: Candidates { error_rises: &rises, other_bits: opened.inventory.bits() - rises.len() },
        rankings: &rankings,
        budgets: &arguments.budgets,
        prices: &prices,
        protection: arguments.style,
    })?;

    let mut provenance = opened.provenance("sweep", sites.options);
    provenance.command.extend(arguments.canonical());
    provenance.command.extend(areas.options.iter().cloned());
    prepared.record(&mut provenance);
    provenance.seeds.push(("random ranking".to_owned(), arguments.seed));
    provenance.inputs.extend(sources.into_iter().chain(sites.source).map(|(name, hash)| (name, hash.to_string())));
    provenance.inputs.extend(areas.sources.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
    let protection = arguments.style.to_string();
    let report = SweepReport {
        sweep: &result,
        prices: &prices,
        protection: &protection,
        metric: prepared.evaluator.metric().name(),
        events: oracle.events(),
        golden_mean: oracle.golden_mean(),
    };
    let json = report.json(&provenance);
    if let Some(folder) = folder {
        let oracle_report = OracleReport {
            network: &opened.design.accelerator,
            inventory: &opened.inventory,
            sites: &sites.bits,
            oracle: &oracle,
            metric: prepared.evaluator.metric().name(),
        };
        folder.add("oracle.csv", oracle_report.csv().as_bytes())?;
        folder.add("oracle.json", oracle_report.json(&provenance).as_bytes())?;
        folder.add("sweep.csv", report.csv().as_bytes())?;
        let fingerprint = opened.design.accelerator.fingerprint();
        for point in &result.points {
            let bits = point.chosen.iter_ones().map(|position| sites.bits[position]);
            let plan = ProtectionPlan::uniform(&opened.inventory, bits, arguments.style);
            folder.add(&plan_file(point), plan.to_json(&opened.inventory, opened.name(), fingerprint).as_bytes())?;
        }
        folder.add(MARKER, json.as_bytes())?;
        folder.finish()?;
    }
    if global.json {
        return Ok(json);
    }
    let mut text = format!("{}: {}", opened.name(), report.table());
    if let Some(path) = &arguments.output {
        writeln!(text, "written: {} (sweep.csv, sweep.json, oracle.csv, oracle.json, plans/)", path.display())?;
    }
    Ok(text)
}

impl Arguments {
    /// The options that are this verb's own, in canonical form.
    fn canonical(&self) -> Vec<String> {
        let budgets: Vec<String> = self.budgets.iter().map(ToString::to_string).collect();
        [
            ("--rankings", self.rankings.join(",")),
            ("--seed", self.seed.to_string()),
            ("--budgets", budgets.join(",")),
            ("--style", self.style.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

enum Ranking {
    Oracle,
    Msb,
    Random,
    Scores(String, Vec<f64>),
}

fn rankings(
    arguments: &Arguments,
    opened: &Opened,
    sites: &[BitId],
    sources: &mut Vec<(String, Fingerprint)>,
) -> anyhow::Result<Vec<Ranking>> {
    let mut names = Vec::new();
    let mut rankings = Vec::new();
    for asked in &arguments.rankings {
        let (name, ranking) = match asked.as_str() {
            "oracle" => (asked.clone(), Ranking::Oracle),
            "msb" => (asked.clone(), Ranking::Msb),
            "random" => (asked.clone(), Ranking::Random),
            file => {
                let path = PathBuf::from(file);
                if !path.exists() {
                    bail!("ranking `{file}` is neither oracle, msb, random nor a file");
                }
                let text = fs::read(&path).with_context(|| format!("{file}: cannot be read"))?;
                sources.push((file.to_owned(), Fingerprint::of_bytes(&text)));
                let name = path.file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned());
                (name.clone(), Ranking::Scores(name, scores(file, &text, opened, sites)?))
            }
        };
        if names.contains(&name) {
            bail!("two rankings are named `{name}`; name each once");
        }
        names.push(name);
        rankings.push(ranking);
    }
    Ok(rankings)
}

/// The score of every site, in their order.
fn scores(file: &str, text: &[u8], opened: &Opened, sites: &[BitId]) -> anyhow::Result<Vec<f64>> {
    let rows = read_sites(file, text, ScoreColumn::Required)?;
    let bits = named_sites(&opened.inventory, file, &rows, Repeats::Refuse)?;
    let by_bit: HashMap<BitId, f64> = bits.into_iter().zip(rows.iter().filter_map(|row| row.score)).collect();
    sites
        .iter()
        .map(|bit| {
            by_bit
                .get(bit)
                .copied()
                .with_context(|| format!("{file}: has no score for `{}`", opened.inventory.bit_address(*bit)))
        })
        .collect()
}
