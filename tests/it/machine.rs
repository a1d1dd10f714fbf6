//! The machine against independent references: plain evaluation, the engine, and weights read cycle by cycle; on random
//! networks in every way of building them, with upsets before, within and between frames.

use std::num::NonZeroU64;
use std::path::Path;

use proptest::prelude::*;
use trivote::campaign::Event;
use trivote::engine::{Engine, WeightChange, reference};
use trivote::host::evaluator::EventInput;
use trivote::host::generator::{Generator, Population};
use trivote::hw::schedule::timing::{Clock, Strategy as Build};
use trivote::hw::schedule::{Io, Schedule, ScheduleOptions, not_unrolled};
use trivote::hw::{
    BitId, CopyIdx, Cycle, Element, ElementBit, Inventory, Load, Machine, Protection, TmrStyle, element_address,
};
use trivote::import::design::Design;
use trivote::net::{Conv2d, Network, NetworkBuilder, Op, Padding2d, TensorKind, WeightTensor, Window2d};
use trivote::num::{BitIdx, Overflow, QFormat, Quantizer, Rounding};

use super::networks::{NetworkSpec, cnn_specs, specs};
use super::read_times::{Flip, Reference};
use super::rn07;

/// How a random network is built.
#[derive(Debug, Clone)]
struct BuildSpec {
    io: Io,
    reuse: u64,
    strategy: Build,
    fifo_depth: Option<u64>,
    /// MHz: the faster, the deeper the pipelines.
    clock: f64,
}

fn builds() -> impl Strategy<Value = BuildSpec> {
    let reuse = prop_oneof![Just(1), 2..=40_u64, Just(u64::MAX)];
    let io = prop_oneof![Just(Io::Parallel), Just(Io::Stream)];
    let clock = prop_oneof![Just(40.0), Just(200.0), Just(1000.0)];
    let built = (io, reuse, any::<bool>(), prop::option::of(1..4_u64), clock);
    built.prop_map(|(io, reuse, latency, fifo_depth, clock)| BuildSpec {
        io,
        reuse,
        strategy: if latency { Build::Latency } else { Build::Resource },
        fifo_depth,
        clock,
    })
}

/// Chains of all layers, which can be unrolled.
fn chains() -> impl Strategy<Value = NetworkSpec> {
    let is_chain = |spec: &NetworkSpec| not_unrolled(&spec.build()).is_none();
    prop_oneof![specs(), cnn_specs().prop_filter("branches cannot be unrolled", is_chain)]
}

/// Chains and networks with branches.
fn networks() -> impl Strategy<Value = NetworkSpec> {
    prop_oneof![specs(), cnn_specs()]
}

/// A chain in any build, unrolled when it has none; or a network with branches in one of those it can have.
fn networks_in_builds() -> impl Strategy<Value = (NetworkSpec, Option<BuildSpec>)> {
    prop_oneof![
        (chains(), prop::option::of(builds())),
        (cnn_specs(), builds()).prop_map(|(spec, build)| (spec, Some(build))),
    ]
}

impl BuildSpec {
    fn schedule(&self, network: &Network) -> Schedule {
        let options = ScheduleOptions {
            io: self.io,
            reuse_factor: NonZeroU64::new(self.reuse).unwrap(),
            strategy: self.strategy,
            fifo_depth: self.fifo_depth.and_then(NonZeroU64::new),
            clock: Clock::new(self.clock).unwrap(),
            ..ScheduleOptions::econ_t()
        };
        Schedule::new(network, &options).unwrap()
    }
}

fn econ_t(network: &Network) -> Schedule {
    Schedule::new(network, &ScheduleOptions::econ_t()).unwrap()
}

fn flip(machine: &mut Machine<'_>, inventory: &Inventory, bit: BitId, copy: u8) {
    let (register, place) = inventory.locate_bit(bit);
    machine.bank_mut().flip(register, place, CopyIdx(copy));
}

