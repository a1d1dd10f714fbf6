//! Tests of part counts: by hand, against what the schedule says, and where padding needs nothing.

use proptest::prelude::*;

use super::*;
use crate::hw::test_networks::{
    conv, dense, econ_t_large, econ_t_medium, econ_t_small, quantizer, scheduled, without_bias,
};
use crate::hw::{AreaModel, Technology};
use crate::net::{AveragePool2d, Conv2d, DepthwiseConv2d, NetworkBuilder, Padding2d};

fn all_parts(network: &Network, io: Io, factor: u64) -> Vec<PartCounts> {
    count_parts(network, &scheduled(network, io, factor)).into_iter().map(|layer| layer.counts).collect()
}

/// Parts of the layers with weights.
fn parts(network: &Network, io: Io, factor: u64) -> Vec<PartCounts> {
    all_parts(network, io, factor).into_iter().filter(|parts| parts.register_bits > 0).collect()
}

#[test]
fn parts_of_a_dense_layer_by_hand() {
    // 4 inputs of 6 bits, weights of 4 bits, 2 outputs, no bias: products of 10 bits, sums of 11 and 12.
    let expected = PartCounts {
        register_bits: 32,
        macs: 8,
        multipliers: 8,
        adders: 6,
        adder_bits: 2 * (2 * 11 + 12),
        multiplexer_bits: 0,
        pipeline_bits: 2 * 12,
        buffer_bits: 0,
    };
    assert_eq!(parts(&without_bias(), Io::EconT, 1), [expected]);
    // Sums and results have a register each.
    let in_steps = PartCounts { pipeline_bits: 48, ..expected };
    assert_eq!(parts(&without_bias(), Io::Parallel, 1), [in_steps]);
    // Two products to a multiplier (3 is not legal, 2 is as near as 4): 4 multipliers, 4 choices of 6 + 4 bits.
    let shared = PartCounts { multipliers: 4, adders: 4, adder_bits: 48, multiplexer_bits: 40, ..in_steps };
    assert_eq!(parts(&without_bias(), Io::Parallel, 3), [shared]);
    // One packet of four values comes and one of two goes: a FIFO of one packet instead of the result's register.
    let stream = PartCounts { pipeline_bits: 24, buffer_bits: 24, ..shared };
    assert_eq!(parts(&without_bias(), Io::Stream, 3), [stream]);
}

#[test]
fn parts_of_a_convolution_by_hand() {
    // Input 8x8 of 11 bits, 3x3x1x8 of 6 bits, stride 2, padded below and right: 16 positions, outputs of 8 channels.
    let network = econ_t_medium();
    let accumulator = u64::from(network.node(network.find("conv").unwrap()).signal.width_bits());
    let conv = |io, factor| parts(&network, io, factor)[0];
    // The multipliers of one position, though the last row and column use some of them for padding.
    assert_eq!([1, 3, 9, 18].map(|factor| conv(Io::Parallel, factor).multipliers), [72, 24, 8, 4]);
    assert_eq!(conv(Io::Stream, 9).multipliers, 8);
    // Each of nine taps chooses among 16 positions, of which four or seven may be one and the same zero.
    let choices = 4 * 15 + 4 * 12 + 9;
    assert_eq!(conv(Io::Parallel, 1).multiplexer_bits, choices * 11);
    assert_eq!(conv(Io::Stream, 1).multiplexer_bits, 0);
    let shared = 64 * (6 + 11) + 8 * accumulator;
    assert_eq!(conv(Io::Parallel, 9).multiplexer_bits, choices * 11 + shared);
    assert_eq!(conv(Io::Stream, 9).multiplexer_bits, shared);
    // Sums of a step, and the results of a frame behind the stage.
    assert_eq!(conv(Io::Parallel, 1).pipeline_bits, (8 + 128) * accumulator);
}

