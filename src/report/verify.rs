//! Verified points of a sweep: single upsets of every cell beside what was predicted, and missions with intervals; two tables
//! for people, CSV and JSON for machines.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::error_unit::ErrorUnit;
use super::oracle::quoted;
use super::simulate::duration;
use super::{Side, TextTable, grouped, percent, significant};
use crate::campaign::Interval;
use crate::campaign::proof::{FlownPlan, Observed, PlanProof};
use crate::num::cast;

/// How points were verified.
#[derive(Debug, Clone, Serialize)]
pub struct VerifySetup {
    /// Name of the environment, or what it was made of.
    pub environment: String,
    /// How often particles strike, in words.
    pub rate: String,
    /// Where its figures come from.
    pub source: String,
    /// Sizes of clusters with their probabilities, as text.
    pub cluster_sizes: String,
    /// Cells from one copy of a bit to the next.
    pub distance_cells: usize,
    /// Scrub period as asked for.
    pub scrub: String,
    /// The same in cycles.
    pub scrub_cycles: Option<u64>,
    /// Length of a mission, in cycles.
    pub cycles: u64,
    /// Length of a mission, in seconds.
    pub mission_s: f64,
    /// Missions of each plan.
    pub missions: u32,
    /// Seed of all draws.
    pub seed: u64,
    /// Confidence of every interval by itself.
    pub confidence: f64,
    /// Evaluations that missions, and clusters by themselves, may take.
    pub evaluations: u64,
    /// Number of events.
    pub events: usize,
    /// Name of the error measured.
    pub metric: String,
    /// Strikes per mission that are expected on the design without protection.
    pub strikes_per_mission: f64,
    /// Time that a flip lasts on average.
    pub lasting_s: f64,
    /// Strikes whose flips are there at once, on average, on the design without protection.
    pub strikes_at_once: f64,
}

/// A plan with what was found.
#[derive(Debug, Clone)]
pub struct VerifiedPlan {
    /// Its ranking and budget; none is the design without protection.
    pub point: Option<(String, String)>,
    /// Single upsets of every cell.
    pub proof: PlanProof,
    /// Whether they came out as predicted, to the last bit of every figure.
    pub is_equal: bool,
    /// Missions.
    pub flown: FlownPlan,
}

/// All plans, the design without protection first, then the points of the sweep in their order.
#[derive(Debug, Clone)]
pub struct VerifyReport {
    /// How they were verified.
    pub setup: VerifySetup,
    /// The plans.
    pub plans: Vec<VerifiedPlan>,
    /// Different states that missions were in.
    pub states: usize,
    /// Events that each was judged on.
    pub events_per_state: usize,
    /// Different sets of registers that clusters leave wrong.
    pub cluster_sets: usize,
    /// Points that were not verified: injection knows no codes, and none of the harm that a measure is said to leave.
    pub passed_over: usize,
}

/// How many predictions lie where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Hits {
    /// Inside the interval, or exactly what was observed.
    pub inside: usize,
    /// Outside.
    pub outside: usize,
    /// There is no interval.
    pub unknown: usize,
}

#[derive(Serialize)]
struct Mission {
    cells: usize,
    strikes_per_s: f64,
    strikes: u64,
    predicted_rise: f64,
    predicted_rise_with_clusters: Option<f64>,
    observed_rise: f64,
    low: Option<f64>,
    high: Option<f64>,
    inside: Option<bool>,
    inside_with_clusters: Option<bool>,
    predicted_removed: Option<f64>,
    predicted_removed_with_clusters: Option<f64>,
    removed: Option<f64>,
    removed_low: Option<f64>,
    removed_high: Option<f64>,
    removed_inside: Option<bool>,
    removed_inside_with_clusters: Option<bool>,
}

#[derive(Serialize)]
struct Verified<'a> {
    cells: usize,
    read_wrong: usize,
    differing: usize,
    rise_remaining: f64,
    share_removed: Option<f64>,
    sensitive_cells: usize,
    mean_rise_per_upset: f64,
    max_rise: f64,
    lapses: usize,
    exhaustive_equal: bool,
    mission: &'a Mission,
}

#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    setup: &'a VerifySetup,
    states: usize,
    events_per_state: usize,
    cluster_sets: usize,
    points: usize,
    points_passed_over: usize,
    exhaustive_equal: usize,
    rise: Hits,
    rise_with_clusters: Option<Hits>,
    removed: Hits,
    removed_with_clusters: Option<Hits>,
    unprotected: Value,
}

