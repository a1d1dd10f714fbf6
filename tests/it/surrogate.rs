//! The function whose derivatives are those of training, written down plainly.

use trivote::engine::reference;
use trivote::net::{Network, Node, Op, Window2d};

/// The network behind a straight-through estimator, at the weights `theta`: every quantizer adds what it added at the
/// stored weights, gates and choices stay as they were. At the stored weights it gives what the hardware gives, and its
/// derivatives there are those of training.
pub fn surrogate(network: &Network, codes: &[i64], theta: &[f64]) -> Vec<f64> {
    let stored = reference::evaluate(network, codes);
    let real =
        |node: usize| -> Vec<f64> { stored[node].iter().map(|raw| network.nodes()[node].signal.value(*raw)).collect() };
    let mut values: Vec<Vec<f64>> = Vec::new();
    let mut next = 0;
    for (at, node) in network.nodes().iter().enumerate() {
        let source = node.inputs.first().map_or(0, |id| id.index());
        let from = &network.nodes()[source].shape;
        let mut weights = node.op.tensors().map(|(_, tensor)| {
            next += tensor.len();
            &theta[next - tensor.len()..next]
        });
        let (kernel, bias) = (weights.next().unwrap_or(&[]), weights.next());
        let x = values.get(source).map_or(&[][..], Vec::as_slice);
        let bias_of = |out: usize| bias.map_or(0.0, |bias| bias[out]);
        let result = match &node.op {
            Op::Input(_) => real(0),
            Op::Dense(_) => {
                let sum = |out: usize| -> f64 {
                    x.iter().enumerate().map(|(i, x)| x * kernel[i * node.len() + out]).sum::<f64>() + bias_of(out)
                };
                (0..node.len()).map(sum).collect()
            }
            Op::Conv2d(conv) => {
                let (channels, outputs) = (from[2], node.shape[2]);
                windowed(node, from, &conv.window, |out, seen| {
                    let of_tap = |(tap, pixel): &(usize, usize)| {
                        let term = |c: usize| kernel[(tap * channels + c) * outputs + out] * x[pixel * channels + c];
                        (0..channels).map(term).sum::<f64>()
                    };
                    seen.iter().map(of_tap).sum::<f64>() + bias_of(out)
                })
            }
            Op::DepthwiseConv2d(conv) => {
                let (channels, outputs) = (from[2], node.shape[2]);
                windowed(node, from, &conv.window, |out, seen| {
                    let own = out / (outputs / channels);
                    let of_tap =
                        |(tap, pixel): &(usize, usize)| kernel[tap * outputs + out] * x[pixel * channels + own];
                    seen.iter().map(of_tap).sum::<f64>() + bias_of(out)
                })
            }
            Op::MaxPool2d(window) => {
                let before = real(source);
                windowed(node, from, window, |out, seen| {
                    let value = |(_, pixel): &(usize, usize)| before[pixel * from[2] + out];
                    let top = seen.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
                    let (_, pixel) = seen.iter().find(|at| value(at) == top).unwrap();
                    x[pixel * from[2] + out]
                })
            }
            Op::AveragePool2d(pool) => windowed(node, from, &pool.window, |out, seen| {
                let factor = pool.reciprocal(seen.len()) as f64 / f64::from(pool.reciprocal_bits).exp2();
                seen.iter().map(|(_, pixel)| factor * x[pixel * from[2] + out]).sum()
            }),
            Op::Add => {
                let sum = |i: usize| node.inputs.iter().map(|id| values[id.index()][i]).sum();
                (0..node.len()).map(sum).collect()
            }
            Op::Quantize(quantizer) => {
                let top = quantizer.format.value(quantizer.range().1);
                let open = |value: f64| quantizer.range().0 < 0 || (value > 0.0 && value <= top);
                gated(x, &real(source), &real(at), open)
            }
            Op::Clip { low, high } => {
                let [low, high] = [low, high].map(|raw| node.signal.value(*raw));
                gated(x, &real(source), &real(at), |value| low < value && value <= high)
            }
            Op::Relu => gated(x, &real(source), &real(at), |value| value > 0.0),
            Op::LeakyRelu { shift } => {
                let slope = 1.0 / f64::from(*shift).exp2();
                x.iter().zip(real(source)).map(|(x, before)| if before > 0.0 { *x } else { slope * x }).collect()
            }
            Op::Reshape => x.to_vec(),
            Op::ZeroPad2d(padding) => {
                let mut padded = vec![0.0; node.len()];
                for (index, value) in x.iter().enumerate() {
                    let (channel, column, row) =
                        (index % from[2], index / from[2] % from[1], index / from[2] / from[1]);
                    let place = ((row + padding.top) * node.shape[1] + column + padding.left) * from[2] + channel;
                    padded[place] = *value;
                }
                padded
            }
        };
        drop(weights);
        values.push(result);
    }
    values.pop().unwrap()
}

/// What an element-wise function gives: it moves with its argument where it is open.
fn gated(x: &[f64], before: &[f64], after: &[f64], open: impl Fn(f64) -> bool) -> Vec<f64> {
    let moved = |i: usize| after[i] + if open(before[i]) { x[i] - before[i] } else { 0.0 };
    (0..x.len()).map(moved).collect()
}

/// The values `of(output channel, taps and pixels that the window sees)` of a map.
fn windowed(node: &Node, from: &[usize], window: &Window2d, of: impl Fn(usize, &[(usize, usize)]) -> f64) -> Vec<f64> {
    let value = |at: usize| {
        let (outputs, columns) = (node.shape[2], node.shape[1]);
        let (out, column, row) = (at % outputs, at / outputs % columns, at / outputs / columns);
        let seen = (0..window.kernel[0] * window.kernel[1]).filter_map(|tap| {
            let y = window.input_row(row, tap / window.kernel[1], from[0])?;
            let x = window.input_column(column, tap % window.kernel[1], from[1])?;
            Some((tap, y * from[1] + x))
        });
        of(out, &seen.collect::<Vec<_>>())
    };
    (0..node.len()).map(value).collect()
}
