//! Parts of what has no weights: pooling, sums of branches, activations.
//!
//! `docs/area_model.md` has the rules.

use super::machine::pool::sum_signal;
use super::parts::{AdderTree, LayerParts, PartCounts};
use super::schedule::Work;
use crate::net::{AveragePool2d, Network, Node, Op, Window2d};
use crate::num::cast;

/// How often an operation on single values or windows is built.
#[derive(Debug, Clone, Copy)]
pub(super) enum Copies {
    /// For every value of a frame that can differ from zero, so many.
    Frame {
        /// Such values.
        live: u64,
    },
    /// For the values of a packet.
    Packet {
        /// Packets of a frame that go out.
        packets: u64,
        /// What the stage does.
        work: Work,
    },
}

/// Parts of a node without weights.
pub(super) fn value_parts(network: &Network, node: &Node, copies: Copies) -> LayerParts {
    let values = match copies {
        Copies::Frame { live } => live,
        Copies::Packet { packets, .. } => cast::u64_from_len(node.len()).div_ceil(packets),
    };
    let from = &network.node(node.inputs[0]).signal;
    let [width, from_width] = [node.signal, *from].map(|signal| u64::from(signal.width_bits()));
    let counts = match &node.op {
        Op::MaxPool2d(_) | Op::AveragePool2d(_) => pool(network, node, copies),
        Op::Add => {
            let adders = values * cast::u64_from_len(node.inputs.len() - 1);
            PartCounts { adders, adder_bits: adders * width, ..PartCounts::default() }
        }
        // The sign chooses.
        Op::LeakyRelu { .. } if from.low < 0 && from.high > 0 => {
            PartCounts { multiplexer_bits: values * width, ..PartCounts::default() }
        }
        Op::Clip { low, high } => {
            let ends = u64::from(from.low < *low) + u64::from(from.high > *high);
            let adders = values * ends;
            PartCounts {
                adders,
                adder_bits: adders * from_width,
                multiplexer_bits: adders * width,
                ..PartCounts::default()
            }
        }
        _ => PartCounts::default(),
    };
    LayerParts { counts, elementwise_values: values }
}

fn pool(network: &Network, node: &Node, copies: Copies) -> PartCounts {
    let from = network.node(node.inputs[0]);
    let (window, mean) = match &node.op {
        Op::AveragePool2d(pool) => (&pool.window, Some(pool)),
        Op::MaxPool2d(window) => (window, None),
        _ => return PartCounts::default(),
    };
    let channels = cast::u64_from_len(node.shape[2]);
    let kept = u64::from(sum_signal(node, from).unwrap_or(from.signal).width_bits());
    let counts = counts_of_positions(window, node, from);
    let mut parts = PartCounts::default();
    let mut add_window = |count: u64| {
        let tree = AdderTree::new(count, from.signal.width_bits(), u32::try_from(kept).unwrap_or(u32::MAX));
        parts.adders += channels * (count - 1);
        if mean.is_some() {
            parts.adder_bits += channels * tree.bits;
        } else {
            // A comparison is a subtraction; its sign chooses.
            parts.adder_bits += channels * (count - 1) * kept;
            parts.multiplexer_bits += channels * (count - 1) * kept;
        }
    };
    match copies {
        Copies::Frame { .. } => counts.iter().for_each(|count| add_window(*count)),
        Copies::Packet { work: Work::GlobalPool, .. } => {
            // A value more in every cycle, and what was kept so far.
            add_window(2);
            if mean.is_some() {
                parts.adder_bits = channels * kept;
            }
            parts.pipeline_bits = channels * kept;
        }
        Copies::Packet { .. } => add_window(counts.iter().copied().max().unwrap_or(1)),
    }
    let Some(mean) = mean else { return parts };
    let width = u64::from(node.signal.width_bits());
    let mut reciprocals = counts;
    if let Copies::Packet { .. } = copies {
        // One position after another: every reciprocal that occurs once, and a choice of one.
        reciprocals.sort_unstable();
        reciprocals.dedup();
        parts.multiplexer_bits += channels * (cast::u64_from_len(reciprocals.len()) - 1) * width;
    }
    let adders = channels * reciprocals.iter().map(|count| constant_adders(mean, *count)).sum::<u64>();
    parts.adders += adders;
    parts.adder_bits += adders * width;
    parts
}

/// Pixels that the window sees at every output position.
fn counts_of_positions(window: &Window2d, node: &Node, from: &Node) -> Vec<u64> {
    let (columns, map) = (node.shape[1], [from.shape[0], from.shape[1]]);
    let count = |position: usize| window.count([position / columns, position % columns], map);
    (0..node.shape[0] * columns).map(|position| cast::u64_from_len(count(position))).collect()
}

/// Adders of a product with the reciprocal of so many values: one less than the canonical signed digits of the constant
/// that are not zero.
fn constant_adders(mean: &AveragePool2d, count: u64) -> u64 {
    let reciprocal = mean.reciprocal(usize::try_from(count).unwrap_or(usize::MAX)).unsigned_abs();
    // The digits that are not zero are the places in which the number and three times it differ.
    u64::from((reciprocal ^ (3 * reciprocal)).count_ones()).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Padding2d, Window2d};

    #[test]
    fn constants_by_their_signed_digits() {
        let window = Window2d { kernel: [1, 1], stride: [1, 1], padding: Padding2d::default() };
        let mean = AveragePool2d { window, reciprocal_bits: 8 };
        // 256, 128 and 64 are wires; 85 = 64 + 16 + 4 + 1; 28 = 32 - 4; 51 = 64 - 16 + 4 - 1.
        let adders = [1, 2, 4, 3, 9, 5].map(|count| constant_adders(&mean, count));
        assert_eq!(adders, [0, 0, 0, 3, 1, 3]);
    }
}
