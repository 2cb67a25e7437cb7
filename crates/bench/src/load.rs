//! `tintype-bench load --dir DIR`: four loads on any directory, one JSON line of seconds.
//!
//! Small files, one large file, random writes, and attribute look-ups: enough to compare two
//! filesystems or two transports. Cold reads drop the kernel's caches first and need root.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SMALL_FILES: usize = 10_000;
const LARGE: u64 = 512 << 20;
const RANDOM_WRITES: u64 = 20_000;

/// Runs the subcommand.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let dir = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--dir"), Some(dir)) => PathBuf::from(dir),
        _ => return Err("usage: tintype-bench load --dir DIR".to_owned()),
    };
    let results = measure(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let fields: Vec<_> =
        results.iter().map(|(name, secs)| format!("\"{name}\":{secs:.3}")).collect();
    println!("{{{}}}", fields.join(","));
    Ok(())
}

fn measure(dir: &Path) -> io::Result<Vec<(&'static str, f64)>> {
    let (small, large) = (dir.join("small"), dir.join("large"));
    fs::create_dir(&small)?;
    let mut results = vec![("create", timed(|| create(&small))?)];
    results.push(("ask", timed(|| stat(&small))?));
    results.push(("stat", timed(|| stat(&small))?));
    results.push(("write", timed(|| write(&large))?));
    drop_caches()?;
    results.push(("read", timed(|| read(&large))?));
    results.push(("random", timed(|| random(&large))?));
    results.push(("unlink", timed(|| fs::remove_dir_all(&small))?));
    fs::remove_file(&large)?;
    Ok(results)
}

fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn name(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("file-{number:05}"))
}

fn create(dir: &Path) -> io::Result<()> {
    let data = [b'x'; 4096];
    (0..SMALL_FILES).try_for_each(|number| File::create(name(dir, number))?.write_all(&data))
}

fn stat(dir: &Path) -> io::Result<()> {
    (0..SMALL_FILES).try_for_each(|number| fs::metadata(name(dir, number)).map(drop))
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let data = vec![b'y'; 1 << 20];
    (0..LARGE >> 20).try_for_each(|_| file.write_all(&data))?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut data = vec![0; 1 << 20];
    while file.read(&mut data)? > 0 {}
    Ok(())
}

fn random(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..RANDOM_WRITES {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        file.write_all_at(&[b'z'; 4096], seed % (LARGE / 4096) * 4096)?;
    }
    file.sync_all()
}

fn drop_caches() -> io::Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "1")
}
