//! Which bits are struck. Names bits by the inventory of `hw`; touches no state.

mod sites;

pub use sites::{Biases, Repeats, SiteListError, all_sites, named_sites};
