//! One operation on a live tree: reads first, collects its changes, applies them together.
//!
//! An edit that is dropped has changed nothing, so `?` anywhere before `commit` keeps operations
//! all or nothing. `commit` itself cannot fail. Usage is counted here and nowhere else.

use crate::blocks;
use crate::error::{Result, refuse};
use crate::inode::Inode;
use crate::keys;
use crate::quotas::{self, Charge};
use crate::reading;
use crate::state::State;
use std::sync::Arc;
use tintype_store::{Key, Moment, Piece, Record};

/// An inode that the edit has loaded.
struct Held {
    ino: u64,
    inode: Inode,
    /// Its mode before the edit.
    mode: u32,
    record: Option<Arc<Record>>,
    pieces: Option<Box<[Piece]>>,
    dirty: bool,
    gone: bool,
}

impl Held {
    const fn lost_set_id(&self) -> bool {
        !self.gone && self.mode & !self.inode.mode & (libc::S_ISUID | libc::S_ISGID) != 0
    }
}

/// A change of another record.
enum Change {
    Put { body: Box<[u8]>, pieces: Box<[Piece]>, new: bool },
    Delete,
}

/// A note to the directory cache.
enum Note {
    Made(u64),
    Gone(u64),
    Added(u64, u64),
    Removed(u64, u64),
}

/// The operation.
pub(crate) struct Edit<'a> {
    /// The tree.
    pub(crate) state: &'a mut State,
    held: Vec<Held>,
    changes: Vec<(Key, Change)>,
    notes: Vec<Note>,
    orphans: Vec<(u64, bool)>,
    charges: Vec<Charge>,
    quotas: Vec<quotas::Note>,
    leaving: Option<(u64, u64)>,
    blocks: i64,
    inodes: i64,
    next_ino: u64,
}

/// About what the store counts for a record: the key of its row, a few numbers for each piece, and the body.
fn row_bytes(body: &[u8], pieces: &[Piece]) -> i64 {
    36 + 8 * pieces.len() as i64 + body.len() as i64
}

impl<'a> Edit<'a> {
    /// Starts an operation.
    pub(crate) fn new(state: &'a mut State) -> Self {
        let next_ino = state.sup.next_ino;
        Self {
            state,
            held: Vec::new(),
            changes: Vec::new(),
            notes: Vec::new(),
            orphans: Vec::new(),
            charges: Vec::new(),
            quotas: Vec::new(),
            leaving: None,
            blocks: 0,
            inodes: 0,
            next_ino,
        }
    }

    /// The key of name hashes.
    pub(crate) const fn seed(&self) -> u64 {
        self.state.sup.seed
    }

    fn load(&mut self, ino: u64) -> Result<&mut Held> {
        let place = match self.held.iter().position(|held| held.ino == ino) {
            Some(place) => place,
            None => {
                let (inode, record) = reading::inode(&mut self.state.line, ino)?;
                let record = Some(record);
                let mode = inode.mode;
                let held =
                    Held { ino, inode, mode, record, pieces: None, dirty: false, gone: false };
                self.held.push(held);
                self.held.len() - 1
            }
        };
        match self.held.get_mut(place) {
            Some(held) if !held.gone => Ok(held),
            _ => refuse(libc::ESTALE),
        }
    }

    /// An inode.
    pub(crate) fn inode(&mut self, ino: u64) -> Result<&Inode> {
        self.load(ino).map(|held| &held.inode)
    }

    /// A directory's inode.
    pub(crate) fn directory(&mut self, ino: u64) -> Result<&Inode> {
        let inode = self.inode(ino)?;
        if inode.is_dir() { Ok(inode) } else { refuse(libc::ENOTDIR) }
    }

    /// An inode to change.
    pub(crate) fn change(&mut self, ino: u64) -> Result<&mut Inode> {
        let held = self.load(ino)?;
        held.dirty = true;
        Ok(&mut held.inode)
    }

    /// A new inode.
    pub(crate) fn create(&mut self, inode: Inode) -> Result<u64> {
        let ino = self.next_ino;
        if ino >= keys::INO_LIMIT {
            return refuse(libc::ENOSPC);
        }
        self.next_ino += 1;
        self.inodes += 1;
        if inode.is_dir() {
            self.notes.push(Note::Made(ino));
        }
        self.charge(inode.quota, 0, 1);
        let mode = inode.mode;
        let held = Held { ino, inode, mode, record: None, pieces: None, dirty: true, gone: false };
        self.held.push(held);
        Ok(ino)
    }

