//! How far rounded evaluations of a piecewise linear chain can lie from each other: the proof behind `vicinity`.
//!
//! It bounds errors and evaluates nothing.
//!
//! # What is compared
//! Layer `l = 1 ..= L` gives `z_l = K_l h_(l-1) + b_l`, where `h_l` is `z_l` or its rectified value; `h_0` is the input
//! `x`. Three values of it matter: the exact real one, the *plain* one (`decoder::run_chain`) and the *fast* one
//! (`vicinity`), which starts from the plain values at a center `x0`. With `x = x0 + sum_j d_j e_j` and `s` the sign
//! (+1 or -1) of a unit's plain value at the center, the exact values obey, whatever the signs,
//! ```text
//! z_l(x) = z_l(x0) + sum_j d_j U_l,j + sum_(m < l) sum_(u of m) (c_u(x) - c_u(x0)) V_(u -> l),   c_u = max(-s_u z_u, 0)
//! ```
//! because `relu(z) = z [s > 0] + c`. `U_l,j` is column `j` of the product of the `K` up to layer `l`, with the units
//! of negative sign cut out between them, `V_(u -> l)` likewise the way from unit `u` of layer `m`. A unit that is not
//! rectified has sign +1 and `c = 0`. The fast path sums this formula with rounded `U` and `V`.
//!
//! # Notation
//! `u = 2^-53`. A sum whose terms each go through at most `n` roundings is off by at most `n u / (1 - n u)` times the
//! sum of magnitudes. `n_l` is [`Affine::depth`] plus one (the bias), `g_l = n_l u`. `G_l,j` is column `j` of
//! `|K_l| ... |K_1|` and `R_(u -> l)` column `u` of `|K_l| ... |K_(m+1)|`, nothing cut out. `D_l = sum_j |d_j| G_l,j`
//! bounds by how much exact values differ between `x0` and `x`. Terms of second order (products of two errors, the
//! rounding of the bounds themselves) are relative to those listed and far below the factor [`INFLATION`] that
//! multiplies every bound: there are less than 2^24 terms per sum and at most [`MAX_LAYERS`] layers, and 2^-53 2^24 5
//! is below 2^-26.
//!
//! # At the center
//! The plain error `p_l` obeys `p_l = |K_l| (a p_(l-1)) + g_l (|K_l| |h_(l-1)| + |b_l|)`, where `a_u` is 0 if
//! `z_u < -p_u` (exact and plain value are both cut), 2 if `|z_u| <= p_u`, else 1. Rectifying stretches no error. The 2
//! makes room for `c_u(x0)`, which is 0 when the sign is that of the exact value and otherwise at most `p_u`: so
//! `p_l` bounds the plain error *plus* `sum_u c_u(x0) |V_(u -> l)|` ([`Bounds::at_center`]).
//!
//! # At x
//! Call a unit flagged when its fast value satisfies `s z < tau_m`, where `tau_m` is at least the sum of the plain and
//! the fast error of every unit of its layer at `x`. A unit that is not flagged has its sign at the center in all three
//! values. Let `C_m` be the flagged units of layer `m`.
//!
//! *Plain*: errors enter as at the center, but magnitudes differ by at most `D`, and units cut out at the center may
//! pass theirs, if they are flagged. So the error is at most
//! `p_l + (g_1 + ... + g_l) D_l + sum_(m<l) sum_(u in C_m) p_u R_(u -> l)`.
//!
//! *Fast*, in the order of the formula above (`c(x)` of units that are not flagged is 0 exactly and in the fast path):
//! - `z_l(x0)` and `c(x0)`: `p_l`;
//! - the rounding of `d_j` and `U`, whose first factor is exact: `(u + g_2 + ... + g_l) D_l`;
//! - errors of `c`, which is 1-Lipschitz: `sum_(m<l) sum_(u in C_m) f_u R_(u -> l)` with the fast error `f_u`;
//! - the rounding of `V`, whose first factor is exact, too: `sum_u c_u (g_(m+2) + ... + g_l) R_(u -> l)` for each
//!   `m < l`, and that is at most `(g_(m+2) + ... + g_l) D_l`, since a unit that changed its sign lies no farther from
//!   zero than it moved;
//! - the sum itself, of depth at most `t_l = (number of d_j) + sum_(m<l) |C_m| + 4` (for `m = l - 1` also at most `n_l`
//!   where [`Affine::add_sums`] sums): `t_l u (|z_l(x0)| + (l + 1) D_l)`. The terms of a ray (`vicinity`) are
//!   `A + d B`, where `A` and `B` collect the two halves of `c_u = -s z_u(x0) - d s U_1,u` of the units of the first
//!   layer. A half is at most `|d U_1,u|`, so these make `2 D_l` instead of one, and `U` with `d` another.
//!
//! The sum of both errors, with `f_u + p_u <= tau_m`, is
//! ```text
//! 2 p_l + t_l u |z_l(x0)| + (W_l + (l + 1) t_l u + 2 u) D_l + sum_(m<l) tau_m sum_(u in C_m) R_(u -> l)
//! ```
//! with `W_l = g_1 + 2 g_2 + ... + l g_l`. Its maximum over the units of a hidden layer is `tau_l`; for the last layer
//! it is the bound per output. What flagged units pass on is first taken with the largest entry of each `R` and, but
//! for the `2 p` of each unit, with the terms of `tau`, which is cheap; where that does not suffice, per output and
//! with the sum above for each flagged unit ([`Bounds::refine`]).
//!
//! # Neither overflow nor underflow
//! Inputs and parameters are finite `f32`, multiples of 2^-149 below 2^128. With at most [`MAX_LAYERS`] layers all
//! values are multiples of 2^(-149 * 6) and all bounds of that times 2^-53 squared; magnitudes stay below 2^(128 * 6)
//! times numbers of terms.

