//! A reference model beside a real store: every moment is a plain map, cloned at each snapshot.
#![allow(dead_code, missing_docs)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use tintype_history::codec::{
    Bytes, decode_keys, parse_row, prefix, row_range, space_row, version_row,
};
use tintype_history::{Epoch, SpaceId};
use tintype_kv::{Kv, MemoryKv};
use tintype_model::{
    AccessPoint, SnapshotId, SnapshotMeta, SnapshotName, VolumeId, VolumeKind, VolumeMeta,
    VolumeName,
};
use tintype_segments::{MemoryFiles, Options, Segments};
use tintype_store::{
    BLOCK, Key, LineOwner, LineRef, LiveLine, Moment, MomentRef, NewSnapshot, NewVolume, Piece,
    Store, StoreError, StoreOptions, Usage,
};

/// A record of the model: body, and a tag for each block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Val {
    pub body: Vec<u8>,
    pub blocks: BTreeMap<u16, u64>,
}

pub type State = BTreeMap<Key, Val>;

/// xorshift, good enough and the same everywhere.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n.max(1)
    }
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        if from.is_empty() { None } else { from.get(self.below(from.len() as u64) as usize) }
    }
}

/// The owner of a line in these tests.
pub struct Owner {
    pub line: Mutex<LiveLine>,
}

impl LineOwner for Owner {
    fn with_line(&self, f: &mut dyn FnMut(&mut LiveLine)) {
        f(&mut self.line.lock());
    }
    fn replaced(&self) {}
}

pub struct Vol {
    pub id: VolumeId,
    pub state: State,
    pub owner: Arc<Owner>,
    pub cloned: bool,
}

pub struct Snap {
    pub id: SnapshotId,
    pub volume: VolumeId,
    pub state: State,
    pub owner: Option<Arc<Owner>>,
}

pub struct World {
    pub kv: Arc<MemoryKv>,
    pub files: Arc<MemoryFiles>,
    pub store: Arc<Store>,
    pub vols: Vec<Vol>,
    pub snaps: Vec<Snap>,
    pub rng: Rng,
    pub counter: u64,
    pub log: Vec<String>,
    /// Whether random steps close and open the store.
    pub reopens: bool,
}

pub fn options() -> StoreOptions {
    StoreOptions { background: false, inline_commit: 3 * BLOCK, ..StoreOptions::default() }
}

pub fn open(kv: &Arc<MemoryKv>, files: &Arc<MemoryFiles>) -> Result<Arc<Store>, StoreError> {
    let segments =
        Segments::open(files.clone(), Options { segment_bytes: 512 << 10, ..Options::default() })?;
    Store::open(kv.clone(), Arc::new(segments), options())
}

pub fn block(tag: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK);
    let mut rng = Rng(tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    // Half of the tags are compressible.
    while out.len() < BLOCK {
        let word = if tag.is_multiple_of(2) { tag } else { rng.next() };
        out.extend_from_slice(&word.to_le_bytes());
    }
    out
}

pub fn serve(store: &Arc<Store>, line: LineRef) -> Result<Arc<Owner>, StoreError> {
    store.serve(line, |line| Ok(Arc::new(Owner { line: Mutex::new(line) })))
}

impl World {
    pub fn new(seed: u64) -> Self {
        let kv = Arc::new(MemoryKv::new());
        let files = Arc::new(MemoryFiles::new());
        let store = open(&kv, &files).unwrap();
        let mut world = Self {
            kv,
            files,
            store,
            vols: Vec::new(),
            snaps: Vec::new(),
            rng: Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            counter: 0,
            log: Vec::new(),
            reopens: true,
        };
        for _ in 0..8 {
            world.rng.next();
        }
        world.create_volume().unwrap();
        world
    }

