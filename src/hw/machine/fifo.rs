//! `Fifo`: packets waiting in front of a stage, in a ring of registers with a read pointer and a level.

use crate::num::cast;

/// A ring of `capacity` packets of `len` words each.
#[derive(Debug, Clone)]
pub(super) struct Fifo {
    words: Vec<i64>,
    len: usize,
    capacity: usize,
    /// Slot of the oldest packet.
    head: usize,
    level: usize,
}

impl Fifo {
    /// An empty ring.
    pub(super) fn new(len: usize, capacity: usize) -> Self {
        Self { words: vec![0; len * capacity], len, capacity, head: 0, level: 0 }
    }

    /// Packets that find room.
    pub(super) const fn slots(&self) -> u64 {
        cast::u64_from_len(self.capacity)
    }

    /// Packets waiting.
    pub(super) const fn level(&self) -> usize {
        self.level
    }

    /// Whether one more finds room; `pops` when one leaves at the same edge.
    pub(super) const fn has_room(&self, pops: bool) -> bool {
        self.level < self.capacity || pops
    }

    /// The oldest packet; what its slot holds when there is none.
    pub(super) fn front(&self) -> &[i64] {
        &self.words[self.head * self.len..][..self.len]
    }

    /// Removes the oldest packet.
    pub(super) fn pop(&mut self) {
        self.head = (self.head + 1) % self.capacity;
        self.level = self.level.saturating_sub(1);
    }

    /// Adds a packet. A ring whose level was disturbed may lose one.
    pub(super) fn push(&mut self, packet: &[i64]) {
        let slot = (self.head + self.level) % self.capacity;
        self.words[slot * self.len..][..self.len].copy_from_slice(packet);
        self.level += usize::from(self.level < self.capacity);
    }

    /// Turns the empty ring on, as packets do that come and go.
    pub(super) fn pass(&mut self, packets: u64) {
        assert_eq!(self.level, 0, "packets waiting");
        let on = usize::try_from(packets % self.slots()).expect("below the number of slots");
        self.head = (self.head + on) % self.capacity;
    }

    /// Number of words in all slots.
    pub(super) const fn words(&self) -> usize {
        self.words.len()
    }

    pub(super) fn word(&self, index: usize) -> i64 {
        self.words[index]
    }

    pub(super) fn word_mut(&mut self, index: usize) -> &mut i64 {
        &mut self.words[index]
    }

    /// Widths of the read pointer and the level.
    pub(super) fn control_bits(&self) -> [u32; 2] {
        [counter_bits(self.capacity - 1), counter_bits(self.capacity)]
    }

    pub(super) fn control(&self) -> [usize; 2] {
        [self.head, self.level]
    }

    /// Sets read pointer and level, as a disturbance leaves them: beyond the ring they wrap or are full.
    pub(super) fn set_control(&mut self, [head, level]: [usize; 2]) {
        self.head = head % self.capacity;
        self.level = level.min(self.capacity);
    }
}

/// Bits of a counter from 0 to `largest`, at least 1.
pub(super) fn counter_bits(largest: usize) -> u32 {
    (u64::BITS - cast::u64_from_len(largest).leading_zeros()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_in_the_order_in_which_they_came() {
        let mut fifo = Fifo::new(2, 3);
        assert!(fifo.has_room(false) && fifo.level() == 0);
        for packet in [[1, 2], [3, 4], [5, 6]] {
            fifo.push(&packet);
        }
        assert!(!fifo.has_room(false) && fifo.has_room(true));
        assert_eq!((fifo.front(), fifo.level(), fifo.words()), (&[1, 2][..], 3, 6));
        fifo.pop();
        fifo.push(&[7, 8]);
        let left: Vec<i64> = (0..3)
            .map(|_| {
                let first = fifo.front()[0];
                fifo.pop();
                first
            })
            .collect();
        assert_eq!((left, fifo.level()), (vec![3, 5, 7], 0));
        // Four packets have gone; two more leave the ring as at the beginning.
        fifo.pass(2);
        assert_eq!(fifo.control(), Fifo::new(2, 3).control());
        fifo.pass(1 << 40);
        assert_eq!(fifo.control(), [1, 0]);
    }

    #[test]
    fn counters_are_as_wide_as_their_largest_value() {
        assert_eq!([0, 1, 2, 3, 4, 1023, 1024].map(counter_bits), [1, 1, 2, 2, 3, 10, 11]);
        let fifo = Fifo::new(1, 1);
        assert_eq!((fifo.control_bits(), fifo.control()), ([1, 1], [0, 0]));
    }
}
