//! Lists of faults in time, in CSV: columns `cycle,address,kind`.
//!
//! Only reads: whether a design has such state is `hw`'s knowledge, so every row keeps its line number and its address
//! as written.

use super::lines::line_of;

/// Why a list of faults cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultListError {
    /// A file that is not CSV.
    #[error("{file}: {source}")]
    Csv {
        /// The file.
        file: String,
        /// Line and reason.
        source: csv::Error,
    },
    /// A column that is missing, or stands there twice.
    #[error("{file}: line 1: column `{column}` must stand there once; needed are cycle, address, kind")]
    Column {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
    },
    /// A cell that cannot be understood.
    #[error("{file}: line {line}, column `{column}`: `{text}` is not {expected}")]
    Cell {
        /// The file.
        file: String,
        /// Line, counted from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        text: String,
        /// What should stand there.
        expected: &'static str,
    },
}

/// What happens to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A flip-flop holds the opposite until it is written again: `flip`.
    Flip,
    /// A line is wrong for one cycle: `transient`.
    Transient,
    /// A flip-flop holds 0 for good: `stuck0`.
    Stuck0,
    /// A flip-flop holds 1 for good: `stuck1`.
    Stuck1,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Flip, Self::Transient, Self::Stuck0, Self::Stuck1];

    /// The name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::Transient => "transient",
            Self::Stuck0 => "stuck0",
            Self::Stuck1 => "stuck1",
        }
    }
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRow {
    /// Line in the file, counted from 1.
    pub line: u64,
    /// Clock cycle, counted from 0.
    pub cycle: u64,
    /// The state bit or line, as written.
    pub address: String,
    /// What happens to it.
    pub kind: FaultKind,
}

/// Reads a list of faults; `file` names it in messages. Columns may stand in any order, others are ignored; a list
/// without rows is one in which nothing happens.
///
/// # Errors
/// Names file, line and column of the first cell that cannot be understood.
pub fn read_fault_list(file: &str, text: &[u8]) -> Result<Vec<FaultRow>, FaultListError> {
    let csv_error = |source| FaultListError::Csv { file: file.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(csv_error)?.clone();
    let column = |name: &'static str| {
        let mut places = header.iter().enumerate().filter(|(_, field)| *field == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            _ => Err(FaultListError::Column { file: file.to_owned(), column: name }),
        }
    };
    let [cycle, address, kind] = [column("cycle")?, column("address")?, column("kind")?];
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let line = record.position().map_or(0, |start| line_of(text, start));
        let cell = |column: &'static str, at: usize, expected: &'static str| FaultListError::Cell {
            file: file.to_owned(),
            line,
            column,
            text: record[at].to_owned(),
            expected,
        };
        let named = FaultKind::ALL.into_iter().find(|known| known.name() == &record[kind]);
        rows.push(FaultRow {
            line,
            cycle: record[cycle].parse().map_err(|_| cell("cycle", cycle, "a whole number of clock cycles"))?,
            address: record[address].to_owned(),
            kind: named.ok_or_else(|| cell("kind", kind, "flip, transient, stuck0 or stuck1"))?,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_lines() {
        let text = "kind,cycle,note,address\nflip, 7 ,x,a.kernel[0].bit[0]\n\nstuck1,18446744073709551615,,b\n";
        let row = |line, cycle, address: &str, kind| FaultRow { line, cycle, address: address.to_owned(), kind };
        let expected = [row(2, 7, "a.kernel[0].bit[0]", FaultKind::Flip), row(4, u64::MAX, "b", FaultKind::Stuck1)];
        assert_eq!(read_fault_list("f.csv", text.as_bytes()).unwrap(), expected);
        assert_eq!(read_fault_list("f.csv", b"cycle,address,kind\n").unwrap(), []);
    }

    #[test]
    fn faulty_lists_name_the_place() {
        for (text, expected) in [
            ("cycle,kind\n", "f.csv: line 1: column `address` must stand there once"),
            ("cycle,address,kind,cycle\n", "f.csv: line 1: column `cycle` must stand there once"),
            ("", "f.csv: line 1: column `cycle`"),
            ("cycle,address,kind\n1,a,flip\n-1,a,flip\n", "f.csv: line 3, column `cycle`: `-1` is not a whole number"),
            ("cycle,address,kind\n1,a,Flip\n", "f.csv: line 2, column `kind`: `Flip` is not flip, transient"),
            ("cycle,address,kind\n1,a\n", "f.csv: CSV error"),
        ] {
            let error = read_fault_list("f.csv", text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }
}
