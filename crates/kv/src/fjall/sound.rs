//! What the journals are worth after an end, orderly or not: which bytes count, and whether something is missing.
//!
//! Journals that were followed by another one were synced then: every byte of them must be a whole batch, and their
//! batches must follow each other. The newest journal may end in anything, for a power loss leaves what it
//! likes of the bytes after the last sync. But what was synced is there, or it is damage: the mark (see `mark`) and every
//! later whole batch (its link) name a batch that was on disk before they were written. When the whole batches end before
//! one of those, acknowledged writes are gone, and the store must not go on as if nothing had happened.
//!
//! It changes nothing. Safe because only a statement that a sync has returned is ever believed, so a torn end is never
//! taken for damage; what no such statement covers was perhaps never promised.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::link::{StoreId, Synced};
use super::tail::{self, Whole};

/// The journals, oldest first, and how much of each counts.
#[derive(Debug, Default)]
pub(super) struct Sound {
    /// Each journal with the length of its whole batches.
    pub journals: Vec<(PathBuf, u64)>,
    /// The last whole batch, and the number of the journal that holds it.
    pub last: Option<Synced>,
}

/// Judges the journals of a folder. Damage is an error of the kind `InvalidData`.
pub(super) fn judge(mut files: Vec<PathBuf>, store: &StoreId, mark: Synced) -> io::Result<Sound> {
    files.sort_by_key(|file| number(file));
    let mut sound = Sound::default();
    let mut last: Option<Whole> = None;
    let newest = files.len();
    for (place, path) in files.into_iter().enumerate() {
        let journal =
            number(&path).ok_or_else(|| damage(&path, "has a name that is none of a journal"))?;
        consecutive(&sound, &path, journal)?;
        let mut file = File::open(&path)?;
        let here = tail::last_whole(&mut file, store, last)?;
        let end = here.map_or(0, |batch| batch.end);
        last = here.or(last);
        if let Some(batch) = here {
            sound.last = Some(Synced { number: batch.link.number, journal });
        }
        let lost = if place + 1 == newest {
            lost(&mut file, journal, end, store, mark, sound.last)?
        } else {
            !tail::zeros_from(&mut file, end)?
        };
        if lost {
            return Err(damage(&path, &format!("is damaged at byte {end}, in what was synced")));
        }
        sound.journals.push((path, end));
    }
    Ok(sound)
}

/// Journals go from the oldest on, so none is missing between two.
fn consecutive(sound: &Sound, path: &Path, journal: u64) -> io::Result<()> {
    let before = sound.journals.last().and_then(|(path, _)| number(path));
    if before.is_some_and(|before| before + 1 != journal) {
        return Err(damage(path, "has no journal before it, but older ones are there"));
    }
    Ok(())
}

/// Whether something is known to have been synced behind the whole batches of the newest journal.
fn lost(
    file: &mut File,
    journal: u64,
    end: u64,
    store: &StoreId,
    mark: Synced,
    last: Option<Synced>,
) -> io::Result<bool> {
    // A synced batch that is not among the whole ones lies in the newest journal when an older one holds the last whole
    // batch; without any it may have gone to the tables with a journal that is no more.
    let missing = |synced: Synced| match last {
        Some(last) => synced.number > last.number,
        None => synced.number > 0 && synced.journal == journal,
    };
    if missing(mark) {
        return Ok(true);
    }
    if tail::zeros_from(file, end)? {
        return Ok(false);
    }
    let mut found = false;
    tail::search(file, end, store, |batch| found |= missing(batch.link.synced))?;
    Ok(found)
}

/// The number in a journal's name.
pub(super) fn number(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}

