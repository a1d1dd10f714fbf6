//! `Accelerator`: derivatives of the accelerator's output with respect to its weights, event by event.
//!
//! Values are those of the hardware (integers, exact); slopes are taken through QKeras' straight-through estimators
//! ([`super::head::passes`]). With open and closed gates kept, the output is linear in the weights of each single layer,
//! so its second derivative with respect to one weight is 0, and the exact Hessian needs no more than inputs, gates and
//! adjoints of the weighted layers: the [`Tape`].

use super::head::passes;
use super::linear::{Block, LANES, Linear};
use super::objective::add_scaled;
use crate::engine::reference;
use crate::hw::Inventory;
use crate::net::{Network, NodeId, Op, TensorKind, WeightTensor};
use crate::num::{Overflow, Quantizer, cast};

/// A network in `f64`, its parameters in the order of its registers: kernel before bias, layer by layer.
#[derive(Debug, Clone)]
pub(super) struct Accelerator<'a> {
    network: &'a Network,
    steps: Vec<Step>,
    /// Values the registers hold.
    parameters: Vec<f64>,
    /// Positions of the weighted layers among the nodes.
    weighted: Vec<usize>,
    gates: usize,
}

#[derive(Debug, Clone)]
struct Step {
    /// Node whose output it takes.
    source: usize,
    kind: Kind,
    /// Whether its output depends on a register.
    moves: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Input,
    Weighted(WeightedLayer),
    /// Tangents pass.
    Straight,
    /// Tangents pass where the gate of that number is open.
    Gate(usize),
    /// Input of every output.
    Gather(Vec<Option<usize>>),
}

/// A layer with registers.
#[derive(Debug, Clone)]
pub(super) struct WeightedLayer {
    /// Its geometry.
    pub linear: Linear,
    /// Number among the weighted layers.
    pub number: usize,
    /// Parameter of its first weight.
    pub kernel: usize,
    /// Parameter of its first bias.
    pub bias: Option<usize>,
}

/// What derivatives need of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tape {
    /// What the accelerator gives.
    pub output: Vec<f64>,
    /// Inputs of each weighted layer.
    pub inputs: Vec<Vec<f64>>,
    /// Adjoints of the sums of each weighted layer; see [`Accelerator::close`].
    pub adjoints: Vec<Vec<f64>>,
    /// For each gate, which values pass.
    gates: Vec<Vec<bool>>,
}

impl Tape {
    /// Bytes it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let doubles: usize = self.inputs.iter().chain(&self.adjoints).map(Vec::len).sum();
        8 * (doubles + self.output.len()) + self.gates.iter().map(Vec::len).sum::<usize>()
    }
}

/// Working memory of an [`Accelerator`]. One per thread.
#[derive(Debug, Clone, Default)]
pub(super) struct AcceleratorScratch {
    /// By node: tangents of its output, or adjoints.
    values: Vec<Vec<f64>>,
    /// By weighted layer: tangents of its input.
    moved: Vec<Vec<f64>>,
    /// By node: adjoints for several outputs, and whether there are any.
    blocks: Vec<Vec<Block>>,
    live: Vec<bool>,
}

