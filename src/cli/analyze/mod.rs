//! `trivote analyze`: derivatives and their spectrum, scores per bit, how good rankings are, figures, guided campaigns.

mod quality;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::Global;
use super::checkpoint::Checkpoint;
use super::endings::Format;
use super::flips::{Flips, checkpoint_of};
use super::guided::GuidedArguments;
use super::inputs::{DesignArgument, EventArguments, Opened, Prepared, open, prepare};
use super::oracle::{SiteArguments, Sites, totals_file};
use super::rankings::{self, RankingName, ScoreFile};
use super::scores::{Measured, Needs, ScoreArguments};
use crate::analysis::{BitRanking, BitSample, Score, bit_strata, hutchinson, stochastic_diagonal};
use crate::campaign::GuidedOrder;
use crate::fault::Repeats;
use crate::hw::BitId;
use crate::import::oracle::totals_files;
use crate::report::analysis::{AnalysisReport, trace_groups};
use crate::report::figures::{BitSet, check_folder, is_figure_file};
use crate::report::files::{self, ResultFolder};
use crate::report::guided::GuidedReport;
use crate::report::scores::ScoreTable;
use crate::report::{Provenance, SiteTable, grouped};
use quality::{KnownRises, Quality};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Arrays to write (.npz): params, register_values, gradient, eigenvalues, eigenvectors, trace_per_tensor and, with --diagonal,
    /// hessian_diagonal; a summary goes beside it, to FILE.json
    #[arg(long, short, value_name = "FILE", value_parser = Format::Npz.parser())]
    output: Option<PathBuf>,
    /// The exact diagonal of the Hessian too, and exact traces
    #[arg(long)]
    diagonal: bool,
    /// An estimate of the diagonal too, with its standard error, from the random probes
    #[arg(long)]
    diagonal_estimate: bool,
    /// Random probes for traces
    #[arg(long, value_name = "N", default_value = "32", value_parser = probes)]
    probes: usize,
    /// Seed of probes, start vectors, random scores and samples
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Scores per bit to write, a column per score: CSV (.csv), or Parquet if it ends in .parquet; provenance goes to FILE.json
    #[arg(long, value_name = "FILE", value_parser = Format::Rows.parser(), help_heading = "Scores")]
    scores: Option<PathBuf>,
    /// Scores and other rankings to look at: random, msb, gradient, hessian, fkeras-hessian, taylor, bit-taylor1,
    /// bit-taylor2, bit-gauss-newton, bit-curve, or FILE or FILE:COLUMN as in `trivote sweep` [default: all scores]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = rankings::parse, help_heading = "Scores")]
    rankings: Option<Vec<RankingName>>,
    /// Compare the rankings with this oracle: a file of `trivote oracle -o`, or `run` to flip all bits now
    #[arg(long, value_name = "FILE", help_heading = "Quality of rankings")]
    oracle: Option<PathBuf>,
    /// Compare the rankings by flipping N bits drawn at random, with intervals
    #[arg(long, value_name = "N", conflicts_with = "oracle", help_heading = "Quality of rankings")]
    sample: Option<usize>,
    /// Parts of the bits to protect at which the share of the rise that is gone is told [default: 5%,10%,20%]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = quality::part,
          help_heading = "Quality of rankings")]
    protect: Option<Vec<f64>>,
    /// Figures of the comparison to write, as CSV; the same as JSON goes beside it, to FILE.json
    #[arg(long, value_name = "FILE", value_parser = Format::Csv.parser(), help_heading = "Quality of rankings")]
    quality: Option<PathBuf>,
    /// Folder of figures to write, as CSV, SVG and PNG: error map, cumulative curves, sensitive bits by position, share of
    /// sensitive bits; figures of other designs in it stay
    #[arg(long, value_name = "DIR", value_parser = Format::Folder.parser(), help_heading = "Quality of rankings")]
    figures: Option<PathBuf>,
    /// Flip bits in the order of this ranking until little can be missing; alone, it leaves the derivatives out
    #[arg(long, value_name = "RANKING", value_parser = rankings::parse, help_heading = "Guided campaign")]
    guided: Option<RankingName>,
    /// The bits that a guided campaign flipped, as CSV; what is known goes beside it, to FILE.json
    #[arg(long, value_name = "FILE", value_parser = Format::Csv.parser(), requires = "guided",
          help_heading = "Guided campaign")]
    flips: Option<PathBuf>,
    /// Go on where an interrupted run of the same command stopped; the flips it did are in its checkpoint
    #[arg(long, help_heading = "Long work")]
    resume: bool,
    /// Where flips are kept until all is written [default: FILE.checkpoint of the first that is given of --flips, --quality,
    /// --scores, --output and --figures]
    #[arg(long, value_name = "FILE", help_heading = "Long work")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    guide: GuidedArguments,
    #[command(flatten)]
    measure: ScoreArguments,
    #[command(flatten)]
    events: EventArguments,
    #[command(flatten)]
    sites: SiteArguments,
}

