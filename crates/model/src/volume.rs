//! What a volume knows about itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ModelError, VolumeName};

/// What a volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A POSIX tree.
    #[default]
    Filesystem,
    /// A block device.
    Disk,
}

/// How new data is compressed. On wires and on the command line: `off`, `lz4`, `zstd`, `zstd:LEVEL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Not at all.
    Off,
    /// Fast; the default.
    #[default]
    Lz4,
    /// Smaller; level 1 to 22.
    Zstd(u8),
}

impl Compression {
    /// The level that plain `zstd` means.
    pub const ZSTD_LEVEL_DEFAULT: u8 = 3;
}

impl FromStr for Compression {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let refuse = || ModelError::Compression { text: text.to_owned() };
        match text {
            "off" => Ok(Self::Off),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd(Self::ZSTD_LEVEL_DEFAULT)),
            _ => {
                let level = text.strip_prefix("zstd:").and_then(|l| l.parse().ok());
                level.filter(|l| (1..=22).contains(l)).map(Self::Zstd).ok_or_else(refuse)
            }
        }
    }
}

impl TryFrom<String> for Compression {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> String {
        compression.to_string()
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.pad("off"),
            Self::Lz4 => f.pad("lz4"),
            Self::Zstd(level) => f.pad(&format!("zstd:{level}")),
        }
    }
}

/// Metadata of a volume. Fields that a newer program wrote are kept in `unknown`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeMeta {
    /// Its name.
    pub name: VolumeName,
    /// Filesystem or disk.
    pub kind: VolumeKind,
    /// When it was made.
    pub created: Timestamp,
    /// Limit of live data in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// Limit of live data and snapshots together in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// How new data is compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Where it is mounted, also at the next start; an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<PathBuf>,
    /// An image is being read into it: it is nobody's yet, and goes when that does not end well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub importing: bool,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

impl VolumeMeta {
    /// A volume with defaults: lz4, no limits, not mounted.
    pub fn new(name: VolumeName, kind: VolumeKind, created: Timestamp) -> Self {
        Self {
            name,
            kind,
            created,
            quota: None,
            capacity: None,
            compression: Compression::default(),
            mount: None,
            importing: false,
            unknown: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_round_trip() {
        for text in ["off", "lz4", "zstd:3", "zstd:22"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse::<Compression>().unwrap(), Compression::Zstd(3));
        for bad in ["", "zstd:0", "zstd:23", "gzip", "lz4:1"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn metadata_round_trips() {
        let name = VolumeName::new("home").unwrap();
        let mut meta = VolumeMeta::new(name, VolumeKind::Filesystem, Timestamp::UNIX_EPOCH);
        meta.quota = Some(1 << 30);
        meta.unknown.insert("x".into(), 1.into());
        let text = serde_json::to_string(&meta).unwrap();
        assert_eq!(serde_json::from_str::<VolumeMeta>(&text).unwrap(), meta);
    }
}
