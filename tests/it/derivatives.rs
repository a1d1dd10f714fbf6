//! Derivatives of random networks against differences of the function that straight-through estimators define, written
//! down independently; and laws of the Hessian.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trivote::analysis::{
    DerivativeError, DerivativeInput, Derivatives, Loss, SpectrumOptions, SymmetricOperator, eigenpairs,
};
use trivote::campaign::Event;
use trivote::host::evaluator::{EventInput, EventKind};
use trivote::hw::Inventory;
use trivote::net::{Network, NetworkBuilder, NodeId, Op};
use trivote::num::{QFormat, qkeras};

use crate::networks::{NetworkSpec, cnn_specs, specs};
use crate::surrogate::surrogate;

/// Mean squared error of the surrogate against the events' targets, as the network's own output tensor.
fn loss(network: &Network, events: &[Vec<i64>], targets: &[Vec<f32>], theta: &[f64]) -> f64 {
    let of_event = |(codes, target): (&Vec<i64>, &Vec<f32>)| {
        let output = surrogate(network, codes, theta);
        output.iter().zip(target).map(|(z, t)| (z - f64::from(*t)).powi(2)).sum::<f64>() / output.len() as f64
    };
    events.iter().zip(targets).map(of_event).sum::<f64>() / events.len() as f64
}

struct Case {
    network: Network,
    inventory: Inventory,
    codes: Vec<Vec<i64>>,
    targets: Vec<Vec<f32>>,
    events: Vec<Event>,
    kind: EventKind,
}

/// A random network whose output can be compared with its input, by making it as long: a layer is added. `None` where
/// sums get too wide.
fn case(spec: &NetworkSpec) -> Option<Case> {
    let first = spec.build();
    let len = first.input().len();
    let mut net = NetworkBuilder::new("n", "input", &first.input().shape, first.input_quantizer()).unwrap();
    let mut ids = vec![net.input()];
    for node in &first.nodes()[1..] {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|id| ids[id.index()]).collect();
        ids.push(match &node.op {
            Op::Reshape => net.reshape(&node.name, inputs[0], node.shape.clone()).ok()?,
            op => net.push(&node.name, op.clone(), &inputs).ok()?,
        });
    }
    let mut last = *ids.last().unwrap();
    let flat = first.output().len();
    let shape = net.shape(last).to_vec();
    if shape.len() != 1 {
        last = net.reshape("flat", last, vec![flat]).ok()?;
    }
    let narrow = qkeras::quantized_bits(8, 3, qkeras::Symmetry::Full, qkeras::Sign::Keep).unwrap();
    last = net.push("narrow", Op::Quantize(narrow), &[last]).ok()?;
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed ^ 2);
    let format = QFormat::signed(5, 1).unwrap();
    let mut tensor = |shape: Vec<usize>| {
        let raw = (0..shape.iter().product::<usize>()).map(|_| format.from_bits(rng.next_u64())).collect();
        trivote::net::WeightTensor::new(shape, raw, format).unwrap()
    };
    let dense = trivote::net::Dense { kernel: tensor(vec![flat, len]), bias: Some(tensor(vec![len])) };
    net.push("last", Op::Dense(dense), &[last]).ok()?;
    let network = net.finish().ok()?;
    let codes: Vec<Vec<i64>> = (0..4).map(|stream| spec.event(stream)).collect();
    let signal = network.input().signal;
    let targets: Vec<Vec<f32>> =
        codes.iter().map(|codes| codes.iter().map(|raw| signal.value(*raw) as f32).collect()).collect();
    // Inputs that f32 cannot hold would reach the network changed.
    let exact =
        codes.iter().flatten().zip(targets.iter().flatten()).all(|(raw, real)| f64::from(*real) == signal.value(*raw));
    if !exact {
        return None;
    }
    let kind = EventKind::Tensor { shape: network.input().shape.clone() };
    let events =
        targets.iter().map(|target| Event::new(&network, EventInput::Tensor(target.clone())).unwrap()).collect();
    Some(Case { inventory: Inventory::new(&network).unwrap(), network, codes, targets, events, kind })
}

