//! `NpyData`: the values of an array, from bytes of any type and byte order, and as floats.

use crate::num::cast;

/// A value that another type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// An integer beyond those that the type holds without gaps.
    #[error("value {index} = {value} is not exact as {target}")]
    Integer {
        /// Position in C order.
        index: usize,
        /// The value.
        value: i128,
        /// The type.
        target: &'static str,
    },
    /// A number beyond the type's range.
    #[error("value {index} = {value:e} is beyond the range of {target}")]
    Range {
        /// Position in C order.
        index: usize,
        /// The value.
        value: f64,
        /// The type.
        target: &'static str,
    },
}

/// Values of an array, in C order.
#[derive(Debug, Clone, PartialEq)]
pub enum NpyData {
    /// `u1`, and truth values (`b1`) as 0 and 1.
    U8(Vec<u8>),
    /// `i1`.
    I8(Vec<i8>),
    /// `u2`.
    U16(Vec<u16>),
    /// `i2`.
    I16(Vec<i16>),
    /// `u4`.
    U32(Vec<u32>),
    /// `i4`.
    I32(Vec<i32>),
    /// `u8`.
    U64(Vec<u64>),
    /// `i8`.
    I64(Vec<i64>),
    /// `f4`, and `f2`, which it holds exactly.
    F32(Vec<f32>),
    /// `f8`.
    F64(Vec<f64>),
}

