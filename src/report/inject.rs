//! A sampling campaign's outcome: a row per trial as CSV, estimates and strata as tables and JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::error_unit::{Accuracy, ErrorUnit};
use super::oracle::quoted;
use super::{Provenance, Side, TextTable, fixed, grouped, percent, significant};
use crate::campaign::{
    Ending, ExactSum, Interval, ProportionEstimate, Sample, SamplePlan, SiteOutcome, StratumSummary, Trial, addresses,
};
use crate::fault::FaultModel;
use crate::hw::Inventory;
use crate::net::TensorKind;
use crate::num::cast;

/// Rows of the table by number of flips; what is beyond is one row.
const FLIP_ROWS: usize = 12;

/// Sites of the worst trial that are named to people.
const NAMED_SITES: usize = 3;

/// A sample with what its sites are called.
#[derive(Debug, Clone, Copy)]
pub struct InjectReport<'a> {
    /// The registers.
    pub inventory: &'a Inventory,
    /// How bits were chosen.
    pub model: &'a FaultModel,
    /// How trials were sampled.
    pub plan: &'a SamplePlan,
    /// What came out.
    pub sample: &'a Sample,
    /// Number of bits chosen from.
    pub candidates: usize,
    /// Number of events that each trial met.
    pub events: usize,
    /// Sum over events of the error without a fault.
    pub golden_sum: ExactSum,
    /// Sum over events of error rise, by trial.
    pub rise_sums: &'a [ExactSum],
    /// Name of the error measured.
    pub metric: &'a str,
}

#[derive(Serialize)]
struct Summary<'a> {
    provenance: &'a Provenance,
    metric: &'a str,
    events: usize,
    golden_mean_error: f64,
    #[serde(flatten)]
    accuracy: Option<Accuracy>,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_sizes: Option<Vec<ClusterShare>>,
    candidate_bits: usize,
    population: Option<usize>,
    trials: usize,
    trials_without_flips: usize,
    mean_flips: f64,
    ending: &'static str,
    promise: Promise,
    effective: Proportion,
    sensitive: Proportion,
    error_rise: MeanRise,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst: Option<Worst>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strata: Vec<StratumRow>,
    by_flips: Vec<FlipRow>,
}

#[derive(Serialize)]
struct ClusterShare {
    size: usize,
    probability: f64,
}

#[derive(Serialize)]
struct Promise {
    confidence: f64,
    half_width: Option<f64>,
    proportion_half_width: Option<f64>,
}

#[derive(Serialize)]
struct Proportion {
    trials: usize,
    share: f64,
    low: f64,
    high: f64,
    interval: &'static str,
}

#[derive(Serialize)]
struct MeanRise {
    mean: f64,
    standard_error: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    interval: &'static str,
}

#[derive(Serialize)]
struct Worst {
    trial: usize,
    sites: String,
    error_rise: f64,
}

#[derive(Serialize)]
struct StratumRow {
    layer: String,
    tensor: TensorKind,
    bit: u8,
    population: usize,
    trials: usize,
    effective: usize,
    sensitive: usize,
    mean_error_rise: f64,
    standard_deviation: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct FlipRow {
    flips: usize,
    trials: usize,
    effective: usize,
    sensitive: usize,
    mean_error_rise: f64,
}

impl InjectReport<'_> {
    /// A row per trial, in the order of drawing: `trial,flips,sites,changed_events,mean_error,error_rise`, and behind them
    /// `mispredictions` where that is what the metric counts.
    ///
    /// `sites` are addresses of bits, joined by semicolons; the other columns are those of the oracle.
    pub fn csv(&self) -> String {
        let counts = self.unit().counts_mispredictions();
        let mut text = String::from("trial,flips,sites,changed_events,mean_error,error_rise");
        text.push_str(if counts { ",mispredictions\n" } else { "\n" });
        let events = cast::f64_from_count(self.events);
        for (number, (trial, rise_sum)) in self.sample.trials.iter().zip(self.rise_sums).enumerate() {
            let sites = quoted(&addresses(self.inventory, &trial.bits));
            let mean_error = (self.golden_sum + *rise_sum).value() / events;
            let Trial { bits, observation } = trial;
            let (flips, changed, rise) = (bits.len(), observation.changed_events, observation.rise);
            write!(text, "{number},{flips},{sites},{changed},{mean_error},{rise}").expect("a string takes any text");
            if counts {
                let outcome = SiteOutcome { changed_events: changed, rise_sum: *rise_sum };
                write!(text, ",{}", outcome.mispredictions()).expect("a string takes any text");
            }
            text.push('\n');
        }
        text
    }

