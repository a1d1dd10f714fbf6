//! Quantiles of the normal, Student's t and beta distributions, as confidence intervals need them.
//!
//! Everything rests on additions, multiplications, divisions and square roots, which IEEE 754 fixes: logarithm and
//! exponential are our own, since those of the system differ in the last bit from machine to machine. About twelve
//! digits are right; with parameters of a million, nine. Estimates nothing.

use crate::num::cast;

/// Halving an interval of `f64` more often changes nothing that matters.
const HALVINGS: usize = 300;

/// A series or continued fraction has converged when a step changes it by less than this, relatively.
const CONVERGED: f64 = 1e-16;

/// The standard normal value that is exceeded in magnitude with probability `tails` (both tails together).
///
/// # Panics
/// When `tails` is not between 0 and 1, exclusively.
pub fn normal_of_tails(tails: f64) -> f64 {
    assert!(tails > 0.0 && tails < 1.0, "tails have a probability");
    // Beyond 40 the tails are below the smallest `f64`.
    largest(0.0, 40.0, |z| 2.0 * normal_above(z) > tails)
}

/// Probability that a standard normal value is below `z`.
pub fn normal_below(z: f64) -> f64 {
    normal_above(-z)
}

/// Probability that a standard normal value is above `z`: a power series in the middle (Abramowitz and Stegun 26.2.11),
/// Laplace's continued fraction in the tail (26.2.14).
fn normal_above(z: f64) -> f64 {
    const TAIL_FROM: f64 = 3.0;
    const LEVELS: u32 = 200;
    if z < 0.0 {
        return 1.0 - normal_above(-z);
    }
    let density = exp(-z * z / 2.0) / (2.0 * std::f64::consts::PI).sqrt();
    if z > TAIL_FROM {
        return density / (1..=LEVELS).rev().fold(z, |below, level| z + f64::from(level) / below);
    }
    let (mut term, mut sum, mut odd) = (z, z, 1.0);
    while term > CONVERGED * sum {
        odd += 2.0;
        term *= z * z / odd;
        sum += term;
    }
    0.5 - density * sum
}

/// The value of Student's t with `freedom` degrees of freedom that is exceeded in magnitude with probability `tails`.
///
/// `freedom` need not be whole.
///
/// # Panics
/// When `tails` is not between 0 and 1, exclusively, or `freedom` is not positive.
pub fn student_t_of_tails(tails: f64, freedom: f64) -> f64 {
    assert!(freedom > 0.0, "there are degrees of freedom");
    // Both tails beyond t hold I_x(f/2, 1/2) with x = f / (f + t^2) (Abramowitz and Stegun 26.7.1). Near x = 1 the
    // complement keeps its digits, near 0 x does; the complement's quantile serves where it is the smaller one.
    let above = beta_quantile(1.0 - tails, 0.5, freedom / 2.0);
    if above < 0.5 {
        return (freedom * above / (1.0 - above)).sqrt();
    }
    let below = beta_quantile(tails, freedom / 2.0, 0.5);
    (freedom * (1.0 - below) / below).sqrt()
}

/// The value below which a beta variable with parameters `a` and `b` lies with probability `share`.
///
/// # Panics
/// When `share` is not between 0 and 1, or a parameter is not positive.
pub fn beta_quantile(share: f64, a: f64, b: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share) && a > 0.0 && b > 0.0, "a quantile of a beta distribution");
    largest(0.0, 1.0, |x| beta_below(x, a, b) < share)
}

/// The regularized incomplete beta function `I_x(a, b)`: probability that a beta variable lies below `x`.
fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let log_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let front = |x: f64, rest: f64, a: f64, b: f64| exp(a * ln(x) + b * ln(rest) - log_beta) / a;
    // The fraction converges fast on this side of the mean; on the other the complement does.
    if x < (a + 1.0) / (a + b + 2.0) {
        front(x, 1.0 - x, a, b) * beta_fraction(x, a, b)
    } else {
        1.0 - front(1.0 - x, x, b, a) * beta_fraction(1.0 - x, b, a)
    }
}

