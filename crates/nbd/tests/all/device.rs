//! A device that holds requests up, fails or panics where it is told to, notes everything, and insists on what the port
//! promises to devices.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tintype_nbd::{Context, Device, DeviceError, Extent, Geometry, MemoryDisk, Zeroing};

#[derive(Default)]
pub struct State {
    /// Reads that begin here wait until the offset is taken out.
    pub held: HashSet<u64>,
    /// Reads that have begun.
    pub begun: Vec<u64>,
    pub waiting: usize,
    /// Reads that begin here fail.
    pub broken: HashSet<u64>,
    /// Everything from now on fails with this.
    pub failure: Option<DeviceError>,
    /// Writes, in order, and flushes (as nothing).
    pub log: Vec<Option<(u64, usize)>>,
    pub slow_zeroes: bool,
    /// What the port has promised and not kept.
    pub violations: Vec<String>,
}

/// Shared by the test and the server.
#[derive(Clone)]
pub struct Troubled {
    pub inner: Arc<MemoryDisk>,
    pub state: Arc<(Mutex<State>, Condvar)>,
}

impl Troubled {
    pub fn new(inner: MemoryDisk) -> Self {
        Self { inner: Arc::new(inner), state: Arc::default() }
    }

    pub fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.0.lock());
        self.state.1.notify_all();
        result
    }

    /// Waits until `is` holds.
    pub fn wait(&self, is: impl Fn(&State) -> bool) {
        let mut state = self.state.0.lock();
        while !is(&state) {
            self.state.1.wait(&mut state);
        }
    }

    fn check(&self, offset: u64, length: u64, limited: bool) -> Result<(), DeviceError> {
        let geometry = self.inner.geometry();
        let mask = u64::from(geometry.minimum_block) - 1;
        let inside = offset.checked_add(length).is_some_and(|end| end <= geometry.size);
        let fine = length > 0 && inside && (offset | length) & mask == 0;
        let mut state = self.state.0.lock();
        if !fine || (limited && length > 32 << 20) {
            state.violations.push(format!("{offset} + {length}"));
        }
        state.failure.clone().map_or(Ok(()), Err)
    }

    fn check_change(&self, offset: u64, length: u64, limited: bool) -> Result<(), DeviceError> {
        if self.inner.geometry().read_only {
            self.state.0.lock().violations.push("a change of a read-only device".into());
        }
        self.check(offset, length, limited)
    }
}

impl Device for Troubled {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DeviceError> {
        self.check(offset, into.len() as u64, true)?;
        {
            let mut state = self.state.0.lock();
            state.begun.push(offset);
            state.waiting += 1;
            self.state.1.notify_all();
            while state.held.contains(&offset) {
                self.state.1.wait(&mut state);
            }
            state.waiting -= 1;
            if state.broken.contains(&offset) {
                return Err(DeviceError::Io { detail: "planted".into(), at: Some(offset + 1) });
            }
        }
        assert_ne!(offset, 666 * 4096, "planted");
        self.inner.read(offset, into)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.check_change(offset, data.len() as u64, true)?;
        self.inner.write(offset, data)?;
        self.state.0.lock().log.push(Some((offset, data.len())));
        Ok(())
    }

    fn flush(&self) -> Result<(), DeviceError> {
        self.state.0.lock().log.push(None);
        self.state.0.lock().failure.clone().map_or(Ok(()), Err)
    }

    fn write_zeroes(&self, offset: u64, length: u64, how: Zeroing) -> Result<(), DeviceError> {
        self.check_change(offset, length, false)?;
        if self.state.0.lock().slow_zeroes {
            return Err(DeviceError::NotSupported);
        }
        self.inner.write_zeroes(offset, length, how)
    }

    fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.check_change(offset, length, false)?;
        self.inner.trim(offset, length)
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.check(offset, length, false)
    }

    fn snapshots(&self, max: usize) -> Vec<String> {
        self.inner.snapshots(max)
    }

    fn has_snapshot(&self, name: &str) -> bool {
        self.inner.has_snapshot(name)
    }

    fn block_status(
        &self,
        of: &Context,
        range: Range<u64>,
        max: usize,
    ) -> Result<Vec<Extent>, DeviceError> {
        self.check(range.start, range.end - range.start, false)?;
        self.inner.block_status(of, range, max)
    }
}
