//! `bit-curve`: what a flip costs, from how the error of an event changes along each output of the accelerator.
//!
//! The one score that needs no derivative of the error, and so takes the metric itself, whatever it is. For every event
//! the error is measured at a few distances along each output (*curves*), which does not depend on the weights. A
//! flipped bit then moves the sums it takes part in by the true change of its weight times the input; what its own layer
//! clips is clipped; the rest is carried to the output by the Jacobian, clipped there, and read off the curves. Of
//! several outputs that move, the errors are added where the metric is a sum over outputs; otherwise they are taken for
//! independent: the root of the sum of their squares, with the sign of their sum. Metrics of logits need no curves: the
//! error is found at the outputs as they are moved.
//!
//! Exact, but for interpolation and rounding, for bits that move one output (all of the last layer) and, behind one more
//! layer, for metrics that are sums; an approximation for the others, good for ranking, too large for bits whose many
//! small effects cancel. No flip is evaluated: the cost per event is `outputs * 2 (LEVELS + 1)` evaluations of decoder
//! and metric at most, and arithmetic per bit.

use super::accelerator::{Accelerator, AcceleratorScratch, WeightedLayer};
use super::linear::{Block, LANES};
use super::objective::add_scaled;
use super::tail::Tail;
use crate::campaign::{Event, distinct_events, map_parts};
use crate::engine::{WeightChange, reference};
use crate::host::evaluator::{Evaluator, EvaluatorScratch, EventInput};
use crate::host::metric::ErrorMetric;
use crate::hw::{BitId, Inventory};
use crate::net::Network;
use crate::num::cast;

/// Distances of a curve in each direction: the largest that one weight of the last layer can cause, over powers of two;
/// and the range of the output.
const LEVELS: u32 = 9;

/// What curves are measured of.
#[derive(Debug, Clone, Copy)]
pub struct CurveInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// Judge of its output.
    pub evaluator: &'a Evaluator,
    /// The events.
    pub events: &'a [Event],
    /// The bits to score.
    pub sites: &'a [BitId],
}

/// The error of one event along one output.
#[derive(Debug, Clone, Default)]
struct Curve {
    /// Distance from the fault-free output, ascending, and what it adds to the error.
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// The error added at `distance`: between the points a line, beyond them the last.
    fn at(&self, distance: f64) -> f64 {
        let next = self.points.iter().position(|(there, _)| *there >= distance);
        match next {
            None => self.points.last().map_or(0.0, |(_, error)| *error),
            Some(0) => self.points[0].1,
            Some(next) => {
                let ((from, before), (to, after)) = (self.points[next - 1], self.points[next]);
                before + (after - before) * (distance - from) / (to - from)
            }
        }
    }
}

/// The wanted bits of every register: how each changes its value, and its place among the sites.
#[derive(Debug, Clone)]
struct Changes {
    by_register: Vec<Vec<(f64, usize)>>,
}

/// The change of the real value of its register when a bit is flipped, for every site.
pub fn value_changes(network: &Network, inventory: &Inventory, sites: &[BitId]) -> Vec<f64> {
    let change = |bit: &BitId| {
        let flip = WeightChange::of_flip(network, inventory, *bit);
        let tensor = network.node(flip.node).op.tensor(flip.tensor).expect("the inventory lists the network's tensors");
        tensor.value_of(flip.index, tensor.raw()[flip.index] + flip.delta) - tensor.value(flip.index)
    };
    sites.iter().map(change).collect()
}

/// The score `bit-curve` of every site: about what the mean error rises by when it is flipped.
///
/// # Panics
/// When events, evaluator and network do not belong together.
pub fn curve_scores(input: &CurveInput<'_>, progress: &(impl Fn(u64) + Sync)) -> Vec<f64> {
    let run = Run::new(input);
    let distinct = distinct_events(input.events);
    let parts = map_parts(distinct.len(), |part| {
        let mut sums = vec![0.0; input.sites.len()];
        let mut scratch = Scratch::default();
        for event in &distinct[part] {
            run.add_event(&input.events[event.first], f64::from(event.count), &mut scratch, &mut sums);
            progress(u64::from(event.count));
        }
        sums
    });
    let mut scores = vec![0.0; input.sites.len()];
    for part in parts {
        scores.iter_mut().zip(part).for_each(|(score, sum)| *score += sum);
    }
    let share = 1.0 / cast::f64_from_count(input.events.len().max(1));
    for score in &mut scores {
        *score *= share;
    }
    scores
}