    fn unique(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn create_volume(&mut self) -> Result<(), StoreError> {
        let n = self.unique();
        let meta = volume_meta(n);
        let volume = self.store.create_volume(NewVolume { meta })?;
        let owner = serve(&self.store, LineRef::Volume(volume.id))?;
        self.vols.push(Vol { id: volume.id, state: State::new(), owner, cloned: false });
        Ok(())
    }

    pub fn new_snapshot(&mut self, source: Option<SnapshotId>, writable: bool) -> NewSnapshot {
        let n = self.unique();
        let time = jiff::Timestamp::from_second(1_700_000_000 + n as i64).unwrap();
        let meta = SnapshotMeta::new(
            SnapshotName::new(format!("s{n}")).unwrap(),
            AccessPoint::new(format!("a{n}")).unwrap(),
            time,
        );
        NewSnapshot { meta, unique_access_point: true, source, writable }
    }

    /// A random key of a small universe.
    pub fn key(&mut self) -> Key {
        Key::new(1 + self.rng.below(2) as u8, self.rng.below(8), self.rng.below(3))
    }

    fn line(&mut self) -> Option<(Arc<Owner>, usize, bool)> {
        let writable: Vec<usize> =
            (0..self.snaps.len()).filter(|i| self.snaps[*i].owner.is_some()).collect();
        let n = self.rng.below((self.vols.len() + writable.len()) as u64) as usize;
        if let Some(vol) = self.vols.get(n) {
            return Some((vol.owner.clone(), n, true));
        }
        let index = writable[n - self.vols.len()];
        Some((self.snaps[index].owner.clone()?, index, false))
    }

    fn state_mut(&mut self, index: usize, volume: bool) -> &mut State {
        if volume { &mut self.vols[index].state } else { &mut self.snaps[index].state }
    }

    /// Writes, deletes or changes a record on a random line.
    pub fn mutate(&mut self) -> Result<(), StoreError> {
        let Some((owner, index, volume)) = self.line() else { return Ok(()) };
        let key = self.key();
        let mut line = owner.line.lock();
        let old = line.get(key)?;
        let expected = self.state_mut(index, volume).get(&key).cloned();
        assert_eq!(old.is_some(), expected.is_some(), "{key:?} before a change");
        self.log.push(format!("mutate {index} {volume} {key:?}"));
        if old.is_some() && self.rng.below(4) == 0 {
            line.delete(key);
            self.state_mut(index, volume).remove(&key);
            return Ok(());
        }
        let mut val = expected.unwrap_or_default();
        let mut pieces: Vec<Piece> = old.map_or_else(Vec::new, |old| old.pieces.to_vec());
        val.body = vec![self.unique() as u8; self.rng.below(40) as usize];
        for _ in 0..self.rng.below(4) {
            self.change_blocks(&mut line, key, &mut val, &mut pieces);
        }
        line.put(key, val.body.clone().into(), pieces.into());
        self.state_mut(index, volume).insert(key, val);
        Ok(())
    }

    fn change_blocks(
        &mut self,
        line: &mut LiveLine,
        key: Key,
        val: &mut Val,
        pieces: &mut Vec<Piece>,
    ) {
        let at = self.rng.below(30) as u16;
        let count = 1 + self.rng.below(3) as u16;
        let range = at..(at + count).min(32);
        let new = match self.rng.below(6) {
            0 => {
                range.clone().for_each(|at| {
                    val.blocks.remove(&at);
                });
                Vec::new()
            }
            1 if !pieces.is_empty() => {
                // Share a block from elsewhere in the same record.
                let from = pieces[self.rng.below(pieces.len() as u64) as usize];
                let one = Piece { len: 1, ..from };
                let tag = val.blocks.get(&from.at).copied();
                range.clone().for_each(|at| {
                    val.blocks.remove(&at);
                });
                if let Some(tag) = tag {
                    val.blocks.insert(at, tag);
                    vec![line.share(&one, at)]
                } else {
                    Vec::new()
                }
            }
            _ => {
                let mut data = Vec::new();
                for at in range.clone() {
                    let tag = self.unique();
                    data.extend(block(tag));
                    val.blocks.insert(at, tag);
                }
                line.stage(key.a, u64::from(at), at, &data)
            }
        };
        replace(pieces, range.start, range.end, new);
    }

    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.log.push("sync".to_owned());
        self.store.sync()
    }

