//! Disks as whoever serves them sees them: what a name opens, what an open export can be asked, and what happens to its
//! clients when the disk changes under them.
//!
//! A client keeps what it opened by id, so a new name changes nothing for it. What would show it something else (another
//! size, a deletion, a store that is opened anew) ends its connection, after the change: whoever connects then sees
//! what is there then.

use std::fmt;
use std::sync::{Arc, Weak};

use tintype_disk::{Blocks, ByteRange, Disk, DiskView, Equal};
use tintype_model::{MomentName, SnapshotId, SnapshotName, VolumeId, VolumeName};
use tintype_store::{LineRef, MomentRef};

use crate::convert::disk_error;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::port::{DiskServer, DiskUris};

/// What a client has open, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportId {
    /// The live end of a disk.
    Disk(VolumeId),
    /// A snapshot, read-only or writable.
    Snapshot(SnapshotId),
}

impl fmt::Display for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(id) => write!(f, "disk {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}

/// The blocks of an export.
pub enum ExportBlocks {
    /// They can be written.
    Live(Arc<Disk>),
    /// A moment that stays as it is.
    Fixed(DiskView),
}

/// A moment of a disk, opened for somebody who serves it.
pub struct OpenExport {
    /// What it is, whatever its name.
    pub id: ExportId,
    /// Its blocks.
    pub blocks: ExportBlocks,
    volume: VolumeId,
}

impl OpenExport {
    /// For reading.
    #[must_use]
    pub fn blocks(&self) -> &dyn Blocks {
        match &self.blocks {
            ExportBlocks::Live(disk) => &**disk,
            ExportBlocks::Fixed(view) => view,
        }
    }

    const fn moment(&self) -> MomentRef {
        match self.id {
            ExportId::Disk(id) => MomentRef::Live(id),
            ExportId::Snapshot(id) => MomentRef::Snapshot(id),
        }
    }
}

impl App {
    /// From now on disks are served by this server, for as long as it lives.
    pub fn serve_disks(&self, by: Weak<dyn DiskServer>) {
        *self.disk_server.lock() = Some(by);
    }

    /// Opens a moment of a disk: the live end and writable snapshots for writing, others for reading.
    pub fn open_export(&self, name: &MomentName) -> AppResult<OpenExport> {
        let volume = self.disk(name.volume())?.id;
        let object = format!("disk {name}");
        let live = |line| self.open_line(line, &object).map(ExportBlocks::Live);
        let (id, blocks) = match name {
            MomentName::Live(_) => (ExportId::Disk(volume), live(LineRef::Volume(volume))?),
            MomentName::Snapshot(name) => {
                let snapshot = self.snapshot(name)?.1;
                let blocks = if snapshot.writable() {
                    live(LineRef::Snapshot(snapshot.id))?
                } else {
                    let view = DiskView::open(&*self.store()?, MomentRef::Snapshot(snapshot.id));
                    ExportBlocks::Fixed(view.map_err(|e| disk_error(&object, &e))?)
                };
                (ExportId::Snapshot(snapshot.id), blocks)
            }
        };
        Ok(OpenExport { id, blocks, volume })
    }

    /// Whether what was opened still exists. What was read from a fixed moment before it did not is right; what is read
    /// afterwards may not be, for its blocks are free then.
    pub fn export_exists(&self, export: &OpenExport) -> bool {
        let Ok(store) = self.store() else { return false };
        match export.id {
            ExportId::Disk(id) => store.volume_by_id(id).is_some(),
            ExportId::Snapshot(id) => store.snapshot_by_id(id).is_some(),
        }
    }

    /// Names of at most `max` snapshots of the same disk, the newest first.
    pub fn export_snapshots(&self, export: &OpenExport, max: usize) -> Vec<SnapshotName> {
        let snapshots = self.store().map(|store| store.snapshots(Some(export.volume)));
        let newest = snapshots.unwrap_or_default().into_iter().rev().take(max);
        newest.map(|snapshot| snapshot.meta.name.clone()).collect()
    }

    /// Whether the same disk has a snapshot of this name.
    pub fn export_has_snapshot(&self, export: &OpenExport, name: &SnapshotName) -> bool {
        self.store().is_ok_and(|store| store.snapshot(export.volume, name.as_str()).is_some())
    }

    /// Ranges that were written since a snapshot of the same disk, perhaps with the bytes that they had.
    pub fn export_written_since(
        &self,
        export: &OpenExport,
        since: &SnapshotName,
    ) -> AppResult<Vec<ByteRange>> {
        let store = self.store()?;
        let missing = || AppError::no_snapshot(&volume_name(&store, export.volume), since.as_str());
        let base = store.snapshot(export.volume, since.as_str()).ok_or_else(missing)?;
        tintype_disk::changes(&store, MomentRef::Snapshot(base.id), export.moment(), Equal::Place)
            .map_err(|e| disk_error(&format!("changes of {} since {since}", export.id), &e))
    }

    /// Where a disk can be reached, if it is served.
    pub(crate) fn disk_uris(&self, name: &VolumeName) -> Option<DiskUris> {
        self.disk_server().map(|server| server.uris(name))
    }

    /// Refuses what would take a disk away from the clients that use it.
    pub(crate) fn refuse_used(&self, name: &VolumeName, id: VolumeId) -> AppResult<()> {
        let ids = [ExportId::Disk(id)];
        let clients = self.disk_server().map_or(0, |server| server.clients(&ids));
        if clients == 0 {
            return Ok(());
        }
        let connections = if clients == 1 { "connection" } else { "connections" };
        Err(AppError::new(
            ErrorKind::Busy,
            format!("disk {name}"),
            format!("is in use: clients have {clients} {connections} to its block device"),
            "End the programs that use it, or use --force, which ends their connections.",
        ))
    }

    /// The disk has another size now, or is gone: its clients have to see that.
    pub(crate) fn close_clients(&self, ids: &[ExportId]) {
        let closed = self.disk_server().map_or(0, |server| server.close(ids));
        if closed > 0 {
            tracing::info!(closed, "connections of disks that changed were closed");
        }
    }

    /// The store is about to be opened anew: nobody may hold the old one.
    pub(crate) fn close_all_clients(&self) {
        if let Some(server) = self.disk_server() {
            server.close_all();
        }
    }

    /// Connections to disks.
    pub(crate) fn disk_connections(&self) -> u64 {
        self.disk_server().map_or(0, |server| server.connections())
    }

    fn disk_server(&self) -> Option<Arc<dyn DiskServer>> {
        self.disk_server.lock().as_ref().and_then(Weak::upgrade)
    }
}

fn volume_name(store: &tintype_store::Store, id: VolumeId) -> String {
    store.volume_by_id(id).map_or_else(|| id.to_string(), |volume| volume.meta.name.to_string())
}
