//! A comparison as one HTML page.

use super::Comparison;

/// The page.
pub fn html(comparison: &Comparison) -> String {
    let rows: Vec<String> = comparison.systems.iter().map(|system| escaped(&system.label)).collect();
    let rows = rows.join(", ");
    format!("<!doctype html>\n<html lang=\"en\"><title>Comparison</title><p>{rows}</p></html>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
