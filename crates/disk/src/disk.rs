//! The writable end of a disk: opening, closing, reading, and what the lock guards.
//!
//! One lock orders all changes. Data moves outside of it. The store takes the same lock for the
//! instant in which it cuts a commit, so a commit holds each write whole or not at all.

use crate::error::{DiskError, Result};
use crate::extents::{self, Run};
use crate::head::{Head, check_size};
use crate::keys;
use crate::view::{Blocks, check_range, read};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tintype_store::content::TRIES;
use tintype_store::limits::{Limits, Live, SpaceProbe};
use tintype_store::patch::{Olds, Step};
use tintype_store::{
    BLOCK, LineOwner, LineRef, LiveLine, Moment, Piece, Record, Store, StoreError, blockmap,
};

/// A disk that can be written.
pub struct Disk {
    pub(crate) store: Arc<Store>,
    line: LineRef,
    pub(crate) limits: Limits,
    pub(crate) state: Mutex<State>,
    /// Rings when changes may go on.
    released: Condvar,
    gone: AtomicBool,
    changes: AtomicU64,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) line: LiveLine,
    pub(crate) head: Head,
    /// The head is newer than its record.
    pub(crate) head_dirty: bool,
    /// Bytes of its records, as the limits count them.
    records: u64,
    /// Changes wait.
    held: bool,
}

/// While it exists, changes of the disk wait.
#[must_use]
pub struct Hold<'d>(&'d Disk);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.state.lock().held = false;
        self.0.released.notify_all();
    }
}

/// The pieces of one span.
pub(crate) struct Map(Option<Arc<Record>>);

impl AsRef<[Piece]> for Map {
    fn as_ref(&self) -> &[Piece] {
        self.0.as_deref().map_or(&[], |record| &record.pieces)
    }
}

/// The block map of span `number` at a moment.
pub(crate) fn map(moment: &mut dyn Moment, number: u64) -> Result<Map> {
    Ok(Map(moment.get(keys::span(number))?))
}

/// About what the store counts for a map.
fn map_bytes(pieces: &[Piece]) -> u64 {
    if pieces.is_empty() { 0 } else { 36 + 8 * pieces.len() as u64 }
}

/// Makes a fresh volume a disk of `size` bytes; durable on return.
///
/// # Errors
/// No disk has this size, the volume does not exist or is one already, or the store failed.
pub fn create(store: &Arc<Store>, line: LineRef, size: u64) -> Result<()> {
    check_size(size)?;
    let fresh = |line: &mut LiveLine| match line.get(keys::HEAD)? {
        Some(_) => Err(StoreError::Exists { what: "a disk in this volume".to_owned() }.into()),
        None => Ok((Head { size, blocks: 0, image: None }, true)),
    };
    Disk::serve(store, line, fresh)?.close()
}

impl Disk {
    /// Opens a line that holds a disk. Each line is open once at a time.
    ///
    /// # Errors
    /// The line does not exist, is open already or holds no disk, or the store failed.
    pub fn open(store: &Arc<Store>, line: LineRef) -> Result<Arc<Self>> {
        Self::serve(store, line, |line| Ok((Head::read(line)?, false)))
    }

    /// `head` answers the head, and whether its record has to be written.
    fn serve(
        store: &Arc<Store>,
        line: LineRef,
        head: impl FnOnce(&mut LiveLine) -> Result<(Head, bool)>,
    ) -> Result<Arc<Self>> {
        let volume = match line {
            LineRef::Volume(volume) => Some(volume),
            LineRef::Snapshot(_) => None,
        };
        let limits = Limits::new(volume);
        let disk = store.serve(line, |mut fresh| {
            let (head, head_dirty) = head(&mut fresh)?;
            let records = limits.records_at_opening(store, head.blocks, 0);
            Ok::<_, DiskError>(Arc::new(Self {
                store: Arc::clone(store),
                line,
                limits,
                state: Mutex::new(State { line: fresh, head, head_dirty, records, held: false }),
                released: Condvar::new(),
                gone: AtomicBool::new(false),
                changes: AtomicU64::new(0),
            }))
        })?;
        disk.refresh_limits();
        Ok(disk)
    }

    /// Says how to ask for the room that the store has.
    pub fn set_space_probe(&self, probe: SpaceProbe) {
        self.limits.set_probe(probe);
    }

    /// The volume's settings changed.
    pub fn refresh_limits(&self) {
        let LineRef::Volume(volume) = self.line else { return };
        if let Some(volume) = self.store.volume_by_id(volume) {
            self.limits.set(volume.meta.quota, volume.meta.capacity);
        }
    }

    /// The line that it serves.
    #[must_use]
    pub const fn line(&self) -> LineRef {
        self.line
    }

