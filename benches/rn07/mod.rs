//! A network of the shape of the CIFAR-10 CNN of `MLPerf` Tiny v0.7 as hls4ml builds it ("RN07"), with random weights: five
//! convolutions over 32x32 pixels and a dense layer, 57,440 weights of 8 bits.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trivote::net::{Conv2d, Dense, Network, NetworkBuilder, NodeId, Op, Padding2d, WeightTensor, Window2d};
use trivote::num::{Overflow, QFormat, Quantizer, Rounding};

/// Kernel rows and columns, outputs, and stride of the convolutions, all with `padding="same"`.
const CONVOLUTIONS: [(usize, usize, usize); 5] = [(1, 32, 1), (4, 4, 1), (4, 32, 1), (4, 32, 4), (4, 32, 1)];

/// The network; its layers are `conv_0` to `conv_4` and `dense`, with `relu_0` to `relu_4` between them.
pub fn network(seed: u64) -> Network {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let format = QFormat::signed(8, 0).expect("8 bits");
    let mut tensor = |shape: Vec<usize>| {
        let raw = (0..shape.iter().product::<usize>()).map(|_| format.from_bits(rng.next_u64())).collect();
        WeightTensor::new(shape, raw, format).expect("the values fit")
    };
    let quantizer = |int_bits| Quantizer {
        format: QFormat::unsigned(8, int_bits).expect("8 bits"),
        rounding: Rounding::NearestEven,
        overflow: Overflow::Saturate,
    };
    let mut net = NetworkBuilder::new("rn07", "input", &[32, 32, 3], quantizer(0)).expect("a map");
    let mut last: NodeId = net.input();
    for (number, (kernel, outputs, stride)) in CONVOLUTIONS.into_iter().enumerate() {
        let [rows, columns, channels] = *net.shape(last) else { unreachable!("convolutions give maps") };
        let (kernel, stride) = ([kernel; 2], [stride; 2]);
        let window = Window2d { kernel, stride, padding: Padding2d::same([rows, columns], kernel, stride) };
        let bias = Some(tensor(vec![outputs]));
        let kernel = tensor(vec![kernel[0], kernel[1], channels, outputs]);
        let conv = Op::Conv2d(Conv2d { kernel, bias, window });
        let conv = net.push(&format!("conv_{number}"), conv, &[last]).expect("it fits");
        last = net.push(&format!("relu_{number}"), Op::Quantize(quantizer(2)), &[conv]).expect("it fits");
    }
    let len = net.shape(last).iter().product();
    let flat = net.reshape("flat", last, vec![len]).expect("as many values");
    let dense = Dense { kernel: tensor(vec![len, 10]), bias: Some(tensor(vec![10])) };
    net.push("dense", Op::Dense(dense), &[flat]).expect("it fits");
    net.finish().expect("it has weights")
}

/// Raw values of an image.
pub fn image(seed: u64) -> Vec<i64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..32 * 32 * 3).map(|_| i64::from(rng.next_u32() % 256)).collect()
}
