//! `Pooling`: largest values and means of windows, on words of their own width.

use super::plain::held;
use crate::net::{AveragePool2d, Node, Op, Signal, Tap, Window2d};

/// What a pooling stage computes.
#[derive(Debug, Clone)]
pub(super) struct Pooling {
    window: Window2d,
    /// Rows and columns of the map that comes in.
    map: [usize; 2],
    /// Columns of the map that goes out.
    out_columns: usize,
    /// Reciprocals of a mean; none for the largest value.
    mean: Option<AveragePool2d>,
    /// What is kept of a window while it is gone through: the largest value so far, or the sum.
    kept: Signal,
    output: Signal,
}

impl Pooling {
    /// Of a node that reads `from`; none if it does not pool.
    pub(super) fn of(node: &Node, from: &Node) -> Option<Self> {
        let (window, mean) = match &node.op {
            Op::MaxPool2d(window) => (*window, None),
            Op::AveragePool2d(pool) => (pool.window, Some(*pool)),
            _ => return None,
        };
        let kept = mean.map_or(from.signal, |_| sum_signal(node, from).unwrap_or(from.signal));
        let map = [from.shape[0], from.shape[1]];
        Some(Self { window, map, out_columns: node.shape[1], mean, kept, output: node.signal })
    }

    /// What stands in the accumulators of a pool that goes through its window pixel by pixel.
    pub(super) const fn kept(&self) -> &Signal {
        &self.kept
    }

    /// Takes one pixel of a window in; the first one sets what is kept.
    pub(super) fn take(&self, is_first: bool, pixel: &[i64], kept: &mut [i64]) {
        if is_first {
            kept.copy_from_slice(pixel);
            return;
        }
        for (kept, value) in kept.iter_mut().zip(pixel) {
            *kept = if self.mean.is_some() { held(&self.kept, kept.wrapping_add(*value)) } else { (*kept).max(*value) };
        }
    }

    /// What comes out of a window of `count` pixels.
    pub(super) fn result(&self, count: usize, kept: &[i64], results: &mut [i64]) {
        let reciprocal = self.mean.map_or(1, |mean| mean.reciprocal(count.max(1)));
        for (result, kept) in results.iter_mut().zip(kept) {
            *result = held(&self.output, kept.wrapping_mul(reciprocal));
        }
    }

    /// All output positions of a frame; `kept` has room for the channels of a pixel.
    pub(super) fn frame(&self, values: &[i64], kept: &mut [i64], results: &mut [i64]) {
        let channels = kept.len();
        let pixel = |tap: Tap| &values[tap.pixel * channels..][..channels];
        for (position, results) in results.chunks_exact_mut(channels).enumerate() {
            self.position(position, pixel, kept, results);
        }
    }

    /// One output position; `pixel` gives the values that a tap sees. Padding is left out.
    pub(super) fn position<'v>(
        &self,
        position: usize,
        pixel: impl Fn(Tap) -> &'v [i64],
        kept: &mut [i64],
        results: &mut [i64],
    ) {
        let at = [position / self.out_columns, position % self.out_columns];
        let mut count = 0;
        for tap in self.window.taps(at, self.map) {
            self.take(count == 0, pixel(tap), kept);
            count += 1;
        }
        self.result(count, kept, results);
    }
}

/// The sum of as many values as a window of a mean has.
pub(in crate::hw) fn sum_signal(node: &Node, from: &Node) -> Option<Signal> {
    let Op::AveragePool2d(pool) = &node.op else { return None };
    let area = i64::try_from(pool.window.kernel[0] * pool.window.kernel[1]).ok()?;
    let Signal { frac_bits, low, high } = from.signal;
    Some(Signal { frac_bits, low: low.min(0).saturating_mul(area), high: high.max(0).saturating_mul(area) })
}
