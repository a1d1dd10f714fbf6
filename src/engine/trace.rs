//! `Trace`: the fault-free values of one event, which every fault's evaluation starts from.

use crate::hw::datapath::program::Program;
use crate::hw::datapath::sums::{self, Wires};
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
    /// What the head gives, then what each layer gives.
    pub(super) buffers: Vec<Vec<W>>,
    /// What each layer computes.
    pub(super) wires: Vec<Wires<W>>,
}

impl<W: Word> Golden<W> {
    /// Memory for `program`.
    pub(super) fn new(program: &Program<W>) -> Self {
        let lens = std::iter::once(program.head.target_len).chain(program.layers.iter().map(|layer| layer.target_len));
        Self {
            buffers: lens.map(|len| vec![W::default(); len]).collect(),
            wires: program.layers.iter().map(Wires::new).collect(),
        }
    }

    /// Evaluates `program` for `input` and writes the raw output.
    pub(super) fn fill(&mut self, program: &Program<W>, input: &[i64], output: &mut [i64]) {
        let Self { buffers, wires } = self;
        sums::enter(&program.head, input, W::wrap, &mut buffers[0]);
        for ((at, layer), wires) in program.layers.iter().enumerate().zip(wires) {
            let (before, after) = buffers.split_at_mut(at + 1);
            sums::settle(layer, |source| &before[source], wires, &mut after[0]);
        }
        let last = buffers.last().expect("the head gives values");
        for (wide, value) in output.iter_mut().zip(last) {
            *wide = value.wide();
        }
    }
}
