//! What a check can find, each with how bad it is.

use std::collections::BTreeSet;
use std::fmt;

use parking_lot::Mutex;

use crate::backend::BackendError;
use crate::error::RepoError;
use crate::id::{BlobId, IndexId, PackId, SnapshotId};
use crate::reach::Seen;

/// Findings that are kept with all they say; further ones are counted.
pub const FINDINGS_MAX: usize = 10_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Costs space or time, no data.
    Warning,
    /// Something is damaged or missing.
    Error,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A snapshot file that cannot be read.
    Snapshot {
        /// Which.
        id: SnapshotId,
        /// Why.
        detail: String,
    },
    /// A snapshot whose root no index knows.
    SnapshotWithoutTree {
        /// Which snapshot.
        id: SnapshotId,
        /// Its root.
        tree: BlobId,
    },
    /// An index file that cannot be read, or says what cannot be.
    Index {
        /// Which.
        id: IndexId,
        /// Why.
        detail: String,
    },
    /// A pack that several index files name.
    DuplicatePack {
        /// Which pack.
        id: PackId,
        /// In how many index files.
        files: u32,
    },
    /// A pack that an index names is not there.
    MissingPack {
        /// Which pack.
        id: PackId,
        /// It waits for its deletion: then this is no loss by itself.
        marked: bool,
    },
    /// A pack has another length than its blobs make.
    PackSize {
        /// Which pack.
        id: PackId,
        /// By the index, in bytes.
        indexed: u64,
        /// As listed, in bytes.
        there: u64,
    },
    /// A pack that no index names: left over from an interrupted run.
    UnknownPack {
        /// Which pack.
        id: PackId,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A pack with blobs of both kinds; only old repositories of version 1 have these.
    MixedPack {
        /// Which pack.
        id: PackId,
    },
    /// A pack that was read is not what its name, its header or the index promises.
    Pack {
        /// Which pack.
        id: PackId,
        /// What is wrong.
        detail: String,
    },
    /// A pack whose header, which is whole, lists other blobs than the index.
    OtherBlobs {
        /// Which pack.
        id: PackId,
        /// How many the header lists.
        header: usize,
        /// How many the index names.
        indexed: usize,
    },
    /// A blob that was read is not what its id promises.
    Blob {
        /// Which blob.
        id: BlobId,
        /// The pack that it is in.
        pack: PackId,
        /// What is wrong.
        detail: String,
    },
    /// A tree that is referred to and that no index knows.
    MissingTree {
        /// Which tree.
        id: BlobId,
    },
    /// A tree that cannot be read.
    Tree {
        /// Which tree.
        id: BlobId,
        /// Why.
        detail: String,
    },
    /// A node of a tree that lacks something or has an impossible name.
    Node {
        /// The tree that it is in.
        tree: BlobId,
        /// Its name, not UTF-8 escaped.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// A chunk of a file that no index knows.
    MissingData {
        /// The tree that the file is in.
        tree: BlobId,
        /// Its name.
        name: String,
        /// The chunk.
        blob: BlobId,
    },
    /// A file says another length than its chunks have: some programs restore it cut off or not at all.
    FileSize {
        /// The tree that the file is in.
        tree: BlobId,
        /// Its name.
        name: String,
        /// What it says, in bytes.
        said: u64,
        /// What its chunks have, in bytes.
        chunks: u64,
    },
    /// Blobs that no snapshot needs, second places of needed ones included.
    UnusedBlobs {
        /// How many.
        blobs: u64,
        /// Their sealed bytes.
        bytes: u64,
    },
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::DuplicatePack { .. }
            | Self::MissingPack { marked: true, .. }
            | Self::UnknownPack { .. }
            | Self::MixedPack { .. }
            | Self::UnusedBlobs { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What mends it, if anything does.
    pub fn mend(&self) -> Option<Mend> {
        match self {
            Self::Index { .. }
            | Self::MissingPack { marked: false, .. }
            | Self::PackSize { .. }
            | Self::UnknownPack { .. } => Some(Mend::Index),
            Self::OtherBlobs { .. } => Some(Mend::WholeIndex),
            Self::Pack { .. } | Self::Blob { .. } => Some(Mend::Packs),
            Self::SnapshotWithoutTree { .. }
            | Self::MissingTree { .. }
            | Self::Tree { .. }
            | Self::Node { .. }
            | Self::MissingData { .. }
            | Self::FileSize { .. } => Some(Mend::Snapshots),
            Self::Snapshot { .. } => Some(Mend::Recover),
            Self::DuplicatePack { .. }
            | Self::MissingPack { marked: true, .. }
            | Self::MixedPack { .. }
            | Self::UnusedBlobs { .. } => None,
        }
    }

    /// What a walk through trees has seen.
    pub(crate) fn of_walk(seen: Seen<'_>) -> Option<Self> {
        let text = |name: &[u8]| name.escape_ascii().to_string();
        Some(match seen {
            Seen::Tree => return None,
            Seen::NoTree(id) => Self::MissingTree { id },
            Seen::BadTree(id, error) => Self::Tree { id, detail: error.to_string() },
            Seen::Problem(tree, problem) => {
                let detail = problem.problem.to_string();
                Self::Node { tree, name: text(&problem.name), detail }
            }
            Seen::Damage(tree, node, damage) => {
                Self::Node { tree, name: text(&node.name), detail: damage.to_string() }
            }
            Seen::NoData(tree, node, blob) => {
                Self::MissingData { tree, name: text(&node.name), blob }
            }
            Seen::Size(tree, node, chunks) => {
                Self::FileSize { tree, name: text(&node.name), said: node.size, chunks }
            }
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot { id, detail } => write!(f, "snapshot {id}: {detail}"),
            Self::SnapshotWithoutTree { id, tree } => {
                write!(f, "snapshot {id}: its tree {tree} is in no index")
            }
            Self::Index { id, detail } => write!(f, "index {id}: {detail}"),
            Self::DuplicatePack { id, files } => write!(f, "pack {id} is in {files} index files"),
            Self::MissingPack { id, marked: false } => {
                write!(f, "pack {id} is in the index and not in the repository")
            }
            Self::MissingPack { id, marked: true } => {
                write!(f, "pack {id} is marked for deletion and gone already")
            }
            Self::PackSize { id, indexed, there } => {
                write!(f, "pack {id} has {there} bytes; the index says {indexed}")
            }
            Self::UnknownPack { id, bytes } => {
                write!(f, "pack {id} ({bytes} bytes) is in no index; prune removes it")
            }
            Self::MixedPack { id } => write!(f, "pack {id} holds both trees and data"),
            Self::Pack { id, detail } => write!(f, "pack {id}: {detail}"),
            Self::OtherBlobs { id, header, indexed } => {
                write!(
                    f,
                    "pack {id}: its header lists {header} blobs, and not those {indexed} of the index"
                )
            }
            Self::Blob { id, pack, detail } => write!(f, "blob {id} in pack {pack}: {detail}"),
            Self::MissingTree { id } => write!(f, "tree {id} is in no index"),
            Self::Tree { id, detail } => write!(f, "tree {id}: {detail}"),
            Self::Node { tree, name, detail } => write!(f, "tree {tree}, `{name}`: {detail}"),
            Self::MissingData { tree, name, blob } => {
                write!(f, "tree {tree}, `{name}`: blob {blob} is in no index")
            }
            Self::FileSize { tree, name, said, chunks } => {
                write!(f, "tree {tree}, `{name}`: says {said} bytes, its blobs have {chunks}")
            }
            Self::UnusedBlobs { blobs, bytes } => {
                write!(f, "{blobs} blobs ({bytes} bytes) are not used; prune frees them")
            }
        }
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found, at most [`FINDINGS_MAX`]; errors are kept before warnings.
    pub findings: Vec<Finding>,
    /// Number of errors, also those that are not listed.
    pub errors: u64,
    /// Number of warnings, also those that are not listed.
    pub warnings: u64,
    /// Snapshots read.
    pub snapshots: u64,
    /// Trees read.
    pub trees: u64,
    /// Packs that are there and indexed.
    pub packs: u64,
    /// Packs read in whole.
    pub packs_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
}

/// What mends a repository, in the order in which it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mend {
    /// The index is made right by what of it can be seen to be wrong.
    Index,
    /// The index is made right by what all packs say.
    WholeIndex,
    /// What is whole of damaged packs is salvaged.
    Packs,
    /// What is missing is taken out of snapshots.
    Snapshots,
    /// Trees that no snapshot names get one.
    Recover,
}

impl Report {
    /// What mends the errors, in order; nothing when there is none. A pack that no index names may hold what others miss, so it counts then.
    pub fn mends(&self) -> BTreeSet<Mend> {
        if self.is_sound() {
            return BTreeSet::new();
        }
        let mut mends: BTreeSet<Mend> = self.findings.iter().filter_map(Finding::mend).collect();
        if mends.contains(&Mend::WholeIndex) {
            mends.remove(&Mend::Index);
        }
        mends
    }

    /// No error? Warnings do not count.
    pub fn is_sound(&self) -> bool {
        self.errors == 0
    }
}

/// Collects findings from several threads.
#[derive(Debug, Default)]
pub(super) struct Findings(Mutex<Report>);

impl Findings {
    pub(super) fn add(&self, finding: Finding) {
        let mut report = self.0.lock();
        let severity = finding.severity();
        match severity {
            Severity::Error => report.errors += 1,
            Severity::Warning => report.warnings += 1,
        }
        if report.findings.len() < FINDINGS_MAX {
            report.findings.push(finding);
        } else if severity == Severity::Error
            && let Some(place) =
                report.findings.iter_mut().find(|kept| kept.severity() == Severity::Warning)
        {
            *place = finding;
        }
    }

    pub(super) fn extend(&self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// The report with errors first.
    pub(super) fn into_report(self) -> Report {
        let mut report = self.0.into_inner();
        report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
        report
    }
}

/// A file that was listed and is gone: another program removed it, and that is fine.
pub(super) fn is_gone(error: &RepoError) -> bool {
    matches!(error, RepoError::Backend(BackendError::NotFound { .. }))
}
