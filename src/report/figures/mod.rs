//! The figures of a design as data and as pictures: CSV, SVG and PNG of each. The same input gives the same bytes.
//!
//! Draws what others measured; sums up, and judges nothing.

mod axis;
mod canvas;
mod curves;
mod error;
mod error_map;
mod heat;
mod names;
mod palette;
mod positions;
mod raster;
mod shares;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use error::FigureError;

use serde::{Deserialize, Serialize};

use super::error_unit::ErrorUnit;
use super::files::ResultFolder;
use super::{SiteTable, grouped, percent, significant};
use crate::analysis::BitRanking;
use crate::fault::{Biases, all_sites};
use crate::hw::{BitId, Inventory};
use crate::net::Fingerprint;
use canvas::Picture;

/// What the figures of a design are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct FigureInput<'a> {
    /// Name of the design; files are named after it.
    pub design: &'a str,
    /// Name of the error measured.
    pub metric: &'a str,
    /// Kind of events, in few words: shares of different kinds are not compared.
    pub event_kind: &'a str,
    /// Number of events.
    pub events: usize,
    /// Fault-free mean error.
    pub golden_mean: f64,
    /// Which bits of the design they are.
    pub bit_set: BitSet,
    /// The bits flipped.
    pub sites: &'a SiteTable,
    /// Error rise of every bit, in the order of the sites.
    pub rises: &'a [f64],
    /// Orders of the bits, for the cumulative curves.
    pub rankings: &'a [RankedCurve<'a>],
}

/// Which of a design's register bits are flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BitSet {
    /// All of the kernels; written `kernels`.
    #[serde(rename = "kernels")]
    Kernels,
    /// All; written `kernels+biases`.
    #[serde(rename = "kernels+biases")]
    KernelsAndBiases,
    /// Any others; written `listed`.
    #[serde(rename = "listed")]
    Listed,
}

impl BitSet {
    /// What `bits` of a design are.
    pub fn of(inventory: &Inventory, bits: &[BitId]) -> Self {
        let sorted = |mut bits: Vec<BitId>| {
            bits.sort_unstable();
            bits
        };
        let bits = sorted(bits.to_vec());
        let is_all = |biases: Biases| sorted(all_sites(inventory, biases)) == bits;
        if is_all(Biases::Exclude) {
            Self::Kernels
        } else if is_all(Biases::Include) {
            Self::KernelsAndBiases
        } else {
            Self::Listed
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Kernels => "kernel bits",
            Self::KernelsAndBiases => "kernel and bias bits",
            Self::Listed => "bits of a list",
        }
    }
}

/// A ranking whose curve is drawn.
#[derive(Debug, Clone, Copy)]
pub struct RankedCurve<'a> {
    /// The order.
    pub ranking: &'a BitRanking,
    /// Area under its curve relative to the oracle's, for the legend, where it is known.
    pub relative_area: Option<f64>,
}

/// Data and picture of one figure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    csv: String,
    picture: Picture,
}

/// Endings of the names of a design's own figures.
const OWN: [&str; 3] = ["error_map", "cumulative", "bit_positions"];

/// Adds all figures of a design to a folder, and keeps what other designs have there.
///
/// `DESIGN-error_map`, `DESIGN-cumulative` and `DESIGN-bit_positions` are the design's own. `sensitive_share` is common
/// to all designs of the folder: the design's row of the table is replaced, the others stay, and the picture is drawn
/// from the whole table; a run over bits of a list leaves it as it is. Every figure is a `.csv`, a `.svg` and a `.png`.
/// Returns the names of the figures, without these endings. `folder` is one that was made with [`is_figure_file`].
///
/// # Errors
/// When rises, rankings and bits do not belong together, and when the table in the folder is none of ours.
pub fn write_figures(folder: &mut ResultFolder, input: &FigureInput) -> Result<Vec<String>, FigureError> {
    check(input)?;
    let name = file_name(input.design);
    let mut figures = vec![
        (format!("{name}-{}", OWN[0]), error_map::figure(input)),
        (format!("{name}-{}", OWN[1]), curves::figure(input)),
        (format!("{name}-{}", OWN[2]), positions::figure(input)),
    ];
    if let Some(row) = shares::ShareRow::of(input) {
        let earlier = earlier_shares(folder)?;
        figures.push((shares::NAME.to_owned(), shares::figure(row, earlier.as_deref())?));
    }
    folder.keep_existing();
    let mut names = Vec::new();
    for (name, figure) in figures {
        let files =
            [("csv", figure.csv.into_bytes()), ("svg", figure.picture.svg.into_bytes()), ("png", figure.picture.png)];
        for (ending, bytes) in files {
            folder.add(&format!("{name}.{ending}"), bytes);
        }
        names.push(name);
    }
    Ok(names)
}

