//! The loads on files: large, random, small, synced. Data does not compress.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::measure::{Random, timed};
use crate::options::Sizes;

/// Name and seconds of each part.
pub(crate) type Figures = Vec<(&'static str, f64)>;
/// Makes everything cold.
pub(crate) type MakeCold<'a> = &'a mut dyn FnMut() -> Result<(), String>;

/// One large file: written and synced; read cold.
pub(crate) fn seq(dir: &Path, sizes: &Sizes, cold: MakeCold<'_>) -> Result<Figures, String> {
    let path = dir.join("large");
    let write = timed(|| write_large(&path, sizes.large))?;
    cold()?;
    let read = timed(|| read_all(&path))?;
    fs::remove_file(&path).map_err(|e| e.to_string())?;
    Ok(vec![("seq write+fsync", write), ("seq cold read", read)])
}

/// Blocks of 4 KiB anywhere in a large file: written, then synced; read cold.
pub(crate) fn rand(dir: &Path, sizes: &Sizes, cold: MakeCold<'_>) -> Result<Figures, String> {
    let path = dir.join("random");
    write_large(&path, sizes.large).map_err(|e| e.to_string())?;
    cold()?;
    let write = timed(|| write_random(&path, sizes))?;
    cold()?;
    let read = timed(|| read_random(&path, sizes))?;
    fs::remove_file(&path).map_err(|e| e.to_string())?;
    Ok(vec![("rand write+fsync", write), ("rand cold read", read)])
}

/// Many files of 4 KiB in one folder: made; read cold; asked for their attributes when these are known.
pub(crate) fn small(dir: &Path, sizes: &Sizes, cold: MakeCold<'_>) -> Result<Figures, String> {
    let dir = dir.join("small");
    fs::create_dir(&dir).map_err(|e| e.to_string())?;
    let names: Vec<PathBuf> =
        (0..sizes.small_files).map(|number| dir.join(format!("file-{number:06}"))).collect();
    let data = Random::new(3).bytes(4096);
    let create = timed(|| names.iter().try_for_each(|name| File::create(name)?.write_all(&data)))?;
    cold()?;
    let read = timed(|| names.iter().try_for_each(|name| read_all(name)))?;
    let stat = || names.iter().try_for_each(|name| fs::metadata(name).map(drop));
    stat().map_err(|e| e.to_string())?;
    let warm = (0..3).map(|_| timed(stat)).collect::<Result<Vec<f64>, String>>()?;
    let warm = warm.into_iter().fold(f64::INFINITY, f64::min);
    fs::remove_dir_all(&dir).map_err(|e| e.to_string())?;
    Ok(vec![("small create", create), ("small cold read", read), ("small warm stat", warm)])
}

/// Small files, each synced before the next.
pub(crate) fn fsync(dir: &Path, sizes: &Sizes, _: MakeCold<'_>) -> Result<Figures, String> {
    let dir = dir.join("fsync");
    fs::create_dir(&dir).map_err(|e| e.to_string())?;
    let data = Random::new(4).bytes(4096);
    let one = |number: usize| -> io::Result<()> {
        let mut file = File::create(dir.join(format!("file-{number:06}")))?;
        file.write_all(&data)?;
        file.sync_all()
    };
    let seconds = timed(|| (0..sizes.fsyncs).try_for_each(one))?;
    fs::remove_dir_all(&dir).map_err(|e| e.to_string())?;
    Ok(vec![("fsync", seconds)])
}

/// Writes a file of that length and syncs it.
pub(crate) fn write_large(path: &Path, length: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let data = Random::new(1).bytes(1 << 20);
    (0..length >> 20).try_for_each(|_| file.write_all(&data))?;
    file.sync_all()
}

/// Reads a file to its end.
pub(crate) fn read_all(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut data = vec![0; 1 << 20];
    while file.read(&mut data)? > 0 {}
    Ok(())
}

fn write_random(path: &Path, sizes: &Sizes) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let mut random = Random::new(2);
    let data = random.bytes(4096);
    for _ in 0..sizes.random_writes {
        file.write_all_at(&data, random.below(sizes.large / 4096) * 4096)?;
    }
    file.sync_all()
}

fn read_random(path: &Path, sizes: &Sizes) -> io::Result<()> {
    let file = File::open(path)?;
    let mut random = Random::new(5);
    let mut data = [0; 4096];
    (0..sizes.random_reads)
        .try_for_each(|_| file.read_exact_at(&mut data, random.below(sizes.large / 4096) * 4096))
}
