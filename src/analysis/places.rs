//! Which values of a map the outputs of paddings and pools come from.

use crate::net::{AveragePool2d, Node, Op, Padding2d, Window2d};
use crate::num::cast;

/// What an input contributes to an output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// The input.
    pub input: u32,
    /// The output.
    pub output: u32,
    /// What it is multiplied by.
    pub factor: f64,
}

/// For each value of a padded map, where it comes from.
pub(super) fn padded(node: &Node, from: &[usize], padding: &Padding2d) -> Vec<Option<usize>> {
    let (channels, columns) = (node.shape[2], node.shape[1]);
    let place = |index: usize| {
        let row = index / (columns * channels);
        let row = row.checked_sub(padding.top).filter(|row| *row < from[0])?;
        let column = (index / channels % columns).checked_sub(padding.left).filter(|column| *column < from[1])?;
        Some((row * from[1] + column) * channels + index % channels)
    };
    (0..node.len()).map(place).collect()
}

/// The inputs of value `index` of a pooled map, row by row.
fn pooled(node: &Node, from: &[usize], window: &Window2d, index: usize) -> impl Iterator<Item = usize> {
    let (channels, columns) = (node.shape[2], node.shape[1]);
    let (channel, position) = (index % channels, index / channels);
    let taps = window.taps([position / columns, position % columns], [from[0], from[1]]);
    taps.map(move |tap| tap.pixel * channels + channel)
}

/// What the inputs of an average contribute: the mean of what the hardware multiplies by, a fixed-point reciprocal.
pub(super) fn shares(node: &Node, from: &[usize], pool: &AveragePool2d) -> Vec<Share> {
    let scale = (-f64::from(pool.reciprocal_bits)).exp2();
    let of_output = |output: usize| {
        let inputs: Vec<usize> = pooled(node, from, &pool.window, output).collect();
        let factor = cast::f64_from_i64(pool.reciprocal(inputs.len())) * scale;
        inputs.into_iter().map(move |input| Share { input: cast::id(input), output: cast::id(output), factor })
    };
    (0..node.len()).flat_map(of_output).collect()
}

/// For every output of a maximum, the first of its largest inputs: where TensorFlow sends the gradient.
pub(super) fn largest(node: &Node, from: &[usize], raw: &[i64]) -> Vec<u32> {
    let Op::MaxPool2d(window) = &node.op else { unreachable!("only maxima choose") };
    let choice = |output: usize| {
        let inputs = pooled(node, from, window, output);
        let largest = inputs.reduce(|best, next| if raw[next] > raw[best] { next } else { best });
        cast::id(largest.expect("no window sees padding alone"))
    };
    (0..node.len()).map(choice).collect()
}
