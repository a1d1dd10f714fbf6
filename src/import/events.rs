//! Event files: charges of HGCal modules (`CALQ_0` to `CALQ_47`, CSV or NumPy) and tensors (NumPy).
//!
//! Takes bytes and a file name for messages; opening files is left to the caller. Charges are checked (finite, not
//! negative, not all zero) but not normalized: what they mean to a network is `host`'s knowledge.

use std::fmt;

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::lines::line_of;
use super::npy::{ConversionError, NpyArray, NpyError};
use crate::num::cast;

/// Trigger cells of a module.
pub const CELLS: usize = 48;

/// Columns that would be `CALQ_48` and above are not part of a module.
const PREFIX: &str = "CALQ_";

/// Where in a file an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Line of a text file, from 1.
    Line(u64),
    /// Event of an array, from 0.
    Event(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Event(event) => write!(f, "event {event}"),
        }
    }
}

/// Why an event file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A column that the header does not name.
    #[error("{file}: no column `CALQ_{cell}`; the first line must name the columns CALQ_0 to CALQ_47")]
    MissingColumn {
        /// The file.
        file: String,
        /// The first cell without a column.
        cell: usize,
    },
    /// A column that the header names twice.
    #[error("{file}: two columns `CALQ_{cell}`")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The cell.
        cell: usize,
    },
    /// A line with more or fewer values than the header.
    #[error("{file}, {place}: {found} values; the header names {expected} columns")]
    RowLength {
        /// The file.
        file: String,
        /// The line.
        place: Place,
        /// Columns in the header.
        expected: usize,
        /// Values in the line.
        found: usize,
    },
    /// A value that is no number.
    #[error("{file}, {place}, column CALQ_{cell}: `{text}` is not a number")]
    NotANumber {
        /// The file.
        file: String,
        /// The line.
        place: Place,
        /// The cell.
        cell: usize,
        /// What stands there.
        text: String,
    },
    /// A charge that is negative, infinite or NaN.
    #[error("{file}, {place}, column CALQ_{cell}: charge {value} is not a finite number of at least 0")]
    Charge {
        /// The file.
        file: String,
        /// The line or event.
        place: Place,
        /// The cell.
        cell: usize,
        /// The charge.
        value: f64,
    },
    /// A module without charge.
    #[error("{file}, {place}: all 48 charges are 0, so there is nothing to normalize; remove the event")]
    EmptyModule {
        /// The file.
        file: String,
        /// The line or event.
        place: Place,
    },
    /// Charges whose sum no double-precision number holds.
    #[error("{file}, {place}: the sum of the charges, {sum:e}, is out of range")]
    Sum {
        /// The file.
        file: String,
        /// The line or event.
        place: Place,
        /// The sum.
        sum: f64,
    },
    /// Nothing but a header.
    #[error("{file}: no events")]
    NoEvents {
        /// The file.
        file: String,
    },
    /// Bytes that are no text.
    #[error("{file}, {place}: not UTF-8 text")]
    NotText {
        /// The file.
        file: String,
        /// The line.
        place: Place,
    },
    /// A text that is no CSV.
    #[error("{file}: not a CSV file")]
    Csv {
        /// The file.
        file: String,
        /// What the CSV reader says.
        source: csv::Error,
    },
    /// An array that cannot be read.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// An array of another shape.
    #[error("{file}: an array of shape {found:?}; [events, {}] is needed", Axes(expected))]
    Shape {
        /// The file.
        file: String,
        /// Shape of an event.
        expected: Vec<usize>,
        /// Shape of the array.
        found: Vec<usize>,
    },
    /// A value of an array that the network's input cannot hold.
    #[error("{file}: {source}")]
    Conversion {
        /// The file.
        file: String,
        /// Which value.
        source: ConversionError,
    },
    /// A value of a tensor that is infinite or NaN.
    #[error("{file}, {place}, value {index}: {value} is not a finite number")]
    NotFinite {
        /// The file.
        file: String,
        /// The event.
        place: Place,
        /// Position in the event, in C order.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// Axis lengths separated by commas.
struct Axes<'a>(&'a [usize]);

impl fmt::Display for Axes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&axes.join(", "))
    }
}

