//! `Engine`: what changed weight registers do to the output, computed from the fault-free trace.
//!
//! A change is carried through the graph as the list of values that differ from the trace. A node none of whose inputs
//! differ is not visited; where every value equals the trace again the evaluation ends.

use crate::hw::{BitId, Inventory};
use crate::net::{Conv2d, Dense, Network, Node, NodeId, Op, TensorKind};

use super::Trace;

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
#[derive(Debug, Clone)]
pub struct Engine<'n> {
    network: &'n Network,
}

/// Working memory of [`Engine::evaluate`] for one event; holds the event's trace and the values of the last change.
#[derive(Debug, Clone)]
pub struct DeltaScratch<'t> {
    trace: &'t Trace,
    /// Values under the change, by node; equal to the trace wherever `changed` does not say otherwise.
    values: Vec<Vec<i64>>,
    /// Indices of the values that differ from the trace, by node.
    changed: Vec<Vec<usize>>,
    /// Output positions of a convolution already listed during one visit.
    listed: Vec<bool>,
}

impl<'t> DeltaScratch<'t> {
    fn undo(&mut self) {
        for ((values, golden), changed) in self.values.iter_mut().zip(&self.trace.values).zip(&mut self.changed) {
            for index in changed.drain(..) {
                values[index] = golden[index];
            }
        }
    }

    /// The fault-free values this memory starts from.
    pub const fn trace(&self) -> &'t Trace {
        self.trace
    }
}

impl<'n> Engine<'n> {
    /// An engine for `network`.
    pub const fn new(network: &'n Network) -> Self {
        Self { network }
    }

    /// The network evaluated.
    pub const fn network(&self) -> &'n Network {
        self.network
    }

    /// Fault-free values for one event.
    ///
    /// # Panics
    /// As [`Trace::new`].
    pub fn trace(&self, input: &[i64]) -> Trace {
        Trace::new(self.network, input)
    }

    /// Working memory for the event of `trace`.
    pub fn scratch<'t>(&self, trace: &'t Trace) -> DeltaScratch<'t> {
        let positions = self.network.nodes().iter().map(Node::len).max().unwrap_or(0);
        DeltaScratch {
            trace,
            values: trace.values.clone(),
            changed: vec![Vec::new(); trace.values.len()],
            listed: vec![false; positions],
        }
    }

    /// Raw output of the network when `changes` hold, or `None` when it equals the fault-free output.
    ///
    /// Exact for any number of changes in any layers; each register may be named once.
    ///
    /// # Panics
    /// When a change names a register that the network does not have: sites come from its own inventory.
    pub fn evaluate<'s>(&self, scratch: &'s mut DeltaScratch<'_>, changes: &[WeightChange]) -> Option<&'s [i64]> {
        scratch.undo();
        let first = changes.iter().map(|change| change.node).min()?;
        for (id, node) in self.network.iter().skip(first.index()) {
            let reached = node.inputs.iter().any(|input| !scratch.changed[input.index()].is_empty());
            if reached {
                self.carry(id, node, scratch);
            }
            if changes.iter().any(|change| change.node == id) {
                self.perturb(id, node, changes, scratch);
            }
        }
        let output = scratch.values.len() - 1;
        (!scratch.changed[output].is_empty()).then(|| scratch.values[output].as_slice())
    }

    /// Carries the differences of a node's input to its output.
    fn carry(&self, id: NodeId, node: &Node, scratch: &mut DeltaScratch<'_>) {
        let source = node.inputs[0];
        let from = self.network.node(source);
        let (before, after) = scratch.values.split_at_mut(id.index());
        let (x, y) = (&before[source.index()], &mut after[0]);
        let (before, after) = scratch.changed.split_at_mut(id.index());
        let (x_changed, y_changed) = (&before[source.index()], &mut after[0]);
        let (x_golden, y_golden) = (&scratch.trace.values[source.index()], &scratch.trace.values[id.index()]);
        let mut set = |index: usize, value: i64| {
            if value != y_golden[index] {
                y[index] = value;
                y_changed.push(index);
            }
        };
        match &node.op {
            Op::Input(_) => unreachable!("an input node has no input"),
            Op::Quantize(quantizer) => {
                for index in x_changed {
                    set(*index, quantizer.quantize(x[*index], from.signal.frac_bits));
                }
            }
            Op::Relu => {
                for index in x_changed {
                    set(*index, x[*index].max(0));
                }
            }
            Op::Reshape => {
                for index in x_changed {
                    set(*index, x[*index]);
                }
            }
            Op::ZeroPad2d(padding) => {
                let row_len = from.shape[1] * from.shape[2];
                for index in x_changed {
                    let row = index / row_len + padding.top;
                    let moved = (row * node.shape[1] + padding.left) * node.shape[2] + index % row_len;
                    set(moved, x[*index]);
                }
            }
            Op::Dense(layer) => {
                for index in x_changed {
                    add_row(layer, *index, x[*index] - x_golden[*index], node, y);
                }
                y_changed.extend((0..y.len()).filter(|out| y[*out] != y_golden[*out]));
            }
            Op::Conv2d(layer) => {
                let reach = ConvReach { node, from, layer };
                for index in x_changed {
                    reach.add(*index, x[*index] - x_golden[*index], y, &mut scratch.listed);
                }
                let outputs = node.shape[2];
                for (position, listed) in scratch.listed[..node.len() / outputs].iter_mut().enumerate() {
                    if std::mem::take(listed) {
                        let span = position * outputs..(position + 1) * outputs;
                        y_changed.extend(span.filter(|index| y[*index] != y_golden[*index]));
                    }
                }
            }
        }
    }

    /// Adds to a layer's sums what its own changed registers contribute, given its inputs as they now are.
    fn perturb(&self, id: NodeId, node: &Node, changes: &[WeightChange], scratch: &mut DeltaScratch<'_>) {
        let source = node.inputs[0];
        let (before, after) = scratch.values.split_at_mut(id.index());
        let (x, y) = (&before[source.index()], &mut after[0]);
        let golden = &scratch.trace.values[id.index()];
        let differing = &mut scratch.changed[id.index()];
        let channels = node.align.len();
        for change in changes.iter().filter(|change| change.node == id) {
            // One change enters a sum once at most, so only what was listed before it can be listed twice.
            let listed_before = differing.len();
            let mut add = |index: usize, delta: i64| {
                if delta != 0 {
                    if y[index] == golden[index] && !differing[..listed_before].contains(&index) {
                        differing.push(index);
                    }
                    y[index] += delta;
                }
            };
            match (change.tensor, &node.op) {
                (TensorKind::Bias, _) => {
                    let delta = change.delta << node.align[change.index].bias;
                    (change.index..node.len()).step_by(channels).for_each(|index| add(index, delta));
                }
                (TensorKind::Kernel, Op::Dense(_)) => {
                    let (input, out) = (change.index / channels, change.index % channels);
                    add(out, (change.delta * x[input]) << node.align[out].product);
                }
                (TensorKind::Kernel, Op::Conv2d(layer)) => {
                    let from = self.network.node(source);
                    for_each_use(node, from, layer, change.index, |index, input| {
                        add(index, (change.delta * x[input]) << node.align[index % channels].product);
                    });
                }
                (TensorKind::Kernel, _) => unreachable!("only dense and convolution layers have weights"),
            }
        }
        differing.retain(|index| y[*index] != golden[*index]);
    }
}

