//! Known trials as files: what an interrupted sampling campaign leaves.
//!
//! | array | type | shape | meaning |
//! |---|---|---|---|
//! | `manifest` | uint8 | bytes | JSON: [`WorkManifest`] |
//! | `trial_bits` | int64 | trials | number of bits of every trial done, in the order of the trials |
//! | `bit` | int64 | | these bits, trial after trial ([`BitId`]) |
//! | `changed_events` | int64 | trials | events whose output the trial changes |
//! | `rise_sum` | int64 | trials, 4 | sum of error rises, exact ([`ExactSum::to_words`]) |
//! | `golden_sum` | int64 | 1, 4 | sum of fault-free errors, exact; 0 where no trial is done yet |
//! | `begun_trial_bits`, `begun_bit`, `begun_changed_events`, `begun_rise_sum` | int64 | | of the trials that were begun and not completed |
//! | `begun_tiles` | int64 | 0 or 1 | tiles of these that are done; no entry where none were begun |
//! | `begun_golden_sum` | int64 | 0 or 1, 4 | their `golden_sum` over these tiles |

use std::io::Cursor;

use super::archive::{Archive, Kind, add_manifest, add_outcomes};
use super::{PartialError, WorkManifest};
use crate::campaign::{BegunTrials, ExactSum, KnownTrials, SiteOutcome, Tally, TrialInput};
use crate::hw::BitId;
use crate::num::cast;
use crate::report::npz::{NpzWriter, Packing};

/// What the files are.
const KIND: Kind = Kind { format: "trivote trials 1", needed: "a checkpoint written by `trivote inject`" };

/// Known trials, with what they belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialTrials {
    /// What they belong to.
    pub manifest: WorkManifest,
    /// The trials.
    pub known: KnownTrials,
}

impl WorkManifest {
    /// Of trials that `command` runs.
    pub fn of_trials(input: &TrialInput<'_>, command: Vec<String>) -> Self {
        Self::new(KIND, input, command)
    }
}

impl PartialTrials {
    /// The file's bytes.
    ///
    /// # Errors
    /// When packing fails.
    pub fn to_bytes(manifest: &WorkManifest, known: &KnownTrials) -> Result<Vec<u8>, PartialError> {
        let mut npz = NpzWriter::new(Cursor::new(Vec::new()), Packing::Stored);
        add_manifest(&mut npz, manifest)?;
        add_bits(&mut npz, "", known.done().iter().map(|(bits, _)| bits))?;
        add_outcomes(&mut npz, "", known.done().iter().map(|(_, outcome)| outcome))?;
        npz.add("golden_sum", &[1, 4], &known.golden_sum().to_words()[..])?;
        let begun = known.begun();
        add_bits(&mut npz, "begun_", begun.iter().flat_map(|begun| &begun.trials))?;
        add_outcomes(&mut npz, "begun_", begun.iter().flat_map(|begun| begun.tally.outcomes()))?;
        let tiles: Vec<i64> = begun.iter().map(|begun| begun.tally.tiles_done().cast_signed()).collect();
        let golden: Vec<i64> = begun.iter().flat_map(|begun| begun.tally.golden_sum().to_words()).collect();
        npz.add("begun_tiles", &[tiles.len()], &tiles[..])?;
        npz.add("begun_golden_sum", &[tiles.len(), 4], &golden[..])?;
        Ok(npz.finish()?.into_inner())
    }

    /// Reads a file; `file` names it in messages.
    ///
    /// # Errors
    /// When it holds no known trials, is of another version, or its arrays do not belong together.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, PartialError> {
        let archive = Archive { file, bytes, kind: KIND };
        let manifest: WorkManifest = archive.manifest()?;
        let events = manifest.events(&archive)?;
        let trials = |prefix: &str| -> Result<(Vec<Vec<BitId>>, Vec<SiteOutcome>), PartialError> {
            let trials = read_bits(&archive, &manifest, prefix)?;
            let outcomes = archive.outcomes(prefix, events)?;
            if trials.len() != outcomes.len() {
                return Err(archive.misfit(&format!("{prefix}trial_bits")));
            }
            Ok((trials, outcomes))
        };
        let (done, outcomes) = trials("")?;
        let [golden_sum] = archive.sums("golden_sum", events)?[..] else { return Err(archive.misfit("golden_sum")) };
        let (trials, begun_outcomes) = trials("begun_")?;
        let tiles = archive.integers("begun_tiles")?;
        let sums: Vec<ExactSum> = archive.sums("begun_golden_sum", events)?;
        let begun = match (&tiles[..], &sums[..]) {
            ([], []) if trials.is_empty() => None,
            ([tiles], [golden_sum]) => {
                let tiles = u64::try_from(*tiles).map_err(|_| archive.misfit("begun_tiles"))?;
                Some(BegunTrials { trials, tally: Tally::of_parts(tiles, *golden_sum, begun_outcomes) })
            }
            _ => return Err(archive.misfit("begun_tiles")),
        };
        let done = done.into_iter().zip(outcomes).collect();
        Ok(Self { manifest, known: KnownTrials::of_parts(golden_sum, done, begun) })
    }
}

