//! Histograms on an integer grid: masses as integers with a fixed sum, and the work of moving them, summed exactly.
//!
//! Loops over points are written for vector units: integers, no early exit. It solves nothing; which potentials go with
//! which masses is the business of `dual_tree` and `emd`.
// Only where it is inlined does a loop get the vector units that its caller is compiled for.
#![allow(clippy::inline_always)]

/// Most points of a histogram.
pub const MAX_POINTS: usize = 64;

/// Values treated together; arrays of values per point are looked at in whole groups.
pub(super) const LANES: usize = 8;

/// What the masses of a histogram sum up to.
pub(super) const TOTAL_MASS: i64 = 1 << 45;

/// No cost is larger.
pub(super) const LARGEST_COST: i64 = 1 << 45;

/// One number per point; what lies behind the points is 0 unless said otherwise.
pub(super) type PerPoint = [i64; MAX_POINTS];

/// [`TOTAL_MASS`] as a real number.
const UNITS: f64 = 35_184_372_088_832.0;

/// 2^52: added to a number from 0 to 2^52 it rounds it to an integer, ties to even, and leaves that in the lower 52
/// bits.
const ROUNDER: f64 = 4_503_599_627_370_496.0;

/// Lower 52 bits of a word.
const FRACTION: u64 = (1 << 52) - 1;

/// Sums below this are too small to divide by; [`LIFT`], a power of two, changes that.
const SMALL_SUM: f64 = 1e-270;

/// 2^600.
const LIFT: f64 = f64::from_bits((1023 + 600) << 52);

/// The lower part of a mass, which is at most 2^45, has so many bits; the upper part has no more.
const MASS_SPLIT: u32 = 23;

/// The lower part of a raised potential, which is below 2^52, has so many bits; the upper part has no more.
const POTENTIAL_SPLIT: u32 = 26;

/// What makes any potential a number from 0 to 127 * 2^45.
///
/// The potential of a node is the sum of the costs, with alternating signs, on its way to the root, whose potential is
/// 0. The way has at most 127 arcs, so at most 64 costs count for one sign and 63 for the other; [`work`] takes
/// potentials from -63 to +64 times the largest cost.
const RAISE: i64 = 63 * LARGEST_COST;

/// What raising every potential adds to the work: [`TOTAL_MASS`] times [`RAISE`].
const TOTAL_RAISE: i128 = 63 << 90;

