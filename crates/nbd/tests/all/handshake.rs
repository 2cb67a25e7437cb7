//! The handshake, byte by byte.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tintype_nbd::wire::reply::Style;
use tintype_nbd::wire::{cmd, opt, rep};
use tintype_nbd::{Export, Exports, FixedExports, Limits, Listed, MemoryDisk, Refusal, Server};

use crate::client::{Client, info, meta, one};

const SIZE: u64 = 1 << 20;

/// Flags of a writable export without and with structured replies, and of a read-only one.
const WRITABLE: u16 = 0b1101_0110_1101;

#[test]
fn golden_go() {
    let (server, exports) = one(MemoryDisk::new(SIZE));
    let mut client = Client::greeted(&server, &exports);
    client.send(b"IHAVEOPT\0\0\0\x07\0\0\0\x12\0\0\0\x04disk\0\x04\0\x01\0\x02\0\x03\0\x09");
    let magic = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07";
    let mut wanted = Vec::new();
    for (kind, body) in [
        (3u32, &b"\0\0\0\0\0\0\0\x10\0\0\x0d\x6d"[..]),
        (3, b"\0\x01disk"),
        (3, b"\0\x02"),
        (3, b"\0\x03\0\0\0\x01\0\0\x10\0\x02\0\0\0"),
        (1, b""),
    ] {
        wanted.extend(magic);
        wanted.extend(kind.to_be_bytes());
        wanted.extend((body.len() as u32).to_be_bytes());
        wanted.extend(body);
    }
    assert_eq!(client.bytes(wanted.len()), wanted);
    assert_eq!(wanted[38 - 8..40 - 8], WRITABLE.to_be_bytes());
    assert_eq!(client.read(0, 4).data, [(0, vec![0; 4])]);
}

#[test]
fn export_name_with_and_without_zeroes() {
    let (server, exports) = one(MemoryDisk::new(SIZE).read_only());
    for (flags, zeroes) in [(1u32, 124), (3, 0), (0, 124), (2, 0)] {
        let mut client = Client::new(&server, &exports);
        client.bytes(18);
        client.send(&flags.to_be_bytes());
        client.send_option(opt::EXPORT_NAME, b"");
        let mut wanted = SIZE.to_be_bytes().to_vec();
        wanted.extend(0b0101_0000_1111u16.to_be_bytes());
        wanted.resize(10 + zeroes, 0);
        assert_eq!(client.bytes(10 + zeroes), wanted);
        assert_eq!(client.read(0, 4).error, 0);
        client.request(0, cmd::DISC, 0, 0, 0, &[]);
        assert!(client.is_closed());
    }
    let mut client = Client::greeted(&server, &exports);
    client.send_option(opt::EXPORT_NAME, b"other");
    assert!(client.is_closed(), "an unknown export ends the session");
    let mut client = Client::greeted(&server, &exports);
    client.agree(opt::EXTENDED_HEADERS, b"");
    client.send_option(opt::EXPORT_NAME, b"disk");
    assert!(client.is_closed(), "not after extended headers");
}

#[test]
fn options_that_are_refused_leave_the_session_alive() {
    let (server, exports) = one(MemoryDisk::new(SIZE));
    let mut client = Client::greeted(&server, &exports);
    for (option, data, verdict) in [
        (99, &b"whatever"[..], rep::ERR_UNSUP),
        (4, b"", rep::ERR_UNSUP),
        (opt::LIST, b"x", rep::ERR_INVALID),
        (opt::STRUCTURED_REPLY, b"x", rep::ERR_INVALID),
        (opt::EXTENDED_HEADERS, b"x", rep::ERR_INVALID),
        (opt::STARTTLS, b"", rep::ERR_POLICY),
        (opt::GO, &info("other", &[]), rep::ERR_UNKNOWN),
        (opt::INFO, b"\0\0\0\x09disk\0\0", rep::ERR_INVALID),
        (opt::INFO, b"\0\0\0\x04disk\0\x01", rep::ERR_INVALID),
        (opt::INFO, b"", rep::ERR_INVALID),
        (opt::SET_META_CONTEXT, &meta("disk", &["base:allocation"]), rep::ERR_INVALID),
        (opt::LIST_META_CONTEXT, &meta("disk", &[]), rep::ERR_INVALID),
        (opt::GO, &info(&"n".repeat(4097), &[]), rep::ERR_INVALID),
        (opt::GO, &info(&"n".repeat(4096), &[]), rep::ERR_UNKNOWN),
        (98, &[7; 200_000], rep::ERR_TOO_BIG),
        (opt::STRUCTURED_REPLY, b"", rep::ACK),
        (opt::STRUCTURED_REPLY, b"", rep::ERR_INVALID),
        (opt::SET_META_CONTEXT, &meta("other", &["base:allocation"]), rep::ERR_UNKNOWN),
        (opt::LIST_META_CONTEXT, b"\0\0\0\x04disk\xff\xff\xff\xff", rep::ERR_INVALID),
        (opt::EXTENDED_HEADERS, b"", rep::ACK),
        (opt::EXTENDED_HEADERS, b"", rep::ERR_INVALID),
        (opt::STRUCTURED_REPLY, b"", rep::ERR_EXT_HEADER_REQD),
        (opt::INFO, &info("disk", &[]), rep::ACK),
    ] {
        assert_eq!(client.verdict(option, data), verdict, "option {option}");
    }
    assert_eq!(client.verdict(opt::ABORT, b"ignored"), rep::ACK);
    assert!(client.is_closed());
}

