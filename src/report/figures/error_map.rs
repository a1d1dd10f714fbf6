//! The error map (Fig. 2 of the FKeras paper): the error rise of every bit, registers from left to right, bits from the
//! most significant down.

use std::collections::HashMap;
use std::fmt::Write;

use super::axis::{Scale, Spacing, TEXT_SIZE, TICK_SIZE, Unit};
use super::canvas::{Anchor, Area, Canvas, DENSITY, GRAY, INK, Label, NOTHING, Stroke, fitted, text_width};
use super::heat::{self, Heat};
use super::names::{Named, PlacedName, Room, place_names};
use super::raster::Raster;
use super::{Figure, FigureInput};
use crate::num::cast;
use crate::report::oracle::quoted;
use crate::report::{grouped, percent};

/// Widest map, in pixels.
const WIDEST: usize = 2600;
/// Height of the map, in pixels, shared by its rows.
const HEIGHT: usize = 640;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 120.0;
/// Height of a line of names of arrays above the map.
const NAME_LINE: f64 = 24.0;
/// Room between arrays, with a line in it.
const GAP: f64 = 4.0;

/// Registers of one array that have flipped bits, and where they lie in the map.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    name: String,
    /// First register, counted over the map.
    register: usize,
    registers: usize,
    /// First column.
    column: usize,
    columns: usize,
    /// Left edge, from the map's.
    left: f64,
    width: f64,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq)]
struct Layout {
    spans: Vec<Span>,
    /// Registers to a column; the last column of an array may have fewer.
    per_column: usize,
    columns: usize,
    /// Width of a column in pixels, and in units.
    across: usize,
    column: f64,
    /// Bits of the widest register.
    rows: usize,
    /// Of every site: register and column.
    places: Vec<(usize, usize)>,
}

impl Layout {
    /// Registers in the order of arrays and of their index, those without a flipped bit left out.
    fn new(input: &FigureInput, widest: usize) -> Self {
        let sites = &input.sites.sites;
        let mut known: Vec<(usize, usize)> = sites.iter().map(|site| (site.array, site.index)).collect();
        known.sort_unstable();
        known.dedup();
        // A column belongs to one array, so that none mixes two.
        let columns = |per_column: usize| -> usize {
            known.chunk_by(|a, b| a.0 == b.0).map(|array| array.len().div_ceil(per_column)).sum()
        };
        let per_column = (1..known.len()).find(|per_column| columns(*per_column) <= widest).unwrap_or(known.len());
        let across = (widest / columns(per_column)).max(1);
        let column = units(across);
        let mut spans: Vec<Span> = Vec::new();
        let mut by_register = HashMap::new();
        for array in known.chunk_by(|a, b| a.0 == b.0) {
            let columns = array.len().div_ceil(per_column);
            let span = Span {
                name: input.array_name(array[0].0),
                register: spans.last().map_or(0, |span| span.register + span.registers),
                registers: array.len(),
                column: spans.last().map_or(0, |span| span.column + span.columns),
                columns,
                left: spans.last().map_or(0.0, |span| span.left + span.width + GAP),
                width: cast::f64_from_count(columns) * column,
            };
            for (position, register) in array.iter().enumerate() {
                by_register.insert(*register, (span.register + position, span.column + position / per_column));
            }
            spans.push(span);
        }
        Self {
            columns: spans.iter().map(|span| span.columns).sum(),
            spans,
            per_column,
            across,
            column,
            rows: sites.iter().map(|site| usize::from(site.bit) + 1).max().unwrap_or(1),
            places: sites.iter().map(|site| by_register[&(site.array, site.index)]).collect(),
        }
    }

    fn width(&self) -> f64 {
        self.spans.last().map_or(0.0, |span| span.left + span.width)
    }