/// Parts of the bits protected unless told.
const PROTECTED: [f64; 3] = [0.05, 0.1, 0.2];

/// Rankings that a figure has colors for, beside the oracle.
const MOST_CURVES: usize = 11;

/// A number of probes that has a standard error.
fn probes(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|probes| *probes >= 2).ok_or_else(|| "a whole number from 2 is needed".to_owned())
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let opened = open(&arguments.design, global)?;
    let sites = arguments.sites.list(&opened, Repeats::Refuse)?;
    let prepared = prepare(&opened, &arguments.events)?;
    let asked = arguments.asked()?;
    let mut sources: Vec<(String, String)> = Vec::new();
    let known = KnownRises::read(arguments, &opened, &prepared, &sites, &mut sources)?;
    let checkpoint = arguments.checkpoint()?;
    arguments.check_outputs((&opened, &prepared), &sites, &asked, checkpoint.as_ref())?;
    let sample = arguments.draw_sample(&opened, &sites)?;
    let folder = arguments.figures.as_deref().map(|path| ResultFolder::new(path, is_figure_file)).transpose()?;
    folder.as_ref().map(check_folder).transpose()?;

    let scores: Vec<Score> = asked.iter().filter_map(RankingName::score).collect();
    let mut needs = Needs::of(&scores);
    if arguments.derives() {
        (needs.derivatives, needs.eigenpairs) = (true, true);
        needs.diagonals |= arguments.diagonal;
    }
    let mut provenance = opened.provenance("analyze", sites.options.clone());
    provenance.command.extend(arguments.canonical(&asked));
    provenance.command.extend(arguments.measure.canonical(needs, &opened, prepared.evaluator.metric()));
    prepared.record(&mut provenance);
    let mut flips = Flips::new(&opened, &prepared, global);
    if let Some(checkpoint) = checkpoint {
        flips = flips.keep(checkpoint, arguments.resume, provenance.command.clone())?;
    }
    let measured = arguments.measure.measure(needs, (&opened, &prepared), &sites.bits, arguments.seed, global)?;
    measured.warn(&scores, global);
    let named = arguments.named_scores(&asked, &measured, (&opened, &sites), &mut sources)?;
    let rankings: Vec<BitRanking> = named.iter().map(|(name, values)| BitRanking::by_score(name, values)).collect();
    provenance.seeds.push(("analysis".to_owned(), arguments.seed));
    provenance.inputs.extend(sites.source.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
    provenance.inputs.extend(sources);

    let table = SiteTable::new(&opened.design.accelerator, &opened.inventory, &sites.bits);
    let mut shown = Shown::default();
    if arguments.derives() {
        arguments.derivatives((&opened, &prepared), &measured, &provenance, &mut shown)?;
    }
    // What is known of every event is not needed any more.
    drop(measured);
    if arguments.compares() {
        let losses = if needs.derivatives {
            format!("; derivatives are of the mean {} loss", arguments.measure.loss(prepared.evaluator.metric()))
        } else {
            String::new()
        };
        let (bits, events) = (grouped(sites.bits.len()), grouped(prepared.events.len()));
        let count = asked_for(arguments, &named);
        let rankings = if count == 1 { "ranking" } else { "rankings" };
        shown.line(&format!("{count} {rankings} of {bits} bits on {events} events{losses}"));
    }
    if let Some(path) = &arguments.scores {
        let own: Vec<(String, Vec<f64>)> = named[..asked_for(arguments, &named)].to_vec();
        let scores = ScoreTable::new(&table, &own)?;
        let rows = scores.to_bytes(path, &provenance)?;
        files::write_file(&totals_file(path), scores.json(&provenance).as_bytes())?;
        files::write_file(path, &rows)?;
        shown.json.insert("scores".to_owned(), serde_json::from_str(&scores.json(&provenance))?);
        shown.written(path, "a row per bit, a column per score");
    }
    let compared = &rankings[..asked_for(arguments, &named)];
    let truth = quality::Source { known, sample };
    let quality = Quality::find(arguments, &mut flips, &sites.bits, truth, compared)?;
    if let Some(quality) = &quality {
        quality.show(arguments, &provenance, &mut shown)?;
        if let Some(folder) = folder {
            let bit_set = BitSet::of(&opened.inventory, &sites.bits);
            quality.draw(folder, &opened, (&table, bit_set), compared, &mut shown)?;
        }
    }
    if arguments.guided.is_some() {
        let order = (&rankings[rankings.len() - 1], named[named.len() - 1].1.as_slice());
        arguments.guide_flips(&mut flips, (&sites.bits, &table), order, &provenance, &mut shown)?;
    }
    flips.finish();
    if global.json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&json!(shown.json))?));
    }
    Ok(format!("{}: {}", opened.name(), shown.text))
}

