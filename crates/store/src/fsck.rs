//! Fsck: recounts the whole store from its record versions and compares.
//!
//! Every derived number is computed again: cells from versions and dead lists, live and shared bits from
//! the pieces of all versions, segment sums from the extent table; every frame of every segment is either referenced or dead;
//! every row has a known prefix. Repair rewrites derived numbers; it never touches versions. Writers wait meanwhile.

use crate::error::Result;
use crate::extents::{EXTENT, ExtentRow, SHARED, extent_row, shared_row};
use crate::meta::{Catalog, META, Place as SnapshotPlace};
use crate::refs::{SEGMENT, place, segment_row};
use crate::stop;
use crate::store::{Core, NEXT_EXTENT, Store};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tintype_history::codec::{
    ALIVE, Bytes, Dead, cell_row, decode_dead, decode_keys, decode_record, parse_row,
    parse_version_row, prefix, put_varint, record_bytes, row_range, version_row,
};
use tintype_history::{BLOCK_BYTES, Epoch, Key, Record, SpaceId};
use tintype_kv::Batch;
use tintype_segments::{Place, SegmentId};

/// Problems listed in full; more are only counted.
const LISTED: usize = 1000;

/// What fsck found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Record versions read.
    pub versions: u64,
    /// Extents in the table.
    pub extents: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Bytes of segment files that live blocks keep.
    pub live_bytes: u64,
    /// Bytes of segment files that are known to be dead and wait for cleaning.
    pub dead_bytes: u64,
    /// Each problem in a sentence; at most 1,000.
    pub problems: Vec<String>,
    /// Number of problems.
    pub problem_count: u64,
    /// Rows rewritten.
    pub repaired: u64,
    /// Versions or dead lists do not decode: what they refer to is unknown, and so is every number that follows from them.
    pub uncounted: bool,
}

impl FsckReport {
    pub(crate) fn problem(&mut self, text: String) {
        self.problem_count += 1;
        if self.problems.len() < LISTED {
            self.problems.push(text);
        }
    }
}

type CellKey = (SpaceId, Epoch, Epoch);

#[derive(Default)]
struct Count {
    cells: BTreeMap<CellKey, u64>,
    references: HashMap<u64, BTreeMap<u16, u64>>,
    /// References that a record carries over from an older space.
    inherited: BTreeSet<Token>,
}

/// One reference: owner, key, position, extent, index, birth.
type Token = (SpaceId, Key, u16, u64, u16, Epoch);

impl Store {
    /// Checks everything; repairs derived numbers when asked to.
    ///
    /// # Errors
    /// The engines failed, or the store is about to close.
    pub fn fsck(&self, repair: bool) -> Result<FsckReport> {
        self.sync()?;
        while self.reclaim_step().unwrap_or(false) {
            stop::check()?;
        }
        self.recount(repair, FsckReport::default(), &[])
    }

    /// Counts everything again. `damaged` rows were read as absent; a repair writes or removes them.
    pub(crate) fn recount(
        &self,
        repair: bool,
        mut report: FsckReport,
        damaged: &[bytes::Bytes],
    ) -> Result<FsckReport> {
        let _commit = self.commit.lock();
        let mut core = self.core();
        let noted = self.note(&core);
        let mut count = Count::default();
        self.check_prefixes(&mut report)?;
        self.check_catalog(&core, &mut report);
        self.count_versions(&core, &mut count, &mut report)?;
        self.count_dead(&core, &mut count, &mut report)?;
        self.check_touched(&mut report)?;
        let mut batch = Batch::new();
        for row in damaged {
            batch.delete(row.clone());
        }
        self.check_cells(&core, &count, &mut batch, &mut report)?;
        let sums = self.check_extents(&count, &mut batch, &mut report)?;
        self.check_sums(&core, &sums, &mut batch, &mut report);
        self.check_segments(&sums, &mut report)?;
        drop(noted);
        if repair && report.uncounted {
            let text = "nothing is repaired while versions or dead lists are damaged: what they \
                        refer to is not known, and would be freed";
            report.problem(text.to_owned());
        } else if repair && !batch.is_empty() {
            report.repaired = batch.len() as u64;
            self.write_batch(&mut core, batch, true)?;
            self.reload(&mut core)?;
        }
        Ok(report)
    }

