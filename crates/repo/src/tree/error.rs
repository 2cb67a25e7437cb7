//! What can be wrong with a tree.

use std::fmt;

/// A tree that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The bytes are not JSON, or not of a tree's form.
    #[error(
        "the tree is damaged at byte {position}, in the field `{field}` of entry {entry}: {reason}"
    )]
    Syntax {
        /// Byte in the blob, from 0.
        position: usize,
        /// Place in the list, from 0. The number of entries when the fault is behind the list.
        entry: usize,
        /// Key of the field, or `nodes` outside of any node.
        field: &'static str,
        /// What is wrong, in words.
        reason: &'static str,
    },
    /// A name that no directory may hold there.
    #[error(transparent)]
    Entry(#[from] TreeProblem),
}

/// An entry of a tree whose name is wrong, or wrong in its place. Reading can go on behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree's entry {entry}, `{}`, {problem}", name.escape_ascii())]
pub struct TreeProblem {
    /// Place in the list, from 0.
    pub entry: usize,
    /// The name, as bytes.
    pub name: Vec<u8>,
    /// What is wrong with it.
    pub problem: NameProblem,
}

/// Why a name is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameProblem {
    /// No byte at all.
    Empty,
    /// `.` or `..`, which lead elsewhere.
    Dots,
    /// It holds a `/`, so that it would lead elsewhere.
    Slash,
    /// It holds a byte 0, which no filesystem takes.
    Nul,
    /// The entry before has the same name.
    Duplicate,
    /// It belongs before the entry that comes before it.
    Unsorted,
}

impl NameProblem {
    /// What is wrong with a name by itself.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        match name {
            [] => Some(Self::Empty),
            b"." | b".." => Some(Self::Dots),
            _ if name.contains(&b'/') => Some(Self::Slash),
            _ if name.contains(&0) => Some(Self::Nul),
            _ => None,
        }
    }

    /// What is wrong with a name behind another one.
    pub fn of_order(previous: Option<&[u8]>, name: &[u8]) -> Option<Self> {
        match previous.map(|previous| previous.cmp(name))? {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(Self::Duplicate),
            std::cmp::Ordering::Greater => Some(Self::Unsorted),
        }
    }
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "has no name",
            Self::Dots => "would lead out of its directory",
            Self::Slash => "has a slash in its name",
            Self::Nul => "has a zero byte in its name",
            Self::Duplicate => "has the name of the entry before it",
            Self::Unsorted => "is not in the order of names",
        })
    }
}
