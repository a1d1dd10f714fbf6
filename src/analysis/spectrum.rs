//! Eigenpairs of largest magnitude of a symmetric operator: Lanczos with full reorthogonalization and thick restarts.
//!
//! The basis grows to `2k + 20` vectors; then the best of it is kept and goes on (Wu and Simon 2000). Each vector is
//! kept with its product, so that residuals are those of the pairs themselves, not estimates. Memory is twice the basis:
//! linear in the number of parameters.
//!
//! A start vector sees one direction of every eigenspace only, so a repeated eigenvalue would be found once. Therefore,
//! once the pairs have converged, a fresh random vector orthogonal to them searches for what was missed
//! ([`Copies::Search`]).

use nalgebra::{DMatrix, SymmetricEigen};

use super::SymmetricOperator;
use crate::fault::Draws;
use crate::num::cast;

/// Vectors of the basis beyond two per pair.
const SPARE_VECTORS: usize = 20;

/// Products that a search for missed copies takes at least. A random vector of 10,000 entries then shows, but for one
/// case in a hundred, what is 6 % above the rest (Kuczynski and Wozniakowski 1992, theorem 4.2).
const SEARCH_PRODUCTS: usize = 20;

/// A search ends early when the residuals of the largest values it sees are this part of what they lack to the wanted
/// ones.
const SEARCH_MARGIN: f64 = 0.01;

/// Why there is no spectrum.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpectrumError {
    /// Nothing was asked for.
    #[error("0 eigenpairs are asked for; ask for at least 1")]
    NoPairs,
    /// More pairs than the operator has.
    #[error("{asked} eigenpairs are asked for, but there are only {dim} parameters; ask for at most {dim}")]
    TooManyPairs {
        /// Pairs asked for.
        asked: usize,
        /// Rows of the operator.
        dim: usize,
    },
    /// Too few products to see as many directions.
    #[error("{asked} eigenpairs take more than {most} products; allow at least {asked}")]
    TooFewProducts {
        /// Pairs asked for.
        asked: usize,
        /// Products allowed.
        most: usize,
    },
    /// A product with an entry that is no finite number.
    #[error("product {product} has an entry {index} = {value}, which is not finite")]
    NotFinite {
        /// Which product, counted from 1.
        product: usize,
        /// Which entry, counted from 0.
        index: usize,
        /// The entry.
        value: f64,
    },
    /// The small dense problem did not converge.
    #[error("the eigenvalues of a {size}x{size} matrix did not converge after {products} products")]
    Dense {
        /// Rows of the dense matrix.
        size: usize,
        /// Products so far.
        products: usize,
    },
}

/// How often a repeated eigenvalue is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// As often as there is room for: searches the complement of what was found, which takes 20 products or more.
    Search,
    /// Once, or more often by chance. Enough where no two eigenvalues are equal.
    OneEach,
}

/// How eigenpairs are sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpectrumOptions {
    /// Largest residual `||Hv - lambda v||`, relative to the largest eigenvalue in magnitude. What doubles cannot
    /// reach is raised to what they can.
    pub tolerance: f64,
    /// Products with the operator at most.
    pub max_products: usize,
    /// Whether repeated eigenvalues are searched for.
    pub copies: Copies,
    /// Seed of the random vectors.
    pub seed: u64,
}

impl Default for SpectrumOptions {
    fn default() -> Self {
        Self { tolerance: 1e-6, max_products: 2000, copies: Copies::Search, seed: 1 }
    }
}

/// Eigenpairs, the largest magnitude first.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigenpairs {
    /// Eigenvalues.
    pub values: Vec<f64>,
    /// Eigenvectors of length 1; of each, the first entry of largest magnitude is positive.
    pub vectors: Vec<Vec<f64>>,
    /// `||Hv - lambda v||` of every pair.
    pub residuals: Vec<f64>,
    /// Products with the operator that were taken.
    pub products: usize,
    /// Whether every residual is within the tolerance, and the search for copies ended, where asked for.
    pub converged: bool,
}

