//! Cumulative curves (Fig. 3 of the FKeras paper): the summed error rise of the first bits of every ranking.

use std::fmt::Write;

use super::axis::{Panel, Spacing, TEXT_SIZE, TICK_SIZE, Unit, widened};
use super::canvas::{Anchor, Area, Canvas, GRAY, Label, Stroke, fitted};
use super::palette::curve_strokes;
use super::{Figure, FigureInput};
use crate::num::cast;
use crate::report::oracle::quoted;
use crate::report::{fixed, grouped};

/// Most points of a curve.
const POINTS: usize = 500;
const WIDTH: f64 = 1400.0;

/// One ranking's curve at the drawn numbers of bits.
#[derive(Debug, Clone, PartialEq)]
struct Curve<'a> {
    name: &'a str,
    relative_area: Option<f64>,
    sums: Vec<f64>,
}

/// The figure of a design; every ranking orders all its bits.
pub(super) fn figure(input: &FigureInput) -> Figure {
    let bits = input.rises.len();
    let counts = thinned(bits);
    let rises = input.numbers();
    let curves: Vec<Curve> = input
        .rankings
        .iter()
        .map(|ranked| Curve {
            name: ranked.ranking.name(),
            relative_area: ranked.relative_area,
            sums: sums(&rises, ranked.ranking.order(), &counts),
        })
        .collect();
    let unit = input.unit();
    let mut canvas = Canvas::new(WIDTH, 614.0);
    let of = unit.name("summed error rise", "mispredictions");
    let title = format!("{}: {of} of the first bits of each ranking", input.design);
    canvas.label(Label::new(24.0, 40.0, 24, fitted(&title, 24, WIDTH - 48.0)));
    canvas.label(Label::new(24.0, 68.0, TEXT_SIZE, fitted(&input.subtitle(), TEXT_SIZE, WIDTH - 48.0)).color(GRAY));
    let strokes = curve_strokes(&curves.iter().map(|curve| curve.name).collect::<Vec<_>>());
    let panel = |x: f64, width: f64, end: f64| {
        let area = Area { x, y: 130.0, width, height: 410.0 };
        let sums = (Spacing::Linear, Unit::Number, heights(&curves, &counts, end * cast::f64_from_count(bits)));
        Panel::new(area, (Spacing::Linear, Unit::Percent, (0.0, end)), sums)
    };
    let panels = [
        (panel(124.0, 440.0, 1.0), format!("all {} bits", grouped(bits))),
        (panel(668.0, 356.0, 0.1), "the first 10 %".to_owned()),
    ];
    for (position, (panel, name)) in panels.iter().enumerate() {
        let y_name = if position == 0 { unit.name("summed error rise", "mispredictions in all events") } else { "" };
        panel.draw(&mut canvas, "share of the bits, in the ranking's order", y_name);
        canvas.label(Label::new(panel.area.x, panel.area.y - 14.0, TEXT_SIZE, name));
        // The best known lie on top, so that what comes near the oracle is not hidden by it.
        let mut order: Vec<usize> = (0..curves.len()).collect();
        let area = |position: &usize| curves[*position].relative_area.filter(|area| *area < 1.0);
        order.sort_by(|a, b| area(a).partial_cmp(&area(b)).unwrap_or(std::cmp::Ordering::Equal));
        for (curve, stroke) in order.iter().map(|position| (&curves[*position], &strokes[*position])) {
            let points = points(panel, &counts, &curve.sums, bits);
            if points.len() > 1 {
                canvas.curve(&points, *stroke);
            }
        }
    }
    draw_legend(&mut canvas, &curves, &strokes);
    let parts: Vec<String> = curves
        .iter()
        .map(|curve| {
            format!(
                "{}{}",
                curve.name,
                curve.relative_area.map_or(String::new(), |area| format!(" {}", fixed(area, 4)))
            )
        })
        .collect();
    let description = format!(
        "Curves of {}. Each curve adds up the {of} of bits in the order of one ranking; \
         the second panel is the first tenth. Rankings, with the area under the curve relative to the oracle's: {}.",
        input.subtitle(),
        parts.join(", ")
    );
    Figure { csv: csv(input, &counts), picture: canvas.finish(&title, &description) }
}

/// The range of the sums over up to `most` bits, with some room, and zero in it.
fn heights(curves: &[Curve], counts: &[usize], most: f64) -> (f64, f64) {
    let drawn = counts.iter().take_while(|count| cast::f64_from_count(**count) <= most).count();
    let sums = || curves.iter().flat_map(|curve| &curve.sums[..drawn]).copied();
    let (low, high) = (sums().fold(0.0, f64::min), sums().fold(0.0, f64::max));
    let room = widened(low, high, 0.04);
    (if low < 0.0 { room.0 } else { 0.0 }, room.1)
}

/// Numbers of bits at which curves are drawn: all where they are few, otherwise two fifths within the first tenth.
fn thinned(bits: usize) -> Vec<usize> {
    if bits < POINTS {
        return (0..=bits).collect();
    }
    let (early, late) = (POINTS * 2 / 5, POINTS * 3 / 5 - 1);
    let tenth = bits / 10;
    let mut counts: Vec<usize> = (0..=early).map(|n| n * tenth / early).collect();
    counts.extend((1..=late).map(|n| tenth + n * (bits - tenth) / late));
    counts.dedup();
    counts
}

