//! Where a writer puts an image: bytes forward, and holes for whoever can leave them out.

use std::io::{self, Write};

use crate::PIECE;

/// A stream forward that may be a file.
pub trait Output: Write {
    /// The next `bytes` bytes are zero. A file that is new just goes on behind them; everything else writes them.
    ///
    /// # Errors
    /// Writing failed.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let zeroes = vec![0; bytes.min(PIECE as u64) as usize];
        let mut left = bytes;
        while left > 0 {
            let part = zeroes.get(..left.min(PIECE as u64) as usize).unwrap_or(&[]);
            self.write_all(part)?;
            left -= part.len() as u64;
        }
        Ok(())
    }
}

impl Output for Vec<u8> {}
