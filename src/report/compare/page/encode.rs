//! How data stands in the page: JSON that cannot end its script element, and arrays of numbers as Base64.

use serde::Serialize;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as Base64 with padding (RFC 4648).
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |position: usize| u32::from(group.get(position).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = crate::num::cast::index(bits >> (18 - 6 * digit) & 63);
            text.push(if digit <= crate::num::cast::id(group.len()) { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

/// Numbers as little-endian binary32, as Base64; NaN where there is none.
pub(super) fn base64_f32(values: &[Option<f32>]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.unwrap_or(f32::NAN).to_le_bytes()).collect();
    base64(&bytes)
}

/// A value as JSON for a script element: no sign that HTML or old scripts read otherwise, which in JSON stand in strings only.
pub(super) fn script_json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("numbers and strings have a JSON form");
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            other => safe.push(other),
        }
    }
    safe
}

/// To six significant digits, for curves whose full numbers are in files.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a formatted number is a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
        assert_eq!(base64_f32(&[Some(1.0), None]), base64(&[0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f]));
    }

    #[test]
    fn json_in_a_script_has_no_markup() {
        let hostile = "</script><!--&\u{2028}\u{2029}\"\\";
        let text = script_json(&hostile);
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }

    #[test]
    fn rounding_keeps_six_digits() {
        assert_eq!([1.0 / 3.0, 0.0, -123_456_789.0, 1.0].map(rounded), [0.333_333, 0.0, -123_457_000.0, 1.0]);
    }
}
