//! Histograms on an integer grid: masses as integers with a fixed sum, and the work of moving them, summed exactly.
//!
//! Contract: integers are held in `f64` and stay below 2^53, so that adding them is exact in any order. It solves
//! nothing; which potentials go with which masses is the business of `dual_tree` and `emd`.

/// Most points of a histogram.
pub const MAX_POINTS: usize = 64;

/// Values treated together; arrays of values per point are looked at in whole groups.
pub(super) const LANES: usize = 8;

/// What the masses of a histogram sum up to: 2^45.
pub(super) const TOTAL_MASS: f64 = 35_184_372_088_832.0;

/// No cost is larger: 2^45.
pub(super) const LARGEST_COST: f64 = 35_184_372_088_832.0;

/// One number per point; what lies behind the points is 0 unless said otherwise.
pub(super) type PerPoint = [f64; MAX_POINTS];

/// 2^52: adding and subtracting it rounds a number from 0 to 2^52 to an integer, ties to even; added to such an
/// integer, it leaves the integer in the lower 52 bits.
const ROUNDER: f64 = 4_503_599_627_370_496.0;

/// Lower 52 bits of a word.
const FRACTION: u64 = (1 << 52) - 1;

/// The lower part of a mass, which is at most 2^45, has so many bits; the upper part has no more.
const MASS_SPLIT: u32 = 23;

/// The lower part of a raised potential, which is below 2^52, has so many bits; the upper part has no more.
const POTENTIAL_SPLIT: u32 = 26;

/// What makes any potential a number from 0 to 127 * 2^45.
///
/// The potential of a node is the sum of the costs, with alternating signs, on its way to the root, whose potential is
/// 0. The way has at most 127 arcs, so at most 64 costs count for one sign and 63 for the other; [`work`] takes
/// potentials from -63 to +64 times the largest cost.
const RAISE: f64 = 63.0 * LARGEST_COST;

/// What raising every potential adds to the work: [`TOTAL_MASS`] times [`RAISE`].
const TOTAL_RAISE: i128 = 63 << 90;

/// The sum of masses, in an order that depends on their number alone, and the smallest of them and 0.
#[inline(always)]
fn sum_and_least(masses: &[f64]) -> (f64, f64) {
    let (mut sums, mut leasts) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        sums[lane] = masses[lane];
        leasts[lane] = if masses[lane] < 0.0 { masses[lane] } else { 0.0 };
    }
    for group in masses.as_chunks::<LANES>().0.iter().skip(1) {
        for lane in 0..LANES {
            sums[lane] += group[lane];
            leasts[lane] = if group[lane] < leasts[lane] { group[lane] } else { leasts[lane] };
        }
    }
    (fold(sums, |a, b| a + b), fold(leasts, |a, b| if b < a { b } else { a }))
}

/// Joins eight values pairwise, in an order that vectorizes.
#[inline(always)]
pub(super) fn fold(lanes: [f64; LANES], join: impl Fn(f64, f64) -> f64) -> f64 {
    let four: [f64; 4] = std::array::from_fn(|lane| join(lanes[lane], lanes[lane + 4]));
    join(join(four[0], four[2]), join(four[1], four[3]))
}

/// Normalizes masses and rounds them to integers that sum up to [`TOTAL_MASS`].
///
/// Each is `mass / sum * TOTAL_MASS` to the nearest integer. What their sum then misses (at most half a unit per point
/// and the rounding of the quotients, so less than the largest mass) goes to the largest, the first among equals. At
/// most [`MAX_POINTS`] masses.
#[inline(always)]
pub(super) fn to_grid(masses: &[f64], grid: &mut PerPoint) -> bool {
    let padded = masses.len().next_multiple_of(LANES);
    grid[..masses.len()].copy_from_slice(masses);
    grid[masses.len()..padded].fill(0.0);
    let grid = &mut grid[..padded];
    let (sum, least) = sum_and_least(grid);
    // The sum is NaN or infinite when a mass is.
    if !(least >= 0.0 && sum > 0.0 && sum < f64::INFINITY) {
        return false;
    }
    let (mut totals, mut largests) = ([0.0; LANES], [0.0; LANES]);
    let (groups, _) = grid.as_chunks_mut::<LANES>();
    for group in &mut *groups {
        for lane in 0..LANES {
            let mass = (group[lane] / sum * TOTAL_MASS + ROUNDER) - ROUNDER;
            group[lane] = mass;
            totals[lane] += mass;
            largests[lane] = if mass > largests[lane] { mass } else { largests[lane] };
        }
    }
    let missing = TOTAL_MASS - fold(totals, |a, b| a + b);
    let largest = fold(largests, |a, b| if b > a { b } else { a });
    for group in groups {
        if let Some(lane) = group.iter().position(|mass| *mass == largest) {
            group[lane] += missing;
            break;
        }
    }
    true
}

