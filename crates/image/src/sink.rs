//! Who takes what an image holds.

use std::io;

use crate::format::Format;
use crate::uuid::Uuid;

/// What an image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its format.
    pub format: Format,
    /// Bytes of the disk; unknown until the end when a pipe brings a raw disk.
    pub size: Option<u64>,
    /// The name that it carries.
    pub uuid: Option<Uuid>,
    /// It holds only what differs from this.
    pub parent: Option<Parent>,
}

/// What a delta goes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The name that the other image carries.
    pub uuid: Uuid,
    /// What its file was called; for people only, it is never opened.
    pub name: String,
}

/// Takes the content of an image. Calls come in this order: `begin`; `data` and `zeroes` for ranges that are disjoint, in any order; `end`.
/// What is never named reads as zero, or as in the parent.
pub trait Sink {
    /// What the image says about itself.
    ///
    /// # Errors
    /// Such an image is not wanted.
    fn begin(&mut self, head: &Head) -> io::Result<()>;

    /// These bytes lie at `offset`. Perhaps all are zero.
    ///
    /// # Errors
    /// They cannot be kept.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// The range is zero, whatever the parent has there.
    ///
    /// # Errors
    /// That cannot be kept.
    fn zeroes(&mut self, offset: u64, length: u64) -> io::Result<()>;

    /// The image was whole; the disk has `size` bytes.
    ///
    /// # Errors
    /// What came cannot be kept.
    fn end(&mut self, size: u64) -> io::Result<()>;
}
