//! One connection after its handshake: decodes requests, does them or lends them to other threads, sends replies.
//!
//! One thread at a time *drives*: it alone reads and decodes. It does fast requests itself, one after the other, and
//! sends their replies together when nothing is left to decode. What is slow is done by others (see `pace`, `watch`).
//! Whoever holds the connection last closes it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::budget::{Budget, Buffers};
use crate::check::{self, Fault, Op, Work};
use crate::counters::Counted;
use crate::crew::Slots;
use crate::execute::{Desk, RUNS_MAX};
use crate::inbox::Inbox;
use crate::negotiated::Terms;
use crate::outbox::{Letter, Outbox};
use crate::pace::Pace;
use crate::port::Device;
use crate::registry::Seat;
use crate::server::Shared;
use crate::stream::Stream;
use crate::watch::Watched;
use crate::wire::cmd;
use crate::wire::reply::{Mark, Style};
use crate::wire::request::{self, Payload, Request};

/// Replies are sent at the latest when so many wait, or so many bytes.
const SEND_COUNT: usize = 64;
const SEND_BYTES: usize = 256 << 10;
/// How long a peer may take to read our goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A request that was received whole.
struct Job {
    mark: Mark,
    work: Result<Work, Fault>,
    payload: Vec<u8>,
    /// Bytes of the budget.
    held: usize,
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub stream: Arc<Stream>,
    pub device: Arc<dyn Device>,
    pub terms: Terms,
    pub inbox: Inbox,
    pub counted: Counted,
    pub seat: Seat,
    pub shared: Arc<Shared>,
}

pub(crate) struct Connection {
    stream: Arc<Stream>,
    device: Arc<dyn Device>,
    terms: Terms,
    inbox: Mutex<Inbox>,
    outbox: Outbox,
    budget: Budget,
    buffers: Buffers,
    pace: Pace,
    watched: Arc<Watched>,
    /// Threads beside the one that drives.
    helpers: Slots,
    counted: Counted,
    shared: Arc<Shared>,
    seat: Seat,
}

impl Connection {
    pub fn new(parts: Parts) -> Arc<Self> {
        let limits = &parts.shared.limits;
        let watched = Arc::new(Watched::default());
        Arc::new(Self {
            stream: parts.stream,
            device: parts.device,
            terms: parts.terms,
            inbox: Mutex::new(parts.inbox),
            outbox: Outbox::default(),
            budget: Budget::new(limits.bytes_per_connection),
            buffers: Buffers::default(),
            pace: Pace::default(),
            watched,
            helpers: Slots::new(limits.helpers_per_connection),
            counted: parts.counted,
            shared: parts.shared,
            seat: parts.seat,
        })
    }

    /// Serves until the client leaves or another thread takes over.
    pub fn serve(self: &Arc<Self>, export: &str) {
        self.seat.serves(export, self, &self.watched);
        if self.device.is_current() {
            self.drive();
        }
    }

