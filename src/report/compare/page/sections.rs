//! The page's sections, in their order; those without data are left out.

use serde::Serialize;

use super::super::labels::{Lines, MissionSet, mission_sets};
use super::super::{BitMap, Comparison, Source, System};
use super::data::{drawn_map, tradeoffs};
use super::table::Table;
use super::tables;
use crate::num::cast;
use crate::report::simulate::duration;
use crate::report::{grouped, percent};

/// A section: its words are in the template.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    id: &'static str,
    title: &'static str,
    figures: Vec<Figure>,
    tables: Vec<Table>,
    /// Whether its tables are long and open on demand.
    is_folded: bool,
}

/// Where a chart or map goes.
#[derive(Debug, Serialize)]
struct Figure {
    /// What the script draws.
    kind: &'static str,
    /// Number of the system.
    system: usize,
    /// Number among the system's figures of the kind.
    part: usize,
    title: String,
    /// What it shows, for those who do not see it.
    description: String,
}

/// How a result came to be.
#[derive(Debug, Serialize)]
pub(super) struct SourceView {
    path: String,
    verb: String,
    /// What is known, by name.
    facts: Vec<(&'static str, String)>,
    command: String,
    /// Files read, with their SHA-256.
    inputs: Vec<(String, String)>,
}

/// All sections that have something to show.
pub(super) fn sections(comparison: &Comparison) -> Vec<Section> {
    let section = |id, title, figures, tables: Vec<Option<Table>>| Section {
        id,
        title,
        figures,
        tables: tables.into_iter().flatten().collect(),
        is_folded: false,
    };
    let all = vec![
        section("systems", "Systems", Vec::new(), vec![tables::summary(comparison)]),
        section(
            "tradeoff",
            "Area against remaining risk",
            figures(comparison, tradeoff),
            vec![tables::milestones(comparison)],
        ),
        section("map", "Error rise of every bit", figures(comparison, map), vec![tables::arrays(comparison)]),
        section(
            "curves",
            "Rise among the first bits of a ranking",
            figures(comparison, curves),
            vec![tables::curves(comparison)],
        ),
        section(
            "positions",
            "Sensitive bits by position",
            figures(comparison, positions),
            vec![tables::positions(comparison)],
        ),
        section("missions", "Missions", figures(comparison, missions), tables::missions(comparison)),
        section(
            "derivatives",
            "Derivatives",
            Vec::new(),
            vec![tables::analyses(comparison), tables::traces(comparison)],
        ),
        section("verification", "Verification by injection", Vec::new(), tables::verified(comparison)),
        Section {
            is_folded: true,
            ..section("points", "All points of the sweeps", Vec::new(), tables::points(comparison))
        },
    ];
    all.into_iter().filter(|section| !section.figures.is_empty() || !section.tables.is_empty()).collect()
}

fn figures(comparison: &Comparison, of: impl Fn(usize, &System) -> Vec<Figure>) -> Vec<Figure> {
    comparison.systems.iter().enumerate().flat_map(|(number, system)| of(number, system)).collect()
}

fn tradeoff(number: usize, system: &System) -> Vec<Figure> {
    let figure = |(part, technology): (usize, &str)| Figure {
        kind: "tradeoff",
        system: number,
        part,
        title: format!("{}, {technology}", system.label),
        description: format!(
            "Line chart: area added against the share of the summed error rise that remains, a line per ranking or planner, of {} on \
             {technology}. The table below has the area that it takes to remove a share of the rise, the last table every point.",
            system.label
        ),
    };
    tradeoffs(system, &mut Lines::default())
        .iter()
        .map(|tradeoff| tradeoff.technology)
        .enumerate()
        .map(figure)
        .collect()
}

fn map(number: usize, system: &System) -> Vec<Figure> {
    let figure = |map: &BitMap| Figure {
        kind: "map",
        system: number,
        part: 0,
        title: map_title(system, map),
        description: format!(
            "Map of the error rise of every bit of {}. Arrow keys move from bit to bit and are read out; plus and minus zoom; 0 \
             shows the whole map. The table below has totals by array.",
            system.label
        ),
    };
    drawn_map(system).into_iter().map(figure).collect()
}

/// What is in a map: all bits of registers, or as many as were flipped.
fn map_title(system: &System, map: &BitMap) -> String {
    let flipped = grouped(map.rises.iter().flatten().count());
    if let Some(file) = system.bits.as_ref().and_then(|bits| bits.listed_in.as_ref()) {
        // They may be the leading bits of every register, which leaves no gap in the map.
        format!("{}: {flipped} bits, those that {file} lists; registers and widths as far as flipped", system.label)
    } else if map.rises.iter().all(Option::is_some) {
        let registers = grouped(map.arrays.iter().map(|array| array.registers).sum());
        format!("{}: {flipped} bits of {registers} registers", system.label)
    } else {
        format!("{}: {flipped} bits, registers and widths as far as flipped", system.label)
    }
}

fn curves(number: usize, system: &System) -> Vec<Figure> {
    let figure = Figure {
        kind: "curves",
        system: number,
        part: 0,
        title: system.label.clone(),
        description: format!(
            "Line chart: share of the bits against the share of the summed error rise among them, a line per ranking, of {}. The \
             table below has the shares among the first 1 to 50 %.",
            system.label
        ),
    };
    if system.curves.is_empty() { Vec::new() } else { vec![figure] }
}

fn positions(number: usize, system: &System) -> Vec<Figure> {
    let figure = Figure {
        kind: "positions",
        system: number,
        part: 0,
        title: system.label.clone(),
        description: format!(
            "Bar chart: sensitive and other bits by bit position, of {}. The table below has the numbers.",
            system.label
        ),
    };
    if system.positions.is_empty() { Vec::new() } else { vec![figure] }
}

fn missions(number: usize, system: &System) -> Vec<Figure> {
    let sets = mission_sets(system);
    let figure = |(part, group): (usize, &MissionSet)| Figure {
        kind: "missions",
        system: number,
        part,
        title: format!("{}: {}, {}", system.label, group.environment, duration(group.mission_s)),
        description: format!(
            "Line chart: error rise, or share of wrong outputs, over the time of a mission, a line per scenario, of {} in {}. The \
             table below has the means over the whole mission.",
            system.label, group.environment
        ),
    };
    sets.iter().enumerate().map(figure).collect()
}

/// How every result came to be.
pub(super) fn sources(comparison: &Comparison) -> Vec<SourceView> {
    comparison.sources.iter().map(SourceView::new).collect()
}

impl SourceView {
    fn new(source: &Source) -> Self {
        let provenance = &source.provenance;
        let seeds: Vec<String> = provenance.seeds.iter().map(|(purpose, seed)| format!("{purpose} {seed}")).collect();
        let mut facts = vec![
            ("System", source.system.clone()),
            ("Design", provenance.design_name.clone()),
            ("Version", format!("trivote {}", provenance.trivote)),
            ("Seeds", if seeds.is_empty() { "none".to_owned() } else { seeds.join(", ") }),
            ("Design fingerprint", provenance.design.clone()),
        ];
        facts.extend(provenance.events.clone().map(|events| ("Events fingerprint", events)));
        let words: Vec<String> = provenance.command.iter().map(|word| shell_word(word)).collect();
        Self {
            path: source.path.clone(),
            verb: source.verb.clone(),
            facts,
            command: words.join(" "),
            inputs: provenance.inputs.clone(),
        }
    }
}

/// A word as a shell reads it back.
fn shell_word(word: &str) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./:,=%+@".contains(sign);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Share of sensitive bits in words.
pub(super) fn sensitive_share(sensitive: usize, bits: usize) -> String {
    let share = cast::f64_from_count(sensitive) / cast::f64_from_count(bits.max(1));
    format!("{} ({})", grouped(sensitive), percent(share, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(["sweep", "1:1", "", "a b", "it's"].map(shell_word), ["sweep", "1:1", "''", "'a b'", r"'it'\''s'"]);
    }
}
