//! `WeightBank`: the flip-flops that hold weights and biases, their voters, feedback, loads and error counters, clock by
//! clock.
//!
//! One cycle is: whoever plays with the state does so ([`WeightBank::flip`], [`WeightBank::glitch`]); the voters settle
//! ([`WeightBank::settle`]) and the datapath reads ([`WeightBank::value`]); the clock ticks ([`WeightBank::tick`]).
//! Registers whose copies agree need no work in a cycle, so a cycle costs as much as there is out of order. Why a bit
//! flips is not known here.

use super::address::CopyIdx;
use super::registers::{BitId, Inventory, RegisterId};
use super::tmr::{Protection, TmrStyle};
use crate::net::Network;
use crate::num::{BitIdx, QFormat};

/// What the registers do at a clock edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Load {
    /// Keep their values, or take the voted ones where the style feeds them back.
    #[default]
    Hold,
    /// Take the configured values: the load after power-up, and every scrub.
    Reload,
}

/// Level of a node that cannot change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Ground.
    Low,
    /// Supply.
    High,
}

/// A line at a register bit that can be wrong for one cycle.
///
/// A style without its own line for each copy shares line 0; see [`WeightBank::lines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BitLine {
    /// Output of a voter. Voter 0 drives the datapath.
    Voter(u8),
    /// Load enable. A glitch loads while the others hold, when the data lines idle at 0 (assumed), and holds while the
    /// others load.
    Load(u8),
    /// Clock. A glitch swallows the edge: the flip-flops behind it keep what they have.
    Clock(u8),
    /// Data to be loaded, common to the copies. Matters at a load only.
    Data,
}

/// What can be seen of flips besides the flip-flops themselves; see [`WeightBank::visibility`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Neither the datapath nor an error flag sees them, now or later.
    Nothing,
    /// An error flag goes up for the cycle of the flips; the datapath sees nothing.
    FlagOnce,
    /// An error flag goes up until the next load; the datapath sees nothing.
    FlagStays,
    /// The datapath may read something else: only stepping tells.
    Datapath,
}

/// Number of copies that any style keeps, at most.
const COPIES: usize = 3;

/// Bits of one register, least significant bit lowest.
type Bits = u64;

/// What stands at the register bits: the same for the whole run.
#[derive(Debug, Clone, Copy, Default)]
struct Styles {
    width: Bits,
    /// Three copies and at least one voter.
    triplicated: Bits,
    /// The voted value comes back through one shared multiplexer.
    feedback: Bits,
    /// Each copy has its own voter, multiplexer and clock.
    feedback3: Bits,
    /// Disagreement is reported.
    flagged: Bits,
}

/// Bits that are inverted during this cycle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Glitches {
    voter: [Bits; COPIES],
    load: [Bits; COPIES],
    clock: [Bits; COPIES],
    data: Bits,
}

/// Bits that cannot change.
#[derive(Debug, Clone, Copy, Default)]
struct Stuck {
    low: [Bits; COPIES],
    high: [Bits; COPIES],
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// What a load writes.
    intended: Bits,
    copies: [Bits; COPIES],
}

/// All weight and bias registers of an accelerator with their copies.
///
/// Starts loaded: every copy holds its configured bit.
#[derive(Debug, Clone)]
pub struct WeightBank {
    styles: Vec<Styles>,
    cells: Vec<Cell>,
    /// Settled values the datapath reads, sign-extended.
    values: Vec<i64>,
    /// By register.
    formats: Vec<QFormat>,
    /// Array of each register, for its error counter.
    array: Vec<usize>,
    glitches: Vec<(RegisterId, Glitches)>,
    stuck: Vec<(RegisterId, Stuck)>,
    /// Registers whose copies or voters may be out of order; each is listed once.
    active: Vec<RegisterId>,
    is_active: Vec<bool>,
    /// Registers whose settled value changed since it was last asked for.
    changed: Vec<RegisterId>,
    is_changed: Vec<bool>,
    /// Registers that are not as configured, or were not at some time since the last load.
    touched: Vec<RegisterId>,
    is_touched: Vec<bool>,
    /// By array: does a reporting voter see its inputs differ in this cycle?
    flags: Vec<bool>,
    /// By array: cycles with the flag up since the counters were cleared, held at 255.
    counters: Vec<u8>,
}

