//! POSIX semantics of a mounted filesystem, one rule per test.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
use common::*;
use tintype_fs::vfs::*;

#[test]
fn files_keep_what_is_written() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    f.write(node, 5000, b"hello");
    assert_eq!(f.attr(node).size, 5005);
    assert_eq!(f.attr(node).blocks, 8);
    f.write(node, 4998, b"xy");
    f.write(node, 300_000, &[7; 200_000]);
    let mut want = vec![0; 500_000];
    want[4998..5005].copy_from_slice(b"xyhello");
    want[300_000..].fill(7);
    assert_eq!(f.all(node), want);
    f.store.sync().unwrap();
    assert_eq!(f.all(node), want);
    f.write(node, 100, b"again");
    want[100..105].copy_from_slice(b"again");
    f.write(node, 300_001, b"z");
    want[300_001] = b'z';
    assert_eq!(f.all(node), want);
    let f = f.reopen();
    let node = f.find(ROOT, "a").unwrap();
    assert_eq!(f.all(node), want);
}

#[test]
fn a_staged_end_is_changed_before_its_extent_fills() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    // One block of the second span, staged where the next 31 blocks will be staged too.
    f.write(node, 32 * 4096, &[1; 4096]);
    f.write(node, 4096, &[2; 31 * 4096 + 100]);
    let got = f.all(node);
    assert!(got[4096..32 * 4096 + 100].iter().all(|b| *b == 2));
    assert!(got[32 * 4096 + 100..].iter().all(|b| *b == 1));
}

#[test]
fn bytes_behind_the_end_are_zero_after_growing() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    for committed in [false, true] {
        f.write(node, 0, &[1; 8192]);
        if committed {
            f.store.sync().unwrap();
        }
        f.truncate(node, 4100);
        f.truncate(node, 8192);
        let got = f.all(node);
        assert!(got[..4100].iter().all(|b| *b == 1) && got[4100..].iter().all(|b| *b == 0));
        assert_eq!(f.fs.usage().blocks, 2);
        f.truncate(node, 0);
        assert_eq!(f.fs.usage().blocks, 0);
    }
}

#[test]
fn holes_are_found_and_punched() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    let seek = |offset, whence| f.fs.lseek(node, Handle(0), offset, whence);
    f.truncate(node, 10 << 20);
    assert_eq!(code(seek(0, libc::SEEK_DATA)), libc::ENXIO);
    assert_eq!(seek(5, libc::SEEK_HOLE).unwrap(), 5);
    f.write(node, 1 << 20, &[1; 400_000]);
    assert_eq!(seek(0, libc::SEEK_DATA).unwrap(), 1 << 20);
    assert_eq!(
        seek(1 << 20, libc::SEEK_HOLE).unwrap(),
        ((1 << 20) + 400_000_u64).next_multiple_of(4096)
    );
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    f.fs.fallocate(&ME, node, Handle(0), (1 << 20) + 100, 200_000, punch).unwrap();
    let got = f.read(node, 1 << 20, 400_000);
    assert!(got[..100].iter().all(|b| *b == 1));
    assert!(got[100..200_100].iter().all(|b| *b == 0));
    assert!(got[200_100..].iter().all(|b| *b == 1));
    assert_eq!(seek(1 << 20, libc::SEEK_HOLE).unwrap(), (1 << 20) + 4096);
    f.fs.fallocate(&ME, node, Handle(0), 0, 12 << 20, 0).unwrap();
    assert_eq!(f.attr(node).size, 12 << 20);
    assert_eq!(f.attr(node).blocks, (12 << 20) / 512);
    assert_eq!(seek(0, libc::SEEK_DATA).unwrap(), 1 << 20);
    f.fs.fallocate(&ME, node, Handle(0), 0, 11 << 20, libc::FALLOC_FL_ZERO_RANGE).unwrap();
    assert_eq!(code(seek(0, libc::SEEK_DATA)), libc::ENXIO);
    assert_eq!(code(f.fs.fallocate(&ME, node, Handle(0), 0, 1, 8)), libc::EOPNOTSUPP);
    assert_eq!(code(f.fs.fallocate(&ME, node, Handle(0), 1 << 44, 1, 0)), libc::EFBIG);
}