/// Offers each frame from its cycle on until it is taken, the next not before; flips copy 0 of bits in their cycles.
/// Gives the cycle in which each frame was taken, and results with the cycle from which they stand in the output register.
fn run(
    machine: &mut Machine<'_>,
    inventory: &Inventory,
    frames: &[(u64, Vec<i64>)],
    flips: &[Flip],
) -> (Vec<u64>, Vec<(u64, Vec<i64>)>) {
    let (mut taken, mut results) = (Vec::new(), Vec::new());
    while results.len() < frames.len() {
        let Cycle(cycle) = machine.cycle();
        assert!(cycle < 2_000_000, "a machine that does not answer");
        for now in flips.iter().filter(|flip| flip.at == cycle) {
            flip(machine, inventory, now.bit, 0);
        }
        let frame = frames.get(taken.len()).filter(|(at, _)| *at <= cycle).map(|(_, frame)| frame.as_slice());
        let ready = machine.is_ready();
        let is_taken = machine.step(frame, Load::Hold);
        assert_eq!(is_taken, ready && frame.is_some());
        if is_taken {
            taken.push(cycle);
        }
        results.extend(machine.output().map(|output| (machine.cycle().0, output.to_vec())));
    }
    (taken, results)
}

/// Bits of the inventory by proptest's indices.
fn flips_of(inventory: &Inventory, drawn: &[(u64, prop::sample::Index)]) -> Vec<Flip> {
    drawn.iter().map(|(at, bit)| Flip { at: *at, bit: BitId(bit.index(inventory.bits()) as u32) }).collect()
}

fn plain_outputs(network: &Network, frames: &[(u64, Vec<i64>)]) -> Vec<Vec<i64>> {
    frames.iter().map(|(_, frame)| reference::output(network, frame)).collect()
}

