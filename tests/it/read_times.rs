//! When the machine reads each weight, worked out from the schedule alone, and what a frame then gives: the independent
//! reference for upsets in mid-frame.
//!
//! Nothing of the machine is used. A frame alone in a machine in which nothing blocks: each packet is worked on as soon
//! as it is there and the stage is free.

use trivote::hw::schedule::timing::Strategy;
use trivote::hw::schedule::{Io, Schedule, Stage, Work};
use trivote::hw::{BitId, Inventory};
use trivote::net::{Network, Node, NodeId, Op, Padding2d, TensorKind, Window2d};

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

/// The cycles in which packets are taken, given how long each is worked on.
type Taken<'a> = dyn Fn(&dyn Fn(usize) -> u64) -> Vec<u64> + 'a;

/// Values of a map or vector with the cycle in which each packet can be read.
#[derive(Clone)]
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
        let host = Packets { values: frame.to_vec(), ready: (0..packets as u64).map(|n| start + n).collect() };
        let mut results: Vec<Packets> = Vec::new();
        for stage in &self.schedule.stages {
            let inputs: Vec<Packets> = stage
                .sources
                .iter()
                .map(|source| source.stage.map_or_else(|| host.clone(), |from| results[from].clone()))
                .collect();
            let now = self.merged(stage, &inputs);
            results.push(match self.schedule.io {
                Io::EconT => self.at_once(stage, &now),
                Io::Parallel => self.frame(stage, &now),
                Io::Stream => self.pixels(stage, &now),
            });
        }
        let last = results.pop().unwrap();
        (*last.ready.last().unwrap(), last.values)
    }

    /// What a stage reads; of a sum, what comes when all have come, already added up.
    fn merged(&self, stage: &Stage, inputs: &[Packets]) -> Packets {
        if stage.work != Work::Add {
            return inputs[0].clone();
        }
        let node = self.network.node(stage.nodes[0]);
        let place = |input: &NodeId| node.signal.frac_bits - self.network.node(*input).signal.frac_bits;
        let value = |at: usize| {
            inputs.iter().zip(&node.inputs).map(|(packets, input)| packets.values[at] << place(input)).sum()
        };
        let ready = |at: usize| inputs.iter().map(|packets| packets.ready[at]).max().unwrap();
        Packets { values: (0..node.len()).map(value).collect(), ready: (0..inputs[0].ready.len()).map(ready).collect() }
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
            // Products are counted output by output, of single channels as the kernel lies; multiplier m takes number
            // r + m * reuse in cycle r.
            let index = row * channels + out;
            let number = if matches!(node.op, Op::DepthwiseConv2d(_)) { index } else { out * rows + row };
            self.register(id, TensorKind::Kernel, index, start + number as u64 % reuse) * input(row)
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
                let input = |row: usize| match &node.op {
                    Op::Dense(_) => values[row],
                    Op::DepthwiseConv2d(conv) => {
                        let channel = out * from.shape[2] / channels;
                        seen(&conv.window, [node, from], position, [row, channel], values).unwrap_or(0)
                    }
                    Op::Conv2d(conv) => {
                        let tap = [row / from.shape[2], row % from.shape[2]];
                        seen(&conv.window, [node, from], position, tap, values).unwrap_or(0)
                    }
                    _ => panic!("a layer with weights"),
                };
                self.sum(id, out, reuse, start(position), input)
            })
            .collect()
    }

    fn other(&self, id: NodeId, values: &[i64]) -> Vec<i64> {
        let node = self.network.node(id);
        let from = self.network.node(node.inputs[0]);
        let window = |window: &Window2d, index: usize| -> Vec<i64> {
            let (position, channel) = (index / node.shape[2], index % node.shape[2]);
            let taps = 0..window.kernel[0] * window.kernel[1];
            taps.filter_map(|tap| seen(window, [node, from], position, [tap, channel], values)).collect()
        };
        match &node.op {
            Op::Quantize(quantizer) => values.iter().map(|v| quantizer.quantize(*v, from.signal.frac_bits)).collect(),
            Op::Relu => values.iter().map(|v| (*v).max(0)).collect(),
            Op::LeakyRelu { shift } => values.iter().map(|v| if *v > 0 { v << shift } else { *v }).collect(),
            Op::Clip { low, high } => values.iter().map(|v| (*v).min(*high).max(*low)).collect(),
            Op::ZeroPad2d(padding) => pad(&from.shape, *padding, values),
            Op::MaxPool2d(of) => (0..node.len()).map(|index| *window(of, index).iter().max().unwrap()).collect(),
            Op::AveragePool2d(pool) => (0..node.len())
                .map(|index| {
                    let seen = window(&pool.window, index);
                    seen.iter().sum::<i64>() * pool.reciprocal(seen.len())
                })
                .collect(),
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
        let done = |positions: u64| vec![start + positions * reuse - 1 + stage.delay_cycles];
        match stage.work {
            Work::Dense | Work::Conv2d | Work::DepthwiseConv2d => {
                let values = self.layer(id, &now.values, reuse, |position| start + position as u64 * reuse);
                Packets { values, ready: done(stage.partitions) }
            }
            // All positions at once.
            Work::Scale => Packets { values: self.layer(id, &now.values, reuse, |_| start), ready: done(1) },
            _ => Packets { values: self.other(id, &now.values), ready: done(1) },
        }
    }

    fn pixels(&self, stage: &Stage, now: &Packets) -> Packets {
        let reuse = stage.reuse_factor.get();
        let taken = |apart: &dyn Fn(usize) -> u64| {
            let mut free = 0;
            let mut taken = Vec::new();
            for (packet, ready) in now.ready.iter().enumerate() {
                taken.push(free.max(*ready));
                free = taken.last().unwrap() + apart(packet);
            }
            taken
        };
        let after = |at: &u64| at + stage.delay_cycles;
        match stage.work {
            Work::Dense => {
                let start = *taken(&|_| 1).last().unwrap();
                let values = self.layer(stage.nodes[0], &now.values, reuse, |_| start);
                Packets { values, ready: vec![start + reuse - 1 + stage.delay_cycles] }
            }
            Work::Conv2d | Work::DepthwiseConv2d | Work::Pool => self.windows(stage, now, &taken),
            Work::GlobalPool => Packets {
                values: self.other(stage.nodes[0], &now.values),
                ready: vec![taken(&|_| 1).last().unwrap() + stage.delay_cycles],
            },
            Work::Scale => {
                let taken = taken(&|_| reuse);
                let values = self.layer(stage.nodes[0], &now.values, reuse, |position| taken[position]);
                Packets { values, ready: taken.iter().map(|at| at + reuse - 1 + stage.delay_cycles).collect() }
            }
            Work::Clone => Packets { values: now.values.clone(), ready: taken(&|_| 1).iter().map(after).collect() },
            Work::Pad(padding) => {
                let shape = &self.network.node(stage.input()).shape;
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
            Work::Elementwise | Work::Add => {
                let ready = taken(&|_| 1).iter().map(after).collect();
                Packets { values: self.other(stage.nodes[0], &now.values), ready }
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

    /// What slides over pixels that come one after another; `taken` gives when each is, the cycles of work on it given.
    fn windows(&self, stage: &Stage, now: &Packets, taken: &Taken<'_>) -> Packets {
        let id = stage.nodes[0];
        let node = self.network.node(id);
        let map = &self.network.node(node.inputs[0]).shape;
        let window = node.op.window().unwrap();
        let columns = map[1] + window.padding.left + window.padding.right;
        let completing: Vec<usize> = (0..node.shape[0] * node.shape[1])
            .map(|position| {
                let (row, column) = (position / node.shape[1], position % node.shape[1]);
                let pixel_row = row * window.stride[0] + window.kernel[0] - 1;
                pixel_row * columns + column * window.stride[1] + window.kernel[1] - 1
            })
            .collect();
        // Iterations are for windows; a pipeline takes as long for every pixel.
        let beats = |pixel: usize| match stage.strategy {
            Strategy::Resource if !completing.contains(&pixel) => 1,
            _ => stage.reuse_factor.get(),
        };
        let taken = taken(&beats);
        // The pad stage in front has put the zeros in; the layer itself counts them as padding.
        let inner = unpad(map, window.padding, &now.values);
        let values = if stage.work == Work::Pool {
            self.other(id, &inner)
        } else {
            self.layer(id, &inner, stage.reuse_factor.get(), |position| taken[completing[position]])
        };
        let done = |pixel: &usize| taken[*pixel] + beats(*pixel) - 1 + stage.delay_cycles;
        Packets { values, ready: completing.iter().map(done).collect() }
    }
}

/// What a tap of a window, `[number, channel]`, sees at an output position of `[node, its input]`; nothing of padding.
fn seen(
    window: &Window2d,
    [node, from]: [&Node; 2],
    position: usize,
    [tap, channel]: [usize; 2],
    values: &[i64],
) -> Option<i64> {
    let (out_row, out_column) = (position / node.shape[1], position % node.shape[1]);
    let at = |out: usize, axis: usize, tap: usize, before: usize| {
        (out * window.stride[axis] + tap).checked_sub(before).filter(|at| *at < from.shape[axis])
    };
    let (row, column) = (tap / window.kernel[1], tap % window.kernel[1]);
    let place = at(out_row, 0, row, window.padding.top).zip(at(out_column, 1, column, window.padding.left));
    place.map(|(row, column)| values[(row * from.shape[1] + column) * from.shape[2] + channel])
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
