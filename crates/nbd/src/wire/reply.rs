//! Replies: encoding what servers answer, in the handshake and afterwards.

use super::numbers::{
    EXTENDED_REPLY_MAGIC, Errno, OPTION_REPLY_MAGIC, SIMPLE_REPLY_MAGIC, STRING_MAX,
    STRUCTURED_REPLY_MAGIC, chunk,
};

/// Appends one reply to an option.
pub fn option_reply(out: &mut Vec<u8>, option: u32, kind: u32, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    out.extend(option.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// How replies look, as agreed in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Style {
    /// One simple reply for each request.
    #[default]
    Simple,
    /// Chunks; simple replies where there is nothing but success.
    Structured,
    /// Chunks with extended headers.
    Extended,
}

/// The request that a reply belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// As in the request.
    pub cookie: u64,
    /// As in the request.
    pub offset: u64,
}

/// The fixed part of a reply, without memory of its own.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl Head {
    /// The longest: an extended chunk of a hole.
    const MAX: usize = 48;

    fn new() -> Self {
        Self { bytes: [0; Self::MAX], length: 0 }
    }

    fn add(mut self, bytes: &[u8]) -> Self {
        let end = self.length.saturating_add(bytes.len());
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
            self.length = end;
        }
        self
    }

    /// The bytes to be sent.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn chunk(style: Style, mark: Mark, kind: u16, done: bool, length: usize) -> Self {
        let flags = if done { chunk::DONE } else { 0 };
        let magic =
            if style == Style::Extended { EXTENDED_REPLY_MAGIC } else { STRUCTURED_REPLY_MAGIC };
        let head = Self::new()
            .add(&magic.to_be_bytes())
            .add(&flags.to_be_bytes())
            .add(&kind.to_be_bytes())
            .add(&mark.cookie.to_be_bytes());
        if style == Style::Extended {
            head.add(&mark.offset.to_be_bytes()).add(&(length as u64).to_be_bytes())
        } else {
            head.add(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes())
        }
    }

    fn simple(mark: Mark, error: u32) -> Self {
        Self::new()
            .add(&SIMPLE_REPLY_MAGIC.to_be_bytes())
            .add(&error.to_be_bytes())
            .add(&mark.cookie.to_be_bytes())
    }
}

/// Success without data.
pub fn done(style: Style, mark: Mark) -> Head {
    match style {
        Style::Extended => none(style, mark),
        _ => Head::simple(mark, 0),
    }
}

/// A chunk that says that nothing more comes: success of a read of no bytes.
pub fn none(style: Style, mark: Mark) -> Head {
    Head::chunk(style, mark, chunk::NONE, true, 0)
}

/// Before the `length` bytes of a read that was answered in one piece. The only form for [`Style::Simple`].
pub fn data(style: Style, mark: Mark, at: u64, length: usize, last: bool) -> Head {
    if style == Style::Simple {
        return Head::simple(mark, 0);
    }
    Head::chunk(style, mark, chunk::OFFSET_DATA, last, length.saturating_add(8))
        .add(&at.to_be_bytes())
}

/// `length` zeroes of a read.
pub fn hole(style: Style, mark: Mark, at: u64, length: u32, last: bool) -> Head {
    Head::chunk(style, mark, chunk::OFFSET_HOLE, last, 12)
        .add(&at.to_be_bytes())
        .add(&length.to_be_bytes())
}

