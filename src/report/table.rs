//! Plain tables that fit a terminal, and how numbers stand in them.

use std::borrow::Cow;
use std::fmt;

use terminal_size::{Width, terminal_size};
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::num::cast;

/// Columns of a line where neither a terminal nor `COLUMNS` says how many there are.
const WIDTH: usize = 120;

/// Blanks between columns; a line begins with one.
const GAP: usize = 3;

/// On which side a column's content stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Text; where the terminal is narrow it is broken between words.
    Left,
    /// Text that is never broken: what a row is known by.
    Name,
    /// The same in the first column, for several rows that follow each other: where the terminal is too narrow for the column
    /// it is left out, and every name stands on a line of its own above its rows.
    Group,
    /// Numbers; never broken.
    Right,
}

#[derive(Debug)]
enum Row {
    Gap,
    Cells(Vec<String>),
}

/// A table with a header, for people; no wider than the terminal unless names and numbers are.
#[derive(Debug)]
pub struct TextTable {
    columns: Vec<(String, Side)>,
    rows: Vec<Row>,
    width: usize,
}

impl TextTable {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Side)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect(),
            rows: Vec::new(),
            width: line_width(),
        }
    }

    /// Adds an empty row, to set groups of rows apart.
    pub fn gap(&mut self) {
        self.rows.push(Row::Gap);
    }

    /// Adds a row; cells beyond the columns are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(Row::Cells(cells));
    }

    fn cells(&self) -> impl Iterator<Item = &Vec<String>> {
        self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => Some(cells),
            Row::Gap => None,
        })
    }

    /// Narrowest and natural width of a column.
    fn widths(&self, column: usize) -> (usize, usize) {
        let (name, side) = &self.columns[column];
        let of_word = |text: &str| text.split(' ').map(display_width).max().unwrap_or(0);
        let (mut least, mut natural) = (of_word(name), display_width(name));
        for cells in self.cells() {
            let cell = &cells[column];
            least = least.max(if *side == Side::Left { of_word(cell) } else { display_width(cell) });
            natural = natural.max(display_width(cell));
        }
        (least, natural)
    }

    /// Widths of the columns from `first` on: natural where that fits, otherwise the widest are as narrow as it takes.
    fn layout(&self, first: usize) -> (Vec<usize>, Fit) {
        let bounds: Vec<(usize, usize)> = (first..self.columns.len()).map(|column| self.widths(column)).collect();
        let most = bounds.iter().map(|(_, natural)| *natural).max().unwrap_or(0);
        let capped = |cap: usize| bounds.iter().map(|(least, natural)| (*natural).min(cap).max(*least)).collect();
        let fits = |widths: &Vec<usize>| span(widths) + 2 <= self.width;
        match (0..=most).rev().map(capped).find(fits) {
            Some(widths) => (widths, Fit::Fits),
            None => (capped(0), Fit::RunsOver),
        }
    }

    fn write_cells(
        &self,
        f: &mut fmt::Formatter<'_>,
        first: usize,
        widths: &[usize],
        cells: &[Vec<String>],
    ) -> fmt::Result {
        let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..lines {
            let mut text = String::new();
            for (position, width) in widths.iter().enumerate() {
                let cell = cells[position].get(line).map_or("", String::as_str);
                let blanks = " ".repeat(width.saturating_sub(display_width(cell)));
                text.push_str(if position == 0 { " " } else { "   " });
                match self.columns[first + position].1 {
                    Side::Right => text.extend([&blanks, cell]),
                    Side::Left | Side::Name | Side::Group => text.extend([cell, &blanks]),
                }
            }
            // Lines without trailing blanks, so that output can be pasted and compared.
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Fits,
    RunsOver,
}

/// From the first cell to the end of the last.
fn span(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_grouped = self.columns.first().is_some_and(|(_, side)| *side == Side::Group);
        let (widths, fit) = self.layout(0);
        let first = usize::from(is_grouped && fit == Fit::RunsOver);
        let widths = if first > 0 { self.layout(first).0 } else { widths };
        // Headers end in the line above the rule.
        let mut header: Vec<Vec<String>> =
            self.columns[first..].iter().zip(&widths).map(|((name, _), width)| wrapped(name, *width)).collect();
        let lines = header.iter().map(Vec::len).max().unwrap_or(0);
        for cell in &mut header {
            cell.splice(0..0, vec![String::new(); lines - cell.len()]);
        }
        self.write_cells(f, first, &widths, &header)?;
        writeln!(f, "{}", "─".repeat(span(&widths) + 2))?;
        let mut group = None;
        for row in &self.rows {
            let Row::Cells(cells) = row else {
                writeln!(f)?;
                continue;
            };
            if first > 0 && group != Some(&cells[0]) {
                writeln!(f, " {} {}", self.columns[0].0, cells[0])?;
                group = Some(&cells[0]);
            }
            let lines: Vec<Vec<String>> =
                cells[first..].iter().zip(&widths).map(|(cell, width)| wrapped(cell, *width)).collect();
            self.write_cells(f, first, &widths, &lines)?;
        }
        Ok(())
    }
}

