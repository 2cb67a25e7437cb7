//! Judges requests: whether the terms of the connection allow them, and what they mean. Pure.
//!
//! Devices only hear of what passed here: ranges inside of the device, aligned, and not empty.

use crate::negotiated::Terms;
use crate::port::Zeroing;
use crate::wire::reply::Style;
use crate::wire::request::{Request, status_payload};
use crate::wire::{Errno, PAYLOAD_MAX, cmd, flag};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Succeeds without doing anything.
    Nothing,
    /// A read of no bytes, which has a reply of its own.
    NoRead,
    Read {
        whole: bool,
    },
    Write,
    Flush,
    Trim,
    Cache,
    Zero(Zeroing),
    Status {
        one: bool,
        /// Places in the terms' contexts.
        contexts: Vec<u32>,
    },
}

/// Work for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub op: Op,
    pub offset: u64,
    pub length: u64,
    /// Durable before the reply.
    pub durable: bool,
}

/// Why a request is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub errno: Errno,
    pub message: String,
    /// Where, for errors of a device that knows.
    pub at: Option<u64>,
}

fn fault<T>(errno: Errno, message: &str) -> Result<T, Fault> {
    Err(Fault { errno, message: message.to_owned(), at: None })
}

/// Judges a request; `payload` is what came with it.
pub(crate) fn judge(request: &Request, payload: &[u8], terms: &Terms) -> Result<Work, Fault> {
    let Some(allowed) = flags_of(request.command, terms) else {
        return fault(Errno::Inval, "unknown command");
    };
    if request.flags & !allowed != 0 {
        return fault(Errno::Inval, "a flag is unknown or does not go with this command");
    }
    if request.command == cmd::FLUSH {
        return flush(request);
    }
    let (length, contexts) = selection(request, payload, terms)?;
    if changes(request.command) && terms.geometry.read_only {
        return fault(Errno::Perm, "the export is read-only");
    }
    let moves_data = matches!(request.command, cmd::READ | cmd::WRITE);
    if moves_data && length > u64::from(PAYLOAD_MAX) {
        let tells = request.command == cmd::READ && terms.style >= Style::Structured;
        let errno = if tells { Errno::Overflow } else { Errno::Inval };
        return fault(errno, "more than 33554432 bytes at once; split the request");
    }
    in_bounds(request, length, terms)?;
    Ok(Work {
        op: if length == 0 { empty(request)? } else { op(request, contexts) },
        offset: request.offset,
        length,
        durable: request.flags & flag::FUA != 0 && changes(request.command),
    })
}

/// Flags that a command takes; nothing for an unknown command.
fn flags_of(command: u16, terms: &Terms) -> Option<u16> {
    let structured = terms.style >= Style::Structured;
    let extended = terms.style == Style::Extended;
    let payload = if extended { flag::PAYLOAD_LEN } else { 0 };
    // The specification allows FUA with every command, and some clients do that.
    let more = match command {
        cmd::READ if structured => flag::DF,
        cmd::WRITE => payload,
        cmd::WRITE_ZEROES => flag::NO_HOLE | flag::FAST_ZERO,
        cmd::BLOCK_STATUS => flag::REQ_ONE | payload,
        cmd::READ | cmd::FLUSH | cmd::TRIM | cmd::CACHE => 0,
        _ => return None,
    };
    Some(flag::FUA | more)
}

fn changes(command: u16) -> bool {
    matches!(command, cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES)
}

fn flush(request: &Request) -> Result<Work, Fault> {
    if request.offset != 0 || request.length != 0 {
        return fault(Errno::Inval, "a flush with an offset or a length");
    }
    Ok(Work { op: Op::Flush, offset: 0, length: 0, durable: false })
}

/// The length that is meant, and the contexts that are asked about.
fn selection(request: &Request, payload: &[u8], terms: &Terms) -> Result<(u64, Vec<u32>), Fault> {
    if request.command != cmd::BLOCK_STATUS {
        return Ok((request.length, Vec::new()));
    }
    let count = u32::try_from(terms.contexts.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return fault(Errno::Inval, "block status without a chosen context");
    }
    if request.flags & flag::PAYLOAD_LEN == 0 {
        return Ok((request.length, (0..count).collect()));
    }
    match status_payload(payload, terms.contexts.len()) {
        Some(wanted) if wanted.contexts.iter().all(|id| *id < count) => {
            Ok((wanted.length, wanted.contexts))
        }
        _ => fault(Errno::Inval, "the payload does not name chosen contexts"),
    }
}

fn in_bounds(request: &Request, length: u64, terms: &Terms) -> Result<(), Fault> {
    let mask = u64::from(terms.geometry.minimum_block).saturating_sub(1);
    if (request.offset | length) & mask != 0 {
        return fault(Errno::Inval, "the request is not aligned to the minimum block size");
    }
    match request.offset.checked_add(length) {
        Some(end) if end <= terms.geometry.size => Ok(()),
        _ if matches!(request.command, cmd::WRITE | cmd::WRITE_ZEROES) => {
            fault(Errno::NoSpc, "the request goes past the end of the export")
        }
        _ => fault(Errno::Inval, "the request goes past the end of the export"),
    }
}

fn empty(request: &Request) -> Result<Op, Fault> {
    match request.command {
        cmd::BLOCK_STATUS => fault(Errno::Inval, "block status of no bytes"),
        cmd::READ => Ok(Op::NoRead),
        _ => Ok(Op::Nothing),
    }
}

