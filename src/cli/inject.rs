//! `trivote inject`: fault-injection campaigns of many bits at once, sampled with a promise.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::checkpoint::{BitBar, Checkpoint};
use super::endings::Format;
use super::inputs::{DesignArgument, EventArguments, open, positive, prepare};
use super::oracle::{SiteArguments, totals_file};
use super::trials::TrialCampaign;
use super::{Global, wrong_usage};
use crate::campaign::{
    Allocation, Confidence, MeanMethod, Observation, ProportionMethod, SamplePlan, TrialInput, sample,
};
use crate::fault::{ClusterSizes, FaultModel, ModelError, Repeats, Trials};
use crate::report::files;
use crate::report::inject::InjectReport;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Bits of a trial: bits:K (K random ones), pairs (two of one register), cluster (neighboring cells, needs
    /// --cluster-sizes) or ber:P (each with probability P)
    #[arg(long, value_name = "MODEL", default_value = "bits:1", value_parser = model)]
    model: ModelName,
    /// Cells of a cluster with their weights, such as 1:0.9,2:0.07,3:0.03; cells are neighbors in address order
    #[arg(long, value_name = "LIST")]
    cluster_sizes: Option<ClusterSizes>,
    /// Number of trials; with a half-width, the most of them [default: all that bits:1 and pairs have; otherwise 1000,
    /// and 100000 with a half-width]
    #[arg(long, value_name = "N", value_parser = positive)]
    trials: Option<usize>,
    /// Seed of all draws
    #[arg(long, default_value = "1")]
    seed: u64,
    /// CSV file to write, a row per trial; estimates and provenance go beside it, to FILE.json
    #[arg(long, short, value_name = "FILE", value_parser = Format::Csv.parser())]
    output: Option<PathBuf>,
    /// Go on where an interrupted run of the same command stopped; it left FILE.checkpoint
    #[arg(long, requires = "output", help_heading = "Long work")]
    resume: bool,
    #[command(flatten)]
    promise: PromiseArguments,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
}

/// How well the sample is to answer.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Promise")]
struct PromiseArguments {
    /// Run trials until the interval of the mean error rise is H to each side, in units of the error
    #[arg(long, value_name = "H", value_parser = half_width, allow_negative_numbers = true)]
    half_width: Option<f64>,
    /// Run trials until the intervals of both proportions are H to each side, such as 0.02
    #[arg(long, value_name = "H", value_parser = half_width, allow_negative_numbers = true)]
    proportion_half_width: Option<f64>,
    /// Confidence of every interval by itself, such as 95% or 0.95
    #[arg(long, value_name = "C", default_value = "0.95")]
    confidence: Confidence,
    /// Interval of a proportion: wilson or exact (Clopper and Pearson)
    #[arg(long, value_name = "NAME", default_value = "wilson", value_parser = proportion_method)]
    interval: ProportionMethod,
    /// Interval of the mean: t or bootstrap
    #[arg(long, value_name = "NAME", default_value = "t", value_parser = mean_method)]
    mean_interval: MeanMethod,
    /// Trials over layers and bit positions, for bits:1 and pairs: neyman (where they tell most) or proportional
    #[arg(long, value_name = "NAME", default_value = "neyman", value_parser = allocation)]
    allocation: Allocation,
}

/// A fault model as named; clusters get their sizes from another option.
#[derive(Debug, Clone)]
enum ModelName {
    Ready(FaultModel),
    Cluster,
}

fn model(text: &str) -> Result<ModelName, ModelError> {
    match FaultModel::parse(text, None) {
        Ok(model) => Ok(ModelName::Ready(model)),
        Err(ModelError::NoSizes) => Ok(ModelName::Cluster),
        Err(error) => Err(error),
    }
}

fn half_width(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

/// The choice of that name.
fn named<T: Copy>(text: &str, choices: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    choices.iter().copied().find(|choice| name(*choice) == text).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|choice| name(*choice)).collect();
        format!("choose {}", names.join(" or "))
    })
}

fn proportion_method(text: &str) -> Result<ProportionMethod, String> {
    named(text, &[ProportionMethod::Wilson, ProportionMethod::ClopperPearson], ProportionMethod::name)
}

fn mean_method(text: &str) -> Result<MeanMethod, String> {
    named(text, &[MeanMethod::StudentT, MeanMethod::Bootstrap], MeanMethod::name)
}

fn allocation(text: &str) -> Result<Allocation, String> {
    named(text, &[Allocation::Neyman, Allocation::Proportional], Allocation::name)
}

