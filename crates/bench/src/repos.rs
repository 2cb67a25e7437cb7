//! The rows about backup repositories: whole programs, ours and others of the same format, each on a repository of its own; the memory that an
//! index takes; the speed of cutting.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};
use tintype_repo::{
    Actor, BlobId, BlobKind, Chunks, Cutter, FileKind, Id, IndexFile, IndexedBlob, IndexedPack,
    LocalFolder, PackId, Polynomial, Repository, Version,
};

use crate::measure::Random;
use crate::options::Options;
use crate::report::{line, round};
use crate::usage::{self, Cost};
use crate::{trees, usage::cost};

const PASSWORD: &str = "bench";
/// Blobs that an index file names, and packs that hold them.
const FILE_BLOBS: usize = 50_000;
const PACK_BLOBS: usize = 250;

/// Runs one row.
pub(crate) fn run(options: &Options, row: &str) -> Result<(), String> {
    match row {
        "repository" => programs(options),
        "index-memory" => index_memory(options),
        _ => chunking(options),
    }
}

/// A program with its words for what it is told.
struct Program<'o> {
    name: String,
    path: &'o Path,
}

impl Program<'_> {
    fn command(&self, base: &Path, repo: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        for owner in ["TINTYPE", "RESTIC", "RUSTIC"] {
            command.env(format!("{owner}_REPOSITORY"), base.join(repo));
            command.env(format!("{owner}_PASSWORD"), PASSWORD);
        }
        let cache = base.join("cache");
        command.env("RESTIC_CACHE_DIR", &cache).env("RUSTIC_CACHE_DIR", &cache);
        if self.name == "rustic" {
            command.args(["--no-progress", "--log-level", "error"]);
        }
        command.args(words);
        command
    }

    /// The words of this program for some work.
    fn words<'w>(&self, work: &str, path: &'w str) -> Vec<&'w str> {
        let name = self.name.as_str();
        match (work, name) {
            ("init", "tintype") => vec!["repo", "init"],
            ("backup", _) => vec!["backup", path],
            ("restore", "rustic") => vec!["restore", "latest", path],
            ("restore", _) => vec!["restore", "latest", "--target", path],
            ("check", _) => vec!["check", "--read-data"],
            ("forget", _) => vec!["forget", "--keep-last", path],
            ("prune", "restic") => vec!["prune"],
            ("prune", _) => vec!["prune", "--instant-delete"],
            _ => vec!["init"],
        }
    }

    fn run(&self, base: &Path, repo: &str, work: &str, path: &str) -> Result<Cost, String> {
        cost(&mut self.command(base, repo, &self.words(work, path)))
            .map_err(|e| format!("{}: {e}", self.name))
    }
}

/// Costs by work and program, one for each round.
type Costs = BTreeMap<&'static str, BTreeMap<String, Vec<Cost>>>;

fn programs(options: &Options) -> Result<(), String> {
    let source = trees::source(options)?;
    let mut all = vec![Program { name: "tintype".into(), path: &options.tintype }];
    all.extend(options.peers.iter().map(|(name, path)| Program { name: name.clone(), path }));
    if all.len() == 1 {
        eprintln!(
            "SKIPPED: no other program to compare with; tintype-bench-peers brings those that are there"
        );
    }
    let (mut costs, mut sizes) = (Costs::new(), BTreeMap::new());
    for _ in 0..options.rounds {
        for program in &all {
            let base = options.base.join("repository").join(&program.name);
            drop(fs::remove_dir_all(&base));
            fs::create_dir_all(&base).map_err(|e| e.to_string())?;
            let mut note = |work, cost: Cost| {
                eprintln!("{}: {work}: {cost:.2?}", program.name);
                costs.entry(work).or_default().entry(program.name.clone()).or_default().push(cost);
            };
            let size = one(program, &base, &source, &mut note)?;
            many(program, &base, options, &mut note)?;
            sizes.insert(program.name.clone(), size);
            fs::remove_dir_all(&base).map_err(|e| e.to_string())?;
        }
    }
    for (work, of_programs) in &costs {
        print(work, of_programs);
    }
    let ours = sizes.get("tintype").copied().unwrap_or_default();
    let others = sizes.iter().filter(|(name, _)| *name != "tintype").map(|(_, size)| *size);
    line(&json!({
        "work": "repository size", "unit": "bytes", "best": sizes,
        "ratio": others.min().map(|least| round(ours as f64 / least as f64)), "target": 1.0,
    }));
    Ok(())
}

