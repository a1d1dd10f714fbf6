//! `Accelerator`: derivatives of the accelerator's output with respect to its weights, event by event.
//!
//! Values are those of the hardware (integers, exact); slopes are taken through QKeras' straight-through estimators
//! ([`super::head::passes`]). With open and closed gates kept, the output is linear in the weights of each single layer,
//! so its second derivative with respect to one weight is 0, and the exact Hessian needs no more than inputs, gates and
//! adjoints of the weighted layers: the [`Tape`].

use super::head::passes;
use super::linear::{Block, LANES, Linear};
use super::objective::add_scaled;
use super::places::{Share, largest, padded, shares};
use super::tail::Tail;
use crate::engine::reference;
use crate::hw::Inventory;
use crate::net::{Network, NodeId, Op, TensorKind, WeightTensor};
use crate::num::cast;

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
    choices: usize,
}

#[derive(Debug, Clone)]
struct Step {
    /// Nodes whose outputs it takes; none of the input.
    sources: Vec<usize>,
    kind: Kind,
    /// Whether its output depends on a register.
    moves: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Input,
    Weighted(WeightedLayer),
    /// Tangents of all sources pass.
    Straight,
    /// Tangents pass where the gate of that number is open.
    Gate(usize),
    /// Tangents pass where the gate of that number is open, and elsewhere times the slope.
    Leaky {
        gate: usize,
        slope: f64,
    },
    /// Input of every output.
    Gather(Vec<Option<usize>>),
    /// Tangents of the largest value of each window pass: the choice of that number.
    Largest(usize),
    /// A fixed sum of inputs.
    Mix(Vec<Share>),
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
    /// For each maximum, the input that every output is.
    choices: Vec<Vec<u32>>,
}

