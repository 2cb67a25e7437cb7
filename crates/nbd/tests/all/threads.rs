//! What happens at the same time: slow requests, several connections, clients that do not read, the end.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use tintype_nbd::wire::reply::Style;
use tintype_nbd::wire::{cmd, flag, opt};
use tintype_nbd::{Exports, FixedExports, Limits, Listener, MemoryDisk, Server, TlsMode};

use crate::client::{Client, info, one};
use crate::device::Troubled;

const SIZE: u64 = 256 << 20;
const LONG: Duration = Duration::from_secs(60);

fn limited(disk: &Troubled, limits: Limits) -> (Server, Arc<dyn Exports>) {
    let exports = FixedExports::default().with("disk", Arc::new(disk.clone()));
    (Server::start(limits).unwrap(), Arc::new(exports))
}

#[test]
fn one_slow_read_holds_nobody_up() {
    for style in [Style::Simple, Style::Extended] {
        let disk = Troubled::new(MemoryDisk::new(SIZE));
        let (server, exports) = one(disk.clone());
        let mut client = Client::ready(&server, &exports, style, &[]);
        // Again and again: the thread that is held up first is not the one that is held up later.
        for round in 0..20u64 {
            disk.set(|state| state.held.insert(1 << 20));
            client.request(0, cmd::READ, 1000 + round, 1 << 20, 512, &[]);
            for n in 0..10 {
                client.request(0, cmd::READ, n, n * 512, 512, &[]);
            }
            for _ in 0..10 {
                assert!(client.reply(512).cookie < 10);
            }
            assert_eq!(client.write(flag::FUA, 0, b"x").error, 0);
            disk.set(|state| state.held.clear());
            assert_eq!(client.reply(512).cookie, 1000 + round);
        }
    }
}

#[test]
fn many_slow_reads_are_done_side_by_side_up_to_the_limit() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let limits = Limits { helpers_per_connection: 5, ..Limits::default() };
    let (server, exports) = limited(&disk, limits);
    let mut client = Client::ready(&server, &exports, Style::Structured, &[]);
    let held = (0..20u64).map(|n| n << 20);
    disk.set(|state| state.held.extend(held.clone()));
    for (n, offset) in held.enumerate() {
        client.request(0, cmd::READ, n as u64, offset, 4096, &[]);
    }
    // One thread of its own and five helpers.
    disk.wait(|state| state.waiting == 6);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(disk.state.0.lock().begun.len(), 6);
    disk.set(|state| state.held.clear());
    let mut cookies: Vec<u64> = (0..20).map(|_| client.reply(0).cookie).collect();
    cookies.sort_unstable();
    assert!(cookies.iter().copied().eq(0..20));
}

#[test]
fn bytes_in_flight_are_bounded() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let limits = Limits { bytes_per_connection: 4 << 20, ..Limits::default() };
    let (server, exports) = limited(&disk, limits);
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    disk.set(|state| state.held.extend((0..100u64).map(|n| n << 20)));
    for n in 0..100u64 {
        client.request(0, cmd::READ, n, n << 20, 1 << 20, &[]);
    }
    disk.wait(|state| state.waiting == 4);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(disk.state.0.lock().waiting, 4, "a fifth would not fit");
    // Nobody reads replies yet: what is read ahead stays bounded too, by the limit and what the socket holds.
    disk.set(|state| state.held.clear());
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = disk.state.0.lock().begun.len();
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before <= 16, "{before} of 100 reads done for a client that does not read");
    let mut cookies: Vec<u64> = (0..100).map(|_| client.reply(1 << 20).cookie).collect();
    cookies.sort_unstable();
    assert!(cookies.iter().copied().eq(0..100));
    // More than the limit at once still works.
    assert_eq!(client.read(0, 32 << 20).data[0].1.len(), 32 << 20);
}

#[test]
fn a_flush_covers_all_connections() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let (server, exports) = one(disk.clone());
    let mut first = Client::ready(&server, &exports, Style::Simple, &[]);
    let mut second = Client::ready(&server, &exports, Style::Structured, &[]);
    assert_eq!(first.write(0, 0, b"one").error, 0);
    assert_eq!(second.read(0, 3).data, [(0, b"one".to_vec())], "seen at once");
    assert_eq!(second.ask(0, cmd::FLUSH, 0, 0).error, 0);
    assert_eq!(disk.state.0.lock().log, [Some((0, 3)), None]);
    let status = server.status();
    let found = &status[0];
    assert_eq!((found.name.as_str(), found.connections), ("disk", 2));
    assert_eq!((found.requests, found.errors), (3, 0));
    assert_eq!((found.bytes_read, found.bytes_written), (3, 3));
}

#[test]
fn a_stop_answers_what_has_arrived() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let (server, exports) = one(disk.clone());
    let mut busy = Client::ready(&server, &exports, Style::Simple, &[]);
    let mut idle = Client::ready(&server, &exports, Style::Simple, &[]);
    let mut shy = Client::greeted(&server, &exports);
    disk.set(|state| state.held.insert(0));
    busy.request(0, cmd::READ, 1, 0, 512, &[]);
    disk.wait(|state| state.waiting == 1);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| server.stop(LONG));
        assert!(idle.is_closed() && shy.is_closed());
        disk.set(|state| state.held.clear());
        assert_eq!(busy.reply(512).error, 0);
        assert!(busy.is_closed());
        assert_eq!(stop.join().unwrap(), 0);
    });
    assert!(Client::new(&server, &exports).is_closed());
    assert_eq!(server.status()[0].connections, 0);
}