#[test]
fn directories_count_and_refuse() {
    let f = Fixture::new();
    let dir = f.mkdir(ROOT, "d");
    assert_eq!(f.attr(ROOT).nlink, 3);
    let sub = f.mkdir(dir, "s");
    assert_eq!(code(f.fs.rmdir(&ME, ROOT, b"d")), libc::ENOTEMPTY);
    assert_eq!(code(f.fs.unlink(&ME, ROOT, b"d")), libc::EISDIR);
    assert_eq!(code(f.fs.rename(&ME, ROOT, b"d", sub, b"x", 0)), libc::EINVAL);
    assert_eq!(code(f.fs.mkdir(&ME, ROOT, b"d", 0, 0)), libc::EEXIST);
    f.fs.rename(&ME, dir, b"s", ROOT, b"t", 0).unwrap();
    assert_eq!((f.attr(ROOT).nlink, f.attr(dir).nlink), (4, 2));
    f.fs.rmdir(&ME, ROOT, b"d").unwrap();
    assert_eq!(f.attr(dir).nlink, 0);
    assert_eq!(code(f.fs.mkdir(&ME, dir, b"x", 0, 0)), libc::ENOENT);
    assert_eq!(f.fs.usage().inodes, 3);
    f.fs.forget(dir, 1);
    assert_eq!(f.fs.usage().inodes, 2);
    assert_eq!(f.names(ROOT), ["t"]);
    let long = "n".repeat(256);
    assert_eq!(code(f.fs.lookup(&ME, ROOT, long.as_bytes())), libc::ENAMETOOLONG);
}

#[test]
fn an_unlinked_file_lives_while_it_is_held() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    f.write(node, 0, b"data");
    f.fs.unlink(&ME, ROOT, b"a").unwrap();
    assert_eq!(f.read(node, 0, 9), b"data");
    assert_eq!(f.attr(node).nlink, 0);
    f.fs.forget(node, 1);
    assert_eq!(code(f.fs.getattr(&ME, node, None)), libc::ESTALE);
    assert_eq!(f.fs.usage().blocks, 0);
    let node = f.create(ROOT, "b");
    f.write(node, 0, b"data");
    f.fs.unlink(&ME, ROOT, b"b").unwrap();
    let f = f.reopen();
    assert_eq!((f.fs.usage().blocks, f.fs.usage().inodes), (0, 1));
}

#[test]
fn a_large_file_goes_in_steps() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    for n in 0..200_u64 {
        f.write(node, n << 20, b"x");
    }
    assert_eq!(f.fs.usage().blocks, 200);
    f.fs.unlink(&ME, ROOT, b"a").unwrap();
    f.fs.forget(node, 1);
    // Its blocks count no more; the inode is the last to go.
    assert_eq!((f.fs.usage().blocks, f.fs.usage().inodes), (0, 2));
    while f.fs.step_orphans().unwrap() {}
    assert_eq!((f.fs.usage().blocks, f.fs.usage().inodes), (0, 1));
}

#[test]
fn hard_links_and_renames() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    let dir = f.mkdir(ROOT, "d");
    f.fs.link(&ME, node, dir, b"b").unwrap();
    assert_eq!(f.attr(node).nlink, 2);
    f.fs.rename(&ME, ROOT, b"a", dir, b"b", 0).unwrap();
    assert_eq!(
        (f.names(ROOT), f.names(dir)),
        (vec!["a".into(), "d".to_string()], vec!["b".to_string()])
    );
    f.fs.unlink(&ME, ROOT, b"a").unwrap();
    let other = f.create(ROOT, "c");
    assert_eq!(code(f.fs.rename(&ME, ROOT, b"c", dir, b"b", libc::RENAME_NOREPLACE)), libc::EEXIST);
    f.fs.rename(&ME, ROOT, b"c", dir, b"b", libc::RENAME_EXCHANGE).unwrap();
    assert_eq!((f.find(ROOT, "c"), f.find(dir, "b")), (Some(node), Some(other)));
    f.fs.rename(&ME, ROOT, b"c", ROOT, b"e", libc::RENAME_WHITEOUT).unwrap();
    let white = f.find(ROOT, "c").unwrap();
    assert_eq!(f.attr(white).mode & libc::S_IFMT, libc::S_IFCHR);
    assert_eq!(code(f.fs.rename(&ME, ROOT, b"d", ROOT, b"e", 0)), libc::ENOTDIR);
    assert_eq!(code(f.fs.rename(&ME, ROOT, b"e", ROOT, b"d", 0)), libc::EISDIR);
}

