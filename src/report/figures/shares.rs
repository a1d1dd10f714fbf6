//! The share of sensitive bits against size and against error (Fig. 4 of the FKeras paper), a point per design.
//!
//! The table is collected over runs: each brings the row of its design and keeps the others'. What may not be compared (other
//! errors, kinds or numbers of events, or kinds of bits) is drawn apart.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::axis::{Panel, Spacing, TEXT_SIZE, Unit, widened};
use super::canvas::{Anchor, Area, Canvas, GRAY, Label, fitted, text_width};
use super::palette::series;
use super::{BitSet, Figure, FigureError, FigureInput};
use crate::num::cast;
use crate::report::error_unit::ErrorUnit;
use crate::report::{grouped, percent};

/// Name of the files, without ending.
pub(super) const NAME: &str = "sensitive_share";

const WIDTH: f64 = 1400.0;
const COLUMNS: [&str; 10] = [
    "design",
    "metric",
    "event_kind",
    "events",
    "bit_set",
    "bits",
    "sensitive_bits",
    "sensitive_share",
    "summed_rise",
    "fault_free_error",
];

/// The columns before kinds of events and bits were told apart.
const EARLIER_COLUMNS: [&str; 8] =
    ["design", "metric", "events", "bits", "sensitive_bits", "sensitive_share", "summed_rise", "fault_free_error"];

/// A design in the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ShareRow {
    design: String,
    metric: String,
    event_kind: String,
    events: usize,
    bit_set: BitSet,
    bits: usize,
    sensitive_bits: usize,
    sensitive_share: f64,
    summed_rise: f64,
    fault_free_error: f64,
}

impl ShareRow {
    /// The row of a design that has bits; none where these are of a list, whose share says nothing of the design.
    pub(super) fn of(input: &FigureInput) -> Option<Self> {
        let (bits, sensitive_bits) = (input.rises.len(), input.rises.iter().filter(|rise| **rise > 0.0).count());
        (input.bit_set != BitSet::Listed).then(|| Self {
            design: input.design.to_owned(),
            metric: input.metric.to_owned(),
            event_kind: input.event_kind.to_owned(),
            events: input.events,
            bit_set: input.bit_set,
            bits,
            sensitive_bits,
            sensitive_share: cast::f64_from_count(sensitive_bits) / cast::f64_from_count(bits),
            summed_rise: input.rises.iter().sum(),
            fault_free_error: input.golden_mean,
        })
    }

    /// What must be the same for shares to be compared: metric, kind of events, kind of bits, number of events.
    fn group(&self) -> (&str, &str, BitSet, usize) {
        (&self.metric, &self.event_kind, self.bit_set, self.events)
    }

    /// Whether this answers what `other` did: a later run replaces it, also with other numbers of events.
    fn replaces(&self, other: &Self) -> bool {
        let question = |row: &Self| (row.design.clone(), row.metric.clone(), row.event_kind.clone(), row.bit_set);
        question(self) == question(other)
    }
}

/// The figure of `row` and of what else is in the table `earlier`.
///
/// # Errors
/// When `earlier` is not such a table.
pub(super) fn figure(row: ShareRow, earlier: Option<&[u8]>) -> Result<Figure, FigureError> {
    let mut rows = earlier.map(read).transpose()?.unwrap_or_default();
    rows.retain(|known| !row.replaces(known));
    rows.push(row);
    // Small designs first, so the order of the runs does not matter.
    rows.sort_by(|a, b| (a.group(), a.bits, &a.design).cmp(&(b.group(), b.bits, &b.design)));
    Ok(Figure { csv: csv(&rows), picture: picture(&rows) })
}

