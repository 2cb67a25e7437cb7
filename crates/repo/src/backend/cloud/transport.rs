//! The library's requests through our HTTP client.
//!
//! The client blocks; so does the future, on the thread of the caller whose call it is.

use std::io;

use futures_util::stream;
use opendal_core::{Buffer, Error, ErrorKind, HttpBody, HttpTransport, HttpUri, Result};
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::{Agent, Body};

use crate::backend::web::{self, body};

/// Sends requests.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
}

impl Transport {
    pub fn new(agent: Agent) -> Self {
        Self { agent }
    }

    fn send(&self, request: Request<Buffer>) -> io::Result<Response<Body>> {
        let (parts, data) = request.into_parts();
        let needs_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        let answer = if data.is_empty() && !needs_body {
            self.agent.run(Request::from_parts(parts, ()))
        } else {
            let data = data.to_bytes();
            let request = Request::from_parts(parts, &*data);
            self.agent.run(request)
        };
        answer.map_err(web::transport)
    }

    fn exchange(&self, request: Request<Buffer>) -> io::Result<Response<Vec<u8>>> {
        let has_no_body = *request.method() == Method::HEAD;
        let answer = self.send(request)?;
        if let Some(kind) = refusal(answer.status()) {
            let why = format!("the service answers {}{}", answer.status(), target(&answer));
            return Err(io::Error::new(kind, why));
        }
        if has_no_body {
            return Ok(answer.map(|_| Vec::new()));
        }
        let parts = {
            let mut parts = Response::new(());
            *parts.status_mut() = answer.status();
            *parts.headers_mut() = answer.headers().clone();
            parts
        };
        let data = body::read(answer, body::Wanted::Whole)?;
        Ok(parts.map(|()| data))
    }
}

/// Answers of which the library does not say that waiting changes nothing.
fn refusal(status: StatusCode) -> Option<io::ErrorKind> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Some(io::ErrorKind::PermissionDenied)
        }
        StatusCode::MOVED_PERMANENTLY => Some(io::ErrorKind::InvalidInput),
        StatusCode::INSUFFICIENT_STORAGE => Some(io::ErrorKind::StorageFull),
        _ => None,
    }
}

/// Where it points: to another region or host.
fn target(answer: &Response<Body>) -> String {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    match (header("x-amz-bucket-region"), header("location")) {
        (Some(region), _) => format!(": the bucket lies in {region}"),
        (None, Some(target)) => format!(": it is at {}", HttpUri::new(target).redacted_uri()),
        (None, None) => String::new(),
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let answer = self.exchange(request).map_err(|e| {
            Error::new(ErrorKind::Unexpected, e.to_string()).set_source(e).set_temporary()
        })?;
        // Not every service of the library says so.
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(Error::new(ErrorKind::RangeNotSatisfied, "the file ends before"));
        }
        Ok(answer.map(|data| {
            let data = (!data.is_empty()).then(|| Ok(Buffer::from(data)));
            HttpBody::new(stream::iter(data), None)
        }))
    }
}
