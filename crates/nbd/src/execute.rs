//! Does a request on the device and makes the reply.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::budget::Buffers;
use crate::check::{Fault, Op, Work};
use crate::negotiated::Terms;
use crate::outbox::Letter;
use crate::port::{Context, Device, DeviceError, Extent, Zeroing};
use crate::wire::reply::{self, Mark, Style};
use crate::wire::{Errno, PAYLOAD_MAX};

/// From this length on, reads ask where the holes are.
const SPARSE: u64 = 32 << 10;
/// Holes that are shorter are sent as data.
const HOLE_MIN: u64 = 4096;
/// Pieces of one read.
const PIECES_MAX: usize = 256;
/// Runs of one context in one reply.
pub(crate) const RUNS_MAX: usize = 4096;
/// Zeroes that are written at once where the device has no better way.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// One request with everything that its execution needs.
pub(crate) struct Desk<'a> {
    pub device: &'a dyn Device,
    pub terms: &'a Terms,
    pub buffers: &'a Buffers,
    pub mark: Mark,
}

impl Desk<'_> {
    /// Appends the letters of the reply. True when it is an error.
    pub fn answer(
        &self,
        work: Result<&Work, &Fault>,
        payload: &[u8],
        out: &mut Vec<Letter>,
    ) -> bool {
        let done = work.map_err(Fault::clone).and_then(|work| {
            catch_unwind(AssertUnwindSafe(|| self.perform(work, payload, out))).unwrap_or_else(
                |_| {
                    tracing::error!("a device panicked");
                    out.clear();
                    let message = "the server met an internal error; its log says more".into();
                    Err(Fault { errno: Errno::Io, message, at: None })
                },
            )
        });
        let Err(fault) = done else { return false };
        let Fault { errno, message, at } = fault;
        let (head, body) = reply::error(self.terms.style, self.mark, errno, &message, at);
        out.push(Letter { head, body });
        true
    }

    fn perform(&self, work: &Work, payload: &[u8], out: &mut Vec<Letter>) -> Result<(), Fault> {
        let Work { offset, length, .. } = *work;
        let done = match &work.op {
            Op::Read { whole } => return self.read(offset, length, *whole, out),
            Op::Status { one, contexts } => return self.status(work, *one, contexts, out),
            Op::NoRead if self.terms.style > Style::Simple => {
                out.push(plain(reply::none(self.terms.style, self.mark)));
                return Ok(());
            }
            Op::Nothing | Op::NoRead => Ok(()),
            Op::Write => self.device.write(offset, payload),
            Op::Flush => self.device.flush(),
            Op::Trim => self.device.trim(offset, length),
            Op::Cache => self.device.cache(offset, length),
            Op::Zero(how) => self.zero(offset, length, *how),
        };
        let durable = work.durable && work.op != Op::Nothing;
        let done = if durable { done.and_then(|()| self.device.flush()) } else { done };
        done.map_err(|error| self.fault(&error, work))?;
        let style = self.terms.style;
        out.push(plain(reply::done(style, self.mark)));
        Ok(())
    }

    fn fault(&self, error: &DeviceError, work: &Work) -> Fault {
        let fast = matches!(work.op, Op::Zero(Zeroing { fast_only: true, .. }));
        let errno = match error {
            DeviceError::NotPermitted { .. } => Errno::Perm,
            DeviceError::Io { .. } => Errno::Io,
            DeviceError::NoMemory => Errno::NoMem,
            DeviceError::NoSpace { .. } => Errno::NoSpc,
            DeviceError::TooLarge => Errno::Overflow,
            DeviceError::Gone { .. } => Errno::Shutdown,
            // Only fast zeroes may be answered with this number.
            DeviceError::NotSupported if fast => Errno::NotSup,
            DeviceError::Invalid { .. } | DeviceError::NotSupported => Errno::Inval,
        };
        let end = work.offset.saturating_add(work.length);
        let at = match error {
            DeviceError::Io { at, .. } => at.filter(|at| (work.offset..end).contains(at)),
            _ => None,
        };
        Fault { errno, message: error.to_string(), at }
    }

    fn zero(&self, offset: u64, length: u64, how: Zeroing) -> Result<(), DeviceError> {
        match self.device.write_zeroes(offset, length, how) {
            Err(DeviceError::NotSupported) if !how.fast_only => {}
            other => return other,
        }
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            let count = end.saturating_sub(at).min(ZEROES.len() as u64);
            let count = usize::try_from(count).unwrap_or(ZEROES.len());
            self.device.write(at, ZEROES.get(..count).unwrap_or_default())?;
            at = at.saturating_add(count as u64);
        }
        Ok(())
    }

    fn read(
        &self,
        offset: u64,
        length: u64,
        whole: bool,
        out: &mut Vec<Letter>,
    ) -> Result<(), Fault> {
        if self.terms.style == Style::Simple || whole || length < SPARSE {
            return self.read_piece(offset, length, true, out);
        }
        let pieces = self.pieces(offset, length);
        let mut at = offset;
        for (index, (length, zero)) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            if *zero {
                let length = u32::try_from(*length).unwrap_or(PAYLOAD_MAX);
                out.push(plain(reply::hole(self.terms.style, self.mark, at, length, last)));
            } else {
                // Pieces before this one are right: the error says where they end.
                self.read_piece(at, *length, last, out).map_err(|fault| match index {
                    0 => fault,
                    _ => Fault { at: fault.at.or(Some(at)), ..fault },
                })?;
            }
            at = at.saturating_add(*length);
        }
        Ok(())
    }

    fn read_piece(
        &self,
        at: u64,
        length: u64,
        last: bool,
        out: &mut Vec<Letter>,
    ) -> Result<(), Fault> {
        let bytes = usize::try_from(length.min(u64::from(PAYLOAD_MAX))).unwrap_or(0);
        let mut body = self.buffers.get(bytes);
        if let Err(error) = self.device.read(at, &mut body) {
            self.buffers.put(body);
            let work = Work { op: Op::Read { whole: false }, offset: at, length, durable: false };
            return Err(self.fault(&error, &work));
        }
        let head = reply::data(self.terms.style, self.mark, at, bytes, last);
        out.push(Letter { head, body });
        Ok(())
    }

    /// How a read is divided: lengths, and whether they are zeroes. Covers the whole range.
    fn pieces(&self, offset: u64, length: u64) -> Vec<(u64, bool)> {
        let end = offset.saturating_add(length);
        let runs = self.device.block_status(&Context::Allocation, offset..end, PIECES_MAX);
        let runs = runs.unwrap_or_default();
        let mut pieces: Vec<(u64, bool)> = Vec::new();
        let mut left = length;
        let mut add = |length: u64, zero: bool| match pieces.last_mut() {
            Some(last) if last.1 == zero => last.0 = last.0.saturating_add(length),
            _ => pieces.push((length, zero)),
        };
        for run in runs.iter().take(PIECES_MAX) {
            let length = run.length.min(left);
            if length == 0 {
                continue;
            }
            add(length, run.state & Extent::ZERO != 0 && length >= HOLE_MIN);
            left = left.saturating_sub(length);
        }
        if left > 0 {
            add(left, false);
        }
        pieces
    }

    fn status(
        &self,
        work: &Work,
        one: bool,
        contexts: &[u32],
        out: &mut Vec<Letter>,
    ) -> Result<(), Fault> {
        let range = work.offset..work.offset.saturating_add(work.length);
        let max = if one { 1 } else { RUNS_MAX };
        let style = self.terms.style;
        let mut letters = Vec::new();
        for (index, id) in contexts.iter().enumerate() {
            let place = usize::try_from(*id).unwrap_or(usize::MAX);
            let Some(context) = self.terms.contexts.get(place) else { continue };
            let asked = if *context == Context::Depth { &Context::Allocation } else { context };
            let runs = self.device.block_status(asked, range.clone(), max);
            let runs = runs.map_err(|error| self.fault(&error, work))?;
            let runs = tidy(&runs, context, work.length, max);
            let last = index + 1 == contexts.len();
            let (head, body) = reply::status(style, self.mark, *id, runs.into_iter(), last);
            letters.push(Letter { head, body });
        }
        if letters.is_empty() {
            letters.push(plain(reply::none(style, self.mark)));
        }
        out.append(&mut letters);
        Ok(())
    }
}

