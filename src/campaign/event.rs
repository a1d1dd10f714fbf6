//! `Event`: one input of the accelerator with what the host compares its output with; and which events are identical.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::host::evaluator::EventInput;
use crate::net::{Fingerprint, FingerprintBuilder, Network};
use crate::num::NotFinite;

/// One event as the campaigns need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    input: EventInput,
    codes: Vec<i64>,
}

/// An input value that is infinite or not a number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("value {index} of the network input: {source}")]
pub struct InputError {
    /// C-order index in the input.
    index: usize,
    /// What is wrong.
    source: NotFinite,
}

impl Event {
    /// Quantizes an event into the input register of `network`.
    ///
    /// # Errors
    /// When a value is infinite or not a number.
    ///
    /// # Panics
    /// When the event has another number of values than the input: shapes are checked when a design meets its events.
    pub fn new(network: &Network, input: EventInput) -> Result<Self, InputError> {
        let quantizer = network.input_quantizer();
        let values = input.network_input();
        assert_eq!(values.len(), network.input().len(), "input length");
        let codes = values.into_iter().enumerate().map(|(index, value)| {
            quantizer.quantize_f64(f64::from(value)).map_err(|source| InputError { index, source })
        });
        Ok(Self { codes: codes.collect::<Result<_, _>>()?, input })
    }

    /// What the host compares the output with.
    pub const fn input(&self) -> &EventInput {
        &self.input
    }

    /// Raw values of the accelerator's input register.
    pub fn codes(&self) -> &[i64] {
        &self.codes
    }

    /// All that network and host see of the event, bit for bit: the same image with another label is another event. The
    /// charges of a module count in the scale in which they reach the network: a factor of a power of two changes neither
    /// that nor any metric.
    fn identity(&self) -> Vec<u64> {
        let bits = |value: &f32| u64::from(value.to_bits());
        match &self.input {
            EventInput::Module(charges) => charges.normalized().map(f64::to_bits).to_vec(),
            EventInput::Tensor(values) => values.iter().map(bits).collect(),
            EventInput::Labeled { values, label } => values.iter().map(bits).chain([u64::from(*label)]).collect(),
        }
    }

    /// Adds the event to a fingerprint.
    pub(super) fn add_to(&self, hash: &mut FingerprintBuilder) {
        match &self.input {
            EventInput::Module(charges) => hash.floats(charges.charges().iter().copied()),
            EventInput::Tensor(values) => hash.floats(values.iter().copied().map(f64::from)),
            EventInput::Labeled { values, label } => {
                hash.floats(values.iter().copied().map(f64::from));
                hash.numbers([i64::from(*label)].into_iter());
            }
        }
    }
}

/// What tells lists of events apart: their values and labels, in their order.
pub fn events_fingerprint(events: &[Event]) -> Fingerprint {
    let mut hash = FingerprintBuilder::new("events");
    for event in events {
        event.add_to(&mut hash);
    }
    hash.finish()
}

/// An event, and how many of a list are like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DistinctEvent {
    /// Position of the first of them.
    pub first: usize,
    /// How many there are.
    pub count: u32,
}

/// The events that differ from all before them, in their order, with how often each occurs. Identical events give
/// identical errors, so evaluating one of them is enough.
pub fn distinct_events(events: &[Event]) -> Vec<DistinctEvent> {
    let mut places: HashMap<Vec<u64>, usize> = HashMap::new();
    let mut distinct: Vec<DistinctEvent> = Vec::new();
    for (first, event) in events.iter().enumerate() {
        match places.entry(event.identity()) {
            Entry::Occupied(place) => distinct[*place.get()].count += 1,
            Entry::Vacant(place) => {
                place.insert(distinct.len());
                distinct.push(DistinctEvent { first, count: 1 });
            }
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::geometry::{CELLS, Charges};
    use crate::net::{Dense, NetworkBuilder, Op, WeightTensor};
    use crate::num::{QFormat, qkeras};

    #[test]
    fn identical_events_are_found_and_counted() {
        let input = qkeras::quantized_relu(8, 3).unwrap();
        let mut builder = NetworkBuilder::new("n", "x", &[64], input).unwrap();
        let source = builder.input();
        let kernel = WeightTensor::new(vec![64, 1], vec![1; 64], QFormat::signed(4, 2).unwrap()).unwrap();
        builder.push("dense", Op::Dense(Dense { kernel, bias: None }), &[source]).unwrap();
        let network = builder.finish().unwrap();
        let module = |first: f64, second: f64| {
            let mut charges = [0.0; CELLS];
            (charges[3], charges[7]) = (first, second);
            Event::new(&network, EventInput::Module(Charges::new(charges).unwrap())).unwrap()
        };
        // The third is four times the first; the fourth has the first's shares, but another scale reaches the network.
        let events = [module(3.0, 2.0), module(2.0, 3.0), module(12.0, 8.0), module(3.6, 2.4), module(2.0, 3.0)];
        let found = distinct_events(&events);
        let expected = [(0, 2), (1, 2), (3, 1)].map(|(first, count)| DistinctEvent { first, count });
        assert_eq!(found, expected);
        assert_eq!(distinct_events(&[]), []);
    }
}
