//! `Machine`: the accelerator clock by clock, as its [`Schedule`] builds it.
//!
//! Stages read their weight registers in the cycles in which the hardware does: all at once when unrolled, a share in each
//! cycle with reuse, for every output position when pixels stream by. Every state bit can be looked at and inverted; why
//! a bit flips is not known here.

mod fifo;
mod kernel;
mod plain;
pub(super) mod pool;
mod stage;
mod staged;
mod unrolled;
mod window;

use plain::Registers;
use staged::Staged;
use unrolled::Unrolled;

use super::bank::{Load, WeightBank};
use super::cycle::Cycle;
use super::elements::{ElementArray, ElementBit};
use super::registers::{BitId, Inventory};
use super::schedule::{Io, Schedule};
use super::state_address::Element;
use super::tmr::Protection;
use crate::net::{Network, NodeId, TensorKind};

/// What a stage does in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageActivity {
    /// It computes.
    pub is_working: bool,
    /// It would, or would hand on a result, but the next stage has no room.
    pub is_stalled: bool,
    /// Packets in the FIFO or register in front of it, at the end of the cycle.
    pub waiting: u64,
    /// Packets that are computed and not yet handed on, at the end of the cycle.
    pub in_pipeline: u64,
}

/// How the stages are run.
#[derive(Debug, Clone)]
enum Fabric {
    /// Everything unrolled, in 32-bit words where ranges prove them safe.
    Narrow(Box<Unrolled<i32>>),
    /// Everything unrolled, in 64-bit words.
    Wide(Box<Unrolled<i64>>),
    /// Packet by packet.
    Staged(Box<Staged>),
}

/// An accelerator with its weight registers.
///
/// A frame offered in cycle `c` is taken if [`Machine::is_ready`]; its first packet can be read by the first stage in
/// cycle `c + 1`. Where nothing blocks, the result stands in the output register for one cycle, number
/// `c + 1 + latency`, the latency being [`Schedule::machine_latency_cycles`].
#[derive(Debug, Clone)]
pub struct Machine<'n> {
    network: &'n Network,
    schedule: &'n Schedule,
    inventory: &'n Inventory,
    bank: WeightBank,
    /// What the stages see of the bank in this cycle.
    registers: Registers,
    fabric: Fabric,
    cycle: Cycle,
}

impl<'n> Machine<'n> {
    /// The accelerator of `network` after its first load, without a frame in it, in cycle 0.
    ///
    /// # Panics
    /// When `inventory` or `schedule` is not the one of `network`.
    pub fn new(
        network: &'n Network,
        inventory: &'n Inventory,
        schedule: &'n Schedule,
        protection: impl Fn(BitId) -> Protection,
    ) -> Self {
        let is_unrolled =
            schedule.io == Io::EconT && schedule.stages.iter().any(|stage| has_weights(network, &stage.nodes));
        let unrolled = || {
            let narrow = Unrolled::new(network, schedule).map(|unrolled| Fabric::Narrow(Box::new(unrolled)));
            narrow.or_else(|| Some(Fabric::Wide(Box::new(Unrolled::new(network, schedule)?))))
        };
        let fabric = is_unrolled.then(unrolled).flatten();
        let fabric = fabric.unwrap_or_else(|| Fabric::Staged(Box::new(Staged::new(network, schedule))));
        Self::with_fabric(network, inventory, schedule, WeightBank::new(network, inventory, protection), fabric)
    }

    /// The same machine, run packet by packet in plain arithmetic also where everything is unrolled: slower.
    ///
    /// # Panics
    /// As [`Machine::new`].
    pub fn packet_by_packet(
        network: &'n Network,
        inventory: &'n Inventory,
        schedule: &'n Schedule,
        protection: impl Fn(BitId) -> Protection,
    ) -> Self {
        let fabric = Fabric::Staged(Box::new(Staged::new(network, schedule)));
        Self::with_fabric(network, inventory, schedule, WeightBank::new(network, inventory, protection), fabric)
    }

