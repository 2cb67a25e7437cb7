//! The first exchange of a connection: what the kernel offers and what we take.
//!
//! POSIX and flock locks are deliberately not taken: the kernel then keeps them itself, which is
//! right for a single mount. Pages are dropped only when the server says so (it is the only
//! writer). Splice is not taken: copies are cheaper than page games at these sizes.

use super::abi::{self, PAGE, init};
use super::cursor::{Cursor, Malformed};
use super::request::Dialect;

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Largest read-ahead in bytes.
    pub max_readahead: u32,
    /// Ability bits, see [`abi::init`].
    pub flags: u64,
}

impl Offer {
    /// Decodes the body of an INIT request.
    ///
    /// # Errors
    /// [`Malformed`] when it is too short.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(body);
        let (major, minor, max_readahead) = (at.u32()?, at.u32()?, at.u32()?);
        let low = u64::from(at.u32()?);
        let high = if low & init::INIT_EXT != 0 { u64::from(at.u32()?) } else { 0 };
        Ok(Self { major, minor, max_readahead, flags: low | high << 32 })
    }
}

/// What we would like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Dirty pages stay in the kernel.
    pub writeback: bool,
    /// `readdirplus` only where the kernel thinks that it pays; else always.
    pub readdirplus_auto: bool,
    /// Directories are not opened.
    pub no_opendir: bool,
    /// Requests travel through io_uring.
    pub uring: bool,
    /// Largest write in bytes: a multiple of the page size, at most 1 MiB is useful.
    pub max_write: u32,
    /// Requests that the kernel may have in flight on its own account.
    pub max_background: u16,
}

/// What both sides will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Minor version in use.
    pub minor: u32,
    /// Ability bits in use.
    pub flags: u64,
    /// How requests look.
    pub dialect: Dialect,
}

const ALWAYS: u64 = init::ASYNC_READ
    | init::ATOMIC_O_TRUNC
    | init::BIG_WRITES
    | init::DONT_MASK
    | init::HAS_IOCTL_DIR
    | init::DO_READDIRPLUS
    | init::ASYNC_DIO
    | init::PARALLEL_DIROPS
    | init::POSIX_ACL
    | init::ABORT_ERROR
    | init::MAX_PAGES
    | init::CACHE_SYMLINKS
    | init::EXPLICIT_INVAL_DATA
    | init::HANDLE_KILLPRIV_V2
    | init::SETXATTR_EXT
    | init::INIT_EXT
    | init::DIRECT_IO_ALLOW_MMAP;

/// Takes from the offer what we wish and understand.
#[must_use]
pub fn agree(offer: &Offer, wish: &Wish) -> Agreement {
    let when = |on: bool, bit: u64| if on { bit } else { 0 };
    let wanted = ALWAYS
        | when(wish.writeback, init::WRITEBACK_CACHE)
        | when(wish.readdirplus_auto, init::READDIRPLUS_AUTO)
        | when(wish.no_opendir, init::NO_OPENDIR_SUPPORT)
        | when(wish.uring, init::OVER_IO_URING);
    let flags = wanted & offer.flags;
    let dialect = Dialect { setxattr_ext: flags & init::SETXATTR_EXT != 0 };
    Agreement { minor: offer.minor.min(abi::MINOR), flags, dialect }
}

/// The body of the INIT reply.
#[must_use]
pub fn encode(offer: &Offer, wish: &Wish, agreed: &Agreement) -> Vec<u8> {
    let pages = u16::try_from(wish.max_write as usize / PAGE).unwrap_or(u16::MAX).max(1);
    let low = u32::try_from(agreed.flags & u64::from(u32::MAX)).unwrap_or_default();
    let high = u32::try_from(agreed.flags >> 32).unwrap_or_default();
    let mut out = Vec::with_capacity(64);
    for number in [abi::MAJOR, agreed.minor, offer.max_readahead, low] {
        out.extend_from_slice(&number.to_ne_bytes());
    }
    let congestion = wish.max_background / 4 * 3;
    out.extend_from_slice(&wish.max_background.to_ne_bytes());
    out.extend_from_slice(&congestion.to_ne_bytes());
    out.extend_from_slice(&wish.max_write.to_ne_bytes());
    out.extend_from_slice(&1u32.to_ne_bytes()); // time granularity: one nanosecond
    out.extend_from_slice(&pages.to_ne_bytes());
    out.extend_from_slice(&0u16.to_ne_bytes()); // alignment of mappings
    out.extend_from_slice(&high.to_ne_bytes());
    out.resize(64, 0);
    out
}
