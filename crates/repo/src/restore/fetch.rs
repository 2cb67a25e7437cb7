//! The threads that work on a batch: they compare existing files, then read packs in order and write files.
//!
//! A blob is decoded and checked once for all files of the batch that need it: they stand next to each other in the order of packs.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::dirs::Dirs;
use super::existing;
use super::file::Files;
use super::plan::{Batch, Want};
use super::state::{MissingPart, Run};
use crate::backend::FileKind;
use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Found;
use crate::pack::BlobKind;

/// The longest plain blob for which space is kept, in bytes: the longest chunk that is ever made.
const KEPT: usize = 8 << 20;

/// Restores the files of a batch.
pub(super) fn restore_batch(run: &Run, dirs: &Dirs, mut batch: Batch) -> Result<()> {
    existing::compare_all(run, dirs, &mut batch);
    run.check()?;
    let ranges = batch.order();
    if run.options.dry_run {
        count_only(run, &batch);
        return Ok(());
    }
    let idle = |(number, file): (usize, &super::plan::File)| {
        let idle = file.left.load(Ordering::Relaxed) == 0;
        idle.then(|| u32::try_from(number).unwrap_or(u32::MAX))
    };
    let idle: Vec<u32> = batch.files.iter().enumerate().filter_map(idle).collect();
    let files = Files::new(run, dirs, &batch);
    each(run, &ranges, || {
        let (mut decoder, files) = (Decoder::default(), &files);
        move |range: &Range<usize>| fetch(run, files, &mut decoder, range.clone())
    });
    each(run, &idle, || |number: &u32| files.finish(*number));
    run.check()
}

/// Calls a worker for each thing; every thread has a worker of its own.
pub(super) fn each<T: Sync, W: FnMut(&T)>(run: &Run, things: &[T], worker: impl Fn() -> W + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut work = worker();
        while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
            if run.is_over() {
                break;
            }
            work(thing);
        }
    };
    let more = threads(run.options.threads).min(things.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        for _ in 0..more {
            scope.spawn(work);
        }
        work();
    });
}

fn threads(wanted: usize) -> usize {
    match wanted {
        // Some wait for disks while others compute.
        0 => std::thread::available_parallelism().map_or(4, |count| 2 * count.get()).clamp(4, 12),
        some => some,
    }
}

fn count_only(run: &Run, batch: &Batch) {
    for want in &batch.wants {
        run.progress.write(u64::from(batch.found(want).blob.plain_length()));
    }
    batch.files.iter().for_each(|_| run.progress.file());
}

/// Reads one range and writes its blobs to all who want them.
fn fetch(run: &Run, files: &Files, decoder: &mut Decoder, range: Range<usize>) {
    let wants = files.batch.wants.get(range).unwrap_or_default();
    let Some(first) = wants.first() else { return };
    let end = wants.iter().map(Want::end).max().unwrap_or_default();
    let length = usize::try_from(end - first.start()).unwrap_or(usize::MAX);
    let pack = files.batch.found(first).pack;
    let mut sealed = std::mem::take(&mut decoder.sealed);
    let backend = run.repo.backend();
    if backend.read_part_into(FileKind::Pack, pack.0, first.start(), length, &mut sealed).is_err() {
        // What a failed reading leaves empty is tried blob by blob, from other packs too.
        sealed.clear();
    }
    for group in wants.chunk_by(Want::same_place) {
        if run.is_over() {
            return;
        }
        let Some(want) = group.first() else { continue };
        let from = (want.start() - first.start()) as usize;
        let to = (want.end() - first.start()) as usize;
        let found = files.batch.found(want);
        let part = sealed.get_mut(from..to).unwrap_or_default();
        if let Some(plain) = decoder.decode(run, &found, part) {
            group.iter().for_each(|want| files.write(want.file, want.at, plain));
            continue;
        }
        match run.repo.blob(run.index, BlobKind::Data, found.blob.id) {
            Ok(plain) => group.iter().for_each(|want| files.write(want.file, want.at, &plain)),
            Err(error) => group.iter().for_each(|want| missing(run, files, want, &found, &error)),
        }
    }
    decoder.sealed = sealed;
}

fn missing(run: &Run, files: &Files, want: &Want, found: &Found, error: &RepoError) {
    if let Some(file) = files.batch.files.get(want.file as usize) {
        let part = MissingPart {
            offset: Some(want.at),
            length: Some(found.blob.plain_length().into()),
            blob: found.blob.id,
            detail: error.to_string(),
        };
        run.gap(files.dirs.path_of(file.dir, &file.node.name), part);
    }
    files.skip(want.file);
}

/// Opens, unpacks and checks blobs, with space that is used again.
#[derive(Default)]
struct Decoder {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl Decoder {
    /// The plain bytes; `None` when anything is wrong with them, which is then found out by another way.
    fn decode<'d>(
        &'d mut self,
        run: &Run,
        found: &Found,
        sealed: &'d mut [u8],
    ) -> Option<&'d [u8]> {
        let open: &[u8] = run.repo.key().open_slice(sealed).ok()?;
        let plain = match found.blob.plain.map(|length| length as usize) {
            None => open,
            Some(length) if length <= KEPT => self.unpack(open, length)?,
            Some(_) => return None,
        };
        (BlobId::of(plain) == found.blob.id).then_some(plain)
    }

    fn unpack(&mut self, frame: &[u8], length: usize) -> Option<&[u8]> {
        if self.zstd.is_none() {
            self.zstd = Some(zstd::bulk::Decompressor::new().ok()?);
        }
        self.plain.clear();
        self.plain.reserve(length);
        let count = self.zstd.as_mut()?.decompress_to_buffer(frame, &mut self.plain).ok()?;
        (count == length).then_some(self.plain.as_slice())
    }
}
