//! `MissionSummary`: means over replicas with confidence intervals, also where nothing happened.

use super::super::intervals::{bootstrap_bca, student_t};
use super::super::quantiles::ln;
use super::super::{Confidence, Interval, MeanMethod, ProportionMethod};
use super::outcome::{BINS, MissionOutcome};
use crate::num::cast;

/// A figure of a mission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Strikes on cells.
    Strikes,
    /// Disturbed lines.
    Transients,
    /// Bits of other state upset.
    OtherState,
    /// Flip-flops that got stuck.
    Stuck,
    /// Flip-flops upset.
    Upsets,
    /// Of these, masked by the vote.
    Masked,
    /// Of these, seen by an error flag.
    Detected,
    /// Of these, corrected by feedback.
    ByFeedback,
    /// Of these, corrected by a reload.
    ByReload,
    /// Of these, undone by other upsets.
    Undone,
    /// Of these, latent at the end.
    Latent,
    /// Of these, wrong at the end.
    WrongAtEnd,
    /// Wrong outputs.
    WrongOutputs,
    /// Of these, silent.
    SilentOutputs,
    /// Wrong outputs by frames.
    WrongShare,
    /// Share of time with degraded output.
    DegradedShare,
    /// Mean error.
    MeanError,
    /// The same minus the fault-free mean error.
    ErrorRise,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Strikes,
        Self::Transients,
        Self::OtherState,
        Self::Stuck,
        Self::Upsets,
        Self::Masked,
        Self::Detected,
        Self::ByFeedback,
        Self::ByReload,
        Self::Undone,
        Self::Latent,
        Self::WrongAtEnd,
        Self::WrongOutputs,
        Self::SilentOutputs,
        Self::WrongShare,
        Self::DegradedShare,
        Self::MeanError,
        Self::ErrorRise,
    ];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strikes => "strikes",
            Self::Transients => "transients",
            Self::OtherState => "other_state_upsets",
            Self::Stuck => "stuck",
            Self::Upsets => "upsets",
            Self::Masked => "masked",
            Self::Detected => "detected",
            Self::ByFeedback => "corrected_by_feedback",
            Self::ByReload => "corrected_by_reload",
            Self::Undone => "undone",
            Self::Latent => "latent_at_end",
            Self::WrongAtEnd => "wrong_at_end",
            Self::WrongOutputs => "wrong_outputs",
            Self::SilentOutputs => "silent_wrong_outputs",
            Self::WrongShare => "wrong_share",
            Self::DegradedShare => "degraded_share",
            Self::MeanError => "mean_error",
            Self::ErrorRise => "error_rise",
        }
    }

    /// Whether it counts things that happen independently of each other, so that nothing seen bounds their number. What
    /// comes of strikes comes in groups: the cells of a cluster, the copies of a bit.
    const fn counts_events(self) -> bool {
        matches!(self, Self::Strikes | Self::Transients | Self::OtherState)
    }

    /// The least and the most it can be.
    const fn range(self) -> (f64, f64) {
        match self {
            Self::WrongShare | Self::DegradedShare => (0.0, 1.0),
            Self::MeanError | Self::ErrorRise => (f64::NEG_INFINITY, f64::INFINITY),
            _ => (0.0, f64::INFINITY),
        }
    }

    /// Its value in one replica.
    pub fn of(self, outcome: &MissionOutcome) -> f64 {
        let counts = &outcome.counts;
        let count = match self {
            Self::Strikes => counts.strikes,
            Self::Transients => counts.transients,
            Self::OtherState => counts.other_state,
            Self::Stuck => counts.stuck,
            Self::Upsets => counts.upsets,
            Self::Masked => counts.masked,
            Self::Detected => counts.detected,
            Self::ByFeedback => counts.by_feedback,
            Self::ByReload => counts.by_reload,
            Self::Undone => counts.undone,
            Self::Latent => counts.latent,
            Self::WrongAtEnd => counts.wrong,
            Self::WrongOutputs => return outcome.wrong,
            Self::SilentOutputs => return outcome.silent,
            Self::WrongShare => return per_frame(outcome.wrong, outcome.frames),
            Self::DegradedShare => return per_frame(cast::f64_from_u64(outcome.degraded_frames), outcome.frames),
            Self::MeanError => return outcome.mean_error,
            Self::ErrorRise => return outcome.error_rise,
        };
        cast::f64_from_u64(count)
    }
}

fn per_frame(sum: f64, frames: u64) -> f64 {
    if frames == 0 { 0.0 } else { sum / cast::f64_from_u64(frames) }
}

/// Where an interval comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Student's t over replicas.
    StudentT,
    /// `BCa` bootstrap over replicas.
    Bootstrap,
    /// Nothing was seen: the mean of a Poisson number of which `replicas` draws are all 0 is `-ln(1 - confidence) /
    /// replicas` at most ("rule of three").
    Poisson,
    /// Clopper and Pearson, of a share of replicas.
    ClopperPearson,
}

impl Bound {
    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StudentT => "t",
            Self::Bootstrap => "bootstrap",
            Self::Poisson => "poisson",
            Self::ClopperPearson => "exact",
        }
    }
}

