//! Tests of `emd`, and through it of `grid`, `transport` and `dual_tree`: debug builds certify every solution.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::host::geometry;

/// The contract, for a largest distance of 1.
const TOLERANCE: f64 = 1e-11;

/// Largest difference from an independent solver, for distances of the module's size.
const AGREEMENT: f64 = 1e-9;

fn module() -> Emd {
    Emd::new(geometry::distances().as_flattened(), geometry::CELLS).unwrap()
}

fn distance(emd: &Emd, supply: &[f64], demand: &[f64]) -> f64 {
    emd.distance(supply, demand, &mut EmdScratch::default()).unwrap()
}

/// An independent solver: augments along shortest paths (Dijkstra, with potentials) in the residual graph of the full
/// problem. Distances stay as they are, masses become multiples of 2^-52.
fn shortest_paths(distances: &[f64], supply: &[f64], demand: &[f64]) -> f64 {
    const UNITS: f64 = 4_503_599_627_370_496.0;
    let units = |masses: &[f64]| {
        let sum: f64 = masses.iter().sum();
        let whole = masses.iter().map(|mass| cast::floor_i64(mass / sum * UNITS + 0.5)).enumerate();
        whole.filter(|(_, mass)| *mass > 0).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let ((rows, mut left), (columns, mut wanted)) = (units(supply), units(demand));
    let cost = |row: usize, column: usize| distances[rows[row] * supply.len() + columns[column]];
    let nodes = rows.len() + columns.len();
    let mut flow = vec![vec![0; columns.len()]; rows.len()];
    let mut potential = vec![0.0; nodes];
    // The rounding of the sums is left over on one side.
    while left.iter().any(|mass| *mass > 0) && wanted.iter().any(|mass| *mass > 0) {
        let mut far: Vec<f64> = left.iter().map(|mass| if *mass > 0 { 0.0 } else { f64::INFINITY }).collect();
        far.resize(nodes, f64::INFINITY);
        let mut before = vec![usize::MAX; nodes];
        let mut done = vec![false; nodes];
        let end = loop {
            let open = (0..nodes).filter(|node| !done[*node]);
            let nearest = open.min_by(|a, b| far[*a].total_cmp(&far[*b])).unwrap();
            done[nearest] = true;
            if nearest < rows.len() {
                for column in 0..columns.len() {
                    let node = rows.len() + column;
                    let reduced = cost(nearest, column) + potential[nearest] - potential[node];
                    if !done[node] && far[nearest] + reduced < far[node] {
                        (far[node], before[node]) = (far[nearest] + reduced, nearest);
                    }
                }
                continue;
            }
            let column = nearest - rows.len();
            if wanted[column] > 0 {
                break nearest;
            }
            for row in (0..rows.len()).filter(|row| flow[*row][column] > 0) {
                let reduced = potential[nearest] - cost(row, column) - potential[row];
                if !done[row] && far[nearest] + reduced < far[row] {
                    (far[row], before[row]) = (far[nearest] + reduced, nearest);
                }
            }
        };
        for node in 0..nodes {
            potential[node] += far[node].min(far[end]);
        }
        let mut way = vec![end];
        while before[way[way.len() - 1]] != usize::MAX {
            way.push(before[way[way.len() - 1]]);
        }
        let start = way[way.len() - 1];
        let mut moved = left[start].min(wanted[end - rows.len()]);
        for step in way.windows(2).filter(|step| step[0] < rows.len()) {
            moved = moved.min(flow[step[0]][step[1] - rows.len()]);
        }
        for step in way.windows(2) {
            if step[0] < rows.len() {
                flow[step[0]][step[1] - rows.len()] -= moved;
            } else {
                flow[step[1]][step[0] - rows.len()] += moved;
            }
        }
        left[start] -= moved;
        wanted[end - rows.len()] -= moved;
    }
    let shipped = |row: usize, column: usize| cast::f64_from_i64(flow[row][column]) / UNITS * cost(row, column);
    (0..rows.len()).map(|row| (0..columns.len()).map(|column| shipped(row, column)).sum::<f64>()).sum()
}

/// Seeded histograms, and matrices of distances.
struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        cast::index_of_word(self.0.next_u64() % cast::u64_from_len(bound))
    }

    fn uniform(&mut self) -> f64 {
        cast::f64_from_u64(self.0.next_u64() >> 11) / 9_007_199_254_740_992.0
    }

    fn mass(&mut self, kind: usize) -> f64 {
        match (kind, self.below(4)) {
            (0, _) => 1.0,
            (1, few) => cast::f64_from_count(few + 1),
            (2, 0) => 1e-12 * self.uniform(),
            (3, _) => (-60.0 * self.uniform()).exp2(),
            _ => self.uniform() + 1e-3,
        }
    }

    /// Mass in up to `most` points: all alike, few distinct values, tiny beside large, or anything.
    fn histogram(&mut self, points: usize, most: usize) -> Vec<f64> {
        let kind = self.below(6);
        let mut masses = vec![0.0; points];
        for _ in 0..=self.below(most) {
            masses[self.below(points)] = self.mass(kind);
        }
        masses
    }

    /// A histogram in all points.
    fn dense(&mut self, points: usize) -> Vec<f64> {
        let kind = self.below(6);
        (0..points).map(|_| self.mass(kind)).collect()
    }

    /// A demand after `last`: it differs in one point or in all a little, or is new, the supply itself, or one point.
    fn next(&mut self, supply: &[f64], last: &[f64], most: usize) -> Vec<f64> {
        let mut next = last.to_vec();
        match self.below(8) {
            0 => next = self.histogram(supply.len(), most),
            1 => next = supply.to_vec(),
            2 => next = self.histogram(supply.len(), 1),
            3 if most == supply.len() => next = self.dense(supply.len()),
            4 => next[self.below(supply.len())] = self.mass(1),
            _ => next.iter_mut().for_each(|mass| *mass *= 1.0 + 0.1 * self.uniform()),
        }
        next
    }

    /// No metric, a metric full of ties, all distances equal, or places on a line, on some of which two points lie.
    fn distances(&mut self, points: usize) -> Vec<f64> {
        let kind = self.below(4);
        let places: Vec<f64> = (0..points).map(|_| cast::f64_from_count(self.below(points))).collect();
        let mut distances = vec![0.0; points * points];
        for (index, distance) in distances.iter_mut().enumerate() {
            let (from, to) = (index / points, index % points);
            *distance = match kind {
                0 => self.uniform(),
                1 if from != to => cast::f64_from_count(1 + self.below(2)),
                2 if from != to => 7.0,
                3 => (places[from] - places[to]).abs(),
                _ => 0.0,
            };
        }
        distances
    }
}

