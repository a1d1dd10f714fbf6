//! Tests of whole schedules: the ECON-T, published reports of hls4ml designs, and what does not go together.

use super::*;
use crate::hw::test_networks::{econ_t_medium, econ_t_small, quantizer};
use crate::net::{AveragePool2d, Conv2d, Dense, DepthwiseConv2d, NetworkBuilder, WeightTensor, Window2d};
use crate::num::QFormat;

fn factor(factor: u64) -> NonZeroU64 {
    NonZeroU64::new(factor).unwrap()
}

fn options(io: Io, reuse: u64, strategy: Strategy) -> ScheduleOptions {
    ScheduleOptions { io, reuse_factor: factor(reuse), strategy, ..ScheduleOptions::econ_t() }
}

fn ones(shape: Vec<usize>) -> WeightTensor {
    let count = shape.iter().product();
    WeightTensor::new(shape, vec![1; count], QFormat::signed(4, 1).unwrap()).unwrap()
}

/// Dense layers in a row, a `ReLU` between each two.
fn dense_layers(widths: &[usize]) -> Network {
    let mut net = NetworkBuilder::new("dense", "input", &[widths[0]], quantizer("ap_fixed<6,2>")).unwrap();
    let mut last = net.input();
    for (index, pair) in widths.windows(2).enumerate() {
        if index > 0 {
            last = net.push(&format!("relu_{index}"), Op::Relu, &[last]).unwrap();
        }
        let op = Dense { kernel: ones(pair.to_vec()), bias: None };
        last = net.push(&format!("dense_{index}"), Op::Dense(op), &[last]).unwrap();
    }
    net.finish().unwrap()
}

/// A convolution over a square map without padding, and a `ReLU`.
fn convolution(side: usize, channels: usize, kernel: usize, stride: usize, filters: usize) -> Network {
    let mut net = NetworkBuilder::new("conv", "input", &[side, side, channels], quantizer("ap_fixed<6,2>")).unwrap();
    let window = Window2d { kernel: [kernel; 2], stride: [stride; 2], padding: Padding2d::default() };
    let op = Conv2d { kernel: ones(vec![kernel, kernel, channels, filters]), bias: None, window };
    let conv = net.push("conv", Op::Conv2d(op), &[net.input()]).unwrap();
    net.push("relu", Op::Relu, &[conv]).unwrap();
    net.finish().unwrap()
}

#[test]
fn the_econ_t_answers_in_two_cycles_and_takes_a_frame_in_each() {
    for network in [econ_t_small(), econ_t_medium()] {
        let schedule = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
        let cycles = (schedule.latency_cycles, schedule.interval_cycles, schedule.machine_latency_cycles(&network));
        assert_eq!(cycles, (2, 1, 2));
        assert!((schedule.clock.period_s() * 2.0 - 50e-9).abs() < 1e-15);
    }
}

#[test]
fn a_parallel_design_hands_frames_from_layer_to_layer() {
    let network = econ_t_medium();
    for (reuse, strategy) in [(1, Strategy::Latency), (4, Strategy::Resource), (9, Strategy::Resource)] {
        let schedule = Schedule::new(&network, &options(Io::Parallel, reuse, strategy)).unwrap();
        assert_eq!(schedule.machine_latency_cycles(&network), schedule.latency_cycles);
    }
}

#[test]
fn zeros_of_a_layer_of_its_own_come_with_the_frame() {
    let mut net = NetworkBuilder::new("padded", "input", &[4, 4, 1], quantizer("ap_fixed<6,2>")).unwrap();
    let padding = Padding2d { top: 1, bottom: 1, left: 1, right: 1 };
    let pad = net.push("pad", Op::ZeroPad2d(padding), &[net.input()]).unwrap();
    let window = Window2d { kernel: [3, 3], stride: [1, 1], padding: Padding2d::default() };
    net.push("conv", Op::Conv2d(Conv2d { kernel: ones(vec![3, 3, 1, 2]), bias: None, window }), &[pad]).unwrap();
    let network = net.finish().unwrap();
    let parallel = Schedule::new(&network, &options(Io::Parallel, 1, Strategy::Latency)).unwrap();
    // A cycle for the zeros, one for each of sixteen positions, one for the adder tree.
    assert_eq!((parallel.latency_cycles, parallel.machine_latency_cycles(&network)), (18, 18));
    let stream = Schedule::new(&network, &options(Io::Stream, 1, Strategy::Latency)).unwrap();
    assert_eq!(stream.stages.iter().map(|stage| stage.packets_out).collect::<Vec<_>>(), [36, 16]);
}

