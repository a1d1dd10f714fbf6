//! Scores by name: what they are made of, measured once for all that are asked for.

use anyhow::{Context, bail};
use clap::Args;

use super::inputs::{Opened, Prepared};
use super::{Global, progress};
use crate::analysis::{
    CurveInput, DerivativeInput, Derivatives, Diagonals, Eigenpairs, Loss, Score, ScoreInput, SpectrumOptions,
    curve_scores, eigenpairs,
};
use crate::host::metric::ErrorMetric;
use crate::hw::BitId;
use crate::num::cast;

/// Eigenpairs unless told.
const EIGENPAIRS: usize = 6;

/// Products allowed for each eigenpair, where there are many.
const PRODUCTS_PER_PAIR: usize = 20;

/// What derivatives are taken of.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scores")]
pub struct ScoreArguments {
    /// Loss that scores take derivatives of: telescope, mse, energy, cross-entropy or deviation [default: the design's
    /// error; what has derivatives instead: energy for emd, cross-entropy for misprediction]
    #[arg(long, value_name = "NAME")]
    loss: Option<Loss>,
    /// Eigenpairs of the Hessian, those of largest magnitude [default: 6, or as many as there are]
    #[arg(long, value_name = "K")]
    eigenpairs: Option<usize>,
}

/// What scores are made of.
#[allow(clippy::struct_excessive_bools, reason = "each is needed or not, whatever the others are")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    pub derivatives: bool,
    pub eigenpairs: bool,
    pub diagonals: bool,
    pub curves: bool,
}

impl Needs {
    /// All that these scores need together.
    pub fn of(scores: &[Score]) -> Self {
        let any = |needs: fn(Score) -> bool| scores.iter().any(|score| needs(*score));
        Self {
            derivatives: any(Score::needs_gradient),
            eigenpairs: any(Score::needs_eigenpairs),
            diagonals: any(Score::needs_diagonals),
            curves: any(|score| score == Score::BitCurve),
        }
    }
}

/// Measured for some design, events and sites.
#[derive(Debug, Default)]
pub struct Measured<'a> {
    pub derivatives: Option<Derivatives<'a>>,
    pub eigenpairs: Option<Eigenpairs>,
    pub diagonals: Option<Diagonals>,
    curves: Option<Vec<f64>>,
}

impl ScoreArguments {
    /// The loss asked for, or the one that goes with the error measured.
    pub fn loss(&self, metric: ErrorMetric) -> Loss {
        self.loss.unwrap_or(match metric {
            ErrorMetric::Emd => Loss::Energy,
            ErrorMetric::Telescope => Loss::Telescope,
            ErrorMetric::Mse => Loss::Mse,
            ErrorMetric::Deviation => Loss::Deviation,
            ErrorMetric::Misprediction | ErrorMetric::CrossEntropy => Loss::CrossEntropy,
        })
    }

    /// Number of eigenpairs.
    fn eigenpairs(&self, opened: &Opened) -> usize {
        self.eigenpairs.unwrap_or(EIGENPAIRS.min(opened.inventory.len()))
    }

    /// The options that matter for what is needed, in canonical form.
    pub fn canonical(&self, needs: Needs, opened: &Opened, metric: ErrorMetric) -> Vec<String> {
        let mut options = Vec::new();
        if needs.derivatives {
            options.extend(["--loss".to_owned(), self.loss(metric).to_string()]);
        }
        if needs.eigenpairs {
            options.extend(["--eigenpairs".to_owned(), self.eigenpairs(opened).to_string()]);
        }
        options
    }

