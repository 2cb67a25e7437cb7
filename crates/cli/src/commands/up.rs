//! `tintype up`: the server in the foreground.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tintype_app::AppOptions;
use tintype_model::SnapshotLimits;
use tintype_server::{
    FuseMounter, ListenTls, Ready, ServeOptions, TlsFiles, parse_listen, parse_listen_disks, serve,
};

use crate::error::{CliError, CliResult};
use crate::notice::notice;
use crate::options::{Global, Transport};
use crate::{log, output, paths};

/// Options of `up`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the store; made when it is not there (default: tintype/store in the user's data folder)
    #[arg(long, value_name = "DIR", env = "TINTYPE_STORE")]
    store: Option<PathBuf>,
    /// Also listen on this address, for users with tokens; port 0 takes any free one. Other than loopback only with TLS
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Encrypt what goes over it: PEM file with the server's certificate, and those between it and an authority
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "listen")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Encrypt what goes over it with a certificate that the server makes itself and keeps in the store's folder
    #[arg(long, requires = "listen", conflicts_with = "tls_cert")]
    tls_self_signed: bool,
    /// Listen on any address without TLS: only where something in front encrypts
    #[arg(long, requires = "listen", conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    insecure_listen: bool,
    /// Also serve disks to NBD clients on this address; other than loopback only with all of --nbd-cert, --nbd-key and
    /// --nbd-client-ca
    #[arg(long, value_name = "ADDR:PORT")]
    listen_disks: Option<String>,
    /// Serve disks there with TLS only: PEM file with the server's certificate, and those between it and an authority
    #[arg(long, value_name = "FILE", requires = "nbd_key", requires = "listen_disks")]
    nbd_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE", requires = "nbd_cert")]
    nbd_key: Option<PathBuf>,
    /// Let in only NBD clients with a certificate that an authority in this PEM file has signed
    #[arg(long, value_name = "FILE", requires = "nbd_cert")]
    nbd_client_ca: Option<PathBuf>,
    /// How the kernel reaches the server
    #[arg(long, value_name = "WHICH", default_value = "auto", env = "TINTYPE_TRANSPORT")]
    transport: Transport,
    /// Accept at most TOTAL snapshots, writable ones counting once, and WEIGHTED, writable ones counting twice;
    /// "off" for no limit. Kept in the store
    #[arg(long, value_name = "TOTAL,WEIGHTED|off", value_parser = parse_limits)]
    snapshot_limits: Option<SnapshotLimits>,
}

fn parse_limits(text: &str) -> Result<SnapshotLimits, String> {
    if text == "off" {
        return Ok(SnapshotLimits::NONE);
    }
    let pair = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    pair.map(|(total, weighted)| SnapshotLimits { total, weighted })
        .ok_or_else(|| "write two numbers, for example 24576,28672, or off".to_owned())
}

impl Args {
    fn tls_files(&self) -> Option<TlsFiles> {
        let (cert, key) = (self.nbd_cert.clone()?, self.nbd_key.clone()?);
        Some(TlsFiles { cert, key, client_ca: self.nbd_client_ca.clone(), option: "--nbd" })
    }

    fn listen_tls(&self) -> ListenTls {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => ListenTls::Files(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: None,
                option: "--tls",
            }),
            _ if self.tls_self_signed => ListenTls::SelfSigned,
            _ => ListenTls::Off,
        }
    }

    /// Whether no other machine can listen in, or the user has said that it does not matter.
    fn private(&self) -> bool {
        self.tls_cert.is_some() || self.tls_self_signed || self.insecure_listen
    }
}

/// What `up --json` prints when it is ready.
#[derive(Debug, Serialize)]
struct ReadyLine {
    ready: bool,
    pid: u32,
    store: PathBuf,
    socket: PathBuf,
    listen: Option<String>,
    problems: Vec<String>,
}

/// Runs until a signal or `tintype down`.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    log::start();
    let socket = global.socket();
    paths::check_socket_owner(&socket)?;
    let disk_tls = args.tls_files();
    let (listen_tls, private) = (args.listen_tls(), args.private());
    let store = args.store.map_or_else(paths::default_store, Ok)?;
    let options = ServeOptions {
        app: AppOptions {
            store: paths::to_server(&store)?,
            create: true,
            snapshot_limits: args.snapshot_limits,
            user: paths::user_name(),
        },
        socket: paths::to_server(&socket)?,
        listen: args.listen.as_deref().map(|text| parse_listen(text, private)).transpose()?,
        listen_tls,
        listen_disks: args
            .listen_disks
            .as_deref()
            .map(|text| parse_listen_disks(text, disk_tls.as_ref()))
            .transpose()?,
        disk_tls,
    };
    let mounter = Arc::new(FuseMounter::new(args.transport.into()));
    let json = global.json;
    let mut printed = Ok(());
    serve(options, mounter, |ready| printed = announce(ready, json)).map_err(CliError::from)?;
    printed
}

fn announce(ready: &Ready, json: bool) -> CliResult<()> {
    let listen = ready.listen.clone();
    if let Some(path) = &ready.admin_secret {
        let path = path.display();
        notice(&format!("the user admin was made for --listen; its secret lies in {path}"));
    }
    if let Some(path) = &ready.certificate {
        notice(&format!("clients trust this server with --ca {}", path.display()));
    }
    for problem in &ready.problems {
        notice(problem);
    }
    if json {
        return output::json(&ReadyLine {
            ready: true,
            pid: std::process::id(),
            store: ready.store.clone(),
            socket: ready.socket.clone(),
            listen,
            problems: ready.problems.clone(),
        });
    }
    let also = listen.map_or_else(String::new, |address| format!(", {address}"));
    output::line(&format!(
        "ready: socket {}{also}, store {}",
        ready.socket.display(),
        ready.store.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        assert_eq!(parse_limits("off").unwrap(), SnapshotLimits::NONE);
        assert_eq!(parse_limits("24576,28672").unwrap(), SnapshotLimits::default());
        assert!(parse_limits("5").is_err());
    }
}
