//! Trace and diagonal of a symmetric operator by random probes, with their standard errors.
//!
//! A probe is a vector `z` of random signs: `z_i (Hz)_i` has mean `H_ii` (Hutchinson 1990 for the trace; Bekas, Kokiopoulou
//! and Saad 2007 for the diagonal). All of its variance is from outside the diagonal, so a diagonal operator is exact
//! after any probe.

use std::ops::Range;

use super::SymmetricOperator;
use crate::fault::Draws;
use crate::num::cast;

/// Probes that share a call of the operator.
const PROBES_TOGETHER: usize = 8;

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// Too few probes for a standard error.
    #[error("{probes} probes give no standard error; ask for at least 2")]
    TooFewProbes {
        /// Probes asked for.
        probes: usize,
    },
    /// A group that reaches beyond the operator.
    #[error("group {group} is {start}..{end}, but there are {dim} parameters")]
    Group {
        /// Which group, counted from 0.
        group: usize,
        /// Its first index.
        start: usize,
        /// One past its last index.
        end: usize,
        /// Rows of the operator.
        dim: usize,
    },
    /// A product with an entry that is no finite number.
    #[error("the product with probe {probe} has an entry {index} = {value}, which is not finite")]
    NotFinite {
        /// Which probe, counted from 0.
        probe: usize,
        /// Which entry, counted from 0.
        index: usize,
        /// The entry.
        value: f64,
    },
}

/// A mean over probes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error: standard deviation of the probes over the root of their number.
    pub standard_error: f64,
}

/// Trace of an operator, whole and in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceEstimate {
    /// Of every group, in their order: the sum of the diagonal over its indices.
    pub groups: Vec<Estimate>,
    /// Of the whole operator, whatever the groups cover.
    pub total: Estimate,
}

/// Mean and spread of numbers that come one by one (Welford 1962): equal numbers have no spread at all.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, number: f64) {
        self.count += 1;
        let difference = number - self.mean;
        self.mean += difference / cast::f64_from_count(self.count);
        self.squares += difference * (number - self.mean);
    }

    fn estimate(self) -> Estimate {
        let count = cast::f64_from_count(self.count);
        Estimate { value: self.mean, standard_error: (self.squares / (count * (count - 1.0))).sqrt() }
    }
}

/// The trace over every group of indices (a tensor, a layer), from `probes` random probes.
///
/// The same operator, number and seed give the same bits; so does a group, whatever the others are.
///
/// # Errors
/// When there are fewer than two probes, a group reaches beyond the operator, or a product is not finite.
pub fn hutchinson<O: SymmetricOperator + ?Sized>(
    operator: &O,
    groups: &[Range<usize>],
    probes: usize,
    seed: u64,
) -> Result<TraceEstimate, TraceError> {
    let dim = operator.dim();
    if let Some(group) = groups.iter().position(|group| group.start > group.end || group.end > dim) {
        let Range { start, end } = groups[group];
        return Err(TraceError::Group { group, start, end, dim });
    }
    let mut parts = vec![Moments::default(); groups.len()];
    let mut total = Moments::default();
    for_each_probe(operator, probes, seed, |terms| {
        for (moments, group) in parts.iter_mut().zip(groups) {
            moments.add(terms[group.clone()].iter().sum());
        }
        total.add(terms.iter().sum());
    })?;
    Ok(TraceEstimate { groups: parts.into_iter().map(Moments::estimate).collect(), total: total.estimate() })
}

/// Every entry of the diagonal, from `probes` random probes.
///
/// The same operator, number and seed give the same bits.
///
/// # Errors
/// When there are fewer than two probes, or a product is not finite.
pub fn stochastic_diagonal<O: SymmetricOperator + ?Sized>(
    operator: &O,
    probes: usize,
    seed: u64,
) -> Result<Vec<Estimate>, TraceError> {
    let mut entries = vec![Moments::default(); operator.dim()];
    for_each_probe(operator, probes, seed, |terms| {
        for (moments, term) in entries.iter_mut().zip(terms) {
            moments.add(*term);
        }
    })?;
    Ok(entries.into_iter().map(Moments::estimate).collect())
}

/// Calls `visit` with `z_i (Hz)_i` for all `i`, probe by probe. Probe `p` is drawn from stream `p` of the seed.
fn for_each_probe<O: SymmetricOperator + ?Sized>(
    operator: &O,
    probes: usize,
    seed: u64,
    mut visit: impl FnMut(&[f64]),
) -> Result<(), TraceError> {
    if probes < 2 {
        return Err(TraceError::TooFewProbes { probes });
    }
    let dim = operator.dim();
    let numbers: Vec<usize> = (0..probes).collect();
    for together in numbers.chunks(PROBES_TOGETHER) {
        let signs: Vec<Vec<f64>> = together.iter().map(|probe| random_signs(dim, seed, *probe)).collect();
        let mut products = vec![vec![0.0; dim]; signs.len()];
        operator.apply_many(&signs, &mut products);
        for ((probe, signs), mut terms) in together.iter().zip(&signs).zip(products) {
            if let Some(index) = terms.iter().position(|entry| !entry.is_finite()) {
                return Err(TraceError::NotFinite { probe: *probe, index, value: terms[index] });
            }
            terms.iter_mut().zip(signs).for_each(|(term, sign)| *term *= sign);
            visit(&terms);
        }
    }
    Ok(())
}

