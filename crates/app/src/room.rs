//! How much the store may take: its quota, and the room on the disk below it.
//!
//! A quota makes the disk look smaller to all that asks for room: what grows is refused as on a full disk, with
//! the same reserve for what takes away. The sizes are those of the files, so what was deleted counts until it is cleaned.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tintype_fs::{Space, SpaceProbe};

use crate::convert::store_error;
use crate::error::{AppError, AppResult};
use crate::open::App;
use crate::quotas::share;
use crate::types::{StoreInfo, StoreUpdate};

/// Bytes that the store may take; shared by all that asks for room.
#[derive(Debug)]
pub(crate) struct StoreQuota(AtomicU64);

impl StoreQuota {
    /// A quota or none.
    pub(crate) const fn new(quota: Option<u64>) -> Self {
        Self(AtomicU64::new(match quota {
            Some(bytes) => bytes,
            None => u64::MAX,
        }))
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes < u64::MAX)
    }

    fn set(&self, quota: Option<u64>) {
        self.0.store(quota.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What the disk has, as a quota of a store that takes `used` leaves it.
fn within(disk: Space, quota: u64, used: u64) -> Space {
    (disk.0.min(quota), disk.1.min(quota.saturating_sub(used)))
}

/// Total and free bytes of the disk below the store.
fn disk_room(disk: &Path) -> Option<Space> {
    let room = rustix::fs::statvfs(disk).ok()?;
    let unit = room.f_frsize;
    Some((room.f_blocks.saturating_mul(unit), room.f_bavail.saturating_mul(unit)))
}

impl App {
    /// What tells trees and disks how much room there is.
    pub(crate) fn space_probe(&self) -> AppResult<SpaceProbe> {
        let (disk, quota) = (self.store_path().to_owned(), Arc::clone(&self.quota));
        // Whoever asks holds the store, so it must not be held here too.
        let store = Arc::downgrade(&self.store()?);
        Ok(Box::new(move || {
            let room = disk_room(&disk)?;
            let Some(quota) = quota.get() else { return Some(room) };
            let used = store.upgrade().and_then(|store| store.disk_bytes().ok());
            Some(used.map_or(room, |used| within(room, quota, used)))
        }))
    }

    pub(crate) fn store_quota(&self) -> Option<u64> {
        self.quota.get()
    }

    /// How much the store may take and does.
    pub fn store_show(&self) -> AppResult<StoreInfo> {
        let used = self.store()?.disk_bytes().map_err(|e| store_error(&self.store_object(), &e))?;
        let free = self.space_probe()?().map(|(_, free)| free);
        Ok(StoreInfo {
            store: self.store_path().to_owned(),
            quota: self.quota.get(),
            disk_bytes: used,
            free_bytes: free,
            warnings: warning(self.quota.get(), used),
        })
    }

    /// Changes how much the store may take.
    pub fn store_update(&self, update: &StoreUpdate) -> AppResult<StoreInfo> {
        let _one_change = self.admin.lock();
        if let Some(quota) = update.quota {
            if quota == Some(0) {
                return Err(AppError::invalid(
                    self.store_object(),
                    "a quota of 0 bytes would refuse everything",
                    "Give a size like 100G, or `none` for no quota.",
                ));
            }
            self.folder.lock().change_settings(|settings| settings.quota = quota)?;
            self.quota.set(quota);
        }
        self.store_show()
    }

    pub(crate) fn store_warnings(&self) -> AppResult<Vec<String>> {
        let Some(quota) = self.quota.get() else { return Ok(Vec::new()) };
        let used = self.store()?.disk_bytes().map_err(|e| store_error(&self.store_object(), &e))?;
        let object = self.store_object();
        let told = warning(Some(quota), used).into_iter();
        Ok(told.map(|text| format!("{object}: {text}")).collect())
    }
}

fn warning(quota: Option<u64>, used: u64) -> Vec<String> {
    quota.and_then(|quota| share(used, quota, "the quota")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_makes_the_disk_smaller_and_never_larger() {
        assert_eq!(within((1000, 500), 300, 100), (300, 200));
        assert_eq!(within((1000, 50), 300, 100), (300, 50));
        assert_eq!(within((1000, 500), 5000, 100), (1000, 500));
        assert_eq!(within((1000, 500), 300, 400), (300, 0));
        let quota = StoreQuota::new(None);
        assert_eq!(quota.get(), None);
        quota.set(Some(7));
        assert_eq!(quota.get(), Some(7));
    }
}
