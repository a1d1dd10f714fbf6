//! The little of HDF5 that Keras files need: string attributes, the list of datasets, floating-point datasets.
//!
//! The only module that knows the HDF5 library. It checks what a file claims against the file's size before anything is
//! allocated; it writes nothing and knows nothing of layers.

use hdf5_pure::{AttrValue, DType, Datatype, DatatypeByteOrder, File, Group, Layout};

use super::{KerasError, ModelSource};

/// Largest tensor read, in elements; larger than any on-chip network by orders of magnitude.
const MAX_ELEMENTS: u64 = 1 << 24;
/// Deflate, the strongest filter in use, never expands its input more than 1,032 times.
const MAX_EXPANSION: u64 = 1100;
/// Groups nested deeper than this are no Keras file; also ends a walk through hard-linked cycles.
const MAX_DEPTH: usize = 16;
/// More objects than this are no Keras file.
const MAX_OBJECTS: usize = 100_000;

/// An HDF5 file held in memory.
pub(super) struct H5<'a> {
    name: &'a str,
    bytes: u64,
    file: File,
}

/// A dataset's values in C order, with its shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    /// Axis lengths.
    pub shape: Vec<u64>,
    /// Values, those of other widths rounded to the nearest `f32`.
    pub values: Vec<f32>,
}

impl<'a> H5<'a> {
    /// Whether the bytes start like an HDF5 file.
    pub fn is_hdf5(bytes: &[u8]) -> bool {
        hdf5_pure::is_hdf5_bytes(bytes)
    }

    /// Opens a file held in memory.
    pub fn open(source: ModelSource<'a>) -> Result<Self, KerasError> {
        Self::of(source.name, source.bytes.to_vec())
    }

    /// Opens a file, or a part of one, of that name for messages.
    pub fn of(name: &'a str, bytes: Vec<u8>) -> Result<Self, KerasError> {
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(expected) = stated_len(&bytes).filter(|expected| *expected > found) {
            return Err(KerasError::Truncated { file: name.to_owned(), expected, found });
        }
        let file = File::from_bytes(bytes).map_err(|problem| KerasError::Hdf5 {
            file: name.to_owned(),
            object: "the file".to_owned(),
            problem: problem.to_string(),
        })?;
        Ok(Self { name, bytes: found, file })
    }

    /// Name of the file for messages.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Whether there is a group at `path`; the root is the empty path.
    pub fn has_group(&self, path: &str) -> bool {
        path.is_empty() || self.file.group(path).is_ok()
    }

