//! Options that say how often particles strike, and what they hit.

use std::num::NonZeroUsize;

use clap::Args;
use clap::error::ErrorKind;

use crate::fault::{ClusterSizes, Environment, EnvironmentError, Preset, Rate};
use crate::report::significant;
use crate::report::simulate::duration;

/// Where the accelerator works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Environment")]
pub struct EnvironmentArguments {
    /// Environment known by name: hgcal, lhc, datacenter, ground [default: hgcal]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cross_section", "mean_time", "bit_error_rate"])]
    environment: Option<Preset>,
    /// Own rate: cross section of a flip-flop in cm2, with --flux
    #[arg(long, value_name = "CM2", requires = "flux", conflicts_with_all = ["mean_time", "bit_error_rate"],
          allow_hyphen_values = true)]
    cross_section: Option<f64>,
    /// Own rate: particles per cm2 and second, with --cross-section
    #[arg(long, value_name = "PER_CM2_S", requires = "cross_section", allow_hyphen_values = true)]
    flux: Option<f64>,
    /// Own rate: mean time in seconds between strikes on the whole device, however many flip-flops it has
    #[arg(long, value_name = "S", conflicts_with = "bit_error_rate", allow_hyphen_values = true)]
    mean_time: Option<f64>,
    /// Own rate: strikes per flip-flop and inference
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    bit_error_rate: Option<f64>,
    /// Neighboring cells that one strike upsets, with their weights, such as 1:0.9,2:0.07,3:0.03
    /// [default: 1:1, single cells]
    #[arg(long, value_name = "LIST")]
    cluster_sizes: Option<ClusterSizes>,
    /// Cells from one copy of a bit to the next; a narrower cluster never hits a bit twice (the default is assumed)
    #[arg(long, value_name = "N", default_value = "16", value_parser = distance)]
    pub distance: NonZeroUsize,
    /// Transients on voter, load, clock and data lines too, each line at R times the rate of a flip-flop
    #[arg(long, value_name = "R", default_value = "0", value_parser = line_rate, allow_hyphen_values = true)]
    pub lines: f64,
    /// Strikes on values in flight too (FIFOs, windows, line buffers, accumulators, pipeline and output registers; not control
    /// counters), each bit at R times the rate of a flip-flop
    #[arg(long, value_name = "R", default_value = "0", value_parser = line_rate, allow_hyphen_values = true)]
    pub state: f64,
}

/// More is no distance on a chip, and would leave a row of mostly empty cells.
const MOST_DISTANCE: usize = 65_536;

/// Cells from one copy of a bit to the next.
pub fn distance(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MOST_DISTANCE);
    number.ok_or_else(|| format!("a whole number from 1 to {MOST_DISTANCE} is needed"))
}

fn line_rate(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number: &f64| *number >= 0.0 && number.is_finite());
    number.ok_or_else(|| "a finite number from 0 is needed".to_owned())
}

/// A rate for people.
pub fn rate_in_words(rate: Rate) -> String {
    match rate {
        Rate::PerCell { per_s } => format!("{} strikes per flip-flop and second", significant(per_s)),
        Rate::PerDevice { mean_s } => format!("a strike on the device every {}", duration(mean_s)),
        Rate::PerInference { bit_error_rate } => {
            format!("{} strikes per flip-flop and inference", significant(bit_error_rate))
        }
    }
}

impl EnvironmentArguments {
    /// The environment asked for.
    ///
    /// # Errors
    /// Wrong usage: rates that make no sense.
    pub fn environment(&self) -> Result<Environment, clap::Error> {
        let wrong = |error: EnvironmentError| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"));
        let own = |rate: Result<Rate, EnvironmentError>, source: String| -> Result<Environment, clap::Error> {
            Ok(Environment {
                name: "of your own".to_owned(),
                rate: rate.map_err(wrong)?,
                sizes: Preset::Hgcal.environment().sizes,
                source,
            })
        };
        let mut environment = match (self.cross_section, self.flux, self.mean_time, self.bit_error_rate) {
            (Some(cross_section), Some(flux), ..) => own(
                Rate::of_flux(cross_section, flux),
                format!("{cross_section} cm2 per flip-flop, {flux} particles per cm2 and second"),
            )?,
            (_, _, Some(seconds), _) => own(Rate::of_device(seconds), "as asked".to_owned())?,
            (.., Some(rate)) => own(Rate::of_inference(rate), "as asked".to_owned())?,
            _ => self.environment.unwrap_or(Preset::Hgcal).environment(),
        };
        if let Some(sizes) = &self.cluster_sizes {
            environment.sizes = sizes.clone();
        }
        Ok(environment)
    }

    /// These options in canonical form.
    pub fn canonical(&self, environment: &Environment) -> Vec<String> {
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let is_named = [self.cross_section, self.mean_time, self.bit_error_rate].iter().all(Option::is_none);
        [
            ("--environment", is_named.then(|| environment.name.clone())),
            ("--cross-section", number(self.cross_section)),
            ("--flux", number(self.flux)),
            ("--mean-time", number(self.mean_time)),
            ("--bit-error-rate", number(self.bit_error_rate)),
            ("--cluster-sizes", Some(environment.sizes.to_string())),
            ("--distance", Some(self.distance.to_string())),
            ("--lines", Some(self.lines.to_string())),
            ("--state", Some(self.state.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .flatten()
        .collect()
    }
}
