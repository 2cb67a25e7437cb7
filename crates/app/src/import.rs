//! Images into disks: a new disk from a whole image, and an existing one to where a delta leads.
//!
//! Nothing half stands under a name. A new disk is marked until the image has ended well, and nobody can use it before. A delta goes into
//! a line of its own, a writable snapshot that is marked too; the disk becomes that line in one commit. What is left marked by a crash goes
//! when the store is opened.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tintype_disk::{Blocks, Disk, DiskError};
use tintype_image::{Head, ImageError, Sink, Source, Uuid, is_zero};
use tintype_model::{AccessPoint, SnapshotMeta, SnapshotName, VolumeKind, VolumeMeta};
use tintype_store::{LineRef, NewSnapshot, NewVolume, Snapshot, Store, Volume};

use crate::convert::{disk_error, random, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{Change, DiskImport, DiskImported};

const BLOCK: usize = tintype_store::BLOCK;
/// A disk whose size shows only at the end grows in these steps.
const GROW: u64 = 1 << 30;

impl App {
    /// Reads an image. A whole one becomes a new disk; a delta leads the disk of that name on, when it stands where the delta begins.
    pub fn disk_import(
        &self,
        wish: &DiskImport,
        source: &mut dyn Source,
    ) -> AppResult<DiskImported> {
        let mut import =
            Import { app: self, wish, target: None, head: None, written: 0, failure: None };
        let read = tintype_image::read(source, wish.format, &mut import);
        let Import { target, head, written, failure, .. } = import;
        let ended = match (read, failure) {
            (_, Some(error)) => Err(error),
            (Err(error), None) => {
                Err(image_error(&format!("image for disk {}", wish.name), &error))
            }
            (Ok(format), None) => Ok(format),
        };
        let Some(target) = target else { return Err(ended.err().unwrap_or_else(no_target)) };
        let format = ended.and_then(|format| target.finish(self, wish).map(|()| format));
        let format = format.inspect_err(|_| target.remove(self))?;
        let head = head.as_ref();
        let delta = head.is_some_and(|head| head.parent.is_some());
        let change = if delta { Change::Updated } else { Change::Created };
        self.volume_event(VolumeKind::Disk, change, &wish.name);
        Ok(DiskImported {
            disk: self.disk_show(&wish.name)?,
            format: head.map_or(format, |head| head.format).to_string(),
            base: head.and_then(|head| head.parent.as_ref()).map(|parent| parent.uuid.to_string()),
            written_bytes: written,
        })
    }
}

fn no_target() -> AppError {
    AppError::invalid("image", "holds no disk", "Check the file.")
}

/// What crashes left of imports.
pub(crate) fn remove_halves(store: &Store) {
    for volume in store.volumes().into_iter().filter(|volume| volume.meta.importing) {
        tracing::warn!(disk = %volume.meta.name, "an import did not end; its half disk is removed");
        if let Err(error) = store.delete_volume(volume.id, true) {
            tracing::error!(%error, disk = %volume.meta.name, "a half disk cannot be removed");
        }
    }
    let halves = store.snapshots(None).into_iter().filter(|snapshot| snapshot.meta.importing);
    let halves: Vec<_> = halves.map(|snapshot| snapshot.id).collect();
    if !halves.is_empty()
        && let Err(error) = store.delete_snapshots(&halves)
    {
        tracing::error!(%error, "half imported deltas cannot be removed");
    }
}

/// An error of an image, about `object`.
pub(crate) fn image_error(object: &str, error: &ImageError) -> AppError {
    let kind = match error {
        ImageError::Read(_) | ImageError::Write(_) => ErrorKind::Unavailable,
        ImageError::Content(_) | ImageError::Sink(_) => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    };
    AppError::new(kind, object, error.to_string(), error.remedy())
}

/// What an image is read into.
enum Target {
    /// A new disk.
    New { volume: Volume, disk: Arc<Disk> },
    /// A line beside the live one.
    Beside {
        volume: Volume,
        snapshot: Arc<Snapshot>,
        disk: Arc<Disk>,
        live: Arc<Disk>,
        generation: u64,
    },
}

impl Target {
    fn disk(&self) -> &Disk {
        match self {
            Self::New { disk, .. } | Self::Beside { disk, .. } => disk,
        }
    }

    /// Everything has come: from now on it has its name.
    fn finish(&self, app: &App, wish: &DiskImport) -> AppResult<()> {
        let object = format!("disk {}", wish.name);
        let fail = |e| store_error(&object, &e);
        match self {
            Self::New { volume, .. } => {
                app.store()?
                    .update_volume(volume.id, &mut |meta| meta.importing = false)
                    .map_err(fail)?;
            }
            Self::Beside { volume, snapshot, live, generation, .. } => {
                let _one_change = app.admin.lock();
                // What is written from here on waits, and comes upon the result; else it would be in the line that is given up.
                let Some(hold) = live.hold_at(*generation) else {
                    return Err(AppError::new(
                        ErrorKind::Busy,
                        object,
                        "was written to while the delta was read",
                        "Stop who writes to it (see `tintype disk show`), and import again.",
                    ));
                };
                app.store()?.restore(volume.id, snapshot.id, None).map_err(fail)?;
                drop(hold);
                self.remove(app);
            }
        }
        Ok(())
    }

    /// Takes away what nobody needs: a half disk, or the line beside the live one.
    fn remove(&self, app: &App) {
        let removed = match self {
            Self::New { volume, .. } => {
                app.forget_line(LineRef::Volume(volume.id)).and_then(|()| {
                    let store = app.store()?;
                    store.delete_volume(volume.id, true).map_err(|e| store_error("half disk", &e))
                })
            }
            Self::Beside { snapshot, .. } => {
                app.forget_line(LineRef::Snapshot(snapshot.id)).and_then(|()| {
                    let store = app.store()?;
                    store
                        .delete_snapshots(&[snapshot.id])
                        .map_err(|e| store_error("half delta", &e))
                })
            }
        };
        if let Err(error) = removed {
            tracing::error!(%error, "what an import left cannot be removed before the store is opened again");
        }
    }
}

/// An import on its way.
struct Import<'a> {
    app: &'a App,
    wish: &'a DiskImport,
    target: Option<Target>,
    head: Option<Head>,
    written: u64,
    /// Why the sink refused; the reader knows only that it did.
    failure: Option<AppError>,
}

