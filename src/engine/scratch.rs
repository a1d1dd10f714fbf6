//! `Scratch`: working memory of an engine, and how changes are carried from layer to layer.
//!
//! Between two layers stands a buffer: equal to the trace, or equal but for a list of values, or written out whole where
//! so much differs that lists cost more.

use super::bytes::ByteScratch;
use super::channelwise;
use super::kernels::{self, Addend, At, Changed, Hit, Seen, Sums};
use super::prepared::Prepared;
use super::trace::Golden;
use crate::hw::datapath::layer::Core;
use crate::hw::datapath::program::Program;
use crate::hw::datapath::sums::{self, Wires};
use crate::hw::datapath::width::ByWidth;
use crate::hw::datapath::word::Word;
use crate::num::cast;

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

/// How a buffer differs from the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It does not.
    Same,
    /// In the values listed.
    Listed,
    /// It is written out.
    Whole,
}

/// Values between two layers.
#[derive(Debug, Clone)]
pub(super) struct Buffer<W> {
    form: Form,
    /// The values that differ, indices ascending; empty unless the form is `Listed`.
    list: Vec<Changed<W>>,
    /// All values, where the form is `Whole`. Zeros around a map are always there.
    whole: Vec<W>,
}

impl<W: Word> Buffer<W> {
    fn new(len: usize) -> Self {
        Self { form: Form::Same, list: Vec::new(), whole: vec![W::default(); len] }
    }

    /// The value at `index`, which is `golden` without faults.
    pub(super) fn value(&self, index: usize, golden: &[W]) -> W {
        match self.form {
            Form::Same => golden[index],
            Form::Listed => {
                let found = self.list.binary_search_by_key(&cast::id(index), |changed| changed.index);
                found.map_or(golden[index], |at| self.list[at].value)
            }
            Form::Whole => self.whole[index],
        }
    }

    /// The values that differ. Meaningless where all are written out.
    pub(super) fn list(&self) -> &[Changed<W>] {
        &self.list
    }

    /// Equal to the trace.
    pub(super) fn reset(&mut self) {
        self.form = Form::Same;
        self.list.clear();
    }

    /// Equal to the trace but for these values, one or more.
    fn set(&mut self, changed: &[Changed<W>]) {
        self.form = Form::Listed;
        self.list.clear();
        self.list.extend_from_slice(changed);
    }

    /// Writes all values out.
    fn write_out(&mut self, golden: &[W]) {
        if self.form != Form::Whole {
            self.whole.copy_from_slice(golden);
            for changed in &self.list {
                self.whole[cast::index(changed.index)] = changed.value;
            }
            self.form = Form::Whole;
            self.list.clear();
        }
    }

    /// Takes what a layer settled to, where `count` values differ from the trace.
    fn take(&mut self, around: At<'_, W>, count: usize, now: &Wires<W>, whole_from: usize) {
        self.reset();
        if count >= whole_from {
            sums::spread(around.layer, &now.settled, &mut self.whole);
            self.form = Form::Whole;
        } else if count > 0 {
            kernels::list_differences(around, &now.settled, &mut self.list);
            self.form = Form::Listed;
        }
    }
}

/// Changed values on their way through the layers.
#[derive(Debug, Clone)]
pub(super) struct Flow<W> {
    /// By layer: sums where few are touched.
    sums: Vec<Sums<W>>,
    /// By layer: sums where all are computed.
    now: Vec<Wires<W>>,
    /// What the head gives, then what each layer gives.
    pub(super) buffers: Vec<Buffer<W>>,
    bytes: ByteScratch,
    affected: Vec<u32>,
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
        let lens = std::iter::once(program.head.target_len).chain(program.layers.iter().map(|layer| layer.target_len));
        Self {
            flow: Flow {
                sums: program.layers.iter().map(Sums::new).collect(),
                now: program.layers.iter().map(Wires::new).collect(),
                buffers: lens.map(Buffer::new).collect(),
                bytes: ByteScratch::default(),
                affected: Vec::new(),
            },
            own: Vec::new(),
            row: RowSpace { seen: Vec::new(), hits: Vec::new(), sorted: Vec::new(), ends: Vec::new() },
        }
    }
}

impl<W: Word> Flow<W> {
    /// Carries what differs in front of layer `at`, and what is added to its sums, to the buffer behind it.
    pub(super) fn step(&mut self, prepared: &Prepared<W>, golden: &Golden<W>, at: usize, own: &[Addend<W>]) {
        let around = At::new(&prepared.program, golden, at);
        let (before, after) = self.buffers.split_at_mut(at + 1);
        let to = &mut after[0];
        let sources = &around.layer.sources;
        if own.is_empty() && sources.iter().all(|source| before[*source].form == Form::Same) {
            to.reset();
            return;
        }
        let costs = prepared.costs[at];
        let is_whole = sources.iter().any(|source| before[*source].form == Form::Whole);
        let listed: usize = sources.iter().map(|source| before[*source].list.len()).sum();
        let now = &mut self.now[at];
        let count = if is_whole || listed >= costs.whole_from {
            for source in sources {
                if before[*source].form != Form::Same {
                    before[*source].write_out(&golden.buffers[*source]);
                }
            }
            let input = |source: usize| match before[source].form {
                Form::Same => &golden.buffers[source][..],
                _ => &before[source].whole,
            };
            match &prepared.bytes[at] {
                Some(bytes) if own.is_empty() => {
                    kernels::run_bytes(around, bytes, input(sources[0]), &mut self.bytes, now)
                }
                Some(bytes) => {
                    kernels::sum_bytes(around.layer, bytes, input(sources[0]), &mut self.bytes, &mut now.sums);
                    kernels::complete(around, own, now)
                }
                None => {
                    sums::sum_up(around.layer, input, &mut now.window, &mut now.sums);
                    kernels::complete(around, own, now)
                }
            }
        } else if !matches!(around.layer.core, Core::Sums) {
            to.reset();
            channelwise::carry(around, golden, before, own, (&mut self.affected, &mut to.list));
            to.form = if to.list.is_empty() { Form::Same } else { Form::Listed };
            return;
        } else if listed >= costs.all_from {
            kernels::carry_all(around, &before[sources[0]].list, own, now)
        } else {
            to.reset();
            kernels::carry(around, &before[sources[0]].list, own, &mut self.sums[at], &mut to.list);
            to.form = if to.list.is_empty() { Form::Same } else { Form::Listed };
            return;
        };
        to.take(around, count, now, prepared.whole_from[at + 1]);
    }

    /// Carries `changed`, what differs behind layer `at` and nowhere before, to the output; gives what differs there.
    pub(super) fn run(
        &mut self,
        prepared: &Prepared<W>,
        golden: &Golden<W>,
        at: usize,
        changed: &[Changed<W>],
    ) -> &[Changed<W>] {
        self.buffers[..=at].iter_mut().for_each(Buffer::reset);
        self.buffers[at + 1].set(changed);
        // The last layer that reads something that differs.
        let mut last = prepared.last_reader[at + 1];
        let end = prepared.program.layers.len();
        for next in at + 1..end {
            if last.is_none_or(|last| next > last) {
                return &[];
            }
            self.step(prepared, golden, next, &[]);
            if self.buffers[next + 1].form != Form::Same {
                last = last.max(prepared.last_reader[next + 1]);
            }
        }
        &self.buffers[end].list
    }
}
