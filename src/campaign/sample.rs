//! Sampling campaigns: trials are run until an estimate is as good as promised, or there are no more.
//!
//! Every result says its confidence interval, or is exact because every possible trial was run. Which bits a trial
//! flips is the fault model's; what they do is measured by whoever calls.

use super::intervals::{
    Confidence, Interval, MeanMethod, ProportionMethod, Resampled, bootstrap_bca, bootstrap_stratified, student_t,
};
use super::oracle::CampaignError;
use super::strata::{self, Allocation, MeanStatistics, Observation, Observed, Property, Stratum, Target};
use crate::fault::{Population, Sampler, StratumKey, Trials};
use crate::hw::BitId;
use crate::num::cast;

/// Trials between two looks at the intervals; also the fewest of a sample of independent trials that may stop.
pub const BATCH_TRIALS: usize = 200;

/// Trials of each stratum before the first look, or all it has.
pub const PILOT_TRIALS: usize = 30;

/// Independent trials of a campaign without a promise, unless told.
pub const DEFAULT_TRIALS: usize = 1000;

/// Most independent trials of a campaign with a promise, unless told.
pub const DEFAULT_LIMIT: usize = 100_000;

/// Trials measured together when all are run.
const LISTED_CHUNK: usize = 4096;

/// How a sample is to be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplePlan {
    /// Seed of all draws.
    pub seed: u64,
    /// Number of trials, or the most of them where something is promised.
    pub trials: Option<usize>,
    /// Half-width of the interval of the mean rise to be reached.
    pub mean_half_width: Option<f64>,
    /// Half-width of the intervals of both proportions to be reached.
    pub proportion_half_width: Option<f64>,
    /// Confidence of each interval by itself.
    pub confidence: Confidence,
    /// Intervals of proportions.
    pub proportion_method: ProportionMethod,
    /// Interval of the mean.
    pub mean_method: MeanMethod,
    /// Spread over strata, where there are any.
    pub allocation: Allocation,
}

/// Why a sampling campaign cannot be completed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Too few trials to tell anything of every stratum.
    #[error(
        "{trials} trials are too few: each of the {strata} strata (layer, tensor and bit position) needs two, {needed} in all"
    )]
    TooFewTrials {
        /// Trials allowed.
        trials: usize,
        /// Number of strata.
        strata: usize,
        /// Trials needed.
        needed: usize,
    },
    /// A trial failed.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
}

/// A trial and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The bits flipped together.
    pub bits: Vec<BitId>,
    /// What that did.
    pub observation: Observation,
}

/// Why a campaign ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every possible trial was run: results are exact.
    Complete,
    /// As many trials were run as asked for.
    Fixed,
    /// The intervals are as narrow as promised.
    PromiseKept,
    /// The trials ran out before the intervals were as narrow as promised.
    TrialsSpent,
}

/// Part of the trials that have a property.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProportionEstimate {
    /// Trials seen that have it.
    pub hits: usize,
    /// Estimated part of all possible trials.
    pub share: f64,
    /// Where the true part lies.
    pub interval: Interval,
}

/// Mean error rise of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanEstimate {
    /// Estimated mean.
    pub mean: f64,
    /// Its standard error; 0 when the mean is exact, `None` for a single trial.
    pub standard_error: Option<f64>,
    /// Where the true mean lies; `None` when nothing can be said: a single trial, or trials that are all alike.
    pub interval: Option<Interval>,
}

/// What a sample says of all possible trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimates {
    /// Trials that change the output of at least one event.
    pub effective: ProportionEstimate,
    /// Trials that raise the mean error.
    pub sensitive: ProportionEstimate,
    /// Mean error rise.
    pub rise: MeanEstimate,
}

/// What was seen of a stratum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StratumSummary {
    /// Its array and bit.
    pub key: StratumKey,
    /// Possible trials.
    pub population: usize,
    /// Trials run.
    pub trials: usize,
    /// Trials run that were effective.
    pub effective: usize,
    /// Trials run that were sensitive.
    pub sensitive: usize,
    /// Their mean rise.
    pub mean_rise: f64,
    /// Standard deviation of their rises; `None` for a single trial.
    pub deviation: Option<f64>,
}