impl Import<'_> {
    /// Runs something that may fail as the app fails.
    fn attempt(&mut self, what: impl FnOnce(&mut Self) -> AppResult<()>) -> io::Result<()> {
        what(self).map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            io::Error::other(text)
        })
    }

    fn object(&self) -> String {
        format!("disk {}", self.wish.name)
    }

    /// A disk that is marked.
    fn new_disk(&self, head: &Head) -> AppResult<Target> {
        let _one_change = self.app.admin.lock();
        self.app.refuse_taken(&self.wish.name)?;
        let mut meta = VolumeMeta::new(self.wish.name.clone(), VolumeKind::Disk, Timestamp::now());
        meta.capacity = self.wish.capacity;
        meta.compression = self.wish.compression;
        meta.importing = true;
        let object = self.object();
        let store = self.app.store()?;
        let volume =
            store.create_volume(NewVolume { meta }).map_err(|e| store_error(&object, &e))?;
        let line = LineRef::Volume(volume.id);
        let made = tintype_disk::create(&store, line, head.size.unwrap_or(GROW))
            .map_err(|e| disk_error(&object, &e))
            .and_then(|()| self.app.open_line(line, &object));
        match made {
            Ok(disk) => Ok(Target::New { volume, disk }),
            Err(error) => {
                drop(store.delete_volume(volume.id, true));
                Err(error)
            }
        }
    }

    /// A line that begins where the disk stands.
    fn beside(&self, parent: Uuid) -> AppResult<Target> {
        let _one_change = self.app.admin.lock();
        let volume = self.app.disk(&self.wish.name).map_err(|error| match error.kind {
            ErrorKind::NotFound => AppError::new(
                ErrorKind::NotFound,
                self.object(),
                format!(
                    "does not exist, and the image holds only what differs from image {parent}"
                ),
                format!("Import image {parent} first, under this name."),
            ),
            _ => error,
        })?;
        let live = self.app.live_disk(&volume)?;
        let generation = live.generation();
        if live.image() != Some(parent.0) && !self.wish.force {
            return Err(self.not_at_base(parent, live.image().map(Uuid)));
        }
        let store = self.app.store()?;
        let object = self.object();
        let snapshot = store
            .create_snapshot(volume.id, beside_meta()?)
            .map_err(|e| store_error(&object, &e))?;
        match self.app.open_line(LineRef::Snapshot(snapshot.id), &object) {
            Ok(disk) => Ok(Target::Beside { volume, snapshot, disk, live, generation }),
            Err(error) => {
                drop(store.delete_snapshots(&[snapshot.id]));
                Err(error)
            }
        }
    }

    fn not_at_base(&self, parent: Uuid, at: Option<Uuid>) -> AppError {
        let at = at.map_or_else(
            || "holds no image any more: it was written to, or never was imported".to_owned(),
            |at| format!("holds image {at}"),
        );
        AppError::new(
            ErrorKind::Busy,
            self.object(),
            format!("{at}; the delta goes upon image {parent}"),
            format!(
                "Import or restore image {parent} first; if the disk is right all the same, use --force."
            ),
        )
    }

    /// Room for bytes of a disk whose size is not known yet.
    fn grow(&self, disk: &Disk, end: u64) -> Result<(), DiskError> {
        let unknown = self.head.as_ref().is_some_and(|head| head.size.is_none());
        if unknown && end > disk.size() { disk.resize(end.next_multiple_of(GROW)) } else { Ok(()) }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> AppResult<()> {
        let Some(target) = &self.target else { return Err(no_target()) };
        let disk = target.disk();
        let written = match target {
            Target::New { .. } => self
                .grow(disk, offset.saturating_add(bytes.len() as u64).next_multiple_of(512))
                .and_then(|()| write_data(disk, offset, bytes)),
            Target::Beside { .. } => write_difference(disk, offset, bytes),
        };
        self.written += written.map_err(|e| disk_error(&self.object(), &e))?;
        Ok(())
    }

    fn close(&self, size: u64) -> AppResult<()> {
        let Some(target) = &self.target else { return Err(no_target()) };
        let disk = target.disk();
        let uuid = self.head.as_ref().and_then(|head| head.uuid);
        let done = if disk.size() == size { Ok(()) } else { disk.resize(size) };
        let done = done.and_then(|()| {
            if let Some(uuid) = uuid {
                disk.set_image(uuid.0);
            }
            disk.flush()
        });
        done.map_err(|e| disk_error(&self.object(), &e))
    }
}

