//! Reading a disk: what its live end and its fixed moments have in common.

use crate::disk::map;
use crate::error::{DiskError, Result};
use crate::extents::{self, Run};
use crate::head::Head;
use tintype_store::content::{self, TRIES};
use tintype_store::{BlockReader, Moment, MomentRef, Store, StoreError, View};

/// A disk at some moment, or at its live end.
pub trait Blocks: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The range does not lie inside the disk, the data is damaged, or the store failed.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// How the bytes from `offset` on are allocated: at least one run, at most `runs`, without gaps from `offset` on. They may
    /// end before `length` bytes: ask again from there.
    ///
    /// # Errors
    /// The range does not lie inside the disk, or the store failed.
    fn extents(&self, offset: u64, length: u64, runs: usize) -> Result<Vec<Run>>;
}

/// A fixed moment of a disk. Cheap to clone.
#[derive(Clone)]
pub struct DiskView {
    view: View,
    head: Head,
}

impl DiskView {
    /// A snapshot, or a live disk as of its last commit.
    ///
    /// # Errors
    /// It does not exist or is no disk, or the store failed.
    pub fn open(store: &Store, moment: MomentRef) -> Result<Self> {
        Self::of(store.view_of(moment)?)
    }

    pub(crate) fn of(mut view: View) -> Result<Self> {
        let head = Head::read(&mut view)?;
        Ok(Self { view, head })
    }

    /// The same moment as a disk of another size.
    pub(crate) const fn with_size(view: View, size: u64) -> Self {
        Self { view, head: Head { size, blocks: 0, image: None } }
    }

    /// The image whose content the disk holds at this moment, to the byte.
    #[must_use]
    pub const fn image(&self) -> Option<[u8; 16]> {
        self.head.image
    }

    pub(crate) fn moment(&self) -> View {
        self.view.clone()
    }

    /// Bytes of blocks that the disk maps at this moment, reserved ones included, whoever shares them.
    #[must_use]
    pub const fn mapped_bytes(&self) -> u64 {
        self.head.blocks.saturating_mul(content::BYTES)
    }
}

impl Blocks for DiskView {
    fn size(&self) -> u64 {
        self.head.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut view = self.moment();
        read(offset, buf, &mut |f| f(&mut view, self.head.size))
    }

    fn extents(&self, offset: u64, length: u64, runs: usize) -> Result<Vec<Run>> {
        check_range(self.head.size, offset, length)?;
        extents::runs(&mut self.moment(), offset, length, runs)
    }
}

/// Refuses a range that does not lie inside a disk of `size` bytes.
pub(crate) fn check_range(size: u64, offset: u64, length: u64) -> Result<()> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        end => Err(DiskError::OutOfBounds { offset, end: end.unwrap_or(u64::MAX), size }),
    }
}

/// Where a range lies, and what reads it.
type Resolved = (Vec<content::Part>, BlockReader);
/// Resolves a range; gets the moment and the disk's size.
type Resolve<'r> = dyn FnMut(&mut dyn Moment, u64) -> Result<Resolved> + 'r;

/// Reads a range of the disk that `with` gives the moment of, under its lock if it has one.
pub(crate) fn read(
    offset: u64,
    buf: &mut [u8],
    with: &mut dyn FnMut(&mut Resolve<'_>) -> Result<Resolved>,
) -> Result<()> {
    for _ in 0..TRIES {
        let (parts, reader) = with(&mut |moment, size| {
            check_range(size, offset, buf.len() as u64)?;
            let parts = content::resolve(offset, buf.len(), |span| map(moment, span))?;
            Ok((parts, moment.blocks()))
        })?;
        match content::fill(&reader, &parts, buf) {
            Ok(_) => return Ok(()),
            Err(StoreError::Moved(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved(0).into())
}
