//! `DualTree`: the transportation problem for one supply and many demands, by the dual simplex method on spanning
//! trees.
//!
//! Which trees are dual feasible does not depend on the demand. So the best tree for one demand is where the search for
//! the next one starts, and demands that differ little need few pivots or none. A tree to start from comes from
//! `transport`, and so does the answer when a search takes too long: the dual method could run in circles among trees
//! of equal cost, the primal method there cannot.
//!
//! Contract: costs, masses and potentials are integers as `grid` describes them; nothing has a tolerance. It does not
//! turn histograms into integers.
// Only where it is inlined does a loop get the vector units that its caller is compiled for.
#![allow(clippy::inline_always)]

use super::grid::{self, LANES, MAX_POINTS, PerPoint};
use super::transport::Transport;
use crate::num::cast;

/// One bit per source, or per sink.
type Set = u64;

/// The cost behind the last sink: beyond any sum of costs, and far from overflow.
const FAR: i64 = 1 << 60;

/// Partial sums of what sinks take from a source: an addition waits for the one before to the same place.
const PARTS: usize = 4;

/// A supply, the costs from it, and the last optimal tree. Reused from supply to supply.
///
/// The tree is rooted at source 0. Every sink hangs below a source, every source but the root below a sink; sinks with
/// nothing below are leaves, and most are.
#[derive(Debug, Clone)]
pub(super) struct DualTree {
    sources: usize,
    sinks: usize,
    /// Both, to whole groups of [`LANES`].
    padded_sinks: usize,
    padded_sources: usize,
    /// `[source][sink]`; [`FAR`] behind the sinks.
    costs: Vec<PerPoint>,
    supply: PerPoint,
    /// `source_potential + sink_potential <= cost`, with equality on the arcs of the tree; 0 at the root.
    source_potential: PerPoint,
    sink_potential: PerPoint,
    /// `sum supply * source_potential`.
    supply_work: i128,
    /// The sink above a source; the root's is not used.
    sink_above: [usize; MAX_POINTS],
    /// The source above a sink.
    source_above: [usize; MAX_POINTS],
    /// Sinks right below a source.
    sinks_below: [Set; MAX_POINTS],
    /// Sources right below a sink.
    sources_below: [Set; MAX_POINTS],
    /// Sources in an order that has parents before children, unless `stale`.
    order: [usize; MAX_POINTS],
    stale: bool,
    /// Supply minus demand in the subtree of a source: the flow to the sink above, feasible when at least 0.
    source_excess: PerPoint,
    /// Supply minus demand in the subtree of a sink: the flow from the source above, negated, feasible when at most 0.
    sink_excess: PerPoint,
    /// Whether there is a tree yet.
    planted: bool,
    /// What the sinks right below each source take, in parts; working memory.
    taken: [PerPoint; PARTS],
}

impl Default for DualTree {
    fn default() -> Self {
        Self {
            sources: 0,
            sinks: 0,
            padded_sinks: 0,
            padded_sources: 0,
            costs: Vec::new(),
            supply: [0; MAX_POINTS],
            source_potential: [0; MAX_POINTS],
            sink_potential: [0; MAX_POINTS],
            supply_work: 0,
            sink_above: [0; MAX_POINTS],
            source_above: [0; MAX_POINTS],
            sinks_below: [0; MAX_POINTS],
            sources_below: [0; MAX_POINTS],
            order: [0; MAX_POINTS],
            stale: true,
            source_excess: [0; MAX_POINTS],
            sink_excess: [0; MAX_POINTS],
            planted: false,
            taken: [[0; MAX_POINTS]; PARTS],
        }
    }
}

/// A node of the tree.
#[derive(Debug, Clone, Copy)]
enum Node {
    Source(usize),
    Sink(usize),
}

/// An arc that enters the tree, and its reduced cost.
struct Entering {
    source: usize,
    sink: usize,
    reduced: i64,
}

