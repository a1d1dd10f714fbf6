//! `Trace`: the fault-free values of one event, which every fault's evaluation starts from.

use super::kernels::LayerTrace;
use crate::hw::datapath::program::Program;
use crate::hw::datapath::sums;
use crate::hw::datapath::width::ByWidth;
use crate::hw::datapath::word::Word;

/// Fault-free values of one event in the engine that made it; memory for the next event too, see `Engine::trace_into`.
#[derive(Debug, Clone)]
pub struct Trace {
    pub(super) golden: ByWidth<Golden<i32>, Golden<i64>>,
    pub(super) output: Vec<i64>,
}

impl Trace {
    /// Raw values of the output node.
    pub fn output(&self) -> &[i64] {
        &self.output
    }
}

/// Fault-free values in words of `W`.
#[derive(Debug, Clone)]
pub(super) struct Golden<W> {
    pub(super) layers: Vec<LayerTrace<W>>,
    output: Vec<W>,
}

impl<W: Word> Golden<W> {
    /// Memory for `program`.
    pub(super) fn new(program: &Program<W>) -> Self {
        let layers = program.layers.iter().map(LayerTrace::new);
        Self { layers: layers.collect(), output: vec![W::default(); program.output_len] }
    }

    /// Evaluates `program` for `input` and writes the raw output.
    pub(super) fn fill(&mut self, program: &Program<W>, input: &[i64], output: &mut [i64]) {
        let Self { layers, output: last } = self;
        let first = layers.first_mut().map_or(&mut *last, |layer| &mut layer.input);
        sums::enter(&program.head, input, W::wrap, first);
        for (at, layer) in program.layers.iter().enumerate() {
            let (before, after) = layers.split_at_mut(at + 1);
            let next = after.first_mut().map_or(&mut *last, |next| &mut next.input);
            let LayerTrace { input, wires } = &mut before[at];
            sums::settle(layer, input, wires, next);
        }
        for (wide, value) in output.iter_mut().zip(&*last) {
            *wide = value.wide();
        }
    }
}
