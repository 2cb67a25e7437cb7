//! Files that clients hand over: an open descriptor comes with the first bytes of a connection to the Unix socket.
//!
//! The server opens no path for anybody: what it writes to was opened by the client, with the client's rights. Only a regular file that can be written
//! anywhere is taken, because nothing else is sure not to hold up a thread for ever. A connection brings one; whoever answers its request takes it,
//! and what nobody takes is closed with the connection.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tintype_app::{AppError, AppResult};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// What a connection brought.
#[derive(Clone, Debug, Default)]
pub struct Handed(Arc<Mutex<Option<OwnedFd>>>);

impl Handed {
    /// The file, for one who will write an image to it.
    pub fn take(&self) -> AppResult<File> {
        let refuse = |detail: &str| {
            AppError::invalid(
                "file of the request",
                detail,
                "Hand over one regular file, opened for writing, with the first bytes of the connection.",
            )
        };
        let file = self.0.lock().take().map(File::from).ok_or_else(|| refuse("did not come"))?;
        let regular = file.metadata().is_ok_and(|meta| meta.is_file());
        let flags = rustix::fs::fcntl_getfl(&file).unwrap_or(OFlags::APPEND);
        let access = flags & OFlags::RWMODE;
        let writable = access == OFlags::WRONLY || access == OFlags::RDWR;
        if !regular || !writable || flags.intersects(OFlags::APPEND | OFlags::PATH) {
            return Err(refuse("cannot be written anywhere"));
        }
        Ok(file)
    }
}

/// A connection that may bring a file.
pub struct HandingStream {
    inner: UnixStream,
    handed: Handed,
    /// Nothing has come yet.
    first: bool,
}

impl HandingStream {
    /// A connection on which nothing has come yet, and what it will have brought.
    pub fn new(inner: UnixStream) -> (Self, Handed) {
        let handed = Handed::default();
        (Self { inner, handed: handed.clone(), first: true }, handed)
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut extra = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(
            &self.inner,
            &mut [IoSliceMut::new(into)],
            &mut extra,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        )?;
        for message in extra.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                *self.handed.0.lock() = files.last();
            }
        }
        Ok(got.bytes)
    }
}

impl AsyncRead for HandingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Later bytes come the plain way, on which the kernel closes whatever comes with them.
        if !this.first {
            return Pin::new(&mut this.inner).poll_read(context, buf);
        }
        loop {
            ready!(this.inner.poll_read_ready(context))?;
            let into = buf.initialize_unfilled();
            match this.inner.try_io(Interest::READABLE, || this.receive(into)) {
                Ok(count) => {
                    this.first = false;
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for HandingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::fd::AsFd;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use tokio::io::AsyncReadExt;

    use super::*;

    fn handed(file: impl Into<OwnedFd>) -> Handed {
        Handed(Arc::new(Mutex::new(Some(file.into()))))
    }

    #[test]
    fn only_a_regular_file_for_writing_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = || File::create(&path).unwrap();
        let good = handed(file());
        good.take().unwrap().write_all(b"x").unwrap();
        assert!(good.take().unwrap_err().detail.contains("did not come"), "once");
        drop(file());
        let (_, pipe) = std::io::pipe().unwrap();
        for (what, bad) in [
            ("for reading", handed(File::open(&path).unwrap())),
            ("for appending", handed(OpenOptions::new().append(true).open(&path).unwrap())),
            ("a folder", handed(File::open(dir.path()).unwrap())),
            ("a device", handed(OpenOptions::new().write(true).open("/dev/null").unwrap())),
            ("a pipe", handed(pipe)),
        ] {
            assert!(bad.take().unwrap_err().detail.contains("cannot be written"), "{what}");
        }
    }

    fn send(stream: &UnixStream, bytes: &[u8], files: &[File]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let mut extra = SendAncillaryBuffer::new(&mut space);
        assert!(extra.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(stream, &[io::IoSlice::new(bytes)], &mut extra, SendFlags::empty()).unwrap();
    }

    #[test]
    fn a_file_comes_with_the_first_bytes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let file = || tempfile::tempfile().unwrap();
            let (client, inner) = UnixStream::pair().unwrap();
            let (mut stream, handed) = HandingStream::new(inner);
            send(&client, b"one", &[file()]);
            let mut bytes = [0; 3];
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"one");
            handed.take().unwrap();
            send(&client, b"two", &[file()]);
            stream.read_exact(&mut bytes).await.unwrap();
            assert!(&bytes == b"two" && handed.take().is_err(), "later ones are closed");
            // More than one do not fit; the bytes come all the same.
            let (client, inner) = UnixStream::pair().unwrap();
            let (mut stream, _) = HandingStream::new(inner);
            send(&client, b"six", &[file(), file(), file()]);
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"six");
        });
    }
}
