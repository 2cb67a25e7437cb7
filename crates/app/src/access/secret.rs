//! Tokens and passwords: made at random, and kept only as hashes.
//!
//! A token is `KIND_ID_SECRET`: the id finds its record, the secret is compared by its SHA-256. That is enough for 256 random bits;
//! passwords are chosen by people and get argon2 with a salt of their own.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use sha2::{Digest, Sha256};

use crate::convert::hex;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::types::Secret;

/// Shortest password, in bytes.
const PASSWORD_BYTES_MIN: usize = 8;
/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The API, until it is deleted or expires.
    Api,
    /// The API, for minutes.
    Session,
    /// The next session token.
    Refresh,
}

impl Kind {
    const ALL: [(Self, &str); 3] =
        [(Self::Api, "tta"), (Self::Session, "tts"), (Self::Refresh, "ttr")];

    fn prefix(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("tta", |(_, prefix)| prefix)
    }
}

/// A token taken apart.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub kind: Kind,
    pub id: &'a str,
    secret: &'a str,
}

impl<'a> Parts<'a> {
    /// Reads a token; nothing when it is none of ours.
    pub fn read(token: &'a Secret) -> Option<Self> {
        let (prefix, rest) = token.0.split_once('_')?;
        let (id, secret) = rest.split_once('_')?;
        let (kind, _) = Kind::ALL.into_iter().find(|(_, known)| *known == prefix)?;
        Some(Self { kind, id, secret })
    }

    /// What all refresh tokens of its session share.
    pub fn family(&self) -> &'a str {
        self.secret.split_once('_').map_or("", |(family, _)| family)
    }

    /// Is this the one whose hash was kept?
    pub fn fits(&self, kept: &str) -> bool {
        hash(self.secret) == kept
    }
}

/// A new token with this id, and the hash to keep of it.
pub(super) fn token(kind: Kind, id: &str) -> AppResult<(Secret, String)> {
    let secret = random(32)?;
    let kept = hash(&secret);
    Ok((Secret(format!("{}_{id}_{secret}", kind.prefix())), kept))
}

/// A new refresh token of a session. All of one session share its family, which nothing else shows: whoever sends it has had one of them.
pub(super) fn refresh_token(id: &str, family: &str) -> AppResult<(Secret, String)> {
    let secret = format!("{family}_{}", random(32)?);
    let kept = hash(&secret);
    Ok((Secret(format!("{}_{id}_{secret}", Kind::Refresh.prefix())), kept))
}

/// What to keep of a family.
pub(super) fn hash_family(family: &str) -> String {
    hash(family)
}

/// So many random bytes in hexadecimal.
pub(super) fn random(bytes: usize) -> AppResult<String> {
    let mut buf = vec![0; bytes];
    getrandom::fill(&mut buf).map_err(|e| no_randomness(&e))?;
    Ok(hex(&buf))
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// What to keep of a password.
pub(super) fn hash_password(password: &Secret) -> AppResult<String> {
    if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.0.len()) {
        return Err(AppError::invalid(
            "password",
            format!("has to have {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes"),
            "Choose another one.",
        ));
    }
    let hash = Argon2::default().hash_password(password.0.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|e| no_randomness(&e))
}

/// Is this the password? Without a hash it takes as long, so that nobody learns which users there are.
pub(super) fn is_password(password: &Secret, kept: Option<&str>) -> bool {
    // Of no password: it was made from random bytes that nobody has.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw\
                          $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let Ok(hash) = PasswordHash::new(kept.unwrap_or(NOBODY)) else { return false };
    let same = Argon2::default().verify_password(password.0.as_bytes(), &hash).is_ok();
    same && kept.is_some()
}

fn no_randomness(error: &dyn std::fmt::Display) -> AppError {
    AppError::new(
        ErrorKind::Unavailable,
        "server",
        format!("cannot make a secret: {error}"),
        "Check that the system gives random numbers.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let (token, kept) = token(Kind::Session, "12ab").unwrap();
        let parts = Parts::read(&token).unwrap();
        assert!(parts.kind == Kind::Session && parts.id == "12ab" && parts.fits(&kept));
        assert!(!kept.contains(parts.secret));
        let other = Secret(format!("{}0", token.0));
        assert!(!Parts::read(&other).unwrap().fits(&kept));
        assert!(Parts::read(&Secret("xyz_1_2".into())).is_none());
        assert!(Parts::read(&Secret(String::new())).is_none());
    }

    #[test]
    fn passwords_are_salted_and_slow_also_for_nobody() {
        let password = Secret("correct horse".into());
        let (one, two) = (hash_password(&password).unwrap(), hash_password(&password).unwrap());
        assert!(one != two && one.starts_with("$argon2id$"));
        assert!(is_password(&password, Some(&one)));
        assert!(!is_password(&Secret("wrong horse".into()), Some(&one)));
        assert!(!is_password(&password, None));
        // It is a hash that is compared in full.
        assert!(PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").is_ok());
        assert!(hash_password(&Secret("short".into())).is_err());
    }
}
