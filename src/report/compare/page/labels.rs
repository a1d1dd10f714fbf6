//! What lines of charts are called: rankings with what else tells them apart, and missions.

use serde::Serialize;

use super::super::{MissionEntry, System};

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

/// What a ranking of a sweep is called: the ranking; where protections differ in the system also that; where both are in
/// several sweeps of a technology also the source.
pub(super) fn sweep_label(system: &System, sweep: usize, ranking: &str) -> String {
    let entry = &system.sweeps[sweep];
    let differs = system.sweeps.iter().any(|other| other.protection != entry.protection);
    let twice = system.sweeps.iter().enumerate().any(|(number, other)| {
        number != sweep
            && (&other.protection, &other.technology) == (&entry.protection, &entry.technology)
            && other.points.iter().any(|point| point.ranking == ranking)
    });
    let mut label = ranking.to_owned();
    if differs {
        label = format!("{label} · {}", entry.protection);
    }
    if twice {
        label = format!("{label} · source {}", entry.source + 1);
    }
    label
}

/// What the curve of a ranking is called.
pub(super) fn curve_label(system: &System, curve: usize) -> String {
    let entry = &system.curves[curve];
    let twice =
        system.curves.iter().enumerate().any(|(number, other)| number != curve && other.ranking == entry.ranking);
    if twice { format!("{} · source {}", entry.ranking, entry.source + 1) } else { entry.ranking.clone() }
}

/// What the missions of a group are called: style and scrub; plan, cluster sizes, events or source where they are needed to tell
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
