//! A strict server of the REST protocol, as rest-server is: it hashes what it stores, refuses to replace, wants lengths. On request it behaves
//! as others do, or badly.

#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tintype_repo::Id;

/// How the server deviates from the strict one.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Lists names only.
    pub version_1: bool,
    /// Says `null` for empty folders.
    pub null_lists: bool,
    /// Sends whole files when parts are asked for.
    pub ignores_ranges: bool,
    /// Deletes nothing but locks.
    pub append_only: bool,
    /// Replaces files without a word, as rclone does.
    pub replaces: bool,
    /// `user:password` in base64.
    pub login: Option<&'static str>,
    /// Stores this many uploads and hangs up without an answer.
    pub lost_answers: u32,
    /// Hangs up in the middle of this many downloads.
    pub cut_downloads: u32,
    /// Answers this many requests with a status and nothing else.
    pub refusals: Vec<u16>,
    /// Has no room for one upload after each removal of the config.
    pub full_after_delete: bool,
    /// Added to every listing.
    pub strange_names: Vec<&'static str>,
}

#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub manners: Manners,
    pub connections: u32,
    pub requests: Vec<String>,
    created: bool,
    hang_up: bool,
    full: bool,
}

/// Serves until the test ends.
#[derive(Clone)]
pub struct Server {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Option<Vec<u8>>,
}

impl Server {
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { manners, ..State::default() }));
        let server = Self { port, state };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = serving.clone();
                std::thread::spawn(move || server.converse(&stream.unwrap()));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/some/repo/", self.port)
    }

    fn converse(&self, stream: &TcpStream) {
        self.state.lock().unwrap().connections += 1;
        let mut reader = BufReader::new(stream);
        while let Some(request) = request(&mut reader) {
            let Some(answer) = self.answer(&request) else { return };
            let sent = (&*stream).write_all(&answer);
            if sent.is_err() || std::mem::take(&mut self.state.lock().unwrap().hang_up) {
                return;
            }
        }
    }

    /// None: hang up.
    fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let mut state = self.state.lock().unwrap();
        state.requests.push(format!("{} {}", request.method, request.path));
        if let Some(status) = state.manners.refusals.pop() {
            return Some(reply(status, "", b"no\x1b[1m, not now\nmore"));
        }
        if let Some(login) = state.manners.login
            && request.headers.get("authorization") != Some(&format!("Basic {login}"))
        {
            return Some(reply(401, "", b"Unauthorized"));
        }
        let Some(path) = request.path.strip_prefix("/some/repo/") else {
            return Some(reply(404, "", b""));
        };
        match (request.method.as_str(), path) {
            ("POST", "") if request.query == "create=true" => {
                state.created = true;
                Some(reply(200, "", b""))
            }
            ("GET", folder) if folder.ends_with('/') => Some(list(&state, folder, request)),
            ("GET" | "HEAD", _) => get(&mut state, path, request),
            ("POST", _) => post(&mut state, path, request.body.as_deref()),
            ("DELETE", _) => {
                if state.manners.append_only && !path.starts_with("locks/") {
                    return Some(reply(403, "", b"Forbidden"));
                }
                state.files.remove(path);
                if path == "config" && state.manners.full_after_delete {
                    state.full = true;
                }
                Some(reply(200, "", b""))
            }
            _ => Some(reply(405, "", b"")),
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    assert!(!headers.contains_key("transfer-encoding"), "bodies have lengths");
    let length = headers.get("content-length").map(|length| length.parse::<u64>().unwrap());
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body).ok()?;
    let body = length.map(|_| body);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn reply(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status} Word\r\n{headers}Content-Length: {length}\r\n\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn list(state: &State, folder: &str, request: &Request) -> Vec<u8> {
    let files = state.files.iter().filter_map(|(path, data)| {
        path.strip_prefix(folder).map(|name| (name.to_owned(), data.len()))
    });
    let strange = state.manners.strange_names.iter().map(|name| ((*name).to_owned(), 7));
    let all: Vec<_> = files.chain(strange).collect();
    if all.is_empty() && state.manners.null_lists {
        return reply(200, "", b"null");
    }
    const V2: &str = "application/vnd.x.restic.rest.v2";
    let modern = !state.manners.version_1 && request.headers.get("accept").is_some_and(|a| a == V2);
    let names = all.iter().map(|(name, size)| {
        if modern { serde_json::json!({"name": name, "size": size}) } else { name.as_str().into() }
    });
    let text = serde_json::Value::from(names.collect::<Vec<_>>()).to_string();
    let kind = if modern { V2 } else { "application/vnd.x.restic.rest.v1" };
    reply(200, &format!("Content-Type: {kind}\r\n"), text.as_bytes())
}

fn get(state: &mut State, path: &str, request: &Request) -> Option<Vec<u8>> {
    let Some(data) = state.files.get(path) else { return Some(reply(404, "", b"Not Found")) };
    let length = data.len() as u64;
    let range = request.headers.get("range").filter(|_| !state.manners.ignores_ranges);
    let mut answer = match range {
        None => reply(200, "", data),
        Some(range) => {
            let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap_or(u64::MAX));
            assert!(from <= to);
            if from >= length {
                return Some(reply(416, "", b""));
            }
            let to = to.min(length - 1);
            let header = format!("Content-Range: bytes {from}-{to}/{length}\r\n");
            reply(206, &header, &data[from as usize..=to as usize])
        }
    };
    if request.method == "HEAD" {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        answer.truncate(end);
    } else if state.manners.cut_downloads > 0 {
        state.manners.cut_downloads -= 1;
        answer.truncate(answer.len() - 3);
        state.hang_up = true;
    }
    Some(answer)
}

fn post(state: &mut State, path: &str, body: Option<&[u8]>) -> Option<Vec<u8>> {
    let Some(body) = body else { return Some(reply(411, "", b"Length Required")) };
    if std::mem::take(&mut state.full) {
        return Some(reply(507, "", b"Insufficient Storage"));
    }
    if state.files.contains_key(path) && !state.manners.replaces {
        return Some(reply(403, "", b"Forbidden"));
    }
    let named = path.rsplit_once('/').map(|(_, name)| name.parse::<Id>().unwrap());
    if named.is_some_and(|id| id != Id::of(body)) {
        return Some(reply(400, "", b"Bad Request"));
    }
    state.files.insert(path.to_owned(), body.to_vec());
    if state.manners.lost_answers > 0 {
        state.manners.lost_answers -= 1;
        return None;
    }
    Some(reply(200, "", b""))
}
