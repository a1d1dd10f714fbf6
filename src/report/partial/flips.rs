//! Known flips as files: what an interrupted campaign leaves that flips some bits, batch after batch.
//!
//! Which bits it flips, and why, is not in the file: the campaign is replayed. So the file serves other orders, promises
//! and candidates on the same accelerator, events and error, too.
//!
//! | array | type | shape | meaning |
//! |---|---|---|---|
//! | `manifest` | uint8 | bytes | JSON: [`WorkManifest`] |
//! | `bit` | int64 | flips | number of every bit flipped, ascending ([`BitId`]) |
//! | `changed_events` | int64 | flips | events whose output the flip changes |
//! | `rise_sum` | int64 | flips, 4 | sum of error rises, exact ([`ExactSum::to_words`]) |
//! | `golden_sum` | int64 | 1, 4 | sum of fault-free errors, exact; 0 where nothing is flipped yet |
//! | `batch_bits`, `batch_tiles` | int64 | batches | bits and tiles done of every batch that was begun and not completed |
//! | `batch_golden_sum` | int64 | batches, 4 | its `golden_sum` over these tiles |
//! | `batch_bit`, `batch_changed_events`, `batch_rise_sum` | int64 | | of all batches, one after the other |

use std::collections::BTreeMap;
use std::io::Cursor;

use super::archive::{Archive, Kind, add_manifest, add_outcomes};
use super::{PartialError, WorkManifest};
use crate::campaign::{ExactSum, FlipBatch, KnownFlips, OracleInput, Tally, TrialInput};
use crate::hw::BitId;
use crate::num::cast;
use crate::report::npz::{NpzWriter, Packing};

/// What the files are.
const KIND: Kind = Kind { format: "trivote flips 1", needed: "a checkpoint written by `trivote analyze`" };

/// Known flips, with what they belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialFlips {
    /// What they belong to.
    pub manifest: WorkManifest,
    /// The flips.
    pub known: KnownFlips,
}

impl WorkManifest {
    /// Of flips that `command` makes; which sites there are does not matter.
    pub fn of_flips(input: &OracleInput<'_>, command: Vec<String>) -> Self {
        let OracleInput { network, inventory, evaluator, events, .. } = *input;
        Self::new(KIND, &TrialInput { network, inventory, evaluator, events }, command)
    }
}

impl PartialFlips {
    /// The file's bytes.
    ///
    /// # Errors
    /// When packing fails.
    pub fn to_bytes(manifest: &WorkManifest, known: &KnownFlips) -> Result<Vec<u8>, PartialError> {
        let (outcomes, begun) = (known.outcomes(), known.begun());
        let bits = |bits: &mut dyn Iterator<Item = &BitId>| bits.map(|bit| i64::from(bit.0)).collect::<Vec<_>>();
        let flipped = bits(&mut outcomes.keys());
        let lengths: Vec<i64> = begun.iter().map(|batch| cast::i64_from_len(batch.sites.len())).collect();
        let tiles: Vec<i64> = begun.iter().map(|batch| batch.tally.tiles_done().cast_signed()).collect();
        let golden: Vec<i64> = begun.iter().flat_map(|batch| batch.tally.golden_sum().to_words()).collect();
        let in_batches = bits(&mut begun.iter().flat_map(|batch| &batch.sites));
        let mut npz = NpzWriter::new(Cursor::new(Vec::new()), Packing::Stored);
        add_manifest(&mut npz, manifest)?;
        npz.add("bit", &[flipped.len()], &flipped[..])?;
        add_outcomes(&mut npz, "", outcomes.values())?;
        npz.add("golden_sum", &[1, 4], &known.golden_sum().to_words()[..])?;
        npz.add("batch_bits", &[begun.len()], &lengths[..])?;
        npz.add("batch_tiles", &[begun.len()], &tiles[..])?;
        npz.add("batch_golden_sum", &[begun.len(), 4], &golden[..])?;
        npz.add("batch_bit", &[in_batches.len()], &in_batches[..])?;
        add_outcomes(&mut npz, "batch_", begun.iter().flat_map(|batch| batch.tally.outcomes()))?;
        Ok(npz.finish()?.into_inner())
    }

    /// Reads a file; `file` names it in messages.
    ///
    /// # Errors
    /// When it holds no known flips, is of another version, or its arrays do not belong together.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, PartialError> {
        let archive = Archive { file, bytes, kind: KIND };
        let manifest: WorkManifest = archive.manifest()?;
        let events = manifest.events(&archive)?;
        let sites = |name: &str| manifest.sites(&archive, name);
        let flipped = sites("bit")?;
        let outcomes = archive.outcomes("", events)?;
        if flipped.len() != outcomes.len() || !flipped.is_sorted_by(|a, b| a < b) {
            return Err(archive.misfit("bit"));
        }
        let outcomes: BTreeMap<_, _> = flipped.into_iter().zip(outcomes).collect();
        let [golden_sum] = archive.sums("golden_sum", events)?[..] else { return Err(archive.misfit("golden_sum")) };
        let begun = batches(&archive, events, &sites("batch_bit")?)?;
        Ok(Self { manifest, known: KnownFlips::of_parts(golden_sum, outcomes, begun) })
    }
}

