//! `trivote sweep`: area budgets times rankings, and what risk is left.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::Global;
use super::area::{AreaArguments, areas};
use super::inputs::{DesignArgument, EventArguments, Opened, open, prepare};
use super::oracle::{SiteArguments, flip_all};
use super::rankings::{self, RankingName};
use super::schedule::{ScheduleArguments, schedule};
use super::scores::{Needs, ScoreArguments};
use super::verify::{self, VerifyArguments};
use crate::analysis::{BitRanking, Score};
use crate::campaign::Oracle;
use crate::fault::Repeats;
use crate::hw::{BitId, Protection, TmrError};
use crate::net::Fingerprint;
use crate::protect::{Budget, Candidates, ProtectionPlan, Sweep, SweepInput, SweepPoint, sweep};
use crate::report::files::ResultFolder;
use crate::report::oracle::OracleReport;
use crate::report::sweep::{SweepReport, is_sweep_file, plan_file};
use crate::report::{DesignFacts, Provenance, SiteTable};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Orders in which bits are protected, highest score first: oracle, a score of `trivote analyze` (random, msb,
    /// gradient, hessian, bit-curve and others), or FILE:COLUMN, a column of a CSV or Parquet file with columns
    /// layer,tensor,index,bit; FILE alone is its column score
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "oracle,msb,random",
          value_parser = rankings::parse)]
    rankings: Vec<RankingName>,
    /// Seed of the random ranking, and of the start vector where eigenpairs are needed
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
    scores: ScoreArguments,
    #[command(flatten)]
    area: AreaArguments,
    #[command(flatten)]
    schedule: ScheduleArguments,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
    #[command(flatten)]
    verify: VerifyArguments,
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
    let mut files = read_files(arguments, &opened, &sites.bits, &mut sources)?.into_iter();
    let points = arguments.rankings.len() * arguments.budgets.len();
    let proof = arguments.verify.prepare(&opened, &prepared, &scheduled.schedule, &sites.bits, points)?;
    let folder = arguments.output.as_deref().map(|path| ResultFolder::new(path, is_sweep_file)).transpose()?;

    let names: Vec<Score> = arguments.rankings.iter().filter_map(RankingName::score).collect();
    let needs = Needs::of(&names);
    let measured = arguments.scores.measure(needs, (&opened, &prepared), &sites.bits, arguments.seed, global)?;
    measured.warn(&names, global);
    let mut scores = measured.values(&names, &opened, &sites.bits, arguments.seed).into_iter();
    // What is known of every event is not needed any more.
    drop(measured);
    let oracle = flip_all(&opened, &prepared, &sites.bits, global)?;
    let rises = oracle.error_rises();
    let rankings: Vec<BitRanking> = arguments
        .rankings
        .iter()
        .zip(rankings::labels(&arguments.rankings))
        .map(|(asked, label)| {
            let values = match asked {
                // Every bit costs the same, so the largest rise per area is the largest rise.
                RankingName::Oracle => rises.clone(),
                RankingName::Score(_) => scores.next().expect("every score asked for is measured").1,
                RankingName::File(_) => files.next().expect("every file asked for is read"),
            };
            BitRanking::by_score(&label, &values)
        })
        .collect();
    let result = sweep(&SweepInput {
        candidates: Candidates { error_rises: &rises },
        rankings: &rankings,
        budgets: &arguments.budgets,
        prices: &prices,
        protection: arguments.style,
    })?;

    let plans = plans(&result, &opened, &sites.bits, arguments.style);
    let verified = proof.map(|proof| proof.run(&result, &plans, &rises, global)).transpose()?;

    let mut provenance = opened.provenance("sweep", sites.options);
    provenance.command.extend(arguments.canonical());
    provenance.command.extend(arguments.scores.canonical(needs, &opened, prepared.evaluator.metric()));
    provenance.command.extend(arguments.verify.canonical());
    provenance.command.extend(areas.options.iter().chain(&scheduled.options).cloned());
    prepared.record(&mut provenance);
    provenance.seeds.push(("random ranking".to_owned(), arguments.seed));
    provenance.inputs.extend(sources.into_iter().chain(sites.source).map(|(name, hash)| (name, hash.to_string())));
    provenance.inputs.extend(areas.sources.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
    let protection = arguments.style.to_string();
    let facts = DesignFacts::new(opened.name(), &opened.design.accelerator, &opened.inventory, &scheduled.schedule);
    let report = SweepReport {
        design: &facts,
        sweep: &result,
        prices: &prices,
        protection: &protection,
        metric: prepared.evaluator.metric().name(),
        events: oracle.events(),
        golden_mean: oracle.golden_mean(),
        other_bits: opened.inventory.bits() - rises.len(),
        verified: verified.as_ref(),
    };
    let json = report.json(&provenance);
    if let Some(folder) = folder {
        let written = Written { opened: &opened, sites: &sites.bits, oracle: &oracle, report: &report, plans: &plans };
        written.write(folder, &provenance, &json)?;
    }
    // Files tell what was found before the command fails for it.
    verified.as_ref().map_or(Ok(()), |verified| verify::check(verified, &opened.inventory))?;
    if global.json {
        return Ok(json);
    }
    let mut text = format!("{}: {}", opened.name(), report.table());
    if let Some(verified) = &verified {
        write!(text, "\n{}", verified.tables())?;
    }
    if let Some(path) = &arguments.output {
        let more = if verified.is_some() { "verify.csv, " } else { "" };
        writeln!(text, "written: {} (sweep.csv, sweep.json, {more}oracle.csv, oracle.json, plans/)", path.display())?;
    }
    Ok(text)
}

