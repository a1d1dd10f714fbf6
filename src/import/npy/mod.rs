//! NumPy arrays: `.npy` files (format 1.0, 2.0, 3.0) and members of `.npz` archives.
//!
//! Numbers only: no structured, complex, text or object arrays, and so no pickled data. Arrays come back in
//! C order whatever the file's order. Writing is `report`'s work.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

mod data;
mod header;

pub use data::{ConversionError, NpyData};

use crate::num::cast;
use data::decode;
use header::{Header, Unexpected};

/// What every file starts with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Why a NumPy file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// Another kind of file.
    #[error("{file}: no NumPy array (it does not start with \\x93NUMPY)")]
    NotNpy {
        /// The file.
        file: String,
    },
    /// A format version unknown when this was written.
    #[error("{file}: NumPy format version {major}.{minor}; 1.0, 2.0 and 3.0 are known")]
    Version {
        /// The file.
        file: String,
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// A header that is no dictionary of `descr`, `fortran_order` and `shape`.
    #[error("{file}: header, character {at}: {expected} is needed")]
    Header {
        /// The file.
        file: String,
        /// Position in the header's text, from 0.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A type of values that is not read.
    #[error(
        "{file}: values of type `{dtype}`; truth values, integers of 1 to 8 bytes and floats of 2, 4 or 8 bytes are read"
    )]
    Dtype {
        /// The file.
        file: String,
        /// NumPy's name of the type.
        dtype: String,
    },
    /// More or fewer bytes than the shape says.
    #[error("{file}: an array of shape {shape:?} is followed by {found} bytes of values, not by its own")]
    Length {
        /// The file.
        file: String,
        /// Shape in the header.
        shape: Vec<usize>,
        /// Bytes behind the header.
        found: usize,
    },
    /// An archive that cannot be read.
    #[error("{file}: the archive cannot be read")]
    Zip {
        /// The file.
        file: String,
        /// What the archive reader says.
        source: ZipError,
    },
    /// A member that cannot be unpacked.
    #[error("{file}: member `{member}` cannot be unpacked")]
    Unpack {
        /// The file.
        file: String,
        /// The member.
        member: String,
        /// What the archive reader says.
        source: std::io::Error,
    },
    /// No such array in the archive.
    #[error("{file}: no array `{member}`; there are: {}", available.join(", "))]
    NoMember {
        /// The file.
        file: String,
        /// The array asked for.
        member: String,
        /// The arrays there are.
        available: Vec<String>,
    },
}

/// An array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    shape: Vec<usize>,
    data: NpyData,
}

impl NpyArray {
    /// An array of these values in C order; `None` when their number does not fit the shape.
    pub fn new(shape: Vec<usize>, data: NpyData) -> Option<Self> {
        let count = shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        (count == Some(data.len())).then_some(Self { shape, data })
    }

    /// Reads a `.npy` file; `file` names it in messages.
    ///
    /// # Errors
    /// When it is no such file, holds other things than numbers, or is cut off.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, NpyError> {
        let file = || file.to_owned();
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(NpyError::NotNpy { file: file() }) };
        let short = || NpyError::Header { file: file(), at: 0, expected: "a complete header" };
        let (version, rest) = rest.split_at_checked(2).ok_or_else(short)?;
        let (length, rest) = match version {
            [1, 0] => {
                let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
                (usize::from(u16::from_le_bytes(*length)), rest)
            }
            [2 | 3, 0] => {
                let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
                (cast::index(u32::from_le_bytes(*length)), rest)
            }
            _ => return Err(NpyError::Version { file: file(), major: version[0], minor: version[1] }),
        };
        let (header, values) = rest.split_at_checked(length).ok_or_else(short)?;
        let header = Header::parse(header).map_err(|Unexpected { at, expected }| NpyError::Header {
            file: file(),
            at,
            expected,
        })?;
        let length = || NpyError::Length { file: file(), shape: header.shape.clone(), found: values.len() };
        let count = header.shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        let count = count.ok_or_else(length)?;
        let data = decode(&header.dtype, values)
            .ok_or_else(|| NpyError::Dtype { file: file(), dtype: header.dtype.clone() })?
            .ok()
            .filter(|data| data.len() == count)
            .ok_or_else(length)?;
        let data = if header.fortran_order { data.transposed(&header.shape) } else { data };
        Ok(Self { shape: header.shape, data })
    }

    /// Axis lengths; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values in C order.
    pub const fn data(&self) -> &NpyData {
        &self.data
    }
}

/// Names of the arrays in an `.npz` archive, in its order, without `.npy`.
///
/// # Errors
/// When the archive cannot be read.
pub fn npz_names(file: &str, bytes: &[u8]) -> Result<Vec<String>, NpyError> {
    names(&open(file, bytes)?, file)
}

/// Reads array `member` (with or without `.npy`) of an `.npz` archive; `file` names it in messages.
///
/// # Errors
/// When the archive or the array cannot be read, or there is no such array.
pub fn read_npz(file: &str, bytes: &[u8], member: &str) -> Result<NpyArray, NpyError> {
    let mut archive = open(file, bytes)?;
    let stem = member.strip_suffix(".npy").unwrap_or(member);
    let mut content = Vec::new();
    {
        let mut entry = match archive.by_name(&format!("{stem}.npy")) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => {
                let available = npz_names(file, bytes)?;
                return Err(NpyError::NoMember { file: file.to_owned(), member: stem.to_owned(), available });
            }
            Err(source) => return Err(NpyError::Zip { file: file.to_owned(), source }),
        };
        let unpacked = entry.read_to_end(&mut content);
        unpacked.map_err(|source| NpyError::Unpack { file: file.to_owned(), member: stem.to_owned(), source })?;
    }
    NpyArray::read(&format!("{file}: {stem}"), &content)
}

