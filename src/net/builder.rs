//! `NetworkBuilder`: makes a network node by node and proves the range of every value.

use std::collections::{HashMap, HashSet};

use super::graph::{Align, NetError, Network, Node, NodeId, Signal};
use super::op::{AveragePool2d, Op, Window2d};
use super::tensor::{TensorError, TensorKind, WeightTensor};
use crate::num::{Quantizer, cast};

/// Most fractional bits of the reciprocals of a mean.
const MAX_RECIPROCAL_BITS: u32 = 30;

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

    /// Format and range of the output of a node already added.
    pub fn signal(&self, node: NodeId) -> Signal {
        self.nodes[node.index()].signal
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
        self.add(name, Op::Reshape, &[input], Inferred { shape, signal, align: Vec::new() })
    }

    /// Adds any operation but an input or a reshape, reading `inputs`.
    ///
    /// # Errors
    /// When the name is taken, the inputs do not fit the operation, or its sums need more than 63 bits.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, NetError> {
        let mut sources = Vec::with_capacity(inputs.len());
        for id in inputs {
            let source = self.nodes.get(id.index()).ok_or_else(|| NetError::Order { layer: name.to_owned() })?;
            sources.push(source);
        }
        let fits = if matches!(op, Op::Add) { sources.len() >= 2 } else { sources.len() == 1 };
        if !fits {
            let expected = if matches!(op, Op::Add) { 2 } else { 1 };
            return Err(NetError::Arity { layer: name.to_owned(), expected, found: inputs.len() });
        }
        let inferred = Inference { name, sources: &sources }.of(&op)?;
        self.add(name, op, inputs, inferred)
    }

    /// Ends the network; the last node added is its output.
    ///
    /// # Errors
    /// When the output does not depend on some layer, or no layer has weights.
    pub fn finish(self) -> Result<Network, NetError> {
        // All read nodes stand before their readers, so where every node has one, all lead to the last.
        let read: HashSet<NodeId> = self.nodes.iter().flat_map(|node| &node.inputs).copied().collect();
        let (_, rest) = self.nodes.split_last().expect("a network begins with its input");
        if let Some((_, node)) = (0..).map(NodeId).zip(rest).find(|(id, _)| !read.contains(id)) {
            return Err(NetError::Unread { layer: node.name.clone() });
        }
        if self.nodes.iter().all(|node| node.op.tensors().next().is_none()) {
            return Err(NetError::NoWeights);
        }
        Ok(Network { name: self.name, nodes: self.nodes })
    }

    fn add(&mut self, name: &str, op: Op, inputs: &[NodeId], inferred: Inferred) -> Result<NodeId, NetError> {
        let Inferred { shape, signal, align } = inferred;
        let id = NodeId(cast::id(self.nodes.len()));
        if self.by_name.insert(name.to_owned(), id).is_some() {
            return Err(NetError::DuplicateName { layer: name.to_owned() });
        }
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape, signal, align });
        Ok(id)
    }
}

/// What follows for a node from its inputs.
struct Inferred {
    shape: Vec<usize>,
    signal: Signal,
    align: Vec<Align>,
}

/// A node to be, and what it reads: one node, of a sum several.
struct Inference<'a> {
    name: &'a str,
    sources: &'a [&'a Node],
}

