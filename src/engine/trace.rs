//! `Trace`: the fault-free values of every node for one event.

use crate::net::{Conv2d, Dense, Network, Node, Op, WeightTensor};

/// Fault-free raw values of every node for one event, kept to start every fault's evaluation from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub(super) values: Vec<Vec<i64>>,
}

impl Trace {
    /// Evaluates the network for `input`, the raw values of its input register in C order.
    ///
    /// # Panics
    /// When `input` has another length than the input node: events are checked against the network before they get here.
    pub fn new(network: &Network, input: &[i64]) -> Self {
        assert_eq!(input.len(), network.input().len(), "input length");
        let mut values: Vec<Vec<i64>> = Vec::with_capacity(network.nodes().len());
        for node in network.nodes() {
            let mut output = vec![0; node.len()];
            if let Some(id) = node.inputs.first() {
                compute(node, network.node(*id), &values[id.index()], &mut output);
            } else {
                output.copy_from_slice(input);
            }
            values.push(output);
        }
        Self { values }
    }

    /// Raw values of the output node.
    pub fn output(&self) -> &[i64] {
        self.values.last().expect("a network has nodes")
    }

    /// Raw values of every node, in network order.
    pub fn values(&self) -> &[Vec<i64>] {
        &self.values
    }
}

fn compute(node: &Node, from: &Node, x: &[i64], output: &mut [i64]) {
    match &node.op {
        Op::Input(_) => unreachable!("only the first node is an input, and it has none"),
        Op::Dense(layer) => dense(node, layer, x, output),
        Op::Conv2d(layer) => conv2d(node, layer, from, x, output),
        Op::Quantize(quantizer) => {
            for (y, v) in output.iter_mut().zip(x) {
                *y = quantizer.quantize(*v, from.signal.frac_bits);
            }
        }
        Op::Relu => {
            for (y, v) in output.iter_mut().zip(x) {
                *y = (*v).max(0);
            }
        }
        Op::Reshape => output.copy_from_slice(x),
        Op::ZeroPad2d(padding) => {
            let row_len = from.shape[1] * from.shape[2];
            for (row, source) in x.chunks_exact(row_len).enumerate() {
                let start = ((row + padding.top) * node.shape[1] + padding.left) * node.shape[2];
                output[start..start + row_len].copy_from_slice(source);
            }
        }
    }
}

/// Sums input by input, so that the inner loop runs over the contiguous output channels and zero inputs cost nothing.
fn dense(node: &Node, layer: &Dense, x: &[i64], output: &mut [i64]) {
    for (row, v) in layer.kernel.raw().chunks_exact(output.len()).zip(x) {
        if *v != 0 {
            for (sum, weight) in output.iter_mut().zip(row) {
                *sum += weight * v;
            }
        }
    }
    align(node, layer.bias.as_ref(), output);
}

fn conv2d(node: &Node, layer: &Conv2d, from: &Node, x: &[i64], output: &mut [i64]) {
    let [rows, columns, channels] = [from.shape[0], from.shape[1], from.shape[2]];
    let [kernel_rows, kernel_columns] = layer.window.kernel;
    let (out_columns, outputs) = (node.shape[1], node.shape[2]);
    for (position, sums) in output.chunks_exact_mut(outputs).enumerate() {
        let (out_row, out_column) = (position / out_columns, position % out_columns);
        for kernel_row in 0..kernel_rows {
            let Some(row) = layer.window.input_row(out_row, kernel_row, rows) else { continue };
            for kernel_column in 0..kernel_columns {
                let Some(column) = layer.window.input_column(out_column, kernel_column, columns) else { continue };
                let tap = (kernel_row * kernel_columns + kernel_column) * channels;
                let pixel = (row * columns + column) * channels;
                for channel in 0..channels {
                    let v = x[pixel + channel];
                    if v != 0 {
                        let start = (tap + channel) * outputs;
                        for (sum, weight) in sums.iter_mut().zip(&layer.kernel.raw()[start..start + outputs]) {
                            *sum += weight * v;
                        }
                    }
                }
            }
        }
    }
    align(node, layer.bias.as_ref(), output);
}

/// Brings the sums of products onto the accumulator's binary point and adds the bias.
fn align(node: &Node, bias: Option<&WeightTensor>, output: &mut [i64]) {
    for sums in output.chunks_exact_mut(node.align.len()) {
        for (channel, (sum, align)) in sums.iter_mut().zip(&node.align).enumerate() {
            *sum = (*sum << align.product) + (bias.map_or(0, |bias| bias.raw()[channel]) << align.bias);
        }
    }
}