    /// A text attribute of a group; `None` when there is none.
    pub fn text(&self, group: &str, attribute: &str) -> Result<Option<String>, KerasError> {
        let attributes = self.attributes(group)?;
        let Some(value) = attributes.get(attribute) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| self.error(group, format!("attribute `{attribute}` is not a text")))?;
        Ok(Some(text.to_owned()))
    }

    /// A list-of-texts attribute of a group, also when Keras has split it into `<name>0`, `<name>1`, ...; `None` when
    /// there is none.
    pub fn texts(&self, group: &str, attribute: &str) -> Result<Option<Vec<String>>, KerasError> {
        let attributes = self.attributes(group)?;
        // An empty list has no text type: NumPy writes it as an empty array of numbers.
        let strings = |value: &AttrValue| value.as_strings().map(<[String]>::to_vec).unwrap_or_default();
        if let Some(value) = attributes.get(attribute) {
            return Ok(Some(strings(value)));
        }
        let parts: Vec<_> = (0..).map_while(|part| attributes.get(&format!("{attribute}{part}"))).collect();
        Ok((!parts.is_empty()).then(|| parts.into_iter().flat_map(strings).collect()))
    }

    /// Paths of all datasets below a group, relative to it, sorted.
    pub fn datasets(&self, group: &str) -> Result<Vec<String>, KerasError> {
        let mut found = Vec::new();
        let mut pending = vec![(String::new(), self.group(group)?, 0)];
        let mut objects = 0;
        while let Some((path, node, depth)) = pending.pop() {
            let failed = |problem: hdf5_pure::Error| self.error(&join(group, &path), problem.to_string());
            found.extend(node.datasets().map_err(failed)?.iter().map(|name| join(&path, name)));
            for (name, child) in node.iter_groups().map_err(failed)? {
                objects += 1;
                if depth >= MAX_DEPTH || objects + found.len() > MAX_OBJECTS {
                    return Err(self.error(&join(group, &path), "too many or too deeply nested groups".to_owned()));
                }
                pending.push((join(&path, &name), child, depth + 1));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Shape of the dataset at `path`.
    pub fn shape(&self, path: &str) -> Result<Vec<u64>, KerasError> {
        let failed = |problem: hdf5_pure::Error| self.error(path, problem.to_string());
        self.file.dataset(path).map_err(failed)?.shape().map_err(failed)
    }

    /// The floating-point dataset at `path`.
    pub fn read(&self, path: &str) -> Result<Tensor, KerasError> {
        let failed = |problem: hdf5_pure::Error| self.error(path, problem.to_string());
        let dataset = self.file.dataset(path).map_err(failed)?;
        let shape = dataset.shape().map_err(failed)?;
        let elements = shape.iter().try_fold(1_u64, |count, axis| count.checked_mul(*axis));
        let elements = elements
            .filter(|count| *count <= MAX_ELEMENTS)
            .ok_or_else(|| self.error(path, format!("shape {shape:?} has more than {MAX_ELEMENTS} elements")))?;
        let width = dataset.element_size().map_err(failed)?;
        let room = if dataset.filters().is_empty() { self.bytes } else { self.bytes.saturating_mul(MAX_EXPANSION) };
        let claimed = match dataset.layout().map_err(failed)? {
            Layout::Chunked { chunk_shape, .. } => {
                chunk_shape.iter().try_fold(width, |bytes, axis| bytes.checked_mul(*axis)).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        if elements.saturating_mul(width).max(claimed) > room {
            return Err(self.error(path, format!("shape {shape:?} claims more data than the file has")));
        }
        let values = match dataset.dtype().map_err(failed)? {
            DType::F32 => dataset.read_f32().map_err(failed)?,
            DType::F64 => dataset.read_f64().map_err(failed)?.into_iter().map(crate::num::cast::nearest_f32).collect(),
            DType::Other(kind) => match half_order(&kind) {
                Some(from_bytes) => halves(&dataset.read_raw().map_err(failed)?, from_bytes),
                None => return Err(self.error(path, "is no IEEE floating-point dataset".to_owned())),
            },
            other => return Err(self.error(path, format!("holds {other}; floating-point values are needed"))),
        };
        if u64::try_from(values.len()) != Ok(elements) {
            return Err(self.error(path, format!("has {} values for shape {shape:?}", values.len())));
        }
        Ok(Tensor { shape, values })
    }

    fn group(&self, path: &str) -> Result<Group, KerasError> {
        if path.is_empty() {
            return Ok(self.file.root());
        }
        self.file.group(path).map_err(|problem| self.error(path, problem.to_string()))
    }

    fn attributes(&self, path: &str) -> Result<std::collections::HashMap<String, AttrValue>, KerasError> {
        self.group(path)?.attrs().map_err(|problem| self.error(path, problem.to_string()))
    }

    fn error(&self, path: &str, problem: String) -> KerasError {
        KerasError::Hdf5 { file: self.name.to_owned(), object: format!("`/{path}`"), problem }
    }
}

/// `a/b`, or `b` when `a` is the root.
pub(super) fn join(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{group}/{name}") }
}

type HalfBytes = fn([u8; 2]) -> u16;

/// How the bytes of an IEEE 754 binary16 type are ordered; `None` for any other type.
fn half_order(kind: &Datatype) -> Option<HalfBytes> {
    let Datatype::FloatingPoint { size: 2, byte_order, layout } = kind else {
        return None;
    };
    // bfloat16 has the same size.
    if (layout.exponent_size, layout.mantissa_size, layout.exponent_bias) != (5, 10, 15) {
        return None;
    }
    match byte_order {
        DatatypeByteOrder::LittleEndian => Some(u16::from_le_bytes),
        DatatypeByteOrder::BigEndian => Some(u16::from_be_bytes),
        DatatypeByteOrder::Vax => None,
    }
}

fn halves(raw: &[u8], from_bytes: HalfBytes) -> Vec<f32> {
    raw.chunks_exact(2).map(|pair| f32_from_half(from_bytes([pair[0], pair[1]]))).collect()
}

/// The value of an IEEE 754 binary16 number, exact.
fn f32_from_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * (-24_f32).exp2(),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        exponent => sign * (fraction + 1024.0) * (f32::from(exponent) - 25.0).exp2(),
    }
}

/// Length of the file by its superblock (end-of-file address; HDF5 file format specification 3.0, section II.A), if
/// that has addresses of 8 bytes at offset 0, as files of h5py and Keras do.
fn stated_len(bytes: &[u8]) -> Option<u64> {
    let size_of_offsets = |at: usize| bytes.get(at).copied() == Some(8);
    let end_of_file = match bytes.get(8)? {
        0 if size_of_offsets(13) => 40,
        1 if size_of_offsets(13) => 44,
        2 | 3 if size_of_offsets(9) => 28,
        _ => return None,
    };
    let address = bytes.get(end_of_file..end_of_file + 8)?;
    Some(u64::from_le_bytes(address.try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(build: impl FnOnce(&mut hdf5_pure::FileBuilder)) -> Vec<u8> {
        let mut builder = hdf5_pure::FileBuilder::new();
        build(&mut builder);
        builder.finish().unwrap()
    }

    #[test]
    fn halves_of_every_class() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc100, -2.5),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(f32_from_half(bits), value, "{bits:#x}");
        }
        assert!(f32_from_half(0x7c01).is_nan());
    }

    #[test]
    fn datasets_are_listed_and_read() {
        let bytes = file(|builder| {
            let mut group = builder.create_group("a");
            group.create_dataset("kernel:0").with_f32_data(&[1.0, 2.0, 3.0, 4.5]).with_shape(&[2, 2]);
            builder.add_group(group.finish());
            builder.create_dataset("b").with_f64_data(&[0.1]).with_shape(&[1]);
            builder.create_dataset("c").with_i32_data(&[1]).with_shape(&[1]);
        });
        assert!(H5::is_hdf5(&bytes) && !H5::is_hdf5(b"{}"));
        let h5 = H5::open(ModelSource { name: "x.h5", bytes: &bytes }).unwrap();
        assert_eq!(h5.datasets("").unwrap(), ["a/kernel:0", "b", "c"]);
        assert_eq!(h5.datasets("a").unwrap(), ["kernel:0"]);
        let tensor = h5.read("a/kernel:0").unwrap();
        assert_eq!(tensor, Tensor { shape: vec![2, 2], values: vec![1.0, 2.0, 3.0, 4.5] });
        assert_eq!(h5.read("b").unwrap().values, [0.1_f32]);
        assert!(h5.read("c").unwrap_err().to_string().contains("x.h5: `/c`: holds i32"));
        assert!(h5.read("d").is_err() && !h5.has_group("d") && h5.has_group("a"));
    }

    #[test]
    fn shapes_larger_than_the_file_are_refused() {
        let path = "model_weights/decoder/de_dense/kernel:0";
        let read = |shape: [u64; 2]| {
            let mut bytes = include_bytes!("../../../tests/data/keras_nested.h5").to_vec();
            let stored = [6_u64.to_le_bytes(), 18_u64.to_le_bytes()].concat();
            let at: Vec<_> = (0..bytes.len() - 16).filter(|at| bytes[*at..*at + 16] == stored).collect();
            assert!(!at.is_empty());
            for at in at {
                bytes[at..at + 16].copy_from_slice(&[shape[0].to_le_bytes(), shape[1].to_le_bytes()].concat());
            }
            let h5 = H5::open(ModelSource { name: "x.h5", bytes: &bytes }).unwrap();
            h5.read(path).map(|tensor| tensor.values.len()).map_err(|error| error.to_string())
        };
        assert_eq!(read([6, 18]), Ok(108));
        assert!(read([1 << 40, 1 << 40]).unwrap_err().contains("has more than 16777216 elements"));
        assert!(read([1 << 12, 1 << 11]).unwrap_err().contains("claims more data than the file has"));
        assert!(read([6, 19]).is_err());
    }

    #[test]
    fn split_attributes_are_joined() {
        let bytes = file(|builder| {
            builder.set_attr("names0", AttrValue::VarLenStringArray(vec!["a".to_owned(), "b".to_owned()]));
            builder.set_attr("names1", AttrValue::VarLenStringArray(vec!["c".to_owned()]));
            builder.set_attr("number", AttrValue::I64(3));
        });
        let h5 = H5::open(ModelSource { name: "x.h5", bytes: &bytes }).unwrap();
        assert_eq!(h5.texts("", "names").unwrap(), Some(["a", "b", "c"].map(str::to_owned).to_vec()));
        assert_eq!(h5.texts("", "none").unwrap(), None);
        assert!(h5.text("", "number").is_err());
        assert_eq!(h5.text("", "none").unwrap(), None);
    }
}