/// Reads such a table.
///
/// # Errors
/// When it is none, or an earlier version's.
pub(super) fn read(text: &[u8]) -> Result<Vec<ShareRow>, FigureError> {
    let file = || format!("{NAME}.csv");
    let foreign = |reason: String| FigureError::Foreign { file: file(), reason };
    let mut reader = csv::Reader::from_reader(text);
    let header = reader.headers().map_err(|error| foreign(error.to_string()))?.clone();
    if header.iter().eq(EARLIER_COLUMNS) {
        let designs = reader.records().flatten().filter_map(|row| row.get(0).map(str::to_owned)).collect();
        return Err(FigureError::Earlier { file: file(), designs });
    }
    if header.iter().ne(COLUMNS) {
        return Err(foreign(format!("its columns are not {}", COLUMNS.join(","))));
    }
    let mut rows = Vec::new();
    for (position, row) in reader.deserialize().enumerate() {
        let line = position + 2;
        let row: ShareRow = row.map_err(|error| foreign(format!("line {line}: {error}")))?;
        let share = cast::f64_from_count(row.sensitive_bits) / cast::f64_from_count(row.bits);
        if row.bits == 0
            || share != row.sensitive_share
            || !(row.summed_rise.is_finite() && row.fault_free_error.is_finite())
        {
            return Err(foreign(format!("line {line}: its numbers are not those of a design")));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn csv(rows: &[ShareRow]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("a row can be written to memory");
    }
    let bytes = writer.into_inner().expect("a table can be written to memory");
    String::from_utf8(bytes).expect("names and numbers are text")
}

/// Two panels for each group of designs that may be compared; `rows` are sorted by group.
fn picture(rows: &[ShareRow]) -> super::Picture {
    const TOP: f64 = 96.0;
    let groups: Vec<&[ShareRow]> = rows.chunk_by(|a, b| a.group() == b.group()).collect();
    let height = if groups.len() == 1 { 390.0 } else { 270.0 };
    // A line that says what the panels are of, the panels, and their axes.
    let block = 44.0 + height + 92.0;
    let mut canvas = Canvas::new(WIDTH, TOP + block * cast::f64_from_count(groups.len()));
    let title = "Share of sensitive bits against size and fault-free error";
    canvas.label(Label::new(24.0, 40.0, 24, title));
    let apart = if groups.len() == 1 { "" } else { "; what may not be compared is drawn apart" };
    canvas.label(Label::new(24.0, 68.0, TEXT_SIZE, format!("a point per design{apart}")).color(GRAY));
    let mut description = format!("Scatter plots, a point per design{apart}. ");
    let mut write = |text: std::fmt::Arguments| description.write_fmt(text).expect("text can be written to a string");
    for (number, group) in groups.iter().enumerate() {
        let top = TOP + block * cast::f64_from_count(number);
        let heading = heading(&group[0]);
        canvas.label(Label::new(24.0, top + 12.0, TEXT_SIZE, fitted(&heading, TEXT_SIZE, WIDTH - 48.0)));
        draw_group(&mut canvas, group, (top + 44.0, height));
        write(format_args!("Two panels of {heading}. "));
        for row in *group {
            let share = percent(row.sensitive_share, 1);
            write(format_args!(
                "{}: {} bits, {share} sensitive, error {}. ",
                row.design, row.bits, row.fault_free_error
            ));
        }
    }
    canvas.finish(title, description.trim_end())
}

/// What a group has in common.
fn heading(row: &ShareRow) -> String {
    let unit = ErrorUnit::new(&row.metric, row.events);
    format!(
        "error: {} on {} events ({}); {}; sensitive: flipping the bit {}",
        row.metric,
        grouped(row.events),
        row.event_kind,
        row.bit_set.words(),
        unit.sensitive()
    )
}

fn draw_group(canvas: &mut Canvas, rows: &[ShareRow], (top, height): (f64, f64)) {
    let y = (Spacing::Linear, Unit::Percent, (0.0, 1.0));
    let sizes = range(rows.iter().map(|row| cast::f64_from_count(row.bits)));
    // A decade at least, so that ticks say how large designs are.
    let room = (10.0 * sizes.0 / sizes.1).sqrt().max(1.6);
    let errors = range(rows.iter().map(|row| row.fault_free_error));
    let counts_mispredictions = ErrorUnit::new(&rows[0].metric, rows[0].events).counts_mispredictions();
    let (unit, error_name) = if counts_mispredictions {
        (Unit::Percent, "fault-free mispredictions".to_owned())
    } else {
        (Unit::Number, format!("fault-free mean error ({})", rows[0].metric))
    };
    let area = |x: f64| Area { x, y: top, width: 560.0, height };
    let by_size = Panel::new(area(112.0), (Spacing::Log, Unit::Number, (sizes.0 / room, sizes.1 * room)), y);
    let by_error = Panel::new(area(806.0), (Spacing::Linear, unit, around(errors)), y);
    by_size.draw(canvas, "bits flipped one at a time (log scale)", "sensitive bits");
    by_error.draw(canvas, &error_name, "");
    let at = |panel: &Panel, x: fn(&ShareRow) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|row| panel.at(x(row), row.sensitive_share)).collect()
    };
    draw_points(canvas, &by_size, rows, &at(&by_size, |row| cast::f64_from_count(row.bits)));
    draw_points(canvas, &by_error, rows, &at(&by_error, |row| row.fault_free_error));
}

