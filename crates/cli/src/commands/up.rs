//! `tintype up`: the server in the foreground.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;
use tintype_app::AppOptions;
use tintype_model::SnapshotLimits;
use tintype_server::{
    FuseMounter, ListenTls, Ready, RecentLog, ServeOptions, TlsFiles, parse_listen,
    parse_listen_disks, serve,
};

use crate::config::Config;
use crate::error::{CliError, CliResult};
use crate::notice::notice;
use crate::options::{Global, Transport};
use crate::{log, output, paths};

/// Options of `up`. What is absent may stand in the configuration file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Read a configuration file (default: $TINTYPE_CONFIG, else tintype/config.toml in the user's configuration folder, if it is there)
    #[arg(long, value_name = "FILE", env = "TINTYPE_CONFIG")]
    config: Option<PathBuf>,
    /// Folder of the store; made when it is not there (default: tintype/store in the user's data folder)
    #[arg(long, value_name = "DIR", env = "TINTYPE_STORE")]
    store: Option<PathBuf>,
    /// Also listen on this address, for users with tokens; port 0 takes any free one. Other than loopback only with TLS
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    listen_tls: ListenTlsArgs,
    /// Also serve disks to NBD clients on this address; other than loopback only with all of --nbd-cert, --nbd-key and
    /// --nbd-client-ca
    #[arg(long, value_name = "ADDR:PORT")]
    listen_disks: Option<String>,
    #[command(flatten)]
    disk_tls: DiskTlsArgs,
    /// How the kernel reaches the server (default: auto)
    #[arg(long, value_name = "WHICH", env = "TINTYPE_TRANSPORT")]
    transport: Option<Transport>,
    /// Accept at most TOTAL snapshots, writable ones counting once, and WEIGHTED, writable ones counting twice;
    /// "off" for no limit. Kept in the store
    #[arg(long, value_name = "TOTAL,WEIGHTED|off", value_parser = parse_limits)]
    snapshot_limits: Option<SnapshotLimits>,
    /// What is logged: a level, or TARGET=LEVEL with commas between them; "warn,access=info" adds a line per request (default: warn)
    #[arg(long, value_name = "FILTER", env = "TINTYPE_LOG")]
    log: Option<String>,
    /// How a line of the log looks (default: text)
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<log::Format>,
}

/// How what goes over the network is encrypted: one choice.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
struct ListenTlsArgs {
    /// Encrypt what goes over it: PEM file with the server's certificate, and those between it and an authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Encrypt what goes over it with a certificate that the server makes itself and keeps in the store's folder
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
    /// Listen on any address without TLS: only where something in front encrypts
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    insecure_listen: bool,
}

/// The same for disks.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
struct DiskTlsArgs {
    /// Serve disks there with TLS only: PEM file with the server's certificate, and those between it and an authority
    #[arg(long, value_name = "FILE", requires = "nbd_key")]
    nbd_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE", requires = "nbd_cert")]
    nbd_key: Option<PathBuf>,
    /// Let in only NBD clients with a certificate that an authority in this PEM file has signed
    #[arg(long, value_name = "FILE", requires = "nbd_cert")]
    nbd_client_ca: Option<PathBuf>,
}

fn parse_limits(text: &str) -> Result<SnapshotLimits, String> {
    if text == "off" {
        return Ok(SnapshotLimits::NONE);
    }
    let pair = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    pair.map(|(total, weighted)| SnapshotLimits { total, weighted })
        .ok_or_else(|| "write two numbers, for example 24576,28672, or off".to_owned())
}

impl ListenTlsArgs {
    fn of(config: &Config) -> Self {
        Self {
            tls_cert: config.path("listen.tls_cert"),
            tls_key: config.path("listen.tls_key"),
            tls_self_signed: config.flag("listen.tls_self_signed"),
            insecure_listen: config.flag("listen.insecure"),
        }
    }

    /// The choice, and whether no other machine can listen in, or the user has said that it does not matter.
    fn choice(&self) -> CliResult<(ListenTls, bool)> {
        let private = *self != Self::default();
        let one = |tls| Ok((tls, private));
        match (&self.tls_cert, &self.tls_key, self.tls_self_signed, self.insecure_listen) {
            (None, None, false, _) => one(ListenTls::Off),
            (None, None, true, false) => one(ListenTls::SelfSigned),
            (Some(cert), Some(key), false, false) => one(ListenTls::Files(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: None,
                option: "--tls",
            })),
            _ => Err(CliError::usage(
                "listen: TLS is chosen by halves or twice",
                "Give a certificate with its key, or tls_self_signed, or insecure: one of them.",
            )),
        }
    }
}

impl DiskTlsArgs {
    fn of(config: &Config) -> Self {
        Self {
            nbd_cert: config.path("disks.tls_cert"),
            nbd_key: config.path("disks.tls_key"),
            nbd_client_ca: config.path("disks.client_ca"),
        }
    }

