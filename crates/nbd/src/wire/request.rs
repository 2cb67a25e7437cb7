//! Requests of the transmission phase: parsing what clients send.

use super::numbers::{EXTENDED_REQUEST_MAGIC, PAYLOAD_MAX, REQUEST_MAGIC, cmd, flag};
use super::reader::Reader;

/// Bytes of a compact request.
pub const COMPACT_HEADER: usize = 28;
/// Bytes of an extended request.
pub const EXTENDED_HEADER: usize = 32;
/// Up to this many bytes of an unwanted payload are read and thrown away; whoever sends more is cut off.
pub const SKIP_MAX: u64 = 2 * PAYLOAD_MAX as u64;

/// Longest payload of `BLOCK_STATUS`.
const STATUS_PAYLOAD_MAX: u32 = 4096;

/// Bytes before a payload.
pub fn header_length(extended: bool) -> usize {
    if extended { EXTENDED_HEADER } else { COMPACT_HEADER }
}

/// A request as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// [`flag`]
    pub flags: u16,
    /// [`cmd`]
    pub command: u16,
    /// What the client calls it; comes back in every reply.
    pub cookie: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The client no longer speaks the protocol, so nothing that follows has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request does not start with its magic number")]
pub struct BadMagic;

/// What follows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// So many bytes that are needed.
    Keep(u32),
    /// So many bytes that nobody wants.
    Skip(u64),
    /// More than anybody would skip.
    Absurd,
}

/// A request with the headers that were agreed on. Nothing when `bytes` holds less than one.
pub fn request(bytes: &[u8], extended: bool) -> Result<Option<Request>, BadMagic> {
    let magic = if extended { EXTENDED_REQUEST_MAGIC } else { REQUEST_MAGIC };
    let mut reader = Reader(bytes);
    match reader.u32() {
        Some(found) if found != magic => Err(BadMagic),
        Some(_) if bytes.len() >= header_length(extended) => Ok(fields(&mut reader, extended)),
        _ => Ok(None),
    }
}

fn fields(reader: &mut Reader<'_>, extended: bool) -> Option<Request> {
    Some(Request {
        flags: reader.u16()?,
        command: reader.u16()?,
        cookie: reader.u64()?,
        offset: reader.u64()?,
        length: if extended { reader.u64()? } else { u64::from(reader.u32()?) },
    })
}

impl Request {
    /// What follows.
    pub fn payload(&self, extended: bool) -> Payload {
        // A write has one whatever its flags say: QEMU (10.0) leaves the flag out, though the draft asks for it.
        let flagged = extended && self.flags & flag::PAYLOAD_LEN != 0;
        let has = flagged || self.command == cmd::WRITE;
        if !has {
            return Payload::Keep(0);
        }
        let most = match self.command {
            cmd::WRITE => PAYLOAD_MAX,
            cmd::BLOCK_STATUS => STATUS_PAYLOAD_MAX,
            _ => 0,
        };
        match u32::try_from(self.length) {
            Ok(length) if length <= most => Payload::Keep(length),
            _ if self.length <= SKIP_MAX => Payload::Skip(self.length),
            _ => Payload::Absurd,
        }
    }
}

/// Payload of `BLOCK_STATUS`: which of the chosen contexts are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPayload {
    /// Bytes to tell about.
    pub length: u64,
    /// Ids of contexts.
    pub contexts: Vec<u32>,
}

/// Reads the payload of `BLOCK_STATUS`. Nothing when it is not that, or names more than `max` contexts or one twice.
pub fn status_payload(bytes: &[u8], max: usize) -> Option<StatusPayload> {
    let mut reader = Reader(bytes);
    let length = reader.u64()?;
    if !reader.0.len().is_multiple_of(4) || reader.0.len() / 4 > max {
        return None;
    }
    let mut contexts = Vec::new();
    while let Some(id) = reader.u32() {
        if contexts.contains(&id) {
            return None;
        }
        contexts.push(id);
    }
    Some(StatusPayload { length, contexts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_extended() {
        let compact = b"\x25\x60\x95\x13\0\x01\0\x01ABCDEFGH\0\0\0\0\0\0\x10\0\0\0\x02\0rest";
        let parsed = request(compact, false).unwrap().unwrap();
        let cookie = u64::from_be_bytes(*b"ABCDEFGH");
        let wanted = Request { flags: 1, command: 1, cookie, offset: 4096, length: 512 };
        assert_eq!(parsed, wanted);
        assert_eq!(parsed.payload(false), Payload::Keep(512));
        assert_eq!(parsed.payload(true), Payload::Keep(512), "without the flag, as QEMU does");
        let read = Request { command: cmd::READ, ..parsed };
        assert_eq!((read.payload(false), read.payload(true)), (Payload::Keep(0), Payload::Keep(0)));
        assert_eq!(request(&compact[..27], false), Ok(None));
        assert_eq!(request(&compact[..3], false), Ok(None));
        assert_eq!(request(compact, true), Err(BadMagic));
        let extended = b"\x21\xe4\x1c\x71\0\x20\0\x05ABCDEFGH\0\0\0\0\0\0\x10\0\0\0\0\x01\0\0\0\0";
        let parsed = request(extended, true).unwrap().unwrap();
        assert_eq!(parsed.length, 1 << 32);
        assert_eq!(parsed.payload(true), Payload::Absurd);
        assert_eq!(Request { length: 9, ..parsed }.payload(true), Payload::Skip(9));
    }

    #[test]
    fn large_payloads() {
        let write =
            Request { flags: 0, command: cmd::WRITE, cookie: 0, offset: 0, length: 32 << 20 };
        assert_eq!(write.payload(false), Payload::Keep(32 << 20));
        let more = Request { length: (32 << 20) + 1, ..write };
        assert_eq!(more.payload(false), Payload::Skip((32 << 20) + 1));
        assert_eq!(Request { length: 0xffff_ffff, ..write }.payload(false), Payload::Absurd);
    }

    #[test]
    fn status_payloads() {
        let bytes = b"\0\0\0\0\0\0\x10\0\0\0\0\x01\0\0\0\x02";
        let parsed = status_payload(bytes, 2).unwrap();
        assert_eq!((parsed.length, parsed.contexts), (4096, vec![1, 2]));
        assert_eq!(status_payload(bytes, 1), None);
        assert_eq!(status_payload(&bytes[..15], 2), None);
        assert_eq!(status_payload(b"\0\0\0\0\0\0\x10\0\0\0\0\x01\0\0\0\x01", 2), None);
    }
}
