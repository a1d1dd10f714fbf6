//! What single rises, or those of all clusters of one strike, predict for missions.

use std::num::NonZeroU64;

use super::super::ExactSum;
use super::effects::{EffectBook, EffectId, WrongRegisters};
use crate::fault::ClusterSizes;
use crate::hw::{BitId, CellIdx, Inventory, Load, Placement, Protection, WeightBank};
use crate::net::Network;
use crate::num::cast;

/// Cycles that a flip lasts on average, when it comes in a random cycle of a mission and stays until the next load or the
/// end.
///
/// Loads end cycles `P`, `2P` and so on, so the cycles fall into a first stretch of `P + 1`, stretches of `P` and a rest. In
/// a stretch of `L` a flip lasts `L`, `L - 1`, ... or 1 cycles.
pub fn mean_lasting_cycles(cycles: u64, scrub: Option<NonZeroU64>) -> f64 {
    if cycles == 0 {
        return 0.0;
    }
    let sum = |stretch: u64| i128::from(stretch) * (i128::from(stretch) + 1) / 2;
    let period = scrub.map_or(u64::MAX, NonZeroU64::get);
    let loads = (cycles - 1) / period;
    let all = if loads == 0 {
        sum(cycles)
    } else {
        sum(period + 1) + i128::from(loads - 1) * sum(period) + sum(cycles - 1 - loads * period)
    };
    cast::f64_from_i128(all) / cast::f64_from_u64(cycles)
}

/// Expected rise of the mean error that a strike leaves, as the sum over the cells that it hits of what each does alone.
/// `rise` is that of a cell by its bit, 0 where it is masked.
pub(super) fn first_order(placement: &Placement, sizes: &ClusterSizes, rise: impl Fn(BitId) -> f64) -> f64 {
    let cells = (0..cast::id(placement.len())).filter_map(|cell| Some((cell, placement.at(CellIdx(cell))?)));
    let sum: ExactSum = cells
        .map(|(cell, flip_flop)| {
            // Clusters reach up from their first cell: the first cells of the row are hit by fewer.
            let times: f64 = sizes
                .shares()
                .iter()
                .map(|(size, share)| share * cast::f64_from_count(*size).min(f64::from(cell) + 1.0))
                .sum();
            ExactSum::of(rise(flip_flop.bit) * times).expect("a rise times a few cells can be added up")
        })
        .sum();
    sum.value() / cast::f64_from_count(placement.len())
}

/// What every strike of one plan does: for every size of a cluster with its share, the effect at each first cell.
#[derive(Debug)]
pub(super) struct ClusterEffects {
    cells: usize,
    by_size: Vec<(f64, Vec<EffectId>)>,
}

impl ClusterEffects {
    /// Lets every cluster strike registers in order, one after another with a load between.
    pub(super) fn new(
        network: &Network,
        inventory: &Inventory,
        plan: &[Protection],
        placement: &Placement,
        sizes: &ClusterSizes,
        book: &mut EffectBook,
    ) -> Self {
        let mut bank = WeightBank::new(network, inventory, |bit| plan[bit.index()]);
        let mut effect = |first: u32, size: usize| {
            let wrong = struck(&mut bank, inventory, placement, CellIdx(first), size);
            (!wrong.is_empty()).then(|| book.intern(wrong))
        };
        let of_size = |(size, share): &(usize, f64)| {
            let effects = (0..cast::id(placement.len())).filter_map(|first| effect(first, *size));
            (*share, effects.collect())
        };
        let by_size = sizes.shares().iter().filter(|(_, share)| *share > 0.0).map(of_size).collect();
        Self { cells: placement.len(), by_size }
    }

    /// Expected rise of the mean error that a strike leaves; all effects have been evaluated.
    pub(super) fn mean_rise(&self, book: &EffectBook) -> f64 {
        let sum: ExactSum = self
            .by_size
            .iter()
            .flat_map(|(share, effects)| effects.iter().map(move |effect| share * book.rise(*effect)))
            .map(|rise| ExactSum::of(rise).expect("means of what was added up"))
            .sum();
        sum.value() / cast::f64_from_count(self.cells)
    }
}

/// What is read wrong after a strike on a bank in order, which is put right again.
fn struck(
    bank: &mut WeightBank,
    inventory: &Inventory,
    placement: &Placement,
    first: CellIdx,
    size: usize,
) -> WrongRegisters {
    for hit in placement.struck(first, size) {
        let (register, place) = inventory.locate_bit(hit.bit);
        bank.flip(register, place, hit.copy);
    }
    bank.settle();
    let wrong = bank.wrong_values();
    bank.tick(Load::Reload);
    bank.settle();
    bank.tick(Load::Hold);
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_last_until_the_next_load_or_the_end() {
        for cycles in [1_u64, 2, 3, 7, 10, 11, 12, 100] {
            for scrub in [None, Some(1), Some(2), Some(5), Some(10), Some(11), Some(12), Some(1000), Some(u64::MAX)] {
                // Every cycle in which a flip can come, counted out.
                let lasts = |start: u64| {
                    let is_load = |cycle: u64| cycle > 0 && scrub.is_some_and(|period| cycle.is_multiple_of(period));
                    let end = (start..cycles).find(|cycle| is_load(*cycle)).unwrap_or(cycles - 1);
                    end - start + 1
                };
                let sum: u64 = (0..cycles).map(lasts).sum();
                let mean = mean_lasting_cycles(cycles, scrub.and_then(NonZeroU64::new));
                assert_eq!(mean, cast::f64_from_u64(sum) / cast::f64_from_u64(cycles), "{cycles} {scrub:?}");
            }
        }
        // A day at 40 MHz, scrubbed every second: half a second.
        let mean = mean_lasting_cycles(3_456_000_000_000, NonZeroU64::new(40_000_000));
        assert!((mean / 20_000_000.0 - 1.0).abs() < 1e-6, "{mean}");
        assert_eq!(mean_lasting_cycles(0, None), 0.0);
    }
}
