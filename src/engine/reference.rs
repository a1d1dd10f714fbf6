//! The plain evaluation of a network: every output value from its definition, nothing shared, nothing skipped.
//!
//! Deliberately simple and slow. It is the twin that every faster path is tested against.

use crate::net::{AveragePool2d, Conv2d, Dense, DepthwiseConv2d, Network, Node, Op, Window2d};

/// Raw values of every node, by node, for one input.
///
/// `input` holds the raw values of the input register in C order; they must lie in its range and have its length.
///
/// # Panics
/// When `input` has another length than the input node: events are checked against the network before they get here.
pub fn evaluate(network: &Network, input: &[i64]) -> Vec<Vec<i64>> {
    assert_eq!(input.len(), network.input().len(), "input length");
    let mut values: Vec<Vec<i64>> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let source = node.inputs.first().map(|id| (network.node(*id), &values[id.index()]));
        let output = match (&node.op, source) {
            (Op::Input(_), _) => input.to_vec(),
            (_, None) => unreachable!("NetworkBuilder gives every other node an input"),
            (Op::Dense(layer), Some((_, x))) => dense(node, layer, x),
            (Op::Conv2d(layer), Some((from, x))) => conv2d(node, layer, from, x),
            (Op::Quantize(quantizer), Some((from, x))) => {
                x.iter().map(|v| quantizer.quantize(*v, from.signal.frac_bits)).collect()
            }
            (Op::Relu, Some((_, x))) => x.iter().map(|v| (*v).max(0)).collect(),
            (Op::LeakyRelu { shift }, Some((_, x))) => x.iter().map(|v| if *v > 0 { v << shift } else { *v }).collect(),
            (Op::Clip { low, high }, Some((_, x))) => x.iter().map(|v| (*v).clamp(*low, *high)).collect(),
            (Op::DepthwiseConv2d(layer), Some((from, x))) => depthwise_conv2d(node, layer, from, x),
            (Op::MaxPool2d(window), Some((from, x))) => pooled(node, window, from, |seen| {
                seen.iter().map(|index| x[*index]).max().expect("never padding alone")
            }),
            (Op::AveragePool2d(pool), Some((from, x))) => average(node, pool, from, x),
            (Op::Add, Some(_)) => add(network, node, &values),
            (Op::Reshape, Some((_, x))) => x.clone(),
            (Op::ZeroPad2d(padding), Some((from, x))) => {
                let (rows, columns, channels) = (from.shape[0], from.shape[1], from.shape[2]);
                let mut padded = vec![0; node.len()];
                for (index, v) in x.iter().enumerate() {
                    let (row, column, channel) =
                        (index / (columns * channels), index / channels % columns, index % channels);
                    debug_assert!(row < rows);
                    padded[((row + padding.top) * node.shape[1] + column + padding.left) * channels + channel] = *v;
                }
                padded
            }
        };
        values.push(output);
    }
    values
}

/// Raw values of the output node for one input.
///
/// # Panics
/// As [`evaluate`].
pub fn output(network: &Network, input: &[i64]) -> Vec<i64> {
    evaluate(network, input).pop().expect("a network has nodes")
}

fn dense(node: &Node, layer: &Dense, x: &[i64]) -> Vec<i64> {
    let outputs = node.len();
    (0..outputs)
        .map(|out| {
            let sum: i64 = x.iter().enumerate().map(|(i, v)| layer.kernel.raw()[i * outputs + out] * v).sum();
            let bias = layer.bias.as_ref().map_or(0, |bias| bias.raw()[out]);
            (sum << node.align[out].product) + (bias << node.align[out].bias)
        })
        .collect()
}