fn frames_of(spec: &NetworkSpec, gaps: &[u64]) -> Vec<(u64, Vec<i64>)> {
    let mut at = 0;
    let frame = |(number, gap): (usize, &u64)| {
        at += gap;
        (at, spec.event(number as u64))
    };
    gaps.iter().enumerate().map(frame).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn unrolled_layers_read_their_weights_in_their_cycle(
        spec in chains(),
        gaps in prop::collection::vec(1..3_u64, 1..8),
        drawn in prop::collection::vec((0..12_u64, any::<prop::sample::Index>()), 0..6),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = econ_t(&network);
        let weighted = network.nodes().iter().filter(|node| node.fan_in() > 0).count() as u64;
        prop_assert_eq!((schedule.latency_cycles, schedule.interval_cycles), (weighted, 1));
        let flips = flips_of(&inventory, &drawn);
        let frames = frames_of(&spec, &gaps);
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let (taken, found) = run(&mut machine, &inventory, &frames, &flips);
        let reference = Reference { network: &network, inventory: &inventory, schedule: &schedule, flips: &flips };
        let wanted: Vec<_> = frames.iter().map(|(at, frame)| reference.run(frame, at + 1)).collect();
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(taken, frames.iter().map(|(at, _)| *at).collect::<Vec<_>>());
    }

    #[test]
    fn a_frame_alone_takes_the_cycles_of_the_schedule_and_reads_weights_in_theirs(
        spec in networks(), build in builds(), start in 0..3_u64,
        drawn in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        // FIFOs that are too small make stages wait, which the reference does not know.
        let schedule = BuildSpec { fifo_depth: None, ..build }.schedule(&network);
        let latency = schedule.machine_latency_cycles(&network);
        let drawn: Vec<_> = drawn.iter().map(|(at, bit)| (at.index(latency as usize + 3) as u64, *bit)).collect();
        let flips = flips_of(&inventory, &drawn);
        let frames = [(start, spec.event(0))];
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let (_, found) = run(&mut machine, &inventory, &frames, &flips);
        let reference = Reference { network: &network, inventory: &inventory, schedule: &schedule, flips: &flips };
        let wanted = reference.run(&frames[0].1, start + 1);
        prop_assert_eq!(wanted.0, start + 1 + latency);
        prop_assert_eq!(found, [wanted]);
    }

    #[test]
    fn frames_in_a_row_come_out_right_and_in_order(
        spec in networks(), build in builds(), gaps in prop::collection::vec(0..4_u64, 1..5),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = build.schedule(&network);
        let frames = frames_of(&spec, &gaps);
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let (_, found) = run(&mut machine, &inventory, &frames, &[]);
        let outputs: Vec<_> = found.into_iter().map(|(_, output)| output).collect();
        prop_assert_eq!(outputs, plain_outputs(&network, &frames));
        // Nothing is left inside; what a stage still has to hand on or wait for ends by itself.
        machine.rest(schedule.interval_cycles + schedule.latency_cycles);
        prop_assert!(machine.is_empty() && machine.output().is_none());
    }

    #[test]
    fn frames_at_the_interval_of_the_schedule_are_never_refused(spec in networks(), build in builds(), start in 0..3_u64) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = BuildSpec { fifo_depth: None, ..build }.schedule(&network);
        let (interval, latency) = (schedule.interval_cycles, schedule.machine_latency_cycles(&network));
        let frames: Vec<_> = (0..5).map(|number| (start + number * interval, spec.event(number))).collect();
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let (taken, found) = run(&mut machine, &inventory, &frames, &[]);
        let wanted: Vec<_> = frames.iter().map(|(at, _)| *at).collect();
        prop_assert_eq!(&taken, &wanted);
        let outputs: Vec<_> = found.iter().map(|(_, output)| output.clone()).collect();
        prop_assert_eq!(outputs, plain_outputs(&network, &frames));
        let times: Vec<_> = found.iter().map(|(at, _)| *at).collect();
        let expected: Vec<_> = taken.iter().map(|at| at + 1 + latency).collect();
        prop_assert_eq!(times, expected);
    }

    #[test]
    fn an_upset_before_the_frame_is_what_the_engine_says(
        spec in specs(), build in prop::option::of(builds()), bit: prop::sample::Index,
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = build.map_or_else(|| econ_t(&network), |build| build.schedule(&network));
        let bit = BitId(bit.index(inventory.bits()) as u32);
        let frames = frames_of(&spec, &[0, 1, 0]);
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let (_, found) = run(&mut machine, &inventory, &frames, &[Flip { at: 0, bit }]);
        let engine = Engine::new(&network);
        let mut scratch = engine.scratch();
        for ((_, output), (_, frame)) in found.iter().zip(&frames) {
            let trace = engine.trace(frame);
            let change = WeightChange::of_flip(&network, &inventory, bit);
            let faulty = engine.evaluate(&trace, &mut scratch, &[change]);
            prop_assert_eq!(output, &faulty.map_or_else(|| trace.output().to_vec(), |faulty| faulty.to_vec()));
        }
    }

    #[test]
    fn an_upset_before_the_frame_is_another_network(spec in cnn_specs(), build in builds(), bit: prop::sample::Index) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = build.schedule(&network);
        let bit = BitId(bit.index(inventory.bits()) as u32);
        let (register, place) = inventory.locate_bit(bit);
        let (array, index) = inventory.locate(register);
        let tensor = network.node(array.node).op.tensor(array.tensor).unwrap();
        let raw = tensor.format().flip(tensor.raw()[index], place);
        let faulty = network.with_weight(array.node, array.tensor, index, raw).unwrap();
        let frames = frames_of(&spec, &[0, 1, 0]);
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let (_, found) = run(&mut machine, &inventory, &frames, &[Flip { at: 0, bit }]);
        let outputs: Vec<_> = found.into_iter().map(|(_, output)| output).collect();
        prop_assert_eq!(outputs, plain_outputs(&faulty, &frames));
    }

    #[test]
    fn a_single_copy_is_never_seen(
        (spec, build) in networks_in_builds(), at: prop::sample::Index, bit: prop::sample::Index,
        copy in 0..3_u8, style in 1..4_usize,
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = build.map_or_else(|| econ_t(&network), |build| build.schedule(&network));
        let protection = Protection::from(TmrStyle::ALL[style]);
        let bit = BitId(bit.index(inventory.bits()) as u32);
        let at = at.index(schedule.machine_latency_cycles(&network) as usize + 2) as u64;
        let frames = frames_of(&spec, &[0, 1]);
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| protection);
        let mut offered = 0;
        let mut results = Vec::new();
        while results.len() < frames.len() {
            if machine.cycle() == Cycle(at) {
                flip(&mut machine, &inventory, bit, copy);
            }
            let frame = frames.get(offered).map(|(_, frame)| frame.as_slice());
            offered += usize::from(machine.step(frame, Load::Hold));
            results.extend(machine.output().map(<[i64]>::to_vec));
            // One cycle later no feedback style holds a wrong copy.
            let left = machine.bank().wrong_copies();
            let held = protection.style == TmrStyle::Unvoted && machine.cycle() > Cycle(at);
            prop_assert_eq!(left, u32::from(held));
        }
        prop_assert_eq!(results, plain_outputs(&network, &frames));
    }

    #[test]
    fn vector_words_and_plain_arithmetic_are_one_machine(
        spec in specs(), gaps in prop::collection::vec(1..3_u64, 1..8),
        weights in prop::collection::vec((0..12_u64, any::<prop::sample::Index>()), 0..4),
        state in prop::collection::vec((0..12_u64, any::<prop::sample::Index>()), 0..4),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = econ_t(&network);
        let mut fast = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let mut plain = Machine::packet_by_packet(&network, &inventory, &schedule, |_| Protection::NONE);
        // The plain machine has control bits too.
        let bits: Vec<ElementBit> = fast.elements().iter().flat_map(|array| array.bit_list().collect::<Vec<_>>()).collect();
        let weights = flips_of(&inventory, &weights);
        // Zeros around a map are wires in the one and words of a register in the other.
        let is_padded = network.nodes().iter().any(|node| matches!(node.op, Op::ZeroPad2d(_)));
        let drawn = state.iter().filter(|_| !is_padded);
        let state: Vec<_> = drawn.map(|(at, bit)| (*at, bits[bit.index(bits.len())])).collect();
        let frames = frames_of(&spec, &gaps);
        for cycle in 0..frames.last().unwrap().0 + 1 + schedule.latency_cycles {
            for machine in [&mut fast, &mut plain] {
                for now in weights.iter().filter(|flip| flip.at == cycle) {
                    flip(machine, &inventory, now.bit, 0);
                }
                for (_, bit) in state.iter().filter(|(at, _)| *at == cycle) {
                    machine.flip(*bit);
                }
                let frame = frames.iter().find(|(at, _)| *at == cycle).map(|(_, frame)| frame.as_slice());
                prop_assert_eq!(machine.step(frame, Load::Hold), frame.is_some());
            }
            prop_assert_eq!(fast.output(), plain.output());
            prop_assert_eq!(fast.is_empty(), plain.is_empty());
            for stage in 0..schedule.stages.len() {
                prop_assert_eq!(fast.activity(stage), plain.activity(stage));
            }
        }
    }

    #[test]
    fn any_state_bit_may_flip_at_any_time(
        spec in networks(), build in builds(), flips in prop::collection::vec((0..60_u64, any::<prop::sample::Index>()), 1..6),
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = build.schedule(&network);
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| TmrStyle::Feedback.into());
        let arrays = machine.elements();
        let bits: Vec<ElementBit> = arrays.iter().flat_map(|array| array.bit_list().collect::<Vec<_>>()).collect();
        let frame = spec.event(0);
        for cycle in 0..200 {
            for (_, bit) in flips.iter().filter(|(at, _)| *at == cycle) {
                let bit = bits[bit.index(bits.len())];
                let (address, before) = (element_address(&arrays, bit).to_string(), machine.word(bit));
                machine.flip(bit);
                // A pointer beyond its ring wraps at once; every other word is another one and flips back.
                if bit.element != Element::Control {
                    prop_assert!(machine.word(bit) != before, "{}", address);
                    machine.flip(bit);
                    prop_assert_eq!(machine.word(bit), before);
                    machine.flip(bit);
                }
            }
            machine.step(Some(&frame), Load::Hold);
        }
    }

    #[test]
    fn disturbed_values_leave_with_their_frame(
        (spec, build) in networks_in_builds(), at: prop::sample::Index, bit: prop::sample::Index,
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        // In small FIFOs packets wait.
        let build = build.map(|build| BuildSpec { fifo_depth: None, ..build });
        let schedule = build.map_or_else(|| econ_t(&network), |build| build.schedule(&network));
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        let bits: Vec<ElementBit> = machine
            .elements()
            .iter()
            .filter(|array| ![Element::Control, Element::ErrorCounter].contains(&array.element))
            .flat_map(|array| array.bit_list().collect::<Vec<_>>())
            .collect();
        let latency = schedule.machine_latency_cycles(&network);
        let at = at.index(latency as usize + 2) as u64;
        let golden = reference::output(&network, &spec.event(0));
        let mut results = Vec::new();
        let mut offered = 0;
        while results.len() < 2 {
            let Cycle(cycle) = machine.cycle();
            if cycle == at {
                machine.flip(bits[bit.index(bits.len())]);
            }
            // The second frame comes when the first one is out.
            let frame = (offered <= results.len()).then(|| spec.event(0));
            offered += usize::from(machine.step(frame.as_deref(), Load::Hold));
            results.extend(machine.output().map(|output| (machine.cycle(), output.to_vec())));
        }
        prop_assert_eq!(&results[0].0, &Cycle(1 + latency));
        if at <= results[0].0.0 {
            prop_assert_eq!(&results[1].1, &golden);
        }
    }
}