/// How many of the rankings are looked at; the order of a guided campaign, if there is one, stands behind them.
fn asked_for(arguments: &Arguments, named: &[(String, Vec<f64>)]) -> usize {
    named.len() - usize::from(arguments.guided.is_some())
}

/// What is told, for people and for machines.
#[derive(Debug, Default)]
struct Shown {
    text: String,
    json: serde_json::Map<String, serde_json::Value>,
}

impl Shown {
    fn part(&mut self, name: &str, table: &str, json: &str) -> anyhow::Result<()> {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(table);
        self.json.insert(name.to_owned(), serde_json::from_str(json)?);
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        writeln!(self.text, "{line}").expect("a string takes any text");
    }

    fn figures(&mut self, folder: &str, names: &[String], bit_set: BitSet) {
        let names = names.join(", ");
        writeln!(self.text, "\nwritten: {folder} ({names}; each as .csv, .svg and .png)")
            .expect("a string takes any text");
        if bit_set == BitSet::Listed {
            self.text.push_str("no sensitive_share: these are neither all kernel bits nor all bits of the design\n");
        }
    }

    fn written(&mut self, path: &Path, what: &str) {
        writeln!(self.text, "\nwritten: {} ({what}), {}", path.display(), totals_file(path).display())
            .expect("a string takes any text");
    }
}

impl Arguments {
    /// Parts of the bits that are protected to see what that removes.
    fn protected_parts(&self) -> &[f64] {
        self.protect.as_deref().unwrap_or(&PROTECTED)
    }

    /// Whether rankings are looked at.
    fn compares(&self) -> bool {
        self.scores.is_some() || self.oracle.is_some() || self.sample.is_some() || self.figures.is_some()
    }

    /// Whether derivatives are asked for by themselves: they are what is told when nothing else is.
    fn derives(&self) -> bool {
        let by_name = self.output.is_some() || self.diagonal || self.diagonal_estimate;
        by_name || !(self.compares() || self.guided.is_some())
    }