/// States of blocks for one context: the head, and the descriptors.
pub fn status(
    style: Style,
    mark: Mark,
    context: u32,
    extents: impl ExactSizeIterator<Item = (u64, u32)>,
    last: bool,
) -> (Head, Vec<u8>) {
    let count = extents.len();
    let mut body = Vec::with_capacity(count.saturating_mul(16));
    if style == Style::Extended {
        for (length, state) in extents {
            body.extend(length.to_be_bytes());
            body.extend(u64::from(state).to_be_bytes());
        }
        let head = Head::chunk(style, mark, chunk::BLOCK_STATUS_EXT, last, body.len() + 8)
            .add(&context.to_be_bytes())
            .add(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        return (head, body);
    }
    for (length, state) in extents {
        // Nobody asks for more than 32 bits with these headers, and no answer is longer than the question.
        body.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        body.extend(state.to_be_bytes());
    }
    let head = Head::chunk(style, mark, chunk::BLOCK_STATUS, last, body.len() + 4)
        .add(&context.to_be_bytes());
    (head, body)
}

/// An error: the head, and what follows it (text, offset).
pub fn error(
    style: Style,
    mark: Mark,
    errno: Errno,
    message: &str,
    at: Option<u64>,
) -> (Head, Vec<u8>) {
    if style == Style::Simple {
        return (Head::simple(mark, errno as u32), Vec::new());
    }
    let text = message.get(..message.floor_char_boundary(STRING_MAX)).unwrap_or_default();
    let mut body = text.as_bytes().to_vec();
    body.extend(at.iter().flat_map(|at| at.to_be_bytes()));
    let kind = if at.is_some() { chunk::ERROR_OFFSET } else { chunk::ERROR };
    let head = Head::chunk(style, mark, kind, true, body.len() + 6)
        .add(&(errno as u32).to_be_bytes())
        .add(&u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
    (head, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { cookie: 0x0102_0304_0506_0708, offset: 0x1000 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn golden_heads() {
        let cookie = "0102030405060708";
        let simple = done(Style::Simple, MARK);
        assert_eq!(hex(simple.as_slice()), format!("67446698{:08x}{cookie}", 0));
        let none = none(Style::Structured, MARK);
        assert_eq!(hex(none.as_slice()), format!("668e33ef00010000{cookie}00000000"));
        let part = data(Style::Structured, MARK, 0x2000, 512, false);
        let wanted = format!("668e33ef00000001{cookie}00000208{:016x}", 0x2000);
        assert_eq!(hex(part.as_slice()), wanted);
        let gap = hole(Style::Extended, MARK, 0x2000, 512, true);
        let wanted =
            format!("6e8a278c00010002{cookie}{:016x}{:016x}{:016x}00000200", 0x1000, 12, 0x2000);
        assert_eq!(hex(gap.as_slice()), wanted);
    }

    #[test]
    fn golden_status_and_errors() {
        let cookie = "0102030405060708";
        let extents = [(4096, 0), (8192, 3)].into_iter();
        let (head, body) = status(Style::Structured, MARK, 7, extents, true);
        assert_eq!(hex(head.as_slice()), format!("668e33ef00010005{cookie}0000001400000007"));
        assert_eq!(hex(&body), "00001000000000000000200000000003");
        let extents = [(1 << 40, 3)].into_iter();
        let (head, body) = status(Style::Extended, MARK, 7, extents, false);
        let wanted = format!("6e8a278c00000006{cookie}{:016x}{:016x}0000000700000001", 0x1000, 24);
        assert_eq!(hex(head.as_slice()), wanted);
        assert_eq!(hex(&body), format!("{:016x}{:016x}", 1u64 << 40, 3));
        let (head, body) = error(Style::Structured, MARK, Errno::Inval, "no", Some(5));
        let wanted = format!("668e33ef00018002{cookie}00000010000000160002");
        assert_eq!(hex(head.as_slice()), wanted);
        assert_eq!(hex(&body), "6e6f0000000000000005");
        let (head, body) = error(Style::Simple, MARK, Errno::NoSpc, "no", None);
        assert_eq!(hex(head.as_slice()), format!("674466980000001c{cookie}"));
        assert!(body.is_empty());
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let (_, body) = error(Style::Extended, MARK, Errno::Io, &"ä".repeat(3000), None);
        assert_eq!(body.len(), 4096);
        let (_, body) =
            error(Style::Extended, MARK, Errno::Io, &format!("x{}", "ä".repeat(3000)), None);
        assert_eq!(body.len(), 4095);
    }

    #[test]
    fn option_replies() {
        let mut out = Vec::new();
        option_reply(&mut out, 7, 3, &[b"ab", b"c"]);
        assert_eq!(hex(&out), "0003e889045565a9000000070000000300000003616263");
    }
}
