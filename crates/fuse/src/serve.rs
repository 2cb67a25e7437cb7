//! From decoded requests to calls of the tree and back: the same for both transports.
//!
//! A request is first *prepared*: everything except file content and directory listings is
//! answered at once. The rest ([`Prepared::Fill`]) is answered by [`Service::fill`] straight into
//! the reply buffer, which under io_uring is the very memory that held the request.
//!
//! A panic of the tree ends neither the worker nor the request: it becomes `EIO`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tintype_fs::vfs::{Entry, Errno, Node, Opened, ROOT, Reply, SetAttr, Vfs};

use crate::answer::{Answer, Prepared};
use crate::wire::abi::op;
use crate::wire::cursor::Malformed;
use crate::wire::decode;
use crate::wire::reply::Small;
use crate::wire::request::{self, Dialect, Header, Op};
use crate::writers::Writers;

/// Answers requests from a tree.
#[derive(Clone)]
pub struct Service {
    pub(crate) vfs: Arc<dyn Vfs>,
    dialect: Dialect,
    refused: Refused,
    writers: Arc<Writers>,
}

/// Operations that are answered with `ENOSYS`, after which the kernel does without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Directories are not opened.
    pub opendir: bool,
    /// Closing a descriptor is not told.
    pub flush: bool,
}

fn nothing((): ()) -> Small {
    Small::default()
}

impl Service {
    /// A service over `vfs` for requests in this dialect.
    #[must_use]
    pub fn new(vfs: Arc<dyn Vfs>, dialect: Dialect, refused: Refused) -> Self {
        Self { vfs, dialect, refused, writers: Arc::default() }
    }

    pub(crate) fn writers(&self) -> Arc<Writers> {
        Arc::clone(&self.writers)
    }

    /// Where the fixed part of a request ends and the rest begins.
    #[must_use]
    pub fn head_size(&self, opcode: u32) -> usize {
        decode::head_size(opcode, self.dialect)
    }

    /// Whether the handler of this operation may itself need answers from this mount (a snapshot
    /// taken through an ioctl flushes the mount's own dirty pages).
    #[must_use]
    pub fn reenters(opcode: u32) -> bool {
        opcode == op::IOCTL
    }

    /// Decodes and, but for bulk, answers.
    #[must_use]
    pub fn prepare(&self, header: &Header, head: &[u8], rest: &[u8]) -> Prepared {
        match decode::decode(header.opcode, head, rest, self.dialect) {
            Ok(Op::Bulk(bulk)) => Prepared::Fill(bulk),
            Ok(op) => Prepared::Done(guarded(header, || self.answer(header, &op))),
            Err(Malformed) => {
                tracing::error!(opcode = header.opcode, len = header.len, "malformed request");
                Prepared::Done(Answer::Fail(Errno(libc::EIO)))
            }
        }
    }

    fn answer(&self, header: &Header, op: &Op<'_>) -> Answer {
        match op {
            Op::Forget { count } => self.forget(header.node, *count),
            Op::BatchForget { pairs } => {
                request::forget_pairs(pairs).for_each(|(node, count)| self.forget(node, count));
            }
            _ => return self.respond(header, op).unwrap_or_else(Answer::Fail),
        }
        Answer::Silent
    }

    fn forget(&self, node: Node, count: u64) {
        let count = self.writers.forgotten(node, count);
        if count > 0 {
            self.vfs.forget(node, count);
        }
    }

    fn lookup(&self, header: &Header, name: &[u8]) -> Reply<Entry> {
        let (who, dir) = (&header.who, header.node);
        let Some(node) = self.writers.behind_door(who, dir, name) else {
            return self.vfs.lookup(who, dir, name);
        };
        let (attr, _) = self.vfs.getattr(who, node, None)?;
        self.writers.lend(node);
        Ok(Entry { node, attr, entry_ttl: Duration::ZERO, attr_ttl: Duration::ZERO })
    }

    fn respond(&self, header: &Header, op: &Op<'_>) -> Reply<Answer> {
        match op {
            Op::Ioctl { .. } | Op::Getxattr { .. } | Op::Listxattr { .. } | Op::Readlink => {
                self.long(header, op)
            }
            Op::Lookup { .. }
            | Op::Symlink { .. }
            | Op::Mknod { .. }
            | Op::Mkdir { .. }
            | Op::Link { .. }
            | Op::Create { .. }
            | Op::Tmpfile { .. } => self.entries(header, op).map(Answer::Short),
            Op::Unlink { .. }
            | Op::Rmdir { .. }
            | Op::Rename { .. }
            | Op::Setxattr { .. }
            | Op::Removexattr { .. } => self.names(header, op).map(nothing).map(Answer::Short),
            Op::Getattr { .. } | Op::Statx { .. } | Op::Setattr { .. } | Op::Statfs => {
                self.attributes(header, op).map(Answer::Short)
            }
            _ => self.handles(header, op).map(Answer::Short),
        }
    }

