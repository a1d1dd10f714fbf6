//! Random networks: layers, widths, strides, formats, rounding and overflow modes, per-channel scales; chains of dense
//! layers and convolutions, and convolutional networks with pooling and residual branches.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trivote::net::{
    AveragePool2d, Conv2d, Dense, DepthwiseConv2d, Network, NetworkBuilder, NodeId, Op, Padding2d, WeightTensor,
    Window2d,
};
use trivote::num::{Overflow, QFormat, Quantizer, Rounding};

#[derive(Debug, Clone)]
pub struct WeightSpec {
    width: u8,
    int_bits: i16,
    signed: bool,
    bias: Option<(u8, i16)>,
    scaled: bool,
}

#[derive(Debug, Clone)]
pub enum LayerSpec {
    Dense {
        outputs: usize,
        weights: WeightSpec,
    },
    Conv {
        outputs: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        same: bool,
        weights: WeightSpec,
    },
    Quantize(Quantizer),
    Relu,
    Flatten,
    Pad(Padding2d),
    Depthwise {
        multiplier: usize,
        slide: Slide,
        weights: WeightSpec,
    },
    MaxPool(Slide),
    AveragePool {
        slide: Slide,
        reciprocal_bits: u32,
    },
    GlobalAverage {
        reciprocal_bits: u32,
    },
    LeakyRelu {
        shift: u32,
    },
    /// Where it clips, in quarters of the range of its input.
    Clip {
        low: i64,
        high: i64,
    },
    /// What these layers make of a map, and the map itself, added up.
    Residual(Vec<LayerSpec>),
}

/// How a window slides over a map.
#[derive(Debug, Clone, Copy)]
pub struct Slide {
    kernel: [usize; 2],
    stride: [usize; 2],
    same: bool,
}

impl Slide {
    /// The window, made to fit a map of `[rows, columns, ..]`.
    fn window(&self, map: &[usize]) -> Window2d {
        let map = [map[0], map[1]];
        let kernel = if self.same { self.kernel } else { [self.kernel[0].min(map[0]), self.kernel[1].min(map[1])] };
        let padding = if self.same { Padding2d::same(map, kernel, self.stride) } else { Padding2d::default() };
        Window2d { kernel, stride: self.stride, padding }
    }
}

#[derive(Debug, Clone)]
pub struct NetworkSpec {
    pub shape: Vec<usize>,
    pub input: Quantizer,
    pub layers: Vec<LayerSpec>,
    pub seed: u64,
}

pub fn quantizers() -> impl Strategy<Value = Quantizer> {
    // Mostly formats of real designs; some so wide that no network behind them fits 32-bit words.
    let width = prop_oneof![8 => 1..=12_u8, 1 => 13..=32_u8];
    (width, -3..=8_i16, any::<bool>(), 0..7_usize, 0..4_usize).prop_map(|(width, int_bits, signed, q, o)| Quantizer {
        format: if signed { QFormat::signed(width, int_bits) } else { QFormat::unsigned(width, int_bits) }.unwrap(),
        rounding: Rounding::ALL[q],
        overflow: Overflow::ALL[o],
    })
}

fn weights() -> impl Strategy<Value = WeightSpec> {
    let width = || prop_oneof![12 => 1..=9_u8, 1 => 10..=20_u8];
    (width(), -2..=4_i16, prop::bool::weighted(0.8), prop::option::of((width(), -2..=4_i16)), any::<bool>())
        .prop_map(|(width, int_bits, signed, bias, scaled)| WeightSpec { width, int_bits, signed, bias, scaled })
}

