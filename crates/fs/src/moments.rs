//! The moments of a volume that were entered through `.snapshots`, each under a slot of its own.
//!
//! Slots are given out as moments are entered and never given twice, so no node number of a deleted
//! snapshot can mean anything else later. Opened moments are kept within a bound.

use crate::error::{FsError, Result, refuse};
use crate::limits::Limits;
use crate::nodes::{LIVE, Nodes, SNAPSHOTS};
use crate::place::{Frozen, Place};
use crate::tree::Tree;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tintype_model::{SnapshotId, VolumeId};
use tintype_store::{LineRef, Snapshot, Store};

/// Read-only moments that stay open.
const OPEN: usize = 1024;

/// A snapshot as it was when it was entered: read-only and writable states are different moments.
type Which = (SnapshotId, bool);

struct Slot {
    which: Which,
    name: Box<[u8]>,
    place: Option<Place>,
}

impl Slot {
    /// Learns the access point that the snapshot has now; answers the old one if that is another.
    fn rename(&mut self, snapshot: &Snapshot) -> Option<Box<[u8]>> {
        let name = snapshot.meta.access_point.as_str().as_bytes();
        (*self.name != *name).then(|| std::mem::replace(&mut self.name, name.into()))
    }
}

#[derive(Default)]
struct Table {
    by_moment: HashMap<Which, u32>,
    slots: HashMap<u32, Slot>,
    last: u32,
    open: usize,
}

/// The table of entered moments.
pub(crate) struct Moments {
    store: Arc<Store>,
    volume: VolumeId,
    nodes: Arc<Nodes>,
    disk: Limits,
    table: Mutex<Table>,
    last_list: Mutex<Option<Arc<Vec<Arc<Snapshot>>>>>,
}

