//! Where the paths of a backup stand in its tree.
//!
//! An absolute path keeps all its components, a relative one what was typed, without `.` and `..`. Folders above a path are saved with their
//! metadata, without their other entries. A path below another one is part of it. Of two that would stand at one place the second gets a suffix, `-1`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// A folder or target of the tree's upper part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Root {
    /// Where it is in the filesystem.
    pub path: PathBuf,
    /// It is to be saved whole.
    pub target: bool,
    /// Otherwise only these below it.
    pub below: BTreeMap<Vec<u8>, Root>,
}

/// The upper part of the tree for these paths.
pub(super) fn roots<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Root {
    let mut top = Root::default();
    for path in paths {
        place(&mut top, path);
    }
    top
}

fn place(top: &mut Root, path: &Path) {
    let mut at = top;
    // Where the components so far lead, `..` included.
    let mut here = PathBuf::new();
    for component in path.components() {
        here.push(component);
        let Component::Normal(name) = component else { continue };
        if at.target {
            return;
        }
        let name = free_name(at, name.to_owned().into_vec(), &here);
        at = at.below.entry(name).or_default();
        at.path.clone_from(&here);
    }
    if here.as_os_str().is_empty() {
        here.push(".");
    }
    at.path = here;
    at.target = true;
    at.below.clear();
}

/// The name, with a suffix when another path stands there already.
fn free_name(at: &Root, name: Vec<u8>, path: &Path) -> Vec<u8> {
    let taken = |name: &[u8]| at.below.get(name).is_some_and(|other| other.path != path);
    let mut free = name.clone();
    let mut number = 0;
    while taken(&free) {
        number += 1;
        free.clone_from(&name);
        free.extend_from_slice(format!("-{number}").as_bytes());
    }
    free
}

/// A name as a part of a path.
pub(super) fn os(name: &[u8]) -> OsString {
    OsString::from_vec(name.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(root: &Root, indent: usize, out: &mut String) {
        for (name, below) in &root.below {
            let mark = if below.target { " *" } else { "" };
            *out += &format!("{}{}{mark}\n", " ".repeat(indent), String::from_utf8_lossy(name));
            shown(below, indent + 1, out);
        }
    }

    fn check(paths: &[&str], wanted: &str) {
        let mut out = String::new();
        shown(&roots(paths.iter().map(Path::new)), 0, &mut out);
        assert_eq!(out, wanted);
    }

    #[test]
    fn paths_find_their_place() {
        check(&["/a/x/src"], "a\n x\n  src *\n");
        check(&["/a/x", "/a"], "a *\n");
        check(&["/a", "/a/x"], "a *\n");
        check(&["src", "./doc/../man"], "doc\n man *\nsrc *\n");
        check(&["x", "../x"], "x *\nx-1 *\n");
        assert!(roots([Path::new("/")]).target);
        let here = roots([Path::new(".")]);
        assert!(here.target && here.path == Path::new("."));
    }
}
