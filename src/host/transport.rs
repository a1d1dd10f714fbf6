//! `Transport`: the transportation problem, solved exactly by the primal simplex method on spanning trees.
//!
//! Contract: costs and masses are integers held in `f64`, small enough (2^45, see `grid`) that every potential, reduced
//! cost and flow is an exact `f64`. There is no tolerance anywhere: a tree is optimal when no reduced cost is negative.
//! Cycling cannot happen, because supplies are perturbed (see [`Transport::add_source`]) so that no flow of a basis is
//! ever zero and each pivot strictly lowers the total cost. Turning histograms into integers is `grid`'s work.

use super::grid::{LANES, MAX_POINTS};
use crate::num::cast;

/// Most nodes, sources and sinks together.
const MAX_NODES: usize = 2 * MAX_POINTS;

/// What each source has too much, so that 64 sources together have less than 1. A flow, a multiple of it below 2^46, is
/// an exact `f64`.
const PERTURBATION: f64 = 1.0 / 128.0;

/// One bit per node.
type NodeSet = u128;

/// Where an entry of the queue holds its sink: as many bits as number [`MAX_NODES`].
const SINK_BITS: u64 = 127;

/// A problem under construction, then its solution. Reused from problem to problem: only the first ones allocate.
///
/// Nodes are numbered sources first, then sinks. Every node but the root has an arc of the tree to its parent.
#[derive(Debug, Clone, Default)]
pub(super) struct Transport {
    sources: usize,
    sinks: usize,
    /// What each node has left to send or to receive while the first tree is built; its perturbed mass before.
    mass: Vec<f64>,
    /// `[source, sink]`, each row padded with infinity to `stride`.
    costs: Vec<f64>,
    stride: usize,
    parent: Vec<usize>,
    /// Flow on the arc to the parent; always positive.
    flow: Vec<f64>,
    /// The node and everything below it.
    subtree: Vec<NodeSet>,
    /// `potential[sink] - potential[source] = cost` on every arc of the tree. Padded to whole groups behind the sinks.
    potential: Vec<f64>,
    /// Nodes in the order in which the first tree exhausts them: children before parents.
    exhausted: Vec<usize>,
    /// Sources with mass left while the first tree is built.
    open: Vec<usize>,
    /// Sinks by regret, packed as in [`Transport::queue_sinks`].
    queue: Vec<u64>,
    /// Cost of each sink's cheapest source, and of its second cheapest.
    least: Vec<f64>,
    second: Vec<f64>,
}

impl Transport {
    /// Forgets the problem before.
    pub(super) fn clear(&mut self) {
        self.sources = 0;
        self.sinks = 0;
        self.mass.clear();
    }

    /// Adds a source of integer `mass`; all sources come before all sinks.
    ///
    /// Each source is given a little more, and the last sink takes it all (Orden's perturbation). A basis with a zero
    /// flow would split the nodes into two parts whose supply equals their demand. Then one part would have to contain
    /// all sources or none, which leaves sinks alone in the other or in itself; but sinks have mass.
    pub(super) fn add_source(&mut self, mass: f64) {
        debug_assert!(self.sinks == 0 && mass > 0.0, "sources come first and have mass");
        self.sources += 1;
        self.mass.push(mass + PERTURBATION);
    }

    /// Adds a sink of integer `mass`.
    pub(super) fn add_sink(&mut self, mass: f64) {
        debug_assert!(mass > 0.0, "a sink has mass");
        self.sinks += 1;
        self.mass.push(mass);
    }

    /// Finds a cheapest flow; `cost(source, sink)` with both counted from 0. Returns the number of pivots.
    ///
    /// There must be a source and a sink, and supply must equal demand (without the perturbation).
    pub(super) fn solve(&mut self, cost: impl Fn(usize, usize) -> f64) -> u32 {
        debug_assert!(self.sources > 0 && self.sinks > 0 && self.mass.len() <= MAX_NODES, "a proper problem");
        let (sources, sinks) = (self.sources, self.sinks);
        for _ in 0..sources {
            self.mass[sources + sinks - 1] += PERTURBATION;
        }
        self.stride = sinks.next_multiple_of(LANES);
        self.costs.clear();
        for source in 0..sources {
            self.costs.extend((0..sinks).map(|sink| cost(source, sink)));
            self.costs.resize((source + 1) * self.stride, f64::INFINITY);
        }
        self.plant();
        // Rows are priced in turn; the best arc of a row enters when it improves. Cheaper than looking for the best of
        // all.
        let (mut pivots, mut row, mut since) = (0, 0, 0);
        while since < sources {
            if let Some((sink, reduced)) = self.price(row) {
                self.pivot(row, sources + sink, reduced);
                pivots += 1;
                since = 0;
            } else {
                since += 1;
            }
            row = if row + 1 == sources { 0 } else { row + 1 };
        }
        #[cfg(debug_assertions)]
        self.certify();
        pivots
    }