#[test]
fn extended_attributes_small_and_large() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    let set = |name: &str, value: &[u8], flags| {
        f.fs.setxattr(&ME, node, name.as_bytes(), value, flags, false)
    };
    for name in ["user.", "trusted.", "security."] {
        assert_eq!(code(set(name, b"1", 0)), libc::EINVAL, "{name}");
        assert_eq!(code(f.fs.getxattr(&ME, node, name.as_bytes())), libc::EINVAL);
    }
    assert_eq!(code(set("other.", b"1", 0)), libc::EOPNOTSUPP);
    set("user.small", b"1", 0).unwrap();
    set("user.large", &[5; 60_000], 0).unwrap();
    assert_eq!(f.fs.getxattr(&ME, node, b"user.large").unwrap(), vec![5; 60_000]);
    assert_eq!(code(set("user.large", b"", libc::XATTR_CREATE as u32)), libc::EEXIST);
    assert_eq!(code(set("user.none", b"", libc::XATTR_REPLACE as u32)), libc::ENODATA);
    assert_eq!(code(set("user.none", &[0; 65_537], 0)), libc::E2BIG);
    assert_eq!(code(set("strange.x", b"", 0)), libc::EOPNOTSUPP);
    set("trusted.t", b"", 0).unwrap();
    let other = Caller { uid: 5, ..ME };
    assert_eq!(f.fs.listxattr(&other, node).unwrap().iter().filter(|b| **b == 0).count(), 2);
    set("user.large", b"now small", 0).unwrap();
    f.fs.removexattr(&ME, node, b"user.large").unwrap();
    assert_eq!(code(f.fs.getxattr(&ME, node, b"user.large")), libc::ENODATA);
    set("user.large", &[5; 60_000], 0).unwrap();
    f.fs.unlink(&ME, ROOT, b"a").unwrap();
    f.fs.forget(node, 1);
    assert_eq!(f.fs.usage().inodes, 1);
}

