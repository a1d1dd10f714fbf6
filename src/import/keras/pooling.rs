//! Pools: the largest or the mean value of windows, and how the reciprocals of a mean are rounded.

use std::collections::BTreeSet;

use super::KerasError;
use super::attributes::Attributes;
use super::config::{Pool, PoolKind};
use super::quantizer::QuantizerConfig;
use super::shape::At;
use crate::net::{AveragePool2d, Op, Padding2d, Window2d};
use crate::num::cast;

/// Fractional bits of reciprocals that are not exact, beyond those that the number of values has.
const EXTRA_BITS: u32 = 10;

/// The operation of a pool over a map, and a note where its means are not exact.
pub(super) fn operation(
    pool: &Pool,
    at: At<'_>,
    attributes: &Attributes<'_>,
) -> Result<(Op, Option<String>), KerasError> {
    let [rows, columns, channels] = at.map()?;
    let window = match pool.slide {
        Some(slide) => at.convolved(slide, channels)?.0,
        None => Window2d { kernel: [rows, columns], stride: [1, 1], padding: Padding2d::default() },
    };
    if pool.kind == PoolKind::Max {
        return Ok((Op::MaxPool2d(window), None));
    }
    let counts = counts(&window, [rows, columns]);
    if let Some(quantizer) = &pool.average_quantizer {
        return quantized(quantizer, window, &counts, attributes).map(|op| (op, None));
    }
    let most = counts.last().copied().unwrap_or(1);
    if counts.iter().all(|count| count.is_power_of_two()) {
        return Ok((Op::AveragePool2d(AveragePool2d { window, reciprocal_bits: most.ilog2() }), None));
    }
    let reciprocal_bits = most.next_power_of_two().ilog2() + EXTRA_BITS;
    let average = AveragePool2d { window, reciprocal_bits };
    let worst = counts.iter().map(|count| {
        let exact = f64::from(reciprocal_bits).exp2() / cast::f64_from_count(*count);
        (cast::f64_from_i64(average.reciprocal(*count)) / exact - 1.0).abs()
    });
    let listed = counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let note = format!(
        "layer `{}`: the mean of {listed} values is their exact sum times a reciprocal of {reciprocal_bits} fractional \
         bits, which is off by {:.3} % at most",
        attributes.layer,
        100.0 * worst.fold(0.0, f64::max)
    );
    Ok((Op::AveragePool2d(average), Some(note)))
}

/// How many values the windows see, padding left out.
fn counts(window: &Window2d, map: [usize; 2]) -> BTreeSet<usize> {
    let padding = [[window.padding.top, window.padding.bottom], [window.padding.left, window.padding.right]];
    let [rows, columns] = [0, 1].map(|axis| {
        let [before, after] = padding[axis];
        let outputs = (map[axis] + before + after).saturating_sub(window.kernel[axis]) / window.stride[axis] + 1;
        let seen = |output: usize| {
            let start = output * window.stride[axis];
            (start + window.kernel[axis]).min(before + map[axis]).saturating_sub(start.max(before))
        };
        (0..outputs).map(seen).filter(|count| *count > 0).collect::<BTreeSet<_>>()
    });
    rows.iter().flat_map(|rows| columns.iter().map(move |columns| rows * columns)).collect()
}

/// `QKeras`' `average_quantizer`: the sum times the quantized reciprocal of the window's size.
fn quantized(
    quantizer: &QuantizerConfig,
    window: Window2d,
    counts: &BTreeSet<usize>,
    at: &Attributes<'_>,
) -> Result<Op, KerasError> {
    let attribute = "average_quantizer";
    let format = quantizer.plain_activation(at, attribute)?;
    let refused = |supported: &str| {
        Err(at.unsupported(attribute, at.config.get(attribute).unwrap_or(&serde_json::Value::Null), supported))
    };
    let area = window.kernel[0] * window.kernel[1];
    if counts.iter().any(|count| *count != area) {
        return refused("null where windows reach over the edge (QKeras then means another number of values)");
    }
    let held = format.quantize_f64(f64::from(cast::nearest_f32(1.0 / cast::f64_from_count(area))));
    let pool = u32::try_from(format.format.frac_bits())
        .ok()
        .filter(|bits| *bits < 32)
        .map(|reciprocal_bits| AveragePool2d { window, reciprocal_bits });
    match pool {
        Some(pool) if held == Ok(pool.reciprocal(area)) => Ok(Op::AveragePool2d(pool)),
        _ => refused(&format!("a format that holds 1/{area}, rounded to its step")),
    }
}
