//! Talks to the server over its Unix socket: one connection and one request per command.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::error::{CliError, CliResult};
use crate::signals;

/// The way to a server.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the server at `socket`.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads a resource.
    pub fn get(&self, path: &str) -> CliResult<Bytes> {
        self.send(Method::GET, path, None)
    }

    /// Removes a resource.
    pub fn delete(&self, path: &str) -> CliResult<Bytes> {
        self.send(Method::DELETE, path, None)
    }

    /// Sends a body.
    pub fn call<T: Serialize>(&self, method: Method, path: &str, body: &T) -> CliResult<Bytes> {
        self.send(method, path, Some(serde_json::to_vec(body)?))
    }

    /// Sends a body with POST.
    pub fn post<T: Serialize>(&self, path: &str, body: &T) -> CliResult<Bytes> {
        self.call(Method::POST, path, body)
    }

    fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> CliResult<Bytes> {
        signals::leave_on_interrupt()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|e| self.broken(&e))?;
        let (status, body) = runtime.block_on(self.exchange(method, path, body))?;
        if (200..300).contains(&status) {
            Ok(body)
        } else {
            Err(CliError::from_answer(status, &body))
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> CliResult<(u16, Bytes)> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.absent(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|e| self.broken(&e))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        // The connection moves bytes only while it is polled; the answer decides.
        tokio::pin!(connection);
        tokio::pin!(answer);
        tokio::select! {
            biased;
            result = &mut answer => result.map_err(|e| self.broken(&e)),
            ended = &mut connection => match ended {
                Ok(()) => answer.await.map_err(|e| self.broken(&e)),
                Err(error) => Err(self.broken(&error)),
            },
        }
    }

    fn absent(&self, error: &std::io::Error) -> CliError {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            return CliError::failure(
                format!("socket {}: belongs to another user ({error})", self.socket.display()),
                "Start a server of your own with `tintype up`, or name its socket with --socket or TINTYPE_SOCKET.",
            );
        }
        CliError::failure(
            format!("socket {}: no server answers there ({error})", self.socket.display()),
            "Start one with `tintype up`, or name its socket with --socket or TINTYPE_SOCKET.",
        )
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> CliError {
        CliError::failure(
            format!("socket {}: the connection broke: {error}", self.socket.display()),
            "Look whether the server still runs: `tintype status`.",
        )
    }
}

/// Reads an answer.
pub fn parse<T: DeserializeOwned>(body: &Bytes) -> CliResult<T> {
    Ok(serde_json::from_slice(body)?)
}

/// A text as one segment of a path or one value of a query.
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The path of a snapshot.
pub fn snapshot_path(name: &tintype_model::SnapshotRef) -> String {
    format!(
        "/volumes/{}/snapshots/{}",
        escape(name.volume.as_str()),
        escape(name.snapshot.as_str())
    )
}

/// The path of a filesystem.
pub fn filesystem_path(name: &tintype_model::VolumeName) -> String {
    format!("/filesystems/{}", escape(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_escaped() {
        assert_eq!(escape("a b/ü?"), "a%20b%2F%C3%BC%3F");
        let name = "home@50%".parse().unwrap();
        assert_eq!(snapshot_path(&name), "/volumes/home/snapshots/50%25");
    }
}
