//! `trivote sweep --verify`: every point of a sweep injected, cell by cell and in missions.

use std::fmt::Write;
use std::num::{NonZeroU64, NonZeroUsize};

use anyhow::bail;
use clap::Args;

use super::inputs::{Opened, Prepared};
use super::simulate::environment::{distance, rate_in_words};
use super::simulate::scrub::Scrub;
use super::simulate::{cycles_of_hours, hours};
use super::{Global, progress};
use crate::campaign::proof::{Claim, FlownPlans, MissionPlan, PlanProgress, PlanProof, ProofInput, fly_plans, prove};
use crate::campaign::{Confidence, FaultFree, MissionInput, TrialInput, share_of};
use crate::fault::{ClusterSizes, Environment, Preset, Rate};
use crate::hw::schedule::Schedule;
use crate::hw::{BitId, Inventory, Protection};
use crate::num::cast;
use crate::protect::{ProtectionPlan, Sweep, SweepPoint};
use crate::report::verify::{VerifiedPlan, VerifyReport, VerifySetup};

/// Strikes of all missions together that are followed, at most.
const MOST_STRIKES: f64 = 1e7;

/// Whether and how points are verified.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Verification")]
pub struct VerifyArguments {
    /// Verify every point by injection into the protected design: every cell of the candidates upset alone, and missions with
    /// strikes on neighboring cells
    #[arg(long)]
    verify: bool,
    /// Missions: environment known by name: hgcal, lhc, datacenter, ground [default: hgcal]
    #[arg(long, value_name = "NAME", requires = "verify", conflicts_with = "verify_rate")]
    verify_environment: Option<Preset>,
    /// Missions: own rate, strikes per flip-flop and second
    #[arg(long, value_name = "R", requires = "verify", allow_hyphen_values = true)]
    verify_rate: Option<f64>,
    /// Missions: neighboring cells that one strike upsets, with their weights (the default is assumed)
    #[arg(long, value_name = "LIST", requires = "verify", default_value = "1:0.9,2:0.07,3:0.03")]
    verify_cluster_sizes: ClusterSizes,
    /// Missions: cells from one copy of a bit to the next (the default is assumed)
    #[arg(long, value_name = "N", requires = "verify", default_value = "16", value_parser = distance)]
    verify_distance: NonZeroUsize,
    /// Missions: period after which all registers are loaded again: none, 1h, 60s, 1ms, 400cycles
    #[arg(long, value_name = "P", requires = "verify", default_value = "1s")]
    verify_scrub: Scrub,
    /// Missions: length, in hours
    #[arg(long, value_name = "H", requires = "verify", default_value = "24", value_parser = hours,
          allow_negative_numbers = true)]
    verify_hours: f64,
    /// Missions of each plan
    #[arg(long, value_name = "N", requires = "verify", default_value = "20",
          value_parser = clap::value_parser!(u32).range(2..=100_000))]
    verify_missions: u32,
    /// Seed of the missions
    #[arg(long, value_name = "SEED", requires = "verify", default_value = "1")]
    verify_seed: u64,
    /// Confidence of every interval by itself, such as 95% or 0.95
    #[arg(long, value_name = "C", requires = "verify", default_value = "0.95")]
    verify_confidence: Confidence,
    /// Evaluations of a state on an event that all missions may take, and all clusters by themselves; when missions would take
    /// more, states are judged on samples of the events, and clusters are left out
    #[arg(long, value_name = "N", requires = "verify", default_value = "1000000000",
          value_parser = clap::value_parser!(u64).range(1..))]
    verify_evaluations: u64,
}

/// What verification needs, found to be sound before any long work.
pub struct Verifier<'a> {
    arguments: &'a VerifyArguments,
    input: MissionInput<'a>,
    candidates: &'a [BitId],
    environment: Environment,
    cycles: u64,
    scrub_cycles: Option<NonZeroU64>,
    fault_free: FaultFree,
}