#[test]
fn the_clients_of_one_export_can_be_let_go() {
    let disk = || Arc::new(MemoryDisk::new(SIZE));
    let exports: Arc<dyn Exports> =
        Arc::new(FixedExports::default().with("disk", disk()).with("other", disk()));
    let server = Server::start(Limits::default()).unwrap();
    let mut first = Client::ready(&server, &exports, Style::Simple, &[]);
    let mut second = Client::greeted(&server, &exports);
    second.agree(opt::GO, &info("other", &[]));
    assert_eq!(first.read(0, 4).error, 0);
    assert_eq!(second.read(0, 4).error, 0);
    assert_eq!((server.clients("disk"), server.clients("other")), (1, 1));
    assert_eq!(server.close(&|id| id == "disk", Duration::from_secs(100)), 1);
    assert_eq!((server.clients("disk"), server.clients("other")), (0, 1));
    assert!(first.is_closed());
    assert_eq!(second.read(0, 4).error, 0);
    assert_eq!(server.close(&|id| id == "none", Duration::from_secs(100)), 0);
}

#[test]
fn who_is_let_go_gets_the_answers_of_what_had_arrived() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let (server, exports) = one(disk.clone());
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    disk.set(|state| state.held.insert(0));
    client.request(0, cmd::READ, 1, 0, 512, &[]);
    disk.wait(|state| state.waiting == 1);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| server.close(&|id| id == "disk", Duration::from_secs(100)));
        assert_eq!(server.clients("disk"), 1);
        disk.set(|state| state.held.clear());
        assert_eq!(client.reply(512).error, 0);
        assert_eq!(closing.join().unwrap(), 1);
    });
    assert!(client.is_closed());
    // What never answers is cut off.
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    disk.set(|state| state.held.insert(0));
    client.request(0, cmd::READ, 1, 0, 512, &[]);
    disk.wait(|state| state.waiting == 1);
    assert_eq!(server.close(&|id| id == "disk", Duration::from_millis(10)), 1);
    assert!(client.is_closed());
    disk.set(|state| state.held.clear());
}

#[test]
fn a_stop_does_not_wait_for_a_device_that_hangs() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let (server, exports) = one(disk.clone());
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    disk.set(|state| state.held.insert(0));
    client.request(0, cmd::READ, 1, 0, 512, &[]);
    disk.wait(|state| state.waiting == 1);
    assert_eq!(server.stop(Duration::from_millis(10)), 1);
    assert!(client.is_closed());
    disk.set(|state| state.held.clear());
}

#[test]
fn a_client_that_leaves_takes_nothing_with_it() {
    let disk = Troubled::new(MemoryDisk::new(SIZE));
    let (server, exports) = one(disk.clone());
    let mut other = Client::ready(&server, &exports, Style::Simple, &[]);
    for _ in 0..50 {
        let mut client = Client::ready(&server, &exports, Style::Structured, &[]);
        disk.set(|state| state.held.insert(4096));
        client.request(0, cmd::READ, 1, 4096, 512, &[]);
        client.request(0, cmd::READ, 2, 8192, 1 << 20, &[]);
        // Half of a payload.
        client.request(0, cmd::WRITE, 3, 0, 1 << 20, &[1; 1000]);
        drop(client);
        disk.set(|state| state.held.clear());
        assert_eq!(other.read(0, 512).data[0].1, [0; 512], "no half of a write is done");
    }
    while server.status()[0].connections > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn listeners_on_unix_and_tcp() {
    let exports: Arc<dyn Exports> =
        Arc::new(FixedExports::default().with("disk", Arc::new(MemoryDisk::new(SIZE))));
    let server = Server::start(Limits::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let unix = UnixListener::bind(&path).unwrap();
    unix.set_nonblocking(true).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    server.listen(Listener::Unix(unix), Arc::clone(&exports), TlsMode::Off).unwrap();
    server.listen(Listener::Tcp(tcp), Arc::clone(&exports), TlsMode::Off).unwrap();
    let greeting = |mut socket: Box<dyn std::io::Read>| {
        let mut bytes = [0; 18];
        socket.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"NBDMAGICIHAVEOPT\0\x03");
    };
    greeting(Box::new(std::os::unix::net::UnixStream::connect(&path).unwrap()));
    greeting(Box::new(std::net::TcpStream::connect(address).unwrap()));
    assert_eq!(server.stop(LONG), 0);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
    let late = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(server.listen(Listener::Tcp(late), exports, TlsMode::Off).is_err());
}

#[test]
fn dropping_a_server_ends_everything() {
    let (server, exports) = one(MemoryDisk::new(SIZE));
    let mut client = Client::ready(&server, &exports, Style::Simple, &[]);
    drop(server);
    assert!(client.is_closed());
}