/// The `pairs` eigenpairs of largest magnitude.
///
/// The same operator, number and options give the same bits. Where products run out, the best so far is returned, with
/// `converged` false.
///
/// # Errors
/// When no pairs, more pairs than rows, or fewer products than pairs are asked for; when a product is not finite.
pub fn eigenpairs<O: SymmetricOperator + ?Sized>(
    operator: &O,
    pairs: usize,
    options: &SpectrumOptions,
) -> Result<Eigenpairs, SpectrumError> {
    let dim = operator.dim();
    if pairs == 0 {
        return Err(SpectrumError::NoPairs);
    }
    if pairs > dim {
        return Err(SpectrumError::TooManyPairs { asked: pairs, dim });
    }
    if pairs > options.max_products {
        return Err(SpectrumError::TooFewProducts { asked: pairs, most: options.max_products });
    }
    let room = dim.min(2 * pairs + SPARE_VECTORS);
    let kept = pairs + (room - pairs) / 2;
    let tolerance = options.tolerance.max(64.0 * f64::EPSILON * cast::f64_from_count(dim).sqrt());

    let mut basis = Basis::new(operator, options.seed);
    let mut search: Option<Search> = None;
    let mut next = basis.random();
    let searched = loop {
        let Some(vector) = next else {
            // The basis spans everything: nothing can be missing.
            break true;
        };
        basis.push(vector)?;
        if basis.vectors.len() < pairs {
            next = basis.continuation();
            continue;
        }
        let ritz = basis.ritz()?;
        let bound = tolerance * ritz.values[0].abs();
        let settled = (0..pairs).rev().all(|pair| basis.residual(&ritz, pair) <= bound);
        let starts_search = match (options.copies, &search) {
            _ if !settled => false,
            (Copies::OneEach, _) => break true,
            (Copies::Search, None) => true,
            (Copies::Search, Some(search)) => {
                let ended = search.has_ended(&basis, &ritz, bound);
                if ended && search.found_nothing(&ritz, bound) {
                    break true;
                }
                ended
            }
        };
        if basis.applied >= options.max_products {
            break false;
        }
        next = if starts_search {
            search = Some(Search { started: basis.applied, values: ritz.values[..pairs].to_vec() });
            basis.compress(&ritz, pairs);
            basis.random()
        } else {
            let continuation = basis.continuation();
            if continuation.is_some() && basis.vectors.len() == room {
                basis.compress(&ritz, kept);
            }
            continuation
        };
    };

    let ritz = basis.ritz()?;
    let residuals: Vec<f64> = (0..pairs).map(|pair| basis.residual(&ritz, pair)).collect();
    let bound = tolerance * ritz.values[0].abs();
    Ok(Eigenpairs {
        converged: searched && residuals.iter().all(|residual| *residual <= bound),
        vectors: (0..pairs).map(|pair| oriented(combination(&basis.vectors, &ritz, pair))).collect(),
        values: ritz.values[..pairs].to_vec(),
        residuals,
        products: basis.applied,
    })
}

/// A search of the complement of converged pairs.
struct Search {
    /// Products before it.
    started: usize,
    /// The wanted values before it.
    values: Vec<f64>,
}

impl Search {
    /// Whether both ends of the complement's spectrum are known well enough to tell them from the wanted values: one end
    /// may have converged while the other is still growing.
    fn has_ended<O: SymmetricOperator + ?Sized>(&self, basis: &Basis<'_, O>, ritz: &Ritz, bound: f64) -> bool {
        let wanted = self.values.len();
        if wanted >= ritz.values.len() || basis.applied < self.started + SEARCH_PRODUCTS {
            return false;
        }
        let least = ritz.values[wanted - 1].abs();
        let ends = [f64::is_sign_positive, f64::is_sign_negative].map(|has_sign| {
            let end = ritz.values[wanted..].iter().position(|value| has_sign(*value));
            end.map(|end| wanted + end)
        });
        ends.into_iter().flatten().all(|end| {
            let lacking = least - ritz.values[end].abs();
            basis.residual(ritz, end) <= bound.max(SEARCH_MARGIN * lacking)
        })
    }

