//! Cuts a file into chunks where its content says so: restic's chunker, with restic's cuts, byte by byte.
//!
//! A chunk has 512 KiB to 8 MiB. Beyond the minimum it ends where the last 64 bytes, as a polynomial over F2 reduced by the
//! repository's own, have 20 low bits of zero. restic opens each chunk with an emptied window and one byte of value 1, which has
//! left the window when the minimum is reached; hence these 64 bytes alone decide, and positions can be tested in any order and
//! many at once.
//!
//! `polynomial` and `rolling` are the arithmetic for every machine, `taps` and `simd` the one for fast processors, `search`
//! chooses. Here are the limits; `stream` reads. None of it knows of hashes, files or packs.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod hostile;
mod polynomial;
mod rolling;
mod search;
#[cfg(target_arch = "x86_64")]
mod simd;
mod stream;
#[cfg(target_arch = "x86_64")]
mod taps;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use polynomial::{NotAPolynomial, Polynomial};
use search::Search;
pub use stream::Chunks;

/// The fewest bytes of a chunk that is not a file's last.
pub const CHUNK_BYTES_MIN: usize = 512 << 10;
/// The most bytes of a chunk.
pub const CHUNK_BYTES_MAX: usize = 8 << 20;
/// One position in `2^20` may be cut.
const CUT_BITS: u32 = 20;

/// Finds the ends of chunks. A clone shares the tables.
#[derive(Clone)]
pub struct Cutter(Arc<Inner>);

struct Inner {
    search: Search,
    polynomial: Polynomial,
    limits: Limits,
}

/// The sizes of chunks, in bytes: `64 <= min <= max`.
#[derive(Clone, Copy, Debug)]
struct Limits {
    min: usize,
    max: usize,
}

impl Cutter {
    /// For the chunks of repositories with this polynomial.
    pub fn new(polynomial: Polynomial) -> Self {
        let limits = Limits { min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX };
        Self::with(polynomial, limits, Search::new(polynomial, CUT_BITS))
    }

    fn with(polynomial: Polynomial, limits: Limits, search: Search) -> Self {
        Self(Arc::new(Inner { search, polynomial, limits }))
    }

    /// Bytes of the first chunk of `data`, which starts where a chunk starts, and with `last` goes to the file's end.
    ///
    /// None when that cannot be told without more data: fewer than [`CHUNK_BYTES_MAX`] bytes, no cut among them, and not `last`.
    /// With `last` the answer is all of `data` if nothing ends the chunk before; that is 0 for no data, which makes no chunk.
    /// Otherwise it is never 0.
    pub fn cut(&self, data: &[u8], last: bool) -> Option<usize> {
        self.cut_beyond(data, 0, last)
    }

    /// The same when the first `searched` bytes of `data` were given before and the answer was none. They are not searched again,
    /// so that data that comes in pieces costs no more than all of it at once.
    pub fn cut_beyond(&self, data: &[u8], searched: usize, last: bool) -> Option<usize> {
        let Limits { min, max } = self.0.limits;
        let from = min.max(searched.saturating_add(1));
        let to = max.min(data.len().saturating_add(1));
        let whole = || match data.len() {
            long if long >= max => Some(max),
            short => last.then_some(short),
        };
        self.0.search.first(data, from, to).or_else(whole)
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cutter").field(&self.0.polynomial).finish()
    }
}
