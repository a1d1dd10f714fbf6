//! A comparison for those who stay in the shell.

use super::{Comparison, MeanEntry, SweepEntry, SweepRow, System};
use crate::num::cast;
use crate::protect::{Tradeoff, least_area};
use crate::report::simulate::duration;
use crate::report::sweep::share_text;
use crate::report::text_plot::{PlotSeries, TextPlot};
use crate::report::{Side, TextTable, fixed, grouped, percent, significant, whole};

const NONE: &str = "-";

impl Comparison {
    /// Tables and plots for people.
    pub fn tables(&self) -> String {
        let mut text = self.systems_table().to_string();
        text.push_str(
            "error: fault-free mean; flipped: bits, each alone; sensitive: those that raise the error; rise: sum over all of them\n",
        );
        for system in &self.systems {
            for sweep in &system.sweeps {
                text.push('\n');
                text.push_str(&trade_off(system, sweep));
            }
            if system.sweeps.is_empty() && !system.curves.is_empty() {
                text.push('\n');
                text.push_str(&curves(system));
            }
            if !system.missions.is_empty() {
                text.push('\n');
                text.push_str(&missions(system));
            }
        }
        text
    }

    fn systems_table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            ("system", Side::Name),
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
                error.map_or_else(none, |error| format!("{} {}", error.metric, significant(error.golden_mean))),
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
                bits.map_or_else(none, |bits| significant(bits.rise)),
            ]);
        }
        table
    }
}

/// Area under the curve of a ranking relative to the oracle's.
fn relative_area(system: &System, ranking: &str) -> String {
    let area = system.curves.iter().find(|curve| curve.ranking == ranking).and_then(|curve| curve.area);
    area.map_or_else(|| NONE.to_owned(), |area| fixed(area, 4))
}

/// What a sweep's rankings reach with how much area, and its plot.
fn trade_off(system: &System, sweep: &SweepEntry) -> String {
    let mut columns = vec![("ranking".to_owned(), Side::Name), ("curve".to_owned(), Side::Right)];
    let shares = shares(sweep);
    columns.extend(shares.iter().map(|share| (share_text(*share), Side::Right)));
    columns.push(("most removed".to_owned(), Side::Right));
    columns.push(("for".to_owned(), Side::Right));
    columns.push(("on front".to_owned(), Side::Right));
    let columns: Vec<(&str, Side)> = columns.iter().map(|(name, side)| (name.as_str(), *side)).collect();
    let mut table = TextTable::new(&columns);
    let mut series = Vec::new();
    for (ranking, points) in by_ranking(sweep) {
        let left = |point: &&SweepRow| point.share_removed.map(|removed| 1.0 - removed);
        let known: Vec<&SweepRow> = points.iter().copied().filter(|point| left(point).is_some()).collect();
        let offers: Vec<Tradeoff> = known
            .iter()
            .map(|point| Tradeoff { area: point.area_added, risk: left(point).unwrap_or(f64::INFINITY) })
            .collect();
        let area = |place: Option<usize>| {
            place.map_or_else(|| NONE.to_owned(), |place| percent(known[place].share_of_accelerator, 2))
        };
        let most = offers.iter().map(|offer| offer.risk).fold(f64::INFINITY, f64::min);
        let mut cells = vec![ranking.to_owned(), relative_area(system, ranking)];
        cells.extend(shares.iter().map(|share| {
            let target = sweep.targets.iter().find(|target| target.ranking == ranking && target.share == *share);
            let needed = target.and_then(|target| target.share_of_accelerator);
            needed.map_or_else(|| NONE.to_owned(), |needed| percent(needed, 2))
        }));
        cells.push(percent(1.0 - most, 2));
        cells.push(area(least_area(&offers, most)));
        cells.push(points.iter().filter(|point| point.is_on_front).count().to_string());
        table.row(cells);
        let drawn = known.iter().zip(&offers).map(|(point, offer)| (point.share_of_accelerator, offer.risk));
        series.push(PlotSeries { name: ranking.to_owned(), points: drawn.collect() });
    }
    let plot = TextPlot::of_risk(&series);
    format!(
        "{}, {} on {}\narea added, in % of the accelerator, that removes so much of the rise; most that a budget asked for removes\n\n{table}\n\
         {plot}",
        system.label, sweep.protection, sweep.technology
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
    for point in &sweep.points {
        match found.iter_mut().find(|(ranking, _)| *ranking == point.ranking) {
            Some((_, points)) => points.push(point),
            None => found.push((&point.ranking, vec![point])),
        }
    }
    found
}

/// How good rankings are, where nothing says what they cost.
fn curves(system: &System) -> String {
    let mut table = TextTable::new(&[("ranking", Side::Name), ("curve", Side::Right)]);
    for curve in &system.curves {
        table.row([curve.ranking.clone(), relative_area(system, &curve.ranking)]);
    }
    format!("{}: area under the cumulative rise of rankings, relative to the oracle's\n\n{table}", system.label)
}

fn missions(system: &System) -> String {
    let mut table = TextTable::new(&[
        ("style", Side::Name),
        ("scrub", Side::Name),
        ("protected", Side::Right),
        ("missions", Side::Right),
        ("of", Side::Right),
        ("strikes", Side::Right),
        ("wrong outputs", Side::Right),
        ("error rise", Side::Right),
        ("interval", Side::Right),
    ]);
    let mut environment = None;
    for mission in &system.missions {
        // An environment is told once, in a row of its own, as long as it stays.
        if environment.replace(&mission.environment).is_some_and(|earlier| *earlier != mission.environment) {
            table.gap();
        }
        table.row([
            mission.style.clone(),
            mission.scrub.clone(),
            grouped(mission.protected_bits),
            grouped(mission.replicas),
            duration(mission.mission_s),
            significant(mission.strikes.mean),
            percent(mission.wrong_share.mean, 4),
            significant(mission.error_rise.mean),
            interval(&mission.error_rise),
        ]);
    }
    let mut environments: Vec<&str> = Vec::new();
    for mission in &system.missions {
        if !environments.contains(&mission.environment.as_str()) {
            environments.push(&mission.environment);
        }
    }
    format!("{}: missions\n  {}\n\n{table}", system.label, environments.join("\n  "))
}

fn interval(estimate: &MeanEntry) -> String {
    estimate
        .interval
        .map_or_else(|| NONE.to_owned(), |[low, high]| format!("{} to {}", significant(low), significant(high)))
}