/// A mean over replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its interval and where that comes from; none when the replicas say nothing about it.
    pub interval: Option<(Interval, Bound)>,
}

/// The time to the first wrong output, over replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstWrong {
    /// Replicas that saw one.
    pub replicas: usize,
    /// Their share of all.
    pub share: Estimate,
    /// Mean over those that saw one, in seconds.
    pub mean_when_seen_s: Option<f64>,
    /// Mean over all, in seconds, where a replica that saw none counts with the length of the mission.
    pub restricted_mean_s: Estimate,
    /// When none saw one: the mean time between first wrong outputs is longer than this, in seconds, if they come at a
    /// constant rate.
    pub at_least_s: Option<f64>,
}

/// How a summary is made.
#[derive(Debug, Clone, Copy)]
pub struct SummaryPlan<'a> {
    /// Of every interval by itself.
    pub confidence: Confidence,
    /// Interval of means.
    pub mean_method: MeanMethod,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Length of the mission, in seconds.
    pub mission_s: f64,
    /// Whether missions are drawn; otherwise nothing is estimated, and figures have no intervals.
    pub is_drawn: bool,
    /// Figures that are 0 whatever happens: with nothing to estimate, they get no bound.
    pub impossible: &'a [Quantity],
}

/// Missions in a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionSummary {
    /// In the order of [`Quantity::ALL`].
    quantities: Vec<Estimate>,
    /// Frames of a mission.
    pub frames: u64,
    /// Frames that ran on the machine, on average.
    pub mean_machine_frames: f64,
    /// Time to the first wrong output.
    pub first_wrong: FirstWrong,
    /// Share of wrong outputs, by part of the mission.
    pub wrong_share_by_time: Vec<Estimate>,
    /// Rise of the mean error, by part of the mission.
    pub error_rise_by_time: Vec<Estimate>,
}

impl MissionSummary {
    /// Of at least one replica.
    ///
    /// # Panics
    /// Without a replica.
    pub fn of(outcomes: &[MissionOutcome], plan: &SummaryPlan<'_>) -> Self {
        assert!(!outcomes.is_empty(), "a summary has something to sum up");
        let values = |of: &dyn Fn(&MissionOutcome) -> f64| -> Vec<f64> { outcomes.iter().map(of).collect() };
        let quantities = Quantity::ALL.map(|quantity| {
            let values = values(&|outcome| quantity.of(outcome));
            let mut estimate = plan.mean(&values, quantity.range());
            let can_happen = plan.is_drawn && quantity.counts_events() && !plan.impossible.contains(&quantity);
            if can_happen && values.iter().all(|value| *value == 0.0) {
                let high = plan.nothing_seen() / cast::f64_from_count(values.len());
                estimate.interval = Some((Interval { low: 0.0, high }, Bound::Poisson));
            }
            estimate
        });
        let by_time = |of: &dyn Fn(&MissionOutcome, usize) -> f64| {
            (0..BINS).map(|bin| values(&|outcome| of(outcome, bin))).collect::<Vec<Vec<f64>>>()
        };
        let means = |by_time: Vec<Vec<f64>>, quantity: Quantity| {
            by_time.iter().map(|values| plan.mean(values, quantity.range())).collect()
        };
        Self {
            quantities: quantities.to_vec(),
            frames: outcomes[0].frames,
            mean_machine_frames: plan
                .mean(&values(&|outcome| cast::f64_from_u64(outcome.machine_frames)), Quantity::Upsets.range())
                .mean,
            first_wrong: plan.first_wrong(outcomes),
            wrong_share_by_time: means(
                by_time(&|outcome, bin| per_frame(outcome.bins[bin].wrong, outcome.bins[bin].frames)),
                Quantity::WrongShare,
            ),
            error_rise_by_time: means(
                by_time(&|outcome, bin| per_frame(outcome.bins[bin].rise, outcome.bins[bin].frames)),
                Quantity::ErrorRise,
            ),
        }
    }

    /// One of the figures.
    pub fn of_quantity(&self, quantity: Quantity) -> Estimate {
        let position = Quantity::ALL.iter().position(|known| *known == quantity);
        self.quantities[position.expect("all quantities are listed")]
    }
}

