//! The difference of two moments as the edges see it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::{MomentName, SnapshotId, VolumeId};
use utoipa::ToSchema;

use super::schema;

/// What lies at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiffObject {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device node.
    Other,
    /// The content of a disk; its path is empty.
    Disk,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiffChange {
    /// Only the second moment has it.
    Added,
    /// Its content differs.
    Modified,
    /// Only the first moment has it.
    Deleted,
    /// Only attributes differ: mode, owner, times, extended attributes.
    Attributes,
    /// It has another path.
    Renamed,
}

/// A changed range of a file in units of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffRange {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffEntry {
    /// The path from the root, with `/` in front; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The exact bytes of the path in hexadecimal, when `path` had to replace some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The path in the first moment, when it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// As `path_hex`, of `old_path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_path_hex: Option<String>,
    /// What it is.
    pub object: DiffObject,
    /// What happened.
    pub change: DiffChange,
    /// Size in bytes in the second moment (in the first when deleted).
    pub size: u64,
    /// Changed ranges, when they were asked for and it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<DiffRange>>,
}

/// All differences from one moment to another, sorted by path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Diff {
    /// The first moment.
    #[schema(value_type = schema::MomentName)]
    pub from: MomentName,
    /// The second.
    #[schema(value_type = schema::MomentName)]
    pub to: MomentName,
    /// What differs.
    pub entries: Vec<DiffEntry>,
}

/// What a list of changes is to be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeListWish {
    /// Of this filesystem.
    pub filesystem: VolumeId,
    /// From this snapshot, or from the live filesystem.
    pub from: Option<SnapshotId>,
    /// To this one, or to the live filesystem.
    pub to: Option<SnapshotId>,
    /// In so many parts, or fewer.
    pub readers: usize,
}

/// A list that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeList {
    /// One for each part.
    pub cookies: Vec<String>,
    /// Until when.
    pub expires: Timestamp,
}

/// Some of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// In an order of their own.
    pub entries: Vec<DiffEntry>,
    /// Where the next page begins, if there may be one.
    pub resume: Option<String>,
}

/// A path as text, and its bytes in hexadecimal when the text is not exact.
pub fn path_text(path: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(path) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let hex = crate::convert::hex(path);
            (String::from_utf8_lossy(path).into_owned(), Some(hex))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_keep_their_bytes() {
        assert_eq!(path_text(b"/a"), ("/a".into(), None));
        assert_eq!(path_text(b"/\xff"), ("/\u{fffd}".into(), Some("2fff".into())));
    }
}
