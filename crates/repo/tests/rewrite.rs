//! Rewriting, merging and recovering in memory: against naive models, and ended at every change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/mend.rs"]
mod mend;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mend::{Trees, end_at_every_change, names, open, readable};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use support::{Chance, Expected, Model, at, check_all, new_repository, save, verify};
use tintype_repo::{
    Backend, BlobId, BlobKind, DeleteOption, Excludes, FileKind, GoTime, MemoryBackend,
    MendProgress, MergeOptions, Merged, Node, NodeKind, PruneOptions, Recovered, RepoError,
    Repository, Result, RewriteOptions, RewriteReport, SnapshotFile, SnapshotId,
    SnapshotModification, SnapshotSummary, Version, decode_tree, encode_tree, merge_snapshots,
    plan_prune, prune, recover, remove_snapshots, rewrite_snapshots,
};

const NOW: &str = "2026-01-01T00:00:00Z";

/// What is in a folder.
type Folder = BTreeMap<String, Entry>;

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    File(i64, Vec<u8>),
    Dir(i64, Folder),
}

impl Entry {
    fn time(&self) -> i64 {
        match self {
            Self::File(time, _) | Self::Dir(time, _) => *time,
        }
    }
}

/// Stores a folder; gives its tree.
fn store(put: &mut impl FnMut(BlobKind, &[u8]) -> BlobId, folder: &Folder) -> BlobId {
    let nodes: Vec<Node> = folder
        .iter()
        .map(|(name, entry)| {
            let (name, mtime) = (name.clone().into_bytes(), GoTime::utc(entry.time(), 0));
            let node = Node { name, mtime, ..Node::default() };
            match entry {
                Entry::File(_, bytes) => {
                    let content = Some(vec![put(BlobKind::Data, bytes)]);
                    Node { content, size: bytes.len() as u64, ..node }
                }
                Entry::Dir(_, below) => {
                    let subtree = Some(store(put, below));
                    Node { kind: NodeKind::Dir, subtree, ..node }
                }
            }
        })
        .collect();
    put(BlobKind::Tree, &encode_tree(&nodes).unwrap())
}

/// Its tree's id, by itself.
fn tree_of(folder: &Folder) -> BlobId {
    store(&mut |_, bytes| BlobId::of(bytes), folder)
}

/// Counts files, their bytes, and folders.
fn count(folder: &Folder) -> [u64; 3] {
    let mut sum = [0; 3];
    for entry in folder.values() {
        let more = match entry {
            Entry::File(_, bytes) => [1, bytes.len() as u64, 0],
            Entry::Dir(_, below) => {
                let [files, bytes, dirs] = count(below);
                [files, bytes, dirs + 1]
            }
        };
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    sum
}

fn totals(summary: &SnapshotSummary) -> [u64; 3] {
    [summary.total_files_processed, summary.total_bytes_processed, summary.total_dirs_processed]
}

fn folders() -> impl Strategy<Value = Folder> {
    let name = || prop::sample::select(vec!["a", "b", "c.o", "tmp", "D"]).prop_map(str::to_owned);
    let file = (0i64..4, vec(0u8..3, 1..3)).prop_map(|(time, bytes)| Entry::File(time, bytes));
    let entry = file.prop_recursive(3, 24, 4, move |inner| {
        (0i64..4, btree_map(name(), inner, 0..4)).prop_map(|(time, below)| Entry::Dir(time, below))
    });
    let any = btree_map(name(), entry, 0..5);
    // The same folder in several places: what is left out of it depends on where it is.
    (any.clone(), any, 0u8..4).prop_map(|(mut whole, part, places)| {
        for (bit, name) in [(1, "a"), (2, "b")] {
            if places & bit != 0 {
                whole.insert(name.to_owned(), Entry::Dir(1, part.clone()));
            }
        }
        whole
    })
}

fn patterns() -> impl Strategy<Value = Vec<&'static str>> {
    let some = [
        "a", "*.o", "tmp", "/a", "/a/b", "b/a", "!a", "!*.o", "*", "/b/**/a", "d", "tmp/", "[a-b]",
    ];
    vec(prop::sample::select(some.to_vec()), 0..4)
}