/// The batches that were begun, `sites` being those of all, one after the other.
fn batches(archive: &Archive<'_>, events: u32, sites: &[BitId]) -> Result<Vec<FlipBatch>, PartialError> {
    let (lengths, tiles) = (archive.integers("batch_bits")?, archive.integers("batch_tiles")?);
    let golden_sums: Vec<ExactSum> = archive.sums("batch_golden_sum", events)?;
    let outcomes = archive.outcomes("batch_", events)?;
    if outcomes.len() != sites.len() {
        return Err(archive.misfit("batch_bit"));
    }
    if tiles.len() != lengths.len() || golden_sums.len() != lengths.len() {
        return Err(archive.misfit(if tiles.len() == lengths.len() { "batch_golden_sum" } else { "batch_tiles" }));
    }
    let mut first = 0_usize;
    let mut begun = Vec::with_capacity(lengths.len());
    for ((length, tiles), golden_sum) in lengths.into_iter().zip(tiles).zip(golden_sums) {
        let end = usize::try_from(length).ok().and_then(|length| first.checked_add(length));
        let end = end.filter(|end| *end <= sites.len()).ok_or_else(|| archive.misfit("batch_bits"))?;
        let tiles = u64::try_from(tiles).map_err(|_| archive.misfit("batch_tiles"))?;
        let tally = Tally::of_parts(tiles, golden_sum, outcomes[first..end].to_vec());
        begun.push(FlipBatch { sites: sites[first..end].to_vec(), tally });
        first = end;
    }
    if first != sites.len() {
        return Err(archive.misfit("batch_bits"));
    }
    Ok(begun)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::SiteOutcome;

    fn part() -> PartialFlips {
        let manifest = WorkManifest::example(KIND);
        let sum = |term| ExactSum::of(term).unwrap();
        let outcome = |changed_events, rise| SiteOutcome { changed_events, rise_sum: sum(rise) };
        let outcomes = [(BitId(9), outcome(2, -1e9)), (BitId(3), outcome(6, 0.1))].into_iter().collect();
        let batch = |sites: &[u32], tiles| FlipBatch {
            sites: sites.iter().map(|site| BitId(*site)).collect(),
            tally: Tally::of_parts(tiles, sum(0.25), sites.iter().map(|site| outcome(1, f64::from(*site))).collect()),
        };
        PartialFlips {
            manifest,
            known: KnownFlips::of_parts(sum(0.3), outcomes, vec![batch(&[7, 0], 3), batch(&[1], 0)]),
        }
    }

    fn read_back(part: &PartialFlips) -> Result<PartialFlips, PartialError> {
        PartialFlips::read("a.npz", &PartialFlips::to_bytes(&part.manifest, &part.known).unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let whole = part();
        assert_eq!(read_back(&whole).unwrap(), whole);
        let nothing = PartialFlips { known: KnownFlips::default(), ..whole };
        assert_eq!(read_back(&nothing).unwrap(), nothing);
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |change: fn(&mut PartialFlips), expected: &str| {
            let mut part = part();
            change(&mut part);
            let error = read_back(&part).unwrap_err().to_string();
            assert!(error.starts_with("a.npz: ") && error.contains(expected), "{error}");
        };
        refused(|part| part.manifest.format = "trivote partial oracle 1".to_owned(), "`trivote flips 1` is needed");
        refused(|part| part.manifest.events = 1 << 40, "too many events");
        refused(|part| part.manifest.events = 5, "`changed_events`");
        refused(|part| part.manifest.bits = 9, "`bit`");
        let replace_batch = |part: &mut PartialFlips, tally: Tally| {
            let batch = FlipBatch { sites: vec![BitId(10)], tally };
            part.known = KnownFlips::of_parts(part.known.golden_sum(), part.known.outcomes().clone(), vec![batch]);
        };
        let mut beyond = part();
        replace_batch(&mut beyond, Tally::new(1));
        assert!(read_back(&beyond).unwrap_err().to_string().contains("`batch_bit`"));
        let mut uneven = part();
        replace_batch(&mut uneven, Tally::new(2));
        uneven.manifest.bits = 11;
        assert!(read_back(&uneven).unwrap_err().to_string().contains("`batch_bit`"));
        let mut negative = part();
        replace_batch(&mut negative, Tally::of_parts(u64::MAX, ExactSum::default(), vec![SiteOutcome::default()]));
        negative.manifest.bits = 11;
        assert!(read_back(&negative).unwrap_err().to_string().contains("`batch_tiles`"));
    }
}
