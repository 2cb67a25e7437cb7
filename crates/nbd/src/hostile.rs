//! One function for each thing that reads a client's bytes: takes any bytes, and panics when something does not hold what
//! it must.
//!
//! What it must: no panic, memory in proportion, an end, and nobody else's export. `tests/hostile.rs` calls them with bent
//! sessions, `fuzz/` with what a fuzzer finds. Only tests and fuzzers have this module.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::wire::request::Payload;
use crate::wire::{STRING_MAX, option, request as wire};
use crate::{Device, Exports, FixedExports, Limits, MemoryDisk, Server, TlsMode};

/// Bytes of the disk of a session: no accepted request is longer.
const DISK: u64 = 1 << 20;
/// What a session's connection may hold in memory.
const IN_FLIGHT: usize = 4 << 20;
/// What another export holds, which nobody may see.
const SECRET: [u8; 64] = [0xA7; 64];

/// The data of one option, as each of them reads it.
pub fn options(data: &[u8]) {
    let _ = option::header(data);
    if let Ok(info) = option::info(data) {
        assert!(info.name.len() <= STRING_MAX);
    }
    if let Ok(meta) = option::meta(data) {
        assert!(meta.queries.len() <= data.len() / 4);
        assert!(meta.queries.iter().all(|query| query.len() <= STRING_MAX));
    }
    if let Ok(name) = option::name(data) {
        assert_eq!(name.as_bytes(), data);
    }
}

/// Requests one after the other, with short headers and with long ones.
pub fn requests(data: &[u8]) {
    for extended in [false, true] {
        let mut rest = data;
        while let Ok(Some(found)) = wire::request(rest, extended) {
            rest = &rest[wire::header_length(extended)..];
            let length = match found.payload(extended) {
                Payload::Keep(length) => u64::from(length),
                Payload::Skip(length) => length,
                Payload::Absurd => break,
            };
            rest = &rest[rest.len().min(length as usize)..];
        }
    }
    if let Some(payload) = wire::status_payload(data, 64) {
        assert!(payload.contexts.len() <= 64);
    }
}

/// Everything that a client sends to a server, from its greeting on.
pub fn session(data: &[u8]) {
    let Place { server, exports } = place();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    server.serve(OwnedFd::from(theirs), Arc::clone(exports), TlsMode::Off);
    // Nothing that is in memory takes so long: it hangs.
    ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut reader = ours.try_clone().unwrap();
    let answers = std::thread::spawn(move || {
        let (mut all, mut part) = (0, vec![0; 64 << 10]);
        loop {
            match reader.read(&mut part) {
                Ok(0) => return all,
                Ok(count) => {
                    let leaked = part[..count].windows(SECRET.len()).any(|bytes| bytes == SECRET);
                    assert!(!leaked, "another export was read");
                    all += count;
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("the server neither answers nor ends: {error}"),
            }
        }
    });
    // A server that has ended takes no more.
    drop(ours.write_all(data));
    drop(ours.shutdown(Shutdown::Write));
    assert!(answers.join().unwrap() >= 18, "not even a greeting");
    assert!(!PANICKED.load(Ordering::SeqCst), "a thread of the server panicked");
}

static PANICKED: AtomicBool = AtomicBool::new(false);

struct Place {
    server: Server,
    exports: Arc<dyn Exports>,
}

/// One server for all sessions of a process.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = std::thread::current().name().is_some_and(|name| name.starts_with("nbd-"));
            PANICKED.fetch_or(ours, Ordering::SeqCst);
            before(info);
        }));
        let limits = Limits { bytes_per_connection: IN_FLIGHT, ..Limits::default() };
        let server = Server::start(limits).unwrap();
        let secret = Arc::new(MemoryDisk::new(DISK));
        secret.write(0, &SECRET.repeat(1024)).unwrap();
        let others: Arc<dyn Exports> = Arc::new(FixedExports::default().with("secret", secret));
        // Somebody else's export of the same server, held for as long as the process lives.
        let (client, theirs) = UnixStream::pair().unwrap();
        server.serve(OwnedFd::from(theirs), others, TlsMode::Off);
        std::mem::forget(client);
        let disk = Arc::new(MemoryDisk::new(DISK));
        disk.snapshot("before");
        let exports = Arc::new(FixedExports::default().with("disk", disk));
        Place { server, exports }
    })
}
