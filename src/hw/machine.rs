//! `Machine`: the accelerator clock by clock, fully unrolled: every multiplier is built, and a new input may come in
//! every cycle.
//!
//! Each layer with weights is one stage, with what follows it up to the next; a register stands behind each stage. All
//! weights of a stage are read in the cycle in which it computes. Why a register bit flips is not known here.

use super::bank::{Load, WeightBank};
use super::cycle::Cycle;
use super::registers::{BitId, Inventory, RegisterId};
use super::tmr::Protection;
use crate::net::{Conv2d, Network, Node, NodeId, Op, TensorKind};

/// Weights of one layer as its stage sees them in this cycle, in C order.
#[derive(Debug, Clone, Default)]
struct Weights {
    kernel: Vec<i64>,
    bias: Vec<i64>,
}

/// Combinational logic between two registers.
#[derive(Debug, Clone)]
struct Stage {
    /// What it computes, in order.
    nodes: Vec<NodeId>,
    /// The register in front of it; meaningless while there is no frame in it.
    input: Vec<i64>,
    /// Whether a frame is in that register.
    occupied: bool,
    /// What its logic settles to, for the next clock edge.
    settled: Vec<i64>,
}

/// A fully unrolled accelerator with its weight registers.
///
/// The frame offered in cycle `c` is read by stage `s` (from 0) in cycle `c + 1 + s`; its result stands in the output
/// register from cycle `c + 1 + latency` on, for one cycle.
#[derive(Debug, Clone)]
pub struct Machine<'n> {
    network: &'n Network,
    inventory: &'n Inventory,
    bank: WeightBank,
    stages: Vec<Stage>,
    /// By node; empty for nodes without weights.
    weights: Vec<Weights>,
    /// The output register, and whether a result is in it.
    output: (Vec<i64>, bool),
    cycle: Cycle,
}

impl<'n> Machine<'n> {
    /// The accelerator of `network` after its first load, without a frame in it, in cycle 0.
    ///
    /// # Panics
    /// When `inventory` is not the one of `network`.
    pub fn new(network: &'n Network, inventory: &'n Inventory, protection: impl Fn(BitId) -> Protection) -> Self {
        let raw = |node: &Node, kind| node.op.tensor(kind).map_or_else(Vec::new, |tensor| tensor.raw().to_vec());
        let weights = network
            .nodes()
            .iter()
            .map(|node| Weights { kernel: raw(node, TensorKind::Kernel), bias: raw(node, TensorKind::Bias) })
            .collect();
        let mut path = Vec::new();
        let mut next = network.iter().next_back().map(|(id, _)| id);
        while let Some(id) = next {
            path.push(id);
            next = network.node(id).inputs.first().copied();
        }
        let mut stages: Vec<Stage> = Vec::new();
        let mut in_front = 0;
        for id in path.into_iter().rev().skip(1) {
            let has_weights = network.node(id).fan_in() > 0;
            match stages.last_mut() {
                // What comes before the first layer with weights is part of its stage.
                Some(stage) if !has_weights || in_front == 0 => stage.nodes.push(id),
                _ => {
                    let first = network.node(id).inputs[0];
                    let input = vec![0; network.node(first).len()];
                    stages.push(Stage { nodes: vec![id], input, occupied: false, settled: Vec::new() });
                }
            }
            in_front += usize::from(has_weights);
        }
        let output = (vec![0; network.output().len()], false);
        let bank = WeightBank::new(network, inventory, protection);
        Self { network, inventory, bank, stages, weights, output, cycle: Cycle(0) }
    }