fn acl(list: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in list {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&perm.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

#[test]
fn access_lists_are_inherited_and_follow_chmod() {
    let f = Fixture::new();
    let dir = f.mkdir(ROOT, "d");
    let none = u32::MAX;
    let list = acl(&[(1, 7, none), (2, 7, 1000), (4, 5, none), (16, 7, none), (32, 5, none)]);
    f.fs.setxattr(&ME, dir, b"system.posix_acl_default", &list, 0, false).unwrap();
    let (entry, _) = f.fs.create(&ME, dir, b"a", 0o640, 0o077, 0).unwrap();
    assert_eq!(entry.attr.mode & 0o777, 0o640);
    let got = f.fs.getxattr(&ME, entry.node, b"system.posix_acl_access").unwrap();
    let want = acl(&[(1, 6, none), (2, 7, 1000), (4, 5, none), (16, 4, none), (32, 0, none)]);
    assert_eq!(got, want);
    let set = SetAttr { mode: Some(0o600), ..SetAttr::default() };
    f.fs.setattr(&ME, entry.node, None, &set).unwrap();
    let got = f.fs.getxattr(&ME, entry.node, b"system.posix_acl_access").unwrap();
    assert_eq!(got[4 + 3 * 8 + 2], 0);
    let minimal = acl(&[(1, 6, none), (4, 4, none), (32, 4, none)]);
    f.fs.setxattr(&ME, entry.node, b"system.posix_acl_access", &minimal, 0, false).unwrap();
    assert_eq!(f.attr(entry.node).mode & 0o777, 0o644);
    assert_eq!(code(f.fs.getxattr(&ME, entry.node, b"system.posix_acl_access")), libc::ENODATA);
    let sub = f.mkdir(dir, "s");
    assert_eq!(f.fs.getxattr(&ME, sub, b"system.posix_acl_default").unwrap(), list);
    let (plain, _) = f.fs.create(&ME, ROOT, b"p", 0o666, 0o022, 0).unwrap();
    assert_eq!(plain.attr.mode & 0o777, 0o644);
}

#[test]
fn ownership_and_set_id_bits() {
    let f = Fixture::new();
    let dir = f.mkdir(ROOT, "d");
    let set = SetAttr { gid: Some(77), ..SetAttr::default() };
    f.fs.setattr(&ME, dir, None, &set).unwrap();
    let set = SetAttr { mode: Some(0o2755), ..SetAttr::default() };
    f.fs.setattr(&ME, dir, None, &set).unwrap();
    let who = Caller { uid: 5, gid: 6, pid: 1 };
    let (entry, _) = f.fs.create(&who, dir, b"a", 0o6755, 0, 0).unwrap();
    assert_eq!((entry.attr.uid, entry.attr.gid), (5, 77));
    let sub = f.fs.mkdir(&who, dir, b"s", 0o755, 0).unwrap();
    assert_eq!((sub.attr.gid, sub.attr.mode & 0o7777), (77, 0o2755));
    let flags = WriteFlags { kill_suid: true, ..WriteFlags::default() };
    f.fs.write(&who, entry.node, Handle(0), 0, b"x", flags).unwrap();
    assert_eq!(f.attr(entry.node).mode & 0o7777, 0o755);
}

#[test]
fn protected_files() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    let set = |flags: u32| {
        let input = flags.to_ne_bytes();
        let request = Ioctl {
            command: 0x4008_6602,
            argument: 0,
            input: &input,
            out_size: 0,
            on_directory: false,
        };
        f.fs.ioctl(&ME, node, &request).map(|_| ())
    };
    set(0x10).unwrap();
    assert_eq!(code(f.fs.write(&ME, node, Handle(0), 0, b"x", WriteFlags::default())), libc::EPERM);
    assert_eq!(code(f.fs.unlink(&ME, ROOT, b"a")), libc::EPERM);
    assert_eq!(code(f.fs.open(&ME, node, libc::O_RDWR)), libc::EPERM);
    assert_eq!(f.attr(node).flags, 0x10);
    set(0x20).unwrap();
    assert_eq!(code(f.fs.open(&ME, node, libc::O_WRONLY)), libc::EPERM);
    f.fs.open(&ME, node, libc::O_WRONLY | libc::O_APPEND).unwrap();
    let append = WriteFlags { open_flags: libc::O_APPEND, ..WriteFlags::default() };
    f.fs.write(&ME, node, Handle(0), 0, b"x", append).unwrap();
    f.fs.write(&ME, node, Handle(0), 0, b"y", append).unwrap();
    assert_eq!(f.all(node), b"xy");
    assert_eq!(code(f.fs.rename(&ME, ROOT, b"a", ROOT, b"b", 0)), libc::EPERM);
    set(0).unwrap();
    f.fs.unlink(&ME, ROOT, b"a").unwrap();
}

#[test]
fn quota_refuses_before_anything_changes() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    f.store.update_volume(f.volume, &mut |meta| meta.quota = Some(4 * 4096)).unwrap();
    f.fs.refresh_limits();
    f.write(node, 0, &[1; 3 * 4096]);
    let more = f.fs.write(&ME, node, Handle(0), 3 * 4096, &[1; 8192], WriteFlags::default());
    assert_eq!(code(more), libc::EDQUOT);
    assert_eq!(f.attr(node).size, 3 * 4096);
    f.write(node, 0, &[2; 4 * 4096]);
    assert_eq!(f.fs.statfs(ROOT).unwrap().free, 0);
    assert_eq!(code(f.fs.fallocate(&ME, node, Handle(0), 0, 1 << 20, 0)), libc::EDQUOT);
}

#[test]
fn copies_share_blocks() {
    let f = Fixture::new();
    let a = f.create(ROOT, "a");
    let data: Vec<u8> = (0..300_001_u32).map(|n| (n / 7) as u8).collect();
    f.write(a, 0, &data);
    for committed in [false, true] {
        let b = f.create(ROOT, if committed { "b" } else { "c" });
        let h = Handle(0);
        let count = f.fs.copy_file_range(&ME, a, h, 0, b, h, 0, 1 << 30).unwrap();
        assert_eq!(count, data.len());
        assert_eq!(f.all(b), data);
        f.write(b, 10, b"changed");
        f.write(a, 300_000, &data[300_000..]);
        assert_eq!(f.all(a), data);
        let count = f.fs.copy_file_range(&ME, a, h, 5000, b, h, 9096, 50_000).unwrap();
        assert_eq!(count, 50_000);
        assert_eq!(f.read(b, 9096, 50_000), data[5000..55_000]);
        let count = f.fs.copy_file_range(&ME, a, h, 1, b, h, 2, 50_000).unwrap();
        assert_eq!(f.read(b, 2, count), data[1..1 + count]);
        f.store.sync().unwrap();
        assert_eq!(f.all(a), data);
    }
}

