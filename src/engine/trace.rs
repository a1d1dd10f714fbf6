//! `Trace`: the fault-free values of one event, which every fault's evaluation starts from.

use super::kernels::{self, LayerTrace};
use super::program::Program;
use super::width::ByWidth;
use crate::hw::word::{Block, LANES, Word};

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
    /// One block of the input on its way through the head.
    block: Block<W>,
}

impl<W: Word> Golden<W> {
    /// Memory for `program`.
    pub(super) fn new(program: &Program<W>) -> Self {
        let layers = program.layers.iter().map(|layer| LayerTrace {
            input: vec![W::default(); layer.pixels * layer.in_channels],
            sums: vec![Block::default(); layer.positions * layer.blocks],
            settled: vec![Block::default(); layer.positions * layer.blocks],
        });
        Self { layers: layers.collect(), output: vec![W::default(); program.output_len], block: Block::default() }
    }

    /// Evaluates `program` for `input` and writes the raw output.
    pub(super) fn fill(&mut self, program: &Program<W>, input: &[i64], output: &mut [i64]) {
        assert_eq!(input.len(), program.head.target.len(), "input length");
        let Self { layers, output: last, block } = self;
        let first = layers.first_mut().map_or(&mut *last, |layer| &mut layer.input);
        for (values, targets) in input.chunks(LANES).zip(program.head.target.chunks(LANES)) {
            for (lane, value) in block.iter_mut().zip(values) {
                *lane = W::wrap(*value);
            }
            program.head.tail.apply(block);
            for (value, target) in block.iter().zip(targets) {
                first[crate::num::cast::index(*target)] = *value;
            }
        }
        for (at, layer) in program.layers.iter().enumerate() {
            let (before, after) = layers.split_at_mut(at + 1);
            let next = after.first_mut().map_or(&mut *last, |next| &mut next.input);
            kernels::trace(layer, &mut before[at], next);
        }
        for (wide, value) in output.iter_mut().zip(&*last) {
            *wide = value.wide();
        }
    }
}
