//! `record`: a machine watched for some cycles: from its first cycle on, with faults, scrubs and frames, and with an observer
//! in every cycle of a window.
//!
//! Cycles before the window cost what happens in them, not their number. Judges no result.

use std::num::NonZeroU64;
use std::ops::Range;

use crate::fault::TimedFault;
use crate::hw::{Cycle, Load, Machine};

/// Reloads in a row without a fault after which they all leave the same state: error counters hold at 255.
const RELOADS_TO_SETTLE: u64 = 256;

/// What to run, and which cycles to look at.
#[derive(Debug)]
pub struct Recording<'a, 'n> {
    /// The machine, without a frame in it; it runs from its cycle on.
    pub machine: &'a mut Machine<'n>,
    /// Faults, in any order; those of one cycle happen in the order given. The machine has all of this state.
    pub faults: &'a [TimedFault],
    /// The weight registers are loaded again at the edges that end cycles `k * scrub_cycles`, `k >= 1`.
    pub scrub_cycles: Option<NonZeroU64>,
    /// The cycles to observe; none when it ends before it starts.
    pub window: Range<Cycle>,
}

/// A cycle of the window.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The cycle.
    pub cycle: Cycle,
    /// The machine, before or after the clock edge that ends the cycle.
    pub machine: &'a Machine<'a>,
    /// What struck at the beginning of this cycle.
    pub faults: &'a [TimedFault],
    /// What the weight registers do at the edge.
    pub load: Load,
    /// Number of the frame that the host offers, if any.
    pub offered: Option<u64>,
    /// Whether a frame offered is taken.
    pub is_ready: bool,
}

impl Observed<'_> {
    /// Number of the frame that the machine takes at the edge, if any.
    pub fn taken(&self) -> Option<u64> {
        self.offered.filter(|_| self.is_ready)
    }
}

/// Who watches.
pub trait Observer {
    /// Why it cannot go on.
    type Error;

    /// Once, before the first cycle of the window and what strikes in it.
    ///
    /// # Errors
    /// Ends the recording.
    fn begin(&mut self, machine: &Machine<'_>) -> Result<(), Self::Error>;

    /// In every cycle, before the voters settle and the clock ticks: the registers are as they stand in this cycle, with what
    /// has struck them. Wires (voted values, flags, what the stages do) are those of the last cycle.
    ///
    /// # Errors
    /// Ends the recording.
    fn before_edge(&mut self, now: &Observed<'_>) -> Result<(), Self::Error>;

    /// In every cycle, after the clock has ticked: wires are as they were in this cycle, registers as they stand in the next.
    ///
    /// # Errors
    /// Ends the recording.
    fn after_edge(&mut self, now: &Observed<'_>) -> Result<(), Self::Error>;
}

/// Runs a machine to the end of the window and calls every observer in every cycle of it.
///
/// `frame` gives the raw input values of frame number `n`. The host offers it from cycle `n * interval` on
/// ([`Schedule::interval_cycles`](crate::hw::schedule::Schedule::interval_cycles)) until the machine takes it, and no frame
/// sooner than an interval after the one before. Long before the window there are no frames; they begin twice the latency
/// and two intervals before it, with the number that belongs to that cycle.
///
/// # Errors
/// The first one of an observer.
///
/// # Panics
/// When a frame has another length than the input, or a fault names state that the machine does not have.
pub fn record<'f, E>(
    recording: Recording<'_, '_>,
    frame: impl FnMut(u64) -> &'f [i64],
    observers: &mut [&mut dyn Observer<Error = E>],
) -> Result<(), E> {
    let Recording { machine, faults, scrub_cycles, window } = recording;
    let mut faults = faults.to_vec();
    faults.sort_by_key(|fault| fault.at);
    let schedule = machine.schedule();
    let latency = schedule.machine_latency_cycles(machine.network());
    let lead = latency.saturating_add(schedule.interval_cycles).saturating_mul(2);
    let start = machine.cycle().max(Cycle(window.start.0.saturating_sub(lead)));
    let passed = faults.partition_point(|fault| fault.at < machine.cycle());
    let interval = schedule.interval_cycles.max(1);
    let next = start.0.div_ceil(interval);
    let host = Host { interval, next, due: next.saturating_mul(interval), frame };
    let mut run = Run { machine, faults: &faults[passed..], scrub_cycles, host };
    if window.start >= window.end {
        return Ok(());
    }
    run.skip(start);
    while run.machine.cycle() < window.start {
        run.cycle::<E>(&mut [])?;
    }
    for observer in &mut *observers {
        observer.begin(run.machine)?;
    }
    while run.machine.cycle() < window.end {
        run.cycle(observers)?;
    }
    Ok(())
}

/// What offers frames.
struct Host<F> {
    interval: u64,
    /// Number of the next frame.
    next: u64,
    /// First cycle in which it is offered.
    due: u64,
    frame: F,
}

struct Run<'a, 'n, F> {
    machine: &'a mut Machine<'n>,
    /// Those that are still to come, in the order of their cycles.
    faults: &'a [TimedFault],
    scrub_cycles: Option<NonZeroU64>,
    host: Host<F>,
}

impl<'a, F> Run<'a, '_, F> {
    /// Lets happen what strikes in this cycle.
    fn strike(&mut self) -> &'a [TimedFault] {
        let now = self.machine.cycle();
        let (struck, left) = self.faults.split_at(self.faults.partition_point(|fault| fault.at <= now));
        self.faults = left;
        for fault in struck {
            fault.upset.strike(self.machine);
        }
        struck
    }