impl<'a> Accelerator<'a> {
    /// Prepares `network`, whose registers are those of `inventory`.
    pub(super) fn new(network: &'a Network, inventory: &Inventory) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let (mut weighted, mut gates) = (Vec::new(), 0);
        for (id, node) in network.iter() {
            let source = node.inputs.first().map_or(0, |id| id.index());
            let from = network.nodes().get(source).map_or(&[][..], |node| &node.shape);
            let mut moves = steps.get(source).is_some_and(|step| step.moves);
            let mut gate = || {
                gates += 1;
                Kind::Gate(gates - 1)
            };
            let kind = match &node.op {
                Op::Input(_) => Kind::Input,
                Op::Quantize(quantizer) if quantizer.range().0 < 0 => Kind::Straight,
                Op::Quantize(_) | Op::Relu => gate(),
                Op::Reshape => Kind::Straight,
                Op::ZeroPad2d(padding) => Kind::Gather(
                    (0..node.len())
                        .map(|index| {
                            let (channels, columns) = (node.shape[2], node.shape[1]);
                            let row = index / (columns * channels);
                            let row = row.checked_sub(padding.top).filter(|row| *row < from[0])?;
                            let column = (index / channels % columns).checked_sub(padding.left);
                            let column = column.filter(|column| *column < from[1])?;
                            Some((row * from[1] + column) * channels + index % channels)
                        })
                        .collect(),
                ),
                Op::Dense(_) | Op::Conv2d(_) => {
                    moves = true;
                    weighted.push(id.index());
                    let linear = Linear::of_node(node, from).expect("a weighted layer");
                    let first = |kind| first_parameter(inventory, id, kind);
                    let kernel = first(TensorKind::Kernel).expect("every weighted layer has a kernel");
                    Kind::Weighted(WeightedLayer {
                        linear,
                        number: weighted.len() - 1,
                        kernel,
                        bias: first(TensorKind::Bias),
                    })
                }
                Op::DepthwiseConv2d(_)
                | Op::MaxPool2d(_)
                | Op::AveragePool2d(_)
                | Op::Add
                | Op::LeakyRelu { .. }
                | Op::Clip { .. } => unreachable!("no importer makes it yet"),
            };
            steps.push(Step { source, kind, moves });
        }
        let tensor = |tensor: &WeightTensor| (0..tensor.len()).map(|index| tensor.value(index)).collect::<Vec<f64>>();
        let tensors = network.nodes().iter().flat_map(|node| node.op.tensors());
        let parameters = tensors.flat_map(|(_, values)| tensor(values)).collect();
        Self { network, steps, parameters, weighted, gates }
    }

    /// The values the registers hold, in the order of the registers.
    pub(super) fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// Number of output values.
    pub(super) fn outputs(&self) -> usize {
        self.network.output().len()
    }

    /// The weighted layers, from input to output.
    pub(super) fn weighted(&self) -> impl Iterator<Item = &WeightedLayer> {
        self.weighted.iter().map(|node| match &self.steps[*node].kind {
            Kind::Weighted(weighted) => weighted,
            _ => unreachable!("`weighted` lists weighted layers"),
        })
    }

    /// Runs an event, without adjoints yet.
    pub(super) fn run(&self, codes: &[i64]) -> Tape {
        self.tape(&reference::evaluate(self.network, codes))
    }

    /// What derivatives need of the raw values of all nodes, without adjoints yet.
    pub(super) fn tape(&self, raw: &[Vec<i64>]) -> Tape {
        let real = |node: usize| -> Vec<f64> {
            let signal = self.network.nodes()[node].signal;
            raw[node].iter().map(|raw| signal.value(*raw)).collect()
        };
        let mut gates = vec![Vec::new(); self.gates];
        for (step, node) in self.steps.iter().zip(self.network.nodes()) {
            if let Kind::Gate(gate) = step.kind {
                let passes = |value: f64| match &node.op {
                    Op::Quantize(quantizer) => passes(*quantizer, value),
                    _ => value > 0.0,
                };
                gates[gate] = real(step.source).into_iter().map(passes).collect();
            }
        }
        Tape {
            output: real(raw.len() - 1),
            inputs: self.weighted.iter().map(|node| real(self.steps[*node].source)).collect(),
            adjoints: Vec::new(),
            gates,
        }
    }

    /// Completes `tape` by the adjoints that follow from those of the output.
    pub(super) fn close(&self, tape: &mut Tape, output: &[f64], scratch: &mut AcceleratorScratch) {
        let mut adjoints = vec![Vec::new(); self.weighted.len()];
        self.backward(tape, output, scratch, |layer, d, _| adjoints[layer.number] = d.to_vec());
        tape.adjoints = adjoints;
    }

    /// Adds the gradient of one event to `gradient`.
    pub(super) fn add_gradient(&self, tape: &Tape, weight: f64, gradient: &mut [f64]) {
        for layer in self.weighted() {
            let x: Vec<f64> = tape.inputs[layer.number].iter().map(|x| weight * x).collect();
            let d = &tape.adjoints[layer.number];
            layer.linear.add_outer(&x, d, &mut gradient[layer.kernel..][..layer.linear.weights()]);
            layer.add_biases(d, weight, gradient);
        }
    }