/// A finished campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The trials, in the order in which they were drawn.
    pub trials: Vec<Trial>,
    /// Number of possible trials, where they can be counted.
    pub population: Option<usize>,
    /// The strata, where trials can be counted.
    pub strata: Vec<StratumSummary>,
    /// What the trials say.
    pub estimates: Estimates,
    /// Why it ended.
    pub ending: Ending,
}

impl SamplePlan {
    /// The most trials that [`sample`] runs.
    pub fn limit(&self, trials: &Trials) -> usize {
        let default = if self.promises() { DEFAULT_LIMIT } else { DEFAULT_TRIALS };
        match trials {
            Trials::Listed(population) => self.trials.unwrap_or(usize::MAX).min(population.len()),
            Trials::Drawn(_) => self.trials.unwrap_or(default),
        }
    }

    const fn promises(&self) -> bool {
        self.mean_half_width.is_some() || self.proportion_half_width.is_some()
    }

    /// How many times wider than promised the widest interval is, and of what; `None` without a promise.
    fn widest(&self, estimates: &Estimates) -> Option<(f64, Target)> {
        let share = |estimate: &ProportionEstimate, property| {
            self.proportion_half_width.map(|asked| (estimate.interval.half_width() / asked, Target::Share(property)))
        };
        let mean = self.mean_half_width.map(|asked| {
            (estimates.rise.interval.map_or(f64::INFINITY, |interval| interval.half_width() / asked), Target::Mean)
        });
        let all =
            [mean, share(&estimates.effective, Property::Effective), share(&estimates.sensitive, Property::Sensitive)];
        all.into_iter().flatten().reduce(|widest, next| if next.0 > widest.0 { next } else { widest })
    }

    /// Whether the estimates by `estimate` are as good as promised. The bootstrap is asked only where Student's t,
    /// which costs nothing, is content.
    fn is_kept(&self, estimate: impl Fn(MeanMethod) -> Estimates) -> bool {
        let content = |method| self.widest(&estimate(method)).is_some_and(|(width, _)| width <= 1.0);
        content(MeanMethod::StudentT) && (self.mean_method == MeanMethod::StudentT || content(self.mean_method))
    }

    fn ending(&self, kept: bool) -> Ending {
        match (self.promises(), kept) {
            (false, _) => Ending::Fixed,
            (true, true) => Ending::PromiseKept,
            (true, false) => Ending::TrialsSpent,
        }
    }
}

/// Runs the trials whose bits it is given, and says what each did.
pub type Measure<'a, E> = dyn FnMut(&[Vec<BitId>]) -> Result<Vec<Observation>, E> + 'a;

/// Runs trials as `plan` says. `measure` runs those it is given, in their order.
///
/// Intervals are looked at after fixed numbers of trials only, so the result depends on the plan and on what trials do,
/// never on threads. A campaign that has run every possible trial is exact.
///
/// # Errors
/// When `measure` fails, or there are too few trials for the strata; that is found before anything is measured.
pub fn sample<E: From<SampleError>>(
    trials: &Trials,
    plan: &SamplePlan,
    measure: &mut Measure<'_, E>,
) -> Result<Sample, E> {
    let limit = plan.limit(trials);
    match trials {
        Trials::Drawn(sampler) => sample_drawn(sampler, plan, limit, measure),
        Trials::Listed(population) if !plan.promises() && limit == population.len() => {
            run_all(population, plan, measure)
        }
        Trials::Listed(population) => sample_listed(population, plan, limit, measure),
    }
}

fn pair(bits: Vec<Vec<BitId>>, observations: Vec<Observation>) -> impl Iterator<Item = Trial> {
    bits.into_iter().zip(observations).map(|(bits, observation)| Trial { bits, observation })
}

