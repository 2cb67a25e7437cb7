//! `tintype-bench-peers`: the rows on files of `tintype-bench`, in one run with other snapshotting or
//! user-space filesystems. It mounts what this machine has - btrfs on a loop file, bindfs, zfs-fuse - and
//! passes their folders on; for the row `disk` it starts qemu-nbd on a raw file and on a qcow2 image. All other arguments go to `tintype-bench` as they are. Needs root. For the row `repository` it names the
//! backup programs that are there: restic (Debian's) and rustic, in the search path or where `TINTYPE_BENCH_RUSTIC` says.

mod peers;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use peers::Peer;

type Way = fn(&std::path::Path) -> Result<Peer, String>;

const WAYS: [Way; 3] = [peers::btrfs, peers::bindfs, peers::zfs];

fn main() -> ExitCode {
    let base = match std::env::var_os("TINTYPE_BENCH_PEERS") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::current_exe().unwrap_or_default().with_file_name("bench-peers-work"),
    };
    let done = run(&base);
    drop(std::fs::remove_dir_all(&base));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("tintype-bench-peers: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(base: &std::path::Path) -> Result<bool, String> {
    std::fs::create_dir_all(base).map_err(|e| format!("{}: {e}", base.display()))?;
    let mut there = Vec::new();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = |row: &str| rows(&words).any(|word| word == row || word == "all");
    if ["seq", "rand", "small", "fsync", "tree"].into_iter().any(asked) {
        for way in WAYS {
            match way(base) {
                Ok(peer) => there.push(peer),
                Err(text) => eprintln!("SKIPPED: {text}"),
            }
        }
    }
    let program = std::env::current_exe().unwrap_or_default().with_file_name("tintype-bench");
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    for peer in &there {
        command.arg("--dir").arg(format!("{}={}", peer.name, peer.dir.display()));
    }
    let mut servers = Vec::new();
    if asked("disk") {
        for format in ["raw", "qcow2"] {
            match peers::qemu_nbd(base, format) {
                Ok(server) => {
                    command
                        .arg("--nbd")
                        .arg(format!("qemu-nbd {format}={}", server.socket.display()));
                    servers.push(server);
                }
                Err(text) => eprintln!("SKIPPED: {text}"),
            }
        }
    }
    if asked("repository") {
        for name in ["restic", "rustic"] {
            match peers::program(name) {
                Ok(path) => drop(command.arg("--peer").arg(format!("{name}={path}"))),
                Err(text) => eprintln!("SKIPPED: {text}"),
            }
        }
    }
    let status = command.status().map_err(|e| format!("tintype-bench: {e}"))?;
    // In reverse order, each taken down by its own Drop.
    while there.pop().is_some() {}
    Ok(status.success())
}

/// The rows among the words of the command line. Every option but `--keep` has a value, and a value can be called like a row.
fn rows(words: &[String]) -> impl Iterator<Item = &str> {
    let mut value = false;
    words.iter().map(String::as_str).filter(move |word| {
        let row = !value && !word.starts_with("--");
        value = !value && word.starts_with("--") && *word != "--keep";
        row
    })
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn values_of_options_are_no_rows() {
        let words = ["disk", "--scale", "small", "--keep", "tree", "--on", "seq"];
        let words = words.map(str::to_owned);
        assert_eq!(rows(&words).collect::<Vec<_>>(), ["disk", "tree"]);
    }
}
