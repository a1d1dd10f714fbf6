//! Waveforms and traces read back by independent readers, against a second machine that the test steps by itself.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::num::NonZeroU64;
use std::path::Path;

use proptest::prelude::*;
use trivote::campaign::{Event, Observed, Observer, Recording, record};
use trivote::fault::{TimedFault, Upset};
use trivote::host::evaluator::EventInput;
use trivote::host::generator::{Generator, Population};
use trivote::hw::schedule::timing::Strategy as Build;
use trivote::hw::schedule::{Io, Schedule, ScheduleOptions};
use trivote::hw::{
    BitId, BitLine, CopyIdx, Cycle, Element, ElementBit, FlipFlop, Inventory, Level, Load, Machine, Protection,
    RegisterId, TmrStyle, WeightBank,
};
use trivote::import::design::Design;
use trivote::net::Network;
use trivote::num::BitIdx;
use trivote::report::EdgeTimes;
use trivote::report::trace::Trace;
use trivote::report::waves::{DEFAULT_WORDS_LIMIT, Waves};
use wellen::simple::{Waveform, read_from_reader};
use wellen::{SignalRef, TimescaleUnit, VarType};

use super::networks::specs;

/// All styles side by side, with and without flags; some registers without any copies.
fn mixed(bit: BitId) -> Protection {
    let hash = bit.0.wrapping_mul(2_654_435_761) >> 16;
    if bit.0 / 24 % 3 == 2 {
        return Protection::NONE;
    }
    Protection { style: TmrStyle::ALL[hash as usize % 4], error_flag: hash & 4 != 0 }
}

/// Some upset of a bit that the bit can have.
fn upset(bit: BitId, choice: u8) -> Upset {
    let style = mixed(bit).style;
    let [copies, voters, loads, clocks] = WeightBank::lines(style);
    let flip_flop = FlipFlop { bit, copy: CopyIdx(choice / 8 % copies) };
    match choice % 8 {
        0 => Upset::Stick(flip_flop, Level::High),
        1 => Upset::Stick(flip_flop, Level::Low),
        2 if voters > 0 => Upset::Glitch(bit, BitLine::Voter(choice / 8 % voters)),
        3 => Upset::Glitch(bit, BitLine::Load(choice / 8 % loads)),
        4 => Upset::Glitch(bit, BitLine::Clock(choice / 8 % clocks)),
        _ => Upset::Flip(flip_flop),
    }
}

/// What is watched.
struct Scene<'n> {
    network: &'n Network,
    inventory: &'n Inventory,
    schedule: &'n Schedule,
    faults: Vec<TimedFault>,
    scrub: Option<u64>,
    window: std::ops::Range<u64>,
    frames: Vec<Vec<i64>>,
}

/// What a second machine had in a cycle.
#[derive(Default)]
struct Seen {
    cycle: u64,
    /// Registers before the edge, wires of the cycle; as bits, by path.
    bits: BTreeMap<String, String>,
    /// Of those, the registers, as the edge at the end leaves them.
    after: BTreeMap<String, String>,
    /// Cells of the trace.
    row: Vec<String>,
    faults: u64,
}

fn bits(value: i64, width: u32) -> String {
    (0..width).rev().map(|place| if value >> place & 1 == 1 { '1' } else { '0' }).collect()
}