impl WeightBank {
    /// The registers of `network`, protected bit by bit, after their first load.
    ///
    /// # Panics
    /// When `inventory` is not the one of `network`.
    pub fn new(network: &Network, inventory: &Inventory, protection: impl Fn(BitId) -> Protection) -> Self {
        let len = inventory.len();
        let arrays = inventory.arrays().len();
        let mut bank = Self {
            styles: Vec::with_capacity(len),
            cells: Vec::with_capacity(len),
            values: Vec::with_capacity(len),
            formats: Vec::with_capacity(len),
            array: Vec::with_capacity(len),
            glitches: Vec::new(),
            stuck: Vec::new(),
            active: Vec::new(),
            is_active: vec![false; len],
            changed: Vec::new(),
            is_changed: vec![false; len],
            touched: Vec::new(),
            is_touched: vec![false; len],
            flags: vec![false; arrays],
            counters: vec![0; arrays],
        };
        for (number, array) in inventory.arrays().iter().enumerate() {
            let tensor =
                network.node(array.node).op.tensor(array.tensor).expect("the inventory lists the network's tensors");
            let width = array.format.width();
            for (register, raw) in array.registers().zip(tensor.raw()) {
                let mut styles = Styles { width: array.format.to_bits(-1), ..Styles::default() };
                for (place, bit) in (0..).zip(inventory.bits_of(register)) {
                    let mask = mask(width, BitIdx(place));
                    let protection = protection(bit);
                    match protection.style {
                        TmrStyle::None => {}
                        TmrStyle::Unvoted => styles.triplicated |= mask,
                        TmrStyle::Feedback => {
                            styles.triplicated |= mask;
                            styles.feedback |= mask;
                        }
                        TmrStyle::Feedback3 => {
                            styles.triplicated |= mask;
                            styles.feedback3 |= mask;
                        }
                    }
                    if protection.reports_errors() {
                        styles.flagged |= mask;
                    }
                }
                let intended = array.format.to_bits(*raw);
                bank.styles.push(styles);
                bank.cells.push(Cell { intended, copies: [intended; COPIES] });
                bank.values.push(*raw);
                bank.formats.push(array.format);
                bank.array.push(number);
            }
        }
        bank
    }

    /// Copies, voters, load lines and clock lines of a bit with `style`.
    ///
    /// `none` and `feedback` have one load and one clock line for the bit, the others one for each copy.
    pub const fn lines(style: TmrStyle) -> [u8; 4] {
        let own = match style {
            TmrStyle::None | TmrStyle::Feedback => 1,
            TmrStyle::Unvoted | TmrStyle::Feedback3 => 3,
        };
        [style.copies(), style.voters(), own, own]
    }

    /// Inverts one flip-flop.
    ///
    /// # Panics
    /// When the bit has no such copy, or the register no such bit: addresses are checked against the plan before.
    pub fn flip(&mut self, register: RegisterId, bit: BitIdx, copy: CopyIdx) {
        let mask = self.checked(register, bit, copy.0);
        self.cells[register.index()].copies[usize::from(copy.0)] ^= mask;
        self.hold_stuck(register);
        self.activate(register);
        self.touch(register);
    }

    /// Ties one flip-flop to a level for good: no load and no repair changes it any more.
    ///
    /// # Panics
    /// As [`WeightBank::flip`].
    pub fn stick(&mut self, register: RegisterId, bit: BitIdx, copy: CopyIdx, level: Level) {
        let mask = self.checked(register, bit, copy.0);
        let at = self.stuck.iter().position(|(of, _)| *of == register).unwrap_or_else(|| {
            self.stuck.push((register, Stuck::default()));
            self.stuck.len() - 1
        });
        let stuck = &mut self.stuck[at].1;
        let copy = usize::from(copy.0);
        match level {
            Level::Low => {
                stuck.low[copy] |= mask;
                stuck.high[copy] &= !mask;
            }
            Level::High => {
                stuck.high[copy] |= mask;
                stuck.low[copy] &= !mask;
            }
        }
        self.hold_stuck(register);
        self.activate(register);
        self.touch(register);
    }