/// Latencies in `jdweitz/wa-hls4ml`, `data/concatenated_3layer_json_to_csv.csv` (Vitis 2023.2, 5 ns): widths, reuse
/// factor asked for, best and worst. The interval is the best latency in every row of the table.
const DENSE: [([usize; 4], u64, [u64; 2]); 10] = [
    ([104, 48, 104, 104], 1024, [2917, 2920]),
    ([104, 48, 104, 104], 2047, [6869, 6872]),
    ([104, 48, 104, 104], 4093, [15397, 15400]),
    ([104, 48, 104, 120], 2047, [6245, 6248]),
    ([104, 48, 104, 72], 1024, [3021, 3024]),
    ([104, 48, 112, 120], 2047, [6597, 6600]),
    ([24, 104, 96, 112], 1024, [2853, 2856]),
    ([24, 104, 96, 48], 4093, [10437, 10440]),
    ([24, 104, 96, 88], 4093, [10053, 10056]),
    ([24, 112, 8, 24], 1024, [2437, 2440]),
];

#[test]
fn published_latencies_of_dense_networks() {
    for (widths, asked, expected) in DENSE {
        let network = dense_layers(&widths);
        let wish =
            ScheduleOptions { clock: Clock::new(200.0).unwrap(), ..options(Io::Parallel, asked, Strategy::Resource) };
        let schedule = Schedule::new(&network, &wish).unwrap();
        let latencies = [schedule.latency_cycles, schedule.worst_latency_cycles];
        assert_eq!(latencies, expected, "{widths:?} {asked}");
        assert_eq!(schedule.interval_cycles, expected[0], "{widths:?} {asked}");
    }
}

#[test]
fn a_convolution_in_partitions() {
    // 28x28x3, 4x4 stride 4, 32 filters: 7 x 7 positions, one per cycle (Vivado; Vitis adds four).
    let network = convolution(28, 3, 4, 4, 32);
    let interval = |reuse| {
        let schedule = Schedule::new(&network, &options(Io::Parallel, reuse, Strategy::Resource)).unwrap();
        assert_eq!(schedule.stages[0].partitions, 49);
        schedule.interval_cycles
    };
    assert_eq!((interval(1), interval(8)), (49, 392));
}

/// `fastmachinelearning/hls4ml-tutorial`, pruned streaming CNN on 32x32x3 (Vivado 2020.1, 5 ns, reuse 1): its
/// convolutions with their `ReLU`s, and its dense layers. The test of `timing` has the whole network with its pooling.
#[test]
fn published_latencies_of_a_streaming_network() {
    let stream = |network: &Network| {
        let wish = ScheduleOptions { clock: Clock::new(200.0).unwrap(), ..options(Io::Stream, 1, Strategy::Latency) };
        let schedule = Schedule::new(network, &wish).unwrap();
        let numbers = |(number, stage): (usize, &Stage)| {
            (stage.packets_in, stage.latency_cycles, schedule.depths_behind(number)[0])
        };
        let stages = schedule.stages.iter().enumerate();
        stages.filter(|(_, stage)| !stage.name.starts_with("relu_")).map(numbers).collect::<Vec<_>>()
    };
    assert_eq!(stream(&convolution(32, 3, 3, 1, 16)), [(1_024, 1_027, 900), (900, 902, 900)]);
    assert_eq!(stream(&convolution(15, 16, 3, 1, 16)), [(225, 229, 169), (169, 171, 169)]);
    assert_eq!(stream(&convolution(6, 16, 3, 1, 24)), [(36, 40, 16), (16, 18, 16)]);

    let mut net = NetworkBuilder::new("dense", "input", &[2, 2, 24], quantizer("ap_fixed<6,2>")).unwrap();
    let mut last = net.reshape("flat", net.input(), vec![96]).unwrap();
    for (index, pair) in [96, 42, 64, 10].windows(2).enumerate() {
        let op = Dense { kernel: ones(pair.to_vec()), bias: None };
        last = net.push(&format!("dense_{index}"), Op::Dense(op), &[last]).unwrap();
    }
    // The report has 2 cycles for the last one; see docs/schedule.md.
    assert_eq!(stream(&net.finish().unwrap()), [(4, 7, 1), (1, 3, 1), (1, 3, 1)]);
}

