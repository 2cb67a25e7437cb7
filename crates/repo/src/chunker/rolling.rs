//! The hash of a window of 64 bytes, and the search for cuts by sliding it: for every machine.
//!
//! The window is read as one polynomial over F2, its first byte highest, and reduced by the repository's polynomial. A cut may be
//! made where the low bits of the remainder are zero. One sliding window waits for its own last step most of the time, so that
//! several, far apart, are moved in turn.

use super::polynomial::{DEGREE, Polynomial};

/// Bytes of the window.
pub(super) const WINDOW: usize = 64;

/// Windows that are moved in turn.
const LANES: usize = 8;
/// Positions of one lane before all of them start anew: long against the window that each has to fill first.
const LANE_MAX: usize = 4096;
/// Below this, filling the windows costs more than the lanes save.
const LANE_MIN: usize = 128;

/// Tables for one polynomial and one mask.
pub(super) struct Rolling {
    /// `b * x^53 mod P`, and `b` itself at the place that it cancels.
    fold: [u64; 256],
    /// `b * x^512 mod P`: what a byte still adds one step after it was the window's first.
    leave: [u64; 256],
    /// Remainders with none of these bits cut.
    mask: u64,
}

/// A position that is moved along: its window's hash, the bytes that come and those that go.
#[derive(Clone, Copy)]
struct Lane<'a> {
    hash: u64,
    incoming: &'a [u8],
    outgoing: &'a [u8],
}

impl Rolling {
    /// Tables for cuts where the low `bits` bits are zero.
    pub(super) fn new(polynomial: Polynomial, bits: u32) -> Self {
        let shifted = |byte: u64, bytes: usize| {
            (0..bytes).fold(byte, |value, _| polynomial.shift_byte(value))
        };
        let reduced = |byte: u64| (0..DEGREE).fold(byte, |value, _| polynomial.times_x(value));
        Self {
            fold: table(|byte| reduced(byte) | byte << DEGREE),
            leave: table(|byte| shifted(byte, WINDOW)),
            mask: (1 << bits) - 1,
        }
    }

    /// The hash of a whole window.
    pub(super) fn of(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |hash, byte| self.push(hash, *byte))
    }

    /// Whether a chunk may end after `data`'s first `n` bytes. False when there is no whole window before.
    pub(super) fn cuts_at(&self, data: &[u8], n: usize) -> bool {
        let window = n.checked_sub(WINDOW).and_then(|start| data.get(start..n));
        window.is_some_and(|window| self.cuts(self.of(window)))
    }

    /// The first cut at `from <= n < to`, found with several windows. `from` is at least 64 and `to` at most one past `data`.
    pub(super) fn first(&self, data: &[u8], mut from: usize, to: usize) -> Option<usize> {
        while let Some(left) = to.checked_sub(from).filter(|left| *left >= LANES * LANE_MIN) {
            let lane = (left / LANES).min(LANE_MAX);
            let until = from + lane * LANES;
            if self.any(data, from, lane)
                && let Some(found) = self.first_by_one(data, from, until)
            {
                return Some(found);
            }
            from = until;
        }
        self.first_by_one(data, from, to)
    }

    /// The first cut at `from <= n < to`, found with a single window.
    pub(super) fn first_by_one(&self, data: &[u8], from: usize, to: usize) -> Option<usize> {
        let mut lane = self.lane(data, from, to.checked_sub(from)?)?;
        if self.cuts(lane.hash) {
            return Some(from);
        }
        for (n, (incoming, outgoing)) in (from + 1..).zip(lane.incoming.iter().zip(lane.outgoing)) {
            lane.hash = self.slide(lane.hash, *incoming, *outgoing);
            if self.cuts(lane.hash) {
                return Some(n);
            }
        }
        None
    }

    /// Whether one of the positions of the lanes, one after the other from `from`, may be cut. Also true when `data` is too
    /// short.
    fn any(&self, data: &[u8], from: usize, positions: usize) -> bool {
        let mut lanes = [Lane { hash: 0, incoming: &[], outgoing: &[] }; LANES];
        for (lane, start) in lanes.iter_mut().zip((from..).step_by(positions)) {
            let Some(filled) = self.lane(data, start, positions) else { return true };
            *lane = filled;
        }
        if lanes.iter().any(|lane| self.cuts(lane.hash)) {
            return true;
        }
        let mut hashes = lanes.map(|lane| lane.hash);
        for step in 0..positions - 1 {
            let mut any = false;
            for (hash, lane) in hashes.iter_mut().zip(&lanes) {
                let (Some(incoming), Some(outgoing)) =
                    (lane.incoming.get(step), lane.outgoing.get(step))
                else {
                    return true;
                };
                *hash = self.slide(*hash, *incoming, *outgoing);
                any |= self.cuts(*hash);
            }
            if any {
                return true;
            }
        }
        false
    }

    /// A lane that starts with the cut at `from` and has this many positions, all of them within `data`.
    fn lane<'a>(&self, data: &'a [u8], from: usize, positions: usize) -> Option<Lane<'a>> {
        let steps = positions.checked_sub(1)?;
        let (before, incoming) = data.split_at_checked(from)?;
        let start = from.checked_sub(WINDOW)?;
        Some(Lane {
            hash: self.of(before.get(start..)?),
            incoming: incoming.get(..steps)?,
            outgoing: data.get(start..start + steps)?,
        })
    }

    fn cuts(&self, hash: u64) -> bool {
        hash & self.mask == 0
    }

    /// The hash of the window one byte later. What leaves is taken away afterwards, off the path from hash to hash.
    fn slide(&self, hash: u64, incoming: u8, outgoing: u8) -> u64 {
        self.push(hash, incoming) ^ entry(&self.leave, outgoing)
    }

    /// `hash * x^8 + byte mod P`.
    fn push(&self, hash: u64, byte: u8) -> u64 {
        (hash << 8 | u64::from(byte)) ^ entry(&self.fold, (hash >> (DEGREE - 8)) as u8)
    }
}

fn table(of: impl Fn(u64) -> u64) -> [u64; 256] {
    std::array::from_fn(|byte| of(byte as u64))
}

/// The entry for a byte, which there always is.
fn entry(table: &[u64; 256], byte: u8) -> u64 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}
