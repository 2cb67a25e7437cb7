//! Every command with every form of replies: what is answered, and what the device has heard.

use tintype_nbd::wire::reply::Style;
use tintype_nbd::wire::{cmd, flag};
use tintype_nbd::{Device, DeviceError, MemoryDisk};

use crate::client::{Client, one};
use crate::device::Troubled;

const SIZE: u64 = 8 << 20;
const STYLES: [Style; 3] = [Style::Simple, Style::Structured, Style::Extended];
const CONTEXTS: [&str; 3] =
    ["base:allocation", "qemu:allocation-depth", "tintype:changed-since:before"];

const PERM: u32 = 1;
const IO: u32 = 5;
const INVAL: u32 = 22;
const NOSPC: u32 = 28;
const OVERFLOW: u32 = 75;
const NOTSUP: u32 = 95;
const SHUTDOWN: u32 = 108;

fn on_each(test: impl Fn(&Troubled, &mut Client)) {
    for style in STYLES {
        let disk = Troubled::new(MemoryDisk::new(SIZE));
        let (server, exports) = one(disk.clone());
        let mut client = Client::ready(&server, &exports, style, &[]);
        test(&disk, &mut client);
        assert_eq!(client.read(0, 1).error, 0, "the connection lives");
        assert!(disk.state.0.lock().violations.is_empty());
    }
}

