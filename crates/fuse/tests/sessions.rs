//! The life of a mount: unmounting from inside and outside, busy mounts, dead mounts, handlers
//! that need their own mount, and what the server tells the kernel.
#![allow(unsafe_code, clippy::unwrap_used)] // ioctl as programs call it

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Floor, on, on_each, skip};
use tintype_fs::vfs::{Caller, Handle, Invalidate, Node, ROOT, SetAttr, Vfs, WriteFlags};
use tintype_fuse::{Choice, FuseError, Options, Session, WhenBusy, repair_dead_mount};

const SOON: Duration = Duration::from_secs(10);

fn mounted(dir: &Path) -> bool {
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(dir.to_str().unwrap())
}

#[test]
fn unmounting_while_idle_ends_everything() {
    on_each(|mount| {
        let dir = mount.dir().to_owned();
        fs::write(dir.join("f"), b"dirty").unwrap();
        mount.session.unmount(WhenBusy::Fail).unwrap();
        assert!(!mounted(&dir) && !mount.session.is_running());
        mount.session.unmount(WhenBusy::Fail).unwrap();
    });
}

#[test]
fn a_busy_mount_says_so_and_can_be_detached() {
    on_each(|mount| {
        let mut file = File::create(mount.dir().join("open")).unwrap();
        let busy = mount.session.unmount(WhenBusy::Fail);
        assert!(matches!(busy, Err(FuseError::Busy { .. })), "{busy:?}");
        mount.session.unmount(WhenBusy::Detach).unwrap();
        assert!(!mounted(mount.dir()) && mount.session.is_running());
        file.write_all(b"still served").unwrap();
        file.sync_all().unwrap();
        drop(file);
        assert!(mount.session.wait(Some(SOON)));
    });
}

#[test]
fn an_unmount_from_outside_is_noticed() {
    on_each(|mount| {
        assert!(Command::new("umount").arg(mount.dir()).status().unwrap().success());
        assert!(mount.session.wait(Some(SOON)));
    });
}

/// What the tree has, without the kernel.
fn behind(floor: &Floor, name: &str) -> Vec<u8> {
    let who = Caller::default();
    let entry = floor.lookup(&who, ROOT, name.as_bytes()).unwrap();
    let mut bytes = vec![0; entry.attr.size as usize];
    floor.read(&who, entry.node, Handle(0), 0, &mut bytes).unwrap();
    floor.forget(entry.node, 1);
    bytes
}

#[test]
fn dirty_pages_reach_the_tree_before_a_snapshot() {
    on_each(|mount| {
        fs::write(mount.dir().join("f"), vec![b'd'; 100_000]).unwrap();
        let file = File::options().write(true).open(mount.dir().join("f")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"new", 50_000).unwrap();
        mount.session.flusher().flush(SOON).unwrap();
        assert_eq!(&behind(&mount.floor, "f")[49_999..50_004], b"dnewd");
    });
}

/// Every handler flushes the mount that it serves, more of them at once than there are threads,
/// and what was written before is in the tree when the handler has returned.
#[test]
fn handlers_that_need_their_own_mount_do_not_starve_it() {
    for transport in [Choice::Dev, Choice::Uring] {
        let few = NonZeroUsize::new(2);
        let options = Options { transport, threads: few, depth: few, ..Options::default() };
        on(&options, |mount| {
            let flusher = mount.session.flusher();
            mount.floor.on_ioctl(move || flusher.flush(SOON).unwrap());
            let start = Instant::now();
            std::thread::scope(|scope| {
                for worker in 0..24u8 {
                    scope.spawn(move || write_and_cut(mount, worker));
                }
            });
            assert!(start.elapsed() < SOON, "the flushes waited for each other");
            assert_eq!(mount.floor.ioctls().len(), 24);
        });
    }
}

/// A thread that runs on processor 0 before all ordinary ones; false where the system forbids that.
fn goes_first(priority: i32) -> bool {
    let mut set = rustix::thread::CpuSet::new();
    set.set(0);
    let seated = rustix::thread::sched_setaffinity(None, &set).is_ok();
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: the structure is read during the call; 0 is the calling thread.
    seated && unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } == 0
}