impl Moments {
    /// No moment is entered yet.
    pub(crate) fn new(
        store: &Arc<Store>,
        volume: VolumeId,
        nodes: &Arc<Nodes>,
        live: &Limits,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            volume,
            nodes: Arc::clone(nodes),
            disk: Limits::beside(live),
            table: Mutex::default(),
            last_list: Mutex::default(),
        }
    }

    /// The volume's snapshots by id, which never change their order.
    pub(crate) fn list(&self) -> Vec<Arc<Snapshot>> {
        let mut list = self.store.snapshots(Some(self.volume));
        list.sort_by_key(|snapshot| snapshot.id);
        list
    }

    /// The list as it was when a listing began, for the rest of that listing.
    pub(crate) fn list_from(&self, offset: u64) -> Arc<Vec<Arc<Snapshot>>> {
        let mut last = self.last_list.lock();
        match last.as_ref() {
            Some(list) if offset > 2 => Arc::clone(list),
            _ => Arc::clone(last.insert(Arc::new(self.list()))),
        }
    }

    /// The snapshot behind an access point.
    pub(crate) fn named(&self, name: &[u8]) -> Option<Arc<Snapshot>> {
        self.store.snapshot_at(self.volume, std::str::from_utf8(name).ok()?)
    }

    /// Enters a snapshot.
    pub(crate) fn enter(&self, snapshot: &Snapshot) -> Result<Place> {
        let mut table = self.table.lock();
        let which = (snapshot.id, snapshot.writable());
        let slot = match table.by_moment.get(&which) {
            Some(slot) => *slot,
            None => {
                table.last += 1;
                let slot = table.last;
                if slot == SNAPSHOTS {
                    return refuse(libc::ENFILE);
                }
                let name = snapshot.meta.access_point.as_str().as_bytes().into();
                table.by_moment.insert(which, slot);
                table.slots.insert(slot, Slot { which, name, place: None });
                slot
            }
        };
        self.open(&mut table, slot)
    }

    /// The place of a slot that was given out; `ESTALE` when its snapshot is gone.
    pub(crate) fn place(&self, slot: u32) -> Result<Place> {
        debug_assert!(slot != LIVE && slot != SNAPSHOTS);
        let mut table = self.table.lock();
        match table.slots.get(&slot) {
            Some(Slot { place: Some(place), .. }) => Ok(place.clone()),
            Some(_) => self.open(&mut table, slot),
            None => refuse(libc::ESTALE),
        }
    }

    fn open(&self, table: &mut Table, slot: u32) -> Result<Place> {
        let Some(found) = table.slots.get(&slot) else { return refuse(libc::ESTALE) };
        if let Some(place) = &found.place {
            return Ok(place.clone());
        }
        let (id, writable) = found.which;
        let place = if writable {
            {
                let limits = Limits::beside(&self.disk);
                Place::Live(Tree::open(
                    &self.store,
                    LineRef::Snapshot(id),
                    slot,
                    &self.nodes,
                    limits,
                )?)
            }
        } else {
            Place::Frozen(Arc::new(Frozen::open(&self.store, id, slot)?))
        };
        table.open += 1;
        if table.open > OPEN {
            Self::let_views_go(table);
        }
        if let Some(found) = table.slots.get_mut(&slot) {
            found.place = Some(place.clone());
        }
        Ok(place)
    }

    fn let_views_go(table: &mut Table) {
        table.open = 1;
        for slot in table.slots.values_mut() {
            match slot.place {
                Some(Place::Frozen(_)) => slot.place = None,
                Some(Place::Live(_)) => table.open += 1,
                None => {}
            }
        }
    }

    /// Forgets moments whose snapshot was deleted or made writable, and learns new names; answers the access points that the
    /// kernel has to forget. A moment that was only renamed stays open: programs inside it go on.
    pub(crate) fn refresh(&self) -> Vec<Box<[u8]>> {
        let mut table = self.table.lock();
        let (mut names, mut gone) = (Vec::new(), Vec::new());
        for (number, slot) in &mut table.slots {
            let snapshot = self.store.snapshot_by_id(slot.which.0);
            match snapshot.filter(|snapshot| snapshot.writable() == slot.which.1) {
                Some(snapshot) => names.extend(slot.rename(&snapshot)),
                None => gone.push(*number),
            }
        }
        names.extend(gone.into_iter().filter_map(|slot| Self::drop_slot(&mut table, slot)));
        names
    }

    fn drop_slot(table: &mut Table, slot: u32) -> Option<Box<[u8]>> {
        let gone = table.slots.remove(&slot)?;
        table.by_moment.remove(&gone.which);
        if let Some(Place::Live(tree)) = &gone.place {
            close(tree);
        }
        Some(gone.name)
    }

    /// Lets go of a snapshot, so that it can be deleted.
    pub(crate) fn leave(&self, snapshot: SnapshotId) -> Vec<Box<[u8]>> {
        let mut table = self.table.lock();
        let slots: Vec<u32> = [false, true]
            .iter()
            .filter_map(|writable| table.by_moment.get(&(snapshot, *writable)).copied())
            .collect();
        slots.into_iter().filter_map(|slot| Self::drop_slot(&mut table, slot)).collect()
    }

    /// The writable snapshots that are open.
    pub(crate) fn trees(&self) -> Vec<Arc<Tree>> {
        let table = self.table.lock();
        let live = |slot: &Slot| match &slot.place {
            Some(Place::Live(tree)) => Some(Arc::clone(tree)),
            _ => None,
        };
        table.slots.values().filter_map(live).collect()
    }

    /// Lets everything go, also when something cannot be committed; answers the first error.
    pub(crate) fn close(&self) -> Result<()> {
        let trees = self.trees();
        *self.table.lock() = Table::default();
        trees.iter().map(|tree| tree.close()).fold(Ok(()), Result::and)
    }
}

fn close(tree: &Tree) {
    if let Err(error) = tree.close() {
        let error: FsError = error;
        tracing::debug!(%error, "a writable snapshot was gone before it was let go");
    }
}
