//! A client that says exactly what it is told to, and shows every byte that comes back.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tintype_nbd::wire::reply::Style;
use tintype_nbd::wire::{can, chunk, cmd, flag, opt, rep};
use tintype_nbd::{Device, Exports, FixedExports, Limits, Server, TlsMode};

/// A server of one device called `disk`.
pub fn one(device: impl Device + 'static) -> (Server, Arc<dyn Exports>) {
    let exports = FixedExports::default().with("disk", Arc::new(device));
    (Server::start(Limits::default()).unwrap(), Arc::new(exports))
}

pub struct Client {
    pub socket: UnixStream,
    pub style: Style,
}

/// One reply, put together from its chunks.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Reply {
    pub cookie: u64,
    pub error: u32,
    pub text: String,
    /// Where the error is, if that was told.
    pub at: Option<u64>,
    /// Offset and bytes; holes are empty with their length.
    pub data: Vec<(u64, Vec<u8>)>,
    pub holes: Vec<(u64, u32)>,
    /// By context: lengths and states.
    pub status: Vec<(u32, Vec<(u64, u64)>)>,
    pub chunks: usize,
}

impl Client {
    /// Connects without saying anything.
    pub fn new(server: &Server, exports: &Arc<dyn Exports>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        server.serve(OwnedFd::from(theirs), Arc::clone(exports), TlsMode::Off);
        ours.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
        Self { socket: ours, style: Style::Simple }
    }

    /// Connects and greets.
    pub fn greeted(server: &Server, exports: &Arc<dyn Exports>) -> Self {
        let mut client = Self::new(server, exports);
        assert_eq!(client.bytes(18), b"NBDMAGICIHAVEOPT\0\x03");
        client.send(&3u32.to_be_bytes());
        client
    }

    /// Connects and chooses `disk` with these replies and contexts.
    pub fn ready(
        server: &Server,
        exports: &Arc<dyn Exports>,
        style: Style,
        contexts: &[&str],
    ) -> Self {
        let mut client = Self::greeted(server, exports);
        match style {
            Style::Simple => {}
            Style::Structured => client.agree(opt::STRUCTURED_REPLY, b""),
            Style::Extended => client.agree(opt::EXTENDED_HEADERS, b""),
        }
        client.style = style;
        if !contexts.is_empty() {
            let found = client.option(opt::SET_META_CONTEXT, &meta("disk", contexts));
            assert_eq!(found.len(), contexts.len() + 1, "{found:?}");
        }
        let replies = client.option(opt::GO, &info("disk", &[]));
        assert_eq!(replies.last().unwrap().0, rep::ACK, "{replies:?}");
        let flags = u16::from_be_bytes(replies[0].1[10..12].try_into().unwrap());
        assert_eq!(flags & can::DF != 0, style >= Style::Structured);
        client
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the server has closed the connection, without another byte.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    pub fn send_option(&mut self, option: u32, data: &[u8]) {
        let mut all = b"IHAVEOPT".to_vec();
        all.extend(option.to_be_bytes());
        all.extend((data.len() as u32).to_be_bytes());
        all.extend(data);
        self.send(&all);
    }

    /// An option and all replies to it, the last one included.
    pub fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(option, data);
        let mut replies = Vec::new();
        loop {
            let head = self.bytes(20);
            assert_eq!(head[..8], 0x0003_e889_0455_65a9u64.to_be_bytes());
            assert_eq!(u32_at(&head, 8), option);
            let kind = u32_at(&head, 12);
            let data = self.bytes(u32_at(&head, 16) as usize);
            replies.push((kind, data));
            if kind == rep::ACK || kind >> 31 == 1 {
                return replies;
            }
        }
    }

    /// An option that must succeed.
    pub fn agree(&mut self, option: u32, data: &[u8]) {
        let replies = self.option(option, data);
        assert_eq!(replies.last().unwrap().0, rep::ACK, "{replies:?}");
    }

    /// The type of the last reply to an option.
    pub fn verdict(&mut self, option: u32, data: &[u8]) -> u32 {
        self.option(option, data).last().unwrap().0
    }

    pub fn request(
        &mut self,
        flags: u16,
        command: u16,
        cookie: u64,
        offset: u64,
        length: u64,
        payload: &[u8],
    ) {
        let bytes = request(self.style, flags, command, cookie, offset, length, payload);
        self.send(&bytes);
    }

    /// Sends a request and returns its reply, which must be the next one.
    pub fn ask(&mut self, flags: u16, command: u16, offset: u64, length: u64) -> Reply {
        self.request(flags, command, 77, offset, length, &[]);
        self.reply(if command == cmd::READ { length as usize } else { 0 })
    }

    pub fn read(&mut self, offset: u64, length: u64) -> Reply {
        self.ask(0, cmd::READ, offset, length)
    }