/// What is the same for all events.
struct Run<'a> {
    input: CurveInput<'a>,
    accelerator: Accelerator<'a>,
    changes: Changes,
    /// From the last sums to the output.
    output: Tail,
    /// Of each weighted layer: its node, and what follows its sums.
    tails: Vec<Tail>,
    /// Farthest that one flip in the last layer moves an output, in its last places; the whole range where none is asked
    /// for.
    reach: i64,
}

/// Memory of one thread.
#[derive(Debug, Default)]
struct Scratch {
    accelerator: AcceleratorScratch,
    evaluator: EvaluatorScratch,
    curves: Vec<Curve>,
    /// Jacobians behind the tails of the weighted layers.
    jacobians: Vec<Vec<Block>>,
    /// Fault-free values of the output.
    output: Vec<f64>,
    layer: LayerScratch,
}

/// Memory for the bits of one layer.
#[derive(Debug, Default)]
struct LayerScratch {
    /// Where the weights of each row act.
    rows: Vec<Vec<Use>>,
    /// How the sums of the output move.
    moved: Vec<Block>,
    /// Where that brings the output.
    logits: Vec<f64>,
}

/// Where the weights of a row act: an input that is not zero, and the first of the sums it enters.
#[derive(Debug, Clone, Copy)]
struct Use {
    input: f64,
    first: usize,
}

/// A weighted layer in an event.
struct LayerInEvent<'a> {
    weighted: &'a WeightedLayer,
    inputs: &'a [f64],
    sums: Sums<'a>,
    output: &'a Output<'a>,
}

/// What is known of the sums of a layer in an event.
struct Sums<'a> {
    values: &'a [f64],
    tail: &'a Tail,
    /// Behind the tail; `None` where the sums are those of the output.
    jacobian: Option<&'a [Block]>,
}

/// The output in an event.
struct Output<'a> {
    /// The sums before the output's tail.
    sums: &'a [f64],
    tail: &'a Tail,
    errors: Errors<'a>,
}

/// How moves of the output become errors.
enum Errors<'a> {
    /// By curves along each output.
    Curves {
        curves: &'a [Curve],
        /// Whether errors of outputs add up.
        is_additive: bool,
    },
    /// By the metric itself, of logits.
    Logits {
        evaluator: &'a Evaluator,
        event: &'a EventInput,
        /// Without a fault.
        logits: &'a [f64],
        /// The error of these.
        fault_free: f64,
    },
}

impl<'a> Run<'a> {
    fn new(input: &CurveInput<'a>) -> Self {
        let accelerator = Accelerator::new(input.network, input.inventory);
        let mut by_register = vec![Vec::new(); input.inventory.len()];
        let values = value_changes(input.network, input.inventory, input.sites);
        for (site, (bit, change)) in input.sites.iter().zip(values).enumerate() {
            let (register, _) = input.inventory.locate_bit(*bit);
            by_register[cast::index(register.0)].push((change, site));
        }
        let nodes = 0..input.network.nodes().len();
        let tails = nodes.filter(|node| accelerator.weighted_at(*node).is_some()).map(|node| accelerator.tail(node));
        let (tails, output) = (tails.collect::<Vec<_>>(), accelerator.output_tail());
        let changes = Changes { by_register };
        let reach = reach(input.network, &accelerator, &changes, output.start);
        Self { input: *input, output, tails, changes, reach, accelerator }
    }

