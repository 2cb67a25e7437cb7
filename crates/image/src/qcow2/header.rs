//! The header of a qcow2 image.

use super::Codec;
use crate::error::{ImageError, Result};
use crate::fields::{be32, be64, put};
use crate::format::Format;

/// How it begins.
pub const MAGIC: &[u8] = b"QFI\xfb";
/// Bytes that are read of it.
pub const BYTES: usize = 112;
/// Without the codec, which only version 3 with another codec than deflate has.
const SHORT: u32 = 104;
/// Largest first table in bytes, as in QEMU.
const L1_BYTES_MAX: u64 = 32 << 20;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const CODEC: u64 = 1 << 3;
const SUBCLUSTERS: u64 = 1 << 4;

/// What a header says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// A cluster has two to the power of this bytes.
    pub cluster_bits: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// Entries of the first table.
    pub l1_entries: u32,
    /// Where it lies.
    pub l1_at: u64,
    /// Where the table of counts lies.
    pub counts_at: u64,
    /// Its clusters.
    pub counts_clusters: u32,
    /// Internal snapshots.
    pub snapshots: u32,
    /// Where their table lies.
    pub snapshots_at: u64,
    /// How clusters are compressed.
    pub codec: Codec,
    /// Entries of second tables tell parts of clusters, too.
    pub subclusters: bool,
}

fn damaged(field: &'static str, detail: impl std::fmt::Display) -> ImageError {
    ImageError::damaged(Format::Qcow2, field, detail)
}

fn refused(field: &'static str, detail: impl Into<String>, remedy: &'static str) -> ImageError {
    ImageError::Refused { format: Format::Qcow2, field, detail: detail.into(), remedy }
}

impl Header {
    /// The bytes, as version 3.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 4, &3_u32.to_be_bytes());
        put(&mut bytes, 20, &self.cluster_bits.to_be_bytes());
        put(&mut bytes, 24, &self.size.to_be_bytes());
        put(&mut bytes, 36, &self.l1_entries.to_be_bytes());
        put(&mut bytes, 40, &self.l1_at.to_be_bytes());
        put(&mut bytes, 48, &self.counts_at.to_be_bytes());
        put(&mut bytes, 56, &self.counts_clusters.to_be_bytes());
        put(&mut bytes, 60, &self.snapshots.to_be_bytes());
        put(&mut bytes, 64, &self.snapshots_at.to_be_bytes());
        let (features, length) = match self.codec {
            Codec::Deflate => (0, SHORT),
            Codec::Zstd => (CODEC, BYTES as u32),
        };
        put(&mut bytes, 72, &features.to_be_bytes());
        put(&mut bytes, 96, &4_u32.to_be_bytes());
        put(&mut bytes, 100, &length.to_be_bytes());
        if self.codec == Codec::Zstd {
            put(&mut bytes, 104, &[1]);
        }
        bytes
    }

    /// Reads and checks it, and refuses what a stranger's image must not ask for.
    pub fn decode(bytes: &[u8; BYTES]) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            return Err(damaged("header", "does not begin as qcow2 does"));
        }
        let version = be32(bytes, 4);
        if !(2..=3).contains(&version) {
            return Err(refused(
                "version",
                format!("{version} is not read, only 2 and 3"),
                "Convert it: `qemu-img convert -O qcow2 FILE NEW`.",
            ));
        }
        refuse_others(bytes)?;
        let (codec, subclusters) =
            if version == 3 { features(bytes)? } else { (Codec::Deflate, false) };
        let cluster_bits = be32(bytes, 20);
        let least = if subclusters { 14 } else { 9 };
        if !(least..=21).contains(&cluster_bits) {
            return Err(damaged(
                "cluster bits",
                format!("{cluster_bits} is not from {least} to 21"),
            ));
        }
        let header = Self {
            version,
            cluster_bits,
            size: be64(bytes, 24),
            l1_entries: be32(bytes, 36),
            l1_at: be64(bytes, 40),
            counts_at: be64(bytes, 48),
            counts_clusters: be32(bytes, 56),
            snapshots: be32(bytes, 60),
            snapshots_at: be64(bytes, 64),
            codec,
            subclusters,
        };
        header.check_first_table()?;
        Ok(header)
    }

    fn check_first_table(&self) -> Result<()> {
        if self.size == 0 || self.size > 1 << 60 {
            return Err(damaged("size", format!("{} bytes is no size of a disk", self.size)));
        }
        let needed = self.needed();
        if needed * 8 > L1_BYTES_MAX {
            return Err(damaged(
                "size",
                format!("{} bytes need too large a first table", self.size),
            ));
        }
        if u64::from(self.l1_entries) < needed {
            let detail = format!("has {} entries, the disk needs {needed}", self.l1_entries);
            return Err(damaged("first table", detail));
        }
        let aligned = self.l1_at.is_multiple_of(self.cluster());
        if !aligned || self.l1_at == 0 || self.l1_at > 1 << 60 {
            return Err(damaged("first table", format!("cannot lie at {}", self.l1_at)));
        }
        Ok(())
    }

    /// Bytes of a cluster.
    pub const fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an entry of a second table.
    pub const fn entry(&self) -> u64 {
        if self.subclusters { 16 } else { 8 }
    }

    /// Bytes of the disk that one second table covers.
    pub const fn table_covers(&self) -> u64 {
        self.cluster() / self.entry() * self.cluster()
    }

    /// Entries of the first table that the disk needs; more belong to saved memory of machines.
    pub const fn needed(&self) -> u64 {
        self.size.div_ceil(self.table_covers())
    }
}