/// Writes the bits of trials as two arrays, `trial_bits` and `bit`, behind a prefix.
fn add_bits<'a>(
    npz: &mut NpzWriter<Cursor<Vec<u8>>>,
    prefix: &str,
    trials: impl Iterator<Item = &'a Vec<BitId>> + Clone,
) -> Result<(), PartialError> {
    let lengths: Vec<i64> = trials.clone().map(|bits| cast::i64_from_len(bits.len())).collect();
    let bits: Vec<i64> = trials.flatten().map(|bit| i64::from(bit.0)).collect();
    npz.add(&format!("{prefix}trial_bits"), &[lengths.len()], &lengths[..])?;
    npz.add(&format!("{prefix}bit"), &[bits.len()], &bits[..])?;
    Ok(())
}

/// The bits of trials that [`add_bits`] wrote.
fn read_bits(archive: &Archive<'_>, manifest: &WorkManifest, prefix: &str) -> Result<Vec<Vec<BitId>>, PartialError> {
    let bits = manifest.sites(archive, &format!("{prefix}bit"))?;
    let name = format!("{prefix}trial_bits");
    let mut rest = &bits[..];
    let mut trials = Vec::new();
    for length in archive.integers(&name)? {
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (trial, after) = split.ok_or_else(|| archive.misfit(&name))?;
        trials.push(trial.to_vec());
        rest = after;
    }
    if rest.is_empty() { Ok(trials) } else { Err(archive.misfit(&name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(begun: Option<BegunTrials>) -> KnownTrials {
        let outcome = |changed_events, rise| SiteOutcome { changed_events, rise_sum: ExactSum::of(rise).unwrap() };
        let done = vec![(vec![BitId(9), BitId(2)], outcome(3, 0.1)), (vec![], SiteOutcome::default())];
        KnownTrials::of_parts(ExactSum::of(0.3).unwrap(), done, begun)
    }

    fn begun(trials: &[&[u32]], tally: Tally) -> BegunTrials {
        let trials = trials.iter().map(|bits| bits.iter().map(|bit| BitId(*bit)).collect());
        BegunTrials { trials: trials.collect(), tally }
    }

    fn read_back(manifest: &WorkManifest, known: &KnownTrials) -> Result<PartialTrials, PartialError> {
        PartialTrials::read("a.npz", &PartialTrials::to_bytes(manifest, known).unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = WorkManifest::example(KIND);
        let sum = ExactSum::of(-2.5).unwrap();
        let outcomes = vec![SiteOutcome { changed_events: 6, rise_sum: sum }, SiteOutcome::default()];
        let tally = Tally::of_parts(4, sum, outcomes);
        for known in [KnownTrials::default(), known(None), known(Some(begun(&[&[1], &[0, 3]], tally)))] {
            assert_eq!(read_back(&manifest, &known).unwrap(), PartialTrials { manifest: manifest.clone(), known });
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let manifest = WorkManifest::example(KIND);
        let refused = |manifest: &WorkManifest, known: &KnownTrials, expected: &str| {
            let error = read_back(manifest, known).unwrap_err().to_string();
            assert!(error.starts_with("a.npz: ") && error.contains(expected), "{error}");
        };
        let changed = |change: fn(&mut WorkManifest)| {
            let mut changed = manifest.clone();
            change(&mut changed);
            changed
        };
        refused(&changed(|other| other.format.push('0')), &known(None), "`trivote trials 1` is needed");
        refused(&changed(|other| other.events = 2), &known(None), "`changed_events`");
        refused(&changed(|other| other.bits = 9), &known(None), "`bit`");
        refused(&manifest, &known(Some(begun(&[&[1]], Tally::new(2)))), "`begun_trial_bits`");
        let tally = Tally::of_parts(u64::MAX, ExactSum::default(), vec![SiteOutcome::default()]);
        refused(&manifest, &known(Some(begun(&[&[1]], tally))), "`begun_tiles`");
    }
}
