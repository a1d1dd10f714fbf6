//! The host: judging the faulty outputs of an event, one by one from nothing and with an event's judge.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trivote::campaign::Event;
use trivote::engine::{Engine, OutputSet, WeightChange};
use trivote::host::emd::{Emd, EmdScratch};
use trivote::host::evaluator::EvaluatorScratch;
use trivote::host::generator::{Generator, Population};
use trivote::host::geometry::{CELLS, distances};
use trivote::num::cast;

mod shipped;

/// The distinct faulty outputs of `event`, like ones together.
fn outputs(case: &shipped::Case, event: &Event) -> (Vec<i64>, Vec<Vec<i64>>) {
    let network = &case.design.accelerator;
    let engine = Engine::new(network);
    let changes: Vec<WeightChange> =
        case.sites.iter().map(|bit| WeightChange::of_flip(network, &case.inventory, *bit)).collect();
    let trace = engine.trace(event.codes());
    let mut set = OutputSet::default();
    engine.sweep(&engine.flips(&changes), &trace, &mut engine.scratch(), |_, output| {
        set.intern(output);
    });
    set.sort_by_likeness(trace.output());
    let faulty = |id: &trivote::engine::OutputId| {
        let mut raw = trace.output().to_vec();
        let (indices, values) = set.differences(*id);
        for (index, value) in indices.iter().zip(values) {
            raw[cast::index(*index)] = *value;
        }
        raw
    };
    (trace.output().to_vec(), set.by_likeness().iter().map(faulty).collect())
}

fn judge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    group.sample_size(20);
    for case in shipped::cases(8) {
        let prepared: Vec<_> = case.events.iter().map(|event| (event.input(), outputs(&case, event))).collect();
        let count = prepared.iter().map(|(_, (_, faulty))| faulty.len()).sum();
        group.throughput(Throughput::Elements(cast::u64_from_len(count)));
        group.bench_function(BenchmarkId::new("from_nothing", case.name), |bencher| {
            let mut scratch = EvaluatorScratch::default();
            bencher.iter(|| {
                for (event, (golden, faulty)) in &prepared {
                    for output in faulty {
                        black_box(case.evaluator.error(event, output, golden, &mut scratch));
                    }
                }
            });
        });
        group.bench_function(BenchmarkId::new("by_event", case.name), |bencher| {
            let mut scratch = EvaluatorScratch::default();
            bencher.iter(|| {
                for (event, (golden, faulty)) in &prepared {
                    let mut judge = case.evaluator.judge(event, golden, &mut scratch);
                    for output in faulty {
                        black_box(judge.error(output));
                    }
                }
            });
        });
    }
}

fn distance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("emd");
    let emd = Emd::new(distances().as_flattened(), CELLS).expect("48 points");
    let modules = Generator::new(Population::Mixture, 2).events(0, 64);
    let demands: Vec<[f64; CELLS]> =
        Generator::new(Population::Busy, 3).events(0, 64).iter().map(|module| *module.charges()).collect();
    group.throughput(Throughput::Elements(64 * 64));
    group.bench_function("from_nothing", |bencher| {
        let mut scratch = EmdScratch::default();
        bencher.iter(|| {
            for module in &modules {
                for demand in &demands {
                    black_box(emd.distance(module.charges(), demand, &mut scratch).expect("masses"));
                }
            }
        });
    });
    group.bench_function("fixed_supply", |bencher| {
        let mut scratch = EmdScratch::default();
        bencher.iter(|| {
            for module in &modules {
                let mut from = emd.fix_supply(module.charges(), &mut scratch).expect("masses");
                for demand in &demands {
                    black_box(from.distance(demand).expect("masses"));
                }
            }
        });
    });
}

criterion_group!(benches, judge, distance);
criterion_main!(benches);