impl Scene<'_> {
    fn machine(&self) -> Machine<'_> {
        Machine::new(self.network, self.inventory, self.schedule, mixed)
    }

    fn times(&self) -> EdgeTimes {
        EdgeTimes::new(self.schedule.clock, Cycle(self.window.end)).unwrap()
    }

    fn record<E>(&self, machine: &mut Machine<'_>, observers: &mut [&mut dyn Observer<Error = E>]) -> Result<(), E> {
        let recording = Recording {
            machine,
            faults: &self.faults,
            scrub_cycles: self.scrub.and_then(NonZeroU64::new),
            window: Cycle(self.window.start)..Cycle(self.window.end),
        };
        record(recording, |number| self.frame(number), observers)
    }

    fn frame(&self, number: u64) -> &[i64] {
        &self.frames[number as usize % self.frames.len()]
    }

    /// The dump and the trace.
    fn files(&self, words_limit: usize) -> (Vec<u8>, String, usize) {
        let mut machine = self.machine();
        let (mut dump, mut text) = (Vec::new(), Vec::new());
        let mut waves = Waves::new(&mut dump, &machine, self.times(), words_limit).unwrap();
        let mut trace = Trace::new(&mut text, &machine, self.times()).unwrap();
        self.record(&mut machine, &mut [&mut waves, &mut trace]).unwrap();
        let variables = waves.variables();
        waves.finish().unwrap();
        trace.finish().unwrap();
        (dump, String::from_utf8(text).unwrap(), variables)
    }

    /// Registers of a machine by path, as they stand.
    fn registers(&self, machine: &Machine<'_>) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let bank = machine.bank();
        for (array, counter) in self.inventory.arrays().iter().zip(bank.error_counters()) {
            let scope = self.array_path(array.node, array.tensor);
            found.insert(format!("{scope}.error_counter"), bits(i64::from(*counter), 8));
            for (index, register) in array.registers().enumerate() {
                let places: Vec<BitId> = self.inventory.bits_of(register).collect();
                let copies = places.iter().map(|bit| mixed(*bit).copies()).max().unwrap();
                for copy in 0..copies {
                    let text = places.iter().zip(0..).map(|(bit, place)| {
                        if copy >= mixed(*bit).copies() {
                            'x'
                        } else if bank.copy(register, BitIdx(place), CopyIdx(copy)) {
                            '1'
                        } else {
                            '0'
                        }
                    });
                    found.insert(format!("{scope}.{}_{index}.copy_{copy}", array.tensor), text.collect());
                }
            }
        }
        for array in machine.elements().iter().filter(|array| array.element != Element::ErrorCounter) {
            for (index, width) in array.widths.iter().enumerate() {
                let word = ElementBit { stage: array.stage, element: array.element, index, bit: BitIdx(0) };
                let path = format!("{}.{}.{}_{index}", self.stage_path(array.stage), array.element, array.element);
                found.insert(path, bits(machine.word(word), *width));
            }
        }
        for stage in 0..self.schedule.stages.len() {
            let (path, activity) = (self.stage_path(stage), machine.activity(stage));
            found.insert(format!("{path}.waiting"), bits(activity.waiting.cast_signed(), 64));
            found.insert(format!("{path}.in_pipeline"), bits(activity.in_pipeline.cast_signed(), 64));
        }
        let (output, node) = (machine.output(), self.network.output());
        found.insert("trivote.output.output_valid".to_owned(), bits(i64::from(output.is_some()), 1));
        for word in 0..node.len() {
            let width = node.signal.width_bits();
            let text = output.map_or_else(|| "x".repeat(width as usize), |output| bits(output[word], width));
            found.insert(format!("trivote.output.word_{word}"), text);
        }
        found
    }

    fn stage_path(&self, stage: usize) -> String {
        format!("trivote.stages.{}", self.schedule.stages[stage].name.replace('.', "_"))
    }

    fn array_path(&self, node: trivote::net::NodeId, tensor: trivote::net::TensorKind) -> String {
        let stage = self.schedule.stages.iter().position(|stage| stage.nodes.contains(&node)).unwrap();
        format!("{}.{tensor}", self.stage_path(stage))
    }

    /// Lets it happen; gives the register, if it is one, and what the trace says of it.
    fn strike(&self, machine: &mut Machine<'_>, upset: Upset) -> (Option<RegisterId>, String) {
        if let Upset::State(bit) = upset {
            let stage = &self.schedule.stages[bit.stage].name;
            machine.flip(bit);
            return (None, format!("{stage}.{}[{}].bit[{}]:flip", bit.element, bit.index, bit.bit));
        }
        let bit = upset.register_bit().unwrap();
        let ((register, place), address) = (self.inventory.locate_bit(bit), self.inventory.bit_address(bit));
        let bank = machine.bank_mut();
        let name = match upset {
            Upset::Flip(FlipFlop { copy, .. }) => {
                bank.flip(register, place, copy);
                format!("{address}.copy[{copy}]:flip")
            }
            Upset::Stick(FlipFlop { copy, .. }, level) => {
                bank.stick(register, place, copy, level);
                format!("{address}.copy[{copy}]:{}", if level == Level::Low { "stuck0" } else { "stuck1" })
            }
            Upset::Glitch(_, line) => {
                bank.glitch(register, place, line);
                match line {
                    BitLine::Voter(number) => format!("{address}.voter[{number}]:transient"),
                    BitLine::Load(number) => format!("{address}.load[{number}]:transient"),
                    BitLine::Clock(number) => format!("{address}.clock[{number}]:transient"),
                    BitLine::Data => format!("{address}.data:transient"),
                }
            }
            Upset::State(_) => unreachable!("told above"),
        };
        (Some(register), name)
    }

    /// Every cycle of the window, by a machine that runs through all cycles from 0 on.
    fn seen(&self) -> Vec<Seen> {
        let mut machine = self.machine();
        let (mut next, mut due, mut injections) = (0, 0, 0);
        let mut all = Vec::new();
        for cycle in 0..self.window.end {
            let (mut hit, mut hit_stages) = (Vec::new(), Vec::new());
            let mut names = Vec::new();
            for fault in self.faults.iter().filter(|fault| fault.at == Cycle(cycle)) {
                let (register, name) = self.strike(&mut machine, fault.upset);
                hit.extend(register);
                if let Upset::State(bit) = fault.upset {
                    hit_stages.push(bit.stage);
                }
                names.push(name);
            }
            let is_reload = self.scrub.is_some_and(|period| cycle > 0 && cycle % period == 0);
            let is_valid = cycle >= due;
            let is_ready = machine.is_ready();
            let is_observed = self.window.contains(&cycle);
            let mut seen = Seen { cycle, faults: names.len() as u64, ..Seen::default() };
            if is_observed {
                seen.bits = self.registers(&machine);
                injections += seen.faults;
            }
            let before: Vec<_> = (0..self.schedule.stages.len()).map(|stage| machine.activity(stage)).collect();
            let (has_output, wrong_copies) = (machine.output().is_some(), machine.bank().wrong_copies());
            let frame = is_valid.then(|| self.frame(next));
            let is_taken = machine.step(frame, if is_reload { Load::Reload } else { Load::Hold });
            assert_eq!(is_taken, is_valid && is_ready);
            let offered = next;
            if is_taken {
                (next, due) = (next + 1, cycle + self.schedule.interval_cycles);
            }
            if !is_observed {
                continue;
            }
            let bank = machine.bank();
            let mut wire =
                |path: &str, value: bool| seen.bits.insert(format!("trivote.{path}"), bits(i64::from(value), 1));
            wire("clock", false);
            wire("load", is_reload);
            wire("host.frame_valid", is_valid);
            wire("host.frame_ready", is_ready);
            let number = if is_valid { bits(offered.cast_signed(), 64) } else { "x".repeat(64) };
            seen.bits.insert("trivote.host.frame".to_owned(), number);
            seen.bits.insert("trivote.injections".to_owned(), bits(injections.cast_signed(), 64));
            let mut flags = Vec::new();
            for (number, array) in self.inventory.arrays().iter().enumerate() {
                let scope = self.array_path(array.node, array.tensor);
                let flag = bank.error_flags()[number];
                if flag {
                    flags.push(format!("{}.{}", array.layer, array.tensor));
                }
                seen.bits.insert(format!("{scope}.error_flag"), bits(i64::from(flag), 1));
                let is_hit = array.registers().any(|register| hit.contains(&register));
                seen.bits.insert(format!("{scope}.injected"), bits(i64::from(is_hit), 1));
                for (index, register) in array.registers().enumerate() {
                    let scope = format!("{scope}.{}_{index}", array.tensor);
                    let width = u32::from(array.format.width());
                    seen.bits.insert(format!("{scope}.voted"), bits(bank.value(register), width));
                    seen.bits.insert(format!("{scope}.injected"), bits(i64::from(hit.contains(&register)), 1));
                }
            }
            seen.row = vec![
                cycle.to_string(),
                (cycle * 25).to_string(),
                if is_taken { offered.to_string() } else { String::new() },
                u8::from(has_output).to_string(),
                u8::from(is_reload).to_string(),
                names.join(";"),
                flags.join(";"),
                wrong_copies.to_string(),
                self.inventory.registers().filter(|of| bank.value(*of) != bank.intended(*of)).count().to_string(),
            ];
            for (stage, before) in before.iter().enumerate() {
                let (path, activity) = (self.stage_path(stage), machine.activity(stage));
                seen.bits.insert(format!("{path}.working"), bits(i64::from(activity.is_working), 1));
                seen.bits.insert(format!("{path}.stalled"), bits(i64::from(activity.is_stalled), 1));
                let nodes = &self.schedule.stages[stage].nodes;
                let is_hit = hit_stages.contains(&stage)
                    || hit.iter().any(|register| nodes.contains(&self.inventory.locate(*register).0.node));
                seen.bits.insert(format!("{path}.injected"), bits(i64::from(is_hit), 1));
                let state = if activity.is_stalled {
                    "stall"
                } else if activity.is_working {
                    "work"
                } else {
                    "idle"
                };
                seen.row.extend([state.to_owned(), before.waiting.to_string(), before.in_pipeline.to_string()]);
            }
            seen.after = self.registers(&machine);
            all.push(seen);
        }
        all
    }

    /// Reads both files back and compares everything in them.
    fn check(&self) -> Vec<Seen> {
        let (dump, trace, variables) = self.files(usize::MAX);
        let seen = self.seen();
        let period = 25_000;
        let dump = Dump::read(dump);
        // The event is checked apart.
        assert_eq!(dump.signals.len(), variables);
        assert_eq!(dump.signals.len(), seen.first().map_or(variables, |seen| seen.bits.len() + 1));
        for now in &seen {
            let edge = now.cycle * period;
            assert_eq!(dump.at("trivote.clock", edge), "1");
            assert_eq!(dump.at("trivote.clock", edge + period / 2 - 1), "1");
            for (path, expected) in &now.bits {
                assert_eq!(&dump.at(path, edge + period - 1), expected, "cycle {}: {path}", now.cycle);
            }
            for (path, expected) in &now.after {
                assert_eq!(&dump.at(path, edge + period), expected, "after cycle {}: {path}", now.cycle);
            }
        }
        let hit: Vec<u64> =
            seen.iter().filter(|now| now.faults > 0).map(|now| now.cycle * period + period / 4).collect();
        assert_eq!(dump.changes("trivote.injection"), hit);
        let edges = dump.changes("trivote.clock").len();
        assert_eq!(edges, if seen.is_empty() { 1 } else { 2 * seen.len() + 1 });

        let mut reader = csv::Reader::from_reader(trace.as_bytes());
        let header = reader.headers().unwrap().clone();
        let stages = self
            .schedule
            .stages
            .iter()
            .flat_map(|stage| ["state", "waiting", "in_pipeline"].map(|c| format!("{}.{c}", stage.name)));
        assert_eq!(header.iter().skip(9).map(str::to_owned).collect::<Vec<_>>(), stages.collect::<Vec<_>>());
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(rows, seen.iter().map(|now| now.row.clone()).collect::<Vec<_>>());
        seen
    }
}

