//! The HGCal module that an ECON-T chip reads: 48 trigger cells, their places, their neighborhoods, their charges.
//!
//! It does not compute losses or distances between charge distributions, and it knows no network: it says where cells
//! lie and how their charges are laid out as an 8x8 image and read back.
//!
//! The image layout and the supercells are those of the ECON-T autoencoder (`fastmachinelearning/fastml-science`,
//! `sensor-data-compression`: `ARRANGE` of its networks, `telescope.py`).

use crate::num::cast;

/// Trigger cells of one module.
pub const CELLS: usize = 48;

/// Rows, and columns, of the image that the encoder sees.
pub const SIDE: usize = 8;

/// Pixels of the image that the encoder sees.
pub const PIXELS: usize = SIDE * SIDE;

/// The cell shown at each pixel of the 8x8 image, in C order.
///
/// The lower right 4x4 block repeats cells that lie beside it; those pixels are masked (see [`is_masked`]).
#[rustfmt::skip]
pub const ARRANGE: [usize; PIXELS] = [
    28, 29, 30, 31,  0,  4,  8, 12,
    24, 25, 26, 27,  1,  5,  9, 13,
    20, 21, 22, 23,  2,  6, 10, 14,
    16, 17, 18, 19,  3,  7, 11, 15,
    47, 43, 39, 35, 35, 34, 33, 32,
    46, 42, 38, 34, 39, 38, 37, 36,
    45, 41, 37, 33, 43, 42, 41, 40,
    44, 40, 36, 32, 47, 46, 45, 44,
];

/// Whether a pixel (C order) is a duplicate, always zero in the encoder's input.
pub const fn is_masked(pixel: usize) -> bool {
    pixel / SIDE >= SIDE / 2 && pixel % SIDE >= SIDE / 2
}

/// The unmasked pixel (C order) that shows each cell: the inverse of [`ARRANGE`].
pub const PIXEL_OF_CELL: [usize; CELLS] = {
    let mut pixels = [PIXELS; CELLS];
    let mut pixel = 0;
    while pixel < PIXELS {
        if !is_masked(pixel) {
            pixels[ARRANGE[pixel]] = pixel;
        }
        pixel += 1;
    }
    pixels
};

/// The three sectors of a module: each is one 4x4 rhombus of cells.
pub const SECTORS: [std::ops::Range<usize>; 3] = [0..16, 16..32, 32..48];

/// Four neighboring cells that the telescope loss looks at together, and their weight in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Supercell {
    /// The cells, without order.
    pub cells: [usize; 4],
    /// The factor of this supercell's term.
    pub weight: f64,
}

const fn supercell(cells: [usize; 4], weight: f64) -> Supercell {
    Supercell { cells, weight }
}

/// The 36 overlapping 2x2 supercells of the telescope loss.
///
/// A weight is the mean over the four cells of each cell's share. The share of a cell is one over the number of
/// supercells it belongs to, except 7/12 for the cells 3, 19 and 35 that meet in the middle of the module.
pub const SUPERCELLS: [Supercell; 36] = [
    supercell([0, 1, 4, 5], 3.0 / 8.0),
    supercell([2, 3, 6, 7], 1.0 / 3.0),
    supercell([8, 9, 12, 13], 9.0 / 16.0),
    supercell([10, 11, 14, 15], 3.0 / 8.0),
    supercell([16, 17, 20, 21], 3.0 / 8.0),
    supercell([18, 19, 22, 23], 1.0 / 3.0),
    supercell([24, 25, 28, 29], 9.0 / 16.0),
    supercell([26, 27, 30, 31], 3.0 / 8.0),
    supercell([32, 33, 36, 37], 3.0 / 8.0),
    supercell([34, 35, 38, 39], 1.0 / 3.0),
    supercell([40, 41, 44, 45], 9.0 / 16.0),
    supercell([42, 43, 46, 47], 3.0 / 8.0),
    supercell([4, 5, 8, 9], 3.0 / 8.0),
    supercell([6, 7, 10, 11], 1.0 / 4.0),
    supercell([20, 21, 24, 25], 3.0 / 8.0),
    supercell([22, 23, 26, 27], 1.0 / 4.0),
    supercell([36, 37, 40, 41], 3.0 / 8.0),
    supercell([38, 39, 42, 43], 1.0 / 4.0),
    supercell([1, 2, 5, 6], 1.0 / 4.0),
    supercell([9, 10, 13, 14], 3.0 / 8.0),
    supercell([17, 18, 21, 22], 1.0 / 4.0),
    supercell([25, 26, 29, 30], 3.0 / 8.0),
    supercell([33, 34, 37, 38], 1.0 / 4.0),
    supercell([41, 42, 45, 46], 3.0 / 8.0),
    supercell([5, 6, 9, 10], 1.0 / 4.0),
    supercell([21, 22, 25, 26], 1.0 / 4.0),
    supercell([37, 38, 41, 42], 1.0 / 4.0),
    supercell([0, 1, 27, 31], 3.0 / 8.0),
    supercell([1, 2, 23, 27], 1.0 / 4.0),
    supercell([2, 3, 19, 23], 5.0 / 12.0),
    supercell([3, 7, 34, 35], 5.0 / 12.0),
    supercell([7, 11, 33, 34], 1.0 / 4.0),
    supercell([11, 15, 32, 33], 3.0 / 8.0),
    supercell([16, 17, 47, 43], 3.0 / 8.0),
    supercell([17, 18, 43, 39], 1.0 / 4.0),
    supercell([18, 19, 39, 35], 5.0 / 12.0),
];