#[test]
fn violations_end_the_session() {
    let (server, exports) = one(MemoryDisk::new(SIZE));
    let mut client = Client::new(&server, &exports);
    client.bytes(18);
    client.send(&7u32.to_be_bytes());
    assert!(client.is_closed(), "unknown client flags");
    let mut client = Client::greeted(&server, &exports);
    client.send(b"IHAVEOPX\0\0\0\x03\0\0\0\0");
    assert!(client.is_closed(), "no option");
    let mut client = Client::greeted(&server, &exports);
    client.send(b"IHAVEOPT\0\0\0\x03\xff\xff\xff\xff");
    assert!(client.is_closed(), "an absurd length");
    let mut client = Client::greeted(&server, &exports);
    client.send(b"IHAVEOPT\0\0\0\x01\0\0\x10\x01");
    assert!(client.is_closed(), "a name of 4097 bytes");
    let mut client = Client::greeted(&server, &exports);
    for _ in 0..1024 {
        assert_eq!(client.verdict(99, b""), rep::ERR_UNSUP);
    }
    assert!(client.is_closed(), "too many options");
}

#[test]
fn a_silent_or_slow_client_is_cut_off() {
    let limits = Limits { handshake: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start(limits).unwrap();
    let exports: Arc<dyn Exports> =
        Arc::new(FixedExports::default().with("disk", Arc::new(MemoryDisk::new(SIZE))));
    let mut silent = Client::greeted(&server, &exports);
    let mut slow = Client::greeted(&server, &exports);
    // One byte at a time does not buy more time.
    let mut bytes = b"IHAVEOPT".iter().cycle();
    while slow.socket.write_all(&[*bytes.next().unwrap()]).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(slow.socket.take_error().unwrap().is_none());
    }
    assert!(silent.is_closed());
    // The time is for the handshake only.
    let mut ready = Client::ready(&server, &exports, Style::Simple, &[]);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(ready.read(0, 4).error, 0);
}

/// Names that cannot be sent, and reasons of refusals.
struct Odd;

impl Exports for Odd {
    fn list(&self) -> Vec<Listed> {
        let one = |name: String, about: &str| Listed { name, description: about.into() };
        vec![one("a".into(), "the first"), one("x".repeat(5000), ""), one("ü".into(), "")]
    }

    fn open(&self, name: &str) -> Result<Export, Refusal> {
        match name {
            "denied" => Err(Refusal::Denied { reason: "busy with a restore".into() }),
            "ending" => Err(Refusal::Ending),
            "a" | "" => Ok(Export {
                name: "a".into(),
                id: "a".into(),
                description: "the first".into(),
                device: Arc::new(MemoryDisk::new(SIZE)),
            }),
            _ => Err(Refusal::Unknown),
        }
    }
}