    fn files(&self) -> CliResult<Option<TlsFiles>> {
        match (&self.nbd_cert, &self.nbd_key) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: self.nbd_client_ca.clone(),
                option: "--nbd",
            })),
            (None, None) if self.nbd_client_ca.is_none() => Ok(None),
            _ => Err(CliError::usage(
                "disks: TLS is chosen by halves",
                "Give a certificate with its key; an authority for clients needs both.",
            )),
        }
    }
}

impl Args {
    /// With what the file says where the command line says nothing.
    pub fn under(mut self, config: &Config) -> CliResult<Self> {
        self.store = self.store.or_else(|| config.path("store"));
        self.listen = self.listen.or_else(|| config.text("listen.address").map(str::to_owned));
        if self.listen_tls == ListenTlsArgs::default() {
            self.listen_tls = ListenTlsArgs::of(config);
        }
        let disks = || config.text("disks.address").map(str::to_owned);
        self.listen_disks = self.listen_disks.or_else(disks);
        if self.disk_tls == DiskTlsArgs::default() {
            self.disk_tls = DiskTlsArgs::of(config);
        }
        let transport = config.parsed("transport", |text| Transport::from_str(text, false))?;
        self.transport = self.transport.or(transport);
        let limits = config.parsed("snapshot_limits", parse_limits)?;
        self.snapshot_limits = self.snapshot_limits.or(limits);
        self.log = self.log.or_else(|| config.text("log.filter").map(str::to_owned));
        let format = config.parsed("log.format", |text| log::Format::from_str(text, false))?;
        self.log_format = self.log_format.or(format);
        Ok(self)
    }

    /// As the server takes them.
    pub fn options(&self, global: &Global, config: &Config) -> CliResult<ServeOptions> {
        let named = global.named_socket().or_else(|| config.path("socket"));
        let socket = named.unwrap_or_else(paths::default_socket);
        paths::check_socket_owner(&socket)?;
        let (listen_tls, private) = self.listen_tls.choice()?;
        let disk_tls = self.disk_tls.files()?;
        needs("--listen", self.listen.is_none() && private)?;
        needs("--listen-disks", self.listen_disks.is_none() && disk_tls.is_some())?;
        let listen = self.listen.as_deref().map(|text| parse_listen(text, private));
        let disks = self.listen_disks.as_deref();
        let disks = disks.map(|text| parse_listen_disks(text, disk_tls.as_ref()));
        let store = self.store.clone().map_or_else(paths::default_store, Ok)?;
        Ok(ServeOptions {
            app: AppOptions {
                store: paths::to_server(&store)?,
                create: true,
                snapshot_limits: self.snapshot_limits,
                user: paths::user_name(),
            },
            socket: paths::to_server(&socket)?,
            listen: listen.transpose()?,
            listen_tls,
            listen_disks: disks.transpose()?,
            disk_tls,
            log: RecentLog::default(),
        })
    }
}

fn needs(option: &str, missing: bool) -> CliResult<()> {
    if !missing {
        return Ok(());
    }
    Err(CliError::usage(
        format!("TLS is chosen, and there is no {option}"),
        format!("Say where to listen with {option}, or leave the certificates away."),
    ))
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
    let config = Config::find(args.config.as_deref())?;
    let args = args.under(&config)?;
    let log = log::serve(args.log.as_deref(), args.log_format.unwrap_or_default())?;
    let options = ServeOptions { log, ..args.options(global, &config)? };
    let transport = args.transport.unwrap_or(Transport::Auto);
    let mounter = Arc::new(FuseMounter::new(transport.into()));
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

    #[test]
    fn the_command_line_goes_before_the_file_and_certificates_need_an_address() {
        use clap::Parser;

        #[derive(clap::Parser)]
        struct Up {
            #[command(flatten)]
            args: Args,
            #[command(flatten)]
            global: Global,
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let text = "store = \"s\"\nsocket = \"k\"\n[listen]\naddress = \"127.0.0.1:1\"\ntls_self_signed = true\n";
        std::fs::write(&file, text).unwrap();
        let config = Config::read(&file).unwrap();
        let options = |config: &Config, line: &str| {
            let up = Up::parse_from(std::iter::once("up").chain(line.split_whitespace()));
            up.args.under(config).and_then(|args| args.options(&up.global, config))
        };
        let of_file = options(&config, "").unwrap();
        assert_eq!(
            (of_file.listen.unwrap().port(), &of_file.listen_tls),
            (1, &ListenTls::SelfSigned)
        );
        assert_eq!(of_file.socket, dir.path().join("k"));
        let over = options(&config, "--listen 127.0.0.1:2 --insecure-listen --socket /o").unwrap();
        assert_eq!((over.listen.unwrap().port(), &over.listen_tls), (2, &ListenTls::Off));
        assert_eq!(
            (over.socket.as_path(), over.app.store),
            (std::path::Path::new("/o"), dir.path().join("s"))
        );
        let none = Config::default();
        assert_eq!(options(&none, "--store s --tls-self-signed").unwrap_err().status, 2);
        assert_eq!(options(&none, "--store s --nbd-cert c --nbd-key k").unwrap_err().status, 2);
    }
}