#[test]
fn moments_are_found_and_protected() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    f.write(node, 0, b"old");
    f.snapshot("one", false);
    f.write(node, 0, b"new");
    assert_eq!(f.names(ROOT), ["a"]);
    let snaps = f.find(ROOT, ".snapshots").unwrap();
    assert_eq!(f.names(snaps), ["at-one"]);
    let root = f.moment("one");
    let old = f.find(root, "a").unwrap();
    assert_eq!((f.all(old), f.all(node)), (b"old".to_vec(), b"new".to_vec()));
    assert_ne!(f.attr(old).ino, f.attr(node).ino);
    let write = f.fs.write(&ME, old, Handle(0), 0, b"x", WriteFlags::default());
    assert_eq!(code(write), libc::EROFS);
    assert_eq!(code(f.fs.mkdir(&ME, root, b"d", 0, 0)), libc::EROFS);
    assert_eq!(code(f.fs.mkdir(&ME, snaps, b"d", 0, 0)), libc::EROFS);
    assert_eq!(code(f.fs.mkdir(&ME, ROOT, b".snapshots", 0, 0)), libc::EEXIST);
    assert_eq!(code(f.fs.rename(&ME, root, b"a", root, b"b", 0)), libc::EXDEV);
    assert_eq!(code(f.fs.rename(&ME, root, b"a", ROOT, b"b", 0)), libc::EXDEV);
    let b = f.create(ROOT, "b");
    let h = Handle(0);
    assert_eq!(f.fs.copy_file_range(&ME, old, h, 0, b, h, 0, 100).unwrap(), 3);
    assert_eq!(f.all(b), b"old");
    let id = f.snapshot("two", true);
    let two = f.moment("two");
    let inner = f.find(two, "a").unwrap();
    f.write(inner, 0, b"own");
    assert_eq!((f.all(inner), f.all(node)), (b"own".to_vec(), b"new".to_vec()));
    f.fs.copy_file_range(&ME, inner, h, 0, b, h, 0, 100).unwrap();
    f.store.sync().unwrap();
    assert_eq!(f.all(b), b"own");
    f.fs.leave_snapshot(id);
    f.store.delete_snapshots(&[id]).unwrap();
    f.fs.snapshots_changed();
    assert_eq!(f.names(snaps), ["at-one"]);
    assert_eq!(code(f.fs.getattr(&ME, inner, None)), libc::ESTALE);
    assert_eq!(f.all(b), b"own");
}

#[test]
fn restore_shows_the_old_tree_and_never_reuses_numbers() {
    let f = Fixture::new();
    let a = f.create(ROOT, "a");
    f.write(a, 0, b"old");
    let id = f.snapshot("one", false);
    f.write(a, 0, b"new");
    let b = f.create(ROOT, "b");
    f.store.restore(f.volume, id, None).unwrap();
    assert_eq!(f.names(ROOT), ["a"]);
    assert_eq!(f.all(a), b"old");
    assert_eq!(code(f.fs.getattr(&ME, b, None)), libc::ESTALE);
    let c = f.create(ROOT, "c");
    assert_ne!(b, c);
    let f = f.reopen();
    assert_eq!(f.names(ROOT), ["a", "c"]);
}

#[test]
fn shutdown_stops_everything() {
    for flag in [1_u32, 2] {
        let f = Fixture::new();
        f.create(ROOT, "synced");
        f.store.sync().unwrap();
        f.create(ROOT, "late");
        let boxed = Box::new(flag);
        let request = Ioctl {
            command: 0x8004_587d,
            argument: std::ptr::from_ref(&*boxed) as u64,
            input: &[],
            out_size: 4,
            on_directory: true,
        };
        let who = Caller { pid: std::process::id(), ..ME };
        assert_eq!(code(f.fs.ioctl(&Caller { uid: 3, ..who }, ROOT, &request)), libc::EPERM);
        assert_eq!(f.fs.ioctl(&who, ROOT, &request).unwrap(), (0, Vec::new()));
        assert_eq!(code(f.fs.getattr(&ME, ROOT, None)), libc::EIO);
        let Fixture { kv, files, store, volume, fs } = f;
        drop(fs.close());
        drop(fs);
        drop(store.close());
        drop(store);
        let store = open_store(&kv, &files);
        let fs = tintype_fs::Mounted::open(store.clone(), volume).unwrap();
        let f = Fixture { kv, files, store, volume, fs };
        let want = if flag == 1 { vec!["late", "synced"] } else { vec!["synced"] };
        assert_eq!(f.names(ROOT), want);
    }
}