/// A dump as `wellen` reads it.
struct Dump {
    waves: Waveform,
    signals: BTreeMap<String, SignalRef>,
}

impl Dump {
    fn read(bytes: Vec<u8>) -> Self {
        let mut waves = read_from_reader(Cursor::new(bytes)).unwrap();
        let hierarchy = waves.hierarchy();
        let scale = hierarchy.timescale().unwrap();
        assert_eq!((scale.factor, scale.unit), (1, TimescaleUnit::PicoSeconds));
        assert!(hierarchy.version().contains("trivote") && hierarchy.date().is_empty());
        let signals: BTreeMap<String, SignalRef> = hierarchy
            .all_vars()
            .map(|var| {
                let var = &hierarchy[var];
                let is_vector = var.var_type() == VarType::Wire && var.length(hierarchy) != Some(1);
                // Bit 0 is the most significant.
                assert_eq!(var.index().map(|range| range.msb()), is_vector.then_some(0));
                (var.full_name(hierarchy), var.signal_ref())
            })
            .collect();
        assert_eq!(signals.len(), hierarchy.all_vars().count(), "no name stands there twice");
        let all: Vec<SignalRef> = signals.values().copied().collect();
        waves.load_signals(&all);
        Self { waves, signals }
    }

    fn signal(&self, path: &str) -> &wellen::Signal {
        let signal = self.signals.get(path).unwrap_or_else(|| panic!("no variable {path}"));
        self.waves.get_signal(*signal).unwrap()
    }