    /// A map for every array: of every cell the largest rise of its bits.
    fn rasters(&self, input: &FigureInput, rises: &[f64], heat: &Heat) -> Vec<Raster> {
        let mut largest = vec![None; self.columns * self.rows];
        for ((site, rise), (_, column)) in input.sites.sites.iter().zip(rises).zip(&self.places) {
            let cell: &mut Option<f64> = &mut largest[usize::from(site.bit) * self.columns + column];
            *cell = Some(cell.map_or(*rise, |known| known.max(*rise)));
        }
        let place = |rise: &Option<f64>| rise.map_or(heat::NONE, |rise| heat.place(rise));
        let raster = |span: &Span| Raster {
            columns: span.columns,
            cells: largest
                .chunks_exact(self.columns)
                .flat_map(|row| row[span.column..span.column + span.columns].iter().map(place))
                .collect(),
            palette: heat::palette(),
            across: self.across,
            down: (HEIGHT / self.rows).max(24),
        };
        self.spans.iter().map(raster).collect()
    }

    /// The arrays as they are to be named.
    fn named(&self) -> Vec<Named> {
        let named = |span: &Span| Named {
            left: span.left,
            width: span.width,
            short: fitted(&span.name, TEXT_SIZE, 400.0),
            full: format!("{} ({} registers)", fitted(&span.name, TEXT_SIZE, 400.0), grouped(span.registers)),
        };
        self.spans.iter().map(named).collect()
    }

    /// Where a register begins, counted over the map, from its left edge; the end for one beyond the last.
    fn place(&self, register: usize) -> f64 {
        let span = self.spans.iter().rev().find(|span| span.register <= register).expect("the first begins at 0");
        let inside = cast::f64_from_count(register - span.register) / cast::f64_from_count(self.per_column);
        span.left + (inside * self.column).min(span.width)
    }
}

/// Pixels as units of length.
fn units(pixels: usize) -> f64 {
    cast::f64_from_count(pixels) / f64::from(DENSITY)
}

/// The figure of a design; there is at least one bit.
pub(super) fn figure(input: &FigureInput) -> Figure {
    let layout = Layout::new(input, WIDEST);
    let rises = input.numbers();
    let heat = if input.unit().counts_mispredictions() { Heat::of_counts(&rises) } else { Heat::of(&rises) };
    let rasters = layout.rasters(input, &rises, &heat);
    let sheet_width = (LEFT + layout.width() + RIGHT).max(1160.0);
    let names = place_names(
        &layout.named(),
        Room { lowest: (0.0, layout.width()), above: (24.0 - LEFT, sheet_width - 24.0 - LEFT) },
    );
    let lines = names.iter().map(|name| name.line + 1).max().unwrap_or(0);
    let map = Area {
        x: LEFT,
        y: 96.0 + NAME_LINE * cast::f64_from_count(lines),
        width: layout.width(),
        height: rasters.first().map_or(0.0, |raster| units(raster.size().1)),
    };
    let mut canvas = Canvas::new(sheet_width, map.bottom() + 206.0);
    let title =
        format!("{}: {}", input.design, input.unit().name("error rise of every bit", "mispredictions by every bit"));
    let width = sheet_width - 48.0;
    canvas.label(Label::new(24.0, 40.0, 24, fitted(&title, 24, width)));
    canvas.label(Label::new(24.0, 68.0, TEXT_SIZE, fitted(&input.subtitle(), TEXT_SIZE, width)).color(GRAY));

    for (span, raster) in layout.spans.iter().zip(rasters) {
        canvas.image(map.x + span.left, map.y, raster);
    }
    draw_names(&mut canvas, &layout, &names, map);
    draw_rows(&mut canvas, input, &layout, map);
    draw_registers(&mut canvas, &layout, map);
    // Around the map, so that no cell is covered.
    let frame = Area { x: map.x - 0.5, y: map.y - 0.5, width: map.width + 1.0, height: map.height + 1.0 };
    canvas.outline(frame, Stroke::new(GRAY, 1.0));
    let negative = input.rises.iter().any(|rise| *rise < 0.0);
    draw_key(&mut canvas, input, &heat, (map.bottom() + 106.0, negative));
    let note = caption(&layout, layout.spans.len() - names.len());
    canvas.label(Label::new(24.0, map.bottom() + 188.0, TICK_SIZE, &note).color(GRAY));

    let largest = rises.iter().fold(0.0_f64, |largest, rise| largest.max(*rise));
    let description = format!(
        "Map of {}. Columns are registers in the order of layers, rows are bits from the most significant at the top; \
         the color of a cell is the {}, at most {}. {note}",
        input.subtitle(),
        color_means(input),
        crate::report::significant(largest),
    );
    Figure { csv: csv(input, &layout), picture: canvas.finish(&title, &description) }
}

