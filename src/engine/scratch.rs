//! `Scratch`: working memory of an engine, and how changes are carried from layer to layer.

use super::kernels::{self, Addend, Changed, Hit, Seen, Sums};
use super::trace::Golden;
use crate::hw::datapath::program::Program;
use crate::hw::datapath::width::ByWidth;
use crate::hw::datapath::word::Word;

/// Working memory of an engine; one per thread, for any number of events. Holds no result between calls.
#[derive(Debug, Clone)]
pub struct Scratch {
    pub(super) space: ByWidth<Space<i32>, Space<i64>>,
    pub(super) found: Found,
}

/// Differences of an output, as they are handed out.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) indices: Vec<u32>,
    pub(super) values: Vec<i64>,
}

impl Found {
    pub(super) fn set<W: Word>(&mut self, changed: &[Changed<W>]) {
        self.indices.clear();
        self.values.clear();
        self.indices.extend(changed.iter().map(|changed| changed.index));
        self.values.extend(changed.iter().map(|changed| changed.value.wide()));
    }
}

/// Working memory in words of `W`.
#[derive(Debug, Clone)]
pub(super) struct Space<W> {
    pub(super) flow: Flow<W>,
    /// What a layer's own changed registers add to its sums.
    pub(super) own: Vec<Addend<W>>,
    pub(super) row: RowSpace<W>,
}

/// Changed values on their way through the layers.
#[derive(Debug, Clone)]
pub(super) struct Flow<W> {
    sums: Vec<Sums<W>>,
    /// Changed input values by layer, then changed output values; indices ascend.
    pub(super) changed: Vec<Vec<Changed<W>>>,
}

/// What a row of flips leads to.
#[derive(Debug, Clone, Default)]
pub(super) struct RowSpace<W> {
    pub(super) seen: Vec<Seen<W>>,
    pub(super) hits: Vec<Hit<W>>,
    /// Hits of one slot, flip by flip.
    pub(super) sorted: Vec<Changed<W>>,
    /// By lane: where its hits end in `sorted`.
    pub(super) ends: Vec<usize>,
}

impl<W: Word> Space<W> {
    pub(super) fn new(program: &Program<W>) -> Self {
        Self {
            flow: Flow {
                sums: program.layers.iter().map(Sums::new).collect(),
                changed: vec![Vec::new(); program.layers.len() + 1],
            },
            own: Vec::new(),
            row: RowSpace { seen: Vec::new(), hits: Vec::new(), sorted: Vec::new(), ends: Vec::new() },
        }
    }
}

impl<W: Word> Flow<W> {
    /// Carries the changed input of layer `at`, and what is added to its sums, to `changed[at + 1]`.
    pub(super) fn step(&mut self, program: &Program<W>, golden: &Golden<W>, at: usize, own: &[Addend<W>]) {
        let (before, after) = self.changed.split_at_mut(at + 1);
        after[0].clear();
        if !(before[at].is_empty() && own.is_empty()) {
            let (layer, trace) = (&program.layers[at], &golden.layers[at]);
            kernels::carry(layer, trace, &before[at], own, &mut self.sums[at], &mut after[0]);
        }
    }

    /// Carries the changed input of layer `from` to the output, which then is last in `changed`; stops early, with
    /// `false`, where nothing differs any more.
    pub(super) fn run(&mut self, program: &Program<W>, golden: &Golden<W>, from: usize) -> bool {
        (from..program.layers.len()).all(|at| {
            self.step(program, golden, at, &[]);
            !self.changed[at + 1].is_empty()
        })
    }
}