fn filtered(folder: &Folder, path: &str, excludes: &Excludes) -> Folder {
    let mut out = Folder::new();
    for (name, entry) in folder {
        let path = format!("{path}/{name}");
        if excludes.excludes(Path::new(&path)) {
            continue;
        }
        let entry = match entry {
            Entry::Dir(time, below) => Entry::Dir(*time, filtered(below, &path, excludes)),
            file => file.clone(),
        };
        out.insert(name.clone(), entry);
    }
    out
}

/// Several folders as one, the newest snapshot first.
fn merged(folders: &[&Folder]) -> Folder {
    let mut out = Folder::new();
    for name in folders.iter().flat_map(|folder| folder.keys()) {
        let all: Vec<&Entry> = folders.iter().filter_map(|folder| folder.get(name)).collect();
        let newest = all.iter().map(|entry| entry.time()).max().unwrap();
        let best = all.iter().find(|entry| entry.time() == newest).unwrap();
        let entry = match best {
            Entry::File(..) => (*best).clone(),
            Entry::Dir(time, _) => {
                let below = all.iter().filter_map(|entry| match entry {
                    Entry::Dir(_, below) => Some(below),
                    Entry::File(..) => None,
                });
                Entry::Dir(*time, merged(&below.collect::<Vec<_>>()))
            }
        };
        out.insert(name.clone(), entry);
    }
    out
}

fn with_snapshots(folders: &[Folder]) -> (MemoryBackend, Repository) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    put_snapshots(&repo, folders);
    (backend, repo)
}

/// Puts these into a repository instead of all others.
fn put_snapshots(repo: &Repository, folders: &[Folder]) {
    let old: Vec<_> = repo.snapshots().unwrap().iter().map(|snapshot| snapshot.id).collect();
    remove_snapshots(repo, &old).unwrap();
    for (day, folder) in (1..).zip(folders) {
        let mut trees = Trees::new(repo);
        let root = store(&mut |kind, bytes| trees.put(kind, bytes), folder);
        let saved = trees.done(repo, root);
        remove_snapshots(repo, &[saved.id]).unwrap();
        let mut snapshot = SnapshotFile::new(format!("2025-01-0{day}").parse().unwrap(), root);
        snapshot.paths = vec![format!("/p{day}"), "/x".into()];
        snapshot.hostname = "h".into();
        snapshot.tags = vec![format!("t{day}")];
        snapshot.summary = Some(SnapshotSummary { files_new: 7, ..SnapshotSummary::default() });
        snapshot.other.insert("future".into(), day.into());
        repo.save_snapshot(&mut snapshot).unwrap();
    }
}

fn rewrite(repo: &Repository, options: &RewriteOptions) -> Result<RewriteReport> {
    let all = repo.snapshots()?;
    rewrite_snapshots(repo, &all, &all, options, at(NOW), &MendProgress::default(), &|| Ok(()))
}

fn without(patterns: &[&str], forget: bool) -> RewriteOptions {
    let excludes = Excludes::new(patterns.iter().copied(), ["d"]).unwrap();
    RewriteOptions { excludes, forget, ..RewriteOptions::default() }
}

fn merge(repo: &Repository, delete: bool) -> Result<Merged> {
    let options = MergeOptions { delete, ..MergeOptions::default() };
    let base = SnapshotFile::new("2026-01-01".parse().unwrap(), BlobId::default());
    let all = repo.snapshots()?;
    merge_snapshots(repo, &all, base, &options, at(NOW), &MendProgress::default(), &|| Ok(()))
}