impl Mission {
    fn new(flown: &FlownPlan) -> Self {
        let FlownPlan { cells, strikes_per_s, strikes, rise, removed } = *flown;
        let with_clusters =
            |observed: Observed| observed.predicted_with_clusters.and_then(|value| observed.is_inside(value));
        let (low, high) = ends(rise.interval);
        let (removed_low, removed_high) = ends(removed.and_then(|removed| removed.interval));
        Self {
            cells,
            strikes_per_s,
            strikes,
            predicted_rise: rise.predicted,
            predicted_rise_with_clusters: rise.predicted_with_clusters,
            observed_rise: rise.observed,
            low,
            high,
            inside: rise.is_inside(rise.predicted),
            inside_with_clusters: with_clusters(rise),
            predicted_removed: removed.map(|removed| removed.predicted),
            predicted_removed_with_clusters: removed.and_then(|removed| removed.predicted_with_clusters),
            removed: removed.map(|removed| removed.observed),
            removed_low,
            removed_high,
            removed_inside: removed.and_then(|removed| removed.is_inside(removed.predicted)),
            removed_inside_with_clusters: removed.and_then(with_clusters),
        }
    }
}

fn ends(interval: Option<Interval>) -> (Option<f64>, Option<f64>) {
    interval.map(|Interval { low, high }| (low, high)).unzip()
}

impl Hits {
    fn of(inside: impl Iterator<Item = Option<bool>>) -> Self {
        inside.fold(Self::default(), |mut hits, inside| {
            match inside {
                Some(true) => hits.inside += 1,
                Some(false) => hits.outside += 1,
                None => hits.unknown += 1,
            }
            hits
        })
    }

    /// For people.
    fn words(self) -> String {
        let known = self.inside + self.outside;
        let unknown = match self.unknown {
            0 => String::new(),
            count => format!(" ({} more have no interval)", grouped(count)),
        };
        format!("{} of {}{unknown}", grouped(self.inside), grouped(known))
    }
}

impl VerifiedPlan {
    fn name(&self) -> (&str, &str) {
        self.point.as_ref().map_or(("unprotected", ""), |(ranking, budget)| (ranking, budget))
    }

    /// What was found, as JSON.
    pub fn json(&self) -> Value {
        let PlanProof { cells, read_wrong, differing, rise_remaining, .. } = self.proof;
        let verified = Verified {
            cells,
            read_wrong,
            differing,
            rise_remaining,
            share_removed: Some(self.proof.share_removed).filter(|share| share.is_finite()),
            sensitive_cells: self.proof.sensitive_cells,
            mean_rise_per_upset: self.proof.mean_rise_per_upset,
            max_rise: self.proof.max_rise,
            lapses: self.proof.lapses,
            exhaustive_equal: self.is_equal,
            mission: &Mission::new(&self.flown),
        };
        serde_json::to_value(verified).expect("numbers have a JSON form")
    }
}

impl VerifyReport {
    /// Points of the sweep, without the first plan.
    fn points(&self) -> &[VerifiedPlan] {
        &self.plans[1..]
    }

    fn hits(&self, of: impl Fn(&Mission) -> Option<bool>) -> Hits {
        Hits::of(self.points().iter().map(|plan| of(&Mission::new(&plan.flown))))
    }

    fn has_clusters(&self) -> bool {
        self.plans.iter().all(|plan| plan.flown.rise.predicted_with_clusters.is_some())
    }

    /// What was found of a point; none where it was not verified.
    pub fn point_value(&self, ranking: &str, budget: &str) -> Option<Value> {
        self.points().iter().find(|plan| plan.name() == (ranking, budget)).map(VerifiedPlan::json)
    }

    /// How points were verified, and in how many prediction and injection agree.
    pub fn summary(&self) -> Value {
        let has_clusters = self.has_clusters();
        let summary = Summary {
            setup: &self.setup,
            states: self.states,
            events_per_state: self.events_per_state,
            cluster_sets: self.cluster_sets,
            points: self.points().len(),
            points_passed_over: self.passed_over,
            exhaustive_equal: self.points().iter().filter(|plan| plan.is_equal).count(),
            rise: self.hits(|mission| mission.inside),
            rise_with_clusters: has_clusters.then(|| self.hits(|mission| mission.inside_with_clusters)),
            removed: self.hits(|mission| mission.removed_inside),
            removed_with_clusters: has_clusters.then(|| self.hits(|mission| mission.removed_inside_with_clusters)),
            unprotected: self.plans[0].json(),
        };
        serde_json::to_value(summary).expect("numbers and strings have a JSON form")
    }

