//! The contract of the port to places, one promise each. Every check gets an empty place.

#![allow(dead_code)]

use std::sync::Arc;

use tintype_repo::{Backend, BackendError, FileKind, Id};

type Check = fn(&Arc<dyn Backend>);

/// All promises, with their names.
pub const ALL: [(&str, Check); 11] = [
    ("files_come_back", files_come_back),
    ("parts_and_their_edges", parts_and_their_edges),
    ("what_is_missing", what_is_missing),
    ("lists", lists),
    ("removal", removal),
    ("writing_again", writing_again),
    ("config", config),
    ("large_files", large_files),
    ("many_threads", many_threads),
    ("absurd_parts", absurd_parts),
    ("creation", creation),
];

/// Writes a file under its own hash.
fn put(backend: &Arc<dyn Backend>, kind: FileKind, data: &[u8]) -> Id {
    let id = Id::of(data);
    backend.write(kind, id, data).unwrap();
    id
}

fn sorted(backend: &Arc<dyn Backend>, kind: FileKind) -> Vec<(Id, u64)> {
    let mut all = backend.list(kind).unwrap();
    all.sort_unstable();
    all
}

/// Bytes that no compression and no line ending could leave as they are by accident.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

pub fn files_come_back(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    for kind in FileKind::MANY {
        for data in [&b""[..], b"x", b"\r\n\0\xff", &noise(70_000)] {
            let id = put(backend, kind, data);
            assert_eq!(backend.read(kind, id).unwrap(), data);
        }
    }
    assert!(!backend.location().is_empty());
}

pub fn parts_and_their_edges(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    let data = noise(1000);
    let id = put(backend, FileKind::Pack, &data);
    let part = |offset, len| backend.read_part(FileKind::Pack, id, offset, len);
    for (from, to) in
        [(0, 1000), (0, 1), (999, 1000), (500, 501), (17, 900), (0, 0), (5, 5), (1000, 1000)]
    {
        assert_eq!(part(from as u64, to - from).unwrap(), data[from..to], "{from}..{to}");
    }
    for (offset, len) in [(0, 1001), (999, 2), (1000, 1), (1001, 0), (5000, 10)] {
        let answer = part(offset, len);
        assert!(matches!(answer, Err(BackendError::Short { .. })), "{offset} {len} {answer:?}");
    }
    // Space that had another use is the file, or the part, and nothing else.
    let mut used = noise(3000);
    backend.read_into(FileKind::Pack, id, &mut used).unwrap();
    assert!(used == data);
    for (from, len) in [(17, 900), (5, 0), (0, 1000)] {
        backend.read_part_into(FileKind::Pack, id, from as u64, len, &mut used).unwrap();
        assert_eq!(used, data[from..from + len]);
    }
    let short = backend.read_part_into(FileKind::Pack, id, 999, 2, &mut used);
    assert!(matches!(short, Err(BackendError::Short { .. })), "{short:?}");
    let empty = put(backend, FileKind::Pack, b"");
    assert_eq!(backend.read_part(FileKind::Pack, empty, 0, 0).unwrap(), b"");
    let short = backend.read_part(FileKind::Pack, empty, 0, 1);
    assert!(matches!(short, Err(BackendError::Short { .. })), "{short:?}");
}

/// Numbers from a hostile index: neither an overflow nor memory for what the file cannot hold.
pub fn absurd_parts(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    let id = put(backend, FileKind::Pack, b"small");
    for (offset, len) in [
        (0, usize::MAX),
        (u64::MAX, usize::MAX),
        (u64::MAX, 1),
        (u64::MAX, 0),
        (1, 1 << 50),
        (i64::MAX as u64, 3),
    ] {
        let answer = backend.read_part(FileKind::Pack, id, offset, len);
        assert!(matches!(answer, Err(BackendError::Short { .. })), "{offset} {len} {answer:?}");
    }
}