/// The continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions, by Lentz's method (3.10(iii)).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    /// Stands for a denominator that is 0 by accident.
    const TINY: f64 = 1e-300;
    /// Steps grow with the square root of the parameters; these are enough for 10^9.
    const STEPS: u32 = 200_000;
    let guarded = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut above, mut below) = (1.0, 1.0, 0.0);
    for step in 1..STEPS {
        let m = f64::from(step / 2);
        let coefficient = if step % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        below = 1.0 / guarded(1.0 + coefficient * below);
        above = guarded(1.0 + coefficient / above);
        value *= above * below;
        if (above * below - 1.0).abs() < CONVERGED {
            break;
        }
    }
    1.0 / value
}

/// The largest number between `low` and `high` for which `holds`, which holds up to a point and not beyond.
fn largest(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Logarithm of the gamma function of a positive number: Stirling's series (DLMF 5.11.1) from 15 on, below by
/// recurrence.
fn ln_gamma(z: f64) -> f64 {
    /// `B_2k / (2k (2k - 1))` for k = 1 to 7.
    const SERIES: [f64; 7] =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    let (mut shifted, mut product) = (z, 1.0);
    while shifted < 15.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let square = shifted * shifted;
    let series = SERIES.iter().rev().fold(0.0, |sum, term| sum / square + term) / shifted;
    let two_pi = 2.0 * std::f64::consts::PI;
    (shifted - 0.5) * ln(shifted) - shifted + 0.5 * ln(two_pi) + series - ln(product)
}

/// Natural logarithm of a positive normal number, within a few units of its last place.
pub(super) fn ln(x: f64) -> f64 {
    const FRACTION_BITS: u32 = 52;
    const BIAS: i64 = 1023;
    let bits = x.to_bits();
    let mut exponent = (bits >> FRACTION_BITS).cast_signed() - BIAS;
    let one = 1.0_f64.to_bits();
    let mut mantissa = f64::from_bits((bits & ((1 << FRACTION_BITS) - 1)) | one);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh s with s = (m - 1) / (m + 1), at most 0.172: twelve terms are enough.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..12_u32).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    cast::f64_from_i64(exponent) * std::f64::consts::LN_2 + 2.0 * s * series
}

