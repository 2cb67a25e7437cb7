//! What a request comes to: plain values between the service and the transports.

use tintype_fs::vfs::{Errno, Reply};

use crate::wire::reply::Small;
use crate::wire::request::Bulk;

/// What goes back to the kernel.
#[expect(clippy::large_enum_variant, reason = "short answers are built without allocation")]
#[derive(Debug)]
pub enum Answer {
    /// Nothing: the kernel waits for no reply.
    Silent,
    /// An error number.
    Fail(Errno),
    /// Success with a short body, possibly empty.
    Short(Small),
    /// Success with a long body.
    Long(Vec<u8>),
}

/// A request after its first look.
#[expect(clippy::large_enum_variant, reason = "short answers are built without allocation")]
#[derive(Debug)]
pub enum Prepared {
    /// The answer is ready.
    Done(Answer),
    /// The answer is to be written into the reply buffer.
    Fill(Bulk),
}

/// An attribute value, or only its size when the caller asks with no room.
pub(crate) fn sized(value: Vec<u8>, room: u32) -> Reply<Answer> {
    let len = u32::try_from(value.len()).map_err(|_| Errno(libc::E2BIG))?;
    match room {
        0 => Ok(Answer::Short(Small::default().u32(len).u32(0))),
        room if room < len => Err(Errno(libc::ERANGE)),
        _ => Ok(Answer::Long(value)),
    }
}

/// The number that goes into a reply header: negative, and in the range that the kernel accepts.
#[must_use]
pub fn wire_error(error: Errno) -> i32 {
    if (1..512).contains(&error.0) { -error.0 } else { -libc::EIO }
}
