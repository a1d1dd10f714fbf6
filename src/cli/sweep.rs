//! `trivote sweep`: area budgets times rankings, and what risk is left.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::Global;
use super::area::{AreaArguments, areas};
use super::inputs::{DesignArgument, EventArguments, Opened, open, prepare};
use super::oracle::{SiteArguments, flip_all, totals_file};
use super::schedule::{ScheduleArguments, schedule};
use crate::analysis::BitRanking;
use crate::fault::{Repeats, named_sites};
use crate::hw::{BitId, Protection, TmrError};
use crate::import::sites::{ScoreColumn, design_of, read_sites};
use crate::net::Fingerprint;
use crate::protect::{Budget, Candidates, ProtectionPlan, SweepInput, sweep};
use crate::report::SiteTable;
use crate::report::files::ResultFolder;
use crate::report::oracle::OracleReport;
use crate::report::sweep::{SweepReport, is_sweep_file, plan_file};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Orders in which bits are protected, highest score first: oracle, msb, random, or FILE:COLUMN, a column of a CSV
    /// or Parquet file with columns layer,tensor,index,bit; FILE alone is its column score
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "oracle,msb,random", value_parser = ranking)]
    rankings: Vec<RankingName>,
    /// Seed of the random ranking
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Budgets: 25% of the cost of protecting every candidate bit, 5%area of the accelerator, 500ge, 500lut, or
    /// 1000bits
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "5%,10%,20%,30%,50%,75%,100%")]
    budgets: Vec<Budget>,
    /// How a chosen bit is protected: unvoted, feedback or feedback3, with +flag for error flags
    #[arg(long, value_name = "STYLE", default_value = "feedback", value_parser = style)]
    style: Protection,
    /// Folder to write: sweep.csv, sweep.json, oracle.csv, oracle.json, and the protection plan of every point
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    area: AreaArguments,
    #[command(flatten)]
    schedule: ScheduleArguments,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let opened = open(&arguments.design, global)?;
    let sites = arguments.sites.list(&opened, Repeats::Refuse)?;
    let prepared = prepare(&opened, &arguments.events)?;
    let scheduled = schedule(&opened, &arguments.schedule, global)?;
    let areas = areas(&opened, &arguments.area, &scheduled.schedule)?;
    let prices = areas.prices(arguments.style)?;
    // Everything that can be wrong is found before the long work.
    for budget in &arguments.budgets {
        budget.affordable_bits(&prices, sites.bits.len())?;
    }
    let mut sources = Vec::new();
    let chosen = rankings(arguments, &opened, &sites.bits, &mut sources)?;
    let folder = arguments.output.as_deref().map(|path| ResultFolder::new(path, is_sweep_file)).transpose()?;

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
        candidates: Candidates { error_rises: &rises },
        rankings: &rankings,
        budgets: &arguments.budgets,
        prices: &prices,
        protection: arguments.style,
    })?;

    let mut provenance = opened.provenance("sweep", sites.options);
    provenance.command.extend(arguments.canonical());
    provenance.command.extend(areas.options.iter().chain(&scheduled.options).cloned());
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
        other_bits: opened.inventory.bits() - rises.len(),
    };
    let json = report.json(&provenance);
    if let Some(mut folder) = folder {
        let table = SiteTable::new(&opened.design.accelerator, &opened.inventory, &sites.bits);
        let oracle_report = OracleReport { sites: &table, oracle: &oracle, metric: prepared.evaluator.metric().name() };
        folder.add("oracle.csv", oracle_report.csv());
        folder.add("oracle.json", oracle_report.json(&provenance));
        folder.add("sweep.csv", report.csv());
        let fingerprint = opened.design.accelerator.fingerprint();
        for point in &result.points {
            let bits = point.chosen.iter_ones().map(|position| sites.bits[position]);
            let plan = ProtectionPlan::uniform(&opened.inventory, bits, arguments.style);
            let origin = json!({
                "ranking": point.ranking,
                "budget": point.budget.to_string(),
                "provenance": serde_json::to_value(&provenance)?,
            });
            folder.add(
                &plan_file(&point.ranking, point.budget),
                plan.to_json(&opened.inventory, opened.name(), fingerprint, origin),
            );
        }
        folder.add("sweep.json", json.as_bytes());
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
        let rankings: Vec<&str> = self.rankings.iter().map(RankingName::text).collect();
        [
            ("--rankings", rankings.join(",")),
            ("--seed", self.seed.to_string()),
            ("--budgets", budgets.join(",")),
            ("--style", self.style.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

/// A ranking as asked for.
#[derive(Debug, Clone)]
enum RankingName {
    Oracle,
    Msb,
    Random,
    File(ScoreFile),
}

/// A column of a file.
#[derive(Debug, Clone)]
struct ScoreFile {
    /// As the user wrote it.
    text: String,
    path: PathBuf,
    column: String,
}

/// Column of a file that is named alone.
const DEFAULT_COLUMN: &str = "score";

impl ScoreFile {
    /// `FILE` or `FILE:COLUMN`; paths may hold colons, and a file of the whole name wins. `None` when there is no such
    /// file.
    fn parse(text: &str) -> Option<Self> {
        let colons = text.rmatch_indices(':').map(|(colon, _)| (&text[..colon], &text[colon + 1..]));
        let (path, column) =
            [(text, DEFAULT_COLUMN)].into_iter().chain(colons).find(|(path, _)| Path::new(path).is_file())?;
        Some(Self { text: text.to_owned(), path: PathBuf::from(path), column: column.to_owned() })
    }

    /// A score has a name of its own; the column `score` says nothing, so there it is that of the file.
    fn ranking_name(&self) -> String {
        match self.path.file_stem() {
            Some(stem) if self.column == DEFAULT_COLUMN => stem.to_string_lossy().into_owned(),
            _ => self.column.clone(),
        }
    }
}

impl RankingName {
    /// As the user wrote it.
    fn text(&self) -> &str {
        match self {
            Self::Oracle => "oracle",
            Self::Msb => "msb",
            Self::Random => "random",
            Self::File(file) => &file.text,
        }
    }
}

fn ranking(text: &str) -> Result<RankingName, String> {
    match text {
        "oracle" => Ok(RankingName::Oracle),
        "msb" => Ok(RankingName::Msb),
        "random" => Ok(RankingName::Random),
        file => ScoreFile::parse(file)
            .map(RankingName::File)
            .ok_or_else(|| "is neither oracle, msb, random, a file nor FILE:COLUMN".to_owned()),
    }
}

fn style(text: &str) -> Result<Protection, String> {
    let protection: Protection = text.parse().map_err(|error: TmrError| error.to_string())?;
    if protection.copies() == 1 {
        return Err("protects nothing; choose unvoted, feedback or feedback3".to_owned());
    }
    Ok(protection)
}

/// A ranking ready to be made.
enum Ranking {
    Oracle,
    Msb,
    Random,
    Scores(String, Vec<f64>),
}

/// Reads the score files, and checks that every point of the sweep has a plan file of its own.
fn rankings(
    arguments: &Arguments,
    opened: &Opened,
    sites: &[BitId],
    sources: &mut Vec<(String, Fingerprint)>,
) -> anyhow::Result<Vec<Ranking>> {
    let mut taken = HashMap::new();
    let mut rankings = Vec::new();
    for asked in &arguments.rankings {
        let ranking = match asked {
            RankingName::Oracle => Ranking::Oracle,
            RankingName::Msb => Ranking::Msb,
            RankingName::Random => Ranking::Random,
            RankingName::File(file) => {
                let name = file.path.display().to_string();
                let bytes = fs::read(&file.path).with_context(|| format!("{name}: cannot be read"))?;
                let source = (name, Fingerprint::of_bytes(&bytes));
                if !sources.contains(&source) {
                    sources.push(source);
                }
                Ranking::Scores(file.ranking_name(), scores(file, &bytes, opened, sites)?)
            }
        };
        let name = match &ranking {
            Ranking::Scores(name, _) => name,
            _ => asked.text(),
        };
        for budget in &arguments.budgets {
            let point = format!("ranking `{}` at budget {budget}", asked.text());
            if let Some(other) = taken.insert(plan_file(name, *budget).to_lowercase(), point.clone()) {
                bail!(
                    "{other} and {point} would have plan files of one name; leave one out, or rename a score or its file"
                );
            }
        }
        rankings.push(ranking);
    }
    Ok(rankings)
}

/// The score of every site, in their order.
fn scores(asked: &ScoreFile, bytes: &[u8], opened: &Opened, sites: &[BitId]) -> anyhow::Result<Vec<f64>> {
    let file = &asked.path.display().to_string();
    let beside = totals_file(&asked.path);
    let made_for = design_of(file, bytes, fs::read(&beside).ok().as_deref());
    let design = opened.design.accelerator.fingerprint().to_string();
    if let Some(other) = made_for.filter(|made_for| *made_for != design) {
        bail!(
            "{file}: its scores are of another design (fingerprint {other}; `{}` has {design}), as it says itself or {} \
             does; score this design",
            opened.name(),
            beside.display()
        );
    }
    let rows = read_sites(file, bytes, ScoreColumn::Named(&asked.column))?;
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
