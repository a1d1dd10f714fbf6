//! Stages of a design and their cycles: tables for people, a JSON value for machines.

use serde::Serialize;

use super::{Side, TextTable, grouped, significant, whole};
use crate::hw::schedule::timing::Strategy;
use crate::hw::schedule::{Io, Schedule, Stage, Work};
use crate::net::Network;
use crate::num::cast;

/// What stands below a table of stages: without, and with a stream.
const LEGEND: [&str; 2] = [
    "latency: cycles from a frame's arrival to its result; delay: from the last cycle of work to that\n\
     a -> b: reuse factor asked for -> legal; partitions: output positions, one after another\n",
    "latency: cycles from a stage's first packet to its last result; delay: from its last packet to that\n\
     a -> b: reuse factor asked for -> legal, packets of a frame in -> out\n",
];

/// A schedule, to be shown.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduleReport {
    io: &'static str,
    clock_mhz: f64,
    stages: Vec<StageRow>,
    latency_cycles: u64,
    worst_latency_cycles: u64,
    machine_latency_cycles: u64,
    interval_cycles: u64,
    reported_interval_cycles: u64,
    latency_s: f64,
    interval_s: f64,
    frames_per_s: f64,
}

#[derive(Debug, Clone, Serialize)]
struct StageRow {
    name: String,
    work: String,
    nodes: Vec<String>,
    /// Only of stages that share multipliers or could.
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'static str>,
    asked_reuse_factor: u64,
    reuse_factor: u64,
    packets_in: u64,
    packets_out: u64,
    partitions: u64,
    delay_cycles: u64,
    latency_cycles: u64,
    /// The deepest FIFO behind it.
    fifo_depth: u64,
    /// All of them; several where several stages read its packets.
    fifo_depths: Vec<u64>,
    /// The stages whose packets it reads; none where the host sends them.
    reads: Vec<String>,
}

impl ScheduleReport {
    /// Of `schedule`, which is one of `network`.
    pub fn new(network: &Network, schedule: &Schedule) -> Self {
        let period = schedule.clock.period_s();
        let seconds = |cycles: u64| cast::f64_from_u64(cycles) * period;
        Self {
            io: schedule.io.name(),
            clock_mhz: schedule.clock.mhz(),
            stages: (0..schedule.stages.len()).map(|stage| StageRow::new(network, schedule, stage)).collect(),
            latency_cycles: schedule.latency_cycles,
            worst_latency_cycles: schedule.worst_latency_cycles,
            machine_latency_cycles: schedule.machine_latency_cycles(network),
            interval_cycles: schedule.interval_cycles,
            reported_interval_cycles: schedule.reported_interval_cycles,
            latency_s: seconds(schedule.latency_cycles),
            interval_s: seconds(schedule.interval_cycles),
            frames_per_s: 1.0 / seconds(schedule.interval_cycles),
        }
    }

    /// Two tables for people: stages, and times of a frame.
    pub fn tables(&self) -> String {
        let stages = match self.io {
            io if io == Io::EconT.name() => self.unrolled_stages().to_string(),
            io => {
                let is_stream = io == Io::Stream.name();
                format!("{}{}", self.stages(is_stream), LEGEND[usize::from(is_stream)])
            }
        };
        let mut frame = TextTable::new(&[("a frame", Side::Left), ("cycles", Side::Right), ("time", Side::Right)]);
        let period = self.latency_s / cast::f64_from_u64(self.latency_cycles);
        let mut row = |name: &str, cycles: u64| {
            frame.row([name.to_owned(), count(cycles), duration(cast::f64_from_u64(cycles) * period)]);
        };
        let is_as_reported = self.machine_latency_cycles == self.latency_cycles;
        row(if is_as_reported { "latency" } else { "latency, as hls4ml reports it" }, self.latency_cycles);
        if self.worst_latency_cycles != self.latency_cycles {
            row("latency at worst", self.worst_latency_cycles);
        }
        if !is_as_reported {
            row("latency, counted packet by packet", self.machine_latency_cycles);
        }
        if self.interval_cycles != self.reported_interval_cycles {
            row("from one frame to the next, as hls4ml reports it", self.reported_interval_cycles);
        }
        row("from one frame to the next", self.interval_cycles);
        let (io, clock, frames) = (self.io, self.clock_mhz, whole(self.frames_per_s));
        format!("schedule: io {io} at {clock} MHz, {frames} frames per second\n\n{stages}\n{frame}")
    }

