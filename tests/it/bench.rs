//! A network with its schedule and events, for what runs on the machine and on the engine.

use trivote::campaign::{Event, MissionInput};
use trivote::host::evaluator::{Evaluator, EventInput, EventKind, OutputWords};
use trivote::host::metric::ErrorMetric;
use trivote::hw::Inventory;
use trivote::hw::schedule::{Schedule, ScheduleOptions};
use trivote::net::{Dense, Network, NetworkBuilder, Op, WeightTensor};
use trivote::num::{QFormat, qkeras};

use super::networks::NetworkSpec;

/// A network with its events.
pub struct Bench {
    pub network: Network,
    pub inventory: Inventory,
    pub schedule: Schedule,
    pub evaluator: Evaluator,
    pub events: Vec<Event>,
}

impl Bench {
    pub fn new(
        network: Network,
        shape: &[usize],
        tensors: impl Iterator<Item = Vec<f32>>,
        options: &ScheduleOptions,
    ) -> Self {
        let kind = EventKind::Tensor { shape: shape.to_vec() };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, OutputWords::of(&network)).unwrap();
        let inventory = Inventory::new(&network).unwrap();
        let schedule = Schedule::new(&network, options).unwrap();
        let events = tensors.map(|values| Event::new(&network, EventInput::Tensor(values)).unwrap()).collect();
        Self { network, inventory, schedule, evaluator, events }
    }

    pub fn random(spec: &NetworkSpec, events: u64, options: &ScheduleOptions) -> Self {
        let step = (-f64::from(spec.input.format.frac_bits())).exp2();
        let tensor = |stream| spec.event(stream).iter().map(|raw| (*raw as f64 * step) as f32).collect();
        Self::new(spec.build(), &spec.shape, (0..events).map(tensor), options)
    }

    /// Two layers, 16 registers of 8 bits and 8 of 6, and so many events with inputs below `16 / scale`.
    pub fn small(events: u64, scale: f32, options: &ScheduleOptions) -> Self {
        let mut net = NetworkBuilder::new("n", "x", &[4], qkeras::quantized_relu(6, 1).unwrap()).unwrap();
        let tensor = |shape: [usize; 2], count: i64, step: i64, width: u8| {
            let span = 1_i64 << width;
            let raw = (0..count).map(|at| at * step % span - span / 2).collect();
            WeightTensor::new(shape.to_vec(), raw, QFormat::signed(width, 1).unwrap()).unwrap()
        };
        let source = net.input();
        let first = Dense { kernel: tensor([4, 4], 16, 37, 8), bias: None };
        let first = net.push("first", Op::Dense(first), &[source]).unwrap();
        let relu = net.push("relu", Op::Quantize(qkeras::quantized_relu(6, 1).unwrap()), &[first]).unwrap();
        let second = Dense { kernel: tensor([4, 2], 8, 23, 6), bias: None };
        let second = net.push("second", Op::Dense(second), &[relu]).unwrap();
        net.push("out", Op::Quantize(qkeras::quantized_relu(6, 1).unwrap()), &[second]).unwrap();
        let event = |event: u64| (0..4).map(|at| ((event * 7 + at * 11) % 16) as f32 / scale).collect();
        Self::new(net.finish().unwrap(), &[4], (0..events).map(event), options)
    }

    pub fn input(&self) -> MissionInput<'_> {
        let Self { network, inventory, schedule, evaluator, events } = self;
        MissionInput { network, inventory, schedule, evaluator, events }
    }
}
