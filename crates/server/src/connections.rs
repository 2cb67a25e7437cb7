//! Connections: taken, perhaps encrypted, served, and let go.
//!
//! Strangers can open many and send nothing. So there are limits: a time for the TLS handshake and for the head of each request, and a
//! number of connections on TCP. When it is reached, the oldest connection on which nobody has shown a valid token makes room.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::handed::{Handed, HandingStream};
use crate::who::Peer;

/// For the head of a request, and between two requests.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// For a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Connections on TCP at a time.
const SEATS: usize = 512;
/// After a connection could not be taken: most likely the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub enum Door {
    /// The server's socket.
    Unix(UnixListener),
    /// TCP, with TLS or without.
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// One connection on TCP.
#[derive(Debug, Default)]
pub struct Seat {
    trusted: AtomicBool,
    leave: Notify,
}

impl Seat {
    /// Somebody has shown a valid token on it.
    pub fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }
}

/// All connections on TCP, the oldest first.
#[derive(Clone, Debug, Default)]
struct Seats(Arc<Mutex<VecDeque<Arc<Seat>>>>);

impl Seats {
    /// A seat for one more, perhaps a stranger's; nothing when all are taken by those who are known.
    fn take(&self, max: usize) -> Option<Arc<Seat>> {
        let mut seats = self.0.lock();
        if seats.len() >= max {
            let stranger = seats.iter().position(|seat| !seat.trusted.load(Ordering::Relaxed))?;
            seats.remove(stranger)?.leave.notify_one();
        }
        let seat = Arc::new(Seat::default());
        seats.push_back(Arc::clone(&seat));
        Some(seat)
    }

    fn give_back(&self, seat: &Arc<Seat>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, seat));
    }
}

/// Serves until `stopping` tells; then requests that are being served end, and no more are taken.
pub async fn serve(door: Door, routes: Router, stopping: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    let seats = Seats::default();
    let stop = told(stopping.clone());
    tokio::pin!(stop);
    loop {
        let taken = tokio::select! {
            () = &mut stop => break,
            _ = open.join_next(), if !open.is_empty() => continue,
            taken = door.take() => taken,
        };
        match taken {
            Ok(Taken::Unix(stream)) if is_ours(&stream) => {
                let (stream, handed) = HandingStream::new(stream);
                let connection = Connection::new(&routes, local(handed), stopping.clone());
                open.spawn(connection.serve(stream));
            }
            Ok(Taken::Unix(_)) => tracing::warn!("another user came in on the socket"),
            Ok(Taken::Tcp(stream, address)) => {
                let Some(seat) = seats.take(SEATS) else { continue };
                let known = remote(address, Arc::clone(&seat));
                let connection = Connection::new(&routes, known, stopping.clone());
                let (tls, seats) = (door.tls(), seats.clone());
                open.spawn(async move {
                    tokio::select! {
                        () = connection.serve_tcp(stream, tls) => {}
                        () = seat.leave.notified() => {}
                    }
                    seats.give_back(&seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(door);
    while open.join_next().await.is_some() {}
}

/// Waits until the server shall stop.
async fn told(mut stopping: watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

enum Taken {
    Unix(UnixStream),
    Tcp(tokio::net::TcpStream, SocketAddr),
}

impl Door {
    async fn take(&self) -> std::io::Result<Taken> {
        match self {
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Taken::Unix(stream)),
            Self::Tcp(listener, _) => {
                listener.accept().await.map(|(stream, address)| Taken::Tcp(stream, address))
            }
        }
    }

    fn tls(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(_, tls) => tls.clone(),
        }
    }
}

/// The socket's mode lets in only our user and root; this asks the kernel once more.
fn is_ours(stream: &UnixStream) -> bool {
    let own =
        std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta));
    let uid = stream.peer_cred().map(|cred| cred.uid());
    uid.is_ok_and(|uid| uid == 0 || own.is_ok_and(|own| own == uid))
}

struct Connection {
    routes: Router,
    /// What each request gets to know of it.
    known: Extensions,
    stopping: watch::Receiver<bool>,
}

/// Of the server's socket. Only there a file can be handed over.
fn local(handed: Handed) -> Extensions {
    let mut known = Extensions::new();
    known.insert(Peer::Local);
    known.insert(handed);
    known
}

fn remote(address: SocketAddr, seat: Arc<Seat>) -> Extensions {
    let mut known = Extensions::new();
    known.insert(Peer::Remote(address));
    known.insert(seat);
    known
}

impl Connection {
    fn new(routes: &Router, known: Extensions, stopping: watch::Receiver<bool>) -> Self {
        Self { routes: routes.clone(), known, stopping }
    }

    async fn serve_tcp(self, stream: tokio::net::TcpStream, tls: Option<TlsAcceptor>) {
        // Answers are whole when they are written: waiting for more gains nothing.
        drop(stream.set_nodelay(true));
        let Some(tls) = tls else { return self.serve(stream).await };
        match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::info!(%error, "a TLS handshake failed"),
            Err(_) => tracing::info!("a TLS handshake took too long"),
        }
    }

    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { routes, known, stopping } = self;
        let routes = TowerToHyperService::new(routes);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().extend(known.clone());
            routes.call(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_make_room_and_those_who_are_known_stay() {
        let seats = Seats::default();
        let known = seats.take(2).unwrap();
        known.trust();
        let stranger = seats.take(2).unwrap();
        let third = seats.take(2).unwrap();
        let here = |seat| seats.0.lock().iter().any(|other| Arc::ptr_eq(other, seat));
        assert!(here(&known) && here(&third) && !here(&stranger));
        third.trust();
        assert!(seats.take(2).is_none());
        seats.give_back(&known);
        assert!(seats.take(2).is_some());
    }
}
