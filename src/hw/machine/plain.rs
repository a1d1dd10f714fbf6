//! The arithmetic of single nodes on words of their own width: what wires of a stage carry, whatever stands in the
//! registers.
//!
//! Slower than the datapath's vector words, which rely on proven ranges: here sums and copies wrap at the width that the
//! hardware gives them, so any content of any register has its result.

use super::kernel::NarrowKernel;
use super::pool::Pooling;
use crate::net::{
    Conv2d, DepthwiseConv2d, Network, Node, NodeId, Op, Padding2d, Signal, TensorKind, WeightTensor, Window2d,
};

/// What the weight and bias registers show in this cycle, by node.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    nodes: Vec<NodeRegisters>,
}

/// What the registers of one node show, in C order; nothing for a node without weights.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeRegisters {
    pub(super) kernel: Vec<i64>,
    pub(super) bias: Vec<i64>,
    /// The kernel once more, where sums need 32 bits only.
    narrow: Option<NarrowKernel>,
}

impl Registers {
    /// As configured.
    pub(super) fn new(network: &Network) -> Self {
        let raw =
            |node: &Node, kind| node.op.tensor(kind).map_or(Vec::new(), |tensor: &WeightTensor| tensor.raw().to_vec());
        let registers = |node: &Node| {
            let kernel = raw(node, TensorKind::Kernel);
            let narrow = NarrowKernel::of(node, &kernel);
            NodeRegisters { kernel, bias: raw(node, TensorKind::Bias), narrow }
        };
        Self { nodes: network.nodes().iter().map(registers).collect() }
    }

    pub(super) fn set(&mut self, node: NodeId, kind: TensorKind, index: usize, value: i64) {
        let registers = &mut self.nodes[node.index()];
        match kind {
            TensorKind::Kernel => {
                registers.kernel[index] = value;
                if let Some(narrow) = &mut registers.narrow {
                    narrow.set(index, value);
                }
            }
            TensorKind::Bias => registers.bias[index] = value,
        }
    }

    pub(super) fn of(&self, node: NodeId) -> &NodeRegisters {
        &self.nodes[node.index()]
    }
}

/// The low bits of `value` that a register of this signal holds, with their sign where it has one.
pub(super) fn held(signal: &Signal, value: i64) -> i64 {
    let spare = 64 - signal.width_bits();
    if signal.low < 0 { (value << spare) >> spare } else { ((value.cast_unsigned() << spare) >> spare).cast_signed() }
}

/// One value through an operation that treats every value by itself; any other leaves it as it is.
pub(super) fn elementwise(node: &Node, from: &Node, value: i64) -> i64 {
    match &node.op {
        Op::Quantize(quantizer) | Op::Input(quantizer) => quantizer.quantize(value, from.signal.frac_bits),
        Op::Relu => value.max(0),
        Op::LeakyRelu { shift } if value > 0 => shifted(value, *shift),
        Op::Clip { low, high } => value.clamp(*low, *high),
        _ => value,
    }
}

/// The nodes of a stage one after another on a whole frame; each reads the one before.
pub(super) fn frame(network: &Network, nodes: &[NodeId], registers: &Registers, mut values: Vec<i64>) -> Vec<i64> {
    for id in nodes {
        let node = network.node(*id);
        let from = network.node(node.inputs[0]);
        match &node.op {
            Op::Dense(_) => {
                let mut sums = vec![0; node.len()];
                add_share(node, registers.of(*id), Share::ALL, &values, &mut sums);
                values = sums;
            }
            Op::Conv2d(Conv2d { window, .. }) | Op::DepthwiseConv2d(DepthwiseConv2d { window, .. }) => {
                let mut sums = vec![0; node.len()];
                let mut seen = vec![0; window.kernel[0] * window.kernel[1] * from.shape[2]];
                for (position, sums) in sums.chunks_exact_mut(node.shape[2]).enumerate() {
                    see(node, from, window, position, &values, &mut seen);
                    add_share(node, registers.of(*id), Share::ALL, &seen, sums);
                }
                values = sums;
            }
            Op::ZeroPad2d(padding) => values = padded(node, from, *padding, &values),
            Op::MaxPool2d(_) | Op::AveragePool2d(_) => {
                let mut results = vec![0; node.len()];
                if let Some(pooling) = Pooling::of(node, from) {
                    pooling.frame(&values, &mut vec![0; node.shape[2]], &mut results);
                }
                values = results;
            }
            _ => {
                for value in &mut values {
                    *value = held(&node.signal, elementwise(node, from, *value));
                }
            }
        }
    }
    values
}

/// The sum of packets, each moved to the binary point of the sum.
pub(super) fn add<'a>(network: &Network, node: &Node, packets: impl Iterator<Item = &'a [i64]>, sums: &mut [i64]) {
    sums.fill(0);
    for (packet, input) in packets.zip(&node.inputs) {
        let by = node.signal.frac_bits.abs_diff(network.node(*input).signal.frac_bits);
        for (sum, value) in sums.iter_mut().zip(packet) {
            *sum = sum.wrapping_add(shifted(*value, by));
        }
    }
    for sum in sums {
        *sum = held(&node.signal, *sum);
    }
}