fn layers() -> impl Strategy<Value = LayerSpec> {
    prop_oneof![
        // A vector block holds 16 channels.
        3 => (prop_oneof![6 => 1..=5_usize, 1 => 15..=19_usize], weights()).prop_map(|(outputs, weights)| LayerSpec::Dense { outputs, weights }),
        4 => (1..=4_usize, [1..=3_usize, 1..=3_usize], [1..=2_usize, 1..=3_usize], any::<bool>(), weights()).prop_map(
            |(outputs, kernel, stride, same, weights)| LayerSpec::Conv { outputs, kernel, stride, same, weights }
        ),
        4 => quantizers().prop_map(LayerSpec::Quantize),
        1 => Just(LayerSpec::Relu),
        1 => Just(LayerSpec::Flatten),
        1 => [0..=2_usize, 0..=1_usize, 0..=1_usize, 0..=2_usize]
            .prop_map(|[top, bottom, left, right]| LayerSpec::Pad(Padding2d { top, bottom, left, right })),
    ]
}

fn slides() -> impl Strategy<Value = Slide> {
    ([1..=3_usize, 1..=3_usize], [1..=2_usize, 1..=3_usize], any::<bool>()).prop_map(|(kernel, stride, same)| Slide {
        kernel,
        stride,
        same,
    })
}

/// Layers that leave the rows and columns of a map as they are.
fn level_layers() -> impl Strategy<Value = LayerSpec> {
    let stay = |kernel| Slide { kernel, stride: [1, 1], same: true };
    prop_oneof![
        2 => (1..=3_usize, [1..=3_usize, 1..=3_usize], weights()).prop_map(|(outputs, kernel, weights)| {
            LayerSpec::Conv { outputs, kernel, stride: [1, 1], same: true, weights }
        }),
        1 => ([1..=3_usize, 1..=3_usize], weights())
            .prop_map(move |(kernel, weights)| LayerSpec::Depthwise { multiplier: 1, slide: stay(kernel), weights }),
        1 => [1..=3_usize, 1..=2_usize].prop_map(move |kernel| LayerSpec::MaxPool(stay(kernel))),
        2 => quantizers().prop_map(LayerSpec::Quantize),
        1 => Just(LayerSpec::Relu),
        1 => (1..=3_u32).prop_map(|shift| LayerSpec::LeakyRelu { shift }),
    ]
}

fn cnn_layers() -> impl Strategy<Value = LayerSpec> {
    prop_oneof![
        4 => layers(),
        1 => (1..=2_usize, slides(), weights())
            .prop_map(|(multiplier, slide, weights)| LayerSpec::Depthwise { multiplier, slide, weights }),
        1 => slides().prop_map(LayerSpec::MaxPool),
        1 => (slides(), 2..=8_u32).prop_map(|(slide, reciprocal_bits)| LayerSpec::AveragePool { slide, reciprocal_bits }),
        1 => (2..=8_u32).prop_map(|reciprocal_bits| LayerSpec::GlobalAverage { reciprocal_bits }),
        1 => (1..=3_u32).prop_map(|shift| LayerSpec::LeakyRelu { shift }),
        1 => (0..=2_i64, 2..=4_i64).prop_map(|(low, high)| LayerSpec::Clip { low, high }),
        2 => prop::collection::vec(level_layers(), 0..3).prop_map(LayerSpec::Residual),
    ]
}

/// Convolutional networks with pooling and residual branches.
pub fn cnn_specs() -> impl Strategy<Value = NetworkSpec> {
    let shapes = (1..=6_usize, 1..=6_usize, 1..=3_usize).prop_map(|(r, c, n)| vec![r, c, n]);
    (shapes, quantizers(), prop::collection::vec(cnn_layers(), 2..8), any::<u64>())
        .prop_map(|(shape, input, layers, seed)| NetworkSpec { shape, input, layers, seed })
}

pub fn specs() -> impl Strategy<Value = NetworkSpec> {
    let shapes = prop_oneof![
        (1..=12_usize).prop_map(|n| vec![n]),
        (1..=6_usize, 1..=6_usize, 1..=3_usize).prop_map(|(r, c, n)| vec![r, c, n]),
    ];
    (shapes, quantizers(), prop::collection::vec(layers(), 1..8), any::<u64>())
        .prop_map(|(shape, input, layers, seed)| NetworkSpec { shape, input, layers, seed })
}

