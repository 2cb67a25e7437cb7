//! Scrub: which files and disks, and which of their snapshots, a damaged extent hits.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use tintype_disk::ByteRange;
use tintype_fs::{Holder, paths_of};
use tintype_model::VolumeKind;
use tintype_store::{BLOCK, Damage, MomentRef, Snapshot, Store, View, Volume, stop};

use crate::convert::{disk_error, fs_error, store_error};
use crate::error::{AppError, AppResult};
use crate::open::App;
use crate::progress;
use crate::types::diff::path_text;
use crate::types::{FsckFinding, ScrubInfo};

/// Snapshots that one finding names; the others are counted.
const NAMED: usize = 5;
/// Parts of files and disks that are looked for in snapshots.
const PLACES: usize = 1000;

impl App {
    /// Reads all data, verifies all checksums, and names the files and disks that damage hits. Ends early with an error when
    /// nobody waits for it any more ([`crate::until`]).
    pub fn scrub(&self) -> AppResult<ScrubInfo> {
        let store = self.store()?;
        let report = store
            .scrub(&mut |report| {
                progress::tell(|progress| progress.reach(report.bytes));
                ControlFlow::Continue(())
            })
            .map_err(|e| store_error(&self.store_object(), &e))?;
        let findings = if report.damaged.is_empty() {
            Vec::new()
        } else {
            let hits = Hits::find(&store, &report.damaged);
            stop::check().map_err(|e| store_error("scrub", &e))?;
            report.damaged.iter().flat_map(|damage| hits.tell(damage)).collect()
        };
        Ok(ScrubInfo { clean: findings.is_empty(), bytes: report.bytes, findings })
    }
}

/// A part of a file or a disk that lies in an extent. Disks are one object, 0, which no inode has.
type Part = Holder;

/// Where a damaged part shows.
#[derive(Default)]
struct Shown {
    disk: bool,
    path: Option<Vec<u8>>,
    live: bool,
    snapshots: Vec<String>,
    more: usize,
}

/// Damaged parts by extent, volume and place.
#[derive(Default)]
struct Hits {
    extents: HashSet<u64>,
    shown: BTreeMap<(u64, String, Part), Shown>,
}

impl Hits {
    fn find(store: &Store, damaged: &[Damage]) -> Self {
        let extents = damaged.iter().map(|damage| damage.extent).collect();
        let mut hits = Self { extents, ..Self::default() };
        let mut places: BTreeSet<Part> = damaged.iter().flat_map(written).collect();
        let volumes = store.volumes();
        for volume in &volumes {
            match hits.live(store, volume) {
                Ok(found) => places.extend(found),
                Err(error) => skipped(&error),
            }
        }
        let places: Vec<Part> = places.into_iter().take(PLACES).collect();
        for volume in &volumes {
            for snapshot in store.snapshots(Some(volume.id)) {
                if stop::go_on().is_break() {
                    return hits;
                }
                if let Err(error) = hits.snapshot(store, volume, &snapshot, &places) {
                    skipped(&error);
                }
            }
        }
        hits
    }

    fn live(&mut self, store: &Store, volume: &Volume) -> AppResult<Vec<Part>> {
        let object = match volume.meta.kind {
            VolumeKind::Filesystem => format!("filesystem {}", volume.meta.name),
            VolumeKind::Disk => format!("disk {}", volume.meta.name),
        };
        // One instant: names and block maps that change meanwhile would not fit each other.
        let moment = MomentRef::Live(volume.id);
        let fixed = store.fix(moment, moment).map_err(|e| store_error(&object, &e))?;
        let [mut view, _] = fixed.views();
        let found = parts(&mut view, volume, &self.extents, None, &object)?;
        for part in &found {
            self.note(&mut view, volume, *part, &object)?.live = true;
        }
        Ok(found)
    }

