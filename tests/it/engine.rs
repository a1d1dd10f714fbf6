//! The engine against the plain evaluation, on random networks.

use std::collections::HashMap;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trivote::engine::{Engine, FlipPlan, OutputId, OutputSet, Scratch, Trace, Way, WeightChange, reference};
use trivote::net::{Dense, Network, NetworkBuilder, NodeId, Op, TensorKind, WeightTensor};
use trivote::num::{BitIdx, Overflow, QFormat, Quantizer, Rounding, cast};

use super::networks::{NetworkSpec, cnn_specs, specs};

/// Every register of the network: layer, tensor, index.
fn registers(network: &Network) -> Vec<(NodeId, TensorKind, usize)> {
    network
        .iter()
        .flat_map(|(id, node)| {
            node.op.tensors().flat_map(move |(kind, tensor)| (0..tensor.len()).map(move |i| (id, kind, i)))
        })
        .collect()
}

fn flipped(network: &Network, (node, tensor, index): (NodeId, TensorKind, usize), bit: BitIdx) -> (i64, i64) {
    let t = network.node(node).op.tensor(tensor).unwrap();
    let raw = t.raw()[index];
    (raw, t.format().flip(raw, bit))
}

/// A flip of every bit of every register.
fn all_flips(network: &Network) -> Vec<WeightChange> {
    let mut changes = Vec::new();
    for (node, tensor, index) in registers(network) {
        let width = network.node(node).op.tensor(tensor).unwrap().format().width();
        for bit in (0..width).map(BitIdx) {
            let (raw, faulty) = flipped(network, (node, tensor, index), bit);
            changes.push(WeightChange { node, tensor, index, delta: faulty - raw });
        }
    }
    changes
}

/// The network with a register changed, evaluated the plain way: the values of every node.
fn plainly(network: &Network, change: &WeightChange, event: &[i64]) -> Vec<Vec<i64>> {
    let raw = network.node(change.node).op.tensor(change.tensor).unwrap().raw()[change.index];
    let faulty = network.with_weight(change.node, change.tensor, change.index, raw + change.delta).unwrap();
    reference::evaluate(&faulty, event)
}

/// Outputs by position among the plan's changes; checks that each comes once at most and is what it says.
fn swept(engine: &Engine<'_>, plan: &FlipPlan, trace: &Trace, scratch: &mut Scratch) -> Vec<Option<Vec<i64>>> {
    let mut outputs = vec![None; plan.len()];
    engine.sweep(plan, trace, scratch, |position, output| {
        assert!(outputs[position].is_none(), "site {position} twice");
        assert_eq!(output.golden(), trace.output());
        assert!(!output.indices().is_empty() && output.indices().is_sorted_by(|a, b| a < b));
        assert!(output.differences().all(|(index, value)| value != output.golden()[index]));
        outputs[position] = Some(output.to_vec());
    });
    outputs
}

/// Chains of dense layers and convolutions, and convolutional networks.
fn all_specs() -> impl Strategy<Value = NetworkSpec> {
    prop_oneof![specs(), cnn_specs()]
}

