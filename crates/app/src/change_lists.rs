//! Use cases of change lists: what differs between two moments, told in pages to several readers at once.
//!
//! A list is prepared once: both moments are held for an hour (`Store::hold`), and the work is cut into parts. A cookie names the hold and
//! one part, so it needs nothing of this process: after a restart it goes on. Where the changes are is read again then, and kept in memory
//! for the lists that were read last.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tintype_fs::{Changed, DiffPlace};
use tintype_model::{SnapshotId, VolumeId};
use tintype_store::{Fixed, MomentRef};

use crate::convert::{fs_error, random_name, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::trees;
use crate::types::{ChangeList, ChangeListWish, ChangePage};
use crate::which::WhichFilesystem;

/// How long a list can be read.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Lists that can be read at one time.
const LISTS_MAX: usize = 64;
/// Parts of one list.
const PARTS_MAX: usize = 256;
/// Entries of one page.
const PAGE_MAX: usize = 10_000;
/// What is kept in memory of where changes are; of the list that is read in any case.
const KEPT_BYTES: u64 = 32 << 20;

/// Where the changes of a list are, once somebody has looked.
type Slot = Arc<Mutex<Option<Arc<Changed>>>>;

/// Lists that were read lately, the last one at the end.
#[derive(Default)]
pub(crate) struct ChangeLists(Mutex<Vec<(String, Slot)>>);

impl ChangeLists {
    fn slot(&self, list: &str) -> Slot {
        let mut kept = self.0.lock();
        let found = kept.iter().position(|(name, _)| name == list);
        let found = found.map_or_else(|| (list.to_owned(), Slot::default()), |at| kept.remove(at));
        let slot = Arc::clone(&found.1);
        kept.push(found);
        drop_oldest(&mut kept);
        slot
    }
}

fn drop_oldest(kept: &mut Vec<(String, Slot)>) {
    let bytes = |slot: &Slot| {
        // One that is being filled is in use.
        let held = slot.try_lock();
        held.and_then(|held| held.as_ref().map(|changed| changed.bytes())).unwrap_or(0)
    };
    let mut total: u64 = kept.iter().map(|(_, slot)| bytes(slot)).sum();
    while total > KEPT_BYTES && kept.len() > 1 {
        let (_, slot) = kept.remove(0);
        total = total.saturating_sub(bytes(&slot));
    }
}

/// A part of a list.
struct Cookie<'c> {
    list: &'c str,
    from: u64,
    below: u64,
}

impl<'c> Cookie<'c> {
    fn read(text: &'c str) -> Option<Self> {
        let mut parts = text.split('.');
        let list = parts.next().filter(|list| !list.is_empty())?;
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (from, below) = (number()?, number()?);
        let whole = parts.next().is_none() && from < below;
        whole.then_some(Self { list, from, below })
    }
}

/// `inode.skip`, in hexadecimal digits.
fn place(text: &str) -> Option<DiffPlace> {
    let (inode, skip) = text.split_once('.')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(DiffPlace { inode: number(inode)?, skip: number(skip)? })
}

impl App {
    /// Keeps two moments of a filesystem for an hour, and cuts what differs into parts.
    pub fn change_list_prepare(&self, wish: &ChangeListWish) -> AppResult<ChangeList> {
        let volume = wish.filesystem.filesystem(self)?;
        let object = format!("change list of {}", volume.meta.name);
        if wish.readers == 0 || wish.readers > PARTS_MAX {
            return Err(AppError::invalid(
                object,
                format!("cannot be cut into {} parts", wish.readers),
                format!("Ask for 1 to {PARTS_MAX}."),
            ));
        }
        let moments =
            [self.list_moment(volume.id, wish.from)?, self.list_moment(volume.id, wish.to)?];
        // What programs wrote to a mount counts as written, in the live tree and in writable snapshots.
        self.flush(&volume)?;
        let store = self.store()?;
        let now = Timestamp::now();
        store.let_go_over(now).map_err(|e| store_error(&object, &e))?;
        if store.all_holds().len() >= LISTS_MAX {
            return Err(AppError::new(
                ErrorKind::Limit,
                object,
                format!("is one too many: {LISTS_MAX} can be read at one time"),
                "Read on in those that are prepared; each ends an hour after it was.",
            ));
        }
        let expires = now.checked_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let name = random_name::<16>()?;
        let [from, to] = moments;
        store.hold(&name, from, to, expires).map_err(|e| store_error(&object, &e))?;
        let held = store.held(&name, now).ok_or_else(over)?;
        let changed = self.changed(&held, &name, &object).inspect_err(|_| {
            drop(store.let_go(std::slice::from_ref(&name)));
        })?;
        let parts = changed.parts(wish.readers).into_iter();
        let cookies = parts.map(|(from, below)| format!("{name}.{from:x}.{below:x}")).collect();
        Ok(ChangeList { cookies, expires })
    }