    /// Adds `count` times the estimated rises of one event.
    fn add_event(&self, event: &Event, count: f64, scratch: &mut Scratch, scores: &mut [f64]) {
        let network = self.input.network;
        let raw = reference::evaluate(network, event.codes());
        let real = |node: usize| -> Vec<f64> {
            let signal = network.nodes()[node].signal;
            raw[node].iter().map(|raw| signal.value(*raw)).collect()
        };
        let golden = real(self.output.end);
        let fault_free = self.input.evaluator.error_of_logits(event.input(), &golden);
        match fault_free {
            // Wrong without a fault stays wrong.
            Some(error) if error > 0.0 && self.input.evaluator.metric() == ErrorMetric::Misprediction => return,
            Some(_) => {}
            None => self.measure(event, &raw[self.output.end], scratch),
        }
        scratch.output = golden;
        let tape = self.accelerator.tape(&raw);
        let Scratch { accelerator, curves, jacobians, output: logits, layer: memory, .. } = scratch;
        jacobians.resize_with(self.tails.len(), Vec::new);
        jacobians.iter_mut().for_each(Vec::clear);
        self.accelerator.jacobians(self.output.start, &tape, accelerator, |node, jacobian| {
            for (jacobians, tail) in jacobians.iter_mut().zip(&self.tails) {
                if tail.end == node && tail.start != self.output.start {
                    jacobians.extend_from_slice(jacobian);
                }
            }
        });
        let sums = real(self.output.start);
        let evaluator = self.input.evaluator;
        let errors = match fault_free {
            Some(fault_free) => Errors::Logits { evaluator, event: event.input(), logits, fault_free },
            None => Errors::Curves { curves, is_additive: evaluator.is_additive() },
        };
        let output = Output { sums: &sums, tail: &self.output, errors };
        memory.moved.resize(sums.len().div_ceil(LANES), [0.0; LANES]);
        for ((weighted, tail), jacobian) in self.accelerator.weighted().zip(&self.tails).zip(&*jacobians) {
            let is_output = tail.start == self.output.start;
            if !is_output && jacobian.is_empty() {
                // It does not lead to the output.
                continue;
            }
            let values = real(tail.start);
            let sums = Sums { values: &values, tail, jacobian: (!is_output).then_some(jacobian) };
            let inputs = &tape.inputs[weighted.number];
            LayerInEvent { weighted, inputs, sums, output: &output }.add_rises(&self.changes, count, memory, scores);
        }
    }

    /// Measures the curves of an event around its fault-free output.
    fn measure(&self, event: &Event, golden: &[i64], scratch: &mut Scratch) {
        let signal = self.input.network.output().signal;
        let span = signal.high.saturating_sub(signal.low);
        let mut judge = self.input.evaluator.judge(event.input(), golden, &mut scratch.evaluator);
        let fault_free = judge.golden();
        scratch.curves.resize_with(golden.len(), Curve::default);
        let mut output = golden.to_vec();
        for (at, curve) in scratch.curves.iter_mut().enumerate() {
            let points = &mut curve.points;
            points.clear();
            points.push((0.0, 0.0));
            // Ever farther in one direction, then in the other: the order that a judge likes best.
            for sign in [-1, 1] {
                let mut last = golden[at];
                for distance in (0..LEVELS).rev().map(|level| self.reach >> level).chain([span]) {
                    let raw = golden[at].saturating_add(sign * distance).clamp(signal.low, signal.high);
                    if raw == last {
                        continue;
                    }
                    last = raw;
                    output[at] = raw;
                    let distance = signal.value(raw) - signal.value(golden[at]);
                    points.push((distance, judge.error(&output) - fault_free));
                }
            }
            output[at] = golden[at];
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
    }
}

impl LayerInEvent<'_> {
    /// Adds `count` times the estimated rises of the layer's bits.
    fn add_rises(&self, changes: &Changes, count: f64, memory: &mut LayerScratch, scores: &mut [f64]) {
        let LayerScratch { rows, moved, logits } = memory;
        let (linear, channels) = (&self.weighted.linear, self.weighted.linear.channels());
        let mut add = |register: usize, uses: &[Use], channel: usize| {
            for (change, site) in &changes.by_register[register] {
                scores[*site] +=
                    count * self.output.rise(&self.sums, uses, channel, *change, (&mut *moved, &mut *logits));
            }
        };
        if let Some(bias) = self.weighted.bias {
            let everywhere = (0..linear.outputs()).step_by(channels).map(|first| Use { input: 1.0, first });
            let everywhere: Vec<Use> = everywhere.collect();
            (0..channels).for_each(|channel| add(bias + channel, &everywhere, channel));
        }
        let row_len = linear.row_len();
        let height = linear.weights() / row_len;
        if rows.len() < height {
            rows.resize_with(height, Vec::new);
        }
        rows.iter_mut().for_each(Vec::clear);
        linear.for_each_row(|row, input, first| {
            let input = self.inputs[input];
            if input != 0.0 {
                rows[row].push(Use { input, first });
            }
        });
        for (row, uses) in rows.iter().enumerate().take(height).filter(|(_, uses)| !uses.is_empty()) {
            for column in 0..row_len {
                add(self.weighted.kernel + row * row_len + column, uses, column);
            }
        }
    }
}

