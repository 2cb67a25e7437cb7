//! Documents: what the layers above remember beside volumes (policies, users, tasks), as JSON under a kind and a name.
//!
//! Row `M d KIND 00 NAME` = the document. Kinds and names are text without a zero byte, so keys sort by kind, then by name. Changes of one call are one
//! batch: all or none, durable on return, in the same order as commits. The store does not look inside, beyond that it is JSON.

use crate::error::{Result, StoreError};
use crate::meta::META;
use crate::store::Store;
use bytes::Bytes;
use std::collections::BTreeMap;
use tintype_kv::Batch;

/// Second byte of the key.
pub(crate) const DOCUMENT: u8 = b'd';
/// Longest kind and name together, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// One change of a document.
#[derive(Clone, Debug)]
pub struct DocumentChange {
    /// What sort of document: a short word that its owner chose.
    pub kind: &'static str,
    /// Its name, not empty, without a zero byte.
    pub name: String,
    /// The JSON to keep, or nothing to remove it.
    pub value: Option<Vec<u8>>,
}

impl Store {
    /// The document of that name.
    ///
    /// # Errors
    /// The store failed.
    pub fn document(&self, kind: &str, name: &str) -> Result<Option<Bytes>> {
        Ok(self.shared.kv.get(&key(kind, name)?)?)
    }

    /// All documents of a kind, by name.
    ///
    /// # Errors
    /// The store failed, or a name is not text.
    pub fn documents(&self, kind: &str) -> Result<Vec<(String, Bytes)>> {
        let start = prefix(kind);
        let mut end = start.clone();
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        let mut found = Vec::new();
        for row in self.shared.kv.range(&start, &end) {
            let (key, value) = row?;
            let name = key.get(start.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or(StoreError::Damaged { what: "name of a document", id: 0 })?;
            found.push((name.to_owned(), value));
        }
        Ok(found)
    }

    /// Makes all these changes at once; durable on return.
    ///
    /// # Errors
    /// A kind or name is empty, too long or holds a zero byte, a value is not JSON, or the store failed. Nothing is changed then.
    pub fn put_documents(&self, changes: &[DocumentChange]) -> Result<()> {
        let mut prepared = Vec::with_capacity(changes.len());
        for change in changes {
            let key = key(change.kind, &change.name)?;
            if change.value.as_deref().is_some_and(|value| !is_json(value)) {
                return Err(StoreError::Invalid { what: format!("document {}", change.name) });
            }
            prepared.push((key, change.value.clone()));
        }
        let guard = self.commit.lock();
        self.run_commit(&guard, &BTreeMap::new(), |_, batch: &mut Batch| {
            for (key, value) in prepared {
                match value {
                    Some(value) => batch.put(key, value),
                    None => batch.delete(key),
                };
            }
            Ok(())
        })
    }
}

/// Whether a row with this key and value is one that [`Store::document`] can read.
pub(crate) fn is_sound(key: &[u8], value: &[u8]) -> bool {
    let text = key.get(2..).and_then(|rest| std::str::from_utf8(rest).ok());
    let named = text.and_then(|text| text.split_once('\0'));
    named.is_some_and(|(kind, name)| fits(kind, name)) && is_json(value)
}

fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

fn fits(kind: &str, name: &str) -> bool {
    let whole = |text: &str| !text.is_empty() && !text.contains('\0');
    whole(kind) && whole(name) && kind.len() + name.len() <= KEY_BYTES_MAX
}

fn prefix(kind: &str) -> Vec<u8> {
    [&[META, DOCUMENT], kind.as_bytes(), &[0]].concat()
}

fn key(kind: &str, name: &str) -> Result<Vec<u8>> {
    if !fits(kind, name) {
        return Err(StoreError::Invalid { what: format!("document {name:?}") });
    }
    Ok([&prefix(kind), name.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_kinds_and_names_apart() {
        assert_eq!(key("policy", "a").unwrap(), b"Mdpolicy\0a");
        assert!(key("policy", "a\0b").is_err());
        assert!(key("", "a").is_err());
        assert!(key("policy", &"a".repeat(KEY_BYTES_MAX)).is_err());
        assert!(is_sound(b"Mdpolicy\0a", b"{}"));
        assert!(!is_sound(b"Mdpolicya", b"{}"));
        assert!(!is_sound(b"Mdpolicy\0a", b"{"));
    }
}