/// Reads the first `limit` events (all without a limit) of a CSV file with columns `CALQ_0` to `CALQ_47`.
///
/// The first line names the columns, in any order; others are ignored, and so is white space around values. The result
/// holds the charges of cells 0 to 47 of each event, in the file's order. Lines behind the limit are not looked at.
///
/// # Errors
/// When a column is missing or doubled, a line is too short or too long, a charge is not a finite number of at least 0,
/// a module has no charge, or there is no event. The message names file, line and column.
pub fn read_events_csv(file: &str, text: &[u8], limit: Option<usize>) -> Result<Vec<[f64; CELLS]>, EventError> {
    // Spreadsheets put a byte order mark first.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(text);
    let no_csv = |source| EventError::Csv { file: file.to_owned(), source };
    let header = reader.byte_headers().map_err(no_csv)?.clone();
    let columns = columns(file, &header)?;
    let mut events = Vec::new();
    let mut record = ByteRecord::new();
    while limit.is_none_or(|limit| events.len() < limit) {
        if !reader.read_byte_record(&mut record).map_err(no_csv)? {
            break;
        }
        let place = Place::Line(record.position().map_or(0, |start| line_of(text, start)));
        if record.len() != header.len() {
            let (expected, found) = (header.len(), record.len());
            return Err(EventError::RowLength { file: file.to_owned(), place, expected, found });
        }
        let mut charges = [0.0; CELLS];
        for (cell, charge) in charges.iter_mut().enumerate() {
            let field = &record[columns[cell]];
            let text = std::str::from_utf8(field).map_err(|_| EventError::NotText { file: file.to_owned(), place })?;
            *charge = text.parse().map_err(|_| {
                let text = text.to_owned();
                EventError::NotANumber { file: file.to_owned(), place, cell, text }
            })?;
        }
        events.push(checked(file, place, &charges)?);
    }
    if events.is_empty() && limit != Some(0) {
        return Err(EventError::NoEvents { file: file.to_owned() });
    }
    Ok(events)
}

/// Reads the first `limit` events (all without a limit) of a NumPy array `[events, 48]` of charges.
///
/// # Errors
/// When the array cannot be read or has another shape, a charge is not a finite number of at least 0, a module has no
/// charge, or there is no event.
pub fn read_events_npy(file: &str, array: &NpyArray, limit: Option<usize>) -> Result<Vec<[f64; CELLS]>, EventError> {
    let values = array.data().to_f64().map_err(|source| EventError::Conversion { file: file.to_owned(), source })?;
    check_shape(file, array.shape(), &[CELLS])?;
    let (events, _) = values.as_chunks::<CELLS>();
    let wanted = events.iter().take(limit.unwrap_or(usize::MAX)).enumerate();
    wanted.map(|(event, charges)| checked(file, Place::Event(event), charges)).collect()
}

/// Reads the first `limit` events (all without a limit) of a NumPy array `[events, ...shape]`, or flat
/// `[events, values]`, as tensors of `shape` in C order; where the last axis of `shape` is 1, it may be left out.
///
/// Every value is multiplied by `scale` in `f64` and rounded once to `f32`: by 1/256 for an image of bytes that the network
/// takes as fractions.
///
/// # Errors
/// When the array has another shape, a value is no finite `f32`, or there is no event.
pub fn read_tensors_npy(
    file: &str,
    array: &NpyArray,
    shape: &[usize],
    scale: f64,
    limit: Option<usize>,
) -> Result<Vec<Vec<f32>>, EventError> {
    let values = array.data().to_f32().map_err(|source| EventError::Conversion { file: file.to_owned(), source })?;
    check_shape(file, array.shape(), shape)?;
    // No event has no value: check_shape has seen that the array is not empty.
    let events = values.chunks_exact(shape.iter().product::<usize>().max(1));
    let wanted = events.take(limit.unwrap_or(usize::MAX)).enumerate();
    wanted
        .map(|(event, values)| {
            let scaled = |value: &f32| cast::nearest_f32(f64::from(*value) * scale);
            let values: Vec<f32> = values.iter().map(scaled).collect();
            match values.iter().position(|value| !value.is_finite()) {
                None => Ok(values),
                Some(index) => {
                    let (place, value) = (Place::Event(event), values[index]);
                    Err(EventError::NotFinite { file: file.to_owned(), place, index, value })
                }
            }
        })
        .collect()
}

/// The column of each cell.
fn columns(file: &str, header: &ByteRecord) -> Result<[usize; CELLS], EventError> {
    let mut columns = [None; CELLS];
    for (column, name) in header.iter().enumerate() {
        let number = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(PREFIX));
        // Only the plain spelling: `CALQ_07` is another column.
        let Some(cell) = (0..CELLS).find(|cell| number == Some(&cell.to_string())) else { continue };
        if columns[cell].replace(column).is_some() {
            return Err(EventError::DuplicateColumn { file: file.to_owned(), cell });
        }
    }
    if let Some(cell) = columns.iter().position(Option::is_none) {
        return Err(EventError::MissingColumn { file: file.to_owned(), cell });
    }
    Ok(columns.map(|column| column.expect("checked to be there")))
}