    /// Cycles from the input register to the output register: the number of stages.
    pub const fn latency(&self) -> usize {
        self.stages.len()
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

    /// The result in the output register, in raw values, when there is one.
    pub fn output(&self) -> Option<&[i64]> {
        self.output.1.then_some(self.output.0.as_slice())
    }

    /// One cycle: voters and stages settle, then the clock ticks. `frame` is what stands at the input register, in raw
    /// values, if anything; `load` what the weight registers do at the edge.
    ///
    /// # Panics
    /// When the frame has another length than the input.
    pub fn step(&mut self, frame: Option<&[i64]>, load: Load) {
        self.bank.settle();
        let (inventory, weights) = (self.inventory, &mut self.weights);
        self.bank.take_changed(|register, value| *weight(inventory, weights, register) = value);
        for stage in self.stages.iter_mut().filter(|stage| stage.occupied) {
            stage.settle(self.network, &self.weights);
        }

        let results: Vec<bool> = self.stages.iter().map(|stage| stage.occupied).collect();
        for (at, occupied) in results.into_iter().enumerate() {
            let settled = std::mem::take(&mut self.stages[at].settled);
            let (behind, full) = match self.stages.get_mut(at + 1) {
                Some(next) => (&mut next.input, &mut next.occupied),
                None => (&mut self.output.0, &mut self.output.1),
            };
            *full = occupied;
            self.stages[at].settled = if occupied { std::mem::replace(behind, settled) } else { settled };
        }
        if let Some(first) = self.stages.first_mut() {
            first.occupied = frame.is_some();
            if let Some(frame) = frame {
                first.input.copy_from_slice(frame);
            }
        }
        self.bank.tick(load);
        self.cycle.0 += 1;
    }
}

fn weight<'w>(inventory: &Inventory, weights: &'w mut [Weights], register: RegisterId) -> &'w mut i64 {
    let (array, index) = inventory.locate(register);
    let weights = &mut weights[array.node.index()];
    match array.tensor {
        TensorKind::Kernel => &mut weights.kernel[index],
        TensorKind::Bias => &mut weights.bias[index],
    }
}

impl Stage {
    fn settle(&mut self, network: &Network, weights: &[Weights]) {
        let mut values = std::mem::take(&mut self.settled);
        values.clear();
        values.extend_from_slice(&self.input);
        for id in &self.nodes {
            let node = network.node(*id);
            let from = network.node(node.inputs[0]);
            match &node.op {
                Op::Dense(_) => {
                    let mut sums = vec![0; node.len()];
                    add_products(&mut sums, &values, &weights[id.index()].kernel);
                    finish_sums(&mut sums, node, &weights[id.index()].bias);
                    values = sums;
                }
                Op::Conv2d(conv) => values = convolution(node, conv, from, &values, &weights[id.index()]),
                Op::Quantize(quantizer) | Op::Input(quantizer) => {
                    for value in &mut values {
                        *value = quantizer.quantize(*value, from.signal.frac_bits);
                    }
                }
                Op::Relu => {
                    for value in &mut values {
                        *value = (*value).max(0);
                    }
                }
                Op::Reshape => {}
                Op::ZeroPad2d(padding) => {
                    let mut padded = vec![0; node.len()];
                    let row_len = from.shape[1] * from.shape[2];
                    for (row, row_values) in values.chunks_exact(row_len).enumerate() {
                        let start = ((row + padding.top) * node.shape[1] + padding.left) * node.shape[2];
                        padded[start..start + row_len].copy_from_slice(row_values);
                    }
                    values = padded;
                }
            }
        }
        self.settled = values;
    }
}

/// Adds the products of some inputs with their rows of weights, `[input, output]`, to the sums.
fn add_products(sums: &mut [i64], inputs: &[i64], rows: &[i64]) {
    for (input, row) in inputs.iter().zip(rows.chunks_exact(sums.len())) {
        if *input != 0 {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += input * weight;
            }
        }
    }
}

/// Brings products and bias of one output position, channel by channel, onto the accumulator's binary point.
fn finish_sums(sums: &mut [i64], node: &Node, bias: &[i64]) {
    for (channel, (sum, align)) in sums.iter_mut().zip(&node.align).enumerate() {
        *sum = (*sum << align.product) + (bias.get(channel).map_or(0, |bias| bias << align.bias));
    }
}

fn convolution(node: &Node, conv: &Conv2d, from: &Node, values: &[i64], weights: &Weights) -> Vec<i64> {
    let [rows, columns, channels] = [from.shape[0], from.shape[1], from.shape[2]];
    let [kernel_rows, kernel_columns] = conv.window.kernel;
    let outputs = node.shape[2];
    let mut sums = vec![0; node.len()];
    for (position, sums) in sums.chunks_exact_mut(outputs).enumerate() {
        let (out_row, out_column) = (position / node.shape[1], position % node.shape[1]);
        for kernel_row in 0..kernel_rows {
            let Some(row) = conv.window.input_row(out_row, kernel_row, rows) else { continue };
            for kernel_column in 0..kernel_columns {
                let Some(column) = conv.window.input_column(out_column, kernel_column, columns) else { continue };
                let pixel = &values[(row * columns + column) * channels..][..channels];
                let place = (kernel_row * kernel_columns + kernel_column) * channels * outputs;
                add_products(sums, pixel, &weights.kernel[place..][..channels * outputs]);
            }
        }
        finish_sums(sums, node, &weights.bias);
    }
    sums
}
