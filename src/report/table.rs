//! Plain tables that fit a terminal, and how numbers stand in them.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};

use crate::num::cast;

/// A line below the header, nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// On which side a column's content stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Text that is never broken: what a row is known by.
    Name,
    /// Numbers.
    Right,
}

/// A table with a header, for people; no wider than the terminal.
#[derive(Debug)]
pub struct TextTable {
    table: Table,
    sides: Vec<Side>,
}

impl TextTable {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Side)]) -> Self {
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(120);
        }
        table.set_header(columns.iter().map(|(name, side)| Cell::new(name).set_alignment(alignment(*side))));
        for (column, (_, side)) in table.column_iter_mut().zip(columns) {
            // A number or name is never broken; where the terminal is too narrow the line runs over.
            if *side != Side::Left {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        Self { table, sides: columns.iter().map(|(_, side)| *side).collect() }
    }

    /// Adds an empty row, to set groups of rows apart.
    pub fn gap(&mut self) {
        self.table.add_row([""]);
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().zip(&self.sides);
        self.table.add_row(cells.map(|(cell, side)| Cell::new(cell).set_alignment(alignment(*side))));
    }
}

impl std::fmt::Display for TextTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Lines without trailing blanks, so that output can be pasted and compared.
        self.table.to_string().lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

const fn alignment(side: Side) -> CellAlignment {
    match side {
        Side::Left | Side::Name => CellAlignment::Left,
        Side::Right => CellAlignment::Right,
    }
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

    #[test]
    fn tables_have_no_trailing_blanks() {
        let mut table = TextTable::new(&[("name", Side::Left), ("n", Side::Right)]);
        table.row(["a".to_owned(), "10".to_owned()]);
        table.row(["b".to_owned(), "5".to_owned()]);
        let text = table.to_string();
        assert!(text.lines().all(|line| line == line.trim_end()));
        assert!(text.contains(" b       5"), "{text}");
    }
}
