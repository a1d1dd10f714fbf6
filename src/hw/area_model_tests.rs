//! Tests of the area model: counts by hand, laws, and the reference systems against published overheads.

use proptest::prelude::*;

use super::*;
use crate::hw::test_networks::{conv, dense, econ_t_large, econ_t_medium, econ_t_small, quantizer, without_bias};
use crate::hw::{Inventory, TmrStyle};
use crate::net::{NetworkBuilder, Padding2d, WeightTensor, Window2d};
use crate::num::QFormat;

fn reuse(factor: u64) -> NonZeroU64 {
    NonZeroU64::new(factor).unwrap()
}

fn model(network: &Network, technology: &str) -> AreaModel {
    AreaModel::new(network, &Technology::shipped(technology).unwrap(), reuse(1))
}

fn parts(network: &Network, factor: u64) -> Vec<(String, PartCounts)> {
    let model = AreaModel::new(network, &Technology::shipped("osu018").unwrap(), reuse(factor));
    let report = model.report(&[]).unwrap();
    report.layers.into_iter().filter(|l| l.parts.register_bits > 0).map(|l| (l.layer, l.parts)).collect()
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
    };
    assert_eq!(parts(&without_bias(), 1), [("dense".to_owned(), expected)]);
    // Three products to a multiplier: 3 multipliers, 5 choices of 6 + 4 bits, two accumulators.
    let shared =
        PartCounts { multipliers: 3, adders: 3, adder_bits: 36, multiplexer_bits: 50, pipeline_bits: 48, ..expected };
    assert_eq!(parts(&without_bias(), 3), [("dense".to_owned(), shared)]);
}

#[test]
fn products_with_padding_are_not_counted() {
    // 3x3 over 8x8, stride 2, "same": the odd padding lies below and right, so the last row and column see 2 of 3.
    let taps = 16 * 9 - 4 * 3 - 4 * 3 + 1;
    assert_eq!(parts(&econ_t_medium(), 1)[0].1.macs, taps * 8);
    assert_eq!(parts(&econ_t_medium(), 1)[1].1.macs, 2_048);
    // 5x5 over 8x8, stride 2, "same": one above and left, two below and right: rows see 4, 5, 5, 4 of 5.
    assert_eq!(parts(&econ_t_large(), 1)[0].1.macs, 18 * 18 * 32);
    assert_eq!(parts(&econ_t_small(), 1).iter().map(|(_, parts)| parts.macs).sum::<u64>(), 1_024 + 256);
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
    assert_eq!(parts(&build(true), 1), parts(&build(false), 1));
    let report = |explicit| model(&build(explicit), "osu018").report(&[]).unwrap().area;
    assert_eq!(report(true), report(false));
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
    let report = model(&econ_t_medium(), "osu018").report(&[]).unwrap();
    let bits: Vec<_> = report.layers.iter().map(|l| (l.layer.as_str(), l.parts.pipeline_bits)).collect();
    // Input of 64 x 11 bits, activations of 128 x 12 bits, outputs of 16 x 9 bits.
    let expected = [("input", 704), ("conv", 0), ("relu", 1_536), ("dense_flat", 0), ("dense", 0), ("latent", 144)];
    assert_eq!(bits, expected);
    assert_eq!(report.area.pipeline, Technology::shipped("osu018").unwrap().flip_flop() * 2_384.0);
}

#[test]
fn register_bits_agree_with_the_inventory() {
    for network in [econ_t_small(), econ_t_medium(), econ_t_large(), without_bias()] {
        let report = model(&network, "sky130hd").report(&[]).unwrap();
        assert_eq!(report.parts.register_bits, cast::u64_from_len(Inventory::new(&network).unwrap().bits()));
        assert!((report.area.registers.cost() / cast::f64_from_u64(report.parts.register_bits) - 8.3).abs() < 1e-9);
    }
}

#[test]
fn full_triplication_of_the_reference_systems() {
    // TMR triples the registers but not the datapath: over the whole unrolled encoder it adds a few percent.
    let overhead = |network: &Network, technology: &str, style: TmrStyle, error_flag: bool| {
        let model = model(network, technology);
        let report = model.report(&model.uniform(Protection { style, error_flag })).unwrap();
        (1000.0 * report.overhead_on_accelerator()).round() / 10.0
    };
    for technology in Technology::SHIPPED {
        for network in [econ_t_small(), econ_t_medium(), econ_t_large()] {
            let cells = [
                (TmrStyle::Unvoted, false),
                (TmrStyle::Feedback, false),
                (TmrStyle::Feedback3, false),
                (TmrStyle::Feedback3, true),
            ]
            .map(|(style, flag)| overhead(&network, technology, style, flag));
            let total = model(&network, technology).report(&[]).unwrap();
            println!("{technology} {} {cells:?} {} {:?}", network.name(), total.area.total(), total.area);
        }
    }
}