#[test]
fn buffers_of_a_streaming_network_by_hand() {
    let network = econ_t_medium();
    let width = |name: &str| u64::from(network.node(network.find(name).unwrap()).signal.width_bits());
    let buffers: Vec<u64> = all_parts(&network, Io::Stream, 1).into_iter().map(|parts| parts.buffer_bits).collect();
    // Zeros make 9x9 pixels of the 8x8, held in a FIFO; two rows of nine and a window of 3x3; 16 packets of 8 sums.
    let conv = (81 + 2 * 9 + 9) * 11 + 16 * 8 * width("conv");
    // 16 packets of 8 activations; the dense layer collects them all, and gives one packet of 16 sums.
    let expected = [0, conv, 16 * 8 * 12, 0, 128 * 12 + 16 * width("dense"), 16 * 9];
    assert_eq!(buffers, expected);
    let pipeline: Vec<u64> = all_parts(&network, Io::Stream, 1).into_iter().map(|parts| parts.pipeline_bits).collect();
    assert_eq!(pipeline, [11, 8 * width("conv"), 0, 0, 16 * width("dense"), 0]);
    // A quantizer works on one packet at a time.
    let values: Vec<u64> = count_parts(&network, &scheduled(&network, Io::Stream, 1))
        .iter()
        .map(|layer| layer.elementwise_values)
        .collect();
    assert_eq!(values[2], 8);
    assert!(all_parts(&network, Io::Parallel, 4).iter().all(|parts| parts.buffer_bits == 0));
}

#[test]
fn products_with_padding_are_not_counted() {
    // 3x3 over 8x8, stride 2, "same": the odd padding lies below and right, so the last row and column see 2 of 3.
    let taps = 16 * 9 - 4 * 3 - 4 * 3 + 1;
    let [medium, large] = [econ_t_medium(), econ_t_large()].map(|network| parts(&network, Io::EconT, 1));
    assert_eq!((medium[0].macs, medium[1].macs), (taps * 8, 2_048));
    // 5x5 over 8x8, stride 2, "same": one above and left, two below and right: rows see 4, 5, 5, 3 of 5.
    assert_eq!(large[0].macs, 17 * 17 * 32);
    assert_eq!(parts(&econ_t_small(), Io::EconT, 1).iter().map(|parts| parts.macs).sum::<u64>(), 1_024 + 256);
}

#[test]
fn padding_of_its_own_counts_as_padding_of_the_window() {
    let build = |explicit: bool| {
        let mut net = NetworkBuilder::new("padded", "input", &[4, 4, 2], quantizer("ap_fixed<6,2>")).unwrap();
        let padding = Padding2d { top: 1, bottom: 2, left: 0, right: 1 };
        let (source, padding) = if explicit {
            let padded = net.push("pad", Op::ZeroPad2d(padding), &[net.input()]).unwrap();
            let relu = net.push("relu", Op::Quantize(quantizer("ap_ufixed<6,2>")), &[padded]).unwrap();
            (relu, Padding2d::default())
        } else {
            (net.push("relu", Op::Quantize(quantizer("ap_ufixed<6,2>")), &[net.input()]).unwrap(), padding)
        };
        let format = QFormat::signed(4, 1).unwrap();
        let kernel = WeightTensor::new(vec![3, 2, 2, 3], vec![1; 36], format).unwrap();
        let window = Window2d { kernel: [3, 2], stride: [1, 1], padding };
        net.push("conv", Op::Conv2d(Conv2d { kernel, bias: None, window }), &[source]).unwrap();
        net.finish().unwrap()
    };
    for (io, factor) in [(Io::EconT, 1), (Io::Parallel, 1), (Io::Parallel, 4)] {
        assert_eq!(parts(&build(true), io, factor), parts(&build(false), io, factor));
    }
    let area = |explicit| {
        let network = build(explicit);
        let technology = Technology::shipped("osu018").unwrap();
        AreaModel::new(&network, &technology, &scheduled(&network, Io::EconT, 1)).report(&[]).unwrap().area
    };
    assert_eq!(area(true), area(false));
}

#[test]
fn trees_add_all_operands_and_grow_to_the_accumulator() {
    for operands in 1..200 {
        assert_eq!(AdderTree::new(operands, 8, 63).adders, operands - 1);
    }
    assert_eq!(AdderTree::new(0, 8, 63).bits, 0);
    // 9 operands: 4 adders of 9 bits, 2 of 10, 1 of 11, 1 of 12.
    assert_eq!(AdderTree::new(9, 8, 63).bits, 4 * 9 + 2 * 10 + 11 + 12);
    assert_eq!(AdderTree::new(9, 8, 10).bits, 4 * 9 + 2 * 10 + 10 + 10);
}

