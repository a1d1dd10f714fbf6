//! One scenario of `trivote simulate`: one style with one scrub period, all its missions.

use std::num::NonZeroU64;

use anyhow::bail;

use super::super::inputs::Opened;
use super::super::{Global, progress};
use super::scrub::Scrub;
use super::{Arguments, List, Style};
use crate::campaign::{FaultFree, Mission, MissionInput, MissionRun, MissionSummary, Quantity, SummaryPlan};
use crate::fault::{
    ClusterSizes, Environment, FaultSources, LineSource, LineTable, Nameable, StateSource, StrikeSource, Upset,
};
use crate::hw::{BitId, Cycle, Element, ElementArray, ElementBit, Machine, Placement, Protection};
use crate::num::cast;
use crate::report::simulate::ScenarioResult;
use crate::report::{fault_list_csv, files};

/// Strikes of all missions together that are followed, at most: states of more would take many gigabytes.
const MOST_STRIKES: f64 = 1e7;

/// What drawn missions need.
pub(super) struct Drawn {
    pub(super) environment: Environment,
    pub(super) single: ClusterSizes,
    pub(super) inferences_per_s: f64,
}

/// One style with one scrub period.
pub(super) struct Scenario<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) style: &'a Style,
    pub(super) scrub: &'a Scrub,
    pub(super) scrub_cycles: Option<NonZeroU64>,
    pub(super) cycles: u64,
    pub(super) list: Option<&'a List>,
    /// How many there are.
    pub(super) scenarios: usize,
}

