//! Replies that wait to be sent: many per write.

use std::io;

use parking_lot::Mutex;

use crate::budget::{Budget, Buffers};
use crate::stream::Stream;
use crate::wire::reply::Head;

/// One reply or chunk.
pub(crate) struct Letter {
    /// The fixed part.
    pub head: Head,
    /// Data; empty for most.
    pub body: Vec<u8>,
}

/// Replies and what they hold of the budget.
#[derive(Default)]
struct Waiting {
    letters: Vec<Letter>,
    bytes: usize,
    held: usize,
}

#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    sending: Mutex<()>,
}

impl Outbox {
    /// Adds the letters of one reply, which together hold `held` bytes of the budget.
    pub fn push(&self, letters: &mut Vec<Letter>, held: usize) {
        let mut waiting = self.waiting.lock();
        let bytes: usize = letters.iter().map(|letter| letter.body.len()).sum();
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        waiting.held = waiting.held.saturating_add(held);
        waiting.letters.append(letters);
    }

    /// Letters and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.letters.len(), waiting.bytes)
    }

    /// Sends all that waits. What this call finds taken is being sent by another thread.
    pub fn flush(&self, stream: &Stream, budget: &Budget, buffers: &Buffers) -> io::Result<()> {
        let _one_at_a_time = self.sending.lock();
        let batch = std::mem::take(&mut *self.waiting.lock());
        if batch.letters.is_empty() {
            return Ok(());
        }
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(batch.letters.len().saturating_mul(2));
        for letter in &batch.letters {
            pieces.push(letter.head.as_slice());
            if !letter.body.is_empty() {
                pieces.push(&letter.body);
            }
        }
        let sent = stream.send(&pieces);
        batch.letters.into_iter().for_each(|letter| buffers.put(letter.body));
        budget.give(batch.held);
        sent
    }
}
