//! Loops over the margins of a layer, the hidden values that `vicinity` keeps: moving, storing and flagging them.
//!
//! It knows neither layers nor bounds.
// The loops take the vector units of the function that they are inlined into.
#![allow(clippy::inline_always)]

use crate::num::cast;

/// Bits of a word of flags.
pub(super) const WORD: usize = 64;

/// Gives a vector whose values will be overwritten its length.
#[inline(always)]
pub(super) fn fit(values: &mut Vec<f64>, len: usize) {
    if values.len() != len {
        values.resize(len, 0.0);
    }
}

/// `out = values * signs`, one by one.
#[inline(always)]
pub(super) fn store_signed(values: &[f64], signs: &[f64], out: &mut [f64]) {
    for ((value, sign), out) in values.iter().zip(signs).zip(out) {
        *out = value * sign;
    }
}

/// `outs[n] += sum of factors[n] * row`, where a step is the number of its row and its factors; rows are as long as each
/// output. A row is read once for all outputs, in tiles small enough that their sums stay in registers.
#[inline(always)]
pub(super) fn add_rows<const N: usize, const TILE: usize>(
    rows: &[f64],
    steps: impl Iterator<Item = (u32, [f64; N])> + Clone,
    mut outs: [&mut [f64]; N],
) {
    let len = outs[0].len();
    let whole = len - len % TILE;
    for from in (0..whole).step_by(TILE) {
        let mut sums = [[0.0; TILE]; N];
        for (sums, out) in sums.iter_mut().zip(&outs) {
            sums.copy_from_slice(&out[from..from + TILE]);
        }
        for (unit, factors) in steps.clone() {
            // By value and by index: whether iterators become vector instructions depends on what else is compiled.
            let row = *rows[cast::index(unit) * len + from..].first_chunk::<TILE>().expect("rows are whole");
            for out in 0..N {
                let (mut tile, factor) = (sums[out], factors[out]);
                for lane in 0..TILE {
                    tile[lane] += factor * row[lane];
                }
                sums[out] = tile;
            }
        }
        for (sums, out) in sums.iter().zip(&mut outs) {
            out[from..from + TILE].copy_from_slice(sums);
        }
    }
    for (unit, factors) in steps {
        let row = &rows[cast::index(unit) * len..][whole..len];
        for (out, factor) in outs.iter_mut().zip(factors) {
            for (out, value) in out[whole..].iter_mut().zip(row) {
                *out += factor * value;
            }
        }
    }
}

/// Sets bit `i % 64` of word `i / 64` for every `margins[i] < threshold`.
// Closures handed to iterators would not always be inlined, so these are plain loops.
#[inline(always)]
pub(super) fn flag(margins: &[f64], threshold: f64, flags: &mut Vec<u64>) {
    fit_flags(flags, margins.len());
    let (words, rest) = margins.as_chunks::<WORD>();
    for (flags, margins) in flags.iter_mut().zip(words) {
        *flags = word(margins, threshold);
    }
    if let Some(last) = flags.get_mut(words.len()) {
        *last = word(rest, threshold);
    }
}

/// [`flag`] of the margins `at + step * slope`, which are not stored.
#[inline(always)]
pub(super) fn flag_line(at: &[f64], slope: &[f64], step: f64, threshold: f64, flags: &mut Vec<u64>) {
    fit_flags(flags, at.len());
    let (words, rest) = at.as_chunks::<WORD>();
    let (slopes, rest_slope) = slope.as_chunks::<WORD>();
    for ((flags, at), slope) in flags.iter_mut().zip(words).zip(slopes) {
        *flags = word_of_line(at, slope, step, threshold);
    }
    if let Some(last) = flags.get_mut(words.len()) {
        *last = word_of_line(rest, rest_slope, step, threshold);
    }
}

#[inline(always)]
fn fit_flags(flags: &mut Vec<u64>, margins: usize) {
    let len = margins.div_ceil(WORD);
    if flags.len() != len {
        flags.resize(len, 0);
    }
}

#[inline(always)]
fn word(margins: &[f64], threshold: f64) -> u64 {
    let mut word = 0;
    for (bit, margin) in margins.iter().enumerate() {
        word |= if *margin < threshold { 1_u64 << bit } else { 0 };
    }
    word
}

#[inline(always)]
fn word_of_line(at: &[f64], slope: &[f64], step: f64, threshold: f64) -> u64 {
    let mut word = 0;
    for (bit, (at, slope)) in at.iter().zip(slope).enumerate() {
        word |= if at + step * slope < threshold { 1_u64 << bit } else { 0 };
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few bits, so that sums are exact in any order.
    fn numbers(count: u32, from: u32) -> Vec<f64> {
        (0..count).map(|index| f64::from((index * 37 + from) % 101) - 50.0).collect()
    }

    #[test]
    fn rows_are_added_to_several_outputs() {
        for len in [0, 1, 15, 16, 17, 40] {
            let rows = numbers(3 * len, 0);
            let steps = [(0, [1.0, 0.0, 2.0]), (2, [0.5, -1.0, 0.0])];
            let mut outs = [numbers(len, 1), numbers(len, 2), numbers(len, 3)];
            let before = outs.clone();
            add_rows::<3, 16>(&rows, steps.into_iter(), outs.each_mut().map(Vec::as_mut_slice));
            let len = cast::index(len);
            for (output, (out, before)) in outs.iter().zip(&before).enumerate() {
                for unit in 0..len {
                    let sum: f64 = steps.iter().map(|(row, f)| f[output] * rows[cast::index(*row) * len + unit]).sum();
                    assert_eq!(out[unit], before[unit] + sum);
                }
            }
        }
    }

    #[test]
    fn flags_are_set_below_the_threshold() {
        for len in [0, 1, 63, 64, 65, 130] {
            let (at, slope) = (numbers(len, 0), numbers(len, 50));
            let margins: Vec<f64> = at.iter().zip(&slope).map(|(at, slope)| at + 0.5 * slope).collect();
            let (mut flags, mut line) = (vec![7], Vec::new());
            flag(&margins, -3.0, &mut flags);
            flag_line(&at, &slope, 0.5, -3.0, &mut line);
            assert_eq!(flags, line);
            assert_eq!(flags.len(), margins.len().div_ceil(WORD));
            for (unit, margin) in margins.iter().enumerate() {
                assert_eq!(flags[unit / WORD] >> (unit % WORD) & 1 == 1, *margin < -3.0);
            }
        }
    }
}
