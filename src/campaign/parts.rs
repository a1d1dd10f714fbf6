//! Work over the events of a list in parallel, with results that do not depend on the threads.

use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

/// Most parts that a list is cut into: enough for many threads, few enough to keep a result of each.
const PARTS: usize = 32;

/// Cuts `0..count` into consecutive parts, runs `work` on each, and gives the results in the order of the parts.
///
/// The parts depend on `count` alone, so whoever folds the results in their order gets the same bits with any number of
/// threads.
pub fn map_parts<T: Send>(count: usize, work: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let parts = count.min(PARTS);
    let start = |part: usize| count / parts.max(1) * part + (count % parts.max(1)).min(part);
    (0..parts).into_par_iter().with_max_len(1).map(|part| work(start(part)..start(part + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_list_in_order() {
        for count in [0, 1, 2, 31, 32, 33, 1000] {
            let parts = map_parts(count, |part| part);
            assert_eq!(parts.len(), count.min(PARTS));
            assert_eq!(parts.into_iter().flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
    }
}
