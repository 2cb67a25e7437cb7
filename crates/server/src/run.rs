//! The life of a server: open, mount, listen, say that it is ready, wait for the end, close.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn;
use tintype_app::{App, AppError, AppOptions, AppResult, ErrorKind, Mounter};
use tintype_nbd::Identity;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::api::{Shared, Support, Wake, router};
use crate::certificate;
use crate::connections::{self, Door};
use crate::disk_server::{Disks, TlsFiles};
use crate::guard::own_pages_only;
use crate::listen::{bind_unix, refuse_taken};
use crate::notify;
use crate::recent::RecentLog;

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// How the store is opened.
    pub app: AppOptions,
    /// The Unix socket.
    pub socket: PathBuf,
    /// The TCP address, already checked by [`crate::parse_listen`].
    pub listen: Option<SocketAddr>,
    /// Whether what goes over it is encrypted.
    pub listen_tls: ListenTls,
    /// The TCP address of disks, already checked by [`crate::parse_listen_disks`]; their Unix socket lies beside the other one.
    pub listen_disks: Option<SocketAddr>,
    /// Certificates for it; without them it is plain.
    pub disk_tls: Option<TlsFiles>,
    /// The last lines of the log.
    pub log: RecentLog,
}

impl ServeOptions {
    /// What it was started with, for people who are asked for help. None of it is a secret: certificates and keys are named only.
    fn settings(&self) -> serde_json::Value {
        serde_json::json!({
            "store": self.app.store,
            "socket": self.socket,
            "listen": self.listen,
            "listen_tls": format!("{:?}", self.listen_tls),
            "listen_disks": self.listen_disks,
            "disk_tls": self.disk_tls.is_some(),
        })
    }

    /// The Unix socket of disks.
    #[must_use]
    pub fn disk_socket(&self) -> PathBuf {
        let mut path = self.socket.clone().into_os_string();
        path.push(".nbd");
        path.into()
    }
}

/// How the API is encrypted on TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListenTls {
    /// Not at all.
    #[default]
    Off,
    /// With these certificates.
    Files(TlsFiles),
    /// With one of the server's own making, in the store's folder.
    SelfSigned,
}

impl ListenTls {
    fn acceptor(&self, app: &App) -> AppResult<Option<TlsAcceptor>> {
        let identity = match self {
            Self::Off => return Ok(None),
            Self::Files(files) => files.load()?,
            Self::SelfSigned => certificate::own(app.store_path(), app.host())?.load()?,
        };
        Ok(Some(TlsAcceptor::from(identity.config())))
    }
}

/// Where a server that is ready can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The folder of the store.
    pub store: PathBuf,
    /// The Unix socket.
    pub socket: PathBuf,
    /// The TCP address as a URL, with the port that was given.
    pub listen: Option<String>,
    /// The certificate of the server's own making, for clients.
    pub certificate: Option<PathBuf>,
    /// Where the secret of the first administrator lies, when it was made now.
    pub admin_secret: Option<PathBuf>,
    /// What could not be mounted.
    pub problems: Vec<String>,
}

/// How long requests may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until a signal or a shutdown request comes, then flushes, unmounts and closes.
///
/// `ready` is called once, when requests are answered.
pub fn serve(
    options: ServeOptions,
    mounter: Arc<dyn Mounter>,
    ready: impl FnOnce(&Ready),
) -> AppResult<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| unavailable(&e))?;
    let result = runtime.block_on(run(options, mounter, ready));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(
    options: ServeOptions,
    mounter: Arc<dyn Mounter>,
    ready: impl FnOnce(&Ready),
) -> AppResult<()> {
    // Before anything is mounted: a signal from now on ends us in order.
    let mut ends = Ends::new()?;
    // A new store is not made for nothing. Where there is one, its lock says more: it knows a server that is just stopping.
    if !options.app.store.exists() {
        refuse_taken(&options.socket)?;
    }
    let disk_tls = options.disk_tls.as_ref().map(TlsFiles::load).transpose()?;
    let app_options = options.app.clone();
    let app = blocking(move || App::open(app_options, mounter)).await?;
    let served = listen_and_wait(&app, &options, disk_tls, &mut ends, ready).await;
    let closed = {
        let app = Arc::clone(&app);
        blocking(move || app.close()).await
    };
    // The socket goes last: whoever waits for it to go knows that the store is free.
    if served.is_ok() {
        drop(std::fs::remove_file(&options.socket));
    }
    served.and(closed)
}

