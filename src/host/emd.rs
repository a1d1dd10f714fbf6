//! `Emd`: the exact Earth mover's distance between two histograms on the same few points.
//!
//! It scales masses and distances to integers, sets common mass aside and answers the easy cases; `transport` solves
//! the rest. What a module without any output counts for is the metric's business (`metric`), not decided here.

use std::fmt;

use super::transport::Transport;

/// Most points of a histogram.
pub const MAX_POINTS: usize = 64;

/// Adding 1.5 * 2^7 to a number of magnitude below 64 rounds it to a multiple of 2^-45, the unit in the last place there.
///
/// Masses are rounded so before the transport problem is solved. With its perturbations every flow is a multiple of
/// 2^-52 below 2, which an `f64` holds exactly.
const MASS_ROUNDER: f64 = 192.0;

/// What each source has too much: 2^-52, so that 64 sources together have less than 2^-45.
const PERTURBATION: f64 = f64::EPSILON;

/// The largest distance in integer units, 2^45. A potential adds up fewer than 128 distances and stays below 2^52.
const LARGEST_COST: f64 = 35_184_372_088_832.0;

/// How far, relative to the largest distance, rounding may break the triangle inequality of a metric.
const METRIC_TOLERANCE: f64 = 1e-12;

/// One of the two histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Histogram {
    /// The first: where mass comes from.
    Supply,
    /// The second: where mass goes.
    Demand,
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supply => "supply",
            Self::Demand => "demand",
        })
    }
}

/// Why there is no Earth mover's distance.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EmdError {
    /// No point, or too many.
    #[error("{points} points; 1 to {MAX_POINTS} are supported")]
    Points {
        /// Points asked for.
        points: usize,
    },
    /// The matrix is not square.
    #[error("{found} distances between {points} points; {expected} are needed")]
    Matrix {
        /// Points.
        points: usize,
        /// Their square.
        expected: usize,
        /// Distances given.
        found: usize,
    },
    /// A distance that is negative, infinite or not a number.
    #[error("the distance from point {from} to point {to} is {value}; a finite number of at least 0 is needed")]
    Distance {
        /// Start.
        from: usize,
        /// End.
        to: usize,
        /// The value.
        value: f64,
    },
    /// A histogram of another length.
    #[error("{histogram}: {found} masses for {points} points")]
    Length {
        /// Which one.
        histogram: Histogram,
        /// Masses given.
        found: usize,
        /// Points.
        points: usize,
    },
    /// A mass that is negative, infinite or not a number.
    #[error("{histogram}: the mass of point {index} is {value}; a finite number of at least 0 is needed")]
    Mass {
        /// Which histogram.
        histogram: Histogram,
        /// The point.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A histogram whose sum is zero or infinite.
    #[error("{histogram}: the masses sum up to {sum}; a finite sum above 0 is needed")]
    Sum {
        /// Which histogram.
        histogram: Histogram,
        /// The sum.
        sum: f64,
    },
}

/// A ground distance between points, ready to compare histograms on them.
#[derive(Debug, Clone)]
pub struct Emd {
    points: usize,
    /// `[from, to]`, as given.
    distances: Vec<f64>,
    /// `[from, to]`, in integer units.
    costs: Vec<f64>,
    /// A distance of one unit.
    unit: f64,
    metric: bool,
}

/// Working memory of [`Emd::distance`]; grows on first use, then no call allocates. One per thread.
#[derive(Debug, Clone, Default)]
pub struct EmdScratch {
    transport: Transport,
    /// Points that send, with the mass they send.
    from: Vec<(usize, f64)>,
    /// Points that receive, with the mass they receive.
    to: Vec<(usize, f64)>,
    /// Pivots of the last call.
    pivots: u32,
}

impl EmdScratch {
    /// Simplex pivots that the last call needed; 0 when a closed form answered.
    pub const fn pivots(&self) -> u32 {
        self.pivots
    }
}

