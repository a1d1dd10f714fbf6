//! What lines and rows are called, on the page and in the shell: rankings with what else tells them apart, and missions.

use serde::Serialize;

use super::{MissionEntry, SweepEntry, System};
use crate::report::simulate::duration;

/// A line that may occur in several charts and looks the same in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// What it is called.
    pub(super) label: String,
    /// Its ranking, which gives the color.
    pub(super) ranking: String,
    /// Number among lines of the ranking, which gives the dashes.
    pub(super) variant: usize,
}

/// All lines of a page, in the order in which they first come up.
#[derive(Debug, Default)]
pub(super) struct Lines(pub(super) Vec<Line>);

impl Lines {
    /// Number of the line of a ranking with this label.
    pub(super) fn of(&mut self, ranking: &str, label: String) -> usize {
        if let Some(known) = self.0.iter().position(|line| line.label == label) {
            return known;
        }
        let variant = self.0.iter().filter(|line| line.ranking == ranking).count();
        self.0.push(Line { label, ranking: ranking.to_owned(), variant });
        self.0.len() - 1
    }
}

/// Protection of a point where nothing is protected.
const UNPROTECTED: &str = "none";

/// What a ranking of a sweep is called: the ranking; where styles of rankings differ in the system also that; where both are
/// in several sweeps of a technology also the source.
pub(super) fn sweep_label(system: &System, sweep: usize, ranking: &str) -> String {
    let entry = &system.sweeps[sweep];
    let differs = system.sweeps.iter().any(|other| other.protection != entry.protection);
    let twice = system.sweeps.iter().enumerate().any(|(number, other)| {
        number != sweep
            && (&other.protection, &other.technology) == (&entry.protection, &entry.technology)
            && other.points.iter().any(|row| row.point.ranking == ranking)
    });
    let mut label = ranking.to_owned();
    if differs {
        let mut points = entry.points.iter().map(|row| &row.point).filter(|point| point.ranking == ranking);
        let is_in_style =
            points.all(|point| [entry.protection.as_str(), UNPROTECTED].contains(&point.protection.as_str()));
        let of = if is_in_style { "" } else { "beside rankings in " };
        label = format!("{label} · {of}{}", entry.protection);
    }
    if twice {
        label = format!("{label} · source {}", entry.source + 1);
    }
    label
}

impl SweepEntry {
    /// What is common to its points; where another sweep of the system has the same, also its source.
    pub(super) fn title(&self, system: &System) -> String {
        let is_same = |other: &&Self| (&other.technology, &other.protection) == (&self.technology, &self.protection);
        let source = match system.sweeps.iter().filter(is_same).count() {
            0 | 1 => String::new(),
            _ => format!(", source {}", self.source + 1),
        };
        format!("{} on {}, style of rankings {}{source}", system.label, self.technology, self.protection)
    }
}

/// What the curve of a ranking is called.
pub(super) fn curve_label(system: &System, curve: usize) -> String {
    let entry = &system.curves[curve];
    let twice =
        system.curves.iter().enumerate().any(|(number, other)| number != curve && other.ranking == entry.ranking);
    if twice { format!("{} · source {}", entry.ranking, entry.source + 1) } else { entry.ranking.clone() }
}

/// Missions of a system that can be compared: of one environment and length.
#[derive(Debug, Clone)]
pub(super) struct MissionSet<'a> {
    pub(super) environment: &'a str,
    pub(super) mission_s: f64,
    pub(super) members: Vec<&'a MissionEntry>,
}

/// Missions of a system by environment and length, in the order in which they first come up.
pub(super) fn mission_sets(system: &System) -> Vec<MissionSet<'_>> {
    let mut sets: Vec<MissionSet<'_>> = Vec::new();
    for mission in &system.missions {
        let (environment, mission_s) = (mission.environment.as_str(), mission.mission_s);
        match sets.iter_mut().find(|set| set.environment == environment && set.mission_s == mission_s) {
            Some(set) => set.members.push(mission),
            None => sets.push(MissionSet { environment, mission_s, members: vec![mission] }),
        }
    }
    sets
}

impl MissionSet<'_> {
    /// What it is called: system, environment, cluster sizes where all have the same, length.
    pub(super) fn title(&self, system: &System) -> String {
        let first = self.members[0];
        let clusters = match &first.cluster_sizes {
            Some(sizes) if self.members.iter().all(|mission| mission.cluster_sizes == first.cluster_sizes) => {
                format!(", clusters {sizes}")
            }
            _ => String::new(),
        };
        let Self { environment, mission_s, .. } = self;
        format!("{} in {environment}{clusters}: means over missions of {}", system.label, duration(*mission_s))
    }
}

/// What the missions of a set are called: style and scrub; plan, cluster sizes, events or source where they are needed to tell
/// them apart.
pub(super) fn mission_labels(group: &[&MissionEntry]) -> Vec<String> {
    let has_plan = group.iter().any(|mission| mission.plan.is_some());
    let clusters_differ = group.iter().any(|mission| mission.cluster_sizes != group[0].cluster_sizes);
    let label = |mission: &&MissionEntry| {
        let mut parts = vec![mission.style.clone()];
        if has_plan {
            parts
                .push(mission.plan.as_deref().map_or("no plan".to_owned(), |plan| format!("plan {}", file_name(plan))));
        }
        parts.push(if mission.scrub == "none" { "no scrub".to_owned() } else { format!("scrub {}", mission.scrub) });
        if clusters_differ {
            parts.push(format!("clusters {}", mission.cluster_sizes.as_deref().unwrap_or("none")));
        }
        parts.join(", ")
    };
    let labels: Vec<String> = group.iter().map(label).collect();
    let unique = |number: usize| {
        let label = &labels[number];
        let twice = labels.iter().filter(|other| *other == label).count() > 1;
        if twice { format!("{label}, source {}", group[number].source + 1) } else { label.clone() }
    };
    (0..labels.len()).map(unique).collect()
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}
