//! Which results are of one system, and whether they may stand side by side.

use super::{CompareError, NamedResult};
use crate::import::oracle::{SUM_TOLERANCE, short};
use crate::import::results::{DesignFacts, OracleResult, ResultContent, StoredResult, SweepForm};
use crate::report::{grouped, significant};

/// Results under one label, with their numbers among the sources.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub label: String,
    pub results: Vec<(usize, &'a StoredResult)>,
}

/// The results by label, in the order in which labels are first named; each result once.
///
/// Returns what was left out, too.
pub(super) fn groups(results: &[NamedResult]) -> Result<(Vec<Group<'_>>, Vec<String>), CompareError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut notes = Vec::new();
    let mut source = 0;
    for NamedResult { label, result } in results {
        let label = label.as_ref().unwrap_or(&result.provenance().design_name);
        if label.is_empty() || label.trim() != label || label.contains(char::is_control) {
            return Err(CompareError::Label { label: label.clone() });
        }
        let group = if let Some(known) = groups.iter_mut().find(|group| group.label == *label) {
            known
        } else {
            groups.push(Group { label: label.clone(), results: Vec::new() });
            groups.last_mut().expect("just pushed")
        };
        if let Some((_, same)) = group.results.iter().find(|(_, known)| known.digest == result.digest) {
            notes.push(if same.path == result.path {
                format!("{}: given twice, taken once", result.path)
            } else {
                format!("{}: left out, it is the same result as {}", result.path, same.path)
            });
            continue;
        }
        if let Some((_, first)) = group.results.first() {
            let [first_design, second_design] = [first, result].map(|result| result.provenance().design.clone());
            if first_design != second_design {
                return Err(CompareError::OtherDesign {
                    label: label.clone(),
                    first: first.path.clone(),
                    first_design,
                    second: result.path.clone(),
                    second_design,
                });
            }
        }
        group.results.push((source, result));
        source += 1;
    }
    groups.iter().try_for_each(Group::check)?;
    Ok((groups, notes))
}

/// What must be the same for all that is drawn together.
struct Drawn<'a> {
    path: &'a str,
    events: Option<&'a str>,
    event_count: usize,
    metric: &'a str,
    golden_mean: f64,
    bits: usize,
    sensitive: usize,
    rise: f64,
    /// Sum of magnitudes, where rises are known.
    magnitude: f64,
}

impl<'a> Drawn<'a> {
    fn of_sweep(path: &'a str, sweep: &'a SweepForm, oracle: Option<&OracleResult>) -> Self {
        Self {
            path,
            events: sweep.provenance.events.as_deref(),
            event_count: sweep.events,
            metric: &sweep.metric,
            golden_mean: sweep.golden_mean_error,
            bits: sweep.unprotected.candidate_bits,
            sensitive: sweep.unprotected.sensitive_bits,
            rise: sweep.unprotected.rise,
            magnitude: oracle.map_or(0.0, OracleResult::magnitude),
        }
    }

    fn of_oracle(oracle: &'a OracleResult) -> Self {
        let form = &oracle.form;
        Self {
            path: &oracle.path,
            events: form.provenance.events.as_deref(),
            event_count: form.events,
            metric: &form.metric,
            golden_mean: form.golden_mean_error,
            bits: form.total.bits,
            sensitive: form.total.sensitive,
            rise: form.total.rise,
            magnitude: oracle.magnitude(),
        }
    }

    /// How `other` differs: what this has, and what the other has.
    fn difference(&self, other: &Self) -> Option<[String; 2]> {
        let both = |say: &dyn Fn(&Self) -> String| Some([say(self), say(other)]);
        if self.metric != other.metric {
            return both(&|of| format!("the metric {}", of.metric));
        }
        if self.events != other.events || self.event_count != other.event_count {
            let events =
                |of: &Self| format!("{} events {}...", grouped(of.event_count), short(of.events.unwrap_or("unknown")));
            return both(&events);
        }
        if self.golden_mean != other.golden_mean {
            return both(&|of| format!("a fault-free mean error of {}", of.golden_mean));
        }
        let tolerance = SUM_TOLERANCE * self.magnitude.max(other.magnitude);
        let is_same_sum = (self.rise - other.rise).abs() <= tolerance;
        if (self.bits, self.sensitive) != (other.bits, other.sensitive) || !is_same_sum {
            let bits = |of: &Self| {
                let Self { bits, sensitive, rise, .. } = of;
                format!(
                    "{} bits, {} sensitive, summed rise {}",
                    grouped(*bits),
                    grouped(*sensitive),
                    significant(*rise)
                )
            };
            return both(&bits);
        }
        None
    }
}

