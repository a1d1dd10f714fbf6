//! A comparison for those who stay in the shell.

use std::fmt::Write;

use super::labels::{MissionSet, mission_labels, mission_sets};
use super::{Comparison, ErrorFacts, MeanEntry, MissionEntry, SweepEntry, SweepRow, System};
use crate::import::results::PointForm;
use crate::num::cast;
use crate::protect::{Tradeoff, least_area};
use crate::report::error_unit::ErrorUnit;
use crate::report::sweep::share_text;
use crate::report::text_plot::{PlotSeries, TextPlot};
use crate::report::{Side, TextTable, fixed, grouped, percent, significant, whole};

const NONE: &str = "-";

fn unit(error: &ErrorFacts) -> ErrorUnit<'_> {
    ErrorUnit::new(&error.metric, error.events)
}

/// What there is without faults: the error's name and mean, or the accuracy.
fn fault_free(error: &ErrorFacts) -> String {
    match unit(error).accuracy(error.golden_mean) {
        Some(known) => format!("accuracy {}", percent(known.accuracy, 2)),
        None => format!("{} {}", error.metric, significant(error.golden_mean)),
    }
}

impl Comparison {
    /// Tables and plots for people.
    pub fn tables(&self) -> String {
        let mut text = self.systems_table().to_string();
        text.push_str(
            "error: fault-free mean; flipped: bits, each alone; sensitive: those that raise the error; rise: sum over all of them\n",
        );
        if self
            .systems
            .iter()
            .filter_map(|system| system.error.as_ref())
            .any(|error| unit(error).counts_mispredictions())
        {
            text.push_str(
                "accuracy: of the fault-free design; its rise: mispredictions of all flips, each in all events\n",
            );
        }
        for system in &self.systems {
            if let Some(file) = system.bits.as_ref().and_then(|bits| bits.listed_in.as_deref()) {
                text.extend([system.label.as_str(), ": only the bits that ", file, " lists were flipped\n"]);
            }
        }
        for system in &self.systems {
            for sweep in &system.sweeps {
                text.push('\n');
                text.push_str(&trade_off(system, sweep));
            }
            if system.sweeps.is_empty() && !system.curves.is_empty() {
                text.push('\n');
                text.push_str(&curves(system));
            }
            for set in mission_sets(system) {
                text.push('\n');
                text.push_str(&missions(system, &set));
            }
        }
        // Titles and labels name sources by their numbers where nothing else tells them apart.
        if text.contains(", source ") {
            text.push('\n');
            for (number, source) in self.sources.iter().enumerate() {
                writeln!(text, "source {}: {} ({})", number + 1, source.path, source.verb)
                    .expect("a string takes any text");
            }
        }
        text
    }

    fn systems_table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            ("system", Side::Group),
            ("error", Side::Right),
            ("events", Side::Right),
            ("bits", Side::Right),
            ("area", Side::Right),
            ("latency", Side::Right),
            ("II", Side::Right),
            ("flipped", Side::Right),
            ("sensitive", Side::Right),
            ("rise", Side::Right),
        ]);
        let none = || NONE.to_owned();
        for system in &self.systems {
            let (facts, error, bits) = (system.facts.as_ref(), system.error.as_ref(), system.bits.as_ref());
            table.row([
                system.label.clone(),
                error.map_or_else(none, fault_free),
                error.map_or_else(none, |error| grouped(error.events)),
                facts.map_or_else(none, |facts| grouped(facts.register_bits)),
                system.area.as_ref().map_or_else(none, |area| format!("{} {}", whole(area.accelerator), area.unit)),
                facts.map_or_else(none, |facts| {
                    format!("{} = {} ns", facts.latency_cycles, fixed(facts.latency_s * 1e9, 0))
                }),
                facts.map_or_else(none, |facts| facts.interval_cycles.to_string()),
                bits.map_or_else(none, |bits| grouped(bits.candidates)),
                bits.map_or_else(none, |bits| {
                    percent(cast::f64_from_count(bits.sensitive) / cast::f64_from_count(bits.candidates), 1)
                }),
                bits.map_or_else(none, |bits| match error {
                    Some(error) => unit(error).rise(bits.rise),
                    None => significant(bits.rise),
                }),
            ]);
        }
        table
    }
}

/// Area under the curve of a ranking relative to the oracle's.
fn area_cell(area: Option<f64>) -> String {
    area.map_or_else(|| NONE.to_owned(), |area| fixed(area, 4))
}

/// The same of the line of a sweep, where its curve is known.
fn relative_area(system: &System, sweep: &SweepEntry, ranking: &str) -> String {
    let is_of = |(source, line): &(usize, String)| *source == sweep.source && line == ranking;
    area_cell(system.curves.iter().find(|curve| curve.lines.iter().any(is_of)).and_then(|curve| curve.area))
}

