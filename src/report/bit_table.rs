//! `BitTable`: a row per bit and a column per number, as CSV or as Parquet.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use super::oracle::quoted;
use super::{Provenance, ReportError, SiteTable};
use crate::import::sites::{PROVENANCE_KEY, is_parquet_name};
use crate::num::cast;

/// Numbers about bits, in the order of the sites.
///
/// The first columns are always `layer,tensor,index,bit`. Numbers read back as the same number from either form: CSV has as
/// many digits as that takes, Parquet the number itself. Equal tables give equal bytes.
#[derive(Debug, Clone)]
pub struct BitTable<'a> {
    /// The bits.
    pub sites: &'a SiteTable,
    /// Further columns, each as long as the sites.
    pub columns: Vec<BitColumn<'a>>,
}

/// A column of a [`BitTable`].
#[derive(Debug, Clone)]
pub struct BitColumn<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// A number per bit.
    pub values: BitValues<'a>,
}

/// The numbers of a column.
#[derive(Debug, Clone)]
pub enum BitValues<'a> {
    /// Counts.
    Counts(Vec<u32>),
    /// Real numbers.
    Reals(Cow<'a, [f64]>),
}

impl BitTable<'_> {
    /// The table in the form that the name of its file asks for: Parquet for `.parquet`, otherwise CSV.
    ///
    /// # Errors
    /// When Parquet cannot hold it.
    pub fn to_bytes(&self, file: &Path, provenance: &Provenance) -> Result<Vec<u8>, ReportError> {
        if is_parquet_name(file) {
            self.parquet(provenance).map_err(|source| ReportError::Parquet { path: file.display().to_string(), source })
        } else {
            Ok(self.csv().into_bytes())
        }
    }

    /// The table as CSV.
    pub fn csv(&self) -> String {
        let mut text = String::from("layer,tensor,index,bit");
        for column in &self.columns {
            text.push(',');
            text.push_str(&quoted(&column.name));
        }
        text.push('\n');
        for (row, site) in self.sites.sites.iter().enumerate() {
            let (layer, tensor) = &self.sites.arrays[site.array];
            text.push_str(&quoted(layer));
            let mut add = |cell: &dyn std::fmt::Display| write!(text, "{cell}").expect("a string can be written to");
            add(&format_args!(",{tensor},{},{}", site.index, site.bit));
            for column in &self.columns {
                match &column.values {
                    BitValues::Counts(counts) => add(&format_args!(",{}", counts[row])),
                    BitValues::Reals(reals) => add(&format_args!(",{}", reals[row])),
                }
            }
            text.push('\n');
        }
        text
    }

    /// The table as Parquet, packed by Snappy, with the provenance among its metadata.
    ///
    /// `layer` and `tensor` are strings, `index` and counts 64-bit integers, `bit` a 32-bit one, the rest doubles.
    fn parquet(&self, provenance: &Provenance) -> Result<Vec<u8>, ParquetError> {
        let field = |name: &str, physical: PhysicalType, logical: Option<LogicalType>| {
            let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
            builder.with_logical_type(logical).build().map(Arc::new)
        };
        let mut fields = vec![
            field("layer", PhysicalType::BYTE_ARRAY, Some(LogicalType::String))?,
            field("tensor", PhysicalType::BYTE_ARRAY, Some(LogicalType::String))?,
            field("index", PhysicalType::INT64, None)?,
            field("bit", PhysicalType::INT32, None)?,
        ];
        let provenance = serde_json::to_string(provenance).expect("strings and numbers have a JSON form");
        let mut properties = WriterProperties::builder()
            .set_created_by(format!("trivote {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![KeyValue::new(PROVENANCE_KEY.to_owned(), Some(provenance))]));
        for column in &self.columns {
            let physical = match column.values {
                BitValues::Counts(_) => PhysicalType::INT64,
                BitValues::Reals(_) => PhysicalType::DOUBLE,
            };
            fields.push(field(&column.name, physical, None)?);
            if physical == PhysicalType::DOUBLE {
                // Hardly two are equal.
                properties =
                    properties.set_column_dictionary_enabled(ColumnPath::new(vec![column.name.to_string()]), false);
            }
        }
        let schema = Type::group_type_builder("bits").with_fields(fields).build()?;
        let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties.build()))?;
        let mut group = writer.next_row_group()?;
        let sites = &self.sites.sites;
        let layers: Vec<ByteArray> = self.sites.arrays.iter().map(|(layer, _)| layer.as_str().into()).collect();
        let tensors: Vec<ByteArray> =
            self.sites.arrays.iter().map(|(_, tensor)| tensor.to_string().as_str().into()).collect();
        let named =
            |names: &[ByteArray]| -> Vec<ByteArray> { sites.iter().map(|site| names[site.array].clone()).collect() };
        write_column::<ByteArrayType>(&mut group, &named(&layers))?;
        write_column::<ByteArrayType>(&mut group, &named(&tensors))?;
        let indices: Vec<i64> = sites.iter().map(|site| cast::i64_from_len(site.index)).collect();
        write_column::<Int64Type>(&mut group, &indices)?;
        let bits: Vec<i32> = sites.iter().map(|site| i32::from(site.bit)).collect();
        write_column::<Int32Type>(&mut group, &bits)?;
        for column in &self.columns {
            match &column.values {
                BitValues::Counts(counts) => {
                    let counts: Vec<i64> = counts.iter().map(|count| i64::from(*count)).collect();
                    write_column::<Int64Type>(&mut group, &counts)?;
                }
                BitValues::Reals(reals) => write_column::<DoubleType>(&mut group, reals)?,
            }
        }
        group.close()?;
        writer.into_inner()
    }
}

fn write_column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("more columns than the schema has".to_owned()));
    };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}