#[test]
fn registers_stand_where_layers_meet() {
    let bits = |io| all_parts(&econ_t_medium(), io, 1).into_iter().map(|parts| parts.pipeline_bits).collect::<Vec<_>>();
    // Input of 64 x 11 bits, activations of 128 x 12 bits, outputs of 16 x 9 bits.
    assert_eq!(bits(Io::EconT), [704, 0, 1_536, 0, 0, 144]);
    let parallel = bits(Io::Parallel);
    assert_eq!([parallel[0], parallel[2], parallel[3], parallel[5]], [704, 1_536, 0, 144]);
}

/// One operation on a map of 4x4 pixels of 2 channels of 6 bits with a sign.
fn on_a_map(op: Op) -> Network {
    let mut net = NetworkBuilder::new("map", "input", &[4, 4, 2], quantizer("ap_fixed<6,2>")).unwrap();
    let last = net.push("last", op, &[net.input()]).unwrap();
    dense(&mut net, "dense", last, 1, 4);
    net.finish().unwrap()
}

fn slide(kernel: usize, stride: usize) -> Window2d {
    Window2d { kernel: [kernel; 2], stride: [stride; 2], padding: Padding2d::default() }
}

fn single_channels(kernel: usize) -> Op {
    let format = QFormat::signed(4, 1).unwrap();
    let kernel_values = WeightTensor::new(vec![kernel, kernel, 2], vec![1; kernel * kernel * 2], format).unwrap();
    Op::DepthwiseConv2d(DepthwiseConv2d { kernel: kernel_values, bias: None, window: slide(kernel, 1) })
}

#[test]
fn parts_of_pooling_by_hand() {
    let of = |op: Op, io| all_parts(&on_a_map(op), io, 1)[1];
    // Windows of 2x2: three comparisons of 6 bits, and as many choices. Four windows of two channels at once; or one, its
    // line buffer of 4 pixels and window of 4, and a FIFO of four packets.
    let max = of(Op::MaxPool2d(slide(2, 2)), Io::Parallel);
    assert_eq!((max.adders, max.adder_bits, max.multiplexer_bits), (8 * 3, 8 * 3 * 6, 8 * 3 * 6));
    assert_eq!((max.multipliers, max.pipeline_bits, max.buffer_bits), (0, 8 * 6, 0));
    let max = of(Op::MaxPool2d(slide(2, 2)), Io::Stream);
    assert_eq!((max.adders, max.adder_bits, max.multiplexer_bits), (2 * 3, 2 * 3 * 6, 2 * 3 * 6));
    assert_eq!(max.buffer_bits, (4 + 4) * 2 * 6 + 4 * 2 * 6);
    // A mean of 3x3: a tree of nine values (4 x 7, 2 x 8, 9 and 10 bits), and 2^4 / 9, rounded 2, which is a wire.
    let mean = |kernel, stride, io| {
        of(Op::AveragePool2d(AveragePool2d { window: slide(kernel, stride), reciprocal_bits: 4 }), io)
    };
    let nine = mean(3, 3, Io::Parallel);
    assert_eq!((nine.adders, nine.adder_bits), (2 * 8, 2 * (4 * 7 + 2 * 8 + 9 + 10)));
    // Pixel by pixel over the whole map: one adder per channel to a sum of 10 bits that is kept; 2^4 / 16 is a wire.
    let whole = mean(4, 1, Io::Stream);
    assert_eq!((whole.adders, whole.adder_bits, whole.multiplexer_bits), (2, 2 * 10, 0));
    // Behind it one packet of 11 bits a channel.
    assert_eq!((whole.pipeline_bits, whole.buffer_bits), (2 * 10, 2 * 11));
}

#[test]
fn parts_of_single_channels_by_hand() {
    // Windows of 2x2: nine positions of two channels, four products each of 6 by 4 bits, sums of 11 and 12 bits.
    let of = |kernel, io, factor| all_parts(&on_a_map(single_channels(kernel)), io, factor)[1];
    let stream = of(2, Io::Stream, 1);
    assert_eq!((stream.register_bits, stream.macs, stream.multipliers), (8 * 4, 9 * 8, 8));
    assert_eq!((stream.adders, stream.adder_bits), (2 * 3, 2 * (2 * 11 + 12)));
    // Two products to a multiplier: a choice of 10 bits for each second one, and accumulators.
    let shared = of(2, Io::Stream, 2);
    assert_eq!((shared.multipliers, shared.adders, shared.multiplexer_bits), (4, 4, 4 * 10));
    assert_eq!(shared.pipeline_bits, 2 * 12);
    // A scale of every value: a packet at a time, or all sixteen pixels at once.
    assert_eq!([Io::Stream, Io::Parallel].map(|io| of(1, io, 1).multipliers), [2, 32]);
    assert_eq!([Io::Stream, Io::Parallel].map(|io| of(1, io, 2).multipliers), [1, 16]);
    assert_eq!(of(1, Io::Stream, 1).adders, 0);
}