/// Two handlers take both lanes of a queue, then a request comes that both wait for, and nothing else ever comes: the stand-ins
/// have to get what waits from before them. Who goes first on the processor makes that order certain.
#[test]
fn what_waits_from_before_a_stand_in_reaches_it() {
    let depth = NonZeroUsize::new(2);
    let options = Options { transport: Choice::Uring, depth, ..Options::default() };
    on(&options, |mount| {
        let (served, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (seen, counted) = (Arc::clone(&served), Arc::clone(&late));
        mount.floor.on_ioctl(move || {
            let start = Instant::now();
            while !seen.load(Ordering::SeqCst) && start.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(1));
            }
            counted.fetch_add(usize::from(!seen.load(Ordering::SeqCst)), Ordering::SeqCst);
        });
        let root = File::open(mount.dir()).unwrap();
        let asked = AtomicUsize::new(0);
        let forbidden = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    forbidden.fetch_or(!goes_first(20), Ordering::SeqCst);
                    asked.fetch_add(1, Ordering::SeqCst);
                    // SAFETY: this command number has neither input nor output.
                    assert_eq!(unsafe { libc::ioctl(root.as_raw_fd(), 0x5800, 0) }, 0);
                });
            }
            scope.spawn(|| {
                forbidden.fetch_or(!goes_first(10), Ordering::SeqCst);
                while asked.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                assert!(fs::metadata(mount.dir().join("absent")).is_err());
                served.store(true, Ordering::SeqCst);
            });
        });
        if forbidden.into_inner() {
            return skip("this process may not choose who goes first");
        }
        assert_eq!(late.load(Ordering::SeqCst), 0, "what waited was never given out");
    });
}

fn write_and_cut(mount: &common::Mount, worker: u8) {
    let name = format!("dirty-{worker}");
    let mut file = File::create(mount.dir().join(&name)).unwrap();
    file.write_all(&vec![worker + 1; 700_001]).unwrap();
    let root = File::open(mount.dir()).unwrap();
    // SAFETY: this command number has neither input nor output.
    assert_eq!(unsafe { libc::ioctl(root.as_raw_fd(), 0x5800, 0) }, 0);
    assert!(behind(&mount.floor, &name) == vec![worker + 1; 700_001], "{name} is not flushed");
}

