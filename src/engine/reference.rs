//! The plain evaluation of a network: every output value from its definition, nothing shared, nothing skipped.
//!
//! Deliberately simple and slow. It is the twin that every faster path is tested against.

use crate::net::{AveragePool2d, Conv2d, Dense, DepthwiseConv2d, Network, Node, Op, WeightTensor, Window2d};

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
            (Op::MaxPool2d(window), Some((from, x))) => largest(node, window, from, x),
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
            accumulated(node, layer.bias.as_ref(), out, sum)
        })
        .collect()
}

/// The taps of a window at an output position that see no padding, and the input pixel that each sees.
fn seen(window: &Window2d, from: &Node, [out_row, out_column]: [usize; 2]) -> Vec<(usize, usize)> {
    let [kernel_rows, kernel_columns] = window.kernel;
    let mut seen = Vec::new();
    for kernel_row in 0..kernel_rows {
        for kernel_column in 0..kernel_columns {
            if let (Some(row), Some(column)) = (
                window.input_row(out_row, kernel_row, from.shape[0]),
                window.input_column(out_column, kernel_column, from.shape[1]),
            ) {
                seen.push((kernel_row * kernel_columns + kernel_column, row * from.shape[1] + column));
            }
        }
    }
    seen
}

/// What `value` makes of every output position and channel, given what its window sees.
fn slid(node: &Node, window: &Window2d, from: &Node, value: impl Fn(&[(usize, usize)], usize) -> i64) -> Vec<i64> {
    let mut values = Vec::with_capacity(node.len());
    for out_row in 0..node.shape[0] {
        for out_column in 0..node.shape[1] {
            let seen = seen(window, from, [out_row, out_column]);
            values.extend((0..node.shape[2]).map(|out| value(&seen, out)));
        }
    }
    values
}

/// An exact sum of products of output channel `out` on the accumulator's binary point, with its bias.
fn accumulated(node: &Node, bias: Option<&WeightTensor>, out: usize, sum: i64) -> i64 {
    let bias = bias.map_or(0, |bias| bias.raw()[out]);
    (sum << node.align[out].product) + (bias << node.align[out].bias)
}

fn conv2d(node: &Node, layer: &Conv2d, from: &Node, x: &[i64]) -> Vec<i64> {
    let (channels, outputs) = (from.shape[2], node.shape[2]);
    slid(node, &layer.window, from, |seen, out| {
        let mut sum = 0;
        for (tap, pixel) in seen {
            for channel in 0..channels {
                sum += layer.kernel.raw()[(tap * channels + channel) * outputs + out] * x[pixel * channels + channel];
            }
        }
        accumulated(node, layer.bias.as_ref(), out, sum)
    })
}

fn depthwise_conv2d(node: &Node, layer: &DepthwiseConv2d, from: &Node, x: &[i64]) -> Vec<i64> {
    let (channels, outputs) = (from.shape[2], node.shape[2]);
    slid(node, &layer.window, from, |seen, out| {
        let channel = out / (outputs / channels);
        let product =
            |(tap, pixel): &(usize, usize)| layer.kernel.raw()[tap * outputs + out] * x[pixel * channels + channel];
        accumulated(node, layer.bias.as_ref(), out, seen.iter().map(product).sum())
    })
}

fn largest(node: &Node, window: &Window2d, from: &Node, x: &[i64]) -> Vec<i64> {
    slid(node, window, from, |seen, channel| {
        let values = seen.iter().map(|(_, pixel)| x[pixel * from.shape[2] + channel]);
        values.max().expect("no window sees padding alone")
    })
}

