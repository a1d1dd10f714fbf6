//! Stratified sampling without replacement: what a sample of some strata says about the whole, and where to look next.
//!
//! Notation of Cochran, *Sampling Techniques* (1977), chapter 5: stratum `h` holds `N_h` of `N` trials and is sampled
//! `n_h` times, `W_h = N_h / N`, `f_h = n_h / N_h`. Draws nothing and runs nothing.

use super::ExactSum;
use super::quantiles::normal_of_tails;
use crate::num::cast;

/// What was observed of a trial: effect of its flips over all events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Events whose output differs from the fault-free one.
    pub changed_events: u32,
    /// Mean error minus fault-free mean error.
    pub rise: f64,
}

impl Observation {
    /// Whether the output of at least one event differs.
    pub const fn is_effective(&self) -> bool {
        self.changed_events > 0
    }

    /// Whether the mean error is higher.
    pub fn is_sensitive(&self) -> bool {
        self.rise > 0.0
    }
}

/// Trials observed, of one stratum or of all there are.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Observed {
    /// Rises in the order of the draws.
    pub rises: Vec<f64>,
    pub effective: usize,
    pub sensitive: usize,
    sum: ExactSum,
}

impl Observed {
    pub fn push(&mut self, observation: Observation) {
        self.effective += usize::from(observation.is_effective());
        self.sensitive += usize::from(observation.is_sensitive());
        self.sum += ExactSum::of(observation.rise).expect("a mean of terms below 2^76");
        self.rises.push(observation.rise);
    }

    pub fn count(&self) -> f64 {
        cast::f64_from_count(self.rises.len())
    }

    /// Mean rise; NaN without a trial.
    pub fn mean(&self) -> f64 {
        self.sum.value() / self.count()
    }

    /// Variance with the divisor `n - 1`; `None` below two trials.
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean();
        (self.rises.len() > 1).then(|| {
            // The mean of equal numbers, being rounded, may differ from them.
            if self.rises.iter().all(|rise| *rise == self.rises[0]) {
                return 0.0;
            }
            let squares = self.rises.iter().map(|rise| (rise - mean) * (rise - mean)).sum::<f64>();
            squares / (self.count() - 1.0)
        })
    }

    /// Trials with a property.
    pub const fn hits(&self, property: Property) -> usize {
        match property {
            Property::Effective => self.effective,
            Property::Sensitive => self.sensitive,
        }
    }
}

/// What a trial can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Effective,
    Sensitive,
}

/// A stratum and what was observed of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stratum {
    /// `N_h`.
    pub size: usize,
    pub observed: Observed,
}

impl Stratum {
    pub fn new(size: usize) -> Self {
        Self { size, observed: Observed::default() }
    }

    pub const fn is_complete(&self) -> bool {
        self.observed.rises.len() == self.size
    }

    /// `1 - f_h`.
    pub fn unseen(&self) -> f64 {
        cast::f64_from_count(self.size - self.observed.rises.len()) / cast::f64_from_count(self.size)
    }
}

/// A mean with what is known of its spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MeanStatistics {
    pub mean: f64,
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub freedom: f64,
}

/// A proportion and the number of independent trials that would say as much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ProportionStatistics {
    pub share: f64,
    /// Infinite when the proportion is known.
    pub trials: f64,
}

/// How the trials of a stratified sample are spread over the strata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// As the strata are large; written `proportional`.
    Proportional,
    /// As the strata are large and their trials differ, which is learned on the way (Neyman 1934); written `neyman`.
    Neyman,
}

impl Allocation {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proportional => "proportional",
            Self::Neyman => "neyman",
        }
    }
}

/// What a sample is to tell as well as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Mean,
    Share(Property),
}

/// Of every so many trials one is allocated in proportion, so that a stratum that looked dull is looked at again.
const PROPORTIONAL_EVERY: usize = 4;

/// Trials assumed besides those seen, half of them hits, when the spread of a proportion is judged for the allocation.
const ASSUMED_TRIALS: f64 = 4.0;

fn total(strata: &[Stratum]) -> f64 {
    strata.iter().map(|stratum| cast::f64_from_count(stratum.size)).sum()
}

