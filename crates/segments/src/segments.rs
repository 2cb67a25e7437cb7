//! Appending, syncing, reading and removing: the segments of a store.
//!
//! One file is current and takes appends; full ones are retired, synced with the next `sync`, and then sealed. A
//! store that is opened again never appends to an old file.
//!
//! Opening heals: a file without a seal was open when the store stopped. The kernel may show bytes of it that a
//! failed sync never put on disk, so it is copied, synced and sealed before anyone builds on it. On a disk without room
//! for the copy it is synced where it is and read again from the disk; its seal follows with the next sync.
//!
//! Safe because there is one writer of the tail (a lock), a failed append retires its file at the last sound
//! length, a failed sync ends all writing, and every byte read is verified before it is given out.

mod read;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::frame::{self, SEAL};
use crate::{Encoded, ExtentId, Frames, Owner, SegmentFiles, SegmentId, SegmentsError, Stored};

/// How segments are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Largest length of a segment file in bytes, at least 256 KiB, at most 1 GiB. Default 64 MiB.
    pub segment_bytes: u64,
    /// The next segment's id is at least this; for callers who remember ids of removed segments. Default 1.
    pub first_id: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, first_id: 1 }
    }
}

/// A segment and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The segment.
    pub id: SegmentId,
    /// Length of its file in bytes.
    pub bytes: u64,
}

/// The segments of a store. Share it with an `Arc`; every method takes `&self`.
pub struct Segments {
    files: Arc<dyn SegmentFiles>,
    segment_bytes: u64,
    tail: Mutex<Tail>,
    /// Held while syncing, so that a sync that returns has waited for those before it.
    syncing: Mutex<()>,
    poisoned: AtomicBool,
}

/// What is being written.
struct Tail {
    next: u64,
    current: Option<SegmentInfo>,
    /// Whether the current file holds bytes that no sync has covered.
    dirty: bool,
    /// Files that take no more appends and wait for their sync, with the length of their sound frames.
    retired: BTreeMap<SegmentId, u64>,
}

impl Segments {
    /// Opens the segments in `files` and heals those that were open when the store stopped.
    ///
    /// # Errors
    /// [`SegmentsError::Io`] when files cannot be listed, read or rewritten.
    pub fn open(files: Arc<dyn SegmentFiles>, options: Options) -> Result<Self, SegmentsError> {
        let mut ids = list_ids(&*files)?;
        let newest = ids.last().map_or(0, |id| id.0);
        let mut crowded = Vec::new();
        while let Some(id) = ids.pop() {
            if seal_of(&*files, id)?.is_some() {
                break;
            }
            crowded.extend(heal(&files, id)?);
        }
        let tail = Tail {
            next: newest.saturating_add(1).max(options.first_id).max(1),
            current: None,
            dirty: false,
            retired: crowded.iter().map(|file| (file.id, file.sound)).collect(),
        };
        let segments = Self {
            files,
            segment_bytes: options.segment_bytes.clamp(256 << 10, 1 << 30),
            tail: Mutex::new(tail),
            syncing: Mutex::new(()),
            poisoned: AtomicBool::new(false),
        };
        crowded.into_iter().try_for_each(|file| segments.settle(file))?;
        Ok(segments)
    }

    /// Makes a file durable as it is, and refuses it when the disk does not hold what memory showed.
    fn settle(&self, file: Crowded) -> Result<(), SegmentsError> {
        let before = self.unreadable(file.id)?;
        let settled = self.files.settle(file.id).is_ok()
            && sound_bytes(&self.files, file.id)? == file.sound
            && self.unreadable(file.id)? == before;
        if settled { Ok(()) } else { Err(SegmentsError::io("rewrite", file.id, file.error)) }
    }

    /// The extents of a segment whose bytes are damaged.
    fn unreadable(&self, segment: SegmentId) -> Result<Vec<ExtentId>, SegmentsError> {
        let mut found = Vec::new();
        for frame in self.frames(segment)? {
            let frame = frame?;
            if self.payload(frame.extent, &frame.stored).is_err() {
                found.push(frame.extent);
            }
        }
        Ok(found)
    }

    /// Appends frames, one after the other, in as few writes as segments allow. Durable after [`Segments::sync`].
    /// Gives what to keep per extent, in the same order.
    ///
    /// # Errors
    /// [`SegmentsError::Poisoned`] after a failed sync; [`SegmentsError::Io`] when the disk refuses. Then
    /// none of the extents may be used; later appends go to a new segment.
    pub fn append(&self, frames: &[Encoded]) -> Result<Vec<Stored>, SegmentsError> {
        let mut stored = Vec::with_capacity(frames.len());
        let mut rest = frames;
        let mut tail = self.tail.lock();
        while !rest.is_empty() {
            self.refuse_if_poisoned()?;
            let at = self.room(&mut tail, rest)?;
            let count = fitting(rest, self.segment_bytes.saturating_sub(at.bytes));
            let (now, later) = rest.split_at(count.min(rest.len()));
            self.write(&mut tail, at, now, &mut stored)?;
            rest = later;
        }
        Ok(stored)
    }

