//! An oracle that was written before, as what a verb compares with.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};

use super::inputs::{Opened, Prepared};
use crate::campaign::{ErrorSummary, infer};
use crate::fault::{Repeats, named_sites};
use crate::hw::BitId;
use crate::import::oracle::{OracleFile, read_oracle, totals_files};
use crate::net::Fingerprint;

/// An oracle read back.
#[derive(Debug)]
pub struct KnownOracle {
    /// The bits flipped, in the order of the rows.
    pub sites: Vec<BitId>,
    /// What that did.
    pub file: OracleFile,
    /// The files read, with what they hold.
    pub sources: Vec<(String, Fingerprint)>,
}

/// Reads the oracle at `path` and the totals beside it.
///
/// # Errors
/// When a file cannot be read, they are not of one run, or the oracle is of another design or of no bit of this one.
pub fn read(path: &Path, opened: &Opened) -> anyhow::Result<KnownOracle> {
    let name = path.display().to_string();
    let rows = fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
    let (totals_name, totals) = read_totals(path)?;
    let file = read_oracle((&name, &rows), (&totals_name, &totals))?;
    file.check_design(opened.design.accelerator.fingerprint())?;
    let sites = named_sites(&opened.inventory, &name, &file.rows, Repeats::Refuse)?;
    let sources = vec![(name, Fingerprint::of_bytes(&rows)), (totals_name, Fingerprint::of_bytes(&totals))];
    Ok(KnownOracle { sites, file, sources })
}

fn read_totals(rows: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let places = totals_files(rows);
    for place in &places {
        match fs::read(place) {
            Ok(bytes) => return Ok((place.display().to_string(), bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", place.display())),
        }
    }
    let [own, of_sweep] = places.map(|place| place.display().to_string());
    bail!(
        "{}: the totals that were written beside it are missing ({own}, or {of_sweep} of a sweep); they say which design \
         and events it is of, so keep them together, or write it again with `trivote oracle -o`",
        rows.display()
    );
}

impl KnownOracle {
    /// Checks that it measured the same error on the events that are prepared: as many of them, with the same fault-free
    /// mean, to the last bit.
    ///
    /// # Errors
    /// When it did not, or an event has no error that can be added up.
    pub fn check_events(&self, opened: &Opened, prepared: &Prepared) -> anyhow::Result<()> {
        let (name, metric) = (&self.sources[0].0, prepared.evaluator.metric().name());
        let command = self.file.command.join(" ");
        if self.file.metric != metric || self.file.events != prepared.events.len() {
            bail!(
                "{name}: has the {} of {} events, but {metric} of {} is asked for; it was made by `{command}`",
                self.file.metric,
                self.file.events,
                prepared.events.len(),
            );
        }
        let inferred = infer(&opened.design.accelerator, &prepared.evaluator, &prepared.events)?;
        let mean = ErrorSummary::of(&inferred).map_or(0.0, |summary| summary.mean);
        if mean != self.file.golden_mean {
            bail!(
                "{name}: is of other events: its fault-free mean error is {}, here it is {mean}; it was made by `{command}`",
                self.file.golden_mean
            );
        }
        Ok(())
    }

    /// The error rises of `sites`, in their order.
    ///
    /// # Errors
    /// Names the first of them that it has no row for.
    pub fn rises_of(&self, sites: &[BitId], opened: &Opened) -> anyhow::Result<Vec<f64>> {
        let rises: HashMap<BitId, f64> =
            self.sites.iter().copied().zip(self.file.error_rises.iter().copied()).collect();
        let rise = |site: &BitId| {
            let missing = || format!("{}: has no row for `{}`", self.sources[0].0, opened.inventory.bit_address(*site));
            rises.get(site).copied().with_context(missing)
        };
        sites.iter().map(rise).collect()
    }
}
