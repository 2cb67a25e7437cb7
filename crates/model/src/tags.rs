//! Tags: a set of short words on a snapshot, written as comma-separated lists.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A set of tags; on wires a sorted array of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Tags(BTreeSet<String>);

fn checked(tag: &str) -> Result<String, ModelError> {
    let tag = tag.trim();
    let fine =
        (1..=255).contains(&tag.len()) && !tag.contains(|c: char| c == ',' || c.is_control());
    if fine { Ok(tag.to_owned()) } else { Err(ModelError::Tag { text: tag.to_owned() }) }
}

impl Tags {
    /// Joins several lists, as from a repeated option.
    pub fn union<'a>(lists: impl IntoIterator<Item = &'a Tags>) -> Self {
        Self(lists.into_iter().flat_map(|tags| tags.0.iter().cloned()).collect())
    }

    /// Adds one tag.
    pub fn insert(&mut self, tag: &str) -> Result<(), ModelError> {
        self.0.insert(checked(tag)?);
        Ok(())
    }

    /// Removes one tag; says whether it was there.
    pub fn remove(&mut self, tag: &str) -> bool {
        self.0.remove(tag.trim())
    }

    /// Is the tag there?
    pub fn contains(&self, tag: &str) -> bool {
        self.0.contains(tag)
    }

    /// Are all of `wanted` there?
    pub fn contains_all(&self, wanted: &Tags) -> bool {
        wanted.0.is_subset(&self.0)
    }

    /// No tag at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for Tags {
    type Err = ModelError;

    /// `a,b`; the empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(checked).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<Vec<String>> for Tags {
    type Error = ModelError;

    fn try_from(tags: Vec<String>) -> Result<Self, ModelError> {
        tags.iter().map(|tag| checked(tag)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Tags> for Vec<String> {
    fn from(tags: Tags) -> Vec<String> {
        tags.0.into_iter().collect()
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.iter().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_sets() {
        let tags: Tags = "b, a,b".parse().unwrap();
        assert_eq!(tags.to_string(), "a,b");
        assert!(tags.contains_all(&"a".parse().unwrap()));
        assert!(!tags.contains_all(&"a,c".parse().unwrap()));
        assert!("".parse::<Tags>().unwrap().is_empty());
        assert!("a,,b".parse::<Tags>().is_err());
    }
}