impl Emd {
    /// From a matrix `[from, to]` in C order.
    ///
    /// When it is zero on the diagonal and obeys the triangle inequality, mass common to both histograms stays where it
    /// is, which makes the problem much smaller; other matrices are accepted and solved in full.
    ///
    /// # Errors
    /// When there are no or more than 64 points, or a distance is missing, negative or not finite.
    pub fn new(distances: Vec<f64>, points: usize) -> Result<Self, EmdError> {
        if points == 0 || points > MAX_POINTS {
            return Err(EmdError::Points { points });
        }
        if distances.len() != points * points {
            return Err(EmdError::Matrix { points, expected: points * points, found: distances.len() });
        }
        if let Some(index) = distances.iter().position(|value| !value.is_finite() || *value < 0.0) {
            let (from, to) = (index / points, index % points);
            return Err(EmdError::Distance { from, to, value: distances[index] });
        }
        let largest = distances.iter().copied().fold(0.0, f64::max);
        let unit = largest / LARGEST_COST;
        let costs = distances.iter().map(|d| if largest > 0.0 { (d / largest * LARGEST_COST).round() } else { 0.0 });
        let costs = costs.collect();
        let metric = is_metric(&distances, points, largest * METRIC_TOLERANCE);
        Ok(Self { points, distances, costs, unit, metric })
    }

    /// Number of points.
    pub const fn points(&self) -> usize {
        self.points
    }

    /// Whether the distances are zero on the diagonal and obey the triangle inequality.
    pub const fn is_metric(&self) -> bool {
        self.metric
    }

    /// Least work to turn one histogram into the other, both normalized to sum 1: `sum flow * distance`.
    ///
    /// Off the exact value by less than 1e-11 times the largest distance, from rounding masses to 2^-45 (a histogram
    /// equal to the other has distance 0 exactly). Depends on nothing but its arguments.
    ///
    /// # Errors
    /// When a histogram has another length, a mass that is negative or not finite, or a sum that is zero or infinite.
    pub fn distance(&self, supply: &[f64], demand: &[f64], scratch: &mut EmdScratch) -> Result<f64, EmdError> {
        let supplied = self.checked_sum(Histogram::Supply, supply)?;
        let demanded = self.checked_sum(Histogram::Demand, demand)?;
        let EmdScratch { transport, from, to, pivots } = scratch;
        *pivots = 0;
        from.clear();
        to.clear();
        for (point, (supply, demand)) in supply.iter().zip(demand).enumerate() {
            let (supply, demand) = (supply / supplied, demand / demanded);
            // Common mass need not move when no detour is shorter than the direct way.
            let common = if self.metric { supply.min(demand) } else { 0.0 };
            from.push((point, supply - common));
            to.push((point, demand - common));
        }
        keep_masses(from);
        keep_masses(to);
        balance(from, to);
        let direct = |(from, mass): (usize, f64), to: usize| mass * self.distances[from * self.points + to];
        match (&from[..], &to[..]) {
            ([], _) | (_, []) => return Ok(0.0),
            ([source], sinks) => return Ok(sinks.iter().map(|sink| direct((source.0, sink.1), sink.0)).sum()),
            (sources, [sink]) => return Ok(sources.iter().map(|source| direct(*source, sink.0)).sum()),
            _ => {}
        }
        transport.clear();
        for (_, mass) in from.iter() {
            transport.add_source(*mass, PERTURBATION);
        }
        for (_, mass) in to.iter() {
            transport.add_sink(*mass);
        }
        *pivots = transport.solve(PERTURBATION, |source, sink| self.costs[from[source].0 * self.points + to[sink].0]);
        // The dual objective: the optimal tree stays optimal without the perturbation, and this value has none.
        let received: f64 = to.iter().enumerate().map(|(sink, (_, mass))| mass * transport.sink_potential(sink)).sum();
        let sent: f64 =
            from.iter().enumerate().map(|(source, (_, mass))| mass * transport.source_potential(source)).sum();
        Ok((received - sent) * self.unit)
    }