/// Stratified mean `sum W_h y_h` and its variance `sum W_h^2 (1 - f_h) s_h^2 / n_h` (Cochran, sections 5.3 and 5.4),
/// with the effective degrees of freedom that Cochran takes from Satterthwaite (1946). Complete strata have no
/// variance.
pub(super) fn mean(strata: &[Stratum]) -> MeanStatistics {
    let total = total(strata);
    let (mut mean, mut variance, mut spread) = (0.0, 0.0, 0.0);
    let mut sum = ExactSum::default();
    for stratum in strata {
        let weight = cast::f64_from_count(stratum.size) / total;
        mean += weight * stratum.observed.mean();
        sum += stratum.observed.sum;
        if !stratum.is_complete() {
            let of_stratum = stratum.observed.variance().expect("incomplete strata have two trials or more");
            let term = weight * weight * stratum.unseen() * of_stratum / stratum.observed.count();
            variance += term;
            spread += term * term / (stratum.observed.count() - 1.0);
        }
    }
    if strata.iter().all(Stratum::is_complete) {
        mean = sum.value() / total;
    }
    let freedom = if spread > 0.0 { variance * variance / spread } else { 0.0 };
    MeanStatistics { mean, standard_error: variance.sqrt(), freedom }
}

/// Stratified proportion `sum W_h p_h`, and the number of independent trials of equal variance.
///
/// The variance `sum W_h^2 (1 - f_h) p_h (1 - p_h) / n_h` would be 0 for strata that look alike throughout, so for this
/// purpose the share of an incomplete stratum is the center of its Wilson interval, `(x_h + z^2/2) / (n_h + z^2)`.
pub(super) fn proportion(strata: &[Stratum], property: Property, confidence: f64) -> ProportionStatistics {
    let z = normal_of_tails(1.0 - confidence);
    let total = total(strata);
    let (mut share, mut centered, mut variance) = (0.0, 0.0, 0.0);
    let mut hits_of_all = 0;
    for stratum in strata {
        let weight = cast::f64_from_count(stratum.size) / total;
        let (hits, count) = (stratum.observed.hits(property), stratum.observed.count());
        hits_of_all += hits;
        let hits = cast::f64_from_count(hits);
        share += weight * hits / count;
        if stratum.is_complete() {
            centered += weight * hits / count;
        } else {
            let center = (hits + z * z / 2.0) / (count + z * z);
            centered += weight * center;
            variance += weight * weight * stratum.unseen() * center * (1.0 - center) / count;
        }
    }
    if strata.iter().all(Stratum::is_complete) {
        return ProportionStatistics { share: cast::f64_from_count(hits_of_all) / total, trials: f64::INFINITY };
    }
    ProportionStatistics { share: share.min(1.0), trials: centered * (1.0 - centered) / variance }
}