use super::affine::{Affine, Term, list_terms};
use super::decoder::{ChainMemory, Layer};
use crate::num::cast;

/// Half a unit in the last place of numbers from 1 to 2.
pub(super) const UNIT: f64 = f64::EPSILON / 2.0;

/// Covers errors of second order; see the module documentation.
pub(super) const INFLATION: f64 = 1.0 + 1.0 / 1_048_576.0;

/// Longest chain that can neither overflow nor underflow.
pub(super) const MAX_LAYERS: usize = 5;

/// Widest layer that [`INFLATION`] covers.
const MAX_WIDTH: usize = 1 << 24;

/// Most numbers that the vicinity of an input may remember (32 MiB).
const MAX_MEMORY: usize = 1 << 22;

/// Most products that preparing the bounds may take.
const MAX_PRODUCTS: usize = 1 << 30;

/// What does not depend on the center.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// `g` of each layer.
    steps: Vec<f64>,
    /// `W` of each layer.
    weighted: Vec<f64>,
    /// Per layer and input, the largest entry of `G`.
    farthest: Vec<Vec<f64>>,
    /// Per layer and input, `G`.
    reach: Vec<Vec<Vec<f64>>>,
    /// Per hidden layer but the last, `[unit, output]`: `R` to the last layer.
    ways_out: Vec<Vec<f64>>,
    /// Per hidden layer and later layer (`[from][to - from - 1]`) for each unit, a bound of the entries of `R`.
    passed: Vec<Vec<Vec<f64>>>,
    /// Per output of the last layer 1, or 0 if it has no weight but zero: such an output is its bias, always.
    live: Vec<f64>,
}

/// Plain values and errors at the center.
#[derive(Debug, Clone, Default)]
pub(super) struct CenterErrors {
    /// Largest `p` of each layer.
    pub largest: Vec<f64>,
    /// Largest magnitude of each layer.
    pub magnitude: Vec<f64>,
    /// `p` of each layer.
    pub units: Vec<Vec<f64>>,
}