    /// Adds `weight` times the Hessian of one event times `direction` to `product`; `curvature` is the Hessian of the
    /// loss with respect to the output, `[outputs, outputs]`.
    pub(super) fn add_hessian_product(
        &self,
        point: (&Tape, &[f64]),
        weight: f64,
        direction: &[f64],
        scratch: &mut AcceleratorScratch,
        product: &mut [f64],
    ) {
        let (tape, curvature) = point;
        self.forward(tape, direction, scratch);
        let outputs = self.outputs();
        let moved = std::mem::take(&mut scratch.values[self.steps.len() - 1]);
        let bent: Vec<f64> = curvature
            .chunks_exact(outputs)
            .map(|row| weight * row.iter().zip(&moved).map(|(h, z)| h * z).sum::<f64>())
            .collect();
        scratch.values[self.steps.len() - 1] = moved;
        let inputs_moved = std::mem::take(&mut scratch.moved);
        self.backward(tape, &bent, scratch, |layer, d, dx| {
            // d is how the adjoints move; the tape has where they are.
            let kernel = &mut product[layer.kernel..][..layer.linear.weights()];
            let still = &tape.adjoints[layer.number];
            layer.linear.add_outer(&tape.inputs[layer.number], d, kernel);
            layer.add_biases(d, 1.0, product);
            let moved = &inputs_moved[layer.number];
            if !moved.is_empty() {
                let kernel = &mut product[layer.kernel..][..layer.linear.weights()];
                let moved: Vec<f64> = moved.iter().map(|x| weight * x).collect();
                layer.linear.add_outer(&moved, still, kernel);
            }
            if let Some(dx) = dx {
                let still: Vec<f64> = still.iter().map(|d| weight * d).collect();
                let weights = &direction[layer.kernel..][..layer.linear.weights()];
                layer.linear.add_backward(weights, &still, dx);
            }
        });
        scratch.moved = inputs_moved;
    }

    /// Tangents of all nodes when the registers move in `direction`.
    fn forward(&self, tape: &Tape, direction: &[f64], scratch: &mut AcceleratorScratch) {
        let AcceleratorScratch { values, moved, .. } = scratch;
        values.resize_with(self.steps.len(), Vec::new);
        moved.resize_with(self.weighted.len(), Vec::new);
        for (at, step) in self.steps.iter().enumerate() {
            let (before, after) = values.split_at_mut(at);
            let out = &mut after[0];
            out.clear();
            if !step.moves {
                continue;
            }
            let from = before.get(step.source).map_or(&[][..], Vec::as_slice);
            match &step.kind {
                Kind::Input => unreachable!("the input does not move"),
                Kind::Weighted(layer) => {
                    let (linear, range) = (&layer.linear, layer.kernel..layer.kernel + layer.linear.weights());
                    out.resize(linear.outputs(), 0.0);
                    if let Some(bias) = layer.bias {
                        let bias = &direction[bias..bias + linear.channels()];
                        out.chunks_exact_mut(linear.channels()).for_each(|position| position.copy_from_slice(bias));
                    }
                    linear.add_forward(&direction[range.clone()], &tape.inputs[layer.number], out);
                    moved[layer.number].clear();
                    if !from.is_empty() {
                        linear.add_forward(&self.parameters[range], from, out);
                        moved[layer.number].extend_from_slice(from);
                    }
                }
                Kind::Straight => out.extend_from_slice(from),
                Kind::Gate(gate) => {
                    out.extend(from.iter().zip(&tape.gates[*gate]).map(|(x, open)| if *open { *x } else { 0.0 }));
                }
                Kind::Gather(places) => out.extend(places.iter().map(|place| place.map_or(0.0, |place| from[place]))),
            }
        }
    }

