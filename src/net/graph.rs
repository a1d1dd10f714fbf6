//! `Network`: the graph of integer operations that stands in hardware.

use std::collections::HashMap;

use super::tensor::{TensorError, TensorKind, WeightTensor};
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

/// Rows and columns added around a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Padding2d {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding2d {
    /// Keras `padding="same"`: the output has `ceil(input / stride)` rows and columns, the odd row or column of padding
    /// goes below and right.
    pub fn same(input: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Self {
        let total = |axis: usize| {
            let out = input[axis].div_ceil(stride[axis]);
            ((out.saturating_sub(1)) * stride[axis] + kernel[axis]).saturating_sub(input[axis])
        };
        let (rows, columns) = (total(0), total(1));
        Self { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 }
    }
}

/// Geometry of a window that slides over a zero-padded feature map: `[rows, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window2d {
    /// Window size.
    pub kernel: [usize; 2],
    /// Step from one output to the next.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding2d,
}

impl Window2d {
    /// Output `[rows, columns]` over an input of `[rows, columns]`; `None` when the window does not fit.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let padded =
            [input[0] + self.padding.top + self.padding.bottom, input[1] + self.padding.left + self.padding.right];
        let axis = |a: usize| {
            let free = padded[a].checked_sub(self.kernel[a])?;
            Some(free.checked_div(self.stride[a])? + 1)
        };
        Some([axis(0)?, axis(1)?])
    }

    /// Input row that row `kernel_row` of the window sees at output row `out_row`; `None` when it sees padding.
    #[inline]
    pub fn input_row(&self, out_row: usize, kernel_row: usize, input_rows: usize) -> Option<usize> {
        (out_row * self.stride[0] + kernel_row).checked_sub(self.padding.top).filter(|row| *row < input_rows)
    }

    /// Input column that column `kernel_column` of the window sees at output column `out_column`; `None` when padding.
    #[inline]
    pub fn input_column(&self, out_column: usize, kernel_column: usize, input_columns: usize) -> Option<usize> {
        (out_column * self.stride[1] + kernel_column)
            .checked_sub(self.padding.left)
            .filter(|column| *column < input_columns)
    }
}

/// A fully connected layer: `acc[out] = bias[out] + sum_in kernel[in, out] * x[in]`, exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dense {
    /// Registers `[in, out]`.
    pub kernel: WeightTensor,
    /// Registers `[out]`.
    pub bias: Option<WeightTensor>,
}

/// A two-dimensional convolution over `[rows, columns, channels]`, exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2d {
    /// Registers `[kernel_row, kernel_column, in, out]`.
    pub kernel: WeightTensor,
    /// Registers `[out]`.
    pub bias: Option<WeightTensor>,
    /// How the kernel slides.
    pub window: Window2d,
}

/// What a node computes from its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The accelerator's input register: quantizes what the host sends.
    Input(Quantizer),
    /// A fully connected layer; its output is the accumulator.
    Dense(Dense),
    /// A convolution; its output is the accumulator.
    Conv2d(Conv2d),
    /// Rounds and clips every value.
    Quantize(Quantizer),
    /// `max(x, 0)`, exact.
    Relu,
    /// The same values in another shape (C order).
    Reshape,
    /// Zeros around a feature map.
    ZeroPad2d(Padding2d),
}

impl Op {
    /// The operation's parameter tensors, kernel first.
    pub fn tensors(&self) -> impl Iterator<Item = (TensorKind, &WeightTensor)> {
        let (kernel, bias) = match self {
            Self::Dense(dense) => (Some(&dense.kernel), dense.bias.as_ref()),
            Self::Conv2d(conv) => (Some(&conv.kernel), conv.bias.as_ref()),
            _ => (None, None),
        };
        kernel.map(|t| (TensorKind::Kernel, t)).into_iter().chain(bias.map(|t| (TensorKind::Bias, t)))
    }

    /// One of the operation's parameter tensors.
    pub fn tensor(&self, kind: TensorKind) -> Option<&WeightTensor> {
        self.tensors().find(|(k, _)| *k == kind).map(|(_, tensor)| tensor)
    }

