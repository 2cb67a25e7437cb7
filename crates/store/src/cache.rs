//! A bounded map that forgets what has not been used for long.
//!
//! Two generations: what is used moves to the young one; when that is full the old one is dropped. Cheap, no links, no clocks.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Mixes integers; keys here come from our own counters and keyed hashes, never raw from users.
#[derive(Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// The cache; holds at most about `limit` entries by weight.
pub struct Cache<K, V> {
    young: Map<K, V>,
    old: Map<K, V>,
    weight: usize,
    limit: usize,
}

impl<K: Hash + Eq + Copy, V: Clone> Cache<K, V> {
    /// An empty cache for entries of total weight `limit`.
    pub fn new(limit: usize) -> Self {
        Self { young: Map::default(), old: Map::default(), weight: 0, limit }
    }

    /// The value, marked as used.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value.clone(), 1);
        Some(value)
    }

    /// Whether the key is held; does not mark it.
    pub fn contains(&self, key: &K) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// Puts a value that weighs `weight`.
    pub fn insert(&mut self, key: K, value: V, weight: usize) {
        if self.weight >= self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.young.insert(key, value);
        self.weight += weight;
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}
