//! The page's tables. They add up what they show and look things up, nothing else.

use serde_json::Value;

use super::super::labels::{MissionSet, curve_label, mission_labels, mission_sets, sweep_label};
use super::super::{BitFacts, BitMap, Comparison, SweepRow, System};
use super::sections::sensitive_share;
use super::table::{NONE, Table, hundredths, interval, number};
use crate::import::oracle::short;
use crate::import::results::PointForm;
use crate::num::cast;
use crate::report::error_unit::ErrorUnit;
use crate::report::simulate::duration;
use crate::report::sweep::share_text;
use crate::report::{fixed, grouped, percent, significant, whole};

/// Shares of the bits that the page says the rise of.
const FIRST_BITS: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];

/// Prediction of missions that makes no assumption about the cells of one strike, where there is one.
const WITH_CLUSTERS: &str = "predicted_rise_with_clusters";

/// Name of the error of a system, which is the unit of its rises.
pub(super) fn metric(system: &System) -> &str {
    system.error.as_ref().map_or("error", |error| &error.metric)
}

/// A column per system, a row per fact that any has.
pub(super) fn summary(comparison: &Comparison) -> Option<Table> {
    let systems = &comparison.systems;
    let labels: Vec<&str> = systems.iter().map(|system| system.label.as_str()).collect();
    let mut table = Table::new("Facts of the systems", &["Quantity"], &[]);
    for label in labels {
        table.column(label);
    }
    let mut row = |name: &str, value: &dyn Fn(&System) -> Option<String>| {
        let cells: Vec<Option<String>> = systems.iter().map(value).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or(NONE.to_owned()));
            table.row(std::iter::once(name.to_owned()).chain(cells));
        }
    };
    row("Error metric", &|system| Some(system.error.as_ref()?.metric.clone()));
    row("Events", &|system| Some(grouped(system.error.as_ref()?.events)));
    row("Mean error without a fault", &|system| Some(significant(system.error.as_ref()?.golden_mean)));
    row("Accuracy without a fault", &|system| {
        let error = system.error.as_ref()?;
        let known = ErrorUnit::new(&error.metric, error.events).accuracy(error.golden_mean)?;
        Some(format!("{} ({} events)", percent(known.accuracy, 2), grouped(known.correct_events)))
    });
    row("Weight and bias registers", &|system| Some(grouped(system.facts.as_ref()?.registers)));
    row("Their bits", &|system| Some(grouped(system.facts.as_ref()?.register_bits)));
    row("Candidate bits, each flipped", &|system| {
        let BitFacts { candidates, listed_in, .. } = system.bits.as_ref()?;
        let listed = listed_in.as_ref().map_or_else(String::new, |file| format!(" (only those that {file} lists)"));
        Some(format!("{}{listed}", grouped(*candidates)))
    });
    row("Bits whose flip changes an output", &|system| {
        let bits = system.bits.as_ref()?;
        Some(sensitive_share(bits.effective?, bits.candidates))
    });
    row("Sensitive bits", &|system| {
        let bits = system.bits.as_ref()?;
        Some(sensitive_share(bits.sensitive, bits.candidates))
    });
    row("Summed error rise", &|system| Some(significant(system.bits.as_ref()?.rise)));
    row("Mispredictions of all flips", &|system| {
        let (error, bits) = (system.error.as_ref()?, system.bits.as_ref()?);
        let unit = ErrorUnit::new(&error.metric, error.events);
        unit.counts_mispredictions().then(|| unit.rise(bits.rise))
    });
    row("Technology", &|system| Some(system.area.as_ref()?.technology.clone()));
    row("Area of the registers", &|system| {
        let area = system.area.as_ref()?;
        Some(format!("{} {}", whole(area.registers), area.unit))
    });
    row("Area of the accelerator", &|system| {
        let area = system.area.as_ref()?;
        Some(format!("{} {}", whole(area.accelerator), area.unit))
    });
    row("Built as", &|system| Some(system.facts.as_ref()?.io.clone()));
    row("Clock", &|system| Some(format!("{} MHz", significant(system.facts.as_ref()?.clock_mhz))));
    row("Latency", &|system| {
        let facts = system.facts.as_ref()?;
        Some(format!("{} cycles, {} ns", count_of(facts.latency_cycles), plain_ns(facts.latency_s)))
    });
    row("Interval between frames", &|system| {
        let cycles = system.facts.as_ref()?.interval_cycles;
        Some(format!("{} {}", count_of(cycles), if cycles == 1 { "cycle" } else { "cycles" }))
    });
    row("Design fingerprint", &|system| Some(short(&system.fingerprint).to_owned()));
    table.filled()
}