    pub fn snapshot(&mut self) -> Result<(), StoreError> {
        let v = self.rng.below(self.vols.len() as u64) as usize;
        let volume = self.vols[v].id;
        let candidates: Vec<usize> =
            (0..self.snaps.len()).filter(|i| self.snaps[*i].volume == volume).collect();
        let source =
            if self.rng.below(3) == 0 { self.rng.pick(&candidates).copied() } else { None };
        let writable = self.rng.below(4) == 0;
        let new = self.new_snapshot(source.map(|i| self.snaps[i].id), writable);
        self.log.push(format!("snapshot of {v} source {source:?} writable {writable}"));
        let snapshot = self.store.create_snapshot(volume, new)?;
        let state = source.map_or(&self.vols[v].state, |i| &self.snaps[i].state).clone();
        let owner =
            if writable { Some(serve(&self.store, LineRef::Snapshot(snapshot.id))?) } else { None };
        self.snaps.push(Snap { id: snapshot.id, volume, state, owner });
        Ok(())
    }

    /// Names what a volume shows now.
    pub fn snapshot_now(&mut self, v: usize, writable: bool) -> Result<(), StoreError> {
        let volume = self.vols[v].id;
        let new = self.new_snapshot(None, writable);
        let id = self.store.create_snapshot(volume, new)?.id;
        let state = self.vols[v].state.clone();
        let owner = if writable { Some(serve(&self.store, LineRef::Snapshot(id))?) } else { None };
        self.snaps.push(Snap { id, volume, state, owner });
        Ok(())
    }

    /// Writes a key that no other round uses, and removes the one of three rounds before.
    pub fn passing_key(&mut self, v: usize, round: u64) -> Result<(), StoreError> {
        let Vol { owner, state, .. } = &mut self.vols[v];
        let mut line = owner.line.lock();
        let key = Key::new(3, round, 0);
        line.put_fresh(key, vec![1].into(), Box::default());
        state.insert(key, Val { body: vec![1], ..Val::default() });
        if let Some(before) = round.checked_sub(3) {
            let key = Key::new(3, before, 0);
            line.delete(key);
            state.remove(&key);
        }
        Ok(())
    }

    /// Removes a key, or brings it back.
    pub fn toggle(&mut self, v: usize, key: Key) {
        let owner = self.vols[v].owner.clone();
        toggle(&owner, &mut self.vols[v].state, key);
    }

    /// The same few keys come and go on a random line.
    fn toggle_some(&mut self) -> Result<(), StoreError> {
        let Some((owner, index, volume)) = self.line() else { return Ok(()) };
        let key = Key::new(4, self.rng.below(2), 0);
        self.log.push(format!("toggle {index} {volume} {key:?}"));
        toggle(&owner, self.state_mut(index, volume), key);
        Ok(())
    }

    pub fn make_writable(&mut self) -> Result<(), StoreError> {
        let fixed: Vec<usize> =
            (0..self.snaps.len()).filter(|i| self.snaps[*i].owner.is_none()).collect();
        let Some(i) = self.rng.pick(&fixed).copied() else { return Ok(()) };
        self.log.push(format!("writable {i}"));
        self.store.make_writable(self.snaps[i].id, &mut |_| ())?;
        self.snaps[i].owner = Some(serve(&self.store, LineRef::Snapshot(self.snaps[i].id))?);
        Ok(())
    }

    pub fn restore(&mut self) -> Result<(), StoreError> {
        let Some(i) = (!self.snaps.is_empty()).then(|| self.rng.below(self.snaps.len() as u64))
        else {
            return Ok(());
        };
        let i = i as usize;
        let volume = self.snaps[i].volume;
        let Some(v) = self.vols.iter().position(|vol| vol.id == volume) else { return Ok(()) };
        let keep = self.rng.below(2) == 0;
        self.log.push(format!("restore {v} from {i} keep {keep}"));
        let new = keep.then(|| self.new_snapshot(None, false));
        let name = new.as_ref().map(|new| new.meta.name.to_string());
        self.store.restore(volume, self.snaps[i].id, new)?;
        let before = std::mem::replace(&mut self.vols[v].state, self.snaps[i].state.clone());
        if let Some(name) = name {
            let id = self.store.snapshot(volume, &name).unwrap().id;
            self.snaps.push(Snap { id, volume, state: before, owner: None });
        }
        Ok(())
    }

    pub fn clone_volume(&mut self) -> Result<(), StoreError> {
        let Some(i) = (!self.snaps.is_empty()).then(|| self.rng.below(self.snaps.len() as u64))
        else {
            return Ok(());
        };
        self.clone_of(i as usize)
    }

