//! From results read back to a comparison.

use std::collections::HashMap;

use super::groups::{Group, groups};
use super::{
    AnalysisEntry, AreaFacts, BitFacts, BitMap, CompareError, Comparison, Curve, ErrorFacts, MapArray, MeanEntry,
    MissionEntry, NamedResult, PositionEntry, Source, SweepEntry, SweepRow, System,
};
use crate::analysis::{BitRanking, QualityPlan, Truth, cumulative_shares, telling_counts};
use crate::campaign::ExactSum;
use crate::hw::AreaUnit;
use crate::import::results::{
    ArrayRows, BitRow, EstimateForm, Facts, MissionsForm, OracleResult, Origin, PointForm, ResultContent, ScenarioForm,
    ScoresResult, SweepForm,
};
use crate::num::cast;
use crate::protect::{Offer, front};
use crate::report::{DesignFacts, Provenance};

/// Points of a curve at most.
const CURVE_POINTS: usize = 200;

/// Seed of the random order, the one that scores and sweeps use unless told.
const RANDOM_SEED: u64 = 1;

/// Puts results together by their labels. Returns what was left out, too, in words.
///
/// # Errors
/// When results under one label are of several designs, or cannot be drawn together.
pub fn gather(results: &[NamedResult]) -> Result<(Comparison, Vec<String>), CompareError> {
    let (groups, mut notes) = groups(results)?;
    let mut numbered: Vec<(usize, Source)> = Vec::new();
    let mut systems = Vec::with_capacity(groups.len());
    for group in &groups {
        for (number, result) in &group.results {
            let source = Source {
                path: result.path.clone(),
                verb: result.verb().to_owned(),
                system: group.label.clone(),
                provenance: provenance(result.origin()),
            };
            numbered.push((*number, source));
        }
        systems.push(system(group, &mut notes)?);
    }
    numbered.sort_by_key(|(number, _)| *number);
    let sources = numbered.into_iter().map(|(_, source)| source).collect();
    Ok((Comparison { systems, sources }, notes))
}

fn provenance(origin: &Origin) -> Provenance {
    let Origin { trivote, command, design_name, design, events, seeds, inputs } = origin.clone();
    Provenance { trivote, command, design_name, design, events, seeds, inputs }
}

fn facts(facts: &Facts) -> DesignFacts {
    let Facts { name, registers, register_bits, io, clock_mhz, latency_cycles, latency_s, interval_cycles } =
        facts.clone();
    DesignFacts { name, registers, register_bits, io, clock_mhz, latency_cycles, latency_s, interval_cycles }
}