    /// The next cycle, this one included, that ends with a reload.
    fn next_reload(&self) -> Option<u64> {
        let Cycle(now) = self.machine.cycle();
        let period = self.scrub_cycles?.get();
        now.max(1).div_ceil(period).checked_mul(period)
    }

    fn load(&self) -> Load {
        if self.next_reload() == Some(self.machine.cycle().0) { Load::Reload } else { Load::Hold }
    }

    /// Goes on to a cycle without frames; costs as much as there are faults and reloads of registers out of order.
    fn skip(&mut self, until: Cycle) {
        let mut reloads = 0;
        while self.machine.cycle() < until {
            let Cycle(now) = self.machine.cycle();
            let stop = self.faults.first().map_or(until, |fault| fault.at.min(until)).0;
            let is_calm = self.machine.bank().disturbed().next().is_none();
            let reload = self.next_reload().filter(|reload| !is_calm && *reload < stop).map(|reload| {
                // Stuck bits alone are left: what happens from reload to reload repeats itself, so only the last one counts.
                let period = self.scrub_cycles.map_or(1, NonZeroU64::get);
                if reloads >= RELOADS_TO_SETTLE { reload + (stop - 1 - reload) / period * period } else { reload }
            });
            self.machine.rest(reload.unwrap_or(stop) - now);
            if reload.is_some() {
                reloads += 1;
            } else if stop < until.0 {
                reloads = 0;
            } else {
                break;
            }
            self.strike();
            let load = self.load();
            self.machine.step(None, load);
        }
    }

    /// One cycle with everything in it.
    fn cycle<'f, E>(&mut self, observers: &mut [&mut dyn Observer<Error = E>]) -> Result<(), E>
    where
        F: FnMut(u64) -> &'f [i64],
    {
        let cycle = self.machine.cycle();
        let load = self.load();
        let faults = self.strike();
        let is_ready = self.machine.is_ready();
        let host = &mut self.host;
        let offered = (cycle.0 >= host.due).then_some(host.next);
        let taken = offered.filter(|_| is_ready);
        if taken.is_some() {
            host.due = cycle.0.saturating_add(host.interval);
            host.next = host.next.saturating_add(1);
        }
        for observer in &mut *observers {
            observer.before_edge(&Observed { cycle, machine: self.machine, faults, load, offered, is_ready })?;
        }
        // A frame that the machine does not take leaves no trace.
        self.machine.step(taken.map(|number| (host.frame)(number)), load);
        for observer in &mut *observers {
            observer.after_edge(&Observed { cycle, machine: self.machine, faults, load, offered, is_ready })?;
        }
        Ok(())
    }
}
