//! Sorting numbered keys digit by digit: faster than comparing them when there are thousands and few digits vary.
//!
//! Which things the keys stand for, and what to do with equal ones, is up to the caller.

use crate::num::cast;

/// Below this many, comparing is faster.
const FEW: usize = 48;

/// A key and the number of what it stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Numbered {
    /// Upper and lower part of the key.
    pub(super) key: [u64; 2],
    /// The number.
    pub(super) id: u32,
}

/// Sorts by key, equal keys by number; numbers must ascend to begin with. `spare` is memory only.
pub(super) fn sort(items: &mut Vec<Numbered>, spare: &mut Vec<Numbered>) {
    debug_assert!(items.is_sorted_by_key(|item| item.id));
    if items.len() < FEW {
        items.sort_unstable();
        return;
    }
    let first = items[0].key;
    let varying = items
        .iter()
        .fold([0; 2], |varying, item| [varying[0] | (item.key[0] ^ first[0]), varying[1] | (item.key[1] ^ first[1])]);
    // Least significant digit first; every pass keeps the order of what agrees in its digit.
    for (part, shift) in [1, 0].into_iter().flat_map(|part| (0..64).step_by(8).map(move |shift| (part, shift))) {
        let digit = |key: &[u64; 2]| cast::index_of_word(key[part] >> shift & 0xff);
        if digit(&varying) == 0 {
            continue;
        }
        let mut starts = [0_usize; 256];
        for item in &*items {
            starts[digit(&item.key)] += 1;
        }
        let mut start = 0;
        for count in &mut starts {
            start += std::mem::replace(count, start);
        }
        spare.clear();
        spare.resize(items.len(), Numbered::default());
        for item in &*items {
            let place = &mut starts[digit(&item.key)];
            spare[*place] = *item;
            *place += 1;
        }
        std::mem::swap(items, spare);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_sorting_by_comparison(
            keys in prop::collection::vec((any::<u64>(), any::<u64>()), 0..300), masks: [u64; 2], small: bool
        ) {
            let mask = masks.map(|mask| if small { mask & 0x0103 } else { mask });
            let numbered = |(id, (high, low)): (u32, &(u64, u64))| Numbered { key: [high & mask[0], low & mask[1]], id };
            let mut items: Vec<Numbered> = (0..).zip(&keys).map(numbered).collect();
            let mut expected = items.clone();
            expected.sort();
            sort(&mut items, &mut vec![Numbered::default(); 7]);
            prop_assert_eq!(items, expected);
        }
    }
}
