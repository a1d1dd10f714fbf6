//! Simulated missions: a row per scenario, per replica and per part of the mission as CSV; all figures as JSON; tables.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error_unit::ErrorUnit;
use super::{DesignFacts, Provenance, Side, TextTable, fixed, grouped, percent, significant};
use crate::campaign::{BINS, Bound, Confidence, Estimate, Interval, Judged, MissionOutcome, MissionSummary, Quantity};
use crate::num::cast;

/// What all scenarios have in common.
#[derive(Debug, Clone, Serialize)]
pub struct MissionSetup {
    /// Name of the environment, or what it was made of.
    pub environment: String,
    /// How often particles strike, in words; none when faults are listed.
    pub rate: Option<String>,
    /// Where its figures come from.
    pub source: String,
    /// Sizes of clusters with their probabilities, as text; none when faults are listed.
    pub cluster_sizes: Option<String>,
    /// Cells from one copy of a bit to the next.
    pub distance_cells: usize,
    /// File of the protection plan.
    pub plan: Option<String>,
    /// Rate of strikes on a bit of a value in flight over that of strikes on a flip-flop of a weight or bias.
    pub state_rate: f64,
    /// Rate of transients on a line over that of strikes on a flip-flop.
    pub line_rate: f64,
    /// Way the accelerator is built.
    pub io: String,
    /// Its clock.
    pub clock_mhz: f64,
    /// Cycles from one frame to the next.
    pub interval_cycles: u64,
    /// Length of a mission, in cycles.
    pub cycles: u64,
    /// Length of a mission, in seconds.
    pub mission_s: f64,
    /// Replicas of each scenario.
    pub replicas: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Confidence of every interval by itself.
    pub confidence: f64,
    /// Name of the error measured.
    pub metric: String,
    /// Number of events.
    pub events: usize,
    /// Mean error without a fault.
    pub fault_free_mean_error: f64,
    /// Whether strikes come at one rate for the device, however many cells it has.
    pub is_rate_of_device: bool,
}

/// One way to protect the registers, and what came of it.
#[derive(Debug, Clone)]
pub struct ScenarioResult {
    /// Style of the protected bits; `plan` as the plan says.
    pub style: String,
    /// Scrub period as asked for.
    pub scrub: String,
    /// The same in cycles.
    pub scrub_cycles: Option<u64>,
    /// Bits with more than one copy.
    pub protected_bits: usize,
    /// Flip-flops of all bits.
    pub flip_flops: usize,
    /// Strikes per second.
    pub strikes_per_s: f64,
    /// Figures over replicas.
    pub summary: MissionSummary,
    /// Figures that are 0 whatever happens.
    pub impossible: Vec<Quantity>,
    /// Replica by replica, and how that was judged.
    pub judged: Judged,
}

/// Missions in one or more scenarios.
#[derive(Debug, Clone, Copy)]
pub struct SimulateReport<'a> {
    /// The design.
    pub design: &'a DesignFacts,
    /// What they have in common.
    pub setup: &'a MissionSetup,
    /// How sure intervals are.
    pub confidence: Confidence,
    /// The scenarios.
    pub scenarios: &'a [ScenarioResult],
}

/// Files that such a result consists of.
pub const SIMULATE_FILES: [&str; 4] = ["simulate.json", "simulate.csv", "replicas.csv", "timeline.csv"];

fn estimate_json(estimate: &Estimate) -> Value {
    let (interval, by) = estimate.interval.unzip();
    json!({
        "mean": estimate.mean,
        "low": interval.map(|interval| interval.low),
        "high": interval.map(|interval| interval.high),
        "interval": by.map(Bound::name),
    })
}

/// Mean and ends of the interval, as cells of a row; empty where there is none.
fn estimate_cells(estimate: &Estimate) -> String {
    match estimate.interval {
        Some((Interval { low, high }, _)) => format!("{},{low},{high}", estimate.mean),
        None => format!("{},,", estimate.mean),
    }
}