    /// Disturbs a line during this cycle, up to and including the clock edge that ends it.
    ///
    /// # Panics
    /// When the bit has no such line, see [`WeightBank::lines`].
    pub fn glitch(&mut self, register: RegisterId, bit: BitIdx, line: BitLine) {
        let mask = self.checked(register, bit, 0);
        let [_, voters, loads, clocks] = Self::lines(self.style(register, mask));
        let (index, lines) = match line {
            BitLine::Voter(index) => (index, voters),
            BitLine::Load(index) => (index, loads),
            BitLine::Clock(index) => (index, clocks),
            BitLine::Data => (0, 1),
        };
        assert!(index < lines, "{register:?} bit {bit} has {lines} such lines, not line {index}");
        let at = self.glitches.iter().position(|(of, _)| *of == register).unwrap_or_else(|| {
            self.glitches.push((register, Glitches::default()));
            self.glitches.len() - 1
        });
        let glitches = &mut self.glitches[at].1;
        let index = usize::from(index);
        // A line that the copies share is wrong for all of them.
        let copies = |line: &mut [Bits; COPIES]| {
            let behind = if lines == 1 { 0..COPIES } else { index..index + 1 };
            for copy in &mut line[behind] {
                *copy ^= mask;
            }
        };
        match line {
            BitLine::Voter(_) => copies(&mut glitches.voter),
            BitLine::Load(_) => copies(&mut glitches.load),
            BitLine::Clock(_) => copies(&mut glitches.clock),
            BitLine::Data => glitches.data ^= mask,
        }
        self.activate(register);
    }

    /// Lets the voters settle: afterwards [`WeightBank::value`] is what the datapath sees in this cycle.
    pub fn settle(&mut self) {
        self.flags.fill(false);
        for position in 0..self.active.len() {
            let register = self.active[position];
            let voted = self.voted(register, &self.glitches_of(register));
            let at = register.index();
            let value = self.formats[at].from_bits(voted[0]);
            if value != self.values[at] {
                self.values[at] = value;
                if !std::mem::replace(&mut self.is_changed[at], true) {
                    self.changed.push(register);
                }
            }
            if self.disagreement(register) & self.styles[at].flagged != 0 {
                self.flags[self.array[at]] = true;
            }
        }
    }

    /// The clock edge at the end of the cycle; glitches end with it.
    ///
    /// [`WeightBank::settle`] comes before.
    pub fn tick(&mut self, load: Load) {
        for (counter, flag) in self.counters.iter_mut().zip(&self.flags) {
            *counter = counter.saturating_add(u8::from(*flag));
        }
        if load == Load::Reload {
            // What was touched is all that can differ from what is loaded.
            for register in std::mem::take(&mut self.touched) {
                self.is_touched[register.index()] = false;
                self.activate(register);
            }
        }
        let active = std::mem::take(&mut self.active);
        for register in &active {
            self.is_active[register.index()] = false;
            self.edge(*register, load);
        }
        self.glitches.clear();
        for register in &active {
            // Still out of order: the next edge changes it, a flag stays up, or the datapath has not seen it yet.
            let at = register.index();
            let styles = self.styles[at];
            let voted = self.voted(*register, &Glitches::default());
            let seen = self.formats[at].from_bits(voted[0]);
            let restless = self.disagreement(*register) & (styles.feedback | styles.feedback3 | styles.flagged) != 0;
            if restless || seen != self.values[at] {
                self.activate(*register);
            }
            let cell = &self.cells[at];
            if cell.copies != [cell.intended; COPIES] {
                self.touch(*register);
            }
        }
    }