    fn entries(&self, header: &Header, op: &Op<'_>) -> Reply<Small> {
        let (vfs, who, dir) = (&self.vfs, &header.who, header.node);
        let entry = match *op {
            Op::Lookup { name } => self.lookup(header, name)?,
            Op::Symlink { name, target } => vfs.symlink(who, dir, name, target)?,
            Op::Mknod { name, mode, umask, rdev } => {
                vfs.mknod(who, dir, name, mode, umask, rdev)?
            }
            Op::Mkdir { name, mode, umask } => vfs.mkdir(who, dir, name, mode, umask)?,
            Op::Link { node, name } => vfs.link(who, node, dir, name)?,
            Op::Create { name, mode, umask, flags } => {
                let (entry, opened) = vfs.create(who, dir, name, mode, umask, flags)?;
                self.writers.opened(entry.node, flags);
                return Ok(Small::default().entry(&entry).opened(&opened));
            }
            Op::Tmpfile { mode, umask, flags } => {
                let (entry, opened) = vfs.tmpfile(who, dir, mode, umask, flags)?;
                self.writers.opened(entry.node, flags);
                return Ok(Small::default().entry(&entry).opened(&opened));
            }
            _ => return Err(Errno(libc::ENOSYS)),
        };
        Ok(Small::default().entry(&entry))
    }

    /// Clears set-id bits, as for a write by someone who may not keep them.
    pub(crate) fn kill_suid(&self, header: &Header, node: Node, wanted: bool) -> Reply<()> {
        if wanted {
            let set = SetAttr { kill_suid: true, ..SetAttr::default() };
            self.vfs.setattr(&header.who, node, None, &set)?;
        }
        Ok(())
    }

    fn names(&self, header: &Header, op: &Op<'_>) -> Reply<()> {
        let (vfs, who, node) = (&self.vfs, &header.who, header.node);
        match *op {
            Op::Unlink { name } => vfs.unlink(who, node, name),
            Op::Rmdir { name } => vfs.rmdir(who, node, name),
            Op::Rename { name, new_dir, new_name, flags } => {
                vfs.rename(who, node, name, new_dir, new_name, flags)
            }
            Op::Setxattr { name, value, flags, kill_sgid } => {
                vfs.setxattr(who, node, name, value, flags, kill_sgid)
            }
            Op::Removexattr { name } => vfs.removexattr(who, node, name),
            _ => Err(Errno(libc::ENOSYS)),
        }
    }

    fn attributes(&self, header: &Header, op: &Op<'_>) -> Reply<Small> {
        let (who, node) = (&header.who, header.node);
        let small = Small::default();
        Ok(match op {
            Op::Statfs => small.statfs(&self.vfs.statfs(node)?),
            Op::Setattr { handle, set } => {
                let (attr, ttl) = self.vfs.setattr(who, node, *handle, set)?;
                small.attr_out(&attr, ttl)
            }
            Op::Statx { handle } => {
                let (attr, ttl) = self.vfs.getattr(who, node, *handle)?;
                small.statx(&attr, ttl)
            }
            Op::Getattr { handle } => {
                let (attr, ttl) = self.vfs.getattr(who, node, *handle)?;
                small.attr_out(&attr, ttl)
            }
            _ => return Err(Errno(libc::ENOSYS)),
        })
    }

    fn handles(&self, header: &Header, op: &Op<'_>) -> Reply<Small> {
        let (vfs, who, node) = (&self.vfs, &header.who, header.node);
        match *op {
            Op::Open { flags, kill_suid } => return self.open(header, flags, kill_suid),
            Op::Opendir { .. } if self.refused.opendir => return Err(Errno(libc::ENOSYS)),
            Op::Flush { .. } if self.refused.flush => return Err(Errno(libc::ENOSYS)),
            Op::Opendir { flags } => {
                return Ok(Small::default().opened_dir(&vfs.opendir(who, node, flags)?));
            }
            Op::Write { .. } | Op::CopyRange { .. } | Op::Lseek { .. } => {
                return self.ranges(header, op);
            }
            Op::Release { handle, flags } => {
                self.writers.released(node, flags);
                vfs.release(node, handle);
            }
            Op::Releasedir { handle } => vfs.releasedir(node, handle),
            Op::Flush { handle } => vfs.flush(who, node, handle)?,
            Op::Fsync { handle, data_only } => vfs.fsync(who, node, handle, data_only)?,
            Op::Fsyncdir { handle, data_only } => vfs.fsyncdir(who, node, handle, data_only)?,
            Op::Fallocate { handle, offset, length, mode } => {
                vfs.fallocate(who, node, handle, offset, length, mode)?;
                // The kernel leaves this to us and does not say whether the caller may keep them.
                self.kill_suid(header, node, who.uid != 0)?;
            }
            Op::Syncfs => self.syncfs(header)?,
            Op::Destroy => (),
            _ => return Err(Errno(libc::ENOSYS)),
        }
        Ok(Small::default())
    }

    fn open(&self, header: &Header, flags: i32, kill_suid: bool) -> Reply<Small> {
        let opened = self.vfs.open(&header.who, header.node, flags)?;
        if let Err(error) = self.kill_suid(header, header.node, kill_suid) {
            self.vfs.release(header.node, opened.handle);
            return Err(error);
        }
        self.writers.opened(header.node, flags);
        Ok(Small::default().opened(&opened))
    }

    fn syncfs(&self, header: &Header) -> Reply<()> {
        let Opened { handle, .. } = self.vfs.opendir(&header.who, ROOT, 0)?;
        let synced = self.vfs.fsyncdir(&header.who, ROOT, handle, false);
        self.vfs.releasedir(ROOT, handle);
        synced
    }
}

fn guarded(header: &Header, call: impl FnOnce() -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| panicked::<()>(header).map_or_else(Answer::Fail, |()| Answer::Silent))
}

pub(crate) fn panicked<T>(header: &Header) -> Reply<T> {
    tracing::error!(opcode = header.opcode, node = header.node.0, "a request handler panicked");
    Err(Errno(libc::EIO))
}
