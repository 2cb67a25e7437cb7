//! Uids: UUIDs (version 8) that hold what they mean, so that none has to be kept.
//!
//! 48 bits of the store's id, 12 bits for the sort of thing, 60 bits for its number. A uid of another store finds nothing here.

use std::fmt;

use serde::{Deserialize, Serialize};
use tintype_app::{App, AppError, AppResult, ErrorKind};
use tintype_model::{SnapshotId, VolumeId};

/// What a uid is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Filesystem = 1,
    Snapshot = 2,
    Policy = 3,
    User = 4,
    Group = 5,
}

impl Sort {
    const fn word(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Snapshot => "snapshot",
            Self::Policy => "policy",
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// A UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(u128);

const NUMBER_BITS: u32 = 60;
const NUMBERS: u64 = (1 << NUMBER_BITS) - 1;
/// The variant of RFC 9562, and its version 8.
const VARIANT: u128 = 0b10 << 62;
const VERSION: u128 = 8 << 76;

impl Uid {
    /// Of a thing of a store.
    pub fn new(app: &App, sort: Sort, number: u64) -> AppResult<Self> {
        Ok(Self::of(&app.store_id()?, sort, number))
    }

    fn of(store: &[u8; 16], sort: Sort, number: u64) -> Self {
        let store = u128::from_be_bytes(*store) >> 80 << 80;
        // Four bits of the number stand where the variant leaves room beside the sort.
        Self(store | VERSION | (sort as u128) << 64 | VARIANT | u128::from(number & NUMBERS))
    }

    /// Of the store itself.
    pub fn store(app: &App) -> AppResult<Self> {
        let id = u128::from_be_bytes(app.store_id()?);
        let free = id & !(0xf << 76) & !(0b11 << 62);
        Ok(Self(free | 4 << 76 | VARIANT))
    }

    /// As people write it.
    pub fn read(text: &str) -> AppResult<Self> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let dashed = digits.len() == 32 && [32, 36].contains(&text.len());
        let number = Some(()).filter(|()| dashed && !digits.starts_with('+'));
        let number = number.and_then(|()| u128::from_str_radix(&digits, 16).ok());
        number.map(Self).ok_or_else(|| {
            let text: String = text.chars().take(80).collect();
            AppError::invalid(
                format!("uid {text:?}"),
                "is no UUID",
                "Send the uid that lists tell.",
            )
        })
    }

    /// The number of a thing of this sort.
    pub fn number(self, app: &App, sort: Sort) -> AppResult<u64> {
        // 60 bits fit.
        #[allow(clippy::cast_possible_truncation)]
        let number = self.0 as u64 & NUMBERS;
        if self == Self::new(app, sort, number)? {
            return Ok(number);
        }
        let object = format!("{} {self}", sort.word());
        let remedy = "Send the uid that lists tell.";
        Err(AppError::new(ErrorKind::NotFound, object, "does not exist", remedy))
    }

    /// The filesystem that is meant.
    pub fn filesystem(self, app: &App) -> AppResult<VolumeId> {
        self.number(app, Sort::Filesystem).map(VolumeId)
    }

    /// The snapshot that is meant.
    pub fn snapshot(self, app: &App) -> AppResult<SnapshotId> {
        self.number(app, Sort::Snapshot).map(SnapshotId)
    }
}

/// A number for a name, where nothing else has one.
pub fn number_of(name: &str) -> u64 {
    // FNV-1a.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash & NUMBERS
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

impl TryFrom<String> for Uid {
    type Error = AppError;

    fn try_from(text: String) -> AppResult<Self> {
        Self::read(&text)
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_a_uuid_that_holds_its_number() {
        let store = [0xab; 16];
        let uid = Uid::of(&store, Sort::Snapshot, 77);
        assert_eq!(uid.to_string(), "abababab-abab-8002-8000-00000000004d");
        assert_eq!(Uid::read(&uid.to_string()).unwrap(), uid);
        assert_ne!(uid, Uid::of(&store, Sort::Filesystem, 77));
        assert_ne!(uid, Uid::of(&[0xac; 16], Sort::Snapshot, 77));
        let last = Uid::of(&store, Sort::Snapshot, NUMBERS).to_string();
        assert_eq!(last, "abababab-abab-8002-8fff-ffffffffffff");
        for bad in ["", "x", "abababab", "+bababab-abab-8002-8000-00000000004d", "é"] {
            assert!(Uid::read(bad).is_err(), "{bad}");
        }
    }
}
