//! `WorkManifest`: what flips and trials belong to, whoever asked for them.

use serde::{Deserialize, Serialize};

use super::PartialError;
use super::archive::{Archive, Kind};
use crate::campaign::{TrialInput, events_fingerprint};
use crate::hw::BitId;

/// What known flips or trials belong to: all that decides what one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkManifest {
    /// Format and version of the file.
    pub(super) format: String,
    /// Version of the program.
    version: String,
    /// Fingerprint of the accelerator.
    design: String,
    /// Fingerprint of what judges its output.
    judge: String,
    /// Name of the error measured.
    metric: String,
    /// Fingerprint of the events.
    events_fingerprint: String,
    /// Number of events.
    pub(super) events: usize,
    /// Number of register bits of the accelerator.
    pub(super) bits: usize,
    /// The command that measures.
    command: Vec<String>,
}

impl WorkManifest {
    /// Of what `command` measures.
    pub(super) fn new(kind: Kind, input: &TrialInput<'_>, command: Vec<String>) -> Self {
        Self {
            format: kind.format.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            design: input.network.fingerprint().to_string(),
            judge: input.evaluator.fingerprint().to_string(),
            metric: input.evaluator.metric().name().to_owned(),
            events_fingerprint: events_fingerprint(input.events).to_string(),
            events: input.events.len(),
            bits: input.inventory.bits(),
            command,
        }
    }

    /// The command, as it would be typed.
    pub fn command(&self) -> String {
        self.command.join(" ")
    }

    /// What of this work is not as in the other, by name; none where what one did holds for the other.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.version != other.version {
            found.push(format!("the version of trivote ({}, not {})", self.version, other.version));
        }
        if (&self.design, self.bits) != (&other.design, other.bits) {
            found.push("the design".to_owned());
        }
        if self.metric != other.metric {
            found.push(format!("the metric ({}, not {})", self.metric, other.metric));
        } else if self.judge != other.judge {
            found.push("the decoder or the kind of events".to_owned());
        }
        if (&self.events_fingerprint, self.events) != (&other.events_fingerprint, other.events) {
            found.push("the events".to_owned());
        }
        found
    }

    /// The number of events, as counts of events have it.
    pub(super) fn events(&self, archive: &Archive<'_>) -> Result<u32, PartialError> {
        u32::try_from(self.events).map_err(|_| archive.content("manifest: too many events".to_owned()))
    }

    /// An array of bits of the accelerator.
    pub(super) fn sites(&self, archive: &Archive<'_>, name: &str) -> Result<Vec<BitId>, PartialError> {
        let is_there = |bit: &u32| usize::try_from(*bit).is_ok_and(|bit| bit < self.bits);
        let site = |bit: i64| u32::try_from(bit).ok().filter(is_there).map(BitId);
        let sites: Option<Vec<_>> = archive.integers(name)?.into_iter().map(site).collect();
        sites.ok_or_else(|| archive.misfit(name))
    }
}

#[cfg(test)]
impl WorkManifest {
    /// Of no work there is: 6 events and 10 bits.
    pub(super) fn example(kind: Kind) -> Self {
        Self {
            format: kind.format.to_owned(),
            version: "1".to_owned(),
            design: "design".to_owned(),
            judge: "judge".to_owned(),
            metric: "mse".to_owned(),
            events_fingerprint: "events".to_owned(),
            events: 6,
            bits: 10,
            command: vec!["trivote".to_owned(), "analyze".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_work_is_named() {
        let asked = WorkManifest::example(Kind { format: "format", needed: "a file" });
        let differences = |change: fn(&mut WorkManifest)| {
            let mut other = asked.clone();
            change(&mut other);
            other.differences(&asked).join(", ")
        };
        assert_eq!(differences(|other| other.command.push("--quiet".to_owned())), "");
        assert_eq!(differences(|other| other.version.push('0')), "the version of trivote (10, not 1)");
        assert_eq!(differences(|other| other.design.push('0')), "the design");
        assert_eq!(differences(|other| other.judge.push('0')), "the decoder or the kind of events");
        assert_eq!(differences(|other| (other.metric, other.judge) = Default::default()), "the metric (, not mse)");
        assert_eq!(differences(|other| other.events = 7), "the events");
        assert_eq!(asked.command(), "trivote analyze");
    }
}