    /// Lets `cycles` cycles pass in which nobody touches anything and nothing is loaded: the same as settling and
    /// ticking so many times.
    pub fn rest(&mut self, cycles: u64) {
        let mut left = cycles;
        while left > 0 {
            self.settle();
            let before: Vec<(RegisterId, Cell)> =
                self.active.iter().map(|register| (*register, self.cells[register.index()])).collect();
            // A glitch can hold back for one cycle what the next brings.
            let quiet = self.glitches.is_empty();
            self.tick(Load::Hold);
            left -= 1;
            let still = before.iter().all(|(register, cell)| self.cells[register.index()].copies == cell.copies);
            if quiet && still && self.active.len() == before.len() {
                // Only flags are left, and they stay as they are.
                self.settle();
                let more = u8::try_from(left).unwrap_or(u8::MAX);
                for (counter, flag) in self.counters.iter_mut().zip(&self.flags) {
                    *counter = counter.saturating_add(if *flag { more } else { 0 });
                }
                return;
            }
        }
    }

    /// What the datapath sees of a register since the last [`WeightBank::settle`].
    pub fn value(&self, register: RegisterId) -> i64 {
        self.values[register.index()]
    }

    /// What a load writes into a register.
    pub fn intended(&self, register: RegisterId) -> i64 {
        let at = register.index();
        self.formats[at].from_bits(self.cells[at].intended)
    }

    /// Whether one flip-flop holds a one.
    ///
    /// # Panics
    /// As [`WeightBank::flip`].
    pub fn copy(&self, register: RegisterId, bit: BitIdx, copy: CopyIdx) -> bool {
        self.cells[register.index()].copies[usize::from(copy.0)] & self.checked(register, bit, copy.0) != 0
    }

    /// Whether one flip-flop holds the opposite of what a load writes.
    ///
    /// # Panics
    /// As [`WeightBank::flip`].
    pub fn is_wrong(&self, register: RegisterId, bit: BitIdx, copy: CopyIdx) -> bool {
        let mask = self.checked(register, bit, copy.0);
        let cell = &self.cells[register.index()];
        (cell.copies[usize::from(copy.0)] ^ cell.intended) & mask != 0
    }

    /// The bit that the voters settle to when no line is disturbed: the majority of the copies, or the only copy.
    ///
    /// # Panics
    /// When the register has no such bit.
    pub fn voted_bit(&self, register: RegisterId, bit: BitIdx) -> bool {
        self.voted(register, &Glitches::default())[0] & self.checked(register, bit, 0) != 0
    }

    /// Whether nothing changes any more while nobody touches anything and nothing is loaded: every value has been
    /// settled to and stays, every flip-flop keeps what it holds. Error flags that are up may stay up.
    pub fn is_at_rest(&self) -> bool {
        self.glitches.is_empty()
            && self.active.iter().all(|register| {
                let (cell, styles) = (&self.cells[register.index()], &self.styles[register.index()]);
                let voted = self.voted(*register, &Glitches::default())[0];
                let fed_back = styles.feedback | styles.feedback3;
                let held = self.stuck_copies(*register);
                let moving = cell.copies.iter().zip(held).any(|(copy, held)| (copy ^ voted) & fed_back & !held != 0);
                !moving && self.formats[register.index()].from_bits(voted) == self.values[register.index()]
            })
    }

    /// What the datapath and the error flags would see of these flips together, in this cycle and ever after, if the bank
    /// [is at rest](WeightBank::is_at_rest) and nothing else happens before it is at rest again.
    ///
    /// Certain about what it calls invisible; flips that it leaves to [`Visibility::Datapath`] may turn out so too.
    ///
    /// # Panics
    /// As [`WeightBank::flip`].
    pub fn visibility(&self, flips: &[(RegisterId, BitIdx, CopyIdx)]) -> Visibility {
        let mut seen = Visibility::Nothing;
        for (position, (register, bit, copy)) in flips.iter().enumerate() {
            let mask = self.checked(*register, *bit, copy.0);
            let styles = &self.styles[register.index()];
            let again = flips[..position].iter().any(|(other, place, _)| (other, place) == (register, bit));
            let stuck = self.stuck_copies(*register).iter().any(|held| held & mask != 0);
            let is_single = styles.triplicated & mask == 0;
            if again || stuck || is_single || self.disagreement(*register) & mask != 0 {
                return Visibility::Datapath;
            }
            if styles.flagged & mask != 0 {
                let repaired = (styles.feedback | styles.feedback3) & mask != 0;
                if !repaired {
                    seen = Visibility::FlagStays;
                } else if seen == Visibility::Nothing {
                    seen = Visibility::FlagOnce;
                }
            }
        }
        seen
    }

