//! What prune reads before it decides: packs, snapshots, index, and which blobs are needed from which pack.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::{BlobId, IndexId, PackId, SnapshotId};
use crate::index::{Found, Index, IndexBuilder, IndexFile, IndexedPack};
use crate::pack::BlobKind;
use crate::reach::{Marks, Seen, reach, threads};
use crate::repository::Repository;
use tintype_model::moment::Moment;

/// What is known of a pack.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pack {
    /// Its length as listed; `None`: it is not there.
    pub there: Option<u64>,
    /// Its length by the index.
    pub indexed: u64,
    /// Some index file has it in use.
    pub in_use: bool,
    /// It is marked in some index file: since when, the latest time.
    pub marked: Option<Timestamp>,
    /// Sealed bytes of all its blobs.
    pub total: u64,
    /// Sealed bytes of needed blobs that lie nowhere else.
    pub only_here: u64,
    /// Sealed bytes of needed blobs that are to be taken from here.
    pub used: u64,
    /// Number of blobs, of those that are trees, and of those that are not compressed.
    pub blobs: [u32; 3],
}

/// All that was read.
pub(super) struct Gathered {
    pub index: Index,
    pub marks: Marks,
    pub packs: HashMap<PackId, Pack>,
    /// Packs that no index names, with their lengths.
    pub unknown: Vec<(PackId, u64)>,
    /// Index files that were read, and which of them are small.
    pub files: BTreeSet<IndexId>,
    pub small: Vec<IndexId>,
}

/// Index files with fewer blobs are small.
const SMALL: usize = 10_000;

/// Reads everything and finds out what is needed.
pub(super) fn gather(repo: &Repository, wanted: usize, now: Timestamp) -> Result<Gathered> {
    let mut listed = list_packs(repo)?;
    let mut reading = Reading::default();
    let roots = reading.read(repo, now)?;
    if reading.packs.keys().any(|id| !listed.contains_key(id)) {
        // Written since, or really not there.
        listed.extend(list_packs(repo)?);
    }
    for (id, pack) in &mut reading.packs {
        pack.there = listed.get(id).copied();
    }
    let unknown = listed.iter().filter(|(id, _)| !reading.packs.contains_key(id));
    let mut unknown: Vec<_> = unknown.map(|(id, length)| (*id, *length)).collect();
    unknown.sort_unstable();
    let index = std::mem::take(&mut reading.builder).build();
    let marks = Marks::new(&index);
    reach(repo, &index, &roots, &marks, threads(wanted), &refuse_missing)?;
    let Reading { packs, files, small, .. } = reading;
    let mut gathered = Gathered { index, marks, packs, unknown, files, small };
    gathered.count_used()?;
    Ok(gathered)
}

fn list_packs(repo: &Repository) -> Result<HashMap<PackId, u64>> {
    let listed = repo.backend().list(FileKind::Pack)?;
    Ok(listed.into_iter().map(|(id, length)| (PackId(id), length)).collect())
}

/// A repository that lacks something is not pruned: what repairs it might be among what is removed.
fn refuse_missing(seen: Seen<'_>) -> Result<()> {
    match seen {
        Seen::NoTree(id) | Seen::NoData(_, _, id) => Err(RepoError::MissingBlob { id }),
        Seen::BadTree(_, error) => Err(error),
        _ => Ok(()),
    }
}

fn gone(error: &RepoError) -> bool {
    matches!(error, RepoError::Backend(BackendError::NotFound { .. }))
}

/// Snapshots and index files as they are read.
#[derive(Default)]
struct Reading {
    roots: HashMap<SnapshotId, BlobId>,
    builder: IndexBuilder,
    packs: HashMap<PackId, Pack>,
    files: BTreeSet<IndexId>,
    small: Vec<IndexId>,
}

impl Reading {
    /// Reads snapshots, then the index, until there are no more snapshots than before; gives the roots.
    fn read(&mut self, repo: &Repository, now: Timestamp) -> Result<Vec<BlobId>> {
        let mut first = true;
        loop {
            let more = self.read_snapshots(repo)?;
            if !more && !first {
                let mut roots: Vec<_> = self.roots.values().copied().collect();
                roots.sort_unstable();
                roots.dedup();
                return Ok(roots);
            }
            self.read_index(repo, now)?;
            first = false;
        }
    }

    fn read_snapshots(&mut self, repo: &Repository) -> Result<bool> {
        let before = self.roots.len();
        for (id, _) in repo.backend().list(FileKind::Snapshot)? {
            if self.roots.contains_key(&SnapshotId(id)) {
                continue;
            }
            match repo.snapshot(SnapshotId(id)) {
                Err(error) if gone(&error) => {}
                snapshot => {
                    self.roots.insert(SnapshotId(id), snapshot?.tree);
                }
            }
        }
        Ok(self.roots.len() > before)
    }

