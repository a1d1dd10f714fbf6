//! `Derivatives`: gradient, Hessian-vector products and diagonal of the mean loss, with respect to every register.
//!
//! Exact up to rounding, for the function that training sees: straight-through quantizers, `ReLU`s without curvature.
//! Events are worked on in parallel; sums are folded in a fixed order, so the bits do not depend on the threads.

use std::ops::Range;

use super::SymmetricOperator;
use super::accelerator::{Accelerator, AcceleratorScratch, Tape, WeightedLayer, reaching};
use super::head::{Curvature, Head, HeadScratch, LossError};
use super::linear::{Block, LANES};
use super::objective::{Loss, add_scaled};
use crate::campaign::{DistinctEvent, Event, distinct_events, map_parts};
use crate::host::evaluator::EventKind;
use crate::hw::Inventory;
use crate::net::{FloatNetwork, Network};
use crate::num::cast;

/// Memory in bytes up to which what is known of the events is kept from one pass to the next.
const KEPT_BYTES: usize = 1 << 30;

/// What derivatives are taken of.
#[derive(Debug, Clone, Copy)]
pub struct DerivativeInput<'a> {
    /// The accelerator.
    pub network: &'a Network,
    /// Its registers.
    pub inventory: &'a Inventory,
    /// What runs off-chip, if anything.
    pub decoder: Option<&'a FloatNetwork>,
    /// The loss of an event.
    pub loss: Loss,
    /// The kind of the events.
    pub kind: &'a EventKind,
    /// The events.
    pub events: &'a [Event],
}

/// Why there are no derivatives.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DerivativeError {
    /// Loss and design do not fit.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Nothing to take a mean over.
    #[error("there are no events; derivatives are means over at least one")]
    NoEvents,
    /// An event whose loss is no number.
    #[error("event {event} (counted from 0): its loss is {loss}")]
    NotFinite {
        /// Position of the event, from 0.
        event: usize,
        /// Its loss.
        loss: f64,
    },
}

/// An event, where the network stands in it.
#[derive(Debug, Clone)]
struct Point {
    tape: Tape,
    curvature: Curvature,
}

/// Derivatives of the mean loss over a list of events.
#[derive(Debug)]
pub struct Derivatives<'a> {
    accelerator: Accelerator<'a>,
    head: Head,
    events: &'a [Event],
    distinct: Vec<DistinctEvent>,
    /// What is known of the first of them.
    kept: Vec<Point>,
    loss: f64,
    gradient: Vec<f64>,
}

/// Diagonals of the Hessian.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagonals {
    /// Second derivative with respect to each register.
    pub hessian: Vec<f64>,
    /// Its Gauss-Newton part: without the curvature of the decoder. Never negative.
    pub gauss_newton: Vec<f64>,
}

/// Memory of one thread.
#[derive(Debug, Default)]
struct Scratch {
    accelerator: AcceleratorScratch,
    head: HeadScratch,
}

impl<'a> Derivatives<'a> {
    /// Runs all events once: the loss and its gradient. `progress` is told the events done since it was last told.
    ///
    /// # Errors
    /// When the loss does not fit the design, there is no event, or a loss is no number.
    pub fn new(input: DerivativeInput<'a>, progress: &(impl Fn(u64) + Sync)) -> Result<Self, DerivativeError> {
        Self::with_memory(input, KEPT_BYTES, progress)
    }