/// One rhombus of the lattice: cell `16 s + 4 r + c` lies at `origin + r row + c column`.
///
/// Integers in units of `(sqrt(3) / 4, 1 / 4)`, in which all cell centers of the module are whole.
struct Rhombus {
    origin: [i32; 2],
    row: [i32; 2],
    column: [i32; 2],
}

/// The sectors are one rhombus turned by 0, 120 and 240 degrees about `(-7 sqrt(3) / 12, -25 / 4)`.
const RHOMBI: [Rhombus; 3] = [
    Rhombus { origin: [0, 0], row: [4, -4], column: [0, -8] },
    Rhombus { origin: [-16, -34], row: [0, 8], column: [4, 4] },
    Rhombus { origin: [9, -41], row: [-4, -4], column: [-4, 4] },
];

/// Cell centers `[x, y]`; unit: half the pitch of a trigger cell, so that nearest neighbors are 2 apart. Cell 0 is the
/// origin.
pub fn centers() -> [[f64; 2]; CELLS] {
    let unit = [3.0_f64.sqrt() / 4.0, 0.25];
    let mut centers = [[0.0; 2]; CELLS];
    let mut cell = 0;
    for rhombus in &RHOMBI {
        for row in 0..4 {
            for column in 0..4 {
                for axis in 0..2 {
                    let whole = rhombus.origin[axis] + row * rhombus.row[axis] + column * rhombus.column[axis];
                    centers[cell][axis] = f64::from(whole) * unit[axis];
                }
                cell += 1;
            }
        }
    }
    centers
}

/// Euclidean distances between cell centers, `[from][to]`, symmetric with a zero diagonal; unit as in [`centers`].
pub fn distances() -> [[f64; CELLS]; CELLS] {
    let centers = centers();
    centers.map(|from| centers.map(|to| (from[0] - to[0]).hypot(from[1] - to[1])))
}

/// Why 48 numbers are not the charges of an event.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChargesError {
    /// A charge is NaN, infinite or negative.
    #[error("cell {cell}: charge {value} is not a finite number of at least 0")]
    Charge {
        /// The trigger cell, 0 to 47.
        cell: usize,
        /// Its charge.
        value: f64,
    },
    /// No cell holds a charge.
    #[error("all 48 charges are 0: an event without charge cannot be normalized")]
    Empty,
    /// The sum is beyond the range of normal double-precision numbers.
    #[error("the sum of the 48 charges, {sum:e}, is out of range")]
    Sum {
        /// The sum.
        sum: f64,
    },
}

/// The charges of one module in one event: finite, non-negative, not all zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Charges {
    charges: [f64; CELLS],
}