    /// Rows of a range, as long as the store stays open and somebody waits: whoever closes it, and everybody else, waits for the
    /// locks that are held here.
    fn rows(&self, from: &[u8], to: &[u8]) -> impl Iterator<Item = Result<tintype_kv::Pair>> {
        self.shared.kv.range(from, to).map(|row| {
            self.check_wanted()?;
            Ok(row?)
        })
    }

    fn check_wanted(&self) -> Result<()> {
        stop::check()?;
        self.shared.check_staying()
    }

    /// Derives everything in memory from the rows again.
    pub(crate) fn reload(&self, core: &mut Core) -> Result<()> {
        let mut history = tintype_history::History::open(self.shared.kv.clone())?;
        // Lines may have gone on to epochs that no row knows yet.
        let given = core.history.reserve_epoch();
        while history.reserve_epoch() < given {}
        core.catalog = Catalog::load(&*self.shared.kv)?;
        for volume in core.catalog.volumes.values() {
            history.set_head(volume.space, true);
        }
        for snapshot in core.catalog.snapshots.values() {
            match snapshot.place {
                SnapshotPlace::ReadOnly(point) => history.add_name(point),
                SnapshotPlace::Writable(space) => history.set_head(space, true),
            }
        }
        let held = core.catalog.holds.values().flat_map(|hold| hold.points);
        for point in core.pins.points().chain(held) {
            history.add_name(point);
        }
        history.resume()?;
        history.exclude(&core.stuck_work);
        core.history = history;
        core.sums = crate::store::load_sums(&*self.shared.kv)?;
        self.shared.extents.clear();
        core.usage = crate::usage::Sums::default();
        (core.trim, core.merge_due) = (true, true);
        Ok(())
    }

    fn check_prefixes(&self, report: &mut FsckReport) -> Result<()> {
        let known = [
            prefix::VERSION,
            prefix::DEAD,
            prefix::CELL,
            prefix::TOUCHED,
            prefix::SPACE,
            prefix::COUNTERS,
            EXTENT,
            SHARED,
            SEGMENT,
            META,
            *NEXT_EXTENT.first().unwrap_or(&0),
        ];
        let mut at = vec![0u8];
        while let Some(row) = self.shared.kv.range(&at, &[0xff; 16]).next() {
            let first = row?.0.first().copied().unwrap_or(0xff);
            if !known.contains(&first) {
                report.problem(format!("rows with the unknown prefix {first:#04x} exist"));
            }
            let Some(next) = first.checked_add(1) else { break };
            at = vec![next];
        }
        Ok(())
    }

    fn check_catalog(&self, core: &Core, report: &mut FsckReport) {
        let tree = core.history.tree();
        for volume in core.catalog.volumes.values() {
            if tree.get(volume.space).is_none() {
                report.problem(format!("volume {} has no space", volume.meta.name));
            }
        }
        for snapshot in core.catalog.snapshots.values() {
            let space = match snapshot.place {
                SnapshotPlace::ReadOnly(point) => point.space,
                SnapshotPlace::Writable(space) => space,
            };
            if tree.get(space).is_none() {
                report.problem(format!("snapshot {} has no space", snapshot.meta.name));
            }
            if !core.catalog.volumes.contains_key(&snapshot.volume) {
                report.problem(format!("snapshot {} has no volume", snapshot.meta.name));
            }
        }
        if core.held_spaces().into_iter().any(|space| tree.get(space).is_none()) {
            report.problem("a hold has no space".to_owned());
        }
    }

