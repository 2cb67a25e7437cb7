//! Restic's lock files: taken, honoured, kept fresh and removed.
//!
//! Several runs may append at once; a run that removes or rewrites wants to be alone. A lock file says who holds which. A lock is written, then
//! after a moment all locks are read again: of two that came together at least one sees the other. It is written anew every five minutes under a
//! new name before the old one goes. A run that could not do that for 22.5 minutes must stop, since others may take its lock for a dead one.
//!
//! The second look need not be waited for by who only reads or adds meanwhile ([`Lock::begin`]): whoever came at the same time and wants to be
//! alone sees the lock in his own second look and gives up, and nothing is removed and no snapshot written before [`Lock::check`].
//!
//! A lock that cannot be read is an error, never ignored. A lock older than 30 minutes whose process on this machine is gone is
//! removed by itself; others only by [`remove_locks`]. Source: restic's design, "Locks".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::{Id, LockId};
use crate::repository::{Actor, Repository};
use crate::watch::Stop;
use tintype_model::moment::Moment;

/// A lock is written anew after this time.
const REFRESH: Duration = Duration::from_secs(300);
/// A lock that could not be written anew for this long counts as lost.
const LOST: Duration = Duration::from_secs(1350);
/// A lock of this age is dead.
const STALE: SignedDuration = SignedDuration::from_mins(30);
/// Others' locks are looked at again this long after ours is written.
const SECOND_LOOK: Duration = Duration::from_millis(200);

/// Whether others may work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Others may add and read.
    Shared,
    /// Nobody else.
    Exclusive,
}

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was written last.
    pub time: Moment,
    /// Excludes all others.
    pub exclusive: bool,
    /// Whose machine.
    #[serde(default)]
    pub hostname: String,
    /// Whose user.
    #[serde(default)]
    pub username: String,
    /// Which process.
    #[serde(default)]
    pub pid: u32,
    /// The user's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

impl LockFile {
    fn own(mode: LockMode, actor: &Actor) -> Self {
        let now = Timestamp::now();
        Self {
            time: Moment::in_zone(now, &TimeZone::system()),
            exclusive: mode == LockMode::Exclusive,
            hostname: actor.hostname.clone(),
            username: actor.username.clone(),
            pid: std::process::id(),
            uid: Some(rustix::process::getuid().as_raw()),
            gid: Some(rustix::process::getgid().as_raw()),
        }
    }

    /// Was it not written for half an hour?
    fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.time.instant()) > STALE
    }

    /// Is its process on this machine gone?
    fn is_orphan(&self, hostname: &str) -> bool {
        self.hostname == hostname
            && self.pid != 0
            && !std::path::Path::new(&format!("/proc/{}", self.pid)).exists()
    }

    /// Does nobody hold it any more, as far as can be told from here? Then `unlock` removes it.
    pub fn is_stale(&self, hostname: &str, now: Timestamp) -> bool {
        self.is_old(now) || self.is_orphan(hostname)
    }

    /// For people.
    pub fn describe(&self) -> String {
        let how = if self.exclusive { "exclusively " } else { "" };
        format!(
            "{how}{}@{}, process {}, since {}",
            self.username, self.hostname, self.pid, self.time
        )
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    held: Arc<Held>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is known of a lock, by the thread that keeps it and by who works under it.
#[derive(Debug, Default)]
struct Held {
    lost: AtomicBool,
    second_look: Mutex<SecondLook>,
    looked: Condvar,
}

#[derive(Debug, Default)]
enum SecondLook {
    /// Still to come.
    #[default]
    Waiting,
    /// Nobody came at the same time.
    Alone,
    /// Somebody did, or the locks could not be read. The error goes to who asks first.
    Refused(Option<RepoError>),
}

/// How a lock is waited for while others hold theirs.
pub struct LockWait<'w> {
    /// At most this long.
    pub patience: Duration,
    /// Ends the wait.
    pub stop: &'w Stop,
    /// Told once, before the first wait: who holds it.
    pub notice: &'w dyn Fn(&RepoError),
}

