//! The plan: for each pack what becomes of it. A plain value; making it changes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use jiff::Timestamp;

use super::gather::{Gathered, Pack, gather};
use super::{Limit, PruneOptions};
use crate::backend::FileKind;
use crate::config::Version;
use crate::error::{RepoError, Result};
use crate::id::{IndexId, PackId};
use crate::pack::PackedBlob;
use crate::repository::Repository;

/// What becomes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// It stays as it is.
    Keep,
    /// What is needed of it is written into new packs; then it goes as an unneeded one.
    Repack,
    /// Nothing needs it: it is marked, or deleted when there is to be no waiting.
    Unneeded,
    /// No index names it: it is marked or deleted in the same way.
    Unknown,
    /// It is marked and waits on.
    Wait,
    /// It is marked and needed again.
    Recover,
    /// It is marked and its time is over.
    Delete,
    /// It is not there, and nothing needs it: the index forgets it.
    Vanished,
}

/// Numbers and bytes of packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a plan amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneStats {
    /// Packs by what becomes of them.
    pub packs: BTreeMap<Decision, Amount>,
    /// Sealed bytes of needed blobs.
    pub used: u64,
    /// Sealed bytes of blobs in packs that are in use which nothing needs, before.
    pub unused_before: u64,
    /// The same afterwards.
    pub unused_after: u64,
    /// Sealed bytes to write anew.
    pub rewritten: u64,
}

/// What a prune is going to do.
#[derive(Clone, Debug)]
pub struct PrunePlan {
    /// What becomes of each pack.
    pub decisions: HashMap<PackId, Decision>,
    /// What it amounts to.
    pub stats: PruneStats,
    /// The options that it was made with.
    pub options: PruneOptions,
    /// The time that it was made for.
    pub now: Timestamp,
    /// Marked packs that are in use as well: their marks go.
    pub(super) stray: BTreeSet<PackId>,
    pub(super) unknown: Vec<(PackId, u64)>,
    pub(super) repack: Vec<(PackId, Vec<PackedBlob>)>,
    pub(super) files: BTreeSet<IndexId>,
    /// Small index files that become one.
    pub(super) merge: BTreeSet<IndexId>,
}

impl PrunePlan {
    /// Would it change anything?
    pub fn is_empty(&self) -> bool {
        let idle = |decision: &Decision| matches!(decision, Decision::Keep | Decision::Wait);
        self.decisions.values().all(idle) && self.stray.is_empty() && self.merge.is_empty()
    }

    pub(super) fn decision(&self, pack: PackId) -> Decision {
        self.decisions.get(&pack).copied().unwrap_or(Decision::Keep)
    }

    /// Is a pack deleted by this run, rather than marked?
    pub(super) fn deletes(&self, decision: Decision) -> bool {
        match decision {
            Decision::Delete => true,
            Decision::Repack | Decision::Unneeded | Decision::Unknown => {
                self.options.instant_delete
            }
            _ => false,
        }
    }
}

impl fmt::Display for PrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (decision, amount) in &self.stats.packs {
            let what = match decision {
                Decision::Keep => "keep",
                Decision::Repack => "rewrite",
                Decision::Unneeded if self.options.instant_delete => "delete, not needed",
                Decision::Unneeded => "mark, not needed",
                Decision::Unknown if self.options.instant_delete => "delete, in no index",
                Decision::Unknown => "mark, in no index",
                Decision::Wait => "marked, wait",
                Decision::Recover => "marked, needed again",
                Decision::Delete => "marked, delete now",
                Decision::Vanished => "not there, not needed",
            };
            writeln!(f, "{what}: {} packs, {} bytes", amount.packs, amount.bytes)?;
        }
        let PruneStats { used, unused_before, unused_after, rewritten, .. } = &self.stats;
        writeln!(
            f,
            "used: {used} bytes; unused: {unused_before} bytes, afterwards {unused_after}"
        )?;
        write!(f, "to rewrite: {rewritten} bytes")
    }
}

/// Reads the repository and decides.
///
/// # Errors
/// [`RepoError::MissingBlob`], [`RepoError::Damaged`] and the like when something that a snapshot needs is not there: then nothing may be
/// removed. [`RepoError::Refused`] for `instant_delete` without being alone.
pub fn plan_prune(repo: &Repository, options: &PruneOptions, now: Timestamp) -> Result<PrunePlan> {
    if options.instant_delete && !options.alone {
        let detail = "packs are deleted at once only under an exclusive lock".to_owned();
        return Err(RepoError::Refused { detail });
    }
    let gathered = gather(repo, options.threads, now)?;
    let mut decisions = HashMap::new();
    let mut candidates = Vec::new();
    for (id, pack) in &gathered.packs {
        match decide(*id, pack, options, now)? {
            Some(decision) => {
                decisions.insert(*id, decision);
            }
            None => candidates.push((*id, *pack)),
        }
    }
    for (id, _) in &gathered.unknown {
        decisions.insert(*id, Decision::Unknown);
    }
    let mut stats = PruneStats {
        used: gathered.packs.values().map(|pack| pack.used).sum(),
        ..PruneStats::default()
    };
    let recompress = options.repack_uncompressed && repo.config().version == Version::V2;
    let total = gathered.packs.values().filter_map(|pack| pack.there).sum();
    choose(candidates, options, recompress, total, &mut stats, &mut decisions);
    let repack = repack_list(&gathered, &decisions)?;
    count(&gathered, &decisions, &mut stats);
    let stray = gathered.packs.iter().filter(|(_, pack)| pack.in_use && pack.marked.is_some());
    let stray = stray.map(|(id, _)| *id).collect();
    // Others that start just now might miss an index file that goes away; so small ones are merged only when nobody is there.
    let merge = options.alone && gathered.small.len() > 1;
    let merge = if merge { gathered.small.iter().copied().collect() } else { BTreeSet::new() };
    let Gathered { unknown, files, .. } = gathered;
    Ok(PrunePlan { decisions, stats, options: *options, now, stray, unknown, repack, files, merge })
}