    pub fn clone_of(&mut self, i: usize) -> Result<(), StoreError> {
        let meta = volume_meta(self.unique());
        self.log.push(format!("clone {i}"));
        let volume = self.store.clone_snapshot(self.snaps[i].id, NewVolume { meta })?;
        let owner = serve(&self.store, LineRef::Volume(volume.id))?;
        let state = self.snaps[i].state.clone();
        self.vols.push(Vol { id: volume.id, state, owner, cloned: true });
        Ok(())
    }

    pub fn delete_snapshots(&mut self, count: u64) -> Result<(), StoreError> {
        let mut chosen = Vec::new();
        for _ in 0..count {
            if !self.snaps.is_empty() {
                let i = self.rng.below(self.snaps.len() as u64) as usize;
                chosen.push(self.snaps.remove(i));
            }
        }
        self.delete_these(chosen)
    }

    pub fn delete_snapshot(&mut self, index: usize) -> Result<(), StoreError> {
        let chosen = vec![self.snaps.remove(index)];
        self.delete_these(chosen)
    }

    fn delete_these(&mut self, chosen: Vec<Snap>) -> Result<(), StoreError> {
        let ids: Vec<_> = chosen.iter().map(|snap| snap.id).collect();
        self.log.push(format!("delete {ids:?}"));
        drop(chosen);
        self.store.sync()?;
        let predicted = self.predicted(&ids)?;
        let before = self.paid();
        self.store.delete_snapshots(&ids)?;
        self.check_freed(predicted, &format!("deleting {ids:?}"))?;
        self.store.sync()?;
        assert_eq!(before - self.paid(), predicted.0, "deleting {ids:?}: usage and prediction");
        Ok(())
    }

    /// What all volumes are said to use.
    fn paid(&self) -> u64 {
        self.usages().iter().map(|usage| usage.live_bytes + usage.snapshot_bytes).sum()
    }

    /// Finishes due work and notes the prediction.
    fn predicted(&mut self, ids: &[SnapshotId]) -> Result<(u64, u64), StoreError> {
        while self.store.reclaim_step()? {}
        let before = self.store.status()?.progress.reclaimed_bytes;
        Ok((self.store.reclaimable(ids)?, before))
    }

    fn check_freed(
        &mut self,
        (predicted, before): (u64, u64),
        what: &str,
    ) -> Result<(), StoreError> {
        while self.store.reclaim_step()? {}
        let freed = self.store.status()?.progress.reclaimed_bytes - before;
        assert_eq!(freed, predicted, "{what}: predicted and freed differ");
        Ok(())
    }

    pub fn delete_volume(&mut self) -> Result<(), StoreError> {
        if self.vols.len() < 2 {
            return Ok(());
        }
        let v = self.rng.below(self.vols.len() as u64) as usize;
        self.remove_volume(v)
    }

    pub fn remove_volume(&mut self, v: usize) -> Result<(), StoreError> {
        let vol = self.vols.remove(v);
        self.log.push(format!("delete volume {v}"));
        self.snaps.retain(|snap| snap.volume != vol.id);
        let id = vol.id;
        drop(vol);
        self.store.delete_volume(id, true)
    }

    pub fn step(&mut self) -> Result<(), StoreError> {
        match self.rng.below(100) {
            0..10 => self.toggle_some(),
            10..60 => self.mutate(),
            60..68 => self.sync(),
            68..78 => self.snapshot(),
            78..80 => self.make_writable(),
            80..83 => self.restore(),
            83..85 => self.clone_volume(),
            85..91 => {
                let n = 1 + self.rng.below(3);
                self.delete_snapshots(n)
            }
            91..93 => self.delete_volume(),
            93..96 => self.store.reclaim_step().map(|_| ()),
            96..98 => self.store.clean_step().map(|_| ()),
            _ if self.reopens => self.reopen(),
            _ => self.sync(),
        }
    }

    pub fn reopen(&mut self) -> Result<(), StoreError> {
        self.log.push("reopen".to_owned());
        self.store.sync()?;
        let kept = self.usages();
        self.reopen_on(self.kv.clone(), self.files.clone())?;
        assert_eq!(self.usages(), kept, "usage as it was kept, against a count from the rows");
        Ok(())
    }

    fn usages(&self) -> Vec<Usage> {
        self.vols.iter().map(|vol| self.store.usage(vol.id)).collect()
    }

