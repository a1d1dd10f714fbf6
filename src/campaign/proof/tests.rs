//! Proofs of a small design, and claims that are not borne out.

use super::super::{Event, OracleInput, run_oracle};
use super::*;
use crate::host::evaluator::{Evaluator, EventInput, EventKind, OutputWords};
use crate::host::metric::ErrorMetric;
use crate::hw::{Inventory, TmrStyle};
use crate::net::{Dense, Network, NetworkBuilder, Op, WeightTensor};
use crate::num::{QFormat, qkeras};

struct Bench {
    network: Network,
    inventory: Inventory,
    evaluator: Evaluator,
    events: Vec<Event>,
}

/// Two layers, 12 registers of 4 bits and 3 biases of 3; twelve events, two of them alike.
fn bench() -> Bench {
    let mut net = NetworkBuilder::new("n", "x", &[3], qkeras::quantized_relu(5, 1).unwrap()).unwrap();
    let tensor = |shape: [usize; 2], step: i64| {
        let raw = (0..6).map(|at| at * step % 16 - 8).collect();
        WeightTensor::new(shape.to_vec(), raw, QFormat::signed(4, 1).unwrap()).unwrap()
    };
    let bias = WeightTensor::new(vec![3], vec![1, -2, 3], QFormat::signed(3, 1).unwrap()).unwrap();
    let source = net.input();
    let first = net.push("first", Op::Dense(Dense { kernel: tensor([3, 2], 5), bias: None }), &[source]).unwrap();
    let relu = net.push("relu", Op::Quantize(qkeras::quantized_relu(5, 1).unwrap()), &[first]).unwrap();
    net.push("second", Op::Dense(Dense { kernel: tensor([2, 3], 7), bias: Some(bias) }), &[relu]).unwrap();
    let network = net.finish().unwrap();
    let event = |number: u8| (0..3).map(|at| f32::from((number % 11 * 5 + at * 9) % 16) / 16.0).collect();
    let events = (0..12).map(|number| Event::new(&network, EventInput::Tensor(event(number))).unwrap()).collect();
    let evaluator =
        Evaluator::new(None, ErrorMetric::Deviation, EventKind::Tensor { shape: vec![3] }, OutputWords::of(&network))
            .unwrap();
    Bench { inventory: Inventory::new(&network).unwrap(), network, evaluator, events }
}

impl Bench {
    fn rises(&self, sites: &[BitId]) -> Vec<f64> {
        let Self { network, inventory, evaluator, events } = self;
        run_oracle(&OracleInput { network, inventory, evaluator, events, sites }, &|_| {}).unwrap().error_rises()
    }

    fn prove(&self, sites: &[BitId], rises: &[f64], plans: &[Vec<Protection>]) -> Vec<PlanProof> {
        let Self { network, inventory, evaluator, events } = self;
        let trial = TrialInput { network, inventory, evaluator, events };
        prove(&ProofInput { trial, candidates: sites, rises, plans }, &|_, _| {}).unwrap()
    }
}

/// No protection, then every bit whose number the divisor divides in each of the styles in turn.
fn plans(bits: usize) -> Vec<Vec<Protection>> {
    let plan = |divisor: usize| {
        let of = |bit: usize| {
            let style = TmrStyle::ALL[1 + bit / divisor % 3];
            if bit.is_multiple_of(divisor) {
                Protection { style, error_flag: bit.is_multiple_of(2) }
            } else {
                Protection::NONE
            }
        };
        (0..bits).map(of).collect()
    };
    [vec![Protection::NONE; bits]].into_iter().chain([1, 2, 3, 7].map(plan)).collect()
}

fn claim(rises: &[f64], sites: &[BitId], plan: &[Protection]) -> Claim {
    let left: Vec<f64> =
        sites.iter().zip(rises).filter(|(bit, _)| plan[bit.index()].copies() == 1).map(|(_, rise)| *rise).collect();
    let sum = |rises: &[f64]| rises.iter().map(|rise| ExactSum::of(*rise).unwrap()).sum::<ExactSum>().value();
    let cells: u32 = sites.iter().map(|bit| u32::from(plan[bit.index()].copies())).sum();
    Claim {
        rise_remaining: sum(&left),
        share_removed: (sum(rises) - sum(&left)) / sum(rises),
        sensitive_remaining: left.iter().filter(|rise| **rise > 0.0).count(),
        mean_rise_per_upset: sum(&left) / f64::from(cells),
    }
}

#[test]
fn single_upsets_are_as_the_oracle_claims() {
    let bench = bench();
    // All bits, and every other one: copies of bits that are no candidates are left alone.
    let all: Vec<BitId> = bench.inventory.bit_ids().collect();
    let some: Vec<BitId> = all.iter().copied().filter(|bit| bit.0 % 2 == 1).collect();
    for sites in [all, some] {
        let rises = bench.rises(&sites);
        let plans = plans(bench.inventory.bits());
        let proofs = bench.prove(&sites, &rises, &plans);
        for (proof, plan) in proofs.iter().zip(&plans) {
            assert!(proof.confirms(&claim(&rises, &sites, plan)), "{proof:?} {:?}", claim(&rises, &sites, plan));
            let left = sites.iter().filter(|bit| plan[bit.index()].copies() == 1).count();
            assert_eq!((proof.read_wrong, proof.cells), (left, left + 3 * (sites.len() - left)));
        }
        assert_eq!(proofs[0].max_rise, rises.iter().copied().fold(0.0, f64::max));
        assert_eq!((proofs[1].rise_remaining, proofs[1].share_removed, proofs[1].max_rise), (0.0, 1.0, 0.0));
    }
}

#[test]
fn what_is_not_so_is_not_confirmed() {
    let bench = bench();
    let sites: Vec<BitId> = bench.inventory.bit_ids().collect();
    let mut rises = bench.rises(&sites);
    let plans = plans(bench.inventory.bits());
    let proof = &bench.prove(&sites, &rises, &plans)[4];
    let good = claim(&rises, &sites, &plans[4]);
    assert!(proof.confirms(&good));
    let next = |value: f64| f64::from_bits(value.to_bits() + 1);
    assert!(!proof.confirms(&Claim { rise_remaining: next(good.rise_remaining), ..good }));
    assert!(!proof.confirms(&Claim { share_removed: next(good.share_removed), ..good }));
    assert!(!proof.confirms(&Claim { mean_rise_per_upset: next(good.mean_rise_per_upset), ..good }));
    assert!(!proof.confirms(&Claim { sensitive_remaining: good.sensitive_remaining + 1, ..good }));
    assert!(!PlanProof { lapses: 1, ..proof.clone() }.confirms(&good));
    // Two rises that are exchanged leave every sum as it is, but not the bits.
    let left: Vec<usize> = (0..sites.len()).filter(|at| plans[4][*at].copies() == 1).collect();
    let other = left.iter().copied().find(|at| rises[*at] != rises[left[0]]).unwrap();
    rises.swap(left[0], other);
    let proof = &bench.prove(&sites, &rises, &plans)[4];
    assert_eq!(proof.differing, 2);
    assert!(!proof.confirms(&good));
}

#[test]
fn threads_change_nothing() {
    let bench = bench();
    let sites: Vec<BitId> = bench.inventory.bit_ids().collect();
    let rises = bench.rises(&sites);
    let run = |threads| {
        let work = || bench.prove(&sites, &rises, &plans(bench.inventory.bits()));
        super::super::with_threads(Some(threads), work).unwrap()
    };
    assert_eq!(run(1), run(3));
}