/// Builds of the shipped designs, and how many frames to run through each.
fn shipped_builds() -> Vec<(ScheduleOptions, usize)> {
    let options = |io, reuse: u64, strategy, fifo_depth: Option<u64>| ScheduleOptions {
        io,
        reuse_factor: NonZeroU64::new(reuse).unwrap(),
        strategy,
        fifo_depth: fifo_depth.and_then(NonZeroU64::new),
        ..ScheduleOptions::econ_t()
    };
    vec![
        (ScheduleOptions::econ_t(), 40),
        (options(Io::Parallel, 1, Build::Latency, None), 8),
        (options(Io::Parallel, 16, Build::Resource, None), 4),
        (options(Io::Stream, 1, Build::Latency, None), 8),
        (options(Io::Stream, 8, Build::Resource, Some(1)), 4),
    ]
}

#[test]
fn shipped_designs_in_every_build_are_the_engine() {
    for name in ["econ_t_small", "econ_t_medium", "econ_t_large"] {
        let design = Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models").join(name)).unwrap();
        let network = &design.accelerator;
        let inventory = Inventory::new(network).unwrap();
        let modules = Generator::new(Population::Mixture, 1).events(0, 40).into_iter();
        let events: Vec<Event> =
            modules.map(|module| Event::new(network, EventInput::Module(module)).unwrap()).collect();
        let engine = Engine::new(network);
        let mut scratch = engine.scratch();
        for (options, count) in shipped_builds() {
            let schedule = Schedule::new(network, &options).unwrap();
            let frames: Vec<_> = events.iter().take(count).map(|event| (0, event.codes().to_vec())).collect();
            // Without an upset, and with one present before the first frame in bits all over the design.
            let upsets = (0..4).map(|part| Some(BitId((inventory.bits() * (2 * part + 1) / 8) as u32)));
            for bit in [None].into_iter().chain(upsets) {
                let mut machine = Machine::new(network, &inventory, &schedule, |_| Protection::NONE);
                let flips: Vec<Flip> = bit.iter().map(|bit| Flip { at: 0, bit: *bit }).collect();
                let (_, found) = run(&mut machine, &inventory, &frames, &flips);
                let changes: Vec<_> = bit.iter().map(|bit| WeightChange::of_flip(network, &inventory, *bit)).collect();
                for ((_, output), (_, frame)) in found.iter().zip(&frames) {
                    let trace = engine.trace(frame);
                    let faulty = engine.evaluate(&trace, &mut scratch, &changes);
                    let expected = faulty.map_or_else(|| trace.output().to_vec(), |faulty| faulty.to_vec());
                    assert_eq!(output, &expected, "{name} {} {bit:?}", schedule.io);
                }
            }
        }
    }
}

