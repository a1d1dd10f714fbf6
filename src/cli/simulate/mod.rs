//! `trivote simulate`: missions of hours under upsets, in scenarios of protection and scrubbing.

pub(super) mod environment;
mod recording;
mod scenario;
pub(super) mod scrub;

use std::fmt::Write;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use environment::{EnvironmentArguments, rate_in_words};
use recording::RecordingArguments;
use scenario::{Drawn, Scenario, is_value};
use scrub::Scrub;

use super::endings::Format;
use super::inputs::{DesignArgument, EventArguments, Opened, Prepared, open, prepare, read_plan};
use super::schedule::{ScheduleArguments, Scheduled, schedule};
use super::{Global, wrong_usage};
use crate::campaign::{Confidence, FaultFree, MeanMethod, MissionInput};
use crate::fault::{ClusterSizes, Environment, Nameable, Rate, TimedFault, timed_faults};
use crate::hw::{BitId, Protection, StateAddress, TmrStyle};
use crate::import::fault_list::{FaultKind, FaultRow, read_fault_list};
use crate::net::Fingerprint;
use crate::num::cast;
use crate::protect::ProtectionPlan;
use crate::report::DesignFacts;
use crate::report::files::{self, ResultFolder};
use crate::report::simulate::{MissionSetup, SIMULATE_FILES, SimulateReport, duration};

/// Times of strikes are exact to a cycle below this.
const MOST_CYCLES: f64 = 9_007_199_254_740_992.0;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Length of a mission, in hours [default: 1]
    #[arg(long, value_name = "H", conflicts_with = "cycles", value_parser = hours, allow_negative_numbers = true)]
    hours: Option<f64>,
    /// Length of a mission, in clock cycles
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    cycles: Option<u64>,
    /// Missions of each scenario
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    replicas: u32,
    /// Seed of all draws; scenarios use the same
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Folder to write: simulate.json, simulate.csv, replicas.csv, timeline.csv
    #[arg(long, short, value_name = "DIR", value_parser = Format::Folder.parser())]
    output: Option<PathBuf>,
    #[command(flatten)]
    protection: ProtectionArguments,
    #[command(flatten)]
    schedule: ScheduleArguments,
    #[command(flatten)]
    environment: EnvironmentArguments,
    #[command(flatten)]
    replay: ReplayArguments,
    #[command(flatten)]
    recording: RecordingArguments,
    #[command(flatten)]
    estimates: EstimateArguments,
    #[command(flatten)]
    events: EventArguments,
}

/// How registers are protected: every style with every scrub period is a scenario.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scenarios")]
struct ProtectionArguments {
    /// Protection plan, as `trivote sweep` writes it [default: no bit is protected]
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Styles to compare: none, unvoted, feedback, feedback3, with +flag for error flags; of the plan's protected bits,
    /// or of all bits without a plan
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    styles: Vec<Protection>,
    /// Periods after which all registers are loaded again: none, 1h, 60s, 1ms, 400cycles
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "none")]
    scrub: Vec<Scrub>,
}

/// Faults that are not drawn, and writing down those that are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replay")]
struct ReplayArguments {
    /// One mission with the faults of this list instead of drawn ones: CSV with columns cycle,address,kind
    #[arg(long, value_name = "FILE", conflicts_with_all = ["replicas", "environment", "cross_section", "mean_time",
          "bit_error_rate", "cluster_sizes", "lines", "state", "stuck", "write_faults"])]
    faults: Option<PathBuf>,
    /// Flip-flops that are stuck in every mission, from a cycle on: such a list, with kinds stuck0 and stuck1
    #[arg(long, value_name = "FILE")]
    stuck: Option<PathBuf>,
    /// Write the faults of one replica (see --replica) as such a list; with one scenario only
    #[arg(long, value_name = "FILE", value_parser = Format::Csv.parser())]
    write_faults: Option<PathBuf>,
    /// Number of the replica that --write-faults, --trace and --vcd write, or whose events --faults replays, from 0
    #[arg(long, value_name = "K", default_value = "0", value_parser = clap::value_parser!(u32).range(..1_000_000))]
    replica: u32,
}

/// How well figures are known.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Estimates")]
struct EstimateArguments {
    /// Evaluations of a state on an event that a scenario may take; when all would take more, each state is judged on a
    /// sample of the events
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..))]
    evaluations: u64,
    /// Confidence of every interval by itself, such as 95% or 0.95
    #[arg(long, value_name = "C", default_value = "0.95")]
    confidence: Confidence,
    /// Interval of means over missions: t or bootstrap
    #[arg(long, value_name = "NAME", default_value = "t", value_parser = mean_method)]
    mean_interval: MeanMethod,
}

