//! The decoder and the encoder: bytes as the kernel sends and expects them (written down from the
//! kernel's header), and no panic on any bytes.

use std::time::Duration;

use proptest::prelude::*;
use tintype_fs::vfs::{
    Attr, Caller, DirItem, DirSink, Entry, Handle, Node, SetTime, Statfs, Time, WriteFlags,
};
use tintype_fuse::wire::abi::{init, op};
use tintype_fuse::wire::cursor::Malformed;
use tintype_fuse::wire::decode::{decode, head_size};
use tintype_fuse::wire::init::{Offer, Wish, agree, encode};
use tintype_fuse::wire::reply::{self, Listing, Small};
use tintype_fuse::wire::request::{Bulk, Dialect, Header, Op, forget_pairs};

const EXT: Dialect = Dialect { setxattr_ext: true };

/// Numbers of different widths as one run of bytes.
macro_rules! bytes {
    ($($value:expr),* $(,)?) => { [$($value.to_ne_bytes().to_vec()),*].concat() };
}

fn split(opcode: u32, body: &[u8]) -> Result<Op<'_>, Malformed> {
    let (head, rest) = body.split_at(head_size(opcode, EXT).min(body.len()));
    decode(opcode, head, rest, EXT)
}

#[test]
fn a_header_is_read_field_by_field() {
    let raw = bytes![48u32, 3u32, 77u64, 5u64, 1000u32, 1001u32, 4242u32, 0u32];
    let header = Header::decode(&raw).unwrap();
    let who = Caller { uid: 1000, gid: 1001, pid: 4242 };
    assert_eq!(header, Header { len: 48, opcode: 3, unique: 77, node: Node(5), who });
    assert_eq!(Header::decode(&raw[..39]), Err(Malformed));
}

#[test]
fn names_are_read_up_to_their_zero() {
    assert_eq!(split(op::LOOKUP, b"abc\0"), Ok(Op::Lookup { name: b"abc" }));
    assert_eq!(split(op::LOOKUP, b"abc"), Err(Malformed));
    let symlink = Op::Symlink { name: b"name", target: b"to/there" };
    assert_eq!(split(op::SYMLINK, b"name\0to/there\0"), Ok(symlink));
    let body = [bytes![9u64, 2u32, 0u32], b"a\0b\0".to_vec()].concat();
    let rename = Op::Rename { name: b"a", new_dir: Node(9), new_name: b"b", flags: 2 };
    assert_eq!(split(op::RENAME2, &body), Ok(rename));
}

#[test]
fn a_write_borrows_its_data() {
    let head = bytes![6u64, 4096u64, 3u32, 5u32, 0u64, libc::O_RDWR, 0u32];
    let body = [head, b"xyz and more".to_vec()].concat();
    let flags = WriteFlags { from_cache: true, kill_suid: true, open_flags: libc::O_RDWR };
    let write = Op::Write { handle: Handle(6), offset: 4096, data: b"xyz", flags };
    assert_eq!(split(op::WRITE, &body), Ok(write));
    assert_eq!(split(op::WRITE, &body[..42]), Err(Malformed), "shorter than its size says");
}

#[test]
fn setattr_sets_only_what_is_marked() {
    let valid = 1u32 << 3 | 1 << 5 | 1 << 8 | 1 << 10 | 1 << 11;
    let body = [
        bytes![valid, 0u32, 0u64, 123u64, 0u64, 1u64, 2u64, (-5i64), 10u32, 20u32, 30u32],
        bytes![0o644u32, 0u32, 7u32, 8u32, 0u32],
    ];
    let Ok(Op::Setattr { handle: None, set }) = split(op::SETATTR, &body.concat()) else {
        panic!()
    };
    assert_eq!((set.size, set.mtime), (Some(123), Some(SetTime::Now)));
    assert_eq!(set.ctime, Some(Time { secs: -5, nanos: 30 }));
    assert_eq!((set.mode, set.uid, set.gid, set.atime), (None, None, None, None));
    assert!(set.kill_suid);
}

