//! What can go wrong with an image.

use std::fmt;
use std::io;

use crate::format::Format;

/// Situations of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The image cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The image cannot be written.
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    /// What the image is made of cannot be read.
    #[error("its content cannot be read: {0}")]
    Content(#[source] io::Error),
    /// Who takes what an image holds refused it.
    #[error("its content cannot be kept: {0}")]
    Sink(#[source] io::Error),
    /// The image ends too early.
    #[error("ends after {at} bytes, before the end of {part}: it was cut off")]
    CutOff {
        /// What is missing.
        part: &'static str,
        /// Bytes that are there.
        at: u64,
    },
    /// A field makes no sense.
    #[error("{format}: {field}: {detail}")]
    Damaged {
        /// The format.
        format: Format,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A good image that is not taken.
    #[error("{format}: {field}: {detail}")]
    Refused {
        /// The format.
        format: Format,
        /// Which field says so.
        field: &'static str,
        /// Why.
        detail: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Something else that is known, and not read here.
    #[error("looks like {what}, which is not read here")]
    Foreign {
        /// What it looks like.
        what: &'static str,
    },
    /// A pipe gives bytes once, and these are needed again or later.
    #[error("{part} lies before what was read already, and a pipe cannot go back")]
    NeedsFile {
        /// What is needed.
        part: &'static str,
    },
    /// The format cannot hold a disk of this size.
    #[error("{format} cannot hold {size} bytes, only {limit}")]
    TooLarge {
        /// The format.
        format: Format,
        /// Bytes of the disk.
        size: u64,
        /// Bytes that it can hold.
        limit: u64,
    },
}

/// The result of operations on images.
pub type Result<T> = std::result::Result<T, ImageError>;

impl ImageError {
    /// A field that makes no sense.
    pub(crate) fn damaged(format: Format, field: &'static str, detail: impl fmt::Display) -> Self {
        Self::Damaged { format, field, detail: detail.to_string() }
    }

    /// What to do about it; a sentence.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Read(_) | Self::Write(_) => "Check the file, its disk and the pipe.",
            Self::Content(_) | Self::Sink(_) => "See what is said about the disk.",
            Self::CutOff { .. } => "Copy the image again, whole.",
            Self::Damaged { .. } => {
                "Check the image with the program that wrote it (`qemu-img check`), or copy it again."
            }
            Self::Refused { remedy, .. } => remedy,
            Self::Foreign { .. } => {
                "Convert or unpack it first; if it is a raw disk all the same, say `--format raw`."
            }
            Self::NeedsFile { .. } => "Put the image into a file and name the file.",
            Self::TooLarge { .. } => "Use `--format qcow2` or `--format raw`.",
        }
    }
}
