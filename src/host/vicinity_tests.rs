//! The fast path against the plain one, bit for bit, and both against exact arithmetic.

use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;
use crate::host::decoder::ChainMemory;
use crate::net::{Activation, FloatNetwork, FloatNode, FloatOp, Padding2d, Window2d};

/// A random stream that depends on its seed alone.
struct Stream(u64);

impl Stream {
    fn below(&mut self, end: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % end).unwrap()
    }

    /// Numbers of order one: on a coarse grid, so that sums hit zero and halfway cases, or fine.
    fn number(&mut self, is_coarse: bool) -> f32 {
        if is_coarse {
            cast::nearest_f32(cast::f64_from_count(self.below(9)) / 4.0 - 1.0)
        } else {
            cast::nearest_f32(cast::f64_from_count(self.below(1 << 30)) / f64::from(1 << 29) - 1.0)
        }
    }

    fn numbers(&mut self, count: usize, is_coarse: bool) -> Vec<f32> {
        (0..count).map(|_| if self.below(4) == 0 { 0.0 } else { self.number(is_coarse) }).collect()
    }
}

/// A chain of `affine` affine layers of random kinds with `ReLU`s, linear functions or nothing between them; perhaps a
/// `ReLU` before and a sigmoid and a further layer behind.
fn network(stream: &mut Stream, affine: usize) -> FloatNetwork {
    let is_coarse = stream.below(2) == 0;
    let mut shape = vec![1 + stream.below(4), 1 + stream.below(4), 1 + stream.below(3)];
    let mut nodes = vec![FloatNode { name: "input".to_owned(), op: FloatOp::Input, input: 0, shape: shape.clone() }];
    let mut push = |op: FloatOp, shape: &[usize]| {
        let input = nodes.len().saturating_sub(1);
        nodes.push(FloatNode { name: format!("n{input}"), op, input, shape: shape.to_vec() });
    };
    if stream.below(4) == 0 {
        push(FloatOp::Activation(Activation::Relu), &shape);
    }
    for layer in 0..affine {
        let [rows, columns, channels] = shape[..] else { unreachable!("shapes have three axes") };
        let outputs = 1 + stream.below(12);
        let bias = if stream.below(3) == 0 { vec![0.0; outputs] } else { stream.numbers(outputs, is_coarse) };
        let side = |stream: &mut Stream| [1 + stream.below(3), 1 + stream.below(3)];
        let (kernel, stride) = (side(stream), side(stream));
        let mut pad = || stream.below(2);
        let padding = Padding2d { top: pad(), bottom: pad(), left: pad(), right: pad() };
        let window = Window2d { kernel, stride, padding };
        let weights = kernel[0] * kernel[1] * channels * outputs;
        let wide = [0, 1].map(|axis| {
            let total = ([rows, columns][axis] - 1) * stride[axis] + kernel[axis];
            let padding = [padding.top + padding.bottom, padding.left + padding.right][axis];
            total.checked_sub(padding)
        });
        match (stream.below(5), window.output([rows, columns]), wide) {
            (0, ..) => {
                shape = vec![rows + padding.top + padding.bottom, columns + padding.left + padding.right, channels];
                push(FloatOp::ZeroPad2d(padding), &shape);
            }
            (1, Some([out_rows, out_columns]), _) if out_rows * out_columns > 0 => {
                shape = vec![out_rows, out_columns, outputs];
                push(FloatOp::Conv2d { kernel: stream.numbers(weights, is_coarse), bias, window }, &shape);
            }
            (2 | 3, _, [Some(out_rows), Some(out_columns)]) if out_rows * out_columns > 0 => {
                shape = vec![out_rows, out_columns, outputs];
                push(FloatOp::Conv2dTranspose { kernel: stream.numbers(weights, is_coarse), bias, window }, &shape);
            }
            _ => {
                let inputs = rows * columns * channels;
                push(FloatOp::Reshape, &[inputs]);
                let outputs = outputs * (1 + stream.below(12));
                let bias = stream.numbers(outputs, is_coarse);
                push(FloatOp::Dense { kernel: stream.numbers(inputs * outputs, is_coarse), bias }, &[outputs]);
                shape = vec![1, 1, outputs];
                push(FloatOp::Reshape, &shape);
            }
        }
        match stream.below(4) {
            0 if layer + 1 < affine => push(FloatOp::Activation(Activation::Linear), &shape),
            1 => {}
            _ => push(FloatOp::Activation(Activation::Relu), &shape),
        }
    }
    if stream.below(2) == 0 {
        push(FloatOp::Activation(Activation::Sigmoid), &shape);
        let len = shape.iter().product();
        push(FloatOp::Reshape, &[len]);
        push(FloatOp::Dense { kernel: stream.numbers(len * 2, is_coarse), bias: vec![0.5; 2] }, &[2]);
    }
    FloatNetwork::new("decoder", nodes).unwrap()
}