impl Charges {
    /// Checks the charges of cells 0 to 47; their unit does not matter.
    ///
    /// # Errors
    /// When a charge is not finite or is negative, when all are zero, or when their sum overflows or is subnormal.
    pub fn new(charges: [f64; CELLS]) -> Result<Self, ChargesError> {
        if let Some((cell, &value)) = charges.iter().enumerate().find(|(_, value)| !value.is_finite() || **value < 0.0)
        {
            return Err(ChargesError::Charge { cell, value });
        }
        let sum: f64 = charges.iter().sum();
        if sum == 0.0 {
            return Err(ChargesError::Empty);
        }
        if !sum.is_normal() {
            return Err(ChargesError::Sum { sum });
        }
        Ok(Self { charges })
    }

    /// The charges of cells 0 to 47.
    pub fn charges(&self) -> &[f64; CELLS] {
        &self.charges
    }

    /// The sum of the charges, added in the order of the cells.
    pub fn sum(&self) -> f64 {
        self.charges.iter().sum()
    }

    /// The charges divided by `2^floor(log2(sum))`: their sum is at least 1 and less than 2.
    ///
    /// Exact, since the divisor is a power of two (charges 2^-1000 times smaller than the sum may underflow).
    pub fn normalized(&self) -> [f64; CELLS] {
        // The sum is normal and positive, so its exponent field alone is the power of two below it.
        const EXPONENT: u64 = 0x7ff << 52;
        let scale = f64::from_bits(self.sum().to_bits() & EXPONENT);
        self.charges.map(|charge| charge / scale)
    }

    /// The encoder's input: the normalized charges as an 8x8 image in C order, masked duplicates zero.
    pub fn image(&self) -> [f32; PIXELS] {
        let normalized = self.normalized();
        let mut image = [0.0; PIXELS];
        for (cell, pixel) in PIXEL_OF_CELL.into_iter().enumerate() {
            image[pixel] = cast::nearest_f32(normalized[cell]);
        }
        image
    }
}

