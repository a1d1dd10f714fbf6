//! `Machine`: the accelerator clock by clock, fully unrolled: every multiplier is built, and a new input may come in
//! every cycle.
//!
//! Each layer with weights is one stage, with what follows it up to the next; a register stands behind each stage. All
//! weights of a stage are read in the cycle in which it computes. Why a register bit flips is not known here.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use multiversion::multiversion;

use super::bank::{Load, WeightBank};
use super::cycle::Cycle;
use super::registers::{BitId, Inventory};
use super::schedule::Schedule;
use super::tmr::Protection;
use super::word::{Word, fits};
use crate::net::{Network, Node, NodeId, Op, TensorKind, WeightTensor};

/// Output channels that are worked on at once.
const PIECE: usize = 8;

/// Weights of one layer as its stage sees them in this cycle, in C order.
#[derive(Debug, Clone, Default)]
struct Weights<W> {
    kernel: Vec<W>,
    bias: Vec<W>,
}

/// In words of 32 bits where the layer's range is proven to fit, otherwise of 64.
#[derive(Debug, Clone)]
enum LayerWeights {
    Narrow(Weights<i32>),
    Wide(Weights<i64>),
}

impl LayerWeights {
    fn new(node: &Node) -> Self {
        if fits::<i32>(&node.signal) { Self::Narrow(Weights::new(node)) } else { Self::Wide(Weights::new(node)) }
    }

    fn set(&mut self, kind: TensorKind, index: usize, value: i64) {
        match self {
            Self::Narrow(weights) => weights.set(kind, index, value),
            Self::Wide(weights) => weights.set(kind, index, value),
        }
    }

    /// The accumulators of the layer; `values` come from `from`.
    fn sums(&self, node: &Node, from: &Node, values: &[i64]) -> Vec<i64> {
        match self {
            Self::Narrow(weights) => sums(weights, node, from, values),
            Self::Wide(weights) => sums(weights, node, from, values),
        }
    }
}

impl<W: Word> Weights<W> {
    fn new(node: &Node) -> Self {
        let raw = |kind| {
            let values = node.op.tensor(kind).map_or(&[][..], WeightTensor::raw);
            values.iter().map(|value| W::wrap(*value)).collect()
        };
        Self { kernel: raw(TensorKind::Kernel), bias: raw(TensorKind::Bias) }
    }

    fn set(&mut self, kind: TensorKind, index: usize, value: i64) {
        match kind {
            TensorKind::Kernel => self.kernel[index] = W::wrap(value),
            TensorKind::Bias => self.bias[index] = W::wrap(value),
        }
    }
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
    /// Whether there was one in the last cycle.
    worked: bool,
    /// What its logic settles to, for the next clock edge.
    settled: Vec<i64>,
}

/// What a stage does in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageActivity {
    /// It computes.
    pub is_working: bool,
    /// It would, but the next stage has no room.
    pub is_stalled: bool,
    /// Packets in the FIFO or register in front of it, at the end of the cycle.
    pub waiting: u64,
    /// Packets that are computed and not yet handed on, at the end of the cycle.
    pub in_pipeline: u64,
}

