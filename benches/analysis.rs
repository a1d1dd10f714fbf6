//! Derivatives and scores on 500 events, on all cores.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trivote::analysis::{CurveInput, DerivativeInput, Derivatives, Loss, SymmetricOperator, curve_scores};

mod shipped;

fn analysis(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analysis");
    group.sample_size(10);
    for case in shipped::cases(500) {
        let (network, inventory, events) = (&case.design.accelerator, &case.inventory, case.events.as_slice());
        let input = DerivativeInput {
            network,
            inventory,
            decoder: case.design.off_chip.as_ref(),
            loss: Loss::Energy,
            kind: case.evaluator.kind(),
            events,
        };
        let id = |what: &str| BenchmarkId::new(what, case.name);
        group.bench_function(id("gradient"), |bencher| {
            bencher.iter(|| Derivatives::new(input, &|_| {}).expect("the loss fits"));
        });
        let derivatives = Derivatives::new(input, &|_| {}).expect("the loss fits");
        let (vector, mut product) = (derivatives.gradient().to_vec(), vec![0.0; derivatives.dim()]);
        group.bench_function(id("hessian_product"), |bencher| {
            bencher.iter(|| derivatives.apply(&vector, &mut product));
        });
        group.bench_function(id("diagonals"), |bencher| bencher.iter(|| derivatives.diagonals()));
        let input = CurveInput { network, inventory, evaluator: &case.evaluator, events, sites: &case.sites };
        group.bench_function(id("bit_curve"), |bencher| bencher.iter(|| curve_scores(&input, &|_| {})));
    }
}

criterion_group!(benches, analysis);
criterion_main!(benches);