impl SummaryPlan<'_> {
    /// Expected number at most, with the confidence, where none was seen.
    fn nothing_seen(&self) -> f64 {
        -ln(1.0 - self.confidence.get())
    }

    /// A mean, with what of its interval is possible.
    fn mean(&self, values: &[f64], (least, most): (f64, f64)) -> Estimate {
        let count = cast::f64_from_count(values.len());
        let mean = values.iter().sum::<f64>() / count;
        let interval = match self.mean_method {
            MeanMethod::StudentT => {
                let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
                let differ = values.iter().any(|value| *value != values[0]);
                let error = if differ { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
                student_t(mean, error, count - 1.0, self.confidence).map(|interval| (interval, Bound::StudentT))
            }
            MeanMethod::Bootstrap => {
                bootstrap_bca(values, self.confidence, self.seed).map(|interval| (interval, Bound::Bootstrap))
            }
        };
        let interval = interval
            .filter(|_| self.is_drawn)
            .map(|(Interval { low, high }, bound)| (Interval { low: low.max(least), high: high.min(most) }, bound));
        Estimate { mean, interval }
    }

    fn first_wrong(&self, outcomes: &[MissionOutcome]) -> FirstWrong {
        let seen: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.first_wrong_s).collect();
        let all: Vec<f64> = outcomes.iter().map(|outcome| outcome.first_wrong_s.unwrap_or(self.mission_s)).collect();
        let count = cast::f64_from_count(outcomes.len());
        let share = cast::f64_from_count(seen.len()) / count;
        let interval = ProportionMethod::ClopperPearson.interval(share, count, self.confidence);
        FirstWrong {
            replicas: seen.len(),
            share: Estimate { mean: share, interval: self.is_drawn.then_some((interval, Bound::ClopperPearson)) },
            mean_when_seen_s: (!seen.is_empty()).then(|| seen.iter().sum::<f64>() / cast::f64_from_count(seen.len())),
            restricted_mean_s: self.mean(&all, (0.0, self.mission_s)),
            at_least_s: (self.is_drawn && seen.is_empty()).then(|| count * self.mission_s / self.nothing_seen()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BinSums, UpsetCounts};
    use super::*;

    fn outcome(upsets: u64, wrong: f64, first_wrong_s: Option<f64>) -> MissionOutcome {
        MissionOutcome {
            replica: 0,
            counts: UpsetCounts { upsets, ..UpsetCounts::default() },
            frames: 1000,
            machine_frames: 4,
            wrong,
            silent: wrong,
            degraded_frames: 0,
            mean_error: 1.0,
            error_rise: 0.0,
            first_wrong_s,
            bins: [BinSums { frames: 40, wrong: 10.0, rise: 0.0 }; BINS],
        }
    }

    fn plan(mean_method: MeanMethod) -> SummaryPlan<'static> {
        let impossible = &[Quantity::Transients];
        SummaryPlan {
            confidence: Confidence::new(0.95).unwrap(),
            mean_method,
            seed: 1,
            mission_s: 100.0,
            is_drawn: true,
            impossible,
        }
    }

    #[test]
    fn means_with_intervals_and_bounds_of_nothing() {
        let outcomes = [outcome(3, 0.0, None), outcome(5, 0.0, None), outcome(4, 0.0, None)];
        let summary = MissionSummary::of(&outcomes, &plan(MeanMethod::StudentT));
        let upsets = summary.of_quantity(Quantity::Upsets);
        // scipy.stats.t.interval(0.95, 2, 4, 1 / sqrt(3))
        let (interval, bound) = upsets.interval.unwrap();
        assert_eq!((upsets.mean, bound), (4.0, Bound::StudentT));
        assert!((interval.low - 1.515_862_288_3).abs() < 1e-9 && (interval.high - 6.484_137_711_7).abs() < 1e-9);
        // Corrections come in groups, strikes on values one by one: 3 replicas, -ln 0.05 = 2.9957.
        assert_eq!(summary.of_quantity(Quantity::ByReload).interval, None);
        let (interval, bound) = summary.of_quantity(Quantity::OtherState).interval.unwrap();
        assert_eq!((interval.low, bound), (0.0, Bound::Poisson));
        assert!((interval.high - 0.998_577_424_5).abs() < 1e-9, "{interval:?}");
        assert_eq!(summary.of_quantity(Quantity::Transients).interval, None, "there are no lines to disturb");
        // Wrong outputs come in bursts: nothing is said of their number.
        assert_eq!(summary.of_quantity(Quantity::WrongOutputs), Estimate { mean: 0.0, interval: None });
        let first = summary.first_wrong;
        assert_eq!((first.replicas, first.share.mean, first.mean_when_seen_s), (0, 0.0, None));
        // 1 - 0.025^(1/3)
        assert!((first.share.interval.unwrap().0.high - 0.707_598_226_2).abs() < 1e-9);
        assert!((first.at_least_s.unwrap() - 300.0 / 2.995_732_273_554).abs() < 1e-9);
        assert_eq!(first.restricted_mean_s, Estimate { mean: 100.0, interval: None });
        assert_eq!(summary.wrong_share_by_time[3].mean, 0.25);
    }

    #[test]
    fn censored_times_are_said_to_be() {
        let outcomes = [outcome(1, 2.0, Some(40.0)), outcome(1, 0.0, None), outcome(1, 8.0, Some(10.0))];
        for method in [MeanMethod::StudentT, MeanMethod::Bootstrap] {
            let first = MissionSummary::of(&outcomes, &plan(method)).first_wrong;
            assert_eq!((first.replicas, first.mean_when_seen_s, first.at_least_s), (2, Some(25.0), None));
            assert_eq!(first.restricted_mean_s.mean, 50.0);
            assert!(first.restricted_mean_s.interval.unwrap().0.contains(50.0));
        }
    }
}
