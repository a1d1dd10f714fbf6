//! The fully unrolled machine, a new event in every cycle.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trivote::hw::schedule::{Schedule, ScheduleOptions};
use trivote::hw::{Inventory, Load, Machine, Protection, TmrStyle};
use trivote::num::cast;

mod shipped;

fn cycles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cycles");
    for case in shipped::cases(100) {
        let network = &case.design.accelerator;
        let schedule = Schedule::new(network, &ScheduleOptions::econ_t()).expect("nothing is shared");
        let inventory = Inventory::new(network).expect("a shipped design has registers");
        group.throughput(Throughput::Elements(cast::u64_from_len(case.events.len())));
        for style in [TmrStyle::None, TmrStyle::Feedback] {
            group.bench_function(BenchmarkId::new(style.name(), case.name), |bencher| {
                let mut machine = Machine::new(network, &inventory, &schedule, |_| Protection::from(style));
                bencher.iter(|| {
                    for event in &case.events {
                        machine.step(Some(event.codes()), Load::Hold);
                        black_box(machine.output());
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, cycles);
criterion_main!(benches);
