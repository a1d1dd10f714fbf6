//! `Unrolled`: every multiplier is built; each layer with weights works on a whole frame within a cycle.
//!
//! All weights of a stage are read in the cycle in which it computes. Frames whose registers were disturbed on the way are
//! computed by the plain arithmetic, since their values may lie beyond the ranges that the vector words rely on.

use super::plain::{self, Registers};
use super::{Element, ElementArray, StageActivity};
use crate::hw::datapath::layer::Layer;
use crate::hw::datapath::program::Program;
use crate::hw::datapath::sums::{self, Wires};
use crate::hw::datapath::word::Word;
use crate::hw::schedule::Schedule;
use crate::net::{Network, NodeId, Signal, TensorKind};
use crate::num::{BitIdx, cast};

/// The register in front of a stage, or that of the output.
#[derive(Debug, Clone)]
struct Front<W> {
    /// Meaningless while no frame is in it.
    values: Vec<W>,
    is_full: bool,
    /// Whether the frame in it may be beyond its proven range.
    is_disturbed: bool,
}

impl<W: Word> Front<W> {
    fn new(len: usize) -> Self {
        Self { values: vec![W::default(); len], is_full: false, is_disturbed: false }
    }
}

/// What changes at clock edges only, weights aside: the register in front of each stage, then that of the output.
#[derive(Debug, Clone)]
struct State<W> {
    fronts: Vec<Front<W>>,
}

/// What settles within a cycle.
#[derive(Debug, Clone)]
struct StageWires<W> {
    /// The first layer's input, made of the input register; unused in other stages.
    entered: Vec<W>,
    layer: Wires<W>,
    /// What will stand in the next register.
    next: Front<W>,
}

/// Stages of one cycle each, in words of `W`.
#[derive(Debug, Clone)]
pub(super) struct Unrolled<W> {
    program: Program<W>,
    state: State<W>,
    wires: Vec<StageWires<W>>,
    /// The output register as it is handed out.
    output: Vec<i64>,
    /// Places of real values in each register: zeros around a map are wires, not flip-flops.
    places: Vec<Vec<u32>>,
    /// What the values in each register mean.
    signals: Vec<Signal>,
    /// Whether each stage worked in the last cycle.
    worked: Vec<bool>,
}

impl<W: Word> Unrolled<W> {
    /// `None` when the network's values are not proven to fit the words, or not every stage is a dense layer or a convolution.
    pub(super) fn new(network: &Network, schedule: &Schedule) -> Option<Self> {
        let program = Program::<W>::new(network).filter(Program::is_chain_of_sums)?;
        let mut fronts = vec![Front::new(network.input().len())];
        let mut places = vec![(0..cast::id(network.input().len())).collect()];
        let mut signals = vec![network.input().signal];
        let mut wires = Vec::new();
        for (at, layer) in program.layers.iter().enumerate() {
            fronts.push(Front::new(layer.target_len));
            places.push(targets(layer));
            let last = schedule.stages[at].nodes.last().expect("a stage has nodes");
            signals.push(network.node(*last).signal);
            wires.push(StageWires {
                entered: vec![W::default(); if at == 0 { layer.pixels * layer.in_channels } else { 0 }],
                layer: Wires::new(layer),
                next: Front::new(layer.target_len),
            });
        }
        let output = vec![0; program.output_len];
        let worked = vec![false; wires.len()];
        Some(Self { program, state: State { fronts }, wires, output, places, signals, worked })
    }

    pub(super) fn set(&mut self, node: NodeId, kind: TensorKind, index: usize, value: i64) {
        let at = self.program.layer_of(node);
        self.program.layers[at].set(kind, index, value);
    }

    pub(super) fn is_empty(&self) -> bool {
        let (_, inside) = self.state.fronts.split_last().expect("there is an output register");
        inside.iter().all(|front| !front.is_full)
    }

    pub(super) fn output(&self) -> Option<&[i64]> {
        let last = self.state.fronts.last().expect("there is an output register");
        last.is_full.then_some(&self.output)
    }

    pub(super) fn activity(&self, stage: usize) -> StageActivity {
        StageActivity {
            is_working: self.worked[stage],
            is_stalled: false,
            waiting: u64::from(self.state.fronts[stage].is_full),
            in_pipeline: 0,
        }
    }