/// The protection plan of every point.
fn plans(result: &Sweep, opened: &Opened, sites: &[BitId], style: Protection) -> Vec<ProtectionPlan> {
    let plan = |point: &SweepPoint| {
        let bits = point.chosen.iter_ones().map(|position| sites[position]);
        ProtectionPlan::uniform(&opened.inventory, bits, style)
    };
    result.points.iter().map(plan).collect()
}

/// What a result folder is made of.
struct Written<'a> {
    opened: &'a Opened,
    sites: &'a [BitId],
    oracle: &'a Oracle,
    report: &'a SweepReport<'a>,
    plans: &'a [ProtectionPlan],
}

impl Written<'_> {
    fn write(&self, mut folder: ResultFolder, provenance: &Provenance, json: &str) -> anyhow::Result<()> {
        let Self { opened, sites, oracle, report, plans } = self;
        let table = SiteTable::new(&opened.design.accelerator, &opened.inventory, sites);
        let oracle_report = OracleReport { sites: &table, oracle, metric: report.metric };
        folder.add("oracle.csv", oracle_report.csv());
        folder.add("oracle.json", oracle_report.json(provenance));
        folder.add("sweep.csv", report.csv());
        if let Some(verified) = report.verified {
            folder.add("verify.csv", verified.csv());
        }
        let fingerprint = opened.design.accelerator.fingerprint();
        for (point, plan) in report.sweep.points.iter().zip(*plans) {
            let origin = json!({
                "ranking": point.ranking,
                "budget": point.budget.to_string(),
                "provenance": serde_json::to_value(provenance)?,
            });
            folder.add(
                &plan_file(&point.ranking, point.budget),
                plan.to_json(&opened.inventory, opened.name(), fingerprint, origin),
            );
        }
        folder.add("sweep.json", json.as_bytes());
        folder.finish()?;
        Ok(())
    }
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

fn style(text: &str) -> Result<Protection, String> {
    let protection: Protection = text.parse().map_err(|error: TmrError| error.to_string())?;
    if protection.copies() == 1 {
        return Err("protects nothing; choose unvoted, feedback or feedback3".to_owned());
    }
    Ok(protection)
}

/// Reads the score files asked for, in the order of the rankings, and checks that every point of the sweep has a plan
/// file of its own.
fn read_files(
    arguments: &Arguments,
    opened: &Opened,
    sites: &[BitId],
    sources: &mut Vec<(String, Fingerprint)>,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut taken = HashMap::new();
    let mut scores = Vec::new();
    for (asked, label) in arguments.rankings.iter().zip(rankings::labels(&arguments.rankings)) {
        if let RankingName::File(file) = asked {
            let (values, source) = file.read(opened, sites)?;
            if !sources.contains(&source) {
                sources.push(source);
            }
            scores.push(values);
        }
        for budget in &arguments.budgets {
            let point = format!("ranking `{}` at budget {budget}", asked.text());
            if let Some(other) = taken.insert(plan_file(&label, *budget).to_lowercase(), point.clone()) {
                bail!(
                    "{other} and {point} would have plan files of one name; leave one out, or rename a score or its file"
                );
            }
        }
    }
    Ok(scores)
}
