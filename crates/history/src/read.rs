//! Reading a moment: the newest version of a key, and ordered scans over a chain of spaces.
//!
//! A *chain* lists the spaces that a moment visits, newest first, each with its last visible epoch.
//! Births grow along the chain, so the first space that holds a visible version holds the newest.

use crate::codec::{decode_record, parse_version_row, version_end, version_prefix, version_row};
use crate::error::{HistoryError, Result};
use crate::types::{Epoch, Key, Point, Record, SpaceId};
use std::ops::ControlFlow;
use tintype_kv::Kv;

/// The spaces that a moment visits, newest first.
pub type Chain = [Point];

type Row = std::result::Result<tintype_kv::Pair, tintype_kv::KvError>;

/// Older versions of one key that a scan steps over before it seeks past them.
const STEPS_BEFORE_SEEK: u32 = 4;

/// The newest version of `key` in the chain.
///
/// # Errors
/// The engine failed, or the version is damaged.
pub fn get(kv: &dyn Kv, chain: &Chain, key: Key) -> Result<Option<Record>> {
    for part in chain {
        if let Some(found) = get_in(kv, *part, key)? {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Keys this close are fetched by one pass over the rows between them.
const NEAR: u64 = 16;

/// The newest versions of many keys, which are sorted and distinct; each is told once, absent ones too.
///
/// # Errors
/// The engine failed, or a version is damaged.
pub fn get_many(
    kv: &dyn Kv,
    chain: &Chain,
    keys: &[Key],
    tell: &mut dyn FnMut(Key, Option<Record>),
) -> Result<()> {
    let mut open = keys.to_vec();
    for part in chain {
        let mut missing = Vec::new();
        for many in open.chunk_by(|a, b| (a.kind, a.a) == (b.kind, b.a) || are_near(a, b)) {
            get_scattered(kv, *part, many, &mut missing, tell)?;
        }
        open = missing;
        if open.is_empty() {
            break;
        }
    }
    open.into_iter().for_each(|key| tell(key, None));
    Ok(())
}

/// Whether few keys can lie between two: numbers that count up, never hashes.
fn are_near(a: &Key, b: &Key) -> bool {
    let steps = match (a.a == b.a, a.b, b.b) {
        (true, _, _) => b.b.saturating_sub(a.b),
        (false, 0, 0) => b.a.saturating_sub(a.a),
        _ => u64::MAX,
    };
    a.kind == b.kind && steps <= NEAR
}

/// Hashed keys that are passed in one go when they are many: most rows between them may be wanted.
const MANY: usize = 32;
/// Unwanted rows in a row after which a pass is given up for a seek.
const PATIENCE: usize = 8;
/// Passes that found hardly anything, after which the rest is sought one by one.
const VAIN: usize = 8;

/// Keys that are near, or that lie anywhere among those of one object.
fn get_scattered(
    kv: &dyn Kv,
    part: Point,
    mut keys: &[Key],
    missing: &mut Vec<Key>,
    tell: &mut dyn FnMut(Key, Option<Record>),
) -> Result<()> {
    let mut vain = 0;
    while keys.len() >= MANY
        && vain < VAIN
        && keys.chunk_by(are_near).next().is_none_or(|group| group.len() == 1)
    {
        let done = get_group(kv, part, keys, PATIENCE, missing, tell)?;
        vain += usize::from(done < 3);
        keys = keys.get(done..).unwrap_or(&[]);
    }
    for group in keys.chunk_by(are_near) {
        get_group(kv, part, group, usize::MAX, missing, tell)?;
    }
    Ok(())
}

/// One pass over the rows of one space from the first key of a group to its last, or until too many rows in a row are unwanted;
/// answers how many keys are done.
fn get_group(
    kv: &dyn Kv,
    part: Point,
    group: &[Key],
    patience: usize,
    missing: &mut Vec<Key>,
    tell: &mut dyn FnMut(Key, Option<Record>),
) -> Result<usize> {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(0) };
    let from = version_row(part.space, *first, part.epoch);
    let to = version_end(part.space, *last);
    let mut rest = group.iter().copied().peekable();
    let mut unwanted = 0;
    for row in kv.range(&from, &to) {
        let (row_key, value) = row?;
        let (_, key, birth) =
            parse_version_row(&row_key).ok_or_else(|| HistoryError::version(part.space, *first))?;
        while let Some(absent) = rest.next_if(|wanted| *wanted < key) {
            missing.push(absent);
        }
        if birth <= part.epoch && rest.next_if_eq(&key).is_some() {
            let record = decode_record(birth, &value)
                .ok_or_else(|| HistoryError::version(part.space, key))?;
            tell(key, record);
            unwanted = 0;
        } else {
            unwanted += 1;
        }
        if rest.peek().is_none() {
            break;
        }
        // The first one is done in any case, or the next pass would begin at the same place.
        if unwanted > patience && rest.len() < group.len() {
            return Ok(group.len() - rest.len());
        }
    }
    missing.extend(rest);
    Ok(group.len())
}

/// In one space: `None` = nothing here, look further; `Some(None)` = a tombstone.
fn get_in(kv: &dyn Kv, part: Point, key: Key) -> Result<Option<Option<Record>>> {
    let from = version_row(part.space, key, part.epoch);
    let to = version_end(part.space, key);
    let Some(row) = kv.range(&from, &to).next() else { return Ok(None) };
    let (row_key, value) = row?;
    let damaged = || HistoryError::version(part.space, key);
    let (_, _, birth) = parse_version_row(&row_key).ok_or_else(damaged)?;
    decode_record(birth, &value).ok_or_else(damaged).map(Some)
}

/// What a scan tells for each key.
pub type Visit<'v> = dyn FnMut(Key, Record) -> ControlFlow<()> + 'v;

/// Visits the newest versions of all keys with `from <= key < to`, ascending, tombstones left out.
///
/// # Errors
/// The engine failed, or a version is damaged.
pub fn scan(kv: &dyn Kv, chain: &Chain, from: Key, to: Key, visit: &mut Visit<'_>) -> Result<()> {
    let mut parts = Vec::with_capacity(chain.len());
    for part in chain {
        parts.push(PartScan::new(kv, *part, from, to)?);
    }
    loop {
        let Some(key) = parts.iter().filter_map(|part| part.head.as_ref().map(|h| h.0)).min()
        else {
            return Ok(());
        };
        let mut newest = None;
        for part in &mut parts {
            if part.head.as_ref().is_some_and(|head| head.0 == key) {
                let head = part.head.take();
                newest = newest.or(head);
                part.advance()?;
            }
        }
        if let Some((_, Some(record))) = newest
            && visit(key, record).is_break()
        {
            return Ok(());
        }
    }
}

type Rows<'k> = Box<dyn Iterator<Item = Row> + Send + 'k>;

/// The newest visible version of each key of one space, tombstones included.
struct PartScan<'k> {
    kv: &'k dyn Kv,
    part: Point,
    end: Vec<u8>,
    rows: Rows<'k>,
    done: Option<Key>,
    head: Option<(Key, Option<Record>)>,
}

impl<'k> PartScan<'k> {
    fn new(kv: &'k dyn Kv, part: Point, from: Key, to: Key) -> Result<Self> {
        let end = version_prefix(part.space, to);
        let rows = kv.range(&version_prefix(part.space, from), &end);
        let mut scan = Self { kv, part, end, rows, done: None, head: None };
        scan.advance()?;
        Ok(scan)
    }

    fn advance(&mut self) -> Result<()> {
        let mut skipped = 0;
        while let Some(row) = self.rows.next() {
            let (row_key, value) = row?;
            let (_, key, birth) =
                parse_version_row(&row_key).ok_or_else(|| HistoryError::Damaged {
                    what: "version row",
                    detail: format!("space {}", self.part.space.0),
                })?;
            let old = self.done == Some(key);
            if !old && birth <= self.part.epoch {
                let record = decode_record(birth, &value)
                    .ok_or_else(|| HistoryError::version(self.part.space, key))?;
                self.done = Some(key);
                self.head = Some((key, record));
                return Ok(());
            }
            skipped += 1;
            if skipped >= STEPS_BEFORE_SEEK {
                self.seek(key, old);
                skipped = 0;
            }
        }
        Ok(())
    }

    /// Past the older versions of `key`, or down to its newest visible one.
    fn seek(&mut self, key: Key, past: bool) {
        let from = if past {
            version_end(self.part.space, key)
        } else {
            version_row(self.part.space, key, self.part.epoch)
        };
        if from < self.end {
            self.rows = self.kv.range(&from, &self.end);
        } else {
            self.rows = Box::new(std::iter::empty());
        }
    }
}

/// All versions of `key` in one space, oldest first, as (birth, value).
///
/// # Errors
/// The engine failed, or a row is damaged.
pub fn versions_oldest_first(
    kv: &dyn Kv,
    space: SpaceId,
    key: Key,
    visit: &mut dyn FnMut(Epoch, &[u8]) -> ControlFlow<()>,
) -> Result<()> {
    let to = version_end(space, key);
    for row in kv.range_rev(&version_prefix(space, key), &to) {
        let (row_key, value) = row?;
        let (_, _, birth) =
            parse_version_row(&row_key).ok_or_else(|| HistoryError::version(space, key))?;
        if visit(birth, &value).is_break() {
            break;
        }
    }
    Ok(())
}
