//! The life of a server: open, mount, listen, say that it is ready, wait for the end, close.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use tintype_app::{App, AppError, AppOptions, AppResult, ErrorKind, Mounter};
use tintype_nbd::Identity;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::api::{Shared, router};
use crate::disk_server::{Disks, TlsFiles};
use crate::guard::local_only;
use crate::handed::{Handed, HandingListener};
use crate::listen::{bind_unix, refuse_taken};

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// How the store is opened.
    pub app: AppOptions,
    /// The Unix socket.
    pub socket: PathBuf,
    /// The TCP address, already checked by [`crate::parse_listen`].
    pub listen: Option<SocketAddr>,
    /// The TCP address of disks, already checked by [`crate::parse_listen_disks`]; their Unix socket lies beside the other one.
    pub listen_disks: Option<SocketAddr>,
    /// Certificates for it; without them it is plain.
    pub disk_tls: Option<TlsFiles>,
}

impl ServeOptions {
    /// The Unix socket of disks.
    #[must_use]
    pub fn disk_socket(&self) -> PathBuf {
        let mut path = self.socket.clone().into_os_string();
        path.push(".nbd");
        path.into()
    }
}

/// Where a server that is ready can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The folder of the store.
    pub store: PathBuf,
    /// The Unix socket.
    pub socket: PathBuf,
    /// The TCP address with the port that was given.
    pub listen: Option<SocketAddr>,
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
    let listen = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    let disks = Disks::start(app, options.disk_socket(), options.listen_disks, disk_tls)?;
    announce(app, options, listen, &disks)?;
    let problems = {
        let app = Arc::clone(app);
        blocking(move || Ok(app.mount_remembered())).await?
    };
    // Missed snapshots are made up for once everything is mounted.
    let policies = app.start_policies()?;
    let routes = router(Shared { app: Arc::clone(app), stop: Arc::clone(&ends.asked) });
    let (stop, stopping) = watch::channel(false);
    let mut servers = JoinSet::new();
    let end = |mut stopping: watch::Receiver<bool>| async move {
        drop(stopping.wait_for(|stop| *stop).await);
    };
    spawn(
        &mut servers,
        axum::serve(
            HandingListener(unix),
            routes.clone().into_make_service_with_connect_info::<Handed>(),
        )
        .with_graceful_shutdown(end(stopping.clone())),
    );
    if let Some(tcp) = tcp {
        let guarded: Router = routes.layer(from_fn(local_only));
        spawn(&mut servers, axum::serve(tcp, guarded).with_graceful_shutdown(end(stopping)));
    }
    let store = app.store_path().to_owned();
    ready(&Ready { store, socket: options.socket.clone(), listen, problems });
    ends.wait().await;
    let _ = stop.send(true);
    let stopped = tokio::task::spawn_blocking(move || {
        drop(policies);
        disks.stop();
    });
    drop(tokio::time::timeout(GRACE, async { while servers.join_next().await.is_some() {} }).await);
    stopped.await.map_err(|e| unavailable(&e))
}

fn spawn<S>(servers: &mut JoinSet<()>, server: S)
where
    S: IntoFuture<Output = std::io::Result<()>>,
    S::IntoFuture: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let server = server.into_future();
    servers.spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "a listener failed");
        }
    });
}

fn announce(
    app: &App,
    options: &ServeOptions,
    listen: Option<SocketAddr>,
    disks: &Disks,
) -> AppResult<()> {
    let mut addresses = vec![options.socket.display().to_string()];
    addresses.extend(listen.map(|address| format!("http://{address}")));
    addresses.extend(disks.addresses());
    app.announce(addresses)
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
