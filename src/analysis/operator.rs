//! `SymmetricOperator`: a symmetric matrix known by what it does to vectors alone.
//!
//! A Hessian of a network is one: its product with a vector costs about as much as a few gradients, the matrix itself
//! as many as there are parameters.

/// A symmetric matrix `H`, `dim` by `dim`, given by its products with vectors.
///
/// Contract: `apply` is linear and symmetric, `u.(Hv) = v.(Hu)`, up to rounding, and gives the same bits for the same
/// vector, whatever was asked before and by however many threads.
pub trait SymmetricOperator {
    /// Number of rows, and of columns.
    fn dim(&self) -> usize;

    /// Writes `H * vector` over all of `out`; both are `dim` long.
    fn apply(&self, vector: &[f64], out: &mut [f64]);

    /// Writes `H * vectors[i]` over all of `outs[i]`, for every `i`, with the same bits as [`SymmetricOperator::apply`].
    ///
    /// An operator that goes over data for a product can go over it once for several.
    fn apply_many(&self, vectors: &[Vec<f64>], outs: &mut [Vec<f64>]) {
        for (vector, out) in vectors.iter().zip(outs) {
            self.apply(vector, out);
        }
    }
}
