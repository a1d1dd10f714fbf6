//! `Score`: the ways to put a number on what a register bit matters, larger for bits that deserve protection more.
//!
//! Two families. Those of the FKeras paper rank *registers* and then take whole bit columns: all most significant bits
//! in that order, then all second bits, and so on. The others score each *bit* by the true change of its register's
//! value when it is flipped. Nothing is flipped.

use std::fmt;
use std::str::FromStr;

use super::curves::value_changes;
use super::derivatives::Diagonals;
use super::ranking::BitRanking;
use super::spectrum::Eigenpairs;
use crate::hw::{BitId, Inventory};
use crate::net::Network;
use crate::num::cast;

/// A way to score bits. `g` is the gradient of the mean loss, `w` the values of the registers, `H` the Hessian, `dw` the
/// change of the register's value when the bit is flipped (two's complement, so a sign bit counts with its weight).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Score {
    /// A random order.
    Random,
    /// All most significant bits in the order of the sites, then all second bits: the MSB-to-LSB baseline of FKeras.
    Msb,
    /// Registers by `|g|`, in bit columns: FKeras' gradient rank.
    Gradient,
    /// Registers by `|sum_i lambda_i (v_i . w) v_i|` over the leading eigenpairs, in bit columns: the FKeras paper, Eq. 3.
    Hessian,
    /// Registers by `sum_i |lambda_i^2 (v_i . w) v_i|`, in bit columns: the form in FKeras' code, where eigenvalues enter
    /// squared and absolute values are taken term by term. (Its eigenpairs beyond the first are another thing: its
    /// deflation works per tensor. Here they are those of the Hessian.)
    FkerasHessian,
    /// Registers by `(g w)^2`, in bit columns: FKeras' Taylor score.
    Taylor,
    /// `|g dw|`.
    BitTaylor1,
    /// `g dw + H_ii dw^2 / 2`: what the mean loss rises by to second order. May be negative.
    BitTaylor2,
    /// `g dw + G_ii dw^2 / 2` with the Gauss-Newton part of the Hessian, which is never negative: the curvature of the
    /// decoder, true only near the weight, is left out, so that large changes do not seem to be gains.
    BitGaussNewton,
    /// The rise of the metric itself, read off curves along the outputs of the accelerator ([`super::curve_scores`]).
    BitCurve,
}

/// No score has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no score `{name}`; choose random, msb, gradient, hessian, fkeras-hessian, taylor, bit-taylor1, bit-taylor2, \
     bit-gauss-newton or bit-curve"
)]
pub struct UnknownScore {
    /// The name as given.
    pub name: String,
}

impl Score {
    /// All scores, in the order of this enum.
    pub const ALL: [Self; 10] = [
        Self::Random,
        Self::Msb,
        Self::Gradient,
        Self::Hessian,
        Self::FkerasHessian,
        Self::Taylor,
        Self::BitTaylor1,
        Self::BitTaylor2,
        Self::BitGaussNewton,
        Self::BitCurve,
    ];

    /// The name in command lines and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Msb => "msb",
            Self::Gradient => "gradient",
            Self::Hessian => "hessian",
            Self::FkerasHessian => "fkeras-hessian",
            Self::Taylor => "taylor",
            Self::BitTaylor1 => "bit-taylor1",
            Self::BitTaylor2 => "bit-taylor2",
            Self::BitGaussNewton => "bit-gauss-newton",
            Self::BitCurve => "bit-curve",
        }
    }

    /// Whether its values estimate the rise of the error, in some unit: twice the value, twice the rise.
    pub const fn estimates_rise(self) -> bool {
        matches!(self, Self::BitTaylor2 | Self::BitGaussNewton | Self::BitCurve)
    }

    /// Whether it needs the gradient.
    pub const fn needs_gradient(self) -> bool {
        !matches!(self, Self::Random | Self::Msb | Self::BitCurve)
    }

    /// Whether it needs eigenpairs.
    pub const fn needs_eigenpairs(self) -> bool {
        matches!(self, Self::Hessian | Self::FkerasHessian)
    }

    /// Whether it needs the diagonals of the Hessian.
    pub const fn needs_diagonals(self) -> bool {
        matches!(self, Self::BitTaylor2 | Self::BitGaussNewton)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Score {
    type Err = UnknownScore;

    fn from_str(name: &str) -> Result<Self, UnknownScore> {
        let known = Self::ALL.into_iter().find(|score| score.name() == name);
        known.ok_or_else(|| UnknownScore { name: name.to_owned() })
    }
}

/// What scores are made of. What a score does not need may be missing or empty.
#[derive(Debug, Clone, Copy)]
pub struct ScoreInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// The bits to score.
    pub sites: &'a [BitId],
    /// Seed of the random score.
    pub seed: u64,
    /// Values of the registers.
    pub parameters: &'a [f64],
    /// Gradient of the mean loss.
    pub gradient: &'a [f64],
    /// Leading eigenpairs of the Hessian.
    pub eigenpairs: Option<&'a Eigenpairs>,
    /// Diagonals of the Hessian.
    pub diagonals: Option<&'a Diagonals>,
    /// What [`super::curve_scores`] gives for the sites.
    pub curves: Option<&'a [f64]>,
}

