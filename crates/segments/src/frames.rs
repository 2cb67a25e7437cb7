//! Walking the frames of a segment, for cleaning, scrubbing and rescue.
//!
//! Headers and meta are verified; payloads are not read (read each extent for that). The walk ends at the end of
//! the sound part when that is known (current and sealed files), and otherwise at the first thing that is no frame: the
//! torn or unwritten tail. Within the sound part a bad header is reported once, and the walk goes on at the
//! next sound frame.

use std::io;
use std::sync::Arc;

use crate::frame::{HEADER, Header, META_MAX};
use crate::{ExtentId, Owner, SegmentFiles, SegmentId, SegmentsError, Stored};

/// Bytes searched at a time for the next sound frame.
const SEARCH: u64 = 1 << 20;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// The extent.
    pub extent: ExtentId,
    /// Offset of the frame in the segment file, in bytes.
    pub offset: u64,
    /// Length of the frame in bytes.
    pub frame_bytes: u32,
    /// What to read the extent with.
    pub stored: Stored,
    /// Who wrote which part.
    pub owners: Vec<Owner>,
}

/// The frames of a segment in order.
pub struct Frames {
    files: Arc<dyn SegmentFiles>,
    segment: SegmentId,
    at: u64,
    end: u64,
    /// Whether everything before `end` is known to be sound frames.
    known: bool,
}

impl Frames {
    /// From the start of `segment`; `sound` is the length of the sound part when that is known.
    pub(crate) fn new(
        files: Arc<dyn SegmentFiles>,
        segment: SegmentId,
        sound: Option<u64>,
    ) -> Result<Self, SegmentsError> {
        let len = files.len(segment).map_err(|e| SegmentsError::io("read", segment, e))?;
        let end = sound.unwrap_or(len);
        Ok(Self { files, segment, at: 0, end, known: sound.is_some() })
    }

    /// Up to `len` bytes at `offset`, not beyond the end.
    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, SegmentsError> {
        let len = len.min(self.end.saturating_sub(offset));
        let mut out = vec![0; len as usize];
        match self.files.read_at(self.segment, offset, &mut out) {
            Ok(()) => Ok(out),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(e) => Err(SegmentsError::io("read", self.segment, e)),
        }
    }

    /// The frame at `offset`; `None` when there is no sound one.
    fn frame(&self, offset: u64) -> Result<Option<FrameInfo>, SegmentsError> {
        let first = self.bytes(offset, HEADER as u64 + 256)?;
        let Some(header) = Header::parse(&first, self.segment, offset) else { return Ok(None) };
        if offset + header.frame_bytes() > self.end {
            return Ok(None);
        }
        let meta_end = HEADER + header.meta_len as usize;
        let all = if first.len() < meta_end { self.bytes(offset, meta_end as u64)? } else { first };
        Ok(all.get(HEADER..meta_end).and_then(|meta| header.open(meta)).map(|(stored, owners)| {
            let frame_bytes = stored.frame_bytes;
            FrameInfo { extent: header.extent, offset, frame_bytes, stored, owners }
        }))
    }

    /// The offset of the next sound frame after `offset`, or the end.
    fn search(&self, offset: u64) -> Result<u64, SegmentsError> {
        let mut from = offset + 1;
        while from < self.end {
            let bytes = self.bytes(from, SEARCH + (HEADER + META_MAX) as u64)?;
            for (at, window) in bytes.windows(4).take(SEARCH as usize).enumerate() {
                if window == b"TTFR" && self.frame(from + at as u64)?.is_some() {
                    return Ok(from + at as u64);
                }
            }
            from += SEARCH;
        }
        Ok(self.end)
    }

    /// Reports the damage at the current place and moves on to the next sound frame.
    fn skip_damage(&mut self) -> SegmentsError {
        let offset = self.at;
        match self.search(offset) {
            Ok(next) => self.at = next,
            Err(error) => {
                self.at = self.end;
                return error;
            }
        }
        let what = "the header of a frame is not what was written";
        SegmentsError::Damaged { segment: self.segment, offset, extent: ExtentId(0), what }
    }
}

impl Iterator for Frames {
    type Item = Result<FrameInfo, SegmentsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        match self.frame(self.at) {
            Ok(Some(frame)) => {
                self.at += u64::from(frame.frame_bytes);
                Some(Ok(frame))
            }
            Ok(None) if self.known => Some(Err(self.skip_damage())),
            Ok(None) => {
                self.at = self.end;
                None
            }
            Err(error) => {
                self.at = self.end;
                Some(Err(error))
            }
        }
    }
}
