//! `DualTree`: the transportation problem for one supply and many demands, by the dual simplex method on spanning trees.
//!
//! Which trees are dual feasible does not depend on the demand. So the best tree for one demand is where the search for
//! the next one starts, and demands that differ little need few pivots or none. A tree to start from comes from
//! `transport`, and so does the answer when a search takes too long: the dual method could run in circles among trees of
//! equal cost, the primal method there cannot.
//!
//! Contract: costs, masses and potentials are integers in `f64` as `grid` describes them, every operation is exact and
//! nothing has a tolerance. It does not turn histograms into integers.

use super::grid::{self, LANES, MAX_POINTS, PerPoint};
use super::transport::Transport;
use crate::num::cast;

/// One bit per source, or per sink.
type Set = u64;

/// A supply, the costs from it, and the last optimal tree. Reused from supply to supply.
///
/// The tree is rooted at source 0. Every sink hangs below a source, every source but the root below a sink; sinks with
/// nothing below are leaves, and most are.
#[derive(Debug, Clone)]
pub(super) struct DualTree {
    sources: usize,
    sinks: usize,
    /// Groups of [`LANES`] that hold all sinks, and all sources.
    sink_groups: usize,
    source_groups: usize,
    /// `[source][sink]`; infinite behind the sinks.
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
}

