//! Values against the host's own, gradients and Hessians against differences.

use proptest::prelude::*;

use super::*;
use crate::fault::Draws;
use crate::host::evaluator::{Evaluator, EvaluatorScratch, OutputWords};
use crate::host::geometry::{CELLS, Charges};
use crate::host::metric::ErrorMetric;
use crate::net::{Padding2d, Signal, Window2d};
use crate::num::{cast, qkeras};

/// Outputs of the accelerator: more than a block of tangents, and no multiple of one.
const OUTPUTS: usize = 11;

/// Step of central differences; their error is of the order of its square.
const STEP: f64 = 1e-4;

/// What differences of values of order one, with a step of 1e-4, can be off.
const TOLERANCE: f64 = 2e-6;

fn uniform(draws: &mut Draws) -> f64 {
    2.0 * draws.unit() - 1.0
}

fn floats(count: usize, scale: f64, draws: &mut Draws) -> Vec<f32> {
    (0..count).map(|_| cast::nearest_f32(scale * uniform(draws))).collect()
}

fn node(input: usize, shape: &[usize], op: FloatOp) -> FloatNode {
    FloatNode { name: format!("n{input}"), op, input, shape: shape.to_vec() }
}

/// How an image ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Sigmoid,
    /// Some values are below zero.
    Linear,
}

/// A decoder to an 8x8 image through layers of every kind, with a function in the middle that is curved.
fn image_decoder(end: End, draws: &mut Draws) -> FloatNetwork {
    let same = |input: [usize; 2], kernel: [usize; 2], stride: [usize; 2]| Window2d {
        kernel,
        stride,
        padding: Padding2d::same(input, kernel, stride),
    };
    let pad = Padding2d { top: 1, bottom: 0, left: 0, right: 1 };
    let inner = Window2d { kernel: [2, 2], stride: [1, 1], padding: Padding2d::default() };
    let mut nodes = vec![node(0, &[OUTPUTS], FloatOp::Input)];
    let mut push = |shape: &[usize], op: FloatOp| nodes.push(node(nodes.len() - 1, shape, op));
    push(&[32], FloatOp::Dense { kernel: floats(OUTPUTS * 32, 0.7, draws), bias: floats(32, 0.5, draws) });
    push(&[32], FloatOp::Activation(Activation::Sigmoid));
    push(&[4, 4, 2], FloatOp::Reshape);
    push(&[5, 5, 2], FloatOp::ZeroPad2d(pad));
    let kernel = floats(2 * 2 * 2 * 3, 1.0, draws);
    push(&[4, 4, 3], FloatOp::Conv2d { kernel, bias: floats(3, 0.2, draws), window: inner });
    push(&[4, 4, 3], FloatOp::Activation(Activation::Relu));
    let window = same([8, 8], [3, 3], [2, 2]);
    let kernel = floats(3 * 3 * 2 * 3, 0.6, draws);
    push(&[8, 8, 2], FloatOp::Conv2dTranspose { kernel, bias: floats(2, 0.2, draws), window });
    push(&[8, 8, 2], FloatOp::Activation(Activation::Softmax));
    let window = same([8, 8], [3, 3], [1, 1]);
    let kernel = floats(3 * 3 * 2, 0.8, draws);
    push(&[8, 8, 1], FloatOp::Conv2dTranspose { kernel, bias: floats(1, 0.2, draws), window });
    if end == End::Sigmoid {
        push(&[8, 8, 1], FloatOp::Activation(Activation::Sigmoid));
    }
    FloatNetwork::new("decoder", nodes).unwrap()
}

fn class_decoder(draws: &mut Draws) -> FloatNetwork {
    let nodes = vec![
        node(0, &[OUTPUTS], FloatOp::Input),
        node(0, &[9], FloatOp::Dense { kernel: floats(OUTPUTS * 9, 0.7, draws), bias: floats(9, 0.5, draws) }),
        node(1, &[9], FloatOp::Activation(Activation::Relu)),
        node(2, &[4], FloatOp::Dense { kernel: floats(9 * 4, 0.7, draws), bias: floats(4, 0.5, draws) }),
        node(3, &[4], FloatOp::Activation(Activation::Softmax)),
    ];
    FloatNetwork::new("classes", nodes).unwrap()
}

fn module(draws: &mut Draws) -> EventInput {
    let charge = |draws: &mut Draws| if draws.below(3) == 0 { 20.0 * draws.unit() } else { 0.0 };
    let mut charges = [0.0; CELLS].map(|_: f64| charge(draws));
    charges[draws.below(CELLS)] = 3.0;
    EventInput::Module(Charges::new(charges).unwrap())
}

