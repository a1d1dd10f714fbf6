//! Fixed-point formats: rounding and clipping of accumulators.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trivote::num::{Overflow, QFormat, Quantizer, Rounding, cast};

fn quantize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quantize");
    let sums: Vec<i64> = (0..4096_i64).map(|n| n * 7919 % 1_000_003 - 500_000).collect();
    group.throughput(Throughput::Elements(cast::u64_from_len(sums.len())));
    for (rounding, overflow) in [(Rounding::NearestEven, Overflow::Saturate), (Rounding::Truncate, Overflow::Wrap)] {
        let format = QFormat::signed(12, 4).expect("a format of 12 bits");
        let quantizer = Quantizer { format, rounding, overflow };
        group.bench_function(BenchmarkId::from_parameter(quantizer), |bencher| {
            bencher.iter(|| sums.iter().map(|sum| quantizer.quantize(black_box(*sum), 14)).sum::<i64>());
        });
    }
}

criterion_group!(benches, quantize);
criterion_main!(benches);