    /// Measures what is needed, with progress bars.
    ///
    /// # Errors
    /// When the loss does not fit the design, or more eigenpairs are asked for than there are.
    pub fn measure<'a>(
        &self,
        needs: Needs,
        (opened, prepared): (&'a Opened, &'a Prepared),
        sites: &[BitId],
        seed: u64,
        global: &Global,
    ) -> anyhow::Result<Measured<'a>> {
        let mut measured = Measured::default();
        let (network, inventory) = (&opened.design.accelerator, &opened.inventory);
        let events = cast::u64_from_len(prepared.events.len());
        let bar = |message: &'static str| {
            let bar = progress::bar(events, "events", global.quiet);
            bar.set_message(message);
            bar
        };
        if needs.derivatives {
            let pairs = self.eigenpairs(opened);
            if needs.eigenpairs && pairs > inventory.len() {
                let (asked, dim) = (pairs, inventory.len());
                return Err(crate::analysis::SpectrumError::TooManyPairs { asked, dim }.into());
            }
            let bar = bar("derivatives");
            let input = DerivativeInput {
                network,
                inventory,
                decoder: opened.design.off_chip.as_ref(),
                loss: self.loss(prepared.evaluator.metric()),
                kind: prepared.evaluator.kind(),
                events: &prepared.events,
            };
            let derivatives = Derivatives::new(input, &|events| bar.inc(events));
            bar.finish_and_clear();
            let derivatives = derivatives.with_context(|| format!("design `{}`", opened.name()))?;
            if needs.eigenpairs {
                let bar = progress::spinner("eigenpairs", global.quiet);
                let options = SpectrumOptions::default();
                let max_products = options.max_products.max(PRODUCTS_PER_PAIR * pairs);
                let pairs = eigenpairs(&derivatives, pairs, &SpectrumOptions { max_products, seed, ..options });
                bar.finish_and_clear();
                let pairs = pairs?;
                if !pairs.converged {
                    bail!(
                        "the {} eigenpairs asked for have not converged after {} products; ask for fewer by --eigenpairs",
                        pairs.values.len(),
                        pairs.products
                    );
                }
                measured.eigenpairs = Some(pairs);
            }
            if needs.diagonals {
                let bar = progress::spinner("diagonal", global.quiet);
                measured.diagonals = Some(derivatives.diagonals());
                bar.finish_and_clear();
            }
            measured.derivatives = Some(derivatives);
        }
        if needs.curves {
            let bar = bar("curves");
            let input =
                CurveInput { network, inventory, evaluator: &prepared.evaluator, events: &prepared.events, sites };
            measured.curves = Some(curve_scores(&input, &|events| bar.inc(events)));
            bar.finish_and_clear();
        }
        Ok(measured)
    }
}

impl Measured<'_> {
    /// The scores of the sites it was measured for, named.
    ///
    /// # Panics
    /// When something that a score needs was not measured.
    pub fn values(&self, scores: &[Score], opened: &Opened, sites: &[BitId], seed: u64) -> Vec<(String, Vec<f64>)> {
        let input = ScoreInput {
            network: &opened.design.accelerator,
            inventory: &opened.inventory,
            sites,
            seed,
            trained: &opened.design.trained,
            gradient: self.derivatives.as_ref().map_or(&[], Derivatives::gradient),
            eigenpairs: self.eigenpairs.as_ref(),
            diagonals: self.diagonals.as_ref(),
            curves: self.curves.as_deref(),
        };
        scores.iter().map(|score| (score.name().to_owned(), input.values(*score))).collect()
    }

    /// Names of the scores that cannot tell one bit from another: their gradient is zero.
    pub fn blind(&self, scores: &[Score]) -> Vec<&'static str> {
        let is_flat =
            self.derivatives.as_ref().is_some_and(|derivatives| derivatives.gradient().iter().all(|g| *g == 0.0));
        let from_gradient = [Score::Gradient, Score::Taylor, Score::BitTaylor1];
        scores.iter().filter(|score| is_flat && from_gradient.contains(score)).map(|score| score.name()).collect()
    }

    /// Says on standard error which scores are blind.
    pub fn warn(&self, scores: &[Score], global: &Global) {
        let blind = self.blind(scores);
        if !blind.is_empty() && !global.quiet {
            eprintln!(
                "note: the gradient is zero everywhere, so {} cannot tell one register from another; choose another --loss",
                blind.join(", ")
            );
        }
    }
}