    fn count_versions(
        &self,
        core: &Core,
        count: &mut Count,
        report: &mut FsckReport,
    ) -> Result<()> {
        let (from, to) = row_range(prefix::VERSION, &[]);
        let mut group: Option<(SpaceId, Key)> = None;
        let mut tokens = BTreeSet::new();
        for row in self.rows(&from, &to) {
            let (key, value) = row?;
            report.versions += 1;
            let Some((space, key, birth)) = parse_version_row(&key) else {
                report.uncounted = true;
                report.problem("a version row has a damaged key".to_owned());
                continue;
            };
            let Some(record) = decode_record(birth, &value) else {
                report.uncounted = true;
                report.problem(format!("version {key:?} of space {} is damaged", space.0));
                continue;
            };
            if group.replace((space, key)) != Some((space, key)) {
                tokens.clear();
            }
            let Some(found) = core.history.tree().get(space) else {
                report.uncounted = true;
                report.problem(format!("version {key:?} lies in the unknown space {}", space.0));
                continue;
            };
            let fork = found.parent.map_or(Epoch(0), |parent| parent.epoch);
            if birth <= fork {
                report.problem(format!("version {key:?} of space {} is born early", space.0));
            }
            if let Some(record) = record {
                let owner = |birth| core.history.tree().owner(space, birth);
                count.record((space, key), fork, &record, &mut tokens, &owner);
            }
        }
        self.count_inherited(count)
    }

    /// References whose own space holds no record of them any more, though a joined one does.
    fn count_inherited(&self, count: &mut Count) -> Result<()> {
        let mut last = None;
        let tokens: Vec<_> = count.inherited.iter().copied().collect();
        for (owner, key, ..) in &tokens {
            if last.replace((*owner, *key)) == Some((*owner, *key)) {
                continue;
            }
            let (from, to) = row_range(prefix::VERSION, &[owner.0]);
            let (from, to) = (
                version_row(*owner, *key, Epoch(u64::MAX)).max(from),
                version_row(*owner, *key, Epoch(0)).min(to),
            );
            for row in self.rows(&from, &to) {
                let (row, value) = row?;
                let Some((_, _, birth)) = parse_version_row(&row) else { continue };
                let Some(Some(record)) = decode_record(birth, &value) else { continue };
                for (at, extent, index, birth) in references(&record) {
                    count.inherited.remove(&(*owner, *key, at, extent, index, birth));
                }
            }
        }
        for (owner, _, _, extent, index, birth) in std::mem::take(&mut count.inherited) {
            count.reference(owner, extent, index, birth);
        }
        Ok(())
    }

    fn count_dead(&self, core: &Core, count: &mut Count, report: &mut FsckReport) -> Result<()> {
        let (from, to) = row_range(prefix::DEAD, &[]);
        for row in self.rows(&from, &to) {
            let (key, value) = row?;
            let (Some([space, death, birth, _]), Some(items)) =
                (parse_row::<4>(&key), decode_dead(&value))
            else {
                report.uncounted = true;
                report.problem("a dead list is damaged".to_owned());
                continue;
            };
            let (space, death, birth) = (SpaceId(space), Epoch(death), Epoch(birth));
            let owner = core.history.tree().owner(space, birth);
            let mut bytes = 0;
            for item in items {
                bytes += self.dead_bytes(owner, birth, item, report)?;
            }
            *count.cells.entry((space, death, birth)).or_insert(0) += bytes;
            if owner == space {
                let alive = count.cells.entry((space, ALIVE, birth)).or_insert(0);
                *alive = alive.saturating_sub(bytes);
            }
        }
        Ok(())
    }

    fn dead_bytes(
        &self,
        owner: SpaceId,
        birth: Epoch,
        item: Dead,
        report: &mut FsckReport,
    ) -> Result<u64> {
        match item {
            Dead::Blocks { len, .. } => Ok(u64::from(len) * BLOCK_BYTES),
            Dead::Version(key) => {
                let value = self.shared.kv.get(&version_row(owner, key, birth))?;
                let record = value.and_then(|value| decode_record(birth, &value)).flatten();
                if record.is_none() {
                    report.problem(format!("a dead list names {key:?} which is not there"));
                }
                Ok(record.as_ref().map_or(0, record_bytes))
            }
        }
    }

