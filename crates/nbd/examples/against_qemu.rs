//! Measures this server against qemu-nbd with the same load: `cargo run --release -p tintype-nbd --example against_qemu`.
//!
//! Both serve memory through a Unix socket: ours a disk in memory, qemu-nbd a raw file in /dev/shm. The load is fio with
//! its NBD engine; each figure is one run, and the ratio is ours to theirs. With `serve SOCKET MIB` it only serves.

use std::error::Error;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tintype_nbd::{FixedExports, Limits, Listener, MemoryDisk, Server, TlsMode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MIB: u64 = 512;
/// Name, kind of load, block size, depth, connections.
const LOADS: [(&str, &str, &str, u32, u32); 7] = [
    ("4k random read, depth 1", "randread", "4k", 1, 1),
    ("4k random read, depth 32", "randread", "4k", 32, 1),
    ("4k random write, depth 32", "randwrite", "4k", 32, 1),
    ("4k random read, depth 32, 2 connections", "randread", "4k", 32, 2),
    ("4k random write, depth 32, 2 connections", "randwrite", "4k", 32, 2),
    ("1m read, depth 4", "read", "1m", 4, 1),
    ("1m write, depth 4", "write", "1m", 4, 1),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, socket, mib] = arguments.as_slice()
        && mode == "serve"
    {
        let _server = serve(Path::new(socket), mib.parse()?)?;
        println!("serving nbd+unix:///?socket={socket}; press return to end");
        std::io::stdin().read_line(&mut String::new())?;
        return Ok(());
    }
    let seconds: u32 = arguments.first().map_or(Ok(4), |text| text.parse())?;
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let ours = dir.path().join("ours");
    let theirs = dir.path().join("theirs");
    // Our server is a process of its own, as theirs is.
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&ours)
        .arg(MIB.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut peer = qemu_nbd(&dir.path().join("raw"), &theirs)?;
    let done = compare(&ours, &theirs, seconds);
    server.kill()?;
    peer.kill()?;
    server.wait()?;
    peer.wait()?;
    done
}

fn compare(ours: &Path, theirs: &Path, seconds: u32) -> Result<()> {
    for socket in [ours, theirs] {
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        fio(socket, "write", "1m", 4, 1, 2)?;
    }
    println!(
        "{:42} {:>10} {:>10} {:>6}",
        "load (requests per second)", "tintype", "qemu-nbd", "ratio"
    );
    for (name, kind, block, depth, connections) in LOADS {
        let a = fio(ours, kind, block, depth, connections, seconds)?;
        let b = fio(theirs, kind, block, depth, connections, seconds)?;
        println!("{name:42} {a:>10.0} {b:>10.0} {:>6.2}", a / b);
    }
    Ok(())
}

fn serve(socket: &Path, mib: u64) -> Result<Server> {
    let server = Server::start(Limits::default())?;
    let exports = FixedExports::default().with("disk", Arc::new(MemoryDisk::new(mib << 20)));
    let listener = Listener::Unix(UnixListener::bind(socket)?);
    server.listen(listener, Arc::new(exports), TlsMode::Off)?;
    Ok(server)
}

fn qemu_nbd(file: &Path, socket: &Path) -> Result<Child> {
    std::fs::File::create(file)?.set_len(MIB << 20)?;
    let child = Command::new("qemu-nbd")
        .args(["--format=raw", "--shared=8", "--persistent", "--socket"])
        .arg(socket)
        .arg(file)
        .spawn()?;
    Ok(child)
}

/// Requests per second.
fn fio(
    socket: &Path,
    kind: &str,
    block: &str,
    depth: u32,
    connections: u32,
    seconds: u32,
) -> Result<f64> {
    let out = Command::new("fio")
        .args(["--name=load", "--ioengine=nbd", "--time_based", "--group_reporting"])
        .args(["--output-format=terse", "--terse-version=3", "--norandommap"])
        .arg(format!("--uri=nbd+unix:///?socket={}", socket.display()))
        .arg(format!("--rw={kind}"))
        .arg(format!("--bs={block}"))
        .arg(format!("--iodepth={depth}"))
        .arg(format!("--numjobs={connections}"))
        .arg(format!("--runtime={seconds}"))
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    let fields: Vec<&str> = text.trim().split(';').collect();
    let field = if kind.contains("read") { 7 } else { 48 };
    let found =
        fields.get(field).ok_or_else(|| String::from_utf8_lossy(&out.stderr).into_owned())?;
    Ok(found.parse()?)
}