fn recovery(repo: &Repository) -> Result<Recovered> {
    let base = SnapshotFile::new("2026-01-01".parse().unwrap(), BlobId::default());
    recover(repo, base, at(NOW), &MendProgress::default(), &|| Ok(()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_out_is_what_a_filtered_walk_leaves_out(folder in folders(), patterns in patterns()) {
        // One for all cases: a key costs more than all the rest.
        static REPO: OnceLock<Repository> = OnceLock::new();
        let repo = REPO.get_or_init(|| with_snapshots(&[]).1);
        put_snapshots(repo, std::slice::from_ref(&folder));
        let options = without(&patterns, true);
        let wanted = filtered(&folder, "", &options.excludes);
        let old = repo.snapshots().unwrap().remove(0);
        let report = rewrite(repo, &options).unwrap();
        let all = repo.snapshots().unwrap();
        prop_assert_eq!(all.len(), 1);
        // Byte for byte the tree that a backup of what is left would have made.
        prop_assert_eq!(all[0].tree, tree_of(&wanted));
        prop_assert_eq!(report.unchanged.len(), usize::from(wanted == folder));
        if wanted != folder {
            let mut same = all[0].clone();
            prop_assert_eq!(same.original, Some(old.id));
            let summary = same.summary.clone().unwrap();
            prop_assert_eq!((totals(&summary), summary.files_new), (count(&wanted), 7));
            (same.id, same.original, same.tree) = (old.id, None, old.tree);
            same.summary.clone_from(&old.summary);
            prop_assert_eq!(same, old);
        }
        prop_assert!(check_all(repo).is_sound());
        prop_assert!(rewrite(repo, &options).unwrap().rewritten.is_empty());
    }

    #[test]
    fn a_merge_has_the_newest_of_everything(folders in vec(folders(), 2..4)) {
        static REPO: OnceLock<Repository> = OnceLock::new();
        let repo = REPO.get_or_init(|| with_snapshots(&[]).1);
        put_snapshots(repo, &folders);
        let newest_first: Vec<&Folder> = folders.iter().rev().collect();
        let wanted = merged(&newest_first);
        let done = merge(repo, false).unwrap().snapshot;
        prop_assert_eq!(done.tree, tree_of(&wanted));
        prop_assert_eq!(totals(done.summary.as_ref().unwrap()), count(&wanted));
        prop_assert!(check_all(repo).is_sound());
    }
}

#[test]
fn a_merge_says_what_it_was_made_of() {
    let file = |time| Folder::from([("a".to_owned(), Entry::File(time, vec![1]))]);
    let (_, repo) = with_snapshots(&[file(1), file(2)]);
    let old = repo.snapshots().unwrap();
    let done = merge(&repo, true).unwrap();
    let new = &done.snapshot;
    assert_eq!(repo.snapshots().unwrap(), std::slice::from_ref(new));
    assert_eq!(new.all_parents(), [old[0].id, old[1].id]);
    assert_eq!((new.parent, new.parents.len()), (Some(old[0].id), 2));
    assert_eq!(new.paths, ["/p1", "/p2", "/x"]);
    assert_eq!((new.hostname.as_str(), new.time), ("h", old[1].time));
    assert_eq!(new.tags, ["t1", "t2"]);
    assert_eq!(done.deleted.len(), 2);
    assert!(matches!(merge(&repo, false), Err(RepoError::Refused { .. })), "one alone");
}

#[test]
fn protected_snapshots_are_not_merged_away_nor_rewritten_away() {
    let file = |time| Folder::from([("a".to_owned(), Entry::File(time, vec![1]))]);
    let (backend, repo) = with_snapshots(&[file(1), file(2)]);
    let mut kept = repo.snapshots().unwrap().remove(0);
    remove_snapshots(&repo, &[kept.id]).unwrap();
    kept.delete = DeleteOption::After("2027-01-01".parse().unwrap());
    repo.save_snapshot(&mut kept).unwrap();
    let before = backend.changes();
    assert!(
        matches!(merge(&repo, true), Err(RepoError::Refused { detail }) if detail.contains(&kept.id.to_string()))
    );
    assert_eq!(backend.changes(), before);
    let report = rewrite(&repo, &without(&["a"], true)).unwrap();
    assert_eq!((report.protected, report.rewritten.len()), (vec![kept.id], 1));
    assert!(repo.snapshots().unwrap().contains(&kept));
    let report = rewrite(&repo, &without(&["a"], false)).unwrap();
    assert_eq!(report.rewritten.len(), 1);
}

#[test]
fn names_of_different_files_share_no_inode_after_a_merge() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    for (name, bytes) in [("a", b"one"), ("b", b"two"), ("c", b"two")] {
        let mut trees = Trees::new(&repo);
        let content = Some(vec![trees.put(BlobKind::Data, bytes)]);
        let node = Node {
            name: name.into(),
            content,
            size: 3,
            links: 2,
            inode: 5,
            device_id: 1,
            ..Node::default()
        };
        let root = trees.put(BlobKind::Tree, &encode_tree([&node]).unwrap());
        trees.done(&repo, root);
    }
    let done = merge(&repo, false).unwrap().snapshot;
    let bytes = repo.blob(&repo.index().unwrap(), BlobKind::Tree, done.tree).unwrap();
    let nodes = decode_tree(&bytes).unwrap();
    let links: Vec<_> = nodes.iter().map(Node::hard_link).collect();
    let same = |a: usize, b: usize| links[a].is_some() && links[a] == links[b];
    assert!(!same(0, 1) && !same(0, 2), "{links:?}");
    assert!(links.iter().any(Option::is_some));
}

#[test]
fn metadata_change_without_reading_trees() {
    let (_, repo) = with_snapshots(&[Folder::new()]);
    let mut lost = SnapshotFile::new("2025-03-01".parse().unwrap(), BlobId::of(b"no tree"));
    repo.save_snapshot(&mut lost).unwrap();
    let change = SnapshotModification {
        hostname: Some("new".into()),
        time: Some("2020-01-01".parse().unwrap()),
        ..SnapshotModification::default()
    };
    let options = RewriteOptions { change, ..RewriteOptions::default() };
    let dry = RewriteOptions { dry_run: true, ..options.clone() };
    assert_eq!(rewrite(&repo, &dry).unwrap().rewritten.len(), 2);
    assert_eq!(repo.snapshots().unwrap().len(), 2);
    assert_eq!(rewrite(&repo, &options).unwrap().rewritten.len(), 2);
    let all = repo.snapshots().unwrap();
    let new: Vec<_> = all.iter().filter(|s| s.hostname == "new").collect();
    assert!(all.len() == 4 && new.len() == 2);
    assert!(new.iter().all(|s| s.tags.contains(&"rewrite".to_owned())));
    // A second run finds what the first one wrote.
    rewrite(&repo, &options).unwrap();
    assert_eq!(repo.snapshots().unwrap().len(), 4);
}

#[test]
fn a_tree_in_a_foreign_form_is_refused_unless_asked_for() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let node = |name: &str| Node { name: name.into(), content: Some(vec![]), ..Node::default() };
    let exact = encode_tree(&[node("a"), node("b")]).unwrap();
    let text = String::from_utf8(exact.clone()).unwrap();
    let foreign = text.replace("\"uid\":0,\"gid\":0", "\"gid\":0,\"uid\":0");
    let root = trees.put(BlobKind::Tree, foreign.as_bytes());
    let saved = trees.done(&repo, root);
    let refused = rewrite(&repo, &without(&["a"], true));
    assert!(matches!(refused, Err(RepoError::Refused { .. })), "{refused:?}");
    assert_eq!(repo.snapshots().unwrap(), std::slice::from_ref(&saved));
    // What does not change need not be written.
    assert_eq!(rewrite(&repo, &without(&["x"], true)).unwrap().unchanged, [saved.id]);
    let all = RewriteOptions { all_trees: true, forget: true, ..RewriteOptions::default() };
    rewrite(&repo, &all).unwrap();
    assert_eq!(repo.snapshots().unwrap()[0].tree, BlobId::of(&exact));
    rewrite(&repo, &without(&["a"], true)).unwrap();
    assert_eq!(names(&repo, repo.snapshots().unwrap()[0].tree), ["b"]);
}