/// What the color of a cell is, in words.
fn color_means(input: &FigureInput) -> &'static str {
    input.unit().name("error rise with the bit flipped", "number of mispredictions that the flip adds, in all events")
}

fn caption(layout: &Layout, unnamed: usize) -> String {
    let cells = if layout.per_column == 1 {
        "Every cell is one bit.".to_owned()
    } else {
        format!(
            "Each column stands for {0} neighboring registers of a layer, so each cell for {0} bits; it shows the largest.",
            layout.per_column
        )
    };
    match unnamed {
        0 => cells,
        1 => format!("{cells} One array has no room for its name; the table beside the picture has all."),
        _ => format!("{cells} {unnamed} arrays have no room for their names; the table beside the picture has all."),
    }
}

fn draw_names(canvas: &mut Canvas, layout: &Layout, names: &[PlacedName], map: Area) {
    for span in &layout.spans {
        let (left, right) = (map.x + span.left, map.x + span.left + span.width);
        canvas.line((left, map.y - 6.0), (right, map.y - 6.0), Stroke::new(INK, 2.5));
        if span.column > 0 {
            let between = left - GAP / 2.0;
            canvas.line((between, map.y), (between, map.bottom()), Stroke::new(INK, 1.0));
        }
    }
    for name in names {
        let base = map.y - 14.0 - NAME_LINE * cast::f64_from_count(name.line);
        if let Some(leader) = name.leader {
            let x = map.x + leader;
            canvas.line((x, map.y - 6.0), (x, base - 12.0), Stroke::new(GRAY, 1.0));
        }
        let (x, anchor) = name.anchored();
        canvas.label(Label::new(map.x + x, base, TEXT_SIZE, &name.text).anchor(anchor));
    }
}

/// Bit positions at the left, the share of the summed rise at the right.
fn draw_rows(canvas: &mut Canvas, input: &FigureInput, layout: &Layout, map: Area) {
    let total: f64 = input.rises.iter().sum();
    let height = map.height / cast::f64_from_count(layout.rows);
    let every = cast::floor_i64(22.0 / height).max(0) + 1;
    let head = |x: f64, text: &str| Label::new(x, map.y - 12.0, TICK_SIZE, text).color(GRAY);
    canvas.label(head(map.x - 9.0, "bit").anchor(Anchor::End));
    canvas.label(head(map.right() + 9.0, input.unit().name("of all rise", "of all")));
    for row in 0..layout.rows {
        let middle = map.y + height * (cast::f64_from_count(row) + 0.5) + 6.0;
        if cast::i64_from_len(row) % every == 0 {
            let text = if row == 0 { "0 (MSB)".to_owned() } else { row.to_string() };
            canvas.label(Label::new(map.x - 9.0, middle, TICK_SIZE, text).anchor(Anchor::End).color(GRAY));
            let rises = input.sites.sites.iter().zip(input.rises).filter(|(site, _)| usize::from(site.bit) == row);
            let share = rises.map(|(_, rise)| rise).sum::<f64>() / total;
            canvas.label(Label::new(map.right() + 9.0, middle, TICK_SIZE, percent(share, 1)).color(GRAY));
        }
    }
}

/// Numbers of registers below the map.
fn draw_registers(canvas: &mut Canvas, layout: &Layout, map: Area) {
    let registers = layout.spans.iter().map(|span| span.registers).sum::<usize>();
    let scale = Scale {
        spacing: Spacing::Linear,
        unit: Unit::Number,
        values: (0.0, cast::f64_from_count(registers)),
        places: (0.0, map.width),
    };
    let most = usize::try_from(cast::floor_i64(map.width / 100.0)).unwrap_or(2);
    for (value, text) in scale.ticks(most) {
        let Ok(register) = usize::try_from(cast::floor_i64(value + 0.5)) else { continue };
        // Registers are whole: ticks between them would all say the same.
        if (cast::f64_from_count(register) - value).abs() > 1e-6 {
            continue;
        }
        let x = map.x + layout.place(register);
        canvas.line((x, map.bottom()), (x, map.bottom() + 6.0), Stroke::new(GRAY, 1.0));
        canvas.label(Label::new(x, map.bottom() + 25.0, TICK_SIZE, text).anchor(Anchor::Middle).color(GRAY));
    }
    let middle = map.x + map.width / 2.0;
    canvas.label(
        Label::new(middle, map.bottom() + 52.0, TEXT_SIZE, "register, layer by layer in C order")
            .anchor(Anchor::Middle),
    );
}

