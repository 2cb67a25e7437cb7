//! Sealing and opening: AES-256 in counter mode, authenticated by Poly1305-AES.
//!
//! Sealed bytes are IV (16, random), ciphertext, MAC (16) over the ciphertext. The one-time key of the MAC is `r` followed by
//! AES-128 of the IV under `k`. The counter is the whole IV as 128 bits, big endian. Source: restic's design, "Keys, Encryption and MAC".
//!
//! It does not know passwords (see `keyfile`). Safe because the MAC is checked, in constant time, before anything is decrypted, and
//! because an IV is random for every seal: 2^64 seals are needed before a repeat is likely.

use std::io::{self, BufRead, Read};

use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use poly1305::Poly1305;
use serde::{Deserialize, Serialize};

/// Length of the IV before the ciphertext, in bytes.
const IV: usize = 16;
/// Length of the MAC behind the ciphertext, in bytes.
const MAC: usize = 16;
/// Bytes that are kept free before what is sealed in place.
pub(crate) const BEFORE: usize = IV;
/// How much longer sealed bytes are than plain ones.
pub const OVERHEAD: usize = IV + MAC;

/// What is opened at once where something is opened piece by piece, in bytes.
const PIECE: usize = 64 << 10;

type Ctr = ctr::Ctr128BE<Aes256>;

/// Why sealed bytes do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short to hold an IV and a MAC.
    #[error("too short to be encrypted data")]
    Short,
    /// The bytes were changed, or the key is another one.
    #[error("the bytes do not fit their authentication code")]
    Mac,
}

/// The key of a repository: what seals all its files. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    encrypt: [u8; 32],
    k: [u8; 16],
    r: [u8; 16],
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

impl MasterKey {
    /// A new random key.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// From 64 bytes: encrypt (32), k (16), r (16), as scrypt gives them.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut key = Self { encrypt: [0; 32], k: [0; 16], r: [0; 16] };
        let (encrypt, rest) = bytes.split_at(32);
        let (k, r) = rest.split_at(16);
        key.encrypt.copy_from_slice(encrypt);
        key.k.copy_from_slice(k);
        key.r.copy_from_slice(r);
        key
    }

    /// The plain bytes, sealed under a fresh IV.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        self.seal_onto(&mut sealed, plain)?;
        Ok(sealed)
    }

    /// As [`MasterKey::seal`], behind what `out` holds already.
    pub fn seal_onto(&self, out: &mut Vec<u8>, plain: &[u8]) -> Result<(), getrandom::Error> {
        let start = out.len();
        out.extend_from_slice(&[0; IV]);
        out.extend_from_slice(plain);
        self.seal_behind(out, start)
    }

    /// Seals in place: `out` holds [`BEFORE`] bytes of any value, then the plain ones.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn seal_in_place(&self, out: &mut Vec<u8>) -> Result<(), getrandom::Error> {
        self.seal_behind(out, 0)
    }

    fn seal_behind(&self, out: &mut Vec<u8>, start: usize) -> Result<(), getrandom::Error> {
        let whole = out.get_mut(start..).unwrap_or_default();
        let Some((iv, text)) = whole.split_first_chunk_mut::<IV>() else { return Ok(()) };
        getrandom::fill(iv)?;
        Ctr::new(&self.encrypt.into(), &(*iv).into()).apply_keystream(text);
        let mac = self.mac(iv, text);
        out.extend_from_slice(&mac);
        Ok(())
    }

    /// Opens in place: afterwards `sealed` holds the plain bytes.
    pub fn open(&self, sealed: &mut Vec<u8>) -> Result<(), SealError> {
        let len = self.open_slice(sealed)?.len();
        sealed.copy_within(IV..IV + len, 0);
        sealed.truncate(len);
        Ok(())
    }

    /// Opens in place and gives the part that holds the plain bytes.
    pub fn open_slice<'s>(&self, sealed: &'s mut [u8]) -> Result<&'s mut [u8], SealError> {
        let (iv, rest) = sealed.split_first_chunk_mut::<IV>().ok_or(SealError::Short)?;
        let (text, mac) = rest.split_last_chunk_mut::<MAC>().ok_or(SealError::Short)?;
        self.fits(iv, text, mac)?;
        Ctr::new(&self.encrypt.into(), &(*iv).into()).apply_keystream(text);
        Ok(text)
    }

    /// The plain bytes piece by piece, for what must not be there twice. `sealed` stays as it is, and has been checked as a whole.
    pub(crate) fn open_in_pieces<'s>(&self, sealed: &'s [u8]) -> Result<Pieces<'s>, SealError> {
        self.check(sealed)?;
        let (iv, rest) = sealed.split_first_chunk::<IV>().ok_or(SealError::Short)?;
        let (text, _) = rest.split_last_chunk::<MAC>().ok_or(SealError::Short)?;
        let cipher = Ctr::new(&self.encrypt.into(), &(*iv).into());
        Ok(Pieces { cipher, rest: text, piece: Vec::with_capacity(PIECE), at: 0 })
    }

    /// Looks whether sealed bytes are what was sealed, without opening them.
    pub fn check(&self, sealed: &[u8]) -> Result<(), SealError> {
        let (iv, rest) = sealed.split_first_chunk::<IV>().ok_or(SealError::Short)?;
        let (text, mac) = rest.split_last_chunk::<MAC>().ok_or(SealError::Short)?;
        self.fits(iv, text, mac)
    }

    fn fits(&self, iv: &[u8; IV], text: &[u8], mac: &[u8; MAC]) -> Result<(), SealError> {
        let empty = [0u8; IV];
        if *iv == empty || !same(&self.mac(iv, text), mac) {
            return Err(SealError::Mac);
        }
        Ok(())
    }

    fn mac(&self, iv: &[u8; IV], text: &[u8]) -> [u8; MAC] {
        let mut nonce = aes::Block::from(*iv);
        Aes128::new(&self.k.into()).encrypt_block(&mut nonce);
        let mut key = [0; 32];
        let (r, s) = key.split_at_mut(16);
        r.copy_from_slice(&self.r);
        s.copy_from_slice(&nonce);
        Poly1305::new(&key.into()).compute_unpadded(text).into()
    }
}

