//! `NpzWriter`: named arrays to an `.npz` archive, as NumPy's `savez` and `savez_compressed` write them.
//!
//! The bytes depend on the arrays alone (entries carry a fixed time), so equal results make equal files. Where the file
//! lies, and replacing an older one in one step, is the caller's business; reading is `import`'s.

use std::fmt::Write as _;
use std::io::{Seek, Write};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// NumPy aligns values to this many bytes, so that stored members can be mapped into memory.
const ALIGNMENT: usize = 64;

/// Most axes that every version of NumPy takes.
const MAX_AXES: usize = 32;

/// Values converted to bytes at a time.
const BATCH: usize = 8192;

/// Members of this many bytes or more need the ZIP64 form.
const LARGE_BYTES: usize = 1 << 31;

/// Why an array cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// A name that is empty or taken, or would become a path.
    #[error("array `{array}`: a name must be new, not empty, and without slashes")]
    Name {
        /// The array.
        array: String,
    },
    /// A shape that does not go with the number of values.
    #[error("array `{array}`: {values} values do not fill the shape {shape:?} (at most {MAX_AXES} axes)")]
    Shape {
        /// The array.
        array: String,
        /// The shape.
        shape: Vec<usize>,
        /// Values given.
        values: usize,
    },
    /// The archive cannot be written.
    #[error("array `{array}` cannot be written")]
    Write {
        /// The array.
        array: String,
        /// What the archive writer says.
        source: ZipError,
    },
    /// The archive cannot be completed.
    #[error("the archive's list of arrays cannot be written")]
    Finish {
        /// What the archive writer says.
        source: ZipError,
    },
}

/// How members are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As they are.
    Stored,
    /// Compressed.
    #[default]
    Deflated,
}

/// Values of an array, in C order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// NumPy's `uint8`.
    U8(&'a [u8]),
    /// NumPy's `int32`.
    I32(&'a [i32]),
    /// NumPy's `int64`.
    I64(&'a [i64]),
    /// NumPy's `float32`.
    F32(&'a [f32]),
    /// NumPy's `float64`.
    F64(&'a [f64]),
}

macro_rules! values_from {
    ($($type:ty => $variant:ident),*) => {
        $(impl<'a> From<&'a [$type]> for Values<'a> {
            fn from(values: &'a [$type]) -> Self {
                Self::$variant(values)
            }
        })*
    };
}
values_from!(u8 => U8, i32 => I32, i64 => I64, f32 => F32, f64 => F64);

impl Values<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// NumPy's name of the type, and bytes per value.
    const fn dtype(&self) -> (&'static str, usize) {
        match self {
            Self::U8(_) => ("|u1", 1),
            Self::I32(_) => ("<i4", 4),
            Self::I64(_) => ("<i8", 8),
            Self::F32(_) => ("<f4", 4),
            Self::F64(_) => ("<f8", 8),
        }
    }

    fn write(&self, sink: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::U8(values) => sink.write_all(values),
            Self::I32(values) => write_batches(values, sink, i32::to_le_bytes),
            Self::I64(values) => write_batches(values, sink, i64::to_le_bytes),
            Self::F32(values) => write_batches(values, sink, f32::to_le_bytes),
            Self::F64(values) => write_batches(values, sink, f64::to_le_bytes),
        }
    }
}

fn write_batches<T: Copy, const N: usize>(
    values: &[T],
    sink: &mut impl Write,
    bytes: impl Fn(T) -> [u8; N],
) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BATCH * N);
    for batch in values.chunks(BATCH) {
        buffer.clear();
        buffer.extend(batch.iter().flat_map(|value| bytes(*value)));
        sink.write_all(&buffer)?;
    }
    Ok(())
}

/// An `.npz` archive under construction.
#[derive(Debug)]
pub struct NpzWriter<W: Write + Seek> {
    zip: ZipWriter<W>,
    packing: Packing,
    names: Vec<String>,
}

impl<W: Write + Seek> NpzWriter<W> {
    /// Starts an archive in `sink`.
    pub fn new(sink: W, packing: Packing) -> Self {
        Self { zip: ZipWriter::new(sink), packing, names: Vec::new() }
    }

    /// Adds the array `name` of `shape`, in C order; an empty shape is a single number.
    ///
    /// # Errors
    /// When the name is taken or unfit, the values do not fill the shape, or writing fails.
    pub fn add<'a>(&mut self, name: &str, shape: &[usize], values: impl Into<Values<'a>>) -> Result<(), NpzError> {
        let values = values.into();
        let array = || name.to_owned();
        if name.is_empty() || name.contains(['/', '\\']) || self.names.iter().any(|known| known == name) {
            return Err(NpzError::Name { array: array() });
        }
        let count = shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        if count != Some(values.len()) || shape.len() > MAX_AXES {
            return Err(NpzError::Shape { array: array(), shape: shape.to_vec(), values: values.len() });
        }
        let (dtype, width) = values.dtype();
        let method = match self.packing {
            Packing::Stored => CompressionMethod::Stored,
            Packing::Deflated => CompressionMethod::Deflated,
        };
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(DateTime::default())
            .large_file(values.len() >= LARGE_BYTES / width);
        let failed = |source| NpzError::Write { array: array(), source };
        self.zip.start_file(format!("{name}.npy"), options).map_err(failed)?;
        let header = header(dtype, shape);
        let written = self.zip.write_all(&header).and_then(|()| values.write(&mut self.zip));
        written.map_err(|source| failed(ZipError::Io(source)))?;
        self.names.push(array());
        Ok(())
    }

    /// Completes the archive and gives the sink back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> Result<W, NpzError> {
        self.zip.finish().map_err(|source| NpzError::Finish { source })
    }
}

