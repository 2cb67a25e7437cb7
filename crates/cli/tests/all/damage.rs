//! Damage: any byte of any file of a store is flipped. The answer is right data, EIO, or an error that names what is damaged. Never
//! wrong data, a panic, or a server that hangs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tintype_testkit::{Rng, amount};

use crate::world::{World, fuse};

/// Files of the store with their sizes.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                todo.push(entry.path());
            } else if meta.len() > 0 {
                found.push((entry.path(), meta.len()));
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg("--sparse=always").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

/// What is at each path: content of files, names of folders.
fn expected(world: &World, roots: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    let mut todo: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    while let Some(path) = todo.pop() {
        let full = world.dir.path().join(&path);
        if full.is_file() {
            out.push((path, fs::read(full).unwrap()));
            continue;
        }
        let mut names: Vec<PathBuf> = fs::read_dir(full)
            .unwrap()
            .map(|entry| path.join(entry.unwrap().file_name()))
            .collect();
        names.sort();
        out.push((path, format!("{names:?}").into_bytes()));
        todo.extend(names);
    }
    out
}

/// What a program sees there now.
fn look(full: &Path, path: &Path) -> std::io::Result<Vec<u8>> {
    if !fs::symlink_metadata(full)?.is_dir() {
        return fs::read(full);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(full)? {
        names.push(path.join(entry?.file_name()));
    }
    names.sort();
    Ok(format!("{names:?}").into_bytes())
}

fn small_store() -> (World, Vec<(PathBuf, Vec<u8>)>) {
    let mut world = World::home("dev");
    let mut rng = Rng::new(2);
    fs::create_dir(world.path("home/dir")).unwrap();
    for number in 0..6 {
        let len = rng.below(90_000) as usize;
        fs::write(world.path(&format!("home/dir/f{number}")), rng.bytes(len)).unwrap();
    }
    world.ok("snapshot create home@s --access-point s");
    fs::write(world.path("home/dir/f1"), rng.bytes(50_000)).unwrap();
    fs::write(world.path("home/small"), "in the records").unwrap();
    fs::remove_file(world.path("home/dir/f2")).unwrap();
    let expected = expected(&world, &["home", "home/.snapshots/s"]);
    assert_eq!(world.stop("-TERM"), Some(0));
    (world, expected)
}

/// Checks a damaged store; whether the damage was noticed.
fn check(world: &mut World, expected: &[(PathBuf, Vec<u8>)], what: &str) -> bool {
    let quiet = |text: &str| {
        assert!(!text.contains("panicked"), "{what}: {text}");
        assert!(!text.contains("overflow"), "{what}: {text}");
    };
    // `run` ends what hangs.
    for command in ["fsck --store store", "scrub --store store"] {
        let output = world.run(command);
        quiet(&String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.code().is_some_and(|code| code <= 1),
            "{what}: {command}: {output:?}"
        );
    }
    if let Err(said) = world.try_start(&[]) {
        quiet(&said);
        assert!(said.contains("store"), "{what}: the error does not name the store: {said}");
        return true;
    }
    let mut noticed = world.ready.contains("problem") || !world.log().is_empty();
    let mounted = !tintype_testkit::world::mounts_below(&world.path("home")).is_empty();
    if mounted {
        for (path, wanted) in expected {
            match look(&world.dir.path().join(path), path) {
                Ok(found) => {
                    assert!(found == *wanted, "{what}: wrong answer at {}", path.display())
                }
                Err(error) => {
                    assert_eq!(
                        error.raw_os_error(),
                        Some(libc::EIO),
                        "{what}: {}: {error}",
                        path.display()
                    );
                    noticed = true;
                }
            }
        }
    } else {
        assert!(noticed, "{what}: not mounted, and nobody says why");
    }
    world.stop("-TERM");
    quiet(&world.log());
    noticed
}

#[test]
fn flipped_bytes_never_become_wrong_data() {
    if !fuse() {
        return;
    }
    let samples = amount("TINTYPE_DAMAGE_SAMPLES", 60);
    let (mut world, expected) = small_store();
    let (store, whole) = (world.path("store"), world.path("whole"));
    copy(&store, &whole);
    let all = files(&whole);
    let mut rng = Rng::from_env("TINTYPE_DAMAGE_SEED", 4);
    let mut noticed = 0;
    for number in 0..samples {
        // Every file gets its turn, however small it is.
        let (file, size) = &all[number as usize % all.len()];
        let at = if rng.once_in(3) { rng.below((*size).min(64)) } else { rng.below(*size) };
        copy(&whole, &store);
        let name = file.strip_prefix(&whole).unwrap();
        let damaged = File::options().read(true).write(true).open(store.join(name)).unwrap();
        let mut byte = [0];
        damaged.read_exact_at(&mut byte, at).unwrap();
        let flip = 1 << rng.below(8);
        damaged.write_all_at(&[byte[0] ^ flip], at).unwrap();
        drop(damaged);
        let what = format!("{} byte {at} of {size}, flipped {flip:#x}", name.display());
        noticed += u64::from(check(&mut world, &expected, &what));
    }
    eprintln!("{noticed} of {samples} flips were noticed, the others changed nothing");
    assert!(noticed > 0);
}
