//! The close look: which names and back references do not agree.

use super::log::{Fix, Log};
use super::sums::{Sums, Tie};
use crate::dirent;
use crate::error::Result;
use crate::inode::Inode;
use crate::keys::{self, ROOT_INO};
use crate::reading;
use std::collections::{BTreeMap, HashSet};
use tintype_store::{Key, Moment, stop};

/// Sums that are looked into, at most.
const PLACES: usize = 256;

/// An inode that shares a sum with a wrong one.
#[derive(Default)]
struct Suspect {
    inode: Option<Inode>,
    /// What it knows of its names.
    backs: Vec<Tie>,
    names: Vec<(Tie, Box<[u8]>)>,
}

type Suspects = BTreeMap<u64, Suspect>;

/// Tells each disagreement.
pub(super) fn check(m: &mut dyn Moment, sums: &Sums, log: &mut Log) -> Result<()> {
    let places = sums.differing();
    if places.is_empty() {
        return Ok(());
    }
    let close: HashSet<usize> = places.iter().copied().take(PLACES).collect();
    for (ino, suspect) in gather(m, &close)? {
        compare(ino, suspect, log);
    }
    if places.len() > PLACES {
        let what = format!("has more wrong names; repeat the check after these {PLACES} groups");
        log.problem(None, what, None);
    }
    Ok(())
}

fn gather(m: &mut dyn Moment, places: &HashSet<usize>) -> Result<Suspects> {
    let wanted = |ino: u64| places.contains(&Sums::place(ino));
    let mut all = Suspects::new();
    m.scan(keys::inode(0), Key::new(keys::DIRENT, 0, 0), &mut |key, record| {
        if wanted(key.a)
            && let Ok(inode) = Inode::decode(&record.body)
        {
            let suspect = all.entry(key.a).or_default();
            let first = Tie { dir: inode.parent, hash: inode.name, kind: inode.kind() };
            suspect.backs.extend((inode.parent != 0).then_some(first));
            suspect.inode = Some(inode);
        }
        stop::go_on()
    })?;
    m.scan(keys::link(0, 0), Key::new(keys::ORPHAN, 0, 0), &mut |key, record| {
        if let Some(suspect) = all.get_mut(&key.a) {
            let kind = suspect.inode.as_ref().map_or(0, Inode::kind);
            let list = reading::decode_links(&record.body).unwrap_or_default();
            suspect.backs.extend(list.into_iter().map(|(dir, hash)| Tie { dir, hash, kind }));
        }
        stop::go_on()
    })?;
    m.scan(keys::dirent(0, 0), Key::new(keys::SPAN, 0, 0), &mut |key, record| {
        let list = dirent::decode(&record.body).unwrap_or_default();
        for entry in list.into_iter().filter(|entry| wanted(entry.ino)) {
            let tie = Tie { dir: key.a, hash: key.b, kind: entry.kind };
            all.entry(entry.ino).or_default().names.push((tie, entry.name));
        }
        stop::go_on()
    })?;
    stop::check()?;
    Ok(all)
}

fn compare(ino: u64, suspect: Suspect, log: &mut Log) {
    let Suspect { inode, mut backs, names } = suspect;
    let before = log.report.problem_count;
    let Some(inode) = inode else {
        for (tie, name) in names {
            log.of(tie.dir, format!("has {}, but inode {ino} does not exist", quoted(&name)));
        }
        return;
    };
    if ino == ROOT_INO {
        backs.clear();
    } else if names.is_empty() && inode.nlink > 0 {
        log.problem(Some(ino), "has no name that leads to it", Some(Fix::Name));
        return;
    }
    for (tie, name) in names {
        if tie.kind != inode.kind() {
            log.of(ino, format!("is of another type than {} says", quoted(&name)));
            backs.retain(|back| (back.dir, back.hash) != (tie.dir, tie.hash));
        } else if let Some(place) = backs.iter().position(|back| *back == tie) {
            backs.swap_remove(place);
        } else {
            let what = format!("does not know that it is {} in inode {}", quoted(&name), tie.dir);
            log.of(ino, what);
        }
    }
    for back in backs {
        log.of(ino, format!("believes that it has a name in inode {}, but has not", back.dir));
    }
    if log.report.problem_count > before {
        log.distrust(ino);
    }
}

fn quoted(name: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(name))
}