/// What leads out of the image is never followed.
fn refuse_others(bytes: &[u8; BYTES]) -> Result<()> {
    if be64(bytes, 8) != 0 {
        return Err(refused(
            "backing file",
            "the image holds only what differs from another file, which is never opened here",
            "Join the two where both are: `qemu-img convert -O qcow2 FILE NEW`, and import NEW.",
        ));
    }
    if be32(bytes, 32) != 0 {
        return Err(refused(
            "encryption",
            "the image is encrypted",
            "Write it without encryption: `qemu-img convert`, with the key.",
        ));
    }
    Ok(())
}

fn features(bytes: &[u8; BYTES]) -> Result<(Codec, bool)> {
    let features = be64(bytes, 72);
    if features & DIRTY != 0 {
        return Err(refused(
            "incompatible features, bit 0 (dirty)",
            "the program that wrote the image did not close it",
            "Check it first: `qemu-img check -r all FILE`.",
        ));
    }
    if features & CORRUPT != 0 {
        return Err(refused(
            "incompatible features, bit 1 (corrupt)",
            "another program found it damaged",
            "Repair it first: `qemu-img check -r all FILE`.",
        ));
    }
    if features & DATA_FILE != 0 {
        return Err(refused(
            "external data file",
            "the data lies in another file, which is never opened here",
            "Write it as one file: `qemu-img convert -O qcow2 FILE NEW`, and import NEW.",
        ));
    }
    let unknown = features & !(CODEC | SUBCLUSTERS);
    if unknown != 0 {
        return Err(refused(
            "incompatible features",
            format!("bit {} is not known", unknown.trailing_zeros()),
            "Write it without: `qemu-img convert -O qcow2 FILE NEW`, and import NEW.",
        ));
    }
    let length = be32(bytes, 100);
    if length < SHORT || !length.is_multiple_of(8) {
        return Err(damaged(
            "header length",
            format!("{length} is too short, or no multiple of 8"),
        ));
    }
    let order = be32(bytes, 96);
    if order > 6 {
        return Err(damaged("refcount order", format!("{order} is not from 0 to 6")));
    }
    let told = if length > SHORT { bytes.get(104).copied().unwrap_or(0) } else { 0 };
    let codec = match (told, features & CODEC != 0) {
        (0, _) => Codec::Deflate,
        (1, true) => Codec::Zstd,
        (1, false) => return Err(damaged("compression type", "zstd needs the feature bit 3")),
        (other, _) => {
            let detail = format!("{other} is not known");
            return Err(refused("compression type", detail, "Write it with zlib or zstd."));
        }
    };
    Ok((codec, features & SUBCLUSTERS != 0))
}