#[test]
fn damage_and_hostile_trees_stop_a_rewrite() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let good =
        encode_tree([&Node { name: b"a".to_vec(), content: Some(vec![]), ..Node::default() }]);
    let text = String::from_utf8(good.unwrap()).unwrap();
    let root = trees.put(BlobKind::Tree, text.replace("\"a\"", "\"../a\"").as_bytes());
    trees.done(&repo, root);
    assert!(matches!(rewrite(&repo, &without(&["x"], true)), Err(RepoError::Tree { .. })));
    let mut missing = SnapshotFile::new("2025-03-01".parse().unwrap(), BlobId::of(b"no"));
    repo.save_snapshot(&mut missing).unwrap();
    assert!(merge(&repo, true).is_err());
    assert_eq!(repo.snapshots().unwrap().len(), 2);
}

#[test]
fn depth_and_repetition_cost_little() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let dir = |name: &str, tree| Node {
        name: name.into(),
        kind: NodeKind::Dir,
        subtree: Some(tree),
        ..Node::default()
    };
    let leaf = Node { name: b"f".to_vec(), content: Some(vec![]), ..Node::default() };
    let mut deep = trees.put(BlobKind::Tree, &encode_tree([&leaf]).unwrap());
    for _ in 0..3000 {
        deep = trees.put(BlobKind::Tree, &encode_tree([&dir("d", deep)]).unwrap());
    }
    let mut wide = trees.put(BlobKind::Tree, &encode_tree([&leaf]).unwrap());
    for _ in 0..70 {
        let both = [dir("a", wide), dir("b", wide)];
        wide = trees.put(BlobKind::Tree, &encode_tree(&both).unwrap());
    }
    let root = encode_tree(&[dir("deep", deep), dir("wide", wide)]).unwrap();
    let root = trees.put(BlobKind::Tree, &root);
    trees.done(&repo, root);
    let leaf = trees_of(&repo, &[leaf]);
    let mut other = SnapshotFile::new("2025-03-01".parse().unwrap(), leaf);
    repo.save_snapshot(&mut other).unwrap();
    let done = merge(&repo, false).unwrap().snapshot;
    assert_eq!(done.summary.unwrap().total_files_processed, u64::MAX);
    rewrite(&repo, &without(&["f"], true)).unwrap();
    assert!(check_all(&repo).is_sound());
}

