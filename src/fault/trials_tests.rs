//! Trials: laws that hold for any design, and the laws of chance by chi-square at fixed seeds.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
use crate::num::{QFormat, qkeras};

/// One dense layer, `inputs` x 2 kernel registers of `width` bits and two bias registers of 3 bits.
fn inventory(inputs: usize, width: u8) -> Inventory {
    let mut net = NetworkBuilder::new("n", "x", &[inputs], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
    let source = net.input();
    let tensor = |shape: Vec<usize>, width| {
        let count = shape.iter().product();
        WeightTensor::new(shape, vec![0; count], QFormat::signed(width, 1).unwrap()).unwrap()
    };
    let op = Op::Dense(Dense { kernel: tensor(vec![inputs, 2], width), bias: Some(tensor(vec![2], 3)) });
    net.push("dense", op, &[source]).unwrap();
    Inventory::new(&net.finish().unwrap()).unwrap()
}

fn all(inventory: &Inventory) -> Vec<BitId> {
    inventory.bit_ids().collect()
}

fn drawn(model: &FaultModel, inventory: &Inventory, candidates: &[BitId]) -> Sampler {
    match Trials::new(model, inventory, candidates).unwrap() {
        Trials::Drawn(sampler) => sampler,
        Trials::Listed(_) => panic!("{model} is listed"),
    }
}

fn listed(model: &FaultModel, inventory: &Inventory, candidates: &[BitId]) -> Population {
    match Trials::new(model, inventory, candidates).unwrap() {
        Trials::Listed(population) => population,
        Trials::Drawn(_) => panic!("{model} is drawn"),
    }
}

/// Sum of (found - expected)^2 / expected.
fn chi_square(found: &[f64], expected: &[f64]) -> f64 {
    found.iter().zip(expected).map(|(found, expected)| (found - expected).powi(2) / expected).sum()
}

fn models() -> impl Strategy<Value = FaultModel> {
    prop_oneof![
        (2..=12_usize).prop_map(FaultModel::Bits),
        prop::collection::vec(0.01..1.0_f64, 1..4).prop_map(|weights| {
            let weights: Vec<_> =
                weights.into_iter().enumerate().map(|(size, weight)| (2 * size + 1, weight)).collect();
            FaultModel::Cluster(ClusterSizes::new(&weights).unwrap())
        }),
        (0.0..=1.0_f64).prop_map(|p| FaultModel::BitErrorRate(Probability::new(p).unwrap())),
    ]
}

proptest! {
    #[test]
    fn drawn_bits_are_distinct_candidates_and_depend_on_seed_and_number_alone(
        model in models(), inputs in 1..5_usize, width in 1..7_u8, seed: u64, number: u64, every in 1..3_usize
    ) {
        let inventory = inventory(inputs, width);
        let mut candidates: Vec<BitId> = all(&inventory).into_iter().step_by(every).collect();
        if let FaultModel::Bits(count) = model && count > candidates.len() {
            let refused = Trials::new(&model, &inventory, &candidates);
            prop_assert_eq!(refused, Err(ModelError::TooManyBits { bits: count, candidates: candidates.len() }));
            return Ok(());
        }
        let sampler = drawn(&model, &inventory, &candidates);
        let bits = sampler.trial(seed, number);
        prop_assert!(bits.windows(2).all(|pair| pair[0] < pair[1]), "{bits:?}");
        prop_assert!(bits.iter().all(|bit| candidates.contains(bit)));
        match &model {
            FaultModel::Bits(count) => prop_assert_eq!(bits.len(), *count),
            FaultModel::Cluster(_) => {
                prop_assert!(!bits.is_empty());
                // Nothing between the first and the last cell is left out.
                let between = candidates.iter().filter(|bit| **bit >= bits[0] && **bit <= bits[bits.len() - 1]);
                prop_assert_eq!(between.count(), bits.len());
            }
            _ => {}
        }
        sampler.trial(seed, number.wrapping_add(1));
        candidates.reverse();
        prop_assert_eq!(&bits, &drawn(&model, &inventory, &candidates).trial(seed, number));
    }

    #[test]
    fn pairs_are_all_pairs_within_registers(inputs in 1..6_usize, width in 1..9_u8, seed: u64) {
        let inventory = inventory(inputs, width);
        let candidates = all(&inventory);
        let population = listed(&FaultModel::Pairs, &inventory, &candidates);
        let w = usize::from(width);
        prop_assert_eq!(population.len(), 2 * inputs * (w * (w - 1) / 2) + 2 * 3);
        let mut seen = HashSet::new();
        for position in 0..population.len() {
            let bits = population.bits(position);
            prop_assert_eq!(bits.len(), 2);
            prop_assert!(bits[0] < bits[1] && inventory.locate_bit(bits[0]).0 == inventory.locate_bit(bits[1]).0);
            prop_assert!(seen.insert(bits));
        }
        let mut members = Vec::new();
        for (stratum, (key, units)) in population.strata().enumerate() {
            for unit in units {
                let (register, bit) = inventory.locate_bit(population.bits(*unit)[0]);
                prop_assert_eq!(bit, key.bit);
                prop_assert_eq!(inventory.locate(register).0, &inventory.arrays()[key.array]);
            }
            let mut shuffled = population.shuffled(stratum, seed);
            prop_assert_eq!(&shuffled, &population.shuffled(stratum, seed));
            members.extend_from_slice(&shuffled);
            shuffled.sort_unstable();
            prop_assert_eq!(&shuffled[..], units);
        }
        members.sort_unstable();
        prop_assert_eq!(members, (0..population.len()).collect::<Vec<_>>());
    }
}

#[test]
fn single_bits_are_the_candidates_in_strata() {
    let inventory = inventory(2, 4);
    let population = listed(&FaultModel::Bits(1), &inventory, &all(&inventory));
    assert_eq!(
        (0..22).map(|unit| population.bits(unit)).collect::<Vec<_>>(),
        (0..22).map(|b| vec![BitId(b)]).collect::<Vec<_>>()
    );
    let strata: Vec<_> = population.strata().map(|(key, units)| (key.array, key.bit.0, units.to_vec())).collect();
    assert_eq!(strata.len(), 7);
    assert_eq!(strata[1], (0, 1, vec![1, 5, 9, 13]));
    assert_eq!(strata[6], (1, 2, vec![18, 21]));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let narrow = inventory(2, 1);
    let kernel: Vec<BitId> = all(&narrow)[..4].to_vec();
    assert_eq!(Trials::new(&FaultModel::Pairs, &narrow, &kernel), Err(ModelError::NoPairs));
    assert_eq!(Trials::new(&FaultModel::Bits(1), &narrow, &[]), Err(ModelError::NoCandidates));
    let refused = Trials::new(&FaultModel::Bits(5), &narrow, &kernel).unwrap_err();
    assert_eq!(refused.to_string(), "model `bits:5` needs 5 distinct bits, but there are 4 candidate bits");
}

#[test]
fn trials_are_what_they_always_were() {
    let inventory = inventory(10, 6);
    let candidates = all(&inventory);
    let trials = |model: &str| -> Vec<Vec<u32>> {
        let sizes = "1:0.5,2:0.3,4:0.2".parse().unwrap();
        let sampler = drawn(&FaultModel::parse(model, Some(&sizes)).unwrap(), &inventory, &candidates);
        (0..4).map(|number| sampler.trial(1, number).into_iter().map(|bit| bit.0).collect()).collect()
    };
    assert_eq!(trials("bits:3"), [vec![10, 49, 75], vec![6, 70, 105], vec![42, 85, 108], vec![24, 70, 84]]);
    assert_eq!(trials("cluster"), [vec![50], vec![107], vec![110, 111], vec![71, 72]]);
    assert_eq!(trials("ber:0.02"), [vec![45], vec![7], vec![6, 25, 79, 113, 115], vec![27, 47]]);
}

#[test]
fn sets_of_bits_are_uniform() {
    let inventory = inventory(1, 1);
    // 2 kernel bits and 6 bias bits; the 15 pairs of the last 6.
    let candidates = all(&inventory)[2..].to_vec();
    let sampler = drawn(&FaultModel::Bits(2), &inventory, &candidates);
    let mut found = [0.0; 36];
    for number in 0..15_000 {
        let bits = sampler.trial(11, number);
        found[(bits[0].index() - 2) * 6 + bits[1].index() - 2] += 1.0;
    }
    let pairs: Vec<f64> = (0..36).filter(|at| at / 6 < at % 6).map(|at: usize| found[at]).collect();
    assert_eq!(pairs.iter().sum::<f64>(), 15_000.0);
    // 14 degrees of freedom: 36.1 is exceeded once in a thousand seeds.
    assert!(chi_square(&pairs, &[1000.0; 15]) < 36.1, "{pairs:?}");
}

#[test]
fn clusters_have_the_sizes_asked_for() {
    let inventory = inventory(200, 5);
    let candidates = all(&inventory);
    let sizes: ClusterSizes = "1:0.7,2:0.2,5:0.1".parse().unwrap();
    let sampler = drawn(&FaultModel::Cluster(sizes), &inventory, &candidates);
    let (mut found, mut inside) = ([0.0; 6], 0.0);
    let mut places = [0.0; 10];
    for number in 0..20_000 {
        let bits = sampler.trial(5, number);
        places[bits[0].index() * 10 / candidates.len()] += 1.0;
        // Where the array does not cut it short.
        if bits[0].index() + 5 <= candidates.len() {
            found[bits.len()] += 1.0;
            inside += 1.0;
        }
    }
    let expected = [0.7 * inside, 0.2 * inside, 0.1 * inside];
    // 2 and 9 degrees of freedom: 13.8 and 27.9 are exceeded once in a thousand seeds.
    assert!(chi_square(&[found[1], found[2], found[5]], &expected) < 13.8, "{found:?}");
    assert!(chi_square(&places, &[2000.0; 10]) < 27.9, "{places:?}");
}

#[test]
fn clusters_end_with_the_array_and_spare_what_is_no_candidate() {
    let inventory = inventory(1, 4);
    let sizes: ClusterSizes = "3:1".parse().unwrap();
    let sampler = drawn(&FaultModel::Cluster(sizes), &inventory, &[BitId(0), BitId(2), BitId(3), BitId(12), BitId(13)]);
    let mut seen: Vec<Vec<u32>> =
        (0..200).map(|number| sampler.trial(1, number).into_iter().map(|bit| bit.0).collect()).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [vec![0, 2], vec![2, 3], vec![3], vec![12, 13], vec![13]]);
}

