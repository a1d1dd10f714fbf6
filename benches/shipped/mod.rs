//! The shipped designs with a few of their own kind of events.
#![allow(dead_code, reason = "every bench uses its part")]

use std::path::Path;

use trivote::campaign::Event;
use trivote::fault::{Biases, all_sites};
use trivote::host::evaluator::{Evaluator, EventInput, EventKind, OutputWords};
use trivote::host::generator::{Generator, Population};
use trivote::host::metric::ErrorMetric;
use trivote::hw::{BitId, Inventory};
use trivote::import::design::Design;

pub struct Case {
    pub name: &'static str,
    pub design: Design,
    pub inventory: Inventory,
    pub evaluator: Evaluator,
    pub events: Vec<Event>,
    pub sites: Vec<BitId>,
}

/// Small, Medium and Large with `events` events each.
pub fn cases(events: usize) -> Vec<Case> {
    let case = |name| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models").join(name);
        let design = Design::open(&folder).expect("a shipped design");
        let network = &design.accelerator;
        let inventory = Inventory::new(network).expect("a shipped design has few registers");
        let evaluator =
            Evaluator::new(design.off_chip.as_ref(), ErrorMetric::Emd, EventKind::Module, OutputWords::of(network))
                .expect("decoder and metric fit");
        let modules = Generator::new(Population::Mixture, 1).events(0, events);
        let event = |charges| Event::new(network, EventInput::Module(charges)).expect("charges are numbers");
        let events = modules.into_iter().map(event).collect();
        let sites = all_sites(&inventory, Biases::Exclude);
        Case { name, design, inventory, evaluator, events, sites }
    };
    ["econ_t_small", "econ_t_medium", "econ_t_large"].map(case).into()
}
