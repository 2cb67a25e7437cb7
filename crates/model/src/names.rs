//! Names: of volumes, of snapshots, of directories under `.snapshots`, and `volume@snapshot`.
//!
//! A name has 1 to 255 bytes of UTF-8 without `/`, control characters (NUL included) and without
//! white space at either end; it is not `.` or `..`. Names of volumes and snapshots also have no
//! `@`, because `volume@snapshot` must be read in one way only. An access point may have one: the
//! default access point starts with it. Names that differ in any byte are different names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Longest name in bytes: what a directory entry can hold.
pub const NAME_BYTES_MAX: usize = 255;

fn check(kind: &'static str, name: &str, at_allowed: bool) -> Result<(), ModelError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 255 bytes"
    } else if name == "." || name == ".." {
        "\".\" and \"..\" have a meaning of their own"
    } else if name.contains('/') {
        "it holds a \"/\""
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else if name.trim() != name {
        "it starts or ends with white space"
    } else if !at_allowed && name.contains('@') {
        "it holds an \"@\", which separates a volume from its snapshot"
    } else {
        return Ok(());
    };
    Err(ModelError::Name { kind, name: name.to_owned(), why })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $at:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the rules of this module.
            pub fn new(name: impl Into<String>) -> Result<Self, ModelError> {
                let name = name.into();
                check($kind, &name, $at)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(text: &str) -> Result<Self, ModelError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ModelError;

            fn try_from(text: String) -> Result<Self, ModelError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of a volume: `home`.
    VolumeName, "volume", false
}
name! {
    /// The name of a snapshot inside its volume: `before-upgrade`.
    SnapshotName, "snapshot", false
}
name! {
    /// The name of a snapshot's directory under `.snapshots`.
    AccessPoint, "access point", true
}
name! {
    /// The name of a user of the server.
    UserName, "user", false
}
name! {
    /// The name that an API token is listed by.
    TokenName, "token", false
}

/// Every name of a snapshot is also fit to be an access point.
impl From<SnapshotName> for AccessPoint {
    fn from(name: SnapshotName) -> Self {
        Self(name.0)
    }
}

/// `volume@snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotRef {
    /// Before the `@`.
    pub volume: VolumeName,
    /// Behind it.
    pub snapshot: SnapshotName,
}

impl FromStr for SnapshotRef {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let (volume, snapshot) =
            text.split_once('@').ok_or_else(|| ModelError::NoSnapshot { text: text.to_owned() })?;
        Ok(Self { volume: volume.parse()?, snapshot: snapshot.parse()? })
    }
}

impl TryFrom<String> for SnapshotRef {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<SnapshotRef> for String {
    fn from(name: SnapshotRef) -> String {
        name.to_string()
    }
}

impl fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.volume, self.snapshot)
    }
}

/// A moment to look at: a volume as it is now (`FS`), or one of its snapshots (`FS@NAME`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MomentName {
    /// The volume as it is now.
    Live(VolumeName),
    /// A snapshot of it.
    Snapshot(SnapshotRef),
}

impl MomentName {
    /// The volume that the moment belongs to.
    pub fn volume(&self) -> &VolumeName {
        match self {
            Self::Live(volume) => volume,
            Self::Snapshot(name) => &name.volume,
        }
    }
}

impl FromStr for MomentName {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.contains('@') {
            text.parse().map(Self::Snapshot)
        } else {
            text.parse().map(Self::Live)
        }
    }
}

impl TryFrom<String> for MomentName {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<MomentName> for String {
    fn from(name: MomentName) -> String {
        name.to_string()
    }
}

impl fmt::Display for MomentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(volume) => volume.fmt(f),
            Self::Snapshot(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rules() {
        for good in ["a", "before upgrade", "ümlaut", "-x", ".hidden", &"x".repeat(255)] {
            assert!(VolumeName::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "a/b", "a\0", "a\n", " a", "a ", "a@b", &long] {
            assert!(SnapshotName::new(bad).is_err(), "{bad:?}");
        }
        assert!(AccessPoint::new("@GMT-2026.11.21-10.00.00").is_ok());
        assert!(AccessPoint::new("..").is_err());
    }

    #[test]
    fn snapshot_references_round_trip() {
        let name: SnapshotRef = "home@before".parse().unwrap();
        assert_eq!(name.to_string(), "home@before");
        for bad in ["home", "home@", "@x", "a@b@c", ""] {
            assert!(bad.parse::<SnapshotRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn moments_are_live_or_snapshots() {
        assert!(matches!("home".parse(), Ok(MomentName::Live(_))));
        let moment: MomentName = "home@a".parse().unwrap();
        assert_eq!(moment.volume().as_str(), "home");
        assert_eq!(moment.to_string(), "home@a");
    }

    #[test]
    fn messages_name_the_text_and_the_rule() {
        let error = VolumeName::new("a/b").unwrap_err();
        assert_eq!(error.to_string(), "volume name \"a/b\": it holds a \"/\"");
    }
}
