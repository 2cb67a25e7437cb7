//! Names that are safe to use, and what goes wrong between nodes and files.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::tree::NameProblem;

/// The name of an entry in a directory: not empty, no slash, no zero byte, not `.` and not `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryName(CString);

impl EntryName {
    /// Checks the bytes.
    pub fn new(name: &[u8]) -> Result<Self, LocalError> {
        let refused = |problem| LocalError::Name { name: name.to_vec(), problem };
        match NameProblem::of_name(name) {
            Some(problem) => Err(refused(problem)),
            None => CString::new(name).map(Self).map_err(|_| refused(NameProblem::Nul)),
        }
    }

    /// For system calls.
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// An entry that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A system call failed.
    #[error("{step} of `{}`: {source}", name.escape_ascii())]
    System {
        /// What was being done.
        step: Step,
        /// Name of the entry in its directory.
        name: Vec<u8>,
        /// The system's answer.
        source: io::Error,
    },
    /// The name cannot be that of an entry.
    #[error("`{}` {problem}", name.escape_ascii())]
    Name {
        /// The bytes.
        name: Vec<u8>,
        /// What is wrong with them.
        problem: NameProblem,
    },
    /// There is something of another type than the node's: somebody has replaced it.
    #[error("`{}` is not the {expected} that it should be: something else took its place", name.escape_ascii())]
    Replaced {
        /// Name of the entry in its directory.
        name: Vec<u8>,
        /// Type of the node, as in trees.
        expected: String,
    },
    /// The node is of a type that cannot be made like this.
    #[error("`{}` is of the type `{kind}`, which cannot be made here", name.escape_ascii())]
    Kind {
        /// Name of the entry in its directory.
        name: Vec<u8>,
        /// Type of the node, as in trees.
        kind: String,
    },
}

impl LocalError {
    pub(crate) fn system(step: Step, name: &[u8], errno: Errno) -> Self {
        Self::System { step, name: name.to_vec(), source: errno.into() }
    }

    /// The system's answer, if it was one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A part of the metadata that could not be read or set. The entry is there without it.
#[derive(Debug, thiserror::Error)]
#[error("{step} of `{}`{}: {source}", name.escape_ascii(), attribute_text(attribute))]
pub struct LocalWarning {
    /// What was being done.
    pub step: Step,
    /// Name of the entry in its directory; empty where only a file handle was given.
    pub name: Vec<u8>,
    /// Name of the extended attribute, empty for everything else.
    pub attribute: Vec<u8>,
    /// The system's answer.
    pub source: io::Error,
}

fn attribute_text(attribute: &[u8]) -> String {
    if attribute.is_empty() { String::new() } else { format!(" ({})", attribute.escape_ascii()) }
}

/// What was being done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Asking for its metadata.
    Stat,
    /// Reading where a symlink leads.
    ReadLink,
    /// Listing or reading extended attributes.
    ReadAttributes,
    /// Opening it.
    Open,
    /// Making it.
    Create,
    /// Setting owner and group.
    Owner,
    /// Setting or removing an extended attribute.
    Attribute,
    /// Setting the permissions.
    Mode,
    /// Setting the times.
    Times,
    /// Writing the content.
    Write,
    /// Removing it.
    Remove,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stat => "reading the metadata",
            Self::ReadLink => "reading the target",
            Self::ReadAttributes => "reading the extended attributes",
            Self::Open => "opening",
            Self::Create => "creation",
            Self::Owner => "setting the owner",
            Self::Attribute => "setting the extended attributes",
            Self::Mode => "setting the permissions",
            Self::Times => "setting the times",
            Self::Write => "writing",
            Self::Remove => "removal",
        })
    }
}
