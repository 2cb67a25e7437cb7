//! QEMU's copy-on-write format: versions 2 and 3 are read, version 3 is written.
//!
//! An image is made of clusters. The header names a first table (L1), whose entries name second tables (L2), whose entries name
//! the clusters of the disk. Each cluster has a count of references. All numbers are big-endian.

mod codec;
mod header;
mod pack;
mod read;
mod table;
mod write;

pub use codec::Codec;
pub use header::MAGIC;
#[cfg(feature = "fuzzing")]
pub use header::{BYTES as HEADER_BYTES, Header};
pub use pack::Packer;
pub use read::read;
pub use write::{Layer, Qcow2Plan};

/// Clusters that we write: 64 KiB.
const CLUSTER_BITS: u32 = 16;
/// Bytes of them.
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of a table of one such cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// Bytes of the disk that one second table covers.
const TABLE_COVERS: u64 = ENTRIES * CLUSTER;
/// Counts of references in one cluster, of 16 bits each.
const COUNTS: u64 = CLUSTER / 2;
/// Entry: nobody else refers to it.
const COPIED: u64 = 1 << 63;
/// Entry: a compressed cluster.
const COMPRESSED: u64 = 1 << 62;
/// Bits of an entry that are a place in the image.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;

/// Clusters that the counts of `others` clusters take, and the table of these: both count themselves, too.
fn count_clusters(others: u64) -> (u64, u64) {
    let (mut blocks, mut table) = (1, 1);
    loop {
        let needed = (others + blocks + table).div_ceil(COUNTS);
        let needed_table = (needed * 8).div_ceil(CLUSTER);
        if needed <= blocks && needed_table <= table {
            return (blocks, table);
        }
        (blocks, table) = (needed.max(blocks), needed_table.max(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_count_themselves() {
        assert_eq!(count_clusters(0), (1, 1));
        assert_eq!(count_clusters(COUNTS - 2), (1, 1));
        assert_eq!(count_clusters(COUNTS - 1), (2, 1));
        for others in [1 << 20, 1 << 30, 1 << 36] {
            let (blocks, table) = count_clusters(others);
            assert!(blocks * COUNTS >= others + blocks + table && table * CLUSTER >= blocks * 8);
            assert!((blocks - 1) * COUNTS < others + blocks + table);
        }
    }
}