    fn found_nothing(&self, ritz: &Ritz, bound: f64) -> bool {
        self.values.iter().zip(&ritz.values).all(|(before, after)| (before.abs() - after.abs()).abs() <= bound)
    }
}

/// Best approximations within a basis, the largest magnitude first.
struct Ritz {
    values: Vec<f64>,
    /// A column per value: its vector in terms of the basis.
    coefficients: DMatrix<f64>,
}

/// Orthonormal vectors with their products.
struct Basis<'a, O: ?Sized> {
    operator: &'a O,
    vectors: Vec<Vec<f64>>,
    products: Vec<Vec<f64>>,
    /// `projected[j][i]` is `vectors[i] . products[j]`, for `i` up to `j`.
    projected: Vec<Vec<f64>>,
    /// Length of the longest product so far: what rounding is relative to.
    scale: f64,
    draws: Draws,
    applied: usize,
}

impl<'a, O: SymmetricOperator + ?Sized> Basis<'a, O> {
    fn new(operator: &'a O, seed: u64) -> Self {
        Self {
            operator,
            vectors: Vec::new(),
            products: Vec::new(),
            projected: Vec::new(),
            scale: 0.0,
            draws: Draws::new(seed, 0),
            applied: 0,
        }
    }

    /// Adds a vector of length 1, orthogonal to the others.
    fn push(&mut self, vector: Vec<f64>) -> Result<(), SpectrumError> {
        let mut product = vec![0.0; vector.len()];
        self.operator.apply(&vector, &mut product);
        self.applied += 1;
        if let Some(index) = product.iter().position(|entry| !entry.is_finite()) {
            return Err(SpectrumError::NotFinite { product: self.applied, index, value: product[index] });
        }
        self.scale = self.scale.max(norm(&product));
        self.vectors.push(vector);
        self.projected.push(self.vectors.iter().map(|other| dot(other, &product)).collect());
        self.products.push(product);
        Ok(())
    }

    /// The next Lanczos vector: what of the last product the basis does not hold yet; a random vector where that is
    /// nothing but rounding. `None` when the basis spans everything.
    fn continuation(&mut self) -> Option<Vec<f64>> {
        let mut vector = self.products.last()?.clone();
        let rounding = 8.0 * f64::EPSILON * cast::f64_from_count(vector.len()).sqrt() * self.scale;
        match self.orthogonalize(&mut vector) {
            length if length > rounding => Some(vector),
            _ => self.random(),
        }
    }

    /// A random vector of length 1, orthogonal to the basis; `None` when there is none.
    fn random(&mut self) -> Option<Vec<f64>> {
        // A random vector lies in what is spanned up to rounding only by a chance that does not happen twice.
        const TRIES: usize = 8;
        const LEAST: f64 = 1e-10;
        let dim = self.operator.dim();
        if self.vectors.len() >= dim {
            return None;
        }
        (0..TRIES).find_map(|_| {
            let mut vector: Vec<f64> = (0..dim).map(|_| 2.0 * self.draws.unit() - 1.0).collect();
            (self.orthogonalize(&mut vector) > LEAST).then_some(vector)
        })
    }

    /// Takes from `vector` what the basis holds, and scales it to length 1. Gives the length that was left.
    fn orthogonalize(&self, vector: &mut [f64]) -> f64 {
        let mut length = 0.0;
        // Twice is enough (Parlett 1998, section 6.9); a third time, after scaling, covers remainders that are small.
        for pass in 0..3 {
            for other in &self.vectors {
                let share = dot(other, vector);
                add_scaled(vector, -share, other);
            }
            if pass > 0 {
                let left = norm(vector);
                if pass == 1 {
                    length = left;
                }
                if left > 0.0 {
                    divide(vector, left);
                }
            }
        }
        length
    }

