//! `Objective`: the losses that derivatives are taken of, between an event and what the host makes of it.
//!
//! Value, gradient and Hessian with respect to what is compared, in `f64`. Everything before that (the decoder) is
//! `head`'s; the metrics of campaigns are `host`'s, and two of these losses are the same by definition.

use std::fmt;
use std::str::FromStr;

use super::linear::{Block, LANES};
use crate::host::classes::{class_of, softmax};
use crate::host::evaluator::EventInput;
use crate::host::geometry::{CELLS, SECTORS, SUPERCELLS, distances};
use crate::num::cast;

/// A loss with two derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Telescope loss of ECON-T training ([`crate::host::loss::telescope`]), between the normalized charges of a module
    /// and the decoded cells.
    Telescope,
    /// Mean squared error: over the 48 cells of a module (normalized charges), over all values of a tensor.
    Mse,
    /// Energy distance between the charges of a module and the decoded cells, both normalized to sum 1:
    /// `2 E|X - Y| - E|X - X'| - E|Y - Y'|` with the Euclidean distance of cell centers (Székely and Rizzo, 2013). It is
    /// 0 where, and only where, the earth mover's distance between two distributions is, and has the derivatives that one
    /// lacks: the stand-in for it. A decoded charge below 0 counts as 0; where none is above, there is no distribution and
    /// nothing moves: the slope is 0.
    Energy,
    /// Cross entropy between the outputs as logits and the label of the event; without labels, the class that the
    /// fault-free network decides for: how close the decision is to falling otherwise. Outputs of a softmax count as
    /// probabilities.
    CrossEntropy,
    /// Mean squared difference from the fault-free output: its gradient is 0, its Hessian is not.
    Deviation,
}

/// No loss has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no loss `{name}`; choose telescope, mse, energy, cross-entropy or deviation")]
pub struct UnknownLoss {
    /// The name as given.
    pub name: String,
}

impl Loss {
    /// All losses, in the order of this enum.
    pub const ALL: [Self; 5] = [Self::Telescope, Self::Mse, Self::Energy, Self::CrossEntropy, Self::Deviation];

    /// The name in command lines and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telescope => "telescope",
            Self::Mse => "mse",
            Self::Energy => "energy",
            Self::CrossEntropy => "cross-entropy",
            Self::Deviation => "deviation",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Loss {
    type Err = UnknownLoss;

    fn from_str(name: &str) -> Result<Self, UnknownLoss> {
        let known = Self::ALL.into_iter().find(|loss| loss.name() == name);
        known.ok_or_else(|| UnknownLoss { name: name.to_owned() })
    }
}

/// A sum of cells that the telescope loss looks at, and the factor of its term.
#[derive(Debug, Clone)]
pub(super) struct Lens {
    cells: Vec<usize>,
    factor: f64,
}

/// A loss made ready.
#[derive(Debug, Clone)]
pub(super) enum Objective {
    Telescope(Vec<Lens>),
    /// Against the event, or against the fault-free output.
    Squares,
    /// Distances of cells, `[from][to]`. Works on cells that are normalized already.
    Energy(Box<[[f64; CELLS]; CELLS]>),
    /// Of logits.
    CrossEntropy,
}

impl Objective {
    pub(super) fn new(loss: Loss) -> Self {
        match loss {
            Loss::Telescope => {
                let mean = |total: f64, count: usize| total / cast::f64_from_count(count);
                let cells = (0..CELLS).map(|cell| Lens { cells: vec![cell], factor: mean(4.0, CELLS) });
                let supercells = SUPERCELLS.iter().map(|supercell| Lens {
                    cells: supercell.cells.to_vec(),
                    factor: mean(2.0, SUPERCELLS.len()) * supercell.weight,
                });
                let sectors = SECTORS
                    .iter()
                    .map(|cells| Lens { cells: cells.clone().collect(), factor: mean(1.0, SECTORS.len()) });
                Self::Telescope(cells.chain(supercells).chain(sectors).collect())
            }
            Loss::Mse | Loss::Deviation => Self::Squares,
            Loss::Energy => Self::Energy(Box::new(distances())),
            Loss::CrossEntropy => Self::CrossEntropy,
        }
    }

    /// What `output` is compared with: as many values as it has.
    pub(super) fn target(&self, loss: Loss, event: &EventInput, output: &[f64]) -> Vec<f64> {
        match (self, event) {
            (Self::CrossEntropy, _) => {
                let decided = || class_of(output);
                let best = event.label().map_or_else(decided, cast::index);
                (0..output.len()).map(|class| if class == best { 1.0 } else { 0.0 }).collect()
            }
            (Self::Squares, _) if loss == Loss::Deviation => output.to_vec(),
            (Self::Energy(_), EventInput::Module(charges)) => {
                let sum = charges.sum();
                charges.charges().iter().map(|charge| charge / sum).collect()
            }
            (_, EventInput::Module(charges)) => charges.normalized().to_vec(),
            (_, EventInput::Tensor(values) | EventInput::Labeled { values, .. }) => {
                values.iter().map(|value| f64::from(*value)).collect()
            }
        }
    }

