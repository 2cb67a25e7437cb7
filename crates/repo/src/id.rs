//! Ids of the repository: SHA-256 hashes, written as 64 lower-case hex digits.
//!
//! What an id names is in its type, so that a pack's id is never looked up among blobs. All of them are 32 bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// 32 bytes that name something, usually by its SHA-256.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(pub [u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: an id has 64 hexadecimal digits")]
pub struct NotAnId {
    /// What was read instead.
    pub text: String,
}

impl Id {
    /// The SHA-256 of the data.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// Random, from the operating system. Only [`RepoError`](crate::RepoError) knows what to say when there is none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The first 8 digits, as shown to people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                *high = DIGITS.get(usize::from(byte >> 4)).copied().unwrap_or_default();
                *low = DIGITS.get(usize::from(byte & 15)).copied().unwrap_or_default();
            }
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let wrong = || NotAnId { text: text.chars().take(80).collect() };
        if text.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: &u8| match c {
                b'0'..=b'9' => Some(c - b'0'),
                b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            let [high, low] = pair else { return Err(wrong()) };
            let (Some(high), Some(low)) = (digit(high), digit(low)) else { return Err(wrong()) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.to_string()
    }
}

/// Declares an id type of its own around [`Id`].
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Id);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A blob: a chunk of a file, or a tree. The SHA-256 of its plain bytes.
    BlobId;
    /// A pack file. The SHA-256 of its bytes as stored.
    PackId;
    /// An index file. The SHA-256 of its bytes as stored.
    IndexId;
    /// A snapshot file. The SHA-256 of its bytes as stored.
    SnapshotId;
    /// A key file. The SHA-256 of its bytes.
    KeyId;
    /// A lock file. The SHA-256 of its bytes as stored.
    LockId;
}

impl BlobId {
    /// The id of a blob with these plain bytes.
    pub fn of(data: &[u8]) -> Self {
        Self(Id::of(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let id = Id::of(b"hello, tintype\n");
        assert_eq!(
            id.to_string(),
            "8e135f9cc7cff0efaf66489148f101005086b9c9e9e08936ade533b1a31a760c"
        );
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert!("8e13".parse::<Id>().is_err());
        assert!("é".repeat(32).parse::<Id>().is_err());
        assert!(id.to_string().to_uppercase().parse::<Id>().is_err());
    }
}
