//! `Ledger`: what becomes of every upset flip-flop.

use crate::fault::Upset;
use crate::hw::{CopyIdx, FlipFlop, Inventory, Load, Protection, RegisterId, WeightBank};
use crate::num::BitIdx;

/// What became of the upsets of a mission.
///
/// `upsets` is the sum of `by_feedback`, `by_reload`, `undone`, `latent` and `wrong`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpsetCounts {
    /// Strikes on cells.
    pub strikes: u64,
    /// Disturbed lines.
    pub transients: u64,
    /// Bits of state other than weight registers that were inverted.
    pub other_state: u64,
    /// Flip-flops that got stuck.
    pub stuck: u64,
    /// Flip-flops inverted, by strikes or by a list.
    pub upsets: u64,
    /// Of these, where the vote of the bit stayed what it was in the cycle of the upset.
    pub masked: u64,
    /// Where copies of a bit with an error flag differed in the cycle of the upset.
    pub detected: u64,
    /// Written over by the voted value.
    pub by_feedback: u64,
    /// Written over by a reload.
    pub by_reload: u64,
    /// Inverted again by another upset, which counts here too; or in a bit that is right again for such a reason.
    pub undone: u64,
    /// Still there at the end, in a bit that is read right.
    pub latent: u64,
    /// Still there at the end, in a bit that is read wrong.
    pub wrong: u64,
}

/// A flip-flop with its place.
#[derive(Debug, Clone, Copy)]
struct Place {
    flip_flop: FlipFlop,
    register: RegisterId,
    bit: BitIdx,
}

/// An upset of this cycle, or one of a bit with feedback whose registers are not at rest yet.
#[derive(Debug, Clone, Copy)]
struct Fresh {
    place: Place,
    was_wrong: bool,
    /// What its bit voted for before.
    voted: bool,
}

/// The books of one mission.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    inventory: &'a Inventory,
    protection: &'a [Protection],
    pub(super) counts: UpsetCounts,
    /// By flip-flop: is it as an upset left it?
    is_outstanding: Vec<bool>,
    /// Those, and some that were.
    outstanding: Vec<Place>,
    fresh: Vec<Fresh>,
    pending: Vec<Fresh>,
}

/// Copies that any bit has, at most.
const COPIES: usize = 3;

fn number(flip_flop: FlipFlop) -> usize {
    flip_flop.bit.index() * COPIES + usize::from(flip_flop.copy.0)
}

