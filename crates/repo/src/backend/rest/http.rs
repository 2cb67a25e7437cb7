//! Requests to a REST server and what their answers mean; knows no paths.

use std::io;

use ureq::http::{Response, StatusCode};
use ureq::{Body, RequestBuilder};

use super::{BackendError, FileKind, RestBackend, Result};
use crate::backend::web::{self, body};
use crate::id::Id;

impl RestBackend {
    /// The request with the password.
    pub fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(value) => request.header("Authorization", value.reveal()),
            None => request,
        }
    }
}

/// One request, for the words of its failures.
pub struct Call<'a> {
    pub backend: &'a RestBackend,
    pub doing: &'static str,
    pub kind: FileKind,
    /// None: the folder, or for [`FileKind::Config`] the repository.
    pub id: Option<Id>,
}

type Answer = std::result::Result<Response<Body>, ureq::Error>;

impl Call<'_> {
    /// The answer when the server did what it was asked.
    pub fn answer(&self, answer: Answer) -> Result<Response<Body>> {
        let response = answer.map_err(|e| self.failed(web::transport(e)))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND if self.doing != "write" && self.doing != "make" => {
                body::drain(response);
                Err(BackendError::NotFound {
                    kind: self.kind,
                    id: self.id.unwrap_or_default(),
                    location: self.backend.location.clone(),
                })
            }
            status => Err(BackendError::Refused {
                doing: self.doing,
                object: self.object(),
                location: self.backend.location.clone(),
                status: status.as_u16(),
                detail: detail(response),
            }),
        }
    }

    /// The same when nothing but the status matters.
    pub fn done(&self, answer: Answer) -> Result<()> {
        self.answer(answer).map(body::drain)
    }

    /// The connection failed.
    pub fn failed(&self, source: io::Error) -> BackendError {
        BackendError::Io {
            doing: self.doing,
            object: self.object(),
            location: self.backend.location.clone(),
            source,
        }
    }

    /// The server answered something that the protocol does not know.
    pub fn garbled(&self, why: &str) -> BackendError {
        self.failed(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    fn object(&self) -> String {
        match (self.id, self.kind) {
            (None, FileKind::Config) => "the repository".to_owned(),
            (_, FileKind::Config) => "config".to_owned(),
            (None, kind) => format!("folder {}", kind.folder()),
            (Some(id), kind) => format!("{kind} {id}"),
        }
    }
}

/// `: ` and the first line of what the server says, or where it points.
fn detail(response: Response<Body>) -> String {
    let target = response.headers().get("location").and_then(|value| value.to_str().ok());
    let text = match target {
        Some(target) => format!("it is at {target}"),
        None => body::first_line(response),
    };
    if text.is_empty() { text } else { format!(": {text}") }
}