#[test]
fn more_bits_than_a_layer_has() {
    let network = without_bias();
    let model = model(&network, "xc7");
    let node = network.find("dense").unwrap();
    let protected = |bits| ProtectedBits { node, protection: TmrStyle::Feedback.into(), bits };
    assert!(model.report(&[protected(16), protected(16)]).is_ok());
    assert_eq!(
        model.report(&[protected(16), protected(17)]).unwrap_err().to_string(),
        "layer `dense`: 33 bits are to be protected, but it has 32 register bits"
    );
    assert_eq!(model.uniform(Protection::NONE).len(), 1);
    assert_eq!(model.technology().name(), "xc7");
}

prop_compose! {
    fn any_protection()(style in prop::sample::select(TmrStyle::ALL.to_vec()), error_flag: bool) -> Protection {
        Protection { style, error_flag }
    }
}

proptest! {
    #[test]
    fn protection_is_additive_and_monotone(
        technology in prop::sample::select(Technology::SHIPPED.to_vec()),
        first in any_protection(),
        second in any_protection(),
        bits in [0_u64..400, 0_u64..400],
        factor in 1_u64..300,
    ) {
        let network = econ_t_medium();
        let model = AreaModel::new(&network, &Technology::shipped(technology).unwrap(), reuse(factor));
        let conv = network.find("conv").unwrap();
        let dense = network.find("dense").unwrap();
        let cost = |protected: &[ProtectedBits]| model.report(protected).unwrap().area.total().cost();
        let a = ProtectedBits { node: conv, protection: first, bits: bits[0] };
        let b = ProtectedBits { node: dense, protection: second, bits: bits[1] };
        let (none, only_a, only_b, both) = (cost(&[]), cost(&[a]), cost(&[b]), cost(&[a, b]));
        // The sum of some hundred thousand GE is rounded in its last bits.
        let rounding = 1e-6;
        prop_assert!((both - none - (only_a - none) - (only_b - none)).abs() < rounding);
        prop_assert!(only_a >= none && both >= only_b);
        let more = ProtectedBits { bits: a.bits + 1, ..a };
        prop_assert!(cost(&[more]) >= only_a);
        let report = model.report(&[a, b]).unwrap();
        let by_layer: f64 = report.layers.iter().map(|layer| layer.area.total().cost()).sum();
        prop_assert!((by_layer - both).abs() < rounding);
    }

    #[test]
    fn parts_follow_the_reuse_factor(rows in 1_usize..7, outputs in 1_usize..5, width in 2_u8..8, factor in 2_u64..50) {
        let mut net = NetworkBuilder::new("random", "input", &[rows, rows, 1], quantizer("ap_fixed<6,2>")).unwrap();
        let input = net.input();
        let first = conv(&mut net, "conv", input, 3, outputs, width);
        let relu = net.push("relu", Op::Relu, &[first]).unwrap();
        let narrow = net.push("narrow", Op::Quantize(quantizer("ap_ufixed<6,2>")), &[relu]).unwrap();
        dense(&mut net, "dense", narrow, 3, width);
        let network = net.finish().unwrap();
        let (unrolled, shared) = (parts(&network, 1), parts(&network, factor));
        for ((_, unrolled), (_, shared)) in unrolled.iter().zip(&shared) {
            prop_assert_eq!(unrolled.macs, shared.macs);
            prop_assert_eq!(unrolled.multipliers, unrolled.macs);
            prop_assert_eq!(shared.multipliers, shared.macs.div_ceil(factor));
            prop_assert_eq!(unrolled.register_bits, shared.register_bits);
            prop_assert!(unrolled.adders >= shared.adders || unrolled.adders == unrolled.macs);
        }
        let technology = Technology::shipped("osu018").unwrap();
        let dense = network.find("dense").unwrap();
        let mixed = AreaModel::with_reuse(&network, &technology, |id| reuse(if id == dense { factor } else { 1 }));
        let mixed = mixed.report(&[]).unwrap();
        prop_assert_eq!(mixed.layers[dense.index()].parts, shared[1].1);
        prop_assert_eq!(mixed.layers[1].parts, unrolled[0].1);
    }
}
