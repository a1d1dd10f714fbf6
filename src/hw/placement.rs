//! `Placement`: where the flip-flops of weights and biases lie, so that neighbors can be struck together.
//!
//! One row of cells: a model of distance, not a floor plan. State other than weight registers is not placed.

use std::num::NonZeroUsize;

use super::address::CopyIdx;
use super::registers::{BitId, Inventory};
use super::tmr::Protection;
use crate::num::cast;

/// Number of a cell in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellIdx(pub u32);

/// One flip-flop of a register bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlipFlop {
    /// The bit.
    pub bit: BitId,
    /// Which of its copies.
    pub copy: CopyIdx,
}

/// Which flip-flop lies in which cell.
///
/// Triplicated bits come first, in the order of their numbers, `distance` bits at a time: copy 0 of each, copy 1 of
/// each, copy 2 of each. So copies of one bit lie exactly `distance` cells apart, and a strike on so many neighboring
/// cells or fewer hits no bit twice. The last group may have fewer bits; cells are then left empty to keep the
/// distance. Bits with one flip-flop follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    cells: Vec<Option<FlipFlop>>,
    /// Cell of copy 0, by bit.
    first: Vec<CellIdx>,
    distance: usize,
}

impl Placement {
    /// Places the registers of a design, protected bit by bit.
    ///
    /// # Panics
    /// When there are 2^32 cells or more.
    pub fn new(inventory: &Inventory, protection: impl Fn(BitId) -> Protection, distance: NonZeroUsize) -> Self {
        let bits: Vec<BitId> = inventory.bit_ids().collect();
        Self::of_bits(inventory, &bits, protection, distance)
    }

    /// Places some bits of a design, in the order of their numbers, and leaves all others out of the row.
    ///
    /// # Panics
    /// When a bit is not of the design, or there are 2^32 cells or more.
    pub fn of_bits(
        inventory: &Inventory,
        bits: &[BitId],
        protection: impl Fn(BitId) -> Protection,
        distance: NonZeroUsize,
    ) -> Self {
        let distance = distance.get();
        let mut bits = bits.to_vec();
        bits.sort_unstable();
        let (single, triplicated): (Vec<BitId>, Vec<BitId>) =
            bits.into_iter().partition(|bit| protection(*bit).copies() == 1);
        let mut placement = Self { cells: Vec::new(), first: vec![CellIdx(0); inventory.bits()], distance };
        for group in triplicated.chunks(distance) {
            for copy in 0..3 {
                for bit in group {
                    placement.put(*bit, CopyIdx(copy));
                }
                if copy < 2 {
                    placement.cells.resize(placement.cells.len() + distance - group.len(), None);
                }
            }
        }
        for bit in single {
            placement.put(bit, CopyIdx(0));
        }
        placement
    }

    fn put(&mut self, bit: BitId, copy: CopyIdx) {
        if copy.0 == 0 {
            self.first[bit.index()] = CellIdx(cast::id(self.cells.len()));
        }
        self.cells.push(Some(FlipFlop { bit, copy }));
    }

    /// Number of cells, empty ones included.
    pub const fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no cell; never true for a design, which has registers.
    pub const fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Cells from one copy of a bit to the next.
    pub const fn distance(&self) -> usize {
        self.distance
    }

    /// What lies in a cell; nothing beyond the end of the row.
    pub fn at(&self, cell: CellIdx) -> Option<FlipFlop> {
        self.cells.get(cast::index(cell.0)).copied().flatten()
    }

    /// The flip-flops in `size` neighboring cells from `first` on; a strike at the end of the row hits fewer.
    pub fn struck(&self, first: CellIdx, size: usize) -> impl Iterator<Item = FlipFlop> + '_ {
        let start = cast::index(first.0).min(self.cells.len());
        let end = start.saturating_add(size).min(self.cells.len());
        self.cells[start..end].iter().copied().flatten()
    }

    /// Where a flip-flop lies.
    ///
    /// # Panics
    /// When there is no such flip-flop.
    pub fn cell_of(&self, flip_flop: FlipFlop) -> CellIdx {
        let cell = CellIdx(self.first[flip_flop.bit.index()].0 + u32::from(flip_flop.copy.0) * cast::id(self.distance));
        assert_eq!(self.at(cell), Some(flip_flop), "the design has no such flip-flop");
        cell
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hw::TmrStyle;
    use crate::hw::test_networks::without_bias;

    #[test]
    fn copies_lie_apart_and_single_bits_follow() {
        // Registers of 4 bits, eight of them; three bits triplicated, two to a group.
        let inventory = Inventory::new(&without_bias()).unwrap();
        let protection = |bit: BitId| match bit.0 {
            1 | 4 | 31 => Protection::from(TmrStyle::Feedback),
            _ => Protection::NONE,
        };
        let placement = Placement::new(&inventory, protection, NonZeroUsize::new(2).unwrap());
        let text: Vec<String> = (0..13)
            .map(|cell| placement.at(CellIdx(cell)))
            .map(|cell| cell.map_or("-".to_owned(), |FlipFlop { bit, copy }| format!("{}.{copy}", bit.0)))
            .collect();
        assert_eq!(text.join(" "), "1.0 4.0 1.1 4.1 1.2 4.2 31.0 - 31.1 - 31.2 0.0 2.0");
        assert_eq!((placement.len(), placement.is_empty(), placement.distance()), (11 + 29, false, 2));
        assert_eq!(placement.at(CellIdx(40)), None);
        let hit = |first, size| placement.struck(CellIdx(first), size).map(|hit| hit.bit.0).collect::<Vec<_>>();
        assert_eq!((hit(5, 4), hit(38, 9), hit(50, 1)), (vec![4, 31, 31], vec![29, 30], vec![]));
    }

    proptest! {
        #[test]
        fn every_flip_flop_has_its_cell(styles in prop::collection::vec(0..4_usize, 32), distance in 1..12_usize) {
            let inventory = Inventory::new(&without_bias()).unwrap();
            let protection = |bit: BitId| Protection::from(TmrStyle::ALL[styles[bit.index()]]);
            let placement = Placement::new(&inventory, protection, NonZeroUsize::new(distance).unwrap());
            let mut flip_flops = 0;
            for bit in inventory.bit_ids() {
                for copy in (0..protection(bit).copies()).map(CopyIdx) {
                    let cell = placement.cell_of(FlipFlop { bit, copy });
                    prop_assert_eq!(placement.at(cell), Some(FlipFlop { bit, copy }));
                    let first = placement.cell_of(FlipFlop { bit, copy: CopyIdx(0) });
                    prop_assert_eq!(cast::index(cell.0 - first.0), distance * usize::from(copy.0));
                    flip_flops += 1;
                }
            }
            let placed: Vec<_> = (0..cast::id(placement.len())).filter_map(|cell| placement.at(CellIdx(cell))).collect();
            prop_assert_eq!(placed.len(), flip_flops);
            // A strike no larger than the distance hits no bit twice.
            for first in 0..cast::id(placement.len()) {
                let mut bits: Vec<BitId> = placement.struck(CellIdx(first), distance).map(|hit| hit.bit).collect();
                let hits = bits.len();
                bits.sort_unstable();
                bits.dedup();
                prop_assert_eq!(bits.len(), hits);
            }
        }
    }
}
