//! Requests that carry a key of their own are done once: the same one again gets the first answer.
//!
//! The answer is kept in the store, so a restart forgets none. Only successes are kept: what was refused has changed nothing and may be tried
//! again. The bodies of requests are kept as hashes only. A crash between the work and the note leaves the work done and no note: then the
//! repetition is told that the object exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tintype_store::{DocumentChange, Store, StoreError};

use crate::access::Caller;
use crate::convert::{hex, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;

/// Documents of answers.
const KIND: &str = "once";
/// How long an answer is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Answers that are kept.
const MAX: usize = 10_000;
/// Answers that are forgotten together with a new one.
const FORGET: usize = 16;

/// What was asked for under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceKey {
    /// Stands for caller, operation and key.
    name: String,
    /// Stands for all of the request.
    asked: String,
}

impl OnceKey {
    /// The key of a request: whoever asks has keys of their own, and so has each operation.
    #[must_use]
    pub fn new(by: &Caller, operation: &str, key: &str, request: &[&[u8]]) -> Self {
        let signature = by.signature().unwrap_or_default();
        let parts = [signature.as_bytes(), operation.as_bytes(), key.as_bytes()];
        Self { name: hash(&parts), asked: hash(request) }
    }
}

/// Parts cannot run into one another: each begins with its length.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Keys that are known.
#[derive(Debug, Default)]
pub(crate) struct Onces(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// When each was answered.
    answered: BTreeMap<String, Timestamp>,
    /// Those that are being done.
    busy: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    time: Timestamp,
    asked: String,
    answer: String,
}

/// What to do with a request that has a key.
pub enum Once {
    /// Do it.
    New(OnceRun),
    /// It was done; this was the answer.
    Again(Vec<u8>),
    /// The key belongs to another request.
    Other,
}

/// A request that is being done.
pub struct OnceRun {
    onces: Arc<Onces>,
    key: OnceKey,
}

impl Drop for OnceRun {
    fn drop(&mut self) {
        self.onces.0.lock().busy.remove(&self.key.name);
    }
}

impl Onces {
    /// As the store has them.
    pub(crate) fn load(store: &Store) -> AppResult<Self> {
        let rows = store.documents(KIND).map_err(|e| fail(&e))?;
        let mut answered = BTreeMap::new();
        for (name, text) in rows {
            let row: Option<Row> = serde_json::from_slice(&text).ok();
            // One that nobody can read is forgotten first.
            answered.insert(name, row.map_or(Timestamp::UNIX_EPOCH, |row| row.time));
        }
        Ok(Self(Mutex::new(Book { answered, busy: BTreeSet::new() })))
    }
}

impl App {
    /// Looks a key up, and takes it for the one who does the request.
    pub fn once(&self, key: OnceKey, now: Timestamp) -> AppResult<Once> {
        let store = self.store()?;
        let mut book = self.onces.0.lock();
        let known = book.answered.get(&key.name);
        if known.is_some_and(|time| now.duration_since(*time) < KEPT) {
            let text = store.document(KIND, &key.name).map_err(|e| fail(&e))?;
            let row: Option<Row> = text.and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(row) = row {
                let same = row.asked == key.asked;
                return Ok(if same { Once::Again(row.answer.into_bytes()) } else { Once::Other });
            }
        }
        if !book.busy.insert(key.name.clone()) {
            return Err(AppError::new(
                ErrorKind::Busy,
                "request",
                "is being done already: one with the same Idempotency-Key has not ended",
                "Ask again when it has; then its answer comes.",
            ));
        }
        drop(book);
        Ok(Once::New(OnceRun { onces: Arc::clone(&self.onces), key }))
    }

