//! Quality of rankings: tables for people, CSV and JSON for machines.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::error_unit::ErrorUnit;
use super::oracle::quoted;
use super::{Provenance, Side, TextTable, fixed, grouped, percent, significant};
use crate::analysis::{Estimated, RankingQuality, SampledQuality};
use crate::num::cast;

/// Header of both CSV forms.
const COLUMNS: &str = "ranking,figure,bits,value,low,high\n";

/// Rankings compared with an oracle.
#[derive(Debug, Clone, Copy)]
pub struct QualityReport<'a> {
    /// The rankings, all over the same bits and with the same figures.
    pub qualities: &'a [RankingQuality],
    /// Sum of all error rises.
    pub rise: f64,
    /// Name of the error measured.
    pub metric: &'a str,
    /// Number of events.
    pub events: usize,
    /// Fault-free mean error.
    pub golden_mean: f64,
}

/// Rankings judged by a sample of the bits.
#[derive(Debug, Clone, Copy)]
pub struct SampledQualityReport<'a> {
    /// The rankings, all judged by the same sample.
    pub qualities: &'a [SampledQuality],
    /// Confidence of each interval by itself.
    pub confidence: f64,
    /// Name of the error measured.
    pub metric: &'a str,
    /// Number of events.
    pub events: usize,
    /// Fault-free mean error.
    pub golden_mean: f64,
}

#[derive(Serialize)]
struct Document<'a> {
    provenance: &'a Provenance,
    metric: &'a str,
    events: usize,
    golden_mean_error: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rise: Option<f64>,
    rankings: Vec<Judged<'a>>,
}

#[derive(Serialize)]
struct Judged<'a> {
    ranking: &'a str,
    bits: usize,
    sampled_bits: usize,
    figures: Vec<Figure>,
}

impl<'a> Judged<'a> {
    fn exact(quality: &'a RankingQuality) -> Self {
        let RankingQuality { ranking, bits, .. } = quality;
        Self { ranking, bits: *bits, sampled_bits: *bits, figures: exact_figures(quality) }
    }

    fn sampled(quality: &'a SampledQuality) -> Self {
        let SampledQuality { ranking, bits, sampled, .. } = quality;
        Self { ranking, bits: *bits, sampled_bits: *sampled, figures: estimated_figures(quality) }
    }
}

/// A figure, exact or estimated.
#[derive(Debug, Clone, Copy, Serialize)]
struct Figure {
    #[serde(rename = "figure")]
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<usize>,
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

impl Figure {
    fn exact(name: &'static str, bits: Option<usize>, value: Option<f64>) -> Self {
        Self { name, bits, value: value.filter(|value| value.is_finite()), low: None, high: None }
    }

    fn estimated(name: &'static str, bits: Option<usize>, estimate: Estimated) -> Self {
        let [low, high] = [estimate.interval.map(|i| i.low), estimate.interval.map(|i| i.high)];
        Self { low, high, ..Self::exact(name, bits, estimate.value) }
    }

    fn row(&self, ranking: &str) -> String {
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let bits = self.bits.map_or_else(String::new, |bits| bits.to_string());
        let (value, low, high) = (number(self.value), number(self.low), number(self.high));
        format!("{},{},{bits},{value},{low},{high}\n", quoted(ranking), self.name)
    }
}

fn exact_figures(quality: &RankingQuality) -> Vec<Figure> {
    let mut figures = vec![
        Figure::exact("mean_cumulative_rise", None, Some(quality.mean_cumulative)),
        Figure::exact("area", None, quality.area),
        Figure::exact("gain", None, quality.gain),
        Figure::exact("spearman", None, quality.spearman),
        Figure::exact("kendall", None, quality.kendall),
    ];
    figures
        .extend(quality.recalls.iter().map(|recall| Figure::exact("recall", Some(recall.bits), Some(recall.recall))));
    for removal in &quality.removals {
        figures.push(Figure::exact("removed", Some(removal.bits), removal.share));
        figures.push(Figure::exact("removed_of_oracle", Some(removal.bits), removal.of_oracle));
    }
    figures
}

fn estimated_figures(quality: &SampledQuality) -> Vec<Figure> {
    let mut figures = vec![
        Figure::estimated("summed_rise", None, quality.rise),
        Figure::estimated("area", None, quality.area),
        Figure::estimated("gain", None, quality.gain),
        Figure::estimated("spearman", None, quality.spearman),
        Figure::estimated("kendall", None, quality.kendall),
    ];
    figures.extend(quality.recalls.iter().map(|at| Figure::estimated("recall", Some(at.bits), at.estimate)));
    figures.extend(quality.removed.iter().map(|at| Figure::estimated("removed", Some(at.bits), at.estimate)));
    figures
}

fn pretty(document: &Document<'_>) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("strings and finite numbers have a JSON form");
    text.push('\n');
    text
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| fixed(value, 4))
}