    pub fn reopen_on(
        &mut self,
        kv: Arc<MemoryKv>,
        files: Arc<MemoryFiles>,
    ) -> Result<(), StoreError> {
        let _ = self.store.close();
        self.kv = kv;
        self.files = files;
        self.store = open(&self.kv, &self.files)?;
        for vol in &mut self.vols {
            vol.owner = serve(&self.store, LineRef::Volume(vol.id))?;
        }
        for snap in self.snaps.iter_mut().filter(|snap| snap.owner.is_some()) {
            snap.owner = Some(serve(&self.store, LineRef::Snapshot(snap.id))?);
        }
        Ok(())
    }

    /// Every moment shows exactly what the model says.
    pub fn check(&mut self) -> Result<(), StoreError> {
        for (v, vol) in self.vols.iter().enumerate() {
            compare(&mut *vol.owner.line.lock(), &vol.state, &format!("volume {v}"))?;
        }
        for (s, snap) in self.snaps.iter().enumerate() {
            match &snap.owner {
                Some(owner) => {
                    compare(&mut *owner.line.lock(), &snap.state, &format!("writable {s}"))?;
                }
                None => {
                    let mut view = self.store.view(snap.id)?;
                    compare(&mut view, &snap.state, &format!("snapshot {s}"))?;
                }
            }
        }
        self.check_usage()?;
        self.check_touched()
    }

    /// What volumes are said to use: live bytes are shown, everything that has a name is paid for, and nothing else where
    /// one line is left.
    fn check_usage(&mut self) -> Result<(), StoreError> {
        self.store.sync()?;
        while self.store.reclaim_step()? {}
        let mut all = Items::new();
        let alone = self.vols.len() == 1;
        for (v, vol) in self.vols.iter().enumerate() {
            let items = items(&mut *vol.owner.line.lock())?;
            let shown: u64 = items.values().sum();
            let live = self.store.usage(vol.id).live_bytes;
            let exact = alone || !vol.cloned;
            assert!(live <= shown && (!exact || live == shown), "volume {v}: {live} of {shown}");
            all.extend(items);
        }
        for snap in &self.snaps {
            all.extend(match &snap.owner {
                Some(owner) => items(&mut *owner.line.lock())?,
                None => items(&mut self.store.view(snap.id)?)?,
            });
        }
        let (paid, named) = (self.paid(), all.values().sum());
        assert!(paid >= named, "volumes are said to use {paid}, their moments show {named}");
        if alone && self.snaps.is_empty() {
            assert_eq!(paid, named, "what one line is said to use");
        }
        Ok(())
    }

    /// A comparison of two moments names every key that differs.
    fn check_touched(&mut self) -> Result<(), StoreError> {
        let mut moments: Vec<(MomentRef, &State)> =
            self.vols.iter().map(|vol| (MomentRef::Live(vol.id), &vol.state)).collect();
        moments.extend(self.snaps.iter().map(|s| (MomentRef::Snapshot(s.id), &s.state)));
        for _ in 0..4 {
            let (Some(a), Some(b)) =
                (self.rng.pick(&moments).copied(), self.rng.pick(&moments).copied())
            else {
                continue;
            };
            let touched = match self.store.touched(a.0, b.0) {
                Err(StoreError::Unrelated) => continue,
                touched => touched?,
            };
            for key in a.1.keys().chain(b.1.keys()) {
                if a.1.get(key) != b.1.get(key) {
                    assert!(touched.binary_search(key).is_ok(), "{key:?} differs, not listed");
                }
            }
        }
        Ok(())
    }

    pub fn check_fsck(&mut self) -> Result<(), StoreError> {
        let report = self.store.fsck(false)?;
        assert_eq!(report.problems, Vec::<String>::new());
        self.check_lists();
        Ok(())
    }

    /// At least half of what the lists of each closed epoch say names a version that is there.
    fn check_lists(&self) {
        for ((space, epoch), keys) in touched_lists(&*self.kv) {
            let told = keys.len();
            let there = |key: &Key| self.kv.get(&version_row(space, *key, epoch)).unwrap();
            let useful = keys.into_iter().collect::<BTreeSet<_>>().iter().filter_map(there).count();
            assert!(
                told <= 2 * useful,
                "{space:?} {epoch:?}: of {told} names {useful} have a version"
            );
        }
    }
}

