//! `FaultModel`: which bits one trial flips together, as a law of chance or as a list of all possibilities.
//!
//! Only the law and its text; `trials` draws from it. Nothing here knows what a flip does.

use std::fmt;
use std::str::FromStr;

/// How the bits of a trial are chosen among the candidate bits.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultModel {
    /// So many distinct bits, every set of them as likely as any other; written `bits:2`.
    Bits(usize),
    /// Two bits of one register, each such pair as likely as any other; written `pairs`.
    Pairs,
    /// Neighboring cells hit together; written `cluster`.
    Cluster(ClusterSizes),
    /// Every bit by itself with one probability; written `ber:0.001`.
    BitErrorRate(Probability),
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Probability(f64);

/// How many neighboring cells a cluster covers, and how often: `1:0.9,2:0.07,3:0.03`.
///
/// There is no default: sizes depend on technology, particle and layout, so they are the user's to give.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSizes {
    /// Cells and probability; sizes increase, probabilities add up to 1.
    shares: Vec<(usize, f64)>,
}

/// Why a fault model makes no sense, or does not fit the bits it is to be drawn from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Not a fault model.
    #[error("`{text}` is no fault model; write bits:2, pairs, cluster or ber:0.001")]
    Syntax {
        /// The text as given.
        text: String,
    },
    /// A cluster without sizes.
    #[error("model `cluster` needs the sizes of clusters, such as 1:0.9,2:0.07,3:0.03")]
    NoSizes,
    /// Not a probability.
    #[error("`{text}` is no probability; it must be a number from 0 to 1")]
    Probability {
        /// The text as given.
        text: String,
    },
    /// An entry of a list of cluster sizes that cannot be understood.
    #[error(
        "`{entry}` is no cluster size with its weight; write SIZE:WEIGHT, such as 2:0.07, with a whole size from 1 and a weight from 0"
    )]
    ClusterEntry {
        /// The entry as given.
        entry: String,
    },
    /// A cluster size given twice.
    #[error("cluster size {size} is given twice")]
    ClusterTwice {
        /// The size.
        size: usize,
    },
    /// Weights that cannot be normalized.
    #[error("the weights of the cluster sizes add up to {sum}; the sum must be positive and finite")]
    ClusterWeights {
        /// Their sum.
        sum: f64,
    },
    /// More bits than there are.
    #[error("model `bits:{bits}` needs {bits} distinct bits, but there are {candidates} candidate bits")]
    TooManyBits {
        /// Bits asked for.
        bits: usize,
        /// Candidate bits.
        candidates: usize,
    },
    /// No candidate bit at all.
    #[error("there is no candidate bit to flip")]
    NoCandidates,
    /// No two candidate bits share a register.
    #[error("model `pairs` needs registers with at least two candidate bits, but none has more than one")]
    NoPairs,
}

impl Probability {
    /// A probability; `None` outside 0 to 1.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Probability {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let value = text.trim().parse().ok().and_then(Self::new);
        value.ok_or_else(|| ModelError::Probability { text: text.to_owned() })
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClusterSizes {
    /// Sizes with their weights, which need not add up to 1.
    ///
    /// # Errors
    /// When a size is 0 or given twice, a weight is negative or no number, or the weights add up to nothing.
    pub fn new(weights: &[(usize, f64)]) -> Result<Self, ModelError> {
        let mut shares = weights.to_vec();
        shares.sort_by_key(|(size, _)| *size);
        if let Some((size, weight)) =
            shares.iter().find(|(size, weight)| *size == 0 || weight.is_nan() || *weight < 0.0)
        {
            return Err(ModelError::ClusterEntry { entry: format!("{size}:{weight}") });
        }
        if let Some(twice) = shares.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(ModelError::ClusterTwice { size: twice[0].0 });
        }
        let sum: f64 = shares.iter().map(|(_, weight)| weight).sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(ModelError::ClusterWeights { sum });
        }
        for (_, weight) in &mut shares {
            *weight /= sum;
        }
        Ok(Self { shares })
    }

    /// Sizes, increasing, with their probabilities.
    pub fn shares(&self) -> &[(usize, f64)] {
        &self.shares
    }

    /// The size at quantile `unit`, from `[0, 1)`.
    pub(super) fn size_at(&self, unit: f64) -> usize {
        let mut sum = 0.0;
        for (size, share) in &self.shares {
            sum += share;
            if unit < sum {
                return *size;
            }
        }
        // Rounding may leave the sum of all shares a little below 1.
        let possible = self.shares.iter().rev().find(|(_, share)| *share > 0.0);
        possible.expect("the shares add up to 1").0
    }
}