impl SimulateReport<'_> {
    /// Everything but the replicas.
    pub fn json(&self, provenance: &Provenance) -> String {
        let scenarios: Vec<Value> = self.scenarios.iter().map(|scenario| self.scenario_json(scenario)).collect();
        let value =
            json!({ "provenance": provenance, "design": self.design, "mission": self.setup, "scenarios": scenarios });
        let mut text = serde_json::to_string_pretty(&value).expect("strings and numbers have a JSON form");
        text.push('\n');
        text
    }

    fn scenario_json(&self, scenario: &ScenarioResult) -> Value {
        let summary = &scenario.summary;
        let quantities: Map<String, Value> = Quantity::ALL
            .into_iter()
            .map(|quantity| (quantity.name().to_owned(), estimate_json(&summary.of_quantity(quantity))))
            .collect();
        let first = &summary.first_wrong;
        let timeline: Vec<Value> = (0..BINS)
            .map(|bin| {
                let [from_s, to_s] = self.bin_s(bin);
                json!({
                    "from_s": from_s,
                    "to_s": to_s,
                    "wrong_share": estimate_json(&summary.wrong_share_by_time[bin]),
                    "error_rise": estimate_json(&summary.error_rise_by_time[bin]),
                })
            })
            .collect();
        json!({
            "style": scenario.style,
            "scrub": scenario.scrub,
            "scrub_cycles": scenario.scrub_cycles,
            "protected_bits": scenario.protected_bits,
            "flip_flops": scenario.flip_flops,
            "strikes_per_s": scenario.strikes_per_s,
            "frames": summary.frames,
            "mean_machine_frames": summary.mean_machine_frames,
            "states": scenario.judged.states,
            "events_per_state": scenario.judged.events_per_state,
            "states_judged_on_all_events": scenario.judged.is_exact,
            "first_wrong_output_from_all_events": scenario.judged.is_first_wrong_exact,
            "per_mission": quantities,
            "first_wrong_output": {
                "replicas": first.replicas,
                "share_of_replicas": estimate_json(&first.share),
                "mean_when_seen_s": first.mean_when_seen_s,
                "restricted_mean_s": estimate_json(&first.restricted_mean_s),
                "at_least_s": first.at_least_s,
            },
            "timeline": timeline,
        })
    }

    /// Begin and end of one part of the mission, in seconds.
    fn bin_s(&self, bin: usize) -> [f64; 2] {
        let part = self.setup.mission_s / cast::f64_from_count(BINS);
        [cast::f64_from_count(bin) * part, cast::f64_from_count(bin + 1) * part]
    }

    /// A row per scenario.
    pub fn csv(&self) -> String {
        let mut text = String::from("style,scrub,scrub_cycles,protected_bits,flip_flops,strikes_per_s,replicas,frames");
        for quantity in Quantity::ALL {
            let name = quantity.name();
            write!(text, ",{name},{name}_low,{name}_high").expect("a string takes any text");
        }
        text.push_str(
            ",first_wrong_replicas,first_wrong_restricted_mean_s,first_wrong_restricted_mean_s_low,\
             first_wrong_restricted_mean_s_high,first_wrong_at_least_s\n",
        );
        for scenario in self.scenarios {
            let ScenarioResult { protected_bits, flip_flops, strikes_per_s, summary, .. } = scenario;
            let name = name_cells(scenario);
            let scrub = scenario.scrub_cycles.map_or_else(String::new, |cycles| cycles.to_string());
            let (replicas, frames) = (scenario.judged.outcomes.len(), summary.frames);
            write!(text, "{name},{scrub},{protected_bits},{flip_flops},{strikes_per_s},{replicas},{frames}")
                .expect("a string takes any text");
            for quantity in Quantity::ALL {
                write!(text, ",{}", estimate_cells(&summary.of_quantity(quantity))).expect("a string takes any text");
            }
            let first = &summary.first_wrong;
            let at_least = first.at_least_s.map_or_else(String::new, |at_least| at_least.to_string());
            let restricted = estimate_cells(&first.restricted_mean_s);
            writeln!(text, ",{},{restricted},{at_least}", first.replicas).expect("a string takes any text");
        }
        text
    }

    /// A row per scenario and replica.
    pub fn replicas_csv(&self) -> String {
        let mut text = String::from("style,scrub,replica,frames,machine_frames");
        for quantity in Quantity::ALL {
            write!(text, ",{}", quantity.name()).expect("a string takes any text");
        }
        text.push_str(",first_wrong_s\n");
        for scenario in self.scenarios {
            for outcome in &scenario.judged.outcomes {
                let MissionOutcome { replica, frames, machine_frames, .. } = outcome;
                write!(text, "{},{replica},{frames},{machine_frames}", name_cells(scenario))
                    .expect("a string takes any text");
                for quantity in Quantity::ALL {
                    write!(text, ",{}", quantity.of(outcome)).expect("a string takes any text");
                }
                let first = outcome.first_wrong_s.map_or_else(String::new, |first| first.to_string());
                writeln!(text, ",{first}").expect("a string takes any text");
            }
        }
        text
    }

    /// A row per scenario and part of the mission.
    pub fn timeline_csv(&self) -> String {
        let mut text = String::from(
            "style,scrub,from_s,to_s,wrong_share,wrong_share_low,wrong_share_high,error_rise,error_rise_low,\
             error_rise_high\n",
        );
        for scenario in self.scenarios {
            for bin in 0..BINS {
                let [from, to] = self.bin_s(bin);
                let wrong = estimate_cells(&scenario.summary.wrong_share_by_time[bin]);
                let rise = estimate_cells(&scenario.summary.error_rise_by_time[bin]);
                writeln!(text, "{},{from},{to},{wrong},{rise}", name_cells(scenario)).expect("a string takes any text");
            }
        }
        text
    }

    /// For people: one scenario in detail, or several row by row.
    pub fn tables(&self) -> String {
        let setup = self.setup;
        let mut text = format!(
            "{} {} of {}, {} frames each; seed {}\n",
            grouped(setup.replicas),
            if setup.replicas == 1 { "mission" } else { "missions" },
            duration(setup.mission_s),
            self.scenarios.first().map_or_else(String::new, |scenario| count(scenario.summary.frames)),
            setup.seed,
        );
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let rate = setup.rate.clone().unwrap_or_default();
        line(format!(
            "io {}, {} MHz, a frame every {}",
            setup.io,
            short(setup.clock_mhz),
            if setup.interval_cycles == 1 {
                "cycle".to_owned()
            } else {
                format!("{} cycles", count(setup.interval_cycles))
            }
        ));
        line(format!("environment {}: {rate}", setup.environment).trim_end_matches([':', ' ']).to_owned());
        line(format!("  {}", setup.source));
        if let Some(sizes) = &setup.cluster_sizes {
            let rate = |rate: f64, of: &str| match rate {
                0.0 => "none".to_owned(),
                rate => format!("each {of} at {rate} times the rate of a flip-flop"),
            };
            line(format!(
                "cluster sizes {sizes}; copies of a bit {} cells apart (a placement in a row, assumed)",
                setup.distance_cells,
            ));
            line(format!("transients on lines: {}", rate(setup.line_rate, "line")));
            line(format!("strikes on values in flight: {}", rate(setup.state_rate, "bit")));
        }
        if let Some(plan) = &setup.plan {
            line(format!("plan: {plan}"));
        }
        if setup.is_rate_of_device {
            line("the device is struck at one rate, however many flip-flops protection adds".to_owned());
        }
        line(format!("{} events, {}", grouped(setup.events), self.unit().fault_free(setup.fault_free_mean_error)));
        line(String::new());
        if let [scenario] = self.scenarios {
            text += &self.detail(scenario);
        } else {
            text += &self.upset_rows().to_string();
            text.push('\n');
            text += &self.output_rows().to_string();
        }
        text.push('\n');
        for line in self.notes() {
            text += &line;
            text.push('\n');
        }
        text
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let sampled = self.scenarios.iter().filter(|scenario| !scenario.judged.is_exact);
        let sizes: Vec<usize> = sampled.map(|scenario| scenario.judged.events_per_state).collect();
        match (sizes.iter().min(), sizes.iter().max()) {
            (Some(fewest), Some(most)) => {
                let sizes = if fewest == most { grouped(*most) } else { format!("{fewest} to {}", grouped(*most)) };
                let states: usize = self.scenarios.iter().map(|scenario| scenario.judged.states).sum();
                notes.push(format!(
                    "{} states, each judged on a sample of {sizes} of {} events; more with --evaluations",
                    grouped(states),
                    grouped(self.setup.events),
                ));
                notes.push("so time with degraded output is a lower bound".to_owned());
            }
            _ => notes.push("every state was judged on all events".to_owned()),
        }
        if self.scenarios.iter().any(|scenario| !scenario.judged.is_first_wrong_exact) {
            notes.push(
                "most states change nothing: some first wrong outputs were drawn from samples of the events, more with \
                 --evaluations"
                    .to_owned(),
            );
        }
        if self.scenarios.len() > 1 {
            notes.push(
                "means over missions; silent: share of wrong outputs; all intervals are in the files and with --json"
                    .to_owned(),
            );
            notes.extend(
                self.unit()
                    .counts_mispredictions()
                    .then(|| "made wrong: share of outputs of the wrong class, over that without faults".to_owned()),
            );
        }
        notes
    }

    fn detail(&self, scenario: &ScenarioResult) -> String {
        let mut text = format!(
            "{}: {} of {} flip-flops in triplicated bits, {} strikes per second\n\n",
            scenario.label(),
            grouped(3 * scenario.protected_bits),
            grouped(scenario.flip_flops),
            significant(scenario.strikes_per_s),
        );
        let interval = format!("{} % interval", short(self.confidence.get() * 100.0));
        let mut table = TextTable::new(&[
            ("per mission", Side::Left),
            ("mean", Side::Right),
            (&interval, Side::Right),
            ("by", Side::Left),
        ]);
        for quantity in Quantity::ALL.into_iter().filter(|quantity| !scenario.impossible.contains(quantity)) {
            let estimate = scenario.summary.of_quantity(quantity);
            let is_share = match quantity {
                Quantity::WrongShare | Quantity::DegradedShare => true,
                Quantity::MeanError | Quantity::ErrorRise => self.unit().counts_mispredictions(),
                _ => false,
            };
            let number = |value: f64| if is_share { share(value) } else { significant(value) };
            estimate_row(&mut table, &self.words(quantity), &estimate, number);
        }
        let first = &scenario.summary.first_wrong;
        estimate_row(&mut table, "missions with a wrong output", &first.share, share);
        estimate_row(&mut table, "time to the first, or the mission", &first.restricted_mean_s, duration);
        text += &table.to_string();
        text.push('\n');
        text + "first wrong output: " + &self.first_in_words(scenario) + "\n"
    }

    fn unit(&self) -> ErrorUnit<'_> {
        ErrorUnit::new(&self.setup.metric, self.setup.events)
    }

    /// A quantity as people call it; errors by their metric.
    fn words(&self, quantity: Quantity) -> String {
        match (quantity, self.unit().counts_mispredictions()) {
            (Quantity::MeanError, true) => "outputs of the wrong class".to_owned(),
            (Quantity::ErrorRise, true) => "  more than without faults".to_owned(),
            (Quantity::MeanError, false) => format!("mean error ({}) over time", self.setup.metric),
            _ => words(quantity).to_owned(),
        }
    }

    fn first_in_words(&self, scenario: &ScenarioResult) -> String {
        let first = &scenario.summary.first_wrong;
        match (first.mean_when_seen_s, first.at_least_s) {
            (Some(mean), _) => format!(
                "in {} of {} missions; in these after {} on average",
                grouped(first.replicas),
                grouped(scenario.judged.outcomes.len()),
                duration(mean)
            ),
            (None, Some(at_least)) => format!(
                "in none of {} missions; at a constant rate it takes more than {} ({} % confidence)",
                grouped(scenario.judged.outcomes.len()),
                duration(at_least),
                short(self.confidence.get() * 100.0)
            ),
            (None, None) => "none".to_owned(),
        }
    }

    /// What became of upsets, scenario by scenario; without what is 0 in all of them whatever happens.
    fn upset_rows(&self) -> TextTable {
        let columns = [
            ("strikes", Quantity::Strikes),
            ("upsets", Quantity::Upsets),
            ("masked", Quantity::Masked),
            ("flagged", Quantity::Detected),
            ("by feedback", Quantity::ByFeedback),
            ("by reload", Quantity::ByReload),
            ("undone", Quantity::Undone),
            ("latent", Quantity::Latent),
            ("wrong", Quantity::WrongAtEnd),
        ];
        let is_possible = |quantity: &Quantity| self.scenarios.iter().any(|one| !one.impossible.contains(quantity));
        let columns = || columns.iter().filter(|(_, quantity)| is_possible(quantity));
        let names = columns().map(|(name, _)| (*name, Side::Right));
        let mut table = TextTable::new(
            &[("style", Side::Name), ("scrub", Side::Name)].into_iter().chain(names).collect::<Vec<_>>(),
        );
        for scenario in self.scenarios {
            let means = columns().map(|(_, quantity)| significant(scenario.summary.of_quantity(*quantity).mean));
            table.row([scenario.style.clone(), scenario.scrub.clone()].into_iter().chain(means));
        }
        table
    }

    /// What that did to outputs, scenario by scenario.
    fn output_rows(&self) -> TextTable {
        let interval = format!("{} % interval", short(self.confidence.get() * 100.0));
        let error = self.unit();
        let number = |value: f64| if error.counts_mispredictions() { share(value) } else { significant(value) };
        let mut table = TextTable::new(&[
            ("style", Side::Name),
            ("scrub", Side::Name),
            ("wrong outputs", Side::Right),
            ("silent", Side::Right),
            ("degraded", Side::Right),
            (error.name("error rise", "made wrong"), Side::Right),
            (&interval, Side::Right),
            ("first wrong after", Side::Right),
        ]);
        for scenario in self.scenarios {
            let mean = |quantity| scenario.summary.of_quantity(quantity).mean;
            let first = &scenario.summary.first_wrong;
            let rise = scenario.summary.of_quantity(Quantity::ErrorRise);
            table.row([
                scenario.style.clone(),
                scenario.scrub.clone(),
                share(mean(Quantity::WrongShare)),
                percent(mean(Quantity::SilentOutputs) / mean(Quantity::WrongOutputs), 1),
                share(mean(Quantity::DegradedShare)),
                number(rise.mean),
                rise.interval.map_or_else(
                    || "-".to_owned(),
                    |(Interval { low, high }, _)| format!("{} to {}", number(low), number(high)),
                ),
                match first.at_least_s {
                    Some(at_least) => format!("> {}", duration(at_least)),
                    None if first.replicas < scenario.judged.outcomes.len() => {
                        format!(">= {}", duration(first.restricted_mean_s.mean))
                    }
                    None => duration(first.restricted_mean_s.mean),
                },
            ]);
        }
        table
    }
}

