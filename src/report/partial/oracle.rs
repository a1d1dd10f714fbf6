//! Partial oracles as files: what an interrupted oracle or a shard of one leaves, to go on from or to be merged.
//!
//! An NPZ archive of plain arrays that says by itself what it is about, so that merging needs no design:
//!
//! | array | type | shape | meaning |
//! |---|---|---|---|
//! | `manifest` | uint8 | bytes | JSON: format, fingerprint of the work, shard, tiles, metric, events, provenance, arrays |
//! | `array`, `index`, `bit` | int64 | sites | where each bit is; `array` counts the manifest's `arrays` |
//! | `golden`, `faulty` | float64 | sites | value of the register without and with the flip |
//! | `changed_events` | int64 | sites | events whose output the flip changes, among those done |
//! | `rise_sum` | int64 | sites, 4 | sum of error rises, exact ([`crate::campaign::ExactSum::to_words`]) |
//! | `golden_sum` | int64 | 4 | sum of fault-free errors, exact |

use std::io::Cursor;

use serde::{Deserialize, Serialize};

use super::PartialError;
use super::archive::{Archive, Kind, add_manifest, add_outcomes};
use crate::campaign::{Shard, ShardError, Tally};
use crate::net::TensorKind;
use crate::num::cast;
use crate::report::npz::{NpzWriter, Packing};
use crate::report::{Provenance, SiteRow, SiteTable};

/// What the files are.
const KIND: Kind =
    Kind { format: "trivote partial oracle 1", needed: "a shard or checkpoint written by `trivote oracle`" };

/// Part of an oracle, with all it takes to complete the result.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialOracle {
    /// What it is a part of.
    pub manifest: Manifest,
    /// The bits.
    pub sites: SiteTable,
    /// The sums.
    pub tally: Tally,
}

/// What a partial oracle is a part of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format and version of the file.
    pub format: String,
    /// Fingerprint of the whole work ([`crate::campaign::OracleInput::fingerprint`]).
    pub work: String,
    /// Shard, `i/n`.
    pub shard: String,
    /// Tiles of the shard done.
    pub tiles_done: u64,
    /// Tiles of the shard.
    pub tiles: u64,
    /// Name of the error measured.
    pub metric: String,
    /// Number of events of the whole work.
    pub events: usize,
    /// Layer and tensor of every register array.
    pub arrays: Vec<(String, TensorKind)>,
    /// Provenance of the whole work.
    pub provenance: Provenance,
}

impl Manifest {
    /// The name and version of the format this program writes.
    pub fn current_format() -> String {
        KIND.format.to_owned()
    }
}

impl PartialOracle {
    /// The same work, so far that the tally is `tally`.
    #[must_use]
    pub fn with(&self, tally: &Tally) -> Self {
        let manifest = Manifest { tiles_done: tally.tiles_done(), ..self.manifest.clone() };
        Self { manifest, sites: self.sites.clone(), tally: tally.clone() }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When packing fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PartialError> {
        let rows = &self.sites.sites;
        let whole = |value: fn(&SiteRow) -> i64| rows.iter().map(value).collect::<Vec<_>>();
        let real = |value: fn(&SiteRow) -> f64| rows.iter().map(value).collect::<Vec<_>>();
        let len = [rows.len()];
        let mut npz = NpzWriter::new(Cursor::new(Vec::new()), Packing::Stored);
        add_manifest(&mut npz, &self.manifest)?;
        npz.add("array", &len, &whole(|row| cast::i64_from_len(row.array))[..])?;
        npz.add("index", &len, &whole(|row| cast::i64_from_len(row.index))[..])?;
        npz.add("bit", &len, &whole(|row| i64::from(row.bit))[..])?;
        npz.add("golden", &len, &real(|row| row.golden)[..])?;
        npz.add("faulty", &len, &real(|row| row.faulty)[..])?;
        add_outcomes(&mut npz, "", self.tally.outcomes().iter())?;
        npz.add("golden_sum", &[4], &self.tally.golden_sum().to_words()[..])?;
        Ok(npz.finish()?.into_inner())
    }

    /// Reads a file; `file` names it in messages.
    ///
    /// # Errors
    /// When it is no partial oracle, of another version, or its arrays do not belong together.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, PartialError> {
        let archive = Archive { file, bytes, kind: KIND };
        let misfit = |name: &str| archive.misfit(name);
        let manifest: Manifest = archive.manifest()?;
        let places = [archive.integers("array")?, archive.integers("index")?, archive.integers("bit")?];
        let (golden, faulty) = (archive.reals("golden")?, archive.reals("faulty")?);
        let events = u32::try_from(manifest.events);
        let events = events.map_err(|_| archive.content("manifest: too many events".to_owned()))?;
        let outcomes = archive.outcomes("", events)?;
        let len = outcomes.len();
        for (name, found) in [("array", &places[0]), ("index", &places[1]), ("bit", &places[2])] {
            if found.len() != len {
                return Err(misfit(name));
            }
        }
        if golden.len() != len || faulty.len() != len {
            return Err(misfit(if golden.len() == len { "faulty" } else { "golden" }));
        }
        let [golden_sum] = archive.sums("golden_sum", events)?[..] else { return Err(misfit("golden_sum")) };
        let mut rows = Vec::with_capacity(len);
        for site in 0..len {
            let array = usize::try_from(places[0][site]).ok().filter(|array| *array < manifest.arrays.len());
            rows.push(SiteRow {
                array: array.ok_or_else(|| misfit("array"))?,
                index: usize::try_from(places[1][site]).map_err(|_| misfit("index"))?,
                bit: u8::try_from(places[2][site]).map_err(|_| misfit("bit"))?,
                golden: golden[site],
                faulty: faulty[site],
            });
        }
        if manifest.tiles_done > manifest.tiles {
            return Err(archive.content("manifest: more tiles are done than there are".to_owned()));
        }
        let tally = Tally::of_parts(manifest.tiles_done, golden_sum, outcomes);
        Ok(Self { sites: SiteTable { arrays: manifest.arrays.clone(), sites: rows }, manifest, tally })
    }
}