fn system(group: &Group<'_>, notes: &mut Vec<String>) -> Result<System, CompareError> {
    let oracle = group.oracle();
    let first_sweep = group.sweeps().next();
    let error = match (first_sweep, oracle) {
        (Some((_, _, sweep)), _) => Some(ErrorFacts {
            metric: sweep.metric.clone(),
            events: sweep.events,
            golden_mean: sweep.golden_mean_error,
        }),
        (None, Some((_, OracleResult { form, .. }))) => {
            Some(ErrorFacts { metric: form.metric.clone(), events: form.events, golden_mean: form.golden_mean_error })
        }
        (None, None) => None,
    };
    let bits = match (first_sweep, oracle) {
        (Some((_, _, sweep)), oracle) => Some(BitFacts {
            candidates: sweep.unprotected.candidate_bits,
            effective: oracle.map(|(_, oracle)| oracle.form.total.effective),
            sensitive: sweep.unprotected.sensitive_bits,
            rise: sweep.unprotected.rise,
        }),
        (None, Some((_, OracleResult { form, .. }))) => Some(BitFacts {
            candidates: form.total.bits,
            effective: Some(form.total.effective),
            sensitive: form.total.sensitive,
            rise: form.total.rise,
        }),
        (None, None) => None,
    };
    let area = first_sweep
        .map(|(_, result, sweep)| {
            Ok::<_, CompareError>(AreaFacts {
                technology: sweep.technology.clone(),
                unit: unit(&result.path, sweep)?,
                registers: sweep.register_area,
                accelerator: sweep.accelerator_area,
            })
        })
        .transpose()?;
    let (mut missions, mut analyses, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for (source, result) in &group.results {
        match &result.content {
            ResultContent::Missions(form) => {
                missions.extend(form.scenarios.iter().map(|scenario| mission(*source, form, scenario)));
            }
            ResultContent::Derivatives(form) => analyses.push(AnalysisEntry {
                source: *source,
                loss: form.loss.clone(),
                events: form.events,
                mean_loss: form.mean_loss,
                gradient_norm: form.gradient_norm,
                eigenvalues: form.eigenvalues.clone(),
                traces: form
                    .layers
                    .iter()
                    .map(|layer| (layer.name.clone(), layer.trace.unwrap_or(layer.trace_estimate)))
                    .collect(),
            }),
            ResultContent::Scores(found) => scores.push((*source, &**found)),
            ResultContent::Sweep(..) | ResultContent::Oracle(_) => {}
        }
    }
    let curves = if let Some(oracle) = oracle {
        curves(oracle, &scores)?
    } else {
        let unused = scores.iter().map(|(_, scores)| {
            format!("{}: not drawn, as `{}` has no oracle to compare scores with", scores.path, group.label)
        });
        notes.extend(unused);
        Vec::new()
    };
    Ok(System {
        label: group.label.clone(),
        fingerprint: group.results.first().map_or_else(String::new, |(_, result)| result.origin().design.clone()),
        facts: group.facts().next().map(|(_, found)| facts(found)),
        error,
        area,
        bits,
        sweeps: sweeps(group)?,
        map: oracle.map(|(_, oracle)| map(oracle)),
        positions: oracle.map(|(_, oracle)| positions(oracle)).transpose()?.unwrap_or_default(),
        curves,
        missions,
        analyses,
    })
}

fn unit(path: &str, sweep: &SweepForm) -> Result<String, CompareError> {
    let unit = sweep.area_unit.as_str();
    let known = match unit {
        "ge" => AreaUnit::Ge,
        "lut_ff" => AreaUnit::LutFf,
        _ => return Err(CompareError::Unit { path: path.to_owned(), unit: unit.to_owned() }),
    };
    Ok(known.cost_name().to_owned())
}

/// The sweeps of a group, each point told whether it is on the front of its technology.
fn sweeps(group: &Group<'_>) -> Result<Vec<SweepEntry>, CompareError> {
    let mut offers: HashMap<&str, Vec<Offer>> = HashMap::new();
    for (_, _, sweep) in group.sweeps() {
        let offers = offers.entry(&sweep.technology).or_default();
        offers.extend(sweep.points.iter().map(offer));
        offers.push(Offer { area: 0.0, risk: sweep.unprotected.rise });
    }
    let mut fronts: HashMap<&str, std::vec::IntoIter<bool>> =
        offers.into_iter().map(|(technology, offers)| (technology, front(&offers).into_iter())).collect();
    let mut entries = Vec::new();
    for (source, result, sweep) in group.sweeps() {
        let front = fronts.get_mut(sweep.technology.as_str()).expect("every technology has a front");
        let points =
            sweep.points.iter().zip(front.by_ref()).map(|(point, is_on_front)| row(point, is_on_front)).collect();
        // That of no protection.
        front.next();
        entries.push(SweepEntry {
            source,
            protection: sweep.protection.clone(),
            technology: sweep.technology.clone(),
            unit: unit(&result.path, sweep)?,
            points,
        });
    }
    Ok(entries)
}

fn offer(point: &PointForm) -> Offer {
    Offer { area: point.area_added, risk: point.rise_remaining }
}

fn row(point: &PointForm, is_on_front: bool) -> SweepRow {
    let PointForm {
        ranking,
        budget,
        bits_protected,
        area_added,
        share_of_registers,
        share_of_accelerator,
        rise_remaining,
        share_removed,
        price,
        sensitive_remaining,
        mean_rise_per_upset,
        plan,
        verified,
    } = point.clone();
    SweepRow {
        ranking,
        budget,
        bits_protected,
        area_added,
        share_of_registers,
        share_of_accelerator,
        rise_remaining,
        share_removed,
        price,
        sensitive_remaining,
        mean_rise_per_upset,
        plan,
        is_on_front,
        verified,
    }
}

fn map(oracle: &OracleResult) -> BitMap {
    let bits = &oracle.bits;
    let starts = bits.starts();
    let mut rises = vec![None; bits.cells()];
    for (bit, rise) in bits.bits.iter().zip(&oracle.rises) {
        rises[bits.cell(&starts, *bit)] = Some(cast::nearest_f32(*rise));
    }
    let array = |array: &ArrayRows| MapArray {
        layer: array.layer.clone(),
        tensor: array.tensor.to_string(),
        registers: array.registers,
        width: array.width,
    };
    BitMap { arrays: bits.arrays.iter().map(array).collect(), rises }
}

fn positions(oracle: &OracleResult) -> Result<Vec<PositionEntry>, CompareError> {
    let mut found: Vec<(usize, usize, ExactSum)> = vec![Default::default(); 32];
    for (bit, rise) in oracle.bits.bits.iter().zip(&oracle.rises) {
        let exact = ExactSum::of(*rise).ok_or_else(|| CompareError::Rises { path: oracle.path.clone() })?;
        let (bits, sensitive, sum) = &mut found[usize::from(bit.bit)];
        *bits += 1;
        *sensitive += usize::from(*rise > 0.0);
        *sum += exact;
    }
    let entry = |(bit, (bits, sensitive, sum)): (usize, (usize, usize, ExactSum))| PositionEntry {
        bit,
        bits,
        sensitive,
        rise: sum.value(),
    };
    Ok(found.into_iter().enumerate().filter(|(_, (bits, ..))| *bits > 0).map(entry).collect())
}

/// Curves of the oracle, of all scores, and of the orders that need none; best first.
fn curves(
    (source, oracle): (usize, &OracleResult),
    scores: &[(usize, &ScoresResult)],
) -> Result<Vec<Curve>, CompareError> {
    let bits = &oracle.bits.bits;
    let mut rankings = vec![(source, BitRanking::by_score("oracle", &oracle.rises))];
    for (source, scores) in scores {
        let places = places(oracle, scores)?;
        for (name, values) in scores.form.scores.iter().zip(&scores.values) {
            let name = unused_name(&rankings, name, &scores.path);
            let values: Vec<f64> = places.iter().map(|place| values[*place]).collect();
            rankings.push((*source, BitRanking::by_score(&name, &values)));
        }
    }
    let is_there = |name: &str| rankings.iter().any(|(_, ranking)| ranking.name() == name);
    let (has_msb, has_random) = (is_there("msb"), is_there("random"));
    if !has_msb {
        let columns: Vec<f64> = bits.iter().map(|bit| -f64::from(bit.bit)).collect();
        rankings.push((source, BitRanking::by_score("msb", &columns)));
    }
    if !has_random {
        rankings.push((source, BitRanking::random(bits.len(), RANDOM_SEED)));
    }
    let refused = |_| CompareError::Rises { path: oracle.path.clone() };
    let truth = Truth::new(&oracle.rises).map_err(refused)?;
    let counts = telling_counts(bits.len(), CURVE_POINTS);
    let all = cast::f64_from_count(bits.len());
    let plan = QualityPlan { recalls: &[], protected: &[] };
    let mut curves = Vec::new();
    for (source, ranking) in &rankings {
        let Some(rise) = cumulative_shares(&oracle.rises, ranking, &counts) else { continue };
        curves.push(Curve {
            ranking: ranking.name().to_owned(),
            source: *source,
            area: truth.quality(ranking, &plan).map_err(refused)?.area,
            bits: counts.iter().map(|count| cast::f64_from_count(*count) / all).collect(),
            rise,
        });
    }
    let area = |curve: &Curve| curve.area.unwrap_or(f64::NEG_INFINITY);
    if let Some((_, others)) = curves.split_first_mut() {
        others.sort_by(|a, b| area(b).total_cmp(&area(a)));
    }
    Ok(curves)
}

/// A name that no ranking has yet: that of the column, or with its file where another file has a column of that name.
fn unused_name(rankings: &[(usize, BitRanking)], name: &str, path: &str) -> String {
    let is_free = |name: &String| rankings.iter().all(|(_, ranking)| ranking.name() != name);
    let mut candidates = [name.to_owned(), format!("{name} ({path})")].into_iter();
    candidates.find(is_free).unwrap_or_else(|| format!("{name} ({path}, {})", rankings.len()))
}

/// For every bit of the oracle, the row of its scores.
fn places(oracle: &OracleResult, scores: &ScoresResult) -> Result<Vec<usize>, CompareError> {
    // Arrays may be listed in another order.
    let array_of = |array: &ArrayRows| {
        scores.bits.arrays.iter().position(|other| (&other.layer, other.tensor) == (&array.layer, array.tensor))
    };
    let arrays: Vec<Option<usize>> = oracle.bits.arrays.iter().map(array_of).collect();
    let rows: HashMap<BitRow, usize> = scores.bits.bits.iter().enumerate().map(|(row, bit)| (*bit, row)).collect();
    let place = |bit: &BitRow| {
        let row = arrays[bit.array].and_then(|array| rows.get(&BitRow { array, ..*bit }));
        row.copied().ok_or_else(|| CompareError::NoScore {
            scores: scores.path.clone(),
            oracle: oracle.path.clone(),
            bit: oracle.bits.address(*bit),
        })
    };
    oracle.bits.bits.iter().map(place).collect()
}

fn mean(estimate: &EstimateForm) -> MeanEntry {
    MeanEntry { mean: estimate.mean, interval: estimate.low.zip(estimate.high).map(|(low, high)| [low, high]) }
}

fn mission(source: usize, form: &MissionsForm, scenario: &ScenarioForm) -> MissionEntry {
    let setup = &form.mission;
    let environment = match &setup.rate {
        Some(rate) => format!("{}: {rate}", setup.environment),
        None => setup.environment.clone(),
    };
    MissionEntry {
        source,
        environment,
        cluster_sizes: setup.cluster_sizes.clone(),
        style: scenario.style.clone(),
        plan: setup.plan.clone(),
        scrub: scenario.scrub.clone(),
        mission_s: setup.mission_s,
        replicas: setup.replicas,
        confidence: setup.confidence,
        events: setup.events,
        protected_bits: scenario.protected_bits,
        strikes: mean(&scenario.per_mission.strikes),
        wrong_share: mean(&scenario.per_mission.wrong_share),
        error_rise: mean(&scenario.per_mission.error_rise),
        first_wrong_s: mean(&scenario.first_wrong_output.restricted_mean_s),
        times_s: scenario.timeline.iter().map(|time| time.to_s).collect(),
        error_rise_by_time: scenario.timeline.iter().map(|time| mean(&time.error_rise)).collect(),
        wrong_share_by_time: scenario.timeline.iter().map(|time| mean(&time.wrong_share)).collect(),
    }
}