    fn unrolled_stages(&self) -> TextTable {
        let mut table = TextTable::new(&[("stage", Side::Left), ("does at once", Side::Left), ("cycles", Side::Right)]);
        for stage in &self.stages {
            table.row([stage.name.clone(), stage.nodes.join(", "), count(stage.latency_cycles)]);
        }
        table
    }

    fn stages(&self, is_stream: bool) -> TextTable {
        let mut columns = vec![
            ("stage", Side::Name),
            ("does", Side::Left),
            ("strategy", Side::Left),
            ("reuse", Side::Right),
            (if is_stream { "packets" } else { "partitions" }, Side::Right),
            ("latency", Side::Right),
            ("delay", Side::Right),
        ];
        if is_stream {
            columns.push(("FIFO behind", Side::Right));
        }
        let mut table = TextTable::new(&columns);
        for stage in &self.stages {
            let (asked, factor) = (stage.asked_reuse_factor, stage.reuse_factor);
            let shared = |text: String| if stage.strategy.is_some() { text } else { String::new() };
            let mut row = vec![
                stage.name.clone(),
                stage.work.clone(),
                stage.strategy.unwrap_or_default().to_owned(),
                shared(if asked == factor { count(factor) } else { change(asked, factor) }),
                // A streaming convolution has as many partitions as packets on the way out.
                if is_stream { change(stage.packets_in, stage.packets_out) } else { shared(count(stage.partitions)) },
                count(stage.latency_cycles),
                count(stage.delay_cycles),
            ];
            if is_stream {
                row.push(stage.fifo_depths.iter().map(|depth| count(*depth)).collect::<Vec<_>>().join(" + "));
            }
            table.row(row);
        }
        table
    }
}

impl StageRow {
    fn new(network: &Network, schedule: &Schedule, number: usize) -> Self {
        let stage: &Stage = &schedule.stages[number];
        let fifo_depths = schedule.depths_behind(number);
        let reads = stage.sources.iter().filter_map(|source| Some(schedule.stages[source.stage?].name.clone()));
        Self {
            name: stage.name.clone(),
            work: work(stage.work),
            nodes: stage.nodes.iter().map(|id| network.node(*id).name.clone()).collect(),
            strategy: stage.has_weights().then(|| Strategy::name(stage.strategy)),
            asked_reuse_factor: stage.asked_reuse.get(),
            reuse_factor: stage.reuse_factor.get(),
            packets_in: stage.packets_in,
            packets_out: stage.packets_out,
            partitions: stage.partitions,
            delay_cycles: stage.delay_cycles,
            latency_cycles: stage.latency_cycles,
            fifo_depth: fifo_depths.iter().copied().max().unwrap_or(1),
            fifo_depths,
            reads: reads.collect(),
        }
    }
}

fn work(work: Work) -> String {
    match work {
        Work::Unrolled => "all".to_owned(),
        Work::Dense => "dense".to_owned(),
        Work::Conv2d => "conv2d".to_owned(),
        Work::DepthwiseConv2d => "depthwise".to_owned(),
        Work::Scale => "scale".to_owned(),
        Work::Pool => "pool".to_owned(),
        Work::GlobalPool => "global pool".to_owned(),
        Work::Add => "sum".to_owned(),
        Work::Clone => "copies".to_owned(),
        Work::Pad(_) => "zeros".to_owned(),
        Work::Elementwise => "each value".to_owned(),
        Work::Repack { from, to } => format!("repack {from} to {to}"),
    }
}

fn count(value: u64) -> String {
    grouped(usize::try_from(value).unwrap_or(usize::MAX))
}

fn change(from: u64, to: u64) -> String {
    format!("{} -> {}", count(from), count(to))
}

/// A time in the unit in which it is at least 1.
fn duration(seconds: f64) -> String {
    let units = [(1.0, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")];
    let (per_second, unit) = units.into_iter().find(|(factor, _)| seconds * factor >= 1.0).unwrap_or((1e9, "ns"));
    format!("{} {unit}", significant(seconds * per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_readable_unit() {
        let cases = [(25e-9, "25.00 ns"), (5.22e-6, "5.220 us"), (0.0105, "10.50 ms"), (2.5, "2.500 s")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }
}
