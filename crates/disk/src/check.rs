//! Checks a disk: its record against its maps, each map in itself, and what lies behind the end.
//!
//! A live disk is checked as it is at one instant, while requests go on. A repair counts again under the disk's lock.

use crate::disk::{Disk, State};
use crate::error::{DiskError, Result};
use crate::head::Head;
use crate::keys;
use crate::view::{Blocks, DiskView};
use std::ops::ControlFlow;
use tintype_store::content::BYTES;
use tintype_store::patch::Step;
use tintype_store::{
    BLOCK, Key, LineRef, Moment, MomentRef, Piece, SPAN_BLOCKS, Store, View, blockmap,
};

/// Problems listed in full.
const LISTED: usize = 1000;
/// Behind every key in use.
const LAST: Key = Key::new(u8::MAX, u64::MAX, u64::MAX);

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckProblem {
    /// The bytes that it is about, from and to; none when it is about the disk.
    pub range: Option<(u64, u64)>,
    /// What is wrong, in a sentence without a subject.
    pub what: String,
    /// Whether a repair puts it right.
    pub repairable: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Block maps looked at.
    pub maps: u64,
    /// Blocks that they map or reserve.
    pub blocks: u64,
    /// The first 1,000 problems.
    pub problems: Vec<CheckProblem>,
    /// All problems.
    pub problem_count: u64,
}

impl CheckReport {
    fn problem(&mut self, range: Option<(u64, u64)>, what: impl Into<String>, repairable: bool) {
        self.problem_count += 1;
        if self.problems.len() < LISTED {
            self.problems.push(CheckProblem { range, what: what.into(), repairable });
        }
    }
}

/// Checks a moment; a live one as it is at one instant during the call.
///
/// # Errors
/// It does not exist, or the store failed, also in reading a row of it. A record that means nothing to a disk is a problem and no error.
pub fn check(store: &Store, moment: MomentRef) -> Result<CheckReport> {
    let fixed = store.fix(moment, moment)?;
    let [mut view, _] = fixed.views();
    check_view(&mut view)
}

fn check_view(view: &mut View) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let head = match Head::read(view) {
        Ok(head) => head,
        Err(DiskError::NoDisk) => {
            report.problem(None, "has no record about itself", false);
            return Ok(report);
        }
        Err(DiskError::Damaged(_)) => {
            report.problem(None, "has a record about itself that cannot be understood", false);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    view.scan(keys::HEAD, LAST, &mut |key, record| {
        match key {
            keys::HEAD => {}
            Key { kind: keys::SPAN, a: keys::OBJECT, .. } => {
                check_map(key.b, &record.pieces, head.size, &mut report);
            }
            _ => report.problem(None, "has records of a kind that disks do not have", false),
        }
        ControlFlow::Continue(())
    })?;
    if report.blocks != head.blocks {
        let what = format!("counts {} blocks, but maps {}", head.blocks, report.blocks);
        report.problem(None, what, true);
    }
    check_end(view, head, &mut report);
    Ok(report)
}

fn check_map(span: u64, pieces: &[Piece], size: u64, report: &mut CheckReport) {
    let start = span.saturating_mul(SPAN_BLOCKS).saturating_mul(BYTES);
    let range = Some((start, start.saturating_add(SPAN_BLOCKS * BYTES)));
    report.maps += 1;
    report.blocks += blockmap::total(pieces);
    let mut next = 0;
    let sound = pieces.iter().all(|piece| {
        let end = piece.at.saturating_add(piece.len);
        let sound = piece.at >= next && piece.len > 0 && end <= blockmap::SPAN;
        next = end;
        sound
    });
    if !sound {
        report.problem(range, "have a map whose parts overlap or leave it", false);
    } else if start.saturating_add(u64::from(next).saturating_mul(BYTES))
        > size.next_multiple_of(BYTES)
    {
        report.problem(range, "are mapped behind the disk's end", true);
    }
}

/// What lies behind the end in the last block would show when the disk grows.
fn check_end(view: &View, head: Head, report: &mut CheckReport) {
    let cut = (head.size % BYTES) as usize;
    if cut == 0 {
        return;
    }
    // As a disk that ends with that block.
    let size = head.size.next_multiple_of(BYTES);
    let whole = DiskView::with_size(view.clone(), size);
    let mut block = [0; BLOCK];
    // Damaged data is found where all data is read.
    let read = whole.read_at(size - BYTES, &mut block).is_ok();
    if read && block.get(cut..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        let what = "are behind the disk's end and not zero";
        report.problem(Some((head.size, size)), what, false);
    }
}

impl Disk {
    /// Checks the disk, and with `repair` puts right what can be: what it counts, and maps behind its end. Answers what was
    /// found before.
    ///
    /// # Errors
    /// The disk is gone, or the store failed.
    pub fn check(&self, repair: bool) -> Result<CheckReport> {
        let moment = match self.line() {
            LineRef::Volume(volume) => MomentRef::Live(volume),
            LineRef::Snapshot(snapshot) => MomentRef::Snapshot(snapshot),
        };
        let report = check(&self.store, moment)?;
        if repair && report.problems.iter().any(|problem| problem.repairable) {
            self.edit(|state, _| state.put_right().map(Step::Done))?;
            self.flush()?;
        }
        Ok(report)
    }
}

impl State {
    fn put_right(&mut self) -> Result<()> {
        // Behind the last block that a key can name.
        let last = (u64::MAX / BYTES / SPAN_BLOCKS) * SPAN_BLOCKS;
        let mut next = self.head.size.div_ceil(BYTES);
        while next < last {
            next = self.unmap(next, last)?;
        }
        // Keys that name no block at all.
        let mut beyond = Vec::new();
        self.line.scan(keys::span(last / SPAN_BLOCKS), LAST, &mut |key, _| {
            if key.kind == keys::SPAN && key.a == keys::OBJECT {
                beyond.push(key);
            }
            ControlFlow::Continue(())
        })?;
        beyond.into_iter().for_each(|key| self.line.delete(key));
        let mut blocks = 0;
        self.line.scan(keys::span(0), keys::span(u64::MAX), &mut |_, record| {
            blocks += blockmap::total(&record.pieces);
            ControlFlow::Continue(())
        })?;
        self.head.blocks = blocks;
        self.head_dirty = true;
        Ok(())
    }
}