fn open<'a>(file: &str, bytes: &'a [u8]) -> Result<ZipArchive<Cursor<&'a [u8]>>, NpyError> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|source| NpyError::Zip { file: file.to_owned(), source })
}

fn names(archive: &ZipArchive<Cursor<&[u8]>>, file: &str) -> Result<Vec<String>, NpyError> {
    let stem = |name: std::borrow::Cow<'_, str>| name.strip_suffix(".npy").unwrap_or(&name).to_owned();
    let names: Result<_, _> = archive.file_names().map(|name| name.map(stem)).collect();
    names.map_err(|source| NpyError::Zip { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A file of format 1.0 with this header and these values.
    fn npy(header: &str, values: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), values].concat()
    }

    fn typed(dtype: &str, shape: &str, values: &[u8]) -> Result<NpyArray, NpyError> {
        let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}   \n");
        NpyArray::read("a.npy", &npy(&header, values))
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn orders_shapes_and_versions() {
        let header = "{\"shape\":(2,3,2),\"descr\":\"|u1\",\"fortran_order\":True}";
        // Value 100 i + 10 j + k at [i, j, k], first axis fastest.
        let values: Vec<u8> = [0, 100, 10, 110, 20, 120, 1, 101, 11, 111, 21, 121].to_vec();
        let array = NpyArray::read("a.npy", &npy(header, &values)).unwrap();
        assert_eq!(array.shape(), [2, 3, 2]);
        assert_eq!(array.data(), &NpyData::U8(vec![0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121]));
        assert_eq!(typed("|u1", "()", &[7]).unwrap().shape(), [0; 0]);
        assert!(typed("|u1", "(0, 5)", &[]).unwrap().data().is_empty());
        // Version 2.0 and 3.0 have a length of four bytes.
        for major in [2, 3] {
            let header = b"{'descr': '<i2', 'fortran_order': False, 'shape': (1,)}\n";
            let length = u32::try_from(header.len()).unwrap().to_le_bytes();
            let bytes = [MAGIC, &[major, 0], &length, header, &[5, 0]].concat();
            assert_eq!(NpyArray::read("a.npy", &bytes).unwrap().data(), &NpyData::I16(vec![5]));
        }
    }

    #[test]
    fn bad_files_are_named() {
        let message = |result: Result<NpyArray, NpyError>| result.unwrap_err().to_string();
        assert!(matches!(NpyArray::read("a.npy", b"PK\x03\x04"), Err(NpyError::NotNpy { .. })));
        let bytes = [MAGIC, &[4, 1, 0, 0]].concat();
        assert!(matches!(NpyArray::read("a.npy", &bytes), Err(NpyError::Version { major: 4, minor: 1, .. })));
        assert_eq!(
            message(typed("<c8", "(1,)", &[0; 8])),
            "a.npy: values of type `<c8`; truth values, integers of 1 to 8 bytes and floats of 2, 4 or 8 bytes are read"
        );
        assert!(matches!(typed("é", "(1,)", &[0; 8]), Err(NpyError::Dtype { .. })));
        assert!(matches!(typed("<f8", "(2,)", &[0; 15]), Err(NpyError::Length { found: 15, .. })));
        assert!(matches!(typed("<f8", "(2,)", &[0; 24]), Err(NpyError::Length { found: 24, .. })));
        let huge = "(4294967296, 4294967296, 4294967296)";
        assert!(matches!(typed("<f8", huge, &[]), Err(NpyError::Length { found: 0, .. })));
        assert_eq!(message(typed("<f8", "(x,)", &[])), "a.npy: header, character 51: the length of an axis is needed");
        let structured = npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", &[0; 8]);
        assert!(matches!(NpyArray::read("a.npy", &structured), Err(NpyError::Header { at: 10, .. })));
        let partial = npy("{'descr': '<f8'}", &[]);
        assert_eq!(
            message(NpyArray::read("a.npy", &partial)),
            "a.npy: header, character 16: `fortran_order` is needed"
        );
    }

    #[test]
    fn archives_hold_several_arrays() {
        let array = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}", &[3, 4]);
        let bytes = archive(&[("x.npy", &array), ("bad.npy", b"nothing")]);
        assert_eq!(npz_names("a.npz", &bytes).unwrap(), ["x", "bad"]);
        assert_eq!(read_npz("a.npz", &bytes, "x").unwrap().data(), &NpyData::U8(vec![3, 4]));
        assert_eq!(read_npz("a.npz", &bytes, "x.npy").unwrap().shape(), [2]);
        let message = |member: &str| read_npz("a.npz", &bytes, member).unwrap_err().to_string();
        assert_eq!(message("y"), "a.npz: no array `y`; there are: x, bad");
        assert_eq!(message("bad"), "a.npz: bad: no NumPy array (it does not start with \\x93NUMPY)");
        assert!(matches!(read_npz("a.npz", &array, "x"), Err(NpyError::Zip { .. })));
    }

    proptest! {
        #[test]
        fn no_damage_panics(cut in 0..400_usize, at in 0..400_usize, byte: u8, noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 2), }";
            let whole = npy(header, &[1; 48]);
            let packed = archive(&[("x.npy", &whole)]);
            for file in [&whole, &packed] {
                let truncated = &file[..cut.min(file.len())];
                let mut mutated = file.clone();
                let position = at % mutated.len();
                mutated[position] = byte;
                for bytes in [truncated, &mutated, &noise] {
                    let _ = NpyArray::read("a.npy", bytes);
                    let _ = read_npz("a.npz", bytes, "x");
                }
                prop_assert!(cut >= file.len() || NpyArray::read("a.npy", truncated).is_err());
            }
            let _ = Header::parse(&noise);
        }
    }
}