impl QualityReport<'_> {
    /// A row per ranking and figure: `ranking,figure,bits,value,low,high`; no intervals, the figures are exact.
    pub fn csv(&self) -> String {
        let mut text = String::from(COLUMNS);
        for quality in self.qualities {
            text.extend(exact_figures(quality).iter().map(|figure| figure.row(&quality.ranking)));
        }
        text
    }

    /// Everything as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        pretty(&Document {
            provenance,
            metric: self.metric,
            events: self.events,
            golden_mean_error: self.golden_mean,
            confidence: None,
            rise: Some(self.rise),
            rankings: self.qualities.iter().map(Judged::exact).collect(),
        })
    }

    /// Tables for people.
    pub fn tables(&self) -> String {
        let mut columns = vec![
            ("ranking".to_owned(), Side::Name),
            ("area".to_owned(), Side::Right),
            ("gain".to_owned(), Side::Right),
            ("spearman".to_owned(), Side::Right),
            ("kendall".to_owned(), Side::Right),
        ];
        let first = self.qualities.first();
        let recalls = first.map_or(&[][..], |quality| &quality.recalls);
        columns.extend(recalls.iter().map(|recall| (format!("top {}", percent(recall.share, 0)), Side::Right)));
        let unit = ErrorUnit::new(self.metric, self.events);
        let mut text = format!(
            "{} bits on {} events, {}; {} {}\n\n",
            grouped(first.map_or(0, |quality| quality.bits)),
            grouped(self.events),
            unit.fault_free(self.golden_mean),
            unit.name("summed error rise", "mispredictions of all flips"),
            unit.rise(self.rise),
        );
        let mut table = table_of(&columns);
        for quality in self.qualities {
            let figures = [quality.area, quality.gain, quality.spearman, quality.kendall].map(number);
            let recalls = quality.recalls.iter().map(|recall| percent(recall.recall, 1));
            table.row([quality.ranking.clone()].into_iter().chain(figures).chain(recalls));
        }
        write!(text, "{table}").expect("a string takes any text");
        if first.is_some_and(|quality| !quality.removals.is_empty()) {
            let removals = first.map_or(&[][..], |quality| &quality.removals);
            let mut columns = vec![("removed with".to_owned(), Side::Left)];
            columns.extend(removals.iter().map(|removal| (grouped(removal.bits), Side::Right)));
            let mut table = table_of(&columns);
            for quality in self.qualities {
                let shares = quality.removals.iter().map(|removal| percent(removal.share.unwrap_or(f64::NAN), 1));
                table.row([quality.ranking.clone()].into_iter().chain(shares));
            }
            write!(text, "\n{table}").expect("a string takes any text");
        }
        text + LEGEND
    }
}

/// What the columns mean.
const LEGEND: &str = "\n\
    area: mean of the cumulative rise over all prefixes of the order, relative to the oracle's\n\
    gain: the same above that of chance (chance 0, oracle 1, the oracle reversed -1)\n\
    spearman, kendall: between place and rise\n\
    top: share of the oracle's first bits that are among the ranking's first\n\
    removed: share of the summed rise that protecting so many of the first bits removes\n";

impl SampledQualityReport<'_> {
    /// A row per ranking and figure: `ranking,figure,bits,value,low,high`.
    pub fn csv(&self) -> String {
        let mut text = String::from(COLUMNS);
        for quality in self.qualities {
            text.extend(estimated_figures(quality).iter().map(|figure| figure.row(&quality.ranking)));
        }
        text
    }

    /// Everything as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        pretty(&Document {
            provenance,
            metric: self.metric,
            events: self.events,
            golden_mean_error: self.golden_mean,
            confidence: Some(self.confidence),
            rise: None,
            rankings: self.qualities.iter().map(Judged::sampled).collect(),
        })
    }

    /// A table for people: a row per ranking and figure.
    pub fn tables(&self) -> String {
        let interval = format!("{} interval", percent(self.confidence, 0));
        let mut table = TextTable::new(&[
            ("ranking", Side::Group),
            ("figure", Side::Left),
            ("estimate", Side::Right),
            (&interval, Side::Right),
        ]);
        for (number, quality) in self.qualities.iter().enumerate() {
            if number > 0 {
                table.gap();
            }
            for figure in estimated_figures(quality) {
                let (name, show) = shown(&figure, quality.bits);
                let value = figure.value.map_or_else(|| "-".to_owned(), show);
                let interval = figure.low.zip(figure.high);
                let interval = interval
                    .map_or_else(|| "unknown".to_owned(), |(low, high)| format!("{} to {}", show(low), show(high)));
                table.row([quality.ranking.clone(), name, value, interval]);
            }
        }
        let first = self.qualities.first();
        format!(
            "{} of {} bits flipped, drawn at random, on {} events; {}\n\n{table}{LEGEND}\
             every interval holds by itself\n",
            grouped(first.map_or(0, |quality| quality.sampled)),
            grouped(first.map_or(0, |quality| quality.bits)),
            grouped(self.events),
            ErrorUnit::new(self.metric, self.events).fault_free(self.golden_mean),
        )
    }
}

/// Name of a figure for people, and how its numbers are written.
fn shown(figure: &Figure, all: usize) -> (String, fn(f64) -> String) {
    let bits = figure.bits.unwrap_or(0);
    let part = percent(cast::f64_from_count(bits) / cast::f64_from_count(all), 1);
    match figure.name {
        "recall" => (format!("top {part}"), |value| percent(value, 1)),
        "removed" => (format!("removed with {}", grouped(bits)), |value| percent(value, 1)),
        "summed_rise" => ("summed rise".to_owned(), significant),
        other => (other.to_owned(), |value| fixed(value, 4)),
    }
}

fn table_of(columns: &[(String, Side)]) -> TextTable {
    let columns: Vec<(&str, Side)> = columns.iter().map(|(name, side)| (name.as_str(), *side)).collect();
    TextTable::new(&columns)
}

/// Numbers of bits at which removal is told, from parts of all bits: each once, in rising order.
pub fn numbers_of_bits(bits: usize, parts: &[f64]) -> Vec<usize> {
    let number = |part: &f64| {
        let rounded = cast::floor_i64(part * cast::f64_from_count(bits) + 0.5);
        usize::try_from(rounded).unwrap_or(0).min(bits)
    };
    parts.iter().map(number).collect::<BTreeSet<_>>().into_iter().collect()
}
