//! Pack files: sealed blobs one after another, then a sealed header that lists them, then the header's length.
//!
//! Header entry: kind (1 byte: 0 data, 1 tree, 2 compressed data, 3 compressed tree), sealed length (u32, little endian), for 2 and 3
//! the plain length (u32), and the blob's id (32). Offsets add up. Source: restic's design, "Pack Format".
//!
//! Nothing is read or written here; a reader passes the end of a file, a writer collects a pack in memory.

use serde::{Deserialize, Serialize};

use crate::crypto::{MasterKey, OVERHEAD, SealError};
use crate::id::{BlobId, Id};

/// Length of the number at the end of a pack, in bytes.
pub const TAIL: usize = 4;
/// The longest header that is read, in bytes.
pub const HEADER_MAX: usize = 16 << 20;
/// Entry without and with a plain length, in bytes.
const ENTRY: usize = 37;
const ENTRY_COMPRESSED: usize = 41;

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// A chunk of a file.
    Data,
    /// A directory.
    Tree,
}

/// A blob in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    /// Which blob.
    pub id: BlobId,
    /// What it is.
    pub kind: BlobKind,
    /// Where its sealed bytes begin in the pack.
    pub offset: u32,
    /// Length of its sealed bytes.
    pub length: u32,
    /// Length of the plain bytes when they were compressed before sealing.
    pub plain: Option<u32>,
}

impl PackedBlob {
    /// Length of the blob's own bytes.
    pub fn plain_length(&self) -> u32 {
        self.plain.unwrap_or(self.length.saturating_sub(OVERHEAD as u32))
    }

    /// Length of its entry in the header.
    pub fn entry_length(&self) -> usize {
        if self.plain.is_some() { ENTRY_COMPRESSED } else { ENTRY }
    }
}

/// Length of a whole pack with these blobs, in bytes.
pub fn pack_length<'b>(blobs: impl IntoIterator<Item = &'b PackedBlob>) -> u64 {
    let each = |blob: &PackedBlob| u64::from(blob.length) + blob.entry_length() as u64;
    blobs.into_iter().map(each).sum::<u64>() + (OVERHEAD + TAIL) as u64
}

/// Why the end of a pack is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The header's length cannot be.
    #[error("its header cannot be {0} bytes long")]
    Length(u64),
    /// The header does not open.
    #[error("its header: {0}")]
    Seal(#[from] SealError),
    /// An entry of the header is none.
    #[error("its header is not understood at byte {0}")]
    Entry(usize),
    /// The blobs are longer or shorter than the pack.
    #[error("its header describes {described} bytes, the pack has {there}")]
    Size {
        /// By the header.
        described: u64,
        /// In the file.
        there: u64,
    },
}

/// A pack that is being filled.
#[derive(Debug, Default)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// Fills a buffer that had another use; what it holds is dropped.
    pub fn in_buffer(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, blobs: Vec::new() }
    }

    /// Appends a sealed blob. False, and nothing appended, when offsets or lengths would not fit into 32 bits.
    #[must_use]
    pub fn add(&mut self, id: BlobId, kind: BlobKind, sealed: &[u8], plain: Option<u32>) -> bool {
        let (Ok(offset), Ok(length)) =
            (u32::try_from(self.bytes.len()), u32::try_from(sealed.len()))
        else {
            return false;
        };
        self.bytes.extend_from_slice(sealed);
        self.blobs.push(PackedBlob { id, kind, offset, length, plain });
        true
    }

    /// Bytes of blobs so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// No blob yet?
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Number of blobs so far.
    pub fn count(&self) -> usize {
        self.blobs.len()
    }

    /// The pack's bytes, header included, and what is in it.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn finish(
        mut self,
        key: &MasterKey,
    ) -> Result<(Vec<u8>, Vec<PackedBlob>), getrandom::Error> {
        let mut header = Vec::with_capacity(self.blobs.len() * ENTRY_COMPRESSED);
        for blob in &self.blobs {
            put_entry(&mut header, blob);
        }
        let before = self.bytes.len();
        key.seal_onto(&mut self.bytes, &header)?;
        let length = u32::try_from(self.bytes.len() - before).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        Ok((self.bytes, self.blobs))
    }
}

pub(crate) fn put_entry(header: &mut Vec<u8>, blob: &PackedBlob) {
    let kind = match (blob.kind, blob.plain) {
        (BlobKind::Data, None) => 0,
        (BlobKind::Tree, None) => 1,
        (BlobKind::Data, Some(_)) => 2,
        (BlobKind::Tree, Some(_)) => 3,
    };
    header.push(kind);
    header.extend_from_slice(&blob.length.to_le_bytes());
    if let Some(plain) = blob.plain {
        header.extend_from_slice(&plain.to_le_bytes());
    }
    header.extend_from_slice(&blob.id.0.0);
}

/// Length of the sealed header, from the last four bytes of a pack of `size` bytes.
pub fn header_length(tail: [u8; TAIL], size: u64) -> Result<usize, PackError> {
    let length = u64::from(u32::from_le_bytes(tail));
    let fits =
        length >= OVERHEAD as u64 && length + TAIL as u64 <= size && length <= HEADER_MAX as u64;
    if fits { Ok(length as usize) } else { Err(PackError::Length(length)) }
}

