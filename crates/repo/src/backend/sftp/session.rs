//! The file protocol, version 3, as far as a repository needs it. Requests for pieces of one file overlap.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use russh_sftp::client::error::Error;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, Status, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

/// Every server takes requests of this length.
const PIECE: usize = 32 << 10;
/// Pieces of a file under way at once: 2 MiB.
const PIECES_AT_ONCE: usize = 64;
/// Folders that are made or listed at once; servers allow few open ones.
const FOLDERS_AT_ONCE: usize = 16;
/// Without an answer. Disks of others may be slow.
const STALL_SECONDS: u64 = 300;

const RENAME_OVER: &str = "posix-rename@openssh.com";
const SYNC: &str = "fsync@openssh.com";

/// A running session.
pub struct Session {
    raw: RawSftpSession,
    renames_over: bool,
    syncs: bool,
    broken: AtomicBool,
}

/// What the server says to a request.
#[derive(Debug)]
struct Said(StatusCode, String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.as_str() {
            "" => self.0.fmt(f),
            text => f.write_str(text),
        }
    }
}

impl std::error::Error for Said {}

impl Session {
    /// Agrees with the server on the version.
    pub async fn begin(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> io::Result<Self> {
        let config = Config { request_timeout_secs: STALL_SECONDS, ..Config::default() };
        let raw = RawSftpSession::new_with_config(stream, config);
        let version = raw.init().await.map_err(failed)?;
        let has = |name: &str| version.extensions.contains_key(name);
        let (renames_over, syncs) = (has(RENAME_OVER), has(SYNC));
        Ok(Self { raw, renames_over, syncs, broken: false.into() })
    }

    /// May the connection still be good?
    pub fn is_open(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// The answer, or the failure; one of the connection makes the session end.
    fn answer<T>(&self, answer: Result<T, Error>) -> io::Result<T> {
        if let Err(e) = &answer
            && !matches!(e, Error::Status(_))
        {
            self.broken.store(true, Ordering::Relaxed);
        }
        answer.map_err(failed)
    }

    /// The length of a file in bytes.
    pub async fn length(&self, path: &str) -> io::Result<u64> {
        let found = self.answer(self.raw.stat(path).await)?;
        Ok(found.attrs.len())
    }

    /// A whole file, or a part: from where, and how long. `UnexpectedEof` when the file ends before.
    pub async fn read(&self, path: &str, part: Option<(u64, usize)>) -> io::Result<Vec<u8>> {
        let open = self.raw.open(path, OpenFlags::READ, FileAttributes::empty()).await;
        let handle = self.answer(open)?.handle;
        let read = self.read_open(&handle, part).await;
        let closed = self.raw.close(&*handle).await;
        read.and_then(|data| self.answer(closed).map(|_| data))
    }

    async fn read_open(&self, handle: &str, part: Option<(u64, usize)>) -> io::Result<Vec<u8>> {
        let there = self.answer(self.raw.fstat(handle).await)?.attrs.len();
        let (from, len) = match part {
            Some(part) => part,
            None => (0, usize::try_from(there).unwrap_or(usize::MAX)),
        };
        // A hostile index must not make us reserve what the file cannot hold.
        if from.checked_add(len as u64).is_none_or(|end| end > there) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pieces = (0..len).step_by(PIECE).map(|at| (from + at as u64, PIECE.min(len - at)));
        let pieces = pieces.map(|(at, len)| self.read_piece(handle, at, len));
        let mut data = Vec::with_capacity(len);
        let mut pieces = stream::iter(pieces).buffered(PIECES_AT_ONCE);
        while let Some(piece) = pieces.try_next().await? {
            data.extend_from_slice(&piece);
        }
        Ok(data)
    }

    /// A server may answer with less than was asked for.
    async fn read_piece(&self, handle: &str, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            let (from, wanted) = (at + data.len() as u64, len - data.len());
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
            let more = match self.raw.read(handle, from, wanted).await {
                Err(Error::Status(Status { status_code: StatusCode::Eof, .. })) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                answer => self.answer(answer)?.data,
            };
            if more.is_empty() || more.len() > wanted as usize {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the server sent another length",
                ));
            }
            data.extend_from_slice(&more);
        }
        Ok(data)
    }

    /// Writes a file under a temporary name and renames it, whole or not at all.
    pub async fn put(
        &self,
        folder: &str,
        path: &str,
        temporary: &str,
        data: &[u8],
    ) -> io::Result<()> {
        let written = match self.write_new(temporary, data).await {
            Err(e) if is_missing(&e) => {
                self.make_folders(folder).await?;
                self.write_new(temporary, data).await
            }
            written => written,
        };
        let named = match written {
            Ok(()) => self.rename(temporary, path, data).await,
            Err(e) => Err(e),
        };
        if named.is_err() {
            let _ = self.raw.remove(temporary).await;
        }
        named
    }

    async fn write_new(&self, path: &str, data: &[u8]) -> io::Result<()> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let private = FileAttributes { permissions: Some(0o600), ..FileAttributes::empty() };
        let handle = self.answer(self.raw.open(path, flags, private).await)?.handle;
        let written = self.fill(&handle, data).await;
        let closed = self.raw.close(&*handle).await;
        written.and_then(|()| self.answer(closed).map(drop))
    }

    async fn fill(&self, handle: &str, data: &[u8]) -> io::Result<()> {
        let pieces = data.chunks(PIECE).zip((0u64..).step_by(PIECE));
        let pieces = pieces.map(|(piece, at)| self.raw.write(handle, at, piece.to_vec()));
        let mut answers = stream::iter(pieces).buffer_unordered(PIECES_AT_ONCE);
        while let Some(answer) = answers.next().await {
            self.answer(answer)?;
        }
        if self.syncs {
            self.answer(self.raw.fsync(handle).await)?;
        }
        Ok(())
    }

    /// Over a file of this name too. `data` is what the file holds.
    async fn rename(&self, from: &str, to: &str, data: &[u8]) -> io::Result<()> {
        if self.renames_over {
            let mut names = Vec::new();
            for name in [from, to] {
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
                names.extend_from_slice(&length.to_be_bytes());
                names.extend_from_slice(name.as_bytes());
            }
            return match self.answer(self.raw.extended(RENAME_OVER, names).await)? {
                Packet::Status(Status { status_code: StatusCode::Ok, .. }) => Ok(()),
                Packet::Status(status) => Err(failed(Error::Status(status))),
                _ => Err(failed(Error::UnexpectedPacket)),
            };
        }
        // Plain renaming fails where there is a file. The same content stays, for others may be reading it; other content gives way.
        match self.raw.rename(from, to).await {
            Err(Error::Status(_)) if self.raw.stat(to).await.is_ok() => {
                if self.read(to, None).await.is_ok_and(|there| there == data) {
                    return self.remove(from).await;
                }
                self.answer(self.raw.remove(to).await)?;
                self.answer(self.raw.rename(from, to).await).map(drop)
            }
            answer => self.answer(answer).map(drop),
        }
    }

    /// Removes a file.
    pub async fn remove(&self, path: &str) -> io::Result<()> {
        self.answer(self.raw.remove(path).await).map(drop)
    }

    /// Makes a folder and those above it.
    pub async fn make_folders(&self, path: &str) -> io::Result<()> {
        let mut missing = vec![path];
        while let Some(folder) = missing.last().copied() {
            match self.make(folder).await {
                Ok(()) => {
                    missing.pop();
                }
                Err(e) if is_missing(&e) => match folder.trim_end_matches('/').rsplit_once('/') {
                    Some((above, _)) if !above.is_empty() => missing.push(above),
                    _ => return Err(e),
                },
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Makes folders whose folder is there.
    pub async fn make_each(&self, paths: &[String]) -> io::Result<()> {
        let all = paths.iter().map(|path| self.make(path));
        stream::iter(all).buffer_unordered(FOLDERS_AT_ONCE).try_collect().await
    }

    /// Fine when it is there: the answer to that is no special one.
    async fn make(&self, path: &str) -> io::Result<()> {
        let private = FileAttributes { permissions: Some(0o700), ..FileAttributes::empty() };
        match self.raw.mkdir(path, private).await {
            Err(Error::Status(status)) => match self.raw.stat(path).await {
                Ok(found) if found.attrs.is_dir() => Ok(()),
                _ => Err(failed(Error::Status(status))),
            },
            answer => self.answer(answer).map(drop),
        }
    }

    /// Names and lengths of the files in folders, where these are there, that begin as is said beside each.
    pub async fn list(&self, folders: &[(String, String)]) -> io::Result<Vec<(String, u64)>> {
        let all = folders.iter().map(|(folder, begin)| self.list_one(folder, begin));
        let lists: Vec<Vec<_>> =
            stream::iter(all).buffer_unordered(FOLDERS_AT_ONCE).try_collect().await?;
        Ok(lists.into_iter().flatten().collect())
    }

    async fn list_one(&self, folder: &str, begin: &str) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        let handle = match self.answer(self.raw.opendir(folder).await) {
            Err(e) if is_missing(&e) => return Ok(found),
            handle => handle?.handle,
        };
        let listed = loop {
            match self.raw.readdir(&*handle).await {
                Err(Error::Status(Status { status_code: StatusCode::Eof, .. })) => break Ok(()),
                answer => match self.answer(answer) {
                    Ok(names) => found.extend(names.files.into_iter().filter_map(|file| {
                        let fits = !file.attrs.is_dir() && file.filename.starts_with(begin);
                        fits.then(|| (file.filename, file.attrs.len()))
                    })),
                    Err(e) => break Err(e),
                },
            }
        };
        let closed = self.raw.close(&*handle).await;
        listed.and_then(|()| self.answer(closed)).map(|_| found)
    }
}

/// Did the server say it, and not the way to it?
pub fn is_of_server(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Said>())
}

/// Does the server say that there is no such file or folder?
pub fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && is_of_server(error)
}

/// With a kind that tells whether it may pass.
fn failed(error: Error) -> io::Error {
    let kind = match &error {
        Error::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => io::ErrorKind::NotFound,
            StatusCode::PermissionDenied => io::ErrorKind::PermissionDenied,
            StatusCode::OpUnsupported => io::ErrorKind::Unsupported,
            StatusCode::NoConnection | StatusCode::ConnectionLost => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        },
        Error::Timeout => io::ErrorKind::TimedOut,
        Error::IO(_) => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    match error {
        Error::Status(status) => {
            io::Error::new(kind, Said(status.status_code, status.error_message))
        }
        error => io::Error::new(kind, error.to_string()),
    }
}
