//! Formats, and what an image looks like.

use std::fmt;
use std::str::FromStr;

use crate::error::{ImageError, Result};
use crate::source::Source;
use crate::{qcow2, runs, vhd};

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// Microsoft's Virtual Hard Disk.
    Vhd,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
    /// Our own: what holds data, in order, with its place.
    Runs,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Qcow2 => "qcow2",
            Self::Runs => "runs",
        })
    }
}

/// The text names no format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no format of images: write raw, vhd or qcow2")]
pub struct NoFormat {
    text: String,
}

impl FromStr for Format {
    type Err = NoFormat;

    fn from_str(text: &str) -> std::result::Result<Self, NoFormat> {
        match text {
            "raw" => Ok(Self::Raw),
            "vhd" | "vpc" => Ok(Self::Vhd),
            "qcow2" => Ok(Self::Qcow2),
            "runs" => Ok(Self::Runs),
            _ => Err(NoFormat { text: text.to_owned() }),
        }
    }
}

impl Format {
    /// The usual ending of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Qcow2 => "qcow2",
            Self::Runs => "runs",
        }
    }
}

/// What others begin with. A raw disk could begin so too; then the format has to be said.
const FOREIGN: &[(usize, &[u8], &str)] = &[
    (0, b"KDMV", "VMDK"),
    (0, b"# Disk DescriptorFile", "VMDK"),
    (0, b"vhdxfile", "VHDX"),
    (64, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"QED\0", "QED"),
    (0, b"WithoutFreeSpace", "a Parallels disk"),
    (0, b"WithouFreSpacExt", "a Parallels disk"),
    (0, b"\x1f\x8b\x08", "a gzip file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"BZh9", "a bzip2 file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (257, b"ustar", "a tar archive (OVA, XVA)"),
];

/// What an image looks like by its first bytes, and by its last ones when they can be reached. What looks like nothing is raw.
pub fn probe(source: &mut dyn Source) -> Result<Format> {
    let mut start = [0; 512];
    let read = source.read_at(0, &mut start)?;
    let start = start.get(..read).unwrap_or(&[]);
    let magics: [(&[u8], Format); 3] =
        [(vhd::COOKIE, Format::Vhd), (qcow2::MAGIC, Format::Qcow2), (runs::MAGIC, Format::Runs)];
    if let Some((_, format)) = magics.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Ok(*format);
    }
    if vhd::ends_as_fixed(source)? {
        return Ok(Format::Vhd);
    }
    let foreign = |(at, magic, _): &&(usize, &[u8], &str)| {
        start.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    match FOREIGN.iter().find(foreign) {
        Some((_, _, what)) => Err(ImageError::Foreign { what }),
        None => Ok(Format::Raw),
    }
}
