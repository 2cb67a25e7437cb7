//! Processes that are killed at each change of a repository in a folder, with torn files left behind; and full disks. Afterwards `check` finds
//! nothing, ours each time and restic's on a sample, and every snapshot that was reported saved comes back bit for bit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use support::{
    Chance, Expected, Model, actor, check_all, open, restic, restic_installed, save, try_save,
    used_repository, verify,
};
use tintype_repo::{
    Backend, Limit, LocalFolder, Lock, LockMode, PruneOptions, Repository, Version, plan_prune,
    prune, remove_locks, remove_snapshots,
};
use tintype_testkit::Rng;
use tintype_testkit::careless::{Careless, Mistake};
use tintype_testkit::faulty::{Fault, Faulty, Side};
use tintype_testkit::tmpfs::Tmpfs;

/// What a program could do wrong in a backup, again in a backup, and in a prune.
const MISTAKES: [Mistake; 3] =
    [Mistake::IndexBeforePacks, Mistake::SnapshotFirst, Mistake::RemovalBeforeWrites];
/// Kills after which restic checks too: every so many.
const SAMPLE: u64 = 5;

fn instant() -> PruneOptions {
    PruneOptions {
        max_unused: Limit::Bytes(0),
        instant_delete: true,
        alone: true,
        threads: 2,
        ..PruneOptions::default()
    }
}

fn run_prune(repo: &Repository) -> tintype_repo::Result<()> {
    let plan = plan_prune(repo, &instant(), support::at("2026-03-01T00:00:00Z"))?;
    prune(repo, &plan, &|| Ok(())).map(drop)
}

/// What the backups of these tests save.
fn next_model(expected: &Expected) -> Model {
    let mut model = expected.values().last().unwrap().clone();
    let mut chance = Chance(23);
    (0..6).for_each(|_| chance.change(&mut model));
    model
}

/// The process that is killed: runs as a test of this program, and does nothing unless it was started by [`killed`].
#[test]
fn child() {
    let Ok(task) = std::env::var("TINTYPE_KILLED_TASK") else { return };
    let folder = std::env::var("TINTYPE_KILLED_FOLDER").unwrap();
    let at = std::env::var("TINTYPE_KILLED_AT").unwrap().parse().unwrap();
    let torn = std::env::var("TINTYPE_KILLED_TORN").is_ok();
    let fault = if torn { Fault::KillTorn } else { Fault::Kill };
    let place = Faulty::new(LocalFolder::new(&folder), Side::Changes, fault, at);
    let place = Arc::new(place.in_folder(Path::new(&folder)));
    let mistake = std::env::var("TINTYPE_KILLED_MISTAKE").ok();
    let careless = mistake.map(|name| {
        let mistake = MISTAKES.into_iter().find(|mistake| format!("{mistake:?}") == name);
        Arc::new(Careless::new(Arc::clone(&place), mistake.unwrap())) as Arc<dyn Backend>
    });
    let repo = open(careless.unwrap_or(place)).unwrap();
    let mode = if task == "backup" { LockMode::Shared } else { LockMode::Exclusive };
    let lock = Lock::take(&repo, mode, &actor(), Duration::ZERO).unwrap();
    match task.as_str() {
        "backup" => {
            let json = fs::read(Path::new(&folder).with_extension("model")).unwrap();
            let saved = try_save(&repo, &decoded(&json), "2026-02-01T00:00:00Z").unwrap();
            println!("saved {}", saved.id);
        }
        "prune" => run_prune(&repo).unwrap(),
        "forget" => {
            let snapshots = repo.snapshots().unwrap();
            remove_snapshots(&repo, &[snapshots[0].id, snapshots[1].id]).unwrap();
        }
        other => panic!("{other}"),
    }
    drop(lock);
}

/// A model as bytes: for each file lengths and text of name and content.
fn encoded(model: &Model) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in model {
        for part in [name.as_bytes(), content] {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

fn decoded(mut bytes: &[u8]) -> Model {
    let mut next = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bytes = rest;
        Some(part.to_vec())
    };
    let mut model = Model::new();
    while let Some(name) = next() {
        model.insert(String::from_utf8(name).unwrap(), next().unwrap());
    }
    model
}

fn copy_folder(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// Runs the task on a folder until it is killed; the snapshot that it reported, and whether it came to its end.
fn killed(
    folder: &Path,
    task: &str,
    at: u64,
    torn: bool,
    mistake: Option<Mistake>,
) -> (Option<String>, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]);
    command.env("TINTYPE_KILLED_TASK", task).env("TINTYPE_KILLED_FOLDER", folder);
    command.env("TINTYPE_KILLED_AT", at.to_string());
    if torn {
        command.env("TINTYPE_KILLED_TORN", "1");
    }
    if let Some(mistake) = mistake {
        command.env("TINTYPE_KILLED_MISTAKE", format!("{mistake:?}"));
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ended = output.status.success();
    assert!(ended || output.status.code().is_none(), "{task} at {at}: {text}");
    let saved =
        text.lines().find_map(|line| line.split_once("saved ").map(|(_, id)| id.to_owned()));
    (saved, ended)
}

/// Kills the task at each change, and judges; gives the number of kills.
fn everywhere(task: &str, may_go: usize) -> u64 {
    let with_restic = restic_installed();
    each_kill(task, None, |kill| {
        judge(&kill, may_go);
        if with_restic && kill.number % SAMPLE == 0 {
            restic(kill.folder, &["check", "--read-data"]);
        }
    })
}

/// A process that was killed, and what it left.
struct Kill<'k> {
    folder: &'k Path,
    before: &'k Expected,
    saved: Option<&'k str>,
    model: &'k Model,
    number: u64,
    when: String,
}

