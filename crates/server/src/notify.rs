//! Tells the service manager how the server is: systemd's protocol, a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! Without the variable nothing is told. Nothing depends on whether it was heard.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server answers.
pub fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}\nMAINPID={}\n", std::process::id()));
}

/// The server ends.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=flushing and unmounting\n");
}

fn tell(message: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(socket.as_bytes(), message) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

fn send(socket: &[u8], message: &str) -> std::io::Result<()> {
    let address = match socket.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(socket))?,
    };
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_on_paths_and_abstract_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let heard = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1\n").unwrap();
        let name = format!("tintype-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let also = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), "READY=1\n").unwrap();
        for socket in [heard, also] {
            let mut bytes = [0; 32];
            let count = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..count], b"READY=1\n");
        }
        assert!(send(b"/nothing/here", "x").is_err());
    }
}
