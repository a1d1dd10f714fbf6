//! `Granularity`: which candidate bits are protected together.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::hw::{BitId, Inventory};

/// Which candidate bits are given one and the same protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Each bit by itself.
    Bit,
    /// All candidate bits of a register.
    Register,
    /// The bits of one position in all registers of a tensor of a layer.
    Column,
    /// All candidate bits of a layer, kernel and bias alike.
    Layer,
}

/// A text that names no granularity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no granularity; write bit, register, column or layer")]
pub struct GranularityError {
    /// The text as given.
    pub text: String,
}

impl Granularity {
    /// All of them, finest first.
    pub const ALL: [Self; 4] = [Self::Bit, Self::Register, Self::Column, Self::Layer];

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bit => "bit",
            Self::Register => "register",
            Self::Column => "column",
            Self::Layer => "layer",
        }
    }

    /// The groups, each a list of positions among `sites`; positions ascend in each, and groups come in the order of the
    /// registers, single bits in that of `sites`.
    ///
    /// # Panics
    /// When a site is not of the inventory.
    pub fn groups(self, inventory: &Inventory, sites: &[BitId]) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
        for (position, site) in sites.iter().enumerate() {
            let (register, bit) = inventory.locate_bit(*site);
            let (array, _) = inventory.locate(register);
            let key = match self {
                Self::Bit => [position, 0],
                Self::Register => [register.index(), 0],
                Self::Column => [array.first.index(), usize::from(bit.0)],
                Self::Layer => [array.node.index(), 0],
            };
            groups.entry(key).or_default().push(position);
        }
        groups.into_values().collect()
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Granularity {
    type Err = GranularityError;

    fn from_str(text: &str) -> Result<Self, GranularityError> {
        let found = Self::ALL.into_iter().find(|granularity| granularity.name() == text.trim());
        found.ok_or_else(|| GranularityError { text: text.to_owned() })
    }
}