    /// As [`Derivatives::new`], but keeps what is known of as many events as take about `bytes`; of the others every
    /// pass works it out again, with the same bits.
    ///
    /// # Errors
    /// As [`Derivatives::new`].
    pub fn with_memory(
        input: DerivativeInput<'a>,
        bytes: usize,
        progress: &(impl Fn(u64) + Sync),
    ) -> Result<Self, DerivativeError> {
        let head = Head::new(input.decoder, input.loss, input.kind, input.network.output().len())?;
        if input.events.is_empty() {
            return Err(DerivativeError::NoEvents);
        }
        let mut derivatives = Self {
            accelerator: Accelerator::new(input.network, input.inventory),
            head,
            events: input.events,
            distinct: distinct_events(input.events),
            kept: Vec::new(),
            loss: 0.0,
            gradient: Vec::new(),
        };
        let mut scratch = Scratch::default();
        let first = derivatives.point(0, &mut scratch);
        let curvature = 8 * (1 + 2 * first.tape.output.len()) * first.tape.output.len();
        let most_kept = bytes / (first.tape.bytes() + curvature).max(1);
        let mut kept = Vec::new();
        let parts = map_parts(derivatives.distinct.len(), |part| {
            let mut scratch = Scratch::default();
            let mut gradient = vec![0.0; derivatives.dim()];
            let (mut loss, mut failure, mut points) = (0.0, None, Vec::new());
            for place in part {
                let DistinctEvent { first: event, count } = derivatives.distinct[place];
                let point = derivatives.point(place, &mut scratch);
                if !point.curvature.loss.is_finite() && failure.is_none() {
                    failure = Some(DerivativeError::NotFinite { event, loss: point.curvature.loss });
                }
                loss += f64::from(count) * point.curvature.loss;
                derivatives.accelerator.add_gradient(&point.tape, f64::from(count), &mut gradient);
                if place < most_kept {
                    points.push(point);
                }
                progress(u64::from(count));
            }
            failure.map_or(Ok((loss, gradient, points)), Err)
        });
        let (mut loss, mut gradient) = (0.0, vec![0.0; derivatives.dim()]);
        for part in parts {
            let (part_loss, part_gradient, points) = part?;
            loss += part_loss;
            add(&mut gradient, &part_gradient);
            kept.extend(points);
        }
        derivatives.kept = kept;
        derivatives.loss = loss * derivatives.share();
        for slope in &mut gradient {
            *slope *= derivatives.share();
        }
        derivatives.gradient = gradient;
        Ok(derivatives)
    }

    /// Mean loss.
    pub const fn loss(&self) -> f64 {
        self.loss
    }

    /// Its gradient, in the order of the registers.
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// Values the registers hold, in their order.
    pub fn register_values(&self) -> &[f64] {
        self.accelerator.parameters()
    }

    /// What an event counts in a mean.
    fn share(&self) -> f64 {
        1.0 / cast::f64_from_count(self.events.len())
    }

    /// What is known of the distinct event at `place`.
    fn point(&self, place: usize, scratch: &mut Scratch) -> Point {
        let event = &self.events[self.distinct[place].first];
        let mut tape = self.accelerator.run(event.codes());
        let curvature = self.head.curvature(event.input(), &tape.output, &mut scratch.head);
        self.accelerator.close(&mut tape, &curvature.gradient, &mut scratch.accelerator);
        Point { tape, curvature }
    }

    /// Calls `each` with every distinct event of `part` and how often it occurs.
    fn for_each(
        &self,
        part: Range<usize>,
        scratch: &mut Scratch,
        mut each: impl FnMut(&Point, f64, &mut AcceleratorScratch),
    ) {
        for place in part {
            let count = f64::from(self.distinct[place].count);
            match self.kept.get(place) {
                Some(point) => each(point, count, &mut scratch.accelerator),
                None => each(&self.point(place, scratch), count, &mut scratch.accelerator),
            }
        }
    }

    /// Exact diagonals, in the order of the registers.
    ///
    /// The output is linear in the weights of any one layer while gates stay as they are, so the second derivative with
    /// respect to one weight is `j^T H j`: `j` how it moves the output, `H` the curvature of the loss there.
    pub fn diagonals(&self) -> Diagonals {
        let parts = map_parts(self.distinct.len(), |part| {
            let mut scratch = Scratch::default();
            let mut sums = Diagonals::zero(self.dim());
            let mut reached = Reached::default();
            self.for_each(part, &mut scratch, |point, count, scratch| {
                self.accelerator.jacobians(self.accelerator.output_node(), &point.tape, scratch, |node, jacobian| {
                    if let Some(layer) = self.accelerator.weighted_at(node) {
                        reached.add(layer, point, jacobian, count, &mut sums);
                    }
                });
            });
            sums
        });
        let mut all = Diagonals::zero(self.dim());
        for part in parts {
            add(&mut all.hessian, &part.hessian);
            add(&mut all.gauss_newton, &part.gauss_newton);
        }
        let share = self.share();
        all.hessian.iter_mut().chain(&mut all.gauss_newton).for_each(|sum| *sum *= share);
        all
    }
}