/// Plain bytes of something sealed, opened where they are read.
pub(crate) struct Pieces<'s> {
    cipher: Ctr,
    rest: &'s [u8],
    piece: Vec<u8>,
    at: usize,
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.piece.len() {
            let (next, rest) = self.rest.split_at(self.rest.len().min(PIECE));
            self.piece.clear();
            self.piece.extend_from_slice(next);
            self.cipher.apply_keystream(&mut self.piece);
            (self.rest, self.at) = (rest, 0);
        }
        Ok(self.piece.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

/// Equality whose time does not tell where the first difference is.
fn same(a: &[u8; MAC], b: &[u8; MAC]) -> bool {
    a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The JSON form of a master key: base64 in `{"mac":{"k","r"},"encrypt"}`.
#[derive(Serialize, Deserialize)]
struct KeyJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: String,
    r: String,
}

impl MasterKey {
    /// The JSON text that a key file carries, sealed.
    pub fn to_json(&self) -> String {
        let mac = MacJson { k: BASE64.encode(self.k), r: BASE64.encode(self.r) };
        let json = KeyJson { mac, encrypt: BASE64.encode(self.encrypt) };
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// From that text; `None` when it is no key.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let json: KeyJson = serde_json::from_slice(json).ok()?;
        let part = |text: &str| BASE64.decode(text).ok();
        let key = Self {
            encrypt: part(&json.encrypt)?.try_into().ok()?,
            k: part(&json.mac.k)?.try_into().ok()?,
            r: part(&json.mac.r)?.try_into().ok()?,
        };
        let empty = key.encrypt == [0; 32] || key.k == [0; 16] || key.r == [0; 16];
        (!empty).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(0..).for_each(|(byte, i)| *byte = i);
        MasterKey::from_bytes(&bytes)
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let mut sealed = key().seal(b"hello").unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(key().check(&bad), Err(SealError::Mac), "byte {at}");
            assert_eq!(key().open(&mut bad), Err(SealError::Mac), "byte {at}");
        }
        assert_eq!(key().check(&sealed), Ok(()));
        key().open(&mut sealed).unwrap();
        assert_eq!(sealed, b"hello");
        assert_eq!(key().open(&mut vec![1; 31]), Err(SealError::Short));
        assert_eq!(key().open(&mut vec![0; 40]), Err(SealError::Mac));
    }

    #[test]
    fn pieces_are_what_is_sealed() {
        for length in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7] {
            let plain: Vec<u8> = (0..length).map(|i| (i / 7) as u8).collect();
            let mut sealed = key().seal(&plain).unwrap();
            let mut read = Vec::new();
            key().open_in_pieces(&sealed).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == plain, "{length} bytes");
            *sealed.last_mut().unwrap() ^= 1;
            assert!(key().open_in_pieces(&sealed).is_err());
        }
    }

    #[test]
    fn the_reference_blob_opens() {
        // The data blob of the fixed repository: IV 03 repeated, keys 00 to 3f.
        let hex = "030303030303030303030303030303038ffe801f1bbb8e955dc4cb5310c26b1025c703384c9c8c272d68245dc85226";
        let mut sealed: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        key().open(&mut sealed).unwrap();
        assert_eq!(sealed, b"hello, tintype\n");
    }

    #[test]
    fn json_carries_the_key() {
        let json = key().to_json();
        let expected = r#"{"mac":{"k":"ICEiIyQlJicoKSorLC0uLw==","r":"MDEyMzQ1Njc4OTo7PD0+Pw=="},"encrypt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}"#;
        assert_eq!(json, expected);
        assert!(MasterKey::from_json(json.as_bytes()) == Some(key()));
        assert!(MasterKey::from_json(b"{}").is_none());
    }
}
