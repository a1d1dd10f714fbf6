//! `ErrorUnit`: how errors of a metric are written for people. Mispredictions are events, so they are counted.

use serde::Serialize;

use super::{grouped, percent, significant};
use crate::host::metric::ErrorMetric;
use crate::num::cast;

/// The unit of a metric's figures over a number of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorUnit<'a> {
    metric: &'a str,
    events: usize,
}

/// How events are classified without faults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Accuracy {
    /// Events whose class is their label.
    pub correct_events: usize,
    /// Their share.
    pub accuracy: f64,
}

impl<'a> ErrorUnit<'a> {
    /// Of the metric of that name.
    pub(super) const fn new(metric: &'a str, events: usize) -> Self {
        Self { metric, events }
    }

    /// Whether errors are mispredictions.
    pub(super) fn counts_mispredictions(self) -> bool {
        self.metric == ErrorMetric::Misprediction.name()
    }

    /// Events classified correctly, where that is what the metric counts.
    pub(super) fn accuracy(self, golden_mean: f64) -> Option<Accuracy> {
        self.counts_mispredictions().then(|| {
            let wrong = (golden_mean * cast::f64_from_count(self.events)).round();
            let wrong = usize::try_from(cast::floor_i64(wrong)).unwrap_or(0);
            let correct_events = self.events.saturating_sub(wrong);
            Accuracy {
                correct_events,
                accuracy: cast::f64_from_count(correct_events) / cast::f64_from_count(self.events),
            }
        })
    }

    /// What there is without faults: `fault-free mean error (emd) 0.8`.
    pub(super) fn fault_free(self, golden_mean: f64) -> String {
        match self.accuracy(golden_mean) {
            Some(Accuracy { correct_events, accuracy }) => {
                format!("{} classified correctly without faults ({})", grouped(correct_events), percent(accuracy, 2))
            }
            None => format!("fault-free mean error ({}) {}", self.metric, significant(golden_mean)),
        }
    }

    /// What a sensitive bit does when it is flipped.
    pub(super) fn sensitive(self) -> &'static str {
        if self.counts_mispredictions() {
            "makes at least one correctly classified event wrong"
        } else {
            "raises the mean error"
        }
    }

    /// Rises of the mean error, or of several bits together, under this name.
    pub(super) fn name(self, of_errors: &'static str, of_mispredictions: &'static str) -> &'static str {
        if self.counts_mispredictions() { of_mispredictions } else { of_errors }
    }

    /// A rise of the mean error, or a sum of such: mispredictions are counted over all events.
    pub(super) fn rise(self, rise: f64) -> String {
        significant(self.number(rise))
    }

    /// The number that [`ErrorUnit::rise`] writes.
    pub(super) fn number(self, rise: f64) -> f64 {
        if !self.counts_mispredictions() {
            return rise;
        }
        // Sums of counts over events come back as the counts they are.
        const ROUNDING: f64 = 1e-6;
        let count = rise * cast::f64_from_count(self.events);
        if (count - count.round()).abs() < ROUNDING { count.round() } else { count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mispredictions_are_counted() {
        let unit = ErrorUnit::new("misprediction", 96);
        assert_eq!(unit.accuracy(21.0 / 96.0), Some(Accuracy { correct_events: 75, accuracy: 0.781_25 }));
        assert_eq!(unit.fault_free(21.0 / 96.0), "75 classified correctly without faults (78.12 %)");
        assert_eq!(unit.number(7.0 / 96.0), 7.0);
        assert_eq!(unit.number(1.5 / 96.0), 1.5);
        let other = ErrorUnit::new("emd", 96);
        assert_eq!((other.accuracy(0.5), other.number(0.5)), (None, 0.5));
        assert_eq!(other.fault_free(0.5), format!("fault-free mean error (emd) {}", significant(0.5)));
    }
}