    /// New inodes get numbers from `next` on, at least.
    pub(crate) fn go_on_behind(&mut self, next: u64) {
        self.next_ino = self.next_ino.max(next);
    }

    /// Removes an inode (its other records are the caller's).
    pub(crate) fn destroy(&mut self, ino: u64) -> Result<()> {
        let mapped = blocks::total(&self.pieces(ino, 0)?);
        let held = self.load(ino)?;
        let (is_dir, quota) = (held.inode.is_dir(), held.inode.quota);
        held.gone = true;
        self.charge(quota, -(mapped as i64), -1);
        self.blocks -= mapped as i64;
        self.inodes -= 1;
        if is_dir {
            self.notes.push(Note::Gone(ino));
        }
        Ok(())
    }

    /// The body of a record other than an inode, own changes included.
    pub(crate) fn body(&mut self, key: Key) -> Result<Option<Box<[u8]>>> {
        match self.changes.iter().find(|(own, _)| *own == key) {
            Some((_, Change::Put { body, .. })) => Ok(Some(body.clone())),
            Some((_, Change::Delete)) => Ok(None),
            None => Ok(self.state.line.get(key)?.map(|record| record.body.clone())),
        }
    }

    fn note(&mut self, key: Key, change: Change) {
        match self.changes.iter_mut().find(|(own, _)| *own == key) {
            Some((_, old)) => {
                let was_new = matches!(old, Change::Put { new: true, .. });
                *old = match change {
                    Change::Put { body, pieces, .. } => Change::Put { body, pieces, new: was_new },
                    Change::Delete => Change::Delete,
                };
            }
            None => self.changes.push((key, change)),
        }
    }

    /// Writes a record that was read before.
    pub(crate) fn put(&mut self, key: Key, body: Box<[u8]>) {
        self.note(key, Change::Put { body, pieces: Box::default(), new: false });
    }

    /// Writes a record that never existed.
    pub(crate) fn put_new(&mut self, key: Key, body: Box<[u8]>) {
        self.note(key, Change::Put { body, pieces: Box::default(), new: true });
    }

    /// Removes a record that was read before.
    pub(crate) fn delete(&mut self, key: Key) {
        self.note(key, Change::Delete);
    }

    /// The block map of a span.
    pub(crate) fn pieces(&mut self, ino: u64, span: u64) -> Result<Box<[Piece]>> {
        if span == 0 {
            let held = self.load(ino)?;
            let own = held.pieces.clone();
            let old = || held.record.as_ref().map(|record| record.pieces.clone());
            return Ok(own.or_else(old).unwrap_or_default());
        }
        let key = keys::span(ino, span);
        match self.changes.iter().find(|(own, _)| *own == key) {
            Some((_, Change::Put { pieces, .. })) => Ok(pieces.clone()),
            Some((_, Change::Delete)) => Ok(Box::default()),
            None => reading::pieces(&mut self.state.line, ino, span),
        }
    }

    /// Replaces the block map of a span and counts the difference.
    pub(crate) fn set_pieces(&mut self, ino: u64, span: u64, new: Vec<Piece>) -> Result<()> {
        let before = blocks::total(&self.pieces(ino, span)?);
        let after = blocks::total(&new);
        let held = self.load(ino)?;
        let sum = held.inode.blocks.saturating_add(after).saturating_sub(before);
        held.dirty |= span == 0 || held.inode.blocks != sum;
        held.inode.blocks = sum;
        let quota = held.inode.quota;
        let pieces = new.into_boxed_slice();
        if span == 0 {
            held.pieces = Some(pieces);
        } else if pieces.is_empty() {
            if before > 0 {
                self.delete(keys::span(ino, span));
            }
        } else {
            let put = Change::Put { body: Box::default(), pieces, new: false };
            self.note(keys::span(ino, span), put);
        }
        self.charge(quota, after as i64 - before as i64, 0);
        self.blocks += after as i64 - before as i64;
        Ok(())
    }

    /// Changes a quota itself.
    pub(crate) fn note_quota(&mut self, note: quotas::Note) {
        self.quotas.push(note);
    }

    /// Has the quota of `dir`, and those above it, count more or less; 0 stands for none.
    pub(crate) fn charge(&mut self, dir: u64, blocks: i64, inodes: i64) {
        if dir != 0 && (blocks != 0 || inodes != 0) {
            self.charges.push(Charge { dir, blocks, inodes });
        }
    }