    /// What each copy of a register holds, least significant bit lowest; where a bit has one copy, only the first counts
    /// (see [`WeightBank::triplicated_bits`]).
    pub fn copy_bits(&self, register: RegisterId) -> [u64; 3] {
        self.cells[register.index()].copies
    }

    /// The bits of a register that have three copies, least significant bit lowest.
    pub fn triplicated_bits(&self, register: RegisterId) -> u64 {
        self.styles[register.index()].triplicated
    }

    /// Registers that may not be as configured, each once. All others hold what was loaded in every copy, and the
    /// datapath sees it.
    pub fn disturbed(&self) -> impl Iterator<Item = RegisterId> + '_ {
        self.out_of_order().map(|(register, _)| register)
    }

    /// The registers whose value changed since this was last called, each once.
    pub fn take_changed(&mut self, mut visit: impl FnMut(RegisterId, i64)) {
        for register in std::mem::take(&mut self.changed) {
            self.is_changed[register.index()] = false;
            visit(register, self.values[register.index()]);
        }
    }

    /// Number of flip-flops that do not hold what was loaded.
    pub fn wrong_copies(&self) -> u32 {
        self.out_of_order().map(|(_, wrong)| wrong.into_iter().map(u64::count_ones).sum::<u32>()).sum()
    }

    /// The registers that the datapath does not see as configured, with what it sees; in the order of their numbers.
    pub fn wrong_values(&self) -> Vec<(RegisterId, i64)> {
        let mut wrong: Vec<(RegisterId, i64)> = self
            .out_of_order()
            .map(|(register, _)| (register, self.value(register)))
            .filter(|(register, value)| *value != self.intended(*register))
            .collect();
        wrong.sort_unstable_by_key(|(register, _)| *register);
        wrong.dedup();
        wrong
    }

    /// Does a reporting voter see its inputs differ in this cycle? By array of the inventory.
    pub fn error_flags(&self) -> &[bool] {
        &self.flags
    }

    /// Cycles with the error flag up, held at 255, by array of the inventory.
    pub fn error_counters(&self) -> &[u8] {
        &self.counters
    }

    /// Sets the error counters to zero.
    pub fn clear_counters(&mut self) {
        self.counters.fill(0);
    }

    /// Inverts a bit of the error counter of an array; bit 0 is the most significant of eight.
    ///
    /// # Panics
    /// When there is no such array or bit.
    pub fn flip_counter(&mut self, array: usize, bit: BitIdx) {
        assert!(bit.0 < 8, "a counter has 8 bits, not bit {bit}");
        self.counters[array] ^= 0x80 >> bit.0;
    }

    /// Registers that may be out of order, with the wrong bits of each of their copies.
    fn out_of_order(&self) -> impl Iterator<Item = (RegisterId, [Bits; COPIES])> + '_ {
        let touched = self.touched.iter().copied();
        let active = self.active.iter().copied().filter(|register| !self.is_touched[register.index()]);
        touched.chain(active).map(|register| {
            let (cell, styles) = (&self.cells[register.index()], &self.styles[register.index()]);
            let mut wrong = cell.copies.map(|copy| (copy ^ cell.intended) & styles.triplicated);
            wrong[0] = cell.copies[0] ^ cell.intended;
            (register, wrong)
        })
    }

    fn checked(&self, register: RegisterId, bit: BitIdx, copy: u8) -> Bits {
        let styles = &self.styles[register.index()];
        let width = self.formats[register.index()].width();
        assert!(bit.0 < width, "{register:?} has {width} bits, not bit {bit}");
        let mask = mask(width, bit);
        let copies = if styles.triplicated & mask == 0 { 1 } else { 3 };
        assert!(copy < copies, "{register:?} bit {bit} has {copies} copies, not copy {copy}");
        mask
    }

    fn style(&self, register: RegisterId, mask: Bits) -> TmrStyle {
        let styles = &self.styles[register.index()];
        if styles.feedback3 & mask != 0 {
            TmrStyle::Feedback3
        } else if styles.feedback & mask != 0 {
            TmrStyle::Feedback
        } else if styles.triplicated & mask != 0 {
            TmrStyle::Unvoted
        } else {
            TmrStyle::None
        }
    }

    fn activate(&mut self, register: RegisterId) {
        if !std::mem::replace(&mut self.is_active[register.index()], true) {
            self.active.push(register);
        }
    }

    fn touch(&mut self, register: RegisterId) {
        if !std::mem::replace(&mut self.is_touched[register.index()], true) {
            self.touched.push(register);
        }
    }

    fn glitches_of(&self, register: RegisterId) -> Glitches {
        self.glitches.iter().find(|(of, _)| *of == register).map_or_else(Glitches::default, |(_, glitches)| *glitches)
    }

    /// Bits of each copy that cannot change.
    fn stuck_copies(&self, register: RegisterId) -> [Bits; COPIES] {
        let stuck = self.stuck.iter().find(|(of, _)| *of == register);
        stuck.map_or([0; COPIES], |(_, stuck)| [0, 1, 2].map(|copy| stuck.low[copy] | stuck.high[copy]))
    }

    fn hold_stuck(&mut self, register: RegisterId) {
        if let Some((_, stuck)) = self.stuck.iter().find(|(of, _)| *of == register) {
            for ((copy, low), high) in self.cells[register.index()].copies.iter_mut().zip(stuck.low).zip(stuck.high) {
                *copy = *copy & !low | high;
            }
        }
    }

    /// Outputs of the three voters; where there is one, all are the same, and where there is none, all are copy 0.
    fn voted(&self, register: RegisterId, glitches: &Glitches) -> [Bits; COPIES] {
        let [a, b, c] = self.cells[register.index()].copies;
        let triplicated = self.styles[register.index()].triplicated;
        let majority = (a & b) | (b & c) | (a & c);
        let settled = (majority & triplicated) | (a & !triplicated);
        glitches.voter.map(|glitch| settled ^ glitch)
    }

    /// Bits whose copies are not all the same.
    fn disagreement(&self, register: RegisterId) -> Bits {
        let [a, b, c] = self.cells[register.index()].copies;
        ((a ^ b) | (b ^ c)) & self.styles[register.index()].triplicated
    }

    /// What the flip-flops of one register take at the clock edge.
    fn edge(&mut self, register: RegisterId, load: Load) {
        let glitches = self.glitches_of(register);
        let voted = self.voted(register, &glitches);
        let (styles, cell) = (self.styles[register.index()], self.cells[register.index()]);
        let (loading, data) = match load {
            Load::Hold => (0, 0),
            Load::Reload => (styles.width, cell.intended),
        };
        let fed_back = styles.feedback | styles.feedback3;
        let mut next = cell.copies;
        for (copy, next) in next.iter_mut().enumerate() {
            let held = (voted[copy] & fed_back) | (*next & !fed_back);
            let loads = loading ^ glitches.load[copy];
            let taken = ((data ^ glitches.data) & loads) | (held & !loads);
            *next = (*next & glitches.clock[copy]) | (taken & !glitches.clock[copy]);
        }
        self.cells[register.index()].copies = next;
        self.hold_stuck(register);
    }
}

/// The bit at a place counted from the most significant.
fn mask(width: u8, bit: BitIdx) -> Bits {
    1 << (width - 1 - bit.0)
}

#[cfg(test)]
#[path = "bank_tests.rs"]
mod tests;
