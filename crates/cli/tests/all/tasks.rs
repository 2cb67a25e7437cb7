//! Long operations as tasks, events, and requests that are done once.

use serde_json::{Value, json};

use crate::world::World;

const CURL: &str = "curl -sS --unix-socket socket";
const API: &str = "http://h/api/v1";

/// Sends JSON and answers with the head and the body.
fn send(world: &World, options: &str, path: &str, body: &Value) -> (String, Value) {
    let said = world.shell(&format!("{CURL} -D head {options} -d '{body}' '{API}{path}'"));
    (world.shell("cat head"), serde_json::from_str(&said).unwrap_or(Value::Null))
}

#[test]
fn long_work_goes_on_as_a_task() {
    let world = World::up();
    world.ok("disk create d --size 1M");
    let (head, task) = send(&world, "-H 'Prefer: respond-async'", "/fsck", &json!({}));
    assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    let id = task["id"].as_str().unwrap();
    assert!(head.contains(&format!("location: /api/v1/tasks/{id}")), "{head}");
    let ended = world.json(&format!("task wait {id}"));
    assert_eq!((&ended["state"], &ended["operation"]), (&json!("done"), &json!("fsck")));
    assert_eq!((&ended["result"]["clean"], &ended["done"]), (&json!(true), &ended["total"]));
    // What is not long, or not preferred, is answered at once.
    let (head, _) = send(&world, "-H 'Prefer: respond-async'", "/space", &json!({"snapshots": []}));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let scrub = world.ok("scrub --task");
    assert!(world.ok(&format!("task wait {}", scrub.trim())).contains("done"));
    let done = world.json("task list --state done");
    assert_eq!(done.as_array().unwrap().len(), 2);
    assert_eq!(world.json("task list --state failed"), json!([]));
    assert!(world.fails(&format!("task cancel {id}"), 1).contains("has ended"));
    assert_eq!(world.json(&format!("task delete {id}"))["id"], id);
    assert!(world.fails(&format!("task show {id}"), 1).contains("task list"));
    // One that fails tells why.
    let restore = "/volumes/d/snapshots/none/restore";
    let (_, task) = send(&world, "-H 'Prefer: respond-async'", restore, &json!({}));
    let id = task["id"].as_str().unwrap();
    assert!(!world.run(&format!("task wait {id}")).status.success());
    let failed = world.json(&format!("task show {id}"));
    assert_eq!(
        (&failed["state"], &failed["failure"]["kind"]),
        (&json!("failed"), &json!("not-found"))
    );
}

#[test]
fn a_task_ends_when_it_is_cancelled() {
    let world = World::up();
    // An image that stops to come after its first bytes.
    let slow = format!(
        "(head -c 300000 /dev/zero; sleep 60) | {CURL} -T - -X POST '{API}/disks/d/import?format=raw'"
    );
    world.shell(&format!("({slow}) > import 2>&1 & echo $! > pid"));
    let started = std::time::Instant::now();
    let task = loop {
        let running = world.json("task list --state running");
        if running[0]["done"].as_u64().is_some_and(|done| done > 0) {
            break running[0].clone();
        }
        assert!(started.elapsed().as_secs() < 60, "it does not begin");
    };
    assert_eq!(
        (&task["operation"], &task["object"]),
        (&json!("import_disk"), &json!("/disks/d/import"))
    );
    let id = task["id"].as_str().unwrap();
    assert!(world.fails(&format!("task delete {id}"), 1).contains("still runs"));
    assert_eq!(world.json(&format!("task cancel {id}"))["cancelling"], true);
    let ended = world.json_of(&format!("task wait {id}"), 1);
    assert_eq!(ended["state"], "cancelled");
    assert_eq!(world.json("disk list"), json!([]), "half a disk stays");
}

#[test]
fn events_tell_what_happens_and_go_on_where_they_ended() {
    let mut world = World::up();
    let now = |world: &World, after: &str| {
        world.shell(&format!("{CURL} -N -H 'Last-Event-ID: {after}' '{API}/events?follow=false'"))
    };
    let last = |text: &str| {
        let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.next_back().unwrap().to_owned()
    };
    let begin = world.shell(&format!("{CURL} -N '{API}/events?follow=false'"));
    let begin = last(&begin);
    // Whoever listens hears at once, for as long as the server runs.
    world.shell(&format!("({CURL} -N '{API}/events' > heard 2>&1 &); for n in $(seq 200); do [ -s heard ] && exit; sleep 0.05; done; exit 1"));
    world.ok("fs create home");
    world.ok("snapshot create home@a");
    world.ok("snapshot delete home@a");
    let told = now(&world, &begin);
    let events: Vec<Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let brief: Vec<_> = events
        .iter()
        .map(|event| ["kind", "change", "name"].map(|key| event[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        brief,
        [
            ["filesystem", "created", "home"],
            ["snapshot", "created", "home@a"],
            ["snapshot", "deleted", "home@a"]
        ]
    );
    assert!(!now(&world, &last(&told)).contains("data:"), "they come twice");
    world.shell(
        "for n in $(seq 200); do grep -q '\"deleted\"' heard && exit; sleep 0.05; done; exit 1",
    );
    // Another start knows nothing of what was before it, and says so.
    assert_eq!(world.stop("-TERM"), Some(0));
    world.start(&[]);
    assert!(now(&world, &begin).contains("event: missed"));
    assert!(now(&world, "odd").contains("event: missed"));
}

#[test]
fn a_request_with_a_key_is_done_once() {
    let mut world = World::up();
    world.ok("disk create d --size 1M");
    let key = "-H 'Idempotency-Key: 5b1f'";
    let wish = json!({"snapshot": "d@a", "label": "l"});
    let (_, first) = send(&world, key, "/snapshots", &wish);
    assert_eq!(first["name"], "a");
    let (head, again) = send(&world, key, "/snapshots", &wish);
    assert_eq!(again, first);
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("idempotency-replayed: true"),
        "{head}"
    );
    let other = json!({"snapshot": "d@b"});
    let (head, problem) = send(&world, key, "/snapshots", &other);
    assert!(head.starts_with("HTTP/1.1 422"), "{head}");
    assert_eq!(problem["type"], "urn:tintype:key-reused");
    // A refusal is not remembered.
    let second = "-H 'Idempotency-Key: second'";
    assert_eq!(send(&world, second, "/snapshots", &wish).1["status"], 409);
    world.ok("snapshot delete d@a");
    assert_eq!(send(&world, second, "/snapshots", &wish).1["name"], "a");
    world.stop("-KILL");
    world.start(&[]);
    assert_eq!(send(&world, key, "/snapshots", &wish).1, first);
    // Where it would be a promise that is not kept, it is refused.
    let (_, problem) = send(&world, key, "/space", &json!({"snapshots": []}));
    assert_eq!(
        (&problem["status"], &problem["object"]),
        (&json!(400), &json!("header Idempotency-Key"))
    );
}