fn random_signs(dim: usize, seed: u64, probe: usize) -> Vec<f64> {
    let mut draws = Draws::new(seed, cast::u64_from_len(probe));
    (0..dim).map(|_| if draws.below(2) == 0 { 1.0 } else { -1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A band matrix: `diagonal(i)` on the diagonal, `coupling` beside it.
    struct Band {
        dim: usize,
        coupling: f64,
    }

    impl Band {
        fn diagonal(&self, at: usize) -> f64 {
            0.1 * cast::f64_from_count(at) - 0.03 * cast::f64_from_count(self.dim)
        }

        fn trace(&self, group: Range<usize>) -> f64 {
            group.map(|at| self.diagonal(at)).sum()
        }
    }

    impl SymmetricOperator for Band {
        fn dim(&self) -> usize {
            self.dim
        }

        fn apply(&self, vector: &[f64], out: &mut [f64]) {
            for at in 0..self.dim {
                let before = if at > 0 { vector[at - 1] } else { 0.0 };
                let after = vector.get(at + 1).copied().unwrap_or_default();
                out[at] = self.diagonal(at) * vector[at] + self.coupling * (before + after);
            }
        }
    }

    const GROUPS: [Range<usize>; 3] = [0..10, 10..45, 50..50];

    #[test]
    fn a_diagonal_is_exact_after_any_probes() {
        let band = Band { dim: 60, coupling: 0.0 };
        for entry in stochastic_diagonal(&band, 3, 7).unwrap().iter().enumerate() {
            assert_eq!(*entry.1, Estimate { value: band.diagonal(entry.0), standard_error: 0.0 });
        }
        let trace = hutchinson(&band, &GROUPS, 3, 7).unwrap();
        for (estimate, group) in trace.groups.iter().zip(GROUPS) {
            assert_eq!(*estimate, Estimate { value: band.trace(group), standard_error: 0.0 });
        }
        assert_eq!(trace.total, Estimate { value: band.trace(0..60), standard_error: 0.0 });
    }

    #[test]
    fn estimates_are_unbiased_and_errors_cover() {
        let band = Band { dim: 60, coupling: 0.5 };
        let (probes, repetitions) = (30, 400_u32);
        let truth = band.trace(10..45);
        let (mut covered, mut mean) = (0_u32, 0.0);
        let (mut entries_covered, mut entries) = (0_u32, 0_u32);
        for seed in 0..repetitions {
            let found = hutchinson(&band, &GROUPS, probes, u64::from(seed)).unwrap().groups[1];
            mean += found.value / f64::from(repetitions);
            covered += u32::from((found.value - truth).abs() <= 2.045 * found.standard_error);
            for (at, entry) in stochastic_diagonal(&band, probes, u64::from(seed)).unwrap().iter().enumerate() {
                entries += 1;
                entries_covered += u32::from((entry.value - band.diagonal(at)).abs() <= 2.045 * entry.standard_error);
            }
        }
        // Each probe adds 2 * 0.5 z_i z_j for each of the 34 pairs inside, and 0.5 z_i z_j for the two across the ends.
        let deviation = ((34.0 + 2.0 * 0.25) / f64::from(repetitions) / 30.0).sqrt();
        assert!((mean - truth).abs() < 4.0 * deviation, "{mean} {truth} {deviation}");
        // 2.045 is Student's 97.5 % point at 29 degrees of freedom: 380 of 400 are expected, 4.4 the deviation.
        assert!((362..=398).contains(&covered), "{covered}");
        let share = f64::from(entries_covered) / f64::from(entries);
        assert!((0.93..0.98).contains(&share), "{share}");
    }

    #[test]
    fn a_probe_is_the_same_for_ever_and_groups_do_not_disturb_each_other() {
        assert_eq!(random_signs(8, 1, 0), [1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0]);
        let band = Band { dim: 60, coupling: 0.5 };
        let all = hutchinson(&band, &GROUPS, 19, 3).unwrap();
        assert_eq!(all, hutchinson(&band, &GROUPS, 19, 3).unwrap());
        let one = hutchinson(&band, &GROUPS[1..2], 19, 3).unwrap();
        assert_eq!((one.groups[0], one.total), (all.groups[1], all.total));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let band = Band { dim: 60, coupling: f64::NAN };
        assert_eq!(hutchinson(&band, &GROUPS, 1, 1), Err(TraceError::TooFewProbes { probes: 1 }));
        let beyond = [0..3, 59..61];
        assert_eq!(hutchinson(&band, &beyond, 2, 1), Err(TraceError::Group { group: 1, start: 59, end: 61, dim: 60 }));
        assert!(matches!(stochastic_diagonal(&band, 2, 1), Err(TraceError::NotFinite { probe: 0, index: 0, .. })));
    }
}
