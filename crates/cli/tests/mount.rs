//! `tintype mount`: what programs see of a repository's snapshots.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use repository::{Fixture, damage, has_restic, is_root};
use serde_json::Value;

const TINTYPE: &str = env!("CARGO_BIN_EXE_tintype");
/// Long after what is waited for has come.
const LONG: Duration = Duration::from_secs(60);

/// A mount in service.
struct Mounted {
    child: Child,
    dir: PathBuf,
}

impl Mounted {
    /// `None`: there is no FUSE here.
    fn start(fixture: &Fixture, dir: &Path, args: &[&str]) -> Option<Self> {
        Self::by(fixture.command(TINTYPE), dir, args)
    }

    fn by(mut command: Command, dir: &Path, args: &[&str]) -> Option<Self> {
        // It is there already where a killed mount was, and cannot be looked at.
        drop(fs::create_dir_all(dir));
        let at = args.iter().take_while(|arg| !arg.starts_with("--")).count();
        let (what, more) = args.split_at(at);
        let child = command.arg("mount").args(what).arg(dir).arg("--json").args(more);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            child.wait().unwrap();
            if said.contains("/dev/fuse: Permission denied") {
                eprintln!("SKIPPED: only root may use FUSE here");
                return None;
            }
            assert!(!Path::new("/dev/fuse").exists(), "{said}");
            let required = std::env::var("TINTYPE_REQUIRE_FUSE").is_ok_and(|value| value == "1");
            assert!(!required, "FUSE is required here: {said}");
            eprintln!("SKIPPED: {said}");
            return None;
        }
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&ready["ready"], &ready["pid"]), (&true.into(), &child.id().into()));
        Some(Self { child, dir: dir.to_owned() })
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The exit status, and what was said on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap().code();
        assert!(!is_mounted(&self.dir));
        (status, said)
    }

    /// Tells it to end.
    fn stop(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.end()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if is_mounted(&self.dir) {
            drop(Command::new("umount").arg("-l").arg(&self.dir).status());
        }
    }
}

