//! `FlipPlan`: many single changes prepared to be evaluated one by one in every event, and the sweep that does it.
//!
//! Changes of registers that see the same input stand in one row, one change per lane, and are evaluated together. Rows
//! whose input is zero in an event are skipped; a change is carried on only where its layer's tail does not absorb it.

use super::WeightChange;
use super::kernels::{self, At, Changed, Hit, Seen};
use super::prepared::Prepared;
use super::scratch::{Flow, Found, RowSpace, Space};
use super::trace::Golden;
use crate::hw::datapath::layer::{Core, Layer, Lists};
use crate::hw::datapath::width::ByWidth;
use crate::hw::datapath::word::{Block, LANES, Word};
use crate::net::TensorKind;
use crate::num::cast;

/// Single changes of one network, each a question of its own, grouped by what they have in common.
#[derive(Debug, Clone)]
pub struct FlipPlan {
    pub(super) rows: ByWidth<Plan<i32>, Plan<i64>>,
    pub(super) len: usize,
}

impl FlipPlan {
    /// Number of changes asked for.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The rows of a plan by layer, in words of `W`.
#[derive(Debug, Clone)]
pub(super) struct Plan<W> {
    layers: Vec<LayerPlan<W>>,
}

#[derive(Debug, Clone)]
struct LayerPlan<W> {
    rows: Vec<Row>,
    /// What each change adds to its sum per unit of input: `blocks` blocks per slot, slot by slot.
    deltas: Vec<Block<W>>,
    /// Positions in the list of changes, by lane over all slots.
    sites: Lists<u32>,
}

/// Registers that see the same input values.
#[derive(Debug, Clone)]
struct Row {
    source: Source,
    /// The slots it takes: each holds at most one change of each of its registers.
    first_slot: usize,
    slots: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// Row of the kernel; register of the kernel where channels are treated by themselves.
    Kernel(usize),
    /// The biases, which see 1 at every position.
    Bias,
}

/// One change of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<W> {
    source: Source,
    lane: usize,
    delta: W,
    site: u32,
}

impl<W: Word> Plan<W> {
    /// Groups `changes`.
    pub(super) fn new(prepared: &Prepared<W>, changes: &[WeightChange]) -> Self {
        let mut entries: Vec<Vec<Entry<W>>> = vec![Vec::new(); prepared.program.layers.len()];
        for (site, change) in changes.iter().enumerate() {
            let at = prepared.program.layer_of(change.node);
            let layer = &prepared.program.layers[at];
            let (row, lane) = (change.index / layer.channels, change.index % layer.channels);
            let source = match change.tensor {
                // Channels that are treated by themselves see inputs of their own.
                TensorKind::Kernel if matches!(layer.core, Core::Channelwise { .. }) => Source::Kernel(change.index),
                TensorKind::Kernel => Source::Kernel(row),
                TensorKind::Bias => Source::Bias,
            };
            let delta = layer.aligned(change.tensor, lane, change.delta);
            entries[at].push(Entry { source, lane, delta, site: cast::id(site) });
        }
        let layers = prepared.program.layers.iter().zip(entries).map(|(layer, entries)| LayerPlan::new(layer, entries));
        Self { layers: layers.collect() }
    }

    /// Calls `visit(position in the list of changes, indices that differ, values there)` for every change that changes
    /// the output.
    pub(super) fn sweep(
        &self,
        prepared: &Prepared<W>,
        golden: &Golden<W>,
        space: &mut Space<W>,
        found: &mut Found,
        visit: &mut impl FnMut(usize, &[u32], &[i64]),
    ) {
        let Space { flow, row: row_space, .. } = space;
        for (at, plan) in self.layers.iter().enumerate() {
            let layer = &prepared.program.layers[at];
            let mut event = Sweep { prepared, golden, at, flow: &mut *flow, found: &mut *found, visit: &mut *visit };
            for row in &plan.rows {
                see(layer, &golden.buffers[layer.sources[0]], row.source, &mut row_space.seen);
                match row_space.seen.len() {
                    0 => {}
                    1 => event.single(plan, row, row_space),
                    _ => (0..row.slots).for_each(|slot| event.grouped(plan, row, slot, row_space)),
                }
            }
        }
    }
}