#[test]
fn listing_is_stable_while_names_come_and_go() {
    let f = Fixture::new();
    let dir = f.mkdir(ROOT, "d");
    for n in 0..300 {
        f.create(dir, &format!("keep{n}"));
    }
    let mut seen = Vec::new();
    let (mut offset, mut round) = (0, 0);
    loop {
        let mut sink = Names::default();
        f.fs.readdir(&ME, dir, Handle(0), offset, true, &mut sink).unwrap();
        let Some(last) = sink.list.last() else { break };
        offset = last.1;
        seen.extend(sink.list.iter().map(|(name, _)| name.clone()));
        f.create(dir, &format!("extra{round}"));
        if round > 3 {
            f.fs.unlink(&ME, dir, format!("extra{}", round - 3).as_bytes()).unwrap();
        }
        round += 1;
    }
    let kept = seen.iter().filter(|name| name.starts_with("keep")).count();
    assert_eq!(kept, 300);
    seen.sort();
    let before = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), before);
}

#[test]
fn nameless_files_can_get_a_name() {
    let f = Fixture::new();
    let (entry, _) = f.fs.tmpfile(&ME, ROOT, 0o600, 0, libc::O_RDWR).unwrap();
    f.write(entry.node, 0, b"t");
    assert_eq!(entry.attr.nlink, 0);
    f.fs.link(&ME, entry.node, ROOT, b"t").unwrap();
    f.fs.forget(entry.node, 2);
    let f = f.reopen();
    let node = f.find(ROOT, "t").unwrap();
    assert_eq!(f.all(node), b"t");
    assert_eq!(f.attr(node).nlink, 1);
}

#[test]
fn the_label_is_the_name_and_trimming_is_for_root() {
    let f = Fixture::new();
    let ask = |who: &Caller, command, input: &[u8], out_size| {
        let request = Ioctl { command, argument: 0, input, out_size, on_directory: true };
        f.fs.ioctl(who, ROOT, &request)
    };
    let (code, label) = ask(&ME, 0x8100_9431, &[], 256).unwrap();
    assert_eq!((code, label.len(), &label[..2]), (0, 256, b"v\0".as_slice()));
    let range = [[0; 8], [0xff; 8], 4096_u64.to_ne_bytes()].concat();
    let (code, trimmed) = ask(&ME, 0xc018_5879, &range, 24).unwrap();
    assert_eq!((code, &trimmed[..8], &trimmed[16..]), (0, &range[..8], &range[16..]));
    let other = Caller { uid: 7, ..ME };
    assert_eq!(ask(&other, 0xc018_5879, &range, 24).unwrap_err().0, libc::EPERM);
    assert_eq!(ask(&ME, 0xc018_5879, &[], 24).unwrap_err().0, libc::EINVAL);
}

/// As on ext4: programs lose their capabilities when their owner changes, directories keep what they have.
#[test]
fn a_new_owner_takes_capabilities_from_files_only() {
    let f = Fixture::new();
    let file = f.create(ROOT, "program");
    let dir = f.fs.mkdir(&ME, ROOT, b"dir", 0o755, 0).unwrap().node;
    let name = b"security.capability";
    for (node, left) in [(file, Err(libc::ENODATA)), (dir, Ok(vec![1; 20]))] {
        f.fs.setxattr(&ME, node, name, &[1; 20], 0, false).unwrap();
        let set = SetAttr { uid: Some(7), gid: Some(7), ..SetAttr::default() };
        f.fs.setattr(&ME, node, None, &set).unwrap();
        assert_eq!(f.fs.getxattr(&ME, node, name).map_err(|error| error.0), left);
    }
}
