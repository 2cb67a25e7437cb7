//! Disks as exports of the block protocol: the adapter from `nbd`'s port to the app.
//!
//! Exports are named as moments are: `disk` is the live end, `disk@snapshot` a snapshot, which is read-only unless it was made
//! writable. Nothing else can be reached. Sizes are those at the time a client connects; the app ends connections that show
//! another one. A new name changes nothing for who is connected.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use tintype_app::{App, ErrorKind, ExportBlocks, OpenExport};
use tintype_disk::{Allocation, ByteRange, Disk, DiskError};
use tintype_model::{MomentName, SnapshotFilter, SnapshotName};
use tintype_nbd::{
    Context, Device, DeviceError, Export, Exports, Extent, Geometry, Listed, Refusal, Zeroing,
};

/// Requests of whole blocks are the fast ones.
const PREFERRED: u32 = 4096;
/// The unit in which data is checked.
const BLOCK: u64 = 4096;

/// All disks of a store and their snapshots.
pub struct DiskExports {
    app: Arc<App>,
}

impl DiskExports {
    /// The disks of `app`.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Exports for DiskExports {
    fn list(&self) -> Vec<Listed> {
        let mut list = Vec::new();
        for disk in self.app.disk_list().unwrap_or_default() {
            let snapshots = self.app.snapshot_list(Some(&disk.name), &SnapshotFilter::default());
            let name = disk.name.to_string();
            list.push(Listed { name, description: "the disk as it is now".to_owned() });
            list.extend(snapshots.unwrap_or_default().into_iter().map(|snapshot| Listed {
                name: format!("{}@{}", snapshot.volume, snapshot.name),
                description: describe(snapshot.writable, &snapshot.description),
            }));
        }
        list
    }

    fn open(&self, name: &str) -> Result<Export, Refusal> {
        let moment: MomentName = name.parse().map_err(|_| Refusal::Unknown)?;
        let export = self.app.open_export(&moment).map_err(|error| match error.kind {
            ErrorKind::NotFound | ErrorKind::Invalid => Refusal::Unknown,
            _ => Refusal::Denied { reason: error.to_string() },
        })?;
        let geometry = Geometry {
            size: export.blocks().size(),
            read_only: matches!(export.blocks, ExportBlocks::Fixed(_)),
            minimum_block: 1,
            preferred_block: PREFERRED,
        };
        let (id, name, description) = (export.id.to_string(), moment.to_string(), String::new());
        let (app, written) = (Arc::clone(&self.app), Mutex::default());
        let device = Served { app, name: name.clone(), export, geometry, written };
        Ok(Export { name, id, description, device: Arc::new(device) })
    }
}

fn describe(writable: bool, description: &str) -> String {
    let kind = if writable { "a writable snapshot" } else { "a snapshot" };
    let text =
        if description.is_empty() { kind.to_owned() } else { format!("{kind}: {description}") };
    text.chars().take(1000).collect()
}

/// What was written since a snapshot, and up to which change of the disk that holds.
struct Written {
    since: String,
    generation: u64,
    ranges: Arc<Vec<ByteRange>>,
}

struct Served {
    app: Arc<App>,
    /// What it was called when it was opened.
    name: String,
    export: OpenExport,
    geometry: Geometry,
    written: Mutex<Option<Written>>,
}

impl Served {
    fn live(&self) -> Result<&Disk, DeviceError> {
        match &self.export.blocks {
            ExportBlocks::Live(disk) => Ok(disk),
            ExportBlocks::Fixed(_) => Err(DeviceError::NotPermitted {
                detail: "a snapshot is read-only; clone it to write".to_owned(),
            }),
        }
    }