fn check(head: &Head, event: &EventInput, draws: &mut Draws) -> Curvature {
    let mut scratch = HeadScratch::default();
    // With the smooth piece of the loss this is on: across a ReLU that switches, or another class that is decided for, a
    // difference is no derivative.
    let mut at = |output: &[f64]| {
        let here = head.curvature(event, output, &mut scratch);
        let live: Vec<bool> = scratch.levels.iter().flat_map(|level| level.live.clone()).collect();
        let end = &scratch.levels[head.stages.len()].values;
        let class = (0..end.len()).max_by(|a, b| end[*a].total_cmp(&end[*b]));
        (here, (live, class.filter(|_| head.loss == Loss::CrossEntropy)))
    };
    let (here, steps) = (0..20)
        .find_map(|_| {
            let output: Vec<f64> = (0..OUTPUTS).map(|_| uniform(draws)).collect();
            let (here, piece) = at(&output);
            let mut moved = |direction: usize, by: f64| {
                let mut output = output.clone();
                output[direction] += by;
                Some(at(&output)).filter(|(_, moved)| *moved == piece).map(|(moved, _)| moved)
            };
            let both = |direction| Some((moved(direction, -STEP)?, moved(direction, STEP)?));
            (0..OUTPUTS).map(both).collect::<Option<Vec<_>>>().map(|steps| (here, steps))
        })
        .expect("most points have no kink nearby");
    for (direction, (before, after)) in steps.iter().enumerate() {
        let slope = (after.loss - before.loss) / (2.0 * STEP);
        let found = here.gradient[direction];
        assert!((found - slope).abs() < TOLERANCE, "{:?}: slope {found}, differences say {slope}", head.loss);
        for other in 0..OUTPUTS {
            let bend = (after.gradient[other] - before.gradient[other]) / (2.0 * STEP);
            let found = here.hessian[other * OUTPUTS + direction];
            assert!((found - bend).abs() < TOLERANCE, "{:?}: curvature {found}, differences say {bend}", head.loss);
        }
    }
    // Symmetric, and the Gauss-Newton part bends nowhere downwards.
    for (row, column) in (0..OUTPUTS).flat_map(|row| (0..row).map(move |column| (row, column))) {
        for matrix in [&here.hessian, &here.gauss_newton] {
            let [a, b] = [matrix[row * OUTPUTS + column], matrix[column * OUTPUTS + row]];
            assert!((a - b).abs() < 1e-12);
        }
    }
    let direction: Vec<f64> = (0..OUTPUTS).map(|_| uniform(draws)).collect();
    let rows = here.gauss_newton.chunks_exact(OUTPUTS).zip(&direction);
    let form: f64 = rows.map(|(row, x)| x * row.iter().zip(&direction).map(|(g, x)| g * x).sum::<f64>()).sum();
    assert!(form > -1e-12, "{form}");
    here
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn derivatives_are_those_of_the_loss(seed in any::<u64>()) {
        let mut draws = Draws::new(seed, 0);
        let decoder = image_decoder(End::Linear, &mut draws);
        let event = module(&mut draws);
        check(&Head::new(Some(&decoder), Loss::Mse, &EventKind::Module, OUTPUTS).unwrap(), &event, &mut draws);
        let decoder = image_decoder(End::Sigmoid, &mut draws);
        for loss in [Loss::Telescope, Loss::Mse, Loss::Energy] {
            let head = Head::new(Some(&decoder), loss, &EventKind::Module, OUTPUTS).unwrap();
            check(&head, &event, &mut draws);
        }
        let classes = class_decoder(&mut draws);
        let kind = EventKind::Tensor { shape: vec![3] };
        let tensor = EventInput::Tensor(vec![0.5; 3]);
        for decoder in [Some(&classes), None] {
            let head = Head::new(decoder, Loss::CrossEntropy, &kind, OUTPUTS).unwrap();
            check(&head, &tensor, &mut draws);
        }
        let kind = EventKind::Tensor { shape: vec![4] };
        let head = Head::new(Some(&classes), Loss::Mse, &kind, OUTPUTS).unwrap();
        check(&head, &EventInput::Tensor(floats(4, 1.0, &mut draws)), &mut draws);
        let kind = EventKind::Tensor { shape: vec![OUTPUTS] };
        let head = Head::new(None, Loss::Mse, &kind, OUTPUTS).unwrap();
        check(&head, &EventInput::Tensor(floats(OUTPUTS, 1.0, &mut draws)), &mut draws);
    }
}

#[test]
fn losses_are_those_of_the_host() {
    // The host decodes to f32, here all is f64.
    const F32: f64 = 2e-6;
    let mut draws = Draws::new(7, 0);
    let decoder = image_decoder(End::Sigmoid, &mut draws);
    for _ in 0..20 {
        let event = module(&mut draws);
        let signal = Signal { frac_bits: 12, low: -(1 << 14), high: 1 << 14 };
        let codes: Vec<i64> = (0..OUTPUTS).map(|_| cast::i64_from_len(draws.below(1 << 13)) - (1 << 12)).collect();
        let exact: Vec<f64> = codes.iter().map(|code| signal.value(*code)).collect();
        for (loss, metric) in [(Loss::Telescope, ErrorMetric::Telescope), (Loss::Mse, ErrorMetric::Mse)] {
            let head = Head::new(Some(&decoder), loss, &EventKind::Module, OUTPUTS).unwrap();
            let found = head.curvature(&event, &exact, &mut HeadScratch::default()).loss;
            let words = OutputWords { len: OUTPUTS, signal };
            let evaluator = Evaluator::new(Some(&decoder), metric, EventKind::Module, words).unwrap();
            let expected = evaluator.error(&event, &codes, &codes, &mut EvaluatorScratch::default());
            assert!((found - expected).abs() < F32 * expected.abs(), "{loss}: {found} instead of {expected}");
        }
    }
}

