//! Trees: one blob per directory, a list of nodes as JSON, byte for byte as restic writes it.
//!
//! [`TreeEncoder`] writes, [`TreeDecoder`] reads one node after the other. How nodes come from and go to a filesystem is in
//! `local`; where tree blobs are stored is the repository's matter.

mod decode;
mod encode;
mod error;
mod field;
mod hex;
mod mode;
mod node;
mod read_node;

pub use decode::{TreeDecoder, decode_tree, reencodes_identically};
pub use encode::{TreeEncoder, encode_tree};
pub use error::{NameProblem, TreeError, TreeProblem};
pub use mode::GoMode;
pub use node::{Damage, ExtendedAttribute, Node, NodeKind};
