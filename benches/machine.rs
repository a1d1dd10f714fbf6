//! The fully unrolled machine, a new event in every cycle; and frames of a large network that streams through its layers.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trivote::hw::schedule::{Io, Schedule, ScheduleOptions};
use trivote::hw::{Inventory, Load, Machine, Protection, TmrStyle};
use trivote::num::cast;

mod rn07;
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

fn frames(criterion: &mut Criterion) {
    let network = rn07::network(1);
    let options = ScheduleOptions { io: Io::Stream, ..ScheduleOptions::econ_t() };
    let schedule = Schedule::new(&network, &options).expect("a stream takes every network");
    let inventory = Inventory::new(&network).expect("it has registers");
    let images: Vec<Vec<i64>> = (0..8).map(rn07::image).collect();
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(cast::u64_from_len(images.len())));
    group.bench_function("rn07", |bencher| {
        let mut machine = Machine::new(&network, &inventory, &schedule, |_| Protection::NONE);
        bencher.iter(|| {
            let (mut offered, mut done) = (0, 0);
            while done < images.len() {
                let image = images.get(offered).map(Vec::as_slice);
                offered += usize::from(machine.step(image, Load::Hold));
                done += usize::from(black_box(machine.output()).is_some());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, cycles, frames);
criterion_main!(benches);