    /// The loss at `output`, and its gradient.
    pub(super) fn gradient(&self, target: &[f64], output: &[f64]) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; output.len()];
        let mut value = 0.0;
        match self {
            Self::Telescope(lenses) => {
                for lens in lenses {
                    let [y, p] = [target, output].map(|cells| lens.cells.iter().map(|cell| cells[*cell]).sum::<f64>());
                    // (y - p)^2 max(y, p)
                    let (term, slope) = if p > y {
                        ((p - y).powi(2) * p, (p - y) * (3.0 * p - y))
                    } else {
                        ((y - p).powi(2) * y, 2.0 * (p - y) * y)
                    };
                    value += lens.factor * term;
                    lens.cells.iter().for_each(|cell| gradient[*cell] += lens.factor * slope);
                }
            }
            Self::Squares => {
                let factor = 1.0 / cast::f64_from_count(output.len().max(1));
                for ((slope, y), p) in gradient.iter_mut().zip(target).zip(output) {
                    value += factor * (p - y).powi(2);
                    *slope = 2.0 * factor * (p - y);
                }
            }
            Self::Energy(distances) => {
                let apart: Vec<f64> = output.iter().zip(target).map(|(q, y)| q - y).collect();
                for ((slope, row), own) in gradient.iter_mut().zip(distances.iter()).zip(&apart) {
                    let spread: f64 = row.iter().zip(&apart).map(|(distance, d)| distance * d).sum();
                    value -= own * spread;
                    *slope = -2.0 * spread;
                }
            }
            Self::CrossEntropy => {
                let (log_sum, probabilities) = softmax(output);
                for ((slope, y), p) in gradient.iter_mut().zip(target).zip(&probabilities) {
                    *slope = p - y;
                }
                value = log_sum - target.iter().zip(output).map(|(y, z)| y * z).sum::<f64>();
            }
        }
        (value, gradient)
    }

    /// The Hessian at `output` times `blocks` blocks of tangents `[output, block]`, into `out` of the same shape.
    ///
    /// It is positive semidefinite for every loss: all are convex in what is compared (the energy distance on
    /// directions that keep the sum).
    pub(super) fn hessian_times(&self, target: &[f64], output: &[f64], tangents: &[Block], out: &mut [Block]) {
        let blocks = tangents.len() / output.len().max(1);
        out.fill([0.0; LANES]);
        let row = |index: usize| index * blocks..(index + 1) * blocks;
        match self {
            Self::Telescope(lenses) => {
                let mut seen = vec![[0.0; LANES]; blocks];
                for lens in lenses {
                    let [y, p] = [target, output].map(|cells| lens.cells.iter().map(|cell| cells[*cell]).sum::<f64>());
                    let curvature = lens.factor * if p > y { 6.0 * p - 4.0 * y } else { 2.0 * y };
                    if curvature == 0.0 {
                        continue;
                    }
                    seen.fill([0.0; LANES]);
                    for cell in &lens.cells {
                        add_scaled(&mut seen, 1.0, &tangents[row(*cell)]);
                    }
                    for cell in &lens.cells {
                        add_scaled(&mut out[row(*cell)], curvature, &seen);
                    }
                }
            }
            Self::Squares => add_scaled(out, 2.0 / cast::f64_from_count(output.len().max(1)), tangents),
            Self::Energy(distances) => {
                for (index, distances) in distances.iter().enumerate() {
                    for (from, distance) in distances.iter().enumerate() {
                        add_scaled(&mut out[row(index)], -2.0 * distance, &tangents[row(from)]);
                    }
                }
            }
            Self::CrossEntropy => {
                let (_, probabilities) = softmax(output);
                let mut mean = vec![[0.0; LANES]; blocks];
                for (class, p) in probabilities.iter().enumerate() {
                    add_scaled(&mut mean, *p, &tangents[row(class)]);
                }
                for (class, p) in probabilities.iter().enumerate() {
                    add_scaled(&mut out[row(class)], *p, &tangents[row(class)]);
                    add_scaled(&mut out[row(class)], -*p, &mean);
                }
            }
        }
    }
}

/// `out += factor x`.
#[inline]
pub(super) fn add_scaled(out: &mut [Block], factor: f64, x: &[Block]) {
    for (out, x) in out.iter_mut().zip(x) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += factor * x;
        }
    }
}
