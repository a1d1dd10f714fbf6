//! `FaultyOutput` and `OutputSet`: outputs that differ from the fault-free one, and the distinct ones among them.
//!
//! An output is kept as its differences from the fault-free output of the same event. What an output means or costs is
//! the host's business.

use crate::num::cast;

/// An output that differs from the fault-free one of the same event in at least one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultyOutput<'a> {
    golden: &'a [i64],
    indices: &'a [u32],
    values: &'a [i64],
}

impl<'a> FaultyOutput<'a> {
    /// `indices` ascend, `values` differ from `golden` there.
    pub(super) fn new(golden: &'a [i64], indices: &'a [u32], values: &'a [i64]) -> Self {
        debug_assert!(indices.len() == values.len() && indices.is_sorted() && !indices.is_empty());
        Self { golden, indices, values }
    }

    /// The fault-free raw output.
    pub const fn golden(&self) -> &'a [i64] {
        self.golden
    }

    /// Indices of the values that differ, ascending; at least one.
    pub const fn indices(&self) -> &'a [u32] {
        self.indices
    }

    /// The raw values at [`FaultyOutput::indices`].
    pub const fn values(&self) -> &'a [i64] {
        self.values
    }

    /// Indices and raw values that differ from the fault-free output.
    pub fn differences(&self) -> impl ExactSizeIterator<Item = (usize, i64)> + use<'a> {
        self.indices.iter().zip(self.values).map(|(index, value)| (cast::index(*index), *value))
    }

    /// All raw values.
    pub fn to_vec(&self) -> Vec<i64> {
        let mut output = self.golden.to_vec();
        for (index, value) in self.differences() {
            output[index] = value;
        }
        output
    }
}

/// One of the outputs of an [`OutputSet`]: they are numbered from 0 as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputId(pub u32);

impl OutputId {
    /// Position among the outputs.
    pub const fn index(self) -> usize {
        cast::index(self.0)
    }
}

/// The distinct faulty outputs of one event.
///
/// Keeps its memory from event to event: call [`OutputSet::clear`] between them.
#[derive(Debug, Clone, Default)]
pub struct OutputSet {
    /// Where each output's differences end; they start where the ones before it end.
    ends: Vec<u32>,
    indices: Vec<u32>,
    values: Vec<i64>,
    /// What each output is known by; see [`key`].
    keys: Vec<u64>,
    /// Open addressing, at most half full: the upper half of the mixed key, then the id plus 1; 0 is free.
    slots: Vec<u64>,
    order: Vec<OutputId>,
    sorted: Vec<(u128, OutputId)>,
}

impl OutputSet {
    /// Forgets all outputs and keeps the memory.
    pub fn clear(&mut self) {
        if self.keys.len() * 16 < self.slots.len() {
            // The last to come is the first to go: what others were placed behind is still there when they are looked
            // for.
            for position in (0..self.keys.len()).rev() {
                let mixed = mix(self.keys[position]);
                let sought = entry(mixed, OutputId(cast::id(position)));
                let slot = self.probe(mixed, |slot| slot == sought);
                self.slots[slot] = 0;
            }
        } else {
            self.slots.fill(0);
        }
        self.ends.clear();
        self.order.clear();
        self.indices.clear();
        self.values.clear();
        self.keys.clear();
    }

    /// Number of distinct outputs.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of an output; equal outputs have the same number, and a new one the next.
    ///
    /// # Panics
    /// When the outputs of one event differ from the fault-free output in 2^32 values in all.
    #[inline]
    pub fn intern(&mut self, output: &FaultyOutput<'_>) -> OutputId {
        if self.slots.len() < 2 * (self.len() + 1) {
            self.grow();
        }
        let (indices, values) = (output.indices(), output.values());
        let key = key(indices, values);
        let mixed = mix(key);
        let slot = self.probe(mixed, |slot| {
            let id = id_of(slot);
            slot >> 32 == mixed >> 32
                && self.keys[id.index()] == key
                && (tells_all(key) || equal(self.differences(id), (indices, values)))
        });
        if self.slots[slot] != 0 {
            return id_of(self.slots[slot]);
        }
        let id = OutputId(cast::id(self.len()));
        self.slots[slot] = entry(mixed, id);
        if let ([index], [value]) = (indices, values) {
            self.indices.push(*index);
            self.values.push(*value);
        } else {
            self.indices.extend_from_slice(indices);
            self.values.extend_from_slice(values);
        }
        self.ends.push(cast::id(self.indices.len()));
        self.keys.push(key);
        id
    }

    /// Indices and raw values of an output that differ from the fault-free output; indices ascend.
    pub fn differences(&self, id: OutputId) -> (&[u32], &[i64]) {
        let start = if id.0 == 0 { 0 } else { cast::index(self.ends[id.index() - 1]) };
        let span = start..cast::index(self.ends[id.index()]);
        (&self.indices[span.clone()], &self.values[span])
    }