#[test]
fn bit_errors_have_the_rate_asked_for() {
    let inventory = inventory(100, 5);
    let candidates = all(&inventory);
    let count = f64::from(u32::try_from(candidates.len()).unwrap());
    for p in [0.0, 1e-4, 0.003, 0.2, 0.75, 1.0] {
        let sampler = drawn(&FaultModel::BitErrorRate(Probability::new(p).unwrap()), &inventory, &candidates);
        let trials = 2000;
        let (mut sum, mut squares, mut places) = (0.0, 0.0, [0.0; 8]);
        for number in 0..trials {
            let bits = sampler.trial(9, number);
            let flips = f64::from(u32::try_from(bits.len()).unwrap());
            sum += flips;
            squares += (flips - count * p).powi(2);
            for bit in bits {
                places[bit.index() * 8 / candidates.len()] += 1.0;
            }
        }
        let (trials, variance) = (f64::from(u32::try_from(trials).unwrap()), count * p * (1.0 - p));
        if variance == 0.0 {
            assert_eq!((sum, squares), (count * p * trials, 0.0), "{p}");
            continue;
        }
        // Mean within 3.3 standard deviations; the sum of squares over the variance is chi-square with 2000 degrees of
        // freedom where the count of flips is nearly normal, and a little wider where it is nearly Poisson.
        assert!((sum / trials - count * p).abs() < 3.3 * (variance / trials).sqrt(), "{p}: {sum}");
        let kurtosis = 2.0 + 1.0 / variance;
        let spread = (squares / variance - trials) / (kurtosis * trials).sqrt();
        assert!(spread.abs() < 3.3, "{p}: {spread}");
        // The 1006 candidates in eight parts of 125 or 126; 8 degrees of freedom with the total free.
        let sizes: Vec<f64> = (0..8_usize)
            .map(|part| candidates.iter().filter(|bit| bit.index() * 8 / candidates.len() == part).count())
            .map(|size| f64::from(u32::try_from(size).unwrap()) * p * trials)
            .collect();
        assert!(chi_square(&places, &sizes) / (1.0 - p) < 26.1, "{p}: {places:?}");
    }
}
