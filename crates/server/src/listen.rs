//! Sockets: the Unix socket with mode 0600, and the TCP address.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tintype_app::{AppError, AppResult, ErrorKind};

/// Longest path that fits into a socket address.
const SOCKET_PATH_MAX: usize = 107;

/// Reads `ADDR:PORT`. What other machines can reach must be `private`: encrypted, or said not to be in so many words.
pub fn parse_listen(text: &str, private: bool) -> AppResult<SocketAddr> {
    let address = parse_address(text, "127.0.0.1:8400")?;
    if private || address.ip().is_loopback() {
        return Ok(address);
    }
    Err(AppError::invalid(
        format!("address {text}"),
        "can be reached from other machines, which would send passwords and tokens in the clear",
        "Give --tls-cert and --tls-key, or --tls-self-signed; or say --insecure-listen where something in front encrypts.",
    ))
}

/// Reads `ADDR:PORT`.
pub(crate) fn parse_address(text: &str, example: &str) -> AppResult<SocketAddr> {
    text.parse().map_err(|_| {
        let remedy = format!("Write for example {example}.");
        AppError::invalid(format!("address {text}"), "is not ADDR:PORT", remedy)
    })
}

/// Listens on `path`, replacing the socket of a server that is gone.
///
/// The socket is made in a folder that only we can enter, gets its mode there and is then moved into place: at no
/// moment can others connect.
pub fn bind_unix(path: &Path) -> AppResult<UnixListener> {
    if path.as_os_str().len() > SOCKET_PATH_MAX - 12 {
        return Err(AppError::invalid(
            format!("socket {}", path.display()),
            "has a path that is too long for a socket",
            "Choose a path of at most 95 bytes with --socket.",
        ));
    }
    make_parent(path)?;
    refuse_taken(path)?;
    bind_private(path).map_err(|e| AppError::io(path, "make the socket", &e))
}

/// Refuses a socket on which somebody listens.
pub(crate) fn refuse_taken(path: &Path) -> AppResult<()> {
    if UnixStream::connect(path).is_err() {
        return Ok(());
    }
    Err(AppError::new(
        ErrorKind::Busy,
        format!("socket {}", path.display()),
        "another server listens on it",
        "Choose another one with --socket, or stop that server with `tintype down`.",
    ))
}

fn make_parent(path: &Path) -> AppResult<()> {
    let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|e| AppError::io(parent, "make the folder of the socket", &e))
}

fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    let mut private = path.as_os_str().to_owned();
    private.push(".new");
    let private = Path::new(&private);
    fs::remove_dir_all(private).or_else(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    })?;
    fs::DirBuilder::new().mode(0o700).create(private)?;
    let inner = private.join("s");
    let listener = UnixListener::bind(&inner)?;
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o600))?;
    fs::rename(&inner, path)?;
    fs::remove_dir(private)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_listened_to_with_encryption_only() {
        assert!(parse_listen("127.0.0.1:0", false).is_ok());
        assert!(parse_listen("[::1]:8400", false).is_ok());
        let error = parse_listen("0.0.0.0:8400", false).unwrap_err();
        assert!(error.detail.contains("other machines") && error.remedy.contains("--tls-cert"));
        assert!(parse_listen("0.0.0.0:8400", true).is_ok());
        assert!(parse_listen("localhost", true).is_err());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/socket");
        drop(bind_unix(&path).unwrap());
        let live = bind_unix(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(bind_unix(&path).unwrap_err().kind, ErrorKind::Busy);
        drop(live);
    }
}
