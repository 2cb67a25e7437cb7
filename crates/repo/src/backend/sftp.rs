//! A repository in a folder of another machine, through the system's `ssh`: its configuration, its keys, its questions.
//!
//! The layout is that of a local folder. A file is written under a temporary name, synced where the server can, and renamed over the old one. All
//! threads share one connection, on which requests overlap. When it breaks, the next call makes a new one.

mod connection;
mod session;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use super::{Backend, BackendError, FileKind, Location, PlaceOptions, Result};
use crate::id::Id;
use connection::{Command, Connection};

/// A folder that ssh reaches.
pub struct Sftp {
    shown: String,
    /// Without a slash at its end.
    root: String,
    command: Command,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Moves what goes over the connection.
    runtime: Option<Runtime>,
    /// Makes temporary names unique within this process.
    serial: AtomicU64,
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp").field("location", &self.shown).finish_non_exhaustive()
    }
}

/// What a failed call was about.
#[derive(Clone, Copy)]
struct What {
    doing: &'static str,
    kind: FileKind,
    id: Option<Id>,
}

impl Sftp {
    /// Connects with the first call.
    ///
    /// # Errors
    ///
    /// [`BackendError::Unsupported`] for other kinds of places, [`BackendError::Io`] for options that are none and without threads.
    pub fn new(location: &Location, options: &PlaceOptions) -> Result<Self> {
        let shown = location.to_string();
        let Location::Sftp { user, host, port, path } = location else {
            return Err(BackendError::Unsupported { kind: location.kind(), location: shown });
        };
        let failed = |source: io::Error| BackendError::Io {
            doing: "use",
            object: "ssh".to_owned(),
            location: shown.clone(),
            source,
        };
        let command = Command::new(user.as_deref(), host, *port, options).map_err(failed)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let root = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            root => root.to_owned(),
        };
        Ok(Self {
            root,
            command,
            connection: Mutex::new(None),
            runtime: Some(runtime),
            serial: AtomicU64::new(0),
            shown,
        })
    }

    fn folder(&self, kind: FileKind, id: Id) -> String {
        match kind {
            FileKind::Config => self.root.clone(),
            FileKind::Pack => {
                let name = id.to_string();
                format!("{}/data/{}", self.root, name.get(..2).unwrap_or_default())
            }
            _ => format!("{}/{}", self.root, kind.folder()),
        }
    }

    fn path(&self, kind: FileKind, id: Id) -> String {
        match kind {
            FileKind::Config => format!("{}/config", self.root),
            _ => format!("{}/{id}", self.folder(kind, id)),
        }
    }

    /// The folders of a kind, with what the names of their files begin with.
    fn folders(&self, kind: FileKind) -> Vec<(String, String)> {
        let folder = format!("{}/{}", self.root, kind.folder());
        match kind {
            FileKind::Pack => (0..=255u8)
                .map(|first| (format!("{folder}/{first:02x}"), format!("{first:02x}")))
                .collect(),
            _ => vec![(folder, String::new())],
        }
    }

    fn connection(&self, runtime: &Runtime) -> io::Result<Arc<Connection>> {
        let mut connection = self.connection.lock();
        if let Some(there) = connection.as_ref().filter(|there| there.is_alive()) {
            return Ok(Arc::clone(there));
        }
        // The old one goes first: a machine may allow few.
        *connection = None;
        let made = Arc::new(runtime.block_on(self.command.connect())?);
        *connection = Some(Arc::clone(&made));
        Ok(made)
    }

    fn run<'c, T, F>(&self, what: What, call: impl Fn(Arc<Connection>) -> F + 'c) -> Result<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        let run = || {
            let closed = || io::Error::from(io::ErrorKind::NotConnected);
            let runtime = self.runtime.as_ref().ok_or_else(closed)?;
            runtime.block_on(call(self.connection(runtime)?))
        };
        run().map_err(|e| self.failed(what, e))
    }

    fn failed(&self, what: What, source: io::Error) -> BackendError {
        let (kind, location) = (what.kind, self.shown.clone());
        match (source.kind(), what.id) {
            // Only what the server says of the file itself; ssh that is missing has a text.
            (io::ErrorKind::NotFound, Some(id)) if session::is_of_server(&source) => {
                BackendError::NotFound { kind, id, location }
            }
            (io::ErrorKind::UnexpectedEof, Some(id)) => BackendError::Short { kind, id, location },
            _ => {
                let object = match (kind, what.id) {
                    (FileKind::Config, _) => "config".to_owned(),
                    (kind, None) => format!("folder {}", kind.folder()),
                    (kind, Some(id)) => format!("{kind} {id}"),
                };
                BackendError::Io { doing: what.doing, object, location, source }
            }
        }
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        // ssh ends with its connection; nothing runs on after that.
        *self.connection.get_mut() = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Backend for Sftp {
    fn location(&self) -> String {
        self.shown.clone()
    }

    fn create(&self) -> Result<()> {
        let what = What { doing: "make", kind: FileKind::Pack, id: None };
        let above: Vec<String> =
            FileKind::MANY.map(|kind| format!("{}/{}", self.root, kind.folder())).to_vec();
        let packs: Vec<String> =
            self.folders(FileKind::Pack).into_iter().map(|(folder, _)| folder).collect();
        self.run(what, |connection| {
            let (above, packs) = (&above, &packs);
            async move {
                for folder in above {
                    connection.session.make_folders(folder).await?;
                }
                connection.session.make_each(packs).await
            }
        })
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        let what = What { doing: "list", kind, id: None };
        if kind == FileKind::Config {
            let path = self.path(kind, Id::default());
            let length = self.run(what, |c| {
                let path = &path;
                async move { c.session.length(path).await }
            });
            return match length {
                Err(BackendError::Io { source, .. }) if session::is_missing(&source) => {
                    Ok(Vec::new())
                }
                length => Ok(vec![(Id::default(), length?)]),
            };
        }
        let folders = self.folders(kind);
        let entries = self.run(what, |c| {
            let folders = &folders;
            async move { c.session.list(folders).await }
        })?;
        let ids =
            entries.into_iter().filter_map(|(name, length)| Some((name.parse().ok()?, length)));
        Ok(ids.collect())
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        let path = self.path(kind, id);
        self.run(What { doing: "read", kind, id: Some(id) }, |c| {
            let path = &path;
            async move { c.session.read(path, None).await }
        })
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let path = self.path(kind, id);
        self.run(What { doing: "read", kind, id: Some(id) }, |c| {
            let path = &path;
            async move { c.session.read(path, Some((offset, len))).await }
        })
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        let (folder, path) = (self.folder(kind, id), self.path(kind, id));
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{path}-tmp-{}-{serial}", std::process::id());
        self.run(What { doing: "write", kind, id: None }, |c| {
            let (folder, path, temporary) = (&folder, &path, &temporary);
            async move { c.session.put(folder, path, temporary, data).await }
        })
        .map_err(|e| named(e, kind, id))
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        let path = self.path(kind, id);
        let removed = self.run(What { doing: "remove", kind, id: Some(id) }, |c| {
            let path = &path;
            async move { c.session.remove(path).await }
        });
        match removed {
            Err(BackendError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }
}

/// A folder that is missing while one writes is no missing file, but the file is what people look for.
fn named(error: BackendError, kind: FileKind, id: Id) -> BackendError {
    match error {
        BackendError::Io { doing, location, source, .. } if kind != FileKind::Config => {
            BackendError::Io { doing, object: format!("{kind} {id}"), location, source }
        }
        other => other,
    }
}