impl NetworkSpec {
    /// The network, every layer brought to fit what precedes it; always ends with at least one weighted layer.
    pub fn build(&self) -> Network {
        let net = NetworkBuilder::new("random", "input", &self.shape, self.input).unwrap();
        let last = net.input();
        let mut making = Making { net, last, weighted: false, rng: ChaCha8Rng::seed_from_u64(self.seed) };
        making.layers("layer", &self.layers);
        if !making.weighted {
            let plain = WeightSpec { width: 4, int_bits: 1, signed: true, bias: None, scaled: false };
            making.dense("last", 2, &plain);
        }
        making.net.finish().unwrap()
    }

    /// Raw values for the input register, all in its range.
    pub fn event(&self, stream: u64) -> Vec<i64> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 1);
        rng.set_stream(stream);
        let (low, high) = self.input.range();
        let span = (high - low + 1).cast_unsigned();
        // Real inputs are mostly zeros; so are half of these.
        let value = |rng: &mut ChaCha8Rng| low + (rng.next_u64() % span).cast_signed();
        (0..self.shape.iter().product())
            .map(|_| if rng.next_u32() & 1 == 0 { 0_i64.clamp(low, high) } else { value(&mut rng) })
            .collect()
    }
}

/// A network that is being made.
struct Making {
    net: NetworkBuilder,
    last: NodeId,
    weighted: bool,
    rng: ChaCha8Rng,
}

impl Making {
    fn layers(&mut self, prefix: &str, layers: &[LayerSpec]) {
        for (i, layer) in layers.iter().enumerate() {
            self.layer(&format!("{prefix}_{i}"), layer);
        }
    }

    fn layer(&mut self, name: &str, layer: &LayerSpec) {
        let shape = self.net.shape(self.last).to_vec();
        let is_map = shape.len() == 3;
        match layer {
            LayerSpec::Quantize(quantizer) => self.push(name, &Op::Quantize(*quantizer)),
            LayerSpec::Relu => self.push(name, &Op::Relu),
            LayerSpec::LeakyRelu { shift } => self.push(name, &Op::LeakyRelu { shift: *shift }),
            LayerSpec::Clip { low, high } => self.clip(name, [*low, *high]),
            LayerSpec::Flatten => self.flatten(name),
            LayerSpec::Pad(padding) if is_map => self.push(name, &Op::ZeroPad2d(*padding)),
            LayerSpec::MaxPool(slide) if is_map => self.push(name, &Op::MaxPool2d(slide.window(&shape))),
            LayerSpec::AveragePool { slide, reciprocal_bits } if is_map => {
                let pool = AveragePool2d { window: slide.window(&shape), reciprocal_bits: *reciprocal_bits };
                self.push(name, &Op::AveragePool2d(pool));
            }
            LayerSpec::GlobalAverage { reciprocal_bits } if is_map => {
                let window = Window2d { kernel: [shape[0], shape[1]], stride: [1, 1], padding: Padding2d::default() };
                self.push(name, &Op::AveragePool2d(AveragePool2d { window, reciprocal_bits: *reciprocal_bits }));
                self.flatten(&format!("{name}_flat"));
            }
            LayerSpec::Residual(layers) if is_map => self.residual(name, layers),
            LayerSpec::Depthwise { multiplier, slide, weights } if is_map => {
                self.weighted = true;
                let window = slide.window(&shape);
                let tensor_shape = vec![window.kernel[0], window.kernel[1], shape[2] * multiplier];
                let (kernel, bias) = weights.tensors(tensor_shape, &mut self.rng);
                self.push(name, &Op::DepthwiseConv2d(DepthwiseConv2d { kernel, bias, window }));
            }
            LayerSpec::Conv { outputs, kernel, stride, same, weights } if is_map => {
                self.weighted = true;
                let window = Slide { kernel: *kernel, stride: *stride, same: *same }.window(&shape);
                let shape = vec![window.kernel[0], window.kernel[1], shape[2], *outputs];
                let (kernel, bias) = weights.tensors(shape, &mut self.rng);
                self.push(name, &Op::Conv2d(Conv2d { kernel, bias, window }));
            }
            LayerSpec::Dense { outputs, weights } | LayerSpec::Conv { outputs, weights, .. } => {
                self.dense(name, *outputs, weights);
            }
            // Not for vectors.
            _ => {}
        }
    }

