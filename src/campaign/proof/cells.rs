//! `CellReads`: every cell of some bits upset alone, and what is then read of the registers.

use std::fmt;

use super::effects::{EffectBook, EffectId};
use crate::hw::{BitId, CopyIdx, FlipFlop, Inventory, Load, Protection, WeightBank};
use crate::net::Network;

/// What a cell did that its style does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// In the cycle of the upset the register is read wrong though copies outvote the cell, or right though none does.
    Vote,
    /// Two clocks after the upset, without a load, the registers are not read as the style says: as before the upset
    /// where voters mask it or feedback has repaired it, as in the cycle of the upset otherwise.
    Read,
    /// After the next clock the copy is not repaired though the style feeds the vote back, or is though it does not.
    Repair,
    /// The error flag is not up in the cycle of the upset, or not as long as the copies differ.
    Flag,
    /// A load does not put everything right.
    Load,
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vote => "is not read as its style says in the cycle of the upset",
            Self::Read => "is not read as its style says after the next clock",
            Self::Repair => "is not repaired as its style says at the next clock",
            Self::Flag => "is not reported as its error flag says",
            Self::Load => "is not put right by a load",
        })
    }
}

/// A cell that lapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LapseAt {
    /// The cell.
    pub cell: FlipFlop,
    /// What it did.
    pub lapse: Lapse,
}

/// A cell after whose upset registers are read wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrongRead {
    /// Position of its bit among the candidates.
    pub(super) candidate: usize,
    /// What is read.
    pub(super) effect: EffectId,
}

/// What the cells of one plan did.
#[derive(Debug)]
pub(super) struct CellReads {
    pub(super) cells: usize,
    pub(super) wrong: Vec<WrongRead>,
    pub(super) lapses: usize,
    pub(super) first_lapse: Option<LapseAt>,
}

impl CellReads {
    /// Upsets each copy of each candidate, one after another, with a load between.
    pub(super) fn new(
        network: &Network,
        inventory: &Inventory,
        candidates: &[BitId],
        plan: &[Protection],
        book: &mut EffectBook,
    ) -> Self {
        let mut bank = WeightBank::new(network, inventory, |bit| plan[bit.index()]);
        let mut reads = Self { cells: 0, wrong: Vec::new(), lapses: 0, first_lapse: None };
        for (candidate, bit) in candidates.iter().enumerate() {
            let protection = plan[bit.index()];
            for copy in (0..protection.copies()).map(CopyIdx) {
                let cell = FlipFlop { bit: *bit, copy };
                reads.cells += 1;
                let (effect, lapse) = upset(&mut bank, inventory, cell, protection, book);
                reads.wrong.extend(effect.map(|effect| WrongRead { candidate, effect }));
                reads.lapses += usize::from(lapse.is_some());
                reads.first_lapse = reads.first_lapse.or(lapse.map(|lapse| LapseAt { cell, lapse }));
            }
        }
        reads
    }
}

/// Upsets one cell of a bank in order and puts everything right again; gives what is read wrong in the cycle of the upset,
/// and what the cell did that it should not.
fn upset(
    bank: &mut WeightBank,
    inventory: &Inventory,
    cell: FlipFlop,
    protection: Protection,
    book: &mut EffectBook,
) -> (Option<EffectId>, Option<Lapse>) {
    let (register, place) = inventory.locate_bit(cell.bit);
    let reports = protection.reports_errors();
    let flags = |bank: &WeightBank| bank.error_flags().contains(&true);
    bank.flip(register, place, cell.copy);
    bank.settle();
    let read = bank.wrong_values();
    let reported = flags(bank);
    bank.tick(Load::Hold);
    let is_repaired = !bank.is_wrong(register, place, cell.copy);
    bank.settle();
    let repairs = protection.style.repairs();
    let expected = if repairs { Vec::new() } else { read.clone() };
    let reads_as_styled = bank.wrong_values() == expected;
    let reports_as_styled = reported == reports && flags(bank) == (reports && !repairs);
    bank.tick(Load::Reload);
    bank.settle();
    bank.tick(Load::Hold);
    let is_right = bank.wrong_copies() == 0 && bank.wrong_values().is_empty() && bank.is_at_rest();
    let votes_as_styled = read.is_empty() == (protection.copies() > 1);
    let lapse = [
        (Lapse::Vote, votes_as_styled),
        (Lapse::Read, reads_as_styled),
        (Lapse::Repair, is_repaired == repairs),
        (Lapse::Flag, reports_as_styled),
        (Lapse::Load, is_right),
    ];
    let lapse = lapse.into_iter().find_map(|(lapse, is_fine)| (!is_fine).then_some(lapse));
    ((!read.is_empty()).then(|| book.intern(read)), lapse)
}
