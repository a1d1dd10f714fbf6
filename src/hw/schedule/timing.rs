//! Rules of time of layers as hls4ml builds them: legal reuse factors, pipeline depths, cycles per layer.
//!
//! Shapes and clock in, cycles out; no weights, no values. The rules follow `fastmachinelearning/hls4ml` and the synthesis
//! reports that its projects publish; `docs/schedule.md` lists them, with what is a cycle off.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use super::ScheduleError;

/// Whether `n_in * n_out` products can share multipliers by this factor.
///
/// The rule of `hls4ml/backends/fpga/fpga_backend.py`: every multiplier is used in every cycle, and serves either whole
/// inputs or whole outputs.
pub fn is_legal_reuse(n_in: u64, n_out: u64, factor: NonZeroU64) -> bool {
    let factor = factor.get();
    let products = n_in * n_out;
    let multipliers = products.div_ceil(n_in.min(factor).max(1));
    let whole_outputs = multipliers.is_multiple_of(n_out) || factor >= n_in;
    let whole_inputs = factor.is_multiple_of(n_in) || factor < n_in;
    factor <= products && whole_outputs && whole_inputs && products.is_multiple_of(factor)
}

/// The legal reuse factor nearest to the one asked for; of two equally near the smaller.
///
/// For a convolution `n_in` is the number of products per output value, `n_out` the number of output channels.
///
/// # Panics
/// When `n_in` or `n_out` is 0: a layer has inputs and outputs.
pub fn legal_reuse(n_in: u64, n_out: u64, asked: NonZeroU64) -> NonZeroU64 {
    assert!(n_in > 0 && n_out > 0, "a layer of {n_in} inputs and {n_out} outputs");
    let legal = |factor: &NonZeroU64| is_legal_reuse(n_in, n_out, *factor);
    let below = (1..=asked.get().min(n_in * n_out)).rev().filter_map(NonZeroU64::new).find(legal);
    let above = (asked.get()..=n_in * n_out).filter_map(NonZeroU64::new).find(legal);
    let below = below.expect("1 is always legal");
    above.filter(|above| above.get() - asked.get() < asked.get().abs_diff(below.get())).unwrap_or(below)
}

/// How the products of a layer are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Multipliers and an adder tree in a pipeline (`nnet_dense_latency.h`).
    #[default]
    Latency,
    /// Multipliers that add to accumulators, iteration by iteration (`nnet_dense_resource.h`).
    Resource,
}

impl Strategy {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Latency, Self::Resource];

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Resource => "resource",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Strategy {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let found = Self::ALL.into_iter().find(|strategy| strategy.name() == text.trim());
        found.ok_or_else(|| ScheduleError::UnknownStrategy { text: text.to_owned() })
    }
}

/// What a layer does, as far as time is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerShape {
    /// `n_in * n_out` products.
    Dense {
        /// Input values.
        n_in: u64,
        /// Output values.
        n_out: u64,
    },
    /// Sums over a window that slides over pixels.
    Conv2d {
        /// Pixels that come in, padding included.
        pixels_in: u64,
        /// Output positions.
        pixels_out: u64,
        /// Products per output value.
        n_in: u64,
        /// Output channels.
        n_out: u64,
    },
    /// The largest value, or the mean, of a window.
    Pool {
        /// Pixels that come in.
        pixels_in: u64,
        /// Pixels that go out.
        pixels_out: u64,
    },
    /// Every value by itself: activations and quantizers; also sums of two streams, copies, zeros, repacking.
    Elementwise {
        /// Pixels; a vector is one.
        pixels: u64,
    },
    /// Every value by itself, times a weight of its channel.
    Scale {
        /// Pixels; a vector is one.
        pixels: u64,
    },
    /// Exponentials through a table, their sum, its inverse through a table, and a product.
    Softmax,
}

/// A layer of a streaming design: packets of one pixel with all its channels pass from layer to layer through FIFOs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLayer {
    /// What it does.
    pub shape: LayerShape,
    /// Packets it takes per frame; a dense layer behind a map takes one per pixel.
    pub packets_in: u64,
    /// Cycles per packet, and how often each multiplier is used for it.
    pub reuse_factor: NonZeroU64,
    /// Whether pixels that complete no window take as long.
    pub strategy: Strategy,
}