    /// The current segment with room for at least the first of `frames`; a new one when needed.
    fn room(&self, tail: &mut Tail, frames: &[Encoded]) -> Result<SegmentInfo, SegmentsError> {
        let needs = frames.first().map_or(0, |frame| u64::from(frame.frame_bytes()));
        match tail.current {
            Some(current) if current.bytes + needs <= self.segment_bytes => Ok(current),
            _ => {
                tail.retire();
                let id = SegmentId(tail.next);
                tail.next += 1;
                self.files.create(id).map_err(|e| SegmentsError::io("create", id, e))?;
                let current = SegmentInfo { id, bytes: 0 };
                tail.current = Some(current);
                tail.dirty = true;
                Ok(current)
            }
        }
    }

    /// Writes frames at the end of the current segment.
    fn write(
        &self,
        tail: &mut Tail,
        at: SegmentInfo,
        frames: &[Encoded],
        stored: &mut Vec<Stored>,
    ) -> Result<(), SegmentsError> {
        let mut end = at.bytes;
        let mut headers = Vec::with_capacity(frames.len());
        for frame in frames {
            let (header, kept) = frame.placed(at.id, end as u32);
            headers.push(header);
            stored.push(kept);
            end += u64::from(frame.frame_bytes());
        }
        let mut parts: Vec<&[u8]> = Vec::with_capacity(frames.len() * 3);
        for (header, frame) in headers.iter().zip(frames) {
            parts.push(header);
            parts.extend(frame.body());
        }
        tail.dirty = true;
        if let Err(error) = self.files.write_at(at.id, at.bytes, &parts) {
            tail.retire();
            return Err(SegmentsError::io("write", at.id, error));
        }
        tail.current = Some(SegmentInfo { id: at.id, bytes: end });
        Ok(())
    }

    /// Makes everything durable whose append returned before this call.
    ///
    /// # Errors
    /// [`SegmentsError::Poisoned`] after an earlier failure. Any other error poisons: nothing more is accepted.
    pub fn sync(&self) -> Result<(), SegmentsError> {
        let _turn = self.syncing.lock();
        self.refuse_if_poisoned()?;
        let (retired, current) = {
            let mut tail = self.tail.lock();
            let current = tail.current.filter(|_| std::mem::take(&mut tail.dirty));
            (tail.retired.clone(), current.map(|current| current.id))
        };
        for &id in retired.keys().chain(&current) {
            self.sync_one(id)?;
        }
        for (&id, &sound) in &retired {
            self.seal(id, sound);
            self.tail.lock().retired.remove(&id);
        }
        Ok(())
    }