/// RN07 in a stream: frames at the interval, and one with a weight upset before it.
#[test]
fn a_large_network_streams_pixel_by_pixel() {
    let network = rn07::network(7);
    let inventory = Inventory::new(&network).unwrap();
    let options = ScheduleOptions { io: Io::Stream, ..ScheduleOptions::econ_t() };
    let schedule = Schedule::new(&network, &options).unwrap();
    let (interval, latency) = (schedule.interval_cycles, schedule.machine_latency_cycles(&network));
    let frames: Vec<_> = (0..3).map(|number| (number * interval, rn07::image(number))).collect();
    // The sign bit of a weight of the second convolution.
    let register = inventory.find("conv_1", TensorKind::Kernel, 1_000).unwrap();
    let bit = inventory.bits_of(register).next().unwrap();
    let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
    let (taken, found) = run(&mut machine, &inventory, &frames, &[]);
    let times: Vec<_> = found.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, taken.iter().map(|at| at + 1 + latency).collect::<Vec<_>>());
    let outputs: Vec<_> = found.into_iter().map(|(_, output)| output).collect();
    assert_eq!(outputs, plain_outputs(&network, &frames));

    let node = network.find("conv_1").unwrap();
    let tensor = network.node(node).op.tensor(TensorKind::Kernel).unwrap();
    let raw = tensor.format().flip(tensor.raw()[1_000], BitIdx(0));
    let faulty = network.with_weight(node, TensorKind::Kernel, 1_000, raw).unwrap();
    let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
    let (_, found) = run(&mut machine, &inventory, &frames[..1], &[Flip { at: 0, bit }]);
    assert_eq!(found[0].1, reference::output(&faulty, &frames[0].1));
}

