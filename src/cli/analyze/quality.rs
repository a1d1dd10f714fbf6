//! Rankings against an oracle, or against a sample of it: figures, tables, pictures.

use std::path::Path;

use super::{Arguments, Shown};
use crate::analysis::{
    BitRanking, BitSample, QualityPlan, RECALL_SHARES, RankingQuality, SampledPlan, SampledQuality, Truth,
    sampled_quality,
};
use crate::cli::flips::Flips;
use crate::cli::inputs::{Opened, Prepared};
use crate::cli::known_oracle;
use crate::cli::oracle::{Sites, totals_file};
use crate::hw::BitId;
use crate::num::parse_share;
use crate::report::figures::{BitSet, FigureInput, RankedCurve, write_figures};
use crate::report::files::{self, ResultFolder};
use crate::report::quality::{QualityReport, SampledQualityReport, numbers_of_bits};
use crate::report::{Provenance, SiteTable};

/// Instead of a file: flip all bits now.
const RUN: &str = "run";

/// Whether all bits are to be flipped now, `oracle` being the oracle asked for.
pub fn runs_now(oracle: &Path) -> bool {
    oracle == Path::new(RUN)
}

/// Reads a part of all bits: `5%` or `0.05`.
///
/// # Errors
/// When it is no part.
pub fn part(text: &str) -> Result<f64, String> {
    let part = parse_share(text).filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "is no part of all bits, such as 5%".to_owned())
}

/// Error rises of all bits looked at.
#[derive(Debug)]
pub struct KnownRises {
    rises: Vec<f64>,
    golden_mean: f64,
}

impl KnownRises {
    /// The oracle read from a file, where one is named.
    ///
    /// # Errors
    /// When it cannot be read, or is of another design, other events or other bits.
    pub fn read(
        arguments: &Arguments,
        opened: &Opened,
        prepared: &Prepared,
        sites: &Sites,
        sources: &mut Vec<(String, String)>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = arguments.oracle.as_deref().filter(|path| !runs_now(path)) else { return Ok(None) };
        let known = known_oracle::read(path, opened)?;
        known.check_events(opened, prepared)?;
        let rises = known.rises_of(&sites.bits, opened)?;
        sources.extend(known.sources.iter().map(|(name, hash)| (name.clone(), hash.to_string())));
        Ok(Some(Self { rises, golden_mean: known.file.golden_mean }))
    }
}

/// Where the true rises come from, as far as that is known before the long work.
pub struct Source {
    /// An oracle read from a file.
    pub known: Option<KnownRises>,
    /// The bits to be flipped, where a sample is asked for.
    pub sample: Option<BitSample>,
}

/// How good rankings are.
pub enum Quality<'a> {
    /// All rises are known.
    Exact { prepared: &'a Prepared, truth: KnownRises, qualities: Vec<RankingQuality> },
    /// Those of a sample are.
    Sampled { prepared: &'a Prepared, golden_mean: f64, qualities: Vec<SampledQuality> },
}

impl<'a> Quality<'a> {
    /// Compares `rankings` as asked: with `truth`, with an oracle run now, or with a sample.
    ///
    /// # Errors
    /// When an error is not finite, the sample is too small, or the work is interrupted.
    pub fn find(
        arguments: &Arguments,
        flips: &mut Flips<'a>,
        sites: &[BitId],
        source: Source,
        rankings: &[BitRanking],
    ) -> anyhow::Result<Option<Self>> {
        let prepared = flips.prepared();
        let protected = numbers_of_bits(sites.len(), arguments.protected_parts());
        let plan = QualityPlan { recalls: &RECALL_SHARES, protected: &protected };
        if let Some(sample) = source.sample {
            let drawn: Vec<BitId> = sample.positions().into_iter().map(|position| sites[position]).collect();
            let oracle = flips.oracle(&drawn)?;
            let plan = SampledPlan { figures: plan, confidence: arguments.guide.confidence(), seed: arguments.seed };
            let rises = oracle.error_rises();
            let qualities = rankings.iter().map(|ranking| sampled_quality(ranking, &sample, &rises, &plan));
            let qualities = qualities.collect::<Result<_, _>>()?;
            return Ok(Some(Self::Sampled { prepared, golden_mean: oracle.golden_mean(), qualities }));
        }
        let truth = match source.known {
            Some(known) => known,
            None if arguments.oracle.is_some() || arguments.figures.is_some() => {
                let oracle = flips.oracle(sites)?;
                KnownRises { rises: oracle.error_rises(), golden_mean: oracle.golden_mean() }
            }
            None => return Ok(None),
        };
        let qualities = {
            let truth = Truth::new(&truth.rises)?;
            rankings.iter().map(|ranking| truth.quality(ranking, &plan)).collect::<Result<_, _>>()?
        };
        Ok(Some(Self::Exact { prepared, truth, qualities }))
    }

    /// Tells of it, and writes it where asked.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn show(&self, arguments: &Arguments, provenance: &Provenance, shown: &mut Shown) -> anyhow::Result<()> {
        let (csv, json, tables) = match self {
            Self::Exact { prepared, truth, qualities } => {
                let report = QualityReport {
                    qualities,
                    rise: Truth::new(&truth.rises)?.total(),
                    metric: prepared.evaluator.metric().name(),
                    events: prepared.events.len(),
                    golden_mean: truth.golden_mean,
                };
                (report.csv(), report.json(provenance), report.tables())
            }
            Self::Sampled { prepared, golden_mean, qualities } => {
                let report = SampledQualityReport {
                    qualities,
                    confidence: arguments.guide.confidence().get(),
                    metric: prepared.evaluator.metric().name(),
                    events: prepared.events.len(),
                    golden_mean: *golden_mean,
                };
                (report.csv(), report.json(provenance), report.tables())
            }
        };
        if let Some(path) = &arguments.quality {
            files::write_file(&totals_file(path), json.as_bytes())?;
            files::write_file(path, csv.as_bytes())?;
        }
        shown.part("quality", &tables, &json)?;
        if let Some(path) = &arguments.quality {
            shown.written(path, "figures of the rankings");
        }
        Ok(())
    }

    /// Draws the figures of the design into `folder`.
    ///
    /// # Errors
    /// When the folder holds what is none of ours, or cannot be written.
    pub fn draw(
        &self,
        mut folder: ResultFolder,
        opened: &Opened,
        (table, bit_set): (&SiteTable, BitSet),
        rankings: &[BitRanking],
        shown: &mut Shown,
    ) -> anyhow::Result<()> {
        let Self::Exact { prepared, truth, qualities } = self else { return Ok(()) };
        let oracle = BitRanking::by_score("oracle", &truth.rises);
        let mut curves = vec![RankedCurve { ranking: &oracle, relative_area: Some(1.0) }];
        let areas = qualities.iter().map(|quality| quality.area);
        curves
            .extend(rankings.iter().zip(areas).map(|(ranking, relative_area)| RankedCurve { ranking, relative_area }));
        let names = write_figures(
            &mut folder,
            &FigureInput {
                design: opened.name(),
                metric: prepared.evaluator.metric().name(),
                event_kind: prepared.event_kind(),
                events: prepared.events.len(),
                golden_mean: truth.golden_mean,
                bit_set,
                sites: table,
                rises: &truth.rises,
                rankings: &curves,
            },
        )?;
        let path = folder.path().display().to_string();
        folder.finish()?;
        shown.figures(&path, &names, bit_set);
        Ok(())
    }
}