    /// Whether bits are flipped.
    fn flips_bits(&self) -> bool {
        let compares = match &self.oracle {
            Some(oracle) => quality::runs_now(oracle),
            None => self.sample.is_some() || self.figures.is_some(),
        };
        compares || self.guided.is_some()
    }

    /// Where flips are kept, if any are made and there is a place for them.
    fn checkpoint(&self) -> anyhow::Result<Option<Checkpoint>> {
        if !self.flips_bits() {
            if self.resume || self.checkpoint.is_some() {
                bail!(
                    "--resume and --checkpoint are of flips; ask for some: --oracle run, --sample N or --guided RANKING"
                );
            }
            return Ok(None);
        }
        let outputs = [&self.flips, &self.quality, &self.scores, &self.output, &self.figures];
        let checkpoint = checkpoint_of(self.checkpoint.as_deref(), outputs.into_iter().flatten().map(PathBuf::as_path));
        if self.resume && checkpoint.is_none() {
            bail!(
                "--resume goes on from the checkpoint of an output, and there is none; name an output or --checkpoint FILE"
            );
        }
        Ok(checkpoint)
    }

    /// Draws the bits of a sampled comparison, where one is asked for.
    fn draw_sample(&self, opened: &Opened, sites: &Sites) -> anyhow::Result<Option<BitSample>> {
        let strata = || bit_strata(&opened.inventory, &sites.bits);
        Ok(self.sample.map(|count| BitSample::draw(&strata(), count, self.seed)).transpose()?)
    }

    /// The rankings to be looked at, then that of a guided campaign.
    fn asked(&self) -> anyhow::Result<Vec<RankingName>> {
        let all = || Score::ALL.map(RankingName::Score).to_vec();
        let mut asked = if self.compares() { self.rankings.clone().unwrap_or_else(all) } else { Vec::new() };
        if self.rankings.is_some() && !self.compares() {
            bail!(
                "--rankings says what to look at; say how, too: --scores FILE, --oracle FILE, --sample N or --figures DIR"
            );
        }
        if self.quality.is_some() && self.oracle.is_none() && self.sample.is_none() && self.figures.is_none() {
            bail!("--quality writes a comparison; say with what: --oracle FILE, --oracle run or --sample N");
        }
        self.refuse_what_would_be_ignored()?;
        if self.figures.is_some() && asked.len() > MOST_CURVES {
            bail!("--figures draws {MOST_CURVES} rankings at most, and the oracle; {} are asked for", asked.len());
        }
        if self.figures.is_some() && self.sample.is_some() {
            bail!("--figures shows every bit, so a sample is not enough; leave --sample out, or use --oracle");
        }
        let mut labels = std::collections::HashSet::new();
        if let Some(twice) = rankings::labels(&asked).into_iter().find(|label| !labels.insert(label.clone())) {
            bail!("two rankings are called `{twice}`; leave one out, or rename a file");
        }
        if self.scores.is_some() && asked.iter().any(|name| matches!(name, RankingName::Oracle)) {
            bail!("--scores writes scores, and the oracle is none; `trivote oracle -o FILE` writes its rises");
        }
        if asked.iter().chain(&self.guided).any(|name| matches!(name, RankingName::Oracle)) {
            bail!("the oracle is what rankings are compared with; name scores or files");
        }
        if let Some(planned) = asked.iter().chain(&self.guided).find(|name| matches!(name, RankingName::Planned(_))) {
            bail!("`{}` is no order of bits but a plan for each budget; see `trivote sweep`", planned.text());
        }
        asked.extend(self.guided.clone());
        Ok(asked)
    }

