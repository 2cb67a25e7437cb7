//! What the journals are worth after an end, orderly or not: which bytes count, and whether something is missing.
//!
//! The engine syncs a journal before it makes the next one. So a journal that is followed by another one with batches in
//! it must be whole batches to its end, and the batches of all journals must follow each other. The newest of those with
//! batches may end in anything, for a power loss leaves what it likes of the bytes after the last sync; so may later ones
//! that hold no whole batch, as a failing write leaves them. But what was synced is there, or it is damage: the mark (see
//! `mark`) and every later whole batch (its link) name a batch that was on disk before they were written. When the whole batches
//! end before one of those, acknowledged writes are gone, and the store must not go on as if nothing had happened.
//!
//! What the tables hold is not lost when journals miss it (see `tables`): after a failed sync they may be ahead of the
//! journals, and of the journals that the engine removes, oldest first, a power loss may bring an older one back. A
//! damaged byte in a journal is damage all the same, also when the tables hold the batch.
//!
//! It changes nothing. Safe because only a statement that a sync has returned is ever believed, so a torn end is never
//! taken for damage; what no such statement covers was perhaps never promised.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::link::{NO_JOURNAL, StoreId, Synced};
use super::tables::Tables;
use super::tail::{self, Whole};

/// One journal, and how much of it counts.
#[derive(Debug)]
pub(super) struct Journal {
    /// Number in its name.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// Length of its whole batches.
    pub len: u64,
    /// Number of the last batch in it or before it; 0 without one.
    pub last: u64,
}

/// The journals, oldest first, and how much of each counts.
#[derive(Debug, Default)]
pub(super) struct Sound {
    /// The journals.
    pub journals: Vec<Journal>,
    /// So many of them, at the end, hold no batch and may go.
    pub spare: usize,
    /// The last whole batch, and the number of the journal that holds it.
    pub last: Option<Synced>,
}

/// Judges the journals of a folder. Damage is an error of the kind `InvalidData`.
pub(super) fn judge(
    files: Vec<PathBuf>,
    store: &StoreId,
    mark: Synced,
    tables: &mut Tables,
) -> io::Result<Sound> {
    let sound = measure(files, store, tables)?;
    Ending::of(&sound).check(store, mark, tables)?;
    Ok(sound)
}

/// Finds the whole batches, and checks all journals but those in which they may end in anything.
fn measure(files: Vec<PathBuf>, store: &StoreId, tables: &mut Tables) -> io::Result<Sound> {
    let files = in_order(files)?;
    let newest = newest_with_batches(&files, store)?;
    let mut sound = Sound::default();
    let mut last: Option<Whole> = None;
    for (place, (number, path)) in files.iter().enumerate() {
        consecutive(&sound, path, *number, tables)?;
        let mut file = File::open(path)?;
        let here = tail::last_whole(&mut file, store, last, tables)?;
        let len = here.map_or(0, |batch| batch.end);
        last = here.or(last);
        if let Some(batch) = here {
            sound.last = Some(Synced { number: batch.link.number, journal: *number });
        }
        let torn = newest.is_none_or(|newest| place >= newest) && !before_gap(&files, place);
        if !torn && !tail::zeros_from(&mut file, len)? {
            return Err(synced(path, len));
        }
        if here.is_none() && newest == Some(place) {
            let what = "is damaged at byte 0: it does not continue the journals before it";
            return Err(damage(path, what));
        }
        let (path, last) = (path.clone(), last.map_or(0, |batch| batch.link.number));
        sound.journals.push(Journal { number: *number, path, len, last });
    }
    let after = newest.map_or(0, |newest| files.len() - 1 - newest);
    sound.spare = if gap_behind(&sound, after) { 0 } else { after };
    Ok(sound)
}

