//! Accepting connections, on Unix sockets and TCP.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags};

use crate::connection::{Connection, Parts};
use crate::handshake::{self, Door};
use crate::server::Shared;
use crate::stream::Stream;

/// How long accepting rests when the system has no descriptors left and no connection ends.
const REST: Duration = Duration::from_millis(200);

/// A socket that listens. Bind it first: who may reach it is the caller's decision.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket.
    Unix(UnixListener),
    /// A TCP address.
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) fn block(&self) -> io::Result<()> {
        match self {
            Self::Unix(listener) => listener.set_nonblocking(false),
            Self::Tcp(listener) => listener.set_nonblocking(false),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    /// Wakes the thread that accepts; nobody can connect any more.
    pub(crate) fn close(&self) {
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Both);
    }
}

/// Accepts until the listener is closed.
pub(crate) fn accept(shared: &Arc<Shared>, listener: &Listener, door: &Arc<Door>) {
    let tcp = matches!(listener, Listener::Tcp(_));
    while !shared.registry.is_stopping() {
        match rustix::net::accept_with(listener.fd(), SocketFlags::CLOEXEC) {
            Ok(socket) => admit(shared, socket, tcp, door),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            // A listener that was closed.
            Err(Errno::INVAL | Errno::BADF) => return,
            Err(error) => {
                tracing::warn!(%error, "no NBD connection can be accepted for now");
                shared.registry.wait_for_room(Instant::now() + REST);
            }
        }
    }
}

/// Gives a connection a thread, or closes it when there are too many.
pub(crate) fn admit(shared: &Arc<Shared>, socket: OwnedFd, tcp: bool, door: &Arc<Door>) {
    let stream = Arc::new(Stream::new(socket, tcp));
    let max = shared.limits.connections;
    let Some(seat) = shared.registry.enter(Arc::clone(&stream), max) else {
        tracing::warn!(max, "an NBD connection is refused: there are too many");
        return;
    };
    let (crew, shared, door) = (Arc::clone(&shared.crew), Arc::clone(shared), Arc::clone(door));
    let task = move || {
        let deadline = Instant::now() + shared.limits.handshake;
        let agreed = stream
            .set_deadline(Some(deadline))
            .map_err(handshake::NoDeal::from)
            .and_then(|()| handshake::negotiate(&stream, &door));
        let ended = match agreed {
            Ok(deal) => stream.set_deadline(None).map(|()| serve(deal, stream, seat, shared)).err(),
            Err(reason) => {
                tracing::debug!(%reason, "an NBD handshake ends");
                stream.cut();
                None
            }
        };
        if let Some(error) = ended {
            tracing::debug!(%error, "an NBD connection ends");
        }
    };
    if let Err((_, error)) = crew.run(Box::new(task)) {
        tracing::warn!(%error, "an NBD connection is refused: no thread");
    }
}

fn serve(
    deal: handshake::Deal,
    stream: Arc<Stream>,
    seat: crate::registry::Seat,
    shared: Arc<Shared>,
) {
    let handshake::Deal { export, terms, inbox } = deal;
    tracing::debug!(export = %export.name, "an NBD client is connected");
    let counted = shared.counters.connected(&export.name);
    let device = export.device;
    Connection::new(Parts { stream, device, terms, inbox, counted, seat, shared })
        .serve(&export.id);
}
