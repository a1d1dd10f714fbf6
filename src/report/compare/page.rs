//! A comparison as one HTML page.

use super::Comparison;

/// The page.
pub fn html(comparison: &Comparison) -> String {
    let rows: String = comparison.systems.iter().map(|system| format!("<li>{}</li>", escaped(&system.label))).collect();
    format!("<!doctype html>\n<html lang=\"en\"><title>Comparison</title><ul>{rows}</ul></html>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
