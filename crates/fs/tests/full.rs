//! A full disk under a filesystem: what is copied out of other moments is never lost, memory stays bounded, and what was
//! taken is committed when there is room.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
use common::*;
use tintype_fs::vfs::*;

const H: Handle = Handle(0);

/// Content that no two files share.
fn content(seed: u8, blocks: usize) -> Vec<u8> {
    (0..blocks * 4096).map(|at| seed ^ (at / 4096) as u8 ^ (at % 251) as u8).collect()
}

fn reclaim(f: &Fixture) {
    while f.store.reclaim_step().unwrap() {}
}

fn sound(f: &Fixture) {
    f.store.check().unwrap();
    f.store.run_background_until_idle().unwrap();
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

/// The source goes while the copy still waits for room: before its live file changed, or after that was cut.
#[test]
fn a_copy_that_waits_for_room_outlives_its_source() {
    for (writable, cut_first) in [(false, false), (false, true), (true, false), (true, true)] {
        let f = Fixture::new();
        let (a, old) = (f.create(ROOT, "a"), content(1, 80));
        f.write(a, 0, &old);
        let id = f.snapshot("one", writable);
        let source = f.find(f.moment("one"), "a").unwrap();
        let (b, other) = (f.create(ROOT, "b"), f.create(ROOT, "other"));
        f.store.sync().unwrap();
        f.kv.fill(Some(1));
        f.write(a, 0, &content(2, 80));
        if cut_first {
            assert!(f.store.sync().unwrap_err().is_full());
        }
        f.write(other, 0, &content(3, 40));
        let copied = f.fs.copy_file_range(&ME, source, H, 0, b, H, 0, 1 << 30).unwrap();
        assert_eq!(copied, old.len());
        assert!(f.store.sync().unwrap_err().is_full());
        f.fs.leave_snapshot(id);
        f.store.delete_snapshots(&[id]).unwrap();
        f.fs.snapshots_changed();
        reclaim(&f);
        f.kv.fill(None);
        f.store.sync().unwrap();
        reclaim(&f);
        sound(&f);
        let f = f.reopen();
        let [a, b, other] = ["a", "b", "other"].map(|name| f.find(ROOT, name).unwrap());
        assert!(f.all(b) == old, "the copy");
        assert!(f.all(a) == content(2, 80) && f.all(other) == content(3, 40));
        // What nobody needs any more is given back.
        f.fs.unlink(&ME, ROOT, b"b").unwrap();
        f.fs.forget(b, u64::MAX);
        sound(&f);
        let live = f.store.usage(f.volume);
        assert!(live.snapshot_bytes == 0 && live.live_bytes < 130 * 4096, "{live:?}");
    }
}

#[test]
fn copying_out_of_a_moment_costs_no_sync() {
    let f = Fixture::new();
    let a = f.create(ROOT, "a");
    let data = content(1, 400);
    f.write(a, 0, &data);
    f.snapshot("one", false);
    let source = f.find(f.moment("one"), "a").unwrap();
    let b = f.create(ROOT, "b");
    let before = f.kv.syncs();
    for part in 0..10_u64 {
        let at = part * 40 * 4096;
        f.fs.copy_file_range(&ME, source, H, at, b, H, at, 40 * 4096).unwrap();
    }
    assert_eq!(f.kv.syncs() - before, 0);
    assert!(f.all(b) == data);
}

#[test]
fn nothing_is_copied_out_of_a_moment_that_went() {
    let f = Fixture::new();
    let a = f.create(ROOT, "a");
    f.write(a, 0, &content(1, 80));
    let id = f.snapshot("one", false);
    let source = f.find(f.moment("one"), "a").unwrap();
    f.write(a, 0, &content(2, 80));
    let b = f.create(ROOT, "b");
    f.store.sync().unwrap();
    f.store.delete_snapshots(&[id]).unwrap();
    let copied = f.fs.copy_file_range(&ME, source, H, 0, b, H, 0, 1 << 30);
    assert_eq!(code(copied), libc::ESTALE);
    sound(&f);
}

/// Overwriting needs no room by the limits; without a bound of its own it would fill the memory.
#[test]
fn overwrites_on_a_full_disk_are_refused_before_memory_is() {
    const FILES: u8 = 8;
    let f = Fixture::new();
    let mut model = Vec::new();
    for n in 0..FILES {
        let node = f.create(ROOT, &format!("f{n}"));
        f.write(node, 0, &content(n, 256));
        model.push((node, content(n, 256)));
    }
    f.store.sync().unwrap();
    f.kv.fill(Some(1));
    let mut refused = 0;
    for round in 0..40_u8 {
        for (node, now) in &mut model {
            let new = content(100 + round, 256);
            let written = f.fs.write(&ME, *node, H, 0, &new, WriteFlags::default());
            match written {
                Ok(count) => assert_eq!(count, new.len()),
                Err(error) => {
                    assert_eq!(error, Errno(libc::ENOSPC));
                    refused += 1;
                    continue;
                }
            }
            *now = new;
        }
    }
    assert!(refused > 0, "everything was taken");
    let waiting = f.store.unwritten_bytes();
    assert!(waiting < 80 << 20, "{waiting} bytes wait in memory");
    // What takes away goes on, and what was taken is shown.
    f.fs.unlink(&ME, ROOT, b"f7").unwrap();
    f.fs.forget(model.pop().unwrap().0, u64::MAX);
    assert!(model.iter().all(|(node, now)| f.all(*node) == *now));
    f.kv.fill(None);
    f.store.sync().unwrap();
    f.write(model[0].0, 0, b"again");
    model[0].1[..5].copy_from_slice(b"again");
    let f = f.reopen();
    for (n, (_, now)) in model.iter().enumerate() {
        let node = f.find(ROOT, &format!("f{n}")).unwrap();
        assert!(f.all(node) == *now, "file {n}");
    }
    sound(&f);
}