/// A length of missions.
pub(super) fn hours(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

fn mean_method(text: &str) -> Result<MeanMethod, String> {
    [MeanMethod::StudentT, MeanMethod::Bootstrap]
        .into_iter()
        .find(|method| method.name() == text)
        .ok_or_else(|| "choose t or bootstrap".to_owned())
}

/// Length of a mission of so many hours, in cycles.
///
/// # Errors
/// When those are more than times are exact for, or none.
pub(super) fn cycles_of_hours(hours: f64, period_s: f64) -> anyhow::Result<u64> {
    let cycles = hours * 3600.0 / period_s;
    if cycles >= MOST_CYCLES {
        let most = MOST_CYCLES * period_s / 3600.0;
        bail!("a mission of {hours} h has more than 2^53 clock cycles; at this clock {most:.0} h are the most");
    }
    match cast::floor_i64(cycles + 0.5).unsigned_abs() {
        0 => bail!("a mission of {hours} h is shorter than half a clock cycle of {}", duration(period_s)),
        cycles => Ok(cycles),
    }
}

/// Protection of all bits under one name.
struct Style {
    name: String,
    protection: Vec<Protection>,
}

/// Files read besides those of design and events.
type Sources = Vec<(String, Fingerprint)>;

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let environment = arguments.environment.environment()?;
    let (scenarios, faults) = (arguments.protection.count(), &arguments.replay);
    let shows_replica = faults.write_faults.is_some() || arguments.recording.is_asked();
    if shows_replica && scenarios > 1 {
        return Err(wrong_usage(
            "--write-faults, --trace and --vcd are of one scenario; name one style and one scrub period",
        )
        .into());
    }
    arguments.check_paths()?;
    if arguments.recording.is_window_idle() {
        return Err(wrong_usage("--window-start and --window-cycles need --trace or --vcd").into());
    }
    if has_twins(&arguments.protection.styles) || has_twins(&arguments.protection.scrub) {
        return Err(wrong_usage("--styles and --scrub name each style and each period once").into());
    }
    if shows_replica && faults.faults.is_none() && faults.replica >= arguments.replicas {
        return Err(wrong_usage("--replica counts from 0: it must be smaller than --replicas").into());
    }
    let opened = open(&arguments.design, global)?;
    let mut sources = Sources::new();
    let styles = arguments.protection.styles(&opened, &mut sources)?;
    let Scheduled { schedule, options: schedule_options } = schedule(&opened, &arguments.schedule, global)?;
    let period_s = schedule.clock.period_s();
    let cycles = arguments.cycles(period_s)?;
    let scrubs = arguments.protection.scrub.iter().map(|scrub| Ok((scrub, scrub.cycles(period_s)?)));
    let scrubs: Vec<(&Scrub, Option<NonZeroU64>)> = scrubs.collect::<anyhow::Result<_>>()?;
    let list = arguments.replay.list(&mut sources)?;
    let prepared = prepare(&opened, &arguments.events)?;
    arguments.check_outputs(&opened, &prepared, &sources)?;
    let folder = arguments.output.as_deref().map(|path| ResultFolder::new(path, is_simulate_file)).transpose()?;

    let input = MissionInput {
        network: &opened.design.accelerator,
        inventory: &opened.inventory,
        schedule: &schedule,
        evaluator: &prepared.evaluator,
        events: &prepared.events,
    };
    let fault_free = FaultFree::new(&input)?;
    if fault_free.frames_within(cycles, &schedule) == 0 {
        bail!("no frame comes out within {cycles} cycles; lengthen the mission with --hours or --cycles");
    }
    let interval_s = cast::f64_from_u64(schedule.interval_cycles) * period_s;
    let drawn = Drawn { environment, single: ClusterSizes::new(&[(1, 1.0)])?, inferences_per_s: 1.0 / interval_s };
    let (mut results, mut recorded) = (Vec::new(), String::new());
    for style in &styles {
        for (scrub, scrub_cycles) in &scrubs {
            let scenario = Scenario {
                arguments,
                style,
                scrub,
                scrub_cycles: *scrub_cycles,
                cycles,
                list: list.as_ref(),
                scenarios,
            };
            let (result, written) = scenario.run(&opened, &input, &fault_free, &drawn, global)?;
            results.push(result);
            recorded += &written;
        }
    }

    let replicas = results.first().map_or(0, |result| result.judged.outcomes.len());
    let setup = arguments.setup(&input, &fault_free, &drawn.environment, cycles, replicas);
    let mut provenance = opened.provenance("simulate", arguments.canonical(&drawn.environment));
    provenance.command.extend(schedule_options);
    prepared.record(&mut provenance);
    provenance.seeds.push(("missions".to_owned(), arguments.seed));
    provenance.inputs.extend(sources.into_iter().map(|(name, hash)| (name, hash.to_string())));
    let facts = DesignFacts::new(opened.name(), input.network, input.inventory, &schedule);
    let report = SimulateReport {
        design: &facts,
        setup: &setup,
        confidence: arguments.estimates.confidence,
        scenarios: &results,
    };
    let json = report.json(&provenance);
    if let Some(mut folder) = folder {
        folder.add("simulate.csv", report.csv());
        folder.add("replicas.csv", report.replicas_csv());
        folder.add("timeline.csv", report.timeline_csv());
        folder.add("simulate.json", json.as_bytes());
        folder.finish()?;
    }
    if global.json {
        return Ok(json);
    }
    let mut text = format!("{}: {}", opened.name(), report.tables());
    if let Some(path) = &arguments.output {
        writeln!(text, "written: {} ({})", path.display(), SIMULATE_FILES.join(", "))?;
    }
    if let Some(path) = &faults.write_faults {
        writeln!(text, "written: {} (faults of replica {})", path.display(), faults.replica)?;
    }
    text += &recorded;
    Ok(text)
}

