//! The same random operations, by several users, on a plain folder and on a mount: the same answers and error numbers, the same trees.

use std::fs;

use tintype_testkit::{Rng, Tree, amount, ops::Op, users};

use crate::world::{World, transports};

#[test]
fn a_mount_answers_as_a_plain_folder_does() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        let count = amount("TINTYPE_DIFFERENTIAL_OPS", 6_000);
        let world = World::home(transport);
        fs::create_dir(world.path("plain")).unwrap();
        let (plain, mount) = (world.path("plain"), world.path("home"));
        for dir in [&plain, &mount] {
            world.shell(&format!("chmod 1777 {}", dir.display()));
        }
        let mut rng = Rng::from_env("TINTYPE_DIFFERENTIAL_SEED", 1);
        for number in 0..count {
            let op = Op::random(&mut rng);
            let before = op.look(&plain);
            let (want, got) = (op.run(&plain), op.run(&mount));
            assert_eq!(want, got, "operation {number}: {op:?}");
            assert_eq!(
                op.look(&plain),
                op.look(&mount),
                "after operation {number}: {op:?}, {before:?}"
            );
            if number % 1000 == 999 {
                let (want, got) = (Tree::without_times(&plain), Tree::without_times(&mount));
                let difference = want.difference(&got);
                assert!(difference.is_empty(), "after operation {number}:\n{difference}");
                world.ok(&format!("snapshot create home@s{number}"));
            }
        }
        assert_eq!(world.json("fsck")["clean"], true);
    }
}