impl ScoreInput<'_> {
    /// The score of every site; the highest deserves protection most, equal ones in the order of the sites.
    ///
    /// Scores in bit columns have no scale: a bit's score is 31 less its position in the register, plus a share below 1
    /// that orders the registers.
    ///
    /// # Panics
    /// When something that the score needs is missing.
    pub fn values(&self, score: Score) -> Vec<f64> {
        const MISSING: &str = "whoever asks for a score gives what it needs";
        let eigenpairs = || self.eigenpairs.expect(MISSING);
        let diagonals = || self.diagonals.expect(MISSING);
        assert!(!score.needs_gradient() || self.gradient.len() == self.inventory.len(), "{MISSING}");
        let by_register = |f: &dyn Fn(usize) -> f64| (0..self.inventory.len()).map(f).collect::<Vec<f64>>();
        match score {
            Score::Random => {
                let ranking = BitRanking::random(self.sites.len(), self.seed);
                let mut values = vec![0.0; self.sites.len()];
                for (rank, position) in ranking.order().iter().enumerate() {
                    values[*position] = cast::f64_from_count(self.sites.len() - rank);
                }
                values
            }
            Score::Msb => {
                self.sites.iter().map(|site| 31.0 - f64::from(self.inventory.locate_bit(*site).1.0)).collect()
            }
            Score::Gradient => self.columns(&by_register(&|register| self.gradient[register].abs())),
            Score::Taylor => {
                self.columns(&by_register(&|register| (self.gradient[register] * self.parameters[register]).powi(2)))
            }
            Score::Hessian | Score::FkerasHessian => {
                let pairs = eigenpairs();
                let parts: Vec<f64> = pairs.vectors.iter().map(|vector| dot(vector, self.parameters)).collect();
                let terms = || pairs.values.iter().zip(&pairs.vectors).zip(&parts);
                self.columns(&by_register(&|register| {
                    if score == Score::Hessian {
                        terms().map(|((value, vector), part)| value * part * vector[register]).sum::<f64>().abs()
                    } else {
                        terms().map(|((value, vector), part)| (value * value * part * vector[register]).abs()).sum()
                    }
                }))
            }
            Score::BitTaylor1 => self.flips(|register, change| (self.gradient[register] * change).abs()),
            Score::BitTaylor2 => self.flips(|register, change| {
                self.gradient[register] * change + 0.5 * diagonals().hessian[register] * change * change
            }),
            Score::BitGaussNewton => self.flips(|register, change| {
                self.gradient[register] * change + 0.5 * diagonals().gauss_newton[register] * change * change
            }),
            Score::BitCurve => self.curves.expect(MISSING).to_vec(),
        }
    }

    /// The order by a score.
    ///
    /// # Panics
    /// As [`ScoreInput::values`].
    pub fn ranking(&self, score: Score) -> BitRanking {
        BitRanking::by_score(score.name(), &self.values(score))
    }

    /// A score of every bit from its register and the change of that register's value.
    fn flips(&self, score: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let changes = value_changes(self.network, self.inventory, self.sites);
        let register = |site: &BitId| cast::index(self.inventory.locate_bit(*site).0.0);
        self.sites.iter().zip(changes).map(|(site, change)| score(register(site), change)).collect()
    }

    /// Bit columns, each in the order of `of_register`, larger first, equal ones in the order of the registers. Widths
    /// align at the most significant bit.
    fn columns(&self, of_register: &[f64]) -> Vec<f64> {
        let ranking = BitRanking::by_score("", of_register);
        let mut shares = vec![0.0; of_register.len()];
        let count = cast::f64_from_count(of_register.len());
        for (rank, register) in ranking.order().iter().enumerate() {
            shares[*register] = cast::f64_from_count(of_register.len() - 1 - rank) / count;
        }
        let place = |site: &BitId| {
            let (register, bit) = self.inventory.locate_bit(*site);
            31.0 - f64::from(bit.0) + shares[cast::index(register.0)]
        };
        self.sites.iter().map(place).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