impl Output<'_> {
    /// The estimated rise of the error when a weight that acts on `uses` changes.
    #[inline]
    fn rise(
        &self,
        sums: &Sums<'_>,
        uses: &[Use],
        channel: usize,
        change: f64,
        (moved, logits): (&mut [Block], &mut Vec<f64>),
    ) -> f64 {
        let Some(jacobian) = sums.jacobian else {
            // Every sum is an output, and is moved once.
            let moves = uses.iter().map(|at| (at.first + channel, at.input * change));
            return self.rise_of(moves, logits);
        };
        let blocks = moved.len();
        let mut is_seen = false;
        moved.fill([0.0; LANES]);
        for Use { input, first } in uses {
            let at = first + channel;
            let value = sums.values[at];
            let delta = sums.tail.apply(value + input * change) - sums.tail.apply(value);
            if delta != 0.0 {
                is_seen = true;
                add_scaled(moved, delta, &jacobian[at * blocks..(at + 1) * blocks]);
            }
        }
        if !is_seen {
            return 0.0;
        }
        let moves = moved.as_flattened()[..self.sums.len()].iter().copied().enumerate();
        self.rise_of(moves.filter(|(_, delta)| *delta != 0.0), logits)
    }

    /// The rise of the error when these sums of the output move, each by so much.
    #[inline]
    fn rise_of(&self, moves: impl Iterator<Item = (usize, f64)>, moved: &mut Vec<f64>) -> f64 {
        let along = |at: usize, delta: f64| self.tail.apply(self.sums[at] + delta) - self.tail.apply(self.sums[at]);
        match &self.errors {
            Errors::Curves { curves, is_additive } => {
                let (mut sum, mut squares) = (0.0, 0.0);
                for (at, delta) in moves {
                    let distance = along(at, delta);
                    let error = if distance == 0.0 { 0.0 } else { curves[at].at(distance) };
                    sum += error;
                    squares += error * error;
                }
                if *is_additive { sum } else { squares.sqrt().copysign(sum) }
            }
            Errors::Logits { evaluator, event, logits, fault_free } => {
                moved.clear();
                moved.extend_from_slice(logits);
                moves.for_each(|(at, delta)| moved[at] += along(at, delta));
                evaluator.error_of_logits(event, moved).map_or(0.0, |error| error - fault_free)
            }
        }
    }
}

