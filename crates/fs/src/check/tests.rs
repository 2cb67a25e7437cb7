//! Sound trees have no problem; each planted damage is named, and repaired where that is safe.

use super::{CheckReport, check};
use crate::edit::Edit;
use crate::error::Result;
use crate::keys::{self, ROOT_INO};
use crate::mounted::Mounted;
use crate::nodes::unpack;
use crate::vfs::*;
use std::sync::Arc;
use tintype_kv::MemoryKv;
use tintype_model::{VolumeId, VolumeKind, VolumeMeta, VolumeName};
use tintype_segments::{MemoryFiles, Segments};
use tintype_store::{MomentRef, NewVolume, Store, StoreOptions};

const ME: Caller = Caller { uid: 0, gid: 0, pid: 1 };

struct World {
    store: Arc<Store>,
    volume: VolumeId,
    fs: Arc<Mounted>,
    dir: u64,
    file: u64,
}

/// A tree with one of everything.
fn world() -> World {
    let segments = Segments::open(Arc::new(MemoryFiles::new()), Default::default()).unwrap();
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    let store = Store::open(Arc::new(MemoryKv::new()), Arc::new(segments), options).unwrap();
    let time = "2026-11-21T00:00:00Z".parse().unwrap();
    let meta = VolumeMeta::new(VolumeName::new("v").unwrap(), VolumeKind::Filesystem, time);
    let volume = store.create_volume(NewVolume { meta }).unwrap().id;
    let fs = Mounted::open(store.clone(), volume).unwrap();
    let dir = fs.mkdir(&ME, ROOT, b"dir", 0o755, 0).unwrap().node;
    let (file, _) = fs.create(&ME, dir, b"file", 0o644, 0, libc::O_EXCL).unwrap();
    let node = file.node;
    for at in [0, 5_000, 700_000] {
        fs.write(&ME, node, Handle(0), at, &[7; 9000], WriteFlags::default()).unwrap();
    }
    fs.link(&ME, node, ROOT, b"second").unwrap();
    fs.link(&ME, node, dir, b"third").unwrap();
    fs.setxattr(&ME, node, b"user.large", &[1; 4000], 0, false).unwrap();
    fs.symlink(&ME, dir, b"link", b"file").unwrap();
    fs.mknod(&ME, dir, b"fifo", libc::S_IFIFO | 0o600, 0, 0).unwrap();
    fs.mkdir(&ME, dir, b"sub", 0o755, 0).unwrap();
    let (gone, _) = fs.create(&ME, dir, b"gone", 0o644, 0, 0).unwrap();
    fs.write(&ME, gone.node, Handle(0), 0, b"held", WriteFlags::default()).unwrap();
    fs.unlink(&ME, dir, b"gone").unwrap();
    World { store, volume, fs, dir: unpack(dir).1, file: unpack(node).1 }
}

