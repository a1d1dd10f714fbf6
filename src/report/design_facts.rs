//! What results say about the design as built, so that designs can be set side by side.

use crate::hw::Inventory;
use crate::hw::schedule::Schedule;
use crate::import::results::DesignFacts;
use crate::net::Network;
use crate::num::cast;

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