    /// Best approximations to eigenpairs within the basis.
    fn ritz(&self) -> Result<Ritz, SpectrumError> {
        /// Far above the handful of steps per value that the QR iteration takes.
        const MOST_STEPS_PER_VALUE: usize = 200;
        let size = self.vectors.len();
        let matrix = DMatrix::from_fn(size, size, |row, column| self.projected[row.max(column)][row.min(column)]);
        let dense = SymmetricEigen::try_new(matrix, f64::EPSILON, MOST_STEPS_PER_VALUE * size)
            .ok_or(SpectrumError::Dense { size, products: self.applied })?;
        let mut order: Vec<usize> = (0..size).collect();
        let value = |at: usize| dense.eigenvalues[at];
        order.sort_by(|a, b| {
            let by_magnitude = value(*b).abs().total_cmp(&value(*a).abs());
            by_magnitude.then(value(*b).total_cmp(&value(*a)))
        });
        Ok(Ritz {
            values: order.iter().map(|at| value(*at)).collect(),
            coefficients: DMatrix::from_fn(size, size, |row, column| dense.eigenvectors[(row, order[column])]),
        })
    }

    /// `||Hv - lambda v||` of an approximation.
    fn residual(&self, ritz: &Ritz, pair: usize) -> f64 {
        let mut difference = combination(&self.products, ritz, pair);
        for (vector, share) in self.vectors.iter().zip(ritz.coefficients.column(pair).iter()) {
            add_scaled(&mut difference, -ritz.values[pair] * share, vector);
        }
        norm(&difference)
    }

    /// Keeps the first `kept` approximations as the basis.
    fn compress(&mut self, ritz: &Ritz, kept: usize) {
        for set in [&mut self.vectors, &mut self.products] {
            let mut row = vec![0.0; set.len()];
            for entry in 0..set[0].len() {
                for (value, vector) in row.iter_mut().zip(set.iter()) {
                    *value = vector[entry];
                }
                for (column, vector) in set.iter_mut().enumerate().take(kept) {
                    vector[entry] = row.iter().zip(ritz.coefficients.column(column).iter()).map(|(a, b)| a * b).sum();
                }
            }
            set.truncate(kept);
        }
        self.projected = (0..kept).map(|row| vec![0.0; row + 1]).collect();
        for (row, value) in self.projected.iter_mut().zip(&ritz.values) {
            if let Some(diagonal) = row.last_mut() {
                *diagonal = *value;
            }
        }
    }
}

/// The combination of `vectors` that an approximation is.
fn combination(vectors: &[Vec<f64>], ritz: &Ritz, pair: usize) -> Vec<f64> {
    let mut sum = vec![0.0; vectors[0].len()];
    for (vector, share) in vectors.iter().zip(ritz.coefficients.column(pair).iter()) {
        add_scaled(&mut sum, *share, vector);
    }
    sum
}

/// An eigenvector is one with either sign; of the two, that whose first entry of largest magnitude is positive.
fn oriented(mut vector: Vec<f64>) -> Vec<f64> {
    let largest =
        vector.iter().fold(0.0_f64, |largest, entry| if entry.abs() > largest.abs() { *entry } else { largest });
    let length = norm(&vector);
    divide(&mut vector, if largest < 0.0 { -length } else { length });
    vector
}

fn divide(vector: &mut [f64], divisor: f64) {
    for entry in vector {
        *entry /= divisor;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The length of a vector, also where the squares of its entries are too large or too small for a double.
fn norm(vector: &[f64]) -> f64 {
    const SAFE: std::ops::Range<f64> = 1e-250..1e250;
    let square = dot(vector, vector);
    if SAFE.contains(&square) {
        return square.sqrt();
    }
    let largest = vector.iter().fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    vector.iter().map(|entry| (entry / largest).powi(2)).sum::<f64>().sqrt() * largest
}

fn add_scaled(sum: &mut [f64], factor: f64, vector: &[f64]) {
    for (entry, other) in sum.iter_mut().zip(vector) {
        *entry += factor * other;
    }
}

#[cfg(test)]
#[path = "spectrum_tests.rs"]
mod tests;