    fn with_fabric(
        network: &'n Network,
        inventory: &'n Inventory,
        schedule: &'n Schedule,
        bank: WeightBank,
        fabric: Fabric,
    ) -> Self {
        Self { network, schedule, inventory, bank, registers: Registers::new(network), fabric, cycle: Cycle(0) }
    }

    /// The network it runs.
    pub const fn network(&self) -> &'n Network {
        self.network
    }

    /// The names of its weight registers.
    pub const fn inventory(&self) -> &'n Inventory {
        self.inventory
    }

    /// What it is built of, and its times.
    pub const fn schedule(&self) -> &'n Schedule {
        self.schedule
    }

    /// The cycle that the next [`Machine::step`] is.
    pub const fn cycle(&self) -> Cycle {
        self.cycle
    }

    /// The weight registers.
    pub const fn bank(&self) -> &WeightBank {
        &self.bank
    }

    /// The weight registers, to play with before the next [`Machine::step`].
    pub const fn bank_mut(&mut self) -> &mut WeightBank {
        &mut self.bank
    }

    /// Whether a frame offered in the next [`Machine::step`] is taken.
    pub fn is_ready(&self) -> bool {
        match &self.fabric {
            Fabric::Narrow(_) | Fabric::Wide(_) => true,
            Fabric::Staged(staged) => staged.is_ready(),
        }
    }

    /// Whether no frame is inside, the output register left aside, and a frame would find everything as at the beginning.
    pub fn is_empty(&self) -> bool {
        match &self.fabric {
            Fabric::Narrow(unrolled) => unrolled.is_empty(),
            Fabric::Wide(unrolled) => unrolled.is_empty(),
            Fabric::Staged(staged) => staged.is_empty(),
        }
    }

    /// The result in the output register, in raw values, when there is one.
    pub fn output(&self) -> Option<&[i64]> {
        match &self.fabric {
            Fabric::Narrow(unrolled) => unrolled.output(),
            Fabric::Wide(unrolled) => unrolled.output(),
            Fabric::Staged(staged) => staged.output(),
        }
    }

    /// Counters, valid bits and FIFO levels of all stages: two machines that have the same ones do the same in the same
    /// cycles from then on, whatever values they work on. Nothing where everything is unrolled.
    pub fn progress(&self) -> Vec<usize> {
        match &self.fabric {
            Fabric::Narrow(_) | Fabric::Wide(_) => Vec::new(),
            Fabric::Staged(staged) => staged.progress(),
        }
    }

    /// What a stage did in the last cycle.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn activity(&self, stage: usize) -> StageActivity {
        match &self.fabric {
            Fabric::Narrow(unrolled) => unrolled.activity(stage),
            Fabric::Wide(unrolled) => unrolled.activity(stage),
            Fabric::Staged(staged) => staged.activity(stage),
        }
    }

    /// One cycle: voters and stages settle, then the clock ticks. `frame` is what the host offers, in raw values, if
    /// anything; `load` what the weight registers do at the edge. Gives whether the frame was taken; one that is not is
    /// lost unless it is offered again.
    ///
    /// # Panics
    /// When the frame has another length than the input.
    pub fn step(&mut self, frame: Option<&[i64]>, load: Load) -> bool {
        if let Some(frame) = frame {
            assert_eq!(frame.len(), self.network.input().len(), "values of a frame");
        }
        self.bank.settle();
        let Self { network, schedule, inventory, bank, registers, fabric, .. } = self;
        bank.take_changed(|register, value| {
            let (array, index) = inventory.locate(register);
            registers.set(array.node, array.tensor, index, value);
            fabric.set(array.node, array.tensor, index, value);
        });
        let is_taken = match fabric {
            Fabric::Narrow(unrolled) => unrolled.step(network, schedule, registers, frame),
            Fabric::Wide(unrolled) => unrolled.step(network, schedule, registers, frame),
            Fabric::Staged(staged) => staged.step(network, registers, frame),
        };
        bank.tick(load);
        self.cycle.0 += 1;
        is_taken
    }

    /// Lets `cycles` cycles pass in which no frame comes and nobody plays with anything: as so many calls of
    /// [`Machine::step`] with nothing, at the price of a few.
    pub fn rest(&mut self, mut cycles: u64) {
        while cycles > 0 && !(self.is_empty() && self.output().is_none()) {
            self.step(None, Load::Hold);
            cycles -= 1;
        }
        self.bank.rest(cycles);
        self.cycle.0 += cycles;
    }

    /// As if so many frames had gone through while it rested: only where in its ring a FIFO is read tells of them.
    ///
    /// # Panics
    /// When a FIFO holds packets.
    pub fn pass(&mut self, frames: u64) {
        match &mut self.fabric {
            Fabric::Narrow(_) | Fabric::Wide(_) => {}
            Fabric::Staged(staged) => staged.pass(self.schedule, frames),
        }
    }

    /// State other than weight registers, in the order of the stages; counters of TMR errors last.
    pub fn elements(&self) -> Vec<ElementArray> {
        let mut arrays = match &self.fabric {
            Fabric::Narrow(unrolled) => unrolled.elements(self.schedule),
            Fabric::Wide(unrolled) => unrolled.elements(self.schedule),
            Fabric::Staged(staged) => staged.elements(self.schedule),
        };
        let of_layers = self.schedule.stages.iter().enumerate().filter_map(|(at, stage)| {
            let counters = self.counters(at).count();
            (counters > 0).then(|| ElementArray::new(stage, at, Element::ErrorCounter, vec![u8::BITS; counters]))
        });
        arrays.extend(of_layers);
        arrays
    }

    /// The value in a word of such state; raw for values of the network, otherwise a count.
    ///
    /// # Panics
    /// When the machine has no such state: addresses go through [`Machine::elements`].
    pub fn word(&self, at: ElementBit) -> i64 {
        let ElementBit { stage, element, index, .. } = at;
        if element == Element::ErrorCounter {
            let array = self.counters(stage).nth(index).expect("an error counter of the stage");
            return i64::from(self.bank.error_counters()[array]);
        }
        match &self.fabric {
            Fabric::Narrow(unrolled) => unrolled.word(stage, element, index),
            Fabric::Wide(unrolled) => unrolled.word(stage, element, index),
            Fabric::Staged(staged) => staged.word(stage, element, index),
        }
    }

    /// Inverts one bit of such state.
    ///
    /// # Panics
    /// As [`Machine::word`].
    pub fn flip(&mut self, at: ElementBit) {
        let ElementBit { stage, element, index, bit } = at;
        if element == Element::ErrorCounter {
            let array = self.counters(stage).nth(index).expect("an error counter of the stage");
            self.bank.flip_counter(array, bit);
            return;
        }
        match &mut self.fabric {
            Fabric::Narrow(unrolled) => unrolled.flip(stage, element, index, bit),
            Fabric::Wide(unrolled) => unrolled.flip(stage, element, index, bit),
            Fabric::Staged(staged) => staged.flip(stage, element, index, bit),
        }
    }

    /// The arrays of the inventory whose error counters stand at a stage.
    fn counters(&self, stage: usize) -> impl Iterator<Item = usize> + '_ {
        let nodes = &self.schedule.stages[stage].nodes;
        let arrays = self.inventory.arrays().iter().enumerate();
        arrays.filter(|(_, array)| nodes.contains(&array.node)).map(|(number, _)| number)
    }
}

impl Fabric {
    /// The datapath sees another value of a register from now on.
    fn set(&mut self, node: NodeId, kind: TensorKind, index: usize, value: i64) {
        match self {
            Self::Narrow(unrolled) => unrolled.set(node, kind, index, value),
            Self::Wide(unrolled) => unrolled.set(node, kind, index, value),
            // Reads the registers as they are.
            Self::Staged(_) => {}
        }
    }
}

fn has_weights(network: &Network, nodes: &[NodeId]) -> bool {
    nodes.iter().any(|id| network.node(*id).fan_in() > 0)
}