impl Inference<'_> {
    fn of(&self, op: &Op) -> Result<Inferred, NetError> {
        let source = self.sources[0];
        let same = |signal| Ok(Inferred { shape: source.shape.clone(), signal, align: Vec::new() });
        let Signal { frac_bits, low, high } = source.signal;
        match op {
            Op::Input(_) => Err(NetError::Input { layer: self.name.to_owned() }),
            Op::Reshape => Err(self.misfit("use NetworkBuilder::reshape".to_owned())),
            Op::Quantize(quantizer) => {
                let (low, high) = quantizer.range();
                same(Signal { frac_bits: quantizer.format.frac_bits(), low, high })
            }
            Op::Relu => same(Signal { low: low.max(0), high: high.max(0), frac_bits }),
            Op::LeakyRelu { shift } => {
                let high = self.scaled(i128::from(high.max(0)), *shift)?;
                // A low above 0 is scaled as every positive value is.
                let low = if low > 0 { self.scaled(i128::from(low), *shift)? } else { i128::from(low) };
                same(self.signal(frac_bits.saturating_add_unsigned(*shift), low, high)?)
            }
            Op::Clip { low: least, high: most } => {
                if least > most {
                    return Err(self.misfit(format!("it clips to {least} .. {most}, which is empty")));
                }
                same(Signal { low: low.clamp(*least, *most), high: high.clamp(*least, *most), frac_bits })
            }
            Op::Add => self.add(),
            Op::ZeroPad2d(padding) => {
                let [rows, columns, channels] = self.map()?;
                let shape = vec![rows + padding.top + padding.bottom, columns + padding.left + padding.right, channels];
                let signal = Signal { low: low.min(0), high: high.max(0), frac_bits };
                Ok(Inferred { shape, signal, align: Vec::new() })
            }
            Op::Dense(dense) => {
                let [inputs, outputs] = dense.kernel.shape()[..] else {
                    return Err(self.misfit(format!("its kernel must be [in, out], not {:?}", dense.kernel.shape())));
                };
                // Keras applies a dense layer to the last axis; hardware has one copy per position only when flattened.
                if source.shape != [inputs] {
                    return Err(self.misfit(format!("its kernel takes [{inputs}] (flatten first)")));
                }
                let (signal, align) = accumulate(self.name, &source.signal, &dense.kernel, dense.bias.as_ref())?;
                Ok(Inferred { shape: vec![outputs], signal, align })
            }
            Op::Conv2d(conv) => {
                let [_, _, channels] = self.map()?;
                let [kernel_rows, kernel_columns, inputs, outputs] = conv.kernel.shape()[..] else {
                    let shape = conv.kernel.shape();
                    return Err(self.misfit(format!("its kernel must be [row, column, in, out], not {shape:?}")));
                };
                if inputs != channels || conv.window.kernel != [kernel_rows, kernel_columns] {
                    return Err(self.misfit(format!("its kernel takes {inputs} channels")));
                }
                let shape = self.slid(&conv.window, outputs)?;
                let (signal, align) = accumulate(self.name, &source.signal, &conv.kernel, conv.bias.as_ref())?;
                Ok(Inferred { shape, signal, align })
            }
            Op::DepthwiseConv2d(conv) => {
                let [_, _, channels] = self.map()?;
                let [kernel_rows, kernel_columns, outputs] = conv.kernel.shape()[..] else {
                    let shape = conv.kernel.shape();
                    return Err(self.misfit(format!("its kernel must be [row, column, out], not {shape:?}")));
                };
                if !outputs.is_multiple_of(channels) || conv.window.kernel != [kernel_rows, kernel_columns] {
                    return Err(self.misfit(format!("its kernel gives {outputs} channels, no multiple of {channels}")));
                }
                let shape = self.slid(&conv.window, outputs)?;
                let (signal, align) = accumulate(self.name, &source.signal, &conv.kernel, conv.bias.as_ref())?;
                Ok(Inferred { shape, signal, align })
            }
            Op::MaxPool2d(window) => {
                let [_, _, channels] = self.map()?;
                let shape = self.slid(window, channels)?;
                self.all_see(window, &shape)?;
                Ok(Inferred { shape, signal: source.signal, align: Vec::new() })
            }
            Op::AveragePool2d(pool) => self.average(pool),
        }
    }

    fn misfit(&self, expected: String) -> NetError {
        NetError::Shape { layer: self.name.to_owned(), shape: self.sources[0].shape.clone(), expected }
    }

    fn map(&self) -> Result<[usize; 3], NetError> {
        let map = self.sources[0].shape[..].try_into();
        map.map_err(|_| self.misfit("it takes [rows, columns, channels]".to_owned()))
    }

    /// Shape behind a window.
    fn slid(&self, window: &Window2d, channels: usize) -> Result<Vec<usize>, NetError> {
        let [rows, columns, _] = self.map()?;
        let output = window.output([rows, columns]);
        let [out_rows, out_columns] =
            output.ok_or_else(|| self.misfit(format!("its window is {}x{}", window.kernel[0], window.kernel[1])))?;
        Ok(vec![out_rows, out_columns, channels])
    }

    /// Checks that no window sees padding alone.
    fn all_see(&self, window: &Window2d, output: &[usize]) -> Result<(), NetError> {
        let [rows, columns, _] = self.map()?;
        let sees = |axis: usize, before: usize, size: usize| {
            let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
            (0..output[axis]).all(|out| out * stride < before + size && out * stride + kernel > before)
        };
        if sees(0, window.padding.top, rows) && sees(1, window.padding.left, columns) {
            return Ok(());
        }
        Err(self.misfit("some of its windows see padding alone".to_owned()))
    }

    fn average(&self, pool: &AveragePool2d) -> Result<Inferred, NetError> {
        let [_, _, channels] = self.map()?;
        let shape = self.slid(&pool.window, channels)?;
        self.all_see(&pool.window, &shape)?;
        if pool.reciprocal_bits > MAX_RECIPROCAL_BITS {
            let bits = pool.reciprocal_bits;
            return Err(
                self.misfit(format!("its reciprocal has {bits} bits; at most {MAX_RECIPROCAL_BITS} are supported"))
            );
        }
        let Signal { frac_bits, low, high } = self.sources[0].signal;
        // n times the reciprocal of n, rounded, is at most 2^bits + n / 2; partial sums may lie on either side of 0.
        let area = i128::try_from(pool.window.kernel[0] * pool.window.kernel[1]).expect("a length fits");
        let most = (1_i128 << pool.reciprocal_bits) + area / 2;
        let (low, high) = (i128::from(low.min(0)) * most, i128::from(high.max(0)) * most);
        let signal = self.signal(frac_bits.saturating_add_unsigned(pool.reciprocal_bits), low, high)?;
        Ok(Inferred { shape, signal, align: Vec::new() })
    }

    fn add(&self) -> Result<Inferred, NetError> {
        let shape = self.sources[0].shape.clone();
        if let Some(other) = self.sources.iter().find(|source| source.shape != shape) {
            return Err(self.misfit(format!("it adds it to one of shape {:?}", other.shape)));
        }
        let frac_bits = self.sources.iter().map(|source| source.signal.frac_bits).max().expect("there are two or more");
        let (mut low, mut high) = (0, 0);
        for source in self.sources {
            let shift = u32::try_from(frac_bits - source.signal.frac_bits).expect("frac_bits is the largest");
            // Widened to contain 0, so that no order of adding leaves the range.
            low += self.scaled(i128::from(source.signal.low.min(0)), shift)?;
            high += self.scaled(i128::from(source.signal.high.max(0)), shift)?;
        }
        Ok(Inferred { shape, signal: self.signal(frac_bits, low, high)?, align: Vec::new() })
    }

    fn scaled(&self, value: i128, shift: u32) -> Result<i128, NetError> {
        scaled(value, shift).map_err(|bits| self.too_wide(bits))
    }

    fn too_wide(&self, bits: u32) -> NetError {
        NetError::AccumulatorTooWide { layer: self.name.to_owned(), bits }
    }

    /// A signal of that range, if 63 bits hold it.
    fn signal(&self, frac_bits: i32, low: i128, high: i128) -> Result<Signal, NetError> {
        signal(frac_bits, low, high).map_err(|bits| self.too_wide(bits))
    }
}

