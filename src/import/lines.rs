//! Line numbers of CSV records as an editor shows them.

/// The line of a record: the CSV reader's position is before the empty lines that it skips.
pub(super) fn line_of(text: &[u8], start: &csv::Position) -> u64 {
    let from = usize::try_from(start.byte()).unwrap_or(text.len()).min(text.len());
    let skipped = text[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    (start.line()..).nth(skipped.filter(|byte| **byte == b'\n').count()).unwrap_or(start.line())
}
