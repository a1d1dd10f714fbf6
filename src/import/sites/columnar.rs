//! Lists of bits as Parquet, plain or packed by Snappy, of whatever writer.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::{BIT, FINITE, NUMBER, RowPlace, ScoreColumn, SiteError, SiteRow, TENSOR, WHOLE, find_columns, tensor_kind};
use crate::num::{BitIdx, cast};

/// More rows than any accelerator has register bits; what a broken file says is not believed beyond that.
const MOST_ROWS: i64 = 1 << 26;

/// Rows asked for at once: memory grows with what a file holds, not with what it says it holds.
const BATCH: usize = 1 << 14;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is at work on a file whose panics are caught: they are answers, not bugs of ours.
pub(super) fn is_guarded() -> bool {
    GUARDED.get()
}

/// What `work` gives; `None` when it panics. The reader checks much, not all: some broken files trip its assertions.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work)).ok();
    GUARDED.set(false);
    result
}

/// The rows of a Parquet file.
pub(super) fn read(file: &str, bytes: &[u8], score: ScoreColumn<'_>) -> Result<Vec<SiteRow>, SiteError> {
    guarded(|| read_rows(file, bytes, score)).unwrap_or_else(|| Err(SiteError::Damaged { file: file.to_owned() }))
}

/// The value of `key` in the metadata of a Parquet file.
pub(super) fn metadata(bytes: &[u8], key: &str) -> Option<String> {
    let find = || {
        let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).ok()?;
        let entries = reader.metadata().file_metadata().key_value_metadata()?;
        entries.iter().find(|entry| entry.key == key)?.value.clone()
    };
    guarded(find).flatten()
}

fn read_rows(file: &str, bytes: &[u8], score: ScoreColumn<'_>) -> Result<Vec<SiteRow>, SiteError> {
    let broken = |source| SiteError::Parquet { file: file.to_owned(), source };
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(broken)?;
    let described = reader.metadata().file_metadata();
    let rows = described.num_rows();
    if rows > MOST_ROWS {
        return Err(SiteError::TooManyRows { file: file.to_owned(), rows, most: MOST_ROWS });
    }
    let columns = described.schema_descr().columns();
    let names: Vec<String> = columns.iter().map(|column| column.path().string()).collect();
    let header: Vec<&str> = names.iter().map(String::as_str).collect();
    let ([layer, tensor, index, bit], score) = find_columns(file, &header, score)?;

    let table = Table { file, reader: &reader };
    let [layers, tensors] = [table.texts(layer)?, table.texts(tensor)?];
    let [indices, bits] = [table.integers(index)?, table.integers(bit)?];
    let scores = score.map(|at| table.reals(at)).transpose()?;
    let lengths =
        [layers.len(), tensors.len(), indices.len(), bits.len(), scores.as_ref().map_or(bits.len(), Vec::len)];
    if lengths.iter().any(|length| *length != lengths[0]) {
        return Err(broken(ParquetError::General(format!("columns of different lengths: {lengths:?}"))));
    }

    let mut found = Vec::with_capacity(lengths[0]);
    for (row, layer) in layers.into_iter().enumerate() {
        let place = RowPlace::Row(cast::u64_from_len(row) + 1);
        let cell = |at: usize, text: String, expected: &'static str| SiteError::Cell {
            file: file.to_owned(),
            place,
            column: names[at].clone(),
            text,
            expected,
        };
        let (whole, position) = (indices[row], bits[row]);
        found.push(SiteRow {
            place,
            layer,
            tensor: tensor_kind(&tensors[row]).ok_or_else(|| cell(tensor, tensors[row].clone(), TENSOR))?,
            index: usize::try_from(whole).map_err(|_| cell(index, whole.to_string(), WHOLE))?,
            bit: BitIdx(u8::try_from(position).map_err(|_| cell(bit, position.to_string(), BIT))?),
            score: match (score, &scores) {
                (Some(at), Some(scores)) => {
                    let value = scores[row];
                    if !value.is_finite() {
                        return Err(cell(at, value.to_string(), FINITE));
                    }
                    Some(value)
                }
                _ => None,
            },
        });
    }
    Ok(found)
}

/// How the numbers of a column become what is wanted.
struct Numbers<T> {
    /// What the column must hold.
    column: &'static str,
    /// What each of its cells must be.
    cell: &'static str,
    from_integer: fn(i128) -> T,
    /// `None` where whole numbers are wanted.
    from_real: Option<fn(f64) -> T>,
}

/// A file whose columns are read one by one.
struct Table<'a> {
    file: &'a str,
    reader: &'a SerializedFileReader<Bytes>,
}

