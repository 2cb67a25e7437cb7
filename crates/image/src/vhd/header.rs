//! The header of dynamic and differencing VHDs, and where the parent is said to lie.

use super::checksum;
use crate::error::{ImageError, Result};
use crate::fields::{be32, be64, id, put};
use crate::format::Format;
use crate::sink::Parent;
use crate::uuid::Uuid;

const COOKIE: &[u8] = b"cxsparse";
pub const BYTES: usize = 1024;
const VERSION: u32 = 0x0001_0000;
const SUM_AT: usize = 36;
const NAME_AT: usize = 64;
const NAME_BYTES: usize = 512;
const LOCATORS_AT: usize = 576;
/// Largest block in bytes that is read.
const BLOCK_MAX: u32 = 256 << 20;

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the table of blocks lies.
    pub table_offset: u64,
    /// How many entries it has.
    pub entries: u32,
    /// Bytes of a block.
    pub block: u32,
    /// The parent of a differencing image.
    pub parent: Option<Parent>,
}

/// Where the parent's name lies as well: a path for Windows.
#[derive(Clone, Copy, Debug)]
pub struct Locator {
    /// `W2ku` or `W2ru`.
    pub code: [u8; 4],
    /// Bytes of the name.
    pub length: u32,
    /// Where it lies; it has 512 bytes there.
    pub offset: u64,
}

fn damaged(field: &'static str, detail: impl std::fmt::Display) -> ImageError {
    ImageError::damaged(Format::Vhd, field, detail)
}

impl Header {
    /// The bytes.
    pub fn encode(&self, parent_timestamp: u32, locators: &[Locator]) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        put(&mut bytes, 0, COOKIE);
        put(&mut bytes, 8, &[0xff; 8]);
        put(&mut bytes, 16, &self.table_offset.to_be_bytes());
        put(&mut bytes, 24, &VERSION.to_be_bytes());
        put(&mut bytes, 28, &self.entries.to_be_bytes());
        put(&mut bytes, 32, &self.block.to_be_bytes());
        if let Some(parent) = &self.parent {
            put(&mut bytes, 40, &parent.uuid.0);
            put(&mut bytes, 56, &parent_timestamp.to_be_bytes());
            let name: Vec<u8> = units(&parent.name).flat_map(u16::to_be_bytes).collect();
            put(&mut bytes, NAME_AT, &name);
        }
        for (index, locator) in locators.iter().enumerate().take(8) {
            let at = LOCATORS_AT + index * 24;
            put(&mut bytes, at, &locator.code);
            put(&mut bytes, at + 4, &512_u32.to_be_bytes());
            put(&mut bytes, at + 8, &locator.length.to_be_bytes());
            put(&mut bytes, at + 16, &locator.offset.to_be_bytes());
        }
        let sum = checksum(&bytes, SUM_AT);
        put(&mut bytes, SUM_AT, &sum.to_be_bytes());
        bytes
    }

    /// Reads and checks it.
    pub fn decode(bytes: &[u8; BYTES], differencing: bool) -> Result<Self> {
        if !bytes.starts_with(COOKIE) {
            return Err(damaged("header", "does not begin with \"cxsparse\""));
        }
        let (told, counted) = (be32(bytes, SUM_AT), checksum(bytes, SUM_AT));
        if told != counted {
            return Err(damaged(
                "header checksum",
                format!("is {told:#x}, the bytes have {counted:#x}"),
            ));
        }
        let version = be32(bytes, 24);
        if version >> 16 != VERSION >> 16 {
            return Err(damaged("header version", format!("{version:#x} is not known")));
        }
        let block = be32(bytes, 32);
        if !block.is_power_of_two() || !(512..=BLOCK_MAX).contains(&block) {
            return Err(damaged(
                "block size",
                format!("{block} is no power of two from 512 to {BLOCK_MAX}"),
            ));
        }
        let parent = differencing.then(|| {
            let name = bytes.get(NAME_AT..NAME_AT + NAME_BYTES).unwrap_or(&[]);
            let (units, _) = name.as_chunks::<2>();
            let units =
                units.iter().map(|unit| u16::from_be_bytes(*unit)).take_while(|unit| *unit != 0);
            let name = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
            Parent { uuid: Uuid(id(bytes, 40)), name: name.collect() }
        });
        Ok(Self { table_offset: be64(bytes, 16), entries: be32(bytes, 28), block, parent })
    }
}

/// A name in UTF-16 as far as it fits, whole characters only.
pub fn units(name: &str) -> impl Iterator<Item = u16> + '_ {
    let mut room = NAME_BYTES / 2 - 1;
    let fits = move |c: &char| {
        let fits = c.len_utf16() <= room;
        room = if fits { room - c.len_utf16() } else { 0 };
        fits
    };
    let chars = name.chars().take_while(fits);
    chars.flat_map(|c| {
        let mut two = [0; 2];
        let len = c.encode_utf16(&mut two).len();
        two.into_iter().take(len)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let header = Header { table_offset: 2048, entries: 12288, block: 2 << 20, parent: None };
        let bytes = header.encode(0, &[]);
        let hex: String = bytes[..40].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "6378737061727365ffffffffffffffff0000000000000800000100000000300000200000fffff445"
        );
        assert_eq!(Header::decode(&bytes, false).unwrap(), header);
    }

    #[test]
    fn names_of_parents_come_back_as_far_as_they_fit() {
        for (name, kept) in [("disk@a.vhd", 10), (&*"ü😀".repeat(200), 85 * 2)] {
            let parent = Some(Parent { uuid: Uuid([7; 16]), name: name.to_owned() });
            let header = Header { table_offset: 2048, entries: 1, block: 2 << 20, parent };
            let read = Header::decode(&header.encode(9, &[]), true).unwrap().parent.unwrap();
            assert_eq!(read.name, name.chars().take(kept).collect::<String>());
            assert_eq!(read.uuid, Uuid([7; 16]));
        }
    }
}