async fn listen_and_wait(
    app: &Arc<App>,
    options: &ServeOptions,
    disk_tls: Option<Identity>,
    ends: &mut Ends,
    ready: impl FnOnce(&Ready),
) -> AppResult<()> {
    let unix = bind_unix(&options.socket)?;
    let unix = UnixListener::from_std(unix).map_err(|e| unavailable(&e))?;
    let tcp = match options.listen {
        None => None,
        Some(address) => {
            Some(TcpListener::bind(address).await.map_err(|e| taken(address, &e, "--listen"))?)
        }
    };
    let tls = options.listen_tls.acceptor(app)?;
    let listen = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    let listen = listen.map(|address| url(address, tls.is_some(), app.host()));
    let admin_secret = match tcp {
        None => None,
        Some(_) => {
            let app = Arc::clone(app);
            blocking(move || app.first_admin()).await?
        }
    };
    let disks = Disks::start(app, options.disk_socket(), options.listen_disks, disk_tls)?;
    announce(app, options, listen.as_deref(), &disks)?;
    let problems = {
        let app = Arc::clone(app);
        blocking(move || Ok(app.mount_remembered())).await?
    };
    // Missed snapshots are made up for once everything is mounted.
    let policies = app.start_policies()?;
    let (stop, stopping) = watch::channel(false);
    let wake = Wake::new(app, stopping.clone());
    let support = Arc::new(Support { log: options.log.clone(), settings: options.settings() });
    let stop_asked = Arc::clone(&ends.asked);
    let routes = router(Shared { app: Arc::clone(app), stop: stop_asked, wake, support });
    let mut servers = JoinSet::new();
    servers.spawn(connections::serve(Door::Unix(unix), routes.clone(), stopping.clone()));
    if let Some(tcp) = tcp {
        let guarded = routes.layer(from_fn(own_pages_only));
        servers.spawn(connections::serve(Door::Tcp(tcp, tls), guarded, stopping));
    }
    let store = app.store_path().to_owned();
    let own = options.listen_tls == ListenTls::SelfSigned;
    let certificate = own.then(|| store.join("tls/cert.pem"));
    let socket = options.socket.clone();
    notify::ready(&format!("serving {}", store.display()));
    ready(&Ready { store, socket, listen, certificate, admin_secret, problems });
    ends.wait().await;
    notify::stopping();
    let _ = stop.send(true);
    let stopped = tokio::task::spawn_blocking(move || {
        drop(policies);
        disks.stop();
    });
    drop(tokio::time::timeout(GRACE, async { while servers.join_next().await.is_some() {} }).await);
    stopped.await.map_err(|e| unavailable(&e))
}

fn announce(
    app: &App,
    options: &ServeOptions,
    listen: Option<&str>,
    disks: &Disks,
) -> AppResult<()> {
    let mut addresses = vec![options.socket.display().to_string()];
    addresses.extend(listen.map(str::to_owned));
    addresses.extend(disks.addresses());
    app.announce(addresses)
}

/// Where clients find the API. An address that stands for all is found by the machine's name.
fn url(bound: SocketAddr, tls: bool, host: &str) -> String {
    let scheme = if tls { "https" } else { "http" };
    if bound.ip().is_unspecified() {
        return format!("{scheme}://{host}:{}", bound.port());
    }
    format!("{scheme}://{bound}")
}

/// The ways in which a server is told to end.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    asked: Arc<Notify>,
}

impl Ends {
    fn new() -> AppResult<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(|e| unavailable(&e))?,
            interrupt: signal(SignalKind::interrupt()).map_err(|e| unavailable(&e))?,
            asked: Arc::new(Notify::new()),
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = self.asked.notified() => {}
        }
    }
}

async fn blocking<T, F>(work: F) -> AppResult<T>
where
    T: Send + 'static,
    F: FnOnce() -> AppResult<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|e| unavailable(&e))?
}

pub(crate) fn unavailable(error: &dyn std::fmt::Display) -> AppError {
    AppError::new(
        ErrorKind::Unavailable,
        "server",
        format!("cannot run: {error}"),
        "Check the limits of the system (open files, memory, threads).",
    )
}

pub(crate) fn taken(address: SocketAddr, error: &std::io::Error, option: &str) -> AppError {
    AppError::new(
        ErrorKind::Busy,
        format!("address {address}"),
        format!("cannot be listened on: {error}"),
        format!("Choose another port with {option}; port 0 takes any free one."),
    )
}
