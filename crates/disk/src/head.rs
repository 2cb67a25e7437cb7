//! The record about a disk: its size and how many blocks it maps.
//!
//! It is kept in memory and written once per commit, so that no write pays for it.

use crate::error::{DiskError, Result};
use crate::keys;
use tintype_history::codec::{Bytes, put_varint};
use tintype_store::Moment;

const VERSION: u8 = 1;
/// With the name of an image behind the rest.
const VERSION_IMAGE: u8 = 2;

/// Bytes of a sector: sizes are multiples of it.
pub const SECTOR: u64 = 512;
/// Largest size of a disk in bytes: 1 PiB.
pub const SIZE_MAX: u64 = 1 << 50;

/// What a disk knows about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes.
    pub(crate) size: u64,
    /// Blocks of 4 KiB that are mapped, reserved ones included.
    pub(crate) blocks: u64,
    /// The disk holds exactly what the image of this name does; gone with the first change.
    pub(crate) image: Option<[u8; 16]>,
}

/// Refuses what is no size of a disk.
pub(crate) fn check_size(size: u64) -> Result<()> {
    if size == 0 || size > SIZE_MAX || !size.is_multiple_of(SECTOR) {
        return Err(DiskError::Size { size });
    }
    Ok(())
}

impl Head {
    /// The body of the record.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let mut out = vec![if self.image.is_some() { VERSION_IMAGE } else { VERSION }];
        put_varint(&mut out, self.size);
        put_varint(&mut out, self.blocks);
        out.extend_from_slice(self.image.as_ref().map_or(&[], |image| image));
        out.into_boxed_slice()
    }

    /// Reads a body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        let damaged = || DiskError::Damaged("disk");
        let (version, rest) = body.split_first().ok_or_else(damaged)?;
        let mut bytes = Bytes(rest);
        let size = bytes.varint().ok_or_else(damaged)?;
        let blocks = bytes.varint().ok_or_else(damaged)?;
        let image = match *version {
            VERSION if bytes.0.is_empty() => None,
            VERSION_IMAGE => Some(bytes.0.try_into().map_err(|_| damaged())?),
            _ => return Err(damaged()),
        };
        if check_size(size).is_err() {
            return Err(damaged());
        }
        Ok(Self { size, blocks, image })
    }

    /// The record of a moment.
    pub(crate) fn read(moment: &mut dyn Moment) -> Result<Self> {
        match moment.get(keys::HEAD)? {
            Some(record) => Self::decode(&record.body),
            None => Err(DiskError::NoDisk),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may stop")]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let head = Head { size: 1 << 20, blocks: 300, image: None };
        assert_eq!(*head.encode(), [1, 0x80, 0x80, 0x40, 0xac, 2]);
        assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        let head = Head { image: Some([7; 16]), ..head };
        let mut bytes = vec![2, 0x80, 0x80, 0x40, 0xac, 2];
        bytes.extend([7; 16]);
        assert_eq!(*head.encode(), *bytes);
        assert_eq!(Head::decode(&bytes).unwrap(), head);
        bytes.pop();
        assert!(Head::decode(&bytes).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        for body in
            [&[][..], &[2, 0x80, 4, 1], &[1, 0x80, 4], &[1, 0x80, 4, 1, 0], &[1, 1, 1], &[1, 0, 0]]
        {
            assert!(matches!(Head::decode(body), Err(DiskError::Damaged("disk"))), "{body:?}");
        }
        assert!(Head::decode(&[1, 0x80, 4, 1]).is_ok());
    }

    #[test]
    fn sizes_are_whole_sectors() {
        assert!(check_size(512).is_ok() && check_size(SIZE_MAX).is_ok());
        for bad in [0, 511, 513, SIZE_MAX + 512, u64::MAX] {
            assert!(check_size(bad).is_err(), "{bad}");
        }
    }
}