    /// Refuses options that would change nothing.
    fn refuse_what_would_be_ignored(&self) -> anyhow::Result<()> {
        let measures = self.oracle.is_some() || self.sample.is_some() || self.figures.is_some();
        if self.guide.missing.is_some() && self.guided.is_none() {
            bail!("--missing is the promise of a guided campaign; say which order guides it by --guided RANKING");
        }
        if self.guide.confidence.is_some() && self.guided.is_none() && self.sample.is_none() {
            bail!("--confidence is that of --guided or --sample; ask for one of them");
        }
        if self.protect.is_some() && !measures {
            bail!("--protect is part of a comparison; say with what: --oracle FILE, --oracle run or --sample N");
        }
        if self.sites.is_chosen() && !self.compares() && self.guided.is_none() {
            bail!(
                "derivatives are of all registers; --sites and --include-bias choose the bits of --scores, --oracle, --sample, --figures or --guided"
            );
        }
        Ok(())
    }

    /// Checks, before the long work, that what is to be written can be.
    fn check_outputs(
        &self,
        (opened, prepared): (&Opened, &Prepared),
        sites: &Sites,
        asked: &[RankingName],
        checkpoint: Option<&Checkpoint>,
    ) -> anyhow::Result<()> {
        let mut own_files = opened.own_files();
        let rankings = asked.iter().filter_map(RankingName::file).map(ScoreFile::path);
        for path in rankings.chain(self.oracle.as_deref()) {
            own_files.extend(totals_files(path).iter().map(|beside| beside.display().to_string()));
            own_files.push(path.display().to_string());
        }
        let outputs = [&self.output, &self.scores, &self.quality, &self.flips];
        let outputs = outputs.into_iter().flatten().flat_map(|path| [path.clone(), totals_file(path)]);
        // The folder of figures may be in one that is yet to be made, and so is the checkpoint beside it.
        let beside_figures =
            |path: &&Path| self.figures.as_deref().is_none_or(|figures| path != &Checkpoint::of(figures).path());
        let checkpoint = checkpoint.map(Checkpoint::path).filter(beside_figures);
        let mut taken = std::collections::HashSet::new();
        for path in outputs.chain(checkpoint.map(Path::to_owned)) {
            let inputs = prepared.sources.iter().chain(&sites.source).map(|(name, _)| name.as_str());
            files::check_writable(&path, inputs.chain(own_files.iter().map(String::as_str)))?;
            if !taken.insert(path.clone()) {
                bail!("{}: would be written twice; give every output a name of its own", path.display());
            }
        }
        Ok(())
    }

    /// The options that are this verb's own and matter, in canonical form.
    fn canonical(&self, asked: &[RankingName]) -> Vec<String> {
        let mut options =
            vec!["--seed".to_owned(), self.seed.to_string(), "--probes".to_owned(), self.probes.to_string()];
        options.extend(self.diagonal.then(|| "--diagonal".to_owned()));
        options.extend(self.diagonal_estimate.then(|| "--diagonal-estimate".to_owned()));
        if self.compares() {
            let names = &asked[..asked.len() - usize::from(self.guided.is_some())];
            let names: Vec<&str> = names.iter().map(RankingName::text).collect();
            options.extend(["--rankings".to_owned(), names.join(",")]);
        }
        if let Some(oracle) = &self.oracle {
            options.extend(["--oracle".to_owned(), oracle.display().to_string()]);
        }
        if let Some(sample) = self.sample {
            options.extend(["--sample".to_owned(), sample.to_string()]);
        }
        if self.sample.is_some() && self.guided.is_none() {
            options.extend(["--confidence".to_owned(), self.guide.confidence().to_string()]);
        }
        if self.oracle.is_some() || self.sample.is_some() || self.figures.is_some() {
            let parts: Vec<String> = self.protected_parts().iter().map(ToString::to_string).collect();
            options.extend(["--protect".to_owned(), parts.join(",")]);
        }
        if let Some(name) = &self.guided {
            options.extend(["--guided".to_owned(), name.text().to_owned()]);
            options.extend(self.guide.canonical());
        }
        options
    }