/// What becomes of a pack; `None`: it might be rewritten.
fn decide(
    id: PackId,
    pack: &Pack,
    options: &PruneOptions,
    now: Timestamp,
) -> Result<Option<Decision>> {
    let Some(there) = pack.there else { return Ok(Some(Decision::Vanished)) };
    if there != pack.indexed && pack.used > 0 {
        let detail = format!("it has {there} bytes, its index says {}", pack.indexed);
        return Err(RepoError::damaged(FileKind::Pack, id.0, detail));
    }
    let over = |since: Timestamp| now.duration_since(since) >= options.keep_delete;
    Ok(match (pack.in_use, pack.used, pack.marked) {
        (true, 0, _) => Some(Decision::Unneeded),
        (true, ..) => None,
        (false, 0, Some(since)) if options.alone && (options.instant_delete || over(since)) => {
            Some(Decision::Delete)
        }
        (false, 0, _) => Some(Decision::Wait),
        (false, ..) => Some(Decision::Recover),
    })
}

/// Decides on packs that are in use: those with the greatest unused share are rewritten until few enough unused bytes are left.
fn choose(
    mut candidates: Vec<(PackId, Pack)>,
    options: &PruneOptions,
    recompress: bool,
    total: u64,
    stats: &mut PruneStats,
    decisions: &mut HashMap<PackId, Decision>,
) {
    let unused = |pack: &Pack| pack.total.saturating_sub(pack.used);
    let trees = |pack: &Pack| pack.blobs[1] > 0;
    // Parts per million, so that it can be ordered.
    let share = |pack: &Pack| unused(pack).saturating_mul(1_000_000) / pack.total.max(1);
    candidates.sort_by_key(|(id, pack)| (Reverse(trees(pack)), Reverse(share(pack)), *id));
    let mut left: u64 = candidates.iter().map(|(_, pack)| unused(pack)).sum();
    stats.unused_before = left;
    let most_unused = options.max_unused.beside(stats.used);
    let most_rewritten = options.max_repack.of(total);
    for (id, pack) in candidates {
        let compress = recompress && pack.is_uncompressed();
        let mixed = trees(&pack) && pack.blobs[1] < pack.blobs[0];
        // Trees are read often and are small: they are kept tight, whatever may stay unused.
        let strict = trees(&pack) && options.max_unused != Limit::Unlimited;
        let wanted = compress || mixed || (unused(&pack) > 0 && (strict || left > most_unused));
        let fits = stats.rewritten.saturating_add(pack.used) <= most_rewritten;
        if wanted && fits {
            decisions.insert(id, Decision::Repack);
            stats.rewritten += pack.used;
            left = left.saturating_sub(unused(&pack));
        } else {
            decisions.insert(id, Decision::Keep);
        }
    }
    stats.unused_after = left;
}

impl Pack {
    /// From before compression: no chunk is compressed, or a tree is not.
    fn is_uncompressed(&self) -> bool {
        let [all, trees, uncompressed] = self.blobs;
        uncompressed == all || (trees > 0 && uncompressed > 0)
    }
}

/// The blobs to rewrite, by pack, in the order in which they lie there.
fn repack_list(
    gathered: &Gathered,
    decisions: &HashMap<PackId, Decision>,
) -> Result<Vec<(PackId, Vec<PackedBlob>)>> {
    let mut lists: BTreeMap<PackId, Vec<PackedBlob>> = BTreeMap::new();
    gathered.needed(|_, found| {
        if decisions.get(&found.pack) == Some(&Decision::Repack) {
            lists.entry(found.pack).or_default().push(found.blob);
        }
    })?;
    for list in lists.values_mut() {
        list.sort_unstable_by_key(|blob| blob.offset);
    }
    Ok(lists.into_iter().collect())
}

fn count(gathered: &Gathered, decisions: &HashMap<PackId, Decision>, stats: &mut PruneStats) {
    let unknown: HashMap<_, _> = gathered.unknown.iter().copied().collect();
    for (id, decision) in decisions {
        let known = gathered.packs.get(id);
        let bytes = known.and_then(|pack| pack.there).or_else(|| unknown.get(id).copied());
        let amount = stats.packs.entry(*decision).or_default();
        amount.packs += 1;
        amount.bytes += bytes.unwrap_or_default();
    }
}