impl Tape {
    /// Bytes it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let doubles: usize = self.inputs.iter().chain(&self.adjoints).map(Vec::len).sum();
        let choices = self.choices.iter().map(Vec::len).sum::<usize>();
        8 * (doubles + self.output.len()) + 4 * choices + self.gates.iter().map(Vec::len).sum::<usize>()
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
        let (mut weighted, mut gates, mut choices) = (Vec::new(), 0, 0);
        let number = |count: &mut usize| {
            *count += 1;
            *count - 1
        };
        for (id, node) in network.iter() {
            let sources: Vec<usize> = node.inputs.iter().map(|id| id.index()).collect();
            let from = sources.first().map_or(&[][..], |source| &network.nodes()[*source].shape);
            let mut moves = sources.iter().any(|source| steps[*source].moves);
            let kind = match &node.op {
                Op::Input(_) => Kind::Input,
                Op::Quantize(quantizer) if quantizer.range().0 < 0 => Kind::Straight,
                Op::Quantize(_) | Op::Relu | Op::Clip { .. } => Kind::Gate(number(&mut gates)),
                Op::LeakyRelu { shift } => Kind::Leaky { gate: number(&mut gates), slope: (-f64::from(*shift)).exp2() },
                Op::Reshape | Op::Add => Kind::Straight,
                Op::ZeroPad2d(padding) => Kind::Gather(padded(node, from, padding)),
                Op::MaxPool2d(_) => Kind::Largest(number(&mut choices)),
                Op::AveragePool2d(pool) => Kind::Mix(shares(node, from, pool)),
                Op::Dense(_) | Op::Conv2d(_) | Op::DepthwiseConv2d(_) => {
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
            };
            steps.push(Step { sources, kind, moves });
        }
        let tensor = |tensor: &WeightTensor| (0..tensor.len()).map(|index| tensor.value(index)).collect::<Vec<f64>>();
        let tensors = network.nodes().iter().flat_map(|node| node.op.tensors());
        let parameters = tensors.flat_map(|(_, values)| tensor(values)).collect();
        Self { network, steps, parameters, weighted, gates, choices }
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
        let mut choices = vec![Vec::new(); self.choices];
        for (step, node) in self.steps.iter().zip(self.network.nodes()) {
            match step.kind {
                Kind::Gate(gate) | Kind::Leaky { gate, .. } => {
                    let passes = |value: f64| match &node.op {
                        Op::Quantize(quantizer) => passes(*quantizer, value),
                        Op::Clip { low, high } => node.signal.value(*low) < value && value <= node.signal.value(*high),
                        _ => value > 0.0,
                    };
                    gates[gate] = real(step.sources[0]).into_iter().map(passes).collect();
                }
                Kind::Largest(choice) => {
                    let source = step.sources[0];
                    choices[choice] = largest(node, &self.network.nodes()[source].shape, &raw[source]);
                }
                _ => {}
            }
        }
        Tape {
            output: real(raw.len() - 1),
            inputs: self.weighted.iter().map(|node| real(self.steps[*node].sources[0])).collect(),
            adjoints: Vec::new(),
            gates,
            choices,
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
            let from = step.sources.first().map_or(&[][..], |source| before[*source].as_slice());
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
                Kind::Straight => {
                    out.resize(self.network.nodes()[at].len(), 0.0);
                    // Of what does not move there are no tangents.
                    for source in &step.sources {
                        out.iter_mut().zip(&before[*source]).for_each(|(sum, x)| *sum += x);
                    }
                }
                Kind::Gate(gate) => {
                    out.extend(from.iter().zip(&tape.gates[*gate]).map(|(x, open)| if *open { *x } else { 0.0 }));
                }
                Kind::Leaky { gate, slope } => {
                    let passed = |(x, open): (&f64, &bool)| if *open { *x } else { slope * x };
                    out.extend(from.iter().zip(&tape.gates[*gate]).map(passed));
                }
                Kind::Gather(places) => out.extend(places.iter().map(|place| place.map_or(0.0, |place| from[place]))),
                Kind::Largest(choice) => {
                    out.extend(tape.choices[*choice].iter().map(|place| from[cast::index(*place)]));
                }
                Kind::Mix(shares) => {
                    out.resize(self.network.nodes()[at].len(), 0.0);
                    for share in shares {
                        out[cast::index(share.output)] += share.factor * from[cast::index(share.input)];
                    }
                }
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
            // Only the input has no source, and that never moves.
            let first = step.sources[0];
            let is_needed = self.steps[first].moves;
            match &step.kind {
                Kind::Input => {}
                Kind::Weighted(weighted) => {
                    let dx = &mut before[first];
                    if is_needed {
                        let range = weighted.kernel..weighted.kernel + weighted.linear.weights();
                        weighted.linear.add_backward(&self.parameters[range], d, dx);
                    }
                    layer(weighted, d, is_needed.then_some(dx.as_mut_slice()));
                }
                Kind::Straight => {
                    for source in &step.sources {
                        before[*source].iter_mut().zip(d).for_each(|(x, d)| *x += d);
                    }
                }
                Kind::Gate(gate) => {
                    for ((x, d), open) in before[first].iter_mut().zip(d).zip(&tape.gates[*gate]) {
                        *x += if *open { *d } else { 0.0 };
                    }
                }
                Kind::Leaky { gate, slope } => {
                    for ((x, d), open) in before[first].iter_mut().zip(d).zip(&tape.gates[*gate]) {
                        *x += if *open { *d } else { slope * d };
                    }
                }
                Kind::Gather(places) => {
                    for (place, d) in places.iter().zip(d) {
                        if let Some(place) = place {
                            before[first][*place] += d;
                        }
                    }
                }
                Kind::Largest(choice) => {
                    for (place, d) in tape.choices[*choice].iter().zip(d) {
                        before[first][cast::index(*place)] += d;
                    }
                }
                Kind::Mix(shares) => {
                    for share in shares {
                        before[first][cast::index(share.input)] += share.factor * d[cast::index(share.output)];
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
            let Some(first) = step.sources.first() else { continue };
            let row = |index: usize| index * blocks..(index + 1) * blocks;
            if matches!(step.kind, Kind::Straight) {
                step.sources.iter().for_each(|source| add_scaled(&mut before[*source], 1.0, d));
                continue;
            }
            let from = &mut before[*first];
            match &step.kind {
                Kind::Input | Kind::Straight => {}
                Kind::Weighted(weighted) => {
                    if self.steps[*first].moves {
                        reaching(d, blocks, live);
                        let range = weighted.kernel..weighted.kernel + weighted.linear.weights();
                        weighted.linear.add_backward_blocks(&self.parameters[range], d, live, from);
                    }
                }
                Kind::Gate(gate) => {
                    let rows = from.chunks_exact_mut(blocks).zip(d.chunks_exact(blocks)).zip(&tape.gates[*gate]);
                    for ((from, d), _) in rows.filter(|(_, open)| **open) {
                        add_scaled(from, 1.0, d);
                    }
                }
                Kind::Leaky { gate, slope } => {
                    let rows = from.chunks_exact_mut(blocks).zip(d.chunks_exact(blocks)).zip(&tape.gates[*gate]);
                    for ((from, d), open) in rows {
                        add_scaled(from, if *open { 1.0 } else { *slope }, d);
                    }
                }
                Kind::Gather(places) => {
                    for (place, d) in places.iter().zip(d.chunks_exact(blocks)) {
                        if let Some(place) = place {
                            add_scaled(&mut from[row(*place)], 1.0, d);
                        }
                    }
                }
                Kind::Largest(choice) => {
                    for (place, d) in tape.choices[*choice].iter().zip(d.chunks_exact(blocks)) {
                        add_scaled(&mut from[row(cast::index(*place))], 1.0, d);
                    }
                }
                Kind::Mix(shares) => {
                    for share in shares {
                        let d = &d[row(cast::index(share.output))];
                        add_scaled(&mut from[row(cast::index(share.input))], share.factor, d);
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
            let mut readers = self.steps.iter().enumerate().filter(|(_, step)| step.sources.contains(&end));
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
            start = self.steps[start].sources[0];
        }
        let mut tail = Tail::new(start);
        tail.extend(self.network, way.into_iter().rev());
        tail
    }

    fn is_elementwise(&self, node: usize) -> bool {
        matches!(self.network.nodes()[node].op, Op::Quantize(_) | Op::Relu | Op::LeakyRelu { .. } | Op::Clip { .. })
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
