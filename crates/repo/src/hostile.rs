//! One function for each decoder of this crate: takes any bytes, and panics when the decoder does not hold what it must.
//!
//! What it must: no panic, memory in proportion, and what was understood is written and read again as the same. `tests/hostile.rs` calls
//! them with bent real files, `fuzz/` with what a fuzzer finds. Only tests and fuzzers have this module.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use serde::de::IgnoredAny;

use crate::backend::{FileKind, Location};
use crate::check::ReadData;
use crate::chunker::{Polynomial, hostile};
use crate::compress::{Level, unpack_frame};
use crate::config::Config;
use crate::crypto::{MasterKey, OVERHEAD};
use crate::exclude::Excludes;
use crate::id::{BlobId, Id, SnapshotId};
use crate::index::{IndexBuilder, IndexFile};
use crate::json::GoTime;
use crate::json::cursor::Cursor;
use crate::keyfile::KeyFile;
use crate::lock::LockFile;
use crate::pack::{TAIL, entries, header_length, pack_length, put_entry, read_header};
use crate::prune::Limit;
use crate::repository::{Repository, unpack_blob};
use crate::retention::GroupBy;
use crate::snapshot::{SnapshotFile, SnapshotRequest};
use crate::tree::{TreeDecoder, decode_tree, encode_tree, reencodes_identically};
use tintype_model::moment::Moment;
use tintype_model::retention::{KeepCount, KeepSpan};

/// No seed is sealed with it.
fn key() -> MasterKey {
    MasterKey::from_bytes(&std::array::from_fn(|at| 0x80 | at as u8))
}

/// Puts one key that opens at once in the place of all keys, for tests that open a repository many times.
pub fn weak_key(repo: &Repository, password: &[u8]) {
    let json = KeyFile::seal_weakly(repo.key(), password).unwrap().to_json();
    let own = Id::of(&json);
    repo.backend().write(FileKind::Key, own, &json).unwrap();
    for (id, _) in repo.backend().list(FileKind::Key).unwrap() {
        if id != own {
            repo.backend().remove(FileKind::Key, id).unwrap();
        }
    }
}

/// `config`, opened.
pub fn config(data: &[u8]) {
    if let Ok(config) = Config::parse(data) {
        assert_eq!(Config::parse(&config.to_json()), Ok(config));
    }
}

/// A key file, and the master key in one. No password is stretched: that takes as long as it should.
pub fn key_file(data: &[u8]) {
    if let Ok(file) = KeyFile::parse(data) {
        assert_eq!(KeyFile::parse(&file.to_json()), Ok(file));
    }
    if let Some(key) = MasterKey::from_json(data) {
        assert!(MasterKey::from_json(key.to_json().as_bytes()) == Some(key));
    }
}

/// Sealed bytes: nothing that was not sealed opens.
pub fn sealed(data: &[u8]) {
    let mut bytes = data.to_vec();
    assert!(key().open(&mut bytes).is_err(), "a forged code");
    let mut bytes = key().seal(data).unwrap();
    assert_eq!(bytes.len(), data.len() + OVERHEAD);
    key().open(&mut bytes).unwrap();
    assert_eq!(bytes, data);
}

/// An index file, and the table that is made of it.
pub fn index(data: &[u8]) {
    let Ok(file) = IndexFile::parse(data) else { return };
    assert_eq!(IndexFile::parse(&file.to_json()).unwrap(), file);
    let mut builder = IndexBuilder::default();
    builder.add(&file, true);
    let table = builder.build();
    for pack in file.packs.iter().chain(&file.packs_to_delete) {
        let _ = pack.length();
        for blob in &pack.blobs {
            let mut places = table.find_all(blob.kind, blob.id);
            assert!(places.any(|found| found.pack == pack.id && found.blob.offset == blob.offset));
        }
    }
}

/// A pack's header: its length, and its entries once it is open.
pub fn pack_header(data: &[u8]) {
    if let Some(tail) = data.last_chunk::<TAIL>() {
        let size = data.len() as u64;
        if let Ok(length) = header_length(*tail, size) {
            assert!(length + TAIL <= data.len());
            let header = &data[data.len() - TAIL - length..data.len() - TAIL];
            assert!(read_header(&key(), header.to_vec(), size).is_err(), "a forged header");
        }
    }
    let Ok(blobs) = entries(data) else { return };
    let mut again = Vec::new();
    blobs.iter().for_each(|blob| put_entry(&mut again, blob));
    assert_eq!(again, data);
    let sealed = key().seal(data).unwrap();
    assert_eq!(read_header(&key(), sealed, pack_length(&blobs)), Ok(blobs));
}

/// A tree, strictly and tolerantly read.
pub fn tree(data: &[u8]) {
    let tolerant: Result<Vec<_>, _> = TreeDecoder::tolerant(data).collect();
    let Ok(mut nodes) = decode_tree(data) else {
        assert!(reencodes_identically(data).is_err());
        return;
    };
    assert_eq!(tolerant.as_ref(), Ok(&nodes));
    for node in &nodes {
        let _ = (node.damage(), node.hard_link(), node.mtime.timestamp());
    }
    if let Ok(again) = encode_tree(&nodes) {
        assert_eq!(reencodes_identically(&again), Ok(true));
        nodes.iter_mut().for_each(|node| {
            [&mut node.mtime, &mut node.atime, &mut node.ctime].into_iter().for_each(to_minutes);
        });
        assert_eq!(decode_tree(&again), Ok(nodes));
    }
}

/// As it is once written: Go writes no seconds of an offset, and takes them from the instant so.
fn to_minutes(time: &mut GoTime) {
    *time = time.to_string().parse().unwrap();
}

