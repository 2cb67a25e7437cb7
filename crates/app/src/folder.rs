//! The folder of a store: its format version, its settings, and the lock that keeps it to one server.
//!
//! ```text
//! store.json   format version and settings; written once, replaced by rename
//! lock         held with flock while a server runs; its text says who holds it
//! kv/          records
//! segments/    data
//! mnt/         mounts of those who want them here
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tintype_model::SnapshotLimits;

use crate::error::{AppError, AppResult, ErrorKind};

/// The format that this program writes. A higher one is refused.
pub const FORMAT: u32 = 1;
const CHECKSUM: &str = "checksum";
/// Fields that may come without a checksum.
const BY_HAND: [&str; 3] = ["format", "created", "snapshot_limits"];

/// What `store.json` holds. Unknown fields are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreFile {
    /// Version of everything in the folder.
    pub format: u32,
    /// When the store was made.
    pub created: Timestamp,
    /// How many snapshots are accepted.
    #[serde(default)]
    pub snapshot_limits: SnapshotLimits,
    /// Bytes that it may take on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, Value>,
}

/// Who holds a store: the text of its lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// Machine.
    pub host: String,
    /// Where it listens.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// It is about to let go.
    #[serde(default)]
    pub stopping: bool,
}

/// An opened store folder; the lock is let go when it is dropped.
#[derive(Debug)]
pub struct StoreFolder {
    path: PathBuf,
    lock: File,
    settings: StoreFile,
}

/// How long a server that has just been killed may keep its lock.
const WAIT_FOR_EXIT: Duration = Duration::from_secs(2);
/// How long a server that says that it stops may take.
const WAIT_FOR_STOP: Duration = Duration::from_secs(60);

impl StoreFolder {
    /// Opens the store at `path`, making it when `create` and nothing is there.
    pub fn open(path: &Path, create: bool, now: Timestamp) -> AppResult<Self> {
        if create {
            make_folder(path)?;
        } else if !path.join("store.json").exists() {
            return Err(no_store(path));
        }
        let path = path.canonicalize().map_err(|e| AppError::io(path, "open the store", &e))?;
        let lock = take_lock(&path)?;
        let settings = read_settings(&path, create, now)?;
        Ok(Self { path, lock, settings })
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Settings of the store.
    pub fn settings(&self) -> &StoreFile {
        &self.settings
    }

    /// Replaces the settings.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut StoreFile)) -> AppResult<()> {
        let mut next = self.settings.clone();
        change(&mut next);
        if next != self.settings {
            write_settings(&self.path, &next)?;
            self.settings = next;
        }
        Ok(())
    }

    /// Tells others who holds the store.
    pub fn announce(&self, holder: &Holder) -> AppResult<()> {
        let text = serde_json::to_vec(holder).unwrap_or_default();
        let mut lock = &self.lock;
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(&text));
        written.map_err(|e| AppError::io(&self.path.join("lock"), "write the lock file", &e))
    }
}

fn no_store(path: &Path) -> AppError {
    AppError::new(
        ErrorKind::NotFound,
        format!("store {}", path.display()),
        "there is no store in this folder",
        "Check the path, or make a store there with `tintype up --store DIR`.",
    )
}

fn make_folder(path: &Path) -> AppResult<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| AppError::io(path, "make the folder of the store", &e))
}

fn take_lock(path: &Path) -> AppResult<File> {
    let file = path.join("lock");
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(&file);
    let lock = opened.map_err(|e| match e.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => AppError::new(
            ErrorKind::Unavailable,
            format!("store {}", path.display()),
            "lies on a filesystem that is read-only",
            "Mount that one writable, or copy the store to a folder where you may write: a store is opened to be written, also to check it.",
        ),
        _ => AppError::io(&file, "open the lock file", &e),
    })?;
    let start = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(e)) => return Err(AppError::io(&file, "lock the store", &e)),
            Err(TryLockError::WouldBlock) => {}
        }
        let holder = read_holder(path).unwrap_or_default();
        let wait = if holder.stopping { WAIT_FOR_STOP } else { WAIT_FOR_EXIT };
        if start.elapsed() > wait {
            return Err(held(path, &holder));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Who holds the store at `path`, as far as its lock file says.
pub fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path.join("lock")).ok()?.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(path: &Path, holder: &Holder) -> AppError {
    let at = if holder.addresses.is_empty() {
        String::new()
    } else {
        format!(", listening on {}", holder.addresses.join(" and "))
    };
    AppError::new(
        ErrorKind::Busy,
        format!("store {}", path.display()),
        format!("process {} on {} holds it{at}", holder.pid, holder.host),
        "Use that server, or stop it first with `tintype down`.",
    )
}

fn read_settings(path: &Path, create: bool, now: Timestamp) -> AppResult<StoreFile> {
    let file = path.join("store.json");
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && create => {
            return new_settings(path, now);
        }
        Err(e) => return Err(AppError::io(&file, "read the settings of the store", &e)),
    };
    let value = unsealed(&text).map_err(|why| damaged(&file, &why))?;
    let settings: StoreFile = serde_json::from_value(value).map_err(|e| damaged(&file, &e))?;
    if settings.format > FORMAT {
        return Err(AppError::new(
            ErrorKind::Unavailable,
            format!("store {}", path.display()),
            format!("it has format {}; this program knows up to {FORMAT}", settings.format),
            "Use a newer version of tintype.",
        ));
    }
    Ok(settings)
}

