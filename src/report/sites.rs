//! `SiteTable`: what people call the bits of a campaign, apart from the design they belong to.

use crate::hw::{BitId, Inventory};
use crate::net::{Network, TensorKind};

/// Names and values of flipped bits, in the order of the campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteTable {
    /// Layer and tensor of every register array of the design.
    pub arrays: Vec<(String, TensorKind)>,
    /// The bits.
    pub sites: Vec<SiteRow>,
}

/// One bit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SiteRow {
    /// Position in [`SiteTable::arrays`].
    pub array: usize,
    /// C-order index of the register in its tensor.
    pub index: usize,
    /// Bit, 0 = MSB.
    pub bit: u8,
    /// Real value of the register without the flip.
    pub golden: f64,
    /// Real value of the register with the flip.
    pub faulty: f64,
}

impl SiteTable {
    /// The names of `sites`.
    ///
    /// # Panics
    /// When `inventory` is not the one of `network`.
    pub fn new(network: &Network, inventory: &Inventory, sites: &[BitId]) -> Self {
        let arrays = inventory.arrays();
        let row = |bit: &BitId| {
            let (register, place) = inventory.locate_bit(*bit);
            let (array, index) = inventory.locate(register);
            let tensor = network.node(array.node).op.tensor(array.tensor);
            let tensor = tensor.expect("the inventory lists the network's tensors");
            SiteRow {
                array: arrays
                    .iter()
                    .position(|known| known.node == array.node && known.tensor == array.tensor)
                    .expect("a register lies in an array of its inventory"),
                index,
                bit: place.0,
                golden: tensor.value(index),
                faulty: tensor.value_of(index, tensor.format().flip(tensor.raw()[index], place)),
            }
        };
        Self {
            arrays: arrays.iter().map(|array| (array.layer.clone(), array.tensor)).collect(),
            sites: sites.iter().map(row).collect(),
        }
    }
}