impl FromStr for ClusterSizes {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let entry = |entry: &str| {
            let wrong = || ModelError::ClusterEntry { entry: entry.to_owned() };
            let (size, weight) = entry.split_once(':').ok_or_else(wrong)?;
            let size: usize = size.trim().parse().map_err(|_| wrong())?;
            let weight: f64 = weight.trim().parse().map_err(|_| wrong())?;
            if size == 0 || weight.is_nan() || weight < 0.0 { Err(wrong()) } else { Ok((size, weight)) }
        };
        Self::new(&text.split(',').map(entry).collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for ClusterSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (size, share)) in self.shares.iter().enumerate() {
            write!(f, "{}{size}:{share}", if position > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl FaultModel {
    /// The model called `name`; `sizes` are those of clusters.
    ///
    /// # Errors
    /// When there is no such model, its number makes no sense, or clusters have no sizes.
    pub fn parse(name: &str, sizes: Option<&ClusterSizes>) -> Result<Self, ModelError> {
        let syntax = || ModelError::Syntax { text: name.to_owned() };
        match name.split_once(':') {
            None if name == "pairs" => Ok(Self::Pairs),
            None if name == "cluster" => Ok(Self::Cluster(sizes.ok_or(ModelError::NoSizes)?.clone())),
            Some(("bits", count)) => count.parse().ok().filter(|count| *count > 0).map(Self::Bits).ok_or_else(syntax),
            Some(("ber", probability)) => Ok(Self::BitErrorRate(probability.parse()?)),
            _ => Err(syntax()),
        }
    }
}

/// The name of the model, as in [`FaultModel::parse`]; sizes of clusters are not part of it.
impl fmt::Display for FaultModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits(count) => write!(f, "bits:{count}"),
            Self::Pairs => f.write_str("pairs"),
            Self::Cluster(_) => f.write_str("cluster"),
            Self::BitErrorRate(probability) => write!(f, "ber:{probability}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_read_back() {
        let sizes: ClusterSizes = "3:1, 1:2,2:1".parse().unwrap();
        assert_eq!(sizes.shares(), [(1, 0.5), (2, 0.25), (3, 0.25)]);
        assert_eq!(sizes.to_string(), "1:0.5,2:0.25,3:0.25");
        for (text, model) in [
            ("bits:2", FaultModel::Bits(2)),
            ("pairs", FaultModel::Pairs),
            ("cluster", FaultModel::Cluster(sizes.clone())),
            ("ber:0.25", FaultModel::BitErrorRate(Probability(0.25))),
        ] {
            assert_eq!(FaultModel::parse(text, Some(&sizes)), Ok(model.clone()));
            assert_eq!(model.to_string(), text);
        }
        assert_eq!(FaultModel::parse("ber:1e-3", None).unwrap().to_string(), "ber:0.001");
    }

    #[test]
    fn nonsense_is_refused() {
        let model = |text: &str| FaultModel::parse(text, None).unwrap_err().to_string();
        for text in ["", "bit", "bits", "bits:0", "bits:-1", "bits:2.5", "pairs:2", "ber", "cluster:2"] {
            assert!(model(text).contains("is no fault model"), "{text}");
        }
        for text in ["ber:1.5", "ber:-0.1", "ber:NaN", "ber:x"] {
            assert!(model(text).contains("a number from 0 to 1"), "{text}");
        }
        assert!(model("cluster").contains("needs the sizes"));
        let sizes = |text: &str| text.parse::<ClusterSizes>().unwrap_err().to_string();
        for text in ["", "2", "0:1", "1:0.9,x:1", "1:-1", "1:NaN", "1.5:1", "1:0.5,"] {
            assert!(sizes(text).contains("SIZE:WEIGHT"), "{text}");
        }
        assert_eq!(sizes("2:1,1:1,2:3"), "cluster size 2 is given twice");
        assert!(sizes("1:0,2:0").contains("add up to 0"));
        assert!(sizes("1:inf").contains("add up to inf"));
    }

    #[test]
    fn sizes_are_found_by_their_share() {
        let sizes: ClusterSizes = "1:0.5,2:0,4:0.25,5:0.25,7:0".parse().unwrap();
        let found = [0.0, 0.499, 0.5, 0.749, 0.75, 0.999_999_999_999_999_9, 1.0].map(|unit| sizes.size_at(unit));
        assert_eq!(found, [1, 1, 4, 4, 5, 5, 5]);
    }
}
