//! The link: what every batch in the journal says about those before it.
//!
//! The adapter puts it in front of each batch, as a record under a key that callers cannot use. It ties the batch
//! to this store, numbers it, and says which batch was known to be on disk before this one was written. So a hole in
//! the journals is seen, and damage to what was synced is told apart from a torn end. Each link replaces the last
//! one, and the record that the tables hold says how many batches they know.
//!
//! Pure values. Safe because the engine's checksum of the batch covers the link.

use crate::batch::KEY_LIMIT;

/// Length of a link's value.
pub(super) const LINK_LEN: usize = 48;
/// Length of the key of links.
pub(super) const LINK_KEY_LEN: usize = 9;
/// Key of the record: behind every key of a caller.
pub(super) const LINK_KEY: [u8; LINK_KEY_LEN] = {
    let [a, b, c, d, e, f, g, h] = KEY_LIMIT;
    [a, b, c, d, e, f, g, h, b'L']
};

/// The random identity of a store.
pub(super) type StoreId = [u8; 16];

/// A batch that is known to be on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// Number of the batch; 0 when none is known.
    pub number: u64,
    /// The newest journal when that batch was about to be written: it lies in this one or in a later one.
    pub journal: u64,
}

/// Stands for a journal that nobody knows.
pub(super) const NO_JOURNAL: u64 = u64::MAX;

/// What a batch says about itself and those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The batch's number: one more than that of the batch before, from 1.
    pub number: u64,
    /// The engine's sequence number of the batch is not below this one.
    pub floor: u64,
    /// What was known to be on disk before this batch was written.
    pub synced: Synced,
}

impl Link {
    /// The value of the record.
    pub(super) fn encode(&self, store: &StoreId) -> [u8; LINK_LEN] {
        let mut out = [0; LINK_LEN];
        let words = [self.number, self.floor, self.synced.number, self.synced.journal];
        let bytes = store.iter().copied().chain(words.into_iter().flat_map(u64::to_le_bytes));
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads a value; `None` when it is no link of this store.
    pub(super) fn decode(bytes: &[u8], store: &StoreId) -> Option<Self> {
        let (id, words) = bytes.split_first_chunk::<16>()?;
        if id != store || words.len() != LINK_LEN - 16 {
            return None;
        }
        let mut words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let (number, floor) = (words.next()?, words.next()?);
        let synced = Synced { number: words.next()?, journal: words.next()? };
        Some(Self { number, floor, synced })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_in_its_own_store_only() {
        let link = Link { number: 7, floor: 9, synced: Synced { number: 6, journal: 2 } };
        let bytes = link.encode(&[5; 16]);
        assert_eq!(Link::decode(&bytes, &[5; 16]), Some(link));
        assert_eq!(Link::decode(&bytes, &[6; 16]), None);
        assert_eq!(Link::decode(&bytes[..47], &[5; 16]), None);
        assert_eq!(bytes[16..24], [7, 0, 0, 0, 0, 0, 0, 0]);
    }
}
