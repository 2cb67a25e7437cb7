//! Snapshots while programs on all processors write, sync and ask for flags: each flushes the mount, so it needs answers of a server
//! whose lanes are all busy.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::CpuSet;
use tintype_testkit::{Rng, amount};

use crate::world::{World, transports};

/// Writers on each processor: more than it has lanes.
const WRITERS: usize = 10;

fn sit(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    // A processor that is forbidden leaves the thread elsewhere.
    let _anywhere = rustix::thread::sched_setaffinity(None, &set);
}

fn write(path: &Path, rng: &mut Rng, go_on: &AtomicBool) {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path).unwrap();
    while go_on.load(Ordering::Relaxed) {
        let len = 1 + rng.below(60_000) as usize;
        let data = rng.bytes(len);
        file.write_all_at(&data, rng.below(1 << 20)).unwrap();
        match rng.below(16) {
            0 => file.sync_data().unwrap(),
            // Ioctls are what handlers need stand-ins for.
            1..=4 => drop(rustix::fs::ioctl_getflags(&file).unwrap()),
            _ => (),
        }
    }
}

#[test]
fn snapshots_get_through() {
    let rounds = amount("TINTYPE_PRESSURE_ROUNDS", 25);
    for transport in transports() {
        let world = World::home(transport);
        let home = world.path("home");
        let processors = std::thread::available_parallelism().unwrap().get();
        let go_on = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for number in 0..WRITERS * processors {
                let (path, go_on) = (home.join(format!("f{number}")), &go_on);
                let mut rng = Rng::new(number as u64 + 1);
                scope.spawn(move || {
                    sit(number % processors);
                    write(&path, &mut rng, go_on);
                });
            }
            for round in 0..rounds {
                world.ok(&format!("snapshot create home@s{round}"));
                if round >= 3 {
                    world.ok(&format!("snapshot delete home@s{}", round - 3));
                }
            }
            go_on.store(false, Ordering::Relaxed);
        });
        assert_eq!(world.json("fsck")["clean"], true, "{transport}");
    }
}
