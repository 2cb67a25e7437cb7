//! Trying again, with a clock that does not wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tintype_repo::{Backend, BackendError, Clock, FileKind, Id, MemoryBackend, Patience, Retrying};

type Result<T> = std::result::Result<T, BackendError>;

/// Fails as often as it is told to, then does what memory does.
struct Failing {
    inner: MemoryBackend,
    left: Mutex<u32>,
    error: fn() -> BackendError,
}

impl Failing {
    fn new(times: u32, error: fn() -> BackendError) -> Arc<Self> {
        Arc::new(Self { inner: MemoryBackend::new(), left: Mutex::new(times), error })
    }

    fn pass(&self) -> Result<&MemoryBackend> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 {
            return Ok(&self.inner);
        }
        *left -= 1;
        Err((self.error)())
    }
}

struct Shared(Arc<Failing>);

impl Backend for Shared {
    fn location(&self) -> String {
        self.0.inner.location()
    }
    fn create(&self) -> Result<()> {
        self.0.pass()?.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        self.0.pass()?.list(kind)
    }
    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        self.0.pass()?.read(kind, id)
    }
    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.0.pass()?.read_part(kind, id, offset, len)
    }
    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.0.pass()?.write(kind, id, data)
    }
    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        self.0.pass()?.remove(kind, id)
    }
}

/// Time passes by sleeping only.
struct Sleeper {
    pauses: Mutex<Vec<Duration>>,
    random: u32,
}

impl Clock for Sleeper {
    fn now(&self) -> Duration {
        self.pauses.lock().unwrap().iter().sum()
    }
    fn sleep(&self, pause: Duration) {
        self.pauses.lock().unwrap().push(pause);
    }
    fn random(&self) -> u32 {
        self.random
    }
}

fn io_error(kind: io::ErrorKind) -> BackendError {
    BackendError::Io {
        doing: "try",
        object: "it".into(),
        location: "there".into(),
        source: kind.into(),
    }
}

fn passing() -> BackendError {
    io_error(io::ErrorKind::ConnectionReset)
}

fn refused(status: u16) -> BackendError {
    let (object, location) = ("it".to_owned(), "there".to_owned());
    BackendError::Refused { doing: "try", object, location, status, detail: String::new() }
}

fn around(failing: &Arc<Failing>, random: u32) -> (Retrying<Shared>, Arc<Sleeper>) {
    let clock = Arc::new(Sleeper { pauses: Mutex::default(), random });
    let retrying = Retrying::new(Shared(Arc::clone(failing)), Patience::default());
    (retrying.with_clock(clock.clone()), clock)
}

#[test]
fn every_call_is_tried_again() {
    type Call = fn(&dyn Backend) -> bool;
    const CALLS: [Call; 6] = [
        |b| b.create().is_ok(),
        |b| b.list(FileKind::Key).is_ok(),
        |b| b.write(FileKind::Key, Id::default(), b"key").is_ok(),
        |b| b.read(FileKind::Key, Id::default()).is_ok_and(|data| data == b"key"),
        |b| b.read_part(FileKind::Key, Id::default(), 1, 1).is_ok_and(|data| data == b"e"),
        |b| b.remove(FileKind::Key, Id::default()).is_ok(),
    ];
    let failing = Failing::new(0, passing);
    let (retrying, clock) = around(&failing, 0);
    for (i, call) in CALLS.into_iter().enumerate() {
        *failing.left.lock().unwrap() = 3;
        assert!(call(&retrying), "call {i}");
        assert_eq!(clock.pauses.lock().unwrap().len(), 3 * (i + 1));
    }
}

#[test]
fn pauses_grow_and_end() {
    for (random, factor) in [(0, 0.5), (u32::MAX, 1.5)] {
        let failing = Failing::new(0, passing);
        let (retrying, clock) = around(&failing, random);
        retrying.create().unwrap();
        *failing.left.lock().unwrap() = u32::MAX;
        retrying.create().unwrap_err();
        let pauses = clock.pauses.lock().unwrap().clone();
        let seconds: Vec<f64> = pauses.iter().map(|pause| pause.as_secs_f64() / factor).collect();
        assert_eq!(seconds[..8], [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]);
        assert!(seconds[8..pauses.len() - 1].iter().all(|each| *each == 60.0));
        assert_eq!(pauses.iter().sum::<Duration>(), Duration::from_mins(15));
    }
}

#[test]
fn patience_is_short_before_the_first_answer() {
    let failing = Failing::new(u32::MAX, passing);
    let (retrying, clock) = around(&failing, 7);
    retrying.list(FileKind::Config).unwrap_err();
    assert_eq!(clock.now(), Duration::from_secs(30));
    // A file that is not there is an answer.
    *failing.left.lock().unwrap() = 0;
    let e = retrying.read(FileKind::Config, Id::default()).unwrap_err();
    assert!(matches!(e, BackendError::NotFound { .. }));
    *failing.left.lock().unwrap() = u32::MAX;
    retrying.list(FileKind::Config).unwrap_err();
    assert_eq!(clock.now(), Duration::from_secs(30 + 900));
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    const PERMANENT: [fn() -> BackendError; 8] = [
        || BackendError::NotFound { kind: FileKind::Key, id: Id::default(), location: "x".into() },
        || BackendError::Short { kind: FileKind::Key, id: Id::default(), location: "x".into() },
        || refused(401),
        || refused(403),
        || refused(416),
        || refused(507),
        || io_error(io::ErrorKind::StorageFull),
        || io_error(io::ErrorKind::PermissionDenied),
    ];
    for error in PERMANENT {
        let (retrying, clock) = around(&Failing::new(1, error), 0);
        retrying.create().unwrap_err();
        assert_eq!(clock.pauses.lock().unwrap().len(), 0, "{:?}", error());
    }
}

#[test]
fn the_caller_hears_of_every_pause() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (retrying, clock) = around(&Failing::new(2, || refused(503)), 0);
    let hears = Arc::clone(&heard);
    let retrying =
        retrying.with_notice(move |e, pause| hears.lock().unwrap().push((e.to_string(), pause)));
    retrying.create().unwrap();
    let heard = heard.lock().unwrap();
    let pauses: Vec<_> = heard.iter().map(|(_, pause)| *pause).collect();
    assert_eq!(pauses, *clock.pauses.lock().unwrap());
    assert!(heard[0].0.contains("503"), "{heard:?}");
}