#[test]
fn fifos_are_no_deeper_than_asked() {
    let network = econ_t_medium();
    let wish = ScheduleOptions { fifo_depth: Some(factor(5)), ..options(Io::Stream, 1, Strategy::Latency) };
    let schedule = Schedule::new(&network, &wish).unwrap();
    let depths: Vec<u64> = (0..schedule.stages.len()).flat_map(|stage| schedule.depths_behind(stage)).collect();
    assert_eq!(depths, [5, 5, 5, 1, 1]);
}

#[test]
fn layers_have_wishes_of_their_own() {
    let network = econ_t_medium();
    let own = LayerOptions { reuse_factor: Some(factor(7)), strategy: Some(Strategy::Resource) };
    let wish =
        ScheduleOptions { layers: vec![("conv".to_owned(), own)], ..options(Io::Parallel, 2, Strategy::Latency) };
    let schedule = Schedule::new(&network, &wish).unwrap();
    let of = |name: &str| {
        let stage = schedule.stages.iter().find(|stage| stage.name == name).unwrap();
        (stage.asked_reuse.get(), stage.reuse_factor.get(), stage.strategy, stage.is_legalized())
    };
    // Nine products per output of eight channels: 1, 3, 9, 18, 36 and 72 are legal.
    assert_eq!(of("conv"), (7, 9, Strategy::Resource, true));
    assert_eq!(of("dense"), (2, 2, Strategy::Latency, false));
}

#[test]
fn what_does_not_go_together() {
    let network = econ_t_medium();
    let error = |options: &ScheduleOptions| Schedule::new(&network, options).unwrap_err().to_string();
    let text = error(&options(Io::EconT, 2, Strategy::Latency));
    assert!(
        text.contains("`conv`") && text.contains("reuse factor 2") && text.contains("parallel or stream"),
        "{text}"
    );
    for layer in ["relu", "conf"] {
        let layers = vec![(layer.to_owned(), LayerOptions::default())];
        let text = error(&ScheduleOptions { layers, ..ScheduleOptions::econ_t() });
        assert!(text.contains(layer) && text.contains("conv, dense"), "{text}");
    }
    assert!("serial".parse::<Io>().unwrap_err().to_string().contains("econ_t, parallel or stream"));
    assert!("area".parse::<Strategy>().unwrap_err().to_string().contains("latency or resource"));
    for io in Io::ALL {
        assert_eq!(io.to_string().parse(), Ok(io));
    }
    for strategy in Strategy::ALL {
        assert_eq!(strategy.to_string().parse(), Ok(strategy));
    }
}

/// A convolution with `padding="same"`.
fn same_conv(net: &mut NetworkBuilder, name: &str, input: NodeId, [kernel, outputs, stride]: [usize; 3]) -> NodeId {
    let [rows, columns, channels] = *net.shape(input) else { panic!("a convolution takes a map") };
    let (kernel, stride) = ([kernel; 2], [stride; 2]);
    let window = Window2d { kernel, stride, padding: Padding2d::same([rows, columns], kernel, stride) };
    let kernel = ones(vec![kernel[0], kernel[1], channels, outputs]);
    net.push(name, Op::Conv2d(Conv2d { kernel, bias: None, window }), &[input]).unwrap()
}

/// The CIFAR-10 CNN of `MLPerf` Tiny v0.7 as hls4ml builds it.
fn rn07() -> Network {
    let mut net = NetworkBuilder::new("rn07", "input", &[32, 32, 3], quantizer("ap_ufixed<8,0>")).unwrap();
    let mut last = net.input();
    let layers = [[1, 32, 1], [4, 4, 1], [4, 32, 1], [4, 32, 4], [4, 32, 1]];
    for (number, layer) in layers.into_iter().enumerate() {
        last = same_conv(&mut net, &format!("conv_{number}"), last, layer);
        let relu = Op::Quantize(quantizer("ap_ufixed<8,2>"));
        last = net.push(&format!("relu_{number}"), relu, &[last]).unwrap();
    }
    let flat = net.reshape("flat", last, vec![2048]).unwrap();
    let dense = Dense { kernel: ones(vec![2048, 10]), bias: None };
    net.push("dense", Op::Dense(dense), &[flat]).unwrap();
    net.finish().unwrap()
}

