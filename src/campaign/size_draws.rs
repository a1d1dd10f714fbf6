//! `SizeDraws`: items drawn without replacement, each with a probability in proportion to its size.

use crate::fault::Draws;
use crate::num::cast;

/// Items not yet taken, with their sizes: sums of sizes in a binary indexed tree (Fenwick 1994), exact integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SizeDraws {
    /// Node `k` (from 1) holds the sum of the `k & -k` sizes that end with item `k - 1`.
    sums: Vec<u64>,
    sizes: Vec<u32>,
    left: u64,
}

impl SizeDraws {
    /// All items there.
    pub fn new(sizes: &[u32]) -> Self {
        let mut items = Self { sums: vec![0; sizes.len() + 1], sizes: vec![0; sizes.len()], left: 0 };
        for (item, size) in sizes.iter().enumerate() {
            items.sums[item + 1] += u64::from(*size);
            items.left += u64::from(*size);
            let parent = (item + 1) + lowest_bit(item + 1);
            if parent < items.sums.len() {
                items.sums[parent] += items.sums[item + 1];
            }
        }
        items.sizes.copy_from_slice(sizes);
        items
    }

    /// Sum of the sizes of the items there.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Takes an item out; once is enough.
    pub fn take(&mut self, item: usize) {
        let size = u64::from(std::mem::take(&mut self.sizes[item]));
        self.left -= size;
        let mut node = item + 1;
        while node < self.sums.len() {
            self.sums[node] -= size;
            node += lowest_bit(node);
        }
    }

    /// Draws an item that is there.
    ///
    /// # Panics
    /// When there is none.
    pub fn draw(&self, draws: &mut Draws) -> usize {
        let mut place = cast::u64_from_len(draws.below(usize::try_from(self.left).expect("sizes of a list add up")));
        let mut item = 0;
        let mut step = self.sizes.len().next_power_of_two();
        while step > 0 {
            let node = item + step;
            if node < self.sums.len() && self.sums[node] <= place {
                place -= self.sums[node];
                item = node;
            }
            step /= 2;
        }
        item
    }
}

const fn lowest_bit(number: usize) -> usize {
    number & number.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_proportion_to_their_size() {
        let sizes = [4_u32, 0, 2, 1, 1, 8];
        let mut counts = [0_u32; 6];
        let mut draws = Draws::new(5, 0);
        let items = SizeDraws::new(&sizes);
        for _ in 0..16_000 {
            counts[items.draw(&mut draws)] += 1;
        }
        assert_eq!(counts[1], 0, "nothing of no size");
        let expected = sizes.map(|size| f64::from(size) * 1000.0);
        // Chi-square with 4 degrees of freedom: 18.5 is exceeded once in a thousand seeds.
        let terms = counts.iter().zip(expected).filter(|(_, expected)| *expected > 0.0);
        let chi_square: f64 = terms.map(|(count, expected)| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(chi_square < 18.5, "{chi_square} {counts:?}");
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut items = SizeDraws::new(&[3, 1, 2, 5, 1, 1, 7]);
        let mut draws = Draws::new(1, 0);
        let mut taken = Vec::new();
        while items.left() > 0 {
            let item = items.draw(&mut draws);
            items.take(item);
            items.take(item);
            taken.push(item);
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
    }
}