    /// Everything but the trials as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let Self { sample, plan, .. } = self;
        let exact = sample.ending == Ending::Complete;
        let of = |method: &'static str| if exact { "none: every trial was run" } else { method };
        let proportion = |estimate: ProportionEstimate| Proportion {
            trials: estimate.hits,
            share: estimate.share,
            low: estimate.interval.low,
            high: estimate.interval.high,
            interval: of(plan.proportion_method.name()),
        };
        let rise = sample.estimates.rise;
        let flips: usize = sample.trials.iter().map(|trial| trial.bits.len()).sum();
        let sizes = |size: &(usize, f64)| ClusterShare { size: size.0, probability: size.1 };
        let summary = Summary {
            provenance,
            metric: self.metric,
            events: self.events,
            golden_mean_error: self.golden_mean(),
            accuracy: self.unit().accuracy(self.golden_mean()),
            model: self.model.to_string(),
            cluster_sizes: match self.model {
                FaultModel::Cluster(shares) => Some(shares.shares().iter().map(sizes).collect()),
                _ => None,
            },
            candidate_bits: self.candidates,
            population: sample.population,
            trials: sample.trials.len(),
            trials_without_flips: self.without_flips(),
            mean_flips: cast::f64_from_count(flips) / cast::f64_from_count(sample.trials.len()),
            ending: match sample.ending {
                Ending::Complete => "complete",
                Ending::Fixed => "fixed",
                Ending::PromiseKept => "promise kept",
                Ending::TrialsSpent => "trials spent",
            },
            promise: Promise {
                confidence: plan.confidence.get(),
                half_width: plan.mean_half_width,
                proportion_half_width: plan.proportion_half_width,
            },
            effective: proportion(sample.estimates.effective),
            sensitive: proportion(sample.estimates.sensitive),
            error_rise: MeanRise {
                mean: rise.mean,
                standard_error: rise.standard_error,
                low: rise.interval.map(|interval| interval.low),
                high: rise.interval.map(|interval| interval.high),
                interval: of(plan.mean_method.name()),
            },
            worst: self.worst().map(|(trial, worst)| Worst {
                trial,
                sites: addresses(self.inventory, &worst.bits),
                error_rise: worst.observation.rise,
            }),
            strata: sample.strata.iter().map(|stratum| self.stratum_row(stratum)).collect(),
            by_flips: self.by_flips(),
        };
        let mut text = serde_json::to_string_pretty(&summary).expect("strings and numbers have a JSON form");
        text.push('\n');
        text
    }

    /// Estimates, strata and numbers of flips as tables for people.
    pub fn tables(&self) -> String {
        let Self { sample, plan, .. } = self;
        let trials = sample.trials.len();
        let of_all = sample.population.map_or_else(String::new, |all| format!(" of {} possible", grouped(all)));
        let mut text = format!(
            "{} trials{of_all}, {}, in {} candidate bits; seed {}\n{} events, {}\n\n",
            grouped(trials),
            self.model_in_words(),
            grouped(self.candidates),
            plan.seed,
            grouped(self.events),
            self.unit().fault_free(self.golden_mean()),
        );
        text += &self.estimates_table().to_string();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(String::new());
        line(self.ending_in_words());
        if self.without_flips() > 0 {
            line(format!("trials without any flip: {} (they count, with no rise)", grouped(self.without_flips())));
        }
        if let Some((number, worst)) = self.worst() {
            let named = &worst.bits[..worst.bits.len().min(NAMED_SITES)];
            let more = worst.bits.len() - named.len();
            let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
            let sites = addresses(self.inventory, named).replace(';', ", ");
            let name = self.unit().name("largest rise", "most mispredictions");
            line(format!("{name}: {} in trial {number}, by", self.unit().rise(worst.observation.rise)));
            line(format!("  {sites}{more}"));
        }
        line(String::new());
        if sample.strata.is_empty() {
            text += &self.flips_table().to_string();
        } else {
            text += &self.strata_table().to_string();
        }
        let sensitive = self.unit().sensitive();
        writeln!(text, "\neffective: changes the output of at least one event; sensitive: {sensitive}.")
            .expect("a string takes any text");
        text
    }

    const fn unit(&self) -> ErrorUnit<'_> {
        ErrorUnit::new(self.metric, self.events)
    }

    fn golden_mean(&self) -> f64 {
        self.golden_sum.value() / cast::f64_from_count(self.events)
    }

    fn without_flips(&self) -> usize {
        self.sample.trials.iter().filter(|trial| trial.bits.is_empty()).count()
    }

    /// The trial with the largest rise, the first of several; none when no trial changes anything.
    fn worst(&self) -> Option<(usize, &Trial)> {
        let changing = self.sample.trials.iter().enumerate().filter(|(_, trial)| trial.observation.is_effective());
        changing.reduce(|worst, next| if next.1.observation.rise > worst.1.observation.rise { next } else { worst })
    }

    fn model_in_words(&self) -> String {
        match self.model {
            FaultModel::Bits(1) => "each a single bit".to_owned(),
            FaultModel::Bits(count) => format!("each of {} random bits", grouped(*count)),
            FaultModel::Pairs => "each of two bits of one register".to_owned(),
            FaultModel::Cluster(sizes) => {
                let shares: Vec<String> = sizes
                    .shares()
                    .iter()
                    .map(|(size, share)| {
                        let cells = if *size == 1 { "cell" } else { "cells" };
                        format!("{size} {cells} {} %", short(share * 100.0))
                    })
                    .collect();
                format!("each a cluster ({})", shares.join(", "))
            }
            FaultModel::BitErrorRate(probability) => format!("each bit flipped with probability {probability}"),
        }
    }

    fn ending_in_words(&self) -> String {
        let Self { sample, plan, .. } = self;
        let asked = |name: &str, half_width: Option<f64>| half_width.map(|width| format!("{name} {width}"));
        let asked: Vec<String> = [
            asked("half-width of the mean", plan.mean_half_width),
            asked("half-width of the proportions", plan.proportion_half_width),
        ]
        .into_iter()
        .flatten()
        .collect();
        let asked = asked.join(", ");
        match sample.ending {
            Ending::Complete => "every possible trial was run: the figures are exact".to_owned(),
            Ending::Fixed => "as many trials as asked for".to_owned(),
            Ending::PromiseKept => format!("promise kept: {asked}"),
            Ending::TrialsSpent => {
                format!("PROMISE NOT KEPT: the trials ran out before {asked} was reached; allow more with --trials")
            }
        }
    }

    fn estimates_table(&self) -> TextTable {
        let Self { sample, plan, .. } = self;
        let name = format!("{} % interval", short(plan.confidence.get() * 100.0));
        let mut table = TextTable::new(&[
            ("per trial", Side::Left),
            ("estimate", Side::Right),
            (&name, Side::Right),
            ("half-width", Side::Right),
            ("by", Side::Left),
        ]);
        let exact = sample.ending == Ending::Complete;
        let by = |method: &str| if exact { "all trials".to_owned() } else { method.to_owned() };
        for (name, estimate) in [("effective", sample.estimates.effective), ("sensitive", sample.estimates.sensitive)] {
            let Interval { low, high } = estimate.interval;
            table.row([
                name.to_owned(),
                percent(estimate.share, 2),
                if exact {
                    "exact".to_owned()
                } else {
                    format!("{} to {} %", fixed(low * 100.0, 2), fixed(high * 100.0, 2))
                },
                if exact { "0".to_owned() } else { percent(estimate.interval.half_width(), 2) },
                by(plan.proportion_method.name()),
            ]);
        }
        let (rise, unit) = (sample.estimates.rise, self.unit());
        let (interval, half_width) = match rise.interval {
            Some(_) if exact => ("exact".to_owned(), "0".to_owned()),
            Some(interval) => (
                format!("{} to {}", unit.rise(interval.low), unit.rise(interval.high)),
                unit.rise(interval.half_width()),
            ),
            None => ("unknown".to_owned(), "-".to_owned()),
        };
        table.row([
            unit.name("mean error rise", "mean mispredictions").to_owned(),
            unit.rise(rise.mean),
            interval,
            half_width,
            by(plan.mean_method.name()),
        ]);
        table
    }

    fn stratum_row(&self, stratum: &StratumSummary) -> StratumRow {
        let array = &self.inventory.arrays()[stratum.key.array];
        StratumRow {
            layer: array.layer.clone(),
            tensor: array.tensor,
            bit: stratum.key.bit.0,
            population: stratum.population,
            trials: stratum.trials,
            effective: stratum.effective,
            sensitive: stratum.sensitive,
            mean_error_rise: stratum.mean_rise,
            standard_deviation: stratum.deviation,
        }
    }

    fn strata_table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            ("layer", Side::Left),
            ("tensor", Side::Left),
            (if *self.model == FaultModel::Pairs { "upper bit" } else { "bit (0 = MSB)" }, Side::Right),
            ("possible", Side::Right),
            ("trials", Side::Right),
            ("effective", Side::Right),
            ("sensitive", Side::Right),
            (self.unit().name("mean rise", "mispredicted"), Side::Right),
            ("deviation", Side::Right),
        ]);
        for stratum in &self.sample.strata {
            let row = self.stratum_row(stratum);
            table.row([
                row.layer,
                row.tensor.to_string(),
                row.bit.to_string(),
                grouped(row.population),
                grouped(row.trials),
                share(row.effective, row.trials),
                share(row.sensitive, row.trials),
                self.unit().rise(row.mean_error_rise),
                row.standard_deviation.map_or_else(|| "-".to_owned(), |deviation| self.unit().rise(deviation)),
            ]);
        }
        table
    }

    /// Trials by number of flips, fewest first.
    fn by_flips(&self) -> Vec<FlipRow> {
        let mut groups: BTreeMap<usize, Vec<&Trial>> = BTreeMap::new();
        for trial in &self.sample.trials {
            groups.entry(trial.bits.len()).or_default().push(trial);
        }
        groups.into_iter().map(|(flips, trials)| FlipRow::of(flips, &trials)).collect()
    }

    fn flips_table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            ("flips", Side::Right),
            ("trials", Side::Right),
            ("effective", Side::Right),
            ("sensitive", Side::Right),
            ("mean rise", Side::Right),
        ]);
        let rows = self.by_flips();
        let single = if rows.len() > FLIP_ROWS { FLIP_ROWS - 1 } else { rows.len() };
        let mut add = |name: String, row: &FlipRow| {
            table.row([
                name,
                grouped(row.trials),
                share(row.effective, row.trials),
                share(row.sensitive, row.trials),
                significant(row.mean_error_rise),
            ]);
        };
        for row in &rows[..single] {
            add(grouped(row.flips), row);
        }
        if let (Some(first), Some(last)) = (rows.get(single), rows.last()) {
            let beyond: Vec<&Trial> =
                self.sample.trials.iter().filter(|trial| trial.bits.len() >= first.flips).collect();
            let rest = FlipRow::of(first.flips, &beyond);
            add(format!("{} to {}", grouped(first.flips), grouped(last.flips)), &rest);
        }
        table
    }
}

impl FlipRow {
    fn of(flips: usize, trials: &[&Trial]) -> Self {
        let rises: f64 = trials.iter().map(|trial| trial.observation.rise).sum();
        Self {
            flips,
            trials: trials.len(),
            effective: trials.iter().filter(|trial| trial.observation.is_effective()).count(),
            sensitive: trials.iter().filter(|trial| trial.observation.is_sensitive()).count(),
            mean_error_rise: rises / cast::f64_from_count(trials.len()),
        }
    }
}

fn share(hits: usize, trials: usize) -> String {
    percent(cast::f64_from_count(hits) / cast::f64_from_count(trials), 1)
}

/// A number with at most four digits after the point, and no zeros at its end.
fn short(value: f64) -> String {
    fixed(value, 4).trim_end_matches('0').trim_end_matches('.').to_owned()
}
