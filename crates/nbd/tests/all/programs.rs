//! Real clients: libnbd with its programs, QEMU's, fio.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tintype_nbd::{Device, FixedExports, Limits, Listener, MemoryDisk, Server, TlsMode};

use crate::scripts;

/// A server on a Unix socket in a folder of its own.
pub struct Served {
    pub dir: TempDir,
    pub server: Server,
    pub disk: Arc<MemoryDisk>,
}

impl Served {
    pub fn new(disk: MemoryDisk) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(disk);
        let server = Server::start(Limits::default()).unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let exports = FixedExports::default().with("disk", Arc::clone(&disk) as Arc<dyn Device>);
        server.listen(Listener::Unix(listener), Arc::new(exports), TlsMode::Off).unwrap();
        Self { dir, server, disk }
    }

    pub fn uri(&self) -> String {
        format!("nbd+unix:///disk?socket={}", self.dir.path().join("s").display())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn script(&self, text: &str) {
        let uri = self.uri();
        run("/usr/bin/python3", &["-c", &format!("{}{text}", scripts::BEGIN), &uri]);
    }
}

/// Runs a program, which must succeed, and returns what it prints.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output();
    let out = out.unwrap_or_else(|error| panic!("{program} (see packages.txt): {error}"));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program} {arguments:?}: {}\n{stdout}\n{stderr}", out.status);
    stdout.into_owned()
}

const MIB: u64 = 1 << 20;

#[test]
fn libnbd_gets_the_errors_of_the_specification() {
    let disk = || MemoryDisk::new(8 * MIB).with_minimum_block(512);
    Served::new(disk()).script(scripts::ERRORS);
    Served::new(disk()).script(scripts::SIMPLE);
    Served::new(disk().read_only()).script(scripts::READ_ONLY);
}

#[test]
fn libnbd_contexts_options_and_connections() {
    let disk = MemoryDisk::new(8 * MIB);
    disk.write(4096, &[1; 4096]).unwrap();
    disk.snapshot("before");
    disk.write(8192, &[1; 4096]).unwrap();
    let served = Served::new(disk);
    served.script(scripts::CONTEXTS);
    served.script(scripts::OPTIONS);
    served.script(scripts::PARALLEL);
    assert_eq!(served.server.status()[0].name, "disk");
}

#[test]
fn nbdinfo_and_nbdcopy() {
    let disk = MemoryDisk::new(64 * MIB);
    disk.write(MIB, &[7; 65536]).unwrap();
    disk.snapshot("before");
    disk.write(2 * MIB, &[8; 65536]).unwrap();
    let served = Served::new(disk);
    let uri = served.uri();
    let told = run("nbdinfo", &[&uri]);
    for line in
        ["export-size: 67108864 (64M)", "can_multi_conn: true", "block_size_maximum: 33554432"]
    {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.contains("qemu:dirty-bitmap:before"), "{told}");
    assert!(run("nbdinfo", &["--list", &uri]).contains("export=\"disk\""));
    let map = run("nbdinfo", &["--map=qemu:dirty-bitmap:before", &uri]);
    let lines: Vec<Vec<&str>> = map.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..3], ["2097152", "65536", "1"], "{map}");
    assert_eq!(run("nbdinfo", &["--size", &uri]).trim(), "67108864");
    let file = served.file("copy");
    let file = file.to_str().unwrap();
    run("nbdcopy", &[&uri, file]);
    let copied = fs::read(file).unwrap();
    assert_eq!(copied.len() as u64, 64 * MIB);
    assert_eq!(copied[MIB as usize..][..65536], [7; 65536]);
    assert_eq!(copied.iter().filter(|byte| **byte != 0).count(), 2 * 65536);
    // Into another one, with several connections, and compared by a third program.
    let target = Served::new(MemoryDisk::new(64 * MIB));
    run(
        "nbdcopy",
        &["--connections=4", "--requests=32", "--destination-is-zero", file, &target.uri()],
    );
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", file, &target.uri()]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &uri, &target.uri()]);
}

