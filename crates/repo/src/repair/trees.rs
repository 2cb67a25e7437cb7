//! The rules by which trees are mended: what is missing is dropped and told, all else stays.
//!
//! A file without some of its chunks keeps its name and what is left, its size is what is left, and its `error` says what is missing. A
//! folder whose tree cannot be read becomes empty. Names that no folder can hold are dropped with what they name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::stock::{Missing, Stock};
use crate::error::Result;
use crate::id::{BlobId, SnapshotId};
use crate::index::Index;
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::rewriter::{Rules, Source, Verdict};
use crate::tree::{NameProblem, Node, NodeKind, TreeDecoder};

/// Losses that are kept with all they say; further ones are counted.
const LOSSES_MAX: usize = 10_000;

/// Something that a snapshot had and its mended version has not, or has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// In which snapshot.
    pub snapshot: SnapshotId,
    /// Where, with a slash in front.
    pub path: PathBuf,
    /// What.
    pub kind: LossKind,
}

/// What is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossKind {
    /// A folder whose tree cannot be read: it is empty now.
    #[error("folder is empty now: {detail}")]
    Folder {
        /// Why.
        detail: String,
    },
    /// The entries of a folder behind the one at which its tree is damaged.
    #[error("folder has lost its last entries: {detail}")]
    Rest {
        /// What is wrong.
        detail: String,
    },
    /// All of a file: its tree does not say what it consists of.
    #[error("file is empty now: the list of its parts is missing")]
    Content,
    /// Chunks of a file.
    #[error("{missing} of {of} parts are missing, {left} bytes are left")]
    Parts {
        /// How many are missing.
        missing: u64,
        /// Of how many.
        of: u64,
        /// Bytes of those that are left.
        left: u64,
    },
    /// Nothing is lost: the size was not that of the chunks.
    #[error("size is {is} bytes, not {said}")]
    Size {
        /// What it said, in bytes.
        said: u64,
        /// What the chunks have, in bytes.
        is: u64,
    },
    /// An entry that nobody could restore: it is gone.
    #[error("entry is dropped: {detail}")]
    Entry {
        /// Why.
        detail: String,
    },
    /// References of an entry that are none of its type: they are gone.
    #[error("has lost references that it should not have")]
    References,
}

/// The rules of a repair.
pub(crate) struct KeepWhole<'s> {
    stock: &'s Stock,
    snapshot: SnapshotId,
    /// Put before each path.
    above: String,
    losses: Vec<Loss>,
    lost: u64,
    missing: Missing,
}

impl<'s> KeepWhole<'s> {
    pub(crate) fn new(stock: &'s Stock) -> Self {
        Self {
            stock,
            snapshot: SnapshotId::default(),
            above: String::new(),
            losses: vec![],
            lost: 0,
            missing: Missing::new(),
        }
    }

    /// What is told from now on is about this snapshot, or about this place (`/x`) in one.
    pub(crate) fn begin(&mut self, snapshot: SnapshotId, above: String) {
        (self.snapshot, self.above) = (snapshot, above);
    }

    /// What is missing or damaged in all trees so far.
    pub(super) fn missing(&mut self) -> &mut Missing {
        &mut self.missing
    }

    /// Where the list of losses is; for [`Self::untell`].
    pub(crate) fn told_so_far(&self) -> (usize, u64) {
        (self.losses.len(), self.lost)
    }

    /// Takes back what was told since.
    pub(crate) fn untell(&mut self, (losses, lost): (usize, u64)) {
        self.losses.truncate(losses);
        self.lost = lost;
    }

    /// What was told, at most 10,000 of it, and how much there was.
    pub(crate) fn into_losses(self) -> (Vec<Loss>, u64) {
        (self.losses, self.lost)
    }

    fn tell(&mut self, path: &[u8], kind: LossKind) {
        self.lost += 1;
        if self.losses.len() < LOSSES_MAX {
            let mut whole = self.above.clone().into_bytes();
            whole.push(b'/');
            whole.extend_from_slice(path);
            let path = PathBuf::from(OsStr::from_bytes(&whole));
            self.losses.push(Loss { snapshot: self.snapshot, path, kind });
        }
    }