fn trees_of(repo: &Repository, nodes: &[Node]) -> BlobId {
    let mut trees = Trees::new(repo);
    let root = trees.put(BlobKind::Tree, &encode_tree(nodes).unwrap());
    let saved = trees.done(repo, root);
    remove_snapshots(repo, &[saved.id]).unwrap();
    root
}

/// Three backups of a changing model.
fn three() -> (MemoryBackend, Repository, Expected) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    let (mut chance, mut model, mut expected) = (Chance(5), Model::new(), Expected::new());
    for day in 1..=3 {
        (0..5).for_each(|_| chance.change(&mut model));
        let saved = save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
        expected.insert(saved.id, model.clone());
    }
    (backend, repo, expected)
}

#[test]
fn an_end_at_any_change_of_a_rewrite_loses_nothing() {
    let (base, _, before) = three();
    let options = without(&["f2", "/d1/f3"], true);
    let left = |model: &Model| {
        let mut model = model.clone();
        model.retain(|path, _| !path.ends_with("f2") && path != "d1/f3");
        model
    };
    end_at_every_change(
        &base,
        "rewrite",
        |repo| rewrite(repo, &options),
        |repo, when, again| {
            let all = repo.snapshots().unwrap();
            let index = repo.index().unwrap();
            for (id, model) in &before {
                let of_it = |s: &&SnapshotFile| s.id == *id || s.original == Some(*id);
                let versions: Vec<_> = all.iter().filter(of_it).collect();
                assert!(!versions.is_empty(), "{when}: {id} is gone");
                assert!(!again || versions.len() == 1, "{when}: {id} is there twice");
                for version in versions {
                    let wanted = if version.id == *id { model.clone() } else { left(model) };
                    let now = support::read_back(repo, &index, version);
                    assert_eq!(now, wanted, "{when}");
                    assert!(!again || now == left(model), "{when}");
                }
            }
        },
    );
}

#[test]
fn an_end_at_any_change_of_a_merge_loses_nothing() {
    let (base, repo, expected) = three();
    let all: Vec<SnapshotId> = repo.snapshots().unwrap().iter().map(|s| s.id).collect();
    let run = |repo: &Repository| {
        // What an ended run has merged already is not there to be merged again.
        let there: Vec<_> = repo.snapshots()?.into_iter().filter(|s| all.contains(&s.id)).collect();
        if there.len() < 2 {
            return Ok(());
        }
        let base = SnapshotFile::new("2026-01-01".parse().unwrap(), BlobId::default());
        let options = MergeOptions { delete: true, ..MergeOptions::default() };
        let progress = MendProgress::default();
        merge_snapshots(repo, &there, base, &options, at(NOW), &progress, &|| Ok(())).map(drop)
    };
    end_at_every_change(&base, "merge", run, |repo, when, _| {
        let left = repo.snapshots().unwrap();
        let merged = left.iter().find(|s| !s.parents.is_empty());
        let index = repo.index().unwrap();
        match merged {
            None => readable(repo, &expected, when),
            Some(merged) => {
                // All times are alike, so the newest snapshot counts where it has something.
                let mut wanted = Model::new();
                all.iter().for_each(|id| wanted.extend(expected[id].clone()));
                let now = support::read_back(repo, &index, merged);
                assert!(now.keys().eq(wanted.keys()) || merged.parents.len() < 3, "{when}");
            }
        }
    });
}