fn is_simulate_file(path: &Path) -> bool {
    SIMULATE_FILES.iter().any(|name| path == Path::new(name))
}

/// Whether something stands in a list twice.
fn has_twins<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().any(|(number, item)| list[..number].contains(item))
}

/// A list of faults as read, with the name of its file.
struct List {
    file: String,
    rows: Vec<FaultRow>,
}

impl List {
    /// The faults for one protection.
    fn faults(&self, design: Nameable<'_>, cycles: u64) -> anyhow::Result<Vec<TimedFault>> {
        if let Some(late) = self.rows.iter().find(|row| row.cycle >= cycles) {
            bail!(
                "{}: line {}: cycle {} is after the mission, which has {cycles} cycles; lengthen it with --hours or \
                 --cycles",
                self.file,
                late.line,
                late.cycle
            );
        }
        let faults = timed_faults(design, &self.file, &self.rows)?;
        // Known by its address alone, so that the line can be named.
        let is_control = |row: &&FaultRow| match row.address.parse() {
            Ok(StateAddress::Element { element, .. }) => !is_value(element),
            _ => false,
        };
        if let Some(control) = self.rows.iter().find(is_control) {
            bail!(
                "{}: line {}: `{}` counts and controls; missions upset weights, biases, their lines and values in flight",
                self.file,
                control.line,
                control.address
            );
        }
        Ok(faults)
    }
}

impl ReplayArguments {
    /// The list of faults, if there is one.
    fn list(&self, sources: &mut Sources) -> anyhow::Result<Option<List>> {
        let Some(path) = self.faults.as_ref().or(self.stuck.as_ref()) else { return Ok(None) };
        let file = path.display().to_string();
        let bytes = fs::read(path).with_context(|| format!("{file}: cannot be read"))?;
        sources.push((file.clone(), Fingerprint::of_bytes(&bytes)));
        let rows = read_fault_list(&file, &bytes)?;
        let other = rows.iter().find(|row| !matches!(row.kind, FaultKind::Stuck0 | FaultKind::Stuck1));
        if let Some(other) = other.filter(|_| self.stuck.is_some()) {
            bail!(
                "{file}: line {}: kind `{}` is not stuck0 or stuck1; replay other faults with --faults",
                other.line,
                other.kind.name()
            );
        }
        Ok(Some(List { file, rows }))
    }
}

impl ProtectionArguments {
    fn count(&self) -> usize {
        self.styles.len().max(1) * self.scrub.len()
    }

    /// The protections to compare.
    fn styles(&self, opened: &Opened, sources: &mut Sources) -> anyhow::Result<Vec<Style>> {
        let inventory = &opened.inventory;
        let plan = match &self.plan {
            Some(path) => {
                let (plan, source) = read_plan(path, opened)?;
                sources.push(source);
                Some(plan)
            }
            None => None,
        };
        if self.styles.is_empty() {
            let name = if plan.is_some() { "plan" } else { "none" }.to_owned();
            let plan = plan.unwrap_or_else(|| ProtectionPlan::none(inventory));
            return Ok(vec![Style { name, protection: inventory.bit_ids().map(|bit| plan.of(bit)).collect() }]);
        }
        let is_protected = |bit: BitId| plan.as_ref().is_none_or(|plan| plan.of(bit).style != TmrStyle::None);
        let styled = |style: &Protection| {
            let of = |bit| if is_protected(bit) { *style } else { Protection::NONE };
            Style { name: style.to_string(), protection: inventory.bit_ids().map(of).collect() }
        };
        Ok(self.styles.iter().map(styled).collect())
    }
}