impl VerifyArguments {
    /// Checks what is asked, if it is; `points` are those of the sweep to come.
    ///
    /// # Errors
    /// When rates, times and design do not go together, or nothing would strike.
    pub fn prepare<'a>(
        &'a self,
        opened: &'a Opened,
        prepared: &'a Prepared,
        schedule: &'a Schedule,
        candidates: &'a [BitId],
        points: usize,
    ) -> anyhow::Result<Option<Verifier<'a>>> {
        if !self.verify {
            return Ok(None);
        }
        let period_s = schedule.clock.period_s();
        let environment = self.environment()?;
        let cycles = cycles_of_hours(self.verify_hours, period_s)?;
        let scrub_cycles = self.verify_scrub.cycles(period_s)?;
        let input = MissionInput {
            network: &opened.design.accelerator,
            inventory: &opened.inventory,
            schedule,
            evaluator: &prepared.evaluator,
            events: &prepared.events,
        };
        let fault_free = FaultFree::new(&input)?;
        if fault_free.frames_within(cycles, schedule) == 0 {
            bail!("no frame comes out within {cycles} cycles; lengthen the missions with --verify-hours");
        }
        let verifier = Verifier { arguments: self, input, candidates, environment, cycles, scrub_cycles, fault_free };
        verifier.check_strikes(points)?;
        Ok(Some(verifier))
    }

    fn environment(&self) -> anyhow::Result<Environment> {
        let mut environment = self.verify_environment.unwrap_or(Preset::Hgcal).environment();
        if let Some(rate) = self.verify_rate {
            "of your own".clone_into(&mut environment.name);
            environment.rate = Rate::of_flux(rate, 1.0)?;
            "as asked".clone_into(&mut environment.source);
        }
        environment.sizes = self.verify_cluster_sizes.clone();
        Ok(environment)
    }

    /// These options in canonical form; nothing when nothing is to be verified.
    pub fn canonical(&self) -> Vec<String> {
        if !self.verify {
            return Vec::new();
        }
        let preset = self.verify_environment.unwrap_or(Preset::Hgcal);
        let environment = self.verify_rate.map_or_else(
            || ["--verify-environment".to_owned(), preset.name().to_owned()],
            |rate| ["--verify-rate".to_owned(), rate.to_string()],
        );
        let others = [
            ("--verify-cluster-sizes", self.verify_cluster_sizes.to_string()),
            ("--verify-distance", self.verify_distance.to_string()),
            ("--verify-scrub", self.verify_scrub.to_string()),
            ("--verify-hours", self.verify_hours.to_string()),
            ("--verify-missions", self.verify_missions.to_string()),
            ("--verify-seed", self.verify_seed.to_string()),
            ("--verify-confidence", self.verify_confidence.to_string()),
            ("--verify-evaluations", self.verify_evaluations.to_string()),
        ];
        let others = others.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        ["--verify".to_owned()].into_iter().chain(environment).chain(others).collect()
    }
}

