//! A group of neighbouring inodes with all that belongs to them.

use super::log::{Fix, Log};
use super::sums::{Sums, Tie};
use super::{GROUP, Totals};
use crate::blocks::{self, SPAN};
use crate::dirent::{self, Dirent};
use crate::error::Result;
use crate::inode::Inode;
use crate::keys::{self, ROOT_INO, SLOTS};
use crate::read::{BYTES, SPAN_BLOCKS};
use crate::reading;
use crate::write::SIZE_MAX;
use std::collections::HashSet;
use std::ops::ControlFlow;
use tintype_store::{Key, Moment, Piece, Record, stop};

/// Kinds of records that belong to inodes.
const KINDS: [u8; 5] = [keys::DIRENT, keys::SPAN, keys::XATTR, keys::LINK, keys::ORPHAN];

/// An inode and what was found of it.
struct Row {
    ino: u64,
    /// None when its record is damaged.
    inode: Option<Inode>,
    mapped: u64,
    /// The block behind the last one that holds data.
    data_end: u64,
    entries: u64,
    subdirs: u32,
    links: u32,
    far: u32,
    marked: bool,
}

/// The group.
pub(super) struct Group {
    from: u64,
    /// The first inode number behind the group; none when it is the last group.
    pub(super) end: Option<u64>,
    seed: u64,
    rows: Vec<Row>,
}

impl Group {
    /// Reads the next inodes.
    pub(super) fn load(m: &mut dyn Moment, from: u64, seed: u64, log: &mut Log) -> Result<Self> {
        let mut group = Self { from, end: None, seed, rows: Vec::new() };
        m.scan(keys::inode(from), Key::new(keys::DIRENT, 0, 0), &mut |key, record| {
            if group.rows.len() >= GROUP {
                group.end = Some(key.a);
                return ControlFlow::Break(());
            }
            group.add(key, record, log);
            stop::go_on()
        })?;
        stop::check()?;
        Ok(group)
    }

    fn add(&mut self, key: Key, record: &Record, log: &mut Log) {
        if key.b != 0 {
            return log.of(key.a, "has a record of no known kind");
        }
        let inode = Inode::decode(&record.body).ok();
        let mut row = Row {
            ino: key.a,
            inode,
            mapped: 0,
            data_end: 0,
            entries: 0,
            subdirs: 0,
            links: 0,
            far: 0,
            marked: false,
        };
        row.map(0, &record.pieces, log);
        self.rows.push(row);
    }

    /// Reads everything that belongs to the group.
    pub(super) fn collect(
        &mut self,
        m: &mut dyn Moment,
        sums: &mut Sums,
        log: &mut Log,
    ) -> Result<()> {
        for kind in KINDS {
            let from = Key::new(kind, self.from, 0);
            let to = self.end.map_or(Key::new(kind + 1, 0, 0), |end| Key::new(kind, end, 0));
            m.scan(from, to, &mut |key, record| {
                self.take(key, record, sums, log);
                stop::go_on()
            })?;
            stop::check()?;
        }
        Ok(())
    }

    fn take(&mut self, key: Key, record: &Record, sums: &mut Sums, log: &mut Log) {
        let seed = self.seed;
        let found = self.rows.binary_search_by_key(&key.a, |row| row.ino).ok();
        let Some(row) = found.and_then(|place| self.rows.get_mut(place)) else {
            let fix = (key.kind == keys::ORPHAN).then_some(Fix::Unmark);
            let what = format!("does not exist, but {} belongs to it", kind_name(key.kind));
            return log.problem(Some(key.a), what, fix);
        };
        let known = match key.kind {
            keys::DIRENT => row.names(key, record, seed, sums, log),
            keys::SPAN => {
                row.map(key.b, &record.pieces, log);
                key.b > 0
            }
            keys::XATTR => row.attributes(key, record, seed),
            keys::LINK => row.links(key, record, seed, sums),
            _ => {
                row.marked = true;
                key.b == 0
            }
        };
        if !known {
            let what = format!("has {} that is damaged or in the wrong place", kind_name(key.kind));
            log.of(key.a, what);
        }
    }

    /// Compares each inode with what was found of it.
    pub(super) fn settle(self, sums: &mut Sums, totals: &mut Totals, log: &mut Log) {
        for row in self.rows {
            log.report.inodes += 1;
            log.report.blocks += row.mapped;
            log.report.names += row.entries;
            totals.last_ino = row.ino;
            let Some(inode) = &row.inode else {
                log.of(row.ino, "has a damaged record");
                continue;
            };
            if row.ino == ROOT_INO {
                totals.root = inode.is_dir();
            } else if inode.parent != 0 {
                let tie = Tie { dir: inode.parent, hash: inode.name, kind: inode.kind() };
                sums.back(row.ino, tie);
            }
            if inode.is_dir() && inode.nlink > 0 {
                totals.dirs.push((row.ino, inode.parent));
            }
            totals.counted.add(row.ino, inode, row.mapped);
            row.check(inode, log);
        }
    }
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        keys::DIRENT => "a name",
        keys::SPAN => "a block map",
        keys::XATTR => "an extended attribute",
        keys::LINK => "a back reference",
        _ => "a mark of nameless inodes",
    }
}

impl Row {
    fn map(&mut self, span: u64, pieces: &[Piece], log: &mut Log) {
        let mut next = 0;
        for piece in pieces {
            let end = piece.at.saturating_add(piece.len);
            if piece.at < next || piece.len == 0 || end > SPAN {
                log.of(self.ino, format!("has a damaged map of the blocks of span {span}"));
            }
            next = end;
            if piece.extent != 0 {
                let base = span.saturating_mul(SPAN_BLOCKS);
                self.data_end = self.data_end.max(base.saturating_add(end.into()));
            }
        }
        self.mapped += blocks::total(pieces);
    }