impl<W: Word> LayerPlan<W> {
    fn new(layer: &Layer<W>, mut entries: Vec<Entry<W>>) -> Self {
        entries.sort_unstable();
        let mut plan = Self { rows: Vec::new(), deltas: Vec::new(), sites: Lists::new(0, &[]) };
        let mut sites = Vec::with_capacity(entries.len());
        for row in entries.chunk_by(|a, b| a.source == b.source) {
            let first_slot = plan.deltas.len() / layer.blocks;
            let mut slots = 0;
            for register in row.chunk_by(|a, b| a.lane == b.lane) {
                for (slot, same) in register.chunk_by(|a, b| a.delta == b.delta).enumerate() {
                    let lane = same[0].lane;
                    slots = slots.max(slot + 1);
                    plan.deltas.resize((first_slot + slots) * layer.blocks, Block::default());
                    plan.deltas[(first_slot + slot) * layer.blocks + lane / LANES][lane % LANES] = same[0].delta;
                    let lane = (first_slot + slot) * layer.lanes() + lane;
                    sites.extend(same.iter().map(|entry| (lane, entry.site)));
                }
            }
            plan.rows.push(Row { source: row[0].source, first_slot, slots });
        }
        plan.sites = Lists::new(plan.deltas.len() * LANES, &sites);
        plan
    }

    fn deltas(&self, layer: &Layer<W>, first_slot: usize, slots: usize) -> &[Block<W>] {
        &self.deltas[first_slot * layer.blocks..(first_slot + slots) * layer.blocks]
    }
}

/// Where a row of registers sees something other than zero.
fn see<W: Word>(layer: &Layer<W>, input: &[W], source: Source, seen: &mut Vec<Seen<W>>) {
    seen.clear();
    match source {
        Source::Bias => {
            seen.extend((0..cast::id(layer.positions)).map(|position| Seen { position, x: W::wrap(1) }));
        }
        Source::Kernel(row) => {
            let (tap, channel) = match layer.core {
                Core::Channelwise { multiplier } => (row / layer.channels, row % layer.channels / multiplier),
                _ => (row / layer.in_channels, row % layer.in_channels),
            };
            for at in layer.uses.get(tap) {
                let x = input[cast::index(at.pixel) * layer.in_channels + channel];
                if x != W::default() {
                    seen.push(Seen { position: at.position, x });
                }
            }
        }
    }
}

/// The sweep of one layer in one event.
struct Sweep<'a, W, V> {
    prepared: &'a Prepared<W>,
    golden: &'a Golden<W>,
    at: usize,
    flow: &'a mut Flow<W>,
    found: &'a mut Found,
    visit: &'a mut V,
}

impl<W: Word, V: FnMut(usize, &[u32], &[i64])> Sweep<'_, W, V> {
    /// A row that sees one position: every hit is a flip.
    fn single(&mut self, plan: &LayerPlan<W>, row: &Row, space: &mut RowSpace<W>) {
        let around = At::new(&self.prepared.program, self.golden, self.at);
        let layer = around.layer;
        space.hits.clear();
        kernels::row_hits(around, plan.deltas(layer, row.first_slot, row.slots), &space.seen, &mut space.hits);
        let first_lane = row.first_slot * layer.lanes();
        for Hit { lane, changed } in &space.hits {
            self.finish(plan.sites.get(first_lane + cast::index(*lane)), std::slice::from_ref(changed));
        }
    }

    /// One slot of a row that sees several positions: the hits of a flip are brought together first.
    fn grouped(&mut self, plan: &LayerPlan<W>, row: &Row, slot: usize, space: &mut RowSpace<W>) {
        let around = At::new(&self.prepared.program, self.golden, self.at);
        let layer = around.layer;
        let RowSpace { seen, hits, sorted, ends } = space;
        hits.clear();
        kernels::row_hits(around, plan.deltas(layer, row.first_slot + slot, 1), seen, hits);
        let Some(first) = hits.first() else { return };
        // Counting sort by lane; it keeps the order of positions.
        ends.clear();
        ends.resize(layer.lanes(), 0);
        for hit in &*hits {
            ends[cast::index(hit.lane)] += 1;
        }
        let mut start = 0;
        for end in &mut *ends {
            start += std::mem::replace(end, start);
        }
        sorted.clear();
        sorted.resize(hits.len(), first.changed);
        for hit in &*hits {
            let end = &mut ends[cast::index(hit.lane)];
            sorted[*end] = hit.changed;
            *end += 1;
        }
        let first_lane = (row.first_slot + slot) * layer.lanes();
        let mut start = 0;
        for (lane, end) in ends.iter().enumerate() {
            if start != *end {
                self.finish(plan.sites.get(first_lane + lane), &sorted[start..*end]);
                start = *end;
            }
        }
    }

    /// Carries what a flip changes behind its layer to the output, and tells every site that asked for it.
    fn finish(&mut self, sites: &[u32], changed: &[Changed<W>]) {
        let is_last = self.at + 1 == self.prepared.program.layers.len();
        if let ([only], true) = (changed, is_last) {
            for site in sites {
                (self.visit)(cast::index(*site), &[only.index], &[only.value.wide()]);
            }
            return;
        }
        let output = if is_last { changed } else { self.flow.run(self.prepared, self.golden, self.at, changed) };
        if output.is_empty() {
            return;
        }
        self.found.set(output);
        for site in sites {
            (self.visit)(cast::index(*site), &self.found.indices, &self.found.values);
        }
    }
}
