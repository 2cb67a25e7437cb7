//! A disk in memory and a fixed set of exports: the second implementation of the port, for tests and measurements.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::port::{
    Context, Device, DeviceError, Export, Exports, Extent, Geometry, Listed, Refusal, Zeroing,
};

/// Bytes of a block: the unit of holes and changes.
const BLOCK: usize = 4096;

#[derive(Default)]
struct Block {
    /// Nothing means a hole.
    data: Option<Box<[u8]>>,
    /// The era in which it changed last.
    changed: u32,
}

/// A sparse disk in memory that knows what changed since its snapshots. Snapshots keep no data.
pub struct MemoryDisk {
    blocks: Vec<RwLock<Block>>,
    geometry: Geometry,
    era: AtomicU32,
    snapshots: Mutex<(Vec<String>, HashMap<String, u32>)>,
}

impl MemoryDisk {
    /// A disk of `size` bytes, all holes, that takes requests of any alignment.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let count = usize::try_from(size.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX);
        Self {
            blocks: (0..count).map(|_| RwLock::default()).collect(),
            geometry: Geometry { size, read_only: false, minimum_block: 1, preferred_block: 4096 },
            era: AtomicU32::new(1),
            snapshots: Mutex::default(),
        }
    }

    /// The same disk with other block sizes.
    #[must_use]
    pub fn with_minimum_block(mut self, bytes: u32) -> Self {
        self.geometry.minimum_block = bytes;
        self.geometry.preferred_block = bytes.max(4096);
        self
    }

    /// The same disk, but nothing may change it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.geometry.read_only = true;
        self
    }

    /// From now on changes are told apart from those before.
    pub fn snapshot(&self, name: &str) {
        let mut snapshots = self.snapshots.lock();
        let era = self.era.fetch_add(1, Ordering::SeqCst);
        snapshots.0.insert(0, name.to_owned());
        snapshots.1.insert(name.to_owned(), era);
    }

    /// The name is gone; asking for changes since it fails from now on.
    pub fn forget(&self, name: &str) {
        let mut snapshots = self.snapshots.lock();
        snapshots.0.retain(|other| other != name);
        snapshots.1.remove(name);
    }

    /// Calls `each` for the blocks that a range touches: the block, where in it the range begins, and how many bytes.
    fn touch(
        &self,
        offset: u64,
        length: u64,
        mut each: impl FnMut(&RwLock<Block>, usize, usize) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let out = || DeviceError::Invalid { detail: "outside of the disk".into() };
        let (mut at, end) = (offset, offset.checked_add(length).ok_or_else(out)?);
        while at < end {
            let index = usize::try_from(at / BLOCK as u64).map_err(|_| out())?;
            let within = usize::try_from(at % BLOCK as u64).map_err(|_| out())?;
            let room = (BLOCK - within) as u64;
            let count = room.min(end.saturating_sub(at));
            let block = self.blocks.get(index).ok_or_else(out)?;
            each(block, within, usize::try_from(count).map_err(|_| out())?)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    fn state(&self, block: &RwLock<Block>, since: Option<u32>) -> u32 {
        let block = block.read();
        match since {
            Some(era) if block.changed > era => Extent::DIRTY,
            Some(_) => 0,
            None if block.data.is_none() => Extent::HOLE | Extent::ZERO,
            None => 0,
        }
    }
}

impl Device for MemoryDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DeviceError> {
        let mut rest = into;
        self.touch(offset, rest.len() as u64, |block, within, count| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(count);
            rest = after;
            let block = block.read();
            match block.data.as_deref().and_then(|data| data.get(within..within + count)) {
                Some(data) => part.copy_from_slice(data),
                None => part.fill(0),
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let mut rest = data;
        let era = self.era.load(Ordering::SeqCst);
        self.touch(offset, data.len() as u64, |block, within, count| {
            let (part, after) = rest.split_at(count);
            rest = after;
            let mut block = block.write();
            let room = block.data.get_or_insert_with(|| vec![0; BLOCK].into_boxed_slice());
            if let Some(room) = room.get_mut(within..within + count) {
                room.copy_from_slice(part);
            }
            block.changed = era;
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, length: u64, how: Zeroing) -> Result<(), DeviceError> {
        let era = self.era.load(Ordering::SeqCst);
        self.touch(offset, length, |block, within, count| {
            let mut block = block.write();
            if count == BLOCK && !how.no_hole {
                block.data = None;
            } else if how.no_hole || block.data.is_some() {
                let room = block.data.get_or_insert_with(|| vec![0; BLOCK].into_boxed_slice());
                room.get_mut(within..within + count).unwrap_or_default().fill(0);
            }
            block.changed = era;
            Ok(())
        })
    }

    fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.write_zeroes(offset, length, Zeroing::default())
    }

    fn snapshots(&self, max: usize) -> Vec<String> {
        self.snapshots.lock().0.iter().take(max).cloned().collect()
    }

    fn has_snapshot(&self, name: &str) -> bool {
        self.snapshots.lock().1.contains_key(name)
    }

    fn block_status(
        &self,
        of: &Context,
        range: Range<u64>,
        max: usize,
    ) -> Result<Vec<Extent>, DeviceError> {
        let since = match of {
            Context::ChangedSince(name) => {
                let era = self.snapshots.lock().1.get(name).copied();
                let gone = || DeviceError::Invalid { detail: format!("no snapshot {name}") };
                Some(era.ok_or_else(gone)?)
            }
            Context::Allocation | Context::Depth => None,
        };
        let mut found: Vec<Extent> = Vec::new();
        let length = range.end.saturating_sub(range.start);
        self.touch(range.start, length, |block, _, count| {
            let (state, count) = (self.state(block, since), count as u64);
            let room = found.len() < max;
            match found.last_mut() {
                Some(last) if last.state == state => {
                    last.length = last.length.saturating_add(count)
                }
                _ if room => found.push(Extent { length: count, state }),
                // Enough was found; the error ends the walk and is not told.
                _ => return Err(DeviceError::TooLarge),
            }
            Ok(())
        })
        .or_else(|error| if error == DeviceError::TooLarge { Ok(()) } else { Err(error) })?;
        Ok(found)
    }
}

/// A fixed set of devices by name; the first in the order of names is also the default export.
#[derive(Default, Clone)]
pub struct FixedExports {
    devices: BTreeMap<String, Arc<dyn Device>>,
}

impl FixedExports {
    /// Adds a device.
    #[must_use]
    pub fn with(mut self, name: &str, device: Arc<dyn Device>) -> Self {
        self.devices.insert(name.to_owned(), device);
        self
    }
}

impl Exports for FixedExports {
    fn list(&self) -> Vec<Listed> {
        let listed = |name: &String| Listed { name: name.clone(), description: String::new() };
        self.devices.keys().map(listed).collect()
    }

    fn open(&self, name: &str) -> Result<Export, Refusal> {
        let found = match name {
            "" => self.devices.first_key_value(),
            _ => self.devices.get_key_value(name),
        };
        let (name, device) = found.ok_or(Refusal::Unknown)?;
        let (id, description) = (name.clone(), String::new());
        Ok(Export { name: name.clone(), id, description, device: Arc::clone(device) })
    }
}