    fn snapshot(
        &mut self,
        store: &Store,
        volume: &Volume,
        snapshot: &Snapshot,
        places: &[Part],
    ) -> AppResult<()> {
        let object = format!("snapshot {}@{}", volume.meta.name, snapshot.meta.name);
        let moment = MomentRef::Snapshot(snapshot.id);
        let fixed = store.fix(moment, moment).map_err(|e| store_error(&object, &e))?;
        let [mut view, _] = fixed.views();
        for part in parts(&mut view, volume, &self.extents, Some(places), &object)? {
            let shown = self.note(&mut view, volume, part, &object)?;
            if shown.snapshots.len() < NAMED {
                shown.snapshots.push(snapshot.meta.name.to_string());
            } else {
                shown.more += 1;
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        view: &mut View,
        volume: &Volume,
        part: Part,
        object: &str,
    ) -> AppResult<&mut Shown> {
        let key = (part.extent, volume.meta.name.to_string(), part);
        let shown = self.shown.entry(key).or_default();
        shown.disk = volume.meta.kind == VolumeKind::Disk;
        if shown.path.is_none() && !shown.disk {
            let paths = paths_of(view, part.ino).map_err(|e| fs_error(object, &e))?;
            shown.path = paths.into_iter().next();
        }
        Ok(shown)
    }

    /// One finding for each part of a file or a disk.
    fn tell(&self, damage: &Damage) -> Vec<FsckFinding> {
        let place = match damage.segment {
            Some(segment) => format!("extent {} in segment {segment}", damage.extent),
            None => format!("extent {} in the records", damage.extent),
        };
        let finding = |object, tail: &str| FsckFinding {
            object,
            problem: format!("{place}: {}{tail}", damage.what),
            repaired: false,
        };
        let own = self.shown.iter().filter(|((extent, ..), _)| *extent == damage.extent);
        let found: Vec<_> = own
            .map(|((_, volume, holder), shown)| {
                let (object, tail) = describe(volume, holder, shown);
                finding(object, &tail)
            })
            .collect();
        if found.is_empty() {
            vec![finding("data of nothing that has a name".to_owned(), "")]
        } else {
            found
        }
    }
}

/// The parts of a moment that lie in these extents, everywhere or only at `places`.
fn parts(
    view: &mut View,
    volume: &Volume,
    extents: &HashSet<u64>,
    places: Option<&[Part]>,
    object: &str,
) -> AppResult<Vec<Part>> {
    if volume.meta.kind == VolumeKind::Filesystem {
        let found = match places {
            None => tintype_fs::holders(view, extents),
            Some(places) => tintype_fs::holders_at(view, extents, places),
        };
        return found.map_err(|e| fs_error(object, &e));
    }
    let found = match places {
        None => tintype_disk::holders(view, extents),
        Some(places) => {
            let of_disks = places.iter().filter(|part| part.ino == 0);
            let range = |part: &Part| ByteRange { offset: part.offset, length: part.length };
            tintype_disk::holders_at(view, extents, &of_disks.map(range).collect::<Vec<_>>())
        }
    };
    let part = |(extent, range): (u64, ByteRange)| Part {
        extent,
        ino: 0,
        offset: range.offset,
        length: range.length,
    };
    let found = found.map_err(|e| disk_error(object, &e))?;
    Ok(found.into_iter().map(part).collect())
}

/// The file or disk that the data was written for.
fn written(damage: &Damage) -> Vec<Part> {
    let block = BLOCK as u64;
    let place = |(_, ino, first, count): &(u64, u64, u64, u32)| Part {
        extent: damage.extent,
        ino: *ino,
        offset: first.saturating_mul(block),
        length: u64::from(*count) * block,
    };
    damage.owners.iter().map(place).collect()
}

fn describe(volume: &str, part: &Part, shown: &Shown) -> (String, String) {
    let mut names = shown.snapshots.iter();
    let moment = match names.as_slice().first().filter(|_| !shown.live) {
        Some(first) => {
            names.next();
            format!("snapshot {volume}@{first}")
        }
        None if shown.disk => format!("disk {volume}"),
        None => format!("filesystem {volume}"),
    };
    let path = shown.path.as_ref().map(|path| format!(", /{}", path_text(path).0));
    let inode = if shown.disk { String::new() } else { format!(", inode {}", part.ino) };
    let (from, to) = (part.offset, part.offset.saturating_add(part.length));
    let object = format!("{moment}{}{inode}, bytes {from} to {to}", path.unwrap_or_default());
    let others: Vec<String> = names.map(|name| format!("{volume}@{name}")).collect();
    let more = if shown.more > 0 { format!(" and {} more", shown.more) } else { String::new() };
    let tail = if others.is_empty() {
        String::new()
    } else {
        format!("; also in {}{more}", others.join(", "))
    };
    (object, tail)
}

fn skipped(error: &AppError) {
    tracing::warn!(%error, "cannot tell which of its parts are damaged");
}