/// Follows demands from supplies of up to `most` points: both ways to the distance agree bit for bit, and with the
/// independent solver.
fn compare(emd: &Emd, distances: &[f64], draw: &mut Draw, supplies: usize, most: usize) {
    let mut plain = EmdScratch::default();
    let mut fixed = EmdScratch::default();
    for round in 0..supplies {
        let all = most == emd.points() && round % 2 == 0;
        let supply = if all { draw.dense(most) } else { draw.histogram(emd.points(), most) };
        let mut from = emd.fix_supply(&supply, &mut fixed).unwrap();
        let mut demand = draw.histogram(emd.points(), most);
        for _ in 0..10 {
            let found = from.distance(&demand).unwrap();
            assert_eq!(found, emd.distance(&supply, &demand, &mut plain).unwrap(), "from {supply:?} to {demand:?}");
            let exact = shortest_paths(distances, &supply, &demand);
            assert!((found - exact).abs() < AGREEMENT, "{found} instead of {exact}, from {supply:?} to {demand:?}");
            assert!(supply != demand || found == 0.0 || !emd.is_metric(), "{supply:?} is not far from itself");
            demand = draw.next(&supply, &demand, most);
        }
    }
}

#[test]
fn agrees_with_an_independent_solver_on_the_module() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(1));
    let distances = geometry::distances();
    compare(&module(), distances.as_flattened(), &mut draw, 7500, 6);
    compare(&module(), distances.as_flattened(), &mut draw, 500, 12);
    compare(&module(), distances.as_flattened(), &mut draw, 30, 48);
}

