//! `Timeline`: everything that happens to the registers in one mission, cycle by cycle, from all its sources.
//!
//! Strikes on cells, on other state, transients on lines and a fixed list are merged in the order of time. Nothing is kept: a timeline is
//! drawn as it is read.

use std::iter::Peekable;

use super::{Arrivals, ClusterSizes, Draws, TimedFault, Upset};
use crate::hw::{BitId, BitLine, Cycle, ElementBit, Inventory, Placement, Protection, WeightBank};
use crate::num::cast;

/// What random numbers of a mission serve; each purpose of each replica has a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissionStream {
    /// Strikes on flip-flops.
    Strikes,
    /// Transients on lines.
    Lines,
    /// Which event is in which frame.
    Frames,
    /// Which events a state is judged on.
    Samples,
    /// In which frame of a steady state the first wrong output comes.
    FirstWrong,
    /// Strikes on state other than weight registers.
    State,
}

impl MissionStream {
    /// The numbers of one replica of a seed.
    pub fn draws(self, seed: u64, replica: u32) -> Draws {
        let purpose: u64 = match self {
            Self::Strikes => 1,
            Self::Lines => 2,
            Self::Frames => 3,
            Self::Samples => 4,
            Self::FirstWrong => 5,
            Self::State => 6,
        };
        Draws::new(seed, (purpose << 32) | u64::from(replica))
    }
}

/// All voter, load, clock and data lines of a design, numbered bit by bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineTable {
    /// Where the lines of each bit end.
    ends: Vec<u32>,
    /// Voters, load lines and clock lines of each bit.
    counts: Vec<[u8; 3]>,
}

impl LineTable {
    /// The lines at the registers of a design, protected bit by bit.
    pub fn new(inventory: &Inventory, protection: impl Fn(BitId) -> Protection) -> Self {
        let (mut ends, mut counts, mut end) = (Vec::new(), Vec::new(), 0);
        for bit in inventory.bit_ids() {
            let [_, voters, loads, clocks] = WeightBank::lines(protection(bit).style);
            end += u32::from(voters) + u32::from(loads) + u32::from(clocks) + 1;
            ends.push(end);
            counts.push([voters, loads, clocks]);
        }
        Self { ends, counts }
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.ends.last().map_or(0, |end| cast::index(*end))
    }

    /// Whether there is no line; never true for a design.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The line of that number: of a bit its voters, load lines, clock lines, and the data line last.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn at(&self, number: u32) -> (BitId, BitLine) {
        let bit = self.ends.partition_point(|end| *end <= number);
        let start = if bit == 0 { 0 } else { self.ends[bit - 1] };
        let mut index = u8::try_from(number - start).expect("a bit has a few lines");
        for (count, line) in self.counts[bit].into_iter().zip([BitLine::Voter, BitLine::Load, BitLine::Clock]) {
            if index < count {
                return (BitId(cast::id(bit)), line(index));
            }
            index -= count;
        }
        (BitId(cast::id(bit)), BitLine::Data)
    }
}

/// Particles that strike cells.
#[derive(Debug, Clone, Copy)]
pub struct StrikeSource<'a> {
    /// What lies where.
    pub placement: &'a Placement,
    /// How many cells one upsets.
    pub sizes: &'a ClusterSizes,
    /// Mean number of cycles between strikes; infinite when nothing ever strikes.
    pub mean_cycles: f64,
}

/// Transients on lines: one line, one cycle each.
#[derive(Debug, Clone, Copy)]
pub struct LineSource<'a> {
    /// The lines.
    pub table: &'a LineTable,
    /// Always one line.
    pub sizes: &'a ClusterSizes,
    /// Mean number of cycles between transients; infinite when there are none.
    pub mean_cycles: f64,
}

/// Strikes on state other than weight registers: one bit each.
#[derive(Debug, Clone, Copy)]
pub struct StateSource<'a> {
    /// The bits that can be struck, all alike likely.
    pub bits: &'a [ElementBit],
    /// Always one bit.
    pub sizes: &'a ClusterSizes,
    /// Mean number of cycles between strikes; infinite when there are none.
    pub mean_cycles: f64,
}

