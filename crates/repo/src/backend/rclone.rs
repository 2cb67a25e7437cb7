//! A repository at whatever rclone reaches: rclone serves it on this machine with restic's REST protocol, and the REST adapter talks to it.
//!
//! rclone starts with the first call and ends with this value. It listens on a loopback port of its own choice and asks for a password that only
//! it and we know: other users of this machine cannot use the port. When it ends before its time, the next call starts it again.

mod process;

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::rest::{RestBackend, RestOptions};
use super::{Backend, BackendError, FileKind, PlaceOptions, RestUrl, Result, Secret};
use crate::id::Id;
use process::{Command, Served};

/// What restic starts rclone with, apart from where it listens.
const WORDS: [&str; 3] = ["serve", "restic", "--b2-hard-delete"];

/// A place that rclone reaches.
pub struct Rclone {
    location: String,
    command: Command,
    serving: Mutex<Option<Arc<Serving>>>,
}

struct Serving {
    process: Served,
    rest: RestBackend,
}

impl fmt::Debug for Rclone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rclone").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Rclone {
    /// Starts nothing yet. `remote` is what rclone understands, `remote:path`.
    ///
    /// # Errors
    ///
    /// [`BackendError::Io`] when `rclone.args` has an open quote.
    pub fn new(remote: &str, options: &PlaceOptions) -> Result<Self> {
        let location = format!("rclone:{remote}");
        let program = options.get("rclone.program").unwrap_or("rclone").to_owned();
        let given = match options.get("rclone.args") {
            None => Some(WORDS.map(str::to_owned).to_vec()),
            Some(text) => shlex::split(text),
        };
        let mut words = given.ok_or_else(|| BackendError::Io {
            doing: "understand",
            object: "the option rclone.args".to_owned(),
            location: location.clone(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "a quote is left open"),
        })?;
        // restic's way to talk to it, of which we know nothing.
        words.retain(|word| word != "--stdio");
        words.extend(["--addr".to_owned(), "127.0.0.1:0".to_owned(), remote.to_owned()]);
        Ok(Self { location, command: Command { program, words }, serving: Mutex::new(None) })
    }

    /// The running rclone; starts it where there is none.
    fn serving(&self) -> Result<Arc<Serving>> {
        let mut serving = self.serving.lock();
        if let Some(running) = serving.as_ref().filter(|running| running.process.is_alive()) {
            return Ok(Arc::clone(running));
        }
        let started = Arc::new(self.start()?);
        *serving = Some(Arc::clone(&started));
        Ok(started)
    }

    fn start(&self) -> Result<Serving> {
        let failed = |source: io::Error| BackendError::Io {
            doing: "start",
            object: self.command.program.clone(),
            location: self.location.clone(),
            source,
        };
        let login = Login::random().map_err(failed)?;
        let process = self.command.start(&login.username, &login.password).map_err(failed)?;
        let url = RestUrl {
            url: process.url().to_owned(),
            username: Some(login.username),
            password: Some(Secret::new(login.password)),
        };
        let rest = RestBackend::new(&url, RestOptions::default())?.called(&self.location);
        Ok(Serving { process, rest })
    }

    fn call<T>(&self, call: impl Fn(&RestBackend) -> Result<T>) -> Result<T> {
        call(&self.serving()?.rest)
    }
}

/// Known to us and to the rclone that we start.
struct Login {
    username: String,
    password: String,
}

impl Login {
    fn random() -> io::Result<Self> {
        let word = || Id::random().map(|id| id.to_string()).map_err(io::Error::other);
        Ok(Self { username: word()?, password: word()? })
    }
}

impl Backend for Rclone {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn create(&self) -> Result<()> {
        self.call(RestBackend::create)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        self.call(|rest| rest.list(kind))
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        self.call(|rest| rest.read(kind, id))
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.call(|rest| rest.read_part(kind, id, offset, len))
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.call(|rest| rest.write(kind, id, data))
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        self.call(|rest| rest.remove(kind, id))
    }
}