#[test]
fn deviation_is_flat_and_bends_alike_everywhere() {
    let kind = EventKind::Tensor { shape: vec![2] };
    let head = Head::new(None, Loss::Deviation, &kind, 4).unwrap();
    let event = EventInput::Tensor(vec![0.0; 2]);
    let here = head.curvature(&event, &[1.0, -2.0, 3.0, 0.0], &mut HeadScratch::default());
    assert_eq!((here.loss, here.gradient.as_slice()), (0.0, &[0.0; 4][..]));
    let expected: Vec<f64> = (0..16).map(|at| if at % 5 == 0 { 0.5 } else { 0.0 }).collect();
    assert_eq!((&here.hessian, &here.gauss_newton), (&expected, &expected));
}

#[test]
fn shares_of_what_is_below_zero() {
    // The shares of (1, -1, 3) are 1/4, 0, 3/4, whose slopes a step away from zero are those of x / (x + z).
    let level = Level { values: vec![1.0, -1.0, 3.0], tangents: vec![[0.0; LANES]; 3], live: vec![true; 3] };
    let mut back = Vec::new();
    Stage::Shares.backward(&level, &[1.0, 5.0, 0.0], &mut back);
    assert_eq!(back, [3.0 / 16.0, 0.0, -1.0 / 16.0]);
    let mut hessian = vec![[0.0; LANES]; 3];
    let mut moving = level.clone();
    for index in 0..3 {
        moving.tangents[index][index] = 1.0;
    }
    Stage::Shares.add_curvature(&moving, &[1.0, 5.0, 0.0], 1, &mut hessian);
    // Of x / (x + z): -2 z / (x + z)^3, (x - z) / (x + z)^3, 2 x / (x + z)^3.
    assert_eq!([hessian[0][0], hessian[0][2], hessian[2][0], hessian[2][2]].map(|h| h * 64.0), [-6.0, -2.0, -2.0, 2.0]);
    assert_eq!(hessian[1], [0.0; LANES]);
    let mut end = Level::default();
    Stage::Shares.forward(&Level { values: vec![-1.0, 0.0], ..Level::default() }, 1, &mut end);
    assert_eq!((end.values, end.live), (vec![0.0; 2], vec![false; 2]));
}

#[test]
fn a_softmax_of_groups_is_no_class() {
    let nodes =
        vec![node(0, &[2, 2, 3], FloatOp::Input), node(0, &[2, 2, 3], FloatOp::Activation(Activation::Softmax))];
    let groups = FloatNetwork::new("groups", nodes).unwrap();
    let kind = EventKind::Tensor { shape: vec![5] };
    let error = Head::new(Some(&groups), Loss::CrossEntropy, &kind, 12).unwrap_err().to_string();
    assert!(error.contains("its softmax runs over 3 of 12 outputs"), "{error}");
}

#[test]
fn straight_through_quantizers() {
    let signed = qkeras::quantized_bits(4, 1, qkeras::Symmetry::Full, qkeras::Sign::Keep).unwrap();
    assert!([-100.0, 0.0, 100.0].iter().all(|value| passes(signed, *value)));
    let relu = qkeras::quantized_relu(4, 2).unwrap();
    assert_eq!([-1.0, 0.0, 1e-9, 3.75, 3.76].map(|value| passes(relu, value)), [false, false, true, true, false]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut draws = Draws::new(1, 0);
    let (image, classes) = (image_decoder(End::Sigmoid, &mut draws), class_decoder(&mut draws));
    let tensor = |len: usize| EventKind::Tensor { shape: vec![len] };
    let refusal = |decoder: Option<&FloatNetwork>, loss, kind: &EventKind, outputs| {
        Head::new(decoder, loss, kind, outputs).unwrap_err().to_string()
    };
    let cases = [
        (refusal(Some(&image), Loss::Telescope, &tensor(64), OUTPUTS), "loss `telescope` needs HGCal modules"),
        (refusal(None, Loss::Energy, &EventKind::Module, 16), "compares 64 values with each event, but 16 come out"),
        (refusal(None, Loss::Mse, &tensor(3), 4), "choose deviation or cross-entropy"),
        (refusal(Some(&image), Loss::Mse, &EventKind::Module, 3), "decoder `decoder` takes 11 values, but"),
        (refusal(Some(&image), Loss::CrossEntropy, &EventKind::Module, OUTPUTS), "the decoder reconstructs the event"),
        (refusal(None, Loss::CrossEntropy, &tensor(3), 1), "needs one output per class; there is 1"),
        (refusal(None, Loss::Deviation, &tensor(3), 2049), "has 2049 outputs"),
        (refusal(Some(&classes), Loss::Mse, &tensor(5), OUTPUTS), "compares 5 values with each event, but 4 come out"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}");
    }
}
