//! Tests of the weight bank: laws of each style, and random scripts against bits kept one by one.

use proptest::prelude::*;

use super::*;
use crate::hw::BitAddress;
use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
use crate::num::qkeras;

/// Two inputs, two outputs; 5-bit kernel, 3-bit unsigned bias.
fn network() -> Network {
    let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
    let source = net.input();
    let kernel = WeightTensor::new(vec![2, 2], vec![5, -16, 0, -1], QFormat::signed(5, 1).unwrap()).unwrap();
    let bias = Some(WeightTensor::new(vec![2], vec![7, 2], QFormat::unsigned(3, 1).unwrap()).unwrap());
    net.push("dense", Op::Dense(Dense { kernel, bias }), &[source]).unwrap();
    net.finish().unwrap()
}

fn bank(protection: impl Fn(BitId) -> Protection) -> WeightBank {
    let network = network();
    WeightBank::new(&network, &Inventory::new(&network).unwrap(), protection)
}

fn uniform(style: TmrStyle) -> WeightBank {
    bank(|_| Protection { style, error_flag: true })
}

fn cycle(bank: &mut WeightBank, load: Load) {
    bank.settle();
    bank.tick(load);
}

const FIRST: RegisterId = RegisterId(0);
const SIGN: BitIdx = BitIdx(0);

#[test]
fn one_wrong_copy_never_reaches_the_output_and_feedback_repairs_it() {
    for style in [TmrStyle::Unvoted, TmrStyle::Feedback, TmrStyle::Feedback3] {
        for copy in 0..3 {
            let mut bank = uniform(style);
            bank.flip(FIRST, SIGN, CopyIdx(copy));
            bank.settle();
            assert_eq!((bank.value(FIRST), bank.wrong_copies()), (5, 1));
            assert_eq!(bank.error_flags(), [true, false]);
            bank.tick(Load::Hold);
            assert_eq!(bank.wrong_copies(), u32::from(!style.repairs()), "{style}");
            bank.rest(1_000);
            assert_eq!(bank.value(FIRST), 5);
            // A flag that goes down at once is counted once; one that stays up fills the counter.
            assert_eq!(bank.error_counters(), [if style.repairs() { 1 } else { 255 }, 0]);
            cycle(&mut bank, Load::Reload);
            assert_eq!((bank.wrong_copies(), bank.wrong_values()), (0, vec![]));
        }
    }
}

#[test]
fn two_wrong_copies_win_the_vote_and_stay_until_the_load() {
    for style in [TmrStyle::Unvoted, TmrStyle::Feedback, TmrStyle::Feedback3] {
        let mut bank = uniform(style);
        bank.flip(FIRST, SIGN, CopyIdx(0));
        bank.flip(FIRST, SIGN, CopyIdx(2));
        bank.settle();
        assert_eq!(bank.wrong_values(), [(FIRST, 5 - 16)]);
        bank.rest(10);
        assert_eq!((bank.value(FIRST), bank.wrong_copies()), (-11, if style.repairs() { 3 } else { 2 }), "{style}");
        cycle(&mut bank, Load::Reload);
        bank.settle();
        assert_eq!((bank.value(FIRST), bank.wrong_copies()), (5, 0));
    }
}

#[test]
fn hits_in_different_cycles_add_up_without_feedback_only() {
    for (style, value) in [(TmrStyle::Unvoted, -11), (TmrStyle::Feedback, 5), (TmrStyle::Feedback3, 5)] {
        let mut bank = uniform(style);
        bank.flip(FIRST, SIGN, CopyIdx(0));
        cycle(&mut bank, Load::Hold);
        bank.flip(FIRST, SIGN, CopyIdx(1));
        bank.settle();
        assert_eq!(bank.value(FIRST), value, "{style}");
    }
}

#[test]
fn a_glitch_of_the_shared_voter_is_written_back() {
    for (style, kept) in [(TmrStyle::Unvoted, 5), (TmrStyle::Feedback, -11), (TmrStyle::Feedback3, 5)] {
        let mut bank = uniform(style);
        bank.glitch(FIRST, SIGN, BitLine::Voter(0));
        bank.settle();
        assert_eq!(bank.value(FIRST), -11, "the datapath reads voter 0 ({style})");
        bank.tick(Load::Hold);
        bank.rest(3);
        bank.settle();
        assert_eq!(bank.value(FIRST), kept, "{style}");
    }
}