    fn check_touched(&self, report: &mut FsckReport) -> Result<()> {
        let (from, to) = row_range(prefix::TOUCHED, &[]);
        for row in self.rows(&from, &to) {
            let (key, value) = row?;
            if parse_row::<3>(&key).is_none() || decode_keys(&value).is_none() {
                report.problem("a list of touched keys is damaged".to_owned());
            }
        }
        Ok(())
    }

    fn check_cells(
        &self,
        core: &Core,
        count: &Count,
        batch: &mut Batch,
        report: &mut FsckReport,
    ) -> Result<()> {
        let mut all: BTreeMap<CellKey, u64> = BTreeMap::new();
        for (id, space) in core.history.tree().iter() {
            for (death, birth, bytes) in space.cells.all_dead() {
                all.insert((id, death, birth), bytes);
            }
            for (birth, bytes) in space.cells.alive_after(Epoch(0)) {
                all.insert((id, ALIVE, birth), bytes);
            }
        }
        let keys: BTreeSet<_> = all.keys().chain(count.cells.keys()).copied().collect();
        for key in keys {
            let (noted, real) =
                (all.get(&key).copied().unwrap_or(0), count.cells.get(&key).copied().unwrap_or(0));
            if noted == real {
                continue;
            }
            let (space, death, birth) = key;
            report.problem(format!(
                "space {} counts {noted} bytes for birth {} death {}, but there are {real}",
                space.0,
                birth.0,
                if death == ALIVE { "never".to_owned() } else { death.0.to_string() },
            ));
            put_number(batch, cell_row(space, death, birth), real);
        }
        Ok(())
    }

