//! A guided campaign's outcome: a row per bit flipped as CSV, what is proven as a table and JSON.

use serde::Serialize;

use super::error_unit::{Accuracy, ErrorUnit};
use super::oracle::quoted;
use super::{Provenance, Side, SiteTable, TextTable, grouped, percent, significant};
use crate::campaign::{GuidedPlan, GuidedRun, Look, Reason, SiteOutcome};
use crate::num::cast;

/// Rows of the table of looks.
const SHOWN_LOOKS: usize = 12;

/// Where the mispredictions stand in a row of the CSV.
const MISPREDICTIONS_COLUMN: usize = 9;

/// A guided campaign with what its sites are called.
#[derive(Debug, Clone, Copy)]
pub struct GuidedReport<'a> {
    /// What was flipped, and what is known of the rest.
    pub run: &'a GuidedRun,
    /// What was asked.
    pub plan: &'a GuidedPlan,
    /// Name of the order.
    pub ranking: &'a str,
    /// All bits, flipped or not.
    pub sites: &'a SiteTable,
    /// Name of the error measured.
    pub metric: &'a str,
    /// Number of events.
    pub events: usize,
}

/// What the JSON holds, beside its provenance.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    provenance: &'a Provenance,
    metric: &'a str,
    events: usize,
    golden_mean_error: f64,
    #[serde(flatten)]
    accuracy: Option<Accuracy>,
    ranking: &'a str,
    candidate_bits: usize,
    missing_share_asked: f64,
    confidence: f64,
    complete: bool,
    flips: Flips,
    saved_flips: usize,
    random_order_flips: usize,
    saved_against_random_order: usize,
    rise_found: f64,
    rise_found_signed: f64,
    /// Sum of the mispredictions, where that is what the metric counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    mispredictions_found: Option<u64>,
    missing_bound: Option<f64>,
    missing_share_bound: Option<f64>,
    restarts: usize,
    draws_counted: usize,
    looks: Vec<LookRow>,
}

#[derive(Debug, Serialize)]
struct Flips {
    all: usize,
    order: usize,
    pilot: usize,
    drawn: usize,
}

#[derive(Debug, Serialize)]
struct LookRow {
    flips: usize,
    rise_found: f64,
    missing_bound: Option<f64>,
    missing_share_bound: Option<f64>,
}