    fn names(
        &mut self,
        key: Key,
        record: &Record,
        seed: u64,
        sums: &mut Sums,
        log: &mut Log,
    ) -> bool {
        let Ok(list) = dirent::decode(&record.body) else { return false };
        for entry in &list {
            self.entries += 1;
            self.subdirs += u32::from(entry.kind == libc::S_IFDIR);
            sums.name(entry.ino, Tie { dir: key.a, hash: key.b, kind: entry.kind });
            if keys::name_hash(seed, &entry.name) != key.b {
                let name = String::from_utf8_lossy(&entry.name);
                log.of(key.a, format!("has the name {name:?} where nobody looks for it"));
            }
        }
        !list.is_empty() && differ(&list)
    }

    fn attributes(&mut self, key: Key, record: &Record, seed: u64) -> bool {
        let Ok(list) = reading::decode_xattrs(&record.body) else { return false };
        self.far += u32::try_from(list.len()).unwrap_or(u32::MAX);
        !list.is_empty() && list.iter().all(|x| keys::xattr_hash(seed, &x.0) == key.b)
    }

    fn links(&mut self, key: Key, record: &Record, seed: u64, sums: &mut Sums) -> bool {
        let Ok(list) = reading::decode_links(&record.body) else { return false };
        self.links += u32::try_from(list.len()).unwrap_or(u32::MAX);
        let kind = self.inode.as_ref().map_or(0, Inode::kind);
        for (dir, hash) in &list {
            sums.back(self.ino, Tie { dir: *dir, hash: *hash, kind });
        }
        let right = |at: &(u64, u64)| keys::link_hash(seed, at.0, at.1) == key.b;
        !list.is_empty() && list.iter().all(right)
    }

    fn check(&self, inode: &Inode, log: &mut Log) {
        self.check_links(inode, log);
        self.check_content(inode, log);
        if self.entries != inode.entries || (self.entries > 0 && !inode.is_dir()) {
            let what = format!("says that it has {} entries, not {}", inode.entries, self.entries);
            let fix = inode.is_dir().then_some(Fix::Entries(self.entries));
            log.problem(Some(self.ino), what, fix);
        }
        // Attributes of a nameless inode go before it does, in several steps.
        if self.far != inode.far_xattrs && inode.nlink > 0 {
            let what = format!(
                "says that it has {} large extended attributes, not {}",
                inode.far_xattrs, self.far
            );
            log.problem(Some(self.ino), what, Some(Fix::FarXattrs(self.far)));
        }
    }

    fn check_links(&self, inode: &Inode, log: &mut Log) {
        if inode.nlink == 0 {
            if !self.marked {
                log.problem(Some(self.ino), "has no name and no mark to go", Some(Fix::Mark));
            }
            if inode.parent != 0 || self.links > 0 || self.entries > 0 {
                log.of(self.ino, "has no links, but back references or entries");
            }
            return;
        }
        if self.marked {
            log.problem(Some(self.ino), "has a name and is marked to go", Some(Fix::Unmark));
        }
        let own = u32::from(inode.parent != 0);
        let found = if inode.is_dir() {
            self.subdirs.saturating_add(2)
        } else {
            self.links.saturating_add(own)
        };
        if found != inode.nlink {
            let what = format!("says that it has {} links, not {found}", inode.nlink);
            // An inode without any name is found where names are compared.
            log.problem(Some(self.ino), what, (found > 0).then_some(Fix::Links(found)));
        }
    }

    fn check_content(&self, inode: &Inode, log: &mut Log) {
        let known = [
            libc::S_IFREG,
            libc::S_IFDIR,
            libc::S_IFLNK,
            libc::S_IFIFO,
            libc::S_IFSOCK,
            libc::S_IFBLK,
            libc::S_IFCHR,
        ];
        if !known.contains(&inode.kind()) {
            log.of(self.ino, format!("is of the unknown type {:o}", inode.kind()));
        }
        if self.mapped != inode.blocks {
            let what = format!("says that it has {} blocks, not {}", inode.blocks, self.mapped);
            log.problem(Some(self.ino), what, Some(Fix::Blocks(self.mapped)));
        }
        if !inode.is_file() && self.mapped > 0 {
            log.of(self.ino, "has blocks, but is no file");
        }
        let end = inode.size.div_ceil(BYTES);
        if inode.is_file() && (self.data_end > end || inode.size > SIZE_MAX) {
            let what =
                format!("has {} bytes, but data in block {}", inode.size, self.data_end.max(1) - 1);
            log.of(self.ino, what);
        }
        let target = inode.target.len() as u64;
        let symlink = inode.kind() == libc::S_IFLNK;
        if if symlink { target != inode.size || target == 0 } else { target > 0 } {
            log.of(self.ino, format!("has a target of {target} bytes"));
        }
    }
}

/// Whether the names with one hash differ from each other, in name and in slot.
fn differ(list: &[Dirent]) -> bool {
    let names: HashSet<_> = list.iter().map(|entry| &entry.name).collect();
    let slots: HashSet<_> = list.iter().map(|entry| entry.slot).collect();
    let in_range = list.iter().all(|entry| u64::from(entry.slot) < SLOTS);
    in_range && names.len() == list.len() && slots.len() == list.len()
}
