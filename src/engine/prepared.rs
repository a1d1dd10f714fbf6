//! `Prepared`: a program with what the engine adds to it: byte kernels, who reads what last, and what costs less.

use super::bytes::ByteSums;
use crate::hw::datapath::layer::{Core, Layer};
use crate::hw::datapath::program::Program;
use crate::hw::datapath::word::Word;
use crate::net::{Network, Signal};

/// How changes are carried through a layer. All ways give the same answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// Whichever is thought to cost less.
    #[default]
    Cheapest,
    /// From what differs, only to what that reaches.
    Lists,
    /// From what differs, to all sums.
    Sums,
    /// From all values, to all sums.
    Whole,
}

/// A program prepared for faults.
#[derive(Debug, Clone)]
pub(super) struct Prepared<W> {
    pub(super) program: Program<W>,
    /// By layer, where bytes serve.
    pub(super) bytes: Vec<Option<ByteSums<W>>>,
    pub(super) costs: Vec<Costs>,
    /// By buffer (what the head gives, what each layer gives): the last layer that reads it; nothing reads the output.
    pub(super) last_reader: Vec<Option<usize>>,
    /// By buffer: from how many changed values on its first reader looks at all of them.
    pub(super) whole_from: Vec<usize>,
}

/// When a layer is worked on in which way. All give the same; these are guesses of what costs less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Costs {
    /// From how many changed input values on everything is computed from the whole input.
    pub(super) whole_from: usize,
    /// From how many changed input values on all sums are carried along instead of those that are reached.
    pub(super) all_from: usize,
}

impl<W: Word> Prepared<W> {
    /// `None` when the network's values do not fit these words.
    pub(super) fn new(network: &Network, way: Way) -> Option<Self> {
        let program = Program::<W>::new(network)?;
        let input = |layer: &Layer<W>| -> Signal {
            let node = network.node(layer.node);
            node.inputs.first().map_or(node.signal, |id| network.node(*id).signal)
        };
        let bytes: Vec<_> = program.layers.iter().map(|layer| ByteSums::new(network, layer, &input(layer))).collect();
        let costs: Vec<Costs> =
            program.layers.iter().zip(&bytes).map(|(layer, bytes)| Costs::new(layer, bytes.as_ref()).by(way)).collect();
        let buffers = program.layers.len() + 1;
        let mut last_reader = vec![None; buffers];
        let mut whole_from = vec![usize::MAX; buffers];
        for (at, layer) in program.layers.iter().enumerate().rev() {
            for source in &layer.sources {
                last_reader[*source] = last_reader[*source].or(Some(at));
                whole_from[*source] = costs[at].whole_from;
            }
        }
        Some(Self { program, bytes, costs, last_reader, whole_from })
    }
}

impl Costs {
    fn by(self, way: Way) -> Self {
        match way {
            Way::Cheapest => self,
            Way::Lists => Self { whole_from: usize::MAX, all_from: usize::MAX },
            Way::Sums => Self { whole_from: usize::MAX, all_from: 0 },
            Way::Whole => Self { whole_from: 0, all_from: 0 },
        }
    }

    /// Counted in tenths of a multiplication of one block by one value, roughly as measured on a processor with AVX-512.
    fn new<W: Word>(layer: &Layer<W>, bytes: Option<&ByteSums<W>>) -> Self {
        let blocks = layer.positions * layer.blocks;
        let uses: usize = (0..layer.positions).map(|position| layer.sees.get(position).len()).sum();
        match &layer.core {
            Core::Sums => {
                // Per changed input value: a multiplication of each row of weights it reaches.
                let reach = uses.div_ceil(layer.pixels);
                let changed = 25 * reach * layer.blocks;
                let whole = match bytes {
                    Some(bytes) => 3 * bytes.operations(layer) + layer.pixels * layer.in_channels / 2,
                    None => 12 * uses * layer.in_channels * layer.blocks,
                };
                let all_from = if layer.is_dense { usize::MAX } else { (layer.positions / 2).div_ceil(reach) + 1 };
                Self { whole_from: (whole / changed).max(1), all_from }
            }
            // Per changed input value: a search for each value that its outputs see.
            Core::Channelwise { .. } | Core::Average { .. } | Core::Max => {
                let seen = uses.div_ceil(layer.positions);
                let whole = 12 * uses * layer.blocks;
                Self { whole_from: (whole / (300 * seen)).max(4), all_from: usize::MAX }
            }
            Core::Add { shifts } => {
                Self { whole_from: (12 * shifts.len() * blocks / 300).max(4), all_from: usize::MAX }
            }
        }
    }
}