impl DualTree {
    /// Takes another supply on `sinks` points, each with the costs from it: integer masses above 0 that sum up to
    /// [`grid::TOTAL_MASS`].
    pub(super) fn set_supply<'c>(&mut self, sinks: usize, supply: impl Iterator<Item = (i64, &'c [i64])>) {
        self.costs.clear();
        self.supply = [0; MAX_POINTS];
        for (source, (mass, costs)) in supply.enumerate() {
            let mut row = [FAR; MAX_POINTS];
            row[..sinks].copy_from_slice(costs);
            self.costs.push(row);
            self.supply[source] = mass;
        }
        self.sources = self.costs.len();
        self.sinks = sinks;
        self.padded_sinks = sinks.next_multiple_of(LANES);
        self.padded_sources = self.sources.next_multiple_of(LANES);
        self.planted = false;
    }

    /// The least `sum flow * cost` for a demand from [`grid::to_grid`], and how many pivots finding it took.
    #[inline(always)]
    pub(super) fn solve(&mut self, demand: &PerPoint, transport: &mut Transport) -> (i128, u32) {
        // A tree from scratch takes about as many pivots as there are nodes.
        self.solve_within(cast::id(self.sources + self.sinks), demand, transport)
    }

    /// [`DualTree::solve`], by the primal method after `enough` pivots of the dual.
    #[inline(always)]
    fn solve_within(&mut self, enough: u32, demand: &PerPoint, transport: &mut Transport) -> (i128, u32) {
        if self.sources == 1 {
            return (grid::work(&demand[..self.padded_sinks], &self.costs[0]), 0);
        }
        let mut pivots = 0;
        if !self.planted {
            pivots += self.plant(demand, transport);
        }
        self.flow(demand);
        let mut moved = 0;
        while let Some(leaving) = self.most_infeasible() {
            if moved == enough {
                pivots += self.plant(demand, transport);
                self.flow(demand);
                debug_assert!(self.most_infeasible().is_none(), "a tree from the primal method is feasible");
                break;
            }
            self.pivot(leaving);
            moved += 1;
        }
        if moved > 0 {
            self.supply_work = grid::work(&self.supply[..self.padded_sources], &self.source_potential);
        }
        let least = self.supply_work + grid::work(&demand[..self.padded_sinks], &self.sink_potential);
        #[cfg(debug_assertions)]
        self.certify(demand, least);
        (least, pivots + moved)
    }

    /// Takes the optimal tree for `demand` from the primal method; returns its pivots.
    #[inline(never)]
    fn plant(&mut self, demand: &PerPoint, transport: &mut Transport) -> u32 {
        let mut served = [0; MAX_POINTS];
        let mut count = 0;
        transport.clear();
        for mass in &self.supply[..self.sources] {
            transport.add_source(cast::f64_from_i64(*mass));
        }
        for (sink, mass) in demand[..self.sinks].iter().enumerate().filter(|(_, mass)| **mass > 0) {
            transport.add_sink(cast::f64_from_i64(*mass));
            served[count] = sink;
            count += 1;
        }
        let pivots = transport.solve(|source, sink| cast::f64_from_i64(self.costs[source][served[sink]]));
        let (mut of_source, mut of_sink) = ([0; MAX_POINTS], [0; MAX_POINTS]);
        for (source, sink) in transport.arcs() {
            of_source[source] |= 1 << served[sink];
            of_sink[served[sink]] |= 1 << source;
        }
        self.sinks_below = [0; MAX_POINTS];
        self.sources_below = [0; MAX_POINTS];
        self.source_potential = [0; MAX_POINTS];
        self.sink_potential = [0; MAX_POINTS];
        self.order[0] = 0;
        let (mut known, mut reached, mut sinks_reached) = (1, 1_u64, 0);
        let mut next = 0;
        while next < known {
            let source = self.order[next];
            next += 1;
            self.sinks_below[source] = of_source[source] & !sinks_reached;
            sinks_reached |= of_source[source];
            for sink in elements(self.sinks_below[source]) {
                self.source_above[sink] = source;
                self.sink_potential[sink] = self.costs[source][sink] - self.source_potential[source];
                self.sources_below[sink] = of_sink[sink] & !reached;
                reached |= of_sink[sink];
                for below in elements(self.sources_below[sink]) {
                    self.sink_above[below] = sink;
                    self.source_potential[below] = self.costs[below][sink] - self.sink_potential[sink];
                    self.order[known] = below;
                    known += 1;
                }
            }
        }
        debug_assert_eq!(known, self.sources, "the tree spans all sources");
        // Sinks without demand took no part; they hang below their cheapest source.
        for sink in (0..self.sinks).filter(|sink| demand[*sink] == 0) {
            let price = |source: &usize| self.costs[*source][sink] - self.source_potential[*source];
            let cheapest = (0..self.sources).min_by_key(price);
            let cheapest = cheapest.expect("a supply has a source");
            self.source_above[sink] = cheapest;
            self.sinks_below[cheapest] |= 1 << sink;
            self.sink_potential[sink] = price(&cheapest);
        }
        self.supply_work = grid::work(&self.supply[..self.padded_sources], &self.source_potential);
        (self.planted, self.stale) = (true, false);
        pivots
    }

    /// Computes what flows on the tree.
    #[inline(always)]
    fn flow(&mut self, demand: &PerPoint) {
        if self.stale {
            self.sort();
        }
        for part in &mut self.taken {
            part[..self.padded_sources].fill(0);
        }
        let (masses, _) = demand[..self.padded_sinks].as_chunks::<PARTS>();
        for (masses, sources) in masses.iter().zip(self.source_above.as_chunks::<PARTS>().0) {
            for (part, (mass, source)) in masses.iter().zip(sources).enumerate() {
                self.taken[part][*source] += mass;
            }
        }
        for source in 0..self.padded_sources {
            let taken = self.taken.iter().map(|part| part[source]).sum::<i64>();
            self.source_excess[source] = self.supply[source] - taken;
        }
        for (excess, mass) in self.sink_excess.iter_mut().zip(&demand[..self.padded_sinks]) {
            *excess = -mass;
        }
        for source in self.order[1..self.sources].iter().rev() {
            let excess = self.source_excess[*source];
            let sink = self.sink_above[*source];
            self.sink_excess[sink] += excess;
            self.source_excess[self.source_above[sink]] += excess;
        }
    }

    /// Sorts sources so that parents come before children.
    #[inline(always)]
    fn sort(&mut self) {
        let (mut next, mut known) = (0, 1);
        self.order[0] = 0;
        let shared = self.shared();
        while next < known {
            for sink in elements(self.sinks_below[self.order[next]] & shared) {
                for source in elements(self.sources_below[sink]) {
                    self.order[known] = source;
                    known += 1;
                }
            }
            next += 1;
        }
        self.stale = false;
    }

    /// Sinks that are no leaves.
    #[inline(always)]
    fn shared(&self) -> Set {
        (1..self.sources).fold(0, |set, source| set | 1 << self.sink_above[source])
    }

    /// The node whose arc upwards has the most negative flow, if one is negative.
    #[inline(always)]
    fn most_infeasible(&self) -> Option<Node> {
        let (sources, sinks) = (&self.source_excess[..self.padded_sources], &self.sink_excess[..self.padded_sinks]);
        let least = sources.iter().fold(0, |least, excess| (*excess).min(least));
        let most = sinks.iter().fold(0, |most, excess| (*excess).max(most));
        if least == 0 && most == 0 {
            return None;
        }
        Some(if -least >= most {
            Node::Source(grid::position(sources, least))
        } else {
            Node::Sink(grid::position(sinks, most))
        })
    }

    /// Replaces the arc above `leaving`, whose flow is negative, by the cheapest that lets mass flow the other way.
    #[inline(always)]
    fn pivot(&mut self, leaving: Node) {
        let (top_source, top_sink) = match leaving {
            Node::Source(source) => (1 << source, 0),
            Node::Sink(sink) => (0, 1 << sink),
        };
        let (sources, sinks) = self.subtree(top_source, top_sink);
        let all_sources = Set::MAX >> (MAX_POINTS - self.sources);
        let all_sinks = Set::MAX >> (MAX_POINTS - self.sinks);
        match leaving {
            Node::Source(top) => {
                // The subtree has too little.
                let excess = self.source_excess[top];
                let entering = self.price(all_sources & !sources, sinks);
                self.shift(sources, sinks, -entering.reduced);
                let above = self.sink_above[top];
                self.sources_below[above] &= !(1 << top);
                self.add_upwards_from_sink(above, -excess);
                self.add_upwards_from_source(entering.source, excess);
                self.hang_sink(entering.sink, entering.source, top, excess);
            }
            Node::Sink(top) => {
                // The subtree has too much.
                let excess = self.sink_excess[top];
                let entering = self.price(sources, all_sinks & !sinks);
                self.shift(sources, sinks, entering.reduced);
                let above = self.source_above[top];
                self.sinks_below[above] &= !(1 << top);
                self.add_upwards_from_source(above, -excess);
                self.add_upwards_from_sink(entering.sink, excess);
                self.hang_source(entering.source, entering.sink, top, excess);
            }
        }
        self.stale = true;
    }

    /// Sources and sinks below and including one node, which is given as a set.
    #[inline(always)]
    fn subtree(&self, top_source: Set, top_sink: Set) -> (Set, Set) {
        let (mut sources, mut sinks) = (0, top_sink);
        let mut fresh = top_source;
        for sink in elements(top_sink) {
            fresh |= self.sources_below[sink];
        }
        while fresh != 0 {
            let source = first(fresh);
            fresh &= fresh - 1;
            sources |= 1 << source;
            let below = self.sinks_below[source];
            sinks |= below;
            for sink in elements(below) {
                fresh |= self.sources_below[sink];
            }
        }
        (sources, sinks)
    }

    /// The arc of least reduced cost from `sources` to `sinks`.
    #[inline(always)]
    fn price(&self, sources: Set, sinks: Set) -> Entering {
        let mut rows = [0; MAX_POINTS];
        let mut count = 0;
        for source in elements(sources) {
            rows[count] = source;
            count += 1;
        }
        let rows = &rows[..count];
        let mut reduced = [FAR; MAX_POINTS];
        for start in (0..self.padded_sinks).step_by(LANES) {
            let wanted = sinks >> start & 0xFF;
            if wanted == 0 {
                continue;
            }
            let mut cheapest = [FAR; LANES];
            for source in rows {
                let potential = self.source_potential[*source];
                for (cheapest, cost) in cheapest.iter_mut().zip(&self.costs[*source][start..start + LANES]) {
                    *cheapest = (cost - potential).min(*cheapest);
                }
            }
            let potentials = &self.sink_potential[start..start + LANES];
            for (lane, reduced) in reduced[start..start + LANES].iter_mut().enumerate() {
                *reduced = if wanted >> lane & 1 != 0 { cheapest[lane] - potentials[lane] } else { FAR };
            }
        }
        let reduced = &reduced[..self.padded_sinks];
        let least = reduced.iter().fold(FAR, |least, reduced| (*reduced).min(least));
        let sink = grid::position(reduced, least);
        let found = |source: &&usize| {
            self.costs[**source][sink] - self.source_potential[**source] - self.sink_potential[sink] == least
        };
        let source = *rows.iter().find(found).expect("the least reduced cost is one of the row");
        Entering { source, sink, reduced: least }
    }

    /// Raises the potentials of sources and lowers those of sinks.
    #[inline(always)]
    fn shift(&mut self, sources: Set, sinks: Set, by: i64) {
        if by == 0 {
            return;
        }
        for (source, potential) in self.source_potential[..self.padded_sources].iter_mut().enumerate() {
            *potential += if sources >> source & 1 != 0 { by } else { 0 };
        }
        for (sink, potential) in self.sink_potential[..self.padded_sinks].iter_mut().enumerate() {
            *potential -= if sinks >> sink & 1 != 0 { by } else { 0 };
        }
    }

    /// Something with that excess was hung below a source.
    #[inline(always)]
    fn add_upwards_from_source(&mut self, mut source: usize, excess: i64) {
        self.source_excess[source] += excess;
        while source != 0 {
            let sink = self.sink_above[source];
            self.sink_excess[sink] += excess;
            source = self.source_above[sink];
            self.source_excess[source] += excess;
        }
    }

    /// Something with that excess was hung below a sink.
    #[inline(always)]
    fn add_upwards_from_sink(&mut self, sink: usize, excess: i64) {
        self.sink_excess[sink] += excess;
        self.add_upwards_from_source(self.source_above[sink], excess);
    }

    /// Hangs a loose subtree, whose top is a source, below source `above` by its sink `sink`: the way up to its top
    /// turns over.
    #[inline(always)]
    fn hang_sink(&mut self, mut sink: usize, mut above: usize, top: usize, excess: i64) {
        let mut now = excess;
        loop {
            let source = std::mem::replace(&mut self.source_above[sink], above);
            let before = std::mem::replace(&mut self.sink_excess[sink], now);
            self.sinks_below[source] &= !(1 << sink);
            self.sinks_below[above] |= 1 << sink;
            let next = std::mem::replace(&mut self.sink_above[source], sink);
            now = excess - std::mem::replace(&mut self.source_excess[source], excess - before);
            self.sources_below[sink] |= 1 << source;
            if source == top {
                return;
            }
            self.sources_below[next] &= !(1 << source);
            (sink, above) = (next, source);
        }
    }

    /// Hangs a loose subtree, whose top is a sink, below sink `above` by its source `source`.
    #[inline(always)]
    fn hang_source(&mut self, mut source: usize, mut above: usize, top: usize, excess: i64) {
        let mut now = excess;
        loop {
            let sink = std::mem::replace(&mut self.sink_above[source], above);
            let before = std::mem::replace(&mut self.source_excess[source], now);
            self.sources_below[sink] &= !(1 << source);
            self.sources_below[above] |= 1 << source;
            let next = std::mem::replace(&mut self.source_above[sink], source);
            now = excess - std::mem::replace(&mut self.sink_excess[sink], excess - before);
            self.sinks_below[source] |= 1 << sink;
            if sink == top {
                return;
            }
            self.sinks_below[next] &= !(1 << sink);
            (source, above) = (next, sink);
        }
    }

    /// Proof of optimality: a spanning tree with a feasible flow, potentials tight on it and feasible everywhere, and
    /// equal values of both.
    #[cfg(debug_assertions)]
    fn certify(&self, demand: &PerPoint, least: i128) {
        let (mut left, mut wanted) = (self.supply, *demand);
        let mut spent = 0;
        let mut ship = |source: usize, sink: usize, mass: i64| {
            assert!(mass >= 0, "no flow is negative");
            let cost = self.costs[source][sink];
            assert_eq!(self.source_potential[source] + self.sink_potential[sink], cost, "arcs of the tree are tight");
            left[source] -= mass;
            wanted[sink] -= mass;
            spent += i128::from(mass) * i128::from(cost);
        };
        for source in 1..self.sources {
            ship(source, self.sink_above[source], self.source_excess[source]);
            assert!(self.sources_below[self.sink_above[source]] >> source & 1 == 1, "above and below agree");
        }
        for sink in 0..self.sinks {
            ship(self.source_above[sink], sink, -self.sink_excess[sink]);
            assert!(self.sinks_below[self.source_above[sink]] >> sink & 1 == 1, "above and below agree");
        }
        assert!(left.iter().chain(&wanted).all(|mass| *mass == 0), "all mass is sent and received");
        assert_eq!(spent, least, "what the flow costs is what the potentials promise");
        let (sources, sinks) = self.subtree(1, 0);
        assert_eq!(cast::index(sources.count_ones() + sinks.count_ones()), self.sources + self.sinks, "the tree spans");
        for source in 0..self.sources {
            for sink in 0..self.sinks {
                let potentials = self.source_potential[source] + self.sink_potential[sink];
                assert!(potentials <= self.costs[source][sink], "no arc improves the flow");
            }
        }
    }
}