/// Everything before the values: magic, format version 1.0, length, dictionary, and spaces up to the alignment.
fn header(dtype: &str, shape: &[usize]) -> Vec<u8> {
    let mut dictionary = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': (");
    for axis in shape {
        write!(dictionary, "{axis}, ").expect("a String takes everything");
    }
    dictionary += "), }";
    let prefix = 10;
    let padded = (prefix + dictionary.len() + 1).next_multiple_of(ALIGNMENT) - prefix;
    let length = u16::try_from(padded).expect("32 axes of at most 20 digits");
    let mut header = Vec::with_capacity(prefix + padded);
    header.extend(b"\x93NUMPY\x01\x00");
    header.extend(length.to_le_bytes());
    header.extend(dictionary.as_bytes());
    header.resize(prefix + padded - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::import::npy::{NpyData, npz_names, read_npz};

    fn writer(packing: Packing) -> NpzWriter<Cursor<Vec<u8>>> {
        NpzWriter::new(Cursor::new(Vec::new()), packing)
    }

    #[test]
    fn arrays_come_back() {
        for packing in [Packing::Stored, Packing::Deflated] {
            let build = || {
                let mut npz = writer(packing);
                npz.add("bytes", &[2, 2], &[0_u8, 1, 2, 255][..]).unwrap();
                npz.add("i", &[3], &[i32::MIN, 0, i32::MAX][..]).unwrap();
                npz.add("long name", &[1, 2, 1], &[i64::MIN, i64::MAX][..]).unwrap();
                npz.add("single", &[], &[-0.5_f32][..]).unwrap();
                npz.add("f", &[0, 4], &[0.0_f64; 0][..]).unwrap();
                npz.finish().unwrap().into_inner()
            };
            let bytes = build();
            assert_eq!(bytes, build(), "the same arrays make the same file");
            assert_eq!(npz_names("a.npz", &bytes).unwrap(), ["bytes", "i", "long name", "single", "f"]);
            let read = |name: &str| {
                let array = read_npz("a.npz", &bytes, name).unwrap();
                (array.shape().to_vec(), array.data().clone())
            };
            assert_eq!(read("bytes"), (vec![2, 2], NpyData::U8(vec![0, 1, 2, 255])));
            assert_eq!(read("i"), (vec![3], NpyData::I32(vec![i32::MIN, 0, i32::MAX])));
            assert_eq!(read("long name"), (vec![1, 2, 1], NpyData::I64(vec![i64::MIN, i64::MAX])));
            assert_eq!(read("single"), (vec![], NpyData::F32(vec![-0.5])));
            assert_eq!(read("f"), (vec![0, 4], NpyData::F64(vec![])));
        }
    }

    #[test]
    fn values_are_aligned() {
        for shape in [&[][..], &[1], &[123_456_789, 1, 1, 1], &[1; MAX_AXES]] {
            let header = header("<f8", shape);
            assert_eq!(header.len() % ALIGNMENT, 0);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn misfits_are_named() {
        let mut npz = writer(Packing::Stored);
        npz.add("a", &[1], &[1_u8][..]).unwrap();
        for name in ["a", "", "a/b", "..\\b"] {
            assert!(matches!(npz.add(name, &[1], &[1_u8][..]), Err(NpzError::Name { array }) if array == name));
        }
        let error = npz.add("b", &[2, 2], &[1.0_f32][..]).unwrap_err();
        assert_eq!(error.to_string(), "array `b`: 1 values do not fill the shape [2, 2] (at most 32 axes)");
        assert!(matches!(npz.add("b", &[1; 33], &[1_u8][..]), Err(NpzError::Shape { .. })));
        assert!(matches!(npz.add("b", &[usize::MAX, 2], &[1_u8][..]), Err(NpzError::Shape { .. })));
        // A refused array leaves nothing behind.
        let bytes = npz.finish().unwrap().into_inner();
        assert_eq!(npz_names("a.npz", &bytes).unwrap(), ["a"]);
    }

    proptest! {
        #[test]
        fn floats_keep_every_bit(bits in prop::collection::vec(any::<u64>(), 0..20_000)) {
            let values: Vec<f64> = bits.iter().copied().map(f64::from_bits).collect();
            let mut npz = writer(Packing::Deflated);
            npz.add("x", &[values.len()], &values[..]).unwrap();
            let array = read_npz("x.npz", &npz.finish().unwrap().into_inner(), "x").unwrap();
            let NpyData::F64(found) = array.data() else { panic!("float64 was written") };
            prop_assert!(found.iter().map(|value| value.to_bits()).eq(bits));
        }
    }
}