/// The rules of `docs/schedule.md` by hand, at 100 MHz (six levels a cycle), with reuse factor 1.
#[test]
fn a_large_network_by_the_rules() {
    let network = rn07();
    let wish = ScheduleOptions { clock: Clock::new(100.0).unwrap(), ..options(Io::Stream, 1, Strategy::Latency) };
    let schedule = Schedule::new(&network, &wish).unwrap();
    let cycles: Vec<(&str, u64)> =
        schedule.stages.iter().map(|stage| (stage.name.as_str(), stage.latency_cycles)).collect();
    // Packets, and: a convolution the line buffer and ceil(log2(n) / 6) cycles of its tree, anything else but a dense
    // layer 2. Zeros make 35x35 pixels of 32x32, 11x11 of 8x8.
    let expected = [
        ("conv_0", 1024 + 2),
        ("relu_0", 1024 + 2),
        ("conv_1.pad", 1225 + 2),
        ("conv_1", 1225 + 1 + 2),
        ("relu_1", 1024 + 2),
        ("conv_2.pad", 1225 + 2),
        ("conv_2", 1225 + 1 + 1),
        ("relu_2", 1024 + 2),
        ("conv_3", 1024 + 1 + 2),
        ("relu_3", 64 + 2),
        ("conv_4.pad", 121 + 2),
        ("conv_4", 121 + 1 + 2),
        ("relu_4", 64 + 2),
        ("dense", 64 + 2),
    ];
    assert_eq!(cycles, expected);
    // The second convolution is the slowest; ten stages are behind it, and the last one's pipeline is two cycles.
    assert_eq!((schedule.latency_cycles, schedule.interval_cycles), (1228 + 10 + 2 - 1, 1229));
}

/// RN07 of `MLPerf` Tiny v0.7 on a PYNQ-Z2 at 100 MHz: 36.596 inferences per second, host included, are 2.733 million
/// cycles each; 1024 windows of 2048 cycles are 2.097 million.
#[test]
fn a_large_network_that_shares_its_multipliers() {
    let network = rn07();
    let wish = ScheduleOptions { clock: Clock::new(100.0).unwrap(), ..options(Io::Stream, 2048, Strategy::Resource) };
    let schedule = Schedule::new(&network, &wish).unwrap();
    let factors: Vec<u64> =
        schedule.stages.iter().filter(|stage| stage.has_weights()).map(|stage| stage.reuse_factor.get()).collect();
    // 96 products a position in the first layer, at least 2048 in the others.
    assert_eq!(factors, [96, 2048, 2048, 2048, 2048, 2048]);
    // 201 padded pixels complete no window; the pipeline is three cycles.
    assert_eq!(schedule.reported_interval_cycles, 1024 * 2048 + 201 + 3 + 1);
    // Frames that do not wait for one another take longer: the third convolution is busy from the first pixel that the
    // second gives, and has 66 windows left, two rows and two, when that gives its last.
    let longer = schedule.interval_cycles - schedule.reported_interval_cycles;
    assert_eq!(longer.div_ceil(2048), 66);
}

/// Input, a 3x3 convolution and the way past it, and their sum.
fn residual(side: usize) -> Network {
    let mut net = NetworkBuilder::new("residual", "input", &[side, side, 1], quantizer("ap_fixed<6,2>")).unwrap();
    let input = net.input();
    let conv = same_conv(&mut net, "conv", input, [3, 1, 1]);
    net.push("sum", Op::Add, &[conv, input]).unwrap();
    net.finish().unwrap()
}