/// The exponential function, within a few units of its last place for arguments of ordinary size; 0 below -700.
fn exp(x: f64) -> f64 {
    /// The first bits of ln 2 and the rest, so that a multiple of the first part is exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x < -700.0 {
        return 0.0;
    }
    let halvings = (x / std::f64::consts::LN_2).round();
    let rest = (x - halvings * LN_2_HIGH) - halvings * LN_2_LOW;
    // |rest| is at most 0.35: sixteen terms of the series are enough.
    let series = (1..=16_u32).rev().fold(1.0, |sum, k| 1.0 + sum * rest / f64::from(k));
    let exponent = cast::floor_i64(halvings) + 1023;
    series * f64::from_bits(exponent.cast_unsigned() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative difference between a value and what `SciPy` 1.x says.
    fn near(found: f64, expected: f64, tolerance: f64) {
        let scale = expected.abs().max(1e-300);
        assert!((found - expected).abs() / scale < tolerance, "{found} for {expected}");
    }

    #[test]
    fn logarithm_and_exponential_are_close() {
        for k in -300..300_i32 {
            let x = f64::from(k) * 1.37 + 0.013;
            near(exp(x), x.exp(), 4e-14);
            near(ln(x.abs()), x.abs().ln(), 4e-15);
            near(ln(x.exp()), x, 4e-14);
        }
        assert_eq!((exp(0.0), ln(1.0), exp(-1e9)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn gamma_values() {
        for (z, expected) in [
            (0.5, 0.572_364_942_924_700_1),
            (3.7, 1.428_072_326_665_388),
            (14.9, 24.924_132_002_217_277),
            (100.25, 360.284_559_637_764_23),
            (123_456.5, 1_323_898.630_662_737),
        ] {
            near(ln_gamma(z), expected, 1e-14);
        }
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
    }

    #[test]
    fn normal_values() {
        for (confidence, expected) in [
            (0.5, 0.674_489_750_196_081_7),
            (0.6827, 1.000_021_713_322_999_2),
            (0.9, 1.644_853_626_951_472_9),
            (0.95, 1.959_963_984_540_054),
            (0.99, 2.575_829_303_548_900_4),
            (0.999, 3.290_526_731_491_894_5),
            (0.999_999, 4.891_638_475_692_932),
        ] {
            near(normal_of_tails(1.0 - confidence), expected, 1e-11);
        }
        for (z, expected) in [
            (-5.0, 2.866_515_718_791_933e-7),
            (-1.5, 0.066_807_201_268_858_07),
            (0.0, 0.5),
            (0.3, 0.617_911_422_188_952_6),
            (2.9, 0.998_134_186_699_616),
            (3.1, 0.999_032_396_786_781_7),
            (6.0, 0.999_999_999_013_412_3),
        ] {
            near(normal_below(z), expected, 1e-12);
        }
    }

    #[test]
    fn student_values() {
        for (confidence, freedom, expected) in [
            (0.5, 1.0, 1.0),
            (0.5, 2.0, 0.816_496_580_927_726_1),
            (0.5, 4.5, 0.732_866_686_235_994_4),
            (0.5, 10.0, 0.699_812_061_312_431_7),
            (0.5, 30.0, 0.682_755_693_321_292_7),
            (0.5, 1000.0, 0.674_735_164_607_009_3),
            (0.5, 1e6, 0.674_489_995_531_087_5),
            (0.95, 1.0, 12.706_204_736_174_694),
            (0.95, 2.0, 4.302_652_729_749_462),
            (0.95, 4.5, 2.658_912_347_204_403_4),
            (0.95, 10.0, 2.228_138_851_986_274),
            (0.95, 30.0, 2.042_272_456_301_237_8),
            (0.95, 1000.0, 1.962_339_080_826_408_3),
            (0.95, 1e6, 1.959_966_356_814_107),
            (0.999, 1.0, 636.619_248_768_719),
            (0.999, 2.0, 31.599_054_576_443_606),
            (0.999, 10.0, 4.586_893_858_702_635),
            (0.999, 1000.0, 3.300_282_648_423_913),
        ] {
            near(student_t_of_tails(1.0 - confidence, freedom), expected, 1e-9);
        }
    }

    #[test]
    fn beta_values() {
        for (a, b, x, expected) in [
            (2.0, 3.0, 0.4, 0.5248),
            (0.5, 0.5, 0.1, 0.204_832_764_699_133_45),
            (100.0, 50.0, 0.7, 0.805_448_166_227_753_5),
            (1.0, 1.0, 0.3, 0.3),
            (1000.0, 1000.0, 0.49, 0.185_552_659_431_511_9),
            (3.0, 20_000.0, 0.0002, 0.761_984_606_093_267_1),
        ] {
            near(beta_below(x, a, b), expected, 1e-11);
        }
        for (share, a, b, expected) in [
            (0.025, 1.0, 10.0, 0.002_528_578_544_461_784_8),
            (0.025, 5.0, 6.0, 0.187_086_028_447_398_55),
            (0.975, 0.5, 0.5, 0.998_458_666_866_563_9),
            (1e-9, 3.5, 7.0, 0.000_660_684_498_937_277_8),
            (0.5, 200.0, 800.0, 0.199_799_946_806_859_92),
            (0.025, 9990.0, 11.0, 0.998_161_735_865_789_4),
            (0.0005, 150_000.5, 349_999.5, 0.297_871_123_710_524_8),
            (0.9, 2.0, 2.0, 0.804_199_894_340_908_3),
        ] {
            near(beta_quantile(share, a, b), expected, 1e-9);
        }
        assert_eq!((beta_below(0.0, 2.0, 2.0), beta_below(1.0, 2.0, 2.0)), (0.0, 1.0));
    }
}
