//! Tables of the page: text in cells, heads for screen readers.

use serde::Serialize;

use crate::report::{fixed, significant};

/// What stands where something is not known.
pub(super) const NONE: &str = "–";

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Table {
    /// Says what it shows.
    caption: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Columns from the left that name a row.
    names: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Column {
    name: String,
    is_number: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    cells: Vec<String>,
    /// Whether another system begins here.
    begins: bool,
}

impl Table {
    /// A table whose first columns name its rows; the others are numbers unless their name begins with a `~`.
    pub(super) fn new(caption: impl Into<String>, names: &[&str], others: &[&str]) -> Self {
        let name = |name: &&str| Column { name: (*name).to_owned(), is_number: false };
        let other =
            |name: &&str| Column { name: name.trim_start_matches('~').to_owned(), is_number: !name.starts_with('~') };
        Self {
            caption: caption.into(),
            columns: names.iter().map(name).chain(others.iter().map(other)).collect(),
            rows: Vec::new(),
            names: names.len(),
        }
    }

    /// Adds a column of numbers with this name as it is.
    pub(super) fn column(&mut self, name: &str) {
        self.columns.push(Column { name: name.to_owned(), is_number: true });
    }

    /// Adds a row; a new first cell begins a group.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.caption);
        let begins = self.rows.last().is_some_and(|last| last.cells[0] != cells[0]);
        self.rows.push(Row { cells, begins });
    }

    /// Adds a row that begins no group.
    pub(super) fn plain_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row(cells);
        self.rows.last_mut().expect("a row was just added").begins = false;
    }

    /// The table, if it has rows.
    pub(super) fn filled(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }
}

/// A number that may be unknown.
pub(super) fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or(NONE.to_owned(), significant)
}

/// A share that may be unknown, in percent without its sign.
pub(super) fn hundredths(share: Option<f64>, digits: usize) -> String {
    share.filter(|share| share.is_finite()).map_or(NONE.to_owned(), |share| fixed(share * 100.0, digits))
}

/// An interval that may be unknown.
pub(super) fn interval(ends: Option<[f64; 2]>) -> String {
    ends.map_or(NONE.to_owned(), |[low, high]| format!("{} to {}", significant(low), significant(high)))
}
