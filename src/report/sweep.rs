//! The sweep: a table for people, CSV and JSON for machines.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::bit_table::{BitColumn, BitTable, BitValues};
use super::error_unit::{Accuracy, ErrorUnit};
use super::oracle::quoted;
use super::text_plot::{PlotSeries, TextPlot};
use super::verify::VerifyReport;
use super::{DesignFacts, Provenance, Side, SiteTable, TextTable, fixed, grouped, line_width, percent, whole, wrapped};
use crate::campaign::Oracle;
use crate::hw::AreaUnit;
use crate::num::cast;
use crate::protect::planner::{Measure, Verdict};
use crate::protect::{Budget, Line, Planning, Prices, Sweep, SweepPoint, Target};

/// A sweep with what its numbers mean.
#[derive(Debug, Clone, Copy)]
pub struct SweepReport<'a> {
    /// The sweep.
    pub sweep: &'a Sweep,
    /// What it takes to remove given shares.
    pub targets: &'a [Target],
    /// The design.
    pub design: &'a DesignFacts,
    /// What areas are measured against.
    pub prices: &'a Prices,
    /// How a chosen bit is protected.
    pub protection: &'a str,
    /// Name of the error measured.
    pub metric: &'a str,
    /// Number of events.
    pub events: usize,
    /// Fault-free mean error.
    pub golden_mean: f64,
    /// Register bits of the design that are no candidates: not flipped, not protected, in no figure but the areas.
    pub other_bits: usize,
    /// What injection found, if it was asked.
    pub verified: Option<&'a VerifyReport>,
}

#[derive(Serialize)]
struct File<'a> {
    provenance: &'a Provenance,
    design: &'a DesignFacts,
    metric: &'a str,
    events: usize,
    golden_mean_error: f64,
    #[serde(flatten)]
    accuracy: Option<Accuracy>,
    protection: &'a str,
    technology: &'a str,
    area_unit: AreaUnit,
    area_per_bit: f64,
    register_area: f64,
    accelerator_area: f64,
    unprotected: Start,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Value>,
    points: Vec<Point<'a>>,
    targets: Vec<TargetRow<'a>>,
}

/// What it takes to remove a share of the rise; nothing where a line never does.
#[derive(Serialize)]
struct TargetRow<'a> {
    ranking: &'a str,
    share: f64,
    bits_protected: Option<usize>,
    area_added: Option<f64>,
    share_of_registers: Option<f64>,
    share_of_accelerator: Option<f64>,
}

impl<'a> TargetRow<'a> {
    fn new(target: &'a Target) -> Self {
        let needed = target.needed;
        Self {
            ranking: &target.ranking,
            share: target.share,
            bits_protected: needed.map(|needed| needed.bits),
            area_added: needed.map(|needed| needed.area),
            share_of_registers: needed.map(|needed| needed.share_of_registers),
            share_of_accelerator: needed.map(|needed| needed.share_of_accelerator),
        }
    }
}

#[derive(Serialize)]
struct Start {
    candidate_bits: usize,
    other_register_bits: usize,
    rise: f64,
    sensitive_bits: usize,
    mean_rise_per_upset: f64,
}

#[derive(Serialize)]
struct Point<'a> {
    ranking: &'a str,
    budget: String,
    bits_protected: usize,
    area_added: f64,
    share_of_registers: f64,
    share_of_accelerator: f64,
    rise_remaining: f64,
    share_removed: Option<f64>,
    sensitive_remaining: usize,
    mean_rise_per_upset: f64,
    /// None where codes protect.
    plan: Option<String>,
    /// The measures at work.
    protection: String,
    price: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    planning: Option<Planned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Value>,
}

/// How a planned point came about.
#[derive(Serialize)]
struct Planned {
    method: &'static str,
    gap: f64,
    verdict: String,
}

impl<'a> Point<'a> {
    fn new(point: &'a SweepPoint) -> Self {
        Self {
            ranking: &point.ranking,
            budget: point.budget.to_string(),
            bits_protected: point.bits,
            area_added: point.area,
            share_of_registers: point.share_of_registers,
            share_of_accelerator: point.share_of_accelerator,
            rise_remaining: point.rise_remaining,
            share_removed: point.share_removed.is_finite().then_some(point.share_removed),
            sensitive_remaining: point.sensitive_remaining,
            mean_rise_per_upset: point.mean_rise_per_upset,
            plan: point.plan.as_ref().map(|_| plan_file(&point.ranking, point.budget)),
            protection: protection_text(&point.measures),
            price: point.price.is_finite().then_some(point.price),
            planning: point.planning.map(|planning| Planned {
                method: planning.method.name(),
                gap: planning.gap,
                verdict: planning.verdict.to_string(),
            }),
            verified: None,
        }
    }
}