/// What a window sees at an output position, in the order of a kernel's rows; zeros where it sees padding.
pub(super) fn see(node: &Node, from: &Node, window: &Window2d, position: usize, values: &[i64], seen: &mut [i64]) {
    let channels = from.shape[2];
    seen.fill(0);
    for tap in window.taps([position / node.shape[1], position % node.shape[1]], [from.shape[0], from.shape[1]]) {
        seen[tap.place * channels..][..channels].copy_from_slice(&values[tap.pixel * channels..][..channels]);
    }
}

fn padded(node: &Node, from: &Node, padding: Padding2d, values: &[i64]) -> Vec<i64> {
    let mut padded = vec![0; node.len()];
    let row_len = from.shape[1] * from.shape[2];
    for (row, row_values) in values.chunks_exact(row_len).enumerate() {
        let start = ((row + padding.top) * node.shape[1] + padding.left) * node.shape[2];
        padded[start..start + row_len].copy_from_slice(row_values);
    }
    padded
}

/// Every so many-th product of a layer: what its multipliers do in one cycle (`nnet_dense_resource.h`: multiplier `m`
/// takes product `first + m * apart`). Products are counted output by output; of a depthwise convolution and of a scale
/// and shift as the kernel lies (`nnet_sepconv_stream.h`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) first: usize,
    pub(super) apart: usize,
}

impl Share {
    /// All products in one cycle.
    pub(super) const ALL: Self = Self { first: 0, apart: 1 };
}

/// Adds a share of the products to the accumulators, and with the first share the biases; that one starts at zero.
pub(super) fn add_share(node: &Node, registers: &NodeRegisters, share: Share, inputs: &[i64], sums: &mut [i64]) {
    if share.first == 0 {
        sums.fill(0);
    }
    match (&registers.narrow, share.apart) {
        _ if matches!(node.op, Op::DepthwiseConv2d(_)) => add_depthwise(node, registers, share, inputs, sums),
        (Some(narrow), 1) => {
            narrow.multiply(inputs, sums);
            align(node, sums);
        }
        (None, 1) => add_all(registers, inputs, sums, node),
        _ => add_some(node, registers, share, inputs, sums),
    }
    finish(node, registers, share, sums);
}

/// Moves whole sums of products to the accumulator's binary point.
fn align(node: &Node, sums: &mut [i64]) {
    for (sum, align) in sums.iter_mut().zip(&node.align) {
        *sum = shifted(*sum, align.product);
    }
}

/// Adds the biases in the first cycle, and keeps what the accumulators hold.
fn finish(node: &Node, registers: &NodeRegisters, share: Share, sums: &mut [i64]) {
    if share.first == 0 && !registers.bias.is_empty() {
        let biases = registers.bias.iter().zip(&node.align).cycle();
        for (sum, (bias, align)) in sums.iter_mut().zip(biases) {
            *sum = sum.wrapping_add(shifted(*bias, align.bias));
        }
    }
    for sum in sums {
        *sum = held(&node.signal, *sum);
    }
}

/// A share of the products, output by output.
fn add_some(node: &Node, registers: &NodeRegisters, share: Share, inputs: &[i64], sums: &mut [i64]) {
    let channels = sums.len();
    let products = inputs.len() * channels;
    let (mut out, mut input) = (share.first / inputs.len(), share.first % inputs.len());
    for _ in (share.first..products).step_by(share.apart) {
        let product = registers.kernel[input * channels + out].wrapping_mul(inputs[input]);
        sums[out] = sums[out].wrapping_add(shifted(product, node.align[out].product));
        input += share.apart;
        while input >= inputs.len() {
            input -= inputs.len();
            out += 1;
        }
    }
}

/// All products, input by input so that rows of weights are read as they lie.
fn add_all(registers: &NodeRegisters, inputs: &[i64], sums: &mut [i64], node: &Node) {
    let channels = sums.len();
    for (input, row) in inputs.iter().zip(registers.kernel.chunks_exact(channels)) {
        if *input == 0 {
            continue;
        }
        for ((sum, weight), align) in sums.iter_mut().zip(row).zip(&node.align) {
            *sum = sum.wrapping_add(shifted(weight.wrapping_mul(*input), align.product));
        }
    }
}

/// A share of the products of a window of single channels, `inputs` as [`see`] gives them.
fn add_depthwise(node: &Node, registers: &NodeRegisters, share: Share, inputs: &[i64], sums: &mut [i64]) {
    let outputs = sums.len();
    let channels = inputs.len() / node.fan_in();
    let multiplier = outputs / channels;
    for index in (share.first..registers.kernel.len()).step_by(share.apart) {
        let (tap, out) = (index / outputs, index % outputs);
        let product = registers.kernel[index].wrapping_mul(inputs[tap * channels + out / multiplier]);
        sums[out] = sums[out].wrapping_add(shifted(product, node.align[out].product));
    }
}

/// A share of the products of a scale and shift; `values` are whole pixels, of which channels come first to last.
pub(super) fn scale_share(node: &Node, registers: &NodeRegisters, share: Share, values: &[i64], sums: &mut [i64]) {
    if share.first == 0 {
        sums.fill(0);
    }
    let channels = node.align.len();
    for index in (share.first..values.len()).step_by(share.apart) {
        let channel = index % channels;
        let product = registers.kernel[channel].wrapping_mul(values[index]);
        sums[index] = sums[index].wrapping_add(shifted(product, node.align[channel].product));
    }
    finish(node, registers, share, sums);
}

/// `value * 2^by` modulo 2^64, whatever the distance.
pub(super) fn shifted(value: i64, by: u32) -> i64 {
    value.checked_shl(by).unwrap_or(0)
}