impl Arguments {
    /// Length of a mission.
    fn cycles(&self, period_s: f64) -> anyhow::Result<u64> {
        if let Some(cycles) = self.cycles {
            return Ok(cycles);
        }
        cycles_of_hours(self.hours.unwrap_or(1.0), period_s)
    }

    /// What all scenarios have in common.
    fn setup(
        &self,
        input: &MissionInput<'_>,
        fault_free: &FaultFree,
        environment: &Environment,
        cycles: u64,
        replicas: usize,
    ) -> MissionSetup {
        let schedule = input.schedule;
        let list = self.replay.faults.as_ref();
        MissionSetup {
            environment: list.map_or_else(|| environment.name.clone(), |_| "as listed".to_owned()),
            rate: list.is_none().then(|| rate_in_words(environment.rate)),
            source: match list {
                Some(path) => format!("faults of {}", path.display()),
                None => environment.source.clone(),
            },
            cluster_sizes: list.is_none().then(|| environment.sizes.to_string()),
            distance_cells: self.environment.distance.get(),
            plan: self.protection.plan.as_ref().map(|path| path.display().to_string()),
            line_rate: self.environment.lines,
            state_rate: self.environment.state,
            io: schedule.io.name().to_owned(),
            clock_mhz: schedule.clock.mhz(),
            interval_cycles: schedule.interval_cycles,
            cycles,
            mission_s: cast::f64_from_u64(cycles) * schedule.clock.period_s(),
            replicas,
            seed: self.seed,
            confidence: self.estimates.confidence.get(),
            metric: input.evaluator.metric().name().to_owned(),
            events: input.events.len(),
            fault_free_mean_error: fault_free.mean_error(),
            is_rate_of_device: list.is_none() && matches!(environment.rate, Rate::PerDevice { .. }),
        }
    }

    /// Every file to write has a place of its own.
    fn check_paths(&self) -> anyhow::Result<()> {
        let full = |path: &PathBuf| std::path::absolute(path).with_context(|| path.display().to_string());
        let files: Vec<&PathBuf> = self.replay.write_faults.iter().chain(self.recording.files()).collect();
        let folder = self.output.as_ref().map(full).transpose()?;
        for (number, path) in files.iter().enumerate() {
            let place = full(path)?;
            if folder.as_ref().is_some_and(|folder| place.starts_with(folder)) {
                return Err(wrong_usage(&format!(
                    "{} lies in the folder of --output, which is replaced as a whole; write it beside the folder",
                    path.display()
                ))
                .into());
            }
            for other in &files[..number] {
                if full(other)? == place {
                    return Err(wrong_usage(&format!("{} would be written twice", path.display())).into());
                }
            }
        }
        Ok(())
    }

    fn check_outputs(&self, opened: &Opened, prepared: &Prepared, sources: &Sources) -> anyhow::Result<()> {
        let own_files = opened.own_files();
        for path in self.replay.write_faults.iter().chain(self.recording.files()) {
            let inputs = prepared.sources.iter().chain(sources).map(|(name, _)| name.as_str());
            files::check_writable(path, inputs.chain(own_files.iter().map(String::as_str)))?;
        }
        Ok(())
    }

    /// The options that are this verb's own, in canonical form.
    fn canonical(&self, environment: &Environment) -> Vec<String> {
        let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(","));
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let is_replay = self.replay.faults.is_some();
        let hours = self.cycles.is_none().then(|| self.hours.unwrap_or(1.0).to_string());
        let uses_replica = is_replay || self.replay.write_faults.is_some();
        let mut options: Vec<String> = [
            ("--hours", hours),
            ("--cycles", self.cycles.map(|cycles| cycles.to_string())),
            ("--replicas", (!is_replay).then(|| self.replicas.to_string())),
            ("--seed", Some(self.seed.to_string())),
            ("--plan", path(&self.protection.plan)),
            ("--styles", list(self.protection.styles.iter().map(ToString::to_string).collect())),
            ("--scrub", list(self.protection.scrub.iter().map(ToString::to_string).collect())),
            ("--faults", path(&self.replay.faults)),
            ("--stuck", path(&self.replay.stuck)),
            ("--replica", uses_replica.then(|| self.replay.replica.to_string())),
            ("--evaluations", Some(self.estimates.evaluations.to_string())),
            ("--confidence", Some(self.estimates.confidence.to_string())),
            ("--mean-interval", Some(self.estimates.mean_interval.name().to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .flatten()
        .collect();
        if !is_replay {
            options.extend(self.environment.canonical(environment));
        }
        options
    }
}