/// Columns of a line: those of the terminal, or as many as `COLUMNS` says.
pub fn line_width() -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = terminal_size().map(|(Width(columns), _)| usize::from(columns)).or_else(told);
    width.filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// `text` in lines of `width`, broken between words; a longer word has a line of its own. Blanks at its start stay.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
}

/// An integer with thousands separated: `12,720`.
pub fn grouped(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number rounded to whole, with thousands separated.
pub fn whole(value: f64) -> String {
    let magnitude = usize::try_from(cast::floor_i64(value.abs() + 0.5)).unwrap_or(usize::MAX);
    format!("{}{}", if value < 0.0 && magnitude > 0 { "-" } else { "" }, grouped(magnitude))
}

/// A number with `digits` digits after the point.
pub fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    // A rounded negative zero is a zero.
    if text.trim_start_matches(['-', '0', '.']).is_empty() { text.trim_start_matches('-').to_owned() } else { text }
}

/// A share as percent with `digits` digits after the point; `-` when there is none.
pub fn percent(share: f64, digits: usize) -> String {
    if share.is_finite() { format!("{} %", fixed(share * 100.0, digits)) } else { "-".to_owned() }
}

/// A number with four significant digits, in plain notation where that is short.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e6).contains(&magnitude) {
        format!("{value:.3e}")
    } else {
        let digits = [1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001].iter().filter(|power| magnitude < **power).count();
        fixed(value, digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!([0, 999, 1000, 12_720, 1_234_567].map(grouped), ["0", "999", "1,000", "12,720", "1,234,567"]);
        assert_eq!([0.0, -0.2, 1234.5, -98_765.4].map(whole), ["0", "0", "1,235", "-98,765"]);
        assert_eq!(fixed(-0.0001, 2), "0.00");
        assert_eq!(fixed(-0.5, 1), "-0.5");
        assert_eq!(percent(0.3333, 1), "33.3 %");
        assert_eq!(percent(f64::NAN, 1), "-");
        let cases = [(0.0, "0"), (1234.5, "1234"), (57.372, "57.37"), (0.056_789, "0.05679"), (1e-7, "1.000e-7")];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }

    /// A table of that width.
    fn table(width: usize, columns: &[(&str, Side)], rows: &[&[&str]]) -> String {
        let mut table = TextTable { width, ..TextTable::new(columns) };
        for row in rows {
            if row.is_empty() { table.gap() } else { table.row(row.iter().map(|cell| (*cell).to_owned())) }
        }
        table.to_string()
    }

    #[test]
    fn tables_have_no_trailing_blanks() {
        let text = table(120, &[("name", Side::Left), ("n", Side::Right)], &[&["a", "10"], &[], &["b", "5"]]);
        assert_eq!(text, " name    n\n───────────\n a      10\n\n b       5\n");
    }

    #[test]
    fn text_breaks_between_words_alone() {
        let columns = [("stage", Side::Name), ("what it does", Side::Left), ("area of registers", Side::Right)];
        let rows: [&[&str]; 2] =
            [&["conv_1", "input, ap_ufixed<5,1> TRN WRAP", "12 to 3,180"], &["all", "  indented words", "5"]];
        let wide = table(120, &columns, &rows);
        assert_eq!(wide.lines().count(), 4, "{wide}");
        let narrow = table(42, &columns, &rows);
        let lines = [
            "                                  area of",
            " stage    what it does          registers",
            "──────────────────────────────────────────",
            " conv_1   input,              12 to 3,180",
            "          ap_ufixed<5,1>",
            "          TRN WRAP",
            " all        indented                    5",
            "          words",
        ];
        assert_eq!(narrow.lines().collect::<Vec<_>>(), lines);
        // Names, numbers and words are never broken, however narrow it gets.
        let least = table(1, &columns, &rows);
        for whole in ["conv_1", "ap_ufixed<5,1>", "12 to 3,180", "registers"] {
            assert!(least.contains(whole), "{least}");
        }
    }

    #[test]
    fn long_names_of_groups_stand_above_their_rows() {
        let columns = [("ranking", Side::Group), ("budget", Side::Right), ("bits", Side::Right)];
        let rows: [&[&str]; 4] = [
            &["oracle", "5%", "1"],
            &[],
            &["planned:register:sec8", "5%", "22"],
            &["planned:register:sec8", "9%", "3"],
        ];
        let wide = table(41, &columns, &rows);
        assert_eq!(wide.lines().next(), Some(" ranking                 budget   bits"));
        let narrow = table(38, &columns, &rows);
        let lines = [
            " budget   bits",
            "───────────────",
            " ranking oracle",
            "     5%      1",
            "",
            " ranking planned:register:sec8",
            "     5%     22",
            "     9%      3",
        ];
        assert_eq!(narrow.lines().collect::<Vec<_>>(), lines);
    }
}
