//! The sweep: a table for people, CSV and JSON for machines.

use std::path::Path;

use serde::Serialize;

use super::oracle::quoted;
use super::text_plot::{PlotSeries, TextPlot};
use super::{DesignFacts, Provenance, Side, TextTable, fixed, grouped, percent, significant, whole};
use crate::hw::AreaUnit;
use crate::num::cast;
use crate::protect::{Budget, Prices, Sweep, SweepPoint};

/// A sweep with what its numbers mean.
#[derive(Debug, Clone, Copy)]
pub struct SweepReport<'a> {
    /// The sweep.
    pub sweep: &'a Sweep,
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
}

#[derive(Serialize)]
struct File<'a> {
    provenance: &'a Provenance,
    design: &'a DesignFacts,
    metric: &'a str,
    events: usize,
    golden_mean_error: f64,
    protection: &'a str,
    technology: &'a str,
    area_unit: AreaUnit,
    area_per_bit: f64,
    register_area: f64,
    accelerator_area: f64,
    unprotected: Start,
    points: Vec<Point<'a>>,
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
    plan: String,
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
            plan: plan_file(&point.ranking, point.budget),
        }
    }
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
    is_plan || ["sweep.csv", "sweep.json", "oracle.csv", "oracle.json"].iter().any(|name| path == Path::new(name))
}

impl SweepReport<'_> {
    /// A row per ranking and budget.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "ranking,budget,bits_protected,area_added,area_unit,share_of_registers,share_of_accelerator,rise_remaining,\
             share_removed,sensitive_remaining,mean_rise_per_upset,plan\n",
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
                point.plan,
            ];
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    /// Everything as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let start = &self.sweep.unprotected;
        let file = File {
            provenance,
            design: self.design,
            metric: self.metric,
            events: self.events,
            golden_mean_error: self.golden_mean,
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
            points: self.sweep.points.iter().map(Point::new).collect(),
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
        let mut table = TextTable::new(&[
            ("ranking", Side::Name),
            ("budget", Side::Right),
            ("bits", Side::Right),
            (&format!("area +{unit}"), Side::Right),
            ("+% reg", Side::Right),
            ("+% acc", Side::Right),
            ("rise left", Side::Right),
            ("removed", Side::Right),
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
                significant(point.rise_remaining),
                percent(point.share_removed, 2),
                grouped(point.sensitive_remaining),
                significant(point.mean_rise_per_upset),
            ]);
        }
        let per_bit = |area: f64| fixed(area, 3);
        let sensitive = cast::f64_from_count(start.sensitive);
        let other = match self.other_bits {
            0 => String::new(),
            bits => format!(" ({} other register bits are not looked at)", grouped(bits)),
        };
        format!(
            "{} events, fault-free mean error ({}) {}\n\
             {} candidate bits{other}: {} sensitive, summed error rise {}, {} per upset\n\
             {} on {}: a protected bit takes {} {unit} instead of {}; full TMR of the candidates +{} {unit}\n\
             without protection: registers {} {unit}, accelerator {} {unit}; all sensitive bits would take {} of full TMR\n\n\
             {table}\n\
             rise left: summed error rise of the bits left unprotected, each flipped alone (below zero: they lower the error)\n\
             sensitive: bits left whose flip raises the mean error; +% reg, +% acc: of all registers, of the accelerator\n\
             per upset: mean error rise of one upset in a random cell of the candidates, copies included\n",
            grouped(self.events),
            self.metric,
            significant(self.golden_mean),
            grouped(start.bits),
            grouped(start.sensitive),
            significant(start.rise),
            significant(start.mean_rise_per_upset),
            self.protection,
            self.prices.technology,
            per_bit(self.prices.plain_bit + self.prices.bit),
            per_bit(self.prices.plain_bit),
            whole(self.prices.bit * cast::f64_from_count(start.bits)),
            whole(self.prices.registers),
            whole(self.prices.accelerator),
            percent(sensitive / cast::f64_from_count(start.bits), 1),
        )
    }
}