/// `sum mass * potential` over the first `groups` groups of points: exact.
///
/// `masses` come from [`to_grid`], `potentials` are integers from -63 to 64 times [`LARGEST_COST`].
#[inline(always)]
pub(super) fn work(masses: &PerPoint, potentials: &PerPoint, groups: usize) -> i128 {
    const LOW_MASS: u64 = (1 << MASS_SPLIT) - 1;
    const LOW_POTENTIAL: u64 = (1 << POTENTIAL_SPLIT) - 1;
    // Products of parts stay below 2^49, sums of 64 of them below 2^55.
    let mut sums = [[0_u64; LANES]; 4];
    let (masses, potentials) = (masses.as_chunks::<LANES>().0, potentials.as_chunks::<LANES>().0);
    for (masses, potentials) in masses.iter().zip(potentials).take(groups) {
        for lane in 0..LANES {
            let mass = (masses[lane] + ROUNDER).to_bits() & FRACTION;
            let potential = (potentials[lane] + (RAISE + ROUNDER)).to_bits() & FRACTION;
            let (mass_low, mass_high) = (mass & LOW_MASS, mass >> MASS_SPLIT);
            let (low, high) = (potential & LOW_POTENTIAL, potential >> POTENTIAL_SPLIT);
            sums[0][lane] += mass_low * low;
            sums[1][lane] += mass_low * high;
            sums[2][lane] += mass_high * low;
            sums[3][lane] += mass_high * high;
        }
    }
    let [low, potential_high, mass_high, high] = sums.map(|lanes| i128::from(lanes.iter().sum::<u64>()));
    let raised = low
        + (potential_high << POTENTIAL_SPLIT)
        + (mass_high << MASS_SPLIT)
        + (high << (MASS_SPLIT + POTENTIAL_SPLIT));
    raised - TOTAL_RAISE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::num::cast;

    fn on_grid(masses: &[f64]) -> PerPoint {
        let mut grid = [0.0; MAX_POINTS];
        assert!(to_grid(masses, &mut grid), "{masses:?}");
        grid
    }

    #[test]
    fn masses_sum_up_whatever_they_are() {
        for masses in [
            &[f64::from_bits(1); 64][..],
            &[f64::MAX / 64.0; 64],
            &[1.0, 1e-300, 0.0, 1e-12],
            &[0.1; 49],
            &[0.0, 5e-324],
            &[1e-10, 1.0, 1.0, 1.0, 1e-16],
        ] {
            let grid = on_grid(masses);
            assert_eq!(grid.iter().sum::<f64>(), TOTAL_MASS);
            assert!(grid.iter().all(|mass| *mass >= 0.0 && mass.fract() == 0.0));
        }
        for masses in [&[0.0; 9][..], &[1.0, -1e-300], &[1.0, f64::NAN], &[f64::INFINITY], &[f64::MAX; 2], &[-1.0]] {
            assert!(!to_grid(masses, &mut [0.0; MAX_POINTS]), "{masses:?}");
        }
    }

    #[test]
    fn what_is_missing_goes_to_the_first_of_the_largest() {
        // 2^45 is 1 more than a multiple of 3, and 4 more than a multiple of 7.
        assert_eq!(on_grid(&[1.0; 3])[..3], [1.0, 0.0, 0.0].map(|more| (TOTAL_MASS - 2.0) / 3.0 + more));
    }

    proptest! {
        #[test]
        fn work_is_exact(
            masses in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1.0_f64], 64),
            potentials in prop::collection::vec(
                prop_oneof![Just(-63.0), Just(64.0), -63.0..64.0_f64].prop_map(|costs| (costs * LARGEST_COST).round()),
                64,
            ),
        ) {
            prop_assume!(masses.iter().sum::<f64>() > 0.0);
            let masses = on_grid(&masses);
            let product = |(mass, potential): (&f64, &f64)| cast::i128_from_whole(*mass) * cast::i128_from_whole(*potential);
            let exact: i128 = masses.iter().zip(&potentials).map(product).sum();
            prop_assert_eq!(work(&masses, &potentials.try_into().unwrap(), 8), exact);
        }
    }
}