fn op(request: &Request, contexts: Vec<u32>) -> Op {
    let has = |bit| request.flags & bit != 0;
    match request.command {
        cmd::READ => Op::Read { whole: has(flag::DF) },
        cmd::WRITE => Op::Write,
        cmd::TRIM => Op::Trim,
        cmd::CACHE => Op::Cache,
        cmd::WRITE_ZEROES => {
            Op::Zero(Zeroing { no_hole: has(flag::NO_HOLE), fast_only: has(flag::FAST_ZERO) })
        }
        cmd::BLOCK_STATUS => Op::Status { one: has(flag::REQ_ONE), contexts },
        _ => Op::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Context, Geometry};

    fn terms(style: Style) -> Terms {
        Terms {
            style,
            geometry: Geometry {
                size: 1 << 30,
                read_only: false,
                minimum_block: 512,
                preferred_block: 4096,
            },
            contexts: vec![Context::Allocation],
        }
    }

    fn errno(command: u16, flags: u16, offset: u64, length: u64, terms: &Terms) -> Option<Errno> {
        let request = Request { flags, command, cookie: 1, offset, length };
        judge(&request, &[], terms).err().map(|fault| fault.errno)
    }

    #[test]
    fn bounds_and_alignment() {
        let terms = terms(Style::Structured);
        let end = 1 << 30;
        for command in [cmd::READ, cmd::TRIM, cmd::CACHE, cmd::BLOCK_STATUS] {
            assert_eq!(errno(command, 0, end - 512, 512, &terms), None);
            assert_eq!(errno(command, 0, end - 512, 1024, &terms), Some(Errno::Inval));
            assert_eq!(errno(command, 0, u64::MAX - 511, 512, &terms), Some(Errno::Inval));
        }
        for command in [cmd::WRITE, cmd::WRITE_ZEROES] {
            assert_eq!(errno(command, 0, end - 512, 512, &terms), None);
            assert_eq!(errno(command, 0, end - 512, 1024, &terms), Some(Errno::NoSpc));
            assert_eq!(errno(command, 0, u64::MAX - 511, 1024, &terms), Some(Errno::NoSpc));
        }
        assert_eq!(errno(cmd::READ, 0, 1, 512, &terms), Some(Errno::Inval));
        assert_eq!(errno(cmd::READ, 0, 0, 513, &terms), Some(Errno::Inval));
        assert_eq!(errno(cmd::READ, 0, 0, (32 << 20) + 512, &terms), Some(Errno::Overflow));
        assert_eq!(errno(cmd::TRIM, 0, 0, end, &terms), None);
    }

    #[test]
    fn flags_and_commands() {
        let simple = terms(Style::Simple);
        assert_eq!(errno(cmd::READ, flag::DF, 0, 512, &simple), Some(Errno::Inval));
        let structured = terms(Style::Structured);
        assert_eq!(errno(cmd::READ, flag::DF | flag::FUA, 0, 512, &structured), None);
        assert_eq!(errno(cmd::WRITE, flag::DF, 0, 512, &structured), Some(Errno::Inval));
        assert_eq!(errno(cmd::WRITE, flag::NO_HOLE, 0, 512, &structured), Some(Errno::Inval));
        assert_eq!(errno(cmd::READ, 1 << 15, 0, 512, &structured), Some(Errno::Inval));
        assert_eq!(errno(8, 0, 0, 512, &structured), Some(Errno::Inval));
        assert_eq!(errno(999, 0, 0, 512, &structured), Some(Errno::Inval));
        assert_eq!(errno(cmd::FLUSH, 0, 0, 512, &structured), Some(Errno::Inval));
        assert_eq!(errno(cmd::FLUSH, flag::FUA, 0, 0, &structured), None);
        let extended = terms(Style::Extended);
        assert_eq!(errno(cmd::WRITE, flag::PAYLOAD_LEN, 0, 512, &extended), None);
        assert_eq!(errno(cmd::WRITE, 0, 0, 512, &extended), None);
        assert_eq!(errno(cmd::READ, flag::PAYLOAD_LEN, 0, 512, &extended), Some(Errno::Inval));
    }

    #[test]
    fn read_only_and_empty() {
        let mut terms = terms(Style::Structured);
        let empty = |command| Request { flags: 0, command, cookie: 1, offset: 0, length: 0 };
        for command in [cmd::WRITE, cmd::TRIM, cmd::WRITE_ZEROES, cmd::CACHE] {
            assert_eq!(judge(&empty(command), &[], &terms).unwrap().op, Op::Nothing);
        }
        assert_eq!(judge(&empty(cmd::READ), &[], &terms).unwrap().op, Op::NoRead);
        assert_eq!(errno(cmd::BLOCK_STATUS, 0, 0, 0, &terms), Some(Errno::Inval));
        terms.geometry.read_only = true;
        for command in [cmd::WRITE, cmd::TRIM, cmd::WRITE_ZEROES] {
            assert_eq!(errno(command, 0, 0, 512, &terms), Some(Errno::Perm));
        }
        terms.contexts.clear();
        assert_eq!(errno(cmd::BLOCK_STATUS, 0, 0, 512, &terms), Some(Errno::Inval));
    }

    #[test]
    fn block_status_for_some_contexts() {
        let mut terms = terms(Style::Extended);
        terms.contexts.push(Context::Depth);
        let request = Request {
            flags: flag::PAYLOAD_LEN,
            command: cmd::BLOCK_STATUS,
            cookie: 1,
            offset: 512,
            length: 12,
        };
        let work = judge(&request, b"\0\0\0\0\0\0\x04\0\0\0\0\x01", &terms).unwrap();
        assert_eq!(work.length, 1024);
        assert_eq!(work.op, Op::Status { one: false, contexts: vec![1] });
        assert!(judge(&request, b"\0\0\0\0\0\0\x04\0\0\0\0\x02", &terms).is_err());
        assert!(judge(&request, b"\0\0\0\0\0\0\x04", &terms).is_err());
    }
}