fn average(node: &Node, pool: &AveragePool2d, from: &Node, x: &[i64]) -> Vec<i64> {
    slid(node, &pool.window, from, |seen, channel| {
        let sum: i64 = seen.iter().map(|(_, pixel)| x[pixel * from.shape[2] + channel]).sum();
        sum * pool.reciprocal(seen.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NetworkBuilder, NodeId, Padding2d};
    use crate::num::{QFormat, Quantizer};

    /// A network whose input takes `format` and shape, with a layer behind that has weights, so that it may be built.
    fn around(shape: &[usize], format: &str, layers: impl FnOnce(&mut NetworkBuilder, NodeId) -> NodeId) -> Network {
        let input: Quantizer = format.parse().unwrap();
        let mut net = NetworkBuilder::new("n", "x", shape, input).unwrap();
        let start = net.input();
        let last = layers(&mut net, start);
        let len = net.shape(last).iter().product();
        let flat = net.reshape("flat", last, vec![len]).unwrap();
        let kernel = WeightTensor::new(vec![len, 1], vec![1; len], QFormat::signed(2, 2).unwrap()).unwrap();
        net.push("sum", Op::Dense(Dense { kernel, bias: None }), &[flat]).unwrap();
        net.finish().unwrap()
    }

    /// What the first layer behind the input gives.
    fn first(network: &Network, input: &[i64]) -> Vec<i64> {
        evaluate(network, input)[1].clone()
    }

    #[test]
    fn pools_leave_padding_out() {
        // A map of 3x2 under windows of 2x2 with stride 2, the lower ones half outside.
        let window = Window2d { kernel: [2, 2], stride: [2, 2], padding: Padding2d::same([3, 2], [2, 2], [2, 2]) };
        let input = [-1, -2, -3, -4, -6, -5];
        let max = around(&[3, 2, 1], "ap_fixed<8,8>", |net, x| net.push("p", Op::MaxPool2d(window), &[x]).unwrap());
        assert_eq!(first(&max, &input), [-1, -5]);
        let pool = AveragePool2d { window, reciprocal_bits: 2 };
        let mean = around(&[3, 2, 1], "ap_fixed<8,8>", |net, x| net.push("p", Op::AveragePool2d(pool), &[x]).unwrap());
        // In quarters: -10/4 and -11/2.
        assert_eq!(first(&mean, &input), [-10, -22]);
        assert_eq!(mean.nodes()[1].signal.frac_bits, 2);
        // A third has no exact reciprocal: 85 of 256 parts.
        let window = Window2d { kernel: [3, 1], stride: [1, 1], padding: Padding2d::default() };
        let pool = AveragePool2d { window, reciprocal_bits: 8 };
        let mean = around(&[3, 2, 1], "ap_fixed<8,8>", |net, x| net.push("p", Op::AveragePool2d(pool), &[x]).unwrap());
        assert_eq!(first(&mean, &input), [-10 * 85, -11 * 85]);
    }

    #[test]
    fn channels_by_themselves() {
        let window = Window2d { kernel: [1, 2], stride: [1, 1], padding: Padding2d::default() };
        let format = QFormat::signed(4, 4).unwrap();
        // Two outputs per channel: taps [left, right] of the four outputs.
        let kernel = WeightTensor::new(vec![1, 2, 4], vec![1, 2, 3, 4, -1, 0, 0, 1], format).unwrap();
        let bias = Some(WeightTensor::new(vec![4], vec![7, 0, 0, -8], format).unwrap());
        let op = Op::DepthwiseConv2d(DepthwiseConv2d { kernel, bias, window });
        let network = around(&[1, 2, 2], "ap_fixed<8,8>", |net, x| net.push("d", op, &[x]).unwrap());
        let (left, right) = ([10, 20], [1, 2]);
        let expected = [10 - 1 + 7, 2 * 10, 3 * 20, 4 * 20 + 2 - 8];
        assert_eq!(first(&network, &[left, right].concat()), expected);
    }

    #[test]
    fn sums_stand_on_the_finest_step() {
        let halves: Quantizer = "ap_fixed<8,7>".parse().unwrap();
        let network = around(&[2], "ap_fixed<8,6>", |net, x| {
            let coarse = net.push("coarse", Op::Quantize(halves), &[x]).unwrap();
            net.push("add", Op::Add, &[coarse, x, x]).unwrap()
        });
        // Quarters; cut to halves the first is -4 of them.
        assert_eq!(evaluate(&network, &[-7, 9])[2], [-8 - 14, 8 + 18]);
        assert_eq!(network.nodes()[2].signal.frac_bits, 2);
    }

    #[test]
    fn slopes_and_clips() {
        let network = around(&[3], "ap_fixed<8,8>", |net, x| {
            let leaky = net.push("leaky", Op::LeakyRelu { shift: 3 }, &[x]).unwrap();
            net.push("clip", Op::Clip { low: -5, high: 100 }, &[leaky]).unwrap()
        });
        let values = evaluate(&network, &[-7, 0, 13]);
        assert_eq!((&values[1][..], &values[2][..]), (&[-7, 0, 104][..], &[-5, 0, 100][..]));
        let leaky = network.nodes()[1].signal;
        assert_eq!((leaky.frac_bits, leaky.low, leaky.high), (3, -128, 127 * 8));
        let clipped = network.nodes()[2].signal;
        assert_eq!((clipped.low, clipped.high), (-5, 100));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let input: Quantizer = "ap_fixed<8,8>".parse().unwrap();
        let mut net = NetworkBuilder::new("n", "x", &[3, 2, 1], input).unwrap();
        let x = net.input();
        let mut refused = |name: &str, op: Op, inputs: &[NodeId]| net.push(name, op, inputs).unwrap_err().to_string();
        assert_eq!(refused("a", Op::Add, &[x]), "layer `a`: takes 2 input(s), has 1");
        let far = Padding2d { top: 2, ..Padding2d::default() };
        let window = Window2d { kernel: [2, 2], stride: [1, 1], padding: far };
        assert!(refused("m", Op::MaxPool2d(window), &[x]).contains("see padding alone"));
        let window = Window2d { padding: Padding2d::default(), ..window };
        let pool = AveragePool2d { window, reciprocal_bits: 31 };
        assert!(refused("p", Op::AveragePool2d(pool), &[x]).contains("at most 30"));
        assert!(refused("c", Op::Clip { low: 1, high: 0 }, &[x]).contains("empty"));
        assert!(
            refused("l", Op::LeakyRelu { shift: 60 }, &[x]).contains("68 bits"),
            "{}",
            refused("l", Op::LeakyRelu { shift: 60 }, &[x])
        );
        let other = net.reshape("flat", x, vec![6]).unwrap();
        assert!(net.push("a", Op::Add, &[x, other]).unwrap_err().to_string().contains("shape [6]"));
    }
}