    /// The bits of a variable at a time.
    fn at(&self, path: &str, time: u64) -> String {
        let index = self.waves.time_table().partition_point(|known| *known <= time) - 1;
        let signal = self.signal(path);
        let offset = signal.get_offset(index as u32).unwrap_or_else(|| panic!("{path} has no value at {time}"));
        signal.get_value_at(&offset, offset.elements - 1).to_bit_string().unwrap()
    }

    /// Times at which a variable is written.
    fn changes(&self, path: &str) -> Vec<u64> {
        self.signal(path).time_indices().iter().map(|index| self.waves.time_table()[*index as usize]).collect()
    }
}

fn faults_of(machine: &Machine<'_>, drawn: &[(u64, prop::sample::Index, u8)]) -> Vec<TimedFault> {
    let state: Vec<ElementBit> =
        machine.elements().iter().flat_map(|array| array.bit_list().collect::<Vec<_>>()).collect();
    let fault = |(at, bit, choice): &(u64, prop::sample::Index, u8)| {
        let upset = match choice % 8 {
            5 => Upset::State(state[bit.index(state.len())]),
            _ => upset(BitId(bit.index(machine.inventory().bits()) as u32), *choice),
        };
        TimedFault { at: Cycle(*at), upset }
    };
    drawn.iter().map(fault).collect()
}

