//! Images that do not end well, and long chains of deltas: what is left is what was there before.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tintype_testkit::{Rng, users};

use crate::images::{content, raw_disk, run, text, write};
use crate::room::small_disk;
use crate::world::World;

const MIB: usize = 1 << 20;

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn disks(world: &World) -> Vec<Value> {
    world.json("disk list").as_array().unwrap().clone()
}

#[test]
fn five_deltas_lead_a_fresh_disk_on_in_their_order() {
    const DELTAS: usize = 5;
    let world = World::up();
    raw_disk(&world, "in.raw", 24 << 20, 11);
    world.ok("disk import in.raw d");
    world.ok("snapshot create d@s0");
    world.ok("disk export d@s0 s0.vhd");
    let mut moments = vec![content(&world, "d@s0")];
    let mut rng = Rng::new(12);
    for number in 1..=DELTAS {
        let mut commands = vec![format!("write -z -u {}M 1M", rng.below(23))];
        for _ in 0..6 {
            let (at, length) = (rng.below(23 << 8) * 4, 4 * (1 + rng.below(100)));
            commands.push(format!("write -P {} {at}k {length}k", 1 + rng.below(255)));
        }
        // Less than a block, too.
        commands.push(format!("write -P {number} {} 512", rng.below(40_000) * 512));
        write(&world, "d", &commands.iter().map(String::as_str).collect::<Vec<_>>());
        let (before, now) = (format!("d@s{}", number - 1), format!("d@s{number}"));
        world.ok(&format!("snapshot create {now}"));
        world.ok(&format!("disk export {now} s{number}.vhd --base {before}"));
        moments.push(content(&world, &now));
    }
    world.ok("disk import s0.vhd copy");
    for number in 1..=DELTAS {
        for other in (1..=DELTAS).filter(|other| *other != number) {
            let said = world.fails(&format!("disk import s{other}.vhd copy"), 1);
            assert!(said.contains("goes upon image") && said.contains("--force"), "{said}");
        }
        assert!(content(&world, "copy") == moments[number - 1], "what is refused changes nothing");
        world.ok(&format!("disk import s{number}.vhd copy"));
        assert!(content(&world, "copy") == moments[number], "delta {number}");
    }
    // By force: what the delta names becomes what it was there, and the rest stays.
    let mut forced = moments[DELTAS].clone();
    for range in world.json("disk changes d@s1 d@s2")["ranges"].as_array().unwrap() {
        let (from, length) = (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap());
        let range = from as usize..(from + length) as usize;
        forced[range.clone()].copy_from_slice(&moments[2][range]);
    }
    world.ok("disk import s2.vhd copy --force");
    assert!(content(&world, "copy") == forced && forced != moments[DELTAS]);
    assert_eq!(world.json("fsck")["clean"], true);
}