    /// Bytes of blocks that the disk maps, reserved ones included, whoever shares them.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.state.lock().head.blocks.saturating_mul(BLOCK as u64)
    }

    /// The image whose content the disk holds, to the byte: nothing was written since it was imported.
    #[must_use]
    pub fn image(&self) -> Option<[u8; 16]> {
        self.state.lock().head.image
    }

    /// Remembers that the disk holds what this image does, until the next change; durable after the next [`Disk::flush`].
    pub fn set_image(&self, image: [u8; 16]) {
        let mut state = self.state.lock();
        (state.head.image, state.head_dirty) = (Some(image), true);
    }

    /// A number that grows whenever the content may have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Keeps the disk as it was when it had this generation: from now on changes wait. None when it has changed since, or is held already.
    ///
    /// Reads, commits and a restore of the line go on; a change that waited comes upon what is there then.
    pub fn hold_at(&self, generation: u64) -> Option<Hold<'_>> {
        let mut state = self.state.lock();
        // It is counted under the lock, so nothing is on its way that is not counted.
        if state.held || self.generation() != generation {
            return None;
        }
        state.held = true;
        Some(Hold(self))
    }

    /// Makes everything durable that was written before the call.
    ///
    /// # Errors
    /// The store failed, or there is no room for what was written.
    pub fn flush(&self) -> Result<()> {
        self.refuse_gone()?;
        Ok(self.store.sync()?)
    }

    /// Commits and lets the line go.
    ///
    /// # Errors
    /// The commit failed.
    pub fn close(&self) -> Result<()> {
        Ok(self.store.detach(self)?)
    }

    /// Lets the line go before it is deleted: whoever still holds the disk gets errors.
    ///
    /// # Errors
    /// The commit failed.
    pub fn retire(&self) -> Result<()> {
        self.gone.store(true, Ordering::Release);
        self.close()
    }

    /// Whether the line was deleted or let go.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Refuses work on a line that was deleted.
    pub(crate) fn refuse_gone(&self) -> Result<()> {
        if self.is_gone() { Err(DiskError::Gone) } else { Ok(()) }
    }

    /// Runs a change that may need old blocks.
    pub(crate) fn edit<T>(
        &self,
        mut f: impl FnMut(&mut State, &Olds) -> Result<Step<T>>,
    ) -> Result<T> {
        self.refuse_gone()?;
        self.store.admit(false)?;
        let mut olds = Olds::default();
        for _ in 0..TRIES {
            let (wanted, reader) = {
                let mut state = self.state.lock();
                self.released.wait_while(&mut state, |state| state.held);
                if state.line.has_ended() {
                    return Err(if self.is_gone() { DiskError::Gone } else { DiskError::Closed });
                }
                // Whatever it is from now on, it is no more what some image holds.
                state.head_dirty |= state.head.image.take().is_some();
                let step = f(&mut state, &olds);
                // Also a change that failed may have changed something.
                self.changes.fetch_add(1, Ordering::AcqRel);
                match step? {
                    Step::Done(value) => {
                        drop(state);
                        self.store.throttle();
                        return Ok(value);
                    }
                    Step::Read(wanted) => (wanted, state.line.blocks()),
                }
            };
            // What has to be read goes into new blocks.
            self.store.admit(true)?;
            olds.read(&reader, &wanted)?;
        }
        Err(StoreError::Moved(0).into())
    }
}

impl State {
    /// What the limits look at.
    pub(crate) const fn live(&self) -> Live {
        Live { blocks: self.head.blocks, records: self.records }
    }

    /// Replaces the map of a span and counts the difference.
    pub(crate) fn set_map(&mut self, number: u64, old: &[Piece], new: Vec<Piece>) {
        let (before, after) = (blockmap::total(old), blockmap::total(&new));
        let head = &mut self.head;
        head.blocks = head.blocks.saturating_add(after).saturating_sub(before);
        self.head_dirty |= before != after;
        let records = self.records.saturating_add(map_bytes(&new));
        self.records = records.saturating_sub(map_bytes(old));
        if new.is_empty() {
            self.line.delete(keys::span(number));
        } else {
            self.line.put(keys::span(number), Box::default(), new.into_boxed_slice());
        }
    }

    /// Whether a staged block can still be changed in place.
    pub(crate) fn is_open(&mut self, piece: &Piece) -> bool {
        self.line.modify(piece.extent, piece.first, 0, &[])
    }

    /// Whether a block holds data or is reserved.
    pub(crate) fn is_mapped(&mut self, block: u64) -> Result<bool> {
        let (span, at) = tintype_store::content::locate(block);
        Ok(blockmap::find(map(&mut self.line, span)?.as_ref(), at).is_some())
    }

    fn flush_head(&mut self) {
        if self.head_dirty {
            self.line.put(keys::HEAD, self.head.encode(), Box::default());
            self.head_dirty = false;
        }
    }
}

impl Blocks for Disk {
    fn size(&self) -> u64 {
        self.state.lock().head.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.refuse_gone()?;
        read(offset, buf, &mut |f| {
            let mut state = self.state.lock();
            let size = state.head.size;
            f(&mut state.line, size)
        })
    }

    fn extents(&self, offset: u64, length: u64, runs: usize) -> Result<Vec<Run>> {
        self.refuse_gone()?;
        let mut state = self.state.lock();
        check_range(state.head.size, offset, length)?;
        extents::runs(&mut state.line, offset, length, runs)
    }
}

impl LineOwner for Disk {
    fn with_line(&self, f: &mut dyn FnMut(&mut LiveLine)) {
        let mut state = self.state.lock();
        state.flush_head();
        let before = state.line.space();
        f(&mut state.line);
        if state.line.space() != before {
            // Nobody may see the new line with what was known of the old one.
            match Head::read(&mut state.line) {
                Ok(head) => (state.head, state.head_dirty) = (head, false),
                Err(error) => {
                    tracing::error!(%error, "the restored disk cannot be read");
                    self.gone.store(true, Ordering::Release);
                }
            }
            state.records = self.limits.records_at_opening(&self.store, state.head.blocks, 0);
        }
    }

    fn replaced(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
}