    /// The same operation with one parameter tensor replaced; unchanged when it has no such tensor.
    #[must_use]
    pub fn with_tensor(&self, kind: TensorKind, tensor: WeightTensor) -> Self {
        let mut op = self.clone();
        match (&mut op, kind) {
            (Self::Dense(Dense { kernel, .. }) | Self::Conv2d(Conv2d { kernel, .. }), TensorKind::Kernel) => {
                *kernel = tensor;
            }
            (Self::Dense(Dense { bias, .. }) | Self::Conv2d(Conv2d { bias, .. }), TensorKind::Bias) => {
                *bias = Some(tensor);
            }
            _ => {}
        }
        op
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
    /// Nothing between input and output.
    #[error("the network has no layer with weights")]
    NoWeights,
}

/// A validated graph of integer operations in topological order: node 0 is the input, the last node is the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    name: String,
    nodes: Vec<Node>,
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

/// Builds a [`Network`] node by node, inferring shapes and ranges and refusing what does not fit.
#[derive(Debug)]
pub struct NetworkBuilder {
    name: String,
    nodes: Vec<Node>,
    by_name: HashMap<String, NodeId>,
}

impl NetworkBuilder {
    /// Starts a network with its input register: `shape` without the batch axis.
    ///
    /// # Errors
    /// When the shape is empty.
    pub fn new(name: &str, input_name: &str, shape: &[usize], quantizer: Quantizer) -> Result<Self, NetError> {
        if shape.is_empty() || shape.contains(&0) {
            return Err(NetError::Shape {
                layer: input_name.to_owned(),
                shape: shape.to_vec(),
                expected: "every axis needs at least one value".to_owned(),
            });
        }
        let (low, high) = quantizer.range();
        let signal = Signal { frac_bits: quantizer.format.frac_bits(), low, high };
        let node = Node {
            name: input_name.to_owned(),
            op: Op::Input(quantizer),
            inputs: Vec::new(),
            shape: shape.to_vec(),
            signal,
            align: Vec::new(),
        };
        Ok(Self { name: name.to_owned(), by_name: HashMap::from([(node.name.clone(), NodeId(0))]), nodes: vec![node] })
    }

    /// The input node.
    pub const fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Shape of a node already added.
    pub fn shape(&self, node: NodeId) -> &[usize] {
        &self.nodes[node.index()].shape
    }

    /// Adds a reshape to `shape`.
    ///
    /// # Errors
    /// When the name is taken or the number of values differs.
    pub fn reshape(&mut self, name: &str, input: NodeId, shape: Vec<usize>) -> Result<NodeId, NetError> {
        let found = &self.nodes[input.index()];
        if shape.iter().product::<usize>() != found.len() {
            return Err(NetError::Shape {
                layer: name.to_owned(),
                shape: found.shape.clone(),
                expected: format!("it makes {shape:?}, which has another number of values"),
            });
        }
        let signal = found.signal;
        self.add(name, Op::Reshape, &[input], shape, signal, Vec::new())
    }

    /// Adds any operation but an input or a reshape, reading `inputs`.
    ///
    /// # Errors
    /// When the name is taken, the inputs do not fit the operation, or its sums need more than 63 bits.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, NetError> {
        if inputs.len() != 1 {
            return Err(NetError::Arity { layer: name.to_owned(), expected: 1, found: inputs.len() });
        }
        let Some(source) = self.nodes.get(inputs[0].index()) else {
            return Err(NetError::Order { layer: name.to_owned() });
        };
        let misfit =
            |expected: String| NetError::Shape { layer: name.to_owned(), shape: source.shape.clone(), expected };
        let map = || match source.shape[..] {
            [rows, columns, channels] => Ok((rows, columns, channels)),
            _ => Err(misfit("it takes [rows, columns, channels]".to_owned())),
        };
        let (shape, signal, align) = match &op {
            Op::Input(_) => return Err(NetError::Input { layer: name.to_owned() }),
            Op::Reshape => return Err(misfit("use NetworkBuilder::reshape".to_owned())),
            Op::Quantize(quantizer) => {
                let (low, high) = quantizer.range();
                let signal = Signal { frac_bits: quantizer.format.frac_bits(), low, high };
                (source.shape.clone(), signal, Vec::new())
            }
            Op::Relu => {
                let signal = Signal { low: source.signal.low.max(0), high: source.signal.high.max(0), ..source.signal };
                (source.shape.clone(), signal, Vec::new())
            }
            Op::ZeroPad2d(padding) => {
                let (rows, columns, channels) = map()?;
                let shape = vec![rows + padding.top + padding.bottom, columns + padding.left + padding.right, channels];
                let signal = Signal { low: source.signal.low.min(0), high: source.signal.high.max(0), ..source.signal };
                (shape, signal, Vec::new())
            }
            Op::Dense(dense) => {
                let [inputs, outputs] = dense.kernel.shape()[..] else {
                    return Err(misfit(format!("its kernel must be [in, out], not {:?}", dense.kernel.shape())));
                };
                // Keras applies a dense layer to the last axis; hardware has one copy per position only when flattened.
                if source.shape != [inputs] {
                    return Err(misfit(format!("its kernel takes [{inputs}] (flatten first)")));
                }
                let (signal, align) = accumulate(name, &source.signal, &dense.kernel, dense.bias.as_ref())?;
                (vec![outputs], signal, align)
            }
            Op::Conv2d(conv) => {
                let (rows, columns, channels) = map()?;
                let [kernel_rows, kernel_columns, inputs, outputs] = conv.kernel.shape()[..] else {
                    let shape = conv.kernel.shape();
                    return Err(misfit(format!("its kernel must be [row, column, in, out], not {shape:?}")));
                };
                if inputs != channels || conv.window.kernel != [kernel_rows, kernel_columns] {
                    return Err(misfit(format!("its kernel takes {inputs} channels")));
                }
                let [out_rows, out_columns] = conv
                    .window
                    .output([rows, columns])
                    .ok_or_else(|| misfit(format!("its window is {kernel_rows}x{kernel_columns}")))?;
                let (signal, align) = accumulate(name, &source.signal, &conv.kernel, conv.bias.as_ref())?;
                (vec![out_rows, out_columns, outputs], signal, align)
            }
        };
        self.add(name, op, inputs, shape, signal, align)
    }

