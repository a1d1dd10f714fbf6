//! Quantiles that tell whether two sets of events look alike to an autoencoder of trigger-cell charges.
//!
//! It describes events; it neither generates nor judges them.

use super::geometry::{CELLS, Charges, centers, distances};
use crate::num::cast;

/// The probabilities of [`Quantiles`], in percent.
pub const PERCENTS: [u32; 5] = [5, 25, 50, 75, 95];

/// Quantiles at [`PERCENTS`], interpolated linearly between order statistics (NumPy's default, R's type 7).
pub type Quantiles = [f64; 5];

/// Distance from the hottest cell's center, in half cell pitches, that counts as around it: its nearest neighbors.
pub const AROUND: f64 = 2.5;

/// What a set of events looks like.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// How many events were seen.
    pub events: usize,
    /// Cells with charge, per event.
    pub occupied_cells: Quantiles,
    /// Binary logarithm of the sum of charges, per event.
    pub log2_sum: Quantiles,
    /// The largest charge's share of the sum, per event.
    pub hottest_share: Quantiles,
    /// Root mean square distance from the charge-weighted center, in half cell pitches, per event of at least two
    /// occupied cells; `None` when there is none.
    pub rms_radius: Option<Quantiles>,
    /// Share of the sum within [`AROUND`] of the hottest cell (the first of equals), itself included, per event of at
    /// least two occupied cells; `None` when there is none.
    pub share_around_hottest: Option<Quantiles>,
    /// The charges that are not zero, of all events together.
    pub cell_charges: Quantiles,
}

impl EventStatistics {
    /// The statistics of `events`; `None` when there are none.
    pub fn of(events: &[Charges]) -> Option<Self> {
        let (centers, distances) = (centers(), distances());
        let mut occupied_cells = Vec::with_capacity(events.len());
        let mut log2_sums = Vec::with_capacity(events.len());
        let mut hottest_shares = Vec::with_capacity(events.len());
        let mut radii = Vec::new();
        let mut around = Vec::new();
        let mut cell_charges = Vec::new();
        for event in events {
            let (charges, sum) = (event.charges(), event.sum());
            let before = cell_charges.len();
            cell_charges.extend(charges.iter().copied().filter(|&charge| charge > 0.0));
            let occupied = cell_charges.len() - before;
            let hottest = (1..CELLS).fold(0, |best, cell| if charges[cell] > charges[best] { cell } else { best });
            occupied_cells.push(cast::f64_from_count(occupied));
            log2_sums.push(sum.log2());
            hottest_shares.push(charges[hottest] / sum);
            if occupied >= 2 {
                radii.push(rms_radius(charges, sum, &centers));
                let near = (0..CELLS).filter(|&cell| distances[hottest][cell] <= AROUND);
                around.push(near.map(|cell| charges[cell]).sum::<f64>() / sum);
            }
        }
        Some(Self {
            events: events.len(),
            occupied_cells: quantiles(occupied_cells)?,
            log2_sum: quantiles(log2_sums)?,
            hottest_share: quantiles(hottest_shares)?,
            rms_radius: quantiles(radii),
            share_around_hottest: quantiles(around),
            cell_charges: quantiles(cell_charges)?,
        })
    }
}

fn rms_radius(charges: &[f64; CELLS], sum: f64, centers: &[[f64; 2]; CELLS]) -> f64 {
    let mean =
        |axis: usize| charges.iter().zip(centers).map(|(charge, center)| charge * center[axis]).sum::<f64>() / sum;
    let middle = [mean(0), mean(1)];
    let squares = charges.iter().zip(centers).map(|(charge, center)| {
        let [x, y] = [center[0] - middle[0], center[1] - middle[1]];
        charge * (x * x + y * y)
    });
    (squares.sum::<f64>() / sum).sqrt()
}

/// `None` when there are no values.
fn quantiles(mut values: Vec<f64>) -> Option<Quantiles> {
    let last = values.len().checked_sub(1)?;
    values.sort_unstable_by(f64::total_cmp);
    Some(PERCENTS.map(|percent| {
        // The position is percent * last / 100: whole steps and hundredths, in integers.
        let hundredths = last * cast::index(percent);
        let (below, part) = (hundredths / 100, cast::f64_from_count(hundredths % 100) / 100.0);
        let above = last.min(below + 1);
        values[below] + part * (values[above] - values[below])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cells: &[(usize, f64)]) -> Charges {
        let mut charges = [0.0; CELLS];
        for &(cell, charge) in cells {
            charges[cell] = charge;
        }
        Charges::new(charges).unwrap()
    }

    #[test]
    fn quantiles_interpolate_linearly() {
        assert_eq!(quantiles(vec![]), None);
        assert_eq!(quantiles(vec![7.0]), Some([7.0; 5]));
        // Positions 0.15, 0.75, 1.5, 2.25 and 2.85 of 0, 10, 20, 30.
        assert_eq!(quantiles(vec![30.0, 0.0, 10.0, 20.0]), Some([1.5, 7.5, 15.0, 22.5, 28.5]));
    }

    #[test]
    fn one_event_by_hand() {
        // Cells 0 and 1 are 2 apart, cell 3 is 6 from cell 0: charges 6, 2, 8 at 0, 2, 6 on a line, mean 3.25 + ...
        let seen = EventStatistics::of(&[event(&[(0, 6.0), (1, 2.0), (3, 8.0)])]).unwrap();
        assert_eq!(seen.events, 1);
        assert_eq!(seen.occupied_cells, [3.0; 5]);
        assert_eq!(seen.log2_sum, [4.0; 5]);
        assert_eq!(seen.hottest_share, [0.5; 5]);
        // Around cell 3 (8) no occupied cell lies within 2.5.
        assert_eq!(seen.share_around_hottest, Some([0.5; 5]));
        // Mean (0 * 6 + 2 * 2 + 6 * 8) / 16 = 3.25; mean square (4 * 2 + 36 * 8) / 16 = 18.5; variance 7.9375.
        assert_eq!(seen.rms_radius, Some([7.9375_f64.sqrt(); 5]));
        assert_eq!(seen.cell_charges, [2.4, 4.0, 6.0, 7.0, 7.8]);
    }

    #[test]
    fn single_cells_have_no_radius() {
        let seen = EventStatistics::of(&[event(&[(5, 3.0)]), event(&[(47, 4.0)])]).unwrap();
        assert_eq!(seen.rms_radius, None);
        assert_eq!(seen.share_around_hottest, None);
        assert_eq!(seen.hottest_share, [1.0; 5]);
        assert_eq!(EventStatistics::of(&[]), None);
    }
}
