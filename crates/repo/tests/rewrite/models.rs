//! Naive models of folders: what a rewrite leaves and what a merge brings together, by the byte.

use super::*;

/// What is in a folder.
pub type Folder = BTreeMap<String, Entry>;

#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
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
pub fn store(put: &mut impl FnMut(BlobKind, &[u8]) -> BlobId, folder: &Folder) -> BlobId {
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
pub fn tree_of(folder: &Folder) -> BlobId {
    store(&mut |_, bytes| BlobId::of(bytes), folder)
}

/// Counts files, their bytes, and folders.
pub fn count(folder: &Folder) -> [u64; 3] {
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

pub fn totals(summary: &SnapshotSummary) -> [u64; 3] {
    [summary.total_files_processed, summary.total_bytes_processed, summary.total_dirs_processed]
}

pub fn folders() -> impl Strategy<Value = Folder> {
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

pub fn patterns() -> impl Strategy<Value = Vec<&'static str>> {
    let some = [
        "a", "*.o", "tmp", "/a", "/a/b", "b/a", "!a", "!*.o", "*", "/b/**/a", "d", "tmp/", "[a-b]",
    ];
    vec(prop::sample::select(some.to_vec()), 0..4)
}

pub fn filtered(folder: &Folder, path: &str, excludes: &Excludes) -> Folder {
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
pub fn merged(folders: &[&Folder]) -> Folder {
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

pub fn with_snapshots(folders: &[Folder]) -> (MemoryBackend, Repository) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    put_snapshots(&repo, folders);
    (backend, repo)
}

/// Puts these into a repository instead of all others.
pub fn put_snapshots(repo: &Repository, folders: &[Folder]) {
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