#[test]
fn agrees_with_an_independent_solver_on_any_matrix() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(2));
    for _ in 0..500 {
        let points = 1 + draw.below(12);
        let distances = draw.distances(points);
        compare(&Emd::new(&distances, points).unwrap(), &distances, &mut draw, 4, points);
    }
}

#[test]
fn the_demands_before_do_not_matter() {
    let emd = module();
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(3));
    for most in [1, 2, 3, 4, 5, 8, 16, 48] {
        let supply = draw.histogram(48, most);
        let mut demand = draw.dense(48);
        let mut demands = Vec::new();
        for _ in 0..200 {
            demand = draw.next(&supply, &demand, 48);
            demands.push(demand.clone());
        }
        let mut scratch = EmdScratch::default();
        let mut from = emd.fix_supply(&supply, &mut scratch).unwrap();
        let there: Vec<f64> = demands.iter().map(|demand| from.distance(demand).unwrap()).collect();
        let back: Vec<f64> = demands.iter().rev().map(|demand| from.distance(demand).unwrap()).collect();
        assert!(there.iter().eq(back.iter().rev()));
        let plain: Vec<f64> = demands.iter().map(|demand| distance(&emd, &supply, demand)).collect();
        assert_eq!(there, plain);
    }
}

/// On a line the distance is the area between the two cumulative distributions.
fn on_a_line(places: &[f64], supply: &[f64], demand: &[f64]) -> f64 {
    let (a, b) = (supply.iter().sum::<f64>(), demand.iter().sum::<f64>());
    let mut ahead = 0.0;
    let mut area = 0.0;
    for point in 0..places.len() - 1 {
        ahead += supply[point] / a - demand[point] / b;
        area += f64::abs(ahead) * (places[point + 1] - places[point]);
    }
    area
}

/// Histograms of all kinds: dense, sparse, few distinct values, tiny masses beside large ones.
fn histogram(points: usize) -> impl Strategy<Value = Vec<f64>> {
    let mass = prop_oneof![
        3 => Just(0.0),
        2 => 0.0..1.0_f64,
        2 => (1..4_u8).prop_map(f64::from),
        1 => (0.0..1.0_f64).prop_map(|mass| mass * 1e-12),
    ];
    let any = prop::collection::vec(mass, points);
    let dense = prop::collection::vec(0.0..1.0_f64, points);
    prop_oneof![any, dense].prop_filter("a histogram has mass", |masses| masses.iter().sum::<f64>() > 0.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_shortest_paths_on_the_module(supply in histogram(48), demand in histogram(48)) {
        let emd = module();
        let found = distance(&emd, &supply, &demand);
        let exact = shortest_paths(geometry::distances().as_flattened(), &supply, &demand);
        prop_assert!((found - exact).abs() < TOLERANCE * 20.0, "{} instead of {}", found, exact);
        let mut scratch = EmdScratch::default();
        let mut from = emd.fix_supply(&supply, &mut scratch).unwrap();
        prop_assert_eq!(from.distance(&demand).unwrap(), found);
        prop_assert_eq!(from.distance(&supply).unwrap(), 0.0);
        prop_assert_eq!(from.distance(&demand).unwrap(), found);
    }

    #[test]
    fn equals_shortest_paths_on_any_matrix(
        distances in prop::collection::vec(prop_oneof![0.0..1.0_f64, (0..4_u8).prop_map(f64::from)], 100),
        supply in histogram(10),
        demand in histogram(10),
    ) {
        let emd = Emd::new(&distances, 10).unwrap();
        let found = distance(&emd, &supply, &demand);
        let exact = shortest_paths(&distances, &supply, &demand);
        prop_assert!((found - exact).abs() < TOLERANCE * 4.0, "{} instead of {}", found, exact);
    }

    #[test]
    fn equals_the_area_between_distributions_on_a_line(
        gaps in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64], 63),
        supply in histogram(64),
        demand in histogram(64),
    ) {
        let mut places = vec![0.0];
        places.extend(gaps.iter().scan(0.0, |place, gap| {
            *place += gap;
            Some(*place)
        }));
        let distances: Vec<f64> =
            places.iter().flat_map(|a| places.iter().map(move |b: &f64| (a - b).abs())).collect();
        let emd = Emd::new(&distances, 64).unwrap();
        prop_assert!(emd.is_metric());
        let found = distance(&emd, &supply, &demand);
        let exact = on_a_line(&places, &supply, &demand);
        prop_assert!((found - exact).abs() < TOLERANCE * 64.0, "{} instead of {}", found, exact);
        // The same without setting common mass aside.
        let full = Emd { metric: false, ..emd };
        prop_assert_eq!(distance(&full, &supply, &demand), found);
    }

    #[test]
    fn is_a_metric_and_knows_no_scale(a in histogram(48), b in histogram(48), c in histogram(48)) {
        let emd = module();
        let (ab, bc, ac) = (distance(&emd, &a, &b), distance(&emd, &b, &c), distance(&emd, &a, &c));
        prop_assert_eq!(ab, distance(&emd, &b, &a));
        prop_assert!(ac <= ab + bc + TOLERANCE * 20.0);
        prop_assert_eq!(distance(&emd, &a, &a), 0.0);
        let scaled: Vec<f64> = a.iter().map(|mass| mass * 8.0).collect();
        prop_assert_eq!(distance(&emd, &scaled, &b), ab);
    }
}

