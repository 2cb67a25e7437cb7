//! Folders of the source: opened, listed, and asked whether they are to be left out.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use super::{BackupOptions, Marker};

/// The text that begins the tag of a cache folder. Source: the Cache Directory Tagging specification.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Does a file in the folder say that it is to be left out?
pub(super) fn is_marked(options: &BackupOptions, fd: &OwnedFd) -> bool {
    let begins = |name: &Path, header: &[u8]| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(file) = openat(fd, name, flags, Mode::empty()) else { return false };
        let mut start = vec![0; header.len()];
        let read = if header.is_empty() { Ok(0) } else { rustix::io::read(&file, &mut start) };
        read.is_ok_and(|count| count == header.len() && start == header)
    };
    let present = |marker: &Marker| begins(&marker.name, &marker.header);
    options.if_present.iter().any(present)
        || options.caches && begins(Path::new("CACHEDIR.TAG"), CACHE_TAG)
}

/// The names in a folder, sorted: neighbours by name are mostly neighbours on disk, and entries come in the order of the parent's tree.
pub(super) fn names(fd: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// How folders are opened.
pub(super) fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK
}

/// The open folder that a path is in, and its name there.
pub(super) fn parent_of(path: &Path) -> std::result::Result<(Arc<OwnedFd>, CString), String> {
    use std::os::unix::ffi::OsStrExt;
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| "it has no name".to_owned())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(CWD, above, flags, Mode::empty()).map_err(|e| e.to_string())?;
    let name = CString::new(name.as_bytes()).map_err(|e| e.to_string())?;
    Ok((Arc::new(dir), name))
}
