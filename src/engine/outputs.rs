//! `FaultyOutput` and `OutputSet`: outputs that differ from the fault-free one, and the distinct ones among them.
//!
//! An output is kept as its differences from the fault-free output of the same event. What an output means or costs is the
//! host's business.

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
    keys: Vec<Key>,
    /// Open addressing, at most half full.
    slots: Vec<Slot>,
    order: Vec<OutputId>,
    sorted: Vec<u128>,
}

/// Stands for an output in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Says all: no other output has it.
    Whole(u64),
    /// A hash.
    Hash(u64),
}

/// A place in the table.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// What [`Key`] holds.
    word: u64,
    /// The id plus 1; 0 is free.
    id_plus_1: u32,
    /// Whether the key says all.
    whole: bool,
}

impl Slot {
    fn new(key: Key, id: OutputId) -> Self {
        let id_plus_1 = id.0 + 1;
        match key {
            Key::Whole(word) => Self { word, id_plus_1, whole: true },
            Key::Hash(word) => Self { word, id_plus_1, whole: false },
        }
    }

    const fn is_free(&self) -> bool {
        self.id_plus_1 == 0
    }

    const fn id(&self) -> OutputId {
        OutputId(self.id_plus_1 - 1)
    }
}

impl OutputSet {
    /// Forgets all outputs and keeps the memory.
    pub fn clear(&mut self) {
        if self.keys.len() * 16 < self.slots.len() {
            // The last to come is the first to go: what others were placed behind is still there when they are looked for.
            for position in (0..self.keys.len()).rev() {
                let id_plus_1 = cast::id(position) + 1;
                let slot = self.probe(self.keys[position], |slot| slot.id_plus_1 == id_plus_1);
                self.slots[slot] = Slot::default();
            }
        } else {
            self.slots.fill(Slot::default());
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
        let slot = match key {
            Key::Whole(word) => self.probe(key, |slot| slot.word == word && slot.whole),
            Key::Hash(word) => self.probe(key, |slot| {
                slot.word == word && !slot.whole && equal(self.differences(slot.id()), (indices, values))
            }),
        };
        if !self.slots[slot].is_free() {
            return self.slots[slot].id();
        }
        let id = OutputId(cast::id(self.len()));
        self.slots[slot] = Slot::new(key, id);
        for (index, value) in indices.iter().zip(values) {
            self.indices.push(*index);
            self.values.push(*value);
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

    /// All outputs in the order that [`OutputSet::sort_by_likeness`] left them in; none before it was called.
    pub fn by_likeness(&self) -> &[OutputId] {
        &self.order
    }

    /// Orders the outputs by number of differences, then first index, then values and further indices, so that neighbors
    /// are alike.
    pub fn sort_by_likeness(&mut self) {
        // All but the ties is decided by one word: number of differences, first index, first value as far as 32 bits tell
        // it, each of 32 bits; the id stands below.
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        sorted.extend((0..cast::id(self.len())).map(|id| {
            let (indices, values) = self.differences(OutputId(id));
            let value = values[0].clamp(i64::from(i32::MIN), i64::from(i32::MAX)) - i64::from(i32::MIN);
            let head = cast::u64_from_len(indices.len()) << 32 | u64::from(indices[0]);
            u128::from(head) << 64 | u128::from(value.cast_unsigned() << 32 | u64::from(id))
        }));
        sorted.sort_unstable();
        self.order.clear();
        self.order.extend(sorted.iter().map(|word| OutputId(id_part(*word))));
        let mut order = std::mem::take(&mut self.order);
        let mut start = 0;
        for tied in sorted.chunk_by(|a, b| a >> 32 == b >> 32) {
            if tied.len() > 1 {
                order[start..start + tied.len()].sort_unstable_by(|a, b| {
                    let ((a_indices, a_values), (b_indices, b_values)) = (self.differences(*a), self.differences(*b));
                    (a_values, a_indices).cmp(&(b_values, b_indices))
                });
            }
            start += tied.len();
        }
        self.order = order;
        self.sorted = sorted;
    }

    /// The first slot from the key's own on that is free or `found`.
    #[inline]
    fn probe(&self, key: Key, found: impl Fn(&Slot) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = home(key) & mask;
        while !(self.slots[at].is_free() || found(&self.slots[at])) {
            at = (at + 1) & mask;
        }
        at
    }

    /// Doubles the table.
    #[cold]
    fn grow(&mut self) {
        let len = (2 * self.slots.len()).max(1024);
        self.slots.clear();
        self.slots.resize(len, Slot::default());
        for position in 0..self.keys.len() {
            let key = self.keys[position];
            let slot = self.probe(key, |_| false);
            self.slots[slot] = Slot::new(key, OutputId(cast::id(position)));
        }
    }
}

/// Most outputs differ in one value of moderate size: index and value then are the key, mixed by steps that can be undone.
#[inline]
fn key(indices: &[u32], values: &[i64]) -> Key {
    match (indices, values) {
        ([index], [value]) if i32::try_from(*value).is_ok() => {
            let word = u64::from(*index) << 32 | (value.cast_unsigned() & u64::from(u32::MAX));
            let mixed = word.wrapping_mul(ODD);
            Key::Whole(mixed ^ mixed >> 32)
        }
        _ => Key::Hash(hash(indices, values)),
    }
}

/// An odd number without pattern: 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn equal(a: (&[u32], &[i64]), b: (&[u32], &[i64])) -> bool {
    a.0.len() == b.0.len() && a.0.iter().zip(b.0).all(|(a, b)| a == b) && a.1.iter().zip(b.1).all(|(a, b)| a == b)
}

/// Mixes the differences by 64x64-bit products folded in half: cheap, and good enough for keys nobody chooses to collide.
#[inline]
fn hash(indices: &[u32], values: &[i64]) -> u64 {
    indices.iter().zip(values).fold(ODD, |hash, (index, value)| {
        let key = value.cast_unsigned() ^ (u64::from(*index) << 40 | u64::from(*index));
        let product = u128::from(hash ^ key) * u128::from(ODD);
        cast::low_u64(product) ^ cast::low_u64(product >> 64)
    })
}

/// First slot to look at, in a table of any size.
#[inline]
fn home(key: Key) -> usize {
    let (Key::Whole(word) | Key::Hash(word)) = key;
    cast::index_of_word(word & u64::from(u32::MAX))
}

#[inline]
fn id_part(word: u128) -> u32 {
    u32::try_from(word & u128::from(u32::MAX)).expect("masked to 32 bits")
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
            set.sort_by_likeness();
            assert_eq!(set.by_likeness().iter().map(|id| id.0).collect::<Vec<_>>(), [3, 0, 2, 1, 4, 5, 6]);
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
            set.sort_by_likeness();
            assert_eq!(set.by_likeness().len(), set.len());
            set.clear();
            assert!(set.slots.iter().all(Slot::is_free));
        }
    }
}