#[test]
fn lists_names_and_refusals() {
    let server = Server::start(Limits::default()).unwrap();
    let exports: Arc<dyn Exports> = Arc::new(Odd);
    let mut client = Client::greeted(&server, &exports);
    let listed = client.option(opt::LIST, b"");
    let wanted = [
        (rep::SERVER, b"\0\0\0\x01athe first".to_vec()),
        (rep::SERVER, b"\0\0\0\x02\xc3\xbc".to_vec()),
        (rep::ACK, Vec::new()),
    ];
    assert_eq!(listed, wanted);
    let denied = client.option(opt::GO, &info("denied", &[]));
    assert_eq!(denied, [(rep::ERR_POLICY, b"busy with a restore".to_vec())]);
    assert_eq!(client.verdict(opt::INFO, &info("ending", &[])), rep::ERR_SHUTDOWN);
    let told = client.option(opt::INFO, &info("", &[1, 2]));
    assert_eq!(told[1].1, b"\0\x01a");
    assert_eq!(told[2].1, b"\0\x02the first");
}

#[test]
fn contexts_belong_to_their_export() {
    let disk = || Arc::new(MemoryDisk::new(SIZE));
    let exports: Arc<dyn Exports> =
        Arc::new(FixedExports::default().with("disk", disk()).with("other", disk()));
    let server = Server::start(Limits::default()).unwrap();
    let go = |first: &str, second: &[&str]| {
        let mut client = Client::greeted(&server, &exports);
        client.agree(opt::STRUCTURED_REPLY, b"");
        client.style = Style::Structured;
        client.agree(opt::SET_META_CONTEXT, &meta(first, &["base:allocation"]));
        for name in second {
            client.verdict(opt::SET_META_CONTEXT, &meta(name, &["base:allocation"]));
        }
        client.agree(opt::GO, &info("disk", &[]));
        client.ask(0, cmd::BLOCK_STATUS, 0, 4096).error
    };
    assert_eq!(go("disk", &[]), 0);
    assert_eq!(go("", &[]), 0, "the default export is the same one");
    assert_eq!(go("other", &[]), 22);
    assert_eq!(go("disk", &["none"]), 22, "a failure replaces what was chosen");
    assert_eq!(go("other", &["disk"]), 0);
}

#[test]
fn listing_contexts() {
    let disk = MemoryDisk::new(SIZE);
    disk.snapshot("before");
    let (server, exports) = one(disk);
    let mut client = Client::greeted(&server, &exports);
    client.agree(opt::STRUCTURED_REPLY, b"");
    let mut names = |queries: &[&str]| -> Vec<String> {
        let found = client.option(opt::LIST_META_CONTEXT, &meta("disk", queries));
        let names = found.iter().filter(|(kind, _)| *kind == rep::META_CONTEXT);
        names.map(|(_, data)| String::from_utf8(data[4..].to_vec()).unwrap()).collect()
    };
    let all = [
        "base:allocation",
        "qemu:allocation-depth",
        "tintype:changed-since:before",
        "qemu:dirty-bitmap:before",
    ];
    assert_eq!(names(&[]), all);
    assert_eq!(names(&["base:"]), all[..1]);
    assert_eq!(names(&["qemu:"]), [all[1], all[3]]);
    assert_eq!(names(&["qemu:dirty-bitmap:"]), all[3..]);
    assert!(names(&["x-unknown:", "base:else", "colonless"]).is_empty());
    let set =
        client.option(opt::SET_META_CONTEXT, &meta("disk", &["base:", all[3], "x:y", all[0]]));
    assert_eq!(set.len(), 3);
    assert_eq!(set[0].1, [&[0, 0, 0, 0], all[3].as_bytes()].concat());
    assert_eq!(set[1].1, [&[0, 0, 0, 1], all[0].as_bytes()].concat());
}

#[test]
fn only_so_many_connections() {
    let server = Server::start(Limits { connections: 2, ..Limits::default() }).unwrap();
    let exports: Arc<dyn Exports> =
        Arc::new(FixedExports::default().with("disk", Arc::new(MemoryDisk::new(SIZE))));
    let first = Client::ready(&server, &exports, Style::Simple, &[]);
    let mut second = Client::ready(&server, &exports, Style::Simple, &[]);
    assert!(Client::new(&server, &exports).is_closed());
    drop(first);
    assert_eq!(second.read(0, 4).error, 0);
    // The place of the first is free as soon as its end is noticed.
    while server.status()[0].connections > 1 {
        std::thread::yield_now();
    }
    loop {
        let mut third = Client::new(&server, &exports);
        let mut one = [0];
        if std::io::Read::read(&mut third.socket, &mut one).unwrap() == 1 {
            break;
        }
    }
}