/// Two convolutions over padded maps that share their multipliers: the second is busy from the first pixel that the first
/// one gives until two rows after its last, which is longer than its own work. Frames that come no sooner do not wait.
#[test]
fn a_stage_that_begins_early_and_ends_late_sets_the_interval() {
    let quantizer =
        Quantizer { format: QFormat::signed(6, 2).unwrap(), rounding: Rounding::Truncate, overflow: Overflow::Wrap };
    let mut net = NetworkBuilder::new("two", "input", &[6, 6, 1], quantizer).unwrap();
    let mut last = net.input();
    for name in ["first", "second"] {
        let padding = Padding2d::same([6, 6], [3, 3], [1, 1]);
        let window = Window2d { kernel: [3, 3], stride: [1, 1], padding };
        let raw = vec![1, -2, 3, 0, 5, -1, 2, 7, -4];
        let kernel = WeightTensor::new(vec![3, 3, 1, 1], raw, QFormat::signed(4, 1).unwrap()).unwrap();
        let conv = net.push(name, Op::Conv2d(Conv2d { kernel, bias: None, window }), &[last]).unwrap();
        last = net.push(&format!("{name}_narrow"), Op::Quantize(quantizer), &[conv]).unwrap();
    }
    let network = net.finish().unwrap();
    let inventory = Inventory::new(&network).unwrap();
    let build = BuildSpec { io: Io::Stream, reuse: 9, strategy: Build::Resource, fifo_depth: None, clock: 40.0 };
    let schedule = build.schedule(&network);
    // 36 windows of nine cycles and 28 other pixels of the 8x8; the pipeline is two cycles.
    assert_eq!(schedule.reported_interval_cycles, 36 * 9 + 28 + 2 + 1);
    assert!(schedule.interval_cycles > schedule.reported_interval_cycles);
    let frame = |number: u64| (0..36).map(|at| (at * 7 + number.cast_signed() * 5) % 64 - 32).collect();
    let frames: Vec<_> = (0..6).map(|number| (number * schedule.interval_cycles, frame(number))).collect();
    let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
    let (taken, found) = run(&mut machine, &inventory, &frames, &[]);
    let latency = schedule.machine_latency_cycles(&network);
    let expected: Vec<_> =
        frames.iter().map(|(at, frame)| (at + 1 + latency, reference::output(&network, frame))).collect();
    assert_eq!(taken, frames.iter().map(|(at, _)| *at).collect::<Vec<_>>());
    assert_eq!(found, expected);
}