impl ScenarioResult {
    fn label(&self) -> String {
        format!("style {}, scrub {}", self.style, self.scrub)
    }
}

fn name_cells(scenario: &ScenarioResult) -> String {
    format!("{},{}", scenario.style, scenario.scrub)
}

fn estimate_row(table: &mut TextTable, name: &str, estimate: &Estimate, number: impl Fn(f64) -> String) {
    let (interval, by) = match estimate.interval {
        Some((Interval { low, high }, by)) => (format!("{} to {}", number(low), number(high)), by.name()),
        None => ("-".to_owned(), ""),
    };
    table.row([name.to_owned(), number(estimate.mean), interval, by.to_owned()]);
}

const fn words(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Strikes => "strikes",
        Quantity::Transients => "transients on lines",
        Quantity::OtherState => "bits of values in flight upset",
        Quantity::Stuck => "flip-flops stuck",
        Quantity::Upsets => "flip-flops upset",
        Quantity::Masked => "  masked by the vote",
        Quantity::Detected => "  seen by an error flag",
        Quantity::ByFeedback => "  corrected by feedback",
        Quantity::ByReload => "  corrected by a reload",
        Quantity::Undone => "  undone by other upsets",
        Quantity::Latent => "  left at the end, bit read right",
        Quantity::WrongAtEnd => "  left at the end, bit read wrong",
        Quantity::WrongOutputs => "wrong outputs",
        Quantity::SilentOutputs => "  silent",
        Quantity::WrongShare => "  share of all outputs",
        Quantity::DegradedShare => "time with degraded output",
        Quantity::MeanError => "mean error",
        Quantity::ErrorRise => "  rise over the fault-free mean",
    }
}

/// A share in percent with four significant digits.
fn share(value: f64) -> String {
    format!("{} %", significant(value * 100.0))
}

/// A number without digits it does not need.
fn short(value: f64) -> String {
    let text = fixed(value, 6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A large count in few digits.
fn count(value: u64) -> String {
    match usize::try_from(value) {
        Ok(small) if small < 1_000_000 => grouped(small),
        _ => significant(cast::f64_from_u64(value)),
    }
}

/// A time in a unit in which it is short.
pub fn duration(seconds: f64) -> String {
    let units =
        [(31_557_600.0, "a"), (86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds >= 2.0 * unit).unwrap_or((1e-9, "ns"));
    format!("{} {name}", significant(seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let cases = [
            (0.0, "0 ns"),
            (25e-9, "25.00 ns"),
            (0.002, "2.000 ms"),
            (90.0, "90.00 s"),
            (86_400.0, "24.00 h"),
            (1e9, "31.69 a"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(
            [short(95.0), short(99.9), count(999_999), count(3_456_000_000_000)],
            ["95", "99.9", "999,999", "3.456e12"]
        );
    }
}