/// Sums over the first bits of `order`, at ascending `counts`; added one by one in that order.
fn sums(rises: &[f64], order: &[usize], counts: &[usize]) -> Vec<f64> {
    let mut wanted = counts.iter().copied().peekable();
    let mut found = Vec::with_capacity(counts.len());
    let mut sum = 0.0;
    for taken in 0..=order.len() {
        if wanted.next_if_eq(&taken).is_some() {
            found.push(sum);
        }
        if let Some(position) = order.get(taken) {
            sum += rises[*position];
        }
    }
    found
}

/// The part of a curve that lies in a panel, cut at its right edge.
fn points(panel: &Panel, counts: &[usize], sums: &[f64], bits: usize) -> Vec<(f64, f64)> {
    let share = |count: usize| cast::f64_from_count(count) / cast::f64_from_count(bits);
    let end = panel.x.values.1;
    let mut points = Vec::new();
    let mut last = (0.0, 0.0);
    for (count, sum) in counts.iter().zip(sums) {
        let next = (share(*count), *sum);
        if next.0 > end {
            if last.0 < end {
                let along = (end - last.0) / (next.0 - last.0);
                points.push(panel.at(end, last.1 + along * (next.1 - last.1)));
            }
            break;
        }
        points.push(panel.at(next.0, next.1));
        last = next;
    }
    points
}

fn draw_legend(canvas: &mut Canvas, curves: &[Curve], strokes: &[Stroke]) {
    const X: f64 = 1078.0;
    let known = curves.iter().any(|curve| curve.relative_area.is_some());
    canvas.label(Label::new(X, 116.0, TEXT_SIZE, "ranking"));
    if known {
        canvas.label(Label::new(X, 569.0, TICK_SIZE, "area: under the whole curve,").color(GRAY));
        canvas.label(Label::new(X, 590.0, TICK_SIZE, "relative to the oracle's").color(GRAY));
        canvas.label(Label::new(WIDTH - 24.0, 116.0, TEXT_SIZE, "area").anchor(Anchor::End));
    }
    // Largest area first; where none is known, as they are given.
    let mut order: Vec<usize> = (0..curves.len()).collect();
    let area = |position: &usize| curves[*position].relative_area.unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| area(b).total_cmp(&area(a)));
    for (line, position) in order.into_iter().enumerate() {
        let y = 146.0 + 33.0 * cast::f64_from_count(line);
        canvas.line((X, y - 6.0), (X + 40.0, y - 6.0), strokes[position]);
        canvas.label(Label::new(X + 50.0, y, TEXT_SIZE, fitted(curves[position].name, TEXT_SIZE, 200.0)));
        if let Some(area) = curves[position].relative_area {
            let label = Label::new(WIDTH - 24.0, y, TEXT_SIZE, fixed(area, 4));
            canvas.label(label.anchor(Anchor::End));
        }
    }
}

/// A row per ranking and drawn point; rises of the mean error, whatever the metric.
fn csv(input: &FigureInput, counts: &[usize]) -> String {
    let mut text = String::from("ranking,bits,share_of_bits,summed_rise\n");
    for ranked in input.rankings {
        for (count, sum) in counts.iter().zip(sums(input.rises, ranked.ranking.order(), counts)) {
            let share = cast::f64_from_count(*count) / cast::f64_from_count(input.rises.len());
            writeln!(text, "{},{count},{share},{sum}", quoted(ranked.ranking.name()))
                .expect("text can be written to a string");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_few_points_and_both_ends() {
        for bits in [1, 9, 10, 499, 500, 501, 2_000, 12_720, 61_344, 459_520] {
            let counts = thinned(bits);
            assert!(counts.len() <= POINTS, "{bits}: {}", counts.len());
            assert_eq!((counts[0], counts.last()), (0, Some(&bits)));
            assert!(counts.is_sorted_by(|a, b| a < b), "{bits}");
            assert!(bits < 10 || counts.contains(&(bits / 10)), "{bits}");
            assert!(bits >= POINTS || counts.len() == bits + 1, "{bits}: nothing to thin");
        }
        assert!(thinned(61_344).iter().filter(|count| **count <= 6_134).count() > 200);
    }

    #[test]
    fn sums_are_those_of_the_first_bits() {
        let rises = [0.5, -1.0, 4.0, 0.25];
        let order = [2, 0, 3, 1];
        assert_eq!(sums(&rises, &order, &[0, 1, 2, 3, 4]), [0.0, 4.0, 4.5, 4.75, 3.75]);
        assert_eq!(sums(&rises, &order, &[0, 3, 4]), [0.0, 4.75, 3.75]);
    }

    #[test]
    fn a_panel_cuts_curves_at_its_edge() {
        let scale = |end| (Spacing::Linear, Unit::Number, (0.0, end));
        let panel = Panel::new(Area { x: 0.0, y: 0.0, width: 100.0, height: 10.0 }, scale(0.5), scale(10.0));
        // Half of the second step lies inside: bit 2 of 4 is at its edge already, bit 3 beyond.
        assert_eq!(points(&panel, &[0, 1, 3], &[0.0, 4.0, 8.0], 4), [(0.0, 10.0), (50.0, 6.0), (100.0, 4.0)]);
        assert_eq!(points(&panel, &[0, 2, 3], &[0.0, 4.0, 8.0], 4), [(0.0, 10.0), (100.0, 6.0)]);
    }
}
