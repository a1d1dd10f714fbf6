//! `Scale` and `Panel`: from data to places on a sheet, with ticks that people read.

use super::canvas::{Anchor, Area, Canvas, GRAY, GRID, INK, Label, Stroke, text_width};
use crate::num::cast;
use crate::report::{fixed, whole};

/// Size of the text at ticks.
pub(super) const TICK_SIZE: u32 = 16;
/// Size of the text of axes, legends and notes.
pub(super) const TEXT_SIZE: u32 = 17;

/// How values are spread over a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Equal steps.
    Linear,
    /// Equal factors; values are positive.
    Log,
}

/// What is written at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// The number.
    Number,
    /// A share as percent.
    Percent,
    /// Nothing, there are no ticks: what stands on the axis names itself.
    Unmarked,
}

/// A range of values over a range of places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) spacing: Spacing,
    pub(super) unit: Unit,
    /// Values at the ends.
    pub(super) values: (f64, f64),
    /// Where the ends are.
    pub(super) places: (f64, f64),
}

impl Scale {
    /// Where `value` is.
    pub(super) fn at(&self, value: f64) -> f64 {
        let along = |value: f64| match self.spacing {
            Spacing::Linear => value,
            Spacing::Log => value.log10(),
        };
        let (low, high) = (along(self.values.0), along(self.values.1));
        let share = (along(value) - low) / (high - low);
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// At most about `most` round values with their text, in ascending order.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if self.unit == Unit::Unmarked {
            return Vec::new();
        }
        let (low, high) = self.values;
        // A little beyond the ends, so that rounding loses no tick at an end.
        let slack = (high - low) * 1e-9;
        let inside = |value: &f64| (low - slack..=high + slack).contains(value);
        let values: Vec<f64> = match self.spacing {
            Spacing::Linear => {
                let step = round_step((high - low) / cast::f64_from_count(most.max(1)));
                let (first, last) = ((low / step).ceil(), (high / step).floor());
                let mut values = vec![first * step];
                values
                    .extend((1..=100).map(|n| (first + f64::from(n)) * step).take_while(|v| *v <= last * step + slack));
                values
            }
            Spacing::Log => {
                let decades: Vec<f64> = (-12..=15).map(|power| 10_f64.powi(power)).collect();
                let of = |mantissas: &[f64]| -> Vec<f64> {
                    let all = decades.iter().flat_map(|decade| mantissas.iter().map(move |m| m * decade));
                    all.filter(inside).collect()
                };
                let sets: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
                let fits = sets.iter().map(|set| of(set)).find(|values| values.len() <= most.max(2));
                fits.unwrap_or_else(|| of(&[1.0]))
            }
        };
        values.into_iter().filter(inside).map(|value| (value, self.text(value))).collect()
    }

    fn text(&self, value: f64) -> String {
        match self.unit {
            Unit::Number | Unit::Unmarked => plain(value),
            Unit::Percent => format!("{} %", plain(value * 100.0)),
        }
    }
}

