//! Magic numbers, flags and codes, as the specification names them.

/// First thing a server says: `NBDMAGIC`.
pub const GREETING_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Before each option, and second thing a server says: `IHAVEOPT`.
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Before each reply to an option.
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Before each request with compact headers.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// Before each request with extended headers.
pub const EXTENDED_REQUEST_MAGIC: u32 = 0x21e4_1c71;
/// Before each simple reply.
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// Before each chunk of a structured reply.
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;
/// Before each chunk with extended headers.
pub const EXTENDED_REPLY_MAGIC: u32 = 0x6e8a_278c;

/// Longest string, by the specification.
pub const STRING_MAX: usize = 4096;
/// Longest payload of one request or chunk.
pub const PAYLOAD_MAX: u32 = 32 << 20;

/// Handshake flag: fixed newstyle, from both sides.
pub const FLAG_FIXED_NEWSTYLE: u16 = 1;
/// Handshake flag: no 124 zeroes after `EXPORT_NAME`, from both sides.
pub const FLAG_NO_ZEROES: u16 = 2;

/// Options of the handshake.
pub mod opt {
    /// Choose an export, the old way: no reply but the export itself.
    pub const EXPORT_NAME: u32 = 1;
    /// End.
    pub const ABORT: u32 = 2;
    /// Name all exports.
    pub const LIST: u32 = 3;
    /// Go on in TLS.
    pub const STARTTLS: u32 = 5;
    /// Tell about an export.
    pub const INFO: u32 = 6;
    /// Tell about an export and use it.
    pub const GO: u32 = 7;
    /// Use structured replies.
    pub const STRUCTURED_REPLY: u32 = 8;
    /// Name the contexts of an export.
    pub const LIST_META_CONTEXT: u32 = 9;
    /// Choose contexts of an export.
    pub const SET_META_CONTEXT: u32 = 10;
    /// Use extended headers.
    pub const EXTENDED_HEADERS: u32 = 11;
}

/// Replies to options.
pub mod rep {
    /// Done.
    pub const ACK: u32 = 1;
    /// One export.
    pub const SERVER: u32 = 2;
    /// One piece of information.
    pub const INFO: u32 = 3;
    /// One context.
    pub const META_CONTEXT: u32 = 4;
    /// Unknown option.
    pub const ERR_UNSUP: u32 = (1 << 31) + 1;
    /// Known and forbidden.
    pub const ERR_POLICY: u32 = (1 << 31) + 2;
    /// Makes no sense.
    pub const ERR_INVALID: u32 = (1 << 31) + 3;
    /// TLS must come first.
    pub const ERR_TLS_REQD: u32 = (1 << 31) + 5;
    /// No such export.
    pub const ERR_UNKNOWN: u32 = (1 << 31) + 6;
    /// The server is ending.
    pub const ERR_SHUTDOWN: u32 = (1 << 31) + 7;
    /// Too much at once.
    pub const ERR_TOO_BIG: u32 = (1 << 31) + 9;
    /// Extended headers rule this out.
    pub const ERR_EXT_HEADER_REQD: u32 = (1 << 31) + 10;
}

/// Pieces of information about an export.
pub mod info {
    /// Size and transmission flags.
    pub const EXPORT: u16 = 0;
    /// Canonical name.
    pub const NAME: u16 = 1;
    /// Description.
    pub const DESCRIPTION: u16 = 2;
    /// Size constraints.
    pub const BLOCK_SIZE: u16 = 3;
}

/// Transmission flags: what an export can do.
pub mod can {
    /// Always set.
    pub const HAS_FLAGS: u16 = 1;
    /// Nothing changes it.
    pub const READ_ONLY: u16 = 1 << 1;
    /// Flush.
    pub const FLUSH: u16 = 1 << 2;
    /// Durable writes.
    pub const FUA: u16 = 1 << 3;
    /// Trim.
    pub const TRIM: u16 = 1 << 5;
    /// Write zeroes.
    pub const WRITE_ZEROES: u16 = 1 << 6;
    /// Reads in one piece.
    pub const DF: u16 = 1 << 7;
    /// Several connections see the same.
    pub const MULTI_CONN: u16 = 1 << 8;
    /// Prefetch.
    pub const CACHE: u16 = 1 << 10;
    /// Zeroes only if fast.
    pub const FAST_ZERO: u16 = 1 << 11;
    /// Block status for some of the chosen contexts.
    pub const BLOCK_STATUS_PAYLOAD: u16 = 1 << 12;
}

/// Commands.
pub mod cmd {
    /// Read.
    pub const READ: u16 = 0;
    /// Write.
    pub const WRITE: u16 = 1;
    /// Disconnect.
    pub const DISC: u16 = 2;
    /// Flush.
    pub const FLUSH: u16 = 3;
    /// Trim.
    pub const TRIM: u16 = 4;
    /// Prefetch.
    pub const CACHE: u16 = 5;
    /// Write zeroes.
    pub const WRITE_ZEROES: u16 = 6;
    /// Block status.
    pub const BLOCK_STATUS: u16 = 7;
}

/// Flags of commands.
pub mod flag {
    /// Durable before the reply.
    pub const FUA: u16 = 1;
    /// Zeroes that keep their room.
    pub const NO_HOLE: u16 = 1 << 1;
    /// One piece of data.
    pub const DF: u16 = 1 << 2;
    /// One extent for each context.
    pub const REQ_ONE: u16 = 1 << 3;
    /// Zeroes only if fast.
    pub const FAST_ZERO: u16 = 1 << 4;
    /// The length is that of a payload (extended headers).
    pub const PAYLOAD_LEN: u16 = 1 << 5;
}

/// Types of chunks.
pub mod chunk {
    /// Nothing more.
    pub const NONE: u16 = 0;
    /// Data.
    pub const OFFSET_DATA: u16 = 1;
    /// Zeroes.
    pub const OFFSET_HOLE: u16 = 2;
    /// States of blocks.
    pub const BLOCK_STATUS: u16 = 5;
    /// States of blocks, with extended headers.
    pub const BLOCK_STATUS_EXT: u16 = 6;
    /// Error.
    pub const ERROR: u16 = (1 << 15) + 1;
    /// Error at an offset.
    pub const ERROR_OFFSET: u16 = (1 << 15) + 2;
    /// Flag: the last chunk of a reply.
    pub const DONE: u16 = 1;
}

/// The error numbers that may go over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// Not permitted.
    Perm = 1,
    /// Input/output error.
    Io = 5,
    /// Out of memory.
    NoMem = 12,
    /// Invalid.
    Inval = 22,
    /// No space.
    NoSpc = 28,
    /// Too large.
    Overflow = 75,
    /// Not supported.
    NotSup = 95,
    /// Going away.
    Shutdown = 108,
}
