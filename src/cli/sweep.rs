//! `trivote sweep`: area budgets times rankings, and what risk is left.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::Global;
use super::area::{AreaArguments, Areas, areas};
use super::checkpoint::Checkpoint;
use super::endings::Format;
use super::flips::Flips;
use super::inputs::{DesignArgument, EventArguments, Opened, open, prepare};
use super::oracle::SiteArguments;
use super::rankings::{self, RankingName};
use super::schedule::{ScheduleArguments, schedule};
use super::scores::{Needs, ScoreArguments};
use super::verify::{self, VerifyArguments};
use crate::analysis::{BitRanking, Score};
use crate::campaign::Oracle;
use crate::fault::Repeats;
use crate::hw::{BitId, Protection, TmrError};
use crate::net::Fingerprint;
use crate::num::parse_share;
use crate::protect::planner::{Offer, Planner, PlannerInput, check_budget, spendable};
use crate::protect::{Budget, Candidates, Line, Sweep, SweepInput, sweep, targets};
use crate::report::files::ResultFolder;
use crate::report::oracle::OracleReport;
use crate::report::sweep::{BITS_FILE, SWEEP_FILES, SweepReport, bit_table, is_sweep_file, plan_file, share_text};
use crate::report::{DesignFacts, Provenance, SiteTable};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Orders in which bits are protected, highest score first: oracle, a score of `trivote analyze` (random, msb,
    /// gradient, hessian, bit-curve and others), or FILE:COLUMN, a column of a CSV or Parquet file with columns
    /// layer,tensor,index,bit; FILE alone is its column score. `planned` plans each budget anew; choices follow after
    /// colons: bit, register, column or layer; rise, sensitive or above=X; measures in place of --style, such as feedback
    /// or, for register, column and layer, sec8, sec-ded8, parity8=0.01 (with the share of harm left); by=SCORE or
    /// by=FILE:COLUMN
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
    /// Shares of the summed error rise for which the least area is told
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "50%,90%,99%,99.9%", value_parser = share)]
    remove: Vec<f64>,
    /// How a chosen bit is protected: unvoted, feedback or feedback3, with +flag for error flags
    #[arg(long, value_name = "STYLE", default_value = "feedback", value_parser = style)]
    style: Protection,
    /// Folder to write: sweep.csv, sweep.json, targets.csv, oracle.csv, oracle.json, bits.parquet, with
    /// --verify verify.csv, and the protection plan of every point that one can describe
    #[arg(long, short, value_name = "DIR", value_parser = Format::Folder.parser())]
    output: Option<PathBuf>,
    /// Go on where an interrupted run of the same command stopped; the flips it did are in DIR.checkpoint
    #[arg(long, requires = "output")]
    resume: bool,
    /// Draw area against what remains of the risk, in characters
    #[arg(long)]
    plot: bool,
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
    // What can be wrong is found before the long work.
    let has_plans = arguments.rankings.iter().any(|asked| matches!(asked, RankingName::Planned(_)));
    for budget in &arguments.budgets {
        let area = spendable(*budget, &prices, sites.bits.len())?;
        if has_plans {
            check_budget(area).with_context(|| format!("budget {budget}"))?;
        }
    }
    let mut sources = Vec::new();
    let mut files = read_files(arguments, &opened, &sites.bits, &mut sources)?.into_iter();
    let points = arguments.rankings.len() * arguments.budgets.len();
    let verifier = arguments.verify.prepare(&opened, &prepared, &scheduled.schedule, &sites.bits, points)?;
    let folder = arguments.output.as_deref().map(|path| ResultFolder::new(path, is_sweep_file)).transpose()?;

    let names: Vec<Score> = arguments.rankings.iter().filter_map(RankingName::score).collect();
    let needs = Needs::of(&names);
    let mut provenance = opened.provenance("sweep", sites.options.clone());
    provenance.command.extend(arguments.canonical());
    provenance.command.extend(arguments.scores.canonical(needs, &opened, prepared.evaluator.metric()));
    provenance.command.extend(arguments.verify.canonical());
    provenance.command.extend(areas.options.iter().chain(&scheduled.options).cloned());
    prepared.record(&mut provenance);
    let mut flips = Flips::new(&opened, &prepared, global);
    if let Some(folder) = &arguments.output {
        flips = flips.keep(Checkpoint::of(folder), arguments.resume, provenance.command.clone())?;
    }
    let measured = arguments.scores.measure(needs, (&opened, &prepared), &sites.bits, arguments.seed, global)?;
    measured.warn(&names, global);
    let mut scores = measured.values(&names, &opened, &sites.bits, arguments.seed).into_iter();
    // What is known of every event is not needed any more.
    drop(measured);
    let oracle = flips.oracle(&sites.bits)?;
    let rises = oracle.error_rises();
    let mut values = Vec::new();
    for asked in &arguments.rankings {
        values.push(if asked.file().is_some() {
            files.next().expect("every file asked for is read")
        } else if asked.score().is_some() {
            scores.next().expect("every score asked for is measured").1
        } else {
            // Every bit costs the same, so the largest rise per area is the largest rise.
            rises.clone()
        });
    }
    let offers = arguments.offers(&areas);
    let lines = lines(arguments, &opened, &sites.bits, &values, &offers)?;
    let input = SweepInput {
        candidates: Candidates { inventory: &opened.inventory, sites: &sites.bits, error_rises: &rises },
        lines: &lines,
        budgets: &arguments.budgets,
        prices: &prices,
        protection: arguments.style,
    };
    let result = sweep(&input)?;
    let targets = targets(&input, &arguments.remove)?;

    if verifier.is_some() {
        flips.save()?;
    }
    let found = verifier.map(|verifier| verifier.run(&result, &rises, global)).transpose()?;

    provenance.seeds.push(("random ranking".to_owned(), arguments.seed));
    provenance.inputs.extend(sources.into_iter().chain(sites.source).map(|(name, hash)| (name, hash.to_string())));
    provenance.inputs.extend(areas.sources.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
    let facts = DesignFacts::new(opened.name(), &opened.design.accelerator, &opened.inventory, &scheduled.schedule);
    let protection = arguments.style.to_string();
    let report = SweepReport {
        design: &facts,
        sweep: &result,
        targets: &targets,
        prices: &prices,
        protection: &protection,
        metric: prepared.evaluator.metric().name(),
        events: oracle.events(),
        golden_mean: oracle.golden_mean(),
        other_bits: opened.inventory.bits() - rises.len(),
        verified: found.as_ref(),
    };
    if let Some(folder) = folder {
        write_folder(folder, &report, (&opened, &sites.bits), (&oracle, &lines), &provenance)?;
    }
    flips.finish();
    // Files tell what was found before the command fails for it.
    found.as_ref().map_or(Ok(()), |found| verify::check(found, &opened.inventory))?;
    if global.json {
        return Ok(report.json(&provenance));
    }
    let mut text = format!("{}: {}", opened.name(), report.table());
    if arguments.plot {
        write!(text, "\n{}", report.plot())?;
    }
    if let Some(found) = &found {
        write!(text, "\n{}", found.tables())?;
    }
    if let Some(path) = &arguments.output {
        let path = path.display();
        let more = if found.is_some() { "verify.csv, " } else { "" };
        writeln!(text, "written: {path} ({}, {more}plans/)", SWEEP_FILES.join(", "))?;
    }
    Ok(text)
}