impl Case {
    fn derivatives(&self, loss: Loss) -> Derivatives<'_> {
        let Self { network, inventory, kind, events, .. } = self;
        Derivatives::new(DerivativeInput { network, inventory, decoder: None, loss, kind, events }, &|_| {}).unwrap()
    }
}

fn direction(dim: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..dim).map(|_| f64::from(rng.next_u32() % 2001) / 1000.0 - 1.0).collect()
}

fn moved(theta: &[f64], u: &[f64], by: f64) -> Vec<f64> {
    theta.iter().zip(u).map(|(t, u)| t + by * u).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn derivatives_are_differences_of_the_surrogate(spec in prop_oneof![specs(), cnn_specs()]) {
        let case = case(&spec);
        prop_assume!(case.is_some());
        let case = case.unwrap();
        let derivatives = case.derivatives(Loss::Mse);
        let theta = derivatives.register_values().to_vec();
        let dim = derivatives.dim();
        let at = |theta: &[f64]| loss(&case.network, &case.codes, &case.targets, theta);
        let here = at(&theta);
        prop_assert!((derivatives.loss() - here).abs() <= 1e-9 * here.abs());

        let mut rng = ChaCha8Rng::seed_from_u64(spec.seed ^ 3);
        let (u, v) = (direction(dim, &mut rng), direction(dim, &mut rng));
        // The surrogate is a polynomial in the weights; the step balances its higher terms against rounding.
        let step = 1e-4;
        let scale = here.abs() + dot(derivatives.gradient(), derivatives.gradient()).sqrt() + 1e-3;
        let slope = (at(&moved(&theta, &u, step)) - at(&moved(&theta, &u, -step))) / (2.0 * step);
        let mut hv = vec![0.0; dim];
        derivatives.apply(&v, &mut hv);
        let scale = scale + hv.iter().map(|h| h.abs()).sum::<f64>();
        prop_assert!((dot(derivatives.gradient(), &u) - slope).abs() < 1e-4 * scale, "slope {slope}");
        let corner = |a: f64, b: f64| at(&moved(&moved(&theta, &u, a), &v, b));
        let wide = 1e-3;
        let bend = (corner(wide, wide) - corner(wide, -wide) - corner(-wide, wide) + corner(-wide, -wide))
            / (4.0 * wide * wide);
        prop_assert!((dot(&u, &hv) - bend).abs() < 1e-3 * scale, "{} instead of {bend}, of {scale}", dot(&u, &hv));
    }

    #[test]
    fn the_hessian_is_symmetric_and_has_its_diagonal(spec in prop_oneof![specs(), cnn_specs()]) {
        let case = case(&spec);
        prop_assume!(case.is_some());
        let case = case.unwrap();
        for loss in [Loss::Mse, Loss::Deviation] {
            let derivatives = case.derivatives(loss);
            let dim = derivatives.dim();
            let mut rng = ChaCha8Rng::seed_from_u64(spec.seed ^ 4);
            let (u, v) = (direction(dim, &mut rng), direction(dim, &mut rng));
            let (mut hu, mut hv) = (vec![0.0; dim], vec![0.0; dim]);
            derivatives.apply(&u, &mut hu);
            derivatives.apply(&v, &mut hv);
            let scale = hu.iter().chain(&hv).map(|h| h.abs()).sum::<f64>();
            prop_assert!((dot(&u, &hv) - dot(&v, &hu)).abs() <= 1e-10 * scale);
            let diagonals = derivatives.diagonals();
            for register in 0..dim.min(40) {
                let mut unit = vec![0.0; dim];
                unit[register] = 1.0;
                derivatives.apply(&unit, &mut hu);
                prop_assert!((hu[register] - diagonals.hessian[register]).abs() <= 1e-10 * (1.0 + hu[register].abs()));
                // Without a decoder the loss has no other curvature than the Gauss-Newton part.
                prop_assert_eq!(diagonals.hessian[register], diagonals.gauss_newton[register]);
            }
        }
    }
}