    fn checked_sum(&self, histogram: Histogram, masses: &[f64]) -> Result<f64, EmdError> {
        if masses.len() != self.points {
            return Err(EmdError::Length { histogram, found: masses.len(), points: self.points });
        }
        let sum: f64 = masses.iter().sum();
        let least = masses.iter().copied().fold(0.0, |a, b| if b < a { b } else { a });
        // The sum is NaN or infinite when a mass is.
        if least < 0.0 || !sum.is_finite() {
            let bad = masses.iter().position(|mass| !mass.is_finite() || *mass < 0.0);
            return Err(bad.map_or(EmdError::Sum { histogram, sum }, |index| {
                let value = masses[index];
                EmdError::Mass { histogram, index, value }
            }));
        }
        if sum > 0.0 { Ok(sum) } else { Err(EmdError::Sum { histogram, sum }) }
    }
}

/// Rounds masses to the grid and drops what is zero there.
fn keep_masses(masses: &mut Vec<(usize, f64)>) {
    masses.retain_mut(|(_, mass)| {
        *mass = (*mass + MASS_ROUNDER) - MASS_ROUNDER;
        *mass > 0.0
    });
}

/// Takes the rounding of the masses (at most half a multiple each) off the side that has more.
fn balance(from: &mut Vec<(usize, f64)>, to: &mut Vec<(usize, f64)>) {
    let sum = |masses: &[(usize, f64)]| masses.iter().map(|(_, mass)| mass).sum::<f64>();
    let excess = sum(from) - sum(to);
    let side = if excess > 0.0 { from } else { to };
    let mut excess = excess.abs();
    side.retain_mut(|(_, mass)| {
        let taken = excess.min(*mass);
        excess -= taken;
        *mass -= taken;
        *mass > 0.0
    });
}

