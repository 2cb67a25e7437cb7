//! The smallest binary writer and reader that the record codecs need.
//!
//! Numbers are LEB128, signed ones zigzag, byte strings carry their length. Reading is bounded by
//! the input, checks every length, and never panics.

use crate::error::{FsError, Result};

/// Builds a record body.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// An empty body with room for `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self(Vec::with_capacity(size))
    }

    /// One byte.
    pub(crate) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// An unsigned number.
    pub(crate) fn num(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.byte(value as u8)
    }

    /// A signed number.
    pub(crate) fn signed(&mut self, value: i64) -> &mut Self {
        self.num(((value << 1) ^ (value >> 63)) as u64)
    }

    /// A byte string with its length.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.num(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// The finished body.
    pub(crate) fn done(self) -> Box<[u8]> {
        self.0.into_boxed_slice()
    }
}

/// Takes a record body apart.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `body`; `what` names it in errors.
    pub(crate) const fn new(body: &'a [u8], what: &'static str) -> Self {
        Self { rest: body, what }
    }

    /// The error that names the record.
    pub(crate) const fn damaged(&self) -> FsError {
        FsError::Damaged(self.what)
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(FsError::Damaged(self.what))?;
        self.rest = rest;
        Ok(*first)
    }

    /// An unsigned number.
    pub(crate) fn num(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if shift == 63 && byte > 1 { Err(self.damaged()) } else { Ok(value) };
            }
        }
        Err(self.damaged())
    }

    /// An unsigned number of at most 32 bits.
    pub(crate) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.num()?).map_err(|_| self.damaged())
    }

    /// A signed number.
    pub(crate) fn signed(&mut self) -> Result<i64> {
        let value = self.num()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.num()?).map_err(|_| self.damaged())?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or(self.damaged())?;
        self.rest = rest;
        Ok(head)
    }

    /// Demands the version byte `version`.
    pub(crate) fn version(&mut self, version: u8) -> Result<()> {
        if self.byte()? == version { Ok(()) } else { Err(self.damaged()) }
    }

    /// Whether everything is read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Demands that everything is read.
    pub(crate) fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(n: u64, s: i64, b: Vec<u8>) {
            let mut w = Writer::new(0);
            w.num(n).signed(s).bytes(&b);
            let body = w.done();
            let mut r = Reader::new(&body, "test");
            prop_assert_eq!(r.num().unwrap(), n);
            prop_assert_eq!(r.signed().unwrap(), s);
            prop_assert_eq!(r.bytes().unwrap(), &b[..]);
            r.end().unwrap();
        }

        #[test]
        fn hostile_input_is_an_error_and_no_panic(b: Vec<u8>) {
            let mut r = Reader::new(&b, "test");
            while !r.is_empty() {
                if r.bytes().is_err() || r.signed().is_err() { break; }
            }
        }
    }
}