#[test]
fn an_import_that_finds_the_store_full_takes_nothing_with_it() {
    if !users::root() {
        return;
    }
    let mut world = World::empty();
    small_disk(&world, 96);
    world.start(&[]);
    let (small, large) = (Rng::new(1).bytes(8 * MIB), Rng::new(2).bytes(160 * MIB));
    std::fs::write(world.path("small.raw"), &small).unwrap();
    std::fs::write(world.path("large.raw"), &large).unwrap();
    world.ok("disk import small.raw kept");
    world.ok("snapshot create kept@a");
    world.ok("disk export kept@a full.vhd");
    world.ok("disk import full.vhd copy");
    world.shell("qemu-img convert -f raw -O qcow2 large.raw large.qcow2");
    for line in ["disk import large.raw half", "disk import large.qcow2 half"] {
        let said = world.fails(line, 1);
        assert!(said.contains("disk half") && said.contains("room"), "{said}");
        assert!(disks(&world).iter().all(|disk| disk["name"] != "half"), "{line}");
    }
    assert_eq!(world.json("status")["health"], "ok", "{}", world.log());
    assert_eq!(content(&world, "kept"), small);
    // What the half disks took is there again.
    world.idle();
    world.ok("disk import small.raw again");
    assert_eq!(content(&world, "again"), small);
    world.ok("disk delete again");
    // Somebody else takes the rest of the disk, so that not even what has come can be written.
    let mut child = world
        .command(&["disk", "import", "-", "half", "--format", "raw"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&large[..16 * MIB]).unwrap();
    while disks(&world).iter().all(|disk| disk["name"] != "half") {
        std::thread::yield_now();
    }
    let other = File::create(world.path("disk/other")).unwrap();
    while (&other).write(&small[..MIB]).is_ok_and(|written| written > 0) {}
    // The pipe may break.
    drop(input.write_all(&large[16 * MIB..]));
    drop(input);
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("disk half") && said.contains("full"), "{said}");
    assert_eq!(
        disks(&world).len(),
        2,
        "the half disk goes while there is no room: {}",
        world.log()
    );
    assert_eq!(content(&world, "kept"), small);
    std::fs::remove_file(world.path("disk/other")).unwrap();
    world.idle();
    // A delta that does not fit leaves the disk where it was, and able to go on.
    let large = text(&world.path("large.raw")).to_owned();
    let other = World::up();
    std::fs::copy(world.path("full.vhd"), other.path("full.vhd")).unwrap();
    other.ok("disk import full.vhd d");
    other.ok("snapshot create d@a");
    other.ok("disk resize d 256M");
    write(&other, "d", &[&format!("write -s {large} 0 160M")]);
    other.ok("snapshot create d@b");
    other.ok("disk export d@b delta.vhd --base d@a");
    let said = world.fails(&format!("disk import {} copy", text(&other.path("delta.vhd"))), 1);
    assert!(said.contains("disk copy") && said.contains("room"), "{said}");
    assert_eq!(content(&world, "copy"), small);
    assert_eq!(world.json("snapshot list copy"), Value::Array(Vec::new()));
    world.idle();
    assert_eq!(world.json("fsck --all")["clean"], true);
    // As it was killed: also where no copy of the last segment has room.
    world.stop("-KILL");
    world.start(&[]);
    assert_eq!(content(&world, "copy"), small);
    assert_eq!(disks(&world).len(), 2);
    assert_eq!(world.json("fsck --all")["clean"], true);
}

/// An export into `out/image.vhd` that has begun to write.
fn exporting(world: &World) -> Child {
    let child = world
        .command(&["disk", "export", "d@a", "out/image.vhd"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (start, descriptors) = (Instant::now(), format!("/proc/{}/fd", child.id()));
    let begun = || {
        let open = std::fs::read_dir(&descriptors).into_iter().flatten().flatten();
        let mut files = open.filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            target.starts_with(world.path("out")).then(|| entry.path())
        });
        files.any(|file| file.metadata().is_ok_and(|meta| meta.len() > 0))
    };
    while !begun() {
        assert!(start.elapsed() < Duration::from_secs(60), "the export does not begin");
        std::thread::yield_now();
    }
    child
}

#[test]
fn an_export_that_is_killed_leaves_no_file() {
    let mut world = World::up();
    let bytes = Rng::new(3).bytes(160 * MIB);
    std::fs::write(world.path("in.raw"), &bytes).unwrap();
    world.ok("disk import in.raw d");
    world.ok("snapshot create d@a");
    let out = world.path("out");
    std::fs::create_dir(&out).unwrap();
    let mut older = false;
    for kill_server in [false, true, false, true] {
        let mut child = exporting(&world);
        if kill_server {
            world.stop("-KILL");
            let said = child.wait_with_output().unwrap();
            assert_eq!(said.status.code(), Some(1), "it had ended before");
            let said = String::from_utf8(said.stderr).unwrap();
            assert!(said.contains("disk d@a") && said.contains("ended early"), "{said}");
            world.start(&[]);
        } else {
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().code(), None, "it had ended before");
        }
        assert_eq!(names(&out), if older { vec!["image.vhd"] } else { Vec::new() });
        assert_eq!(world.json("fsck")["clean"], true);
        if older {
            assert_eq!(std::fs::read(out.join("image.vhd")).unwrap(), b"older");
        }
        older = true;
        std::fs::write(out.join("image.vhd"), "older").unwrap();
    }
    world.ok("disk export d@a out/image.vhd");
    let (image, raw) = (out.join("image.vhd"), world.path("out.raw"));
    run("qemu-img", &["convert", "-f", "vpc", "-O", "raw", text(&image), text(&raw)]);
    assert!(std::fs::read(raw).unwrap() == bytes);
    assert_eq!(names(&out), ["image.vhd"]);
}
