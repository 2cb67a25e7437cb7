//! Options of the handshake: parsing what clients send.

use super::numbers::{OPTION_MAGIC, STRING_MAX};
use super::reader::Reader;

/// Bytes before the data of an option.
pub const OPTION_HEADER: usize = 16;

/// What stands before the data of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionHeader {
    /// One of [`super::opt`], or anything.
    pub option: u32,
    /// Bytes of data that follow.
    pub length: u32,
}

/// Why an option cannot be understood. The text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOption(pub &'static str);

/// The 16 bytes before each option. Nothing when they are not that.
pub fn header(bytes: &[u8]) -> Option<OptionHeader> {
    let mut reader = Reader(bytes);
    if reader.u64()? != OPTION_MAGIC {
        return None;
    }
    Some(OptionHeader { option: reader.u32()?, length: reader.u32()? })
}

/// Data of `INFO` and `GO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoRequest<'a> {
    /// The export.
    pub name: &'a str,
    /// What the client wants to know: a set of bits, bit N for information N, for those that exist.
    pub wanted: u16,
}

impl InfoRequest<'_> {
    /// Whether the client asked for this.
    pub fn wants(&self, info: u16) -> bool {
        info < 16 && self.wanted & (1 << info) != 0
    }
}

/// Reads the data of `INFO` and `GO`.
pub fn info(data: &[u8]) -> Result<InfoRequest<'_>, BadOption> {
    let short = BadOption("the option is shorter than it says");
    let mut reader = Reader(data);
    let length = reader.u32().ok_or(short)?;
    let name = string(&mut reader, length)?;
    let count = reader.u16().ok_or(short)?;
    if reader.0.len() != usize::from(count) * 2 {
        return Err(BadOption("the option's length does not fit its number of requests"));
    }
    let mut wanted = 0;
    while let Some(kind) = reader.u16() {
        if kind < 16 {
            wanted |= 1 << kind;
        }
    }
    Ok(InfoRequest { name, wanted })
}

/// Data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaRequest<'a> {
    /// The export.
    pub name: &'a str,
    /// What contexts are asked for; as many as the data has room for.
    pub queries: Vec<&'a str>,
}

/// Reads the data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
pub fn meta(data: &[u8]) -> Result<MetaRequest<'_>, BadOption> {
    let short = BadOption("the option is shorter than it says");
    let mut reader = Reader(data);
    let length = reader.u32().ok_or(short)?;
    let name = string(&mut reader, length)?;
    let count = reader.u32().ok_or(short)?;
    let mut queries = Vec::new();
    for _ in 0..count {
        // Each round takes at least 4 bytes of the data: the loop ends with them.
        let length = reader.u32().ok_or(short)?;
        queries.push(string(&mut reader, length)?);
    }
    if !reader.0.is_empty() {
        return Err(BadOption("bytes follow after the last query"));
    }
    Ok(MetaRequest { name, queries })
}

/// A name that is the whole data, as in `EXPORT_NAME`.
pub fn name(data: &[u8]) -> Result<&str, BadOption> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    string(&mut Reader(data), length)
}

fn string<'a>(reader: &mut Reader<'a>, length: u32) -> Result<&'a str, BadOption> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let bytes = reader.bytes(length).ok_or(BadOption("a string is longer than the option"))?;
    if bytes.len() > STRING_MAX {
        return Err(BadOption("a string is longer than 4096 bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadOption("a string is not UTF-8"))?;
    if text.contains('\0') {
        return Err(BadOption("a string contains a NUL"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let mut bytes = b"IHAVEOPT\0\0\0\x07\0\0\x01\x02".to_vec();
        assert_eq!(header(&bytes), Some(OptionHeader { option: 7, length: 258 }));
        assert_eq!(header(&bytes[..15]), None);
        bytes[0] ^= 1;
        assert_eq!(header(&bytes), None);
    }

    #[test]
    fn info_requests() {
        let parsed = info(b"\0\0\0\x03abc\0\x03\0\x03\0\x01\xff\xff").unwrap();
        assert_eq!(parsed.name, "abc");
        assert!(parsed.wants(3) && parsed.wants(1) && !parsed.wants(0) && !parsed.wants(77));
        for bad in [
            &b""[..],
            b"\0\0\0\x04abc",
            b"\0\0\0\x03abc",
            b"\0\0\0\x03abc\0\x01",
            b"\0\0\0\x03abc\0\0\0",
            b"\xff\xff\xff\xffabc\0\0",
            b"\0\0\0\x02a\xff\0\0",
            b"\0\0\0\x02a\0\0\0",
        ] {
            assert!(info(bad).is_err(), "{bad:?}");
        }
        let mut long = 4097u32.to_be_bytes().to_vec();
        long.extend([b'x'; 4097]);
        long.extend([0, 0]);
        assert!(info(&long).is_err());
        let mut fits = 4096u32.to_be_bytes().to_vec();
        fits.extend([b'x'; 4096]);
        fits.extend([0, 0]);
        assert_eq!(info(&fits).unwrap().name.len(), 4096);
    }

    #[test]
    fn meta_requests() {
        let parsed = meta(b"\0\0\0\x01e\0\0\0\x02\0\0\0\x05base:\0\0\0\0").unwrap();
        assert_eq!((parsed.name, parsed.queries), ("e", vec!["base:", ""]));
        for bad in [
            &b"\0\0\0\x01e"[..],
            b"\0\0\0\x01e\xff\xff\xff\xff",
            b"\0\0\0\x01e\0\0\0\x01\0\0\0\x09base:",
            b"\0\0\0\x01e\0\0\0\0x",
        ] {
            assert!(meta(bad).is_err(), "{bad:?}");
        }
    }
}
