//! Snapshots under a mount in use: restores below open and mapped files, writable snapshots, predictions, dirty pages.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tintype_testkit::{Rng, Tree, sys::Map};

use crate::world::{World, transports};

fn point(world: &World, name: &str) -> PathBuf {
    let shown = world.json(&format!("snapshot show {name}"));
    world.path("home/.snapshots").join(shown["access_point"].as_str().unwrap())
}

fn both(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn dirty_pages_and_maps_are_in_the_snapshot() {
    for transport in transports() {
        let world = World::home(transport);
        let (plain, mapped) = (both(&world.path("home/plain")), both(&world.path("home/mapped")));
        mapped.set_len(1 << 20).unwrap();
        let map = Map::new(&mapped, 1 << 20).unwrap();
        for round in 1..=9_u8 {
            plain.write_all_at(&[round; 100_000], 0).unwrap();
            map.put(500_000, &[round; 50_000]);
            world.ok(&format!("snapshot create home@r{round}"));
        }
        for round in 1..=9_u8 {
            let there = point(&world, &format!("home@r{round}"));
            assert_eq!(fs::read(there.join("plain")).unwrap(), vec![round; 100_000]);
            let bytes = fs::read(there.join("mapped")).unwrap();
            assert!(bytes[500_000..550_000].iter().all(|byte| *byte == round), "round {round}");
        }
    }
}

#[test]
fn after_a_restore_nothing_old_is_served() {
    for transport in transports() {
        let world = World::home(transport);
        let home = world.path("home");
        fs::create_dir_all(home.join("dir/sub")).unwrap();
        fs::write(home.join("dir/kept"), vec![1; 300_000]).unwrap();
        fs::write(home.join("dir/later-gone"), "old").unwrap();
        world.ok("snapshot create home@a");
        let before = Tree::read(&point(&world, "home@a"));

        // Everything is in the kernel's caches, open, and mapped.
        let mut open = both(&home.join("dir/kept"));
        open.write_all(&[2; 200_000]).unwrap();
        let map = Map::new(&open, 300_000).unwrap();
        map.put(250_000, &[3; 1000]);
        fs::remove_file(home.join("dir/later-gone")).unwrap();
        fs::write(home.join("dir/new"), "new").unwrap();
        fs::write(home.join("dir/sub/new"), "new").unwrap();
        let _ =
            (fs::read(home.join("dir/kept")).unwrap(), fs::metadata(home.join("dir/new")).unwrap());
        let held = File::open(home.join("dir/new")).unwrap();
        let cwd = File::open(home.join("dir")).unwrap();

        world.ok("snapshot restore home@a --keep after");
        assert!(!home.join("dir/new").exists() && !home.join("dir/sub/new").exists());
        assert_eq!(fs::read(home.join("dir/later-gone")).unwrap(), b"old");
        assert_eq!(fs::read(home.join("dir/kept")).unwrap(), vec![1; 300_000]);
        assert_eq!(fs::metadata(home.join("dir/kept")).unwrap().size(), 300_000);
        let now = Tree::without_times(&home);
        assert_eq!(now.difference(&Tree::without_times(&point(&world, "home@a"))), "");
        // An open descriptor of a file that both moments have goes on, on the restored content.
        open.seek(SeekFrom::Start(0)).unwrap();
        let mut byte = [0];
        if open.read_exact(&mut byte).is_ok() {
            assert_eq!(byte, [1], "stale page through a descriptor");
            assert_eq!((map.get(0), map.get(250_000)), (1, 1), "stale page through a map");
        }
        // What is gone is gone, also for those who hold it: an error or nothing, never the old bytes.
        let mut text = String::new();
        assert!((&held).read_to_string(&mut text).is_err() || text.is_empty() || text == "new");
        drop((held, cwd, map, open));
        assert_eq!(Tree::read(&point(&world, "home@a")).difference(&before), "");
        assert_eq!(fs::read_to_string(point(&world, "home@after").join("dir/new")).unwrap(), "new");
        // And it works on.
        fs::write(home.join("dir/new"), "again").unwrap();
        assert_eq!(fs::read_to_string(home.join("dir/new")).unwrap(), "again");
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn writable_snapshots_are_written_and_others_are_not() {
    for transport in transports() {
        let world = World::home(transport);
        fs::write(world.path("home/a"), "live").unwrap();
        world.ok("snapshot create home@ro");
        world.ok("snapshot create home@rw --writable --access-point work");
        let work = world.path("home/.snapshots/work");
        fs::write(work.join("a"), "changed").unwrap();
        fs::write(work.join("b"), "made").unwrap();
        assert_eq!(fs::read_to_string(world.path("home/a")).unwrap(), "live");
        world.ok("snapshot create home@of-rw --source home@rw");
        assert_eq!(fs::read_to_string(point(&world, "home@of-rw").join("b")).unwrap(), "made");
        let refused = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
        let read_only = point(&world, "home@ro");
        assert_eq!(refused(fs::write(read_only.join("a"), "x")), Some(libc::EROFS));
        assert_eq!(refused(fs::remove_file(read_only.join("a"))), Some(libc::EROFS));
        let out = fs::rename(work.join("b"), world.path("home/b"));
        assert_eq!(refused(out), Some(libc::EXDEV));
        assert_eq!(refused(fs::hard_link(work.join("b"), world.path("home/b"))), Some(libc::EXDEV));
        world.ok("snapshot update home@ro --writable");
        fs::write(read_only.join("a"), "now").unwrap();
        assert!(world.fails("snapshot update home@ro --read-only", 2).contains("--help"));
        let diff = world.ok("snapshot diff home home@rw");
        assert!(diff.contains("M /a") && diff.contains("+ /b"), "{diff}");
        world.ok("snapshot delete home@rw home@ro home@of-rw");
        assert!(!work.exists());
        assert_eq!(fs::read_to_string(world.path("home/a")).unwrap(), "live");
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn ranges_name_the_changed_blocks() {
    let Some(transport) = transports().pop() else { return };
    let world = World::home(transport);
    let file = both(&world.path("home/big"));
    file.write_all_at(&Rng::new(3).bytes(1 << 20), 0).unwrap();
    world.ok("snapshot create home@a");
    for block in [3, 4, 200] {
        file.write_all_at(b"x", block * 4096 + 7).unwrap();
    }
    let diff = world.json("snapshot diff home@a home --ranges");
    let entry = &diff["entries"][0];
    assert_eq!((&entry["path"], &entry["object"]), (&"/big".into(), &"file".into()));
    assert_eq!((&entry["change"], &entry["size"]), (&"modified".into(), &(1 << 20).into()));
    let wanted = serde_json::json!([
        {"offset": 3 * 4096, "length": 2 * 4096},
        {"offset": 200 * 4096, "length": 4096},
    ]);
    assert_eq!(entry["ranges"], wanted);
    assert_eq!(world.ok("snapshot diff home@a home"), "M /big\n");
}

#[test]
fn the_predicted_space_is_what_a_delete_frees() {
    let Some(transport) = transports().pop() else { return };
    let world = World::home(transport);
    let mut rng = Rng::from_env("TINTYPE_SPACE_SEED", 5);
    let file = both(&world.path("home/f"));
    for number in 0..8 {
        for _ in 0..10 {
            let bytes = rng.bytes(9000);
            file.write_all_at(&bytes, rng.below(1 << 20)).unwrap();
        }
        world.ok(&format!("snapshot create home@s{number}"));
    }
    let held = || world.json("fs show home")["snapshot_bytes"].as_u64().unwrap();
    for set in ["home@s3", "home@s1 home@s2 home@s6", "home@s0 home@s7"] {
        let predicted = world.json(&format!("snapshot space {set}"))["bytes"].as_u64().unwrap();
        let before = held();
        world.ok(&format!("snapshot delete {set}"));
        assert_eq!(before - held(), predicted, "{set}");
        assert!(predicted > 0, "{set}");
    }
    assert_eq!(world.json("fsck")["clean"], true);
}
