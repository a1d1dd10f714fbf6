//! Several bits flipped together, as changes of the registers that hold them.

use std::collections::BTreeMap;

use super::WeightChange;
use crate::hw::{BitId, Inventory};
use crate::net::Network;

impl WeightChange {
    /// What flipping all of `bits` together changes: one change for each register that then holds another value, in the
    /// order of the registers.
    ///
    /// The difference is the true two's-complement one. A bit listed twice is flipped twice, so not at all.
    ///
    /// # Panics
    /// When `inventory` is not the one of `network`.
    pub fn of_flips(network: &Network, inventory: &Inventory, bits: &[BitId]) -> Vec<Self> {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for bit in bits {
            let (register, place) = inventory.locate_bit(*bit);
            places.entry(register).or_default().push(place);
        }
        let changes = places.into_iter().map(|(register, places)| {
            let (array, index) = inventory.locate(register);
            let tensor =
                network.node(array.node).op.tensor(array.tensor).expect("the inventory lists the network's tensors");
            let raw = tensor.raw()[index];
            let faulty = places.into_iter().fold(raw, |raw, place| tensor.format().flip(raw, place));
            Self { node: array.node, tensor: array.tensor, index, delta: faulty - raw }
        });
        changes.filter(|change| change.delta != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Dense, NetworkBuilder, Op, TensorKind, WeightTensor};
    use crate::num::{QFormat, qkeras};

    #[test]
    fn bits_of_one_register_are_one_change() {
        let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
        let format = QFormat::signed(4, 1).unwrap();
        let kernel = WeightTensor::new(vec![2, 1], vec![5, -8], format).unwrap();
        let bias = WeightTensor::new(vec![1], vec![0], format).unwrap();
        let source = net.input();
        let node = net.push("dense", Op::Dense(Dense { kernel, bias: Some(bias) }), &[source]).unwrap();
        let network = net.finish().unwrap();
        let inventory = Inventory::new(&network).unwrap();
        let flips = |numbers: &[u32]| {
            let flipped: Vec<BitId> = numbers.iter().map(|number| BitId(*number)).collect();
            WeightChange::of_flips(&network, &inventory, &flipped)
        };
        let change = |tensor, index, delta| WeightChange { node, tensor, index, delta };
        assert_eq!(flips(&[]), []);
        // 5 = 0101: its sign and lowest bit flipped give 1100 = -4; -8 = 1000: its sign flipped gives 0.
        assert_eq!(
            flips(&[3, 4, 0]),
            [change(TensorKind::Kernel, 0, -9), change(TensorKind::Kernel, 1, 8)],
            "in the order of the registers"
        );
        assert_eq!(flips(&[11, 8, 11]), [change(TensorKind::Bias, 0, -8)], "twice is not at all");
        assert_eq!(flips(&[2, 2]), []);
        for bit in inventory.bit_ids() {
            assert_eq!(
                WeightChange::of_flips(&network, &inventory, &[bit]),
                [WeightChange::of_flip(&network, &inventory, bit)]
            );
        }
    }
}
