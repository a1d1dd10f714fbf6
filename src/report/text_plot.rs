//! A plot in characters, for those who stay in the shell: points of several series, the vertical axis logarithmic.

use super::percent;
use crate::num::cast;

/// Columns between the axis and the right edge, and rows, unless told.
const SIZE: (usize, usize) = (72, 16);

/// Decades below the largest value that are told apart at most; what is lower, or not above 0, stands in the lowest row.
const DECADES: f64 = 6.0;

/// What marks points of several series.
const SHARED: char = '*';

/// Points under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct PlotSeries {
    /// The name.
    pub name: String,
    /// Horizontal and vertical value of each point, both finite.
    pub points: Vec<(f64, f64)>,
}

/// A plot of shares: both axes are told in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct TextPlot<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What the horizontal axis tells.
    pub x_name: &'a str,
    /// The series; letters in their order.
    pub series: &'a [PlotSeries],
}

/// The letter of a series; beyond the alphabet all share a sign.
pub fn letter(series: usize) -> char {
    let letters = ('a'..='z').chain('A'..='Z');
    letters.into_iter().nth(series).unwrap_or('#')
}

impl<'a> TextPlot<'a> {
    /// Area added, as a share of the accelerator, against the share of the summed rise that remains.
    pub const fn of_risk(series: &'a [PlotSeries]) -> Self {
        Self { title: "share of the summed rise that remains", x_name: "area added, of the accelerator", series }
    }

    /// The range of the logarithms, lowest first, and whether anything lies below it.
    fn range(&self) -> Option<(f64, f64, bool)> {
        let values = || self.series.iter().flat_map(|series| &series.points).map(|(_, y)| *y);
        let highest = values().fold(f64::NEG_INFINITY, f64::max);
        if highest <= 0.0 {
            return None;
        }
        let top = highest.log10();
        let least = values().filter(|y| *y > 0.0).fold(highest, f64::min).log10();
        let bottom = least.max(top - DECADES).min(top - 1.0);
        let floor = f64::exp(bottom * std::f64::consts::LN_10) * (1.0 - 1e-9);
        Some((bottom, top, values().any(|y| y < floor)))
    }
}

impl std::fmt::Display for TextPlot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height) = SIZE;
        writeln!(f, "{}", self.title)?;
        let Some((bottom, top, is_cut)) = self.range() else { return writeln!(f, "  nothing above 0 to draw") };
        let right = self.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x).fold(0.0, f64::max);
        let right = if right > 0.0 { right } else { 1.0 };
        let place = |part: f64, last: usize| {
            usize::try_from(cast::floor_i64(part.clamp(0.0, 1.0) * cast::f64_from_count(last) + 0.5)).unwrap_or(0)
        };
        // What is below the scale has a row of its own.
        let rows = height + usize::from(is_cut);
        let mut cells = vec![vec![' '; width]; rows];
        for (number, series) in self.series.iter().enumerate() {
            let own = letter(number);
            for (x, y) in &series.points {
                let row = if *y > 0.0 && y.log10() >= bottom - 1e-9 {
                    place((top - y.log10()) / (top - bottom), height - 1)
                } else {
                    rows - 1
                };
                let cell = &mut cells[row][place(x / right, width - 1)];
                *cell = if *cell == ' ' || *cell == own { own } else { SHARED };
            }
        }
        for (row, cells) in cells.iter().enumerate() {
            let label = if row >= height {
                "below".to_owned()
            } else if row % 3 == 0 || row == height - 1 {
                let part = cast::f64_from_count(row) / cast::f64_from_count(height - 1);
                let value = f64::exp((top - (top - bottom) * part) * std::f64::consts::LN_10);
                let digits =
                    [0.1, 0.01, 0.001, 0.0001, 0.00001].iter().filter(|power| value < **power * (1.0 - 1e-9)).count();
                percent(value, digits)
            } else {
                String::new()
            };
            let line: String = cells.iter().collect();
            writeln!(f, "{}", format!("{label:>12} │{line}").trim_end())?;
        }
        writeln!(f, "{:>12} └{}", "", "─".repeat(width))?;
        let end = percent(right, 2);
        let space = width.saturating_sub(1 + end.chars().count() + self.x_name.chars().count());
        let name = format!("{}{}", " ".repeat(space / 2), self.x_name);
        writeln!(f, "{:>12}  0{name:<fill$}{end}", "", fill = width - 1 - end.chars().count())?;
        let names: Vec<String> = self
            .series
            .iter()
            .enumerate()
            .map(|(number, series)| format!("{} {}", letter(number), series.name))
            .collect();
        let has_shared = cells.iter().flatten().any(|cell| *cell == SHARED);
        let shared = has_shared.then(|| format!("{SHARED} several"));
        legend(f, names.into_iter().chain(shared))
    }
}

/// Names behind each other, in lines of the plot's width.
fn legend(f: &mut std::fmt::Formatter<'_>, names: impl Iterator<Item = String>) -> std::fmt::Result {
    let mut line = String::new();
    for name in names {
        if !line.is_empty() && line.chars().count() + name.chars().count() + 3 > SIZE.0 {
            writeln!(f, "{:>12}  {line}", "")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push_str("   ");
        }
        line.push_str(&name);
    }
    writeln!(f, "{:>12}  {line}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(series: &[(&str, &[(f64, f64)])]) -> String {
        let series: Vec<PlotSeries> = series
            .iter()
            .map(|(name, points)| PlotSeries { name: (*name).to_owned(), points: points.to_vec() })
            .collect();
        TextPlot::of_risk(&series).to_string()
    }

    fn line<'a>(text: &'a str, start: &str) -> &'a str {
        text.lines().find(|line| line.trim_start().starts_with(start)).unwrap()
    }

    #[test]
    fn points_stand_where_their_values_are() {
        let text = plot(&[("first", &[(0.0, 1.0), (0.1, 0.001)]), ("second", &[(0.0, 1.0), (0.05, 0.1)])]);
        assert!(text.lines().all(|line| line.chars().count() <= 90 && line == line.trim_end()), "{text}");
        assert!(line(&text, "100 % │").ends_with("│*"), "{text}");
        // Two decades of three below it, that is 15 rows, and half of 71 columns.
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1 + 5].chars().position(|c| c == 'b'), Some(14 + 36), "{text}");
        assert_eq!(line(&text, "0.10 % │").chars().position(|c| c == 'a'), Some(14 + 71), "{text}");
        assert!(text.contains("a first   b second   * several") && text.contains(" 10.00 %"), "{text}");
    }

    #[test]
    fn what_has_no_logarithm_stands_below() {
        let text = plot(&[("a", &[(0.01, 0.5), (0.02, 0.0), (0.03, -0.25), (0.04, 1e-9)])]);
        let below = line(&text, "below │");
        assert_eq!(below.chars().filter(|c| *c == 'a').count(), 3, "{text}");
        assert!(line(&text, "50 % │").contains('a'), "{text}");
        assert!(plot(&[("a", &[(0.01, -1.0)])]).contains("nothing above 0 to draw"));
        assert!(plot(&[]).contains("nothing above 0 to draw"));
        assert!(!plot(&[("a", &[(0.0, 1.0), (1.0, 1e-6)])]).contains("below"));
    }

    #[test]
    fn every_series_has_a_letter() {
        assert_eq!([0, 25, 26, 51, 52].map(letter), ['a', 'z', 'A', 'Z', '#']);
    }
}
