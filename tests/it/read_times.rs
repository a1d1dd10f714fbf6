//! When the machine reads each weight, worked out from the schedule alone, and what a frame then gives: the independent
//! reference for upsets in mid-frame.
//!
//! Nothing of the machine is used. A frame alone in a machine in which nothing blocks: each packet is worked on as soon
//! as it is there and the stage is free.

use trivote::hw::schedule::{Io, Schedule, Stage, Work};
use trivote::hw::{BitId, Inventory};
use trivote::net::{Network, Node, NodeId, Op, Padding2d, TensorKind};

/// An unprotected bit flips at the beginning of a cycle and stays.
#[derive(Debug, Clone, Copy)]
pub struct Flip {
    pub at: u64,
    pub bit: BitId,
}

/// What `frame`, whose first packet can be read in cycle `start`, gives; with the cycle in which all of it can be read.
pub struct Reference<'n> {
    pub network: &'n Network,
    pub inventory: &'n Inventory,
    pub schedule: &'n Schedule,
    pub flips: &'n [Flip],
}

/// Values of a map or vector with the cycle in which each packet can be read.
struct Packets {
    values: Vec<i64>,
    ready: Vec<u64>,
}

impl Reference<'_> {
    pub fn run(&self, frame: &[i64], start: u64) -> (u64, Vec<i64>) {
        let packets = match self.schedule.io {
            Io::Stream => frame.len() / self.network.input().shape.last().unwrap(),
            Io::EconT | Io::Parallel => 1,
        };
        let mut now = Packets { values: frame.to_vec(), ready: (0..packets as u64).map(|n| start + n).collect() };
        for stage in &self.schedule.stages {
            now = match self.schedule.io {
                Io::EconT => self.at_once(stage, &now),
                Io::Parallel => self.frame(stage, &now),
                Io::Stream => self.pixels(stage, &now),
            };
        }
        (*now.ready.last().unwrap(), now.values)
    }

    /// The register as it is read in a cycle.
    fn register(&self, node: NodeId, kind: TensorKind, index: usize, cycle: u64) -> i64 {
        let tensor = self.network.node(node).op.tensor(kind).unwrap();
        let layer = &self.network.node(node).name;
        let id = self.inventory.find(layer, kind, index).unwrap();
        let mut raw = tensor.raw()[index];
        for flip in self.flips.iter().filter(|flip| flip.at <= cycle) {
            let (register, place) = self.inventory.locate_bit(flip.bit);
            if register == id {
                raw = tensor.format().flip(raw, place);
            }
        }
        raw
    }

    /// One output value whose products are formed over some cycles; `input(row)` is what a row of the kernel sees.
    fn sum(&self, id: NodeId, out: usize, reuse: u64, start: u64, input: impl Fn(usize) -> i64) -> i64 {
        let node = self.network.node(id);
        let (rows, channels) = (node.fan_in(), *node.shape.last().unwrap());
        let products = (0..rows).map(|row| {
            // Products are counted output by output; multiplier m takes number r + m * reuse in cycle r.
            let cycle = start + (out * rows + row) as u64 % reuse;
            self.register(id, TensorKind::Kernel, row * channels + out, cycle) * input(row)
        });
        let sum: i64 = products.sum();
        let bias = node.op.tensor(TensorKind::Bias).map_or(0, |_| self.register(id, TensorKind::Bias, out, start));
        (sum << node.align[out].product) + (bias << node.align[out].bias)
    }

    /// A layer with weights on a whole map; `start(position)` is the cycle in which it begins with an output position.
    fn layer(&self, id: NodeId, values: &[i64], reuse: u64, start: impl Fn(usize) -> u64) -> Vec<i64> {
        let node = self.network.node(id);
        let from = self.network.node(node.inputs[0]);
        let channels = *node.shape.last().unwrap();
        (0..node.len())
            .map(|index| {
                let (position, out) = (index / channels, index % channels);
                self.sum(id, out, reuse, start(position), |row| seen(node, from, position, row, values))
            })
            .collect()
    }

    fn other(&self, id: NodeId, values: &[i64]) -> Vec<i64> {
        let node = self.network.node(id);
        let from = self.network.node(node.inputs[0]);
        match &node.op {
            Op::Quantize(quantizer) => values.iter().map(|v| quantizer.quantize(*v, from.signal.frac_bits)).collect(),
            Op::Relu => values.iter().map(|v| (*v).max(0)).collect(),
            Op::ZeroPad2d(padding) => pad(&from.shape, *padding, values),
            _ => values.to_vec(),
        }
    }

    fn at_once(&self, stage: &Stage, now: &Packets) -> Packets {
        let cycle = now.ready[0];
        let mut values = now.values.clone();
        for id in &stage.nodes {
            values = match self.network.node(*id).fan_in() {
                0 => self.other(*id, &values),
                _ => self.layer(*id, &values, 1, |_| cycle),
            };
        }
        Packets { values, ready: vec![cycle + 1] }
    }

    fn frame(&self, stage: &Stage, now: &Packets) -> Packets {
        let (id, reuse, start) = (stage.nodes[0], stage.reuse_factor.get(), now.ready[0]);
        match stage.work {
            Work::Dense | Work::Conv2d => {
                let values = self.layer(id, &now.values, reuse, |position| start + position as u64 * reuse);
                Packets { values, ready: vec![start + stage.partitions * reuse - 1 + stage.delay_cycles] }
            }
            _ => Packets { values: self.other(id, &now.values), ready: vec![start + stage.delay_cycles] },
        }
    }

    fn pixels(&self, stage: &Stage, now: &Packets) -> Packets {
        let reuse = stage.reuse_factor.get();
        let taken = |apart: u64| {
            let mut free = 0;
            let mut taken = Vec::new();
            for ready in &now.ready {
                taken.push(free.max(*ready));
                free = taken.last().unwrap() + apart;
            }
            taken
        };
        let after = |at: &u64| at + stage.delay_cycles;
        match stage.work {
            Work::Dense => {
                let start = *taken(1).last().unwrap();
                let values = self.layer(stage.nodes[0], &now.values, reuse, |_| start);
                Packets { values, ready: vec![start + reuse - 1 + stage.delay_cycles] }
            }
            Work::Conv2d => {
                let node = self.network.node(stage.nodes[0]);
                let Op::Conv2d(conv) = &node.op else { panic!("a convolution") };
                let window = conv.window;
                let columns = self.network.node(node.inputs[0]).shape[1] + window.padding.left + window.padding.right;
                let taken = taken(reuse);
                let start = |position: usize| {
                    let (row, column) = (position / node.shape[1], position % node.shape[1]);
                    let pixel_row = row * window.stride[0] + window.kernel[0] - 1;
                    let pixel_column = column * window.stride[1] + window.kernel[1] - 1;
                    taken[pixel_row * columns + pixel_column]
                };
                let positions = node.shape[0] * node.shape[1];
                // The pad stage in front has put the zeros in; the layer itself counts them as padding.
                let inner = unpad(&self.network.node(node.inputs[0]).shape, window.padding, &now.values);
                let values = self.layer(stage.nodes[0], &inner, reuse, start);
                Packets { values, ready: (0..positions).map(|p| start(p) + reuse - 1 + stage.delay_cycles).collect() }
            }
            Work::Pad(padding) => {
                let shape = &self.network.node(stage.input).shape;
                let marks = pad(shape, padding, &vec![1; now.values.len()]);
                let mut given = now.ready.iter();
                let mut free = now.ready[0];
                let ready = marks.chunks(shape[2]).map(|pixel| {
                    let at = if pixel[0] == 1 { free.max(*given.next().unwrap()) } else { free };
                    free = at + 1;
                    at + stage.delay_cycles
                });
                Packets { ready: ready.collect(), values: pad(shape, padding, &now.values) }
            }
            Work::Elementwise => {
                Packets { values: self.other(stage.nodes[0], &now.values), ready: taken(1).iter().map(after).collect() }
            }
            Work::Repack { from, to } => {
                let (mut cycle, mut held, mut given, mut ready) = (0, 0, now.ready.iter(), Vec::new());
                while ready.len() < now.values.len() / to {
                    if held < to {
                        cycle = cycle.max(*given.next().unwrap());
                        held += from;
                    }
                    if held >= to {
                        held -= to;
                        ready.push(cycle + stage.delay_cycles);
                    }
                    cycle += 1;
                }
                Packets { values: now.values.clone(), ready }
            }
            Work::Unrolled => panic!("no stage of a stream"),
        }
    }
}