impl Table<'_> {
    fn description(&self, column: usize) -> &ColumnDescriptor {
        &self.reader.metadata().file_metadata().schema_descr().columns()[column]
    }

    fn name(&self, column: usize) -> String {
        self.description(column).path().string()
    }

    fn wrong_type(&self, column: usize, expected: &'static str) -> SiteError {
        let description = self.description(column);
        let mut found = description.physical_type().to_string();
        if let Some(logical) = description.logical_type_ref() {
            found = format!("{found} ({})", without_details(&format!("{logical:?}")));
        }
        SiteError::ColumnType { file: self.file.to_owned(), column: self.name(column), found, expected }
    }

    /// A column of strings.
    fn texts(&self, column: usize) -> Result<Vec<String>, SiteError> {
        const EXPECTED: &str = "text";
        self.cells(column, EXPECTED, |reader, rows, texts: &mut Vec<String>| match reader {
            ColumnReader::ByteArrayColumnReader(reader) => self.values(reader, column, rows, EXPECTED, |row, value| {
                let text = |value: &ByteArray| value.as_utf8().ok().map(str::to_owned);
                texts.push(text(value).ok_or_else(|| self.cell(column, row, "not UTF-8", EXPECTED))?);
                Ok(())
            }),
            _ => Err(self.wrong_type(column, EXPECTED)),
        })
    }

    /// A column of whole numbers.
    fn integers(&self, column: usize) -> Result<Vec<i128>, SiteError> {
        let from_integer = |integer| integer;
        self.numbers(column, &Numbers { column: "whole numbers", cell: WHOLE, from_integer, from_real: None })
    }

    /// A column of numbers; whole ones beyond 2^53 are rounded.
    fn reals(&self, column: usize) -> Result<Vec<f64>, SiteError> {
        let from_real: fn(f64) -> f64 = |real| real;
        let from_integer = cast::f64_from_i128;
        self.numbers(column, &Numbers { column: "numbers", cell: NUMBER, from_integer, from_real: Some(from_real) })
    }

    fn numbers<T>(&self, column: usize, wanted: &Numbers<T>) -> Result<Vec<T>, SiteError> {
        let description = self.description(column);
        let is_unsigned = match (description.logical_type_ref(), description.converted_type()) {
            (Some(LogicalType::Integer(integer)), _) => !integer.is_signed,
            (Some(_), _) | (None, ConvertedType::DECIMAL) => return Err(self.wrong_type(column, wanted.column)),
            (
                None,
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
            ) => true,
            (None, _) => false,
        };
        let integer = |signed: i128, unsigned: i128| (wanted.from_integer)(if is_unsigned { unsigned } else { signed });
        self.cells(column, wanted.column, |reader, rows, cells: &mut Vec<T>| match (reader, wanted.from_real) {
            (ColumnReader::Int32ColumnReader(reader), _) => {
                self.values(reader, column, rows, wanted.cell, |_, value| {
                    cells.push(integer((*value).into(), value.cast_unsigned().into()));
                    Ok(())
                })
            }
            (ColumnReader::Int64ColumnReader(reader), _) => {
                self.values(reader, column, rows, wanted.cell, |_, value| {
                    cells.push(integer((*value).into(), value.cast_unsigned().into()));
                    Ok(())
                })
            }
            (ColumnReader::FloatColumnReader(reader), Some(from_real)) => {
                self.values(reader, column, rows, wanted.cell, |_, value| {
                    cells.push(from_real(f64::from(*value)));
                    Ok(())
                })
            }
            (ColumnReader::DoubleColumnReader(reader), Some(from_real)) => {
                self.values(reader, column, rows, wanted.cell, |_, value| {
                    cells.push(from_real(*value));
                    Ok(())
                })
            }
            _ => Err(self.wrong_type(column, wanted.column)),
        })
    }

    /// All cells of a column, row group by row group. `read` gets the reader of one, and the rows before it.
    fn cells<T>(
        &self,
        column: usize,
        expected: &'static str,
        mut read: impl FnMut(ColumnReader, Rows, &mut Vec<T>) -> Result<(), SiteError>,
    ) -> Result<Vec<T>, SiteError> {
        let description = self.description(column);
        // Lists in lists have no single value per row.
        if description.max_rep_level() > 0 || description.max_def_level() > 1 {
            return Err(self.wrong_type(column, expected));
        }
        let mut cells = Vec::new();
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(|source| self.broken(source))?;
            let chunk = group.metadata().column(column);
            match chunk.compression() {
                Compression::UNCOMPRESSED | Compression::SNAPPY => {}
                other => {
                    return Err(SiteError::Compression {
                        file: self.file.to_owned(),
                        column: self.name(column),
                        compression: without_details(&other.to_string()).to_owned(),
                    });
                }
            }
            let rows = Rows { before: cells.len(), count: usize::try_from(group.metadata().num_rows()).unwrap_or(0) };
            let reader = group.get_column_reader(column).map_err(|source| self.broken(source))?;
            read(reader, rows, &mut cells)?;
        }
        Ok(cells)
    }

    /// Visits the values of a row group with their rows.
    fn values<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        column: usize,
        rows: Rows,
        expected: &'static str,
        mut visit: impl FnMut(usize, &T::T) -> Result<(), SiteError>,
    ) -> Result<(), SiteError> {
        let present = self.description(column).max_def_level();
        let mut done = 0;
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        while done < rows.count {
            values.clear();
            levels.clear();
            let batch = BATCH.min(rows.count - done);
            let (records, found, _) = reader
                .read_records(batch, Some(&mut levels), None, &mut values)
                .map_err(|source| self.broken(source))?;
            if records == 0 {
                let message = format!("column `{}` ends after {done} of {} rows", self.name(column), rows.count);
                return Err(self.broken(ParquetError::EOF(message)));
            }
            if found < records {
                let gap = levels.iter().position(|level| *level < present).unwrap_or(found);
                return Err(self.cell(column, rows.before + done + gap, "null", expected));
            }
            for (at, value) in values.iter().enumerate() {
                visit(rows.before + done + at, value)?;
            }
            done += records;
        }
        Ok(())
    }

    fn broken(&self, source: ParquetError) -> SiteError {
        SiteError::Parquet { file: self.file.to_owned(), source }
    }

    fn cell(&self, column: usize, row: usize, text: &str, expected: &'static str) -> SiteError {
        SiteError::Cell {
            file: self.file.to_owned(),
            place: RowPlace::Row(cast::u64_from_len(row) + 1),
            column: self.name(column),
            text: text.to_owned(),
            expected,
        }
    }
}

/// The name of a variant without its fields.
fn without_details(variant: &str) -> &str {
    variant.split(['(', ' ']).next().unwrap_or(variant)
}

/// Rows of a row group.
#[derive(Debug, Clone, Copy)]
struct Rows {
    before: usize,
    count: usize,
}