impl NpyData {
    /// Number of values.
    pub const fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of an integer type; none of a float.
    pub fn integers(&self) -> Box<dyn Iterator<Item = i128> + '_> {
        match self {
            Self::U8(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::I8(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::U16(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::I16(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::U32(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::I32(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::U64(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::I64(values) => Box::new(values.iter().map(|value| i128::from(*value))),
            Self::F32(_) | Self::F64(_) => Box::new(std::iter::empty()),
        }
    }

    /// The values as `f64`.
    ///
    /// # Errors
    /// When an integer is beyond 2^53 and so may not be exact.
    pub fn to_f64(&self) -> Result<Vec<f64>, ConversionError> {
        const EXACT: i128 = 1 << 53;
        let float = |(index, value): (usize, i128)| {
            let narrow = i64::try_from(value).ok().filter(|_| value.abs() <= EXACT);
            narrow.map(cast::f64_from_i64).ok_or(ConversionError::Integer { index, value, target: "f64" })
        };
        match self {
            NpyData::F32(values) => Ok(values.iter().copied().map(f64::from).collect()),
            NpyData::F64(values) => Ok(values.clone()),
            _ => self.integers().enumerate().map(float).collect(),
        }
    }

    /// The values as `f32`; `f64` values are rounded to nearest.
    ///
    /// # Errors
    /// When an integer is beyond 2^24 and so may not be exact, or a number is beyond the range of `f32`.
    pub fn to_f32(&self) -> Result<Vec<f32>, ConversionError> {
        const EXACT: i128 = 1 << 24;
        let integer = |(index, value): (usize, i128)| {
            let narrow = i64::try_from(value).ok().filter(|_| value.abs() <= EXACT);
            let float = narrow.map(|value| cast::nearest_f32(cast::f64_from_i64(value)));
            float.ok_or(ConversionError::Integer { index, value, target: "f32" })
        };
        let rounded = |(index, value): (usize, &f64)| {
            let float = cast::nearest_f32(*value);
            let range = ConversionError::Range { index, value: *value, target: "f32" };
            if float.is_infinite() && value.is_finite() { Err(range) } else { Ok(float) }
        };
        match self {
            NpyData::F32(values) => Ok(values.clone()),
            NpyData::F64(values) => values.iter().enumerate().map(rounded).collect(),
            _ => self.integers().enumerate().map(integer).collect(),
        }
    }

    /// From Fortran order to C order.
    pub(super) fn transposed(self, shape: &[usize]) -> Self {
        match self {
            Self::U8(values) => Self::U8(transposed(&values, shape)),
            Self::I8(values) => Self::I8(transposed(&values, shape)),
            Self::U16(values) => Self::U16(transposed(&values, shape)),
            Self::I16(values) => Self::I16(transposed(&values, shape)),
            Self::U32(values) => Self::U32(transposed(&values, shape)),
            Self::I32(values) => Self::I32(transposed(&values, shape)),
            Self::U64(values) => Self::U64(transposed(&values, shape)),
            Self::I64(values) => Self::I64(transposed(&values, shape)),
            Self::F32(values) => Self::F32(transposed(&values, shape)),
            Self::F64(values) => Self::F64(transposed(&values, shape)),
        }
    }
}

fn transposed<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut at = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        // Horner's rule with the first axis fastest.
        ordered.push(values[shape.iter().zip(&at).rev().fold(0, |index, (axis, at)| index * axis + at)]);
        for (at, axis) in at.iter_mut().zip(shape).rev() {
            *at += 1;
            if *at < *axis {
                break;
            }
            *at = 0;
        }
    }
    ordered
}

/// The bytes are no whole number of values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ragged;

/// The values of type `dtype`; `None` when the type is not known.
pub(super) fn decode(dtype: &str, bytes: &[u8]) -> Option<Result<NpyData, Ragged>> {
    macro_rules! integers {
        ($variant:ident, $from:expr) => {
            chunks(bytes).map(|chunks| NpyData::$variant(chunks.iter().copied().map($from).collect()))
        };
    }
    let order = dtype.chars().next()?;
    let big = match order {
        '<' | '|' | '=' => false,
        '>' => true,
        _ => return None,
    };
    Some(match (&dtype[1..], big) {
        ("u1" | "b1", _) => integers!(U8, u8::from_le_bytes),
        ("i1", _) => integers!(I8, i8::from_le_bytes),
        ("u2", false) => integers!(U16, u16::from_le_bytes),
        ("u2", true) => integers!(U16, u16::from_be_bytes),
        ("i2", false) => integers!(I16, i16::from_le_bytes),
        ("i2", true) => integers!(I16, i16::from_be_bytes),
        ("u4", false) => integers!(U32, u32::from_le_bytes),
        ("u4", true) => integers!(U32, u32::from_be_bytes),
        ("i4", false) => integers!(I32, i32::from_le_bytes),
        ("i4", true) => integers!(I32, i32::from_be_bytes),
        ("u8", false) => integers!(U64, u64::from_le_bytes),
        ("u8", true) => integers!(U64, u64::from_be_bytes),
        ("i8", false) => integers!(I64, i64::from_le_bytes),
        ("i8", true) => integers!(I64, i64::from_be_bytes),
        ("f2", false) => integers!(F32, |bytes| f32_from_half(u16::from_le_bytes(bytes))),
        ("f2", true) => integers!(F32, |bytes| f32_from_half(u16::from_be_bytes(bytes))),
        ("f4", false) => integers!(F32, f32::from_le_bytes),
        ("f4", true) => integers!(F32, f32::from_be_bytes),
        ("f8", false) => integers!(F64, f64::from_le_bytes),
        ("f8", true) => integers!(F64, f64::from_be_bytes),
        _ => return None,
    })
}

fn chunks<const N: usize>(bytes: &[u8]) -> Result<&[[u8; N]], Ragged> {
    let (chunks, rest) = bytes.as_chunks();
    if rest.is_empty() { Ok(chunks) } else { Err(Ragged) }
}

/// IEEE 754 binary16 as `f32`, exactly.
fn f32_from_half(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7fff);
    // The fields of a half, 13 bits further left, are those of a float whose exponent is 112 too small.
    let rebias = f32::from_bits((127 + 112) << 23);
    let value = match magnitude {
        0x7c00.. => f32::from_bits(0x7f80_0000 | (magnitude & 0x3ff) << 13),
        _ => f32::from_bits(magnitude << 13) * rebias,
    };
    if half & 0x8000 == 0 { value } else { -value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_in_both_byte_orders() {
        let cases: [(&str, &[u8], NpyData); 19] = [
            ("|u1", &[1, 255], NpyData::U8(vec![1, 255])),
            ("|b1", &[1, 0], NpyData::U8(vec![1, 0])),
            ("|i1", &[1, 255], NpyData::I8(vec![1, -1])),
            ("<u2", &[1, 0, 0, 255], NpyData::U16(vec![1, 0xff00])),
            (">u2", &[1, 0, 0, 255], NpyData::U16(vec![256, 255])),
            ("<i2", &[254, 255, 1, 0], NpyData::I16(vec![-2, 1])),
            (">i2", &[255, 254, 0, 1], NpyData::I16(vec![-2, 1])),
            ("<u4", &[1, 0, 0, 0, 0, 0, 0, 128], NpyData::U32(vec![1, 1 << 31])),
            (">u4", &[0, 0, 0, 1, 128, 0, 0, 0], NpyData::U32(vec![1, 1 << 31])),
            ("<i4", &[255, 255, 255, 255, 1, 0, 0, 0], NpyData::I32(vec![-1, 1])),
            (">i4", &[255, 255, 255, 255, 0, 0, 0, 1], NpyData::I32(vec![-1, 1])),
            ("<u8", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128], NpyData::U64(vec![1, 1 << 63])),
            (">i8", &[255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0, 0, 0, 0, 0, 1], NpyData::I64(vec![-2, 1])),
            ("<f2", &[0, 0x3c, 0, 0xc1], NpyData::F32(vec![1.0, -2.5])),
            (">f2", &[0x3c, 0, 0xc1, 0], NpyData::F32(vec![1.0, -2.5])),
            ("<f4", &[0, 0, 128, 63, 0, 0, 0, 192], NpyData::F32(vec![1.0, -2.0])),
            (">f4", &[63, 128, 0, 0, 192, 0, 0, 0], NpyData::F32(vec![1.0, -2.0])),
            ("<f8", &[0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 192], NpyData::F64(vec![1.0, -2.0])),
            (">f8", &[63, 240, 0, 0, 0, 0, 0, 0, 192, 0, 0, 0, 0, 0, 0, 0], NpyData::F64(vec![1.0, -2.0])),
        ];
        for (dtype, bytes, data) in cases {
            assert_eq!(decode(dtype, bytes), Some(Ok(data)), "{dtype}");
            // One byte less is no whole number of values, unless values are bytes.
            let ragged = if dtype.ends_with('1') { Ok(1) } else { Err(Ragged) };
            assert_eq!(decode(dtype, &bytes[1..]).unwrap().map(|data| data.len()), ragged, "{dtype}");
        }
    }

    #[test]
    fn halves_are_exact() {
        let cases = [
            (0x0000, 0.0),
            (0x0001, 2.0_f32.powi(-24)),
            (0x03ff, 1023.0 * 2.0_f32.powi(-24)),
            (0x0400, 2.0_f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0xfbff, -65_504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, value) in cases {
            assert_eq!(f32_from_half(half), value, "{half:04x}");
        }
        assert!(f32_from_half(0x7e01).is_nan());
        assert!(f32_from_half(0x8000).is_sign_negative());
    }

    #[test]
    fn conversions_are_exact_or_refused() {
        assert_eq!(NpyData::I8(vec![-3, 4]).to_f32(), Ok(vec![-3.0, 4.0]));
        assert_eq!(NpyData::I64(vec![1 << 53]).to_f64(), Ok(vec![9_007_199_254_740_992.0]));
        let value = (1 << 53) + 1;
        let error = ConversionError::Integer { index: 1, value, target: "f64" };
        assert_eq!(NpyData::I64(vec![0, (1 << 53) + 1]).to_f64(), Err(error));
        assert!(NpyData::U64(vec![u64::MAX]).to_f64().is_err());
        let error = ConversionError::Integer { index: 0, value: -(1 << 24) - 1, target: "f32" };
        assert_eq!(NpyData::I32(vec![-(1 << 24) - 1]).to_f32(), Err(error));
        assert_eq!(NpyData::F64(vec![0.1, f64::INFINITY]).to_f32(), Ok(vec![0.1, f32::INFINITY]));
        let error = ConversionError::Range { index: 0, value: 1e39, target: "f32" };
        assert_eq!(NpyData::F64(vec![1e39]).to_f32(), Err(error));
        assert_eq!(NpyData::F32(vec![0.5]).to_f64(), Ok(vec![0.5]));
    }
}