#[test]
fn an_ioctl_carries_the_callers_pointer() {
    let body = bytes![1u64, 16u32, 0x8004_587Du32, 0x7fff_1234_5678u64, 0u32, 4u32];
    let ioctl = Op::Ioctl {
        command: 0x8004_587D,
        argument: 0x7fff_1234_5678,
        input: b"",
        out_size: 4,
        on_directory: true,
    };
    assert_eq!(split(op::IOCTL, &body), Ok(ioctl));
}

#[test]
fn the_rest_of_the_fixed_forms() {
    let read = Op::Bulk(Bulk::Read { handle: Handle(1), offset: 2, size: 3 });
    assert_eq!(split(op::READ, &bytes![1u64, 2u64, 3u32, 0u32, 0u64, 0u32, 0u32]), Ok(read));
    let statx = Op::Statx { handle: Some(Handle(9)) };
    assert_eq!(split(op::STATX, &bytes![1u32, 0u32, 9u64, 0u32, 0xfffu32]), Ok(statx));
    let tmpfile = Op::Tmpfile { mode: 0o600, umask: 0o22, flags: 1 };
    assert_eq!(split(op::TMPFILE, &bytes![1u32, 0o600u32, 0o22u32, 0u32]), Ok(tmpfile));
    let set = [bytes![2u32, 1u32, 1u32, 0u32], b"user.a\0vw".to_vec()].concat();
    let op_set = Op::Setxattr { name: b"user.a", value: b"vw", flags: 1, kill_sgid: true };
    assert_eq!(split(op::SETXATTR, &set), Ok(op_set));
    let copy = bytes![1u64, 2u64, 3u64, 4u64, 5u64, 6u64, 0u64];
    let Ok(Op::CopyRange { to, length, wide, .. }) = split(53, &copy) else { panic!() };
    assert_eq!((to, length, wide), (Node(3), 6, true));
    let batch = bytes![2u32, 0u32, 10u64, 1u64, 11u64, 2u64];
    let Ok(Op::BatchForget { pairs }) = split(op::BATCH_FORGET, &batch) else { panic!() };
    assert_eq!(forget_pairs(pairs).collect::<Vec<_>>(), [(Node(10), 1), (Node(11), 2)]);
    assert_eq!(split(4000, b"anything"), Ok(Op::Unknown));
}

fn sample() -> Attr {
    let at = |secs| Time { secs, nanos: 7 };
    Attr {
        ino: 0x11,
        size: 0x22,
        blocks: 0x33,
        atime: at(1),
        mtime: at(2),
        ctime: at(3),
        btime: at(4),
        mode: 0o100_644,
        nlink: 1,
        uid: 5,
        gid: 6,
        rdev: 0x0012_3456,
        flags: 0x10,
    }
}

#[test]
fn an_entry_is_written_field_by_field() {
    let (entry_ttl, attr_ttl) = (Duration::from_secs(9), Duration::new(8, 1));
    let entry = Entry { node: Node(3), attr: sample(), entry_ttl, attr_ttl };
    let attr = [
        bytes![0x11u64, 0x22u64, 0x33u64, 1u64, 2u64, 3u64, 7u32, 7u32, 7u32],
        bytes![0o100_644u32, 1u32, 5u32, 6u32, 0x0012_3456u32, 4096u32, 0u32],
    ];
    let head = bytes![3u64, 0u64, 9u64, 8u64, 0u32, 1u32];
    assert_eq!(Small::default().entry(&entry).bytes(), [head, attr.concat()].concat());
}

#[test]
fn statx_shows_birth_and_device_numbers() {
    let small = Small::default().statx(&sample(), Duration::from_secs(1));
    let out = small.bytes();
    assert_eq!(out.len(), 288);
    let at = |offset: usize| u64::from_ne_bytes(out[offset..offset + 8].try_into().unwrap());
    assert_eq!(at(32 + 80), 4, "birth time stands behind access time");
    let rdev = (at(32 + 128) & 0xffff_ffff, at(32 + 128) >> 32);
    assert_eq!(rdev, (0x234, 0x156), "major and minor of the kernel's 32-bit encoding");
}

