//! Guided campaigns and oracles read back, on a shipped design, as a verb calls them.

use std::fs;

use clap::Parser;

use super::*;
use crate::analysis::{BitRanking as Ranking, BitSample};
use crate::analysis::{QualityPlan, RECALL_SHARES, SampledPlan, Truth, bit_strata, sampled_quality};
use crate::campaign::{GuidedOrder, Reason};
use crate::cli::Global;
use crate::cli::flips::Flips;
use crate::cli::inputs::{DesignArgument, EventArguments, open, prepare};
use crate::cli::known_oracle;
use crate::cli::oracle::totals_file;
use crate::fault::{Biases, all_sites};
use crate::hw::BitId;
use crate::report::SiteTable;
use crate::report::guided::GuidedReport;
use crate::report::oracle::OracleReport;
use crate::report::quality::{QualityReport, SampledQualityReport, numbers_of_bits};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    design: DesignArgument,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    guided: GuidedArguments,
    #[command(flatten)]
    global: Global,
}

fn command(arguments: &str) -> Command {
    Command::try_parse_from(["test"].into_iter().chain(arguments.split_whitespace())).unwrap()
}

/// No line is wider than a terminal.
fn check_width(text: &str) {
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest}: {text}");
}

#[test]
fn a_campaign_finds_what_the_oracle_knows() {
    let command = command("econ_t_small --limit 20 --metric mse --missing 5% --confidence 0.9 --quiet");
    let opened = open(&command.design, &command.global).unwrap();
    let prepared = prepare(&opened, &command.events).unwrap();
    let sites = all_sites(&opened.inventory, Biases::Exclude);
    let oracle = Flips::new(&opened, &prepared, &command.global).oracle(&sites).unwrap();
    let rises = oracle.error_rises();
    let table = SiteTable::new(&opened.design.accelerator, &opened.inventory, &sites);
    let (metric, events) = (prepared.evaluator.metric().name(), prepared.events.len());

    // What the verb `oracle` writes is read back as it was.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oracle.csv");
    let report = OracleReport { sites: &table, oracle: &oracle, metric };
    let provenance = opened.provenance("oracle", Vec::new());
    fs::write(&path, report.csv()).unwrap();
    let missing = known_oracle::read(&path, &opened).unwrap_err().to_string();
    assert!(missing.contains("oracle.csv.json, or ") && missing.contains("oracle.json of a sweep"), "{missing}");
    fs::write(totals_file(&path), report.json(&provenance)).unwrap();
    let known = known_oracle::read(&path, &opened).unwrap();
    assert_eq!((&known.sites, &known.file.error_rises), (&sites, &rises));
    assert_eq!((known.file.events, known.file.golden_mean), (20, oracle.golden_mean()));
    known.check_events(&opened, &prepared).unwrap();
    assert_eq!(known.rises_of(&sites[..3], &opened).unwrap(), rises[..3]);
    let other = open(&self::command("econ_t_medium -q").design, &command.global).unwrap();
    let refused = known_oracle::read(&path, &other).unwrap_err().to_string();
    assert!(refused.contains("is an oracle of another design (fingerprint "), "{refused}");
    let fewer = self::command("econ_t_small --limit 19 --metric mse -q");
    let refused = known.check_events(&opened, &prepare(&opened, &fewer.events).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("has the mse of 20 events, but mse of 19 is asked for"), "{refused}");
    let others = self::command("econ_t_small --limit 20 --event-seed 2 --metric mse -q");
    let refused = known.check_events(&opened, &prepare(&opened, &others.events).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("is of other events: its fault-free mean error is"), "{refused}");

    // The campaign measures the same, finds enough, and saves flips.
    let ranking = Ranking::by_score("noisy", &rises.iter().map(|rise| rise.max(0.0).sqrt()).collect::<Vec<_>>());
    let plan = command.guided.plan(1);
    let order = GuidedOrder { order: ranking.order(), estimates: None };
    let flips = || Flips::new(&opened, &prepared, &command.global);
    let run = flips().guided(&sites, &order, &plan).unwrap();
    for (flip, outcome) in run.guided.flips.iter().zip(&run.outcomes) {
        assert_eq!((flip.rise, outcome), (rises[flip.position], &oracle.outcomes()[flip.position]));
    }
    let total: f64 = rises.iter().map(|rise| rise.max(0.0)).sum();
    let last = run.guided.last();
    assert!(!run.guided.is_complete() && last.share_bound().unwrap() <= 0.05);
    assert!(last.found >= 0.95 * total, "{last:?} {total}");
    assert!(run.guided.flips.len() < 6000, "{}", run.guided.flips.len());
    // Told how large the rises are, it finds enough with fewer.
    let order = GuidedOrder { order: ranking.order(), estimates: Some(&rises) };
    let estimated = flips().guided(&sites, &order, &plan).unwrap().guided;
    assert!(estimated.last().found >= 0.95 * total && estimated.flips.len() < run.guided.flips.len() * 9 / 10);
    let report = GuidedReport { run: &run, plan: &plan, ranking: ranking.name(), sites: &table, metric, events };
    check_width(&report.table());
    assert!(report.table().contains("promise kept: at most"), "{}", report.table());
    assert_eq!(report.csv().lines().count(), 1 + run.guided.flips.len());
    let json: serde_json::Value = serde_json::from_str(&report.json(&provenance)).unwrap();
    assert_eq!(json["flips"]["drawn"], run.guided.flips_by(Reason::Drawn));
    assert_eq!(json["rise_found"], last.found);
    assert_eq!(json["random_order_flips"], 9728);

    // Quality, exact and by a sample.
    let truth = Truth::new(&rises).unwrap();
    let protected = numbers_of_bits(sites.len(), &[0.05, 0.1, 0.5, 0.1]);
    assert_eq!(protected, [512, 1024, 5120]);
    let figures = QualityPlan { recalls: &RECALL_SHARES, protected: &protected };
    let rankings = [ranking, Ranking::random(sites.len(), 1)];
    let exact: Vec<_> = rankings.iter().map(|ranking| truth.quality(ranking, &figures).unwrap()).collect();
    let report =
        QualityReport { qualities: &exact, rise: truth.total(), metric, events, golden_mean: oracle.golden_mean() };
    check_width(&report.tables());
    assert_eq!(report.csv().lines().count(), 1 + 2 * (5 + 4 + 2 * 3));
    let json: serde_json::Value = serde_json::from_str(&report.json(&provenance)).unwrap();
    assert_eq!(json["rankings"][0]["figures"][1]["value"], exact[0].area.unwrap());

    let sample = BitSample::draw(&bit_strata(&opened.inventory, &sites), 1000, 1).unwrap();
    let sampled: Vec<BitId> = sample.positions().iter().map(|position| sites[*position]).collect();
    let known = Flips::new(&opened, &prepared, &command.global).oracle(&sampled).unwrap().error_rises();
    let plan = SampledPlan { figures, confidence: plan.confidence, seed: 1 };
    let estimated: Vec<_> =
        rankings.iter().map(|ranking| sampled_quality(ranking, &sample, &known, &plan).unwrap()).collect();
    assert!((estimated[0].area.value.unwrap() - exact[0].area.unwrap()).abs() < 0.02);
    let report = SampledQualityReport {
        qualities: &estimated,
        confidence: 0.9,
        metric,
        events,
        golden_mean: oracle.golden_mean(),
    };
    check_width(&report.tables());
    assert_eq!(report.csv().lines().count(), 1 + 2 * (5 + 4 + 3));
    let json: serde_json::Value = serde_json::from_str(&report.json(&provenance)).unwrap();
    assert_eq!(json["rankings"][1]["sampled_bits"], 1000);
}

#[test]
fn arguments_are_what_they_say() {
    let defaults = command("econ_t_small").guided;
    assert_eq!(defaults.canonical(), ["--missing", "0.01", "--confidence", "0.95"]);
    let plan = command("econ_t_small --missing 0.2 --confidence 0.5").guided.plan(9);
    assert_eq!((plan.missing.get(), plan.confidence.get(), plan.seed), (0.2, 0.5, 9));
    for wrong in ["--missing 0", "--missing 100%", "--confidence 100%", "--confidence 2"] {
        let arguments = ["test", "econ_t_small"].into_iter().chain(wrong.split_whitespace());
        assert!(Command::try_parse_from(arguments).is_err(), "{wrong}");
    }
}