/// Adds `dx` times row `input` of a dense kernel to the sums.
fn add_row(layer: &Dense, input: usize, dx: i64, node: &Node, sums: &mut [i64]) {
    let row = &layer.kernel.raw()[input * sums.len()..(input + 1) * sums.len()];
    for ((sum, weight), align) in sums.iter_mut().zip(row).zip(&node.align) {
        *sum += (weight * dx) << align.product;
    }
}

/// A convolution seen from one input value: which sums it enters.
struct ConvReach<'a> {
    node: &'a Node,
    from: &'a Node,
    layer: &'a Conv2d,
}

impl ConvReach<'_> {
    /// Adds the effect of input value `index` moving by `dx`, and lists the output positions it entered.
    fn add(&self, index: usize, dx: i64, sums: &mut [i64], listed: &mut [bool]) {
        let [_, columns, channels] = [self.from.shape[0], self.from.shape[1], self.from.shape[2]];
        let [out_rows, out_columns, outputs] = [self.node.shape[0], self.node.shape[1], self.node.shape[2]];
        let window = &self.layer.window;
        let (row, column, channel) = (index / (columns * channels), index / channels % columns, index % channels);
        let padded = [row + window.padding.top, column + window.padding.left];
        for kernel_row in 0..window.kernel[0] {
            let Some(out_row) = output_position(padded[0], kernel_row, window.stride[0], out_rows) else { continue };
            for kernel_column in 0..window.kernel[1] {
                let Some(out_column) = output_position(padded[1], kernel_column, window.stride[1], out_columns) else {
                    continue;
                };
                let position = out_row * out_columns + out_column;
                listed[position] = true;
                let tap = ((kernel_row * window.kernel[1] + kernel_column) * channels + channel) * outputs;
                let weights = &self.layer.kernel.raw()[tap..tap + outputs];
                let sums = &mut sums[position * outputs..(position + 1) * outputs];
                for ((sum, weight), align) in sums.iter_mut().zip(weights).zip(&self.node.align) {
                    *sum += (weight * dx) << align.product;
                }
            }
        }
    }
}

/// Output row (column) whose window has its row (column) `kernel` on the padded input row (column) `padded`.
fn output_position(padded: usize, kernel: usize, stride: usize, outputs: usize) -> Option<usize> {
    let offset = padded.checked_sub(kernel)?;
    (offset % stride == 0 && offset / stride < outputs).then_some(offset / stride)
}

/// Calls `visit(output index, input index)` for every product that kernel register `register` takes part in.
fn for_each_use(node: &Node, from: &Node, layer: &Conv2d, register: usize, mut visit: impl FnMut(usize, usize)) {
    let [rows, columns, channels] = [from.shape[0], from.shape[1], from.shape[2]];
    let [out_rows, out_columns, outputs] = [node.shape[0], node.shape[1], node.shape[2]];
    let (out, channel) = (register % outputs, register / outputs % channels);
    let tap = register / (outputs * channels);
    let (kernel_row, kernel_column) = (tap / layer.window.kernel[1], tap % layer.window.kernel[1]);
    for out_row in 0..out_rows {
        let Some(row) = layer.window.input_row(out_row, kernel_row, rows) else { continue };
        for out_column in 0..out_columns {
            let Some(column) = layer.window.input_column(out_column, kernel_column, columns) else { continue };
            visit((out_row * out_columns + out_column) * outputs + out, (row * columns + column) * channels + channel);
        }
    }
}
