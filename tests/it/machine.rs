//! The machine against the plain evaluation, on random networks, with upsets before and within frames.

use proptest::prelude::*;
use trivote::engine::reference;
use trivote::hw::schedule::{Schedule, ScheduleOptions};
use trivote::hw::{BitId, CopyIdx, Cycle, Inventory, Load, Machine, Protection, TmrStyle};
use trivote::net::Network;

use super::networks::specs;

/// Runs `frames`, one per cycle with gaps where there is none, and flips copy 0 of bits in their cycles; results with
/// the cycle from which they stand in the output register.
fn run(
    machine: &mut Machine<'_>,
    inventory: &Inventory,
    frames: &[Option<Vec<i64>>],
    flips: &[(u64, BitId)],
) -> Vec<(Cycle, Vec<i64>)> {
    let mut results = Vec::new();
    for cycle in 0..=frames.len() + machine.schedule().latency_cycles as usize {
        for (_, bit) in flips.iter().filter(|(at, _)| *at == cycle as u64) {
            let (register, place) = inventory.locate_bit(*bit);
            machine.bank_mut().flip(register, place, CopyIdx(0));
        }
        machine.step(frames.get(cycle).and_then(Option::as_deref), Load::Hold);
        results.extend(machine.output().map(|output| (machine.cycle(), output.to_vec())));
    }
    results
}

/// What the frame offered in `cycle` gives when every layer, the first one a cycle later, reads unprotected registers
/// in its own cycle.
fn expected(network: &Network, inventory: &Inventory, cycle: u64, frame: &[i64], flips: &[(u64, BitId)]) -> Vec<i64> {
    let weighted: Vec<_> = network.iter().filter(|(_, node)| node.fan_in() > 0).map(|(id, _)| id).collect();
    let mut changed = network.clone();
    for (at, bit) in flips {
        let (register, place) = inventory.locate_bit(*bit);
        let (array, index) = inventory.locate(register);
        let stage = weighted.iter().position(|id| *id == array.node).unwrap() as u64;
        if *at <= cycle + 1 + stage {
            let raw = changed.node(array.node).op.tensor(array.tensor).unwrap().raw()[index];
            changed = changed.with_weight(array.node, array.tensor, index, array.format.flip(raw, place)).unwrap();
        }
    }
    reference::output(&changed, frame)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_layer_reads_its_weights_in_its_cycle(
        spec in specs(),
        present in prop::collection::vec(any::<bool>(), 1..8),
        flips in prop::collection::vec((0..12_u64, any::<prop::sample::Index>()), 0..6),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let flips: Vec<(u64, BitId)> =
            flips.iter().map(|(at, bit)| (*at, BitId(bit.index(inventory.bits()) as u32))).collect();
        let frames: Vec<Option<Vec<i64>>> =
            present.iter().enumerate().map(|(at, present)| present.then(|| spec.event(at as u64))).collect();
        let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let latency = machine.schedule().latency_cycles;
        prop_assert_eq!(latency, network.nodes().iter().filter(|node| node.fan_in() > 0).count() as u64);
        let found = run(&mut machine, &inventory, &frames, &flips);
        let wanted: Vec<_> = (0..)
            .zip(&frames)
            .filter_map(|(at, frame)| Some((at, frame.as_ref()?)))
            .map(|(at, frame)| (Cycle(at + 1 + latency), expected(&network, &inventory, at, frame, &flips)))
            .collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn a_single_copy_is_never_seen(
        spec in specs(), at in 0..6_u64, bit: prop::sample::Index, copy in 0..3_u8, style in 1..4_usize,
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let protection = Protection::from(TmrStyle::ALL[style]);
        let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| protection);
        let (register, place) = inventory.locate_bit(BitId(bit.index(inventory.bits()) as u32));
        let latency = machine.schedule().latency_cycles as usize;
        let frames: Vec<Vec<i64>> = (0..6).map(|stream| spec.event(stream)).collect();
        let mut results = Vec::new();
        for cycle in 0..=frames.len() + latency {
            if cycle as u64 == at {
                machine.bank_mut().flip(register, place, CopyIdx(copy));
            }
            machine.step(frames.get(cycle).map(Vec::as_slice), Load::Hold);
            results.extend(machine.output().map(<[i64]>::to_vec));
        }
        let golden: Vec<_> = frames.iter().map(|frame| reference::output(&network, frame)).collect();
        prop_assert_eq!(results, golden);
        prop_assert_eq!(machine.bank().wrong_copies(), u32::from(protection.style == TmrStyle::Unvoted));
    }
}
