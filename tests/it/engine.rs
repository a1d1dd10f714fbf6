//! The engine against the plain evaluation, on random networks.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trivote::engine::{Engine, WeightChange, reference};
use trivote::net::{Network, NodeId, TensorKind};
use trivote::num::{BitIdx, cast};

use super::networks::specs;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_trace_equals_the_plain_evaluation(spec in specs()) {
        let network = spec.build();
        for stream in 0..3 {
            let event = spec.event(stream);
            let plain = reference::evaluate(&network, &event);
            let trace = Engine::new(&network).trace(&event);
            prop_assert_eq!(trace.values(), &plain[..]);
            for (node, values) in network.nodes().iter().zip(&plain) {
                let inside = values.iter().all(|v| (node.signal.low..=node.signal.high).contains(v));
                prop_assert!(inside, "{} leaves its proven range {:?}", node.name, node.signal);
            }
        }
    }

    #[test]
    fn every_single_flip_equals_the_plain_evaluation(spec in specs()) {
        let network = spec.build();
        let engine = Engine::new(&network);
        let event = spec.event(0);
        let trace = engine.trace(&event);
        let mut scratch = engine.scratch(&trace);
        for (node, tensor, index) in registers(&network) {
            let width = network.node(node).op.tensor(tensor).unwrap().format().width();
            for bit in (0..width).map(BitIdx) {
                let (raw, faulty) = flipped(&network, (node, tensor, index), bit);
                let plain = reference::evaluate(&network.with_weight(node, tensor, index, faulty).unwrap(), &event);
                for (node, values) in network.nodes().iter().zip(&plain) {
                    prop_assert!(values.iter().all(|v| (node.signal.low..=node.signal.high).contains(v)));
                }
                let change = WeightChange { node, tensor, index, delta: faulty - raw };
                let output = engine.evaluate(&mut scratch, &[change]);
                let expected = plain.last().unwrap();
                prop_assert_eq!(output.unwrap_or(trace.output()), &expected[..]);
                prop_assert_eq!(output.is_none(), trace.output() == &expected[..]);
            }
        }
    }

    #[test]
    fn several_changes_at_once_equal_the_plain_evaluation(spec in specs(), seed: u64, count in 1..6_usize) {
        let network = spec.build();
        let engine = Engine::new(&network);
        let event = spec.event(0);
        let trace = engine.trace(&event);
        let mut scratch = engine.scratch(&trace);
        let all = registers(&network);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..20 {
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
                let (raw, faulty) = flipped(&network, all[pick], BitIdx((rng.next_u32() % u32::from(width)) as u8));
                faulty_network = faulty_network.with_weight(node, tensor, index, faulty).unwrap();
                changes.push(WeightChange { node, tensor, index, delta: faulty - raw });
            }
            let output = engine.evaluate(&mut scratch, &changes).unwrap_or(trace.output());
            prop_assert_eq!(output, &reference::output(&faulty_network, &event)[..]);
        }
    }
}
