//! What administrators live with: request ids, the log, metrics, the configuration file, service managers, support bundles.

use serde_json::{Value, json};

use crate::api::{ask, headers_of};
use crate::world::World;

#[test]
fn a_request_is_found_in_the_log_by_its_id() {
    let mut world = World::empty();
    world.log_level = "warn,access=info";
    world.start(&["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let reader = headers_of(&world, "reader");
    let named = format!("{reader}X-Request-Id: mine-1\r\n");
    let (_, problem) = ask(&world, "GET /api/v1/filesystems/none?x=1", &named);
    assert_eq!((&problem["request"], &problem["status"]), (&json!("mine-1"), &json!(400)));
    let odd = format!("{reader}X-Request-Id: a b\r\n");
    let made = ask(&world, "GET /api/v1/filesystems/none", &odd).1["request"].clone();
    assert_eq!(made.as_str().unwrap().len(), 16);
    let log = world.log();
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["request"] == "mine-1").unwrap();
    assert_eq!((&line["target"], &line["status"]), (&json!("access"), &json!(400)));
    assert_eq!(
        (&line["method"], &line["path"]),
        (&json!("GET"), &json!("/api/v1/filesystems/none"))
    );
    assert_eq!((&line["who"], &line["from"]), (&json!("token reader"), &json!("127.0.0.1")));
    assert!(lines.iter().any(|line| line["request"] == made));
    let head = world.shell(
        "curl -sS -D - -o /dev/null --unix-socket socket -H 'X-Request-Id: z' http://h/healthz",
    );
    assert!(head.contains("x-request-id: z"), "{head}");
}

#[test]
fn metrics_tell_readers_what_there_is_to_watch() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world.ok("fs create home");
    world.ok("snapshot create home@a");
    assert_eq!(ask(&world, "GET /metrics", "Host: localhost\r\n").0, 401);
    assert_eq!(ask(&world, "GET /metrics", &headers_of(&world, "reader")).0, 200);
    let text = world.shell("curl -sSf --unix-socket socket http://h/metrics");
    for line in [
        "tintype_up 1",
        "tintype_filesystems 1",
        "tintype_snapshots 1",
        "tintype_requests_total{operation=\"create_filesystem\",status=\"200\"} 1",
        "tintype_request_seconds_count{operation=\"create_snapshot\"} 1",
        "tintype_request_seconds_bucket{operation=\"create_snapshot\",le=\"+Inf\"} 1",
        "# TYPE tintype_request_seconds histogram",
        "tintype_nbd_connections 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    // Every line is what the format knows: a comment, or a name with labels and a number.
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && !name.is_empty(), "{line}");
    }
}

#[test]
fn a_server_starts_from_a_file_and_tells_its_service_manager() {
    let mut world = World::empty();
    let wrong = "[listen]\nadress = \"127.0.0.1:0\"\n";
    std::fs::write(world.path("config.toml"), wrong).unwrap();
    let said = world.fails("up --config config.toml", 2);
    assert!(said.contains("line 2") && said.contains("listen.address"), "{said}");
    assert_eq!(world.fails("config check config.toml", 2), said);
    let right = "[listen]\naddress = \"127.0.0.1:0\"\n[log]\nfilter = \"error\"\n";
    std::fs::write(world.path("config.toml"), right).unwrap();
    assert!(world.ok("config check config.toml").contains("valid"));
    let path = world.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    world.notify = Some(path);
    world.start(&["--config", "config.toml"]);
    assert!(world.ready.contains("http://127.0.0.1:"), "{}", world.ready);
    let heard = || {
        let mut bytes = [0; 500];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    assert!(heard().starts_with("READY=1\n"));
    assert_eq!(world.stop("-TERM"), Some(0));
    assert!(heard().starts_with("STOPPING=1\n"));
    let unit = world.ok("systemd-unit");
    assert!(unit.contains("Type=notify") && unit.contains("up --config"), "{unit}");
}

#[test]
fn a_support_bundle_tells_much_and_no_secret() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world.ok("fs create home");
    let token = world.ok("token create t --role admin");
    assert_eq!(
        ask(&world, "GET /api/v1/filesystems", "Host: h\r\nAuthorization: Bearer x\r\n").0,
        401
    );
    let made = world.json("support-bundle bundle.tar --fsck");
    let names = made["parts"].as_array().unwrap();
    for name in
        ["status.json", "settings.json", "figures.json", "log.txt", "fsck.json", "versions.json"]
    {
        assert!(names.contains(&json!(name)), "{name}");
    }
    world.shell("tar xf bundle.tar");
    let read = |name: &str| world.shell(&format!("cat tintype-support/{name}"));
    let parsed: Value = serde_json::from_str(&read("fsck.json")).unwrap();
    assert_eq!(parsed["clean"], true);
    let all = world.shell("cat tintype-support/*");
    let secret = world.shell("cat store/admin-secret");
    for secret in [token.trim(), secret.trim()] {
        assert!(!all.contains(secret.rsplit('_').next().unwrap()), "a secret is in it");
    }
    assert_eq!(world.shell("stat -c %a bundle.tar").trim(), "600");
    assert!(world.fails("support-bundle bundle.tar", 1).contains("taken"), "it was overwritten");
}
