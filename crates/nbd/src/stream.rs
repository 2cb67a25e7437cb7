//! One connected socket, plain or in TLS: blocking reads and writes, deadlines, and an end that other threads can bring
//! about.
//!
//! Reading and writing may happen at the same time, each by one thread at a time: the caller holds a lock for reading;
//! writing has its own here.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use rustls::ServerConnection;

use crate::tls::Identity;

/// Pieces per call; the system takes at most 1,024.
const PIECES_MAX: usize = 1024;
/// Bytes read at once from an encrypted connection: one full record and more.
const CIPHER: usize = 64 << 10;
/// What the system is asked to keep for each direction.
const SOCKET_BUFFER: usize = 2 << 20;
/// A peer that is gone without a word is noticed after about this time and three more probes.
const KEEPALIVE: Duration = Duration::from_secs(60);

struct Tls {
    session: ServerConnection,
}

/// Encrypted bytes that were read and not used yet.
#[derive(Default)]
struct Cipher {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

pub(crate) struct Stream {
    socket: OwnedFd,
    deadline: Mutex<Option<Instant>>,
    sending: Mutex<()>,
    tls: OnceLock<Mutex<Tls>>,
    cipher: Mutex<Cipher>,
}

impl Stream {
    /// Takes a connected socket. `tcp` sets what only TCP knows.
    pub fn new(socket: OwnedFd, tcp: bool) -> Self {
        // What fails here costs speed or comfort, not correctness.
        let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER);
        let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER);
        if tcp {
            let _ = sockopt::set_tcp_nodelay(&socket, true);
            let _ = sockopt::set_socket_keepalive(&socket, true);
            let _ = sockopt::set_tcp_keepidle(&socket, KEEPALIVE);
            let _ = sockopt::set_tcp_keepintvl(&socket, KEEPALIVE / 4);
            let _ = sockopt::set_tcp_keepcnt(&socket, 3);
        }
        Self {
            socket,
            deadline: Mutex::new(None),
            sending: Mutex::new(()),
            tls: OnceLock::new(),
            cipher: Mutex::new(Cipher::default()),
        }
    }

    /// Until when every read and write must be done; nothing means for ever.
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        *self.deadline.lock() = deadline;
        if deadline.is_none() {
            sockopt::set_socket_timeout(&self.socket, Timeout::Recv, None)?;
            sockopt::set_socket_timeout(&self.socket, Timeout::Send, None)?;
        }
        Ok(())
    }

    fn arm(&self, which: Timeout) -> io::Result<()> {
        let Some(deadline) = *self.deadline.lock() else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Less than a microsecond would mean for ever.
        let left = left.max(Duration::from_millis(1));
        Ok(sockopt::set_socket_timeout(&self.socket, which, Some(left))?)
    }

    /// Reads some bytes; 0 at the end.
    pub fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        match self.tls.get() {
            None => self.recv_raw(into),
            Some(tls) => self.recv_tls(tls, into),
        }
    }

    fn recv_raw(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.arm(Timeout::Recv)?;
            match rustix::net::recv(&self.socket, &mut *into, RecvFlags::empty()) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn recv_tls(&self, tls: &Mutex<Tls>, into: &mut [u8]) -> io::Result<usize> {
        let mut cipher = self.cipher.lock();
        loop {
            match tls.lock().session.reader().read(into) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            if cipher.start == cipher.end {
                cipher.bytes.resize(CIPHER, 0);
                cipher.start = 0;
                cipher.end = self.recv_raw(&mut cipher.bytes)?;
            }
            self.decrypt(tls, &mut cipher)?;
        }
    }

    /// Gives read bytes to TLS, and sends what it answers by itself. No bytes are the end.
    fn decrypt(&self, tls: &Mutex<Tls>, cipher: &mut Cipher) -> io::Result<()> {
        let (failed, answers) = {
            let mut tls = tls.lock();
            let mut rest = cipher.bytes.get(cipher.start..cipher.end).unwrap_or_default();
            let used = tls.session.read_tls(&mut rest)?;
            cipher.start = cipher.start.saturating_add(used);
            (tls.session.process_new_packets().err(), tls.session.wants_write())
        };
        if answers {
            let sent = self.send_tls(tls, &[]);
            // The reason of a failed handshake counts more than that nobody listened to it.
            if failed.is_none() {
                sent?;
            }
        }
        failed.map_or(Ok(()), |error| Err(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Writes all the pieces.
    pub fn send(&self, pieces: &[&[u8]]) -> io::Result<()> {
        if let Some(tls) = self.tls.get() {
            return self.send_tls(tls, pieces);
        }
        let _one_at_a_time = self.sending.lock();
        self.send_raw(pieces)
    }

    fn send_raw(&self, pieces: &[&[u8]]) -> io::Result<()> {
        for some in pieces.chunks(PIECES_MAX) {
            let mut slices: Vec<IoSlice<'_>> =
                some.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut rest = slices.as_mut_slice();
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                self.arm(Timeout::Send)?;
                let mut nothing = SendAncillaryBuffer::default();
                match rustix::net::sendmsg(&self.socket, rest, &mut nothing, SendFlags::NOSIGNAL) {
                    Ok(count) => IoSlice::advance_slices(&mut rest, count),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Encrypts and writes the pieces and whatever TLS itself has to say.
    fn send_tls(&self, tls: &Mutex<Tls>, pieces: &[&[u8]]) -> io::Result<()> {
        let _one_at_a_time = self.sending.lock();
        let mut out = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let mut tls = tls.lock();
                let taken = tls.session.writer().write(rest)?;
                rest = rest.get(taken..).unwrap_or_default();
                drain(&mut tls.session, &mut out)?;
                drop(tls);
                if out.len() >= CIPHER * 4 {
                    self.send_raw(&[&out])?;
                    out.clear();
                }
            }
        }
        drain(&mut tls.lock().session, &mut out)?;
        self.send_raw(&[&out])
    }

    /// Goes on in TLS: waits for the client's part of the handshake.
    pub fn start_tls(&self, identity: &Identity) -> io::Result<()> {
        let session = ServerConnection::new(identity.config.clone()).map_err(io::Error::other)?;
        let tls = self.tls.get_or_init(|| Mutex::new(Tls { session }));
        let mut cipher = self.cipher.lock();
        while tls.lock().session.is_handshaking() {
            if cipher.start == cipher.end {
                cipher.bytes.resize(CIPHER, 0);
                cipher.start = 0;
                cipher.end = self.recv_raw(&mut cipher.bytes)?;
                if cipher.end == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            self.decrypt(tls, &mut cipher)?;
        }
        Ok(())
    }

    pub fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Says goodbye in TLS. Only when nobody sends any more.
    pub fn close_notify(&self) {
        if let Some(tls) = self.tls.get() {
            tls.lock().session.send_close_notify();
            // A peer that is gone does not need to hear it.
            drop(self.send_tls(tls, &[]));
        }
    }

    /// Reads end as soon as what has arrived is read.
    pub fn stop_reading(&self) {
        let _ = rustix::net::shutdown(self.socket.as_fd(), Shutdown::Read);
    }

    /// Reads and writes fail from now on.
    pub fn cut(&self) {
        let _ = rustix::net::shutdown(self.socket.as_fd(), Shutdown::Both);
    }
}

fn drain(session: &mut ServerConnection, out: &mut Vec<u8>) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(out)?;
    }
    Ok(())
}
