//! What `--gitignore` leaves out is what git itself ignores. Skipped, loudly, where git is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use support::{Chance, new_repository};
use tempfile::TempDir;
use tintype_repo::{
    BackupOptions, BackupProgress, GitUser, MemoryBackend, Repository, Version, backup, look_up,
    walk,
};

fn git(at: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .env("HOME", at)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=m"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(at)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A repository and an empty folder; nothing where there is no git.
struct Place {
    repo: Repository,
    at: PathBuf,
    _folder: TempDir,
}

impl Place {
    fn new() -> Option<Self> {
        tintype_testkit::programs::find("git")?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
        Some(Self { repo, at, _folder: folder })
    }
}

/// The paths below `at` that a backup of `target` has, without folders and without `.git`.
fn saved(repo: &Repository, target: &Path, at: &Path) -> BTreeSet<String> {
    saved_by(repo, target, at, GitUser::default())
}

/// The same for somebody with rules for all working trees.
fn saved_by(repo: &Repository, target: &Path, at: &Path, git_user: GitUser) -> BTreeSet<String> {
    let options = BackupOptions {
        paths: vec![target.to_owned()],
        gitignore: true,
        git_user,
        ..BackupOptions::default()
    };
    let progress = BackupProgress::default();
    let tree =
        backup(repo, Arc::new(repo.index().unwrap()), &[], &options, &progress).unwrap().tree;
    assert_eq!(progress.take_failures(), []);
    let index = repo.index().unwrap();
    let place = look_up(repo, &index, tree, at.as_os_str().as_encoded_bytes()).unwrap();
    let mut found = BTreeSet::new();
    walk(repo, &index, place.tree().unwrap(), |path, node| {
        if node.name == b".git" {
            return Ok(false);
        }
        if node.subtree.is_none() {
            found.insert(String::from_utf8(path.to_vec()).unwrap());
        }
        Ok(true)
    })
    .unwrap();
    found
}

/// What git tracks and what it would add.
fn wanted(at: &Path) -> BTreeSet<String> {
    let list = git(at, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

const NAMES: [&str; 12] =
    ["a", "b", "ab", "a.o", "b.o", "build", "x-1", "[a]", "{a,b}", "a b", "#a", "!a"];

const RULES: [&str; 52] = [
    "a",
    "b",
    "*.o",
    "!a.o",
    "!b.o",
    "build/",
    "/build",
    "/a",
    "a/",
    "a/b",
    "a/*",
    "!a/b",
    "a/**",
    "**/b",
    "**/a/b",
    "a/**/b",
    "*",
    "!*/",
    "!*.o",
    "?",
    "??",
    "[ab]",
    "[!a]",
    "[^b]*",
    "x-[0-9]",
    "[[:alpha:]]",
    "*[[:punct:]]*",
    "{a,b}",
    "\\#a",
    "#a",
    "\\!a",
    "a\\ b",
    "a b  ",
    "a*b",
    "a**b",
    "**",
    "/*",
    "/**",
    "**/",
    "build/**",
    "!build/a",
    "b/**/a",
    "[a",
    "\\[a\\]",
    "[]a]",
    "[[]a]",
    "*/b",
    "/a/*/b",
    "[a-]*",
    "a\\",
    "[+--]*",
    "[!]a]",
];

/// A random tree with random rules at random places.
fn fill(chance: &mut Chance, at: &Path) {
    let mut dirs = vec![at.to_owned()];
    for depth in 0..3 {
        for dir in std::mem::take(&mut dirs) {
            for name in NAMES {
                let path = dir.join(name);
                if depth < 2 && chance.below(3) == 0 {
                    fs::create_dir(&path).unwrap();
                    dirs.push(path);
                } else if chance.below(2) == 0 {
                    fs::write(&path, name).unwrap();
                }
            }
            if chance.below(3) == 0 || dir == at {
                let mut pick = || RULES[chance.below(RULES.len() as u64) as usize];
                let rules: Vec<&str> = (0..3).map(|_| pick()).collect();
                fs::write(dir.join(".gitignore"), rules.join("\n")).unwrap();
            }
            dirs.truncate(6);
        }
    }
}

#[test]
fn random_rules_leave_out_what_git_ignores() {
    let mut chance = Chance(11);
    for round in 0..60 {
        let Some(Place { repo, at, .. }) = &Place::new() else { return };
        git(at, &["init", "-q"]);
        fill(&mut chance, at);
        let rule = RULES[chance.below(RULES.len() as u64) as usize];
        fs::write(at.join(".git/info/exclude"), rule).unwrap();
        let rules = Command::new("sh")
            .args(["-c", "cat .git/info/exclude; for f in $(find . -name .gitignore); do echo; echo == $f; cat $f; done"])
            .current_dir(at)
            .output()
            .unwrap();
        let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
        assert_eq!(saved(repo, at, at), wanted(at), "round {round}, rules:\n{rules}");
    }
}

#[test]
fn what_git_tracks_is_saved_whatever_rules_say() {
    let mut chance = Chance(5);
    for (round, version) in (0..24).zip(["2", "3", "4"].into_iter().cycle()) {
        let Some(Place { repo, at, .. }) = &Place::new() else { return };
        let format = if round % 4 == 3 { "sha256" } else { "sha1" };
        git(at, &["init", "-q", "--object-format", format]);
        fill(&mut chance, at);
        let all = git(at, &["ls-files", "-z", "--others"]);
        let some: Vec<&str> =
            all.split('\0').filter(|path| !path.is_empty() && chance.below(4) == 0).collect();
        if !some.is_empty() {
            let add = ["--literal-pathspecs", "add", "--force", "--"];
            git(at, &add.iter().chain(&some).copied().collect::<Vec<_>>());
        }
        git(at, &["update-index", "--index-version", version]);
        if version == "3" {
            // Flags that only this version has.
            let last = some.last().map(|path| git(at, &["update-index", "--skip-worktree", path]));
            drop(last);
        }
        assert_eq!(saved(repo, at, at), wanted(at), "round {round}, tracked: {some:?}");
    }
}

#[test]
fn rules_of_the_user_count_least() {
    // git looks for the user's config there too: `HOME` of these tests.
    let Some(Place { repo, at, .. }) = &Place::new() else { return };
    git(at, &["init", "-q"]);
    files(at, &["a.swp", "b.swp", "c.swp", "d", "kept/x.swp"]);
    git(at, &["add", "c.swp"]);
    fs::write(at.join(".gitignore"), "!b.swp\n").unwrap();
    fs::write(at.join(".gitconfig"), "[core]\n\texcludesFile = ~/mine\n").unwrap();
    fs::write(at.join("mine"), "*.swp\n.gitconfig\nmine\n").unwrap();
    let user = GitUser {
        configs: vec![at.join(".gitconfig")],
        home: Some(at.clone()),
        ..GitUser::default()
    };
    let found = saved_by(repo, at, at, user);
    assert_eq!(found, set(&[".gitignore", "b.swp", "c.swp", "d"]));
    assert_eq!(found, wanted(at));
    assert!(saved(repo, at, at).contains("kept/x.swp"), "without a user");
}

#[test]
fn every_rule_alone_is_read_as_git_reads_it() {
    let Some(Place { repo, at, .. }) = &Place::new() else { return };
    git(at, &["init", "-q"]);
    for name in NAMES {
        fs::write(at.join(name), "").unwrap();
    }
    for dir in ["d", "d/a", "c", "c/build", "c/build/a"] {
        fs::create_dir(at.join(dir)).unwrap();
    }
    for dir in ["d", "d/a", "c", "c/build", "c/build/a"] {
        NAMES.iter().for_each(|name| drop(fs::write(at.join(dir).join(name), "")));
    }
    for rule in RULES {
        fs::write(at.join(".gitignore"), rule).unwrap();
        assert_eq!(saved(repo, at, at), wanted(at), "rule {rule:?}");
    }
}

fn files(at: &Path, names: &[&str]) {
    for name in names {
        let path = at.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn rules_end_where_working_trees_end() {
    let Some(Place { repo, at, .. }) = &Place::new() else { return };
    // Outside of any working tree, rules mean nothing.
    files(at, &["plain/x.o", "outer/x.o", "outer/x.c", "outer/inner/x.o", "outer/inner/x.c"]);
    fs::write(at.join("plain/.gitignore"), "*.o").unwrap();
    fs::write(at.join("outer/.gitignore"), "*.o\n*.lock\nHEAD\n.git/\n").unwrap();
    git(&at.join("outer"), &["init", "-q"]);
    git(&at.join("outer/inner"), &["init", "-q"]);
    fs::write(at.join("outer/inner/.gitignore"), "*.c").unwrap();
    assert_eq!(saved(repo, &at.join("plain"), &at.join("plain")), set(&[".gitignore", "x.o"]));
    let outer = saved(repo, at, &at.join("outer"));
    assert_eq!(outer, set(&[".gitignore", "inner/.gitignore", "inner/x.o", "x.c"]));
    // The rules do not reach into `.git`: the history is saved whole.
    fs::write(at.join("outer/.git/some.lock"), "").unwrap();
    let history = saved(repo, at, &at.join("outer/.git"));
    assert!(history.contains("some.lock") && history.contains("HEAD"), "{history:?}");
}

#[test]
fn rules_above_the_target_count_and_the_target_is_saved() {
    let Some(Place { repo, at, .. }) = &Place::new() else { return };
    git(at, &["init", "-q"]);
    files(at, &["sub/dir/a.o", "sub/dir/b.c", "sub/dir/c.d", "sub/dir/keep.o"]);
    fs::write(at.join(".gitignore"), "*.o\n/sub/dir/c.d\n").unwrap();
    fs::write(at.join("sub/.gitignore"), "!keep.o\n").unwrap();
    fs::write(at.join(".git/info/exclude"), "b.c\n").unwrap();
    assert_eq!(saved(repo, &at.join("sub/dir"), &at.join("sub/dir")), set(&["keep.o"]));
    fs::write(at.join(".gitignore"), "/sub/\n").unwrap();
    fs::write(at.join(".git/info/exclude"), "").unwrap();
    let named = saved(repo, &at.join("sub/dir"), &at.join("sub/dir"));
    assert_eq!(named, set(&["a.o", "b.c", "c.d", "keep.o"]));
}

#[test]
fn further_working_trees_have_the_rules_of_their_repository() {
    let Some(Place { repo, at, .. }) = &Place::new() else { return };
    let main = at.join("main");
    files(&main, &["a"]);
    git(&main, &["init", "-q"]);
    git(&main, &["add", "a"]);
    git(&main, &["commit", "-q", "-m", "x"]);
    git(&main, &["worktree", "add", "-q", "../second"]);
    fs::write(main.join(".git/info/exclude"), "*.o").unwrap();
    let second = at.join("second");
    files(&second, &["x.o", "x.c"]);
    assert_eq!(saved(repo, &second, &second), set(&["a", "x.c"]));
    assert_eq!(wanted(&second), set(&["a", "x.c"]));
}
