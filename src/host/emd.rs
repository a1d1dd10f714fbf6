//! `Emd`: the exact Earth mover's distance between two histograms on the same few points.
//!
//! `grid` turns masses into integers, distances become integers here, and the answer is the optimal value of that
//! integer problem: a number that mathematics defines, whatever solves it. [`Emd::distance`] solves one problem from
//! scratch (`transport`); [`EmdFrom`] solves many from the same supply, each from where the last one ended
//! (`dual_tree`). What a module without any output counts for is the metric's business (`metric`), not decided here.

use std::fmt;

use multiversion::multiversion;

use super::dual_tree::DualTree;
use super::grid::{self, LARGEST_COST, PerPoint};
use super::transport::Transport;
use crate::num::cast;

pub use super::grid::MAX_POINTS;

/// How far, relative to the largest distance, rounding may break the triangle inequality of a metric.
const METRIC_TOLERANCE: f64 = 1e-14;

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
///
/// # Contract
/// Each histogram is normalized, `mass / sum`, and rounded to integers in units of 2^-45, of which the largest takes
/// what their sum then misses. Distances are rounded to integers, the largest between 2^44 and 2^45; where they are a
/// metric, shortest ways among the integers replace them, so that rounding breaks no triangle inequality. The distance
/// of two histograms is the least `sum flow * cost` of this transportation problem, an integer, converted to `f64`
/// once.
///
/// Off the least `sum flow * distance` in real numbers by less than 1e-11 times the largest distance: rounding moves
/// less than 2^7 units of mass, and shifts a cost by less than 2^5 units and 63 times 1e-14 of the largest. Equal
/// histograms have distance 0 when each point is 0 from itself.
#[derive(Debug, Clone)]
pub struct Emd {
    points: usize,
    /// `[from, to]`, integers.
    costs: Vec<i64>,
    /// The largest distance.
    largest: f64,
    /// The largest power of two that is no more than that; a cost of 2^44.
    power: f64,
    metric: bool,
}

/// Working memory of [`Emd`]; grows on first use, then no call allocates. One per thread.
#[derive(Debug, Clone, Default)]
pub struct EmdScratch {
    transport: Transport,
    tree: DualTree,
    /// Points that send, with the mass they send.
    from: Vec<(usize, i64)>,
    /// Points that receive, with the mass they receive.
    to: Vec<(usize, i64)>,
    /// Pivots of the last call.
    pivots: u32,
}

impl EmdScratch {
    /// Simplex pivots that the last distance needed; 0 when a closed form or the tree before answered.
    pub const fn pivots(&self) -> u32 {
        self.pivots
    }
}

/// Distances from one histogram to many, each equal to what [`Emd::distance`] says, bit for bit, but found faster.
///
/// Demands that differ little from the one before are answered fastest.
#[derive(Debug)]
pub struct EmdFrom<'a> {
    emd: &'a Emd,
    scratch: &'a mut EmdScratch,
}

impl EmdFrom<'_> {
    /// [`Emd::distance`] from the supply to `demand`.
    ///
    /// # Errors
    /// When `demand` has another length, a mass that is negative or not finite, or a sum that is zero or infinite.
    pub fn distance(&mut self, demand: &[f64]) -> Result<f64, EmdError> {
        if demand.len() != self.emd.points {
            return Err(self.emd.fault(Histogram::Demand, demand));
        }
        let EmdScratch { transport, tree, pivots, .. } = &mut *self.scratch;
        let solved = solve_from(tree, transport, demand);
        let (work, moved) = solved.ok_or_else(|| self.emd.fault(Histogram::Demand, demand))?;
        *pivots = moved;
        Ok(self.emd.in_distances(work))
    }

    /// Simplex pivots that the last distance needed; 0 when a closed form or the tree before answered.
    pub const fn pivots(&self) -> u32 {
        self.scratch.pivots
    }
}

/// The least work for a demand and the pivots it took; nothing when `demand` is no histogram.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn solve_from(tree: &mut DualTree, transport: &mut Transport, demand: &[f64]) -> Option<(i128, u32)> {
    let mut masses = [0; MAX_POINTS];
    grid::to_grid(demand, &mut masses).then(|| tree.solve(&masses, transport))
}