/// What row `row` of the kernel sees at an output position.
fn seen(node: &Node, from: &Node, position: usize, row: usize, values: &[i64]) -> i64 {
    let Op::Conv2d(conv) = &node.op else { return values[row] };
    let (channels, [_, kernel_columns]) = (from.shape[2], conv.window.kernel);
    let (tap, channel) = (row / channels, row % channels);
    let (out_row, out_column) = (position / node.shape[1], position % node.shape[1]);
    let at = |out: usize, axis: usize, tap: usize, before: usize| {
        (out * conv.window.stride[axis] + tap).checked_sub(before).filter(|at| *at < from.shape[axis])
    };
    let padding = conv.window.padding;
    let place =
        (at(out_row, 0, tap / kernel_columns, padding.top), at(out_column, 1, tap % kernel_columns, padding.left));
    match place {
        (Some(row), Some(column)) => values[(row * from.shape[1] + column) * channels + channel],
        _ => 0,
    }
}

fn pad(shape: &[usize], padding: Padding2d, values: &[i64]) -> Vec<i64> {
    let row_len = shape[1] * shape[2];
    let wide = (padding.left + shape[1] + padding.right) * shape[2];
    let mut padded = vec![0; padding.top * wide];
    for row in values.chunks(row_len) {
        padded.resize(padded.len() + padding.left * shape[2], 0);
        padded.extend(row);
        padded.resize(padded.len() + padding.right * shape[2], 0);
    }
    padded.resize(padded.len() + padding.bottom * wide, 0);
    padded
}

fn unpad(shape: &[usize], padding: Padding2d, padded: &[i64]) -> Vec<i64> {
    let wide = (padding.left + shape[1] + padding.right) * shape[2];
    let rows = padded.chunks(wide).skip(padding.top).take(shape[0]);
    rows.flat_map(|row| &row[padding.left * shape[2]..][..shape[1] * shape[2]]).copied().collect()
}