#[test]
fn glitches_of_load_clock_and_data_lines() {
    // A spurious load takes the idle data lines, which are at 0; 5 = 00101.
    let bit = BitIdx(2);
    for (style, kept) in
        [(TmrStyle::None, 1), (TmrStyle::Unvoted, 5), (TmrStyle::Feedback, 1), (TmrStyle::Feedback3, 5)]
    {
        let mut bank = uniform(style);
        bank.glitch(FIRST, bit, BitLine::Load(0));
        cycle(&mut bank, Load::Hold);
        bank.settle();
        assert_eq!(bank.value(FIRST), kept, "{style}");
    }
    for style in TmrStyle::ALL {
        // The data line is common to the copies.
        let mut bank = uniform(style);
        bank.glitch(FIRST, bit, BitLine::Data);
        cycle(&mut bank, Load::Reload);
        bank.settle();
        assert_eq!(bank.value(FIRST), 1, "{style}");
        // Without an edge nothing is loaded.
        bank.glitch(FIRST, bit, BitLine::Clock(0));
        cycle(&mut bank, Load::Reload);
        bank.settle();
        let shared = matches!(style, TmrStyle::None | TmrStyle::Feedback);
        assert_eq!(bank.value(FIRST), if shared { 1 } else { 5 }, "{style}");
        cycle(&mut bank, Load::Reload);
        assert_eq!(bank.wrong_copies(), 0);
    }
}

#[test]
fn what_is_stuck_stays() {
    let mut bank = uniform(TmrStyle::Feedback);
    bank.stick(FIRST, SIGN, CopyIdx(1), Level::High);
    bank.rest(5);
    cycle(&mut bank, Load::Reload);
    assert_eq!((bank.value(FIRST), bank.wrong_copies()), (5, 1));
    // One more hit, and the vote is lost; the stuck copy keeps it lost.
    bank.flip(FIRST, SIGN, CopyIdx(0));
    bank.rest(5);
    assert_eq!((bank.value(FIRST), bank.wrong_copies()), (-11, 3));
    cycle(&mut bank, Load::Reload);
    bank.settle();
    assert_eq!((bank.value(FIRST), bank.wrong_copies()), (5, 1));
    assert!(bank.copy(FIRST, SIGN, CopyIdx(1)) && !bank.copy(FIRST, SIGN, CopyIdx(0)));
}

#[test]
fn changes_are_told_once() {
    let mut bank = uniform(TmrStyle::None);
    bank.flip(RegisterId(4), SIGN, CopyIdx(0));
    bank.settle();
    let mut told = Vec::new();
    bank.take_changed(|register, value| told.push((register, value)));
    bank.take_changed(|_, _| unreachable!("told already"));
    assert_eq!(told, [(RegisterId(4), 3)]);
    assert_eq!((bank.intended(RegisterId(4)), bank.intended(RegisterId(1))), (7, -16));
    bank.rest(3);
    bank.take_changed(|_, _| unreachable!("nothing happened"));
}

#[test]
#[should_panic(expected = "has 1 copies, not copy 1")]
fn a_copy_that_is_not_there() {
    uniform(TmrStyle::None).flip(FIRST, SIGN, CopyIdx(1));
}

/// One bit, its copies and the lines at them, straight from the table of styles.
#[derive(Clone)]
struct PlainBit {
    protection: Protection,
    intended: bool,
    copies: [bool; 3],
    stuck: [Option<bool>; 3],
    voter: [bool; 3],
    load: [bool; 3],
    clock: [bool; 3],
    data: bool,
}

impl PlainBit {
    fn majority(&self) -> bool {
        if self.protection.copies() == 1 {
            return self.copies[0];
        }
        self.copies.into_iter().filter(|copy| *copy).count() >= 2
    }

    fn out(&self) -> bool {
        self.majority() ^ self.voter[0]
    }

    fn flag(&self) -> bool {
        self.protection.reports_errors() && self.copies != [self.copies[0]; 3]
    }

    fn tick(&mut self, load: Load) {
        let shared = matches!(self.protection.style, TmrStyle::None | TmrStyle::Feedback);
        let before = self.copies;
        for copy in 0..3 {
            let line = if shared { 0 } else { copy };
            let voter = if self.protection.style == TmrStyle::Feedback3 { copy } else { 0 };
            let hold = if self.protection.style.repairs() {
                self.majority_of(before) ^ self.voter[voter]
            } else {
                before[copy]
            };
            let loads = (load == Load::Reload) ^ self.load[line];
            let data = (load == Load::Reload && self.intended) ^ self.data;
            if !self.clock[line] {
                self.copies[copy] = if loads { data } else { hold };
            }
        }
        self.hold_stuck();
        (self.voter, self.load, self.clock, self.data) = ([false; 3], [false; 3], [false; 3], false);
    }

    fn majority_of(&self, copies: [bool; 3]) -> bool {
        Self { copies, ..self.clone() }.majority()
    }

