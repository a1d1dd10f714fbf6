//! `EffectBook`: sets of registers that are read wrong, each kept and evaluated once.

use std::collections::HashMap;

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::super::trials::TrialInput;
use super::super::workspace::Workspace;
use super::super::{CampaignError, ExactSum};
use crate::engine::{Engine, WeightChange};
use crate::hw::{Inventory, RegisterId};
use crate::net::Network;
use crate::num::cast;

/// Sets that an event meets at once; sums of so many are kept by each thread.
const AT_ONCE: usize = 65_536;

/// Registers with what is read of them, in the order of their numbers.
pub(super) type WrongRegisters = Vec<(RegisterId, i64)>;

/// Number of a set of wrong registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EffectId(u32);

/// Sets of wrong registers, with the rise of the mean error of those that have been evaluated.
#[derive(Debug, Default)]
pub(super) struct EffectBook {
    known: HashMap<WrongRegisters, EffectId>,
    sets: Vec<WrongRegisters>,
    rises: Vec<f64>,
}

impl EffectBook {
    /// The number of a set.
    pub(super) fn intern(&mut self, wrong: WrongRegisters) -> EffectId {
        if let Some(known) = self.known.get(&wrong) {
            return *known;
        }
        let id = EffectId(cast::id(self.sets.len()));
        self.sets.push(wrong.clone());
        self.known.insert(wrong, id);
        id
    }

    /// Sets that have not been evaluated.
    pub(super) const fn open(&self) -> usize {
        self.sets.len() - self.rises.len()
    }

    /// Rise of the mean error while registers are read like that.
    ///
    /// # Panics
    /// When the set has not been evaluated.
    pub(super) fn rise(&self, id: EffectId) -> f64 {
        self.rises[cast::index(id.0)]
    }

    /// Evaluates the sets that have not been, each on every event. `progress` is told the number of evaluations, done since
    /// it was last told and in all.
    ///
    /// # Errors
    /// When an error is no number, or too large to be added up exactly; of several that of the first event.
    pub(super) fn evaluate(
        &mut self,
        input: &TrialInput<'_>,
        progress: &(impl Fn(u64, u64) + Sync),
    ) -> Result<(), CampaignError> {
        let engine = Engine::new(input.network);
        let events = input.events.len();
        let total = cast::u64_from_len(self.open()) * cast::u64_from_len(events);
        let first = self.rises.len();
        for sets in self.sets[first..].chunks(AT_ONCE) {
            let changes: Vec<Vec<WeightChange>> =
                sets.iter().map(|wrong| changes_of(input.network, input.inventory, wrong)).collect();
            let sums = sums(input, &engine, &changes, sets, &|done| progress(done, total))?;
            self.rises.extend(sums.into_iter().map(|sum| sum.value() / cast::f64_from_count(events)));
        }
        Ok(())
    }
}

/// Sum over events of the rise, for every list of changes.
fn sums(
    input: &TrialInput<'_>,
    engine: &Engine<'_>,
    changes: &[Vec<WeightChange>],
    sets: &[WrongRegisters],
    progress: &(impl Fn(u64) + Sync),
) -> Result<Vec<ExactSum>, CampaignError> {
    let none = || Ok(vec![ExactSum::default(); changes.len()]);
    // Of several failures that of the first event: a later one does not replace an earlier one.
    (0..input.events.len())
        .into_par_iter()
        .fold(
            || (none(), Workspace::new(engine)),
            |(partial, mut workspace): (Result<Vec<ExactSum>, CampaignError>, _), event| {
                let partial = partial.and_then(|mut sums| {
                    let data = &input.events[event];
                    workspace.begin(engine, data);
                    workspace.evaluate(engine, changes);
                    workspace.judge(input.evaluator, data).map_err(|unusable| {
                        unusable.error(event, |position| addresses(input.inventory, &sets[position]))
                    })?;
                    for (position, rise) in workspace.rises() {
                        sums[position] += rise;
                    }
                    progress(cast::u64_from_len(changes.len()));
                    Ok(sums)
                });
                (partial, workspace)
            },
        )
        .map(|(partial, _)| partial)
        .reduce(none, |a, b| {
            let (mut a, b) = (a?, b?);
            for (mine, theirs) in a.iter_mut().zip(b) {
                *mine += theirs;
            }
            Ok(a)
        })
}

fn changes_of(network: &Network, inventory: &Inventory, wrong: &WrongRegisters) -> Vec<WeightChange> {
    let change = |(register, value): &(RegisterId, i64)| {
        let (array, index) = inventory.locate(*register);
        let tensor =
            network.node(array.node).op.tensor(array.tensor).expect("the inventory lists the network's tensors");
        WeightChange { node: array.node, tensor: array.tensor, index, delta: value - tensor.raw()[index] }
    };
    wrong.iter().map(change).collect()
}

fn addresses(inventory: &Inventory, wrong: &WrongRegisters) -> String {
    let addresses: Vec<String> =
        wrong.iter().map(|(register, value)| format!("{} = {value}", inventory.register_address(*register))).collect();
    addresses.join(";")
}
