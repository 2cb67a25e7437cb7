//! Mounting and unmounting the peers. Each says what is missing when it cannot be had.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Room of a filesystem in a file, in bytes; the file is sparse.
const ROOM: u64 = 16 << 30;

/// A mounted filesystem. It is unmounted when this goes.
pub(crate) struct Peer {
    pub name: &'static str,
    pub dir: PathBuf,
    before_end: Vec<Vec<String>>,
    daemon: Option<Child>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        for words in &self.before_end {
            if let Err(error) = run(words) {
                eprintln!("tintype-bench-peers: {error}");
            }
        }
        if let Some(daemon) = &mut self.daemon {
            drop(Command::new("kill").arg(daemon.id().to_string()).status());
            drop(daemon.wait());
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split('|').map(str::to_owned).collect()
}

fn run(words: &[String]) -> Result<(), String> {
    let (program, rest) = words.split_first().ok_or("no command")?;
    let output =
        Command::new(program).args(rest).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn room(path: &Path) -> Result<(), String> {
    let file = File::create(path).and_then(|file| file.set_len(ROOM));
    file.map_err(|e| format!("{}: {e}", path.display()))
}

fn folder(base: &Path, name: &str) -> Result<PathBuf, String> {
    let dir = base.join(name);
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}

/// The kernel's btrfs in a file (package btrfs-progs).
pub(crate) fn btrfs(base: &Path) -> Result<Peer, String> {
    let (image, dir) = (base.join("btrfs.img"), folder(base, "btrfs")?);
    room(&image)?;
    let (from, to) = (image.display(), dir.display());
    run(&words(&format!("mkfs.btrfs|-q|-f|{from}"))).map_err(|e| format!("btrfs: {e}"))?;
    run(&words(&format!("mount|-o|loop|{from}|{to}"))).map_err(|e| format!("btrfs: {e}"))?;
    let before_end = vec![words(&format!("umount|{to}"))];
    Ok(Peer { name: "btrfs", dir, before_end, daemon: None })
}

/// A folder shown again through FUSE (package bindfs).
pub(crate) fn bindfs(base: &Path) -> Result<Peer, String> {
    let (below, dir) = (folder(base, "below")?, folder(base, "bindfs")?);
    let (from, to) = (below.display(), dir.display());
    run(&words(&format!("bindfs|{from}|{to}"))).map_err(|e| format!("bindfs: {e}"))?;
    let before_end = vec![words(&format!("umount|{to}"))];
    Ok(Peer { name: "bindfs", dir, before_end, daemon: None })
}

/// A pool in a file (package zfs-fuse). Refused when a zfs daemon runs already: it could be somebody's.
pub(crate) fn zfs(base: &Path) -> Result<Peer, String> {
    if Path::new("/run/zfs-fuse/zfs_socket").exists()
        && Command::new("zpool").arg("list").output().is_ok_and(|out| out.status.success())
    {
        return Err("zfs-fuse: a daemon runs already".to_owned());
    }
    let (image, dir) = (base.join("zfs.img"), folder(base, "zfs-fuse")?);
    room(&image)?;
    let daemon = Command::new("zfs-fuse").arg("--no-daemon").stderr(Stdio::null()).spawn();
    let daemon = daemon.map_err(|e| format!("zfs-fuse: {e}"))?;
    let pool = "tintypebench";
    let before_end = vec![words(&format!("zpool|destroy|-f|{pool}"))];
    let peer = Peer { name: "zfs-fuse", dir, before_end, daemon: Some(daemon) };
    let make = format!("zpool|create|-f|-m|{}|{pool}|{}", peer.dir.display(), image.display());
    let mut last = String::new();
    for _ in 0..20 {
        match run(&words(&make)) {
            Ok(()) => return Ok(peer),
            Err(error) => last = error,
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    Err(format!("zfs-fuse: {last}"))
}

/// A program of this name that starts.
pub(crate) fn program(name: &str) -> Result<String, String> {
    let variable = format!("TINTYPE_BENCH_{}", name.to_uppercase());
    let path = std::env::var(variable).unwrap_or_else(|_| name.to_owned());
    // restic knows no `--version`, rustic no `version`.
    let word = if name == "restic" { "version" } else { "--version" };
    run(&words(&format!("{path}|{word}"))).map(|()| path)
}

/// A block server with a disk of its own.
pub(crate) struct BlockServer {
    pub socket: PathBuf,
    process: Child,
}

impl Drop for BlockServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// qemu-nbd on an image that is as large as the disks of the rows (package qemu-utils). A qcow2 image has one internal snapshot
/// of all its blocks, as a disk has right after a snapshot.
pub(crate) fn qemu_nbd(base: &Path, format: &str) -> Result<BlockServer, String> {
    let (image, socket) = (base.join(format!("disk.{format}")), base.join(format!("nbd.{format}")));
    let (file, place) = (image.display(), socket.display());
    run(&words(&format!("qemu-img|create|-q|-f|{format}|{file}|512M")))?;
    if format == "qcow2" {
        run(&words(&format!("qemu-io|-f|{format}|-c|write -P 85 0 512M|{file}")))?;
        run(&words(&format!("qemu-img|snapshot|-c|before|{file}")))?;
    }
    let process = Command::new("qemu-nbd")
        .args([
            "--shared=8",
            "--persistent",
            "--discard=unmap",
            "--aio=threads",
            "--cache=writeback",
        ])
        .arg(format!("--format={format}"))
        .arg(format!("--socket={place}"))
        .arg(&image)
        .spawn()
        .map_err(|e| format!("qemu-nbd: {e}"))?;
    let server = BlockServer { socket, process };
    for _ in 0..200 {
        if server.socket.exists() {
            return Ok(server);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Err(format!("qemu-nbd {format}: does not come up"))
}