#[test]
fn one_cell_and_uniform_histograms() {
    let emd = module();
    let single = |cell: usize| (0..48).map(|c| if c == cell { 3.0 } else { 0.0 }).collect::<Vec<_>>();
    assert_eq!(distance(&emd, &single(0), &single(3)), 6.0);
    assert_eq!(distance(&emd, &single(5), &single(5)), 0.0);
    let uniform = vec![1.0; 48];
    let mean = geometry::distances()[9].iter().sum::<f64>() / 48.0;
    assert!((distance(&emd, &single(9), &uniform) - mean).abs() < TOLERANCE * 20.0);
    assert!((distance(&emd, &uniform, &single(9)) - mean).abs() < TOLERANCE * 20.0);
    // Many equal masses: every basis would be degenerate without the perturbation.
    let half = |parity: usize| (0..48).map(|c| if c % 2 == parity { 1.0 } else { 0.0 }).collect::<Vec<_>>();
    let mut scratch = EmdScratch::default();
    let found = emd.distance(&half(0), &half(1), &mut scratch).unwrap();
    assert!(
        (found - shortest_paths(geometry::distances().as_flattened(), &half(0), &half(1))).abs() < TOLERANCE * 20.0
    );
    // A mass far below the grid does not disturb the others.
    let mut almost = single(0);
    almost[47] = 1e-300;
    assert_eq!(distance(&emd, &almost, &single(0)), 0.0);
}

#[test]
fn scratch_has_no_memory() {
    let emd = module();
    let mut scratch = EmdScratch::default();
    let ramp: Vec<f64> = (0..48).map(f64::from).collect();
    let hill: Vec<f64> = (0..48).map(|c| f64::from((c * 7) % 48)).collect();
    let first = emd.distance(&ramp, &hill, &mut scratch).unwrap();
    assert!(scratch.pivots() > 0);
    emd.distance(&hill, &ramp, &mut scratch).unwrap();
    assert_eq!(emd.distance(&ramp, &hill, &mut scratch).unwrap(), first);
}

