//! `Combination`: sums of matrix rows weighted by inputs, the one kernel of all float layers.
//!
//! It knows no layer and no window: `decoder` says which inputs meet which rows.

use crate::num::cast;

/// Columns summed at a time: enough independent sums to hide the latency of an addition, few enough to stay in registers.
const TILE: usize = 16;

/// -0 as +0: a sum that starts at +0 and rounds to nearest is never -0, so that adding a product with zero changes
/// nothing and zero inputs can be skipped.
pub(super) fn positive_zero(value: f32) -> f32 {
    value + 0.0
}

/// One input that is not zero.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    row: u32,
    factor: f32,
}

/// What [`Combination::run`] takes and gives.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    /// Inputs that are not zero, position after position.
    terms: Vec<Term>,
    /// Where the terms of each position end.
    ends: Vec<usize>,
    /// `[position, column]`, each position padded to whole tiles.
    pub(super) sums: Vec<f32>,
}

impl Work {
    pub(super) fn clear(&mut self) {
        self.terms.clear();
        self.ends.clear();
    }

    /// Adds inputs to the current position: those that are not zero, on the rows from `first_row` on.
    pub(super) fn append(&mut self, first_row: usize, inputs: &[f32]) {
        // Half of the values behind a ReLU are zero in no order, so the test must not become a branch.
        let mut kept = self.terms.len();
        self.terms.resize(kept + inputs.len(), Term::default());
        for (row, factor) in (cast::id(first_row)..).zip(inputs) {
            self.terms[kept] = Term { row, factor: *factor };
            kept += usize::from(*factor != 0.0);
        }
        self.terms.truncate(kept);
    }

    pub(super) fn end_position(&mut self) {
        self.ends.push(self.terms.len());
    }
}

/// `out[column] = bias[column] + sum_row factor[row] * matrix[row, column]`, summed in the order of the terms.
#[derive(Debug, Clone)]
pub(super) struct Combination {
    rows: usize,
    /// Number of sums.
    pub(super) columns: usize,
    /// `[tile, row, TILE]`, zeros right of the last column.
    matrix: Vec<[f32; TILE]>,
    /// `[tile, TILE]`.
    bias: Vec<[f32; TILE]>,
}

impl Combination {
    /// From a matrix `[rows, bias.len()]` in C order.
    pub(super) fn new(matrix: &[f32], bias: &[f32]) -> Self {
        let columns = bias.len();
        let rows = matrix.len().checked_div(columns).unwrap_or(0);
        let tile = |values: &[f32], first: usize| {
            std::array::from_fn(|lane| values.get(first + lane).copied().map_or(0.0, positive_zero))
        };
        let starts = || (0..columns).step_by(TILE);
        Self {
            rows,
            columns,
            matrix: starts()
                .flat_map(|first| (0..rows).map(move |row| (row, first)))
                .map(|(row, first)| tile(&matrix[row * columns..(row + 1) * columns], first))
                .collect(),
            bias: starts().map(|first| tile(bias, first)).collect(),
        }
    }

    /// Length of the sums of one position.
    pub(super) fn padded(&self) -> usize {
        self.bias.len() * TILE
    }

    /// Sums the terms of every position into `work.sums`.
    ///
    /// All positions take their turn on one tile before the next, because a tile's weights fit the nearest cache.
    pub(super) fn run(&self, work: &mut Work) {
        let Work { terms, ends, sums } = work;
        let len = ends.len() * self.padded();
        if sums.len() < len {
            sums.resize(len, 0.0);
        }
        let (sums, _) = sums[..len].as_chunks_mut::<TILE>();
        for (tile, bias) in self.bias.iter().enumerate() {
            let matrix = &self.matrix[tile * self.rows..(tile + 1) * self.rows];
            let mut start = 0;
            for (out, end) in sums.iter_mut().skip(tile).step_by(self.bias.len()).zip(ends.iter()) {
                let mut sum = *bias;
                for term in &terms[start..*end] {
                    for (sum, weight) in sum.iter_mut().zip(&matrix[cast::index(term.row)]) {
                        *sum += term.factor * weight;
                    }
                }
                *out = sum;
                start = *end;
            }
        }
    }
}