    /// All outputs in the order in which they came.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = OutputId> + use<> {
        (0..cast::id(self.len())).map(OutputId)
    }

    /// All outputs in the order that [`OutputSet::sort_by_likeness`] left them in; none before it was called.
    pub fn by_likeness(&self) -> &[OutputId] {
        &self.order
    }

    /// Orders the outputs so that neighbors are alike, given the fault-free output they differ from: by number of
    /// differences and first index; then those whose value there is larger before those where it is smaller, and ever
    /// farther from the fault-free value.
    ///
    /// # Panics
    /// When `golden` is shorter than the outputs.
    pub fn sort_by_likeness(&mut self, golden: &[i64]) {
        // All that counts first in one number; its lower half is direction and distance of the first value, which is
        // below 2^63 because no signal needs more than 62 bits and a sign.
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        sorted.extend((0..cast::id(self.len())).map(OutputId).map(|id| {
            let (indices, values) = self.differences(id);
            let golden = golden[cast::index(indices[0])];
            let head = cast::u64_from_len(indices.len()) << 32 | u64::from(indices[0]);
            let step = u64::from(values[0] < golden) << 63 | values[0].abs_diff(golden);
            (u128::from(head) << 64 | u128::from(step), id)
        }));
        sorted.sort_unstable_by(|(a_key, a), (b_key, b)| {
            a_key.cmp(b_key).then_with(|| self.differences(*a).cmp(&self.differences(*b)))
        });
        self.order.clear();
        self.order.extend(sorted.iter().map(|(_, id)| *id));
        self.sorted = sorted;
    }

    /// The first slot from the mixed key's own on that is free or whose content is `found`.
    #[inline]
    fn probe(&self, mixed: u64, found: impl Fn(u64) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = cast::index(low_half(mixed)) & mask;
        while !(self.slots[at] == 0 || found(self.slots[at])) {
            at = (at + 1) & mask;
        }
        at
    }

    /// Doubles the table.
    #[cold]
    fn grow(&mut self) {
        let len = (2 * self.slots.len()).max(1024);
        self.slots.clear();
        self.slots.resize(len, 0);
        for position in 0..self.keys.len() {
            let mixed = mix(self.keys[position]);
            let slot = self.probe(mixed, |_| false);
            self.slots[slot] = entry(mixed, OutputId(cast::id(position)));
        }
    }
}

/// An odd number without pattern: 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Most outputs differ in one value of moderate size: index and value then are the key, an even one. Otherwise it is an
/// odd hash of all differences: a sum, so that its terms are computed side by side.
#[inline]
fn key(indices: &[u32], values: &[i64]) -> u64 {
    match (indices, values) {
        ([index @ 0..=0x7fff_ffff], [value]) if i32::try_from(*value).is_ok() => {
            u64::from(*index) << 33 | (value.cast_unsigned() & u64::from(u32::MAX)) << 1
        }
        _ => {
            let terms = indices.iter().zip(values).map(|(index, value)| {
                mix(value.cast_unsigned() ^ (u64::from(*index) + 1).wrapping_mul(0xd1b5_4a32_d192_ed03))
            });
            terms.fold(0, u64::wrapping_add) | 1
        }
    }
}

/// Whether no other output can have the key.
#[inline]
const fn tells_all(key: u64) -> bool {
    key & 1 == 0
}

/// Spreads a key over all bits: cheap, and good enough for keys that nobody chooses to collide.
#[inline]
const fn mix(key: u64) -> u64 {
    let mixed = (key ^ key >> 32).wrapping_mul(ODD);
    (mixed ^ mixed >> 29).wrapping_mul(ODD)
}

#[inline]
fn equal(a: (&[u32], &[i64]), b: (&[u32], &[i64])) -> bool {
    a.0.len() == b.0.len() && a.0.iter().zip(b.0).all(|(a, b)| a == b) && a.1.iter().zip(b.1).all(|(a, b)| a == b)
}

#[inline]
fn entry(mixed: u64, id: OutputId) -> u64 {
    mixed >> 32 << 32 | u64::from(id.0 + 1)
}

#[inline]
fn id_of(entry: u64) -> OutputId {
    OutputId(low_half(entry) - 1)
}

#[inline]
fn low_half(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [i64; 4] = [5, 6, 7, 8];

    fn number(set: &mut OutputSet, differences: &[(u32, i64)]) -> u32 {
        let (indices, values): (Vec<u32>, Vec<i64>) = differences.iter().copied().unzip();
        set.intern(&FaultyOutput::new(&GOLDEN, &indices, &values)).0
    }

    #[test]
    fn equal_outputs_have_one_number() {
        let mut set = OutputSet::default();
        // A value beyond 32 bits, and one that agrees with another in its low half.
        let wide = 9 + (1 << 32);
        let outputs: [&[(u32, i64)]; 7] = [
            &[(0, 9)],
            &[(1, 9)],
            &[(0, wide)],
            &[(0, -9)],
            &[(0, 9), (1, 9)],
            &[(0, 9), (2, 9)],
            &[(0, 9), (1, wide)],
        ];
        for _ in 0..2 {
            assert!(set.is_empty());
            for round in 0..2 {
                for (expected, output) in (0..).zip(outputs) {
                    assert_eq!(number(&mut set, output), expected, "round {round}");
                }
            }
            assert_eq!(set.len(), outputs.len());
            set.sort_by_likeness(&GOLDEN);
            assert_eq!(set.by_likeness().iter().map(|id| id.0).collect::<Vec<_>>(), [0, 2, 3, 1, 4, 6, 5]);
            assert_eq!(set.differences(OutputId(5)), (&[0, 2][..], &[9, 9][..]));
            set.clear();
            assert!(set.by_likeness().is_empty());
        }
    }

    #[test]
    fn the_table_grows_and_is_emptied() {
        let mut set = OutputSet::default();
        // Many outputs first, so that the table is large; then few, which are removed one by one; then many again.
        for count in [5_000, 40, 7, 0, 5_000] {
            for _ in 0..2 {
                for value in 0..count {
                    let id = u32::try_from(value).unwrap();
                    let differences: &[(u32, i64)] =
                        if value % 3 == 0 { &[(1, value), (3, -value)] } else { &[(2, 100 * value)] };
                    assert_eq!(number(&mut set, differences), id);
                }
            }
            set.sort_by_likeness(&GOLDEN);
            assert_eq!(set.by_likeness().len(), set.len());
            set.clear();
            assert!(set.slots.iter().all(|slot| *slot == 0));
        }
    }
}
