//! The accelerator: fault-free values of an event, and the effect of every single-bit flip on it.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trivote::engine::{Engine, WeightChange, reference};
use trivote::num::cast;

mod shipped;

fn trace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trace");
    for case in shipped::cases(20) {
        let engine = Engine::new(&case.design.accelerator);
        group.throughput(Throughput::Elements(cast::u64_from_len(case.events.len())));
        group.bench_function(BenchmarkId::new("engine", case.name), |bencher| {
            let mut trace = engine.empty_trace();
            bencher.iter(|| {
                for event in &case.events {
                    engine.trace_into(event.codes(), &mut trace);
                    black_box(trace.output());
                }
            });
        });
        group.bench_function(BenchmarkId::new("reference", case.name), |bencher| {
            bencher.iter(|| {
                for event in &case.events {
                    black_box(reference::output(&case.design.accelerator, event.codes()));
                }
            });
        });
    }
}

fn flips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flips");
    group.sample_size(20);
    for case in shipped::cases(20) {
        let network = &case.design.accelerator;
        let engine = Engine::new(network);
        let changes: Vec<WeightChange> =
            case.sites.iter().map(|bit| WeightChange::of_flip(network, &case.inventory, *bit)).collect();
        let plan = engine.flips(&changes);
        let traces: Vec<_> = case.events.iter().map(|event| engine.trace(event.codes())).collect();
        group.throughput(Throughput::Elements(cast::u64_from_len(changes.len() * traces.len())));
        group.bench_function(BenchmarkId::new("sweep", case.name), |bencher| {
            let mut scratch = engine.scratch();
            bencher.iter(|| {
                let mut effective = 0_usize;
                for trace in &traces {
                    engine.sweep(&plan, trace, &mut scratch, |_, _| effective += 1);
                }
                effective
            });
        });
        group.bench_function(BenchmarkId::new("one_by_one", case.name), |bencher| {
            let mut scratch = engine.scratch();
            bencher.iter(|| {
                let mut effective = 0_usize;
                for trace in &traces {
                    for change in &changes {
                        let output = engine.evaluate(trace, &mut scratch, std::slice::from_ref(change));
                        effective += usize::from(output.is_some());
                    }
                }
                effective
            });
        });
    }
}

criterion_group!(benches, trace, flips);
criterion_main!(benches);
