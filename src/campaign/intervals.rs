//! Confidence intervals of a proportion and of a mean, from a sample whose statistics are given.
//!
//! Formulas only. What is sampled, and how strata are put together, is known to `sample` and `strata`.

use std::fmt;
use std::str::FromStr;

use super::quantiles::{beta_quantile, normal_below, normal_of_tails, student_t_of_tails};
use crate::fault::Draws;
use crate::num::{cast, parse_share};

/// Probability with which an interval is to cover the truth: between 0 and 1, exclusively. Written `95%` or `0.95`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Confidence(f64);

/// Not a confidence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{text}` is no confidence; it must lie between 0 and 1, such as 95% or 0.95")]
pub struct ConfidenceError {
    /// The text as given.
    text: String,
}

impl Confidence {
    /// A confidence; `None` outside 0 to 1, or so near the ends that nothing is left of one side.
    pub fn new(value: f64) -> Option<Self> {
        (1e-9..=1.0 - 1e-9).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Probability that the interval misses, on either side.
    fn tails(self) -> f64 {
        1.0 - self.0
    }
}

impl FromStr for Confidence {
    type Err = ConfidenceError;

    fn from_str(text: &str) -> Result<Self, ConfidenceError> {
        parse_share(text).and_then(Self::new).ok_or_else(|| ConfidenceError { text: text.to_owned() })
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An interval that covers the truth with the confidence asked for, or the truth itself, where `low` is `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The percentiles of resamples that leave out equal parts on both sides; sorts them. `None` without any.
    pub fn of_percentiles(resamples: &mut [f64], confidence: Confidence) -> Option<Self> {
        resamples.sort_by(f64::total_cmp);
        let tail = confidence.tails() / 2.0;
        (!resamples.is_empty()).then(|| Self { low: ordered(resamples, tail), high: ordered(resamples, 1.0 - tail) })
    }

    /// Half its width.
    pub fn half_width(self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Whether `value` lies in it, ends included.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// How the interval of a proportion is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProportionMethod {
    /// Wilson (1927): covers as often as promised on average over the possible truths; written `wilson`.
    Wilson,
    /// Clopper and Pearson (1934): covers at least as often as promised, whatever the truth; written `exact`.
    ClopperPearson,
}

/// How the interval of a mean is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeanMethod {
    /// Student's t; written `t`.
    StudentT,
    /// Seeded bootstrap: `BCa` for independent trials, rescaled percentile for strata; written `bootstrap`.
    Bootstrap,
}

impl ProportionMethod {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wilson => "wilson",
            Self::ClopperPearson => "exact",
        }
    }

    /// Interval of a proportion estimated as `share` from `trials` independent trials, which need not be a whole
    /// number: for other designs it is the number of independent trials that would say as much (Korn and Graubard
    /// 1998).
    pub(super) fn interval(self, share: f64, trials: f64, confidence: Confidence) -> Interval {
        match self {
            Self::Wilson => {
                let z = normal_of_tails(confidence.tails());
                let weight = z * z / trials;
                let center = (share + weight / 2.0) / (1.0 + weight);
                let half = z / (1.0 + weight) * (share * (1.0 - share) / trials + weight / (4.0 * trials)).sqrt();
                Interval {
                    low: if share <= 0.0 { 0.0 } else { (center - half).max(0.0) },
                    high: if share >= 1.0 { 1.0 } else { (center + half).min(1.0) },
                }
            }
            Self::ClopperPearson => {
                let tail = confidence.tails() / 2.0;
                let (hits, misses) = (share * trials, (1.0 - share) * trials);
                Interval {
                    low: if share <= 0.0 { 0.0 } else { beta_quantile(tail, hits, misses + 1.0) },
                    high: if share >= 1.0 { 1.0 } else { 1.0 - beta_quantile(tail, misses, hits + 1.0) },
                }
            }
        }
    }
}

impl MeanMethod {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StudentT => "t",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// Interval of a mean whose estimate has a standard error with so many degrees of freedom; `None` where the values seen
/// do not differ, which says nothing about those not seen.
pub(super) fn student_t(mean: f64, standard_error: f64, freedom: f64, confidence: Confidence) -> Option<Interval> {
    (standard_error > 0.0 && freedom > 0.0).then(|| {
        let half = student_t_of_tails(confidence.tails(), freedom) * standard_error;
        Interval { low: mean - half, high: mean + half }
    })
}

/// Resamples of a bootstrap: so many that the usual quantiles fall on one of them (Efron and Tibshirani 1993, 12.5).
const RESAMPLES: usize = 1999;

/// The stream of a seed that the bootstrap uses; trials use small numbers.
const BOOTSTRAP_STREAM: u64 = u64::MAX;

/// One stratum of a sample, as the bootstrap sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resampled<'a> {
    /// What was observed.
    pub values: &'a [f64],
    /// Its part of the population.
    pub weight: f64,
    /// Part of it that was not observed; 1 for an infinite population.
    pub unseen: f64,
}

/// `BCa` interval of the mean of independent values (Efron and Tibshirani 1993, chapter 14); `None` where the values do
/// not differ.
pub(super) fn bootstrap_bca(values: &[f64], confidence: Confidence, seed: u64) -> Option<Interval> {
    if values.iter().all(|value| *value == values[0]) {
        return None;
    }
    let count = cast::f64_from_count(values.len());
    let mean = values.iter().sum::<f64>() / count;
    let powers = values.iter().fold((0.0, 0.0), |(squares, cubes), value| {
        let difference = value - mean;
        (squares + difference * difference, cubes + difference * difference * difference)
    });
    let mut draws = Draws::new(seed, BOOTSTRAP_STREAM);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..values.len()).map(|_| values[draws.below(values.len())]).sum::<f64>() / count)
        .collect();
    means.sort_by(f64::total_cmp);
    // Ties count half; a share of 0 or 1 is no more than this many resamples can tell.
    let resamples = cast::f64_from_count(RESAMPLES);
    let below = cast::f64_from_count(means.iter().filter(|resampled| **resampled < mean).count());
    let equal = cast::f64_from_count(means.iter().filter(|resampled| **resampled == mean).count());
    let share = ((below + equal / 2.0) / resamples).clamp(0.5 / resamples, 1.0 - 0.5 / resamples);
    let bias = normal_quantile(share);
    // The jackknife's acceleration, which for a mean has this closed form.
    let acceleration = powers.1 / (6.0 * powers.0 * powers.0.sqrt());
    let z = normal_of_tails(confidence.tails());
    let end = |z: f64| {
        let shifted = bias + z;
        let scale = 1.0 - acceleration * shifted;
        // Beyond this point the correction has no meaning; the outermost resample is the end.
        let corrected = if scale > 0.0 { normal_below(bias + shifted / scale) } else { f64::from(z > 0.0) };
        ordered(&means, corrected)
    };
    Some(Interval { low: end(-z), high: end(z) })
}

/// Percentile interval of a stratified mean by the rescaling bootstrap of Rao and Wu (1988): of `n` values `n - 1` are
/// drawn again, and what their mean differs is scaled by the square root of the unseen part. `None` where no value
/// differs.
pub(super) fn bootstrap_stratified(strata: &[Resampled<'_>], confidence: Confidence, seed: u64) -> Option<Interval> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / cast::f64_from_count(values.len());
    let fixed: f64 = strata.iter().map(|stratum| stratum.weight * mean(stratum.values)).sum();
    let open: Vec<(&Resampled<'_>, f64)> = strata
        .iter()
        .filter(|stratum| stratum.unseen > 0.0 && stratum.values.iter().any(|value| *value != stratum.values[0]))
        .map(|stratum| (stratum, mean(stratum.values)))
        .collect();
    if open.is_empty() {
        return None;
    }
    let mut draws = Draws::new(seed, BOOTSTRAP_STREAM);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            open.iter().fold(fixed, |sum, (stratum, mean)| {
                let (values, count) = (stratum.values, stratum.values.len() - 1);
                let again = (0..count).map(|_| values[draws.below(values.len())]).sum::<f64>();
                let moved = again / cast::f64_from_count(count) - mean;
                sum + stratum.weight * stratum.unseen.sqrt() * moved
            })
        })
        .collect();
    Interval::of_percentiles(&mut means, confidence)
}

/// The standard normal value that is exceeded with probability `1 - share`.
fn normal_quantile(share: f64) -> f64 {
    if share < 0.5 {
        -normal_of_tails(2.0 * share)
    } else if share > 0.5 {
        normal_of_tails(2.0 * (1.0 - share))
    } else {
        0.0
    }
}

/// The value of sorted `resamples` at `share`: number `(B + 1) share`, counted from 1.
fn ordered(resamples: &[f64], share: f64) -> f64 {
    let number = cast::floor_i64(share * cast::f64_from_count(resamples.len() + 1) + 0.5);
    let place = usize::try_from(number - 1).unwrap_or(0).min(resamples.len() - 1);
    resamples[place]
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 8] = [0.1, -0.2, 0.0, 0.5, 1.75, 0.0, 0.03, -0.01];

    fn ninety_five() -> Confidence {
        Confidence::new(0.95).unwrap()
    }

    fn near(found: Interval, low: f64, high: f64, tolerance: f64) {
        assert!((found.low - low).abs() < tolerance && (found.high - high).abs() < tolerance, "{found:?} {low} {high}");
    }

    #[test]
    fn proportions_as_scipy_has_them() {
        // scipy.stats.binomtest(hits, trials).proportion_ci(0.95, method)
        let cases = [
            (0.0, 20.0, [0.0, 0.161_125_158_052_819_35], [0.0, 0.168_433_470_983_085_48]),
            (
                1.0,
                20.0,
                [0.008_881_448_800_795_402, 0.236_131_193_446_742_05],
                [0.001_265_089_497_956_033_9, 0.248_732_762_772_027_72],
            ),
            (
                10.0,
                20.0,
                [0.299_298_008_198_212_4, 0.700_701_991_801_787_6],
                [0.271_957_849_560_791_33, 0.728_042_150_439_208_6],
            ),
            (20.0, 20.0, [0.838_874_841_947_180_8, 1.0], [0.831_566_529_016_914_5, 1.0]),
            (
                137.0,
                2000.0,
                [0.058_236_365_389_778_61, 0.080_418_046_413_942_68],
                [0.057_818_476_403_026_39, 0.080_466_415_543_913_84],
            ),
            (
                1999.0,
                2000.0,
                [0.997_173_137_496_733_9, 0.999_911_732_269_294_5],
                [0.997_217_360_165_327_6, 0.999_987_341_176_129_3],
            ),
        ];
        for (hits, trials, wilson, exact) in cases {
            let interval = |method: ProportionMethod| method.interval(hits / trials, trials, ninety_five());
            near(interval(ProportionMethod::Wilson), wilson[0], wilson[1], 1e-11);
            near(interval(ProportionMethod::ClopperPearson), exact[0], exact[1], 1e-11);
        }
        let interval = ProportionMethod::ClopperPearson.interval(7.0 / 50.0, 50.0, Confidence::new(0.99).unwrap());
        near(interval, 0.042_468_787_378_833_785, 0.309_106_965_964_818_9, 1e-11);
    }

    #[test]
    fn means_as_scipy_has_them() {
        let count = 8.0;
        let mean = VALUES.iter().sum::<f64>() / count;
        let variance = VALUES.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        // scipy.stats.t.interval
        let interval = student_t(mean, (variance / count).sqrt(), count - 1.0, ninety_five()).unwrap();
        near(interval, -0.255_119_620_765_916_65, 0.797_619_620_765_916_6, 1e-10);
        assert_eq!(student_t(1.0, 0.0, 7.0, ninety_five()), None);
        // scipy.stats.bootstrap, method BCa, 200,000 resamples; ours are ten times 1,999.
        let skewed: Vec<f64> = (1..=40).map(|k| (f64::from(k) / 40.0).powi(4)).collect();
        let intervals: Vec<Interval> =
            (0..10).map(|seed| bootstrap_bca(&skewed, ninety_five(), seed).unwrap()).collect();
        let average = |end: fn(&Interval) -> f64| intervals.iter().map(end).sum::<f64>() / 10.0;
        let found = Interval { low: average(|interval| interval.low), high: average(|interval| interval.high) };
        // The plain percentiles would be 0.1305 and 0.3042.
        near(found, 0.137_804_939_933_432_04, 0.315_293_942_272_485_1, 0.004);
        assert_eq!(bootstrap_bca(&VALUES, ninety_five(), 1), bootstrap_bca(&VALUES, ninety_five(), 1));
        for alike in [2.0, 0.1] {
            assert_eq!(bootstrap_bca(&[alike; 6], ninety_five(), 1), None);
        }
    }

    #[test]
    fn a_rescaled_bootstrap_has_the_variance_of_the_stratified_mean() {
        let shifted: Vec<f64> = VALUES.iter().map(|value| 3.0 * value + 1.0).collect();
        let strata = [
            Resampled { values: &VALUES, weight: 0.25, unseen: 0.5 },
            Resampled { values: &shifted, weight: 0.25, unseen: 1.0 },
            Resampled { values: &[5.0, 9.0], weight: 0.5, unseen: 0.0 },
        ];
        let interval = bootstrap_stratified(&strata, ninety_five(), 1).unwrap();
        let mean = 0.271_25;
        let variance = VALUES.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 7.0 / 8.0;
        let error = (variance * (0.5 / 16.0 + 9.0 / 16.0)).sqrt();
        // The tails of so few values are not normal; their width is roughly that of two standard errors to each side.
        assert!((interval.half_width() / (1.96 * error) - 1.0).abs() < 0.1, "{interval:?} {error}");
        assert!(interval.contains(0.25 * mean + 0.25 * (3.0 * mean + 1.0) + 3.5));
        assert_eq!(bootstrap_stratified(&strata[2..], ninety_five(), 1), None);
    }

    #[test]
    fn confidences_lie_between_nothing_and_certainty() {
        for (text, value) in [("0.9", 0.9), ("95%", 0.95), (" 99.9 % ", 0.999)] {
            assert_eq!(text.parse::<Confidence>().unwrap().get(), value);
        }
        for text in ["0", "1", "-1", "95", "0%", "100%", "NaN", ""] {
            assert!(text.parse::<Confidence>().unwrap_err().to_string().contains("between 0 and 1"), "{text}");
        }
    }
}