#[test]
fn headers_and_statfs() {
    assert_eq!(reply::header(4, -2, 99).to_vec(), bytes![20u32, -2i32, 99u64]);
    assert_eq!(Small::default().statfs(&Statfs::default()).bytes().len(), 80);
}

#[test]
fn a_listing_takes_what_fits() {
    let mut room = [0xff; 70];
    let mut listing = Listing::new(&mut room, false);
    let item = |name| DirItem { ino: 1, next_offset: 2, kind: libc::S_IFDIR, name, entry: None };
    assert!(listing.push(&item(b"abc")));
    assert!(listing.push(&item(b"12345678")));
    assert!(!listing.push(&item(b"x")), "32 + 32 bytes are taken, 32 do not fit in 6");
    assert_eq!(listing.used(), 64);
    let first = [bytes![1u64, 2u64, 3u32, 4u32], b"abc\0\0\0\0\0".to_vec()].concat();
    assert_eq!(&room[..32], &first[..]);
}

#[test]
fn only_what_is_offered_is_agreed() {
    let flags = init::ASYNC_READ | init::INIT_EXT | init::OVER_IO_URING | 1 << 1;
    let (low, high) = ((flags & 0xffff_ffff) as u32, (flags >> 32) as u32);
    let body = [bytes![7u32, 99u32, 131_072u32, low, high], vec![0; 44]].concat();
    let offer = Offer::decode(&body).unwrap();
    let wish = Wish {
        writeback: true,
        readdirplus_auto: true,
        no_opendir: false,
        uring: false,
        max_write: 1 << 20,
        max_background: 64,
    };
    let agreed = agree(&offer, &wish);
    assert_eq!(agreed.flags, init::ASYNC_READ | init::INIT_EXT, "no locks, no unwanted ring");
    let out = encode(&offer, &wish, &agreed);
    let head = bytes![7u32, 45u32, 131_072u32, 1u32 | 1 << 30, 64u16, 48u16];
    let tail = bytes![1u32 << 20, 1u32, 256u16, 0u16, 0u32];
    assert_eq!(&out[..36], &[head, tail].concat()[..]);
    assert_eq!(out.len(), 64);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        opcode in prop_oneof![0u32..60, any::<u32>()],
        body in proptest::collection::vec(any::<u8>(), 0..300),
        ext: bool,
    ) {
        let dialect = Dialect { setxattr_ext: ext };
        let (head, rest) = body.split_at(head_size(opcode, dialect).min(body.len()));
        let decoded = decode(opcode, head, rest, dialect);
        prop_assert!(decoded.is_ok() || decoded == Err(Malformed));
        prop_assert_eq!(Header::decode(&body).is_ok(), body.len() >= 40);
        prop_assert!(Offer::decode(&body).is_ok() || body.len() < 20);
    }

    #[test]
    fn a_cut_request_is_malformed_or_smaller(cut in 0usize..100) {
        let body = [bytes![6u64, 0u64, 60u32, 0u32, 0u64, 0u32, 0u32], vec![1; 60]].concat();
        prop_assert_eq!(split(op::WRITE, &body[..cut]), Err(Malformed));
    }

    #[test]
    fn listings_never_leave_their_room(size in 0usize..400, names in proptest::collection::vec("[a-z]{1,40}", 0..12), plus: bool) {
        let mut room = vec![0; size];
        let mut listing = Listing::new(&mut room, plus);
        for name in &names {
            let name = name.as_bytes();
            listing.push(&DirItem { ino: 1, next_offset: 1, kind: libc::S_IFREG, name, entry: None });
        }
        prop_assert!(listing.used() <= size && listing.used() % 8 == 0);
    }
}