impl<'a> Ledger<'a> {
    pub(super) fn new(inventory: &'a Inventory, protection: &'a [Protection]) -> Self {
        Self {
            inventory,
            protection,
            counts: UpsetCounts::default(),
            is_outstanding: vec![false; inventory.bits() * COPIES],
            outstanding: Vec::new(),
            fresh: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn place(&self, flip_flop: FlipFlop) -> Place {
        let (register, bit) = self.inventory.locate_bit(flip_flop.bit);
        Place { flip_flop, register, bit }
    }

    fn protection(&self, place: Place) -> Protection {
        self.protection[place.flip_flop.bit.index()]
    }

    /// Upsets of this cycle that the vote masks, in bits whose copies agreed; nothing is loaded before the registers
    /// are at rest again.
    pub(super) fn masked(&mut self, upsets: &[Upset]) {
        for upset in upsets {
            let Upset::Flip(flip_flop) = *upset else { continue };
            let place = self.place(flip_flop);
            let protection = self.protection(place);
            self.counts.upsets += 1;
            self.counts.masked += 1;
            self.counts.detected += u64::from(protection.reports_errors());
            if protection.style.repairs() {
                self.counts.by_feedback += 1;
            } else {
                self.toggle(place);
            }
        }
    }

    /// Before the upsets of a cycle are applied.
    pub(super) fn before(&mut self, upsets: &[Upset], bank: &WeightBank) {
        for upset in upsets {
            match *upset {
                Upset::Flip(flip_flop) => {
                    let place = self.place(flip_flop);
                    let was_wrong = bank.is_wrong(place.register, place.bit, flip_flop.copy);
                    let voted = bank.voted_bit(place.register, place.bit);
                    self.fresh.push(Fresh { place, was_wrong, voted });
                }
                Upset::Stick(..) => self.counts.stuck += 1,
                Upset::Glitch(..) => self.counts.transients += 1,
                Upset::State(_) => self.counts.other_state += 1,
            }
        }
    }

    /// After they are applied, before the voters settle.
    pub(super) fn after(&mut self, bank: &WeightBank) {
        for fresh in std::mem::take(&mut self.fresh) {
            let Fresh { place, voted, .. } = fresh;
            let protection = self.protection(place);
            self.counts.upsets += 1;
            self.counts.masked += u64::from(bank.voted_bit(place.register, place.bit) == voted);
            let differs = |copy| bank.copy(place.register, place.bit, CopyIdx(copy));
            let disagree = (1..protection.copies()).any(|copy| differs(copy) != differs(0));
            self.counts.detected += u64::from(protection.reports_errors() && disagree);
            if protection.style.repairs() {
                self.pending.push(fresh);
            } else {
                self.toggle(place);
            }
        }
    }

    /// After a clock edge with a load: `load` is what the registers did.
    pub(super) fn loaded(&mut self, bank: &WeightBank, load: Load) {
        if load == Load::Hold {
            return;
        }
        for fresh in std::mem::take(&mut self.pending) {
            let Place { flip_flop, register, bit } = fresh.place;
            // What is still as the upset left it, a disturbed line has kept from the load.
            if bank.is_wrong(register, bit, flip_flop.copy) {
                self.toggle(fresh.place);
            } else if !self.is_outstanding[number(flip_flop)] {
                self.counts.by_reload += 1;
            } else {
                // The strike made it right just before the load did.
                self.toggle(fresh.place);
            }
        }
        let mut outstanding = std::mem::take(&mut self.outstanding);
        outstanding.retain(|place| {
            let is_there = self.is_outstanding[number(place.flip_flop)];
            let loaded = is_there && !bank.is_wrong(place.register, place.bit, place.flip_flop.copy);
            if loaded {
                self.is_outstanding[number(place.flip_flop)] = false;
                self.counts.by_reload += 1;
            }
            is_there && !loaded
        });
        self.outstanding = outstanding;
    }

    /// When the registers are at rest: what feedback has written over.
    pub(super) fn at_rest(&mut self, bank: &WeightBank) {
        for fresh in std::mem::take(&mut self.pending) {
            let Place { flip_flop, register, bit } = fresh.place;
            if bank.is_wrong(register, bit, flip_flop.copy) == fresh.was_wrong {
                self.counts.by_feedback += 1;
            } else {
                self.toggle(fresh.place);
            }
        }
    }

    /// When the mission is over.
    pub(super) fn end(mut self, bank: &WeightBank) -> UpsetCounts {
        self.at_rest(bank);
        for Place { flip_flop, register, bit } in std::mem::take(&mut self.outstanding) {
            if !std::mem::take(&mut self.is_outstanding[number(flip_flop)]) {
                continue;
            }
            let copies = || (0..self.protection[flip_flop.bit.index()].copies()).map(CopyIdx);
            let intended = bank.copy(register, bit, CopyIdx(0)) ^ bank.is_wrong(register, bit, CopyIdx(0));
            if bank.voted_bit(register, bit) != intended {
                self.counts.wrong += 1;
            } else if copies().any(|copy| bank.is_wrong(register, bit, copy)) {
                self.counts.latent += 1;
            } else {
                self.counts.undone += 1;
            }
        }
        self.counts
    }

    /// A flip-flop was inverted and stays so: a second time in a row undoes both.
    fn toggle(&mut self, place: Place) {
        let is_outstanding = &mut self.is_outstanding[number(place.flip_flop)];
        if std::mem::replace(is_outstanding, !*is_outstanding) {
            self.counts.undone += 2;
        } else {
            self.outstanding.push(place);
        }
    }
}