/// A fully unrolled accelerator with its weight registers.
///
/// The frame offered in cycle `c` is read by stage `s` (from 0) in cycle `c + 1 + s`; its result stands in the output
/// register from cycle `c + 1 + latency` on, for one cycle.
#[derive(Debug, Clone)]
pub struct Machine<'n> {
    network: &'n Network,
    schedule: &'n Schedule,
    inventory: &'n Inventory,
    bank: WeightBank,
    stages: Vec<Stage>,
    /// By node; empty for nodes without weights.
    weights: Vec<LayerWeights>,
    /// The output register, and whether a result is in it.
    output: (Vec<i64>, bool),
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
        let weights = network.nodes().iter().map(LayerWeights::new).collect();
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
                    stages.push(Stage { nodes: vec![id], input, occupied: false, worked: false, settled: Vec::new() });
                }
            }
            in_front += usize::from(has_weights);
        }
        let output = (vec![0; network.output().len()], false);
        let bank = WeightBank::new(network, inventory, protection);
        Self { network, schedule, inventory, bank, stages, weights, output, cycle: Cycle(0) }
    }

    /// What it is built of, and its times.
    pub const fn schedule(&self) -> &'n Schedule {
        self.schedule
    }

    /// Whether a frame offered in the next [`Machine::step`] is taken.
    pub const fn is_ready(&self) -> bool {
        true
    }

    /// Whether no frame is inside, the output register left aside.
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(|stage| !stage.occupied)
    }

    /// What a stage did in the last cycle.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn activity(&self, stage: usize) -> StageActivity {
        let is_working = self.stages[stage].worked;
        StageActivity { is_working, is_stalled: false, waiting: u64::from(self.stages[stage].occupied), in_pipeline: 0 }
    }

    /// Lets `cycles` cycles pass in which no frame comes and nobody plays with the registers: as so many calls of
    /// [`Machine::step`] with nothing, at the price of a few.
    pub fn rest(&mut self, mut cycles: u64) {
        while cycles > 0 && !(self.is_empty() && self.output().is_none()) {
            self.step(None, Load::Hold);
            cycles -= 1;
        }
        self.bank.rest(cycles);
        self.cycle.0 += cycles;
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
        self.bank.take_changed(|register, value| {
            let (array, index) = inventory.locate(register);
            weights[array.node.index()].set(array.tensor, index, value);
        });
        for stage in self.stages.iter_mut().filter(|stage| stage.occupied) {
            stage.settle(self.network, &self.weights);
        }

        let results: Vec<bool> = self.stages.iter().map(|stage| stage.occupied).collect();
        for (at, occupied) in results.into_iter().enumerate() {
            self.stages[at].worked = occupied;
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

impl Stage {
    fn settle(&mut self, network: &Network, weights: &[LayerWeights]) {
        let mut values = std::mem::take(&mut self.settled);
        values.clear();
        values.extend_from_slice(&self.input);
        for id in &self.nodes {
            let node = network.node(*id);
            let from = network.node(node.inputs[0]);
            match &node.op {
                Op::Dense(_) | Op::Conv2d(_) => values = weights[id.index()].sums(node, from, &values),
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

/// The accumulators of a layer with weights. Arithmetic wraps, which is exact where the final values fit the word.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn sums<W: Word>(weights: &Weights<W>, node: &Node, from: &Node, values: &[i64]) -> Vec<i64> {
    let mut sums = vec![W::default(); node.len()];
    match &node.op {
        Op::Conv2d(conv) => {
            let channels = from.shape[2];
            let outputs = node.shape[2];
            for (position, sums) in sums.chunks_exact_mut(outputs).enumerate() {
                let (out_row, out_column) = (position / node.shape[1], position % node.shape[1]);
                for kernel_row in 0..conv.window.kernel[0] {
                    let Some(row) = conv.window.input_row(out_row, kernel_row, from.shape[0]) else { continue };
                    for kernel_column in 0..conv.window.kernel[1] {
                        let column = conv.window.input_column(out_column, kernel_column, from.shape[1]);
                        let Some(column) = column else { continue };
                        let tap = (kernel_row * conv.window.kernel[1] + kernel_column) * channels * outputs;
                        let pixel = &values[(row * from.shape[1] + column) * channels..][..channels];
                        add_products(sums, pixel, &weights.kernel[tap..][..channels * outputs]);
                    }
                }
            }
        }
        _ => add_products(&mut sums, values, &weights.kernel),
    }
    let channels = node.align.len();
    for position in sums.chunks_exact_mut(channels) {
        for (channel, (sum, align)) in position.iter_mut().zip(&node.align).enumerate() {
            let bias = weights.bias.get(channel).copied().unwrap_or_default();
            *sum = shifted(*sum, align.product).plus(shifted(bias, align.bias));
        }
    }
    sums.into_iter().map(W::wide).collect()
}

/// `word * 2^by` modulo 2^BITS, whatever the distance.
#[inline(always)]
fn shifted<W: Word>(word: W, by: u32) -> W {
    if by < W::BITS { word.left(by) } else { W::default() }
}

/// Adds the products of some inputs with their rows of weights, `[input, output]`, to the sums.
#[inline(always)]
fn add_products<W: Word>(sums: &mut [W], inputs: &[i64], rows: &[W]) {
    let outputs = sums.len();
    for (index, input) in inputs.iter().enumerate() {
        if *input == 0 {
            continue;
        }
        let input = W::wrap(*input);
        // Rows are short: pieces of a known length become vector instructions, a loop over the row would not.
        let (pieces, rest) = sums.as_chunks_mut::<PIECE>();
        let (row_pieces, row_rest) = rows[index * outputs..][..outputs].as_chunks::<PIECE>();
        for (piece, row_piece) in row_pieces.iter().enumerate() {
            let sums = &mut pieces[piece];
            for lane in 0..PIECE {
                sums[lane] = sums[lane].plus(row_piece[lane].times(input));
            }
        }
        for (lane, weight) in row_rest.iter().enumerate() {
            rest[lane] = rest[lane].plus(weight.times(input));
        }
    }
}