/// Adds up the shards of one oracle, given with the names of their files.
///
/// # Errors
/// When they belong to different work, one is unfinished, or they are not exactly the shards 1/n to n/n.
pub fn merge(parts: Vec<(String, PartialOracle)>) -> Result<PartialOracle, PartialError> {
    let incomplete = |what: String| PartialError::Incomplete { what };
    let mut shards: Vec<(Shard, String, PartialOracle)> = Vec::new();
    for (file, part) in parts {
        if let Some((_, first, other)) = shards.first()
            && (other.manifest.work != part.manifest.work || other.sites != part.sites)
        {
            return Err(PartialError::OtherWork { file, first: first.clone() });
        }
        let Manifest { shard, tiles_done: done, tiles, .. } = &part.manifest;
        if done < tiles {
            return Err(PartialError::Unfinished { file, shard: shard.clone(), done: *done, tiles: *tiles });
        }
        let shard: Shard = shard.parse().map_err(|error: ShardError| PartialError::Content {
            file: file.clone(),
            what: format!("manifest: {error}"),
            needed: KIND.needed,
        })?;
        if let Some((other, first, _)) = shards.first().filter(|(other, ..)| other.count() != shard.count()) {
            return Err(incomplete(format!("{first} is shard {other}, {file} is shard {shard}")));
        }
        if let Some((_, first, _)) = shards.iter().find(|(other, ..)| *other == shard) {
            return Err(incomplete(format!("{first} and {file} are both shard {shard}")));
        }
        shards.push((shard, file, part));
    }
    shards.sort_by_key(|(shard, ..)| *shard);
    let mut shards = shards.into_iter();
    let Some((first, _, mut whole)) = shards.next() else { return Err(incomplete("there is no shard".to_owned())) };
    let mut numbers = vec![first.number()];
    for (shard, _, part) in shards {
        numbers.push(shard.number());
        whole.tally.add_tally(&part.tally);
        whole.manifest.tiles += part.manifest.tiles;
    }
    if let Some(missing) = (1..=first.count()).find(|number| !numbers.contains(number)) {
        return Err(incomplete(format!("shard {missing}/{} is missing", first.count())));
    }
    whole.manifest.shard = Shard::WHOLE.to_string();
    whole.manifest.tiles_done = whole.manifest.tiles;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::campaign::{ExactSum, SiteOutcome};

    fn part() -> PartialOracle {
        let arrays = vec![("dense".to_owned(), TensorKind::Kernel), ("dense".to_owned(), TensorKind::Bias)];
        let row = |array, bit| SiteRow { array, index: 3, bit, golden: 0.5, faulty: -1.5 };
        let rise = |terms: &[f64]| terms.iter().map(|term| ExactSum::of(*term).unwrap()).sum();
        let outcomes = vec![
            SiteOutcome { changed_events: 2, rise_sum: rise(&[0.1, -1e9]) },
            SiteOutcome { changed_events: 0, rise_sum: ExactSum::default() },
        ];
        PartialOracle {
            manifest: Manifest {
                format: Manifest::current_format(),
                work: "work".to_owned(),
                shard: "1/2".to_owned(),
                tiles_done: 3,
                tiles: 3,
                metric: "mse".to_owned(),
                events: 6,
                arrays: arrays.clone(),
                provenance: Provenance::new(vec!["oracle".to_owned()], "name", "design".to_owned()),
            },
            sites: SiteTable { arrays, sites: vec![row(0, 7), row(1, 0)] },
            tally: Tally::of_parts(3, rise(&[0.3, 0.25, 7.0]), outcomes),
        }
    }

    fn refused(part: &PartialOracle) -> String {
        PartialOracle::read("a.npz", &part.to_bytes().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let whole = part();
        assert_eq!(PartialOracle::read("a.npz", &whole.to_bytes().unwrap()).unwrap(), whole);
        assert_eq!(whole.to_bytes().unwrap(), whole.to_bytes().unwrap());
    }

    #[test]
    fn contradictions_are_refused() {
        let changed = |change: fn(&mut PartialOracle)| {
            let mut part = part();
            change(&mut part);
            refused(&part)
        };
        assert!(changed(|part| part.manifest.format.push('7')).contains("oracle 17`"));
        assert!(changed(|part| part.manifest.tiles = 2).contains("more tiles"));
        assert!(changed(|part| part.manifest.events = 1).contains("`changed_events`"));
        assert!(changed(|part| part.manifest.events = 1 << 40).contains("too many events"));
        assert!(changed(|part| part.sites.sites[1].array = 2).contains("`array`"));
        let rise_sum = ExactSum::of(1.0).unwrap();
        let outcomes = vec![SiteOutcome { changed_events: 0, rise_sum }; 2];
        let mut part = part();
        part.tally = Tally::of_parts(3, ExactSum::default(), outcomes);
        assert!(refused(&part).contains("`rise_sum`"), "a rise without a changed event");
    }

    #[test]
    fn shards_that_are_not_all_there_are_refused() {
        let second = || {
            let mut second = part();
            second.manifest.shard = "2/2".to_owned();
            ("b.npz".to_owned(), second)
        };
        let first = || ("a.npz".to_owned(), part());
        let whole = merge(vec![second(), first()]).unwrap();
        assert_eq!((whole.manifest.shard.as_str(), whole.manifest.tiles, whole.tally.tiles_done()), ("1/1", 6, 6));
        assert_eq!(whole.tally.outcomes()[0].changed_events, 4);
        let refused = |parts| merge(parts).unwrap_err().to_string();
        assert!(refused(Vec::new()).contains("no shard"));
        assert!(refused(vec![second()]).contains("shard 1/2 is missing"));
        assert!(refused(vec![first(), first()]).contains("both shard 1/2"));
        let changed = |change: fn(&mut Manifest)| {
            let mut other = second();
            change(&mut other.1.manifest);
            refused(vec![first(), other])
        };
        assert!(changed(|manifest| manifest.work.push('!')).contains("other work than a.npz"));
        assert!(changed(|manifest| manifest.tiles_done = 1).contains("1 of its 3 tiles"));
        assert!(changed(|manifest| manifest.shard = "2/3".to_owned()).contains("b.npz is shard 2/3"));
        assert!(changed(|manifest| manifest.shard = "2".to_owned()).contains("`2` is no shard"));
    }

    proptest! {
        #[test]
        fn no_damage_panics(cut: prop::sample::Index, at: prop::sample::Index, byte: u8) {
            let whole = part();
            let bytes = whole.to_bytes().unwrap();
            prop_assert!(PartialOracle::read("a.npz", &bytes[..cut.index(bytes.len())]).is_err());
            let mut damaged = bytes;
            let at = at.index(damaged.len());
            damaged[at] = byte;
            // Checksums cover all values; what else is damaged does not matter or is noticed.
            if let Ok(found) = PartialOracle::read("a.npz", &damaged) {
                prop_assert_eq!(found, whole);
            }
        }
    }
}