/// A snapshot.
pub fn snapshot(data: &[u8]) {
    let Ok(snapshot) = SnapshotFile::parse(SnapshotId::default(), data) else { return };
    let again = SnapshotFile::parse(SnapshotId::default(), &snapshot.to_json()).unwrap();
    assert_eq!(again, snapshot);
    let now = snapshot.time.instant();
    let _ = (snapshot.must_keep(now), snapshot.must_delete(now), snapshot.first_id());
}

/// A lock.
pub fn lock(data: &[u8]) {
    let Ok(lock) = serde_json::from_slice::<LockFile>(data) else { return };
    let again = serde_json::to_vec(&lock).unwrap();
    assert_eq!(serde_json::from_slice::<LockFile>(&again).unwrap(), lock);
    let _ = (lock.is_stale("h", lock.time.instant()), lock.describe());
}

/// The cursor over JSON against another reader: what one takes the other takes, but for nesting and bytes that are no text.
pub fn json(data: &[u8]) {
    let read = Cursor::new(data).and_then(|mut cursor| {
        cursor.skip_value()?;
        cursor.end()
    });
    let other = serde_json::from_slice::<IgnoredAny>(data);
    match (read, other) {
        (Ok(()), Err(error)) => panic!("only the cursor takes it: {error}"),
        (Err(fault), Ok(_)) => {
            assert!(fault.at <= data.len());
            assert!(matches!(fault.reason, "nested too deeply" | "not UTF-8"), "{fault:?}");
        }
        _ => {}
    }
    if let Ok(mut cursor) = Cursor::new(data)
        && let Ok(raw) = cursor.string()
    {
        let mut space = String::new();
        let _ = raw.text(&mut space);
    }
}

/// The polynomial as text and as number.
pub fn polynomial(data: &[u8]) {
    if let Some(number) = data.first_chunk::<8>()
        && let Ok(polynomial) = Polynomial::new(u64::from_le_bytes(*number))
    {
        assert_eq!(polynomial.coefficients(), u64::from_le_bytes(*number));
        comes_back::<Polynomial>(&polynomial.to_string());
    }
    text(data).inspect(|text| comes_back::<Polynomial>(text));
}

/// The cuts of data: the same by every means and in pieces of any length, within the limits, nothing lost.
pub fn chunks(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let whole = hostile::lengths(0, data, usize::MAX).unwrap();
    assert_eq!(whole.iter().sum::<usize>(), data.len());
    if let Some((_, before)) = whole.split_last() {
        assert!(before.iter().all(|length| (64..=1024).contains(length)), "{whole:?}");
    }
    let piece = usize::from(*first) * 8 + 1;
    assert_eq!(hostile::lengths(1, data, usize::MAX).unwrap(), whole);
    assert_eq!(hostile::lengths(1, data, piece).unwrap(), whole);
}

/// Compressed bytes with a bound, and with the length that an index tells.
pub fn zstd(data: &[u8]) {
    const BOUND: usize = 1 << 16;
    if let Ok(plain) = unpack_frame(data, BOUND) {
        assert!(plain.len() <= BOUND);
    }
    if let Some((length, frame)) = data.split_first_chunk::<4>() {
        // Whatever length is told, memory follows the frame.
        let length = u32::from_le_bytes(*length);
        if let Ok(plain) = unpack_blob(frame, length) {
            assert_eq!(plain.len(), length as usize);
        }
    }
}

/// A place as people write it. A password is never shown.
pub fn location(data: &[u8]) {
    let Some(place) = text(data).and_then(|text| text.parse::<Location>().ok()) else { return };
    let shown = place.to_string();
    if let Location::Rest(url) | Location::WebDav(url) = &place {
        assert!(!format!("{url:?}").contains("Secret(\"") && url.url.ends_with('/'));
        let bare = url.username.is_none() && url.password.is_none();
        assert!(!bare || shown.parse() == Ok(place.clone()), "{shown}");
    }
}

/// Patterns, one a line, against the last line as a path.
pub fn excludes(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut lines: Vec<&str> = Excludes::lines(text).collect();
    let path = lines.pop().unwrap_or("/");
    let middle = lines.len() / 2;
    let (exact, any_case) = lines.split_at(middle);
    if let Ok(excludes) = Excludes::new(exact.iter().copied(), any_case.iter().copied()) {
        let out = excludes.excludes(Path::new(path));
        assert!(!out || !excludes.is_empty());
        assert_eq!(excludes.texts(), lines);
    }
}

/// What people write on the command line: spans, times, counts, sizes, ids.
pub fn words(data: &[u8]) {
    let Some(text) = text(data) else { return };
    comes_back::<KeepSpan>(text);
    comes_back::<KeepCount>(text);
    comes_back::<Moment>(text);
    comes_back::<Level>(text);
    comes_back::<Limit>(text);
    comes_back::<GroupBy>(text);
    comes_back::<SnapshotRequest>(text);
    comes_back::<Id>(text);
    comes_back::<BlobId>(text);
    let _ = text.parse::<ReadData>();
    if let (Ok(span), Ok(from)) = (text.parse::<KeepSpan>(), "2026-03-31T10:00:00+02:00".parse()) {
        assert!(span.before(from) <= Moment::instant(&from));
    }
}

/// A time as Go writes it.
pub fn go_time(data: &[u8]) {
    let Some(mut time) = text(data).and_then(|text| text.parse::<GoTime>().ok()) else { return };
    let _ = time.timestamp();
    let written = time.to_string();
    to_minutes(&mut time);
    assert_eq!(time.to_string(), written);
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What is understood is written such that it is understood as the same.
fn comes_back<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert!(shown.parse::<T>().is_ok_and(|again| again == value), "{value:?} as {shown}");
    }
}
