//! Losses between what went into a module and what came out: telescope loss and mean squared error.
//!
//! Sums are `f64`, in the order of cells, supercells and sectors. Which of them an evaluation uses is `metric`'s
//! choice.

use super::geometry::{CELLS, SECTORS, SUPERCELLS};
use crate::num::cast;

/// Telescope loss of ECON-T training: `4 L1 + 2 L2 + L3`, on charges normalized alike.
///
/// `L1`, `L2`, `L3` are means over the 48 cells, the 36 weighted supercells and the 3 sectors of `(y - p)^2 max(y, p)`,
/// where `y` is what went in and `p` what came out; a supercell's or sector's value is the sum of its cells, and a
/// supercell's term counts with its weight (`fastmachinelearning/fastml-science`,
/// `sensor-data-compression/telescope.py`).
pub fn telescope(input: &[f64; CELLS], output: &[f64; CELLS]) -> f64 {
    let cells = input.iter().zip(output).map(|(y, p)| term(*y, *p)).sum::<f64>();
    let supercells = SUPERCELLS.iter().map(|supercell| {
        let sum = |charges: &[f64; CELLS]| supercell.cells.iter().map(|cell| charges[*cell]).sum();
        supercell.weight * term(sum(input), sum(output))
    });
    let sectors = SECTORS.iter().map(|sector| {
        let sum = |charges: &[f64; CELLS]| charges[sector.clone()].iter().sum();
        term(sum(input), sum(output))
    });
    let mean = |sum: f64, count: usize| sum / cast::f64_from_count(count);
    4.0 * mean(cells, CELLS) + 2.0 * mean(supercells.sum(), SUPERCELLS.len()) + mean(sectors.sum(), SECTORS.len())
}

fn term(y: f64, p: f64) -> f64 {
    (y - p).powi(2) * if y > p { y } else { p }
}

/// Mean of the squared differences; 0 when there is no value.
///
/// # Panics
/// When the lengths differ: whoever pairs the two checks that.
pub fn mean_squared_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "only vectors of one length are compared");
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    sum / cast::f64_from_count(a.len().max(1))
}

/// Mean of the squared differences over the cells of a module.
pub fn mean_squared_error_of_cells(input: &[f64; CELLS], output: &[f64; CELLS]) -> f64 {
    let sum: f64 = input.iter().zip(output).map(|(y, p)| (y - p).powi(2)).sum();
    sum / cast::f64_from_count(CELLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telescope_of_single_cells() {
        // Sums of a few dozen terms of order one.
        const TOLERANCE: f64 = 1e-14;
        let none = [0.0; CELLS];
        assert_eq!(telescope(&none, &none), 0.0);
        // Cell 15 lies in the supercells (10 11 14 15) and (11 15 32 33), both of weight 3/8.
        let mut charge = none;
        charge[15] = 2.0;
        let expected = 8.0 * (4.0 / 48.0 + 2.0 * (3.0 / 8.0 + 3.0 / 8.0) / 36.0 + 1.0 / 3.0);
        assert!((telescope(&charge, &none) - expected).abs() < TOLERANCE);
        assert!((telescope(&none, &charge) - expected).abs() < TOLERANCE);
        // The neighbor 11 shares those two supercells, so the charge is lost from cell 15 only there, and found in 11,
        // which is also in (6 7 10 11) and (7 11 33 34) of weight 1/4.
        let mut moved = none;
        moved[11] = 2.0;
        let expected = 8.0 * (2.0 * 4.0 / 48.0 + 2.0 * (1.0 / 4.0 + 1.0 / 4.0) / 36.0);
        assert!((telescope(&charge, &moved) - expected).abs() < TOLERANCE);
    }

    #[test]
    fn telescope_weighs_with_the_larger_side() {
        let (mut low, mut high) = ([0.0; CELLS], [0.0; CELLS]);
        low[0] = 1.0;
        high[0] = 3.0;
        // (1 - 3)^2 * 3 instead of 8 in `telescope_of_single_cells`; cell 0 lies in two supercells of weight 3/8.
        let expected = 12.0 * (4.0 / 48.0 + 2.0 * (3.0 / 8.0 + 3.0 / 8.0) / 36.0 + 1.0 / 3.0);
        assert!((telescope(&low, &high) - expected).abs() < 1e-14);
        assert_eq!(telescope(&low, &high), telescope(&high, &low));
    }

    #[test]
    fn squared_errors() {
        assert_eq!(mean_squared_error(&[1.0, 2.0], &[1.0, 5.0]), 4.5);
        assert_eq!(mean_squared_error(&[], &[]), 0.0);
    }
}
