//! A batch: operations that take effect together or not at all.
//!
//! Plain values in the order in which they were added; adapters apply them. A batch does not check
//! lengths and does not merge operations on one key: the later one simply wins.

use bytes::Bytes;

use crate::KvError;

/// The longest key in bytes.
pub(crate) const KEY_MAX: usize = u16::MAX as usize;
/// The longest value in bytes.
const VALUE_MAX: usize = u32::MAX as usize;

/// Keys from here on belong to the adapters.
pub(crate) const KEY_LIMIT: [u8; 8] = [0xff; 8];

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key to a value.
    Put(Bytes, Bytes),
    /// Removes a key; nothing happens when it is absent.
    Delete(Bytes),
}

impl Op {
    /// The key that the operation is about.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Op::Put(key, _) | Op::Delete(key) => key,
        }
    }
}

/// Operations that are written atomically, in order: a later one on the same key wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
    bytes: usize,
    frees: bool,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `ops` operations.
    #[must_use]
    pub fn with_capacity(ops: usize) -> Self {
        Self { ops: Vec::with_capacity(ops), ..Self::default() }
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.ops.push(Op::Put(key, value));
        self
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        let key = key.into();
        self.bytes += key.len();
        self.ops.push(Op::Delete(key));
        self
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Sum of the lengths of all keys and values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The operations in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Op> {
        self.ops.iter()
    }

    /// Says that this batch is on the way to free space, so it may use the room that is kept for such batches.
    pub fn frees_space(&mut self) -> &mut Self {
        self.frees = true;
        self
    }

    /// Whether the batch may use the room that is kept.
    pub(crate) fn frees(&self) -> bool {
        self.frees
    }

    /// Adds all operations of `other` after those of this batch.
    pub fn append(&mut self, mut other: Batch) {
        self.bytes += other.bytes;
        self.frees |= other.frees;
        self.ops.append(&mut other.ops);
    }

    /// Refuses keys and values whose length no adapter can hold.
    pub(crate) fn check(&self) -> Result<(), KvError> {
        self.ops.iter().try_for_each(|op| {
            check_key(op.key())?;
            match op {
                Op::Put(_, value) if value.len() > VALUE_MAX => {
                    Err(KvError::ValueLength { len: value.len() })
                }
                _ => Ok(()),
            }
        })
    }
}

/// Refuses a key that is empty, too long or an adapter's.
fn check_key(key: &[u8]) -> Result<(), KvError> {
    match key.len() {
        1..=KEY_MAX if key < &KEY_LIMIT[..] => Ok(()),
        1..=KEY_MAX => Err(KvError::KeyReserved),
        len => Err(KvError::KeyLength { len }),
    }
}

impl IntoIterator for Batch {
    type Item = Op;
    type IntoIter = std::vec::IntoIter<Op>;

    fn into_iter(self) -> Self::IntoIter {
        self.ops.into_iter()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Op;
    type IntoIter = std::slice::Iter<'a, Op>;

    fn into_iter(self) -> Self::IntoIter {
        self.ops.iter()
    }
}