    /// One cycle: all stages settle, then the clock ticks. A frame is always taken.
    pub(super) fn step(
        &mut self,
        network: &Network,
        schedule: &Schedule,
        registers: &Registers,
        frame: Option<&[i64]>,
    ) -> bool {
        for (at, wires) in self.wires.iter_mut().enumerate() {
            let front = &self.state.fronts[at];
            wires.next.is_full = front.is_full;
            wires.next.is_disturbed = front.is_full && front.is_disturbed;
            self.worked[at] = front.is_full;
            if wires.next.is_disturbed {
                let values = front.values.iter().map(|value| value.wide()).collect();
                let values = plain::frame(network, &schedule.stages[at].nodes, registers, values);
                for (next, value) in wires.next.values.iter_mut().zip(values) {
                    *next = W::wrap(value);
                }
            } else if front.is_full {
                settle(&self.program, at, front, wires);
            }
        }
        self.state.tick(&mut self.wires, frame);
        let last = self.state.fronts.last().expect("there is an output register");
        if last.is_full {
            for (wide, value) in self.output.iter_mut().zip(&last.values) {
                *wide = value.wide();
            }
        }
        frame.is_some()
    }

    /// The registers by stage: `fifo` is the one in front of it, `pipeline` of the last stage that of the output.
    pub(super) fn elements(&self, schedule: &Schedule) -> Vec<ElementArray> {
        let array = |at: usize, stage: usize, element| {
            ElementArray::new(
                &schedule.stages[stage],
                stage,
                element,
                vec![self.signals[at].width_bits(); self.places[at].len()],
            )
        };
        let stages = schedule.stages.len();
        let mut arrays: Vec<ElementArray> = (0..stages).map(|at| array(at, at, Element::Fifo)).collect();
        arrays.push(array(stages, stages - 1, Element::Pipeline));
        arrays
    }

    pub(super) fn word(&self, stage: usize, element: Element, index: usize) -> i64 {
        let at = register_of(stage, element);
        self.state.fronts[at].values[cast::index(self.places[at][index])].wide()
    }

    pub(super) fn flip(&mut self, stage: usize, element: Element, index: usize, bit: BitIdx) {
        let at = register_of(stage, element);
        let signal = self.signals[at];
        let front = &mut self.state.fronts[at];
        let value = &mut front.values[cast::index(self.places[at][index])];
        let mask = 1_i64 << (signal.width_bits() - 1 - u32::from(bit.0));
        *value = W::wrap(plain::held(&signal, value.wide() ^ mask));
        front.is_disturbed = true;
        if at + 1 == self.state.fronts.len() {
            let last = &self.state.fronts[at];
            for (wide, value) in self.output.iter_mut().zip(&last.values) {
                *wide = value.wide();
            }
        }
    }
}

/// Which register an element is.
fn register_of(stage: usize, element: Element) -> usize {
    match element {
        Element::Pipeline => stage + 1,
        _ => stage,
    }
}

impl<W> State<W> {
    /// The clock edge: every register takes what settled in front of it. The wires are left with what the registers held.
    fn tick(&mut self, wires: &mut [StageWires<W>], frame: Option<&[i64]>)
    where
        W: Word,
    {
        for (front, wires) in self.fronts[1..].iter_mut().zip(wires) {
            std::mem::swap(front, &mut wires.next);
        }
        let first = &mut self.fronts[0];
        first.is_full = frame.is_some();
        first.is_disturbed = false;
        if let Some(frame) = frame {
            for (value, raw) in first.values.iter_mut().zip(frame) {
                *value = W::wrap(*raw);
            }
        }
    }
}

/// What an undisturbed frame makes of a stage.
fn settle<W: Word>(program: &Program<W>, at: usize, front: &Front<W>, wires: &mut StageWires<W>) {
    let StageWires { entered, layer, next } = wires;
    let input = if at == 0 {
        sums::enter(&program.head, &front.values, |value| value, entered);
        &*entered
    } else {
        &front.values
    };
    sums::settle(&program.layers[at], |_| input, layer, &mut next.values);
}

/// Where the values of a layer stand behind it, in the order of its sums.
fn targets<W>(layer: &Layer<W>) -> Vec<u32> {
    layer.target.iter().copied().filter(|target| *target != u32::MAX).collect()
}