#[test]
fn qemu_img() {
    let served = Served::new(MemoryDisk::new(64 * MIB));
    served.disk.write(5 * MIB, &[3; 100_000]).unwrap();
    let uri = served.uri();
    let told = run("qemu-img", &["info", "--output=json", &uri]);
    assert!(told.contains("\"virtual-size\": 67108864"), "{told}");
    let map = run("qemu-img", &["map", "--output=json", "-f", "raw", &uri]);
    let first =
        "{ \"start\": 0, \"length\": 5242880, \"depth\": 0, \"present\": true, \"zero\": true";
    assert!(map.contains(first), "{map}");
    let (qcow, raw) = (served.file("a.qcow2"), served.file("a.raw"));
    let (qcow, raw) = (qcow.to_str().unwrap(), raw.to_str().unwrap());
    run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, qcow]);
    run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", qcow, raw]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", raw, &uri]);
    let target = Served::new(MemoryDisk::new(64 * MIB));
    target.disk.write(0, &[9; 70_000]).unwrap();
    run(
        "qemu-img",
        &["convert", "-n", "-W", "-m", "8", "-f", "qcow2", "-O", "raw", qcow, &target.uri()],
    );
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &target.uri(), &uri]);
    // The map of what has changed, as backup programs read it.
    served.disk.snapshot("before");
    served.disk.write(20 * MIB, &[1; 4096]).unwrap();
    let socket = served.file("s");
    let image = format!(
        "driver=nbd,server.type=unix,server.path={},export=disk,x-dirty-bitmap=qemu:dirty-bitmap:before",
        socket.display()
    );
    let map = run("qemu-img", &["map", "--output=json", "--image-opts", &image]);
    assert!(map.contains("{ \"start\": 20971520, \"length\": 4096"), "{map}");
}

#[test]
fn qemu_io() {
    let served = Served::new(MemoryDisk::new(64 * MIB));
    let uri = served.uri();
    let commands = [
        "write -P 0x5a 4096 65536",
        "read -P 0x5a 4096 65536",
        "read -P 0 0 4096",
        "write -f -P 0x11 1000 3000",
        "read -P 0x11 1000 3000",
        "write -z 8192 4096",
        "write -z -u 12288 4096",
        "read -P 0 8192 8192",
        "discard 16384 4096",
        "flush",
        "aio_write -P 0x77 1M 1M",
        "aio_write -P 0x78 2M 1M",
        "aio_flush",
        "read -P 0x77 1M 1M",
        "read -P 0x78 2M 1M",
        "write -z -n 32M 16M",
        "map",
        "write -P 1 67108352 512",
        "read -P 1 67108352 512",
    ];
    let mut arguments = vec!["-f", "raw"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
    arguments.push(&uri);
    let told = run("qemu-io", &arguments);
    assert!(!told.contains("failed") && !told.contains("rror"), "{told}");
    let served = Served::new(MemoryDisk::new(MIB).read_only());
    run("qemu-io", &["-f", "raw", "-r", "-c", "read -P 0 0 1M", &served.uri()]);
    let writing = ["-f", "raw", "-c", "write 0 512", &served.uri()];
    assert!(!Command::new("qemu-io").args(writing).output().unwrap().status.success());
}

#[test]
fn fio_verifies_what_it_wrote() {
    let served = Served::new(MemoryDisk::new(32 * MIB));
    let uri = format!("--uri={}", served.uri());
    let common = [
        "--name=v",
        "--ioengine=nbd",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--verify_state_save=0",
    ];
    for load in [
        &["--rw=randwrite", "--bs=4k", "--iodepth=32"][..],
        &["--rw=randrw", "--bsrange=512-128k", "--bs_unaligned=1", "--iodepth=16"],
        &["--rw=write", "--bs=1m", "--iodepth=4"],
        &["--rw=randtrimwrite", "--bs=4k", "--iodepth=8"],
    ] {
        run("fio", &[&common[..], load, &[&uri]].concat());
    }
}
