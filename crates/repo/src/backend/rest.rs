//! A repository behind a server of restic's REST protocol: rest-server, `rclone serve restic`, our own.
//!
//! One agent keeps its connections for the next request. Redirects are not followed: they would send the password elsewhere. Servers refuse
//! to replace files, so a refusal may mean that an earlier try, whose answer was lost, stored the file: see [`RestBackend::replace`].

mod http;
mod listing;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::web::body::{self, Wanted};
use super::web::{self, Limits};
use super::{Backend, BackendError, FileKind, RestUrl, Result, Secret};
use crate::id::Id;
use http::Call;
use listing::Entry;

/// How to talk to a server.
#[derive(Clone, Debug, Default)]
pub struct RestOptions {
    /// The user when the URL names none.
    pub username: Option<String>,
    /// The password when the URL has none.
    pub password: Option<Secret>,
    /// Certificates (PEM, one or more) that the server is checked against instead of the system's.
    pub ca_certificates: Option<Vec<u8>>,
    /// A certificate with its key (PEM) for servers that ask who we are.
    pub client_certificate: Option<Secret>,
    /// How long things may take.
    pub limits: Limits,
}

/// A REST server's folder that holds a repository.
pub struct RestBackend {
    agent: ureq::Agent,
    /// Ends with a slash.
    url: String,
    location: String,
    /// The value of the header.
    authorization: Option<Secret>,
}

impl fmt::Debug for RestBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestBackend").field("location", &self.location).finish_non_exhaustive()
    }
}

impl RestBackend {
    /// Asks nothing of the server yet.
    ///
    /// # Errors
    ///
    /// [`BackendError::Io`] when the certificates are none.
    pub fn new(url: &RestUrl, options: RestOptions) -> Result<Self> {
        let location = format!("rest:{}", url.shown());
        let client = options.client_certificate.as_ref().map(|pem| pem.reveal().as_bytes());
        let agent = web::agent(options.ca_certificates.as_deref(), client, &options.limits);
        let agent = agent.map_err(|source| BackendError::Io {
            doing: "use",
            object: "the given certificates".to_owned(),
            location: location.clone(),
            source,
        })?;
        let username = url.username.clone().or(options.username);
        let password = url.password.clone().or(options.password);
        let authorization = (username.is_some() || password.is_some()).then(|| {
            let password = password.as_ref().map_or("", Secret::reveal);
            let both = format!("{}:{password}", username.unwrap_or_default());
            Secret::new(format!("Basic {}", STANDARD.encode(both)))
        });
        Ok(Self { agent, url: url.url.clone(), location, authorization })
    }

    /// With another name of the place, for adapters whose servers people do not see.
    #[must_use]
    pub(super) fn called(self, location: &str) -> Self {
        Self { location: location.to_owned(), ..self }
    }

    fn file(&self, kind: FileKind, id: Id) -> String {
        match kind {
            FileKind::Config => format!("{}config", self.url),
            _ => format!("{}{}/{id}", self.url, kind.folder()),
        }
    }

