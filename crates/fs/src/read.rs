//! Reading file content: resolve blocks under the lock, move data outside of it.
//!
//! When an extent went away between the two, the blocks are looked up again.

use crate::blocks::SPAN;
use crate::error::{Result, refuse};
use crate::inode::{Inode, NOATIME, now};
use crate::place::Place;
use crate::reading;
use crate::tree::Tree;
use crate::vfs::Time;
use std::borrow::Cow;
use tintype_store::content::{self, TRIES};
use tintype_store::{Moment, Piece, StoreError};

pub(crate) use tintype_store::content::BYTES;
/// Blocks of a span.
pub(crate) const SPAN_BLOCKS: u64 = SPAN as u64;
const DAY: i64 = 24 * 3600;

/// Reads into `buf`; fewer bytes only at the end of the file.
pub(crate) fn read(place: &Place, ino: u64, offset: u64, buf: &mut [u8]) -> Result<(usize, Inode)> {
    for _ in 0..TRIES {
        let (inode, parts, reader) = place.with(|m, _| {
            let (inode, record) = reading::inode(m, ino)?;
            if inode.is_dir() {
                return refuse(libc::EISDIR);
            }
            let len = (buf.len() as u64).min(inode.size.saturating_sub(offset)) as usize;
            let parts = resolve(m, ino, &record.pieces, offset, len)?;
            Ok((inode, parts, m.blocks()))
        })?;
        match content::fill(&reader, &parts, buf) {
            Ok(count) => return Ok((count, inode)),
            Err(StoreError::Moved(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved(0).into())
}

fn resolve(
    m: &mut dyn Moment,
    ino: u64,
    first: &[Piece],
    offset: u64,
    len: usize,
) -> Result<Vec<content::Part>> {
    content::resolve(offset, len, |span| match span {
        0 => Ok(Cow::Borrowed(first)),
        span => reading::pieces(m, ino, span).map(|pieces| Cow::Owned(pieces.into_vec())),
    })
}

/// Whether relatime asks for a new access time.
fn atime_is_old(inode: &Inode, now: Time) -> bool {
    inode.atime <= inode.mtime
        || inode.atime <= inode.ctime
        || inode.atime.secs.saturating_add(DAY) <= now.secs
}

impl Tree {
    /// Notes an access, as relatime does. Failing to is no error of the access.
    pub(crate) fn accessed(&self, ino: u64, inode: &Inode) {
        let time = now();
        if inode.flags & NOATIME != 0 || !atime_is_old(inode, time) {
            return;
        }
        let noted = self.edit(|edit| {
            edit.change(ino)?.atime = time;
            Ok(())
        });
        if let Err(error) = noted {
            tracing::debug!(%error, ino, "access time not noted");
        }
    }
}
