//! Policies from the command line: documents, shapes, what is foretold, a run by hand.

use serde_json::{Value, json};

use crate::world::World;

/// As WEKA's documentation shows it, without what names and attaches it.
const WEKA: &str = r#"{
 "hourly":{"enable":false,"days":"monday, tuesday, wednesday, thursday, friday","hours":"09, 10, 11, 12, 13, 14, 15, 16, 17, 18","minuteOffset":10,"retention":10,"upload":"none"},
 "daily":{"enable":true,"days":"monday, wednesday, friday","time":"22:05","retention":7,"upload":"local"},
 "weekly":{"enable":false,"days":"saturday","time":"23:05","retention":4,"upload":"local"},
 "monthly":{"enable":false,"days":"07","months":"all","time":"00:05","retention":12,"upload":"local"},
 "periodic":{"enable":false,"days":"monday, sunday","start_time":"09:00","end_time":"18:00","interval":30,"retention":4,"upload":"none"}}"#;

const MANUAL: &str = include_str!("../../../../docs/cli.md");

fn documented(heading: &str) -> Vec<&str> {
    let (_, rest) = MANUAL.split_once(&format!("{heading}\n")).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with("| `"));
    let mut names: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    names.sort_unstable();
    names
}

fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn policies_are_made_shown_run_and_deleted() {
    let world = World::up();
    world.ok("fs create home");
    world.ok("disk create vm --size 1M");
    let made = world.json(
        "policy create p --daily time=22:05;retention=7 --hourly days=mon-fri;retention=1 \
         --time-zone Europe/Berlin --attach home",
    );
    assert_eq!(fields(&made), documented("### A policy"));
    assert_eq!((&made["volumes"], &made["enabled"]), (&json!(["home"]), &true.into()));
    assert_eq!(made["policy"]["hourly"]["days"], "monday, tuesday, wednesday, thursday, friday");
    assert_eq!(world.json("policy attach p vm")["volumes"], json!(["home", "vm"]));
    let told = world.json("policy show p --next 30");
    assert_eq!(fields(&told), documented("### What policies would do"));
    assert_eq!(
        world.json("policy run p --dry-run --days 30")["events"].as_array().unwrap().len(),
        told["events"].as_array().unwrap().len()
    );
    let first = &told["events"][0];
    assert_eq!(first["action"], "make");
    assert!(world.ok("policy show p --next 30").contains("home@p-daily."));
    assert!(world.fails("policy run p", 2).contains("--class"));
    let run = world.json("policy run p --class hourly");
    assert_eq!((run["made"].as_array().unwrap().len(), &run["failed"]), (2, &json!([])));
    // Another one takes the place of the first.
    world.ok("policy run p --class hourly");
    let list = world.json("snapshot list");
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["policies"][0]["class"], "hourly");
    // A renamed one is nobody's.
    let name = list[0]["name"].as_str().unwrap();
    let volume = list[0]["volume"].as_str().unwrap();
    let renamed = world.json(&format!("snapshot update {volume}@{name} --name kept"));
    assert_eq!(renamed["policies"], json!([]));
    let set = world.json("policy set p --hourly off --enabled false --keep last=2;within=1y");
    assert_eq!((&set["next"], &set["policy"]["keep"]["within"]), (&Value::Null, &"1y".into()));
    assert!(set["policy"]["hourly"].is_null());
    assert_eq!(world.json("policy list")[0]["name"], "p");
    assert!(world.ok("policy list").contains("home, vm"));
    assert!(world.fails("policy delete p", 1).contains("--force"));
    world.ok("policy detach p vm home");
    assert_eq!(world.json("policy delete p")["name"], "p");
    assert_eq!(world.json("policy list"), json!([]));
    assert!(world.fails("policy show p", 1).contains("policy list"));
}

#[test]
fn documents_go_in_and_out() {
    let world = World::up();
    world.ok("fs create default");
    std::fs::write(world.path("weka.json"), WEKA).unwrap();
    assert!(world.fails("policy import weka.json", 2).contains("--name"));
    let made = world.json("policy import weka.json --name Policy1 --attach default");
    assert_eq!(made["volumes"], json!(["default"]));
    assert_eq!(made["notes"].as_array().unwrap().len(), 3);
    let text = world.ok("policy export Policy1");
    let mut written: Value = serde_json::from_str(&text).unwrap();
    written.as_object_mut().unwrap().remove("time_zone").unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(WEKA).unwrap());
    std::fs::write(world.path("ours.json"), text).unwrap();
    world.ok("policy create again --file ours.json --daily off --weekly days=sun;time=1:00");
    assert!(world.json("policy show again")["policy"]["daily"].is_null());
    // With everything, it is made again elsewhere.
    std::fs::write(world.path("full.json"), world.ok("policy export Policy1 --full")).unwrap();
    world.ok("policy delete Policy1 --force");
    assert_eq!(world.json("policy import full.json"), made);
    for (line, status, word) in [
        ("policy create x --daily time=25:00", 2, "22:05"),
        ("policy create x --daily time=1:00;colour=red", 2, "colour"),
        ("policy create x", 2, "no schedule"),
        ("policy create x --hourly retention=1 --time-zone Mars", 2, "Mars"),
        ("policy create x --hourly retention=1 --attach nowhere", 1, "nowhere"),
        ("policy create again --hourly retention=1", 1, "exists already"),
    ] {
        let said = world.fails(line, status);
        assert!(said.contains(word), "{line}: {said}");
    }
    assert_eq!(world.json("policy list").as_array().unwrap().len(), 2);
}