    /// Keeps the answer of a request, durable on return.
    pub fn once_done(&self, run: &OnceRun, answer: &[u8], now: Timestamp) -> AppResult<()> {
        let row = Row {
            time: now,
            asked: run.key.asked.clone(),
            answer: String::from_utf8_lossy(answer).into_owned(),
        };
        let row = serde_json::to_vec(&row).map_err(|e| {
            let detail = format!("cannot be written: {e}");
            AppError::new(ErrorKind::Internal, "answers of requests", detail, "Report this defect.")
        })?;
        let change =
            |name: &str, value| DocumentChange { kind: KIND, name: name.to_owned(), value };
        let old = self.onces.0.lock().old(now);
        let mut changes: Vec<_> = old.iter().map(|name| change(name, None)).collect();
        changes.retain(|change| change.name != run.key.name);
        changes.push(change(&run.key.name, Some(row)));
        self.store()?.put_documents(&changes).map_err(|e| fail(&e))?;
        let mut book = self.onces.0.lock();
        book.answered.retain(|name, _| !old.contains(name));
        book.answered.insert(run.key.name.clone(), now);
        Ok(())
    }
}

impl Book {
    /// Some of those that need not be kept.
    fn old(&self, now: Timestamp) -> Vec<String> {
        let mut old: Vec<_> = self
            .answered
            .iter()
            .filter(|(_, time)| now.duration_since(**time) >= KEPT)
            .map(|(name, _)| name.clone())
            .take(FORGET)
            .collect();
        if old.is_empty() && self.answered.len() >= MAX {
            let oldest = self.answered.iter().min_by_key(|(_, time)| **time);
            old.extend(oldest.map(|(name, _)| name.clone()));
        }
        old
    }
}

fn fail(error: &StoreError) -> AppError {
    store_error("answers of requests", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppOptions, NoMounter};

    fn open(dir: &tempfile::TempDir) -> Arc<App> {
        let (store, user) = (dir.path().join("store"), "tester".to_owned());
        let options = AppOptions { store, create: true, snapshot_limits: None, user };
        App::open(options, Arc::new(NoMounter)).unwrap()
    }

    fn key(key: &str, body: &str) -> OnceKey {
        OnceKey::new(&Caller::local(), "create_disk", key, &[body.as_bytes()])
    }

    fn again(app: &App, name: &str, body: &str, now: Timestamp) -> Option<Vec<u8>> {
        match app.once(key(name, body), now) {
            Ok(Once::Again(answer)) => Some(answer),
            _ => None,
        }
    }

    #[test]
    fn an_answer_comes_again_also_after_a_restart_and_ends_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let app = open(&dir);
        let Ok(Once::New(run)) = app.once(key("k", "a"), now) else { panic!("it is new") };
        let busy = app.once(key("k", "a"), now).err().unwrap();
        assert_eq!(busy.kind, ErrorKind::Busy);
        app.once_done(&run, br#"{"b":1,"a":2}"#, now).unwrap();
        drop(run);
        // One that failed leaves nothing.
        drop(app.once(key("failed", "a"), now).unwrap());
        assert!(matches!(app.once(key("failed", "a"), now), Ok(Once::New(_))));
        app.close().unwrap();
        drop(app);
        let app = open(&dir);
        assert_eq!(again(&app, "k", "a", now).unwrap(), br#"{"b":1,"a":2}"#);
        assert!(matches!(app.once(key("k", "other"), now), Ok(Once::Other)));
        let tomorrow = now + KEPT;
        let Ok(Once::New(run)) = app.once(key("k", "other"), tomorrow) else {
            panic!("it is over")
        };
        app.once_done(&run, b"{}", tomorrow).unwrap();
        drop(run);
        assert_eq!(again(&app, "k", "other", tomorrow).unwrap(), b"{}");
        app.close().unwrap();
    }

    #[test]
    fn the_oldest_make_room() {
        let now = Timestamp::now();
        let name = |n: usize| format!("{n:05}");
        let time = |n: usize| now + SignedDuration::from_millis(n as i64);
        let answered = (0..MAX).map(|n| (name(n), time(MAX - n))).collect();
        let mut book = Book { answered, ..Book::default() };
        assert_eq!(book.old(now), [name(MAX - 1)]);
        assert_eq!(book.old(now + KEPT + KEPT).len(), FORGET);
        book.answered.clear();
        assert!(book.old(now).is_empty());
    }
}
