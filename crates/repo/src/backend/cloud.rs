//! A repository in a store of objects or on a WebDAV server, through the library `opendal`: S3, Azure, Google, B2, WebDAV.
//!
//! The names below the prefix are those of a local folder, as restic has them. The library knows the protocols and signs; requests go through
//! our own client ([`transport`]), so that certificates, proxies and time limits are the same for all places. Retries are left to
//! [`super::Retrying`].
//!
//! A write is one request whose object appears whole or not at all. WebDAV does not promise that, so a file is uploaded there under a temporary
//! name, which is no id, and moved.

mod failure;
mod places;
mod transport;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use opendal_core::{ErrorKind, Operator};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use super::{Access, Backend, BackendError, FileKind, Location, Result};
use crate::id::Id;
use failure::Call;

/// A place that the library reaches.
pub struct Cloud {
    location: Location,
    access: Access,
    shown: String,
    /// Made with the first call, for which some places have to be asked.
    operator: Mutex<Option<Operator>>,
    /// The library is asynchronous. Each caller drives its own call; what the library does besides runs here.
    runtime: Option<Runtime>,
    /// Makes temporary names unique within this process.
    serial: AtomicU64,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("location", &self.shown).finish_non_exhaustive()
    }
}

/// Where a file lies below the prefix.
fn path(kind: FileKind, id: Id) -> String {
    let name = id.to_string();
    match kind {
        FileKind::Config => kind.folder().to_owned(),
        FileKind::Pack => {
            format!("{}/{}/{name}", kind.folder(), name.get(..2).unwrap_or_default())
        }
        _ => format!("{}/{name}", kind.folder()),
    }
}

impl Cloud {
    /// Asks nothing of the place yet.
    ///
    /// # Errors
    ///
    /// [`BackendError::Unsupported`] for kinds that are no affair of this adapter, [`BackendError::Io`] when this machine gives no threads.
    pub fn new(location: &Location, access: &Access) -> Result<Self> {
        let shown = location.to_string();
        if !places::serves(location) {
            return Err(BackendError::Unsupported { kind: location.kind(), location: shown });
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| BackendError::Io {
            doing: "begin",
            object: "calls".to_owned(),
            location: shown.clone(),
            source,
        })?;
        Ok(Self {
            location: location.clone(),
            access: access.clone(),
            shown,
            operator: Mutex::new(None),
            runtime: Some(runtime),
            serial: AtomicU64::new(0),
        })
    }

    fn operator(&self) -> Result<Operator> {
        let mut operator = self.operator.lock();
        if let Some(operator) = operator.as_ref() {
            return Ok(operator.clone());
        }
        let made = places::operator(&self.location, &self.access).map_err(|source| {
            let object = "this kind of place".to_owned();
            BackendError::Io { doing: "use", object, location: self.shown.clone(), source }
        })?;
        Ok(operator.insert(made).clone())
    }

    /// Drives a call to its end on this thread.
    fn wait<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.runtime.as_ref().map(|runtime| runtime.block_on(future))
    }

    fn run<T>(
        &self,
        call: &Call<'_>,
        future: impl IntoFuture<Output = opendal_core::Result<T>>,
    ) -> Result<T> {
        let ended = || opendal_core::Error::new(ErrorKind::Unexpected, "the place is closed");
        self.wait(future.into_future()).unwrap_or_else(|| Err(ended())).map_err(|e| call.failed(&e))
    }

    fn call(&self, doing: &'static str, kind: FileKind, id: Option<Id>) -> Call<'_> {
        Call { location: &self.shown, doing, kind, id }
    }

    fn length(&self, kind: FileKind, id: Id) -> Result<u64> {
        let operator = self.operator()?;
        let call = self.call("look at", kind, Some(id));
        let found = self.run(&call, operator.stat(&path(kind, id)))?;
        Ok(found.content_length())
    }

    /// Adds what one listing brings; pages are asked for as they are needed.
    async fn entries(operator: &Operator, kind: FileKind) -> opendal_core::Result<Vec<(Id, u64)>> {
        let folder = format!("{}/", kind.folder());
        let mut found = Vec::new();
        let mut lister = match operator.lister_with(&folder).recursive(kind == FileKind::Pack).await
        {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(found),
            lister => lister?,
        };
        loop {
            let entry = match lister.try_next().await {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(found),
                entry => entry?,
            };
            let Some(entry) = entry else { return Ok(found) };
            // A pack in the folder of others is one that nobody would find.
            let id = entry.name().parse().ok().filter(|id| path(kind, *id) == entry.path());
            if let Some(id) = id.filter(|_| !entry.metadata().is_dir()) {
                found.push((id, entry.metadata().content_length()));
            }
        }
    }

    /// On a server that may leave a part of an upload under the name it was given.
    async fn write_by_moving(
        &self,
        operator: &Operator,
        target: &str,
        data: Vec<u8>,
    ) -> opendal_core::Result<()> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{target}-tmp-{}-{serial}", std::process::id());
        let written = match operator.write(&temporary, data).await {
            Ok(_) => operator.rename(&temporary, target).await,
            Err(e) => Err(e),
        };
        if written.is_err() {
            let _ = operator.delete(&temporary).await;
        }
        written
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // Waiting for its threads is forbidden where somebody else's runtime drops us, and there is nothing to wait for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Backend for Cloud {
    fn location(&self) -> String {
        self.shown.clone()
    }

    /// Folders come with the files in them. Buckets are made by who pays for them.
    fn create(&self) -> Result<()> {
        self.operator().map(drop)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        if kind == FileKind::Config {
            return match self.length(kind, Id::default()) {
                Err(BackendError::NotFound { .. }) => Ok(Vec::new()),
                length => Ok(vec![(Id::default(), length?)]),
            };
        }
        let operator = self.operator()?;
        self.run(&self.call("list", kind, None), Self::entries(&operator, kind))
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        let operator = self.operator()?;
        let call = self.call("read", kind, Some(id));
        Ok(self.run(&call, operator.read(&path(kind, id)))?.to_vec())
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let short = || BackendError::Short { kind, id, location: self.location() };
        // A range cannot be empty, and servers take the ends that no file reaches for nonsense.
        let end = offset.checked_add(len as u64).filter(|&end| i64::try_from(end).is_ok());
        let Some(end) = end.filter(|_| len > 0) else {
            let there = offset.saturating_add(len as u64) <= self.length(kind, id)?;
            return if there { Ok(Vec::new()) } else { Err(short()) };
        };
        let operator = self.operator()?;
        let call = self.call("read", kind, Some(id));
        let name = path(kind, id);
        match self.run(&call, operator.read_with(&name).range(offset..end)) {
            Ok(data) if data.len() == len => Ok(data.to_vec()),
            Ok(_) => Err(short()),
            // The library takes fewer bytes than it asked for as a failure that passes, whatever the reason.
            Err(BackendError::Io { .. })
                if self.length(kind, id).is_ok_and(|there| end > there) =>
            {
                Err(short())
            }
            Err(e) => Err(e),
        }
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        let operator = self.operator()?;
        let call = self.call("write", kind, Some(id));
        let (name, data) = (path(kind, id), data.to_vec());
        match self.location {
            Location::WebDav(_) => self.run(&call, self.write_by_moving(&operator, &name, data)),
            _ => self.run(&call, operator.write(&name, data)).map(drop),
        }
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        let operator = self.operator()?;
        let call = self.call("remove", kind, Some(id));
        match self.run(&call, operator.delete(&path(kind, id))) {
            Err(BackendError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }
}
