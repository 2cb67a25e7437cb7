//! Disks over the block protocol: where the server listens, with which certificates, and the app's port to it.
//!
//! The Unix socket lies beside the program's own. TCP is plain on loopback only. Other machines come in with TLS and a
//! certificate of their own: whoever is let in may read and write every disk.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tintype_app::{App, AppError, AppResult, DiskServer, DiskUris, ExportId};
use tintype_model::VolumeName;
use tintype_nbd::{Exports, Identity, Limits, Listener, NbdError, Server, TlsMode};

use crate::disks::DiskExports;
use crate::listen::{bind_unix, parse_address};
use crate::run::{taken, unavailable};

/// How long clients that are let go may take to get the answers to what they had asked.
const GRACE: Duration = Duration::from_secs(5);

/// Files with what TLS needs, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, and those that lead from it to an authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities that have signed the certificates of clients. Without it clients need none.
    pub client_ca: Option<PathBuf>,
    /// What the options that name them begin with: `--nbd`, `--tls`.
    pub option: &'static str,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, holds something else, has expired, or does not fit the others.
    pub fn load(&self) -> AppResult<Identity> {
        let cert = read(&self.cert, "read the certificate")?;
        let key = read(&self.key, "read the key")?;
        let authority =
            self.client_ca.as_deref().map(|path| read(path, "read the client authority"));
        let authority = authority.transpose()?;
        Identity::from_pem(&cert, &key, authority.as_deref()).map_err(|error| self.name(&error))
    }

    fn name(&self, error: &NbdError) -> AppError {
        let NbdError::Tls { what, detail } = error else { return unavailable(error) };
        let (path, option) = match (*what, &self.client_ca) {
            ("key", _) => (&self.key, "key"),
            ("client authority", Some(path)) => (path, "client-ca"),
            _ => (&self.cert, "cert"),
        };
        AppError::invalid(
            format!("file {}", path.display()),
            format!("cannot be used as TLS {what}: {detail}"),
            format!("Give {}-{option} a PEM file with a valid one.", self.option),
        )
    }
}

fn read(path: &Path, doing: &str) -> AppResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| AppError {
        remedy: "Check the path, and that the server's user may read it.".to_owned(),
        ..AppError::io(path, doing, &error)
    })
}

/// Reads `ADDR:PORT` for disks. What other machines can reach needs `tls` with certificates of clients.
///
/// # Errors
/// It is no address, or everybody could read and write all disks there.
pub fn parse_listen_disks(text: &str, tls: Option<&TlsFiles>) -> AppResult<SocketAddr> {
    let address = parse_address(text, "127.0.0.1:10809")?;
    if address.ip().is_loopback() || tls.is_some_and(|tls| tls.client_ca.is_some()) {
        return Ok(address);
    }
    let who = if tls.is_some() { "without a certificate of their own" } else { "without TLS" };
    Err(AppError::invalid(
        format!("address {text}"),
        format!("lets other machines read and write every disk {who}"),
        "Give --nbd-cert, --nbd-key and --nbd-client-ca, or listen on 127.0.0.1 or [::1].",
    ))
}

/// The server of disks, for as long as it lives.
pub(crate) struct Disks {
    server: Server,
    socket: PathBuf,
    /// `nbd://host:port` or `nbds://host:port`.
    network: Option<String>,
}

