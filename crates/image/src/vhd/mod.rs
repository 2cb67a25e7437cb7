//! Microsoft's Virtual Hard Disk: fixed, dynamic and differencing.
//!
//! A footer of 512 bytes ends every image. Dynamic and differencing ones begin with a copy of it, have a header with a table of blocks (BAT),
//! and blocks of 2 MiB, each behind a bitmap of its sectors. All numbers are big-endian.

mod footer;
mod header;
mod read;
mod write;

pub use footer::{COOKIE, Footer, Kind};
#[cfg(feature = "fuzzing")]
pub use header::BYTES as HEADER_BYTES;
pub use header::Header;
pub use read::{ends_as_fixed, fixed_size, read};
pub use write::{Identity, VhdPlan};

/// Largest disk in bytes: 2,040 GiB.
pub const SIZE_MAX: u64 = 2040 << 30;
/// Bytes of a footer, of a sector, and the unit of places.
pub const SECTOR: u64 = 512;
/// Bytes of a block that we write.
pub const BLOCK: u64 = 2 << 20;
/// A table entry of a block that is not there.
pub const UNUSED: u32 = u32::MAX;

/// The sum of bytes that footer and header carry, inverted, without the sum itself.
pub fn checksum(bytes: &[u8], sum_at: usize) -> u32 {
    let sum =
        |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    let own = sum(bytes.get(sum_at..sum_at + 4).unwrap_or(&[]));
    !sum(bytes).wrapping_sub(own)
}