/// Independent trials.
fn sample_drawn<E>(
    sampler: &Sampler,
    plan: &SamplePlan,
    limit: usize,
    measure: &mut Measure<'_, E>,
) -> Result<Sample, E> {
    let mut observed = Observed::default();
    let mut done = Vec::new();
    let mut kept = false;
    while done.len() < limit && !kept {
        let batch = done.len()..limit.min(done.len() + BATCH_TRIALS);
        let bits: Vec<Vec<BitId>> = batch.map(|trial| sampler.trial(plan.seed, cast::u64_from_len(trial))).collect();
        let observations = measure(&bits)?;
        for observation in &observations {
            observed.push(*observation);
        }
        done.extend(pair(bits, observations));
        kept = done.len() >= BATCH_TRIALS && plan.is_kept(|method| independent(&observed, plan, method));
    }
    let estimates = independent(&observed, plan, plan.mean_method);
    Ok(Sample { trials: done, population: None, strata: Vec::new(), estimates, ending: plan.ending(kept) })
}

fn independent(observed: &Observed, plan: &SamplePlan, method: MeanMethod) -> Estimates {
    let proportion = |property| {
        let hits = observed.hits(property);
        let share = cast::f64_from_count(hits) / observed.count();
        let interval = plan.proportion_method.interval(share, observed.count(), plan.confidence);
        ProportionEstimate { hits, share, interval }
    };
    let mean = observed.mean();
    let standard_error = observed.variance().map(|variance| (variance / observed.count()).sqrt());
    let interval = match method {
        MeanMethod::StudentT => {
            standard_error.and_then(|error| student_t(mean, error, observed.count() - 1.0, plan.confidence))
        }
        MeanMethod::Bootstrap => bootstrap_bca(&observed.rises, plan.confidence, plan.seed),
    };
    Estimates {
        effective: proportion(Property::Effective),
        sensitive: proportion(Property::Sensitive),
        rise: MeanEstimate { mean, standard_error, interval },
    }
}

/// Every possible trial, in the order of its bits.
fn run_all<E>(population: &Population, plan: &SamplePlan, measure: &mut Measure<'_, E>) -> Result<Sample, E> {
    let mut stratum_of = vec![0; population.len()];
    let mut strata: Vec<Stratum> = Vec::new();
    for (number, (_, units)) in population.strata().enumerate() {
        for unit in units {
            stratum_of[*unit] = number;
        }
        strata.push(Stratum::new(units.len()));
    }
    let mut done = Vec::new();
    while done.len() < population.len() {
        let chunk = done.len()..population.len().min(done.len() + LISTED_CHUNK);
        let bits: Vec<Vec<BitId>> = chunk.clone().map(|unit| population.bits(unit)).collect();
        let observations = measure(&bits)?;
        for (unit, observation) in chunk.zip(&observations) {
            strata[stratum_of[unit]].observed.push(*observation);
        }
        done.extend(pair(bits, observations));
    }
    Ok(finish(population, plan, &strata, done, Ending::Complete))
}

/// A stratified sample without replacement.
fn sample_listed<E: From<SampleError>>(
    population: &Population,
    plan: &SamplePlan,
    limit: usize,
    measure: &mut Measure<'_, E>,
) -> Result<Sample, E> {
    let mut strata: Vec<Stratum> = population.strata().map(|(_, units)| Stratum::new(units.len())).collect();
    let orders: Vec<Vec<usize>> = (0..strata.len()).map(|stratum| population.shuffled(stratum, plan.seed)).collect();
    let mut done = Vec::new();
    let mut next = pilot(&strata, limit)?;
    loop {
        let mut bits = Vec::new();
        let mut of_stratum = Vec::new();
        for (stratum, count) in next.into_iter().enumerate() {
            let first = strata[stratum].observed.rises.len();
            bits.extend(orders[stratum][first..first + count].iter().map(|unit| population.bits(*unit)));
            of_stratum.resize(bits.len(), stratum);
        }
        let observations = measure(&bits)?;
        for (stratum, observation) in of_stratum.into_iter().zip(&observations) {
            strata[stratum].observed.push(*observation);
        }
        done.extend(pair(bits, observations));

        let complete = done.len() == population.len();
        let kept = complete || (is_pilot_whole(&strata) && plan.is_kept(|method| stratified(&strata, plan, method)));
        if done.len() >= limit || kept {
            let ending = if complete { Ending::Complete } else { plan.ending(kept) };
            return Ok(finish(population, plan, &strata, done, ending));
        }
        let widest = plan.widest(&stratified(&strata, plan, MeanMethod::StudentT));
        let target = widest.map_or(Target::Mean, |(_, target)| target);
        let count = BATCH_TRIALS.min(limit - done.len());
        next = strata::allocate(&strata, count, plan.allocation, target);
    }
}