/// A range around errors; below zero only where an error is, but for the room that a point on the axis takes.
fn around((low, high): (f64, f64)) -> (f64, f64) {
    let (left, right) = widened(low, high, 0.2);
    if low < 0.0 { (left, right) } else { (left.max(-0.03 * right), right) }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// Points with their names beside them, each where it covers no point and no other name; a name without such a place is
/// left out, it stands in the table.
fn draw_points(canvas: &mut Canvas, panel: &Panel, rows: &[ShareRow], places: &[(f64, f64)]) {
    const RADIUS: f64 = 7.0;
    const SIZE: u32 = 16;
    let box_of = |(x, y): &(f64, f64)| Area { x: x - RADIUS, y: y - RADIUS, width: 2.0 * RADIUS, height: 2.0 * RADIUS };
    let mut taken: Vec<Area> = places.iter().map(box_of).collect();
    for (position, (row, (x, y))) in rows.iter().zip(places).enumerate() {
        canvas.dot((*x, *y), RADIUS, series(position));
        let text = fitted(&row.design, SIZE, 200.0);
        let wide = text_width(&text, SIZE);
        let candidates = [
            (x + RADIUS + 5.0, y - 9.0),
            (x - RADIUS - 5.0 - wide, y - 9.0),
            (x - wide / 2.0, y - RADIUS - 22.0),
            (x - wide / 2.0, y + RADIUS + 4.0),
            (x + RADIUS, y + RADIUS),
            (x - RADIUS - wide, y - RADIUS - 18.0),
        ];
        let boxes = candidates.map(|(x, y)| Area { x, y, width: wide, height: 18.0 });
        let free = boxes.into_iter().find(|place| {
            let inside =
                place.x >= panel.area.x && place.right() <= panel.area.right() && place.y >= panel.area.y - 10.0;
            inside && place.bottom() <= panel.area.bottom() && !taken.iter().any(|other| other.overlaps(place))
        });
        if let Some(place) = free {
            // Widths are rather over-estimated: what stands to the left of its point ends there.
            let (at, anchor) = if place.right() < *x { (place.right(), Anchor::End) } else { (place.x, Anchor::Start) };
            canvas.label(Label::new(at, place.y + 14.0, SIZE, text).anchor(anchor));
            taken.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(design: &str, bits: usize, sensitive_bits: usize) -> ShareRow {
        ShareRow {
            design: design.to_owned(),
            metric: "emd".to_owned(),
            event_kind: "hgcal".to_owned(),
            events: 100,
            bit_set: BitSet::Kernels,
            bits,
            sensitive_bits,
            sensitive_share: cast::f64_from_count(sensitive_bits) / cast::f64_from_count(bits),
            summed_rise: 0.1 + 0.2,
            fault_free_error: 1.0 / 3.0,
        }
    }

    #[test]
    fn designs_are_collected_whatever_the_order_of_runs() {
        let designs = [row("a, \"quoted\"", 300, 7), row("b", 100, 100), row("c", 300, 0)];
        let collect = |order: [usize; 3]| {
            order.iter().fold(None, |table: Option<Figure>, position| {
                let earlier = table.as_ref().map(|figure| figure.csv.as_bytes());
                Some(figure(designs[*position].clone(), earlier).unwrap())
            })
        };
        let all = collect([0, 1, 2]).unwrap();
        assert_eq!(Some(&all), collect([2, 0, 1]).as_ref());
        let names: Vec<String> = read(all.csv.as_bytes()).unwrap().into_iter().map(|row| row.design).collect();
        assert_eq!(names, ["b", "a, \"quoted\"", "c"]);

        let again = figure(row("b", 50, 1), Some(all.csv.as_bytes())).unwrap();
        let rows = read(again.csv.as_bytes()).unwrap();
        assert_eq!(rows, [row("b", 50, 1), designs[0].clone(), designs[2].clone()], "own row replaced, others kept");
    }

    #[test]
    fn a_foreign_table_is_refused() {
        let header = COLUMNS.join(",");
        let cases = [
            ("layer,tensor\nx,kernel\n".to_owned(), "columns"),
            (String::new(), "columns"),
            (format!("{header}\na,emd,hgcal,100,kernels,10,5,0.5,1.0\n"), "line: 2"),
            (format!("{header}\na,emd,hgcal,100,kernels,10,5,0.5,1.0,x\n"), "line 2"),
            (format!("{header}\na,emd,hgcal,100,biases,10,5,0.5,1.0,1.0\n"), "line 2"),
            (format!("{header}\na,emd,hgcal,100,kernels,10,5,0.25,1.0,1.0\n"), "line 2: its numbers"),
            (format!("{header}\na,emd,hgcal,100,kernels,0,0,NaN,1.0,1.0\n"), "line 2: its numbers"),
            (format!("{header}\na,emd,hgcal,100,kernels,10,5,0.5,inf,1.0\n"), "line 2: its numbers"),
        ];
        for (text, reason) in cases {
            let refused = figure(row("a", 10, 5), Some(text.as_bytes())).unwrap_err().to_string();
            assert!(refused.contains("sensitive_share.csv") && refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn an_earlier_table_is_refused_with_what_to_do() {
        let table =
            format!("{}\nnet,emd,100,10,5,0.5,1.0,1.0\n\"a, b\",emd,9,10,5,0.5,1.0,1.0\n", EARLIER_COLUMNS.join(","));
        let refused = figure(row("a", 10, 5), Some(table.as_bytes())).unwrap_err().to_string();
        assert!(refused.contains("delete it") && refused.contains("draw these designs again: net, a, b"), "{refused}");
    }

    #[test]
    fn what_may_not_be_compared_is_drawn_apart() {
        let kernels = row("a", 100, 50);
        let mispredicted =
            ShareRow { metric: "misprediction".to_owned(), event_kind: "labeled".to_owned(), ..row("c", 80, 8) };
        let rows = [
            row("b", 300, 100),
            ShareRow { bit_set: BitSet::KernelsAndBiases, bits: 120, sensitive_share: 50.0 / 120.0, ..kernels.clone() },
            ShareRow { events: 7, ..row("d", 100, 1) },
            ShareRow { event_kind: "labeled, correct only".to_owned(), ..mispredicted.clone() },
            mispredicted,
        ];
        let collected = rows.iter().fold(figure(kernels.clone(), None).unwrap(), |table, row| {
            figure(row.clone(), Some(table.csv.as_bytes())).unwrap()
        });
        // A design has a row for each question; the kernels of `a` and `b` are one group, all others groups of their own.
        assert_eq!(read(collected.csv.as_bytes()).unwrap().len(), 6);
        let headings = |figure: &Figure| -> Vec<String> {
            let document = roxmltree::Document::parse(&figure.picture.svg).unwrap();
            let texts = document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text());
            texts.filter(|text| text.starts_with("error: ")).map(str::to_owned).collect()
        };
        let found = headings(&collected);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(
            found[0].starts_with("error: emd on 7 events (hgcal); kernel bits; sensitive: flipping the bit raises"),
            "{found:?}"
        );
        assert!(found[1].starts_with("error: emd on 100 events (hgcal); kernel bits;"), "{found:?}");
        assert!(found[2].starts_with("error: emd on 100 events (hgcal); kernel and bias bits;"), "{found:?}");
        assert!(
            found[4].starts_with("error: misprediction on 100 events (labeled, correct only); kernel bits;"),
            "{found:?}"
        );
        // More events answer the same question better.
        let again = figure(ShareRow { events: 100, ..row("d", 100, 2) }, Some(collected.csv.as_bytes())).unwrap();
        assert_eq!((read(again.csv.as_bytes()).unwrap().len(), headings(&again).len()), (6, 4));
    }

    #[test]
    fn axes_have_ticks_whatever_the_designs() {
        let one = row("one", 459_520, 100);
        let zero = ShareRow { fault_free_error: 0.0, metric: "misprediction".to_owned(), ..one.clone() };
        for (rows, ticks) in [([one], ["200,000", "500,000", "1,000,000"]), ([zero], ["0 %", "5 %", "20 %"])] {
            let svg = picture(&rows).svg;
            assert!(ticks.iter().all(|tick| svg.contains(&format!(">{tick}<"))), "{ticks:?}");
            assert!(!svg.contains(">-"), "no negative errors");
        }
        assert_eq!(around((0.0, 0.0)), (-0.006, 0.2));
        assert_eq!(around((-1.0, 1.0)), (-1.4, 1.4));
    }

    #[test]
    fn names_stand_beside_their_points_and_never_on_each_other() {
        let crowd: Vec<ShareRow> = (0..30).map(|n| row(&format!("design_{n}"), 1_000 + n % 3, 500)).collect();
        let svg = picture(&crowd).svg;
        let document = roxmltree::Document::parse(&svg).unwrap();
        let labels = document.descendants().filter(|node| node.text().is_some_and(|text| text.starts_with("design_")));
        let labels: Vec<Area> = labels
            .filter(|node| node.has_tag_name("text"))
            .map(|node| {
                let at = |name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
                let wide = text_width(node.text().unwrap(), 16);
                let left = if node.attribute("text-anchor") == Some("end") { at("x") - wide } else { at("x") };
                Area { x: left, y: at("y") - 14.0, width: wide, height: 17.9 }
            })
            .collect();
        assert!(labels.len() >= 4, "{}", labels.len());
        for (position, label) in labels.iter().enumerate() {
            assert!(!labels[..position].iter().any(|other| other.overlaps(label)));
            assert!(label.x >= 0.0 && label.right() <= WIDTH);
        }
    }
}