impl Disks {
    /// Serves the disks of `app` on `socket`, and on `address` if there is one.
    pub fn start(
        app: &Arc<App>,
        socket: PathBuf,
        address: Option<SocketAddr>,
        tls: Option<Identity>,
    ) -> AppResult<Arc<Self>> {
        let server = Server::start(Limits::default()).map_err(|e| unavailable(&e))?;
        let exports: Arc<dyn Exports> = Arc::new(DiskExports::new(Arc::clone(app)));
        let unix = Listener::Unix(bind_unix(&socket)?);
        server.listen(unix, Arc::clone(&exports), TlsMode::Off).map_err(|e| unavailable(&e))?;
        let mut network = None;
        if let Some(address) = address {
            let tcp = std::net::TcpListener::bind(address)
                .map_err(|e| taken(address, &e, "--listen-disks"))?;
            network = Some(uri(tcp.local_addr().unwrap_or(address), tls.is_some(), app.host()));
            let tls = tls.map_or(TlsMode::Off, TlsMode::Required);
            server.listen(Listener::Tcp(tcp), exports, tls).map_err(|e| unavailable(&e))?;
        }
        let disks = Arc::new(Self { server, socket, network });
        let port: Weak<dyn DiskServer> = Arc::downgrade(&(Arc::clone(&disks) as _));
        app.serve_disks(port);
        Ok(disks)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<String> {
        let unix = format!("nbd+unix:///?socket={}", self.socket.display());
        [unix].into_iter().chain(self.network.clone()).collect()
    }

    /// Lets all clients go and stops listening.
    pub fn stop(&self) {
        if self.server.stop(GRACE) > 0 {
            tracing::warn!("clients of disks were cut off: their requests did not end in time");
        }
        drop(std::fs::remove_file(&self.socket));
    }
}

impl DiskServer for Disks {
    fn uris(&self, disk: &VolumeName) -> DiskUris {
        let name = escaped(disk.as_str().as_bytes());
        // The socket's path is a part of a query: what ends one or begins another is escaped, `/` may stay.
        let socket = escaped(self.socket.as_os_str().as_encoded_bytes()).replace("%2F", "/");
        DiskUris {
            local: format!("nbd+unix:///{name}?socket={socket}"),
            network: self.network.as_ref().map(|network| format!("{network}/{name}")),
        }
    }

    fn clients(&self, exports: &[ExportId]) -> usize {
        exports.iter().map(|id| self.server.clients(&id.to_string())).sum()
    }

    fn connections(&self) -> u64 {
        self.server.status().iter().map(|export| export.connections).sum()
    }

    fn close(&self, exports: &[ExportId]) -> usize {
        let ids: HashSet<String> = exports.iter().map(ExportId::to_string).collect();
        self.server.close(&|id| ids.contains(id), GRACE)
    }

    fn close_all(&self) {
        self.server.close(&|_| true, GRACE);
    }
}

/// Where clients find a listener. One that takes any address is found by the machine's name.
fn uri(bound: SocketAddr, tls: bool, host: &str) -> String {
    let scheme = if tls { "nbds" } else { "nbd" };
    if bound.ip().is_unspecified() {
        return format!("{scheme}://{host}:{}", bound.port());
    }
    format!("{scheme}://{bound}")
}

/// Bytes as one segment of a URI's path.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_certificates() {
        let mut tls =
            TlsFiles { cert: "c".into(), key: "k".into(), client_ca: None, option: "--nbd" };
        assert!(parse_listen_disks("127.0.0.1:0", None).is_ok());
        assert!(parse_listen_disks("[::1]:10809", Some(&tls)).is_ok());
        let plain = parse_listen_disks("0.0.0.0:10809", None).unwrap_err();
        assert!(plain.detail.contains("without TLS") && plain.remedy.contains("--nbd-cert"));
        let anybody = parse_listen_disks("0.0.0.0:10809", Some(&tls)).unwrap_err();
        assert!(anybody.detail.contains("certificate of their own"));
        tls.client_ca = Some("ca".into());
        assert!(parse_listen_disks("0.0.0.0:10809", Some(&tls)).is_ok());
    }

    #[test]
    fn uris_say_what_a_client_on_another_machine_can_use() {
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(uri(address("127.0.0.1:10809"), false, "m"), "nbd://127.0.0.1:10809");
        assert_eq!(uri(address("[::1]:1"), true, "m"), "nbds://[::1]:1");
        assert_eq!(uri(address("0.0.0.0:7"), true, "m"), "nbds://m:7");
        assert_eq!(escaped(b"a b&c/d"), "a%20b%26c%2Fd");
    }
}
