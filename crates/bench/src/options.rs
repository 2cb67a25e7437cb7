//! The options that all rows share, and the sizes of a full and of a small run.

use std::path::PathBuf;

/// Names of the rows, in the order in which `all` runs them.
pub(crate) const ROWS: &[&str] = &[
    "seq",
    "rand",
    "small",
    "fsync",
    "tree",
    "snapshot-create",
    "snapshot-list",
    "snapshot-delete",
    "diff",
    "change-list",
    "many-snapshots",
    "space-overwrite",
    "memory",
    "disk",
    "disk-snapshots",
    "disk-clones",
    "repository",
    "index-memory",
    "chunking",
    "images",
    "policies",
    "api",
];

const USAGE: &str = "usage: tintype-bench ROW... [--scale full|small] [--rounds N] [--on NAME,NAME] \
 [--cold restart|caches] [--tintype PROGRAM] [--base DIR] [--source DIR] [--dir NAME=DIR]... [--peer NAME=PROGRAM]... [--nbd NAME=SOCKET]... [--keep]
rows: seq rand small fsync tree snapshot-create snapshot-list snapshot-delete diff change-list many-snapshots
      space-overwrite memory disk disk-snapshots disk-clones repository index-memory chunking images policies api all
       tintype-bench floor|load ...";

/// What "cold" means for a server: the kernel's caches always go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// The server is started anew, so that its own caches are empty too.
    Restart,
    /// The server keeps its caches.
    Caches,
}

/// Sizes of the work.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub large: u64,
    pub random_writes: u64,
    pub random_reads: u64,
    pub small_files: usize,
    pub fsyncs: usize,
    pub snapshots: usize,
    pub present: Vec<usize>,
    pub samples: usize,
    pub files: usize,
    pub changes: Vec<usize>,
    pub generated: usize,
    pub backups: usize,
    pub blobs: usize,
    /// Bytes of a disk under load.
    pub disk: u64,
    /// Milliseconds of a load on a disk.
    pub disk_ms: u64,
    pub disk_snapshots: usize,
    /// Bytes that the disk that is cloned maps.
    pub reserved: u64,
    pub clones: usize,
    /// Bytes of a disk whose images are written and read.
    pub image: u64,
    /// Policies that are due at once, each on a filesystem of its own.
    pub policies: usize,
    /// Requests on one connection.
    pub requests: usize,
    /// Milliseconds of requests on many connections.
    pub load_ms: u64,
}

impl Sizes {
    fn full() -> Self {
        Self {
            large: 512 << 20,
            random_writes: 20_000,
            random_reads: 10_000,
            small_files: 10_000,
            fsyncs: 300,
            snapshots: 24_576,
            present: vec![1, 1_000, 24_576, 150_000],
            samples: 200,
            files: 1_000_000,
            changes: vec![1_000, 100_000],
            generated: 0,
            backups: 50,
            blobs: 10_000_000,
            disk: 512 << 20,
            disk_ms: 4_000,
            disk_snapshots: 10_000,
            reserved: 100 << 30,
            clones: 10_000,
            image: 4 << 30,
            policies: 1024,
            requests: 5000,
            load_ms: 10_000,
        }
    }

    fn small() -> Self {
        Self {
            large: 4 << 20,
            random_writes: 100,
            random_reads: 100,
            small_files: 100,
            fsyncs: 5,
            snapshots: 40,
            present: vec![1, 40],
            samples: 5,
            files: 500,
            changes: vec![10, 100],
            generated: 100,
            backups: 4,
            blobs: 20_000,
            disk: 8 << 20,
            disk_ms: 50,
            disk_snapshots: 20,
            reserved: 64 << 20,
            clones: 20,
            image: 64 << 20,
            policies: 8,
            requests: 100,
            load_ms: 200,
        }
    }
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub rows: Vec<String>,
    pub small: bool,
    pub sizes: Sizes,
    pub rounds: usize,
    pub on: Option<Vec<String>>,
    pub cold: Cold,
    pub tintype: PathBuf,
    pub base: PathBuf,
    pub source: Option<PathBuf>,
    pub dirs: Vec<(String, PathBuf)>,
    /// Other backup programs of the same format.
    pub peers: Vec<(String, PathBuf)>,
    /// Sockets of other block servers with a disk as large as ours.
    pub exports: Vec<(String, PathBuf)>,
    pub keep: bool,
}

/// Reads the command line.
pub(crate) fn parse(arguments: &mut dyn Iterator<Item = String>) -> Result<Options, String> {
    let beside = |name: &str| std::env::current_exe().unwrap_or_default().with_file_name(name);
    let mut options = Options {
        rows: Vec::new(),
        small: false,
        sizes: Sizes::full(),
        rounds: 2,
        on: None,
        cold: Cold::Restart,
        tintype: beside("tintype"),
        base: beside("bench-work"),
        source: None,
        dirs: Vec::new(),
        peers: Vec::new(),
        exports: Vec::new(),
        keep: false,
    };
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--keep" => options.keep = true,
            "all" => options.rows = ROWS.iter().map(|row| (*row).to_owned()).collect(),
            row if ROWS.contains(&row) => options.rows.push(name),
            option if option.starts_with("--") => {
                let value = arguments.next().ok_or(USAGE)?;
                set(&mut options, option, value)?;
            }
            other => return Err(format!("unknown row {other}\n{USAGE}")),
        }
    }
    if options.rows.is_empty() { Err(USAGE.to_owned()) } else { Ok(options) }
}

fn set(options: &mut Options, name: &str, value: String) -> Result<(), String> {
    match (name, value.as_str()) {
        ("--scale", "full") => {}
        ("--scale", "small") => {
            (options.sizes, options.small, options.rounds) = (Sizes::small(), true, 1);
        }
        ("--rounds", number) => options.rounds = number.parse().map_err(|_| USAGE)?,
        ("--on", list) => options.on = Some(list.split(',').map(str::to_owned).collect()),
        ("--cold", "restart") => options.cold = Cold::Restart,
        ("--cold", "caches") => options.cold = Cold::Caches,
        ("--tintype", _) => options.tintype = PathBuf::from(value),
        ("--base", _) => options.base = std::path::absolute(&value).map_err(|_| USAGE)?,
        ("--source", _) => options.source = Some(PathBuf::from(value)),
        ("--dir", pair) => options.dirs.push(named(pair)?),
        ("--peer", pair) => options.peers.push(named(pair)?),
        ("--nbd", pair) => options.exports.push(named(pair)?),
        _ => return Err(USAGE.to_owned()),
    }
    Ok(())
}

/// `NAME=PATH`.
fn named(pair: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = pair.split_once('=').ok_or(USAGE)?;
    Ok((name.to_owned(), PathBuf::from(path)))
}
