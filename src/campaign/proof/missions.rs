//! Missions of several plans in one environment, with what is predicted of them.

use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;

use super::super::intervals::Interval;
use super::super::mission::{FaultFree, Flight, Mission, MissionInput, MissionOutcome, MissionRun};
use super::super::trials::TrialInput;
use super::super::{CampaignError, Confidence};
use super::effects::EffectBook;
use super::prediction::{ClusterEffects, first_order, mean_lasting_cycles};
use super::ratio::Mean;
use crate::fault::{Environment, FaultSources, StrikeSource};
use crate::hw::{BitId, Placement, Protection};
use crate::num::cast;

/// Where, how long and how often plans are exposed.
#[derive(Debug, Clone, Copy)]
pub struct MissionPlan<'a> {
    /// How often particles strike, and how many neighboring cells each upsets.
    pub environment: &'a Environment,
    /// Cells from one copy of a bit to the next.
    pub distance: NonZeroUsize,
    /// Cycles from one load of all registers to the next; only the one at power-up when absent.
    pub scrub_cycles: Option<NonZeroU64>,
    /// Length of a mission, in cycles.
    pub cycles: u64,
    /// Missions of each plan.
    pub missions: u32,
    /// Seed of all draws.
    pub seed: u64,
    /// Confidence of every interval by itself.
    pub confidence: Confidence,
    /// Evaluations of a state on an event that missions may take, and clusters by themselves; where missions would take
    /// more, states are judged on samples, and where clusters would, they are left out.
    pub evaluations: u64,
}

/// Who is told of progress.
pub struct PlanProgress<'p> {
    /// After each mission.
    pub flown: &'p (dyn Fn() + Sync),
    /// Evaluations of states, done since it was last told and in all.
    pub judged: &'p (dyn Fn(u64, u64) + Sync),
    /// Evaluations of clusters, in the same way.
    pub clusters: &'p (dyn Fn(u64, u64) + Sync),
}

/// A figure that was predicted and then observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// From single rises.
    pub predicted: f64,
    /// From all clusters of one strike, each evaluated; none where they were left out.
    pub predicted_with_clusters: Option<f64>,
    /// Mean over missions, or what follows from means.
    pub observed: f64,
    /// Its interval; none where the missions do not differ or say nothing.
    pub interval: Option<Interval>,
}

impl Observed {
    /// Whether a prediction lies in the interval; unknown without one, unless it is exactly what was observed.
    pub fn is_inside(&self, predicted: f64) -> Option<bool> {
        match self.interval {
            Some(interval) => Some(interval.contains(predicted)),
            None => (predicted == self.observed).then_some(true),
        }
    }
}

/// What the missions of one plan came to.
#[derive(Debug, Clone, PartialEq)]
pub struct FlownPlan {
    /// Cells that can be struck, empty ones of the placement included.
    pub cells: usize,
    /// Strikes per second on all of them.
    pub strikes_per_s: f64,
    /// Strikes in all missions.
    pub strikes: u64,
    /// Rise of the mean error over a mission.
    pub rise: Observed,
    /// Share of the first plan's rise that is gone; not for the first plan itself.
    pub removed: Option<Observed>,
}

/// What the missions of all plans came to, and how they were judged.
#[derive(Debug, Clone, PartialEq)]
pub struct FlownPlans {
    /// In the order of the plans.
    pub plans: Vec<FlownPlan>,
    /// Cycles that a flip lasts on average.
    pub lasting_cycles: f64,
    /// Different states that were judged.
    pub states: usize,
    /// Events that each was judged on.
    pub events_per_state: usize,
    /// Different sets of registers that clusters leave wrong, over all plans.
    pub cluster_sets: usize,
}

/// A plan with the place of its cells.
struct Placed<'a> {
    plan: &'a [Protection],
    placement: Placement,
    strikes_per_s: f64,
}