    fn drive(self: &Arc<Self>) {
        let mut letters = Vec::new();
        loop {
            let job = match self.next() {
                Ok(Some(job)) => job,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "an NBD connection ends");
                    break self.stream.cut();
                }
            };
            let slow = job.work.as_ref().is_ok_and(|work| self.pace.is_slow(&work.op));
            let Some(job) = (if slow { self.lend(job) } else { Some(job) }) else { continue };
            let id = self.watched.begin();
            self.shared.watch.wake();
            self.perform(job, &mut letters);
            if !self.watched.end(id) {
                // Another thread drives; this one is its helper now and has done its part.
                self.flush();
                drop(Helper(Some(Arc::clone(self))));
                return;
            }
        }
        self.flush();
    }

    /// Called by the watch: has another thread go on behind request `id`.
    pub fn hand_over(self: &Arc<Self>, id: u64) {
        let Some(helper) = self.helper() else { return };
        let connection = Arc::clone(self);
        let task = move || {
            if connection.watched.claim(id) {
                // The thread that does the request gives the helper's place back.
                helper.keep_place();
                connection.flush();
                connection.drive();
            }
        };
        if let Err((_, error)) = self.shared.crew.run(Box::new(task)) {
            tracing::debug!(%error, "no thread for a slow NBD request");
        }
    }

    /// Has another thread do `job`; gives it back when none may help.
    fn lend(self: &Arc<Self>, job: Job) -> Option<Job> {
        let Some(helper) = self.helper() else { return Some(job) };
        let connection = Arc::clone(self);
        let task = move || {
            connection.perform(job, &mut Vec::new());
            connection.flush();
            drop(helper);
        };
        if let Err((task, _)) = self.shared.crew.run(Box::new(task)) {
            task();
        }
        None
    }

    fn helper(self: &Arc<Self>) -> Option<Helper> {
        if !self.helpers.try_take() {
            return None;
        }
        if !self.shared.helpers.try_take() {
            self.helpers.give();
            return None;
        }
        Some(Helper(Some(Arc::clone(self))))
    }

    /// Does a job and puts its reply into the outbox.
    fn perform(&self, job: Job, letters: &mut Vec<Letter>) {
        let desk = Desk {
            device: &*self.device,
            terms: &self.terms,
            buffers: &self.buffers,
            mark: job.mark,
        };
        let start = Instant::now();
        let failed = desk.answer(job.work.as_ref(), &job.payload, letters);
        let mut held = job.held;
        if let Ok(work) = &job.work {
            self.pace.learn(&work.op, start.elapsed());
            let bytes = |is: bool| if is && !failed { work.length } else { 0 };
            let (read, written) = (matches!(work.op, Op::Read { .. }), work.op == Op::Write);
            self.counted.answered(failed, bytes(read), bytes(written));
            if written {
                self.budget.give(std::mem::take(&mut held));
            }
        } else {
            self.counted.answered(true, 0, 0);
        }
        self.buffers.put(job.payload);
        self.outbox.push(letters, held);
    }

    fn flush(&self) {
        if let Err(error) = self.try_flush() {
            tracing::debug!(%error, "an NBD client does not take its replies");
            self.stream.cut();
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        self.outbox.flush(&self.stream, &self.budget, &self.buffers)
    }

    /// The next request; nothing at the end.
    fn next(&self) -> io::Result<Option<Job>> {
        let mut inbox = self.inbox.lock();
        let (count, bytes) = self.outbox.waiting();
        if count >= SEND_COUNT || bytes >= SEND_BYTES {
            self.try_flush()?;
        }
        let extended = self.terms.style == Style::Extended;
        let found = loop {
            match request::request(inbox.available(), extended).map_err(io::Error::other)? {
                Some(found) => break found,
                None => {
                    self.try_flush()?;
                    if !inbox.more(&self.stream)? {
                        return Ok(None);
                    }
                }
            }
        };
        inbox.consume(request::header_length(extended));
        if found.command == cmd::DISC {
            return Ok(None);
        }
        self.receive(&found, &mut inbox).map(Some)
    }

    /// Judges a request, and receives its payload if it is wanted.
    fn receive(&self, found: &Request, inbox: &mut Inbox) -> io::Result<Job> {
        let mark = Mark { cookie: found.cookie, offset: found.offset };
        let payload = found.payload(self.terms.style == Style::Extended);
        let mut kept = Vec::new();
        let mut length = 0;
        match payload {
            Payload::Absurd => return Err(io::Error::other("a payload beyond all limits")),
            Payload::Skip(count) => inbox.skip(&self.stream, count)?,
            Payload::Keep(count) => length = usize::try_from(count).unwrap_or(0),
        }
        if found.command == cmd::BLOCK_STATUS && length > 0 {
            kept.resize(std::mem::take(&mut length), 0);
            inbox.take(&self.stream, &mut kept)?;
        }
        let work = check::judge(found, &kept, &self.terms);
        let Ok(fine) = &work else {
            inbox.skip(&self.stream, length as u64)?;
            return Ok(Job { mark, work, payload: Vec::new(), held: 0 });
        };
        let held = match &fine.op {
            Op::Read { .. } => usize::try_from(fine.length).unwrap_or(usize::MAX),
            Op::Status { contexts, .. } => contexts.len().saturating_mul(RUNS_MAX * 16),
            _ => length,
        };
        if !self.budget.try_take(held) {
            self.try_flush()?;
            self.budget.take(held);
        }
        if length > 0 {
            kept = self.buffers.get(length);
            inbox.take(&self.stream, &mut kept)?;
        }
        Ok(Job { mark, work, payload: kept, held })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.stream.is_tls() {
            drop(self.stream.set_deadline(Some(Instant::now() + GOODBYE)));
            self.stream.close_notify();
        }
        self.stream.cut();
    }
}

/// The place of a thread beside the one that drives, given back on drop.
struct Helper(Option<Arc<Connection>>);

impl Helper {
    /// Leaves the place taken: somebody else gives it back.
    fn keep_place(mut self) {
        self.0 = None;
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.helpers.give();
            connection.shared.helpers.give();
        }
    }
}