/// The settings without their checksum, which must fit. Only what somebody wrote by hand has none.
fn unsealed(text: &[u8]) -> Result<Value, String> {
    let mut value: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let Some(fields) = value.as_object_mut() else { return Err("no object".to_owned()) };
    let told = fields.remove(CHECKSUM);
    let by_hand = fields.keys().all(|name| BY_HAND.contains(&name.as_str()));
    let fits = told.as_ref().map(|told| *told == Value::String(checksum(&value)));
    if fits.unwrap_or(by_hand) { Ok(value) } else { Err("its checksum does not fit".to_owned()) }
}

fn sealed(settings: &StoreFile) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(settings)?;
    let sum = checksum(&value);
    if let Some(fields) = value.as_object_mut() {
        fields.insert(CHECKSUM.to_owned(), Value::String(sum));
    }
    serde_json::to_vec_pretty(&value)
}

/// XXH3 of the compact text, whose keys are in order.
fn checksum(value: &Value) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(value.to_string().as_bytes()))
}

fn damaged(file: &Path, error: &dyn std::fmt::Display) -> AppError {
    AppError::new(
        ErrorKind::Damaged,
        file.display().to_string(),
        format!("is not what tintype wrote: {error}"),
        "Put back the file from a copy, or write {\"format\":1,\"created\":\"2026-01-01T00:00:00Z\"} into it.",
    )
}

/// A folder that holds anything of somebody else is not made a store.
fn new_settings(path: &Path, now: Timestamp) -> AppResult<StoreFile> {
    let entries = fs::read_dir(path).map_err(|e| AppError::io(path, "list the folder", &e))?;
    let foreign = entries
        .flatten()
        .find(|entry| !["lock", "store.json.new"].iter().any(|ours| entry.file_name() == *ours));
    if let Some(entry) = foreign {
        return Err(AppError::invalid(
            format!("folder {}", path.display()),
            format!("is neither empty nor a store: it holds {:?}", entry.file_name()),
            "Choose an empty or a new folder for the store.",
        ));
    }
    let settings = StoreFile {
        format: FORMAT,
        created: now,
        snapshot_limits: SnapshotLimits::default(),
        quota: None,
        unknown: serde_json::Map::new(),
    };
    write_settings(path, &settings)?;
    Ok(settings)
}

fn write_settings(path: &Path, settings: &StoreFile) -> AppResult<()> {
    let text = sealed(settings).unwrap_or_default();
    let new = path.join("store.json.new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path.join("store.json"))?;
        File::open(path)?.sync_all()
    };
    write().map_err(|e| AppError::io(&new, "write the settings of the store", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_store_is_made_once_and_opened_again() {
        let dir = folder();
        let path = dir.path().join("a/store");
        assert_eq!(
            StoreFolder::open(&path, false, Timestamp::UNIX_EPOCH).unwrap_err().kind,
            ErrorKind::NotFound
        );
        let first = StoreFolder::open(&path, true, Timestamp::UNIX_EPOCH).unwrap();
        let settings = first.settings().clone();
        drop(first);
        let again = StoreFolder::open(&path, false, Timestamp::MAX).unwrap();
        assert_eq!(*again.settings(), settings);
    }

    #[test]
    fn the_second_one_learns_who_holds_it() {
        let dir = folder();
        let path = dir.path().join("store");
        let first = StoreFolder::open(&path, true, Timestamp::UNIX_EPOCH).unwrap();
        let holder = Holder { pid: 42, host: "box".into(), ..Holder::default() };
        first.announce(&holder).unwrap();
        let error = StoreFolder::open(&path, true, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        assert!(error.detail.contains("process 42 on box"), "{error}");
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone() {
        let dir = folder();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let error = StoreFolder::open(dir.path(), true, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(!dir.path().join("store.json").exists());
    }

    #[test]
    fn newer_and_damaged_settings_are_refused() {
        let dir = folder();
        let write = |text: &str| fs::write(dir.path().join("store.json"), text).unwrap();
        write(r#"{"format":2,"created":"2026-01-01T00:00:00Z"}"#);
        let open = || StoreFolder::open(dir.path(), true, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(open().kind, ErrorKind::Unavailable);
        write("{");
        assert_eq!(open().kind, ErrorKind::Damaged);
    }

    #[test]
    fn no_flipped_bit_of_the_settings_changes_one() {
        let dir = folder();
        let path = dir.path().join("store");
        let open = || StoreFolder::open(&path, false, Timestamp::UNIX_EPOCH);
        drop(StoreFolder::open(&path, true, Timestamp::UNIX_EPOCH).unwrap());
        let written = open().unwrap().settings().clone();
        let good = fs::read(path.join("store.json")).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(path.join("store.json"), bad).unwrap();
            match open() {
                Ok(folder) => assert_eq!(*folder.settings(), written, "bit {bit}"),
                Err(error) => assert!(
                    [ErrorKind::Damaged, ErrorKind::Unavailable].contains(&error.kind),
                    "bit {bit}: {error}"
                ),
            }
        }
    }
}