    fn check_extents(
        &self,
        count: &Count,
        batch: &mut Batch,
        report: &mut FsckReport,
    ) -> Result<BTreeMap<SegmentId, u64>> {
        let mut sums = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let (from, to) = row_range(EXTENT, &[]);
        for row in self.rows(&from, &to) {
            let (key, value) = row?;
            report.extents += 1;
            let id = key.get(1..).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes);
            seen.insert(id);
            let Some(row) = ExtentRow::from_bytes(&value) else {
                report.problem(format!("the row of extent {id} is damaged"));
                continue;
            };
            let fixed = self.check_extent(id, &row, count, batch, report)?;
            if let Some((segment, bytes)) = place(&fixed) {
                *sums.entry(segment).or_insert(0) += bytes;
            }
        }
        for extent in count.references.keys().filter(|extent| !seen.contains(extent)) {
            report.problem(format!("extent {extent} is referenced but has no row"));
        }
        sums.retain(|_, bytes| *bytes > 0);
        Ok(sums)
    }

    fn check_extent(
        &self,
        id: u64,
        row: &ExtentRow,
        count: &Count,
        batch: &mut Batch,
        report: &mut FsckReport,
    ) -> Result<ExtentRow> {
        let none = BTreeMap::new();
        let references = count.references.get(&id).unwrap_or(&none);
        let mut fixed = ExtentRow { live: 0, shared: 0, stored: row.stored.clone() };
        for (index, number) in references {
            let bit = 1u32.checked_shl((*index).into()).unwrap_or(0);
            fixed.live |= bit;
            let noted = if row.shared & bit == 0 {
                0
            } else {
                let value = self.shared.kv.get(&shared_row(id, *index))?;
                value.and_then(|value| Bytes(&value).varint()).unwrap_or(0)
            };
            if *number > 1 {
                fixed.shared |= bit;
            }
            if noted != number - 1 {
                report.problem(format!(
                    "block {index} of extent {id} counts {noted} extra references, there are {}",
                    number - 1
                ));
                put_number(batch, shared_row(id, *index), number - 1);
            }
        }
        if fixed.live & !row.stored.present != 0 {
            report.problem(format!("extent {id} lacks blocks that are referenced"));
        }
        if fixed != *row {
            report.problem(format!(
                "extent {id} notes live {:#x} shared {:#x}, there are {:#x} and {:#x}",
                row.live, row.shared, fixed.live, fixed.shared
            ));
            if fixed.live == 0 {
                batch.delete(extent_row(id));
            } else {
                batch.put(extent_row(id), fixed.to_bytes());
            }
        }
        Ok(fixed)
    }

    fn check_sums(
        &self,
        core: &Core,
        sums: &BTreeMap<SegmentId, u64>,
        batch: &mut Batch,
        report: &mut FsckReport,
    ) {
        let keys: BTreeSet<_> = core.sums.keys().chain(sums.keys()).copied().collect();
        for segment in keys {
            let noted = core.sums.get(&segment).copied().unwrap_or(0);
            let real = sums.get(&segment).copied().unwrap_or(0);
            if noted != real {
                report.problem(format!(
                    "segment {segment} notes {noted} live bytes, there are {real}"
                ));
                put_number(batch, segment_row(segment), real);
            }
        }
    }

    /// Every byte of every segment is a frame (live or dead) or an end that was never finished.
    fn check_segments(
        &self,
        sums: &BTreeMap<SegmentId, u64>,
        report: &mut FsckReport,
    ) -> Result<()> {
        let mut frames = BTreeSet::new();
        for segment in self.shared.segments.list()? {
            report.segment_bytes += segment.bytes;
            let live = sums.get(&segment.id).copied().unwrap_or(0);
            report.live_bytes += live;
            report.dead_bytes += segment.bytes.saturating_sub(live);
            for frame in self.shared.segments.frames(segment.id)? {
                self.check_wanted()?;
                match frame {
                    Ok(frame) => {
                        if let Place::At { offset, .. } = frame.stored.place {
                            frames.insert((segment.id, offset));
                        }
                    }
                    Err(error) => report.problem(format!("segment {}: {error}", segment.id)),
                }
            }
        }
        let (from, to) = row_range(EXTENT, &[]);
        for row in self.rows(&from, &to) {
            let (key, value) = row?;
            let Some(row) = ExtentRow::from_bytes(&value) else { continue };
            if let Place::At { segment, offset } = row.stored.place
                && !frames.contains(&(segment, offset))
            {
                report.problem(format!(
                    "extent {key:02x?} lies in segment {segment} at {offset}, where no frame is"
                ));
            }
        }
        Ok(())
    }
}

impl Count {
    fn record(
        &mut self,
        (space, key): (SpaceId, Key),
        fork: Epoch,
        record: &Record,
        tokens: &mut BTreeSet<(u16, u64, u16, Epoch)>,
        owner: &dyn Fn(Epoch) -> SpaceId,
    ) {
        *self.cells.entry((space, ALIVE, record.birth)).or_insert(0) += record_bytes(record);
        for (at, extent, index, birth) in references(record) {
            if birth <= fork {
                self.inherited.insert((owner(birth), key, at, extent, index, birth));
            } else if tokens.insert((at, extent, index, birth)) {
                self.reference(space, extent, index, birth);
            }
        }
    }

    fn reference(&mut self, owner: SpaceId, extent: u64, index: u16, birth: Epoch) {
        *self.cells.entry((owner, ALIVE, birth)).or_insert(0) += BLOCK_BYTES;
        *self.references.entry(extent).or_default().entry(index).or_insert(0) += 1;
    }
}

/// All written blocks of a record: position, extent, index, birth.
fn references(record: &Record) -> impl Iterator<Item = (u16, u64, u16, Epoch)> + '_ {
    record.pieces.iter().filter(|piece| piece.extent != 0).flat_map(|piece| {
        (0..piece.len).map(|step| (piece.at + step, piece.extent, piece.first + step, piece.birth))
    })
}

fn put_number(batch: &mut Batch, row: Vec<u8>, number: u64) {
    if number == 0 {
        batch.delete(row);
    } else {
        let mut value = Vec::new();
        put_varint(&mut value, number);
        batch.put(row, value);
    }
}
