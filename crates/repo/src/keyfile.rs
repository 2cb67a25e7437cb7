//! Key files: the master key sealed under a password, as plain JSON in `keys/`.
//!
//! The password is stretched by scrypt into a key of the same form as the master key. Several files may seal one master key under
//! several passwords. Hostile parameters are refused before any memory is taken.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::crypto::MasterKey;

/// Length of the salt in bytes; restic requires it.
const SALT: usize = 64;
/// scrypt's cost for new keys: 2^15 x 8 x 128 bytes = 32 MiB of memory, and three rounds, as restic chooses on usual machines.
const NEW: Cost = Cost { n: 1 << 15, r: 8, p: 3 };
/// The most memory that a key file may ask for, in bytes.
const MEMORY_MAX: u64 = 1 << 30;

/// scrypt's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    n: u32,
    r: u32,
    p: u32,
}

/// Why a key file is of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It is not a key file.
    #[error("it is not a key file: {0}")]
    Form(String),
    /// The password does not open it.
    #[error("the password does not open it")]
    Password,
}

/// A key file's content. Every field but the last three may be missing in files of other programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Always `scrypt`.
    pub kdf: String,
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

impl KeyFile {
    /// Seals `master` under a password.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn seal(
        master: &MasterKey,
        password: &[u8],
        who: (&str, &str),
        now: Timestamp,
    ) -> Result<Self, getrandom::Error> {
        Self::seal_at(master, password, who, now, NEW)
    }

    /// For tests that open repositories many times: a password in it is as good as none.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn seal_weakly(
        master: &MasterKey,
        password: &[u8],
    ) -> Result<Self, getrandom::Error> {
        let cost = Cost { n: 16, r: 1, p: 1 };
        Self::seal_at(master, password, ("", ""), Timestamp::UNIX_EPOCH, cost)
    }

    fn seal_at(
        master: &MasterKey,
        password: &[u8],
        (username, hostname): (&str, &str),
        now: Timestamp,
        cost: Cost,
    ) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt)?;
        let stretched = stretch(password, &salt, cost).unwrap_or(MasterKey::random()?);
        Ok(Self {
            created: now.to_string(),
            username: username.to_owned(),
            hostname: hostname.to_owned(),
            kdf: "scrypt".to_owned(),
            n: cost.n,
            r: cost.r,
            p: cost.p,
            salt: BASE64.encode(salt),
            data: BASE64.encode(stretched.seal(master.to_json().as_bytes())?),
        })
    }

    /// Reads a key file.
    pub fn parse(json: &[u8]) -> Result<Self, KeyFileError> {
        serde_json::from_slice(json).map_err(|e| KeyFileError::Form(e.to_string()))
    }

    /// As it lies in the repository.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The master key.
    ///
    /// # Errors
    /// [`KeyFileError::Password`] for another password, [`KeyFileError::Form`] for a damaged file.
    pub fn open(&self, password: &[u8]) -> Result<MasterKey, KeyFileError> {
        let form = |what: &str| KeyFileError::Form(what.to_owned());
        if self.kdf != "scrypt" {
            return Err(form("only scrypt is known"));
        }
        let salt = BASE64.decode(&self.salt).map_err(|_| form("its salt is not base64"))?;
        let mut data = BASE64.decode(&self.data).map_err(|_| form("its data is not base64"))?;
        let cost = Cost { n: self.n, r: self.r, p: self.p };
        let stretched = stretch(password, &salt, cost)
            .ok_or_else(|| form("its scrypt parameters are not possible"))?;
        stretched.open(&mut data).map_err(|_| KeyFileError::Password)?;
        MasterKey::from_json(&data).ok_or_else(|| form("it holds no master key"))
    }
}

/// The key that a password gives; `None` for parameters that are not possible or take too much memory.
fn stretch(password: &[u8], salt: &[u8], cost: Cost) -> Option<MasterKey> {
    let memory = 128 * u64::from(cost.n).checked_mul(u64::from(cost.r))?.min(u64::MAX / 128);
    if !cost.n.is_power_of_two() || memory > MEMORY_MAX || cost.p > 64 {
        return None;
    }
    let log_n = u8::try_from(cost.n.trailing_zeros()).ok()?;
    let params = scrypt::Params::new(log_n, cost.r, cost.p).ok()?;
    let mut bytes = [0; 64];
    scrypt::scrypt(password, salt, &params, &mut bytes).ok()?;
    Some(MasterKey::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = r#"{"created":"2026-01-02T03:04:05Z","username":"u","hostname":"h","kdf":"scrypt","N":1024,"r":8,"p":1,"salt":"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==","data":"AQEBAQEBAQEBAQEBAQEBAbzr/wqj+4rGNgVjWE9HHTP60/6WA6poGrjsxSvr1u8ooePHWzBFZpTwWy9Lpm+P0+4lb+T+AWBNs5O7Vs/gXtp1g/Qg5hxc5/zcb+w43Bjb+x1FUYBrDJRCpIh+z343Xvd2/4C712W6c8pXG2BABQeTje1DYCjFyPgdtsYojPpqmA+MC68gjOoAc3Kam2G4dA=="}"#;

    #[test]
    fn the_reference_file_opens() {
        let file = KeyFile::parse(REFERENCE.as_bytes()).unwrap();
        let json = file.open(b"tintype").unwrap().to_json();
        assert!(json.contains("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
        assert_eq!(file.open(b"Tintype"), Err(KeyFileError::Password));
        assert_eq!(String::from_utf8(file.to_json()).unwrap(), REFERENCE);
    }

    #[test]
    fn what_is_sealed_opens() {
        let (master, cost) = (MasterKey::random().unwrap(), Cost { n: 16, r: 8, p: 1 });
        let file = KeyFile::seal_at(&master, b"", ("u", "h"), Timestamp::UNIX_EPOCH, cost).unwrap();
        let again = KeyFile::parse(&file.to_json()).unwrap();
        assert!(again.open(b"") == Ok(master));
    }

    #[test]
    fn hostile_parameters_are_refused() {
        for (n, r, p) in [
            (1 << 31, 8, 1),
            (1 << 20, 1 << 20, 1),
            (1000, 8, 1),
            (0, 8, 1),
            (1024, 0, 1),
            (1024, 8, 1 << 30),
        ] {
            let file = KeyFile { n, r, p, ..KeyFile::parse(REFERENCE.as_bytes()).unwrap() };
            assert!(matches!(file.open(b"tintype"), Err(KeyFileError::Form(_))), "{n} {r} {p}");
        }
    }
}