/// Exposes every plan to strikes on the cells of the candidates, and on nothing else, in missions of its own; `rises` are
/// those of the candidates, each flipped alone.
///
/// Depends on input and seed alone. Missions of different plans have different strikes, so their means are independent.
///
/// # Errors
/// When an error is no number, or too large to be added up exactly.
///
/// # Panics
/// Without a plan, a mission or a candidate, or when plans times missions are 2^32 or more.
pub fn fly_plans(
    input: &MissionInput<'_>,
    fault_free: &FaultFree,
    (candidates, rises): (&[BitId], &[f64]),
    plans: &[Vec<Protection>],
    setup: &MissionPlan<'_>,
    progress: &PlanProgress<'_>,
) -> Result<FlownPlans, CampaignError> {
    let period_s = input.schedule.clock.period_s();
    let inferences_per_s = 1.0 / (cast::f64_from_u64(input.schedule.interval_cycles.max(1)) * period_s);
    let placed: Vec<Placed<'_>> = plans
        .iter()
        .map(|plan| {
            let placement = Placement::of_bits(input.inventory, candidates, |bit| plan[bit.index()], setup.distance);
            let strikes_per_s = setup.environment.rate.strikes_per_s(placement.len(), inferences_per_s);
            Placed { plan, placement, strikes_per_s }
        })
        .collect();
    let mut flights = Vec::with_capacity(plans.len() * cast::index(setup.missions));
    for (number, placed) in (0..).zip(&placed) {
        flights.extend(placed.fly(input, fault_free, setup, number, progress)?);
    }
    // States do not depend on who protects what: those of all plans are judged together, equal ones once.
    let judge = MissionRun { input: *input, fault_free, mission: placed[0].mission(setup, None) };
    let judged = judge.judge(&flights, setup.evaluations, &progress.judged)?;
    let (clusters, cluster_sets) = cluster_rises(input, &placed, setup, progress)?;

    let lasting_cycles = mean_lasting_cycles(setup.cycles, setup.scrub_cycles);
    let mut rise_of_bit = vec![0.0; input.inventory.bits()];
    for (bit, rise) in candidates.iter().zip(rises) {
        rise_of_bit[bit.index()] = *rise;
    }
    let mut means = Vec::with_capacity(plans.len());
    let mut flown = Vec::with_capacity(plans.len());
    for (number, placed) in placed.iter().enumerate() {
        let outcomes: Vec<&MissionOutcome> = {
            let missions = cast::index(setup.missions);
            judged.outcomes[number * missions..(number + 1) * missions].iter().collect()
        };
        let values: Vec<f64> = outcomes.iter().map(|outcome| outcome.error_rise).collect();
        let mean = Mean::of(&values);
        // Strikes per cycle, each with a mean rise, times the cycles that it lasts: the expected rise at any time.
        let at_a_time = placed.strikes_per_s * period_s * lasting_cycles;
        let single = |bit: BitId| if placed.plan[bit.index()].copies() > 1 { 0.0 } else { rise_of_bit[bit.index()] };
        let per_strike = first_order(&placed.placement, &setup.environment.sizes, single);
        let rise = Observed {
            predicted: at_a_time * per_strike,
            predicted_with_clusters: clusters.as_ref().map(|clusters| at_a_time * clusters[number]),
            observed: mean.value,
            interval: mean.interval(setup.confidence),
        };
        means.push(mean);
        flown.push(FlownPlan {
            cells: placed.placement.len(),
            strikes_per_s: placed.strikes_per_s,
            strikes: outcomes.iter().map(|outcome| outcome.counts.strikes).sum(),
            rise,
            removed: None,
        });
    }
    let whole = flown[0].rise;
    for (plan, mean) in flown.iter_mut().zip(&means).skip(1) {
        let gone = |part: f64, whole: f64| (whole - part) / whole;
        plan.removed = Some(Observed {
            predicted: gone(plan.rise.predicted, whole.predicted),
            predicted_with_clusters: plan
                .rise
                .predicted_with_clusters
                .zip(whole.predicted_with_clusters)
                .map(|(part, whole)| gone(part, whole)),
            observed: gone(plan.rise.observed, whole.observed),
            interval: mean.share_removed_of(&means[0], setup.confidence),
        });
    }
    Ok(FlownPlans {
        plans: flown,
        lasting_cycles,
        states: judged.states,
        events_per_state: judged.events_per_state,
        cluster_sets,
    })
}

impl Placed<'_> {
    /// The mission of the plan; without strikes where only its times matter.
    fn mission<'m>(&'m self, setup: &MissionPlan<'m>, strikes: Option<StrikeSource<'m>>) -> Mission<'m> {
        Mission {
            protection: self.plan,
            sources: FaultSources { strikes, ..FaultSources::default() },
            scrub_cycles: setup.scrub_cycles,
            cycles: setup.cycles,
            seed: setup.seed,
        }
    }

    /// Missions whose numbers no other plan has.
    fn fly(
        &self,
        input: &MissionInput<'_>,
        fault_free: &FaultFree,
        setup: &MissionPlan<'_>,
        number: u32,
        progress: &PlanProgress<'_>,
    ) -> Result<Vec<Flight>, CampaignError> {
        let period_s = input.schedule.clock.period_s();
        let source = (self.strikes_per_s > 0.0).then(|| StrikeSource {
            placement: &self.placement,
            sizes: &setup.environment.sizes,
            mean_cycles: 1.0 / (self.strikes_per_s * period_s),
        });
        let run = MissionRun { input: *input, fault_free, mission: self.mission(setup, source) };
        let of = |number: u32| number.checked_mul(setup.missions).expect("plans times missions are counted in 32 bits");
        let replicas: Range<u32> = of(number)..of(number + 1);
        run.fly(replicas, &progress.flown)
    }
}

/// Mean rise that one strike leaves, plan by plan, and the number of different sets of wrong registers; no rises where they
/// would take more evaluations than there may be.
fn cluster_rises(
    input: &MissionInput<'_>,
    placed: &[Placed<'_>],
    setup: &MissionPlan<'_>,
    progress: &PlanProgress<'_>,
) -> Result<(Option<Vec<f64>>, usize), CampaignError> {
    let mut book = EffectBook::default();
    let sizes = &setup.environment.sizes;
    let effects: Vec<ClusterEffects> = placed
        .iter()
        .map(|placed| {
            ClusterEffects::new(input.network, input.inventory, placed.plan, &placed.placement, sizes, &mut book)
        })
        .collect();
    let sets = book.open();
    if cast::u64_from_len(sets).saturating_mul(cast::u64_from_len(input.events.len())) > setup.evaluations {
        return Ok((None, sets));
    }
    let trial = TrialInput {
        network: input.network,
        inventory: input.inventory,
        evaluator: input.evaluator,
        events: input.events,
    };
    book.evaluate(&trial, &progress.clusters)?;
    Ok((Some(effects.iter().map(|effects| effects.mean_rise(&book)).collect()), sets))
}