/// Left shift with the check that nothing is lost (`checked_shl` only checks the distance); otherwise the bits needed.
fn scaled(value: i128, shift: u32) -> Result<i128, u32> {
    let room = value.unsigned_abs().leading_zeros();
    if shift + 1 < room || value == 0 { Ok(value << shift.min(127)) } else { Err(128 - room + shift + 1) }
}

/// A signal of that range, if 63 bits hold it; otherwise the bits needed.
fn signal(frac_bits: i32, low: i128, high: i128) -> Result<Signal, u32> {
    let width_bits = 129 - low.unsigned_abs().max(high.unsigned_abs()).leading_zeros();
    match (i64::try_from(low), i64::try_from(high)) {
        (Ok(low), Ok(high)) if width_bits <= 63 => Ok(Signal { frac_bits, low, high }),
        _ => Err(width_bits),
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
    let scaled = |value: i128, shift: u32| scaled(value, shift).map_err(too_wide);
    let (mut low, mut high) = (0_i128, 0_i128);
    for Align { product, bias } in &align {
        low = low.min(scaled(term_low * terms, *product)?.saturating_add(scaled(bias_low, *bias)?));
        high = high.max(scaled(term_high * terms, *product)?.saturating_add(scaled(bias_high, *bias)?));
    }
    Ok((signal(frac_bits, low, high).map_err(too_wide)?, align))
}

#[cfg(test)]
mod tests {
    use super::super::op::Dense;
    use super::*;
    use crate::num::{Overflow, QFormat, Rounding};

    fn started() -> (NetworkBuilder, Op) {
        let format = QFormat::signed(4, 1).unwrap();
        let quantizer = Quantizer { format, rounding: Rounding::Truncate, overflow: Overflow::Saturate };
        let kernel = WeightTensor::new(vec![1, 1], vec![3], format).unwrap();
        let net = NetworkBuilder::new("net", "input", &[1], quantizer).unwrap();
        (net, Op::Dense(Dense { kernel, bias: None }))
    }

    #[test]
    fn the_output_depends_on_every_layer() {
        let (mut net, dense) = started();
        let first = net.push("first", dense.clone(), &[net.input()]).unwrap();
        net.push("branch", dense.clone(), &[first]).unwrap();
        net.push("last", dense, &[first]).unwrap();
        assert_eq!(net.finish(), Err(NetError::Unread { layer: "branch".to_owned() }));
    }

    #[test]
    fn a_branch_is_refused_by_the_layer_that_leads_nowhere() {
        let (mut net, dense) = started();
        let first = net.push("first", dense.clone(), &[net.input()]).unwrap();
        let branch = net.push("branch", dense, &[net.input()]).unwrap();
        net.push("end", Op::Relu, &[branch]).unwrap();
        net.push("last", Op::Relu, &[first]).unwrap();
        assert_eq!(net.finish(), Err(NetError::Unread { layer: "end".to_owned() }));
    }

    #[test]
    fn a_network_has_weights() {
        let (mut net, _) = started();
        net.push("relu", Op::Relu, &[net.input()]).unwrap();
        assert_eq!(net.finish(), Err(NetError::NoWeights));
    }
}