    /// Carries the adjoints of the output back; `layer(weighted layer, adjoints of its sums, adjoints of its input if
    /// that depends on registers)` may add to the last.
    fn backward(
        &self,
        tape: &Tape,
        output: &[f64],
        scratch: &mut AcceleratorScratch,
        mut layer: impl FnMut(&WeightedLayer, &[f64], Option<&mut [f64]>),
    ) {
        let values = &mut scratch.values;
        values.resize_with(self.steps.len(), Vec::new);
        for (values, node) in values.iter_mut().zip(self.network.nodes()) {
            values.clear();
            values.resize(node.len(), 0.0);
        }
        values[self.steps.len() - 1].copy_from_slice(output);
        for (at, step) in self.steps.iter().enumerate().rev().filter(|(_, step)| step.moves) {
            let (before, after) = values.split_at_mut(at);
            let d = &after[0];
            let is_needed = self.steps[step.source].moves;
            match &step.kind {
                Kind::Input => {}
                Kind::Weighted(weighted) => {
                    let dx = &mut before[step.source];
                    if is_needed {
                        let range = weighted.kernel..weighted.kernel + weighted.linear.weights();
                        weighted.linear.add_backward(&self.parameters[range], d, dx);
                    }
                    layer(weighted, d, is_needed.then_some(dx.as_mut_slice()));
                }
                Kind::Straight => before[step.source].iter_mut().zip(d).for_each(|(x, d)| *x += d),
                Kind::Gate(gate) => {
                    for ((x, d), open) in before[step.source].iter_mut().zip(d).zip(&tape.gates[*gate]) {
                        *x += if *open { *d } else { 0.0 };
                    }
                }
                Kind::Gather(places) => {
                    for (place, d) in places.iter().zip(d) {
                        if let Some(place) = place {
                            before[step.source][*place] += d;
                        }
                    }
                }
            }
        }
    }

    /// Carries the Jacobian of the values of node `of` back: calls `each(node, jacobian)` with that of every node they
    /// depend on, the last first: `[value of the node, block]`, a lane per value of `of`.
    pub(super) fn jacobians(
        &self,
        of: usize,
        tape: &Tape,
        scratch: &mut AcceleratorScratch,
        mut each: impl FnMut(usize, &[Block]),
    ) {
        let nodes = &self.network.nodes()[..=of];
        let blocks = nodes[of].len().div_ceil(LANES);
        let AcceleratorScratch { blocks: values, live, .. } = scratch;
        values.resize_with(self.steps.len(), Vec::new);
        for (values, node) in values.iter_mut().zip(nodes) {
            values.clear();
            values.resize(node.len() * blocks, [0.0; LANES]);
        }
        for value in 0..nodes[of].len() {
            values[of][value * blocks + value / LANES][value % LANES] = 1.0;
        }
        for (at, step) in self.steps.iter().enumerate().take(of + 1).rev().filter(|(_, step)| step.moves) {
            let (before, after) = values.split_at_mut(at);
            let d = &after[0];
            each(at, d);
            let Some(from) = before.get_mut(step.source) else { continue };
            match &step.kind {
                Kind::Input => {}
                Kind::Weighted(weighted) => {
                    if self.steps[step.source].moves {
                        reaching(d, blocks, live);
                        let range = weighted.kernel..weighted.kernel + weighted.linear.weights();
                        weighted.linear.add_backward_blocks(&self.parameters[range], d, live, from);
                    }
                }
                Kind::Straight => add_scaled(from, 1.0, d),
                Kind::Gate(gate) => {
                    let rows = from.chunks_exact_mut(blocks).zip(d.chunks_exact(blocks)).zip(&tape.gates[*gate]);
                    for ((from, d), _) in rows.filter(|(_, open)| **open) {
                        add_scaled(from, 1.0, d);
                    }
                }
                Kind::Gather(places) => {
                    for (place, d) in places.iter().zip(d.chunks_exact(blocks)) {
                        if let Some(place) = place {
                            add_scaled(&mut from[place * blocks..(place + 1) * blocks], 1.0, d);
                        }
                    }
                }
            }
        }
    }

    /// The weighted layer at a node, if it is one.
    pub(super) fn weighted_at(&self, node: usize) -> Option<&WeightedLayer> {
        match &self.steps[node].kind {
            Kind::Weighted(weighted) => Some(weighted),
            _ => None,
        }
    }

    /// Position of the output among the nodes.
    pub(super) fn output_node(&self) -> usize {
        self.steps.len() - 1
    }