impl Lock {
    /// Takes a lock, and waits for others for at most `patience`.
    ///
    /// # Errors
    /// [`RepoError::Locked`] when others keep theirs; [`RepoError::Damaged`] for a lock that cannot be read.
    pub fn take(
        repo: &Repository,
        mode: LockMode,
        actor: &Actor,
        patience: Duration,
    ) -> Result<Self> {
        let wait = LockWait { patience, stop: &Stop::default(), notice: &|_| {} };
        Self::take_waiting(repo, mode, actor, &wait)
    }

    /// As [`Lock::take`], for somebody who wants to know and may get tired of it.
    ///
    /// # Errors
    /// As [`Lock::take`], and [`RepoError::Stopped`].
    pub fn take_waiting(
        repo: &Repository,
        mode: LockMode,
        actor: &Actor,
        wait: &LockWait<'_>,
    ) -> Result<Self> {
        let since = Instant::now();
        let (mut pause, mut told) = (Duration::from_secs(1), false);
        loop {
            let taken = Self::begin(repo, mode, actor);
            match taken.and_then(|lock| lock.check().map(|()| lock)) {
                Err(held @ RepoError::Locked { .. }) if since.elapsed() + pause < wait.patience => {
                    if !std::mem::replace(&mut told, true) {
                        (wait.notice)(&held);
                    }
                    wait.stop.wait(pause)?;
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
                other => return other,
            }
        }
    }

    /// Writes a lock when nobody's excludes it, and does not wait for the second look: [`Lock::check`] does. Until then its holder may
    /// read, and add what no snapshot names yet.
    ///
    /// # Errors
    /// As [`Lock::take`] without patience.
    pub fn begin(repo: &Repository, mode: LockMode, actor: &Actor) -> Result<Self> {
        refuse_conflicts(repo, mode, actor, None)?;
        let id = write(repo, &LockFile::own(mode, actor))?;
        Ok(Self::keep(repo, mode, actor, id))
    }

    /// Starts the thread for a lock that was just written.
    fn keep(repo: &Repository, mode: LockMode, actor: &Actor, id: LockId) -> Self {
        let held = Arc::new(Held::default());
        let (stop, stopped) = bounded::<()>(0);
        let keeper = Keeper { repo: repo.clone(), mode, actor: actor.clone(), id };
        let shared = Arc::clone(&held);
        let thread = std::thread::spawn(move || keeper.keep(&shared, &stopped));
        Self { held, stop: Some(stop), thread: Some(thread) }
    }

    /// Is it still ours, and nobody else's beside it? To be asked before anything is removed and before a snapshot is written. Waits for
    /// the second look.
    ///
    /// # Errors
    /// [`RepoError::LockLost`]; [`RepoError::Locked`] when somebody else came at the same time; [`RepoError::Damaged`] for a lock that
    /// cannot be read.
    pub fn check(&self) -> Result<()> {
        self.held.second_look()?;
        if self.held.lost.load(Ordering::SeqCst) {
            let detail = "it could not be renewed in time, or somebody removed it".to_owned();
            return Err(RepoError::LockLost { detail });
        }
        Ok(())
    }
}

impl Held {
    /// Waits for the second look and says what it found.
    fn second_look(&self) -> Result<()> {
        let mut look = self.second_look.lock();
        while matches!(*look, SecondLook::Waiting) {
            self.looked.wait(&mut look);
        }
        match &mut *look {
            SecondLook::Refused(error) => Err(error.take().unwrap_or_else(|| {
                RepoError::LockLost { detail: "somebody else locked at the same time".to_owned() }
            })),
            _ => Ok(()),
        }
    }