fn is_metric(distances: &[f64], points: usize, tolerance: f64) -> bool {
    let row = |from: usize| &distances[from * points..(from + 1) * points];
    (0..points).all(|a| {
        row(a)[a] == 0.0
            && (0..points).all(|b| {
                let first = row(a)[b];
                row(a).iter().zip(row(b)).all(|(direct, second)| *direct <= first + second + tolerance)
            })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::geometry;

    /// Masses are rounded to 2^-45 and distances to 2^-45 of the largest.
    const TOLERANCE: f64 = 1e-11;

    fn module() -> Emd {
        Emd::new(geometry::distances().into_iter().flatten().collect(), geometry::CELLS).unwrap()
    }

    fn distance(emd: &Emd, supply: &[f64], demand: &[f64]) -> f64 {
        emd.distance(supply, demand, &mut EmdScratch::default()).unwrap()
    }

    /// An independent solver: augments along shortest paths (Bellman and Ford) in the residual graph, full problem.
    fn shortest_paths(emd: &Emd, supply: &[f64], demand: &[f64]) -> f64 {
        /// What is left over when all paths are used up is rounding.
        const LEFT_OVER: f64 = 1e-15;
        let n = emd.points();
        let normalized = |masses: &[f64]| {
            let sum: f64 = masses.iter().sum();
            masses.iter().map(|mass| mass / sum).collect::<Vec<_>>()
        };
        let (mut left, mut wanted) = (normalized(supply), normalized(demand));
        let mut flow = vec![0.0; n * n];
        loop {
            // Points as sources are 0..n, as sinks n..2n.
            let mut far: Vec<f64> =
                left.iter().map(|mass| if *mass > LEFT_OVER { 0.0 } else { f64::INFINITY }).collect();
            far.resize(2 * n, f64::INFINITY);
            let mut from = vec![usize::MAX; 2 * n];
            let mut changed = true;
            while changed {
                changed = false;
                for source in 0..n {
                    for sink in 0..n {
                        let cost = emd.distances[source * n + sink];
                        // Strict by more than rounding, so that no path of equal length goes round in circles.
                        if far[source] + cost < far[n + sink] - 1e-13 {
                            (far[n + sink], from[n + sink], changed) = (far[source] + cost, source, true);
                        }
                        if flow[source * n + sink] > 0.0 && far[n + sink] - cost < far[source] - 1e-13 {
                            (far[source], from[source], changed) = (far[n + sink] - cost, n + sink, true);
                        }
                    }
                }
            }
            let open = (0..n).filter(|sink| wanted[*sink] > LEFT_OVER && far[n + sink].is_finite());
            let Some(end) = open.min_by(|a, b| far[n + a].total_cmp(&far[n + b])) else { break };
            let mut path = vec![n + end];
            while from[path[path.len() - 1]] != usize::MAX {
                path.push(from[path[path.len() - 1]]);
            }
            let start = path[path.len() - 1];
            let mut moved = left[start].min(wanted[end]);
            for step in path.windows(2).filter(|step| step[0] < n) {
                moved = moved.min(flow[step[0] * n + step[1] - n]);
            }
            for step in path.windows(2) {
                if step[0] >= n {
                    flow[step[1] * n + step[0] - n] += moved;
                } else {
                    flow[step[0] * n + step[1] - n] -= moved;
                }
            }
            left[start] -= moved;
            wanted[end] -= moved;
        }
        flow.iter().zip(&emd.distances).map(|(flow, distance)| flow * distance).sum()
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
            let exact = shortest_paths(&emd, &supply, &demand);
            prop_assert!((found - exact).abs() < TOLERANCE * 20.0, "{} instead of {}", found, exact);
        }

        #[test]
        fn equals_shortest_paths_on_any_matrix(
            distances in prop::collection::vec(prop_oneof![0.0..1.0_f64, (0..4_u8).prop_map(f64::from)], 100),
            supply in histogram(10),
            demand in histogram(10),
        ) {
            let emd = Emd::new(distances, 10).unwrap();
            let found = distance(&emd, &supply, &demand);
            let exact = shortest_paths(&emd, &supply, &demand);
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
            let distances = places.iter().flat_map(|a| places.iter().map(move |b: &f64| (a - b).abs())).collect();
            let emd = Emd::new(distances, 64).unwrap();
            prop_assert!(emd.is_metric());
            let found = distance(&emd, &supply, &demand);
            let exact = on_a_line(&places, &supply, &demand);
            prop_assert!((found - exact).abs() < TOLERANCE * 64.0, "{} instead of {}", found, exact);
            // The same without setting common mass aside.
            let full = Emd { metric: false, ..emd };
            prop_assert!((distance(&full, &supply, &demand) - exact).abs() < TOLERANCE * 64.0);
        }

        #[test]
        fn is_a_metric_and_knows_no_scale(a in histogram(48), b in histogram(48), c in histogram(48)) {
            let emd = module();
            let (ab, bc, ac) = (distance(&emd, &a, &b), distance(&emd, &b, &c), distance(&emd, &a, &c));
            prop_assert!((ab - distance(&emd, &b, &a)).abs() < TOLERANCE * 20.0);
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
        assert!((found - shortest_paths(&emd, &half(0), &half(1))).abs() < TOLERANCE * 20.0);
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
        assert_eq!(Emd::new(vec![], 0).unwrap_err(), EmdError::Points { points: 0 });
        assert_eq!(Emd::new(vec![0.0; 65 * 65], 65).unwrap_err(), EmdError::Points { points: 65 });
        assert_eq!(Emd::new(vec![0.0; 3], 2).unwrap_err(), EmdError::Matrix { points: 2, expected: 4, found: 3 });
        let error = Emd::new(vec![0.0, 1.0, -1.0, 0.0], 2).unwrap_err();
        assert_eq!(error, EmdError::Distance { from: 1, to: 0, value: -1.0 });
        let emd = Emd::new(vec![0.0, 1.0, 1.0, 0.0], 2).unwrap();
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
        assert!(!Emd::new(vec![0.0, 3.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0], 3).unwrap().is_metric());
        // No distance at all: nothing costs anything.
        let emd = Emd::new(vec![0.0; 16], 4).unwrap();
        assert_eq!(distance(&emd, &[1.0, 0.0, 2.0, 0.0], &[0.0, 1.0, 0.0, 1.0]), 0.0);
    }
}
