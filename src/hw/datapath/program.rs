//! `Program`: a network prepared for evaluation in words of one width; as the unrolled accelerator computes it, and the
//! engine with it.
//!
//! The nodes between input and output are gathered into layers: what is computed from other values, followed by a tail that
//! treats every value by itself (quantizers, `ReLU`) or moves it (reshape, padding). Preparing is done once per network;
//! nothing here depends on an event or a fault.

use super::layer::{Core, Layer, Stretch};
use super::tail::{Elementwise, Tail, elementwise, is_elementwise, moves_zero};
use super::word::{Word, fits};
use crate::net::{Network, NodeId, Op};
use crate::num::cast;

/// A network in words of `W`.
#[derive(Debug, Clone)]
pub(crate) struct Program<W> {
    /// What happens to the input before the first layer.
    pub(crate) head: Head<W>,
    /// Layers in the order of the data; the last one gives the output.
    pub(crate) layers: Vec<Layer<W>>,
    /// Number of values the network gives.
    pub(crate) output_len: usize,
}

/// Elementwise operations on the input, and where its values go.
#[derive(Debug, Clone)]
pub(crate) struct Head<W> {
    pub(crate) tail: Tail<W>,
    /// Place behind it, by place in the input.
    pub(crate) target: Vec<u32>,
    /// Number of values behind it.
    pub(crate) target_len: usize,
    /// Whether every value keeps its place.
    pub(crate) is_straight: bool,
}

impl<W: Word> Program<W> {
    /// Prepares `network`; `None` when its values do not all fit these words (see [`fits`]).
    pub(crate) fn new(network: &Network) -> Option<Self> {
        if !network.nodes().iter().all(|node| fits::<W>(&node.signal)) {
            return None;
        }
        let stretches = stretches(network);
        let (head, layers) = stretches.split_first().expect("a network begins with its input");
        let Elementwise { tail, len, target } = elementwise(network, head.core, &head.after);
        let is_straight = target.iter().copied().eq(0..cast::id(target.len()));
        let layers: Vec<Layer<W>> = layers.iter().map(|stretch| Layer::new(network, stretch)).collect();
        let output_len = layers.last().map_or(len, |layer| layer.target_len);
        Some(Self { head: Head { tail, target, target_len: len, is_straight }, layers, output_len })
    }

    /// The layer a node's registers belong to.
    ///
    /// # Panics
    /// When the node has none.
    pub(crate) fn layer_of(&self, node: NodeId) -> usize {
        let found = self.layers.iter().position(|layer| layer.node == node && layer.has_registers());
        found.expect("a node with registers is a layer's")
    }

    /// Whether it is one dense layer or convolution after another.
    pub(crate) fn is_chain_of_sums(&self) -> bool {
        self.layers.iter().enumerate().all(|(at, layer)| matches!(layer.core, Core::Sums) && layer.sources == [at])
    }
}

/// The nodes in stretches, in the order of the data: the first begins with the input, the last ends with the output.
fn stretches(network: &Network) -> Vec<Stretch> {
    let mut readers = vec![0; network.nodes().len()];
    for input in network.nodes().iter().flat_map(|node| &node.inputs) {
        readers[input.index()] += 1;
    }
    let mut stretches: Vec<Stretch> = Vec::new();
    // The stretch of each node.
    let mut of = vec![0; network.nodes().len()];
    for (id, node) in network.iter() {
        let sources: Vec<usize> = node.inputs.iter().map(|input| of[input.index()]).collect();
        match (sources.first(), node.inputs.first()) {
            (Some(source), Some(input)) if is_elementwise(&node.op) => {
                let stretch = &mut stretches[*source];
                // Zeros around a map are put in last, so nothing may follow that would change them.
                let is_padded = stretch.after.iter().any(|id| matches!(network.node(*id).op, Op::ZeroPad2d(_)));
                if readers[input.index()] > 1 || (is_padded && moves_zero(&node.op)) {
                    of[id.index()] = stretches.len();
                    stretches.push(Stretch { core: *input, passes_on: true, sources, after: vec![id] });
                } else {
                    of[id.index()] = *source;
                    stretch.after.push(id);
                }
            }
            _ => {
                of[id.index()] = stretches.len();
                stretches.push(Stretch { core: id, passes_on: false, sources, after: Vec::new() });
            }
        }
    }
    stretches
}
