//! Named conversions between number types that have no lossless `From`.
//!
//! The crate forbids `as` on values, so that every place where a value could change says so by name. Conversions that
//! cannot change the value on any machine this crate supports (32 or 64-bit pointers) have short names; those that
//! round say how.
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap
)]

/// A 32-bit index as `usize`.
#[inline]
pub const fn index(value: u32) -> usize {
    const { assert!(usize::BITS >= 32) };
    value as usize
}

/// A small number taken out of a word of bits as `usize`.
///
/// # Panics
/// When `value` is 2^32 or more: fields of a word that index something are narrower.
#[inline]
pub fn index_of_word(value: u64) -> usize {
    index(u32::try_from(value).expect("an index field is at most 32 bits wide"))
}

/// A length or index as `u32`.
///
/// # Panics
/// When `value` is 2^32 or more: ids are 32 bits wide, and validation refuses larger networks.
#[inline]
pub fn id(value: usize) -> u32 {
    u32::try_from(value).expect("ids are 32 bits wide; larger networks are refused on construction")
}

/// A length or count as `u64`.
#[inline]
pub const fn u64_from_len(value: usize) -> u64 {
    const { assert!(usize::BITS <= 64) };
    value as u64
}

/// A count as `f64`; exact up to 2^53, rounded to nearest above.
#[inline]
pub const fn f64_from_count(value: usize) -> f64 {
    value as f64
}

/// A count as `f64`; exact up to 2^53, rounded to nearest above.
#[inline]
pub const fn f64_from_u64(value: u64) -> f64 {
    value as f64
}

/// An integer as `f64`; exact up to 2^53 in magnitude, rounded to nearest above.
#[inline]
pub const fn f64_from_i64(value: i64) -> f64 {
    value as f64
}

/// The `f32` nearest to `value` (ties to even; infinite beyond the range).
#[inline]
pub const fn nearest_f32(value: f64) -> f32 {
    value as f32
}

/// A non-negative length as `i64`.
#[inline]
pub const fn i64_from_len(value: usize) -> i64 {
    // A Rust allocation never exceeds isize::MAX bytes, so a length always fits.
    value as i64
}

/// `floor(value)` as an integer, saturating at the ends of `i64`; NaN gives 0.
#[inline]
pub fn floor_i64(value: f64) -> i64 {
    value.floor() as i64
}

/// A real number without fraction as an integer; exact below 2^127 in magnitude, saturating beyond.
#[inline]
pub fn i128_from_whole(value: f64) -> i128 {
    debug_assert!(value.fract() == 0.0, "a whole number");
    value as i128
}

/// An integer as the nearest `f64`.
#[inline]
pub const fn f64_from_i128(value: i128) -> f64 {
    value as f64
}

/// The low 32 bits of an integer, as a two's-complement word: what arithmetic modulo 2^32 keeps.
#[inline]
pub const fn low_i32(value: i64) -> i32 {
    value as i32
}