    fn call(&self, doing: &'static str, kind: FileKind, id: Id) -> Call<'_> {
        Call { backend: self, doing, kind, id: Some(id) }
    }

    /// The length of a file.
    fn length(&self, kind: FileKind, id: Id) -> Result<u64> {
        let call = self.call("look at", kind, id);
        let response = call.answer(self.authorized(self.agent.head(self.file(kind, id))).call())?;
        let length = response.headers().get("content-length");
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        length.ok_or_else(|| call.garbled("the answer has no length"))
    }

    fn post(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        let request = self.authorized(self.agent.post(self.file(kind, id)));
        let request = request.header("Content-Type", "application/octet-stream");
        self.call("write", kind, id).done(request.send(data))
    }

    /// After the server refused to store a file: it is fine when the same content is there, from an earlier try whose answer was lost. Other
    /// content gives way. When nothing is there the refusal was meant.
    fn replace(&self, kind: FileKind, id: Id, data: &[u8], refusal: BackendError) -> Result<()> {
        let before = match self.read(kind, id) {
            Ok(before) => before,
            Err(BackendError::NotFound { .. } | BackendError::Refused { .. }) => {
                return Err(refusal);
            }
            Err(e) => return Err(e),
        };
        if before == data {
            return Ok(());
        }
        self.remove(kind, id)?;
        self.post(kind, id, data).inspect_err(|_| {
            // Without its config a repository does not open at all.
            if kind == FileKind::Config {
                let _ = self.post(kind, id, &before);
            }
        })
    }

    /// The entries of a folder as the server tells them; none when there is no such folder.
    fn entries(&self, kind: FileKind) -> Result<Vec<Entry>> {
        let call = Call { backend: self, doing: "list", kind, id: None };
        let request = self.authorized(self.agent.get(format!("{}{}/", self.url, kind.folder())));
        let answer = call.answer(request.header("Accept", listing::ACCEPT).call());
        let response = match answer {
            Err(BackendError::NotFound { .. }) => return Ok(Vec::new()),
            answer => answer?,
        };
        let text = body::read(response, Wanted::Whole).map_err(|e| call.failed(e))?;
        listing::parse(&text).map_err(|e| call.garbled(&e.to_string()))
    }
}

impl Backend for RestBackend {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn create(&self) -> Result<()> {
        let call = Call { backend: self, doing: "make", kind: FileKind::Config, id: None };
        let url = format!("{}?create=true", self.url);
        call.done(self.authorized(self.agent.post(url)).send_empty())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        if kind == FileKind::Config {
            return match self.length(kind, Id::default()) {
                Err(BackendError::NotFound { .. }) => Ok(Vec::new()),
                length => Ok(vec![(Id::default(), length?)]),
            };
        }
        listing::with_lengths(self.entries(kind)?, |id| match self.length(kind, id) {
            Err(BackendError::NotFound { .. }) => Ok(None),
            length => length.map(Some),
        })
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.read_into(kind, id, &mut data)?;
        Ok(data)
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.read_part_into(kind, id, offset, len, &mut data)?;
        Ok(data)
    }

    fn read_into(&self, kind: FileKind, id: Id, into: &mut Vec<u8>) -> Result<()> {
        let call = self.call("read", kind, id);
        let response = call.answer(self.authorized(self.agent.get(self.file(kind, id))).call())?;
        body::read_into(response, Wanted::Whole, into).map_err(|e| call.failed(e))
    }

    fn read_part_into(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        let short = || BackendError::Short { kind, id, location: self.location() };
        // A range cannot be empty, and servers take the ends that no file reaches for nonsense.
        let last = (len as u64).checked_sub(1).and_then(|less| offset.checked_add(less));
        let Some(last) = last.filter(|&last| i64::try_from(last).is_ok()) else {
            let there = len == 0 && offset <= self.length(kind, id)?;
            into.clear();
            return if there { Ok(()) } else { Err(short()) };
        };
        let call = self.call("read", kind, id);
        let request = self.authorized(self.agent.get(self.file(kind, id)));
        let answer = call.answer(request.header("Range", format!("bytes={offset}-{last}")).call());
        let response = match answer {
            Err(BackendError::Refused { status: 416, .. }) => return Err(short()),
            answer => answer?,
        };
        body::read_into(response, Wanted::Part { offset, len }, into)
            .map_err(|e| call.failed(e))?;
        if into.len() == len { Ok(()) } else { Err(short()) }
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        match self.post(kind, id, data) {
            Err(refusal @ BackendError::Refused { status: 403 | 409, .. }) => {
                self.replace(kind, id, data, refusal)
            }
            done => done,
        }
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        let request = self.authorized(self.agent.delete(self.file(kind, id)));
        match self.call("remove", kind, id).done(request.call()) {
            Err(BackendError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }
}
