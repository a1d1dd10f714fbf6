//! The figures of a design as data and as pictures: CSV, SVG and PNG of each. The same input gives the same bytes.
//!
//! Draws what others measured; sums up, and judges nothing.

mod axis;
mod canvas;
mod curves;
mod error;
mod error_map;
mod heat;
mod palette;
mod positions;
mod raster;
mod shares;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use error::FigureError;

use super::error_unit::ErrorUnit;
use super::files::ResultFolder;
use super::{SiteTable, grouped, percent, significant};
use crate::analysis::BitRanking;
use canvas::Picture;

/// What the figures of a design are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct FigureInput<'a> {
    /// Name of the design; files are named after it.
    pub design: &'a str,
    /// Name of the error measured.
    pub metric: &'a str,
    /// Number of events.
    pub events: usize,
    /// Fault-free mean error.
    pub golden_mean: f64,
    /// The bits flipped.
    pub sites: &'a SiteTable,
    /// Error rise of every bit, in the order of the sites.
    pub rises: &'a [f64],
    /// Orders of the bits, for the cumulative curves.
    pub rankings: &'a [RankedCurve<'a>],
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
/// from the whole table. Every figure is a `.csv`, a `.svg` and a `.png`. Returns the names of the files. `folder` is
/// one that was made with [`is_figure_file`].
///
/// # Errors
/// When rises, rankings and bits do not belong together, and when the table in the folder is none of ours.
pub fn write_figures(folder: &mut ResultFolder, input: &FigureInput) -> Result<Vec<String>, FigureError> {
    check(input)?;
    let name = file_name(input.design);
    let earlier = folder.existing(&format!("{}.csv", shares::NAME))?;
    let row = shares::ShareRow::of(input);
    let figures = [
        (format!("{name}-{}", OWN[0]), error_map::figure(input)),
        (format!("{name}-{}", OWN[1]), curves::figure(input)),
        (format!("{name}-{}", OWN[2]), positions::figure(input)),
        (shares::NAME.to_owned(), shares::figure(row, earlier.as_deref())?),
    ];
    folder.keep_existing();
    let mut names = Vec::new();
    for (name, figure) in figures {
        let files =
            [("csv", figure.csv.into_bytes()), ("svg", figure.picture.svg.into_bytes()), ("png", figure.picture.png)];
        for (ending, bytes) in files {
            let file = format!("{name}.{ending}");
            folder.add(&file, bytes);
            names.push(file);
        }
    }
    Ok(names)
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

/// A design's name without signs that file names should not have.
fn file_name(design: &str) -> String {
    let name: String = design.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    // Neither hidden nor taken for an option.
    if name.starts_with(|c: char| c.is_alphanumeric()) { name } else { format!("design_{name}") }
}

impl FigureInput<'_> {
    /// The line below a figure's title: of what it is.
    fn subtitle(&self) -> String {
        format!(
            "{} bits flipped one at a time, {} events; error: {}, {}",
            grouped(self.rises.len()),
            grouped(self.events),
            self.metric,
            match self.unit().accuracy(self.golden_mean) {
                Some(known) => format!("{} correct without a flip", percent(known.accuracy, 2)),
                None => format!("{} without a flip", significant(self.golden_mean)),
            }
        )
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
