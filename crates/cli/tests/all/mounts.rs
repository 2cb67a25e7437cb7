//! The main job through a real mount.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use tintype_testkit::users;

use crate::world::{World, fuse, mounted_below, transports};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn write_snapshot_look_diff_clone_restore() {
    if !fuse() {
        return;
    }
    let world = World::up();
    world.ok("fs create home --mount home");
    let letter = world.path("home/letter");
    fs::write(&letter, "first").unwrap();
    fs::write(world.path("home/old"), "old").unwrap();
    let point = world.json("snapshot create home@a")["access_point"].as_str().unwrap().to_owned();
    fs::write(&letter, "second").unwrap();
    fs::rename(world.path("home/old"), world.path("home/new")).unwrap();

    assert!(
        !fs::read_dir(world.path("home")).unwrap().any(|e| e.unwrap().file_name() == ".snapshots")
    );
    let past = world.path("home/.snapshots").join(point);
    assert_eq!(read(&past.join("letter")), "first");
    let refused = fs::write(past.join("letter"), "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);

    let diff = world.ok("snapshot diff home@a home");
    assert_eq!(diff, "a /\nM /letter\nR /old -> /new\n");
    let back = world.json("snapshot diff home home@a --ranges");
    assert_eq!(back["entries"].as_array().unwrap().len(), 3, "{back}");

    world.ok("snapshot clone home@a copy --mount copy");
    assert_eq!(read(&world.path("copy/letter")), "first");
    fs::write(world.path("copy/letter"), "copied").unwrap();

    world.ok("snapshot restore home@a --keep b");
    assert_eq!(read(&letter), "first");
    assert!(world.path("home/old").exists() && !world.path("home/new").exists());
    world.ok("snapshot restore home@b");
    assert_eq!(read(&letter), "second");
    assert_eq!(read(&world.path("copy/letter")), "copied");
    assert!(world.json("snapshot space home@a home@b")["bytes"].is_u64());
    assert!(world.json("fsck")["clean"].as_bool().unwrap());
}

#[test]
fn mounts_come_back_and_nothing_stays_behind() {
    if !fuse() {
        return;
    }
    let mut world = World::up();
    world.ok("fs create home --mount home");
    fs::write(world.path("home/a"), "kept").unwrap();
    assert_eq!(world.stop("-TERM"), Some(0));
    assert!(!mounted_below(world.dir.path()));
    world.start(&[]);
    assert_eq!(read(&world.path("home/a")), "kept");
    world.ok("sync home");
    world.stop("-KILL");
    world.start(&[]);
    assert_eq!(read(&world.path("home/a")), "kept");
    world.ok("fs unmount home");
    assert!(!world.json("fs show home")["mounted"].as_bool().unwrap());
    world.ok("down");
    assert!(!mounted_below(world.dir.path()));
}

#[test]
fn a_mount_in_use_is_left_alone_without_force() {
    if !fuse() {
        return;
    }
    let world = World::up();
    world.ok("fs create home --mount home");
    let open = fs::File::create(world.path("home/open")).unwrap();
    assert!(world.fails("fs unmount home", 1).contains("--force"));
    assert!(world.fails("fs delete home", 1).contains("is mounted"));
    drop(open);
    world.ok("fs unmount home");
    world.ok("fs mount home elsewhere");
    assert!(world.path("elsewhere/open").exists());
    world.ok("fs delete home --force");
}

#[test]
fn the_demo_plays_and_cleans_up() {
    if !fuse() {
        return;
    }
    let world = World::empty();
    let output = world.command(&["demo"]).env("TMPDIR", world.dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("M /letter.txt"), "{text}");
    assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 0);
}

/// The kernel must not run it with the owner's rights either, whatever it knew of the mode.
#[test]
fn a_program_that_others_wrote_to_runs_without_the_owners_rights() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        let world = World::home(transport);
        let program = world.path("home/id");
        let uid = |user: u32| {
            let out = std::process::Command::new(&program).arg("-u").uid(user).gid(user).output();
            String::from_utf8(out.unwrap().stdout).unwrap().trim().parse::<u32>().unwrap()
        };
        fs::copy("/usr/bin/id", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4777)).unwrap();
        assert_eq!(uid(61_002), 0);
        users::as_user(61_001, || {
            let mut file = fs::File::options().append(true).open(&program).unwrap();
            std::io::Write::write_all(&mut file, b"x").unwrap();
        });
        assert_eq!(uid(61_002), 61_002);
        assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o777);
    }
}

#[test]
fn a_folder_with_files_is_not_hidden_by_a_new_mount() {
    let world = World::up();
    let dir = world.path("full");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("letter"), "dear").unwrap();
    let told = world.fails(&format!("fs create home --mount {}", dir.display()), 1);
    assert!(told.contains("letter") && told.contains("is not empty"), "{told}");
    assert_eq!(world.json("fs list"), serde_json::json!([]));
    let told = world.fails("fs create home --quota 0", 2);
    assert!(told.contains("none"), "{told}");
    // What lies in the store is needed by it.
    let store = world.json("status")["store"].as_str().unwrap().to_owned();
    let told = world.fails(&format!("fs create home --mount {store}/segments/x"), 2);
    assert!(told.contains("lies in the store") && told.contains("/mnt"), "{told}");
    assert!(!Path::new(&store).join("segments/x").exists());
    assert_eq!(world.json("fs list"), serde_json::json!([]));
    world.ok(&format!("fs create home --mount {store}/mnt/home"));
}

#[test]
fn a_copy_by_others_clears_set_id_bits_as_a_write_does() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        let world = World::home(transport);
        let (from, to) = (world.path("home/from"), world.path("home/to"));
        fs::write(&from, vec![1; 10_000]).unwrap();
        let copied = |user: u32| {
            fs::write(&to, vec![2; 10_000]).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o6777)).unwrap();
            users::as_user(user, || {
                let from = fs::File::open(&from).unwrap();
                let to = fs::File::options().write(true).open(&to).unwrap();
                let count = rustix::fs::copy_file_range(&from, None, &to, None, 8192).unwrap();
                assert_eq!(count, 8192);
            });
            fs::metadata(&to).unwrap().mode() & 0o7777
        };
        assert_eq!(copied(61_001), 0o777, "a stranger's copy keeps the owner's rights");
        assert_eq!(copied(0), 0o6777);
    }
}