    /// Every ranking asked for with its scores.
    fn named_scores(
        &self,
        asked: &[RankingName],
        measured: &Measured<'_>,
        (opened, sites): (&Opened, &Sites),
        sources: &mut Vec<(String, String)>,
    ) -> anyhow::Result<Vec<(String, Vec<f64>)>> {
        let mut named = Vec::new();
        for (name, label) in asked.iter().zip(rankings::labels(asked)) {
            named.push(match name {
                RankingName::Oracle | RankingName::Planned(_) => unreachable!("refused before"),
                RankingName::Score(score) => measured.values(&[*score], opened, &sites.bits, self.seed).swap_remove(0),
                RankingName::File(file) => {
                    let (values, (source, hash)) = file.read(opened, &sites.bits)?;
                    let source = (source, hash.to_string());
                    if !sources.contains(&source) {
                        sources.push(source);
                    }
                    (label, values)
                }
            });
        }
        Ok(named)
    }

    /// Flips bits in the order of the last ranking, which has these scores, and tells of it.
    fn guide_flips(
        &self,
        flips: &mut Flips<'_>,
        (sites, table): (&[BitId], &SiteTable),
        (ranking, scores): (&BitRanking, &[f64]),
        provenance: &Provenance,
        shown: &mut Shown,
    ) -> anyhow::Result<()> {
        let Some(name) = &self.guided else { return Ok(()) };
        let plan = self.guide.plan(self.seed);
        let estimates = name.score().filter(|score| score.estimates_rise()).map(|_| scores);
        let order = GuidedOrder { order: ranking.order(), estimates };
        let run = flips.guided(sites, &order, &plan)?;
        let prepared = flips.prepared();
        let report = GuidedReport {
            run: &run,
            plan: &plan,
            ranking: &name.name(),
            sites: table,
            metric: prepared.evaluator.metric().name(),
            events: prepared.events.len(),
        };
        let json = report.json(provenance);
        if let Some(path) = &self.flips {
            files::write_file(&totals_file(path), json.as_bytes())?;
            files::write_file(path, report.csv().as_bytes())?;
        }
        shown.part("guided", &report.table(), &json)?;
        if let Some(path) = &self.flips {
            shown.written(path, "a row per bit flipped");
        }
        Ok(())
    }

    /// Tells of the derivatives, and writes them where asked.
    fn derivatives(
        &self,
        (opened, prepared): (&Opened, &Prepared),
        measured: &Measured<'_>,
        provenance: &Provenance,
        shown: &mut Shown,
    ) -> anyhow::Result<()> {
        let derivatives = measured.derivatives.as_ref().expect("measured where they are told");
        let groups: Vec<_> = trace_groups(&opened.inventory).into_iter().map(|(_, range)| range).collect();
        let traces = hutchinson(derivatives, &groups, self.probes, self.seed)?;
        let estimate =
            self.diagonal_estimate.then(|| stochastic_diagonal(derivatives, self.probes, self.seed)).transpose()?;
        let report = AnalysisReport {
            inventory: &opened.inventory,
            loss: self.measure.loss(prepared.evaluator.metric()),
            events: prepared.events.len(),
            mean_loss: derivatives.loss(),
            trained: &opened.design.trained,
            register_values: derivatives.register_values(),
            gradient: derivatives.gradient(),
            eigenpairs: measured.eigenpairs.as_ref().expect("measured where they are told"),
            traces: &traces,
            probes: self.probes,
            diagonals: measured.diagonals.as_ref().filter(|_| self.diagonal),
            diagonal_estimate: estimate.as_deref(),
        };
        let json = report.json(provenance);
        shown.part("derivatives", &report.tables(), &json)?;
        if let Some(path) = &self.output {
            let arrays = report.npz(provenance)?;
            files::write_file(&totals_file(path), json.as_bytes())?;
            files::write_file(path, &arrays)?;
            shown.written(path, "arrays");
        }
        Ok(())
    }
}