/// How an accelerator is built, in words.
fn built(facts: &DesignFacts) -> String {
    let DesignFacts { io, clock_mhz, latency_cycles, interval_cycles, register_bits, .. } = facts;
    format!(
        "an accelerator with io {io} at {clock_mhz} MHz, {latency_cycles} cycles of latency, a frame every \
         {interval_cycles} and {} register bits",
        grouped(*register_bits)
    )
}

/// The prices of a sweep's technology, in words: the area of a bit where both sweeps have one style.
fn prices(sweep: &SweepForm, other: &SweepForm) -> String {
    let SweepForm { technology, area_unit, register_area, accelerator_area, protection, .. } = sweep;
    let bit = match sweep.area_per_bit.filter(|_| *protection == other.protection) {
        Some(area) => format!(", {area} for {protection} of a bit"),
        None => String::new(),
    };
    format!(
        "areas on {technology} of {register_area} for the registers, {accelerator_area} for the accelerator{bit}, in {area_unit}"
    )
}

impl<'a> Group<'a> {
    /// The design as built, where results say so, with the path of the first that does.
    pub fn facts(&self) -> impl Iterator<Item = (&'a str, &'a DesignFacts)> {
        self.results.iter().filter_map(|(_, result)| match &result.content {
            ResultContent::Sweep(sweep, _) => Some((result.path.as_str(), &sweep.design)),
            ResultContent::Missions(missions) => Some((result.path.as_str(), &missions.design)),
            _ => None,
        })
    }

    /// The sweeps.
    pub fn sweeps(&self) -> impl Iterator<Item = (usize, &'a StoredResult, &'a SweepForm)> {
        self.results.iter().filter_map(|(source, result)| match &result.content {
            ResultContent::Sweep(sweep, _) => Some((*source, *result, &**sweep)),
            _ => None,
        })
    }

    /// The first oracle, with the number of its source.
    pub fn oracle(&self) -> Option<(usize, &'a OracleResult)> {
        self.results.iter().find_map(|(source, result)| result.oracle().map(|oracle| (*source, oracle)))
    }

    fn apart(&self, [first, second]: [&str; 2], [first_has, second_has]: [String; 2]) -> CompareError {
        CompareError::Apart {
            label: self.label.clone(),
            first: first.to_owned(),
            first_has,
            second: second.to_owned(),
            second_has,
        }
    }

    /// Sweeps on one technology must have its areas from one table of cells.
    fn check_prices(&self) -> Result<(), CompareError> {
        let sweeps: Vec<_> = self.sweeps().collect();
        for (place, (_, second, other)) in sweeps.iter().enumerate() {
            for (_, first, sweep) in sweeps[..place].iter().filter(|(_, _, sweep)| sweep.technology == other.technology)
            {
                let has = [prices(sweep, other), prices(other, sweep)];
                if has[0] != has[1] {
                    return Err(self.apart([&first.path, &second.path], has));
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), CompareError> {
        self.check_prices()?;
        let drawn: Vec<Drawn> = self
            .results
            .iter()
            .filter_map(|(_, result)| match &result.content {
                ResultContent::Sweep(sweep, oracle) => Some(Drawn::of_sweep(&result.path, sweep, oracle.as_deref())),
                ResultContent::Oracle(oracle) => Some(Drawn::of_oracle(oracle)),
                _ => None,
            })
            .collect();
        for other in drawn.iter().skip(1) {
            if let Some(has) = drawn[0].difference(other) {
                return Err(self.apart([drawn[0].path, other.path], has));
            }
        }
        let mut facts = self.facts();
        if let Some((first, known)) = facts.next() {
            for (path, other) in facts {
                // A folder may be renamed.
                if (DesignFacts { name: known.name.clone(), ..other.clone() }) != *known {
                    return Err(self.apart([first, path], [built(known), built(other)]));
                }
            }
        }
        Ok(())
    }
}