impl GuidedReport<'_> {
    /// A row per bit flipped, in the order of flipping: the columns of an oracle, and `flip,reason` before them.
    ///
    /// `reason` is `pilot` (drawn before anything was known), `order` (its turn) or `drawn` (to learn of the rest). As in an
    /// oracle, `mispredictions` stands behind `changed_events` where that is what the metric counts.
    pub fn csv(&self) -> String {
        let counts = self.unit().counts_mispredictions();
        let mut text = String::from("flip,reason,layer,tensor,index,bit,golden,faulty,changed_events,");
        text.push_str(if counts { "mispredictions,mean_error,error_rise\n" } else { "mean_error,error_rise\n" });
        let events = cast::f64_from_count(self.events);
        for (number, (flip, outcome)) in self.run.guided.flips.iter().zip(&self.run.outcomes).enumerate() {
            let site = &self.sites.sites[flip.position];
            let (layer, tensor) = &self.sites.arrays[site.array];
            let mut row = vec![
                number.to_string(),
                flip.reason.name().to_owned(),
                quoted(layer),
                tensor.to_string(),
                site.index.to_string(),
                site.bit.to_string(),
                site.golden.to_string(),
                site.faulty.to_string(),
                outcome.changed_events.to_string(),
                ((self.run.golden_sum + outcome.rise_sum).value() / events).to_string(),
                flip.rise.to_string(),
            ];
            if counts {
                row.insert(MISPREDICTIONS_COLUMN, outcome.mispredictions().to_string());
            }
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    /// Everything but the rows as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let guided = &self.run.guided;
        let last = guided.last();
        let row = |look: &Look| LookRow {
            flips: look.flips,
            rise_found: look.found,
            missing_bound: look.missing_bound,
            missing_share_bound: look.share_bound(),
        };
        let summary = Summary {
            provenance,
            metric: self.metric,
            events: self.events,
            golden_mean_error: self.golden_mean(),
            accuracy: self.unit().accuracy(self.golden_mean()),
            ranking: self.ranking,
            candidate_bits: guided.bits,
            missing_share_asked: self.plan.missing.get(),
            confidence: self.plan.confidence.get(),
            complete: guided.is_complete(),
            flips: Flips {
                all: guided.flips.len(),
                order: guided.flips_by(Reason::Order),
                pilot: guided.flips_by(Reason::Pilot),
                drawn: guided.flips_by(Reason::Drawn),
            },
            saved_flips: guided.bits - guided.flips.len(),
            random_order_flips: guided.random_order_flips(self.plan.missing),
            saved_against_random_order: guided.random_order_flips(self.plan.missing).saturating_sub(guided.flips.len()),
            rise_found: last.found,
            rise_found_signed: guided.found_signed(),
            mispredictions_found: self.mispredictions(),
            missing_bound: last.missing_bound,
            missing_share_bound: last.share_bound(),
            restarts: guided.restarts,
            draws_counted: guided.draws_counted,
            looks: guided.looks.iter().map(row).collect(),
        };
        let mut text = serde_json::to_string_pretty(&summary).expect("strings and finite numbers have a JSON form");
        text.push('\n');
        text
    }

    /// What is proven, and how it came to be, for people.
    pub fn table(&self) -> String {
        let guided = &self.run.guided;
        let (flips, bits) = (guided.flips.len(), guided.bits);
        let random = guided.random_order_flips(self.plan.missing);
        let unit = self.unit();
        let share = |count: usize| percent(cast::f64_from_count(count) / cast::f64_from_count(bits), 1);
        let mut table = TextTable::new(&[
            ("flips", Side::Right),
            ("of all", Side::Right),
            (unit.name("rise found", "mispredictions found"), Side::Right),
            ("missing at most", Side::Right),
            ("share", Side::Right),
        ]);
        for look in thinned(&guided.looks, SHOWN_LOOKS) {
            table.row([
                grouped(look.flips),
                share(look.flips),
                self.amount(look.found),
                look.missing_bound.map_or_else(|| "-".to_owned(), |bound| unit.rise(bound)),
                percent(look.share_bound().unwrap_or(f64::NAN), 2),
            ]);
        }
        format!(
            "guided by {}: {} of {} candidate bits flipped ({}), {} saved\n\
             {} in the order, {} as a pilot, {} drawn at random\n\
             {} events, {}\n\
             {}\n\
             random order: {} flips until no more than {} is missing on average; {} saved against that\n\n\
             {table}\n\
             {}\n\
             missing at most: bound on the same sum over the bits not flipped, good for all looks at once\n",
            self.ranking,
            grouped(flips),
            grouped(bits),
            share(flips),
            grouped(bits - flips),
            grouped(guided.flips_by(Reason::Order)),
            grouped(guided.flips_by(Reason::Pilot)),
            grouped(guided.flips_by(Reason::Drawn)),
            grouped(self.events),
            unit.fault_free(self.golden_mean()),
            self.promise(),
            grouped(random),
            percent(self.plan.missing.get(), 1),
            grouped(random.saturating_sub(flips)),
            unit.name(
                "rise found: sum over the bits flipped that raise the error, each flipped alone",
                "mispredictions found: over the bits flipped, each alone; of events that are right without the flip",
            ),
        )
    }

    const fn unit(&self) -> ErrorUnit<'_> {
        ErrorUnit::new(self.metric, self.events)
    }

    /// Mispredictions of all flips together, where that is what the metric counts.
    fn mispredictions(&self) -> Option<u64> {
        let counts = self.run.outcomes.iter().map(SiteOutcome::mispredictions);
        self.unit().counts_mispredictions().then(|| counts.map(u64::from).sum())
    }

    /// A sum of rises: whole mispredictions are not rounded.
    fn amount(&self, rise: f64) -> String {
        let number = self.unit().number(rise);
        if self.unit().counts_mispredictions() {
            grouped(usize::try_from(cast::floor_i64(number)).unwrap_or(0))
        } else {
            significant(number)
        }
    }

    fn promise(&self) -> String {
        let guided = &self.run.guided;
        let last = guided.last();
        if guided.is_complete() {
            return format!(
                "complete: all bits are flipped, nothing is missing; {} {}",
                self.unit().name("summed rise", "mispredictions"),
                self.amount(last.found)
            );
        }
        let assumed = match guided.restarts {
            0 => String::new(),
            1 => "\n(caps on single bits failed once; what was proven before was given up)".to_owned(),
            times => format!("\n(caps on single bits failed {times} times; what was proven before was given up)"),
        };
        format!(
            "promise kept: at most {} of the {} missing, with confidence {}{assumed}",
            percent(last.share_bound().unwrap_or(f64::NAN), 2),
            self.unit().name("summed rise is", "mispredictions are"),
            percent(self.plan.confidence.get(), if self.plan.confidence.get() > 0.999 { 7 } else { 1 }),
        )
    }

    fn golden_mean(&self) -> f64 {
        self.run.golden_sum.value() / cast::f64_from_count(self.events)
    }
}

/// At most `count` of the looks, spread evenly, the last among them.
fn thinned(looks: &[Look], count: usize) -> Vec<Look> {
    let shown = looks.len().min(count);
    (1..=shown).map(|row| looks[looks.len() * row / shown - 1]).collect()
}
