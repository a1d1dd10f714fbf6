//! Random networks: layers, widths, strides, formats, rounding and overflow modes, per-channel scales.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trivote::net::{Conv2d, Dense, Network, NetworkBuilder, NodeId, Op, Padding2d, WeightTensor, Window2d};
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
    Dense { outputs: usize, weights: WeightSpec },
    Conv { outputs: usize, kernel: [usize; 2], stride: [usize; 2], same: bool, weights: WeightSpec },
    Quantize(Quantizer),
    Relu,
    Flatten,
    Pad(Padding2d),
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
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut net = NetworkBuilder::new("random", "input", &self.shape, self.input).unwrap();
        let mut last = net.input();
        let mut weighted = false;
        for (i, layer) in self.layers.iter().enumerate() {
            let name = format!("layer_{i}");
            last = match layer {
                LayerSpec::Quantize(quantizer) => net.push(&name, Op::Quantize(*quantizer), &[last]).unwrap(),
                LayerSpec::Relu => net.push(&name, Op::Relu, &[last]).unwrap(),
                LayerSpec::Flatten => flatten(&mut net, &name, last),
                LayerSpec::Pad(padding) if net.shape(last).len() == 3 => {
                    net.push(&name, Op::ZeroPad2d(*padding), &[last]).unwrap()
                }
                LayerSpec::Pad(_) => last,
                LayerSpec::Dense { outputs, weights } => {
                    weighted = true;
                    dense(&mut net, &name, last, *outputs, weights, &mut rng)
                }
                LayerSpec::Conv { outputs, kernel, stride, same, weights } => {
                    weighted = true;
                    if let [rows, columns, channels] = *net.shape(last) {
                        let kernel = if *same { *kernel } else { [kernel[0].min(rows), kernel[1].min(columns)] };
                        let padding = if *same {
                            Padding2d::same([rows, columns], kernel, *stride)
                        } else {
                            Padding2d::default()
                        };
                        let shape = vec![kernel[0], kernel[1], channels, *outputs];
                        let (kernel_tensor, bias) = weights.tensors(shape, &mut rng);
                        let window = Window2d { kernel, stride: *stride, padding };
                        let op = Op::Conv2d(Conv2d { kernel: kernel_tensor, bias, window });
                        push_narrowed(&mut net, &name, &op, last)
                    } else {
                        dense(&mut net, &name, last, *outputs, weights, &mut rng)
                    }
                }
            };
        }
        if !weighted {
            let plain = WeightSpec { width: 4, int_bits: 1, signed: true, bias: None, scaled: false };
            dense(&mut net, "last", last, 2, &plain, &mut rng);
        }
        net.finish().unwrap()
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

fn flatten(net: &mut NetworkBuilder, name: &str, input: NodeId) -> NodeId {
    let len = net.shape(input).iter().product();
    if net.shape(input).len() == 1 { input } else { net.reshape(name, input, vec![len]).unwrap() }
}

fn dense(
    net: &mut NetworkBuilder,
    name: &str,
    input: NodeId,
    outputs: usize,
    weights: &WeightSpec,
    rng: &mut ChaCha8Rng,
) -> NodeId {
    let flat = flatten(net, &format!("{name}_flat"), input);
    let (kernel, bias) = weights.tensors(vec![net.shape(flat)[0], outputs], rng);
    push_narrowed(net, name, &Op::Dense(Dense { kernel, bias }), flat)
}

/// Adds a layer with weights. Without a quantizer between them, layers in a row double the width of their sums: where it
/// gets too large, their input is narrowed first.
fn push_narrowed(net: &mut NetworkBuilder, name: &str, op: &Op, input: NodeId) -> NodeId {
    net.push(name, op.clone(), &[input]).unwrap_or_else(|_| {
        let narrow = Quantizer {
            format: QFormat::signed(8, 4).unwrap(),
            rounding: Rounding::NearestEven,
            overflow: Overflow::Saturate,
        };
        let narrowed = net.push(&format!("{name}_narrow"), Op::Quantize(narrow), &[input]).unwrap();
        net.push(name, op.clone(), &[narrowed]).unwrap()
    })
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