/// The file of everything per bit.
pub const BITS_FILE: &str = "bits.parquet";

/// Files that a sweep consists of, besides its plans.
pub const SWEEP_FILES: [&str; 6] = ["sweep.csv", "sweep.json", "targets.csv", "oracle.csv", "oracle.json", BITS_FILE];

/// A share as a percentage, in as many digits as it takes.
pub fn share_text(share: f64) -> String {
    // Rounding to nine digits hides that 0.07 * 100 is not quite 7.
    format!("{}%", (share * 1e11).round() / 1e9)
}

/// Measures as text, `none` where there are none.
fn protection_text(measures: &[Measure]) -> String {
    let names: Vec<String> = measures.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Where in a result folder the plan of a ranking at a budget stands.
///
/// Rankings that differ only in signs that file names should not have share a name; whoever names rankings checks that.
pub fn plan_file(ranking: &str, budget: Budget) -> String {
    let safe = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
    };
    format!("plans/{}-{}.json", safe(ranking), safe(&budget.to_string().replace('%', "pct")))
}

/// Whether a file of this name, relative to a result folder, belongs to a sweep.
pub fn is_sweep_file(path: &Path) -> bool {
    let is_plan = path.parent() == Some(Path::new("plans")) && path.extension().is_some_and(|ending| ending == "json");
    is_plan || SWEEP_FILES.iter().chain(&["verify.csv"]).any(|name| path == Path::new(name))
}

/// Everything that is known of each bit: its error rise, the events whose output its flip changes, its place in every
/// ranking (the first has 1), and for planned lines `LINE@BUDGET`, 0 where the bit is left and otherwise the number of its measure.
pub fn bit_table<'a>(sites: &'a SiteTable, oracle: &Oracle, lines: &'a [Line<'_>], sweep: &'a Sweep) -> BitTable<'a> {
    let changed = oracle.outcomes().iter().map(|outcome| outcome.changed_events).collect();
    let mut columns = vec![
        BitColumn { name: "error_rise".into(), values: BitValues::Reals(oracle.error_rises().into()) },
        BitColumn { name: "changed_events".into(), values: BitValues::Counts(changed) },
    ];
    for line in lines {
        match line {
            Line::Ranking(ranking) => {
                let mut places = vec![0; ranking.order().len()];
                for (place, position) in (1..).zip(ranking.order()) {
                    places[*position] = place;
                }
                columns.push(BitColumn {
                    name: format!("place.{}", ranking.name()).into(),
                    values: BitValues::Counts(places),
                });
            }
            Line::Planned { name, .. } => {
                let points = sweep.points.iter().filter(|point| point.ranking == *name);
                columns.extend(points.map(|point| BitColumn {
                    name: format!("{name}@{}", point.budget).into(),
                    values: BitValues::Counts(point.offers.clone()),
                }));
            }
        }
    }
    BitTable { sites, columns }
}