    /// A row per plan.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "ranking,budget,cells,read_wrong,differing,rise_remaining,share_removed,sensitive_cells,mean_rise_per_upset,\
             max_rise,lapses,exhaustive_equal,mission_cells,strikes_per_s,strikes,predicted_rise,\
             predicted_rise_with_clusters,observed_rise,low,high,inside,inside_with_clusters,predicted_removed,\
             predicted_removed_with_clusters,removed,removed_low,removed_high,removed_inside,\
             removed_inside_with_clusters\n",
        );
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let truth = |value: Option<bool>| value.map_or(String::new(), |value| value.to_string());
        for plan in &self.plans {
            let (ranking, budget) = plan.name();
            let (proof, mission) = (&plan.proof, Mission::new(&plan.flown));
            let row = [
                quoted(ranking),
                budget.to_owned(),
                proof.cells.to_string(),
                proof.read_wrong.to_string(),
                proof.differing.to_string(),
                proof.rise_remaining.to_string(),
                number(Some(proof.share_removed).filter(|share| share.is_finite())),
                proof.sensitive_cells.to_string(),
                proof.mean_rise_per_upset.to_string(),
                proof.max_rise.to_string(),
                proof.lapses.to_string(),
                plan.is_equal.to_string(),
                mission.cells.to_string(),
                mission.strikes_per_s.to_string(),
                mission.strikes.to_string(),
                mission.predicted_rise.to_string(),
                number(mission.predicted_rise_with_clusters),
                mission.observed_rise.to_string(),
                number(mission.low),
                number(mission.high),
                truth(mission.inside),
                truth(mission.inside_with_clusters),
                number(mission.predicted_removed),
                number(mission.predicted_removed_with_clusters),
                number(mission.removed),
                number(mission.removed_low),
                number(mission.removed_high),
                truth(mission.removed_inside),
                truth(mission.removed_inside_with_clusters),
            ];
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    /// Both tables for people, each with what it shows.
    pub fn tables(&self) -> String {
        format!("{}\n{}", self.upset_table(), self.mission_table())
    }

    fn upset_table(&self) -> String {
        let unit = self.unit();
        let mut table = TextTable::new(&[
            ("ranking", Side::Group),
            ("budget", Side::Right),
            ("cells", Side::Right),
            ("read wrong", Side::Right),
            (unit.name("rise left", "wrong left"), Side::Right),
            ("removed", Side::Right),
            ("sensitive", Side::Right),
            ("per upset", Side::Right),
            ("largest", Side::Right),
            ("as predicted", Side::Right),
        ]);
        for (position, plan) in self.plans.iter().enumerate() {
            self.gap_before(position, &mut table);
            let (ranking, budget) = plan.name();
            let proof = &plan.proof;
            table.row([
                ranking.to_owned(),
                budget.to_owned(),
                grouped(proof.cells),
                grouped(proof.read_wrong),
                unit.rise(proof.rise_remaining),
                percent(proof.share_removed, 2),
                grouped(proof.sensitive_cells),
                unit.rise(proof.mean_rise_per_upset),
                unit.rise(proof.max_rise),
                if plan.is_equal { "exactly" } else { "NO" }.to_owned(),
            ]);
        }
        let equal = self.points().iter().filter(|plan| plan.is_equal).count();
        let passed_over = match self.passed_over {
            0 => String::new(),
            points => format!(
                "; {} more have codes or harm that a measure is said to leave, which registers do not show",
                grouped(points)
            ),
        };
        format!(
            "verified by injection: every cell of the candidates upset alone in the registers of the protected design\n\n\
             {table}\n\
             cells: flip-flops of the candidates, copies included; read wrong: of these, where the voted word is wrong\n{}\
             as predicted: {} of {} points have what the sweep says, to the last bit of every figure{passed_over}\n",
            unit.name("", "wrong left, per upset, largest: mispredictions in all events\n"),
            grouped(equal),
            grouped(self.points().len()),
        )
    }

    fn unit(&self) -> ErrorUnit<'_> {
        ErrorUnit::new(&self.setup.metric, self.setup.events)
    }

    /// Sets rankings apart.
    fn gap_before(&self, position: usize, table: &mut TextTable) {
        if position > 0 && self.plans[position - 1].name().0 != self.plans[position].name().0 {
            table.gap();
        }
    }

    fn mission_table(&self) -> String {
        let has_clusters = self.has_clusters();
        let interval_name = format!("{} % interval", significant_share(self.setup.confidence));
        let mut columns = vec![("ranking", Side::Group), ("budget", Side::Right), ("predicted", Side::Right)];
        if has_clusters {
            columns.push(("clusters", Side::Right));
        }
        columns.extend([
            ("observed", Side::Right),
            (interval_name.as_str(), Side::Right),
            ("removed", Side::Right),
            (interval_name.as_str(), Side::Right),
        ]);
        let mut table = TextTable::new(&columns);
        for (position, plan) in self.plans.iter().enumerate() {
            self.gap_before(position, &mut table);
            let (ranking, budget) = plan.name();
            let FlownPlan { rise, removed, .. } = plan.flown;
            let marked = |text: String, is_inside: Option<bool>| match is_inside {
                Some(false) => format!("{text}*"),
                _ => format!("{text} "),
            };
            let mut row = vec![
                ranking.to_owned(),
                budget.to_owned(),
                marked(significant(rise.predicted), rise.is_inside(rise.predicted)),
            ];
            if has_clusters {
                let clusters = rise.predicted_with_clusters.unwrap_or(f64::NAN);
                row.push(marked(significant(clusters), rise.is_inside(clusters)));
            }
            row.push(significant(rise.observed));
            row.push(interval(rise.interval, significant, ""));
            row.push(removed.map_or(String::new(), |removed| {
                marked(percent(removed.predicted, 2), removed.is_inside(removed.predicted))
            }));
            row.push(removed.map_or(String::new(), |removed| {
                interval(removed.interval, |share| super::fixed(share * 100.0, 2), " %")
            }));
            table.row(row);
        }
        self.framed(&table, has_clusters)
    }

    /// The table of missions with what stands above and below it.
    fn framed(&self, table: &TextTable, has_clusters: bool) -> String {
        let setup = &self.setup;
        let mut text = format!(
            "verified in time: {} missions of {} for each plan, strikes on cells of the candidates alone; seed {}\n\
             environment {}: {}\n  {}\n\
             cluster sizes {}; copies of a bit {} cells apart; scrub {}\n\
             without protection: {} strikes in a mission; a flip lasts {} on average, flips of {} strikes at a time\n",
            setup.missions,
            duration(setup.mission_s),
            setup.seed,
            setup.environment,
            setup.rate,
            setup.source,
            setup.cluster_sizes,
            setup.distance_cells,
            setup.scrub,
            significant(setup.strikes_per_mission),
            duration(setup.lasting_s),
            significant(setup.strikes_at_once),
        );
        if self.events_per_state < setup.events {
            let _ = writeln!(
                text,
                "{} states, each judged on a sample of {} of {} events; more with --verify-evaluations",
                grouped(self.states),
                grouped(self.events_per_state),
                grouped(setup.events)
            );
        }
        if !has_clusters {
            let needed = cast::f64_from_count(self.cluster_sets) * cast::f64_from_count(setup.events);
            let _ = writeln!(
                text,
                "clusters by themselves would take {} evaluations; allow them with --verify-evaluations",
                significant(needed)
            );
        }
        let _ = write!(
            text,
            "\n{table}\n\
             predicted, observed: {} over a mission; predicted takes flips as if each were alone\n",
            self.unit().name("mean rise of the error", "mean share of outputs that upsets make wrong"),
        );
        if has_clusters {
            text.push_str(
                "clusters: the same with the cells of each cluster evaluated together, for every place it can strike\n",
            );
        }
        text.push_str(
            "removed: share of the rise without protection that is gone, predicted; *: outside the interval\n",
        );
        let _ =
            writeln!(text, "inside their intervals: predicted rise {}", self.hits(|mission| mission.inside).words());
        if has_clusters {
            let hits = self.hits(|mission| mission.inside_with_clusters);
            let _ = writeln!(text, "  rise with clusters {}", hits.words());
        }
        let _ = writeln!(text, "  share removed {}", self.hits(|mission| mission.removed_inside).words());
        if has_clusters {
            let hits = self.hits(|mission| mission.removed_inside_with_clusters);
            let _ = writeln!(text, "  share removed with clusters {}", hits.words());
        }
        let _ = writeln!(
            text,
            "  where a prediction holds, an interval has it in {} % of the cases",
            significant_share(setup.confidence)
        );
        text
    }
}

/// A confidence in percent, in as few digits as it has.
fn significant_share(confidence: f64) -> String {
    let text = super::fixed(confidence * 100.0, 4);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn interval(interval: Option<Interval>, number: impl Fn(f64) -> String, unit: &str) -> String {
    interval
        .map_or_else(|| "-".to_owned(), |Interval { low, high }| format!("{} to {}{unit}", number(low), number(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_and_told() {
        let hits = Hits::of([Some(true), Some(false), None, Some(true)].into_iter());
        assert_eq!(hits, Hits { inside: 2, outside: 1, unknown: 1 });
        assert_eq!(hits.words(), "2 of 3 (1 more have no interval)");
        assert_eq!(Hits { inside: 41, outside: 1, unknown: 0 }.words(), "41 of 42");
        assert_eq!([0.95, 0.999, 0.9].map(significant_share), ["95", "99.9", "90"]);
    }
}
