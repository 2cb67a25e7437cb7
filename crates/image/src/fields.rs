//! Numbers in headers: big-endian, at fixed places of buffers whose length is known.
//!
//! What lies behind the end of a buffer reads as zero and is not written, so nothing here can panic.

/// The bytes of a number at `at`.
fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let end = at.saturating_add(N);
    from.get(at..end).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
}

pub fn be32(from: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(from, at))
}

pub fn be64(from: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes(from, at))
}

pub fn le32(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(from, at))
}

pub fn le64(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(from, at))
}

/// Sixteen bytes.
pub fn id(from: &[u8], at: usize) -> [u8; 16] {
    bytes(from, at)
}

/// Puts bytes at `at`.
pub fn put(into: &mut [u8], at: usize, what: &[u8]) {
    if let Some(part) = into.get_mut(at..at.saturating_add(what.len())) {
        part.copy_from_slice(what);
    }
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // In wide words: this runs over everything that is imported.
    let (words, rest) = bytes.as_chunks::<8>();
    let any = |words: &[[u8; 8]]| words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
    rest.iter().all(|byte| *byte == 0) && words.chunks(64).all(|words| any(words) == 0)
}
