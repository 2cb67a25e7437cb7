//! The restic-format repository: encrypted, deduplicated backups that restic and rustic read, and theirs by us.
//!
//! Layers inside, each using only those before it:
//! ids and ciphers (`id`, `crypto`, `compress`), the forms of files (`config`, `keyfile`, `pack`, `index`, `tree`, `snapshot`), the
//! port to the place where files lie (`backend`), the open repository (`repository`), and what is done with it.
//!
//! It knows nothing of stores, volumes, servers or terminals. Formats follow restic's `doc/design.rst`, versions 1 and 2.

mod id;
mod json;
mod local;
mod tree;

pub use id::{BlobId, Id, IndexId, KeyId, LockId, NotAnId, PackId, SnapshotId};
pub use json::{GoTime, LocalZone, NotATime};
pub use local::{
    DeviceIds, EntryName, LocalDir, LocalError, LocalNode, LocalReader, LocalWarning, LocalWriter,
    NameCache, Names, Ownership, ReadOptions, Step, SystemNames, WriteOptions, create_dir,
    create_hard_link, create_special, create_symlink, open_dir,
};
pub use tree::{
    Damage, ExtendedAttribute, GoMode, NameProblem, Node, NodeKind, TreeDecoder, TreeEncoder,
    TreeError, TreeProblem, decode_tree, encode_tree, reencodes_identically,
};
