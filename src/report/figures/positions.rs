//! Sensitive bits by position (Fig. 5 of the FKeras paper), by layer, and how much of the summed rise they carry.

use std::fmt::Write;

use super::axis::{Panel, Spacing, TEXT_SIZE, TICK_SIZE, Unit, widened};
use super::canvas::{Anchor, Area, Canvas, GRAY, Label, NOTHING, PAPER, Stroke, fitted, text_width};
use super::palette::series;
use super::{Figure, FigureInput};
use crate::num::cast;
use crate::report::oracle::quoted;
use crate::report::percent;

const WIDTH: f64 = 1400.0;

/// Bits of one array at one position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Cell {
    bits: usize,
    sensitive: usize,
    rise: f64,
}

/// Cells by position, then array.
struct Table {
    arrays: Vec<usize>,
    rows: Vec<Vec<Cell>>,
    rise: f64,
}

impl Table {
    fn new(input: &FigureInput) -> Self {
        let arrays = input.arrays();
        let sites = &input.sites.sites;
        let positions = sites.iter().map(|site| usize::from(site.bit) + 1).max().unwrap_or(0);
        let mut rows = vec![vec![Cell::default(); arrays.len()]; positions];
        for (site, rise) in sites.iter().zip(input.rises) {
            let array = arrays.binary_search(&site.array).expect("the arrays of all sites are known");
            let cell = &mut rows[usize::from(site.bit)][array];
            cell.bits += 1;
            cell.sensitive += usize::from(*rise > 0.0);
            cell.rise += rise;
        }
        Self { arrays, rows, rise: input.rises.iter().sum() }
    }
}

fn total(row: &[Cell]) -> Cell {
    row.iter().fold(Cell::default(), |sum, cell| Cell {
        bits: sum.bits + cell.bits,
        sensitive: sum.sensitive + cell.sensitive,
        rise: sum.rise + cell.rise,
    })
}

/// The figure of a design; there is at least one bit.
pub(super) fn figure(input: &FigureInput) -> Figure {
    let table = Table::new(input);
    let names: Vec<String> = table.arrays.iter().map(|array| input.array_name(*array)).collect();
    let legend = Legend::new(&names);
    let top = 96.0 + 30.0 * cast::f64_from_count(legend.lines);
    let mut canvas = Canvas::new(WIDTH, top + 512.0);
    let title = format!("{}: sensitive bits by position", input.design);
    canvas.label(Label::new(24.0, 40.0, 24, fitted(&title, 24, WIDTH - 48.0)));
    canvas.label(Label::new(24.0, 68.0, TEXT_SIZE, fitted(&input.subtitle(), TEXT_SIZE, WIDTH - 48.0)).color(GRAY));
    legend.draw(&mut canvas, 106.0);
    let area = |x: f64| Area { x, y: top + 50.0, width: 560.0, height: 390.0 };
    draw_counts(&mut canvas, &table, area(116.0));
    let all_of = input.unit().name("Share of the summed error rise", "Share of all mispredictions");
    draw_rises(&mut canvas, &table, area(800.0), all_of);

    let all = table.rows.iter().map(|row| total(row).sensitive).sum::<usize>();
    let description = format!(
        "Bars by bit position of {}. {all} bits are sensitive: flipping one of them {}. \
         Most significant bits: {} of those flipped are sensitive. {all_of}: {}.",
        input.subtitle(),
        input.unit().sensitive(),
        percent(total(&table.rows[0]).sensitive_share(), 1),
        percent(total(&table.rows[0]).rise / table.rise, 1),
    );
    Figure { csv: csv(input, &table), picture: canvas.finish(&title, &description) }
}

impl Cell {
    fn sensitive_share(&self) -> f64 {
        cast::f64_from_count(self.sensitive) / cast::f64_from_count(self.bits)
    }
}