impl Scenario<'_> {
    /// Flies and judges all missions; gives what came of them, and a line of what was recorded.
    pub(super) fn run(
        &self,
        opened: &Opened,
        input: &MissionInput<'_>,
        fault_free: &FaultFree,
        drawn: &Drawn,
        global: &Global,
    ) -> anyhow::Result<(ScenarioResult, String)> {
        let Self { arguments, style, cycles, .. } = *self;
        let protection = |bit: BitId| style.protection[bit.index()];
        let period_s = input.schedule.clock.period_s();
        let placement = Placement::new(&opened.inventory, protection, arguments.environment.distance);
        let table = LineTable::new(&opened.inventory, protection);
        let elements = Machine::new(input.network, input.inventory, input.schedule, protection).elements();
        let design = Nameable { inventory: &opened.inventory, elements: &elements, protection: &protection };
        let listed = self.list.map_or_else(|| Ok(Vec::new()), |list| list.faults(design, cycles))?;
        let is_replay = arguments.replay.faults.is_some();
        let cells = placement.len();
        let strikes_per_s =
            if is_replay { 0.0 } else { drawn.environment.rate.strikes_per_s(cells, drawn.inferences_per_s) };
        // So many targets, each struck `times` as often as a flip-flop.
        let targets_per_s = |times: f64, count: usize| {
            times * strikes_per_s / cast::f64_from_count(cells) * cast::f64_from_count(count)
        };
        let lines_per_s = targets_per_s(arguments.environment.lines, table.len());
        let replicas =
            if is_replay { arguments.replay.replica..arguments.replay.replica + 1 } else { 0..arguments.replicas };
        let values: Vec<ElementBit> =
            elements.iter().filter(|array| is_value(array.element)).flat_map(ElementArray::bit_list).collect();
        let values_per_s = targets_per_s(arguments.environment.state, values.len());
        let per_mission = (strikes_per_s + lines_per_s + values_per_s) * cast::f64_from_u64(cycles) * period_s;
        self.check_strikes(per_mission)?;

        let mission = Mission {
            protection: &style.protection,
            sources: FaultSources {
                strikes: (strikes_per_s > 0.0).then(|| StrikeSource {
                    placement: &placement,
                    sizes: &drawn.environment.sizes,
                    mean_cycles: 1.0 / (strikes_per_s * period_s),
                }),
                lines: (lines_per_s > 0.0).then(|| LineSource {
                    table: &table,
                    sizes: &drawn.single,
                    mean_cycles: 1.0 / (lines_per_s * period_s),
                }),
                state: (values_per_s > 0.0).then(|| StateSource {
                    bits: &values,
                    sizes: &drawn.single,
                    mean_cycles: 1.0 / (values_per_s * period_s),
                }),
                listed: &listed,
            },
            scrub_cycles: self.scrub_cycles,
            cycles,
            seed: arguments.seed,
        };
        let replica = arguments.replay.replica;
        let timeline = || mission.sources.timeline(mission.seed, replica, Cycle(cycles)).into_list();
        if let Some(path) = &arguments.replay.write_faults {
            let faults = timeline();
            files::write_file(path, fault_list_csv(&opened.inventory, &elements, &faults).as_bytes())?;
        }
        let label = format!("{}, scrub {}", style.name, self.scrub);
        let bar = progress::bar(u64::from(replicas.end - replicas.start), "missions", global.quiet);
        bar.set_message(label.clone());
        let run = MissionRun { input: *input, fault_free, mission };
        let flights = run.fly(replicas, &|| bar.inc(1));
        bar.finish_and_clear();
        let flights = flights?;
        let bar = progress::bar(0, "evaluations", global.quiet);
        bar.set_message(label);
        let evaluations = arguments.estimates.evaluations;
        let judged = run.judge(&flights, evaluations, &|done, total| {
            bar.set_length(total);
            bar.inc(done);
        });
        bar.finish_and_clear();
        let judged = judged?;
        let plan = SummaryPlan {
            confidence: arguments.estimates.confidence,
            mean_method: arguments.estimates.mean_interval,
            seed: arguments.seed,
            mission_s: cast::f64_from_u64(cycles) * period_s,
            is_drawn: !is_replay,
            impossible: &self.impossible(&mission),
        };
        let recorded = if arguments.recording.is_asked() {
            arguments.recording.write(input, &mission, replica, &timeline())?
        } else {
            String::new()
        };
        let result = ScenarioResult {
            style: style.name.clone(),
            scrub: self.scrub.to_string(),
            scrub_cycles: self.scrub_cycles.map(NonZeroU64::get),
            protected_bits: style.protection.iter().filter(|protection| protection.copies() > 1).count(),
            flip_flops: style.protection.iter().map(|protection| usize::from(protection.copies())).sum(),
            strikes_per_s,
            summary: MissionSummary::of(&judged.outcomes, &plan),
            impossible: plan.impossible.to_vec(),
            judged,
        };
        Ok((result, recorded))
    }

    /// Figures that can be nothing but 0.
    fn impossible(&self, mission: &Mission<'_>) -> Vec<Quantity> {
        let listed = |of: fn(&Upset) -> bool| mission.sources.listed.iter().any(|fault| of(&fault.upset));
        let is_replay = self.arguments.replay.faults.is_some();
        let any = |of: fn(&Protection) -> bool| self.style.protection.iter().any(of);
        [
            (Quantity::Strikes, is_replay),
            (
                Quantity::Transients,
                mission.sources.lines.is_none() && !listed(|upset| matches!(upset, Upset::Glitch(..))),
            ),
            (
                Quantity::OtherState,
                mission.sources.state.is_none() && !listed(|upset| matches!(upset, Upset::State(_))),
            ),
            (Quantity::Stuck, !listed(|upset| matches!(upset, Upset::Stick(..)))),
            (Quantity::Masked, !any(|protection| protection.copies() > 1)),
            (Quantity::Detected, !any(|protection| protection.reports_errors())),
            (Quantity::ByFeedback, !any(|protection| protection.style.repairs())),
            (Quantity::ByReload, self.scrub_cycles.is_none()),
            (Quantity::Latent, !any(|protection| protection.copies() > 1)),
        ]
        .into_iter()
        .filter_map(|(quantity, is_impossible)| is_impossible.then_some(quantity))
        .collect()
    }

    /// Refuses what would never end.
    fn check_strikes(&self, per_mission: f64) -> anyhow::Result<()> {
        let missions = f64::from(self.arguments.replicas) * cast::f64_from_count(self.scenarios);
        let all = per_mission * missions;
        if !all.is_finite() {
            bail!("strikes come faster than numbers can say; give a smaller rate");
        }
        if all > MOST_STRIKES {
            bail!(
                "some {per_mission:.3e} strikes in each of {missions} missions are more than can be followed \
                 ({MOST_STRIKES:.0e} in all); shorten the missions, or run fewer"
            );
        }
        Ok(())
    }
}

/// Whether such state holds values on their way through the machine.
pub(super) const fn is_value(element: Element) -> bool {
    !matches!(element, Element::Control | Element::ErrorCounter)
}