fn ways() -> impl Strategy<Value = Way> {
    prop::sample::select(vec![Way::Cheapest, Way::Lists, Way::Sums, Way::Whole])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_trace_equals_the_plain_evaluation(spec in all_specs()) {
        let network = spec.build();
        let (engine, wide) = (Engine::new(&network), Engine::wide(&network, Way::Cheapest));
        let (mut trace, mut wide_trace) = (engine.empty_trace(), wide.empty_trace());
        for stream in 0..3 {
            let event = spec.event(stream);
            let plain = reference::evaluate(&network, &event);
            engine.trace_into(&event, &mut trace);
            wide.trace_into(&event, &mut wide_trace);
            prop_assert_eq!(trace.output(), &plain.last().unwrap()[..]);
            prop_assert_eq!(wide_trace.output(), trace.output());
            for (node, values) in network.nodes().iter().zip(&plain) {
                let inside = values.iter().all(|v| (node.signal.low..=node.signal.high).contains(v));
                prop_assert!(inside, "{} leaves its proven range {:?}", node.name, node.signal);
            }
        }
    }

    #[test]
    fn every_single_flip_equals_the_plain_evaluation(spec in all_specs(), way in ways()) {
        let network = spec.build();
        let (engine, wide) = (Engine::by(&network, way), Engine::wide(&network, way));
        let changes = all_flips(&network);
        let (plan, wide_plan) = (engine.flips(&changes), wide.flips(&changes));
        let (mut trace, mut scratch, mut wide_scratch) = (engine.empty_trace(), engine.scratch(), wide.scratch());
        // One event after another in the same memory.
        for stream in 0..2 {
            let event = spec.event(stream);
            engine.trace_into(&event, &mut trace);
            let outputs = swept(&engine, &plan, &trace, &mut scratch);
            prop_assert_eq!(&swept(&wide, &wide_plan, &wide.trace(&event), &mut wide_scratch), &outputs);
            for (change, output) in changes.iter().zip(&outputs) {
                let plain = plainly(&network, change, &event);
                for (node, values) in network.nodes().iter().zip(&plain) {
                    prop_assert!(values.iter().all(|v| (node.signal.low..=node.signal.high).contains(v)));
                }
                let expected = plain.last().unwrap();
                prop_assert_eq!(output.as_deref().unwrap_or(trace.output()), &expected[..], "{:?}", change);
                let alone = engine.evaluate(&trace, &mut scratch, &[*change]).map(|output| output.to_vec());
                prop_assert_eq!(&alone, output);
                prop_assert_eq!(output.is_none(), trace.output() == &expected[..]);
            }
        }
    }

    #[test]
    fn sites_come_in_any_order_and_any_number(spec in all_specs(), seed: u64, count in 0..60_usize) {
        let network = spec.build();
        let engine = Engine::new(&network);
        let all = all_flips(&network);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut picks: Vec<usize> = (0..count).map(|_| cast::index(rng.next_u32()) % all.len()).collect();
        picks.extend_from_within(..count / 3);
        let changes: Vec<WeightChange> = picks.iter().map(|pick| all[*pick]).collect();
        let (trace, mut scratch) = (engine.trace(&spec.event(0)), engine.scratch());
        let outputs = swept(&engine, &engine.flips(&all), &trace, &mut scratch);
        let picked = swept(&engine, &engine.flips(&changes), &trace, &mut scratch);
        prop_assert_eq!(picked, picks.iter().map(|pick| outputs[*pick].clone()).collect::<Vec<_>>());
    }

    #[test]
    fn distinct_outputs_are_numbered_as_they_come(spec in all_specs()) {
        let network = spec.build();
        let engine = Engine::new(&network);
        let changes = all_flips(&network);
        let (plan, mut scratch) = (engine.flips(&changes), engine.scratch());
        let (mut set, mut trace) = (OutputSet::default(), engine.empty_trace());
        for stream in 0..3 {
            engine.trace_into(&spec.event(stream), &mut trace);
            set.clear();
            let mut numbers: HashMap<Vec<i64>, OutputId> = HashMap::new();
            engine.sweep(&plan, &trace, &mut scratch, |_, output| {
                let next = OutputId(cast::id(numbers.len()));
                let number = *numbers.entry(output.to_vec()).or_insert(next);
                assert_eq!(set.intern(output), number);
                assert_eq!(set.differences(number), (output.indices(), output.values()));
            });
            prop_assert_eq!(set.len(), numbers.len());
            set.sort_by_likeness(trace.output());
            let sorted = set.by_likeness().to_vec();
            let key = |id: &OutputId| {
                let (indices, values) = set.differences(*id);
                let golden = trace.output()[cast::index(indices[0])];
                let step = (values[0] < golden, values[0].abs_diff(golden));
                (indices.len(), indices[0], step, indices.to_vec(), values.to_vec())
            };
            prop_assert!(sorted.is_sorted_by(|a, b| key(a) < key(b)));
            prop_assert_eq!(sorted.len(), set.len());
        }
    }

    #[test]
    fn several_changes_at_once_equal_the_plain_evaluation(
        spec in all_specs(), way in ways(), seed: u64, count in 1..6_usize
    ) {
        let network = spec.build();
        let (engine, wide) = (Engine::by(&network, way), Engine::wide(&network, way));
        let (mut trace, mut scratch, mut wide_scratch) = (engine.empty_trace(), engine.scratch(), wide.scratch());
        let all = registers(&network);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for stream in 0..4 {
            let event = spec.event(stream);
            engine.trace_into(&event, &mut trace);
            let wide_trace = wide.trace(&event);
            for _ in 0..5 {
                let mut faulty_network = network.clone();
                let mut chosen = Vec::new();
                let mut changes = Vec::new();
                for _ in 0..count {
                    let pick = cast::index(rng.next_u32()) % all.len();
                    if chosen.contains(&pick) {
                        continue;
                    }
                    chosen.push(pick);
                    let (node, tensor, index) = all[pick];
                    let width = network.node(node).op.tensor(tensor).unwrap().format().width();
                    let bit = BitIdx(u8::try_from(rng.next_u32() % u32::from(width)).unwrap());
                    let (raw, faulty) = flipped(&network, all[pick], bit);
                    faulty_network = faulty_network.with_weight(node, tensor, index, faulty).unwrap();
                    changes.push(WeightChange { node, tensor, index, delta: faulty - raw });
                }
                let output = engine.evaluate(&trace, &mut scratch, &changes).map(|output| output.to_vec());
                let expected = reference::output(&faulty_network, &event);
                prop_assert_eq!(output.as_deref().unwrap_or(trace.output()), &expected[..]);
                let in_wide = wide.evaluate(&wide_trace, &mut wide_scratch, &changes).map(|output| output.to_vec());
                prop_assert_eq!(in_wide, output);
            }
        }
    }
}

