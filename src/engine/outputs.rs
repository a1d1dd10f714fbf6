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
    hashes: Vec<u64>,
    /// Open addressing, at most half full: the upper half of the hash, then the id plus 1; 0 is free.
    slots: Vec<u64>,
    order: Vec<OutputId>,
    keys: Vec<SortKey>,
}

/// Number of differences and first index; first value; id.
type SortKey = (u64, i64, OutputId);

impl OutputSet {
    /// Forgets all outputs and keeps the memory.
    pub fn clear(&mut self) {
        if self.hashes.len() * 16 < self.slots.len() {
            for position in 0..self.hashes.len() {
                // Freeing slots one by one would break the probing of those that are still sought, so they are found by
                // their own probing in the order they came in, reversed.
                let slot = self.find_slot_of(self.hashes.len() - 1 - position);
                self.slots[slot] = 0;
            }
        } else {
            self.slots.fill(0);
        }
        self.ends.clear();
        self.order.clear();
        self.indices.clear();
        self.values.clear();
        self.hashes.clear();
    }

    /// Number of distinct outputs.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of an output; equal outputs have the same number, and a new one the next.
    ///
    /// # Panics
    /// When the outputs of one event differ from the fault-free output in 2^32 values in all.
    pub fn intern(&mut self, output: &FaultyOutput<'_>) -> OutputId {
        if self.slots.len() < 2 * (self.len() + 1) {
            self.grow();
        }
        let (indices, values) = (output.indices(), output.values());
        let hash = hash(indices, values);
        let mask = self.slots.len() - 1;
        let mut slot = home(hash, mask);
        loop {
            let found = self.slots[slot];
            if found == 0 {
                break;
            }
            let id = OutputId(id_part(found) - 1);
            if found >> 32 == hash >> 32 && self.differences(id) == (indices, values) {
                return id;
            }
            slot = (slot + 1) & mask;
        }
        let id = OutputId(cast::id(self.len()));
        self.slots[slot] = entry(hash, id);
        self.indices.extend_from_slice(indices);
        self.values.extend_from_slice(values);
        self.ends.push(cast::id(self.indices.len()));
        self.hashes.push(hash);
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
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        keys.extend((0..cast::id(self.len())).map(OutputId).map(|id| {
            let (indices, values) = self.differences(id);
            (cast::u64_from_len(indices.len()) << 32 | u64::from(indices[0]), values[0], id)
        }));
        keys.sort_unstable_by(|a, b| {
            let order = (a.0, a.1).cmp(&(b.0, b.1));
            order.then_with(|| {
                let ((a_indices, a_values), (b_indices, b_values)) = (self.differences(a.2), self.differences(b.2));
                (a_values, a_indices).cmp(&(b_values, b_indices))
            })
        });
        self.order.clear();
        self.order.extend(keys.iter().map(|(_, _, id)| *id));
        self.keys = keys;
    }

    /// Doubles the table.
    fn grow(&mut self) {
        let len = (2 * self.slots.len()).max(1024);
        self.slots.clear();
        self.slots.resize(len, 0);
        for (position, hash) in self.hashes.iter().enumerate() {
            let mut slot = home(*hash, len - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (len - 1);
            }
            self.slots[slot] = entry(*hash, OutputId(cast::id(position)));
        }
    }

    fn find_slot_of(&self, position: usize) -> usize {
        let mask = self.slots.len() - 1;
        let sought = entry(self.hashes[position], OutputId(cast::id(position)));
        let mut slot = home(self.hashes[position], mask);
        while self.slots[slot] != sought {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

/// Mixes the differences by 64x64-bit products folded in half: cheap, and good enough for keys nobody chooses to collide.
#[inline]
fn hash(indices: &[u32], values: &[i64]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    indices.iter().zip(values).fold(ODD, |hash, (index, value)| {
        let key = value.cast_unsigned() ^ (u64::from(*index) << 40 | u64::from(*index));
        let product = u128::from(hash ^ key) * u128::from(ODD);
        cast::low_u64(product) ^ cast::low_u64(product >> 64)
    })
}

/// First slot to look at.
#[inline]
fn home(hash: u64, mask: usize) -> usize {
    cast::index_of_word(hash & u64::from(u32::MAX)) & mask
}

#[inline]
fn entry(hash: u64, id: OutputId) -> u64 {
    hash >> 32 << 32 | u64::from(id.0 + 1)
}

#[inline]
fn id_part(entry: u64) -> u32 {
    u32::try_from(entry & u64::from(u32::MAX)).expect("masked to 32 bits")
}
