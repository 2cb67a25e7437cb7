//! Index files: packs with their blobs, as JSON.
//!
//! Beside restic's fields there are those of the two-phase prune: packs that wait for their deletion, and when that was decided.
//! restic ignores them.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::id::{BlobId, PackId};
use crate::pack::{BlobKind, PackedBlob, pack_length};

/// The content of an index file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFile {
    /// Packs that are in use.
    #[serde(default)]
    pub packs: Vec<IndexedPack>,
    /// Packs that nothing needed when they were looked at last; they are deleted later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs_to_delete: Vec<IndexedPack>,
}

/// A pack and its blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedPack {
    /// Which pack.
    pub id: PackId,
    /// What it holds.
    #[serde(default)]
    pub blobs: Vec<IndexedBlob>,
    /// RFC 3339: when it was written, or marked for deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Its length in bytes, when the blobs do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A blob in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedBlob {
    /// Which blob.
    pub id: BlobId,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: BlobKind,
    /// Where its sealed bytes begin.
    pub offset: u32,
    /// Their length.
    pub length: u32,
    /// Plain length when compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncompressed_length: Option<u32>,
}

impl From<PackedBlob> for IndexedBlob {
    fn from(blob: PackedBlob) -> Self {
        let PackedBlob { id, kind, offset, length, plain } = blob;
        Self { id, kind, offset, length, uncompressed_length: plain }
    }
}

impl From<IndexedBlob> for PackedBlob {
    fn from(blob: IndexedBlob) -> Self {
        let IndexedBlob { id, kind, offset, length, uncompressed_length } = blob;
        Self { id, kind, offset, length, plain: uncompressed_length }
    }
}

impl IndexedPack {
    /// A pack just written.
    pub fn new(id: PackId, blobs: &[PackedBlob]) -> Self {
        let blobs = blobs.iter().copied().map(IndexedBlob::from).collect();
        Self { id, blobs, time: None, size: None }
    }

    /// Length of the pack in bytes, as its blobs tell or as written down.
    pub fn length(&self) -> u64 {
        let blobs: Vec<PackedBlob> = self.blobs.iter().copied().map(PackedBlob::from).collect();
        self.size.unwrap_or_else(|| pack_length(&blobs))
    }
}

impl IndexFile {
    /// Reads the plain JSON.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The plain JSON, with restic's newline at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        // Writing into memory does not fail.
        let _ = self.write_json(&mut json);
        json
    }

    /// Writes the plain JSON.
    pub(crate) fn write_json(&self, mut to: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, self)?;
        to.write_all(b"\n")
    }

    /// Number of blobs in packs that are in use.
    pub fn blob_count(&self) -> usize {
        self.packs.iter().map(|pack| pack.blobs.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_text_comes_back() {
        let text = "{\"packs\":[{\"id\":\"4fff138f8860c3bc0a4dcec0939a88ef9a5b8dcc986b731fba0c4cb9f6805c84\",\"blobs\":[{\"id\":\"8e135f9cc7cff0efaf66489148f101005086b9c9e9e08936ade533b1a31a760c\",\"type\":\"data\",\"offset\":0,\"length\":47}]}]}\n";
        let file = IndexFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.to_json(), text.as_bytes());
        assert_eq!((file.blob_count(), file.packs[0].length()), (1, 120));
    }

    #[test]
    fn other_programs_fields_are_read() {
        let text = r#"{"supersedes":["x"],"packs":[],"packs_to_delete":[{"id":"4fff138f8860c3bc0a4dcec0939a88ef9a5b8dcc986b731fba0c4cb9f6805c84","time":"2026-01-01T00:00:00Z","size":5,"blobs":[]}]}"#;
        let file = IndexFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.packs_to_delete[0].length(), 5);
        assert!(IndexFile::parse(br#"{"packs":[{"id":"12"}]}"#).is_err());
        assert!(IndexFile::parse(br#"{"packs":[{"id":"4fff138f8860c3bc0a4dcec0939a88ef9a5b8dcc986b731fba0c4cb9f6805c84","blobs":[{"offset":-1}]}]}"#).is_err());
    }
}