impl SweepReport<'_> {
    /// A row per ranking and budget.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "ranking,budget,bits_protected,area_added,area_unit,share_of_registers,share_of_accelerator,rise_remaining,\
             share_removed,sensitive_remaining,mean_rise_per_upset,plan,protection,price,method,gap\n",
        );
        for point in self.sweep.points.iter().map(Point::new) {
            let row = [
                quoted(point.ranking),
                point.budget,
                point.bits_protected.to_string(),
                point.area_added.to_string(),
                self.prices.unit.cost_name().to_owned(),
                point.share_of_registers.to_string(),
                point.share_of_accelerator.to_string(),
                point.rise_remaining.to_string(),
                point.share_removed.map_or(String::new(), |share| share.to_string()),
                point.sensitive_remaining.to_string(),
                point.mean_rise_per_upset.to_string(),
                point.plan.unwrap_or_default(),
                quoted(&point.protection),
                point.price.map_or(String::new(), |price| price.to_string()),
                point.planning.as_ref().map_or(String::new(), |planned| planned.method.to_owned()),
                point.planning.as_ref().map_or(String::new(), |planned| planned.gap.to_string()),
            ];
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    /// A row per line and share of the rise, empty where the line never removes so much.
    pub fn targets_csv(&self) -> String {
        let mut text = String::from(
            "ranking,share_removed,bits_protected,area_added,area_unit,share_of_registers,share_of_accelerator\n",
        );
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for target in self.targets.iter().map(TargetRow::new) {
            let row = [
                quoted(target.ranking),
                target.share.to_string(),
                target.bits_protected.map_or_else(String::new, |bits| bits.to_string()),
                number(target.area_added),
                self.prices.unit.cost_name().to_owned(),
                number(target.share_of_registers),
                number(target.share_of_accelerator),
            ];
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    /// Area that a line needs, as a share of the accelerator: a row per line, a column per share of the rise.
    fn targets_table(&self) -> TextTable {
        let lines: Vec<&[Target]> = self.targets.chunk_by(|a, b| a.ranking == b.ranking).collect();
        let shares: Vec<String> =
            lines.first().map_or(&[][..], |line| line).iter().map(|target| share_text(target.share)).collect();
        let columns = shares.iter().map(|share| (share.as_str(), Side::Right));
        let mut table =
            TextTable::new(&[("+% acc to remove", Side::Name)].into_iter().chain(columns).collect::<Vec<_>>());
        for line in lines {
            let cells = line.iter().map(|target| {
                target.needed.map_or_else(|| "never".to_owned(), |needed| percent(needed.share_of_accelerator, 3))
            });
            table.row([line[0].ranking.clone()].into_iter().chain(cells));
        }
        table
    }

    /// Everything as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let start = &self.sweep.unprotected;
        let mut points: Vec<Point<'_>> = self.sweep.points.iter().map(Point::new).collect();
        if let Some(report) = self.verified {
            for point in &mut points {
                point.verified = report.point_value(point.ranking, &point.budget);
            }
        }
        let file = File {
            provenance,
            design: self.design,
            metric: self.metric,
            events: self.events,
            golden_mean_error: self.golden_mean,
            accuracy: ErrorUnit::new(self.metric, self.events).accuracy(self.golden_mean),
            protection: self.protection,
            technology: &self.prices.technology,
            area_unit: self.prices.unit,
            area_per_bit: self.prices.bit,
            register_area: self.prices.registers,
            accelerator_area: self.prices.accelerator,
            unprotected: Start {
                candidate_bits: start.bits,
                other_register_bits: self.other_bits,
                rise: start.rise,
                sensitive_bits: start.sensitive,
                mean_rise_per_upset: start.mean_rise_per_upset,
            },
            verification: self.verified.map(VerifyReport::summary),
            points,
            targets: self.targets.iter().map(TargetRow::new).collect(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("strings and finite numbers have a JSON form");
        text.push('\n');
        text
    }

    /// Area against what remains of the summed rise, in characters.
    pub fn plot(&self) -> String {
        let mut series: Vec<PlotSeries> = Vec::new();
        for point in self.sweep.points.iter().filter(|point| point.share_removed.is_finite()) {
            if series.last().is_none_or(|last| last.name != point.ranking) {
                series.push(PlotSeries { name: point.ranking.clone(), points: Vec::new() });
            }
            if let Some(last) = series.last_mut() {
                last.points.push((point.share_of_accelerator, 1.0 - point.share_removed));
            }
        }
        TextPlot::of_risk(&series).to_string()
    }

    /// The table for people, with what it starts from above and what its columns mean below.
    pub fn table(&self) -> String {
        let start = &self.sweep.unprotected;
        let unit = self.prices.unit.cost_name();
        let error = ErrorUnit::new(self.metric, self.events);
        let mut table = TextTable::new(&[
            ("ranking", Side::Group),
            ("budget", Side::Right),
            ("bits", Side::Right),
            (&format!("area +{unit}"), Side::Right),
            ("+% reg", Side::Right),
            ("+% acc", Side::Right),
            (error.name("rise left", "wrong left"), Side::Right),
            ("removed", Side::Right),
            ("price", Side::Right),
            ("sensitive", Side::Right),
            ("per upset", Side::Right),
        ]);
        for (position, point) in self.sweep.points.iter().enumerate() {
            if position > 0 && self.sweep.points[position - 1].ranking != point.ranking {
                table.gap();
            }
            table.row([
                point.ranking.clone(),
                point.budget.to_string(),
                grouped(point.bits),
                whole(point.area),
                percent(point.share_of_registers, 1),
                percent(point.share_of_accelerator, 2),
                error.rise(point.rise_remaining),
                percent(point.share_removed, 2),
                percent(point.price, 2),
                grouped(point.sensitive_remaining),
                error.rise(point.mean_rise_per_upset),
            ]);
        }
        let per_bit = |area: f64| fixed(area, 3);
        let sensitive = cast::f64_from_count(start.sensitive);
        let other = match self.other_bits {
            0 => String::new(),
            bits => format!(" ({} others are not looked at)", grouped(bits)),
        };
        let head = format!(
            "{} events, {}\n\
             {} candidate bits{other}: {} sensitive, {} {}, {} per upset",
            grouped(self.events),
            error.fault_free(self.golden_mean),
            grouped(start.bits),
            grouped(start.sensitive),
            error.name("summed error rise", "mispredictions of all flips"),
            error.rise(start.rise),
            error.rise(start.mean_rise_per_upset),
        );
        let head: Vec<String> = head.lines().flat_map(|line| wrapped(line, line_width())).collect();
        format!(
            "{}\n\
             {} on {}: a protected bit takes {} {unit} instead of {}; full TMR of the candidates +{} {unit}\n\
             without protection: registers {} {unit}, accelerator {} {unit}; all sensitive bits would take {} of full TMR\n\n\
             {table}\n\
             {}\n\
             sensitive: bits left whose flip {}; +% reg, +% acc: of all registers, of the accelerator\n\
             price: share of the rise that this choice leaves and the best choice of bits for the budget does not\n\
             per upset: {} of one upset in a random cell of the candidates, copies included\n{}\n{}",
            head.join("\n"),
            self.protection,
            self.prices.technology,
            per_bit(self.prices.plain_bit + self.prices.bit),
            per_bit(self.prices.plain_bit),
            whole(self.prices.bit * cast::f64_from_count(start.bits)),
            whole(self.prices.registers),
            whole(self.prices.accelerator),
            percent(sensitive / cast::f64_from_count(start.bits), 1),
            error.name(
                "rise left: summed error rise of the bits left unprotected, each flipped alone (below zero: they lower the error)",
                "wrong left: mispredictions by the bits left unprotected, each flipped alone in all events",
            ),
            error.sensitive(),
            error.name("mean error rise", "mispredictions in all events"),
            self.notes(),
            self.targets_table(),
        )
    }

    /// What a table has no room for: budgets that pay nothing and what would fit, and plans that may not be the best.
    fn notes(&self) -> String {
        let mut text = String::new();
        let unit = self.prices.unit.cost_name();
        let mut poor: Vec<Budget> = Vec::new();
        for point in &self.sweep.points {
            let note = match &point.planning {
                None if point.bits == 0
                    && point.budget != Budget::FullTmrShare(0.0)
                    && !poor.contains(&point.budget) =>
                {
                    poor.push(point.budget);
                    writeln!(
                        text,
                        "{} pays no bit of any ranking: one takes {} {unit}",
                        point.budget,
                        fixed(self.prices.bit, 3)
                    )
                    .expect("a string can be written to");
                    continue;
                }
                Some(Planning { verdict: Verdict::NothingFits { cheapest, measure, all }, .. }) => format!(
                    "pays nothing that gains: the cheapest is `{measure}` at {} {unit}, the best everywhere takes {} {unit}",
                    fixed(*cheapest, 3),
                    whole(*all)
                ),
                Some(Planning { verdict: verdict @ Verdict::NothingGains, .. }) => verdict.to_string(),
                Some(planning) if planning.gap > 0.0 => {
                    format!("may miss up to {} of what can be taken away", percent(planning.gap, 4))
                }
                _ => continue,
            };
            writeln!(text, "{} at {}: {note}", point.ranking, point.budget).expect("a string can be written to");
        }
        let width = line_width();
        let lines = text.lines().flat_map(|line| wrapped(line, width)).map(|line| line + "\n");
        lines.collect()
    }
}
