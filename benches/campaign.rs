//! The whole oracle: every kernel bit on a few events, on all cores.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trivote::campaign::{OracleInput, run_oracle};

mod shipped;

fn oracle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("oracle");
    group.sample_size(10);
    for case in shipped::cases(20) {
        let input = OracleInput {
            network: &case.design.accelerator,
            inventory: &case.inventory,
            evaluator: &case.evaluator,
            events: &case.events,
            sites: &case.sites,
        };
        group.throughput(Throughput::Elements(input.pairs()));
        group.bench_function(BenchmarkId::from_parameter(case.name), |bencher| {
            bencher.iter(|| run_oracle(&input, &|_| {}).expect("errors are numbers"));
        });
    }
}

criterion_group!(benches, oracle);
criterion_main!(benches);