/// The source tree: saved, saved again, restored, checked. The size of the repository behind the first backup.
fn one(
    program: &Program<'_>,
    base: &Path,
    source: &Path,
    note: &mut dyn FnMut(&'static str, Cost),
) -> Result<u64, String> {
    let source = source.display().to_string();
    let target = base.join("target");
    let shown = target.display().to_string();
    program.run(base, "one", "init", "")?;
    // The source is in the kernel's cache from here on.
    cost(Command::new("grep").args(["-rqs", "zq9_nowhere_at_all", &source]).stdout(Stdio::null()))
        .ok();
    note("first backup", program.run(base, "one", "backup", &source)?);
    let size = usage::disk_bytes(&base.join("one"));
    note("unchanged backup", program.run(base, "one", "backup", &source)?);
    usage::sync();
    note("restore", program.run(base, "one", "restore", &shown)?);
    fs::remove_dir_all(&target).map_err(|e| e.to_string())?;
    usage::sync();
    note("check --read-data", program.run(base, "one", "check", "")?);
    Ok(size)
}

/// Many backups of a folder that changes; then half of them are forgotten, and what only they needed goes.
fn many(
    program: &Program<'_>,
    base: &Path,
    options: &Options,
    note: &mut dyn FnMut(&'static str, Cost),
) -> Result<(), String> {
    let folder = base.join("changing");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let mut random = Random::new(11);
    program.run(base, "many", "init", "")?;
    let files = 20 * options.sizes.backups as u64;
    for number in 0..options.sizes.backups {
        for file in 0..files {
            if number == 0 || random.below(10) == 0 {
                let path = folder.join(format!("file-{file}"));
                fs::write(path, random.bytes(60_000)).map_err(|e| e.to_string())?;
            }
        }
        program.run(base, "many", "backup", &folder.display().to_string())?;
    }
    let left = (options.sizes.backups / 2).to_string();
    program.run(base, "many", "forget", &left)?;
    usage::sync();
    note("prune", program.run(base, "many", "prune", "")?);
    Ok(())
}

fn target(work: &str) -> Option<f64> {
    Some(match work {
        "first backup" | "check --read-data" => 0.5,
        "unchanged backup" => 0.4,
        "restore" => 0.6,
        _ => return None,
    })
}

/// One work: the best time of each program, and ours in terms of the fastest other.
fn print(work: &str, of_programs: &BTreeMap<String, Vec<Cost>>) {
    let least = |figure: fn(&Cost) -> f64| -> BTreeMap<&str, f64> {
        let best = |costs: &[Cost]| costs.iter().map(figure).fold(f64::INFINITY, f64::min);
        of_programs.iter().map(|(name, costs)| (name.as_str(), round(best(costs)))).collect()
    };
    let ratios = |best: &BTreeMap<&str, f64>| -> BTreeMap<String, f64> {
        let ours = best.get("tintype").copied().unwrap_or(f64::NAN);
        let others = best.iter().filter(|(name, _)| **name != "tintype");
        others.map(|(name, seconds)| ((*name).to_owned(), round(ours / seconds))).collect()
    };
    let (seconds, cpu) = (least(|cost| cost.seconds), least(|cost| cost.cpu));
    let ratio = ratios(&seconds);
    let worst = ratio.values().copied().fold(f64::NEG_INFINITY, f64::max);
    let all: BTreeMap<_, Vec<f64>> = of_programs
        .iter()
        .map(|(name, costs)| (name, costs.iter().map(|cost| round(cost.seconds)).collect()))
        .collect();
    let reached = target(work).filter(|_| worst.is_finite()).map(|target| worst <= target);
    line(&json!({
        "work": format!("repository {work}"), "unit": "s", "best": seconds, "all": all, "cpu": cpu,
        "peak_mib": least(|cost| cost.peak / f64::from(1 << 20)), "ratio": ratio,
        "cpu_ratio": ratios(&cpu), "to_best_peer": Some(worst).filter(|worst| worst.is_finite()),
        "target": target(work), "reached": reached,
    }));
}

/// The memory that an index takes in a whole backup, opening included.
fn index_memory(options: &Options) -> Result<(), String> {
    let base = options.base.join("index");
    drop(fs::remove_dir_all(&base));
    fs::create_dir_all(base.join("nothing")).map_err(|e| e.to_string())?;
    let program = Program { name: "tintype".into(), path: &options.tintype };
    let nothing = base.join("nothing").display().to_string();
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut costs = Vec::new();
    for (repo, blobs) in [("empty", 0), ("full", options.sizes.blobs)] {
        // In a process of its own: what a program is started by counts in its peak.
        let mut fill = Command::new(&own);
        cost(fill.arg("fill-index").arg(base.join(repo)).arg(blobs.to_string()))?;
        costs.push(program.run(&base, repo, "backup", &nothing)?);
    }
    fs::remove_dir_all(&base).map_err(|e| e.to_string())?;
    let [empty, full] = costs.as_slice() else { return Err("two figures".to_owned()) };
    let each = (full.peak - empty.peak) / options.sizes.blobs.max(1) as f64;
    line(&json!({
        "work": "repository index memory", "blobs": options.sizes.blobs, "unit": "bytes per blob",
        "bytes": round(each), "peak_mib": round(full.peak / f64::from(1 << 20)),
        "seconds": round(full.seconds), "target": 60.0, "reached": each <= 60.0,
    }));
    Ok(())
}

/// `tintype-bench fill-index DIR BLOBS`: a repository whose index names so many blobs, of packs that are not there.
pub(crate) fn fill_index(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let usage = || "usage: tintype-bench fill-index DIR BLOBS".to_owned();
    let dir = arguments.next().ok_or_else(usage)?;
    let mut left: usize = arguments.next().and_then(|n| n.parse().ok()).ok_or_else(usage)?;
    let actor = Actor { username: "bench".into(), hostname: "bench".into() };
    let place = Arc::new(LocalFolder::new(dir));
    let repo =
        Repository::init(place, PASSWORD.as_bytes(), Version::V2, None, &actor, Timestamp::now())
            .map_err(|e| e.to_string())?;
    let mut random = Random::new(17);
    while left > 0 {
        let mut file = IndexFile::default();
        let mut here = left.min(FILE_BLOBS);
        left -= here;
        while here > 0 {
            let count = here.min(PACK_BLOBS);
            here -= count;
            file.packs.push(pack(&mut random, count));
        }
        repo.save(FileKind::Index, &file.to_json()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn pack(random: &mut Random, count: usize) -> IndexedPack {
    let mut id = || Id(random.bytes(32).try_into().unwrap_or([0; 32]));
    let blobs = (0..).take(count).map(|number: u32| IndexedBlob {
        id: BlobId(id()),
        kind: BlobKind::Data,
        offset: number * 60_000,
        length: 60_000,
        uncompressed_length: Some(100_000),
    });
    let blobs = blobs.collect();
    IndexedPack { id: PackId(id()), blobs, time: None, size: None }
}

/// Cutting by content on one core, from memory.
fn chunking(options: &Options) -> Result<(), String> {
    let data = Random::new(19).bytes(usize::try_from(options.sizes.large).unwrap_or(1 << 22));
    let polynomial = Polynomial::new(0x2f_ad7a_b11e_fe19).map_err(|e| e.to_string())?;
    let mut best = 0.0_f64;
    for _ in 0..options.rounds.max(3) {
        let start = Instant::now();
        let mut chunks = Chunks::new(Cutter::new(polynomial), data.as_slice());
        let mut cut = 0;
        while let Some(chunk) = chunks.next_chunk().map_err(|e| e.to_string())? {
            cut += chunk.len();
        }
        best = best.max(cut as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    let value: Value = json!({
        "work": "repository chunking", "unit": "GB/s", "best": {"tintype": round(best)},
        "target": 1.5, "reached": best >= 1.5,
    });
    line(&value);
    Ok(())
}
