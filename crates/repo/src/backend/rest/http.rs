//! Requests to a REST server and what their answers mean; knows no paths.

use std::io;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, RequestBuilder};

use super::body;
use super::{BackendError, FileKind, RestBackend, RestOptions, Result};
use crate::id::Id;

/// As many as there are threads that write and read at once, in practice.
const IDLE_CONNECTIONS: usize = 16;
/// Shorter than what servers keep idle connections open for, so that they seldom close one that we are about to use.
const IDLE_AGE: Duration = Duration::from_secs(15);

/// What all requests share.
pub fn agent(options: &RestOptions) -> io::Result<Agent> {
    let roots = match &options.ca_certificates {
        Some(pem) => RootCerts::new_with_certs(&certificates(pem)?),
        None => RootCerts::PlatformVerifier,
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("tintype/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.stall_timeout))
        .timeout_per_read(Some(options.stall_timeout))
        .timeout_per_write(Some(options.stall_timeout))
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_idle_age(IDLE_AGE)
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    Ok(config.build().into())
}

fn certificates(pem: &[u8]) -> io::Result<Vec<ureq::tls::Certificate<'static>>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| wrong(e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        Err(wrong("there is no certificate in it".to_owned()))
    } else {
        Ok(found)
    }
}

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
        let response = answer.map_err(|e| self.failed(transport(e)))?;
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

/// What failed below HTTP, with a kind that tells whether it may pass.
fn transport(error: ureq::Error) -> io::Error {
    use io::ErrorKind as E;
    let kind = match &error {
        ureq::Error::Timeout(_) => E::TimedOut,
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Pem(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::InvalidProxyUrl => E::InvalidInput,
        ureq::Error::Io(e) => e.kind(),
        _ => E::Other,
    };
    match error {
        // Rustls has one kind for a certificate that nobody vouches for, which stays so, and for damage on the line, which passes.
        ureq::Error::Io(e) if e.to_string().starts_with("invalid peer certificate") => {
            io::Error::new(E::InvalidInput, e)
        }
        ureq::Error::Io(e) => e,
        error => io::Error::new(kind, error.to_string()),
    }
}
