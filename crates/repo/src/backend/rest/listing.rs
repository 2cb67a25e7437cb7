//! Listings of folders: version 2 has names and lengths, version 1 names only, and some servers say `null` for nothing.

use serde::Deserialize;

use super::Result;
use crate::id::Id;

/// Asks for version 2.
pub const ACCEPT: &str = "application/vnd.x.restic.rest.v2";
/// Lengths asked for at once where the listing has none.
const ASKED_AT_ONCE: usize = 8;

/// One entry of a listing. The form tells the version: servers differ in the content type they name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    Named(String),
    Sized { name: String, size: u64 },
}

/// Reads a listing.
pub fn parse(text: &[u8]) -> serde_json::Result<Vec<Entry>> {
    Ok(serde_json::from_slice::<Option<Vec<Entry>>>(text)?.unwrap_or_default())
}

/// Ids and lengths of entries whose names are ids. `length` is asked for those without, and says `None` for those gone meanwhile.
pub fn with_lengths(
    entries: Vec<Entry>,
    length: impl Fn(Id) -> Result<Option<u64>> + Sync,
) -> Result<Vec<(Id, u64)>> {
    let mut found = Vec::with_capacity(entries.len());
    let mut unsized_ids: Vec<Id> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Sized { name, size } => found.extend(name.parse().ok().map(|id: Id| (id, size))),
            Entry::Named(name) => unsized_ids.extend(name.parse::<Id>().ok()),
        }
    }
    if unsized_ids.is_empty() {
        return Ok(found);
    }
    let share = unsized_ids.len().div_ceil(ASKED_AT_ONCE);
    let ask = |ids: &[Id]| -> Result<Vec<(Id, u64)>> {
        ids.iter().filter_map(|&id| Some(length(id).transpose()?.map(|len| (id, len)))).collect()
    };
    std::thread::scope(|scope| {
        let ask = &ask;
        let parts: Vec<_> =
            unsized_ids.chunks(share).map(|ids| scope.spawn(move || ask(ids))).collect();
        for part in parts {
            found.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_and_nothing() {
        let id = Id::of(b"x");
        let other = Id::of(b"y");
        let text = format!(
            r#"[{{"name":"{id}","size":3}},"{other}","../{other}",{{"name":"..","size":1,"x":[]}}]"#
        );
        let entries = parse(text.as_bytes()).unwrap();
        let found = with_lengths(entries, |_| Ok(Some(9))).unwrap();
        assert_eq!(found, [(id, 3), (other, 9)]);
        for empty in ["null", "[]", " null\n"] {
            assert!(parse(empty.as_bytes()).unwrap().is_empty());
        }
        for wrong in ["", "{}", "[1]", r#"[{"name":"x","size":-1}]"#, "<html>"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_gone_is_left_out() {
        let ids: Vec<Id> = (0..100u8).map(|i| Id::of(&[i])).collect();
        let entries = ids.iter().map(|id| Entry::Named(id.to_string())).collect();
        let found = with_lengths(entries, |id| Ok((id != Id::of(&[7])).then_some(1))).unwrap();
        assert_eq!(found.len(), 99);
    }
}