fn conv2d(node: &Node, layer: &Conv2d, from: &Node, x: &[i64]) -> Vec<i64> {
    let [rows, columns, channels] = [from.shape[0], from.shape[1], from.shape[2]];
    let [kernel_rows, kernel_columns] = layer.window.kernel;
    let outputs = node.shape[2];
    let mut values = Vec::with_capacity(node.len());
    for out_row in 0..node.shape[0] {
        for out_column in 0..node.shape[1] {
            for out in 0..outputs {
                let mut sum = 0;
                for kernel_row in 0..kernel_rows {
                    for kernel_column in 0..kernel_columns {
                        let (Some(row), Some(column)) = (
                            layer.window.input_row(out_row, kernel_row, rows),
                            layer.window.input_column(out_column, kernel_column, columns),
                        ) else {
                            continue;
                        };
                        for channel in 0..channels {
                            let weight =
                                ((kernel_row * kernel_columns + kernel_column) * channels + channel) * outputs + out;
                            sum += layer.kernel.raw()[weight] * x[(row * columns + column) * channels + channel];
                        }
                    }
                }
                let bias = layer.bias.as_ref().map_or(0, |bias| bias.raw()[out]);
                values.push((sum << node.align[out].product) + (bias << node.align[out].bias));
            }
        }
    }
    values
}

fn depthwise_conv2d(node: &Node, layer: &DepthwiseConv2d, from: &Node, x: &[i64]) -> Vec<i64> {
    let [rows, columns, channels] = [from.shape[0], from.shape[1], from.shape[2]];
    let [kernel_rows, kernel_columns] = layer.window.kernel;
    let outputs = node.shape[2];
    let mut values = Vec::with_capacity(node.len());
    for out_row in 0..node.shape[0] {
        for out_column in 0..node.shape[1] {
            for out in 0..outputs {
                let channel = out / (outputs / channels);
                let mut sum = 0;
                for kernel_row in 0..kernel_rows {
                    for kernel_column in 0..kernel_columns {
                        let (Some(row), Some(column)) = (
                            layer.window.input_row(out_row, kernel_row, rows),
                            layer.window.input_column(out_column, kernel_column, columns),
                        ) else {
                            continue;
                        };
                        let weight = (kernel_row * kernel_columns + kernel_column) * outputs + out;
                        sum += layer.kernel.raw()[weight] * x[(row * columns + column) * channels + channel];
                    }
                }
                let bias = layer.bias.as_ref().map_or(0, |bias| bias.raw()[out]);
                values.push((sum << node.align[out].product) + (bias << node.align[out].bias));
            }
        }
    }
    values
}

/// What `value` makes of the input values (C-order indices) that each window sees, channel by channel.
fn pooled(node: &Node, window: &Window2d, from: &Node, value: impl Fn(&[usize]) -> i64) -> Vec<i64> {
    let [rows, columns, channels] = [from.shape[0], from.shape[1], from.shape[2]];
    let mut values = Vec::with_capacity(node.len());
    for out_row in 0..node.shape[0] {
        for out_column in 0..node.shape[1] {
            for channel in 0..channels {
                let mut seen = Vec::new();
                for kernel_row in 0..window.kernel[0] {
                    for kernel_column in 0..window.kernel[1] {
                        if let (Some(row), Some(column)) = (
                            window.input_row(out_row, kernel_row, rows),
                            window.input_column(out_column, kernel_column, columns),
                        ) {
                            seen.push((row * columns + column) * channels + channel);
                        }
                    }
                }
                values.push(value(&seen));
            }
        }
    }
    values
}

fn average(node: &Node, pool: &AveragePool2d, from: &Node, x: &[i64]) -> Vec<i64> {
    pooled(node, &pool.window, from, |seen| {
        seen.iter().map(|index| x[*index]).sum::<i64>() * pool.reciprocal(seen.len())
    })
}

fn add(network: &Network, node: &Node, values: &[Vec<i64>]) -> Vec<i64> {
    let mut sums = vec![0; node.len()];
    for id in &node.inputs {
        let shift = node.signal.frac_bits - network.node(*id).signal.frac_bits;
        for (sum, v) in sums.iter_mut().zip(&values[id.index()]) {
            *sum += v << shift;
        }
    }
    sums
}