/// The journals with their numbers, oldest first.
fn in_order(files: Vec<PathBuf>) -> io::Result<Vec<(u64, PathBuf)>> {
    let numbered = files.into_iter().map(|path| match number(&path) {
        Some(number) if path.file_name() == Some(format!("{number}.jnl").as_ref()) => {
            Ok((number, path))
        }
        _ => Err(damage(&path, "has a name that is none of a journal")),
    });
    let mut files = numbered.collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// The place of the newest journal that starts with a whole batch.
fn newest_with_batches(files: &[(u64, PathBuf)], store: &StoreId) -> io::Result<Option<usize>> {
    for (place, (_, path)) in files.iter().enumerate().rev() {
        if tail::holds_batches(&mut File::open(path)?, store)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Journals go from the oldest on, so none is missing between two, unless the tables hold what is before the gap.
fn consecutive(sound: &Sound, path: &Path, number: u64, tables: &mut Tables) -> io::Result<()> {
    let Some(before) = sound.journals.last() else { return Ok(()) };
    if before.number.checked_add(1) == Some(number) || tables.hold(before.last.max(1))? {
        return Ok(());
    }
    Err(damage(path, "has no journal before it, but older ones are there"))
}

/// Whether the journal after this one is missing, and a later one is there.
fn before_gap(files: &[(u64, PathBuf)], place: usize) -> bool {
    let number = |place: usize| files.get(place).map(|(number, _)| *number);
    let (this, next) = (number(place), number(place + 1));
    next.is_some() && this.and_then(|this| this.checked_add(1)) != next
}

/// Whether a journal is missing among the last `after` ones, or right before them.
fn gap_behind(sound: &Sound, after: usize) -> bool {
    let from = sound.journals.len().saturating_sub(after + 1);
    let behind = sound.journals.get(from..).unwrap_or_default();
    behind.windows(2).any(|pair| match pair {
        [one, next] => one.number.checked_add(1) != Some(next.number),
        _ => false,
    })
}

/// The journals in which the whole batches may end: the newest with batches, and those behind it.
struct Ending<'a> {
    journals: &'a [Journal],
    /// A journal is missing among them.
    gap: bool,
    last: Option<Synced>,
}

impl<'a> Ending<'a> {
    fn of(sound: &'a Sound) -> Self {
        let empty = sound.journals.iter().rev().take_while(|journal| journal.len == 0).count();
        let from = sound.journals.len().saturating_sub(empty + 1);
        let from = if sound.last.is_some() { from } else { 0 };
        Self {
            journals: sound.journals.get(from..).unwrap_or_default(),
            gap: gap_behind(sound, empty),
            last: sound.last,
        }
    }

    /// Refuses an end behind which something is known to have been synced.
    fn check(&self, store: &StoreId, mark: Synced, tables: &mut Tables) -> io::Result<()> {
        if self.missing(mark, tables)? {
            return Err(self.blame(mark)?);
        }
        for Journal { path, len, .. } in self.journals {
            let mut file = File::open(path)?;
            if tail::zeros_from(&mut file, *len)? {
                continue;
            }
            let mut said = Vec::new();
            tail::search(&mut file, *len, store, |batch| said.push(batch.link.synced))?;
            for known in said {
                if self.missing(known, tables)? {
                    return Err(synced(path, *len));
                }
            }
        }
        Ok(())
    }

    /// Whether a batch that was synced is neither among the whole ones, nor in the tables by way of a journal that is no more.
    fn missing(&self, known: Synced, tables: &mut Tables) -> io::Result<bool> {
        let nowhere = known.journal == NO_JOURNAL;
        match self.last {
            Some(last) if known.number <= last.number => Ok(false),
            Some(_) => Ok(!((nowhere || self.gap) && tables.hold(known.number)?)),
            // Without any whole batch it may have gone to the tables with an older journal than all of these.
            None => {
                let oldest = self.journals.first().map(|journal| journal.number);
                let here = known.number > 0
                    && !nowhere
                    && oldest.is_some_and(|oldest| known.journal >= oldest);
                let gone = self.journals.iter().all(|journal| journal.number != known.journal);
                Ok(here && !(gone && tables.hold(known.number)?))
            }
        }
    }

    /// The place of a damage that only the mark tells of.
    fn blame(&self, mark: Synced) -> io::Result<io::Error> {
        for Journal { path, len, .. } in self.journals {
            if !tail::zeros_from(&mut File::open(path)?, *len)? {
                return Ok(synced(path, *len));
            }
        }
        let named = self.journals.iter().find(|journal| journal.number == mark.journal);
        Ok(match named.or(self.journals.last()) {
            Some(Journal { path, len, .. }) => synced(path, *len),
            None => damage(Path::new(super::mark::NAME), "tells of a journal that is missing"),
        })
    }
}

/// The number in a journal's name.
pub(super) fn number(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}

/// A journal whose whole batches end before something that was synced.
fn synced(file: &Path, at: u64) -> io::Error {
    damage(file, &format!("is damaged at byte {at}, in what was synced"))
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
        with_tables(journals, mark, 0)
    }

    /// The same, with tables that hold all batches up to one.
    fn with_tables(journals: &[&[u8]], mark: Synced, tables: u64) -> Result<u64, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, bytes) in journals.iter().enumerate().filter(|(_, bytes)| **bytes != b"gone") {
            files.push(dir.path().join(format!("{number}.jnl")));
            fs::write(files.last().unwrap(), [bytes, &[0; 5000][..]].concat()).unwrap();
        }
        let sound =
            judge(files, &STORE, mark, &mut Tables::known(tables)).map_err(|e| e.to_string())?;
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

    /// As a failing write leaves it: the engine made a journal, and nothing whole reached it.
    #[test]
    fn a_torn_journal_may_be_followed_by_ones_without_a_batch() {
        let old = batches(1, 4, 2);
        let torn = &old[..old.len() - 10];
        let part = &batches(5, 5, 2)[..60];
        for later in [&[&b""[..]][..], &[part], &[b"", part], &[b"", b""]] {
            let all: Vec<_> = std::iter::once(torn).chain(later.iter().copied()).collect();
            assert_eq!(found(&all, none()), Ok(3));
            assert_eq!(found(&all, Synced { number: 3, journal: 0 }), Ok(3));
            // What was synced is missed all the same, and the place is where the whole batches end.
            let lost = found(&all, Synced { number: 4, journal: 0 }).unwrap_err();
            let end = old.len() / 4 * 3;
            assert_eq!(lost, format!("0.jnl is damaged at byte {end}, in what was synced"));
        }
        // A later batch that is whole says that the older journal was.
        let lost = found(&[torn, &batches(5, 5, 2)], none()).unwrap_err();
        assert!(lost.starts_with("0.jnl is damaged at byte"), "{lost}");
        // So does a whole one behind a bad one.
        let behind = [part, &batches(6, 6, 4)[..]].concat();
        let lost = found(&[torn, &behind], none()).unwrap_err();
        assert!(lost.starts_with("1.jnl is damaged at byte 0"), "{lost}");
        assert_eq!(found(&[torn, &[part, &batches(6, 6, 3)[..]].concat()], none()), Ok(3));
    }

    #[test]
    fn what_the_tables_hold_may_be_missing_between_journals() {
        let all = [batches(1, 4, 0), batches(5, 6, 4), batches(7, 8, 6)];
        let gone: [&[u8]; 3] = [&all[0], b"gone", &all[2]];
        assert_eq!(with_tables(&gone, none(), 6), Ok(8));
        assert!(with_tables(&gone, none(), 5).is_err());
        assert!(with_tables(&gone, Synced { number: 9, journal: 2 }, 9).is_err());
        // The newest journal is new, and the mark is of the one that is gone.
        let new: [&[u8]; 3] = [&all[0], b"gone", b""];
        let mark = Synced { number: 6, journal: 1 };
        assert_eq!(with_tables(&new, mark, 6), Ok(4));
        assert!(with_tables(&new, mark, 5).is_err());
        assert!(with_tables(&new, none(), 3).is_err());
        // A damaged byte before the gap is one, also when the tables hold the batch.
        let mut flipped = all[0].clone();
        flipped[200] ^= 1;
        for journals in [[&flipped[..], b"gone", &all[2]], [&flipped, b"gone", b""]] {
            assert!(with_tables(&journals, none(), 6).unwrap_err().starts_with("0.jnl is damaged"));
        }
        assert!(with_tables(&[&flipped, &all[1]], none(), 6).is_err());
        assert!(with_tables(&[&flipped], Synced { number: 4, journal: 0 }, 4).is_err());
    }

    /// After a failed sync the tables may be ahead; the next batch lies behind an older one.
    #[test]
    fn tables_ahead_of_a_journal_leave_no_hole_in_it() {
        let bytes = [batches(1, 4, 3), batches(8, 9, 7)].concat();
        assert_eq!(with_tables(&[&bytes], none(), 7), Ok(9));
        assert_eq!(with_tables(&[&batches(1, 4, 3), &batches(8, 9, 7)], none(), 7), Ok(9));
        let lost = with_tables(&[&bytes], none(), 6).unwrap_err();
        let end = bytes.len() / 6 * 4;
        assert_eq!(lost, format!("0.jnl is damaged at byte {end}, in what was synced"));
        // Opened, and nothing written yet: the mark is of the tables.
        let mark = Synced { number: 7, journal: NO_JOURNAL };
        assert_eq!(with_tables(&[&batches(1, 4, 3)], mark, 7), Ok(4));
        assert!(with_tables(&[&batches(1, 4, 3)], mark, 6).is_err());
    }
}