#[test]
fn a_branch_is_copied_held_and_added() {
    let network = residual(8);
    let wish = |fifo_depth| ScheduleOptions { fifo_depth, ..options(Io::Stream, 1, Strategy::Latency) };
    let schedule = Schedule::new(&network, &wish(None)).unwrap();
    let stages: Vec<(&str, Vec<Option<usize>>)> = schedule
        .stages
        .iter()
        .map(|stage| (stage.name.as_str(), stage.sources.iter().map(|source| source.stage).collect()))
        .collect();
    let expected = [
        ("input.clone", vec![None]),
        ("conv.pad", vec![Some(0)]),
        ("conv", vec![Some(1)]),
        ("sum", vec![Some(2), Some(0)]),
    ];
    assert_eq!(stages, expected);
    // Zeros to 10x10 pixels are slower than the convolution's 100 by nothing: 100 + 2 each; behind the first of them, the
    // zeros, the convolution 1 and the sum 1 + 2 - 1.
    assert_eq!((schedule.latency_cycles, schedule.interval_cycles), (102 + 1 + 2, 103));
    // The sum waits for the first window, 23 of the padded pixels: packets that pass the convolution meanwhile stand in
    // the FIFO. A smaller one would stop everything, so what is asked for does not hold there.
    assert_eq!(schedule.depths_behind(0), [64, 64]);
    let small = Schedule::new(&network, &wish(Some(factor(2)))).unwrap();
    assert_eq!(small.depths_behind(0), [2, 64]);
    assert_eq!((small.depths_behind(1), small.depths_behind(2)), (vec![2], vec![64]));

    let parallel = Schedule::new(&network, &options(Io::Parallel, 1, Strategy::Latency)).unwrap();
    // A cycle for each of 64 positions, one for the tree, one for the sum. The frame that goes past stands in front of
    // the sum for 65 cycles, and the next one comes after 64.
    assert_eq!((parallel.latency_cycles, parallel.interval_cycles), (66, 64));
    let depths: Vec<u64> =
        parallel.readers(None).map(|(stage, source)| parallel.stages[stage].sources[source].fifo_depth).collect();
    assert_eq!(depths, [1, 2]);
}

#[test]
fn pooling_and_single_channels_are_stages() {
    let mut net = NetworkBuilder::new("mixed", "input", &[6, 6, 4], quantizer("ap_fixed<6,2>")).unwrap();
    let slide = |kernel: usize, stride: usize| Window2d {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding2d::default(),
    };
    let depthwise = |kernel: usize| {
        let window = slide(kernel, 1);
        Op::DepthwiseConv2d(DepthwiseConv2d { kernel: ones(vec![kernel, kernel, 4]), bias: None, window })
    };
    let wide = net.push("channels", depthwise(3), &[net.input()]).unwrap();
    let scaled = net.push("scale", depthwise(1), &[wide]).unwrap();
    let pooled = net.push("pool", Op::MaxPool2d(slide(2, 2)), &[scaled]).unwrap();
    let mean = AveragePool2d { window: slide(2, 1), reciprocal_bits: 4 };
    net.push("mean", Op::AveragePool2d(mean), &[pooled]).unwrap();
    let network = net.finish().unwrap();
    let schedule = Schedule::new(&network, &options(Io::Stream, 2, Strategy::Latency)).unwrap();
    let stages: Vec<_> = schedule
        .stages
        .iter()
        .map(|stage| (stage.work, stage.reuse_factor.get(), stage.packets_out, stage.latency_cycles))
        .collect();
    // A pixel takes as many cycles as multipliers are used: of 36 products 2 divides, and of 4.
    let expected = [
        (Work::DepthwiseConv2d, 2, 16, 36 * 2 + 2),
        (Work::Scale, 2, 16, 16 * 2 + 2),
        (Work::Pool, 1, 4, 16 + 3),
        (Work::GlobalPool, 1, 1, 4 + 3),
    ];
    assert_eq!(stages, expected);
    // Unrolled, pooling is part of the stage of the layer in front of it.
    let unrolled = Schedule::new(&network, &ScheduleOptions::econ_t()).unwrap();
    let stages: Vec<usize> = unrolled.stages.iter().map(|stage| stage.nodes.len()).collect();
    assert_eq!((stages, unrolled.latency_cycles), (vec![1, 3], 2));
    let error = Schedule::new(&residual(4), &ScheduleOptions::econ_t()).unwrap_err().to_string();
    assert!(
        error.contains("`sum`") && error.contains("branches") && error.contains("io stream or parallel"),
        "{error}"
    );
}
