//! Damage to what a disk says about itself and to its block maps: it is found, a repair puts right what can be put right, and nothing that the disk
//! shows changes by it.

use std::sync::Arc;

use tintype_disk::{Blocks, CheckReport, Disk, DiskError, check, create};
use tintype_store::{Key, LineOwner, LineRef, MomentRef, Store};

use crate::setup::{SPAN, new_snapshot, open, volume};

/// A size that ends within a block.
const SIZE: u64 = 3 * SPAN + 512;
const HEAD: Key = Key::new(0, 0, 0);

const fn span(number: u64) -> Key {
    Key::new(3, 0, number)
}

/// The record about a disk with this size and count.
fn head(size: u64, blocks: u64) -> Box<[u8]> {
    let mut body = vec![1];
    for mut number in [size, blocks] {
        while number >= 0x80 {
            body.push(number as u8 | 0x80);
            number >>= 7;
        }
        body.push(number as u8);
    }
    body.into_boxed_slice()
}

struct World {
    store: Arc<Store>,
    line: LineRef,
    moment: MomentRef,
    disk: Arc<Disk>,
}

impl World {
    fn new() -> Self {
        let store = open(&Arc::default(), &Arc::default()).unwrap();
        let id = volume(&store, "d");
        let (line, moment) = (LineRef::Volume(id), MomentRef::Live(id));
        create(&store, line, SIZE).unwrap();
        let disk = Disk::open(&store, line).unwrap();
        disk.write_at(5000, &[7; 70_000]).unwrap();
        disk.write_at(SIZE - 512, &[9; 512]).unwrap();
        disk.write_zeroes(SPAN, 3 * 4096, true).unwrap();
        disk.flush().unwrap();
        Self { store, line, moment, disk }
    }

    /// Writes a record as no disk does, lets it become durable, and opens the disk anew.
    fn damage(&mut self, key: Key, body: &[u8], reserved: &[(u16, u16)]) {
        self.disk.with_line(&mut |line| {
            let pieces = reserved.iter().map(|(at, len)| line.reserve(*at, *len)).collect();
            line.put(key, body.into(), pieces);
        });
        self.store.sync().unwrap();
        self.disk.close().unwrap();
        self.disk = Disk::open(&self.store, self.line).unwrap();
    }

    fn content(&self) -> Vec<u8> {
        let mut bytes = vec![1; self.disk.size() as usize];
        self.disk.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn found(&self) -> CheckReport {
        check(&self.store, self.moment).unwrap()
    }

    fn says(&self, what: &str) -> bool {
        self.found()
            .problems
            .iter()
            .any(|problem| problem.repairable && problem.what.contains(what))
    }

    /// Repairs, and looks again: as it is, after it was opened again, and once a larger size shows what lay behind the end.
    fn repaired(mut self, content: &[u8], mapped: u64) {
        let before = self.found();
        assert_eq!(self.disk.check(true).unwrap(), before, "it answers what was found before");
        assert_eq!(self.found().problems, []);
        assert_eq!((self.content(), self.disk.mapped_bytes()), (content.to_vec(), mapped));
        self.disk.close().unwrap();
        self.disk = Disk::open(&self.store, self.line).unwrap();
        assert_eq!((self.content(), self.disk.mapped_bytes()), (content.to_vec(), mapped));
        self.disk.resize(40 * SPAN).unwrap();
        let grown = self.content();
        assert!(
            grown[..SIZE as usize] == *content && grown[SIZE as usize..].iter().all(|b| *b == 0)
        );
        assert_eq!(self.disk.mapped_bytes(), mapped);
        self.disk.flush().unwrap();
        assert_eq!(self.store.fsck(false).unwrap().problems, [""; 0]);
    }
}

#[test]
fn a_wrong_count_is_counted_again() {
    for blocks in [0, 1, 1 << 40] {
        let mut world = World::new();
        let (content, mapped) = (world.content(), world.disk.mapped_bytes());
        assert_eq!(world.disk.check(true).unwrap().problems, [], "a sound disk has no problems");
        world.damage(HEAD, &head(SIZE, blocks), &[]);
        assert!(world.says("counts"), "{:?}", world.found());
        assert_eq!(world.disk.check(false).unwrap().problem_count, 1);
        assert!(world.says("counts"), "looking changes nothing");
        world.repaired(&content, mapped);
    }
}

#[test]
fn maps_behind_the_end_go() {
    // In the last map, in the next one, far behind, and behind every byte that a disk can have.
    for (number, part) in
        [(3, (1, 4)), (4, (0, 32)), (39, (5, 1)), (1 << 33, (0, 1)), (u64::MAX - 1, (2, 7))]
    {
        let mut world = World::new();
        let (content, mapped) = (world.content(), world.disk.mapped_bytes());
        if number == 3 {
            // Beside the block that the end cuts: as if the disk had been larger.
            world.disk.resize(4 * SPAN).unwrap();
            world.disk.write_zeroes(3 * SPAN + 4096, 4 * 4096, true).unwrap();
            world.damage(HEAD, &head(SIZE, mapped / 4096 + 4), &[]);
        } else {
            world.damage(span(number), &[], &[part]);
        }
        assert!(world.says("behind the disk's end"), "{number}: {:?}", world.found());
        world.repaired(&content, mapped);
    }
}

#[test]
fn a_repair_touches_no_snapshot() {
    let mut world = World::new();
    let (content, mapped) = (world.content(), world.disk.mapped_bytes());
    world.damage(HEAD, &head(SIZE, 3), &[]);
    world.damage(span(7), &[], &[(0, 2)]);
    let LineRef::Volume(id) = world.line else { panic!("a volume") };
    let snapshot = world.store.create_snapshot(id, new_snapshot("s", false)).unwrap();
    let of_snapshot = check(&world.store, MomentRef::Snapshot(snapshot.id)).unwrap();
    assert_eq!(of_snapshot.problem_count, 2);
    let store = Arc::clone(&world.store);
    world.repaired(&content, mapped);
    let after = check(&store, MomentRef::Snapshot(snapshot.id)).unwrap();
    assert_eq!(after, of_snapshot, "a snapshot stays what it was");
}

#[test]
fn what_cannot_be_understood_is_told_and_left() {
    let world = World::new();
    world.disk.with_line(&mut |line| line.put(HEAD, [9].into(), [].into()));
    world.store.sync().unwrap();
    world.disk.close().unwrap();
    assert!(matches!(Disk::open(&world.store, world.line).err(), Some(DiskError::Damaged(_))));
    let found = world.found().problems;
    let found = found.iter().find(|problem| problem.what.contains("cannot be understood"));
    assert!(found.is_some_and(|problem| !problem.repairable), "{found:?}");
    // Parts that overlap: which of them is right nobody knows, and the store does not read such a row.
    let world = World::new();
    world.disk.with_line(&mut |line| {
        let pieces = [line.reserve(0, 8), line.reserve(4, 8)];
        line.put(span(1), [].into(), pieces.into());
    });
    world.store.sync().unwrap();
    let error = check(&world.store, world.moment).unwrap_err();
    assert!(tintype_store::chain_text(&error).contains("3/0/1"), "{error:?}");
}
