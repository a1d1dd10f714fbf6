//! `Engine`: what changed weight registers do to the output, computed from the fault-free trace.
//!
//! A change is carried through the layers as the list of values that differ from the trace; where every value equals
//! the trace again the evaluation ends.

use super::MIXED;
use super::flips::{FlipPlan, Plan};
use super::kernels::Addend;
use super::outputs::FaultyOutput;
use super::prepared::{Prepared, Way};
use super::scratch::{Buffer, Found, Scratch, Space};
use super::trace::{Golden, Trace};
use crate::hw::datapath::layer::{Core, Layer};
use crate::hw::datapath::width::ByWidth;
use crate::hw::datapath::word::Word;
use crate::hw::{BitId, Inventory};
use crate::net::{Network, Node, NodeId, TensorKind, WeightTensor};
use crate::num::cast;

/// A weight or bias register that holds another value than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightChange {
    /// The layer.
    pub node: NodeId,
    /// Which of its tensors.
    pub tensor: TensorKind,
    /// C-order index in the tensor.
    pub index: usize,
    /// Raw value held minus raw value meant.
    pub delta: i64,
}

impl WeightChange {
    /// What flipping one bit of its register changes.
    ///
    /// # Panics
    /// When `inventory` is not the one of `network`.
    pub fn of_flip(network: &Network, inventory: &Inventory, bit: BitId) -> Self {
        let (register, place) = inventory.locate_bit(bit);
        let (array, index) = inventory.locate(register);
        let tensor =
            network.node(array.node).op.tensor(array.tensor).expect("the inventory lists the network's tensors");
        let raw = tensor.raw()[index];
        let delta = tensor.format().flip(raw, place) - raw;
        Self { node: array.node, tensor: array.tensor, index, delta }
    }
}

/// Evaluates weight changes of one network, event by event.
///
/// Whatever it is asked, the answer is that of [`mod@super::reference`] for the network with the changed registers,
/// exactly.
#[derive(Debug, Clone)]
pub struct Engine<'n> {
    network: &'n Network,
    prepared: ByWidth<Prepared<i32>, Prepared<i64>>,
    /// Number of kernel and of bias registers, by node.
    registers: Vec<[usize; 2]>,
}

impl<'n> Engine<'n> {
    /// An engine for `network`, in 32-bit words if all its values are proven to fit them, otherwise in 64-bit words.
    pub fn new(network: &'n Network) -> Self {
        Self::by(network, Way::Cheapest)
    }

    /// An engine for `network` that carries changes in one way, whatever that costs: the same answers.
    pub fn by(network: &'n Network, way: Way) -> Self {
        match Prepared::new(network, way) {
            Some(prepared) => Self::with(network, ByWidth::Narrow(prepared)),
            None => Self::wide(network, way),
        }
    }

    /// An engine for `network` in 64-bit words even where 32 bits suffice: the same answers, slower.
    pub fn wide(network: &'n Network, way: Way) -> Self {
        let prepared = Prepared::new(network, way).expect("no signal of a network needs more than 62 bits and a sign");
        Self::with(network, ByWidth::Wide(prepared))
    }

    fn with(network: &'n Network, prepared: ByWidth<Prepared<i32>, Prepared<i64>>) -> Self {
        let registers = |node: &Node| {
            [TensorKind::Kernel, TensorKind::Bias].map(|kind| node.op.tensor(kind).map_or(0, WeightTensor::len))
        };
        Self { network, prepared, registers: network.nodes().iter().map(registers).collect() }
    }

