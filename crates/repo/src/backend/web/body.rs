//! Bodies of answers: read to their end, so that the connection serves again, and not further than what was asked for.

use std::io::{self, Read};

use ureq::Body;
use ureq::http::{Response, StatusCode};

/// Reserved on a server's word alone.
const RESERVED_MAX: u64 = 16 << 20;
/// Of what a server says in a refusal.
const DETAIL_MAX: u64 = 4096;
/// Shown of it.
const LINE_MAX: usize = 200;

/// What of the file is wanted.
#[derive(Clone, Copy)]
pub enum Wanted {
    Whole,
    Part { offset: u64, len: usize },
}

/// The wanted bytes; fewer when the file ends before. Servers may answer a part with the whole.
pub fn read(response: Response<Body>, wanted: Wanted) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    read_into(response, wanted, &mut data)?;
    Ok(data)
}

/// As [`read`], into space that had another use.
pub fn read_into(response: Response<Body>, wanted: Wanted, data: &mut Vec<u8>) -> io::Result<()> {
    let partial = response.status() == StatusCode::PARTIAL_CONTENT;
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    if let (true, Wanted::Part { offset, .. }, Some(range)) = (partial, wanted, range)
        && !range.starts_with(&format!("bytes {offset}-"))
    {
        return Err(garbled("the server sent another part of the file"));
    }
    let promised = response.headers().get("content-length");
    let promised: Option<u64> = promised.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    let (skip, limit) = match wanted {
        Wanted::Whole => (0, u64::MAX),
        Wanted::Part { len, .. } if partial => (0, len as u64),
        Wanted::Part { offset, len } => (offset, len as u64),
    };
    let skipped = io::copy(&mut (&mut reader).take(skip), &mut io::sink())?;
    let reserved = promised.unwrap_or(0).saturating_sub(skipped).min(limit).min(RESERVED_MAX);
    data.clear();
    data.reserve(usize::try_from(reserved).unwrap_or(0));
    (&mut reader).take(limit).read_to_end(data)?;
    let after = io::copy(&mut reader, &mut io::sink())?;
    if partial && after > 0 {
        return Err(garbled("the server sent more than was asked for"));
    }
    let got = skipped + data.len() as u64 + after;
    if promised.is_some_and(|promised| promised != got) {
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the answer was cut off"));
    }
    Ok(())
}

/// Reads a body whose content does not matter.
pub fn drain(response: Response<Body>) {
    let reader = response.into_body().into_with_config().limit(DETAIL_MAX).reader();
    // What does not arrive costs the connection, nothing else.
    let _ = io::copy(&mut reader.take(DETAIL_MAX), &mut io::sink());
}

/// The first line of a refusal, without what would upset a terminal.
pub fn first_line(response: Response<Body>) -> String {
    let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut text = Vec::new();
    let _ = reader.take(DETAIL_MAX).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(LINE_MAX).collect::<String>().trim().to_owned()
}

fn garbled(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