    /// The element-wise operations that alone read `node`, as one.
    pub(super) fn tail(&self, node: usize) -> Tail {
        let mut way = Vec::new();
        let mut end = node;
        loop {
            let mut readers = self.steps.iter().enumerate().skip(1).filter(|(_, step)| step.source == end);
            match (readers.next(), readers.next()) {
                (Some((next, _)), None) if self.is_elementwise(next) => {
                    way.push(next);
                    end = next;
                }
                _ => break,
            }
        }
        let mut tail = Tail::new(node);
        tail.extend(self.network, way);
        tail
    }

    /// The tail that ends at the output.
    pub(super) fn output_tail(&self) -> Tail {
        let mut way = Vec::new();
        let mut start = self.output_node();
        while self.is_elementwise(start) {
            way.push(start);
            start = self.steps[start].source;
        }
        let mut tail = Tail::new(start);
        tail.extend(self.network, way.into_iter().rev());
        tail
    }

    fn is_elementwise(&self, node: usize) -> bool {
        matches!(self.network.nodes()[node].op, Op::Quantize(_) | Op::Relu)
    }
}

/// Element-wise operations behind a node, as one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tail {
    /// The node they read.
    pub start: usize,
    /// The last of them; `start` itself where there is none.
    pub end: usize,
    /// Range of the values behind them, but for rounding, where all saturate.
    low: f64,
    high: f64,
    /// All of them, where some do otherwise.
    steps: Option<Vec<TailStep>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TailStep {
    Quantize(Quantizer),
    Relu,
}

impl Tail {
    fn new(node: usize) -> Self {
        Self { start: node, end: node, low: f64::NEG_INFINITY, high: f64::INFINITY, steps: None }
    }

    /// What becomes of a value: clipped, without rounding, where all operations saturate; otherwise exactly what the
    /// hardware makes of it.
    #[inline]
    pub(super) fn apply(&self, value: f64) -> f64 {
        match &self.steps {
            None => value.clamp(self.low, self.high),
            Some(steps) => steps.iter().fold(value, |value, step| match step {
                TailStep::Quantize(quantizer) => {
                    quantizer.quantize_f64(value).map_or(value, |raw| quantizer.format.value(raw))
                }
                TailStep::Relu => value.max(0.0),
            }),
        }
    }

    /// Takes the operations of these nodes in, in their order.
    fn extend(&mut self, network: &Network, nodes: impl IntoIterator<Item = usize>) {
        let mut steps = Vec::new();
        for node in nodes {
            let (low, high) = match network.nodes()[node].op {
                Op::Quantize(quantizer) => {
                    steps.push(TailStep::Quantize(quantizer));
                    let (low, high) = quantizer.range();
                    (quantizer.format.value(low), quantizer.format.value(high))
                }
                Op::Relu => {
                    steps.push(TailStep::Relu);
                    (0.0, f64::INFINITY)
                }
                _ => unreachable!("only element-wise operations are in a tail"),
            };
            (self.low, self.high) = (self.low.clamp(low, high), self.high.clamp(low, high));
            self.end = node;
        }
        let saturates = |step: &TailStep| match step {
            TailStep::Quantize(quantizer) => {
                matches!(quantizer.overflow, Overflow::Saturate | Overflow::SaturateSymmetric)
            }
            TailStep::Relu => true,
        };
        self.steps = (!steps.iter().all(saturates)).then_some(steps);
    }
}

/// Which rows of a Jacobian are not all zero.
pub(super) fn reaching(jacobian: &[Block], blocks: usize, live: &mut Vec<bool>) {
    live.clear();
    live.extend(jacobian.chunks_exact(blocks).map(|row| row.as_flattened().iter().any(|d| *d != 0.0)));
}

impl WeightedLayer {
    /// Adds the adjoints of the sums to the biases that stand in them.
    fn add_biases(&self, d: &[f64], weight: f64, gradient: &mut [f64]) {
        if let Some(bias) = self.bias {
            let biases = &mut gradient[bias..bias + self.linear.channels()];
            for position in d.chunks_exact(self.linear.channels()) {
                biases.iter_mut().zip(position).for_each(|(sum, d)| *sum += weight * d);
            }
        }
    }
}

fn first_parameter(inventory: &Inventory, node: NodeId, tensor: TensorKind) -> Option<usize> {
    let array = inventory.arrays().iter().find(|array| array.node == node && array.tensor == tensor)?;
    Some(cast::index(array.first.0))
}