fn check_shape(file: &str, found: &[usize], expected: &[usize]) -> Result<(), EventError> {
    let values = expected.iter().product::<usize>();
    match found.split_first() {
        Some((events, event)) if event == expected || event == [values] || is_without_channel(event, expected) => {
            if *events == 0 || values == 0 {
                return Err(EventError::NoEvents { file: file.to_owned() });
            }
            Ok(())
        }
        _ => {
            let (expected, found) = (expected.to_vec(), found.to_vec());
            Err(EventError::Shape { file: file.to_owned(), expected, found })
        }
    }
}

/// Whether `event` is `expected` but for a last axis of one channel: `[rows, columns]` for `[rows, columns, 1]`.
fn is_without_channel(event: &[usize], expected: &[usize]) -> bool {
    expected.split_last() == Some((&1, event)) && event.len() == 2
}

fn checked(file: &str, place: Place, charges: &[f64; CELLS]) -> Result<[f64; CELLS], EventError> {
    let file = || file.to_owned();
    if let Some(cell) = charges.iter().position(|charge| !charge.is_finite() || *charge < 0.0) {
        return Err(EventError::Charge { file: file(), place, cell, value: charges[cell] });
    }
    let sum: f64 = charges.iter().sum();
    if sum == 0.0 {
        return Err(EventError::EmptyModule { file: file(), place });
    }
    if !sum.is_normal() {
        return Err(EventError::Sum { file: file(), place, sum });
    }
    Ok(*charges)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::import::npy::NpyData;

    fn header() -> String {
        (0..CELLS).map(|cell| format!("CALQ_{cell}")).collect::<Vec<_>>().join(",")
    }

    /// A line whose cell `at` holds `text`, others 1.
    fn line(at: usize, text: &str) -> String {
        (0..CELLS).map(|cell| if cell == at { text } else { "1" }).collect::<Vec<_>>().join(",")
    }

    fn read(text: &str) -> Result<Vec<[f64; CELLS]>, EventError> {
        read_events_csv("e.csv", text.as_bytes(), None)
    }

    fn message(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn columns_in_any_order_beside_others() {
        let mut text = "\u{feff}event, CALQ_48,".to_owned();
        text += &(0..CELLS).rev().map(|cell| format!("CALQ_{cell}")).collect::<Vec<_>>().join(" , ");
        text += "\r\n";
        for event in 0..2 {
            let values = (0..CELLS).rev().map(|cell| format!("{}", cell * 10 + event)).collect::<Vec<_>>().join(",");
            write!(text, "run {event},x, {values} \r\n\r\n").unwrap();
        }
        let events = read(&text).unwrap();
        assert_eq!(events.len(), 2);
        for (event, charges) in events.iter().enumerate() {
            let expected: Vec<f64> = (0..CELLS).map(|cell| cast::f64_from_count(cell * 10 + event)).collect();
            assert_eq!(charges[..], expected);
        }
        assert_eq!(read(&format!("{}\n{}", header(), line(7, "2.5e1"))).unwrap()[0][7], 25.0);
    }

    #[test]
    fn limits_stop_before_bad_lines_but_not_before_the_header() {
        let text = format!("{}\n{}\n{}\nnonsense\n", header(), line(0, "3"), line(0, "4"));
        let read = |limit| read_events_csv("e.csv", text.as_bytes(), limit);
        assert_eq!(read(Some(2)).unwrap().len(), 2);
        assert_eq!(read(Some(0)).unwrap().len(), 0);
        assert!(read(Some(3)).is_err());
        assert!(read_events_csv("e.csv", b"CALQ_0\n1\n", Some(0)).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let start = header();
        let cases = [
            (String::new(), "e.csv: no column `CALQ_0`; the first line must name the columns CALQ_0 to CALQ_47"),
            (
                start.replace("_47", "_047"),
                "e.csv: no column `CALQ_47`; the first line must name the columns CALQ_0 to CALQ_47",
            ),
            (start.replace("_47", "_7"), "e.csv: two columns `CALQ_7`"),
            (start.clone(), "e.csv: no events"),
            (format!("{start}\n1,2\n"), "e.csv, line 2: 2 values; the header names 48 columns"),
            (format!("{start}\n\n{},1\n", line(0, "1")), "e.csv, line 3: 49 values; the header names 48 columns"),
            (format!("{start}\n{}", line(5, "six")), "e.csv, line 2, column CALQ_5: `six` is not a number"),
            (format!("{start}\n{}", line(5, "")), "e.csv, line 2, column CALQ_5: `` is not a number"),
            (
                format!("{start}\n{}", line(5, "-2")),
                "e.csv, line 2, column CALQ_5: charge -2 is not a finite number of at least 0",
            ),
            (
                format!("{start}\n{}", line(5, "nan")),
                "e.csv, line 2, column CALQ_5: charge NaN is not a finite number of at least 0",
            ),
            (
                format!("{start}\n{}", line(5, "1e999")),
                "e.csv, line 2, column CALQ_5: charge inf is not a finite number of at least 0",
            ),
            (
                format!("{start}\n{}\n{}", line(0, "1"), ["0"; 48].join(",")),
                "e.csv, line 3: all 48 charges are 0, so there is nothing to normalize; remove the event",
            ),
            (
                format!("{start}\n{}", ["1e308"; 48].join(",")),
                "e.csv, line 2: the sum of the charges, inf, is out of range",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(message(&text), expected);
        }
        let mut bytes = format!("{start}\n{}", line(0, "?")).into_bytes();
        let at = start.len() + 1;
        bytes[at] = 0xff;
        assert!(matches!(
            read_events_csv("e.csv", &bytes, None),
            Err(EventError::NotText { place: Place::Line(2), .. })
        ));
    }

    #[test]
    fn arrays_of_charges_and_of_tensors() {
        let array = |shape: &[usize], data| NpyArray::new(shape.to_vec(), data).unwrap();
        let charges = array(&[2, 48], NpyData::U16((0..96).collect()));
        let events = read_events_npy("e.npy", &charges, None).unwrap();
        assert_eq!((events.len(), events[1][47]), (2, 95.0));
        assert_eq!(read_events_npy("e.npy", &charges, Some(1)).unwrap().len(), 1);
        let error = |array: &NpyArray| read_events_npy("e.npy", array, None).unwrap_err().to_string();
        assert_eq!(
            error(&array(&[1, 8], NpyData::U8(vec![1; 8]))),
            "e.npy: an array of shape [1, 8]; [events, 48] is needed"
        );
        assert_eq!(error(&array(&[0, 48], NpyData::U8(vec![]))), "e.npy: no events");
        let mut values = vec![1; 96];
        values[48 + 5] = -1;
        assert_eq!(
            error(&array(&[2, 48], NpyData::I8(values))),
            "e.npy, event 1, column CALQ_5: charge -1 is not a finite number of at least 0"
        );
        assert_eq!(
            error(&array(&[1, 48], NpyData::U64(vec![u64::MAX; 48]))),
            "e.npy: value 0 = 18446744073709551615 is not exact as f64"
        );

        let images = array(&[2, 2, 1, 2], NpyData::U8((0..8).collect()));
        let tensors = read_tensors_npy("t.npy", &images, &[2, 1, 2], 1.0, None).unwrap();
        assert_eq!(tensors, [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]);
        let flat = array(&[2, 4], NpyData::F64(vec![0.5; 8]));
        assert_eq!(read_tensors_npy("t.npy", &flat, &[2, 1, 2], 1.0, Some(1)).unwrap(), [[0.5; 4]]);
        let bytes = array(&[1, 2, 2], NpyData::U8(vec![0, 64, 128, 255]));
        let scaled = read_tensors_npy("t.npy", &bytes, &[2, 2, 1], 0.003_906_25, None).unwrap();
        assert_eq!(scaled, [[0.0, 0.25, 0.5, 0.996_093_75]], "a map of one channel, in steps of 1/256");
        let error = read_tensors_npy("t.npy", &bytes, &[2, 2, 1], 1e40, None).unwrap_err().to_string();
        assert_eq!(error, "t.npy, event 0, value 1: inf is not a finite number");
        let error = read_tensors_npy("t.npy", &images, &[2, 2], 1.0, None).unwrap_err().to_string();
        assert_eq!(error, "t.npy: an array of shape [2, 2, 1, 2]; [events, 2, 2] is needed");
        let nan = array(&[1, 2], NpyData::F32(vec![1.0, f32::NAN]));
        let error = read_tensors_npy("t.npy", &nan, &[2], 1.0, None).unwrap_err().to_string();
        assert_eq!(error, "t.npy, event 0, value 1: NaN is not a finite number");
        assert!(matches!(
            read_tensors_npy("t.npy", &array(&[0, 2], NpyData::F32(vec![])), &[2], 1.0, None),
            Err(EventError::NoEvents { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_text_panics(noise in prop::collection::vec(any::<u8>(), 0..300), cut in 0..600_usize) {
            let mut text = format!("{}\n{}\n", header(), line(3, "2")).into_bytes();
            text.truncate(cut);
            text.extend(noise);
            if let Ok(events) = read_events_csv("e.csv", &text, None) {
                prop_assert!(events.iter().flatten().all(|charge| charge.is_finite() && *charge >= 0.0));
            }
        }
    }
}