    pub fn write(&mut self, flags: u16, offset: u64, payload: &[u8]) -> Reply {
        let extended = self.style == Style::Extended;
        let flags = flags | if extended { flag::PAYLOAD_LEN } else { 0 };
        self.request(flags, cmd::WRITE, 78, offset, payload.len() as u64, payload);
        self.reply(0)
    }

    /// The next reply; `length` is what a successful simple reply to a read brings.
    pub fn reply(&mut self, length: usize) -> Reply {
        let mut reply = Reply::default();
        loop {
            let magic = self.bytes(4);
            match u32::from_be_bytes(magic.try_into().unwrap()) {
                0x6744_6698 => {
                    assert_ne!(self.style, Style::Extended);
                    let head = self.bytes(12);
                    reply.error = u32_at(&head, 0);
                    reply.cookie = u64_at(&head, 4);
                    if reply.error == 0 && length > 0 {
                        assert_eq!(self.style, Style::Simple, "reads get chunks");
                        reply.data.push((0, self.bytes(length)));
                    }
                    return reply;
                }
                0x668e_33ef => assert_eq!(self.style, Style::Structured),
                0x6e8a_278c => assert_eq!(self.style, Style::Extended),
                other => panic!("{other:x} is no reply"),
            }
            if self.chunk(&mut reply) {
                return reply;
            }
        }
    }

    fn chunk(&mut self, reply: &mut Reply) -> bool {
        let extended = self.style == Style::Extended;
        let head = self.bytes(if extended { 28 } else { 16 });
        let flags = u16::from_be_bytes([head[0], head[1]]);
        let kind = u16::from_be_bytes([head[2], head[3]]);
        let cookie = u64_at(&head, 4);
        assert!(reply.chunks == 0 || cookie == reply.cookie);
        (reply.cookie, reply.chunks) = (cookie, reply.chunks + 1);
        let length = if extended { u64_at(&head, 20) } else { u64::from(u32_at(&head, 12)) };
        let body = self.bytes(length as usize);
        match kind {
            chunk::NONE => assert!(body.is_empty() && flags & chunk::DONE != 0),
            chunk::OFFSET_DATA => {
                assert!(body.len() > 8);
                reply.data.push((u64_at(&body, 0), body[8..].to_vec()));
            }
            chunk::OFFSET_HOLE => {
                assert_eq!(body.len(), 12);
                reply.holes.push((u64_at(&body, 0), u32_at(&body, 8)));
            }
            chunk::BLOCK_STATUS if !extended => {
                let runs = body[4..].chunks(8);
                let runs = runs.map(|r| (u64::from(u32_at(r, 0)), u64::from(u32_at(r, 4))));
                reply.status.push((u32_at(&body, 0), runs.collect()));
            }
            chunk::BLOCK_STATUS_EXT if extended => {
                let runs: Vec<_> =
                    body[8..].chunks(16).map(|r| (u64_at(r, 0), u64_at(r, 8))).collect();
                assert_eq!(u32_at(&body, 4) as usize, runs.len());
                reply.status.push((u32_at(&body, 0), runs));
            }
            chunk::ERROR | chunk::ERROR_OFFSET => {
                reply.error = u32_at(&body, 0);
                let end = 6 + usize::from(u16::from_be_bytes([body[4], body[5]]));
                reply.text = String::from_utf8(body[6..end].to_vec()).unwrap();
                let rest = &body[end..];
                assert_eq!(rest.len(), if kind == chunk::ERROR { 0 } else { 8 });
                reply.at = (kind == chunk::ERROR_OFFSET).then(|| u64_at(rest, 0));
            }
            other => panic!("unknown chunk {other}"),
        }
        flags & chunk::DONE != 0
    }
}

pub fn request(
    style: Style,
    flags: u16,
    command: u16,
    cookie: u64,
    offset: u64,
    length: u64,
    payload: &[u8],
) -> Vec<u8> {
    let extended = style == Style::Extended;
    let magic: u32 = if extended { 0x21e4_1c71 } else { 0x2560_9513 };
    let mut all = magic.to_be_bytes().to_vec();
    all.extend(flags.to_be_bytes());
    all.extend(command.to_be_bytes());
    all.extend(cookie.to_be_bytes());
    all.extend(offset.to_be_bytes());
    match extended {
        true => all.extend(length.to_be_bytes()),
        false => all.extend((length as u32).to_be_bytes()),
    }
    all.extend(payload);
    all
}

/// Data of INFO and GO.
pub fn info(name: &str, wanted: &[u16]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend(name.as_bytes());
    data.extend((wanted.len() as u16).to_be_bytes());
    data.extend(wanted.iter().flat_map(|w| w.to_be_bytes()));
    data
}

/// Data of LIST_META_CONTEXT and SET_META_CONTEXT.
pub fn meta(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend(name.as_bytes());
    data.extend((queries.len() as u32).to_be_bytes());
    for query in queries {
        data.extend((query.len() as u32).to_be_bytes());
        data.extend(query.as_bytes());
    }
    data
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}