fn is_mounted(dir: &Path) -> bool {
    let dir = dir.canonicalize().unwrap_or(dir.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(4) == dir.to_str())
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

/// Files of all kinds.
fn fill(source: &Path) {
    let path = |name: &str| source.join(name).to_str().unwrap().to_owned();
    symlink("a.txt", source.join("link")).unwrap();
    symlink("/nowhere/\u{e4}", source.join("dangling")).unwrap();
    fs::hard_link(source.join("a.txt"), source.join("sub/same")).unwrap();
    fs::set_permissions(source.join("sub/dir"), fs::Permissions::from_mode(0o2711)).unwrap();
    fs::set_permissions(source.join("a.txt"), fs::Permissions::from_mode(0o4640)).unwrap();
    fs::write(source.join("odd \u{1}name\n"), "odd").unwrap();
    run("mkfifo", &[&path("fifo")]);
    run("setfattr", &["-n", "user.colour", "-v", "blue", &path("a.txt")]);
    run("setfattr", &["-n", "user.empty", "-v", "", &path("sub")]);
    run("touch", &["-d", "1969-07-20 20:17:40.5 UTC", &path("sub/empty")]);
    if is_root() {
        run("mknod", &[&path("device"), "c", "259", "70000"]);
        run("chown", &["-h", "1234:4321", &path("link"), &path("sub/dir/b.log")]);
        run("setfacl", &["-m", "u:1234:rw", &path("sub/dir/b.log")]);
        run("setfattr", &["-n", "trusted.t", "-v", "x", &path("sub/dir")]);
    }
    let noise = (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    fs::write(source.join("big"), noise.collect::<Vec<u8>>()).unwrap();
    fs::write(source.join("zeroes"), vec![0; 3_000_000]).unwrap();
    fs::create_dir(source.join("many")).unwrap();
    (0..1500).for_each(|n| fs::write(source.join(format!("many/{n}")), n.to_string()).unwrap());
}

/// Nothing differs between the source and what is shown: names, contents, all metadata.
fn assert_same(source: &Path, shown: &Path) {
    let (from, to) = (format!("{}/", source.display()), format!("{}/", shown.display()));
    let compare = ["-naHAX", "--checksum", "--delete", "--itemize-changes", &from, &to];
    let output = Command::new("rsync").args(compare).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{output:?}");
    run("diff", &["-r", "--no-dereference", "--exclude=fifo", "--exclude=device", &from, &to]);
}

/// Where the source is below the root of a snapshot.
fn below(fixture: &Fixture, root: &Path) -> PathBuf {
    root.join(fixture.source().strip_prefix("/").unwrap())
}

#[test]
fn a_mount_shows_what_was_saved() {
    let fixture = Fixture::new();
    fill(&fixture.source());
    fixture.backup(&["--tag", "x"]);
    let dir = fixture.folder.path().join("mnt");
    for transport in ["dev", "auto"] {
        let mounted = Mounted::start(&fixture, &dir, &["--transport", transport]);
        let Some(mounted) = mounted else { return };
        let root = dir.join("snapshots/latest");
        assert_same(&fixture.source(), &below(&fixture, &root));
        let shown = fs::metadata(below(&fixture, &root).join("a.txt")).unwrap();
        let other = fs::metadata(below(&fixture, &root).join("sub/same")).unwrap();
        assert_eq!((shown.ino(), shown.nlink()), (other.ino(), 2));
        // The same by every way.
        let host = fs::read_dir(dir.join("hosts")).unwrap().next().unwrap().unwrap().path();
        let id = fs::read_dir(dir.join("ids")).unwrap().next().unwrap().unwrap().path();
        for root in [id, host.join("latest"), dir.join("tags/x/latest")] {
            assert_eq!(fs::read(below(&fixture, &root).join("sub/dir/b.log")).unwrap(), b"two\n");
        }
        // Nothing can be changed.
        let written = fs::write(below(&fixture, &root).join("new"), "x").unwrap_err();
        assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(fs::remove_file(below(&fixture, &root).join("a.txt")).is_err());
        let (status, said) = mounted.stop();
        assert_eq!(
            (status, said.trim().lines().count()),
            (Some(0), 1),
            "only that it stops: {said}"
        );
    }
    // One folder alone, also with owners of its own.
    let what = format!("latest:{}", fixture.source().display());
    let mounted = Mounted::start(&fixture, &dir, &[&what]).unwrap();
    assert_same(&fixture.source(), &dir);
    assert_eq!(mounted.stop().0, Some(0));
    let mounted = Mounted::start(&fixture, &dir, &[&what, "--owner-root"]).unwrap();
    let owner = fs::symlink_metadata(dir.join("link")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (0, 0));
    assert_eq!(mounted.stop().0, Some(0));
}

#[test]
fn any_part_of_a_large_file_is_read() {
    let fixture = Fixture::new();
    let mut seed = 1u64;
    let mut chance = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let content: Vec<u8> = (0..40_000_000).map(|_| chance() as u8).collect();
    fs::write(fixture.source().join("large"), &content).unwrap();
    fixture.backup(&[]);
    let dir = fixture.folder.path().join("mnt");
    let what = format!("latest:{}", fixture.source().display());
    let Some(mounted) = Mounted::start(&fixture, &dir, &[&what]) else { return };
    let file = File::open(dir.join("large")).unwrap();
    for _ in 0..200 {
        let (from, count) = (chance() % content.len(), chance() % 300_000);
        let mut buf = vec![0; count];
        let mut read = 0;
        while let Ok(more @ 1..) = file.read_at(&mut buf[read..], (from + read) as u64) {
            read += more;
        }
        let end = content.len().min(from + count);
        assert!(buf[..read] == content[from..end], "{count} bytes from {from}");
    }
    drop(file);
    assert!(fs::read(dir.join("large")).unwrap() == content);
    assert_eq!(mounted.stop().0, Some(0));
}

#[test]
fn new_snapshots_appear_and_filters_choose() {
    let fixture = Fixture::new();
    fixture.backup(&["--time", "2026-01-01T12:00:00Z", "--host", "here", "--tag", "t"]);
    let dir = fixture.folder.path().join("mnt");
    let Some(mounted) = Mounted::start(&fixture, &dir, &["--host", "here"]) else { return };
    let latest = dir.join("snapshots/latest");
    let first = fs::read_link(&latest).unwrap();
    assert!(first.to_str().unwrap().starts_with("2026-01-01T"), "{first:?}");
    fs::write(fixture.source().join("a.txt"), "changed\n").unwrap();
    fixture.backup(&["--time", "2026-01-02T12:00:00Z", "--host", "here"]);
    fixture.backup(&["--time", "2026-01-03T12:00:00Z", "--host", "elsewhere"]);
    let since = Instant::now();
    while fs::read_link(&latest).unwrap() == first {
        assert!(since.elapsed() < LONG, "no new snapshot is shown");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (old, new) = (dir.join("snapshots").join(&first), latest);
    assert_eq!(fs::read(below(&fixture, &new).join("a.txt")).unwrap(), b"changed\n");
    assert_eq!(fs::read(below(&fixture, &old).join("a.txt")).unwrap(), b"one\n");
    let names = |part: &str| fs::read_dir(dir.join(part)).unwrap().count();
    assert_eq!((names("snapshots"), names("hosts"), names("tags"), names("tags/t")), (3, 1, 1, 2));
    assert_eq!(mounted.stop().0, Some(0));
}

#[test]
fn damage_is_an_error_of_the_file_alone_and_named() {
    let fixture = Fixture::new();
    let noise: Vec<u8> =
        (0..4_000_000u32).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_le_bytes()).collect();
    fs::write(fixture.source().join("large"), noise).unwrap();
    fixture.backup(&[]);
    let victim = fixture.largest_pack();
    damage(&victim, 1000, 1000);
    let dir = fixture.folder.path().join("mnt");
    let what = format!("latest:{}", fixture.source().display());
    let Some(mounted) = Mounted::start(&fixture, &dir, &[&what]) else { return };
    let error = fs::read(dir.join("large")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert_eq!(fs::read_dir(dir.join("sub")).unwrap().count(), 2);
    let (status, said) = mounted.stop();
    assert_eq!(status, Some(0));
    let pack = victim.file_name().unwrap().to_str().unwrap();
    assert!(said.contains("`large`, chunk ") && said.contains(&format!("pack {pack}")), "{said}");
}

#[test]
fn it_holds_a_lock_and_ends_as_it_is_told() {
    let fixture = Fixture::new();
    fixture.backup(&[]);
    let dir = fixture.folder.path().join("mnt");
    let locks = || fixture.ok(&["repo", "list", "locks"]).lines().count();
    let Some(mounted) = Mounted::start(&fixture, &dir, &[]) else { return };
    assert_eq!(locks(), 1);
    assert_eq!(fixture.run(&["prune"]).status.code(), Some(11));
    fixture.backup(&[]);
    // A program that has something open does not keep it.
    let open = File::open(below(&fixture, &dir.join("snapshots/latest")).join("a.txt")).unwrap();
    mounted.signal("-INT");
    let (status, said) = mounted.end();
    assert_eq!((status, locks()), (Some(0), 0));
    assert!(said.contains("busy"), "{said}");
    drop(open);
    let mounted = Mounted::start(&fixture, &dir, &["--no-lock"]).unwrap();
    assert_eq!(locks(), 0);
    run("umount", &[dir.to_str().unwrap()]);
    assert_eq!(mounted.end(), (Some(0), String::new()));
    // What a killed one left is taken away.
    let mut killed = Mounted::start(&fixture, &dir, &["--no-lock"]).unwrap();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let mounted = Mounted::start(&fixture, &dir, &["--no-lock"]).unwrap();
    assert_eq!(fs::read_dir(dir.join("snapshots")).unwrap().count(), 3);
    assert_eq!(mounted.stop().0, Some(0));
    // What cannot be shown is said.
    let code = |args: &[&str]| fixture.run(args).status.code();
    let file = format!("latest:{}/a.txt", fixture.source().display());
    assert_eq!(code(&["mount", &file, dir.to_str().unwrap()]), Some(1));
    assert_eq!(code(&["mount", "latest", "/nowhere/at/all"]), Some(1));
    assert_eq!(code(&["mount"]), Some(2));
    assert_eq!(locks(), 0);
}

#[test]
fn snapshots_of_restic_are_shown() {
    if !has_restic() {
        return;
    }
    let fixture = Fixture::new();
    fill(&fixture.source());
    fixture.restic(&["backup", "--tag", "theirs", fixture.source().to_str().unwrap()]);
    let dir = fixture.folder.path().join("mnt");
    let Some(mounted) = Mounted::start(&fixture, &dir, &[]) else { return };
    assert_same(&fixture.source(), &below(&fixture, &dir.join("tags/theirs/latest")));
    assert_eq!(mounted.stop().0, Some(0));
}

#[test]
fn ordinary_users_mount_too() {
    if !is_root() {
        return; // Then every other test is such a one.
    }
    let fixture = Fixture::new();
    fs::set_permissions(fixture.source().join("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    fixture.backup(&[]);
    let dir = fixture.path("theirs");
    fs::create_dir(&dir).unwrap();
    run("chown", &["65534:65534", dir.to_str().unwrap()]);
    let Some(mounted) = Mounted::by(fixture.by_somebody(TINTYPE), &dir, &[]) else { return };
    // Who has the password may read all of it.
    let file = below(&fixture, &dir.join("snapshots/latest")).join("a.txt");
    let read = fixture.by_somebody("cat").arg(&file).output().unwrap();
    assert_eq!(read.stdout, b"one\n", "{read:?}");
    assert!(File::open(&file).is_err(), "others are not let in");
    assert_eq!(mounted.stop().0, Some(0));
}