/// All that can happen in a mission.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultSources<'a> {
    /// Strikes on cells.
    pub strikes: Option<StrikeSource<'a>>,
    /// Transients on lines.
    pub lines: Option<LineSource<'a>>,
    /// Strikes on other state.
    pub state: Option<StateSource<'a>>,
    /// What happens in every mission, in the order of time.
    pub listed: &'a [TimedFault],
}

impl<'a> FaultSources<'a> {
    /// What happens in one replica before cycle `end`. Depends on seed and replica alone; a longer mission begins like a
    /// shorter one.
    pub fn timeline(&self, seed: u64, replica: u32, end: Cycle) -> Timeline<'a> {
        let strikes = self.strikes.map(|source| {
            let draws = MissionStream::Strikes.draws(seed, replica);
            let cells = source.placement.len();
            (source.placement, Arrivals::new(draws, source.sizes, cells, source.mean_cycles, end).peekable())
        });
        let lines = self.lines.map(|source| {
            let draws = MissionStream::Lines.draws(seed, replica);
            let lines = source.table.len();
            (source.table, Arrivals::new(draws, source.sizes, lines, source.mean_cycles, end).peekable())
        });
        let state = self.state.map(|source| {
            let draws = MissionStream::State.draws(seed, replica);
            let bits = source.bits.len();
            (source.bits, Arrivals::new(draws, source.sizes, bits, source.mean_cycles, end).peekable())
        });
        let listed = &self.listed[..self.listed.partition_point(|fault| fault.at < end)];
        Timeline { strikes, lines, state, listed }
    }
}

/// What happens in one mission, read once from its begin to its end.
#[derive(Debug, Clone)]
pub struct Timeline<'a> {
    strikes: Option<(&'a Placement, Peekable<Arrivals<'a>>)>,
    lines: Option<(&'a LineTable, Peekable<Arrivals<'a>>)>,
    state: Option<(&'a [ElementBit], Peekable<Arrivals<'a>>)>,
    listed: &'a [TimedFault],
}

