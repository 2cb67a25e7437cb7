//! Bodies of requests and answers as blocking readers and writers, a few pieces ahead of one another.
//!
//! Async tasks move the bytes; whoever makes or takes them blocks on a thread of its own. Memory is bounded by the number of pieces under way.

use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Buf, Frame, SizeHint};
use tintype_image::Output;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that may be under way.
const AHEAD: usize = 4;
/// Bytes that a writer collects for a piece.
const PIECE: usize = 1 << 20;

/// One piece, or why none comes any more.
type Piece = io::Result<Bytes>;

/// Writes that become a body.
pub struct PieceWriter {
    pieces: Sender<Piece>,
    buf: Vec<u8>,
}

/// A body whose pieces a [`PieceWriter`] makes.
pub struct PieceBody {
    pieces: Receiver<Piece>,
    left: Option<u64>,
}

/// A writer, and the body that brings what it writes; `length` when it is known how many bytes that will be.
#[must_use]
pub fn outgoing(length: Option<u64>) -> (PieceWriter, PieceBody) {
    let (sender, pieces) = channel(AHEAD);
    (PieceWriter { pieces: sender, buf: Vec::new() }, PieceBody { pieces, left: length })
}

impl PieceWriter {
    fn send(&self, piece: Piece) -> io::Result<()> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the other side has gone");
        self.pieces.blocking_send(piece).map_err(gone)
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buf.capacity() == 0 {
            self.buf.reserve_exact(PIECE);
        }
        let (part, _) = bytes.split_at(bytes.len().min(PIECE.saturating_sub(self.buf.len())));
        self.buf.extend_from_slice(part);
        if self.buf.len() >= PIECE {
            self.flush()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.buf));
        self.send(Ok(piece))
    }
}

/// A body has no holes.
impl Output for PieceWriter {}

impl HttpBody for PieceBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        this.pieces.poll_recv(context).map(|piece| match piece {
            Some(Ok(bytes)) => {
                this.left = this.left.map(|left| left.saturating_sub(bytes.len() as u64));
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => Some(Err(error)),
            // Less than was promised is an error of the connection, not an end.
            None => match this.left {
                Some(left) if left > 0 => Some(Err(io::Error::other("ended too early"))),
                _ => None,
            },
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Reads a body.
pub struct BodyReader {
    pieces: Receiver<Piece>,
    piece: Bytes,
}

/// What becomes of the rest of a body when its reader has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is taken and forgotten, so that the other side gets to see an answer.
    Take,
    /// It stays where it is.
    Leave,
}

/// A reader of a body, and what brings it its pieces: to be polled while it is read.
pub fn incoming<B>(body: B, rest: Rest) -> (BodyReader, impl Future<Output = ()>)
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let (sender, pieces) = channel(AHEAD);
    let feed = feed(body, sender, rest);
    (BodyReader { pieces, piece: Bytes::new() }, feed)
}

async fn feed<B>(mut body: B, pieces: Sender<Piece>, rest: Rest)
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => Ok(bytes),
                Err(_) => continue,
            },
            Err(error) => Err(io::Error::other(format!("the connection broke: {error}"))),
        };
        let broken = piece.is_err();
        let unread = pieces.send(piece).await.is_err();
        if broken || (unread && rest == Rest::Leave) {
            return;
        }
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => break,
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, bytes: usize) {
        self.piece.advance(bytes.min(self.piece.len()));
    }
}

impl Read for BodyReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let (part, _) = piece.split_at(into.len().min(piece.len()));
        let count = part.len();
        into.split_at_mut(count).0.copy_from_slice(part);
        self.consume(count);
        Ok(count)
    }
}