impl World {
    fn damage(&self, f: impl FnOnce(&mut Edit<'_>) -> Result<()>) {
        self.fs.live.edit(f).unwrap();
    }

    fn found(&self) -> Vec<String> {
        texts(&self.fs.check(false).unwrap())
    }

    /// What is found, and what is left after a repair.
    fn repaired(&self) -> (Vec<String>, Vec<String>) {
        let found = texts(&self.fs.check(true).unwrap());
        (found, self.found())
    }
}

fn texts(report: &CheckReport) -> Vec<String> {
    assert_eq!(report.problem_count as usize, report.problems.len());
    let path =
        |path: &Option<Vec<u8>>| String::from_utf8(path.clone().unwrap_or_default()).unwrap();
    report.problems.iter().map(|p| format!("{} {}", path(&p.path), p.what)).collect()
}

#[test]
fn a_sound_tree_has_no_problem() {
    let w = world();
    let report = w.fs.check(false).unwrap();
    assert_eq!(texts(&report), [""; 0]);
    assert_eq!((report.inodes, report.names, report.blocks), (7, 7, 4 + 4 + 1));
    w.store.sync().unwrap();
    let committed = check(&w.store, MomentRef::Live(w.volume)).unwrap();
    assert_eq!(committed, report);
}

#[test]
fn wrong_counts_are_named_and_repaired() {
    let w = world();
    let (dir, file) = (w.dir, w.file);
    w.damage(|edit| {
        edit.change(dir)?.entries = 9;
        edit.change(dir)?.nlink = 9;
        let inode = edit.change(file)?;
        (inode.nlink, inode.blocks, inode.far_xattrs) = (9, 9, 9);
        edit.state.sup.blocks += 3;
        edit.state.sup.inodes += 3;
        Ok(())
    });
    let (found, left) = w.repaired();
    let want = [
        "dir says that it has 9 links, not 3",
        "dir says that it has 9 entries, not 5",
        "second says that it has 9 links, not 3",
        "second says that it has 9 blocks, not 8",
        "second says that it has 9 large extended attributes, not 1",
        " counts 10 inodes and 12 blocks",
    ];
    assert_eq!(found.len(), want.len(), "{found:#?}");
    for text in want {
        assert!(found.iter().any(|own| own.starts_with(text)), "{text}: {found:#?}");
    }
    assert_eq!(left, [""; 0]);
}

#[test]
fn marks_are_repaired() {
    let w = world();
    let file = w.file;
    w.damage(|edit| {
        edit.make_orphan(file)?;
        edit.make_orphan(999)
    });
    let (found, left) = w.repaired();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_no_name_leads_to_gets_one() {
    let w = world();
    let (dir, file) = (w.dir, w.file);
    w.damage(|edit| {
        edit.remove_name(ROOT_INO, b"dir")?;
        edit.remove_name(ROOT_INO, b"second")?;
        edit.remove_name(dir, b"file")?;
        edit.remove_name(dir, b"third")
    });
    let (found, left) = w.repaired();
    assert!(found.iter().any(|text| text.contains("no name that leads to it")), "{found:#?}");
    assert_eq!(left, [""; 0]);
    for ino in [dir, file] {
        let entry = w.fs.lookup(&ME, ROOT, format!("lost-{ino}").as_bytes()).unwrap();
        assert_eq!(unpack(entry.node).1, ino);
    }
}

#[test]
fn names_without_inodes_and_wrong_types_are_named() {
    let w = world();
    let (dir, file) = (w.dir, w.file);
    w.damage(|edit| {
        edit.add_name(dir, b"nothing", 5_000, libc::S_IFREG)?;
        edit.redirect(dir, b"file", file, libc::S_IFIFO)?;
        edit.add_name(dir, b"unknown", file, libc::S_IFREG).map(drop)
    });
    let found = w.found();
    for text in [
        "dir has \"nothing\", but inode 5000 does not exist",
        "is of another type than \"file\" says",
        "does not know that it is \"unknown\"",
    ] {
        assert!(found.iter().any(|own| own.contains(text)), "{text}: {found:#?}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(w.repaired().1.len(), 3, "nothing of this is repaired");
}

#[test]
fn strange_records_and_loops_are_named() {
    let w = world();
    let (dir, file) = (w.dir, w.file);
    w.damage(|edit| {
        edit.put(keys::xattr(4_000, 1), Box::new([1]));
        edit.put(keys::span(file, 0), Box::new([9]));
        edit.put(tintype_store::Key::new(77, 0, 0), Box::new([1]));
        edit.put(keys::link(dir, 5), Box::new([1]));
        Ok(())
    });
    let found = w.found();
    for text in ["does not exist, but an extended attribute", "damaged record", "no known kind"] {
        assert!(found.iter().any(|own| own.contains(text)), "{text}: {found:#?}");
    }
    let w = world();
    let (dir, sub) = (w.dir, w.fs.lookup(&ME, ROOT, b"dir").unwrap().node);
    let sub = unpack(w.fs.lookup(&ME, sub, b"sub").unwrap().node).1;
    w.damage(|edit| {
        let seed = edit.seed();
        edit.remove_name(ROOT_INO, b"dir")?;
        edit.add_name(sub, b"dir", dir, libc::S_IFDIR)?;
        edit.change(ROOT_INO)?.nlink -= 1;
        edit.change(sub)?.nlink += 1;
        let inode = edit.change(dir)?;
        (inode.parent, inode.name) = (sub, keys::name_hash(seed, b"dir"));
        Ok(())
    });
    let found = w.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("lies within itself"), "{found:#?}");
}

#[test]
fn data_behind_the_end_is_named() {
    let w = world();
    let file = w.file;
    w.damage(|edit| {
        edit.change(file)?.size = 100;
        Ok(())
    });
    let found = w.found();
    assert_eq!(found, ["second has 100 bytes, but data in block 173"], "{found:#?}");
}

/// Counts that are put right to what was found are right only if nothing happens in between.
#[test]
fn a_repair_beside_writers_leaves_no_count_wrong() {
    let w = world();
    std::thread::scope(|scope| {
        let write = |writer: u32| {
            for n in 0..6000 {
                let name = format!("w{writer}-{}", n % 500);
                let (file, _) = w.fs.create(&ME, ROOT, name.as_bytes(), 0o644, 0, 0).unwrap();
                w.fs.write(&ME, file.node, Handle(0), 0, &[1; 9], WriteFlags::default()).unwrap();
                if n % 3 > 0 {
                    w.fs.unlink(&ME, ROOT, name.as_bytes()).unwrap();
                }
            }
        };
        let writers = [1, 2].map(|writer| scope.spawn(move || write(writer)));
        while !writers.iter().all(|writer| writer.is_finished()) {
            w.damage(|edit| {
                edit.change(ROOT_INO)?.entries += 2;
                edit.state.sup.blocks += 3;
                edit.state.sup.inodes += 3;
                edit.state.sup_dirty = true;
                Ok(())
            });
            w.fs.check(true).unwrap();
            assert_eq!(w.found(), [""; 0]);
        }
    });
}
