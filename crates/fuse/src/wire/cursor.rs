//! Reading numbers and names out of request bytes, with every bound checked.
//!
//! The bytes come from the kernel, but they are treated as hostile: a short or odd request is
//! [`Malformed`], never a panic and never a read behind the end.

/// A request that is shorter than its operation needs, or a name without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A position in bytes that are being read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer remain.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    /// The next 16-bit number.
    ///
    /// # Errors
    /// [`Malformed`] at the end, as for all numbers.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_ne_bytes(self.array()?))
    }

    /// The next 32-bit number.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_ne_bytes(self.array()?))
    }

    /// The next 32-bit number with a sign.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_ne_bytes(self.array()?))
    }

    /// The next 64-bit number.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_ne_bytes(self.array()?))
    }

    /// The bytes up to the next zero byte, which is skipped.
    ///
    /// # Errors
    /// [`Malformed`] when there is no zero byte.
    pub fn name(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let name = self.take(end)?;
        self.take(1)?;
        Ok(name)
    }
}
