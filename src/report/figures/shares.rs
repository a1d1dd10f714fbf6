//! The share of sensitive bits against size and against error (Fig. 4 of the FKeras paper), a point per design.
//!
//! The table is collected over runs: each brings the row of its design and keeps the others'.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::axis::{Panel, Spacing, TEXT_SIZE, Unit, widened};
use super::canvas::{Area, Canvas, GRAY, Label, fitted, text_width};
use super::palette::series;
use super::{Figure, FigureError, FigureInput};
use crate::num::cast;
use crate::report::percent;

/// Name of the files, without ending.
pub(super) const NAME: &str = "sensitive_share";

const WIDTH: f64 = 1400.0;
const COLUMNS: [&str; 8] =
    ["design", "metric", "events", "bits", "sensitive_bits", "sensitive_share", "summed_rise", "fault_free_error"];

/// A design in the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ShareRow {
    design: String,
    metric: String,
    events: usize,
    bits: usize,
    sensitive_bits: usize,
    sensitive_share: f64,
    summed_rise: f64,
    fault_free_error: f64,
}

impl ShareRow {
    /// The row of a design; it has bits.
    pub(super) fn of(input: &FigureInput) -> Self {
        let (bits, sensitive_bits) = (input.rises.len(), input.rises.iter().filter(|rise| **rise > 0.0).count());
        Self {
            design: input.design.to_owned(),
            metric: input.metric.to_owned(),
            events: input.events,
            bits,
            sensitive_bits,
            sensitive_share: cast::f64_from_count(sensitive_bits) / cast::f64_from_count(bits),
            summed_rise: input.rises.iter().sum(),
            fault_free_error: input.golden_mean,
        }
    }
}

/// The figure of `row` and of the other designs in the table `earlier`.
///
/// # Errors
/// When `earlier` is not such a table.
pub(super) fn figure(row: ShareRow, earlier: Option<&[u8]>) -> Result<Figure, FigureError> {
    let mut rows = earlier.map(read).transpose()?.unwrap_or_default();
    rows.retain(|known| known.design != row.design);
    rows.push(row);
    // Small designs first, so the order of the runs does not matter.
    rows.sort_by(|a, b| (a.bits, &a.design).cmp(&(b.bits, &b.design)));
    Ok(Figure { csv: csv(&rows), picture: picture(&rows) })
}

fn read(text: &[u8]) -> Result<Vec<ShareRow>, FigureError> {
    let foreign = |reason: String| FigureError::Foreign { file: format!("{NAME}.csv"), reason };
    let mut reader = csv::Reader::from_reader(text);
    let header = reader.headers().map_err(|error| foreign(error.to_string()))?;
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

fn picture(rows: &[ShareRow]) -> super::Picture {
    let mut canvas = Canvas::new(WIDTH, 574.0);
    let title = "Share of sensitive bits against size and fault-free error";
    canvas.label(Label::new(24.0, 40.0, 24, title));
    let metrics: Vec<&str> = distinct(rows.iter().map(|row| row.metric.as_str()));
    let events: Vec<usize> = distinct(rows.iter().map(|row| row.events));
    let events = match events[..] {
        [same] => format!("{} events", crate::report::grouped(same)),
        _ => "numbers of events differ".to_owned(),
    };
    let subtitle = format!(
        "a point per design; sensitive: flipping the bit raises the mean error; error: {}; {events}",
        metrics.join(", ")
    );
    canvas.label(Label::new(24.0, 68.0, TEXT_SIZE, fitted(&subtitle, TEXT_SIZE, WIDTH - 48.0)).color(GRAY));

    let y = (Spacing::Linear, Unit::Percent, (0.0, 1.0));
    let sizes = range(rows.iter().map(|row| cast::f64_from_count(row.bits)));
    let errors = range(rows.iter().map(|row| row.fault_free_error));
    let errors = widened(errors.0, errors.1, 0.2);
    let area = |x: f64| Area { x, y: 110.0, width: 560.0, height: 390.0 };
    let by_size = Panel::new(area(112.0), (Spacing::Log, Unit::Number, (sizes.0 / 1.6, sizes.1 * 1.6)), y);
    let by_error = Panel::new(area(806.0), (Spacing::Linear, Unit::Number, errors), y);
    by_size.draw(&mut canvas, "bits flipped one at a time (log scale)", "sensitive bits");
    by_error.draw(&mut canvas, &format!("fault-free mean error ({})", metrics.join(", ")), "");
    let at = |panel: &Panel, x: fn(&ShareRow) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|row| panel.at(x(row), row.sensitive_share)).collect()
    };
    draw_points(&mut canvas, &by_size, rows, &at(&by_size, |row| cast::f64_from_count(row.bits)));
    draw_points(&mut canvas, &by_error, rows, &at(&by_error, |row| row.fault_free_error));

    let mut description = format!("Two scatter plots, {subtitle}. ");
    for row in rows {
        let share = percent(row.sensitive_share, 1);
        write!(description, "{}: {} bits, {share} sensitive, error {}. ", row.design, row.bits, row.fault_free_error)
            .expect("text can be written to a string");
    }
    canvas.finish(title, description.trim_end())
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
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
                place.x >= panel.area.x && place.right() <= panel.area.right() + 20.0 && place.y >= panel.area.y - 10.0;
            inside && place.bottom() <= panel.area.bottom() && !taken.iter().any(|other| other.overlaps(place))
        });
        if let Some(place) = free {
            canvas.label(Label::new(place.x, place.y + 14.0, SIZE, text));
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
            events: 100,
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
            (format!("{header}\na,emd,100,10,5,0.5,1.0\n"), "line: 2"),
            (format!("{header}\na,emd,100,10,5,0.5,1.0,x\n"), "line 2"),
            (format!("{header}\na,emd,100,10,5,0.25,1.0,1.0\n"), "line 2: its numbers"),
            (format!("{header}\na,emd,100,0,0,NaN,1.0,1.0\n"), "line 2: its numbers"),
            (format!("{header}\na,emd,100,10,5,0.5,inf,1.0\n"), "line 2: its numbers"),
        ];
        for (text, reason) in cases {
            let refused = figure(row("a", 10, 5), Some(text.as_bytes())).unwrap_err().to_string();
            assert!(refused.contains("sensitive_share.csv") && refused.contains(reason), "{text}: {refused}");
        }
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
                Area { x: at("x"), y: at("y") - 14.0, width: wide, height: 17.9 }
            })
            .collect();
        assert!(labels.len() >= 4, "{}", labels.len());
        for (position, label) in labels.iter().enumerate() {
            assert!(!labels[..position].iter().any(|other| other.overlaps(label)));
            assert!(label.x >= 0.0 && label.right() <= WIDTH);
        }
    }
}