fn options(io: Io, reuse: u64, fifo_depth: Option<u64>) -> ScheduleOptions {
    ScheduleOptions {
        io,
        reuse_factor: NonZeroU64::new(reuse).unwrap(),
        strategy: Build::Resource,
        fifo_depth: fifo_depth.and_then(NonZeroU64::new),
        ..ScheduleOptions::econ_t()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_say_what_the_machine_had(
        spec in specs(), io in 0..3_usize, reuse in 1..5_u64, fifo_depth in prop::option::of(1..3_u64),
        drawn in prop::collection::vec((0..40_u64, any::<prop::sample::Index>(), any::<u8>()), 0..12),
        scrub in prop::option::of(1..15_u64), end in 1..40_u64,
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let io = Io::ALL[io];
        let reuse = if io == Io::EconT { 1 } else { reuse };
        let schedule = Schedule::new(&network, &options(io, reuse, fifo_depth)).unwrap();
        let frames = (0..3).map(|number| spec.event(number)).collect();
        let faults = faults_of(&Machine::new(&network, &inventory, &schedule, mixed), &drawn);
        let scene = Scene { network: &network, inventory: &inventory, schedule: &schedule, faults, scrub, window: 0..end, frames };
        scene.check();
    }

    #[test]
    fn skipped_cycles_leave_what_they_would_have_left(
        spec in specs(), drawn in prop::collection::vec((0..3000_u64, any::<prop::sample::Index>(), any::<u8>()), 0..12),
        scrub in prop::option::of(1..700_u64), start in 2000..4000_u64,
    ) {
        let network = spec.build();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
        let frames = (0..3).map(|number| spec.event(number)).collect();
        let faults = faults_of(&Machine::new(&network, &inventory, &schedule, mixed), &drawn);
        let window = start..start + 3;
        Scene { network: &network, inventory: &inventory, schedule: &schedule, faults, scrub, window, frames }.check();
    }
}

struct Shipped {
    network: Network,
    inventory: Inventory,
    frames: Vec<Vec<i64>>,
}

fn econ_t_medium() -> Shipped {
    let design = Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models/econ_t_medium")).unwrap();
    let network = design.accelerator;
    let inventory = Inventory::new(&network).unwrap();
    let modules = Generator::new(Population::Mixture, 1).events(0, 20).into_iter();
    let frames =
        modules.map(|module| Event::new(&network, EventInput::Module(module)).unwrap().codes().to_vec()).collect();
    Shipped { network, inventory, frames }
}

/// Faults all over a design: in every cycle of a range some.
fn faults_all_over(inventory: &Inventory, cycles: std::ops::Range<u64>) -> Vec<TimedFault> {
    let fault = |number: u64| {
        let bit = BitId((number * 7919 % inventory.bits() as u64) as u32);
        let at = Cycle(cycles.start + number % (cycles.end - cycles.start));
        TimedFault { at, upset: upset(bit, (number * 37 % 251) as u8) }
    };
    (0..60).map(fault).collect()
}

#[test]
fn econ_t_medium_at_one_frame_per_cycle() {
    let Shipped { network, inventory, frames } = econ_t_medium();
    let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
    let faults = faults_all_over(&inventory, 1000..1020);
    let scene = Scene {
        network: &network,
        inventory: &inventory,
        schedule: &schedule,
        faults,
        scrub: Some(505),
        window: 1003..1023,
        frames,
    };
    let seen = scene.check();
    assert_eq!(seen.len(), 20);
    // A new frame and a result in each.
    assert!(seen.iter().all(|now| now.row[2] == now.cycle.to_string() && now.row[3] == "1"));
    assert!(seen.iter().any(|now| now.faults > 1) && seen.iter().any(|now| !now.row[6].is_empty()));
    assert!(seen.iter().any(|now| now.row[4] == "1"));
}

#[test]
fn a_stream_through_fifos_that_are_too_small() {
    let Shipped { network, inventory, frames } = econ_t_medium();
    let schedule = Schedule::new(&network, &options(Io::Stream, 8, Some(1))).unwrap();
    let faults = faults_all_over(&inventory, 0..300);
    let scene = Scene {
        network: &network,
        inventory: &inventory,
        schedule: &schedule,
        faults,
        scrub: None,
        window: 0..60,
        frames,
    };
    let seen = scene.check();
    let stalls = |stage: usize| seen.iter().filter(|now| now.row[9 + 3 * stage] == "stall").count();
    assert!((0..schedule.stages.len()).map(stalls).sum::<usize>() > 0);
}

#[test]
fn files_are_the_same_every_time_and_kinds_of_words_find_room_or_not() {
    let Shipped { network, inventory, frames } = econ_t_medium();
    let schedule = Schedule::new(&network, &options(Io::Stream, 8, None)).unwrap();
    let faults = faults_all_over(&inventory, 0..40);
    let scene = Scene {
        network: &network,
        inventory: &inventory,
        schedule: &schedule,
        faults,
        scrub: Some(7),
        window: 10..30,
        frames,
    };
    let (dump, trace, variables) = scene.files(DEFAULT_WORDS_LIMIT);
    assert_eq!((dump.clone(), trace, variables), scene.files(DEFAULT_WORDS_LIMIT));
    let machine = scene.machine();
    let elements = machine.elements();
    let words = |element: Element| -> usize {
        elements.iter().filter(|array| array.element == element).map(|array| array.widths.len()).sum()
    };
    assert!(words(Element::LineBuffer) > 0);
    let shown = Element::ALL.into_iter().filter(|element| *element != Element::ErrorCounter).map(words).sum::<usize>();
    let room = |limit: usize| {
        let waves = Waves::new(Vec::new(), &machine, scene.times(), limit).unwrap();
        (waves.left_out().to_vec(), waves.variables())
    };
    assert_eq!(room(shown), (vec![], variables));
    assert_eq!(room(shown - 1), (vec![Element::LineBuffer], variables - words(Element::LineBuffer)));
    let (left_out, fewest) = room(0);
    assert_eq!((left_out.len(), fewest), (6, variables - shown));
}

#[test]
fn counters_count_every_reload_on_a_long_way() {
    let Shipped { network, inventory, frames } = econ_t_medium();
    let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
    // Two copies that cannot be what is loaded: they differ from the third in one cycle after each reload.
    let flagged = Protection { style: TmrStyle::Feedback, error_flag: true };
    let bit = inventory.bit_ids().find(|bit| mixed(*bit) == flagged).unwrap();
    let (register, place) = inventory.locate_bit(bit);
    let is_high = Machine::new(&network, &inventory, &schedule, mixed).bank().copy(register, place, CopyIdx(0));
    let level = if is_high { Level::Low } else { Level::High };
    let stuck = |copy| TimedFault { at: Cycle(3), upset: Upset::Stick(FlipFlop { bit, copy: CopyIdx(copy) }, level) };
    for (start, counted) in [(1500, 150), (4000, 255)] {
        let scene = Scene {
            network: &network,
            inventory: &inventory,
            schedule: &schedule,
            faults: vec![stuck(0), stuck(1)],
            scrub: Some(10),
            window: start..start + 2,
            frames: frames.clone(),
        };
        let seen = scene.check();
        let (array, _) = inventory.locate(register);
        let counter = format!("{}.error_counter", scene.array_path(array.node, array.tensor));
        assert_eq!(seen[0].bits[&counter], bits(counted, 8));
    }
}

/// Gives up in a cycle.
struct Impatient(u64);

impl Observer for Impatient {
    type Error = u64;

    fn begin(&mut self, _: &Machine<'_>) -> Result<(), u64> {
        Ok(())
    }

    fn before_edge(&mut self, now: &Observed<'_>) -> Result<(), u64> {
        if now.cycle == Cycle(self.0) { Err(self.0) } else { Ok(()) }
    }

    fn after_edge(&mut self, _: &Observed<'_>) -> Result<(), u64> {
        Ok(())
    }
}

#[test]
fn long_ways_to_the_window_cost_little_and_an_observer_can_end_it() {
    let Shipped { network, inventory, frames } = econ_t_medium();
    let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
    // A day at 40 MHz, a scrub in each millisecond, and bits that are stuck from the beginning.
    let day = 24 * 3600 * 40_000_000;
    let faults = (0..10).map(|bit| TimedFault { at: Cycle(5), upset: upset(BitId(bit), bit as u8 % 2) }).collect();
    let scene = Scene {
        network: &network,
        inventory: &inventory,
        schedule: &schedule,
        faults,
        scrub: Some(40_000),
        window: day..day + 10,
        frames,
    };
    let mut machine = scene.machine();
    assert_eq!(scene.record(&mut machine, &mut [&mut Impatient(day + 3)]), Err(day + 3));
    assert_eq!(machine.cycle(), Cycle(day + 3));
    let mut machine = scene.machine();
    assert_eq!(scene.record(&mut machine, &mut [&mut Impatient(day + 10)]), Ok(()));
    assert_eq!(machine.cycle(), Cycle(day + 10));
    assert!(machine.bank().wrong_copies() > 0, "no reload does away with a stuck bit");
}