/// A number with thousands separated, where an index can be that large.
fn count_of(value: u64) -> String {
    usize::try_from(value).map_or_else(|_| value.to_string(), grouped)
}

/// Nanoseconds, no more digits than needed.
fn plain_ns(seconds: f64) -> String {
    let ns = seconds * 1e9;
    if (ns - ns.round()).abs() < 1e-6 { whole(ns) } else { significant(ns) }
}

/// For every ranking, what it costs to remove given shares of the rise.
pub(super) fn milestones(comparison: &Comparison) -> Option<Table> {
    let caption = "Least area added, in % of the accelerator, that removes this share of the summed error rise (–: never; empty: not asked)";
    let has_several =
        |system: &System| system.sweeps.iter().any(|sweep| sweep.technology != system.sweeps[0].technology);
    let names_technology = comparison.systems.iter().any(has_several);
    let names: &[&str] = if names_technology { &["System", "Technology", "Ranking"] } else { &["System", "Ranking"] };
    let targets = || comparison.systems.iter().flat_map(|system| &system.sweeps).flat_map(|sweep| &sweep.targets);
    let mut shares: Vec<f64> = targets().map(|target| target.share).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    let columns: Vec<String> = shares.iter().map(|share| share_text(*share)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(caption, names, &columns);
    for system in &comparison.systems {
        for (number, sweep) in system.sweeps.iter().enumerate() {
            for line in sweep.targets.chunk_by(|a, b| a.ranking == b.ranking) {
                let needed = |share: &f64| {
                    let target = line.iter().find(|target| target.share == *share);
                    target.map_or(String::new(), |target| hundredths(target.share_of_accelerator, 2))
                };
                let mut cells = vec![system.label.clone()];
                cells.extend(names_technology.then(|| sweep.technology.clone()));
                cells.push(sweep_label(system, number, &line[0].ranking));
                table.row(cells.into_iter().chain(shares.iter().map(needed)));
            }
        }
    }
    table.filled()
}

/// Totals of the maps by array.
pub(super) fn arrays(comparison: &Comparison) -> Option<Table> {
    let columns = [
        "Registers",
        "Bits each",
        "Bits flipped",
        "Sensitive",
        "% sensitive",
        "Summed rise",
        "% of all",
        "Largest rise",
        "~at",
    ];
    let is_whole = comparison.systems.iter().filter_map(|system| system.map.as_ref()).all(is_whole);
    let caption = if is_whole {
        "Totals of the maps by array"
    } else {
        "Totals of the maps by array, as far as flipped: registers with a bit flipped (widths only where all their bits were)"
    };
    let mut table = Table::new(caption, &["System", "Array"], &columns);
    for system in &comparison.systems {
        if let Some(map) = &system.map {
            array_rows(&mut table, system, map);
        }
    }
    table.filled()
}

/// Whether every cell of a map was flipped, so that nothing says that there are others.
fn is_whole(map: &BitMap) -> bool {
    map.rises.iter().all(Option::is_some)
}

fn array_rows(table: &mut Table, system: &System, map: &BitMap) {
    let sum = |rises: &[Option<f32>]| rises.iter().flatten().map(|rise| f64::from(*rise)).sum::<f64>();
    let all = sum(&map.rises);
    let mut rest = map.rises.as_slice();
    for array in &map.arrays {
        let (bits, others) = rest.split_at((array.registers * array.width).min(rest.len()));
        rest = others;
        let name = format!("{}.{}", array.layer, array.tensor);
        let flipped = bits.iter().flatten().count();
        let sensitive = bits.iter().flatten().filter(|rise| **rise > 0.0).count();
        let known = bits.iter().enumerate().filter_map(|(place, rise)| Some((place, (*rise)?)));
        let largest = known.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        let rise = sum(bits);
        let has_any = |register: &&[Option<f32>]| register.iter().any(Option::is_some);
        let registers = bits.chunks(array.width.max(1)).filter(has_any).count();
        table.row([
            system.label.clone(),
            name.clone(),
            grouped(registers),
            if flipped == bits.len() && flipped > 0 { grouped(array.width) } else { NONE.to_owned() },
            grouped(flipped),
            grouped(sensitive),
            share(sensitive, flipped),
            number((flipped > 0).then_some(rise)),
            hundredths((flipped > 0 && all > 0.0).then_some(rise / all), 1),
            number(largest.map(|(_, rise)| f64::from(rise))),
            largest.map_or(NONE.to_owned(), |(place, _)| {
                format!("{name}[{}].bit[{}]", place / array.width, place % array.width)
            }),
        ]);
    }
}

/// A part of a number, in percent.
fn share(part: usize, all: usize) -> String {
    hundredths((all > 0).then(|| cast::f64_from_count(part) / cast::f64_from_count(all.max(1))), 1)
}

/// What is among the first bits of every ranking.
pub(super) fn curves(comparison: &Comparison) -> Option<Table> {
    let columns = ["Area under the curve, oracle = 1", "% in the first 1 %", "5 %", "10 %", "20 %", "50 %"];
    let caption = "Share of the summed error rise, in %, among the first bits of a ranking";
    let mut table = Table::new(caption, &["System", "Ranking"], &columns);
    for system in &comparison.systems {
        for (number, curve) in system.curves.iter().enumerate() {
            let at = |bits: &f64| hundredths(between(&curve.bits, &curve.rise, *bits), 1);
            let names = [system.label.clone(), curve_label(system, number)];
            let area = curve.area.map_or(NONE.to_owned(), |area| fixed(area, 4));
            table.row(names.into_iter().chain([area]).chain(FIRST_BITS.iter().map(at)));
        }
    }
    table.filled()
}

/// A curve at `x`, straight between its points.
fn between(xs: &[f64], ys: &[f64], x: f64) -> Option<f64> {
    let after = xs.iter().position(|known| *known >= x)?;
    let (right, above) = (xs[after], *ys.get(after)?);
    let Some(before) = after.checked_sub(1).filter(|_| right > x) else { return Some(above) };
    let along = (x - xs[before]) / (right - xs[before]);
    Some(ys[before] + along * (above - ys[before]))
}

/// Sensitive bits and rise by position.
pub(super) fn positions(comparison: &Comparison) -> Option<Table> {
    let columns = ["Bits flipped", "Sensitive", "% sensitive", "Summed rise", "% of all"];
    let mut table = Table::new("By bit position; 0 is the most significant bit", &["System", "Bit"], &columns);
    for system in &comparison.systems {
        let all: f64 = system.positions.iter().map(|entry| entry.rise).sum();
        for entry in &system.positions {
            table.row([
                system.label.clone(),
                entry.bit.to_string(),
                grouped(entry.bits),
                grouped(entry.sensitive),
                share(entry.sensitive, entry.bits),
                significant(entry.rise),
                hundredths((all > 0.0).then_some(entry.rise / all), 1),
            ]);
        }
    }
    table.filled()
}

/// Means of missions, a table per environment and length.
pub(super) fn missions(comparison: &Comparison) -> Vec<Option<Table>> {
    let tables = comparison
        .systems
        .iter()
        .flat_map(|system| mission_sets(system).into_iter().map(|set| mission_table(system, &set)));
    tables.map(Table::filled).collect()
}

fn mission_table(system: &System, set: &MissionSet) -> Table {
    let others = [
        "Missions",
        "Protected bits",
        "Strikes per mission",
        "Wrong outputs, %",
        "its interval, %",
        "Error rise",
        "its interval",
        "First wrong output after",
        "Confidence, %",
    ];
    let caption =
        format!("{}; those without a wrong output count with their length (>: no mission saw one)", set.title(system));
    let mut table = Table::new(caption, &["Scenario"], &others);
    for (mission, label) in set.members.iter().zip(mission_labels(&set.members)) {
        table.plain_row([
            label,
            grouped(mission.replicas),
            grouped(mission.protected_bits),
            number(Some(mission.strikes.mean)),
            number(Some(mission.wrong_share.mean * 100.0)),
            interval(mission.wrong_share.interval.map(|ends| ends.map(|end| end * 100.0))),
            number(Some(mission.error_rise.mean)),
            interval(mission.error_rise.interval),
            mission
                .first_wrong_at_least_s
                .map_or_else(|| duration(mission.first_wrong_s.mean), |at_least| format!("> {}", duration(at_least))),
            hundredths(Some(mission.confidence), 1),
        ]);
    }
    table
}

/// Losses and their spectrum.
pub(super) fn analyses(comparison: &Comparison) -> Option<Table> {
    let others = ["Events", "Mean loss", "Length of the gradient", "Eigenvalues of largest magnitude"];
    let mut table =
        Table::new("Loss, gradient and Hessian with respect to the registers", &["System", "Loss"], &others);
    for system in &comparison.systems {
        for entry in &system.analyses {
            let eigenvalues: Vec<String> = entry.eigenvalues.iter().copied().map(significant).collect();
            table.row([
                system.label.clone(),
                entry.loss.clone(),
                grouped(entry.events),
                significant(entry.mean_loss),
                significant(entry.gradient_norm),
                if eigenvalues.is_empty() { NONE.to_owned() } else { eigenvalues.join(", ") },
            ]);
        }
    }
    table.filled()
}

/// Traces of the Hessian by layer.
pub(super) fn traces(comparison: &Comparison) -> Option<Table> {
    let mut table = Table::new("Trace of the Hessian by layer", &["System", "Loss", "Layer"], &["Trace"]);
    for system in &comparison.systems {
        for entry in &system.analyses {
            for (layer, trace) in &entry.traces {
                table.row([system.label.clone(), entry.loss.clone(), layer.clone(), significant(*trace)]);
            }
        }
    }
    table.filled()
}

/// Predicted and observed, a table per sweep that was verified.
pub(super) fn verified(comparison: &Comparison) -> Vec<Option<Table>> {
    sweeps(comparison, |system, number, title| {
        let missions = system.sweeps[number].points.iter().map(|row| mission(&row.point));
        let has_clusters = missions.into_iter().any(|mission| float(mission, WITH_CLUSTERS).is_some());
        let mut others = vec!["Cells flipped", "Read wrong", "Rise left, predicted", "by exhaustive flips", "~Equal"];
        others.extend(["Mission rise, predicted", "observed", "its interval", "~Inside"]);
        others.extend(has_clusters.then_some(["predicted with clusters", "~Inside"]).into_iter().flatten());
        others.extend(["% removed, observed", "its interval"]);
        let caption = format!("{title}: predicted, and found by injection");
        let mut table = Table::new(caption, &["Ranking", "Budget"], &others);
        for SweepRow { point, .. } in &system.sweeps[number].points {
            let names = [sweep_label(system, number, &point.ranking), point.budget.clone()];
            if let Some(found) = &point.verified {
                table.row(names.into_iter().chain(verified_cells(point, found, has_clusters)));
            }
        }
        table
    })
}

/// What missions of a point's plan showed.
fn mission(point: &PointForm) -> &Value {
    point.verified.as_ref().and_then(|found| found.get("mission")).unwrap_or(&Value::Null)
}

fn verified_cells(point: &PointForm, found: &Value, has_clusters: bool) -> Vec<String> {
    let mission = mission(point);
    let percent = |name: &str| float(mission, name).map(|share| share * 100.0);
    let mut cells = vec![
        count(found, "cells"),
        count(found, "read_wrong"),
        significant(point.rise_remaining),
        number(float(found, "rise_remaining")),
        yes_or_no(found, "exhaustive_equal"),
        number(float(mission, "predicted_rise")),
        number(float(mission, "observed_rise")),
        interval(ends(float(mission, "low"), float(mission, "high"))),
        yes_or_no(mission, "inside"),
    ];
    if has_clusters {
        cells.push(number(float(mission, WITH_CLUSTERS)));
        cells.push(yes_or_no(mission, "inside_with_clusters"));
    }
    cells.push(number(percent("removed")));
    cells.push(interval(ends(percent("removed_low"), percent("removed_high"))));
    cells
}

/// A table per sweep, titled with what is common to its points.
fn sweeps(comparison: &Comparison, table: impl Fn(&System, usize, &str) -> Table) -> Vec<Option<Table>> {
    let mut tables = Vec::new();
    for system in &comparison.systems {
        for (number, sweep) in system.sweeps.iter().enumerate() {
            let title = sweep.title(system);
            tables.push(table(system, number, &title).filled());
        }
    }
    tables
}

fn float(object: &Value, name: &str) -> Option<f64> {
    object.get(name)?.as_f64()
}

fn ends(low: Option<f64>, high: Option<f64>) -> Option<[f64; 2]> {
    Some([low?, high?])
}

fn count(object: &Value, name: &str) -> String {
    let value = object.get(name).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
    value.map_or(NONE.to_owned(), grouped)
}

fn yes_or_no(object: &Value, name: &str) -> String {
    match object.get(name).and_then(Value::as_bool) {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => NONE.to_owned(),
    }
}

/// Every point, a table per sweep.
pub(super) fn points(comparison: &Comparison) -> Vec<Option<Table>> {
    sweeps(comparison, |system, number, title| {
        let area = format!("Area added, {}", system.sweeps[number].unit);
        let is_planned = |row: &SweepRow| row.point.planning.is_some();
        let planned = system.sweeps[number].points.iter().any(is_planned);
        let mut others = vec![
            "~Protection",
            "Bits protected",
            &area,
            "% of registers",
            "% of accelerator",
            "Rise left",
            "% removed",
            "Behind the best choice, %",
            "Sensitive left",
            "Rise per upset",
            "~On the front",
            "~Plan",
        ];
        others.extend(planned.then_some(["~Planned by", "May miss, %"]).into_iter().flatten());
        let mut table =
            Table::new(format!("{title}: every ranking or plan at every budget"), &["Ranking", "Budget"], &others);
        for SweepRow { point, is_on_front } in &system.sweeps[number].points {
            let mut cells = vec![
                sweep_label(system, number, &point.ranking),
                point.budget.clone(),
                point.protection.clone(),
                grouped(point.bits_protected),
                whole(point.area_added),
                hundredths(Some(point.share_of_registers), 2),
                hundredths(Some(point.share_of_accelerator), 3),
                significant(point.rise_remaining),
                hundredths(point.share_removed, 2),
                hundredths(point.price, 2),
                grouped(point.sensitive_remaining),
                significant(point.mean_rise_per_upset),
                if *is_on_front { "yes" } else { "no" }.to_owned(),
                point.plan.clone().unwrap_or(NONE.to_owned()),
            ];
            if planned {
                let planning = point.planning.as_ref();
                cells.push(planning.map_or(NONE.to_owned(), |planning| planning.method.clone()));
                cells.push(hundredths(planning.map(|planning| planning.gap), 4));
            }
            table.row(cells);
        }
        table
    })
}