#[test]
fn golden_replies() {
    let (server, exports) = one(MemoryDisk::new(SIZE));
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    client.request(0, cmd::WRITE, 0x0102, 4096, 3, b"abc");
    assert_eq!(client.bytes(16), b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\x01\x02");
    client.request(0, cmd::READ, 0x0103, 4095, 4, b"");
    assert_eq!(client.bytes(20), b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\x01\x03\0abc");
    client.request(0, cmd::READ, 0x0104, SIZE, 4, b"");
    assert_eq!(client.bytes(16), b"\x67\x44\x66\x98\0\0\0\x16\0\0\0\0\0\0\x01\x04");
    let mut client = Client::ready(&server, &exports, Style::Structured, &["base:allocation"]);
    client.request(0, cmd::READ, 0x0103, 4095, 4, b"");
    let wanted = b"\x66\x8e\x33\xef\0\x01\0\x01\0\0\0\0\0\0\x01\x03\0\0\0\x0c\
        \0\0\0\0\0\0\x0f\xff\0abc";
    assert_eq!(client.bytes(wanted.len()), wanted);
    client.request(0, cmd::BLOCK_STATUS, 0x0105, 0, 12288, b"");
    let wanted = b"\x66\x8e\x33\xef\0\x01\0\x05\0\0\0\0\0\0\x01\x05\0\0\0\x1c\0\0\0\0\
        \0\0\x10\0\0\0\0\x03\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0\0\x03";
    assert_eq!(client.bytes(wanted.len()), wanted);
}

#[test]
fn what_was_written_is_read() {
    on_each(|disk, client| {
        let data: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        assert_eq!(client.write(0, 4096 * 3 + 5, &data).error, 0);
        // The longest that is allowed, as one piece.
        let flags = if client.style == Style::Simple { 0 } else { flag::DF };
        let all = client.ask(flags, cmd::READ, 0, SIZE);
        assert_eq!((all.error, all.data.len()), (0, 1));
        let start = 4096 * 3 + 5;
        assert_eq!(all.data[0].1[start..start + data.len()], data);
        assert!(all.data[0].1[..start].iter().all(|byte| *byte == 0));
        assert_eq!(client.write(flag::FUA, 0, b"x").error, 0);
        assert_eq!(client.ask(0, cmd::FLUSH, 0, 0).error, 0);
        let log = disk.state.0.lock().log.clone();
        assert_eq!(log, [Some((start as u64, data.len())), Some((0, 1)), None, None]);
    });
}

#[test]
fn holes_travel_without_bytes() {
    for style in [Style::Structured, Style::Extended] {
        let (server, exports) = one(MemoryDisk::new(SIZE));
        let mut client = Client::ready(&server, &exports, style, &[]);
        client.write(0, 1 << 20, &[7; 4096]);
        let reply = client.read(4096, 2 << 20);
        assert_eq!(reply.holes, [(4096, (1 << 20) - 4096), ((1 << 20) + 4096, 1 << 20)]);
        assert_eq!(reply.data, [(1 << 20, vec![7; 4096])]);
        let reply = client.ask(flag::DF, cmd::READ, 4096, 2 << 20);
        assert_eq!((reply.holes.len(), reply.data.len(), reply.chunks), (0, 1, 1));
        assert_eq!(reply.data[0].1.len(), 2 << 20);
        let reply = client.read(0, 0);
        assert_eq!((reply.error, reply.chunks, reply.data.len()), (0, 1, 0));
    }
}

#[test]
fn limits_and_unknown_things() {
    on_each(|disk, client| {
        let structured = client.style >= Style::Structured;
        let mut error = |flags, command, offset, length| {
            let reply = client.ask(flags, command, offset, length);
            assert_eq!(reply.text.is_empty(), !structured || reply.error == 0, "{reply:?}");
            assert_eq!(reply.cookie, 77);
            reply.error
        };
        let oversize = if structured { OVERFLOW } else { INVAL };
        assert_eq!(error(0, cmd::READ, SIZE - 1, 2), INVAL);
        assert_eq!(error(0, cmd::READ, u64::MAX, 2), INVAL);
        assert_eq!(error(0, cmd::READ, 0, (32 << 20) + 1), oversize);
        assert_eq!(error(0, cmd::READ, 0, 0xffff_ffff), oversize);
        assert_eq!(error(0, cmd::TRIM, SIZE - 1, 2), INVAL);
        assert_eq!(error(0, cmd::CACHE, SIZE - 1, 2), INVAL);
        assert_eq!(error(0, cmd::WRITE_ZEROES, SIZE - 1, 2), NOSPC);
        assert_eq!(error(0, cmd::WRITE_ZEROES, 0, 0xffff_ffff), NOSPC);
        assert_eq!(error(0, cmd::BLOCK_STATUS, 0, 512), INVAL, "no contexts");
        assert_eq!(error(0, cmd::FLUSH, 512, 0), INVAL);
        assert_eq!(error(0, 8, 0, 0), INVAL);
        assert_eq!(error(0, 0xffff, 0, 0), INVAL);
        assert_eq!(error(1 << 15, cmd::READ, 0, 512), INVAL);
        assert_eq!(error(flag::NO_HOLE, cmd::TRIM, 0, 512), INVAL);
        assert_eq!(error(flag::FUA, cmd::CACHE, 0, 512), 0, "FUA goes with everything");
        for command in [cmd::TRIM, cmd::CACHE, cmd::WRITE_ZEROES] {
            assert_eq!(error(0, command, 0, 0), 0);
            assert_eq!(error(0, command, SIZE, 0), 0);
        }
        assert_eq!(client.write(0, SIZE - 1, b"ab").error, NOSPC);
        assert_eq!(client.write(0, 5, b"").error, 0);
        assert_eq!(client.write(1 << 14, 0, b"ab").error, INVAL);
        assert!(disk.state.0.lock().log.is_empty());
    });
}

#[test]
fn oversize_payloads() {
    let (server, exports) = one(MemoryDisk::new(SIZE));
    let mut client = Client::ready(&server, &exports, Style::Structured, &[]);
    assert_eq!(client.write(0, 0, &vec![1; (32 << 20) + 1]).error, INVAL);
    assert_eq!(client.read(0, 2).data, [(0, vec![0; 2])]);
    client.request(0, cmd::WRITE, 1, 0, 0xffff_ffff, &[]);
    assert!(client.is_closed());
    let mut client = Client::ready(&server, &exports, Style::Extended, &[]);
    client.request(0, cmd::WRITE, 1, 0, 512, &[8; 512]);
    assert_eq!(client.reply(0).error, 0, "QEMU leaves the payload flag out");
    client.request(flag::PAYLOAD_LEN, cmd::READ, 1, 0, 512, &[9; 512]);
    assert_eq!(client.reply(0).error, INVAL, "a read takes no payload");
    assert_eq!(client.ask(0, cmd::TRIM, 0, 1 << 40).error, INVAL);
    client.request(flag::PAYLOAD_LEN, cmd::WRITE, 1, 0, 1 << 40, &[]);
    assert!(client.is_closed());
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    client.send(&[0x25, 0x60, 0x95, 0x14]);
    assert!(client.is_closed(), "a wrong magic");
}

#[test]
fn alignment() {
    let disk = Troubled::new(MemoryDisk::new(SIZE).with_minimum_block(512));
    let (server, exports) = one(disk.clone());
    let mut client = Client::ready(&server, &exports, Style::Structured, &["base:allocation"]);
    for command in [cmd::READ, cmd::TRIM, cmd::CACHE, cmd::WRITE_ZEROES, cmd::BLOCK_STATUS] {
        assert_eq!(client.ask(0, command, 1, 512).error, INVAL);
        assert_eq!(client.ask(0, command, 512, 511).error, INVAL);
        assert_eq!(client.ask(0, command, 512, 512).error, 0);
    }
    assert_eq!(client.write(0, 512, &[1; 511]).error, INVAL);
    assert_eq!(client.write(0, 511, &[1; 512]).error, INVAL);
    assert_eq!(client.write(0, 512, &[1; 512]).error, 0);
    assert!(disk.state.0.lock().violations.is_empty());
}

#[test]
fn read_only() {
    let disk = Troubled::new(MemoryDisk::new(SIZE).read_only());
    let (server, exports) = one(disk.clone());
    for style in STYLES {
        let mut client = Client::ready(&server, &exports, style, &[]);
        assert_eq!(client.write(0, 0, &[1; 5000]).error, PERM);
        assert_eq!(client.ask(0, cmd::TRIM, 0, 512).error, PERM);
        assert_eq!(client.ask(0, cmd::WRITE_ZEROES, 0, 512).error, PERM);
        assert_eq!(client.ask(0, cmd::FLUSH, 0, 0).error, 0);
        assert_eq!(client.read(0, 512).error, 0);
    }
    assert!(disk.state.0.lock().violations.is_empty());
}

#[test]
fn zeroes_and_trims() {
    on_each(|disk, client| {
        client.write(0, 0, &[1; 40960]);
        assert_eq!(client.ask(0, cmd::WRITE_ZEROES, 1, 8191).error, 0);
        assert_eq!(client.read(0, 4096).data[0].1[..2], [1, 0]);
        assert_eq!(client.ask(flag::NO_HOLE, cmd::WRITE_ZEROES, 8192, 4096).error, 0);
        let status = |offset: u64| {
            let of = tintype_nbd::Context::Allocation;
            disk.inner.block_status(&of, offset..offset + 4096, 1).unwrap()[0].state
        };
        assert_eq!((status(4096), status(8192)), (3, 0), "room stays when that is asked for");
        assert_eq!(client.ask(flag::FUA, cmd::TRIM, 12288, 4096).error, 0);
        assert_eq!((status(12288), disk.state.0.lock().log.last().cloned()), (3, Some(None)));
        // A device without a better way.
        disk.set(|state| state.slow_zeroes = true);
        let fast = client.ask(flag::FAST_ZERO, cmd::WRITE_ZEROES, 16384, 4096);
        assert_eq!(fast.error, NOTSUP);
        assert_eq!(client.read(16384, 1).data[0].1, [1], "nothing has changed");
        assert_eq!(client.ask(0, cmd::WRITE_ZEROES, 16385, 200_001).error, 0);
        assert_eq!(client.read(16384, 3).data[0].1, [1, 0, 0]);
    });
}

#[test]
fn block_status() {
    for style in [Style::Structured, Style::Extended] {
        let disk = MemoryDisk::new(SIZE);
        disk.write(0, &[1; 8192]).unwrap();
        disk.snapshot("before");
        disk.write(4096, &[2; 4096]).unwrap();
        disk.write(1 << 20, &[2; 4096]).unwrap();
        let (server, exports) = one(disk);
        let mut client = Client::ready(&server, &exports, style, &CONTEXTS);
        let reply = client.ask(0, cmd::BLOCK_STATUS, 0, SIZE);
        let (mib, rest) = (1 << 20, SIZE - (1 << 20) - 4096);
        let wanted = [
            (0, vec![(8192, 0), (mib - 8192, 3), (4096, 0), (rest, 3)]),
            (1, vec![(8192, 1), (mib - 8192, 0), (4096, 1), (rest, 0)]),
            (2, vec![(4096, 0), (4096, 1), (mib - 8192, 0), (4096, 1), (rest, 0)]),
        ];
        assert_eq!(reply.status, wanted);
        let reply = client.ask(flag::REQ_ONE, cmd::BLOCK_STATUS, 100, 4096 * 4);
        let wanted = [(0, vec![(8092, 0)]), (1, vec![(8092, 1)]), (2, vec![(3996, 0)])];
        assert_eq!(reply.status, wanted);
        assert_eq!(client.ask(0, cmd::BLOCK_STATUS, 0, 0).error, INVAL);
        assert_eq!(client.ask(0, cmd::BLOCK_STATUS, SIZE - 1, 2).error, INVAL);
        if style == Style::Extended {
            let payload = [&4096u64.to_be_bytes()[..], &2u32.to_be_bytes()].concat();
            client.request(flag::PAYLOAD_LEN, cmd::BLOCK_STATUS, 5, 4096, 12, &payload);
            assert_eq!(client.reply(0).status, [(2, vec![(4096, 1)])]);
            client.request(flag::PAYLOAD_LEN, cmd::BLOCK_STATUS, 5, 4096, 9000, &[0; 9000]);
            assert_eq!(client.reply(0).error, INVAL);
        }
    }
}

#[test]
fn a_snapshot_that_is_gone_is_an_error_and_no_status() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    disk.inner.snapshot("before");
    let (server, exports) = one(disk.clone());
    let mut client = Client::ready(&server, &exports, Style::Structured, &CONTEXTS);
    disk.inner.forget("before");
    let reply = client.ask(0, cmd::BLOCK_STATUS, 0, SIZE);
    assert_eq!((reply.error, reply.status.len()), (INVAL, 0));
    assert!(reply.text.contains("before"));
}

#[test]
fn errors_of_the_device() {
    on_each(|disk, client| {
        disk.set(|state| state.broken.insert(40960));
        client.write(0, 0, &[1; 8192]);
        client.write(0, 40960, &[1; 4096]);
        let reply = client.read(40960, 4096);
        let at = (client.style >= Style::Structured).then_some(40961);
        assert_eq!((reply.error, reply.at), (IO, at));
        let reply = client.read(0, 65536);
        if client.style >= Style::Structured {
            assert_eq!((reply.error, reply.at), (IO, Some(40961)));
            assert_eq!(reply.data, [(0, vec![1; 8192])], "what is right before it is told");
        }
        let cases = [
            (DeviceError::NotPermitted { detail: "d".into() }, PERM),
            (DeviceError::Io { detail: "d".into(), at: Some(SIZE) }, IO),
            (DeviceError::NoMemory, 12),
            (DeviceError::Invalid { detail: "d".into() }, INVAL),
            (DeviceError::NoSpace { detail: "d".into() }, NOSPC),
            (DeviceError::TooLarge, OVERFLOW),
            (DeviceError::NotSupported, INVAL),
            (DeviceError::Gone { detail: "deleted".into() }, SHUTDOWN),
        ];
        for (failure, errno) in cases {
            disk.set(|state| state.failure = Some(failure));
            assert_eq!(client.read(0, 4096).error, errno);
            assert_eq!(client.write(0, 0, b"x").error, errno);
            assert_eq!(client.ask(0, cmd::FLUSH, 0, 0).error, errno);
            assert_eq!(client.ask(0, cmd::TRIM, 0, 1).error, errno);
        }
        disk.set(|state| state.failure = None);
        assert_eq!(client.read(666 * 4096, 4096).error, IO, "a panic is an error of that request");
    });
}

#[test]
fn many_requests_at_once_are_all_answered() {
    on_each(|_, client| {
        let mut all = Vec::new();
        for n in 0..500u64 {
            all.extend(crate::client::request(client.style, 0, cmd::READ, n, n * 100, 100, &[]));
        }
        client.send(&all);
        let mut cookies: Vec<u64> = (0..500).map(|_| client.reply(100).cookie).collect();
        cookies.sort_unstable();
        assert!(cookies.iter().copied().eq(0..500));
    });
}