/// Where the bar of a position stands, and how wide it is.
fn slot(area: Area, position: usize, positions: usize) -> (f64, f64) {
    let slot = area.width / cast::f64_from_count(positions);
    let wide = (slot * 0.7).min(80.0);
    (area.x + slot * (cast::f64_from_count(position) + 0.5) - wide / 2.0, wide)
}

/// Frame, heading, and the positions below the bars.
fn draw_frame(canvas: &mut Canvas, panel: &Panel, heading: &str, y_name: &str, positions: usize) {
    panel.draw(canvas, "bit position (0 = most significant)", y_name);
    canvas.label(Label::new(panel.area.x, panel.area.y - 34.0, TEXT_SIZE, heading));
    let every = positions.div_ceil(20);
    for position in (0..positions).step_by(every) {
        let (left, wide) = slot(panel.area, position, positions);
        let label = Label::new(left + wide / 2.0, panel.area.bottom() + 23.0, TICK_SIZE, position.to_string());
        canvas.label(label.anchor(Anchor::Middle).color(GRAY));
    }
}

/// Numbers of sensitive bits before all flipped bits of the position.
fn draw_counts(canvas: &mut Canvas, table: &Table, area: Area) {
    let positions = table.rows.len();
    let most = table.rows.iter().map(|row| total(row).bits).max().unwrap_or(1).max(1);
    let panel = panel(area, (0.0, cast::f64_from_count(most) * 1.08), Unit::Number);
    draw_frame(canvas, &panel, "Sensitive bits, and their share of the bits flipped", "bits", positions);
    let mut notes = Vec::new();
    for (position, row) in table.rows.iter().enumerate() {
        let (left, wide) = slot(area, position, positions);
        let all = total(row);
        let bar = |from: usize, to: usize| {
            let (low, high) = (panel.y.at(cast::f64_from_count(from)), panel.y.at(cast::f64_from_count(to)));
            Area { x: left, y: high, width: wide, height: low - high }
        };
        canvas.rectangle(bar(0, all.bits), NOTHING);
        let mut from = 0;
        for (array, cell) in row.iter().enumerate().filter(|(_, cell)| cell.sensitive > 0) {
            canvas.rectangle(bar(from, from + cell.sensitive), series(array));
            from += cell.sensitive;
        }
        notes.push((left + wide / 2.0, bar(0, all.bits).y - 7.0, all.sensitive_share()));
    }
    draw_notes(canvas, &notes, area);
}

/// Shares of the summed rise; what lowers the error goes below zero.
fn draw_rises(canvas: &mut Canvas, table: &Table, area: Area, heading: &str) {
    let positions = table.rows.len();
    let of_all = |rise: f64| if table.rise == 0.0 { 0.0 } else { rise / table.rise };
    let signed =
        |row: &[Cell], wanted: fn(&f64) -> bool| row.iter().map(|cell| of_all(cell.rise)).filter(wanted).sum::<f64>();
    let high = table.rows.iter().map(|row| signed(row, |rise| *rise > 0.0)).fold(0.0, f64::max);
    let low = table.rows.iter().map(|row| signed(row, |rise| *rise < 0.0)).fold(0.0, f64::min);
    let high = widened(low, if high > low { high } else { low + 1.0 }, 0.08).1;
    let low = if low < -0.001 { low * 1.15 } else { 0.0 };
    let panel = panel(area, (low, high), Unit::Percent);
    draw_frame(canvas, &panel, heading, "", positions);
    let mut notes = Vec::new();
    for (position, row) in table.rows.iter().enumerate() {
        let (left, wide) = slot(area, position, positions);
        let (mut above, mut below) = (0.0, 0.0);
        for (array, cell) in row.iter().enumerate() {
            let share = of_all(cell.rise);
            let base = if share < 0.0 { &mut below } else { &mut above };
            let (from, to) = (panel.y.at(*base), panel.y.at((*base + share).max(low)));
            *base += share;
            let height = (from - to).abs();
            // Nothing where two decimals, as many as are written, say nothing.
            if height >= 0.005 {
                canvas.rectangle(Area { x: left, y: from.min(to), width: wide, height }, series(array));
            }
        }
        notes.push((left + wide / 2.0, panel.y.at(above) - 7.0, of_all(total(row).rise)));
    }
    draw_notes(canvas, &notes, area);
    canvas.line((area.x, panel.y.at(0.0)), (area.right(), panel.y.at(0.0)), Stroke::new(GRAY, 1.0));
}