#[test]
fn threads_memory_and_repeated_events_change_nothing() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut case = std::iter::repeat_with(|| specs().new_tree(&mut runner).unwrap().current())
        .find_map(|spec| case(&spec).filter(|case| case.network.output().len() > 2))
        .unwrap();
    case.events = (0..200).map(|event| case.events[event % 4].clone()).collect();
    let Case { network, inventory, kind, events, .. } = &case;
    let input = DerivativeInput { network, inventory, decoder: None, loss: Loss::Mse, kind, events };
    let results: Vec<_> = [(1, usize::MAX), (2, 1000), (5, 0)]
        .into_iter()
        .map(|(threads, memory)| {
            trivote::campaign::with_threads(Some(threads), || {
                let derivatives = Derivatives::with_memory(input, memory, &|_| {}).unwrap();
                let pairs = eigenpairs(&derivatives, 2, &SpectrumOptions::default()).unwrap();
                (derivatives.loss(), derivatives.gradient().to_vec(), derivatives.diagonals(), pairs)
            })
            .unwrap()
        })
        .collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn laws_hold_through_the_decoder_of_a_shipped_design() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models/econ_t_medium");
    let design = trivote::import::design::Design::open(&folder).unwrap();
    let network = &design.accelerator;
    let inventory = Inventory::new(network).unwrap();
    let generator = trivote::host::generator::Generator::new(trivote::host::generator::Population::Mixture, 1);
    let event = |charges| Event::new(network, EventInput::Module(charges)).unwrap();
    let events: Vec<Event> = generator.events(0, 20).into_iter().map(event).collect();
    for loss in [Loss::Telescope, Loss::Energy] {
        let decoder = design.off_chip.as_ref();
        let input = DerivativeInput {
            network,
            inventory: &inventory,
            decoder,
            loss,
            kind: &EventKind::Module,
            events: &events,
        };
        let derivatives = Derivatives::new(input, &|_| {}).unwrap();
        let (dim, mut rng) = (derivatives.dim(), ChaCha8Rng::seed_from_u64(5));
        let (u, v) = (direction(dim, &mut rng), direction(dim, &mut rng));
        let (mut hu, mut hv) = (vec![0.0; dim], vec![0.0; dim]);
        derivatives.apply(&u, &mut hu);
        derivatives.apply(&v, &mut hv);
        let scale: f64 = hu.iter().chain(&hv).map(|h| h.abs()).sum();
        assert!((dot(&u, &hv) - dot(&v, &hu)).abs() <= 1e-10 * scale);
        let diagonals = derivatives.diagonals();
        // Of both layers, kernels and biases.
        for register in (0..80).step_by(7).chain((80..dim).step_by(191)).chain(dim - 3..dim) {
            let mut unit = vec![0.0; dim];
            unit[register] = 1.0;
            derivatives.apply(&unit, &mut hu);
            let found = diagonals.hessian[register];
            assert!((hu[register] - found).abs() <= 1e-10 * (1.0 + found.abs()), "{loss} {register}");
            assert!(diagonals.gauss_newton[register] >= 0.0);
        }
        assert!(diagonals.hessian != diagonals.gauss_newton, "the sigmoid is curved");
    }
}

#[test]
fn no_events_no_derivatives() {
    let spec = specs().new_tree(&mut proptest::test_runner::TestRunner::deterministic()).unwrap().current();
    let network = spec.build();
    let inventory = Inventory::new(&network).unwrap();
    let kind = EventKind::Tensor { shape: network.input().shape.clone() };
    let input = DerivativeInput {
        network: &network,
        inventory: &inventory,
        decoder: None,
        loss: Loss::Deviation,
        kind: &kind,
        events: &[],
    };
    assert_eq!(Derivatives::new(input, &|_| {}).unwrap_err(), DerivativeError::NoEvents);
}