impl Bounds {
    /// `None` when the chain is empty, or too long or too large for a fast path.
    pub(super) fn new(layers: &[Layer]) -> Option<Self> {
        let inputs = layers.first()?.affine.inputs();
        let widths: Vec<usize> = layers.iter().map(|layer| layer.affine.outputs()).collect();
        let ways = widths.iter().enumerate().map(|(from, width)| width * widths.iter().skip(from + 2).sum::<usize>());
        let work = |from: usize, units: usize| {
            let later = layers.iter().skip(from).map(|layer| layer.affine.products());
            later.fold(0_usize, usize::saturating_add).saturating_mul(units)
        };
        let hidden = widths.iter().enumerate().map(|(from, width)| work(from + 2, *width));
        let products = hidden.fold(work(0, inputs), usize::saturating_add);
        if layers.len() > MAX_LAYERS
            || widths.iter().chain([&inputs]).any(|width| *width >= MAX_WIDTH)
            || inputs * widths.iter().sum::<usize>() + ways.sum::<usize>() > MAX_MEMORY
            || products > MAX_PRODUCTS
        {
            return None;
        }
        let steps: Vec<f64> = layers.iter().map(|layer| (layer.affine.depth() + 1.0) * UNIT).collect();
        let weighted = steps.iter().enumerate().scan(0.0, |sum, (level, step)| {
            *sum += cast::f64_from_count(level + 1) * step;
            Some(*sum)
        });
        let mut farthest = vec![Vec::with_capacity(inputs); layers.len()];
        let mut reach = vec![Vec::with_capacity(inputs); layers.len()];
        for input in 0..inputs {
            follow(layers, input, |level, column| {
                farthest[level].push(largest(column));
                reach[level].push(column.to_vec());
            });
        }
        let mut passed = ways_on(layers);
        let mut ways_out = Vec::new();
        for from in 0..layers.len().saturating_sub(2) {
            let to = layers.len() - 1;
            let mut all = Vec::with_capacity(widths[from] * widths[to]);
            for (unit, passed) in passed[from][to - from - 1].iter_mut().enumerate() {
                follow(&layers[from + 1..], unit, |level, column| {
                    if from + 1 + level == to {
                        *passed = largest(column);
                        all.extend_from_slice(column);
                    }
                });
            }
            ways_out.push(all);
        }
        let last = &layers[layers.len() - 1].affine;
        let mut live = vec![0.0; last.outputs()];
        for (range, weights) in (0..last.inputs()).flat_map(|unit| last.column(unit)) {
            for (live, weight) in live[range].iter_mut().zip(weights) {
                *live = if *weight == 0.0 { *live } else { 1.0 };
            }
        }
        Some(Self { weighted: weighted.collect(), steps, farthest, reach, ways_out, passed, live })
    }

    /// `G` of layer `level` (counted from 0) for input `input`.
    #[inline]
    pub(super) fn reach(&self, level: usize, input: u32) -> &[f64] {
        &self.reach[level][cast::index(input)]
    }

    /// 0 for outputs that are their bias whatever comes in, else 1.
    pub(super) fn live(&self) -> &[f64] {
        &self.live
    }

    /// Bound of the entries of `R` from `unit` of layer `from` to layer `to` (both counted from 0).
    #[inline]
    pub(super) fn passed(&self, from: usize, to: usize, unit: usize) -> f64 {
        self.passed[from][to - from - 1][unit]
    }

    /// [`Bounds::passed`] for each layer after `from`, and each unit of `from`.
    #[inline]
    pub(super) fn passed_on(&self, from: usize) -> &[Vec<f64>] {
        &self.passed[from]
    }

    /// What multiplies `D` of layer `level` (counted from 0), for sums of depth `depth`.
    pub(super) fn growth(&self, level: usize, depth: f64) -> f64 {
        let layer = cast::f64_from_count(level + 1);
        self.weighted[level] + ((layer + 1.0) * depth + 2.0) * UNIT
    }

    /// `tau` of layer `level` (counted from 0): `steps` are the `d_j`, `passed` is what flagged units pass on.
    pub(super) fn threshold(
        &self,
        level: usize,
        center: &CenterErrors,
        depth: f64,
        steps: &[Term],
        passed: f64,
    ) -> f64 {
        let farthest = &self.farthest[level];
        let moved: f64 = steps.iter().map(|step| step.factor.abs() * farthest[cast::index(step.unit)]).sum();
        INFLATION
            * (2.0 * center.largest[level]
                + depth * UNIT * center.magnitude[level]
                + self.growth(level, depth) * moved
                + passed)
    }