    /// Potential of a source; with the sinks' potentials an optimal solution of the dual problem.
    pub(super) fn source_potential(&self, source: usize) -> f64 {
        self.potential[source]
    }

    /// Potential of a sink: at most each source's potential plus the cost between them.
    pub(super) fn sink_potential(&self, sink: usize) -> f64 {
        self.potential[self.sources + sink]
    }

    /// The arcs of the optimal tree as (source, sink), both counted from 0.
    pub(super) fn arcs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.parent.iter().enumerate().filter(|(node, parent)| node != *parent).map(|(node, parent)| {
            if node < self.sources { (node, parent - self.sources) } else { (*parent, node - self.sources) }
        })
    }

    /// The first tree: sinks with most regret are served first, each from the cheapest sources that still have mass.
    ///
    /// Each arc exhausts one of its ends, which hangs as a finished subtree below the other.
    fn plant(&mut self) {
        let (sources, sinks) = (self.sources, self.sinks);
        let nodes = sources + sinks;
        self.parent.clear();
        self.parent.resize(nodes, 0);
        self.flow.clear();
        self.flow.resize(nodes, 0.0);
        self.subtree.clear();
        self.subtree.extend((0..nodes).map(|node| 1 << node));
        self.potential.clear();
        self.potential.resize(sources + self.stride, 0.0);
        self.exhausted.clear();

        self.queue_sinks();
        self.open.clear();
        self.open.extend(0..sources);
        let mut root = sources;
        for position in (0..sinks).rev() {
            let sink = cast::index_of_word(self.queue[position] & SINK_BITS);
            let node = sources + sink;
            loop {
                let (mut place, mut least) = (0, f64::INFINITY);
                for (at, source) in self.open.iter().enumerate() {
                    let cost = self.costs[source * self.stride + sink];
                    (place, least) = if cost < least { (at, cost) } else { (place, least) };
                }
                let source = self.open[place];
                let moved = self.mass[source].min(self.mass[node]);
                self.mass[source] -= moved;
                self.mass[node] -= moved;
                let (child, parent) = if self.mass[source] == 0.0 { (source, node) } else { (node, source) };
                self.parent[child] = parent;
                self.flow[child] = moved;
                self.exhausted.push(child);
                root = parent;
                if child == source {
                    self.open.swap_remove(place);
                }
                if self.mass[node] == 0.0 {
                    break;
                }
            }
        }
        debug_assert_eq!(self.exhausted.len(), nodes - 1, "only the last arc exhausts both of its ends");
        self.parent[root] = root;
        for child in &self.exhausted {
            let below = self.subtree[*child];
            self.subtree[self.parent[*child]] |= below;
        }
        for index in (0..self.exhausted.len()).rev() {
            let child = self.exhausted[index];
            let parent = self.parent[child];
            self.potential[child] = self.potential[parent]
                + if child < sources { -self.cost(child, parent) } else { self.cost(parent, child) };
        }
    }

    /// Orders the sinks by regret: the difference between their cheapest and their second cheapest source.
    fn queue_sinks(&mut self) {
        self.least.clear();
        self.least.resize(self.stride, f64::INFINITY);
        self.second.clear();
        self.second.resize(self.stride, f64::INFINITY);
        for row in self.costs.chunks_exact(self.stride) {
            for ((cost, least), second) in row.iter().zip(&mut self.least).zip(&mut self.second) {
                let larger = if *cost < *least { *least } else { *cost };
                *second = if larger < *second { larger } else { *second };
                *least = if *cost < *least { *cost } else { *least };
            }
        }
        // Numbers of at least 0 are ordered as their bits; the lowest bits, which matter least, hold the sink.
        let regrets = self.second.iter().zip(&self.least).map(|(second, least)| (second - least).to_bits());
        self.queue.clear();
        self.queue.extend((0..).zip(regrets).take(self.sinks).map(|(sink, bits)| (bits & !SINK_BITS) | sink));
        self.queue.sort_unstable();
    }

    fn cost(&self, source: usize, sink_node: usize) -> f64 {
        self.costs[source * self.stride + sink_node - self.sources]
    }

    /// The sink with the most negative reduced cost in `row`, if one is negative.
    #[inline]
    fn price(&self, row: usize) -> Option<(usize, f64)> {
        let (costs, _) = self.costs[row * self.stride..(row + 1) * self.stride].as_chunks::<LANES>();
        let (potentials, _) = self.potential[self.sources..].as_chunks::<LANES>();
        let mut least = [f64::INFINITY; LANES];
        for (costs, potentials) in costs.iter().zip(potentials) {
            for lane in 0..LANES {
                let reduced = costs[lane] - potentials[lane];
                least[lane] = if reduced < least[lane] { reduced } else { least[lane] };
            }
        }
        let least = least.into_iter().fold(f64::INFINITY, |a, b| if b < a { b } else { a });
        let reduced = least + self.potential[row];
        if reduced >= 0.0 {
            return None;
        }
        // Exact arithmetic: the least value is found again bit for bit.
        let found = |lane: &usize| self.costs[row * self.stride + lane] - self.potential[self.sources + lane] == least;
        let sink = (0..self.sinks).find(found).expect("the padding is infinite, so the least lies in the row");
        Some((sink, reduced))
    }

    /// Brings the arc `source -> sink` (node numbers) of reduced cost `reduced` into the tree.
    #[inline]
    fn pivot(&mut self, source: usize, sink: usize, reduced: f64) {
        let sources = self.sources;
        let sink_bit: NodeSet = 1 << sink;
        // More flow on the new arc means less on the arcs above sources on the source's way up, and above sinks on the
        // sink's; the cycle closes where the two ways meet.
        let (mut theta, mut leaving, mut source_leaves) = (f64::INFINITY, source, true);
        let mut node = source;
        while self.subtree[node] & sink_bit == 0 {
            if node < sources && self.flow[node] < theta {
                (theta, leaving) = (self.flow[node], node);
            }
            node = self.parent[node];
        }
        let meet = node;
        node = sink;
        while node != meet {
            if node >= sources && self.flow[node] < theta {
                (theta, leaving, source_leaves) = (self.flow[node], node, false);
            }
            node = self.parent[node];
        }
        node = source;
        while node != meet {
            self.flow[node] += if node < sources { -theta } else { theta };
            node = self.parent[node];
        }
        node = sink;
        while node != meet {
            self.flow[node] += if node < sources { theta } else { -theta };
            node = self.parent[node];
        }

        // What hangs below the leaving arc moves over to the other end of the new arc.
        let moved = self.subtree[leaving];
        let (inner, outer, shift) = if source_leaves { (source, sink, -reduced) } else { (sink, source, reduced) };
        node = self.parent[leaving];
        while node != meet {
            self.subtree[node] &= !moved;
            node = self.parent[node];
        }
        node = outer;
        while node != meet {
            self.subtree[node] |= moved;
            node = self.parent[node];
        }
        // Inside it, the way from the new arc up to the leaving one turns over.
        let (mut child, mut parent, mut flow, mut below) = (inner, outer, theta, 0);
        loop {
            let above = std::mem::replace(&mut self.parent[child], parent);
            let carried = std::mem::replace(&mut self.flow[child], flow);
            let old_below = std::mem::replace(&mut self.subtree[child], moved & !below);
            if child == leaving {
                break;
            }
            (child, parent, flow, below) = (above, child, carried, old_below);
        }
        let mut rest = moved;
        while rest != 0 {
            let node = rest.trailing_zeros();
            self.potential[cast::index(node)] += shift;
            rest &= rest - 1;
        }
    }

    /// Proof of optimality: a feasible flow on a spanning tree, tight on the tree, no negative reduced cost elsewhere.
    #[cfg(debug_assertions)]
    fn certify(&self) {
        let nodes = self.sources + self.sinks;
        let roots = (0..nodes).filter(|node| self.parent[*node] == *node).count();
        assert_eq!(roots, 1, "the tree has one root");
        for node in (0..nodes).filter(|node| self.parent[*node] != *node) {
            let parent = self.parent[node];
            let (source, sink) = if node < self.sources { (node, parent) } else { (parent, node) };
            assert_eq!(self.potential[sink] - self.potential[source], self.cost(source, sink), "tree arcs are tight");
            assert!(self.flow[node] > 0.0, "no flow is zero, so no pivot stands still");
        }
        for source in 0..self.sources {
            for sink in self.sources..nodes {
                let reduced = self.cost(source, sink) + self.potential[source] - self.potential[sink];
                assert!(reduced >= 0.0, "no arc improves the flow");
            }
        }
    }
}