impl Default for DualTree {
    fn default() -> Self {
        Self {
            sources: 0,
            sinks: 0,
            sink_groups: 0,
            source_groups: 0,
            costs: Vec::new(),
            supply: [0.0; MAX_POINTS],
            source_potential: [0.0; MAX_POINTS],
            sink_potential: [0.0; MAX_POINTS],
            supply_work: 0,
            sink_above: [0; MAX_POINTS],
            source_above: [0; MAX_POINTS],
            sinks_below: [0; MAX_POINTS],
            sources_below: [0; MAX_POINTS],
            order: [0; MAX_POINTS],
            stale: true,
            source_excess: [0.0; MAX_POINTS],
            sink_excess: [0.0; MAX_POINTS],
            planted: false,
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
    reduced: f64,
}

impl DualTree {
    /// Takes another supply on `sinks` points, each with the costs from it: integer masses above 0 that sum up to
    /// [`grid::TOTAL_MASS`].
    pub(super) fn set_supply<'c>(&mut self, sinks: usize, supply: impl Iterator<Item = (f64, &'c [f64])>) {
        self.costs.clear();
        self.supply = [0.0; MAX_POINTS];
        for (source, (mass, costs)) in supply.enumerate() {
            let mut row = [f64::INFINITY; MAX_POINTS];
            row[..sinks].copy_from_slice(costs);
            self.costs.push(row);
            self.supply[source] = mass;
        }
        self.sources = self.costs.len();
        self.sinks = sinks;
        self.sink_groups = sinks.div_ceil(LANES);
        self.source_groups = self.sources.div_ceil(LANES);
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
            return (grid::work(demand, &self.costs[0], self.sink_groups), 0);
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
            self.supply_work = grid::work(&self.supply, &self.source_potential, self.source_groups);
        }
        let least = self.supply_work + grid::work(demand, &self.sink_potential, self.sink_groups);
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
            transport.add_source(*mass);
        }
        for (sink, mass) in demand[..self.sinks].iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
            transport.add_sink(*mass);
            served[count] = sink;
            count += 1;
        }
        let pivots = transport.solve(|source, sink| self.costs[source][served[sink]]);
        let (mut of_source, mut of_sink) = ([0; MAX_POINTS], [0; MAX_POINTS]);
        for (source, sink) in transport.arcs() {
            of_source[source] |= 1 << served[sink];
            of_sink[served[sink]] |= 1 << source;
        }
        self.sinks_below = [0; MAX_POINTS];
        self.sources_below = [0; MAX_POINTS];
        self.source_potential = [0.0; MAX_POINTS];
        self.sink_potential = [0.0; MAX_POINTS];
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
        for sink in (0..self.sinks).filter(|sink| demand[*sink] == 0.0) {
            let price = |source: &usize| self.costs[*source][sink] - self.source_potential[*source];
            let cheapest = (0..self.sources).min_by(|a, b| price(a).total_cmp(&price(b)));
            let cheapest = cheapest.expect("a supply has a source");
            self.source_above[sink] = cheapest;
            self.sinks_below[cheapest] |= 1 << sink;
            self.sink_potential[sink] = price(&cheapest);
        }
        self.supply_work = grid::work(&self.supply, &self.source_potential, self.source_groups);
        (self.planted, self.stale) = (true, false);
        pivots
    }

    /// Computes what flows on the tree.
    #[inline(always)]
    fn flow(&mut self, demand: &PerPoint) {
        if self.stale {
            self.sort();
        }
        // Four partial sums per source, because each addition waits for the one before.
        let mut taken = [[0.0; MAX_POINTS]; 4];
        for (sinks, owners) in
            demand.as_chunks::<4>().0.iter().zip(self.source_above.as_chunks::<4>().0).take(self.sink_groups * 2)
        {
            for lane in 0..4 {
                taken[lane][owners[lane]] += sinks[lane];
            }
        }
        for source in 0..self.source_groups * LANES {
            let taken = (taken[0][source] + taken[1][source]) + (taken[2][source] + taken[3][source]);
            self.source_excess[source] = self.supply[source] - taken;
        }
        for sink in 0..self.sink_groups * LANES {
            self.sink_excess[sink] = -demand[sink];
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
        let (mut least, mut most) = ([0.0; LANES], [0.0; LANES]);
        let sources = &self.source_excess.as_chunks::<LANES>().0[..self.source_groups];
        let sinks = &self.sink_excess.as_chunks::<LANES>().0[..self.sink_groups];
        for group in sources {
            for lane in 0..LANES {
                least[lane] = if group[lane] < least[lane] { group[lane] } else { least[lane] };
            }
        }
        for group in sinks {
            for lane in 0..LANES {
                most[lane] = if group[lane] > most[lane] { group[lane] } else { most[lane] };
            }
        }
        let least = grid::fold(least, |a, b| if b < a { b } else { a });
        let most = grid::fold(most, |a, b| if b > a { b } else { a });
        if least == 0.0 && most == 0.0 {
            return None;
        }
        Some(if -least >= most { Node::Source(position(sources, least)) } else { Node::Sink(position(sinks, most)) })
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
        let mut least = [f64::INFINITY; LANES];
        let mut reduced = [[f64::INFINITY; LANES]; MAX_POINTS / LANES];
        for group in 0..self.sink_groups {
            let wanted = sinks >> (group * LANES) & 0xFF;
            if wanted == 0 {
                continue;
            }
            let mut cheapest = [f64::INFINITY; LANES];
            for source in rows {
                let costs = &self.costs[*source].as_chunks::<LANES>().0[group];
                let potential = self.source_potential[*source];
                for lane in 0..LANES {
                    let price = costs[lane] - potential;
                    cheapest[lane] = if price < cheapest[lane] { price } else { cheapest[lane] };
                }
            }
            let potentials = &self.sink_potential.as_chunks::<LANES>().0[group];
            for lane in 0..LANES {
                let value = if wanted >> lane & 1 != 0 { cheapest[lane] - potentials[lane] } else { f64::INFINITY };
                reduced[group][lane] = value;
                least[lane] = if value < least[lane] { value } else { least[lane] };
            }
        }
        let least = grid::fold(least, |a, b| if b < a { b } else { a });
        let sink = position(&reduced[..self.sink_groups], least);
        // Exact arithmetic: the least value is found again bit for bit.
        let found = |source: &&usize| {
            self.costs[**source][sink] - self.source_potential[**source] - self.sink_potential[sink] == least
        };
        let source = *rows.iter().find(found).expect("the least reduced cost is one of the row");
        Entering { source, sink, reduced: least }
    }

    /// Raises the potentials of sources and lowers those of sinks.
    #[inline(always)]
    fn shift(&mut self, sources: Set, sinks: Set, by: f64) {
        if by == 0.0 {
            return;
        }
        for source in 0..self.source_groups * LANES {
            self.source_potential[source] += if sources >> source & 1 != 0 { by } else { 0.0 };
        }
        for sink in 0..self.sink_groups * LANES {
            self.sink_potential[sink] -= if sinks >> sink & 1 != 0 { by } else { 0.0 };
        }
    }

    /// Something with that excess was hung below a source.
    #[inline(always)]
    fn add_upwards_from_source(&mut self, mut source: usize, excess: f64) {
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
    fn add_upwards_from_sink(&mut self, sink: usize, excess: f64) {
        self.sink_excess[sink] += excess;
        self.add_upwards_from_source(self.source_above[sink], excess);
    }

    /// Hangs a loose subtree, whose top is a source, below source `above` by its sink `sink`: the way up to its top turns
    /// over.
    #[inline(always)]
    fn hang_sink(&mut self, mut sink: usize, mut above: usize, top: usize, excess: f64) {
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
    fn hang_source(&mut self, mut source: usize, mut above: usize, top: usize, excess: f64) {
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
        let whole = cast::i128_from_whole;
        let (mut left, mut wanted) = (self.supply, *demand);
        let mut spent = 0;
        let mut ship = |source: usize, sink: usize, mass: f64| {
            assert!(mass >= 0.0, "no flow is negative");
            let cost = self.costs[source][sink];
            assert_eq!(self.source_potential[source] + self.sink_potential[sink], cost, "arcs of the tree are tight");
            left[source] -= mass;
            wanted[sink] -= mass;
            spent += whole(mass) * whole(cost);
        };
        for source in 1..self.sources {
            ship(source, self.sink_above[source], self.source_excess[source]);
            assert!(self.sources_below[self.sink_above[source]] >> source & 1 == 1, "above and below agree");
        }
        for sink in 0..self.sinks {
            ship(self.source_above[sink], sink, -self.sink_excess[sink]);
            assert!(self.sinks_below[self.source_above[sink]] >> sink & 1 == 1, "above and below agree");
        }
        assert!(left.iter().chain(&wanted).all(|mass| *mass == 0.0), "all mass is sent and received");
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

/// Where `value` first stands.
#[inline(always)]
fn position(groups: &[[f64; LANES]], value: f64) -> usize {
    let found = groups.as_flattened().iter().position(|other| *other == value);
    found.expect("exact arithmetic: a value is found again bit for bit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::geometry;

    /// A histogram on the module's cells: `mass` of 7 times the cell plus `turn`, modulo 48.
    fn histogram(turn: usize, mass: impl Fn(usize) -> f64) -> PerPoint {
        let masses: Vec<f64> = (0..geometry::CELLS).map(|cell| mass((cell * 7 + turn) % geometry::CELLS)).collect();
        let mut masses_on_grid = [0.0; MAX_POINTS];
        assert!(grid::to_grid(&masses, &mut masses_on_grid));
        masses_on_grid
    }

    #[test]
    fn a_search_given_up_ends_alike() {
        let distances = geometry::distances();
        let costs: Vec<f64> = distances.as_flattened().iter().map(|distance| (distance * 1e12).round()).collect();
        let mut transport = Transport::default();
        for occupied in [2, 3, 5, 20, 48] {
            let supply = histogram(0, |place| if place < occupied { cast::f64_from_count(place + 1) } else { 0.0 });
            let rows =
                || supply.iter().copied().zip(costs.chunks_exact(geometry::CELLS)).filter(|(mass, _)| *mass > 0.0);
            let (mut patient, mut hasty) = (DualTree::default(), DualTree::default());
            patient.set_supply(geometry::CELLS, rows());
            hasty.set_supply(geometry::CELLS, rows());
            let mut replanted = 0;
            for turn in 0..48 {
                let demand = histogram(turn, |place| cast::f64_from_count(place.saturating_sub(turn / 4)));
                let (least, _) = patient.solve(&demand, &mut transport);
                for enough in 0..3 {
                    let (also_least, pivots) = hasty.solve_within(enough, &demand, &mut transport);
                    assert_eq!(also_least, least);
                    replanted += u32::from(pivots > enough);
                }
            }
            assert!(replanted > 0, "{occupied} occupied cells: no search was given up");
        }
    }
}
