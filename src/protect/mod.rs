//! Which register bits to triplicate under an area budget, and what the choice leaves of the risk. Injects nothing.

mod budget;
mod front;
mod plan;
pub mod planner;
mod sweep;
mod targets;

pub use budget::{Budget, BudgetError, Prices};
pub use front::{Tradeoff, front, least_area};
pub use plan::{PlanError, ProtectionPlan};
pub use sweep::{Candidates, Line, Planning, Sweep, SweepError, SweepInput, SweepPoint, Unprotected, sweep};
pub use targets::{Needed, Target, targets};