impl Emd {
    /// From a matrix `[from, to]` in C order.
    ///
    /// When it is zero on the diagonal and obeys the triangle inequality, mass common to both histograms stays where it
    /// is, which makes the problem smaller; other matrices are accepted and solved in full.
    ///
    /// # Errors
    /// When there are no or more than 64 points, or a distance is missing, negative or not finite.
    pub fn new(distances: &[f64], points: usize) -> Result<Self, EmdError> {
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
        let power = power_of_two(largest);
        // The quotient is at most 2, and exact unless it is so small that its cost is 0.
        let half = cast::f64_from_i64(LARGEST_COST / 2);
        let rounded = distances.iter().map(|distance| cast::floor_i64((distance / power * half).round()));
        let mut costs: Vec<i64> = rounded.collect();
        let metric = is_metric(distances, points, largest * METRIC_TOLERANCE);
        if metric {
            close(&mut costs, points);
        }
        Ok(Self { points, costs, largest, power, metric })
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
    /// Solved from scratch; the contract of the type says how exact it is. Depends on nothing but its arguments.
    ///
    /// # Errors
    /// When a histogram has another length, a mass that is negative or not finite, or a sum that is zero or infinite.
    pub fn distance(&self, supply: &[f64], demand: &[f64], scratch: &mut EmdScratch) -> Result<f64, EmdError> {
        let supply = self.on_grid(Histogram::Supply, supply)?;
        let demand = self.on_grid(Histogram::Demand, demand)?;
        let EmdScratch { transport, from, to, pivots, .. } = scratch;
        *pivots = 0;
        from.clear();
        to.clear();
        for (point, (supply, demand)) in supply.iter().zip(&demand).enumerate() {
            // Common mass need not move when no detour is shorter than the direct way.
            let common = if self.metric { (*supply).min(*demand) } else { 0 };
            from.push((point, supply - common));
            to.push((point, demand - common));
        }
        from.retain(|(_, mass)| *mass > 0);
        to.retain(|(_, mass)| *mass > 0);
        if from.is_empty() {
            return Ok(0.0);
        }
        transport.clear();
        for (_, mass) in from.iter() {
            transport.add_source(cast::f64_from_i64(*mass));
        }
        for (_, mass) in to.iter() {
            transport.add_sink(cast::f64_from_i64(*mass));
        }
        *pivots = transport.solve(|source, sink| {
            let (from, to) = (from[source].0, to[sink].0);
            cast::f64_from_i64(self.costs[from * self.points + to])
        });
        // The dual objective: the optimal tree stays optimal without the perturbation, and this value has none.
        let product = |mass: i64, potential: f64| i128::from(mass) * cast::i128_from_whole(potential);
        let sent = from.iter().enumerate().map(|(at, (_, mass))| product(*mass, transport.source_potential(at)));
        let received = to.iter().enumerate().map(|(at, (_, mass))| product(*mass, transport.sink_potential(at)));
        Ok(self.in_distances(received.sum::<i128>() - sent.sum::<i128>()))
    }

    /// Prepares for many distances from one histogram.
    ///
    /// # Errors
    /// When `supply` has another length, a mass that is negative or not finite, or a sum that is zero or infinite.
    pub fn fix_supply<'a>(&'a self, supply: &[f64], scratch: &'a mut EmdScratch) -> Result<EmdFrom<'a>, EmdError> {
        let supply = self.on_grid(Histogram::Supply, supply)?;
        let rows = supply.iter().copied().zip(self.costs.chunks_exact(self.points)).filter(|(mass, _)| *mass > 0);
        scratch.tree.set_supply(self.points, rows);
        Ok(EmdFrom { emd: self, scratch })
    }

    /// Work, an integer, as mass 1 times distance.
    fn in_distances(&self, work: i128) -> f64 {
        // A mass of 1 is 2^45, a distance of `power` is 2^44. Powers of two only move the point, so the conversion is
        // the one rounding (unless the result is below the normal numbers). The largest distance may have been rounded
        // up.
        let scaled = cast::f64_from_i128(work) * f64::from(-89).exp2() * self.power;
        if scaled > self.largest { self.largest } else { scaled }
    }

    fn on_grid(&self, histogram: Histogram, masses: &[f64]) -> Result<PerPoint, EmdError> {
        let mut on_grid = [0; MAX_POINTS];
        if masses.len() == self.points && grid::to_grid(masses, &mut on_grid) {
            Ok(on_grid)
        } else {
            Err(self.fault(histogram, masses))
        }
    }

    /// What is wrong with masses that are no histogram here.
    #[cold]
    fn fault(&self, histogram: Histogram, masses: &[f64]) -> EmdError {
        if masses.len() != self.points {
            return EmdError::Length { histogram, found: masses.len(), points: self.points };
        }
        let bad = masses.iter().position(|mass| !mass.is_finite() || *mass < 0.0);
        bad.map_or_else(
            || EmdError::Sum { histogram, sum: grid::sum(masses) },
            |index| EmdError::Mass { histogram, index, value: masses[index] },
        )
    }
}

/// The largest power of two that is at most `value`, which is positive; 1 for 0.
fn power_of_two(value: f64) -> f64 {
    const EXPONENT: u64 = 0x7FF << 52;
    let bits = value.to_bits();
    match (bits & EXPONENT, bits) {
        (0, 0) => 1.0,
        (0, subnormal) => f64::from_bits(1 << subnormal.ilog2()),
        (exponent, _) => f64::from_bits(exponent),
    }
}

/// Replaces costs by those of the shortest ways (Floyd and Warshall).
fn close(costs: &mut [i64], points: usize) {
    for via in 0..points {
        let onward = costs[via * points..(via + 1) * points].to_vec();
        for row in costs.chunks_exact_mut(points) {
            let to = row[via];
            for (direct, onward) in row.iter_mut().zip(&onward) {
                *direct = (*direct).min(to + onward);
            }
        }
    }
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
#[path = "emd_tests.rs"]
mod tests;
