//! Real programs at work on a mount, with snapshots taken meanwhile; each snapshot is checked afterwards.

use crate::world::{World, transports};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tintype");

/// A shell function that takes snapshots until its file goes away.
fn shots(every: &str) -> String {
    format!(
        "shots() {{ touch going; n=0
           while [ -e going ]; do {PROGRAM} snapshot create home@s$n --access-point s$n > /dev/null
             n=$((n + 1)); sleep {every}; done; }}
         "
    )
}

fn home(transport: &'static str) -> World {
    let world = World::home(transport);
    // Nobody's own settings reach into a test.
    world.shell(
        "git config --file gitconfig user.name t; git config --file gitconfig user.email t@t",
    );
    world
}

#[test]
fn a_c_project_is_built_with_make() {
    for transport in transports() {
        let world = home(transport);
        world.shell(
            // The tests themselves may run under make, whose level would show in the messages.
            r#"unset MAKEFLAGS MAKELEVEL MFLAGS; mkdir home/p && cd home/p
               for i in $(seq 20); do
                 echo "int f$i(int x) { return x + $i; }" > f$i.c
               done
               { for i in $(seq 20); do echo "int f$i(int);"; done
                 echo 'int main(void) { int x = 0;'
                 for i in $(seq 20); do echo "x = f$i(x);"; done
                 echo 'return x == 210 ? 0 : 1; }'; } > main.c
               printf 'O := $(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: $(O)\n\tcc -o $@ $^\nlib.a: $(O)\n\tar rcs $@ $^\n' > Makefile
               make -s -j2 && ./program && make -s lib.a && ar t lib.a | grep -q f20.o
               # Times must be right: nothing is built again, one change builds one file.
               [ "$(make)" = "make: 'program' is up to date." ]
               sleep 0.02; touch f3.c; [ "$(make | grep -c -- '-c -o')" = 1 ]"#,
        );
        world.ok("snapshot create home@built --access-point built");
        world.shell("home/.snapshots/built/p/program && cd home/p && make -s && rm -f *.o program");
        world.shell("home/.snapshots/built/p/program");
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn git_clones_checks_and_collects() {
    for transport in transports() {
        let world = home(transport);
        world.shell(&format!(
            r#"{} export GIT_CONFIG_GLOBAL=$PWD/gitconfig
               git init -q origin && cd origin
               for i in $(seq 40); do
                 mkdir -p d$((i % 7)); seq $((i * 300)) > d$((i % 7))/f$i; seq $i 500 > same
                 git add -A; git commit -qm "c$i"
               done
               cd ..; shots & pid=$!
               git clone -q --no-local origin home/clone && cd home/clone
               git fsck --full --strict && git gc -q --prune=now && git repack -q -a -d -f
               for i in $(seq 5); do git checkout -q HEAD~$i; git checkout -q -; done
               git fsck --full && git status --porcelain | wc -l | grep -qx 0
               cd ../..; rm going; wait $pid
               diff -r --exclude=.git origin home/clone
               # Each moment is a repository that a crash could have left: what is there is whole.
               for s in home/.snapshots/*; do
                 if git --git-dir=$s/clone/.git rev-parse -q --verify HEAD > /dev/null 2>&1; then
                   GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' --git-dir=$s/clone/.git fsck --full > /dev/null
                 fi
               done"#,
            shots("0.2")
        ));
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn sqlite_keeps_its_promises_under_concurrent_writers() {
    for transport in transports() {
        let world = home(transport);
        for mode in ["wal", "delete"] {
            world.shell(&format!(
                r#"{} db=home/{mode}.db
                   sqlite3 $db "pragma journal_mode={mode}; create table t(w, n, x blob);" > /dev/null
                   shots() {{ touch going; n=0; while [ -e going ]; do
                     {PROGRAM} snapshot create home@{mode}$n --access-point {mode}$n > /dev/null
                     n=$((n + 1)); sleep 0.2; done; }}
                   shots & pid=$!
                   writer() {{ for n in $(seq 40); do
                     sqlite3 -cmd '.timeout 60000' $db "begin immediate; insert into t values($1, $n, randomblob(5000)); insert into t values($1, -$n, randomblob(100)); commit;"
                   done; }}
                   writer 1 & a=$!; writer 2 & b=$!; writer 3 & c=$!
                   wait $a $b $c; rm going; wait $pid
                   [ "$(sqlite3 $db 'pragma integrity_check; select count(*), sum(n) from t;' | tr '\n' ' ')" = 'ok 240|0 ' ]
                   # A snapshot is a power cut for a database: copied out, it recovers, and no transaction is halved.
                   for s in home/.snapshots/{mode}*; do
                     rm -rf copy; mkdir copy; cp $s/{mode}.db* copy/
                     [ "$(sqlite3 copy/{mode}.db 'pragma integrity_check; select sum(n) is null or sum(n) = 0 from t;' | tr '\n' ' ')" = 'ok 1 ' ]
                   done"#,
                ""
            ));
        }
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn rsync_brings_everything_there_and_back() {
    for transport in transports() {
        let world = home(transport);
        world.shell(
            r#"mkdir -p from/d/e from/empty back && cd from
               for i in $(seq 60); do head -c $((i * 777)) /dev/urandom > d/f$i; done
               ln d/f1 d/e/hard; ln -s ../f2 d/e/soft; ln -s nowhere dangling; mkfifo fifo
               truncate -s 5M sparse; echo end >> sparse; printf x > $'odd\n name'
               chmod 4755 d/f3; chmod 1777 empty; touch -d 2001-02-03T04:05:06.789 d/f4
               setfattr -n user.a -v b d/f5; setfacl -m u:61001:rw d/f6; setfacl -d -m g:61002:rx d
               if [ $(id -u) = 0 ]; then chown 61001:61002 d/f7; mknod null c 1 3; setfattr -n trusted.t -v v d/f8; fi
               cd ..
               rsync -aHAX --numeric-ids from/ home/to/
               [ -z "$(rsync -aHAX --numeric-ids -ni --checksum --delete from/ home/to/)" ]
               rsync -aHAX --numeric-ids home/to/ back/
               [ -z "$(rsync -aHAX --numeric-ids -ni --checksum --delete from/ back/)" ]"#,
        );
        world.ok("snapshot create home@s --access-point s");
        world.shell(
            r#"rm -rf home/to/d
               [ -z "$(rsync -aHAX --numeric-ids -ni --checksum --delete from/ home/.snapshots/s/to/)" ]"#,
        );
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn fio_verifies_what_it_wrote() {
    for transport in transports() {
        let world = home(transport);
        for (name, options) in [
            ("buffered", "--ioengine=psync --bsrange=512-64k --bs_unaligned"),
            ("mmap", "--ioengine=mmap --bs=4k"),
            ("direct", "--ioengine=psync --direct=1 --bsrange=512-64k --blockalign=512"),
            ("libaio", "--ioengine=libaio --direct=1 --iodepth=8 --bs=16k"),
        ] {
            world.shell(&format!(
                "{} shots & pid=$!
                 fio --name={name} --directory=home --rw=randwrite --size=24m --verify=crc32c --do_verify=1 \
                   --verify_fatal=1 --verify_backlog=64 --fsync=64 --randseed=5 {options} > fio.log 2>&1 || {{ cat fio.log; rm going; exit 1; }}
                 rm going; wait $pid
                 {PROGRAM} snapshot create home@{name} --access-point {name} > /dev/null
                 cmp home/{name}.0.0 home/.snapshots/{name}/{name}.0.0
                 {PROGRAM} snapshot list home | awk '/^home@s[0-9]/ {{ print $1 }}' | xargs -r {PROGRAM} snapshot delete > /dev/null",
                shots("0.2")
            ));
        }
        assert_eq!(world.json("scrub")["clean"], true);
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn direct_writes_of_any_alignment() {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    for transport in transports() {
        let world = home(transport);
        let path = world.path("home/odd");
        let mut options = std::fs::File::options();
        let options = options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
        let file = options.open(&path).unwrap();
        let mut rng = tintype_testkit::Rng::new(9);
        let mut model = vec![0; 400_000];
        for number in 0..300 {
            let (at, len) = (rng.below(300_000) as usize, 1 + rng.below(90_000) as usize);
            let bytes = rng.bytes(len + 1);
            // From an address that is aligned to nothing.
            file.write_all_at(&bytes[1..], at as u64).unwrap();
            model[at..at + len].copy_from_slice(&bytes[1..]);
            let (at, len) = (rng.below(200_000) as usize, 1 + rng.below(90_000) as usize);
            let mut got = vec![0; len + 1];
            let count = file.read_at(&mut got[1..], at as u64).unwrap();
            assert!(got[1..=count] == model[at..at + count], "read {number}");
        }
        let buffered = std::fs::read(&path).unwrap();
        assert!(buffered == model[..buffered.len()], "the page cache differs");
    }
}
