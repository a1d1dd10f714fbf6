//! `Tail`: what happens to values one by one behind the sums, and where they go.
#![expect(clippy::inline_always, reason = "small parts of the vectorized loops must become part of them")]

use super::requantize::Requantizer;
use super::word::Word;
use crate::net::{Network, Node, NodeId, Op, Padding2d, Signal};
use crate::num::cast;

/// Elementwise operations one after another.
#[derive(Debug, Clone)]
pub(crate) struct Tail<W> {
    steps: Vec<Step<W>>,
}

#[derive(Debug, Clone)]
enum Step<W> {
    Requantize(Requantizer<W>),
    Relu,
    /// Positive values times `2^by`.
    Leaky {
        by: u32,
    },
    Clip {
        low: W,
        high: W,
    },
}

impl<W: Word> Tail<W> {
    /// What becomes of values; many at once are a loop for vector instructions.
    #[inline(always)]
    pub(crate) fn apply(&self, values: &mut [W]) {
        for step in &self.steps {
            match step {
                Step::Requantize(requantizer) => requantizer.apply(values),
                Step::Relu => {
                    for v in values.iter_mut() {
                        *v = (*v).max(W::default());
                    }
                }
                Step::Leaky { by } => {
                    for v in values.iter_mut() {
                        *v = if *v > W::default() { v.left(*by) } else { *v };
                    }
                }
                Step::Clip { low, high } => {
                    for v in values.iter_mut() {
                        *v = (*v).max(*low).min(*high);
                    }
                }
            }
        }
    }
}

/// Elementwise operations on the values of a node.
pub(crate) struct Elementwise<W> {
    /// The operations.
    pub(crate) tail: Tail<W>,
    /// Number of values behind them.
    pub(crate) len: usize,
    /// Where each value of the node is then.
    pub(crate) target: Vec<u32>,
}

/// The operations `after` a node, in their order.
pub(crate) fn elementwise<W: Word>(network: &Network, node: NodeId, after: &[NodeId]) -> Elementwise<W> {
    let mut from = network.node(node);
    let mut target: Vec<u32> = (0..cast::id(from.len())).collect();
    let mut steps = Vec::new();
    for id in after {
        let node = network.node(*id);
        match &node.op {
            Op::Quantize(quantizer) => steps.push(Step::Requantize(Requantizer::new(*quantizer, &from.signal))),
            Op::Relu => steps.push(Step::Relu),
            Op::LeakyRelu { shift } => steps.push(Step::Leaky { by: *shift }),
            Op::Clip { low, high } => steps.push(clip(*low, *high, &from.signal)),
            Op::Reshape => {}
            // Zeros stay zeros in every operation (see `moves_zero`), so they may be put in at the end, wherever they come
            // from.
            Op::ZeroPad2d(padding) => {
                for index in &mut target {
                    *index = padded_index(from, node, padding, *index);
                }
            }
            _ => unreachable!("{} is no elementwise operation", node.name),
        }
        from = node;
    }
    Elementwise { tail: Tail { steps }, len: from.len(), target }
}

/// Clips values of `signal`; what no value reaches need not fit a word.
fn clip<W: Word>(low: i64, high: i64, signal: &Signal) -> Step<W> {
    Step::Clip { low: W::wrap(low.max(signal.low)), high: W::wrap(high.min(signal.high)) }
}

/// Whether an operation treats every value by itself, or moves it.
pub(crate) const fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Quantize(_) | Op::Relu | Op::LeakyRelu { .. } | Op::Clip { .. } | Op::Reshape | Op::ZeroPad2d(_))
}

/// Whether an elementwise operation makes something else of a zero.
pub(crate) const fn moves_zero(op: &Op) -> bool {
    matches!(op, Op::Clip { low, high } if *low > 0 || *high < 0)
}

fn padded_index(from: &Node, node: &Node, padding: &Padding2d, index: u32) -> u32 {
    let row_len = from.shape[1] * from.shape[2];
    let (row, rest) = (cast::index(index) / row_len, cast::index(index) % row_len);
    cast::id(((row + padding.top) * node.shape[1] + padding.left) * node.shape[2] + rest)
}