/// Times of one layer, in cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerTiming {
    /// From its first packet of a frame to its last result.
    pub latency_cycles: u64,
    /// Packets per frame on the way out: the depth of the FIFO behind it when nothing smaller is asked for.
    pub fifo_depth: u64,
}

/// Times of a network, in cycles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Layer by layer.
    pub layers: Vec<LayerTiming>,
    /// From the first packet of a frame to its result.
    pub latency_cycles: u64,
    /// From one frame to the next.
    pub interval_cycles: u64,
}

/// A clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    mhz: f64,
}

impl Clock {
    /// A clock of that frequency.
    ///
    /// # Errors
    /// When it is not positive and finite.
    pub fn new(mhz: f64) -> Result<Self, ScheduleError> {
        if mhz > 0.0 && mhz.is_finite() { Ok(Self { mhz }) } else { Err(ScheduleError::Clock { mhz }) }
    }

    /// Its frequency, in MHz.
    pub const fn mhz(self) -> f64 {
        self.mhz
    }

    /// Time of one cycle, in seconds.
    pub fn period_s(self) -> f64 {
        1e-6 / self.mhz
    }

    /// Levels of an adder tree, multiplier included, that settle within a cycle: three per 5 ns, at least one.
    ///
    /// Three per 5 ns is what the published reports of the hls4ml tutorial's streaming network show.
    pub fn levels(self) -> u32 {
        let levels = crate::num::cast::floor_i64(3.0 * 200.0 / self.mhz);
        u32::try_from(levels).unwrap_or(u32::MAX).max(1)
    }

    /// Cycles that a sum of `terms` products takes on its way through an adder tree.
    pub fn tree_cycles(self, terms: u64) -> u64 {
        let levels = u64::BITS - terms.max(1).saturating_sub(1).leading_zeros();
        u64::from(levels.div_ceil(self.levels()).max(1))
    }
}

impl StreamLayer {
    /// Cycles in which it works on the packets of a frame when they wait for it.
    pub const fn working_cycles(&self) -> u64 {
        let reuse = self.reuse_factor.get();
        match self.shape {
            LayerShape::Dense { .. } => self.packets_in + reuse - 1,
            // Iterations are for windows; a pipeline has one pace for all pixels (`nnet_conv2d_stream.h`).
            LayerShape::Conv2d { pixels_in, pixels_out, .. } if matches!(self.strategy, Strategy::Resource) => {
                pixels_in + pixels_out * (reuse - 1)
            }
            LayerShape::Conv2d { pixels_in, .. } => pixels_in * reuse,
            LayerShape::Pool { pixels_in, .. } => pixels_in,
            LayerShape::Elementwise { pixels } => pixels,
            LayerShape::Scale { pixels } => pixels * reuse,
            LayerShape::Softmax => 1,
        }
    }

    /// Cycles of its pipeline at a clock: the adder tree of weighted layers; two to compare and write for elementwise
    /// layers; one more wherever a line buffer makes windows; softmax two tables of two cycles, the sum of ten terms and
    /// a product.
    pub fn depth_cycles(&self, clock: Clock) -> u64 {
        match self.shape {
            LayerShape::Dense { n_in, .. } => clock.tree_cycles(n_in),
            LayerShape::Conv2d { n_in, .. } => 1 + clock.tree_cycles(n_in),
            LayerShape::Pool { .. } => 3,
            LayerShape::Elementwise { .. } | LayerShape::Scale { .. } => 2,
            LayerShape::Softmax => 6,
        }
    }

    /// Its times at a clock.
    pub fn timing(&self, clock: Clock) -> LayerTiming {
        let fifo_depth = match self.shape {
            LayerShape::Conv2d { pixels_out, .. } | LayerShape::Pool { pixels_out, .. } => pixels_out,
            LayerShape::Elementwise { pixels } | LayerShape::Scale { pixels } => pixels,
            LayerShape::Dense { .. } | LayerShape::Softmax => 1,
        };
        LayerTiming { latency_cycles: self.working_cycles() + self.depth_cycles(clock), fifo_depth }
    }
}

