//! A virtual machine on one of our disks: QEMU boots Linux, which makes a filesystem, writes and reads files; the disk is cut
//! and restored between its boots, and once while it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tintype_testkit::initramfs::Initramfs;

use crate::world::World;

/// Kernel modules that show a virtio disk, in the order in which they can be loaded.
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
];

/// How long a boot may take, on a machine that has much else to do.
const STUCK: Duration = Duration::from_secs(170);

/// What a guest boots; `scripts/guest` fetches it.
struct Guest {
    kernel: PathBuf,
    initrd: PathBuf,
}

impl Guest {
    /// Nothing where this machine cannot boot one; said loudly.
    fn new(world: &World) -> Option<Self> {
        let found = Self::build(&world.path("initrd"));
        if found.is_none() {
            assert!(
                std::env::var_os("TINTYPE_REQUIRE_GUEST").is_none(),
                "a guest is required, but there is no kernel below target/guest, or no QEMU"
            );
            eprintln!(
                "SKIPPED: no kernel for a guest below target/guest (see scripts/guest), or no QEMU"
            );
        }
        found
    }

    fn build(initrd: &Path) -> Option<Self> {
        Command::new("qemu-system-x86_64").arg("--version").output().ok()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest");
        let kernel = find(&root.join("boot"), &|name| name.starts_with("vmlinuz-"))?;
        let mut files = Initramfs::default();
        for folder in ["bin", "dev", "proc", "mnt", "modules"] {
            files.folder(folder);
        }
        files.file("bin/busybox", &std::fs::read(root.join("bin/busybox")).ok()?);
        files.symlink("bin/sh", "busybox");
        for module in MODULES {
            let name = format!("{module}.ko");
            let path = find(&root.join("lib/modules"), &|found| found == name)?;
            files.file(&format!("modules/{name}"), &std::fs::read(path).ok()?);
        }
        files.file("init", init().as_bytes());
        std::fs::write(initrd, files.finish()).ok()?;
        Some(Self { kernel, initrd: initrd.to_owned() })
    }

    /// Boots with a disk as `/dev/vda`, has the guest run `script`, and waits until it is off; what it printed.
    fn boot(&self, world: &World, disk: &str, script: &str) -> String {
        let socket = world.path("socket.nbd");
        let device = format!(
            "driver=nbd,node-name=d,server.type=unix,server.path={},export={disk},reconnect-delay=60",
            socket.display()
        );
        let append = format!("console=ttyS0 quiet panic=-1 script={script}");
        let mut child = Command::new("qemu-system-x86_64")
            .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults"])
            .args(["-display", "none", "-serial", "stdio", "-no-reboot"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initrd)
            .args(["-append", &append, "-blockdev", &device])
            .args(["-device", "virtio-blk-pci,drive=d,serial=tintype"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let id = child.id().to_string();
        let (done, ends) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ends.recv_timeout(STUCK) {
                let _ = Command::new("kill").args(["-KILL", &id]).status();
            }
        });
        let mut said = String::new();
        let mut out = child.stdout.take().unwrap();
        std::io::Read::read_to_string(&mut out, &mut said).unwrap();
        let status = child.wait().unwrap();
        drop(done);
        guard.join().unwrap();
        assert!(status.success() && said.contains("guest: done"), "{script}: {status}: {said}");
        said
    }
}

/// The guest's first program: runs the commands of the kernel's command line and turns the machine off.
fn init() -> String {
    let modules = MODULES.join(" ");
    format!(
        r#"#!/bin/sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for m in {modules}; do $b insmod /modules/$m.ko; done
write() {{ i=0; while [ $i -lt 2000 ]; do echo "$1 $i"; i=$((i + 1)); done > /mnt/$2; }}
look() {{ for f in /mnt/*; do [ -f $f ] && echo "guest: $($b basename $f) $($b head -n 1 $f | $b tr ' ' -) $($b md5sum < $f)"; done; true; }}
for step in $($b sed 's/.*script=//; s/;/ /g' /proc/cmdline); do
    case $step in
        format) $b mke2fs /dev/vda > /dev/null ;;
        mount) $b mount -t ext4 /dev/vda /mnt ;;
        write:*) t=${{step#write:}}; write ${{t%%:*}} ${{t#*:}} ;;
        remove:*) $b rm /mnt/${{step#remove:}} ;;
        look) look ;;
        unmount) $b umount /mnt ;;
    esac || echo "guest: $step failed"
done
$b sync
echo "guest: done"
$b poweroff -f
"#
    )
}

/// A file somewhere below a folder.
fn find(folder: &Path, is: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).ok()?.map_while(Result::ok).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, is) {
                return Some(found);
            }
        } else if is(&entry.file_name().to_string_lossy()) {
            return Some(path);
        }
    }
    None
}

/// The lines about files, as the guest saw them.
fn files(said: &str) -> Vec<&str> {
    let lines = said.lines().map(str::trim).filter_map(|line| line.strip_prefix("guest: "));
    lines.filter(|line| *line != "done").collect()
}

#[test]
fn a_guest_finds_the_moment_that_its_disk_was_restored_to() {
    let world = World::up();
    let Some(guest) = Guest::new(&world) else { return };
    world.ok("disk create vm --size 64M");
    let first =
        guest.boot(&world, "vm", "format;mount;write:old:letter;write:same:kept;look;unmount");
    let first = files(&first);
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(
        first[0].starts_with("kept same-0 ") && first[1].starts_with("letter old-0 "),
        "{first:?}"
    );
    world.ok("snapshot create vm@before");

    let changed = guest.boot(
        &world,
        "vm",
        "mount;write:new:letter;write:more:second;remove:kept;look;unmount",
    );
    let changed = files(&changed);
    assert!(
        changed[0].starts_with("letter new-0 ") && changed[1].starts_with("second "),
        "{changed:?}"
    );
    assert!(!world.json("disk changes vm@before vm")["ranges"].as_array().unwrap().is_empty());
    // Another machine from the snapshot beside the first one, which goes on.
    world.ok("snapshot clone vm@before twin");
    world.ok("snapshot restore vm@before --keep after");

    let again = guest.boot(&world, "vm", "mount;look;write:third:letter;unmount");
    assert_eq!(files(&again), first);
    let twin = guest.boot(&world, "twin", "mount;look;unmount");
    assert_eq!(files(&twin), first);
    assert_eq!(world.json("fsck --all")["clean"], true);
}
