//! Compression: zstd frames, at the levels that people name.
//!
//! Every decompression has a limit that is known before: the length from the index for a blob, [`FILE_MAX`] for an
//! index, a snapshot or a lock. So a small hostile input cannot fill the memory.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zstd::bulk::Decompressor;

/// The longest plain form of an index, snapshot, lock or config that is read, in bytes.
pub const FILE_MAX: usize = 1 << 30;
/// First byte of a compressed file in a repository of version 2.
const COMPRESSED: u8 = 2;

/// The window of files that are written piece by piece, as a power of two. These are lists of hashes: what repeats is near, and zstd's own
/// choice takes 3 MiB more.
const WRITTEN_WINDOW: u32 = 18;

/// How hard data is compressed. Trees and small files of the repository are compressed always (version 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Data is stored as it is.
    Off,
    /// zstd level 1.
    Fastest,
    /// zstd level 3.
    #[default]
    Auto,
    /// zstd level 7.
    Better,
    /// zstd level 19.
    Max,
    /// This zstd level, -7 to 22 without 0.
    Zstd(i32),
}

impl Level {
    /// zstd's number; `None` when data is not compressed.
    pub fn number(self) -> Option<i32> {
        match self {
            Self::Off => None,
            Self::Fastest => Some(1),
            Self::Auto => Some(3),
            Self::Better => Some(7),
            Self::Max => Some(19),
            Self::Zstd(level) => Some(level),
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = match text {
            "off" | "0" => Self::Off,
            "fastest" => Self::Fastest,
            "auto" => Self::Auto,
            "better" => Self::Better,
            "max" => Self::Max,
            other => match other.parse() {
                Ok(level @ (-7..=-1 | 1..=22)) => Self::Zstd(level),
                _ => {
                    let known = "off, fastest, auto, better, max, or a zstd level from -7 to 22";
                    return Err(format!("`{text}` is no compression; known are {known}"));
                }
            },
        };
        Ok(level)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.pad("off"),
            Self::Fastest => f.pad("fastest"),
            Self::Auto => f.pad("auto"),
            Self::Better => f.pad("better"),
            Self::Max => f.pad("max"),
            Self::Zstd(level) => level.fmt(f),
        }
    }
}

/// A file's plain form, compressed as version 2 wants it.
pub fn pack_file(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = vec![COMPRESSED];
    packed.extend_from_slice(&zstd::bulk::compress(plain, 3)?);
    Ok(packed)
}

/// As [`pack_file`], behind what `out` holds, for what `write` writes: the plain form is never there as a whole.
pub(crate) fn pack_written(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    out.push(COMPRESSED);
    let mut encoder = zstd::stream::write::Encoder::new(out, 3)?;
    encoder.window_log(WRITTEN_WINDOW)?;
    let mut to = BufWriter::with_capacity(1 << 16, encoder);
    write(&mut to)?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.finish().map(drop)
}

/// The plain form of a file of either version.
pub fn unpack_file(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match bytes.split_first() {
        Some((&COMPRESSED, frame)) => unpack_frame(frame, FILE_MAX),
        Some((b'{' | b'[', _)) => Ok(bytes),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "neither JSON nor compressed JSON")),
    }
}

thread_local! {
    /// A decompressor costs more to make than most blobs cost to unpack: each thread has one.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The content of a frame, at most `max` bytes, for which space is taken at once.
pub(crate) fn unpack_into_max(frame: &[u8], max: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(ready) => ready,
            none => none.insert(Decompressor::new()?),
        };
        decompressor.decompress(frame, max)
    })
}

/// The content of a frame of unknown length, at most `max` bytes.
pub(crate) fn unpack_frame(frame: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let from = zstd::stream::read::Decoder::new(frame)?;
    from.take(max as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > max {
        let text = format!("longer than {max} bytes when unpacked");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back() {
        let text = br#"{"a":1}"#.to_vec();
        let packed = pack_file(&text).unwrap();
        assert_eq!(packed[0], 2);
        assert_eq!(unpack_file(packed).unwrap(), text);
        assert_eq!(unpack_file(text.clone()).unwrap(), text);
        let mut written = vec![7];
        pack_written(&mut written, |to| to.write_all(&text)).unwrap();
        assert_eq!(unpack_file(written.split_off(1)).unwrap(), text);
        assert!(unpack_file(vec![]).is_err());
        assert!(unpack_file(vec![3, 1]).is_err());
    }

    #[test]
    fn bombs_stop_early() {
        let frame = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert!(unpack_frame(&frame, 1000).is_err());
        assert_eq!(unpack_frame(&frame, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn levels_have_names() {
        assert_eq!("max".parse::<Level>().unwrap().number(), Some(19));
        assert_eq!("-3".parse::<Level>().unwrap(), Level::Zstd(-3));
        assert_eq!("0".parse::<Level>().unwrap().number(), None);
        assert!("23".parse::<Level>().is_err());
    }
}