impl Verifier<'_> {
    fn period_s(&self) -> f64 {
        self.input.schedule.clock.period_s()
    }

    fn mission_s(&self) -> f64 {
        cast::f64_from_u64(self.cycles) * self.period_s()
    }

    /// Strikes per second on so many cells.
    fn strikes_per_s(&self, cells: usize) -> f64 {
        let interval_s = cast::f64_from_u64(self.input.schedule.interval_cycles.max(1)) * self.period_s();
        self.environment.rate.strikes_per_s(cells, 1.0 / interval_s)
    }

    /// Refuses missions that would show nothing, or never end.
    fn check_strikes(&self, points: usize) -> anyhow::Result<()> {
        let missions = f64::from(self.arguments.verify_missions);
        let per_mission = self.strikes_per_s(self.candidates.len()) * self.mission_s();
        if !per_mission.is_finite() {
            bail!("strikes come faster than numbers can say; give a smaller rate");
        }
        if per_mission * missions < 1.0 {
            bail!(
                "{:.3e} strikes are expected in all {missions} missions together, so nothing can be seen; lengthen them with \
                 --verify-hours, or raise the rate with --verify-environment or --verify-rate",
                per_mission * missions
            );
        }
        // Three cells for a bit at most, and those left empty between the copies of a group that is not full.
        let padding = 2 * (self.arguments.verify_distance.get() - 1);
        let most = self.strikes_per_s(3 * self.candidates.len() + padding) * self.mission_s();
        let all = most * missions * cast::f64_from_count(points + 1);
        if all > MOST_STRIKES {
            bail!(
                "up to {all:.3e} strikes in {missions} missions of each of {} plans are more than can be followed \
                 ({MOST_STRIKES:.0e} in all); shorten the missions with --verify-hours, or run fewer with --verify-missions",
                points + 1
            );
        }
        Ok(())
    }

    /// Injects into the design without protection and into the plan of every point; `rises` are the oracle's.
    ///
    /// # Errors
    /// When an error is no number, or too large to be added up exactly.
    pub fn run(&self, sweep: &Sweep, rises: &[f64], global: &Global) -> anyhow::Result<VerifyReport> {
        let of = |plan: &ProtectionPlan| self.input.inventory.bit_ids().map(|bit| plan.of(bit)).collect();
        let points: Vec<(&SweepPoint, &ProtectionPlan)> =
            sweep.points.iter().filter_map(|point| Some((point, point.simulated_plan()?))).collect();
        let plans: Vec<Vec<Protection>> = [&ProtectionPlan::none(self.input.inventory)]
            .into_iter()
            .chain(points.iter().map(|(_, plan)| *plan))
            .map(of)
            .collect();
        let proofs = self.prove(&plans, rises, global)?;
        let flown = self.fly(&plans, rises, global)?;
        let (states, events_per_state) = (flown.states, flown.events_per_state);
        let (cluster_sets, lasting_s) = (flown.cluster_sets, flown.lasting_cycles * self.period_s());
        let start = &sweep.unprotected;
        let unprotected = Claim {
            rise_remaining: start.rise,
            share_removed: share_of(0.0, start.rise),
            sensitive_remaining: start.sensitive,
            mean_rise_per_upset: start.mean_rise_per_upset,
        };
        let claims = [(None, unprotected)].into_iter().chain(points.iter().map(|(point, _)| {
            let claim = Claim {
                rise_remaining: point.rise_remaining,
                share_removed: point.share_removed,
                sensitive_remaining: point.sensitive_remaining,
                mean_rise_per_upset: point.mean_rise_per_upset,
            };
            (Some((point.ranking.clone(), point.budget.to_string())), claim)
        }));
        let plans = claims
            .zip(proofs.into_iter().zip(flown.plans))
            .map(|((point, claim), (proof, flown))| VerifiedPlan {
                point,
                is_equal: proof.confirms(&claim),
                proof,
                flown,
            })
            .collect();
        let passed_over = sweep.points.len() - points.len();
        Ok(VerifyReport { setup: self.setup(lasting_s), plans, states, events_per_state, cluster_sets, passed_over })
    }

    fn prove(&self, plans: &[Vec<Protection>], rises: &[f64], global: &Global) -> anyhow::Result<Vec<PlanProof>> {
        let MissionInput { network, inventory, evaluator, events, .. } = self.input;
        let trial = TrialInput { network, inventory, evaluator, events };
        let bar = progress::bar(0, "evaluations", global.quiet);
        bar.set_message("single upsets");
        let input = ProofInput { trial, candidates: self.candidates, rises, plans };
        let proofs = prove(&input, &|done, total| {
            bar.set_length(total);
            bar.inc(done);
        });
        bar.finish_and_clear();
        Ok(proofs?)
    }

    fn fly(&self, plans: &[Vec<Protection>], rises: &[f64], global: &Global) -> anyhow::Result<FlownPlans> {
        let arguments = self.arguments;
        let missions = u64::from(arguments.verify_missions) * cast::u64_from_len(plans.len());
        let flights = progress::bar(missions, "missions", global.quiet);
        let evaluations = progress::bar(0, "evaluations", global.quiet);
        let clusters = progress::bar(0, "evaluations", global.quiet);
        evaluations.set_message("missions");
        clusters.set_message("clusters");
        let progress = PlanProgress {
            flown: &|| flights.inc(1),
            judged: &|done, total| {
                evaluations.set_length(total);
                evaluations.inc(done);
            },
            clusters: &|done, total| {
                clusters.set_length(total);
                clusters.inc(done);
            },
        };
        let setup = MissionPlan {
            environment: &self.environment,
            distance: arguments.verify_distance,
            scrub_cycles: self.scrub_cycles,
            cycles: self.cycles,
            missions: arguments.verify_missions,
            seed: arguments.verify_seed,
            confidence: arguments.verify_confidence,
            evaluations: arguments.verify_evaluations,
        };
        let flown = fly_plans(&self.input, &self.fault_free, (self.candidates, rises), plans, &setup, &progress);
        for bar in [&flights, &evaluations, &clusters] {
            bar.finish_and_clear();
        }
        Ok(flown?)
    }

    fn setup(&self, lasting_s: f64) -> VerifySetup {
        let arguments = self.arguments;
        let strikes_per_s = self.strikes_per_s(self.candidates.len());
        VerifySetup {
            environment: self.environment.name.clone(),
            rate: rate_in_words(self.environment.rate),
            source: self.environment.source.clone(),
            cluster_sizes: self.environment.sizes.to_string(),
            distance_cells: arguments.verify_distance.get(),
            scrub: arguments.verify_scrub.to_string(),
            scrub_cycles: self.scrub_cycles.map(NonZeroU64::get),
            cycles: self.cycles,
            mission_s: self.mission_s(),
            missions: arguments.verify_missions,
            seed: arguments.verify_seed,
            confidence: arguments.verify_confidence.get(),
            evaluations: arguments.verify_evaluations,
            events: self.input.events.len(),
            metric: self.input.evaluator.metric().name().to_owned(),
            strikes_per_mission: strikes_per_s * self.mission_s(),
            lasting_s,
            strikes_at_once: strikes_per_s * lasting_s,
        }
    }
}