/// A network with nothing but one dense layer whose sums need exactly `width` bits (its kernel's signed 4-bit registers and
/// one input `ap_ufixed<width - 4>`).
fn one_product(width: u8) -> Network {
    let format = |text: String| text.parse::<QFormat>().unwrap();
    let input = Quantizer {
        format: format(format!("ap_ufixed<{0},{0}>", width - 4)),
        rounding: Rounding::Truncate,
        overflow: Overflow::Saturate,
    };
    let mut net = NetworkBuilder::new("product", "input", &[1], input).unwrap();
    let kernel = WeightTensor::new(vec![1, 2], vec![-8, 7], format("ap_fixed<4,4>".to_owned())).unwrap();
    net.push("dense", Op::Dense(Dense { kernel, bias: None }), &[net.input()]).unwrap();
    net.finish().unwrap()
}

#[test]
fn words_are_narrow_as_long_as_one_bit_is_spare() {
    for (width, bits) in [(20, 32), (31, 32), (32, 64), (33, 64), (36, 64)] {
        let network = one_product(width);
        let engine = Engine::new(&network);
        assert_eq!((engine.word_bits(), Engine::wide(&network, Way::Cheapest).word_bits()), (bits, 64), "{width}");
        let largest = (1_i64 << (width - 4)) - 1;
        let trace = engine.trace(&[largest]);
        assert_eq!(trace.output(), [-8 * largest, 7 * largest]);
        let changes = all_flips(&network);
        let outputs = swept(&engine, &engine.flips(&changes), &trace, &mut engine.scratch());
        for (change, output) in changes.iter().zip(outputs) {
            assert_eq!(output.as_ref(), plainly(&network, change, &[largest]).last(), "{width}");
        }
    }
}

#[test]
#[should_panic(expected = "the network has no such register")]
fn a_register_beyond_the_network_is_refused() {
    let network = one_product(8);
    let change = WeightChange { node: NodeId(1), tensor: TensorKind::Kernel, index: 2, delta: 1 };
    Engine::new(&network).flips(&[change]);
}