    fn read_index(&mut self, repo: &Repository, now: Timestamp) -> Result<()> {
        for (id, _) in repo.backend().list(FileKind::Index)? {
            let id = IndexId(id);
            if self.files.contains(&id) {
                continue;
            }
            match repo.index_file(id) {
                Err(error) if gone(&error) => {}
                file => {
                    let file = file?;
                    self.note(&file, now);
                    self.builder.add(&file, true);
                    self.files.insert(id);
                    if file.blob_count() < SMALL {
                        self.small.push(id);
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, file: &IndexFile, now: Timestamp) {
        for pack in &file.packs {
            let state = self.packs.entry(pack.id).or_default();
            if !state.in_use {
                state.describe(pack);
            }
            state.in_use = true;
        }
        for pack in &file.packs_to_delete {
            let state = self.packs.entry(pack.id).or_default();
            if !state.in_use && state.marked.is_none() {
                state.describe(pack);
            }
            let since = marked_since(pack, now);
            state.marked = state.marked.max(Some(since));
        }
    }
}

/// When a pack was marked. One without a time counts as marked now: it waits once more.
pub(super) fn marked_since(pack: &IndexedPack, now: Timestamp) -> Timestamp {
    let time = pack.time.as_deref().and_then(|text| text.parse::<Moment>().ok());
    time.map_or(now, |time| time.instant())
}

impl Pack {
    fn describe(&mut self, pack: &IndexedPack) {
        self.indexed = pack.length();
        self.total = pack.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        let count = |fits: &dyn Fn(&crate::index::IndexedBlob) -> bool| {
            u32::try_from(pack.blobs.iter().filter(|blob| fits(blob)).count()).unwrap_or(u32::MAX)
        };
        self.blobs = [
            count(&|_| true),
            count(&|blob| blob.kind == BlobKind::Tree),
            count(&|blob| blob.uncompressed_length.is_none()),
        ];
    }
}

impl Gathered {
    /// Finds out how much of each pack is needed. A blob with several places is taken from one of them only.
    fn count_used(&mut self) -> Result<()> {
        let mut single: HashMap<PackId, u64> = HashMap::new();
        self.needed(|places, _| {
            if let [only] = places {
                *single.entry(only.pack).or_default() += u64::from(only.blob.length);
            }
        })?;
        for (id, bytes) in single {
            if let Some(pack) = self.packs.get_mut(&id) {
                pack.only_here = bytes;
            }
        }
        let mut used: HashMap<PackId, u64> = HashMap::new();
        self.needed(|_, found| {
            *used.entry(found.pack).or_default() += u64::from(found.blob.length);
        })?;
        for (id, bytes) in used {
            if let Some(pack) = self.packs.get_mut(&id) {
                pack.used = bytes;
            }
        }
        Ok(())
    }

    /// Calls for each needed blob with the places to take it from and the one that is chosen.
    pub(super) fn needed(&self, mut each: impl FnMut(&[Found], Found)) -> Result<()> {
        let mut places = Vec::new();
        for kind in [BlobKind::Tree, BlobKind::Data] {
            let mut entries = self.index.iter(kind).enumerate().peekable();
            while let Some((position, first)) = entries.next() {
                places.clear();
                places.push(first);
                while let Some((_, next)) =
                    entries.next_if(|(_, next)| next.blob.id == first.blob.id)
                {
                    places.push(next);
                }
                if self.marks.get(kind, position) {
                    let chosen = self.choose(&mut places);
                    let id = first.blob.id;
                    each(&places, chosen.ok_or(RepoError::MissingBlob { id })?);
                }
            }
        }
        Ok(())
    }

    /// Keeps the places that count, and gives the best: in use before marked, in a pack that is needed anyway before others.
    fn choose(&self, places: &mut Vec<Found>) -> Option<Found> {
        let pack = |found: &Found| self.packs.get(&found.pack).copied().unwrap_or_default();
        places.retain(|found| pack(found).there.is_some());
        if places.iter().any(|found| pack(found).in_use) {
            places.retain(|found| pack(found).in_use);
        }
        // The same place may be named by two index files.
        places.sort_unstable_by_key(|found| (found.pack, found.blob.offset));
        places.dedup_by_key(|found| (found.pack, found.blob.offset));
        places.iter().copied().max_by_key(|found| (pack(found).only_here, found.pack))
    }
}
