//! Checks: whether all that the repository promises is there, and on request whether every byte of it is what it was.
//!
//! Findings are collected and nothing stops at the first one. Snapshots are read before packs are listed and the index is read, so that
//! a backup that ends meanwhile is no finding; the caller holds a lock that keeps others from removing. Memory is the index, one bit
//! per blob, one entry per pack, and with `read_data` one pack per thread; findings beyond [`FINDINGS_MAX`] are only counted.

mod finding;
mod packs;
mod read;
mod subset;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

pub use finding::{FINDINGS_MAX, Finding, Mend, Report, Severity};
pub(crate) use subset::parse_bytes;
pub use subset::{NotASubset, ReadData};

use crate::backend::FileKind;
use crate::error::Result;
use crate::id::{BlobId, PackId, SnapshotId};
use crate::index::Index;
use crate::pack::BlobKind;
use crate::parallel::in_parallel;
use crate::progress::MendProgress;
use crate::reach::{Marks, Seen, reach, threads};
use crate::repository::Repository;

use finding::Findings;
use packs::{PackState, indexed_packs};

/// What is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CheckOptions {
    /// Which packs are read in whole.
    pub read_data: ReadData,
    /// Threads; 0: as many as processors.
    pub threads: usize,
}

/// How far a check has come; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct CheckProgress {
    /// Trees read.
    pub trees: AtomicU64,
    /// Packs to read in whole.
    pub packs_total: AtomicU64,
    /// Packs read in whole.
    pub packs: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
}

/// Checks the repository.
///
/// # Errors
/// Only when the place of the repository cannot even list its files; all else is a finding.
pub fn check(
    repo: &Repository,
    options: &CheckOptions,
    progress: &CheckProgress,
) -> Result<Report> {
    let findings = Findings::default();
    let snapshots = snapshots(repo, &findings)?;
    let (index, packs) = indexed_packs(repo, &findings)?;
    let marks = Marks::new(&index);
    trees(repo, &index, &snapshots, &marks, options, &findings, progress)?;
    unused(&index, &marks, &findings);
    let chosen = subset::choose(options.read_data, &packs)?;
    read::read_packs(repo, &index, &packs, &chosen, threads(options.threads), &findings, progress);
    let mut report = findings.into_report();
    report.snapshots = snapshots.len() as u64;
    report.trees = progress.trees.load(Ordering::Relaxed);
    report.packs = packs.values().filter(|pack| pack.there.is_some()).count() as u64;
    report.packs_read = progress.packs.load(Ordering::Relaxed);
    report.bytes_read = progress.bytes.load(Ordering::Relaxed);
    Ok(report)
}

/// Reads all packs that the index names; gives those that are damaged, in order.
pub(crate) fn damaged_packs(
    repo: &Repository,
    threads: usize,
    progress: &MendProgress,
) -> Result<Vec<PackId>> {
    let (quiet, findings, read) =
        (Findings::default(), Findings::default(), CheckProgress::default());
    let (index, packs) = indexed_packs(repo, &quiet)?;
    let chosen = subset::choose(ReadData::All, &packs)?;
    progress.packs_to_read(chosen.len());
    in_parallel(&chosen, threads, |pack| {
        read::read_packs(repo, &index, &packs, &[*pack], 1, &findings, &read);
        progress.pack()
    })?;
    let report = findings.into_report();
    let damaged = report.findings.iter().filter_map(|finding| match finding {
        Finding::Pack { id, .. } | Finding::Blob { pack: id, .. } => Some(*id),
        _ => None,
    });
    Ok(damaged.collect::<BTreeSet<_>>().into_iter().collect())
}

/// The trees of all snapshots that can be read.
fn snapshots(repo: &Repository, findings: &Findings) -> Result<Vec<(SnapshotId, BlobId)>> {
    let mut found = Vec::new();
    for (id, _) in repo.backend().list(FileKind::Snapshot)? {
        match repo.snapshot(SnapshotId(id)) {
            Ok(snapshot) => found.push((snapshot.id, snapshot.tree)),
            Err(error) if finding::is_gone(&error) => {}
            Err(error) => {
                findings.add(Finding::Snapshot { id: SnapshotId(id), detail: error.detail() });
            }
        }
    }
    Ok(found)
}

fn trees(
    repo: &Repository,
    index: &Index,
    snapshots: &[(SnapshotId, BlobId)],
    marks: &Marks,
    options: &CheckOptions,
    findings: &Findings,
    progress: &CheckProgress,
) -> Result<()> {
    let mut roots = Vec::new();
    for (snapshot, tree) in snapshots {
        match index.has(BlobKind::Tree, *tree) {
            true => roots.push(*tree),
            false => findings.add(Finding::SnapshotWithoutTree { id: *snapshot, tree: *tree }),
        }
    }
    let see = |seen: Seen<'_>| {
        match seen {
            Seen::Tree => {
                progress.trees.fetch_add(1, Ordering::Relaxed);
            }
            other => findings.extend(Finding::of_walk(other)),
        }
        Ok(())
    };
    reach(repo, index, &roots, marks, threads(options.threads), &see)
}

/// One finding for all blobs that no snapshot needs.
fn unused(index: &Index, marks: &Marks, findings: &Findings) {
    let (mut blobs, mut bytes) = (0, 0);
    for kind in [BlobKind::Data, BlobKind::Tree] {
        let (mut last, mut used) = (None, false);
        for (position, found) in index.iter(kind).enumerate() {
            let first = last != Some(found.blob.id);
            if first {
                (last, used) = (Some(found.blob.id), marks.get(kind, position));
            }
            // A second place of a used blob is of no use either.
            if !(used && first) {
                (blobs, bytes) = (blobs + 1, bytes + u64::from(found.blob.length));
            }
        }
    }
    if blobs > 0 {
        findings.add(Finding::UnusedBlobs { blobs, bytes });
    }
}

/// What is known of each pack.
pub(crate) type Packs = HashMap<PackId, PackState>;