#[test]
fn bad_input_is_named() {
    assert_eq!(Emd::new(&[], 0).unwrap_err(), EmdError::Points { points: 0 });
    assert_eq!(Emd::new(&vec![0.0; 65 * 65], 65).unwrap_err(), EmdError::Points { points: 65 });
    assert_eq!(Emd::new(&[0.0; 3], 2).unwrap_err(), EmdError::Matrix { points: 2, expected: 4, found: 3 });
    let error = Emd::new(&[0.0, 1.0, -1.0, 0.0], 2).unwrap_err();
    assert_eq!(error, EmdError::Distance { from: 1, to: 0, value: -1.0 });
    let emd = Emd::new(&[0.0, 1.0, 1.0, 0.0], 2).unwrap();
    let mut scratch = EmdScratch::default();
    let mut error = |supply: &[f64], demand: &[f64]| emd.distance(supply, demand, &mut scratch).unwrap_err();
    let (supply, demand) = (Histogram::Supply, Histogram::Demand);
    assert_eq!(error(&[1.0], &[1.0, 1.0]), EmdError::Length { histogram: supply, found: 1, points: 2 });
    let negative = EmdError::Mass { histogram: supply, index: 1, value: -1.0 };
    assert_eq!(error(&[2.0, -1.0], &[1.0, 1.0]), negative);
    let infinite = EmdError::Mass { histogram: demand, index: 0, value: f64::INFINITY };
    assert_eq!(error(&[1.0, 1.0], &[f64::INFINITY, 1.0]), infinite);
    assert!(matches!(error(&[f64::NAN, 1.0], &[1.0, 1.0]), EmdError::Mass { index: 0, .. }));
    assert_eq!(error(&[1.0, 1.0], &[0.0, 0.0]), EmdError::Sum { histogram: demand, sum: 0.0 });
    assert_eq!(error(&[f64::MAX; 2], &[1.0, 1.0]), EmdError::Sum { histogram: supply, sum: f64::INFINITY });
    assert!(!Emd::new(&[0.0, 3.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0], 3).unwrap().is_metric());
    // The same faults behind a fixed supply, which they leave as it is.
    let mut from = emd.fix_supply(&[3.0, 1.0], &mut scratch).unwrap();
    assert_eq!(from.distance(&[1.0, 1.0]).unwrap(), 0.25);
    assert_eq!(from.distance(&[1.0]).unwrap_err(), EmdError::Length { histogram: demand, found: 1, points: 2 });
    let negative = EmdError::Mass { histogram: demand, index: 0, value: -0.5 };
    assert_eq!(from.distance(&[-0.5, 1.0]).unwrap_err(), negative);
    assert_eq!(from.distance(&[0.0, 0.0]).unwrap_err(), EmdError::Sum { histogram: demand, sum: 0.0 });
    assert_eq!(from.distance(&[1.0, 1.0]).unwrap(), 0.25);
    let error = emd.fix_supply(&[0.0, 0.0], &mut scratch).unwrap_err();
    assert_eq!(error, EmdError::Sum { histogram: supply, sum: 0.0 });
    // No distance at all: nothing costs anything.
    let emd = Emd::new(&[0.0; 16], 4).unwrap();
    assert_eq!(distance(&emd, &[1.0, 0.0, 2.0, 0.0], &[0.0, 1.0, 0.0, 1.0]), 0.0);
}

#[test]
fn the_largest_and_smallest_distances() {
    // 2^-1074 and the largest number: both are distances like any other.
    for far in [f64::from_bits(1), f64::from_bits(3 << 40), 1e-300, 0.1, 1.0, 6.0, 1e300, f64::MAX] {
        let emd = Emd::new(&[0.0, far, far, 0.0], 2).unwrap();
        // Below the normal numbers the result itself is rounded.
        let close = |found: f64, exact: f64| (found - exact).abs() <= far * TOLERANCE + f64::from_bits(1);
        assert!(close(distance(&emd, &[1.0, 0.0], &[0.0, 1.0]), far), "{far}");
        assert!(close(distance(&emd, &[1.0, 0.0], &[1.0, 1.0]), far / 2.0), "{far}");
    }
}