/// An error that says which file is damaged and where.
pub(super) fn damage(file: &Path, what: &str) -> io::Error {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    io::Error::new(io::ErrorKind::InvalidData, format!("{name} {what}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use xxhash_rust::xxh3::xxh3_64;

    use super::super::link::{LINK_KEY, Link};
    use super::*;

    const STORE: StoreId = [7; 16];

    /// A batch as the engine writes it: the link and one record.
    fn batch(number: u64, synced: Synced, value: &[u8]) -> Vec<u8> {
        let link = Link { number, floor: number * 2, synced };
        let mut items = Vec::new();
        for (key, value) in [(&LINK_KEY[..], &link.encode(&STORE)[..]), (b"key", value)] {
            items.extend([2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            items.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
            let len = u32::try_from(value.len()).unwrap().to_le_bytes();
            [&len[..], &len[..], key, value].iter().for_each(|part| items.extend(*part));
        }
        let mut bytes = vec![1, 2, 0, 0, 0];
        bytes.extend((number * 2).to_le_bytes());
        bytes.extend(&items);
        bytes.push(3);
        bytes.extend(xxh3_64(&items).to_le_bytes());
        bytes.extend(b"FJL\x03");
        assert!(tail::batch_len(1, 3 + value.len() as u64) >= bytes.len() as u64);
        bytes
    }

    /// Batches `from..=to`, each written when everything up to `synced` was known to be on disk in journal 0.
    fn batches(from: u64, to: u64, synced: u64) -> Vec<u8> {
        let synced = Synced { number: synced, journal: 0 };
        (from..=to).flat_map(|number| batch(number, synced, &[number as u8; 30])).collect()
    }

    /// What is found in journals 0, 1, ... with this content and a mark.
    fn found(journals: &[&[u8]], mark: Synced) -> Result<u64, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, bytes) in journals.iter().enumerate().filter(|(_, bytes)| **bytes != b"gone") {
            files.push(dir.path().join(format!("{number}.jnl")));
            fs::write(files.last().unwrap(), [bytes, &[0; 5000][..]].concat()).unwrap();
        }
        let sound = judge(files, &STORE, mark).map_err(|e| e.to_string())?;
        Ok(sound.last.map_or(0, |last| last.number))
    }

    fn none() -> Synced {
        Synced::default()
    }

    #[test]
    fn every_byte_of_an_older_journal_counts() {
        let (old, new) = (batches(1, 4, 0), batches(5, 6, 4));
        assert_eq!(found(&[&old, &new], none()), Ok(6));
        for at in 0..old.len() + 200 {
            let mut flipped = [&old[..], &[0; 200]].concat();
            flipped[at] ^= 1 << (at % 8);
            let after = found(&[&flipped, &new], Synced { number: 6, journal: 1 });
            // A sequence number within its bounds changes nothing.
            assert!(after.is_err() || (after == Ok(6) && at % (old.len() / 4) < 13), "byte {at}");
        }
        assert_eq!(found(&[&old, b""], none()), Ok(4));
    }

    #[test]
    fn a_missing_older_journal_or_its_end_is_noticed() {
        let all = [batches(1, 4, 0), batches(5, 6, 4), batches(7, 8, 6)];
        assert_eq!(found(&[&all[0], &all[1], &all[2]], none()), Ok(8));
        assert_eq!(found(&[b"gone", &all[1], &all[2]], none()), Ok(8));
        assert!(found(&[&all[0], b"gone", &all[2]], none()).is_err());
        assert!(found(&[&all[0], b"gone", b""], none()).is_err());
        let short = batches(1, 3, 0);
        assert!(
            found(&[&short, &all[1]], none())
                .unwrap_err()
                .starts_with("1.jnl is damaged at byte 0")
        );
    }

    #[test]
    fn a_bad_batch_is_damage_only_when_it_was_synced() {
        let bytes = batches(1, 8, 3);
        let one = bytes.len() / 8;
        for bad in 0..8 {
            let mut flipped = bytes.clone();
            flipped[bad * one + 100] ^= 1;
            let known = bad as u64;
            // The later batches say that 3 were synced.
            let by_links = found(&[&flipped], none());
            assert_eq!(by_links.is_err(), bad < 3, "batch {known}");
            let mark = Synced { number: 5, journal: 0 };
            let by_mark = found(&[&flipped], mark);
            assert_eq!(by_mark.is_err(), bad < 5, "batch {known}");
            assert_eq!(by_mark.unwrap_or(known), known);
        }
    }

    #[test]
    fn a_new_journal_without_a_batch_owes_nothing_to_one_that_is_gone() {
        let gone = Synced { number: 9, journal: 0 };
        let torn = &batches(10, 10, 9)[..60];
        assert_eq!(found(&[b"gone", torn], gone), Ok(0));
        assert!(found(&[b"gone", torn], Synced { number: 10, journal: 1 }).is_err());
    }

    /// A batch that a program wrote into a value, of another store, says nothing here.
    #[test]
    fn a_batch_of_another_store_is_no_witness() {
        let torn = batches(1, 2, 0);
        let mut foreign = batches(3, 3, 2);
        let id = foreign.windows(16).position(|part| part == STORE).unwrap();
        foreign[id] ^= 1;
        let bytes = [&batches(1, 1, 0)[..], &torn[..50], &foreign].concat();
        assert_eq!(found(&[&bytes], none()), Ok(1));
        let own = [&batches(1, 1, 0)[..], &torn[..50], &batches(3, 3, 2)].concat();
        assert!(found(&[&own], none()).unwrap_err().starts_with("0.jnl is damaged at byte"));
    }
}