/// The blobs that a sealed header lists, for a pack of `size` bytes.
pub fn read_header(
    key: &MasterKey,
    mut sealed: Vec<u8>,
    size: u64,
) -> Result<Vec<PackedBlob>, PackError> {
    key.open(&mut sealed)?;
    let blobs = entries(&sealed)?;
    let described = pack_length(&blobs);
    if described != size {
        return Err(PackError::Size { described, there: size });
    }
    Ok(blobs)
}

/// The blobs that an opened header lists.
pub(crate) fn entries(header: &[u8]) -> Result<Vec<PackedBlob>, PackError> {
    let (mut rest, mut offset, mut blobs) = (header, 0u64, Vec::new());
    while !rest.is_empty() {
        let at = header.len() - rest.len();
        let (blob, after) = entry(rest, offset).ok_or(PackError::Entry(at))?;
        offset += u64::from(blob.length);
        blobs.push(blob);
        rest = after;
    }
    Ok(blobs)
}

/// The blobs of a pack of which all bytes are there.
pub fn read_whole(key: &MasterKey, pack: &[u8]) -> Result<Vec<PackedBlob>, PackError> {
    let size = pack.len() as u64;
    let (rest, tail) = pack.split_last_chunk::<TAIL>().ok_or(PackError::Length(0))?;
    let length = header_length(*tail, size)?;
    let header = rest.get(rest.len().saturating_sub(length)..).unwrap_or_default();
    read_header(key, header.to_vec(), size)
}

/// One entry and what follows it.
fn entry(bytes: &[u8], offset: u64) -> Option<(PackedBlob, &[u8])> {
    let (&number, rest) = bytes.split_first()?;
    let (kind, compressed) = match number {
        0 => (BlobKind::Data, false),
        1 => (BlobKind::Tree, false),
        2 => (BlobKind::Data, true),
        3 => (BlobKind::Tree, true),
        _ => return None,
    };
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (plain, rest) = match compressed {
        true => rest
            .split_first_chunk::<4>()
            .map(|(plain, rest)| (Some(u32::from_le_bytes(*plain)), rest))?,
        false => (None, rest),
    };
    let (id, rest) = rest.split_first_chunk::<32>()?;
    let length = u32::from_le_bytes(*length);
    let offset = u32::try_from(offset).ok()?;
    (length >= OVERHEAD as u32).then_some(())?;
    Some((PackedBlob { id: BlobId(Id(*id)), kind, offset, length, plain }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        MasterKey::from_bytes(&std::array::from_fn(|i| i as u8))
    }

    #[test]
    fn packs_come_back() {
        let mut pack = PackBuilder::default();
        for (at, text) in [&b"one"[..], b"two", b""].into_iter().enumerate() {
            let sealed = key().seal(text).unwrap();
            let kind = if at == 1 { BlobKind::Tree } else { BlobKind::Data };
            assert!(pack.add(BlobId::of(text), kind, &sealed, (at == 2).then_some(7)));
        }
        let (bytes, blobs) = pack.finish(&key()).unwrap();
        assert_eq!(pack_length(&blobs), bytes.len() as u64);
        let tail = *bytes.last_chunk().unwrap();
        let length = header_length(tail, bytes.len() as u64).unwrap();
        let header = bytes[bytes.len() - TAIL - length..bytes.len() - TAIL].to_vec();
        assert_eq!(read_header(&key(), header.clone(), bytes.len() as u64).unwrap(), blobs);
        assert!(matches!(read_header(&key(), header, 1), Err(PackError::Size { .. })));
    }

    #[test]
    fn the_reference_pack_is_understood() {
        let hex = "030303030303030303030303030303038ffe801f1bbb8e955dc4cb5310c26b1025c703384c9c8c272d68245dc85226040404040404040404040404040404044418a05997b91443be644c2b86eae52d9914be10af695629e1da75903ff0798196dd9c423b34dcd507a9a319564a4ae3ad8967996045000000";
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        assert_eq!(
            Id::of(&bytes).to_string(),
            "4fff138f8860c3bc0a4dcec0939a88ef9a5b8dcc986b731fba0c4cb9f6805c84"
        );
        let length = header_length(*bytes.last_chunk().unwrap(), bytes.len() as u64).unwrap();
        let header = bytes[bytes.len() - TAIL - length..bytes.len() - TAIL].to_vec();
        let blobs = read_header(&key(), header, bytes.len() as u64).unwrap();
        assert_eq!(blobs.len(), 1);
        assert_eq!((blobs[0].offset, blobs[0].length, blobs[0].plain_length()), (0, 47, 15));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert!(header_length([0, 0, 0, 0], 100).is_err());
        assert!(header_length(200u32.to_le_bytes(), 100).is_err());
        assert!(header_length(u32::MAX.to_le_bytes(), u64::MAX).is_err());
        let sealed = key().seal(&[9; 37]).unwrap();
        assert_eq!(read_header(&key(), sealed, 100), Err(PackError::Entry(0)));
    }
}
