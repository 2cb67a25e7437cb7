//! The ordered key-value port of a store, and its adapters.
//!
//! The history layer keeps every record of every volume behind the [`Kv`] trait: point reads, short ordered
//! scans, atomic batches, and an explicit sync. [`FjallKv`] is the default adapter (an LSM tree in a local
//! folder); [`MemoryKv`] is the adapter of tests, which can lose what was not synced and fail on demand.
//!
//! This crate does not know what keys and values mean, and it schedules nothing: when to sync and when to
//! compact is the caller's choice. It is safe to build on because every adapter runs the same contract suite
//! (`tests/contract`), which fixes order, atomicity and durability.

mod batch;
mod error;
mod fjall;
mod memory;
mod port;

pub use batch::{Batch, Op};
pub use bytes::Bytes;
pub use error::KvError;
pub use fjall::{FjallKv, Options};
pub use memory::MemoryKv;
pub use port::{Kv, Pair, Pairs};