    /// The network evaluated.
    pub const fn network(&self) -> &'n Network {
        self.network
    }

    /// Width of the words it evaluates in, in bits.
    pub const fn word_bits(&self) -> u32 {
        match self.prepared {
            ByWidth::Narrow(_) => i32::BITS,
            ByWidth::Wide(_) => i64::BITS,
        }
    }

    /// Fault-free values for one event.
    ///
    /// # Panics
    /// As [`Engine::trace_into`].
    pub fn trace(&self, input: &[i64]) -> Trace {
        let mut trace = self.empty_trace();
        self.trace_into(input, &mut trace);
        trace
    }

    /// Memory for [`Engine::trace_into`], without an event.
    pub fn empty_trace(&self) -> Trace {
        let golden = match &self.prepared {
            ByWidth::Narrow(prepared) => ByWidth::Narrow(Golden::new(&prepared.program)),
            ByWidth::Wide(prepared) => ByWidth::Wide(Golden::new(&prepared.program)),
        };
        Trace { golden, output: vec![0; self.network.output().len()] }
    }

    /// Fault-free values for one event in the memory of another: nothing of what was there is left, nothing is
    /// allocated.
    ///
    /// `input` holds the raw values of the input register in C order; they must lie in its range.
    ///
    /// # Panics
    /// When `input` has another length than the input node, or `trace` was not made by this engine: events are checked
    /// against the network before they get here.
    pub fn trace_into(&self, input: &[i64], trace: &mut Trace) {
        match (&self.prepared, &mut trace.golden) {
            (ByWidth::Narrow(prepared), ByWidth::Narrow(golden)) => {
                golden.fill(&prepared.program, input, &mut trace.output);
            }
            (ByWidth::Wide(prepared), ByWidth::Wide(golden)) => {
                golden.fill(&prepared.program, input, &mut trace.output);
            }
            _ => panic!("{MIXED}"),
        }
    }

    /// Working memory for [`Engine::evaluate`] and [`Engine::sweep`], for any number of events.
    pub fn scratch(&self) -> Scratch {
        let space = match &self.prepared {
            ByWidth::Narrow(prepared) => ByWidth::Narrow(Space::new(&prepared.program)),
            ByWidth::Wide(prepared) => ByWidth::Wide(Space::new(&prepared.program)),
        };
        Scratch { space, found: Found::default() }
    }

    /// The output when `changes` hold together, or `None` when it equals the fault-free output.
    ///
    /// Exact for any number of changes in any layers; each register may be named once.
    ///
    /// # Panics
    /// When a change names a register that the network does not have (sites come from its own inventory), or `trace` or
    /// `scratch` were not made by this engine.
    pub fn evaluate<'m>(
        &self,
        trace: &'m Trace,
        scratch: &'m mut Scratch,
        changes: &[WeightChange],
    ) -> Option<FaultyOutput<'m>> {
        self.check(changes);
        let Scratch { space, found } = scratch;
        let differs = match (&self.prepared, &trace.golden, space) {
            (ByWidth::Narrow(prepared), ByWidth::Narrow(golden), ByWidth::Narrow(space)) => {
                evaluate(prepared, golden, space, changes, found)
            }
            (ByWidth::Wide(prepared), ByWidth::Wide(golden), ByWidth::Wide(space)) => {
                evaluate(prepared, golden, space, changes, found)
            }
            _ => panic!("{MIXED}"),
        };
        differs.then(|| FaultyOutput::new(&trace.output, &found.indices, &found.values))
    }

    /// Prepares `changes` for [`Engine::sweep`]: each is a question of its own. Any order, repeats allowed.
    ///
    /// # Panics
    /// When a change names a register that the network does not have.
    pub fn flips(&self, changes: &[WeightChange]) -> FlipPlan {
        self.check(changes);
        let rows = match &self.prepared {
            ByWidth::Narrow(prepared) => ByWidth::Narrow(Plan::new(prepared, changes)),
            ByWidth::Wide(prepared) => ByWidth::Wide(Plan::new(prepared, changes)),
        };
        FlipPlan { rows, len: changes.len() }
    }

    /// Calls `visit(position among the plan's changes, output)` once for every change that, by itself, changes the
    /// output.
    ///
    /// The order of calls depends on the plan and the event alone.
    ///
    /// # Panics
    /// When `plan`, `trace` or `scratch` were not made by this engine.
    pub fn sweep(
        &self,
        plan: &FlipPlan,
        trace: &Trace,
        scratch: &mut Scratch,
        mut visit: impl FnMut(usize, &FaultyOutput<'_>),
    ) {
        let Scratch { space, found } = scratch;
        let mut visit = |position: usize, indices: &[u32], values: &[i64]| {
            visit(position, &FaultyOutput::new(&trace.output, indices, values));
        };
        match (&self.prepared, &plan.rows, &trace.golden, space) {
            (ByWidth::Narrow(prepared), ByWidth::Narrow(rows), ByWidth::Narrow(golden), ByWidth::Narrow(space)) => {
                rows.sweep(prepared, golden, space, found, &mut visit);
            }
            (ByWidth::Wide(prepared), ByWidth::Wide(rows), ByWidth::Wide(golden), ByWidth::Wide(space)) => {
                rows.sweep(prepared, golden, space, found, &mut visit);
            }
            _ => panic!("{MIXED}"),
        }
    }

    fn check(&self, changes: &[WeightChange]) {
        for change in changes {
            let [kernel, bias] = self.registers[change.node.index()];
            let registers = if change.tensor == TensorKind::Kernel { kernel } else { bias };
            assert!(change.index < registers, "{change:?}: the network has no such register");
        }
    }
}

/// Carries `changes` together to the output; `found` then holds its differences, if there are any.
fn evaluate<W: Word>(
    prepared: &Prepared<W>,
    golden: &Golden<W>,
    space: &mut Space<W>,
    changes: &[WeightChange],
    found: &mut Found,
) -> bool {
    let Space { flow, own, .. } = space;
    flow.buffers[0].reset();
    for (at, layer) in prepared.program.layers.iter().enumerate() {
        own.clear();
        if layer.has_registers() {
            let (source, input) = (layer.sources[0], &golden.buffers[layer.sources[0]]);
            for change in changes.iter().filter(|change| change.node == layer.node) {
                add_own(layer, input, &flow.buffers[source], change, own);
            }
            if matches!(layer.core, Core::Channelwise { .. }) {
                own.sort_unstable_by_key(|addend| addend.flat);
            }
        }
        flow.step(prepared, golden, at, own);
    }
    let output = flow.buffers[prepared.program.layers.len()].list();
    found.set(output);
    !output.is_empty()
}

/// What a changed register adds to the sums of its layer, given the layer's input as it now is.
fn add_own<W: Word>(
    layer: &Layer<W>,
    golden_input: &[W],
    input: &Buffer<W>,
    change: &WeightChange,
    own: &mut Vec<Addend<W>>,
) {
    let (row, lane) = (change.index / layer.channels, change.index % layer.channels);
    let delta: W = layer.aligned(change.tensor, lane, change.delta);
    let flat = |position: u32| cast::index(position) * layer.lanes() + lane;
    match change.tensor {
        TensorKind::Bias => {
            own.extend((0..cast::id(layer.positions)).map(|position| Addend { flat: flat(position), value: delta }));
        }
        TensorKind::Kernel => {
            let (tap, channel) = match layer.core {
                Core::Channelwise { multiplier } => (row, lane / multiplier),
                _ => (row / layer.in_channels, row % layer.in_channels),
            };
            for at in layer.uses.get(tap) {
                let x = input.value(cast::index(at.pixel) * layer.in_channels + channel, golden_input);
                if x != W::default() {
                    own.push(Addend { flat: flat(at.position), value: delta.times(x) });
                }
            }
        }
    }
}