/// What the colors mean.
fn draw_key(canvas: &mut Canvas, input: &FigureInput, heat: &Heat, (y, negative): (f64, bool)) {
    const STEP: usize = 6;
    let bar = |cells: Vec<u8>, across: usize| Raster {
        columns: cells.len(),
        cells,
        palette: heat::palette(),
        across,
        down: 40,
    };
    let width = |cells: usize, across: usize| cast::f64_from_count(cells * across) / f64::from(DENSITY);
    let mut x = LEFT;
    let mut ends: Vec<f64> = Vec::new();
    let mut ticks: Vec<(f64, String)> = Vec::new();
    if negative {
        let mut cells = heat::ramp(-1.0);
        cells.reverse();
        let long = width(cells.len(), STEP);
        ticks.extend(heat.decades().into_iter().map(|(along, text)| (x + (1.0 - along) * long, format!("-{text}"))));
        canvas.image(x, y, bar(cells, STEP));
        x += long;
    }
    ends.push(x);
    canvas.image(x, y, bar(vec![heat.place(0.0)], 48));
    ticks.push((x + 12.0, "0".to_owned()));
    x += 24.0;
    ends.push(x);
    let cells = heat::ramp(1.0);
    let long = width(cells.len(), STEP);
    ticks.extend(heat.decades().into_iter().map(|(along, text)| (x + along * long, text)));
    canvas.image(x, y, bar(cells, STEP));
    x += long;
    canvas.outline(Area { x: LEFT, y, width: x - LEFT, height: 20.0 }, Stroke::new(GRAY, 1.0));
    let scale = if negative { "log scale in both directions" } else { "log scale" };
    canvas.label(Label::new(LEFT, y - 10.0, TEXT_SIZE, format!("{} ({scale})", color_means(input))));
    // Strongest first, so that what stands closest to zero gives way.
    ticks.sort_by(|a, b| (b.0 - ends[0]).abs().total_cmp(&(a.0 - ends[0]).abs()));
    let mut taken = vec![ends[0] - 10.0..ends[1] + 10.0];
    for (place, text) in ticks {
        let half = text_width(&text, TICK_SIZE) / 2.0;
        let zero = text == "0";
        if !zero && taken.iter().any(|range| place - half - 6.0 < range.end && range.start < place + half + 6.0) {
            continue;
        }
        taken.push(place - half..place + half);
        canvas.line((place, y + 20.0), (place, y + 25.0), Stroke::new(GRAY, 1.0));
        canvas.label(Label::new(place, y + 43.0, TICK_SIZE, text).anchor(Anchor::Middle).color(GRAY));
    }
    canvas.rectangle(Area { x: x + 40.0, y, width: 20.0, height: 20.0 }, NOTHING);
    canvas.label(Label::new(x + 68.0, y + 16.0, TICK_SIZE, "no such bit, or not flipped").color(GRAY));
}

/// A row per bit, with where it is drawn.
fn csv(input: &FigureInput, layout: &Layout) -> String {
    let mut text = String::from("layer,tensor,index,bit,register,column,error_rise\n");
    for ((site, rise), (register, column)) in input.sites.sites.iter().zip(input.rises).zip(&layout.places) {
        let (layer, tensor) = &input.sites.arrays[site.array];
        let (index, bit) = (site.index, site.bit);
        writeln!(text, "{},{tensor},{index},{bit},{register},{column},{rise}", quoted(layer))
            .expect("text can be written to a string");
    }
    text
}
