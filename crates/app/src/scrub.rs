//! Scrub: which files of which filesystems and snapshots a damaged extent hits.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use tintype_fs::{FsError, Holder, holders, holders_at, paths_of};
use tintype_model::VolumeKind;
use tintype_store::{BLOCK, Damage, MomentRef, Snapshot, Store, Volume, stop};

use crate::convert::{fs_error, store_error};
use crate::error::AppResult;
use crate::open::App;
use crate::types::diff::path_text;
use crate::types::{FsckFinding, ScrubInfo};

/// Snapshots that one finding names; the others are counted.
const NAMED: usize = 5;
/// Parts of files that are looked for in snapshots.
const PLACES: usize = 1000;

impl App {
    /// Reads all data, verifies all checksums, and names the files that damage hits. Ends early with an error when nobody waits for
    /// it any more ([`crate::until`]).
    pub fn scrub(&self) -> AppResult<ScrubInfo> {
        let store = self.store()?;
        let report = store
            .scrub(&mut |_| ControlFlow::Continue(()))
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

/// Where a damaged part of a file shows.
#[derive(Default)]
struct Shown {
    path: Option<Vec<u8>>,
    live: bool,
    snapshots: Vec<String>,
    more: usize,
}

/// Damaged parts of files by extent, filesystem and file.
#[derive(Default)]
struct Hits {
    extents: HashSet<u64>,
    shown: BTreeMap<(u64, String, Holder), Shown>,
}

impl Hits {
    fn find(store: &Store, damaged: &[Damage]) -> Self {
        let extents = damaged.iter().map(|damage| damage.extent).collect();
        let mut hits = Self { extents, ..Self::default() };
        let mut places: BTreeSet<Holder> = damaged.iter().flat_map(written).collect();
        let mut volumes = store.volumes();
        volumes.retain(|volume| volume.meta.kind == VolumeKind::Filesystem);
        for volume in &volumes {
            match hits.live(store, volume) {
                Ok(found) => places.extend(found),
                Err(error) => skipped(&format!("filesystem {}", volume.meta.name), &error),
            }
        }
        let places: Vec<Holder> = places.into_iter().take(PLACES).collect();
        for volume in &volumes {
            for snapshot in store.snapshots(Some(volume.id)) {
                if stop::go_on().is_break() {
                    return hits;
                }
                if let Err(error) = hits.snapshot(store, volume, &snapshot, &places) {
                    let name = format!("{}@{}", volume.meta.name, snapshot.meta.name);
                    skipped(&format!("snapshot {name}"), &error);
                }
            }
        }
        hits
    }

    fn live(&mut self, store: &Store, volume: &Volume) -> Result<Vec<Holder>, FsError> {
        // One instant: names and block maps that change meanwhile would not fit each other.
        let moment = MomentRef::Live(volume.id);
        let fixed = store.fix(moment, moment)?;
        let [mut view, _] = fixed.views();
        let found = holders(&mut view, &self.extents)?;
        for holder in &found {
            let key = (holder.extent, volume.meta.name.to_string(), *holder);
            let shown = self.shown.entry(key).or_default();
            shown.live = true;
            shown.path = paths_of(&mut view, holder.ino)?.into_iter().next();
        }
        Ok(found)
    }

    fn snapshot(
        &mut self,
        store: &Store,
        volume: &Volume,
        snapshot: &Snapshot,
        places: &[Holder],
    ) -> Result<(), FsError> {
        let moment = MomentRef::Snapshot(snapshot.id);
        let fixed = store.fix(moment, moment)?;
        let [mut view, _] = fixed.views();
        for holder in holders_at(&mut view, &self.extents, places)? {
            let key = (holder.extent, volume.meta.name.to_string(), holder);
            let shown = self.shown.entry(key).or_default();
            if shown.path.is_none() {
                shown.path = paths_of(&mut view, holder.ino)?.into_iter().next();
            }
            if shown.snapshots.len() < NAMED {
                shown.snapshots.push(snapshot.meta.name.to_string());
            } else {
                shown.more += 1;
            }
        }
        Ok(())
    }

    /// One finding for each part of a file.
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
        if found.is_empty() { vec![finding("data of no file".to_owned(), "")] } else { found }
    }
}

/// The file that the data was written for.
fn written(damage: &Damage) -> Vec<Holder> {
    let block = BLOCK as u64;
    let place = |(_, ino, first, count): &(u64, u64, u64, u32)| Holder {
        extent: damage.extent,
        ino: *ino,
        offset: first.saturating_mul(block),
        length: u64::from(*count) * block,
    };
    damage.owners.iter().map(place).collect()
}

fn describe(volume: &str, holder: &Holder, shown: &Shown) -> (String, String) {
    let mut names = shown.snapshots.iter();
    let moment = match names.as_slice().first().filter(|_| !shown.live) {
        Some(first) => {
            names.next();
            format!("snapshot {volume}@{first}")
        }
        None => format!("filesystem {volume}"),
    };
    let path = shown.path.as_ref().map(|path| format!(", /{}", path_text(path).0));
    let (ino, from) = (holder.ino, holder.offset);
    let to = from.saturating_add(holder.length);
    let object = format!("{moment}{}, inode {ino}, bytes {from} to {to}", path.unwrap_or_default());
    let others: Vec<String> = names.map(|name| format!("{volume}@{name}")).collect();
    let more = if shown.more > 0 { format!(" and {} more", shown.more) } else { String::new() };
    let tail = if others.is_empty() {
        String::new()
    } else {
        format!("; also in {}{more}", others.join(", "))
    };
    (object, tail)
}

fn skipped(object: &str, error: &FsError) {
    let error = fs_error(object, error);
    tracing::warn!(%error, "cannot tell which of its files are damaged");
}
