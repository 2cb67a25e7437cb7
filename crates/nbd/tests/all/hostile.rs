//! Recorded sessions, changed at random: the server always answers or ends, never panics, and its device never hears
//! what the port rules out.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tintype_nbd::wire::reply::Style;
use tintype_nbd::wire::{cmd, flag, opt, option, request as parse};
use tintype_nbd::{Exports, FixedExports, MemoryDisk};

use crate::client::{Client, info, meta, one, request};
use crate::device::Troubled;

const SIZE: u64 = 4 << 20;

/// Deterministic, so that a failure can be repeated by its number.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Whole sessions as lists of messages.
fn sessions() -> Vec<Vec<Vec<u8>>> {
    let option = |kind: u32, data: &[u8]| {
        [b"IHAVEOPT", &kind.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), data].concat()
    };
    let greet = 3u32.to_be_bytes().to_vec();
    let contexts = ["base:allocation", "qemu:dirty-bitmap:before"];
    let mut all = vec![vec![
        greet.clone(),
        option(opt::LIST, b""),
        option(opt::INFO, &info("disk", &[0, 1, 2, 3])),
        option(99, b"unknown"),
        option(opt::LIST_META_CONTEXT, &meta("disk", &[])),
        option(opt::EXPORT_NAME, b"disk"),
        request(Style::Simple, 0, cmd::READ, 1, 0, 4096, &[]),
        request(Style::Simple, 0, cmd::DISC, 1, 0, 0, &[]),
    ]];
    for style in [Style::Simple, Style::Structured, Style::Extended] {
        let mut session = vec![greet.clone()];
        match style {
            Style::Simple => {}
            Style::Structured => session.push(option(opt::STRUCTURED_REPLY, b"")),
            Style::Extended => session.push(option(opt::EXTENDED_HEADERS, b"")),
        }
        session.push(option(opt::LIST_META_CONTEXT, &meta("disk", &["base:", "qemu:"])));
        session.push(option(opt::SET_META_CONTEXT, &meta("disk", &contexts)));
        session.push(option(opt::GO, &info("disk", &[3])));
        let payload = if style == Style::Extended { flag::PAYLOAD_LEN } else { 0 };
        let mut add = |flags, command, offset, length, data: &[u8]| {
            session.push(request(style, flags, command, 9, offset, length, data));
        };
        add(payload, cmd::WRITE, 4096, 1000, &[5; 1000]);
        add(0, cmd::READ, 0, 65536, &[]);
        add(flag::FUA, cmd::TRIM, 4096, 4096, &[]);
        add(flag::NO_HOLE, cmd::WRITE_ZEROES, 0, 1 << 20, &[]);
        add(0, cmd::BLOCK_STATUS, 0, SIZE, &[]);
        add(0, cmd::CACHE, 0, SIZE, &[]);
        add(0, cmd::FLUSH, 0, 0, &[]);
        add(payload | flag::FUA, cmd::WRITE, 0, 3, b"end");
        add(0, cmd::DISC, 0, 0, &[]);
        all.push(session);
    }
    all
}

/// A session with a few changes.
fn mutated(sessions: &[Vec<Vec<u8>>], chance: &mut Chance) -> Vec<u8> {
    const EDGES: [u32; 8] = [0, 1, 0xffff, 4096, 4097, 0x7fff_ffff, 0xffff_ffff, 32 << 20];
    let mut session = sessions[chance.below(sessions.len())].clone();
    for _ in 0..chance.below(4) {
        let (one, other) = (chance.below(session.len()), chance.below(session.len()));
        match chance.below(4) {
            0 => session.swap(one, other),
            1 => session.insert(one, session[other].clone()),
            2 => drop(session.remove(one)),
            _ => {
                let stranger = &sessions[chance.below(sessions.len())];
                session.insert(one, stranger[chance.below(stranger.len())].clone());
            }
        }
        if session.is_empty() {
            session.push(Vec::new());
        }
    }
    let mut bytes = session.concat();
    for _ in 0..chance.below(5) {
        let at = chance.below(bytes.len());
        match chance.below(4) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            1 => {
                let edge = EDGES[chance.below(EDGES.len())].to_be_bytes();
                bytes.iter_mut().skip(at).zip(edge).for_each(|(byte, new)| *byte = new);
            }
            2 => bytes.truncate(at),
            _ => bytes.insert(at.min(bytes.len()), chance.next() as u8),
        }
    }
    bytes
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The panic that another test plants is not ours.
        let planted = info.to_string().contains("planted");
        let ours = std::thread::current().name().is_some_and(|name| name.starts_with("nbd-"));
        if ours && !planted {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
}

#[test]
fn changed_sessions_end_and_harm_nobody() {
    count_panics();
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    disk.inner.snapshot("before");
    let secret = Arc::new(MemoryDisk::new(SIZE));
    tintype_nbd::Device::write(&*secret, 0, &[0xAA; 65536]).unwrap();
    let (server, exports) = one(disk.clone());
    // Another export of the same server, in use, which these clients are not shown.
    let others: Arc<dyn Exports> = Arc::new(FixedExports::default().with("disk", secret));
    let mut neighbour = Client::ready(&server, &others, Style::Structured, &[]);
    let sessions = sessions();
    for seed in 0..3000u64 {
        let bytes = mutated(&sessions, &mut Chance(seed));
        let mut client = Client::new(&server, &exports);
        let mut reader = client.socket.try_clone().unwrap();
        let answers = std::thread::spawn(move || {
            let mut all = Vec::new();
            // A reset is an end, too.
            drop(reader.read_to_end(&mut all));
            all
        });
        drop(client.socket.write_all(&bytes));
        drop(client.socket.shutdown(Shutdown::Write));
        let answers = answers.join().unwrap();
        assert!(answers.starts_with(b"NBDMAGICIHAVEOPT"), "seed {seed}");
        let leaked = answers.windows(64).any(|bytes| bytes == [0xAA; 64]);
        assert!(!leaked, "seed {seed}");
        assert_eq!(neighbour.read(65535, 1).data[0].1, [0xAA], "seed {seed}");
        let violations = disk.state.0.lock().violations.clone();
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 1 << 20, "{kib} KiB of memory were needed");
    let mut honest = Client::ready(&server, &exports, Style::Structured, &[]);
    assert_eq!(honest.read(0, 4096).error, 0);
    drop((honest, neighbour));
    assert_eq!(server.stop(std::time::Duration::from_secs(60)), 0, "all connections have ended");
}

#[test]
fn parsers_take_any_bytes() {
    let mut chance = Chance(7);
    let sessions = sessions();
    for _ in 0..20_000 {
        let bytes = mutated(&sessions, &mut chance);
        let from = chance.below(bytes.len());
        let bytes = bytes.get(from..).unwrap_or_default();
        let _ =
            (option::header(bytes), option::info(bytes), option::meta(bytes), option::name(bytes));
        for extended in [false, true] {
            if let Ok(Some(found)) = parse::request(bytes, extended) {
                let _ = found.payload(extended);
            }
        }
        let found = parse::status_payload(bytes, 64);
        assert!(found.is_none_or(|found| found.contexts.len() <= 64));
    }
}
