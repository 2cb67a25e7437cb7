//! The engine's pointer files: checked before the engine follows them.
//!
//! Each of its trees has a file `current` that names a version file, with that file's checksum. The engine does not verify
//! the checksum; it takes a tree without `current` for one that was never finished; and it removes the folder of a tree
//! that its own records do not name. So one wrong bit could show an empty store, or lose the tables. Here every tree
//! must be what its pointer says before the engine opens it.
//!
//! The form (engine format 3): `current` is the version `u64`, XXH3-128 of the version file `u128`, and `0`, little endian;
//! the version file is `v` and the number. It changes nothing. Safe because the engine syncs the version
//! file before the pointer, and replaces the pointer by rename.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::sound::damage;

/// Folder of the engine's trees.
pub(super) const TREES: &str = "keyspaces";
/// The trees of a store: the engine's own records, and ours.
const KNOWN: [&str; 2] = ["0", "1"];

/// Checks that both trees are there, and that every tree is what its pointer says.
pub(super) fn check(dir: &Path) -> io::Result<()> {
    KNOWN.iter().try_for_each(|name| check_tree(dir, name))
}

fn check_tree(dir: &Path, name: &str) -> io::Result<()> {
    let tree = dir.join(TREES).join(name);
    let shown = |file: &str| format!("{TREES}/{name}/{file}");
    let bad =
        |file: &str, what: &str| damage(dir, &format!("has a damaged {}: {what}", shown(file)));
    let pointer = read(&tree.join("current"))?.ok_or_else(|| bad("current", "it is missing"))?;
    let (version, sum) = parse(&pointer).ok_or_else(|| bad("current", "it is no pointer"))?;
    let file = format!("v{version}");
    let content = read(&tree.join(&file))?.ok_or_else(|| bad(&file, "it is missing"))?;
    if xxh3_128(&content) == sum {
        return Ok(());
    }
    Err(bad(&file, "its checksum is not the one in current"))
}

/// Version and checksum in a pointer file.
fn parse(bytes: &[u8]) -> Option<(u64, u128)> {
    let (version, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, kind) = rest.split_first_chunk::<16>()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*version), u128::from_le_bytes(*sum)))
}

/// The content of a file, if it is there.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