/// The sum of masses, in an order that depends on nothing but their number.
#[inline(always)]
pub(super) fn sum(masses: &[f64]) -> f64 {
    let (groups, rest) = masses.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for group in groups {
        for lane in 0..LANES {
            lanes[lane] += group[lane];
        }
    }
    for (lane, mass) in lanes.iter_mut().zip(rest) {
        *lane += mass;
    }
    let four: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Normalizes at most [`MAX_POINTS`] masses and rounds them to integers that sum up to [`TOTAL_MASS`]. Says whether
/// they are a histogram: none is negative and their sum is a finite number above 0.
///
/// Each is `mass * (TOTAL_MASS / sum)` to the nearest integer. What their sum then misses, about half a unit per point
/// at most, goes to the largest, the first among equals. Writes nothing behind the last mass.
#[inline(always)]
pub(super) fn to_grid(masses: &[f64], grid: &mut PerPoint) -> bool {
    let sum = sum(masses);
    let signs = masses.iter().fold(0, |signs, mass| signs | mass.to_bits());
    // The sum is NaN or infinite when a mass is. A zero may have a sign.
    let negative = signs >> 63 != 0 && masses.iter().any(|mass| *mass < 0.0);
    if negative || !(sum > 0.0 && sum < f64::INFINITY) {
        return false;
    }
    let lift = if sum < SMALL_SUM { LIFT } else { 1.0 };
    let scale = UNITS / (sum * lift);
    let grid = &mut grid[..masses.len()];
    for (units, mass) in grid.iter_mut().zip(masses) {
        *units = ((mass * lift * scale + ROUNDER).to_bits() & FRACTION).cast_signed();
    }
    let missing = TOTAL_MASS - grid.iter().sum::<i64>();
    let largest = grid.iter().fold(0, |largest, units| (*units).max(largest));
    grid[position(grid, largest)] += missing;
    true
}

/// Where `value`, which is there, first stands.
#[inline(always)]
pub(super) fn position(values: &[i64], value: i64) -> usize {
    let places = values.iter().enumerate().map(|(place, other)| if *other == value { place } else { usize::MAX });
    places.fold(usize::MAX, usize::min)
}

/// `sum mass * potential` over all points: exact.
///
/// `masses` come from [`to_grid`], `potentials` range from -63 to 64 times [`LARGEST_COST`].
#[inline(always)]
pub(super) fn work(masses: &[i64], potentials: &[i64]) -> i128 {
    const LOW_MASS: u64 = (1 << MASS_SPLIT) - 1;
    const LOW_POTENTIAL: u64 = (1 << POTENTIAL_SPLIT) - 1;
    // Products of parts stay below 2^49, so sums of 64 of them below 2^55, and of those in the middle below 2^59.
    let (mut lower, mut middle, mut upper) = (0, 0, 0);
    for (mass, potential) in masses.iter().zip(potentials) {
        let (mass, potential) = (mass.cast_unsigned(), (potential + RAISE).cast_unsigned());
        let (mass_low, mass_high) = (mass & LOW_MASS, mass >> MASS_SPLIT);
        let (low, high) = (potential & LOW_POTENTIAL, potential >> POTENTIAL_SPLIT);
        lower += mass_low * low;
        middle += mass_high * low + ((mass_low * high) << (POTENTIAL_SPLIT - MASS_SPLIT));
        upper += mass_high * high;
    }
    let [lower, middle, upper] = [lower, middle, upper].map(i128::from);
    lower + (middle << MASS_SPLIT) + (upper << (MASS_SPLIT + POTENTIAL_SPLIT)) - TOTAL_RAISE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_grid(masses: &[f64]) -> PerPoint {
        let mut grid = [0; MAX_POINTS];
        assert!(to_grid(masses, &mut grid), "{masses:?}");
        grid
    }

    #[test]
    fn masses_sum_up_whatever_they_are() {
        for masses in [
            &[f64::from_bits(1); 64][..],
            &[f64::MAX / 128.0; 64],
            &[1.0, 1e-300, 0.0, -0.0, 1e-12],
            &[0.1; 49],
            &[0.0, 5e-324],
            &[1e-10, 1.0, 1.0, 1.0, 1e-16],
        ] {
            let grid = on_grid(masses);
            assert_eq!(grid.iter().sum::<i64>(), TOTAL_MASS);
            assert!(grid.iter().all(|mass| *mass >= 0));
        }
        for masses in [&[0.0; 9][..], &[1.0, -1e-300], &[1.0, f64::NAN], &[f64::INFINITY], &[f64::MAX; 2], &[-1.0]] {
            assert!(!to_grid(masses, &mut [0; MAX_POINTS]), "{masses:?}");
        }
    }

    #[test]
    fn what_is_missing_goes_to_the_first_of_the_largest() {
        // 2^45 is 2 more than a multiple of 3: the third rounds up, one too many.
        assert_eq!(on_grid(&[1.0; 3])[..3], [0, 1, 1].map(|more| (TOTAL_MASS - 2) / 3 + more));
        // Powers of two scale without a trace.
        let ramp: Vec<f64> = (1..=64).map(f64::from).collect();
        let tiny: Vec<f64> = ramp.iter().map(|mass| mass * f64::from_bits(1 << 20)).collect();
        assert_eq!(on_grid(&ramp), on_grid(&tiny));
    }

    proptest! {
        #[test]
        fn work_is_exact(
            masses in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1.0_f64], 64),
            potentials in prop::collection::vec(
                prop_oneof![Just(-63 * LARGEST_COST), Just(64 * LARGEST_COST), -63 * LARGEST_COST..64 * LARGEST_COST],
                64,
            ),
        ) {
            prop_assume!(masses.iter().sum::<f64>() > 0.0);
            let masses = on_grid(&masses);
            let products = masses.iter().zip(&potentials).map(|(mass, potential)| i128::from(*mass) * i128::from(*potential));
            prop_assert_eq!(work(&masses, &potentials), products.sum::<i128>());
        }
    }
}
