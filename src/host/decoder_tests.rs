//! Tests of the plain evaluation against definitions in `f64` and exact arithmetic.

use proptest::prelude::*;

use super::*;
use crate::net::Padding2d;
use crate::num::{Overflow, QFormat, Rounding};

/// One rounding to `f32` of numbers up to a few dozen (half a unit in the last place of 32 is 2e-6).
const SUM_TOLERANCE: f64 = 2e-6;

fn node(op: FloatOp, input: usize, shape: &[usize]) -> FloatNode {
    FloatNode { name: format!("n{input}"), op, input, shape: shape.to_vec() }
}

fn decoder(shape: &[usize], nodes: Vec<FloatNode>) -> Decoder {
    let input = FloatNode { name: "input".to_owned(), op: FloatOp::Input, input: 0, shape: shape.to_vec() };
    let nodes = std::iter::once(input).chain(nodes).collect();
    Decoder::new(&FloatNetwork::new("decoder", nodes).unwrap())
}

fn run(decoder: &Decoder, input: &[f32]) -> Vec<f32> {
    decoder.run(input, &mut DecoderScratch::default()).to_vec()
}

/// Numbers of order one, a third of them zero, that depend on `seed` alone.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u16::try_from(state >> 48).unwrap()
    };
    (0..count).map(|_| if next() % 3 == 0 { 0.0 } else { f32::from(next()) / 32_768.0 - 1.0 }).collect()
}

/// Both convolutions straight from their definition, in `f64`: the window slides over `wide` and meets `narrow`.
fn windows(
    window: &Window2d,
    wide: [usize; 2],
    narrow: [usize; 2],
    mut visit: impl FnMut([usize; 2], usize, [usize; 2]),
) {
    for r in 0..narrow[0] {
        for c in 0..narrow[1] {
            for kr in 0..window.kernel[0] {
                for kc in 0..window.kernel[1] {
                    if let (Some(row), Some(column)) =
                        (window.input_row(r, kr, wide[0]), window.input_column(c, kc, wide[1]))
                    {
                        visit([r, c], kr * window.kernel[1] + kc, [row, column]);
                    }
                }
            }
        }
    }
}

fn assert_close(found: &[f32], exact: &[f64]) {
    assert_eq!(found.len(), exact.len());
    for (index, (found, exact)) in found.iter().zip(exact).enumerate() {
        assert!((f64::from(*found) - exact).abs() < SUM_TOLERANCE, "value {index}: {found} instead of {exact}");
    }
}

proptest! {
    #[test]
    fn convolutions_equal_their_definition(
        size in [1..7_usize, 1..7_usize],
        kernel in [1..4_usize, 1..4_usize],
        stride in [1..4_usize, 1..4_usize],
        padding in [0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize],
        channels in [1..20_usize, 1..20_usize],
        seed: u64,
    ) {
        let [top, bottom, left, right] = padding;
        let window = Window2d { kernel, stride, padding: Padding2d { top, bottom, left, right } };
        let Some(narrow) = window.output(size) else { return Ok(()) };
        let [inputs, outputs] = channels;
        let weights = numbers(seed, kernel[0] * kernel[1] * inputs * outputs);
        let bias = numbers(!seed, outputs);

        let x = numbers(seed ^ 1, size[0] * size[1] * inputs);
        let mut exact: Vec<f64> = (0..narrow[0] * narrow[1]).flat_map(|_| bias.iter().copied().map(f64::from)).collect();
        windows(&window, size, narrow, |[r, c], tap, [row, column]| {
            for i in 0..inputs {
                for o in 0..outputs {
                    exact[(r * narrow[1] + c) * outputs + o] += f64::from(x[(row * size[1] + column) * inputs + i])
                        * f64::from(weights[(tap * inputs + i) * outputs + o]);
                }
            }
        });
        let op = FloatOp::Conv2d { kernel: weights.clone(), bias: bias.clone(), window };
        let conv = decoder(&[size[0], size[1], inputs], vec![node(op, 0, &[narrow[0], narrow[1], outputs])]);
        assert_close(&run(&conv, &x), &exact);

        let x = numbers(seed ^ 2, narrow[0] * narrow[1] * inputs);
        let mut exact: Vec<f64> = (0..size[0] * size[1]).flat_map(|_| bias.iter().copied().map(f64::from)).collect();
        windows(&window, size, narrow, |[r, c], tap, [row, column]| {
            for i in 0..inputs {
                for o in 0..outputs {
                    exact[(row * size[1] + column) * outputs + o] += f64::from(x[(r * narrow[1] + c) * inputs + i])
                        * f64::from(weights[(tap * outputs + o) * inputs + i]);
                }
            }
        });
        let op = FloatOp::Conv2dTranspose { kernel: weights, bias, window };
        let conv = decoder(&[narrow[0], narrow[1], inputs], vec![node(op, 0, &[size[0], size[1], outputs])]);
        assert_close(&run(&conv, &x), &exact);
    }

    #[test]
    fn sums_run_in_blocks_and_zeros_change_nothing(inputs in 1..80_usize, outputs in 1..80_usize, seed: u64) {
        let kernel = numbers(seed, inputs * outputs);
        let bias: Vec<f32> = numbers(!seed, outputs).into_iter().map(|b| if b == 0.0 { -0.0 } else { b }).collect();
        let x = numbers(seed ^ 1, inputs);
        let rows: Vec<usize> = (0..inputs).collect();
        let expected: Vec<f32> = (0..outputs)
            .map(|o| {
                let block = |rows: &[usize]| {
                    rows.iter().fold(0.0, |sum, i| sum + f64::from(x[*i]) * f64::from(kernel[i * outputs + o]))
                };
                let total = rows.chunks(32).fold(f64::from(bias[o]) + 0.0, |sum, rows| sum + block(rows));
                cast::nearest_f32(total)
            })
            .collect();
        let dense = decoder(&[inputs], vec![node(FloatOp::Dense { kernel, bias }, 0, &[outputs])]);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&run(&dense, &x)), bits(&expected));
    }
}