/// The same network with all parameters multiplied by `scale`.
fn scaled(network: &FloatNetwork, scale: f32) -> FloatNetwork {
    let mut nodes = network.nodes().to_vec();
    for node in &mut nodes {
        if let FloatOp::Dense { kernel, bias }
        | FloatOp::Conv2d { kernel, bias, .. }
        | FloatOp::Conv2dTranspose { kernel, bias, .. } = &mut node.op
        {
            kernel.iter_mut().chain(bias).for_each(|parameter| *parameter *= scale);
        }
    }
    FloatNetwork::new("decoder", nodes).unwrap()
}

/// A center, and inputs around it: one value moves on and back, then several, some not at all.
fn inputs(stream: &mut Stream, len: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
    let is_coarse = stream.below(2) == 0;
    let center = stream.numbers(len, is_coarse);
    let mut inputs = vec![center.clone()];
    for _ in 0..3 {
        let (input, toward) = (stream.below(cast::u64_from_len(len)), stream.number(is_coarse));
        for size in [0.25, 0.5, 1.0, 4.0, 2.0, -0.5, -3.0] {
            let mut moved = center.clone();
            moved[input] += toward * size;
            inputs.push(moved);
        }
        let mut moved = center.clone();
        for _ in 0..=stream.below(5) {
            moved[stream.below(cast::u64_from_len(len))] = 2.0 * stream.number(is_coarse);
        }
        inputs.push(moved.clone());
        moved[0] += 1.0;
        moved[len - 1] -= 1.0;
        inputs.push(moved);
    }
    (center, inputs)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// 2^-1074 is the unit of exact numbers here: every `f64` is a whole number of them.
const EXACT_BITS: u32 = 1074;

fn exact(value: f64) -> BigInt {
    let bits = value.to_bits();
    let exponent = u32::try_from(bits >> 52 & 0x7ff).unwrap();
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let whole = BigInt::from(mantissa) << exponent.saturating_sub(1);
    if value.is_sign_negative() { -whole } else { whole }
}

/// What the prefix gives, exactly. Layers multiply numbers of few bits, so that no bit falls below the unit.
fn exact_prefix(layers: &[Layer], input: &[f32]) -> Vec<BigInt> {
    let mut values: Vec<BigInt> = input.iter().map(|value| exact(f64::from(*value))).collect();
    for layer in layers {
        let mut out: Vec<BigInt> = layer.affine.bias().iter().map(|bias| exact(*bias)).collect();
        for (unit, value) in values.iter().enumerate() {
            if layer.rectifies && *value < BigInt::from(0) {
                continue;
            }
            for (range, weights) in layer.affine.column(unit) {
                for (out, weight) in out[range].iter_mut().zip(weights) {
                    let product = exact(f64::from(*weight)) * value;
                    let shifted: BigInt = &product >> EXACT_BITS;
                    assert_eq!(&shifted << EXACT_BITS, product, "products are exact");
                    *out += shifted;
                }
            }
        }
        values = out;
    }
    values
}

proptest! {
    #[test]
    fn fast_equals_plain(
        affine in prop::array::uniform2(0..=MAX_LAYERS + 1),
        scale in prop_oneof![3 => Just(1.0_f32), 1 => prop::sample::select(vec![1e-44, 1e-38, 1e30, 1e37])],
        seed: u64,
    ) {
        let mut stream = Stream(seed);
        let decoders = affine.map(|affine| Decoder::new(&scaled(&network(&mut stream, affine), scale)));
        let (mut near, mut plain) = (DecoderScratch::default(), DecoderScratch::default());
        // The same memory serves one center, and one decoder, after the other.
        for decoder in decoders.iter().cycle().take(4) {
            let (center, inputs) = inputs(&mut stream, decoder.input_len());
            let mut vicinity = decoder.at(&center, &mut near);
            for input in &inputs {
                prop_assert_eq!(bits(vicinity.run(input)), bits(decoder.run(input, &mut plain)));
            }
            // Those that differ in several values once more, so that they follow each other.
            let several = |input: &&Vec<f32>| input.iter().zip(&center).filter(|(a, b)| a != b).count() > 1;
            let all: Vec<&Vec<f32>> = inputs.iter().chain(inputs.iter().filter(several)).collect();
            let mut count = 0;
            let mut failure = Ok(());
            vicinity.run_many(&all.iter().flat_map(|input| input.iter().copied()).collect::<Vec<_>>(), |index, found| {
                let expected = decoder.run(all[index], &mut plain);
                if index != count || bits(found) != bits(expected) {
                    failure = Err(TestCaseError::fail(format!("input {index}: {found:?} instead of {expected:?}")));
                }
                count += 1;
            });
            failure?;
            prop_assert_eq!(count, all.len());
        }
    }

    #[test]
    fn bounds_hold(affine in 1..5_usize, seed: u64) {
        let mut stream = Stream(seed);
        let decoder = Decoder::new(&network(&mut stream, affine));
        let layers = decoder.prefix();
        // Some grow too large for a fast path.
        let Some(bounds) = decoder.bounds() else { return Ok(()) };
        let (center, inputs) = inputs(&mut stream, decoder.input_len());
        let (mut near, mut plain) = (DecoderScratch::default(), DecoderScratch::default());
        prepare(layers, bounds, &center, &mut near);
        for input in &inputs[1..] {
            run_near(layers, bounds, input, None, &mut near);
            decoder.run(input, &mut plain);
            let memory = &near.vicinity;
            if memory.steps.is_empty() {
                continue;
            }
            let mut chain = ChainMemory::default();
            run_chain(layers, input, &mut chain);
            let exact_values = exact_prefix(layers, input);
            let (fast, plain) = (&memory.moved[0][layers.len() - 1], &chain.levels[layers.len()]);
            for (index, exact_value) in exact_values.iter().enumerate() {
                let distance = |value: f64| BigInt::from((exact(value) - exact_value).magnitude().clone());
                let error = distance(fast[index]) + distance(plain[index]);
                prop_assert!(error <= exact(memory.tolerances[index]), "output {} of {:?}", index, input);
            }
        }
    }
}

fn dense(name: &str, inputs: usize, kernel: Vec<f32>, bias: Vec<f32>, at: usize) -> FloatNode {
    assert_eq!(kernel.len(), inputs * bias.len(), "test data");
    let shape = vec![bias.len()];
    FloatNode { name: name.to_owned(), op: FloatOp::Dense { kernel, bias }, input: at, shape }
}

fn chain(nodes: Vec<FloatNode>, inputs: usize) -> Decoder {
    let input = FloatNode { name: "input".to_owned(), op: FloatOp::Input, input: 0, shape: vec![inputs] };
    Decoder::new(&FloatNetwork::new("decoder", std::iter::once(input).chain(nodes).collect()).unwrap())
}

#[test]
fn halfway_cases_are_decided_by_the_plain_evaluation() {
    // 1 + 2^-24 lies halfway between two f32.
    let decoder = chain(vec![dense("sum", 2, vec![1.0, 1.0], vec![0.0], 0)], 2);
    let mut scratch = DecoderScratch::default();
    let mut vicinity = decoder.at(&[1.0, 0.0], &mut scratch);
    assert_eq!(vicinity.run(&[1.0, 0.25]), [1.25]);
    assert_eq!(vicinity.plain_runs(), 0);
    let half = 2.0_f32.powi(-24);
    assert_eq!(vicinity.run(&[1.0, half]), [1.0]);
    assert_eq!(vicinity.run(&[1.0, 3.0 * half]), [1.0 + 4.0 * half]);
    assert_eq!(vicinity.plain_runs(), 2);
}

#[test]
fn what_is_not_finite_is_evaluated_plainly() {
    let decoder = chain(vec![dense("twice", 1, vec![2.0], vec![0.0], 0)], 1);
    let mut scratch = DecoderScratch::default();
    let mut vicinity = decoder.at(&[1.0], &mut scratch);
    assert_eq!(vicinity.run(&[f32::INFINITY]), [f32::INFINITY]);
    assert!(vicinity.run(&[f32::NAN])[0].is_nan());
    assert_eq!(vicinity.run(&[f32::MAX]), [f32::INFINITY], "overflows when it is rounded");
    assert_eq!(vicinity.plain_runs(), 3);
    let mut vicinity = decoder.at(&[f32::NAN], &mut scratch);
    assert_eq!(vicinity.run(&[3.0]), [6.0]);
    assert_eq!(vicinity.plain_runs(), 1);
}

/// What a campaign rests on: ordinary weights and small changes hardly ever need the plain evaluation.
#[test]
fn most_inputs_need_no_plain_evaluation() {
    let mut stream = Stream(1);
    let widths = [8, 64, 128, 32];
    let mut nodes = Vec::new();
    for (layer, pair) in widths.windows(2).enumerate() {
        let kernel = (0..pair[0] * pair[1]).map(|_| 0.2 * stream.number(false)).collect();
        let bias = (0..pair[1]).map(|_| 0.1 * stream.number(false)).collect();
        nodes.push(dense("dense", pair[0], kernel, bias, 2 * layer));
        let op = FloatOp::Activation(if layer == 2 { Activation::Sigmoid } else { Activation::Relu });
        nodes.push(FloatNode { name: "function".to_owned(), op, input: 2 * layer + 1, shape: vec![pair[1]] });
    }
    let decoder = chain(nodes, 8);
    let center: Vec<f32> = (0..8).map(|_| stream.number(false)).collect();
    let (mut near, mut plain) = (DecoderScratch::default(), DecoderScratch::default());
    let mut vicinity = decoder.at(&center, &mut near);
    for step in 1..=1000_u16 {
        let mut input = center.clone();
        input[usize::from(step) / 200] += f32::from(step % 200) / 100.0;
        assert_eq!(bits(vicinity.run(&input)), bits(decoder.run(&input, &mut plain)));
    }
    assert!(vicinity.plain_runs() < 20, "{} of 1000", vicinity.plain_runs());
}
