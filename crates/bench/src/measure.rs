//! Time, order and numbers that look random.

use std::time::Instant;

/// Seconds that some work takes.
pub(crate) fn timed<T, E: std::fmt::Display>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<f64, String> {
    let start = Instant::now();
    work().map_err(|e| e.to_string())?;
    Ok(start.elapsed().as_secs_f64())
}

/// The middle of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    rank(figures, 0.5)
}

/// The figure below which a share of them lies.
pub(crate) fn rank(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = ((sorted.len() as f64) * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Numbers that are the same in every run.
pub(crate) struct Random(u64);

impl Random {
    /// From a start.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}
