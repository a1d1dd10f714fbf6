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

/// A way to score bits. `g` is the gradient of the mean loss, `w` the weights as trained (what FKeras calls parameters,
/// before they are quantized), `H` the Hessian, `dw` the change of the register's value when the bit is flipped (two's
/// complement, so a sign bit counts with its weight).
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
    /// The weights as trained, in the order of the registers; their values where nothing else is known.
    pub trained: &'a [f64],
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
                self.columns(&by_register(&|register| (self.gradient[register] * self.trained[register]).powi(2)))
            }
            Score::Hessian | Score::FkerasHessian => {
                let pairs = eigenpairs();
                let parts: Vec<f64> = pairs.vectors.iter().map(|vector| dot(vector, self.trained)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Biases, all_sites};
    use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
    use crate::num::{QFormat, qkeras};

    /// Two registers of 3 bits and a bias of 2: values -1.5 and 1 (`ap_fixed<3,2>`), and 0.5.
    fn network() -> Network {
        let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
        let source = net.input();
        let kernel = WeightTensor::new(vec![2, 1], vec![-3, 2], QFormat::signed(3, 2).unwrap()).unwrap();
        let bias = Some(WeightTensor::new(vec![1], vec![1], QFormat::signed(2, 1).unwrap()).unwrap());
        net.push("dense", Op::Dense(Dense { kernel, bias }), &[source]).unwrap();
        net.finish().unwrap()
    }

    fn with_input<T>(f: impl FnOnce(&ScoreInput<'_>) -> T) -> T {
        let network = network();
        let inventory = Inventory::new(&network).unwrap();
        let sites = all_sites(&inventory, Biases::Include);
        let pairs = Eigenpairs {
            values: vec![2.0, -1.0],
            vectors: vec![vec![0.6, 0.8, 0.0], vec![0.8, -0.6, 0.0]],
            residuals: vec![0.0; 2],
            products: 1,
            converged: true,
        };
        let diagonals = Diagonals { hessian: vec![1.0, -2.0, 0.0], gauss_newton: vec![2.0, 4.0, 6.0] };
        f(&ScoreInput {
            network: &network,
            inventory: &inventory,
            sites: &sites,
            seed: 1,
            trained: &[-1.5, 1.0, 0.5],
            gradient: &[0.5, -1.0, 0.25],
            eigenpairs: Some(&pairs),
            diagonals: Some(&diagonals),
            curves: Some(&[0.0; 8]),
        })
    }

    #[test]
    fn columns_align_at_the_msb() {
        with_input(|input| {
            // Registers by |g|: 1, 0, 2; sites are bits 0 to 2 of each weight, then 0 and 1 of the bias.
            assert_eq!(input.ranking(Score::Gradient).order(), [3, 0, 6, 4, 1, 7, 5, 2]);
            assert_eq!(input.ranking(Score::Msb).order(), [0, 3, 6, 1, 4, 7, 2, 5]);
            // (g w)^2: 0.5625, 1, 0.0156.
            assert_eq!(input.ranking(Score::Taylor).order(), [3, 0, 6, 4, 1, 7, 5, 2]);
            // v.w: -0.1 and -1.8. Equation 3: |2 * -0.1 * 0.6 + 1.8 * 0.8| = 1.32 and |2 * -0.1 * 0.8 - 1.8 * 0.6| = 1.24.
            assert_eq!(input.ranking(Score::Hessian).order(), [0, 3, 6, 1, 4, 7, 2, 5]);
            // Term by term with squares: 0.24 + 1.44 and 0.32 + 1.08.
            assert_eq!(input.ranking(Score::FkerasHessian).order(), [0, 3, 6, 1, 4, 7, 2, 5]);
        });
    }

    #[test]
    fn bits_count_by_their_true_change() {
        with_input(|input| {
            // -1.5 is 101: flips to 001 (+2), 111 (+1), 100 (-0.5). 1 is 010: 110 (-2), 000 (-1), 011 (+0.5). 0.5 is 01.
            let changes = value_changes(input.network, input.inventory, input.sites);
            assert_eq!(changes, [2.0, 1.0, -0.5, -2.0, -1.0, 0.5, -1.0, -0.5]);
            assert_eq!(input.values(Score::BitTaylor1), [1.0, 0.5, 0.25, 2.0, 1.0, 0.5, 0.25, 0.125]);
            let second = [1.0 + 2.0, 0.5 + 0.5, -0.25 + 0.125, 2.0 - 4.0, 1.0 - 1.0, -0.5 - 0.25, -0.25, -0.125];
            assert_eq!(input.values(Score::BitTaylor2), second);
            let gauss_newton =
                [1.0 + 4.0, 0.5 + 1.0, -0.25 + 0.25, 2.0 + 8.0, 1.0 + 2.0, -0.5 + 0.5, -0.25 + 3.0, -0.125 + 0.75];
            assert_eq!(input.values(Score::BitGaussNewton), gauss_newton);
        });
    }

    #[test]
    fn every_score_has_a_name_and_orders_all_bits() {
        with_input(|input| {
            for score in Score::ALL {
                assert_eq!(score.name().parse(), Ok(score));
                let mut order = input.ranking(score).order().to_vec();
                order.sort_unstable();
                assert_eq!(order, (0..8).collect::<Vec<_>>(), "{score}");
            }
            assert_eq!(input.ranking(Score::Random).order(), BitRanking::random(8, 1).order());
        });
        let error = "hesian".parse::<Score>().unwrap_err().to_string();
        for score in Score::ALL {
            assert!(error.contains(score.name()), "{error}");
        }
    }
}