fn toggle(owner: &Owner, state: &mut State, key: Key) {
    let mut line = owner.line.lock();
    if state.remove(&key).is_some() {
        line.delete(key);
    } else {
        line.put_new(key, vec![2].into(), Box::default());
        state.insert(key, Val { body: vec![2], ..Val::default() });
    }
}

/// Touched keys of all closed epochs, as often as they are named.
pub fn touched_lists(kv: &dyn Kv) -> BTreeMap<(SpaceId, Epoch), Vec<Key>> {
    let mut lists = BTreeMap::<_, Vec<Key>>::new();
    let (from, to) = row_range(prefix::TOUCHED, &[]);
    for row in kv.range(&from, &to) {
        let (row, value) = row.unwrap();
        let [space, epoch, _] = parse_row::<3>(&row).unwrap();
        let open = kv.get(&space_row(SpaceId(space))).unwrap().unwrap();
        if epoch < Bytes(&open).varint().unwrap() {
            let list = lists.entry((SpaceId(space), Epoch(epoch))).or_default();
            list.extend(decode_keys(&value).unwrap());
        }
    }
    lists
}

/// What a moment refers to, with its accounted bytes: versions by key and birth, blocks by reference.
type Items = BTreeMap<(Key, u64, u16, u64, u16), u64>;

fn items(moment: &mut dyn Moment) -> Result<Items, StoreError> {
    let mut items = Items::new();
    moment.scan(Key::new(0, 0, 0), Key::new(9, 0, 0), &mut |key, record| {
        let bytes = tintype_history::codec::record_bytes(record);
        items.insert((key, record.birth.0, 0, 0, 0), bytes);
        for piece in &record.pieces {
            for step in 0..piece.len {
                let place =
                    (key, piece.birth.0, piece.at + step, piece.extent, piece.first + step + 1);
                items.insert(place, BLOCK as u64);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(items)
}

fn volume_meta(n: u64) -> VolumeMeta {
    let created = jiff::Timestamp::from_second(1_700_000_000).unwrap();
    VolumeMeta::new(VolumeName::new(format!("v{n}")).unwrap(), VolumeKind::Filesystem, created)
}

/// Replaces positions `from .. to` by `new`.
pub fn replace(pieces: &mut Vec<Piece>, from: u16, to: u16, new: Vec<Piece>) {
    let mut out = Vec::new();
    for piece in pieces.drain(..) {
        let end = piece.at + piece.len;
        if piece.at < from {
            out.push(Piece { len: end.min(from) - piece.at, ..piece });
        }
        if end > to {
            let skip = to.max(piece.at) - piece.at;
            out.push(Piece {
                at: piece.at + skip,
                first: piece.first + skip,
                len: piece.len - skip,
                ..piece
            });
        }
    }
    out.extend(new);
    out.sort_by_key(|piece| piece.at);
    *pieces = out;
}

pub fn compare(moment: &mut dyn Moment, state: &State, what: &str) -> Result<(), StoreError> {
    let mut found = BTreeMap::new();
    moment.scan(Key::new(0, 0, 0), Key::new(9, 0, 0), &mut |key, record| {
        found.insert(key, record.clone());
        ControlFlow::Continue(())
    })?;
    let keys: Vec<_> = found.keys().copied().collect();
    assert_eq!(keys, state.keys().copied().collect::<Vec<_>>(), "{what}: keys");
    let reader = moment.blocks();
    for (key, val) in state {
        let record = moment.get(*key)?.unwrap_or_else(|| panic!("{what}: {key:?} missing"));
        assert_eq!(record, found[key], "{what}: {key:?} get and scan differ");
        assert_eq!(&record.body[..], &val.body[..], "{what}: {key:?} body");
        let mut blocks = BTreeMap::new();
        for piece in &record.pieces {
            for step in 0..piece.len {
                let mut out = vec![0; BLOCK];
                reader.read(piece.extent, piece.first + step, 1, &mut out)?;
                blocks.insert(piece.at + step, out);
            }
        }
        let expected: BTreeMap<_, _> =
            val.blocks.iter().map(|(at, tag)| (*at, block(*tag))).collect();
        assert!(blocks == expected, "{what}: {key:?} blocks differ");
    }
    Ok(())
}