/// Trials of each stratum before the first look: fewer than wanted where the limit is lower, never fewer than two.
fn pilot(strata: &[Stratum], limit: usize) -> Result<Vec<usize>, SampleError> {
    let each = |count: usize| strata.iter().map(move |stratum| stratum.size.min(count));
    let affordable = (2..=PILOT_TRIALS).rev().find(|count| each(*count).sum::<usize>() <= limit);
    match affordable {
        Some(count) => Ok(each(count).collect()),
        None => Err(SampleError::TooFewTrials { trials: limit, strata: strata.len(), needed: each(2).sum() }),
    }
}

fn is_pilot_whole(strata: &[Stratum]) -> bool {
    strata.iter().all(|stratum| stratum.observed.rises.len() >= stratum.size.min(PILOT_TRIALS))
}

fn stratified(strata: &[Stratum], plan: &SamplePlan, method: MeanMethod) -> Estimates {
    let proportion = |property| {
        let hits = strata.iter().map(|stratum| stratum.observed.hits(property)).sum();
        let statistics = strata::proportion(strata, property, plan.confidence.get());
        let share = statistics.share;
        let interval = if statistics.trials.is_finite() {
            plan.proportion_method.interval(share, statistics.trials, plan.confidence)
        } else {
            Interval { low: share, high: share }
        };
        ProportionEstimate { hits, share, interval }
    };
    let MeanStatistics { mean, standard_error, freedom } = strata::mean(strata);
    let interval = if strata.iter().all(Stratum::is_complete) {
        Some(Interval { low: mean, high: mean })
    } else {
        match method {
            MeanMethod::StudentT => student_t(mean, standard_error, freedom, plan.confidence),
            MeanMethod::Bootstrap => {
                let total = cast::f64_from_count(strata.iter().map(|stratum| stratum.size).sum());
                let resampled = strata.iter().map(|stratum| Resampled {
                    values: &stratum.observed.rises,
                    weight: cast::f64_from_count(stratum.size) / total,
                    unseen: stratum.unseen(),
                });
                bootstrap_stratified(&resampled.collect::<Vec<_>>(), plan.confidence, plan.seed)
            }
        }
    };
    Estimates {
        effective: proportion(Property::Effective),
        sensitive: proportion(Property::Sensitive),
        rise: MeanEstimate { mean, standard_error: Some(standard_error), interval },
    }
}

fn finish(
    population: &Population,
    plan: &SamplePlan,
    strata: &[Stratum],
    trials: Vec<Trial>,
    ending: Ending,
) -> Sample {
    let summaries = population.strata().zip(strata).map(|((key, units), stratum)| StratumSummary {
        key,
        population: units.len(),
        trials: stratum.observed.rises.len(),
        effective: stratum.observed.effective,
        sensitive: stratum.observed.sensitive,
        mean_rise: stratum.observed.mean(),
        deviation: stratum.observed.variance().map(f64::sqrt),
    });
    Sample {
        population: Some(population.len()),
        strata: summaries.collect(),
        estimates: stratified(strata, plan, plan.mean_method),
        trials,
        ending,
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