/// A tick's number, without zeros at its end: ticks are round.
pub(super) fn plain(value: f64) -> String {
    let magnitude = value.abs();
    if (1000.0..1e7).contains(&magnitude) {
        return whole(value);
    }
    // Well apart from any round number, which may be off in its last digit.
    if magnitude != 0.0 && !(7e-4..1e7).contains(&magnitude) {
        let text = format!("{value:.3e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", mantissa.trim_end_matches('0').trim_end_matches('.'));
    }
    let text = fixed(value, 6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = cast::floor_i64(step.max(f64::MIN_POSITIVE).log10());
    let decade = 10_f64.powi(i32::try_from(power).unwrap_or(0));
    // A hair of slack: a step that is round already stays so.
    let fits = [1.0, 2.0, 2.5, 5.0].iter().map(|factor| factor * decade).find(|round| *round >= step * (1.0 - 1e-9));
    fits.unwrap_or(10.0 * decade)
}

/// A range from `low` to `high`, or around them where they are the same, widened by `share` of it at both ends.
pub(super) fn widened(low: f64, high: f64, share: f64) -> (f64, f64) {
    let span = if high > low { high - low } else { low.abs().max(1.0) };
    (low - span * share, high + span * share)
}

/// A frame with two scales.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub(super) area: Area,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Panel {
    /// The panel of `area`; the places of the scales are its edges.
    pub(super) const fn new(area: Area, x: (Spacing, Unit, (f64, f64)), y: (Spacing, Unit, (f64, f64))) -> Self {
        Self {
            area,
            x: Scale { spacing: x.0, unit: x.1, values: x.2, places: (area.x, area.right()) },
            y: Scale { spacing: y.0, unit: y.1, values: y.2, places: (area.bottom(), area.y) },
        }
    }

    /// Where a point is.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }

    /// Grid, ticks, frame and names of the axes.
    pub(super) fn draw(&self, canvas: &mut Canvas, x_name: &str, y_name: &str) {
        let Area { x: left, y: top, .. } = self.area;
        let (right, bottom) = (self.area.right(), self.area.bottom());
        let mut widest = 0.0_f64;
        for (value, text) in self.y.ticks(6) {
            let y = self.y.at(value);
            canvas.line((left, y), (right, y), Stroke::new(GRID, 1.0));
            widest = widest.max(text_width(&text, TICK_SIZE));
            let label = Label::new(left - 9.0, y + 6.0, TICK_SIZE, text);
            canvas.label(label.anchor(Anchor::End).color(GRAY));
        }
        // As many ticks as have room for their texts.
        let most = cast::floor_i64(self.area.width / 90.0).max(2);
        for (value, text) in self.x.ticks(usize::try_from(most).unwrap_or(2)) {
            let x = self.x.at(value);
            canvas.line((x, top), (x, bottom), Stroke::new(GRID, 1.0));
            let label = Label::new(x, bottom + 23.0, TICK_SIZE, text);
            canvas.label(label.anchor(Anchor::Middle).color(GRAY));
        }
        canvas.line((left, bottom), (right, bottom), Stroke::new(GRAY, 1.0));
        canvas.line((left, top), (left, bottom), Stroke::new(GRAY, 1.0));
        let (x, y) = (self.area.x + self.area.width / 2.0, self.area.y + self.area.height / 2.0);
        canvas.label(Label::new(x, bottom + 50.0, TEXT_SIZE, x_name).anchor(Anchor::Middle).color(INK));
        // Never off the sheet, however long the numbers are.
        let beside = (left - 24.0 - widest).max(f64::from(TEXT_SIZE) + 3.0);
        canvas.label(Label::new(beside, y, TEXT_SIZE, y_name).anchor(Anchor::Middle).up());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(spacing: Spacing, unit: Unit, values: (f64, f64)) -> Scale {
        Scale { spacing, unit, values, places: (0.0, 100.0) }
    }

    fn texts(scale: &Scale, most: usize) -> Vec<String> {
        scale.ticks(most).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            texts(&scale(Spacing::Linear, Unit::Percent, (0.0, 1.0)), 5),
            ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
        );
        assert_eq!(
            texts(&scale(Spacing::Linear, Unit::Percent, (0.0, 0.1)), 5),
            ["0 %", "2 %", "4 %", "6 %", "8 %", "10 %"]
        );
        assert_eq!(texts(&scale(Spacing::Linear, Unit::Number, (-0.13, 0.31)), 5), ["-0.1", "0", "0.1", "0.2", "0.3"]);
        assert_eq!(
            texts(&scale(Spacing::Linear, Unit::Number, (0.0, 8992.0)), 5),
            ["0", "2,000", "4,000", "6,000", "8,000"]
        );
        assert_eq!(texts(&scale(Spacing::Log, Unit::Number, (9_000.0, 70_000.0)), 4), ["10,000", "20,000", "50,000"]);
        assert_eq!(
            texts(&scale(Spacing::Log, Unit::Number, (1.0, 1e6)), 8),
            ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, -0.5, 12_000.0, 3e-7, 2.5e9].map(plain), ["0", "-0.5", "12,000", "3e-7", "2.5e9"]);
        assert_eq!(plain(0.1 + 0.2), "0.3");
    }

    #[test]
    fn values_lie_between_the_ends() {
        let linear = scale(Spacing::Linear, Unit::Number, (-1.0, 3.0));
        assert_eq!([-1.0, 0.0, 3.0].map(|v| linear.at(v)), [0.0, 25.0, 100.0]);
        let log = scale(Spacing::Log, Unit::Number, (1.0, 100.0));
        assert_eq!([1.0, 10.0, 100.0].map(|v| log.at(v)), [0.0, 50.0, 100.0]);
        assert_eq!(widened(2.0, 2.0, 0.5), (1.0, 3.0));
        assert_eq!(widened(0.0, 0.0, 0.5), (-0.5, 0.5));
    }
}