/// `f32` would round the sum of 1 and 2^-30 behind the first layer.
#[test]
fn a_chain_rounds_once() {
    let dense = |kernel: Vec<f32>, outputs: usize| FloatOp::Dense { kernel, bias: vec![0.0; outputs] };
    let small = 2.0_f32.powi(-30);
    let relu = || FloatOp::Activation(Activation::Relu);
    let linear = || FloatOp::Activation(Activation::Linear);
    let subtract = || dense(vec![1.0, -1.0], 1);
    let first = || dense(vec![1.0, 1.0, small, 0.0], 2);
    let through = |function: FloatOp| {
        run(
            &decoder(&[2], vec![node(first(), 0, &[2]), node(function, 1, &[2]), node(subtract(), 2, &[1])]),
            &[1.0, 1.0],
        )
    };
    assert_eq!(through(relu()), [small]);
    assert_eq!(through(linear()), [small]);
    let format = QFormat::signed(32, 2).unwrap();
    let quantizer = Quantizer { format, rounding: Rounding::NearestEven, overflow: Overflow::Saturate };
    assert_eq!(through(FloatOp::Quantize(quantizer)), [0.0], "a quantizer takes and gives f32");
    // A ReLU before the first layer belongs to the chain, one behind the last takes what is rounded.
    let nodes = vec![node(relu(), 0, &[2]), node(first(), 1, &[2]), node(relu(), 2, &[2])];
    assert_eq!(run(&decoder(&[2], nodes), &[-3.0, 1.0]), [small, 0.0]);
}

#[test]
fn chains_leave_side_branches_out_and_scratch_has_no_memory() {
    let quantizer = Quantizer {
        format: QFormat::signed(4, 2).unwrap(),
        rounding: Rounding::NearestEven,
        overflow: Overflow::Saturate,
    };
    let padding = Padding2d { top: 1, bottom: 0, left: 0, right: 1 };
    let nodes = vec![
        node(FloatOp::Reshape, 0, &[1, 2, 1]),
        node(FloatOp::Activation(Activation::Relu), 1, &[1, 2, 1]),
        node(FloatOp::ZeroPad2d(padding), 1, &[2, 3, 1]),
        node(FloatOp::Quantize(quantizer), 3, &[2, 3, 1]),
    ];
    let decoder = decoder(&[2], nodes);
    assert_eq!((decoder.input_len(), decoder.output_len(), decoder.output_shape()), (2, 6, &[2, 3, 1][..]));
    let mut scratch = DecoderScratch::default();
    assert_eq!(decoder.run(&[9.0, f32::INFINITY], &mut scratch), [0.0, 0.0, 0.0, 1.75, f32::INFINITY, 0.0]);
    assert_eq!(decoder.run(&[-0.3, 0.125], &mut scratch), [0.0, 0.0, 0.0, -0.25, 0.0, 0.0]);
}