    fn tell_entry(&mut self, folder: &[u8], name: &[u8], detail: String) {
        let mut path = folder.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.escape_ascii().to_string().as_bytes());
        self.tell(&path, LossKind::Entry { detail });
    }

    /// Keeps the nodes whose names a folder can hold, sorted, each name once; says whether that changes anything.
    fn put_in_order(&mut self, path: &[u8], nodes: &mut Vec<Node>) -> bool {
        let before = nodes.len();
        nodes.retain(|node| match NameProblem::of_name(&node.name) {
            None => true,
            Some(problem) => {
                self.tell_entry(path, &node.name, problem.to_string());
                false
            }
        });
        let sorted = nodes.is_sorted_by(|a, b| a.name <= b.name);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|again, first| {
            let same = again.name == first.name;
            if same {
                self.tell_entry(path, &again.name, NameProblem::Duplicate.to_string());
            }
            same
        });
        !sorted || nodes.len() != before
    }

    /// Drops the chunks of a file that are missing, and makes its size right.
    fn file(&mut self, path: &[u8], node: &mut Node) -> Verdict {
        let Some(content) = &mut node.content else {
            self.tell(path, LossKind::Content);
            node.content = Some(vec![]);
            node.size = 0;
            node.error = Some("repaired: the list of its parts was missing".into());
            return Verdict::Changed;
        };
        let (of, mut left) = (content.len(), 0u64);
        content.retain(|id| match self.stock.index.find(BlobKind::Data, *id) {
            Some(found) => {
                left = left.saturating_add(u64::from(found.blob.plain_length()));
                true
            }
            None => {
                self.missing.insert((BlobKind::Data, *id));
                false
            }
        });
        let missing = of - content.len();
        if missing > 0 {
            node.error = Some(format!("repaired: {missing} of {of} parts are missing").into());
            let (missing, of) = (missing as u64, of as u64);
            self.tell(path, LossKind::Parts { missing, of, left });
        } else if node.size != left {
            self.tell(path, LossKind::Size { said: node.size, is: left });
        } else {
            return Verdict::Same;
        }
        node.size = left;
        Verdict::Changed
    }

    /// Drops references that do not belong to the node's type.
    fn strangers(&mut self, path: &[u8], node: &mut Node) -> Verdict {
        let content = node.kind != NodeKind::File && node.content.is_some();
        let subtree = node.kind != NodeKind::Dir && node.subtree.is_some();
        if !content && !subtree {
            return Verdict::Same;
        }
        self.tell(path, LossKind::References);
        if content {
            node.content = None;
        }
        if subtree {
            node.subtree = None;
        }
        Verdict::Changed
    }
}

impl Rules for KeepWhole<'_> {
    fn read(&mut self, repo: &Repository, _: &Index, path: &[u8], id: BlobId) -> Result<Source> {
        let (mut nodes, mut changed) = (Vec::new(), false);
        let bytes = match self.stock.blob(repo, BlobKind::Tree, id)? {
            Ok(bytes) => bytes,
            Err(detail) => {
                self.missing.insert((BlobKind::Tree, id));
                self.tell(path, LossKind::Folder { detail });
                return Ok(Source { nodes, bytes: 0, changed: true, exact: true });
            }
        };
        for node in TreeDecoder::tolerant(&bytes) {
            match node {
                Ok(node) => nodes.push(node),
                Err(error) => {
                    self.tell(path, LossKind::Rest { detail: error.to_string() });
                    changed = true;
                }
            }
        }
        changed |= self.put_in_order(path, &mut nodes);
        Ok(Source { nodes, bytes: bytes.len() as u64, changed, exact: true })
    }

    fn node(&mut self, path: &[u8], node: &mut Node) -> Result<Verdict> {
        if matches!(node.kind, NodeKind::Irregular | NodeKind::Other(_)) {
            let detail = "nobody knows its type".to_owned();
            self.tell(path, LossKind::Entry { detail });
            return Ok(Verdict::Drop);
        }
        let strangers = self.strangers(path, node);
        let own = match node.kind {
            NodeKind::File => self.file(path, node),
            // An id that no tree has leads to an empty folder, and is told as such.
            NodeKind::Dir if node.subtree.is_none() => {
                node.subtree = Some(BlobId::default());
                Verdict::Changed
            }
            _ => Verdict::Same,
        };
        Ok(if strangers == Verdict::Changed { strangers } else { own })
    }

    fn told(&self) -> u64 {
        self.lost
    }

    fn is_full(&self) -> bool {
        self.losses.len() >= LOSSES_MAX
    }
}