/// What a sweep's rankings reach with how much area, and its plot.
fn trade_off(system: &System, sweep: &SweepEntry) -> String {
    let mut columns = vec![("ranking".to_owned(), Side::Group), ("curve".to_owned(), Side::Right)];
    let shares = shares(sweep);
    columns.extend(shares.iter().map(|share| (share_text(*share), Side::Right)));
    columns.push(("most removed".to_owned(), Side::Right));
    columns.push(("for".to_owned(), Side::Right));
    columns.push(("on front".to_owned(), Side::Right));
    let columns: Vec<(&str, Side)> = columns.iter().map(|(name, side)| (name.as_str(), *side)).collect();
    let mut table = TextTable::new(&columns);
    let mut series = Vec::new();
    for (ranking, rows) in by_ranking(sweep) {
        let left = |point: &&PointForm| point.share_removed.map(|removed| 1.0 - removed);
        let known: Vec<&PointForm> = rows.iter().map(|row| &row.point).filter(|point| left(point).is_some()).collect();
        let offers: Vec<Tradeoff> = known
            .iter()
            .map(|point| Tradeoff { area: point.area_added, risk: left(point).unwrap_or(f64::INFINITY) })
            .collect();
        let area = |place: Option<usize>| {
            place.map_or_else(|| NONE.to_owned(), |place| percent(known[place].share_of_accelerator, 2))
        };
        let most = offers.iter().map(|offer| offer.risk).fold(f64::INFINITY, f64::min);
        let mut cells = vec![ranking.to_owned(), relative_area(system, sweep, ranking)];
        cells.extend(shares.iter().map(|share| {
            let target = sweep.targets.iter().find(|target| target.ranking == ranking && target.share == *share);
            let Some(target) = target else { return String::new() };
            target.share_of_accelerator.map_or_else(|| NONE.to_owned(), |needed| percent(needed, 2))
        }));
        cells.push(if known.is_empty() { NONE.to_owned() } else { percent(1.0 - most, 2) });
        cells.push(area(least_area(&offers, most)));
        cells.push(rows.iter().filter(|row| row.is_on_front).count().to_string());
        table.row(cells);
        let drawn = known.iter().zip(&offers).map(|(point, offer)| (point.share_of_accelerator, offer.risk));
        series.push(PlotSeries { name: ranking.to_owned(), points: drawn.collect() });
    }
    let plot = TextPlot::of_risk(&series);
    format!(
        "{}\nleast area added, in % of the accelerator, that removes so much of the rise (-: never; empty: not asked); most that a\n\
         budget asked for removes, and for how much\n\n{table}\n{plot}",
        sweep.title(system)
    )
}

/// The shares for which a sweep has least areas.
fn shares(sweep: &SweepEntry) -> Vec<f64> {
    let mut shares: Vec<f64> = Vec::new();
    for target in &sweep.targets {
        if !shares.contains(&target.share) {
            shares.push(target.share);
        }
    }
    shares
}

/// The points of each ranking, in the order of the sweep.
fn by_ranking(sweep: &SweepEntry) -> Vec<(&str, Vec<&SweepRow>)> {
    let mut found: Vec<(&str, Vec<&SweepRow>)> = Vec::new();
    for row in &sweep.points {
        match found.iter_mut().find(|(ranking, _)| *ranking == row.point.ranking) {
            Some((_, rows)) => rows.push(row),
            None => found.push((&row.point.ranking, vec![row])),
        }
    }
    found
}

/// How good rankings are, where nothing says what they cost.
fn curves(system: &System) -> String {
    let mut table = TextTable::new(&[("ranking", Side::Name), ("curve", Side::Right)]);
    for curve in &system.curves {
        table.row([curve.ranking.clone(), area_cell(curve.area)]);
    }
    format!("{}: area under the cumulative rise of rankings, relative to the oracle's\n\n{table}", system.label)
}

fn missions(system: &System, set: &MissionSet) -> String {
    let counts_mispredictions = set.members.iter().all(|mission| unit_of(mission).counts_mispredictions());
    let number = |value: f64| if counts_mispredictions { percent(value, 4) } else { significant(value) };
    let mut table = TextTable::new(&[
        ("scenario", Side::Group),
        ("protected", Side::Right),
        ("missions", Side::Right),
        ("strikes", Side::Right),
        ("wrong outputs", Side::Right),
        (if counts_mispredictions { "made wrong" } else { "error rise" }, Side::Right),
        ("interval", Side::Right),
    ]);
    for (mission, label) in set.members.iter().zip(mission_labels(&set.members)) {
        table.row([
            label,
            grouped(mission.protected_bits),
            grouped(mission.replicas),
            significant(mission.strikes.mean),
            percent(mission.wrong_share.mean, 4),
            number(mission.error_rise.mean),
            interval(&mission.error_rise, number),
        ]);
    }
    format!("{}\n\n{table}", set.title(system))
}

/// How errors of missions are told.
fn unit_of(mission: &MissionEntry) -> ErrorUnit<'_> {
    ErrorUnit::new(&mission.metric, mission.events)
}

fn interval(estimate: &MeanEntry, number: impl Fn(f64) -> String) -> String {
    estimate.interval.map_or_else(|| NONE.to_owned(), |[low, high]| format!("{} to {}", number(low), number(high)))
}
