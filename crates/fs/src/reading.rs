//! Reading records of any moment: live trees and snapshots alike.
//!
//! Everything here works on the `Moment` port and changes nothing.

use crate::dirent::{self, Dirent};
use crate::error::{FsError, Result, refuse};
use crate::inode::{Inode, Xattr};
use crate::keys::{self, SLOTS};
use crate::superblock::Super;
use crate::wire::{Reader, Writer};
use std::ops::ControlFlow;
use std::sync::Arc;
use tintype_store::{Key, Moment, Piece, Record};

/// The record about the filesystem, if it was ever made.
pub(crate) fn superblock(m: &mut dyn Moment) -> Result<Option<Super>> {
    m.get(keys::SUPER)?.map(|record| Super::decode(&record.body)).transpose()
}

/// An inode; `ESTALE` when it does not exist.
pub(crate) fn inode(m: &mut dyn Moment, ino: u64) -> Result<(Inode, Arc<Record>)> {
    match m.get(keys::inode(ino))? {
        Some(record) => Ok((Inode::decode(&record.body)?, record)),
        None => refuse(libc::ESTALE),
    }
}

/// A directory's inode; `ENOTDIR` when it is something else.
pub(crate) fn directory(m: &mut dyn Moment, ino: u64) -> Result<Inode> {
    let (inode, _) = inode(m, ino)?;
    if inode.is_dir() { Ok(inode) } else { refuse(libc::ENOTDIR) }
}

/// All names with one hash.
pub(crate) fn names(m: &mut dyn Moment, dir: u64, hash: u64) -> Result<Vec<Dirent>> {
    match m.get(keys::dirent(dir, hash))? {
        Some(record) => dirent::decode(&record.body),
        None => Ok(Vec::new()),
    }
}

/// The entry of a directory with this name.
pub(crate) fn find(m: &mut dyn Moment, seed: u64, dir: u64, name: &[u8]) -> Result<Option<Dirent>> {
    Ok(dirent::named(&names(m, dir, keys::name_hash(seed, name))?, name))
}

/// Up to `limit` entries of a directory behind a cookie, each with its own cookie.
pub(crate) fn page(
    m: &mut dyn Moment,
    dir: u64,
    cookie: u64,
    limit: usize,
) -> Result<Vec<(u64, Dirent)>> {
    let mut list = Vec::new();
    let mut failure = None;
    let from = keys::dirent(dir, cookie & !(SLOTS - 1));
    m.scan(from, keys::dirent(dir, u64::MAX), &mut |key, record| {
        match dirent::decode(&record.body) {
            Ok(entries) => {
                let cookies = entries.into_iter().map(|e| (key.b | u64::from(e.slot), e));
                list.extend(cookies.filter(|(own, _)| *own > cookie));
            }
            Err(error) => failure = Some(error),
        }
        if failure.is_some() || list.len() >= limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    failure.map_or(Ok(list), Err)
}

/// The block map of one span.
pub(crate) fn pieces(m: &mut dyn Moment, ino: u64, span: u64) -> Result<Box<[Piece]>> {
    Ok(m.get(keys::span(ino, span))?.map_or_else(Box::default, |record| record.pieces.clone()))
}

/// Up to `limit` block maps of a file from span `first` (at least 1) below `end`.
pub(crate) fn spans(
    m: &mut dyn Moment,
    ino: u64,
    first: u64,
    end: u64,
    limit: usize,
) -> Result<Vec<(u64, Arc<Record>)>> {
    let mut list = Vec::new();
    let (from, to) = (Key::new(keys::SPAN, ino, first.max(1)), Key::new(keys::SPAN, ino, end));
    if from >= to || limit == 0 {
        return Ok(list);
    }
    m.scan(from, to, &mut |key, record| {
        list.push((key.b, Arc::clone(record)));
        if list.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(list)
}

/// The extended attributes in a record of their own.
pub(crate) fn decode_xattrs(body: &[u8]) -> Result<Vec<Xattr>> {
    let mut r = Reader::new(body, "extended attribute");
    r.version(1)?;
    let mut list = Vec::new();
    while !r.is_empty() {
        list.push((r.bytes()?.into(), r.bytes()?.into()));
    }
    Ok(list)
}

/// The body for [`decode_xattrs`].
pub(crate) fn encode_xattrs(list: &[Xattr]) -> Box<[u8]> {
    let mut w = Writer::new(64);
    w.byte(1);
    for (name, value) in list {
        w.bytes(name).bytes(value);
    }
    w.done()
}

/// The value of an extended attribute.
pub(crate) fn xattr(
    m: &mut dyn Moment,
    seed: u64,
    ino: u64,
    inode: &Inode,
    name: &[u8],
) -> Result<Option<Box<[u8]>>> {
    let mine = |list: &[Xattr]| list.iter().find(|x| *x.0 == *name).map(|x| x.1.clone());
    if let Some(value) = mine(&inode.xattrs) {
        return Ok(Some(value));
    }
    if inode.far_xattrs == 0 {
        return Ok(None);
    }
    match m.get(keys::xattr(ino, keys::xattr_hash(seed, name)))? {
        Some(record) => Ok(mine(&decode_xattrs(&record.body)?)),
        None => Ok(None),
    }
}

/// All extended attributes.
pub(crate) fn xattrs(m: &mut dyn Moment, ino: u64, inode: &Inode) -> Result<Vec<Xattr>> {
    let mut list = inode.xattrs.clone();
    if inode.far_xattrs > 0 {
        let mut failure: Option<FsError> = None;
        let (from, to) = (keys::xattr(ino, 0), keys::xattr(ino + 1, 0));
        m.scan(from, to, &mut |_, record| match decode_xattrs(&record.body) {
            Ok(more) => {
                list.extend(more);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(list)
}

/// The further names of an inode, as (directory, name hash).
pub(crate) fn further_links(m: &mut dyn Moment, ino: u64) -> Result<Vec<(u64, u64)>> {
    let mut bodies = Vec::new();
    m.scan(keys::link(ino, 0), keys::link(ino + 1, 0), &mut |_, record| {
        bodies.push(Arc::clone(record));
        ControlFlow::Continue(())
    })?;
    let mut list = Vec::new();
    for record in bodies {
        list.extend(decode_links(&record.body)?);
    }
    Ok(list)
}

/// The back references of one record.
pub(crate) fn decode_links(body: &[u8]) -> Result<Vec<(u64, u64)>> {
    let mut r = Reader::new(body, "back reference");
    r.version(1)?;
    let mut list = Vec::with_capacity(1);
    while !r.is_empty() {
        list.push((r.num()?, r.num()?));
    }
    Ok(list)
}

/// The body for [`decode_links`].
pub(crate) fn encode_links(list: &[(u64, u64)]) -> Box<[u8]> {
    let mut w = Writer::new(24);
    w.byte(1);
    for (parent, hash) in list {
        w.num(*parent).num(*hash);
    }
    w.done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden() {
        assert_eq!(*encode_links(&[(1, 300)]), [1, 1, 0xac, 2]);
        assert_eq!(decode_links(&[1, 1, 0xac, 2]).unwrap(), [(1, 300)]);
        let list: Vec<Xattr> = vec![(b"a".as_slice().into(), b"bc".as_slice().into())];
        assert_eq!(*encode_xattrs(&list), [1, 1, b'a', 2, b'b', b'c']);
        assert_eq!(decode_xattrs(&encode_xattrs(&list)).unwrap(), list);
    }

    proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body: Vec<u8>) {
            let _ = decode_links(&body);
            let _ = decode_xattrs(&body);
        }
    }
}
