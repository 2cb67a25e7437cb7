//! Compressed clusters: raw deflate, or one frame of zstd.

use std::fmt;
use std::io;
use std::str::FromStr;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Every program reads it.
    Deflate,
    /// Faster; QEMU reads it from version 5.1 on.
    Zstd,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        })
    }
}

impl FromStr for Codec {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "deflate" | "zlib" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err("write zstd or deflate"),
        }
    }
}

/// Other programs read with a window of this many bits.
const WINDOW_BITS: u8 = 12;
const ZSTD_LEVEL: i32 = 3;

/// Compresses clusters, one after another.
pub enum Press {
    Deflate(Box<Compress>),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Press {
    pub fn new(codec: Codec) -> io::Result<Self> {
        Ok(match codec {
            Codec::Deflate => {
                let press = Compress::new_with_window_bits(Compression::new(6), false, WINDOW_BITS);
                Self::Deflate(Box::new(press))
            }
            Codec::Zstd => Self::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        })
    }

    /// The cluster compressed; nothing when that is not shorter.
    pub fn press(&mut self, cluster: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Deflate(press) => {
                press.reset();
                // What does not fit is not wanted.
                let mut out = Vec::with_capacity(cluster.len().saturating_sub(1));
                let status = press.compress_vec(cluster, &mut out, FlushCompress::Finish);
                let status = status.map_err(io::Error::other)?;
                Ok((status == Status::StreamEnd).then_some(out))
            }
            Self::Zstd(press) => {
                let out = press.compress(cluster)?;
                Ok((out.len() < cluster.len()).then_some(out))
            }
        }
    }
}

/// Fills `cluster` from compressed bytes, behind which other bytes may follow. False when they do not yield a whole cluster.
pub fn unpack(codec: Codec, packed: &[u8], cluster: &mut [u8]) -> bool {
    match codec {
        Codec::Deflate => {
            let mut state = Decompress::new(false);
            let done = state.decompress(packed, cluster, FlushDecompress::Finish);
            done.is_ok() && state.total_out() == cluster.len() as u64
        }
        Codec::Zstd => {
            // The length of the frame first: what lies behind it is another cluster.
            let Ok(length) = zstd::zstd_safe::find_frame_compressed_size(packed) else {
                return false;
            };
            let Some(frame) = packed.get(..length) else { return false };
            let done = zstd::bulk::decompress_to_buffer(frame, cluster);
            done.is_ok_and(|written| written == cluster.len())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]
mod tests {
    use super::*;

    #[test]
    fn clusters_come_back_and_noise_is_not_taken() {
        for codec in [Codec::Deflate, Codec::Zstd] {
            let mut press = Press::new(codec).unwrap();
            let text: Vec<u8> = (0..65536_u32).map(|n| (n / 100) as u8).collect();
            for _ in 0..2 {
                let mut packed = press.press(&text).unwrap().unwrap();
                packed.extend_from_slice(b"and more");
                let mut cluster = vec![0; 65536];
                assert!(unpack(codec, &packed, &mut cluster));
                assert_eq!(cluster, text);
                let half = packed.len() / 2;
                assert!(!unpack(codec, &packed[..half], &mut cluster));
                assert!(!unpack(codec, &packed, &mut vec![0; 65537]));
            }
            let noise = tintype_testkit::Rng::new(1).bytes(65536);
            assert_eq!(press.press(&noise).unwrap(), None);
        }
    }
}