/// A panel whose bars name themselves.
fn panel(area: Area, values: (f64, f64), unit: Unit) -> Panel {
    Panel::new(area, (Spacing::Linear, Unit::Unmarked, (0.0, 1.0)), (Spacing::Linear, unit, values))
}

/// Shares above their bars, all of one size and with as many digits as there is room for, or none.
fn draw_notes(canvas: &mut Canvas, notes: &[(f64, f64, f64)], area: Area) {
    let room = area.width / cast::f64_from_count(notes.len());
    let fits = |(size, digits): &(u32, usize)| {
        notes.iter().all(|(.., share)| text_width(&percent(*share, *digits), *size) + 14.0 <= room)
    };
    if let Some((size, digits)) = [(TICK_SIZE, 1), (14, 1), (12, 1), (12, 0)].into_iter().find(fits) {
        for (x, y, share) in notes {
            let text = percent(*share, digits);
            let (wide, high) = (text_width(&text, size), f64::from(size));
            // No line of the grid runs through them.
            canvas.rectangle(Area { x: x - wide / 2.0, y: y - high + 1.0, width: wide, height: high + 2.0 }, PAPER);
            canvas.label(Label::new(*x, *y, size, text).anchor(Anchor::Middle));
        }
    }
}

/// Names of arrays with their colors, in lines.
struct Legend {
    /// Left edge, line and text.
    entries: Vec<(f64, usize, String)>,
    lines: usize,
}

impl Legend {
    fn new(names: &[String]) -> Self {
        let (mut x, mut line) = (24.0, 0);
        let mut entries = Vec::new();
        let texts = names.iter().map(String::as_str).chain(["flipped, not sensitive"]);
        for text in texts.map(|text| fitted(text, TEXT_SIZE, 500.0)) {
            let wide = 28.0 + text_width(&text, TEXT_SIZE) + 26.0;
            if x + wide > WIDTH - 24.0 {
                (x, line) = (24.0, line + 1);
            }
            entries.push((x, line, text));
            x += wide;
        }
        Self { entries, lines: line + 1 }
    }

    fn draw(&self, canvas: &mut Canvas, y: f64) {
        let last = self.entries.len() - 1;
        for (position, (x, line, text)) in self.entries.iter().enumerate() {
            let base = y + 30.0 * cast::f64_from_count(*line);
            let color = if position == last { NOTHING } else { series(position) };
            canvas.rectangle(Area { x: *x, y: base - 15.0, width: 19.0, height: 19.0 }, color);
            canvas.label(Label::new(x + 28.0, base, TEXT_SIZE, text));
        }
    }
}

/// A row per position and array that has bits there.
fn csv(input: &FigureInput, table: &Table) -> String {
    let mut text =
        String::from("bit,layer,tensor,bits,sensitive_bits,sensitive_share,summed_rise,share_of_summed_rise\n");
    for (position, row) in table.rows.iter().enumerate() {
        for (array, cell) in table.arrays.iter().zip(row).filter(|(_, cell)| cell.bits > 0) {
            let (layer, tensor) = &input.sites.arrays[*array];
            let share = cell.sensitive_share();
            // No share of nothing.
            let of_all = if table.rise == 0.0 { String::new() } else { (cell.rise / table.rise).to_string() };
            let Cell { bits, sensitive, rise } = cell;
            writeln!(text, "{position},{},{tensor},{bits},{sensitive},{share},{rise},{of_all}", quoted(layer))
                .expect("text can be written to a string");
        }
    }
    text
}