/// Kills the task at each change; gives the number of kills.
fn each_kill(task: &str, mistake: Option<Mistake>, mut look: impl FnMut(Kill<'_>)) -> u64 {
    let work = tempfile::tempdir().unwrap();
    let base = work.path().join("base");
    let (_, before) = used_repository(Arc::new(LocalFolder::new(&base)), Version::V2);
    let model = next_model(&before);
    let mut kills = 0;
    for torn in [false, true] {
        for at in 0.. {
            let when = format!("{task} killed at change {at}, torn: {torn}");
            let folder = work.path().join(format!("{at}-{torn}"));
            copy_folder(&base, &folder);
            fs::write(folder.with_extension("model"), encoded(&model)).unwrap();
            let (saved, ended) = killed(&folder, task, at, torn, mistake);
            let saved = saved.as_deref();
            let (before, model) = (&before, &model);
            look(Kill { folder: &folder, before, saved, model, number: kills, when });
            kills += u64::from(!ended);
            fs::remove_dir_all(&folder).unwrap();
            if ended {
                break;
            }
        }
    }
    kills
}

/// Everything that must be there is, whole; then the work is done again and ends.
fn judge(kill: &Kill<'_>, may_go: usize) {
    let Kill { folder, before, saved, model, when, .. } = kill;
    let repo = open(Arc::new(LocalFolder::new(folder))).unwrap();
    let there: Vec<_> = repo.snapshots().unwrap().iter().map(|snapshot| snapshot.id).collect();
    let mut expected = (*before).clone();
    expected.retain(|id, _| there.contains(id));
    assert!(before.len() - expected.len() <= may_go, "{when}: snapshots are gone");
    for id in there {
        // Killed between the snapshot's last byte and the answer.
        expected.entry(id).or_insert_with(|| (*model).clone());
    }
    assert!(saved.is_none_or(|id| expected.keys().any(|there| there.to_string() == id)), "{when}");
    verify(&repo, &expected, when);
    let next = save(&repo, model, "2026-02-02T00:00:00Z");
    expected.insert(next.id, (*model).clone());
    run_prune(&repo).unwrap();
    verify(&repo, &expected, &format!("{when}, then used"));
    assert_eq!(check_all(&repo).warnings, 0, "{when}");
    remove_locks(&repo, &actor().hostname, true).unwrap();
}

#[test]
fn the_judge_notices_what_is_done_in_a_wrong_order() {
    for (task, mistake) in ["backup", "backup", "prune"].into_iter().zip(MISTAKES) {
        let mut condemned = 0;
        each_kill(task, Some(mistake), |kill| {
            condemned += u64::from(catch_unwind(AssertUnwindSafe(|| judge(&kill, 0))).is_err());
        });
        assert!(condemned > 0, "{mistake:?}");
    }
}

#[test]
fn killed_backups() {
    let kills = everywhere("backup", 0);
    assert!(kills >= 10, "{kills}");
}

#[test]
fn killed_prunes() {
    let kills = everywhere("prune", 0);
    assert!(kills >= 12, "{kills}");
}

#[test]
fn killed_forgets() {
    let kills = everywhere("forget", 2);
    assert!(kills >= 6, "{kills}");
}

/// Content that does not compress.
fn noise(seed: u64, files: usize) -> Model {
    let mut rng = Rng::new(seed);
    (0..files).map(|number| (format!("d{}/f{number}", number % 3), rng.bytes(300_000))).collect()
}

#[test]
fn a_full_disk_in_a_backup_and_in_a_prune() {
    let Some(disk) = Tmpfs::new(8 << 20) else {
        eprintln!("SKIPPED: mounting needs root");
        return;
    };
    let folder = disk.path().join("repo");
    let repo = support::new_repository(Arc::new(LocalFolder::new(&folder)), Version::V2);
    let mut expected = Expected::new();
    let (small, large) = (noise(1, 8), noise(2, 30));
    let mut kept = small.clone();
    kept.extend(noise(3, 2).into_iter().map(|(name, content)| (format!("{name}x"), content)));
    let first = save(&repo, &small, "2026-01-01T00:00:00Z");
    expected.insert(first.id, small.clone());
    let failed = try_save(&repo, &large, "2026-01-02T00:00:00Z");
    assert!(failed.is_err(), "9 MB do not fit");
    verify(&repo, &expected, "the disk was full in a backup");
    let second = save(&repo, &kept, "2026-01-03T00:00:00Z");
    expected.insert(second.id, kept.clone());
    // Half of the first pack is needed by nobody any more, and there is no room for the other half.
    let mut half = kept.clone();
    half.retain(|name, _| !name.ends_with('0') && !name.ends_with('1'));
    let third = save(&repo, &half, "2026-01-04T00:00:00Z");
    expected.insert(third.id, half.clone());
    support::forget(&repo, &mut expected, first.id);
    support::forget(&repo, &mut expected, second.id);
    let room = fs::File::create(disk.path().join("room")).unwrap();
    let mut filler = &room;
    while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
    let result = run_prune(&repo);
    assert!(result.is_err(), "a prune that rewrites needs room");
    verify(&repo, &expected, "the disk was full in a prune");
    disk.resize(64 << 20);
    run_prune(&repo).unwrap();
    verify(&repo, &expected, "pruned");
    let last = save(&repo, &large, "2026-01-05T00:00:00Z");
    expected.insert(last.id, large);
    verify(&repo, &expected, "and used again");
    assert_eq!(check_all(&repo).warnings, 0);
}