    fn hold_stuck(&mut self) {
        for (copy, stuck) in self.copies.iter_mut().zip(self.stuck) {
            *copy = stuck.unwrap_or(*copy);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Flip(u32, u8),
    Stick(u32, u8, bool),
    Glitch(u32, u8, u8),
    Cycle(bool),
    Rest(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bit = || 0..26_u32;
    prop::collection::vec(
        prop_oneof![
            6 => (bit(), 0..3_u8).prop_map(|(bit, copy)| Step::Flip(bit, copy)),
            1 => (bit(), 0..3_u8, any::<bool>()).prop_map(|(bit, copy, high)| Step::Stick(bit, copy, high)),
            3 => (bit(), 0..4_u8, 0..3_u8).prop_map(|(bit, line, index)| Step::Glitch(bit, line, index)),
            8 => prop::bool::weighted(0.15).prop_map(Step::Cycle),
            2 => (0..600_u64).prop_map(Step::Rest),
        ],
        1..60,
    )
}

proptest! {
    #[test]
    fn the_bank_is_its_bits(styles in prop::collection::vec((0..4_usize, any::<bool>()), 26), steps in steps()) {
        let network = network();
        let inventory = Inventory::new(&network).unwrap();
        let protection = |bit: BitId| {
            let (style, error_flag) = styles[bit.index()];
            Protection { style: TmrStyle::ALL[style], error_flag }
        };
        let mut bank = WeightBank::new(&network, &inventory, protection);
        let mut plain: Vec<PlainBit> = inventory.bit_ids().map(|bit| {
            let (register, place) = inventory.locate_bit(bit);
            let intended = bank.copy(register, place, CopyIdx(0));
            PlainBit {
                protection: protection(bit), intended, copies: [intended; 3], stuck: [None; 3], voter: [false; 3],
                load: [false; 3], clock: [false; 3], data: false,
            }
        }).collect();
        let mut counters = [0_u8; 2];
        let compare = |bank: &WeightBank, plain: &[PlainBit]| -> Result<(), TestCaseError> {
            let mut wrong = Vec::new();
            for register in inventory.registers() {
                let (array, _) = inventory.locate(register);
                let bits = inventory.bits_of(register).fold(0, |bits, bit| bits << 1 | u64::from(plain[bit.index()].out()));
                prop_assert_eq!(bank.value(register), array.format.from_bits(bits));
                if bank.value(register) != bank.intended(register) {
                    wrong.push((register, bank.value(register)));
                }
            }
            prop_assert_eq!(bank.wrong_values(), wrong);
            let copies = plain.iter().flat_map(|bit| {
                bit.copies.into_iter().take(usize::from(bit.protection.copies())).filter(|copy| *copy != bit.intended)
            });
            prop_assert_eq!(bank.wrong_copies(), u32::try_from(copies.count()).unwrap());
            Ok(())
        };
        for step in steps {
            let count = match step { Step::Cycle(_) => 1, Step::Rest(count) => count, _ => 0 };
            let load = if matches!(step, Step::Cycle(true)) { Load::Reload } else { Load::Hold };
            match step {
                Step::Flip(bit, copy) | Step::Stick(bit, copy, _) => {
                    let copy = copy % plain[cast_index(bit)].protection.copies();
                    let (register, place) = inventory.locate_bit(BitId(bit));
                    let model = &mut plain[cast_index(bit)];
                    if let Step::Stick(_, _, high) = step {
                        bank.stick(register, place, CopyIdx(copy), if high { Level::High } else { Level::Low });
                        model.stuck[usize::from(copy)] = Some(high);
                    } else {
                        bank.flip(register, place, CopyIdx(copy));
                        model.copies[usize::from(copy)] ^= true;
                    }
                    model.hold_stuck();
                }
                Step::Glitch(bit, line, index) => {
                    let model = &mut plain[cast_index(bit)];
                    let lines = WeightBank::lines(model.protection.style);
                    let lines = [lines[1], lines[2], lines[3], 1][usize::from(line)];
                    if lines == 0 {
                        continue;
                    }
                    let index = index % lines;
                    let (register, place) = inventory.locate_bit(BitId(bit));
                    let at = usize::from(index);
                    bank.glitch(register, place, match line {
                        0 => { model.voter[at] ^= true; BitLine::Voter(index) }
                        1 => { model.load[at] ^= true; BitLine::Load(index) }
                        2 => { model.clock[at] ^= true; BitLine::Clock(index) }
                        _ => { model.data ^= true; BitLine::Data }
                    });
                }
                Step::Cycle(_) => {
                    bank.settle();
                    compare(&bank, &plain)?;
                    bank.tick(load);
                }
                Step::Rest(count) => bank.rest(count),
            }
            for _ in 0..count {
                for (counter, array) in counters.iter_mut().zip(inventory.arrays()) {
                    *counter = counter.saturating_add(u8::from(array.bit_ids().any(|bit| plain[bit.index()].flag())));
                }
                for bit in &mut plain {
 bit.tick(load);
}
            }
            prop_assert_eq!(bank.error_counters(), counters);
            // At rest means that nothing moves, however long one waits.
            if bank.is_at_rest() {
                let mut later = bank.clone();
                later.settle();
                let flags = later.error_flags().to_vec();
                later.take_changed(|_, _| {});
                for _ in 0..3 {
                    cycle(&mut later, Load::Hold);
                    prop_assert_eq!(later.error_flags(), &flags);
                }
                later.take_changed(|register, _| panic!("{register:?} changed at rest"));
                prop_assert_eq!(later.wrong_copies(), bank.wrong_copies());
            }
        }
        bank.settle();
        compare(&bank, &plain)?;
        bank.rest(4);
        prop_assert!(bank.is_at_rest());
    }

    #[test]
    fn what_is_called_invisible_is_never_seen(
        styles in prop::collection::vec((0..4_usize, any::<bool>()), 26),
        before in prop::collection::vec((0..26_u32, 0..3_u8), 0..12),
        stuck in prop::option::of((0..26_u32, 0..3_u8, any::<bool>())),
        hits in prop::collection::vec((0..26_u32, 0..3_u8), 1..4),
    ) {
        let inventory = Inventory::new(&network()).unwrap();
        let protection = |bit: BitId| {
            let (style, error_flag) = styles[bit.index()];
            Protection { style: TmrStyle::ALL[style], error_flag }
        };
        let place = |(bit, copy): (u32, u8)| {
            let (register, place) = inventory.locate_bit(BitId(bit));
            (register, place, CopyIdx(copy % protection(BitId(bit)).copies()))
        };
        let mut bank = bank(protection);
        for (register, bit, copy) in before.into_iter().map(place) {
            bank.flip(register, bit, copy);
        }
        if let Some((bit, copy, high)) = stuck {
            let (register, bit, copy) = place((bit, copy));
            bank.stick(register, bit, copy, if high { Level::High } else { Level::Low });
        }
        bank.rest(4);
        bank.settle();
        prop_assert!(bank.is_at_rest());
        let flags = bank.error_flags().to_vec();
        bank.take_changed(|_, _| {});
        let hits: Vec<_> = hits.into_iter().map(place).collect();
        let (visibility, copies) = (bank.visibility(&hits), bank.wrong_copies());
        let mut hit = bank.clone();
        for (register, bit, copy) in &hits {
            hit.flip(*register, *bit, *copy);
            prop_assert!(visibility == Visibility::Datapath || hit.is_wrong(*register, *bit, *copy) != bank.is_wrong(*register, *bit, *copy));
        }
        if visibility == Visibility::Datapath {
            // Needed wherever the datapath sees something; the tests of the other answers are below.
            return Ok(());
        }
        let mut up = Vec::new();
        for _ in 0..3 {
            hit.settle();
            up.push(hit.error_flags() != flags);
            hit.tick(Load::Hold);
        }
        hit.take_changed(|register, _| panic!("{register:?} was read wrong"));
        // A flag that is up already cannot go up.
        let possible = match visibility {
            Visibility::Nothing => vec![[false; 3]],
            Visibility::FlagOnce => vec![[true, false, false], [false; 3]],
            _ => vec![[true; 3], [false; 3], [true, false, false]],
        };
        prop_assert!(possible.iter().any(|possible| up == possible), "{visibility:?} {up:?}");
        if visibility == Visibility::FlagStays {
            hit.settle();
            prop_assert!(hit.error_flags().contains(&true));
        }
        let kept = hits.iter().filter(|(register, bit, copy)| hit.is_wrong(*register, *bit, *copy) != bank.is_wrong(*register, *bit, *copy));
        let kept = u32::try_from(kept.count()).unwrap();
        prop_assert!(hit.wrong_copies().abs_diff(copies) <= kept);
    }
}

fn cast_index(bit: u32) -> usize {
    BitId(bit).index()
}

#[test]
fn every_bit_of_every_style_is_where_its_address_says() {
    let network = network();
    let inventory = Inventory::new(&network).unwrap();
    let mut bank = uniform(TmrStyle::None);
    for bit in inventory.bit_ids() {
        let BitAddress { bit: place, .. } = inventory.bit_address(bit);
        let (register, _) = inventory.locate_bit(bit);
        bank.flip(register, place, CopyIdx(0));
        bank.settle();
        let (array, index) = inventory.locate(register);
        let raw = network.node(array.node).op.tensor(array.tensor).unwrap().raw()[index];
        assert_eq!(bank.value(register), array.format.flip(raw, place));
        bank.flip(register, place, CopyIdx(0));
        cycle(&mut bank, Load::Hold);
    }
    assert_eq!(bank.wrong_copies(), 0);
}
