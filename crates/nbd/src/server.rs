//! A server: listeners, connections, status, and the end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::counters::{ExportStatus, Table};
use crate::crew::{Crew, Slots};
use crate::error::NbdError;
use crate::handshake::Door;
use crate::listen::{self, Listener};
use crate::port::Exports;
use crate::registry::Registry;
use crate::tls::TlsMode;
use crate::watch::Watch;

/// How long connections that were cut off may take to end.
const AFTER_CUT: Duration = Duration::from_secs(2);

/// What clients may use of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more are closed as they come.
    pub connections: usize,
    /// Time for a whole handshake.
    pub handshake: Duration,
    /// Bytes of payloads and replies in flight on one connection; one request always fits.
    pub bytes_per_connection: usize,
    /// Threads for slow requests of one connection, beside its own.
    pub helpers_per_connection: usize,
    /// Threads for slow requests of all connections together.
    pub helpers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshake: Duration::from_secs(30),
            bytes_per_connection: 64 << 20,
            helpers_per_connection: 16,
            helpers: 64,
        }
    }
}

/// What all threads of a server share.
pub(crate) struct Shared {
    pub limits: Limits,
    pub crew: Arc<Crew>,
    pub registry: Arc<Registry>,
    pub watch: Watch,
    pub counters: Table,
    pub helpers: Slots,
}

/// Serves exports until it is stopped or dropped. Dropping it cuts all connections off.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Mutex<Vec<(Arc<Listener>, JoinHandle<()>)>>,
    watch: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Starts a server that does not listen yet.
    ///
    /// # Errors
    /// [`NbdError::System`] when there is no thread.
    pub fn start(limits: Limits) -> Result<Self, NbdError> {
        let shared = Arc::new(Shared {
            helpers: Slots::new(limits.helpers),
            limits,
            crew: Arc::default(),
            registry: Arc::default(),
            watch: Watch::default(),
            counters: Table::default(),
        });
        let watching = Arc::clone(&shared);
        let watch = std::thread::Builder::new()
            .name("nbd-watch".into())
            .spawn(move || {
                let hand_over = |connection: &Arc<_>, id| {
                    crate::connection::Connection::hand_over(connection, id);
                };
                watching.watch.run(&watching.registry, hand_over);
            })
            .map_err(|source| system("starting a thread", source))?;
        Ok(Self { shared, listeners: Mutex::default(), watch: Mutex::new(Some(watch)) })
    }

    /// Shows `exports` to everybody who connects to `listener`.
    ///
    /// # Errors
    /// [`NbdError::System`] when there is no thread, [`NbdError::Stopped`] after [`Server::stop`].
    pub fn listen(
        &self,
        listener: Listener,
        exports: Arc<dyn Exports>,
        tls: TlsMode,
    ) -> Result<(), NbdError> {
        listener.block().map_err(|source| system("preparing a listener", source))?;
        let (listener, door) = (Arc::new(listener), Arc::new(Door { exports, tls }));
        let mut listeners = self.listeners.lock();
        if self.shared.registry.is_stopping() {
            return Err(NbdError::Stopped);
        }
        let (shared, accepting) = (Arc::clone(&self.shared), Arc::clone(&listener));
        let thread = std::thread::Builder::new()
            .name("nbd-listen".into())
            .spawn(move || listen::accept(&shared, &accepting, &door))
            .map_err(|source| system("starting a thread", source))?;
        listeners.push((listener, thread));
        Ok(())
    }

    /// Shows `exports` on a stream socket that is connected already, for example one half of a socket pair.
    pub fn serve(&self, socket: OwnedFd, exports: Arc<dyn Exports>, tls: TlsMode) {
        listen::admit(&self.shared, socket, false, &Arc::new(Door { exports, tls }));
    }

    /// Counts of all exports that were used since the start.
    #[must_use]
    pub fn status(&self) -> Vec<ExportStatus> {
        self.shared.counters.status()
    }

    /// Connections that use the export of this id now; those that are still in their handshake are not known.
    #[must_use]
    pub fn clients(&self, export: &str) -> usize {
        self.shared.registry.clients(export)
    }

    /// Lets the clients of exports go whose ids are among `which`, for example because its size has changed: requests that have arrived
    /// are answered, and what takes longer than `grace` is cut off. Returns how many connections that were. New ones are
    /// up to `open`.
    pub fn close(&self, which: &dyn Fn(&str) -> bool, grace: Duration) -> usize {
        let deadline = Instant::now() + grace;
        self.shared.registry.close(which, deadline, deadline + AFTER_CUT)
    }

    /// Stops listening, answers the requests that have arrived, and closes all connections. Those that take longer than
    /// `grace` are cut off. Returns how many could not end because their device does not answer.
    pub fn stop(&self, grace: Duration) -> usize {
        let listeners = std::mem::take(&mut *self.listeners.lock());
        listeners.iter().for_each(|(listener, _)| listener.close());
        let deadline = Instant::now() + grace;
        let left = self.shared.registry.stop(deadline, deadline + AFTER_CUT);
        self.shared.watch.close();
        self.shared.crew.close();
        let threads = listeners.into_iter().map(|(_, thread)| thread);
        for thread in threads.chain(self.watch.lock().take()) {
            // A panic there was printed; there is nothing more to do about it.
            drop(thread.join());
        }
        left
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn system(doing: &'static str, source: io::Error) -> NbdError {
    NbdError::System { doing, source }
}
