//! Talks to the server, over its Unix socket or over the network (`remote.rs`): one connection and one request per command.
//! Over the socket an open file can go along.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tintype_server::stream::{BodyReader, PieceWriter, Rest, incoming, outgoing};
use tokio::net::UnixStream;

use crate::error::{CliError, CliResult};
use crate::remote::{Server, Stream};
use crate::signals;

/// The way to a server.
#[derive(Clone, Debug)]
pub struct Client {
    way: Way,
    later: bool,
}

#[derive(Clone, Debug)]
enum Way {
    Socket(PathBuf),
    Server(Server),
}

impl Client {
    /// A client of the server at `socket`.
    pub fn new(socket: PathBuf) -> Self {
        Self { way: Way::Socket(socket), later: false }
    }

    /// A client of a server on the network.
    pub fn of_server(server: Server) -> Self {
        Self { way: Way::Server(server), later: false }
    }

    /// From now on, what can become a task does.
    pub fn later(self) -> Self {
        Self { later: true, ..self }
    }

    /// The socket, if that is the way.
    pub fn socket(&self) -> Option<&Path> {
        match &self.way {
            Way::Socket(socket) => Some(socket),
            Way::Server(_) => None,
        }
    }

    async fn connect(&self, file: Option<&File>) -> CliResult<Stream> {
        match &self.way {
            Way::Socket(socket) => {
                let stream = UnixStream::connect(socket).await;
                let stream = stream.map_err(|error| absent(socket, &error))?;
                if let Some(file) = file {
                    hand_over(&stream, file).map_err(|e| self.broken(&e))?;
                }
                Ok(Box::new(stream))
            }
            // Nothing can be handed over to another machine: a request that needs it is refused there.
            Way::Server(server) => server.connect().await,
        }
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
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        self.run(self.exchange(None, method, path, body, whole))?
    }

    /// Sends a body that `write` makes on a thread of its own. Answers what `write` says, and the answer.
    pub fn upload<T: Send>(
        &self,
        path: &str,
        write: impl FnOnce(PieceWriter) -> T + Send,
    ) -> CliResult<(T, CliResult<Bytes>)> {
        let (writer, body) = outgoing(None);
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || write(writer));
            let answer = self
                .run(self.exchange(None, Method::POST, path, body, whole))
                .and_then(|answer| answer);
            let written = writing.join().map_err(|_| self.broken(&"a thread ended"))?;
            Ok((written, answer))
        })
    }

    /// Reads a resource as it comes: `read` gets its head and its bytes on a thread of its own. With `file`, the server gets the
    /// open file along with the request; that needs its socket.
    pub fn download<T: Send>(
        &self,
        path: &str,
        file: Option<&File>,
        read: impl FnOnce(&HeaderMap, BodyReader) -> T + Send,
    ) -> CliResult<T> {
        let body = Full::new(Bytes::new());
        std::thread::scope(|scope| {
            let take = async |response: Response<Incoming>| {
                let (head, body) = response.into_parts();
                if !head.status.is_success() {
                    let body = body.collect().await?.to_bytes();
                    return Ok(Err(CliError::from_answer(head.status.as_u16(), &body)));
                }
                let (reader, feed) = incoming(body, Rest::Leave);
                let reading = scope.spawn(move || read(&head.headers, reader));
                feed.await;
                Ok(reading.join().map_err(|_| self.broken(&"a thread ended")))
            };
            self.run(self.exchange(file, Method::GET, path, body, take))?
        })
    }

    fn run<T>(&self, work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
        signals::leave_on_interrupt()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        runtime.map_err(|e| self.broken(&e))?.block_on(work)
    }

    async fn exchange<B, T>(
        &self,
        file: Option<&File>,
        method: Method,
        path: &str,
        body: B,
        take: impl AsyncFnOnce(Response<Incoming>) -> hyper::Result<T>,
    ) -> CliResult<T>
    where
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.connect(file).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        let request = Request::builder()
            .method(method)
            .uri(if path.starts_with("/api/") { path.to_owned() } else { format!("/api/v1{path}") })
            .header(header::CONTENT_TYPE, "application/json");
        let request = if self.later { request.header("Prefer", "respond-async") } else { request };
        let request = match &self.way {
            Way::Socket(_) => request.header(header::HOST, "localhost"),
            Way::Server(server) => server.sign(request),
        };
        let request = request.body(body).map_err(|e| self.broken(&e))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            take(response).await
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

    fn broken(&self, error: &dyn std::fmt::Display) -> CliError {
        let place = match &self.way {
            Way::Socket(socket) => format!("socket {}", socket.display()),
            Way::Server(server) => format!("server {}", server.url()),
        };
        CliError::failure(
            format!("{place}: the connection broke: {error}"),
            "Look whether the server still runs: `tintype status`.",
        )
    }
}

fn absent(socket: &Path, error: &std::io::Error) -> CliError {
    let socket = socket.display();
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return CliError::failure(
            format!("socket {socket}: belongs to another user ({error})"),
            "Start a server of your own with `tintype up`, or name its socket with --socket or TINTYPE_SOCKET.",
        );
    }
    CliError::failure(
        format!("socket {socket}: no server answers there ({error})"),
        "Start one with `tintype up`, or name its socket with --socket or TINTYPE_SOCKET.",
    )
}

/// Sends an open file ahead of the request, with an empty line, which HTTP has a server skip there.
fn hand_over(stream: &UnixStream, file: &File) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let files = [file.as_fd()];
    let mut extra = SendAncillaryBuffer::new(&mut space);
    extra.push(SendAncillaryMessage::ScmRights(&files));
    // Nothing was sent yet, so there is room for it.
    sendmsg(stream, &[IoSlice::new(b"\r\n")], &mut extra, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// All of an answer: its body, or the failure that it tells.
async fn whole(response: Response<Incoming>) -> hyper::Result<CliResult<Bytes>> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(if status.is_success() {
        Ok(body)
    } else {
        Err(CliError::from_answer(status.as_u16(), &body))
    })
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
