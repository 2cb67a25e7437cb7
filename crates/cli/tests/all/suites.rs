//! Independent suites that come as crates: `pjdfstest` and `fsx`.
//!
//! `scripts/test` installs them; `TINTYPE_TOOLS` names another folder that holds them.

use tintype_testkit::{amount, programs, users};

use crate::world::{World, transports};

#[test]
fn pjdfstest_passes() {
    let Some(program) = programs::find("pjdfstest") else { return };
    for transport in transports() {
        if !users::root() {
            return;
        }
        let world = World::home(transport);
        let config = include_str!("../data/pjdfstest.toml");
        std::fs::write(world.path("config.toml"), config).unwrap();
        // `mount -o remount` would look for a program that mounts, which FUSE does not need here. A file that was
        // deleted is released a moment after its close: until then the kernel calls the mount busy.
        world.shell(
            r#"mkdir bin other home/work
               { echo '#!/bin/sh'; echo 'for i in $(seq 100); do'
                 echo "$(command -v mount) -i \"\$@\" 2> /dev/null && exit"; echo 'sleep 0.02; done; exit 1'; } > bin/mount
               chmod +x bin/mount"#,
        );
        // Read-only cases first: later ones leave open what a remount waits for.
        let read_only = run(&world, &program, "erofs");
        assert!(read_only.contains("Summary: 0 failed, 0 skipped"), "{read_only}");
        let said = run(&world, &program, "");
        // What is skipped is listed in docs/posix.md.
        let failed = said.lines().filter(|line| line.ends_with("FAILED"));
        for line in failed.filter(|line| !line.contains("::erofs_")) {
            // Some cases race with a program that they start: on a busy machine it has ended too early.
            let case = line.split(' ').next().unwrap();
            let again = (0..3)
                .any(|_| run(&world, &program, case).contains("Summary: 0 failed, 0 skipped, 1"));
            assert!(again, "{case}\n{said}");
        }
        let skipped: Vec<&str> = said.lines().filter(|line| line.ends_with("skipped")).collect();
        assert!(skipped.len() <= 1, "{skipped:#?}");
        assert!(said.contains("398 total"), "{said}");
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

fn run(world: &World, program: &std::path::Path, pattern: &str) -> String {
    world.shell(&format!(
        "PATH=$PWD/bin:$PATH {} -c config.toml -p home/work -s other {pattern} 2>&1 || true",
        program.display()
    ))
}

#[test]
fn fsx_finds_every_byte() {
    let Some(program) = programs::find("fsx") else { return };
    let count = amount("TINTYPE_FSX_OPS", 20_000);
    for transport in transports() {
        let world = World::home(transport);
        for (name, config) in [
            ("all", include_str!("../data/fsx.toml")),
            ("buffered", include_str!("../data/fsx-buffered.toml")),
        ] {
            std::fs::write(world.path("config.toml"), config).unwrap();
            let seed = amount("TINTYPE_FSX_SEED", 7);
            let program = program.display();
            // Snapshots freeze what the next operations change: nothing may notice.
            world.shell(&format!(
                "{program} -q -f config.toml -N {count} -S {seed} -P . home/{name} > log 2>&1 &
                 pid=$!; n=0
                 while kill -0 $pid 2> /dev/null && [ $n -lt 200 ]; do
                     {} snapshot create home@{name}-$n > /dev/null; n=$((n + 1)); sleep 0.05
                 done
                 wait $pid || {{ head -c 3000 log; tail -n 40 log; exit 1; }}",
                env!("CARGO_BIN_EXE_tintype"),
            ));
        }
        assert_eq!(world.json("fsck")["clean"], true);
    }
}