    fn list_moment(&self, volume: VolumeId, of: Option<SnapshotId>) -> AppResult<MomentRef> {
        let Some(id) = of else { return Ok(MomentRef::Live(volume)) };
        let (found, snapshot) = crate::which::WhichSnapshot::snapshot(&id, self)?;
        if found.id == volume {
            return Ok(MomentRef::Snapshot(id));
        }
        Err(AppError::invalid(
            format!("snapshot {}@{}", found.meta.name, snapshot.meta.name),
            "belongs to another filesystem",
            "Compare two moments of one filesystem.",
        ))
    }

    /// The next changes of a part of a list.
    pub fn change_list_page(
        &self,
        cookie: &str,
        resume: Option<&str>,
        limit: usize,
    ) -> AppResult<ChangePage> {
        let part = Cookie::read(cookie).ok_or_else(|| unfit("cookie", cookie))?;
        let from = match resume {
            None => DiffPlace { inode: part.from, skip: 0 },
            Some(text) => place(text)
                .filter(|place| (part.from..part.below).contains(&place.inode))
                .ok_or_else(|| unfit("resume token", text))?,
        };
        let object = format!("change list {}", part.list);
        let store = self.store()?;
        let held = store.held(part.list, Timestamp::now()).ok_or_else(over)?;
        let changed = self.changed(&held, part.list, &object)?;
        let limit = limit.clamp(1, PAGE_MAX);
        let page = tintype_fs::diff_page(&held, &changed, from, part.below, limit)
            .map_err(|e| fs_error(&object, &e))?;
        let entries = page.entries.into_iter().map(|entry| trees::diff_entry(entry, false));
        let resume = page.next.map(|next| format!("{:x}.{:x}", next.inode, next.skip));
        Ok(ChangePage { entries: entries.collect(), resume })
    }

    /// Where the changes of a list are. Readers of one list wait for the one that looks.
    fn changed(&self, held: &Fixed<'_>, list: &str, object: &str) -> AppResult<Arc<Changed>> {
        let slot = self.change_lists.slot(list);
        let mut slot = slot.lock();
        if let Some(changed) = &*slot {
            return Ok(Arc::clone(changed));
        }
        let changed = Changed::read(held).map_err(|e| fs_error(object, &e))?;
        Ok(Arc::clone(slot.insert(Arc::new(changed))))
    }
}

fn unfit(what: &str, text: &str) -> AppError {
    // What somebody made up may be long.
    let text: String = text.chars().take(80).collect();
    AppError::invalid(
        what,
        format!("{text:?} is none that was given out"),
        "Send what the answer before this one says, unchanged.",
    )
}

fn over() -> AppError {
    AppError::new(
        ErrorKind::NotFound,
        "cookie",
        "is not valid, or not any more",
        "Prepare the list again: its cookies are good for an hour.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_places_are_read_whole_or_not_at_all() {
        let cookie = Cookie::read("ab.10.ffffffffffffffff").unwrap();
        assert_eq!((cookie.list, cookie.from, cookie.below), ("ab", 16, u64::MAX));
        for bad in [
            "",
            "ab",
            "ab.1",
            "ab.1.1",
            "ab.2.1",
            "ab.1.2.3",
            ".1.2",
            "ab.x.2",
            "ab.1.10000000000000000",
        ] {
            assert!(Cookie::read(bad).is_none(), "{bad}");
        }
        assert_eq!(place("1f.2"), Some(DiffPlace { inode: 31, skip: 2 }));
        assert!(place("1f").is_none() && place("1.2.3").is_none() && place("").is_none());
    }
}
