//! What can go wrong with segments, as situations a caller can act on.
//!
//! The port speaks `std::io::Error`; here such errors get the name of the segment and the deed.

use std::io;

use crate::{ExtentId, SegmentId};

/// A failure of the segments.
#[derive(Debug, thiserror::Error)]
pub enum SegmentsError {
    /// Bytes in a segment are not what was written.
    #[error(
        "segment {segment} is damaged at byte {offset} (extent {extent}): {what}; restore it from a copy or a snapshot elsewhere"
    )]
    Damaged {
        /// The segment.
        segment: SegmentId,
        /// Where the bad piece starts in the segment file, in bytes.
        offset: u64,
        /// The extent that was read; 0 when it is unknown because its header is bad.
        extent: ExtentId,
        /// What does not fit.
        what: &'static str,
    },
    /// Bytes carried in a record are not what was written.
    #[error(
        "extent {extent} is damaged in its record: {what}; restore it from a copy or a snapshot elsewhere"
    )]
    DamagedInline {
        /// The extent that was read.
        extent: ExtentId,
        /// What does not fit.
        what: &'static str,
    },
    /// A record that says where an extent lies cannot be understood.
    #[error("the record of an extent's place is damaged: {what}; check the records of the store")]
    BadRecord {
        /// What does not fit.
        what: &'static str,
    },
    /// The segment does not exist (any more): the extent may have moved, so look up its place again.
    #[error("segment {segment} does not exist; its extents have moved or were freed")]
    Gone {
        /// The segment.
        segment: SegmentId,
    },
    /// The extent has no such block.
    #[error("extent {extent} holds no block {index}; its block map is wrong")]
    NotPresent {
        /// The extent.
        extent: ExtentId,
        /// The first block index that is missing.
        index: u8,
    },
    /// The caller asked for something that cannot be.
    #[error("cannot store or read the extent: {what}")]
    Refused {
        /// What is wrong with the request.
        what: &'static str,
    },
    /// An earlier sync failed, so nothing more is accepted.
    #[error(
        "an earlier sync of the segments failed; open the store again after repairing the disk"
    )]
    Poisoned,
    /// The operating system refused an operation.
    #[error("cannot {doing} segment {segment}: {source}; check the disk and its free space")]
    Io {
        /// What was being done: "create", "write", "read", "sync", "remove", "list".
        doing: &'static str,
        /// The segment (0 for the list of all).
        segment: SegmentId,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl SegmentsError {
    /// Gives an error of the port its name.
    pub(crate) fn io(doing: &'static str, segment: SegmentId, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Gone { segment },
            _ => Self::Io { doing, segment, source },
        }
    }
}