#[test]
fn parts_of_branches_by_hand() {
    let mut net = NetworkBuilder::new("branches", "input", &[4, 4, 2], quantizer("ap_fixed<6,2>")).unwrap();
    let input = net.input();
    let leaky = net.push("leaky", Op::LeakyRelu { shift: 2 }, &[input]).unwrap();
    let sum = net.push("sum", Op::Add, &[leaky, input]).unwrap();
    let clip = net.push("clip", Op::Clip { low: -16, high: 1_000 }, &[sum]).unwrap();
    dense(&mut net, "dense", clip, 1, 4);
    let network = net.finish().unwrap();
    let [parallel, stream] = [Io::Parallel, Io::Stream].map(|io| all_parts(&network, io, 1));
    // Up to 31 * 4 and down to -32: 8 bits; with the input, moved to the same point, from -160 to 248: 9 bits.
    let width = |name: &str| network.node(network.find(name).unwrap()).signal.width_bits();
    assert_eq!(["leaky", "sum", "clip"].map(width), [8, 9, 9]);
    for (parts, values) in [(parallel, 32), (stream.clone(), 2)] {
        assert_eq!((parts[1].adders, parts[1].multiplexer_bits), (0, values * 8));
        assert_eq!((parts[2].adders, parts[2].adder_bits), (values, values * 9));
        // Nothing is above the upper end.
        assert_eq!((parts[3].adders, parts[3].adder_bits, parts[3].multiplexer_bits), (values, values * 9, values * 9));
    }
    // Copies of the input: a FIFO of a frame to each reader; then a frame of 8-bit and one of 9-bit values.
    let buffers: Vec<u64> = stream.iter().map(|parts| parts.buffer_bits).collect();
    assert_eq!(buffers[..3], [2 * 16 * 2 * 6, 32 * 8, 32 * 9]);
}

proptest! {
    #[test]
    fn multipliers_follow_the_schedule(
        rows in 1_usize..7,
        outputs in 1_usize..5,
        width in 2_u8..8,
        factor in 1_u64..50,
        io in prop::sample::select(vec![Io::Parallel, Io::Stream]),
    ) {
        let mut net = NetworkBuilder::new("random", "input", &[rows, rows, 1], quantizer("ap_fixed<6,2>")).unwrap();
        let input = net.input();
        let first = conv(&mut net, "conv", input, 3, outputs, width);
        let relu = net.push("relu", Op::Relu, &[first]).unwrap();
        let narrow = net.push("narrow", Op::Quantize(quantizer("ap_ufixed<6,2>")), &[relu]).unwrap();
        dense(&mut net, "dense", narrow, 3, width);
        let network = net.finish().unwrap();
        let schedule = scheduled(&network, io, factor);
        let (unrolled, shared) = (parts(&network, Io::EconT, 1), parts(&network, io, factor));
        for (name, (unrolled, shared)) in ["conv", "dense"].into_iter().zip(unrolled.iter().zip(&shared)) {
            let stage = schedule.stages.iter().find(|stage| stage.name == name).unwrap();
            prop_assert_eq!(unrolled.macs, shared.macs);
            prop_assert_eq!(unrolled.multipliers, unrolled.macs);
            prop_assert_eq!(unrolled.register_bits, shared.register_bits);
            // In so many cycles they can form all products, and with one output position of them less they could not.
            let cycles = stage.partitions * stage.reuse_factor.get();
            prop_assert!(shared.multipliers * cycles >= shared.macs);
            let node = network.node(network.find(name).unwrap());
            let outputs = cast::u64_from_len(*node.shape.last().unwrap());
            prop_assert!(shared.multipliers <= cast::u64_from_len(node.fan_in()) * outputs / stage.reuse_factor.get());
        }
    }
}
