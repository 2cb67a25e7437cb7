//! The port: what whoever has disks implements. The protocol calls it and knows nothing else of them.

use std::ops::Range;
use std::sync::Arc;

/// The exports that one listener shows.
///
/// A client reaches what `open` returns for the names that it sends, and nothing else.
pub trait Exports: Send + Sync {
    /// Everything that clients may see when they ask for a list.
    fn list(&self) -> Vec<Listed>;

    /// Opens an export; the empty name asks for the default one. Called for each connection, and also when a client
    /// only asks for information.
    fn open(&self, name: &str) -> Result<Export, Refusal>;
}

/// One line of the list of exports. Strings longer than 4,096 bytes cannot be sent and are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name that opens it.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
}

/// An open export.
#[derive(Clone)]
pub struct Export {
    /// Its canonical name, whatever the client called it.
    pub name: String,
    /// What [`crate::Server::close`] and [`crate::Server::clients`] know it by: a name may change while clients are
    /// connected, this does not.
    pub id: String,
    /// For people; may be empty.
    pub description: String,
    /// What it consists of.
    pub device: Arc<dyn Device>,
}

/// Why an export is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none with this name.
    #[error("there is no export of this name; list the exports to see their names")]
    Unknown,
    /// It may not be used by this client or not now.
    #[error("{reason}")]
    Denied {
        /// Shown to the client.
        reason: String,
    },
    /// The server is ending.
    #[error("the server is being stopped; try again later")]
    Ending,
}

/// The unchanging properties of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes; a multiple of `minimum_block`.
    pub size: u64,
    /// No command may change it.
    pub read_only: bool,
    /// Offsets and lengths are multiples of this: a power of two up to 65,536.
    pub minimum_block: u32,
    /// Requests of this alignment are the fast ones: a power of two, at least 512 and `minimum_block`.
    pub preferred_block: u32,
}

/// How zeroes are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zeroing {
    /// Room must stay allocated: later writes there may not fail for lack of it.
    pub no_hole: bool,
    /// Fail with [`DeviceError::NotSupported`], changing nothing, unless this is faster than writing zeroes.
    pub fast_only: bool,
}

/// What block status can be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Context {
    /// Allocated or not: [`Extent::HOLE`], [`Extent::ZERO`].
    Allocation,
    /// How many layers down the data lies; answered from [`Context::Allocation`], never asked of a device.
    Depth,
    /// Changed since that snapshot of the device or not: [`Extent::DIRTY`].
    ChangedSince(String),
}

/// A run of bytes with the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub length: u64,
    /// [`Extent::HOLE`], [`Extent::ZERO`] or [`Extent::DIRTY`], depending on the context.
    pub state: u32,
}

impl Extent {
    /// Nothing is allocated here; a write may fail for lack of room.
    pub const HOLE: u32 = 1;
    /// Reads as zeroes.
    pub const ZERO: u32 = 2;
    /// Changed.
    pub const DIRTY: u32 = 1;
}

/// A block device.
///
/// Called by several threads at once. Ranges lie within the size and are aligned to the minimum block, lengths are
/// not zero; only `read` and `write` have an upper bound, 32 MiB. All handles of one export are one device: what a
/// write, trim or zeroing that returned has done is seen by every later call on any of them.
pub trait Device: Send + Sync {
    /// Size and block sizes. The same for as long as the device is open.
    fn geometry(&self) -> Geometry;

    /// Whether size and block sizes are still those that it was opened with. Asked once more when [`crate::Server::close`]
    /// has begun to see the connection: what changed before that nobody would close.
    fn is_current(&self) -> bool {
        true
    }

    /// Fills all of `into`.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes all of `data`. It need not be durable.
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError>;

    /// Makes everything durable that had returned before, on any handle of the export.
    fn flush(&self) -> Result<(), DeviceError>;

    /// Makes the range read as zeroes. A device that has no better way answers [`DeviceError::NotSupported`]; without
    /// `fast_only` zeroes are then written.
    fn write_zeroes(&self, offset: u64, length: u64, how: Zeroing) -> Result<(), DeviceError> {
        let _ = (offset, length, how);
        Err(DeviceError::NotSupported)
    }

    /// Hears that the range is not needed any more; it may read as anything afterwards.
    fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let _ = (offset, length);
        Ok(())
    }

    /// Hears that the range will be read soon.
    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let _ = (offset, length);
        Ok(())
    }

    /// Names of snapshots that [`Context::ChangedSince`] takes, at most `max`, the most useful first.
    fn snapshots(&self, max: usize) -> Vec<String> {
        let _ = max;
        Vec::new()
    }

    /// Whether [`Context::ChangedSince`] takes this name.
    fn has_snapshot(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The states from the start of `range` on, in at most `max` runs that may end early or late. Everything that is
    /// not known has state 0, for [`Context::ChangedSince`] [`Extent::DIRTY`].
    fn block_status(
        &self,
        of: &Context,
        range: Range<u64>,
        max: usize,
    ) -> Result<Vec<Extent>, DeviceError> {
        let _ = max;
        let state = if matches!(of, Context::ChangedSince(_)) { Extent::DIRTY } else { 0 };
        Ok(vec![Extent { length: range.end.saturating_sub(range.start), state }])
    }
}

/// Why a device did not do what it was asked for. Texts are shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The device may not be changed.
    #[error("not permitted: {detail}")]
    NotPermitted {
        /// The reason.
        detail: String,
    },
    /// Data cannot be read or written.
    #[error("input/output error: {detail}")]
    Io {
        /// The reason.
        detail: String,
        /// Where, when that is known: an offset on the device.
        at: Option<u64>,
    },
    /// Too little memory.
    #[error("out of memory; try again later")]
    NoMemory,
    /// What was asked for makes no sense for this device.
    #[error("invalid request: {detail}")]
    Invalid {
        /// The reason.
        detail: String,
    },
    /// No room, or a quota is used up.
    #[error("no space left: {detail}")]
    NoSpace {
        /// The reason.
        detail: String,
    },
    /// The range is too large to be done at once.
    #[error("the range is too large for one request; split it")]
    TooLarge,
    /// The device has no such thing, or no fast way.
    #[error("not supported by this device")]
    NotSupported,
    /// The device is gone while it was open: deleted, or its server is ending.
    #[error("the device is gone: {detail}")]
    Gone {
        /// The reason.
        detail: String,
    },
}