impl Timeline<'_> {
    /// The next cycle in which something happens.
    pub fn next_cycle(&mut self) -> Option<Cycle> {
        let strike = self.strikes.as_mut().and_then(|(_, arrivals)| Some(arrivals.peek()?.at));
        let line = self.lines.as_mut().and_then(|(_, arrivals)| Some(arrivals.peek()?.at));
        let state = self.state.as_mut().and_then(|(_, arrivals)| Some(arrivals.peek()?.at));
        let listed = self.listed.first().map(|fault| fault.at);
        [listed, strike, line, state].into_iter().flatten().min()
    }

    /// All that happens in that cycle, in `upsets`: what is listed, then what is struck, then transients, then other state; and the number of
    /// strikes on cells, which may lie empty. Nothing is left of a timeline at its end.
    pub fn advance(&mut self, upsets: &mut Vec<Upset>) -> u64 {
        upsets.clear();
        let Some(now) = self.next_cycle() else { return 0 };
        while let Some((fault, rest)) = self.listed.split_first().filter(|(fault, _)| fault.at == now) {
            upsets.push(fault.upset);
            self.listed = rest;
        }
        let mut count = 0;
        if let Some((placement, arrivals)) = &mut self.strikes {
            while let Some(strike) = arrivals.next_if(|strike| strike.at == now) {
                count += 1;
                upsets.extend(placement.struck(strike.first, strike.size).map(Upset::Flip));
            }
        }
        if let Some((table, arrivals)) = &mut self.lines {
            while let Some(strike) = arrivals.next_if(|strike| strike.at == now) {
                let (bit, line) = table.at(strike.first.0);
                upsets.push(Upset::Glitch(bit, line));
            }
        }
        if let Some((bits, arrivals)) = &mut self.state {
            while let Some(strike) = arrivals.next_if(|strike| strike.at == now) {
                upsets.push(Upset::State(bits[cast::index(strike.first.0)]));
            }
        }
        count
    }

    /// All that still happens, as a list.
    pub fn into_list(mut self) -> Vec<TimedFault> {
        let (mut list, mut upsets) = (Vec::new(), Vec::new());
        while let Some(at) = self.next_cycle() {
            self.advance(&mut upsets);
            list.extend(upsets.iter().map(|upset| TimedFault { at, upset: *upset }));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::hw::test_networks::one_dense;
    use crate::hw::{CopyIdx, Element, FlipFlop, TmrStyle};
    use crate::num::BitIdx;

    /// One dense layer of four 4-bit weights.
    fn inventory() -> Inventory {
        Inventory::new(&one_dense(2, 4)).unwrap()
    }

    #[test]
    fn every_line_has_a_number() {
        let inventory = inventory();
        let protection = |bit: BitId| Protection::from(TmrStyle::ALL[bit.index() % 4]);
        let table = LineTable::new(&inventory, protection);
        let lines: Vec<_> = (0..cast::id(table.len())).map(|number| table.at(number)).collect();
        let mut expected = Vec::new();
        for bit in inventory.bit_ids() {
            let [_, voters, loads, clocks] = WeightBank::lines(protection(bit).style);
            expected.extend((0..voters).map(|index| (bit, BitLine::Voter(index))));
            expected.extend((0..loads).map(|index| (bit, BitLine::Load(index))));
            expected.extend((0..clocks).map(|index| (bit, BitLine::Clock(index))));
            expected.push((bit, BitLine::Data));
        }
        assert_eq!(lines, expected);
    }

    #[test]
    fn sources_are_merged_by_time() {
        let inventory = inventory();
        let protection = |_: BitId| Protection::from(TmrStyle::Feedback);
        let placement = Placement::new(&inventory, protection, NonZeroUsize::new(4).unwrap());
        let table = LineTable::new(&inventory, protection);
        let sizes: ClusterSizes = "1:0.5,3:0.5".parse().unwrap();
        let single: ClusterSizes = "1:1".parse().unwrap();
        let bits = [0, 1, 2].map(|bit| ElementBit { stage: 0, element: Element::Fifo, index: 0, bit: BitIdx(bit) });
        let flip = Upset::Flip(FlipFlop { bit: BitId(3), copy: CopyIdx(1) });
        let listed: Vec<TimedFault> = [5, 5, 700, 5000].map(|at| TimedFault { at: Cycle(at), upset: flip }).to_vec();
        let sources = FaultSources {
            strikes: Some(StrikeSource { placement: &placement, sizes: &sizes, mean_cycles: 10.0 }),
            lines: Some(LineSource { table: &table, sizes: &single, mean_cycles: 25.0 }),
            state: Some(StateSource { bits: &bits, sizes: &single, mean_cycles: 50.0 }),
            listed: &listed,
        };
        let all: Vec<TimedFault> = sources.timeline(3, 1, Cycle(1000)).into_list();
        assert!(all.is_sorted_by_key(|fault| fault.at) && all.iter().all(|fault| fault.at < Cycle(1000)));
        let count = |of: fn(&Upset) -> bool| all.iter().filter(|fault| of(&fault.upset)).count();
        let mut strikes = 0;
        let mut timeline = sources.timeline(3, 1, Cycle(1000));
        let mut upsets = Vec::new();
        while timeline.next_cycle().is_some() {
            strikes += timeline.advance(&mut upsets);
        }
        assert!((70..130).contains(&strikes), "{strikes}");
        assert!((20..60).contains(&count(|upset| matches!(upset, Upset::Glitch(..)))));
        assert!((8..36).contains(&count(|upset| matches!(upset, Upset::State(_)))));
        // Two listed faults of cycle 5 and one of cycle 700; the last one is after the end.
        let alone = FaultSources { listed: &listed, ..FaultSources::default() };
        let times: Vec<_> = alone.timeline(3, 1, Cycle(1000)).into_list().iter().map(|fault| fault.at.0).collect();
        assert_eq!(times, [5, 5, 700]);
        let again: Vec<TimedFault> = sources.timeline(3, 1, Cycle(1000)).into_list();
        let other: Vec<TimedFault> = sources.timeline(3, 2, Cycle(1000)).into_list();
        assert!(again == all && other != all);
    }
}