    /// Errors of the plain values that `memory` holds.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn at_center(&self, layers: &[Layer], memory: &mut ChainMemory, errors: &mut CenterErrors) {
        let ChainMemory { levels, terms } = memory;
        let CenterErrors { largest: all, magnitude, units } = errors;
        all.clear();
        magnitude.clear();
        units.resize_with(layers.len(), Vec::new);
        for (level, (layer, step)) in layers.iter().zip(&self.steps).enumerate() {
            let (before, after) = units.split_at_mut(level);
            let (values, errors) = (&levels[level], &mut after[0]);
            // The input has no errors.
            let error = |unit: usize| before.last().map_or(0.0, |errors| errors[unit]);
            if layer.rectifies {
                let factor = |(unit, value): (usize, &f64)| {
                    let error = error(unit);
                    let doubled = if value.abs() <= error { 2.0 * error } else { error };
                    (if *value < -error { 0.0 } else { doubled }) + step * value.max(0.0)
                };
                list_terms(values.iter().enumerate().map(factor), terms);
            } else {
                let factor = |(unit, value): (usize, &f64)| error(unit) + step * value.abs();
                list_terms(values.iter().enumerate().map(factor), terms);
            }
            errors.clear();
            errors.extend(layer.affine.bias().iter().map(|bias| step * bias.abs()));
            layer.affine.add_sums::<true>(terms, errors);
            all.push(largest(errors));
            magnitude.push(levels[level + 1].iter().fold(0.0, |most, value| value.abs().max(most)));
        }
    }

    /// Adds to `tolerances`, per output, what a flagged unit of layer `from` passes on when its error is `error`.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn refine(&self, layers: &[Layer], from: usize, unit: usize, error: f64, tolerances: &mut [f64]) {
        if let Some(ways) = self.ways_out.get(from) {
            let ways = &ways[unit * tolerances.len()..];
            for (tolerance, way) in tolerances.iter_mut().zip(ways) {
                *tolerance += error * way;
            }
            return;
        }
        for (range, weights) in layers[from + 1].affine.column(unit) {
            for (tolerance, weight) in tolerances[range].iter_mut().zip(weights) {
                *tolerance += error * f64::from(weight.abs());
            }
        }
    }
}

/// Calls `visit` with each layer and `unit`'s column of the product of the magnitudes up to it.
fn follow(layers: &[Layer], unit: usize, mut visit: impl FnMut(usize, &[f64])) {
    let mut terms = vec![Term { unit: cast::id(unit), factor: 1.0 }];
    for (level, layer) in layers.iter().enumerate() {
        let mut column = vec![0.0; layer.affine.outputs()];
        layer.affine.add_sums::<true>(&terms, &mut column);
        visit(level, &column);
        list_terms(column.into_iter(), &mut terms);
    }
}

/// The largest of numbers that are not negative.
fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// [`Bounds::passed`]: the maximum of a column of the next matrix, then sums of maxima.
fn ways_on(layers: &[Layer]) -> Vec<Vec<Vec<f64>>> {
    let next = |affine: &Affine, ways: Option<&[f64]>| -> Vec<f64> {
        (0..affine.inputs())
            .map(|unit| {
                let entries = affine.column(unit).flat_map(|(range, weights)| range.zip(weights));
                match ways {
                    None => entries.fold(0.0, |most, (_, weight)| f64::from(weight.abs()).max(most)),
                    Some(ways) => entries.map(|(output, weight)| f64::from(weight.abs()) * ways[output]).sum(),
                }
            })
            .collect()
    };
    let mut passed: Vec<Vec<Vec<f64>>> = Vec::with_capacity(layers.len());
    for layer in layers.iter().skip(1).rev() {
        let mut ways = vec![next(&layer.affine, None)];
        if let Some(later) = passed.last() {
            ways.extend(later.iter().map(|later| next(&layer.affine, Some(later))));
        }
        passed.push(ways);
    }
    passed.reverse();
    passed
}