fn plain(head: reply::Head) -> Letter {
    Letter { head, body: Vec::new() }
}

/// Runs as the protocol wants them: none empty, neighbours different, not past the range, at least one.
fn tidy(runs: &[Extent], context: &Context, length: u64, max: usize) -> Vec<(u64, u32)> {
    let mut tidied: Vec<(u64, u32)> = Vec::new();
    let mut left = length;
    for run in runs {
        let length = run.length.min(left);
        let state = match context {
            Context::Depth => u32::from(run.state & Extent::HOLE == 0),
            _ => run.state,
        };
        let room = tidied.len() < max;
        match tidied.last_mut() {
            _ if length == 0 => continue,
            Some(last) if last.1 == state => last.0 = last.0.saturating_add(length),
            _ if room => tidied.push((length, state)),
            _ => break,
        }
        left = left.saturating_sub(length);
    }
    if tidied.is_empty() {
        let unknown = u32::from(!matches!(context, Context::Allocation));
        tidied.push((length, unknown));
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_merged_cut_and_never_empty() {
        let runs: Vec<Extent> = [(10, 0), (0, 3), (5, 0), (5, 3), (100, 3), (7, 0)]
            .map(|(length, state)| Extent { length, state })
            .to_vec();
        assert_eq!(tidy(&runs, &Context::Allocation, 60, 9), [(15, 0), (45, 3)]);
        assert_eq!(tidy(&runs, &Context::Allocation, 60, 1), [(15, 0)]);
        assert_eq!(tidy(&runs, &Context::Depth, 200, 9), [(15, 1), (105, 0), (7, 1)]);
        assert_eq!(tidy(&[], &Context::Allocation, 60, 9), [(60, 0)]);
        let since = Context::ChangedSince("s".into());
        assert_eq!(tidy(&[], &since, 60, 9), [(60, Extent::DIRTY)]);
    }
}
