//! Lists of single-bit sites: all of a design, or those a user names.

use std::collections::HashMap;

use crate::hw::{BitId, Inventory, RegisterArray, RegisterError};
use crate::import::sites::{RowPlace, SiteRow};
use crate::net::TensorKind;

/// Whether bias registers are sites too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    /// Kernels alone, as in the FKeras paper.
    Exclude,
    /// Kernels and biases.
    Include,
}

/// Whether a list may name a bit more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Each row is a question of its own.
    Allow,
    /// The rows are a set.
    Refuse,
}

/// Why a list of sites does not belong to a design.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SiteListError {
    /// A site that the design does not have.
    #[error("{file}: {place}: {source}")]
    Unknown {
        /// The file.
        file: String,
        /// Where in the file.
        place: RowPlace,
        /// What does not exist, and what does.
        source: RegisterError,
    },
    /// A site named twice.
    #[error("{file}: {place}: `{site}` stands on {first} already")]
    Twice {
        /// The file.
        file: String,
        /// Where in the file.
        place: RowPlace,
        /// Where it stood first.
        first: RowPlace,
        /// The site.
        site: String,
    },
}

/// Every bit of the design: layer by layer, kernel before bias, C order, most significant bit first.
pub fn all_sites(inventory: &Inventory, biases: Biases) -> Vec<BitId> {
    inventory
        .arrays()
        .iter()
        .filter(|array| biases == Biases::Include || array.tensor == TensorKind::Kernel)
        .flat_map(RegisterArray::bit_ids)
        .collect()
}

/// The bits named by the rows of a file, in their order.
///
/// # Errors
/// Names file and row of a bit that does not exist, or stands there twice where that is refused.
pub fn named_sites(
    inventory: &Inventory,
    file: &str,
    rows: &[SiteRow],
    repeats: Repeats,
) -> Result<Vec<BitId>, SiteListError> {
    let mut first_place = HashMap::new();
    let mut sites = Vec::with_capacity(rows.len());
    for row in rows {
        let unknown = |source| SiteListError::Unknown { file: file.to_owned(), place: row.place, source };
        let register = inventory.find(&row.layer, row.tensor, row.index).map_err(unknown)?;
        let bit = inventory.bit_of(register, row.bit).map_err(unknown)?;
        if let Some(first) = first_place.insert(bit, row.place)
            && repeats == Repeats::Refuse
        {
            let site = inventory.bit_address(bit).to_string();
            return Err(SiteListError::Twice { file: file.to_owned(), place: row.place, first, site });
        }
        sites.push(bit);
    }
    Ok(sites)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::sites::{ScoreColumn, read_sites};
    use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
    use crate::num::{QFormat, qkeras};

    fn inventory() -> Inventory {
        let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
        let source = net.input();
        let tensor = |shape: Vec<usize>, width| {
            let count = shape.iter().product();
            WeightTensor::new(shape, vec![0; count], QFormat::signed(width, 1).unwrap()).unwrap()
        };
        let op = Op::Dense(Dense { kernel: tensor(vec![2, 3], 4), bias: Some(tensor(vec![3], 5)) });
        net.push("dense", op, &[source]).unwrap();
        Inventory::new(&net.finish().unwrap()).unwrap()
    }

    #[test]
    fn all_of_them_with_and_without_biases() {
        let inventory = inventory();
        assert_eq!(all_sites(&inventory, Biases::Exclude), (0..24).map(BitId).collect::<Vec<_>>());
        assert_eq!(all_sites(&inventory, Biases::Include), (0..39).map(BitId).collect::<Vec<_>>());
    }

    #[test]
    fn named_ones_keep_their_order_and_bad_ones_are_named() {
        let inventory = inventory();
        let read = |text: &str| {
            let text = format!("layer,tensor,index,bit\n{text}");
            let rows = read_sites("s.csv", text.as_bytes(), ScoreColumn::Ignored).unwrap();
            let once = named_sites(&inventory, "s.csv", &rows, Repeats::Refuse);
            if let Err(SiteListError::Twice { .. }) = once {
                assert_eq!(named_sites(&inventory, "s.csv", &rows, Repeats::Allow).unwrap().len(), rows.len());
            }
            once
        };
        assert_eq!(read("dense,bias,0,1\ndense,kernel,5,0\n"), Ok(vec![BitId(25), BitId(20)]));
        let cases = [
            ("nope,kernel,0,0\n", "s.csv: line 2: layer `nope`"),
            ("dense,kernel,6,0\n", "line 2: layer `dense`, kernel: no register 6; 0 to 5 exist"),
            ("dense,kernel,0,0\ndense,kernel,1,4\n", "line 3: `dense.kernel[1]` has no bit 4"),
            ("dense,kernel,0,0\ndense,kernel,0,0\n", "line 3: `dense.kernel[0].bit[0]` stands on line 2"),
        ];
        for (text, expected) in cases {
            let found = read(text).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
    }
}