/// Files that were removed or never had a name are flushed too, and nothing of the private names
/// stays behind.
#[test]
fn nameless_files_are_flushed() {
    on_each(|mount| {
        let path = mount.dir().join("gone");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"before").unwrap();
        let node = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        fs::remove_file(&path).unwrap();
        mount.session.flusher().flush(SOON).unwrap();
        let mut bytes = [0; 6];
        mount.floor.read(&Caller::default(), Node(node), Handle(0), 0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"before");
        let door = mount.dir().join(format!(".tintype-node-{node}"));
        assert_eq!(fs::metadata(door).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        drop(file);
        let start = Instant::now();
        while mount.floor.getattr(&Caller::default(), Node(node), None).is_ok() {
            assert!(start.elapsed() < SOON, "the node is never forgotten");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn the_kernel_forgets_what_it_is_told_to() {
    on_each(|mount| {
        let path = mount.dir().join("f");
        fs::write(&path, b"old").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let who = Caller::default();
        let node = mount.floor.lookup(&who, ROOT, b"f").unwrap().node;
        mount.floor.forget(node, 1);
        let flags = WriteFlags::default();
        mount.floor.write(&who, node, Handle(0), 0, b"new", flags).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "the kernel trusts its cache");
        let notifier = mount.session.notifier();
        notifier.inode(node, 0, 0);
        assert!(notifier.settle(SOON));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        mount.floor.unlink(&who, ROOT, b"f").unwrap();
        assert!(fs::metadata(&path).is_ok(), "the kernel trusts its names");
        notifier.entry(ROOT, b"f");
        notifier.inode(Node(999_999), 0, 0);
        assert!(notifier.settle(SOON));
        assert_eq!(fs::metadata(&path).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    });
}

#[test]
fn the_kernel_forgets_all_names_at_once_where_it_can() {
    on_each(|mount| {
        let who = Caller::default();
        let dir = mount.dir().join("d");
        fs::create_dir(&dir).unwrap();
        let names: Vec<_> = (0..20).map(|n| format!("f{n}")).collect();
        names.iter().for_each(|name| fs::write(dir.join(name), b"x").unwrap());
        let absent = dir.join("absent");
        assert!(fs::metadata(&absent).is_err());
        let node = mount.floor.lookup(&who, ROOT, b"d").unwrap().node;
        mount.floor.forget(node, 1);
        for name in &names {
            mount.floor.unlink(&who, node, name.as_bytes()).unwrap();
            assert!(fs::metadata(dir.join(name)).is_ok(), "the kernel trusts its names");
        }
        let notifier = mount.session.notifier();
        if !notifier.all_names() {
            return eprintln!(
                "SKIPPED: the kernel cannot forget all names at once (Linux 6.16 can)"
            );
        }
        for name in &names {
            let error = fs::metadata(dir.join(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        }
        fs::write(&absent, b"made").unwrap();
        assert_eq!(fs::read(&absent).unwrap(), b"made");
        mount.session.unmount(WhenBusy::Fail).unwrap();
        assert!(notifier.all_names(), "nobody is left who knows a name");
    });
}

/// Not a test of its own: serves until it is killed, or (`CHILD_USES=1`) uses its mount and ends.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn child_server() {
    let dir = std::env::var_os("CHILD_DIR").unwrap();
    let transport = match std::env::var("CHILD_TRANSPORT").as_deref() {
        Ok("uring") => Choice::Uring,
        _ => Choice::Dev,
    };
    let options = Options { transport, ..Options::default() };
    let floor = Floor::default();
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let own = SetAttr { uid: Some(uid.as_raw()), gid: Some(gid.as_raw()), ..SetAttr::default() };
    floor.setattr(&Caller::default(), ROOT, None, &own).unwrap();
    let session = match Session::mount(Arc::new(floor), Path::new(&dir), &options) {
        Ok(session) => session,
        Err(error) => return println!("CHILD failed: {error}"),
    };
    if std::env::var_os("CHILD_USES").is_some() {
        let path = session.dir().join("mine");
        fs::write(&path, vec![b'u'; 3_000_000]).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), 3_000_000);
        session.unmount(WhenBusy::Fail).unwrap();
        return println!("CHILD done");
    }
    println!("CHILD ready");
    session.wait(None);
}

/// The child, what it said, and its output, which it needs to go on.
fn child(
    dir: &Path,
    transport: &str,
    adjust: impl Fn(&mut Command),
) -> (Child, String, impl Iterator<Item = String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_server", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    command.env("CHILD_DIR", dir).env("CHILD_TRANSPORT", transport).stderr(Stdio::null());
    adjust(&mut command);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.contains("CHILD ")).unwrap_or_default();
    (child, said, lines)
}

#[test]
fn the_mount_of_a_killed_server_is_repaired() {
    drop(fs::write("/sys/module/fuse/parameters/enable_uring", "Y"));
    for transport in ["dev", "uring"] {
        let dir = tempfile::tempdir().unwrap();
        let (mut server, said, _output) = child(dir.path(), transport, |_| ());
        if !said.contains("CHILD ready") {
            server.wait().unwrap();
            skip(&format!("{transport}: {said}"));
            continue;
        }
        fs::write(dir.path().join("f"), b"x").unwrap();
        assert_eq!(repair_dead_mount(dir.path()).unwrap(), 0, "a live mount is left alone");
        server.kill().unwrap();
        server.wait().unwrap();
        assert_eq!(repair_dead_mount(dir.path()).unwrap(), 1, "{transport}");
        assert!(!mounted(dir.path()));
        assert_eq!(repair_dead_mount(dir.path()).unwrap(), 0);
    }
}

/// Through the helper `fusermount3`, with one shared descriptor where /dev/fuse is root's alone.
#[test]
fn an_ordinary_user_can_mount() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to become someone else");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let (mut server, said, output) = child(dir.path(), "dev", |command| {
        command.uid(65534).gid(65534).env("CHILD_USES", "1");
    });
    output.for_each(drop);
    assert!(server.wait().unwrap().success());
    if said.contains("/dev/fuse: Permission denied") {
        eprintln!("SKIPPED: {said}"); // the administrator keeps FUSE from users here
    } else if said.contains("CHILD failed") {
        skip(&said);
    } else {
        assert!(said.contains("CHILD done"), "{said}");
    }
    assert!(!mounted(dir.path()));
}

#[test]
fn wrong_mount_points_are_named() {
    let floor = || Arc::new(Floor::default());
    let missing = Path::new("/nonexistent/mount/point");
    let error = Session::mount(floor(), missing, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/mount/point"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Session::mount(floor(), file.path(), &Options::default()).unwrap_err();
    assert!(matches!(error, FuseError::MountPoint { .. }), "{error}");
}
