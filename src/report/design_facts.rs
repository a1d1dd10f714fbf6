//! What results say about the design as built, so that designs can be set side by side.

use serde::Serialize;

use crate::hw::Inventory;
use crate::hw::schedule::Schedule;
use crate::net::Network;
use crate::num::cast;

/// Size and times of a design.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesignFacts {
    /// Its name.
    pub name: String,
    /// Weight and bias registers.
    pub registers: usize,
    /// Their bits.
    pub register_bits: usize,
    /// Way the accelerator is built: `econ_t`, parallel or stream.
    pub io: String,
    /// Its clock.
    pub clock_mhz: f64,
    /// From a frame to its result, in cycles.
    pub latency_cycles: u64,
    /// The same in seconds.
    pub latency_s: f64,
    /// From one frame to the next, in cycles.
    pub interval_cycles: u64,
}

impl DesignFacts {
    /// Of a design with a schedule.
    pub fn new(name: &str, network: &Network, inventory: &Inventory, schedule: &Schedule) -> Self {
        let latency_cycles = schedule.machine_latency_cycles(network);
        Self {
            name: name.to_owned(),
            registers: inventory.len(),
            register_bits: inventory.bits(),
            io: schedule.io.name().to_owned(),
            clock_mhz: schedule.clock.mhz(),
            latency_cycles,
            latency_s: cast::f64_from_u64(latency_cycles) * schedule.clock.period_s(),
            interval_cycles: schedule.interval_cycles,
        }
    }
}
