//! `Tail`: the element-wise operations behind the sums of a layer, as one function of a real value.

use crate::net::{Network, Op};
use crate::num::{Overflow, Quantizer};

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
    /// What is not above 0 times this.
    Leaky(f64),
    Clip(f64, f64),
}

impl Tail {
    pub(super) const fn new(node: usize) -> Self {
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
                TailStep::Leaky(slope) => {
                    if value > 0.0 {
                        value
                    } else {
                        slope * value
                    }
                }
                TailStep::Clip(low, high) => value.clamp(*low, *high),
            }),
        }
    }

    /// Takes the operations of these nodes in, in their order.
    pub(super) fn extend(&mut self, network: &Network, nodes: impl IntoIterator<Item = usize>) {
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
                Op::LeakyRelu { shift } => {
                    steps.push(TailStep::Leaky((-f64::from(shift)).exp2()));
                    (f64::NEG_INFINITY, f64::INFINITY)
                }
                Op::Clip { low, high } => {
                    let signal = network.nodes()[node].signal;
                    let (low, high) = (signal.value(low), signal.value(high));
                    steps.push(TailStep::Clip(low, high));
                    (low, high)
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
            TailStep::Relu | TailStep::Clip(..) => true,
            TailStep::Leaky(_) => false,
        };
        self.steps = (!steps.iter().all(saturates)).then_some(steps);
    }
}