/// The lowest element of a set that has one.
#[inline(always)]
fn first(set: Set) -> usize {
    cast::index(set.trailing_zeros())
}

/// The elements of a set, in ascending order.
#[inline(always)]
fn elements(mut set: Set) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let element = first(set);
            set &= set - 1;
            element
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::geometry;

    /// A histogram on the module's cells: `mass` of 7 times the cell plus `turn`, modulo 48.
    fn histogram(turn: usize, mass: impl Fn(usize) -> f64) -> PerPoint {
        let masses: Vec<f64> = (0..geometry::CELLS).map(|cell| mass((cell * 7 + turn) % geometry::CELLS)).collect();
        let mut masses_on_grid = [0; MAX_POINTS];
        assert!(grid::to_grid(&masses, &mut masses_on_grid));
        masses_on_grid
    }

    #[test]
    fn a_search_given_up_ends_alike() {
        let distances = geometry::distances();
        let costs: Vec<i64> =
            distances.as_flattened().iter().map(|distance| cast::floor_i64(distance * 1e12)).collect();
        let mut transport = Transport::default();
        for occupied in [2, 3, 5, 20, 48] {
            let supply = histogram(0, |place| if place < occupied { cast::f64_from_count(place + 1) } else { 0.0 });
            let rows = || supply.iter().copied().zip(costs.chunks_exact(geometry::CELLS)).filter(|(mass, _)| *mass > 0);
            let (mut patient, mut hasty) = (DualTree::default(), DualTree::default());
            patient.set_supply(geometry::CELLS, rows());
            hasty.set_supply(geometry::CELLS, rows());
            let mut searched = 0;
            for turn in 0..48 {
                let demand = histogram(turn, |place| cast::f64_from_count(place.saturating_sub(turn / 4)));
                let (least, pivots) = patient.solve(&demand, &mut transport);
                searched += pivots;
                // With no patience at all, each search is given up at once.
                for enough in 0..3 {
                    assert_eq!(hasty.solve_within(enough, &demand, &mut transport).0, least);
                }
            }
            assert!(searched > 0, "{occupied} occupied cells: every tree stayed optimal");
        }
    }
}