pub fn what_is_missing(backend: &Arc<dyn Backend>) {
    // Also when not even the folders are there.
    for made in [false, true] {
        if made {
            backend.create().unwrap();
        }
        for kind in FileKind::MANY.into_iter().chain([FileKind::Config]) {
            let id = Id::of(b"nowhere");
            for answer in [
                backend.read(kind, id),
                backend.read_part(kind, id, 0, 1),
                backend.read_part(kind, id, 0, 0),
            ] {
                let e = answer.unwrap_err();
                assert!(matches!(e, BackendError::NotFound { .. }), "{kind} {e:?}");
                assert!(e.is_permanent());
                assert!(e.to_string().contains(&backend.location()));
            }
        }
    }
}

pub fn lists(backend: &Arc<dyn Backend>) {
    for kind in FileKind::MANY {
        assert_eq!(backend.list(kind).unwrap(), []);
    }
    backend.create().unwrap();
    for kind in FileKind::MANY {
        let mut wanted: Vec<_> =
            (0..40usize).map(|len| (put(backend, kind, &noise(len)), len as u64)).collect();
        wanted.sort_unstable();
        assert_eq!(sorted(backend, kind), wanted, "{kind}");
    }
    assert_eq!(backend.list(FileKind::Config).unwrap(), []);
}

pub fn removal(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    for kind in FileKind::MANY {
        let (gone, stays) = (put(backend, kind, b"a"), put(backend, kind, b"bb"));
        for _ in 0..2 {
            backend.remove(kind, gone).unwrap();
        }
        assert_eq!(sorted(backend, kind), [(stays, 2)]);
        assert!(matches!(backend.read(kind, gone), Err(BackendError::NotFound { .. })));
        // It can come again.
        assert_eq!(backend.read(kind, put(backend, kind, b"a")).unwrap(), b"a");
    }
}

pub fn writing_again(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    for kind in FileKind::MANY {
        let data = noise(5000);
        let id = put(backend, kind, &data);
        put(backend, kind, &data);
        assert_eq!(backend.read(kind, id).unwrap(), data);
        assert_eq!(sorted(backend, kind), [(id, 5000)]);
    }
}

pub fn config(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    assert_eq!(backend.list(FileKind::Config).unwrap(), []);
    // Its id is not used, and other content replaces it.
    let ids = [Id::default(), Id::of(b"any"), Id::default()];
    for (id, data) in ids.into_iter().zip([&b"first"[..], b"second version", b"third"]) {
        backend.write(FileKind::Config, id, data).unwrap();
        for id in ids {
            assert_eq!(backend.read(FileKind::Config, id).unwrap(), data);
        }
        assert_eq!(backend.list(FileKind::Config).unwrap(), [(Id::default(), data.len() as u64)]);
        assert_eq!(backend.read_part(FileKind::Config, id, 1, 2).unwrap(), data[1..3]);
    }
    for kind in FileKind::MANY {
        assert_eq!(backend.list(kind).unwrap(), [], "{kind}");
    }
    backend.remove(FileKind::Config, Id::default()).unwrap();
    assert_eq!(backend.list(FileKind::Config).unwrap(), []);
}

pub fn large_files(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    let data = noise(20 << 20);
    let id = put(backend, FileKind::Pack, &data);
    assert!(backend.read(FileKind::Pack, id).unwrap() == data);
    let (from, len) = (3 << 20, 16 << 20);
    let part = backend.read_part(FileKind::Pack, id, from as u64, len).unwrap();
    assert!(part == data[from..from + len]);
    assert_eq!(backend.list(FileKind::Pack).unwrap(), [(id, 20 << 20)]);
}

pub fn many_threads(backend: &Arc<dyn Backend>) {
    backend.create().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            scope.spawn(move || {
                for i in 0..20u8 {
                    // One file in two is written by all of them at once.
                    let data = if i % 2 == 0 { vec![i; 3000] } else { vec![thread, i] };
                    let id = put(backend, FileKind::Pack, &data);
                    assert_eq!(backend.read(FileKind::Pack, id).unwrap(), data);
                    backend.list(FileKind::Pack).unwrap();
                }
            });
        }
    });
    assert_eq!(backend.list(FileKind::Pack).unwrap().len(), 10 + 80);
}

pub fn creation(backend: &Arc<dyn Backend>) {
    for _ in 0..2 {
        backend.create().unwrap();
        let id = put(backend, FileKind::Snapshot, b"s");
        assert_eq!(sorted(backend, FileKind::Snapshot), [(id, 1)]);
    }
}
