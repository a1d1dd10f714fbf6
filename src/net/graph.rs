//! `Network`: the graph of integer operations that stands in hardware.

use super::op::Op;
use super::tensor::{TensorError, TensorKind};
use crate::num::{Quantizer, cast};

/// Index of a node in [`Network::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Position in [`Network::nodes`].
    pub const fn index(self) -> usize {
        cast::index(self.0)
    }
}

/// What every value of a node's output is: an integer in `low ..= high` that stands for `integer * 2^-frac_bits`.
///
/// The range holds for every input and every content of the weight registers, so it also holds under any bit flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Fractional bits; may be negative.
    pub frac_bits: i32,
    /// Smallest integer.
    pub low: i64,
    /// Largest integer.
    pub high: i64,
}

impl Signal {
    /// Bits of the narrowest two's-complement (or, if never negative, unsigned) register that holds the range.
    pub fn width_bits(&self) -> u32 {
        let magnitude = |v: i64| 64 - if v < 0 { !v } else { v }.leading_zeros();
        (magnitude(self.low).max(magnitude(self.high)) + u32::from(self.low < 0)).max(1)
    }

    /// Real value of `raw`.
    pub fn value(&self, raw: i64) -> f64 {
        cast::f64_from_i64(raw) * f64::from(-self.frac_bits).exp2()
    }
}

/// One operation of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name in the model file.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Where its inputs come from; all precede it.
    pub inputs: Vec<NodeId>,
    /// Shape of its output without the batch: `[features]` or `[rows, columns, channels]`.
    pub shape: Vec<usize>,
    /// Format and proven range of its output.
    pub signal: Signal,
    /// For a weighted layer, per output channel, how far its products and its bias are shifted left to stand on the
    /// accumulator's binary point; empty otherwise.
    pub align: Vec<Align>,
}

/// Left shifts, in bits, that bring a channel onto the accumulator's binary point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Align {
    /// For products of weight and input.
    pub product: u32,
    /// For the bias.
    pub bias: u32,
}

impl Node {
    /// Number of output values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the node has no output value; never true in a valid network.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of products summed into one output value, bias excluded: 0 for a layer without weights.
    pub fn fan_in(&self) -> usize {
        match &self.op {
            Op::Dense(dense) => dense.kernel.shape()[0],
            Op::Conv2d(conv) => conv.kernel.shape()[..3].iter().product(),
            Op::DepthwiseConv2d(conv) => conv.kernel.shape()[..2].iter().product(),
            _ => 0,
        }
    }
}

/// Why a network cannot exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Two layers of one name.
    #[error("layer `{layer}`: a layer of this name exists already")]
    DuplicateName {
        /// The layer.
        layer: String,
    },
    /// The first node is not the only input node.
    #[error("layer `{layer}`: a network has exactly one input, and it comes first")]
    Input {
        /// The layer.
        layer: String,
    },
    /// An input names a layer that is not there yet.
    #[error("layer `{layer}`: its input is no earlier layer")]
    Order {
        /// The layer.
        layer: String,
    },
    /// Wrong number of inputs.
    #[error("layer `{layer}`: takes {expected} input(s), has {found}")]
    Arity {
        /// The layer.
        layer: String,
        /// Inputs it takes.
        expected: usize,
        /// Inputs it has.
        found: usize,
    },
    /// A shape that the layer cannot take.
    #[error("layer `{layer}`: cannot take an input of shape {shape:?}; {expected}")]
    Shape {
        /// The layer.
        layer: String,
        /// Shape of its input.
        shape: Vec<usize>,
        /// What it can take.
        expected: String,
    },
    /// A faulty tensor.
    #[error("layer `{layer}`, {tensor}: {source}")]
    Tensor {
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: TensorKind,
        /// What is wrong.
        source: TensorError,
    },
    /// The range of a layer's sums exceeds the integers used to compute it.
    #[error("layer `{layer}`: its sums need {bits} bits; at most 63 are supported")]
    AccumulatorTooWide {
        /// The layer.
        layer: String,
        /// Width needed, in bits.
        bits: u32,
    },
    /// A layer that leads nowhere.
    #[error("layer `{layer}`: the output does not depend on it; leave it out, or add the layers that read it")]
    Unread {
        /// The layer.
        layer: String,
    },
    /// Nothing between input and output.
    #[error("the network has no layer with weights")]
    NoWeights,
}

/// A validated graph of integer operations in topological order: node 0 is the input, the last node is the output, and
/// the output depends on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
}

impl Network {
    /// Name of the accelerator.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All nodes in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// All nodes with their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(cast::id(index)), node))
    }

    /// The input node.
    pub fn input(&self) -> &Node {
        &self.nodes[0]
    }

    /// The quantizer of the input node.
    pub fn input_quantizer(&self) -> Quantizer {
        match self.input().op {
            Op::Input(quantizer) => quantizer,
            _ => unreachable!("NetworkBuilder puts the input first"),
        }
    }

    /// The output node.
    pub fn output(&self) -> &Node {
        self.nodes.last().expect("NetworkBuilder refuses an empty network")
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.iter().find(|(_, node)| node.name == name).map(|(id, _)| id)
    }

    /// The network with register `index` of a tensor holding `raw`: the straightforward model of a fault.
    ///
    /// # Errors
    /// When the layer has no such tensor or register, or `raw` does not fit it.
    pub fn with_weight(&self, node: NodeId, kind: TensorKind, index: usize, raw: i64) -> Result<Self, NetError> {
        let faulty = |source| NetError::Tensor { layer: self.node(node).name.clone(), tensor: kind, source };
        let tensor = self
            .node(node)
            .op
            .tensor(kind)
            .filter(|tensor| index < tensor.len())
            .ok_or_else(|| faulty(TensorError::Count { values: index + 1, shape: Vec::new() }))?;
        let tensor = tensor.with_value(index, raw).map_err(faulty)?;
        let mut network = self.clone();
        network.nodes[node.index()].op = self.node(node).op.with_tensor(kind, tensor);
        Ok(network)
    }
}