fn beside_meta() -> AppResult<NewSnapshot> {
    let now = Timestamp::now();
    let name = SnapshotName::new(format!("import-{:016x}", u64::from_be_bytes(random()?)))?;
    let mut meta = SnapshotMeta::new(name.clone(), AccessPoint::from(name), now);
    meta.description = "a delta that is being imported".to_owned();
    meta.importing = true;
    Ok(NewSnapshot { meta, unique_access_point: false, source: None, writable: true })
}

impl Sink for Import<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        self.attempt(|import| {
            import.head = Some(head.clone());
            let target = match &head.parent {
                None => import.new_disk(head)?,
                Some(parent) => import.beside(parent.uuid)?,
            };
            if let (Target::Beside { disk, .. }, Some(size)) = (&target, head.size)
                && disk.size() != size
            {
                let resized = disk.resize(size);
                import.target = Some(target);
                return resized.map_err(|e| disk_error(&import.object(), &e));
            }
            import.target = Some(target);
            Ok(())
        })
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.attempt(|import| import.write(offset, bytes))
    }

    fn zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.attempt(|import| match &import.target {
            Some(Target::Beside { disk, .. }) => disk
                .write_zeroes(offset, length, false)
                .map_err(|e| disk_error(&import.object(), &e)),
            _ => Ok(()),
        })
    }

    fn end(&mut self, size: u64) -> io::Result<()> {
        self.attempt(|import| import.close(size))
    }
}

/// Lengths of the pieces of `bytes` that lie in one block of the disk each.
fn blocks(offset: u64, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = (BLOCK - (offset % BLOCK as u64) as usize).min(bytes.len());
    let (first, rest) = bytes.split_at(first);
    std::iter::once(first).filter(|first| !first.is_empty()).chain(rest.chunks(BLOCK))
}

/// Writes the runs of blocks for which `wanted` says so; answers how many bytes.
fn write_runs(
    disk: &Disk,
    offset: u64,
    bytes: &[u8],
    mut wanted: impl FnMut(usize, &[u8]) -> bool,
) -> Result<u64, DiskError> {
    let (mut from, mut at, mut written) = (0, 0, 0);
    let mut write = |from: usize, to: usize| {
        let part = bytes.get(from..to).unwrap_or(&[]);
        written += part.len() as u64;
        if part.is_empty() { Ok(()) } else { disk.write_at(offset + from as u64, part) }
    };
    for block in blocks(offset, bytes) {
        let next = at + block.len();
        if !wanted(at, block) {
            write(from, at)?;
            from = next;
        }
        at = next;
    }
    write(from, at)?;
    Ok(written)
}

/// Into a new disk: what is zero stays a hole.
fn write_data(disk: &Disk, offset: u64, bytes: &[u8]) -> Result<u64, DiskError> {
    write_runs(disk, offset, bytes, |_, block| !is_zero(block))
}

/// Over what is there: only blocks that differ, so that the rest stays shared; what became zero becomes a hole.
fn write_difference(disk: &Disk, offset: u64, bytes: &[u8]) -> Result<u64, DiskError> {
    let mut old = vec![0; bytes.len()];
    disk.read_at(offset, &mut old)?;
    let mut zeroed = Vec::new();
    let written = write_runs(disk, offset, bytes, |at, block| {
        let same = old.get(at..at + block.len()) == Some(block);
        if !same && is_zero(block) {
            zeroed.push((at, block.len()));
            return false;
        }
        !same
    })?;
    for (at, length) in zeroed {
        disk.write_zeroes(offset + at as u64, length as u64, false)?;
    }
    Ok(written)
}