    /// Refuses what was read from a snapshot that is gone: its blocks may be something else by now.
    fn still_there(&self) -> Result<(), DeviceError> {
        match &self.export.blocks {
            ExportBlocks::Fixed(_) if !self.app.export_exists(&self.export) => {
                Err(DeviceError::Gone { detail: "the snapshot was deleted".to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Where in a range that cannot be read the first block is that cannot.
    fn first_bad(&self, offset: u64, range: &mut [u8]) -> Option<u64> {
        let mut at = offset;
        let end = offset.saturating_add(range.len() as u64);
        while at < end {
            let next = (at / BLOCK + 1).saturating_mul(BLOCK).min(end);
            let block = range.get_mut(..(next - at) as usize)?;
            if self.export.blocks().read_at(at, block).is_err() {
                return Some(at);
            }
            at = next;
        }
        None
    }

    /// What a request that failed is told. The log names the disk, and the place if it is known.
    fn failed(&self, error: &DiskError, at: Option<u64>) -> DeviceError {
        let detail = error.to_string();
        match error {
            error if error.is_full() => DeviceError::NoSpace { detail },
            DiskError::OutOfBounds { .. } => DeviceError::Invalid { detail },
            DiskError::Gone | DiskError::Closed | DiskError::NoDisk => DeviceError::Gone { detail },
            error => {
                let place = at.map_or_else(String::new, |at| format!(", byte {at}"));
                tracing::error!(%error, "disk {}{place}: a request failed", self.name);
                DeviceError::Io { detail, at }
            }
        }
    }

    fn generation(&self) -> u64 {
        match &self.export.blocks {
            ExportBlocks::Live(disk) => disk.generation(),
            ExportBlocks::Fixed(_) => 0,
        }
    }
}

impl Device for Served {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_current(&self) -> bool {
        self.app.export_exists(&self.export) && self.export.blocks().size() == self.geometry.size
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DeviceError> {
        let read = self.export.blocks().read_at(offset, into);
        self.still_there()?;
        read.map_err(|e| self.failed(&e, self.first_bad(offset, into)))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.live()?.write_at(offset, data).map_err(|e| self.failed(&e, None))
    }

    fn flush(&self) -> Result<(), DeviceError> {
        match &self.export.blocks {
            ExportBlocks::Live(disk) => disk.flush().map_err(|e| self.failed(&e, None)),
            ExportBlocks::Fixed(_) => Ok(()),
        }
    }

    fn write_zeroes(&self, offset: u64, length: u64, how: Zeroing) -> Result<(), DeviceError> {
        let disk = self.live()?;
        disk.write_zeroes(offset, length, how.no_hole).map_err(|e| self.failed(&e, None))
    }

    fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.live()?.discard(offset, length).map_err(|e| self.failed(&e, None))
    }

    fn snapshots(&self, max: usize) -> Vec<String> {
        let names = self.app.export_snapshots(&self.export, max);
        names.into_iter().map(|name| name.to_string()).collect()
    }

    fn has_snapshot(&self, name: &str) -> bool {
        SnapshotName::new(name).is_ok_and(|name| self.app.export_has_snapshot(&self.export, &name))
    }

    fn block_status(
        &self,
        of: &Context,
        range: Range<u64>,
        max: usize,
    ) -> Result<Vec<Extent>, DeviceError> {
        match of {
            Context::ChangedSince(snapshot) => {
                Ok(runs(&self.written_since(snapshot)?, &range, max))
            }
            Context::Allocation | Context::Depth => {
                let length = range.end.saturating_sub(range.start);
                let runs = self.export.blocks().extents(range.start, length, max);
                self.still_there()?;
                let extent = |run: tintype_disk::Run| Extent {
                    length: run.length,
                    state: match run.allocation {
                        Allocation::Hole => Extent::HOLE | Extent::ZERO,
                        Allocation::Reserved => Extent::ZERO,
                        Allocation::Data => 0,
                    },
                };
                Ok(runs.map_err(|e| self.failed(&e, None))?.into_iter().map(extent).collect())
            }
        }
    }
}

impl Served {
    /// The list is kept as long as nobody writes: clients ask for it piece by piece.
    fn written_since(&self, snapshot: &str) -> Result<Arc<Vec<ByteRange>>, DeviceError> {
        let generation = self.generation();
        let known = |w: &&Written| w.since == snapshot && w.generation == generation;
        if let Some(written) = self.written.lock().as_ref().filter(known) {
            return Ok(Arc::clone(&written.ranges));
        }
        let name = SnapshotName::new(snapshot)
            .map_err(|error| DeviceError::Invalid { detail: error.to_string() })?;
        let ranges = self.app.export_written_since(&self.export, &name);
        let ranges = Arc::new(ranges.map_err(|error| DeviceError::Io {
            detail: format!("{error}. {}", error.remedy),
            at: None,
        })?);
        let since = snapshot.to_owned();
        *self.written.lock() = Some(Written { since, generation, ranges: Arc::clone(&ranges) });
        Ok(ranges)
    }
}

/// The part of a list of changes that lies in `range`, as runs of changed and unchanged bytes.
fn runs(changes: &[ByteRange], range: &Range<u64>, max: usize) -> Vec<Extent> {
    let mut list = Vec::new();
    let mut at = range.start;
    let first = changes.partition_point(|c| c.offset.saturating_add(c.length) <= range.start);
    for change in changes.iter().skip(first) {
        if change.offset >= range.end || list.len() >= max.max(1) {
            break;
        }
        if change.offset > at {
            list.push(Extent { length: change.offset - at, state: 0 });
            at = change.offset;
        }
        let end = change.offset.saturating_add(change.length).min(range.end);
        list.push(Extent { length: end - at, state: Extent::DIRTY });
        at = end;
    }
    if at < range.end && list.len() < max.max(1) {
        list.push(Extent { length: range.end - at, state: 0 });
    }
    list.truncate(max.max(1));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_become_runs() {
        let change = |offset, length| ByteRange { offset, length };
        let changes = [change(4096, 4096), change(16384, 8192)];
        let told = |range, max| -> Vec<(u64, u32)> {
            let list = runs(&changes, &range, max);
            list.into_iter().map(|extent| (extent.length, extent.state)).collect()
        };
        assert_eq!(told(0..65536, 9), [(4096, 0), (4096, 1), (8192, 0), (8192, 1), (40960, 0)]);
        assert_eq!(told(6000..20000, 9), [(2192, 1), (8192, 0), (3616, 1)]);
        assert_eq!(told(6000..20000, 1), [(2192, 1)]);
        assert_eq!(told(30000..40000, 1), [(10000, 0)]);
    }
}