/// See [`Run::reach`].
fn reach(network: &Network, accelerator: &Accelerator<'_>, changes: &Changes, last: usize) -> i64 {
    let signal = network.output().signal;
    let span = signal.high.saturating_sub(signal.low).max(1);
    let Some(layer) = accelerator.weighted_at(last) else { return span };
    let source = network.nodes()[network.nodes()[last].inputs[0].index()].signal;
    let input = source.value(source.low).abs().max(source.value(source.high).abs());
    let largest = |registers: std::ops::Range<usize>| {
        changes.by_register[registers].iter().flatten().map(|(change, _)| change.abs()).fold(0.0, f64::max)
    };
    let kernel = input * largest(layer.kernel..layer.kernel + layer.linear.weights());
    let bias = layer.bias.map_or(0.0, |bias| largest(bias..bias + layer.linear.channels()));
    let farthest = cast::floor_i64(kernel.max(bias) / signal.value(1));
    if farthest < 1 { span } else { farthest.min(span) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::{OracleInput, run_oracle};
    use crate::fault::{Biases, Draws, all_sites};
    use crate::host::evaluator::{EventKind, OutputWords};
    use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
    use crate::num::{Overflow, QFormat, Quantizer, Rounding, qkeras};

    fn tensor(shape: Vec<usize>, draws: &mut Draws) -> WeightTensor {
        let format = QFormat::signed(5, 2).unwrap();
        let count = shape.iter().product();
        let raw = (0..count).map(|_| cast::i64_from_len(draws.below(32)) - 16).collect();
        WeightTensor::new(shape, raw, format).unwrap()
    }

    /// Dense layers of these widths behind 4 inputs, a quantizer behind each but the last.
    fn network(widths: &[usize], quantizer: Quantizer, draws: &mut Draws) -> Network {
        let input = qkeras::quantized_bits(6, 2, qkeras::Symmetry::Full, qkeras::Sign::Keep).unwrap();
        let mut net = NetworkBuilder::new("n", "x", &[4], input).unwrap();
        let (mut last, mut inputs) = (net.input(), 4);
        for (number, width) in widths.iter().enumerate() {
            if number > 0 {
                last = net.push(&format!("q{number}"), Op::Quantize(quantizer), &[last]).unwrap();
            }
            let dense = Dense { kernel: tensor(vec![inputs, *width], draws), bias: Some(tensor(vec![*width], draws)) };
            last = net.push(&format!("d{number}"), Op::Dense(dense), &[last]).unwrap();
            inputs = *width;
        }
        net.finish().unwrap()
    }

    fn events(network: &Network, count: usize, draws: &mut Draws) -> Vec<Event> {
        let value = |draws: &mut Draws| cast::nearest_f32(8.0 * draws.unit() - 4.0);
        let event = |draws: &mut Draws| EventInput::Tensor((0..4).map(|_| value(draws)).collect());
        (0..count).map(|_| Event::new(network, event(draws)).unwrap()).collect()
    }

    /// The nearest point of a curve, and by how much a chord can lie above the parabola: distances are halved and
    /// rounded down, so that of two neighbors one is a little more than twice as far.
    fn chords(network: &Network, inventory: &Inventory) -> (f64, f64) {
        let signal = network.output().signal;
        let sites = all_sites(inventory, Biases::Include);
        let kind = EventKind::Tensor { shape: vec![4] };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, OutputWords::of(&network)).unwrap();
        let input = CurveInput { network, inventory, evaluator: &evaluator, events: &[], sites: &sites };
        let nearest = Run::new(&input).reach >> (LEVELS - 1);
        let ratio = 2.0 + 1.0 / cast::f64_from_i64(nearest);
        (signal.value(nearest), (ratio + 1.0).powi(2) / (4.0 * ratio))
    }

    /// Scores and true rises of all bits.
    fn compare(network: &Network, events: &[Event]) -> (Vec<f64>, Vec<f64>, Inventory) {
        let inventory = Inventory::new(network).unwrap();
        let sites = all_sites(&inventory, Biases::Include);
        let kind = EventKind::Tensor { shape: vec![4] };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, OutputWords::of(&network)).unwrap();
        let input = CurveInput { network, inventory: &inventory, evaluator: &evaluator, events, sites: &sites };
        let scores = curve_scores(&input, &|_| {});
        let oracle = OracleInput { network, inventory: &inventory, evaluator: &evaluator, events, sites: &sites };
        let rises = run_oracle(&oracle, &|_| {}).unwrap().error_rises();
        (scores, rises, inventory)
    }

    #[test]
    fn bits_of_the_last_layer_are_off_by_the_interpolation_alone() {
        let any = qkeras::quantized_relu(5, 2).unwrap();
        for seed in 0..20 {
            let mut draws = Draws::new(seed, 0);
            let network = network(&[3], any, &mut draws);
            let events = events(&network, 5, &mut draws);
            let (scores, rises, inventory) = compare(&network, &events);
            let (nearest, above) = chords(&network, &inventory);
            let changes = value_changes(&network, &inventory, &all_sites(&inventory, Biases::Include));
            for (bit, ((score, rise), change)) in scores.iter().zip(&rises).zip(changes).enumerate() {
                // The error is a parabola; its chords lie above it, before the first point by no more than a line to there.
                let (register, _) = inventory.locate_bit(BitId(cast::id(bit)));
                let (array, index) = inventory.locate(register);
                let input = |event: &Event| {
                    if array.tensor == crate::net::TensorKind::Bias {
                        1.0
                    } else {
                        network.input().signal.value(event.codes()[index / 3])
                    }
                };
                let most = |event: &Event| {
                    let moved = (input(event) * change).abs();
                    (above * moved).max(nearest) * moved / 3.0
                };
                let most = events.iter().map(most).sum::<f64>() / 5.0;
                assert!(
                    *score >= rise * (1.0 - 1e-6) && *score <= most * (1.0 + 1e-6),
                    "{bit}: {score}, {rise}, {most}"
                );
            }
        }
    }

    #[test]
    fn bits_of_the_layer_before_are_too_where_errors_add_up() {
        // So fine that nothing is rounded; wide, or so narrow that much is clipped, or a `ReLU` with a largest value.
        let format = |width, int_bits| QFormat::signed(width, int_bits).unwrap();
        let saturating = |format| Quantizer { format, rounding: Rounding::NearestEven, overflow: Overflow::Saturate };
        let relu = qkeras::quantized_relu(16, 3).unwrap();
        for (seed, quantizer) in
            [saturating(format(24, 12)), saturating(format(16, 4)), relu].into_iter().cycle().take(30).enumerate()
        {
            let mut draws = Draws::new(cast::u64_from_len(seed), 1);
            let network = network(&[5, 3], quantizer, &mut draws);
            let events = events(&network, 8, &mut draws);
            let (scores, rises, inventory) = compare(&network, &events);
            let (nearest, above) = chords(&network, &inventory);
            for (bit, (score, rise)) in scores.iter().zip(&rises).enumerate() {
                // The mean of |x| over outputs and events is at most the root of that of x^2.
                let most = above * rise + nearest * rise.sqrt();
                let least = rise * (1.0 - 1e-6) - 1e-12;
                assert!(
                    *score >= least && *score <= most * (1.0 + 1e-6) + 1e-12,
                    "{seed} {bit}: {score} {rise} {most}"
                );
            }
        }
    }

    #[test]
    fn what_wraps_is_wrapped() {
        // A flip that moves the sum by the whole range of a wrapping register changes nothing.
        let format = QFormat::signed(4, 2).unwrap();
        let wraps = Quantizer { format, rounding: Rounding::Truncate, overflow: Overflow::Wrap };
        let input = qkeras::quantized_bits(6, 3, qkeras::Symmetry::Full, qkeras::Sign::Keep).unwrap();
        let mut net = NetworkBuilder::new("n", "x", &[1], input).unwrap();
        let kernel = WeightTensor::new(vec![1, 1], vec![1], QFormat::signed(4, 2).unwrap()).unwrap();
        let source = net.input();
        let dense = net.push("d", Op::Dense(Dense { kernel, bias: None }), &[source]).unwrap();
        net.push("q", Op::Quantize(wraps), &[dense]).unwrap();
        let network = net.finish().unwrap();
        let inventory = Inventory::new(&network).unwrap();
        let sites = all_sites(&inventory, Biases::Include);
        let kind = EventKind::Tensor { shape: vec![1] };
        let evaluator = Evaluator::new(None, ErrorMetric::Deviation, kind, OutputWords::of(&network)).unwrap();
        // 2 times the sign bit's 4 is 8, twice the range of the register.
        let events = [Event::new(&network, EventInput::Tensor(vec![2.0])).unwrap()];
        let input = CurveInput {
            network: &network,
            inventory: &inventory,
            evaluator: &evaluator,
            events: &events,
            sites: &sites,
        };
        let scores = curve_scores(&input, &|_| {});
        assert_eq!(scores[0], 0.0);
        assert!(scores[3] > 0.0);
    }

    #[test]
    fn a_curve_is_a_line_between_points_and_flat_beyond() {
        let curve = Curve { points: vec![(-2.0, 4.0), (0.0, 0.0), (1.0, 3.0)] };
        assert_eq!([-3.0, -2.0, -1.0, 0.0, 0.5, 1.0, 9.0].map(|x| curve.at(x)), [4.0, 4.0, 2.0, 0.0, 1.5, 3.0, 3.0]);
        assert_eq!(Curve::default().at(1.0), 0.0);
    }
}
