//! Scores by name: what they are made of, measured once for all that are asked for.

use anyhow::Context;
use clap::Args;

use super::inputs::{Opened, Prepared};
use super::{Global, progress};
use crate::analysis::{
    CurveInput, DerivativeInput, Derivatives, Diagonals, Eigenpairs, Loss, Score, ScoreInput, SpectrumOptions,
    SymmetricOperator, curve_scores, eigenpairs,
};
use crate::host::metric::ErrorMetric;
use crate::hw::BitId;
use crate::num::cast;

/// What derivatives are taken of.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scores")]
pub struct ScoreArguments {
    /// Loss that scores take derivatives of: telescope, mse, energy, cross-entropy or deviation [default: the design's
    /// error; energy, which has derivatives, where that is emd]
    #[arg(long, value_name = "NAME")]
    loss: Option<Loss>,
    /// Eigenpairs of the Hessian, those of largest magnitude
    #[arg(long, value_name = "K", default_value = "6")]
    pub eigenpairs: usize,
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
        })
    }

    /// The options that matter for what is needed, in canonical form.
    pub fn canonical(&self, needs: Needs, metric: ErrorMetric) -> Vec<String> {
        let mut options = Vec::new();
        if needs.derivatives {
            options.extend(["--loss".to_owned(), self.loss(metric).to_string()]);
        }
        if needs.eigenpairs {
            options.extend(["--eigenpairs".to_owned(), self.eigenpairs.to_string()]);
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
            if needs.eigenpairs && self.eigenpairs > inventory.len() {
                let (asked, dim) = (self.eigenpairs, inventory.len());
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
                let options = SpectrumOptions { seed, ..SpectrumOptions::default() };
                let pairs = eigenpairs(&derivatives, self.eigenpairs, &options);
                bar.finish_and_clear();
                let pairs = pairs?;
                if !pairs.converged && !global.quiet {
                    eprintln!(
                        "note: the eigenpairs have not converged after {} products of {}; their residuals are in the output",
                        pairs.products,
                        derivatives.dim()
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
            parameters: self.derivatives.as_ref().map_or(&[], Derivatives::parameters),
            gradient: self.derivatives.as_ref().map_or(&[], Derivatives::gradient),
            eigenpairs: self.eigenpairs.as_ref(),
            diagonals: self.diagonals.as_ref(),
            curves: self.curves.as_deref(),
        };
        scores.iter().map(|score| (score.name().to_owned(), input.values(*score))).collect()
    }
}
