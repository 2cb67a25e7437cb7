//! One connection to a server's socket, kept open: requests and answers in JSON.
//!
//! It speaks just enough HTTP for our own server, so that what is measured is the server and not a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// See the module header.
pub(crate) struct Client(BufReader<UnixStream>);

fn text(error: impl std::fmt::Display) -> String {
    format!("the server's socket: {error}")
}

impl Client {
    /// Connects.
    pub(crate) fn connect(socket: &Path) -> Result<Self, String> {
        UnixStream::connect(socket).map(|stream| Self(BufReader::new(stream))).map_err(text)
    }

    /// Reads a resource.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value, String> {
        parse(&self.raw("GET", path, "")?)
    }

    /// Reads a resource and leaves the text as it is.
    pub(crate) fn get_raw(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.raw("GET", path, "")
    }

    /// Sends a value.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value, String> {
        parse(&self.raw("POST", path, &body.to_string())?)
    }

    /// Sends a value and leaves the answer as it is.
    pub(crate) fn post_raw(&mut self, path: &str, body: &Value) -> Result<Vec<u8>, String> {
        self.raw("POST", path, &body.to_string())
    }

    /// Changes a resource.
    pub(crate) fn patch(&mut self, path: &str, body: &Value) -> Result<Value, String> {
        parse(&self.raw("PATCH", path, &body.to_string())?)
    }

    fn raw(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let prefix = if path.starts_with("/api/") { "" } else { "/api/v1" };
        let request = format!(
            "{method} {prefix}{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes()).map_err(text)?;
        let mut line = String::new();
        self.0.read_line(&mut line).map_err(text)?;
        let good = line.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
        let mut length = 0;
        loop {
            let mut header = String::new();
            self.0.read_line(&mut header).map_err(text)?;
            match header.trim().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().map_err(text)?;
                }
                Some(_) => {}
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).map_err(text)?;
        if good {
            return Ok(answer);
        }
        Err(format!("{method} {path}: {} {}", line.trim(), String::from_utf8_lossy(&answer)))
    }
}

fn parse(answer: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(answer).map_err(text)
}