/// The value of each cell in an 8x8 image in C order; masked pixels are ignored.
pub fn cells_of_image(image: &[f32; PIXELS]) -> [f32; CELLS] {
    PIXEL_OF_CELL.map(|pixel| image[pixel])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Charges {
        let mut charges = [0.0; CELLS];
        for (cell, charge) in charges.iter_mut().enumerate() {
            *charge = cast::f64_from_count(cell);
        }
        Charges::new(charges).unwrap()
    }

    #[test]
    fn every_cell_has_one_pixel() {
        let unmasked: Vec<usize> = (0..PIXELS).filter(|&pixel| !is_masked(pixel)).collect();
        assert_eq!(unmasked.len(), CELLS);
        for cell in 0..CELLS {
            assert_eq!(ARRANGE[PIXEL_OF_CELL[cell]], cell);
            assert!(!is_masked(PIXEL_OF_CELL[cell]));
        }
        // A masked pixel shows a cell of the third sector a second time.
        assert!((0..PIXELS).filter(|&pixel| is_masked(pixel)).all(|pixel| SECTORS[2].contains(&ARRANGE[pixel])));
    }

    #[test]
    fn centers_at_known_places() {
        // Positions of the module's public geometry, which carries five digits.
        const TOLERANCE: f64 = 2e-5;
        let centers = centers();
        for (cell, x, y) in [
            (0, 0.0, 0.0),
            (4, 1.73205, -1.0),
            (15, 5.19615, -9.0),
            (16, -6.9282, -8.5),
            (31, -1.73205, 0.5),
            (32, 3.89711, -10.25),
            (35, -1.29904, -7.25),
            (47, -6.4952, -10.25),
        ] {
            assert!((centers[cell][0] - x).abs() < TOLERANCE, "cell {cell}");
            assert!((centers[cell][1] - y).abs() < TOLERANCE, "cell {cell}");
        }
    }

    #[test]
    fn the_module_has_threefold_symmetry() {
        // Square roots round; positions are of the order of ten.
        const TOLERANCE: f64 = 1e-13;
        let centers = centers();
        let middle = [-7.0 * 3.0_f64.sqrt() / 12.0, -6.25];
        let (sin, cos) = (3.0_f64.sqrt() / 2.0, -0.5);
        for cell in 0..CELLS {
            let [x, y] = [centers[cell][0] - middle[0], centers[cell][1] - middle[1]];
            let turned = [cos * x - sin * y + middle[0], sin * x + cos * y + middle[1]];
            let image = centers[(cell + 16) % CELLS];
            assert!((turned[0] - image[0]).hypot(turned[1] - image[1]) < TOLERANCE, "cell {cell}");
        }
    }

    #[test]
    fn distances_are_a_metric_with_neighbors_two_apart() {
        const TOLERANCE: f64 = 1e-12;
        let distances = distances();
        let mut least = f64::INFINITY;
        for a in 0..CELLS {
            assert_eq!(distances[a][a], 0.0);
            for b in 0..CELLS {
                assert_eq!(distances[a][b], distances[b][a]);
                if a != b {
                    least = least.min(distances[a][b]);
                }
                for c in 0..CELLS {
                    assert!(distances[a][c] <= distances[a][b] + distances[b][c] + TOLERANCE);
                }
            }
        }
        // Cells of two sectors come a little closer than cells of one.
        assert!((1.7..2.0).contains(&least), "{least}");
        assert_eq!(distances[0][1], 2.0);
    }

    #[test]
    fn supercell_weights_follow_from_membership() {
        const TOLERANCE: f64 = 1e-15;
        let mut members = [0_usize; CELLS];
        for supercell in &SUPERCELLS {
            for cell in supercell.cells {
                members[cell] += 1;
            }
        }
        assert!(members.iter().all(|&count| (1..=4).contains(&count)));
        for supercell in &SUPERCELLS {
            let shares = supercell.cells.map(|cell| match cell {
                3 | 19 | 35 => 7.0 / 12.0,
                _ => 1.0 / cast::f64_from_count(members[cell]),
            });
            let mean = shares.iter().sum::<f64>() / 4.0;
            assert!((supercell.weight - mean).abs() < TOLERANCE, "{supercell:?}");
        }
    }

    #[test]
    fn supercells_are_compact() {
        let distances = distances();
        for supercell in &SUPERCELLS {
            let reach = supercell.cells.iter().flat_map(|&a| supercell.cells.map(|b| distances[a][b]));
            assert!(reach.fold(0.0, f64::max) < 4.5, "{supercell:?}");
        }
    }

    #[test]
    fn normalization_is_a_power_of_two() {
        let mut charges = [0.0; CELLS];
        for (sum, scale) in [(1.0, 1.0), (1.999, 1.0), (2.0, 2.0), (1023.0, 512.0), (1024.0, 1024.0), (0.3, 0.25)] {
            charges[7] = sum;
            let event = Charges::new(charges).unwrap();
            assert_eq!(event.normalized()[7], sum / scale);
            assert!((1.0..2.0).contains(&event.normalized().iter().sum::<f64>()));
        }
        // 0 + 1 + ... + 47 = 1128.
        assert_eq!(ramp().normalized()[47], 47.0 / 1024.0);
    }

    #[test]
    fn image_and_back() {
        let event = ramp();
        let image = event.image();
        assert_eq!(image[0], 28.0 / 1024.0);
        assert_eq!(image[4], 0.0);
        assert_eq!(image[7], 12.0 / 1024.0);
        assert_eq!(image[32], 47.0 / 1024.0);
        assert!((0..PIXELS).filter(|&pixel| is_masked(pixel)).all(|pixel| image[pixel] == 0.0));
        assert_eq!(cells_of_image(&image), event.normalized().map(cast::nearest_f32));
    }

    #[test]
    fn bad_charges_are_refused() {
        let with = |cell: usize, value: f64| {
            let mut charges = [0.0; CELLS];
            charges[cell] = value;
            Charges::new(charges)
        };
        assert_eq!(with(3, 0.0), Err(ChargesError::Empty));
        assert_eq!(with(3, -1.0), Err(ChargesError::Charge { cell: 3, value: -1.0 }));
        assert!(matches!(with(4, f64::NAN), Err(ChargesError::Charge { cell: 4, .. })));
        assert!(matches!(with(4, f64::INFINITY), Err(ChargesError::Charge { cell: 4, .. })));
        assert!(matches!(with(4, 1e-310), Err(ChargesError::Sum { .. })));
        assert!(matches!(Charges::new([f64::MAX; CELLS]), Err(ChargesError::Sum { .. })));
        assert_eq!(with(0, 1.0).map(|event| event.charges()[0]), Ok(1.0));
    }
}