#[test]
fn forgotten_snapshots_are_recovered_also_from_marked_packs() {
    for marked in [false, true] {
        let (_, repo, expected) = three();
        let old = repo.snapshots().unwrap();
        remove_snapshots(&repo, &[old[0].id, old[1].id]).unwrap();
        if marked {
            let plan = plan_prune(&repo, &PruneOptions::default(), at(NOW)).unwrap();
            prune(&repo, &plan, &|| Ok(())).unwrap();
        }
        let found = recovery(&repo).unwrap();
        assert_eq!((found.folders.len(), found.lost), (2, 0), "{found:?}");
        assert_eq!(found.taken_back.is_empty(), !marked);
        let snapshot = found.snapshot.unwrap();
        assert_eq!(
            (snapshot.paths, snapshot.tags),
            (vec!["/recover".to_owned()], vec!["recovered".to_owned()])
        );
        assert_eq!(names(&repo, snapshot.tree).len(), 2);
        let index = repo.index_in_use().unwrap();
        for lost in &old[..2] {
            assert!(found.folders.iter().any(|(_, tree)| *tree == lost.tree));
            assert_eq!(support::read_back(&repo, &index, lost), expected[&lost.id]);
        }
        assert!(check_all(&repo).is_sound());
        assert_eq!(recovery(&repo).unwrap().snapshot, None);
        // A prune much later leaves it alone.
        let alone = PruneOptions { alone: true, instant_delete: true, ..PruneOptions::default() };
        let plan = plan_prune(&repo, &alone, at("2027-01-01")).unwrap();
        prune(&repo, &plan, &|| Ok(())).unwrap();
        assert!(check_all(&repo).is_sound());
    }
}

#[test]
fn what_lacks_something_is_recovered_without_it_and_once() {
    let (backend, repo, _) = three();
    let old = repo.snapshots().unwrap();
    let ids: Vec<_> = old.iter().map(|snapshot| snapshot.id).collect();
    remove_snapshots(&repo, &ids).unwrap();
    // The pack with most data.
    let packs = backend.list(FileKind::Pack).unwrap();
    let (largest, _) = packs.into_iter().max_by_key(|(_, length)| *length).unwrap();
    backend.tamper(FileKind::Pack, largest, None);
    let progress = MendProgress::default();
    tintype_repo::repair_index(&repo, &Default::default(), &progress, &|| Ok(())).unwrap();
    let found = recovery(&repo).unwrap();
    assert!(found.snapshot.is_some() && found.lost > 0 && !found.losses.is_empty());
    for loss in &found.losses {
        let whose = |name: &String| loss.path.starts_with(format!("/{name}"));
        assert!(found.folders.iter().any(|(name, _)| whose(name)), "{loss:?}");
    }
    let report = check_all(&repo);
    assert!(report.is_sound(), "{:?}", report.findings);
    let again = recovery(&repo).unwrap();
    assert!(again.snapshot.is_none() && again.losses.is_empty(), "{again:?}");
}

#[test]
fn a_damaged_snapshot_file_hides_no_tree_from_recovery() {
    let (backend, repo, expected) = three();
    let id = *expected.keys().next().unwrap();
    let tree = repo.snapshot(id).unwrap().tree;
    let mut bytes = backend.read(FileKind::Snapshot, id.0).unwrap();
    bytes[20] ^= 1;
    backend.tamper(FileKind::Snapshot, id.0, Some(bytes));
    let found = recovery(&repo).unwrap();
    assert_eq!(found.folders, [(tree.0.short(), tree)]);
}

#[test]
fn an_end_at_any_change_of_a_recovery_loses_nothing() {
    let (base, repo, mut expected) = three();
    let old = repo.snapshots().unwrap();
    let gone = [old[0].clone(), old[1].clone()];
    remove_snapshots(&repo, &[gone[0].id, gone[1].id]).unwrap();
    let plan = plan_prune(&repo, &PruneOptions::default(), at(NOW)).unwrap();
    prune(&repo, &plan, &|| Ok(())).unwrap();
    let models = gone.clone().map(|s| expected.remove(&s.id).unwrap());
    end_at_every_change(&base, "recover", recovery, |repo, when, done| {
        readable(repo, &expected, when);
        let index = if done { repo.index_in_use().unwrap() } else { repo.index().unwrap() };
        for (snapshot, model) in gone.iter().zip(&models) {
            assert_eq!(&support::read_back(repo, &index, snapshot), model, "{when}");
        }
        if done {
            assert_eq!(repo.snapshots().unwrap().len(), 2, "{when}");
        }
    });
    let repo = open(&base);
    verify(&repo, &expected, "untouched");
}
