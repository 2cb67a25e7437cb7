//! Where the store and the socket are when nobody says so.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{CliError, CliResult};

fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// `$XDG_RUNTIME_DIR/tintype/socket`; else `/run/tintype/socket` for root and
/// `/tmp/tintype-UID/socket` for others.
pub fn default_socket() -> PathBuf {
    socket_for(absolute("XDG_RUNTIME_DIR"), effective_uid())
}

fn socket_for(runtime: Option<PathBuf>, uid: u32) -> PathBuf {
    match (runtime, uid) {
        (Some(runtime), _) => runtime.join("tintype/socket"),
        (None, 0) => PathBuf::from("/run/tintype/socket"),
        (None, uid) => PathBuf::from(format!("/tmp/tintype-{uid}/socket")),
    }
}

/// Refuses a socket whose folder belongs to somebody else: `/tmp` is open to all.
pub fn check_socket_owner(socket: &Path) -> CliResult<()> {
    let Some(meta) = socket.parent().and_then(|dir| dir.symlink_metadata().ok()) else {
        return Ok(());
    };
    let ours = meta.uid() == effective_uid() || meta.uid() == 0;
    if ours || !socket.starts_with("/tmp") {
        return Ok(());
    }
    Err(CliError::failure(
        format!("socket {}: its folder belongs to another user", socket.display()),
        "Name the socket of your own server with --socket or TINTYPE_SOCKET.",
    ))
}

/// `$XDG_DATA_HOME/tintype/store`, else `~/.local/share/tintype/store`.
pub fn default_store() -> CliResult<PathBuf> {
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|dir| dir.join("tintype/store")).ok_or_else(|| {
        CliError::usage(
            "store: neither XDG_DATA_HOME nor HOME says where your data lies",
            "Name the folder of the store with --store DIR.",
        )
    })
}

/// `/etc/tintype/config.toml` for root, else `tintype/config.toml` in the folder of the user's configuration.
pub fn default_config() -> Option<PathBuf> {
    if effective_uid() == 0 {
        return Some(PathBuf::from("/etc/tintype/config.toml"));
    }
    let folder =
        absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("tintype/config.toml"))
}

/// The user that this process acts as.
pub fn effective_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid())
}

/// The name of the user, for the metadata of snapshots.
pub fn user_name() -> String {
    let named = |key| std::env::var_os(key).and_then(|name: OsString| name.into_string().ok());
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = effective_uid().to_string();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    found.or_else(|| named("USER")).unwrap_or(uid)
}

/// The name of this machine, for the metadata of snapshots.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A path that means the same to the server, and that JSON can carry.
pub fn to_server(path: &Path) -> CliResult<PathBuf> {
    if path.to_str().is_none() {
        return Err(CliError::usage(
            format!("path {}: is not UTF-8", path.display()),
            "Choose a folder with another name.",
        ));
    }
    std::path::absolute(path).map_err(|error| {
        CliError::usage(
            format!("path {}: cannot be made absolute: {error}", path.display()),
            "Write an absolute path.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_json_cannot_carry_are_refused() {
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"a\xff"));
        let error = to_server(odd).unwrap_err();
        assert_eq!((error.status, error.message.contains("is not UTF-8")), (2, true));
        assert!(to_server(Path::new("a b")).unwrap().is_absolute());
    }

    #[test]
    fn the_socket_is_per_user() {
        assert_eq!(
            socket_for(Some("/run/user/5".into()), 5),
            Path::new("/run/user/5/tintype/socket")
        );
        assert_eq!(socket_for(None, 0), Path::new("/run/tintype/socket"));
        assert_eq!(socket_for(None, 7), Path::new("/tmp/tintype-7/socket"));
    }
}