impl Arguments {
    /// The fault model with all it needs.
    ///
    /// # Errors
    /// Wrong usage: clusters without sizes, or sizes without clusters.
    fn model(&self) -> Result<FaultModel, clap::Error> {
        match (&self.model, &self.cluster_sizes) {
            (ModelName::Cluster, Some(sizes)) => Ok(FaultModel::Cluster(sizes.clone())),
            (ModelName::Cluster, None) => Err(wrong_usage(
                "--model cluster needs --cluster-sizes, such as 1:0.9,2:0.07,3:0.03: how many cells at once, how often",
            )),
            (ModelName::Ready(model), None) => Ok(model.clone()),
            (ModelName::Ready(model), Some(_)) => {
                Err(wrong_usage(&format!("--cluster-sizes belongs to --model cluster, not to --model {model}")))
            }
        }
    }

    fn plan(&self) -> SamplePlan {
        SamplePlan {
            seed: self.seed,
            trials: self.trials,
            mean_half_width: self.promise.half_width,
            proportion_half_width: self.promise.proportion_half_width,
            confidence: self.promise.confidence,
            proportion_method: self.promise.interval,
            mean_method: self.promise.mean_interval,
            allocation: self.promise.allocation,
        }
    }

    /// The options that are this verb's own, in canonical form.
    fn canonical(&self, model: &FaultModel) -> Vec<String> {
        let sizes = match model {
            FaultModel::Cluster(sizes) => Some(sizes.to_string()),
            _ => None,
        };
        [
            ("--model", Some(model.to_string())),
            ("--cluster-sizes", sizes),
            ("--trials", self.trials.map(|trials| trials.to_string())),
            ("--seed", Some(self.seed.to_string())),
            ("--half-width", self.promise.half_width.map(|width| width.to_string())),
            ("--proportion-half-width", self.promise.proportion_half_width.map(|width| width.to_string())),
            ("--confidence", Some(self.promise.confidence.to_string())),
            ("--interval", Some(self.promise.interval.name().to_owned())),
            ("--mean-interval", Some(self.promise.mean_interval.name().to_owned())),
            ("--allocation", Some(self.promise.allocation.name().to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .flatten()
        .collect()
    }
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let model = arguments.model()?;
    let plan = arguments.plan();
    let opened = open(&arguments.design, global)?;
    let sites = arguments.sites.list(&opened, Repeats::Refuse)?;
    let trials = Trials::new(&model, &opened.inventory, &sites.bits)?;
    let prepared = prepare(&opened, &arguments.events)?;
    let estimates_file = arguments.output.as_deref().map(totals_file);
    let checkpoint = arguments.output.as_deref().map(Checkpoint::of);
    let own_files = opened.own_files();
    let written = arguments.output.as_deref().into_iter().chain(estimates_file.as_deref());
    for path in written.chain(checkpoint.as_ref().map(Checkpoint::path)) {
        let inputs = prepared.sources.iter().chain(&sites.source).map(|(name, _)| name.as_str());
        files::check_writable(path, inputs.chain(own_files.iter().map(String::as_str)))?;
    }
    let mut provenance = opened.provenance("inject", sites.options);
    provenance.command.extend(arguments.canonical(&model));
    prepared.record(&mut provenance);
    provenance.seeds.push(("trials".to_owned(), arguments.seed));
    provenance.inputs.extend(sites.source.map(|(name, hash)| (name, hash.to_string())));

    let mut campaign = TrialCampaign::new(TrialInput {
        network: &opened.design.accelerator,
        inventory: &opened.inventory,
        evaluator: &prepared.evaluator,
        events: &prepared.events,
    });
    if let Some(checkpoint) = checkpoint {
        campaign = campaign.keep(checkpoint, arguments.resume, provenance.command.clone(), global)?;
    }
    let events = prepared.events.len();
    let bar = BitBar::of_trials(plan.limit(&trials), events, global);
    let mut rise_sums = Vec::new();
    let sampled = sample(&trials, &plan, &mut |trials| -> anyhow::Result<_> {
        let outcomes = campaign.run(trials, &bar)?;
        rise_sums.extend(outcomes.iter().map(|outcome| outcome.rise_sum));
        Ok(outcomes.iter().map(|outcome| Observation::of(outcome, events)).collect())
    });
    bar.finish();
    let sampled = sampled?;
    let report = InjectReport {
        inventory: &opened.inventory,
        model: &model,
        plan: &plan,
        sample: &sampled,
        candidates: sites.bits.len(),
        events,
        golden_sum: campaign.golden_sum(),
        rise_sums: &rise_sums,
        metric: prepared.evaluator.metric().name(),
    };
    let json = report.json(&provenance);
    if let (Some(path), Some(estimates)) = (&arguments.output, &estimates_file) {
        files::write_file(estimates, json.as_bytes())?;
        files::write_file(path, report.csv().as_bytes())?;
    }
    campaign.finish();
    if global.json {
        return Ok(json);
    }
    let mut text = format!("{}: {}", opened.name(), report.tables());
    if let (Some(path), Some(estimates)) = (&arguments.output, &estimates_file) {
        writeln!(text, "\nwritten: {} (a row per trial), {} (estimates)", path.display(), estimates.display())?;
    }
    Ok(text)
}