/// The strata of the next `count` trials, or fewer when all are complete: number of further trials by stratum.
///
/// Trial by trial where it lowers the variance most: by `W_h^2 s_h^2 / (n_h (n_h + 1))`, which gives the best
/// allocation in whole numbers (Wright 2012). Proportional allocation is the same with equal `s_h`.
pub(super) fn allocate(strata: &[Stratum], count: usize, allocation: Allocation, target: Target) -> Vec<usize> {
    let deviation = |stratum: &Stratum| match target {
        Target::Mean => stratum.observed.variance().unwrap_or(0.0).sqrt(),
        Target::Share(property) => {
            let hits = cast::f64_from_count(stratum.observed.hits(property)) + ASSUMED_TRIALS / 2.0;
            let share = hits / (stratum.observed.count() + ASSUMED_TRIALS);
            (share * (1.0 - share)).sqrt()
        }
    };
    let deviations: Vec<f64> = strata.iter().map(deviation).collect();
    let mut further = vec![0; strata.len()];
    for trial in 0..count {
        let best = |equal: bool| {
            let mut best: Option<(usize, f64)> = None;
            for (position, stratum) in strata.iter().enumerate() {
                let seen = stratum.observed.rises.len() + further[position];
                if seen < stratum.size {
                    let seen = cast::f64_from_count(seen);
                    let spread = if equal { 1.0 } else { deviations[position] };
                    let weighted = cast::f64_from_count(stratum.size) * spread;
                    let gain = weighted * weighted / (seen * (seen + 1.0));
                    if best.is_none_or(|(_, most)| gain > most) {
                        best = Some((position, gain));
                    }
                }
            }
            best
        };
        let proportional = allocation == Allocation::Proportional || trial % PROPORTIONAL_EVERY == 0;
        let chosen = if proportional { best(true) } else { best(false).filter(|(_, gain)| *gain > 0.0) };
        let Some((position, _)) = chosen.or_else(|| best(true)) else { break };
        further[position] += 1;
    }
    further
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stratum(size: usize, rises: &[f64]) -> Stratum {
        let mut stratum = Stratum::new(size);
        for rise in rises {
            stratum.observed.push(Observation { changed_events: u32::from(*rise != 0.0), rise: *rise });
        }
        stratum
    }

    #[test]
    fn the_stratified_mean_by_hand() {
        let strata = [stratum(30, &[1.0, 2.0, 3.0]), stratum(10, &[0.0, 4.0]), stratum(2, &[7.0, 8.0])];
        let found = mean(&strata);
        // Means 2, 2 and 7.5; variances 1, 8 and of no account.
        assert!((found.mean - (60.0 + 20.0 + 15.0) / 42.0).abs() < 1e-14);
        let terms: [f64; 2] = [900.0 / 1764.0 * 0.9 * 1.0 / 3.0, 100.0 / 1764.0 * 0.8 * 8.0 / 2.0];
        assert!((found.standard_error - (terms[0] + terms[1]).sqrt()).abs() < 1e-14);
        let freedom = (terms[0] + terms[1]).powi(2) / (terms[0].powi(2) / 2.0 + terms[1].powi(2));
        assert!((found.freedom - freedom).abs() < 1e-12);
        // Their mean is not 0.1 in floating point.
        assert_eq!(stratum(9, &[0.1; 3]).observed.variance(), Some(0.0));
        let complete = [stratum(2, &[0.1, 0.2]), stratum(1, &[-0.3])];
        let found = mean(&complete);
        assert!(found.mean.abs() < 1e-16 && found.standard_error == 0.0);
    }

    #[test]
    fn one_stratum_without_end_is_a_plain_sample() {
        let huge = stratum(1 << 50, &[1.0, 0.0, 0.0, -1.0]);
        let found = proportion(std::slice::from_ref(&huge), Property::Effective, 0.95);
        assert!((found.share - 0.5).abs() < 1e-12 && (found.trials - 4.0).abs() < 1e-9, "{found:?}");
        let found = proportion(&[huge], Property::Sensitive, 0.95);
        assert!((found.share - 0.25).abs() < 1e-12 && (found.trials - 4.0).abs() < 1e-9, "{found:?}");
        // Strata that look alike throughout are no certainty.
        let alike = [stratum(1 << 50, &[1.0; 10]), stratum(1 << 50, &[0.0; 10])];
        let found = proportion(&alike, Property::Effective, 0.95);
        assert!(found.share == 0.5 && found.trials > 20.0 && found.trials < 60.0, "{found:?}");
        let known = proportion(&[stratum(2, &[1.0, 0.0])], Property::Effective, 0.95);
        assert_eq!(known, ProportionStatistics { share: 0.5, trials: f64::INFINITY });
    }

    #[test]
    fn trials_go_where_they_tell_most() {
        let strata = [stratum(100, &[0.0, 8.0]), stratum(100, &[0.0, 1.0]), stratum(300, &[0.0; 2])];
        let neyman = allocate(&strata, 40, Allocation::Neyman, Target::Mean);
        assert_eq!(neyman.iter().sum::<usize>(), 40);
        assert!(neyman[0] > 20 && neyman[1] < neyman[0] / 4 && neyman[2] >= 5, "{neyman:?}");
        // From 2 trials each to 46 in the ratio 1 : 1 : 3.
        let proportional = allocate(&strata, 40, Allocation::Proportional, Target::Mean);
        assert_eq!(proportional, [7, 7, 26]);
        assert_eq!(allocate(&strata, 9999, Allocation::Neyman, Target::Mean), [98, 98, 298]);
        let shares = allocate(&strata, 40, Allocation::Neyman, Target::Share(Property::Effective));
        assert!(shares[2] > shares[0], "{shares:?}");
        let dull = [stratum(10, &[0.0; 2]), stratum(30, &[0.0; 2])];
        assert_eq!(allocate(&dull, 12, Allocation::Neyman, Target::Mean), [2, 10], "nothing differs: in proportion");
    }
}