    /// Syncs one file; one that was removed meanwhile needs none.
    fn sync_one(&self, id: SegmentId) -> Result<(), SegmentsError> {
        match self.files.sync(id) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                self.poisoned.store(true, Ordering::SeqCst);
                Err(SegmentsError::io("sync", id, e))
            }
            _ => Ok(()),
        }
    }

    /// Notes at the end of a synced file that it was synced. Without the note the next opening does more work.
    fn seal(&self, id: SegmentId, sound: u64) {
        if let Ok(end) = self.files.len(id) {
            let _ = self.files.write_at(id, end, &[&frame::seal(id, sound)]);
        }
    }

    /// Syncs and seals everything, so that the next opening has nothing to heal. Appending may go on, to a
    /// new segment.
    ///
    /// # Errors
    /// As for [`Segments::sync`].
    pub fn close(&self) -> Result<(), SegmentsError> {
        self.seal_current();
        self.sync()
    }

    /// The segment that takes appends, if there is one.
    #[must_use]
    pub fn current(&self) -> Option<SegmentInfo> {
        self.tail.lock().current
    }

    /// Ends the current segment: the next append begins a new one. Gives the ended one.
    pub fn seal_current(&self) -> Option<SegmentId> {
        let mut tail = self.tail.lock();
        let ended = tail.current.map(|current| current.id);
        tail.retire();
        ended
    }

    /// All segments with their sizes, by id.
    ///
    /// # Errors
    /// [`SegmentsError::Io`] when they cannot be listed.
    pub fn list(&self) -> Result<Vec<SegmentInfo>, SegmentsError> {
        let mut found = Vec::new();
        for id in list_ids(&*self.files)? {
            match self.files.len(id) {
                Ok(bytes) => found.push(SegmentInfo { id, bytes }),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(SegmentsError::io("list", id, e)),
            }
        }
        Ok(found)
    }

    /// Removes a segment. The caller knows that no extent in it is needed by anyone who starts to read
    /// now; who has begun may finish or gets [`SegmentsError::Gone`].
    ///
    /// # Errors
    /// [`SegmentsError::Refused`] for the current segment, [`SegmentsError::Gone`] when there is none.
    pub fn remove(&self, segment: SegmentId) -> Result<(), SegmentsError> {
        let mut tail = self.tail.lock();
        if tail.current.is_some_and(|current| current.id == segment) {
            return Err(SegmentsError::Refused { what: "its segment still takes appends" });
        }
        self.files.remove(segment).map_err(|e| SegmentsError::io("remove", segment, e))?;
        tail.retired.remove(&segment);
        Ok(())
    }

    /// The frames of a segment in order. In the current segment: those appended before this call.
    ///
    /// # Errors
    /// [`SegmentsError::Gone`] when it does not exist, [`SegmentsError::Io`] when it cannot be read.
    pub fn frames(&self, segment: SegmentId) -> Result<Frames, SegmentsError> {
        let known = {
            let tail = self.tail.lock();
            let current = tail.current.filter(|current| current.id == segment);
            current.map(|c| c.bytes).or_else(|| tail.retired.get(&segment).copied())
        };
        let sealed = || seal_of(&*self.files, segment);
        let sound = known.map_or_else(sealed, |sound| Ok(Some(sound)))?;
        Frames::new(Arc::clone(&self.files), segment, sound)
    }

    /// A frame with the same payload and other owners, made without unpacking: for moving an extent to another
    /// segment, or an inline one into a segment.
    ///
    /// # Errors
    /// As for [`Segments::read`].
    pub fn reframe(
        &self,
        extent: ExtentId,
        stored: &Stored,
        owners: &[Owner],
    ) -> Result<Encoded, SegmentsError> {
        let payload = self.payload(extent, stored)?;
        if owners.len() > crate::OWNERS_MAX {
            return Err(SegmentsError::Refused { what: "it has more than 256 owners" });
        }
        let sums = stored.sums.clone();
        Ok(Encoded::new(extent, stored.codec, stored.present, owners, sums, payload))
    }

    fn refuse_if_poisoned(&self) -> Result<(), SegmentsError> {
        let poisoned = self.poisoned.load(Ordering::SeqCst);
        if poisoned { Err(SegmentsError::Poisoned) } else { Ok(()) }
    }
}

impl Tail {
    /// Ends the current file at its sound length.
    fn retire(&mut self) {
        if let Some(current) = self.current.take() {
            self.retired.insert(current.id, current.bytes);
        }
        self.dirty = false;
    }
}

/// How many frames fit into `room` bytes; at least one.
fn fitting(frames: &[Encoded], room: u64) -> usize {
    let mut sum = 0;
    let fits = |frame: &&Encoded| {
        sum += u64::from(frame.frame_bytes());
        sum <= room
    };
    frames.iter().take_while(fits).count().max(1)
}

/// All ids, ascending.
fn list_ids(files: &dyn SegmentFiles) -> Result<Vec<SegmentId>, SegmentsError> {
    let mut ids = files.list().map_err(|e| SegmentsError::io("list", SegmentId(0), e))?;
    ids.sort_unstable();
    Ok(ids)
}

/// The sound length that a file's seal names; `None` when it has no seal.
fn seal_of(files: &dyn SegmentFiles, id: SegmentId) -> Result<Option<u64>, SegmentsError> {
    let read = |e| SegmentsError::io("read", id, e);
    let len = files.len(id).map_err(read)?;
    let Some(at) = len.checked_sub(SEAL as u64) else { return Ok(None) };
    let mut bytes = [0; SEAL];
    files.read_at(id, at, &mut bytes).map_err(read)?;
    Ok(frame::parse_seal(&bytes, id).filter(|&sound| sound <= at))
}

/// A file that was open when the store stopped, and for whose copy the disk has no room.
struct Crowded {
    id: SegmentId,
    sound: u64,
    error: std::io::Error,
}

/// Copies, syncs and seals a file that was open when the store stopped. Answers it when the disk has no room for the copy.
fn heal(files: &Arc<dyn SegmentFiles>, id: SegmentId) -> Result<Option<Crowded>, SegmentsError> {
    let sound = sound_bytes(files, id)?;
    match files.rewrite(id, &frame::seal(id, sound)) {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Ok(Some(Crowded { id, sound, error }))
        }
        Err(error) => Err(SegmentsError::io("rewrite", id, error)),
    }
}

/// Where the frames of a file without a seal end, each verified.
fn sound_bytes(files: &Arc<dyn SegmentFiles>, id: SegmentId) -> Result<u64, SegmentsError> {
    let mut sound = 0;
    for frame in Frames::new(Arc::clone(files), id, None)? {
        let frame = frame?;
        sound = frame.offset + u64::from(frame.frame_bytes);
    }
    Ok(sound)
}
