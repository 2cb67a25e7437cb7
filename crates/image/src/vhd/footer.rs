//! The footer of a VHD.

use super::checksum;
use crate::error::{ImageError, Result};
use crate::fields::{be32, be64, id, put};
use crate::format::Format;
use crate::uuid::Uuid;

/// How it begins.
pub const COOKIE: &[u8] = b"conectix";
const BYTES: usize = 512;
const VERSION: u32 = 0x0001_0000;
const SUM_AT: usize = 64;
/// QEMU believes the size of images of this creator, and computes that of others from cylinders, heads and sectors.
const CREATOR: &[u8] = b"tap\0";

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All sectors, in order.
    Fixed,
    /// Blocks that hold data.
    Dynamic,
    /// Blocks that differ from a parent.
    Differencing,
}

impl Kind {
    const fn number(self) -> u32 {
        match self {
            Self::Fixed => 2,
            Self::Dynamic => 3,
            Self::Differencing => 4,
        }
    }
}

/// A footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// What the image is.
    pub kind: Kind,
    /// Bytes of the disk.
    pub size: u64,
    /// Where the header lies; unused in fixed images.
    pub data_offset: u64,
    /// Seconds since 2000-01-01 UTC.
    pub timestamp: u32,
    /// Its name.
    pub uuid: Uuid,
}

fn damaged(field: &'static str, detail: impl std::fmt::Display) -> ImageError {
    ImageError::damaged(Format::Vhd, field, detail)
}

impl Footer {
    /// The bytes.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        put(&mut bytes, 0, COOKIE);
        put(&mut bytes, 8, &2_u32.to_be_bytes());
        put(&mut bytes, 12, &VERSION.to_be_bytes());
        put(&mut bytes, 16, &self.data_offset.to_be_bytes());
        put(&mut bytes, 24, &self.timestamp.to_be_bytes());
        put(&mut bytes, 28, CREATOR);
        put(&mut bytes, 32, &1_u32.to_be_bytes());
        put(&mut bytes, 40, &self.size.to_be_bytes());
        put(&mut bytes, 48, &self.size.to_be_bytes());
        put(&mut bytes, 56, &geometry(self.size / 512));
        put(&mut bytes, 60, &self.kind.number().to_be_bytes());
        put(&mut bytes, 68, &self.uuid.0);
        let sum = checksum(&bytes, SUM_AT);
        put(&mut bytes, SUM_AT, &sum.to_be_bytes());
        bytes
    }

    /// Reads and checks it.
    pub fn decode(bytes: &[u8; BYTES]) -> Result<Self> {
        if !bytes.starts_with(COOKIE) {
            return Err(damaged("footer", "does not begin with \"conectix\""));
        }
        let (told, counted) = (be32(bytes, SUM_AT), checksum(bytes, SUM_AT));
        if told != counted {
            return Err(damaged(
                "footer checksum",
                format!("is {told:#x}, the bytes have {counted:#x}"),
            ));
        }
        let version = be32(bytes, 12);
        if version >> 16 != VERSION >> 16 {
            return Err(damaged("footer version", format!("{version:#x} is not known")));
        }
        let kind = match be32(bytes, 60) {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => Kind::Differencing,
            other => return Err(damaged("disk type", format!("{other} is not known"))),
        };
        let size = be64(bytes, 48);
        if size == 0 || !size.is_multiple_of(512) || size > 1 << 60 {
            return Err(damaged("current size", format!("{size} bytes is no size of a disk")));
        }
        let (data_offset, timestamp) = (be64(bytes, 16), be32(bytes, 24));
        Ok(Self { kind, size, data_offset, timestamp, uuid: Uuid(id(bytes, 68)) })
    }
}

/// Cylinders, heads and sectors of a disk of so many sectors, as the format's specification computes them.
fn geometry(sectors: u64) -> [u8; 4] {
    let sectors = sectors.min(65535 * 16 * 255);
    let (per_track, heads, tracks) =
        if sectors >= 65535 * 16 * 63 { (255, 16, sectors / 255) } else { small_geometry(sectors) };
    let cylinders = ((tracks / heads) as u16).to_be_bytes();
    let [high, low] = cylinders;
    [high, low, heads as u8, per_track]
}

fn small_geometry(sectors: u64) -> (u8, u64, u64) {
    let tracks = sectors / 17;
    let heads = tracks.div_ceil(1024).max(4);
    if tracks < heads * 1024 && heads <= 16 {
        return (17, heads, tracks);
    }
    let tracks = sectors / 31;
    if tracks < 16 * 1024 { (31, 16, tracks) } else { (63, 16, sectors / 63) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]
pub mod tests {
    use super::*;

    pub fn golden() -> Footer {
        Footer {
            kind: Kind::Dynamic,
            size: 24 << 30,
            data_offset: 512,
            timestamp: 0,
            uuid: Uuid([0x11; 16]),
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = golden().encode();
        let hex: String = bytes[..84].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "636f6e6563746978000000020001000000000000000002000000000074617000000000010000000000000006000000000000000600000000\
             c30c103f00000003fffff91a11111111111111111111111111111111"
        );
        assert!(bytes[84..].iter().all(|byte| *byte == 0));
        assert_eq!(Footer::decode(&bytes).unwrap(), golden());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = golden().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&bent).is_err(), "{bit}");
        }
    }

    #[test]
    fn geometries_are_those_of_the_specification() {
        for (sectors, (cylinders, heads, per_track)) in [
            (2048, (30, 4, 17)),
            (40 << 11, (963, 5, 17)),
            (1 << 20, (1040, 16, 63)),
            (50_331_648, (49932, 16, 63)),
            (u64::MAX, (65535, 16, 255)),
        ] {
            let [high, low, h, s] = geometry(sectors);
            assert_eq!(
                (u16::from_be_bytes([high, low]), h, s),
                (cylinders, heads, per_track),
                "{sectors}"
            );
        }
    }
}