    /// Ends the network; the last node added is its output.
    ///
    /// # Errors
    /// When no layer has weights.
    pub fn finish(self) -> Result<Network, NetError> {
        if self.nodes.iter().all(|node| node.op.tensors().next().is_none()) {
            return Err(NetError::NoWeights);
        }
        Ok(Network { name: self.name, nodes: self.nodes })
    }

    fn add(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[NodeId],
        shape: Vec<usize>,
        signal: Signal,
        align: Vec<Align>,
    ) -> Result<NodeId, NetError> {
        let id = NodeId(cast::id(self.nodes.len()));
        if self.by_name.insert(name.to_owned(), id).is_some() {
            return Err(NetError::DuplicateName { layer: name.to_owned() });
        }
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape, signal, align });
        Ok(id)
    }
}

/// Format, worst-case range and alignment of `bias + sum kernel * x`.
///
/// The range is over all inputs in `x` and all contents of the registers, so no fault can leave it; every partial sum
/// in any order stays within it too, because each term's range is widened to contain zero.
fn accumulate(
    layer: &str,
    x: &Signal,
    kernel: &WeightTensor,
    bias: Option<&WeightTensor>,
) -> Result<(Signal, Vec<Align>), NetError> {
    let channels = kernel.channels();
    if let Some(bias) = bias
        && bias.shape() != [channels]
    {
        let source = TensorError::Count { values: bias.len(), shape: vec![channels] };
        return Err(NetError::Tensor { layer: layer.to_owned(), tensor: TensorKind::Bias, source });
    }
    let product_frac = |channel: usize| x.frac_bits + kernel.frac_bits(channel);
    let bias_frac = |channel: usize| bias.map(|bias| bias.frac_bits(channel));
    let frac_bits = (0..channels)
        .map(|channel| bias_frac(channel).map_or(product_frac(channel), |bias| bias.max(product_frac(channel))))
        .max()
        .expect("a tensor has at least one channel");
    let shift = |frac: i32| u32::try_from(frac_bits - frac).expect("frac_bits is the largest");
    let align: Vec<Align> = (0..channels)
        .map(|channel| Align {
            // An input that is always zero has no product to shift, however far its point lies.
            product: if (x.low, x.high) == (0, 0) { 0 } else { shift(product_frac(channel)) },
            bias: shift(bias_frac(channel).unwrap_or(frac_bits)),
        })
        .collect();

    let fan_in = kernel.len() / channels;
    let weight = kernel.format();
    let corner = |w: i64, v: i64| i128::from(w) * i128::from(v);
    let corners = [
        corner(weight.min_raw(), x.low),
        corner(weight.min_raw(), x.high),
        corner(weight.max_raw(), x.low),
        corner(weight.max_raw(), x.high),
    ];
    let term_low = corners.into_iter().fold(0, i128::min);
    let term_high = corners.into_iter().fold(0, i128::max);
    let (bias_low, bias_high) =
        bias.map_or((0, 0), |b| (i128::from(b.format().min_raw()), i128::from(b.format().max_raw())));
    let terms = i128::try_from(fan_in).expect("a length fits");
    let too_wide = |bits| NetError::AccumulatorTooWide { layer: layer.to_owned(), bits };
    // Left shift with the check that nothing is lost (`checked_shl` only checks the distance).
    let scaled = |value: i128, shift: u32| {
        let room = value.unsigned_abs().leading_zeros();
        if shift + 1 < room || value == 0 { Ok(value << shift.min(127)) } else { Err(too_wide(128 - room + shift + 1)) }
    };
    let (mut low, mut high) = (0_i128, 0_i128);
    for Align { product, bias } in &align {
        low = low.min(scaled(term_low * terms, *product)?.saturating_add(scaled(bias_low, *bias)?));
        high = high.max(scaled(term_high * terms, *product)?.saturating_add(scaled(bias_high, *bias)?));
    }
    let width_bits = 129 - low.unsigned_abs().max(high.unsigned_abs()).leading_zeros();
    match (i64::try_from(low), i64::try_from(high)) {
        (Ok(low), Ok(high)) if width_bits <= 63 => Ok((Signal { frac_bits, low, high }, align)),
        _ => Err(too_wide(width_bits)),
    }
}
