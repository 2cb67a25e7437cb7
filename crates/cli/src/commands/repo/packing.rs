//! How long the packs are that a command writes.

use tintype_repo::BlobOptions;

use super::environment::option_or;
use crate::error::{CliError, CliResult};

/// The option, for commands that write many blobs.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Packing {
    /// Length of packs in MiB, 4 to 128 (default: TINTYPE_PACK_SIZE, RESTIC_PACK_SIZE, or 16); two of them are in memory
    #[arg(long, value_name = "MIB")]
    pack_size: Option<usize>,
}

impl Packing {
    /// These options with the length that was asked for.
    pub fn apply(self, blobs: BlobOptions) -> CliResult<BlobOptions> {
        match option_or(self.pack_size, "PACK_SIZE")? {
            None => Ok(blobs),
            Some(size @ 4..=128) => Ok(BlobOptions { pack_bytes: size << 20, ..blobs }),
            Some(size) => Err(CliError::usage(
                format!("packs of {size} MiB"),
                "Give a length from 4 to 128 with --pack-size.",
            )),
        }
    }
}