    fn flatten(&mut self, name: &str) {
        let shape = self.net.shape(self.last);
        if shape.len() > 1 {
            let len = shape.iter().product();
            self.last = self.net.reshape(name, self.last, vec![len]).unwrap();
        }
    }

    fn dense(&mut self, name: &str, outputs: usize, weights: &WeightSpec) {
        self.weighted = true;
        self.flatten(&format!("{name}_flat"));
        let (kernel, bias) = weights.tensors(vec![self.net.shape(self.last)[0], outputs], &mut self.rng);
        self.push(name, &Op::Dense(Dense { kernel, bias }));
    }

    /// Clips to so many quarters of 64, which most formats have.
    fn clip(&mut self, name: &str, [low, high]: [i64; 2]) {
        self.push(name, &Op::Clip { low: 16 * (low - 2), high: 16 * (high - 1) });
    }

    /// A branch, and the way past it; behind layers that change the number of channels, past a convolution of 1x1.
    fn residual(&mut self, name: &str, layers: &[LayerSpec]) {
        let start = self.last;
        self.layers(name, layers);
        let branch = self.last;
        let channels = [start, branch].map(|id| self.net.shape(id)[2]);
        self.last = start;
        if channels[0] != channels[1] {
            let shape = vec![1, 1, channels[0], channels[1]];
            let plain = WeightSpec { width: 4, int_bits: 1, signed: true, bias: None, scaled: false };
            let (kernel, bias) = plain.tensors(shape, &mut self.rng);
            let window = Window2d { kernel: [1, 1], stride: [1, 1], padding: Padding2d::default() };
            self.push(&format!("{name}_past"), &Op::Conv2d(Conv2d { kernel, bias, window }));
        }
        // Sums of sums grow without a quantizer between them.
        if let Ok(sum) = self.net.push(&format!("{name}_sum"), Op::Add, &[branch, self.last]) {
            self.last = sum;
        }
    }

    /// Adds an operation. Without a quantizer between them, layers in a row double the width of their sums: where it gets
    /// too large, their input is narrowed first.
    fn push(&mut self, name: &str, op: &Op) {
        self.last = self.net.push(name, op.clone(), &[self.last]).unwrap_or_else(|_| {
            let narrow = Quantizer {
                format: QFormat::signed(8, 4).unwrap(),
                rounding: Rounding::NearestEven,
                overflow: Overflow::Saturate,
            };
            let narrowed = self.net.push(&format!("{name}_narrow"), Op::Quantize(narrow), &[self.last]).unwrap();
            self.net.push(name, op.clone(), &[narrowed]).unwrap()
        });
    }
}

impl WeightSpec {
    fn tensors(&self, shape: Vec<usize>, rng: &mut ChaCha8Rng) -> (WeightTensor, Option<WeightTensor>) {
        let channels = *shape.last().unwrap();
        let make = if self.signed { QFormat::signed } else { QFormat::unsigned };
        let kernel = random_tensor(shape, make(self.width, self.int_bits).unwrap(), self.scaled, rng);
        let bias = self.bias.map(|(width, int_bits)| {
            random_tensor(vec![channels], QFormat::signed(width, int_bits).unwrap(), false, rng)
        });
        (kernel, bias)
    }
}

fn random_tensor(shape: Vec<usize>, format: QFormat, scaled: bool, rng: &mut ChaCha8Rng) -> WeightTensor {
    let raw = (0..shape.iter().product::<usize>()).map(|_| format.from_bits(rng.next_u64())).collect();
    let shifts =
        (0..*shape.last().unwrap()).map(|_| if scaled { (rng.next_u32() % 5).cast_signed() - 2 } else { 0 }).collect();
    WeightTensor::with_channel_shift(shape, raw, format, shifts).unwrap()
}
