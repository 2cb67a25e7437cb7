//! Space comes back: random snapshots, clones, restores, writable snapshots and deletes; then one filesystem is left, and the store is as
//! large as a fresh copy of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tintype_testkit::{Rng, Tree, amount};

use crate::world::{World, transports};

/// Records are kept in a log-structured tree: its journals and tables hold what later compactions drop. Below this size
/// that rest weighs more than the data.
const CONSTANT: u64 = 4 << 20;

/// Bytes that a folder takes on disk.
fn disk(dir: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1"]).arg(dir).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

struct Churn {
    world: World,
    rng: Rng,
    filesystems: Vec<String>,
    snapshots: Vec<String>,
    number: u64,
}

impl Churn {
    fn name(&mut self, letter: char) -> String {
        self.number += 1;
        format!("{letter}{}", self.number)
    }

    fn write(&mut self, root: &Path) {
        for _ in 0..4 {
            let path = root.join(format!("f{}", self.rng.below(12)));
            if self.rng.once_in(8) {
                let _ = fs::remove_file(path);
                continue;
            }
            let file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
            let len = self.rng.below(300_000) as usize;
            file.write_all_at(&self.rng.bytes(len), self.rng.below(1 << 21)).unwrap();
        }
    }

    fn folder(&self, filesystem: &str) -> PathBuf {
        self.world.path(filesystem)
    }

    fn step(&mut self) {
        let filesystem = self.rng.pick(&self.filesystems).clone();
        let snapshot = (!self.snapshots.is_empty()).then(|| self.rng.pick(&self.snapshots).clone());
        match (self.rng.below(10), snapshot) {
            (0..=3, _) => self.write(&self.folder(&filesystem)),
            (4 | 5, _) => {
                let name = format!("{filesystem}@{}", self.name('s'));
                self.world.ok(&format!("snapshot create {name}"));
                self.snapshots.push(name);
            }
            (6, _) => {
                let point = self.name('w');
                let name = format!("{filesystem}@{point}");
                self.world.ok(&format!("snapshot create {name} --writable --access-point {point}"));
                self.write(&self.folder(&filesystem).join(".snapshots").join(point));
                self.snapshots.push(name);
            }
            (7, Some(snapshot)) if self.filesystems.len() < 4 => {
                let name = self.name('c');
                self.world.ok(&format!("snapshot clone {snapshot} {name} --mount {name}"));
                self.filesystems.push(name);
            }
            (8, Some(snapshot)) => drop(self.world.ok(&format!("snapshot restore {snapshot}"))),
            (9, _) if self.filesystems.len() > 2 => self.forget(&filesystem),
            (_, Some(snapshot)) => self.delete(&snapshot),
            (_, None) => {}
        }
    }

    /// Deletes a snapshot and holds what comes free against the prediction. What a clone still shows then counts at the
    /// clone, so it is the sum over all filesystems that falls.
    fn delete(&mut self, snapshot: &str) {
        // Figures of filesystems are those of the last commit; predictions commit first.
        self.world.ok("sync");
        self.settle();
        let before = self.used();
        let space = self.world.json(&format!("snapshot space {snapshot}"));
        self.world.ok(&format!("snapshot delete {snapshot}"));
        self.snapshots.retain(|other| other != snapshot);
        self.settle();
        assert_eq!(before - self.used(), space["bytes"].as_u64().unwrap(), "{snapshot}");
    }

    /// Waits until nothing is left to reclaim.
    fn settle(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.world.json("status")["jobs"].to_string().contains("reclaim") {
            assert!(Instant::now() < end, "reclaim does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What all filesystems use, live and in snapshots.
    fn used(&self) -> u64 {
        let used = |name: &String| {
            let shown = self.world.json(&format!("fs show {name}"));
            let bytes = |field: &str| shown[field].as_u64().unwrap();
            bytes("live_bytes") + bytes("snapshot_bytes")
        };
        self.filesystems.iter().map(used).sum()
    }

    fn forget(&mut self, filesystem: &str) {
        self.world.ok(&format!("fs delete {filesystem} --force"));
        self.filesystems.retain(|other| other != filesystem);
        self.snapshots.retain(|name| name.split('@').next() != Some(filesystem));
    }
}

#[test]
fn space_comes_back() {
    let Some(transport) = transports().pop() else { return };
    let rng = Rng::from_env("TINTYPE_CHURN_SEED", 21);
    let world = World::home(transport);
    let filesystems = vec!["home".to_owned()];
    let mut churn = Churn { world, rng, filesystems, snapshots: Vec::new(), number: 0 };
    for step in 0..amount("TINTYPE_CHURN_STEPS", 150) {
        churn.step();
        if step % 50 == 49 {
            let check = churn.world.json("fsck");
            assert_eq!(check["clean"], true, "{check}");
        }
    }
    let keep = churn.filesystems[churn.rng.below(churn.filesystems.len() as u64) as usize].clone();
    churn.write(&churn.folder(&keep));
    for other in churn.filesystems.clone() {
        if other != keep {
            churn.forget(&other);
        }
    }
    for snapshot in churn.snapshots.clone() {
        churn.world.ok(&format!("snapshot delete {snapshot}"));
    }
    let mut world = churn.world;
    world.idle();
    assert_eq!(world.json("fsck")["clean"], true);
    let fresh = World::home(transport);
    fresh.shell(&format!("cp -a {}/. home/", world.path(&keep).display()));
    fresh.ok("sync");
    fresh.idle();
    let same = Tree::without_times(&fresh.path("home"));
    assert_eq!(same.difference(&Tree::without_times(&world.path(&keep))), "");
    let (ours, wanted) = (disk(&world.path("store")), disk(&fresh.path("store")));
    let data: u64 = same.0.values().map(|node| node.size).sum();
    eprintln!("the store takes {ours} bytes, a fresh copy {wanted}, for {data} bytes in files");
    assert!(ours <= wanted + wanted / 10 + CONSTANT, "{ours} against {wanted}");
    world.stop("-TERM");
}
