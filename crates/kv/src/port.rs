//! The port: what the layers above may ask of an ordered key-value store.
//!
//! Sits between `history` (which gives keys their meaning) and the adapters of this crate. It holds no state
//! and no logic; the rules written here are checked against each adapter by the contract suite.

use bytes::Bytes;

use crate::{Batch, KvError};

/// One record: key and value.
pub type Pair = (Bytes, Bytes);

/// A stream of records in key order; after an error nothing more may be expected of it.
pub type Pairs<'a> = Box<dyn Iterator<Item = Result<Pair, KvError>> + Send + 'a>;

/// An ordered map from byte strings to byte strings with atomic batches and explicit durability.
///
/// Keys are 1 to 65,535 bytes long and ordered bytewise; values are 0 to 2^32 - 1 bytes long. Keys that begin with eight
/// bytes FF are kept for the adapters: writing one is refused, and no read shows one.
///
/// Returned [`Bytes`] may share a larger buffer (a block of the cache): copy what is kept for long.
///
/// # Durability
///
/// Batches become durable in the order in which they were written: after a crash the store holds the
/// effect of a prefix of them, no shorter than at the last [`Kv::sync`] that returned `Ok`.
///
/// # Failure
///
/// When a sync fails, or a write fails for any reason other than a refused key or value or a full disk
/// ([`KvError::NoSpace`]), the store is
/// *poisoned*: nobody can tell what reached the disk. Every later write and sync then fails with
/// [`KvError::Poisoned`] until the store is opened again. Reads go on.
pub trait Kv: Send + Sync + 'static {
    /// The value of `key`, or `None`.
    ///
    /// # Errors
    /// [`KvError::Io`] or [`KvError::Damaged`] when it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError>;

    /// The records with `from <= key < to`, ascending. Empty when `from >= to`.
    ///
    /// A write made while the iterator lives may or may not be seen by it.
    fn range(&self, from: &[u8], to: &[u8]) -> Pairs<'_>;

    /// The records with `from <= key < to`, descending. Empty when `from >= to`.
    ///
    /// A write made while the iterator lives may or may not be seen by it.
    fn range_rev(&self, from: &[u8], to: &[u8]) -> Pairs<'_>;

    /// Applies a batch atomically. Visible to every read that starts after it returned; durable only
    /// after [`Kv::sync`]. An empty batch does nothing.
    ///
    /// # Errors
    /// [`KvError::KeyLength`], [`KvError::KeyReserved`], [`KvError::ValueLength`] and [`KvError::NoSpace`] refuse the
    /// whole batch and change nothing.
    /// [`KvError::Poisoned`] after an earlier failure. Any other error poisons the store.
    fn write(&self, batch: Batch) -> Result<(), KvError>;

    /// Whether a batch of about `bytes`, beside `beside` bytes that the caller writes to other files of the same disk, would find
    /// room now; takes that room where it can. A promise only as long as nobody else fills the disk.
    ///
    /// # Errors
    /// [`KvError::NoSpace`]: [`Kv::write`] would refuse it. Nothing has changed.
    fn room_for(&self, bytes: u64, beside: u64, frees: bool) -> Result<(), KvError> {
        let _ = (bytes, beside, frees);
        Ok(())
    }

    /// Bytes of the disk that ordinary batches leave free as things stand, so that what follows from them finds room. Every batch
    /// that goes to disk makes it a little more.
    fn kept_bytes(&self) -> u64 {
        0
    }

    /// Makes every batch durable whose write returned before this call.
    ///
    /// # Errors
    /// [`KvError::Poisoned`] after an earlier failure. Any other error poisons the store.
    fn sync(&self) -> Result<(), KvError>;

    /// Bytes that the files of the store occupy on disk (allocated, not apparent).
    ///
    /// # Errors
    /// [`KvError::Io`] when the folder cannot be read.
    fn disk_bytes(&self) -> Result<u64, KvError>;

    /// Rewrites the store so that dead versions leave the disk. Long; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// As for [`Kv::write`].
    fn compact(&self) -> Result<(), KvError>;
}