    fn found(&self, result: Result<()>) {
        *self.second_look.lock() = match result {
            Ok(()) => SecondLook::Alone,
            Err(error) => SecondLook::Refused(Some(error)),
        };
        self.looked.notify_all();
    }
}

/// The thread that looks a second time and keeps the lock fresh.
struct Keeper {
    repo: Repository,
    mode: LockMode,
    actor: Actor,
    id: LockId,
}

impl Keeper {
    fn keep(mut self, held: &Held, stopped: &Receiver<()>) {
        let mut fresh = Instant::now();
        if stopped.recv_timeout(SECOND_LOOK) == Err(RecvTimeoutError::Timeout) {
            held.found(refuse_conflicts(&self.repo, self.mode, &self.actor, Some(self.id)));
            while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                match refresh(&self.repo, self.mode, &self.actor, self.id) {
                    Ok(new) => (self.id, fresh) = (new, Instant::now()),
                    Err(RepoError::LockLost { .. }) => held.lost.store(true, Ordering::SeqCst),
                    Err(_) if fresh.elapsed() < LOST => {}
                    Err(_) => held.lost.store(true, Ordering::SeqCst),
                }
            }
        }
        // When this fails the lock gets old by itself.
        let _ = self.repo.backend().remove(FileKind::Lock, self.id.0);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes the lock anew, then removes its old file. When the old one is gone somebody has removed it: then it is lost.
fn refresh(repo: &Repository, mode: LockMode, actor: &Actor, old: LockId) -> Result<LockId> {
    let there = repo.backend().list(FileKind::Lock)?.iter().any(|(id, _)| *id == old.0);
    if !there {
        let detail = "somebody removed it".to_owned();
        return Err(RepoError::LockLost { detail });
    }
    let new = write(repo, &LockFile::own(mode, actor))?;
    repo.backend().remove(FileKind::Lock, old.0)?;
    Ok(new)
}

fn write(repo: &Repository, lock: &LockFile) -> Result<LockId> {
    let json = serde_json::to_vec(lock).unwrap_or_default();
    Ok(LockId(repo.save(FileKind::Lock, &json)?))
}

/// An error when somebody else's lock and ours exclude each other.
fn refuse_conflicts(
    repo: &Repository,
    mode: LockMode,
    actor: &Actor,
    own: Option<LockId>,
) -> Result<()> {
    for (id, lock) in read_locks(repo)? {
        if Some(id) == own || !(lock.exclusive || mode == LockMode::Exclusive) {
            continue;
        }
        if lock.is_old(Timestamp::now()) && lock.is_orphan(&actor.hostname) {
            repo.backend().remove(FileKind::Lock, id.0)?;
            continue;
        }
        return Err(RepoError::Locked { holder: lock.describe() });
    }
    Ok(())
}

/// All locks of the repository.
pub fn read_locks(repo: &Repository) -> Result<Vec<(LockId, LockFile)>> {
    let mut locks = Vec::new();
    for (id, _) in repo.backend().list(FileKind::Lock)? {
        match read_lock(repo, id) {
            // Its holder has ended meanwhile.
            Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
            other => locks.push((LockId(id), other?)),
        }
    }
    Ok(locks)
}

fn read_lock(repo: &Repository, id: Id) -> Result<LockFile> {
    let json = repo.load(FileKind::Lock, id)?;
    serde_json::from_slice(&json).map_err(|e| RepoError::damaged(FileKind::Lock, id, e.to_string()))
}

/// Removes locks that nobody holds any more, or `all`, also those that cannot be read; says how many.
pub fn remove_locks(repo: &Repository, hostname: &str, all: bool) -> Result<usize> {
    let mut removed = 0;
    for (id, _) in repo.backend().list(FileKind::Lock)? {
        let dead = all || read_lock(repo, id)?.is_stale(hostname, Timestamp::now());
        if dead {
            repo.backend().remove(FileKind::Lock, id)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;
    use crate::config::Version;

    fn repository() -> (Repository, Actor) {
        let actor = Actor { username: "u".into(), hostname: "h".into() };
        let backend = Arc::new(MemoryBackend::new());
        let repo =
            Repository::init(backend, b"p", Version::V2, None, &actor, Timestamp::now()).unwrap();
        (repo, actor)
    }

    fn take(repo: &Repository, mode: LockMode, actor: &Actor) -> Result<Lock> {
        Lock::take(repo, mode, actor, Duration::ZERO)
    }

    #[test]
    fn locks_exclude_as_they_say_and_go_away() {
        let (repo, actor) = repository();
        let one = take(&repo, LockMode::Shared, &actor).unwrap();
        let two = take(&repo, LockMode::Shared, &actor).unwrap();
        assert!(matches!(take(&repo, LockMode::Exclusive, &actor), Err(RepoError::Locked { .. })));
        assert_eq!(read_locks(&repo).unwrap().len(), 2);
        drop((one, two));
        let alone = take(&repo, LockMode::Exclusive, &actor).unwrap();
        assert!(matches!(take(&repo, LockMode::Shared, &actor), Err(RepoError::Locked { .. })));
        drop(alone);
        assert!(read_locks(&repo).unwrap().is_empty());
    }

    #[test]
    fn who_came_at_the_same_time_is_seen_by_the_second_look() {
        let (repo, actor) = repository();
        // Both looked when no lock was there.
        let own = write(&repo, &LockFile::own(LockMode::Shared, &actor)).unwrap();
        let other = write(&repo, &LockFile::own(LockMode::Exclusive, &actor)).unwrap();
        let one = Lock::keep(&repo, LockMode::Shared, &actor, own);
        assert!(matches!(one.check(), Err(RepoError::Locked { .. })));
        assert!(matches!(one.check(), Err(RepoError::LockLost { .. })));
        drop(one);
        let left: Vec<_> = read_locks(&repo).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(left, [other]);
    }

    #[test]
    fn dead_locks_block_until_they_are_known_to_be_dead() {
        let (repo, actor) = repository();
        let mut lock = LockFile::own(LockMode::Exclusive, &actor);
        lock.pid = u32::MAX;
        let young = write(&repo, &lock).unwrap();
        assert!(matches!(take(&repo, LockMode::Shared, &actor), Err(RepoError::Locked { .. })));
        assert_eq!(remove_locks(&repo, "other", false).unwrap(), 0);
        assert_eq!(remove_locks(&repo, "h", false).unwrap(), 1);
        assert!(repo.backend().read(FileKind::Lock, young.0).is_err());
        lock.time = Moment::utc(Timestamp::now() - SignedDuration::from_hours(1));
        write(&repo, &lock).unwrap();
        take(&repo, LockMode::Shared, &actor).unwrap();
        lock.hostname = "elsewhere".into();
        write(&repo, &lock).unwrap();
        assert!(matches!(take(&repo, LockMode::Shared, &actor), Err(RepoError::Locked { .. })));
        assert_eq!(remove_locks(&repo, "h", false).unwrap(), 1);
    }

    #[test]
    fn who_waits_is_told_and_can_stop() {
        let (repo, actor) = repository();
        let _alone = take(&repo, LockMode::Exclusive, &actor).unwrap();
        let (stop, told) = (Stop::default(), std::sync::atomic::AtomicUsize::new(0));
        let notice = |held: &RepoError| {
            assert!(matches!(held, RepoError::Locked { .. }));
            told.fetch_add(1, Ordering::SeqCst);
            stop.ask();
        };
        let wait = LockWait { patience: Duration::from_secs(3600), stop: &stop, notice: &notice };
        let taken = Lock::take_waiting(&repo, LockMode::Shared, &actor, &wait);
        assert!(matches!(taken, Err(RepoError::Stopped)));
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_lock_that_cannot_be_read_is_an_error() {
        let (repo, actor) = repository();
        repo.backend().write(FileKind::Lock, Id::of(b"x"), b"x").unwrap();
        assert!(matches!(take(&repo, LockMode::Shared, &actor), Err(RepoError::Damaged { .. })));
        assert_eq!(remove_locks(&repo, "h", true).unwrap(), 1);
        take(&repo, LockMode::Shared, &actor).unwrap();
    }
}
