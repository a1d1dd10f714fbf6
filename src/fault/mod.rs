//! Which bits are struck, alone or together, and when. Names bits by the inventory of `hw`; touches no state.

mod arrivals;
mod draws;
mod environment;
mod models;
mod sites;
mod timed;
mod timeline;
mod trials;

pub use arrivals::{Arrivals, Strike};
pub use draws::Draws;
pub use environment::{Environment, EnvironmentError, Preset, Rate};
pub use models::{ClusterSizes, FaultModel, ModelError, Probability};
pub use sites::{Biases, Repeats, SiteListError, all_sites, named_sites};
pub use timed::{Nameable, TimedFault, TimedFaultError, TimedFaultReason, Upset, timed_faults};
pub use timeline::{FaultSources, LineSource, LineTable, MissionStream, StateSource, StrikeSource, Timeline};
pub use trials::{Population, Sampler, StratumKey, Trials};