/// Says loudly which points are not as predicted; nothing when all are.
///
/// # Errors
/// When injection and prediction differ anywhere: a bug, in one of them.
pub fn check(report: &VerifyReport, inventory: &Inventory) -> anyhow::Result<()> {
    let wrong: Vec<&VerifiedPlan> = report.plans.iter().filter(|plan| !plan.is_equal).collect();
    let Some(first) = wrong.first() else { return Ok(()) };
    let name = first.point.as_ref().map_or_else(
        || "the design without protection".to_owned(),
        |(ranking, budget)| format!("ranking `{ranking}` at budget {budget}"),
    );
    let mut text = format!(
        "injection does not confirm the sweep in {} of {} plans; the first is {name}: by injection {} cells are read wrong, {} \
         of them with another rise than the oracle's, rise left {}",
        wrong.len(),
        report.plans.len(),
        first.proof.read_wrong,
        first.proof.differing,
        first.proof.rise_remaining,
    );
    if let Some(lapse) = first.proof.first_lapse {
        write!(text, "; copy {} of `{}` {}", lapse.cell.copy, inventory.bit_address(lapse.cell.bit), lapse.lapse)?;
    }
    bail!("{text}; this is an error of trivote, please report it with the command")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::proof::{FlownPlan, Lapse, LapseAt, Observed};
    use crate::hw::test_networks::one_dense;
    use crate::hw::{CopyIdx, FlipFlop};

    fn inventory() -> Inventory {
        Inventory::new(&one_dense(2, 4)).unwrap()
    }

    fn plan(point: Option<&str>, is_equal: bool, first_lapse: Option<LapseAt>) -> VerifiedPlan {
        let proof = PlanProof {
            cells: 16,
            read_wrong: 9,
            differing: 2,
            rise_remaining: 1.5,
            share_removed: 0.0,
            sensitive_cells: 4,
            mean_rise_per_upset: 0.09375,
            max_rise: 1.0,
            lapses: usize::from(first_lapse.is_some()),
            first_lapse,
        };
        let rise = Observed { predicted: 1.0, predicted_with_clusters: None, observed: 1.0, interval: None };
        let flown = FlownPlan { cells: 16, strikes_per_s: 1.0, strikes: 3, rise, removed: None };
        VerifiedPlan { point: point.map(|name| (name.to_owned(), "5%".to_owned())), proof, is_equal, flown }
    }

    fn report(plans: Vec<VerifiedPlan>) -> VerifyReport {
        let setup = VerifySetup {
            environment: String::new(),
            rate: String::new(),
            source: String::new(),
            cluster_sizes: String::new(),
            distance_cells: 16,
            scrub: String::new(),
            scrub_cycles: None,
            cycles: 1,
            mission_s: 1.0,
            missions: 2,
            seed: 1,
            confidence: 0.95,
            evaluations: 1,
            events: 1,
            metric: "emd".to_owned(),
            strikes_per_mission: 1.0,
            lasting_s: 1.0,
            strikes_at_once: 1.0,
        };
        VerifyReport { setup, plans, states: 1, events_per_state: 1, cluster_sets: 1, passed_over: 0 }
    }

    #[test]
    fn what_injection_does_not_confirm_is_an_error() {
        let inventory = inventory();
        assert!(check(&report(vec![plan(None, true, None), plan(Some("msb"), true, None)]), &inventory).is_ok());
        let cell = FlipFlop { bit: BitId(5), copy: CopyIdx(2) };
        let lapsed = plan(Some("msb"), false, Some(LapseAt { cell, lapse: Lapse::Repair }));
        let wrong = report(vec![plan(None, true, None), lapsed, plan(Some("random"), false, None)]);
        let error = check(&wrong, &inventory).unwrap_err().to_string();
        assert!(error.starts_with(
            "injection does not confirm the sweep in 2 of 3 plans; the first is ranking `msb` at budget 5%"
        ));
        assert!(error.contains("9 cells are read wrong, 2 of them with another rise than the oracle's, rise left 1.5"));
        assert!(error.contains("copy 2 of `d.kernel[1].bit[1]` is not repaired as its style says"), "{error}");
        assert!(wrong.tables().contains("0 of 2 points") && wrong.tables().contains("NO"));
        let error = check(&report(vec![plan(None, false, None)]), &inventory).unwrap_err().to_string();
        assert!(error.contains("the first is the design without protection"));
    }
}
