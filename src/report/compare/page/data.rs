//! What the page's script draws from.

use serde::Serialize;

use super::super::labels::{Line, Lines, MissionSet, curve_label, mission_labels, mission_sets, sweep_label};
use super::super::{BitMap, Comparison, Curve, MapArray, MeanEntry, MissionEntry, PositionEntry, SweepRow, System};
use super::{encode, tables};

/// Data of all charts and maps.
#[derive(Debug, Serialize)]
pub(super) struct PageData<'a> {
    lines: Vec<Line>,
    systems: Vec<SystemData<'a>>,
}

#[derive(Debug, Serialize)]
struct SystemData<'a> {
    label: &'a str,
    /// Unit of error rises.
    metric: &'a str,
    tradeoffs: Vec<Tradeoff<'a>>,
    map: Option<MapData<'a>>,
    curves: Vec<CurveData>,
    positions: &'a [PositionEntry],
    missions: Vec<MissionGroup<'a>>,
}

/// Sweeps of a technology: their areas can be compared.
#[derive(Debug, Serialize)]
pub(super) struct Tradeoff<'a> {
    pub(super) technology: &'a str,
    unit: &'a str,
    lines: Vec<TradeoffLine<'a>>,
}

#[derive(Debug, Serialize)]
struct TradeoffLine<'a> {
    line: usize,
    points: Vec<&'a SweepRow>,
}

#[derive(Debug, Serialize)]
struct MapData<'a> {
    arrays: &'a [MapArray],
    /// Base64 of binary32, in the order of the bits.
    rises: String,
}

#[derive(Debug, Serialize)]
struct CurveData {
    line: usize,
    bits: Vec<f64>,
    rise: Vec<f64>,
}

/// Missions that share a time axis.
#[derive(Debug, Serialize)]
struct MissionGroup<'a> {
    environment: &'a str,
    mission_s: f64,
    scenarios: Vec<Scenario<'a>>,
}

#[derive(Debug, Serialize)]
struct Scenario<'a> {
    label: String,
    replicas: usize,
    confidence: f64,
    times_s: &'a [f64],
    error_rise: &'a [MeanEntry],
    wrong_share: &'a [MeanEntry],
}

impl<'a> PageData<'a> {
    /// What the charts of a comparison need.
    pub(super) fn new(comparison: &'a Comparison) -> Self {
        let mut lines = Lines::default();
        let systems = comparison.systems.iter().map(|system| SystemData::new(system, &mut lines)).collect();
        Self { lines: lines.0, systems }
    }
}

impl<'a> SystemData<'a> {
    fn new(system: &'a System, lines: &mut Lines) -> Self {
        let map = drawn_map(system);
        let curve = |(number, curve): (usize, &Curve)| CurveData {
            line: lines.of(&curve.ranking, curve_label(system, number)),
            bits: curve.bits.iter().copied().map(encode::rounded).collect(),
            rise: curve.rise.iter().copied().map(encode::rounded).collect(),
        };
        let curves = system.curves.iter().enumerate().map(curve).collect();
        Self {
            label: &system.label,
            metric: tables::metric(system),
            tradeoffs: tradeoffs(system, lines),
            map: map.map(|map| MapData { arrays: &map.arrays, rises: encode::base64_f32(&map.rises) }),
            curves,
            positions: &system.positions,
            missions: mission_sets(system).iter().map(MissionGroup::new).collect(),
        }
    }
}

/// The map of a system, unless it has no bit.
pub(super) fn drawn_map(system: &System) -> Option<&BitMap> {
    system.map.as_ref().filter(|map| !map.rises.is_empty())
}

/// Sweeps of a system by technology, in the order in which they first come up.
pub(super) fn tradeoffs<'a>(system: &'a System, lines: &mut Lines) -> Vec<Tradeoff<'a>> {
    let mut found: Vec<Tradeoff<'a>> = Vec::new();
    for (number, sweep) in system.sweeps.iter().enumerate() {
        let known = found.iter().position(|tradeoff| tradeoff.technology == sweep.technology);
        let place = known.unwrap_or_else(|| {
            found.push(Tradeoff { technology: &sweep.technology, unit: &sweep.unit, lines: Vec::new() });
            found.len() - 1
        });
        for row in &sweep.points {
            let ranking = &row.point.ranking;
            let line = lines.of(ranking, sweep_label(system, number, ranking));
            let of_technology = &mut found[place].lines;
            match of_technology.iter_mut().find(|known| known.line == line) {
                Some(known) => known.points.push(row),
                None => of_technology.push(TradeoffLine { line, points: vec![row] }),
            }
        }
    }
    for line in found.iter_mut().flat_map(|tradeoff| &mut tradeoff.lines) {
        line.points.sort_by(|a, b| a.point.area_added.total_cmp(&b.point.area_added));
    }
    found
}

impl<'a> MissionGroup<'a> {
    fn new(set: &MissionSet<'a>) -> Self {
        let scenario = |(mission, label): (&&'a MissionEntry, String)| Scenario {
            label,
            replicas: mission.replicas,
            confidence: mission.confidence,
            times_s: &mission.times_s,
            error_rise: &mission.error_rise_by_time,
            wrong_share: &mission.wrong_share_by_time,
        };
        let scenarios = set.members.iter().zip(mission_labels(&set.members)).map(scenario).collect();
        Self { environment: set.environment, mission_s: set.mission_s, scenarios }
    }
}
