//! Networks of known shape, all weights zero, for the tests of this layer and of those above: the three ECON-T encoders, and
//! a single small layer.

use std::num::NonZeroU64;

use super::schedule::{Io, Schedule, ScheduleOptions};
use crate::net::{Conv2d, Dense, Network, NetworkBuilder, NodeId, Op, Padding2d, WeightTensor, Window2d};
use crate::num::{Overflow, QFormat, Quantizer, Rounding};

/// The schedule of a network, all layers with one reuse factor at 40 MHz.
pub fn scheduled(network: &Network, io: Io, reuse_factor: u64) -> Schedule {
    let reuse_factor = NonZeroU64::new(reuse_factor).unwrap();
    Schedule::new(network, &ScheduleOptions { io, reuse_factor, ..ScheduleOptions::econ_t() }).unwrap()
}

/// `format` as QKeras rounds and clips.
pub fn quantizer(format: &str) -> Quantizer {
    Quantizer { format: format.parse().unwrap(), rounding: Rounding::NearestEven, overflow: Overflow::Saturate }
}

fn zeros(shape: Vec<usize>, width: u8) -> WeightTensor {
    let count = shape.iter().product();
    WeightTensor::new(shape, vec![0; count], QFormat::signed(width, 1).unwrap()).unwrap()
}

/// One dense layer `d` of two inputs, without a bias.
pub fn one_dense(outputs: usize, width: u8) -> Network {
    let mut net = NetworkBuilder::new("n", "x", &[2], quantizer("ap_ufixed<4,1>")).unwrap();
    let op = Op::Dense(Dense { kernel: zeros(vec![2, outputs], width), bias: None });
    net.push("d", op, &[net.input()]).unwrap();
    net.finish().unwrap()
}

/// Adds a dense layer with a bias; flattens what is not flat.
pub fn dense(net: &mut NetworkBuilder, name: &str, input: NodeId, outputs: usize, width: u8) -> NodeId {
    let inputs: usize = net.shape(input).iter().product();
    let flat = net.reshape(&format!("{name}_flat"), input, vec![inputs]).unwrap();
    let op = Dense { kernel: zeros(vec![inputs, outputs], width), bias: Some(zeros(vec![outputs], width)) };
    net.push(name, Op::Dense(op), &[flat]).unwrap()
}

/// Adds a square convolution with `padding="same"`, stride 2 and a bias.
pub fn conv(net: &mut NetworkBuilder, name: &str, input: NodeId, kernel: usize, outputs: usize, width: u8) -> NodeId {
    let [rows, columns, channels] = *net.shape(input) else { panic!("a convolution takes a map") };
    let (kernel, stride) = ([kernel, kernel], [2, 2]);
    let window = Window2d { kernel, stride, padding: Padding2d::same([rows, columns], kernel, stride) };
    let op = Conv2d {
        kernel: zeros(vec![kernel[0], kernel[1], channels, outputs], width),
        bias: Some(zeros(vec![outputs], width)),
        window,
    };
    net.push(name, Op::Conv2d(op), &[input]).unwrap()
}

/// `ReLU` and quantizer in one, as `quantized_relu` is.
fn activation(net: &mut NetworkBuilder, name: &str, input: NodeId, format: &str) -> NodeId {
    net.push(name, Op::Quantize(quantizer(format)), &[input]).unwrap()
}

/// Dense 64x16 and 16x16, 8-bit.
pub fn econ_t_small() -> Network {
    let mut net = NetworkBuilder::new("econ_t_small", "input", &[64], quantizer("ap_fixed<10,2>")).unwrap();
    let input = net.input();
    let first = dense(&mut net, "dense_1", input, 16, 8);
    let relu = activation(&mut net, "relu_1", first, "ap_ufixed<16,3>");
    let second = dense(&mut net, "dense_2", relu, 16, 8);
    activation(&mut net, "relu_2", second, "ap_ufixed<16,3>");
    net.finish().unwrap()
}

/// Convolution 3x3x1x8, stride 2, and dense 128x16, 6-bit.
pub fn econ_t_medium() -> Network {
    let mut net = NetworkBuilder::new("econ_t_medium", "input", &[8, 8, 1], quantizer("ap_fixed<11,4>")).unwrap();
    let input = net.input();
    let first = conv(&mut net, "conv", input, 3, 8, 6);
    let relu = activation(&mut net, "relu", first, "ap_ufixed<12,3>");
    let second = dense(&mut net, "dense", relu, 16, 6);
    activation(&mut net, "latent", second, "ap_ufixed<9,1>");
    net.finish().unwrap()
}

/// Convolution 5x5x1x32, stride 2, 5-bit, and dense 512x16, 7-bit.
pub fn econ_t_large() -> Network {
    let mut net = NetworkBuilder::new("econ_t_large", "input", &[8, 8, 1], quantizer("ap_fixed<10,4>")).unwrap();
    let input = net.input();
    let first = conv(&mut net, "conv", input, 5, 32, 5);
    let relu = activation(&mut net, "relu", first, "ap_ufixed<11,3>");
    let second = dense(&mut net, "dense", relu, 16, 7);
    activation(&mut net, "latent", second, "ap_ufixed<13,3>");
    net.finish().unwrap()
}

/// One dense layer 4x2, 4-bit, without a bias or a quantizer.
pub fn without_bias() -> Network {
    let mut net = NetworkBuilder::new("without_bias", "input", &[4], quantizer("ap_fixed<6,2>")).unwrap();
    let op = Dense { kernel: zeros(vec![4, 2], 4), bias: None };
    net.push("dense", Op::Dense(op), &[net.input()]).unwrap();
    net.finish().unwrap()
}
