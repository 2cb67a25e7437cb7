//! Images of disks as streams: raw, VHD (fixed, dynamic, differencing), qcow2, and a form of our own.
//!
//! [`read()`] takes an image from a [`Source`] (a file, or a pipe as far as the layout allows) and tells a [`Sink`] what it
//! holds. Writers take a [`Content`], ask it first where data is and then for the data, so that everything about places is written before the
//! data and the image is one stream forward. Nothing here knows stores, disks or servers.
//!
//! Architecture invariants:
//! - Images are untrusted: every number is checked before it is used, and what is kept in memory has a limit of its own.
//! - No name inside an image is ever opened: backing files and external data files are refused, parents are only told.
//! - Holes stay holes: a reader tells only what holds data, a writer asks only for that.

mod content;
mod error;
mod fields;
mod format;
#[cfg(feature = "fuzzing")]
pub mod hostile;
mod output;
mod qcow2;
mod raw;
mod read;
mod runs;
mod sink;
mod source;
mod uuid;
mod vhd;

pub use content::{Content, Units};
pub use error::{ImageError, Result};
pub use fields::is_zero;
pub use format::Format;
pub use output::Output;
pub use qcow2::{Codec, Layer, Packer, Qcow2Plan};
pub use raw::write_raw;
pub use read::read;
pub use runs::{RunsWriter, write_runs};
pub use sink::{Head, Parent, Sink};
pub use source::{FileSource, Source, Stream};
pub use uuid::Uuid;
pub use vhd::{Identity, SIZE_MAX as VHD_SIZE_MAX, VhdPlan};

/// Bytes that are moved at once.
pub const PIECE: usize = 1 << 20;