impl SymmetricOperator for Derivatives<'_> {
    fn dim(&self) -> usize {
        self.accelerator.parameters().len()
    }

    fn apply(&self, vector: &[f64], out: &mut [f64]) {
        let parts = map_parts(self.distinct.len(), |part| {
            let mut scratch = Scratch::default();
            let mut product = vec![0.0; self.dim()];
            self.for_each(part, &mut scratch, |point, count, scratch| {
                let at = (&point.tape, point.curvature.hessian.as_slice());
                self.accelerator.add_hessian_product(at, count, vector, scratch, &mut product);
            });
            product
        });
        out.fill(0.0);
        for part in parts {
            add(out, &part);
        }
        let share = self.share();
        for sum in out {
            *sum *= share;
        }
    }
}

/// Working memory for the diagonals of one layer.
#[derive(Debug, Default)]
struct Reached {
    /// Which sums of the layer reach the output.
    reaches: Vec<bool>,
    /// How each weight moves the output, `[weight, block]`, and whether it does.
    moves: Vec<Block>,
    live: Vec<bool>,
}

impl Reached {
    /// Adds `count` times `j^T H j` of every register of `layer` to `sums`, for both matrices.
    fn add(&mut self, layer: &WeightedLayer, point: &Point, jacobian: &[Block], count: f64, sums: &mut Diagonals) {
        let Self { reaches, moves, live } = self;
        let (linear, channels, row_len) = (&layer.linear, layer.linear.channels(), layer.linear.row_len());
        let (inputs, curvature) = (&point.tape.inputs[layer.number], &point.curvature);
        let blocks = jacobian.len() / linear.outputs();
        let row = |index: usize| index * blocks..(index + 1) * blocks;
        let forms =
            |moved: &[Block]| [&curvature.hessian, &curvature.gauss_newton].map(|matrix| count * form(matrix, moved));
        reaching(jacobian, blocks, reaches);
        if let Some(bias) = layer.bias {
            for channel in 0..channels {
                let mut moved = vec![[0.0; LANES]; blocks];
                for output in (channel..linear.outputs()).step_by(channels).filter(|output| reaches[*output]) {
                    add_scaled(&mut moved, 1.0, &jacobian[row(output)]);
                }
                sums.add(bias + channel, forms(&moved));
            }
        }
        if linear.acts_once() {
            let of_channel = (0..channels).map(|channel| forms(&jacobian[row(channel)]));
            let (hessian, gauss_newton): (Vec<f64>, Vec<f64>) = of_channel.map(|[h, g]| (h, g)).unzip();
            let squares: Vec<f64> = inputs.iter().map(|x| x * x).collect();
            let range = layer.kernel..layer.kernel + linear.weights();
            linear.add_outer(&squares, &hessian, &mut sums.hessian[range.clone()]);
            linear.add_outer(&squares, &gauss_newton, &mut sums.gauss_newton[range]);
            return;
        }
        moves.clear();
        moves.resize(linear.weights() * blocks, [0.0; LANES]);
        live.clear();
        live.resize(linear.weights(), false);
        linear.for_each_row(|weights, input, output| {
            let x = inputs[input];
            if x == 0.0 {
                return;
            }
            for channel in (0..row_len).filter(|channel| reaches[output + channel]) {
                let weight = weights * row_len + channel;
                live[weight] = true;
                add_scaled(&mut moves[row(weight)], x, &jacobian[row(output + channel)]);
            }
        });
        for weight in (0..linear.weights()).filter(|weight| live[*weight]) {
            sums.add(layer.kernel + weight, forms(&moves[row(weight)]));
        }
    }
}

impl Diagonals {
    fn zero(dim: usize) -> Self {
        Self { hessian: vec![0.0; dim], gauss_newton: vec![0.0; dim] }
    }

    fn add(&mut self, register: usize, [hessian, gauss_newton]: [f64; 2]) {
        self.hessian[register] += hessian;
        self.gauss_newton[register] += gauss_newton;
    }
}

/// `x^T matrix x`; lanes beyond the matrix are padding.
fn form(matrix: &[f64], x: &[Block]) -> f64 {
    let x = x.as_flattened();
    let outputs = matrix.len().isqrt();
    let x = &x[..outputs];
    matrix
        .chunks_exact(outputs)
        .zip(x)
        .filter(|(_, factor)| **factor != 0.0)
        .map(|(row, factor)| factor * row.iter().zip(x).map(|(h, x)| h * x).sum::<f64>())
        .sum()
}

fn add(sums: &mut [f64], terms: &[f64]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}
