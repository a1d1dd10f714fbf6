//! `FloatNetwork`: the off-chip part of a model, in `f32`.

use crate::num::Quantizer;

/// Element-wise function at the output of a float layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    Linear,
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `exp(x_i) / sum_j exp(x_j)` over the last axis.
    Softmax,
}

/// What a float node computes. Feature maps are `[rows, columns, channels]` in C order.
#[derive(Debug, Clone, PartialEq)]
pub enum FloatOp {
    /// What the accelerator sends.
    Input,
    /// Fully connected.
    Dense {
        /// `[in, out]`.
        kernel: Vec<f32>,
        /// `[out]`; zeros without bias.
        bias: Vec<f32>,
    },
    /// Convolution.
    Conv2d {
        /// `[kernel_row, kernel_column, in, out]`.
        kernel: Vec<f32>,
        /// `[out]`; zeros without bias.
        bias: Vec<f32>,
        /// How the kernel slides.
        window: super::Window2d,
    },
    /// Transposed convolution: the gradient of a convolution whose window slides over this node's *output*.
    Conv2dTranspose {
        /// `[kernel_row, kernel_column, out, in]` (Keras' order).
        kernel: Vec<f32>,
        /// `[out]`; zeros without bias.
        bias: Vec<f32>,
        /// Window over the output map; its padding is what the equivalent forward convolution would pad.
        window: super::Window2d,
    },
    /// Zeros around a feature map.
    ZeroPad2d(super::Padding2d),
    /// The same values in another shape (C order).
    Reshape,
    /// An element-wise function.
    Activation(Activation),
    /// Rounds and clips to a fixed-point format, held in `f32`.
    Quantize(Quantizer),
}

/// One operation of a [`FloatNetwork`].
#[derive(Debug, Clone, PartialEq)]
pub struct FloatNode {
    /// Name in the model file.
    pub name: String,
    /// What it computes.
    pub op: FloatOp,
    /// Position of its input in [`FloatNetwork::nodes`]; it precedes the node. Unused by the input node.
    pub input: usize,
    /// Shape of its output without the batch.
    pub shape: Vec<usize>,
}

/// Why a float network cannot exist.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FloatError {
    /// The first node, and only the first, must be the input.
    #[error("layer `{layer}`: a network has exactly one input, and it comes first")]
    Input {
        /// The layer.
        layer: String,
    },
    /// An input that does not precede its node.
    #[error("layer `{layer}`: its input is no earlier layer")]
    Order {
        /// The layer.
        layer: String,
    },
    /// Shapes of input, parameters and output that do not belong together.
    #[error("layer `{layer}`: input {input:?}, output {output:?} and its parameters do not belong together")]
    Shape {
        /// The layer.
        layer: String,
        /// Shape of its input.
        input: Vec<usize>,
        /// Shape stated for its output.
        output: Vec<usize>,
    },
    /// A parameter that is infinite or not a number.
    #[error("layer `{layer}`: parameter {index} is {value}")]
    NotFinite {
        /// The layer.
        layer: String,
        /// Index within kernel, then bias.
        index: usize,
        /// The value.
        value: f32,
    },
    /// No node at all.
    #[error("the network is empty")]
    Empty,
}

/// A validated chain or tree of float operations in topological order; the last node is the output.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatNetwork {
    name: String,
    nodes: Vec<FloatNode>,
}

impl FloatNetwork {
    /// Checks that nodes follow their inputs and that shapes and parameters belong together.
    ///
    /// # Errors
    /// Names the first layer that does not fit.
    pub fn new(name: &str, nodes: Vec<FloatNode>) -> Result<Self, FloatError> {
        if nodes.is_empty() {
            return Err(FloatError::Empty);
        }
        for (index, node) in nodes.iter().enumerate() {
            let layer = || node.name.clone();
            if matches!(node.op, FloatOp::Input) != (index == 0) {
                return Err(FloatError::Input { layer: layer() });
            }
            if index == 0 {
                continue;
            }
            if node.input >= index {
                return Err(FloatError::Order { layer: layer() });
            }
            let input = &nodes[node.input].shape;
            if !fits(&node.op, input, &node.shape) {
                return Err(FloatError::Shape { layer: layer(), input: input.clone(), output: node.shape.clone() });
            }
            let (FloatOp::Dense { kernel, bias }
            | FloatOp::Conv2d { kernel, bias, .. }
            | FloatOp::Conv2dTranspose { kernel, bias, .. }) = &node.op
            else {
                continue;
            };
            if let Some((index, value)) = kernel.iter().chain(bias).enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(FloatError::NotFinite { layer: layer(), index, value: *value });
            }
        }
        Ok(Self { name: name.to_owned(), nodes })
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All nodes in topological order.
    pub fn nodes(&self) -> &[FloatNode] {
        &self.nodes
    }

    /// The input node.
    pub fn input(&self) -> &FloatNode {
        &self.nodes[0]
    }

    /// The output node.
    pub fn output(&self) -> &FloatNode {
        &self.nodes[self.nodes.len() - 1]
    }
}

fn fits(op: &FloatOp, input: &[usize], output: &[usize]) -> bool {
    match op {
        FloatOp::Input => true,
        FloatOp::Reshape => input.iter().product::<usize>() == output.iter().product::<usize>(),
        FloatOp::Activation(_) | FloatOp::Quantize(_) => input == output,
        FloatOp::Dense { kernel, bias } => match (input, output) {
            ([i], [o]) => kernel.len() == i * o && bias.len() == *o,
            _ => false,
        },
        FloatOp::ZeroPad2d(padding) => match (input, output) {
            ([rows, columns, channels], [out_rows, out_columns, out_channels]) => {
                *out_rows == rows + padding.top + padding.bottom
                    && *out_columns == columns + padding.left + padding.right
                    && out_channels == channels
            }
            _ => false,
        },
        FloatOp::Conv2d { kernel, bias, window } => match (input, output) {
            ([rows, columns, channels], [out_rows, out_columns, out_channels]) => {
                kernel.len() == window.kernel[0] * window.kernel[1] * channels * out_channels
                    && bias.len() == *out_channels
                    && window.output([*rows, *columns]) == Some([*out_rows, *out_columns])
            }
            _ => false,
        },
        FloatOp::Conv2dTranspose { kernel, bias, window } => match (input, output) {
            ([rows, columns, channels], [out_rows, out_columns, out_channels]) => {
                kernel.len() == window.kernel[0] * window.kernel[1] * channels * out_channels
                    && bias.len() == *out_channels
                    && window.output([*out_rows, *out_columns]) == Some([*rows, *columns])
            }
            _ => false,
        },
    }
}
