//! Files through the kernel, over both transports: what programs do arrives, and comes back.
#![allow(unsafe_code, clippy::unwrap_used)] // mmap and ioctl as programs call them

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};

use common::on_each;

#[test]
fn everyday_operations() {
    on_each(|mount| {
        let dir = mount.dir();
        fs::write(dir.join("a"), b"hello").unwrap();
        fs::create_dir(dir.join("d")).unwrap();
        fs::rename(dir.join("a"), dir.join("d/b")).unwrap();
        fs::hard_link(dir.join("d/b"), dir.join("c")).unwrap();
        symlink("d/b", dir.join("s")).unwrap();
        assert_eq!(fs::read(dir.join("s")).unwrap(), b"hello");
        assert_eq!(fs::read_link(dir.join("s")).unwrap().to_str(), Some("d/b"));
        let meta = fs::metadata(dir.join("c")).unwrap();
        assert_eq!((meta.len(), meta.nlink()), (5, 2));
        fs::set_permissions(dir.join("c"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::metadata(dir.join("d/b")).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(
            fs::remove_dir(dir.join("d")).unwrap_err().raw_os_error(),
            Some(libc::ENOTEMPTY)
        );
        fs::remove_file(dir.join("d/b")).unwrap();
        fs::remove_dir(dir.join("d")).unwrap();
        assert_eq!(fs::read(dir.join("s")).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert!(rustix::fs::statvfs(dir).unwrap().f_namemax == 255);
    });
}

#[test]
fn large_files_come_back_byte_for_byte() {
    on_each(|mount| {
        let path = mount.dir().join("large");
        let data: Vec<u8> =
            (0..9_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(&data).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut back = Vec::new();
        file.read_to_end(&mut back).unwrap();
        assert!(back == data);
        file.set_len(10).unwrap();
        assert_eq!(fs::read(&path).unwrap(), data[..10]);
    });
}

#[test]
fn direct_io_and_mmap_see_the_same_bytes() {
    on_each(|mount| {
        let path = mount.dir().join("mapped");
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(8192).unwrap();
        // SAFETY: a fresh shared mapping of two pages, used below its length and then unmapped.
        unsafe {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let at =
                libc::mmap(std::ptr::null_mut(), 8192, prot, libc::MAP_SHARED, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::ptr::write_bytes(at.cast::<u8>().add(5000), b'm', 10);
            assert_eq!(libc::msync(at, 8192, libc::MS_SYNC), 0);
            assert_eq!(libc::munmap(at, 8192), 0);
        }
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
        let mut part = vec![0; 8192];
        assert_eq!(direct.read_at(&mut part, 0).unwrap(), 8192);
        assert_eq!(&part[4999..5011], b"\0mmmmmmmmmm\0");
    });
}

#[test]
fn ten_thousand_names_are_listed_once_each() {
    on_each(|mount| {
        let dir = mount.dir().join("many");
        fs::create_dir(&dir).unwrap();
        let made: BTreeSet<String> = (0..10_000).map(|i| format!("name-{i:05}")).collect();
        made.iter().for_each(|name| drop(File::create(dir.join(name)).unwrap()));
        let list =
            || fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert_eq!(list().count(), 10_000);
        assert_eq!(list().collect::<BTreeSet<_>>(), made);
        let sizes = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
        assert_eq!(sizes.sum::<u64>(), 0);
        fs::remove_dir_all(&dir).unwrap();
    });
}

#[test]
fn attributes_with_names() {
    on_each(|mount| {
        let path = mount.dir().join("x");
        fs::write(&path, b"").unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&path, "user.one", b"first", flags).unwrap();
        rustix::fs::setxattr(&path, "user.two", &vec![7; 40_000], flags).unwrap();
        let mut value = vec![0; 65_536];
        assert_eq!(rustix::fs::getxattr(&path, "user.one", &mut value[..]).unwrap(), 5);
        assert_eq!(rustix::fs::getxattr(&path, "user.two", &mut value[..]).unwrap(), 40_000);
        let short = rustix::fs::getxattr(&path, "user.two", &mut value[..10]);
        assert_eq!(short, Err(rustix::io::Errno::RANGE));
        let len = rustix::fs::listxattr(&path, &mut value[..]).unwrap();
        assert_eq!(&value[..len], b"user.one\0user.two\0");
        rustix::fs::removexattr(&path, "user.one").unwrap();
        let gone = rustix::fs::getxattr(&path, "user.one", &mut value[..]);
        assert_eq!(gone, Err(rustix::io::Errno::NODATA));
    });
}

#[test]
fn files_without_a_name_and_birth_times() {
    on_each(|mount| {
        let mut file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(mount.dir())
            .unwrap();
        file.write_all(b"nameless").unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        let (at, follow) = (rustix::fs::CWD, rustix::fs::AtFlags::SYMLINK_FOLLOW);
        rustix::fs::linkat(at, &source, at, mount.dir().join("named"), follow).unwrap();
        let meta = fs::metadata(mount.dir().join("named")).unwrap();
        assert_eq!((meta.len(), meta.nlink()), (8, 1));
        let age = meta.created().unwrap().elapsed().unwrap();
        assert!(age.as_secs() < 60, "birth time is {age:?} ago");
    });
}

#[test]
fn ranges_are_copied_punched_and_sought() {
    on_each(|mount| {
        let (from, to) = (mount.dir().join("from"), mount.dir().join("to"));
        fs::write(&from, vec![b'c'; 300_000]).unwrap();
        assert_eq!(fs::copy(&from, &to).unwrap(), 300_000);
        let file = File::options().read(true).write(true).open(&to).unwrap();
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, punch, 4096, 4096).unwrap();
        let mut bytes = [1; 2];
        file.read_exact_at(&mut bytes, 4095).unwrap();
        assert_eq!(bytes, [b'c', 0]);
        let end = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
        assert_eq!(end, 300_000);
        let behind = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(400_000));
        assert_eq!(behind, Err(rustix::io::Errno::NXIO));
    });
}

#[test]
fn the_shutdown_ioctl_arrives_with_its_pointer() {
    on_each(|mount| {
        let dir = File::open(mount.dir()).unwrap();
        let mut flag: u32 = 2;
        let pointer = &raw mut flag;
        // SAFETY: the argument of this ioctl is a pointer to a u32 that outlives the call.
        let result = unsafe { libc::ioctl(dir.as_raw_fd(), 0x8004_587D, pointer) };
        assert_eq!(result, 0);
        assert_eq!(mount.floor.ioctls(), [(0x8004_587D, pointer as u64, true)]);
        assert_eq!(flag, 2, "no output bytes overwrote the caller's flag");
    });
}

#[test]
fn locks_are_kept_by_the_kernel() {
    on_each(|mount| {
        let path = mount.dir().join("locked");
        let first = File::create(&path).unwrap();
        first.lock().unwrap();
        let second = File::open(&path).unwrap();
        assert!(second.try_lock().is_err());
        drop(first);
        second.try_lock().unwrap();
    });
}

#[test]
fn many_threads_at_once() {
    on_each(|mount| {
        std::thread::scope(|scope| {
            for worker in 0..16 {
                scope.spawn(move || {
                    let dir = mount.dir().join(format!("w{worker}"));
                    fs::create_dir(&dir).unwrap();
                    for i in 0..100 {
                        let path = dir.join(i.to_string());
                        let mut file = File::create(&path).unwrap();
                        file.write_all(format!("{worker}-{i}").as_bytes()).unwrap();
                        file.sync_data().unwrap();
                        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{worker}-{i}"));
                    }
                    assert_eq!(fs::read_dir(&dir).unwrap().count(), 100);
                });
            }
        });
    });
}
