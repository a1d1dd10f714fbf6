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
use crate::import::oracle::SUM_TOLERANCE;
use crate::import::results::{
    ArrayRows, BitRow, EstimateForm, MissionsForm, OracleResult, PointForm, Provenance, ResultContent, ScenarioForm,
    ScoresResult, StoredResult, SweepForm,
};
use crate::num::cast;
use crate::protect::{Tradeoff, front};

/// Points of a curve at most.
const CURVE_POINTS: usize = 200;

/// Seed of the random order where no sweep has one: the one that scores and sweeps use unless told.
const RANDOM_SEED: u64 = 1;

/// Purpose under which a sweep tells that seed.
const RANDOM_PURPOSE: &str = "random ranking";

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
                provenance: result.provenance().clone(),
            };
            numbered.push((*number, source));
        }
        systems.push(system(group, &mut notes)?);
    }
    numbered.sort_by_key(|(number, _)| *number);
    let sources = numbered.into_iter().map(|(_, source)| source).collect();
    Ok((Comparison { systems, sources }, notes))
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
    let listed_in = |of: &Provenance| of.sites_file().map(str::to_owned);
    let bits = match (first_sweep, oracle) {
        (Some((_, _, sweep)), oracle) => Some(BitFacts {
            candidates: sweep.unprotected.candidate_bits,
            effective: oracle.map(|(_, oracle)| oracle.form.total.effective),
            sensitive: sweep.unprotected.sensitive_bits,
            rise: sweep.unprotected.rise,
            listed_in: listed_in(&sweep.provenance),
        }),
        (None, Some((_, OracleResult { form, .. }))) => Some(BitFacts {
            candidates: form.total.bits,
            effective: Some(form.total.effective),
            sensitive: form.total.sensitive,
            rise: form.total.rise,
            listed_in: listed_in(&form.provenance),
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
        curves(group, oracle, &scores)?
    } else {
        let unused = scores.iter().map(|(_, scores)| {
            format!("{}: not drawn, as `{}` has no oracle to compare scores with", scores.path, group.label)
        });
        notes.extend(unused);
        Vec::new()
    };
    Ok(System {
        label: group.label.clone(),
        fingerprint: group.results.first().map_or_else(String::new, |(_, result)| result.provenance().design.clone()),
        facts: group.facts().next().map(|(_, facts)| facts.clone()),
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
    let mut offers: HashMap<&str, Vec<Tradeoff>> = HashMap::new();
    for (_, _, sweep) in group.sweeps() {
        let offers = offers.entry(&sweep.technology).or_default();
        offers.extend(sweep.points.iter().map(offer));
        offers.push(Tradeoff { area: 0.0, risk: sweep.unprotected.rise });
    }
    let mut fronts: HashMap<&str, std::vec::IntoIter<bool>> =
        offers.into_iter().map(|(technology, offers)| (technology, front(&offers).into_iter())).collect();
    let mut entries = Vec::new();
    for (source, result, sweep) in group.sweeps() {
        let front = fronts.get_mut(sweep.technology.as_str()).expect("every technology has a front");
        let points = sweep.points.iter().zip(front.by_ref());
        let points = points.map(|(point, is_on_front)| SweepRow { point: point.clone(), is_on_front }).collect();
        // That of no protection.
        front.next();
        entries.push(SweepEntry {
            source,
            protection: sweep.protection.clone(),
            technology: sweep.technology.clone(),
            unit: unit(&result.path, sweep)?,
            points,
            targets: sweep.targets.clone(),
        });
    }
    Ok(entries)
}

fn offer(point: &PointForm) -> Tradeoff {
    Tradeoff { area: point.area_added, risk: point.rise_remaining }
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

/// A ranking whose curve is drawn.
struct Drawn {
    /// Number of the source of its scores.
    source: usize,
    /// What sweeps call it.
    line: String,
    /// What else it may be called, where that is taken.
    detail: String,
    ranking: BitRanking,
}

/// Seeds of the random order, by sweep that has it.
fn random_seeds(group: &Group<'_>) -> Vec<u64> {
    let seed = |(_, _, sweep): (usize, &StoredResult, &SweepForm)| {
        let seeds = &sweep.provenance.seeds;
        let has_line = sweep.points.iter().any(|point| point.ranking == "random");
        seeds.iter().find(|(purpose, _)| has_line && purpose == RANDOM_PURPOSE).map(|(_, seed)| *seed)
    };
    group.sweeps().filter_map(seed).collect()
}

/// The rankings of the oracle, of all scores, and of the orders that need none.
fn rankings(
    group: &Group<'_>,
    (source, oracle): (usize, &OracleResult),
    scores: &[(usize, &ScoresResult)],
) -> Result<Vec<Drawn>, CompareError> {
    let bits = &oracle.bits.bits;
    let drawn = |source, line: &str, detail: String, ranking| Drawn { source, line: line.to_owned(), detail, ranking };
    let file = oracle.path.clone();
    let mut rankings = vec![drawn(source, "oracle", file.clone(), BitRanking::by_score("oracle", &oracle.rises))];
    for (source, scores) in scores {
        let places = places(oracle, scores)?;
        for (name, values) in scores.form.scores.iter().zip(&scores.values) {
            let values: Vec<f64> = places.iter().map(|place| values[*place]).collect();
            rankings.push(drawn(*source, name, scores.path.clone(), BitRanking::by_score(name, &values)));
        }
    }
    let is_there = |name: &str| rankings.iter().any(|drawn| drawn.line == name);
    let (has_msb, has_random) = (is_there("msb"), is_there("random"));
    if !has_msb {
        let columns: Vec<f64> = bits.iter().map(|bit| -f64::from(bit.bit)).collect();
        rankings.push(drawn(source, "msb", file, BitRanking::by_score("msb", &columns)));
    }
    if !has_random {
        let seed = random_seeds(group).first().copied().unwrap_or(RANDOM_SEED);
        rankings.push(drawn(source, "random", format!("seed {seed}"), BitRanking::random(bits.len(), seed)));
    }
    Ok(rankings)
}

/// The sweeps that have a line of this name, and whether it is this ranking: whether at every budget its first bits have the
/// share removed.
fn lines(group: &Group<'_>, oracle: &OracleResult, drawn: &Drawn) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    for (source, _, sweep) in group.sweeps() {
        let mut points: Vec<&PointForm> = sweep.points.iter().filter(|point| point.ranking == drawn.line).collect();
        if points.is_empty() {
            continue;
        }
        points.sort_by_key(|point| point.bits_protected);
        let counts: Vec<usize> = points.iter().map(|point| point.bits_protected).collect();
        let is_within = counts.last().is_some_and(|last| *last <= oracle.rises.len());
        let shares = is_within.then(|| cumulative_shares(&oracle.rises, &drawn.ranking, &counts)).flatten();
        let tolerance = SUM_TOLERANCE * oracle.magnitude() / sweep.unprotected.rise.abs();
        let is_same = |(point, share): (&&PointForm, &f64)| {
            point.share_removed.is_some_and(|removed| (removed - share).abs() <= tolerance)
        };
        found.push((source, shares.is_some_and(|shares| points.iter().zip(&shares).all(is_same))));
    }
    found
}

/// Curves of the oracle, of all scores, and of the orders that need none; best first.
fn curves(
    group: &Group<'_>,
    (source, oracle): (usize, &OracleResult),
    scores: &[(usize, &ScoresResult)],
) -> Result<Vec<Curve>, CompareError> {
    let bits = &oracle.bits.bits;
    let refused = |_| CompareError::Rises { path: oracle.path.clone() };
    let truth = Truth::new(&oracle.rises).map_err(refused)?;
    let counts = telling_counts(bits.len(), CURVE_POINTS);
    let all = cast::f64_from_count(bits.len());
    let plan = QualityPlan { recalls: &[], protected: &[] };
    let mut curves: Vec<Curve> = Vec::new();
    for drawn in rankings(group, (source, oracle), scores)? {
        let Some(rise) = cumulative_shares(&oracle.rises, &drawn.ranking, &counts) else { continue };
        let lines = lines(group, oracle, &drawn);
        curves.push(Curve {
            ranking: unused_name(&curves, &drawn, lines.iter().all(|(_, is_same)| *is_same)),
            source: drawn.source,
            lines: lines
                .iter()
                .filter(|(_, is_same)| *is_same)
                .map(|(sweep, _)| (*sweep, drawn.line.clone()))
                .collect(),
            area: truth.quality(&drawn.ranking, &plan).map_err(refused)?.area,
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

/// A name that no curve has yet: that of its line, or with seed or file where another curve or line has that name.
fn unused_name(curves: &[Curve], drawn: &Drawn, is_its_own: bool) -> String {
    let Drawn { line, detail, .. } = drawn;
    let is_free = |name: &String| curves.iter().all(|curve| curve.ranking != *name);
    let mut candidates = [line.clone(), format!("{line} ({detail})")].into_iter().skip(usize::from(!is_its_own));
    candidates.find(is_free).unwrap_or_else(|| format!("{line} ({detail}, {})", curves.len()))
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
        metric: setup.metric.clone(),
        events: setup.events,
        protected_bits: scenario.protected_bits,
        strikes: mean(&scenario.per_mission.strikes),
        wrong_share: mean(&scenario.per_mission.wrong_share),
        error_rise: mean(&scenario.per_mission.error_rise),
        first_wrong_s: mean(&scenario.first_wrong_output.restricted_mean_s),
        first_wrong_at_least_s: scenario.first_wrong_output.at_least_s,
        times_s: scenario.timeline.iter().map(|time| time.to_s).collect(),
        error_rise_by_time: scenario.timeline.iter().map(|time| mean(&time.error_rise)).collect(),
        wrong_share_by_time: scenario.timeline.iter().map(|time| mean(&time.wrong_share)).collect(),
    }
}
