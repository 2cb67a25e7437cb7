//! Where the app meets filesystems: opening trees, comparing them, and the report of a store's check.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_fs::{Change, FsError, Mounted, Object, SpaceProbe};
use tintype_model::VolumeId;
use tintype_store::{FsckReport, MomentRef, Store, StoreError};

use crate::types::diff::path_text;
use crate::types::{DiffChange, DiffEntry, DiffObject, DiffRange, FsckFinding, FsckInfo};

/// Makes the root directory of a fresh volume.
pub(crate) fn create(store: &Arc<Store>, volume: VolumeId) -> Result<(), FsError> {
    Mounted::open(Arc::clone(store), volume)?.close()
}

/// Opens a volume for mounting.
pub(crate) fn open(
    store: &Arc<Store>,
    volume: VolumeId,
    room: SpaceProbe,
) -> Result<Arc<Mounted>, FsError> {
    let tree = Mounted::open(Arc::clone(store), volume)?;
    tree.set_space_probe(room);
    Ok(tree)
}

/// Everything that differs between two moments.
pub(crate) fn diff(
    store: &Store,
    from: MomentRef,
    to: MomentRef,
    ranges: bool,
) -> Result<Vec<DiffEntry>, FsError> {
    let found = tintype_fs::diff(store, from, to, ranges)?;
    Ok(found.into_iter().map(|entry| diff_entry(entry, ranges)).collect())
}

pub(crate) fn diff_entry(entry: tintype_fs::DiffEntry, ranges: bool) -> DiffEntry {
    let rooted = |path: Vec<u8>| path_text(&[b"/".as_slice(), path.as_slice()].concat());
    let (path, path_hex) = rooted(entry.path);
    let (old_path, old_path_hex) = entry.old_path.map(rooted).unzip();
    let object = match entry.object {
        Object::File => DiffObject::File,
        Object::Dir => DiffObject::Dir,
        Object::Symlink => DiffObject::Symlink,
        Object::Other => DiffObject::Other,
    };
    let change = match entry.change {
        Change::Added => DiffChange::Added,
        Change::Modified => DiffChange::Modified,
        Change::Deleted => DiffChange::Deleted,
        Change::Attributes => DiffChange::Attributes,
        Change::Renamed => DiffChange::Renamed,
    };
    let range = |(offset, length)| DiffRange { offset, length };
    let ranges = (ranges && object == DiffObject::File)
        .then(|| entry.ranges.into_iter().map(range).collect());
    let old_path_hex = old_path_hex.flatten();
    DiffEntry { path, path_hex, old_path, old_path_hex, object, change, size: entry.size, ranges }
}

/// Checks the whole store. After a repair it is checked again: what is still found was not repaired.
pub(crate) fn fsck(store: &Store, repair: bool) -> Result<FsckInfo, StoreError> {
    let first = store.fsck(repair)?;
    let again = if repair && first.repaired > 0 { Some(store.fsck(false)?) } else { None };
    let object = format!("store of {} volumes", store.volumes().len());
    Ok(fsck_info(&object, &first, again.as_ref()))
}

/// What was found, and what of it a second check finds still.
pub(crate) fn fsck_info(object: &str, first: &FsckReport, again: Option<&FsckReport>) -> FsckInfo {
    let left = again.unwrap_or(first);
    let finding = |problem: &String| FsckFinding {
        object: object.to_owned(),
        problem: problem.clone(),
        repaired: !left.problems.contains(problem),
    };
    let checked = BTreeMap::from([
        ("record versions".to_owned(), first.versions),
        ("extents".to_owned(), first.extents),
        ("segment bytes".to_owned(), first.segment_bytes),
        ("live segment bytes".to_owned(), first.live_bytes),
        ("dead segment bytes".to_owned(), first.dead_bytes),
        ("problems".to_owned(), first.problem_count),
    ]);
    let findings = first.problems.iter().map(finding).collect();
    FsckInfo { clean: left.problem_count == 0, checked, findings }
}