    /// Notes a name for the directory cache.
    pub(crate) fn name_added(&mut self, dir: u64, hash: u64) {
        self.notes.push(Note::Added(dir, hash));
    }

    /// Notes that no name with this hash is left.
    pub(crate) fn name_removed(&mut self, dir: u64, hash: u64) {
        self.notes.push(Note::Removed(dir, hash));
    }

    /// Marks an inode as nameless.
    pub(crate) fn make_orphan(&mut self, ino: u64) -> Result<()> {
        let key = keys::orphan(ino);
        self.body(key)?;
        self.put(key, Box::new([1]));
        self.orphans.push((ino, true));
        Ok(())
    }

    /// Takes the mark away.
    pub(crate) fn end_orphan(&mut self, ino: u64) -> Result<()> {
        let key = keys::orphan(ino);
        if self.body(key)?.is_some() {
            self.delete(key);
        }
        self.orphans.push((ino, false));
        Ok(())
    }

    /// Of a nameless inode that is being removed this many blocks are left; 0 when it is gone.
    pub(crate) const fn leaves(&mut self, ino: u64, blocks: u64) {
        self.leaving = Some((ino, blocks));
    }

    /// By how many bytes the tree's records grow.
    pub(crate) fn record_growth(&mut self) -> i64 {
        let mut growth = 0;
        for held in &self.held {
            let old = held.record.as_deref().map_or(0, |old| row_bytes(&old.body, &old.pieces));
            let pieces = || held.pieces.as_deref().or_else(|| Some(&held.record.as_ref()?.pieces));
            if held.gone {
                growth -= old;
            } else if held.dirty {
                growth += row_bytes(&held.inode.encode(), pieces().unwrap_or_default()) - old;
            }
        }
        for (key, change) in &self.changes {
            growth += match change {
                Change::Put { body, pieces, .. } => row_bytes(body, pieces),
                Change::Delete => 0,
            };
            if !matches!(change, Change::Put { new: true, .. })
                && let Ok(Some(old)) = self.state.line.get(*key)
            {
                growth -= row_bytes(&old.body, &old.pieces);
            }
        }
        growth
    }

    /// Applies everything. Returns the inodes that lost a set-id bit: the kernel learns of it only if it is told.
    pub(crate) fn commit(mut self) -> Vec<u64> {
        let growth = self.record_growth();
        let fallen = self.held.iter().filter(|held| held.lost_set_id()).map(|h| h.ino).collect();
        let state = self.state;
        state.records = state.records.saturating_add_signed(growth);
        for held in self.held {
            let key = keys::inode(held.ino);
            let old = || held.record.as_ref().map(|record| record.pieces.clone());
            match (held.gone, held.dirty, &held.record) {
                (true, _, Some(_)) => state.line.delete(key),
                (false, true, record) => {
                    let fresh = record.is_none();
                    let pieces = held.pieces.clone().or_else(old).unwrap_or_default();
                    let body = held.inode.encode();
                    if fresh {
                        state.line.put_fresh(key, body, pieces);
                    } else {
                        state.line.put(key, body, pieces);
                    }
                }
                _ => {}
            }
        }
        for (key, change) in self.changes {
            match change {
                Change::Put { body, pieces, new: true } => state.line.put_new(key, body, pieces),
                Change::Put { body, pieces, new: false } => state.line.put(key, body, pieces),
                Change::Delete => state.line.delete(key),
            }
        }
        for note in self.notes {
            match note {
                Note::Made(dir) => state.dirs.made(dir),
                Note::Gone(dir) => state.dirs.gone(dir),
                Note::Added(dir, hash) => state.dirs.added(dir, hash),
                Note::Removed(dir, hash) => state.dirs.removed(dir, hash),
            }
        }
        for (ino, nameless) in self.orphans {
            if nameless {
                state.orphans.insert(ino);
            } else {
                state.orphans.remove(&ino);
            }
        }
        state.quotas.apply(self.quotas, &self.charges);
        if let Some((ino, blocks)) = self.leaving {
            state.leaving.note(ino, blocks);
        }
        let sup = &mut state.sup;
        let changed = self.blocks != 0 || self.inodes != 0 || sup.next_ino != self.next_ino;
        sup.next_ino = self.next_ino;
        sup.blocks = sup.blocks.saturating_add_signed(self.blocks);
        sup.inodes = sup.inodes.saturating_add_signed(self.inodes);
        state.sup_dirty |= changed;
        fallen
    }
}
