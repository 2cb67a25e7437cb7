//! Fsck of a store that does not open: which rows keep it from opening, and the recount that puts sums right.
//!
//! Opening reads spaces, counters, volumes, snapshots and sums, and ends at the first row that does not decode. Here all of
//! them are read, and each damaged one is named. Sums (`U`, `N`) follow from other rows: when only these are damaged, the
//! store is opened as if they were absent, without any work of its own, counted again at once, and closed. Nothing else may run
//! before the recount: missing sums make spaces look as if nothing were behind their points. Rows that nothing else tells
//! again (`S`, `G`, `M`, `E`) are left alone; then the other rows are still read one by one.

use crate::error::Result;
use crate::extents::{EXTENT, ExtentRow};
use crate::fsck::FsckReport;
use crate::meta::{self, META};
use crate::refs::SEGMENT;
use crate::store::{NEXT_EXTENT, Store, StoreOptions};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;
use tintype_history::codec::{
    Bytes as Reader, decode_dead, decode_keys, decode_record, parse_row, parse_version_row, prefix,
};
use tintype_kv::{Batch, Kv, KvError, Pair, Pairs};
use tintype_segments::Segments;

/// What a damaged row means for opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Other rows tell it again.
    Derived,
    /// Opening needs it, and nothing else tells it.
    Needed,
    /// Opening does not read it.
    Later,
}

/// Checks a store that does not open because rows are damaged. Repair writes sums again when nothing else keeps it from opening.
///
/// # Errors
/// The engines failed.
pub fn fsck_unopened(kv: Arc<dyn Kv>, segments: Arc<Segments>, repair: bool) -> Result<FsckReport> {
    let mut report = FsckReport::default();
    let spaces = spaces(&*kv)?;
    let (mut derived, mut needed, mut later) = (BTreeSet::new(), false, Vec::new());
    for row in kv.range(&[0], &[0xff; 8]) {
        let (key, value) = row?;
        let Some((weight, what)) = damage(&key, &value, &spaces) else { continue };
        match weight {
            Weight::Derived => {
                report.problem(what);
                derived.insert(key);
            }
            Weight::Needed => {
                report.problem(what);
                needed = true;
            }
            Weight::Later => later.push(what),
        }
    }
    if needed {
        later.into_iter().for_each(|what| report.problem(what));
        report.problem("the store cannot be opened: put its records back from a copy".to_owned());
        return Ok(report);
    }
    let hidden: Vec<_> = derived.iter().cloned().collect();
    let kv = Arc::new(Without { kv, hidden: RwLock::new(derived) });
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    Store::open(kv, segments, options)?.recount(repair, report, &hidden)
}

/// Spaces that have a row, sound or not.
fn spaces(kv: &dyn Kv) -> Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for row in kv.range(&[prefix::SPACE], &[prefix::SPACE + 1]) {
        found.extend(parse_row::<1>(&row?.0).map(|[id]| id));
    }
    Ok(found)
}

/// What is wrong with a row.
fn damage(key: &[u8], value: &Bytes, spaces: &BTreeSet<u64>) -> Option<(Weight, String)> {
    let (weight, what, sound) = match *key.first()? {
        prefix::SPACE => {
            (Weight::Needed, "space", parse_row::<1>(key).is_some() && is_space(value))
        }
        prefix::COUNTERS => (Weight::Needed, "counters", varints(value) >= 3),
        META => (Weight::Needed, meta::row_kind(key), meta::is_sound(key, value)),
        first if NEXT_EXTENT.first() == Some(&first) => {
            (Weight::Needed, "extent counter", Reader(value).varint().is_some())
        }
        prefix::CELL => {
            let known = parse_row::<3>(key).is_some_and(|[space, ..]| spaces.contains(&space));
            (Weight::Derived, "sum of a space", known && Reader(value).varint().is_some())
        }
        SEGMENT => {
            let sound = key.len() == 9 && Reader(value).varint().is_some();
            (Weight::Derived, "sum of a segment", sound)
        }
        prefix::VERSION => {
            let birth = parse_version_row(key).map(|(_, _, birth)| birth);
            let sound = birth.and_then(|birth| decode_record(birth, value)).is_some();
            (Weight::Later, "version", sound)
        }
        prefix::DEAD => (
            Weight::Later,
            "dead list",
            parse_row::<4>(key).is_some() && decode_dead(value).is_some(),
        ),
        prefix::TOUCHED => {
            let sound = parse_row::<3>(key).is_some() && decode_keys(value).is_some();
            (Weight::Later, "list of touched keys", sound)
        }
        EXTENT => (Weight::Later, "extent", ExtentRow::from_bytes(value).is_some()),
        _ => return None,
    };
    let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    (!sound).then(|| (weight, format!("the row {name} ({what}) is damaged")))
}

/// Open epoch, tag, and perhaps a parent with its epoch.
fn is_space(value: &[u8]) -> bool {
    matches!(varints(value), 2 | 4)
}

/// How many numbers a value holds; 0 when it holds anything else.
fn varints(value: &[u8]) -> usize {
    let (mut reader, mut count) = (Reader(value), 0);
    while !reader.0.is_empty() {
        if reader.varint().is_none() {
            return 0;
        }
        count += 1;
    }
    count
}

/// Records without some rows, until something is written.
struct Without {
    kv: Arc<dyn Kv>,
    hidden: RwLock<BTreeSet<Bytes>>,
}

impl Without {
    fn shows(&self, row: &Result<Pair, KvError>) -> bool {
        row.as_ref().map_or(true, |(key, _)| !self.hidden.read().contains(key))
    }
}

impl Kv for Without {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        if self.hidden.read().contains(key) { Ok(None) } else { self.kv.get(key) }
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        Box::new(self.kv.range(from, to).filter(|row| self.shows(row)))
    }

    fn range_rev(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        Box::new(self.kv.range_rev(from, to).filter(|row| self.shows(row)))
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        self.kv.write(batch)?;
        self.hidden.write().clear();
        Ok(())
    }

    fn sync(&self) -> Result<(), KvError> {
        self.kv.sync()
    }

    fn disk_bytes(&self) -> Result<u64, KvError> {
        self.kv.disk_bytes()
    }

    fn compact(&self) -> Result<(), KvError> {
        self.kv.compact()
    }
}
