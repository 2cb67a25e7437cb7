//! Quotas of directories as programs and administrators meet them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{World, fuse, transports};

const MANUAL: &str = include_str!("../../../../docs/cli.md");

fn documented() -> BTreeSet<String> {
    let (_, rest) = MANUAL.split_once("### A quota of a directory\n").unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with("| `"));
    let required = rows.filter(|row| !row.contains("optional"));
    required.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn a_quota_is_set_shown_changed_and_unset_also_where_nothing_is_mounted() {
    let world = World::up();
    world.ok("fs create home");
    let set =
        world.json("fs quota set home:/ --hard 1G --soft 512M --grace 7d --owner ann@example.org");
    let fields: BTreeSet<String> = set.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, documented());
    assert_eq!(
        (&set["path"], &set["state"], &set["grace"]),
        (&json!("/"), &json!("active"), &json!("1w"))
    );
    let changed = world.json("fs quota set home:/ --soft none");
    assert_eq!(
        (&changed["soft"], &changed["grace"], &changed["hard"]),
        (&Value::Null, &Value::Null, &json!(1 << 30))
    );
    world.ok("snapshot create home@a");
    assert_eq!(world.json("fs quota unset home:")["deleted"], json!(["home:/"]));
    assert_eq!(world.json("fs quota list home"), json!([]));
    assert_eq!(world.json("fs quota list home@a")[0]["owner"], "ann@example.org");
    for (line, status) in [
        ("fs quota show home:/", 1),
        ("fs quota set home:/gone --hard 1G", 1),
        ("fs quota set home:/ --soft 2G --hard 1G", 2),
        ("fs quota set home:/ --hard none", 2),
        ("fs quota set home --hard 1G", 2),
    ] {
        world.fails(line, status);
    }
}

#[test]
fn a_store_with_a_quota_refuses_what_grows_and_lets_go_what_is_deleted() {
    if !fuse() {
        return;
    }
    let mut world = World::home(transports()[0]);
    assert_eq!(world.json("store show")["quota"], Value::Null);
    let set = world.json("store set --quota 96M");
    assert_eq!(
        (&set["quota"], set["free_bytes"].as_u64() <= Some(96 << 20)),
        (&json!(96 << 20), true)
    );
    let file = world.path("home").join("big");
    let noise: Vec<u8> = (0..96_u64 << 17)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    let refused = std::fs::write(&file, &noise).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "the reserve stays");
    std::fs::remove_file(&file).unwrap();
    world.ok("down");
    world.start(&[]);
    assert_eq!(world.json("store show")["quota"], 96 << 20, "it is remembered");
    world.ok("store set --quota none");
    std::fs::write(&file, &noise).unwrap();
    world.fails("store set --quota 0", 2);
}

#[test]
fn programs_meet_the_limit_and_move_and_measure_as_elsewhere() {
    if !fuse() {
        return;
    }
    for transport in transports() {
        let world = World::home(transport);
        let home = world.path("home");
        std::fs::create_dir_all(home.join("d/sub")).unwrap();
        std::fs::write(home.join("d/sub/old"), vec![1; 1 << 20]).unwrap();
        std::fs::create_dir(home.join("out")).unwrap();
        let set = world.json("fs quota set home:/d --hard 2M --owner ann");
        assert_eq!((&set["state"], &set["used_bytes"]), (&json!("active"), &json!(1 << 20)));
        let refused = std::fs::write(home.join("d/new"), vec![2; 3 << 20]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::QuotaExceeded, "{refused}");
        std::fs::write(home.join("d/new"), vec![2; 1 << 20]).unwrap();
        let statvfs = rustix::fs::statvfs(home.join("d")).unwrap();
        assert_eq!((statvfs.f_blocks * statvfs.f_frsize, statvfs.f_bavail), (2 << 20, 0));
        let warned = world.json("status")["warnings"].clone();
        assert_eq!(warned, json!(["quota home:/d: 100 % of the hard limit is used"]));
        let rename = std::fs::rename(home.join("d/sub"), home.join("out/sub")).unwrap_err();
        assert_eq!(rename.kind(), ErrorKind::CrossesDevices);
        let mv = Command::new("mv").arg(home.join("d/sub")).arg(home.join("out")).status().unwrap();
        assert!(mv.success(), "mv copies instead");
        assert_eq!(world.json("fs quota show home:/d")["used_bytes"], 1 << 20);
        assert_eq!(world.json("fs quota list home").as_array().unwrap().len(), 1);
        assert_eq!(world.json("fsck --all")["clean"], true);
    }
}