/// Times of a streaming network; `readers` are the layers that read each layer, all behind it.
///
/// The slowest layer sets the pace: a frame may follow one cycle after it is done. While it works, the layers behind it
/// keep up; each then works on the last packet for as many cycles as its reuse factor to hand it on, and the last layer
/// needs its whole pipeline. Where there are several ways from it to the output, the longest counts.
///
/// # Errors
/// When there is no layer.
pub fn stream_timing(layers: &[StreamLayer], readers: &[Vec<usize>], clock: Clock) -> Result<Timing, ScheduleError> {
    let times: Vec<LayerTiming> = layers.iter().map(|layer| layer.timing(clock)).collect();
    let slowest = times.iter().map(|time| time.latency_cycles).max().ok_or(ScheduleError::NoLayers)?;
    // From each layer's last packet to the last layer's result, itself left out.
    let mut behind = vec![0; layers.len()];
    for at in (0..layers.len()).rev() {
        let way = |reader: &usize| {
            let is_last = readers[*reader].is_empty();
            // The last one's cycle of writing is in its pipeline.
            let rest = if is_last { layers[*reader].depth_cycles(clock) - 1 } else { behind[*reader] };
            layers[*reader].reuse_factor.get() + rest
        };
        behind[at] = readers[at].iter().map(way).max().unwrap_or(0);
    }
    let of_slowest = times.iter().zip(&behind).filter(|(time, _)| time.latency_cycles == slowest);
    let latency_cycles = slowest + of_slowest.map(|(_, behind)| *behind).max().unwrap_or(0);
    Ok(Timing { latency_cycles, interval_cycles: slowest + 1, layers: times })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::num::cast;

    fn factor(factor: u64) -> NonZeroU64 {
        NonZeroU64::new(factor).unwrap()
    }

    #[test]
    fn legal_reuse_factors_by_hand() {
        // 4 inputs, 6 outputs. Below 4 a factor must divide 24 and leave whole outputs: 1, 2; from 4 on whole inputs.
        let legal: Vec<u64> = (1..=30).filter(|n| is_legal_reuse(4, 6, factor(*n))).collect();
        assert_eq!(legal, [1, 2, 4, 8, 12, 24]);
        let nearest = [(3, 2), (5, 4), (6, 4), (7, 8), (10, 8), (11, 12), (18, 12), (19, 24), (1000, 24)];
        for (asked, expected) in nearest {
            assert_eq!(legal_reuse(4, 6, factor(asked)).get(), expected, "{asked}");
        }
        assert_eq!(legal_reuse(1, 1, factor(u64::MAX)).get(), 1);
    }

    /// Every legal factor in ascending order, as the rule is written: quotients rounded up in floating point, no shortcut.
    fn every_legal_factor(n_in: u64, n_out: u64) -> Vec<u64> {
        let products = n_in * n_out;
        let is_legal = |factor: &u64| {
            let limit = cast::floor_i64((cast::f64_from_u64(products) / cast::f64_from_u64(n_in.min(*factor))).ceil());
            (u64::try_from(limit).unwrap().is_multiple_of(n_out) || *factor >= n_in)
                && (factor.is_multiple_of(n_in) || *factor < n_in)
                && products.is_multiple_of(*factor)
        };
        (1..=products).filter(is_legal).collect()
    }

    proptest! {
        #[test]
        fn the_nearest_legal_factor_is_chosen(n_in in 1_u64..40, n_out in 1_u64..40, asked in 1_u64..2_000) {
            let legal = every_legal_factor(n_in, n_out);
            let by_rule: Vec<u64> =
                (1..=n_in * n_out + 1).filter(|at| is_legal_reuse(n_in, n_out, factor(*at))).collect();
            prop_assert_eq!(&by_rule, &legal);
            // The first of the nearest in ascending order is the smaller one.
            let nearest = legal.into_iter().min_by_key(|legal| legal.abs_diff(asked)).unwrap();
            prop_assert_eq!(legal_reuse(n_in, n_out, factor(asked)).get(), nearest);
        }
    }

    fn layer(shape: LayerShape, packets_in: u64, reuse: u64) -> StreamLayer {
        StreamLayer { shape, packets_in, reuse_factor: factor(reuse), strategy: super::Strategy::Latency }
    }

    /// Readers of layers in a row.
    fn in_a_row(layers: usize) -> Vec<Vec<usize>> {
        (1..=layers).map(|next| if next < layers { vec![next] } else { Vec::new() }).collect()
    }

    /// `fastmachinelearning/hls4ml-tutorial`, pruned streaming CNN on 32x32x3 (Vivado 2020.1, 5 ns, reuse 1): the layers
    /// its report lists, with their cycles.
    #[test]
    fn published_latencies_of_a_streaming_network() {
        let conv = |side: u64, channels: u64, n_out: u64| {
            let out = side - 2;
            LayerShape::Conv2d { pixels_in: side * side, pixels_out: out * out, n_in: 9 * channels, n_out }
        };
        let relu = |side: u64| LayerShape::Elementwise { pixels: side * side };
        let pool = |side: u64| LayerShape::Pool { pixels_in: side * side, pixels_out: (side / 2) * (side / 2) };
        let dense = |n_in, n_out| LayerShape::Dense { n_in, n_out };
        // Packets in, cycles reported.
        let report = [
            (conv(32, 3, 16), 1024, 1027),
            (relu(30), 900, 902),
            (pool(30), 900, 903),
            (conv(15, 16, 16), 225, 229),
            (relu(13), 169, 171),
            (pool(13), 169, 172),
            (conv(6, 16, 24), 36, 40),
            (relu(4), 16, 18),
            (pool(4), 16, 19),
            (dense(96, 42), 4, 7),
            (dense(42, 64), 1, 3),
            (dense(64, 10), 1, 2),
            (LayerShape::Softmax, 1, 7),
        ];
        let layers = report.map(|(shape, packets_in, _)| layer(shape, packets_in, 1));
        let timing = stream_timing(&layers, &in_a_row(layers.len()), Clock::new(200.0).unwrap()).unwrap();
        for (position, (time, (shape, _, cycles))) in timing.layers.iter().zip(report).enumerate() {
            // The one layer that the rule misses: its pipeline is a cycle shorter than its 64 terms suggest.
            let off = u64::from(position == 11);
            assert_eq!(time.latency_cycles, cycles + off, "{shape:?}");
        }
        assert_eq!((timing.latency_cycles, timing.interval_cycles), (1044, 1028));
        let depths: Vec<u64> = timing.layers.iter().map(|time| time.fifo_depth).collect();
        assert_eq!(depths, [900, 900, 225, 169, 169, 36, 16, 16, 4, 1, 1, 1, 1]);
    }

    #[test]
    fn layers_behind_the_slowest_work_on_its_last_packet() {
        // 81 pixels three cycles each and a pipeline of 2; then a cycle for the ReLU, four for the dense layer, and one
        // and a pipeline of 2, of which one is that cycle, for the last.
        let layers = [
            (LayerShape::Conv2d { pixels_in: 81, pixels_out: 16, n_in: 9, n_out: 8 }, 81, 3),
            (LayerShape::Elementwise { pixels: 16 }, 16, 1),
            (LayerShape::Dense { n_in: 128, n_out: 16 }, 16, 4),
            (LayerShape::Elementwise { pixels: 1 }, 1, 1),
        ];
        let layers = layers.map(|(shape, packets_in, reuse)| layer(shape, packets_in, reuse));
        let timing = stream_timing(&layers, &in_a_row(layers.len()), Clock::new(40.0).unwrap()).unwrap();
        assert_eq!(timing.layers.iter().map(|time| time.latency_cycles).collect::<Vec<_>>(), [245, 18, 20, 3]);
        assert_eq!((timing.latency_cycles, timing.interval_cycles), (245 + 1 + 4 + 2, 246));
    }

    #[test]
    fn slower_clocks_settle_more_levels() {
        let cycles = |mhz: f64, terms| Clock::new(mhz).unwrap().tree_cycles(terms);
        assert_eq!([1, 2, 8, 9, 64, 65].map(|terms| cycles(200.0, terms)), [1, 1, 1, 2, 2, 3]);
        assert_eq!([cycles(40.0, 512), cycles(1000.0, 512), cycles(100.0, 512)], [1, 9, 2]);
        for mhz in [0.0, -40.0, f64::NAN, f64::INFINITY] {
            assert!(Clock::new(mhz).unwrap_err().to_string().contains("does not tick"));
        }
        assert_eq!(stream_timing(&[], &[], Clock::new(40.0).unwrap()), Err(ScheduleError::NoLayers));
    }
}
