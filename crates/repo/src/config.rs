//! The file `config`: the format's version, the repository's id, the polynomial that cuts files.
//!
//! Keys that other programs add are kept when the file is written again.

use serde::{Deserialize, Serialize};

use crate::chunker::Polynomial;
use crate::id::Id;

/// A version of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Version {
    /// Without compression.
    V1,
    /// With compression.
    #[default]
    V2,
}

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match number {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            other => Err(format!("version {other} is not known")),
        }
    }
}

impl From<Version> for u32 {
    fn from(version: Version) -> u32 {
        match version {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }
}

/// The content of `config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The format's version.
    pub version: Version,
    /// The repository's id, random.
    pub id: Id,
    /// The polynomial whose remainders cut files.
    pub chunker_polynomial: Polynomial,
    /// What other programs keep here.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// Why a config is of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A version that this program does not know.
    #[error("version {0} is not known")]
    Version(u32),
    /// Not a config.
    #[error("{0}")]
    Form(String),
}

impl Config {
    /// For a new repository.
    pub fn new(version: Version, id: Id, chunker_polynomial: Polynomial) -> Self {
        Self { version, id, chunker_polynomial, other: serde_json::Map::new() }
    }

    /// Reads the plain JSON.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Outline {
            version: u32,
        }
        let form = |e: serde_json::Error| ConfigError::Form(e.to_string());
        let outline: Outline = serde_json::from_slice(json).map_err(form)?;
        if Version::try_from(outline.version).is_err() {
            return Err(ConfigError::Version(outline.version));
        }
        serde_json::from_slice(json).map_err(form)
    }

    /// The plain JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_text_comes_back() {
        let text = format!(
            r#"{{"version":2,"id":"{}","chunker_polynomial":"2fad7ab11efe19"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(Config::parse(text.as_bytes()).unwrap().to_json(), text.as_bytes());
        let more = text.replace('}', r#","append_only":true}"#);
        assert_eq!(Config::parse(more.as_bytes()).unwrap().to_json(), more.as_bytes());
    }

    #[test]
    fn unknown_versions_and_bad_polynomials_are_told_apart() {
        let text = format!(
            r#"{{"version":3,"id":"{}","chunker_polynomial":"2fad7ab11efe19"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(Config::parse(text.as_bytes()), Err(ConfigError::Version(3)));
        let bad = text.replace(":3", ":2").replace("efe19", "efe18");
        assert!(matches!(Config::parse(bad.as_bytes()), Err(ConfigError::Form(_))));
    }
}