/// The ways to choose bits that were asked for: those of `offers` and `values` are in the order of the rankings.
fn lines<'a>(
    arguments: &Arguments,
    opened: &'a Opened,
    sites: &'a [BitId],
    values: &'a [Vec<f64>],
    offers: &'a [Vec<Offer>],
) -> anyhow::Result<Vec<Line<'a>>> {
    let mut lines = Vec::new();
    for (position, label) in rankings::labels(&arguments.rankings).into_iter().enumerate() {
        lines.push(match &arguments.rankings[position] {
            RankingName::Planned(asked) => {
                let input = PlannerInput {
                    inventory: &opened.inventory,
                    sites,
                    error_rises: &values[position],
                    upset_rates: None,
                    objective: asked.objective,
                    granularity: asked.granularity,
                    offers: &offers[position],
                };
                let planner = Planner::new(input).with_context(|| format!("`{}`", asked.text()))?;
                Line::Planned { name: label, planner }
            }
            _ => Line::Ranking(BitRanking::by_score(&label, &values[position])),
        });
    }
    Ok(lines)
}

/// Writes all files of a sweep.
fn write_folder(
    mut folder: ResultFolder,
    report: &SweepReport<'_>,
    (opened, sites): (&Opened, &[BitId]),
    (oracle, lines): (&Oracle, &[Line<'_>]),
    provenance: &Provenance,
) -> anyhow::Result<()> {
    let table = SiteTable::new(&opened.design.accelerator, &opened.inventory, sites);
    let oracle_report = OracleReport { sites: &table, oracle, metric: report.metric };
    folder.add("oracle.csv", oracle_report.csv());
    folder.add("oracle.json", oracle_report.json(provenance));
    folder.add("sweep.csv", report.csv());
    folder.add("targets.csv", report.targets_csv());
    let bits = bit_table(&table, oracle, lines, report.sweep);
    folder.add(BITS_FILE, bits.to_bytes(Path::new(BITS_FILE), provenance)?);
    if let Some(verified) = report.verified {
        folder.add("verify.csv", verified.csv());
    }
    for (name, text) in plans(report.sweep, opened, provenance)? {
        folder.add(&name, text);
    }
    folder.add("sweep.json", report.json(provenance));
    Ok(folder.finish()?)
}

/// The plan files of all points, with their names.
fn plans(sweep: &Sweep, opened: &Opened, provenance: &Provenance) -> anyhow::Result<Vec<(String, String)>> {
    let fingerprint = opened.design.accelerator.fingerprint();
    let mut files = Vec::new();
    for point in &sweep.points {
        let Some(plan) = &point.plan else { continue };
        let origin = json!({
            "ranking": point.ranking,
            "budget": point.budget.to_string(),
            "provenance": serde_json::to_value(provenance)?,
        });
        let text = plan.to_json(&opened.inventory, opened.name(), fingerprint, origin);
        files.push((plan_file(&point.ranking, point.budget), text));
    }
    Ok(files)
}

impl Arguments {
    /// What planners may do, in the order of the rankings; nothing for those that plan nothing.
    fn offers(&self, areas: &Areas) -> Vec<Vec<Offer>> {
        let offers = |asked: &RankingName| match asked {
            RankingName::Planned(planned) => planned.offers(self.style, areas.model.technology()),
            _ => Vec::new(),
        };
        self.rankings.iter().map(offers).collect()
    }

    /// The options that are this verb's own, in canonical form.
    fn canonical(&self) -> Vec<String> {
        let budgets: Vec<String> = self.budgets.iter().map(ToString::to_string).collect();
        let rankings: Vec<&str> = self.rankings.iter().map(RankingName::text).collect();
        [
            ("--rankings", rankings.join(",")),
            ("--seed", self.seed.to_string()),
            ("--budgets", budgets.join(",")),
            ("--remove", self.remove.iter().map(|share| share_text(*share)).collect::<Vec<_>>().join(",")),
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

/// A share of the rise, above nothing.
fn share(text: &str) -> Result<f64, String> {
    let share = parse_share(text).filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "is no share of the error rise, above 0 % and at most 100 %, such as 99.9%".to_owned())
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
        if let Some(file) = asked.file() {
            let (values, source) = file.read(opened, sites)?;
            if !sources.contains(&source) {
                sources.push(source);
            }
            scores.push(values);
        }
        for budget in &arguments.budgets {
            let point = format!("ranking `{}` at budget {budget}", asked.text());
            if let Some(other) = taken.insert(plan_file(&label, *budget).to_lowercase(), point.clone()) {
                if other == point {
                    bail!("{point} is asked for twice; leave one out");
                }
                bail!(
                    "{other} and {point} would have plan files of one name; leave one out, or rename a score or its file"
                );
            }
        }
    }
    Ok(scores)
}