/// Checks, before the long work, that figures can be added to a folder.
///
/// # Errors
/// When the table of shares in it is none of ours, or an earlier version's.
pub fn check_folder(folder: &ResultFolder) -> Result<(), FigureError> {
    earlier_shares(folder)?.as_deref().map(shares::read).transpose().map(drop)
}

fn earlier_shares(folder: &ResultFolder) -> Result<Option<Vec<u8>>, FigureError> {
    Ok(folder.existing(&format!("{}.csv", shares::NAME))?)
}

/// Whether a file of this name, relative to a folder of figures, may be one of them.
pub fn is_figure_file(path: &Path) -> bool {
    let is_picture = path.extension().is_some_and(|ending| ["csv", "svg", "png"].iter().any(|known| ending == *known));
    let is_alone = path.parent() == Some(Path::new(""));
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let own = OWN.iter().any(|figure| stem.strip_suffix(figure).is_some_and(|rest| rest.ends_with('-')));
    is_picture && is_alone && (own || stem == shares::NAME)
}

fn check(input: &FigureInput) -> Result<(), FigureError> {
    let design = || input.design.to_owned();
    let bits = input.sites.sites.len();
    if bits == 0 {
        return Err(FigureError::NoBits { design: design() });
    }
    if input.rises.len() != bits {
        return Err(FigureError::Count { design: design(), rises: input.rises.len(), bits });
    }
    if let Some(position) = input.rises.iter().position(|rise| !rise.is_finite()) {
        return Err(FigureError::NotFinite { design: design(), position, rise: input.rises[position] });
    }
    for (what, value) in [
        ("fault-free mean error", input.golden_mean),
        ("sum of the magnitudes of the rises", input.rises.iter().map(|rise| rise.abs()).sum()),
    ] {
        if !value.is_finite() {
            return Err(FigureError::NoNumber { design: design(), what, value });
        }
    }
    if input.rankings.len() > palette::CURVES {
        return Err(FigureError::TooManyRankings { rankings: input.rankings.len(), most: palette::CURVES });
    }
    match input.rankings.iter().find(|curve| curve.ranking.order().len() != bits) {
        None => Ok(()),
        Some(curve) => Err(FigureError::Ranking {
            ranking: curve.ranking.name().to_owned(),
            ranked: curve.ranking.order().len(),
            bits,
        }),
    }
}

/// A design's name without signs that file names should not have; where there are some, a mark tells it from others that
/// differ in such signs alone.
fn file_name(design: &str) -> String {
    let name: String = design.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    // Neither hidden nor taken for an option.
    let is_plain = name.starts_with(|c: char| c.is_alphanumeric());
    if is_plain && name == design {
        return name;
    }
    let mark = Fingerprint::of_bytes(design.as_bytes()).to_string();
    format!("{}{name}-{}", if is_plain { "" } else { "design_" }, &mark[..8])
}

impl FigureInput<'_> {
    /// The line below a figure's title: of what it is.
    fn subtitle(&self) -> String {
        format!(
            "{} {} flipped one at a time, {} events; error: {}, {}",
            grouped(self.rises.len()),
            self.bit_set.words(),
            grouped(self.events),
            self.metric,
            match self.unit().accuracy(self.golden_mean) {
                Some(known) => format!("{} correct without a flip", percent(known.accuracy, 2)),
                None => format!("{} without a flip", significant(self.golden_mean)),
            }
        )
    }

    /// What is drawn of every bit: its error rise, or its mispredictions.
    fn numbers(&self) -> Vec<f64> {
        self.rises.iter().map(|rise| self.unit().number(*rise)).collect()
    }

    const fn unit(&self) -> ErrorUnit<'_> {
        ErrorUnit::new(self.metric, self.events)
    }

    /// What people call an array of registers.
    fn array_name(&self, array: usize) -> String {
        let (layer, tensor) = &self.sites.arrays[array];
        format!("{layer} {tensor}")
    }

    /// Arrays that have bits here, in the order of the design.
    fn arrays(&self) -> Vec<usize> {
        (0..self.sites.arrays.len()).filter(|array| self.sites.sites.iter().any(|site| site.array == *array)).collect()
    }
}
